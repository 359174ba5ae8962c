// Opening a log: the first time and again, reset, refused, volatile.
#include "tests/harness/harness.h"
#include "tests/unit/wal/fixture.h"

#include <errno.h>
#include <string.h>

static void bootstraps_and_opens_again(void)
{
    struct fixture *fixture = fixture_started(NULL);
    CHECK_EQUAL(fixture->recovery.boot, 1);
    CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN);
    CHECK_EQUAL(fixture->record_count, 0);
    CHECK_EQUAL(fixture_restart(fixture), 0);
    CHECK_EQUAL(fixture->recovery.boot, 2);
    CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN);
    fixture_stop(fixture);
    fixture->config.bootstrap = true;
    CHECK_EQUAL(fixture_start(fixture), -EEXIST);
    fixture_close(fixture);
}

static void volatile_entries_are_reported_at_once_and_votes_kept(void)
{
    struct fixture *fixture = fixture_open(NULL);
    fixture->config.is_volatile = true;
    CHECK_EQUAL(fixture_start(fixture), 0);
    uint64_t bytes;
    CHECK(disk_memory_image(fixture->disk, "log.0", &bytes) == NULL);
    uint64_t head = wal_head(fixture->wal);
    uint64_t body = fixture_append(fixture, 0, 3, 1, 1, 64);
    fixture_turn(fixture);
    CHECK_EQUAL(fixture->event_count, 1);
    CHECK_EQUAL(fixture->events[0].epoch, 3);
    CHECK(wal_head(fixture->wal) - head <= 192);
    CHECK(body - head <= 128);
    wal_put_hard_state(fixture->wal, 1, (struct raft_hard_state){.term = 7, .voted_for = 3});
    wal_truncate(fixture->wal, 0, 1);
    fixture_settle(fixture);
    CHECK(!wal_is_busy(fixture->wal));
    CHECK_EQUAL(fixture_restart(fixture), 0);
    CHECK_EQUAL(fixture->recovery.boot, 2);
    CHECK_EQUAL(fixture->record_count, 0);
    CHECK_EQUAL(wal_hard_state(fixture->wal, 1).term, 7);
    for (uint64_t index = 1; index <= 5000; index++) {
        CHECK(wal_has_room(fixture->wal, 1, 500));
        body = fixture_append(fixture, 0, 1, 1, index, 500);
        if (index % 3 == 0) {
            fixture_settle(fixture);
            wal_advance_tail(fixture->wal, body);
        }
    }
    CHECK(wal_head(fixture->wal) > 10 * FIXTURE_LOG_BYTES);
    fixture_stop(fixture);
    fixture->config.is_volatile = false;
    CHECK_EQUAL(fixture_start(fixture), -EINVAL);
    fixture_close(fixture);
}

static void a_volatile_sync_is_reported_with_the_entries(void)
{
    struct fixture *fixture = fixture_open(NULL);
    const struct raft_sync sync = {.term = 6, .end = 2, .keep = 1};
    fixture->config.is_volatile = true;
    CHECK_EQUAL(fixture_start(fixture), 0);
    wal_stage(fixture->wal, 4, true);
    fixture_append(fixture, 4, 3, 6, 2, 64);
    wal_sync(fixture->wal, 4, &sync);
    wal_stage(fixture->wal, 4, false);
    fixture_append(fixture, 4, 3, 6, 3, 64);
    fixture_turn(fixture);
    CHECK_EQUAL(fixture->event_count, 3);
    fixture_check_entries(fixture, 0, 2, 2);
    CHECK_EQUAL(fixture->events[1].kind, WAL_EVENT_SYNC);
    CHECK_EQUAL(fixture->events[1].group, 4);
    CHECK_EQUAL(fixture->events[1].sync_term, 6);
    fixture_check_entries(fixture, 2, 3, 3);
    CHECK(!wal_is_busy(fixture->wal));
    for (uint64_t index = 4; index <= 5000; index++) { // wherever the segments end
        CHECK(wal_has_room(fixture->wal, 1, 500) && wal_has_room(fixture->wal, 1, 0));
        uint64_t body = fixture_append(fixture, 4, 3, 6, index, (uint32_t)(index * 37 % 500));
        wal_sync(fixture->wal, 4, &sync);
        fixture_turn(fixture);
        CHECK_EQUAL(fixture->event_count, 2);
        CHECK_EQUAL(fixture->events[1].kind, WAL_EVENT_SYNC);
        wal_advance_tail(fixture->wal, body);
    }
    fixture_close(fixture);
}

