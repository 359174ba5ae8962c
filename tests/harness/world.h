// A cluster of production reactors in one thread and virtual time: reactor, core, wire and log as
// they ship, on a simulated network, disks that forget and tear, and a clock that only we move.
//
//     clients ──frames──▶ world_net ──▶ reactor_poll ──▶ disk_memory
//        ▲                                  │    └─────▶ recording app (+ kv)
//        └──────────── answers ◀────────────┘                 │
//                                                             ▼
//                        world_check.c: what was applied, acknowledged, read
//
// One seed decides everything. What must hold is checked while the run goes on: every replica
// applies the same commands with the same results, each command of a client once; an answer agrees
// with what was applied; counters are linearizable; equal states have equal digests; one leader a
// term. A violation prints seed and time and leaves the running test case.
#ifndef PONTOON_TESTS_WORLD_H
#define PONTOON_TESTS_WORLD_H

#include "engine/base/heap.h"
#include "engine/base/prng.h"
#include "engine/reactor/reactor.h"

enum {
    WORLD_NODES_MAX = RAFT_NODES_MAX,
    WORLD_REACTORS_MAX = 2,
    WORLD_CLIENTS_MAX = 8,
    WORLD_GROUPS_MAX = 128,
    WORLD_KEYS = 8,            // counters of a group
    WORLD_OPERATIONS_MAX = 64, // of a client, unanswered
    WORLD_PACKETS_MAX = 1 << 15,
    WORLD_DISK_REQUESTS_MAX = 64,
    WORLD_READ_BYTES_MAX = 128 << 10, // of an answer
    WORLD_PORT = 7000,                // UDP, of class 0
};

#define WORLD_US UINT64_C(1000)
#define WORLD_MS UINT64_C(1000000)
#define WORLD_S UINT64_C(1000000000)

struct world_options {
    uint64_t seed;
    uint32_t nodes, groups, reactors, clients;
    bool is_volatile;
    uint32_t apply_workers; // polled by the same thread, now and then
    bool has_kv;            // a kv store behind every recording app
    uint32_t frame_bytes;
    uint32_t log_entries, window_entries;
    uint64_t window_bytes, log_bytes, segment_bytes;
    uint32_t session_pages, sessions_max;
    uint64_t poll_ns;       // between two polls of a reactor
    uint32_t tx_buffers;    // of a reactor, outstanding
    uint32_t tx_ring;       // frames a reactor's driver takes between two polls
    uint32_t disk_polls;    // a request takes up to this many polls
    uint32_t payload_max;   // of a client's command
    uint32_t client_window; // operations a client has under way
    struct reactor_sizes sizes;
    uint64_t app_ballast_bytes; // of every checkpoint, beside the state
};

struct world;

// ------------------------------------------------------------------------------------------------
// world_net.c

struct world_packet {
    uint16_t node;              // to whom; 0: to a client
    uint16_t index;             // reactor, or client
    struct net_endpoint remote; // as the receiver sees the sender
    uint8_t *data;
    uint32_t bytes;
    uint32_t next; // in a receive queue
};

struct world_net {
    struct net net; // first
    struct world *world;
    uint16_t node, reactor;
    uint32_t rx_first, rx_last, rx_count; // packets that have arrived
    uint32_t rx_out, tx_out;              // frames the engine holds
    uint32_t tx_taken;                    // since the last poll
    struct net_counters counters;
};

// ------------------------------------------------------------------------------------------------
// world_disk.c

// A disk_memory that can die with its reactor: what was asked of a dead disk fails.
struct world_disk {
    struct disk disk; // first
    struct disk *inner;
    bool is_dead;
    uint64_t tags[WORLD_DISK_REQUESTS_MAX]; // under way
    uint32_t tag_count;
};

// ------------------------------------------------------------------------------------------------
// world_app.c

struct world_app {
    struct app app; // first
    struct world *world;
    uint16_t node, group;
    struct app *inner; // kv or NULL
    struct {
        uint64_t chain; // hash of all commands, indexes and results so far
        uint64_t last;  // index of the last command
        uint64_t commands;
        uint64_t counters[WORLD_KEYS];
    } state;
    uint64_t stream_offset; // of the checkpoint that is being read, or restored
    bool is_streaming;
};

