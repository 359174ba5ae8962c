// Median, smallest and largest of repeated measurements: what a noisy machine can honestly be asked
// for.
#ifndef PONTOON_BENCH_MEDIAN_H
#define PONTOON_BENCH_MEDIAN_H

#include <stddef.h>

struct median {
    double median, min, max;
};

// Sorts the values. At least one.
struct median median_of(double *values, size_t count);

#endif
