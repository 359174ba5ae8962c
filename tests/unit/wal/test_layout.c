// The bytes: an entry's head and checksum, and the walk over records that end anywhere.
#include "tests/harness/harness.h"

#include "engine/base/crc32c.h"
#include "engine/core/entry_crc.h"
#include "engine/wal/wal_layout.h"

#include <string.h>

static void an_entry_head_has_its_bytes(void)
{
    struct raft_entry_head head = {.client = 0x0807060504030201,
                                   .sequence = 0x100F0E0D0C0B0A09,
                                   .crc = 0x14131211,
                                   .bytes = 0x171615,
                                   .kind = 0x18};
    uint8_t packed[RAFT_ENTRY_HEAD_BYTES];
    raft_entry_head_pack(packed, &head);
    for (uint32_t i = 0; i < sizeof(packed); i++) {
        CHECK_EQUAL(packed[i], i + 1);
    }
    struct raft_entry_head back;
    raft_entry_head_unpack(packed, &back);
    CHECK(back.client == head.client && back.sequence == head.sequence && back.crc == head.crc);
    CHECK(back.bytes == head.bytes && back.kind == head.kind);
}

static void an_entrys_checksum_covers_everything_but_itself(void)
{
    struct raft_entry_head head = {.client = 1, .sequence = 2, .bytes = 9, .crc = 7, .kind = 2};
    static const uint8_t prefix[21] = {1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0,
                                       0, 0, 0, 0, 0, 9, 0, 0, 0, 2};
    uint32_t expected = crc32c(crc32c(0, prefix, sizeof(prefix)), "123456789", 9);
    CHECK_EQUAL(raft_entry_crc(&head, "123456789"), expected);
    head.crc = 8;
    CHECK_EQUAL(raft_entry_crc(&head, "123456789"), expected);
    CHECK(raft_entry_crc(&head, "123456780") != expected);
    head.kind = 3;
    CHECK(raft_entry_crc(&head, "123456789") != expected);
    head = (struct raft_entry_head){.kind = 1};
    CHECK_EQUAL(raft_entry_crc(&head, NULL), raft_entry_crc(&head, ""));
}

enum { BODY_BYTES = 269, SYNC_AT = 149 };

// A run of two entries (5 and 0 bytes), a truncation, a commit floor, a SYNC, a staged run.
static uint32_t make_body(uint8_t body[BODY_BYTES])
{
    struct wal_run run = {
        .first = 7, .term = 3, .count = 2, .group = 1, .tag = WAL_TAG_RUN, .prev_term = 2};
    struct wal_run staged = {.first = 9,
                             .term = 4,
                             .count = 1,
                             .group = 3,
                             .flags = WAL_RUN_STAGED,
                             .tag = WAL_TAG_RUN,
                             .bytes = RAFT_ENTRY_HEAD_BYTES,
                             .commit = 8};
    struct wal_sync sync = {.term = 4, .end = 9, .group = 3, .tag = WAL_TAG_SYNC, .keep = 8};
    struct raft_entry_head five = {.client = 1, .sequence = 1, .bytes = 5, .kind = 2};
    struct raft_entry_head none = {.kind = 1};
    struct wal_note truncate = {.index = 4, .group = 2, .tag = WAL_TAG_TRUNCATE};
    struct wal_note commit = {.index = 6, .group = 1, .tag = WAL_TAG_COMMIT};
    run.bytes = 2 * RAFT_ENTRY_HEAD_BYTES + 5;
    memcpy(body, &run, 48);
    raft_entry_head_pack(body + 48, &five);
    memcpy(body + 72, "abcde", 5);
    raft_entry_head_pack(body + 77, &none);
    memcpy(body + 101, &truncate, 24);
    memcpy(body + 125, &commit, 24);
    memcpy(body + SYNC_AT, &sync, 48);
    memcpy(body + 197, &staged, 48);
    raft_entry_head_pack(body + 245, &none);
    return BODY_BYTES;
}

