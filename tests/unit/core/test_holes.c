// Parallel groups: what a follower applies beyond a hole of its log, one rule a test
// (engine/README.md, "Parallel groups"; what a leader makes an entry depend on: test_install.c).
#include "tests/harness/harness.h"

#include "engine/core/parallel.h"
#include "tests/unit/core/replica.h"

static struct replica node;

static void open_node(uint32_t look_behind)
{
    replica_configure(&node, 3);
    node.config.order = RAFT_ORDER_PARALLEL;
    node.config.span_entries = 32;
    node.config.look_behind = look_behind;
    replica_start(&node);
}

// Entries from `first` on, of node 2's term; it ends the log installed in it at `end` and the
// commit floor it tells is `commit`.
static struct raft_message append_of(uint64_t term, uint64_t first, uint32_t count, uint64_t end,
                                     uint64_t commit)
{
    struct raft_message message =
        replica_append(2, term, (struct raft_entry_id){.index = first - 1}, term, count, commit);
    message.is_parallel = true;
    message.append.has_sync = true;
    message.append.sync_end = end;
    return message;
}

static void receive(struct raft_message message)
{
    CHECK(message.append.count == 0 || replica_is_sound(&message));
    replica_receive(&node, &message);
}

static void follow(uint64_t term, uint64_t end)
{
    receive(append_of(term, end + 1, 0, end, 0));
    replica_settle(&node);
}

static void tell(uint64_t commit)
{
    receive(append_of(node.view.term, node.raft->parallel->sync_end + 1, 0,
                      node.raft->parallel->sync_end, commit));
}

// One entry that depends on `depends_on`, in a group whose log begins with its term.
static void take(uint64_t index, uint64_t depends_on)
{
    uint16_t distance = (uint16_t)(index - depends_on);
    struct raft_message message = append_of(node.view.term, index, 1, 0, node.raft->leader_commit);
    message.append.distances = &distance;
    receive(message);
}

static bool gives(uint64_t first, uint64_t last)
{
    struct raft_range range;
    return raft_apply_take(node.raft, 64, &range) && range.first == first && range.last == last;
}

static bool gives_no_more(void)
{
    return !raft_has_to_apply(node.raft);
}

