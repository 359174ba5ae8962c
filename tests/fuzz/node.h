// What the parts of fuzz_node share.
//
//     fuzz_node.c      the actions of an input: time, disks, shortage, power; one after the other
//     node_messages.c  ... and what comes over the network: which messages, in which frames
//     node_fields.c    values of their fields, near what the node knows
//     node_record.c    what the node said and did, and what it may not say or do since
//     node_app.c       its state machine: an order and a hash
#ifndef PONTOON_TESTS_FUZZ_NODE_H
#define PONTOON_TESTS_FUZZ_NODE_H

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/seat.h"
#include "tests/unit/wire/sample.h"

enum {
    NODE_SELF = 2,
    NODE_GROUPS = 2,
    NODE_ENTRIES_MAX = 7,  // of a message
    NODE_DURABLE_MAX = 64, // entries remembered over a crash: what a log has slots
    NODE_STREAM_BYTES_MAX = 64 << 10,
};

// The run of one input.
struct node {
    struct seat *seat;
    bool is_volatile, is_parallel;
    uint8_t stream[NODE_STREAM_BYTES_MAX]; // of a checkpoint of the node's own
    uint32_t stream_bytes;
};
extern struct node node;

static inline struct group *node_group(uint16_t group)
{
    return &node.seat->reactor->groups[group];
}

static inline struct raft_view node_view(uint16_t group)
{
    struct raft_view view;
    raft_view(node_group(group)->raft, &view);
    return view;
}

// node_app.c
int node_app_open(void *context, uint16_t group, struct app **app, char *reason,
                  size_t reason_bytes);
void node_app_check(uint16_t group, uint64_t committed); // nothing beyond that is applied

// node_record.c
void node_record_begin(void);
void node_record_before_poll(void);
void node_record_on_frame(void *context, const struct net_frame *frame);
void node_record_check(void);
void node_record_before_crash(void);
void node_record_check_restart(void);
uint64_t node_record_session(uint16_t group); // registered last

// node_fields.c. Values are in the range that decode lets through, and no nearer to sense than
// that.
uint64_t node_read_term(struct fuzz_input *input, uint16_t group);
// A place in the log: what stands at that index, or something else.
struct raft_entry_id node_read_place(struct fuzz_input *input, uint16_t group, uint64_t term_max);
// `count` entries into sample->heads, payloads and message.payload_bytes.
void node_read_entries(struct fuzz_input *input, struct sample *sample, uint16_t group,
                       uint32_t count);
// An append of `count` entries, but for these; of a parallel group its distances are the sample's.
void node_read_append(struct fuzz_input *input, struct sample *sample, struct raft_append *append,
                      uint16_t group, uint32_t count);
void node_read_append_reply(struct fuzz_input *input, struct raft_append_reply *reply,
                            uint16_t group, uint64_t term);
void node_read_vote(struct fuzz_input *input, struct raft_entry_id *last, uint16_t group,
                    uint64_t term);
void node_read_report(struct fuzz_input *input, struct raft_report *report, uint16_t group,
                      uint64_t term);
void node_read_fetch(struct fuzz_input *input, struct raft_fetch *fetch, uint16_t group);
// One part of an entry of up to 12 KiB, or of one that is too large.
void node_read_fragment(struct fuzz_input *input, struct sample *sample, uint16_t group);

// node_messages.c: actions
void node_do_message(struct fuzz_input *input);
void node_do_fragment(struct fuzz_input *input);
void node_do_take_checkpoint(struct fuzz_input *input);
void node_do_snapshot(struct fuzz_input *input);
void node_do_snapshot_reply(struct fuzz_input *input);
void node_do_propose(struct fuzz_input *input);
void node_do_ask(struct fuzz_input *input);
void node_do_raw(struct fuzz_input *input);

#endif
