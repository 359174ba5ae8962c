// A cluster of cores in one thread and virtual time: what test of the protocol needs of a world.
//
//     propose, read, crash, cut ──▶ cluster ──▶ raft_step ──▶ accept ──▶ fake log ──▶ completions
//                                      ▲                                                   │
//                                      └──── messages, deadlines ◀── raft_collect ◀────────┘
//
// Every node owns a replica, a fake log on a fake disk (records in file order; what was not
// complete at a crash is lost or kept at random), a hard state, a checkpoint and a state machine
// that is a running hash. The network delays, loses, duplicates and reorders. All of it follows
// from one seed.
//
// After every collect cluster_check.c holds the run against the five guarantees of Raft (figure 3),
// and every message against the durable image that must stand behind it. A violation prints the
// seed, the time and all nodes, and leaves the running test case.
#ifndef PONTOON_TESTS_CLUSTER_H
#define PONTOON_TESTS_CLUSTER_H

#include "engine/base/heap.h"
#include "engine/base/prng.h"
#include "engine/core/raft.h"

enum {
    CLUSTER_NODES_MAX = RAFT_NODES_MAX,
    CLUSTER_FRAME_ENTRIES_MAX = 8, // entries of one append message
    CLUSTER_EVENTS_MAX = 1 << 14,  // under way at once
    CLUSTER_READS_MAX = 128,       // waiting at one node
    CLUSTER_INDEXES_MAX = 1 << 15, // of one run
    CLUSTER_ALL_TYPES = 0xFFFF,
};

#define CLUSTER_US UINT64_C(1000)
#define CLUSTER_MS UINT64_C(1000000)

struct cluster_options {
    uint64_t seed;
    uint32_t nodes;
    uint32_t volatile_nodes; // bit (id - 1): its log does not survive a crash
    uint32_t log_entries, window_entries;
    uint64_t window_bytes;
    uint64_t election_min_ns, election_max_ns, heartbeat_ns;
    uint64_t link_min_ns, link_max_ns; // one way
    uint64_t disk_min_ns, disk_max_ns; // of one write
    uint64_t apply_max_ns;
    uint64_t burst_max_ns;  // a collect waits this long at most for more input
    bool is_disk_unordered; // writes complete in any order
    bool is_traced;         // prints every event
    bool is_checked_deeply; // raft_check_invariants after every collect
};

// One record of a fake log, in file order.
struct cluster_record {
    bool is_truncate; // removes every entry from id.index on
    bool is_complete;
    uint32_t epoch;
    struct raft_entry_id id;
    uint64_t prev_term;
    struct raft_entry_head head;
    uint64_t commit; // commit index when it was written
};

// What recovery would find at an index.
struct cluster_image {
    uint64_t term, prev_term;
    uint32_t position; // of its record, from 1; 0: nothing
};

struct cluster_disk {
    struct cluster_record *records;
    uint32_t record_count, record_capacity;
    struct cluster_image *images; // by index
    uint64_t image_last;          // highest index ever in images
    uint64_t chain_last; // the image is known to be one chain from the checkpoint up to here
    uint64_t latest_ns;  // when the last write under way completes
    uint64_t barrier_ns; // nothing completes before: a truncation is under way
    uint64_t hard_latest_ns;
    uint64_t slowdown; // factor on every write
    struct raft_hard_state hard_state;
    uint64_t boot;
};

struct cluster_checkpoint {
    struct raft_entry_id id;
    uint64_t hash; // of all commands up to id
};

struct cluster_read {
    uint64_t number;
    uint64_t required_index; // committed somewhere when the read was asked for
};

struct cluster_node {
    uint16_t id;
    bool is_up, is_volatile, is_started_before, has_failed_disk;
    struct raft *raft; // valid while up
    void *memory;
    struct raft_view view; // as of the last collect
    uint64_t deadline_ns, collect_ns;
    uint64_t ticked_ns; // when the last step was, if that was a tick
    struct cluster_disk disk;
    struct cluster_checkpoint checkpoint, state;
    uint64_t apply_next;       // first index of the next range to apply
    uint32_t apply_generation; // an installed checkpoint outdates what is being applied
    uint32_t snapshot_out;     // bit (peer - 1): a checkpoint is under way
    uint64_t snapshot_out_ns[CLUSTER_NODES_MAX];
    struct cluster_read reads[CLUSTER_READS_MAX];
    uint32_t read_count;
    // ghosts: what this node must never contradict, over all its starts
    struct raft_hard_state vote_sent;
};

enum cluster_event_kind {
    CLUSTER_MESSAGE,
    CLUSTER_SYNCED,
    CLUSTER_HARD_STATE,
    CLUSTER_APPLIED,
    CLUSTER_SNAPSHOT,
    CLUSTER_SNAPSHOT_DONE,
};

struct cluster_event {
    enum cluster_event_kind kind;
    uint16_t node; // to whom
    uint16_t from;
    uint64_t boot; // of node; completions of an earlier start are lost
    uint32_t generation;
    uint32_t position, count; // SYNCED: records
    uint64_t index;           // APPLIED
    struct raft_hard_state hard_state;
    struct cluster_checkpoint checkpoint;
    struct raft_message message;
    struct raft_entry_head heads[CLUSTER_FRAME_ENTRIES_MAX];
};

