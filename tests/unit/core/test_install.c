// Parallel groups, one rule a test: promise, merge, install, barrier, holes, dependencies
// (engine/README.md, "Parallel groups").
#include "tests/harness/harness.h"

#include "engine/core/parallel.h"
#include "tests/unit/core/replica.h"

static struct replica node;

static void open_node(uint32_t voters)
{
    replica_configure(&node, voters);
    node.config.order = RAFT_ORDER_PARALLEL;
    node.config.span_entries = 32;
    replica_start(&node);
}

static struct raft_message in_parallel(struct raft_message message)
{
    message.is_parallel = true;
    return message;
}

// An append of the leader `from` of `term`, whose recovered log ends at `end`.
static struct raft_message append_of(uint16_t from, uint64_t term, uint64_t first, uint32_t count,
                                     uint64_t end, uint64_t commit)
{
    struct raft_message message = in_parallel(replica_append(
        from, term, (struct raft_entry_id){.index = first - 1}, term, count, commit));
    message.append.has_sync = true;
    message.append.sync_end = end;
    return message;
}

static void receive(struct raft_message message)
{
    replica_receive(&node, &message);
}

static const struct raft_message *settle_and_answer(uint16_t to)
{
    static struct raft_message answer;
    replica_settle(&node);
    node.now_ns += 3 * REPLICA_MS;
    for (uint32_t at = 0; at < node.effects.message_count; at++) {
        if (node.effects.messages[at].to == to) {
            answer = node.effects.messages[at];
        }
    }
    return &answer;
}

// Follows node 2 in `term` with entries 1..last, all of them of its service.
static void follow(uint64_t term, uint64_t last)
{
    receive(append_of(2, term, 1, 0, 0, 0));
    replica_settle(&node);
    receive(append_of(2, term, 1, (uint32_t)last, 0, 0));
    replica_settle(&node);
    CHECK_EQUAL(node.view.sync_term, term);
    CHECK_EQUAL(node.view.synced, last);
}

static struct raft_message reported(uint16_t from, uint64_t term, struct raft_report report)
{
    struct raft_message message = in_parallel(replica_granted(RAFT_MSG_VOTE_REPLY, from, term));
    message.vote_reply.report = report;
    return message;
}

static void stand(void)
{
    replica_tick(&node, 50 * REPLICA_MS);
    replica_collect(&node);
    for (uint16_t from = 2; node.view.role == RAFT_PRE_CANDIDATE; from++) {
        receive(in_parallel(replica_granted(RAFT_MSG_PRE_VOTE_REPLY, from, node.view.term + 1)));
    }
    CHECK_EQUAL(node.view.role, RAFT_CANDIDATE);
    replica_collect(&node);
    replica_sync_hard(&node);
}

static struct raft_message installed_ack(uint16_t from, uint64_t match)
{
    struct raft_message message = in_parallel(replica_ack(from, node.view.term, match, 0));
    message.append_reply.is_installed = true;
    return message;
}

// Leads three nodes of empty logs and serves.
static void lead(void)
{
    stand();
    receive(reported(2, node.view.term, (struct raft_report){.first = 1}));
    replica_settle(&node);
    receive(installed_ack(2, 0));
    CHECK(order_knows_commit(node.raft));
}

static void propose_kind(enum raft_entry_kind kind, uint64_t start, uint64_t client,
                         uint64_t sequence)
{
    const struct raft_entry_head head = {
        .client = client, .sequence = sequence, .bytes = 10, .kind = (uint8_t)kind};
    const struct raft_footprint range[RAFT_FOOTPRINTS_MAX] = {{.start = start, .length = 4}};
    const uint8_t count = 1;
    struct raft_input input = {
        .kind = RAFT_IN_PROPOSE,
        .propose = {.heads = &head, .count = 1, .footprints = range, .footprint_counts = &count}};
    CHECK_EQUAL(replica_step(&node, &input), RAFT_OK);
}

static void propose_at(uint64_t start, uint64_t client, uint64_t sequence)
{
    propose_kind(RAFT_ENTRY_COMMAND, start, client, sequence);
}

