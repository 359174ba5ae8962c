// Any sequence of messages, requests, faults and restarts into one production reactor.
//
// The node is number 2 of three, with two groups, strict or parallel; the input plays both peers,
// clients, time, disk and power. It is a sequence of actions (`actions` below). Fields are given as
// differences to what the node knows, so that a byte says "one term later" or "the entry behind the
// last"; frames are sealed, so that they get past the checksum.
//
// Peers may contradict themselves and lie. What must hold all the same:
//  - no assertion is reachable, and raft_check_invariants holds after every action;
//  - what node_record.c and node_app.c say;
//  - no frame, buffer or job leaks.
#include "tests/fuzz/node.h"

#include "drivers/disk_memory/disk_memory.h"
#include "tests/fuzz/node_actions.h"

#include <errno.h>

enum { POLLS_MAX = 1500 }; // an input: more is only slow

struct node node;

static uint32_t polls;
static uint32_t mails_out;

static void poll(void)
{
    if (polls++ < POLLS_MAX) {
        node_record_before_poll();
        seat_poll(node.seat);
    }
}

static void do_pass(struct fuzz_input *input)
{
    for (uint32_t left = 1 + (fuzz_u8(input) & 127); left > 0; left--) {
        node.seat->now_ns += WORLD_MS;
        poll();
    }
}

static void do_polls(struct fuzz_input *input)
{
    for (uint32_t left = 1 + (fuzz_u8(input) & 15); left > 0; left--) {
        poll();
    }
}

static void do_hold_disk(struct fuzz_input *input)
{
    disk_memory_hold(node.seat->disk.inner, (fuzz_u8(input) & 1) != 0);
}

static void do_fail_disk(struct fuzz_input *input)
{
    uint8_t bits = fuzz_u8(input);
    struct disk *disk = (bits & 1) != 0 ? node.seat->checkpoint_disk.inner : node.seat->disk.inner;
    static const enum disk_op ops[] = {DISK_WRITE_DURABLE, DISK_WRITE, DISK_FLUSH, DISK_READ};
    disk_memory_fail(disk, ops[(bits >> 1) & 3], 1 + ((bits >> 3) & 3), 1, -EIO);
}

static void do_shortage(struct fuzz_input *input)
{
    uint8_t bits = fuzz_u8(input);
    node.seat->tx_room = bits & 7;
    node.seat->tx_buffers = (bits & 8) != 0 ? bits >> 4 : SEAT_TX_MAX;
}

static void on_mail_done(void *context, reactor_user *user, const struct reactor_reply *reply)
{
    REQUIRE(mails_out > 0, "answered twice");
    mails_out--;
}

static void do_mail(struct fuzz_input *input)
{
    uint8_t bits = fuzz_u8(input);
    uint16_t group = bits & 1;
    int error = (bits & 2) != 0 ? reactor_read_mt(node.seat->reactor, group, node.stream, bits >> 3,
                                                  on_mail_done, NULL, NULL)
                                : reactor_propose_mt(node.seat->reactor, group, node.stream,
                                                     bits >> 3, on_mail_done, NULL, NULL);
    mails_out += error == 0;
}

static void do_drain(struct fuzz_input *input)
{
    reactor_drain(node.seat->reactor);
}

static void do_crash(struct fuzz_input *input)
{
    mails_out = 0;
    char reason[256];
    uint8_t how = fuzz_u8(input);
    uint16_t seed = fuzz_u16(input);
    bool is_power = (how & 0x80) != 0;
    node_record_before_crash();
    seat_crash(node.seat, seed, (how & 0x7F) % 101, is_power);
    int error = seat_start(node.seat, reason, sizeof(reason));
    REQUIRE(error == 0, "does not start again: %s", reason);
    node_record_check_restart();
}

static void (*const actions[NODE_ACTIONS])(struct fuzz_input *input) = {
    [NODE_MESSAGE] = node_do_message,
    [NODE_FRAGMENT] = node_do_fragment,
    [NODE_SNAPSHOT] = node_do_snapshot,
    [NODE_SNAPSHOT_REPLY] = node_do_snapshot_reply,
    [NODE_PROPOSE] = node_do_propose,
    [NODE_ASK] = node_do_ask,
    [NODE_RAW] = node_do_raw,
    [NODE_PASS] = do_pass,
    [NODE_POLLS] = do_polls,
    [NODE_HOLD_DISK] = do_hold_disk,
    [NODE_FAIL_DISK] = do_fail_disk,
    [NODE_SHORTAGE] = do_shortage,
    [NODE_TAKE_CHECKPOINT] = node_do_take_checkpoint,
    [NODE_MAIL] = do_mail,
    [NODE_DRAIN] = do_drain,
    [NODE_CRASH] = do_crash,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {.at = data, .end = data + size};
    uint8_t bits = fuzz_u8(&input);
    node.is_volatile = (bits & NODE_VOLATILE) != 0;
    node.is_parallel = (bits & NODE_PARALLEL) != 0;
    const struct seat_options options = {.order = node.is_parallel ? RAFT_ORDER_PARALLEL
                                                                   : RAFT_ORDER_STRICT,
                                         .node = NODE_SELF,
                                         .nodes = 3,
                                         .groups = NODE_GROUPS,
                                         .is_volatile = node.is_volatile,
                                         .disk_polls = (bits >> 1) & 3,
                                         .disk_seed = bits,
                                         .poll_ns = 20 * WORLD_US,
                                         .app_open = node_app_open,
                                         .on_frame = node_record_on_frame};
    node_record_begin();
    polls = mails_out = node.stream_bytes = 0;
    node.seat = seat_open(&options);
    while (fuzz_has_more(&input) && polls < POLLS_MAX) {
        uint8_t action = fuzz_u8(&input);
        actions[(action & ~NODE_NO_POLL) % NODE_ACTIONS](&input);
        if ((action & NODE_NO_POLL) == 0) {
            poll();
        }
        node_record_check();
    }
    seat_close(node.seat);
    return 0;
}
