// The histogram against all values kept and sorted.
#include "tests/harness/harness.h"

#include "engine/base/histogram.h"
#include "engine/base/prng.h"

#include <stdlib.h>

enum { VALUES = 20000 };

static struct histogram histogram, second;
static uint64_t values[VALUES];

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

// Slots tile the range: each begins where the one before ended, and none is wider than a thousandth
// of its values.
static void slots_tile_the_range(void)
{
    uint64_t expected_low = 0;
    for (uint32_t slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
        uint64_t low = histogram_low(slot), high = histogram_high(slot);
        CHECK_EQUAL(low, expected_low);
        CHECK_EQUAL(histogram_slot(low), slot);
        CHECK_EQUAL(histogram_slot(high), slot);
        CHECK(high - low <= low / 1000);
        expected_low = high + 1;
    }
    CHECK_EQUAL(expected_low, HISTOGRAM_VALUE_MAX + 1);
    CHECK(HISTOGRAM_VALUE_MAX >= UINT64_C(100) * 1000 * 1000 * 1000);
}

// Latencies over all magnitudes: a random number of significant bits each.
static void fill_values(uint64_t seed)
{
    struct prng prng;
    prng_init(&prng, seed);
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = prng_next(&prng) >> prng_between(&prng, 28, 63);
    }
}

static void percentiles_match_sorted_values(void)
{
    histogram_init(&histogram);
    fill_values(21);
    for (size_t i = 0; i < VALUES; i++) {
        histogram_record(&histogram, values[i]);
    }
    qsort(values, VALUES, sizeof(values[0]), compare);
    CHECK_EQUAL(histogram.count, VALUES);
    CHECK_EQUAL(histogram.max_ns, values[VALUES - 1]);
    static const double percentiles[] = {0, 0.01, 1, 10, 25, 50, 75, 90, 99, 99.9, 99.99, 100};
    for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++) {
        double exact = percentiles[i] / 100 * VALUES;
        size_t rank = (size_t)exact + ((double)(size_t)exact < exact);
        uint64_t twin = values[rank == 0 ? 0 : rank - 1];
        uint64_t found = histogram_percentile(&histogram, percentiles[i]);
        CHECK(found >= twin);
        CHECK(found - twin <= twin / 1000);
    }
    CHECK_EQUAL(histogram_percentile(&histogram, 100), values[VALUES - 1]);
}

static void mean_and_variance_match_values(void)
{
    histogram_init(&histogram);
    double sum = 0, squares = 0;
    for (uint64_t value = 0; value < 2000; value++) {
        histogram_record(&histogram, value);
        sum += (double)value;
        squares += (double)(value * value);
    }
    double mean = sum / 2000, variance = squares / 2000 - mean * mean;
    CHECK(histogram_mean(&histogram) > mean - 0.001 && histogram_mean(&histogram) < mean + 0.001);
    CHECK(histogram_variance(&histogram) > variance - 1);
    CHECK(histogram_variance(&histogram) < variance + 1);
}

static void merge_equals_recording_into_one(void)
{
    static struct histogram whole;
    histogram_init(&histogram);
    histogram_init(&second);
    histogram_init(&whole);
    fill_values(22);
    for (size_t i = 0; i < VALUES; i++) {
        histogram_record(i % 3 == 0 ? &histogram : &second, values[i]);
        histogram_record(&whole, values[i]);
    }
    histogram_merge(&histogram, &second);
    CHECK_EQUAL(histogram.count, whole.count);
    CHECK_EQUAL(histogram.max_ns, whole.max_ns);
    for (uint32_t slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
        CHECK_EQUAL(histogram.slots[slot], whole.slots[slot]);
    }
}

static void record_many_equals_repeating(void)
{
    histogram_init(&histogram);
    histogram_init(&second);
    histogram_record_many(&histogram, 123456, 5);
    for (int i = 0; i < 5; i++) {
        histogram_record(&second, 123456);
    }
    CHECK_EQUAL(histogram.count, second.count);
    CHECK_EQUAL(histogram.slots[histogram_slot(123456)], 5);
    CHECK_EQUAL(second.slots[histogram_slot(123456)], 5);
}

static void too_large_values_are_clipped_and_counted(void)
{
    histogram_init(&histogram);
    histogram_record(&histogram, HISTOGRAM_VALUE_MAX);
    CHECK_EQUAL(histogram.clipped, 0);
    histogram_record(&histogram, HISTOGRAM_VALUE_MAX + 1);
    histogram_record(&histogram, UINT64_MAX);
    CHECK_EQUAL(histogram.clipped, 2);
    CHECK_EQUAL(histogram.slots[HISTOGRAM_SLOTS - 1], 3);
    CHECK_EQUAL(histogram.max_ns, HISTOGRAM_VALUE_MAX);
}

static void empty_histogram_answers_zero(void)
{
    histogram_init(&histogram);
    CHECK_EQUAL(histogram_percentile(&histogram, 50), 0);
    CHECK_EQUAL(histogram_min(&histogram), 0);
    CHECK(histogram_mean(&histogram) < 1e-9 && histogram_variance(&histogram) < 1e-9);
    histogram_record(&histogram, 0);
    CHECK_EQUAL(histogram.count, 1);
    CHECK_EQUAL(histogram_percentile(&histogram, 100), 0);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(slots_tile_the_range),           TEST(percentiles_match_sorted_values),
        TEST(mean_and_variance_match_values), TEST(merge_equals_recording_into_one),
        TEST(record_many_equals_repeating),   TEST(too_large_values_are_clipped_and_counted),
        TEST(empty_histogram_answers_zero),
    };
    return test_run("base histogram", cases, TEST_COUNT(cases), argc, argv);
}
