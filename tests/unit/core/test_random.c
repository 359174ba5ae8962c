// Random clusters under random faults, thousands of seeds. What is checked:
// tests/harness/cluster_check.c.
//
//     test_random                 the default seeds
//     test_random FIRST COUNT     other seeds
//     test_random SEED            one seed, every event printed
//
// Each seed draws its own cluster and switches each kind of fault on or off by itself (a run in
// which everything fails all the time reaches less than many runs with a few faults each). After
// the chaos all is healed and the cluster must commit again soon, unless more nodes lost their
// entries than the group can bear: then it must stay silent.
#include "tests/harness/cluster.h"
#include "tests/harness/harness.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LATE_MAX_NS (100 * CLUSTER_MS)

enum { SEEDS_DEFAULT = 4000, STEPS_MAX = 150 };

static uint64_t first_seed = 1, seed_count = SEEDS_DEFAULT, running_seed;
static bool is_traced;

enum fault {
    FAULT_CRASH,
    FAULT_CUT_ONE_WAY,
    FAULT_ISOLATE,
    FAULT_CUT_TYPE,
    FAULT_LOSS,
    FAULT_DUPLICATE,
    FAULT_LATE,
    FAULT_SLOW_DISK,
    FAULT_DISK_FAILURE,
    FAULT_TRIM,
    FAULT_STAND_DOWN,
    FAULT_UNSENT,
    FAULT_ALL_DOWN,
    FAULTS
};

struct run {
    struct cluster *cluster;
    struct prng prng; // of what is done to the cluster
    uint32_t enabled; // bit per fault
    uint32_t propose_max, bytes_max;
    bool is_storm;
};

struct totals {
    uint64_t events, elections, commits, reads, snapshots, halted, full, heal_max_ns, level_max_ns;
    uint64_t outcomes[RAFT_OUTCOMES];
};
static struct totals totals;

static uint64_t draw(struct run *run, uint64_t low, uint64_t high)
{
    return prng_between(&run->prng, low, high);
}

static bool chance(struct run *run, uint64_t parts, uint64_t whole)
{
    return prng_chance(&run->prng, parts, whole);
}

// Elections all the time, entry by entry: frames take as long as a timeout, the pipe holds one
// entry. What goes wrong only where leaders follow each other closely goes wrong here.
static void draw_storm(struct run *run, struct cluster_options *options)
{
    options->window_entries = (uint32_t)draw(run, 1, 2);
    options->link_min_ns = CLUSTER_MS / 2;
    options->link_max_ns = draw(run, 1, 6) * CLUSTER_MS;
    options->disk_max_ns = draw(run, 1, 4) * CLUSTER_MS;
    options->volatile_nodes &= chance(run, 1, 2) ? 0 : UINT32_MAX;
    run->propose_max = 1;
    run->enabled |= 1U << FAULT_CRASH | 1U << FAULT_ISOLATE | 1U << FAULT_CUT_ONE_WAY |
                    1U << FAULT_LATE | 1U << FAULT_STAND_DOWN;
    run->enabled &= ~(1U << FAULT_SLOW_DISK | 1U << FAULT_TRIM);
    run->is_storm = true;
}

static void draw_options(struct run *run, uint64_t seed, struct cluster_options *options)
{
    static const uint32_t sizes[] = {1, 3, 3, 3, 3, 5, 5};
    cluster_default_options(options, sizes[draw(run, 0, 6)], seed);
    uint32_t everybody = (UINT32_C(1) << options->nodes) - 1;
    options->volatile_nodes = chance(run, 1, 2)   ? 0
                              : chance(run, 1, 2) ? everybody
                                                  : (uint32_t)draw(run, 0, everybody);
    options->log_entries = UINT32_C(64) << draw(run, 0, 4);
    options->window_entries = UINT32_C(1) << draw(run, 0, 8);
    options->window_bytes = UINT64_C(1) << draw(run, 6, 20);
    options->link_max_ns = draw(run, 1, 4) == 1 ? 2 * CLUSTER_MS : 60 * CLUSTER_US;
    options->disk_max_ns = draw(run, 1, 4) == 1 ? 8 * CLUSTER_MS : 200 * CLUSTER_US;
    options->apply_max_ns = draw(run, 1, 4) == 1 ? 5 * CLUSTER_MS : 20 * CLUSTER_US;
    options->burst_max_ns = chance(run, 1, 2) ? 0 : draw(run, 1, 100) * CLUSTER_US;
    options->is_disk_unordered = chance(run, 1, 2);
    options->is_checked_deeply = chance(run, 1, 4);
    options->is_traced = is_traced;
    run->propose_max = (uint32_t)draw(run, 1, 16);
    run->bytes_max = chance(run, 1, 2) ? 64 : 3000;
    run->enabled = (uint32_t)prng_next(&run->prng) & ((UINT32_C(1) << FAULTS) - 1);
    run->is_storm = false;
    if (options->nodes > 1 && chance(run, 1, 3)) {
        draw_storm(run, options);
    }
}

