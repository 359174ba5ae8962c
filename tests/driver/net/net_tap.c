// A node on net_tap, seen by the kernel's own stack: it resolves our address by ARP, pings us, and
// exchanges UDP with us, so that headers and checksums are judged by somebody else.
//
// The device fills our checksums and judges those of what arrives, and has a queue pair for each
// reactor: with two of them (argument: how many) the kernel sprays its flows over both queues and
// learns from what we send which queue a flow should come by, so frames arrive at reactors that are
// not theirs.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_ethdev.h>

#include "drivers/net_dpdk/frame.h"
#include "drivers/net_dpdk/net_dpdk.h"
#include "tests/driver/net/net_namespace.h"
#include "tests/harness/harness.h"

enum { PORT = 7700, KERNEL_PORT = 7700, REACTORS_MAX = 2, SKIPPED = 77 };

#define NODE_IPV4 UINT32_C(0x0a4d0001)   // 10.77.0.1
#define KERNEL_IPV4 UINT32_C(0x0a4d0002) // 10.77.0.2
#define SECOND_NS UINT64_C(1000000000)
#define DEVICE "net_tap0"
#define INTERFACE "pontap0"

static struct net *views[REACTORS_MAX];
static uint32_t reactors;
static struct clock_tsc clock_tsc;

static uint64_t now_ns(void)
{
    return clock_now_ns(&clock_tsc.clock);
}

static struct sockaddr_in address_of(uint32_t ipv4, uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ipv4)};
}

static uint16_t port_id(void)
{
    uint16_t port = UINT16_MAX;
    CHECK_EQUAL(rte_eth_dev_get_port_by_name(DEVICE, &port), 0);
    return port;
}

// A reactor's turn: everything that comes is sent back where it came from.
static void live(uint32_t which)
{
    struct net *net = views[which];
    struct net_frame frames[16];
    net->ops->poll(net, now_ns());
    uint32_t count = net->ops->receive(net, frames, 16);
    for (uint32_t at = 0; at < count; at++) {
        CHECK_EQUAL((uint32_t)(frames[at].remote.local_port - PORT) % reactors, which);
    }
    uint32_t sent = net->ops->send(net, frames, count);
    net->ops->release(net, frames + sent, count - sent);
}

// Lets the node live until the socket has something (at most a second). Result: its length, -1:
// nothing came.
static ssize_t await(int fd, void *data, size_t bytes, struct sockaddr_in *from)
{
    uint64_t start_ns = now_ns();
    while (now_ns() - start_ns < SECOND_NS) {
        socklen_t from_bytes = sizeof(*from);
        for (uint32_t which = 0; which < reactors; which++) {
            live(which);
        }
        ssize_t got = recvfrom(fd, data, bytes, MSG_DONTWAIT, (struct sockaddr *)from, &from_bytes);
        if (got >= 0) {
            return got;
        }
        sched_yield();
    }
    return -1;
}

