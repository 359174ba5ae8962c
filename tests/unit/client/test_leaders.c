// Whom a command is sent to: hints, no leader, leaders that change, nodes that cannot serve or are
// busy.
#include "tests/harness/harness.h"
#include "tests/unit/client/bed.h"

static void goes_where_the_hint_says(void)
{
    for (uint16_t leader = 1; leader <= FAKE_NODES; leader++) {
        struct bed bed = bed_open(1472, 64, 0);
        bed.fake->leader = bed.fake->hint = leader;
        bed_propose(&bed, 0, 64, 16);
        fake_run(bed.fake, bed.client, 12, 1000); // without waiting for anything
        bed_check_done(0, 64);
        CHECK_EQUAL(client_leader(bed.client, 0), leader);
        bed_close(bed);
    }
}

static void finds_the_leader_without_hints(void)
{
    struct bed bed = bed_open(1472, 8, 0);
    bed.fake->leader = 3;
    bed.fake->hint = 0;
    bed_propose(&bed, 0, 1, 16);
    CHECK(fake_run_out(bed.fake, bed.client, 20 * FAKE_MS));
    bed_check_done(0, 1);
    bed_close(bed);
}

static void does_not_hammer_while_there_is_no_leader(void)
{
    struct bed bed = bed_open(1472, 64, 0);
    bed.fake->leader = bed.fake->hint = 0;
    bed_propose(&bed, 0, 64, 16);
    fake_run(bed.fake, bed.client, 100000, 10000); // a second
    uint64_t frames = bed_frames(&bed);
    CHECK(frames > 10 && frames < 200);
    bed.fake->leader = bed.fake->hint = 2;
    CHECK(fake_run_out(bed.fake, bed.client, 100 * FAKE_MS));
    bed_check_done(0, 64);
    bed_close(bed);
}

static void hints_in_a_circle_are_damped(void)
{
    struct bed bed = bed_open(1472, 4, 0);
    bed.fake->leader = 0;
    bed_propose(&bed, 0, 1, 16);
    for (uint32_t step = 0; step < 100000; step++) {
        bed.fake->hint = (uint16_t)(step % 3 + 1);
        fake_run(bed.fake, bed.client, 1, 10000);
    }
    CHECK(bed_frames(&bed) < 300);
    bed.fake->leader = bed.fake->hint = 1;
    CHECK(fake_run_out(bed.fake, bed.client, 100 * FAKE_MS));
    bed_check_done(0, 1);
    bed_close(bed);
}

static void a_new_leader_is_found_by_asking_the_others(void)
{
    struct bed bed = bed_open_warm(1472, 64, 0);
    bed.fake->moods[1] = FAKE_SILENT;
    bed.fake->leader = bed.fake->hint = 3;
    bed_propose(&bed, 0, 64, 16);
    CHECK(fake_run_out(bed.fake, bed.client, 20 * FAKE_MS)); // an attempt is 100 ms
    bed_check_done(0, 64);
    CHECK_EQUAL(client_leader(bed.client, 0), 3);
    bed_close(bed);
}

static void what_a_deposed_leader_took_is_asked_of_the_next(void)
{
    struct bed bed = bed_open_warm(1472, 64, 0);
    bed.fake->moods[1] = FAKE_LOSING;
    bed.fake->hint = 2;
    bed_propose(&bed, 0, 64, 16);
    fake_run(bed.fake, bed.client, 2, 1000);
    bed.fake->leader = 2;
    CHECK(fake_run_out(bed.fake, bed.client, 20 * FAKE_MS));
    bed_check_done(0, 64);
    CHECK_EQUAL(bed.fake->repeats, 64);
    CHECK_EQUAL(bed_executed(&bed), 65);
    bed_close(bed);
}

static void late_answers_of_a_former_leader_count(void)
{
    struct bed bed = bed_open_warm(1472, 8, 0);
    bed.fake->holds_replies = true;
    bed_propose(&bed, 0, 1, 16);
    fake_run(bed.fake, bed.client, 2, 1000); // executed by node 1, the answer is under way
    bed.fake->leader = bed.fake->hint = 2;
    bed.fake->moods[2] = FAKE_SILENT;
    fake_run(bed.fake, bed.client, 30, 10 * FAKE_MS);
    bed.fake->holds_replies = false;
    fake_run(bed.fake, bed.client, 1, 1000);
    bed_check_done(0, 1);
    bed_close(bed);
}

static void leaves_a_node_that_cannot_serve(void)
{
    struct bed bed = bed_open_warm(1472, 64, 0);
    bed.fake->moods[1] = FAKE_FAILED;
    bed.fake->leader = bed.fake->hint = 2;
    bed_propose(&bed, 0, 1, 16);
    CHECK(fake_run_out(bed.fake, bed.client, 20 * FAKE_MS));
    bed_check_done(0, 1);
    bed_close(bed);
}

static void backs_off_from_a_busy_node(void)
{
    struct bed bed = bed_open_warm(1472, 1024, 0);
    bed.fake->moods[1] = FAKE_BUSY;
    bed_propose(&bed, 0, 1024, 16);
    uint64_t before = bed.fake->commands;
    fake_run(bed.fake, bed.client, 100000, 10000); // a second
    CHECK(bed.fake->commands - before < 6000);     // and not 1024 a poll
    bed.fake->moods[1] = FAKE_WELL;
    CHECK(fake_run_out(bed.fake, bed.client, 200 * FAKE_MS));
    bed_check_done(0, 1024);
    CHECK_EQUAL(bed.fake->repeats, 0);
    CHECK(bed_counters(&bed).commands.busy > 0);
    bed_close(bed);
}

static void the_window_recovers_after_busy(void)
{
    struct bed bed = bed_open_warm(8960, 4096, 0);
    bed.fake->moods[1] = FAKE_BUSY;
    bed_propose(&bed, 0, 4096, 16);
    fake_run(bed.fake, bed.client, 1000, 100000);
    bed.fake->moods[1] = FAKE_WELL;
    CHECK(fake_run_out(bed.fake, bed.client, 30 * FAKE_MS)); // a window of 1 would take 80
    bed_check_done(0, 4096);
    bed_close(bed);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(goes_where_the_hint_says),
        TEST(finds_the_leader_without_hints),
        TEST(does_not_hammer_while_there_is_no_leader),
        TEST(hints_in_a_circle_are_damped),
        TEST(a_new_leader_is_found_by_asking_the_others),
        TEST(what_a_deposed_leader_took_is_asked_of_the_next),
        TEST(late_answers_of_a_former_leader_count),
        TEST(leaves_a_node_that_cannot_serve),
        TEST(backs_off_from_a_busy_node),
        TEST(the_window_recovers_after_busy),
    };
    return test_run("client leaders", cases, TEST_COUNT(cases), argc, argv);
}
