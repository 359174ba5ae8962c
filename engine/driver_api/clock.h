// What the engine asks of time: one monotonic reading in nanoseconds, cheap enough for every poll
// (≤ 20 ns).
#ifndef PONTOON_DRIVER_API_CLOCK_H
#define PONTOON_DRIVER_API_CLOCK_H

#include <stdint.h>

struct clock {
    // Nanoseconds since any fixed point; never falls. Read once a poll iteration.
    uint64_t (*now_ns)(struct clock *clock);
};

static inline uint64_t clock_now_ns(struct clock *clock)
{
    return clock->now_ns(clock);
}

#endif
