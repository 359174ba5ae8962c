#include "drivers/app_block/block_checkpoint.h"

#include <errno.h>
#include <string.h>

#include "engine/base/crc32c.h"

#define MAGIC UINT64_C(0x314B4C424E544E50) // "PNTNBLK1"

struct head {
    uint64_t magic;
    uint64_t capacity_bytes, volume_bytes, block_bytes;
    uint64_t writer;
    uint64_t blocks_used;
    uint64_t digest;
};
static_assert(sizeof(struct head) == BLOCK_CHECKPOINT_HEAD_BYTES, "in the stream");

struct run {
    uint64_t first, count;
};
static_assert(sizeof(struct run) == BLOCK_CHECKPOINT_RUN_BYTES, "in the stream");

static void begin_part(struct block_checkpoint *checkpoint, enum block_checkpoint_part part,
                       void *at, uint64_t bytes)
{
    checkpoint->part = part;
    checkpoint->at = at;
    checkpoint->left_bytes = bytes;
}

static void begin_fixed(struct block_checkpoint *checkpoint, enum block_checkpoint_part part,
                        uint64_t bytes)
{
    begin_part(checkpoint, part, checkpoint->fixed, bytes);
}

static void begin_stream(struct block_checkpoint *checkpoint, struct block_volume *volume)
{
    *checkpoint = (struct block_checkpoint){.volume = volume};
    begin_fixed(checkpoint, BLOCK_PART_HEAD, BLOCK_CHECKPOINT_HEAD_BYTES);
}

static void fail(struct block_checkpoint *checkpoint)
{
    begin_part(checkpoint, BLOCK_PART_FAILED, NULL, 0);
}

static void begin_block(struct block_checkpoint *checkpoint)
{
    begin_part(checkpoint, BLOCK_PART_BLOCK, checkpoint->content, checkpoint->volume->block_bytes);
}

// Saving.

void block_checkpoint_save(struct block_checkpoint *checkpoint, struct block_volume *volume)
{
    const struct head head = {.magic = MAGIC,
                              .capacity_bytes = volume->capacity_bytes,
                              .volume_bytes = volume->bytes,
                              .block_bytes = volume->block_bytes,
                              .writer = volume->writer,
                              .blocks_used = volume->blocks_used,
                              .digest = block_volume_digest(volume)};
    begin_stream(checkpoint, volume);
    checkpoint->blocks_left = volume->blocks_used;
    memcpy(checkpoint->fixed, &head, sizeof(head));
}

static void save_run_or_trailer(struct block_checkpoint *checkpoint)
{
    const uint64_t *sums = checkpoint->volume->sums;
    struct run run = {.first = checkpoint->block};
    if (checkpoint->blocks_left == 0) {
        memcpy(checkpoint->fixed, &checkpoint->crc, sizeof(checkpoint->crc));
        begin_fixed(checkpoint, BLOCK_PART_TRAILER, BLOCK_CHECKPOINT_TRAILER_BYTES);
        return;
    }
    while (sums[run.first] == 0) {
        run.first++;
    }
    while (run.count < checkpoint->blocks_left && sums[run.first + run.count] != 0) {
        run.count++;
    }
    checkpoint->block = run.first;
    checkpoint->run_left = run.count;
    checkpoint->blocks_left -= run.count;
    memcpy(checkpoint->fixed, &run, sizeof(run));
    begin_fixed(checkpoint, BLOCK_PART_RUN, sizeof(run));
}

static void save_block_or_run(struct block_checkpoint *checkpoint)
{
    if (checkpoint->run_left == 0) {
        save_run_or_trailer(checkpoint);
    } else if (block_volume_read(checkpoint->volume, checkpoint->block, 1, checkpoint->content) !=
               BLOCK_NONE) {
        fail(checkpoint);
    } else {
        begin_block(checkpoint);
    }
}

static void save_next_part(struct block_checkpoint *checkpoint)
{
    switch (checkpoint->part) {
    case BLOCK_PART_HEAD:
    case BLOCK_PART_RUN:
        save_block_or_run(checkpoint);
        return;
    case BLOCK_PART_BLOCK:
        checkpoint->block++;
        checkpoint->run_left--;
        save_block_or_run(checkpoint);
        return;
    case BLOCK_PART_TRAILER:
    case BLOCK_PART_END:
        begin_part(checkpoint, BLOCK_PART_END, NULL, 0);
        return;
    case BLOCK_PART_FAILED:
        return;
    }
}

int64_t block_checkpoint_read(struct block_checkpoint *checkpoint, void *buffer, uint64_t capacity)
{
    uint8_t *to = buffer;
    uint64_t done = 0;
    while (done < capacity && checkpoint->part != BLOCK_PART_END &&
           checkpoint->part != BLOCK_PART_FAILED) {
        uint64_t left = capacity - done;
        uint64_t bytes = checkpoint->left_bytes < left ? checkpoint->left_bytes : left;
        memcpy(to + done, checkpoint->at, bytes);
        checkpoint->crc = crc32c(checkpoint->crc, to + done, bytes);
        checkpoint->at += bytes;
        checkpoint->left_bytes -= bytes;
        done += bytes;
        if (checkpoint->left_bytes == 0) {
            save_next_part(checkpoint);
        }
    }
    return checkpoint->part == BLOCK_PART_FAILED ? -EIO : (int64_t)done;
}

