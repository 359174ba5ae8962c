// Commands of every size and number, as long as nothing goes wrong; what they wait for.
#include <errno.h>

#include "tests/harness/harness.h"
#include "tests/unit/client/bed.h"

static void answers_every_command_with_its_result(void)
{
    struct bed bed = bed_open(1472, 1000, 0);
    for (uint32_t at = 0; at < 1000; at++) {
        CHECK_EQUAL(bed_try(&bed, 0, at, 4 + at % 60), 0);
    }
    CHECK_EQUAL(bed_try(&bed, 0, 1000, 4), -EAGAIN);
    CHECK_EQUAL(client_in_flight(bed.client), 1000);
    CHECK(fake_run_out(bed.fake, bed.client, 100 * FAKE_MS));
    bed_check_done(0, 1000);
    CHECK_EQUAL(bed_executed(&bed), 1000);
    CHECK_EQUAL(bed.fake->repeats, 0);
    CHECK(bed_counters(&bed).frames_out < 60); // many commands a frame
    bed_close(bed);
}

static void refuses_what_cannot_be(void)
{
    struct bed bed = bed_open(1472, 4, 0);
    CHECK_EQUAL(bed_try(&bed, 4, 0, 4), -EINVAL);
    CHECK_EQUAL(client_propose(bed.client, 0, "x", RAFT_PAYLOAD_BYTES_MAX + 1, bed_on_done, NULL),
                -EINVAL);
    struct client_config config;
    struct client *client;
    client_config_init(&config);
    CHECK_EQUAL(client_open(&config, &client), -EINVAL);
    bed_close(bed);
}

static void takes_empty_commands(void)
{
    struct bed bed = bed_open(1472, 4, 0);
    CHECK_EQUAL(client_propose(bed.client, 0, NULL, 0, bed_on_done, (void *)(uintptr_t)0), 0);
    CHECK(fake_run_out(bed.fake, bed.client, 100 * FAKE_MS));
    CHECK_EQUAL(bed_ends.done, 1);
    bed_close(bed);
}

static void large_commands_travel_in_fragments(void)
{
    const uint32_t sizes[] = {1000, 1384, 1385, 1500, 4096, 70000, RAFT_PAYLOAD_BYTES_MAX};
    for (uint32_t frame = 534; frame <= 8960; frame += 8426) {
        struct bed bed = bed_open(frame, 64, 0);
        uint32_t count = sizeof(sizes) / sizeof(sizes[0]);
        for (uint32_t at = 0; at < count; at++) {
            CHECK_EQUAL(bed_try(&bed, 0, 2 * at, sizes[at]), 0);
            CHECK_EQUAL(bed_try(&bed, 0, 2 * at + 1, 20), 0);
        }
        CHECK(fake_run_out(bed.fake, bed.client, 400 * FAKE_MS));
        bed_check_done(0, 2 * count);
        CHECK(bed.fake->fragments > 100);
        CHECK_EQUAL(bed.fake->repeats, 0);
        bed_close(bed);
    }
}

static void payload_memory_is_reused(void)
{
    struct bed bed = bed_open(8960, 64, 0);
    uint32_t given = 0;
    for (uint32_t at = 0; at < 300; at++) { // 4 MiB hold a dozen of these
        while (bed_try(&bed, 0, at, 300000 + at % 7) == -EAGAIN) {
            fake_run(bed.fake, bed.client, 1, 10000);
        }
        given++;
    }
    CHECK(fake_run_out(bed.fake, bed.client, 100 * FAKE_MS));
    bed_check_done(0, given);
    bed_close(bed);
}

static void obeys_a_window_smaller_than_the_depth(void)
{
    struct bed bed = bed_open(8960, 8192, 0);
    bed.fake->window_max = 1024;
    bed_warm_up(&bed);
    bed.fake->holds_replies = true;
    bed_propose(&bed, 0, 8192, 16);
    fake_run(bed.fake, bed.client, 50, 1000);
    CHECK_EQUAL(bed.fake->sessions[0].newest, 1 + 1024);
    bed.fake->holds_replies = false;
    CHECK(fake_run_out(bed.fake, bed.client, 100 * FAKE_MS));
    bed_check_done(0, 8192);
    bed_close(bed);
}

