// Random work, random crashes: what was reported durable is there afterwards, and nothing else ever
// was.
//
// A model keeps what each group's log must hold: entries reported and not truncated since. Appends
// of eight groups, truncations, commit floors, votes, tail movements, and segments freed by writing
// what is live in them again, staged entries and SYNCs meet a disk that completes late and out of
// order; then power is cut (any sectors of what was in flight land), or the process dies, sometimes
// while it recovers.
#include "engine/base/prng.h"
#include "tests/harness/harness.h"
#include "tests/unit/wal/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INDEXES_MAX = 4096, LIVES = 60, STEPS_MAX = 120, SEEDS = 100, SYNCS_MAX = 512 };

struct model_entry {
    uint64_t term;
    uint64_t body;
    uint32_t epoch;
    bool is_durable; // reported, or recovered
    bool is_moved;   // written again: recovery may find any of its places
    bool is_staged;
};

struct model_sync {
    uint64_t from, to; // positions: it lies between
    uint64_t term;     // names it
    uint16_t group;
    bool is_durable; // reported, or recovered
    bool is_found;
};

struct model_group {
    struct model_entry entries[INDEXES_MAX]; // by index; term 0: none
    uint64_t last;
    uint64_t term;
    uint32_t epoch;
    bool is_staging;
    struct raft_hard_state hard_reported, hard_wanted;
};

static struct model_group groups[FIXTURE_GROUPS];
static uint32_t lengths[FIXTURE_GROUPS][INDEXES_MAX]; // of payloads, by index
static struct model_sync syncs[SYNCS_MAX];            // in file order
static uint32_t sync_count;
static uint64_t sync_terms;
static uint64_t random_state;
static uint64_t seeds_first = 1, seeds_last = SEEDS, running_seed;
static uint64_t checked_entries, moved_entries, staged_entries, checked_syncs, lost_syncs;
static uint64_t torn, restarts;

static uint64_t chance(uint64_t below)
{
    return prng_splitmix(&random_state) % below;
}

static void append_some(struct fixture *fixture)
{
    uint16_t number = (uint16_t)chance(FIXTURE_GROUPS);
    struct model_group *group = &groups[number];
    for (uint64_t count = 1 + chance(4); count > 0; count--) {
        uint32_t bytes = (uint32_t)(chance(8) == 0 ? chance(4096) : chance(200));
        if (group->last + 1 >= INDEXES_MAX || !wal_has_room(fixture->wal, 1, bytes)) {
            return;
        }
        uint64_t index = ++group->last;
        lengths[number][index] = bytes;
        uint64_t body = fixture_append(fixture, number, group->epoch, group->term, index, bytes);
        group->entries[index] = (struct model_entry){.term = group->term,
                                                     .body = body,
                                                     .epoch = group->epoch,
                                                     .is_staged = group->is_staging};
    }
}

static void stage_or_not(struct fixture *fixture)
{
    uint16_t number = (uint16_t)chance(FIXTURE_GROUPS);
    groups[number].is_staging = chance(2) == 0;
    wal_stage(fixture->wal, number, groups[number].is_staging);
}

static void sync_some(struct fixture *fixture)
{
    uint16_t number = (uint16_t)chance(FIXTURE_GROUPS);
    if (sync_count == SYNCS_MAX || !wal_has_room(fixture->wal, 1, 0)) {
        return;
    }
    struct raft_sync sync = {.term = ++sync_terms, .end = sync_terms + number, .keep = number};
    struct model_sync *model = &syncs[sync_count++];
    *model =
        (struct model_sync){.from = wal_head(fixture->wal), .term = sync.term, .group = number};
    wal_sync(fixture->wal, number, &sync);
    model->to = wal_head(fixture->wal);
}

static void truncate_some(struct fixture *fixture)
{
    uint16_t number = (uint16_t)chance(FIXTURE_GROUPS);
    struct model_group *group = &groups[number];
    if (group->last == 0 || !wal_has_room(fixture->wal, 1, 0)) {
        return;
    }
    uint64_t first = group->last - chance(group->last < 6 ? group->last : 6);
    wal_truncate(fixture->wal, number, first);
    for (uint64_t index = first; index <= group->last; index++) {
        group->entries[index] = (struct model_entry){0};
    }
    group->last = first - 1;
    group->term++;
    group->epoch++;
}

