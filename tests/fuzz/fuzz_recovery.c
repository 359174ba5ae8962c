// A log through crashes: work, a crash, recovery that may be cut short by another, more work.
//
// The input is a sequence of actions (recovery_actions.h) on one log of three groups. A model
// beside it keeps what each group's log must hold: what was reported durable and not truncated
// since.
//
// What must hold after every recovery:
//  - what was reported durable is there, at its place, with its bytes, unless the tail passed it;
//  - what a durable truncation removed does not come back, and nothing is there that was not
//    written; staged entries, and only they, are staged;
//  - a SYNC that was reported is there; nothing of its life is behind one that is not;
//  - term and vote are those reported, or newer ones that were asked for;
//  - it is never FAULTY: power cuts and dying processes damage nothing that was durable.
#include <errno.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/recovery_actions.h"
#include "tests/unit/wal/fixture.h"

enum {
    GROUPS = 3,
    INDEXES_MAX = 256, // of a group
    SYNCS_MAX = 200,   // in the log
    ACTIONS_MAX = 200,
    CRASHES_MAX = 12,
};

struct model_entry {
    uint64_t term; // 0: none
    uint64_t body;
    bool is_durable; // reported, or recovered
    bool is_staged;
};

struct model_sync {
    uint64_t from, to; // positions: it lies between
    struct raft_sync sync;
    uint16_t group;
    bool is_durable; // reported, or recovered
    bool is_found;
};

struct model_group {
    struct model_entry entries[INDEXES_MAX];
    uint64_t last, term;
    uint32_t epoch;
    bool is_staging;
    struct raft_hard_state reported, wanted;
    // The newest truncation: entries ≥ cut_first of terms ≤ cut_term are gone. 0: none in this
    // life.
    uint64_t cut_first, cut_term;
    bool is_cut_durable; // something behind it was reported
};

static struct fixture *fixture;
static struct model_group groups[GROUPS];
static struct model_entry replayed[GROUPS][INDEXES_MAX];
static struct model_sync syncs[SYNCS_MAX]; // in file order
static uint32_t sync_count;
static uint64_t sync_terms, body_max; // body_max: of the entries found
static uint32_t crashes;

// ------------------------------------------------------------------------------------------------
// work

static void append(struct fuzz_input *input)
{
    uint8_t bits = fuzz_u8(input), size = fuzz_u8(input);
    uint16_t number = bits % GROUPS;
    struct model_group *group = &groups[number];
    for (uint32_t count = 1 + (bits >> 6); count > 0; count--) {
        uint32_t bytes = size * ((bits & 0x20) != 0 ? 16u : 1u);
        if (group->last + 1 >= INDEXES_MAX || !wal_has_room(fixture->wal, 1, bytes)) {
            return;
        }
        uint64_t index = ++group->last;
        uint64_t body = fixture_append(fixture, number, group->epoch, group->term, index, bytes);
        group->entries[index] =
            (struct model_entry){.term = group->term, .body = body, .is_staged = group->is_staging};
    }
}

static void stage(struct fuzz_input *input)
{
    uint8_t bits = fuzz_u8(input);
    groups[bits % GROUPS].is_staging = (bits & 0x80) != 0;
    wal_stage(fixture->wal, bits % GROUPS, (bits & 0x80) != 0);
}

static void sync_group(struct fuzz_input *input)
{
    uint8_t bits = fuzz_u8(input);
    if (sync_count == SYNCS_MAX || !wal_has_room(fixture->wal, 1, 0)) {
        return;
    }
    struct model_sync *model = &syncs[sync_count++];
    *model = (struct model_sync){.from = wal_head(fixture->wal),
                                 .sync = {.term = ++sync_terms, .end = bits, .keep = bits / 2},
                                 .group = bits % GROUPS};
    wal_sync(fixture->wal, model->group, &model->sync);
    model->to = wal_head(fixture->wal);
}

