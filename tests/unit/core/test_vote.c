// Elections: pre-vote, who may stand, who is answered.
#include "tests/harness/cluster.h"
#include "tests/harness/harness.h"
#include "tests/unit/core/replica.h"

static struct replica node;

static bool pre_vote_answer(uint64_t term, struct raft_entry_id last, bool is_intact)
{
    struct raft_message ask = replica_vote(RAFT_MSG_PRE_VOTE, 3, term, last);
    ask.intact = is_intact;
    struct raft_view before = node.view;
    replica_receive(&node, &ask);
    replica_collect(&node);
    const struct raft_message *reply = replica_sent(&node, RAFT_MSG_PRE_VOTE_REPLY, 3);
    CHECK_EQUAL(reply->term, reply->vote_reply.granted ? term : before.term);
    CHECK_EQUAL(node.view.term, before.term);
    CHECK_EQUAL(node.view.role, before.role);
    CHECK(!node.effects.hard_state_due);
    return reply->vote_reply.granted;
}

// What decides a pre-vote: our log, our term, whether a leader is heard, and that both sides hold
// all they acknowledged.
static void a_pre_vote_is_granted_only_where_an_election_could_be_won(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 2, (uint64_t[]){1, 2, 0}, 1);
    struct raft_entry_id equal = {2, 2}, behind = {2, 1};
    CHECK(!pre_vote_answer(3, equal, true)); // the leader is heard
    replica_tick(&node, node.config.election_timeout_min_ns);
    CHECK(pre_vote_answer(3, equal, true));
    CHECK(pre_vote_answer(9, equal, true));
    CHECK(!pre_vote_answer(3, behind, true));
    CHECK(!pre_vote_answer(2, equal, true)); // there was an election in term 2
    CHECK(!pre_vote_answer(3, equal, false));
    struct raft_input failed = {.kind = RAFT_IN_DISK_FAILED};
    replica_step(&node, &failed);
    CHECK(!pre_vote_answer(3, equal, true));
    replica_close(&node);
    replica_open(&node, 3);
    replica_lead(&node);
    CHECK(!pre_vote_answer(9, (struct raft_entry_id){9, 9}, true));
    replica_close(&node);
}

// No message can carry term 0 or one above RAFT_TERM_MAX: who receives it would drop the rest of
// the frame with it.
static void no_message_names_a_term_that_is_none(void)
{
    replica_open(&node, 3);
    struct raft_message ask = replica_vote(RAFT_MSG_PRE_VOTE, 3, 1, (struct raft_entry_id){0, 0});
    ask.intact = false; // refused, and our term is 0
    replica_receive(&node, &ask);
    replica_collect(&node);
    CHECK_EQUAL(node.effects.message_count, 0);
    replica_follow(&node, RAFT_TERM_MAX, (uint64_t[]){1, 0}, 1);
    for (uint32_t rounds = 0; rounds < 5; rounds++) {
        replica_tick(&node, node.config.election_timeout_max_ns);
        replica_collect(&node);
        CHECK_EQUAL(node.view.role, RAFT_FOLLOWER);
        CHECK_EQUAL(node.effects.message_count, 0);
        CHECK(node.effects.deadline_ns > node.now_ns);
    }
    replica_close(&node);
}

static void a_pre_candidate_disturbs_nobody(void)
{
    replica_open(&node, 3);
    replica_tick(&node, node.config.election_timeout_max_ns);
    replica_collect(&node);
    CHECK_EQUAL(node.view.role, RAFT_PRE_CANDIDATE);
    CHECK_EQUAL(node.view.term, 0);
    CHECK(!node.effects.hard_state_due);
    CHECK_EQUAL(replica_sent(&node, RAFT_MSG_PRE_VOTE, 2)->term, 1);
    CHECK_EQUAL(replica_sent(&node, RAFT_MSG_PRE_VOTE, 3)->term, 1);
    replica_collect(&node);
    CHECK_EQUAL(node.effects.message_count, 0); // asked once an election
    struct raft_message granted = replica_granted(RAFT_MSG_PRE_VOTE_REPLY, 3, 1);
    replica_receive(&node, &granted);
    CHECK_EQUAL(node.view.role, RAFT_CANDIDATE);
    CHECK_EQUAL(node.view.term, 1);
    replica_close(&node);
}