static void vote(struct fixture *fixture)
{
    uint16_t number = (uint16_t)chance(FIXTURE_GROUPS);
    struct model_group *group = &groups[number];
    group->hard_wanted.term++;
    group->hard_wanted.voted_for = (uint16_t)(1 + chance(3));
    wal_put_hard_state(fixture->wal, number, group->hard_wanted);
}

// Gives up the older half of the log.
static void move_tail(struct fixture *fixture)
{
    uint64_t used = wal_head(fixture->wal) - wal_tail(fixture->wal);
    wal_advance_tail(fixture->wal, wal_tail(fixture->wal) + used / 2);
}

// Writes again what of a group is live and durable in the oldest segment. False: something of it
// must stay there.
static bool move_group(struct fixture *fixture, uint16_t number, uint64_t segment)
{
    struct model_group *group = &groups[number];
    uint64_t last = wal_last_in_segment(fixture->wal, segment, number);
    for (uint64_t index = 1; index <= group->last; index++) {
        struct model_entry *entry = &group->entries[index];
        if (entry->term == 0 || entry->body < segment ||
            entry->body >= segment + FIXTURE_SEGMENT_BYTES) {
            continue;
        }
        CHECK(index <= last);
        uint32_t bytes = lengths[number][index];
        if (!entry->is_durable || !wal_has_room(fixture->wal, 1, bytes)) {
            return false;
        }
        wal_stage(fixture->wal, number, entry->is_staged);
        entry->body = fixture_append(fixture, number, entry->epoch, entry->term, index, bytes);
        wal_stage(fixture->wal, number, group->is_staging);
        entry->is_moved = true;
    }
    return true;
}

// Frees the oldest segment without giving anything up. (The open one stays.)
static void free_segment(struct fixture *fixture)
{
    uint64_t segment = wal_oldest(fixture->wal);
    if (segment + FIXTURE_SEGMENT_BYTES > wal_head(fixture->wal)) {
        return;
    }
    bool is_free = true;
    for (uint16_t number = 0; number < FIXTURE_GROUPS; number++) {
        is_free &= move_group(fixture, number, segment);
    }
    if (is_free) {
        wal_advance_tail(fixture->wal, segment + FIXTURE_SEGMENT_BYTES);
    }
}

static void take_sync(const struct wal_event *event)
{
    for (uint32_t i = 0; i < sync_count; i++) {
        if (syncs[i].term == event->sync_term) {
            CHECK_EQUAL(syncs[i].group, event->group);
            CHECK(!syncs[i].is_durable);
            syncs[i].is_durable = true;
            return;
        }
    }
    CHECK(false);
}

static void take_events(struct fixture *fixture)
{
    for (uint32_t i = 0; i < fixture->event_count; i++) {
        const struct wal_event *event = &fixture->events[i];
        struct model_group *group = &groups[event->group];
        CHECK(event->kind != WAL_EVENT_FAILED);
        if (event->kind == WAL_EVENT_HARD_STATE) {
            CHECK(event->hard_state.term > group->hard_reported.term);
            group->hard_reported = event->hard_state;
            continue;
        }
        if (event->kind == WAL_EVENT_SYNC) {
            take_sync(event);
            continue;
        }
        for (uint64_t index = event->range.first; index <= event->range.last; index++) {
            if (group->entries[index].epoch == event->epoch) {
                group->entries[index].is_durable = true;
            }
        }
    }
}

static void live(struct fixture *fixture)
{
    for (uint64_t steps = chance(STEPS_MAX); steps > 0; steps--) {
        uint64_t what = chance(100);
        if (what < 60) {
            append_some(fixture);
        } else if (what < 64) {
            truncate_some(fixture);
        } else if (what < 68) {
            vote(fixture);
        } else if (what < 72) {
            move_tail(fixture);
        } else if (what < 75) {
            wal_note_commit(fixture->wal, (uint16_t)chance(FIXTURE_GROUPS), chance(100));
        } else if (what < 78) {
            fixture->now_ns += 2000000;
        } else if (what < 84) {
            free_segment(fixture);
        } else if (what < 87) {
            stage_or_not(fixture);
        } else if (what < 89) {
            sync_some(fixture);
        }
        if (chance(2) == 0) {
            wal_submit(fixture->wal, fixture->now_ns);
        }
        if (chance(2) == 0) {
            fixture->event_count =
                wal_poll(fixture->wal, fixture->events, (uint32_t)chance(FIXTURE_EVENTS_MAX));
            take_events(fixture);
        }
    }
}

