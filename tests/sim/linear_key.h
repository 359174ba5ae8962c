// The part of a history on one key, made ready for the search. Private to linear*.c.
//
// An operation becomes a *step*: what it needs to find, and what it leaves. Values become small
// numbers, *states*:
//
//     operation, outcome           needs                 leaves
//     get ok v                     VALUE v               as it is
//     put ok                       ANYTHING              v
//     put full                     (nothing to judge: another key may fill the store)
//     delete ok                    OTHER absent          absent
//     delete not_found             VALUE absent          as it is
//     cas ok                       VALUE expected        v
//     cas not_found                VALUE absent          as it is         (expected is not absent)
//     cas mismatch                 OTHER expected        as it is
//     cas full                     VALUE expected        as it is
//     anything else the store never says                 NOTHING WILL DO
//
// OTHER e: a value is there, and it is not e. A step is *firm* when it has to be given a moment,
// else *optional*.
#ifndef PONTOON_TESTS_SIM_LINEAR_KEY_H
#define PONTOON_TESTS_SIM_LINEAR_KEY_H

#include "bench/history/history.h"
#include "tests/sim/table.h"

#define STATE_ABSENT 0u
#define STATE_JUNK 1u // any value that no step asks for: linear_key.c
#define STATE_TOKENS 2u
#define STATE_KEEP UINT32_MAX

#define STEP_NONE UINT32_MAX

enum step_need { NEED_ANYTHING, NEED_VALUE, NEED_OTHER };

struct step {
    uint32_t op;
    uint32_t call;     // event number: its moment is later
    uint32_t deadline; // ... and earlier than this; HISTORY_NEVER: none
    uint32_t wanted;   // state: VALUE wants this one, OTHER refuses it (and ABSENT)
    uint32_t leaves;   // state; STATE_KEEP
    uint8_t need;      // enum step_need
    bool is_optional;
    uint64_t mark[2]; // random: the steps of a set, XORed, name the set
};

struct linear_key {
    struct step *steps; // firm ones by call; optional ones behind them, those with a deadline first
    uint32_t firm, bounded, count; // steps [0, firm), [firm, firm + bounded), [.., count)
    uint32_t steps_capacity;
    uint32_t *by_deadline; // the firm steps
    uint64_t *sort;
    uint32_t *readers; // by state: firm steps that need VALUE of it. 0 for ABSENT and JUNK
    uint32_t states;
    // While it is made ready:
    struct step *draft;
    uint32_t *writer;   // by state; STEP_NONE: nobody
    bool *is_tested;    // by state
    struct zone *zones; // first by state, then those that count, in order
    uint32_t capacity;
    struct table states_by_token;
};

void linear_key_init(struct linear_key *key);
void linear_key_fini(struct linear_key *key);

// Makes the operations `ids` of one key ready, in the order of their calls. `is_weak`, by id, may
// be NULL: operations to be taken as of unknown outcome. False: not linearizable, that is plain
// already.
bool linear_key_prepare(struct linear_key *key, const struct history *history, const uint32_t *ids,
                        uint32_t count, const bool *is_weak);

#endif
