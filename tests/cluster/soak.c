// Faults at random for minutes, by a seed, under clients whose history is judged:
//
//     build/tests/cluster/soak [MINUTES [SEED]]      3, and 1
//
// A round lasts some seconds: each of a few steps changes what one node does to its frames, stops a
// node for a while, or kills one or all and starts them again; then all heals, the clients end,
// their history is judged and the digests are compared. The seed decides which steps at which
// times; what the processes make of it differs from run to run. Rounds go on over one cluster.
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/prng.h"
#include "tests/cluster/bed.h"
#include "tests/cluster/history_load.h"

enum { MINUTES = 3, STEPS = 8, STEP_MS_MAX = 900, SLEEP_MS_MAX = 2000, OPERATIONS_MIN = 20 };

static uint64_t minutes = MINUTES, seed = 1;
static struct prng prng;

static int choose_node(void)
{
    return (int)prng_between(&prng, 1, CLUSTER_NODES);
}

// Each kind of fault is there with a chance of a third, at a random strength.
static void write_words(char words[static 256])
{
    static const struct {
        const char *key, *unit;
        uint64_t most;
    } kinds[] = {
        {"loss_ppm=", "", 300000},    {"burst_ppm=", "", 20000},    {"duplicate_ppm=", "", 500000},
        {"reorder_ppm=", "", 500000}, {"corrupt_ppm=", "", 100000}, {"clog_ppm=", "", 20000},
        {"clog=", "ms", 400},         {"delay=", "us", 20000},      {"jitter=", "us", 20000},
    };
    static const char *const directions[] = {"in", "out", "both"};
    size_t used;
    if (prng_chance(&prng, 1, 2)) {
        used = (size_t)snprintf(words, 256, "%s ", directions[prng_below(&prng, 3)]);
    } else {
        used = (size_t)snprintf(words, 256, "duplicate_ppm=1 ");
    }
    if (prng_chance(&prng, 1, 3)) {
        snprintf(words + used, 256 - used, "cut=true");
        return;
    }
    used +=
        (size_t)snprintf(words + used, 256 - used, "loss_ppm=%" PRIu64, prng_below(&prng, 100000));
    for (size_t at = 1; at < TEST_COUNT(kinds); at++) {
        if (prng_chance(&prng, 1, 3)) {
            used += (size_t)snprintf(words + used, 256 - used, " %s%" PRIu64 "%s", kinds[at].key,
                                     prng_between(&prng, 1, kinds[at].most), kinds[at].unit);
        }
    }
}

static void restart(int id)
{
    bed_kill(id);
    bed_start(id);
}

static void await_answers(void)
{
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        struct bed_view view;
        WAIT_UNTIL(bed_look(id, &view));
    }
}

static void step(void)
{
    char words[256];
    int id = choose_node();
    switch (prng_below(&prng, 8)) {
    case 0:
        cluster_signal_node(&bed, id, SIGSTOP);
        bed_wait((uint32_t)prng_between(&prng, 10, SLEEP_MS_MAX));
        cluster_signal_node(&bed, id, SIGCONT);
        printf("      node %d slept\n", id);
        break;
    case 1:
        restart(id);
        await_answers();
        printf("      node %d killed\n", id);
        break;
    case 2:
        for (int node = 1; node <= CLUSTER_NODES; node++) {
            bed_kill(node);
        }
        for (int node = 0; node < CLUSTER_NODES; node++) {
            bed_start((node + id) % CLUSTER_NODES + 1);
        }
        await_answers();
        printf("      all killed\n");
        break;
    default:
        write_words(words);
        bed_impair(id, words);
        printf("      node %d: %s\n", id, words);
        break;
    }
    bed_wait((uint32_t)prng_between(&prng, 1, STEP_MS_MAX));
}

static void run_round(uint64_t number)
{
    printf("    round %" PRIu64 "\n", number);
    history_load_start(seed * 1000 + number);
    for (int at = 0; at < STEPS; at++) {
        step();
    }
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        bed_impair(id, "clear");
    }
    bed_await_leader(BED_ALL);
    history_load_finish(OPERATIONS_MIN);
    bed_await_equal(BED_ALL, 1);
}

static void faults_at_random(void)
{
    uint64_t number = 0;
    prng_init(&prng, seed);
    if (!bed_open_with("udp", "fsync", BED_SETTINGS_IMPAIR)) {
        return;
    }
    for (uint64_t until_ns = bed_deadline_ns((uint32_t)(minutes * 60000));
         bed_now_ns() < until_ns;) {
        run_round(++number);
    }
    printf("    seed %" PRIu64 ": %" PRIu64 " rounds\n", seed, number);
    bed_close();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(faults_at_random)};
    minutes = argc > 1 ? strtoull(argv[1], NULL, 10) : minutes;
    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : seed;
    return test_run("cluster soak", cases, TEST_COUNT(cases), 1, argv);
}
