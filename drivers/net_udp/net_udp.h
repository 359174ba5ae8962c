// struct net over non-blocking kernel UDP sockets that are polled: the baseline that shows what
// bypassing the kernel is worth, and the fallback where no DPDK driver serves. No DPDK in it.
//
// A link is one of this machine's addresses; its device string is not used. Every class has a
// socket of its own, bound to (link's address, udp_port + class), because a datagram's source port
// must be its class's port.
#ifndef PONTOON_NET_UDP_H
#define PONTOON_NET_UDP_H

#include <stddef.h>

#include "engine/driver_api/net.h"

enum { NET_UDP_REACTORS_MAX = 16, NET_UDP_BUFFERS_MIN = 512 };

// Opens config->reactors views with sockets for the classes [0, classes): min(64, groups) is
// enough. A view with one or two sockets reads them directly; with more it asks epoll which are
// ready. 0 or -errno, then `reason` says why ("cause; remedy").
int net_udp_open(const struct net_config *config, uint32_t classes, struct net **views,
                 char *reason, size_t reason_bytes);

// Free buffers of one view, those that wait in its receive vector included; and how many it has.
uint32_t net_udp_buffers_free(const struct net *net);
uint32_t net_udp_buffers_total(const struct net *net);

#endif
