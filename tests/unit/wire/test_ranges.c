// What clients declare that their requests touch: the layout as published, what the reader refuses
// and what it leaves to who answers, and that requests without ranges are what they always were.
#include "tests/harness/harness.h"

#include <stdio.h>
#include <string.h>

#include "engine/wire/layout.h"
#include "engine/wire/wire.h"
#include "tests/unit/wire/doctored.h"
#include "tests/unit/wire/oracle.h"
#include "tests/unit/wire/sample.h"

static struct sample sample;
static uint8_t frame[WIRE_FRAME_BYTES_MAX];

static const struct raft_footprint all[WIRE_RANGES_MAX] = {{0, 1},   {8, 8},   {100, 1}, {200, 1},
                                                           {300, 1}, {400, 1}, {500, 1}, {600, 1}};

// Two commands of 8 bytes, of which the second declares two ranges; a fragment, or a query of 8
// bytes, with one.
static void make_plain(uint8_t type)
{
    static const uint8_t data[1024];
    memset(&sample.message, 0, sizeof(sample.message));
    sample.message.type = type;
    sample.message.group = 1;
    for (uint32_t i = 0; i < 2; i++) {
        sample.heads[i] = (struct raft_entry_head){
            .client = 3, .sequence = i + 1, .bytes = 8, .kind = RAFT_ENTRY_COMMAND};
        sample.payloads[i] = data;
        sample.ranges[i] = (struct wire_ranges){.at = all, .count = i == 0 ? 0 : 2};
    }
    if (type == WIRE_PROPOSE) {
        sample.message.propose = (struct wire_propose){.count = 2,
                                                       .heads = sample.heads,
                                                       .payloads = sample.payloads,
                                                       .payload_bytes = 16,
                                                       .ranges = sample.ranges};
    } else if (type == WIRE_PROPOSE_FRAGMENT) {
        sample.message.fragment = (struct wire_fragment){
            .head = {.client = 3, .sequence = 1, .bytes = 1200, .kind = RAFT_ENTRY_COMMAND},
            .offset = 512,
            .bytes = 512,
            .data = data,
            .ranges = {.at = all, .count = 1}};
    } else {
        sample.message.read = (struct wire_read){
            .request = 1, .bytes = 8, .query = data, .ranges = {.at = all, .count = 1}};
    }
}

static uint32_t plain_frame(uint8_t type)
{
    make_plain(type);
    return sample_frame(frame, sizeof(frame), &sample.message);
}

// Two messages differ where they should not: the first byte that does.
static void check_bytes(const uint8_t *want, uint32_t bytes)
{
    uint32_t got = sample_frame(frame, sizeof(frame), &sample.message);
    CHECK_EQUAL(got, M + bytes);
    for (uint32_t at = 0; at < bytes; at++) {
        if (frame[M + at] != want[at]) {
            printf("    byte %u\n", at);
        }
        CHECK_EQUAL(frame[M + at], want[at]);
    }
    CHECK_EQUAL(doctored_drain(sample.message.type, frame, got), WIRE_END);
}

#define U64(byte) byte, 0, 0, 0, 0, 0, 0, 0

static void ranges_lie_as_published(void)
{
    static const uint8_t want[] = {
        128,    0,      0,      0,      32, 32, 1, 0, U64(0), // bytes, type, flags RANGES, group
        2,      0,      0,      0,      16, 0,  0, 0,         // count, payload bytes
        U64(3), U64(1), 0,      0,      0,  0,  8, 0, 0,
        2, // client, sequence, crc, bytes, kind
        U64(3), U64(2), 0,      0,      0,  0,  8, 0, 0,
        2,                                            //
        0,      2,      0,      0,      0,  0,  0, 0, // counts, padding
        U64(0), U64(1), U64(8), U64(8),               // ranges
        U64(0), U64(0),                               // payloads
    };
    make_plain(WIRE_PROPOSE);
    check_bytes(want, sizeof(want));
    static const uint8_t want_read[] = {
        88,     0,      0,      0, 42, 32, 1, 0, U64(0), // bytes, type, flags RANGES, group
        U64(1), 8,      0,      0, 0,  0,  0, 0, 0,      // request, bytes, reserved
        U64(0), U64(0), U64(0),                          // reserved
        U64(1), U64(0), U64(1),                          // count, range
        U64(0),                                          // query
    };
    make_plain(WIRE_READ);
    check_bytes(want_read, sizeof(want_read));
    uint32_t bytes = plain_frame(WIRE_PROPOSE_FRAGMENT);
    CHECK_EQUAL(bytes, M + 48 + 24 + 512);
    CHECK_EQUAL(frame[M + 5], 32);
    CHECK_EQUAL(frame[M + 48], 1);
}

