// Parallel groups, one rule a test: what a candidate makes of the reports it is given, and what a
// leader waits for before it serves (engine/README.md, "Parallel groups", 2 and 4; the decision
// table of the merge: test_merge.c, and what is fetched for it: test_fetch.c).
#include "tests/harness/harness.h"

#include "engine/core/parallel.h"
#include "tests/unit/core/member.h"

// --- the merge ---

// Entries 1, 2 and 4 in the service of term 3; 3 is a hole.
static void follow_with_a_hole(void)
{
    member_follow(3, 2);
    member_receive(member_append(2, 3, 4, 1, 0, 0));
    replica_settle(&member);
    CHECK_EQUAL(member.view.held, 4);
}

// "Entries of all others are ignored": whatever it holds there, it says no to what was served
// since.
static void a_report_of_an_older_log_is_a_nack_and_no_more(void)
{
    member_open(3);
    follow_with_a_hole();
    member_stand();
    struct raft_report report = {.sync_term = 1, .floor = 5, .first = 6, .last = 5};
    member_receive(member_reported(2, member.view.term, report));
    replica_settle(&member);
    CHECK_EQUAL(member.view.sync_term, 4);
    CHECK_EQUAL(member.view.sync_end, 4);
    CHECK_EQUAL(raft_entry_at(member.raft, 3)->head.kind, RAFT_ENTRY_NOOP);
    member_close();
}

static void what_is_committed_never_becomes_a_noop(void)
{
    member_open(3);
    follow_with_a_hole();
    member_stand();
    struct raft_report report = {.sync_term = 3, .commit = 3, .floor = 2, .first = 3, .last = 2};
    member_receive(member_reported(2, member.view.term, report));
    replica_settle(&member);
    CHECK_EQUAL(member.view.sync_term, 3); // both say no, and one of them that it is committed
    member_close();
}

static void what_may_be_committed_is_waited_for(void)
{
    member_open(3);
    member_follow(3, 2);
    member_stand();
    struct raft_report report = {.sync_term = 3, .commit = 3, .floor = 2, .first = 3, .last = 2};
    member_receive(member_reported(2, member.view.term, report));
    replica_settle(&member);
    CHECK_EQUAL(member.view.sync_term, 3); // 3 is committed, and nobody here has it
    report = (struct raft_report){.sync_term = 3, .commit = 3, .floor = 3, .first = 4, .last = 3};
    member_receive(member_reported(3, member.view.term, report));
    replica_collect(&member);
    CHECK(replica_sent(&member, RAFT_MSG_FETCH, 3) != NULL);
    member_close();
}

// --- the install of its peers ---

// Leads, has installed entries 1 to 20 of ten bytes, and serves nobody yet. Some of them are
// applied.
static void install_twenty(uint64_t applied)
{
    struct raft_range range;
    member_open(3);
    member_follow(1, 20);
    member_receive(member_append(2, 1, 21, 0, 0, applied));
    while (raft_apply_take(member.raft, 64, &range)) {
        member_applied(range.first, range.last);
    }
    member_stand();
    struct raft_report report = {.sync_term = 1, .floor = 2, .first = 3, .last = 2};
    member_receive(member_reported(2, member.view.term, report));
    replica_settle(&member);
    CHECK_EQUAL(member.view.sync_term, 2);
    replica_collect(&member);
}

// A peer that installs misses these, besides `match`. What is sent to it then.
static const char *miss(uint64_t match, uint64_t first, uint64_t last, uint64_t step)
{
    struct raft_message message = member_ack(2, match);
    message.append_reply.is_installed = false;
    for (uint64_t index = first; index <= last; index += step) {
        bitmap_set(message.append_reply.missing, index - match - 1);
        message.append_reply.missing_count = (uint32_t)(index - match);
    }
    member_receive(message);
    replica_collect(&member);
    return member_sends(2);
}

static void what_a_peer_misses_is_sent_at_once(void)
{
    install_twenty(0);
    CHECK_TEXT(miss(0, 1, 19, 3), "1 4 7 10 13 16 19");
    CHECK_EQUAL(member.effects.send_count, 1);
    replica_collect(&member);
    CHECK_TEXT(member_sends(2), "");
    CHECK_TEXT(miss(3, 7, 9, 1), "7-9");
    CHECK_TEXT(miss(9, 20, 19, 1), "");
    member_close();
}

static void what_a_peer_misses_goes_through_the_window(void)
{
    install_twenty(0);
    member.raft->config.window_entries = 8;
    CHECK_TEXT(miss(0, 2, 20, 3), "2 5 8");
    replica_collect(&member);
    CHECK_TEXT(member_sends(2), "");
    CHECK_TEXT(miss(4, 1, 0, 1), "11");
    CHECK_TEXT(miss(12, 1, 0, 1), "14 17 20");
    member.raft->config.window_entries = 64;
    member.raft->config.window_bytes = 45;
    CHECK_TEXT(miss(12, 14, 20, 2), "14 16");
    member.raft->config.window_bytes = 1;
    CHECK_TEXT(miss(13, 14, 20, 2), "14"); // one, whatever its size
    member_close();
}

