// The conflict index against a plain list of all entries: exact, whatever the ranges; safe when it
// is full.
#include "engine/core/conflict.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/prng.h"
#include "tests/harness/harness.h"

enum { ENTRIES_MAX = 20000 };

struct past {
    struct raft_footprint ranges[RAFT_FOOTPRINTS_MAX];
    uint32_t count; // RAFT_FOOTPRINTS_MAX + 1: everything
};

static struct past pasts[ENTRIES_MAX + 1];
static struct conflict map;
static void *memory;

static void open_map(uint32_t leaves)
{
    free(memory);
    memory = aligned_alloc(64, (conflict_bytes(leaves) + 63) & ~(size_t)63);
    CHECK(memory != NULL);
    conflict_init(&map, memory, leaves);
}

static bool overlap(struct raft_footprint a, struct raft_footprint b)
{
    return a.start <= b.start + (b.length - 1) && b.start <= a.start + (a.length - 1);
}

static bool conflicts(const struct past *a, const struct past *b)
{
    if (a->count > RAFT_FOOTPRINTS_MAX || b->count > RAFT_FOOTPRINTS_MAX) {
        return true;
    }
    for (uint32_t i = 0; i < a->count; i++) {
        for (uint32_t j = 0; j < b->count; j++) {
            if (overlap(a->ranges[i], b->ranges[j])) {
                return true;
            }
        }
    }
    return false;
}

// The newest entry before index that conflicts with it, by looking at all of them.
static uint64_t expected(uint64_t index)
{
    for (uint64_t other = index - 1; other > 0; other--) {
        if (conflicts(&pasts[index], &pasts[other])) {
            return other;
        }
    }
    return 0;
}

static uint64_t add(uint64_t index, uint64_t forget)
{
    const struct past *past = &pasts[index];
    return past->count > RAFT_FOOTPRINTS_MAX
               ? conflict_add_all(&map, index)
               : conflict_add(&map, index, past->ranges, past->count, forget);
}

static void draw(struct prng *prng, struct past *past, uint64_t keys, uint64_t longest)
{
    past->count = prng_below(prng, 500) == 0 ? RAFT_FOOTPRINTS_MAX + 1
                                             : (uint32_t)prng_below(prng, RAFT_FOOTPRINTS_MAX + 1);
    uint64_t origin = prng_below(prng, 2) == 0 ? 0 : UINT64_MAX - keys - longest + 1;
    for (uint32_t at = 0; at < past->count && at < RAFT_FOOTPRINTS_MAX; at++) {
        past->ranges[at] =
            (struct raft_footprint){origin + prng_below(prng, keys), 1 + prng_below(prng, longest)};
    }
}

static void check_order(void)
{
    uint64_t before = 0;
    bool is_first = true;
    for (uint32_t leaf = 0; leaf < map.leaf_count; leaf++) {
        const struct conflict_leaf *in = &map.leaves[map.places[leaf]];
        CHECK(in->count > 0 && in->first[0] == map.leads[leaf]);
        for (uint32_t slot = 0; slot < in->count; slot++) {
            CHECK(is_first || in->first[slot] > before);
            CHECK(in->last[slot] >= in->first[slot]);
            before = in->last[slot];
            is_first = false;
        }
    }
}

static void run(uint64_t seed, uint64_t keys, uint64_t longest, uint32_t entries)
{
    struct prng prng;
    prng_init(&prng, seed);
    open_map(1024);
    for (uint64_t index = 1; index <= entries; index++) {
        draw(&prng, &pasts[index], keys, longest);
        uint64_t got = add(index, 0);
        uint64_t want = expected(index);
        CHECK_EQUAL(got, want);
        if (index % 64 == 0) {
            check_order();
        }
    }
    CHECK_EQUAL(map.floors_raised, 0);
}

static void is_exact(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        run(seed, 50, 10, 1000);     // everything touches everything
        run(seed, 5000, 300, 1000);  // long ranges split and swallow short ones
        run(seed, 1 << 20, 8, 2000); // hardly any conflicts, many leaves
    }
}

