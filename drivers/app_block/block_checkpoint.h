// The state of `block` as a stream of bytes (drivers/app_checkpoint), and back. Little-endian:
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

#include <stdint.h>

#include "drivers/app_block/block_volume.h"
#include "drivers/app_checkpoint/app_checkpoint.h"

// One pass over a volume, in either direction.
struct block_checkpoint {
    struct app_checkpoint base; // first: the app
    struct block_volume *volume;
    uint64_t block;                   // under way; else where the next run may begin
    uint64_t run_left;                // blocks of the run from `block` on
    uint64_t blocks_left;             // blocks of the stream that no run has named yet
    uint64_t digest;                  // restoring: from the head
    uint8_t content[BLOCK_BYTES_MAX]; // of a block
};

void block_checkpoint_init(struct block_checkpoint *checkpoint, const struct app_ops *ops,
                           struct block_volume *volume);

#endif