static void waits_for_buffers_and_for_the_driver(void)
{
    struct bed bed = bed_open_warm(600, 1024, 0);
    bed_propose(&bed, 0, 1024, 100);
    bed.fake->has_no_buffers = true;
    fake_run(bed.fake, bed.client, 10, 1000);
    CHECK_EQUAL(bed_ends.count, 1);
    bed.fake->has_no_buffers = false;
    bed.fake->tx_limit = 0;
    fake_run(bed.fake, bed.client, 10, 1000);
    CHECK_EQUAL(bed_ends.count, 1);
    bed.fake->tx_limit = 3;
    CHECK(fake_run_out(bed.fake, bed.client, 90 * FAKE_MS));
    bed_check_done(0, 1024);
    CHECK_EQUAL(bed.fake->repeats, 0);
    bed_close(bed);
}

static void groups_have_their_own_sessions_and_share_frames(void)
{
    struct bed bed = bed_open_groups(8960, 129, 16, 0);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t at = 0; at < 3; at++) { // 0, 64, 128: one class
            CHECK_EQUAL(bed_try(&bed, (uint16_t)(at * 64), round * 3 + at, 16), 0);
        }
        uint64_t frames = bed_counters(&bed).frames_out;
        CHECK(fake_run_out(bed.fake, bed.client, 100 * FAKE_MS));
        CHECK(round == 0 || bed_counters(&bed).frames_out - frames == 1);
    }
    bed_check_done(0, 6);
    CHECK_EQUAL(bed.fake->session_count, 3);
    bed_close(bed);
}

static void closing_ends_everything(void)
{
    struct bed bed = bed_open(1472, 64, 0);
    bed_propose(&bed, 0, 10, 16);
    bed_close(bed);
    for (uint32_t at = 0; at < 10; at++) {
        CHECK_EQUAL(bed_ends.calls[at], 1);
        CHECK_EQUAL(bed_ends.status[at], PONTOON_UNKNOWN);
    }
}

// A callback may propose: a closed loop of 32.
static struct client *loop_client;
static uint32_t loop_next;

static void on_done_propose(void *context, const struct pontoon_result *result)
{
    bed_on_done(context, result);
    uint32_t value = loop_next * 3;
    if (loop_next < 5000) {
        int error = client_propose(loop_client, 0, &value, 4, on_done_propose,
                                   (void *)(uintptr_t)loop_next);
        CHECK_EQUAL(error, 0);
        loop_next++;
    }
}

static void callbacks_may_propose(void)
{
    struct bed bed = bed_open(1472, 32, 0);
    loop_client = bed.client;
    loop_next = 0;
    while (loop_next < 32) {
        uint32_t value = loop_next * 3;
        CHECK_EQUAL(
            client_propose(bed.client, 0, &value, 4, on_done_propose, (void *)(uintptr_t)loop_next),
            0);
        loop_next++;
    }
    CHECK(fake_run_out(bed.fake, bed.client, 100 * FAKE_MS));
    bed_check_done(0, 5000);
    bed_close(bed);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(answers_every_command_with_its_result),
        TEST(refuses_what_cannot_be),
        TEST(takes_empty_commands),
        TEST(large_commands_travel_in_fragments),
        TEST(payload_memory_is_reused),
        TEST(obeys_a_window_smaller_than_the_depth),
        TEST(waits_for_buffers_and_for_the_driver),
        TEST(groups_have_their_own_sessions_and_share_frames),
        TEST(closing_ends_everything),
        TEST(callbacks_may_propose),
    };
    return test_run("client commands", cases, TEST_COUNT(cases), argc, argv);
}
