// The reactor among others of its kind, one situation a case.
#include "tests/harness/harness.h"
#include "tests/harness/world.h"

static void three_nodes_serve_clients(void)
{
    struct world_options options;
    world_default_options(&options, 3, 1);
    struct world *world = world_open(&options);
    CHECK(world_run_until(world, world_has_leaders, WORLD_S));
    world_clients_active(world, true);
    world_run(world, WORLD_S / 2);
    world_settle(world, WORLD_S);
    CHECK(world->clients[0].done > 100 && world->clients[0].reads_done > 10);
    world_close(world);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(three_nodes_serve_clients),
    };
    return test_run("reactor", cases, TEST_COUNT(cases), argc, argv);
}
