// The checksum of a block: XXH3 with 64 bits, seeded with the block's number.
//
// Not CRC32C: file systems keep a CRC32C of their own inside many of their blocks (ext4's
// metadata_csum), and any data followed by its CRC has one and the same CRC. Such blocks would not
// be told apart, neither by the check nor by a digest made of it. The number as seed tells a block
// from its neighbour of equal content.
//
// 0 means: all zeroes. A block's sum is 0 if and only if its content is, however it came to be so;
// then sparse and written zeroes are the same state.
#ifndef PONTOON_APP_BLOCK_BLOCK_SUM_H
#define PONTOON_APP_BLOCK_BLOCK_SUM_H

#define XXH_INLINE_ALL
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <xxhash.h>

// Most blocks are told by their first word.
static inline bool block_sum_is_zero(const void *data, uint32_t bytes)
{
    uint64_t first;
    memcpy(&first, data, sizeof(first));
    return first == 0 &&
           memcmp(data, (const uint8_t *)data + sizeof(first), bytes - sizeof(first)) == 0;
}

static inline uint64_t block_sum(uint64_t block, const void *data, uint32_t bytes)
{
    if (block_sum_is_zero(data, bytes)) {
        return 0;
    }
    uint64_t sum = XXH3_64bits_withSeed(data, bytes, block);
    return sum == 0 ? 1 : sum;
}

#endif
