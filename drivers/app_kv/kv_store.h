// The state of `kv`: pairs in a heap, an index over them, and what makes two states equal.
//
// Decides when the store is full, where records go, and when the heap is cleaned. All memory is
// given at init.
//
// Full is a matter of two sums, both the same on every replica: the pairs, and the bytes they weigh
// by kv_pair_bytes(). The limits are part of the state (they decide the results of later commands):
// they are in the digest and travel with a checkpoint.
//
// Digest: sum of kv_hash_pair() over all pairs, so that order and history do not show, folded with
// the limits.
//
// No thread-safety: one state machine, one thread at a time.
#ifndef PONTOON_APP_KV_KV_STORE_H
#define PONTOON_APP_KV_KV_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/app_kv/kv_command.h"
#include "drivers/app_kv/kv_heap.h"
#include "drivers/app_kv/kv_index.h"

enum { KV_SLOT_NONE = UINT32_MAX };

#define KV_STORE_MEMORY_BYTES_MIN (UINT64_C(8) << 20)
#define KV_STORE_MEMORY_BYTES_MAX (UINT64_C(64) << 30)

struct kv_limits {
    uint64_t capacity_bytes; // sum of kv_pair_bytes() ≤ this
    uint64_t pairs_max;
};

struct kv_store {
    struct kv_index index;
    struct kv_heap heap;
    struct kv_limits limits;     // in force, ≤ limits_own
    struct kv_limits limits_own; // what this store's memory can keep
    uint64_t pairs;
    uint64_t bytes;     // sum of kv_pair_bytes() over all pairs; the live bytes of the heap
    uint64_t pairs_sum; // sum of kv_hash_pair() over all pairs
};

// What a store with this much memory can keep. `memory_bytes` in KV_STORE_MEMORY_BYTES_MIN..MAX.
struct kv_limits kv_store_limits(uint64_t memory_bytes);

// Takes `memory`, aligned to 64, and empties the store.
void kv_store_init(struct kv_store *store, void *memory, uint64_t memory_bytes);

// No pairs, and the store's own limits.
void kv_store_clear(struct kv_store *store);

uint64_t kv_store_digest(const struct kv_store *store);

// Hints for what is to come: the index's line of the hash, then (once that has arrived) the record
// there.
void kv_store_prefetch_slot(const struct kv_store *store, uint64_t hash);
void kv_store_prefetch_record(const struct kv_store *store, uint64_t hash);

// The record of the key, or NULL; valid until the next put, remove or clear. `hash` is
// kv_hash_key().
const struct kv_record *kv_store_get(const struct kv_store *store, uint64_t hash,
                                     struct kv_bytes key);

// Executes a decoded command. `hash` is kv_hash_key() of its key.
enum kv_result kv_store_execute(struct kv_store *store, uint64_t hash,
                                const struct kv_command *command);

// For restore into a cleared store: takes over the limits; false when this store's memory cannot
// keep them.
bool kv_store_adopt(struct kv_store *store, struct kv_limits limits);

// Restore a pair: reserve a record for it (NULL: beyond the limits), fill its data (key, value),
// commit (false: the key is there already; the record is dropped).
struct kv_record *kv_store_reserve(struct kv_store *store, uint32_t key_bytes,
                                   uint32_t value_bytes);
bool kv_store_commit(struct kv_store *store, struct kv_record *record);

#endif
