// What befalls the nodes of a cluster: crash, start, failing disk, proposals, reads, checkpoints.
#include "tests/harness/cluster.h"

void cluster_crash(struct cluster *cluster, uint16_t id)
{
    struct cluster_node *node = cluster_node(cluster, id);
    if (!node->is_up) {
        return;
    }
    node->is_up = false;
    cluster_disk_crash(cluster, node);
    if (node->is_volatile) {
        node->checkpoint = (struct cluster_checkpoint){.hash = 0};
    }
}

static void restore(struct cluster *cluster, struct cluster_node *node)
{
    uint64_t commit = 0;
    raft_restore_begin(node->raft, node->checkpoint.id);
    for (uint32_t at = 0; at < node->disk.record_count; at++) {
        const struct cluster_record *record = &node->disk.records[at];
        commit = record->commit > commit ? record->commit : commit;
        if (record->is_truncate) {
            raft_restore_truncate(node->raft, record->id.index);
        } else {
            int result = raft_restore_entry(node->raft, record->id, record->prev_term,
                                            &record->head, record->head.sequence);
            ASSERT(result == 0);
        }
    }
    raft_restore_end(node->raft, cluster->now_ns);
    if (!cluster->options.is_disk_unordered) { // else what the record stands behind may be lost
        raft_restore_commit(node->raft, commit);
    }
}

void cluster_start(struct cluster *cluster, uint16_t id)
{
    struct cluster_node *node = cluster_node(cluster, id);
    if (node->is_up) {
        return;
    }
    node->disk.boot++;
    struct raft_config config;
    cluster_config(cluster, node, &config);
    node->is_started_before = true;
    node->is_up = true;
    node->has_failed_disk = false;
    node->raft = raft_init(node->memory, &config, cluster->now_ns);
    restore(cluster, node);
    node->state = node->checkpoint;
    node->apply_next = node->state.id.index + 1;
    node->apply_generation++;
    node->snapshot_out = 0;
    node->read_count = 0;
    node->collect_ns = cluster->now_ns;
    node->deadline_ns = UINT64_MAX;
    raft_view(node->raft, &node->view);
    cluster_check_restored(cluster, node);
}

void cluster_fail_disk(struct cluster *cluster, uint16_t id)
{
    struct cluster_node *node = cluster_node(cluster, id);
    if (node->is_up && !node->has_failed_disk) {
        node->has_failed_disk = true;
        struct raft_input input = {.kind = RAFT_IN_DISK_FAILED};
        cluster_step(cluster, node, &input, NULL);
    }
}

void cluster_stand_down(struct cluster *cluster, uint16_t id)
{
    struct cluster_node *node = cluster_node(cluster, id);
    if (node->is_up) {
        struct raft_input input = {.kind = RAFT_IN_STAND_DOWN};
        cluster_step(cluster, node, &input, NULL);
    }
}

enum raft_outcome cluster_propose(struct cluster *cluster, uint16_t id, uint32_t count,
                                  uint32_t bytes)
{
    struct cluster_node *node = cluster_node(cluster, id);
    if (!node->is_up) {
        return RAFT_NOT_LEADER;
    }
    struct raft_entry_head heads[64];
    ASSERT_CMP(count, <=, 64);
    for (uint32_t at = 0; at < count; at++) {
        heads[at] = (struct raft_entry_head){
            .client = 1, .sequence = ++cluster->values, .bytes = bytes, .kind = RAFT_ENTRY_COMMAND};
    }
    struct raft_input input = {.kind = RAFT_IN_PROPOSE,
                               .propose = {.heads = heads, .count = count}};
    enum raft_outcome outcome;
    cluster_step(cluster, node, &input, &outcome);
    return outcome;
}

enum raft_outcome cluster_read(struct cluster *cluster, uint16_t id, uint32_t count)
{
    struct cluster_node *node = cluster_node(cluster, id);
    if (!node->is_up || node->read_count == CLUSTER_READS_MAX) {
        return RAFT_NOT_LEADER;
    }
    struct raft_input input = {.kind = RAFT_IN_READ, .read_count = count};
    enum raft_outcome outcome;
    cluster_step(cluster, node, &input, &outcome);
    if (outcome == RAFT_OK) {
        struct raft_view view;
        raft_view(node->raft, &view);
        node->reads[node->read_count++] =
            (struct cluster_read){.number = view.reads_last, .required_index = cluster->truth_last};
    }
    return outcome;
}

void cluster_trim(struct cluster *cluster, uint16_t id, uint64_t index)
{
    struct cluster_node *node = cluster_node(cluster, id);
    if (!node->is_up) {
        return;
    }
    struct raft_view view;
    raft_view(node->raft, &view);
    index = index < view.applied ? index : view.applied;
    index = index < view.synced ? index : view.synced;
    if (index > view.base) {
        node->checkpoint = (struct cluster_checkpoint){.id = raft_id_at(node->raft, index),
                                                       .hash = cluster->truth[index].hash};
        raft_trim(node->raft, index);
        if (node->collect_ns == UINT64_MAX) {
            node->collect_ns = cluster->now_ns;
        }
    }
}