static void truncate_group(struct fuzz_input *input)
{
    uint8_t bits = fuzz_u8(input);
    struct model_group *group = &groups[bits % GROUPS];
    uint64_t back = bits / GROUPS % 8;
    if (group->last == 0 || !wal_has_room(fixture->wal, 1, 0)) {
        return;
    }
    uint64_t first = group->last > back ? group->last - back : 1;
    wal_truncate(fixture->wal, bits % GROUPS, first);
    for (uint64_t index = first; index <= group->last; index++) {
        group->entries[index] = (struct model_entry){0};
    }
    group->last = first - 1;
    group->cut_first = first;
    group->cut_term = group->term;
    group->is_cut_durable = false;
    group->term++;
    group->epoch++;
}

static void vote(struct fuzz_input *input)
{
    uint8_t bits = fuzz_u8(input);
    struct model_group *group = &groups[bits % GROUPS];
    group->wanted = (struct raft_hard_state){.term = group->wanted.term + 1,
                                             .voted_for = (uint16_t)(1 + (bits >> 6)),
                                             .sync_term = group->wanted.term,
                                             .sync_end = bits};
    wal_put_hard_state(fixture->wal, bits % GROUPS, group->wanted);
}

static void move_tail(struct fuzz_input *input)
{
    uint64_t used = wal_head(fixture->wal) - wal_tail(fixture->wal);
    wal_advance_tail(fixture->wal, wal_tail(fixture->wal) + used * fuzz_u8(input) / 256);
}

static void note_commit(struct fuzz_input *input)
{
    uint8_t bits = fuzz_u8(input);
    wal_note_commit(fixture->wal, bits % GROUPS, bits / GROUPS);
}

static void submit(struct fuzz_input *input)
{
    wal_submit(fixture->wal, fixture->now_ns);
}

static struct model_sync *sync_of_term(uint64_t term)
{
    uint32_t at = 0;
    while (at < sync_count && syncs[at].sync.term != term) {
        at++;
    }
    REQUIRE(at < sync_count, "SYNC %" PRIu64 " was never written", term);
    return &syncs[at];
}

static void take_event(const struct wal_event *event)
{
    struct model_group *group = &groups[event->group];
    REQUIRE(event->kind != WAL_EVENT_FAILED, "the device failed");
    if (event->kind == WAL_EVENT_HARD_STATE) {
        REQUIRE(event->hard_state.term > group->reported.term, "term %" PRIu64 " after %" PRIu64,
                event->hard_state.term, group->reported.term);
        group->reported = event->hard_state;
        return;
    }
    if (event->kind == WAL_EVENT_SYNC) {
        struct model_sync *sync = sync_of_term(event->sync_term);
        REQUIRE(sync->group == event->group && !sync->is_durable, "SYNC %" PRIu64,
                event->sync_term);
        sync->is_durable = true;
        return;
    }
    for (uint64_t index = event->range.first; index <= event->range.last; index++) {
        if (event->epoch == group->epoch) {
            REQUIRE(group->entries[index].term != 0, "entry %" PRIu64 " was never written", index);
            group->entries[index].is_durable = true;
            group->is_cut_durable = true;
        }
    }
}

static void poll(struct fuzz_input *input)
{
    uint32_t max = 1 + fuzz_u8(input) % 64;
    fixture->event_count = wal_poll(fixture->wal, fixture->events, max);
    for (uint32_t at = 0; at < fixture->event_count; at++) {
        take_event(&fixture->events[at]);
    }
}

static void turn(struct fuzz_input *input)
{
    for (uint32_t left = 1 + fuzz_u8(input) % 16; left > 0; left--) {
        struct fuzz_input all = {0};
        submit(&all);
        poll(&all);
    }
}

static void pass_time(struct fuzz_input *input)
{
    fixture->now_ns += UINT64_C(100000) * fuzz_u8(input);
}

// ------------------------------------------------------------------------------------------------
// crash and recovery

