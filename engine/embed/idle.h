// What a poll loop does when it found nothing to do.
//
// spin   nothing but a pause: a core of its own, lowest latency.
// yield  lets others run after a few empty polls: more pollers than cores. Measured on 2 cores, a
// token passed round three polling
//        processes: 7.8 ms a round with pause alone, 4.2 us with sched_yield (engine/README.md).
// sleep  sleeps longer the longer nothing comes, at most until the next timer.
#ifndef PONTOON_EMBED_IDLE_H
#define PONTOON_EMBED_IDLE_H

#include <stdint.h>

#include "engine/pontoon.h"

struct idle {
    enum pontoon_idle policy;
    uint32_t empty_polls;
    uint64_t sleep_ns;
};

// AUTO becomes spin when every poller has a CPU of its own, else yield.
enum pontoon_idle idle_choose(enum pontoon_idle policy, uint32_t pollers, uint32_t cpus);
void idle_init(struct idle *idle, enum pontoon_idle policy);
void idle_busy(struct idle *idle);
void idle_wait(struct idle *idle, uint64_t now_ns, uint64_t deadline_ns);
// The shortest election timeout that makes sense where polls lie up to longest_gap_ns apart: a
// leader that is merely waiting for its CPU, and a follower that is, together must not look like a
// dead leader. Never below 2 ms.
uint64_t idle_shortest_election_ns(uint64_t longest_gap_ns);
const char *idle_name(enum pontoon_idle policy);

#endif
