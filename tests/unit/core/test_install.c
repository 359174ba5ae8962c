// Parallel groups, one rule a test: what a node promises to a candidate, how it installs the log of
// a new term, and what recovery makes of an install (engine/README.md, "Parallel groups", 1 and 3;
// what the new leader does: test_takeover.c).
#include "tests/harness/harness.h"

#include "engine/core/parallel.h"
#include "tests/unit/core/member.h"

#include <string.h>

// --- the promise ---

// A follower has room though it takes no proposals: it stands when the first timeout has passed,
// and its leader may count on it.
static void a_follower_with_room_stands_at_once(void)
{
    member_open(3);
    member_follow(1, 2);
    member_receive(member_append(2, 1, 3, 0, 0, 0));
    replica_collect(&member);
    const struct raft_message *reply = replica_sent(&member, RAFT_MSG_APPEND_REPLY, 2);
    CHECK(reply != NULL && reply->has_room);
    replica_tick(&member, member.config.election_timeout_max_ns + 1);
    CHECK_EQUAL(member.view.role, RAFT_PRE_CANDIDATE);
    member_close();
}

static void an_append_of_an_old_term_is_answered(void)
{
    member_open(3);
    member_follow(3, 2);
    member_receive(member_append(3, 2, 1, 1, 0, 0));
    replica_collect(&member); // checks that it can be encoded
    const struct raft_message *reply = replica_sent(&member, RAFT_MSG_APPEND_REPLY, 3);
    CHECK(reply != NULL && reply->term == 3);
    CHECK(!reply->append_reply.is_installed && reply->append_reply.match == 0);
    member_close();
}

// A checkpoint may come before any log is installed: there is nothing to claim or report yet.
static void a_checkpoint_without_a_log_claims_nothing(void)
{
    member_open(3);
    member_receive(member_message(replica_append(2, 1, (struct raft_entry_id){0}, 0, 0, 0)));
    struct raft_input installed = {.kind = RAFT_IN_INSTALLED, .installed = {1, 40}};
    replica_step(&member, &installed);
    replica_settle(&member);
    member.now_ns += 50 * REPLICA_MS;
    member_receive(member_message(replica_vote(RAFT_MSG_VOTE, 3, 2, (struct raft_entry_id){1, 0})));
    replica_collect(&member);
    replica_sync_hard(&member);
    const struct raft_message *reply = replica_sent(&member, RAFT_MSG_VOTE_REPLY, 3);
    CHECK(reply != NULL && reply->vote_reply.granted);
    CHECK_EQUAL(reply->vote_reply.report.floor, 0);
    CHECK_EQUAL(reply->vote_reply.report.commit, 40);
    replica_tick(&member, 50 * REPLICA_MS); // stands
    replica_collect(&member);
    CHECK(replica_sent(&member, RAFT_MSG_PRE_VOTE, 2) != NULL);
    member_close();
}

// By the newest log that is installed, then by how much of it is here without a hole.
static void a_voter_refuses_whose_log_is_behind_its_own(void)
{
    static const struct {
        struct raft_entry_id claim;
        bool is_granted;
    } rows[] = {{{2, 9}, false}, {{3, 1}, false}, {{3, 2}, true}, {{4, 0}, true}};
    for (uint32_t at = 0; at < 4; at++) {
        member_open(3);
        member_follow(3, 2);
        member.now_ns += 50 * REPLICA_MS;
        member_receive(member_message(replica_vote(RAFT_MSG_VOTE, 3, 5, rows[at].claim)));
        replica_collect(&member);
        replica_sync_hard(&member);
        const struct raft_message *reply = replica_sent(&member, RAFT_MSG_VOTE_REPLY, 3);
        CHECK_EQUAL(reply != NULL && reply->vote_reply.granted, rows[at].is_granted);
        member_close();
    }
}

// --- the install ---