static void report_applied(uint64_t first, uint64_t last)
{
    struct raft_input input = {.kind = RAFT_IN_APPLIED, .applied_first = first, .applied = last};
    replica_step(&node, &input);
    raft_check_invariants(node.raft);
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

static void what_does_not_depend_on_a_hole_is_applied_beyond_it(void)
{
    open_node(0);
    lack_entry_2();
    CHECK(gives_no_more()); // nothing is known to be committed
    tell(5);
    CHECK_EQUAL(node.view.commit, 1);
    CHECK_EQUAL(node.view.commit_high, 5);
    CHECK(gives(1, 1));
    CHECK(gives(3, 3));
    CHECK(gives(5, 5));
    CHECK(gives_no_more());
    take(2, 0);
    CHECK_EQUAL(node.view.commit, 5);
    CHECK(gives(2, 2)); // before what depends on it
    CHECK(gives(4, 4));
    CHECK(gives_no_more());
    replica_close(&node);
}

static void nothing_above_the_floor_told_is_applied(void)
{
    open_node(0);
    lack_entry_2();
    tell(3);
    CHECK(gives(1, 1));
    CHECK(gives(3, 3));
    CHECK(gives_no_more());
    take(6, 0);
    tell(5);
    CHECK(gives(5, 5));
    CHECK(gives_no_more());
    take(7, 0); // the floor was known before it came
    tell(7);
    CHECK(gives(6, 7));
    replica_close(&node);
}

static void an_entry_that_comes_below_the_floor_told_is_applied_at_once(void)
{
    open_node(0);
    follow(1, 0);
    take(1, 0);
    tell(5);
    CHECK(gives(1, 1));
    take(4, 1);
    CHECK(gives(4, 4));
    take(3, 1);
    CHECK(gives(3, 3));
    take(5, 3); // 3 is applied; only what has no hole below it counts
    CHECK(gives_no_more());
    take(2, 1);
    CHECK(gives(2, 2));
    CHECK(gives(5, 5));
    replica_close(&node);
}

static void a_chain_beyond_a_hole_waits_for_it(void)
{
    open_node(0);
    follow(1, 0);
    take(1, 0);
    take(3, 1);
    take(4, 3);
    take(5, 4);
    tell(5);
    CHECK(gives(1, 1));
    CHECK(gives(3, 3));
    CHECK(gives_no_more());
    take(2, 1);
    CHECK(gives(2, 2));
    CHECK(gives(4, 5));
    replica_close(&node);
}

static void each_hole_that_closes_lets_go_what_waited_for_it(void)
{
    open_node(0);
    follow(1, 0);
    take(1, 0);
    take(3, 2); // waits for the first hole,
    take(5, 2);
    take(6, 4); // for the second
    tell(6);
    CHECK(gives(1, 1));
    CHECK(gives_no_more());
    take(2, 1);
    CHECK(gives(2, 3));
    CHECK(gives(5, 5));
    CHECK(gives_no_more());
    take(4, 0);
    CHECK(gives(4, 4));
    CHECK(gives(6, 6));
    replica_close(&node);
}

// Who does not say what its entries depend on means: on everything.
static void without_a_number_entries_are_applied_in_order(void)
{
    open_node(0);
    follow(1, 0);
    take(1, 0);
    struct raft_message untold = append_of(1, 3, 2, 0, 4);
    replica_receive(&node, &untold);
    CHECK(gives(1, 1));
    CHECK(gives_no_more());
    replica_close(&node);
}

// With footprints of N = 2 entries before it in each, two missing ones in a row are known from the
// one behind them; of three the first is not.
static void a_look_behind_reaches_over_as_many_as_it_has(void)
{
    open_node(2);
    follow(1, 0);
    take(1, 0);
    take(4, 1);
    take(8, 1);
    tell(8);
    CHECK(gives(1, 1));
    CHECK(gives(4, 4)); // over 2 and 3
    CHECK(gives_no_more());
    take(6, 1); // over 5; and now 7 is the only one missing before 8
    CHECK(gives(6, 6));
    CHECK(gives(8, 8));
    replica_close(&node);
}

// ... and it needs to say nothing of what is applied; what is there and was not applied counts as
// in the other mode.
static void a_look_behind_does_not_reach_over_a_dependency(void)
{
    open_node(2);
    follow(1, 0);
    take(1, 0);
    take(3, 2);
    take(4, 1);
    tell(4);
    CHECK(gives(1, 1));
    CHECK(gives(4, 4));
    CHECK(gives_no_more());
    replica_close(&node);
}

// The leader's recovered log is applied in order, whatever is missing of it (a node that lost its
// entries, and is given them again).
static void an_installed_log_is_applied_in_order(void)
{
    replica_configure(&node, 3);
    node.config.order = RAFT_ORDER_PARALLEL;
    node.config.span_entries = 32;
    node.config.intact = false;
    node.config.hard_state = (struct raft_hard_state){.term = 2, .sync_term = 2, .sync_end = 4};
    replica_start(&node);
    raft_restore_begin(node.raft, (struct raft_entry_id){0});
    raft_restore_end(node.raft, node.now_ns);
    receive(append_of(2, 3, 2, 4, 5)); // 3 and 4
    uint16_t one = 1;
    struct raft_message message = append_of(2, 5, 1, 4, 5);
    message.append.distances = &one;
    receive(message);
    CHECK(gives_no_more());
    receive(append_of(2, 1, 1, 4, 5));
    CHECK(gives(1, 1));
    CHECK(gives_no_more());
    receive(append_of(2, 2, 1, 4, 5));
    CHECK(gives(2, 5));
    replica_close(&node);
}

static void restart_with(const uint64_t *indexes, uint64_t commit)
{
    node.config.hard_state = (struct raft_hard_state){.term = 1, .sync_term = 1};
    replica_start(&node);
    raft_restore_begin(node.raft, (struct raft_entry_id){0});
    const struct raft_entry_head head = {.client = 1, .sequence = 1, .kind = RAFT_ENTRY_COMMAND};
    for (; *indexes != 0; indexes++) {
        raft_restore_entry(node.raft, (struct raft_entry_id){.term = 1, .index = *indexes}, 0,
                           &head, *indexes);
    }
    raft_restore_end(node.raft, node.now_ns);
    raft_restore_commit(node.raft, commit);
    raft_check_invariants(node.raft);
    raft_view(node.raft, &node.view);
}

// What was applied beyond a hole is forgotten with the state machine, and so is what it depends on.
static void after_a_restart_what_is_found_is_applied_in_order(void)
{
    open_node(0);
    lack_entry_2();
    tell(5);
    CHECK(gives(1, 1));
    CHECK(gives(3, 3));
    report_applied(1, 1);
    report_applied(3, 3);
    static const uint64_t found[] = {1, 3, 4, 5, 0};
    restart_with(found, 5);
    CHECK(gives(1, 1));
    CHECK(gives_no_more());
    follow(1, 0); // the same leader, which sends what is missing, and more
    tell(7);
    CHECK(gives_no_more());
    take(7, 1);
    CHECK(gives(7, 7));
    take(2, 1);
    CHECK(gives(2, 5));
    take(6, 1);
    CHECK(gives(6, 6));
    CHECK(gives_no_more());
    replica_close(&node);
}

// The next leader's log has what was applied; it is not applied again.
static void after_an_install_nothing_is_applied_twice(void)
{
    open_node(0);
    lack_entry_2();
    tell(5);
    replica_settle(&node);
    CHECK(gives(1, 1));
    CHECK(gives(3, 3));
    CHECK(gives(5, 5));
    report_applied(1, 1);
    report_applied(3, 3);
    report_applied(5, 5);
    follow(2, 6);
    CHECK_EQUAL(node.view.sync_term, 1); // it lacks most of it
    receive(append_of(2, 2, 5, 6, 6));
    replica_settle(&node);
    CHECK_EQUAL(node.view.sync_term, 2);
    CHECK(gives_no_more()); // before the leader of the term says what is committed
    receive(append_of(2, 7, 0, 6, 6));
    CHECK(gives(2, 2));
    CHECK(gives(4, 4));
    CHECK(gives(6, 6));
    CHECK(gives_no_more());
    replica_close(&node);
}

// A new term's log that lacks what is applied here contradicts it.
static void an_install_that_lacks_what_is_applied_is_refused(void)
{
    open_node(0);
    lack_entry_2();
    tell(5);
    replica_settle(&node);
    follow(2, 4);
    CHECK(!node.raft->parallel->is_staging);
    replica_close(&node);
}

// A checkpoint is one state of the log: until the holes below what is applied are filled, nothing
// more is applied beyond them.
static void for_a_checkpoint_holes_are_filled_first(void)
{
    open_node(0);
    lack_entry_2();
    tell(5);
    CHECK(gives(1, 1));
    CHECK(gives(3, 3));
    report_applied(1, 1);
    report_applied(3, 3);
    CHECK(!raft_is_level(node.raft));
    raft_apply_in_order(node.raft, true);
    take(7, 0);
    tell(7);
    CHECK(gives(5, 5)); // that was given before
    report_applied(5, 5);
    CHECK(gives_no_more());
    take(2, 0);
    CHECK(gives(2, 2));
    CHECK(gives(4, 4));
    CHECK(gives_no_more());
    report_applied(2, 2);
    report_applied(4, 4);
    CHECK(raft_is_level(node.raft));
    CHECK_EQUAL(raft_applied(node.raft), 5);
    raft_apply_in_order(node.raft, false);
    take(6, 0);
    CHECK(gives(6, 7));
    replica_close(&node);
}

// A peer's checkpoint takes the place of the state: what was applied beyond it is not in it.
static void a_checkpoint_of_a_peer_undoes_what_was_applied_beyond_it(void)
{
    open_node(0);
    lack_entry_2();
    take(7, 1);
    tell(7);
    replica_settle(&node);
    CHECK(gives(1, 1));
    CHECK(gives(3, 3));
    report_applied(1, 1);
    report_applied(3, 3);
    struct raft_input installed = {.kind = RAFT_IN_INSTALLED, .installed = {1, 2}};
    replica_step(&node, &installed);
    raft_check_invariants(node.raft);
    CHECK_EQUAL(node.view.applied, 2);
    tell(7);
    CHECK(gives(3, 5)); // again
    CHECK(gives(7, 7));
    take(6, 1);
    CHECK(gives(6, 6));
    CHECK(gives_no_more());
    replica_close(&node);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
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
        TEST(for_a_checkpoint_holes_are_filled_first),
        TEST(a_checkpoint_of_a_peer_undoes_what_was_applied_beyond_it)};
    return test_run("core holes", cases, TEST_COUNT(cases), argc, argv);
}
