#include "tests/fuzz/memory.h"

#include <malloc.h>
#include <sanitizer/asan_interface.h>
#include <stddef.h>
#include <string.h>

enum { LARGE_BYTES = 32 << 10, BLOCKS_MAX = 128, ALIGN = 4096 };

struct block {
    uint8_t *memory;
    size_t bytes;
    bool is_free;
};

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
void __real_free(void *memory);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
void __wrap_free(void *memory);

static struct block blocks[BLOCKS_MAX];
static uint32_t block_count;
static bool is_counting;
static uint64_t allocations;

void memory_count(bool on)
{
    is_counting = on;
}

uint64_t memory_allocations(void)
{
    return allocations;
}

static struct block *find(const void *memory)
{
    for (uint32_t at = 0; at < block_count; at++) {
        if (blocks[at].memory == memory) {
            return &blocks[at];
        }
    }
    return NULL;
}

// A kept block of this size, or a new one; NULL: not our affair.
static void *take(size_t bytes)
{
    if (bytes < LARGE_BYTES) {
        return NULL;
    }
    for (uint32_t at = 0; at < block_count; at++) {
        if (blocks[at].is_free && blocks[at].bytes == bytes) {
            blocks[at].is_free = false;
            ASAN_UNPOISON_MEMORY_REGION(blocks[at].memory, bytes);
            return blocks[at].memory;
        }
    }
    if (block_count == BLOCKS_MAX) {
        return NULL;
    }
    uint8_t *memory = __real_aligned_alloc(ALIGN, (bytes + ALIGN - 1) / ALIGN * ALIGN);
    if (memory != NULL) {
        blocks[block_count++] = (struct block){.memory = memory, .bytes = bytes};
    }
    return memory;
}

void *__wrap_malloc(size_t bytes)
{
    allocations += is_counting;
    void *memory = take(bytes);
    return memory != NULL ? memory : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    allocations += is_counting;
    void *memory = bytes == 0 || count <= SIZE_MAX / bytes ? take(count * bytes) : NULL;
    return memory != NULL ? memset(memory, 0, count * bytes) : __real_calloc(count, bytes);
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
    allocations += is_counting;
    void *memory = align <= ALIGN ? take(bytes) : NULL;
    return memory != NULL ? memory : __real_aligned_alloc(align, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    allocations += is_counting;
    const struct block *block = find(old);
    void *memory = old != NULL && block == NULL && bytes < LARGE_BYTES ? NULL : take(bytes);
    if (memory == NULL) {
        return block == NULL ? __real_realloc(old, bytes) : NULL;
    }
    if (old != NULL) {
        size_t had = block != NULL ? block->bytes : malloc_usable_size(old);
        memcpy(memory, old, had < bytes ? had : bytes);
        __wrap_free(old);
    }
    return memory;
}

void __wrap_free(void *memory)
{
    struct block *block = memory == NULL ? NULL : find(memory);
    if (block == NULL) {
        __real_free(memory);
        return;
    }
    block->is_free = true;
    ASAN_POISON_MEMORY_REGION(block->memory, block->bytes);
}
