#include "engine/base/histogram.h"

#include "engine/base/assert.h"

#include <string.h>

void histogram_init(struct histogram *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (uint32_t slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
        into->slots[slot] += from->slots[slot];
    }
    into->count += from->count;
    into->clipped += from->clipped;
    if (from->max_ns > into->max_ns) {
        into->max_ns = from->max_ns;
    }
}

// How many values the percentile covers: rounded up, at least one, at most all.
static uint64_t rank_of(double percentile, uint64_t count)
{
    double exact = percentile / 100.0 * (double)count;
    uint64_t rank = exact >= (double)count ? count : (uint64_t)exact;
    if ((double)rank < exact && rank < count) {
        rank++;
    }
    return rank == 0 ? 1 : rank;
}

uint64_t histogram_percentile(const struct histogram *histogram, double percentile)
{
    if (histogram->count == 0) {
        return 0;
    }
    uint64_t rank = rank_of(percentile, histogram->count), seen = 0;
    uint32_t slot = 0;
    while ((seen += histogram->slots[slot]) < rank) {
        slot++;
        ASSERT_CMP(slot, <, HISTOGRAM_SLOTS);
    }
    uint64_t high = histogram_high(slot);
    return high < histogram->max_ns ? high : histogram->max_ns;
}

uint64_t histogram_min(const struct histogram *histogram)
{
    return histogram_percentile(histogram, 0);
}

static double middle(uint32_t slot)
{
    return ((double)histogram_low(slot) + (double)histogram_high(slot)) / 2;
}

double histogram_mean(const struct histogram *histogram)
{
    double sum = 0;
    for (uint32_t slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
        sum += (double)histogram->slots[slot] * middle(slot);
    }
    return histogram->count == 0 ? 0 : sum / (double)histogram->count;
}

double histogram_variance(const struct histogram *histogram)
{
    double mean = histogram_mean(histogram), sum = 0;
    for (uint32_t slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
        double distance = middle(slot) - mean;
        sum += (double)histogram->slots[slot] * distance * distance;
    }
    return histogram->count == 0 ? 0 : sum / (double)histogram->count;
}