// Entry `index` alone, beyond `match`, is durable at the peer.
static void ack_one(uint16_t from, uint64_t match, uint64_t index)
{
    struct raft_message message = installed_ack(from, match);
    message.append_reply.acked_count = (uint32_t)(index - match);
    bitmap_set(message.append_reply.acked, (uint32_t)(index - match - 1));
    receive(message);
}

// --- the promise ---

// A follower has room though it takes no proposals: it stands when the first timeout has passed,
// and its leader may count on it.
static void a_follower_with_room_stands_at_once(void)
{
    open_node(3);
    follow(1, 2);
    receive(append_of(2, 1, 3, 0, 0, 0));
    replica_collect(&node);
    const struct raft_message *reply = replica_sent(&node, RAFT_MSG_APPEND_REPLY, 2);
    CHECK(reply != NULL && reply->has_room);
    replica_tick(&node, node.config.election_timeout_max_ns + 1);
    CHECK_EQUAL(node.view.role, RAFT_PRE_CANDIDATE);
    replica_close(&node);
}

static void an_append_of_an_old_term_is_answered(void)
{
    open_node(3);
    follow(3, 2);
    receive(append_of(3, 2, 1, 1, 0, 0));
    replica_collect(&node); // checks that it can be encoded
    const struct raft_message *reply = replica_sent(&node, RAFT_MSG_APPEND_REPLY, 3);
    CHECK(reply != NULL && reply->term == 3);
    CHECK(!reply->append_reply.is_installed && reply->append_reply.match == 0);
    replica_close(&node);
}

// A checkpoint may come before any log is installed: there is nothing to claim or report yet.
static void a_checkpoint_without_a_log_claims_nothing(void)
{
    open_node(3);
    receive(in_parallel(replica_append(2, 1, (struct raft_entry_id){0}, 0, 0, 0)));
    struct raft_input installed = {.kind = RAFT_IN_INSTALLED, .installed = {1, 40}};
    replica_step(&node, &installed);
    replica_settle(&node);
    node.now_ns += 50 * REPLICA_MS;
    receive(in_parallel(replica_vote(RAFT_MSG_VOTE, 3, 2, (struct raft_entry_id){1, 0})));
    replica_collect(&node);
    replica_sync_hard(&node);
    const struct raft_message *reply = replica_sent(&node, RAFT_MSG_VOTE_REPLY, 3);
    CHECK(reply != NULL && reply->vote_reply.granted);
    CHECK_EQUAL(reply->vote_reply.report.floor, 0);
    CHECK_EQUAL(reply->vote_reply.report.commit, 40);
    replica_tick(&node, 50 * REPLICA_MS); // stands
    replica_collect(&node);
    CHECK(replica_sent(&node, RAFT_MSG_PRE_VOTE, 2) != NULL);
    replica_close(&node);
}

// By the newest log that is installed, then by how much of it is here without a hole.
static void a_voter_refuses_whose_log_is_behind_its_own(void)
{
    static const struct {
        struct raft_entry_id claim;
        bool is_granted;
    } rows[] = {{{2, 9}, false}, {{3, 1}, false}, {{3, 2}, true}, {{4, 0}, true}};
    for (uint32_t at = 0; at < 4; at++) {
        open_node(3);
        follow(3, 2);
        node.now_ns += 50 * REPLICA_MS;
        receive(in_parallel(replica_vote(RAFT_MSG_VOTE, 3, 5, rows[at].claim)));
        replica_collect(&node);
        replica_sync_hard(&node);
        const struct raft_message *reply = replica_sent(&node, RAFT_MSG_VOTE_REPLY, 3);
        CHECK_EQUAL(reply != NULL && reply->vote_reply.granted, rows[at].is_granted);
        replica_close(&node);
    }
}

// --- the install ---

// What the leader merged of it stays; what it reported in a former life, or to nobody, may be
// other entries than those that it has now.
static void only_what_was_reported_in_this_life_stays(void)
{
    for (uint32_t has_voted = 0; has_voted < 2; has_voted++) {
        open_node(3);
        follow(1, 6);
        if (has_voted) {
            node.now_ns += 50 * REPLICA_MS;
            receive(in_parallel(replica_vote(RAFT_MSG_VOTE, 3, 2, (struct raft_entry_id){1, 6})));
            replica_collect(&node);
            replica_sync_hard(&node);
        }
        struct raft_message append = append_of(3, 2, 1, 0, 5, 0);
        append.append.sync_from = 1;
        receive(append);
        replica_settle(&node);
        CHECK_EQUAL(node.view.sync_term, has_voted ? 2 : 1);
        CHECK_EQUAL(node.view.last, has_voted ? 5 : 6);
        replica_close(&node);
    }
}

