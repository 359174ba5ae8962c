// The world in a box: whole clusters in one thread and virtual time. Core, wire, reactor, log and
// client library as they ship, on a simulated network, disks, clocks and apply workers.
//
//     clients ──frames──▶ sim_net ──▶ reactor_poll ──▶ sim_disk
//      ▲  │                              │   └──rings──▶ workers
//      └──│────────── answers ◀──────────┘
//         ▼
//      history ──▶ linear.c           sim_check.h ◀── sim_app.c
//
// One 64-bit seed decides everything: sim_swarm.c what the cluster is like, and which faults
// happen; sim_fault.c carries them out; sim.c has the order of events.
//
// An event is a frame delivered, a disk request completed, a poll of a reactor, a worker or a
// client, or a fault. Each has a time; ties are broken by number; nothing else decides what comes
// next. No decision uses floating point, an address, or the real clock.
//
// A violation calls sim_fail, which never returns: it leaves the run by longjmp and what the run
// had allocated is given up.
#ifndef PONTOON_TESTS_SIM_H
#define PONTOON_TESTS_SIM_H

#include <setjmp.h>
#include <stdio.h>

#include "bench/history/history.h"
#include "engine/base/heap.h"
#include "engine/base/histogram.h"
#include "engine/base/prng.h"
#include "engine/client/client.h"
#include "engine/core/parallel.h"
#include "engine/reactor/internal.h"

enum {
    SIM_NODES_MAX = RAFT_NODES_MAX,
    SIM_REACTORS_MAX = 2,
    SIM_WORKERS_MAX = 2, // of a reactor
    SIM_GROUPS_MAX = 6,
    SIM_CLIENTS_MAX = 8,
    SIM_WINDOW_MAX = 16, // operations of a client under way
    SIM_KEYS_MAX = 8,    // of a group
    SIM_LOG_ENTRIES_MAX = 1024,
    SIM_PACKETS_MAX = 8192,
    SIM_REQUESTS_MAX = 32, // of a disk, under way
    SIM_FILES_MAX = 2 * SIM_GROUPS_MAX + 4,
    SIM_FAULTS_MAX = 128,
    SIM_RECORDINGS = 64, // frames kept to be sent again much later
    SIM_PORT = 7000,     // UDP, of class 0
    SIM_SEATS_OF_NODES = SIM_NODES_MAX * SIM_REACTORS_MAX,
    SIM_SEATS = 2 * SIM_SEATS_OF_NODES, // each has a spare one: a node may be at two places
};

#define SIM_US UINT64_C(1000)
#define SIM_MS UINT64_C(1000000)
#define SIM_S UINT64_C(1000000000)

struct sim;

// ------------------------------------------------------------------------------------------------
// sim_swarm.c: the seed's cluster and plan

enum sim_class { // of faults; a seed enables some
    SIM_CLASS_CRASH,
    SIM_CLASS_PROCESS,
    SIM_CLASS_NOISE,     // loss, duplicates, delay, corruption
    SIM_CLASS_PARTITION, // cuts
    SIM_CLASS_TRICKS,    // clogs, filters, late replays, forged frames
    SIM_CLASS_DISK,      // slow, stuck, failing, full
    SIM_CLASS_DAMAGE,    // rot, lost and misdirected writes
    SIM_CLASS_CLOCK,
    SIM_CLASS_SHORTAGE, // buffers, rings, addresses
    SIM_CLASS_HUNT,     // whoever becomes a leader or candidate is crashed or cut off just then
    SIM_CLASSES
};