static uint16_t any_node(struct run *run)
{
    return (uint16_t)draw(run, 1, run->cluster->options.nodes);
}

static void one_fault(struct run *run, enum fault fault)
{
    struct cluster *cluster = run->cluster;
    uint16_t id = any_node(run), other = any_node(run);
    if (run->is_storm && cluster_has_leader(cluster) && chance(run, 1, 2)) {
        id = cluster_leader(cluster);
    }
    switch (fault) {
    case FAULT_CRASH:
        cluster_crash(cluster, id);
        break;
    case FAULT_CUT_ONE_WAY:
        cluster_cut(cluster, id, other, CLUSTER_ALL_TYPES);
        break;
    case FAULT_ISOLATE:
        cluster_isolate(cluster, id);
        break;
    case FAULT_CUT_TYPE:
        cluster_cut(cluster, id, other, (uint16_t)(1U << draw(run, 1, 6)));
        break;
    case FAULT_LOSS:
        cluster->loss_permille = (uint32_t)draw(run, 0, 300);
        break;
    case FAULT_DUPLICATE:
        cluster->duplicate_permille = (uint32_t)draw(run, 0, 500);
        break;
    case FAULT_LATE:
        cluster->late_permille = (uint32_t)draw(run, 0, 200);
        cluster->late_max_ns = draw(run, 1, LATE_MAX_NS);
        break;
    case FAULT_SLOW_DISK:
        cluster_node(cluster, id)->disk.slowdown = chance(run, 1, 2) ? 1 : draw(run, 1, 100);
        break;
    case FAULT_DISK_FAILURE:
        if (chance(run, 1, 4)) {
            cluster_fail_disk(cluster, id);
        }
        break;
    case FAULT_TRIM:
        cluster_trim(cluster, id, draw(run, 1, cluster->truth_last + 1));
        break;
    case FAULT_STAND_DOWN:
        cluster_stand_down(cluster, id);
        break;
    case FAULT_UNSENT:
        cluster->unsent_permille = (uint32_t)draw(run, 0, 300);
        break;
    case FAULT_ALL_DOWN:
        for (uint16_t each = 1; chance(run, 1, 10) && each <= cluster->options.nodes; each++) {
            cluster_crash(cluster, each);
        }
        break;
    case FAULTS:
        break;
    }
}

static void keep_room(struct run *run)
{
    struct cluster *cluster = run->cluster;
    for (uint16_t id = 1; id <= cluster->options.nodes; id++) {
        const struct cluster_node *node = cluster_node(cluster, id);
        if (node->is_up && node->view.last - node->view.base > cluster->options.log_entries / 2) {
            cluster_trim(cluster, id,
                         node->view.applied - draw(run, 0, 10) % (node->view.applied + 1));
        }
    }
}

static void load(struct run *run)
{
    struct cluster *cluster = run->cluster;
    for (uint16_t id = 1; id <= cluster->options.nodes; id++) {
        if (cluster_node(cluster, id)->view.role == RAFT_LEADER || chance(run, 1, 20)) {
            cluster_propose(cluster, id, (uint32_t)draw(run, 1, run->propose_max),
                            (uint32_t)draw(run, 0, run->bytes_max));
            cluster_read(cluster, id, (uint32_t)draw(run, 1, 3));
        }
    }
}

