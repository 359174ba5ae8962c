// One replica under a test's full control: every message, completion and tick is the test's own.
//
// It places what the replica accepts (the body is the entry's sequence) and remembers what awaits
// durability, but nothing becomes durable before the test says so.
#ifndef PONTOON_TESTS_REPLICA_H
#define PONTOON_TESTS_REPLICA_H

#include "engine/core/raft.h"

enum { REPLICA_SELF = 1, REPLICA_PENDING_MAX = 4096 };

#define REPLICA_MS UINT64_C(1000000)

struct replica_write {
    struct raft_entry_id id;
    uint32_t epoch;
};

struct replica {
    struct raft_config config;
    struct raft *raft;
    void *memory;
    uint64_t now_ns;
    enum raft_outcome outcome;         // of the last step
    struct raft_accept accept;         // of the last step
    struct raft_effects effects;       // of the last collect
    struct raft_hard_state hard_state; // as last handed out
    struct replica_write pending[REPLICA_PENDING_MAX];
    uint32_t pending_count;
    bool has_sync;         // (parallel) the SYNC record in effects.sync awaits durability
    struct raft_view view; // as of the last step or collect
};

// Node 1 of `voters` nodes, term 0, an empty log, started at time 1.
void replica_open(struct replica *replica, uint32_t voters);
void replica_configure(struct replica *replica, uint32_t voters); // the same without the start
void replica_start(struct replica *replica);
void replica_close(struct replica *replica);

enum raft_outcome replica_step(struct replica *replica, const struct raft_input *input);
void replica_collect(struct replica *replica);
enum raft_outcome replica_receive(struct replica *replica, const struct raft_message *message);
enum raft_outcome replica_tick(struct replica *replica, uint64_t after_ns);
enum raft_outcome replica_propose(struct replica *replica, uint32_t count);
enum raft_outcome replica_read(struct replica *replica, uint32_t count);
void replica_applied(struct replica *replica, uint64_t index);

// Completions. Each is followed by a collect.
void replica_sync_hard(struct replica *replica);
void replica_sync_log(struct replica *replica); // everything pending, and the SYNC record then
void replica_synced(struct replica *replica, uint64_t first, uint64_t last, uint32_t epoch);

// Messages to the replica.
struct raft_message replica_message(enum raft_message_type type, uint16_t from, uint64_t term);
struct raft_message replica_vote(enum raft_message_type type, uint16_t from, uint64_t term,
                                 struct raft_entry_id last);
struct raft_message replica_granted(enum raft_message_type type, uint16_t from, uint64_t term);
// Entries (term, prev.index + 1 …) of one term; commit 0 tells nothing.
struct raft_message replica_append(uint16_t from, uint64_t term, struct raft_entry_id prev,
                                   uint64_t entries_term, uint32_t count, uint64_t commit);
struct raft_message replica_ack(uint16_t from, uint64_t term, uint64_t match, uint64_t round);
struct raft_message replica_reject(uint16_t from, uint64_t term, struct raft_entry_id conflict);

// Collects, and everything durable.
void replica_settle(struct replica *replica);
// Follower of node 2 in `term` with the given log: terms of entries 1, 2, …; 0 ends it.
void replica_follow(struct replica *replica, uint64_t term, const uint64_t *terms, uint64_t commit);
// Until it leads, with the votes of as many others as it takes; its no-op durable here.
void replica_stand(struct replica *replica); // until votes are asked for
void replica_lead(struct replica *replica);

// Is this message of a parallel group one that can be encoded, and that decode lets through?
bool replica_is_sound(const struct raft_message *message);

// What it sent at the last collect; NULL: nothing of that kind.
const struct raft_message *replica_sent(const struct replica *replica, enum raft_message_type type,
                                        uint16_t to);
// Range of entries sent; {1, 0}: none.
struct raft_range replica_range(const struct replica *replica, uint16_t to);
// "1 1 2": terms of the entries behind the base, as far as the log has no hole.
const char *replica_log(const struct replica *replica);

#endif