// What the records add up to, replayed in order as the caller of the log does.
static struct model_entry replayed[FIXTURE_GROUPS][INDEXES_MAX];

static uint64_t body_max; // of the entries found

static void replay_sync(const struct wal_record *record)
{
    for (uint32_t i = 0; i < sync_count; i++) {
        struct model_sync *sync = &syncs[i];
        if (sync->term == record->sync.term) {
            CHECK_EQUAL(record->group, sync->group);
            CHECK_EQUAL(record->sync.end, sync->term + sync->group);
            CHECK_EQUAL(record->sync.keep, sync->group);
            CHECK(!sync->is_found);
            CHECK(body_max < sync->to); // in file order
            sync->is_found = true;
            return;
        }
    }
    CHECK(false);
}

static void replay(const struct fixture *fixture)
{
    memset(replayed, 0, sizeof(replayed));
    body_max = 0;
    for (uint32_t i = 0; i < fixture->record_count; i++) {
        const struct wal_record *record = &fixture->records[i];
        struct model_entry *entries = replayed[record->group];
        CHECK(record->id.index < INDEXES_MAX);
        if (record->kind == WAL_RECORD_TRUNCATE) {
            for (uint64_t index = record->id.index; index < INDEXES_MAX; index++) {
                entries[index] = (struct model_entry){0};
            }
            continue;
        }
        if (record->kind == WAL_RECORD_SYNC) {
            replay_sync(record);
            continue;
        }
        CHECK(fixture_record_is_true(fixture, record));
        body_max = record->body > body_max ? record->body : body_max;
        entries[record->id.index] = (struct model_entry){.term = record->id.term,
                                                         .body = record->body,
                                                         .is_durable = true,
                                                         .is_staged = record->is_staged};
    }
}

// What was reported is there, and what is not there has nothing behind it. From now on, what was
// found is what there is.
static void compare_syncs(uint64_t tail)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < sync_count; i++) {
        struct model_sync sync = syncs[i];
        if (sync.from >= tail) {
            CHECK(sync.is_found || !sync.is_durable);
            CHECK(sync.is_found || body_max < sync.to);
            checked_syncs += sync.is_durable;
            lost_syncs += !sync.is_found;
        }
        if (sync.is_found) {
            sync.is_durable = true;
            sync.is_found = false;
            syncs[kept++] = sync;
        }
    }
    sync_count = kept;
}

// `tail` as it was at the crash: what lies below had been given up.
static void compare(const struct fixture *fixture, uint64_t tail)
{
    for (uint16_t number = 0; number < FIXTURE_GROUPS; number++) {
        struct model_group *group = &groups[number];
        for (uint64_t index = 1; index <= group->last; index++) {
            const struct model_entry *wanted = &group->entries[index];
            if (wanted->is_durable && wanted->body >= tail) {
                CHECK_EQUAL(replayed[number][index].term, wanted->term);
                CHECK(wanted->is_moved || replayed[number][index].body == wanted->body);
                CHECK_EQUAL(replayed[number][index].is_staged, wanted->is_staged);
                staged_entries += wanted->is_staged;
                checked_entries++;
                moved_entries += wanted->is_moved;
            }
        }
        struct raft_hard_state found = wal_hard_state(fixture->wal, number);
        CHECK(found.term >= group->hard_reported.term && found.term <= group->hard_wanted.term);
        CHECK(found.term != group->hard_reported.term ||
              found.voted_for == group->hard_reported.voted_for);
    }
}

// From now on, what was found is what there is.
static void adopt(const struct fixture *fixture)
{
    for (uint16_t number = 0; number < FIXTURE_GROUPS; number++) {
        struct model_group *group = &groups[number];
        memcpy(group->entries, replayed[number], sizeof(group->entries));
        group->last = 0;
        for (uint64_t index = 1; index < INDEXES_MAX; index++) {
            group->last = group->entries[index].term != 0 ? index : group->last;
        }
        group->hard_reported = wal_hard_state(fixture->wal, number);
        group->hard_wanted = group->hard_reported;
        group->is_staging = false;
        group->term++;
        group->epoch++;
    }
}

