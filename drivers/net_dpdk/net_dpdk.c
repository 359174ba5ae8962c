// Opening and closing a driver, and the small operations of a view.
#include "drivers/net_dpdk/net_dpdk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "drivers/net_dpdk/driver.h"
#include "engine/base/assert.h"

static struct view *view_from(const struct net *net)
{
    return (struct view *)(uintptr_t)net;
}

static void release(struct net *net, struct net_frame *frames, uint32_t count)
{
    (void)net;
    struct rte_mbuf *mbufs[BURST_MAX];
    for (uint32_t done = 0; done < count;) {
        uint32_t burst = RTE_MIN(count - done, (uint32_t)BURST_MAX);
        for (uint32_t i = 0; i < burst; i++) {
            mbufs[i] = frames[done + i].cookie;
        }
        rte_pktmbuf_free_bulk(mbufs, burst);
        done += burst;
    }
}

// As many buffers of `pool` as it has, up to `count`.
static uint32_t take(struct rte_mempool *pool, struct rte_mbuf **mbufs, uint32_t count)
{
    for (uint32_t burst = count; burst > 0; burst /= 2) {
        if (rte_pktmbuf_alloc_bulk(pool, mbufs, burst) == 0) {
            return burst;
        }
    }
    return 0;
}

static uint32_t acquire(struct net *net, uint16_t link, enum net_use use, struct net_frame *frames,
                        uint32_t count)
{
    struct view *view = view_from(net);
    const struct pools *pools = &view->driver->pools;
    struct rte_mempool *pool = use == NET_USE_PEER ? pools->peer : pools->client;
    struct rte_mbuf *mbufs[BURST_MAX];
    uint16_t frame_bytes = view->driver->links[link].frame_bytes;
    uint32_t done = 0;
    while (done < count) {
        uint32_t burst = take(pool, mbufs, RTE_MIN(count - done, (uint32_t)BURST_MAX));
        if (burst == 0 && pool == pools->client) {
            view->counters.tx_no_buffer++;
            break;
        }
        if (burst == 0) {
            pool = pools->client;
        }
        for (uint32_t i = 0; i < burst; i++) {
            struct net_frame *frame = &frames[done + i];
            frame->data = (uint8_t *)mbufs[i]->buf_addr + RTE_PKTMBUF_HEADROOM;
            frame->bytes = 0;
            frame->capacity = frame_bytes;
            frame->cookie = mbufs[i];
        }
        done += burst;
    }
    return done;
}

static bool locate(struct net *net, uint16_t node_id, uint8_t class, struct net_endpoint *endpoint)
{
    struct driver *driver = view_from(net)->driver;
    for (uint32_t i = 0; i < driver->config.peer_count; i++) {
        const struct net_peer_config *peer = &driver->config.peers[i];
        if (peer->node_id != node_id) {
            continue;
        }
        uint16_t port = (uint16_t)(driver->config.udp_port + class);
        *endpoint = (struct net_endpoint){
            .ipv4 = peer->ipv4, .udp_port = port, .link = peer->link, .local_port = port};
        return driver->links[peer->link].device.point_to_point ||
               arp_lookup(&driver->arp, peer->link, peer->ipv4, endpoint->mac);
    }
    return false;
}

static void poll(struct net *net, uint64_t now_ns)
{
    struct view *view = view_from(net);
    view->now_ns = now_ns;
    if (!driver_enter(view)) {
        return;
    }
    if (view->driver->view_count > 1) {
        send_outboxes(view);
    }
    supervise_poll(view, now_ns);
    driver_leave(view);
}

static bool link_up(struct net *net, uint16_t link)
{
    return atomic_load_explicit(&view_from(net)->driver->links[link].up, memory_order_relaxed);
}

static uint32_t frame_bytes_of(struct net *net, uint16_t link)
{
    return view_from(net)->driver->links[link].frame_bytes;
}

static void counters(struct net *net, struct net_counters *out)
{
    struct view *view = view_from(net);
    *out = view->counters;
    for (uint16_t l = 0; l < view->driver->link_count; l++) {
        struct rte_eth_stats stats;
        if (view->driver->links[l].owner == view->id &&
            rte_eth_stats_get(view->driver->links[l].device.port, &stats) == 0) {
            out->rx_no_buffer += stats.rx_nombuf;
        }
    }
}

