#include "bench/cores/cores.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#include "bench/harness/process.h"
#include "engine/base/histogram.h"

// A slice is so short that most slices have the CPUs to themselves whatever else runs, and so long
// that reading the clock does not count.
enum { CORES_SLICE_TRIPS = 32, CACHE_LINE_BYTES = 64, START_MS = 5000, SETTLE_MS = 5000 };

#define GAME_OVER UINT64_MAX // instead of a number of round trips

// Shared by both processes: each writes one line and reads the other's.
struct court {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t there; // written by ping
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t back;  // written by pong, follows `there`
    _Alignas(CACHE_LINE_BYTES) unsigned first, second; // CPUs
    unsigned milliseconds;
    struct histogram slices; // written by ping, read by the parent after ping ended
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

// The loads and stores pair with ping's. They carry nothing but themselves, so any order would do;
// acquire and release are what a ring between two CPUs uses.
static int run_pong(void *context, int ready_fd)
{
    struct court *court = context;
    uint64_t there, answered = 0;
    process_pin(court->second);
    process_say_ready(ready_fd);
    while ((there = atomic_load_explicit(&court->there, memory_order_acquire)) != GAME_OVER) {
        if (there != answered) {
            answered = there;
            atomic_store_explicit(&court->back, there, memory_order_release);
        }
    }
    return 0;
}

static uint64_t play_slice(struct court *court, uint64_t trips_done)
{
    for (uint64_t next = trips_done + 1; next <= trips_done + CORES_SLICE_TRIPS; next++) {
        atomic_store_explicit(&court->there, next, memory_order_release);
        while (atomic_load_explicit(&court->back, memory_order_acquire) < next) {
        }
    }
    return trips_done + CORES_SLICE_TRIPS;
}

static int run_ping(void *context, int ready_fd)
{
    struct court *court = context;
    process_pin(court->first);
    process_say_ready(ready_fd);
    uint64_t trips = play_slice(court, 0), start = now_ns(), now = start;
    uint64_t end = start + court->milliseconds * UINT64_C(1000000);
    while (now < end) {
        trips = play_slice(court, trips);
        now = now_ns();
        histogram_record(&court->slices, now - start);
        start = now;
    }
    atomic_store_explicit(&court->there, GAME_OVER, memory_order_release);
    return 0;
}

static bool play(struct court *court)
{
    struct process ping = {0}, pong = {0};
    process_start(&pong, "pong", run_pong, court);
    bool good = process_await_ready(&pong, START_MS);
    if (good) {
        process_start(&ping, "ping", run_ping, court);
        good = process_await_ready(&ping, START_MS) &&
               process_await_end(&ping, (int)court->milliseconds + SETTLE_MS) &&
               process_await_end(&pong, SETTLE_MS);
    }
    process_kill(&ping);
    process_kill(&pong);
    return good;
}

static double trip_ns(const struct histogram *slices, double percentile)
{
    return (double)histogram_percentile(slices, percentile) / CORES_SLICE_TRIPS;
}

bool cores_measure(struct cores_round_trip *trip, unsigned first, unsigned second,
                   unsigned milliseconds)
{
    *trip = (struct cores_round_trip){0};
    if (first == second) {
        return true;
    }
    struct court *court = process_share(sizeof(*court));
    court->first = first;
    court->second = second;
    court->milliseconds = milliseconds;
    histogram_init(&court->slices);
    bool good = play(court);
    if (good) {
        *trip = (struct cores_round_trip){.median_ns = trip_ns(&court->slices, 50),
                                          .p10_ns = trip_ns(&court->slices, 10),
                                          .p90_ns = trip_ns(&court->slices, 90),
                                          .slices = court->slices.count};
    }
    munmap(court, sizeof(*court));
    return good;
}

bool cores_is_one_state(const double *looks_ns, size_t count)
{
    double least = count == 0 ? 0 : looks_ns[0], most = least;
    for (size_t at = 1; at < count; at++) {
        least = looks_ns[at] < least ? looks_ns[at] : least;
        most = looks_ns[at] > most ? looks_ns[at] : most;
    }
    return most <= CORES_STATE_FACTOR * least;
}
