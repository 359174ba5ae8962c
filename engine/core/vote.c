// Elections: who is asked, who is answered, who has won.
//
// Paper   Raft §5.2 (one vote a term), §5.4.1 (a voter refuses a candidate whose log is behind its
// own); thesis §9.6 (pre-vote),
//         §4.2.3 (no vote while a leader is heard).
//
// A node that lost entries it had acknowledged (not intact, rejoin.c) neither stands nor grants:
// its empty log would elect leaders that miss committed entries.
#include "engine/base/mark.h"
#include "engine/core/state.h"

static bool is_up_to_date(const struct raft *raft, struct raft_entry_id candidate_last)
{
    struct raft_entry_id own = order_last(raft);
    return candidate_last.term > own.term ||
           (candidate_last.term == own.term && candidate_last.index >= own.index);
}

static void reply_vote(struct raft *raft, const struct raft_message *to,
                       enum raft_message_type type, uint64_t term, bool granted)
{
    struct raft_message reply;
    raft_message_init(raft, type, to->from, &reply);
    reply.term = term;
    reply.vote_reply.granted = granted;
    raft_out(raft, &reply);
}

// A pre-vote promises nothing and changes nothing here. Its term is the one the candidate would
// stand in; a refusal carries our own, so that a candidate of the past learns where we are (before
// our first term there is nothing to learn, and no message may carry term 0).
enum raft_outcome on_pre_vote(struct raft *raft, uint64_t now_ns,
                              const struct raft_message *message)
{
    bool may_grant = raft->intact && !raft->failed && message->intact && order_may_stand(raft) &&
                     message->term > raft->term && is_up_to_date(raft, message->vote.last) &&
                     !role_hears_leader(raft, now_ns);
    if (may_grant || raft->term > 0) {
        reply_vote(raft, message, RAFT_MSG_PRE_VOTE_REPLY, may_grant ? message->term : raft->term,
                   may_grant);
    }
    return may_grant ? RAFT_OK : RAFT_IGNORED;
}

enum raft_outcome on_vote(struct raft *raft, uint64_t now_ns, const struct raft_message *message)
{
    if (message->term < raft->term) {
        reply_vote(raft, message, RAFT_MSG_VOTE_REPLY, raft->term, false);
        return RAFT_STALE;
    }
    // "If a server receives a RequestVote within the minimum election timeout of hearing from a
    // current leader, it does not update its term or grant its vote" (thesis §4.2.3).
    if (raft->failed || !order_may_stand(raft) ||
        (message->term > raft->term && role_hears_leader(raft, now_ns))) {
        MARK(vote_refused_while_a_leader_is_heard);
        return RAFT_IGNORED;
    }
    if (message->term > raft->term) {
        become_follower(raft, now_ns, message->term, 0);
    }
    bool is_free = raft->voted_for == 0 || raft->voted_for == message->from;
    bool may_grant = raft->intact && message->intact && is_free && raft->role == RAFT_FOLLOWER &&
                     raft->leader == 0 && is_up_to_date(raft, message->vote.last);
    if (!may_grant) {
        reply_vote(raft, message, RAFT_MSG_VOTE_REPLY, raft->term, false);
        return RAFT_IGNORED;
    }
    role_grant_vote(raft, now_ns, message->from);
    return RAFT_OK;
}

// Acts on a majority of votes, our own durable one among them.
void vote_count(struct raft *raft, uint64_t now_ns, struct raft_accept *accept)
{
    uint32_t granted = 0;
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        granted += raft->peers[slot].vote_granted;
    }
    if (granted < raft->majority) {
        return;
    }
    if (raft->role == RAFT_PRE_CANDIDATE) {
        // A full log has no slot for the no-op of a new term.
        if (raft->intact && !raft->failed && order_may_lead(raft)) {
            become_candidate(raft, now_ns);
        }
    } else if (raft->role == RAFT_CANDIDATE && role_is_hard_synced(raft)) {
        become_leader(raft, now_ns, accept);
    }
}

enum raft_outcome on_vote_reply(struct raft *raft, uint64_t now_ns,
                                const struct raft_message *message, struct raft_accept *accept)
{
    bool is_pre = message->type == RAFT_MSG_PRE_VOTE_REPLY;
    if (!message->vote_reply.granted) {
        if (message->term > raft->term) {
            become_follower(raft, now_ns, message->term, 0);
        }
        return RAFT_OK;
    }
    // Votes of another term, or for an election we are not in, must not be counted (two leaders in
    // a term otherwise).
    if (!is_pre && message->term == raft->term && raft->role == RAFT_LEADER) {
        order_takes_vote(raft, message); // the merge may wait for it
        return RAFT_STALE;
    }
    uint64_t asked_term = raft->term + (is_pre ? 1 : 0);
    if (message->term != asked_term || !message->intact ||
        raft->role != (is_pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE)) {
        MARK(vote_reply_of_another_election);
        return RAFT_STALE;
    }
    if (!is_pre && !order_takes_vote(raft, message)) {
        return RAFT_IGNORED;
    }
    peer_of(raft, message->from)->vote_granted = true;
    vote_count(raft, now_ns, accept);
    return RAFT_OK;
}

// Starts an election when nobody was heard for long enough; a single voter wins at once. Whoever
// has no room for entries leaves the first one to others.
void vote_tick(struct raft *raft, uint64_t now_ns, struct raft_accept *accept)
{
    if (raft->role == RAFT_LEADER || raft->failed || now_ns < raft->election_deadline_ns) {
        return;
    }
    if (raft->term == RAFT_TERM_MAX || !order_may_stand(raft)) {
        role_reset_election(raft, now_ns); // no message could carry the next term
        return;
    }
    if (raft->config.voter_count > 1 && !raft->has_stood_back && !role_has_room(raft)) {
        raft->has_stood_back = true;
        role_reset_election(raft, now_ns);
        return;
    }
    become_pre_candidate(raft, now_ns);
    vote_count(raft, now_ns, accept);
}

static void ask_for_votes(struct raft *raft, struct raft_effects *effects)
{
    bool is_pre = raft->role == RAFT_PRE_CANDIDATE;
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        struct raft_peer *peer = &raft->peers[slot];
        if (slot == raft->self_slot || peer->vote_asked) {
            continue;
        }
        peer->vote_asked = true;
        struct raft_message *message = &effects->messages[effects->message_count++];
        raft_message_init(raft, is_pre ? RAFT_MSG_PRE_VOTE : RAFT_MSG_VOTE, peer->id, message);
        message->term = raft->term + (is_pre ? 1 : 0);
        message->vote.last = order_last(raft);
    }
}

// A request leaves when our own vote is durable, a promised vote when the promise is.
void vote_collect(struct raft *raft, struct raft_effects *effects)
{
    if (raft->role == RAFT_PRE_CANDIDATE ||
        (raft->role == RAFT_CANDIDATE && role_is_hard_synced(raft))) {
        ask_for_votes(raft, effects);
    }
    if (raft->vote_reply_to != 0 && role_is_hard_synced(raft)) {
        ASSERT_CMP(raft->voted_for, ==, raft->vote_reply_to);
        struct raft_message *message = &effects->messages[effects->message_count++];
        raft_message_init(raft, RAFT_MSG_VOTE_REPLY, raft->vote_reply_to, message);
        message->vote_reply.granted = true;
        order_report(raft, &message->vote_reply);
        raft->vote_reply_to = 0;
    }
}
