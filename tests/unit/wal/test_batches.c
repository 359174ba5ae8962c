// Batches: what is written together, what completes when, what a failure ends.
#include "tests/harness/harness.h"
#include "tests/unit/wal/fixture.h"

#include <errno.h>
#include <string.h>

static void entries_become_durable_and_come_back(void)
{
    struct fixture *fixture = fixture_started(NULL);
    uint64_t body = fixture_append(fixture, 3, 9, 4, 1, 100);
    fixture_append(fixture, 3, 9, 4, 2, 0);
    fixture_append(fixture, 3, 9, 4, 3, 64);
    fixture_append(fixture, 3, 10, 4, 4, 64);
    fixture_append(fixture, 1, 2, 7, 50, 64);
    CHECK(wal_is_busy(fixture->wal));
    uint8_t expected[100];
    fixture_payload(expected, 100, 3, (struct raft_entry_id){4, 1});
    CHECK(memcmp(wal_payload(fixture->wal, body), expected, 100) == 0);
    fixture_turn(fixture);
    CHECK_EQUAL(fixture->event_count, 3);
    fixture_check_entries(fixture, 0, 1, 3);
    CHECK_EQUAL(fixture->events[0].group, 3);
    CHECK_EQUAL(fixture->events[0].epoch, 9);
    fixture_check_entries(fixture, 1, 4, 4);
    CHECK_EQUAL(fixture->events[1].epoch, 10);
    fixture_check_entries(fixture, 2, 50, 50);
    CHECK_EQUAL(fixture->events[2].group, 1);
    CHECK(!wal_is_busy(fixture->wal));
    CHECK_EQUAL(fixture_crash(fixture), 0);
    CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN);
    CHECK_EQUAL(fixture->record_count, 5);
    fixture_check_records(fixture);
    CHECK_EQUAL(fixture->records[0].prev_term, 0);
    CHECK_EQUAL(fixture->records[2].prev_term, 4);
    fixture_close(fixture);
}

// One durable write for whatever one turn gathered, over all groups.
static void groups_share_a_write(void)
{
    struct fixture *fixture = fixture_started(NULL);
    const struct wal_counters before = fixture_counters(fixture);
    for (uint16_t group = 0; group < FIXTURE_GROUPS; group++) {
        fixture_append(fixture, group, 1, 1, 1, 64);
    }
    fixture_turn(fixture);
    const struct wal_counters after = fixture_counters(fixture);
    CHECK_EQUAL(fixture->event_count, FIXTURE_GROUPS);
    CHECK_EQUAL(after.bytes_written - before.bytes_written, 4096);
    CHECK_EQUAL(after.batches - before.batches, 1);
    fixture_close(fixture);
}

static void batches_grow_while_the_device_is_busy(void)
{
    struct fixture *fixture = fixture_started(NULL);
    disk_memory_hold(fixture->disk, true);
    for (uint64_t index = 1; index <= 20; index++) {
        fixture_append(fixture, 0, 1, 1, index, 64);
        wal_submit(fixture->wal, fixture->now_ns);
    }
    CHECK_EQUAL(disk_memory_in_flight(fixture->disk), 4);
    disk_memory_hold(fixture->disk, false);
    fixture_turn(fixture);
    CHECK_EQUAL(fixture->event_count, 4);
    fixture_turn(fixture);
    CHECK_EQUAL(fixture->event_count, 1);
    fixture_check_entries(fixture, 0, 5, 20);
    fixture_close(fixture);
}

static void completions_count_out_of_order(void)
{
    struct fixture *fixture = fixture_started(NULL);
    disk_memory_hold(fixture->disk, true);
    for (uint64_t index = 1; index <= 3; index++) {
        fixture_append(fixture, 0, (uint32_t)index, 1, index, 64);
        wal_submit(fixture->wal, fixture->now_ns);
    }
    CHECK(fixture_release(fixture, 3));
    fixture_turn(fixture);
    CHECK_EQUAL(fixture->event_count, 1);
    fixture_check_entries(fixture, 0, 3, 3);
    CHECK_EQUAL(fixture->events[0].epoch, 3);
    CHECK(fixture_release(fixture, 1));
    fixture_turn(fixture);
    CHECK_EQUAL(fixture->event_count, 1);
    fixture_check_entries(fixture, 0, 1, 1);
    disk_memory_hold(fixture->disk, false);
    fixture_turn(fixture);
    CHECK_EQUAL(fixture->event_count, 1);
    fixture_check_entries(fixture, 0, 2, 2);
    CHECK(!wal_is_busy(fixture->wal));
    fixture_close(fixture);
}

// However long one write takes, others go out: what counts is how many are under way.
static void a_slow_write_keeps_nobody_from_writing(void)
{
    struct fixture *fixture = fixture_started(NULL);
    disk_memory_hold(fixture->disk, true);
    for (uint32_t slot = 1; slot <= 4; slot++) {
        fixture_append(fixture, 0, 1, 1, slot, 64);
        wal_submit(fixture->wal, fixture->now_ns);
    }
    for (uint32_t slot = 2; slot <= 4; slot++) {
        CHECK(fixture_release(fixture, slot));
    }
    fixture_append(fixture, 0, 1, 1, 5, 64);
    fixture_turn(fixture);
    CHECK_EQUAL(fixture->event_count, 3);
    fixture_turn(fixture);
    CHECK_EQUAL(disk_memory_in_flight(fixture->disk), 2);
    for (uint32_t slot = 6; slot <= 8; slot++) {
        fixture_append(fixture, 0, 1, 1, slot, 64);
        fixture_turn(fixture);
        CHECK(fixture_release(fixture, slot - 1));
    }
    for (uint32_t slot = 9; slot <= 12; slot++) {
        fixture_append(fixture, 0, 1, 1, slot, 64);
        fixture_turn(fixture);
    }
    CHECK_EQUAL(disk_memory_in_flight(fixture->disk), 4); // and never more than may be
    fixture_close(fixture);
}

