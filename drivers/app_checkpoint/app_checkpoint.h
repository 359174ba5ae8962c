// Checkpoints of state machines: a stream of parts, out and in, in pieces of any size.
//
//     head      fixed length
//     records   any number; behind each its contents, any number
//     trailer   CRC32C of everything before (4)
//
// These are the operations of struct app that concern checkpoints, for a state machine that begins
// with struct app_checkpoint and says in struct app_checkpoint_format what its parts are. It sees
// parts that are whole and never where a piece ends. Each byte is copied once, between the caller's
// buffer and where the part is; nothing is allocated.
#ifndef PONTOON_APP_CHECKPOINT_APP_CHECKPOINT_H
#define PONTOON_APP_CHECKPOINT_APP_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/driver_api/app.h"

enum {
    APP_CHECKPOINT_FIXED_BYTES = 64, // a head or a record has at most
    APP_CHECKPOINT_TRAILER_BYTES = 4,
};

enum app_part_kind {
    APP_PART_HEAD,
    APP_PART_RECORD,
    APP_PART_CONTENT,
    APP_PART_TRAILER,
    APP_PART_END,
    APP_PART_FAILED, // something was wrong; stays so
};

struct app_part {
    enum app_part_kind kind;
    uint8_t *at;    // HEAD, RECORD, CONTENT: the next byte of it, and
    uint64_t bytes; // what is left of it: nothing only once it is whole
};

struct app_checkpoint {
    struct app app; // first
    const struct app_checkpoint_format *format;
    struct app_part part;                      // under way
    uint32_t crc;                              // of the stream so far, without the trailer
    uint8_t fixed[APP_CHECKPOINT_FIXED_BYTES]; // head, record or trailer
};

// `next` is called when checkpoint->part is whole, and says which part follows it: a record (in
// `fixed`) or content (anywhere, until the next call), with at least a byte; else TRAILER or FAILED
// alone.
struct app_checkpoint_format {
    uint32_t head_bytes;
    // Saving: fills `fixed` with the head. The state does not change until the last part.
    void (*save_head)(struct app_checkpoint *checkpoint);
    struct app_part (*save_next)(struct app_checkpoint *checkpoint);
    // Restoring: empties the state; takes the part that is whole and says where the next one goes;
    // once the stream has ended well: is this the state that was saved?
    void (*clear)(struct app_checkpoint *checkpoint);
    struct app_part (*restore_next)(struct app_checkpoint *checkpoint);
    bool (*is_restored)(struct app_checkpoint *checkpoint);
};

// The operations. A part that failed makes read return -EIO, write and end -EBADMSG.
int app_checkpoint_begin(struct app *app);
int64_t app_checkpoint_read(struct app *app, void *buffer, uint64_t capacity);
void app_checkpoint_end(struct app *app);
int app_checkpoint_restore_begin(struct app *app);
int app_checkpoint_restore_write(struct app *app, const void *data, uint64_t bytes);
int app_checkpoint_restore_end(struct app *app);

#endif
