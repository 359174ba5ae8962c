// The format is fixed by HdrHistogram's outputPercentileDistribution: a header, one row a step, and
// a footer.
#include "bench/report/hdr_text.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>

enum { STEPS_PER_HALF_DISTANCE = 5 };

static double microseconds(uint64_t value_ns)
{
    return (double)value_ns / 1000;
}

// The next percentile to report after `percentile`: steps shrink as 100 % comes near, so that tails
// get rows too.
static double next_percentile(double percentile)
{
    double halvings = floor(log2(100 / (100 - percentile))) + 1;
    return percentile + 100 / (STEPS_PER_HALF_DISTANCE * pow(2, halvings));
}

static void write_row(FILE *file, uint64_t value_ns, double percentile, uint64_t seen)
{
    fprintf(file, "%12.3f %2.12f %10" PRIu64, microseconds(value_ns), percentile / 100, seen);
    if (percentile < 100) {
        fprintf(file, " %14.2f", 1 / (1 - percentile / 100));
    }
    fprintf(file, "\n");
}

static void write_rows(FILE *file, const struct histogram *histogram)
{
    double percentile = 0;
    uint64_t seen = 0;
    for (uint32_t slot = 0; slot < HISTOGRAM_SLOTS && seen < histogram->count; slot++) {
        if (histogram->slots[slot] == 0) {
            continue;
        }
        seen += histogram->slots[slot];
        uint64_t high = histogram_high(slot);
        uint64_t value_ns = high < histogram->max_ns ? high : histogram->max_ns;
        double reached = 100 * (double)seen / (double)histogram->count;
        while (percentile <= reached) {
            write_row(file, value_ns, percentile, seen);
            if (seen == histogram->count) {
                break; // the largest value gets one row, and the last one
            }
            percentile = next_percentile(percentile);
        }
    }
    if (seen > 0) {
        write_row(file, histogram->max_ns, 100, seen);
    }
}

int hdr_text_write(FILE *file, const struct histogram *histogram)
{
    fprintf(file, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
            "1/(1-Percentile)");
    write_rows(file, histogram);
    fprintf(file, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n",
            histogram_mean(histogram) / 1000, sqrt(histogram_variance(histogram)) / 1000);
    fprintf(file, "#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n",
            microseconds(histogram->max_ns), histogram->count);
    fprintf(file, "#[Buckets = %12d, SubBuckets     = %12d]\n", HISTOGRAM_SHIFT_MAX + 1,
            2 * HISTOGRAM_HALF);
    return ferror(file) ? -EIO : 0;
}

int hdr_text_save(const char *path, const struct histogram *histogram)
{
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        return -errno;
    }
    int result = hdr_text_write(file, histogram);
    return fclose(file) == 0 ? result : -errno;
}
