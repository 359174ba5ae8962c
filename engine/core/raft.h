// The protocol of one replica of one group, PURE: no I/O, clock, thread, allocation, randomness of
// its own or global state.
//
//     raft_step(raft, now, input, &accept)    one input: a message, proposals, a completion, the
//     passing of time raft_collect(raft, now, &effects)       what follows from all inputs since
//     the last collect, coalesced
//
// After EVERY step the caller carries out `accept` (truncate, then place the entries: give each its
// body in the log) before the next step. After a burst of steps it collects and carries out the
// effects. Nothing is a callback.
//
// What the core promises
//  1. An ack or a vote appears in the effects only after the completion that makes it true (figure
//  2: "responds to RPCs only
//     after updating stable storage").
//  2. Input that decode and recovery let through never reaches an assertion, whatever its meaning.
//  3. Memory is fixed at raft_init; a full log or window is an outcome (RAFT_BUSY) or an entry left
//  out, never a failure.
//  4. Same configuration, seed and inputs: same effects, on every build.
// What the caller promises
//  1. now never falls. 2. Every entry placed is submitted to the log in the order placed, with the
//  epoch given. 3. A completion
//     is reported only for what is durable (or, in a volatile log, written), with the epoch of its
//     submission.
//
// Single thread. Source: Raft (extended version) figure 2; thesis §6.4, §9.6, §10.2.1; DESIGN:
// engine/README.md.
#ifndef PONTOON_CORE_RAFT_H
#define PONTOON_CORE_RAFT_H

#include "engine/core/message.h"
#include "engine/core/types.h"

struct raft;

struct raft_config {
    uint16_t self;                   // our node id
    uint16_t voters[RAFT_NODES_MAX]; // node ids, self among them, ascending
    uint32_t voter_count;
    enum raft_order order;
    uint64_t boot;                     // this start's boot counter, ≥ 1
    bool intact;                       // we hold every entry we ever acknowledged
    struct raft_hard_state hard_state; // as last durable
    uint64_t election_timeout_min_ns;
    uint64_t election_timeout_max_ns;
    uint64_t heartbeat_ns;
    uint32_t log_entries;    // slots; power of two, ≥ 64
    uint32_t window_entries; // in flight to one peer, ≥ 1
    uint64_t window_bytes;   // ... payload bytes
    uint32_t span_entries;   // parallel: index ≤ commit floor + this; 1..RAFT_WINDOW_MAX
    uint32_t look_behind;    // parallel, ≤ RAFT_WINDOW_MAX: apply nothing beyond a hole of more
                             // entries than this, as PolarFS must; 0: what the leader says suffices
    uint64_t seed;
};

// One slot of the log: exactly one cache line.
struct raft_entry {
    uint64_t term;
    uint64_t body; // where the payload is in the caller's log
    struct raft_entry_head head;
    union {
        uint64_t bytes_sum; // payload bytes of all entries up to this one (windows count with it)
        uint64_t asked_ns;  // of a hole: when it was asked for; 0: not on its own
    };
    uint32_t epoch; // log epoch of its last submission
    bool is_held;   // we have it
    bool is_placed; // the caller gave it a body
    bool is_durable;
};

#define RAFT_FOOTPRINT_ALL UINT8_MAX

enum raft_input_kind {
    RAFT_IN_TICK, // time passed (any input does this too)
    RAFT_IN_MESSAGE,
    RAFT_IN_PROPOSE,       // heads of commands at the leader
    RAFT_IN_READ,          // count reads want a read index
    RAFT_IN_SYNCED,        // entries range, submitted under epoch, are durable
    RAFT_IN_HARD_STATE,    // hard_state is durable
    RAFT_IN_DISK_FAILED,   // nothing will be durable any more
    RAFT_IN_APPLIED,       // everything up to index is applied
    RAFT_IN_UNSENT,        // of entries to peer, those from index on were not sent after all
    RAFT_IN_INSTALLED,     // follower: a checkpoint that covers id is installed (and durable)
    RAFT_IN_SNAPSHOT_DONE, // leader: peer reports that it installed the checkpoint id
    RAFT_IN_STAND_DOWN,    // operator: give up leadership (drain)
    RAFT_IN_ROOM,          // whether the caller's log takes entries of the group (at first: yes)
    RAFT_IN_SYNC,          // parallel: the SYNC record of this term is durable
};

