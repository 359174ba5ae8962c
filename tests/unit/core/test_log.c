// The ring of entries against a slow twin, recovery from records, and the questions asked of a log.
#include "tests/harness/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/prng.h"
#include "engine/core/state.h"
#include "tests/unit/core/replica.h"

enum { SLOTS = 64, INDEXES = 4000 };

struct twin_entry {
    bool is_held, is_placed, is_durable;
    uint64_t term;
    uint32_t epoch, bytes;
};

static struct raft_entry slots[SLOTS];
static struct raft_log log_under_test;
static struct twin_entry twin[INDEXES + 1];
static uint64_t twin_base_term;
static struct prng prng;

static void start(uint64_t seed)
{
    prng_init(&prng, seed);
    memset(slots, 0xA5, sizeof(slots)); // init does not touch the slots
    memset(twin, 0, sizeof(twin));
    log_under_test = (struct raft_log){.slots = slots, .mask = SLOTS - 1, .epoch = 1};
    twin_base_term = 0;
}

static void check_against_twin(void)
{
    const struct raft_log *log = &log_under_test;
    uint64_t last = log->base.index, held = last, synced = last;
    while (twin[last + 1].is_held) {
        last++;
    }
    while (synced < last && twin[synced + 1].is_durable) {
        synced++;
    }
    uint64_t limit = log->base.index + SLOTS;
    for (uint64_t index = log->base.index + 1; index <= limit; index++) {
        held = twin[index].is_held ? index : held;
        CHECK_EQUAL(log_has(log, index), twin[index].is_held);
    }
    CHECK_EQUAL(log->last, last);
    CHECK_EQUAL(log->held, held);
    CHECK_EQUAL(log->synced, synced);
    CHECK_EQUAL(log_term_at(log, log->base.index), twin_base_term);
    uint64_t sum = 0;
    for (uint64_t index = log->base.index + 1; index <= last; index++) {
        sum += twin[index].bytes;
        CHECK_EQUAL(log_term_at(log, index), twin[index].term);
        CHECK_EQUAL(log_bytes_between(log, log->base.index, index), sum);
    }
    CHECK_EQUAL(log_capacity_left(log), limit - held);
}

static void hold_one(void)
{
    struct raft_log *log = &log_under_test;
    uint64_t index = log->last + 1 + prng_below(&prng, 2) * prng_below(&prng, 10);
    if (index > log->base.index + SLOTS || index >= INDEXES || log_has(log, index)) {
        return;
    }
    uint64_t before = log_term_at(log, log->last);
    uint64_t term =
        before + (index == log->last + 1 && log->held == log->last && prng_chance(&prng, 1, 9));
    struct raft_entry_head head = {.bytes = (uint32_t)prng_below(&prng, 500)};
    log_hold(log, index, term, before, &head);
    log_slot(log, index)->is_placed = true;
    log_close_holes(log);
    twin[index] = (struct twin_entry){
        .is_held = true, .is_placed = true, .term = term, .epoch = log->epoch, .bytes = head.bytes};
}

// Several behind the last one; nothing may wait beyond it.
static void extend_some(void)
{
    struct raft_log *log = &log_under_test;
    struct raft_entry_head heads[12] = {0};
    uint64_t count = prng_below(&prng, 12), first = log->last + 1;
    uint64_t term = log_term_at(log, log->last) + prng_chance(&prng, 1, 9);
    if (log->held != log->last || count > log_capacity_left(log) || first + count > INDEXES) {
        return;
    }
    for (uint64_t at = 0; at < count; at++) {
        heads[at].bytes = (uint32_t)prng_below(&prng, 500);
        twin[first + at] = (struct twin_entry){.is_held = true,
                                               .is_placed = true,
                                               .term = term,
                                               .epoch = log->epoch,
                                               .bytes = heads[at].bytes};
    }
    log_extend(log, term, heads, (uint32_t)count);
    for (uint64_t at = 0; at < count; at++) {
        CHECK(!log_slot(log, first + at)->is_placed);
        log_slot(log, first + at)->is_placed = true;
    }
}

static void forget_from(uint64_t first)
{
    for (uint64_t index = first; index <= log_under_test.base.index + SLOTS && index <= INDEXES;
         index++) {
        twin[index].is_held = false;
    }
}

static void sync_some(void)
{
    struct raft_log *log = &log_under_test;
    uint64_t first =
        prng_between(&prng, log->base.index > 5 ? log->base.index - 5 : 0, log->held + 3);
    struct raft_range range = {.first = first, .last = first + prng_below(&prng, 12)};
    uint32_t epoch = log->epoch - (uint32_t)prng_below(&prng, log->epoch > 2 ? 3 : 1);
    log_synced(log, range, epoch);
    for (uint64_t index = range.first; index <= range.last && index <= INDEXES; index++) {
        struct twin_entry *entry = &twin[index];
        entry->is_durable |= entry->is_held && entry->epoch == epoch && index > log->base.index;
    }
}