static int bound_socket(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in own = address_of(KERNEL_IPV4, port);
    CHECK_EQUAL(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
    return fd;
}

// Sends to that port of the node, and takes the echo.
static void exchange(int fd, uint16_t port, uint32_t bytes, int fill)
{
    uint8_t data[1500], back[1500];
    struct sockaddr_in node = address_of(NODE_IPV4, port), from;
    memset(data, fill, sizeof(data));
    CHECK_EQUAL(sendto(fd, data, bytes, 0, (struct sockaddr *)&node, sizeof(node)), bytes);
    CHECK_EQUAL(await(fd, back, sizeof(back), &from), bytes);
    CHECK(memcmp(data, back, bytes) == 0);
    CHECK_EQUAL(ntohs(from.sin_port), port);
    CHECK_EQUAL(ntohl(from.sin_addr.s_addr), NODE_IPV4);
}

static void the_kernel_pings_the_node(void)
{
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    CHECK(fd >= 0);
    struct sockaddr_in node = address_of(NODE_IPV4, 0), from;
    for (uint16_t sequence = 1; sequence <= 3; sequence++) {
        uint8_t request[64] = {8, 0, 0, 0, 0x77, 0x01}, reply[128];
        frame_put16(request + 6, sequence);
        frame_put16(request + 2, (uint16_t)~frame_sum(request, sizeof(request), 0));
        CHECK_EQUAL(sendto(fd, request, sizeof(request), 0, (struct sockaddr *)&node, sizeof(node)),
                    sizeof(request));
        CHECK_EQUAL(await(fd, reply, sizeof(reply), &from), 20 + sizeof(request));
        CHECK_EQUAL(ntohl(from.sin_addr.s_addr), NODE_IPV4);
        CHECK_EQUAL(reply[20], 0);
        CHECK(memcmp(reply + 24, request + 4, sizeof(request) - 4) == 0);
    }
    close(fd);
}

static void the_kernel_exchanges_udp_with_the_node(void)
{
    static const uint32_t sizes[] = {0, 1, 17, 18, 534, 1472};
    int fd = bound_socket(KERNEL_PORT);
    for (uint16_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        exchange(fd, (uint16_t)(PORT + i), sizes[i], 0x30 + i);
    }
    close(fd);
}

static void the_node_resolves_the_kernel(void)
{
    struct net *net = views[0];
    int fd = bound_socket(KERNEL_PORT);
    struct sockaddr_in from;
    struct net_endpoint to;
    uint64_t start_ns = now_ns();
    while (!net->ops->locate(net, 2, 0, &to) && now_ns() - start_ns < SECOND_NS) {
        for (uint32_t which = 0; which < reactors; which++) {
            live(which);
        }
    }
    CHECK(net->ops->locate(net, 2, 0, &to));
    struct net_frame frame;
    CHECK_EQUAL(net->ops->acquire(net, 0, NET_USE_PEER, &frame, 1), 1);
    memcpy(frame.data, "hello", 5);
    frame.bytes = 5;
    frame.remote = to;
    CHECK_EQUAL(net->ops->send(net, &frame, 1), 1);
    char data[16];
    CHECK_EQUAL(await(fd, data, sizeof(data), &from), 5);
    CHECK(memcmp(data, "hello", 5) == 0);
    close(fd);
}

// The device was asked to, and what comes out is whole: the header's sum, and a UDP checksum that
// is there (zero would mean "none", which the kernel takes as well).
static void the_device_fills_the_checksums(void)
{
    const uint64_t wanted = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
    struct rte_eth_conf conf;
    CHECK_EQUAL(rte_eth_dev_conf_get(port_id(), &conf), 0);
    CHECK_EQUAL(conf.txmode.offloads, wanted);
    int raw = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_IP));
    struct sockaddr_ll link = {.sll_family = AF_PACKET,
                               .sll_protocol = htons(ETH_P_IP),
                               .sll_ifindex = (int)if_nametoindex(INTERFACE)};
    CHECK_EQUAL(bind(raw, (struct sockaddr *)&link, sizeof(link)), 0);
    int fd = bound_socket(KERNEL_PORT);
    for (int fill = 1; fill < 50; fill++) {
        exchange(fd, PORT, (uint32_t)fill * 29, fill);
        uint8_t seen[1600];
        ssize_t bytes;
        do { // what the kernel sends is seen, too
            bytes = recv(raw, seen, sizeof(seen), MSG_DONTWAIT);
            CHECK(bytes > 0);
        } while (frame_get32(seen + 26) != NODE_IPV4);
        uint32_t udp_bytes = frame_get16(seen + 38);
        CHECK_EQUAL(udp_bytes, 8 + fill * 29);
        CHECK_EQUAL(frame_sum(seen + 14, 20, 0), 0xffff);
        CHECK(frame_get16(seen + 40) != 0);
        CHECK_EQUAL(frame_sum(seen + 34, udp_bytes, frame_sum(seen + 26, 8, 17 + udp_bytes)),
                    0xffff);
    }
    close(fd);
    close(raw);
}

static uint64_t malformed(void)
{
    uint64_t sum = 0;
    for (uint32_t which = 0; which < reactors; which++) {
        struct net_counters counters;
        views[which]->ops->counters(views[which], &counters);
        sum += counters.rx_malformed;
    }
    return sum;
}

