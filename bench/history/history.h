// What the clients of a kv store asked for and were told: the record that linear.h judges.
//
// Operations are those of drivers/app_kv. A key is any 64-bit number. A value is a *token*: not 0
// (0 is "absent"), and written by one operation of the whole history only, so that whoever reads it
// tells which write it saw. Events (calls and returns) are numbered in the order they are recorded,
// and that order is the real-time order; the times are for people, and for merging.
//
// The memory grows by doubling and is kept over history_reset. No thread-safety.
#ifndef PONTOON_BENCH_HISTORY_HISTORY_H
#define PONTOON_BENCH_HISTORY_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { HISTORY_OPS_MAX = 1 << 30 };

#define HISTORY_NEVER UINT32_MAX // the number of an event that did not happen

enum history_operation {
    HISTORY_GET,
    HISTORY_PUT,
    HISTORY_DELETE,
    HISTORY_SWAP, // compare-and-swap
};

// The first five are what the store says. An operation it did not do (mismatch, full, ...) changed
// nothing.
enum history_outcome {
    HISTORY_OK,        // GET: `value` is what was read, 0 for no such key
    HISTORY_NOT_FOUND, // DELETE, or SWAP with an expected value: no such key
    HISTORY_MISMATCH,  // SWAP: the key has another value, or has one and was expected absent
    HISTORY_FULL,      // PUT, or SWAP that found what it expected: no room
    HISTORY_FAILED,    // certainly never executed, and never will be
    HISTORY_EXPIRED,   // executed before it returned, or never
    HISTORY_UNKNOWN, // executed at any time after its call, maybe long after it returned, or never
    HISTORY_OPEN,    // has not returned: as UNKNOWN
};

struct history_op {
    uint64_t key;
    uint64_t value;    // PUT, SWAP: the token it writes; GET: the token it read
    uint64_t expected; // SWAP; 0: absent
    uint64_t call_ns, return_ns;
    uint32_t client;
    uint32_t called, returned; // numbers of its events; called < returned; HISTORY_NEVER while OPEN
    uint8_t operation;         // enum history_operation
    uint8_t outcome;           // enum history_outcome
};

struct history {
    struct history_op *ops; // by id: in the order of their calls
    uint32_t count, capacity;
    uint32_t events; // numbers below are taken
};

void history_init(struct history *history);
void history_fini(struct history *history);
void history_reset(struct history *history);
// Room for that many operations in all, so that none of them allocates. False: no memory.
bool history_reserve(struct history *history, uint32_t ops);

// Records a call; result: the operation's id. `value` is 0 for GET and DELETE, `expected` for all
// but SWAP.
uint32_t history_call(struct history *history, uint32_t client, uint64_t now_ns,
                      enum history_operation operation, uint64_t key, uint64_t value,
                      uint64_t expected);
// Records what operation `id`, which is OPEN, was told. `read` counts for a GET that is OK only.
void history_return(struct history *history, uint32_t id, uint64_t now_ns,
                    enum history_outcome outcome, uint64_t read);

// "put", ...; "not_found", ....
const char *history_operation_name(enum history_operation operation);
const char *history_outcome_name(enum history_outcome outcome);

// One operation on one line, for people: `#12 client 3 [1000..2000 ns] put key 7 value a: ok`.
void history_print_op(const struct history *history, uint32_t id, FILE *file);

// README.md has the format. 0 or -errno.
int history_write(const struct history *history, FILE *file);
// Appends what the file holds, behind what was recorded before. 0, or -EINVAL or another -errno
// with a reason that names the line; the history is then of no use until it is reset.
int history_read(struct history *history, FILE *file, char *reason, size_t reason_bytes);
// Numbers all events anew by their times, so that files of clients on one machine can be read one
// after the other. At equal times calls come first: the operations overlap. Ids change. False: no
// memory.
bool history_merge(struct history *history);

#endif
