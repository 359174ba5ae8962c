// The reactor's inside. Each file writes its own part: outbox.c frames under way out, inbound.c
// frames in, group.c the core and its effects, apply.c state machines, clients.c answers to
// clients, reads.c reads, mailbox.c other threads' requests, checkpoint.c durable checkpoints,
// tail.c what of the log is forgotten, snapshot.c checkpoints to and from peers, timing.c how long
// answers take.
#ifndef PONTOON_REACTOR_INTERNAL_H
#define PONTOON_REACTOR_INTERNAL_H

#include <stdatomic.h>

#include "engine/base/assert.h"
#include "engine/base/heap.h"
#include "engine/base/histogram.h"
#include "engine/core/session.h"
#include "engine/core/state.h"
#include "engine/reactor/app_room.h"
#include "engine/reactor/reactor.h"
#include "engine/wire/assembly.h"

struct rte_ring;

enum {
    RX_BURST = 32,
    TX_PENDING_MAX = 128,  // sealed frames that the driver did not take yet
    TX_USE_MAX = 96,       // ... and open ones, for nodes, or for clients
    SEND_FRAMES_MAX = 256, // of one group's entries to one peer in a poll iteration
    CLIENTS_MAX = 64,      // client endpoints remembered
    APPLY_ITEMS_MAX = 256, // entries of one apply job
    APPLY_JOBS_MAX = 64,
    READ_QUERY_BYTES_MAX = 1280,
    ANSWER_BYTES_MAX = RAFT_PAYLOAD_BYTES_MAX + 64,
    // Of the log, kept free of new entries for no-ops; one entry that replaces others comes on top.
    WAL_RESERVE_BYTES = 256 << 10,
    LOG_ENTRY_BYTES = 4096, // room is asked for in entries of this size: every log takes these
    CHECKPOINT_CHUNK_BYTES = 256 << 10,
    SNAPSHOT_RANGES_MAX = 64, // of a checkpoint that is coming in, received beyond a hole
    APPLY_SILENT = 255,       // status of an apply item that is answered by another one
};

// ------------------------------------------------------------------------------------------------
// outbox.c

// Frames to one destination: one open frame at a time, filled by any group.
struct lane {
    struct net_endpoint remote;
    uint16_t node; // WIRE_CLIENT for clients
    enum net_use use;
    bool is_open;
    struct net_frame frame;
    struct wire_writer writer;
};

struct outbox {
    struct net_frame pending[TX_PENDING_MAX];
    uint8_t pending_use[TX_PENDING_MAX]; // enum net_use of each
    uint32_t pending_count;
    uint32_t frames_of[2]; // pending and open, by use
    uint64_t sealed;       // frames, ever
    struct lane *open[RAFT_NODES_MAX + CLIENTS_MAX];
    uint32_t open_count;
};

// ------------------------------------------------------------------------------------------------
// clients.c

struct client {
    struct net_endpoint remote;
    bool is_used;
    uint32_t generation; // counts reuses of the slot
    uint64_t used_ns;
    struct lane lane;
    uint16_t group; // of the results gathered
    uint64_t session;
    uint32_t result_count;
    struct wire_result results[WIRE_RESULTS_MAX];
};

// Who waits for a log entry or a read: a client slot or a mailbox slot, with its generation.
struct origin {
    uint32_t slot; // 0: nobody; else 1 + client slot, or ORIGIN_MAILBOX | mailbox slot
    uint32_t generation;
};
#define ORIGIN_MAILBOX UINT32_C(0x80000000)

// --------------------------------------------------------------------------------------------------
// apply.c

struct apply_item {
    uint64_t index;
    uint64_t client, sequence;
    const uint8_t *payload;
    uint32_t bytes, crc;
    uint32_t result;
    uint8_t kind;   // enum raft_entry_kind
    uint8_t status; // enum wire_status
    uint64_t grant; // REGISTER: the session; its window is put into sequence
};

struct group;

