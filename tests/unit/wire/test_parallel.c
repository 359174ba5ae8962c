// Messages of parallel groups: the layout as published, what is refused and why, the limits of what
// is not, and that a vote with its report is never taken for an append.
#include "tests/harness/harness.h"

#include <stddef.h>
#include <string.h>

#include "engine/base/prng.h"
#include "engine/wire/layout.h"
#include "engine/wire/wire.h"
#include "tests/unit/wire/doctored.h"
#include "tests/unit/wire/oracle.h"
#include "tests/unit/wire/sample.h"

static struct sample sample;
static uint8_t frame[WIRE_FRAME_BYTES_MAX];

// --- messages whose fields the rows below change

static struct raft_append plain_append(void)
{
    return (struct raft_append){
        .prev = {.index = 20},
        .entries_term = 9,
        .count = 1,
        .commit = 19,
        .heads = sample.heads,
        .has_sync = true,
        .sync_from = 5,
        .sync_end = 30,
    };
}

static void make_raft(uint8_t type)
{
    struct raft_message *raft = &sample.message.raft;
    raft->type = (enum raft_message_type)type;
    raft->term = 9;
    raft->is_parallel = true;
    if (type == RAFT_MSG_VOTE || type == RAFT_MSG_PRE_VOTE) {
        raft->vote.last = (struct raft_entry_id){.term = 5, .index = 20};
    } else if (type == RAFT_MSG_VOTE_REPLY || type == RAFT_MSG_PRE_VOTE_REPLY) {
        // 103 and 104 of 103..167 are missing
        raft->vote_reply.granted = true;
        raft->vote_reply.report = (struct raft_report){
            .sync_term = 5,
            .sync_end = 70,
            .commit = 90,
            .floor = 100,
            .last = 167,
            .first = 103,
            .present = {UINT64_MAX - 3, 1},
        };
    } else if (type == RAFT_MSG_APPEND) {
        raft->append = plain_append();
    } else if (type == RAFT_MSG_APPEND_REPLY) {
        raft->append_reply = (struct raft_append_reply){
            .match = 10,
            .held = 12,
            .gap_count = 1,
            .gaps = {{13, 14}},
            .is_installed = true,
            .acked_count = 66,
            .acked = {6, 2},
        };
    } else {
        // 13, 14 and 80
        raft->fetch =
            (struct raft_fetch){.number = 7, .wanted = {.first = 13, .count = 68, .bits = {3, 8}}};
    }
}

static void make_plain(uint8_t type)
{
    static const uint8_t data[1024];
    memset(&sample.message, 0, sizeof(sample.message));
    sample.heads[0] = (struct raft_entry_head){
        .client = 3, .sequence = 1, .bytes = 8, .kind = RAFT_ENTRY_COMMAND};
    sample.payloads[0] = data;
    sample.message.type = type;
    sample.message.group = 1;
    sample.message.term = 9;
    sample.message.is_parallel = true;
    sample.message.payloads = sample.payloads;
    sample.message.payload_bytes = type == RAFT_MSG_APPEND ? 8 : 0;
    if (type == WIRE_APPEND_FRAGMENT) {
        sample.message.fragment = (struct wire_fragment){
            .head = {.client = 3, .sequence = 1, .bytes = 1200, .kind = RAFT_ENTRY_COMMAND},
            .bytes = 512,
            .data = data,
            .append = plain_append(),
        };
    } else {
        make_raft(type);
    }
}

static uint32_t plain_frame(uint8_t type)
{
    make_plain(type);
    return sample_frame(frame, sizeof(frame), &sample.message);
}

#define REPORT(field) (M + 24 + (uint32_t)offsetof(struct raft_report, field))
#define ACKED(word) (M + 72 + 16 + 8 * (word))
#define WANTED(word) (M + 40 + 8 * (word))
#define NO WIRE_BAD_FIELD
#define YES WIRE_END
#define APPEND RAFT_MSG_APPEND
#define APPEND_REPLY RAFT_MSG_APPEND_REPLY
#define FETCH RAFT_MSG_FETCH
#define FRAGMENT WIRE_APPEND_FRAGMENT
#define VOTE RAFT_MSG_VOTE
#define VOTE_REPLY RAFT_MSG_VOTE_REPLY