enum sim_fault_kind {
    SIM_POWER_CUT,
    SIM_KILL,
    SIM_POWER_CUT_ALL,
    SIM_CRASH_IN_RECOVERY,
    SIM_CLEAN_STOP,
    SIM_PAUSE,
    SIM_DISK_MOVED,
    SIM_SLOW_POLLS,
    SIM_WORKERS_STALL,
    SIM_CLIENT_RESTART,
    SIM_LOSS,
    SIM_ENTRIES_LOST,
    SIM_DUPLICATES,
    SIM_DELAY,
    SIM_LINK_SLOW,
    SIM_CORRUPTION,
    SIM_CUT_ONE_WAY,
    SIM_CUT_LINK,
    SIM_ISOLATE,
    SIM_BISECT,
    SIM_CUT_CLIENT,
    SIM_CLOG,
    SIM_FILTER,
    SIM_REPLAY,
    SIM_STRAGGLERS,
    SIM_FORGERY,
    SIM_DISK_SLOW,
    SIM_DISK_STUCK,
    SIM_DISK_FAILS,
    SIM_DISK_FULL,
    SIM_ROT_LOG,
    SIM_ROT_CHECKPOINT,
    SIM_ROT_META,
    SIM_LOST_WRITE,
    SIM_MISDIRECTED_WRITE,
    SIM_DISK_LIES,
    SIM_DISK_LOST,
    SIM_CLOCK_DRIFT,
    SIM_CLOCK_JUMP,
    SIM_CLOCK_FREEZE,
    SIM_FEW_BUFFERS,
    SIM_UNLOCATED,
    SIM_SEND_TO_ONE,
    SIM_HUNT_LEADERS,
    SIM_HUNT_CANDIDATES,
    SIM_HUNT_INSTALLS,
    SIM_FAULT_KINDS
};

struct sim_fault_row {
    const char *name;
    enum sim_class class;
    uint32_t strength_min, strength_max;
};
const struct sim_fault_row *sim_fault_row(enum sim_fault_kind kind);
const char *sim_class_name(enum sim_class class);

struct sim_fault {
    enum sim_fault_kind kind;
    bool is_left_out; // by --keep or while minimising
    uint64_t at_ns, for_ns;
    uint16_t node, peer; // ids; peer also: a client
    uint32_t strength;   // parts per million, microseconds, a mask...: sim_fault.c
};

// Parallel groups: what clients declare that their commands touch.
enum sim_ranges {
    SIM_RANGES_NONE,  // nothing: the state machine says it
    SIM_RANGES_TRUE,  // what they touch: the state machine does not say it
    SIM_RANGES_WRONG, // that they touch nothing in common: the state machine knows better
};

struct sim_options {
    uint64_t seed;
    enum raft_order order;
    enum sim_ranges ranges;
    uint32_t look_behind; // parallel; 0: what entries depend on decides alone
    // Parallel: one poll in so many that meet holes below what is applied begins a checkpoint;
    // 0: only when one is due.
    uint32_t checkpoint_at_holes;
    uint32_t nodes, groups, reactors, workers, clients;
    bool is_volatile;
    uint32_t frame_bytes, log_entries, window_entries;
    uint64_t window_bytes, log_bytes, segment_bytes, checkpoint_bytes;
    uint32_t batch_bytes, batches_in_flight;
    uint32_t session_pages, sessions_max;
    struct reactor_sizes sizes;
    uint64_t poll_ns;                  // longest time from an event to the poll that sees it
    uint64_t link_min_ns, link_max_ns; // one way
    uint64_t disk_min_ns, disk_max_ns; // a request
    uint32_t tx_buffers, tx_ring, disk_requests;
    uint64_t heartbeat_ns, election_min_ns, election_max_ns;
    uint32_t window, keys, operations; // window: of a client
    uint32_t burst; // operations that each client begins at the same time as all others; 0: at any
    uint32_t payload_max, answer_max, ballast_bytes;
    uint32_t reads_percent;
    uint64_t client_attempt_ns, client_give_up_ns;
    uint64_t duration_ns;  // of the phase with faults
    uint32_t classes;      // bit 1 << enum sim_class
    bool is_electing;      // somebody stands, or has just won, most of the time
    bool is_leaving_holes; // ... and leaders leave holes behind
    uint16_t afflicted;    // the one node whose disk may be damaged; 0: all may
};

struct sim_plan {
    uint32_t count;
    struct sim_fault faults[SIM_FAULTS_MAX]; // by time
};
enum raft_order sim_order(uint64_t seed); // of its groups, unless something else is wanted
void sim_swarm(struct sim_options *options, struct sim_plan *plan, uint64_t seed,
               enum raft_order order, uint32_t operations, uint32_t faults);

// ------------------------------------------------------------------------------------------------
// sim_net.c

struct sim_packet {
    uint16_t from, to;          // node ids; 0: a client
    uint16_t index;             // reactor, or client
    struct net_endpoint remote; // as the receiver sees the sender
    uint8_t *data;
    uint32_t bytes;
    uint32_t next; // in a receive queue
    bool is_late;  // a straggler
};