static void change_once(void)
{
    struct raft_log *log = &log_under_test;
    switch (prng_below(&prng, 40)) {
    case 0: {
        uint64_t first = prng_between(&prng, log->base.index + 1, log->held + 1);
        log_truncate(log, first);
        forget_from(first < log->last + 1 ? first : log->last + 1);
        break;
    }
    case 1: {
        uint64_t last = log->last;
        log_drop_beyond_hole(log);
        forget_from(last + 1);
        break;
    }
    case 2:
    case 3: {
        uint64_t index = prng_between(&prng, log->base.index, log->synced);
        twin_base_term = log_term_at(log, index);
        log->base = (struct raft_entry_id){.term = twin_base_term, .index = index};
        break;
    }
    case 4:
        if (prng_chance(&prng, 1, 10) && log->held + 20 < INDEXES - SLOTS) {
            uint64_t term = log_term_at(log, log->last) + 1;
            forget_from(0);
            log_reset(log, (struct raft_entry_id){.term = term, .index = log->held + 10});
            twin_base_term = term;
            forget_from(log->base.index + 1);
        }
        break;
    case 5:
    case 6:
    case 7:
    case 8:
        sync_some();
        break;
    case 9:
    case 10:
        extend_some();
        break;
    default:
        hold_one();
        break;
    }
}

static void random_changes_match_a_slow_twin(void)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        start(seed);
        while (log_under_test.base.index + 2 * SLOTS < INDEXES) {
            change_once();
            check_against_twin();
            if (prng_chance(&prng, 1, 3000)) {
                break;
            }
        }
    }
}

static void questions_by_term_match_a_slow_search(void)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        start(seed);
        struct raft_log *log = &log_under_test;
        uint64_t term = 1 + prng_below(&prng, 2);
        log_reset(log, (struct raft_entry_id){.term = prng_below(&prng, 2),
                                              .index = prng_below(&prng, 9)});
        uint64_t count = prng_below(&prng, SLOTS);
        struct raft_entry_head head = {0};
        while (count-- > 0) {
            term += prng_chance(&prng, 1, 5) ? prng_below(&prng, 3) : 0;
            log_hold(log, log->last + 1, term, log_term_at(log, log->last), &head);
        }
        for (uint64_t wanted = 0; wanted <= term + 1; wanted++) {
            for (uint64_t below = log->base.index; below <= log->last + 3; below++) {
                uint64_t slow = 0;
                for (uint64_t index = log->base.index; index < below && index <= log->last;
                     index++) {
                    slow = log_term_at(log, index) == wanted ? index : slow;
                }
                CHECK_EQUAL(log_last_of_term(log, wanted, below), slow);
            }
        }
        for (uint64_t index = log->base.index + 1; index <= log->last; index++) {
            uint64_t slow = index;
            while (slow - 1 > log->base.index &&
                   log_term_at(log, slow - 1) == log_term_at(log, index)) {
                slow--;
            }
            CHECK_EQUAL(log_first_of_term(log, index), slow);
        }
    }
}

// Recovery.

static struct replica node;

static void restore(uint64_t term, uint64_t index, uint64_t prev_term)
{
    struct raft_entry_head head = {.bytes = 10, .sequence = index, .kind = RAFT_ENTRY_COMMAND};
    CHECK_EQUAL(raft_restore_entry(node.raft, (struct raft_entry_id){term, index}, prev_term, &head,
                                   index * 100),
                0);
}

static void begin(uint64_t base_term, uint64_t base_index)
{
    replica_open(&node, 3);
    raft_restore_begin(node.raft, (struct raft_entry_id){base_term, base_index});
}

static void end_with(const char *expected)
{
    raft_restore_end(node.raft, node.now_ns);
    raft_view(node.raft, &node.view);
    replica_collect(&node);
    CHECK_TEXT(replica_log(&node), expected);
    CHECK_EQUAL(node.view.synced, node.view.last);
    replica_close(&node);
}

static void recovery_keeps_the_longest_chain(void)
{
    begin(0, 0);
    restore(1, 1, 0);
    restore(1, 2, 1);
    restore(2, 3, 1);
    end_with("1 1 2");
    begin(0, 0); // a hole
    restore(1, 1, 0);
    restore(1, 3, 1);
    end_with("1");
    begin(0, 0); // 3 follows an entry of term 2, not ours
    restore(1, 1, 0);
    restore(1, 2, 1);
    restore(3, 3, 2);
    end_with("1 1");
    begin(0, 0); // nothing fits the beginning
    restore(1, 2, 1);
    end_with("");
    begin(0, 0); // a term that falls
    restore(4, 1, 0);
    restore(3, 2, 4);
    end_with("4");
}

static void recovery_goes_by_file_order(void)
{
    begin(0, 0); // 2 replaced, what followed the old one is not a continuation of the new one
    restore(1, 1, 0);
    restore(1, 2, 1);
    restore(1, 3, 1);
    restore(2, 2, 1);
    end_with("1 2");
    begin(0, 0);
    restore(1, 1, 0);
    restore(1, 2, 1);
    raft_restore_truncate(node.raft, 2);
    restore(3, 2, 1);
    end_with("1 3");
    begin(0, 0); // cut and not refilled; a truncation of what is not there
    restore(1, 1, 0);
    restore(1, 2, 1);
    restore(1, 3, 1);
    raft_restore_truncate(node.raft, 2);
    raft_restore_truncate(node.raft, 9);
    restore(1, 4, 1);
    end_with("1");
}