// I1: entries of a term are taken only when its log is installed, and nothing of it is acknowledged
// before.
static void nothing_is_acknowledged_before_the_sync_record_is_durable(void)
{
    open_node(3);
    follow(1, 3);
    receive(append_of(2, 2, 4, 2, 3, 0)); // the service of term 2
    replica_collect(&node);
    replica_sync_hard(&node);
    CHECK(node.has_sync == false || node.view.sync_term == 1);
    const struct raft_message *reply = replica_sent(&node, RAFT_MSG_APPEND_REPLY, 2);
    CHECK(reply == NULL || !reply->append_reply.is_installed);
    CHECK(raft_entry_at(node.raft, 4) == NULL);
    replica_close(&node);
}

// "Deletes everything above end", and what was not reported to this leader.
static void an_install_purges_what_is_not_of_it(void)
{
    open_node(3);
    follow(1, 6);
    receive(append_of(2, 1, 7, 0, 0, 2)); // 1 and 2 are committed
    receive(append_of(3, 2, 1, 0, 4, 2));
    replica_settle(&node);
    CHECK_EQUAL(node.view.sync_term, 1); // 3 and 4 are missing
    CHECK_EQUAL(node.view.last, 6);      // and nothing is given up before they are here
    receive(append_of(3, 2, 3, 2, 4, 2));
    CHECK(node.accept.is_staged);
    replica_settle(&node);
    CHECK_EQUAL(node.view.sync_term, 2);
    CHECK_EQUAL(node.view.held, 4);
    CHECK_EQUAL(raft_entry_at(node.raft, 3)->head.sequence, 2003); // of the new leader
    CHECK_EQUAL(raft_entry_at(node.raft, 2)->term, 2);             // stamped
    replica_close(&node);
}

static void a_repeated_sync_is_only_answered(void)
{
    open_node(3);
    follow(1, 2);
    receive(append_of(2, 2, 1, 2, 2, 0));
    replica_settle(&node);
    receive(append_of(2, 2, 3, 3, 2, 0));
    replica_settle(&node);
    CHECK_EQUAL(node.view.synced, 5);
    receive(append_of(2, 2, 1, 0, 2, 0));
    replica_settle(&node);
    CHECK_EQUAL(node.view.synced, 5);
    CHECK(!node.raft->parallel->is_staging);
    replica_close(&node);
}

// Before the record is handed out a rising term ends the install, and what was held stays held.
static void a_rising_term_gives_an_install_up(void)
{
    open_node(3);
    follow(1, 6);
    receive(append_of(3, 2, 1, 1, 4, 0));
    CHECK(node.raft->parallel->is_staging);
    receive(append_of(2, 3, 1, 0, 0, 0)); // without has_sync it says only its term
    CHECK_EQUAL(node.view.term, 3);
    CHECK_EQUAL(node.view.last, 6);
    CHECK_EQUAL(node.view.sync_term, 1);
    replica_close(&node);
}

// Past that there is no way back: the disk may have it. Votes wait, and the answer to the next
// leader does not pass off the former term's log as its own.
static void past_the_point_of_no_return_the_record_is_awaited(void)
{
    open_node(3);
    follow(1, 2);
    receive(append_of(2, 2, 1, 2, 2, 0));
    replica_collect(&node);
    replica_sync_hard(&node);
    struct replica_write *writes = node.pending;
    for (uint32_t at = 0; at < node.pending_count; at++) {
        replica_synced(&node, writes[at].id.index, writes[at].id.index, writes[at].epoch);
    }
    node.pending_count = 0;
    CHECK(node.has_sync);
    node.now_ns += 50 * REPLICA_MS;
    receive(in_parallel(replica_vote(RAFT_MSG_VOTE, 3, 3, (struct raft_entry_id){2, 9})));
    CHECK_EQUAL(node.outcome, RAFT_IGNORED);
    receive(append_of(3, 3, 1, 0, 4, 0));
    replica_collect(&node);
    replica_sync_hard(&node);
    const struct raft_message *reply = replica_sent(&node, RAFT_MSG_APPEND_REPLY, 3);
    CHECK(reply != NULL && !reply->append_reply.is_installed);
    CHECK_EQUAL(reply->append_reply.match, 0);
    struct raft_input done = {.kind = RAFT_IN_SYNC, .sync_term = 2};
    CHECK_EQUAL(replica_step(&node, &done), RAFT_OK);
    CHECK_EQUAL(node.view.sync_term, 2);
    CHECK_EQUAL(node.view.last, 2);
    replica_close(&node);
}

