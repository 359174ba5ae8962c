// Segments: leaves of up to 64 of them under one sorted list of leaves.
//
//     leads     0          4096         90112              smallest key of each leaf
//     leaf     [0,512)@7  [4096,8192)@9 [90112,...)@3 ...   '@': last writer
//
// Overlaying a range cuts what it touches out of the segments that are there, remembering their
// newest writer, and puts itself into the gap.
//
// A range that units can not hold turns them all into segments first. Each of them was put there
// once, so that costs no more than having put it among the segments at once.
#include "engine/core/conflict.h"

#include "engine/base/assert.h"

#include <assert.h>
#include <string.h>

enum { SWEEP_LEAVES_MIN = 16, LEAF_UNITS = 32 };

struct place {
    uint32_t leaf; // in the order of leads
    uint32_t slot;
};

static size_t round_line(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

// As many as there are segments at least.
static uint32_t units_max(uint32_t leaves)
{
    uint32_t max = CONFLICT_UNITS_MAX;
    while (max > leaves * LEAF_UNITS) {
        max /= 2;
    }
    return max;
}

size_t conflict_bytes(uint32_t leaves)
{
    return conflict_units_bytes(units_max(leaves)) + round_line(leaves * sizeof(uint64_t)) +
           2 * round_line(leaves * sizeof(uint32_t)) +
           leaves * round_line(sizeof(struct conflict_leaf));
}

void conflict_init(struct conflict *map, void *memory, uint32_t leaves)
{
    ASSERT_CMP(leaves, >=, CONFLICT_LEAVES_MIN);
    static_assert(sizeof(struct conflict_leaf) % 8 == 0, "leaves lie side by side");
    uint8_t *at = memory;
    *map = (struct conflict){.leaves_max = leaves, .sweep_at = SWEEP_LEAVES_MIN};
    conflict_units_init(&map->units, at, units_max(leaves));
    at += conflict_units_bytes(units_max(leaves));
    map->leads = (uint64_t *)(void *)at;
    at += round_line(leaves * sizeof(uint64_t));
    map->places = (uint32_t *)(void *)at;
    at += round_line(leaves * sizeof(uint32_t));
    map->free_places = (uint32_t *)(void *)at;
    at += round_line(leaves * sizeof(uint32_t));
    map->leaves = (struct conflict_leaf *)(void *)at;
    for (uint32_t place = 0; place < leaves; place++) {
        map->free_places[place] = place;
    }
}

// Empties the leaves from number `kept` on.
static void free_leaves(struct conflict *map, uint32_t kept)
{
    while (map->leaf_count > kept) {
        map->leaf_count--;
        map->free_places[map->leaf_count] = map->places[map->leaf_count];
    }
}

void conflict_reset(struct conflict *map, uint64_t floor)
{
    map->floor = map->newest = floor;
    map->sweep_at = SWEEP_LEAVES_MIN;
    conflict_units_clear(&map->units);
    free_leaves(map, 0);
}

static struct conflict_leaf *leaf_at(const struct conflict *map, uint32_t leaf)
{
    return &map->leaves[map->places[leaf]];
}

// How many of the sorted keys are at or below key.
static uint32_t count_upto(const uint64_t *keys, uint32_t count, uint64_t key)
{
    uint32_t low = 0;
    while (count > 0) {
        uint32_t half = (count + 1) / 2;
        low = keys[low + half - 1] <= key ? low + half : low;
        count -= half;
    }
    return low;
}

// The first segment that ends at or behind key: {leaf_count, 0} when there is none.
static struct place find(const struct conflict *map, uint64_t key)
{
    uint32_t leaf = count_upto(map->leads, map->leaf_count, key);
    if (leaf == 0) {
        return (struct place){0, 0};
    }
    const struct conflict_leaf *in = leaf_at(map, --leaf);
    uint32_t slot = count_upto(in->first, in->count, key) - 1; // its lead is at or below key
    slot += in->last[slot] < key;
    return slot < in->count ? (struct place){leaf, slot} : (struct place){leaf + 1, 0};
}

// --- leaves ---

static void open_leaf(struct conflict *map, uint32_t at)
{
    ASSERT_CMP(map->leaf_count, <, map->leaves_max);
    uint32_t behind = map->leaf_count - at;
    uint32_t place = map->free_places[map->leaf_count]; // places in use are not among these
    memmove(map->leads + at + 1, map->leads + at, behind * sizeof(map->leads[0]));
    memmove(map->places + at + 1, map->places + at, behind * sizeof(map->places[0]));
    map->places[at] = place;
    map->leaves[place].count = 0;
    map->leaf_count++;
}

static void close_leaf(struct conflict *map, uint32_t at)
{
    uint32_t behind = map->leaf_count - at - 1;
    map->free_places[map->leaf_count - 1] = map->places[at];
    memmove(map->leads + at, map->leads + at + 1, behind * sizeof(map->leads[0]));
    memmove(map->places + at, map->places + at + 1, behind * sizeof(map->places[0]));
    map->leaf_count--;
}

static void move_segments(struct conflict_leaf *to, uint32_t at, const struct conflict_leaf *from,
                          uint32_t slot, uint32_t count)
{
    memmove(to->first + at, from->first + slot, count * sizeof(to->first[0]));
    memmove(to->last + at, from->last + slot, count * sizeof(to->last[0]));
    memmove(to->index + at, from->index + slot, count * sizeof(to->index[0]));
}

static void split_leaf(struct conflict *map, uint32_t leaf)
{
    open_leaf(map, leaf + 1);
    struct conflict_leaf *low = leaf_at(map, leaf), *high = leaf_at(map, leaf + 1);
    // Keys that only grow (a log, a file written from its beginning) fill leaves to the brim.
    uint32_t kept = leaf + 2 == map->leaf_count ? low->count - 1 : low->count / 2;
    move_segments(high, 0, low, kept, low->count - kept);
    high->count = low->count - kept;
    low->count = kept;
    map->leads[leaf + 1] = high->first[0];
}

// Puts a segment in front of the one at `at`, between that and its predecessor.
static void insert(struct conflict *map, struct place at, uint64_t first, uint64_t last,
                   uint64_t index)
{
    if (map->leaf_count == 0) {
        open_leaf(map, 0);
    }
    if (at.slot == 0 && at.leaf > 0) {
        at.leaf--;
        at.slot = leaf_at(map, at.leaf)->count;
    }
    if (leaf_at(map, at.leaf)->count == CONFLICT_LEAF_SEGMENTS) {
        split_leaf(map, at.leaf);
        uint32_t kept = leaf_at(map, at.leaf)->count;
        if (at.slot > kept) {
            at.leaf++;
            at.slot -= kept;
        }
    }
    struct conflict_leaf *in = leaf_at(map, at.leaf);
    if (at.slot < in->count) {
        move_segments(in, at.slot + 1, in, at.slot, in->count - at.slot);
    }
    in->first[at.slot] = first;
    in->last[at.slot] = last;
    in->index[at.slot] = index;
    in->count++;
    map->leads[at.leaf] = in->first[0];
}

static void remove_segments(struct conflict *map, uint32_t leaf, uint32_t from, uint32_t end)
{
    struct conflict_leaf *in = leaf_at(map, leaf);
    move_segments(in, from, in, end, in->count - end);
    in->count -= end - from;
    if (in->count == 0) {
        close_leaf(map, leaf);
    } else {
        map->leads[leaf] = in->first[0];
    }
}

// --- room ---

// Keeps the segments whose writers are above `forget`, densely.
static void sweep_segments(struct conflict *map, uint64_t forget)
{
    uint32_t to = 0, slot = 0, leaves = map->leaf_count;
    map->sweeps++;
    for (uint32_t leaf = 0; leaf < leaves; leaf++) {
        const struct conflict_leaf *from = leaf_at(map, leaf);
        uint32_t count = from->count;
        for (uint32_t at = 0; at < count; at++) {
            if (from->index[at] <= forget) {
                continue;
            }
            if (slot == CONFLICT_LEAF_SEGMENTS) {
                to++;
                slot = 0;
            }
            struct conflict_leaf *into = leaf_at(map, to);
            into->first[slot] = from->first[at];
            into->last[slot] = from->last[at];
            into->index[slot++] = from->index[at];
            into->count = slot;
            map->leads[to] = into->first[0];
        }
    }
    free_leaves(map, slot == 0 ? 0 : to + 1);
}

// An entry opens at most one leaf more for each of its ranges and what is left behind them. A small
// map is a fast one, so what is forgotten goes whenever it has doubled, not only when it is full.
static void make_room_for_segments(struct conflict *map, uint32_t ranges, uint64_t forget)
{
    uint32_t need = 2 * ranges + 1;
    if (map->leaf_count < map->sweep_at && map->leaves_max - map->leaf_count >= need) {
        return;
    }
    sweep_segments(map, forget);
    uint32_t twice = 2 * map->leaf_count;
    map->sweep_at = twice > SWEEP_LEAVES_MIN ? twice : SWEEP_LEAVES_MIN;
    // At least a quarter, or the next sweep would follow at once.
    uint32_t quarter = map->leaves_max / 4;
    if (map->leaves_max - map->leaf_count < (need > quarter ? need : quarter)) {
        map->floors_raised++;
        conflict_reset(map, map->newest);
    }
}

// --- entries ---

// The newest writer but `self` among the segments that [first, last] touches, at least `newest`.
static uint64_t newest_in(const struct conflict *map, uint64_t first, uint64_t last,
                          uint64_t newest, uint64_t self)
{
    struct place at = find(map, first);
    for (; at.leaf < map->leaf_count; at.leaf++, at.slot = 0) {
        const struct conflict_leaf *in = leaf_at(map, at.leaf);
        for (; at.slot < in->count; at.slot++) {
            if (in->first[at.slot] > last) {
                return newest;
            }
            bool is_newer = in->index[at.slot] > newest && in->index[at.slot] != self;
            newest = is_newer ? in->index[at.slot] : newest;
        }
    }
    return newest;
}

// Cuts [first, last] out of all segments.
static void cut(struct conflict *map, uint64_t first, uint64_t last)
{
    struct place at = find(map, first);
    if (at.leaf == map->leaf_count) {
        return;
    }
    struct conflict_leaf *in = leaf_at(map, at.leaf);
    if (in->first[at.slot] < first) {
        uint64_t end = in->last[at.slot], index = in->index[at.slot];
        in->last[at.slot] = first - 1;
        if (end > last) {
            insert(map, find(map, last + 1), last + 1, end, index);
            return;
        }
        at.slot++;
    }
    while (at.leaf < map->leaf_count) {
        in = leaf_at(map, at.leaf);
        uint32_t end = at.slot;
        while (end < in->count && in->last[end] <= last) {
            end++;
        }
        bool is_through = end == in->count;
        if (!is_through && in->first[end] <= last) {
            in->first[end] = last + 1;
            map->leads[at.leaf] = in->first[0];
        }
        bool is_emptied = at.slot == 0 && is_through;
        if (end > at.slot) {
            remove_segments(map, at.leaf, at.slot, end);
        }
        if (!is_through) {
            return;
        }
        at.leaf += !is_emptied;
        at.slot = 0;
    }
}

// Makes the entry the last writer of [first, last]. Nearly all ranges touch no segment, or are
// exactly one. Result: the newest writer before it, at least `newest`. (What the entry's own ranges
// cover already was asked before they covered it.)
static uint64_t overlay(struct conflict *map, uint64_t first, uint64_t last, uint64_t index,
                        uint64_t newest)
{
    struct place at = find(map, first);
    struct conflict_leaf *in = at.leaf < map->leaf_count ? leaf_at(map, at.leaf) : NULL;
    if (in == NULL || in->first[at.slot] > last) {
        insert(map, at, first, last, index);
        return newest;
    }
    newest = newest_in(map, first, last, newest, index);
    if (in->first[at.slot] == first && in->last[at.slot] == last) {
        in->index[at.slot] = index;
        return newest;
    }
    cut(map, first, last);
    insert(map, find(map, first), first, last, index);
    return newest;
}

// Turns units into segments, those of one range that lie side by side into one.
static void spill_units(struct conflict *map, uint64_t forget)
{
    const struct conflict_units *units = &map->units;
    for (uint32_t at = 0, run; at < units->count; at += run) {
        const struct conflict_unit *writer = &units->writers[at];
        for (run = 1; at + run < units->count && writer[run].index == writer->index &&
                      writer[run].unit == writer->unit + run;) {
            run++;
        }
        make_room_for_segments(map, 1, forget); // (or there are no units any more)
        if (units->count > 0 && writer->index > forget) {
            uint64_t first = writer->unit << units->shift;
            uint64_t last = first + (((uint64_t)run << units->shift) - 1);
            map->newest_segment = map->newest;
            overlay(map, first, last, writer->index, 0);
        }
    }
    conflict_units_clear(&map->units);
}

// Forgets what it can and turns units into segments, until the entry has a place.
static void make_room(struct conflict *map, uint32_t ranges, uint64_t forget)
{
    conflict_units_sweep(&map->units, forget);
    map->sweeps++;
    if (map->units.count > map->units.max / 4 * 3 ||
        !conflict_units_have_room(&map->units, ranges)) {
        spill_units(map, forget);
    }
}

static bool do_fit(const struct conflict_units *units, const struct raft_footprint *ranges,
                   uint32_t count)
{
    uint32_t at = 0;
    while (at < count && conflict_units_fit(units, ranges[at])) {
        at++;
    }
    return at == count;
}

// (On its own, so that what nearly all entries take saves no registers for it.)
static __attribute__((noinline)) uint64_t add_any(struct conflict *map, uint64_t index,
                                                  const struct raft_footprint *ranges,
                                                  uint32_t count, uint64_t forget)
{
    struct conflict_units *units = &map->units;
    if (map->leaf_count > 0 && map->newest_segment <= forget) {
        free_leaves(map, 0);
        map->sweep_at = SWEEP_LEAVES_MIN;
    }
    if (!conflict_units_have_room(units, count)) {
        make_room(map, count, forget);
    }
    if (units->count > 0 && !do_fit(units, ranges, count)) {
        spill_units(map, forget);
    }
    if (units->count == 0 && count > 0) {
        conflict_units_choose(units, ranges[0]);
        make_room_for_segments(map, count, forget);
    }
    map->newest = index;
    uint64_t depends_on = map->floor;
    for (uint32_t at = 0; at < count; at++) {
        ASSERT(raft_footprint_is_valid(ranges[at]));
        uint64_t first = ranges[at].start, last = first + (ranges[at].length - 1);
        if (!conflict_units_fit(units, ranges[at])) {
            map->newest_segment = index;
            depends_on = overlay(map, first, last, index, depends_on);
            continue;
        }
        depends_on = conflict_units_add(units, ranges[at], index, depends_on);
        if (map->leaf_count > 0) {
            depends_on = newest_in(map, first, last, depends_on, index);
        }
    }
    return depends_on;
}

uint64_t conflict_add(struct conflict *map, uint64_t index, const struct raft_footprint *ranges,
                      uint32_t count, uint64_t forget)
{
    ASSERT(index > map->newest && count <= RAFT_FOOTPRINTS_MAX);
    struct conflict_units *units = &map->units;
    if (count == 1 && map->leaf_count == 0 && conflict_units_is_one(units, ranges[0])) {
        map->newest = index; // nearly always
        return conflict_units_write(units, ranges[0].start >> units->shift, index, map->floor);
    }
    return add_any(map, index, ranges, count, forget);
}

uint64_t conflict_add_all(struct conflict *map, uint64_t index)
{
    ASSERT_CMP(index, >, map->newest);
    conflict_reset(map, index);
    return index - 1;
}

uint64_t conflict_find(const struct conflict *map, struct raft_footprint range)
{
    uint64_t first = range.start, last = first + (range.length - 1);
    uint64_t newest = newest_in(map, first, last, map->floor, 0);
    return map->units.count == 0 ? newest : conflict_units_find(&map->units, first, last, newest);
}
