// What the files of a volume share. Everything but volume.c runs in the poller's thread.
#ifndef PONTOON_DRIVERS_NBDKIT_INTERNAL_H
#define PONTOON_DRIVERS_NBDKIT_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "drivers/nbdkit/volume.h"
#include "engine/pontoon.h"

enum {
    PIECES = 256,           // in flight at once
    PIECE_BYTES = 64 << 10, // of reads and writes
};

// What a caller waits for; it lives on the caller's stack. The poller forgets it before it posts
// `done`.
struct request {
    enum volume_kind kind;
    uint64_t offset, bytes;
    uint8_t *data;
    char *reason;
    size_t reason_bytes;
    atomic_bool is_unwanted; // set by the caller: be done with it, soon
    sem_t done;
    int error;
    // the poller's
    struct request *next; // in the inbox; then by arrival, in `active`
    uint64_t cursor;      // bytes that pieces were made of
    uint32_t pieces;      // not answered yet
};

enum piece_state { PIECE_FREE, PIECE_WAITING, PIECE_OUT };

// A part of a request, small enough for one command or query.
struct piece {
    struct volume *volume;
    struct request *request; // NULL: its caller left; or an ATTACH
    enum piece_state state;
    enum volume_kind kind;
    bool is_check; // a READ that met a bad block asks which one
    uint64_t offset, bytes;
    uint64_t writer; // as which it was sent
};

// DETACHED: the next change attaches. FENCED: another server did, for good.
enum attachment { DETACHED, ATTACHING, ATTACHED, FENCED };

struct volume {
    struct volume_options options;
    struct block_info info;
    pthread_t thread;
    int wake_fd;
    // Pairing: a caller pushes to the inbox, then looks at is_asleep; the poller sets is_asleep,
    // then looks at the inbox. Both sequentially consistent: one of the two sees the other.
    _Atomic(struct request *) inbox;
    atomic_bool is_asleep;
    atomic_bool should_stop;
    atomic_bool has_unwanted;
    sem_t opened;
    int open_error;
    char *open_reason;
    size_t open_reason_bytes;
    // the poller's
    struct pontoon_client *client;
    enum attachment attachment;
    uint64_t writer, previous; // as whom we write, and whom that took over from
    struct request *active;    // by arrival
    struct piece pieces[PIECES];
    uint32_t pieces_used;
    uint32_t idle_polls;
    uint8_t command[BLOCK_COMMAND_HEAD_BYTES + PIECE_BYTES];
};

// request.c

static inline bool request_is_change(enum volume_kind kind)
{
    return kind == VOLUME_WRITE || kind == VOLUME_ZERO;
}

// The first error counts.
void request_say(struct request *request, int error, const char *what);
void request_complete(struct volume *volume, struct request *request);
// All pieces are answered, and no more are to be made?
void request_complete_if_over(struct volume *volume, struct request *request);
// Whoever waits for the volume to be attached waits in vain: pieces that are to be sent again, and
// what was not begun.
void request_fail_changes(struct volume *volume, int error, const char *what);
void request_drop_unwanted(struct volume *volume);

// piece.c

// There is a free one.
struct piece *piece_take(struct volume *volume, enum volume_kind kind, struct request *request);
void piece_free(struct piece *piece);
void piece_finish(struct piece *piece, int error, const char *what);
// It is to be sent again; without a caller, its data is gone, and nobody waits for it.
void piece_repeat(struct piece *piece);

// answer.c: the client's callbacks; context is the piece

void answer_to_command(void *context, const struct pontoon_result *result);
void answer_to_query(void *context, enum pontoon_status status, const void *answer, int32_t bytes);

// send.c

void send_all(struct volume *volume);

// poller.c

void *poller_run(void *volume);

// volume.c

// A number that nobody has written under.
uint64_t volume_draw_writer(void);

#endif