// A floor told by the leader counts only for entries of its log.
static void a_told_floor_waits_for_the_install(void)
{
    open_node(3);
    follow(1, 6);
    receive(append_of(3, 2, 1, 0, 4, 4));
    CHECK_EQUAL(node.view.commit, 0);
    CHECK_EQUAL(node.view.commit_told, 0);
    receive(append_of(3, 2, 1, 4, 4, 4));
    replica_settle(&node);
    receive(append_of(3, 2, 5, 0, 4, 4));
    CHECK_EQUAL(node.view.commit, 4);
    replica_close(&node);
}

// The hard state outlives the record in the log: it is written again when the two differ.
static void recovery_makes_the_installed_term_durable(void)
{
    open_node(3);
    const struct raft_hard_state hard = {.term = 4, .voted_for = 2, .sync_term = 1};
    const struct raft_sync sync = {.term = 4, .end = 0, .keep = 0};
    raft_restore_begin(node.raft, (struct raft_entry_id){0});
    raft_restore_sync(node.raft, &sync);
    raft_restore_identity(node.raft, hard, 2, true);
    raft_restore_end(node.raft, node.now_ns);
    replica_collect(&node);
    CHECK(node.effects.hard_state_due);
    CHECK_EQUAL(node.effects.hard_state.sync_term, 4);
    CHECK(node.view.is_installing); // its segment may not go before
    replica_sync_hard(&node);
    CHECK(!node.view.is_installing);
    replica_close(&node);
}

// The damaged record may have been the SYNC that did away with an entry; then what the log shows in
// its place is another than the one that is committed.
static void a_damaged_log_is_not_believed(void)
{
    open_node(3);
    const struct raft_entry_head head = {.client = 1, .sequence = 77, .kind = RAFT_ENTRY_COMMAND};
    const struct raft_hard_state hard = {.term = 3, .voted_for = 2, .sync_term = 3, .sync_end = 1};
    const struct raft_sync sync = {.term = 3, .end = 1, .keep = 1};
    raft_restore_begin(node.raft, (struct raft_entry_id){0});
    raft_restore_entry(node.raft, (struct raft_entry_id){1, 1}, 0, &head, 1);
    // (Here another entry 1, staged in term 2, and SYNC{2, 1, 0} can not be read.)
    raft_restore_sync(node.raft, &sync);
    raft_restore_identity(node.raft, hard, 2, false);
    raft_restore_end(node.raft, node.now_ns);
    receive(append_of(2, 3, 2, 0, 1, 1)); // 1 is committed
    CHECK_EQUAL(node.view.commit, 0);
    CHECK(raft_entry_at(node.raft, 1) == NULL);
    receive(append_of(2, 3, 1, 1, 1, 1));
    CHECK_EQUAL(node.view.commit, 1);
    CHECK_EQUAL(raft_entry_at(node.raft, 1)->head.sequence, 3001);
    replica_close(&node);
}

// Staged entries count with the SYNC record of their own term behind them, and with no other.
static void staged_entries_count_with_their_own_record_only(void)
{
    open_node(3);
    const struct raft_entry_head head = {.client = 1, .sequence = 77, .kind = RAFT_ENTRY_COMMAND};
    const struct raft_entry_head staged = {.kind = RAFT_ENTRY_NOOP};
    const struct raft_hard_state hard = {.term = 3, .voted_for = 2};
    const struct raft_sync sync = {.term = 3, .end = 1, .keep = 1};
    raft_restore_begin(node.raft, (struct raft_entry_id){0});
    raft_restore_entry(node.raft, (struct raft_entry_id){1, 1}, 0, &head, 1);
    raft_restore_staged(node.raft, (struct raft_entry_id){2, 1}, &staged, 2);
    raft_restore_sync(node.raft, &sync);
    raft_restore_identity(node.raft, hard, 2, true);
    raft_restore_end(node.raft, node.now_ns);
    CHECK_EQUAL(raft_entry_at(node.raft, 1)->head.sequence, 77);
    CHECK_EQUAL(raft_entry_at(node.raft, 1)->term, 3);
    replica_close(&node);
}