static void records_are_walked_in_order(void)
{
    uint8_t body[BODY_BYTES];
    uint32_t bytes = make_body(body);
    struct wal_layout_walk walk;
    struct wal_layout_item item;
    wal_layout_walk_init(&walk, body, body + bytes, 4);
    CHECK_EQUAL(wal_layout_walk_next(&walk, &item), WAL_STEP_ENTRY);
    CHECK(item.group == 1 && item.id.index == 7 && item.id.term == 3 && item.prev_term == 2);
    CHECK(item.head.bytes == 5 && memcmp(item.payload, "abcde", 5) == 0);
    CHECK(!item.is_staged && item.run_commit == 0);
    CHECK_EQUAL(wal_layout_walk_next(&walk, &item), WAL_STEP_ENTRY);
    CHECK(item.id.index == 8 && item.id.term == 3 && item.prev_term == 3 && item.head.bytes == 0);
    CHECK_EQUAL(wal_layout_walk_next(&walk, &item), WAL_STEP_TRUNCATE);
    CHECK(item.group == 2 && item.id.index == 4);
    CHECK_EQUAL(wal_layout_walk_next(&walk, &item), WAL_STEP_COMMIT);
    CHECK(item.group == 1 && item.id.index == 6);
    CHECK_EQUAL(wal_layout_walk_next(&walk, &item), WAL_STEP_SYNC);
    CHECK(item.group == 3 && item.sync.term == 4 && item.sync.end == 9 && item.sync.keep == 8);
    CHECK_EQUAL(wal_layout_walk_next(&walk, &item), WAL_STEP_ENTRY);
    CHECK(item.group == 3 && item.id.index == 9 && item.is_staged && item.run_commit == 8);
    CHECK_EQUAL(wal_layout_walk_next(&walk, &item), WAL_STEP_END);
}

// Result of a walk to its end; the body lies at the end of its memory, so that a sanitizer sees any
// step beyond.
static enum wal_layout_step walk_all(const uint8_t *body, uint32_t bytes)
{
    static uint8_t memory[BODY_BYTES];
    struct wal_layout_walk walk;
    struct wal_layout_item item;
    enum wal_layout_step step;
    memcpy(memory + sizeof(memory) - bytes, body, bytes);
    wal_layout_walk_init(&walk, memory + sizeof(memory) - bytes, memory + sizeof(memory), 4);
    for (int steps = 0;; steps++) {
        CHECK(steps < 100);
        step = wal_layout_walk_next(&walk, &item);
        if (step == WAL_STEP_END || step == WAL_STEP_BAD) {
            return step;
        }
        CHECK(step != WAL_STEP_ENTRY || item.payload + item.head.bytes <= memory + sizeof(memory));
    }
}

static void every_prefix_is_bad_but_at_a_records_end(void)
{
    uint8_t body[BODY_BYTES];
    uint32_t bytes = make_body(body);
    for (uint32_t cut = 0; cut <= bytes; cut++) {
        bool is_end =
            cut == 0 || cut == 101 || cut == 125 || cut == SYNC_AT || cut == 197 || cut == bytes;
        CHECK_EQUAL(walk_all(body, cut), is_end ? WAL_STEP_END : WAL_STEP_BAD);
    }
}

static void every_value_of_every_byte_is_survived(void)
{
    uint8_t body[BODY_BYTES];
    uint32_t bytes = make_body(body);
    for (uint32_t at = 0; at < bytes; at++) {
        for (uint32_t value = 0; value < 256; value++) {
            uint8_t saved = body[at];
            body[at] = (uint8_t)value;
            walk_all(body, bytes);
            body[at] = saved;
        }
    }
}

struct absurd {
    size_t offset, size;
    uint64_t value;
};

// Each value alone makes the record at `at` a bad one.
static void check_absurd(uint32_t at, const struct absurd *absurd, size_t count)
{
    uint8_t body[BODY_BYTES];
    for (size_t i = 0; i < count; i++) {
        uint32_t bytes = make_body(body);
        memcpy(body + at + absurd[i].offset, &absurd[i].value, absurd[i].size);
        CHECK_EQUAL(walk_all(body, bytes), WAL_STEP_BAD);
    }
}

