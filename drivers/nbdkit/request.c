// Requests under way: how one ends, and how those end that wait for what cannot be.
#include <errno.h>
#include <stdio.h>

#include "drivers/nbdkit/internal.h"

void request_say(struct request *request, int error, const char *what)
{
    if (request->error == 0) {
        request->error = error;
        snprintf(request->reason, request->reason_bytes, "%s", what);
    }
}

void request_complete(struct volume *volume, struct request *request)
{
    struct request **at = &volume->active;
    while (*at != request) {
        at = &(*at)->next;
    }
    *at = request->next;
    sem_post(&request->done);
}

void request_complete_if_over(struct volume *volume, struct request *request)
{
    if (request->pieces == 0 && (request->error != 0 || request->cursor == request->bytes)) {
        request_complete(volume, request);
    }
}

void request_fail_changes(struct volume *volume, int error, const char *what)
{
    struct request *next;
    for (uint32_t i = 0; i < PIECES; i++) {
        struct piece *piece = &volume->pieces[i];
        if (piece->state == PIECE_WAITING && request_is_change(piece->kind)) {
            piece_finish(piece, error, what);
        }
    }
    for (struct request *request = volume->active; request != NULL; request = next) {
        next = request->next;
        if (request_is_change(request->kind) || request->kind == VOLUME_ATTACH) {
            request_say(request, error, what);
            request_complete_if_over(volume, request);
        }
    }
}

// A caller leaves. What was sent stays out, without a request, until it is answered.
static void drop(struct volume *volume, struct request *request)
{
    for (uint32_t i = 0; i < PIECES; i++) {
        struct piece *piece = &volume->pieces[i];
        if (piece->state != PIECE_FREE && piece->request == request) {
            piece->request = NULL;
            if (piece->state == PIECE_WAITING) {
                piece_free(piece);
            }
        }
    }
    request_say(request, -ESHUTDOWN, "given up: the connection or the server ends");
    request_complete(volume, request);
}

void request_drop_unwanted(struct volume *volume)
{
    struct request *next;
    if (!atomic_exchange(&volume->has_unwanted, false)) {
        return;
    }
    for (struct request *request = volume->active; request != NULL; request = next) {
        next = request->next;
        if (atomic_load(&request->is_unwanted)) {
            drop(volume, request);
        }
    }
}
