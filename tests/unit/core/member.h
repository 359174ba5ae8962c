// One node of a parallel group under a test's full control, and what its leaders and voters say.
//
// `member` is a replica (replica.h) that a test drives by hand; the functions here are the steps
// that tests of parallel groups share. Whatever is sent to it could have come from the wire.
#ifndef PONTOON_TESTS_MEMBER_H
#define PONTOON_TESTS_MEMBER_H

#include "tests/unit/core/replica.h"

extern struct replica member;

// Node 1 of `voters`, with a window of 32 entries.
void member_open(uint32_t voters);
void member_configure(uint32_t voters); // the same without the start
void member_close(void);

void member_receive(struct raft_message message);
struct raft_message member_message(struct raft_message message); // as sent in a parallel group

// As a follower. Appends are of the leader `from` of `term`, whose recovered log ends at `end`.
struct raft_message member_append(uint16_t from, uint64_t term, uint64_t first, uint32_t count,
                                  uint64_t end, uint64_t commit);
// Follows node 2 in `term` with entries 1 to `last`, all of them of its service.
void member_follow(uint64_t term, uint64_t last);

// As a candidate.
void member_stand(void); // until its own vote is durable
struct raft_message member_reported(uint16_t from, uint64_t term, struct raft_report report);

// As a leader.
void member_lead(void);                                             // of empty logs; it serves
struct raft_message member_ack(uint16_t from, uint64_t match);      // of a peer that has installed
void member_ack_one(uint16_t from, uint64_t match, uint64_t index); // that alone, beyond `match`
void member_propose_kind(enum raft_entry_kind kind, uint64_t start, uint64_t client,
                         uint64_t sequence);
void member_propose(uint64_t start, uint64_t client, uint64_t sequence); // touches [start, +4)

// As anybody. The entries it sent to a peer at the last collect ("4 6-8"; "": none).
const char *member_sends(uint16_t to);
// What it gives to apply: next, and until it gives no more ("1 3 5-7").
bool member_gives(uint64_t first, uint64_t last);
const char *member_given(void);
void member_applied(uint64_t first, uint64_t last);

#endif
