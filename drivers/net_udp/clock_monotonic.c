#include "drivers/net_udp/clock_monotonic.h"

#include <time.h>

static uint64_t now_ns(struct clock *clock)
{
    (void)clock;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void clock_monotonic_init(struct clock_monotonic *monotonic)
{
    monotonic->clock.now_ns = now_ns;
}
