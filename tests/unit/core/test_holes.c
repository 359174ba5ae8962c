// Parallel groups: what a follower acknowledges and applies beyond a hole of its log, one rule a
// test (engine/README.md, "Parallel groups"; what a leader makes an entry depend on:
// test_depend.c).
#include "tests/harness/harness.h"

#include "engine/core/parallel.h"
#include "tests/unit/core/member.h"

static void follow(uint64_t term, uint64_t end)
{
    member_receive(member_append(2, term, end + 1, 0, end, 0));
    replica_settle(&member);
}

static void tell(uint64_t commit)
{
    member_receive(member_append(2, member.view.term, member.raft->parallel->sync_end + 1, 0,
                                 member.raft->parallel->sync_end, commit));
}

// One entry that depends on `depends_on`, in a group whose log begins with its term.
static void take(uint64_t index, uint64_t depends_on)
{
    uint16_t distance = (uint16_t)(index - depends_on);
    struct raft_message message =
        member_append(2, member.view.term, index, 1, 0, member.raft->leader_commit);
    message.append.distances = &distance;
    member_receive(message);
}

// Its log is 1 . 3 4 5: 4 depends on what is missing, the others on what is not.
static void lack_entry_2(void)
{
    follow(1, 0);
    take(1, 0);
    take(3, 1);
    take(4, 2);
    take(5, 0);
}

static void a_follower_acknowledges_beyond_a_hole(void)
{
    member_open(3);
    member_follow(1, 1);
    member_receive(member_append(2, 1, 3, 2, 0, 0));
    replica_settle(&member);
    const struct raft_message *reply = replica_sent(&member, RAFT_MSG_APPEND_REPLY, 2);
    CHECK(reply != NULL);
    CHECK_EQUAL(reply->append_reply.match, 1);
    CHECK_EQUAL(reply->append_reply.acked_count, 3);
    CHECK_EQUAL(reply->append_reply.acked[0], 6);
    // The floor is told; the hole keeps it from being ours.
    member_receive(member_append(2, 1, 5, 0, 0, 4));
    CHECK_EQUAL(member.view.commit, 1);
    CHECK_EQUAL(member.view.commit_told, 4);
    member_close();
}

static void what_does_not_depend_on_a_hole_is_applied_beyond_it(void)
{
    member_open(3);
    lack_entry_2();
    CHECK_TEXT(member_given(), ""); // nothing is known to be committed
    tell(5);
    CHECK_EQUAL(member.view.commit, 1);
    CHECK_EQUAL(member.view.commit_high, 5);
    CHECK_TEXT(member_given(), "1 3 5");
    take(2, 0);
    CHECK_EQUAL(member.view.commit, 5);
    CHECK_TEXT(member_given(), "2 4"); // before what depends on it
    member_close();
}

static void nothing_above_the_floor_told_is_applied(void)
{
    member_open(3);
    lack_entry_2();
    tell(3);
    CHECK_TEXT(member_given(), "1 3");
    take(6, 0);
    tell(5);
    CHECK_TEXT(member_given(), "5");
    take(7, 0); // the floor was known before it came
    tell(7);
    CHECK_TEXT(member_given(), "6-7");
    member_close();
}

static void an_entry_that_comes_below_the_floor_told_is_applied_at_once(void)
{
    member_open(3);
    follow(1, 0);
    take(1, 0);
    tell(5);
    CHECK_TEXT(member_given(), "1");
    take(4, 1);
    CHECK_TEXT(member_given(), "4");
    take(3, 1);
    CHECK_TEXT(member_given(), "3");
    take(5, 3); // 3 is applied; only what has no hole below it counts
    CHECK_TEXT(member_given(), "");
    take(2, 1);
    CHECK_TEXT(member_given(), "2 5");
    member_close();
}

static void a_chain_beyond_a_hole_waits_for_it(void)
{
    member_open(3);
    follow(1, 0);
    take(1, 0);
    take(3, 1);
    take(4, 3);
    take(5, 4);
    tell(5);
    CHECK_TEXT(member_given(), "1 3");
    take(2, 1);
    CHECK_TEXT(member_given(), "2 4-5");
    member_close();
}

