// Nodes that lost entries they had acknowledged: they count for nothing until they hold all they
// may have helped to commit.
#include "tests/harness/cluster.h"
#include "tests/harness/harness.h"
#include "tests/unit/core/replica.h"

static struct replica node;

static void start_lost(void)
{
    replica_configure(&node, 3);
    node.config.intact = false;
    node.config.boot = 2;
    node.config.hard_state.term = 4;
    replica_start(&node);
}

static void it_neither_stands_nor_grants(void)
{
    start_lost();
    replica_tick(&node, node.config.election_timeout_max_ns + 1);
    for (uint16_t from = 2; from <= 3; from++) {
        struct raft_message granted = replica_granted(RAFT_MSG_PRE_VOTE_REPLY, from, 5);
        replica_receive(&node, &granted);
    }
    CHECK_EQUAL(node.view.role, RAFT_PRE_CANDIDATE);
    replica_collect(&node);
    CHECK(!replica_sent(&node, RAFT_MSG_PRE_VOTE, 2)->intact);
    struct raft_message ask = replica_vote(RAFT_MSG_PRE_VOTE, 2, 9, (struct raft_entry_id){9, 9});
    CHECK_EQUAL(replica_receive(&node, &ask), RAFT_IGNORED);
    ask.type = RAFT_MSG_VOTE;
    CHECK_EQUAL(replica_receive(&node, &ask), RAFT_IGNORED);
    replica_collect(&node);
    CHECK_EQUAL(node.effects.hard_state.term, 9);
    CHECK_EQUAL(node.effects.hard_state.voted_for, 0);
    replica_close(&node);
}

static void receive_rejoin(uint64_t boot, uint64_t index, uint64_t count)
{
    struct raft_message append =
        replica_append(2, 4, (struct raft_entry_id){0}, 3, (uint32_t)count, 0);
    append.append.rejoin_boot = boot;
    append.append.rejoin_index = index;
    replica_receive(&node, &append);
    replica_collect(&node);
}

static void it_counts_again_when_it_holds_the_confirmed_index(void)
{
    start_lost();
    receive_rejoin(0, 0, 3);
    replica_sync_log(&node);
    CHECK(!replica_sent(&node, RAFT_MSG_APPEND_REPLY, 2)->intact);
    receive_rejoin(1, 3, 3); // meant for its start before
    CHECK(!node.view.intact);
    receive_rejoin(2, 5, 4);
    CHECK(!node.view.intact); // 5 is missing, 4 not durable
    receive_rejoin(2, 5, 5);
    CHECK(!node.view.intact); // held, not durable
    replica_sync_log(&node);
    CHECK(node.view.intact);
    CHECK(replica_sent(&node, RAFT_MSG_APPEND_REPLY, 2)->intact);
    replica_close(&node);
}

static void ack_of(uint16_t from, bool is_intact, uint64_t boot, uint64_t match, uint64_t round)
{
    struct raft_message ack = replica_ack(from, node.view.term, match, round);
    ack.intact = is_intact;
    ack.boot = boot;
    replica_receive(&node, &ack);
    replica_collect(&node);
}

static void its_acks_do_not_count(void)
{
    replica_open(&node, 3);
    replica_lead(&node);
    ack_of(2, false, 2, 1, 1);
    CHECK_EQUAL(node.view.commit, 0);
    ack_of(2, true, 1, 1, 1); // sent before it restarted
    CHECK_EQUAL(node.outcome, RAFT_STALE);
    CHECK_EQUAL(node.view.commit, 0);
    ack_of(2, true, 2, 1, 1);
    CHECK_EQUAL(node.view.commit, 1);
    replica_close(&node);
}