static void close_rings(struct driver *driver);

static void driver_close(struct driver *driver)
{
    control_begin();
    for (uint16_t l = 0; l < driver->link_count; l++) {
        driver->links[l].held_down = true;
        device_close(&driver->links[l].device);
    }
    control_end();
    control_leave(driver);
    close_rings(driver);
    for (uint16_t l = 0; l < driver->link_count; l++) {
        pools_drop(driver->links[l].own_pool);
    }
    pools_close(&driver->pools);
    rte_free(driver);
}

static void close_view(struct net *net)
{
    struct driver *driver = view_from(net)->driver;
    if (atomic_fetch_sub(&driver->views_open, 1) == 1) {
        driver_close(driver);
    }
}

static const struct net_ops net_dpdk_ops = {
    .name = "dpdk",
    .receive = receive_frames,
    .release = release,
    .acquire = acquire,
    .send = send_frames,
    .locate = locate,
    .poll = poll,
    .link_up = link_up,
    .frame_bytes = frame_bytes_of,
    .counters = counters,
    .close = close_view,
};

static void drain(struct rte_ring *ring)
{
    void *mbuf;
    if (ring == NULL) {
        return;
    }
    while (rte_ring_dequeue(ring, &mbuf) == 0) {
        rte_pktmbuf_free(mbuf);
    }
    rte_free(ring);
}

static void close_rings(struct driver *driver)
{
    for (uint16_t v = 0; v < driver->view_count; v++) {
        for (uint16_t from = 0; from < driver->view_count; from++) {
            drain(driver->views[v].inbox[from]);
        }
        for (uint16_t l = 0; l < driver->link_count; l++) {
            struct leftover *left = &driver->links[l].leftover[v];
            rte_pktmbuf_free_bulk(left->mbufs + left->at, (unsigned)(left->count - left->at));
            drain(driver->links[l].outbox[v]);
        }
    }
}

static struct rte_ring *make_handover_ring(void)
{
    ssize_t bytes = rte_ring_get_memsize(HANDOVER_SLOTS);
    struct rte_ring *ring = rte_zmalloc("handover", (size_t)bytes, RTE_CACHE_LINE_SIZE);
    if (ring != NULL) {
        rte_ring_init(ring, "handover", HANDOVER_SLOTS, RING_F_SP_ENQ | RING_F_SC_DEQ);
    }
    return ring;
}

static int check_link(const struct net_link_config *link, struct eal_fault *fault)
{
    if (link->device[0] == '\0' || memchr(link->device, '\0', sizeof(link->device)) == NULL) {
        return eal_fail(fault, -EINVAL, "set the link's device", "a link has no device");
    }
    if (link->frame_bytes < NET_FRAME_BYTES_MIN || link->frame_bytes > NET_FRAME_BYTES_MAX) {
        return eal_fail(fault, -EINVAL, "use 534 to 9000", "a link's frame_bytes is out of range");
    }
    return 0;
}

static int check_config(const struct net_config *config, struct eal_fault *fault)
{
    if (config->link_count == 0 || config->link_count > NET_LINKS_MAX ||
        config->peer_count > NET_PEERS_MAX) {
        return eal_fail(fault, -EINVAL, "use 1 to 32 links and up to 64 peers",
                        "no links, or too many links or peers");
    }
    if (config->reactors == 0 || config->reactors > NET_DPDK_REACTORS_MAX) {
        return eal_fail(fault, -EINVAL, "use 1 to 16", "the number of reactors is out of range");
    }
    if (config->buffers < NET_DPDK_BUFFERS_MIN) {
        return eal_fail(fault, -EINVAL, "use 512 or more", "too few buffers");
    }
    if (config->udp_port == 0 || config->udp_port > UINT16_MAX - NET_CLASSES) {
        return eal_fail(fault, -EINVAL, "use 1 to 65471", "the UDP port is out of range");
    }
    for (uint32_t i = 0; i < config->link_count; i++) {
        int result = check_link(&config->links[i], fault);
        if (result != 0) {
            return result;
        }
    }
    for (uint32_t i = 0; i < config->peer_count; i++) {
        if (config->peers[i].link >= config->link_count) {
            return eal_fail(fault, -EINVAL, "correct the peer's link",
                            "a peer names a link that does not exist");
        }
    }
    return 0;
}

