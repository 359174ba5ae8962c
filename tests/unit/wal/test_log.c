// Appending, group commit, completions, truncation, room, marks, hard states, failure: without
// crashes.
#include "tests/harness/harness.h"
#include "tests/unit/wal/fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct fixture *started(const struct disk_memory_options *options)
{
    struct fixture *fixture = fixture_open(options);
    CHECK_EQUAL(fixture_start(fixture), 0);
    return fixture;
}

static void bootstraps_and_opens_again(void)
{
    struct fixture *fixture = started(NULL);
    CHECK_EQUAL(fixture->recovery.boot, 1);
    CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN);
    CHECK_EQUAL(fixture->record_count, 0);
    fixture_stop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(fixture->recovery.boot, 2);
    CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN);
    fixture_stop(fixture);
    fixture->config.bootstrap = true;
    CHECK_EQUAL(fixture_start(fixture), -EEXIST);
    fixture_close(fixture);
}

static void entries_become_durable_and_come_back(void)
{
    struct fixture *fixture = started(NULL);
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
    CHECK_EQUAL(fixture->events[0].kind, WAL_EVENT_ENTRIES);
    CHECK_EQUAL(fixture->events[0].group, 3);
    CHECK_EQUAL(fixture->events[0].epoch, 9);
    CHECK_EQUAL(fixture->events[0].range.first, 1);
    CHECK_EQUAL(fixture->events[0].range.last, 3);
    CHECK_EQUAL(fixture->events[1].epoch, 10);
    CHECK_EQUAL(fixture->events[1].range.first, 4);
    CHECK_EQUAL(fixture->events[2].group, 1);
    CHECK_EQUAL(fixture->events[2].range.last, 50);
    CHECK(!wal_is_busy(fixture->wal));
    fixture_drop(fixture);
    disk_memory_crash(fixture->disk, 1, 0);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN);
    CHECK_EQUAL(fixture->record_count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        CHECK(fixture_record_is_true(fixture, &fixture->records[i]));
    }
    CHECK_EQUAL(fixture->records[0].prev_term, 0);
    CHECK_EQUAL(fixture->records[2].prev_term, 4);
    fixture_close(fixture);
}

// One durable write for whatever one turn gathered, over all groups.
static void groups_share_a_write(void)
{
    struct fixture *fixture = started(NULL);
    struct wal_counters before, after;
    wal_counters(fixture->wal, &before);
    for (uint16_t group = 0; group < FIXTURE_GROUPS; group++) {
        fixture_append(fixture, group, 1, 1, 1, 64);
    }
    fixture_turn(fixture);
    wal_counters(fixture->wal, &after);
    CHECK_EQUAL(fixture->event_count, FIXTURE_GROUPS);
    CHECK_EQUAL(after.bytes_written - before.bytes_written, 4096);
    CHECK_EQUAL(after.batches - before.batches, 1);
    fixture_close(fixture);
}

static void batches_grow_while_the_device_is_busy(void)
{
    struct fixture *fixture = started(NULL);
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
    CHECK_EQUAL(fixture->events[0].range.first, 5);
    CHECK_EQUAL(fixture->events[0].range.last, 20);
    fixture_close(fixture);
}

static uint64_t tag_of_batch(uint32_t slot)
{
    return (UINT64_C(1) << 32) | slot;
}

static void completions_count_out_of_order(void)
{
    struct fixture *fixture = started(NULL);
    disk_memory_hold(fixture->disk, true);
    for (uint64_t index = 1; index <= 3; index++) {
        fixture_append(fixture, 0, (uint32_t)index, 1, index, 64);
        wal_submit(fixture->wal, fixture->now_ns);
    }
    CHECK(disk_memory_release(fixture->disk, tag_of_batch(3))); // 0 was the opening mark
    fixture_turn(fixture);
    CHECK_EQUAL(fixture->event_count, 1);
    CHECK_EQUAL(fixture->events[0].range.first, 3);
    CHECK_EQUAL(fixture->events[0].epoch, 3);
    CHECK(disk_memory_release(fixture->disk, tag_of_batch(1)));
    fixture_turn(fixture);
    CHECK_EQUAL(fixture->event_count, 1);
    CHECK_EQUAL(fixture->events[0].range.first, 1);
    disk_memory_hold(fixture->disk, false);
    fixture_turn(fixture);
    CHECK_EQUAL(fixture->event_count, 1);
    CHECK_EQUAL(fixture->events[0].range.first, 2);
    CHECK(!wal_is_busy(fixture->wal));
    fixture_close(fixture);
}

