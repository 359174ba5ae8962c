// The quick part of the conflict index (conflict.h): last writers of whole units.
//
// A unit is 2^shift keys, aligned: one key of a key-value store, one block of a volume. The first
// range that comes while the table is empty says how large units are; it takes ranges of up to
// CONFLICT_RANGE_UNITS whole units. Since a unit has one last writer for all of its keys, the table
// is exact.
//
// Writers lie side by side in the order they came (so forgetting is one pass), a hash table of
// their places finds them: open addressing, never more than half full.
//
// Single thread. The memory is the caller's.
#ifndef PONTOON_CORE_CONFLICT_UNITS_H
#define PONTOON_CORE_CONFLICT_UNITS_H

#include "engine/core/types.h"

enum { CONFLICT_RANGE_UNITS = 16, CONFLICT_UNITS_MAX = 32768 };

struct conflict_unit {
    uint64_t unit;  // key >> shift
    uint64_t index; // of its last writer
};

struct conflict_units {
    uint64_t inside;       // 2^shift - 1
    uint64_t longest;      // keys of a range
    uint32_t shift;        // meaningless while count is 0
    uint32_t count, limit; // writers; limit is a power of two, there are twice as many slots
    uint32_t max;          // of limit
    uint32_t hash_shift;
    uint16_t *slots; // place + 1 of the writer; 0: free
    struct conflict_unit *writers;
};

// Bytes of memory for up to `max` writers: a power of two, ≤ CONFLICT_UNITS_MAX.
size_t conflict_units_bytes(uint32_t max);
// An empty table in `memory`, aligned to 64.
void conflict_units_init(struct conflict_units *units, void *memory, uint32_t max);
void conflict_units_clear(struct conflict_units *units);

// While the table is empty: from now on units are as large as the range allows.
void conflict_units_choose(struct conflict_units *units, struct raft_footprint range);
// Does the range consist of so few whole units?
static inline bool conflict_units_fit(const struct conflict_units *units,
                                      struct raft_footprint range)
{
    return ((range.start | range.length) & units->inside) == 0 && range.length <= units->longest;
}
// Is there room for so many ranges?
static inline bool conflict_units_have_room(const struct conflict_units *units, uint32_t ranges)
{
    return units->count + ranges * CONFLICT_RANGE_UNITS <= units->limit;
}
// Keeps the writers above `forget`; the table grows or shrinks to what is left.
void conflict_units_sweep(struct conflict_units *units, uint64_t forget);

// Is it exactly one unit of a table that has some, and room for another?
static inline bool conflict_units_is_one(const struct conflict_units *units,
                                         struct raft_footprint range)
{
    return range.length == units->inside + 1 && (range.start & units->inside) == 0 &&
           units->count - 1 < units->limit - 1;
}
// Makes entry `index` the last writer of a unit, or of a range that fits, for which there is room.
// Result: the newest other writer before it, at least `newest`.
uint64_t conflict_units_write(struct conflict_units *units, uint64_t unit, uint64_t index,
                              uint64_t newest);
uint64_t conflict_units_add(struct conflict_units *units, struct raft_footprint range,
                            uint64_t index, uint64_t newest);
// The newest writer among the units that [first, last] touches, at least `newest`.
uint64_t conflict_units_find(const struct conflict_units *units, uint64_t first, uint64_t last,
                             uint64_t newest);

#endif
