// Two nodes face to face over one driver, in one process: what the contract suite runs against.
//
//     ring        net_dpdk over net_ring            udp           net_udp on 127.77.0.1 and .2
//     memif       net_dpdk over net_memif           impair-udp    net_impair without rules around
//     udp af_packet   net_dpdk over a veth pair         impair-ring   the same around ring af_xdp
//     the same
//
// and sim: the simulator's network, in virtual time: each poll of the pair lets the next thing
// happen. veth pairs live in a network namespace of the process's own and end with it.
#ifndef PONTOON_TESTS_NET_PAIR_H
#define PONTOON_TESTS_NET_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drivers/net_udp/clock_monotonic.h"
#include "engine/driver_api/net.h"

enum {
    PAIR_REACTORS_MAX = 2,
    PAIR_PORT = 7700,
    PAIR_BUFFERS = 2048,
    PAIR_SLOTS = 256,
    PAIR_SKIPPED = 77
};

struct sim;

#define PAIR_ADDRESS_A UINT32_C(0x7f4d0001) // 127.77.0.1, node 1
#define PAIR_ADDRESS_B UINT32_C(0x7f4d0002) // 127.77.0.2, node 2

struct pair {
    struct net *a[PAIR_REACTORS_MAX], *b[PAIR_REACTORS_MAX];
    struct net *inner_a[PAIR_REACTORS_MAX],
        *inner_b[PAIR_REACTORS_MAX]; // what is wrapped, or the same
    struct clock_monotonic clock;
    struct sim *world; // sim, else NULL
    uint32_t ipv4_a, ipv4_b;
    uint16_t udp_port; // of class 0
    uint32_t reactors;
    uint32_t frame_bytes;
    bool is_dpdk; // the inner driver
    bool is_impaired;
    bool point_to_point;
    char port_b[64]; // ethdev of b (is_dpdk)
};

// Once a process, before anything else: privileges, namespace, EAL. False: this machine cannot;
// `why` says why.
bool pair_prepare(const char *kind, char *why, size_t why_bytes);

// Opens both nodes and waits until the link is up and both are located. Fails the running case when
// it is not in time.
void pair_open(struct pair *pair, const char *kind, uint32_t reactors);
void pair_close(struct pair *pair);

// Housekeeping of all views.
void pair_poll(struct pair *pair);

// Polls until `count` datagrams came in at net (or a second passed). Result: how many are in
// frames.
uint32_t pair_receive(struct pair *pair, struct net *net, struct net_frame *frames, uint32_t count);

// Free and all buffers of the driver under `net`.
uint32_t pair_buffers_free(const struct pair *pair, const struct net *net);
uint32_t pair_buffers_total(const struct pair *pair, const struct net *net);

// A raw Ethernet frame from b's device to a, behind the driver's back (is_dpdk).
bool pair_inject(struct pair *pair, const uint8_t *data, uint32_t bytes);

// The next raw frame that b's device receives (is_dpdk), within a second. Result: its length, 0:
// none came.
uint32_t pair_capture(struct pair *pair, uint8_t *data, uint32_t capacity);

#endif