// However long one write takes, no batch goes out that a recovery would have to look for further
// than the window.
static void window_is_counted_from_the_floor(void)
{
    struct fixture *fixture = started(NULL);
    disk_memory_hold(fixture->disk, true);
    for (uint32_t slot = 1; slot <= 4; slot++) {
        fixture_append(fixture, 0, 1, 1, slot, 64);
        wal_submit(fixture->wal, fixture->now_ns);
    }
    for (uint32_t slot = 2; slot <= 4; slot++) {
        CHECK(disk_memory_release(fixture->disk, tag_of_batch(slot)));
    }
    fixture_append(fixture, 0, 1, 1, 5, 64);
    fixture_turn(fixture);
    CHECK_EQUAL(fixture->event_count, 3);
    fixture_turn(fixture);
    CHECK_EQUAL(disk_memory_in_flight(fixture->disk), 1);
    fixture_close(fixture);
}

static void events_wait_for_room_in_the_callers_array(void)
{
    struct fixture *fixture = started(NULL);
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

static void nothing_passes_a_truncation(void)
{
    struct fixture *fixture = started(NULL);
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
    disk_memory_release(fixture->disk, tag_of_batch(1));
    fixture_turn(fixture);
    fixture_turn(fixture);
    CHECK_EQUAL(disk_memory_in_flight(fixture->disk), 1);
    disk_memory_release(fixture->disk, tag_of_batch(2));
    fixture_turn(fixture);
    CHECK_EQUAL(fixture->event_count, 1);
    CHECK_EQUAL(fixture->events[0].epoch, 2);
    fixture_turn(fixture);
    CHECK_EQUAL(disk_memory_in_flight(fixture->disk), 1);
    disk_memory_hold(fixture->disk, false);
    fixture_settle(fixture);
    fixture_stop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(fixture->record_count, 4);
    CHECK_EQUAL(fixture->records[1].kind, WAL_RECORD_TRUNCATE);
    CHECK_EQUAL(fixture->records[1].group, 0);
    CHECK_EQUAL(fixture->records[1].id.index, 1);
    CHECK_EQUAL(fixture->records[2].id.term, 2);
    CHECK_EQUAL(fixture->records[3].group, 5);
    fixture_close(fixture);
}

static void check_event(const struct fixture *fixture, uint32_t at, uint64_t first, uint64_t last)
{
    CHECK(at < fixture->event_count);
    CHECK_EQUAL(fixture->events[at].kind, WAL_EVENT_ENTRIES);
    CHECK_EQUAL(fixture->events[at].range.first, first);
    CHECK_EQUAL(fixture->events[at].range.last, last);
}

// A run is staged or not as a whole; to say again what was said, or something of another group,
// ends none.
static void staged_entries_have_runs_of_their_own(void)
{
    struct fixture *fixture = started(NULL);
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
    check_event(fixture, 0, 1, 2);
    check_event(fixture, 1, 3, 4);
    check_event(fixture, 2, 5, 5);
    check_event(fixture, 3, 1, 1);
    fixture_stop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(fixture->record_count, 6);
    for (uint32_t i = 0; i < 6; i++) {
        CHECK(fixture_record_is_true(fixture, &fixture->records[i]));
        CHECK_EQUAL(fixture->records[i].is_staged, i == 2 || i == 3 || i == 5);
    }
    fixture_append(fixture, 2, 1, 3, 2, 64); // a start stages nothing
    fixture_settle(fixture);
    fixture_stop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
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
    struct fixture *fixture = started(NULL);
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
    CHECK(disk_memory_release(fixture->disk, tag_of_batch(2))); // what is before it may be late
    fixture_turn(fixture);
    CHECK_EQUAL(fixture->event_count, 2);
    CHECK_EQUAL(fixture->events[0].kind, WAL_EVENT_SYNC);
    CHECK_EQUAL(fixture->events[0].group, 3);
    CHECK_EQUAL(fixture->events[0].sync_term, RAFT_TERM_MAX);
    check_event(fixture, 1, 3, 3);
    fixture_turn(fixture);
    CHECK_EQUAL(disk_memory_in_flight(fixture->disk), 1);
    CHECK(disk_memory_release(fixture->disk, tag_of_batch(1)));
    fixture_turn(fixture);
    fixture_turn(fixture);
    CHECK_EQUAL(disk_memory_in_flight(fixture->disk), 1); // now the other group's
    disk_memory_hold(fixture->disk, false);
    fixture_settle(fixture);
    struct wal_counters counters;
    wal_counters(fixture->wal, &counters);
    CHECK_EQUAL(counters.syncs, 1);
    fixture_stop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
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
    struct fixture *fixture = started(NULL);
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
    fixture_stop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
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
        fixture_stop(fixture);
        CHECK_EQUAL(fixture_start(fixture), 0);
        CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN);
        CHECK_EQUAL(fixture->record_count, 5);
        check_sync(&fixture->records[3], 0, sync);
        CHECK_EQUAL(fixture->records[4].kind, WAL_RECORD_TRUNCATE);
        fixture_close(fixture);
    }
}

