#include "tests/driver/sim_world.h"

#include <stdlib.h>

#include "tests/harness/harness.h"

void sim_at(struct sim *sim, uint32_t event, uint64_t at_ns)
{
    heap_update(&sim->events, event, at_ns);
}

void sim_hash(struct sim *sim, uint64_t value)
{
    sim->result->hash = sim_mix(sim->result->hash, value);
}

void sim_seat_wake(struct sim_seat *seat)
{
}

// The contracts' frames are no messages of nodes.
void sim_check_sent(struct sim_seat *seat, const uint8_t *data, uint32_t bytes)
{
}

struct sim *sim_world_open(const struct sim_options *options)
{
    struct sim *sim = calloc(1, sizeof(*sim));
    CHECK(sim != NULL);
    sim->options = *options;
    sim->result = calloc(1, sizeof(*sim->result));
    sim->heap_items = calloc(SIM_EVENTS, sizeof(*sim->heap_items));
    sim->heap_positions = calloc(SIM_EVENTS, sizeof(*sim->heap_positions));
    CHECK(sim->result != NULL && sim->heap_items != NULL && sim->heap_positions != NULL);
    heap_init(&sim->events, sim->heap_items, sim->heap_positions, SIM_EVENTS);
    prng_init(&sim->prng, options->seed ^ 1);
    prng_init(&sim->net_prng, options->seed ^ 2);
    prng_init(&sim->disk_prng, options->seed ^ 3);
    sim_net_open(sim);
    return sim;
}

void sim_world_close(struct sim *sim)
{
    sim_net_close(sim);
    free(sim->heap_items);
    free(sim->heap_positions);
    free(sim->result);
    free(sim);
}

bool sim_world_step(struct sim *sim)
{
    uint32_t event;
    if (sim->events.count == 0) {
        return false;
    }
    sim->now_ns = heap_next_ns(&sim->events);
    CHECK(heap_pop_due(&sim->events, sim->now_ns, &event));
    if (event < SIM_EVENT_SEAT) {
        sim_net_arrive(sim, event);
    } else {
        CHECK(event >= SIM_EVENT_DISK && event < SIM_EVENT_DISK + SIM_REQUESTS_MAX);
        sim_disk_complete(&sim->seats[0].disk, event - SIM_EVENT_DISK);
    }
    return true;
}
