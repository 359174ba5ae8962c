// Pieces of requests: taken, sent again, finished.
#include "drivers/nbdkit/internal.h"

struct piece *piece_take(struct volume *volume, enum volume_kind kind, struct request *request)
{
    struct piece *piece = volume->pieces;
    while (piece->state != PIECE_FREE) {
        piece++;
    }
    *piece =
        (struct piece){.volume = volume, .request = request, .state = PIECE_WAITING, .kind = kind};
    volume->pieces_used++;
    return piece;
}

void piece_free(struct piece *piece)
{
    piece->state = PIECE_FREE;
    piece->volume->pieces_used--;
}

void piece_finish(struct piece *piece, int error, const char *what)
{
    struct request *request = piece->request;
    piece_free(piece);
    if (request == NULL) {
        return;
    }
    if (error != 0) {
        request_say(request, error, what);
    }
    request->pieces--;
    request_complete_if_over(piece->volume, request);
}

void piece_repeat(struct piece *piece)
{
    if (piece->request == NULL) {
        piece_free(piece);
    } else {
        piece->state = PIECE_WAITING;
    }
}
