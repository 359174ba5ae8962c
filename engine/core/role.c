// Roles: the only writer of term, vote, role and leader.
//
// Paper   Raft figure 2 "Rules for Servers", §5.1-5.2; thesis §9.6 (pre-vote), §6.2 (check-quorum).
//
// Term and vote change here at once and are handed out by collect as one record. What must wait for
// its durability asks role_is_hard_synced(): the vote reply, our own vote, requests for votes,
// acks.
#include "engine/core/entry_crc.h"
#include "engine/core/state.h"

#include "engine/base/mark.h"

static void set_term(struct raft *raft, uint64_t term, uint16_t voted_for)
{
    ASSERT_CMP(term, >=, raft->term);
    ASSERT(term > raft->term || raft->voted_for == 0 || raft->voted_for == voted_for);
    if (term > raft->term) {
        order_promise(raft);
    }
    raft->term = term;
    raft->voted_for = voted_for;
    raft->role_changed = true;
}

bool role_is_hard_synced(const struct raft *raft)
{
    return raft->hard_synced.term == raft->term && raft->hard_synced.voted_for == raft->voted_for;
}

// A random timeout in [min, max] from now.
void role_reset_election(struct raft *raft, uint64_t now_ns)
{
    uint64_t span = raft->config.election_timeout_max_ns - raft->config.election_timeout_min_ns + 1;
    raft->election_deadline_ns =
        now_ns + raft->config.election_timeout_min_ns + raft_random(raft) % span;
}

bool role_hears_leader(const struct raft *raft, uint64_t now_ns)
{
    if (raft->role == RAFT_LEADER) {
        return true; // check-quorum keeps this honest: a leader without a majority steps down
    }
    return raft->leader != 0 && raft->leader_heard_ns != 0 &&
           now_ns < raft->leader_heard_ns + raft->config.election_timeout_min_ns;
}

void role_hear_leader(struct raft *raft, uint64_t now_ns, uint16_t leader)
{
    raft->role_changed |= raft->leader != leader;
    raft->leader = leader;
    raft->leader_heard_ns = now_ns;
    raft->has_stood_back = false;
    role_reset_election(raft, now_ns);
}

// Follows `leader` (0: not known) in `term` (≥ ours).
void become_follower(struct raft *raft, uint64_t now_ns, uint64_t term, uint16_t leader)
{
    if (term > raft->term) {
        set_term(raft, term, 0);
        append_forget_leader(raft);
        raft->vote_reply_to = 0;
    }
    if (raft->role == RAFT_LEADER) {
        MARK(leader_steps_down);
        read_abort(raft);
        append_forget_leader(raft);
        order_lose(raft);
    }
    raft->role_changed |= raft->role != RAFT_FOLLOWER || raft->leader != leader;
    raft->role = RAFT_FOLLOWER;
    raft->leader = leader;
    raft->leader_heard_ns = leader == 0 ? 0 : now_ns;
    role_reset_election(raft, now_ns);
}

static void clear_votes(struct raft *raft)
{
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        raft->peers[slot].vote_granted = slot == raft->self_slot;
        raft->peers[slot].vote_asked = false;
    }
}

// Asks whether an election could be won, without disturbing anybody (thesis §9.6).
void become_pre_candidate(struct raft *raft, uint64_t now_ns)
{
    ASSERT(raft->role != RAFT_LEADER);
    raft->role = RAFT_PRE_CANDIDATE;
    raft->role_changed = true;
    raft->leader = 0;
    clear_votes(raft);
    role_reset_election(raft, now_ns);
}

void become_candidate(struct raft *raft, uint64_t now_ns)
{
    ASSERT(raft->intact && !raft->failed);
    raft->vote_reply_to = 0;
    set_term(raft, raft->term + 1, raft->config.self);
    append_forget_leader(raft);
    order_stand(raft);
    raft->role = RAFT_CANDIDATE;
    raft->leader = 0;
    clear_votes(raft);
    role_reset_election(raft, now_ns);
}

// Can the log take an entry of a client? (Whether the window of a parallel group, or its phase,
// lets one in now is another question: it would keep every follower from standing.)
bool role_has_room(const struct raft *raft)
{
    return raft->is_roomy && log_capacity_left(&raft->log) > RAFT_LOG_RESERVE;
}

// A no-op opens the term: only with an entry of its own term committed does a leader know what is
// committed (§5.4.2, §8).
//
// Where only the slots kept for no-ops are left, it waits until a majority holds all that is before
// it: so a term costs one only if its leader fails within a round trip, not while the majority is
// out of reach or catching up. Terms that come to nothing would use them up, and then nobody could
// lead any more.
void role_open_term(struct raft *raft, struct raft_accept *accept)
{
    struct raft_log *log = &raft->log;
    if (raft->parallel != NULL) {
        order_open_term(raft, accept);
        return;
    }
    bool is_scarce = raft_room(raft) == 0;
    if (raft->role != RAFT_LEADER || log->last >= raft->term_start || log_capacity_left(log) == 0 ||
        (is_scarce && commit_quorum_index(raft) < log->last)) {
        return;
    }
    accept->range = (struct raft_range){.first = log->last + 1, .last = log->last + 1};
    accept->prev_term = log_term_at(log, log->last);
    struct raft_entry_head head = {.kind = RAFT_ENTRY_NOOP};
    head.crc = raft_entry_crc(&head, NULL);
    log_hold(log, log->last + 1, raft->term, accept->prev_term, &head);
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        raft->peers[slot].append_due = true;
    }
}

void become_leader(struct raft *raft, uint64_t now_ns, struct raft_accept *accept)
{
    ASSERT(raft->role == RAFT_CANDIDATE && raft->voted_for == raft->config.self);
    ASSERT(role_is_hard_synced(raft));
    raft->role = RAFT_LEADER;
    raft->role_changed = true;
    raft->leader = raft->config.self;
    raft->quorum_checked_ns = raft->synced_moved_ns = now_ns;
    raft->synced_seen = raft->log.synced;
    replicate_start(raft, now_ns);
    raft->term_start = raft->log.last + 1;
    raft->full_since_ns = 0;
    order_win(raft);
    role_open_term(raft, accept);
}

// Promises our vote of this term; the reply leaves when the promise is durable.
void role_grant_vote(struct raft *raft, uint64_t now_ns, uint16_t candidate)
{
    set_term(raft, raft->term, candidate);
    raft->vote_reply_to = candidate;
    role_reset_election(raft, now_ns);
}