// Ranges of whole units of one size, or of a size that changes now and then; a few that are
// anything.
static void draw_blocks(struct prng *prng, struct past *past, uint32_t shift, uint64_t blocks,
                        uint32_t odd_percent)
{
    past->count = 1 + (uint32_t)prng_below(prng, prng_below(prng, 4) == 0 ? 4 : 1);
    for (uint32_t at = 0; at < past->count; at++) {
        uint64_t longest = prng_below(prng, 10) == 0 ? 2 * CONFLICT_RANGE_UNITS : 4;
        uint64_t start = prng_below(prng, blocks), length = 1 + prng_below(prng, longest);
        past->ranges[at] = (struct raft_footprint){start << shift, length << shift};
        if (prng_below(prng, 100) < odd_percent) {
            past->ranges[at].start += prng_below(prng, 3);
            past->ranges[at].length += prng_below(prng, 100) - (length == 1 && shift == 0 ? 0 : 1);
        }
    }
}

// The newest conflict above `forget` with it, by looking at all of them; 0: none.
static uint64_t expected_above(const struct past *past, uint64_t index, uint64_t forget)
{
    for (uint64_t other = index - 1; other > forget; other--) {
        if (conflicts(past, &pasts[other])) {
            return other;
        }
    }
    return 0;
}

// Units, segments, and what changes between them; what is read beside it.
static void run_blocks(uint64_t seed, uint32_t odd_percent, uint64_t blocks, uint64_t under_way)
{
    struct prng prng;
    prng_init(&prng, seed);
    open_map(256);
    uint32_t shift = 0, seen_units = 0, seen_both = 0;
    for (uint64_t index = 1; index <= 6000; index++) {
        if (prng_below(&prng, 500) == 0) {
            shift = (uint32_t)prng_below(&prng, 3) * 6;
        }
        uint64_t forget = index > under_way ? index - under_way : 0;
        struct past read = {.count = 1};
        draw_blocks(&prng, &read, (uint32_t)prng_below(&prng, 13), blocks, 50);
        for (uint32_t at = 0; at < read.count; at++) {
            const struct past lone = {.ranges = {read.ranges[at]}, .count = 1};
            uint64_t got = conflict_find(&map, read.ranges[at]);
            uint64_t want = expected_above(&lone, index, forget);
            CHECK(want == 0 ? got <= forget : got == want);
        }
        draw_blocks(&prng, &pasts[index], shift, blocks, odd_percent);
        uint64_t got = add(index, forget);
        uint64_t want = expected_above(&pasts[index], index, forget);
        CHECK(want == 0 ? got <= forget : got == want);
        seen_units += map.units.count > 0;
        seen_both += map.units.count > 0 && map.leaf_count > 0;
        if (index % 64 == 0) {
            check_order();
        }
    }
    CHECK_EQUAL(map.floors_raised, 0);
    CHECK(seen_units > 0);
    CHECK(odd_percent == 0 || seen_both > 0);
}

static void units_and_segments_agree(void)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        run_blocks(seed, 0, 300, 40);
        run_blocks(seed, 0, 100000, 700); // tables grow
        run_blocks(seed, 3, 300, 40);
        run_blocks(seed, 30, 2000, 700);
    }
}

// As many single keys as are never forgotten overflow the table: they become segments.
static void a_full_table_becomes_segments(void)
{
    struct prng prng;
    prng_init(&prng, 3);
    open_map(128);
    for (uint64_t index = 1; index <= 4500; index++) {
        pasts[index].count = 1;
        pasts[index].ranges[0] = (struct raft_footprint){prng_below(&prng, 1 << 24) * 2, 1};
        CHECK_EQUAL(add(index, 0), expected(index));
    }
    CHECK(map.leaf_count > 0 && map.units.count > 0);
    CHECK_EQUAL(map.floors_raised, 0);
    check_order();
}

