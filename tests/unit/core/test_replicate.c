// The leader's side of replication: probe, stream, window, gaps, snapshot, silence.
#include "tests/harness/cluster.h"
#include "tests/harness/harness.h"
#include "tests/unit/core/replica.h"

static struct replica node;

static struct raft_peer_view peer(uint16_t id)
{
    struct raft_peer_view views[RAFT_NODES_MAX];
    uint32_t count = raft_peer_views(node.raft, views, RAFT_NODES_MAX);
    CHECK(id <= count);
    return views[id - 1];
}

static void ack(uint16_t from, uint64_t match)
{
    struct raft_message message = replica_ack(from, node.view.term, match, 1);
    CHECK_EQUAL(replica_receive(&node, &message), RAFT_OK);
}

// Collects what an acknowledgement, or so many new entries, let the leader send.
static void send_after_ack(uint16_t from, uint64_t match)
{
    ack(from, match);
    replica_collect(&node);
}

static void send_entries(uint32_t count)
{
    replica_propose(&node, count);
    replica_collect(&node);
}

static void lead_with(uint32_t window_entries, uint64_t window_bytes)
{
    replica_configure(&node, 3);
    node.config.window_entries = window_entries;
    node.config.window_bytes = window_bytes;
    replica_start(&node);
    replica_lead(&node);
    send_after_ack(2, 1);
}

static void check_range(uint16_t to, uint64_t first, uint64_t last)
{
    CHECK_EQUAL(replica_range(&node, to).first, first);
    CHECK_EQUAL(replica_range(&node, to).last, last);
}

static void a_probe_is_one_append_at_a_time(void)
{
    replica_open(&node, 3);
    replica_lead(&node); // the no-op went out as probe
    send_entries(5);
    CHECK_EQUAL(node.effects.send_count, 0);
    send_after_ack(2, 0); // it is there: stream
    check_range(2, 2, 6);
    check_range(3, 1, 0);
    replica_close(&node);
}

static void the_window_counts_entries(void)
{
    lead_with(4, 1 << 20);
    send_entries(10);
    check_range(2, 2, 5);
    replica_collect(&node);
    CHECK_EQUAL(node.effects.send_count, 0);
    send_after_ack(2, 3);
    check_range(2, 6, 7);
    replica_close(&node);
}

static void the_window_counts_bytes(void)
{
    lead_with(64, 250); // entries of 100 bytes
    send_entries(10);
    check_range(2, 2, 3);
    send_after_ack(2, 2);
    check_range(2, 4, 4);
    replica_close(&node);
}

// An entry larger than the window goes alone through the empty pipe.
static void an_entry_larger_than_the_window_goes_alone(void)
{
    lead_with(64, 50);
    send_entries(3);
    check_range(2, 2, 2);
    replica_collect(&node);
    CHECK_EQUAL(node.effects.send_count, 0);
    send_after_ack(2, 2);
    check_range(2, 3, 3);
    replica_close(&node);
}

static void reply_gaps(uint64_t match, const struct raft_range *gaps, uint32_t count)
{
    struct raft_message message = replica_ack(2, node.view.term, match, 1);
    message.append_reply.gap_count = count;
    for (uint32_t at = 0; at < count; at++) {
        message.append_reply.gaps[at] = gaps[at];
    }
    replica_receive(&node, &message);
    replica_collect(&node);
}

static void exactly_the_gaps_are_sent_again(void)
{
    lead_with(64, 1 << 20);
    send_entries(20);
    check_range(2, 2, 21);
    reply_gaps(3, (struct raft_range[]){{2, 5}, {9, 9}}, 2);
    CHECK_EQUAL(node.effects.send_count, 2);
    check_range(2, 4, 5); // 2 and 3 are acknowledged
    CHECK_EQUAL(node.effects.sends[1].range.first, 9);
    CHECK_EQUAL(node.effects.sends[1].range.last, 9);
    reply_gaps(5, (struct raft_range[]){{20, 21}}, 1); // a tail: the stream goes back
    CHECK_EQUAL(node.effects.send_count, 1);
    check_range(2, 20, 21);
    reply_gaps(5, (struct raft_range[]){{22, 30}, {9, 8}, {0, 0}}, 3); // nothing we have sent
    CHECK_EQUAL(node.effects.send_count, 0);
    replica_close(&node);
}

