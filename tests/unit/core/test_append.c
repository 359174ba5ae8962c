// The follower's side of replication: holes, conflicts, acks, installed checkpoints.
#include "tests/harness/harness.h"
#include "tests/unit/core/replica.h"

static struct replica node;

static void receive(uint64_t first, uint64_t last)
{
    struct raft_message append = replica_append(2, 1, (struct raft_entry_id){first != 1, first - 1},
                                                1, (uint32_t)(last - first + 1), 0);
    replica_receive(&node, &append);
}

static const struct raft_append_reply *reply_to(uint16_t leader)
{
    const struct raft_message *message = replica_sent(&node, RAFT_MSG_APPEND_REPLY, leader);
    CHECK(message != NULL);
    return &message->append_reply;
}

static void open_with(uint64_t count)
{
    static uint64_t terms[65];
    for (uint64_t at = 0; at < 65; at++) {
        terms[at] = at < count;
    }
    replica_open(&node, 3);
    replica_follow(&node, 1, terms, 0);
}

// A lost frame costs one hole and one selective retransmission.
static void a_hole_is_asked_for_once_and_closes(void)
{
    open_with(4);
    receive(7, 8);
    CHECK_EQUAL(node.outcome, RAFT_HOLE);
    CHECK_EQUAL(node.view.last, 4);
    CHECK_EQUAL(node.view.held, 8);
    replica_collect(&node);
    CHECK_EQUAL(reply_to(2)->result, RAFT_APPEND_OK);
    CHECK_EQUAL(reply_to(2)->gap_count, 1);
    CHECK_EQUAL(reply_to(2)->gaps[0].first, 5);
    CHECK_EQUAL(reply_to(2)->gaps[0].last, 6);
    receive(9, 9); // more behind the hole: it is not asked for again
    replica_collect(&node);
    CHECK_EQUAL(reply_to(2)->gap_count, 0);
    replica_sync_log(&node);
    CHECK_EQUAL(node.view.synced, 4); // durable, and behind a hole
    receive(5, 6);
    CHECK_EQUAL(node.view.last, 9);
    replica_sync_log(&node);
    CHECK_EQUAL(reply_to(2)->match, 9);
    replica_close(&node);
}

static void an_unanswered_hole_is_asked_for_again(void)
{
    open_with(4);
    receive(7, 8);
    replica_collect(&node);
    CHECK(node.effects.deadline_ns > node.now_ns);
    CHECK(node.effects.deadline_ns <= node.now_ns + node.config.heartbeat_ns);
    replica_tick(&node, node.effects.deadline_ns - node.now_ns);
    replica_collect(&node);
    CHECK_EQUAL(reply_to(2)->gap_count, 1);
    CHECK_EQUAL(reply_to(2)->gaps[0].first, 5);
    CHECK(node.effects.deadline_ns > node.now_ns);
    replica_close(&node);
}

// The answer to the first of many holes is lost: it is overdue on its own, however many newer ones
// are being asked for.
static void a_hole_is_overdue_on_its_own(void)
{
    uint32_t asked = 0;
    open_with(4);
    for (uint64_t index = 6; index <= 126; index += 2) {
        receive(index, index); // holes 5 7 9 ...
        replica_collect(&node);
        CHECK(reply_to(2)->gap_count >= 1);
        CHECK_EQUAL(reply_to(2)->gaps[reply_to(2)->gap_count - 1].first, index - 1);
        asked += reply_to(2)->gaps[0].first == 5;
        if (index > 6) {
            receive(index - 1, index - 1);
        }
        node.now_ns += 50 * REPLICA_MS / 1000;
    }
    CHECK(asked >= 3 && asked <= 20); // every 1 ms at first, then as others take to be filled
    replica_close(&node);
}

// As many gaps as an answer holds; the others follow.
static void many_holes_are_asked_for_in_turn(void)
{
    open_with(1);
    for (uint64_t index = 3; index <= 13; index += 2) {
        receive(index, index); // holes 2 4 6 8 10 12
    }
    replica_collect(&node);
    CHECK_EQUAL(reply_to(2)->gap_count, RAFT_GAPS_MAX);
    CHECK_EQUAL(reply_to(2)->gaps[3].first, 8);
    CHECK_EQUAL(reply_to(2)->gaps[3].last, 8);
    receive(13, 13);
    replica_collect(&node);
    CHECK_EQUAL(reply_to(2)->gap_count, 2);
    CHECK_EQUAL(reply_to(2)->gaps[0].first, 10);
    for (uint64_t index = 2; index <= 12; index += 2) {
        receive(index, index);
    }
    CHECK_EQUAL(node.view.last, 13);
    replica_close(&node);
}

// A tail that got lost shows in the next empty append.
static void a_lost_tail_shows_in_a_heartbeat(void)
{
    open_with(4);
    struct raft_message heartbeat = replica_append(2, 1, (struct raft_entry_id){1, 9}, 0, 0, 0);
    CHECK_EQUAL(replica_receive(&node, &heartbeat), RAFT_HOLE);
    replica_collect(&node);
    CHECK_EQUAL(reply_to(2)->gaps[0].first, 5);
    CHECK_EQUAL(reply_to(2)->gaps[0].last, 9);
    replica_close(&node);
}