static void each_hole_that_closes_lets_go_what_waited_for_it(void)
{
    member_open(3);
    follow(1, 0);
    take(1, 0);
    take(3, 2); // waits for the first hole,
    take(5, 2);
    take(6, 4); // for the second
    tell(6);
    CHECK_TEXT(member_given(), "1");
    take(2, 1);
    CHECK_TEXT(member_given(), "2-3 5");
    take(4, 0);
    CHECK_TEXT(member_given(), "4 6");
    member_close();
}

// Who does not say what its entries depend on means: on everything.
static void without_a_number_entries_are_applied_in_order(void)
{
    member_open(3);
    follow(1, 0);
    take(1, 0);
    member_receive(member_append(2, 1, 3, 2, 0, 4));
    CHECK_TEXT(member_given(), "1");
    member_close();
}

static void open_look_behind(uint32_t entries)
{
    member_configure(3);
    member.config.look_behind = entries;
    replica_start(&member);
}

// With footprints of N = 2 entries before it in each, two missing ones in a row are known from the
// one behind them; of three the first is not.
static void a_look_behind_reaches_over_as_many_as_it_has(void)
{
    open_look_behind(2);
    follow(1, 0);
    take(1, 0);
    take(4, 1);
    take(8, 1);
    tell(8);
    CHECK_TEXT(member_given(), "1 4"); // over 2 and 3
    take(6, 1);                        // over 5; and now 7 is the only one missing before 8
    CHECK_TEXT(member_given(), "6 8");
    member_close();
}

// ... and it needs to say nothing of what is applied; what is there and was not applied counts as
// in the other mode.
static void a_look_behind_does_not_reach_over_a_dependency(void)
{
    open_look_behind(2);
    follow(1, 0);
    take(1, 0);
    take(3, 2);
    take(4, 1);
    tell(4);
    CHECK_TEXT(member_given(), "1 4");
    member_close();
}

// The leader's recovered log is applied in order, whatever is missing of it (a node that lost its
// entries, and is given them again).
static void an_installed_log_is_applied_in_order(void)
{
    member_configure(3);
    member.config.intact = false;
    member.config.hard_state = (struct raft_hard_state){.term = 2, .sync_term = 2, .sync_end = 4};
    replica_start(&member);
    raft_restore_begin(member.raft, (struct raft_entry_id){0});
    raft_restore_end(member.raft, member.now_ns);
    member_receive(member_append(2, 2, 3, 2, 4, 5)); // 3 and 4
    uint16_t one = 1;
    struct raft_message message = member_append(2, 2, 5, 1, 4, 5);
    message.append.distances = &one;
    member_receive(message);
    CHECK_TEXT(member_given(), "");
    member_receive(member_append(2, 2, 1, 1, 4, 5));
    CHECK_TEXT(member_given(), "1");
    member_receive(member_append(2, 2, 2, 1, 4, 5));
    CHECK_TEXT(member_given(), "2-5");
    member_close();
}

static void restart_with(const uint64_t *indexes, uint64_t commit)
{
    member.config.hard_state = (struct raft_hard_state){.term = 1, .sync_term = 1};
    replica_start(&member);
    raft_restore_begin(member.raft, (struct raft_entry_id){0});
    const struct raft_entry_head head = {.client = 1, .sequence = 1, .kind = RAFT_ENTRY_COMMAND};
    for (; *indexes != 0; indexes++) {
        raft_restore_entry(member.raft, (struct raft_entry_id){.term = 1, .index = *indexes}, 0,
                           &head, *indexes);
    }
    raft_restore_end(member.raft, member.now_ns);
    raft_restore_commit(member.raft, commit);
    raft_check_invariants(member.raft);
    raft_view(member.raft, &member.view);
}

// What was applied beyond a hole is forgotten with the state machine, and so is what it depends on.
static void after_a_restart_what_is_found_is_applied_in_order(void)
{
    member_open(3);
    lack_entry_2();
    tell(5);
    CHECK(member_gives(1, 1));
    CHECK(member_gives(3, 3));
    member_applied(1, 1);
    member_applied(3, 3);
    static const uint64_t found[] = {1, 3, 4, 5, 0};
    restart_with(found, 5);
    CHECK_TEXT(member_given(), "1");
    follow(1, 0); // the same leader, which sends what is missing, and more
    tell(7);
    CHECK_TEXT(member_given(), "");
    take(7, 1);
    CHECK_TEXT(member_given(), "7");
    take(2, 1);
    CHECK_TEXT(member_given(), "2-5");
    take(6, 1);
    CHECK_TEXT(member_given(), "6");
    member_close();
}

