// One poll-mode core: a view of the network, a log, and the groups it owns completely (single
// writer).
//
// reactor_poll() is the loop's body; whoever calls it is the reactor's thread. Everything else but
// the _mt functions is called by that thread too, or before the first poll. Memory is taken in
// reactor_open; steady state allocates nothing (snapshots for followers that are too far behind,
// and mailbox payloads above MAILBOX_INLINE_BYTES, are the exceptions).
#ifndef PONTOON_REACTOR_REACTOR_H
#define PONTOON_REACTOR_REACTOR_H

#include "engine/core/raft.h"
#include "engine/driver_api/app.h"
#include "engine/driver_api/clock.h"
#include "engine/driver_api/disk.h"
#include "engine/driver_api/net.h"
#include "engine/wal/wal.h"
#include "engine/wire/wire.h"

struct histogram;
struct reactor;

enum { REACTOR_APPLY_WORKERS_MAX = 8, MAILBOX_INLINE_BYTES = 4096 };

// What a reactor takes at start beside log, groups and state machines. 0: the default in brackets.
struct reactor_sizes {
    uint32_t mailbox_slots;     // requests of other threads at once; a power of two (4096)
    uint32_t reads;             // that wait at once (2048)
    uint32_t apply_jobs;        // under way at once; a power of two, at most 64 (64)
    uint32_t assembly_buffers;  // entries in fragments at once, at most 64 (16)
    uint32_t payload_bytes_max; // of an entry, the same on every node: larger ones are refused. At
                                // most a quarter of a segment of the log (RAFT_PAYLOAD_BYTES_MAX)
};

struct reactor_config {
    uint64_t cluster;
    uint16_t node;
    uint16_t nodes[RAFT_NODES_MAX]; // ids, ascending, ours among them
    uint32_t node_count;
    uint16_t reactor, reactors; // we own group g when (g mod 64) mod reactors == reactor
    uint32_t groups_total;      // group ids below this exist
    enum raft_order order;
    uint32_t look_behind; // as raft_config
    uint64_t election_timeout_min_ns, election_timeout_max_ns, heartbeat_ns;
    uint32_t log_entries; // a group
    uint32_t window_entries;
    uint64_t window_bytes;
    uint32_t session_pages, sessions_max; // a group
    uint64_t app_bytes_max;               // of a checkpoint: larger ones are refused
    uint64_t checkpoint_bytes;            // durable logs: new log after which a checkpoint is made
    uint32_t apply_workers;               // threads; 0: inline
    struct reactor_sizes sizes;
    uint64_t seed;
    struct wal_config wal; // cluster, node, reactor, groups_max and disk are filled in here
    struct net *net;
    struct disk *disk;            // the log's: meta and log
    struct disk *checkpoint_disk; // another, for checkpoints; NULL when the log is volatile
    struct clock *clock;
    int (*app_open)(void *context, uint16_t group, struct app **app, char *reason,
                    size_t reason_bytes);
    void (*role_change)(void *context, uint16_t group, enum raft_role role, uint64_t term,
                        uint16_t leader);
    void *context;
};

// Opens log and groups, recovers. Blocking. Errors as wal_open's; reason gets one line.
int reactor_open(const struct reactor_config *config, struct reactor **reactor, char *reason,
                 size_t reason_bytes);
void reactor_close(struct reactor *reactor);

// One iteration. True when it did work. next_deadline_ns (may be NULL): when a timer is due at the
// latest.
bool reactor_poll(struct reactor *reactor, uint64_t *next_deadline_ns);

// Stops taking proposals, and gives up leadership once the accepted ones are answered (a leader
// that lost its majority steps down by itself); to be called once an iteration. reactor_is_drained
// says when nothing accepted is unanswered or unwritten.
void reactor_drain(struct reactor *reactor);
bool reactor_is_drained(const struct reactor *reactor);
// Answers every request of other threads now: NOT_LEADER where nothing was done, else UNKNOWN. For
// the end: the reactor is not polled afterwards.
void reactor_abandon(struct reactor *reactor);

// An apply worker's body, on its own thread: one iteration; true when it did work. worker <
// apply_workers.
bool reactor_apply_poll(struct reactor *reactor, uint32_t worker);

