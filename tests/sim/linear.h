// Is a history of clients linearizable? (Herlihy and Wing 1990.)
//
// That is: can every operation be given one moment between its call and its return so that a single
// store, executing them in the order of these moments, gives exactly the results they had?
// Operations of unknown outcome may be given any moment after their call, or none; EXPIRED ones a
// moment before their return, or none; FAILED ones have none. All keys are absent at first.
//
// Keys are judged one by one: a history is linearizable if and only if its part on each key is
// (Herlihy and Wing, theorem 1). Each is searched as by Wing and Gong 1993 with the cache of Lowe
// 2017: linear_search.c; what is known before the search, because tokens are unique: linear_key.c.
//
// The search has a budget. GAVE_UP is not LINEAR: whoever asks has to count it.
//
// Deterministic. Memory grows as needed and is kept from call to call. No thread-safety.
#ifndef PONTOON_TESTS_SIM_LINEAR_H
#define PONTOON_TESTS_SIM_LINEAR_H

#include "bench/history/history.h"

// Configurations of one key after which it is given up, unless told otherwise: some seconds.
#define LINEAR_BUDGET UINT64_C(4000000)

enum linear_verdict { LINEAR, LINEAR_VIOLATION, LINEAR_GAVE_UP };

struct linear_result {
    enum linear_verdict verdict; // of all keys: VIOLATION before GAVE_UP before LINEAR
    uint64_t configurations;     // visited for the verdict
    uint32_t keys;
    uint32_t keys_given_up; // 0 unless GAVE_UP, or VIOLATION of a later key

    // VIOLATION: of which key, and operations that have no order even with all others of unknown
    // outcome; without any one of them the search finds an order (or soon gives up). Plus the
    // writes of the values they need, which are marked by `is_context`.
    uint64_t key;
    const uint32_t *ids; // in the order of their calls; until the next judgement
    const bool *is_context;
    uint32_t id_count;
};

struct linear;

// NULL: no memory. Later there is an assertion against that.
struct linear *linear_open(uint64_t budget);
void linear_close(struct linear *linear);

// Requires tokens that are written once a key.
void linear_judge(struct linear *linear, const struct history *history,
                  struct linear_result *result);

// "LINEAR", ...
const char *linear_verdict_name(enum linear_verdict verdict);
// The operations of a violation, one a line.
void linear_print_violation(const struct history *history, const struct linear_result *result,
                            FILE *file);

#endif
