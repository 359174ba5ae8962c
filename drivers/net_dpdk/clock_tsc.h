// struct clock over the time stamp counter: one rdtsc and one multiplication (about 8 ns).
//
// Reads the frequency EAL measured, so EAL must be initialised. The counter must be invariant and
// in step between cores, which EAL's own timers take for granted as well.
#ifndef PONTOON_NET_DPDK_CLOCK_TSC_H
#define PONTOON_NET_DPDK_CLOCK_TSC_H

#include "engine/driver_api/clock.h"

struct clock_tsc {
    struct clock clock; // first
    uint64_t start;     // counter at init
    uint64_t scale;     // nanoseconds a tick, 32.32 fixed point
};

void clock_tsc_init(struct clock_tsc *tsc);

#endif