// How a request from another thread ended. payload and result_bytes: of a read's answer (< 0:
// -errno).
struct reactor_reply {
    enum wire_status status;
    uint32_t result;
    uint64_t index;
    const void *answer;
    int32_t answer_bytes;
};
// `user` comes back as it was given: a caller's own callback behind a common one.
typedef void reactor_user(void);
typedef void reactor_done(void *context, reactor_user *user, const struct reactor_reply *reply);

// Requests from any thread, lock-free; 0, -EAGAIN (full), -EINVAL (group, size, ranges). done runs
// on the reactor's thread. `ranges` is what the command or query touches, where the state machine
// does not say it itself (parallel groups); NULL: not said.
int reactor_propose_ranges_mt(struct reactor *reactor, uint16_t group, const void *payload,
                              uint32_t bytes, const struct wire_ranges *ranges, reactor_done *done,
                              reactor_user *user, void *context);
int reactor_read_ranges_mt(struct reactor *reactor, uint16_t group, const void *query,
                           uint32_t bytes, const struct wire_ranges *ranges, reactor_done *done,
                           reactor_user *user, void *context);
// The same without ranges.
static inline int reactor_propose_mt(struct reactor *reactor, uint16_t group, const void *payload,
                                     uint32_t bytes, reactor_done *done, reactor_user *user,
                                     void *context)
{
    return reactor_propose_ranges_mt(reactor, group, payload, bytes, NULL, done, user, context);
}
static inline int reactor_read_mt(struct reactor *reactor, uint16_t group, const void *query,
                                  uint32_t bytes, reactor_done *done, reactor_user *user,
                                  void *context)
{
    return reactor_read_ranges_mt(reactor, group, query, bytes, NULL, done, user, context);
}
// Runs `call` on the reactor's thread in its next iteration.
typedef void reactor_call(struct reactor *reactor, void *context);
int reactor_call_mt(struct reactor *reactor, reactor_call *call, void *context);

// What follows is for calls on the reactor's thread.
uint32_t reactor_groups(const struct reactor *reactor, uint16_t *ids, uint32_t max);

struct reactor_group_status {
    struct raft_view raft;
    uint32_t peer_count;
    struct raft_peer_view peers[RAFT_NODES_MAX];
    uint64_t digest; // of sessions and state machine at applied; only when asked for
    bool has_digest;
    uint64_t checkpoint; // index the newest durable checkpoint covers
    uint32_t sessions;
};
// -ENOENT: not our group. A digest is given only when apply is inline or idle.
int reactor_group_status(struct reactor *reactor, uint16_t group, bool want_digest,
                         struct reactor_group_status *status);

struct reactor_counters {
    uint64_t polls, busy_polls;
    uint64_t busy_ns, idle_ns; // share of time in polls that did work
    uint64_t longest_poll_gap_ns;
    uint64_t refused[WIRE_REFUSALS]; // frames and messages by reason
    uint64_t outcomes[RAFT_OUTCOMES];
    uint64_t messages_in, messages_out, entries_in, entries_out;
    uint64_t footprints_all; // parallel groups: commands that conflict with everything
    uint64_t proposals, proposals_busy, proposals_refused, replies, reads, duplicates;
    uint64_t applied, applied_payload_bytes;
    uint64_t appends_dropped_log_full, sends_cut_short;
    uint64_t elections, checkpoints, snapshots_sent, snapshots_installed, records_relocated;
};
void reactor_counters(const struct reactor *reactor, struct reactor_counters *out);
// Of entries accepted here as leader, until their answer was with the driver: every one while one
// is in flight, a sample under load (timing.c). Cumulative.
const struct histogram *reactor_answer_times(const struct reactor *reactor);
void reactor_wal_counters(const struct reactor *reactor, struct wal_counters *out);
const struct wal_recovery *reactor_recovery(const struct reactor *reactor);
uint64_t reactor_log_used_bytes(const struct reactor *reactor);
// Bytes reactor_open takes beside the arena and the state machines.
uint64_t reactor_memory_bytes(const struct reactor_config *config);

#endif
