// Packet buffers of one driver: a pool for what arrives, one for peers, one for clients.
//
// Three pools, so that no flood of clients can take what peers need (contract point 5): received
// frames come from `rx`, frames to peers from `peer` and only then from `client`, frames to clients
// from `client` alone.
//
//     config.buffers = rx 1/2 + peer 1/4 + client 1/4
#ifndef PONTOON_NET_DPDK_POOLS_H
#define PONTOON_NET_DPDK_POOLS_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/net_dpdk/eal.h"

struct rte_mempool;

// Kernel devices insist on buffers that hold their own slots, however small our frames are.
enum { POOLS_KERNEL_MBUF_BYTES = 2048, POOLS_XDP_BUFFERS = 4096 };

struct pools {
    struct rte_mempool *rx, *peer, *client;
    uint32_t buffers; // in all three
};

// Room for a received frame of `frame_bytes` payload: a whole number of cache lines, as memif's
// slots.
uint32_t pools_mbuf_bytes(uint32_t frame_bytes);

// Memory that `buffers` buffers take. On ordinary pages it is more: no buffer lies across two of
// them, so what one cannot hold another of is lost.
uint32_t pools_memory_mib(uint32_t buffers, uint32_t mbuf_bytes, bool is_ordinary);

int pools_open(struct pools *pools, uint32_t buffers, uint32_t mbuf_bytes, struct eal_fault *fault);

// Frees the pools. One that has buffers under way in a net_ring of this process is kept until they
// are back: it is looked at again by each later pools_close.
void pools_close(struct pools *pools);

uint32_t pools_free(const struct pools *pools);

// One pool more, for a device that must have its own; and its end, under the rule of pools_close.
// NULL: no memory.
struct rte_mempool *pools_make(uint32_t buffers, uint32_t mbuf_bytes);
void pools_drop(struct rte_mempool *pool);

#endif