static void recovery_starts_at_the_checkpoint(void)
{
    begin(2, 10);
    for (uint64_t index = 1; index <= 9; index++) {
        restore(1, index, 1); // covered
    }
    restore(2, 10, 1);
    restore(2, 11, 2);
    restore(3, 12, 2);
    raft_restore_end(node.raft, node.now_ns);
    raft_restore_commit(node.raft, 11);
    replica_collect(&node);
    CHECK_EQUAL(node.view.base, 10);
    CHECK_EQUAL(node.view.commit, 11);
    CHECK_EQUAL(node.effects.apply.first, 11);
    CHECK_EQUAL(node.effects.apply.last, 11);
    CHECK_EQUAL(raft_entry_at(node.raft, 12)->body, 1200);
    raft_restore_commit(node.raft, 999);
    replica_collect(&node);
    CHECK_EQUAL(node.view.commit, 12);
    replica_close(&node);
    begin(2, 10); // the log behind the checkpoint is of another history
    restore(1, 11, 1);
    raft_restore_truncate(node.raft, 4);
    restore(1, 11, 1);
    end_with("");
}

static void recovery_refuses_more_than_fits(void)
{
    begin(1, 1000);
    struct raft_entry_head head = {0};
    uint64_t capacity = node.config.log_entries;
    CHECK_EQUAL(
        raft_restore_entry(node.raft, (struct raft_entry_id){1, 1000 + capacity}, 1, &head, 0), 0);
    CHECK_EQUAL(
        raft_restore_entry(node.raft, (struct raft_entry_id){1, 1001 + capacity}, 1, &head, 0),
        -EOVERFLOW);
    end_with("");
}

// A durable entry that was written again: the late completion of the copy credits nobody but it,
// though another entry has its index by then.
static void the_completion_of_a_copy_credits_only_its_entry(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 1, (const uint64_t[]){1, 1, 0}, 0);
    uint32_t epoch = raft_entry_at(node.raft, 2)->epoch;
    CHECK_EQUAL(node.view.synced, 2);
    raft_entry_relocated(node.raft, 2, 77);
    CHECK_EQUAL(raft_entry_at(node.raft, 2)->body, 77);
    CHECK_EQUAL(node.view.synced, 2);
    struct raft_message append = replica_append(3, 2, (struct raft_entry_id){1, 1}, 2, 1, 0);
    replica_receive(&node, &append);
    CHECK_TEXT(replica_log(&node), "1 2");
    replica_synced(&node, 1, 2, epoch);
    CHECK_EQUAL(node.view.synced, 1);
    replica_close(&node);
}

// What waits beyond a hole is given up, and asked for again.
static void what_waits_beyond_a_hole_can_be_given_up(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 1, (const uint64_t[]){1, 1, 0}, 0);
    struct raft_message append = replica_append(2, 1, (struct raft_entry_id){1, 3}, 1, 2, 0);
    replica_receive(&node, &append);
    CHECK_EQUAL(node.view.held, 5);
    raft_forget_beyond_hole(node.raft);
    CHECK(raft_entry_at(node.raft, 4) == NULL);
    replica_settle(&node);
    CHECK_EQUAL(node.view.held, 2);
    append = replica_append(2, 1, (struct raft_entry_id){1, 2}, 1, 3, 5);
    replica_receive(&node, &append);
    replica_settle(&node);
    CHECK_EQUAL(node.view.synced, 5);
    raft_check_invariants(node.raft);
    replica_close(&node);
}

// Slots are used again lap after lap, and after a restart: a hole was asked for when its log says
// so, not when an entry that lay there had as many bytes.
static void holes_show_nothing_of_what_lay_there(void)
{
    struct raft_log *log = &log_under_test;
    struct raft_entry_head head = {.bytes = 1};
    start(1);
    log_hold(log, 3, 1, 1, &head);
    struct raft_entry_id id = {.term = 1, .index = 6};
    CHECK_EQUAL(log_restore(log, id, 1, &head, 0), 0);
    const uint64_t holes[] = {1, 2, 4, 5};
    for (size_t at = 0; at < TEST_COUNT(holes); at++) {
        const struct raft_entry *hole = log_slot(log, holes[at]);
        CHECK(!hole->is_held && !hole->is_placed && !hole->is_durable);
        CHECK_EQUAL(hole->asked_ns, 0);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(random_changes_match_a_slow_twin),
        TEST(questions_by_term_match_a_slow_search),
        TEST(recovery_keeps_the_longest_chain),
        TEST(recovery_goes_by_file_order),
        TEST(recovery_starts_at_the_checkpoint),
        TEST(recovery_refuses_more_than_fits),
        TEST(the_completion_of_a_copy_credits_only_its_entry),
        TEST(what_waits_beyond_a_hole_can_be_given_up),
        TEST(holes_show_nothing_of_what_lay_there),
    };
    return test_run("core log", cases, TEST_COUNT(cases), argc, argv);
}
