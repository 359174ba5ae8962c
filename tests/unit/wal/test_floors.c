// Commit floors: in marks, in runs, and when the place they stand at is given up.
#include "tests/harness/harness.h"
#include "tests/unit/wal/fixture.h"

enum { FILLS_A_BLOCK = 4096 - 128 - 48 - 24 }; // an entry that leaves no padding for floors

// A run has the floor as it was noted last before the run ended, room for notes or not.
static void runs_carry_the_commit_floor(void)
{
    struct fixture *fixture = fixture_started(NULL);
    wal_note_commit(fixture->wal, 2, 3);
    fixture_append(fixture, 2, 1, 1, 9, FILLS_A_BLOCK);
    wal_note_commit(fixture->wal, 2, 5);
    fixture_settle(fixture);
    wal_note_commit(fixture->wal, 2, 7);
    disk_memory_hold(fixture->disk, true);
    fixture_append(fixture, 2, 1, 1, 10, FILLS_A_BLOCK);
    wal_submit(fixture->wal, 1);
    CHECK_EQUAL(fixture_crash(fixture), 0); // what was in flight is gone
    CHECK_EQUAL(fixture->record_count, 1);
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 2), 5);
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 1), 0);
    fixture_close(fixture);
}

// Notes of the padding and runs: the highest counts, wherever it stands.
static void the_highest_commit_floor_counts(void)
{
    struct fixture *fixture = fixture_started(NULL);
    fixture_append(fixture, 2, 1, 1, 1, 64);
    wal_note_commit(fixture->wal, 2, 4);
    fixture_settle(fixture); // by the run, and by a note behind it
    wal_note_commit(fixture->wal, 2, 6);
    fixture_idle(fixture); // by a mark alone
    CHECK_EQUAL(fixture_restart(fixture), 0);
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 2), 6);
    fixture_append(fixture, 2, 1, 1, 2, FILLS_A_BLOCK); // by a run, of what was recovered
    fixture_settle(fixture);
    CHECK_EQUAL(fixture_restart(fixture), 0);
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
    struct fixture *fixture = fixture_started(NULL);
    wal_note_commit(fixture->wal, 2, 8);
    fixture_append(fixture, 2, 1, 1, 9, FILLS_A_BLOCK);
    fixture_settle(fixture);
    CHECK_EQUAL(fixture_crash(fixture), 0);
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 2), 8);
    go_around(fixture);
    CHECK_EQUAL(fixture_restart(fixture), 0);
    CHECK_EQUAL(fixture_find(fixture, 2, 1, 9), -1);
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 2), 8);
    fixture_close(fixture);
}

static void commit_floors_survive(void)
{
    struct fixture *fixture = fixture_started(NULL);
    fixture_append(fixture, 2, 1, 1, 1, 64);
    wal_note_commit(fixture->wal, 2, 1);
    fixture_settle(fixture);
    wal_note_commit(fixture->wal, 2, 7);
    wal_note_commit(fixture->wal, 4, 9);
    wal_note_commit(fixture->wal, 4, 8);
    fixture_idle(fixture);
    CHECK_EQUAL(fixture_restart(fixture), 0);
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 2), 7);
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 4), 9);
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 0), 0);
    CHECK_EQUAL(fixture->record_count, 1);
    fixture_close(fixture);
}

// The newest floor of a group is noted again before the batch that had it is given up.
static void commit_floors_survive_the_tail(void)
{
    struct fixture *fixture = fixture_started(NULL);
    fixture_append(fixture, 2, 1, 1, 1, 64);
    wal_note_commit(fixture->wal, 2, 1);
    fixture_idle(fixture);
    for (int lap = 0; lap < 4; lap++) {
        go_around(fixture);
    }
    CHECK_EQUAL(fixture_restart(fixture), 0);
    CHECK_EQUAL(fixture_find(fixture, 2, 1, 1), -1);
    CHECK_EQUAL(wal_recovered_commit(fixture->wal, 2), 1);
    fixture_close(fixture);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(runs_carry_the_commit_floor),
        TEST(the_highest_commit_floor_counts),
        TEST(commit_floors_of_runs_survive_the_tail),
        TEST(commit_floors_survive),
        TEST(commit_floors_survive_the_tail),
    };
    return test_run("wal floors", cases, TEST_COUNT(cases), argc, argv);
}