struct sim_net {
    struct net net; // first
    struct sim *sim;
    uint16_t node, index; // node 0: client `index`; else reactor
    uint32_t rx_first, rx_last, rx_count;
    uint32_t rx_out, tx_out; // frames the engine holds
    uint32_t tx_taken;       // since the last poll
    uint32_t tx_buffers;     // now
    struct net_counters counters;
};

// One direction between two nodes (0: all clients).
struct sim_link {
    uint32_t cuts; // by how many faults
    uint32_t loss_ppm, duplicate_ppm, corrupt_ppm, straggler_ppm;
    uint64_t delay_ns, jitter_ns; // on top
    uint64_t clogged_until_ns;
    uint32_t filter; // bit 1 << message type: dropped
};

// ------------------------------------------------------------------------------------------------
// sim_disk.c

struct sim_dirty { // a sector that a power cut may undo
    uint32_t file;
    uint32_t sector;
    uint64_t stamp; // of the newest write
    uint8_t before[512];
};

struct sim_file {
    char name[40];  // "": free
    uint8_t *image; // what reads see; without the dirty sectors, what a power cut leaves
    uint64_t bytes; // length
    uint64_t durable_bytes;
    uint64_t *dirty; // a bit a sector
    bool is_open;
};

struct sim_request {
    struct disk_request request;
    uint64_t stamp;
    uint64_t takes_ns;
    int32_t result;
    bool is_used, is_queued, is_done; // queued: not kicked yet
};

struct sim_disk {
    struct disk disk; // first
    struct sim *sim;
    uint16_t node, seat; // seat: number in sim->seats
    uint32_t events;     // number of its first request's event
    struct sim_file files[SIM_FILES_MAX];
    struct sim_request requests[SIM_REQUESTS_MAX];
    uint32_t requests_out, queued, done_count;
    uint32_t done[SIM_REQUESTS_MAX]; // in order of completion
    struct sim_dirty *dirty;
    uint32_t dirty_count, dirty_capacity;
    uint64_t stamp;
    bool is_blocking; // requests complete at once: a node opens or closes
    bool is_dead;     // ... or died: everything fails
    bool is_gone;     // it was taken away from under its process: nothing completes any more
    uint64_t dies_in; // requests until the node dies in its recovery; 0: never
    // faults
    uint32_t slow_factor; // 1: not slow
    uint64_t stuck_until_ns;
    bool fails_next, is_full, loses_next, misdirects_next;
    bool has_failed; // a write failed: the process it was told, or will be, writes no mark any more
    bool is_lying;   // reports what it wrote to the log as durable, and it is not
    // The log was damaged at that position, and no durable header has a mark behind it yet.
    bool is_mark_due;
    uint64_t damaged_position;
};

// ------------------------------------------------------------------------------------------------
// sim_app.c

struct sim_app {
    struct app app; // first
    struct sim *sim;
    uint16_t node, group;
    struct sim_state {
        uint64_t chain;                // strict: hash of all commands, indexes and results so far
        uint64_t last;                 // highest index of a command
        uint64_t tokens[SIM_KEYS_MAX]; // 0: absent
        uint64_t chains[SIM_KEYS_MAX]; // parallel: the same of the commands that touch the key
    } state;
    uint64_t stream_offset;
    bool is_streaming;
    // Parallel: what it applied, by index, as far back as an order can differ.
    struct {
        uint64_t index;
        uint32_t touches;
    } applied[SIM_LOG_ENTRIES_MAX];
    // What a checkpoint begins with.
    struct {
        struct sim_state state;
        uint64_t applied[SIM_LOG_ENTRIES_MAX / 64]; // parallel: bit of each index, modulo
    } image;
};

// Parallel: is the command at this index (≤ state.last) in the state?
bool sim_app_has_applied(const struct sim_app *app, uint64_t index);

enum sim_action { SIM_GET, SIM_PUT, SIM_DELETE, SIM_CAS };

struct sim_command { // the payload begins with it
    uint32_t action; // enum sim_action
    uint32_t key;
    uint64_t token, expected;
    uint32_t client;
    uint32_t touches; // parallel: a bit a key, `key` among them; SIM_TOUCHES_ALL: names none
    uint64_t number;  // of this client, from 1
};
#define SIM_TOUCHES_ALL UINT32_MAX

