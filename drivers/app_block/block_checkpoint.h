// The state of `block` as a stream of bytes, out and in, in pieces of any size. Little-endian:
//
//     head      magic (8), capacity (8), volume bytes (8), block bytes (8), writer (8), blocks used
//               (8), digest (8)
//     runs      number of the first block (8), how many (8), their content; in ascending order,
//               until the blocks used are all there
//     trailer   CRC32C of everything before (4)
//
// Blocks that are all zeroes are not in it: a sparse volume makes a short stream. Every block is
// checked against its checksum on its way out, so a replica whose memory went bad does not pass it
// on: its checkpoint fails. On the way in checksums are made anew, and the digest must come out.
#ifndef PONTOON_APP_BLOCK_BLOCK_CHECKPOINT_H
#define PONTOON_APP_BLOCK_BLOCK_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/app_block/block_volume.h"

enum {
    BLOCK_CHECKPOINT_HEAD_BYTES = 56,
    BLOCK_CHECKPOINT_RUN_BYTES = 16,
    BLOCK_CHECKPOINT_TRAILER_BYTES = 4,
};

enum block_checkpoint_part {
    BLOCK_PART_HEAD,
    BLOCK_PART_RUN,
    BLOCK_PART_BLOCK,
    BLOCK_PART_TRAILER,
    BLOCK_PART_END,
    BLOCK_PART_FAILED,
};

struct block_checkpoint {
    struct block_volume *volume;
    enum block_checkpoint_part part; // under way
    uint8_t *at;                     // its next byte, in `fixed` or `content`, and
    uint64_t left_bytes;             // what is left of it
    uint64_t block;                  // of BLOCK_PART_BLOCK; else where the next run may begin
    uint64_t run_left;               // blocks of the run from `block` on
    uint64_t blocks_left;            // blocks of the stream that no run has named yet
    uint64_t writer, digest;         // restore: from the head
    uint32_t crc;
    uint8_t fixed[BLOCK_CHECKPOINT_HEAD_BYTES]; // head, run or trailer
    uint8_t content[BLOCK_BYTES_MAX];           // of a block
};

void block_checkpoint_save(struct block_checkpoint *checkpoint, struct block_volume *volume);
// Bytes put into the buffer, 0: that was all; -EIO: a block does not match its checksum.
int64_t block_checkpoint_read(struct block_checkpoint *checkpoint, void *buffer, uint64_t capacity);

// Into a cleared volume. False: this is no such stream.
void block_checkpoint_restore(struct block_checkpoint *checkpoint, struct block_volume *volume);
bool block_checkpoint_write(struct block_checkpoint *checkpoint, const void *data, uint64_t bytes);
// Was it whole?
bool block_checkpoint_finish(const struct block_checkpoint *checkpoint);

#endif