// Forgetting what nobody waits for changes no answer above it.
static void forgetting_changes_nothing_above(void)
{
    struct prng prng;
    prng_init(&prng, 7);
    open_map(64);
    for (uint64_t index = 1; index <= ENTRIES_MAX; index++) {
        uint64_t forget = index > 200 ? index - 200 : 0;
        pasts[index].count = 2;
        for (uint32_t at = 0; at < 2; at++) {
            pasts[index].ranges[at] = (struct raft_footprint){prng_below(&prng, 100000), 4};
        }
        uint64_t got = add(index, forget);
        uint64_t want = 0;
        for (uint64_t other = index - 1; other > forget && want == 0; other--) {
            want = conflicts(&pasts[index], &pasts[other]) ? other : 0;
        }
        CHECK(want == 0 ? got <= forget : got == want);
    }
    CHECK(map.sweeps > 0);
    CHECK_EQUAL(map.floors_raised, 0);
}

// Too small for what is going on: conflicts are invented, none is missed.
static void a_full_map_invents_and_misses_none(void)
{
    struct prng prng;
    prng_init(&prng, 9);
    open_map(20);
    for (uint64_t index = 1; index <= 4000; index++) {
        draw(&prng, &pasts[index], 1 << 30, 4);
        uint64_t got = add(index, 0);
        CHECK(got >= expected(index) && got < index);
    }
    CHECK(map.floors_raised > 0);
}

static void edges(void)
{
    const struct raft_footprint whole = {0, UINT64_MAX}, top = {UINT64_MAX, 1}, low = {0, 1};
    open_map(CONFLICT_LEAVES_MIN + 20);
    CHECK_EQUAL(conflict_add(&map, 1, &whole, 1, 0), 0);
    CHECK_EQUAL(conflict_add(&map, 2, &top, 1, 0), 0); // [0, 2^64 - 1) does not reach it
    CHECK_EQUAL(conflict_add(&map, 3, &low, 1, 0), 1);
    CHECK_EQUAL(conflict_find(&map, whole), 3);
    CHECK_EQUAL(conflict_find(&map, top), 2);
    CHECK_EQUAL(conflict_add(&map, 4, NULL, 0, 0), 0); // touches nothing
    CHECK_EQUAL(conflict_add_all(&map, 5), 4);
    CHECK_EQUAL(conflict_add(&map, 6, &low, 1, 0), 5);
    CHECK_EQUAL(conflict_add(&map, 7, NULL, 0, 0), 5);
    const struct raft_footprint high = {UINT64_MAX - 3, 4},
                                half = {UINT64_C(1) << 63, UINT64_C(1) << 63};
    CHECK_EQUAL(conflict_add(&map, 8, &high, 1, 0), 5);
    CHECK_EQUAL(conflict_find(&map, top), 8);
    CHECK_EQUAL(conflict_add(&map, 9, &top, 1, 0), 8);
    CHECK_EQUAL(conflict_add(&map, 10, &half, 1, 0), 9);
    CHECK_EQUAL(conflict_find(&map, half), 10);
    CHECK_EQUAL(conflict_add(&map, 11, &whole, 1, 0), 10);
    CHECK_EQUAL(conflict_find(&map, top), 10);
    CHECK(!raft_footprint_is_valid((struct raft_footprint){5, 0}));
    CHECK(!raft_footprint_is_valid((struct raft_footprint){2, UINT64_MAX}));
    CHECK(raft_footprint_is_valid((struct raft_footprint){1, UINT64_MAX}));
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(is_exact),
                                             TEST(units_and_segments_agree),
                                             TEST(a_full_table_becomes_segments),
                                             TEST(forgetting_changes_nothing_above),
                                             TEST(a_full_map_invents_and_misses_none),
                                             TEST(edges)};
    int failed = test_run("core conflict", cases, TEST_COUNT(cases), argc, argv);
    free(memory);
    return failed;
}
