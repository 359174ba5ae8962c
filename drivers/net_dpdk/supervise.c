// Housekeeping of the links that a view owns: are they up, is an ARP question due. Reconnecting is
// control.c's affair.
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "drivers/net_dpdk/driver.h"

#define LOOK_EVERY_NS UINT64_C(2000000)

enum { QUESTIONS_A_POLL = 8 };

static void ask(struct view *view, uint16_t index, uint32_t ipv4)
{
    struct link *link = &view->driver->links[index];
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(view->driver->pools.peer);
    if (mbuf == NULL) {
        return; // asked again later
    }
    arp_build_question(rte_pktmbuf_mtod(mbuf, uint8_t *), link->device.mac, link->receiver.ipv4,
                       ipv4);
    mbuf->data_len = ARP_PACKET_BYTES;
    mbuf->pkt_len = ARP_PACKET_BYTES;
    send_mbuf(view, index, mbuf);
}

static void look_at(struct view *view, uint16_t index)
{
    struct link *link = &view->driver->links[index];
    bool was_up = atomic_load_explicit(&link->up, memory_order_relaxed);
    bool is_up = device_is_up(&link->device);
    if (is_up != was_up) {
        atomic_store_explicit(&link->up, is_up, memory_order_relaxed);
        view->counters.link_flaps += was_up;
        if (is_up && !link->device.point_to_point) {
            ask(view, index, link->receiver.ipv4); // announces us to everybody's ARP table
        }
    }
}

void supervise_poll(struct view *view, uint64_t now_ns)
{
    struct driver *driver = view->driver;
    if (view->id == 0) {
        struct arp_question question;
        for (int i = 0; i < QUESTIONS_A_POLL && arp_due(&driver->arp, now_ns, &question); i++) {
            ask(view, question.link, question.ipv4);
        }
    }
    if (now_ns < view->supervise_ns) {
        return;
    }
    view->supervise_ns = now_ns + LOOK_EVERY_NS;
    for (uint16_t l = 0; l < driver->link_count; l++) {
        if (driver->links[l].owner == view->id) {
            look_at(view, l);
        }
    }
}
