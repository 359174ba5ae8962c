// Commit rule of the leader, and what else a majority decides.
//
// Reads   peers[].match (replicate.c), log.synced (log.c), peers[].round_acked.
// Writes  commit. While the node leads, nothing else does.
// Paper   Raft §5.3 (majority), §5.4.2 (own term only); thesis §10.2.1 (the leader's own disk
// counts like any other).
//
//     voter     0    1    2    3    4        five voters, majority 3
//     match     9    4    9    7    3
//     sorted    9    9   [7]   4    3        three voters hold entry 7 durably
#include "engine/core/state.h"

// What voter `slot` counts for: nothing while it may have lost entries it once acknowledged.
static uint64_t counted_match(const struct raft *raft, uint32_t slot)
{
    if (slot == raft->self_slot) {
        return raft->log.synced;
    }
    return raft->peers[slot].intact ? raft->peers[slot].match : 0;
}

// Voters hold everything up to `floors`, by slot; in any order behind the call. Up to where does a
// majority?
uint64_t commit_majority_floor(const struct raft *raft, uint64_t *floors)
{
    for (uint32_t slot = 1; slot < raft->config.voter_count; slot++) {
        uint64_t upto = floors[slot];
        uint32_t at = slot;
        for (; at > 0 && floors[at - 1] < upto; at--) {
            floors[at] = floors[at - 1];
        }
        floors[at] = upto;
    }
    return floors[raft->majority - 1];
}

// What a majority holds durably.
uint64_t commit_quorum_index(const struct raft *raft)
{
    uint64_t floors[RAFT_NODES_MAX];
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        floors[slot] = counted_match(raft, slot);
    }
    return commit_majority_floor(raft, floors);
}

void commit_advance(struct raft *raft)
{
    ASSERT(raft->role == RAFT_LEADER);
    uint64_t commit = order_commit_floor(raft, commit_quorum_index(raft));
    ASSERT_CMP(commit, >=, raft->commit);
    ASSERT_CMP(commit, <=, raft->log.last);
    raft->commit = commit;
}

// The leader knows what is committed once an entry of its own term is.
bool commit_in_term(const struct raft *raft)
{
    return raft->role == RAFT_LEADER && order_knows_commit(raft);
}

// Has a majority of intact voters, not counting `without`, answered this round in our term? Then
// nobody else can have led when the round began.
bool commit_round_confirmed(const struct raft *raft, uint64_t round, uint16_t without)
{
    uint32_t confirmed = 0;
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        const struct raft_peer *peer = &raft->peers[slot];
        if (peer->id != without) {
            confirmed += slot == raft->self_slot || (peer->intact && peer->round_acked >= round);
        }
    }
    return confirmed >= raft->majority;
}