enum apply_kind { APPLY_ENTRIES, APPLY_READ };

struct apply_job {
    enum apply_kind kind;
    struct group *group;
    uint32_t count;
    bool is_corrupt;    // an entry's checksum does not match: our memory is damaged
    uint32_t read_slot; // READ
    int32_t answer_bytes;
    struct apply_item items[APPLY_ITEMS_MAX];
};

// ---------------------------------------------------------------------------------------------------
// reads.c

struct read_request {
    struct group *group;
    uint64_t number; // the core's, of this group
    bool is_granted;
    uint64_t index; // may be served once applied reaches this
    uint64_t needs; // ... which is enough for what it looks at
    struct origin origin;
    uint64_t request; // the client's
    uint32_t next;    // list of the group, or free list; UINT32_MAX: end
    uint32_t bytes;
    uint8_t query[READ_QUERY_BYTES_MAX];
};

// An answer on its way to a client: what the driver does not take now follows in later iterations.
struct answer_out {
    bool is_active;
    struct group *group;
    struct origin origin;
    struct wire_read_reply reply; // offset: of the next part
    uint64_t progress_ns;         // when a part last left
};

// -------------------------------------------------------------------------------------------------
// mailbox.c

enum mail_kind { MAIL_PROPOSE, MAIL_READ, MAIL_CALL };

// Whose the slot is: a caller's that took it from the free ring, on its way, or the reactor's until
// it is answered.
enum mail_owner { MAIL_CALLERS, MAIL_POSTED, MAIL_REACTORS };

struct mail {
    enum mail_kind kind;
    uint16_t group;
    uint32_t bytes;
    reactor_done *done;
    reactor_user *user;
    reactor_call *call;
    void *context;
    atomic_uint
        owner; // enum mail_owner. Release by who gives the slot away, acquire by who gets it
    // The reactor's: callers do not touch these.
    bool is_placed;      // PROPOSE: it is an entry of the log
    uint32_t generation; // counts uses of the slot: an origin of an earlier use means nothing
    void *large;         // payload above MAILBOX_INLINE_BYTES: from malloc
    uint32_t crc;        // PROPOSE: of the entry
    // What it declares to touch. None in strict groups, which do not use it.
    uint8_t range_count;
    struct raft_footprint ranges[WIRE_RANGES_MAX];
    uint8_t payload[MAILBOX_INLINE_BYTES];
};

// --------------------------------------------------------------------------------- checkpoint.c,
// snapshot.c

enum checkpoint_state {
    CHECKPOINT_IDLE,
    CHECKPOINT_COPYING,
    CHECKPOINT_FLUSHING,
    CHECKPOINT_SEALING
};

enum { STREAM_READ_BYTES_MIN = 512 };

// Stop and copy: apply of the group pauses while its state is read out in pieces, one a poll
// iteration.
struct stream_out {
    struct group *group;
    bool is_active;
    struct raft_beyond beyond; // of the state
    uint64_t session_offset, session_bytes;
    bool is_app_done;
    uint32_t crc;
    uint64_t bytes; // produced so far
};

struct checkpoint {
    enum checkpoint_state state;
    struct raft_entry_id covers;  // being made
    struct raft_entry_id durable; // newest durable one; {0, 0}: none
    uint64_t generation;          // of the newest durable one; file = generation mod 2
    uint32_t file;                // being written
    bool is_open;
    bool is_incomplete; // what is being written is marked so
    struct stream_out stream;
    uint64_t began_head; // end of the log when the newest one began
    uint64_t file_offset;
    bool is_write_out;
    uint32_t buffer_bytes;
    uint64_t retry_ns; // the last one failed: none is begun before
};

struct snapshot_peer {
    bool is_active;
    uint64_t sent_bytes, received_bytes;
    uint64_t heard_ns;    // when it last answered a part (or began)
    uint64_t progress_ns; // when it last confirmed more than before (or began)
    uint64_t resend_ns;   // when what it did not confirm is sent again
};

