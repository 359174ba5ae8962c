// How far apart two CPUs are: the time a cache line takes from one to the other and back.
//
// On a virtual machine that is the host's choice. It moves the machine's CPUs together under one
// cache, or apart, while programs run; everything that hands data from CPU to CPU follows, and code
// that stays on one does not. So runs can be compared only when they had the CPUs equally far
// apart, and a look at the distance right before and right after a run tells.
#ifndef PONTOON_BENCH_CORES_H
#define PONTOON_BENCH_CORES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CORES_MILLISECONDS = 50, CORES_MILLISECONDS_MAX = 60000 };

// Looks whose largest is at most this many times the smallest are of one state. The states seen lie
// a factor of three to five apart, looks at one of them within a tenth.
#define CORES_STATE_FACTOR 1.5

struct cores_round_trip {
    double median_ns, p10_ns, p90_ns; // over slices of CORES_SLICE_TRIPS round trips each
    uint64_t slices;                  // 0: not measured
};

// Measures between two CPUs, by two processes of its own. What else runs there takes the CPU from
// one of them now and then; that spoils single slices and not the median. Result: false with a line
// on stderr when it could not be measured; true with all 0 when the CPUs are the same one, where
// there is nothing to measure.
bool cores_measure(struct cores_round_trip *trip, unsigned first, unsigned second,
                   unsigned milliseconds);

// Were all looks of one state? With fewer than two there is nothing that differs, nor on one CPU,
// where all are 0.
bool cores_is_one_state(const double *looks_ns, size_t count);

#endif