// --- the merge ---

// Entries 1, 2 and 4 in the service of term 3; 3 is a hole.
static void follow_with_a_hole(void)
{
    follow(3, 2);
    receive(append_of(2, 3, 4, 1, 0, 0));
    replica_settle(&node);
    CHECK_EQUAL(node.view.held, 4);
}

// "Entries of all others are ignored": whatever it holds there, it says no to what was served
// since.
static void a_report_of_an_older_log_is_a_nack_and_no_more(void)
{
    open_node(3);
    follow_with_a_hole();
    stand();
    struct raft_report report = {.sync_term = 1, .floor = 5, .first = 6, .last = 5};
    receive(reported(2, node.view.term, report));
    replica_settle(&node);
    CHECK_EQUAL(node.view.sync_term, 4);
    CHECK_EQUAL(node.view.sync_end, 4);
    CHECK_EQUAL(raft_entry_at(node.raft, 3)->head.kind, RAFT_ENTRY_NOOP);
    replica_close(&node);
}

static void what_is_committed_never_becomes_a_noop(void)
{
    open_node(3);
    follow_with_a_hole();
    stand();
    struct raft_report report = {.sync_term = 3, .commit = 3, .floor = 2, .first = 3, .last = 2};
    receive(reported(2, node.view.term, report));
    replica_settle(&node);
    CHECK_EQUAL(node.view.sync_term, 3); // both say no, and one of them that it is committed
    replica_close(&node);
}

static void what_may_be_committed_is_waited_for(void)
{
    open_node(3);
    follow(3, 2);
    stand();
    struct raft_report report = {.sync_term = 3, .commit = 3, .floor = 2, .first = 3, .last = 2};
    receive(reported(2, node.view.term, report));
    replica_settle(&node);
    CHECK_EQUAL(node.view.sync_term, 3); // 3 is committed, and nobody here has it
    report = (struct raft_report){.sync_term = 3, .commit = 3, .floor = 3, .first = 4, .last = 3};
    receive(reported(3, node.view.term, report));
    replica_collect(&node);
    CHECK(replica_sent(&node, RAFT_MSG_FETCH, 3) != NULL);
    replica_close(&node);
}

// A merge may last longer than an election timeout: its leader must hear that it still leads.
static void heartbeats_before_the_log_is_known_are_answered(void)
{
    open_node(3);
    follow(1, 2);
    for (uint32_t at = 0; at < 3; at++) {
        struct raft_message beat = append_of(3, 2, 3, 0, 0, 0);
        beat.append.has_sync = false;
        receive(beat);
        replica_collect(&node);
        if (at == 0) {
            replica_sync_hard(&node);
        }
        const struct raft_message *reply = replica_sent(&node, RAFT_MSG_APPEND_REPLY, 3);
        CHECK(reply != NULL && reply->term == 2 && !reply->append_reply.is_installed);
    }
    replica_close(&node);
}

static void supply(uint16_t from, uint64_t index)
{
    struct raft_message message = in_parallel(replica_append(
        from, node.view.term, (struct raft_entry_id){.index = index - 1}, node.view.term, 1, 0));
    message.append.is_supply = true;
    receive(message);
}

