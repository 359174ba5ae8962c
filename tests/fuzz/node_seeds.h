// Inputs of fuzz_node that get somewhere: an election won, a log followed, a checkpoint taken in.
#ifndef PONTOON_TESTS_FUZZ_NODE_SEEDS_H
#define PONTOON_TESTS_FUZZ_NODE_SEEDS_H

#include <stddef.h>
#include <stdint.h>

#include "tests/fuzz/node_actions.h"

// Fields as node_fields.c reads them; what is not given at an input's end is 0: "as the node has
// it".
enum {
    FROM_1 = 0,
    FROM_3 = 1,
    GROUP_1 = 2,
    LESS = 256, // LESS - n: n less than the node has
};

#define WAIT NODE_PASS, 100
#define SETTLE NODE_POLLS, 15
#define PRE_VOTE_GRANTED(sender) NODE_MESSAGE, sender, 1, 1, 0
#define VOTE_GRANTED(sender) NODE_MESSAGE, sender, 3, 0, 0
// Everything sent so far is acknowledged.
#define ACKED(sender) NODE_MESSAGE, sender, 5, 0, 0, 0, 0, 0, 0, 0
#define REJECTED(sender, back) NODE_MESSAGE, sender, 5, 0, 1, 1, 0, 0, 0, 0, 0, 7, back
#define ELECTED(sender) WAIT, PRE_VOTE_GRANTED(sender), SETTLE, VOTE_GRANTED(sender), SETTLE
#define LEADS(sender) ELECTED(sender), ACKED(sender), SETTLE
#define REGISTERED(group) NODE_PROPOSE, group, 0, 2, 9, 0, 4
#define COMMAND(group, number) NODE_PROPOSE, group, 0, 0, 0, (number)-1, 20
#define COMMANDS4(group, number)                                                                   \
    NODE_PROPOSE, group, 3, 4, 0, (number)-1, 4, 0, (number), 4, 0, (number) + 1, 4, 0, (number) + 2
#define READ(group) NODE_ASK, group, 2, 1, 60
#define STATUS(group) NODE_ASK, group, 4
// Entries behind the last, as this term's leader; all before them is committed.
#define APPENDED(sender, newer)                                                                    \
    NODE_MESSAGE, sender, 4, newer, 3, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 4, 0, 0, 4, 0, 1
// The same one behind a hole of one.
#define APPENDED_BEHIND(sender) NODE_MESSAGE, sender, 4, 0, 1, 0, 1, 0, 0, 0, 0, 0, 2, 1, 4, 0, 0
#define HEARTBEAT(sender) NODE_MESSAGE, sender, 4, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1
#define ASKED(sender, newer) NODE_MESSAGE, sender, 2, newer, 0, 0, 0
#define FRAGMENT_OF_4096(sender, part)                                                             \
    NODE_FRAGMENT, sender, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1 + 16 * (part), 0, 0
#define POWER_CUT NODE_CRASH, 0x80 | 50, 1, 2
#define KILLED NODE_CRASH, 50, 3, 4

// Of parallel groups. A fresh replica has no term's log: its claims and reports of it are shorter.
#define P_ENTRY(number) 0, 0, (number)-1, 8 + (number)
#define P_SYNCED(sender, newer) NODE_MESSAGE, sender, 4, newer, 0, 7, 0, 0, 7, 0, 0, 0, 0, 0
// ... the log that the node has, as that of a newer term.
#define P_SYNCED_AGAIN(sender) NODE_MESSAGE, sender, 4, 1, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0
// As this term's leader, behind the last or behind a hole, with distances of so many fifteenths.
#define P_APPENDED(sender, how, upto, depth)                                                       \
    NODE_MESSAGE, sender, 4, 0, 2, how, 0, 0, 0, upto, 0, 0, 0, (depth) << 4, 0, P_ENTRY(1),       \
        P_ENTRY(2)