// The next leader's log has what was applied; it is not applied again.
static void after_an_install_nothing_is_applied_twice(void)
{
    member_open(3);
    lack_entry_2();
    tell(5);
    replica_settle(&member);
    CHECK_TEXT(member_given(), "1 3 5");
    member_applied(1, 1);
    member_applied(3, 3);
    member_applied(5, 5);
    follow(2, 6);
    CHECK_EQUAL(member.view.sync_term, 1); // it lacks most of it
    member_receive(member_append(2, 2, 2, 5, 6, 6));
    replica_settle(&member);
    CHECK_EQUAL(member.view.sync_term, 2);
    CHECK_TEXT(member_given(), ""); // before the leader of the term says what is committed
    member_receive(member_append(2, 2, 7, 0, 6, 6));
    CHECK_TEXT(member_given(), "2 4 6");
    member_close();
}

// A new term's log that lacks what is applied here contradicts it.
static void an_install_that_lacks_what_is_applied_is_refused(void)
{
    member_open(3);
    lack_entry_2();
    tell(5);
    replica_settle(&member);
    follow(2, 4);
    CHECK(!member.raft->parallel->is_staging);
    member_close();
}

// --- checkpoints: what the state holds beyond its floor belongs to them ---

static void check_beyond(uint32_t count, uint64_t bits)
{
    struct raft_beyond beyond;
    raft_applied_beyond(member.raft, &beyond);
    CHECK_EQUAL(beyond.count, count);
    CHECK_EQUAL(beyond.bits[0], bits);
}

static void a_checkpoint_names_what_is_applied_beyond_a_hole(void)
{
    member_open(3);
    check_beyond(0, 0);
    lack_entry_2();
    tell(5);
    CHECK(member_gives(1, 1));
    CHECK(member_gives(3, 3));
    member_applied(1, 1);
    check_beyond(0, 0);
    member_applied(3, 3);
    check_beyond(2, 2);
    CHECK(member_gives(5, 5));
    member_applied(5, 5);
    check_beyond(4, 8 + 2);
    take(2, 0);
    CHECK(member_gives(2, 2));
    member_applied(2, 2); // and 3 with it
    check_beyond(2, 2);
    CHECK(member_gives(4, 4));
    member_applied(4, 4);
    CHECK_EQUAL(raft_applied(member.raft), 5);
    check_beyond(0, 0);
    member_close();
}

// What a checkpoint of a peer held beyond what it covers is applied, though the log here never had
// it, and is not given again when it comes.
static void what_an_installed_state_holds_is_not_applied_again(void)
{
    member_open(3);
    follow(1, 0);
    take(1, 0);
    tell(1);
    replica_settle(&member);
    CHECK(member_gives(1, 1));
    member_applied(1, 1);
    const struct raft_beyond beyond = {.count = 4, .bits = {8 + 2}}; // 5 and 7
    struct raft_input installed = {
        .kind = RAFT_IN_INSTALLED, .installed = {1, 3}, .installed_beyond = &beyond};
    replica_step(&member, &installed);
    raft_check_invariants(member.raft);
    replica_settle(&member);
    CHECK_EQUAL(member.view.applied, 3);
    CHECK_EQUAL(member.view.applied_high, 7);
    CHECK_EQUAL(member.view.commit_high, 7);
    check_beyond(4, 8 + 2);
    CHECK_TEXT(member_given(), "");
    take(7, 1);
    take(5, 1);
    tell(7);
    CHECK_TEXT(member_given(), "");
    take(4, 0);
    CHECK(member_gives(4, 4));
    member_applied(4, 4);
    CHECK_EQUAL(raft_applied(member.raft), 5);
    check_beyond(2, 2);
    take(6, 0);
    CHECK(member_gives(6, 6));
    member_applied(6, 6);
    CHECK_EQUAL(raft_applied(member.raft), 7);
    take(8, 0);
    tell(8);
    CHECK(member_gives(8, 8));
    CHECK_TEXT(member_given(), "");
    member_close();
}

