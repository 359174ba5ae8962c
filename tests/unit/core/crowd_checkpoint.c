// Checkpoints: taken whatever is applied beyond a hole, and given to peers whose log ends before
// ours begins.
#include "tests/unit/core/crowd.h"

#include <string.h>

void crowd_checkpoint_take(struct crowd_node *node)
{
    const struct raft_view view = crowd_view(node);
    if (node->is_persisting) {
        return;
    }
    if (node->wants_checkpoint && !node->has_job && view.applied > node->disk.checkpoint &&
        view.applied > view.base) {
        node->disk.checkpoint_term = raft_id_at(node->raft, view.applied).term;
        node->disk.checkpoint = view.applied;
        raft_applied_beyond(node->raft, &node->disk.beyond);
        crowd_app_save(node);
        node->wants_checkpoint = false;
        crowd.counts.checkpoints++;
        crowd.counts.checkpoints_beyond += node->disk.beyond.count > 0;
    }
    uint64_t limit = node->disk.checkpoint < view.synced ? node->disk.checkpoint : view.synced;
    if (limit > view.base && crowd_chance(30)) {
        raft_trim(node->raft, limit);
    }
}

void crowd_checkpoint_install(struct crowd_node *from, struct crowd_node *node)
{
    uint64_t index = from->disk.checkpoint;
    if (!from->is_up || index <= node->disk.checkpoint || node->has_job || node->is_persisting) {
        return;
    }
    const struct raft_view view = crowd_view(node);
    if (index <= view.commit || view.role == RAFT_LEADER) {
        return;
    }
    node->disk.checkpoint = index;
    node->disk.checkpoint_term = from->disk.checkpoint_term;
    node->disk.beyond = from->disk.beyond;
    node->disk.sessions_bytes = from->disk.sessions_bytes;
    memcpy(node->disk.sessions, from->disk.sessions, from->disk.sessions_bytes);
    crowd_app_restore(node);
    node->is_persisting = true;
    node->persisted_from = from;
}

// The checkpoint is durable: only now is anybody told.
void crowd_checkpoint_persist(struct crowd_node *node)
{
    node->is_persisting = false;
    const struct raft_input input = {
        .kind = RAFT_IN_INSTALLED,
        .installed = {.term = node->disk.checkpoint_term, .index = node->disk.checkpoint},
        .installed_beyond = &node->disk.beyond};
    crowd_step(node, &input);
    const struct raft_input done = {
        .kind = RAFT_IN_SNAPSHOT_DONE,
        .snapshot_done = {.peer = crowd_id(node), .id = input.installed}};
    if (node->persisted_from->is_up) {
        crowd_step(node->persisted_from, &done);
    }
}
