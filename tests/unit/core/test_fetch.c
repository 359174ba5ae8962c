// Parallel groups: how the winner of an election comes to the entries that it lacks, and how those
// that have them answer (engine/README.md, "Parallel groups", 2).
#include "tests/harness/harness.h"

#include "engine/core/parallel.h"
#include "tests/unit/core/member.h"

#include <inttypes.h>
#include <stdio.h>

// --- the winner ---

// Entries 1 and 2 are here; of the others, up to `last`, the peers 2..1 + `sources` report all with
// an even index, or all, and the rest is nowhere.
static void lack(uint32_t voters, uint32_t sources, uint64_t last, uint32_t step)
{
    member_configure(voters);
    member.config.log_entries = 4096;
    member.config.window_entries = 2048;
    member.config.span_entries = RAFT_WINDOW_MAX;
    member.config.heartbeat_ns = 8 * REPLICA_MS;
    member.config.election_timeout_min_ns = 50 * REPLICA_MS;
    member.config.election_timeout_max_ns = 60 * REPLICA_MS;
    replica_start(&member);
    member_follow(1, 2);
    member.now_ns += 20 * REPLICA_MS;
    member_stand();
    struct raft_report report = {.sync_term = 1, .floor = 2, .first = 3, .last = last};
    for (uint64_t index = last; index >= 4; index -= step) {
        bitmap_set(report.present, index - report.first);
    }
    for (uint16_t from = 2; from < 2 + sources; from++) {
        member_receive(member_reported(from, member.view.term, report));
    }
    replica_collect(&member);
}

static const struct raft_fetch *fetch_of(uint16_t from)
{
    const struct raft_message *message = replica_sent(&member, RAFT_MSG_FETCH, from);
    return message == NULL ? NULL : &message->fetch;
}

static uint64_t wanted_count(const struct raft_fetch *fetch)
{
    return bitmap_count(fetch->wanted.bits, 0, fetch->wanted.count);
}

// Whoever is asked, and by what number.
static uint16_t find_asked(uint64_t *number)
{
    for (uint16_t from = 2; from <= member.config.voter_count; from++) {
        if (fetch_of(from) != NULL) {
            *number = fetch_of(from)->number;
            return from;
        }
    }
    return 0;
}

// One entry of the answer to an asking, which ends at `end`.
static void supply(uint16_t from, uint64_t number, uint64_t index, uint64_t end)
{
    struct raft_message message = member_message(
        replica_append(from, member.view.term, (struct raft_entry_id){.index = index - 1},
                       member.view.term, 1, 0));
    message.append.is_supply = true;
    message.append.round = number;
    message.append.sync_end = end;
    member_receive(message);
}

static void wait_ms(uint64_t ms)
{
    replica_tick(&member, ms * REPLICA_MS);
    replica_collect(&member);
}

// However many holes there are.
static void a_merge_asks_for_all_holes_at_once(void)
{
    lack(3, 1, 2050, 2);
    const struct raft_fetch *fetch = fetch_of(2);
    CHECK(fetch != NULL);
    uint64_t number = fetch->number;
    CHECK_EQUAL(fetch->wanted.first, 4);
    CHECK_EQUAL(wanted_count(fetch), 1024);
    for (uint64_t index = 4; index <= 2050; index += 2) {
        CHECK_EQUAL(member.view.sync_term, 1);
        replica_collect(&member);
        CHECK(fetch_of(2) == NULL); // not while one is under way
        supply(2, number, index, 2050);
        CHECK_EQUAL(member.outcome, RAFT_OK);
    }
    replica_settle(&member);
    CHECK(fetch_of(2) == NULL);
    CHECK_EQUAL(member.view.sync_term, 2);
    CHECK_EQUAL(member.view.sync_end, 2050);
    CHECK_EQUAL(raft_entry_at(member.raft, 5)->head.kind, RAFT_ENTRY_NOOP);
    member_close();
}

static void no_more_is_asked_for_than_the_window_takes(void)
{
    lack(3, 1, 300, 1);
    CHECK_EQUAL(wanted_count(fetch_of(2)), 297);
    member_close();
    lack(3, 1, 2050, 1);
    CHECK_EQUAL(wanted_count(fetch_of(2)), 2047);
    member.raft->config.window_entries = 100;
    wait_ms(2);
    CHECK_EQUAL(wanted_count(fetch_of(2)), 100);
    member_close();
}