// Everything that the node holds is committed.
#define P_TOLD(sender) NODE_MESSAGE, sender, 4, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0
// Of different keys.
#define P_COMMANDS4 NODE_PROPOSE, 0, 3, P_ENTRY(1), P_ENTRY(2), P_ENTRY(3), P_ENTRY(4)
#define BEHIND_THE_LAST 0
#define BEHIND_A_HOLE 6
#define UPTO_LAST 0
#define UPTO_NOTHING 7
#define P_FRESH_REPORT(sender) NODE_MESSAGE, sender, 3, 0, 0, 0, 0, 0, 7, 0
// Two more than the node has, the first of them missing there as well.
#define P_REPORT(sender) NODE_MESSAGE, sender, 3, 0, 0, 2 << 2, 0, 0, 0, 0, 1, 0, 0xFF
#define P_SUPPLIED(sender) NODE_MESSAGE, sender, 4, 0, 1, 6, 0, 0, 0, 7, 0, 0, 0, 1, P_ENTRY(3)
#define P_ACKED(sender) ACKED(sender), 0
// Nothing without holes, but so many entries beyond the committed ones, of which the first lacks.
#define P_ACKED_BEYOND(sender, count)                                                              \
    NODE_MESSAGE, sender, 5, 0, 0, 1, 0, count, 0, 0, (count) << 1, 0xFF
#define P_FRESH_ASKED(sender, newer) NODE_MESSAGE, sender, 2, newer, 0
#define P_FETCH(sender) NODE_MESSAGE, sender, 6, 0, 1, 4, 3, 0, 0xFF
#define P_LEADS(sender)                                                                            \
    WAIT, PRE_VOTE_GRANTED(sender), SETTLE, P_FRESH_REPORT(sender), SETTLE, SETTLE,                \
        P_ACKED(sender), SETTLE

// One of the node's own, taken before the log of node 1 began, is given to it by that.
#define CHECKPOINT_TAKEN_IN                                                                        \
    NODE_TAKE_CHECKPOINT, 0, APPENDED(FROM_1, 1), SETTLE, NODE_SNAPSHOT, FROM_1, 0, 0, 5, 0, 0,    \
        SETTLE, SETTLE

static const uint8_t node_seed_parallel_leader[] = {NODE_PARALLEL,
                                                    P_LEADS(FROM_1),
                                                    REGISTERED(0),
                                                    SETTLE,
                                                    P_ACKED(FROM_1),
                                                    SETTLE,
                                                    P_COMMANDS4,
                                                    SETTLE,
                                                    P_ACKED_BEYOND(FROM_1, 3),
                                                    SETTLE,
                                                    P_ACKED_BEYOND(FROM_3, 4),
                                                    SETTLE,
                                                    READ(0),
                                                    SETTLE,
                                                    P_ACKED(FROM_3),
                                                    SETTLE,
                                                    POWER_CUT,
                                                    P_LEADS(FROM_3)};
static const uint8_t node_seed_parallel_follower[] = {
    NODE_PARALLEL | 2,
    P_SYNCED(FROM_1, 1),
    SETTLE,
    P_APPENDED(FROM_1, BEHIND_THE_LAST, UPTO_NOTHING, 0),
    SETTLE,
    P_APPENDED(FROM_1, BEHIND_A_HOLE, UPTO_LAST, 15),
    SETTLE,
    P_TOLD(FROM_1),
    SETTLE,
    P_APPENDED(FROM_1, BEHIND_THE_LAST, UPTO_LAST, 0),
    SETTLE,
    P_APPENDED(FROM_1, BEHIND_A_HOLE, UPTO_LAST, 0),
    SETTLE,
    POWER_CUT,
    P_SYNCED_AGAIN(FROM_3),
    SETTLE,
    SETTLE,
    P_APPENDED(FROM_3, BEHIND_THE_LAST, UPTO_LAST, 0),
    SETTLE,
    KILLED};