static void what_was_not_sent_is_sent_later(void)
{
    lead_with(64, 1 << 20);
    send_entries(9);
    check_range(2, 2, 10);
    struct raft_input unsent = {.kind = RAFT_IN_UNSENT, .unsent = {.peer = 2, .index = 7}};
    replica_step(&node, &unsent);
    replica_collect(&node);
    check_range(2, 7, 10);
    replica_close(&node);
}

// An unanswered tail is poked with an empty append soon, not only by the next heartbeat.
static void an_unanswered_tail_is_poked(void)
{
    lead_with(64, 1 << 20);
    send_entries(3);
    CHECK(node.effects.deadline_ns < node.now_ns + node.config.heartbeat_ns);
    replica_tick(&node, node.effects.deadline_ns - node.now_ns);
    replica_collect(&node);
    const struct raft_message *poke = replica_sent(&node, RAFT_MSG_APPEND, 2);
    CHECK_EQUAL(poke->append.count, 0);
    CHECK_EQUAL(poke->append.prev.index, 4);
    replica_close(&node);
}

static void the_log_keeps_room_for_no_ops(void)
{
    lead_with(64, 1 << 20);
    uint64_t room = raft_room(node.raft);
    CHECK(room < node.config.log_entries);
    while (room > 0) {
        uint32_t count = room < 64 ? (uint32_t)room : 64;
        CHECK_EQUAL(replica_propose(&node, count), RAFT_OK);
        room -= count;
    }
    CHECK_EQUAL(replica_propose(&node, 1), RAFT_BUSY);
    CHECK_EQUAL(node.accept.range.last < node.accept.range.first, true);
    uint64_t last = node.view.last;
    replica_settle(&node);
    replica_lead(&node); // the same node again, the log still full
    CHECK_EQUAL(node.view.last, last);
    ack(2, last); // a majority holds all that is before the no-op
    CHECK_EQUAL(node.view.last, last + 1);
    CHECK_EQUAL(replica_propose(&node, 1), RAFT_BUSY);
    replica_close(&node);
}

// Of 21 entries the leader has given up 15, and then node 3 says that it has none.
static void lead_beyond_the_log_of_node_3(void)
{
    lead_with(64, 1 << 20);
    replica_propose(&node, 20);
    replica_settle(&node);
    send_after_ack(2, 21);
    replica_applied(&node, 21);
    CHECK_EQUAL(raft_needed_from(node.raft), 1); // node 3 is thought to be alive
    raft_trim(node.raft, 15);
    struct raft_message reject = replica_reject(3, node.view.term, (struct raft_entry_id){0, 1});
    replica_receive(&node, &reject);
    replica_collect(&node);
    CHECK(peer(3).is_installing);
}

static void a_peer_behind_the_base_needs_a_checkpoint(void)
{
    lead_beyond_the_log_of_node_3();
    CHECK_EQUAL(node.effects.snapshot_peers, 1 << 2);
    CHECK_EQUAL(raft_needed_from(node.raft), 22);
    struct raft_input done = {.kind = RAFT_IN_SNAPSHOT_DONE,
                              .snapshot_done = {.peer = 3, .id = {1, 15}}};
    replica_step(&node, &done);
    replica_collect(&node);
    CHECK_EQUAL(node.effects.snapshot_peers, 0);
    check_range(3, 16, 16);
    replica_close(&node);
}

// The news that it is installed may be lost; the peer's own answers tell.
static void a_peer_that_caught_up_needs_no_checkpoint(void)
{
    lead_beyond_the_log_of_node_3();
    ack(3, 14);
    CHECK(peer(3).is_installing);
    ack(3, 15);
    CHECK(!peer(3).is_installing);
    replica_collect(&node);
    check_range(3, 16, 21);
    replica_close(&node);
}

static void a_silent_peer_is_probed_from_where_it_stood(void)
{
    lead_with(64, 1 << 20);
    send_entries(20);
    for (int beat = 0; beat < 10; beat++) {
        replica_tick(&node, REPLICA_MS);
        struct raft_message alive = replica_ack(3, node.view.term, 1, 1);
        replica_receive(&node, &alive); // (else the leader steps down)
        replica_tick(&node, REPLICA_MS);
        replica_collect(&node);
    }
    CHECK(peer(2).is_probing);
    CHECK_EQUAL(peer(2).next, 2);
    CHECK_EQUAL(replica_range(&node, 2).last, 0);
    send_after_ack(2, 1);
    check_range(2, 2, 21);
    replica_close(&node);
}

