// The slow twin of linear.h: tries every order of every choice of operations, on a store. For
// histories of a few operations.
#ifndef PONTOON_TESTS_SIM_BRUTE_H
#define PONTOON_TESTS_SIM_BRUTE_H

#include "bench/history/history.h"

enum { BRUTE_OPS_MAX = 16 };

// Requires at most BRUTE_OPS_MAX operations. Keys may be many: there is one store for all of them.
bool brute_is_linear(const struct history *history);

#endif
