// A crowd: the cores of one parallel group in virtual time, on disks and a network that do what
// one seed says.
//
//     crowd_client.c      commands, retries, registrations and reads, as clients may send them
//     crowd_net.c         messages are lost, doubled, reordered, late, and very late
//     crowd_disk.c        writes complete in any order; crashes keep any part of the others; logs
//                         are lost or damaged; recovery
//     crowd_checkpoint.c  checkpoints, taken and given to peers
//     crowd_truth.c       what is held and applied, against what anybody held and applied before
//     crowd_app.c         what nodes apply, sessions of clients among it
//     crowd.c             a node's step and what follows from it; one turn of all
//
// CROWD_REQUIRE holds all the time: what stands at an index is the same for all who have the same
// sync_term; an index is applied as the same command everywhere; nobody applies a command before an
// earlier one that it conflicts with; every command gets the same verdict of its session
// everywhere; a read sees what was answered before it was asked.
#ifndef PONTOON_TESTS_CROWD_H
#define PONTOON_TESTS_CROWD_H

#include "engine/base/prng.h"
#include "engine/core/raft.h"
#include "engine/core/session.h"
#include "tests/harness/harness.h"

enum {
    CROWD_NODES_MAX = 7,
    CROWD_LOG_ENTRIES_MAX = 256,
    CROWD_COMMANDS_MAX = 4000, // of one run, like the next two
    CROWD_INDEXES_MAX = 8192,
    CROWD_TERMS_MAX = 400,
    CROWD_TICK_NS = 1000000,
    CROWD_CLIENTS = 3,
    CROWD_FRAME_ENTRIES_MAX = 16, // of one append message
};

struct crowd_record {
    bool is_sync, is_staged, is_durable;
    uint32_t epoch;
    uint64_t index, term, commit;
    struct raft_entry_head head;
    struct raft_sync sync;
};

struct crowd_disk {
    struct crowd_record *records;
    uint32_t count;
    uint64_t boot;
    struct raft_hard_state hard, hard_pending;
    bool is_hard_pending;
    uint64_t checkpoint; // covers up to here
    uint64_t checkpoint_term;
    struct raft_beyond beyond; // ... and these
    bool is_incomplete;        // it lost entries and does not hold all of them again
    uint8_t *sessions;         // of the checkpoint
    uint64_t sessions_bytes;
};

struct crowd_node {
    struct raft *raft;
    void *memory;
    bool is_up;
    struct crowd_disk disk;
    uint64_t *applied_ids; // by index; 0: not applied (no-ops: CROWD_NOOP_ID)
    uint64_t applied_high;
    struct raft_range job; // taken, not reported yet
    bool has_job, wants_checkpoint;
    struct crowd_node *persisted_from;
    bool is_persisting; // a checkpoint from a peer is in place, and not durable yet
    uint64_t stalled_until;
    struct session_table *sessions;
    uint64_t read_needs;               // highest index answered when the pending read was asked for
    uint64_t range_needs, range_index; // the same of those it looks at and that are not applied up
                                       // to here; what the core made of that
    uint64_t read_number;              // 0: none is pending
};

#define CROWD_NOOP_ID UINT64_MAX

// How hard a run is.
struct crowd_rough {
    uint32_t loss_percent, late_percent, write_percent, propose_percent;
    uint32_t apply_percent;
    uint64_t crash_every, cut_every, late_ns, stall_every, replay_every, lose_every;
    bool is_volatile; // nodes that restart have nothing
    uint32_t log_entries, span_entries, window_entries, look_behind;
};

// What happened in all runs.
struct crowd_counts {
    uint64_t applied, beyond, beyond_at_followers, noops, fetches, checkpoints;
    uint64_t checkpoints_beyond; // of a state with holes
    uint64_t retries, outside, losses, replays;
};

