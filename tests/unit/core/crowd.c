#include "tests/unit/core/crowd.h"

#include "engine/core/parallel.h"

#include <stdio.h>
#include <stdlib.h>

struct crowd crowd;

void crowd_open(void)
{
    crowd.node_count = CROWD_NODES_MAX;
    crowd.rough = (struct crowd_rough){
        .log_entries = CROWD_LOG_ENTRIES_MAX, .span_entries = 1, .window_entries = 1};
    const struct raft_config config = crowd_disk_config(&crowd.nodes[0]);
    for (uint32_t at = 0; at < CROWD_NODES_MAX; at++) {
        struct crowd_node *node = &crowd.nodes[at];
        node->memory = aligned_alloc(64, (raft_memory_bytes(&config) + 63) & ~(size_t)63);
        CHECK(node->memory != NULL);
        crowd_disk_open(node);
        crowd_app_open(node);
    }
    crowd_net_open();
    crowd_truth_open();
}

void crowd_close(void)
{
    for (uint32_t at = 0; at < CROWD_NODES_MAX; at++) {
        free(crowd.nodes[at].memory);
        crowd_disk_close(&crowd.nodes[at]);
        crowd_app_close(&crowd.nodes[at]);
    }
    crowd_net_close();
    crowd_truth_close();
}

void crowd_begin(void)
{
    crowd.now = crowd.cut = 0;
    crowd_client_begin();
    crowd_net_begin();
    crowd_truth_begin();
    for (uint32_t at = 0; at < crowd.node_count; at++) {
        struct crowd_node *node = &crowd.nodes[at];
        *node = (struct crowd_node){
            .memory = node->memory,
            .applied_ids = node->applied_ids,
            .sessions = node->sessions,
            .disk = {.records = node->disk.records, .sessions = node->disk.sessions}};
        crowd_disk_start(node);
    }
}

struct raft_view crowd_view(const struct crowd_node *node)
{
    struct raft_view view;
    raft_view(node->raft, &view);
    return view;
}

static void place(struct crowd_node *node, const struct raft_accept *accept)
{
    for (uint64_t index = accept->range.first; index <= accept->range.last; index++) {
        const struct raft_entry *entry = raft_entry_to_place(node->raft, index);
        if (entry != NULL) {
            struct crowd_record *record = crowd_disk_add(node);
            record->is_staged = accept->is_staged;
            record->epoch = entry->epoch;
            record->index = index;
            record->term = entry->term;
            record->head = entry->head;
            record->commit = crowd_view(node).commit_told;
            crowd.counts.noops += entry->head.kind == RAFT_ENTRY_NOOP;
            raft_entry_placed(node->raft, index, node->disk.count);
        }
    }
}

void crowd_step(struct crowd_node *node, const struct raft_input *input)
{
    struct raft_accept accept;
    raft_step(node->raft, crowd.now, input, &accept);
    CROWD_REQUIRE(accept.truncate_from == 0);
    place(node, &accept);
}

static void collect(struct crowd_node *node)
{
    static struct raft_effects effects;
    raft_collect(node->raft, crowd.now, &effects);
    raft_check_invariants(node->raft);
    CROWD_REQUIRE(effects.apply.last < effects.apply.first);
    if (effects.hard_state_due) {
        node->disk.hard_pending = effects.hard_state;
        node->disk.is_hard_pending = true;
    }
    if (effects.sync_due) {
        struct crowd_record *record = crowd_disk_add(node);
        record->is_sync = true;
        record->sync = effects.sync;
    }
    for (uint32_t at = 0; at < effects.message_count; at++) {
        crowd.counts.fetches += effects.messages[at].type == RAFT_MSG_FETCH;
        crowd_net_post(&effects.messages[at]);
    }
    for (uint32_t at = 0; at < effects.send_count; at++) {
        crowd_net_post_entries(node, &effects.sends[at]);
    }
    for (uint16_t id = 1; id <= crowd.node_count; id++) {
        if ((effects.snapshot_peers >> (id - 1)) & 1) {
            node->wants_checkpoint = true;
            crowd_net_post_checkpoint(node, id);
        }
    }
    crowd_client_take_reads(node, &effects);
    crowd_truth_check_log(node);
}

