// The state of a replica. Only engine/core and white-box tests include this.
//
// Who writes what: term, vote, role, leader: role.c. The log: log.c. Follower's view of the
// leader's log (verified, gaps): append.c. peers[]: replicate.c. commit: commit.c. Reads: read.c.
// intact, rejoin: rejoin.c.
#ifndef PONTOON_CORE_STATE_H
#define PONTOON_CORE_STATE_H

#include "engine/base/assert.h"
#include "engine/core/raft.h"

enum { RAFT_READ_BATCHES_MAX = 64, RAFT_LOG_RESERVE = 16 };

#define RAFT_NEVER UINT64_MAX

struct raft_log {
    struct raft_entry *slots; // index lives in slot (index mod capacity)
    uint64_t mask;
    struct raft_entry_id base; // the entry before the first one kept; base.index ≤ applied
    uint64_t last;             // held without a hole up to; base.index ≤ last
    uint64_t held;             // highest index held at all; last ≤ held ≤ base.index + capacity
    uint64_t synced;           // durable without a hole up to; synced ≤ last
    uint32_t epoch;            // bumped by every truncation, install and promise
    bool is_loose;             // of a parallel group: entries name no predecessor
};

enum raft_peer_state {
    RAFT_PEER_PROBE,    // where its log ends is not known: one append at a time
    RAFT_PEER_STREAM,   // pipelining
    RAFT_PEER_SNAPSHOT, // being given a checkpoint
};

struct raft_peer {
    uint16_t id;
    enum raft_peer_state state;
    bool intact;       // what it said last
    bool has_room;     // likewise
    bool vote_granted; // in the running (pre-)election
    bool vote_asked;
    bool probe_out;         // PROBE: an append is unanswered
    bool append_due;        // an append (perhaps empty) is due: heartbeat, read round, commit
    uint64_t boot;          // highest boot counter heard
    uint64_t match;         // durable there and equal to our log, up to; < next
    uint64_t next;          // first index not sent yet
    uint64_t round_acked;   // highest round it answered in this term
    uint64_t heard_ns;      // when it last answered in this term
    uint64_t sent_ns;       // when we last sent an append
    uint64_t progress_ns;   // when match last moved, or the pipe went from empty to not empty
    uint64_t round_trip_ns; // smoothed (RFC 6298: 7/8 old + 1/8 new); 0: not measured
    uint32_t resend_count;
    struct raft_range resend[RAFT_GAPS_MAX]; // asked for again by the peer
    uint64_t missing_next; // parallel: of what it misses, from here on is not sent; 0: nothing is
    uint64_t commit_sent;  // commit index it was told last
    uint64_t rejoin_round; // 0: not asked; else the round that must be confirmed without it
    uint64_t rejoin_index; // 0: not known yet
    uint64_t counted;      // parallel: it holds everything up to here durably
};

struct raft_read_batch {
    uint64_t upto;  // number of the last read in it
    uint64_t index; // commit index when the round began
    uint64_t round; // must be confirmed by a majority
};

struct raft_parallel; // parallel.h

struct raft {
    struct raft_config config;
    struct raft_parallel *parallel; // NULL: strict
    uint32_t self_slot;
    uint32_t majority;
    uint64_t random_state;
    uint64_t now_ns; // of the running step or collect

    // role.c
    uint64_t term;
    uint16_t voted_for;
    enum raft_role role;
    uint16_t leader;
    struct raft_hard_state hard_synced; // durable
    struct raft_hard_state hard_given;  // handed out by collect
    bool role_changed;
    uint64_t election_deadline_ns;
    uint64_t leader_heard_ns;   // 0: never in this term
    uint64_t quorum_checked_ns; // leader: last check-quorum
    uint64_t synced_seen;       // leader: log.synced as check-quorum saw it last,
    uint64_t synced_moved_ns;   // ... and when it had moved, or there was nothing to wait for
    uint16_t vote_reply_to;     // granted, to be told when durable; 0: nobody
    bool failed;
    bool is_roomy;          // the caller's log takes entries
    bool has_stood_back;    // an election was left to those that have room
    uint64_t full_since_ns; // leader: it takes nothing since then; 0: it does
    uint64_t full_last;     // ... and log.last then

    struct raft_log log;
    uint64_t commit;
    uint64_t applied;
    uint64_t apply_given; // applied ≤ apply_given ≤ commit

    // follower (append.c)
    uint64_t verified;      // our log equals the leader's up to; ≤ log.last
    uint64_t leader_commit; // as told by the leader of this term
    uint64_t leader_last;   // highest index known to exist in the leader's log
    bool reply_due;         // answer the leader at the next collect
    bool reject_due;
    struct raft_entry_id conflict;
    uint64_t reply_round, reply_echo_ns;
    uint64_t acked;          // match of our last answer in this term
    uint64_t gap_asked_last; // holes up to here have been asked for
    uint64_t gap_asked_ns;   // when gap_asked_last rose
    uint64_t gap_fill_ns;    // smoothed time from asking to filling

