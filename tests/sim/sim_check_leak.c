// When all is quiet, everything a reactor lent is back: frames, jobs, reads, waiting origins.
#include "tests/sim/sim_check.h"

static bool keeps_checkpoint(const struct reactor *reactor)
{
    bool keeps = false;
    for (uint32_t slot = 0; slot < reactor->group_count; slot++) {
        const struct snapshot *snapshot = &reactor->groups[slot].snapshot;
        keeps |= snapshot_is_active(snapshot) || snapshot->in_data != NULL;
    }
    return keeps;
}

// Whoever was given a checkpoint and fell silent is waited for, for a while; a worker may have a
// job in its hands.
bool sim_is_at_rest(struct sim *sim)
{
    bool keeps = false;
    for (uint32_t number = 0; number < sim->options.nodes * sim->options.reactors; number++) {
        const struct sim_seat *seat = sim_seat_at(sim, number);
        const struct reactor *reactor = seat->reactor;
        keeps |= seat->node->is_up && !reactor->is_failed &&
                 (keeps_checkpoint(reactor) ||
                  reactor->free_job_count < reactor->config.sizes.apply_jobs);
    }
    return !keeps;
}

static void check_leaks_of(struct sim *sim, const struct sim_seat *seat)
{
    const struct reactor *reactor = seat->reactor;
    uint16_t id = seat->node->id;
    SIM_CHECK(sim, seat->net.tx_out == reactor->outbox.pending_count + reactor->outbox.open_count,
              "leak", "node %u: %u frames are out, %u of them wait to be sent", id,
              seat->net.tx_out, reactor->outbox.pending_count);
    SIM_CHECK(sim, reactor->free_job_count == reactor->config.sizes.apply_jobs, "leak",
              "node %u: %u jobs are free", id, reactor->free_job_count);
    SIM_CHECK(sim, reactor->reads_waiting == 0, "leak", "node %u: %u reads wait", id,
              reactor->reads_waiting);
    for (uint32_t slot = 0; slot < reactor->group_count; slot++) {
        const struct group *group = &reactor->groups[slot];
        for (uint32_t at = 0; at < reactor->config.log_entries && !group->is_halted; at++) {
            SIM_CHECK(sim, group->origins[at].slot == 0, "leak",
                      "node %u group %u: somebody still waits for an entry", id, group->id);
        }
    }
}

void sim_check_leaks(struct sim *sim)
{
    for (uint32_t number = 0; number < sim->options.nodes * sim->options.reactors; number++) {
        struct sim_seat *seat = sim_seat_at(sim, number);
        if (seat->node->is_up && !seat->reactor->is_failed) {
            check_leaks_of(sim, seat);
        }
    }
}
