// The ordering policy of a group: when may an entry be acknowledged, committed, applied? The only
// file that knows which mode a group runs. Everything else asks here and works with floors and
// ranges.
//
// strict: the log is one chain; each of the three is a floor that moves without holes (Raft §5.3).
#include "engine/core/state.h"

// May an entry at this index be taken into the log now, though entries before it are missing?
// Strict groups take it too (it spares sending it again), but it joins the log, and can be
// acknowledged, only when the hole is filled.
bool order_accepts(const struct raft *raft, uint64_t index)
{
    return index > raft->log.last && index <= raft->log.base.index + raft->log.mask + 1;
}

// Everything up to here may be acknowledged to the leader of this term: durable, and known to equal
// the leader's log.
uint64_t order_ack_floor(const struct raft *raft)
{
    return raft->log.synced < raft->verified ? raft->log.synced : raft->verified;
}

// A majority holds everything up to quorum_index durably: how far may the commit index move? Only
// entries of the leader's own term are committed by counting, older ones with them (§5.4.2, figure
// 8).
uint64_t order_commit_floor(const struct raft *raft, uint64_t quorum_index)
{
    if (quorum_index <= raft->commit || log_term_at(&raft->log, quorum_index) != raft->term) {
        return raft->commit;
    }
    return quorum_index;
}

struct raft_range order_apply_next(const struct raft *raft)
{
    return (struct raft_range){.first = raft->apply_given + 1, .last = raft->commit};
}