static uint32_t mbuf_bytes_of(const struct net_config *config)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < config->link_count; i++) {
        enum device_kind kind = device_kind_of(config->links[i].device);
        most = RTE_MAX(most, pools_mbuf_bytes(config->links[i].frame_bytes));
        if (kind != DEVICE_MEMIF && kind != DEVICE_RING) {
            most = RTE_MAX(most, (uint32_t)POOLS_KERNEL_MBUF_BYTES);
        }
    }
    return most;
}

static uint32_t memory_mib_of(const struct net_config *config, bool is_ordinary)
{
    uint32_t mib = pools_memory_mib(config->buffers, mbuf_bytes_of(config), is_ordinary);
    for (uint32_t i = 0; i < config->link_count; i++) {
        if (device_kind_of(config->links[i].device) == DEVICE_AF_XDP) {
            mib += pools_memory_mib(POOLS_XDP_BUFFERS, POOLS_KERNEL_MBUF_BYTES, is_ordinary);
        }
    }
    return mib;
}

uint32_t net_dpdk_memory_mib(const struct net_config *config)
{
    return memory_mib_of(config, false);
}

uint32_t net_dpdk_shared_mib(const struct net_config *config)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < config->link_count; i++) {
        const char *device = config->links[i].device;
        const char *given = strstr(device, "rsize="); // logarithm of a ring's slots
        unsigned long slots_log2 = given == NULL ? 10 : strtoul(given + 6, NULL, 10);
        if (device_kind_of(device) == DEVICE_MEMIF && slots_log2 < 32) {
            bytes += UINT64_C(2) * pools_mbuf_bytes(config->links[i].frame_bytes) << slots_log2;
        }
    }
    return (uint32_t)(bytes >> 20);
}

static int start_eal(const struct net_config *config, const struct eal_options *options,
                     struct eal_fault *fault)
{
    const char *pci[EAL_PCI_MAX];
    uint32_t pci_count = 0;
    for (uint32_t i = 0; i < config->link_count && pci_count < EAL_PCI_MAX; i++) {
        const char *address = device_pci_address(config->links[i].device);
        if (address != NULL) {
            pci[pci_count++] = address;
        }
    }
    struct eal_options chosen = {0};
    if (options != NULL) {
        chosen = *options;
    }
    if (chosen.memory_mib == 0) {
        chosen.memory_mib = memory_mib_of(config, false);
        chosen.ordinary_mib = memory_mib_of(config, true);
    }
    return eal_start(&chosen, pci, pci_count, fault);
}

static int open_link(struct driver *driver, uint16_t index, uint32_t mbuf_bytes,
                     struct eal_fault *fault)
{
    const struct net_link_config *config = &driver->config.links[index];
    struct link *link = &driver->links[index];
    struct device *device = &link->device;
    int result = device_open(device, config->device, mbuf_bytes, fault);
    driver->link_count = (uint16_t)(index + 1); // to be closed, whatever follows
    if (result == 0 && device->kind == DEVICE_AF_XDP) {
        link->own_pool = pools_make(POOLS_XDP_BUFFERS, POOLS_KERNEL_MBUF_BYTES);
        result = link->own_pool != NULL ? 0
                                        : eal_fail(fault, -ENOMEM, "give EAL more memory",
                                                   "no memory for the buffers of net_af_xdp");
    }
    if (result == 0) {
        result =
            device_configure(device, driver->view_count, config->frame_bytes,
                             driver->config.buffers / driver->config.link_count / 2,
                             link->own_pool != NULL ? link->own_pool : driver->pools.rx, fault);
    }
    if (result != 0) {
        return result;
    }
    link->frame_bytes = config->frame_bytes;
    link->owner = index % driver->view_count;
    link->receiver = (struct frame_receiver){
        .ipv4 = config->ipv4, .udp_port = driver->config.udp_port, .ports = NET_CLASSES};
    frame_template_init(&link->template, device->mac, config->ipv4,
                        !device->point_to_point && !device->fills_checksums);
    for (uint16_t v = 0; device->queues == 1 && v < driver->view_count; v++) {
        if (v == link->owner) {
            continue;
        }
        link->outbox[v] = make_handover_ring();
        if (link->outbox[v] == NULL) {
            return eal_fail(fault, -ENOMEM, "give EAL more memory", "no memory for rings");
        }
    }
    result = device_start(device);
    if (result != 0) {
        result = eal_fail(fault, result, "check the device and its interface",
                          "%s did not start: %s (%.120s)", device->name, strerror(-result),
                          eal_last_error());
    }
    atomic_store(&link->up, device_is_up(device));
    return result;
}