static bool needs_room(const struct crowd_node *node)
{
    const struct raft_view view = crowd_view(node);
    return view.held - view.base > crowd.rough.log_entries / 4 * 3;
}

static void suffer(struct crowd_node *node)
{
    const struct crowd_rough *rough = &crowd.rough;
    if (crowd_below(rough->stall_every) == 0) {
        node->stalled_until = crowd.now + crowd_below(100) * CROWD_TICK_NS;
    } else if (!rough->is_volatile && crowd_below(rough->crash_every) == 0) {
        crowd_disk_crash(node);
    } else if (rough->lose_every > 0 && crowd_below(rough->lose_every) == 0) {
        crowd_disk_lose(node);
    }
}

static void turn_node(struct crowd_node *node, bool is_calm, bool may_propose)
{
    crowd_disk_complete(node, is_calm ? 90 : crowd.rough.write_percent);
    const struct raft_input tick = {.kind = RAFT_IN_TICK};
    crowd_step(node, &tick);
    if (may_propose && crowd_chance(crowd.rough.propose_percent)) {
        crowd_client_propose(node);
    }
    if (crowd_chance(5)) {
        crowd_client_read(node);
    }
    crowd_app_apply(node);
    crowd_checkpoint_take(node);
    node->wants_checkpoint |= crowd_chance(1) || needs_room(node);
    if (node->is_persisting && crowd_chance(is_calm ? 50 : 3)) {
        crowd_checkpoint_persist(node);
    }
    collect(node);
    if (is_calm) {
        node->stalled_until = 0;
    } else {
        suffer(node);
    }
}

void crowd_turn(bool is_calm, bool may_propose)
{
    crowd.now += CROWD_TICK_NS / 4;
    if (crowd_below(crowd.rough.replay_every) == 0) {
        crowd_net_replay();
    }
    crowd_net_deliver();
    for (uint32_t at = 0; at < crowd.node_count; at++) {
        if (crowd.nodes[at].is_up) {
            turn_node(&crowd.nodes[at], is_calm, may_propose);
        }
    }
}

bool crowd_is_level(void)
{
    bool has_leader = false;
    for (uint32_t at = 0; at < crowd.node_count; at++) {
        const struct crowd_node *node = &crowd.nodes[at];
        has_leader |= crowd_view(node).role == RAFT_LEADER && order_knows_commit(node->raft);
        for (uint64_t index = 1; index < CROWD_INDEXES_MAX && crowd.truth[index] != 0; index++) {
            if (node->applied_ids[index] != crowd.truth[index]) {
                return false;
            }
        }
    }
    return has_leader;
}

void crowd_print(void)
{
    for (uint32_t at = 0; at < crowd.node_count; at++) {
        const struct raft_view view = crowd_view(&crowd.nodes[at]);
        const struct raft_parallel *parallel = crowd.nodes[at].raft->parallel;
        printf("n%u role %d leader %u term %lu sync %lu/%lu commit %lu/%lu applied %lu synced %lu "
               "last %lu held %lu base %lu phase %d staging %d/%d staged %lu end %lu told %lu\n",
               at + 1, (int)view.role, view.leader, (unsigned long)view.term,
               (unsigned long)view.sync_term, (unsigned long)view.sync_end,
               (unsigned long)view.commit, (unsigned long)view.commit_high,
               (unsigned long)view.applied, (unsigned long)view.synced, (unsigned long)view.last,
               (unsigned long)view.held, (unsigned long)view.base, (int)parallel->phase,
               parallel->is_staging, parallel->is_sync_given, (unsigned long)parallel->staged.last,
               (unsigned long)parallel->sync.end, (unsigned long)view.commit_told);
    }
}
