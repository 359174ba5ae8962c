// Sending: headers written in front of the payload, one tx_burst a run of frames of the same link.
#include <string.h>

#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "drivers/net_dpdk/driver.h"
#include "engine/base/assert.h"

// The neighbour's MAC for this destination. False: not known yet, it will be asked for.
static inline bool resolve(struct driver *driver, const struct link *link,
                           const struct net_endpoint *to, uint8_t mac[FRAME_MAC_BYTES])
{
    static const uint8_t none[FRAME_MAC_BYTES];
    if (memcmp(to->mac, none, sizeof(none)) != 0) {
        memcpy(mac, to->mac, FRAME_MAC_BYTES);
        return true;
    }
    if (link->device.point_to_point) {
        memset(mac, 0xff, FRAME_MAC_BYTES); // whoever is at the other end is meant
        return true;
    }
    if (likely(arp_lookup(&driver->arp, to->link, to->ipv4, mac))) {
        return true;
    }
    arp_wish(&driver->arp, to->link, to->ipv4);
    return false;
}

static void ask_device_for_checksums(struct rte_mbuf *mbuf, uint8_t *header)
{
    struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(header + FRAME_ETHERNET_BYTES);
    struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);
    mbuf->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_UDP_CKSUM;
    mbuf->l2_len = FRAME_ETHERNET_BYTES;
    mbuf->l3_len = FRAME_IPV4_BYTES;
    mbuf->l4_len = FRAME_UDP_BYTES;
    ip->hdr_checksum = 0;
    udp->dgram_cksum = rte_ipv4_phdr_cksum(ip, mbuf->ol_flags);
}

// Makes `frame` a packet to `mac`. Idempotent: a frame that was refused goes through here again.
static inline struct rte_mbuf *finish(const struct link *link, const struct net_frame *frame,
                                      const uint8_t mac[FRAME_MAC_BYTES])
{
    ASSERT_CMP(frame->bytes, <=, link->frame_bytes);
    struct rte_mbuf *mbuf = frame->cookie;
    struct frame_destination to = {.udp_port = frame->remote.udp_port,
                                   .local_port = frame->remote.local_port,
                                   .ipv4 = frame->remote.ipv4};
    memcpy(to.mac, mac, sizeof(to.mac));
    frame_build(&link->template, &to, frame->data, frame->bytes);
    uint8_t *header = frame->data - FRAME_HEADER_BYTES;
    mbuf->data_off = (uint16_t)(header - (uint8_t *)mbuf->buf_addr);
    mbuf->data_len = (uint16_t)(frame->bytes + FRAME_HEADER_BYTES);
    mbuf->pkt_len = mbuf->data_len;
    mbuf->ol_flags = 0;
    if (link->device.fills_checksums) {
        ask_device_for_checksums(mbuf, header);
    }
    return mbuf;
}

// How many of mbufs[0..count) went on their way.
static uint16_t transmit(struct view *view, struct link *link, struct rte_mbuf **mbufs,
                         uint16_t count)
{
    struct rte_ring *outbox = link->outbox[view->id];
    if (outbox == NULL) {
        return rte_eth_tx_burst(link->device.port, driver_queue(link, view), mbufs, count);
    }
    return (uint16_t)rte_ring_sp_enqueue_burst(outbox, (void **)mbufs, count, NULL);
}

static inline bool is_up(const struct link *link)
{
    return atomic_load_explicit(&link->up, memory_order_relaxed);
}

// Sends a run of finished frames of one link. A link that is down loses them, as a wire would: were
// they refused, they would block the frames of all other links behind them.
static uint16_t send_run(struct view *view, struct link *link, struct rte_mbuf **mbufs,
                         uint16_t count)
{
    if (likely(is_up(link))) {
        uint32_t bytes = 0;
        for (uint16_t i = 0; i < count; i++) {
            bytes += mbufs[i]->data_len;
        }
        uint16_t sent = transmit(view, link, mbufs, count);
        for (uint16_t i = sent; i < count; i++) {
            bytes -= mbufs[i]->data_len;
        }
        view->counters.tx_frames += sent;
        view->counters.tx_bytes += bytes - (uint32_t)sent * FRAME_HEADER_BYTES;
        if (sent > 0 || link->outbox[view->id] != NULL || device_is_up(&link->device)) {
            return sent;
        }
    }
    rte_pktmbuf_free_bulk(mbufs, count);
    view->counters.tx_link_down += count;
    return count;
}

// A run: neighbours in frames[0..count) that go out by the same link and whose next hop is known.
// Result: its length.
static uint16_t gather_run(struct view *view, const struct net_frame *frames, uint32_t count,
                           struct rte_mbuf **mbufs)
{
    uint16_t index = frames[0].remote.link, length = 0;
    ASSERT_CMP(index, <, view->driver->link_count);
    struct link *link = &view->driver->links[index];
    uint8_t mac[FRAME_MAC_BYTES];
    while (length < count && length < BURST_MAX && frames[length].remote.link == index &&
           resolve(view->driver, link, &frames[length].remote, mac)) {
        mbufs[length] = finish(link, &frames[length], mac);
        length++;
    }
    return length;
}

uint32_t send_frames(struct net *net, struct net_frame *frames, uint32_t count)
{
    struct view *view = (struct view *)net;
    struct rte_mbuf *mbufs[BURST_MAX];
    uint32_t done = 0;
    if (unlikely(!driver_enter(view))) {
        view->counters.tx_refused += count;
        return 0;
    }
    while (done < count) {
        uint16_t length = gather_run(view, frames + done, count - done, mbufs);
        if (length == 0) {
            rte_pktmbuf_free(frames[done].cookie);
            view->counters.tx_unresolved++;
            done++;
            continue;
        }
        uint16_t sent =
            send_run(view, &view->driver->links[frames[done].remote.link], mbufs, length);
        done += sent;
        if (sent < length) {
            view->counters.tx_refused += count - done;
            break;
        }
    }
    driver_leave(view);
    return done;
}

void send_mbuf(struct view *view, uint16_t link, struct rte_mbuf *mbuf)
{
    if (transmit(view, &view->driver->links[link], &mbuf, 1) == 0) {
        rte_pktmbuf_free(mbuf);
    }
}

static void send_outbox(struct link *link, uint16_t from)
{
    struct leftover *left = &link->leftover[from];
    if (left->at == left->count) {
        left->at = 0;
        left->count = (uint16_t)rte_ring_sc_dequeue_burst(link->outbox[from], (void **)left->mbufs,
                                                          OUTBOX_BURST, NULL);
    }
    if (left->at == left->count) {
        return;
    }
    uint16_t waiting = (uint16_t)(left->count - left->at);
    uint16_t sent = 0;
    if (is_up(link)) {
        sent = rte_eth_tx_burst(link->device.port, 0, left->mbufs + left->at, waiting);
    }
    if (sent == 0 && !device_is_up(&link->device)) {
        rte_pktmbuf_free_bulk(left->mbufs + left->at, waiting);
        sent = waiting;
    }
    left->at = (uint16_t)(left->at + sent);
}

void send_outboxes(struct view *view)
{
    struct driver *driver = view->driver;
    for (uint16_t l = 0; l < driver->link_count; l++) {
        struct link *link = &driver->links[l];
        for (uint16_t from = 0; link->owner == view->id && from < driver->view_count; from++) {
            if (link->outbox[from] != NULL) {
                send_outbox(link, from);
            }
        }
    }
}
