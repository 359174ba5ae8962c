// The contract of engine/driver_api/net.h, point by point, against one driver: usage net_contract
// KIND [CASE...].
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/net_dpdk/arp.h"
#include "drivers/net_dpdk/frame.h"
#include "drivers/net_dpdk/net_dpdk.h"
#include "tests/driver/net/net_echo.h"
#include "tests/driver/net/net_pair.h"
#include "tests/harness/harness.h"

enum { MANY = 4096 };

static const char *kind;
static struct pair pair;
static struct net_frame many[MANY];

static uint8_t byte_at(uint32_t seed, uint32_t at)
{
    return (uint8_t)(seed * 31 + at * 7 + (at >> 8));
}

static bool is_patterned(const struct net_frame *frame, uint32_t seed)
{
    for (uint32_t i = 0; i < frame->bytes; i++) {
        if (frame->data[i] != byte_at(seed, i)) {
            return false;
        }
    }
    return true;
}

static void fill(struct net_frame *frame, const struct net_endpoint *to, uint32_t bytes,
                 uint32_t seed)
{
    frame->remote = *to;
    frame->bytes = bytes;
    for (uint32_t i = 0; i < bytes; i++) {
        frame->data[i] = byte_at(seed, i);
    }
}

static struct net_counters counters_of(struct net *net)
{
    struct net_counters counters;
    net->ops->counters(net, &counters);
    return counters;
}

static struct net_endpoint locate(struct net *net, uint16_t node, uint8_t class)
{
    struct net_endpoint to;
    CHECK(net->ops->locate(net, node, class, &to));
    return to;
}

// Sends all, in as many calls as it takes: any call may take none (a port is being connected just
// now).
static void send_all(struct net *net, struct net_frame *frames, uint32_t count)
{
    uint64_t start_ns = clock_now_ns(&pair.clock.clock);
    uint32_t sent = net->ops->send(net, frames, count);
    while (sent < count && clock_now_ns(&pair.clock.clock) - start_ns < 1000000000) {
        pair_poll(&pair);
        sent += net->ops->send(net, frames + sent, count - sent);
    }
    CHECK_EQUAL(sent, count);
}

// Sends one datagram and checks that it comes out whole at the other end; then the answer to whence
// it came.
static void exchange(struct net *from, struct net *to, uint16_t node, uint8_t class, uint32_t bytes)
{
    struct net_frame frame, got;
    CHECK_EQUAL(from->ops->acquire(from, 0, NET_USE_PEER, &frame, 1), 1);
    CHECK(frame.capacity >= bytes);
    struct net_endpoint there = locate(from, node, class);
    fill(&frame, &there, bytes, bytes + class);
    send_all(from, &frame, 1);
    CHECK_EQUAL(pair_receive(&pair, to, &got, 1), 1);
    CHECK_EQUAL(got.bytes, bytes);
    CHECK(is_patterned(&got, bytes + class));
    CHECK_EQUAL(got.remote.local_port, pair.udp_port + class);
    CHECK_EQUAL(got.remote.udp_port, pair.udp_port + class);
    CHECK_EQUAL(got.remote.link, 0);
    CHECK_EQUAL(got.remote.ipv4, node == 2 ? pair.ipv4_a : pair.ipv4_b);
    send_all(to, &got, 1); // the received frame itself goes back
    CHECK_EQUAL(pair_receive(&pair, from, &frame, 1), 1);
    CHECK_EQUAL(frame.bytes, bytes);
    CHECK(is_patterned(&frame, bytes + class));
    from->ops->release(from, &frame, 1);
}

static void datagrams_of_every_size_arrive_whole(void)
{
    pair_open(&pair, kind, 1);
    CHECK_EQUAL(pair.a[0]->ops->frame_bytes(pair.a[0], 0), pair.frame_bytes);
    uint32_t sizes[] = {0, 1, 17, 18, 19, 534, 1471, 1472, 4096, 8999, 9000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (sizes[i] <= pair.frame_bytes) {
            exchange(pair.a[0], pair.b[0], 2, 0, sizes[i]);
            exchange(pair.b[0], pair.a[0], 1, 5, sizes[i]);
        }
    }
    CHECK_EQUAL(counters_of(pair.a[0]).rx_malformed, 0);
    pair_close(&pair);
}

