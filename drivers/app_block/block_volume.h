// The state of `block`: the content of a volume, a checksum for each block, and who may write.
//
// Decides what a command does and when it is refused. All address space is taken before; memory (or
// disk, block_store.h) is taken when a block is first written, and given back when blocks are
// zeroed. A volume fits its capacity as a whole:
//
//     space   [ content, volume_bytes, rounded up to pages | sums, 8 bytes a block | rest ]
//
// With a file the first part of the space is not used.
//
// A block that is all zeroes has the sum 0 and counts as not used, whatever its history: that makes
// state, digest and checkpoint independent of how sparse a replica happens to be.
//
// Digest: the wrapping sum of the sums (each seeded with its block's number), folded with geometry,
// capacity and writer. It costs nothing to read.
//
// No thread-safety: one state machine, one thread at a time.
#ifndef PONTOON_APP_BLOCK_BLOCK_VOLUME_H
#define PONTOON_APP_BLOCK_BLOCK_VOLUME_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/app_block/block_command.h"
#include "drivers/app_block/block_store.h"

struct block_volume {
    struct block_store store;
    uint8_t *space;
    uint64_t *sums;          // in the space; NULL: there is no volume
    uint64_t space_bytes;    // the capacity of this replica
    uint64_t capacity_bytes; // in force, ≤ space_bytes
    uint64_t bytes;          // of the volume, 0: there is none
    uint64_t blocks;         // bytes / block_bytes
    uint64_t blocks_used;    // whose sum is not 0
    uint64_t sums_total;     // of all blocks, wrapping
    uint64_t writer;
    uint32_t block_bytes;
};

// Takes `space`: zeroed pages of a private mapping. The content goes there, or into `file` (empty;
// -1: none). No volume yet.
void block_volume_init(struct block_volume *volume, void *space, uint64_t space_bytes, int file);

// No volume, and the replica's own capacity.
void block_volume_clear(struct block_volume *volume);

// What a volume of this geometry needs of the capacity.
uint64_t block_volume_space_bytes(uint32_t block_bytes, uint64_t volume_bytes);

uint64_t block_volume_digest(const struct block_volume *volume);

// Executes a decoded command.
enum block_result block_volume_execute(struct block_volume *volume,
                                       const struct block_command *command);

// The blocks of a range of bytes. 0, -ENOENT, -ERANGE or -EINVAL as in block_format.h.
int block_volume_blocks(const struct block_volume *volume, uint64_t offset, uint64_t bytes,
                        uint64_t *first, uint64_t *count);

// Reads blocks. Result: the first whose content does not match its sum, or BLOCK_NONE.
uint64_t block_volume_read(const struct block_volume *volume, uint64_t first, uint64_t count,
                           void *data);
// The same without the data.
uint64_t block_volume_check(const struct block_volume *volume, uint64_t first, uint64_t count);

// Runs of blocks from `first` on, as MAP answers. Result: how many, ≤ max.
uint32_t block_volume_map(const struct block_volume *volume, uint64_t first, uint64_t count,
                          uint32_t *runs, uint32_t max);

// For restore into a cleared volume: a geometry (a volume of 0 bytes: none), within `capacity`;
// false when it does not fit this replica.
bool block_volume_adopt(struct block_volume *volume, uint64_t capacity_bytes, uint32_t block_bytes,
                        uint64_t volume_bytes);
// ... and a block. False: it is all zeroes, which nobody saves.
bool block_volume_put(struct block_volume *volume, uint64_t block, const void *data);

#endif