static void an_idle_log_is_marked_once(void)
{
    struct fixture *fixture = started(NULL);
    struct wal_counters counters;
    CHECK_EQUAL(wal_deadline_ns(fixture->wal), UINT64_MAX);
    fixture_append(fixture, 0, 1, 1, 1, 64);
    fixture_settle(fixture);
    fixture_turn(fixture);
    uint64_t deadline = wal_deadline_ns(fixture->wal);
    CHECK_EQUAL(deadline, fixture->now_ns + fixture->config.durable_mark_delay_ns);
    fixture->now_ns = deadline - 1;
    fixture_turn(fixture);
    wal_counters(fixture->wal, &counters);
    CHECK_EQUAL(counters.marks, 0);
    fixture->now_ns = deadline;
    fixture_turn(fixture);
    wal_counters(fixture->wal, &counters);
    CHECK_EQUAL(counters.marks, 1);
    for (int turn = 0; turn < 5; turn++) {
        fixture_idle(fixture);
    }
    wal_counters(fixture->wal, &counters);
    CHECK_EQUAL(counters.marks, 1);
    CHECK_EQUAL(wal_deadline_ns(fixture->wal), UINT64_MAX);
    fixture_close(fixture);
}

static void commit_floors_survive(void)
{
    struct fixture *fixture = started(NULL);
    fixture_append(fixture, 2, 1, 1, 1, 64);
    wal_note_commit(fixture->wal, 2, 1);
    fixture_settle(fixture);
    wal_note_commit(fixture->wal, 2, 7);
    wal_note_commit(fixture->wal, 4, 9);
    wal_note_commit(fixture->wal, 4, 8);
    fixture_idle(fixture);
    fixture_stop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 2), 7);
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 4), 9);
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 0), 0);
    CHECK_EQUAL(fixture->record_count, 1);
    fixture_close(fixture);
}

enum { FILLS_A_BLOCK = 4096 - 128 - 48 - 24 }; // an entry that leaves no padding for floors

// A run has the floor as it was noted last before the run ended, room for notes or not.
static void runs_carry_the_commit_floor(void)
{
    struct fixture *fixture = started(NULL);
    wal_note_commit(fixture->wal, 2, 3);
    fixture_append(fixture, 2, 1, 1, 9, FILLS_A_BLOCK);
    wal_note_commit(fixture->wal, 2, 5);
    fixture_settle(fixture);
    wal_note_commit(fixture->wal, 2, 7);
    disk_memory_hold(fixture->disk, true);
    fixture_append(fixture, 2, 1, 1, 10, FILLS_A_BLOCK);
    wal_submit(fixture->wal, 1);
    disk_memory_crash(fixture->disk, 1, 0); // what was in flight is gone
    fixture_drop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(fixture->record_count, 1);
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 2), 5);
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 1), 0);
    fixture_close(fixture);
}

