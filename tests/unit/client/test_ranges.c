// What commands and queries declare to touch: it travels with them, whole, in fragments and again,
// to whoever leads; only to parallel groups; and nobody is sent what cannot be.
#include <errno.h>
#include <string.h>

#include "tests/harness/harness.h"
#include "tests/unit/client/fake_cluster.h"

static struct fake *fake;
static struct client *client;
static uint32_t ends[8]; // by status

static void open_world(uint32_t frame_bytes, bool is_parallel)
{
    memset(ends, 0, sizeof(ends));
    fake = fake_open(frame_bytes);
    fake->is_parallel = is_parallel;
    client = fake_client(fake, 2, 1000, 0);
}

static void close_world(void)
{
    client_close(client);
    CHECK_EQUAL(fake->bad_entries, 0);
    CHECK_EQUAL(fake->contradictions, 0);
    CHECK_EQUAL(fake->wrong_ranges, 0);
    fake_close(fake);
}

static void on_done(void *context, const struct pontoon_result *result)
{
    CHECK(result->status != PONTOON_DONE || result->value == (uint32_t)(uintptr_t)context);
    ends[result->status]++;
}

static void on_answer(void *context, enum pontoon_status status, const void *answer, int32_t bytes)
{
    ends[status]++;
}

// Command (or query) `at` with what the fake cluster expects of it. The ranges go away at once.
static int ask(uint32_t at, uint32_t bytes, bool is_read)
{
    static uint8_t payload[RAFT_PAYLOAD_BYTES_MAX];
    struct pontoon_range ranges[PONTOON_RANGES_MAX];
    uint32_t value = 3 * at;
    memset(payload, (int)at, bytes);
    memcpy(payload, &value, sizeof(value));
    const struct pontoon_command command = {.payload = payload,
                                            .bytes = bytes,
                                            .ranges = ranges,
                                            .range_count = fake_ranges(value, ranges)};
    int error = is_read
                    ? client_read_ranges(client, 0, &command, on_answer, NULL)
                    : client_propose_ranges(client, 0, &command, on_done, (void *)(uintptr_t)value);
    memset(ranges, 0xEE, sizeof(ranges));
    return error;
}

static uint64_t resent(void)
{
    struct client_counters counters;
    client_counters(client, &counters);
    return counters.commands.resent;
}

static void commands_and_queries_carry_what_they_declare(void)
{
    static const uint32_t sizes[] = {534, 600, 1472, 9000};
    for (uint32_t round = 0; round < 4; round++) {
        open_world(sizes[round], true);
        for (uint32_t at = 0; at < 1000; at++) {
            CHECK_EQUAL(ask(at, 4 + at * 7 % 300, false), 0);
        }
        for (uint32_t at = 0; at < 200; at++) {
            CHECK_EQUAL(ask(at, 4 + at * 7 % 200, true), 0);
        }
        CHECK(fake_run_out(fake, client, 200 * FAKE_MS));
        CHECK_EQUAL(ends[PONTOON_DONE], 1200);
        CHECK_EQUAL(fake->declaring, 1200 - 112 - 23); // every ninth declares nothing
        close_world();
    }
}

// Fragments of one frame size, and what just does not need any, with each number of ranges.
static void large_commands_carry_theirs_in_every_fragment(void)
{
    open_world(1472, true);
    uint32_t most = wire_propose_payload_max(1472);
    for (uint32_t at = 0; at < 90; at++) {
        uint32_t bytes = at < 45 ? most - 160 + 8 * (at / 9) * 5 + at % 9 : 20000 + at;
        CHECK_EQUAL(ask(at, bytes, false), 0);
    }
    CHECK_EQUAL(ask(90, RAFT_PAYLOAD_BYTES_MAX, false), 0);
    CHECK(fake_run_out(fake, client, 5000 * FAKE_MS));
    CHECK_EQUAL(ends[PONTOON_DONE], 91);
    CHECK(fake->fragments > 45 * 14);
    close_world();
}

