// A history that a test makes, and what the judge says of it.
#ifndef PONTOON_TESTS_SIM_JUDGED_H
#define PONTOON_TESTS_SIM_JUDGED_H

#include "tests/harness/harness.h"
#include "tests/sim/linear.h"

extern struct history judged;
extern struct linear_result judged_result; // of the last verdict

// No operations yet.
void judged_start(void);
// The next moment.
uint64_t judged_now(void);

// The operation returns now.
void judged_end(uint32_t id, enum history_outcome outcome);
void judged_end_get(uint32_t id, uint64_t token);

// The verdict has to be this one; else the history is printed.
void judged_expect(enum linear_verdict verdict);

// test_run, with a judge.
int judged_run(const char *suite, const struct test_case *cases, size_t count, int argc,
               char **argv);

#endif
