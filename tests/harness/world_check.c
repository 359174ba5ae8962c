// What must hold in a world, and what is known of the run to judge by.
//
// The first replica that applies an index defines what stands there; every other must agree (State
// Machine Safety, Raft figure 3). Counters only grow by one: a client's operation took place
// between call and answer exactly if its value is above every value known before the call, and (a
// read) at least that.
#include "tests/harness/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/harness.h"

_Noreturn void world_fail(struct world *world, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    printf("    seed %lu, %lu us: %s\n", world->options.seed, world->now_ns / 1000, text);
    world_print(world);
    test_check(false, __FILE__, __LINE__, text);
    abort();
}

static void reserve_chains(struct world_truth *truth, uint64_t index)
{
    while (index >= truth->capacity) {
        uint64_t grown = truth->capacity == 0 ? 4096 : 2 * truth->capacity;
        truth->chains = realloc(truth->chains, grown * sizeof(uint64_t));
        memset(truth->chains + truth->capacity, 0, (grown - truth->capacity) * sizeof(uint64_t));
        truth->capacity = grown;
    }
}

static struct world_fate *fate_of(struct world_client *client, uint64_t number)
{
    while (number >= client->fates_capacity) {
        uint64_t grown = client->fates_capacity == 0 ? 1024 : 2 * client->fates_capacity;
        client->fates = realloc(client->fates, grown * sizeof(*client->fates));
        memset(client->fates + client->fates_capacity, 0,
               (grown - client->fates_capacity) * sizeof(*client->fates));
        client->fates_capacity = grown;
    }
    return &client->fates[number];
}

static void check_once(struct world_app *app, const struct app_entry *entry, uint32_t result)
{
    struct world *world = app->world;
    struct world_command command;
    if (entry->bytes < sizeof(command)) {
        return;
    }
    memcpy(&command, entry->payload, sizeof(command));
    if (command.number == 0) {
        return; // a test's own
    }
    struct world_fate *fate = fate_of(&world->clients[command.client], command.number);
    WORLD_CHECK(world, fate->index == 0 || fate->index == entry->index,
                "group %u: command %lu of client %u applied at %lu and at %lu", app->group,
                command.number, command.client, fate->index, entry->index);
    *fate = (struct world_fate){.index = entry->index, .result = result};
}

void world_check_applied(struct world_app *app, const struct app_entry *entry, uint32_t result)
{
    struct world *world = app->world;
    struct world_truth *truth = &world->truths[app->group];
    reserve_chains(truth, entry->index);
    uint64_t *chain = &truth->chains[entry->index];
    bool is_first = entry->index > truth->last;
    WORLD_CHECK(world, is_first || *chain == app->state.chain,
                "node %u group %u: applied another history at index %lu", app->node, app->group,
                entry->index);
    *chain = app->state.chain;
    truth->last = is_first ? entry->index : truth->last;
    check_once(app, entry, result);
}

void world_check_done(struct world_client *client, const struct world_operation *operation,
                      uint32_t result)
{
    struct world *world = client->world;
    if (operation->action == WORLD_OPAQUE) {
        return;
    }
    const struct world_fate *fate = fate_of(client, operation->number);
    WORLD_CHECK(world, fate->index != 0, "client %u group %u: command %lu done but not applied",
                client->place, operation->group, operation->number);
    WORLD_CHECK(world, fate->result == result, "client %u command %lu: result %u, applied %u",
                client->place, operation->number, result, fate->result);
    if (operation->action != WORLD_ADD) {
        return;
    }
    uint64_t *acked = &world->truths[operation->group].acked[operation->key];
    WORLD_CHECK(world, result > operation->value_floor,
                "client %u: add gave %u although %lu was known before", client->place, result,
                operation->value_floor);
    *acked = result > *acked ? result : *acked;
}

void world_check_read(struct world_client *client, const struct world_operation *operation,
                      const uint8_t *answer, uint32_t bytes)
{
    struct world *world = client->world;
    uint64_t value;
    memcpy(&value, answer, sizeof(value));
    WORLD_CHECK(world, bytes == operation->bytes, "client %u: read of %u bytes gave %u",
                client->place, operation->bytes, bytes);
    WORLD_CHECK(world, value >= operation->value_floor,
                "client %u group %u key %u: stale read, %lu although %lu was known before",
                client->place, operation->group, operation->key, value, operation->value_floor);
    for (uint32_t at = sizeof(value); at < bytes; at++) {
        WORLD_CHECK(world, answer[at] == world_filler(value, at), "client %u: torn answer at %u",
                    client->place, at);
    }
    uint64_t *acked = &world->truths[operation->group].acked[operation->key];
    *acked = value > *acked ? value : *acked;
}

void world_check_leader(struct world *world, uint16_t node, uint16_t group, uint64_t term)
{
    struct world_truth *truth = &world->truths[group];
    while (term >= truth->terms) {
        uint64_t grown = truth->terms == 0 ? 256 : 2 * truth->terms;
        truth->leaders = realloc(truth->leaders, grown * sizeof(uint16_t));
        memset(truth->leaders + truth->terms, 0, (grown - truth->terms) * sizeof(uint16_t));
        truth->terms = grown;
    }
    WORLD_CHECK(world, truth->leaders[term] == 0 || truth->leaders[term] == node,
                "group %u: nodes %u and %u lead in term %lu", group, truth->leaders[term], node,
                term);
    truth->leaders[term] = node;
}

static void check_digests_of(struct world *world, uint16_t group)
{
    struct world_truth *truth = &world->truths[group];
    for (uint16_t id = 1; id <= world->options.nodes; id++) {
        struct reactor *reactor = world_reactor(world, id, group);
        struct reactor_group_status status;
        if (reactor == NULL || reactor_group_status(reactor, group, true, &status) != 0 ||
            !status.has_digest || status.raft.applied == 0) {
            continue;
        }
        WORLD_CHECK(world,
                    status.raft.applied != truth->digest_index || status.digest == truth->digest,
                    "node %u group %u: state at %lu differs", id, group, status.raft.applied);
        if (status.raft.applied > truth->digest_index) {
            truth->digest_index = status.raft.applied;
            truth->digest = status.digest;
        }
    }
}

void world_check_digests(struct world *world)
{
    for (uint16_t group = 0; group < world->options.groups; group++) {
        check_digests_of(world, group);
    }
}

void world_check_close(struct world *world)
{
    for (uint32_t group = 0; group < WORLD_GROUPS_MAX; group++) {
        free(world->truths[group].chains);
        free(world->truths[group].leaders);
    }
}