// Each breaks one rule of FORMAT.md.
static const struct doctored_row refused[] = {
    {"claim above the term", VOTE, IN(vote, last.term), 8, 10, NO},
    {"claim of no term", VOTE, IN(vote, last.term), 8, 0, NO},
    {"claim to 2^62", VOTE, IN(vote, last.index), 8, OVER, NO},
    {"pre-claim of no term", RAFT_MSG_PRE_VOTE, IN(vote, last.term), 8, 0, NO},
    {"vote with a SYNC", VOTE, IN(message, flags), 1, 4 + 8, NO},
    {"vote as supply", VOTE, IN(message, flags), 1, 4 + 16, NO},

    {"vote's reply with a SYNC", VOTE_REPLY, IN(message, flags), 1, 4 + 8, NO},
    {"vote's reply as supply", VOTE_REPLY, IN(message, flags), 1, 4 + 16, NO},
    {"refused with a report", VOTE_REPLY, IN(vote_reply, granted), 1, 0, NO},
    {"granted 2", VOTE_REPLY, IN(vote_reply, granted), 1, 2, NO},
    {"reserved of a vote's reply", VOTE_REPLY, IN(vote_reply, reserved[6]), 1, 1, NO},
    {"report in a strict group", VOTE_REPLY, IN(message, flags), 1, 0, NO},
    {"report of a pre-vote", VOTE_REPLY, IN(message, type), 1, RAFT_MSG_PRE_VOTE_REPLY, NO},
    {"granted without a report", RAFT_MSG_PRE_VOTE_REPLY, IN(message, type), 1, VOTE_REPLY, NO},
    {"sync term above the term", VOTE_REPLY, REPORT(sync_term), 8, 10, NO},
    {"floor without a sync term", VOTE_REPLY, REPORT(sync_term), 8, 0, NO},
    {"sync end above the floor", VOTE_REPLY, REPORT(sync_end), 8, 101, NO},
    {"commit 2^62", VOTE_REPLY, REPORT(commit), 8, OVER, NO},
    {"floor below the sync end", VOTE_REPLY, REPORT(floor), 8, 69, NO},
    {"floor at first", VOTE_REPLY, REPORT(floor), 8, 103, NO},
    {"floor 2^64-1", VOTE_REPLY, REPORT(floor), 8, UINT64_MAX, NO},
    {"last below the floor", VOTE_REPLY, REPORT(last), 8, 99, NO},
    {"last at the floor, bits behind", VOTE_REPLY, REPORT(last), 8, 100, NO},
    {"last 2^62", VOTE_REPLY, REPORT(last), 8, OVER, NO},
    {"last's bit not set", VOTE_REPLY, REPORT(last), 8, 168, NO},
    {"a bit behind last", VOTE_REPLY, REPORT(last), 8, 166, NO},
    {"last a word more", VOTE_REPLY, REPORT(last), 8, 231, NO},
    {"first 0", VOTE_REPLY, REPORT(first), 8, 0, NO},
    {"first at the floor", VOTE_REPLY, REPORT(first), 8, 100, NO},
    {"first behind last + 1", VOTE_REPLY, REPORT(first), 8, 169, NO},
    {"no bits below last", VOTE_REPLY, REPORT(first), 8, 168, NO},
    {"first 2^64-1", VOTE_REPLY, REPORT(first), 8, UINT64_MAX, NO},
    {"the last bit clear", VOTE_REPLY, REPORT(present[1]), 8, 0, NO},
    {"a bit too many", VOTE_REPLY, REPORT(present[1]), 8, 3, NO},
    {"the highest bit", VOTE_REPLY, REPORT(present[1]), 8, (UINT64_C(1) << 63) + 1, NO},

    {"SYNC and supply", APPEND, IN(message, flags), 1, 4 + 8 + 16, NO},
    {"terms without SYNC", APPEND, IN(message, flags), 1, 4, NO},
    {"terms in a supply", APPEND, IN(message, flags), 1, 4 + 16, NO},
    {"SYNC without parallel", APPEND, IN(message, flags), 1, 8, NO},
    {"from the term itself", APPEND, IN(append, place.prev.term), 8, 9, NO},
    {"from 2^64-1", APPEND, IN(append, place.prev.term), 8, UINT64_MAX, NO},
    {"sync end 2^62", APPEND, IN(append, place.entries_term), 8, OVER, NO},
    {"prev index 2^62", APPEND, IN(append, place.prev.index), 8, OVER, NO},
    {"prev + count over", APPEND, IN(append, place.prev.index), 8, RAFT_INDEX_MAX, NO},
    {"commit 2^62 in an append", APPEND, IN(append, place.commit), 8, OVER, NO},
    {"nothing told beyond the end", APPEND, IN(append, place.entries_term), 8, 20, NO},
    {"fragment: nothing told", FRAGMENT, IN(append_fragment, place.entries_term), 8, 20, NO},
    {"told up to the end", APPEND, IN(message, flags), 1, 4 + 8 + 64, NO},
    {"fragment: told up to the end", FRAGMENT, IN(message, flags), 1, 4 + 8 + 64, NO},
    {"fragment: SYNC and supply", FRAGMENT, IN(message, flags), 1, 4 + 8 + 16, NO},
    {"fragment: terms in a supply", FRAGMENT, IN(message, flags), 1, 4 + 16, NO},
    {"fragment: from the term itself", FRAGMENT, IN(append_fragment, place.prev.term), 8, 9, NO},
    {"fragment at the last index", FRAGMENT, IN(append_fragment, place.prev.index), 8,
     RAFT_INDEX_MAX, NO},

    {"rejected", APPEND_REPLY, IN(append_reply, result), 1, 1, NO},
    {"conflict", APPEND_REPLY, IN(append_reply, conflict.index), 8, 1, NO},
    {"match above held", APPEND_REPLY, IN(append_reply, match), 8, 13, NO},
    {"held 2^62", APPEND_REPLY, IN(append_reply, held), 8, OVER, NO},
    {"installed 2", APPEND_REPLY, IN(append_reply, is_installed), 1, 2, NO},
    {"reserved", APPEND_REPLY, IN(append_reply, reserved), 1, 1, NO},
    {"other reserved", APPEND_REPLY, IN(append_reply, reserved_end), 2, 1, NO},
    {"acked, not sent", APPEND_REPLY, IN(append_reply, acked_count), 2, 0, NO},
    {"acked of 64", APPEND_REPLY, IN(append_reply, acked_count), 2, 64, NO},
    {"acked beyond its last", APPEND_REPLY, IN(append_reply, acked_count), 2, 67, NO},
    {"acked behind its last", APPEND_REPLY, IN(append_reply, acked_count), 2, 65, NO},
    {"acked a word more", APPEND_REPLY, IN(append_reply, acked_count), 2, 129, NO},
    {"acked of 2049", APPEND_REPLY, IN(append_reply, acked_count), 2, 2049, NO},
    {"acked of 65535", APPEND_REPLY, IN(append_reply, acked_count), 2, 65535, NO},
    {"match + 1 acked", APPEND_REPLY, ACKED(0), 8, 7, NO},
    {"the last acked clear", APPEND_REPLY, ACKED(1), 8, 1, NO},
    {"an acked too many", APPEND_REPLY, ACKED(1), 8, 6, NO},
    {"a gap fewer", APPEND_REPLY, IN(append_reply, gap_count), 1, 0, NO},
    {"a gap more", APPEND_REPLY, IN(append_reply, gap_count), 1, 2, NO},
    {"acked in a strict group", APPEND_REPLY, IN(message, flags), 1, 0, NO},

    {"fetch of none", FETCH, IN(fetch, count), 2, 0, NO},
    {"fetch of one less", FETCH, IN(fetch, count), 2, 67, NO},
    {"fetch of one more", FETCH, IN(fetch, count), 2, 69, NO},
    {"fetch of a word less", FETCH, IN(fetch, count), 2, 64, NO},
    {"fetch of a word more", FETCH, IN(fetch, count), 2, 129, NO},
    {"fetch of 2049", FETCH, IN(fetch, count), 2, 2049, NO},
    {"fetch of 65535", FETCH, IN(fetch, count), 2, 65535, NO},
    {"reserved of a fetch", FETCH, IN(fetch, reserved[0]), 1, 1, NO},
    {"last reserved of a fetch", FETCH, IN(fetch, reserved[5]), 1, 1, NO},
    {"fetch from 0", FETCH, IN(fetch, first), 8, 0, NO},
    {"fetch from 2^62", FETCH, IN(fetch, first), 8, OVER, NO},
    {"fetch to 2^62", FETCH, IN(fetch, first), 8, OVER - 67, NO},
    {"fetch from 2^64-1", FETCH, IN(fetch, first), 8, UINT64_MAX, NO},
    {"fetch without its first", FETCH, WANTED(0), 8, 2, NO},
    {"fetch without its last", FETCH, WANTED(1), 8, 4, NO},
    {"fetch of a bit too many", FETCH, WANTED(1), 8, 24, NO},
    {"fetch of the highest bit", FETCH, WANTED(1), 8, (UINT64_C(1) << 63) + 8, NO},
    {"fetch in a strict group", FETCH, IN(message, flags), 1, 3, NO},
    {"fetch with a SYNC", FETCH, IN(message, flags), 1, 4 + 8, NO},
    {"fetch as supply", FETCH, IN(message, flags), 1, 4 + 16, NO},
};

