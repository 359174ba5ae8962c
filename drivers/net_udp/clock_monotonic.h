// struct clock over clock_gettime(CLOCK_MONOTONIC): about 20 ns, no DPDK.
#ifndef PONTOON_NET_UDP_CLOCK_MONOTONIC_H
#define PONTOON_NET_UDP_CLOCK_MONOTONIC_H

#include "engine/driver_api/clock.h"

struct clock_monotonic {
    struct clock clock; // first
};

void clock_monotonic_init(struct clock_monotonic *monotonic);

#endif