// What the leader merged of it stays; what it reported in a former life, or to nobody, may be
// other entries than those that it has now.
static void only_what_was_reported_in_this_life_stays(void)
{
    for (uint32_t has_voted = 0; has_voted < 2; has_voted++) {
        member_open(3);
        member_follow(1, 6);
        if (has_voted) {
            member.now_ns += 50 * REPLICA_MS;
            member_receive(
                member_message(replica_vote(RAFT_MSG_VOTE, 3, 2, (struct raft_entry_id){1, 6})));
            replica_collect(&member);
            replica_sync_hard(&member);
        }
        struct raft_message append = member_append(3, 2, 1, 0, 5, 0);
        append.append.sync_from = 1;
        member_receive(append);
        replica_settle(&member);
        CHECK_EQUAL(member.view.sync_term, has_voted ? 2 : 1);
        CHECK_EQUAL(member.view.last, has_voted ? 5 : 6);
        member_close();
    }
}

// I1: entries of a term are taken only when its log is installed, and nothing of it is acknowledged
// before.
static void nothing_is_acknowledged_before_the_sync_record_is_durable(void)
{
    member_open(3);
    member_follow(1, 3);
    member_receive(member_append(2, 2, 4, 2, 3, 0)); // the service of term 2
    replica_collect(&member);
    replica_sync_hard(&member);
    CHECK(member.has_sync == false || member.view.sync_term == 1);
    const struct raft_message *reply = replica_sent(&member, RAFT_MSG_APPEND_REPLY, 2);
    CHECK(reply == NULL || !reply->append_reply.is_installed);
    CHECK(raft_entry_at(member.raft, 4) == NULL);
    member_close();
}

// "Deletes everything above end", and what was not reported to this leader.
static void an_install_purges_what_is_not_of_it(void)
{
    member_open(3);
    member_follow(1, 6);
    member_receive(member_append(2, 1, 7, 0, 0, 2)); // 1 and 2 are committed
    member_receive(member_append(3, 2, 1, 0, 4, 2));
    replica_settle(&member);
    CHECK_EQUAL(member.view.sync_term, 1); // 3 and 4 are missing
    CHECK_EQUAL(member.view.last, 6);      // and nothing is given up before they are here
    member_receive(member_append(3, 2, 3, 2, 4, 2));
    CHECK(member.accept.is_staged);
    replica_settle(&member);
    CHECK_EQUAL(member.view.sync_term, 2);
    CHECK_EQUAL(member.view.held, 4);
    CHECK_EQUAL(raft_entry_at(member.raft, 3)->head.sequence, 2003); // of the new leader
    CHECK_EQUAL(raft_entry_at(member.raft, 2)->term, 2);             // stamped
    member_close();
}

static void a_repeated_sync_is_only_answered(void)
{
    member_open(3);
    member_follow(1, 2);
    member_receive(member_append(2, 2, 1, 2, 2, 0));
    replica_settle(&member);
    member_receive(member_append(2, 2, 3, 3, 2, 0));
    replica_settle(&member);
    CHECK_EQUAL(member.view.synced, 5);
    member_receive(member_append(2, 2, 1, 0, 2, 0));
    replica_settle(&member);
    CHECK_EQUAL(member.view.synced, 5);
    CHECK(!member.raft->parallel->is_staging);
    member_close();
}

// Before the record is handed out a rising term ends the install, and what was held stays held.
static void a_rising_term_gives_an_install_up(void)
{
    member_open(3);
    member_follow(1, 6);
    member_receive(member_append(3, 2, 1, 1, 4, 0));
    CHECK(member.raft->parallel->is_staging);
    member_receive(member_append(2, 3, 1, 0, 0, 0)); // without has_sync it says only its term
    CHECK_EQUAL(member.view.term, 3);
    CHECK_EQUAL(member.view.last, 6);
    CHECK_EQUAL(member.view.sync_term, 1);
    member_close();
}

// Past that there is no way back: the disk may have it. Votes wait, and the answer to the next
// leader does not pass off the former term's log as its own.
static void past_the_point_of_no_return_the_record_is_awaited(void)
{
    member_open(3);
    member_follow(1, 2);
    member_receive(member_append(2, 2, 1, 2, 2, 0));
    replica_collect(&member);
    replica_sync_hard(&member);
    struct replica_write *writes = member.pending;
    for (uint32_t at = 0; at < member.pending_count; at++) {
        replica_synced(&member, writes[at].id.index, writes[at].id.index, writes[at].epoch);
    }
    member.pending_count = 0;
    CHECK(member.has_sync);
    member.now_ns += 50 * REPLICA_MS;
    member_receive(member_message(replica_vote(RAFT_MSG_VOTE, 3, 3, (struct raft_entry_id){2, 9})));
    CHECK_EQUAL(member.outcome, RAFT_IGNORED);
    member_receive(member_append(3, 3, 1, 0, 4, 0));
    replica_collect(&member);
    replica_sync_hard(&member);
    const struct raft_message *reply = replica_sent(&member, RAFT_MSG_APPEND_REPLY, 3);
    CHECK(reply != NULL && !reply->append_reply.is_installed);
    CHECK_EQUAL(reply->append_reply.match, 0);
    struct raft_input done = {.kind = RAFT_IN_SYNC, .sync_term = 2};
    CHECK_EQUAL(replica_step(&member, &done), RAFT_OK);
    CHECK_EQUAL(member.view.sync_term, 2);
    CHECK_EQUAL(member.view.last, 2);
    member_close();
}