static void frames_can_be_counted(void)
{
    pair_open(&pair, kind, 1);
    struct net_counters before = counters_of(pair.a[0]);
    for (int i = 0; i < 10; i++) {
        exchange(pair.a[0], pair.b[0], 2, 1, 100);
    }
    struct net_counters after = counters_of(pair.a[0]);
    CHECK_EQUAL(after.tx_frames - before.tx_frames, 10);
    CHECK_EQUAL(after.rx_frames - before.rx_frames, 10);
    CHECK_EQUAL(after.tx_bytes - before.tx_bytes, 1000);
    CHECK_EQUAL(after.rx_bytes - before.rx_bytes, 1000);
    pair_close(&pair);
}

static void receive_rest(struct net *net)
{
    for (int quiet = 0; quiet < 50;) {
        uint32_t count = net->ops->receive(net, many, 64);
        net->ops->release(net, many, count);
        pair_poll(&pair);
        quiet = count == 0 ? quiet + 1 : 0;
    }
}

static void a_burst_beyond_the_queue_is_taken_as_a_prefix_and_nothing_leaks(void)
{
    pair_open(&pair, kind, 1);
    struct net *a = pair.a[0], *b = pair.b[0];
    receive_rest(a);
    receive_rest(b);
    uint32_t free_before = pair_buffers_free(&pair, a);
    struct net_endpoint there = locate(a, 2, 0);
    for (int round = 0; round < 20; round++) {
        uint32_t count = a->ops->acquire(a, 0, NET_USE_PEER, many, 600);
        CHECK_EQUAL(count, 600);
        for (uint32_t i = 0; i < count; i++) {
            fill(&many[i], &there, 64, i);
        }
        uint64_t sent_before = counters_of(a).tx_frames;
        uint32_t sent = a->ops->send(a, many, count);
        CHECK(sent <= count);
        CHECK_EQUAL(counters_of(a).tx_frames - sent_before, sent);
        for (uint32_t i = sent; i < count; i++) {
            CHECK(is_patterned(&many[i], i)); // the rest is untouched, and ours
        }
        a->ops->release(a, many + sent, count - sent);
        receive_rest(b);
    }
    CHECK(counters_of(b).rx_frames > 0);
    receive_rest(a);
    CHECK_EQUAL(pair_buffers_free(&pair, a), free_before);
    pair_close(&pair);
}

static void a_flood_of_clients_leaves_buffers_for_peers(void)
{
    pair_open(&pair, kind, 1);
    struct net *a = pair.a[0];
    uint32_t flood = a->ops->acquire(a, 0, NET_USE_CLIENT, many, MANY);
    CHECK(flood > 0 && flood < MANY);
    CHECK_EQUAL(counters_of(a).tx_no_buffer, 1);
    struct net_frame none;
    CHECK_EQUAL(a->ops->acquire(a, 0, NET_USE_CLIENT, &none, 1), 0);
    uint32_t peers = a->ops->acquire(a, 0, NET_USE_PEER, many + flood, MANY - flood);
    CHECK(peers >= pair_buffers_total(&pair, a) / 4);
    a->ops->release(a, many + flood, peers);
    exchange(a, pair.b[0], 2, 0, 534); // and peers are still heard
    a->ops->release(a, many, flood);
    pair_close(&pair);
}

static void a_flood_that_is_not_released_leaves_the_sending_to_peers_alone(void)
{
    pair_open(&pair, kind, 1);
    struct net *a = pair.a[0], *b = pair.b[0];
    uint32_t kept = 0;
    for (int round = 0; round < 200 && kept + 64 < MANY; round++) {
        struct net_frame frames[64];
        uint32_t count = b->ops->acquire(b, 0, NET_USE_CLIENT, frames, 64);
        struct net_endpoint there = locate(b, 1, 0);
        for (uint32_t i = 0; i < count; i++) {
            fill(&frames[i], &there, 64, i);
        }
        uint32_t sent = b->ops->send(b, frames, count);
        b->ops->release(b, frames + sent, count - sent);
        pair_poll(&pair);
        kept += a->ops->receive(a, many + kept, 64);
    }
    CHECK(kept > 0);
    struct net_frame frame;
    CHECK_EQUAL(a->ops->acquire(a, 0, NET_USE_PEER, &frame, 1), 1);
    a->ops->release(a, &frame, 1);
    a->ops->release(a, many, kept);
    receive_rest(a);
    exchange(a, b, 2, 0, 100);
    pair_close(&pair);
}

