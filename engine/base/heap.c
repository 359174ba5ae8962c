// Invariants: items[parent] is not after items[child], and positions[items[i].id] == i for all i <
// count.
#include "engine/base/heap.h"

#include "engine/base/assert.h"

static bool is_before(const struct heap_item *left, const struct heap_item *right)
{
    if (left->deadline_ns != right->deadline_ns) {
        return left->deadline_ns < right->deadline_ns;
    }
    return left->id < right->id;
}

static void place(struct heap *heap, uint32_t position, struct heap_item item)
{
    heap->items[position] = item;
    heap->positions[item.id] = position;
}

// Fills the gap at `position` with `item`, moving later parents down into it.
static void sift_up(struct heap *heap, uint32_t position, struct heap_item item)
{
    while (position > 0) {
        uint32_t parent = (position - 1) / 2;
        if (!is_before(&item, &heap->items[parent])) {
            break;
        }
        place(heap, position, heap->items[parent]);
        position = parent;
    }
    place(heap, position, item);
}

// Fills the gap at `position` with `item`, moving earlier children up into it.
static void sift_down(struct heap *heap, uint32_t position, struct heap_item item)
{
    for (;;) {
        uint64_t child = 2 * (uint64_t)position + 1;
        if (child >= heap->count) {
            break;
        }
        if (child + 1 < heap->count && is_before(&heap->items[child + 1], &heap->items[child])) {
            child++;
        }
        if (!is_before(&heap->items[child], &item)) {
            break;
        }
        place(heap, position, heap->items[child]);
        position = (uint32_t)child;
    }
    place(heap, position, item);
}

// Fills the gap at `position` with `item`, which may belong above or below it.
static void settle(struct heap *heap, uint32_t position, struct heap_item item)
{
    if (position > 0 && is_before(&item, &heap->items[(position - 1) / 2])) {
        sift_up(heap, position, item);
    } else {
        sift_down(heap, position, item);
    }
}

void heap_init(struct heap *heap, struct heap_item *items, uint32_t *positions, uint32_t ids_max)
{
    ASSERT_CMP(ids_max, <, HEAP_NONE);
    *heap = (struct heap){.items = items, .positions = positions, .ids_max = ids_max};
    for (uint32_t id = 0; id < ids_max; id++) {
        positions[id] = HEAP_NONE;
    }
}

void heap_update(struct heap *heap, uint32_t id, uint64_t deadline_ns)
{
    ASSERT_CMP(id, <, heap->ids_max);
    struct heap_item item = {.deadline_ns = deadline_ns, .id = id};
    if (heap_contains(heap, id)) {
        settle(heap, heap->positions[id], item);
    } else {
        sift_up(heap, heap->count++, item);
    }
}

void heap_remove(struct heap *heap, uint32_t id)
{
    ASSERT_CMP(id, <, heap->ids_max);
    uint32_t gap = heap->positions[id];
    if (gap == HEAP_NONE) {
        return;
    }
    heap->positions[id] = HEAP_NONE;
    heap->count--;
    if (gap != heap->count) {
        settle(heap, gap, heap->items[heap->count]);
    }
}

bool heap_pop_due(struct heap *heap, uint64_t now_ns, uint32_t *id)
{
    if (heap->count == 0 || heap->items[0].deadline_ns > now_ns) {
        return false;
    }
    *id = heap->items[0].id;
    heap_remove(heap, *id);
    return true;
}