    // leader
    struct raft_peer peers[RAFT_NODES_MAX]; // by voter slot; own slot unused but for match
    uint64_t round;      // grows by one for every batch of reads, rejoin, and new leadership
    uint64_t term_start; // index of the first entry of our term, in the log or not yet

    // read.c
    uint64_t read_last;    // number of the newest read accepted
    uint64_t read_batched; // reads up to here are in a batch
    uint64_t read_granted; // ... or were granted or aborted
    uint64_t read_aborted;
    uint32_t read_head, read_count;
    struct raft_read_batch read_batches[RAFT_READ_BATCHES_MAX];

    // rejoin.c
    bool intact;
    bool halted;
    uint64_t rejoin_index; // not intact: we count again when verified reaches this; 0: not told

    uint32_t out_count; // replies that need no durability, collected as they arise
    struct raft_message out[RAFT_NODES_MAX];
};

// log.c
static inline struct raft_entry *log_slot(const struct raft_log *log, uint64_t index)
{
    return &log->slots[index & log->mask];
}
bool log_has(const struct raft_log *log, uint64_t index);
uint64_t log_term_at(const struct raft_log *log, uint64_t index); // base ≤ index ≤ last
uint64_t log_capacity_left(const struct raft_log *log);
void log_hold(struct raft_log *log, uint64_t index, uint64_t term, uint64_t prev_term,
              const struct raft_entry_head *head);
void log_extend(struct raft_log *log, uint64_t term, const struct raft_entry_head *heads,
                uint32_t count);
bool log_takes_term(const struct raft_log *log, uint64_t index, uint64_t term);
void log_close_holes(struct raft_log *log);
void log_truncate(struct raft_log *log, uint64_t first);
void log_drop_beyond_hole(struct raft_log *log);
void log_synced(struct raft_log *log, struct raft_range range, uint32_t epoch);
void log_reset(struct raft_log *log, struct raft_entry_id base);
int log_restore(struct raft_log *log, struct raft_entry_id id, uint64_t prev_term,
                const struct raft_entry_head *head, uint64_t body);
uint64_t log_first_of_term(const struct raft_log *log, uint64_t index);
uint64_t log_last_of_term(const struct raft_log *log, uint64_t term, uint64_t below);
uint64_t log_bytes_between(const struct raft_log *log, uint64_t after, uint64_t upto);

// role.c
void become_follower(struct raft *raft, uint64_t now_ns, uint64_t term, uint16_t leader);
void become_pre_candidate(struct raft *raft, uint64_t now_ns);
void become_candidate(struct raft *raft, uint64_t now_ns);
void become_leader(struct raft *raft, uint64_t now_ns, struct raft_accept *accept);
void role_open_term(struct raft *raft, struct raft_accept *accept);
bool role_has_room(const struct raft *raft);
void role_grant_vote(struct raft *raft, uint64_t now_ns, uint16_t candidate);
void role_reset_election(struct raft *raft, uint64_t now_ns);
void role_hear_leader(struct raft *raft, uint64_t now_ns, uint16_t leader);
bool role_is_hard_synced(const struct raft *raft);
bool role_hears_leader(const struct raft *raft, uint64_t now_ns);

// vote.c
enum raft_outcome on_pre_vote(struct raft *raft, uint64_t now_ns,
                              const struct raft_message *message);
enum raft_outcome on_vote(struct raft *raft, uint64_t now_ns, const struct raft_message *message);
enum raft_outcome on_vote_reply(struct raft *raft, uint64_t now_ns,
                                const struct raft_message *message, struct raft_accept *accept);
void vote_tick(struct raft *raft, uint64_t now_ns, struct raft_accept *accept);
void vote_collect(struct raft *raft, struct raft_effects *effects);
void vote_count(struct raft *raft, uint64_t now_ns, struct raft_accept *accept);

// append.c
enum raft_outcome on_append(struct raft *raft, uint64_t now_ns, const struct raft_message *message,
                            struct raft_accept *accept);
void append_advance_commit(struct raft *raft);
void append_hold(struct raft *raft, uint64_t index, uint64_t term, uint64_t prev_term,
                 const struct raft_entry_head *head);
void append_forget_leader(struct raft *raft);
void append_collect(struct raft *raft, uint64_t now_ns, struct raft_effects *effects);
uint64_t append_deadline(const struct raft *raft);

// replicate.c
enum raft_outcome on_append_reply(struct raft *raft, uint64_t now_ns,
                                  const struct raft_message *message);
enum raft_outcome replicate_propose(struct raft *raft, const struct raft_input *input,
                                    struct raft_accept *accept);
void replicate_start(struct raft *raft, uint64_t now_ns);
void replicate_reset_peer(struct raft *raft, struct raft_peer *peer);
void replicate_collect(struct raft *raft, struct raft_effects *effects);
void replicate_unsent(struct raft *raft, uint16_t id, uint64_t index);
void replicate_snapshot_done(struct raft *raft, uint64_t now_ns, uint16_t id,
                             struct raft_entry_id covered);
