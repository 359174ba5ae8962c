// Truncation, staging and SYNC: what nothing of the same group may pass.
#include "tests/harness/harness.h"
#include "tests/unit/wal/fixture.h"

static void nothing_passes_a_truncation(void)
{
    struct fixture *fixture = fixture_started(NULL);
    disk_memory_hold(fixture->disk, true);
    fixture_append(fixture, 0, 1, 1, 1, 64);
    wal_submit(fixture->wal, 1);
    wal_truncate(fixture->wal, 0, 1);
    fixture_append(fixture, 0, 2, 2, 1, 64); // in the same batch: replayed in order, or not at all
    wal_submit(fixture->wal, 1);
    CHECK_EQUAL(disk_memory_in_flight(fixture->disk), 2);
    fixture_append(fixture, 5, 1, 1, 1, 64); // another group
    for (int turn = 0; turn < 3; turn++) {
        fixture_turn(fixture);
        CHECK_EQUAL(disk_memory_in_flight(fixture->disk), 2);
    }
    fixture_release(fixture, 1);
    fixture_turn(fixture);
    fixture_turn(fixture);
    CHECK_EQUAL(disk_memory_in_flight(fixture->disk), 1);
    fixture_release(fixture, 2);
    fixture_turn(fixture);
    CHECK_EQUAL(fixture->event_count, 1);
    CHECK_EQUAL(fixture->events[0].epoch, 2);
    fixture_turn(fixture);
    CHECK_EQUAL(disk_memory_in_flight(fixture->disk), 1);
    disk_memory_hold(fixture->disk, false);
    fixture_settle(fixture);
    CHECK_EQUAL(fixture_restart(fixture), 0);
    CHECK_EQUAL(fixture->record_count, 4);
    CHECK_EQUAL(fixture->records[1].kind, WAL_RECORD_TRUNCATE);
    CHECK_EQUAL(fixture->records[1].group, 0);
    CHECK_EQUAL(fixture->records[1].id.index, 1);
    CHECK_EQUAL(fixture->records[2].id.term, 2);
    CHECK_EQUAL(fixture->records[3].group, 5);
    fixture_close(fixture);
}

// A run is staged or not as a whole; to say again what was said, or something of another group,
// ends none.
static void staged_entries_have_runs_of_their_own(void)
{
    struct fixture *fixture = fixture_started(NULL);
    fixture_append(fixture, 1, 1, 3, 1, 64);
    wal_stage(fixture->wal, 1, false);
    wal_stage(fixture->wal, 2, true);
    fixture_append(fixture, 1, 1, 3, 2, 64);
    wal_stage(fixture->wal, 1, true);
    fixture_append(fixture, 1, 1, 3, 3, 64);
    wal_stage(fixture->wal, 1, true);
    fixture_append(fixture, 1, 1, 3, 4, 64);
    wal_stage(fixture->wal, 1, false);
    fixture_append(fixture, 1, 1, 3, 5, 64);
    fixture_append(fixture, 2, 1, 3, 1, 64);
    fixture_turn(fixture);
    CHECK_EQUAL(fixture->event_count, 4);
    fixture_check_entries(fixture, 0, 1, 2);
    fixture_check_entries(fixture, 1, 3, 4);
    fixture_check_entries(fixture, 2, 5, 5);
    fixture_check_entries(fixture, 3, 1, 1);
    CHECK_EQUAL(fixture_restart(fixture), 0);
    CHECK_EQUAL(fixture->record_count, 6);
    for (uint32_t i = 0; i < 6; i++) {
        CHECK(fixture_record_is_true(fixture, &fixture->records[i]));
        CHECK_EQUAL(fixture->records[i].is_staged, i == 2 || i == 3 || i == 5);
    }
    fixture_append(fixture, 2, 1, 3, 2, 64); // a start stages nothing
    fixture_settle(fixture);
    CHECK_EQUAL(fixture_restart(fixture), 0);
    CHECK(!fixture->records[6].is_staged);
    fixture_close(fixture);
}

static void check_sync(const struct wal_record *record, uint16_t group, struct raft_sync sync)
{
    CHECK_EQUAL(record->kind, WAL_RECORD_SYNC);
    CHECK_EQUAL(record->group, group);
    CHECK_EQUAL(record->sync.term, sync.term);
    CHECK_EQUAL(record->sync.end, sync.end);
    CHECK_EQUAL(record->sync.keep, sync.keep);
}

