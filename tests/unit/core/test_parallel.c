// Parallel groups under random schedules: messages lost, doubled and reordered, writes that
// complete in any order, crashes that keep any part of what was not durable, checkpoints,
// elections; very late copies of any message; disks that stand still; client sessions with retries;
// nodes that lose their log, or part of it. What is checked all the time: crowd.h. At the end
// everything heals, and all replicas reach the same state.
//
//     PARALLEL_SEED=N PARALLEL_RUNS=M    other schedules than the default ones
#include "tests/unit/core/crowd.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t terms_seen;

// How hard the run is follows from its seed, too.
static void open_run(uint64_t seed)
{
    crowd.seed = seed;
    prng_init(&crowd.prng, seed);
    static const uint32_t counts[] = {3, 3, 3, 5, 5, 4, 7, 2, 1};
    crowd.node_count = counts[crowd_below(9)];
    struct crowd_rough *rough = &crowd.rough;
    rough->loss_percent = crowd_chance(70) ? (uint32_t)crowd_below(40) : 0U;
    rough->late_percent = (uint32_t)crowd_below(15);
    rough->late_ns = (2 + crowd_below(100)) * CROWD_TICK_NS;
    rough->write_percent = 3 + (uint32_t)crowd_below(80);
    rough->propose_percent = 2 + (uint32_t)crowd_below(crowd_chance(50) ? 25 : 80);
    rough->crash_every = (crowd_chance(50) ? 80 : 800) + crowd_below(1000);
    rough->cut_every = 40 + crowd_below(400);
    rough->stall_every = crowd_chance(50) ? 200 + crowd_below(2000) : UINT64_MAX;
    rough->replay_every = crowd_chance(50) ? 1 + crowd_below(20) : UINT64_MAX;
    rough->lose_every = crowd_chance(40) ? 50 + crowd_below(500) : 0;
    rough->is_volatile = rough->lose_every > 0 && crowd_chance(50);
    rough->apply_percent = crowd_chance(50) ? 50 : 5;
    rough->log_entries = 64U << crowd_below(3);
    rough->span_entries = 16 + (uint32_t)crowd_below(rough->log_entries / 4 - 15);
    rough->window_entries = 1 + (uint32_t)crowd_below(rough->log_entries / 2);
    rough->look_behind = crowd_chance(25) ? 1 + (uint32_t)crowd_below(4) : 0;
    crowd_begin();
}

static void run_roughly(void)
{
    for (uint32_t at = 0; at < 3000; at++) {
        crowd_turn(false, true);
        uint32_t some = (uint32_t)crowd_below(crowd.node_count);
        if (!crowd.nodes[some].is_up && crowd_chance(2)) {
            crowd_disk_start(&crowd.nodes[some]);
        }
        if (crowd_below(crowd.rough.cut_every) == 0) {
            crowd.cut = crowd_chance(50) ? 0 : (uint32_t)crowd_below(1U << crowd.node_count);
        }
    }
}

// With 20 more commands.
static void heal(void)
{
    crowd.cut = crowd.rough.loss_percent = 0;
    for (uint32_t at = 0; at < crowd.node_count; at++) {
        if (!crowd.nodes[at].is_up) {
            crowd_disk_start(&crowd.nodes[at]);
        }
    }
    uint64_t enough = crowd.command_count + 20;
    bool is_done = false;
    for (uint32_t at = 0; at < 6000 && !is_done; at++) {
        crowd_turn(true, crowd.command_count <= enough);
        bool is_last = crowd.command_count > enough || crowd.command_count + 4 > CROWD_COMMANDS_MAX;
        is_done = is_last && crowd_is_level();
    }
    if (!is_done) {
        crowd_print();
    }
    CROWD_REQUIRE(is_done);
}

static void run(uint64_t seed)
{
    open_run(seed);
    run_roughly();
    heal();
    for (uint32_t at = 0; at < crowd.node_count; at++) {
        terms_seen += crowd_view(&crowd.nodes[at]).term;
    }
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void random_schedules(void)
{
    uint64_t seed = number_of("PARALLEL_SEED", 1), runs = number_of("PARALLEL_RUNS", 150);
    crowd_open();
    for (uint64_t at = 0; at < runs; at++) {
        run(seed + at);
    }
    const struct crowd_counts *seen = &crowd.counts;
    printf(
        "applied %lu, ahead of another %lu, beyond a hole in the log %lu, no-ops %lu, fetches %lu, "
        "checkpoints %lu, of a state with holes %lu, terms %lu\n",
        (unsigned long)seen->applied, (unsigned long)seen->beyond,
        (unsigned long)seen->beyond_at_followers, (unsigned long)seen->noops,
        (unsigned long)seen->fetches, (unsigned long)seen->checkpoints,
        (unsigned long)seen->checkpoints_beyond, (unsigned long)terms_seen);
    printf("retries %lu, outside %lu, lost logs %lu, replays %lu\n", (unsigned long)seen->retries,
           (unsigned long)seen->outside, (unsigned long)seen->losses, (unsigned long)seen->replays);
    if (runs >= 100) {
        CHECK(seen->beyond > 0 && seen->beyond_at_followers > 0 && seen->noops > 0 &&
              seen->fetches > 0 && seen->checkpoints > 0 && seen->checkpoints_beyond > 0);
        CHECK(seen->retries > 0 && seen->outside > 0 && seen->losses > 0 && seen->replays > 0);
    }
    crowd_close();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(random_schedules)};
    return test_run("core parallel", cases, TEST_COUNT(cases), argc, argv);
}