struct sim_query {
    uint32_t key;
    uint32_t answer_bytes;
};
// The ranges of a command, at most APP_FOOTPRINTS_MAX. Result: how many, or -1: everything.
int32_t sim_app_touches(const struct sim_command *command, struct app_footprint *ranges);
int sim_app_open(struct sim *sim, uint16_t node, uint16_t group, struct app **app);
// What a command does to a state, and its result.
uint32_t sim_app_execute(struct sim_state *state, const struct sim_command *command);
void sim_app_chain(struct sim_state *state, enum raft_order order, uint64_t index,
                   const struct sim_command *command, uint32_t result);
uint8_t sim_filler(uint64_t number, uint32_t offset);

// ------------------------------------------------------------------------------------------------
// sim_client.c

struct sim_operation {
    struct sim_client *owner;
    bool is_busy;
    uint8_t action;
    uint16_t group;
    uint32_t key;
    uint64_t token, expected;
    uint32_t answer_bytes;
    uint32_t history; // its number there
    uint64_t began_ns;
};

struct sim_client {
    struct sim *sim;
    uint16_t place; // 0-based
    struct client *client;
    struct sim_net net;
    struct clock clock;
    bool is_active;
    uint64_t number;
    uint64_t next_ns; // when the next operation is due
    uint32_t busy;
    struct sim_operation operations[SIM_WINDOW_MAX];
    uint64_t done, unknown, refused;
    uint64_t done_before; // when the last phase began
};

// ------------------------------------------------------------------------------------------------
// sim_check.h: what is known, and was seen

struct sim_id {
    uint64_t term;
    uint64_t in_term; // the leader's who committed it
    uint32_t crc;
    bool is_known;
};

struct sim_known_entry { // (term, index) is the same entry everywhere, and has the same predecessor
    uint64_t term, index, prev_term;
    uint32_t crc;
    uint32_t holders; // bit (id - 1): that node, being intact, had it when it counted as durable
    uint32_t lost;    // ... of these: started without its entries since, and has it not again
};

struct sim_term {
    uint16_t leader;               // seen to lead in it; 0: nobody
    uint16_t votes[SIM_NODES_MAX]; // granted and sent, by voter; 0: none
};

struct sim_installed { // a term of a parallel group
    uint64_t end;      // of its recovered log
    uint32_t nodes;    // bit (id - 1): that node, being intact, had all of it durably in that term
    uint32_t lost;     // ... of these: started without its entries since, and has it not again
};

struct sim_places {    // where the commands of a client were executed
    uint64_t *indexes; // by number; 0: nowhere
    uint64_t capacity;
};

struct sim_truth {                   // of a group
    struct sim_id *committed;        // by index
    uint64_t *chains;                // state after it; 0: not applied anywhere
    uint64_t capacity, commit;       // highest committed anywhere
    uint64_t commit_before;          // ... when the last phase began
    struct sim_known_entry *entries; // open addressing
    uint64_t entries_mask, entries_count;
    struct sim_term *terms; // by term
    uint64_t terms_count;
    uint64_t digest_index, digest;
    struct sim_installed *installed; // by term
    uint64_t installed_terms;
    struct sim_command *executed; // by index, of `capacity`; number 0: none
    uint64_t executed_last;
    struct sim_places places[SIM_CLIENTS_MAX];
};

// One replica as last looked at.
struct sim_seen {
    bool is_known;
    enum raft_role role;
    uint64_t term, commit, last, held, synced, base, applied;
    uint64_t state; // what the state machine has, up to
    uint16_t voted_for;
    uint32_t epoch;
    bool is_intact;
    struct raft_hard_state hard; // durable: survives every crash
    uint32_t looks;
    uint64_t match_term; // a leader's view of its peers, in that term
    uint64_t match[RAFT_NODES_MAX], boot[RAFT_NODES_MAX];
    // fsync, while down: what its disk holds durably; parallel: or `pending`, when that log's SYNC
    // record was being written
    struct sim_shadow {
        uint64_t term; // parallel: sync_term
        uint64_t base, last;
        struct sim_id *ids; // of base + 1 ..
    } shadow, pending;
    // parallel groups (sim_parallel.c)
    uint64_t signature, sync_term, sync_end, commit_high, applied_high;
    enum parallel_phase phase;
    bool is_staging, is_sync_given;
    uint64_t is_held[SIM_LOG_ENTRIES_MAX / 64], is_durable[SIM_LOG_ENTRIES_MAX / 64]; // by index
    uint64_t is_committed[SIM_LOG_ENTRIES_MAX / 64];
};

