// The two hashes of the store: where a key lives, and what a pair adds to the digest of the state.
//
// Both are XXH3 with 64 bits, whose values are fixed by its specification: the same on every build
// and machine.
#ifndef PONTOON_APP_KV_KV_HASH_H
#define PONTOON_APP_KV_KV_HASH_H

#define XXH_INLINE_ALL
#include <stdint.h>
#include <xxhash.h>

static inline uint64_t kv_hash_key(const void *key, uint32_t bytes)
{
    return XXH3_64bits(key, bytes);
}

// Never depends on where the key ends and the value begins: the key comes in as the seed.
static inline uint64_t kv_hash_pair(uint64_t key_hash, const void *value, uint32_t bytes)
{
    return XXH3_64bits_withSeed(value, bytes, key_hash);
}

#endif
