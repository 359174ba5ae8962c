// Linearizable reads by ReadIndex, batched: reads are numbered in order of arrival, and all that
// arrived since the last round share one (thesis §6.4).
//
// 1. The leader has committed an entry of its term. 2. It notes its commit index. 3. A round of
// appends confirms that it still leads (only answers to THIS round or later ones count: a context
// reused after a retry proves nothing). 4. The caller waits until that index is applied, then
// answers.
#include "engine/core/state.h"

enum raft_outcome read_accept(struct raft *raft, uint32_t count)
{
    if (raft->role != RAFT_LEADER) {
        return RAFT_NOT_LEADER;
    }
    raft->read_last += count;
    return RAFT_OK;
}

void read_abort(struct raft *raft)
{
    raft->read_aborted = raft->read_granted = raft->read_batched = raft->read_last;
    raft->read_head = raft->read_count = 0;
}

static void open_batch(struct raft *raft)
{
    raft->round++;
    raft->read_batches[(raft->read_head + raft->read_count++) % RAFT_READ_BATCHES_MAX] =
        (struct raft_read_batch){
            .upto = raft->read_last, .index = order_commit_high(raft), .round = raft->round};
    raft->read_batched = raft->read_last;
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        raft->peers[slot].append_due = true;
    }
}

void read_collect(struct raft *raft, struct raft_effects *effects)
{
    if (raft->role == RAFT_LEADER && commit_in_term(raft) && raft->read_last > raft->read_batched &&
        raft->read_count < RAFT_READ_BATCHES_MAX) {
        open_batch(raft);
    }
    while (raft->read_count > 0) {
        const struct raft_read_batch *batch = &raft->read_batches[raft->read_head];
        if (!commit_round_confirmed(raft, batch->round, 0)) {
            break;
        }
        effects->reads_granted = true;
        effects->reads_upto = raft->read_granted = batch->upto;
        effects->reads_index = batch->index;
        raft->read_head = (raft->read_head + 1) % RAFT_READ_BATCHES_MAX;
        raft->read_count--;
    }
    effects->reads_aborted_upto = raft->read_aborted;
}
