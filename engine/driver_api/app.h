// What the engine asks of a state machine: apply committed commands in batches, deterministically.
//
// One replica of one group is one `struct app`. It is called by one thread at a time (its apply
// worker, or the reactor when apply is inline); the engine guarantees that no two calls overlap.
// Every replica is given the same commands with the same indexes: in a strict group in the order of
// the log, in a parallel group in any order that keeps it between commands that conflict. Results
// and state must depend on nothing else: no clock, randomness, addresses, or iteration order of
// hash tables keyed by pointers.
#ifndef PONTOON_DRIVER_API_APP_H
#define PONTOON_DRIVER_API_APP_H

#include <stdbool.h>
#include <stdint.h>

enum { APP_FOOTPRINTS_MAX = 8, APP_COMMAND_BYTES = 256 };

struct app_entry {
    uint64_t index;
    const void *payload; // valid during the call only
    uint32_t bytes;
};

// What an entry touches: [start, start + length) of a 64-bit key space. Two entries conflict when
// ranges overlap.
struct app_footprint {
    uint64_t start, length;
};

struct app;

// Fills the ranges that a command (or a query) touches. Result: how many (≤ max), or -1: conflicts
// with everything. Pure; any thread.
typedef int32_t app_footprint_of(const void *payload, uint32_t bytes, struct app_footprint *ranges,
                                 uint32_t max);

struct app_ops {
    const char *name;
    // Applies entries[0..count) in order; results[i] is what the client gets (the app's own 32-bit
    // code; 0 by custom is success). A command it cannot understand must give a deterministic error
    // result, never a crash.
    void (*apply)(struct app *app, const struct app_entry *entries, uint32_t count,
                  uint32_t *results);
    // Answers a query from applied state. Result: bytes written to answer, or -errno (-ENOENT,
    // -EMSGSIZE, -EINVAL).
    int32_t (*read)(struct app *app, const void *query, uint32_t query_bytes, void *answer,
                    uint32_t answer_capacity);
    // What a command touches (parallel groups). Commands whose ranges do not overlap may be applied
    // in any order. NULL: it does not show (encrypted, compressed); then the ranges count that its
    // proposer declared (pontoon_range in pontoon.h), and one without any conflicts with
    // everything. Where there is a function, it decides, and what was declared is not looked at.
    app_footprint_of *footprint;
    // What a query looks at. NULL: what was declared with it, or everything.
    app_footprint_of *query_footprint;
    // Commands that touch different ranges may be applied in another order than the log's (parallel
    // groups), so nothing they share may show it: not even that the state is full. As long as the
    // payloads of commands to come, with APP_COMMAND_BYTES each, fit into this, none of them may be
    // refused for want of room, whatever is applied of those that free some; beyond it the engine
    // orders all commands. NULL: without limit. Any thread; may be as old as the last batch.
    uint64_t (*room)(const struct app *app);
    // Digest of the whole state: equal states give equal digests on every replica, build and
    // history.
    uint64_t (*digest)(struct app *app);
    // Checkpoint: begin fixes the state (the engine applies nothing until end), read returns the
    // next bytes (0: done, -errno: failed), end lets go. Bytes are an opaque stream for restore on
    // any replica.
    int (*checkpoint_begin)(struct app *app);
    int64_t (*checkpoint_read)(struct app *app, void *buffer, uint64_t capacity);
    void (*checkpoint_end)(struct app *app);
    // Restore: begin empties the state; write takes the stream in pieces of any size; end says
    // whether it was whole and valid (0, or -EBADMSG and the state is empty).
    int (*restore_begin)(struct app *app);
    int (*restore_write)(struct app *app, const void *data, uint64_t bytes);
    int (*restore_end)(struct app *app);
    void (*close)(struct app *app);
};

// State machines embed this as their first member.
struct app {
    const struct app_ops *ops;
};

#endif