static void replay_sync(const struct wal_record *record)
{
    struct model_sync *sync = sync_of_term(record->sync.term);
    REQUIRE(!sync->is_found && body_max < sync->to, "SYNC %" PRIu64 " twice, or late",
            record->sync.term);
    REQUIRE(record->group == sync->group && record->sync.end == sync->sync.end &&
                record->sync.keep == sync->sync.keep,
            "SYNC %" PRIu64 " is another", record->sync.term);
    sync->is_found = true;
}

static void replay(void)
{
    memset(replayed, 0, sizeof(replayed));
    body_max = 0;
    for (uint32_t at = 0; at < fixture->record_count; at++) {
        const struct wal_record *record = &fixture->records[at];
        struct model_entry *entries = replayed[record->group];
        if (record->kind == WAL_RECORD_SYNC) {
            replay_sync(record);
            continue;
        }
        REQUIRE(record->id.index < INDEXES_MAX, "index %" PRIu64, record->id.index);
        if (record->kind == WAL_RECORD_TRUNCATE) {
            for (uint64_t index = record->id.index; index < INDEXES_MAX; index++) {
                entries[index] = (struct model_entry){0};
            }
            continue;
        }
        REQUIRE(fixture_record_is_true(fixture, record), "record %u was not written", at);
        body_max = record->body > body_max ? record->body : body_max;
        entries[record->id.index] = (struct model_entry){.term = record->id.term,
                                                         .body = record->body,
                                                         .is_durable = true,
                                                         .is_staged = record->is_staged};
    }
}

static void compare_syncs(uint64_t tail)
{
    for (uint32_t at = 0; at < sync_count; at++) {
        const struct model_sync *sync = &syncs[at];
        REQUIRE(sync->is_found || sync->from < tail || (!sync->is_durable && body_max < sync->to),
                "SYNC %" PRIu64 " is lost", sync->sync.term);
    }
}

// `tail` as it was at the crash: what lies below had been given up.
static void compare(uint64_t tail)
{
    for (uint16_t number = 0; number < GROUPS; number++) {
        const struct model_group *group = &groups[number];
        for (uint64_t index = 1; index < INDEXES_MAX; index++) {
            const struct model_entry *wanted = &group->entries[index];
            const struct model_entry *found = &replayed[number][index];
            if (wanted->is_durable && wanted->body >= tail) {
                REQUIRE(found->term == wanted->term && found->body == wanted->body &&
                            found->is_staged == wanted->is_staged,
                        "group %u: (%" PRIu64 ", %" PRIu64 ") at %" PRIu64 " is term %" PRIu64
                        " at %" PRIu64,
                        number, wanted->term, index, wanted->body, found->term, found->body);
            }
            REQUIRE(group->cut_first == 0 || !group->is_cut_durable || index < group->cut_first ||
                        found->term == 0 || found->term > group->cut_term,
                    "group %u: (%" PRIu64 ", %" PRIu64 ") was truncated", number, found->term,
                    index);
        }
        struct raft_hard_state state = wal_hard_state(fixture->wal, number);
        REQUIRE(state.term >= group->reported.term && state.term <= group->wanted.term,
                "group %u: term %" PRIu64, number, state.term);
        REQUIRE(state.term != group->reported.term ||
                    (state.voted_for == group->reported.voted_for &&
                     state.sync_term == group->reported.sync_term &&
                     state.sync_end == group->reported.sync_end),
                "group %u: vote %u, installed %" PRIu64 " to %" PRIu64, number, state.voted_for,
                state.sync_term, state.sync_end);
    }
}