// An entry that some leader made. (index, term) names it everywhere.
struct cluster_known {
    uint64_t term, prev_term, value;
    uint32_t next; // another term at the same index; 0: none
};

struct cluster_truth {
    uint64_t term, value;
    uint64_t hash; // of all values up to here
};

struct cluster {
    struct cluster_options options;
    struct prng prng;
    uint64_t now_ns;
    struct cluster_node nodes[CLUSTER_NODES_MAX];

    // network, may be changed at any time
    uint32_t loss_permille, duplicate_permille, unsent_permille, late_permille;
    uint64_t late_max_ns;                                       // how much later a late frame is
    uint16_t cut[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1]; // [from][to]: bit per message type

    struct cluster_event *events;
    struct heap_item *heap_items;
    uint32_t *heap_positions;
    struct heap heap;
    uint32_t *free_events;
    uint32_t free_count;

    // what is known to all (cluster_check.c)
    struct cluster_known *known;
    uint32_t known_count;
    uint32_t *known_heads; // by index
    struct cluster_truth *truth;
    uint64_t truth_last; // highest index committed anywhere
    uint16_t *leader_of; // by term
    uint64_t values;     // commands proposed so far
    uint64_t event_count, elections, reads_granted, snapshots_installed, messages_sent;
    uint64_t outcomes[RAFT_OUTCOMES];
    uint64_t trace_hash;
};

void cluster_default_options(struct cluster_options *options, uint32_t nodes, uint64_t seed);
// All nodes up, the log empty everywhere.
struct cluster *cluster_open(const struct cluster_options *options);
void cluster_close(struct cluster *cluster);

// Lets virtual time pass.
void cluster_run(struct cluster *cluster, uint64_t for_ns);
bool cluster_run_until(struct cluster *cluster, bool (*holds)(const struct cluster *cluster),
                       uint64_t for_ns);

// Ids are 1..nodes. Everything below is without effect on a node that is down.
void cluster_crash(struct cluster *cluster, uint16_t id);
void cluster_start(struct cluster *cluster, uint16_t id);
void cluster_fail_disk(struct cluster *cluster, uint16_t id);
void cluster_stand_down(struct cluster *cluster, uint16_t id);
enum raft_outcome cluster_propose(struct cluster *cluster, uint16_t id, uint32_t count,
                                  uint32_t bytes);
enum raft_outcome cluster_read(struct cluster *cluster, uint16_t id, uint32_t count);
// Makes a checkpoint at index (clipped to what is applied and durable) and trims the log to it.
void cluster_trim(struct cluster *cluster, uint16_t id, uint64_t index);

// Frames of these types (bits 1 << type) from one node to another are lost.
void cluster_cut(struct cluster *cluster, uint16_t from, uint16_t to, uint16_t types);
void cluster_isolate(struct cluster *cluster, uint16_t id);
void cluster_heal(struct cluster *cluster);

// The node that leads in the highest term, 0: none.
uint16_t cluster_leader(const struct cluster *cluster);
struct cluster_node *cluster_node(struct cluster *cluster, uint16_t id);
// Has every node that is up applied everything that is committed, with a leader among them?
bool cluster_is_level(const struct cluster *cluster);
bool cluster_has_leader(const struct cluster *cluster);

// cluster_check.c
void cluster_fail(const struct cluster *cluster, const struct cluster_node *node, const char *text);
void cluster_note_entry(struct cluster *cluster, const struct cluster_node *node, uint64_t index,
                        uint64_t prev_term);
void cluster_check_message(struct cluster *cluster, struct cluster_node *node,
                           const struct raft_message *message);
void cluster_check_view(struct cluster *cluster, struct cluster_node *node);
void cluster_check_applied(struct cluster *cluster, struct cluster_node *node, uint64_t index);
void cluster_check_effects(struct cluster *cluster, struct cluster_node *node,
                           const struct raft_effects *effects);
void cluster_check_restored(struct cluster *cluster, struct cluster_node *node);

// cluster_disk.c
void cluster_disk_submit(struct cluster *cluster, struct cluster_node *node,
                         const struct raft_accept *accept);
void cluster_disk_complete(struct cluster_disk *disk, uint32_t position);
void cluster_disk_crash(struct cluster *cluster, struct cluster_node *node);
bool cluster_disk_holds(const struct cluster_node *node, struct raft_entry_id id);
// The image is one chain of records from the checkpoint up to index.
bool cluster_disk_has_chain(struct cluster_node *node, uint64_t index);

// cluster.c, for cluster_control.c: one input with all that must follow at once; a node's settings.
void cluster_step(struct cluster *cluster, struct cluster_node *node,
                  const struct raft_input *input, enum raft_outcome *outcome);
void cluster_config(const struct cluster *cluster, const struct cluster_node *node,
                    struct raft_config *config);

// Puts an event in front of the cluster after delay_ns; the caller fills it in.
struct cluster_event *cluster_post(struct cluster *cluster, struct cluster_node *node,
                                   enum cluster_event_kind kind, uint64_t delay_ns);

#endif