// A floor told by the leader counts only for entries of its log.
static void a_told_floor_waits_for_the_install(void)
{
    member_open(3);
    member_follow(1, 6);
    member_receive(member_append(3, 2, 1, 0, 4, 4));
    CHECK_EQUAL(member.view.commit, 0);
    CHECK_EQUAL(member.view.commit_told, 0);
    member_receive(member_append(3, 2, 1, 4, 4, 4));
    replica_settle(&member);
    member_receive(member_append(3, 2, 5, 0, 4, 4));
    CHECK_EQUAL(member.view.commit, 4);
    member_close();
}

// A merge may last longer than an election timeout: its leader must hear that it still leads.
static void heartbeats_before_the_log_is_known_are_answered(void)
{
    member_open(3);
    member_follow(1, 2);
    for (uint32_t at = 0; at < 3; at++) {
        struct raft_message beat = member_append(3, 2, 3, 0, 0, 0);
        beat.append.has_sync = false;
        member_receive(beat);
        replica_collect(&member);
        if (at == 0) {
            replica_sync_hard(&member);
        }
        const struct raft_message *reply = replica_sent(&member, RAFT_MSG_APPEND_REPLY, 3);
        CHECK(reply != NULL && reply->term == 2 && !reply->append_reply.is_installed);
    }
    member_close();
}

// --- what the install misses ---

static const struct raft_append_reply *answer(void)
{
    replica_collect(&member);
    const struct raft_message *reply = replica_sent(&member, RAFT_MSG_APPEND_REPLY, 3);
    CHECK(reply == NULL || !reply->append_reply.is_installed);
    return reply == NULL ? NULL : &reply->append_reply;
}

static uint64_t missing_count(const struct raft_append_reply *reply)
{
    return bitmap_count(reply->missing, 0, reply->missing_count);
}

// Of the log of term 2, which ends at `end`, the entries with even indexes have come.
static const struct raft_append_reply *install_the_even_ones(uint64_t end)
{
    member_configure(3);
    member.config.log_entries = 4096;
    member.config.heartbeat_ns = 10 * REPLICA_MS;
    member.config.election_timeout_min_ns = 50 * REPLICA_MS;
    member.config.election_timeout_max_ns = 60 * REPLICA_MS;
    replica_start(&member);
    for (uint64_t index = 2; index <= end; index += 2) {
        member_receive(member_append(3, 2, index, 1, end, 0));
    }
    replica_collect(&member);
    replica_sync_hard(&member);
    const struct raft_message *reply = replica_sent(&member, RAFT_MSG_APPEND_REPLY, 3);
    CHECK(reply != NULL);
    return &reply->append_reply;
}

// However many they are, they are named at once, and each once.
static void an_install_names_all_its_holes_at_once(void)
{
    const struct raft_append_reply *reply = install_the_even_ones(2000);
    CHECK_EQUAL(reply->gap_count, 0);
    CHECK_EQUAL(reply->match, 0);
    CHECK_EQUAL(missing_count(reply), 1000);
    CHECK(bitmap_test(reply->missing, 0) && bitmap_test(reply->missing, 1998));
    for (uint64_t hole = 1; hole < 2000; hole += 2) {
        member_receive(member_append(3, 2, hole, 1, 2000, 0));
        reply = answer();
        CHECK(reply == NULL || reply->missing_count + reply->gap_count == 0);
    }
    replica_settle(&member);
    CHECK_EQUAL(member.view.sync_term, 2);
    CHECK_EQUAL(member.view.sync_end, 2000);
    member_close();
}