// While our term is not durable no answer may leave, and there is nothing to wake up for either.
static void a_hole_waits_for_the_term(void)
{
    open_with(4);
    struct raft_message heartbeat = replica_append(3, 2, (struct raft_entry_id){1, 4}, 0, 0, 4);
    replica_receive(&node, &heartbeat);
    heartbeat = replica_append(3, 2, (struct raft_entry_id){2, 9}, 0, 0, 4);
    CHECK_EQUAL(replica_receive(&node, &heartbeat), RAFT_HOLE);
    replica_collect(&node);
    CHECK_EQUAL(node.effects.message_count, 0);
    CHECK(node.effects.deadline_ns > node.now_ns + REPLICA_MS);
    replica_sync_hard(&node);
    CHECK_EQUAL(reply_to(3)->gaps[0].last, 9);
    replica_close(&node);
}

// Entries for which there is no slot are left out; they are asked for when there is room.
static void a_full_log_leaves_entries_out(void)
{
    replica_open(&node, 3);
    receive(1, 100);
    receive(101, 200);
    CHECK_EQUAL(node.view.last, node.config.log_entries);
    replica_settle(&node);
    CHECK_EQUAL(reply_to(2)->match, node.config.log_entries);
    CHECK_EQUAL(reply_to(2)->gap_count, 0);
    struct raft_message heartbeat = replica_append(2, 1, (struct raft_entry_id){1, 128}, 0, 0, 60);
    replica_receive(&node, &heartbeat);
    replica_collect(&node);
    replica_applied(&node, 60);
    raft_trim(node.raft, 50);
    replica_tick(&node, REPLICA_MS);
    replica_collect(&node);
    CHECK_EQUAL(reply_to(2)->gaps[0].first, 129);
    CHECK_EQUAL(reply_to(2)->gaps[0].last, 178);
    replica_close(&node);
}

// The conflict never names what is known to be equal: the leader would take it for a late answer.
static void a_conflict_lies_behind_what_is_verified(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 1, (uint64_t[]){1, 1, 1, 1, 1, 1, 0}, 1);
    struct raft_message append = replica_append(3, 2, (struct raft_entry_id){1, 2}, 1, 1, 1);
    CHECK_EQUAL(replica_receive(&node, &append), RAFT_DUPLICATE); // equal up to 3
    replica_settle(&node);
    append = replica_append(3, 2, (struct raft_entry_id){2, 5}, 0, 0, 1);
    CHECK_EQUAL(replica_receive(&node, &append), RAFT_MISMATCH);
    replica_collect(&node);
    CHECK_EQUAL(reply_to(3)->conflict.index, 4);
    CHECK_EQUAL(node.view.commit, 1);
    append = replica_append(3, 2, (struct raft_entry_id){2, 5}, 0, 0, 9);
    CHECK_EQUAL(replica_receive(&node, &append), RAFT_MISMATCH);
    replica_collect(&node);
    CHECK_EQUAL(reply_to(3)->result, RAFT_APPEND_REJECTED);
    CHECK_EQUAL(reply_to(3)->conflict.term, 0);
    CHECK_EQUAL(reply_to(3)->conflict.index, 4);
    CHECK_EQUAL(reply_to(3)->match, 3);
    CHECK_EQUAL(node.view.commit, 3); // told 9, and 3 entries are the leader's
    replica_close(&node);
}

static void a_second_leader_of_the_term_is_ignored(void)
{
    open_with(3);
    struct raft_message append = replica_append(3, 1, (struct raft_entry_id){1, 3}, 1, 1, 4);
    CHECK_EQUAL(replica_receive(&node, &append), RAFT_IGNORED);
    CHECK_EQUAL(node.view.last, 3);
    replica_close(&node);
}

// What contradicts a committed entry is never taken, whoever sends it.
static void committed_entries_are_never_cut(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 1, (uint64_t[]){1, 1, 1, 0}, 3);
    struct raft_message append = replica_append(3, 2, (struct raft_entry_id){1, 1}, 2, 3, 3);
    CHECK_EQUAL(replica_receive(&node, &append), RAFT_IGNORED);
    CHECK_EQUAL(node.accept.truncate_from, 0);
    CHECK_TEXT(replica_log(&node), "1 1 1");
    replica_close(&node);
}

static void install(uint64_t term, uint64_t index, enum raft_outcome expected)
{
    struct raft_input input = {.kind = RAFT_IN_INSTALLED, .installed = {term, index}};
    CHECK_EQUAL(replica_step(&node, &input), expected);
    replica_collect(&node);
}