// The edge of what is not refused.
static const struct doctored_row accepted[] = {
    {"a term without a floor", VOTE, IN(vote, last.index), 8, 0, YES},
    {"claim of the term", VOTE, IN(vote, last.term), 8, 9, YES},
    {"claim to the last index", VOTE, IN(vote, last.index), 8, RAFT_INDEX_MAX, YES},
    {"sync term of the term", VOTE_REPLY, REPORT(sync_term), 8, 9, YES},
    {"sync end at the floor", VOTE_REPLY, REPORT(sync_end), 8, 100, YES},
    {"commit far beyond last", VOTE_REPLY, REPORT(commit), 8, RAFT_INDEX_MAX, YES},
    {"first a gap after the floor", VOTE_REPLY, REPORT(floor), 8, 70, YES},
    {"first right after the floor", VOTE_REPLY, REPORT(floor), 8, 102, YES},
    {"bits all but the first", VOTE_REPLY, REPORT(present[0]), 8, UINT64_MAX, YES},
    {"bits none but the last", VOTE_REPLY, REPORT(present[0]), 8, 0, YES},
    {"from nothing", APPEND, IN(append, place.prev.term), 8, 0, YES},
    {"from the term before", APPEND, IN(append, place.prev.term), 8, 8, YES},
    {"sync end at the first entry", APPEND, IN(append, place.entries_term), 8, 21, YES},
    {"sync end of the last index", APPEND, IN(append, place.entries_term), 8, RAFT_INDEX_MAX, YES},
    {"entries from 1", APPEND, IN(append, place.prev.index), 8, 0, YES},
    {"match at held", APPEND_REPLY, IN(append_reply, match), 8, 12, YES},
    {"not installed", APPEND_REPLY, IN(append_reply, is_installed), 1, 0, YES},
    {"acked none but the last", APPEND_REPLY, ACKED(0), 8, 0, YES},
    {"fetch to the last index", FETCH, IN(fetch, first), 8, OVER - 68, YES},
    {"fetch from 1", FETCH, IN(fetch, first), 8, 1, YES},
    {"fetch of any number", FETCH, IN(fetch, number), 8, UINT64_MAX, YES},
};