static void what_is_sent_again_declares_the_same(void)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        uint32_t asked = 0;
        open_world(1472, true);
        prng_init(&fake->prng, seed);
        fake->loss_percent = 5;
        for (uint32_t step = 0; step < 3000; step++) {
            bool is_read = step % 5 == 0, is_large = !is_read && step % 97 < 2;
            if (asked < 2000 && client_in_flight(client) < 300 &&
                ask(asked, is_large ? 9000 : 20 + step % 50, is_read) == 0) {
                asked++;
            }
            if (step % 400 == 0) { // another leads, which has nothing of what is under way
                fake->leader = fake->hint = (uint16_t)(1 + prng_below(&fake->prng, FAKE_NODES));
            }
            fake_run(fake, client, 1, FAKE_MS / 10);
        }
        CHECK(fake_run_out(fake, client, 20000 * FAKE_MS));
        CHECK_EQUAL(ends[PONTOON_DONE], asked);
        CHECK(resent() > 100 && fake->repeats > 10);
        close_world();
    }
}

// One code serves both orders; a strict cluster is not told what it would not use.
static void strict_groups_are_sent_none(void)
{
    open_world(1472, false);
    for (uint32_t at = 0; at < 200; at++) {
        CHECK_EQUAL(ask(at, at % 50 == 1 ? 3000 : 20, at % 5 == 0), 0);
    }
    CHECK(fake_run_out(fake, client, 200 * FAKE_MS));
    CHECK_EQUAL(ends[PONTOON_DONE], 200);
    CHECK_EQUAL(fake->declaring, 0);
    close_world();
}

static void refuses_ranges_nobody_can_mean(void)
{
    static const struct {
        uint32_t count;
        struct pontoon_range ranges[9];
    } bad[] = {
        {1, {{5, 0}}},
        {1, {{2, UINT64_MAX}}},
        {1, {{UINT64_MAX, 2}}},
        {2, {{0, 8}, {7, 1}}},
        {2, {{5, 1}, {5, 1}}},
        {9, {{0, 1}, {2, 1}, {4, 1}, {6, 1}, {8, 1}, {10, 1}, {12, 1}, {14, 1}, {16, 1}}},
        {256, {{0, 1}}}, // not looked at
        {UINT32_MAX, {{0, 1}}},
    };
    for (uint32_t is_parallel = 0; is_parallel < 2; is_parallel++) {
        open_world(1472, is_parallel);
        for (size_t at = 0; at < sizeof(bad) / sizeof(bad[0]); at++) {
            const struct pontoon_command command = {.payload = "command",
                                                    .bytes = 7,
                                                    .ranges = bad[at].ranges,
                                                    .range_count = bad[at].count};
            CHECK_EQUAL(client_propose_ranges(client, 0, &command, on_done, NULL), -EINVAL);
            CHECK_EQUAL(client_read_ranges(client, 0, &command, on_answer, NULL), -EINVAL);
        }
        CHECK_EQUAL(client_in_flight(client), 0);
        close_world();
    }
}

// A query has no fragments: it and its ranges share a frame.
static void a_query_too_long_for_its_ranges_is_invalid(void)
{
    open_world(534, true);
    CHECK_EQUAL(ask(8, wire_read_bytes_max(534) - 136, true), 0); // eight ranges: fits
    CHECK_EQUAL(ask(8, wire_read_bytes_max(534) - 128, true), 0);
    CHECK_EQUAL(ask(9, wire_read_bytes_max(534), true), 0); // none
    CHECK(fake_run_out(fake, client, 50 * FAKE_MS));
    CHECK_EQUAL(ends[PONTOON_DONE], 2);
    CHECK_EQUAL(ends[PONTOON_INVALID], 1);
    close_world();
}

// The ring of payloads holds the ranges as well: it is full before they meet, and goes round.
static void payloads_and_ranges_do_not_meet(void)
{
    uint32_t asked = 0, full = 0;
    open_world(9000, true);
    while (asked < 200) {
        int error = ask(asked, (512 << 10) - asked % 64, false);
        if (error == -EAGAIN) {
            full++;
            fake_run(fake, client, 1, FAKE_MS);
            continue;
        }
        CHECK_EQUAL(error, 0);
        asked++;
    }
    CHECK(full > 0);
    CHECK(fake_run_out(fake, client, 20000 * FAKE_MS));
    CHECK_EQUAL(ends[PONTOON_DONE], 200);
    close_world();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(commands_and_queries_carry_what_they_declare),
        TEST(large_commands_carry_theirs_in_every_fragment),
        TEST(what_is_sent_again_declares_the_same),
        TEST(strict_groups_are_sent_none),
        TEST(refuses_ranges_nobody_can_mean),
        TEST(a_query_too_long_for_its_ranges_is_invalid),
        TEST(payloads_and_ranges_do_not_meet),
    };
    return test_run("client ranges", cases, TEST_COUNT(cases), argc, argv);
}