// What a peer has to install has more holes than one answer names: the next ones are asked for when
// those are filled.
static void an_install_asks_for_the_next_holes_at_once(void)
{
    open_node(3);
    for (uint64_t index = 2; index <= 14; index += 2) {
        receive(append_of(3, 2, index, 1, 14, 0)); // 1, 3, ... 13 are lost
    }
    replica_collect(&node);
    replica_sync_hard(&node);
    for (uint64_t hole = 1; hole <= 13;) {
        const struct raft_message *reply = replica_sent(&node, RAFT_MSG_APPEND_REPLY, 3);
        CHECK(reply != NULL && reply->append_reply.gap_count > 0);
        struct raft_append_reply asked = reply->append_reply;
        for (uint32_t at = 0; at < asked.gap_count; at++, hole += 2) {
            CHECK_EQUAL(asked.gaps[at].first, hole);
            receive(append_of(3, 2, hole, 1, 14, 0));
        }
        replica_collect(&node);
    }
    replica_settle(&node);
    CHECK_EQUAL(node.view.sync_term, 2);
    CHECK_EQUAL(node.view.sync_end, 14);
    replica_close(&node);
}

// Messages name few holes: the next ones are asked for when what was asked for is here, not when it
// would be overdue.
static void a_merge_asks_for_the_next_holes_at_once(void)
{
    open_node(3);
    follow(1, 2);
    stand();
    struct raft_report report = {.sync_term = 1, .floor = 2, .first = 3, .last = 32};
    for (uint32_t bit = 1; bit < 30; bit += 2) {
        bitmap_set(report.present, bit);
    }
    receive(reported(2, node.view.term, report));
    replica_collect(&node);
    for (uint32_t fetched = 0; fetched < 15;) {
        const struct raft_message *fetch = replica_sent(&node, RAFT_MSG_FETCH, 2);
        CHECK(fetch != NULL);
        struct raft_fetch wanted = fetch->fetch;
        for (uint32_t at = 0; at < wanted.count; at++, fetched++) {
            CHECK_EQUAL(wanted.ranges[at].first, 4 + 2 * fetched);
            replica_collect(&node);
            CHECK(replica_sent(&node, RAFT_MSG_FETCH, 2) == NULL); // not while one is under way
            supply(2, wanted.ranges[at].first);
        }
        replica_collect(&node);
    }
    CHECK(replica_sent(&node, RAFT_MSG_FETCH, 2) == NULL);
    replica_settle(&node);
    CHECK_EQUAL(node.view.sync_end, 32);
    replica_close(&node);
}

// --- the barrier ---

static void nothing_is_committed_or_taken_before_a_majority_has_installed(void)
{
    open_node(3);
    follow(1, 3);
    stand();
    struct raft_report report = {.sync_term = 1, .floor = 3, .first = 4, .last = 3};
    receive(reported(2, node.view.term, report));
    replica_settle(&node);
    CHECK_EQUAL(node.view.sync_term, 2);
    CHECK_EQUAL(node.view.commit, 0);
    CHECK_EQUAL(replica_propose(&node, 1), RAFT_BUSY);
    struct raft_message ack = installed_ack(2, 3);
    ack.append_reply.is_installed = false;
    receive(ack);
    CHECK_EQUAL(node.view.commit, 0);
    receive(installed_ack(2, 3));
    CHECK_EQUAL(node.view.commit, 3);
    CHECK_EQUAL(replica_propose(&node, 1), RAFT_OK);
    replica_close(&node);
}

static void a_node_without_its_log_does_not_count(void)
{
    open_node(3);
    stand();
    receive(reported(2, node.view.term, (struct raft_report){.first = 1}));
    replica_settle(&node);
    struct raft_message ack = installed_ack(3, 0);
    ack.intact = false;
    receive(ack);
    CHECK(!order_knows_commit(node.raft));
    receive(installed_ack(2, 0));
    CHECK(order_knows_commit(node.raft));
    replica_close(&node);
}

// It restarted, and may have lost what it acknowledged.
static void acknowledgements_of_a_former_boot_are_forgotten(void)
{
    open_node(5);
    stand();
    receive(reported(2, node.view.term, (struct raft_report){.first = 1}));
    receive(reported(3, node.view.term, (struct raft_report){.first = 1}));
    replica_settle(&node);
    receive(installed_ack(2, 0));
    receive(installed_ack(3, 0));
    propose_at(0, 0, 0);
    replica_settle(&node);
    receive(installed_ack(2, 1));
    struct raft_message news = installed_ack(2, 0);
    news.boot = 2;
    news.intact = false;
    receive(news);
    receive(installed_ack(3, 1));
    CHECK_EQUAL(node.view.commit, 0);
    receive(installed_ack(4, 1));
    CHECK_EQUAL(node.view.commit, 1);
    replica_close(&node);
}

