#include "drivers/net_dpdk/clock_tsc.h"

#include <rte_cycles.h>

#include "engine/base/assert.h"

static uint64_t now_ns(struct clock *clock)
{
    const struct clock_tsc *tsc = (const struct clock_tsc *)clock;
    __extension__ typedef unsigned __int128 wide;
    // One second is added so that no caller meets 0, which many take for "never".
    return UINT64_C(1000000000) + (uint64_t)((wide)(rte_rdtsc() - tsc->start) * tsc->scale >> 32);
}

void clock_tsc_init(struct clock_tsc *tsc)
{
    uint64_t hz = rte_get_tsc_hz();
    ASSERT(hz != 0);
    tsc->clock.now_ns = now_ns;
    tsc->start = rte_rdtsc();
    __extension__ typedef unsigned __int128 wide;
    tsc->scale = (uint64_t)(((wide)1000000000 << 32) / hz);
}
