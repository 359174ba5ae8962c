// State machines: every replica's state after an index is the same, is that of the log applied in
// its order, and a command is executed at one index.
#include "tests/sim/sim_check.h"

#include <stdlib.h>
#include <string.h>

// A command is executed at one index, by all who execute it.
static void note_executed(struct sim_app *app, uint64_t index, const struct sim_command *command)
{
    struct sim_truth *truth = &app->sim->truths[app->group];
    truth->executed[index] = *command;
    if (truth->executed_last < index) {
        truth->executed_last = index;
    }
    struct sim_places *places = &truth->places[command->client];
    if (command->number >= places->capacity) {
        uint64_t grown = 2 * command->number + 64;
        places->indexes = realloc(places->indexes, grown * sizeof(uint64_t));
        ASSERT(places->indexes != NULL);
        memset(places->indexes + places->capacity, 0,
               (grown - places->capacity) * sizeof(uint64_t));
        places->capacity = grown;
    }
    uint64_t *place = &places->indexes[command->number];
    SIM_CHECK(app->sim, *place == 0 || *place == index, "exactly-once",
              "node %u group %u: command %lu of client %u is executed at %lu, and was at %lu",
              app->node, app->group, command->number, command->client, index, *place);
    *place = index;
}

void sim_check_applied(struct sim_app *app, uint64_t index, const struct sim_command *command)
{
    struct sim *sim = app->sim;
    struct sim_truth *truth = &sim->truths[app->group];
    sim_check_reserve(truth, index);
    uint64_t *chain = &truth->chains[index], now = app->state.chain;
    for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
        now = sim_mix(now, command->touches >> key & 1 ? app->state.chains[key] : 0);
    }
    SIM_CHECK(sim, *chain == 0 || *chain == now, "state-machine-safety",
              "node %u group %u: its state after index %lu is not that of others", app->node,
              app->group, index);
    *chain = now;
    note_executed(app, index, command);
}

// The state is what the log gives when it is applied in its order. may_lack: but for what is not
// applied yet.
void sim_check_state(struct sim_app *app, bool may_lack)
{
    const struct sim_truth *truth = &app->sim->truths[app->group];
    struct sim_state state = {0};
    for (uint64_t index = 1; index <= app->state.last && index <= truth->executed_last; index++) {
        const struct sim_command *command = &truth->executed[index];
        bool is_in = !may_lack || sim_app_has_applied(app, index);
        if (command->number != 0 && is_in) {
            uint32_t result = sim_app_execute(&state, command);
            sim_app_chain(&state, app->sim->options.order, index, command, result);
        }
    }
    SIM_CHECK(app->sim, memcmp(&state, &app->state, sizeof(state)) == 0, "state-machine-safety",
              "node %u group %u: its state up to index %lu is not that of the log in order",
              app->node, app->group, app->state.last);
}

void sim_check_states(struct sim *sim)
{
    for (uint16_t number = 0; number < sim->options.groups; number++) {
        for (uint16_t id = 1; id <= sim->options.nodes; id++) {
            struct sim_seat *seat = sim_seat_of(sim, id, number);
            if (seat != NULL) {
                sim_check_state((struct sim_app *)reactor_group(seat->reactor, number)->app, false);
            }
        }
    }
}

void sim_check_digests(struct sim *sim)
{
    for (uint16_t number = 0; number < sim->options.groups; number++) {
        struct sim_truth *truth = &sim->truths[number];
        for (uint16_t id = 1; id <= sim->options.nodes; id++) {
            struct sim_seat *seat = sim_seat_of(sim, id, number);
            struct reactor_group_status status;
            if (seat == NULL || reactor_group_status(seat->reactor, number, true, &status) != 0 ||
                !status.has_digest || status.raft.applied == 0) {
                continue;
            }
            SIM_CHECK(sim,
                      status.raft.applied != truth->digest_index || status.digest == truth->digest,
                      "state-machine-safety", "node %u group %u: digest at %lu differs", id, number,
                      status.raft.applied);
            if (status.raft.applied > truth->digest_index) {
                truth->digest_index = status.raft.applied;
                truth->digest = status.digest;
            }
        }
    }
}
