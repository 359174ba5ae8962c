// What the files of net_dpdk share: one driver (all links of a node) and its views (one a reactor).
//
// Who touches what
//   driver, links[]   written at open; afterwards only the atomics, and supervision by the link's
//   owner view              its reactor alone inbox, outbox     single producer, single consumer
//   rings between two views
//
// A device with a queue pair a reactor is used by every view. On one with fewer, queue 0 belongs to
// one view, the link's owner (links are dealt out in turn); the others send through their outbox,
// which the owner empties in poll(). Whichever view a frame arrives at, it is passed to the view of
// its class through that view's inbox.
#ifndef PONTOON_NET_DPDK_DRIVER_H
#define PONTOON_NET_DPDK_DRIVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>

#include "drivers/net_dpdk/arp.h"
#include "drivers/net_dpdk/control.h"
#include "drivers/net_dpdk/device.h"
#include "drivers/net_dpdk/frame.h"
#include "drivers/net_dpdk/net_dpdk.h"
#include "drivers/net_dpdk/pools.h"

struct rte_mbuf;
struct rte_ring;

enum { BURST_MAX = 64, HANDOVER_SLOTS = 1024, OUTBOX_BURST = 32 };

// Frames taken from an outbox that the device had no room for yet.
struct leftover {
    struct rte_mbuf *mbufs[OUTBOX_BURST];
    uint16_t at, count; // mbufs[at..count) wait
};

struct link {
    struct device device;
    struct rte_mempool *own_pool; // of what arrives; NULL: the driver's
    struct frame_receiver receiver;
    struct frame_template template;
    uint16_t frame_bytes;
    uint16_t owner;        // view that supervises, and has queue 0 if there is one queue
    atomic_bool up;        // as last seen by the owner
    atomic_bool held_down; // by net_dpdk_set_link
    uint64_t retry_ns; // control.c: when a memif client that is down is started again, 0: not set
    bool was_up;       // control.c: since its port was last started
    struct rte_ring
        *outbox[NET_DPDK_REACTORS_MAX]; // by sending view; NULL where it has a queue of its own
    struct leftover leftover[NET_DPDK_REACTORS_MAX]; // owner's
} __rte_cache_aligned;

struct driver;

struct view {
    struct net net; // first
    struct driver *driver;
    uint16_t id;
    atomic_bool in_burst; // the reactor may be inside a device; pairs with control_gate_closed
    bool thread_known;    // to EAL
    uint16_t sources[NET_LINKS_MAX]; // links this view receives from
    uint16_t source_count, next_source;
    uint64_t now_ns;                               // of the last poll()
    uint64_t supervise_ns;                         // when to look at the links again
    struct rte_ring *inbox[NET_DPDK_REACTORS_MAX]; // by sending view; NULL: its own
    struct net_counters counters;
} __rte_cache_aligned;

struct driver {
    struct net_config config;
    struct link links[NET_LINKS_MAX];
    struct view views[NET_DPDK_REACTORS_MAX];
    uint16_t link_count, view_count;
    atomic_uint views_open;
    bool has_memif;
    struct pools pools;
    struct arp_table arp;
};

// Before anything is done with a device. False: the gate is closed, nothing may be done.
static inline bool driver_enter(struct view *view)
{
    atomic_store_explicit(&view->in_burst, true, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst); // the keeper's membarrier makes a full fence of it
    if (likely(!atomic_load_explicit(&control_gate_closed, memory_order_acquire))) {
        return true;
    }
    atomic_store_explicit(&view->in_burst, false, memory_order_release);
    return false;
}

static inline void driver_leave(struct view *view)
{
    atomic_store_explicit(&view->in_burst, false, memory_order_release);
}

static inline uint16_t driver_queue(const struct link *link, const struct view *view)
{
    return link->device.queues > 1 ? view->id : 0;
}

uint32_t receive_frames(struct net *net, struct net_frame *frames, uint32_t max);
uint32_t send_frames(struct net *net, struct net_frame *frames, uint32_t count);

// Sends a finished frame by the view's way on that link, or frees it.
void send_mbuf(struct view *view, uint16_t link, struct rte_mbuf *mbuf);

// Empties the outboxes of the links that this view owns.
void send_outboxes(struct view *view);

// Link supervision, ARP questions: what poll() does besides the outboxes.
void supervise_poll(struct view *view, uint64_t now_ns);

#endif
