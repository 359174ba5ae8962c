// Objects of one size over memory of the caller: acquire and release in O(1), most recently
// released first (warm).
//
// Free objects form a stack through their own first bytes. Objects never used yet are not on it and
// not touched, so init costs nothing however large the pool. A full pool is a result (NULL), never
// an error.
#ifndef PONTOON_BASE_POOL_H
#define PONTOON_BASE_POOL_H

#include "engine/base/assert.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { POOL_OBJECT_BYTES_MIN = sizeof(uint32_t) };
#define POOL_NONE UINT32_MAX

struct pool {
    uint8_t *memory;     // capacity * object_bytes, the caller's, aligned for the object
    size_t object_bytes; // >= POOL_OBJECT_BYTES_MIN
    uint32_t capacity;   // objects; < POOL_NONE
    uint32_t touched;    // objects [0, touched) were handed out at least once
    uint32_t in_use;     // <= touched <= capacity
    uint32_t free_head;  // top of the stack of released objects, POOL_NONE when empty
};

static inline void pool_init(struct pool *pool, void *memory, size_t object_bytes,
                             uint32_t capacity)
{
    ASSERT_CMP(object_bytes, >=, POOL_OBJECT_BYTES_MIN);
    ASSERT_CMP(capacity, <, POOL_NONE);
    *pool = (struct pool){.memory = memory,
                          .object_bytes = object_bytes,
                          .capacity = capacity,
                          .free_head = POOL_NONE};
}

static inline void *pool_at(const struct pool *pool, uint32_t slot)
{
    ASSERT_CMP(slot, <, pool->touched);
    return pool->memory + (size_t)slot * pool->object_bytes;
}

// The position of an object in the pool's memory: a small name for it.
static inline uint32_t pool_slot(const struct pool *pool, const void *object)
{
    size_t offset = (size_t)((const uint8_t *)object - pool->memory);
    ASSERT_CMP(offset, <, (size_t)pool->touched * pool->object_bytes);
    ASSERT_CMP(offset % pool->object_bytes, ==, 0);
    return (uint32_t)(offset / pool->object_bytes);
}

// An object with undefined contents, NULL when all are in use.
static inline void *pool_acquire(struct pool *pool)
{
    uint32_t slot = pool->free_head;
    if (slot != POOL_NONE) {
        void *object = pool_at(pool, slot);
        memcpy(&pool->free_head, object, sizeof(pool->free_head));
        pool->in_use++;
        return object;
    }
    if (pool->touched == pool->capacity) {
        return NULL;
    }
    slot = pool->touched++;
    pool->in_use++;
    return pool_at(pool, slot);
}

// Gives back what pool_acquire returned. Releasing twice is a bug that only the count can notice.
static inline void pool_release(struct pool *pool, void *object)
{
    ASSERT_CMP(pool->in_use, >, 0);
    uint32_t slot = pool_slot(pool, object);
    memcpy(object, &pool->free_head, sizeof(pool->free_head));
    pool->free_head = slot;
    pool->in_use--;
}

#endif
