// The state of a replica of a parallel group beside struct raft. Only engine/core and white-box
// tests include this.
//
// Who writes what: sync, staged: install.c. reports, phase: merge.c. acked, quorum: acks.c.
// commits, what is given to apply: holes.c. distances: depend.c.
//
//     log      what this node holds under sync_term: its last complete installed log, and what came
//              in that term
//     staged   the log of a new term while it is being installed; takes log's place when its SYNC
//              record is durable, or is thrown away when the term rises before
#ifndef PONTOON_CORE_PARALLEL_H
#define PONTOON_CORE_PARALLEL_H

#include "engine/base/bitmap.h"
#include "engine/core/conflict.h"
#include "engine/core/merge.h"
#include "engine/core/state.h"

enum {
    PARALLEL_LEAVES = 256,       // of the conflict index: 8192 segments or more
    PARALLEL_CLIENTS_MAX = 4096, // with commands in the window; more than it has entries
    // Two commands of one client that may be applied in either order are less than this apart, half
    // of any session's window: then every order meets the same verdicts (depend.c).
    PARALLEL_SEQUENCES_MAX = 512,
};

// Of a leader. A replica of another role is in PARALLEL_FOLLOW.
enum parallel_phase {
    PARALLEL_FOLLOW,
    PARALLEL_MERGE,   // elected; what the log of the term is, is not decided yet
    PARALLEL_INSTALL, // decided; getting and writing what is missing here
    PARALLEL_BARRIER, // installed here; waiting for a majority
    PARALLEL_SERVE,
};

// A client with commands in the window. Of each span of sequences, PARALLEL_SEQUENCES_MAX / 2 long,
// the index of the newest command counts: of those before the last two spans later ones must not
// be applied ahead.
struct parallel_client {
    uint64_t client;   // 0: free
    uint64_t highest;  // sequence
    uint64_t span;     // sequence that the last span begins with
    uint64_t newest;   // index of the newest command
    uint64_t far;      // ... of those before the last two spans
    uint64_t previous; // ... in the last span but one
    uint64_t current;  // ... in the last span
};

struct raft_parallel {
    // install.c
    uint64_t sync_term, sync_end; // durable
    uint64_t told_commit;         // highest commit floor told by any leader, or reached
    uint64_t reported_term; // a vote of this term told, in this life, what the log holds: it has
                            // stood still since
    bool is_staging;
    bool is_sync_given; // the SYNC record is being written: the install can not be given up
    struct raft_sync sync;
    struct raft_log staged;
    uint64_t restored_term; // recovery: of the staged entries seen so far

    // replicate.c, of a leader: by voter slot, what a peer that installs misses
    struct raft_wanted missing[RAFT_NODES_MAX];

    // merge.c
    enum parallel_phase phase;
    uint64_t phase_ns;                          // of the last progress
    uint64_t merge_from;                        // sync_term that the reports of `merged` were of
    uint32_t reported, merged, installed;       // bit per voter slot
    struct raft_report reports[RAFT_NODES_MAX]; // by voter slot
    uint64_t fetch_number;                      // of the last asking
    uint64_t fetch_due_ns;                      // when to ask next; 0: now
    uint64_t fetch_retry_ns;                    // how long an answer may keep silent
    struct raft_wanted asked[RAFT_NODES_MAX];   // by voter slot: on its way from there
    uint32_t answered, silent; // bit per voter slot: did the last asking bring anything, or nothing
    uint16_t fetch_from;       // follower: who asked; 0: nobody
    struct raft_fetch fetch;   // ... for what, but for what the answer leaves out
    uint64_t supply_end;       // ... the last index of the answer
    uint64_t supply_next;      // ... from here on it is to be sent

    // acks.c, of a leader
    uint64_t acked[RAFT_NODES_MAX][RAFT_WINDOW_WORDS]; // rings by voter slot, above commit: what it
                                                       // holds durably beyond its floor
    uint64_t acked_high; // nothing above is in acked, and so in quorum
    // above commit: a majority holds it durably. Of a follower (holes.c): it is held here, and the
    // floor told is not below it.
    struct bitmap_ring quorum;
    uint32_t waiting; // in quorum and not committed