struct byte_range {
    uint64_t first, end; // [first, end)
};

struct snapshot {
    // out (leader): the state copied into memory of its own
    uint8_t *data;
    uint64_t bytes, capacity;
    bool is_ready;
    bool is_building;
    struct raft_entry_id covers;
    struct stream_out stream;
    uint32_t users;           // active peers
    uint64_t follow_until_ns; // somebody has just installed one: the log waits for it to catch up
    struct snapshot_peer peers[RAFT_NODES_MAX];
    // in (follower)
    uint8_t *in_data;
    uint64_t in_total, in_received; // without a hole
    uint32_t in_range_count;
    struct byte_range in_ranges[SNAPSHOT_RANGES_MAX]; // beyond it, apart, ascending
    struct raft_entry_id in_covers;
    uint16_t in_from;
    bool in_must_persist; // durable: the checkpoint of it is being made, then the core is told
};

static inline bool snapshot_is_active(const struct snapshot *snapshot)
{
    return snapshot->is_building || snapshot->is_ready || snapshot->in_must_persist ||
           snapshot->in_data != NULL;
}

// --------------------------------------------------------------------------------------------------
// group.c

// How far a large entry was sent to a peer when frames ran out; it goes on from there.
struct fragment_cursor {
    struct raft_entry_id id; // {0, 0}: none
    uint32_t offset;
};

struct group {
    struct reactor *reactor;
    uint16_t id;
    uint32_t slot; // in reactor->groups
    struct raft *raft;
    struct app *app;
    struct session_table *sessions;
    struct origin *origins; // by index mod log_entries
    bool is_dirty;
    bool is_halted;      // corrupt memory or state: serves nothing any more
    enum raft_role role; // as last told
    uint64_t apply_next; // next index to hand to apply (strict groups)
    uint64_t apply_last; // committed up to (strict groups)
    uint64_t applied;    // floor
    uint32_t jobs_out;
    bool is_checkpoint_damaged;
    bool is_incomplete; // the newest checkpoint is of a node that missed entries
    bool is_paused;     // no new apply jobs: a checkpoint is copied or restored
    bool has_entries;   // recovery found some
    bool was_parallel;  // ... and something that only parallel groups write
    // What the state put in place of the old one holds beyond its floor, until the core knows.
    struct raft_beyond restored;
    struct raft_sync sync; // to be written when there is room; term 0: none
    struct app_room app_room;
    uint32_t worker;
    uint32_t read_first, read_last; // list of read_request; UINT32_MAX: empty
    bool is_serving_reads;
    struct fragment_cursor cursors[RAFT_NODES_MAX]; // by place in config.nodes
    struct checkpoint checkpoint;
    struct snapshot snapshot;
    uint64_t pinned_bytes; // of the log: what must stay there, when last weighed
    bool is_full;          // takes no proposals, as the core was told
    struct {
        uint64_t segment, next; // entries below next are not in this segment any more
    } moved;
};

void group_fill_footprints(struct group *group, struct raft_input *input,
                           const uint8_t *const *payloads, const struct wire_ranges *declared);
uint8_t group_ask_footprint(app_footprint_of *footprint, const void *payload, uint32_t bytes,
                            struct raft_footprint *out);
uint8_t group_copy_footprint(const struct wire_ranges *declared, struct raft_footprint *out);
void group_pause(struct group *group);
void group_resume(struct group *group);
bool group_is_applied(const struct group *group);

// --------------------------------------------------------------------------------------------------
// tail.c

struct tail {
    uint64_t due_head; // the tail is looked at when the log's head is there, or ...
    uint64_t due_ns;
    uint64_t pinned_bytes;  // of all groups
    uint64_t to_move_bytes; // kept free: live entries of the oldest segment may have to move there
};

// --------------------------------------------------------------------------------------------------
// timing.c

