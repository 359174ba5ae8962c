#include "drivers/app_block/block_checkpoint.h"

#include <assert.h>
#include <string.h>

#define MAGIC UINT64_C(0x314B4C424E544E50) // "PNTNBLK1"

struct head {
    uint64_t magic;
    uint64_t capacity_bytes, volume_bytes, block_bytes;
    uint64_t writer;
    uint64_t blocks_used;
    uint64_t digest;
};
static_assert(sizeof(struct head) == 56, "in the stream");

struct run {
    uint64_t first, count;
};
static_assert(sizeof(struct run) == 16, "in the stream");

static struct block_checkpoint *of(struct app_checkpoint *base)
{
    return (struct block_checkpoint *)base;
}

static void begin_run(struct block_checkpoint *checkpoint, struct run run)
{
    checkpoint->block = run.first;
    checkpoint->run_left = run.count;
    checkpoint->blocks_left -= run.count;
}

static void pass_block(struct block_checkpoint *checkpoint)
{
    checkpoint->block++;
    checkpoint->run_left--;
}

// Behind a part that is whole: a block of the run under way, or the next run, or nothing more.
static struct app_part next(struct block_checkpoint *checkpoint)
{
    if (checkpoint->run_left > 0) {
        return (struct app_part){APP_PART_CONTENT, checkpoint->content,
                                 checkpoint->volume->block_bytes};
    }
    if (checkpoint->blocks_left > 0) {
        return (struct app_part){APP_PART_RECORD, checkpoint->base.fixed, sizeof(struct run)};
    }
    return (struct app_part){.kind = APP_PART_TRAILER};
}

// Saving.

static void save_head(struct app_checkpoint *base)
{
    struct block_checkpoint *checkpoint = of(base);
    const struct block_volume *volume = checkpoint->volume;
    const struct head head = {.magic = MAGIC,
                              .capacity_bytes = volume->capacity_bytes,
                              .volume_bytes = volume->bytes,
                              .block_bytes = volume->block_bytes,
                              .writer = volume->writer,
                              .blocks_used = volume->blocks_used,
                              .digest = block_volume_digest(volume)};
    memcpy(base->fixed, &head, sizeof(head));
    checkpoint->block = 0;
    checkpoint->run_left = 0;
    checkpoint->blocks_left = volume->blocks_used;
}

static void save_run(struct block_checkpoint *checkpoint)
{
    const uint64_t *sums = checkpoint->volume->sums;
    struct run run = {.first = checkpoint->block};
    while (sums[run.first] == 0) {
        run.first++;
    }
    while (run.count < checkpoint->blocks_left && sums[run.first + run.count] != 0) {
        run.count++;
    }
    memcpy(checkpoint->base.fixed, &run, sizeof(run));
    begin_run(checkpoint, run);
}

static struct app_part save_next(struct app_checkpoint *base)
{
    struct block_checkpoint *checkpoint = of(base);
    if (base->part.kind == APP_PART_CONTENT) {
        pass_block(checkpoint);
    }
    struct app_part part = next(checkpoint);
    if (part.kind == APP_PART_RECORD) {
        save_run(checkpoint);
    }
    if (part.kind == APP_PART_CONTENT &&
        block_volume_read(checkpoint->volume, checkpoint->block, 1, part.at) != BLOCK_NONE) {
        return (struct app_part){.kind = APP_PART_FAILED};
    }
    return part;
}

// Restoring.

static void clear(struct app_checkpoint *base)
{
    block_volume_clear(of(base)->volume);
}

static bool accept_head(struct block_checkpoint *checkpoint)
{
    struct block_volume *volume = checkpoint->volume;
    struct head head;
    memcpy(&head, checkpoint->base.fixed, sizeof(head));
    if (head.magic != MAGIC || head.block_bytes > BLOCK_BYTES_MAX ||
        !block_volume_adopt(volume, head.capacity_bytes, (uint32_t)head.block_bytes,
                            head.volume_bytes) ||
        head.blocks_used > volume->blocks) {
        return false;
    }
    volume->writer = head.writer;
    checkpoint->block = 0;
    checkpoint->run_left = 0;
    checkpoint->blocks_left = head.blocks_used;
    checkpoint->digest = head.digest;
    return true;
}

// Runs ascend, are not empty, and name no more blocks than the head said.
static bool accept_run(struct block_checkpoint *checkpoint)
{
    uint64_t blocks = checkpoint->volume->blocks;
    struct run run;
    memcpy(&run, checkpoint->base.fixed, sizeof(run));
    if (run.first < checkpoint->block || run.first >= blocks || run.count == 0 ||
        run.count > blocks - run.first || run.count > checkpoint->blocks_left) {
        return false;
    }
    begin_run(checkpoint, run);
    return true;
}

static bool accept_block(struct block_checkpoint *checkpoint)
{
    uint64_t block = checkpoint->block;
    pass_block(checkpoint);
    return block_volume_put(checkpoint->volume, block, checkpoint->content);
}

static struct app_part restore_next(struct app_checkpoint *base)
{
    struct block_checkpoint *checkpoint = of(base);
    enum app_part_kind kind = base->part.kind;
    bool is_valid = kind == APP_PART_HEAD     ? accept_head(checkpoint)
                    : kind == APP_PART_RECORD ? accept_run(checkpoint)
                                              : accept_block(checkpoint);
    return is_valid ? next(checkpoint) : (struct app_part){.kind = APP_PART_FAILED};
}

static bool is_restored(struct app_checkpoint *base)
{
    return block_volume_digest(of(base)->volume) == of(base)->digest;
}

static const struct app_checkpoint_format format = {
    .head_bytes = sizeof(struct head),
    .save_head = save_head,
    .save_next = save_next,
    .clear = clear,
    .restore_next = restore_next,
    .is_restored = is_restored,
};

void block_checkpoint_init(struct block_checkpoint *checkpoint, const struct app_ops *ops,
                           struct block_volume *volume)
{
    *checkpoint = (struct block_checkpoint){
        .base = {.app.ops = ops, .format = &format},
        .volume = volume,
    };
}
