// Latencies in nanoseconds with three significant digits, from 1 ns to 100 s: log-linear, as
// HdrHistogram counts.
//
// A value below 2048 has a slot of its own. Above, each power of two is cut into 1024 slots, so a
// slot is never wider than a thousandth of its values. Recording is a shift, an increment and a
// comparison; 230 KiB a histogram, of which only the slots in use are touched. One writer; merge
// the histograms of several.
#ifndef PONTOON_BASE_HISTOGRAM_H
#define PONTOON_BASE_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_HALF_BITS = 10, // 1024 slots a power of two
    HISTOGRAM_HALF = 1 << HISTOGRAM_HALF_BITS,
    HISTOGRAM_SHIFT_MAX = 26, // 2048 << 26 ns > 100 s
    HISTOGRAM_SLOTS = (HISTOGRAM_SHIFT_MAX + 2) * HISTOGRAM_HALF
};
#define HISTOGRAM_VALUE_MAX (((uint64_t)2 * HISTOGRAM_HALF << HISTOGRAM_SHIFT_MAX) - 1)

struct histogram {
    uint64_t count;                  // sum of all slots
    uint64_t max_ns;                 // largest value recorded, exact; 0 while empty
    uint64_t clipped;                // values above HISTOGRAM_VALUE_MAX, counted in the last slot
    uint64_t slots[HISTOGRAM_SLOTS]; // how often a value of this slot was seen
};

void histogram_init(struct histogram *histogram);

// Adds every value of `from`.
void histogram_merge(struct histogram *into, const struct histogram *from);

// The smallest value v such that at least `percentile` (0 to 100) per cent of all values are <= v,
// to the slot's upper border but never above max_ns. 0 while empty.
uint64_t histogram_percentile(const struct histogram *histogram, double percentile);

// The upper border of the lowest slot in use, as HdrHistogram's 0th percentile; 0 while empty.
uint64_t histogram_min(const struct histogram *histogram);

// Mean and variance with each value taken as the middle of its slot; 0 while empty.
double histogram_mean(const struct histogram *histogram);
double histogram_variance(const struct histogram *histogram);

// The values of a slot are [histogram_low(slot), histogram_high(slot)].
static inline uint64_t histogram_low(uint32_t slot)
{
    uint32_t shift = slot < 2 * HISTOGRAM_HALF ? 0 : slot / HISTOGRAM_HALF - 1;
    return (uint64_t)(slot - shift * HISTOGRAM_HALF) << shift;
}

static inline uint64_t histogram_high(uint32_t slot)
{
    uint32_t shift = slot < 2 * HISTOGRAM_HALF ? 0 : slot / HISTOGRAM_HALF - 1;
    return histogram_low(slot) + (UINT64_C(1) << shift) - 1;
}

static inline uint32_t histogram_slot(uint64_t value_ns)
{
    uint32_t bits = 64 - (uint32_t)__builtin_clzll(value_ns | HISTOGRAM_HALF);
    uint32_t shift = bits - 1 - HISTOGRAM_HALF_BITS;
    return shift * HISTOGRAM_HALF + (uint32_t)(value_ns >> shift);
}

// Records `times` occurrences at once. Values above HISTOGRAM_VALUE_MAX count as that.
static inline void histogram_record_many(struct histogram *histogram, uint64_t value_ns,
                                         uint64_t times)
{
    if (__builtin_expect(value_ns > HISTOGRAM_VALUE_MAX, 0)) {
        value_ns = HISTOGRAM_VALUE_MAX;
        histogram->clipped += times;
    }
    histogram->slots[histogram_slot(value_ns)] += times;
    histogram->count += times;
    if (value_ns > histogram->max_ns) {
        histogram->max_ns = value_ns;
    }
}

static inline void histogram_record(struct histogram *histogram, uint64_t value_ns)
{
    histogram_record_many(histogram, value_ns, 1);
}

#endif