// Those that did not come in time, wherever they are.
static void an_install_names_overdue_holes_again(void)
{
    install_the_even_ones(2000);
    for (uint64_t hole = 1; hole < 2000; hole += 2) {
        if (hole != 501 && hole != 1999) {
            member_receive(member_append(3, 2, hole, 1, 2000, 0));
        }
    }
    replica_collect(&member);
    replica_tick(&member, 5 * REPLICA_MS);
    const struct raft_append_reply *reply = answer();
    CHECK(reply != NULL);
    CHECK_EQUAL(reply->gap_count, 0);
    CHECK_EQUAL(missing_count(reply), 2);
    CHECK(bitmap_test(reply->missing, 500) && bitmap_test(reply->missing, 1998));
    member_close();
}

// What is behind the last entry that has come is one range: the leader goes back to it.
static void the_end_that_an_install_misses_is_named_by_a_range(void)
{
    install_the_even_ones(20);
    member_receive(member_append(3, 2, 21, 0, 20, 0));
    replica_tick(&member, 5 * REPLICA_MS);
    CHECK_EQUAL(answer()->gap_count, 0); // nothing is behind entry 20
    member_close();
    member_open(3);
    member_receive(member_append(3, 2, 2, 1, 20, 0));
    member_receive(member_append(3, 2, 21, 0, 20, 0));
    replica_collect(&member);
    replica_sync_hard(&member);
    const struct raft_message *reply = replica_sent(&member, RAFT_MSG_APPEND_REPLY, 3);
    CHECK(reply != NULL);
    CHECK_EQUAL(reply->append_reply.missing_count, 1);
    CHECK_EQUAL(reply->append_reply.gap_count, 1);
    CHECK_EQUAL(reply->append_reply.gaps[0].first, 3);
    CHECK_EQUAL(reply->append_reply.gaps[0].last, 20);
    member_close();
}

static void what_bits_do_not_reach_is_named_by_ranges(void)
{
    member_configure(3);
    member.config.log_entries = 4096;
    replica_start(&member);
    member_receive(member_append(3, 2, 2, 1, 3000, 0));
    member_receive(member_append(3, 2, 2500, 1, 3000, 0));
    member_receive(member_append(3, 2, 2502, 1, 3000, 0));
    member_receive(member_append(3, 2, 3001, 0, 3000, 0)); // so there are more
    replica_collect(&member);
    replica_sync_hard(&member);
    const struct raft_message *reply = replica_sent(&member, RAFT_MSG_APPEND_REPLY, 3);
    CHECK(reply != NULL);
    CHECK_EQUAL(reply->append_reply.missing_count, 1);
    static const struct raft_range gaps[] = {{3, 2499}, {2501, 2501}, {2503, 3000}};
    CHECK_EQUAL(reply->append_reply.gap_count, 3);
    CHECK(memcmp(reply->append_reply.gaps, gaps, sizeof(gaps)) == 0);
    member_close();
}

// The leader's windows move with it.
static void an_install_tells_how_far_it_is(void)
{
    install_the_even_ones(20);
    member_receive(member_append(3, 2, 1, 3, 20, 0));
    replica_sync_log(&member);
    const struct raft_message *reply = replica_sent(&member, RAFT_MSG_APPEND_REPLY, 3);
    CHECK(reply != NULL && !reply->append_reply.is_installed);
    CHECK_EQUAL(reply->append_reply.match, 4);
    CHECK_EQUAL(reply->append_reply.missing_count, 0); // the others are asked for already
    member_close();
}

// A node that lost its entries does not count again before it has what it lost in its log.
static void how_far_an_install_is_acknowledges_nothing(void)
{
    member_configure(3);
    member.config.intact = false;
    replica_start(&member);
    struct raft_message append = member_append(3, 2, 1, 4, 6, 0);
    append.append.rejoin_boot = member.config.boot;
    append.append.rejoin_index = 3;
    member_receive(append);
    replica_settle(&member);
    CHECK_EQUAL(member.raft->parallel->staged.synced, 4);
    CHECK(!member.view.intact);
    append.append.prev.index = 4;
    append.append.count = 2;
    member_receive(append);
    replica_settle(&member);
    CHECK_EQUAL(member.view.sync_term, 2);
    CHECK(member.view.intact);
    member_close();
}

