// Reactors that serve clients: one node, three, many groups, restarts and farewells.
#include "tests/harness/harness.h"
#include "tests/unit/reactor/situation.h"

static void three_nodes_serve_clients(void)
{
    struct world *world = situation_open(3, false);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 4);
    world_settle(world, WORLD_S);
    CHECK(world->clients[0].done > 100 && world->clients[0].reads_done > 10);
    world_close(world);
}

static void a_single_node_serves_and_recovers(void)
{
    struct world *world = situation_open(1, false);
    for (uint32_t round = 0; round < 5; round++) {
        world_clients_active(world, true);
        world_run(world, WORLD_S / 10);
        world_crash(world, 1, 50);
        world_start(world, 1);
    }
    world_settle(world, WORLD_S);
    world_close(world);
}

static void a_memory_node_comes_back_empty(void)
{
    struct world *world = situation_open(3, true);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 4);
    for (uint16_t id = 1; id <= 3; id++) {
        world_crash(world, id, 0);
        world_run(world, WORLD_S / 4);
        world_start(world, id);
        world_settle(world, 5 * WORLD_S);
        world_clients_active(world, true);
    }
    world_settle(world, WORLD_S);
    world_close(world);
}

static bool is_drained(struct world *world)
{
    for (uint16_t id = 1; id <= world->options.nodes; id++) {
        if (world->nodes[id - 1].is_draining && !reactor_is_drained(world_reactor(world, id, 0))) {
            return false;
        }
    }
    return true;
}

static void a_drained_leader_leaves_nothing_open(void)
{
    struct world *world = situation_open(3, false);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 10);
    uint16_t leader = world_leader(world, 0);
    world_drain(world, leader);
    CHECK(world_run_until(world, is_drained, WORLD_S));
    CHECK(world->clients[0].unknown == 0 && world->clients[1].unknown == 0);
    world_stop_cleanly(world, leader);
    world_run(world, WORLD_S / 2);
    world_start(world, leader);
    world_settle(world, WORLD_S);
    world_close(world);
}

static void seventy_groups_on_two_reactors(void)
{
    struct world_options options = situation_options(3, false);
    options.groups = 70;
    options.reactors = 2;
    options.has_kv = false;
    options.log_entries = 128;
    options.clients = 4;
    struct world *world = situation_begin(&options);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 4);
    world_crash(world, 2, 30);
    world_run(world, WORLD_S / 4);
    world_start(world, 2);
    world_settle(world, 5 * WORLD_S);
    world_close(world);
}

static void a_reactor_without_groups_does_no_harm(void)
{
    struct world_options options = situation_options(3, false);
    options.reactors = 2;
    struct world *world = situation_begin(&options);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 10);
    world_settle(world, WORLD_S);
    world_close(world);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(three_nodes_serve_clients),      TEST(a_single_node_serves_and_recovers),
        TEST(a_memory_node_comes_back_empty), TEST(a_drained_leader_leaves_nothing_open),
        TEST(seventy_groups_on_two_reactors), TEST(a_reactor_without_groups_does_no_harm),
    };
    return test_run("reactor serving", cases, TEST_COUNT(cases), argc, argv);
}
