// struct net over DPDK ports: any Ethernet device that DPDK drives, real or virtual.
//
// Opening starts EAL if nobody has (eal.h), creates the links' devices (device.h lists how they are
// named), and hands out one view a reactor. A thread that is unknown to EAL is registered with it
// at its first receive().
//
//     uint64_t t = ...; struct clock_tsc clock;          the time given to poll() must be one clock
//     for all views net_dpdk_open(&config, &eal_options, views, reason, sizeof(reason));   reason:
//     "cause; remedy" clock_tsc_init(&clock);
//
// Nodes of one process are connected by net_dpdk_ring_link before their networks are opened.
#ifndef PONTOON_NET_DPDK_H
#define PONTOON_NET_DPDK_H

#include <stddef.h>

#include "drivers/net_dpdk/clock_tsc.h"
#include "drivers/net_dpdk/eal.h"
#include "engine/driver_api/net.h"

enum { NET_DPDK_REACTORS_MAX = 16, NET_DPDK_BUFFERS_MIN = 512 };

// Memory that a network of this configuration needs from EAL.
uint32_t net_dpdk_memory_mib(const struct net_config *config);

// MiB of memif's rings beside that, when all of their slots were used once: each is shared with the
// peer at its other end.
uint32_t net_dpdk_shared_mib(const struct net_config *config);

// Opens config->reactors views. eal: how to start EAL where it is not up; NULL: defaults. 0 or
// -errno, then `reason` holds "cause; remedy" and nothing is left open. The last view closed closes
// the driver; EAL stays up (eal_stop).
int net_dpdk_open(const struct net_config *config, const struct eal_options *eal,
                  struct net **views, char *reason, size_t reason_bytes);

// Connects devices "net_ring:NAME_A" and "net_ring:NAME_B" of this process back to back, `queues`
// queue pairs (one a reactor) of `slots` frames (power of two) each. EAL must be up. 0 or -errno
// with *fault filled.
int net_dpdk_ring_link(const char *name_a, const char *name_b, uint16_t queues, uint32_t slots,
                       struct eal_fault *fault);

// Removes one end's device; its rings go with the second end. Networks using them are closed
// before.
void net_dpdk_ring_unlink(const char *name);

// Free buffers in all pools of the view's driver, and how many there are: for tests of leaks and
// for status. Not cheap.
uint32_t net_dpdk_buffers_free(const struct net *net);
uint32_t net_dpdk_buffers_total(const struct net *net);

// Takes a link of the view's driver down (false) or up again, as an operator would: for tests and
// drills.
int net_dpdk_set_link(struct net *net, uint16_t link, bool up);

#endif
