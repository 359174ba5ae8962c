// A state machine as an embedder would write one: adds up the numbers it is given.
//
// A command is one 64-bit number; its result is how many commands were applied, itself included. A
// query of no bytes is answered with struct sum_state. Everything else is answered with
// SUM_REFUSED, or -EINVAL.
#ifndef PONTOON_TESTS_EMBED_SUM_H
#define PONTOON_TESTS_EMBED_SUM_H

#include <stdint.h>

#include "engine/driver_api/app.h"

#define SUM_REFUSED UINT32_MAX

struct sum_state {
    uint64_t count, sum;
};

// For pontoon_options.app_open. context: an atomic_uint that counts the open ones, or NULL.
int sum_open(void *context, uint16_t group, struct app **app);

#endif