static void every_row_is_refused(void)
{
    doctored_check(refused, TEST_COUNT(refused), plain_frame, frame);
}

static void limits_are_accepted(void)
{
    doctored_check(accepted, TEST_COUNT(accepted), plain_frame, frame);
}

// What takes several fields, or a message of another length, to do wrong, or right.
#define AND NULL
#define LENGTH(bytes) 0, 0, bytes
static const struct doctored_row edited[] = {
    {"the index after the floor, held", VOTE_REPLY, REPORT(floor), 8, 102, NO},
    {AND, VOTE_REPLY, REPORT(present[0]), 8, 1, NO},
    {"the index behind what is not said", VOTE_REPLY, REPORT(floor), 8, 101, YES},
    {AND, VOTE_REPLY, REPORT(present[0]), 8, 1, YES},
    {"nothing above the floor", VOTE_REPLY, LENGTH(72), YES},
    {AND, VOTE_REPLY, REPORT(last), 8, 100, YES},
    {AND, VOTE_REPLY, REPORT(first), 8, 101, YES},
    {"nothing said above the floor", VOTE_REPLY, LENGTH(72), NO},
    {AND, VOTE_REPLY, REPORT(last), 8, 101, NO},
    {AND, VOTE_REPLY, REPORT(first), 8, 102, NO},
    {"all but the end of a report", VOTE_REPLY, LENGTH(64), NO},
    {"nothing at all", VOTE_REPLY, LENGTH(72), NO},
    {AND, VOTE_REPLY, REPORT(sync_term), 8, 0, NO},
    {AND, VOTE_REPLY, REPORT(sync_end), 8, 0, NO},
    {AND, VOTE_REPLY, REPORT(floor), 8, 0, NO},
    {AND, VOTE_REPLY, REPORT(last), 8, 0, NO}, // first is 103
    {"up to the last index", VOTE_REPLY, REPORT(last), 8, RAFT_INDEX_MAX, YES},
    {AND, VOTE_REPLY, REPORT(first), 8, RAFT_INDEX_MAX - 64, YES},
    {"beyond the last index", VOTE_REPLY, REPORT(last), 8, OVER, NO},
    {AND, VOTE_REPLY, REPORT(first), 8, OVER - 64, NO},
    {"a window", VOTE_REPLY, LENGTH(72 + 32 * 8), YES},
    {AND, VOTE_REPLY, REPORT(last), 8, 102 + RAFT_WINDOW_MAX, YES},
    {AND, VOTE_REPLY, REPORT(present[31]), 8, UINT64_C(1) << 63, YES},
    {AND, VOTE_REPLY, REPORT(present[0]), 8, 0, YES},
    {AND, VOTE_REPLY, REPORT(present[1]), 8, 0, YES},
    {"an index more", VOTE_REPLY, LENGTH(72 + 33 * 8), NO},
    {AND, VOTE_REPLY, REPORT(last), 8, 103 + RAFT_WINDOW_MAX, NO},
    {AND, VOTE_REPLY, REPORT(present[0]), 8, 0, NO},
    {AND, VOTE_REPLY, REPORT(present[1]), 8, 0, NO},
    {AND, VOTE_REPLY, M + 72 + 32 * 8, 8, 1, NO},
    {"no SYNC, yet from a term", APPEND, IN(message, flags), 1, 4, NO},
    {AND, APPEND, IN(append, place.entries_term), 8, 0, NO},
    {"no SYNC, yet its end", APPEND, IN(message, flags), 1, 4, NO},
    {AND, APPEND, IN(append, place.prev.term), 8, 0, NO},
    {"no SYNC", APPEND, IN(message, flags), 1, 4, YES},
    {AND, APPEND, IN(append, place.prev.term), 8, 0, YES},
    {AND, APPEND, IN(append, place.entries_term), 8, 0, YES},
    {"the last index", APPEND, IN(append, place.prev.index), 8, RAFT_INDEX_MAX - 1, YES},
    {AND, APPEND, IN(append, place.entries_term), 8, RAFT_INDEX_MAX, YES},
    {"a supply, the end of its answer", APPEND, IN(message, flags), 1, 4 + 16, YES},
    {AND, APPEND, IN(append, place.prev.term), 8, 0, YES},
    {AND, APPEND, IN(append, place.entries_term), 8, 21, YES},
    {"a supply that others follow", APPEND, IN(message, flags), 1, 4 + 16, YES},
    {AND, APPEND, IN(append, place.prev.term), 8, 0, YES},
    {AND, APPEND, IN(append, place.entries_term), 8, RAFT_INDEX_MAX, YES},
    {"a supply beyond its answer", APPEND, IN(message, flags), 1, 4 + 16, NO},
    {AND, APPEND, IN(append, place.prev.term), 8, 0, NO},
    {AND, APPEND, IN(append, place.entries_term), 8, 20, NO},
    {"a supply of no answer", APPEND, IN(message, flags), 1, 4 + 16, NO},
    {AND, APPEND, IN(append, place.prev.term), 8, 0, NO},
    {AND, APPEND, IN(append, place.entries_term), 8, 0, NO},
    {"a supply from a term", APPEND, IN(message, flags), 1, 4 + 16, NO},
    {AND, APPEND, IN(append, place.entries_term), 8, 21, NO},
    {"an answer beyond the last index", APPEND, IN(message, flags), 1, 4 + 16, NO},
    {AND, APPEND, IN(append, place.prev.term), 8, 0, NO},
    {AND, APPEND, IN(append, place.entries_term), 8, OVER, NO},
    {"a supply from 2^64-1 on", APPEND, IN(message, flags), 1, 4 + 16, NO},
    {AND, APPEND, IN(append, place.prev.term), 8, 0, NO},
    {AND, APPEND, IN(append, place.prev.index), 8, UINT64_MAX, NO},
    {AND, APPEND, IN(append, place.entries_term), 8, 1, NO},
    {"rejected, as in a strict group", APPEND_REPLY, IN(append_reply, result), 1, 1, NO},
    {AND, APPEND_REPLY, IN(append_reply, conflict.index), 8, 11, NO},
    {"acked up to the last index", APPEND_REPLY, IN(append_reply, match), 8, RAFT_INDEX_MAX - 66,
     YES},
    {AND, APPEND_REPLY, IN(append_reply, held), 8, RAFT_INDEX_MAX, YES},
    {"acked beyond the last index", APPEND_REPLY, IN(append_reply, match), 8, RAFT_INDEX_MAX - 65,
     NO},
    {AND, APPEND_REPLY, IN(append_reply, held), 8, RAFT_INDEX_MAX, NO},
    {"match + 1 missing", APPEND_REPLY, IN(append_reply, is_installed), 1, 0, YES},
    {AND, APPEND_REPLY, ACKED(0), 8, 7, YES},
    {"the last missing clear", APPEND_REPLY, IN(append_reply, is_installed), 1, 0, NO},
    {AND, APPEND_REPLY, ACKED(1), 8, 1, NO},
    {"a window acked", APPEND_REPLY, LENGTH(88 + 32 * 8), YES},
    {AND, APPEND_REPLY, IN(append_reply, acked_count), 2, RAFT_WINDOW_MAX, YES},
    {AND, APPEND_REPLY, ACKED(31), 8, UINT64_C(1) << 63, YES},
    {"an index more acked", APPEND_REPLY, LENGTH(88 + 33 * 8), NO},
    {AND, APPEND_REPLY, IN(append_reply, acked_count), 2, RAFT_WINDOW_MAX + 1, NO},
    {AND, APPEND_REPLY, ACKED(32), 8, 1, NO},
    {"acked, in a strict group", APPEND_REPLY, IN(message, flags), 1, 0, NO},
    {AND, APPEND_REPLY, IN(append_reply, is_installed), 1, 0, NO},
    {"a fetch of nothing", FETCH, LENGTH(40), NO},
    {AND, FETCH, IN(fetch, count), 2, 0, NO},
    {"a fetch of one entry", FETCH, LENGTH(48), YES},
    {AND, FETCH, IN(fetch, count), 2, 1, YES},
    {AND, FETCH, IN(fetch, first), 8, RAFT_INDEX_MAX, YES},
    {AND, FETCH, WANTED(0), 8, 1, YES},
    {"a window fetched", FETCH, LENGTH(40 + 32 * 8), YES},
    {AND, FETCH, IN(fetch, count), 2, RAFT_WINDOW_MAX, YES},
    {AND, FETCH, WANTED(31), 8, UINT64_C(1) << 63, YES},
    {"an index more fetched", FETCH, LENGTH(40 + 33 * 8), NO},
    {AND, FETCH, IN(fetch, count), 2, RAFT_WINDOW_MAX + 1, NO},
    {AND, FETCH, WANTED(32), 8, 1, NO},
};