// The floors end where the log does, and what the state holds right behind them still belongs to
// it.
static void what_an_installed_state_holds_may_be_what_the_log_lacks_next(void)
{
    member_open(3);
    follow(1, 0);
    const struct raft_beyond beyond = {.count = 4, .bits = {8 + 2}}; // 5 and 7
    struct raft_input installed = {
        .kind = RAFT_IN_INSTALLED, .installed = {1, 3}, .installed_beyond = &beyond};
    replica_step(&member, &installed);
    take(4, 0);
    tell(7);
    CHECK(member_gives(4, 4));
    member_applied(4, 4);
    CHECK_EQUAL(raft_applied(member.raft), 4);
    check_beyond(3, 4 + 1);
    take(5, 0);
    raft_check_invariants(member.raft);
    CHECK_TEXT(member_given(), "");
    CHECK_EQUAL(raft_applied(member.raft), 5); // with the commit floor, and nothing was applied
    check_beyond(2, 2);
    member_close();
}

// The log caught up with the checkpoint while that was made durable: the rest is given, and what
// the state holds is not.
static void what_an_installed_state_holds_may_lie_below_the_commit_floor(void)
{
    member_open(3);
    follow(1, 0);
    for (uint64_t index = 1; index <= 6; index++) {
        take(index, 0);
    }
    tell(6);
    const struct raft_beyond beyond = {.count = 2, .bits = {2}}; // 4
    struct raft_input installed = {
        .kind = RAFT_IN_INSTALLED, .installed = {1, 2}, .installed_beyond = &beyond};
    replica_step(&member, &installed);
    raft_check_invariants(member.raft);
    CHECK(member_gives(3, 3));
    CHECK(member_gives(5, 6));
    CHECK_TEXT(member_given(), "");
    member_applied(3, 3);
    CHECK_EQUAL(raft_applied(member.raft), 4);
    member_close();
}

// A peer's checkpoint takes the place of the state: what was applied beyond it is not in it.
static void a_checkpoint_of_a_peer_undoes_what_was_applied_beyond_it(void)
{
    member_open(3);
    lack_entry_2();
    take(7, 1);
    tell(7);
    replica_settle(&member);
    CHECK(member_gives(1, 1));
    CHECK(member_gives(3, 3));
    member_applied(1, 1);
    member_applied(3, 3);
    struct raft_input installed = {.kind = RAFT_IN_INSTALLED, .installed = {1, 2}};
    replica_step(&member, &installed);
    raft_check_invariants(member.raft);
    CHECK_EQUAL(member.view.applied, 2);
    tell(7);
    CHECK_TEXT(member_given(), "3-5 7"); // again
    take(6, 1);
    CHECK_TEXT(member_given(), "6");
    member_close();
}

// In term 2, whose log it has not installed, with a checkpoint of that very term.
static void restart_with_checkpoint(uint64_t floor, const struct raft_beyond *beyond)
{
    member_configure(3);
    member.config.hard_state = (struct raft_hard_state){.term = 2, .sync_term = 1};
    replica_start(&member);
    raft_restore_begin(member.raft, (struct raft_entry_id){.term = 2, .index = floor});
    raft_restore_end(member.raft, member.now_ns);
    raft_restore_beyond(member.raft, beyond);
    raft_restore_commit(member.raft, floor);
    raft_check_invariants(member.raft);
}

// It restarted while the log of its leader's term was being installed: what is applied beyond the
// checkpoint lies behind the end of the recovered log.
static void a_checkpoint_of_the_terms_service_does_not_contradict_its_log(void)
{
    const struct raft_beyond beyond = {.count = 4, .bits = {8 + 2}}; // 5 and 7
    restart_with_checkpoint(3, &beyond);
    follow(2, 4); // the recovered log of term 2 ends at 4; 5 and 7 are of its service
    CHECK(member.raft->parallel->is_staging);
    member_receive(member_append(2, 2, 4, 1, 4, 3));
    replica_settle(&member);
    CHECK_EQUAL(member.view.sync_term, 2);
    member_close();
}

// The same of a state without holes.
static void nor_does_one_whose_floor_is_behind_the_end(void)
{
    const struct raft_beyond none = {.count = 0};
    restart_with_checkpoint(7, &none);
    follow(2, 4);
    CHECK_EQUAL(member.view.sync_term, 2); // (installed at once)
    member_close();
}