static void chaos(struct run *run)
{
    struct cluster *cluster = run->cluster;
    uint64_t steps = draw(run, 20, run->is_storm ? 3 * STEPS_MAX : STEPS_MAX);
    for (uint64_t at = 0; at < steps && cluster->known_count < CLUSTER_INDEXES_MAX / 2; at++) {
        enum fault fault = (enum fault)draw(run, 0, FAULTS - 1);
        if ((run->enabled >> fault) & 1) {
            one_fault(run, fault);
        }
        if (chance(run, 1, 6)) {
            cluster_heal(cluster);
        }
        if (chance(run, 1, run->is_storm ? 1 : 3)) {
            cluster_start(cluster, any_node(run));
        }
        for (uint64_t burst = draw(run, 0, run->is_storm ? 1 : 8); burst > 0; burst--) {
            load(run);
            cluster_run(cluster, draw(run, 0, 500) * CLUSTER_US);
        }
        if (chance(run, 1, 2)) {
            keep_room(run);
        }
        cluster_run(cluster, draw(run, 0, 10) * CLUSTER_MS);
    }
}

static bool has_leader_of_term(const struct cluster *cluster)
{
    uint16_t leader = cluster_leader(cluster);
    return leader != 0 && cluster->nodes[leader - 1].view.commit == cluster->truth_last &&
           raft_id_at(cluster->nodes[leader - 1].raft, cluster->truth_last).term ==
               cluster->nodes[leader - 1].view.term;
}

static void heal_all(struct run *run)
{
    struct cluster *cluster = run->cluster;
    cluster_heal(cluster);
    cluster->loss_permille = cluster->duplicate_permille = 0;
    cluster->late_permille = cluster->unsent_permille = 0;
    for (uint16_t id = 1; id <= cluster->options.nodes; id++) {
        struct cluster_node *node = cluster_node(cluster, id);
        node->disk.slowdown = 1;
        if (node->has_failed_disk) {
            cluster_crash(cluster, id);
        }
        cluster_start(cluster, id);
    }
    for (uint16_t id = 1; id <= cluster->options.nodes; id++) {
        // What was submitted to a slow disk still takes its time.
        const struct cluster_disk *disk = &cluster_node(cluster, id)->disk;
        uint64_t idle_ns =
            disk->latest_ns > disk->hard_latest_ns ? disk->latest_ns : disk->hard_latest_ns;
        cluster_run(cluster, idle_ns > cluster->now_ns ? idle_ns - cluster->now_ns : 0);
    }
}

// Do enough nodes hold all they ever acknowledged?
static bool is_majority_intact(const struct run *run)
{
    uint32_t intact = 0;
    for (uint32_t slot = 0; slot < run->cluster->options.nodes; slot++) {
        struct raft_view view;
        raft_view(run->cluster->nodes[slot].raft, &view);
        intact += view.intact;
    }
    return intact > run->cluster->options.nodes / 2;
}

// The callers go on trimming their logs meanwhile.
static bool wait_until(struct run *run, bool (*holds)(const struct cluster *cluster),
                       uint64_t for_ns)
{
    uint64_t slice_ns = 2 * CLUSTER_MS;
    for (uint64_t waited_ns = 0; waited_ns < for_ns; waited_ns += slice_ns) {
        if (cluster_run_until(run->cluster, holds, slice_ns)) {
            return true;
        }
        keep_room(run);
    }
    return false;
}

// Without a recovered commit index nodes with full logs cannot make room: raft_restore_commit.
static bool is_any_log_full(const struct cluster *cluster)
{
    bool is_full = false;
    for (uint32_t slot = 0; slot < cluster->options.nodes; slot++) {
        const struct raft_view *view = &cluster->nodes[slot].view;
        is_full |= view->held - view->base == cluster->options.log_entries;
    }
    return is_full;
}

static void must_recover(struct run *run)
{
    struct cluster *cluster = run->cluster;
    const struct cluster_options *options = &cluster->options;
    uint64_t timeout_ns = options->election_max_ns + 4 * options->disk_max_ns;
    // In the narrowest window every entry waits for the one before it, the no-op for all of them.
    uint64_t round_trip_ns = options->disk_max_ns + 2 * options->link_max_ns;
    uint64_t window = options->window_bytes / run->bytes_max;
    window = window == 0 ? 1 : window;
    window = window < options->window_entries ? window : options->window_entries;
    uint64_t backlog_ns = 2 * cluster->known_count * round_trip_ns / window;
    uint64_t start_ns = cluster->now_ns;
    if (!wait_until(run, has_leader_of_term, 20 * timeout_ns + backlog_ns)) {
        if (options->is_disk_unordered && is_any_log_full(cluster)) {
            totals.full++;
            return;
        }
        cluster_fail(cluster, NULL, "nothing was committed after healing");
    }
    uint64_t took_ns = cluster->now_ns - start_ns;
    totals.heal_max_ns = totals.heal_max_ns < took_ns ? took_ns : totals.heal_max_ns;
    start_ns = cluster->now_ns;
    if (!wait_until(run, cluster_is_level, 40 * timeout_ns + backlog_ns)) {
        cluster_fail(cluster, NULL, "nodes did not catch up after healing");
    }
    keep_room(run);
    uint64_t before = cluster->truth_last;
    enum raft_outcome outcome = cluster_propose(cluster, cluster_leader(cluster), 1, 64);
    cluster_run(cluster, options->burst_max_ns + 1);
    if (outcome != RAFT_OK || !wait_until(run, cluster_is_level, 10 * timeout_ns) ||
        cluster->truth_last == before) {
        cluster_fail(cluster, NULL, "a level cluster does not commit");
    }
    took_ns = cluster->now_ns - start_ns;
    totals.level_max_ns = totals.level_max_ns < took_ns ? took_ns : totals.level_max_ns;
}

