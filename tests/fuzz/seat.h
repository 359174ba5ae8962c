// One production reactor at the mercy of a fuzzer: its network, disks and clock are played here.
//
//     seat_deliver ──▶ net ──▶ reactor_poll ──▶ disk_memory
//     on_frame     ◀── net ◀──┘     └─▶ app
//
// The reactor is small (reactor_sizes), so that opening one costs little: the fuzzers
// open one an input. Every frame in is memory of exactly its size, for the address sanitizer.
//
// There is one seat a process.
#ifndef PONTOON_TESTS_FUZZ_SEAT_H
#define PONTOON_TESTS_FUZZ_SEAT_H

#include "engine/reactor/internal.h"
#include "tests/harness/world.h"

enum {
    SEAT_FRAME_BYTES = 1400,
    SEAT_SEGMENT_BYTES = 64 << 10,
    SEAT_LOG_BYTES = 1 << 20,
    SEAT_PAYLOAD_BYTES_MAX = SEAT_SEGMENT_BYTES / 4,
    SEAT_RX_MAX = 32, // frames waiting for the reactor
    SEAT_TX_MAX = 64, // frames the reactor may hold
    SEAT_PORT = 7000,
};

#define SEAT_CLUSTER UINT64_C(0x1122334455667788)
#define SEAT_CLIENTS_NET UINT32_C(0x0A010000)

struct seat;

struct seat_options {
    enum raft_order order;
    uint16_t node;
    uint32_t nodes, groups;
    bool is_volatile;
    uint32_t disk_polls; // a request takes up to this many polls
    uint64_t disk_seed;
    uint64_t poll_ns; // a poll takes this long
    int (*app_open)(void *context, uint16_t group, struct app **app, char *reason,
                    size_t reason_bytes);
    void (*on_frame)(void *context, const struct net_frame *frame); // sent; may be NULL
    void *context;
};

struct seat {
    struct net net;     // first
    struct clock clock; // only we move it
    uint64_t now_ns;
    struct seat_options options;
    struct reactor *reactor; // NULL: down
    bool was_started;
    struct world_disk disk, checkpoint_disk;
    void *arena;
    struct net_frame rx[SEAT_RX_MAX];
    uint32_t rx_first, rx_count;   // ring
    uint32_t rx_out;               // received and not released
    uint8_t *tx_free[SEAT_TX_MAX]; // buffers
    uint32_t tx_free_count;
    uint32_t tx_room;    // frames the driver takes in the next poll
    uint32_t tx_buffers; // of SEAT_TX_MAX that may be out
    uint64_t tx_frames;
};

// A new cluster's node, bootstrapped and up; what was before is gone.
struct seat *seat_open(const struct seat_options *options);
void seat_close(struct seat *seat);

// A frame for the reactor; dropped when SEAT_RX_MAX wait already.
void seat_deliver(struct seat *seat, const struct net_endpoint *remote, const void *data,
                  uint32_t bytes);
struct net_endpoint seat_client(uint16_t number);
// Polls once; options.poll_ns pass. What is allocated meanwhile is counted (memory.h).
void seat_poll(struct seat *seat);
// Lets time pass, with a poll each millisecond.
void seat_pass(struct seat *seat, uint32_t milliseconds);

// The node is gone: power cut, or only the process.
void seat_crash(struct seat *seat, uint64_t seed, uint32_t keep_percent, bool is_power);
// Starts it again. 0, or reactor_open's error.
int seat_start(struct seat *seat, char *reason, size_t reason_bytes);

// That nothing is kept: frames, buffers, jobs, reads, waiting origins. When all is quiet.
void seat_check_leaks(const struct seat *seat);

#endif
