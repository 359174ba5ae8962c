// One replica, looked at after every poll of its reactor, whatever the poll did. The cost follows
// what changed, not what there is.
#include "tests/sim/sim_check.h"

#include "engine/wal/wal_state.h"

enum { INVARIANTS_EVERY = 16, RECORD_HEAD_BYTES = WAL_RECORD_OVERHEAD_BYTES };

void sim_check_on_disk(struct sim_seat *seat, uint16_t group, uint64_t index,
                       const struct raft_entry *entry)
{
    struct sim *sim = seat->node->sim;
    char name[32];
    if (sim->options.is_volatile || seat->node->is_damaged || seat->reactor->is_failed ||
        seat->disk.is_gone) {
        return;
    }
    snprintf(name, sizeof(name), "log.%u", seat->which);
    uint64_t offset = (entry->body - RECORD_HEAD_BYTES) % sim->options.log_bytes;
    bool holds = sim_disk_holds(&seat->disk, name, offset, (const uint8_t *)seat->arena + offset,
                                RECORD_HEAD_BYTES + entry->head.bytes);
    SIM_CHECK(sim, holds, "durability",
              "node %u group %u: entry (%lu, %lu) counts as durable and is not on disk",
              seat->node->id, group, entry->term, index);
}

static void note_holder(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                        uint64_t from)
{
    from = from > raft->log.base.index ? from : raft->log.base.index;
    for (uint64_t index = from + 1; index <= raft->log.synced && raft->intact; index++) {
        sim_check_known(&seat->node->sim->truths[group], raft_id_at(raft, index).term, index)
            ->holders |= 1u << (seat->node->id - 1);
    }
}

// The disk is looked at once for each entry, when it comes to count: later the entry may be copied
// to the log's head, and its place is the copy's before that is durable. (Where entries are kept in
// memory, one that replaced another counts at once.)
static void check_synced(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                         const struct sim_seen *seen)
{
    bool is_cut = raft->log.epoch != seen->epoch && seen->commit < seen->synced;
    uint64_t from = is_cut ? seen->commit : seen->synced;
    note_holder(seat, group, raft, seen->is_intact ? from : 0);
    for (uint64_t index = seen->synced + 1; index <= raft->log.synced; index++) {
        const struct raft_entry *entry = raft_entry_at(raft, index);
        if (entry != NULL) {
            sim_check_on_disk(seat, group, index, entry);
        }
    }
}

static bool is_unchanged(const struct raft *raft, const struct sim_seen *seen)
{
    return seen->is_known && seen->term == raft->term && seen->voted_for == raft->voted_for &&
           seen->role == raft->role && seen->commit == raft->commit &&
           seen->applied == raft->applied && seen->last == raft->log.last &&
           seen->held == raft->log.held && seen->synced == raft->log.synced &&
           seen->base == raft->log.base.index && seen->epoch == raft->log.epoch &&
           seen->is_intact == raft->intact && seen->hard.term == raft->hard_synced.term &&
           seen->hard.voted_for == raft->hard_synced.voted_for;
}

static void check_monotonic(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                            const struct sim_seen *seen)
{
    struct sim *sim = seat->node->sim;
    SIM_CHECK(sim, raft->term >= seen->term, "monotonic", "node %u group %u: term %lu fell to %lu",
              seat->node->id, group, seen->term, raft->term);
    SIM_CHECK(sim, raft->commit >= seen->commit, "monotonic",
              "node %u group %u: commit %lu fell to %lu", seat->node->id, group, seen->commit,
              raft->commit);
    // A parallel core's may have gone over what an older checkpoint had brought; one that is put in
    // its place decides anew. The state machine's own never falls.
    bool is_put = raft->parallel != NULL && raft->log.base.index > seen->base;
    SIM_CHECK(sim, (raft->applied >= seen->applied || is_put) && raft->log.base.index >= seen->base,
              "monotonic", "node %u group %u: applied %lu fell to %lu", seat->node->id, group,
              seen->applied, raft->applied);
    uint64_t state = reactor_group(seat->reactor, group)->applied;
    SIM_CHECK(sim, state >= seen->state, "monotonic",
              "node %u group %u: its state, up to %lu, fell to %lu", seat->node->id, group,
              seen->state, state);
    SIM_CHECK(sim,
              raft->term > seen->term || seen->voted_for == 0 || raft->voted_for == seen->voted_for,
              "monotonic", "node %u group %u: vote of term %lu changed from %u to %u",
              seat->node->id, group, seen->term, seen->voted_for, raft->voted_for);
}

static void check_entries(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                          uint64_t from)
{
    from = from > raft->log.base.index ? from : raft->log.base.index;
    for (uint64_t index = from + 1; index <= raft->log.last; index++) {
        sim_check_entry(seat, group, index, raft_id_at(raft, index - 1).term,
                        raft_entry_at(raft, index));
    }
}

static void note(struct sim_seen *seen, const struct group *group)
{
    const struct raft *raft = group->raft;
    seen->is_known = true;
    seen->role = raft->role;
    seen->term = raft->term;
    seen->voted_for = raft->voted_for;
    seen->commit = raft->commit;
    seen->applied = raft->applied;
    seen->state = group->applied;
    seen->last = raft->log.last;
    seen->held = raft->log.held;
    seen->synced = raft->log.synced;
    seen->base = raft->log.base.index;
    seen->epoch = raft->log.epoch;
    seen->is_intact = raft->intact;
    seen->hard = raft->hard_synced;
}