// From now on, what was found is what there is.
static void adopt(void)
{
    uint32_t kept = 0;
    for (uint32_t at = 0; at < sync_count; at++) {
        struct model_sync sync = syncs[at];
        if (sync.is_found) {
            sync.is_durable = true;
            sync.is_found = false;
            syncs[kept++] = sync;
        }
    }
    sync_count = kept;
    for (uint16_t number = 0; number < GROUPS; number++) {
        struct model_group *group = &groups[number];
        memcpy(group->entries, replayed[number], sizeof(group->entries));
        group->last = 0;
        for (uint64_t index = 1; index < INDEXES_MAX; index++) {
            group->last = group->entries[index].term != 0 ? index : group->last;
        }
        group->reported = group->wanted = wal_hard_state(fixture->wal, number);
        group->cut_first = 0;
        group->is_staging = false;
        group->term++;
        group->epoch++;
    }
}

static void cut(struct fuzz_input *input)
{
    uint8_t how = fuzz_u8(input);
    uint16_t seed = fuzz_u16(input); // with how: which sectors
    if ((how & 0x80) != 0) {
        disk_memory_kill(fixture->disk, seed, (how & 0x7F) % 101);
    } else {
        disk_memory_crash(fixture->disk, seed, (how & 0x7F) % 101);
    }
}

// A byte says after how many durable writes a recovery fails, to be cut down and begun again.
static void crash(struct fuzz_input *input)
{
    uint64_t tail = wal_tail(fixture->wal);
    cut(input); // while the arena that requests in flight point to is there
    fixture_drop(fixture);
    for (uint8_t fails; ((fails = fuzz_u8(input)) & 0xF) != 0 && crashes < CRASHES_MAX; crashes++) {
        disk_memory_fail(fixture->disk, DISK_WRITE_DURABLE, fails & 0xF, 1, -EIO);
        int error = fixture_start(fixture);
        REQUIRE(error == 0 || error == -EIO, "%d: %s", error, fixture->reason);
        cut(input);
        if (error == 0) {
            REQUIRE(fixture->recovery.verdict != WAL_FAULTY, "%s", fixture->reason);
            fixture_drop(fixture);
        }
    }
    int error = fixture_start(fixture);
    REQUIRE(error == 0 && fixture->recovery.verdict != WAL_FAULTY, "%d: %s", error,
            fixture->reason);
    crashes++;
    replay();
    compare(tail);
    compare_syncs(tail);
    adopt();
}

static void (*const actions[RECOVERY_ACTIONS])(struct fuzz_input *input) = {
    [RECOVERY_APPEND] = append,      [RECOVERY_TRUNCATE] = truncate_group,
    [RECOVERY_VOTE] = vote,          [RECOVERY_TAIL] = move_tail,
    [RECOVERY_COMMIT] = note_commit, [RECOVERY_SUBMIT] = submit,
    [RECOVERY_POLL] = poll,          [RECOVERY_TURN] = turn,
    [RECOVERY_TIME] = pass_time,     [RECOVERY_CRASH] = crash,
    [RECOVERY_STAGE] = stage,        [RECOVERY_SYNC] = sync_group,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {.at = data, .end = data + size};
    uint8_t bits = fuzz_u8(&input);
    const struct disk_memory_options options = {.seed = bits,
                                                .delay_polls_max = bits & 3,
                                                .reorder = (bits & 4) != 0,
                                                .in_flight_max = (bits & 8) != 0 ? 2 : 64,
                                                .tear_failed_writes = true};
    fixture = fixture_open(&options);
    fixture->config.groups_max = GROUPS;
    fixture->config.in_flight_max = 1 + (bits >> 4) % 6;
    fixture->config.batch_bytes_max = (bits & 0x80) != 0 ? 4096 : 16384;
    memset(groups, 0, sizeof(groups));
    sync_count = crashes = 0;
    sync_terms = 0;
    REQUIRE(fixture_start(fixture) == 0, "%s", fixture->reason);
    replay();
    adopt();
    for (uint32_t done = 0; done < ACTIONS_MAX && crashes < CRASHES_MAX && fuzz_has_more(&input);
         done++) {
        actions[fuzz_u8(&input) % RECOVERY_ACTIONS](&input);
    }
    struct fuzz_input none = {0};
    crash(&none);
    fixture_close(fixture);
    return 0;
}
