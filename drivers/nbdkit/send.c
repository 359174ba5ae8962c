// Cuts requests into pieces and sends them: what may begin, what waits for what.
#include <errno.h>
#include <string.h>

#include "drivers/nbdkit/internal.h"

static int send_query(struct piece *piece)
{
    static const enum block_query_kind kinds[] = {[VOLUME_READ] = BLOCK_QUERY_READ,
                                                  [VOLUME_INFO] = BLOCK_QUERY_INFO,
                                                  [VOLUME_MAP] = BLOCK_QUERY_MAP};
    struct volume *volume = piece->volume;
    struct block_query query = {.kind = piece->is_check ? BLOCK_QUERY_CHECK : kinds[piece->kind]};
    uint8_t text[BLOCK_QUERY_BYTES];
    if (piece->kind != VOLUME_INFO) {
        query.offset = piece->offset;
        query.bytes = piece->bytes;
    }
    uint32_t bytes = block_command_encode_query(&query, text, sizeof(text));
    return pontoon_client_read(volume->client, volume->options.group, text, bytes, answer_to_query,
                               piece);
}

// The one place where a command of this client is proposed; block_command_range() says what it
// touches.
static int send_command(struct piece *piece)
{
    static const enum block_operation operations[] = {
        [VOLUME_WRITE] = BLOCK_WRITE, [VOLUME_ZERO] = BLOCK_ZERO, [VOLUME_ATTACH] = BLOCK_ATTACH};
    struct volume *volume = piece->volume;
    struct block_command command = {.operation = operations[piece->kind], .writer = volume->writer};
    if (request_is_change(piece->kind)) {
        command.offset = piece->offset;
        command.bytes = piece->bytes;
        command.data = piece->request->data + (piece->offset - piece->request->offset);
    } else {
        command.previous = volume->previous;
    }
    piece->writer = volume->writer;
    uint32_t bytes = block_command_encode(&command, volume->command, sizeof(volume->command));
    return pontoon_client_propose(volume->client, volume->options.group, volume->command, bytes,
                                  answer_to_command, piece);
}

// False: not now, poll first.
static bool send_piece(struct piece *piece)
{
    bool is_query = !request_is_change(piece->kind) && piece->kind != VOLUME_ATTACH;
    piece->state = PIECE_OUT;
    int error = is_query ? send_query(piece) : send_command(piece);
    if (error == -EAGAIN) {
        piece->state = PIECE_WAITING;
        return false;
    }
    if (error != 0) {
        piece_finish(piece, error, strerror(-error));
    }
    return true;
}

// True: the volume may be changed now.
static bool attach(struct volume *volume)
{
    if (volume->attachment == DETACHED && volume->pieces_used < PIECES) {
        struct piece *piece = piece_take(volume, VOLUME_ATTACH, NULL);
        volume->attachment = ATTACHING;
        if (!send_piece(piece)) {
            piece_free(piece);
            volume->attachment = DETACHED;
        }
    }
    return volume->attachment == ATTACHED;
}

static bool do_overlap(uint64_t offset, uint64_t bytes, const struct request *request)
{
    return offset < request->offset + request->bytes && request->offset < offset + bytes;
}

// A change waits for those it overlaps with: of requests that came before it, and of callers that
// left.
static bool is_held_back(const struct volume *volume, const struct request *request)
{
    for (const struct request *before = volume->active; before != request; before = before->next) {
        if (request_is_change(before->kind) && do_overlap(before->offset, before->bytes, request)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < PIECES; i++) {
        const struct piece *piece = &volume->pieces[i];
        if (piece->state == PIECE_OUT && piece->request == NULL && request_is_change(piece->kind) &&
            do_overlap(piece->offset, piece->bytes, request)) {
            return true;
        }
    }
    return false;
}

static bool may_begin(struct volume *volume, struct request *request)
{
    switch (request->kind) {
    case VOLUME_READ:
    case VOLUME_INFO:
    case VOLUME_MAP:
        return true;
    case VOLUME_ATTACH:
        return attach(volume);
    case VOLUME_WRITE:
    case VOLUME_ZERO:
        return attach(volume) && !is_held_back(volume, request);
    }
    return false;
}

static struct piece *cut_piece(struct volume *volume, struct request *request)
{
    uint64_t most = request->kind == VOLUME_ZERO  ? (uint64_t)BLOCK_ZERO_BYTES_MAX
                    : request->kind == VOLUME_MAP ? (uint64_t)BLOCK_MAP_BYTES_MAX
                                                  : (uint64_t)PIECE_BYTES;
    uint64_t left = request->bytes - request->cursor;
    struct piece *piece = piece_take(volume, request->kind, request);
    piece->offset = request->offset + request->cursor;
    piece->bytes = left < most ? left : most;
    request->cursor += piece->bytes;
    request->pieces++;
    return piece;
}

// False: the client takes no more now.
static bool send_request(struct volume *volume, struct request *request)
{
    bool goes_on = true;
    request->pieces++; // a piece that fails at once must not complete it under us
    while (goes_on && request->error == 0 && request->cursor < request->bytes &&
           volume->pieces_used < PIECES) {
        goes_on = send_piece(cut_piece(volume, request));
    }
    request->pieces--;
    request_complete_if_over(volume, request);
    return goes_on;
}

static bool send_waiting(struct volume *volume)
{
    bool goes_on = true;
    for (uint32_t i = 0; i < PIECES && goes_on; i++) {
        struct piece *piece = &volume->pieces[i];
        if (piece->state == PIECE_WAITING && (!request_is_change(piece->kind) || attach(volume))) {
            goes_on = send_piece(piece);
        }
    }
    return goes_on;
}

void send_all(struct volume *volume)
{
    struct request *next;
    bool goes_on = send_waiting(volume);
    for (struct request *request = volume->active; request != NULL && goes_on; request = next) {
        next = request->next;
        if (request->error != 0 || request->cursor == request->bytes ||
            !may_begin(volume, request)) {
            continue;
        }
        if (request->kind == VOLUME_ATTACH) {
            request_complete(volume, request);
        } else {
            goes_on = send_request(volume, request);
        }
    }
}
