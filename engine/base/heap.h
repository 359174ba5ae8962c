// Which id is due next? A binary min-heap of deadlines in which each id stands at most once and can
// be moved.
//
// The order is (deadline, id), so equal deadlines leave in order of id and a run can be repeated
// exactly. Insert, move, remove and pop cost O(log n), looking at the first O(1). The caller owns
// both arrays; nothing is allocated.
#ifndef PONTOON_BASE_HEAP_H
#define PONTOON_BASE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#define HEAP_NONE UINT32_MAX

struct heap_item {
    uint64_t deadline_ns;
    uint32_t id; // < ids_max
};

struct heap {
    struct heap_item *items; // [0, count) is the heap; room for ids_max
    uint32_t *positions;     // by id: where it stands in items, HEAP_NONE when it does not
    uint32_t count;          // <= ids_max
    uint32_t ids_max;
};

// Starts empty. Both arrays have ids_max elements and stay the caller's.
void heap_init(struct heap *heap, struct heap_item *items, uint32_t *positions, uint32_t ids_max);

// Puts id at this deadline, whether it stood in the heap or not.
void heap_update(struct heap *heap, uint32_t id, uint64_t deadline_ns);

// Takes id out; without effect when it is not in.
void heap_remove(struct heap *heap, uint32_t id);

// Takes out the first item if it is due: deadline_ns <= now_ns. Result: whether *id was set.
bool heap_pop_due(struct heap *heap, uint64_t now_ns, uint32_t *id);

static inline bool heap_contains(const struct heap *heap, uint32_t id)
{
    return heap->positions[id] != HEAP_NONE;
}

// The earliest deadline, UINT64_MAX when the heap is empty.
static inline uint64_t heap_next_ns(const struct heap *heap)
{
    return heap->count == 0 ? UINT64_MAX : heap->items[0].deadline_ns;
}

#endif