static void edits_of_several_fields_meet_the_rules(void)
{
    doctored_check(edited, TEST_COUNT(edited), plain_frame, frame);
}

// Two entries, 31 and 32, the first two beyond the log that ends at 30: they may be told to depend
// on that and on nothing before, and on nobody in a window's distance.
static uint32_t told_frame(uint16_t first, uint16_t second)
{
    make_plain(APPEND);
    struct raft_append *append = &sample.message.raft.append;
    sample.heads[1] = sample.heads[0];
    sample.payloads[1] = sample.payloads[0];
    sample.message.payload_bytes = 16;
    append->count = 2;
    append->prev.index = 30;
    sample.distances[0] = sample.distances[1] = 1;
    append->distances = sample.distances;
    uint32_t bytes = sample_frame(frame, sizeof(frame), &sample.message);
    doctored_store(frame + M + 88 + 48, first, 2);
    doctored_store(frame + M + 88 + 50, second, 2);
    oracle_reseal(frame, bytes);
    return bytes;
}

static void what_is_told_is_in_range(void)
{
    static const struct {
        uint16_t first, second;
        enum wire_refusal want;
    } rows_told[] = {
        {1, 1, WIRE_END},           {1, 2, WIRE_END},           {0, 1, WIRE_BAD_FIELD},
        {1, 0, WIRE_BAD_FIELD},     {2, 1, WIRE_BAD_FIELD},     {1, 3, WIRE_BAD_FIELD},
        {65535, 1, WIRE_BAD_FIELD}, {1, 65535, WIRE_BAD_FIELD},
    };
    for (size_t i = 0; i < sizeof(rows_told) / sizeof(rows_told[0]); i++) {
        uint32_t bytes = told_frame(rows_told[i].first, rows_told[i].second);
        CHECK_EQUAL(doctored_drain(APPEND, frame, bytes), rows_told[i].want);
    }
    for (uint16_t over = 0; over < 2; over++) { // far behind the end of the log
        uint32_t bytes = told_frame(RAFT_WINDOW_MAX, RAFT_WINDOW_MAX + over);
        doctored_store(frame + IN(append, place.entries_term), 5, 8);
        doctored_store(frame + IN(append, place.prev.index), 5 + RAFT_WINDOW_MAX, 8);
        oracle_reseal(frame, bytes);
        CHECK_EQUAL(doctored_drain(APPEND, frame, bytes), over == 0 ? WIRE_END : WIRE_BAD_FIELD);
    }
}