// Notes of the padding and runs: the highest counts, wherever it stands.
static void the_highest_commit_floor_counts(void)
{
    struct fixture *fixture = started(NULL);
    fixture_append(fixture, 2, 1, 1, 1, 64);
    wal_note_commit(fixture->wal, 2, 4);
    fixture_settle(fixture); // by the run, and by a note behind it
    wal_note_commit(fixture->wal, 2, 6);
    fixture_idle(fixture); // by a mark alone
    fixture_stop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 2), 6);
    fixture_append(fixture, 2, 1, 1, 2, FILLS_A_BLOCK); // by a run, of what was recovered
    fixture_settle(fixture);
    fixture_stop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 2), 6);
    fixture_close(fixture);
}

// Appends to group 3, giving up what is behind, until the log has gone around.
static void go_around(struct fixture *fixture)
{
    uint64_t upto = wal_tail(fixture->wal) + 2 * FIXTURE_LOG_BYTES;
    for (uint64_t index = 1; wal_tail(fixture->wal) < upto; index++) {
        fixture_append(fixture, 3, 1, 1, index, 1000);
        fixture_settle(fixture);
        uint64_t behind = wal_head(fixture->wal) - wal_head(fixture->wal) % FIXTURE_SEGMENT_BYTES;
        wal_advance_tail(fixture->wal, behind);
    }
    fixture_idle(fixture);
}

// A floor that recovery found in a run and nowhere else is noted before that run is given up.
static void commit_floors_of_runs_survive_the_tail(void)
{
    struct fixture *fixture = started(NULL);
    wal_note_commit(fixture->wal, 2, 8);
    fixture_append(fixture, 2, 1, 1, 9, FILLS_A_BLOCK);
    fixture_settle(fixture);
    disk_memory_crash(fixture->disk, 1, 0);
    fixture_drop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 2), 8);
    go_around(fixture);
    fixture_stop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(fixture_find(fixture, 2, 1, 9), -1);
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 2), 8);
    fixture_close(fixture);
}

// The newest floor of a group is noted again before the batch that had it is given up.
static void commit_floors_survive_the_tail(void)
{
    struct fixture *fixture = started(NULL);
    fixture_append(fixture, 2, 1, 1, 1, 64);
    wal_note_commit(fixture->wal, 2, 1);
    fixture_idle(fixture);
    for (int lap = 0; lap < 4; lap++) {
        go_around(fixture);
    }
    fixture_stop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(fixture_find(fixture, 2, 1, 1), -1);
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 2), 1);
    fixture_close(fixture);
}

// An entry may be appended again and its old place given up at once: that happens when the copy is
// durable, though the log is never at rest and its caller gives up more and more.
static void an_old_place_stays_until_the_copy_is_durable(void)
{
    struct fixture *fixture = started(NULL);
    uint64_t index = 1, words = 0;
    fixture_append(fixture, 1, 1, 1, 1, 64);
    while (wal_head(fixture->wal) < 2 * FIXTURE_SEGMENT_BYTES) {
        fixture_append(fixture, 0, 1, 1, index++, 1000);
        fixture_settle(fixture);
    }
    CHECK_EQUAL(wal_last_in_segment(fixture->wal, 0, 1), 1);
    CHECK_EQUAL(wal_last_in_segment(fixture->wal, FIXTURE_SEGMENT_BYTES, 1), 0);
    uint64_t copy = fixture_append(fixture, 1, 1, 1, 1, 64);
    for (; wal_tail(fixture->wal) == 0; words++) {
        CHECK(words < 20);
        wal_advance_tail(fixture->wal, FIXTURE_SEGMENT_BYTES + words);
        CHECK_EQUAL(wal_oldest(fixture->wal), FIXTURE_SEGMENT_BYTES);
        wal_submit(fixture->wal, fixture->now_ns);
        fixture_append(fixture, 0, 1, 1, index++, 1000);
        fixture->event_count = wal_poll(fixture->wal, fixture->events, FIXTURE_EVENTS_MAX);
    }
    CHECK(words > 0);
    CHECK(wal_is_busy(fixture->wal));
    CHECK_EQUAL(wal_last_in_segment(fixture->wal, copy, 1), 1);
    fixture_settle(fixture);
    fixture_stop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(wal_last_in_segment(fixture->wal, copy, 1), 1);
    CHECK_EQUAL(wal_last_in_segment(fixture->wal, copy, 0), index - 1);
    CHECK(fixture_find(fixture, 1, 1, 1) >= 0);
    fixture_close(fixture);
}

