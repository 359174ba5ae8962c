// From the hash of a key to the places where its record may be: open addressing, linear probing,
// eight bytes a slot.
//
// A slot keeps the upper 32 bits of the hash, of which the topmost choose its home. So a removal
// can close the gap behind it (no tombstones, probes stay short for ever) without touching a single
// record. At most 3/4 of the slots are used.
#ifndef PONTOON_APP_KV_KV_INDEX_H
#define PONTOON_APP_KV_KV_INDEX_H

#include <stdint.h>

struct kv_slot {
    uint32_t tag;      // upper 32 bits of the hash of the key
    uint32_t location; // of the record (kv_heap.h); 0: empty
};

struct kv_index {
    struct kv_slot *slots; // mask + 1 of them, a power of two
    uint32_t mask;
    uint32_t shift; // home = tag >> shift
};

// `slots` slots, a power of two in 4..2^30, in memory of slots * sizeof(struct kv_slot) bytes.
void kv_index_init(struct kv_index *index, void *memory, uint32_t slots);
void kv_index_clear(struct kv_index *index);

static inline uint32_t kv_index_tag(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

static inline uint32_t kv_index_home(const struct kv_index *index, uint64_t hash)
{
    return kv_index_tag(hash) >> index->shift;
}

static inline uint32_t kv_index_after(const struct kv_index *index, uint32_t slot)
{
    return (slot + 1) & index->mask;
}

// Adds a record; the caller keeps the table from filling up. Several records may have the same
// hash.
void kv_index_insert(struct kv_index *index, uint64_t hash, uint32_t location);

// Empties `slot` and moves later slots of the cluster up.
void kv_index_remove(struct kv_index *index, uint32_t slot);

// The record at `from` is now at `to`. It must be in the table.
void kv_index_relocate(struct kv_index *index, uint64_t hash, uint32_t from, uint32_t to);

#endif