// Has a voter ever held an entry durably, or does a checkpoint of its cover it?
static bool has_held(struct sim_seat *seat, uint16_t group, const struct raft *leader,
                     const struct raft_peer *peer)
{
    struct sim *sim = seat->node->sim;
    const struct raft *raft = sim_raft(sim, peer->id, group);
    if (peer->match <= leader->log.base.index || raft == NULL ||
        raft->log.base.index >= peer->match) {
        return true; // or nobody can tell
    }
    uint64_t term = raft_id_at(leader, peer->match).term;
    uint32_t holders = sim_check_known(&sim->truths[group], term, peer->match)->holders;
    return (holders >> (peer->id - 1) & 1) != 0;
}

// What a leader believes of its peers never falls, and is true: each intact one has durably had the
// entry at its match index.
static void check_match(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                        struct sim_seen *seen)
{
    struct sim *sim = seat->node->sim;
    bool is_new = seen->match_term != raft->term;
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        const struct raft_peer *peer = &raft->peers[slot];
        bool is_known = !is_new && peer->boot == seen->boot[slot];
        if (slot == raft->self_slot || (is_known && peer->match == seen->match[slot])) {
            continue;
        }
        SIM_CHECK(sim, !is_known || peer->match > seen->match[slot], "monotonic",
                  "node %u group %u: match index of node %u fell from %lu to %lu", seat->node->id,
                  group, peer->id, seen->match[slot], peer->match);
        SIM_CHECK(sim, !peer->intact || has_held(seat, group, raft, peer), "durability",
                  "node %u group %u: counts entry %lu for node %u, which never had it",
                  seat->node->id, group, peer->match, peer->id);
        seen->match[slot] = peer->match;
        seen->boot[slot] = peer->boot;
    }
    seen->match_term = raft->term;
}

void sim_check_look(struct sim_seat *seat, struct group *group)
{
    struct sim *sim = seat->node->sim;
    struct sim_seen *seen = &seat->seen[group->id];
    const struct raft *raft = group->raft;
    bool is_parallel = raft->parallel != NULL;
    if (raft->role == RAFT_LEADER && !is_parallel) {
        check_match(seat, group->id, raft, seen);
    }
    bool is_new_beyond = is_parallel && !sim_parallel_is_unchanged(raft, seen);
    if (is_unchanged(raft, seen) && !is_new_beyond) {
        return;
    }
    bool is_cut = raft->log.epoch != seen->epoch;
    uint64_t known = is_cut ? 0 : seen->last;
    check_monotonic(seat, group->id, raft, seen);
    if (raft->role == RAFT_LEADER && (seen->role != RAFT_LEADER || raft->term != seen->term)) {
        sim_check_leader(seat, group->id, raft);
    }
    sim_check_hard_state(seat, group->id, raft);
    if (is_parallel) {
        sim_parallel_look(seat, group->id, raft, seen);
        if (raft->log.held > raft->log.last && seen->held <= seen->last && raft->leader != 0) {
            sim_fault_on_hole(&sim->nodes[raft->leader - 1]);
        }
        if ((raft->parallel->is_staging && !seen->is_staging) ||
            (raft->parallel->is_sync_given && !seen->is_sync_given)) {
            sim_fault_on_install(seat->node);
        }
        seen->is_staging = raft->parallel->is_staging;
        seen->is_sync_given = raft->parallel->is_sync_given;
    } else {
        check_entries(seat, group->id, raft, known < seen->commit ? seen->commit : known);
        check_synced(seat, group->id, raft, seen);
        sim_check_commit(seat, group->id, raft, seen);
    }
    if (is_cut || seen->looks++ % INVARIANTS_EVERY == 0) {
        raft_check_invariants(raft);
    }
    if (raft->role != seen->role) {
        sim_fault_on_role(seat->node, raft->role);
    }
    sim_hash(sim,
             raft->term ^ raft->commit << 20 ^ raft->log.last << 40 ^ (uint64_t)raft->role << 60);
    if (sim->trace != NULL) {
        sim_trace(seat, group, seen);
    }
    note(seen, group);
}

void sim_check_ghost(struct sim_seat *seat)
{
    for (uint32_t slot = 0; slot < seat->reactor->group_count; slot++) {
        const struct group *group = &seat->reactor->groups[slot];
        const struct raft *raft = group->raft;
        struct sim_seen *seen = &seat->seen[group->id];
        bool is_cut = !seen->is_known || raft->log.epoch != seen->epoch;
        if (raft->parallel != NULL) {
            sim_parallel_look_at_ghost(seat, group->id, raft, seen);
        } else {
            check_entries(seat, group->id, raft, is_cut ? 0 : seen->last);
        }
        note(seen, group);
    }
}

void sim_check_seat(struct sim_seat *seat)
{
    for (uint32_t slot = 0; slot < seat->reactor->group_count; slot++) {
        sim_check_look(seat, &seat->reactor->groups[slot]);
    }
}
