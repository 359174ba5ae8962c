// A world without nodes: virtual time and its events, for the simulator's network and disks alone.
// They are the ones of tests/sim, not copies; what tests/sim/sim.c does for them is done here.
#ifndef PONTOON_TESTS_DRIVER_SIM_WORLD_H
#define PONTOON_TESTS_DRIVER_SIM_WORLD_H

#include "tests/sim/sim.h"

struct sim *sim_world_open(const struct sim_options *options);
void sim_world_close(struct sim *sim);

// Time goes on to the next event, and that happens. False: nothing will ever happen.
bool sim_world_step(struct sim *sim);

#endif
