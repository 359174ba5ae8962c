// The memory of all pairs: one circular log of records, written at the head, cleaned at the tail.
//
//     offset 0        tail                          head              bytes
//        |...free......|live|dead|live|live|...|live|......free.........|
//
// A record never moves its end across the arena's end: a filler closes the lap instead. Space comes
// back only at the tail: a dead record or filler there is dropped, a live one is copied to the head
// first. So nothing is ever fragmented, every record is contiguous, and what fits depends on the
// sum of the live records alone (kv_store.c shows how much that may be, and paces the cleaning).
//
// No thread-safety: one state machine, one thread at a time.
#ifndef PONTOON_APP_KV_KV_HEAP_H
#define PONTOON_APP_KV_KV_HEAP_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "drivers/app_kv/kv_format.h"

enum kv_record_state { KV_RECORD_LIVE = 1, KV_RECORD_DEAD = 2, KV_RECORD_FILLER = 3 };

// Aligned to KV_PAIR_ALIGN_BYTES; takes kv_pair_bytes() of the heap (a filler: `pair` bytes).
struct kv_record {
    uint64_t pair; // kv_hash_pair() of this pair; in a filler its whole length, in bytes
    uint32_t value_bytes;
    uint16_t key_bytes;
    uint16_t state; // enum kv_record_state
    uint8_t data[]; // key, value
};
static_assert(sizeof(struct kv_record) == KV_PAIR_OVERHEAD_BYTES, "what a pair is charged");

struct kv_heap {
    uint8_t *base;       // aligned to KV_PAIR_ALIGN_BYTES
    uint64_t bytes;      // multiple of KV_PAIR_ALIGN_BYTES
    uint64_t head;       // offset of the next record, ≤ bytes
    uint64_t tail;       // offset of the oldest record, < bytes
    uint64_t used_bytes; // from tail to head: live, dead and fillers; ≤ bytes
};

enum { KV_RECORD_BYTES_MAX = RAFT_PAYLOAD_BYTES_MAX + KV_PAIR_ALIGN_BYTES };

void kv_heap_init(struct kv_heap *heap, void *memory, uint64_t bytes);

// Forgets everything.
void kv_heap_clear(struct kv_heap *heap);

// What an append of `bytes` takes of the free space: the record, and a filler when it does not fit
// before the end.
uint64_t kv_heap_need_bytes(const struct kv_heap *heap, uint64_t bytes);

// A record of `bytes` (a multiple of KV_PAIR_ALIGN_BYTES) at the head; its fields are the caller's
// to fill at once. Requires kv_heap_need_bytes() ≤ kv_heap_free_bytes().
struct kv_record *kv_heap_append(struct kv_heap *heap, uint64_t bytes);

// Takes the record at the tail off the log. Its bytes stay readable until the next append.
void kv_heap_drop_oldest(struct kv_heap *heap);

static inline uint64_t kv_heap_free_bytes(const struct kv_heap *heap)
{
    return heap->bytes - heap->used_bytes;
}

static inline uint64_t kv_heap_record_bytes(const struct kv_record *record)
{
    return record->state == KV_RECORD_FILLER
               ? record->pair
               : kv_pair_bytes(record->key_bytes, record->value_bytes);
}

// Locations name records in 32 bits: 1 + offset / KV_PAIR_ALIGN_BYTES, 0 is none.
static inline struct kv_record *kv_heap_at(const struct kv_heap *heap, uint32_t location)
{
    return (struct kv_record *)(heap->base + (uint64_t)(location - 1) * KV_PAIR_ALIGN_BYTES);
}

static inline uint32_t kv_heap_location(const struct kv_heap *heap, const struct kv_record *record)
{
    return (uint32_t)((uint64_t)((const uint8_t *)record - heap->base) / KV_PAIR_ALIGN_BYTES) + 1;
}

// Walks the log from tail to head: begin with kv_heap_walk, then kv_heap_next until it gives NULL.
// Nothing may be appended or dropped meanwhile.
struct kv_heap_cursor {
    uint64_t offset;     // of the next record
    uint64_t left_bytes; // of the log from there
};

struct kv_heap_cursor kv_heap_walk(const struct kv_heap *heap);
struct kv_record *kv_heap_next(const struct kv_heap *heap, struct kv_heap_cursor *cursor);

#endif