static void each_class_comes_to_its_reactor(void)
{
    pair_open(&pair, kind, 2);
    for (uint8_t class = 0; class < 8; class ++) {
        struct net *from = pair.a[class % 2], *to = pair.b[class % 2];
        struct net_frame frame, got;
        CHECK_EQUAL(from->ops->acquire(from, 0, NET_USE_PEER, &frame, 1), 1);
        struct net_endpoint there = locate(from, 2, class);
        fill(&frame, &there, 200, class);
        send_all(from, &frame, 1);
        uint32_t count = 0;
        for (int turn = 0; turn < 100000 && count == 0; turn++) {
            struct net_frame other;
            CHECK_EQUAL(pair.b[1 - class % 2]->ops->receive(pair.b[1 - class % 2], &other, 1), 0);
            pair_poll(&pair);
            count = to->ops->receive(to, &got, 1);
        }
        CHECK_EQUAL(count, 1);
        CHECK(is_patterned(&got, class));
        CHECK_EQUAL(got.remote.local_port, pair.udp_port + class);
        to->ops->release(to, &got, 1);
    }
    pair_close(&pair);
}

static void an_unknown_node_is_not_located(void)
{
    pair_open(&pair, kind, 1);
    struct net_endpoint to;
    CHECK(!pair.a[0]->ops->locate(pair.a[0], 9, 0, &to));
    pair_close(&pair);
}

// Cases on what is below UDP are for drivers that do it themselves.
static bool has_device(void)
{
    if (!pair.is_dpdk) {
        test_skip("%s has no Ethernet device of its own", kind);
        pair_close(&pair);
        return false;
    }
    return true;
}

// A good frame from b to a, to be spoiled.
static uint32_t good_frame(uint8_t *data, uint32_t payload_bytes)
{
    static const uint8_t mac_a[6] = {2, 0, 0, 0, 0, 1}, mac_b[6] = {2, 0, 0, 0, 0, 2};
    struct frame_template template;
    frame_template_init(&template, mac_b, PAIR_ADDRESS_B, true);
    struct frame_destination to = {
        .udp_port = PAIR_PORT, .local_port = PAIR_PORT, .ipv4 = PAIR_ADDRESS_A};
    memcpy(to.mac, mac_a, 6);
    memset(to.mac, 0xff, 6); // the interface's own filter must not decide this test
    memset(data + FRAME_HEADER_BYTES, 0x5a, payload_bytes);
    frame_build(&template, &to, data + FRAME_HEADER_BYTES, payload_bytes);
    return FRAME_HEADER_BYTES + payload_bytes;
}

static void malformed_frames_are_dropped_and_counted(void)
{
    pair_open(&pair, kind, 1);
    if (!has_device()) {
        return;
    }
    struct net *a = pair.a[0];
    uint8_t data[256];
    struct net_frame got;
    uint32_t bytes = good_frame(data, 64);
    CHECK(pair_inject(&pair, data, bytes));
    CHECK_EQUAL(pair_receive(&pair, a, &got, 1), 1);
    a->ops->release(a, &got, 1);
    // Each position of these is covered by a checksum or has one right value.
    static const uint8_t spoiled[] = {12, 14, 16, 20, 24, 26, 30, 36, 38, 40, 42, 60, 105};
    for (size_t i = 0; i < sizeof(spoiled); i++) {
        if (spoiled[i] == 20 && strcmp(kind, "af_packet") == 0) {
            continue; // the kernel keeps fragments to itself (PACKET_FANOUT_FLAG_DEFRAG)
        }
        bytes = good_frame(data, 64);
        data[spoiled[i]] ^= 0x41;
        uint64_t before = counters_of(a).rx_malformed;
        CHECK(pair_inject(&pair, data, bytes));
        uint64_t start_ns = clock_now_ns(&pair.clock.clock);
        while (counters_of(a).rx_malformed == before &&
               clock_now_ns(&pair.clock.clock) - start_ns < 500000000) {
            pair_poll(&pair);
            CHECK_EQUAL(a->ops->receive(a, &got, 1), 0);
        }
        CHECK_EQUAL(counters_of(a).rx_malformed, before + 1);
    }
    pair_close(&pair);
}

static void echo_requests_are_answered(void)
{
    pair_open(&pair, kind, 1);
    if (!has_device()) {
        return;
    }
    uint8_t data[256], reply[256];
    uint32_t bytes = good_frame(data, 64);
    net_echo_make(data, bytes);
    CHECK(pair_inject(&pair, data, bytes));
    uint32_t got;
    do {
        got = pair_capture(&pair, reply, sizeof(reply));
    } while (got > 14 && frame_get16(reply + 12) == 0x0806);
    CHECK_EQUAL(got, bytes);
    CHECK_EQUAL(reply[34], 0);
    CHECK_EQUAL(frame_get32(reply + 26), PAIR_ADDRESS_A);
    CHECK_EQUAL(frame_get32(reply + 30), PAIR_ADDRESS_B);
    CHECK(memcmp(reply, data + 6, 6) == 0);
    CHECK_EQUAL(frame_sum(reply + 34, bytes - 34, 0), 0xffff);
    CHECK(memcmp(reply + 42, data + 42, bytes - 42) == 0);
    pair_close(&pair);
}