// Thesis §4.2.3: a vote request does not reach who hears a leader, whatever its term.
static void votes_are_ignored_while_a_leader_is_heard(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 2, (uint64_t[]){1, 2, 0}, 1);
    struct raft_message ask = replica_vote(RAFT_MSG_VOTE, 3, 9, (struct raft_entry_id){9, 9});
    CHECK_EQUAL(replica_receive(&node, &ask), RAFT_IGNORED);
    CHECK_EQUAL(node.view.term, 2);
    replica_tick(&node, node.config.election_timeout_min_ns - 1);
    CHECK_EQUAL(replica_receive(&node, &ask), RAFT_IGNORED);
    replica_tick(&node, 1);
    CHECK_EQUAL(replica_receive(&node, &ask), RAFT_OK);
    CHECK_EQUAL(node.view.term, 9);
    replica_close(&node);
    replica_open(&node, 3);
    replica_lead(&node);
    CHECK_EQUAL(replica_receive(&node, &ask), RAFT_IGNORED);
    CHECK_EQUAL(node.view.role, RAFT_LEADER);
    replica_close(&node);
}

static void a_refusal_carries_the_newer_term(void)
{
    replica_open(&node, 3);
    replica_stand(&node);
    struct raft_message refused = replica_message(RAFT_MSG_VOTE_REPLY, 2, 8);
    replica_receive(&node, &refused);
    CHECK_EQUAL(node.view.role, RAFT_FOLLOWER);
    CHECK_EQUAL(node.view.term, 8);
    replica_close(&node);
}

// A promise that was not durable when a newer one overtook it is never told.
static void an_overtaken_promise_is_not_told(void)
{
    replica_open(&node, 3);
    struct raft_message ask = replica_vote(RAFT_MSG_VOTE, 2, 1, (struct raft_entry_id){0});
    replica_receive(&node, &ask);
    replica_collect(&node);
    struct raft_hard_state first = node.hard_state;
    ask = replica_vote(RAFT_MSG_VOTE, 3, 2, (struct raft_entry_id){0});
    replica_receive(&node, &ask);
    replica_collect(&node);
    struct raft_input synced = {.kind = RAFT_IN_HARD_STATE, .hard_state = first};
    replica_step(&node, &synced);
    replica_collect(&node);
    CHECK_EQUAL(node.effects.message_count, 0);
    replica_sync_hard(&node);
    CHECK_EQUAL(node.effects.message_count, 1);
    CHECK_EQUAL(replica_sent(&node, RAFT_MSG_VOTE_REPLY, 3)->term, 2);
    replica_close(&node);
}

static void votes_of_strangers_and_of_nodes_that_lost_entries_do_not_count(void)
{
    replica_open(&node, 3);
    replica_stand(&node);
    replica_sync_hard(&node);
    struct raft_message granted = replica_granted(RAFT_MSG_VOTE_REPLY, 9, 1);
    CHECK_EQUAL(replica_receive(&node, &granted), RAFT_IGNORED);
    granted.from = REPLICA_SELF;
    CHECK_EQUAL(replica_receive(&node, &granted), RAFT_IGNORED);
    granted.from = 2;
    granted.to = 3;
    CHECK_EQUAL(replica_receive(&node, &granted), RAFT_IGNORED);
    granted.to = REPLICA_SELF;
    granted.intact = false;
    CHECK_EQUAL(replica_receive(&node, &granted), RAFT_STALE);
    CHECK_EQUAL(node.view.role, RAFT_CANDIDATE);
    replica_close(&node);
}

// A log without a free slot has no place for the no-op of a new term.
static void a_node_with_a_full_log_does_not_stand(void)
{
    replica_open(&node, 3);
    struct raft_message append =
        replica_append(2, 1, (struct raft_entry_id){0}, 1, node.config.log_entries, 5);
    replica_receive(&node, &append);
    replica_settle(&node);
    CHECK_EQUAL(node.view.last, node.config.log_entries);
    replica_tick(&node, node.config.election_timeout_max_ns + 1); // left to others
    replica_tick(&node, node.config.election_timeout_max_ns + 1);
    struct raft_message granted = replica_granted(RAFT_MSG_PRE_VOTE_REPLY, 2, 2);
    replica_receive(&node, &granted);
    CHECK_EQUAL(node.view.role, RAFT_PRE_CANDIDATE);
    replica_applied(&node, 5);
    raft_trim(node.raft, 5);
    replica_receive(&node, &granted);
    CHECK_EQUAL(node.view.role, RAFT_CANDIDATE);
    replica_close(&node);
}

