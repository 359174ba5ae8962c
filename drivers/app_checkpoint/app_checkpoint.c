#include "drivers/app_checkpoint/app_checkpoint.h"

#include <errno.h>
#include <string.h>

#include "engine/base/crc32c.h"

static struct app_checkpoint *of(struct app *app)
{
    return (struct app_checkpoint *)app;
}

static void begin_stream(struct app_checkpoint *checkpoint)
{
    checkpoint->crc = 0;
    checkpoint->part =
        (struct app_part){APP_PART_HEAD, checkpoint->fixed, checkpoint->format->head_bytes};
}

// Saving, the trailer is what stands in `fixed` now; restoring, that is overwritten.
static void begin_part(struct app_checkpoint *checkpoint, struct app_part part)
{
    if (part.kind == APP_PART_TRAILER) {
        memcpy(checkpoint->fixed, &checkpoint->crc, APP_CHECKPOINT_TRAILER_BYTES);
        part.at = checkpoint->fixed;
        part.bytes = APP_CHECKPOINT_TRAILER_BYTES;
    }
    checkpoint->part = part;
}

// How much of the part under way fits into `bytes`.
static uint64_t piece(const struct app_checkpoint *checkpoint, uint64_t bytes)
{
    return checkpoint->part.bytes < bytes ? checkpoint->part.bytes : bytes;
}

static void advance(struct app_checkpoint *checkpoint, const void *copied, uint64_t bytes)
{
    if (checkpoint->part.kind != APP_PART_TRAILER) {
        checkpoint->crc = crc32c(checkpoint->crc, copied, bytes);
    }
    checkpoint->part.at += bytes;
    checkpoint->part.bytes -= bytes;
}

// Saving.

int app_checkpoint_begin(struct app *app)
{
    begin_stream(of(app));
    of(app)->format->save_head(of(app));
    return 0;
}

static struct app_part save_next(struct app_checkpoint *checkpoint)
{
    return checkpoint->part.kind == APP_PART_TRAILER ? (struct app_part){.kind = APP_PART_END}
                                                     : checkpoint->format->save_next(checkpoint);
}

int64_t app_checkpoint_read(struct app *app, void *buffer, uint64_t capacity)
{
    struct app_checkpoint *checkpoint = of(app);
    uint8_t *to = buffer;
    uint64_t done = 0;
    while (done < capacity && checkpoint->part.bytes > 0) {
        uint64_t bytes = piece(checkpoint, capacity - done);
        memcpy(to + done, checkpoint->part.at, bytes);
        advance(checkpoint, to + done, bytes);
        done += bytes;
        if (checkpoint->part.bytes == 0) {
            begin_part(checkpoint, save_next(checkpoint));
        }
    }
    return checkpoint->part.kind == APP_PART_FAILED ? -EIO : (int64_t)done;
}

void app_checkpoint_end(struct app *app)
{
    (void)app;
}

// Restoring.

int app_checkpoint_restore_begin(struct app *app)
{
    begin_stream(of(app));
    of(app)->format->clear(of(app));
    return 0;
}

static struct app_part restore_next(struct app_checkpoint *checkpoint)
{
    if (checkpoint->part.kind != APP_PART_TRAILER) {
        return checkpoint->format->restore_next(checkpoint);
    }
    bool is_intact = memcmp(checkpoint->fixed, &checkpoint->crc, APP_CHECKPOINT_TRAILER_BYTES) == 0;
    return (struct app_part){.kind = is_intact ? APP_PART_END : APP_PART_FAILED};
}

int app_checkpoint_restore_write(struct app *app, const void *data, uint64_t bytes)
{
    struct app_checkpoint *checkpoint = of(app);
    const uint8_t *from = data;
    while (bytes > 0 && checkpoint->part.bytes > 0) {
        uint64_t count = piece(checkpoint, bytes);
        memcpy(checkpoint->part.at, from, count);
        advance(checkpoint, from, count);
        from += count;
        bytes -= count;
        if (checkpoint->part.bytes == 0) {
            begin_part(checkpoint, restore_next(checkpoint));
        }
    }
    if (bytes > 0) {
        begin_part(checkpoint, (struct app_part){.kind = APP_PART_FAILED}); // more than the stream
    }
    return checkpoint->part.kind == APP_PART_FAILED ? -EBADMSG : 0;
}

int app_checkpoint_restore_end(struct app *app)
{
    struct app_checkpoint *checkpoint = of(app);
    if (checkpoint->part.kind == APP_PART_END && checkpoint->format->is_restored(checkpoint)) {
        return 0;
    }
    checkpoint->format->clear(checkpoint);
    return -EBADMSG;
}
