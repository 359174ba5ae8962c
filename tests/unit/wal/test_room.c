// Room: a log that is full, its tail, going round.
#include "tests/harness/harness.h"
#include "tests/unit/wal/fixture.h"

#include <string.h>

// An entry may be appended again and its old place given up at once: that happens when the copy is
// durable, though the log is never at rest and its caller gives up more and more.
static void an_old_place_stays_until_the_copy_is_durable(void)
{
    struct fixture *fixture = fixture_started(NULL);
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
    CHECK_EQUAL(fixture_restart(fixture), 0);
    CHECK_EQUAL(wal_last_in_segment(fixture->wal, copy, 1), 1);
    CHECK_EQUAL(wal_last_in_segment(fixture->wal, copy, 0), index - 1);
    CHECK(fixture_find(fixture, 1, 1, 1) >= 0);
    fixture_close(fixture);
}

static void fills_up_and_goes_on_when_the_tail_moves(void)
{
    struct fixture *fixture = fixture_started(NULL);
    uint64_t index = 0;
    while (wal_has_room(fixture->wal, 1, 1000)) {
        fixture_append(fixture, 0, 1, 1, ++index, 1000);
        if (index % 5 == 0) {
            fixture_settle(fixture);
        }
    }
    fixture_settle(fixture);
    CHECK(index > 15);
    CHECK_EQUAL(fixture_counters(fixture).full_refusals, 1);
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
    CHECK_EQUAL(fixture_restart(fixture), 0);
    CHECK_EQUAL(fixture->record_count, 2);
    CHECK(!wal_has_room(fixture->wal, 1000, 4096 * 1000)); // more batches than can be under way
    fixture_close(fixture);
}

// A full log starts as often as one likes, and gets room again when its tail moves.
static void a_full_log_can_be_started_for_ever(void)
{
    struct fixture *fixture = fixture_started(NULL);
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
        CHECK_EQUAL(fixture_restart(fixture), 0);
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
    CHECK_EQUAL(fixture_restart(fixture), 0);
    CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN);
    CHECK(fixture_find(fixture, 0, 1, index) >= 0);
    fixture_close(fixture);
}

static void refuses_what_can_never_fit(void)
{
    struct fixture *fixture = fixture_started(NULL);
    CHECK(!wal_has_room(fixture->wal, 1, FIXTURE_SEGMENT_BYTES));
    CHECK(!wal_has_room(fixture->wal, 1, UINT64_MAX / 4));
    CHECK(!wal_has_room(fixture->wal, 100000, 0));
    CHECK(wal_has_room(fixture->wal, 1, FIXTURE_SEGMENT_BYTES / 4));
    fixture_close(fixture);
}

// Positions and bodies stay good over many laps, entries of all sizes.
static void wraps_many_times(void)
{
    struct fixture *fixture = fixture_started(NULL);
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
            CHECK_EQUAL(fixture_restart(fixture), 0);
            CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN);
            CHECK(fixture_find(fixture, 0, 1, index) >= 0);
            fixture_check_records(fixture);
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
    CHECK_EQUAL(fixture_restart(fixture), 0);
    CHECK(fixture_find(fixture, 0, 1, index) >= 0);
    fixture_check_records(fixture);
    fixture_close(fixture);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(an_old_place_stays_until_the_copy_is_durable),
        TEST(fills_up_and_goes_on_when_the_tail_moves),
        TEST(a_large_entry_finds_room_among_small_batches),
        TEST(a_full_log_can_be_started_for_ever),
        TEST(refuses_what_can_never_fit),
        TEST(wraps_many_times),
        TEST(carries_the_largest_entry),
    };
    return test_run("wal room", cases, TEST_COUNT(cases), argc, argv);
}
