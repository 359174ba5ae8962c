// One group of replicas, stepped by hand: what the scripts of tests/scenario are made of.
//
//     propose, tick, deliver, complete … ──▶ steps ──▶ raft_step ──▶ accept ──▶ writes w1 w2 …
//                                              │                                   │ complete,
//                                              crash └──▶ raft_collect ──▶ effects       ▼
//                                                    │   │                    durable image
//                                      text of each ◀┘   └──▶ messages, one pool in the order sent
//
// Nothing happens by itself. A message waits until it is delivered or dropped, a write until it is
// completed or lost in a crash, committed entries until they are applied; every node has a clock of
// its own that moves only when told, and every election timeout is exactly STEPS_ELECTION_NS, so no
// random number matters. A node that was stepped is collected at once, and each effect is printed
// as one line.
//
// steps_check.c holds every run against the guarantees of Raft (figure 3) and every answer against
// the durable image that must stand behind it; what it finds is printed as a line that begins with
// VIOLATION, and counted.
//
// Functions that return bool: false when the call makes no sense here (`error` says why); nothing
// was done then. Node ids are 1..nodes.
#ifndef PONTOON_TESTS_STEPS_H
#define PONTOON_TESTS_STEPS_H

#include "engine/core/raft.h"

#include <stdio.h>

#define STEPS_MS UINT64_C(1000000)
#define STEPS_ELECTION_NS (100 * STEPS_MS)
#define STEPS_HEARTBEAT_NS (20 * STEPS_MS)

enum {
    STEPS_NODES_MAX = RAFT_NODES_MAX,
    STEPS_INDEXES_MAX = 512,  // of one run
    STEPS_FRAME_MAX = 64,     // entries of one append
    STEPS_RUN_MAX = 128,      // entries of one write
    STEPS_WRITES_MAX = 512,   // of one node
    STEPS_MESSAGES_MAX = 512, // under way
    STEPS_READS_MAX = 64,     // of one start of a node that are checked
    STEPS_STASH_MAX = 16,
    STEPS_NAME_MAX = 24,
    STEPS_TERMS_MAX = 128,
};

struct steps_options {
    uint32_t nodes;
    uint32_t slots;         // of a log
    uint32_t frame_entries; // of one append, ≤ STEPS_FRAME_MAX
    uint32_t window_entries;
    uint64_t window_bytes;
};

// What a node begins with, as if it had been running before.
struct steps_given {
    struct raft_hard_state hard_state;
    struct raft_entry_id checkpoint; // its log begins behind it
    uint64_t log_terms[STEPS_INDEXES_MAX];
    uint32_t log_count;
    uint64_t commit; // known committed, as recovery finds it
    uint64_t boot;
    bool is_memory; // entries do not survive a crash
    bool is_lost;   // it does not hold all it acknowledged
};

// What waits for the disk, and what the disk holds, in file order.
struct steps_write {
    enum steps_write_kind { STEPS_WRITE_TERM, STEPS_WRITE_ENTRIES, STEPS_WRITE_CUT } kind;
    uint32_t number; // "w3"; 0: held from the beginning
    bool is_complete;
    struct raft_hard_state hard_state; // TERM
    uint64_t first;                    // ENTRIES, CUT
    uint32_t count;
    uint32_t epoch;
    uint64_t prev_term;
    uint64_t commit; // floor that the write carries
    struct {
        uint64_t term;
        struct raft_entry_head head;
    } entries[STEPS_RUN_MAX];
};

struct steps_message {
    struct raft_message message;
    struct raft_entry_head heads[STEPS_FRAME_MAX];
};

struct steps_node {
    uint16_t id;
    bool is_up, is_memory, is_lost, has_failed_disk;
    uint64_t boot;
    uint64_t now_ns; // its own clock
    void *memory;
    struct raft *raft; // valid while up
    struct raft_view view;
    struct raft_hard_state hard_state; // as the core has it, durable or not
    struct steps_write *writes;
    uint32_t write_count;
    uint32_t write_number;           // last one given
    struct raft_entry_id checkpoint; // durable
    uint64_t apply_upto;             // handed out for applying
    uint64_t commit_floor;           // what its next write carries
    uint64_t reads_aborted;
    uint64_t reads_done;                      // granted or aborted up to this number
    uint64_t reads_required[STEPS_READS_MAX]; // by number: committed somewhere when it was asked
    uint64_t snapshot_peers;                  // told to get a checkpoint
};

struct steps {
    struct steps_options options;
    FILE *out;
    bool is_quiet; // effects are not printed
    uint32_t violations;
    char error[200];
    struct steps_node nodes[STEPS_NODES_MAX];
    bool cut[STEPS_NODES_MAX + 1][STEPS_NODES_MAX + 1]; // [from][to]
    struct steps_message *messages;                     // in the order sent
    uint32_t message_count;
    struct steps_stashed {
        char name[STEPS_NAME_MAX];
        struct steps_message kept;
    } stash[STEPS_STASH_MAX];
    uint32_t stash_count;
    // what was ever committed, and who ever led (steps_check.c)
    uint64_t committed_terms[STEPS_INDEXES_MAX];
    uint16_t leader_of[STEPS_TERMS_MAX];
    uint16_t vote_of[STEPS_NODES_MAX + 1][STEPS_TERMS_MAX];
};

// Messages of a link; a type narrows them, `which` picks one.
struct steps_filter {
    uint16_t from, to;
    uint32_t type; // enum raft_message_type; 0: all
    enum { STEPS_EACH, STEPS_FIRST, STEPS_LAST } which;
};

