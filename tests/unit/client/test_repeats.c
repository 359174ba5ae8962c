// Frames that are lost, late, doubled and turned round: what is sent again, and done once.
#include "tests/harness/harness.h"
#include "tests/unit/client/bed.h"

static void repeats_lost_requests(void)
{
    struct bed bed = bed_open_warm(1472, 64, 0);
    bed.fake->drop_requests = 1;
    bed_propose(&bed, 0, 8, 16);
    fake_run(bed.fake, bed.client, 99, FAKE_MS);
    CHECK_EQUAL(bed_ends.count, 1);
    CHECK(fake_run_out(bed.fake, bed.client, 5 * FAKE_MS));
    bed_check_done(0, 8);
    CHECK_EQUAL(bed.fake->repeats, 0);
    CHECK_EQUAL(bed_counters(&bed).commands.resent, 8);
    bed_close(bed);
}

static void repeats_after_lost_answers_without_doing_twice(void)
{
    struct bed bed = bed_open_warm(1472, 64, 0);
    bed.fake->drop_replies = 1;
    bed_propose(&bed, 0, 8, 16);
    CHECK(fake_run_out(bed.fake, bed.client, 110 * FAKE_MS));
    bed_check_done(0, 8);
    CHECK_EQUAL(bed.fake->repeats, 8);
    CHECK_EQUAL(bed_executed(&bed), 9);
    bed_close(bed);
}

static void only_the_lost_part_is_repeated(void)
{
    struct bed bed = bed_open_warm(600, 64, 0);
    bed.fake->drop_requests = 1;
    bed_propose(&bed, 0, 64, 100);
    CHECK(fake_run_out(bed.fake, bed.client, 110 * FAKE_MS));
    bed_check_done(0, 64);
    CHECK_EQUAL(bed_counters(&bed).commands.resent, 4); // what a frame of 600 bytes holds
    bed_close(bed);
}

static void a_lost_fragment_is_repeated(void)
{
    struct bed bed = bed_open_warm(1472, 64, 0);
    bed_propose(&bed, 0, 10, 200000);
    bed.fake->drop_requests = 3;
    CHECK(fake_run_out(bed.fake, bed.client, 1000 * FAKE_MS));
    bed_check_done(0, 10);
    bed_close(bed);
}

// Under load answers may take longer than an attempt: repeated at first, then waited for.
static void slow_answers_are_waited_for(void)
{
    struct bed bed = bed_open_warm(1472, 64, 0);
    uint64_t resent = 0;
    for (uint32_t round = 0; round < 60; round++) {
        bed.fake->delay_ns = 150 * FAKE_MS;
        bed_propose(&bed, round, 1, 16);
        CHECK(fake_run_out(bed.fake, bed.client, 1000 * FAKE_MS));
        resent = round == 30 ? bed_counters(&bed).commands.resent : resent;
    }
    CHECK(resent > 0);
    CHECK_EQUAL(bed_counters(&bed).commands.resent, resent);
    bed_check_done(0, 60);
    bed_close(bed);
}

static void doubled_answers_end_a_command_once(void)
{
    struct bed bed = bed_open(1472, 64, 0);
    bed.fake->doubles = true;
    for (uint32_t round = 0; round < 10; round++) {
        bed_propose(&bed, round * 64, 64, 16);
        CHECK(fake_run_out(bed.fake, bed.client, 10 * FAKE_MS));
    }
    fake_run(bed.fake, bed.client, 10, FAKE_MS);
    bed_check_done(0, 640);
    CHECK_EQUAL(bed_ends.count, 640);
    bed_close(bed);
}

static void answers_may_come_in_any_order(void)
{
    struct bed bed = bed_open_warm(600, 512, 0);
    bed.fake->holds_replies = true;
    bed_propose(&bed, 0, 512, 64);
    fake_run(bed.fake, bed.client, 10, 1000);
    bed.fake->holds_replies = false;
    bed.fake->is_reversed = true;
    CHECK(fake_run_out(bed.fake, bed.client, 10 * FAKE_MS));
    bed_check_done(0, 512);
    CHECK_EQUAL(bed_counters(&bed).commands.resent, 0);
    bed_close(bed);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(repeats_lost_requests),          TEST(repeats_after_lost_answers_without_doing_twice),
        TEST(only_the_lost_part_is_repeated), TEST(a_lost_fragment_is_repeated),
        TEST(slow_answers_are_waited_for),    TEST(doubled_answers_end_a_command_once),
        TEST(answers_may_come_in_any_order),
    };
    return test_run("client repeats", cases, TEST_COUNT(cases), argc, argv);
}
