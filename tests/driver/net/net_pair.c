#include "tests/driver/net/net_pair.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "drivers/net_dpdk/net_dpdk.h"
#include "drivers/net_impair/net_impair.h"
#include "drivers/net_udp/net_udp.h"
#include "tests/driver/net/net_namespace.h"
#include "tests/driver/sim_world.h"
#include "tests/harness/harness.h"

enum { EAL_MIB = 256, CLASSES = 8, VETH_PAYLOAD_BYTES = 1472 };

static struct net_impair_options impair_options;
// Everything is looked at, and passes.
static const struct net_impair_rule passing[] = {
    {.link = NET_IMPAIR_ANY_LINK, .kinds = 2, .cut = true}, {.link = NET_IMPAIR_ANY_LINK}};

static uint64_t kinds_of(const void *data, uint32_t bytes)
{
    (void)data, (void)bytes;
    return 1;
}

static struct rte_mempool *raw_pool; // of pair_inject
static struct clock_monotonic clock_of_impair;

static bool is_kind(const char *kind, const char *name)
{
    return strcmp(kind, name) == 0;
}

static bool needs_veth(const char *kind)
{
    return is_kind(kind, "af_packet") || is_kind(kind, "af_xdp");
}

static const char *inner_kind(const char *kind)
{
    return strncmp(kind, "impair-", 7) == 0 ? kind + 7 : kind;
}

// A veth pair of its own for each round: the kernel takes a while to let go of an AF_XDP socket's
// queue.
static bool make_veth(int round, char *why, size_t why_bytes)
{
    char command[192];
    snprintf(command, sizeof(command),
             "ip link add pva%d type veth peer name pvb%d && ip link set pva%d up && ip link set "
             "pvb%d up",
             round, round, round, round);
    return net_namespace_run(command, why, why_bytes);
}

static struct net_config config_of(const struct pair *pair, bool of_a);

// May the device be made at all? Only a missing permission is an answer: whatever else fails is for
// the cases to find.
static bool is_permitted(const char *kind, char *why, size_t why_bytes)
{
    const struct pair pair = {.reactors = 1, .frame_bytes = VETH_PAYLOAD_BYTES};
    struct net_config config = config_of(&pair, true);
    struct net *net = NULL;
    snprintf(config.links[0].device, sizeof(config.links[0].device), "net_%s0,iface=pva0", kind);
    int result = net_dpdk_open(&config, NULL, &net, why, why_bytes);
    if (result == 0) {
        net->ops->close(net);
    }
    return result != -EPERM && result != -EACCES;
}

