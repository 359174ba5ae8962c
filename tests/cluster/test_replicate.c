// `pontoon kv load` and `kv verify` against real clusters: a tree of files, every byte, every
// replica's digest, while nodes die and clients stall.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/cluster/bed.h"
#include "tests/cluster/program.h"
#include "tests/cluster/tree.h"

enum { FILES = 400, FILE_BYTES_MAX = 3 << 20 };

static char tree[256];

static unsigned all_but(int id)
{
    return BED_ALL & ~(1u << id);
}

static void make_tree(uint32_t files, uint64_t seed)
{
    snprintf(tree, sizeof(tree), "%s/tree-%llu", bed.directory, (unsigned long long)seed);
    tree_make(tree, files, FILE_BYTES_MAX, seed);
}

// pontoon kv load, or verify.
static void run_kv(const char *what)
{
    struct program_result result = program_run("pontoon", "kv", what, tree, "--config", bed.config);
    if (result.status != 0) {
        printf("    kv %s: %s%s", what, result.out, result.err);
        bed_report();
    }
    CHECK_EQUAL(result.status, 0);
}

static void replicate_over(const char *link, const char *durability)
{
    if (!bed_open(link, durability)) {
        return;
    }
    make_tree(FILES, 1);
    run_kv("load");
    run_kv("verify");
    bed_await_equal(BED_ALL, FILES);
    bed_close();
}

static void over_memif_memory(void)
{
    replicate_over("memif", "memory");
}

static void over_memif_fsync(void)
{
    replicate_over("memif", "fsync");
}

static void over_udp_fsync(void)
{
    replicate_over("udp", "fsync");
}

static void over_af_packet_fsync(void)
{
    replicate_over("af_packet", "fsync");
}

// A value that is not what was loaded, and one that is missing, are found.
static void verify_finds_differences(void)
{
    char path[320];
    if (!bed_open("memif", "memory")) {
        return;
    }
    make_tree(20, 2);
    run_kv("load");
    snprintf(path, sizeof(path), "%s/folder 3/file-3.txt", tree);
    FILE *file = fopen(path, "a");
    CHECK(file != NULL);
    fputs("!", file);
    fclose(file);
    struct program_result result =
        program_run("pontoon", "kv", "verify", tree, "--config", bed.config);
    CHECK_EQUAL(result.status, 7);
    run_kv("load");
    run_kv("verify");
    result = program_run("pontoon", "kv", "del", "folder 3/file-3.txt", "--config", bed.config);
    CHECK_EQUAL(result.status, 0);
    result = program_run("pontoon", "kv", "verify", tree, "--config", bed.config);
    CHECK_EQUAL(result.status, 7);
    bed_close();
}

static pid_t start_load(void)
{
    const char *const words[] = {"pontoon",  "kv",        "load", tree,        "--config",
                                 bed.config, "--timeout", "120",  (char *)NULL};
    return program_start("load.log", words);
}

static void await_applied(int id, uint64_t index)
{
    struct bed_view view;
    WAIT_UNTIL(bed_look(id, &view) && view.applied >= index);
}

static void kill_leader_in_the_load(const char *link, const char *durability)
{
    if (!bed_open(link, durability)) {
        return;
    }
    make_tree(4 * FILES, 3);
    pid_t load = start_load();
    int old = bed_await_leader(BED_ALL);
    await_applied(old, FILES / 2);
    bed_kill(old);
    CHECK_EQUAL(program_await(load), 0);
    bed_await_leader(all_but(old));
    bed_start(old);
    bed_await_equal(BED_ALL, 4 * FILES);
    run_kv("verify");
    bed_close();
}

static void memif_leader_killed_fsync(void)
{
    kill_leader_in_the_load("memif", "fsync");
}

static void memif_leader_killed_memory(void)
{
    kill_leader_in_the_load("memif", "memory");
}

static void memif_follower_killed(void)
{
    if (!bed_open("memif", "fsync")) {
        return;
    }
    make_tree(4 * FILES, 4);
    pid_t load = start_load();
    int leader = bed_await_leader(BED_ALL), victim = leader % 3 + 1;
    await_applied(leader, FILES / 2);
    bed_kill(victim);
    await_applied(leader, FILES);
    bed_start(victim);
    CHECK_EQUAL(program_await(load), 0);
    bed_await_equal(BED_ALL, 4 * FILES);
    run_kv("verify");
    bed_close();
}

// A client process that is stopped in the middle: the cluster goes on serving a second one, and the
// first when it runs again.
static void memif_stopped_client(void)
{
    if (!bed_create("memif", "fsync", BED_SETTINGS)) {
        return;
    }
    // a second client place
    FILE *file = fopen(bed.config, "a");
    CHECK(file != NULL);
    fputs("  - id: 2\n", file);
    fclose(file);
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        bed_bootstrap(id);
    }
    int leader = bed_await_leader(BED_ALL);
    make_tree(4 * FILES, 5);
    pid_t load = start_load();
    await_applied(leader, FILES / 2);
    kill(load, SIGSTOP);
    struct program_result result = program_run("pontoon", "kv", "put", "stopped", "no", "--config",
                                               bed.config, "--client", "2");
    CHECK_EQUAL(result.status, 0);
    result =
        program_run("pontoon", "kv", "get", "stopped", "--config", bed.config, "--client", "2");
    CHECK_EQUAL(result.status, 0);
    CHECK(strncmp(result.out, "no", 2) == 0);
    kill(load, SIGCONT);
    CHECK_EQUAL(program_await(load), 0);
    run_kv("verify");
    bed_await_equal(BED_ALL, 4 * FILES);
    bed_close();
}

// With hugepages where this machine has some free (every other case does without).
static void with_hugepages(void)
{
    if (!bed_create("memif", "memory", BED_SETTINGS_HUGE)) {
        return;
    }
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        bed_bootstrap(id);
    }
    bed_await_leader(BED_ALL);
    make_tree(FILES, 6);
    run_kv("load");
    run_kv("verify");
    bed_close();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(over_memif_memory),
        TEST(over_memif_fsync),
        TEST(over_udp_fsync),
        TEST(over_af_packet_fsync),
        TEST(verify_finds_differences),
        TEST(memif_leader_killed_fsync),
        TEST(memif_leader_killed_memory),
        TEST(memif_follower_killed),
        TEST(memif_stopped_client),
        TEST(with_hugepages),
    };
    return test_run("cluster replicate", cases, TEST_COUNT(cases), argc, argv);
}
