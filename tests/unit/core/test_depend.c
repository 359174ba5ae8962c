// Parallel groups, one rule a test: what the leader makes an entry depend on, and that it is
// committed no earlier than that (engine/README.md, "Parallel groups", 5, 6 and 8; what followers
// make of it: test_holes.c).
#include "tests/harness/harness.h"

#include "engine/core/parallel.h"
#include "tests/unit/core/member.h"

static void conflicts_commit_in_order_and_others_in_any(void)
{
    member_open(3);
    member_lead();
    member_propose(0, 0, 0);  // 1
    member_propose(2, 0, 0);  // 2 conflicts with 1
    member_propose(50, 0, 0); // 3
    replica_settle(&member);
    CHECK_EQUAL(member.view.commit, 0);
    member_ack_one(2, 0, 2);
    CHECK_EQUAL(member.view.commit_high, 0);
    member_ack_one(2, 0, 3);
    CHECK_EQUAL(member.view.commit_high, 3);
    CHECK_TEXT(member_given(), "3");
    member_receive(member_ack(2, 1));
    CHECK_EQUAL(member.view.commit, 3);
    CHECK_TEXT(member_given(), "1-2");
    member_close();
}

static void a_registration_waits_for_all_and_all_wait_for_it(void)
{
    member_open(3);
    member_lead();
    member_propose(0, 7, 1);
    member_propose_kind(RAFT_ENTRY_REGISTER, 50, 9, 1024); // though it comes with a footprint
    member_propose(90, 8, 1);
    CHECK_EQUAL(depends_on(member.raft, 2), 1);
    CHECK_EQUAL(depends_on(member.raft, 3), 2);
    member_close();
}

static void a_retry_depends_on_its_first_copy(void)
{
    member_open(3);
    member_lead();
    member_propose(0, 7, 5);
    member_propose(50, 7, 5); // whatever it says that it touches
    member_propose(90, 7, 6);
    CHECK_EQUAL(depends_on(member.raft, 2), 1);
    CHECK_EQUAL(depends_on(member.raft, 3), 0);
    member_close();
}

// Half of any session's window: the last two spans of 256 sequences. Beyond that order is kept.
static void commands_of_one_client_in_either_order_lie_within_a_window(void)
{
    member_open(3);
    member_lead();
    enum { SPAN = PARALLEL_SEQUENCES_MAX / 2 };
    member_propose(0, 7, 100);
    member_propose(10, 7, 100 + SPAN);       // the second span begins
    member_propose(20, 7, 99 + 2 * SPAN);    // its last
    member_propose(30, 7, 100 + 2 * SPAN);   // the third: behind those of the first
    member_propose(40, 8, 1);                // another client's
    member_propose(50, 7, 99);               // far back: behind all of its client
    member_propose(60, 7, 101 + 2 * SPAN);   // ... and later ones behind it
    member_propose(70, 7, 100 + 100 * SPAN); // far ahead: likewise
    member_propose(80, 7, 101 + 100 * SPAN);
    member_propose(90, 7, 100 + 101 * SPAN);
    static const uint64_t expected[] = {0, 0, 0, 0, 1, 0, 4, 6, 7, 7, 7};
    for (uint64_t index = 1; index < 11; index++) {
        CHECK_EQUAL(depends_on(member.raft, index), expected[index]);
    }
    member_close();
}

// A follower may not have what is applied here.
static void an_entry_depends_on_what_is_applied_too(void)
{
    member_open(3);
    member_lead();
    member_propose(0, 7, 1);
    replica_settle(&member);
    member_receive(member_ack(2, 1));
    CHECK_TEXT(member_given(), "1");
    member_applied(1, 1);
    CHECK_EQUAL(member.view.applied, 1);
    member_propose(0, 8, 1);
    CHECK_EQUAL(depends_on(member.raft, 2), 1);
    member_propose(50, 7, 1); // a retry of it
    CHECK_EQUAL(depends_on(member.raft, 3), 1);
    uint16_t distances[2];
    raft_distances(member.raft, 2, 2, distances);
    CHECK_EQUAL(distances[0], 1);
    CHECK_EQUAL(distances[1], 2);
    member_close();
}

// Nothing is remembered, nor told, of what is a window back: it comes first.
static void an_entry_depends_on_everything_a_window_back(void)
{
    member_open(3);
    member_lead();
    for (uint64_t index = 1; index <= 100; index++) {
        member_propose(1000 + 10 * index, 1 + index, 1);
        CHECK_EQUAL(member.view.last, index);
        uint64_t reach =
            index > member.config.span_entries ? index - member.config.span_entries : 0;
        CHECK_EQUAL(depends_on(member.raft, index), reach);
        replica_settle(&member);
        member_receive(member_ack(2, index));
        CHECK(member_gives(index, index));
        member_applied(index, index);
    }
    uint32_t known = 0;
    for (uint32_t at = 0; at < PARALLEL_CLIENTS_MAX; at++) {
        known += member.raft->parallel->clients[at].client != 0;
    }
    CHECK_EQUAL(known, member.config.span_entries);
    member_close();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(conflicts_commit_in_order_and_others_in_any),
        TEST(a_registration_waits_for_all_and_all_wait_for_it),
        TEST(a_retry_depends_on_its_first_copy),
        TEST(commands_of_one_client_in_either_order_lie_within_a_window),
        TEST(an_entry_depends_on_what_is_applied_too),
        TEST(an_entry_depends_on_everything_a_window_back)};
    return test_run("core depend", cases, TEST_COUNT(cases), argc, argv);
}