uint64_t replicate_deadline(const struct raft *raft);
struct raft_peer *peer_of(struct raft *raft, uint16_t id);

// commit.c
void commit_advance(struct raft *raft);
uint64_t commit_majority_floor(const struct raft *raft, uint64_t *floors);
uint64_t commit_quorum_index(const struct raft *raft);
bool commit_round_confirmed(const struct raft *raft, uint64_t round, uint16_t without);
bool commit_in_term(const struct raft *raft);

// read.c
enum raft_outcome read_accept(struct raft *raft, uint32_t count);
void read_abort(struct raft *raft);
void read_collect(struct raft *raft, struct raft_effects *effects);

// order.c: the only file that knows strict from parallel
bool order_accepts(const struct raft *raft, uint64_t index);
uint64_t order_ack_floor(const struct raft *raft);
uint64_t order_match(const struct raft *raft);
uint64_t order_commit_floor(const struct raft *raft, uint64_t quorum_index);
uint64_t order_commit_high(const struct raft *raft);
bool order_knows_commit(const struct raft *raft);
uint64_t order_room(const struct raft *raft);
struct raft_entry_id order_last(const struct raft *raft);
struct raft_log *order_log(struct raft *raft);
bool order_may_stand(const struct raft *raft);
bool order_may_lead(const struct raft *raft);
void order_promise(struct raft *raft);
void order_stand(struct raft *raft);
enum raft_outcome order_on_append(struct raft *raft, const struct raft_append *append,
                                  struct raft_accept *accept);
enum raft_outcome order_on_supply(struct raft *raft, const struct raft_message *message,
                                  struct raft_accept *accept);
enum raft_outcome order_on_fetch(struct raft *raft, const struct raft_message *message);
void order_on_unsent(struct raft *raft, uint16_t peer, uint64_t index);
enum raft_outcome order_on_sync(struct raft *raft, uint64_t sync_term);
void order_forget_peer(struct raft *raft, const struct raft_peer *peer);
bool order_are_acks_sound(const struct raft *raft, const struct raft_append_reply *reply);
void order_take_acks(struct raft *raft, const struct raft_peer *peer,
                     const struct raft_append_reply *reply);
void order_note_proposals(struct raft *raft, const struct raft_input *input);
struct raft_entry_id order_prev(const struct raft *raft, uint64_t first);
void order_fill_append(const struct raft *raft, const struct raft_peer *peer,
                       struct raft_append *append);
void order_on_synced(struct raft *raft, struct raft_range range, uint32_t epoch);
void order_on_applied(struct raft *raft, uint64_t first, uint64_t last);
enum raft_outcome order_on_installed(struct raft *raft, struct raft_entry_id id,
                                     const struct raft_beyond *beyond);
void order_fill_hard_state(const struct raft *raft, struct raft_hard_state *state);
void order_fill_view(const struct raft *raft, struct raft_view *view);
bool order_acks_due(const struct raft *raft);
bool order_is_installing(const struct raft *raft);
bool order_names_hole(const struct raft *raft, struct raft_range hole,
                      struct raft_append_reply *reply);
struct raft_wanted *order_missing(const struct raft *raft, const struct raft_peer *peer);
void order_fill_acks(struct raft *raft, struct raft_append_reply *reply);
struct raft_append_reply order_answer_to_old_term(const struct raft *raft);
bool order_takes_vote(struct raft *raft, const struct raft_message *message);
void order_report(struct raft *raft, struct raft_vote_reply *reply);
void order_win(struct raft *raft);
void order_lose(struct raft *raft);
void order_open_term(struct raft *raft, struct raft_accept *accept);
bool order_may_replicate(const struct raft *raft);
bool order_is_stuck(const struct raft *raft);
void order_collect(struct raft *raft, struct raft_effects *effects);
uint64_t order_deadline(const struct raft *raft);
void order_restore_begin(struct raft *raft);
bool order_restore_end(struct raft *raft);
bool order_restore_commit(struct raft *raft, uint64_t index);
void order_trim(struct raft *raft, struct raft_entry_id base);
size_t order_memory_bytes(const struct raft_config *config);
void order_init(struct raft *raft, void *memory);

// rejoin.c
void rejoin_set_intact(struct raft *raft, bool is_intact);
void rejoin_note_peer(struct raft *raft, const struct raft_message *message);
void rejoin_advance_leader(struct raft *raft);
void rejoin_on_append(struct raft *raft, const struct raft_append *append);
void rejoin_advance(struct raft *raft);

// node.c
uint64_t raft_random(struct raft *raft);
void raft_message_init(const struct raft *raft, enum raft_message_type type, uint16_t to,
                       struct raft_message *message);
void raft_out(struct raft *raft, const struct raft_message *message);

#endif