bool pair_prepare(const char *kind, char *why, size_t why_bytes)
{
    kind = inner_kind(kind);
    if (is_kind(kind, "udp") || is_kind(kind, "sim")) {
        return true;
    }
    if (needs_veth(kind) &&
        (!net_namespace_enter(why, why_bytes) || !make_veth(0, why, why_bytes))) {
        return false;
    }
    struct eal_fault fault;
    struct eal_options options = {.memory_mib = EAL_MIB};
    if (eal_start(&options, NULL, 0, &fault) != 0) {
        snprintf(why, why_bytes, "%s; %s", fault.cause, fault.remedy);
        return false;
    }
    raw_pool = rte_pktmbuf_pool_create("raw", 255, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    return raw_pool != NULL && (!needs_veth(kind) || is_permitted(kind, why, why_bytes));
}

static struct net_config config_of(const struct pair *pair, bool of_a)
{
    struct net_config config = {.link_count = 1,
                                .peer_count = 1,
                                .udp_port = PAIR_PORT,
                                .reactors = pair->reactors,
                                .buffers = PAIR_BUFFERS};
    config.links[0].ipv4 = of_a ? PAIR_ADDRESS_A : PAIR_ADDRESS_B;
    config.links[0].prefix_bits = 24;
    config.links[0].frame_bytes = (uint16_t)pair->frame_bytes;
    config.peers[0] = (struct net_peer_config){.node_id = of_a ? 2 : 1,
                                               .ipv4 = of_a ? PAIR_ADDRESS_B : PAIR_ADDRESS_A};
    return config;
}

// Devices of both ends. Names are used once: EAL forgets a device some time after it was removed.
static void name_devices(struct pair *pair, const char *kind, char *a, char *b, size_t size)
{
    static int round;
    round++;
    if (is_kind(kind, "ring")) {
        struct eal_fault fault;
        char name_a[32], name_b[32];
        snprintf(name_a, sizeof(name_a), "a%d", round);
        snprintf(name_b, sizeof(name_b), "b%d", round);
        CHECK_EQUAL(
            net_dpdk_ring_link(name_a, name_b, (uint16_t)pair->reactors, PAIR_SLOTS, &fault), 0);
        snprintf(a, size, "net_ring:%s", name_a);
        snprintf(b, size, "net_ring:%s", name_b);
        snprintf(pair->port_b, sizeof(pair->port_b), "net_ring_%s", name_b);
    } else if (is_kind(kind, "memif")) {
        snprintf(a, size, "net_memif%d,role=server,id=0,rsize=8,socket=pontoon-test-%d-%d",
                 2 * round, (int)getpid(), round);
        snprintf(b, size, "net_memif%d,role=client,id=0,rsize=8,socket=pontoon-test-%d-%d",
                 2 * round + 1, (int)getpid(), round);
    } else {
        char why[256];
        CHECK(make_veth(round, why, sizeof(why)));
        snprintf(a, size, "net_%s%d,iface=pva%d", kind, 2 * round, round);
        snprintf(b, size, "net_%s%d,iface=pvb%d", kind, 2 * round + 1, round);
    }
    if (!is_kind(kind, "ring")) {
        snprintf(pair->port_b, sizeof(pair->port_b), "%.*s", (int)strcspn(b, ","), b);
    }
}

static int open_end(struct pair *pair, bool of_a, const char *device, char *reason,
                    size_t reason_bytes)
{
    struct net_config config = config_of(pair, of_a);
    struct net **inner = of_a ? pair->inner_a : pair->inner_b;
    struct net **views = of_a ? pair->a : pair->b;
    int result;
    if (pair->is_dpdk) {
        snprintf(config.links[0].device, sizeof(config.links[0].device), "%s", device);
        result = net_dpdk_open(&config, NULL, inner, reason, reason_bytes);
    } else {
        result = net_udp_open(&config, CLASSES, inner, reason, reason_bytes);
    }
    if (result == 0 && pair->is_impaired) {
        return net_impair_open(&config, inner, &impair_options, views, reason, reason_bytes);
    }
    memcpy(views, inner, pair->reactors * sizeof(views[0]));
    return result;
}

static bool both_ready(struct pair *pair)
{
    struct net_endpoint to;
    struct net *a = pair->a[0], *b = pair->b[0];
    return a->ops->link_up(a, 0) && b->ops->link_up(b, 0) && a->ops->locate(a, 2, 0, &to) &&
           b->ops->locate(b, 1, 0, &to);
}

// Drops what came in while the link was set up (ARP is answered by receive, too).
static void receive_away(struct net *net)
{
    struct net_frame frames[32];
    uint32_t count = net->ops->receive(net, frames, 32);
    net->ops->release(net, frames, count);
}

static void open_simulated(struct pair *pair)
{
    const struct sim_options options = {.seed = 1,
                                        .nodes = 2,
                                        .reactors = pair->reactors,
                                        .frame_bytes = pair->frame_bytes,
                                        .link_min_ns = 10 * SIM_US,
                                        .link_max_ns = 10 * SIM_US,
                                        .tx_buffers = PAIR_BUFFERS,
                                        .tx_ring = PAIR_SLOTS};
    pair->world = sim_world_open(&options);
    for (uint16_t at = 0; at < 2; at++) {
        struct sim_node *node = &pair->world->nodes[at];
        *node = (struct sim_node){.sim = pair->world, .id = (uint16_t)(at + 1), .is_up = true};
        for (uint16_t which = 0; which < pair->reactors; which++) {
            node->seats[which] = &pair->world->seats[at * PAIR_REACTORS_MAX + which];
            sim_net_init(&node->seats[which]->net, pair->world, node->id, which);
            (at == 0 ? pair->a : pair->b)[which] = &node->seats[which]->net.net;
        }
    }
    struct net_endpoint to;
    CHECK(pair->b[0]->ops->locate(pair->b[0], 1, 0, &to));
    pair->ipv4_a = to.ipv4;
    pair->udp_port = to.udp_port;
    CHECK(pair->a[0]->ops->locate(pair->a[0], 2, 0, &to));
    pair->ipv4_b = to.ipv4;
}

void pair_open(struct pair *pair, const char *kind, uint32_t reactors)
{
    pair_close(pair); // what a failed case left open
    clock_monotonic_init(&pair->clock);
    clock_monotonic_init(&clock_of_impair);
    impair_options = (struct net_impair_options){.seed = 1,
                                                 .clock = &clock_of_impair.clock,
                                                 .frames_max = 64,
                                                 .kinds_of = kinds_of,
                                                 .rules = passing,
                                                 .rule_count = 2};
    pair->is_impaired = kind != inner_kind(kind);
    kind = inner_kind(kind);
    pair->reactors = reactors;
    pair->is_dpdk = !is_kind(kind, "udp") && !is_kind(kind, "sim");
    pair->point_to_point = is_kind(kind, "ring") || is_kind(kind, "memif");
    pair->frame_bytes = needs_veth(kind) ? VETH_PAYLOAD_BYTES : NET_FRAME_BYTES_MAX;
    if (is_kind(kind, "sim")) {
        open_simulated(pair);
        return;
    }
    pair->ipv4_a = PAIR_ADDRESS_A;
    pair->ipv4_b = PAIR_ADDRESS_B;
    pair->udp_port = PAIR_PORT;
    char device_a[128] = "", device_b[128] = "", reason[512] = "";
    if (pair->is_dpdk) {
        name_devices(pair, kind, device_a, device_b, sizeof(device_a));
    }
    int result = open_end(pair, true, device_a, reason, sizeof(reason));
    if (result == 0) {
        result = open_end(pair, false, device_b, reason, sizeof(reason));
    }
    if (result != 0) {
        printf("    %s: %s\n", strerror(-result), reason);
    }
    CHECK_EQUAL(result, 0);
    uint64_t start_ns = clock_now_ns(&pair->clock.clock);
    while (!both_ready(pair) && clock_now_ns(&pair->clock.clock) - start_ns < 5000000000) {
        pair_poll(pair);
        for (uint32_t v = 0; v < reactors; v++) {
            receive_away(pair->a[v]);
            receive_away(pair->b[v]);
        }
        sched_yield();
    }
    CHECK(both_ready(pair));
}

static void close_views(struct net **views)
{
    for (uint32_t v = 0; v < PAIR_REACTORS_MAX; v++) {
        if (views[v] != NULL) {
            views[v]->ops->close(views[v]);
        }
    }
}

void pair_close(struct pair *pair)
{
    close_views(pair->a);
    close_views(pair->b);
    if (pair->world != NULL) {
        sim_world_close(pair->world);
    }
    memset(pair, 0, sizeof(*pair));
}

void pair_poll(struct pair *pair)
{
    uint64_t now_ns = clock_now_ns(&pair->clock.clock);
    if (pair->world != NULL) {
        sim_world_step(pair->world);
        now_ns = pair->world->now_ns;
    }
    for (uint32_t v = 0; v < pair->reactors; v++) {
        pair->a[v]->ops->poll(pair->a[v], now_ns);
        pair->b[v]->ops->poll(pair->b[v], now_ns);
    }
}

uint32_t pair_receive(struct pair *pair, struct net *net, struct net_frame *frames, uint32_t count)
{
    uint32_t got = 0;
    uint64_t start_ns = clock_now_ns(&pair->clock.clock);
    while (got < count && clock_now_ns(&pair->clock.clock) - start_ns < 1000000000) {
        pair_poll(pair);
        uint32_t more = net->ops->receive(net, frames + got, count - got);
        got += more;
        if (more == 0) {
            sched_yield();
        }
    }
    return got;
}

static const struct net *inner_of(const struct pair *pair, const struct net *net)
{
    return net == pair->a[0] ? pair->inner_a[0] : pair->inner_b[0];
}

uint32_t pair_buffers_free(const struct pair *pair, const struct net *net)
{
    if (pair->world != NULL) {
        const struct sim_net *sim = (const struct sim_net *)net;
        return PAIR_BUFFERS - sim->tx_out - sim->rx_out;
    }
    net = inner_of(pair, net);
    return pair->is_dpdk ? net_dpdk_buffers_free(net) : net_udp_buffers_free(net);
}

uint32_t pair_buffers_total(const struct pair *pair, const struct net *net)
{
    if (pair->world != NULL) {
        return PAIR_BUFFERS;
    }
    net = inner_of(pair, net);
    return pair->is_dpdk ? net_dpdk_buffers_total(net) : net_udp_buffers_total(net);
}

bool pair_inject(struct pair *pair, const uint8_t *data, uint32_t bytes)
{
    uint16_t port;
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(raw_pool);
    if (mbuf == NULL || rte_eth_dev_get_port_by_name(pair->port_b, &port) != 0) {
        return false;
    }
    memcpy(rte_pktmbuf_append(mbuf, (uint16_t)bytes), data, bytes);
    if (rte_eth_tx_burst(port, 0, &mbuf, 1) == 1) {
        return true;
    }
    rte_pktmbuf_free(mbuf);
    return false;
}

uint32_t pair_capture(struct pair *pair, uint8_t *data, uint32_t capacity)
{
    uint16_t port;
    if (rte_eth_dev_get_port_by_name(pair->port_b, &port) != 0) {
        return 0;
    }
    struct net *a = pair->a[0];
    uint64_t start_ns = clock_now_ns(&pair->clock.clock);
    while (clock_now_ns(&pair->clock.clock) - start_ns < 1000000000) {
        struct rte_mbuf *mbuf;
        receive_away(a);
        a->ops->poll(a, clock_now_ns(&pair->clock.clock));
        if (rte_eth_rx_burst(port, 0, &mbuf, 1) == 1) {
            uint32_t bytes = mbuf->data_len < capacity ? mbuf->data_len : capacity;
            memcpy(data, rte_pktmbuf_mtod(mbuf, uint8_t *), bytes);
            rte_pktmbuf_free(mbuf);
            return bytes;
        }
        sched_yield();
    }
    return 0;
}
