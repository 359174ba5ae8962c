// Figure 2 of the Raft paper (Ongaro, Ousterhout, "In Search of an Understandable Consensus
// Algorithm", extended version): one test a rule, the rule above it, in the figure's order.
#include "tests/harness/cluster.h"
#include "tests/harness/harness.h"
#include "tests/unit/core/replica.h"

static struct replica node;

// State.

// "currentTerm: latest term server has seen (initialized to 0 on first boot, increases
// monotonically)"
static void current_term_starts_at_0_and_never_falls(void)
{
    replica_open(&node, 3);
    CHECK_EQUAL(node.view.term, 0);
    struct raft_message news = replica_append(2, 5, (struct raft_entry_id){0}, 0, 0, 0);
    replica_receive(&node, &news);
    CHECK_EQUAL(node.view.term, 5);
    struct raft_message old = replica_append(3, 4, (struct raft_entry_id){0}, 0, 0, 0);
    CHECK_EQUAL(replica_receive(&node, &old), RAFT_STALE);
    old = replica_vote(RAFT_MSG_VOTE, 3, 1, (struct raft_entry_id){0});
    CHECK_EQUAL(replica_receive(&node, &old), RAFT_STALE);
    CHECK_EQUAL(node.view.term, 5);
    replica_close(&node);
}

// "Persistent state on all servers (updated on stable storage before responding to RPCs)":
// currentTerm, votedFor
static void term_and_vote_are_durable_before_the_answer(void)
{
    replica_open(&node, 3);
    struct raft_message ask = replica_vote(RAFT_MSG_VOTE, 2, 1, (struct raft_entry_id){0});
    CHECK_EQUAL(replica_receive(&node, &ask), RAFT_OK);
    replica_collect(&node);
    CHECK(node.effects.hard_state_due);
    CHECK_EQUAL(node.effects.hard_state.term, 1);
    CHECK_EQUAL(node.effects.hard_state.voted_for, 2);
    CHECK(replica_sent(&node, RAFT_MSG_VOTE_REPLY, 2) == NULL);
    replica_sync_hard(&node);
    CHECK(replica_sent(&node, RAFT_MSG_VOTE_REPLY, 2)->vote_reply.granted);
    replica_close(&node);
}

// The same: log[]
static void entries_are_durable_before_the_answer(void)
{
    replica_open(&node, 3);
    struct raft_message append = replica_append(2, 1, (struct raft_entry_id){0}, 1, 3, 0);
    replica_receive(&node, &append);
    replica_collect(&node);
    CHECK(replica_sent(&node, RAFT_MSG_APPEND_REPLY, 2) == NULL); // the term is not durable either
    replica_sync_hard(&node);
    CHECK_EQUAL(replica_sent(&node, RAFT_MSG_APPEND_REPLY, 2)->append_reply.match, 0);
    replica_sync_log(&node);
    CHECK_EQUAL(replica_sent(&node, RAFT_MSG_APPEND_REPLY, 2)->append_reply.match, 3);
    replica_close(&node);
}

// "votedFor: candidateId that received vote in current term (or null if none)": it is forgotten
// with the term, and remembered over a restart.
static void the_vote_belongs_to_its_term(void)
{
    replica_configure(&node, 3);
    node.config.hard_state = (struct raft_hard_state){.term = 4, .voted_for = 2};
    replica_start(&node);
    struct raft_message ask = replica_vote(RAFT_MSG_VOTE, 3, 4, (struct raft_entry_id){9, 9});
    CHECK_EQUAL(replica_receive(&node, &ask), RAFT_IGNORED);
    ask.term = 5;
    CHECK_EQUAL(replica_receive(&node, &ask), RAFT_OK);
    replica_collect(&node);
    CHECK_EQUAL(node.effects.hard_state.voted_for, 3);
    replica_close(&node);
}

// "commitIndex: initialized to 0, increases monotonically"; "lastApplied: the same"
static void commit_and_applied_never_fall(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 1, (uint64_t[]){1, 1, 1, 0}, 3);
    struct raft_message heartbeat = replica_append(3, 2, (struct raft_entry_id){1, 3}, 0, 0, 1);
    replica_receive(&node, &heartbeat);
    CHECK_EQUAL(node.view.commit, 3);
    replica_close(&node);
}