// An array of counts that are all 0 says no more than no array.
static void without_ranges_not_a_byte_is_another(void)
{
    static uint8_t before[WIRE_FRAME_BYTES_MAX];
    static const struct wire_ranges none[2];
    struct wire_envelope envelope = sample_envelope(WIRE_PROPOSE);
    struct wire_writer writer;
    const void *payloads[] = {"eight b.", "eight b."};
    make_plain(WIRE_PROPOSE);
    wire_begin(&writer, before, sizeof(before), &envelope);
    CHECK_EQUAL(wire_put_propose(&writer, 1, sample.heads, payloads, 2), 2);
    uint32_t bytes = wire_seal(&writer);
    CHECK_EQUAL(bytes, M + 24 + 2 * 24 + 16);
    wire_begin(&writer, frame, sizeof(frame), &envelope);
    CHECK_EQUAL(wire_put_propose_ranges(&writer, 1, sample.heads, payloads, none, 2), 2);
    CHECK_EQUAL(wire_seal(&writer), bytes);
    CHECK(memcmp(before, frame, bytes) == 0);
    CHECK_EQUAL(frame[M + 5], 0);
}

enum { FLAGS = M + 5, COUNTS = M + 72, FRAGMENTS_COUNT = M + 48, READS_COUNT = M + 56 };

static const struct doctored_row rows[] = {
    {"ranges, but not the flag", WIRE_PROPOSE, FLAGS, 1, 0, WIRE_BAD_FIELD},
    {"another flag beside it", WIRE_PROPOSE, FLAGS, 1, 33, WIRE_BAD_FIELD},
    {"nobody declares any", WIRE_PROPOSE, COUNTS + 1, 1, 0, WIRE_BAD_FIELD},
    {"a range fewer", WIRE_PROPOSE, COUNTS + 1, 1, 1, WIRE_BAD_FIELD},
    {"a range more", WIRE_PROPOSE, COUNTS + 1, 1, 3, WIRE_BAD_FIELD},
    {"255 ranges", WIRE_PROPOSE, COUNTS + 1, 1, 255, WIRE_BAD_FIELD},
    {"a range of the first", WIRE_PROPOSE, COUNTS, 1, 1, WIRE_BAD_FIELD},
    {"padding of the counts", WIRE_PROPOSE, COUNTS + 2, 1, 1, WIRE_BAD_FIELD},
    {"the last padding of the counts", WIRE_PROPOSE, COUNTS + 7, 1, 255, WIRE_BAD_FIELD},
    {"a proposal fewer", WIRE_PROPOSE, M + 16, 1, 1, WIRE_BAD_FIELD},
    {"a proposal more", WIRE_PROPOSE, M + 16, 1, 3, WIRE_BAD_FIELD},
    {"512 more", WIRE_PROPOSE, M + 17, 1, 2, WIRE_BAD_FIELD},
    {"fragment without the flag", WIRE_PROPOSE_FRAGMENT, FLAGS, 1, 0, WIRE_BAD_FIELD},
    {"fragment of no ranges", WIRE_PROPOSE_FRAGMENT, FRAGMENTS_COUNT, 1, 0, WIRE_BAD_FIELD},
    {"fragment of two ranges", WIRE_PROPOSE_FRAGMENT, FRAGMENTS_COUNT, 1, 2, WIRE_BAD_FIELD},
    {"fragment of 255 ranges", WIRE_PROPOSE_FRAGMENT, FRAGMENTS_COUNT, 1, 255, WIRE_BAD_FIELD},
    {"fragment's padding", WIRE_PROPOSE_FRAGMENT, FRAGMENTS_COUNT + 7, 1, 1, WIRE_BAD_FIELD},
    {"query without the flag", WIRE_READ, FLAGS, 1, 0, WIRE_BAD_FIELD},
    {"query of no ranges", WIRE_READ, READS_COUNT, 1, 0, WIRE_BAD_FIELD},
    {"query of two ranges", WIRE_READ, READS_COUNT, 1, 2, WIRE_BAD_FIELD},
    {"query of 255 ranges", WIRE_READ, READS_COUNT, 1, 255, WIRE_BAD_FIELD},
    {"query's padding", WIRE_READ, READS_COUNT + 1, 1, 1, WIRE_BAD_FIELD},
};

static void every_row_is_refused(void)
{
    doctored_check(rows, TEST_COUNT(rows), plain_frame, frame);
}