// Terms that come to nothing on a log that has only the slots for no-ops left: none is used before
// a majority holds everything else, so they are there when the network is.
static void fruitless_terms_leave_the_slots_for_no_ops(void)
{
    replica_open(&node, 3);
    uint64_t last = node.config.log_entries - 1; // one slot is left
    struct raft_message append =
        replica_append(2, 1, (struct raft_entry_id){0}, 1, (uint32_t)last, 5);
    replica_receive(&node, &append);
    replica_settle(&node);
    for (uint32_t round = 0; round < 50; round++) {
        replica_lead(&node);
        CHECK_EQUAL(node.view.last, last);
        raft_check_invariants(node.raft);
        struct raft_input down = {.kind = RAFT_IN_STAND_DOWN};
        replica_step(&node, &down);
    }
    replica_lead(&node);
    CHECK_EQUAL(replica_propose(&node, 1), RAFT_BUSY);
    struct raft_message ack = replica_ack(2, node.view.term, last - 1, 0);
    replica_receive(&node, &ack);
    CHECK_EQUAL(node.view.last, last);
    ack = replica_ack(2, node.view.term, last, 0);
    replica_receive(&node, &ack);
    CHECK_EQUAL(node.view.last, last + 1);
    CHECK_EQUAL(node.view.commit, 5);
    replica_settle(&node);
    ack = replica_ack(2, node.view.term, last + 1, 0);
    replica_receive(&node, &ack);
    CHECK_EQUAL(node.view.commit, last + 1);
    replica_close(&node);
}

// A leader without room stays as long as no other voter would do better: one that holds all it has,
// is heard, and has room.
static void a_leader_without_room_gives_way(void)
{
    struct raft_input full = {.kind = RAFT_IN_ROOM, .has_room = false};
    struct raft_input roomy = {.kind = RAFT_IN_ROOM, .has_room = true};
    struct {
        bool intact, has_room, is_level, is_leader_full, gives_way;
    } cases[] = {{true, true, true, true, true},
                 {false, true, true, true, false},
                 {true, false, true, true, false},
                 {true, true, false, true, false},
                 {true, true, true, false, false}};
    for (uint32_t at = 0; at < sizeof(cases) / sizeof(cases[0]); at++) {
        replica_open(&node, 3);
        replica_lead(&node);
        replica_step(&node, &full);
        if (!cases[at].is_leader_full) {
            replica_step(&node, &roomy);
        }
        uint64_t until_ns = node.now_ns + 1500 * REPLICA_MS, patience_ns = 1000 * REPLICA_MS;
        while (node.now_ns < until_ns && node.view.role == RAFT_LEADER) {
            struct raft_message ack = replica_ack(3, node.view.term, 0, 0);
            replica_receive(&node, &ack); // the majority that check-quorum wants
            ack = replica_ack(2, node.view.term, node.view.last - !cases[at].is_level, 0);
            ack.intact = cases[at].intact;
            ack.has_room = cases[at].has_room;
            replica_receive(&node, &ack);
            replica_tick(&node, node.config.election_timeout_min_ns / 2 + 1);
            replica_collect(&node);
        }
        CHECK(node.now_ns + patience_ns / 2 >= until_ns);
        CHECK_EQUAL(node.view.role != RAFT_LEADER, cases[at].gives_way);
        replica_close(&node);
    }
}

// Whoever has no room leaves the first election to others, and stands when none of them does.
static void a_voter_without_room_stands_later(void)
{
    struct raft_input full = {.kind = RAFT_IN_ROOM, .has_room = false};
    replica_open(&node, 3);
    replica_step(&node, &full);
    replica_tick(&node, node.config.election_timeout_max_ns + 1);
    CHECK_EQUAL(node.view.role, RAFT_FOLLOWER);
    replica_tick(&node, node.config.election_timeout_max_ns + 1);
    CHECK_EQUAL(node.view.role, RAFT_PRE_CANDIDATE);
    replica_collect(&node);
    CHECK(!replica_sent(&node, RAFT_MSG_PRE_VOTE, 2)->has_room);
    replica_close(&node);
}

static void a_failed_disk_ends_candidacy_for_good(void)
{
    replica_open(&node, 3);
    replica_stand(&node);
    struct raft_input failed = {.kind = RAFT_IN_DISK_FAILED};
    replica_step(&node, &failed);
    CHECK_EQUAL(node.view.role, RAFT_FOLLOWER);
    replica_collect(&node);
    CHECK(!node.effects.hard_state_due);
    CHECK_EQUAL(node.effects.deadline_ns, UINT64_MAX);
    replica_tick(&node, 100 * node.config.election_timeout_max_ns);
    CHECK_EQUAL(node.view.role, RAFT_FOLLOWER);
    struct raft_message ask = replica_vote(RAFT_MSG_VOTE, 2, 9, (struct raft_entry_id){9, 9});
    CHECK_EQUAL(replica_receive(&node, &ask), RAFT_IGNORED);
    replica_close(&node);
}