// "nextIndex[]: initialized to leader last log index + 1"; "matchIndex[]: initialized to 0"
static void a_new_leader_knows_nothing_of_its_peers(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 1, (uint64_t[]){1, 1, 1, 0}, 3);
    replica_lead(&node);
    struct raft_peer_view views[3];
    CHECK_EQUAL(raft_peer_views(node.raft, views, 3), 3);
    for (uint32_t slot = 1; slot < 3; slot++) {
        CHECK_EQUAL(views[slot].match, 0);
        CHECK(views[slot].is_probing);
        // the no-op at 4 was the first entry sent: nextIndex began at 4
        CHECK_EQUAL(views[slot].next, 5);
    }
    replica_close(&node);
}

// AppendEntries RPC, receiver.

// "1. Reply false if term < currentTerm (§5.1)"
static void append_1_of_an_old_term_is_refused(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 4, (uint64_t[]){1, 0}, 1);
    struct raft_message append = replica_append(3, 3, (struct raft_entry_id){1, 1}, 3, 1, 2);
    CHECK_EQUAL(replica_receive(&node, &append), RAFT_STALE);
    replica_collect(&node);
    const struct raft_message *reply = replica_sent(&node, RAFT_MSG_APPEND_REPLY, 3);
    CHECK_EQUAL(reply->append_reply.result, RAFT_APPEND_REJECTED);
    CHECK_EQUAL(reply->term, 4);
    CHECK_TEXT(replica_log(&node), "1");
    CHECK_EQUAL(node.view.leader, 2);
    replica_close(&node);
}

// "2. Reply false if log doesn't contain an entry at prevLogIndex whose term matches prevLogTerm
// (§5.3)"
static void append_2_needs_the_previous_entry(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 2, (uint64_t[]){1, 1, 2, 2, 0}, 1);
    struct raft_message append = replica_append(3, 4, (struct raft_entry_id){3, 4}, 4, 1, 5);
    CHECK_EQUAL(replica_receive(&node, &append), RAFT_MISMATCH); // same index, other term
    replica_settle(&node);
    append = replica_append(3, 4, (struct raft_entry_id){3, 4}, 4, 1, 5);
    replica_receive(&node, &append);
    replica_collect(&node);
    const struct raft_append_reply *reply =
        &replica_sent(&node, RAFT_MSG_APPEND_REPLY, 3)->append_reply;
    CHECK_EQUAL(reply->result, RAFT_APPEND_REJECTED);
    CHECK_EQUAL(reply->conflict.term, 2);
    CHECK_EQUAL(reply->conflict.index, 3);
    CHECK_EQUAL(reply->match, 1);
    append = replica_append(3, 4, (struct raft_entry_id){4, 9}, 4, 1, 5);
    CHECK_EQUAL(replica_receive(&node, &append), RAFT_MISMATCH); // no such index
    replica_collect(&node);
    reply = &replica_sent(&node, RAFT_MSG_APPEND_REPLY, 3)->append_reply;
    CHECK_EQUAL(reply->conflict.term, 0);
    CHECK_EQUAL(reply->conflict.index, 5);
    CHECK_TEXT(replica_log(&node), "1 1 2 2");
    replica_close(&node);
}

// "3. If an existing entry conflicts with a new one (same index but different terms), delete the
// existing entry and all that follow it (§5.3)"
static void append_3_cuts_a_conflicting_tail(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 2, (uint64_t[]){1, 1, 2, 2, 2, 0}, 1);
    struct raft_message append = replica_append(3, 3, (struct raft_entry_id){1, 2}, 3, 1, 1);
    CHECK_EQUAL(replica_receive(&node, &append), RAFT_OK);
    CHECK_EQUAL(node.accept.truncate_from, 3);
    CHECK_EQUAL(node.accept.range.first, 3);
    CHECK_EQUAL(node.accept.range.last, 3);
    CHECK_EQUAL(node.accept.prev_term, 1);
    CHECK_TEXT(replica_log(&node), "1 1 3");
    CHECK_EQUAL(node.view.synced, 2);
    replica_close(&node);
}

