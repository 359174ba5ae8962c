// Sessions that are lost, and commands that take too long: what is said of each.
#include <errno.h>

#include "tests/harness/harness.h"
#include "tests/unit/client/bed.h"

static void expired_sessions_end_what_was_sent_and_only_that(void)
{
    struct bed bed = bed_open_warm(600, 2000, 0);
    bed.fake->moods[1] = FAKE_DEAF; // executes what is sent now, unheard
    bed_propose(&bed, 0, 2000, 100);
    fake_run(bed.fake, bed.client, 1, 1000);
    uint64_t sent = bed.fake->commands - 1;
    CHECK(sent > 0 && sent < 2000);
    fake_evict_sessions(bed.fake);
    bed.fake->moods[1] = FAKE_WELL;
    CHECK(fake_run_out(bed.fake, bed.client, 1000 * FAKE_MS));
    uint32_t expired = 0;
    while (expired < 2000 && bed_ends.status[expired] == PONTOON_EXPIRED) {
        CHECK_EQUAL(bed_ends.calls[expired], 1);
        expired++;
    }
    CHECK(expired >= sent && expired < 2000);
    bed_check_done(expired, 2000 - expired);
    CHECK_EQUAL(bed.fake->session_count, 2);
    CHECK_EQUAL(bed.fake->sessions[1].newest, 2000 - expired); // numbered from 1, without gaps
    CHECK_EQUAL(bed.fake->sessions[1].executed_count, 2000 - expired);
    bed_close(bed);
}

// Commands 0 to `count` - 1, which nobody answers.
static void wait_in_vain(struct bed *bed, uint32_t count)
{
    bed_propose(bed, 0, count, 16);
    fake_run(bed->fake, bed->client, 310, FAKE_MS);
    for (uint32_t at = 0; at < count; at++) {
        CHECK_EQUAL(bed_ends.status[at], PONTOON_UNKNOWN);
    }
}

static void what_takes_too_long_is_unknown(void)
{
    struct bed bed = bed_open_warm(1472, 8, 300 * FAKE_MS);
    fake_moods(bed.fake, FAKE_SILENT);
    bed_propose(&bed, 0, 8, 16);
    fake_run(bed.fake, bed.client, 299, FAKE_MS);
    CHECK_EQUAL(bed_ends.count, 1);
    fake_run(bed.fake, bed.client, 5, FAKE_MS);
    CHECK_EQUAL(bed_ends.count, 9);
    for (uint32_t at = 0; at < 8; at++) {
        CHECK_EQUAL(bed_ends.status[at], PONTOON_UNKNOWN);
    }
    CHECK_EQUAL(bed_counters(&bed).commands.unknown, 8);
    bed_close(bed);
}

// A session in which a number is left out for ever comes to a halt one window later.
static void a_session_with_a_gap_is_replaced(void)
{
    struct bed bed = bed_open_warm(1472, 1024, 300 * FAKE_MS);
    fake_moods(bed.fake, FAKE_SILENT);
    wait_in_vain(&bed, 1);
    fake_moods(bed.fake, FAKE_WELL);
    for (uint32_t at = 1; at < 5000; at++) {
        while (bed_try(&bed, 0, at, 16) == -EAGAIN) {
            fake_run(bed.fake, bed.client, 1, 10000);
        }
    }
    CHECK(fake_run_out(bed.fake, bed.client, 100 * FAKE_MS));
    bed_check_done(1, 4999);
    CHECK_EQUAL(bed.fake->session_count, 2);
    CHECK_EQUAL(bed.fake->sessions[1].newest, 4999);
    bed_close(bed);
}

static void giving_up_what_was_never_sent_leaves_no_gap(void)
{
    struct bed bed = bed_open_warm(1472, 64, 300 * FAKE_MS);
    bed.fake->is_unresolved = true;
    wait_in_vain(&bed, 5);
    bed.fake->is_unresolved = false;
    bed_propose(&bed, 5, 1, 16);
    CHECK(fake_run_out(bed.fake, bed.client, 50 * FAKE_MS));
    bed_check_done(5, 1);
    CHECK_EQUAL(bed.fake->session_count, 1);
    CHECK_EQUAL(bed.fake->sessions[0].newest, 2);
    bed_close(bed);
}

static void a_new_command_has_its_own_time_after_idleness(void)
{
    struct bed bed = bed_open_warm(1472, 64, 300 * FAKE_MS);
    bed.fake->now_ns += 1000 * FAKE_MS;
    bed_propose(&bed, 0, 1, 16);
    CHECK(fake_run_out(bed.fake, bed.client, 50 * FAKE_MS));
    bed_check_done(0, 1);
    bed_close(bed);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(expired_sessions_end_what_was_sent_and_only_that),
        TEST(what_takes_too_long_is_unknown),
        TEST(a_session_with_a_gap_is_replaced),
        TEST(giving_up_what_was_never_sent_leaves_no_gap),
        TEST(a_new_command_has_its_own_time_after_idleness),
    };
    return test_run("client giving up", cases, TEST_COUNT(cases), argc, argv);
}
