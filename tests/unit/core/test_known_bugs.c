// Bugs that real Rafts had: one test each, named after the bug, that fails where the bug is.
#include "tests/harness/cluster.h"
#include "tests/harness/harness.h"
#include "tests/unit/core/replica.h"

static struct replica node;

// Commit index falls on AppendEntries of a new leader that knows less.
static void commit_index_falls_on_append_of_a_new_leader(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 1, (uint64_t[]){1, 1, 1, 1, 0}, 4);
    struct raft_message append = replica_append(3, 2, (struct raft_entry_id){1, 4}, 2, 1, 0);
    CHECK_EQUAL(replica_receive(&node, &append), RAFT_OK);
    replica_collect(&node);
    CHECK_EQUAL(node.view.commit, 4);
    replica_close(&node);
}

// Match index falls after a late or duplicate reply; next index ends at or below match index.
static void match_index_falls_after_a_late_reply(void)
{
    replica_open(&node, 3);
    replica_lead(&node);
    replica_propose(&node, 9);
    replica_settle(&node);
    struct raft_message ack = replica_ack(2, 1, 8, 1), late = replica_ack(2, 1, 3, 1);
    replica_receive(&node, &ack);
    replica_receive(&node, &late);
    replica_receive(&node, &ack);
    struct raft_message reject = replica_reject(2, 1, (struct raft_entry_id){0, 2});
    replica_receive(&node, &reject);
    struct raft_message gap = replica_ack(2, 1, 3, 1);
    gap.append_reply.gap_count = 1;
    gap.append_reply.gaps[0] = (struct raft_range){.first = 1, .last = 10};
    replica_receive(&node, &gap);
    replica_collect(&node);
    struct raft_peer_view views[3];
    raft_peer_views(node.raft, views, 3);
    CHECK_EQUAL(views[1].match, 8);
    CHECK(views[1].next > views[1].match);
    CHECK_EQUAL(node.view.commit, 8);
    replica_close(&node);
}

// Snapshot boundary `<` for `≤`: the entry at the base is gone, its term is not.
static void boundary_of_a_snapshot(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 1, (uint64_t[]){1, 1, 1, 1, 0}, 4);
    replica_applied(&node, 4);
    raft_trim(node.raft, 3);
    CHECK(raft_entry_at(node.raft, 3) == NULL);
    CHECK(raft_entry_at(node.raft, 4) != NULL);
    CHECK_EQUAL(raft_id_at(node.raft, 3).term, 1);
    for (uint64_t prev = 0; prev <= 4; prev++) { // at, below and above the base
        struct raft_message append = replica_append(2, 1, (struct raft_entry_id){prev != 0, prev},
                                                    1, (uint32_t)(5 - prev), 4);
        CHECK_EQUAL(replica_receive(&node, &append), prev == 0 ? RAFT_OK : RAFT_DUPLICATE);
        CHECK_EQUAL(node.accept.truncate_from, 0);
        replica_settle(&node);
        CHECK_EQUAL(node.view.last, 5);
    }
    replica_lead(&node); // base 3: 4 can be sent, 3 cannot
    struct raft_message reject = replica_reject(2, 2, (struct raft_entry_id){0, 4});
    replica_receive(&node, &reject);
    replica_collect(&node);
    CHECK_EQUAL(node.effects.snapshot_peers, 0);
    CHECK_EQUAL(replica_range(&node, 2).first, 4);
    reject = replica_reject(2, 2, (struct raft_entry_id){0, 3});
    replica_receive(&node, &reject);
    replica_collect(&node);
    CHECK_EQUAL(node.effects.snapshot_peers, 1 << 1);
    replica_close(&node);
}

// Current term decreases: also by way of restored entries whose term was durable before the term.
static void current_term_decreases(void)
{
    replica_configure(&node, 3);
    node.config.hard_state.term = 2;
    replica_start(&node);
    struct raft_entry_head head = {.kind = RAFT_ENTRY_NOOP};
    raft_restore_begin(node.raft, (struct raft_entry_id){0});
    raft_restore_entry(node.raft, (struct raft_entry_id){4, 1}, 0, &head, 0);
    raft_restore_end(node.raft, node.now_ns);
    raft_view(node.raft, &node.view);
    CHECK_EQUAL(node.view.term, 4);
    struct raft_message old = replica_append(2, 3, (struct raft_entry_id){0}, 3, 1, 1);
    CHECK_EQUAL(replica_receive(&node, &old), RAFT_STALE);
    CHECK_EQUAL(node.view.term, 4);
    replica_close(&node);
}