// 5, 6 and 7 came applied with a checkpoint. Another leader's, up to 6 and without 7, takes the
// place of the state; while it is made durable the log gets 5 to 7, and what is applied goes over
// them: of the state that is gone.
static void a_checkpoint_decides_what_is_applied_whatever_was(void)
{
    member_open(3);
    follow(1, 0);
    const struct raft_beyond beyond = {.count = 4, .bits = {8 + 4 + 2}};
    struct raft_input installed = {
        .kind = RAFT_IN_INSTALLED, .installed = {1, 3}, .installed_beyond = &beyond};
    replica_step(&member, &installed);
    take(4, 0);
    tell(7);
    CHECK(member_gives(4, 4));
    member_applied(4, 4);
    CHECK_EQUAL(raft_applied(member.raft), 4);
    take(5, 0);
    take(6, 0);
    take(7, 0);
    CHECK_TEXT(member_given(), "");
    const struct raft_beyond none = {.count = 0};
    struct raft_input second = {
        .kind = RAFT_IN_INSTALLED, .installed = {1, 6}, .installed_beyond = &none};
    replica_step(&member, &second);
    raft_check_invariants(member.raft);
    CHECK_TEXT(member_given(), "7"); // the state does not have it
    member_close();
}

// Without a restart: the checkpoint of term 3 comes while the SYNC record of term 2 is written.
static void nor_one_that_came_during_an_install(void)
{
    member_open(3);
    follow(1, 0);
    member_receive(member_append(3, 2, 1, 2, 2, 0));
    replica_collect(&member);
    replica_sync_hard(&member);
    replica_synced(&member, 1, 2, member.raft->log.epoch);
    replica_collect(&member);
    CHECK(member.raft->parallel->is_sync_given);
    member_receive(member_append(2, 3, 5, 0, 4, 0));
    replica_collect(&member);
    replica_sync_hard(&member);
    const struct raft_beyond beyond = {.count = 2, .bits = {2}}; // 6
    struct raft_input installed = {
        .kind = RAFT_IN_INSTALLED, .installed = {3, 4}, .installed_beyond = &beyond};
    replica_step(&member, &installed);
    replica_sync_log(&member);
    replica_settle(&member);
    CHECK_EQUAL(member.view.sync_term, 2);
    member_receive(member_append(2, 3, 5, 0, 4, 4));
    replica_settle(&member);
    CHECK_EQUAL(member.view.sync_term, 3);
    member_receive(member_append(2, 3, 5, 2, 4, 6));
    replica_settle(&member);
    CHECK_TEXT(member_given(), "5");
    member_close();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(a_follower_acknowledges_beyond_a_hole),
        TEST(what_does_not_depend_on_a_hole_is_applied_beyond_it),
        TEST(nothing_above_the_floor_told_is_applied),
        TEST(an_entry_that_comes_below_the_floor_told_is_applied_at_once),
        TEST(a_chain_beyond_a_hole_waits_for_it),
        TEST(each_hole_that_closes_lets_go_what_waited_for_it),
        TEST(without_a_number_entries_are_applied_in_order),
        TEST(a_look_behind_reaches_over_as_many_as_it_has),
        TEST(a_look_behind_does_not_reach_over_a_dependency),
        TEST(an_installed_log_is_applied_in_order),
        TEST(after_a_restart_what_is_found_is_applied_in_order),
        TEST(after_an_install_nothing_is_applied_twice),
        TEST(an_install_that_lacks_what_is_applied_is_refused),
        TEST(a_checkpoint_names_what_is_applied_beyond_a_hole),
        TEST(what_an_installed_state_holds_is_not_applied_again),
        TEST(what_an_installed_state_holds_may_be_what_the_log_lacks_next),
        TEST(what_an_installed_state_holds_may_lie_below_the_commit_floor),
        TEST(a_checkpoint_of_a_peer_undoes_what_was_applied_beyond_it),
        TEST(a_checkpoint_of_the_terms_service_does_not_contradict_its_log),
        TEST(nor_does_one_whose_floor_is_behind_the_end),
        TEST(nor_one_that_came_during_an_install),
        TEST(a_checkpoint_decides_what_is_applied_whatever_was),
    };
    return test_run("core holes", cases, TEST_COUNT(cases), argc, argv);
}
