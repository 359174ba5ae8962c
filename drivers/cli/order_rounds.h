// Rounds of runs under the same conditions, one of each kind one after the other: which of them
// count, and what they say together.
//
// The host of a virtual machine may change the distance of the CPUs within a round
// (bench/cores/cores.h). Such a round compares nothing, and counts only when no other one does.
#ifndef PONTOON_DRIVERS_CLI_ORDER_ROUNDS_H
#define PONTOON_DRIVERS_CLI_ORDER_ROUNDS_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/report/median.h"

enum { ORDER_ROUNDS_MAX = 25 };

// LOOK_BEHIND: parallel, but followers apply beyond holes as PolarFS does (apply: look_behind).
enum order_kind { ORDER_STRICT, ORDER_PARALLEL, ORDER_LOOK_BEHIND, ORDER_KINDS };

// What is measured of a run.
enum order_figure { ORDER_RATE, ORDER_P50_US, ORDER_P99_US, ORDER_P999_US, ORDER_FIGURES };

struct order_run {
    double figures[ORDER_FIGURES];
    double core_before_ns, core_after_ns; // a cache line's round trip between the CPUs
};

struct order_round {
    struct order_run runs[ORDER_KINDS];
};

struct order_rounds {
    struct order_round rounds[ORDER_ROUNDS_MAX];
    uint32_t count;
};

// Were the CPUs equally far apart before and after all of its runs?
bool order_round_counts(const struct order_round *round);

// Which rounds the figures below are of: those that count, or all when none does.
bool order_rounds_uses(const struct order_rounds *rounds, uint32_t at);
// How many count.
uint32_t order_rounds_counted(const struct order_rounds *rounds);

struct median order_rounds_median(const struct order_rounds *rounds, enum order_kind kind,
                                  enum order_figure figure);
// The median of each round's own ratio of the kind to strict: what differs from round to round is
// in both sides of it. 0 when there are no rounds.
double order_rounds_ratio(const struct order_rounds *rounds, enum order_kind kind,
                          enum order_figure figure);
// Nanoseconds, over all runs.
double order_rounds_core_ns(const struct order_rounds *rounds);

#endif