// Leader (or candidate) votes for another after a pre-vote: a pre-vote changes nothing, and a vote
// given stays given.
static void votes_for_another_after_a_pre_vote(void)
{
    replica_open(&node, 3);
    replica_stand(&node);
    replica_sync_hard(&node);
    struct raft_message pre = replica_vote(RAFT_MSG_PRE_VOTE, 2, 2, (struct raft_entry_id){9, 9});
    CHECK_EQUAL(replica_receive(&node, &pre), RAFT_OK);
    CHECK_EQUAL(node.view.term, 1);
    CHECK_EQUAL(node.view.role, RAFT_CANDIDATE);
    struct raft_message ask = replica_vote(RAFT_MSG_VOTE, 2, 1, (struct raft_entry_id){9, 9});
    CHECK_EQUAL(replica_receive(&node, &ask), RAFT_IGNORED);
    replica_collect(&node);
    CHECK(!replica_sent(&node, RAFT_MSG_VOTE_REPLY, 2)->vote_reply.granted);
    CHECK(!node.effects.hard_state_due);
    replica_close(&node);
}

// A late AppendEntries erases matched entries: it is shorter, but nothing in it conflicts.
static void a_late_append_erases_matched_entries(void)
{
    replica_open(&node, 3);
    struct raft_message early = replica_append(2, 1, (struct raft_entry_id){0}, 1, 2, 0);
    struct raft_message append = replica_append(2, 1, (struct raft_entry_id){0}, 1, 9, 0);
    replica_receive(&node, &append);
    replica_settle(&node);
    CHECK_EQUAL(replica_receive(&node, &early), RAFT_DUPLICATE);
    CHECK_EQUAL(node.accept.truncate_from, 0);
    CHECK_EQUAL(node.view.last, 9);
    replica_collect(&node);
    CHECK_EQUAL(replica_sent(&node, RAFT_MSG_APPEND_REPLY, 2)->append_reply.match, 9);
    replica_close(&node);
}

// Stale vote replies counted: two leaders in a term.
static void stale_vote_replies_are_counted(void)
{
    replica_open(&node, 5);
    replica_stand(&node);
    replica_sync_hard(&node);
    struct raft_message granted = replica_granted(RAFT_MSG_VOTE_REPLY, 2, 1);
    replica_receive(&node, &granted);
    replica_stand(&node); // term 2: the vote of 2 was for term 1
    replica_sync_hard(&node);
    granted.from = 3; // a late one
    CHECK_EQUAL(replica_receive(&node, &granted), RAFT_STALE);
    granted.term = 2;
    CHECK_EQUAL(replica_receive(&node, &granted), RAFT_OK);
    CHECK_EQUAL(node.view.role, RAFT_CANDIDATE);
    granted.from = 4; // pre-votes are no votes
    granted.type = RAFT_MSG_PRE_VOTE_REPLY;
    CHECK_EQUAL(replica_receive(&node, &granted), RAFT_STALE);
    granted.term = 3;
    CHECK_EQUAL(replica_receive(&node, &granted), RAFT_STALE);
    CHECK_EQUAL(node.view.role, RAFT_CANDIDATE);
    replica_close(&node);
}

// A duplicate vote reply counted twice.
static void a_duplicate_vote_reply_is_counted_twice(void)
{
    replica_open(&node, 5);
    replica_stand(&node);
    replica_sync_hard(&node);
    struct raft_message granted = replica_granted(RAFT_MSG_VOTE_REPLY, 2, 1);
    for (int copy = 0; copy < 5; copy++) {
        replica_receive(&node, &granted);
    }
    CHECK_EQUAL(node.view.role, RAFT_CANDIDATE);
    replica_close(&node);
}

static void make_reader(uint32_t voters)
{
    replica_open(&node, voters);
    replica_lead(&node);
    for (uint16_t from = 2; node.view.commit == 0; from++) {
        struct raft_message ack = replica_ack(from, 1, 1, 1);
        replica_receive(&node, &ack);
    }
    replica_collect(&node);
}