static int open_view(struct driver *driver, uint16_t id, struct eal_fault *fault)
{
    struct view *view = &driver->views[id];
    view->net.ops = &net_dpdk_ops;
    view->driver = driver;
    view->id = id;
    for (uint16_t l = 0; l < driver->link_count; l++) {
        if (driver->links[l].device.queues > 1 || driver->links[l].owner == id) {
            view->sources[view->source_count++] = l;
        }
    }
    for (uint16_t from = 0; from < driver->view_count; from++) {
        if (from != id && (view->inbox[from] = make_handover_ring()) == NULL) {
            return eal_fail(fault, -ENOMEM, "give EAL more memory", "no memory for rings");
        }
    }
    return 0;
}

static int open_all(struct driver *driver, struct eal_fault *fault)
{
    const struct net_config *config = &driver->config;
    uint32_t mbuf_bytes = mbuf_bytes_of(config);
    int result = pools_open(&driver->pools, config->buffers, mbuf_bytes, fault);
    for (uint16_t l = 0; l < config->link_count && result == 0; l++) {
        control_begin();
        result = open_link(driver, l, mbuf_bytes, fault);
        control_end();
    }
    control_wake();
    for (uint16_t v = 0; v < driver->view_count && result == 0; v++) {
        result = open_view(driver, v, fault);
    }
    arp_init(&driver->arp);
    for (uint32_t i = 0; i < config->peer_count && result == 0; i++) {
        if (!driver->links[config->peers[i].link].device.point_to_point) {
            arp_wish(&driver->arp, config->peers[i].link, config->peers[i].ipv4);
        }
    }
    return result;
}

static int join(struct driver *driver, struct eal_fault *fault)
{
    for (uint32_t l = 0; l < driver->config.link_count; l++) {
        driver->has_memif |= device_kind_of(driver->config.links[l].device) == DEVICE_MEMIF;
    }
    int result = control_join(driver);
    if (result != 0) {
        rte_free(driver);
        return eal_fail(fault, result, "check the limits of threads and open files",
                        "the links' keeper thread did not start");
    }
    return 0;
}

int net_dpdk_open(const struct net_config *config, const struct eal_options *eal,
                  struct net **views, char *reason, size_t reason_bytes)
{
    struct eal_fault fault = {0};
    int result = check_config(config, &fault);
    if (result == 0) {
        result = start_eal(config, eal, &fault);
    }
    struct driver *driver = NULL;
    if (result == 0) {
        driver = rte_zmalloc("net_dpdk", sizeof(*driver), RTE_CACHE_LINE_SIZE);
        result = driver == NULL
                     ? eal_fail(&fault, -ENOMEM, "give EAL more memory", "EAL has no memory left")
                     : 0;
    }
    if (result == 0) {
        driver->config = *config;
        driver->view_count = (uint16_t)config->reactors;
        atomic_store(&driver->views_open, config->reactors);
        result = join(driver, &fault);
    }
    if (result == 0) {
        result = open_all(driver, &fault);
        if (result != 0) {
            driver_close(driver);
        }
    }
    if (result != 0) {
        snprintf(reason, reason_bytes, "%s; %s", fault.cause, fault.remedy);
        return result;
    }
    for (uint16_t v = 0; v < driver->view_count; v++) {
        views[v] = &driver->views[v].net;
    }
    return 0;
}

uint32_t net_dpdk_buffers_free(const struct net *net)
{
    return pools_free(&view_from(net)->driver->pools);
}

uint32_t net_dpdk_buffers_total(const struct net *net)
{
    return view_from(net)->driver->pools.buffers;
}

int net_dpdk_set_link(struct net *net, uint16_t link, bool up)
{
    struct link *chosen = &view_from(net)->driver->links[link];
    int result = 0;
    control_begin();
    atomic_store(&chosen->held_down, !up);
    if (!up) {
        device_stop(&chosen->device);
    } else if (!chosen->device.started) {
        result = device_start(&chosen->device);
        chosen->was_up = false;
        chosen->retry_ns = 0;
    }
    control_end();
    control_wake();
    return result;
}