// A checkpoint that became durable when its node led already.
static void a_checkpoint_ends_a_leadership(void)
{
    open_node(3);
    lead();
    propose_at(0, 0, 0);
    propose_at(10, 0, 0);
    ack_one(2, 0, 2);
    replica_settle(&node);
    struct raft_input installed = {.kind = RAFT_IN_INSTALLED, .installed = {1, 1}};
    replica_step(&node, &installed);
    CHECK_EQUAL(node.view.role, RAFT_FOLLOWER);
    replica_collect(&node);
    replica_close(&node);
}

// --- service ---

static bool takes(uint64_t first, uint64_t last)
{
    struct raft_range range;
    return raft_apply_take(node.raft, 16, &range) && range.first == first && range.last == last;
}

static void conflicts_commit_in_order_and_others_in_any(void)
{
    open_node(3);
    lead();
    propose_at(0, 0, 0);  // 1
    propose_at(2, 0, 0);  // 2 conflicts with 1
    propose_at(50, 0, 0); // 3
    replica_settle(&node);
    CHECK_EQUAL(node.view.commit, 0);
    ack_one(2, 0, 2);
    CHECK_EQUAL(node.view.commit_high, 0);
    ack_one(2, 0, 3);
    CHECK_EQUAL(node.view.commit_high, 3);
    CHECK(takes(3, 3));
    receive(installed_ack(2, 1));
    CHECK_EQUAL(node.view.commit, 3);
    CHECK(takes(1, 2));
    replica_close(&node);
}

static void a_registration_waits_for_all_and_all_wait_for_it(void)
{
    open_node(3);
    lead();
    propose_at(0, 7, 1);
    propose_kind(RAFT_ENTRY_REGISTER, 50, 9, 1024); // though it comes with a footprint
    propose_at(90, 8, 1);
    CHECK_EQUAL(depends_on(node.raft, 2), 1);
    CHECK_EQUAL(depends_on(node.raft, 3), 2);
    replica_close(&node);
}

static void a_retry_depends_on_its_first_copy(void)
{
    open_node(3);
    lead();
    propose_at(0, 7, 5);
    propose_at(50, 7, 5); // whatever it says that it touches
    propose_at(90, 7, 6);
    CHECK_EQUAL(depends_on(node.raft, 2), 1);
    CHECK_EQUAL(depends_on(node.raft, 3), 0);
    replica_close(&node);
}

// Half of any session's window: the last two spans of 256 sequences. Beyond that order is kept.
static void commands_of_one_client_in_either_order_lie_within_a_window(void)
{
    open_node(3);
    lead();
    enum { SPAN = PARALLEL_SEQUENCES_MAX / 2 };
    propose_at(0, 7, 100);
    propose_at(10, 7, 100 + SPAN);       // the second span begins
    propose_at(20, 7, 99 + 2 * SPAN);    // its last
    propose_at(30, 7, 100 + 2 * SPAN);   // the third: behind those of the first
    propose_at(40, 8, 1);                // another client's
    propose_at(50, 7, 99);               // far back: behind all of its client
    propose_at(60, 7, 101 + 2 * SPAN);   // ... and later ones behind it
    propose_at(70, 7, 100 + 100 * SPAN); // far ahead: likewise
    propose_at(80, 7, 101 + 100 * SPAN);
    propose_at(90, 7, 100 + 101 * SPAN);
    static const uint64_t expected[] = {0, 0, 0, 0, 1, 0, 4, 6, 7, 7, 7};
    for (uint64_t index = 1; index < 11; index++) {
        CHECK_EQUAL(depends_on(node.raft, index), expected[index]);
    }
    replica_close(&node);
}

// A follower may not have what is applied here.
static void an_entry_depends_on_what_is_applied_too(void)
{
    open_node(3);
    lead();
    propose_at(0, 7, 1);
    ack_one(2, 0, 1);
    replica_settle(&node);
    receive(installed_ack(2, 1));
    CHECK(takes(1, 1));
    const struct raft_input applied = {.kind = RAFT_IN_APPLIED, .applied_first = 1, .applied = 1};
    replica_step(&node, &applied);
    CHECK_EQUAL(node.view.applied, 1);
    propose_at(0, 8, 1);
    CHECK_EQUAL(depends_on(node.raft, 2), 1);
    propose_at(50, 7, 1); // a retry of it
    CHECK_EQUAL(depends_on(node.raft, 3), 1);
    uint16_t distances[2];
    raft_distances(node.raft, 2, 2, distances);
    CHECK_EQUAL(distances[0], 1);
    CHECK_EQUAL(distances[1], 2);
    replica_close(&node);
}

