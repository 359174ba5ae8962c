// Recovery of damaged logs: every cut, every flipped bit, everything misplaced. Nothing that a
// later mark calls durable is lost unless the verdict says so, nothing is invented, and to recover
// twice changes nothing.
#include "tests/harness/harness.h"
#include "tests/unit/wal/fixture.h"

#include "engine/base/crc32c.h"
#include "engine/wal/wal_layout.h"
#include "engine/wal/wal_recovery.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// --- the decision table ---

static void every_combination_meets_one_row(void)
{
    for (uint32_t bits = 0; bits < 128; bits++) {
        struct wal_place place = {.is_readable = bits & 1,
                                  .is_ours = bits & 2,
                                  .is_placed = bits & 4,
                                  .is_current = bits & 8,
                                  .is_sound = bits & 16,
                                  .is_marked = bits & 32,
                                  .is_followed = bits & 64};
        const char *what;
        CHECK_EQUAL(wal_recovery_rows(&place), 1);
        enum wal_decision decision = wal_recovery_decide(&place, &what);
        bool is_whole = (bits & 31) == 31;
        CHECK_EQUAL(decision == WAL_DECIDE_REPLAY, is_whole);
        CHECK_EQUAL(decision == WAL_DECIDE_FAULTY, !is_whole && place.is_marked);
        CHECK_EQUAL(decision == WAL_DECIDE_VOID,
                    !is_whole && !place.is_marked && place.is_followed);
    }
}

// --- a small log and what is in it ---

struct image {
    uint8_t log[FIXTURE_LOG_BYTES];
    uint8_t *meta;
    uint64_t meta_bytes;
    struct wal_record records[FIXTURE_RECORDS_MAX];
    uint32_t record_count;
    uint64_t head;
};

static struct image image;

static uint8_t *log_of(struct fixture *fixture)
{
    uint64_t bytes;
    return disk_memory_image(fixture->disk, "log.0", &bytes);
}

static uint8_t *meta_of(struct fixture *fixture)
{
    uint64_t bytes;
    return disk_memory_image(fixture->disk, "meta.0", &bytes);
}

static void load_image(struct fixture *fixture)
{
    memcpy(log_of(fixture), image.log, FIXTURE_LOG_BYTES);
    memcpy(meta_of(fixture), image.meta, image.meta_bytes);
    disk_memory_crash(fixture->disk, 0, 0);
}

// Takes the durable bytes of a stopped log, and what a recovery of them finds.
static void take_image(struct fixture *fixture)
{
    image.head = wal_head(fixture->wal);
    fixture_drop(fixture);
    disk_memory_crash(fixture->disk, 0, 0);
    memcpy(image.log, log_of(fixture), FIXTURE_LOG_BYTES);
    const void *meta = disk_memory_image(fixture->disk, "meta.0", &image.meta_bytes);
    free(image.meta);
    image.meta = malloc(image.meta_bytes);
    memcpy(image.meta, meta, image.meta_bytes);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN);
    memcpy(image.records, fixture->records, sizeof(image.records));
    image.record_count = fixture->record_count;
    fixture_drop(fixture);
    load_image(fixture);
}

// Ten batches of up to three groups, the last one followed by a mark. Group 1 is truncated, group 2
// installs the log of a term.
static struct fixture *small_log(void)
{
    struct fixture *fixture = fixture_started(NULL);
    for (uint64_t batch = 0; batch < 10; batch++) {
        fixture_append(fixture, 0, 1, 3, batch + 1, (uint32_t)(batch * 13) % 60);
        if (batch % 3 == 0) {
            fixture_append(fixture, 1, 1, 2, batch / 3 + 1, 40);
        }
        if (batch == 6) {
            wal_truncate(fixture->wal, 1, 2);
            fixture_append(fixture, 1, 2, 4, 2, 10);
        }
        wal_stage(fixture->wal, 2, batch == 4 || batch == 5);
        if (batch >= 3 && batch <= 7) {
            fixture_append(fixture, 2, 1, 5, batch, (uint32_t)batch * 5);
        }
        if (batch == 6) {
            const struct raft_sync sync = {.term = 5, .end = 5, .keep = 3};
            wal_sync(fixture->wal, 2, &sync);
            wal_note_commit(fixture->wal, 2, 5);
        }
        wal_note_commit(fixture->wal, 0, batch);
        fixture_settle(fixture);
    }
    fixture_idle(fixture);
    take_image(fixture);
    return fixture;
}

