// Headers and ARP as byte arrays: frame.c and arp.c without any device.
#include <string.h>

#include "drivers/net_dpdk/arp.h"
#include "drivers/net_dpdk/frame.h"
#include "engine/base/prng.h"
#include "tests/driver/net/net_echo.h"
#include "tests/harness/harness.h"

#define OUR_IPV4 UINT32_C(0x0a000001)
#define THEIR_IPV4 UINT32_C(0x0a000002)
#define MS UINT64_C(1000000)

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, their_mac[6] = {2, 0, 0, 0, 0, 2};
static const struct frame_receiver receiver = {.ipv4 = OUR_IPV4, .udp_port = 7000, .ports = 64};

// A frame from them to us. Result: its length.
static uint32_t build(uint8_t *data, uint32_t payload_bytes, uint16_t port, bool checksum)
{
    struct frame_template template;
    frame_template_init(&template, their_mac, THEIR_IPV4, checksum);
    struct frame_destination to = {.udp_port = port, .local_port = 7063, .ipv4 = OUR_IPV4};
    memcpy(to.mac, our_mac, 6);
    for (uint32_t i = 0; i < payload_bytes; i++) {
        data[FRAME_HEADER_BYTES + i] = (uint8_t)(i * 13 + 5);
    }
    frame_build(&template, &to, data + FRAME_HEADER_BYTES, payload_bytes);
    return FRAME_HEADER_BYTES + payload_bytes;
}

static enum frame_kind parse(const uint8_t *data, uint32_t bytes)
{
    struct frame_info info;
    return frame_parse(&receiver, data, bytes, 0, &info);
}

// The checksum as RFC 1071 writes it, word by word.
static uint16_t slow_sum(const uint8_t *data, uint32_t bytes, uint32_t sum)
{
    for (uint32_t i = 0; i < bytes; i++) {
        sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)sum;
}

static void the_checksum_equals_its_slow_twin(void)
{
    struct prng prng;
    prng_init(&prng, 7);
    uint8_t data[2048];
    for (int round = 0; round < 2000; round++) {
        uint32_t bytes = (uint32_t)prng_below(&prng, sizeof(data) + 1);
        uint32_t start = (uint32_t)prng_below(&prng, 0x10000);
        for (uint32_t i = 0; i < bytes; i++) {
            data[i] = round % 3 == 0 ? 0xff : (uint8_t)prng_next(&prng);
        }
        CHECK_EQUAL(frame_sum(data, bytes, start), slow_sum(data, bytes, start));
    }
}

static void what_is_built_is_parsed(void)
{
    uint8_t data[FRAME_HEADER_BYTES + 9000];
    static const uint32_t sizes[] = {0, 1, 2, 3, 534, 1472, 8999, 9000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (int checksum = 0; checksum < 2; checksum++) {
            uint32_t bytes = build(data, sizes[i], 7009, checksum != 0);
            struct frame_info info;
            CHECK_EQUAL(frame_parse(&receiver, data, bytes, 0, &info), FRAME_DATAGRAM);
            CHECK_EQUAL(info.ipv4, THEIR_IPV4);
            CHECK_EQUAL(info.udp_port, 7063);
            CHECK_EQUAL(info.local_port, 7009);
            CHECK_EQUAL(info.payload_bytes, sizes[i]);
            CHECK_EQUAL(frame_get16(data + 40) != 0, checksum);
        }
    }
}

static void ethernet_padding_is_ignored(void)
{
    uint8_t data[60] = {0};
    struct frame_info info;
    build(data, 1, 7000, true);
    CHECK_EQUAL(frame_parse(&receiver, data, sizeof(data), 0, &info), FRAME_DATAGRAM);
    CHECK_EQUAL(info.payload_bytes, 1);
}

static void every_prefix_is_malformed(void)
{
    uint8_t data[200];
    uint32_t bytes = build(data, 100, 7000, true);
    for (uint32_t length = 0; length < bytes; length++) {
        uint8_t exact[200]; // the sanitizer sees a read beyond it
        memcpy(exact, data, length);
        CHECK_EQUAL(parse(exact, length), FRAME_MALFORMED);
    }
}