    // holes.c: index sets above the floors
    struct bitmap_ring committed; // above commit: of quorum, what waits for nothing but it
    struct bitmap_ring given;     // to be applied; above apply_given
    struct bitmap_ring applied;   // above applied
    uint64_t commit_high, applied_high;
    uint64_t restored_high;   // the last checkpoint put in place holds nothing above
    uint64_t given_high;      // nothing above is in given
    uint64_t noted;           // follower: what is held up to here is in quorum
    bool acks_due;            // follower: something above the floor became durable
    uint64_t durable_high;    // follower: nothing above is durable
    struct raft_range *ready; // ring: given by commits, not taken yet
    uint64_t ready_head, ready_tail, ready_mask;

    // depend.c
    // By slot of the log, how far back the entry depends: a leader's of its term, a follower's of
    // those that came over a hole. 1..RAFT_WINDOW_MAX.
    uint16_t *distances;
    uint64_t reach;         // entries: a proposal depends on everything that is further back
    struct conflict by_key; // footprints
    struct parallel_client *clients;
    struct parallel_client *recent; // of them: asked for last
    uint64_t clients_from;          // clients of entries up to here may be forgotten, and are
};

// The entry conflicts with none behind this one.
static inline uint64_t depends_on(const struct raft *raft, uint64_t index)
{
    return index - raft->parallel->distances[index & raft->log.mask];
}

// install.c
struct raft_log *parallel_log(struct raft *raft); // where entries of the leader go
bool install_is_done(const struct raft *raft);    // the log of this term is ours
bool install_is_pending(const struct raft *raft); // ... of a former one is being made so
bool install_is_running(const struct raft *raft); // ... is being made so
bool install_names_hole(const struct raft *raft, struct raft_range hole,
                        struct raft_append_reply *reply);
bool install_begin(struct raft *raft, uint64_t sync_from, uint64_t end);
void install_fence(struct raft *raft);
bool install_is_ready(const struct raft *raft);
enum raft_outcome install_on_sync(struct raft *raft, uint64_t sync_term);
void install_collect(struct raft *raft, struct raft_effects *effects);
void install_rebase(struct raft *raft, struct raft_entry_id base);

// merge.c
void merge_start(struct raft *raft);
void merge_forget(struct raft *raft);
void merge_advance(struct raft *raft, struct raft_accept *accept);
enum raft_outcome merge_on_report(struct raft *raft, const struct raft_message *message);
enum raft_outcome merge_on_supply(struct raft *raft, const struct raft_append *append,
                                  uint16_t from, struct raft_accept *accept);
enum raft_outcome merge_on_fetch(struct raft *raft, const struct raft_message *message);
void merge_on_unsent(struct raft *raft, uint16_t peer, uint64_t index);
bool merge_is_fetching(const struct raft *raft);
void merge_report(const struct raft *raft, struct raft_report *report);
void merge_collect(struct raft *raft, struct raft_effects *effects);
void merge_on_installed(struct raft *raft, uint32_t slot);
bool merge_is_stuck(const struct raft *raft);

// holes.c
enum raft_outcome holes_on_append(struct raft *raft, const struct raft_append *append,
                                  struct raft_accept *accept);
void holes_on_synced(struct raft *raft, struct raft_range range);
void holes_take_acks(struct raft *raft, uint32_t slot, const struct raft_append_reply *reply);
bool holes_are_acks_sound(const struct raft *raft, const struct raft_append_reply *reply);
void holes_fill_acks(struct raft *raft, struct raft_append_reply *reply);
void holes_forget_peer(struct raft *raft, uint32_t slot);
void holes_serve(struct raft *raft);
void holes_commit_upto(struct raft *raft, uint64_t told, struct raft_range taken);
void holes_forget(struct raft *raft);
void holes_applied(struct raft *raft, struct raft_range range);
void holes_restored(struct raft *raft, uint64_t index, const struct raft_beyond *beyond);

// acks.c
void acks_reset(struct raft *raft);
bool acks_take(struct raft *raft, uint32_t slot, const struct raft_append_reply *reply);
bool acks_take_own(struct raft *raft, struct raft_range range);
void acks_forget(struct raft *raft, uint32_t slot);
bool acks_has(const struct raft *raft, uint32_t slot, uint64_t index);
uint64_t acks_gather(struct raft *raft, struct raft_range *fresh);
void acks_pass(struct raft *raft, uint64_t commit);

// depend.c
void depend_reset(struct raft *raft, uint64_t floor);
void depend_on_propose(struct raft *raft, const struct raft_input *input, uint64_t first);
void depend_take(struct raft *raft, const struct raft_append *append, uint32_t at);
void depend_restored(struct raft *raft, uint64_t index);

#endif