// Nothing is remembered, nor told, of what is a window back: it comes first.
static void an_entry_depends_on_everything_a_window_back(void)
{
    open_node(3);
    lead();
    for (uint64_t index = 1; index <= 100; index++) {
        propose_at(1000 + 10 * index, 1 + index, 1);
        CHECK_EQUAL(node.view.last, index);
        uint64_t reach = index > node.config.span_entries ? index - node.config.span_entries : 0;
        CHECK_EQUAL(depends_on(node.raft, index), reach);
        replica_settle(&node);
        receive(installed_ack(2, index));
        CHECK(takes(index, index));
        const struct raft_input applied = {
            .kind = RAFT_IN_APPLIED, .applied_first = index, .applied = index};
        replica_step(&node, &applied);
    }
    uint32_t known = 0;
    for (uint32_t at = 0; at < PARALLEL_CLIENTS_MAX; at++) {
        known += node.raft->parallel->clients[at].client != 0;
    }
    CHECK_EQUAL(known, node.config.span_entries);
    replica_close(&node);
}

static void a_follower_acknowledges_beyond_a_hole(void)
{
    open_node(3);
    follow(1, 1);
    receive(append_of(2, 1, 3, 2, 0, 0));
    const struct raft_message *reply = settle_and_answer(2);
    CHECK_EQUAL(reply->append_reply.match, 1);
    CHECK_EQUAL(reply->append_reply.acked_count, 3);
    CHECK_EQUAL(reply->append_reply.acked[0], 6);
    receive(append_of(2, 1, 5, 0, 0, 4)); // the floor is told; the hole keeps it from being ours
    CHECK_EQUAL(node.view.commit, 1);
    CHECK_EQUAL(node.view.commit_told, 4);
    replica_close(&node);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(a_follower_with_room_stands_at_once),
        TEST(an_append_of_an_old_term_is_answered),
        TEST(a_checkpoint_without_a_log_claims_nothing),
        TEST(a_voter_refuses_whose_log_is_behind_its_own),
        TEST(only_what_was_reported_in_this_life_stays),
        TEST(nothing_is_acknowledged_before_the_sync_record_is_durable),
        TEST(an_install_purges_what_is_not_of_it),
        TEST(a_repeated_sync_is_only_answered),
        TEST(a_rising_term_gives_an_install_up),
        TEST(past_the_point_of_no_return_the_record_is_awaited),
        TEST(a_told_floor_waits_for_the_install),
        TEST(recovery_makes_the_installed_term_durable),
        TEST(a_damaged_log_is_not_believed),
        TEST(staged_entries_count_with_their_own_record_only),
        TEST(a_report_of_an_older_log_is_a_nack_and_no_more),
        TEST(what_is_committed_never_becomes_a_noop),
        TEST(what_may_be_committed_is_waited_for),
        TEST(heartbeats_before_the_log_is_known_are_answered),
        TEST(an_install_asks_for_the_next_holes_at_once),
        TEST(a_merge_asks_for_the_next_holes_at_once),
        TEST(nothing_is_committed_or_taken_before_a_majority_has_installed),
        TEST(a_node_without_its_log_does_not_count),
        TEST(acknowledgements_of_a_former_boot_are_forgotten),
        TEST(a_checkpoint_ends_a_leadership),
        TEST(conflicts_commit_in_order_and_others_in_any),
        TEST(a_registration_waits_for_all_and_all_wait_for_it),
        TEST(a_retry_depends_on_its_first_copy),
        TEST(commands_of_one_client_in_either_order_lie_within_a_window),
        TEST(an_entry_depends_on_what_is_applied_too),
        TEST(an_entry_depends_on_everything_a_window_back),
        TEST(a_follower_acknowledges_beyond_a_hole)};
    return test_run("core install", cases, TEST_COUNT(cases), argc, argv);
}