static void questions_of_arp_are_answered(void)
{
    pair_open(&pair, kind, 1);
    if (!has_device()) {
        return;
    }
    static const uint8_t stranger[6] = {2, 0, 0, 0, 0, 9};
    uint8_t data[64], reply[64];
    arp_build_question(data, stranger, PAIR_ADDRESS_A + 8, PAIR_ADDRESS_A);
    CHECK(pair_inject(&pair, data, ARP_PACKET_BYTES));
    do { // b's own conversation may come first
        CHECK(pair_capture(&pair, reply, sizeof(reply)) >= ARP_PACKET_BYTES);
    } while (frame_get16(reply + 12) != 0x0806 || frame_get32(reply + 38) != PAIR_ADDRESS_A + 8);
    CHECK_EQUAL(frame_get16(reply + 20), 2);
    CHECK_EQUAL(frame_get32(reply + 28), PAIR_ADDRESS_A);
    CHECK(memcmp(reply + 32, stranger, 6) == 0);
    pair_close(&pair);
}

static bool becomes(bool up)
{
    uint64_t start_ns = clock_now_ns(&pair.clock.clock);
    while (clock_now_ns(&pair.clock.clock) - start_ns < 5000000000) {
        pair_poll(&pair);
        if (pair.a[0]->ops->link_up(pair.a[0], 0) == up) {
            return true;
        }
    }
    return false;
}

static void a_link_that_goes_down_loses_frames_and_comes_back(void)
{
    pair_open(&pair, kind, 1);
    if (!has_device()) {
        return;
    }
    if (pair.is_impaired) {
        test_skip("the link of the wrapped driver is taken down without the wrapper");
        pair_close(&pair);
        return;
    }
    struct net *a = pair.a[0], *b = pair.b[0];
    uint32_t free_before = pair_buffers_free(&pair, a);
    struct net_endpoint there = locate(a, 2, 0);
    CHECK_EQUAL(net_dpdk_set_link(a, 0, false), 0);
    CHECK(becomes(false));
    CHECK_EQUAL(counters_of(a).link_flaps, 1);
    CHECK_EQUAL(a->ops->acquire(a, 0, NET_USE_PEER, many, 10), 10);
    for (uint32_t i = 0; i < 10; i++) {
        fill(&many[i], &there, 64, i);
    }
    send_all(a, many, 10); // taken and lost: one dead link must not block the others
    CHECK_EQUAL(counters_of(a).tx_link_down, 10);
    CHECK_EQUAL(net_dpdk_set_link(a, 0, true), 0);
    CHECK(becomes(true));
    uint64_t start_ns = clock_now_ns(&pair.clock.clock);
    while (!b->ops->link_up(b, 0) && clock_now_ns(&pair.clock.clock) - start_ns < 5000000000) {
        pair_poll(&pair);
    }
    receive_rest(a);
    receive_rest(b);
    exchange(a, b, 2, 0, 100);
    receive_rest(a);
    CHECK_EQUAL(pair_buffers_free(&pair, a), free_before);
    pair_close(&pair);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(datagrams_of_every_size_arrive_whole),
        TEST(frames_can_be_counted),
        TEST(a_burst_beyond_the_queue_is_taken_as_a_prefix_and_nothing_leaks),
        TEST(a_flood_of_clients_leaves_buffers_for_peers),
        TEST(a_flood_that_is_not_released_leaves_the_sending_to_peers_alone),
        TEST(each_class_comes_to_its_reactor),
        TEST(an_unknown_node_is_not_located),
        TEST(malformed_frames_are_dropped_and_counted),
        TEST(echo_requests_are_answered),
        TEST(questions_of_arp_are_answered),
        TEST(a_link_that_goes_down_loses_frames_and_comes_back),
    };
    char why[512], suite[64];
    if (argc < 2) {
        printf("usage: net_contract ring|memif|af_packet|af_xdp|udp|impair-udp|impair-ring|sim "
               "[CASE...]\n");
        return 2;
    }
    kind = argv[1];
    if (!pair_prepare(kind, why, sizeof(why))) {
        printf("skipped: %s: %s\n", kind, why);
        return PAIR_SKIPPED;
    }
    snprintf(suite, sizeof(suite), "net contract, %s", kind);
    return test_run(suite, cases, TEST_COUNT(cases), argc - 1, argv + 1);
}