static const uint8_t node_seed_parallel_voter[] = {
    NODE_PARALLEL,
    P_FRESH_ASKED(FROM_1, 1),
    SETTLE,
    P_SYNCED(FROM_1, 0),
    SETTLE,
    P_APPENDED(FROM_1, BEHIND_THE_LAST, UPTO_NOTHING, 0),
    P_APPENDED(FROM_1, BEHIND_A_HOLE, UPTO_NOTHING, 0),
    SETTLE,
    WAIT,
    WAIT,
    ASKED(FROM_3, 1),
    SETTLE,
    P_FETCH(FROM_3),
    SETTLE,
    P_SYNCED_AGAIN(FROM_3),
    SETTLE,
    POWER_CUT,
    ASKED(FROM_1, 2),
    SETTLE};
static const uint8_t node_seed_parallel_merge[] = {
    NODE_PARALLEL,
    P_SYNCED(FROM_1, 1),
    SETTLE,
    P_APPENDED(FROM_1, BEHIND_THE_LAST, UPTO_LAST, 0),
    SETTLE,
    WAIT,
    WAIT,
    PRE_VOTE_GRANTED(FROM_3),
    SETTLE,
    P_REPORT(FROM_3),
    SETTLE,
    P_SUPPLIED(FROM_3),
    SETTLE,
    SETTLE,
    P_ACKED(FROM_3),
    SETTLE,
    REGISTERED(0),
    SETTLE,
    P_ACKED(FROM_3),
    SETTLE};
static const uint8_t node_seed_parallel_memory[] = {
    NODE_PARALLEL | NODE_VOLATILE,
    P_SYNCED(FROM_1, 1),
    SETTLE,
    P_APPENDED(FROM_1, BEHIND_A_HOLE, UPTO_LAST, 0),
    SETTLE,
    KILLED,
    P_SYNCED(FROM_1, 0),
    SETTLE,
    P_APPENDED(FROM_1, BEHIND_THE_LAST, UPTO_LAST, 0),
    SETTLE};

static const uint8_t node_seed_leader[] = {
    2,         LEADS(FROM_1), REGISTERED(0), SETTLE,        ACKED(FROM_1),
    SETTLE,    COMMAND(0, 1), SETTLE,        ACKED(FROM_3), COMMANDS4(0, 2),
    SETTLE,    ACKED(FROM_1), READ(0),       SETTLE,        ACKED(FROM_1),
    STATUS(0), SETTLE};
static const uint8_t node_seed_both_groups[] = {0,
                                                LEADS(FROM_1),
                                                ELECTED(FROM_3 | GROUP_1),
                                                ACKED(FROM_3 | GROUP_1),
                                                REGISTERED(GROUP_1),
                                                SETTLE,
                                                ACKED(FROM_3 | GROUP_1),
                                                COMMAND(GROUP_1, 1),
                                                COMMAND(0, 1),
                                                SETTLE,
                                                ACKED(FROM_1)};
static const uint8_t node_seed_follower[] = {4,
                                             APPENDED(FROM_1, 1),
                                             SETTLE,
                                             APPENDED(FROM_1, 0),
                                             SETTLE,
                                             HEARTBEAT(FROM_1),
                                             APPENDED_BEHIND(FROM_1),
                                             SETTLE,
                                             APPENDED(FROM_1, 0),
                                             SETTLE,
                                             APPENDED(FROM_3, 1),
                                             SETTLE,
                                             HEARTBEAT(FROM_3),
                                             WAIT};
static const uint8_t node_seed_votes[] = {
    0,         ASKED(FROM_1, 1), SETTLE, ASKED(FROM_3, 0), SETTLE, ASKED(FROM_3, 1), SETTLE,
    POWER_CUT, ASKED(FROM_1, 0), SETTLE, ASKED(FROM_3, 0), SETTLE};
static const uint8_t node_seed_restarts[] = {2,
                                             APPENDED(FROM_1, 1),
                                             SETTLE,
                                             POWER_CUT,
                                             APPENDED(FROM_1, 1),
                                             NODE_POLLS,
                                             1,
                                             KILLED,
                                             ELECTED(FROM_1),
                                             ACKED(FROM_1),
                                             REGISTERED(0),
                                             SETTLE,
                                             POWER_CUT,
                                             LEADS(FROM_3)};