// Thesis §6.2: a leader that hears no majority steps down.
static void a_leader_without_a_majority_steps_down(void)
{
    replica_open(&node, 5);
    replica_lead(&node);
    for (int beat = 0; beat < 20; beat++) {
        replica_tick(&node, 2 * REPLICA_MS);
        ack(2, 0);
        ack(3, 0);
        CHECK_EQUAL(node.view.role, RAFT_LEADER);
    }
    for (int beat = 0; beat < 20; beat++) {
        replica_tick(&node, 2 * REPLICA_MS);
        if (node.view.role == RAFT_LEADER) {
            ack(2, 0);
        }
    }
    CHECK(node.view.role != RAFT_LEADER);
    CHECK_EQUAL(node.view.leader, 0);
    replica_close(&node);
}

static void a_restarted_peer_starts_over(void)
{
    lead_with(64, 1 << 20);
    replica_propose(&node, 20);
    replica_settle(&node);
    ack(2, 21);
    CHECK_EQUAL(peer(2).match, 21);
    struct raft_message back = replica_ack(2, node.view.term, 7, 1);
    back.boot = 2;
    replica_receive(&node, &back);
    CHECK_EQUAL(peer(2).match, 7);
    CHECK_EQUAL(node.view.commit, 21);
    replica_close(&node);
}

static void append_messages_are_of_one_term(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 5, (uint64_t[]){1, 1, 2, 5, 5, 5, 0}, 0);
    CHECK_EQUAL(raft_term_run(node.raft, 1, 6), 2);
    CHECK_EQUAL(raft_term_run(node.raft, 3, 6), 3);
    CHECK_EQUAL(raft_term_run(node.raft, 4, 6), 6);
    CHECK_EQUAL(raft_term_run(node.raft, 4, 5), 5);
    CHECK_EQUAL(raft_term_run(node.raft, 4, 4), 4);
    replica_close(&node);
}

static void three_nodes_elect_and_replicate(void)
{
    struct cluster_options options;
    cluster_default_options(&options, 3, 1);
    struct cluster *cluster = cluster_open(&options);
    CHECK(cluster_run_until(cluster, cluster_has_leader, 100 * CLUSTER_MS));
    for (int round = 0; round < 100; round++) {
        CHECK_EQUAL(cluster_propose(cluster, cluster_leader(cluster), 8, 64), RAFT_OK);
        cluster_run(cluster, 100 * CLUSTER_US);
    }
    CHECK(cluster_run_until(cluster, cluster_is_level, 10 * CLUSTER_MS));
    CHECK_EQUAL(cluster->truth_last, 801);
    CHECK_EQUAL(cluster->elections, 1);
    cluster_close(cluster);
}

// One lost frame costs one retransmission: without loss nothing is sent twice.
static void nothing_is_sent_twice_without_loss(void)
{
    struct cluster_options options;
    cluster_default_options(&options, 3, 1);
    options.link_min_ns = options.link_max_ns; // no reordering either
    struct cluster *cluster = cluster_open(&options);
    CHECK(cluster_run_until(cluster, cluster_has_leader, 100 * CLUSTER_MS));
    cluster_run(cluster, 5 * CLUSTER_MS);
    uint64_t sent = cluster->messages_sent, holes = cluster->outcomes[RAFT_HOLE];
    for (int round = 0; round < 100; round++) {
        cluster_propose(cluster, cluster_leader(cluster), 8, 64);
        cluster_run(cluster, 200 * CLUSTER_US);
    }
    CHECK_EQUAL(cluster->outcomes[RAFT_HOLE], holes);
    CHECK(cluster->messages_sent - sent <= 100 * 2 * 3); // append, ack, now and then a heartbeat
    cluster_close(cluster);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(a_probe_is_one_append_at_a_time),
        TEST(the_window_counts_entries),
        TEST(the_window_counts_bytes),
        TEST(an_entry_larger_than_the_window_goes_alone),
        TEST(exactly_the_gaps_are_sent_again),
        TEST(what_was_not_sent_is_sent_later),
        TEST(an_unanswered_tail_is_poked),
        TEST(the_log_keeps_room_for_no_ops),
        TEST(a_peer_behind_the_base_needs_a_checkpoint),
        TEST(a_peer_that_caught_up_needs_no_checkpoint),
        TEST(a_silent_peer_is_probed_from_where_it_stood),
        TEST(a_leader_without_a_majority_steps_down),
        TEST(a_restarted_peer_starts_over),
        TEST(append_messages_are_of_one_term),
        TEST(three_nodes_elect_and_replicate),
        TEST(nothing_is_sent_twice_without_loss),
    };
    return test_run("core replicate", cases, TEST_COUNT(cases), argc, argv);
}