// With its checksum no single flipped bit behind the MAC addresses gets through.
static void every_flipped_bit_is_seen(void)
{
    uint8_t data[100];
    uint32_t bytes = build(data, 50, 7000, true);
    for (uint32_t bit = 12 * 8; bit < bytes * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(parse(data, bytes) != FRAME_DATAGRAM);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK_EQUAL(parse(data, bytes), FRAME_DATAGRAM);
}

static void only_our_ports_are_ours(void)
{
    uint8_t data[100];
    static const struct {
        uint16_t port;
        enum frame_kind kind;
    } table[] = {{6999, FRAME_MALFORMED}, {7000, FRAME_DATAGRAM}, {7063, FRAME_DATAGRAM},
                 {7064, FRAME_MALFORMED}, {0, FRAME_MALFORMED},   {65535, FRAME_MALFORMED}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        uint32_t bytes = build(data, 10, table[i].port, false);
        CHECK_EQUAL(parse(data, bytes), table[i].kind);
    }
}

static void random_bytes_are_survived(void)
{
    struct prng prng;
    prng_init(&prng, 11);
    struct arp_table table;
    arp_init(&table);
    for (int round = 0; round < 200000; round++) {
        uint8_t data[128];
        uint32_t bytes = (uint32_t)prng_below(&prng, sizeof(data) + 1);
        for (uint32_t i = 0; i < bytes; i += 8) {
            uint64_t word = prng_next(&prng);
            memcpy(data + i, &word, bytes - i < 8 ? bytes - i : 8);
        }
        if (bytes > 24 && round % 2 == 0) {
            memcpy(data + 12, "\x08\x00\x45", 3);
        }
        bool valid;
        parse(data, bytes);
        arp_on_packet(&table, 0, OUR_IPV4, our_mac, 0, data, bytes, &valid);
    }
    CHECK_EQUAL(table.count, 0);
}

static uint32_t build_echo(uint8_t *data, uint32_t payload_bytes)
{
    uint32_t bytes = build(data, payload_bytes, 7000, false);
    net_echo_make(data, bytes);
    return bytes;
}

static void an_echo_request_becomes_its_reply(void)
{
    uint8_t data[200];
    for (uint32_t payload = 0; payload < 100; payload++) {
        uint32_t bytes = build_echo(data, payload);
        CHECK_EQUAL(parse(data, bytes), FRAME_ICMP_ECHO);
        frame_echo_reply(data, our_mac);
        CHECK_EQUAL(data[34], 0);
        CHECK_EQUAL(frame_sum(data + 34, bytes - 34, 0), 0xffff);
        CHECK_EQUAL(frame_sum(data + 14, 20, 0), 0xffff);
        CHECK_EQUAL(frame_get32(data + 26), OUR_IPV4);
        CHECK_EQUAL(frame_get32(data + 30), THEIR_IPV4);
        CHECK(memcmp(data, their_mac, 6) == 0 && memcmp(data + 6, our_mac, 6) == 0);
    }
    uint32_t bytes = build_echo(data, 20);
    data[bytes - 1] ^= 1;
    CHECK_EQUAL(parse(data, bytes), FRAME_MALFORMED);
}

static void give_answer(struct arp_table *table, uint64_t now_ns, const uint8_t mac[6])
{
    uint8_t data[ARP_PACKET_BYTES];
    bool valid;
    // They ask for a third party: that alone teaches their address.
    arp_build_question(data, mac, THEIR_IPV4, OUR_IPV4 + 9);
    CHECK(!arp_on_packet(table, 3, OUR_IPV4, our_mac, now_ns, data, sizeof(data), &valid));
    CHECK(valid);
}

static void questions_back_off_until_the_answer(void)
{
    struct arp_table table;
    struct arp_question question;
    uint8_t mac[6];
    arp_init(&table);
    CHECK(!arp_due(&table, 1000 * MS, &question));
    CHECK(arp_wish(&table, 3, THEIR_IPV4));
    CHECK(arp_wish(&table, 3, THEIR_IPV4));
    CHECK_EQUAL(table.count, 1);
    uint64_t now_ns = 1000 * MS, pause_ns = 10 * MS;
    for (int i = 0; i < 12; i++) {
        CHECK(!arp_lookup(&table, 3, THEIR_IPV4, mac));
        CHECK(arp_due(&table, now_ns, &question));
        CHECK_EQUAL(question.link, 3);
        CHECK_EQUAL(question.ipv4, THEIR_IPV4);
        CHECK(!arp_due(&table, now_ns, &question));
        CHECK(!arp_due(&table, now_ns + pause_ns - 1, &question));
        now_ns += pause_ns;
        pause_ns = pause_ns * 2 > 1000 * MS ? 1000 * MS : pause_ns * 2;
    }
    give_answer(&table, now_ns, their_mac);
    CHECK(arp_lookup(&table, 3, THEIR_IPV4, mac));
    CHECK(memcmp(mac, their_mac, 6) == 0);
    CHECK(!arp_lookup(&table, 2, THEIR_IPV4, mac)); // another link
    CHECK(!arp_due(&table, now_ns + 1000 * MS, &question));
}

static void an_answer_ages_is_asked_again_and_forgotten_late(void)
{
    struct arp_table table;
    struct arp_question question;
    uint8_t mac[6];
    arp_init(&table);
    arp_wish(&table, 3, THEIR_IPV4);
    give_answer(&table, MS, their_mac);
    CHECK(!arp_due(&table, MS + ARP_FRESH_NS - 1, &question));
    uint64_t now_ns = MS + ARP_FRESH_NS;
    for (int i = 0; i < ARP_PROBES_MAX; i++, now_ns += ARP_ASK_LAST_NS) {
        CHECK(arp_due(&table, now_ns, &question));
        CHECK(arp_lookup(&table, 3, THEIR_IPV4, mac)); // still used
    }
    CHECK(arp_due(&table, now_ns, &question));
    CHECK(!arp_lookup(&table, 3, THEIR_IPV4, mac));
    static const uint8_t new_mac[6] = {2, 9, 9, 9, 9, 9};
    give_answer(&table, now_ns, new_mac);
    CHECK(arp_lookup(&table, 3, THEIR_IPV4, mac));
    CHECK(memcmp(mac, new_mac, 6) == 0);
}

static void strangers_do_not_enter_the_table(void)
{
    struct arp_table table;
    uint8_t mac[6];
    arp_init(&table);
    for (uint32_t i = 0; i < 10000; i++) {
        give_answer(&table, MS, their_mac);
    }
    CHECK_EQUAL(table.count, 0);
    CHECK(!arp_lookup(&table, 3, THEIR_IPV4, mac));
}

static void a_full_table_refuses_and_stays_right(void)
{
    struct arp_table table;
    uint32_t taken = 0;
    arp_init(&table);
    for (uint32_t i = 0; i < 1000; i++) {
        taken += arp_wish(&table, (uint16_t)(i % 5), 0x0a000000 + i);
    }
    CHECK(taken < ARP_ENTRIES_MAX);
    CHECK_EQUAL(table.count, taken);
    struct arp_question question;
    uint32_t asked = 0;
    while (arp_due(&table, MS, &question)) {
        asked++;
        CHECK_EQUAL(question.link, (question.ipv4 - 0x0a000000) % 5);
    }
    CHECK_EQUAL(asked, taken);
}

static void a_question_for_us_becomes_the_answer(void)
{
    struct arp_table table;
    uint8_t data[64] = {0}, mac[6];
    bool valid;
    arp_init(&table);
    arp_wish(&table, 3, THEIR_IPV4);
    arp_build_question(data, their_mac, THEIR_IPV4, OUR_IPV4);
    CHECK_EQUAL(parse(data, ARP_PACKET_BYTES), FRAME_ARP);
    CHECK(arp_on_packet(&table, 3, OUR_IPV4, our_mac, MS, data, sizeof(data), &valid));
    CHECK(memcmp(data, their_mac, 6) == 0 && memcmp(data + 6, our_mac, 6) == 0);
    CHECK_EQUAL(frame_get16(data + 20), 2);
    CHECK(memcmp(data + 22, our_mac, 6) == 0);
    CHECK_EQUAL(frame_get32(data + 28), OUR_IPV4);
    CHECK(memcmp(data + 32, their_mac, 6) == 0);
    CHECK_EQUAL(frame_get32(data + 38), THEIR_IPV4);
    CHECK(arp_lookup(&table, 3, THEIR_IPV4, mac));
}

static void rubbish_teaches_nothing(void)
{
    struct arp_table table;
    uint8_t good[ARP_PACKET_BYTES], data[ARP_PACKET_BYTES], mac[6];
    bool valid;
    arp_init(&table);
    arp_wish(&table, 3, THEIR_IPV4);
    arp_build_question(good, their_mac, THEIR_IPV4, OUR_IPV4);
    for (uint32_t at = 14; at < 22; at++) { // hardware, protocol, lengths, operation
        memcpy(data, good, sizeof(data));
        data[at] ^= 0x10;
        CHECK(!arp_on_packet(&table, 3, OUR_IPV4, our_mac, MS, data, sizeof(data), &valid));
        CHECK(!valid);
    }
    memcpy(data, good, sizeof(data));
    data[22] |= 1; // a multicast address is nobody's
    CHECK(!arp_on_packet(&table, 3, OUR_IPV4, our_mac, MS, data, sizeof(data), &valid));
    for (uint32_t bytes = 0; bytes < ARP_PACKET_BYTES; bytes++) {
        CHECK(!arp_on_packet(&table, 3, OUR_IPV4, our_mac, MS, good, bytes, &valid));
        CHECK(!valid);
    }
    CHECK(!arp_lookup(&table, 3, THEIR_IPV4, mac));
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(the_checksum_equals_its_slow_twin),
        TEST(what_is_built_is_parsed),
        TEST(ethernet_padding_is_ignored),
        TEST(every_prefix_is_malformed),
        TEST(every_flipped_bit_is_seen),
        TEST(only_our_ports_are_ours),
        TEST(random_bytes_are_survived),
        TEST(an_echo_request_becomes_its_reply),
        TEST(questions_back_off_until_the_answer),
        TEST(an_answer_ages_is_asked_again_and_forgotten_late),
        TEST(strangers_do_not_enter_the_table),
        TEST(a_full_table_refuses_and_stays_right),
        TEST(a_question_for_us_becomes_the_answer),
        TEST(rubbish_teaches_nothing),
    };
    return test_run("net bytes", cases, TEST_COUNT(cases), argc, argv);
}