// Read without quorum; a ReadIndex context reused after a retry: only answers to this round or a
// later one count.
static void read_without_quorum_or_with_an_old_round(void)
{
    make_reader(5);
    CHECK_EQUAL(replica_read(&node, 2), RAFT_OK);
    replica_collect(&node);
    CHECK(!node.effects.reads_granted);
    uint64_t round = replica_sent(&node, RAFT_MSG_APPEND, 2)->append.round;
    CHECK(round > 1);
    for (uint16_t from = 2; from <= 5; from++) { // late answers to the round before
        struct raft_message ack = replica_ack(from, 1, 1, round - 1);
        replica_receive(&node, &ack);
    }
    struct raft_message ack = replica_ack(2, 1, 1, round);
    replica_receive(&node, &ack);
    replica_receive(&node, &ack);
    replica_collect(&node);
    CHECK(!node.effects.reads_granted);
    CHECK_EQUAL(replica_read(&node, 1), RAFT_OK); // has a later round
    replica_collect(&node);
    ack = replica_ack(3, 1, 1, round);
    replica_receive(&node, &ack);
    replica_collect(&node);
    CHECK(node.effects.reads_granted);
    CHECK_EQUAL(node.effects.reads_upto, 2);
    CHECK_EQUAL(node.effects.reads_index, 1);
    replica_close(&node);
}

// No no-op at election, reads before it commits: until then the leader's commit index may be old.
static void reads_before_the_no_op_commits(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 1, (uint64_t[]){1, 1, 0}, 1); // 2 is committed, we were not told
    replica_lead(&node);
    CHECK_TEXT(replica_log(&node), "1 1 2");
    CHECK_EQUAL(raft_entry_at(node.raft, 3)->head.kind, RAFT_ENTRY_NOOP);
    CHECK_EQUAL(replica_read(&node, 1), RAFT_OK);
    struct raft_message ack = replica_ack(2, 2, 2, 1);
    for (uint64_t round = 0; round < 9; round++) {
        ack.append_reply.round = round;
        replica_receive(&node, &ack);
        replica_collect(&node);
        CHECK(!node.effects.reads_granted);
        replica_tick(&node, REPLICA_MS);
    }
    ack = replica_ack(2, 2, 3, 1);
    replica_receive(&node, &ack);
    replica_collect(&node);
    ack.append_reply.round = replica_sent(&node, RAFT_MSG_APPEND, 2)->append.round;
    replica_receive(&node, &ack);
    replica_collect(&node);
    CHECK(node.effects.reads_granted);
    CHECK_EQUAL(node.effects.reads_index, 3);
    replica_close(&node);
}

// Term and vote in two writes; the candidate does not persist its own vote.
static void a_candidate_counts_its_vote_before_it_is_durable(void)
{
    replica_open(&node, 3);
    replica_stand(&node);
    CHECK_EQUAL(node.effects.hard_state.term, 1); // one record
    CHECK_EQUAL(node.effects.hard_state.voted_for, REPLICA_SELF);
    struct raft_message granted = replica_granted(RAFT_MSG_VOTE_REPLY, 2, 1);
    replica_receive(&node, &granted);
    replica_collect(&node);
    CHECK_EQUAL(node.view.role, RAFT_CANDIDATE);
    CHECK(!node.effects.hard_state_due); // it is on its way, once
    replica_sync_hard(&node);
    CHECK_EQUAL(node.view.role, RAFT_LEADER);
    replica_close(&node);
}

// The ack reaches to the own log's end instead of this message's end.
static void an_ack_reaches_to_the_end_of_the_own_log(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 1, (uint64_t[]){1, 1, 1, 1, 1, 0}, 1);
    struct raft_message append = replica_append(3, 2, (struct raft_entry_id){1, 2}, 1, 1, 5);
    replica_receive(&node, &append);
    replica_settle(&node);
    append.append.round = 2;
    replica_receive(&node, &append);
    replica_collect(&node);
    CHECK_EQUAL(replica_sent(&node, RAFT_MSG_APPEND_REPLY, 3)->append_reply.match, 3);
    CHECK_EQUAL(node.view.commit, 3);
    replica_close(&node);
}

// The completion of an old write is counted after the entry was replaced, and by the same term
// again: (1,2) → (2,2) → (1,2) can only be of another epoch.
static void a_late_completion_counts_for_a_replaced_entry(void)
{
    replica_open(&node, 3);
    struct raft_message append = replica_append(2, 1, (struct raft_entry_id){0}, 1, 3, 0);
    replica_receive(&node, &append);
    replica_collect(&node);
    replica_sync_hard(&node);
    uint32_t old_epoch = node.pending[1].epoch;
    append = replica_append(3, 2, (struct raft_entry_id){1, 1}, 2, 1, 0);
    replica_receive(&node, &append);
    CHECK_EQUAL(node.accept.truncate_from, 2);
    replica_collect(&node);
    replica_sync_hard(&node);
    replica_synced(&node, 1, 3, old_epoch);
    CHECK_EQUAL(node.view.synced, 1);
    append = replica_append(2, 3, (struct raft_entry_id){1, 1}, 1, 1, 0);
    replica_receive(&node, &append);
    CHECK_EQUAL(node.accept.truncate_from, 2);
    CHECK_TEXT(replica_log(&node), "1 1");
    replica_synced(&node, 1, 3, old_epoch);
    CHECK_EQUAL(node.view.synced, 1);
    replica_sync_hard(&node);
    replica_synced(&node, 2, 2, node.pending[node.pending_count - 1].epoch);
    CHECK_EQUAL(node.view.synced, 2);
    CHECK_EQUAL(replica_sent(&node, RAFT_MSG_APPEND_REPLY, 2)->append_reply.match, 2);
    replica_close(&node);
}