// "4. Append any new entries not already in the log"
static void append_4_takes_only_what_is_new(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 1, (uint64_t[]){1, 1, 1, 0}, 1);
    struct raft_message append = replica_append(2, 1, (struct raft_entry_id){1, 1}, 1, 4, 1);
    CHECK_EQUAL(replica_receive(&node, &append), RAFT_OK);
    CHECK_EQUAL(node.accept.truncate_from, 0);
    CHECK_EQUAL(node.accept.range.first, 4);
    CHECK_EQUAL(node.accept.range.last, 5);
    CHECK_TEXT(replica_log(&node), "1 1 1 1 1");
    CHECK_EQUAL(node.pending_count, 2);
    replica_close(&node);
}

// "5. If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new entry)"
static void append_5_commits_no_further_than_the_message_proves(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 1, (uint64_t[]){1, 1, 1, 1, 0}, 0);
    struct raft_message append = replica_append(3, 2, (struct raft_entry_id){1, 1}, 1, 1, 4);
    replica_receive(&node, &append); // entries 3 and 4 may not be in leader 3's log
    CHECK_EQUAL(node.view.commit, 2);
    append = replica_append(3, 2, (struct raft_entry_id){1, 2}, 2, 2, 3);
    replica_receive(&node, &append);
    CHECK_EQUAL(node.view.commit, 4); // told 4 before, and now 3 and 4 are the leader's
    CHECK_TEXT(replica_log(&node), "1 1 2 2");
    replica_close(&node);
}

// RequestVote RPC, receiver.

// "1. Reply false if term < currentTerm (§5.1)"
static void vote_1_of_an_old_term_is_refused(void)
{
    replica_configure(&node, 3);
    node.config.hard_state.term = 4;
    replica_start(&node);
    struct raft_message ask = replica_vote(RAFT_MSG_VOTE, 3, 3, (struct raft_entry_id){3, 9});
    CHECK_EQUAL(replica_receive(&node, &ask), RAFT_STALE);
    replica_collect(&node);
    const struct raft_message *reply = replica_sent(&node, RAFT_MSG_VOTE_REPLY, 3);
    CHECK(!reply->vote_reply.granted);
    CHECK_EQUAL(reply->term, 4);
    replica_close(&node);
}

// "2. If votedFor is null or candidateId, and candidate's log is at least as up-to-date as
// receiver's log, grant vote (§5.2, §5.4)"; "If the logs have last entries with different terms,
// then the log with the later term is more up-to-date. If the logs end with the same term, then
// whichever log is longer is more up-to-date." (§5.4.1)
static void vote_2_only_for_a_log_that_is_not_behind(void)
{
    static const struct {
        struct raft_entry_id last;
        bool is_granted;
    } rows[] = {
        {{2, 3}, true},  {{2, 4}, true},   {{3, 1}, true},
        {{2, 2}, false}, {{1, 99}, false}, {{0, 0}, false},
    };
    for (size_t at = 0; at < TEST_COUNT(rows); at++) {
        replica_open(&node, 3);
        replica_follow(&node, 2, (uint64_t[]){1, 2, 2, 0}, 0);
        replica_tick(&node, node.config.election_timeout_max_ns); // the leader is silent
        struct raft_message ask = replica_vote(RAFT_MSG_VOTE, 3, 9, rows[at].last);
        CHECK_EQUAL(replica_receive(&node, &ask), rows[at].is_granted ? RAFT_OK : RAFT_IGNORED);
        CHECK_EQUAL(node.view.term, 9);
        replica_collect(&node);
        CHECK_EQUAL(node.effects.hard_state.voted_for, rows[at].is_granted ? 3 : 0);
        replica_close(&node);
    }
}