// The question, or all of the answer, was lost: it is asked again, after a while that grows, for
// the source may only be far away.
static void a_lost_fetch_is_repeated(void)
{
    lack(3, 1, 20, 2);
    uint64_t number = fetch_of(2)->number;
    static const uint64_t silences_ms[] = {2, 4, 8, 16};
    for (uint32_t at = 0; at < 4; at++) {
        wait_ms(silences_ms[at] - 1);
        CHECK(fetch_of(2) == NULL);
        wait_ms(1);
        CHECK(fetch_of(2) != NULL);
        CHECK_EQUAL(fetch_of(2)->number, ++number);
        CHECK_EQUAL(wanted_count(fetch_of(2)), 9);
    }
    member_close();
}

// What did not come is asked for when nothing has come for a while, and that alone.
static void a_lost_part_of_an_answer_is_asked_for_again(void)
{
    lack(3, 1, 20, 2);
    uint64_t number = fetch_of(2)->number;
    for (uint64_t index = 4; index <= 20; index += 2) {
        if (index != 6 && index != 18) {
            supply(2, number, index, 20);
            wait_ms(1);
        }
        CHECK(fetch_of(2) == NULL);
    }
    wait_ms(1);
    CHECK(fetch_of(2) != NULL);
    CHECK_EQUAL(fetch_of(2)->wanted.first, 6);
    CHECK_EQUAL(fetch_of(2)->wanted.count, 13);
    CHECK_EQUAL(wanted_count(fetch_of(2)), 2);
    number = fetch_of(2)->number;
    supply(2, number, 6, 18);
    supply(2, number, 18, 18);
    replica_settle(&member);
    CHECK_EQUAL(member.view.sync_end, 20);
    member_close();
}

// Large entries on a slow link: silence twice as long as between two that came is none.
static void a_slow_answer_is_waited_for(void)
{
    lack(3, 1, 20, 2);
    uint64_t number = fetch_of(2)->number;
    replica_tick(&member, 5 * REPLICA_MS); // (a step later than it was due: not asked again yet)
    supply(2, number, 4, 20);
    for (uint64_t index = 6; index < 20; index += 2) {
        for (uint64_t ms = 0; ms < 9; ms++) {
            wait_ms(1);
            CHECK(fetch_of(2) == NULL);
        }
        supply(2, number, index, 20);
    }
    wait_ms(18);
    CHECK(fetch_of(2) != NULL);
    CHECK_EQUAL(wanted_count(fetch_of(2)), 1);
    member_close();
}

// The answer ends before what was asked for: the rest is asked for when its part is here, and not
// when it would be overdue.
static void what_an_answer_leaves_out_is_asked_for_at_once(void)
{
    lack(3, 1, 20, 2);
    uint64_t number = fetch_of(2)->number;
    supply(2, number, 8, 8);
    supply(2, number, 6, 8);
    replica_collect(&member);
    CHECK(fetch_of(2) == NULL);
    supply(2, number, 4, 8);
    replica_collect(&member);
    CHECK(fetch_of(2) != NULL);
    CHECK_EQUAL(fetch_of(2)->wanted.first, 10);
    CHECK_EQUAL(wanted_count(fetch_of(2)), 6);
    member_close();
}

// Its entries are as good as any, but where it ends says nothing of the answer that is under way.
static void an_answer_to_an_older_asking_brings_entries_only(void)
{
    lack(3, 1, 20, 2);
    uint64_t number = fetch_of(2)->number;
    wait_ms(2);
    CHECK_EQUAL(fetch_of(2)->number, number + 1);
    supply(2, number, 4, 4);
    CHECK_EQUAL(member.outcome, RAFT_OK);
    replica_collect(&member);
    CHECK(fetch_of(2) == NULL);
    supply(2, number, 4, 4);
    CHECK_EQUAL(member.outcome, RAFT_DUPLICATE);
    for (uint64_t index = 6; index <= 20; index += 2) {
        replica_collect(&member);
        CHECK(fetch_of(2) == NULL);
        supply(2, number + 1, index, 20);
    }
    replica_settle(&member);
    CHECK_EQUAL(member.view.sync_end, 20);
    member_close();
}

