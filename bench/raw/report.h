// What raw_chain and raw_link print alike.
#ifndef PONTOON_BENCH_RAW_REPORT_H
#define PONTOON_BENCH_RAW_REPORT_H

#include "bench/raw/ping.h"
#include "bench/report/result.h"

// Adds size, window, memory, rounds, the medians of rates and latencies over the rounds with their
// borders, the percentiles over all, and losses.
void report_ping(struct result *result, const struct ping_plan *plan, struct ping_report *report,
                 bool hugepages);

#endif