// A flag that flips moves the border of what the checksum covers, by less than the padding may
// hide: it is refused whatever the checksum says.
static void told_or_not_is_told_by_the_rest(void)
{
    uint32_t bytes = told_frame(1, 1);
    for (uint32_t bit = 2; bit < 7; bit++) {
        frame[IN(message, flags)] ^= (uint8_t)(1U << bit);
        oracle_reseal(frame, bytes);
        CHECK_EQUAL(doctored_drain(APPEND, frame, bytes), WIRE_BAD_FIELD);
        frame[IN(message, flags)] ^= (uint8_t)(1U << bit);
    }
    bytes = told_frame(1, 1);
    frame[M + 88 + 50] ^= 2; // what is told is covered
    CHECK_EQUAL(doctored_drain(APPEND, frame, bytes), WIRE_BAD_CHECKSUM);
}

static void a_supply_has_entries(void)
{
    make_plain(APPEND);
    struct raft_append *append = &sample.message.raft.append;
    append->has_sync = false;
    append->is_supply = true;
    append->sync_from = 0;
    append->sync_end = 21;
    CHECK_EQUAL(doctored_drain(APPEND, frame, sample_frame(frame, sizeof(frame), &sample.message)),
                WIRE_END);
    append->is_supply = false;
    append->sync_end = 0;
    append->count = 0;
    append->entries_term = 0;
    sample.message.payload_bytes = 0;
    uint32_t bytes = sample_frame(frame, sizeof(frame), &sample.message);
    CHECK_EQUAL(doctored_drain(APPEND, frame, bytes), WIRE_END);
    frame[IN(message, flags)] = 4 + 16;
    doctored_store(frame + IN(append, place.entries_term), 21, 8);
    oracle_reseal(frame, bytes);
    CHECK_EQUAL(doctored_drain(APPEND, frame, bytes), WIRE_BAD_FIELD);
}

// Reports of every length: what is said of an index comes out as it went in, and words that are not
// needed are not sent.
static void every_length_round_trips(void)
{
    static struct wire_scratch scratch;
    struct wire_filter filter = sample_filter(VOTE_REPLY);
    for (uint32_t bits = 0; bits <= RAFT_WINDOW_MAX; bits++) {
        struct wire_reader reader;
        struct wire_message got;
        make_plain(VOTE_REPLY);
        struct raft_report *report = &sample.message.raft.vote_reply.report;
        report->first = bits == 0 ? report->floor + 1 : report->floor + 2;
        report->last = report->first + bits - 1;
        memset(report->present, 0, sizeof(report->present));
        for (uint32_t at = 0; at < bits; at++) {
            bool is_set = at % 3 == 0 || at + 1 == bits;
            report->present[at / 64] |= (uint64_t)is_set << (at % 64);
        }
        uint32_t bytes = sample_frame(frame, WIRE_FRAME_BYTES_MIN, &sample.message);
        CHECK_EQUAL(bytes, M + 24 + 48 + (bits + 63) / 64 * 8);
        CHECK_EQUAL(wire_open(&reader, &filter, frame, bytes, &scratch), WIRE_OK);
        memset(&got, 0xFF, sizeof(got));
        CHECK_EQUAL(wire_next(&reader, &filter, &got), WIRE_OK);
        CHECK(memcmp(&got.raft.vote_reply.report, report, sizeof(*report)) == 0);
    }
}

