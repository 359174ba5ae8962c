// Receiving: bursts from the view's queues, headers checked, everything that is not a datagram for
// us answered or dropped.
#include <string.h>

#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "drivers/net_dpdk/driver.h"
#include "engine/base/assert.h"

enum { PREFETCH_AHEAD = 4 };

static unsigned verified_by_device(const struct rte_mbuf *mbuf)
{
    unsigned verified = 0;
    if ((mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD) {
        verified |= FRAME_IP_VERIFIED;
    }
    if ((mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD) {
        verified |= FRAME_UDP_VERIFIED;
    }
    return verified;
}

static void fill(const struct view *view, uint16_t link, struct rte_mbuf *mbuf,
                 const struct frame_info *info, struct net_frame *frame)
{
    uint8_t *data = rte_pktmbuf_mtod(mbuf, uint8_t *);
    frame->data = data + FRAME_HEADER_BYTES;
    frame->bytes = info->payload_bytes;
    frame->capacity = view->driver->links[link].frame_bytes;
    frame->remote.ipv4 = info->ipv4;
    frame->remote.udp_port = info->udp_port;
    frame->remote.link = link;
    frame->remote.local_port = info->local_port;
    memcpy(frame->remote.mac, data + FRAME_MAC_BYTES, FRAME_MAC_BYTES);
    frame->cookie = mbuf;
}

static void answer_arp(struct view *view, uint16_t index, struct rte_mbuf *mbuf)
{
    struct link *link = &view->driver->links[index];
    bool valid;
    bool answer = arp_on_packet(&view->driver->arp, index, link->receiver.ipv4, link->device.mac,
                                view->now_ns, rte_pktmbuf_mtod(mbuf, uint8_t *),
                                rte_pktmbuf_data_len(mbuf), &valid);
    view->counters.rx_malformed += !valid;
    if (!answer) {
        rte_pktmbuf_free(mbuf);
        return;
    }
    mbuf->data_len = ARP_PACKET_BYTES;
    mbuf->pkt_len = ARP_PACKET_BYTES;
    mbuf->ol_flags = 0;
    send_mbuf(view, index, mbuf);
}

// The few frames that are no datagram for us.
static void on_other(struct view *view, uint16_t link, struct rte_mbuf *mbuf, enum frame_kind kind)
{
    switch (kind) {
    case FRAME_ARP:
        answer_arp(view, link, mbuf);
        break;
    case FRAME_ICMP_ECHO:
        frame_echo_reply(rte_pktmbuf_mtod(mbuf, uint8_t *), view->driver->links[link].device.mac);
        mbuf->ol_flags = 0;
        send_mbuf(view, link, mbuf);
        break;
    case FRAME_MALFORMED:
    case FRAME_DATAGRAM:
        view->counters.rx_malformed++;
        rte_pktmbuf_free(mbuf);
        break;
    }
}

static void hand_over(struct view *view, uint16_t link, struct rte_mbuf *mbuf, uint16_t to)
{
    mbuf->port = link; // our link's number travels where DPDK keeps its port's
    if (rte_ring_sp_enqueue(view->driver->views[to].inbox[view->id], mbuf) == 0) {
        view->counters.handed_over++;
    } else {
        view->counters.rx_no_buffer++;
        rte_pktmbuf_free(mbuf);
    }
}

// Which view a datagram belongs to.
static inline uint16_t view_of(const struct driver *driver, const struct link *link,
                               const struct frame_info *info)
{
    return (uint16_t)((uint32_t)(info->local_port - link->receiver.udp_port) % driver->view_count);
}

static uint32_t receive_link(struct view *view, uint16_t index, struct net_frame *frames,
                             uint32_t max)
{
    struct driver *driver = view->driver;
    struct link *link = &driver->links[index];
    struct rte_mbuf *mbufs[BURST_MAX];
    uint16_t burst = (uint16_t)RTE_MIN(max, (uint32_t)BURST_MAX);
    uint16_t got = rte_eth_rx_burst(link->device.port, driver_queue(link, view), mbufs, burst);
    uint32_t count = 0;
    for (uint16_t i = 0; i < RTE_MIN(got, (uint16_t)PREFETCH_AHEAD); i++) {
        rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void *));
    }
    for (uint16_t i = 0; i < got; i++) {
        struct rte_mbuf *mbuf = mbufs[i];
        if (i + PREFETCH_AHEAD < got) {
            rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + PREFETCH_AHEAD], void *));
        }
        struct frame_info info;
        enum frame_kind kind = FRAME_MALFORMED;
        if (likely(mbuf->nb_segs == 1) || rte_pktmbuf_linearize(mbuf) == 0) {
            kind = frame_parse(&link->receiver, rte_pktmbuf_mtod(mbuf, uint8_t *),
                               rte_pktmbuf_data_len(mbuf), verified_by_device(mbuf), &info);
        }
        if (unlikely(kind != FRAME_DATAGRAM) || unlikely(info.payload_bytes > link->frame_bytes)) {
            on_other(view, index, mbuf, kind);
        } else if (driver->view_count > 1 && view_of(driver, link, &info) != view->id) {
            hand_over(view, index, mbuf, view_of(driver, link, &info));
        } else {
            fill(view, index, mbuf, &info, &frames[count++]);
            view->counters.rx_bytes += info.payload_bytes;
        }
    }
    return count;
}