// Nothing is taken from another term, from one that did not report it, or that was not asked for.
static void an_answer_brings_nothing_that_was_not_reported(void)
{
    lack(5, 2, 20, 2);
    uint64_t number = 0;
    CHECK(find_asked(&number) != 0);
    struct raft_message late = member_message(
        replica_append(2, member.view.term - 1, (struct raft_entry_id){.index = 3}, 1, 1, 0));
    late.append.is_supply = true;
    late.append.round = number;
    late.append.sync_end = 20;
    member_receive(late);
    CHECK(member.accept.range.last < member.accept.range.first);
    supply(4, number, 4, 20); // it did not report
    CHECK_EQUAL(member.outcome, RAFT_DUPLICATE);
    supply(2, number, 21, 21); // beyond the log
    CHECK_EQUAL(member.outcome, RAFT_DUPLICATE);
    supply(2, number, 5, 20); // nobody has it
    CHECK_EQUAL(member.outcome, RAFT_DUPLICATE);
    CHECK(!log_has(&member.raft->parallel->staged, 4));
    member_close();
}

// The other source has it all, too, and is asked when this one has kept silent once: whoever would
// have its turn then.
static void a_source_that_dies_midway_is_replaced(void)
{
    for (uint64_t round = 0; round < 200; round++) {
        uint64_t number = 0;
        lack(5, 2, 20, 2);
        uint16_t dying = find_asked(&number), other = (uint16_t)(5 - dying);
        CHECK(dying == 2 || dying == 3);
        CHECK(fetch_of(other) == NULL);
        supply(dying, number, 4, 20);
        member.raft->random_state += round;
        uint32_t askings = 0;
        for (uint64_t ms = 0; fetch_of(other) == NULL; ms++) {
            CHECK(ms < 20);
            wait_ms(1);
            askings += fetch_of(dying) != NULL;
        }
        CHECK(fetch_of(dying) == NULL);
        CHECK(askings <= 1);
        CHECK_EQUAL(wanted_count(fetch_of(other)), 8);
        wait_ms(4); // both silent: they take turns
        CHECK(find_asked(&number) != 0);
        member_close();
    }
}

// --- a source ---

// Has reported entries 1..20 to node 3, the candidate of term 2. Some of them are applied.
static void report_to_the_winner(uint64_t applied)
{
    struct raft_range range;
    uint64_t last = 20;
    member_open(3);
    member_follow(1, last);
    member_receive(member_append(2, 1, last + 1, 0, 0, applied));
    while (raft_apply_take(member.raft, 64, &range)) {
        const struct raft_input input = {
            .kind = RAFT_IN_APPLIED, .applied_first = range.first, .applied = range.last};
        replica_step(&member, &input);
    }
    member.now_ns += 50 * REPLICA_MS;
    member_receive(
        member_message(replica_vote(RAFT_MSG_VOTE, 3, 2, (struct raft_entry_id){1, last})));
    replica_collect(&member);
    replica_sync_hard(&member);
}

static enum raft_outcome ask(uint64_t number, uint64_t first, uint64_t last, uint64_t step)
{
    struct raft_message message = member_message(replica_message(RAFT_MSG_FETCH, 3, 2));
    message.fetch.number = number;
    for (uint64_t index = first; index <= last; index += step) {
        raft_wanted_add(&message.fetch.wanted, index);
    }
    member_receive(message);
    return member.outcome;
}

// What goes out at the next collect, and where the answer ends: "4 6-8 | 9".
static const char *answer(void)
{
    static char text[256];
    struct raft_message header = {0};
    replica_collect(&member);
    const char *entries = member_sends(3);
    CHECK_EQUAL(member.effects.send_count, entries[0] != '\0');
    if (entries[0] == '\0') {
        return "";
    }
    raft_append_header(member.raft, 3, member.effects.sends[0].range.first, &header);
    CHECK(header.append.is_supply);
    snprintf(text, sizeof(text), "%s | %" PRIu64, entries, header.append.sync_end);
    return text;
}

static void a_source_sends_what_is_wanted(void)
{
    report_to_the_winner(0);
    CHECK_EQUAL(ask(1, 4, 16, 3), RAFT_OK);
    CHECK_TEXT(answer(), "4 7 10 13 16 | 16");
    CHECK_TEXT(answer(), "");
    CHECK_EQUAL(ask(2, 18, 25, 1), RAFT_OK); // more than there is
    CHECK_TEXT(answer(), "18-20 | 25");
    CHECK_EQUAL(ask(3, 30, 40, 2), RAFT_OK);
    CHECK_TEXT(answer(), "");
    member_close();
}

