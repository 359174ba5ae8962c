// The client and the echo of the raw benchmarks.
#ifndef PONTOON_BENCH_PING_H
#define PONTOON_BENCH_PING_H

#include "bench/raw/port.h"
#include "engine/base/histogram.h"

#include <stdatomic.h>

enum { PING_ROUNDS_MAX = 100, PING_WINDOW_MAX = 1024 };

struct ping_plan {
    uint64_t frame_bytes; // PORT_FRAME_BYTES_MIN to _MAX, without checksum
    uint64_t window;      // frames in flight; 1 to PING_WINDOW_MAX
    uint64_t rounds;      // 1 to PING_ROUNDS_MAX, after half a second of warm-up
    uint64_t seconds;     // a round
};

// In memory the parent sees.
struct ping_report {
    uint64_t answered;               // frames, all rounds
    uint64_t lost;                   // frames unanswered for 200 ms, warm-up included
    double rates[PING_ROUNDS_MAX];   // answers a second, by round
    double medians[PING_ROUNDS_MAX]; // microseconds, by round
    struct histogram histogram;      // of all rounds
};

// Closed loop: keeps `window` frames in flight until all rounds are over, and times each from its
// sending to its answer. Answers may come in any order; a second answer to the same frame is
// ignored.
void ping_run(struct port *port, const struct ping_plan *plan, struct ping_report *report);

// Returns every frame of ours unchanged until *stop is set (by another process or lcore; relaxed,
// nothing depends on its order).
void ping_echo(struct port *port, const atomic_bool *stop);

#endif