static void every_fetch_round_trips(void)
{
    static struct wire_scratch scratch;
    struct wire_filter filter = sample_filter(FETCH);
    for (uint32_t bits = 1; bits <= RAFT_WINDOW_MAX; bits++) {
        make_plain(FETCH);
        struct raft_wanted wanted = {0};
        raft_wanted_add(&wanted, 40);
        raft_wanted_add(&wanted, 40 + bits / 2);
        raft_wanted_add(&wanted, 39 + bits);
        CHECK_EQUAL(wanted.count, bits);
        sample.message.raft.fetch.wanted = wanted;
        uint32_t bytes = sample_frame(frame, WIRE_FRAME_BYTES_MIN, &sample.message);
        CHECK_EQUAL(bytes, M + 40 + 8 * ((bits + 63) / 64));
        struct wire_reader reader;
        struct wire_message got;
        CHECK_EQUAL(wire_open(&reader, &filter, frame, bytes, &scratch), WIRE_OK);
        CHECK_EQUAL(wire_next(&reader, &filter, &got), WIRE_OK);
        CHECK_EQUAL(got.raft.fetch.number, 7);
        CHECK(memcmp(&got.raft.fetch.wanted, &wanted, sizeof(wanted)) == 0);
    }
}

// A decoded message says nothing that its bytes do not.
static void nothing_is_left_from_another_message(void)
{
    static const uint8_t types[] = {VOTE_REPLY, APPEND, APPEND_REPLY, FETCH, FRAGMENT};
    static struct wire_scratch scratch;
    for (uint32_t i = 0; i < sizeof(types); i++) {
        struct wire_filter filter = sample_filter(types[i]);
        struct wire_reader reader;
        struct wire_message got;
        uint32_t bytes = plain_frame(types[i]);
        memset(&got, 0xFF, sizeof(got));
        CHECK_EQUAL(wire_open(&reader, &filter, frame, bytes, &scratch), WIRE_OK);
        CHECK_EQUAL(wire_next(&reader, &filter, &got), WIRE_OK);
        if (types[i] != FRAGMENT) {
            sample.message.raft.from = SAMPLE_PEER;
            sample.message.raft.to = SAMPLE_SELF;
            sample.message.raft.boot = reader.envelope.boot;
        }
        const char *difference = sample_difference(&got, &sample.message);
        CHECK_TEXT(difference == NULL ? "" : difference, "");
    }
}

static void the_largest_answer_fits_the_smallest_frame(void)
{
    make_plain(APPEND_REPLY);
    struct raft_append_reply *reply = &sample.message.raft.append_reply;
    for (reply->gap_count = 0; reply->gap_count < RAFT_GAPS_MAX; reply->gap_count++) {
        uint64_t at = 20 + 2 * reply->gap_count;
        reply->gaps[reply->gap_count] = (struct raft_range){at, at};
    }
    reply->acked_count = RAFT_WINDOW_MAX;
    memset(reply->acked, 0xFF, sizeof(reply->acked));
    reply->acked[0]--;
    uint32_t bytes = sample_frame(frame, WIRE_FRAME_BYTES_MIN, &sample.message);
    CHECK_EQUAL(bytes, M + 72 + 4 * 16 + 32 * 8);
    CHECK_EQUAL(doctored_drain(APPEND_REPLY, frame, bytes), WIRE_END);
}

// VOTE_REPLY (4) is one bit from APPEND (5), and with a report as long: but a report is granted,
// which an append could say in the same place only with a SYNC, and that flag no vote has. Here the
// checksum is right "by chance": it is what these bytes would need.
static void a_report_is_no_append_but_for_a_bit(void)
{
    struct prng prng;
    prng_init(&prng, 7);
    uint32_t long_reports = 0;
    for (uint32_t round = 0; round < 4000; round++) {
        uint8_t type = round % 2 == 0 ? VOTE_REPLY : APPEND;
        sample_make(&sample, &prng, type, 400);
        if (type == APPEND && sample.message.is_parallel && sample.message.raft.append.has_sync) {
            sample.message.raft.append.sync_from = 1; // as near to a granted vote as there is
        }
        if (sample.message.term == 1) {
            continue; // nothing is from a term before it
        }
        uint32_t bytes = sample_frame(frame, sizeof(frame), &sample.message);
        CHECK_EQUAL(doctored_drain(type, frame, bytes), WIRE_END);
        frame[IN(message, type)] ^= 1;
        oracle_reseal(frame, bytes);
        CHECK_EQUAL(doctored_drain(type, frame, bytes), WIRE_BAD_FIELD);
        long_reports += type == VOTE_REPLY && bytes >= M + WIRE_APPEND_BYTES;
    }
    CHECK(long_reports > 200);
}

// --- the layout, written down by hand from FORMAT.md