// What a command of a client says (the payload begins with it; shorter payloads are opaque).
struct world_command {
    uint32_t client; // place in world.clients
    uint16_t action; // enum world_action
    uint16_t key;
    uint64_t number; // of this client, from 1, over all its sessions and groups
};

// OPAQUE: a payload too short for a head, of which nothing can be checked.
enum world_action { WORLD_READ, WORLD_ADD, WORLD_KV, WORLD_OPAQUE };

struct world_query {
    uint32_t key;
    uint32_t answer_bytes;
};

// ------------------------------------------------------------------------------------------------
// world_check.c

// What became of a client's command.
struct world_fate {
    uint64_t index; // 0: not applied yet
    uint32_t result;
};

struct world_truth {  // of a group
    uint64_t *chains; // by index; 0: no command
    uint64_t capacity;
    uint64_t last;                 // highest index applied anywhere
    uint64_t acked[WORLD_KEYS];    // largest value of the counter any client knows of
    uint64_t digest_index, digest; // the newest state seen
    uint16_t *leaders;             // by term
    uint64_t terms;
};

// ------------------------------------------------------------------------------------------------
// world_client.c

struct world_operation {
    bool is_waiting; // else the slot is free
    uint8_t action;  // enum world_action
    uint8_t key;
    uint16_t group;
    uint64_t session, sequence; // of a command
    uint64_t number;            // of a command, or request of a read
    uint32_t bytes;             // of the payload, or of the answer wanted
    uint64_t retry_ns;
    uint32_t attempts;
    uint64_t value_floor;          // the counter had at least this value when we asked
    uint32_t received, answer_crc; // of the answer of a read
};

struct world_session {
    uint64_t id, window, nonce, sequence;
    uint64_t retry_ns;
    uint16_t leader; // our guess
};

struct world_client {
    struct world *world;
    uint16_t place;
    bool is_active;
    uint32_t reads_percent;
    uint64_t number, request;
    struct world_session sessions[WORLD_GROUPS_MAX];
    struct world_operation operations[WORLD_OPERATIONS_MAX];
    uint8_t *answer;          // of the read under way (one at a time)
    bool *answer_has;         // which bytes of it have come
    struct world_fate *fates; // by number
    uint64_t fates_capacity;
    uint64_t done, reads_done, unknown, expired, busy, redirected, retries; // counters
    uint64_t done_ns;     // when the last answer came
    uint64_t done_before; // done when the world began to settle
};

// ------------------------------------------------------------------------------------------------
// world.c

struct world_seat { // of one reactor of a node
    struct world_net net;
    struct world_disk disk, checkpoint_disk;
    struct reactor *reactor; // NULL: down
    void *arena;
    uint64_t deadline_ns;
    bool was_busy;
};

struct world_clock {
    struct clock clock; // first
    struct world *world;
    uint64_t offset_ns; // every node has its own zero
};

struct world_node {
    struct world *world;
    uint16_t id;
    bool is_up, is_started_before, is_draining;
    bool has_stopped_workers; // its apply workers stand still
    uint64_t paused_until_ns;
    struct world_clock clock;
    struct world_seat seats[WORLD_REACTORS_MAX];
};

struct world {
    struct world_options options;
    struct prng prng;
    uint64_t now_ns, steps;
    struct world_node nodes[WORLD_NODES_MAX];
    struct world_client clients[WORLD_CLIENTS_MAX];
    struct world_truth truths[WORLD_GROUPS_MAX];

    // network: may be changed at any time
    uint32_t loss_permille, duplicate_permille, late_permille, unlocated_permille;
    uint64_t link_min_ns, link_max_ns, late_max_ns;
    bool cut[WORLD_NODES_MAX + 1][WORLD_NODES_MAX + 1]; // [from][to]; 0: the clients
    uint32_t flip_permille;                             // one bit of a frame, on its way
    uint64_t frames_sent, frames_lost, frames_flipped;