struct raft_input {
    enum raft_input_kind kind;
    union {
        const struct raft_message *message;
        struct {
            const struct raft_entry_head *heads;
            uint32_t count;
            // Parallel groups: count × RAFT_FOOTPRINTS_MAX ranges and count numbers of them; NULL,
            // or a number of RAFT_FOOTPRINT_ALL: conflicts with everything.
            const struct raft_footprint *footprints;
            const uint8_t *footprint_counts;
        } propose;
        uint32_t read_count;
        struct {
            struct raft_range range;
            uint32_t epoch;
        } synced;
        struct raft_hard_state hard_state;
        struct {
            uint64_t applied;
            uint64_t applied_first; // parallel: of the range that raft_apply_take gave
        };
        struct {
            uint16_t peer;
            uint64_t index;
        } unsent;
        struct {
            struct raft_entry_id installed;
            const struct raft_beyond
                *installed_beyond; // parallel: applied beyond it; NULL: nothing
        };
        struct {
            uint16_t peer;
            struct raft_entry_id id;
        } snapshot_done;
        bool has_room;
        uint64_t sync_term;
    };
};

// How a step ended: expected outcomes of the protocol. The caller may count them.
enum raft_outcome {
    RAFT_OK,
    RAFT_NOT_LEADER, // proposals, reads: nothing was done
    RAFT_BUSY,       // log full: nothing was done
    RAFT_STALE,      // of an old term, boot, round or epoch: no effect
    RAFT_MISMATCH,   // append: prev does not match, leader will be told
    RAFT_HOLE,       // append: there is a gap before it; asked for
    RAFT_DUPLICATE,  // nothing new in it
    RAFT_IGNORED, // vote while a leader is heard; message of a stranger; input without meaning in
                  // this role
    RAFT_OUTCOMES
};
const char *raft_outcome_name(enum raft_outcome outcome);

// What the caller does before the next step: first remove entries ≥ truncate_from from its log (0:
// nothing), then place every entry of `range` for which raft_entry_to_place() is not NULL.
struct raft_accept {
    uint64_t truncate_from;
    struct raft_range range; // empty: last < first
    uint64_t prev_term;      // term before range.first in the log the entries come from (parallel:
                             // of the entries)
    bool is_staged; // parallel: the entries belong to an install (wal_stage); recovery believes
                    // them only with the SYNC record of their term behind them
};

// Entries to send to a peer: any number of append messages, made with raft_append_header.
struct raft_send {
    uint16_t to;
    struct raft_range range;
    const struct raft_wanted *only; // of the range, these; NULL: all. Valid until the next message
};

// The next entries of it that lie side by side, from index `from` on. False: there are none.
bool raft_send_next(const struct raft_send *send, uint64_t from, struct raft_range *run);

enum {
    RAFT_MESSAGES_MAX = 3 * RAFT_NODES_MAX,
    RAFT_SENDS_MAX = RAFT_NODES_MAX * (RAFT_GAPS_MAX + 2)
};

struct raft_effects {
    bool hard_state_due; // make hard_state durable, then RAFT_IN_HARD_STATE
    struct raft_hard_state hard_state;
    uint32_t message_count;
    struct raft_message messages[RAFT_MESSAGES_MAX];
    uint32_t send_count;
    struct raft_send sends[RAFT_SENDS_MAX];
    struct raft_range apply; // committed, to be applied now, in order; follows the last one given
                             // (strict; in parallel groups empty: ask raft_apply_take)
    bool
        reads_granted; // all reads up to number reads_upto may be served once applied ≥ reads_index
    uint64_t reads_upto;
    uint64_t reads_index;
    uint64_t
        reads_aborted_upto; // all reads up to this number that were not granted: leadership lost
    uint64_t
        snapshot_peers; // bit (id - 1): needs a checkpoint; the log does not reach back far enough
    bool role_changed;  // role, term or leader differ from the last collect
    uint64_t deadline_ns; // step with RAFT_IN_TICK at this time at the latest
    // Parallel groups: write this SYNC record (wal_sync), then RAFT_IN_SYNC. Everything it stands
    // for is durable; nothing of the group may be written behind it before it is durable too.
    bool sync_due;
    struct raft_sync sync;
};