static void a_leader_stands_down_when_told(void)
{
    replica_open(&node, 3);
    replica_lead(&node);
    struct raft_input down = {.kind = RAFT_IN_STAND_DOWN};
    replica_step(&node, &down);
    CHECK_EQUAL(node.view.role, RAFT_FOLLOWER);
    CHECK_EQUAL(node.view.term, 1);
    replica_collect(&node);
    CHECK(node.effects.role_changed);
    replica_lead(&node); // and may lead again, in another term
    CHECK_EQUAL(node.view.term, 2);
    replica_close(&node);
}

// S18, S19 of the fault list: the disk of the leader completes nothing any more. Its followers can
// commit without it, but it gives up leadership within a second, and another serves. Alone it has
// nobody to give it up to.
static void a_leader_whose_disk_stalls_is_replaced(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster_options options;
        cluster_default_options(&options, 3, seed);
        struct cluster *cluster = cluster_open(&options);
        CHECK(cluster_run_until(cluster, cluster_has_leader, 5 * options.election_max_ns));
        uint16_t leader = cluster_leader(cluster);
        cluster_run(cluster, 5000 * CLUSTER_MS); // idle: nothing to wait for is no stall
        CHECK_EQUAL(cluster_leader(cluster), leader);
        cluster_node(cluster, leader)->disk.slowdown = 1000000;
        CHECK_EQUAL(cluster_propose(cluster, leader, 1, 100), RAFT_OK);
        cluster_run(cluster, 1000 * CLUSTER_MS);
        uint16_t next = cluster_leader(cluster);
        CHECK(next != 0 && next != leader);
        CHECK_EQUAL(cluster_propose(cluster, next, 1, 100), RAFT_OK);
        cluster_close(cluster);
    }
}

static void a_leader_alone_waits_for_its_disk(void)
{
    struct cluster_options options;
    cluster_default_options(&options, 1, 1);
    struct cluster *cluster = cluster_open(&options);
    CHECK(cluster_run_until(cluster, cluster_has_leader, 5 * options.election_max_ns));
    cluster_node(cluster, 1)->disk.slowdown = 1000000;
    CHECK_EQUAL(cluster_propose(cluster, 1, 1, 100), RAFT_OK);
    cluster_run(cluster, 5000 * CLUSTER_MS);
    CHECK_EQUAL(cluster_leader(cluster), 1);
    cluster_close(cluster);
}

static void timeouts_differ_and_stay_within_their_bounds(void)
{
    uint64_t seen[50];
    for (uint64_t seed = 0; seed < 50; seed++) {
        replica_configure(&node, 3);
        node.config.seed = seed;
        replica_start(&node);
        replica_collect(&node);
        seen[seed] = node.effects.deadline_ns - node.now_ns;
        CHECK(seen[seed] >= node.config.election_timeout_min_ns);
        CHECK(seen[seed] <= node.config.election_timeout_max_ns);
        for (uint64_t other = 0; other < seed; other++) {
            CHECK(seen[other] != seen[seed]);
        }
        replica_close(&node);
    }
}

// Everybody starts at once, again and again: somebody leads within five timeouts.
static void elections_end(void)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct cluster_options options;
        cluster_default_options(&options, seed % 2 ? 3 : 5, seed);
        struct cluster *cluster = cluster_open(&options);
        CHECK(cluster_run_until(cluster, cluster_has_leader, 5 * options.election_max_ns));
        uint16_t leader = cluster_leader(cluster);
        cluster_crash(cluster, leader);
        CHECK(cluster_run_until(cluster, cluster_has_leader, 5 * options.election_max_ns));
        CHECK(cluster_leader(cluster) != leader);
        cluster_close(cluster);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(a_pre_vote_is_granted_only_where_an_election_could_be_won),
        TEST(no_message_names_a_term_that_is_none),
        TEST(a_pre_candidate_disturbs_nobody),
        TEST(votes_are_ignored_while_a_leader_is_heard),
        TEST(a_refusal_carries_the_newer_term),
        TEST(an_overtaken_promise_is_not_told),
        TEST(votes_of_strangers_and_of_nodes_that_lost_entries_do_not_count),
        TEST(a_node_with_a_full_log_does_not_stand),
        TEST(fruitless_terms_leave_the_slots_for_no_ops),
        TEST(a_leader_without_room_gives_way),
        TEST(a_voter_without_room_stands_later),
        TEST(a_failed_disk_ends_candidacy_for_good),
        TEST(a_leader_stands_down_when_told),
        TEST(a_leader_whose_disk_stalls_is_replaced),
        TEST(a_leader_alone_waits_for_its_disk),
        TEST(timeouts_differ_and_stay_within_their_bounds),
        TEST(elections_end),
    };
    return test_run("core vote", cases, TEST_COUNT(cases), argc, argv);
}