// The same: "votedFor is null or candidateId". Asked again by the same candidate it says yes again.
static void vote_2_once_a_term(void)
{
    replica_open(&node, 3);
    struct raft_message ask = replica_vote(RAFT_MSG_VOTE, 2, 1, (struct raft_entry_id){0});
    CHECK_EQUAL(replica_receive(&node, &ask), RAFT_OK);
    replica_settle(&node);
    struct raft_message other = replica_vote(RAFT_MSG_VOTE, 3, 1, (struct raft_entry_id){9, 9});
    CHECK_EQUAL(replica_receive(&node, &other), RAFT_IGNORED);
    replica_collect(&node);
    CHECK(!replica_sent(&node, RAFT_MSG_VOTE_REPLY, 3)->vote_reply.granted);
    CHECK_EQUAL(replica_receive(&node, &ask), RAFT_OK);
    replica_collect(&node);
    CHECK(replica_sent(&node, RAFT_MSG_VOTE_REPLY, 2)->vote_reply.granted);
    replica_close(&node);
}

// Rules for all servers.

// "If commitIndex > lastApplied: increment lastApplied, apply log[lastApplied] to state machine
// (§5.3)"
static void all_1_committed_entries_are_applied_in_order_and_once(void)
{
    replica_open(&node, 3);
    struct raft_message append = replica_append(2, 1, (struct raft_entry_id){0}, 1, 5, 2);
    replica_receive(&node, &append);
    replica_collect(&node);
    CHECK_EQUAL(node.effects.apply.first, 1);
    CHECK_EQUAL(node.effects.apply.last, 2);
    append = replica_append(2, 1, (struct raft_entry_id){1, 5}, 0, 0, 5);
    replica_receive(&node, &append);
    replica_collect(&node);
    CHECK_EQUAL(node.effects.apply.first, 3);
    CHECK_EQUAL(node.effects.apply.last, 5);
    replica_applied(&node, 5);
    replica_collect(&node);
    CHECK(node.effects.apply.last < node.effects.apply.first);
    CHECK_EQUAL(node.view.applied, 5);
    replica_close(&node);
}

// "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to
// follower (§5.1)"
static void all_2_a_newer_term_makes_a_follower(void)
{
    struct raft_message news[] = {
        replica_append(2, 7, (struct raft_entry_id){0}, 0, 0, 0),
        replica_message(RAFT_MSG_APPEND_REPLY, 2, 7),
        replica_message(RAFT_MSG_VOTE_REPLY, 2, 7),
        replica_message(RAFT_MSG_PRE_VOTE_REPLY, 2, 7),
    };
    for (size_t at = 0; at < TEST_COUNT(news); at++) {
        replica_open(&node, 3);
        replica_lead(&node);
        replica_receive(&node, &news[at]);
        CHECK_EQUAL(node.view.role, RAFT_FOLLOWER);
        CHECK_EQUAL(node.view.term, 7);
        replica_close(&node);
    }
}

// Followers.

// "Respond to RPCs from candidates and leaders": vote and append are answered above.
// "If election timeout elapses without receiving AppendEntries RPC from current leader or granting
// vote to candidate: convert to candidate" (here by way of a pre-vote, thesis §9.6)
static void followers_stand_when_nobody_leads(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 1, (uint64_t[]){1, 0}, 0);
    for (int beat = 0; beat < 20; beat++) {
        replica_tick(&node, 2 * REPLICA_MS);
        struct raft_message heartbeat = replica_append(2, 1, (struct raft_entry_id){1, 1}, 0, 0, 0);
        replica_receive(&node, &heartbeat);
        CHECK_EQUAL(node.view.role, RAFT_FOLLOWER);
    }
    replica_tick(&node, node.config.election_timeout_min_ns - 1);
    CHECK_EQUAL(node.view.role, RAFT_FOLLOWER);
    replica_tick(&node, node.config.election_timeout_max_ns);
    CHECK_EQUAL(node.view.role, RAFT_PRE_CANDIDATE);
    replica_close(&node);
}

// The same: "or granting vote to candidate"
static void a_granted_vote_puts_the_election_off(void)
{
    replica_open(&node, 3);
    replica_tick(&node, node.config.election_timeout_min_ns - 1);
    struct raft_message ask = replica_vote(RAFT_MSG_VOTE, 2, 1, (struct raft_entry_id){0});
    CHECK_EQUAL(replica_receive(&node, &ask), RAFT_OK);
    replica_tick(&node, node.config.election_timeout_min_ns - 1);
    CHECK_EQUAL(node.view.role, RAFT_FOLLOWER);
    replica_close(&node);
}