// ... but a promise keeps the log: the late write of an entry that stayed is credited in the new
// term, and never acknowledged to the old leader.
static void a_promise_keeps_the_log(void)
{
    replica_open(&node, 3);
    struct raft_message append = replica_append(2, 1, (struct raft_entry_id){0}, 1, 3, 0);
    replica_receive(&node, &append);
    replica_collect(&node);
    replica_sync_hard(&node);
    replica_tick(&node, node.config.election_timeout_max_ns);
    struct raft_message ask = replica_vote(RAFT_MSG_VOTE, 3, 2, (struct raft_entry_id){1, 3});
    CHECK_EQUAL(replica_receive(&node, &ask), RAFT_OK);
    replica_sync_log(&node);
    CHECK_EQUAL(node.view.synced, 3);
    CHECK(replica_sent(&node, RAFT_MSG_APPEND_REPLY, 2) == NULL);
    replica_sync_hard(&node);
    append = replica_append(3, 2, (struct raft_entry_id){1, 3}, 0, 0, 0);
    replica_receive(&node, &append);
    replica_collect(&node);
    CHECK_EQUAL(replica_sent(&node, RAFT_MSG_APPEND_REPLY, 3)->append_reply.match, 3);
    replica_close(&node);
}

// An append ack of an old term, or of an earlier start of the peer, is counted.
static void acks_of_an_old_term_or_boot_are_counted(void)
{
    replica_open(&node, 3);
    replica_lead(&node);
    struct raft_message stale = replica_ack(2, 1, 1, 1);
    replica_tick(&node, node.config.election_timeout_max_ns); // nobody answers: it steps down
    replica_lead(&node);
    CHECK_EQUAL(node.view.term, 2);
    CHECK_EQUAL(replica_receive(&node, &stale), RAFT_STALE);
    struct raft_message news = replica_ack(2, 2, 0, 1);
    news.boot = 5;
    replica_receive(&node, &news);
    stale = replica_ack(2, 2, 2, 1);
    stale.boot = 4;
    CHECK_EQUAL(replica_receive(&node, &stale), RAFT_STALE);
    CHECK_EQUAL(node.view.commit, 0);
    replica_close(&node);
}

// A single node acknowledges before its own flush.
static void a_single_node_commits_before_its_flush(void)
{
    replica_open(&node, 1);
    replica_stand(&node);
    replica_sync_hard(&node);
    CHECK_EQUAL(node.view.role, RAFT_LEADER);
    replica_propose(&node, 1);
    replica_collect(&node);
    CHECK_EQUAL(node.view.commit, 0);
    replica_sync_log(&node);
    CHECK_EQUAL(node.view.commit, 2);
    replica_close(&node);
}

// A stuck leader acts after losing leadership: after a pause it hears what happened before it does
// anything that counts.
static void a_stuck_leader_acts_after_losing_leadership(void)
{
    make_reader(3);
    replica_read(&node, 1);
    replica_propose(&node, 1);
    replica_collect(&node);
    node.now_ns += 60000 * REPLICA_MS;
    CHECK_EQUAL(replica_read(&node, 1), RAFT_OK);
    replica_collect(&node);
    CHECK(!node.effects.reads_granted);
    replica_tick(&node, 0);
    CHECK_EQUAL(node.view.role, RAFT_FOLLOWER);
    replica_collect(&node);
    CHECK_EQUAL(node.effects.reads_aborted_upto, 2);
    CHECK_EQUAL(node.effects.send_count, 0);
    CHECK_EQUAL(replica_propose(&node, 1), RAFT_NOT_LEADER);
    CHECK_EQUAL(node.view.commit, 1);
    replica_close(&node);
}