struct crowd {
    uint64_t seed;
    struct prng prng;
    uint64_t now;
    struct crowd_rough rough;
    struct crowd_node nodes[CROWD_NODES_MAX];
    uint32_t node_count;
    uint32_t cut; // nodes whose bit is set and the others do not hear each other
    uint64_t command_count;
    uint64_t truth[CROWD_INDEXES_MAX]; // by index: id of the command applied anywhere
    bool is_answered[CROWD_INDEXES_MAX];
    uint64_t answered_high;
    uint64_t session_ids[CROWD_CLIENTS]; // 0: not registered
    struct crowd_counts counts;
};
extern struct crowd crowd;

// A CHECK that names the seed.
#define CROWD_REQUIRE(condition) crowd_require((condition), __FILE__, __LINE__, #condition)
void crowd_require(bool holds, const char *file, int line, const char *condition);

static inline uint64_t crowd_below(uint64_t limit)
{
    return prng_below(&crowd.prng, limit);
}

static inline bool crowd_chance(uint32_t percent)
{
    return crowd_below(100) < percent;
}

// Memory of all runs.
void crowd_open(void);
void crowd_close(void);
// Run `seed`: crowd.node_count nodes without a log, started, as rough as crowd.rough says.
void crowd_begin(void);
// A quarter of a tick. Calm: nobody crashes, and disks are quick.
void crowd_turn(bool is_calm, bool may_propose);
// Has everybody applied what anybody has, and does somebody serve?
bool crowd_is_level(void);
void crowd_print(void); // for whoever looks at a run that did not end well

// crowd.c
static inline uint16_t crowd_id(const struct crowd_node *node)
{
    return (uint16_t)(node - crowd.nodes + 1);
}
struct raft_view crowd_view(const struct crowd_node *node);
void crowd_step(struct crowd_node *node, const struct raft_input *input);

// crowd_app.c
void crowd_app_open(struct crowd_node *node);
void crowd_app_close(struct crowd_node *node);
void crowd_app_apply(struct crowd_node *node);   // some, or reports what it applied
void crowd_app_save(struct crowd_node *node);    // to its checkpoint, which says the same whoever
                                                 // makes it, if it has no holes
void crowd_app_restore(struct crowd_node *node); // its state becomes that of its checkpoint

// crowd_truth.c
void crowd_truth_open(void);
void crowd_truth_close(void);
void crowd_truth_begin(void);
uint64_t crowd_truth_id(const struct raft_entry_head *head);
void crowd_truth_check_log(const struct crowd_node *node);
void crowd_truth_check_apply(const struct crowd_node *node, uint64_t index, uint64_t id);
void crowd_truth_check_verdict(uint64_t index, uint64_t verdict);
void crowd_truth_check_sessions(uint64_t index, uint64_t digest); // of a checkpoint

// crowd_client.c
void crowd_client_begin(void);
bool crowd_client_do_conflict(uint64_t a, uint64_t b); // commands, by id
void crowd_client_propose(struct crowd_node *node);
void crowd_client_read(struct crowd_node *node);
void crowd_client_take_reads(struct crowd_node *node, const struct raft_effects *effects);

// crowd_net.c
void crowd_net_open(void);
void crowd_net_close(void);
void crowd_net_begin(void);
void crowd_net_post(const struct raft_message *message);
void crowd_net_post_entries(struct crowd_node *node, const struct raft_send *send);
void crowd_net_post_checkpoint(struct crowd_node *node, uint16_t to);
void crowd_net_replay(void); // a message of any time comes again
void crowd_net_deliver(void);

// crowd_disk.c
void crowd_disk_open(struct crowd_node *node);
void crowd_disk_close(struct crowd_node *node);
struct raft_config crowd_disk_config(const struct crowd_node *node);
struct crowd_record *crowd_disk_add(struct crowd_node *node);
void crowd_disk_complete(struct crowd_node *node, uint32_t percent);
void crowd_disk_start(struct crowd_node *node);
void crowd_disk_crash(struct crowd_node *node);
void crowd_disk_lose(struct crowd_node *node);

// crowd_checkpoint.c
void crowd_checkpoint_take(struct crowd_node *node);
void crowd_checkpoint_install(struct crowd_node *from, struct crowd_node *node);
void crowd_checkpoint_persist(struct crowd_node *node);

#endif