static const uint8_t node_seed_memory[] = {NODE_VOLATILE,
                                           APPENDED(FROM_1, 1),
                                           SETTLE,
                                           KILLED,
                                           APPENDED(FROM_1, 1),
                                           SETTLE,
                                           NODE_MESSAGE,
                                           FROM_1,
                                           4,
                                           0,
                                           0,
                                           0,
                                           0,
                                           0,
                                           0,
                                           0,
                                           0,
                                           0x81,
                                           1,
                                           0,
                                           0,
                                           0,
                                           SETTLE,
                                           ASKED(FROM_3, 1),
                                           SETTLE};
static const uint8_t node_seed_fragments[] = {0,
                                              APPENDED(FROM_1, 1),
                                              SETTLE,
                                              FRAGMENT_OF_4096(FROM_1, 0),
                                              FRAGMENT_OF_4096(FROM_1, 1),
                                              FRAGMENT_OF_4096(FROM_1, 3),
                                              FRAGMENT_OF_4096(FROM_1, 2),
                                              SETTLE,
                                              HEARTBEAT(FROM_1)};
static const uint8_t node_seed_checkpoint_in[] = {0,      CHECKPOINT_TAKEN_IN, APPENDED(FROM_1, 0),
                                                  SETTLE, POWER_CUT,           HEARTBEAT(FROM_1)};
static const uint8_t node_seed_checkpoint_out[] = {0,
                                                   CHECKPOINT_TAKEN_IN,
                                                   LEADS(FROM_1),
                                                   REGISTERED(0),
                                                   SETTLE,
                                                   ACKED(FROM_1),
                                                   COMMANDS4(0, 1),
                                                   ACKED(FROM_1),
                                                   SETTLE,
                                                   REJECTED(FROM_3, 1),
                                                   SETTLE,
                                                   NODE_SNAPSHOT_REPLY,
                                                   FROM_3,
                                                   0,
                                                   0,
                                                   0,
                                                   SETTLE,
                                                   NODE_SNAPSHOT_REPLY,
                                                   FROM_3,
                                                   0,
                                                   2,
                                                   0,
                                                   SETTLE};
static const uint8_t node_seed_disk[] = {6,         LEADS(FROM_1),  NODE_HOLD_DISK,
                                         1,         REGISTERED(0),  SETTLE,
                                         WAIT,      NODE_HOLD_DISK, 0,
                                         SETTLE,    LEADS(FROM_1),  NODE_FAIL_DISK,
                                         0,         REGISTERED(0),  SETTLE,
                                         STATUS(0), POWER_CUT,      LEADS(FROM_1)};
static const uint8_t node_seed_shortage[] = {
    0,     LEADS(FROM_1),   NODE_SHORTAGE, 0,         READ(0),       NODE_SHORTAGE,
    0x28,  COMMANDS4(0, 1), SETTLE,        NODE_MAIL, 0x40,          NODE_MAIL,
    0x42,  NODE_MAIL,       0x40,          SETTLE,    ACKED(FROM_1), NODE_DRAIN,
    SETTLE};
static const uint8_t node_seed_raw[] = {0, NODE_RAW, 0, FROM_1, 32, 32, 0, 0, 0, 3, 1, 0, 0, 1};

#define NODE_SEED(name)                                                                            \
    {                                                                                              \
        node_seed_##name, sizeof(node_seed_##name)                                                 \
    }
static const struct {
    const uint8_t *bytes;
    size_t count;
} node_seeds[] = {NODE_SEED(leader),          NODE_SEED(both_groups),
                  NODE_SEED(follower),        NODE_SEED(votes),
                  NODE_SEED(restarts),        NODE_SEED(memory),
                  NODE_SEED(fragments),       NODE_SEED(checkpoint_in),
                  NODE_SEED(checkpoint_out),  NODE_SEED(disk),
                  NODE_SEED(shortage),        NODE_SEED(raw),
                  NODE_SEED(parallel_leader), NODE_SEED(parallel_follower),
                  NODE_SEED(parallel_voter),  NODE_SEED(parallel_merge),
                  NODE_SEED(parallel_memory)};
#undef NODE_SEED

#endif