static void must_stay_silent(struct run *run)
{
    struct cluster *cluster = run->cluster;
    uint64_t elections = cluster->elections;
    cluster_run(cluster, 10 * cluster->options.election_max_ns);
    if (cluster->elections != elections) {
        cluster_fail(cluster, NULL, "a leader without a majority of intact nodes");
    }
    totals.halted++;
}

static void add_totals(const struct cluster *cluster)
{
    totals.events += cluster->event_count;
    totals.elections += cluster->elections;
    totals.commits += cluster->truth_last;
    totals.reads += cluster->reads_granted;
    totals.snapshots += cluster->snapshots_installed;
    for (uint32_t outcome = 0; outcome < RAFT_OUTCOMES; outcome++) {
        totals.outcomes[outcome] += cluster->outcomes[outcome];
    }
}

static uint64_t run_seed(uint64_t seed)
{
    struct run run;
    struct cluster_options options;
    running_seed = seed;
    prng_init(&run.prng, ~seed);
    draw_options(&run, seed, &options);
    run.cluster = cluster_open(&options);
    chaos(&run);
    heal_all(&run);
    if (!is_majority_intact(&run)) {
        cluster_run(run.cluster, LATE_MAX_NS + 10 * options.election_max_ns);
    }
    if (is_majority_intact(&run)) { // at once, or by a return that was under way
        must_recover(&run);
    } else {
        must_stay_silent(&run);
    }
    uint64_t hash = run.cluster->trace_hash;
    add_totals(run.cluster);
    cluster_close(run.cluster);
    return hash;
}

static void print_assertion(const char *file, int line, const char *expression, uint64_t left,
                            uint64_t right)
{
    printf("  seed %" PRIu64 ": assertion failed %s:%d: %s (%" PRIu64 ", %" PRIu64 ")\n",
           running_seed, file, line, expression, left, right);
    fflush(stdout);
}

static void clusters_keep_the_guarantees_of_raft(void)
{
    assert_set_handler(print_assertion);
    for (uint64_t seed = first_seed; seed < first_seed + seed_count; seed++) {
        run_seed(seed);
    }
    printf("  %" PRIu64 " seeds, %" PRIu64 " events, %" PRIu64 " elections, %" PRIu64
           " commits, %" PRIu64 " reads, %" PRIu64 " snapshots, %" PRIu64 " halted, %" PRIu64
           " full, commit after %.1f ms and level after %.1f ms at most\n  steps:",
           seed_count, totals.events, totals.elections, totals.commits, totals.reads,
           totals.snapshots, totals.halted, totals.full, (double)totals.heal_max_ns / 1e6,
           (double)totals.level_max_ns / 1e6);
    for (uint32_t outcome = 0; outcome < RAFT_OUTCOMES; outcome++) {
        printf(" %s %" PRIu64, raft_outcome_name((enum raft_outcome)outcome),
               totals.outcomes[outcome]);
    }
    printf("\n");
}

static void the_same_seed_gives_the_same_run(void)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        CHECK_EQUAL(run_seed(seed), run_seed(seed));
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(clusters_keep_the_guarantees_of_raft),
                                             TEST(the_same_seed_gives_the_same_run)};
    if (argc > 1) {
        first_seed = strtoull(argv[1], NULL, 10);
        seed_count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
        is_traced = argc == 2;
        return test_run("core random", cases, 1, 1, argv);
    }
    return test_run("core random", cases, TEST_COUNT(cases), argc, argv);
}
