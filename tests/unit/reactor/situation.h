// What the tests of reactors among their kind begin with: a world in which every group has a
// leader.
#ifndef PONTOON_TESTS_REACTOR_SITUATION_H
#define PONTOON_TESTS_REACTOR_SITUATION_H

#include "tests/harness/world.h"

struct world_options situation_options(uint32_t nodes, bool is_volatile);
struct world *situation_begin(const struct world_options *options);
// The same, with the options as they are.
struct world *situation_open(uint32_t nodes, bool is_volatile);

// Some node that does not lead group 0.
uint16_t situation_follower(struct world *world);
struct reactor_counters situation_counters(struct world *world, uint16_t id);
// Commands that all clients have been answered.
uint64_t situation_done(const struct world *world);
// A callback for requests of other threads: context counts answers by status.
void situation_count(void *context, reactor_user *user, const struct reactor_reply *reply);

#endif
