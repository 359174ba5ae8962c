// Plain and ring bitmaps against an array of bool.
#include "tests/harness/harness.h"

#include "engine/base/bitmap.h"
#include "engine/base/prng.h"

enum { BITS = 200, CAPACITY = 128 };

static size_t twin_find(const bool *twin, size_t from, size_t end, bool wanted)
{
    while (from < end && twin[from] != wanted) {
        from++;
    }
    return from < end ? from : end;
}

static void check_against_twin(const uint64_t *words, const bool *twin)
{
    for (size_t from = 0; from < BITS; from += 7) {
        for (size_t end = from; end <= BITS; end += 3) {
            CHECK_EQUAL(bitmap_find_set(words, from, end), twin_find(twin, from, end, true));
            CHECK_EQUAL(bitmap_find_clear(words, from, end), twin_find(twin, from, end, false));
            size_t count = 0;
            for (size_t i = from; i < end; i++) {
                count += twin[i];
            }
            CHECK_EQUAL(bitmap_count(words, from, end), count);
        }
    }
}

static void single_bits_match_twin(void)
{
    uint64_t words[4] = {0};
    bool twin[BITS] = {false};
    struct prng prng;
    prng_init(&prng, 1);
    CHECK_EQUAL(bitmap_words(BITS), 4);
    CHECK_EQUAL(bitmap_words(192), 3);
    for (int round = 0; round < 300; round++) {
        size_t bit = prng_below(&prng, BITS);
        if (prng_chance(&prng, 1, 2)) {
            bitmap_set(words, bit);
            twin[bit] = true;
        } else {
            bitmap_clear(words, bit);
            twin[bit] = false;
        }
        for (size_t i = 0; i < BITS; i++) {
            CHECK_EQUAL(bitmap_test(words, i), twin[i]);
        }
    }
    check_against_twin(words, twin);
}

static void ranges_match_twin(void)
{
    struct prng prng;
    prng_init(&prng, 2);
    for (int round = 0; round < 60; round++) {
        uint64_t words[4] = {0};
        bool twin[BITS] = {false};
        for (int step = 0; step < 8; step++) {
            size_t from = prng_between(&prng, 0, BITS), end = prng_between(&prng, from, BITS);
            bool set = step % 2 == 0;
            if (set) {
                bitmap_set_range(words, from, end);
            } else {
                bitmap_clear_range(words, from, end);
            }
            for (size_t i = from; i < end; i++) {
                twin[i] = set;
            }
        }
        check_against_twin(words, twin);
    }
}

static void every_range_sets_exactly_itself(void)
{
    for (size_t from = 0; from <= BITS; from++) {
        for (size_t end = from; end <= BITS; end++) {
            uint64_t words[4] = {0};
            bitmap_set_range(words, from, end);
            CHECK_EQUAL(bitmap_count(words, 0, 256), end - from);
            CHECK_EQUAL(bitmap_find_set(words, 0, 256), from < end ? from : 256);
            CHECK_EQUAL(bitmap_find_clear(words, from, 256), end);
        }
    }
}

enum { INDEXES = 4096 };

// Where the endless index begins: near the largest one a log will see, in the middle of a word.
static const uint64_t first = (UINT64_C(1) << 48) + 77;

static void check_window(const struct bitmap_ring *ring, const bool *twin, uint64_t base)
{
    uint64_t end = base + CAPACITY, count = 0;
    for (uint64_t i = base; i < end; i++) {
        CHECK_EQUAL(bitmap_ring_test(ring, first + i), twin[i]);
        CHECK_EQUAL(bitmap_ring_find_set(ring, first + i, first + end) - first,
                    twin_find(twin, i, end, true));
        CHECK_EQUAL(bitmap_ring_find_clear(ring, first + base, first + i) - first,
                    twin_find(twin, base, i, false));
        count += twin[i];
    }
    CHECK_EQUAL(bitmap_ring_count(ring, first + base, first + end), count);
}

static void ring_window_matches_twin(void)
{
    uint64_t words[CAPACITY / 64];
    struct bitmap_ring ring;
    bitmap_ring_init(&ring, words, CAPACITY);
    static bool twin[INDEXES]; // never cleared: what the window left behind is not looked at again
    struct prng prng;
    prng_init(&prng, 3);
    uint64_t slide = 0;
    for (uint64_t base = 0; base + CAPACITY <= INDEXES; base += slide) {
        uint64_t from = base + prng_below(&prng, CAPACITY);
        uint64_t end = prng_between(&prng, from, base + CAPACITY);
        bool set = prng_chance(&prng, 2, 3);
        (set ? bitmap_ring_set_range : bitmap_ring_clear_range)(&ring, first + from, first + end);
        for (uint64_t i = from; i < end; i++) {
            twin[i] = set;
        }
        uint64_t one = base + prng_below(&prng, CAPACITY),
                 other = base + prng_below(&prng, CAPACITY);
        bitmap_ring_set(&ring, first + one);
        twin[one] = true;
        bitmap_ring_clear(&ring, first + other);
        twin[other] = false;
        check_window(&ring, twin, base);
        slide = prng_below(&prng, 40);
        bitmap_ring_clear_range(&ring, first + base, first + base + slide);
    }
}

static void full_and_empty_rings_answer_end(void)
{
    uint64_t words[1];
    struct bitmap_ring ring;
    bitmap_ring_init(&ring, words, 64);
    CHECK_EQUAL(bitmap_ring_find_set(&ring, 100, 164), 164);
    CHECK_EQUAL(bitmap_ring_find_clear(&ring, 100, 164), 100);
    bitmap_ring_set_range(&ring, 100, 164);
    CHECK_EQUAL(words[0], UINT64_MAX);
    CHECK_EQUAL(bitmap_ring_find_set(&ring, 100, 164), 100);
    CHECK_EQUAL(bitmap_ring_find_clear(&ring, 100, 164), 164);
    CHECK_EQUAL(bitmap_ring_find_clear(&ring, 100, 100), 100);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(single_bits_match_twin),          TEST(ranges_match_twin),
        TEST(every_range_sets_exactly_itself), TEST(ring_window_matches_twin),
        TEST(full_and_empty_rings_answer_end),
    };
    return test_run("base bitmap", cases, TEST_COUNT(cases), argc, argv);
}