// A message of `type`, then bytes as if it had ranges, though it may not.
static void only_requests_that_touch_something_have_ranges(void)
{
    static const uint8_t types[] = {WIRE_STATUS, RAFT_MSG_APPEND, WIRE_APPEND_FRAGMENT,
                                    WIRE_PROPOSE_REPLY};
    struct prng prng;
    prng_init(&prng, 3);
    for (uint32_t i = 0; i < sizeof(types); i++) {
        sample_make(&sample, &prng, types[i], 400);
        uint32_t bytes = sample_frame(frame, sizeof(frame), &sample.message);
        frame[FLAGS] |= 32;
        oracle_reseal(frame, bytes);
        CHECK_EQUAL(doctored_drain(types[i], frame, bytes), WIRE_BAD_FIELD);
    }
    make_plain(WIRE_PROPOSE); // of which one registers, and touches nothing by name
    sample.heads[0] = (struct raft_entry_head){.client = 9, .kind = RAFT_ENTRY_REGISTER};
    sample.ranges[0].count = 1;
    sample.message.propose.count = 1;
    sample.message.propose.payload_bytes = 0;
    uint32_t bytes = sample_frame(frame, sizeof(frame), &sample.message);
    CHECK_EQUAL(doctored_drain(WIRE_PROPOSE, frame, bytes), WIRE_BAD_FIELD);
}

#define MAX UINT64_MAX

static const struct {
    const char *what;
    uint8_t count;
    bool is_valid;
    struct raft_footprint ranges[WIRE_RANGES_MAX + 1];
} judged[] = {
    {"none", 0, true, {{0}}},
    {"one key", 1, true, {{5, 1}}},
    {"the first key", 1, true, {{0, 1}}},
    {"the last key", 1, true, {{MAX, 1}}},
    {"nearly all", 1, true, {{0, MAX}}},
    {"all but the first", 1, true, {{1, MAX}}},
    {"empty", 1, false, {{5, 0}}},
    {"empty, the second", 2, false, {{5, 1}, {9, 0}}},
    {"beyond the key space", 1, false, {{2, MAX}}},
    {"beyond by one", 1, false, {{MAX, 2}}},
    {"side by side", 2, true, {{0, 8}, {8, 8}}},
    {"side by side, backwards", 2, true, {{8, 8}, {0, 8}}},
    {"side by side at the end", 2, true, {{MAX - 1, 1}, {MAX, 1}}},
    {"twice the same", 2, false, {{5, 1}, {5, 1}}},
    {"overlap by one", 2, false, {{0, 9}, {8, 8}}},
    {"overlap by one, backwards", 2, false, {{8, 8}, {0, 9}}},
    {"one in the other", 2, false, {{0, 100}, {50, 1}}},
    {"one around the other", 2, false, {{50, 1}, {0, 100}}},
    {"the last overlaps the first", 3, false, {{0, 8}, {20, 8}, {7, 1}}},
    {"to the end, and the last key", 2, false, {{5, MAX - 4}, {MAX, 1}}},
    {"eight", 8, true, {{0, 1}, {8, 8}, {16, 1}, {17, 1}, {30, 1}, {40, 1}, {50, 1}, {60, 1}}},
    {"nine",
     9,
     false,
     {{0, 1}, {2, 1}, {4, 1}, {6, 1}, {8, 1}, {10, 1}, {12, 1}, {14, 1}, {16, 1}}},
};

// The reader takes them all, so that a client can be told; whoever answers asks this.
static void ranges_are_judged_by_who_answers(void)
{
    for (size_t i = 0; i < sizeof(judged) / sizeof(judged[0]); i++) {
        uint8_t unaligned[sizeof(judged[i].ranges) + 1];
        memcpy(unaligned + 1, judged[i].ranges, sizeof(judged[i].ranges));
        const struct wire_ranges ranges = {.at = unaligned + 1, .count = judged[i].count};
        if (wire_ranges_are_valid(&ranges) != judged[i].is_valid) {
            printf("    row \"%s\"\n", judged[i].what);
        }
        CHECK_EQUAL(wire_ranges_are_valid(&ranges), judged[i].is_valid);
        make_plain(WIRE_READ);
        sample.message.read.ranges = ranges;
        CHECK_EQUAL(
            doctored_drain(WIRE_READ, frame, sample_frame(frame, sizeof(frame), &sample.message)),
            WIRE_END);
    }
}