static bool same_record(const struct wal_record *a, const struct wal_record *b)
{
    return a->kind == b->kind && a->group == b->group && a->body == b->body &&
           a->is_staged == b->is_staged && a->prev_term == b->prev_term &&
           raft_entry_id_equal(a->id, b->id) && a->sync.term == b->sync.term &&
           a->sync.end == b->sync.end && a->sync.keep == b->sync.keep;
}

// Nothing invented, nothing out of order: what was recovered is a part of the image's records.
static void check_subsequence(const struct fixture *fixture)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < fixture->record_count; i++) {
        while (at < image.record_count && !same_record(&image.records[at], &fixture->records[i])) {
            at++;
        }
        CHECK(at < image.record_count);
        at++;
        CHECK(fixture->records[i].kind != WAL_RECORD_ENTRY ||
              fixture_record_is_true(fixture, &fixture->records[i]));
    }
}

// Starts on whatever the image was made into; then starts again, which must find the same.
static enum wal_verdict recover_twice(struct fixture *fixture, uint32_t *found)
{
    CHECK_EQUAL(fixture_start(fixture), 0);
    enum wal_verdict verdict = fixture->recovery.verdict;
    *found = fixture->record_count;
    check_subsequence(fixture);
    CHECK((verdict == WAL_FAULTY) == (fixture->recovery.faulty_batches > 0));
    CHECK((verdict == WAL_FAULTY) == (fixture->reason[0] != '\0'));
    fixture_drop(fixture);
    disk_memory_crash(fixture->disk, 0, 0);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(fixture->record_count, *found);
    check_subsequence(fixture);
    CHECK_EQUAL(fixture->recovery.verdict, verdict == WAL_FAULTY ? WAL_FAULTY : WAL_CLEAN);
    fixture_drop(fixture);
    return verdict;
}

static uint32_t records_below(uint64_t cut)
{
    uint32_t count = 0;
    // A record counts when its batch lies below the cut whole: batches are one block each here.
    for (uint64_t block = 0; block < image.head; block += WAL_BLOCK_BYTES) {
        const struct wal_batch_header *header = (const void *)(image.log + block);
        count += block + header->bytes <= cut ? header->records : 0;
    }
    return count;
}

static void check_cut(struct fixture *fixture, uint64_t cut)
{
    uint32_t found;
    load_image(fixture);
    memset(log_of(fixture) + cut, 0, FIXTURE_LOG_BYTES - cut);
    disk_memory_crash(fixture->disk, 0, 0);
    enum wal_verdict verdict = recover_twice(fixture, &found);
    CHECK_EQUAL(found, records_below(cut));
    CHECK_EQUAL(verdict == WAL_FAULTY, cut < WAL_BATCH_HEADER_BYTES); // the opening mark is gone
}

static void every_prefix(void)
{
    struct fixture *fixture = small_log();
    CHECK_EQUAL(image.record_count, 22);
    CHECK_EQUAL(records_below(UINT64_MAX), 22);
    for (uint64_t cut = 0; cut <= image.head; cut += 512) {
        check_cut(fixture, cut);
    }
    for (uint64_t cut = image.head - 3 * WAL_BLOCK_BYTES; cut <= image.head; cut++) {
        check_cut(fixture, cut);
    }
    fixture_close(fixture);
}