// Sets of nodes are bits (id - 1).
#define STEPS_EVERYBODY UINT32_MAX

void steps_default_options(struct steps_options *options);
// Nodes with empty logs, started. Effects are printed to `out`.
struct steps *steps_open(const struct steps_options *options, FILE *out);
void steps_close(struct steps *steps);
bool steps_given(struct steps *steps, uint16_t id, const struct steps_given *given);

// Time. A campaign is a tick past the election timeout.
bool steps_tick(struct steps *steps, uint16_t id, uint64_t after_ns);
bool steps_campaign(struct steps *steps, uint16_t id);

// Clients and operators.
bool steps_propose(struct steps *steps, uint16_t id, uint32_t count, uint32_t bytes);
bool steps_read(struct steps *steps, uint16_t id, uint32_t count);
bool steps_stand_down(struct steps *steps, uint16_t id);

// The network. False when no message matches. A stashed message leaves the pool and can be replayed
// any number of times. What is sent over a cut link is lost.
bool steps_deliver(struct steps *steps, const struct steps_filter *filter, bool is_kept);
bool steps_drop(struct steps *steps, const struct steps_filter *filter);
bool steps_stash(struct steps *steps, const char *name, const struct steps_filter *filter);
bool steps_replay(struct steps *steps, const char *name);
void steps_cut(struct steps *steps, uint16_t from, uint16_t to, bool is_cut);
bool steps_unsent(struct steps *steps, uint16_t from, uint16_t to, uint64_t index);

// Disk and state machine. Nothing behind a cut is completed before it; terms complete in order.
bool steps_complete(struct steps *steps, uint16_t id, uint32_t number);
bool steps_sync(struct steps *steps, uint16_t id, bool with_term, bool with_log); // in order
bool steps_apply(struct steps *steps, uint16_t id, uint64_t upto);                // 0: all
bool steps_checkpoint(struct steps *steps, uint16_t id, uint64_t index);          // ≤ applied
bool steps_compact(struct steps *steps, uint16_t id, uint64_t index);      // checkpoint, then trim
bool steps_install(struct steps *steps, uint16_t from, uint16_t to);       // from's checkpoint
bool steps_installed(struct steps *steps, uint16_t leader, uint16_t peer); // the leader is told
bool steps_fail_disk(struct steps *steps, uint16_t id);
bool steps_room(struct steps *steps, uint16_t id, bool has_room); // its log takes entries, or not

// A crash keeps what is durable, and of the writes under way those with the numbers given.
bool steps_crash(struct steps *steps, uint16_t id, const uint32_t *kept, uint32_t kept_count);
bool steps_restart(struct steps *steps, uint16_t id, bool is_lost); // lost: its entries are gone

// Shortcuts, without text: an election that `id` wins with the votes of `voters`, over messages and
// terms only; everything that is under way among `nodes`; the same after one heartbeat.
bool steps_elect(struct steps *steps, uint16_t id, uint32_t voters);
bool steps_settle(struct steps *steps, uint32_t nodes);
bool steps_beat(struct steps *steps, uint32_t nodes);

// Text (steps_text.c). A log is drawn as the terms of its entries, '|' behind the last durable one,
// '.' a hole, (term/index) what a checkpoint covers.
void steps_show(struct steps *steps, uint32_t nodes);
bool steps_show_peers(struct steps *steps, uint16_t id);
void steps_show_messages(struct steps *steps);
uint32_t steps_type_of(const char *name); // 0: no such type
void steps_print_outcome(struct steps *steps, const struct steps_node *node,
                         enum raft_outcome outcome);
void steps_print_changes(struct steps *steps, const struct steps_node *node,
                         const struct raft_view *before);
void steps_print_write(struct steps *steps, const struct steps_node *node,
                       const struct steps_write *write);
void steps_print_effects(struct steps *steps, const struct steps_node *node,
                         const struct raft_effects *effects);
void steps_print_message(struct steps *steps, const struct raft_message *message);

// The disk (steps_disk.c).
struct steps_write *steps_add_write(struct steps_node *node, enum steps_write_kind kind);
void steps_carry_out(struct steps *steps, struct steps_node *node,
                     const struct raft_accept *accept);
struct steps_write *steps_pending(struct steps_node *node, bool with_term, bool with_log);
struct raft_hard_state steps_durable_term(const struct steps_node *node);
// Terms of the entries that recovery would find, by index. Result: the last index.
uint64_t steps_recover(const struct steps_node *node, uint64_t terms[STEPS_INDEXES_MAX]);
void steps_start(struct steps *steps, struct steps_node *node);

// The checks (steps_check.c).
void steps_violation(struct steps *steps, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void steps_check_view(struct steps *steps, struct steps_node *node);
void steps_note_reads(struct steps *steps, struct steps_node *node, uint64_t first);
void steps_check_reads(struct steps *steps, struct steps_node *node,
                       const struct raft_effects *effects);
void steps_check_message(struct steps *steps, const struct steps_node *node,
                         const struct raft_message *message);

// One input into a node, and what follows.
void steps_step(struct steps *steps, struct steps_node *node, const struct raft_input *input);
// Up, or false with the error set.
bool steps_is_up(struct steps *steps, uint16_t id);
bool steps_fail(struct steps *steps, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline struct steps_node *steps_node(struct steps *steps, uint16_t id)
{
    return &steps->nodes[id - 1];
}

static inline bool steps_has(uint32_t nodes, uint16_t id)
{
    return (nodes >> (id - 1) & 1) != 0;
}

#endif
