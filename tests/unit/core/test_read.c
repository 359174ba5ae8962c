// Linearizable reads: rounds, batches, what is granted and what is given up.
#include "tests/harness/harness.h"

#include "engine/core/state.h"
#include "tests/unit/core/replica.h"

static struct replica node;

static void answer(uint16_t from, uint64_t match, uint64_t round)
{
    struct raft_message ack = replica_ack(from, node.view.term, match, round);
    replica_receive(&node, &ack);
    replica_collect(&node);
}

static void open_reader(void)
{
    replica_open(&node, 3);
    replica_lead(&node);
    answer(2, 1, 1);
    CHECK_EQUAL(node.view.commit, 1);
}

static uint64_t round_sent(void)
{
    const struct raft_message *append = replica_sent(&node, RAFT_MSG_APPEND, 2);
    CHECK(append != NULL);
    return append->append.round;
}

static void followers_grant_nothing(void)
{
    replica_open(&node, 3);
    CHECK_EQUAL(replica_read(&node, 1), RAFT_NOT_LEADER);
    CHECK_EQUAL(node.view.reads_last, 0);
    replica_close(&node);
}

// All reads that arrived since the last round share one.
static void reads_share_a_round(void)
{
    open_reader();
    replica_read(&node, 3);
    replica_read(&node, 4);
    replica_collect(&node);
    uint64_t round = round_sent();
    CHECK_EQUAL(replica_sent(&node, RAFT_MSG_APPEND, 3)->append.round, round);
    replica_read(&node, 1); // too late for it
    replica_collect(&node);
    CHECK_EQUAL(round_sent(), round + 1);
    answer(3, 0, round);
    CHECK(node.effects.reads_granted);
    CHECK_EQUAL(node.effects.reads_upto, 7);
    answer(3, 0, round + 1);
    CHECK_EQUAL(node.effects.reads_upto, 8);
    replica_collect(&node);
    CHECK(!node.effects.reads_granted);
    replica_close(&node);
}

// The index is the one of the beginning of the round, not what was committed meanwhile or before.
static void a_read_sees_what_was_committed_when_it_came(void)
{
    open_reader();
    replica_propose(&node, 5);
    replica_settle(&node);
    answer(2, 6, 1);
    replica_read(&node, 1);
    replica_collect(&node);
    uint64_t round = round_sent();
    answer(2, 6, round);
    CHECK_EQUAL(node.effects.reads_index, 6);
    replica_close(&node);
}

// Rounds are answered out of order: a later one confirms all before it.
static void a_later_round_confirms_the_earlier_ones(void)
{
    open_reader();
    uint64_t round = 0;
    for (int batch = 0; batch < 3; batch++) {
        replica_read(&node, 1);
        replica_collect(&node);
        round = round_sent();
    }
    answer(3, 0, round);
    CHECK_EQUAL(node.effects.reads_upto, 3);
    replica_close(&node);
}

// More rounds than can be under way: the reads wait and share the next.
static void too_many_rounds_wait(void)
{
    open_reader();
    uint64_t round = 0;
    for (int batch = 0; batch < RAFT_READ_BATCHES_MAX + 10; batch++) {
        replica_read(&node, 1);
        replica_collect(&node);
        round = batch < RAFT_READ_BATCHES_MAX ? round_sent() : round;
    }
    answer(2, 1, round);
    CHECK_EQUAL(node.effects.reads_upto, RAFT_READ_BATCHES_MAX);
    replica_collect(&node);
    round = round_sent();
    answer(2, 1, round);
    CHECK_EQUAL(node.effects.reads_upto, RAFT_READ_BATCHES_MAX + 10);
    replica_close(&node);
}

static void lost_leadership_aborts_reads(void)
{
    open_reader();
    replica_read(&node, 2);
    replica_collect(&node);
    uint64_t round = round_sent();
    replica_read(&node, 3);
    struct raft_message news = replica_append(3, 9, (struct raft_entry_id){0}, 0, 0, 0);
    replica_receive(&node, &news);
    replica_collect(&node);
    CHECK_EQUAL(node.effects.reads_aborted_upto, 5);
    CHECK(!node.effects.reads_granted);
    replica_sync_hard(&node);
    replica_lead(&node);
    answer(2, node.view.last, 1);
    struct raft_message late = replica_ack(2, node.view.term, node.view.last, round);
    replica_receive(&node, &late);
    replica_collect(&node);
    CHECK(!node.effects.reads_granted);
    replica_close(&node);
}

static void a_single_node_reads_at_once(void)
{
    replica_open(&node, 1);
    replica_stand(&node);
    replica_sync_hard(&node);
    CHECK_EQUAL(replica_read(&node, 1), RAFT_OK);
    replica_collect(&node);
    CHECK(!node.effects.reads_granted); // its no-op is not committed
    replica_sync_log(&node);
    CHECK(node.effects.reads_granted);
    CHECK_EQUAL(node.effects.reads_index, 1);
    replica_close(&node);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(followers_grant_nothing),
        TEST(reads_share_a_round),
        TEST(a_read_sees_what_was_committed_when_it_came),
        TEST(a_later_round_confirms_the_earlier_ones),
        TEST(too_many_rounds_wait),
        TEST(lost_leadership_aborts_reads),
        TEST(a_single_node_reads_at_once),
    };
    return test_run("core read", cases, TEST_COUNT(cases), argc, argv);
}