// ------------------------------------------------------------------------------------------------
// sim_node.c

struct sim_seat { // of one reactor of a node
    struct sim_node *node;
    uint16_t number; // in sim->seats
    uint16_t which;
    struct sim_net net;
    struct sim_disk disk, checkpoint_disk;
    struct reactor *reactor; // NULL: down
    void *arena;
    struct sim_seen seen[SIM_GROUPS_MAX];
};

struct sim_clock {
    struct clock clock; // first
    struct sim *sim;
    uint64_t from_ns, base_ns; // at from_ns of the world it showed base_ns
    int32_t drift_ppm;         // -1000000: frozen
};

// What happens to a node moments after it came to lead, or stood.
enum sim_trap { SIM_TRAP_CUT_OFF, SIM_TRAP_CRASH, SIM_TRAP_PAUSE };

struct sim_node {
    struct sim *sim;
    uint16_t id;
    bool is_up, has_started, is_stopping;
    bool is_damaged; // its disk was
    bool is_lost;    // its vote is: it can never start again
    bool is_liar;    // its disk lied: what it holds may be gone after a power cut
    bool is_frozen;  // left out of the liveness phase
    uint64_t paused_until_ns, workers_until_ns, slow_until_ns;
    uint64_t restart_ns;
    uint32_t dies_in;   // disk requests of its next start
    enum sim_trap trap; // that is set for it
    bool is_trapped;    // cut off by one
    bool is_muted;      // its appends are dropped
    uint16_t confidant; // ... but for those to this node; 0: to all
    struct sim_clock clock;
    struct sim_seat *seats[SIM_REACTORS_MAX];
    struct sim_seat *ghosts[SIM_REACTORS_MAX]; // of a process whose disk was moved; NULL: none
};

enum sim_phase { SIM_SAFETY, SIM_QUORUM, SIM_ALL };

enum sim_end { SIM_OK, SIM_FAILED };

struct sim_result {
    enum sim_end end;
    char invariant[48], text[400];
    uint64_t events, faults, operations, unknown, virtual_ns, cpu_ns, hash, io;
    uint16_t leader;        // of group 0 when the faults ended; 0: none
    uint64_t heal_ns;       // from healing a quorum to the first commit of every group
    uint32_t heal_timeouts; // ... in election timeouts, in hundredths
    bool is_halted;         // too few intact nodes were left: no liveness demanded
    bool has_given_up;      // the judge of the history
    uint64_t faults_of[SIM_FAULT_KINDS];
};

struct sim {
    struct sim_options options;
    struct sim_plan plan;
    struct prng prng;      // the order of things
    struct prng net_prng;  // the network's chances
    struct prng disk_prng; // the disks'
    struct prng load_prng; // the clients'
    uint64_t now_ns;
    enum sim_phase phase;
    jmp_buf *escape;
    struct sim_result *result;
    uint64_t crash_at_io;        // 0: never
    FILE *trace;                 // NULL: none
    struct sim_frames *frames;   // NULL: not written
    struct histogram *latencies; // likewise
    uint64_t latencies_from_ns;
    bool is_verbose;

    struct heap events;
    struct heap_item *heap_items;
    uint32_t *heap_positions;

    struct sim_node nodes[SIM_NODES_MAX];
    struct sim_seat seats[SIM_SEATS];
    struct sim_client clients[SIM_CLIENTS_MAX];
    struct sim_link links[SIM_NODES_MAX + 1][SIM_NODES_MAX + 1]; // [from][to]
    struct sim_packet *packets;
    uint32_t *free_packets;
    uint32_t free_packet_count;
    struct sim_packet recordings[SIM_RECORDINGS];
    uint32_t recording_count;
    uint64_t frames_sent, frames_lost;
    uint32_t entries_lost_ppm; // frames with entries, beside what links lose
    uint32_t late_frames;      // stragglers under way
    uint16_t favourite;        // of the hunt that is on: it leads again and again; 0: nobody
    uint16_t deaf;             // a leader that was cut from all it hears; 0: none

    uint32_t next_fault;
    uint64_t active_until_ns[SIM_FAULTS_MAX]; // 0: not active
    struct sim_truth truths[SIM_GROUPS_MAX];
    struct history *history;
};