// What an observer may see; a copy.
struct raft_view {
    enum raft_role role;
    uint16_t leader; // 0: unknown
    bool intact, halted, failed;
    uint64_t term, commit, applied, synced, last, held, base;
    // parallel groups, else 0: what was installed last, the highest index committed and applied
    uint64_t sync_term, sync_end, commit_high, applied_high;
    uint64_t commit_told; // highest commit floor heard of (wal_note_commit)
    bool is_installing;   // entries of an install are in the log and its SYNC record is not
    uint32_t epoch;
    uint64_t reads_last; // number of the newest read accepted
};

struct raft_peer_view {
    uint16_t id;
    bool is_self, is_active, intact, is_probing, is_installing;
    uint64_t match, next, boot, round_trip_ns;
};

size_t raft_memory_bytes(const struct raft_config *config);
// Builds the replica in `memory` (raft_memory_bytes, aligned to 64). The log is empty behind base
// {0, 0}.
struct raft *raft_init(void *memory, const struct raft_config *config, uint64_t now_ns);

// Recovery: begin with what the checkpoint covers, then every record of the log in file order, then
// end: the log is the longest chain from base (each entry's prev_term must be its predecessor's
// term); anything else is forgotten. -EOVERFLOW: more entries than slots.
void raft_restore_begin(struct raft *raft, struct raft_entry_id base);
int raft_restore_entry(struct raft *raft, struct raft_entry_id id, uint64_t prev_term,
                       const struct raft_entry_head *head, uint64_t body);
void raft_restore_truncate(struct raft *raft, uint64_t first);
// What is known only when the log has been read: the hard state, the boot counter, and whether
// every entry is still there.
void raft_restore_identity(struct raft *raft, struct raft_hard_state hard_state, uint64_t boot,
                           bool intact);
void raft_restore_end(struct raft *raft, uint64_t now_ns);
// Parallel groups: is_staged as it was when the entry was accepted; raft_restore_sync where the log
// has a SYNC record.
int raft_restore_staged(struct raft *raft, struct raft_entry_id id,
                        const struct raft_entry_head *head, uint64_t body);
void raft_restore_sync(struct raft *raft, const struct raft_sync *sync);
// After raft_restore_end: entries up to index were known committed when something behind them in
// file order was written (0: nothing known). Without it a node that restarts with a full log could
// never apply, trim, and so make the room that the no-op of the next leader needs.
void raft_restore_commit(struct raft *raft, uint64_t index);
// Parallel groups, after raft_restore_end and before raft_restore_commit: what the checkpoint that
// recovery began with holds beyond the entry it covers. Requires beyond->count ≤ log_entries.
void raft_restore_beyond(struct raft *raft, const struct raft_beyond *beyond);

enum raft_outcome raft_step(struct raft *raft, uint64_t now_ns, const struct raft_input *input,
                            struct raft_accept *accept);
void raft_collect(struct raft *raft, uint64_t now_ns, struct raft_effects *effects);

// Parallel groups: the next committed entries to apply, neighbours in the log, at most max; false:
// none now. They may lie behind entries that are not committed yet, with which they do not
// conflict. Each is given once; RAFT_IN_APPLIED follows for each range, in the order given.
bool raft_apply_take(struct raft *raft, uint32_t max, struct raft_range *range);
// Parallel groups, the leader: a read that was accepted now and looks at these ranges may be served
// when everything up to the result is applied (or up to the index it is granted with, if that is
// smaller).
uint64_t raft_read_needs(const struct raft *raft, const struct raft_footprint *ranges,
                         uint32_t count);