// Ghost entries: what waits behind a hole came from a leader that is gone; the next leader's
// entries fill the hole, the waiting ones must not join them.
static void ghost_entries_join_behind_a_hole(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 1, (uint64_t[]){1, 0}, 1);
    struct raft_message beyond = replica_append(2, 1, (struct raft_entry_id){1, 2}, 1, 2, 0);
    CHECK_EQUAL(replica_receive(&node, &beyond), RAFT_HOLE);
    CHECK_EQUAL(node.view.held, 4);
    replica_settle(&node);
    CHECK_EQUAL(node.view.synced, 1);
    struct raft_message append = replica_append(3, 2, (struct raft_entry_id){1, 1}, 2, 1, 0);
    CHECK_EQUAL(replica_receive(&node, &append), RAFT_OK);
    CHECK_TEXT(replica_log(&node), "1 2");
    CHECK_EQUAL(node.view.held, 2);
    replica_close(&node);
}

static struct cluster *open_cluster(uint32_t nodes, uint64_t seed)
{
    struct cluster_options options;
    cluster_default_options(&options, nodes, seed);
    return cluster_open(&options);
}

// Endless elections under partial connectivity (needs pre-vote and check-quorum): a stable leader
// within five election timeouts, and terms stop growing.
static void check_settles(struct cluster *cluster, uint16_t cut_a, uint16_t cut_b, bool both_ways)
{
    uint64_t timeout_ns = cluster->options.election_max_ns;
    CHECK(cluster_run_until(cluster, cluster_has_leader, 5 * timeout_ns));
    cluster_cut(cluster, cut_a, cut_b, CLUSTER_ALL_TYPES);
    if (both_ways) {
        cluster_cut(cluster, cut_b, cut_a, CLUSTER_ALL_TYPES);
    }
    cluster_run(cluster, 5 * timeout_ns);
    CHECK(cluster_has_leader(cluster));
    uint64_t elections = cluster->elections, commit = cluster->truth_last;
    CHECK_EQUAL(cluster_propose(cluster, cluster_leader(cluster), 1, 10), RAFT_OK);
    cluster_run(cluster, 50 * timeout_ns);
    CHECK_EQUAL(cluster->elections, elections);
    CHECK(cluster->truth_last > commit);
}

static void endless_elections_with_one_link_cut(void)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        for (uint16_t other = 2; other <= 3; other++) {
            struct cluster *cluster = open_cluster(3, seed);
            check_settles(cluster, 1, other, true);
            cluster_close(cluster);
            cluster = open_cluster(3, seed);
            check_settles(cluster, 1, other, false);
            cluster_close(cluster);
            cluster = open_cluster(3, seed);
            check_settles(cluster, other, 1, false);
            cluster_close(cluster);
        }
    }
}

// Five nodes in a ring: every node hears itself and its two neighbours, a majority each.
static void endless_elections_with_overlapping_majorities(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *cluster = open_cluster(5, seed);
        for (uint16_t from = 1; from <= 5; from++) {
            cluster_cut(cluster, from, (uint16_t)((from + 1) % 5 + 1), CLUSTER_ALL_TYPES);
            cluster_cut(cluster, from, (uint16_t)((from + 2) % 5 + 1), CLUSTER_ALL_TYPES);
        }
        check_settles(cluster, 1, 3, true);
        cluster_close(cluster);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(commit_index_falls_on_append_of_a_new_leader),
        TEST(match_index_falls_after_a_late_reply),
        TEST(boundary_of_a_snapshot),
        TEST(current_term_decreases),
        TEST(votes_for_another_after_a_pre_vote),
        TEST(a_late_append_erases_matched_entries),
        TEST(stale_vote_replies_are_counted),
        TEST(a_duplicate_vote_reply_is_counted_twice),
        TEST(read_without_quorum_or_with_an_old_round),
        TEST(reads_before_the_no_op_commits),
        TEST(a_candidate_counts_its_vote_before_it_is_durable),
        TEST(an_ack_reaches_to_the_end_of_the_own_log),
        TEST(a_late_completion_counts_for_a_replaced_entry),
        TEST(a_promise_keeps_the_log),
        TEST(acks_of_an_old_term_or_boot_are_counted),
        TEST(a_single_node_commits_before_its_flush),
        TEST(a_stuck_leader_acts_after_losing_leadership),
        TEST(ghost_entries_join_behind_a_hole),
        TEST(endless_elections_with_one_link_cut),
        TEST(endless_elections_with_overlapping_majorities),
    };
    return test_run("core known bugs", cases, TEST_COUNT(cases), argc, argv);
}