static void fills_up_and_goes_on_when_the_tail_moves(void)
{
    struct fixture *fixture = started(NULL);
    struct wal_counters counters;
    uint64_t index = 0;
    while (wal_has_room(fixture->wal, 1, 1000)) {
        fixture_append(fixture, 0, 1, 1, ++index, 1000);
        if (index % 5 == 0) {
            fixture_settle(fixture);
        }
    }
    fixture_settle(fixture);
    CHECK(index > 15);
    wal_counters(fixture->wal, &counters);
    CHECK_EQUAL(counters.full_refusals, 1);
    const struct raft_sync sync = {.term = 1};
    wal_truncate(fixture->wal, 0, index); // from the reserve
    fixture_settle(fixture);
    wal_sync(fixture->wal, 0, &sync); // likewise
    fixture_settle(fixture);
    fixture_idle(fixture);
    CHECK(!wal_has_room(fixture->wal, 1, 1000));
    wal_advance_tail(fixture->wal, wal_head(fixture->wal));
    CHECK(!wal_has_room(fixture->wal, 1, 1000)); // not before the disk knows
    fixture_idle(fixture);
    CHECK(wal_has_room(fixture->wal, 1, 1000));
    CHECK_EQUAL(wal_tail(fixture->wal) % FIXTURE_SEGMENT_BYTES, 0);
    CHECK(wal_tail(fixture->wal) > 0);
    fixture_close(fixture);
}

// Small batches are many, but never more than there are records: a record that is larger than a
// batch is one.
static void a_large_entry_finds_room_among_small_batches(void)
{
    struct fixture *fixture = fixture_open(NULL);
    fixture->config.batch_bytes_max = 4096;
    fixture->config.segment_bytes = 4 << 20;
    fixture->config.log_bytes = 16 << 20;
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK(wal_has_room(fixture->wal, 2, 1 << 20));
    fixture_append(fixture, 0, 1, 1, 1, 1 << 20);
    fixture_append(fixture, 0, 1, 1, 2, 64);
    fixture_settle(fixture);
    fixture_stop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(fixture->record_count, 2);
    CHECK(!wal_has_room(fixture->wal, 1000, 4096 * 1000)); // more batches than can be under way
    fixture_close(fixture);
}

// A full log starts as often as one likes, and gets room again when its tail moves.
static void a_full_log_can_be_started_for_ever(void)
{
    struct fixture *fixture = started(NULL);
    uint64_t index = 0;
    while (wal_has_room(fixture->wal, 1, 100)) {
        fixture_append(fixture, 0, 1, 1, ++index, 100);
        fixture_settle(fixture);
    }
    uint64_t commit = 0;
    for (uint64_t start = 1; start <= 40; start++) {
        // A floor comes into a mark, as long as there is room for one that nothing hangs on; the
        // next start may write over that mark.
        wal_note_commit(fixture->wal, 0, start);
        fixture_idle(fixture);
        fixture_stop(fixture);
        CHECK_EQUAL(fixture_start(fixture), 0);
        CHECK(wal_recovered_commit(fixture->wal, 0) >= commit);
        commit = wal_recovered_commit(fixture->wal, 0);
        CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN);
        CHECK_EQUAL(fixture->record_count, index);
        CHECK(!wal_has_room(fixture->wal, 1, 100));
    }
    CHECK(commit > 0);
    wal_advance_tail(fixture->wal, wal_head(fixture->wal) - FIXTURE_SEGMENT_BYTES);
    fixture_idle(fixture);
    CHECK(wal_has_room(fixture->wal, 1, 100));
    fixture_stop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN);
    CHECK(fixture_find(fixture, 0, 1, index) >= 0);
    fixture_close(fixture);
}