struct timing {
    struct group *group; // whose entry is timed; NULL: none
    uint64_t index;
    uint64_t began_ns;
    bool is_answered; // the time ends with this iteration
    struct histogram answer_ns;
};

struct reactor {
    struct reactor_config config;
    struct wire_filter filter;
    struct wal *wal;
    void *wal_memory;
    struct wal_recovery recovery;
    uint64_t now_ns;
    bool was_busy;
    bool is_draining;
    bool is_failed; // the device failed

    struct group *groups;
    uint32_t group_count;
    struct group **by_id; // NULL: not ours
    uint32_t *dirty;
    uint32_t dirty_count;
    struct heap timers; // by group slot

    struct net_frame rx[RX_BURST];
    struct wire_scratch scratch;
    struct assembly *assembly;
    struct outbox outbox;
    struct lane peers[RAFT_NODES_MAX]; // by place in config.nodes
    struct client clients[CLIENTS_MAX];

    struct apply_job *jobs;
    struct apply_job **free_jobs;
    uint32_t free_job_count;
    struct app_entry *batch; // of each worker (inline: the first)
    uint32_t *batch_results;
    struct rte_ring *to_worker[REACTOR_APPLY_WORKERS_MAX];
    struct rte_ring *from_worker[REACTOR_APPLY_WORKERS_MAX];

    struct read_request *reads;
    uint32_t free_read;
    uint32_t reads_waiting;
    bool is_answering;                // the answer buffer is in use: by a worker, or being sent
    bool has_read_waiting_for_answer; // ... and somebody waits for it
    uint8_t *answer;
    struct answer_out answer_out;

    struct raft_footprint *footprints; // of one proposal (parallel groups)
    uint8_t *footprint_counts;
    uint16_t distances[WIRE_ENTRIES_MAX]; // of one append (parallel groups)

    struct mail *mails;
    struct rte_ring *mail_ring, *free_mail_ring;

    struct tail tail;
    uint8_t *checkpoint_buffer; // one checkpoint is written at a time
    struct group *checkpointing;
    bool has_overflow; // recovery found more entries than slots
    void *assembly_memory, *heap_items, *heap_positions;

    struct raft_effects effects;
    struct wal_event events[64];
    struct reactor_counters counters;
    struct timing timing;
};

static inline bool is_parallel(const struct group *group)
{
    return group->reactor->config.order == RAFT_ORDER_PARALLEL;
}

// outbox.c
bool lane_locate(struct reactor *reactor, struct lane *lane);
struct wire_writer *lane_writer(struct reactor *reactor, struct lane *lane);
struct wire_writer *lane_next_frame(struct reactor *reactor, struct lane *lane);
uint32_t lane_frame_bytes(struct reactor *reactor, const struct lane *lane);
struct lane *lane_of_node(struct reactor *reactor, uint16_t node);
void outbox_flush(struct reactor *reactor);
// What was not sent goes back to the driver.
void outbox_close(struct reactor *reactor);

// inbound.c
bool inbound_poll(struct reactor *reactor);

// group.c
enum raft_outcome group_step(struct group *group, const struct raft_input *input,
                             const uint8_t *const *payloads, uint64_t payloads_first);
void group_mark_dirty(struct group *group);
void group_collect_all(struct reactor *reactor);
bool group_poll_wal(struct reactor *reactor);
bool group_poll_timers(struct reactor *reactor);
void group_forget_origins(struct group *group, uint64_t first, uint64_t last);
void group_halt(struct group *group);
void group_device_failed(struct reactor *reactor);
bool group_takes_sizes(const struct group *group, const struct raft_entry_head *heads,
                       uint32_t count);
bool group_log_has_room(const struct group *group, uint32_t entries, uint64_t bytes);
bool group_takes_proposals(const struct group *group, uint32_t entries, uint64_t bytes);
void group_leadership_lost(struct group *group);

// apply.c
void apply_run(struct reactor *reactor, struct apply_job *job, uint32_t worker);
void apply_dispatch(struct group *group);
bool apply_poll(struct reactor *reactor);
struct apply_job *apply_take_job(struct reactor *reactor, struct group *group,
                                 enum apply_kind kind);