static void durable_after_volatile_needs_a_reset(void)
{
    struct fixture *fixture = fixture_started(NULL);
    fixture_append(fixture, 0, 1, 1, 1, 64);
    fixture_settle(fixture);
    fixture_stop(fixture);
    fixture->config.is_volatile = true;
    CHECK_EQUAL(fixture_start(fixture), 0);
    fixture_stop(fixture);
    fixture->config.is_volatile = false;
    CHECK_EQUAL(fixture_start(fixture), -EINVAL);
    fixture->config.reset_log = true;
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(fixture->record_count, 0);
    CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN);
    fixture_append(fixture, 0, 1, 5, 1, 64);
    fixture_settle(fixture);
    CHECK_EQUAL(fixture_restart(fixture), 0);
    CHECK_EQUAL(fixture->record_count, 1);
    CHECK_EQUAL(fixture->records[0].id.term, 5);
    fixture_close(fixture);
}

static void a_reset_changes_the_size(void)
{
    struct fixture *fixture = fixture_started(NULL);
    fixture_append(fixture, 0, 1, 1, 1, 64);
    wal_put_hard_state(fixture->wal, 1, (struct raft_hard_state){.term = 7, .voted_for = 3});
    fixture_settle(fixture);
    fixture_stop(fixture);
    fixture->config.log_bytes *= 2;
    CHECK_EQUAL(fixture_start(fixture), -EXDEV);
    fixture->config.reset_log = true;
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(wal_hard_state(fixture->wal, 1).voted_for, 3);
    CHECK_EQUAL(fixture->record_count, 0);
    fixture_close(fixture);
}

static void a_full_disk_leaves_nothing_behind(void)
{
    struct disk_memory_options options = {.capacity_bytes = FIXTURE_LOG_BYTES / 2};
    struct fixture *fixture = fixture_open(&options);
    CHECK_EQUAL(fixture_start(fixture), -ENOSPC);
    CHECK(strstr(fixture->reason, "no space") != NULL);
    disk_memory_set_capacity(fixture->disk,
                             FIXTURE_LOG_BYTES + 4096); // the log fits, meta does not
    CHECK_EQUAL(fixture_start(fixture), -ENOSPC);
    uint64_t bytes;
    CHECK(disk_memory_image(fixture->disk, "log.0", &bytes) == NULL);
    CHECK(disk_memory_image(fixture->disk, "meta.0.new", &bytes) == NULL);
    disk_memory_set_capacity(fixture->disk, 0);
    CHECK_EQUAL(fixture_start(fixture), 0);
    fixture_close(fixture);
}

static void refuses_a_bad_configuration(void)
{
    struct fixture *fixture = fixture_open(NULL);
    const struct wal_config good = fixture->config;
    fixture->config.segment_bytes = 3 * 4096;
    CHECK_EQUAL(fixture_start(fixture), -EINVAL);
    fixture->config = good;
    fixture->config.log_bytes = FIXTURE_SEGMENT_BYTES;
    CHECK_EQUAL(fixture_start(fixture), -EINVAL);
    fixture->config = good;
    fixture->config.in_flight_max = WAL_IN_FLIGHT_MAX + 1;
    CHECK_EQUAL(fixture_start(fixture), -EINVAL);
    fixture->config = good;
    fixture->config.groups_max = RAFT_GROUPS_MAX + 1;
    CHECK_EQUAL(fixture_start(fixture), -EINVAL);
    fixture->config = good;
    fixture->config.bootstrap = false;
    CHECK_EQUAL(fixture_start(fixture), -ENOENT);
    fixture_close(fixture);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(bootstraps_and_opens_again),
        TEST(volatile_entries_are_reported_at_once_and_votes_kept),
        TEST(a_volatile_sync_is_reported_with_the_entries),
        TEST(durable_after_volatile_needs_a_reset),
        TEST(a_reset_changes_the_size),
        TEST(a_full_disk_leaves_nothing_behind),
        TEST(refuses_a_bad_configuration),
    };
    return test_run("wal opening", cases, TEST_COUNT(cases), argc, argv);
}
