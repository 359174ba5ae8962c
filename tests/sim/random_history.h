// Random histories, made into `judged` (judged.h). The same generator makes the same ones.
#ifndef PONTOON_TESTS_SIM_RANDOM_HISTORY_H
#define PONTOON_TESTS_SIM_RANDOM_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/prng.h"

// What clients of a store do.
struct random_mix {
    uint32_t clients, keys, ops;  // at most 16, 8
    uint32_t get, put, del, swap; // parts of the operations
    uint32_t lost;                // of a hundred operations: never executed, or late, and UNKNOWN
    uint32_t expired;             // of a hundred
};

// A linearizable history by construction. Or, if `wrong_at` is below mix->ops, one that is right
// but for a stale read about there.
void random_history_make(struct prng *prng, const struct random_mix *mix, uint32_t wrong_at);

// One change to the history: a value read, a result, or a moment.
void random_history_mutate(struct prng *prng);
// Are operations still called in the order of their ids, and before they return?
bool random_history_is_sane(void);

// Not a store's doing at all: any result of anything, in any order, on one key.
void random_history_arbitrary(struct prng *prng, uint32_t ops);

#endif