    struct world_packet *packets;
    uint32_t *free_packets;
    uint32_t free_packet_count;
    struct heap_item *heap_items;
    uint32_t *heap_positions;
    struct heap arrivals; // by packet
};

void world_default_options(struct world_options *options, uint32_t nodes, uint64_t seed);
// All nodes bootstrapped and up, clients at rest.
struct world *world_open(const struct world_options *options);
void world_close(struct world *world);

void world_run(struct world *world, uint64_t for_ns);
// False: it did not come to hold in that time.
bool world_run_until(struct world *world, bool (*holds)(struct world *world), uint64_t for_ns);

// Ids are 1..nodes. keep_percent: chance of each sector that was not durable to be there all the
// same.
void world_crash(struct world *world, uint16_t id, uint32_t keep_percent);
void world_kill(struct world *world, uint16_t id); // the process alone: completed writes stay
void world_start(struct world *world, uint16_t id);
void world_pause(struct world *world, uint16_t id, uint64_t for_ns);
void world_drain(struct world *world, uint16_t id);
void world_stop_cleanly(struct world *world, uint16_t id); // closes the reactors as a program does
void world_isolate(struct world *world, uint16_t id);
void world_heal(struct world *world);
void world_calm(struct world *world); // a network without loss, duplicates and late frames

struct reactor *world_reactor(struct world *world, uint16_t id, uint16_t group);
uint16_t world_leader(struct world *world, uint16_t group); // 0: none
struct reactor_group_status world_status(struct world *world, uint16_t id, uint16_t group);
bool world_has_leaders(struct world *world);
bool world_is_level(struct world *world);    // all nodes up applied everything that is committed
bool world_is_answered(struct world *world); // no client waits
void world_print(struct world *world);

void world_clients_active(struct world *world, bool active);
// Heals and calms, lets clients finish, waits until all is level; checks that it came about within
// `for_ns`, that nothing leaks, that states are equal, and that every client is served.
void world_settle(struct world *world, uint64_t for_ns);
// Nothing is out, waiting or kept: buffers, jobs, reads, mail slots, snapshots.
void world_check_leaks(struct world *world);

// What follows is for the world's own files.
_Noreturn void world_fail(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
#define WORLD_CHECK(world, holds, ...)                                                             \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            world_fail(world, __VA_ARGS__);                                                        \
        }                                                                                          \
    } while (0)

void world_net_init(struct world_net *net, struct world *world, uint16_t node, uint16_t reactor);
void world_net_open(struct world *world);
void world_net_close(struct world *world);
void world_net_deliver(struct world *world);
void world_net_forget(struct world_net *net); // its reactor is gone
void world_net_from_client(struct world *world, uint16_t client, uint16_t node, uint16_t group,
                           const uint8_t *data, uint32_t bytes);

void world_disk_open(struct world_disk *disk, uint64_t seed, uint32_t delay_polls);
void world_disk_die(struct world_disk *disk, uint64_t seed, uint32_t keep_percent, bool is_power);
void world_disk_revive(struct world_disk *disk);
void world_disk_close(struct world_disk *disk);

int world_app_open(struct world *world, uint16_t node, uint16_t group, struct app **app,
                   char *reason, size_t reason_bytes);

void world_check_applied(struct world_app *app, const struct app_entry *entry, uint32_t result);
void world_check_done(struct world_client *client, const struct world_operation *operation,
                      uint32_t result);
void world_check_read(struct world_client *client, const struct world_operation *operation,
                      const uint8_t *answer, uint32_t bytes);
void world_check_leader(struct world *world, uint16_t node, uint16_t group, uint64_t term);
void world_check_digests(struct world *world);
void world_check_close(struct world *world);
uint64_t world_mix(uint64_t hash, uint64_t value);

void world_clients_open(struct world *world);
void world_clients_close(struct world *world);
void world_clients_tick(struct world *world);
void world_client_receive(struct world_client *client, const uint8_t *frame, uint32_t bytes);
uint8_t world_filler(uint64_t number, uint32_t offset);

#endif
