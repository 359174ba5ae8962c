// A follower whose disk or links are a hundred times slower than those of the others costs nobody
// much: the 99th percentile of commands stays within twice that of an undisturbed run (FAULTS, S18
// and "Figures to reach"). In virtual time, so the figures are the same on every machine.
#include <inttypes.h>
#include <stdio.h>

#include "tests/harness/harness.h"
#include "tests/sim/sim.h"

enum { SEEDS = 8, SLOWER = 100, PERCENTILE = 99, TIMES_MAX = 2, SAMPLES_MIN = 1000 };

#define FROM_NS (300 * SIM_MS) // the first election is over by then
#define DURATION_NS (2 * SIM_S)

static const struct sim_options cluster = {
    .nodes = 3,
    .groups = 1,
    .reactors = 1,
    .clients = 4,
    .frame_bytes = 1472,
    .log_entries = 1024,
    .window_entries = 256,
    .window_bytes = UINT64_C(1) << 20,
    .log_bytes = UINT64_C(4) << 20,
    .segment_bytes = UINT64_C(64) << 10,
    .checkpoint_bytes = UINT64_C(1) << 20,
    .batch_bytes = 64 << 10,
    .batches_in_flight = 8,
    .session_pages = 32,
    .sessions_max = 32,
    .sizes = {.mailbox_slots = 8,
              .reads = 64,
              .apply_jobs = 8,
              .assembly_buffers = 4,
              .payload_bytes_max = 16 << 10},
    .poll_ns = 5 * SIM_US,
    .link_min_ns = 10 * SIM_US,
    .link_max_ns = 20 * SIM_US,
    .disk_min_ns = 50 * SIM_US,
    .disk_max_ns = 80 * SIM_US,
    .tx_buffers = 128,
    .tx_ring = 64,
    .disk_requests = 32,
    .heartbeat_ns = 10 * SIM_MS,
    .election_min_ns = 50 * SIM_MS,
    .election_max_ns = 100 * SIM_MS,
    .window = 8,
    .keys = 8,
    .operations = 4000,
    .payload_max = 1000,
    .answer_max = 200,
    .client_attempt_ns = 40 * SIM_MS,
    .duration_ns = DURATION_NS,
    .afflicted = 1,
};

// Result: the percentile, in nanoseconds.
static uint64_t measure(uint64_t seed, const struct sim_plan *plan, struct sim_result *result)
{
    static struct histogram latencies;
    struct sim_options options = cluster;
    options.seed = seed;
    histogram_init(&latencies);
    const struct sim_run_options run = {.latencies = &latencies, .latencies_from_ns = FROM_NS};
    sim_run(&options, plan, &run, result);
    CHECK(result->end == SIM_OK);
    CHECK(latencies.count >= SAMPLES_MIN);
    return histogram_percentile(&latencies, PERCENTILE);
}

static void bounds_the_percentile(enum sim_fault_kind kind)
{
    static const struct sim_plan undisturbed;
    static struct sim_result result;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t usual_ns = measure(seed, &undisturbed, &result);
        uint16_t leader = result.leader;
        CHECK(leader != 0);
        struct sim_plan plan = {.count = 1,
                                .faults = {{.kind = kind,
                                            .at_ns = FROM_NS,
                                            .for_ns = DURATION_NS,
                                            .node = (uint16_t)(leader % cluster.nodes + 1),
                                            .strength = SLOWER}}};
        uint64_t slowed_ns = measure(seed, &plan, &result);
        CHECK_EQUAL(result.leader, leader);
        CHECK_EQUAL(result.faults_of[kind], 1);
        CHECK(slowed_ns <= TIMES_MAX * usual_ns);
        printf("  seed %" PRIu64 ": %s of a follower: p%d %" PRIu64 " us, undisturbed %" PRIu64
               " us\n",
               seed, sim_fault_row(kind)->name, PERCENTILE, slowed_ns / SIM_US, usual_ns / SIM_US);
    }
}

static void a_followers_slow_disk_is_not_waited_for(void)
{
    bounds_the_percentile(SIM_DISK_SLOW);
}

static void a_followers_slow_links_are_not_waited_for(void)
{
    bounds_the_percentile(SIM_LINK_SLOW);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(a_followers_slow_disk_is_not_waited_for),
        TEST(a_followers_slow_links_are_not_waited_for),
    };
    return test_run("slow follower", cases, TEST_COUNT(cases), argc, argv);
}
