#include "drivers/app_kv/kv_heap.h"

#include "engine/base/assert.h"

void kv_heap_init(struct kv_heap *heap, void *memory, uint64_t bytes)
{
    ASSERT_CMP((uintptr_t)memory % KV_PAIR_ALIGN_BYTES, ==, 0);
    ASSERT_CMP(bytes % KV_PAIR_ALIGN_BYTES, ==, 0);
    ASSERT_CMP(bytes / KV_PAIR_ALIGN_BYTES, <, UINT32_MAX);
    heap->base = memory;
    heap->bytes = bytes;
    kv_heap_clear(heap);
}

void kv_heap_clear(struct kv_heap *heap)
{
    heap->head = 0;
    heap->tail = 0;
    heap->used_bytes = 0;
}

uint64_t kv_heap_need_bytes(const struct kv_heap *heap, uint64_t bytes)
{
    uint64_t before_end = heap->bytes - heap->head;
    return bytes <= before_end ? bytes : before_end + bytes;
}

static struct kv_record *take(struct kv_heap *heap, uint64_t bytes)
{
    struct kv_record *record = (struct kv_record *)(heap->base + heap->head);
    heap->head += bytes;
    heap->used_bytes += bytes;
    return record;
}

// Starts the next lap.
static void close_lap(struct kv_heap *heap)
{
    uint64_t bytes = heap->bytes - heap->head;
    if (bytes > 0) {
        struct kv_record *filler = take(heap, bytes);
        filler->state = KV_RECORD_FILLER;
        filler->pair = bytes;
    }
    heap->head = 0;
}

struct kv_record *kv_heap_append(struct kv_heap *heap, uint64_t bytes)
{
    ASSERT_CMP(kv_heap_need_bytes(heap, bytes), <=, kv_heap_free_bytes(heap));
    if (bytes > heap->bytes - heap->head) {
        close_lap(heap);
    }
    return take(heap, bytes);
}

void kv_heap_drop_oldest(struct kv_heap *heap)
{
    struct kv_record *oldest = (struct kv_record *)(heap->base + heap->tail);
    uint64_t bytes = kv_heap_record_bytes(oldest);
    ASSERT_CMP(bytes, <=, heap->used_bytes);
    heap->used_bytes -= bytes;
    heap->tail += bytes;
    if (heap->tail == heap->bytes) {
        heap->tail = 0;
    }
}

struct kv_heap_cursor kv_heap_walk(const struct kv_heap *heap)
{
    return (struct kv_heap_cursor){.offset = heap->tail, .left_bytes = heap->used_bytes};
}

struct kv_record *kv_heap_next(const struct kv_heap *heap, struct kv_heap_cursor *cursor)
{
    if (cursor->left_bytes == 0) {
        return NULL;
    }
    struct kv_record *record = (struct kv_record *)(heap->base + cursor->offset);
    uint64_t bytes = kv_heap_record_bytes(record);
    cursor->left_bytes -= bytes;
    cursor->offset += bytes;
    if (cursor->offset == heap->bytes) {
        cursor->offset = 0;
    }
    return record;
}