static void refuses_what_can_never_fit(void)
{
    struct fixture *fixture = started(NULL);
    CHECK(!wal_has_room(fixture->wal, 1, FIXTURE_SEGMENT_BYTES));
    CHECK(!wal_has_room(fixture->wal, 1, UINT64_MAX / 4));
    CHECK(!wal_has_room(fixture->wal, 100000, 0));
    CHECK(wal_has_room(fixture->wal, 1, FIXTURE_SEGMENT_BYTES / 4));
    fixture_close(fixture);
}

// Positions and bodies stay good over many laps, entries of all sizes.
static void wraps_many_times(void)
{
    struct fixture *fixture = started(NULL);
    uint64_t bodies[8];
    uint32_t sizes[8];
    uint64_t index = 0;
    for (int round = 0; round < 2000; round++) {
        uint32_t count = 1 + (uint32_t)round % 8;
        for (uint32_t i = 0; i < count; i++) {
            sizes[i] = (uint32_t)(round * 37 + (int)i * 1009) % (i == 0 ? 4097 : 301);
            if (!wal_has_room(fixture->wal, 1, sizes[i])) {
                fixture_settle(fixture);
                fixture_idle(fixture); // a mark records the tail
                CHECK(wal_has_room(fixture->wal, 1, sizes[i]));
            }
            bodies[i] = fixture_append(fixture, 0, 1, 1, ++index, sizes[i]);
        }
        for (uint32_t i = 0; i < count; i++) {
            static uint8_t expected[4096];
            struct raft_entry_id id = {1, index - count + 1 + i};
            fixture_payload(expected, sizes[i], 0, id);
            CHECK(memcmp(wal_payload(fixture->wal, bodies[i]), expected, sizes[i]) == 0);
        }
        fixture_settle(fixture);
        wal_advance_tail(fixture->wal, bodies[0]);
        if (round % 97 == 0) {
            fixture_stop(fixture);
            CHECK_EQUAL(fixture_start(fixture), 0);
            CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN);
            CHECK(fixture_find(fixture, 0, 1, index) >= 0);
            for (uint32_t i = 0; i < fixture->record_count; i++) {
                CHECK(fixture_record_is_true(fixture, &fixture->records[i]));
            }
        }
    }
    CHECK(wal_head(fixture->wal) > 20 * FIXTURE_LOG_BYTES);
    fixture_close(fixture);
}

static void carries_the_largest_entry(void)
{
    struct fixture *fixture = fixture_open(NULL);
    fixture->config.segment_bytes = 4 << 20;
    fixture->config.log_bytes = 16 << 20;
    CHECK_EQUAL(fixture_start(fixture), 0);
    uint64_t index = 0;
    for (; index < 40; index++) {
        CHECK(wal_has_room(fixture->wal, 1, RAFT_PAYLOAD_BYTES_MAX));
        uint64_t body =
            fixture_append(fixture, 0, 1, 1, index + 1, RAFT_PAYLOAD_BYTES_MAX - (index & 1));
        fixture_settle(fixture);
        wal_advance_tail(fixture->wal, body);
        fixture_idle(fixture);
    }
    fixture_stop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK(fixture_find(fixture, 0, 1, index) >= 0);
    for (uint32_t i = 0; i < fixture->record_count; i++) {
        CHECK(fixture_record_is_true(fixture, &fixture->records[i]));
    }
    fixture_close(fixture);
}

static void hard_states_are_durable_before_reported(void)
{
    struct fixture *fixture = started(NULL);
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
    fixture_drop(fixture);
    disk_memory_crash(fixture->disk, 1, 0);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(wal_hard_state(fixture->wal, 1).term, 9);
    CHECK_EQUAL(wal_hard_state(fixture->wal, 1).voted_for, 1);
    CHECK_EQUAL(wal_hard_state(fixture->wal, 0).term, 0);
    fixture_close(fixture);
}

