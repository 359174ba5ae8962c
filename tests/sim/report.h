// What the simulator prints: lines, summaries, plans, marks.
#ifndef PONTOON_TESTS_SIM_REPORT_H
#define PONTOON_TESTS_SIM_REPORT_H

#include "tests/sim/sim.h"

enum { REPORT_MARKS_MAX = 256 };

struct report_totals {
    uint64_t runs, failed, halted, given_up;
    uint64_t events, operations, unknown, faults, virtual_ns, cpu_ns;
    uint64_t heal_worst_hundredths; // election timeouts
    uint64_t heal_late;             // runs above HEAL_TIMEOUTS_MAX
    uint64_t faults_of[SIM_FAULT_KINDS];
    uint64_t marks[REPORT_MARKS_MAX];
};

extern const char report_commit[]; // of the sources

// `seed=N events=... ok`, or `... FAIL: invariant` and a line that says more.
void report_line(FILE *file, uint64_t seed, const struct sim_result *result);
void report_add(struct report_totals *totals, const struct sim_result *result);
void report_add_marks(struct report_totals *totals); // of this process
void report_sum(struct report_totals *sum, const struct report_totals *parts, uint32_t count);
// False: marks are required, and one was never visited.
bool report_summary(const struct report_totals *totals, uint64_t seconds, bool shows_marks,
                    bool requires_marks);
void report_plan(const struct sim_options *options, const struct sim_plan *plan);
void report_minimal(const struct sim_options *options, const struct sim_plan *plan, uint64_t seed);

#endif
