// A cluster inside the test's own process: nodes opened from configuration structures, over
// loopback UDP (or whatever the test makes of the links), with small memory.
//
// Nodes are driven by process_poll (nobody's threads), or by their own threads after process_start.
#ifndef PONTOON_TESTS_EMBED_PROCESS_H
#define PONTOON_TESTS_EMBED_PROCESS_H

#include <stdatomic.h>

#include "engine/pontoon.h"
#include "tests/harness/harness.h"
#include "tests/unit/embed/sum.h"

struct process;

struct process_node {
    struct process *process;
    struct pontoon_config config;
    struct pontoon *pontoon; // NULL: not open
    atomic_uint roles[4];    // role changes told, by role
    atomic_uint apps;        // state machines open
};

struct process {
    struct process_node nodes[3];
    uint32_t count, number;
    bool is_started; // nodes run their own threads
    // The state machine of every node; NULL: sum.h. context: the process_node.
    int (*app_open)(void *context, uint16_t group, struct app **app);
};

// Configurations for `count` nodes with addresses and a directory that no other test uses.
void process_init(struct process *process, uint32_t count);
// Makes a client place, before the nodes open. Result: its configuration.
struct pontoon_config process_client(struct process *process);
// Opens all of them (one: process_open_node), or fails the test.
void process_open(struct process *process);
void process_open_node(struct process *process, uint32_t place);
void process_start(struct process *process);
// Stops and closes what is open.
void process_close(struct process *process);
void process_close_node(struct process *process, uint32_t place);

// One round over all open nodes, or a short sleep when they run by themselves.
void process_poll(struct process *process);
uint64_t process_now_ns(void);
// The node that leads `group` and has applied its whole log; waits up to 10 s for it.
struct process_node *process_leader(struct process *process, uint16_t group);
// Waits up to 10 s until all open nodes have applied at least `count` entries of group 0 and agree.
void process_wait_applied(struct process *process, uint64_t count);

// WAIT_FOR(process, condition): polls until it holds; fails the test after 10 s.
#define WAIT_FOR(process, condition)                                                               \
    do {                                                                                           \
        uint64_t wait_until_ns = process_now_ns() + UINT64_C(10000000000);                         \
        while (!(condition) && process_now_ns() < wait_until_ns) {                                 \
            process_poll(process);                                                                 \
        }                                                                                          \
        CHECK(condition);                                                                          \
    } while (0)

// How many completions there were, by status; for pontoon_done and pontoon_answer alike.
struct tally {
    atomic_uint total;
    atomic_uint by_status[8];
    atomic_uint last_value;
    struct sum_state state; // of the last read
    atomic_int last_bytes;
};
void tally_done(void *context, const struct pontoon_result *result);
void tally_answer(void *context, enum pontoon_status status, const void *answer, int32_t bytes);

#endif