static void hard_states_say_what_was_installed(void)
{
    struct fixture *fixture = started(NULL);
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
    fixture_drop(fixture);
    disk_memory_crash(fixture->disk, 1, 0);
    CHECK_EQUAL(fixture_start(fixture), 0);
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
    fixture_stop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    for (uint16_t group = 0; group < 100; group++) {
        CHECK_EQUAL(wal_hard_state(fixture->wal, group).term, group + 1u);
    }
    fixture_close(fixture);
}

static void a_failed_write_ends_everything(void)
{
    struct fixture *fixture = started(NULL);
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

static void a_failed_vote_ends_everything(void)
{
    struct fixture *fixture = started(NULL);
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

static void a_full_disk_queue_only_delays(void)
{
    struct disk_memory_options options = {.in_flight_max = 1};
    struct fixture *fixture = started(&options);
    for (uint64_t index = 1; index <= 50; index++) {
        fixture_append(fixture, 0, 1, 1, index, 64);
        wal_put_hard_state(fixture->wal, (uint16_t)(index % 8),
                           (struct raft_hard_state){.term = index, .voted_for = 1});
        wal_submit(fixture->wal, 1);
    }
    fixture_settle(fixture);
    fixture_stop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(fixture->record_count, 50);
    CHECK_EQUAL(wal_hard_state(fixture->wal, 2).term, 50);
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
    fixture_stop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
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
    check_event(fixture, 0, 2, 2);
    CHECK_EQUAL(fixture->events[1].kind, WAL_EVENT_SYNC);
    CHECK_EQUAL(fixture->events[1].group, 4);
    CHECK_EQUAL(fixture->events[1].sync_term, 6);
    check_event(fixture, 2, 3, 3);
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
    struct fixture *fixture = started(NULL);
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
    fixture_stop(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(fixture->record_count, 1);
    CHECK_EQUAL(fixture->records[0].id.term, 5);
    fixture_close(fixture);
}

static void a_reset_changes_the_size(void)
{
    struct fixture *fixture = started(NULL);
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
        TEST(entries_become_durable_and_come_back),
        TEST(groups_share_a_write),
        TEST(batches_grow_while_the_device_is_busy),
        TEST(completions_count_out_of_order),
        TEST(window_is_counted_from_the_floor),
        TEST(events_wait_for_room_in_the_callers_array),
        TEST(nothing_passes_a_truncation),
        TEST(staged_entries_have_runs_of_their_own),
        TEST(nothing_passes_a_sync),
        TEST(syncs_alone_are_a_batch),
        TEST(barriers_fit_at_a_segments_end),
        TEST(an_idle_log_is_marked_once),
        TEST(runs_carry_the_commit_floor),
        TEST(the_highest_commit_floor_counts),
        TEST(commit_floors_of_runs_survive_the_tail),
        TEST(commit_floors_survive),
        TEST(commit_floors_survive_the_tail),
        TEST(an_old_place_stays_until_the_copy_is_durable),
        TEST(fills_up_and_goes_on_when_the_tail_moves),
        TEST(a_large_entry_finds_room_among_small_batches),
        TEST(a_full_log_can_be_started_for_ever),
        TEST(refuses_what_can_never_fit),
        TEST(wraps_many_times),
        TEST(carries_the_largest_entry),
        TEST(hard_states_are_durable_before_reported),
        TEST(hard_states_say_what_was_installed),
        TEST(more_votes_than_buffers),
        TEST(a_failed_write_ends_everything),
        TEST(a_failed_vote_ends_everything),
        TEST(a_full_disk_queue_only_delays),
        TEST(volatile_entries_are_reported_at_once_and_votes_kept),
        TEST(a_volatile_sync_is_reported_with_the_entries),
        TEST(durable_after_volatile_needs_a_reset),
        TEST(a_reset_changes_the_size),
        TEST(a_full_disk_leaves_nothing_behind),
        TEST(refuses_a_bad_configuration),
    };
    return test_run("wal", cases, TEST_COUNT(cases), argc, argv);
}
