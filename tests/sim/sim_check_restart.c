// Going down and coming up: what was durable in the log, and term and vote, are there after the
// next start.
#include "tests/sim/sim_check.h"

#include <stdlib.h>

static void keep_shadow(struct sim_shadow *shadow, const struct raft_log *log, uint64_t term)
{
    free(shadow->ids);
    *shadow = (struct sim_shadow){.term = term, .base = log->base.index, .last = log->held};
    shadow->ids = calloc(log->held - log->base.index + 1, sizeof(*shadow->ids));
    ASSERT(shadow->ids != NULL);
    for (uint64_t index = log->base.index + 1; index <= log->held; index++) {
        shadow->ids[index - log->base.index - 1] =
            sim_check_id(log_has(log, index) ? log_slot(log, index) : NULL);
    }
}

static void keep_shadows(struct sim_seen *seen, const struct raft *raft)
{
    const struct raft_parallel *parallel = raft->parallel;
    keep_shadow(&seen->shadow, &raft->log, parallel == NULL ? 0 : parallel->sync_term);
    seen->pending.term = 0;
    if (install_is_pending(raft)) {
        keep_shadow(&seen->pending, &parallel->staged, parallel->sync.term);
    }
}

void sim_check_down(struct sim_seat *seat)
{
    sim_check_seat(seat);
    for (uint32_t slot = 0; slot < seat->reactor->group_count; slot++) {
        const struct group *group = &seat->reactor->groups[slot];
        struct sim_seen *seen = &seat->seen[group->id];
        if (!seat->node->sim->options.is_volatile) {
            keep_shadows(seen, group->raft);
        }
        seen->hard = group->raft->hard_synced;
    }
}

struct sim_id sim_check_in_shadow(const struct sim_shadow *shadow, uint64_t index)
{
    bool is_in = index > shadow->base && index <= shadow->last;
    return is_in ? shadow->ids[index - shadow->base - 1] : (struct sim_id){0};
}

// A log that was being installed is what a node has once that was told: what its disk completed
// just before it was taken away, the process that is left tells (sim_parallel.c).
const struct sim_shadow *sim_check_shadow(const struct sim_truth *truth,
                                          const struct sim_seen *seen, uint16_t id)
{
    uint64_t term = seen->pending.term;
    bool is_told = term != 0 && term < truth->installed_terms &&
                   (truth->installed[term].nodes >> (id - 1) & 1) != 0;
    return is_told ? &seen->pending : &seen->shadow;
}

static void check_recovered(struct sim_seat *seat, const struct group *group)
{
    struct sim *sim = seat->node->sim;
    struct sim_seen *seen = &seat->seen[group->id];
    const struct raft *raft = group->raft;
    bool is_exempt = seat->node->is_damaged || sim->options.is_volatile;
    SIM_CHECK(sim,
              raft->term > seen->hard.term ||
                  (raft->term == seen->hard.term &&
                   (seen->hard.voted_for == 0 || raft->voted_for == seen->hard.voted_for)),
              "durability", "node %u group %u: started with term %lu and vote %u, knew %lu and %u",
              seat->node->id, group->id, raft->term, raft->voted_for, seen->hard.term,
              seen->hard.voted_for);
    const struct sim_shadow *shadow =
        sim_check_shadow(&sim->truths[group->id], seen, seat->node->id);
    if (raft->parallel != NULL && raft->parallel->sync_term == seen->pending.term) {
        shadow = &seen->pending; // its SYNC record got there
    }
    SIM_CHECK(sim, is_exempt || raft->parallel == NULL || raft->parallel->sync_term == shadow->term,
              "durability", "node %u group %u: started with the log of term %lu, had that of %lu",
              seat->node->id, group->id, raft->parallel->sync_term, shadow->term);
    uint64_t from = raft->log.base.index > shadow->base ? raft->log.base.index : shadow->base;
    uint64_t last = raft->parallel == NULL ? seen->synced : shadow->last;
    for (uint64_t index = from + 1; index <= last && !is_exempt; index++) {
        struct sim_id had = sim_check_in_shadow(shadow, index);
        struct sim_id has = sim_check_id(raft_entry_at(raft, index));
        SIM_CHECK(sim, !had.is_known || sim_check_is_same(sim, &has, &had), "durability",
                  "node %u group %u: entry (%lu, %lu) was durable and is not there after the start",
                  seat->node->id, group->id, had.term, index);
    }
    SIM_CHECK(sim, is_exempt || raft->intact, "durability",
              "node %u group %u: does not believe it is whole, though its disk is", seat->node->id,
              group->id);
}

void sim_check_up(struct sim_seat *seat)
{
    for (uint32_t slot = 0; slot < seat->reactor->group_count; slot++) {
        struct group *group = &seat->reactor->groups[slot];
        struct sim_seen *seen = &seat->seen[group->id];
        if (seen->is_known) {
            check_recovered(seat, group);
        }
        free(seen->shadow.ids);
        free(seen->pending.ids);
        *seen = (struct sim_seen){.is_known = true, .hard = seen->hard};
        seen->epoch = UINT32_MAX; // everything is new
        if (group->raft->parallel != NULL && !group->raft->intact) {
            sim_parallel_lost(&seat->node->sim->truths[group->id], seat->node->id);
        }
        sim_check_look(seat, group);
    }
}