static void nothing_passes_a_sync(void)
{
    struct fixture *fixture = fixture_started(NULL);
    const struct raft_sync sync = {.term = RAFT_TERM_MAX, .end = RAFT_INDEX_MAX, .keep = 1};
    disk_memory_hold(fixture->disk, true);
    fixture_append(fixture, 4, 1, 1, 1, 64);
    wal_submit(fixture->wal, 1);
    wal_sync(fixture->wal, 3, &sync);
    fixture_append(fixture, 3, 1, 7, 3, 64); // in the same batch: replayed in order, or not at all
    wal_submit(fixture->wal, 1);
    CHECK_EQUAL(disk_memory_in_flight(fixture->disk), 2);
    fixture_append(fixture, 5, 1, 1, 1, 64); // another group
    for (int turn = 0; turn < 3; turn++) {
        fixture_turn(fixture);
        CHECK_EQUAL(disk_memory_in_flight(fixture->disk), 2);
    }
    CHECK(fixture_release(fixture, 2)); // what is before it may be late
    fixture_turn(fixture);
    CHECK_EQUAL(fixture->event_count, 2);
    CHECK_EQUAL(fixture->events[0].kind, WAL_EVENT_SYNC);
    CHECK_EQUAL(fixture->events[0].group, 3);
    CHECK_EQUAL(fixture->events[0].sync_term, RAFT_TERM_MAX);
    fixture_check_entries(fixture, 1, 3, 3);
    fixture_turn(fixture);
    CHECK_EQUAL(disk_memory_in_flight(fixture->disk), 1);
    CHECK(fixture_release(fixture, 1));
    fixture_turn(fixture);
    fixture_turn(fixture);
    CHECK_EQUAL(disk_memory_in_flight(fixture->disk), 1); // now the other group's
    disk_memory_hold(fixture->disk, false);
    fixture_settle(fixture);
    CHECK_EQUAL(fixture_counters(fixture).syncs, 1);
    CHECK_EQUAL(fixture_restart(fixture), 0);
    CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN);
    CHECK_EQUAL(fixture->record_count, 4);
    CHECK_EQUAL(fixture->records[0].group, 4);
    check_sync(&fixture->records[1], 3, sync);
    CHECK_EQUAL(fixture->records[2].group, 3);
    CHECK_EQUAL(fixture->records[3].group, 5);
    fixture_close(fixture);
}

// A batch of nothing else, and reported one event at a time.
static void syncs_alone_are_a_batch(void)
{
    struct fixture *fixture = fixture_started(NULL);
    struct wal_event event;
    for (uint16_t group = 0; group < 3; group++) {
        const struct raft_sync sync = {.term = group + 1u};
        wal_sync(fixture->wal, group, &sync);
    }
    wal_note_commit(fixture->wal, 0, 5); // in the padding behind them
    wal_submit(fixture->wal, 1);
    for (uint16_t group = 0; group < 3; group++) {
        CHECK_EQUAL(wal_poll(fixture->wal, &event, 1), 1);
        CHECK_EQUAL(event.kind, WAL_EVENT_SYNC);
        CHECK_EQUAL(event.group, group);
        CHECK_EQUAL(event.sync_term, group + 1u);
    }
    CHECK_EQUAL(wal_poll(fixture->wal, &event, 1), 0);
    CHECK(!wal_is_busy(fixture->wal));
    CHECK_EQUAL(fixture_restart(fixture), 0);
    CHECK_EQUAL(fixture->record_count, 3);
    check_sync(&fixture->records[2], 2, (struct raft_sync){.term = 3});
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 0), 5);
    fixture_close(fixture);
}

// However little a segment has left, a SYNC and a truncation find their place.
static void barriers_fit_at_a_segments_end(void)
{
    enum { BATCH_AT = 4096, HEADS = 128 + 48 + 3 * 24, LARGE = 4000 };
    const struct raft_sync sync = {.term = 2, .end = 9, .keep = 4};
    for (uint32_t left = 0; left <= 80; left++) {
        struct fixture *fixture = fixture_open(NULL);
        fixture->config.batch_bytes_max = FIXTURE_SEGMENT_BYTES;
        CHECK_EQUAL(fixture_start(fixture), 0);
        CHECK_EQUAL(wal_head(fixture->wal), BATCH_AT);
        fixture_append(fixture, 0, 1, 1, 1, LARGE);
        fixture_append(fixture, 0, 1, 1, 2, LARGE);
        fixture_append(fixture, 0, 1, 1, 3,
                       FIXTURE_SEGMENT_BYTES - BATCH_AT - HEADS - 2 * LARGE - left);
        CHECK_EQUAL(wal_head(fixture->wal), FIXTURE_SEGMENT_BYTES - left);
        wal_sync(fixture->wal, 0, &sync);
        wal_truncate(fixture->wal, 0, 3);
        fixture_settle(fixture);
        CHECK_EQUAL(fixture_restart(fixture), 0);
        CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN);
        CHECK_EQUAL(fixture->record_count, 5);
        check_sync(&fixture->records[3], 0, sync);
        CHECK_EQUAL(fixture->records[4].kind, WAL_RECORD_TRUNCATE);
        fixture_close(fixture);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(nothing_passes_a_truncation),    TEST(staged_entries_have_runs_of_their_own),
        TEST(nothing_passes_a_sync),          TEST(syncs_alone_are_a_batch),
        TEST(barriers_fit_at_a_segments_end),
    };
    return test_run("wal barriers", cases, TEST_COUNT(cases), argc, argv);
}
