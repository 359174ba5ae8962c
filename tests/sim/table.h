// A map from 64-bit keys to small numbers: open addressing, emptied at once by a new generation.
#ifndef PONTOON_TESTS_SIM_TABLE_H
#define PONTOON_TESTS_SIM_TABLE_H

#include <stdint.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/prng.h"

struct table_slot {
    uint64_t key;
    uint32_t value;
    uint32_t generation; // the slot is taken when it is the table's
};

// Zeroed memory is an empty table.
struct table {
    struct table_slot *slots;
    uint32_t capacity; // 0, or a power of two
    uint32_t count;    // <= capacity / 2
    uint32_t generation;
};

static inline void table_fini(struct table *table)
{
    free(table->slots);
    *table = (struct table){0};
}

static inline void table_reset(struct table *table)
{
    table->count = 0;
    if (++table->generation == 0) {
        table_fini(table);
    }
}

// The slot of the key, or the free one where it belongs.
static inline struct table_slot *table_slot_of(const struct table *table, uint64_t key)
{
    uint64_t state = key;
    uint32_t mask = table->capacity - 1, at = (uint32_t)prng_splitmix(&state) & mask;
    while (table->slots[at].generation == table->generation && table->slots[at].key != key) {
        at = (at + 1) & mask;
    }
    return &table->slots[at];
}

static inline void table_double(struct table *table)
{
    const struct table old = *table;
    table->capacity = old.capacity == 0 ? 64 : old.capacity * 2;
    table->generation = 1; // free slots have 0
    table->slots = calloc(table->capacity, sizeof(*table->slots));
    ASSERT(table->slots != NULL);
    for (uint32_t at = 0; at < old.capacity; at++) {
        if (old.slots[at].generation == old.generation) {
            struct table_slot *slot = table_slot_of(table, old.slots[at].key);
            *slot = (struct table_slot){old.slots[at].key, old.slots[at].value, 1};
        }
    }
    free(old.slots);
}

// The value of the key; `fresh` becomes it when the key is new.
static inline uint32_t table_find_or_add(struct table *table, uint64_t key, uint32_t fresh)
{
    if (table->count * 2 >= table->capacity) {
        table_double(table);
    }
    struct table_slot *slot = table_slot_of(table, key);
    if (slot->generation != table->generation) {
        *slot = (struct table_slot){key, fresh, table->generation};
        table->count++;
    }
    return slot->value;
}

#endif