void apply_start_read(struct reactor *reactor, struct apply_job *job, uint32_t read_slot);
int apply_open(struct reactor *reactor);
void apply_close(struct reactor *reactor);

// clients.c
struct origin client_origin(struct reactor *reactor, const struct net_endpoint *remote);
struct client *client_at(struct reactor *reactor, struct origin origin);
void client_result(struct reactor *reactor, struct origin origin, uint16_t group, uint64_t session,
                   const struct wire_result *result, uint64_t index);
void client_registered(struct reactor *reactor, struct origin origin, uint16_t group,
                       const struct wire_register_reply *reply);
void clients_flush(struct reactor *reactor);
void on_propose(struct group *group, const struct net_endpoint *remote,
                const struct wire_propose *propose);
bool expects_fragment(struct group *group, const struct net_endpoint *remote,
                      const struct wire_fragment *fragment);
void on_status(struct group *group, const struct net_endpoint *remote,
               const struct wire_status_request *request);

// reads.c
int reads_open(struct reactor *reactor);
enum wire_status read_request(struct group *group, struct origin origin,
                              const struct wire_read *read);
void on_read(struct group *group, const struct net_endpoint *remote, const struct wire_read *read);
void reads_granted(struct group *group, uint64_t upto, uint64_t index);
void reads_aborted(struct group *group, uint64_t upto);
void reads_serve(struct group *group);
void read_answered(struct apply_job *job);
void reads_fail(struct group *group);
bool reads_poll(struct reactor *reactor);

// mailbox.c
int mailbox_open(struct reactor *reactor);
void mailbox_close(struct reactor *reactor);
bool mailbox_poll(struct reactor *reactor);
bool mailbox_is_idle(const struct reactor *reactor);
void mailbox_done(struct reactor *reactor, struct origin origin, const struct reactor_reply *reply);
void mailbox_leadership_lost(struct group *group);
void mailbox_abandon(struct reactor *reactor);

// stream.c
void stream_begin(struct stream_out *stream, struct group *group, const struct raft_beyond *beyond);
int64_t stream_read(struct stream_out *stream, void *buffer, uint64_t capacity);
void stream_end(struct stream_out *stream);
bool stream_is_whole(const struct group *group, const uint8_t *data, uint64_t bytes);
bool stream_fits(const struct group *group, const uint8_t *data, uint64_t bytes);
int stream_restore(struct group *group, const uint8_t *data, uint64_t bytes);

// checkpoint.c
int checkpoint_recover(struct group *group, char *reason, size_t reason_bytes);
bool checkpoint_poll(struct reactor *reactor);
void checkpoint_start(struct group *group);
bool checkpoint_start_installed(struct group *group, struct raft_entry_id covers);
void checkpoint_close(struct group *group);

// tail.c
bool tail_poll(struct reactor *reactor);
bool tail_lets_grow(const struct group *group);

// snapshot.c
void snapshot_want(struct group *group, uint64_t peers);
bool snapshot_poll(struct group *group);
void on_snapshot(struct group *group, uint16_t from, uint64_t term,
                 const struct wire_snapshot *part);
void on_snapshot_reply(struct group *group, uint16_t from, uint64_t term,
                       const struct wire_snapshot_reply *reply);
void snapshot_persisted(struct group *group);
void snapshot_close(struct group *group);
uint64_t snapshot_deadline_ns(const struct group *group);
uint64_t snapshot_pin(const struct group *group);

// timing.c
void timing_begin(struct group *group, uint64_t index);
void timing_answered(struct group *group, uint64_t first, uint64_t last);
void timing_forget(struct group *group);
void timing_end(struct reactor *reactor);

// reactor.c
bool reactor_housekeep(struct reactor *reactor);
struct group *reactor_group(struct reactor *reactor, uint16_t id);

#endif