// §7: "If existing log entry has same index and term as snapshot's last included entry, retain log
// entries following it"; else "discard the entire log".
static void a_checkpoint_keeps_what_continues_it(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 2, (uint64_t[]){1, 1, 1, 2, 0}, 1);
    install(1, 1, RAFT_STALE);
    install(1, 3, RAFT_OK);
    CHECK_TEXT(replica_log(&node), "2");
    CHECK_EQUAL(node.view.base, 3);
    CHECK_EQUAL(node.view.commit, 3);
    CHECK_EQUAL(node.view.applied, 3);
    install(2, 9, RAFT_OK);
    CHECK_TEXT(replica_log(&node), "");
    CHECK_EQUAL(node.view.last, 9);
    CHECK_EQUAL(reply_to(2)->match, 9);
    replica_close(&node);
    replica_open(&node, 3);
    replica_follow(&node, 2, (uint64_t[]){1, 1, 1, 1, 0}, 1);
    install(2, 3, RAFT_OK); // same index, other term
    CHECK_TEXT(replica_log(&node), "");
    replica_close(&node);
}

// It may overtake every other message of its leader's term.
static void a_checkpoint_brings_its_term(void)
{
    open_with(2);
    install(5, 9, RAFT_OK);
    CHECK_EQUAL(node.view.term, 5);
    CHECK_EQUAL(node.effects.hard_state.term, 5);
    replica_close(&node);
}

// The answer of an apply worker that was under way when the checkpoint came.
static void a_late_apply_answer_is_harmless(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 1, (uint64_t[]){1, 1, 1, 0}, 3);
    install(1, 9, RAFT_OK);
    struct raft_input input = {.kind = RAFT_IN_APPLIED, .applied = 3};
    CHECK_EQUAL(replica_step(&node, &input), RAFT_STALE);
    CHECK_EQUAL(node.view.applied, 9);
    replica_close(&node);
}

// Taken in behind a committed entry that it denies, an entry would name a predecessor in the log on
// disk that is not there: acknowledged, and gone after a restart.
static void who_denies_a_committed_entry_is_ignored(void)
{
    open_with(4);
    struct raft_message commit = replica_append(2, 1, (struct raft_entry_id){1, 4}, 0, 0, 3);
    CHECK_EQUAL(replica_receive(&node, &commit), RAFT_OK);
    CHECK_EQUAL(node.view.commit, 3);
    struct raft_message denial = replica_append(3, 9, (struct raft_entry_id){2, 3}, 9, 2, 0);
    CHECK_EQUAL(replica_receive(&node, &denial), RAFT_IGNORED);
    CHECK_TEXT(replica_log(&node), "1 1 1 1");
    denial = replica_append(3, 9, (struct raft_entry_id){1, 3}, 9, 2, 0);
    CHECK_EQUAL(replica_receive(&node, &denial), RAFT_OK);
    CHECK_TEXT(replica_log(&node), "1 1 1 9 9");
    install(9, 7, RAFT_OK);
    denial = replica_append(3, 9, (struct raft_entry_id){1, 3}, 8, 6, 0); // (8, 7) among them
    CHECK_EQUAL(replica_receive(&node, &denial), RAFT_IGNORED);
    CHECK_EQUAL(node.view.last, 7);
    struct raft_message right = replica_append(3, 9, (struct raft_entry_id){1, 3}, 9, 6, 0);
    CHECK_EQUAL(replica_receive(&node, &right), RAFT_OK);
    CHECK_EQUAL(node.view.last, 9);
    replica_close(&node);
}

static void what_does_not_continue_the_filled_hole_is_forgotten(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 5, (uint64_t[]){1, 1, 0}, 0);
    struct raft_message behind = replica_append(2, 5, (struct raft_entry_id){3, 4}, 5, 2, 0);
    CHECK_EQUAL(replica_receive(&node, &behind), RAFT_HOLE);
    CHECK_EQUAL(node.view.held, 6);
    struct raft_message filling = replica_append(2, 5, (struct raft_entry_id){1, 2}, 5, 2, 0);
    CHECK_EQUAL(replica_receive(&node, &filling), RAFT_OK);
    CHECK_TEXT(replica_log(&node), "1 1 5 5"); // 5 named an entry (3, 4)
    CHECK_EQUAL(node.view.held, 4);
    replica_close(&node);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(a_hole_is_asked_for_once_and_closes),
        TEST(an_unanswered_hole_is_asked_for_again),
        TEST(a_hole_is_overdue_on_its_own),
        TEST(many_holes_are_asked_for_in_turn),
        TEST(a_lost_tail_shows_in_a_heartbeat),
        TEST(a_hole_waits_for_the_term),
        TEST(a_full_log_leaves_entries_out),
        TEST(a_conflict_lies_behind_what_is_verified),
        TEST(a_second_leader_of_the_term_is_ignored),
        TEST(committed_entries_are_never_cut),
        TEST(who_denies_a_committed_entry_is_ignored),
        TEST(what_does_not_continue_the_filled_hole_is_forgotten),
        TEST(a_checkpoint_keeps_what_continues_it),
        TEST(a_checkpoint_brings_its_term),
        TEST(a_late_apply_answer_is_harmless),
    };
    return test_run("core append", cases, TEST_COUNT(cases), argc, argv);
}