// Candidates.

// "On conversion to candidate, start election: increment currentTerm, vote for self, reset election
// timer, send RequestVote RPCs to all other servers"
static void candidates_1_start_an_election(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 1, (uint64_t[]){1, 0}, 0);
    replica_stand(&node);
    CHECK_EQUAL(node.view.term, 2);
    CHECK_EQUAL(node.hard_state.voted_for, REPLICA_SELF);
    CHECK(node.effects.deadline_ns >= node.now_ns + node.config.election_timeout_min_ns);
    CHECK(replica_sent(&node, RAFT_MSG_VOTE, 2) == NULL); // our own vote is not durable yet
    replica_sync_hard(&node);
    for (uint16_t to = 2; to <= 3; to++) {
        const struct raft_message *ask = replica_sent(&node, RAFT_MSG_VOTE, to);
        CHECK_EQUAL(ask->term, 2);
        CHECK_EQUAL(ask->vote.last.term, 1);
        CHECK_EQUAL(ask->vote.last.index, 1);
    }
    replica_close(&node);
}

// "If votes received from majority of servers: become leader"
static void candidates_2_lead_with_a_majority(void)
{
    replica_open(&node, 5);
    replica_stand(&node);
    replica_sync_hard(&node);
    struct raft_message granted = replica_granted(RAFT_MSG_VOTE_REPLY, 2, 1);
    replica_receive(&node, &granted);
    CHECK_EQUAL(node.view.role, RAFT_CANDIDATE);
    granted.from = 5;
    replica_receive(&node, &granted);
    CHECK_EQUAL(node.view.role, RAFT_LEADER);
    replica_close(&node);
}

// "If AppendEntries RPC received from new leader: convert to follower"
static void candidates_3_give_way_to_a_leader(void)
{
    replica_open(&node, 3);
    replica_stand(&node);
    struct raft_message heartbeat = replica_append(3, 1, (struct raft_entry_id){0}, 0, 0, 0);
    CHECK_EQUAL(replica_receive(&node, &heartbeat), RAFT_OK);
    CHECK_EQUAL(node.view.role, RAFT_FOLLOWER);
    CHECK_EQUAL(node.view.leader, 3);
    replica_close(&node);
}

// "If election timeout elapses: start new election"
static void candidates_4_try_again(void)
{
    replica_open(&node, 3);
    replica_stand(&node);
    CHECK_EQUAL(node.view.term, 1);
    replica_sync_hard(&node);
    replica_stand(&node);
    CHECK_EQUAL(node.view.term, 2);
    replica_close(&node);
}

// Leaders.

// "Upon election: send initial empty AppendEntries RPCs (heartbeat) to each server; repeat during
// idle periods to prevent election timeouts (§5.2)"
static void leaders_1_are_heard_at_once_and_always(void)
{
    replica_open(&node, 3);
    replica_stand(&node);
    replica_sync_hard(&node);
    struct raft_message granted = replica_granted(RAFT_MSG_VOTE_REPLY, 2, 1);
    replica_receive(&node, &granted);
    replica_collect(&node);
    CHECK_EQUAL(replica_range(&node, 2).last, 1); // the no-op serves as the first heartbeat
    CHECK_EQUAL(replica_range(&node, 3).last, 1);
    for (int beat = 0; beat < 4; beat++) {
        CHECK(node.effects.deadline_ns <= node.now_ns + node.config.heartbeat_ns);
        replica_tick(&node, node.config.heartbeat_ns);
        replica_collect(&node);
        CHECK(replica_sent(&node, RAFT_MSG_APPEND, 2) != NULL);
        CHECK(replica_sent(&node, RAFT_MSG_APPEND, 3) != NULL);
    }
    replica_close(&node);
}