static void crash(struct fixture *fixture)
{
    static const uint32_t keeps[] = {0, 30, 70, 97, 100};
    uint32_t keep_percent = keeps[chance(5)];
    if (chance(3) == 0) {
        disk_memory_kill(fixture->disk, chance(UINT64_MAX), keep_percent);
    } else {
        disk_memory_crash(fixture->disk, chance(UINT64_MAX), keep_percent);
    }
}

// Opens the log; three times of four something goes wrong on the way first, and power is cut again.
static void restart(struct fixture *fixture)
{
    for (int nested = 0; nested < 3 && chance(4) != 0; nested++) {
        disk_memory_fail(fixture->disk, DISK_WRITE_DURABLE, 1 + chance(6), 1, -EIO);
        int error = fixture_start(fixture);
        CHECK(error == 0 || error == -EIO);
        if (error == 0) {
            CHECK(fixture->recovery.verdict != WAL_FAULTY);
            torn += fixture->recovery.torn_batches;
            fixture_drop(fixture);
        }
        crash(fixture);
        restarts++;
    }
    int error = fixture_start(fixture);
    if (error != 0) {
        test_check_text(fixture->reason, "", __FILE__, __LINE__, "reason");
    }
    CHECK_EQUAL(error, 0);
    restarts++;
}

static void run(uint64_t seed)
{
    struct disk_memory_options options = {.seed = seed,
                                          .delay_polls_max = (uint32_t)(seed % 7),
                                          .reorder = seed % 2 == 0,
                                          .in_flight_max = seed % 5 == 0 ? 2 : 64,
                                          .tear_failed_writes = true};
    struct fixture *fixture = fixture_open(&options);
    random_state = seed;
    memset(groups, 0, sizeof(groups));
    sync_count = 0;
    fixture->config.in_flight_max = (uint32_t)(1 + seed % 6);
    fixture->config.batch_bytes_max = seed % 3 == 0 ? 4096 : 16384;
    fixture->config.log_bytes = 8 * FIXTURE_SEGMENT_BYTES;
    CHECK_EQUAL(fixture_start(fixture), 0);
    replay(fixture);
    adopt(fixture);
    for (int life = 0; life < LIVES; life++) {
        live(fixture);
        uint64_t tail = wal_tail(fixture->wal);
        crash(fixture); // while the arena that requests in flight point to is still there
        fixture_drop(fixture);
        restart(fixture);
        if (fixture->recovery.verdict == WAL_FAULTY) {
            printf("    seed %llu life %d\n", (unsigned long long)running_seed, life);
            test_check_text(fixture->reason, "", __FILE__, __LINE__, "reason");
        }
        torn += fixture->recovery.torn_batches;
        replay(fixture);
        compare(fixture, tail);
        compare_syncs(tail);
        adopt(fixture);
        if (wal_free_bytes(fixture->wal) < 4 * FIXTURE_SEGMENT_BYTES) {
            move_tail(fixture);
            fixture_idle(fixture);
        }
    }
    fixture_close(fixture);
}

static void acknowledged_entries_survive(void)
{
    for (uint64_t seed = seeds_first; seed <= seeds_last; seed++) {
        running_seed = seed;
        run(seed);
    }
    CHECK(checked_entries > 1000 * SEEDS);
    CHECK(moved_entries > 100 * SEEDS);
    CHECK(staged_entries > 100 * SEEDS);
    CHECK(checked_syncs > 10 * SEEDS);
    CHECK(lost_syncs > SEEDS);
    CHECK(torn > 3 * SEEDS);
    CHECK(restarts > SEEDS * LIVES);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0) { // as many, after those of the default run
        seeds_first = SEEDS + 1;
        seeds_last = SEEDS + strtoull(argv[2], NULL, 10);
        argc = 1;
    }
    static const struct test_case cases[] = {TEST(acknowledged_entries_survive)};
    return test_run("wal crash", cases, TEST_COUNT(cases), argc, argv);
}
