// Random clusters under random faults, one seed a run: test_world [first seed [count]].
//
// Everything world_check.c knows of is checked all the time; then the faults end, and the cluster
// must serve every client and be level again within bounded time.
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/harness.h"
#include "tests/harness/world.h"

enum { ROUNDS = 12 };

static uint64_t first_seed = 1, seed_count = 8;

#define SETTLE_NS (20 * WORLD_S)

static uint32_t pick(struct prng *prng, const uint32_t *from, uint32_t count)
{
    return from[prng_below(prng, count)];
}
#define PICK(prng, ...)                                                                            \
    pick(prng, (const uint32_t[]){__VA_ARGS__},                                                    \
         sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void choose_options(struct prng *prng, uint64_t seed, struct world_options *options)
{
    world_default_options(options, PICK(prng, 1, 2, 3, 3, 3, 5), seed);
    options->groups = PICK(prng, 1, 1, 2, 3);
    options->reactors = options->groups > 1 ? PICK(prng, 1, 2) : 1;
    options->clients = PICK(prng, 1, 2, 4);
    options->is_volatile = options->nodes >= 3 && prng_chance(prng, 1, 2);
    options->frame_bytes = PICK(prng, 576, 1472, 1472, 8960);
    options->log_entries = PICK(prng, 64, 256, 1024, 4096);
    options->window_entries = PICK(prng, 1, 16, 256, 1024);
    options->window_bytes = PICK(prng, 4096, 65536, 1 << 20, 4 << 20);
    options->log_bytes = PICK(prng, 16 << 20, 16 << 20, 32 << 20);
    options->payload_max = PICK(prng, 100, 3000, 3000, 20000, 100000, RAFT_PAYLOAD_BYTES_MAX);
    options->client_window = options->payload_max > 100000 ? 2 : PICK(prng, 1, 8, 48);
    options->sessions_max = PICK(prng, 3, 8, 16);
    options->tx_buffers = PICK(prng, 24, 64, 512);
    options->tx_ring = PICK(prng, 4, 32, 256);
    options->disk_polls = PICK(prng, 0, 4, 20);
    options->apply_workers = PICK(prng, 0, 1, 2);
    options->app_ballast_bytes = PICK(prng, 0, 0, 20000, 700000, 3000000);
}

// With entries in memory only, a majority must keep them: one node at a time, and only when all
// others hold everything again.
static bool may_crash(struct world *world, uint16_t victim)
{
    for (uint16_t id = 1; id <= world->options.nodes && world->options.is_volatile; id++) {
        for (uint16_t group = 0; group < world->options.groups; group++) {
            if (id != victim && !world_status(world, id, group).raft.intact) {
                return false;
            }
        }
    }
    return true;
}

static void disturb_network(struct world *world, struct prng *prng)
{
    world->loss_permille = PICK(prng, 0, 0, 10, 100, 300);
    world->duplicate_permille = PICK(prng, 0, 0, 20, 500);
    world->late_permille = PICK(prng, 0, 0, 10, 200);
    world->late_max_ns = PICK(prng, 200, 5000, 100000) * WORLD_US;
    world->unlocated_permille = PICK(prng, 0, 0, 0, 50);
    world->flip_permille = PICK(prng, 0, 0, 20);
}

static void disturb(struct world *world, struct prng *prng)
{
    uint16_t nodes = (uint16_t)world->options.nodes;
    uint16_t victim = (uint16_t)prng_between(prng, 1, nodes);
    uint16_t other = (uint16_t)prng_between(prng, 1, nodes);
    switch (prng_below(prng, 9)) {
    case 0:
    case 1:
        disturb_network(world, prng);
        break;
    case 2:
        world_isolate(world, victim);
        break;
    case 3:
        world->cut[victim][other] = true; // one way
        break;
    case 4:
        world_heal(world);
        world_calm(world);
        break;
    case 5:
    case 6:
        if (may_crash(world, victim)) {
            world_crash(world, victim, PICK(prng, 0, 50, 100));
        }
        break;
    case 7:
        if (may_crash(world, victim)) {
            world_kill(world, victim);
        }
        break;
    default:
        world_pause(world, victim, prng_between(prng, 1, 200) * WORLD_MS);
        break;
    }
    if (prng_chance(prng, 1, 2)) {
        for (uint16_t id = 1; id <= nodes; id++) {
            world_start(world, id);
        }
    }
}

static void run(uint64_t seed)
{
    struct prng prng;
    struct world_options options;
    prng_init(&prng, seed ^ 0x776F726C64);
    choose_options(&prng, seed, &options);
    printf(
        "  seed %lu: %u nodes, %u groups, %u reactors, %s, frames %u, entries %u, window %u/%lu, "
        "payloads %u, tx %u/%u, workers %u, ballast %lu\n",
        seed, options.nodes, options.groups, options.reactors,
        options.is_volatile ? "memory" : "fsync", options.frame_bytes, options.log_entries,
        options.window_entries, options.window_bytes, options.payload_max, options.tx_ring,
        options.tx_buffers, options.apply_workers, options.app_ballast_bytes);
    fflush(stdout);
    struct world *world = world_open(&options);
    CHECK(world_run_until(world, world_has_leaders, WORLD_S));
    world_clients_active(world, true);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        world_run(world, prng_between(&prng, 5, 250) * WORLD_MS);
        disturb(world, &prng);
    }
    for (uint16_t id = 1; id <= options.nodes; id++) {
        world_start(world, id);
    }
    world_settle(world, SETTLE_NS);
    world_close(world);
}

static void random_clusters(void)
{
    for (uint64_t seed = first_seed; seed < first_seed + seed_count; seed++) {
        run(seed);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(random_clusters)};
    if (argc > 1) {
        first_seed = strtoull(argv[1], NULL, 10);
        seed_count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    }
    return test_run("world", cases, TEST_COUNT(cases), 1, argv);
}
