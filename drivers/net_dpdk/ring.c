// Pairs of net_ring ports: two networks of one process, back to back through rte_rings.
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <rte_bus_vdev.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "drivers/net_dpdk/driver.h"

static atomic_uint rings_made; // makes names unique in the process

static void free_rings(struct rte_ring **rings, uint16_t count)
{
    for (uint16_t q = 0; q < count; q++) {
        rte_ring_free(rings[q]);
    }
}

static bool make_rings(struct rte_ring **rings, uint16_t count, uint32_t slots)
{
    for (uint16_t q = 0; q < count; q++) {
        char name[RTE_RING_NAMESIZE];
        snprintf(name, sizeof(name), "pontoon_r%u", atomic_fetch_add(&rings_made, 1));
        rings[q] = rte_ring_create(name, slots, (int)rte_socket_id(),
                                   RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
        if (rings[q] == NULL) {
            free_rings(rings, q);
            return false;
        }
    }
    return true;
}

int net_dpdk_ring_link(const char *name_a, const char *name_b, uint16_t queues, uint32_t slots,
                       struct eal_fault *fault)
{
    struct rte_ring *to_b[NET_DPDK_REACTORS_MAX], *to_a[NET_DPDK_REACTORS_MAX];
    if (queues == 0 || queues > NET_DPDK_REACTORS_MAX || !make_rings(to_b, queues, slots)) {
        snprintf(fault->cause, sizeof(fault->cause), "no rings for %s and %s: %s", name_a, name_b,
                 strerror(rte_errno));
        snprintf(fault->remedy, sizeof(fault->remedy),
                 "use 1 to %d queues, fewer slots, or more memory", NET_DPDK_REACTORS_MAX);
        return -ENOMEM;
    }
    bool made = make_rings(to_a, queues, slots);
    unsigned node = rte_socket_id();
    if (made && rte_eth_from_rings(name_a, to_a, queues, to_b, queues, node) >= 0 &&
        rte_eth_from_rings(name_b, to_b, queues, to_a, queues, node) >= 0) {
        return 0;
    }
    int error = eal_fail(fault, -EEXIST, "are the names in use already?",
                         "no ring ports %s and %s: %.120s", name_a, name_b, eal_last_error());
    net_dpdk_ring_unlink(name_a);
    free_rings(to_b, queues);
    if (made) {
        free_rings(to_a, queues);
    }
    return error;
}

void net_dpdk_ring_unlink(const char *name)
{
    char device[RTE_ETH_NAME_MAX_LEN];
    snprintf(device, sizeof(device), "net_ring_%s", name);
    rte_vdev_uninit(device);
}