// A frame that came twice, or late, does not send everything again.
static void a_source_answers_an_asking_once(void)
{
    report_to_the_winner(0);
    CHECK_EQUAL(ask(2, 4, 6, 1), RAFT_OK);
    CHECK_TEXT(answer(), "4-6 | 6");
    CHECK_EQUAL(ask(2, 4, 6, 1), RAFT_STALE);
    CHECK_EQUAL(ask(1, 3, 9, 1), RAFT_STALE);
    CHECK_TEXT(answer(), "");
    CHECK_EQUAL(ask(3, 5, 5, 1), RAFT_OK);
    CHECK_TEXT(answer(), "5 | 5");
    member_close();
}

// In flight at once: what the windows let through, but never nothing.
static void an_answer_ends_with_the_window(void)
{
    report_to_the_winner(0);
    member.raft->config.window_entries = 3;
    CHECK_EQUAL(ask(1, 2, 20, 2), RAFT_OK);
    CHECK_TEXT(answer(), "2 4 6 | 7");
    member.raft->config.window_entries = 64;
    member.raft->config.window_bytes = 45; // of ten each
    CHECK_EQUAL(ask(2, 8, 20, 2), RAFT_OK);
    CHECK_TEXT(answer(), "8 10 12 14 | 15");
    member.raft->config.window_bytes = 1;
    CHECK_EQUAL(ask(3, 16, 20, 2), RAFT_OK);
    CHECK_TEXT(answer(), "16 | 17");
    member_close();
}

// Frames ran out: the rest follows with the next collect, and no more than that.
static void an_answer_goes_on_where_frames_ran_out(void)
{
    report_to_the_winner(0);
    CHECK_EQUAL(ask(1, 4, 16, 3), RAFT_OK);
    CHECK_TEXT(answer(), "4 7 10 13 16 | 16");
    struct raft_input unsent = {.kind = RAFT_IN_UNSENT, .unsent = {.peer = 3, .index = 10}};
    replica_step(&member, &unsent);
    CHECK_TEXT(answer(), "10 13 16 | 16");
    CHECK_TEXT(answer(), "");
    unsent.unsent.peer = 2;
    replica_step(&member, &unsent);
    CHECK_TEXT(answer(), "");
    member_close();
}

// Once the log of the term is being installed the winner has everything.
static void an_answer_ends_with_the_install(void)
{
    report_to_the_winner(0);
    CHECK_EQUAL(ask(1, 4, 16, 3), RAFT_OK);
    member_receive(member_append(3, 2, 21, 0, 25, 0));
    CHECK(member.raft->parallel->is_staging);
    CHECK_TEXT(answer(), "");
    CHECK_EQUAL(ask(2, 4, 16, 3), RAFT_IGNORED);
    member_close();
}

// What was applied and trimmed meanwhile is not in the log any more.
static void an_answer_leaves_out_what_was_trimmed(void)
{
    report_to_the_winner(7);
    CHECK_EQUAL(ask(1, 4, 16, 3), RAFT_OK);
    raft_trim(member.raft, 7);
    CHECK_TEXT(answer(), "10 13 16 | 16");
    member_close();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(a_merge_asks_for_all_holes_at_once),
                                             TEST(no_more_is_asked_for_than_the_window_takes),
                                             TEST(a_lost_fetch_is_repeated),
                                             TEST(a_lost_part_of_an_answer_is_asked_for_again),
                                             TEST(a_slow_answer_is_waited_for),
                                             TEST(what_an_answer_leaves_out_is_asked_for_at_once),
                                             TEST(an_answer_to_an_older_asking_brings_entries_only),
                                             TEST(an_answer_brings_nothing_that_was_not_reported),
                                             TEST(a_source_that_dies_midway_is_replaced),
                                             TEST(a_source_sends_what_is_wanted),
                                             TEST(a_source_answers_an_asking_once),
                                             TEST(an_answer_ends_with_the_window),
                                             TEST(an_answer_goes_on_where_frames_ran_out),
                                             TEST(an_answer_ends_with_the_install),
                                             TEST(an_answer_leaves_out_what_was_trimmed)};
    return test_run("core fetch", cases, TEST_COUNT(cases), argc, argv);
}