// The stream does not begin there anew.
static void what_a_peer_misses_goes_on_where_frames_ran_out(void)
{
    install_twenty(0);
    CHECK_TEXT(miss(0, 2, 11, 3), "2 5 8 11");
    struct raft_input unsent = {.kind = RAFT_IN_UNSENT, .unsent = {.peer = 2, .index = 8}};
    replica_step(&member, &unsent);
    replica_collect(&member);
    CHECK_TEXT(member_sends(2), "8 11");
    replica_collect(&member);
    CHECK_TEXT(member_sends(2), "");
    member_close();
}

static void a_peer_that_misses_what_is_trimmed_is_given_a_checkpoint(void)
{
    install_twenty(10);
    raft_trim(member.raft, 8);
    CHECK_TEXT(miss(3, 9, 11, 2), "9 11");
    CHECK_EQUAL(member.effects.snapshot_peers, 0);
    CHECK_TEXT(miss(3, 8, 10, 2), "");
    CHECK_EQUAL(member.effects.snapshot_peers, 1U << 1);
    member_close();
}

// --- the barrier ---

static void nothing_is_committed_or_taken_before_a_majority_has_installed(void)
{
    member_open(3);
    member_follow(1, 3);
    member_stand();
    struct raft_report report = {.sync_term = 1, .floor = 3, .first = 4, .last = 3};
    member_receive(member_reported(2, member.view.term, report));
    replica_settle(&member);
    CHECK_EQUAL(member.view.sync_term, 2);
    CHECK_EQUAL(member.view.commit, 0);
    CHECK_EQUAL(replica_propose(&member, 1), RAFT_BUSY);
    struct raft_message ack = member_ack(2, 3);
    ack.append_reply.is_installed = false;
    member_receive(ack);
    CHECK_EQUAL(member.view.commit, 0);
    member_receive(member_ack(2, 3));
    CHECK_EQUAL(member.view.commit, 3);
    CHECK_EQUAL(replica_propose(&member, 1), RAFT_OK);
    member_close();
}

static void a_node_without_its_log_does_not_count(void)
{
    member_open(3);
    member_stand();
    member_receive(member_reported(2, member.view.term, (struct raft_report){.first = 1}));
    replica_settle(&member);
    struct raft_message ack = member_ack(3, 0);
    ack.intact = false;
    member_receive(ack);
    CHECK(!order_knows_commit(member.raft));
    member_receive(member_ack(2, 0));
    CHECK(order_knows_commit(member.raft));
    member_close();
}

// It restarted, and may have lost what it acknowledged.
static void acknowledgements_of_a_former_boot_are_forgotten(void)
{
    member_open(5);
    member_stand();
    member_receive(member_reported(2, member.view.term, (struct raft_report){.first = 1}));
    member_receive(member_reported(3, member.view.term, (struct raft_report){.first = 1}));
    replica_settle(&member);
    member_receive(member_ack(2, 0));
    member_receive(member_ack(3, 0));
    member_propose(0, 0, 0);
    replica_settle(&member);
    member_receive(member_ack(2, 1));
    struct raft_message news = member_ack(2, 0);
    news.boot = 2;
    news.intact = false;
    member_receive(news);
    member_receive(member_ack(3, 1));
    CHECK_EQUAL(member.view.commit, 0);
    member_receive(member_ack(4, 1));
    CHECK_EQUAL(member.view.commit, 1);
    member_close();
}

// A checkpoint that became durable when its node led already.
static void a_checkpoint_ends_a_leadership(void)
{
    member_open(3);
    member_lead();
    member_propose(0, 0, 0);
    member_propose(10, 0, 0);
    member_ack_one(2, 0, 2);
    replica_settle(&member);
    struct raft_input installed = {.kind = RAFT_IN_INSTALLED, .installed = {1, 1}};
    replica_step(&member, &installed);
    CHECK_EQUAL(member.view.role, RAFT_FOLLOWER);
    replica_collect(&member);
    member_close();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(a_report_of_an_older_log_is_a_nack_and_no_more),
        TEST(what_is_committed_never_becomes_a_noop),
        TEST(what_may_be_committed_is_waited_for),
        TEST(what_a_peer_misses_is_sent_at_once),
        TEST(what_a_peer_misses_goes_through_the_window),
        TEST(what_a_peer_misses_goes_on_where_frames_ran_out),
        TEST(a_peer_that_misses_what_is_trimmed_is_given_a_checkpoint),
        TEST(nothing_is_committed_or_taken_before_a_majority_has_installed),
        TEST(a_node_without_its_log_does_not_count),
        TEST(acknowledgements_of_a_former_boot_are_forgotten),
        TEST(a_checkpoint_ends_a_leadership)};
    return test_run("core takeover", cases, TEST_COUNT(cases), argc, argv);
}
