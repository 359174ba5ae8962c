// Point-to-point links between the processes of a raw benchmark. The parent makes them before it
// forks; each child opens its ends as ports (port.h).
#ifndef PONTOON_BENCH_LINK_H
#define PONTOON_BENCH_LINK_H

#include <stdbool.h>

enum link_kind {
    LINK_MEMIF,     // shared memory between two processes
    LINK_AF_PACKET, // packet sockets on a veth pair: the path through the kernel's network device
    LINK_UDP,       // polled kernel sockets on loopback: what a program without DPDK would use
    LINK_RING       // rings inside one process
};

enum { LINKS_MAX = 4, LINK_DEVICE_BYTES = 32, LINK_ARGUMENT_BYTES = 128 };

// Words for --link, in the order of enum link_kind, up to the one named.
extern const char *const link_names_to_udp[];
extern const char *const link_names_to_ring[];

struct link_end {
    enum link_kind kind;
    char device[LINK_DEVICE_BYTES];     // EAL's name of the port; empty for udp and ring
    char argument[LINK_ARGUMENT_BYTES]; // what EAL needs after --vdev; empty for udp and ring
    int fd;                             // udp: the connected socket; else -1
};

struct link {
    struct link_end server; // must be open before
    struct link_end client; // this one is opened
};

// Makes `count` links of a kind; af_packet moves the process into a namespace of its own first.
// ring needs nothing. Result: false with one line on stderr.
bool link_make(struct link *links, unsigned count, enum link_kind kind);

#endif
