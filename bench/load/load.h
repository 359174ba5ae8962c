// Load on a cluster, made and measured at the client.
//
// Closed loop: `depth` operations are always in flight; measures capacity. Open loop: operations
// are due at a fixed rate, whether or not earlier ones were answered, and their latency counts from
// when they were due (no coordinated omission); measures latency under load. Latencies run to the
// callback, which is after commit and apply at the leader.
//
// Only the window counts: operations answered in it (closed loop), or due in it (open loop). What
// was due in it but found no room is sent after its end, and counts: latency is what was to be
// measured.
//
// With a history every operation is recorded, warm-up and rest included, and the clock is read for
// each. Keys come from the seed, so that one seed is one set of keys, and values begin with a
// token: client place and a running number. Loads of one seed and different places share their
// keys. When the history is full nothing more is sent.
#ifndef PONTOON_BENCH_LOAD_H
#define PONTOON_BENCH_LOAD_H

#include "bench/history/history.h"
#include "engine/base/histogram.h"
#include "engine/base/prng.h"
#include "engine/pontoon.h"

enum load_workload {
    LOAD_NULL, // the payload is `bytes` of noise; reads ask nothing in particular
    LOAD_KV,   // puts of `bytes` values under random keys; reads get one of those keys
};

enum { LOAD_DEPTH_MAX = 65536, LOAD_TOKEN_BYTES = 8 };

struct load_config {
    enum load_workload workload;
    uint32_t depth; // closed loop: in flight; open loop: at most in flight. 1..LOAD_DEPTH_MAX
    uint64_t rate;  // open loop: operations a second; 0: closed loop
    uint32_t bytes; // of payload (NULL) or value (KV)
    uint32_t reads_percent;     // of operations that are reads
    uint32_t groups;            // operations go to groups 0..groups-1 in turn
    uint32_t keys;              // different keys
    bool has_keys;              // NULL: commands name a key (app_null.h); `bytes` has room for it
    uint32_t conflicts_percent; // ... of commands that name one hot key instead of a random one
    uint64_t warm_up_ns, window_ns;
    uint64_t drain_ns; // how long what is in flight at the end is waited for
    uint64_t seed;
    uint16_t place;          // of the client
    struct history *history; // KV with bytes >= LOAD_TOKEN_BYTES; NULL: none
    uint32_t history_ops_max;
    bool should_spin; // else the CPU is given away when there is nothing to do
    void (*at_border)(void *context,
                      bool is_end); // called right before the window and right after it
    void *context;
};

struct load_result {
    double seconds;         // the window's real length
    uint64_t writes, reads; // counted, and in the histograms
    uint64_t answered;      // in the window: the rate
    uint64_t all_writes;    // answered DONE, with those outside the window
    uint64_t refused;       // by the state machine: result not 0, or a read of -errno but -ENOENT
    uint64_t failed;        // ended as anything but DONE and UNKNOWN
    uint64_t unknown;
    uint64_t late_ns_max; // open loop: how long after it was due an operation was sent
    uint64_t lost;        // in flight, or due and not even sent, after drain_ns
    double client_cpu_s;  // of this process in the window
    struct histogram write_ns, read_ns;
};

// Bytes of the entry a write makes (payload).
uint32_t load_entry_bytes(const struct load_config *config);

// Runs the load. 0 or -errno (-EINVAL: sizes; -ENOMEM). *result is large: static or allocated. It,
// and the history, stay until the client is closed: its last callbacks count there.
int load_run(const struct load_config *config, struct pontoon_client *client,
             struct load_result *result);

#endif