// The index comes from a majority WITHOUT the node, confirmed after its return was seen, and from a
// leader that has committed in its term.
static void the_leader_confirms_without_it(void)
{
    replica_open(&node, 3);
    replica_lead(&node);
    ack_of(2, false, 2, 0, 0);
    const struct raft_message *append = replica_sent(&node, RAFT_MSG_APPEND, 3);
    CHECK(append != NULL);
    uint64_t round = append->append.round;
    CHECK(round > 1);
    ack_of(2, false, 2, 1, round); // its own answer proves nothing
    CHECK_EQUAL(replica_sent(&node, RAFT_MSG_APPEND, 2) == NULL ||
                    replica_sent(&node, RAFT_MSG_APPEND, 2)->append.rejoin_index == 0,
                true);
    ack_of(3, true, 1, 1, round - 1); // committed, not confirmed
    CHECK_EQUAL(node.view.commit, 1);
    struct raft_message header;
    raft_append_header(node.raft, 2, 2, &header);
    CHECK_EQUAL(header.append.rejoin_index, 0);
    ack_of(3, true, 1, 1, round);
    append = replica_sent(&node, RAFT_MSG_APPEND, 2);
    CHECK_EQUAL(append->append.rejoin_boot, 2);
    CHECK_EQUAL(append->append.rejoin_index, 1);
    ack_of(2, false, 3, 0, round); // it restarts again: from the beginning
    raft_append_header(node.raft, 2, 2, &header);
    CHECK_EQUAL(header.append.rejoin_index, 0);
    replica_close(&node);
}

static struct cluster *open_volatile(uint32_t nodes, uint64_t seed)
{
    struct cluster_options options;
    cluster_default_options(&options, nodes, seed);
    options.volatile_nodes = (UINT32_C(1) << nodes) - 1;
    struct cluster *cluster = cluster_open(&options);
    CHECK(cluster_run_until(cluster, cluster_has_leader, 100 * CLUSTER_MS));
    cluster_propose(cluster, cluster_leader(cluster), 20, 10);
    CHECK(cluster_run_until(cluster, cluster_is_level, 100 * CLUSTER_MS));
    return cluster;
}

static void memory_nodes_restart_one_after_the_other(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *cluster = open_volatile(3, seed);
        for (uint16_t turn = 0; turn < 12; turn++) {
            uint16_t id = turn % 3 + 1;
            cluster_crash(cluster, id);
            cluster_run(cluster, 5 * CLUSTER_MS);
            cluster_start(cluster, id);
            CHECK(!cluster_node(cluster, id)->view.intact);
            cluster_run(cluster, 100 * CLUSTER_MS);
            CHECK(cluster_node(cluster, id)->view.intact);
            CHECK(cluster_is_level(cluster));
            CHECK_EQUAL(cluster_propose(cluster, cluster_leader(cluster), 3, 10), RAFT_OK);
        }
        cluster_close(cluster);
    }
}

// With fewer intact nodes than a majority the group halts; it never answers from what is left.
static void memory_nodes_lost_together_halt_the_group(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *cluster = open_volatile(3, seed);
        uint16_t keep = (uint16_t)(seed % 3 + 1);
        for (uint16_t id = 1; id <= 3; id++) {
            if (id != keep) {
                cluster_crash(cluster, id);
                cluster_start(cluster, id);
            }
        }
        uint64_t elections = cluster->elections;
        cluster_run(cluster, 500 * CLUSTER_MS);
        CHECK_EQUAL(cluster->elections, elections);
        CHECK(!cluster_has_leader(cluster));
        for (uint16_t id = 1; id <= 3; id++) {
            CHECK(cluster_node(cluster, id)->view.halted);
        }
        cluster_close(cluster);
    }
}

// A memory node's vote survives its restart.
static void a_vote_outlives_the_entries(void)
{
    replica_configure(&node, 3);
    node.config.intact = false;
    node.config.boot = 2;
    node.config.hard_state = (struct raft_hard_state){.term = 4, .voted_for = 2};
    replica_start(&node);
    struct raft_message ask = replica_vote(RAFT_MSG_VOTE, 3, 4, (struct raft_entry_id){3, 9});
    CHECK_EQUAL(replica_receive(&node, &ask), RAFT_IGNORED);
    ask.from = 2;
    CHECK_EQUAL(replica_receive(&node, &ask), RAFT_IGNORED); // not even again: its log is gone
    replica_close(&node);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(it_neither_stands_nor_grants),
        TEST(it_counts_again_when_it_holds_the_confirmed_index),
        TEST(its_acks_do_not_count),
        TEST(the_leader_confirms_without_it),
        TEST(memory_nodes_restart_one_after_the_other),
        TEST(memory_nodes_lost_together_halt_the_group),
        TEST(a_vote_outlives_the_entries),
    };
    return test_run("core rejoin", cases, TEST_COUNT(cases), argc, argv);
}