bool raft_has_to_apply(const struct raft *raft); // would it give any?
// Everything up to here is applied.
uint64_t raft_applied(const struct raft *raft);
// Parallel groups: what is applied beyond that floor. A checkpoint of the state has to say so.
void raft_applied_beyond(const struct raft *raft, struct raft_beyond *beyond);
// Is nothing applied beyond the floor? (Always, in strict groups.)
bool raft_is_level(const struct raft *raft);
// The commit floor to be kept with what is written to the log next (wal_note_commit): in strict
// groups as far as the own log is durable, in parallel groups what the leader told.
uint64_t raft_commit_to_note(const struct raft *raft);

// The entry at index (base < index ≤ held) or NULL.
const struct raft_entry *raft_entry_at(const struct raft *raft, uint64_t index);
// The entry at index if it waits for a body, else NULL. raft_entry_placed then records the body.
const struct raft_entry *raft_entry_to_place(const struct raft *raft, uint64_t index);
void raft_entry_placed(struct raft *raft, uint64_t index, uint64_t body);
// The same for runs of entries that lie side by side in memory: from `first` on, *count of them, at
// most up to `last`, fewer where the ring wraps. Requires base < first ≤ last ≤ last entry.
const struct raft_entry *raft_entry_span(const struct raft *raft, uint64_t first, uint64_t last,
                                         uint32_t *count);
// ... that wait for a body: *count is 0 when the first does not. The caller sets body and is_placed
// of each.
struct raft_entry *raft_entry_span_to_place(struct raft *raft, uint64_t first, uint64_t last,
                                            uint32_t *count);
// The body moved (its segment is to be recycled): a copy was submitted under the entry's own epoch.
// Requires index ≤ synced: the entry is durable at its old place, which must stay until the copy is
// durable too.
void raft_entry_relocated(struct raft *raft, uint64_t index, uint64_t body);
// Gives up what waits beyond a hole (it was never acknowledged, and will be asked for again).
void raft_forget_beyond_hole(struct raft *raft);
// Payload bytes, and the number, of the entries that are not applied yet, as far as the log has no
// hole.
uint64_t raft_bytes_under_way(const struct raft *raft, uint64_t *count);
// Payload bytes of the entries behind `after`, up to `upto`, as far as the log has no hole.
uint64_t raft_payload_bytes(const struct raft *raft, uint64_t after, uint64_t upto);
// Header of an append to `to` that starts at `first`; the caller sets count (entries of one term,
// see raft_term_run) and heads.
void raft_append_header(const struct raft *raft, uint16_t to, uint64_t first,
                        struct raft_message *message);
// Parallel groups, the leader: how far back each of the entries first, first + 1, ... depends, all
// beyond its installed log: on everything up to index - distance. For appends that tell it
// (raft_append_tells).
void raft_distances(const struct raft *raft, uint64_t first, uint32_t count, uint16_t *distances);
// Last index of the run of entries that have first's term, at most last.
uint64_t raft_term_run(const struct raft *raft, uint64_t first, uint64_t last);
// Forgets entries up to index (≤ applied, ≤ synced). Peers that still need them will be given a
// checkpoint.
void raft_trim(struct raft *raft, uint64_t index);
// Smallest index that some active peer may still need from the log (last + 1 when none): keep from
// there while memory allows.
uint64_t raft_needed_from(const struct raft *raft);
// How many more entries a proposal may bring.
uint64_t raft_room(const struct raft *raft);
struct raft_entry_id raft_id_at(const struct raft *raft, uint64_t index); // base ≤ index ≤ last

void raft_view(const struct raft *raft, struct raft_view *view);
uint32_t raft_peer_views(const struct raft *raft, struct raft_peer_view *views, uint32_t max);

// Checks the whole state (walks the log). For tests and builds with slow assertions; asserts.
void raft_check_invariants(const struct raft *raft);

#endif