// "If command received from client: append entry to local log, respond after entry applied to state
// machine (§5.3)"
static void leaders_2_append_commands_and_apply_them_when_committed(void)
{
    replica_open(&node, 3);
    replica_lead(&node);
    CHECK_EQUAL(replica_propose(&node, 2), RAFT_OK);
    CHECK_EQUAL(node.accept.range.first, 2);
    CHECK_EQUAL(node.accept.range.last, 3);
    replica_settle(&node);
    CHECK(node.effects.apply.last < node.effects.apply.first);
    struct raft_message ack = replica_ack(2, 1, 3, 1);
    replica_receive(&node, &ack);
    replica_collect(&node);
    CHECK_EQUAL(node.effects.apply.first, 1);
    CHECK_EQUAL(node.effects.apply.last, 3);
    replica_close(&node);
    replica_open(&node, 3);
    CHECK_EQUAL(replica_propose(&node, 1), RAFT_NOT_LEADER);
    CHECK_TEXT(replica_log(&node), "");
    replica_close(&node);
}

// "If last log index ≥ nextIndex for a follower: send AppendEntries RPC with log entries starting
// at nextIndex. If successful: update nextIndex and matchIndex for follower (§5.3)"
static void leaders_3_send_from_next_index(void)
{
    replica_open(&node, 3);
    replica_lead(&node);
    struct raft_message ack = replica_ack(2, 1, 1, 1);
    replica_receive(&node, &ack);
    replica_propose(&node, 5);
    replica_collect(&node);
    CHECK_EQUAL(replica_range(&node, 2).first, 2);
    CHECK_EQUAL(replica_range(&node, 2).last, 6);
    struct raft_message header;
    raft_append_header(node.raft, 2, 2, &header);
    CHECK_EQUAL(header.append.prev.index, 1);
    CHECK_EQUAL(header.append.prev.term, 1);
    ack = replica_ack(2, 1, 6, 1);
    replica_receive(&node, &ack);
    struct raft_peer_view views[3];
    raft_peer_views(node.raft, views, 3);
    CHECK_EQUAL(views[1].match, 6);
    CHECK_EQUAL(views[1].next, 7);
    replica_close(&node);
}

// The same: "If AppendEntries fails because of log inconsistency: decrement nextIndex and retry
// (§5.3)"; "the leader can decrement nextIndex to bypass all of the conflicting entries in that
// term" (§5.3)
static void leaders_3_go_back_a_whole_term_after_a_mismatch(void)
{
    replica_open(&node, 3);
    replica_follow(&node, 6, (uint64_t[]){1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 0}, 0); // figure 7, top
    replica_lead(&node);
    // Figure 7 (f): 1 1 1 2 2 2 3 3 3 3 3; our prev (6,10) meets its (3,10).
    struct raft_message reject = replica_reject(2, 7, (struct raft_entry_id){3, 7});
    replica_receive(&node, &reject);
    replica_collect(&node);
    CHECK_EQUAL(replica_range(&node, 2).first, 7); // we have no term 3
    reject = replica_reject(2, 7, (struct raft_entry_id){2, 4});
    replica_receive(&node, &reject);
    replica_collect(&node);
    CHECK_EQUAL(replica_range(&node, 2).first, 4);
    // Figure 7 (b): 1 1 1 4; it says its log ends at 4.
    reject = replica_reject(3, 7, (struct raft_entry_id){0, 5});
    replica_receive(&node, &reject);
    replica_collect(&node);
    CHECK_EQUAL(replica_range(&node, 3).first, 5);
    replica_close(&node);
}

// "If there exists an N such that N > commitIndex, a majority of matchIndex[i] ≥ N, and
// log[N].term == currentTerm: set commitIndex = N (§5.3, §5.4)"
static void leaders_4_commit_what_a_majority_holds(void)
{
    replica_open(&node, 5);
    replica_lead(&node);
    replica_propose(&node, 9);
    replica_settle(&node);
    struct raft_message ack = replica_ack(2, 1, 9, 1);
    replica_receive(&node, &ack);
    CHECK_EQUAL(node.view.commit, 0);
    ack = replica_ack(3, 1, 4, 1);
    replica_receive(&node, &ack);
    CHECK_EQUAL(node.view.commit, 4); // 10 9 [4] 0 0
    ack = replica_ack(4, 1, 7, 1);
    replica_receive(&node, &ack);
    CHECK_EQUAL(node.view.commit, 7); // 10 9 [7] 4 0
    replica_close(&node);
}