static void events_wait_for_room_in_the_callers_array(void)
{
    struct fixture *fixture = fixture_started(NULL);
    for (uint16_t group = 0; group < 5; group++) {
        fixture_append(fixture, group, 1, 1, 1, 64);
    }
    wal_submit(fixture->wal, 1);
    struct wal_event events[2];
    CHECK_EQUAL(wal_poll(fixture->wal, events, 2), 2);
    CHECK_EQUAL(events[1].group, 1);
    CHECK_EQUAL(wal_poll(fixture->wal, events, 0), 0);
    CHECK_EQUAL(wal_poll(fixture->wal, events, 2), 2);
    CHECK_EQUAL(events[0].group, 2);
    CHECK(wal_is_busy(fixture->wal));
    CHECK_EQUAL(wal_poll(fixture->wal, events, 2), 1);
    CHECK_EQUAL(events[0].group, 4);
    CHECK_EQUAL(wal_poll(fixture->wal, events, 2), 0);
    CHECK(!wal_is_busy(fixture->wal));
    fixture_close(fixture);
}

static void an_idle_log_is_marked_once(void)
{
    struct fixture *fixture = fixture_started(NULL);
    CHECK_EQUAL(wal_deadline_ns(fixture->wal), UINT64_MAX);
    fixture_append(fixture, 0, 1, 1, 1, 64);
    fixture_settle(fixture);
    fixture_turn(fixture);
    uint64_t deadline = wal_deadline_ns(fixture->wal);
    CHECK_EQUAL(deadline, fixture->now_ns + fixture->config.durable_mark_delay_ns);
    fixture->now_ns = deadline - 1;
    fixture_turn(fixture);
    CHECK_EQUAL(fixture_counters(fixture).marks, 0);
    fixture->now_ns = deadline;
    fixture_turn(fixture);
    CHECK_EQUAL(fixture_counters(fixture).marks, 1);
    for (int turn = 0; turn < 5; turn++) {
        fixture_idle(fixture);
    }
    CHECK_EQUAL(fixture_counters(fixture).marks, 1);
    CHECK_EQUAL(wal_deadline_ns(fixture->wal), UINT64_MAX);
    fixture_close(fixture);
}

static void a_failed_write_ends_everything(void)
{
    struct fixture *fixture = fixture_started(NULL);
    disk_memory_fail(fixture->disk, DISK_WRITE_DURABLE, 2, 1, -EIO);
    fixture_append(fixture, 0, 1, 1, 1, 64);
    wal_submit(fixture->wal, 1);
    fixture_append(fixture, 0, 1, 1, 2, 64);
    wal_submit(fixture->wal, 1);
    fixture->event_count = wal_poll(fixture->wal, fixture->events, 8);
    CHECK_EQUAL(fixture->event_count, 1);
    CHECK_EQUAL(fixture->events[0].kind, WAL_EVENT_FAILED);
    CHECK_EQUAL(fixture->events[0].error, (int32_t)-EIO);
    CHECK(!wal_has_room(fixture->wal, 1, 64));
    wal_put_hard_state(fixture->wal, 0, (struct raft_hard_state){.term = 1, .voted_for = 1});
    for (int turn = 0; turn < 5; turn++) {
        fixture_turn(fixture);
        CHECK_EQUAL(fixture->event_count, 0);
    }
    CHECK_EQUAL(wal_hard_state(fixture->wal, 0).term, 0);
    CHECK(!wal_is_busy(fixture->wal));
    fixture_stop(fixture);
    fixture_close(fixture);
}

static void a_full_disk_queue_only_delays(void)
{
    struct disk_memory_options options = {.in_flight_max = 1};
    struct fixture *fixture = fixture_started(&options);
    for (uint64_t index = 1; index <= 50; index++) {
        fixture_append(fixture, 0, 1, 1, index, 64);
        wal_put_hard_state(fixture->wal, (uint16_t)(index % 8),
                           (struct raft_hard_state){.term = index, .voted_for = 1});
        wal_submit(fixture->wal, 1);
    }
    fixture_settle(fixture);
    CHECK_EQUAL(fixture_restart(fixture), 0);
    CHECK_EQUAL(fixture->record_count, 50);
    CHECK_EQUAL(wal_hard_state(fixture->wal, 2).term, 50);
    fixture_close(fixture);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(entries_become_durable_and_come_back),
        TEST(groups_share_a_write),
        TEST(batches_grow_while_the_device_is_busy),
        TEST(completions_count_out_of_order),
        TEST(a_slow_write_keeps_nobody_from_writing),
        TEST(events_wait_for_room_in_the_callers_array),
        TEST(an_idle_log_is_marked_once),
        TEST(a_failed_write_ends_everything),
        TEST(a_full_disk_queue_only_delays),
    };
    return test_run("wal batches", cases, TEST_COUNT(cases), argc, argv);
}