// A cut leaves whatever the last lap left, not zeros.
static void every_prefix_over_an_older_lap(void)
{
    struct fixture *fixture = small_log();
    static uint8_t older[FIXTURE_LOG_BYTES];
    load_image(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    uint64_t index = 10;
    while (wal_head(fixture->wal) < FIXTURE_LOG_BYTES + 3 * FIXTURE_SEGMENT_BYTES) {
        if (wal_head(fixture->wal) < FIXTURE_LOG_BYTES + FIXTURE_SEGMENT_BYTES) {
            memcpy(older, log_of(fixture), FIXTURE_LOG_BYTES);
        }
        uint64_t body = fixture_append(fixture, 0, 1, 3, ++index, 200);
        fixture_settle(fixture);
        wal_advance_tail(fixture->wal, body - FIXTURE_SEGMENT_BYTES);
    }
    fixture_idle(fixture);
    uint64_t last = index;
    take_image(fixture);
    uint64_t first_position = image.records[0].body;
    for (uint64_t cut = FIXTURE_SEGMENT_BYTES * 2; cut < FIXTURE_SEGMENT_BYTES * 3; cut += 512) {
        load_image(fixture);
        uint8_t *log = log_of(fixture);
        memcpy(log + cut, older + cut, FIXTURE_LOG_BYTES - cut);
        disk_memory_crash(fixture->disk, 0, 0);
        CHECK_EQUAL(fixture_start(fixture), 0);
        for (uint32_t i = 0; i < fixture->record_count; i++) {
            CHECK_EQUAL(fixture->records[i].id.index, fixture->records[0].id.index + i);
            CHECK(fixture->records[i].id.index <= last);
        }
        CHECK(fixture->records[0].body <= first_position);
        fixture_drop(fixture);
    }
    fixture_close(fixture);
}

static void flip(struct fixture *fixture, uint64_t bit)
{
    uint8_t *log = log_of(fixture);
    log[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    disk_memory_crash(fixture->disk, 0, 0);
}

static void check_flip(struct fixture *fixture, uint64_t bit, bool is_padding)
{
    uint32_t found;
    load_image(fixture);
    flip(fixture, bit);
    enum wal_verdict verdict = recover_twice(fixture, &found);
    CHECK(verdict == WAL_FAULTY || found == image.record_count);
    CHECK(!is_padding || (verdict == WAL_CLEAN && found == image.record_count));
    // One damaged batch costs only its own records.
    const struct wal_batch_header *header =
        (const void *)(image.log + bit / 8 / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES);
    CHECK(found >= image.record_count - header->records);
}

static void every_bit(void)
{
    struct fixture *fixture = small_log();
    for (uint64_t block = 0; block < image.head; block += WAL_BLOCK_BYTES) {
        const struct wal_batch_header *header = (const void *)(image.log + block);
        for (uint64_t bit = 0; bit < (uint64_t)header->bytes * 8; bit++) {
            check_flip(fixture, block * 8 + bit, false);
        }
        for (uint64_t bit = (uint64_t)header->bytes * 8; bit < WAL_BLOCK_BYTES * 8; bit += 509) {
            check_flip(fixture, block * 8 + bit, true);
        }
    }
    fixture_close(fixture);
}

// Their payloads are covered by nothing but their own checksums.
static void every_bit_of_large_entries(void)
{
    struct fixture *fixture = fixture_started(NULL);
    for (uint64_t batch = 0; batch < 3; batch++) {
        wal_stage(fixture->wal, 0, batch == 1);
        fixture_append(fixture, 0, 1, 3, 2 * batch + 1, 1500);
        fixture_append(fixture, 0, 1, 3, 2 * batch + 2, 1600);
        if (batch == 2) {
            const struct raft_sync sync = {.term = 3, .end = 4, .keep = 2};
            wal_sync(fixture->wal, 0, &sync);
        }
        wal_note_commit(fixture->wal, 0, batch);
        fixture_settle(fixture);
    }
    fixture_idle(fixture);
    take_image(fixture);
    uint32_t bare = 0;
    for (uint64_t block = 0; block < image.head; block += WAL_BLOCK_BYTES) {
        const struct wal_batch_header *header = (const void *)(image.log + block);
        bare += (header->flags & WAL_BATCH_BARE) != 0;
        for (uint64_t bit = 0; bit < (uint64_t)header->bytes * 8; bit += bit < 2048 ? 1 : 11) {
            check_flip(fixture, block * 8 + bit, false);
        }
    }
    CHECK_EQUAL(bare, 3);
    fixture_close(fixture);
}

static void every_byte_of_meta(void)
{
    struct fixture *fixture = small_log();
    load_image(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    wal_put_hard_state(
        fixture->wal, 0,
        (struct raft_hard_state){.term = 9, .voted_for = 2, .sync_term = 8, .sync_end = 77});
    fixture_settle(fixture);
    take_image(fixture);
    for (uint64_t at = 0; at < image.meta_bytes; at += at % WAL_BLOCK_BYTES < 160 ? 1 : 131) {
        load_image(fixture);
        meta_of(fixture)[at] ^= 0x40;
        disk_memory_crash(fixture->disk, 0, 0);
        CHECK_EQUAL(fixture_start(fixture), 0); // one copy of anything may go
        CHECK_EQUAL(fixture->recovery.boot, 3);
        CHECK_EQUAL(wal_hard_state(fixture->wal, 0).term, 9);
        CHECK_EQUAL(wal_hard_state(fixture->wal, 0).voted_for, 2);
        CHECK_EQUAL(wal_hard_state(fixture->wal, 0).sync_term, 8);
        CHECK_EQUAL(wal_hard_state(fixture->wal, 0).sync_end, 77);
        CHECK_EQUAL(fixture->record_count, image.record_count);
        fixture_drop(fixture);
    }
    fixture_close(fixture);
}

// --- things in the wrong place ---

static void misdirected_writes_are_found(void)
{
    struct fixture *fixture = small_log();
    uint32_t found;
    for (uint32_t from = 1; from < 11; from++) {
        for (uint32_t to = 1; to < 11; to++) {
            load_image(fixture);
            memcpy(log_of(fixture) + to * WAL_BLOCK_BYTES, image.log + from * WAL_BLOCK_BYTES,
                   WAL_BLOCK_BYTES);
            disk_memory_crash(fixture->disk, 0, 0);
            CHECK_EQUAL(recover_twice(fixture, &found), from == to ? WAL_CLEAN : WAL_FAULTY);
        }
    }
    fixture_close(fixture);
}

static void nonsense_is_no_log(void)
{
    struct fixture *fixture = small_log();
    static const uint8_t fills[] = {0x00, 0xFF, 0x50};
    for (size_t i = 0; i < sizeof(fills); i++) {
        uint32_t found;
        load_image(fixture);
        memset(log_of(fixture), fills[i], FIXTURE_LOG_BYTES);
        disk_memory_crash(fixture->disk, 0, 0);
        CHECK_EQUAL(recover_twice(fixture, &found), WAL_FAULTY);
        CHECK_EQUAL(found, 0);
    }
    fixture_close(fixture);
}

static void an_old_backup_of_the_log_is_faulty(void)
{
    struct fixture *fixture = small_log();
    static uint8_t backup[FIXTURE_LOG_BYTES];
    memcpy(backup, image.log, sizeof(backup));
    load_image(fixture);
    CHECK_EQUAL(fixture_start(fixture), 0);
    fixture_append(fixture, 0, 1, 3, 11, 64);
    fixture_settle(fixture);
    fixture_drop(fixture);
    memcpy(log_of(fixture), backup, sizeof(backup));
    disk_memory_crash(fixture->disk, 0, 0);
    uint32_t found;
    CHECK_EQUAL(recover_twice(fixture, &found), WAL_FAULTY);
    CHECK_EQUAL(found, image.record_count);
    fixture_close(fixture);
}

static void foreign_files_are_refused(void)
{
    struct fixture *fixture = small_log();
    struct fixture *other = fixture_open(NULL);
    other->config.cluster = 0xD2;
    CHECK_EQUAL(fixture_start(other), 0);
    fixture_stop(other);
    load_image(fixture);
    memcpy(log_of(fixture), log_of(other), FIXTURE_LOG_BYTES);
    disk_memory_crash(fixture->disk, 0, 0);
    CHECK_EQUAL(fixture_start(fixture), -EXDEV);
    CHECK(strstr(fixture->reason, "cluster 210 ") != NULL);
    load_image(fixture);
    fixture->config.node = 3;
    CHECK_EQUAL(fixture_start(fixture), -EXDEV);
    fixture->config.node = 2;
    fixture->config.groups_max = FIXTURE_GROUPS * 2;
    CHECK_EQUAL(fixture_start(fixture), -EINVAL);
    fixture->config.groups_max = FIXTURE_GROUPS;
    CHECK_EQUAL(fixture_start(fixture), 0);
    fixture_close(other);
    fixture_close(fixture);
}

static void a_log_without_meta_is_not_overwritten(void)
{
    struct fixture *fixture = small_log();
    CHECK_EQUAL(fixture->disk->ops->remove_file(fixture->disk, "meta.0"), 0);
    CHECK_EQUAL(fixture_start(fixture), -ENOENT);
    fixture->config.bootstrap = true;
    CHECK_EQUAL(fixture_start(fixture), -EEXIST);
    memset(log_of(fixture), 0, FIXTURE_LOG_BYTES); // what an interrupted bootstrap leaves
    disk_memory_crash(fixture->disk, 0, 0);
    CHECK_EQUAL(fixture_start(fixture), 0);
    fixture_close(fixture);
}

// --- votes ---

static void swap_blocks(uint8_t *meta, uint64_t a, uint64_t b)
{
    uint8_t saved[WAL_BLOCK_BYTES];
    memcpy(saved, meta + a * WAL_BLOCK_BYTES, WAL_BLOCK_BYTES);
    memmove(meta + a * WAL_BLOCK_BYTES, meta + b * WAL_BLOCK_BYTES, WAL_BLOCK_BYTES);
    memcpy(meta + b * WAL_BLOCK_BYTES, saved, WAL_BLOCK_BYTES);
}

static void lost_votes_are_admitted(void)
{
    struct fixture *fixture = small_log();
    load_image(fixture);
    memset(meta_of(fixture) + 4 * WAL_BLOCK_BYTES, 0, 2 * WAL_BLOCK_BYTES); // both of group 1
    disk_memory_crash(fixture->disk, 0, 0);
    CHECK_EQUAL(fixture_start(fixture), -EBADMSG);
    CHECK(strstr(fixture->reason, "group 1") != NULL);
    load_image(fixture);
    swap_blocks(meta_of(fixture), 4, 5); // its two copies
    disk_memory_crash(fixture->disk, 0, 0);
    CHECK_EQUAL(fixture_start(fixture), -EBADMSG);
    load_image(fixture);
    swap_blocks(meta_of(fixture), 4, 6); // with group 2's
    swap_blocks(meta_of(fixture), 5, 7);
    disk_memory_crash(fixture->disk, 0, 0);
    CHECK_EQUAL(fixture_start(fixture), -EBADMSG);
    load_image(fixture);
    memset(meta_of(fixture), 0xFF, 2 * WAL_BLOCK_BYTES);
    disk_memory_crash(fixture->disk, 0, 0);
    CHECK_EQUAL(fixture_start(fixture), -EBADMSG);
    CHECK(strstr(fixture->reason, "superblock") != NULL);
    fixture_close(fixture);
}

// A write of one copy was cut: the vote before it counts, or the new one; and what recovery chose
// is in both copies.
static void a_torn_vote_is_mended(void)
{
    struct disk_memory_options options = {.tear_failed_writes = true};
    for (uint64_t nth = 1; nth <= 2; nth++) {
        struct fixture *fixture = fixture_open(&options);
        CHECK_EQUAL(fixture_start(fixture), 0);
        wal_put_hard_state(fixture->wal, 0, (struct raft_hard_state){.term = 5, .voted_for = 1});
        fixture_settle(fixture);
        disk_memory_fail(fixture->disk, DISK_WRITE_DURABLE, nth, 1, -EIO);
        wal_put_hard_state(fixture->wal, 0, (struct raft_hard_state){.term = 6, .voted_for = 3});
        for (int turn = 0; turn < 5; turn++) {
            fixture_turn(fixture);
        }
        fixture_drop(fixture);
        disk_memory_crash(fixture->disk, nth, 50);
        CHECK_EQUAL(fixture_start(fixture), 0);
        uint64_t term = wal_hard_state(fixture->wal, 0).term;
        CHECK(nth == 1 ? term == 5 || term == 6 : term == 6);
        fixture_drop(fixture);
        for (uint32_t copy = 0; copy < 2; copy++) {
            memset(meta_of(fixture) + (2 + copy) * WAL_BLOCK_BYTES, 0, WAL_BLOCK_BYTES);
            disk_memory_crash(fixture->disk, 0, 0);
            CHECK_EQUAL(fixture_start(fixture), 0);
            CHECK_EQUAL(wal_hard_state(fixture->wal, 0).term, term);
            fixture_drop(fixture);
        }
        fixture_close(fixture);
    }
}

// --- holes ---

// Batches `first` to `last` (slots) complete, what else is in flight is lost.
static void lose_all_but(struct fixture *fixture, uint32_t first, uint32_t last)
{
    for (uint32_t slot = first; slot <= last; slot++) {
        CHECK(fixture_release(fixture, slot));
    }
    wal_poll(fixture->wal, fixture->events, FIXTURE_EVENTS_MAX);
    disk_memory_crash(fixture->disk, 0, 0);
    fixture_drop(fixture);
}

static void only_the_torn_batch_is_dropped(void)
{
    struct fixture *fixture = fixture_started(NULL);
    disk_memory_hold(fixture->disk, true);
    for (uint16_t group = 0; group < 4; group++) {
        fixture_append(fixture, group, 1, 1, 1, 64);
        wal_submit(fixture->wal, 1);
    }
    lose_all_but(fixture, 3, 3);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(fixture->recovery.verdict, WAL_TORN);
    CHECK_EQUAL(fixture->recovery.torn_batches, 1); // one hole
    CHECK_EQUAL(fixture->record_count, 1);
    CHECK_EQUAL(fixture->records[0].group, 2);
    fixture_append(fixture, 0, 1, 1, 1, 64);
    fixture_settle(fixture);
    fixture_idle(fixture);
    CHECK_EQUAL(fixture_restart(fixture), 0); // below a mark now, but it was voided
    CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN);
    CHECK_EQUAL(fixture->record_count, 2);
    fixture_close(fixture);
}

// The torn batches reach into the next segment, which then becomes the tail.
static void a_hole_over_a_border_does_not_haunt_the_tail(void)
{
    for (uint32_t filler = 0; filler < 4; filler++) {
        struct fixture *fixture = fixture_open(NULL);
        CHECK_EQUAL(fixture_start(fixture), 0);
        for (uint32_t i = 0; i < filler; i++) {
            fixture_append(fixture, 0, 1, 1, i + 1, 64);
            fixture_settle(fixture);
        }
        disk_memory_hold(fixture->disk, true);
        for (uint64_t index = filler + 1; index <= filler + 4; index++) {
            fixture_append(fixture, 0, 1, 1, index, 3900);
            fixture_append(fixture, 1, 1, 1, index, 1000);
            wal_submit(fixture->wal, 1);
        }
        lose_all_but(fixture, 4 + filler, 4 + filler);
        CHECK_EQUAL(fixture_start(fixture), 0);
        CHECK_EQUAL(fixture->recovery.verdict, WAL_TORN);
        CHECK_EQUAL(fixture->record_count, filler + 2);
        uint64_t index = filler + 4;
        for (int turn = 0; turn < 30; turn++) {
            uint64_t body = fixture_append(fixture, 0, 1, 1, ++index, 64);
            fixture_settle(fixture);
            wal_advance_tail(fixture->wal,
                             body < 5 * WAL_BLOCK_BYTES ? 0 : body - 5 * WAL_BLOCK_BYTES);
            fixture_idle(fixture);
            if (turn % 3 == 0) {
                CHECK_EQUAL(fixture_restart(fixture), 0);
                CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN);
                CHECK(fixture_find(fixture, 0, 1, index) >= 0);
            }
        }
        fixture_close(fixture);
    }
}

// Batches that were in flight when the node died, and that the device brings to the medium only
// after the next start has begun to write: whole, but of another life.
static void an_older_start_does_not_return(void)
{
    for (uint32_t from = 3; from <= 5; from++) {
        struct fixture *fixture = fixture_open(NULL);
        static uint8_t late[FIXTURE_LOG_BYTES];
        fixture->config.in_flight_max = 8;
        CHECK_EQUAL(fixture_start(fixture), 0);
        disk_memory_hold(fixture->disk, true);
        for (uint64_t index = 1; index <= 6; index++) {
            fixture_append(fixture, 0, 1, 1, index, 64);
            wal_submit(fixture->wal, 1);
        }
        memcpy(late, fixture->config.arena, sizeof(late));
        lose_all_but(fixture, 1, 0);
        CHECK_EQUAL(fixture_start(fixture), 0);
        CHECK_EQUAL(fixture->record_count, 0);
        fixture_append(fixture, 0, 1, 2, 1, 64);
        fixture_settle(fixture);
        fixture_stop(fixture); // blocks 0: first start; 1: second start; 2: its entry
        memcpy(log_of(fixture) + from * WAL_BLOCK_BYTES, late + from * WAL_BLOCK_BYTES,
               (7 - from) * WAL_BLOCK_BYTES);
        disk_memory_crash(fixture->disk, 0, 0);
        for (int again = 0; again < 2; again++) {
            CHECK_EQUAL(fixture_start(fixture), 0);
            CHECK_EQUAL(fixture->record_count, 1);
            CHECK_EQUAL(fixture->records[0].id.term, 2);
            CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN);
            fixture_stop(fixture);
        }
        fixture_close(fixture);
    }
}