// Restoring.

void block_checkpoint_restore(struct block_checkpoint *checkpoint, struct block_volume *volume)
{
    begin_stream(checkpoint, volume);
}

static void expect_run_or_trailer(struct block_checkpoint *checkpoint)
{
    if (checkpoint->blocks_left == 0) {
        begin_fixed(checkpoint, BLOCK_PART_TRAILER, BLOCK_CHECKPOINT_TRAILER_BYTES);
    } else {
        begin_fixed(checkpoint, BLOCK_PART_RUN, BLOCK_CHECKPOINT_RUN_BYTES);
    }
}

static void accept_head(struct block_checkpoint *checkpoint)
{
    struct block_volume *volume = checkpoint->volume;
    struct head head;
    memcpy(&head, checkpoint->fixed, sizeof(head));
    if (head.magic != MAGIC || head.block_bytes > BLOCK_BYTES_MAX ||
        !block_volume_adopt(volume, head.capacity_bytes, (uint32_t)head.block_bytes,
                            head.volume_bytes) ||
        head.blocks_used > volume->blocks) {
        fail(checkpoint);
        return;
    }
    checkpoint->writer = head.writer;
    checkpoint->blocks_left = head.blocks_used;
    checkpoint->digest = head.digest;
    expect_run_or_trailer(checkpoint);
}

// Runs ascend, are not empty, and name no more blocks than the head said.
static void accept_run(struct block_checkpoint *checkpoint)
{
    struct run run;
    memcpy(&run, checkpoint->fixed, sizeof(run));
    uint64_t blocks = checkpoint->volume->blocks;
    if (run.first < checkpoint->block || run.first >= blocks || run.count == 0 ||
        run.count > blocks - run.first || run.count > checkpoint->blocks_left) {
        fail(checkpoint);
        return;
    }
    checkpoint->block = run.first;
    checkpoint->run_left = run.count;
    checkpoint->blocks_left -= run.count;
    begin_block(checkpoint);
}

static void accept_block(struct block_checkpoint *checkpoint)
{
    if (!block_volume_put(checkpoint->volume, checkpoint->block, checkpoint->content)) {
        fail(checkpoint);
        return;
    }
    checkpoint->block++;
    checkpoint->run_left--;
    if (checkpoint->run_left == 0) {
        expect_run_or_trailer(checkpoint);
    } else {
        begin_block(checkpoint);
    }
}

static void accept_trailer(struct block_checkpoint *checkpoint)
{
    uint32_t crc;
    memcpy(&crc, checkpoint->fixed, sizeof(crc));
    checkpoint->volume->writer = checkpoint->writer;
    if (crc != checkpoint->crc || block_volume_digest(checkpoint->volume) != checkpoint->digest) {
        fail(checkpoint);
        return;
    }
    begin_part(checkpoint, BLOCK_PART_END, NULL, 0);
}

// The part under way is whole: check it and say what comes next.
static void accept_part(struct block_checkpoint *checkpoint)
{
    switch (checkpoint->part) {
    case BLOCK_PART_HEAD:
        accept_head(checkpoint);
        return;
    case BLOCK_PART_RUN:
        accept_run(checkpoint);
        return;
    case BLOCK_PART_BLOCK:
        accept_block(checkpoint);
        return;
    case BLOCK_PART_TRAILER:
        accept_trailer(checkpoint);
        return;
    case BLOCK_PART_END:
    case BLOCK_PART_FAILED:
        return;
    }
}

bool block_checkpoint_write(struct block_checkpoint *checkpoint, const void *data, uint64_t bytes)
{
    const uint8_t *from = data;
    while (bytes > 0 && checkpoint->left_bytes > 0) {
        uint64_t piece = checkpoint->left_bytes < bytes ? checkpoint->left_bytes : bytes;
        memcpy(checkpoint->at, from, piece);
        if (checkpoint->part != BLOCK_PART_TRAILER) {
            checkpoint->crc = crc32c(checkpoint->crc, from, piece);
        }
        checkpoint->at += piece;
        checkpoint->left_bytes -= piece;
        from += piece;
        bytes -= piece;
        if (checkpoint->left_bytes == 0) {
            accept_part(checkpoint);
        }
    }
    if (bytes > 0) {
        fail(checkpoint); // there is more than the stream has
    }
    return checkpoint->part != BLOCK_PART_FAILED;
}

bool block_checkpoint_finish(const struct block_checkpoint *checkpoint)
{
    return checkpoint->part == BLOCK_PART_END;
}