// The same: "and log[N].term == currentTerm": figure 8 (c). Entry 2 of term 2 is on a majority, yet
// not committed; with an entry of term 4 on a majority it is.
static void leaders_4_commit_only_their_own_term_by_counting(void)
{
    replica_configure(&node, 5);
    node.config.hard_state.term = 3;
    replica_start(&node);
    raft_restore_begin(node.raft, (struct raft_entry_id){0});
    struct raft_entry_head head = {.kind = RAFT_ENTRY_NOOP};
    CHECK_EQUAL(raft_restore_entry(node.raft, (struct raft_entry_id){1, 1}, 0, &head, 0), 0);
    CHECK_EQUAL(raft_restore_entry(node.raft, (struct raft_entry_id){2, 2}, 1, &head, 0), 0);
    raft_restore_end(node.raft, node.now_ns);
    raft_view(node.raft, &node.view);
    replica_lead(&node);
    CHECK_EQUAL(node.view.term, 4);
    for (uint16_t from = 2; from <= 5; from++) {
        struct raft_message ack = replica_ack(from, 4, 2, 1);
        replica_receive(&node, &ack);
        CHECK_EQUAL(node.view.commit, 0);
    }
    struct raft_message ack = replica_ack(2, 4, 3, 1);
    replica_receive(&node, &ack);
    CHECK_EQUAL(node.view.commit, 0);
    ack = replica_ack(3, 4, 3, 1);
    replica_receive(&node, &ack);
    CHECK_EQUAL(node.view.commit, 3);
    replica_close(&node);
}

// Thesis §10.2.1: the leader's own copy counts like any other, when it is durable.
static void leaders_may_commit_before_their_own_disk(void)
{
    replica_open(&node, 3);
    replica_lead(&node);
    replica_propose(&node, 1);
    replica_collect(&node); // not durable here
    struct raft_message ack = replica_ack(2, 1, 2, 1);
    replica_receive(&node, &ack);
    CHECK_EQUAL(node.view.commit, 1);
    ack = replica_ack(3, 1, 2, 1);
    replica_receive(&node, &ack);
    CHECK_EQUAL(node.view.commit, 2);
    CHECK_EQUAL(node.view.synced, 1);
    replica_close(&node);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(current_term_starts_at_0_and_never_falls),
        TEST(term_and_vote_are_durable_before_the_answer),
        TEST(entries_are_durable_before_the_answer),
        TEST(the_vote_belongs_to_its_term),
        TEST(commit_and_applied_never_fall),
        TEST(a_new_leader_knows_nothing_of_its_peers),
        TEST(append_1_of_an_old_term_is_refused),
        TEST(append_2_needs_the_previous_entry),
        TEST(append_3_cuts_a_conflicting_tail),
        TEST(append_4_takes_only_what_is_new),
        TEST(append_5_commits_no_further_than_the_message_proves),
        TEST(vote_1_of_an_old_term_is_refused),
        TEST(vote_2_only_for_a_log_that_is_not_behind),
        TEST(vote_2_once_a_term),
        TEST(all_1_committed_entries_are_applied_in_order_and_once),
        TEST(all_2_a_newer_term_makes_a_follower),
        TEST(followers_stand_when_nobody_leads),
        TEST(a_granted_vote_puts_the_election_off),
        TEST(candidates_1_start_an_election),
        TEST(candidates_2_lead_with_a_majority),
        TEST(candidates_3_give_way_to_a_leader),
        TEST(candidates_4_try_again),
        TEST(leaders_1_are_heard_at_once_and_always),
        TEST(leaders_2_append_commands_and_apply_them_when_committed),
        TEST(leaders_3_send_from_next_index),
        TEST(leaders_3_go_back_a_whole_term_after_a_mismatch),
        TEST(leaders_4_commit_what_a_majority_holds),
        TEST(leaders_4_commit_only_their_own_term_by_counting),
        TEST(leaders_may_commit_before_their_own_disk),
    };
    return test_run("core paper", cases, TEST_COUNT(cases), argc, argv);
}