// --- reading ---

static void unreadable_blocks_are_bad_blocks(void)
{
    struct fixture *fixture = small_log();
    load_image(fixture);
    enum { READS_BEFORE = 2 + 1 }; // superblocks, hard states; then the log in one piece
    disk_memory_fail(fixture->disk, DISK_READ, READS_BEFORE + 1, 1, -EIO);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(fixture->recovery.verdict, WAL_CLEAN); // the second try, block by block, went well
    CHECK_EQUAL(fixture->record_count, image.record_count);
    fixture_drop(fixture);
    load_image(fixture);
    disk_memory_fail(fixture->disk, DISK_READ, READS_BEFORE + 1, 6, -EIO);
    CHECK_EQUAL(fixture_start(fixture), 0);
    CHECK_EQUAL(fixture->recovery.verdict, WAL_FAULTY);
    CHECK(fixture->record_count > 0 && fixture->record_count < image.record_count);
    check_subsequence(fixture);
    fixture_close(fixture);
}

// Checksums right, meaning absurd.
static void absurd_batches_are_unsound(void)
{
    struct fixture *fixture = small_log();
    uint64_t random = 1;
    for (int round = 0; round < 20000; round++) {
        load_image(fixture);
        uint8_t *block = log_of(fixture) + (1 + (uint32_t)round % 10) * WAL_BLOCK_BYTES;
        struct wal_batch_header *header = (void *)block;
        for (int i = 0; i < 1 + round % 3; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
            uint64_t at =
                WAL_BATCH_HEADER_BYTES + (random >> 33) % (header->bytes - WAL_BATCH_HEADER_BYTES);
            static const uint8_t values[] = {0x00, 0xFF, 0x7F, 0x80, 0x81, 0x82, 0x83, 0x01};
            block[at] = values[(random >> 20) % sizeof(values)];
        }
        if (round % 5 == 0) {
            header->bytes = (uint32_t)((random >> 10) % (2 * FIXTURE_SEGMENT_BYTES)) + 128;
        }
        uint64_t offset = (uint64_t)(block - log_of(fixture));
        if (header->bytes <= FIXTURE_LOG_BYTES - offset) {
            header->flags ^= round % 7 == 0 ? WAL_BATCH_BARE : 0;
            header->body_crc = wal_layout_body_crc(header, fixture->config.groups_max);
        }
        header->header_crc = crc32c(0, header, offsetof(struct wal_batch_header, header_crc));
        disk_memory_crash(fixture->disk, 0, 0);
        CHECK_EQUAL(fixture_start(fixture), 0);
        for (uint32_t i = 0; i < fixture->record_count; i++) {
            const struct wal_record *record = &fixture->records[i];
            CHECK(record->kind != WAL_RECORD_ENTRY || record->head.bytes <= RAFT_PAYLOAD_BYTES_MAX);
            CHECK(record->kind != WAL_RECORD_SYNC ||
                  (record->sync.term >= 1 && record->sync.keep <= record->sync.end));
        }
        fixture_drop(fixture);
    }
    fixture_close(fixture);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(every_combination_meets_one_row),
        TEST(every_prefix),
        TEST(every_prefix_over_an_older_lap),
        TEST(every_bit),
        TEST(every_bit_of_large_entries),
        TEST(every_byte_of_meta),
        TEST(misdirected_writes_are_found),
        TEST(nonsense_is_no_log),
        TEST(an_old_backup_of_the_log_is_faulty),
        TEST(foreign_files_are_refused),
        TEST(a_log_without_meta_is_not_overwritten),
        TEST(lost_votes_are_admitted),
        TEST(a_torn_vote_is_mended),
        TEST(only_the_torn_batch_is_dropped),
        TEST(a_hole_over_a_border_does_not_haunt_the_tail),
        TEST(an_older_start_does_not_return),
        TEST(unreadable_blocks_are_bad_blocks),
        TEST(absurd_batches_are_unsound),
    };
    return test_run("wal recovery", cases, TEST_COUNT(cases), argc, argv);
}