static void absurd_runs_are_bad(void)
{
    static const struct absurd absurd[] = {
        {offsetof(struct wal_run, first), 8, 0},
        {offsetof(struct wal_run, first), 8, UINT64_MAX},
        {offsetof(struct wal_run, first), 8, RAFT_INDEX_MAX},
        {offsetof(struct wal_run, term), 8, 0},
        {offsetof(struct wal_run, term), 8, RAFT_TERM_MAX + 1},
        {offsetof(struct wal_run, prev_term), 8, UINT64_MAX},
        {offsetof(struct wal_run, count), 4, 0},
        {offsetof(struct wal_run, count), 4, 1},
        {offsetof(struct wal_run, count), 4, 3},
        {offsetof(struct wal_run, count), 4, UINT32_MAX},
        {offsetof(struct wal_run, group), 2, 4},
        {offsetof(struct wal_run, bytes), 4, 0},
        {offsetof(struct wal_run, bytes), 4, UINT32_MAX},
        {offsetof(struct wal_run, flags), 1, 2},
        {offsetof(struct wal_run, flags), 1, 0x80 | WAL_RUN_STAGED},
        {offsetof(struct wal_run, commit), 8, RAFT_INDEX_MAX + 1},
    };
    check_absurd(0, absurd, TEST_COUNT(absurd));
}

static void absurd_syncs_are_bad(void)
{
    static const struct absurd absurd[] = {
        {offsetof(struct wal_sync, term), 8, 0},
        {offsetof(struct wal_sync, term), 8, RAFT_TERM_MAX + 1},
        {offsetof(struct wal_sync, end), 8, 7}, // keep is 8
        {offsetof(struct wal_sync, end), 8, RAFT_INDEX_MAX + 1},
        {offsetof(struct wal_sync, keep), 8, 10}, // end is 9
        {offsetof(struct wal_sync, keep), 8, UINT64_MAX},
        {offsetof(struct wal_sync, group), 2, 4},
        {offsetof(struct wal_sync, reserved), 4, 1},
        {offsetof(struct wal_sync, reserved2), 1, 1},
        {offsetof(struct wal_sync, reserved3), 8, 1},
        {offsetof(struct wal_sync, reserved3) + 8, 8, 1},
    };
    check_absurd(SYNC_AT, absurd, TEST_COUNT(absurd));
}

// What a hard state says stands where version 1 always had it, or had zeros.
static void a_hard_slot_has_its_bytes(void)
{
    static uint8_t bytes[sizeof(struct wal_hard_slot)];
    struct wal_hard_slot slot = {.term = 0x0807060504030201,
                                 .voted_for = 0x0A09,
                                 .sync_term = 0x1817161514131211,
                                 .sync_end = 0x201F1E1D1C1B1A19};
    memcpy(bytes, &slot, sizeof(bytes));
    for (uint32_t i = 0; i < 10; i++) {
        CHECK_EQUAL(bytes[32 + i], i + 1);
    }
    for (uint32_t i = 0; i < 16; i++) {
        CHECK_EQUAL(bytes[44 + i], 0x11 + i);
    }
    slot =
        (struct wal_hard_slot){.term = 5, .sync_term = RAFT_TERM_MAX, .sync_end = RAFT_INDEX_MAX};
    wal_layout_hard_seal(&slot);
    CHECK(wal_layout_hard_is_whole(&slot, &slot));
    slot.sync_end++;
    wal_layout_hard_seal(&slot);
    CHECK(!wal_layout_hard_is_whole(&slot, &slot));
    slot.sync_end = 0;
    slot.sync_term++;
    wal_layout_hard_seal(&slot);
    CHECK(!wal_layout_hard_is_whole(&slot, &slot));
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(an_entry_head_has_its_bytes),
        TEST(an_entrys_checksum_covers_everything_but_itself),
        TEST(records_are_walked_in_order),
        TEST(every_prefix_is_bad_but_at_a_records_end),
        TEST(every_value_of_every_byte_is_survived),
        TEST(absurd_runs_are_bad),
        TEST(absurd_syncs_are_bad),
        TEST(a_hard_slot_has_its_bytes),
    };
    return test_run("wal layout", cases, TEST_COUNT(cases), argc, argv);
}
