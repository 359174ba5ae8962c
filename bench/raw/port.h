// One end of a link, open in this process: bursts of mbufs in and out, over an ethdev or a UDP
// socket.
//
// The reference that Pontoon is held against, so it contains no part of Pontoon: DPDK's calls as
// they are, and the sockets behind the same two functions.
#ifndef PONTOON_BENCH_PORT_H
#define PONTOON_BENCH_PORT_H

#include "bench/raw/link.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

enum { PORT_BURST = 64 };

struct port {
    enum link_kind kind;
    uint16_t id; // ethdev; not for udp
    int fd;      // udp only
    struct rte_mempool *pool;
    struct rte_mbuf *spares[PORT_BURST]; // udp: mbufs the next datagrams are received into
    uint16_t spare_count;                // <= PORT_BURST; the others are NULL or handed out
};

// The frame of the raw benchmarks; the rest of it has no meaning.
struct port_frame {
    struct rte_ether_hdr header;
    uint16_t unused;
    uint32_t sequence; // chosen by the client, returned by everybody
};
#define PORT_ETHER_TYPE 0x88B5 // IEEE 802: local experimental
enum { PORT_FRAME_BYTES_MIN = 60, PORT_FRAME_BYTES_MAX = 1514 };

// Starts EAL in this process, pinned to these CPUs (one lcore each; cpu_count 1 or 2), with the
// devices of the ends. Result: the pool for its mbufs, NULL when that failed (EAL printed why).
struct rte_mempool *port_start_eal(const char *name, const unsigned *cpus, unsigned cpu_count,
                                   const struct link_end *const *ends, unsigned end_count,
                                   bool hugepages);

// Whether this many processes of a raw benchmark find hugepages.
bool port_hugepages_free(unsigned processes);

// Opens the port of an end. Result: false with a message on stderr.
bool port_open(struct port *port, const struct link_end *end, struct rte_mempool *pool);

// Makes an ethdev with one queue pair ready. Result: false with a message on stderr.
bool port_start_device(struct port *port, uint16_t id, struct rte_mempool *pool);

// Waits until the link is up; a memif client whose connection got lost is restarted meanwhile.
bool port_await_link(struct port *port, unsigned timeout_ms);

uint16_t port_receive_udp(struct port *port, struct rte_mbuf **frames, uint16_t count);
uint16_t port_send_udp(struct port *port, struct rte_mbuf **frames, uint16_t count);

static inline uint16_t port_receive(struct port *port, struct rte_mbuf **frames, uint16_t count)
{
    return port->kind == LINK_UDP ? port_receive_udp(port, frames, count)
                                  : rte_eth_rx_burst(port->id, 0, frames, count);
}

// Sends all of them, yielding while the other side is full. Result: how many were dropped in the
// end; none is left to the caller.
uint16_t port_send(struct port *port, struct rte_mbuf **frames, uint16_t count);

static inline bool port_is_ours(const struct rte_mbuf *frame)
{
    const struct port_frame *content = rte_pktmbuf_mtod(frame, const struct port_frame *);
    return frame->data_len >= sizeof(*content) &&
           content->header.ether_type == rte_cpu_to_be_16(PORT_ETHER_TYPE);
}

static inline uint32_t port_sequence(const struct rte_mbuf *frame)
{
    return rte_pktmbuf_mtod(frame, const struct port_frame *)->sequence;
}

// More polling processes than CPUs share them by yielding: pausing would cost the scheduler's time
// slice.
static inline void port_idle(void)
{
    sched_yield();
}

#endif