static void check_message(const uint8_t *want, uint32_t bytes)
{
    CHECK_EQUAL(sample_frame(frame, sizeof(frame), &sample.message), M + bytes);
    for (uint32_t at = 0; at < bytes; at++) {
        CHECK_EQUAL(frame[M + at], want[at]);
    }
}

#define U64(byte) byte, 0, 0, 0, 0, 0, 0, 0

static void a_report_lies_as_published(void)
{
    static const uint8_t want[] = {
        88,       0,        0,        0,      4,
        4,        1,        0,        U64(9), // bytes, type, flags PARALLEL, group, term
        U64(1),                               // granted, reserved
        U64(5),   U64(70),  U64(90),          // sync term, sync end, commit
        U64(100), U64(167), U64(103),         // floor, last, first
        0xFC,     0xFF,     0xFF,     0xFF,   0xFF,
        0xFF,     0xFF,     0xFF,     U64(1), // present
    };
    make_plain(VOTE_REPLY);
    check_message(want, sizeof(want));
    make_plain(RAFT_MSG_PRE_VOTE_REPLY); // has none
    static const uint8_t want_pre[] = {24, 0, 0, 0, 2, 4, 1, 0, U64(9), U64(1)};
    check_message(want_pre, sizeof(want_pre));
}

static void an_answer_lies_as_published(void)
{
    static const uint8_t want[] =
        {
            104,     0,       0,      0,      6,
            4,       1,       0,      U64(9), // bytes, type, flags, group, term
            0,       1,       1,      0,      66,
            0,       0,       0,              // OK, gaps, installed, reserved, acked, reserved
            U64(10), U64(12), U64(0), U64(0), // match, held, conflict
            U64(0),  U64(0),                  // round, echo
            U64(13), U64(14),                 // gap
            U64(6),  U64(2),                  // acked: 12, 13 and 76
        };
    make_plain(APPEND_REPLY);
    check_message(want, sizeof(want));
}

static void a_fetch_lies_as_published(void)
{
    static const uint8_t want[] = {
        56,     0,       0, 0, 8, 4, 1, 0, U64(9), // bytes, type, flags, group, term
        U64(7), U64(13),                           // number, first
        68,     0,       0, 0, 0, 0, 0, 0,         // count, reserved
        U64(3), U64(8),                            // wanted: 13, 14 and 80
    };
    make_plain(FETCH);
    check_message(want, sizeof(want));
}

static void a_sync_lies_as_published(void)
{
    static const uint8_t want[] = {
        120,     0,       0,       0, 5, 4 + 8, 1, 0,
        U64(9),                    // bytes, type, flags PARALLEL and SYNC, group, term
        U64(5),  U64(20), U64(30), // sync from, prev index, sync end
        U64(19), U64(0),  U64(0),  // commit, round, echo
        U64(0),  U64(0),           // rejoin
        1,       0,       0,       0, 8, 0,     0, 0,       // count, payload bytes
        U64(3),  U64(1),  0,       0, 0, 0,     8, 0, 0, 2, // client, sequence, crc, bytes, kind
        U64(0),                                             // payload
    };
    make_plain(APPEND);
    check_message(want, sizeof(want));
}

static void what_is_told_lies_as_published(void)
{
    static const uint8_t want[] = {
        160,     0,       0,       0, 5,  4 + 8 + 64, 1, 0,
        U64(9),                    // bytes, type, flags PARALLEL, SYNC and told, group, term
        U64(5),  U64(30), U64(30), // sync from, prev index, sync end
        U64(19), U64(0),  U64(0),  // commit, round, echo
        U64(0),  U64(0),           // rejoin
        2,       0,       0,       0, 16, 0,          0, 0, // count, payload bytes
        U64(3),  U64(1),  0,       0, 0,  0,          8, 0,
        0,       2, // client, sequence, crc, bytes, kind
        U64(3),  U64(1),  0,       0, 0,  0,          8, 0,
        0,       2,                   // of the second
        1,       0,       2,       0, // distances
        U64(0),  U64(0),              // payloads
        0,       0,       0,       0, // padding
    };
    uint32_t bytes = told_frame(1, 2);
    CHECK_EQUAL(bytes, M + sizeof(want));
    for (uint32_t at = 0; at < sizeof(want); at++) {
        CHECK_EQUAL(frame[M + at], want[at]);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(every_row_is_refused),
        TEST(limits_are_accepted),
        TEST(edits_of_several_fields_meet_the_rules),
        TEST(what_is_told_is_in_range),
        TEST(told_or_not_is_told_by_the_rest),
        TEST(a_supply_has_entries),
        TEST(every_length_round_trips),
        TEST(every_fetch_round_trips),
        TEST(nothing_is_left_from_another_message),
        TEST(the_largest_answer_fits_the_smallest_frame),
        TEST(a_report_is_no_append_but_for_a_bit),
        TEST(a_report_lies_as_published),
        TEST(an_answer_lies_as_published),
        TEST(a_fetch_lies_as_published),
        TEST(a_sync_lies_as_published),
        TEST(what_is_told_lies_as_published),
    };
    return test_run("wire parallel", cases, TEST_COUNT(cases), argc, argv);
}
