// A node on net_tap, seen by the kernel's own stack: it resolves our address by ARP, pings us, and
// exchanges UDP with us, so that headers and checksums are judged by somebody else.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drivers/net_dpdk/frame.h"
#include "drivers/net_dpdk/net_dpdk.h"
#include "tests/driver/net/net_namespace.h"
#include "tests/harness/harness.h"

enum { PORT = 7700, KERNEL_PORT = 7700, SKIPPED = 77 };

#define NODE_IPV4 UINT32_C(0x0a4d0001)   // 10.77.0.1
#define KERNEL_IPV4 UINT32_C(0x0a4d0002) // 10.77.0.2
#define SECOND_NS UINT64_C(1000000000)

static struct net *net;
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

// Lets the node live until the socket has something (at most a second). Result: its length, -1:
// nothing came.
static ssize_t await(int fd, void *data, size_t bytes, struct sockaddr_in *from)
{
    uint64_t start_ns = now_ns();
    while (now_ns() - start_ns < SECOND_NS) {
        struct net_frame frames[16];
        socklen_t from_bytes = sizeof(*from);
        net->ops->poll(net, now_ns());
        uint32_t count = net->ops->receive(net, frames, 16);
        uint32_t sent = net->ops->send(net, frames, count); // an echo, where it came from
        net->ops->release(net, frames + sent, count - sent);
        ssize_t got = recvfrom(fd, data, bytes, MSG_DONTWAIT, (struct sockaddr *)from, &from_bytes);
        if (got >= 0) {
            return got;
        }
        sched_yield();
    }
    return -1;
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
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in own = address_of(KERNEL_IPV4, KERNEL_PORT), from;
    CHECK_EQUAL(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
    static const uint32_t sizes[] = {0, 1, 17, 18, 534, 1472};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t data[1500], back[1500];
        memset(data, 0x30 + (int)i, sizeof(data));
        struct sockaddr_in node = address_of(NODE_IPV4, (uint16_t)(PORT + i));
        CHECK_EQUAL(sendto(fd, data, sizes[i], 0, (struct sockaddr *)&node, sizeof(node)),
                    sizes[i]);
        CHECK_EQUAL(await(fd, back, sizeof(back), &from), sizes[i]);
        CHECK(memcmp(data, back, sizes[i]) == 0);
        CHECK_EQUAL(ntohs(from.sin_port), PORT + i);
        CHECK_EQUAL(ntohl(from.sin_addr.s_addr), NODE_IPV4);
    }
    close(fd);
}

static void the_node_resolves_the_kernel(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in own = address_of(KERNEL_IPV4, KERNEL_PORT), from;
    CHECK_EQUAL(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
    struct net_endpoint to;
    uint64_t start_ns = now_ns();
    while (!net->ops->locate(net, 2, 0, &to) && now_ns() - start_ns < SECOND_NS) {
        struct net_frame frames[16];
        net->ops->poll(net, now_ns());
        net->ops->release(net, frames, net->ops->receive(net, frames, 16));
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

// The kernel must be given time to see the device.
static bool prepare(char *why, size_t why_bytes)
{
    struct net_config config = {
        .link_count = 1, .peer_count = 1, .udp_port = PORT, .reactors = 1, .buffers = 1024};
    snprintf(config.links[0].device, sizeof(config.links[0].device), "net_tap0,iface=pontap0");
    config.links[0].ipv4 = NODE_IPV4;
    config.links[0].frame_bytes = 1472;
    config.peers[0] = (struct net_peer_config){.node_id = 2, .ipv4 = KERNEL_IPV4};
    if (!net_namespace_enter(why, why_bytes) ||
        net_dpdk_open(&config, NULL, &net, why, why_bytes) != 0) {
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
    };
    char why[512];
    if (!prepare(why, sizeof(why))) {
        printf("skipped: tap: %s\n", why);
        return SKIPPED;
    }
    int result = test_run("net tap", cases, TEST_COUNT(cases), argc, argv);
    net->ops->close(net);
    return result;
}