// Frames that other views have received for us. Their headers were checked there.
static uint32_t receive_inboxes(struct view *view, struct net_frame *frames, uint32_t max)
{
    struct driver *driver = view->driver;
    void *mbufs[BURST_MAX];
    uint32_t count = 0;
    for (uint16_t from = 0; from < driver->view_count && count < max; from++) {
        if (view->inbox[from] == NULL) {
            continue;
        }
        uint32_t got = rte_ring_sc_dequeue_burst(view->inbox[from], mbufs,
                                                 RTE_MIN(max - count, (uint32_t)BURST_MAX), NULL);
        for (uint32_t i = 0; i < got; i++) {
            struct rte_mbuf *mbuf = mbufs[i];
            uint16_t link = mbuf->port;
            struct frame_info info;
            enum frame_kind kind = frame_parse(
                &driver->links[link].receiver, rte_pktmbuf_mtod(mbuf, uint8_t *),
                rte_pktmbuf_data_len(mbuf), FRAME_IP_VERIFIED | FRAME_UDP_VERIFIED, &info);
            ASSERT(kind == FRAME_DATAGRAM);
            fill(view, link, mbuf, &info, &frames[count++]);
            view->counters.rx_bytes += info.payload_bytes;
        }
    }
    return count;
}

uint32_t receive_frames(struct net *net, struct net_frame *frames, uint32_t max)
{
    struct view *view = (struct view *)net;
    if (unlikely(!view->thread_known)) {
        // An EAL thread has per-thread caches of buffers; without them all works, slower.
        if (rte_lcore_id() == LCORE_ID_ANY) {
            rte_thread_register();
        }
        view->thread_known = true;
    }
    if (unlikely(!driver_enter(view))) {
        return 0;
    }
    uint32_t count = view->driver->view_count > 1 ? receive_inboxes(view, frames, max) : 0;
    // Each call starts at another link, so that a busy one cannot keep the others waiting for ever.
    uint16_t at = view->next_source;
    for (uint16_t step = 0; step < view->source_count && count < max; step++) {
        uint16_t link = view->sources[at];
        at = (uint16_t)(at + 1 == view->source_count ? 0 : at + 1);
        if (atomic_load_explicit(&view->driver->links[link].up, memory_order_relaxed)) {
            count += receive_link(view, link, frames + count, max - count);
        }
    }
    view->next_source =
        (uint16_t)(view->next_source + 1 >= view->source_count ? 0 : view->next_source + 1);
    driver_leave(view);
    view->counters.rx_frames += count;
    return count;
}
