#include "engine/embed/idle.h"

#include <sched.h>
#include <time.h>

enum { SPIN_POLLS = 4, SLEEP_AFTER_POLLS = 64 };

#define SLEEP_FIRST_NS UINT64_C(20000)
#define SLEEP_LAST_NS UINT64_C(2000000)

enum pontoon_idle idle_choose(enum pontoon_idle policy, uint32_t pollers, uint32_t cpus)
{
    if (policy != PONTOON_IDLE_AUTO) {
        return policy;
    }
    return pollers < cpus ? PONTOON_IDLE_SPIN : PONTOON_IDLE_YIELD;
}

void idle_init(struct idle *idle, enum pontoon_idle policy)
{
    *idle = (struct idle){.policy = policy, .sleep_ns = SLEEP_FIRST_NS};
}

void idle_busy(struct idle *idle)
{
    idle->empty_polls = 0;
    idle->sleep_ns = SLEEP_FIRST_NS;
}

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void sleep_ramped(struct idle *idle, uint64_t now_ns, uint64_t deadline_ns)
{
    uint64_t left = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    uint64_t sleep_ns = idle->sleep_ns < left ? idle->sleep_ns : left;
    struct timespec time = {.tv_nsec = (long)sleep_ns};
    nanosleep(&time, NULL);
    idle->sleep_ns = idle->sleep_ns * 2 < SLEEP_LAST_NS ? idle->sleep_ns * 2 : SLEEP_LAST_NS;
}

void idle_wait(struct idle *idle, uint64_t now_ns, uint64_t deadline_ns)
{
    idle->empty_polls++;
    if (idle->policy == PONTOON_IDLE_SPIN) {
        pause_cpu();
    } else if (idle->policy == PONTOON_IDLE_YIELD) {
        if (idle->empty_polls > SPIN_POLLS) {
            sched_yield();
        } else {
            pause_cpu();
        }
    } else if (idle->empty_polls > SLEEP_AFTER_POLLS) {
        sleep_ramped(idle, now_ns, deadline_ns);
    } else {
        sched_yield();
    }
}

uint64_t idle_shortest_election_ns(uint64_t longest_gap_ns)
{
    uint64_t shortest =
        3 * longest_gap_ns; // the leader's gap, the follower's, and a heartbeat in between
    return shortest < UINT64_C(2000000) ? UINT64_C(2000000) : shortest;
}

const char *idle_name(enum pontoon_idle policy)
{
    static const char *const names[] = {
        [PONTOON_IDLE_AUTO] = "auto",
        [PONTOON_IDLE_SPIN] = "spin",
        [PONTOON_IDLE_YIELD] = "yield",
        [PONTOON_IDLE_SLEEP] = "sleep",
    };
    return names[policy];
}