// The device judges what arrives; a checksum it finds wrong is not taken for verified.
static void what_the_device_finds_damaged_is_dropped(void)
{
    static const uint32_t spoiled[] = {24, 40, 60}; // checksum of the header, of UDP; payload
    struct rte_eth_conf conf;
    struct rte_ether_addr mac;
    CHECK_EQUAL(rte_eth_dev_conf_get(port_id(), &conf), 0);
    CHECK((conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM) != 0);
    CHECK((conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_UDP_CKSUM) != 0);
    CHECK_EQUAL(rte_eth_macaddr_get(port_id(), &mac), 0);
    int raw = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_IP));
    struct sockaddr_ll link = {.sll_family = AF_PACKET,
                               .sll_ifindex = (int)if_nametoindex(INTERFACE)};
    struct frame_template template;
    static const uint8_t kernel_mac[FRAME_MAC_BYTES] = {2, 0, 0, 0, 0, 7};
    frame_template_init(&template, kernel_mac, KERNEL_IPV4, true);
    for (size_t at = 0; at <= sizeof(spoiled) / sizeof(spoiled[0]); at++) {
        uint8_t frame[FRAME_HEADER_BYTES + 100];
        struct frame_destination to = {
            .ipv4 = NODE_IPV4, .udp_port = PORT, .local_port = KERNEL_PORT + 1};
        bool is_good = at == sizeof(spoiled) / sizeof(spoiled[0]);
        memcpy(to.mac, mac.addr_bytes, sizeof(to.mac));
        memset(frame, 0x55, sizeof(frame));
        frame_build(&template, &to, frame + FRAME_HEADER_BYTES, 100);
        if (!is_good) {
            frame[spoiled[at]] ^= 0x20;
        }
        uint64_t before = malformed(), start_ns = now_ns();
        struct rte_eth_stats stats, stats_before;
        CHECK_EQUAL(rte_eth_stats_get(port_id(), &stats_before), 0);
        CHECK_EQUAL(sendto(raw, frame, sizeof(frame), 0, (struct sockaddr *)&link, sizeof(link)),
                    sizeof(frame));
        do {
            for (uint32_t which = 0; which < reactors; which++) {
                live(which);
            }
            CHECK_EQUAL(rte_eth_stats_get(port_id(), &stats), 0);
        } while (stats.ipackets == stats_before.ipackets && now_ns() - start_ns < SECOND_NS);
        CHECK_EQUAL(stats.ipackets, stats_before.ipackets + 1);
        CHECK_EQUAL(malformed(), before + !is_good);
    }
    close(raw);
}

// Every reactor sends and receives by a queue of its own, and whatever arrives at another one than
// its class's is handed over (`live` checks that it gets there).
static void every_reactor_has_a_queue_pair(void)
{
    struct rte_eth_dev_info info;
    CHECK_EQUAL(rte_eth_dev_info_get(port_id(), &info), 0);
    CHECK_EQUAL(info.nb_rx_queues, reactors);
    CHECK_EQUAL(info.nb_tx_queues, reactors);
    for (uint16_t flow = 0; flow < 32; flow++) {
        int fd = bound_socket((uint16_t)(KERNEL_PORT + 100 + flow));
        for (uint16_t class = 0; class < 8; class ++) {
            exchange(fd, (uint16_t)(PORT + class), 200, class);
        }
        close(fd);
    }
    struct rte_eth_stats stats;
    uint64_t handed_over = 0;
    CHECK_EQUAL(rte_eth_stats_get(port_id(), &stats), 0);
    for (uint32_t which = 0; which < reactors; which++) {
        struct net_counters counters;
        views[which]->ops->counters(views[which], &counters);
        handed_over += counters.handed_over;
        CHECK(stats.q_ipackets[which] > 20);
        CHECK(stats.q_opackets[which] > 20);
        CHECK(counters.rx_frames > 20 && counters.tx_frames > 20);
    }
    CHECK(reactors == 1 ? handed_over == 0 : handed_over > 20);
}

// The kernel must be given time to see the device.
static bool prepare(char *why, size_t why_bytes)
{
    struct net_config config = {
        .link_count = 1, .peer_count = 1, .udp_port = PORT, .reactors = reactors, .buffers = 2048};
    snprintf(config.links[0].device, sizeof(config.links[0].device), DEVICE ",iface=" INTERFACE);
    config.links[0].ipv4 = NODE_IPV4;
    config.links[0].frame_bytes = 1472;
    config.peers[0] = (struct net_peer_config){.node_id = 2, .ipv4 = KERNEL_IPV4};
    if (!net_namespace_enter(why, why_bytes) ||
        net_dpdk_open(&config, NULL, views, why, why_bytes) != 0) {
        return false;
    }
    clock_tsc_init(&clock_tsc);
    return net_namespace_run("ip addr add 10.77.0.2/24 dev pontap0 && ip link set pontap0 up", why,
                             why_bytes);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(the_kernel_pings_the_node),
        TEST(the_kernel_exchanges_udp_with_the_node),
        TEST(the_node_resolves_the_kernel),
        TEST(the_device_fills_the_checksums),
        TEST(what_the_device_finds_damaged_is_dropped),
        TEST(every_reactor_has_a_queue_pair),
    };
    char why[512], suite[64];
    reactors = argc < 2 ? 0 : (uint32_t)atoi(argv[1]);
    if (reactors == 0 || reactors > REACTORS_MAX) {
        printf("usage: net_tap 1|2 [CASE...]\n");
        return 2;
    }
    if (!prepare(why, sizeof(why))) {
        printf("skipped: tap: %s\n", why);
        return SKIPPED;
    }
    snprintf(suite, sizeof(suite), "net tap, reactors %u", reactors);
    int result = test_run(suite, cases, TEST_COUNT(cases), argc - 1, argv + 1);
    for (uint32_t which = 0; which < reactors; which++) {
        views[which]->ops->close(views[which]);
    }
    return result;
}
