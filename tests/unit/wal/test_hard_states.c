// Hard states: durable before they are reported, one write after the other.
#include "tests/harness/harness.h"
#include "tests/unit/wal/fixture.h"

#include <errno.h>

static void hard_states_are_durable_before_reported(void)
{
    struct fixture *fixture = fixture_started(NULL);
    CHECK_EQUAL(wal_hard_state(fixture->wal, 1).term, 0);
    wal_put_hard_state(fixture->wal, 1, (struct raft_hard_state){.term = 7, .voted_for = 3});
    wal_put_hard_state(fixture->wal, 1,
                       (struct raft_hard_state){.term = 8, .voted_for = 2}); // supersedes
    wal_submit(fixture->wal, 1);
    wal_put_hard_state(fixture->wal, 1,
                       (struct raft_hard_state){.term = 9, .voted_for = 1}); // queues behind
    CHECK_EQUAL(wal_hard_state(fixture->wal, 1).term, 0);
    uint64_t reported = 7;
    for (int turn = 0; wal_is_busy(fixture->wal); turn++) {
        CHECK(turn < 20);
        fixture_turn(fixture);
        for (uint32_t i = 0; i < fixture->event_count; i++) {
            CHECK_EQUAL(fixture->events[i].kind, WAL_EVENT_HARD_STATE);
            CHECK_EQUAL(fixture->events[i].hard_state.term, ++reported);
            CHECK_EQUAL(wal_hard_state(fixture->wal, 1).term, reported);
        }
    }
    CHECK_EQUAL(reported, 9);
    CHECK_EQUAL(fixture_crash(fixture), 0);
    CHECK_EQUAL(wal_hard_state(fixture->wal, 1).term, 9);
    CHECK_EQUAL(wal_hard_state(fixture->wal, 1).voted_for, 1);
    CHECK_EQUAL(wal_hard_state(fixture->wal, 0).term, 0);
    fixture_close(fixture);
}

static void hard_states_say_what_was_installed(void)
{
    struct fixture *fixture = fixture_started(NULL);
    const struct raft_hard_state wanted = {
        .term = 9, .voted_for = 2, .sync_term = RAFT_TERM_MAX, .sync_end = RAFT_INDEX_MAX};
    wal_put_hard_state(fixture->wal, 1, wanted);
    wal_put_hard_state(fixture->wal, 2, (struct raft_hard_state){.term = 9, .voted_for = 2});
    uint32_t reported = 0;
    while (wal_is_busy(fixture->wal)) {
        fixture_turn(fixture);
        for (uint32_t i = 0; i < fixture->event_count; i++, reported++) {
            bool is_parallel = fixture->events[i].group == 1;
            CHECK_EQUAL(fixture->events[i].hard_state.sync_term, is_parallel ? RAFT_TERM_MAX : 0);
            CHECK_EQUAL(fixture->events[i].hard_state.sync_end, is_parallel ? RAFT_INDEX_MAX : 0);
        }
    }
    CHECK_EQUAL(reported, 2);
    CHECK_EQUAL(fixture_crash(fixture), 0);
    for (uint16_t group = 0; group < FIXTURE_GROUPS; group++) {
        struct raft_hard_state found = wal_hard_state(fixture->wal, group);
        CHECK_EQUAL(found.term, group == 1 || group == 2 ? 9 : 0);
        CHECK_EQUAL(found.sync_term, group == 1 ? RAFT_TERM_MAX : 0);
        CHECK_EQUAL(found.sync_end, group == 1 ? RAFT_INDEX_MAX : 0);
    }
    fixture_close(fixture);
}

static void more_votes_than_buffers(void)
{
    struct fixture *fixture = fixture_open(NULL);
    fixture->config.groups_max = 100;
    CHECK_EQUAL(fixture_start(fixture), 0);
    for (uint16_t group = 0; group < 100; group++) {
        wal_put_hard_state(fixture->wal, group,
                           (struct raft_hard_state){.term = group + 1u, .voted_for = 2});
    }
    uint32_t reported = 0;
    for (int turn = 0; wal_is_busy(fixture->wal); turn++) {
        CHECK(turn < 100);
        fixture_turn(fixture);
        reported += fixture->event_count;
    }
    CHECK_EQUAL(reported, 100);
    CHECK_EQUAL(fixture_restart(fixture), 0);
    for (uint16_t group = 0; group < 100; group++) {
        CHECK_EQUAL(wal_hard_state(fixture->wal, group).term, group + 1u);
    }
    fixture_close(fixture);
}

static void a_failed_vote_ends_everything(void)
{
    struct fixture *fixture = fixture_started(NULL);
    disk_memory_fail(fixture->disk, DISK_WRITE_DURABLE, 2, 1, -EIO); // the second copy
    wal_put_hard_state(fixture->wal, 0, (struct raft_hard_state){.term = 1, .voted_for = 1});
    bool has_failed = false;
    for (int turn = 0; turn < 10; turn++) {
        fixture_turn(fixture);
        for (uint32_t i = 0; i < fixture->event_count; i++) {
            CHECK_EQUAL(fixture->events[i].kind, WAL_EVENT_FAILED);
            has_failed = true;
        }
    }
    CHECK(has_failed);
    fixture_close(fixture);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(hard_states_are_durable_before_reported),
        TEST(hard_states_say_what_was_installed),
        TEST(more_votes_than_buffers),
        TEST(a_failed_vote_ends_everything),
    };
    return test_run("wal hard states", cases, TEST_COUNT(cases), argc, argv);
}
