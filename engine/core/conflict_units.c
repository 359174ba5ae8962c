// Last writers of whole units, hashed.
#include "engine/core/conflict_units.h"

#include "engine/base/assert.h"

#include <string.h>

enum { LIMIT_MIN = 512, SHIFT_MAX = 59 }; // (2^59 keys, times 16, still is a length)

static size_t round_line(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

static size_t writers_bytes(uint32_t max)
{
    return round_line(max * sizeof(struct conflict_unit));
}

size_t conflict_units_bytes(uint32_t max)
{
    return writers_bytes(max) + round_line(2 * max * sizeof(uint16_t));
}

static void set_limit(struct conflict_units *units, uint32_t limit)
{
    units->limit = limit;
    units->hash_shift = 63 - (uint32_t)__builtin_ctz(limit); // two slots for each writer
    memset(units->slots, 0, 2 * limit * sizeof(units->slots[0]));
}

void conflict_units_init(struct conflict_units *units, void *memory, uint32_t max)
{
    ASSERT(max <= CONFLICT_UNITS_MAX && (max & (max - 1)) == 0);
    *units = (struct conflict_units){
        .max = max,
        .writers = memory,
        .slots = (uint16_t *)(void *)((uint8_t *)memory + writers_bytes(max))};
    set_limit(units, max < LIMIT_MIN ? max : LIMIT_MIN);
}

void conflict_units_clear(struct conflict_units *units)
{
    if (units->count > 0) {
        units->count = 0;
        set_limit(units, units->limit);
    }
}

void conflict_units_choose(struct conflict_units *units, struct raft_footprint range)
{
    ASSERT_CMP(units->count, ==, 0);
    uint32_t shift = (uint32_t)__builtin_ctzll(range.start | range.length);
    units->shift = shift < SHIFT_MAX ? shift : SHIFT_MAX;
    units->inside = (UINT64_C(1) << units->shift) - 1;
    units->longest = (uint64_t)CONFLICT_RANGE_UNITS << units->shift;
}

// The unit's slot, or the free one where it would go.
static uint16_t *slot_of(const struct conflict_units *units, uint64_t unit)
{
    uint64_t at = unit * UINT64_C(0x9E3779B97F4A7C15) >> units->hash_shift;
    uint32_t mask = 2 * units->limit - 1;
    while (units->slots[at] != 0 && units->writers[units->slots[at] - 1].unit != unit) {
        at = (at + 1) & mask;
    }
    return &units->slots[at];
}

void conflict_units_sweep(struct conflict_units *units, uint64_t forget)
{
    uint32_t kept = 0;
    for (uint32_t at = 0; at < units->count; at++) {
        units->writers[kept] = units->writers[at];
        kept += units->writers[at].index > forget;
    }
    // Small tables are fast; with a quarter in use the next sweep is far enough away.
    uint32_t limit = units->max < LIMIT_MIN ? units->max : LIMIT_MIN;
    while (limit < 4 * kept && limit < units->max) {
        limit *= 2;
    }
    set_limit(units, limit);
    for (units->count = 0; units->count < kept;) {
        uint16_t *slot = slot_of(units, units->writers[units->count].unit);
        *slot = (uint16_t)++units->count;
    }
}

uint64_t conflict_units_write(struct conflict_units *units, uint64_t unit, uint64_t index,
                              uint64_t newest)
{
    uint16_t *slot = slot_of(units, unit);
    if (*slot == 0) {
        units->writers[units->count] = (struct conflict_unit){.unit = unit, .index = index};
        *slot = (uint16_t)++units->count;
        return newest;
    }
    struct conflict_unit *writer = &units->writers[*slot - 1];
    uint64_t before = writer->index;
    writer->index = index;
    return before > newest && before != index ? before : newest;
}

uint64_t conflict_units_add(struct conflict_units *units, struct raft_footprint range,
                            uint64_t index, uint64_t newest)
{
    uint64_t unit = range.start >> units->shift, end = unit + (range.length >> units->shift);
    do {
        newest = conflict_units_write(units, unit, index, newest);
    } while (++unit != end); // (which is 0 at the top of the key space)
    return newest;
}

uint64_t conflict_units_find(const struct conflict_units *units, uint64_t first, uint64_t last,
                             uint64_t newest)
{
    first >>= units->shift;
    last >>= units->shift;
    if (last - first >= units->count) {
        for (uint32_t at = 0; at < units->count; at++) {
            const struct conflict_unit *writer = &units->writers[at];
            bool is_newer = writer->unit >= first && writer->unit <= last && writer->index > newest;
            newest = is_newer ? writer->index : newest;
        }
        return newest;
    }
    for (uint64_t behind = 0; behind <= last - first; behind++) {
        uint16_t slot = *slot_of(units, first + behind);
        uint64_t index = slot == 0 ? 0 : units->writers[slot - 1].index;
        newest = index > newest ? index : newest;
    }
    return newest;
}