// Any ranges against a slow twin over few keys.
static void random_ranges_are_judged_alike(void)
{
    struct prng prng;
    prng_init(&prng, 7);
    uint32_t valid = 0;
    for (uint32_t round = 0; round < 20000; round++) {
        struct raft_footprint ranges[WIRE_RANGES_MAX];
        uint32_t count = (uint32_t)prng_below(&prng, WIRE_RANGES_MAX + 1);
        uint64_t origin = prng_chance(&prng, 1, 2) ? 0 : MAX - 63;
        uint8_t users[128] = {0};
        bool is_valid = true;
        for (uint32_t i = 0; i < count; i++) {
            uint64_t from = prng_below(&prng, 64), length = prng_below(&prng, 9);
            ranges[i] = (struct raft_footprint){origin + from, length};
            is_valid &= length > 0 && (origin == 0 || from + length <= 64);
            for (uint64_t key = from; key < from + length; key++) {
                is_valid &= users[key]++ == 0;
            }
        }
        const struct wire_ranges declared = {.at = ranges, .count = (uint8_t)count};
        CHECK_EQUAL(wire_ranges_are_valid(&declared), is_valid);
        valid += is_valid;
    }
    CHECK(valid > 4000);
}

// A prefix that fits, with what its own commands declare and nothing of those behind it.
static void batches_take_the_largest_prefix_that_fits(void)
{
    struct prng prng;
    prng_init(&prng, 8);
    struct wire_envelope envelope = sample_envelope(WIRE_PROPOSE);
    uint32_t cut = 0;
    for (uint32_t round = 0; round < 3000; round++) {
        uint32_t capacity = (uint32_t)prng_between(&prng, M, 2000);
        uint32_t left = (capacity - M) & ~7u;
        uint32_t sum = 24, ranges = 0, twin = 0;
        sample_make(&sample, &prng, WIRE_PROPOSE, 4000);
        struct wire_propose *propose = &sample.message.propose;
        for (uint32_t i = 0; i < propose->count && twin == i; i++) {
            sum += 24 + propose->heads[i].bytes;
            ranges += propose->ranges == NULL ? 0 : propose->ranges[i].count;
            uint32_t block = ranges == 0 ? 0 : (i + 8) / 8 * 8 + 16 * ranges;
            twin += sum + block <= left;
        }
        struct wire_writer writer;
        wire_begin(&writer, frame, capacity, &envelope);
        CHECK_EQUAL(wire_put_propose_ranges(&writer, 0, propose->heads,
                                            (const void *const *)propose->payloads, propose->ranges,
                                            propose->count),
                    twin);
        CHECK_EQUAL(writer.messages, twin > 0);
        cut += twin > 0 && twin < propose->count && propose->ranges != NULL;
        if (twin > 0) {
            CHECK_EQUAL(doctored_drain(WIRE_PROPOSE, frame, wire_seal(&writer)), WIRE_END);
        }
    }
    CHECK(cut > 50);
}

// For every frame size: a fragment of the promised size fits with its ranges, and none is smaller
// than fragments are.
static void promised_sizes_fit(void)
{
    static uint8_t payload[WIRE_FRAME_BYTES_MAX + 8];
    struct wire_envelope envelope = sample_envelope(WIRE_PROPOSE_FRAGMENT);
    for (uint32_t size = WIRE_FRAME_BYTES_MIN; size <= WIRE_FRAME_BYTES_MAX; size++) {
        for (uint8_t count = 0; count <= WIRE_RANGES_MAX; count++) {
            struct wire_writer writer;
            struct wire_fragment fragment = {.data = payload,
                                             .bytes = wire_propose_fragment_bytes(size, count),
                                             .ranges = {.at = all, .count = count}};
            CHECK(fragment.bytes >= WIRE_FRAGMENT_BYTES_MIN);
            CHECK(fragment.bytes <= wire_fragment_bytes(size));
            CHECK(count > 2 || fragment.bytes == wire_fragment_bytes(size));
            wire_begin(&writer, frame, size, &envelope);
            CHECK(wire_put_propose_fragment(&writer, 0, &fragment));
            fragment.bytes += 8;
            wire_begin(&writer, frame, size, &envelope);
            CHECK(count <= 3 || !wire_put_propose_fragment(&writer, 0, &fragment));
            struct raft_entry_head head = {.kind = RAFT_ENTRY_COMMAND};
            const void *payloads[1] = {payload};
            uint32_t most = wire_propose_payload_max(size) - wire_ranges_bytes(1, count);
            for (uint32_t more = 0; more <= 8; more += 8) {
                head.bytes = most + more;
                wire_begin(&writer, frame, size, &envelope);
                CHECK_EQUAL(
                    wire_put_propose_ranges(&writer, 0, &head, payloads, &fragment.ranges, 1),
                    more == 0);
            }
        }
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(ranges_lie_as_published),
        TEST(without_ranges_not_a_byte_is_another),
        TEST(every_row_is_refused),
        TEST(only_requests_that_touch_something_have_ranges),
        TEST(ranges_are_judged_by_who_answers),
        TEST(random_ranges_are_judged_alike),
        TEST(batches_take_the_largest_prefix_that_fits),
        TEST(promised_sizes_fit),
    };
    return test_run("wire ranges", cases, TEST_COUNT(cases), argc, argv);
}