// ------------------------------------------------------------------------------------------------
// sim_frames.c

enum { SIM_FRAMES_MAX = 400, SIM_FRAME_SHAPES = 1 << 16 };

struct sim_frames {
    const char *directory;
    uint32_t written;
    uint64_t seen[SIM_FRAME_SHAPES / 64]; // a bit a shape
};
// A frame that an engine sent.
void sim_frames_see(struct sim_frames *frames, const uint8_t *data, uint32_t bytes);

// ------------------------------------------------------------------------------------------------
// a run

// Runs one seed. `plan` as sim_swarm made it, perhaps with faults left out.
struct sim_run_options {
    uint64_t crash_at_io;
    FILE *trace, *history;
    struct sim_frames *frames;
    struct histogram *latencies; // of commands while faults happen; NULL: not wanted
    uint64_t latencies_from_ns;  // ... that began then or later
    bool is_verbose;
};
void sim_run(const struct sim_options *options, const struct sim_plan *plan,
             const struct sim_run_options *run, struct sim_result *result);

_Noreturn void sim_fail(struct sim *sim, const char *invariant, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define SIM_CHECK(sim, holds, invariant, ...)                                                      \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            sim_fail(sim, invariant, __VA_ARGS__);                                                 \
        }                                                                                          \
    } while (0)

// Numbers of events in the heap.
enum {
    SIM_EVENT_PACKET = 0,
    SIM_EVENT_SEAT = SIM_EVENT_PACKET + SIM_PACKETS_MAX,
    SIM_EVENT_WORKER = SIM_EVENT_SEAT + SIM_SEATS,
    SIM_EVENT_CLIENT = SIM_EVENT_WORKER + SIM_SEATS * SIM_WORKERS_MAX,
    SIM_EVENT_DISK = SIM_EVENT_CLIENT + SIM_CLIENTS_MAX,
    SIM_EVENT_NODE = SIM_EVENT_DISK + 2 * SIM_SEATS * SIM_REQUESTS_MAX,
    SIM_EVENT_TRAP = SIM_EVENT_NODE + SIM_NODES_MAX,
    SIM_EVENT_FAULT = SIM_EVENT_TRAP + SIM_NODES_MAX, // the next one begins
    SIM_EVENT_FAULT_END = SIM_EVENT_FAULT + 1,        // one of them ends
    SIM_EVENTS = SIM_EVENT_FAULT_END + SIM_FAULTS_MAX,
};
void sim_at(struct sim *sim, uint32_t event, uint64_t at_ns); // moves it if it stands already
void sim_hash(struct sim *sim, uint64_t value);
static inline uint64_t sim_mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ (hash >> 29);
}

void sim_phases(struct sim *sim);
// Until it holds. False: it did not in that time.
bool sim_run_until(struct sim *sim, bool (*holds)(struct sim *sim), uint64_t for_ns);

void sim_seat_wake(struct sim_seat *seat); // something is there for it to see
void sim_seat_poll(struct sim_seat *seat);
void sim_worker_poll(struct sim_seat *seat, uint32_t worker);
void sim_seat_close(struct sim_seat *seat);
void sim_node_start(struct sim_node *node);
void sim_node_crash(struct sim_node *node, bool is_power, uint64_t down_ns);
bool sim_node_has_failed(const struct sim_node *node); // one of its devices, until it is restarted
void sim_node_due(struct sim_node *node);              // it comes back, or goes down
// May it not go down yet?
bool sim_node_must_stay(const struct sim_node *node, bool is_power);
// Its disks and its address are another machine's; the process stays there, deaf and without disk.
void sim_node_move(struct sim_node *node, uint64_t down_ns);
struct sim_seat *sim_seat_at(struct sim *sim, uint32_t number); // one in use, by number
void sim_node_end_ghost(struct sim_node *node);
struct sim_seat *sim_seat_of(struct sim *sim, uint16_t node, uint16_t group); // NULL: down
struct raft *sim_raft(struct sim *sim, uint16_t node, uint16_t group);        // NULL: down
void sim_clock_open(struct sim_clock *clock, struct sim *sim, uint64_t base_ns);
uint64_t sim_clock_now(const struct sim_clock *clock);
void sim_clock_set(struct sim_clock *clock, int32_t drift_ppm, uint64_t jump_ns);