// --- recovery ---

// The hard state outlives the record in the log: it is written again when the two differ.
static void recovery_makes_the_installed_term_durable(void)
{
    member_open(3);
    const struct raft_hard_state hard = {.term = 4, .voted_for = 2, .sync_term = 1};
    const struct raft_sync sync = {.term = 4, .end = 0, .keep = 0};
    raft_restore_begin(member.raft, (struct raft_entry_id){0});
    raft_restore_sync(member.raft, &sync);
    raft_restore_identity(member.raft, hard, 2, true);
    raft_restore_end(member.raft, member.now_ns);
    replica_collect(&member);
    CHECK(member.effects.hard_state_due);
    CHECK_EQUAL(member.effects.hard_state.sync_term, 4);
    CHECK(member.view.is_installing); // its segment may not go before
    replica_sync_hard(&member);
    CHECK(!member.view.is_installing);
    member_close();
}

// The damaged record may have been the SYNC that did away with an entry; then what the log shows in
// its place is another than the one that is committed.
static void a_damaged_log_is_not_believed(void)
{
    member_open(3);
    const struct raft_entry_head head = {.client = 1, .sequence = 77, .kind = RAFT_ENTRY_COMMAND};
    const struct raft_hard_state hard = {.term = 3, .voted_for = 2, .sync_term = 3, .sync_end = 1};
    const struct raft_sync sync = {.term = 3, .end = 1, .keep = 1};
    raft_restore_begin(member.raft, (struct raft_entry_id){0});
    raft_restore_entry(member.raft, (struct raft_entry_id){1, 1}, 0, &head, 1);
    // (Here another entry 1, staged in term 2, and SYNC{2, 1, 0} can not be read.)
    raft_restore_sync(member.raft, &sync);
    raft_restore_identity(member.raft, hard, 2, false);
    raft_restore_end(member.raft, member.now_ns);
    member_receive(member_append(2, 3, 2, 0, 1, 1)); // 1 is committed
    CHECK_EQUAL(member.view.commit, 0);
    CHECK(raft_entry_at(member.raft, 1) == NULL);
    member_receive(member_append(2, 3, 1, 1, 1, 1));
    CHECK_EQUAL(member.view.commit, 1);
    CHECK_EQUAL(raft_entry_at(member.raft, 1)->head.sequence, 3001);
    member_close();
}

// Staged entries count with the SYNC record of their own term behind them, and with no other.
static void staged_entries_count_with_their_own_record_only(void)
{
    member_open(3);
    const struct raft_entry_head head = {.client = 1, .sequence = 77, .kind = RAFT_ENTRY_COMMAND};
    const struct raft_entry_head staged = {.kind = RAFT_ENTRY_NOOP};
    const struct raft_hard_state hard = {.term = 3, .voted_for = 2};
    const struct raft_sync sync = {.term = 3, .end = 1, .keep = 1};
    raft_restore_begin(member.raft, (struct raft_entry_id){0});
    raft_restore_entry(member.raft, (struct raft_entry_id){1, 1}, 0, &head, 1);
    raft_restore_staged(member.raft, (struct raft_entry_id){2, 1}, &staged, 2);
    raft_restore_sync(member.raft, &sync);
    raft_restore_identity(member.raft, hard, 2, true);
    raft_restore_end(member.raft, member.now_ns);
    CHECK_EQUAL(raft_entry_at(member.raft, 1)->head.sequence, 77);
    CHECK_EQUAL(raft_entry_at(member.raft, 1)->term, 3);
    member_close();
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
        TEST(heartbeats_before_the_log_is_known_are_answered),
        TEST(an_install_names_all_its_holes_at_once),
        TEST(an_install_names_overdue_holes_again),
        TEST(the_end_that_an_install_misses_is_named_by_a_range),
        TEST(what_bits_do_not_reach_is_named_by_ranges),
        TEST(an_install_tells_how_far_it_is),
        TEST(how_far_an_install_is_acknowledges_nothing),
        TEST(recovery_makes_the_installed_term_durable),
        TEST(a_damaged_log_is_not_believed),
        TEST(staged_entries_count_with_their_own_record_only)};
    return test_run("core install", cases, TEST_COUNT(cases), argc, argv);
}
