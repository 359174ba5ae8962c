#include "tests/unit/reactor/situation.h"

#include "tests/harness/harness.h"

struct world_options situation_options(uint32_t nodes, bool is_volatile)
{
    struct world_options options;
    world_default_options(&options, nodes, 1);
    options.is_volatile = is_volatile;
    return options;
}

struct world *situation_begin(const struct world_options *options)
{
    struct world *world = world_open(options);
    CHECK(world_run_until(world, world_has_leaders, WORLD_S));
    return world;
}

struct world *situation_open(uint32_t nodes, bool is_volatile)
{
    const struct world_options options = situation_options(nodes, is_volatile);
    return situation_begin(&options);
}

uint16_t situation_follower(struct world *world)
{
    return world_leader(world, 0) == 1 ? 2 : 1;
}

struct reactor_counters situation_counters(struct world *world, uint16_t id)
{
    struct reactor_counters counters;
    reactor_counters(world_reactor(world, id, 0), &counters);
    return counters;
}

uint64_t situation_done(const struct world *world)
{
    uint64_t count = 0;
    for (uint32_t place = 0; place < world->options.clients; place++) {
        count += world->clients[place].done;
    }
    return count;
}

void situation_count(void *context, reactor_user *user, const struct reactor_reply *reply)
{
    (void)user;
    ((uint32_t *)context)[reply->status]++;
}