void sim_net_init(struct sim_net *net, struct sim *sim, uint16_t node, uint16_t index);
void sim_net_open(struct sim *sim);
void sim_net_close(struct sim *sim);
void sim_net_arrive(struct sim *sim, uint32_t number);
void sim_net_forget(struct sim_net *net); // its owner is gone
// What comes very late to a node comes within that time: to a leader acknowledgements, to others
// all else. Result: who sent one of them; 0: nothing does.
uint16_t sim_net_hurry(struct sim *sim, uint16_t to, bool is_leader, uint64_t within_ns);
void sim_net_replay(struct sim *sim, uint32_t count);
void sim_net_forge(struct sim *sim, uint16_t node, uint32_t count);

void sim_disk_open(struct sim_disk *disk, struct sim *sim, uint16_t node, uint16_t seat,
                   uint32_t number);
void sim_disk_close(struct sim_disk *disk);
void sim_disk_wipe(struct sim_disk *disk); // as new
void sim_disk_complete(struct sim_disk *disk, uint32_t request);
void sim_disk_hang(struct sim_disk *disk, uint64_t until_ns); // with all that is under way
void sim_disk_die(struct sim_disk *disk, bool is_power);
// `to`, which is closed, has what a power cut would leave; `from` is gone.
void sim_disk_move(struct sim_disk *from, struct sim_disk *to);
void sim_disk_end_gone(struct sim_disk *disk); // its process ends: what it waits for fails
void sim_disk_revive(struct sim_disk *disk, bool is_blocking);
// Its log was damaged: no crash of the node before a durable mark passed that place.
void sim_disk_note_damage(struct sim_disk *disk);
// NULL: no such file.
struct sim_file *sim_disk_file(struct sim_disk *disk, const char *name);
// What a power cut would leave of a byte range that has no dirty sector.
bool sim_disk_holds(struct sim_disk *disk, const char *name, uint64_t offset, const void *data,
                    uint64_t bytes);

void sim_clients_open(struct sim *sim);
void sim_clients_close(struct sim *sim);
void sim_client_poll(struct sim_client *client);
void sim_client_restart(struct sim_client *client);
bool sim_clients_idle(struct sim *sim);

void sim_fault_begin(struct sim *sim, uint32_t number);
void sim_fault_end(struct sim *sim, uint32_t number);
void sim_faults_end_all(struct sim *sim);
void sim_fault_on_role(struct sim_node *node, enum raft_role role); // it just became that
void sim_fault_on_hole(struct sim_node *leader);                    // a follower has one
void sim_fault_on_install(struct sim_node *node); // it begins one, or writes the record of it
void sim_fault_trap(struct sim_node *node);       // the trap springs

void sim_check_open(struct sim *sim);
void sim_check_close(struct sim *sim);
void sim_check_seat(struct sim_seat *seat);  // after each poll
void sim_check_ghost(struct sim_seat *seat); // likewise, of what counts for nothing
void sim_check_down(struct sim_seat *seat);  // before it is closed
void sim_check_up(struct sim_seat *seat);    // just opened
// A frame leaves a node: does it promise what is not durable?
void sim_check_sent(struct sim_seat *seat, const uint8_t *data, uint32_t bytes);
// Does a majority without it hold all it counts as durable?
bool sim_check_is_spare(const struct sim_node *node);
void sim_check_applied(struct sim_app *app, uint64_t index, const struct sim_command *command);
// Is its state what the log gives when it is applied in its order?
void sim_check_state(struct sim_app *app, bool may_lack);
void sim_check_states(struct sim *sim);
void sim_check_digests(struct sim *sim);
bool sim_is_at_rest(struct sim *sim); // nobody keeps a checkpoint for, or of, another
void sim_check_leaks(struct sim *sim);

// Bit for each voter slot that a leader counts for the entry, which is above its commit floor.
uint32_t sim_parallel_acks(const struct raft *raft, uint64_t index);
// True: nothing above the floors is new, and never again will it be asked of this state.
bool sim_parallel_is_unchanged(const struct raft *raft, struct sim_seen *seen);
void sim_parallel_look(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                       struct sim_seen *seen);
// A node started without its entries.
void sim_parallel_lost(struct sim_truth *truth, uint16_t id);
void sim_parallel_look_at_ghost(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                                struct sim_seen *seen);

void sim_trace(struct sim_seat *seat, struct group *group, const struct sim_seen *before);

#endif
