// HdrHistogram's percentile distribution as text, which its plotter and other standard tools read.
#ifndef PONTOON_BENCH_HDR_TEXT_H
#define PONTOON_BENCH_HDR_TEXT_H

#include "engine/base/histogram.h"

#include <stdio.h>

// Writes the distribution, values in microseconds, five steps for each halving of the distance to
// 100 %. Result: 0 or a negative errno.
int hdr_text_write(FILE *file, const struct histogram *histogram);

// The same into a file that is created or replaced.
int hdr_text_save(const char *path, const struct histogram *histogram);

#endif
