// pontoon demo: three node processes and a client on this machine, real data, a leader's death,
// every byte verified, latency.
#include "drivers/cli/cli.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drivers/cli/cli_client.h"
#include "drivers/cli/cluster_wait.h"
#include "drivers/cli/poll_gap.h"
#include "engine/embed/idle.h"

enum { REASON_BYTES = 768, START_TIMEOUT_S = 60, LOAD_TIMEOUT_S = 300 };

#define ELECTION_DEFAULT_MS 150u

static const struct cli_option options[] = {
    CLI_OPTION_LINK,
    {.name = "durability",
     .kind = CLI_WORD,
     .argument = "KIND",
     .words = "memory|fsync",
     .fallback = "fsync",
     .summary = "whether entries are on disk before they count"},
    {.name = "order",
     .kind = CLI_WORD,
     .argument = "KIND",
     .words = "strict|parallel",
     .fallback = "strict",
     .summary = "whether entries that do not conflict are ordered"},
    {.name = "data",
     .kind = CLI_TEXT,
     .argument = "DIR",
     .fallback = "/usr/include",
     .summary = "the files to replicate"},
    CLI_OPTION_DIRECTORY,
    {.name = "seconds",
     .kind = CLI_NUMBER,
     .argument = "N",
     .min = 1,
     .max = 3600,
     .fallback = "10",
     .summary = "length of the latency run"},
    {.name = "keep", .kind = CLI_FLAG, .summary = "leave logs and configuration behind"},
};

struct demo {
    struct cluster cluster;
    const char *data;
    uint64_t seconds;
    uint64_t started_ns;
    uint64_t files, bytes;
    double load_s, failover_s, rejoin_s;
    int killed;
    char settings[64]; // of the cluster, beside the defaults
    char reason[REASON_BYTES];
};

static double since_s(uint64_t from_ns)
{
    return (double)(cli_now_ns() - from_ns) / 1e9;
}

static void step(const struct demo *demo, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void step(const struct demo *demo, const char *format, ...)
{
    va_list arguments;
    printf("[%6.2f s] ", since_s(demo->started_ns));
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
}

static bool give_up(struct demo *demo, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool give_up(struct demo *demo, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(demo->reason, sizeof(demo->reason), format, arguments);
    va_end(arguments);
    return false;
}

static uint64_t counted_files, counted_bytes;

static int count_one(const char *path, const struct stat *status, int flag, struct FTW *walk)
{
    (void)path;
    (void)walk;
    if (flag == FTW_F && S_ISREG(status->st_mode)) {
        counted_files++;
        counted_bytes += (uint64_t)status->st_size;
    }
    return 0;
}

// Waits until a majority agrees on a leader that is not `except`.
static bool wait_for_leader(struct demo *demo, int except, int *leader)
{
    return cluster_wait_for_leader(&demo->cluster, except, START_TIMEOUT_S, leader, demo->reason,
                                   sizeof(demo->reason));
}

// On a machine that does other things, too, a leader that waits for its CPU must not look dead.
// Nodes at work wait about twice as long as idle pollers do (measured: 20 to 41 ms against 7 to
// 20).
static void choose_timeouts(struct demo *demo)
{
    uint64_t gap_ns = poll_gap_measure_ns(CLUSTER_NODES + 1);
    unsigned election_ms = (unsigned)(idle_shortest_election_ns(2 * gap_ns) / 1000000) + 1;
    if (election_ms <= ELECTION_DEFAULT_MS) {
        return;
    }
    snprintf(demo->settings, sizeof(demo->settings), "election_timeout_min: %ums\n", election_ms);
    demo->cluster.settings = demo->settings;
    step(demo,
         "this machine is busy, pollers wait up to %.0f ms for a CPU: election timeouts from %u ms "
         "instead of %u ms",
         (double)gap_ns / 1e6, election_ms, ELECTION_DEFAULT_MS);
}

static bool start_nodes(struct demo *demo)
{
    int leader;
    if (!cluster_start(&demo->cluster, demo->reason, sizeof(demo->reason)) ||
        !wait_for_leader(demo, 0, &leader)) {
        return false;
    }
    step(demo, "three nodes are up over %s, durability %s; node %d leads", demo->cluster.link,
         demo->cluster.durability, leader);
    return true;
}

// Waits for a child. False with a reason when it failed or took too long.
static bool wait_for(struct demo *demo, pid_t child, const char *what, double timeout_s)
{
    uint64_t began_ns = cli_now_ns();
    int status;
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (since_s(began_ns) > timeout_s) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            return give_up(demo, "%s took longer than %.0f s", what, timeout_s);
        }
        usleep(2000);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return give_up(demo, "%s failed with status %d", what,
                       WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    }
    return true;
}

// Its exit status, -1 when a signal ended it, 0 while it runs or when it did well. It stays to be
// waited for.
static int ended_badly(pid_t child)
{
    siginfo_t ended = {0};
    bool has_ended = waitid(P_PID, (id_t)child, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                     ended.si_pid == child;
    return !has_ended ? 0 : ended.si_code == CLD_EXITED ? ended.si_status : -1;
}

// Kills the leader when half of the files are applied.
static bool kill_leader_midway(struct demo *demo, pid_t load)
{
    int leader = cluster_leader(&demo->cluster), next;
    while (leader == 0 || cluster_applied(&demo->cluster, leader) < (long long)demo->files / 2) {
        int status = ended_badly(load);
        if (status != 0) {
            return give_up(demo, "kv load failed with status %d", status);
        }
        if (since_s(demo->started_ns) > LOAD_TIMEOUT_S ||
            !cluster_is_whole(&demo->cluster, demo->reason, sizeof(demo->reason))) {
            return demo->reason[0] != '\0' ? false : give_up(demo, "the load makes no progress");
        }
        leader = leader == 0 ? cluster_leader(&demo->cluster) : leader;
        usleep(500);
    }
    demo->killed = leader;
    uint64_t killed_ns = cli_now_ns();
    cluster_signal_node(&demo->cluster, leader, SIGKILL);
    step(demo, "killed the leader, node %d (SIGKILL), with half of the files applied", leader);
    if (!wait_for_leader(demo, leader, &next)) {
        return false;
    }
    demo->failover_s = since_s(killed_ns);
    step(demo, "node %d leads after %.0f ms", next, demo->failover_s * 1000);
    return true;
}

static bool load(struct demo *demo)
{
    const char *const arguments[] = {"kv", "load", demo->data, NULL};
    nftw(demo->data, count_one, 32, FTW_PHYS);
    demo->files = counted_files;
    demo->bytes = counted_bytes;
    if (demo->files == 0) {
        return give_up(demo, "%s holds no files; choose another --data", demo->data);
    }
    step(demo, "replicating %s: %llu files, %.1f MB", demo->data, (unsigned long long)demo->files,
         (double)demo->bytes / 1e6);
    uint64_t began_ns = cli_now_ns();
    pid_t child = cluster_run(&demo->cluster, arguments);
    if (!kill_leader_midway(demo, child)) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        return false;
    }
    if (!wait_for(demo, child, "kv load", LOAD_TIMEOUT_S)) {
        return false;
    }
    demo->load_s = since_s(began_ns);
    step(demo, "all files are committed and applied, %.2f s", demo->load_s);
    return true;
}

// Until every node has applied what the furthest has, and holds its entries.
static bool has_caught_up(const struct demo *demo)
{
    long long most = 0, least = -1;
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        json_t *status = cluster_status(&demo->cluster, id);
        json_t *group = json_array_get(json_object_get(status, "groups"), 0);
        long long applied = json_integer_value(json_object_get(group, "applied"));
        bool intact = json_is_true(json_object_get(group, "intact"));
        json_decref(status);
        most = applied > most ? applied : most;
        least = !intact ? 0 : least < 0 || applied < least ? applied : least;
    }
    return most > 0 && least == most;
}

static bool restart_killed(struct demo *demo)
{
    uint64_t began_ns = cli_now_ns();
    if (cluster_start_node(&demo->cluster, demo->killed, false) != 0) {
        return give_up(demo, "node %d cannot be restarted", demo->killed);
    }
    step(demo, "restarted node %d", demo->killed);
    while (!has_caught_up(demo)) {
        if (!cluster_is_whole(&demo->cluster, demo->reason, sizeof(demo->reason))) {
            return false;
        }
        if (since_s(began_ns) > START_TIMEOUT_S) {
            return give_up(demo, "node %d did not catch up within %d s", demo->killed,
                           START_TIMEOUT_S);
        }
        usleep(5000);
    }
    demo->rejoin_s = since_s(began_ns);
    step(demo, "node %d has caught up after %.2f s", demo->killed, demo->rejoin_s);
    return true;
}

static bool verify(struct demo *demo)
{
    const char *const arguments[] = {"kv", "verify", demo->data, NULL};
    if (!wait_for(demo, cluster_run(&demo->cluster, arguments), "kv verify", LOAD_TIMEOUT_S)) {
        return false;
    }
    step(demo, "every byte read back through the log's reads equals its file; the digests of all "
               "replicas are equal");
    return true;
}

static bool measure(struct demo *demo, char *json_path, size_t bytes)
{
    char seconds[24];
    snprintf(seconds, sizeof(seconds), "%llu", (unsigned long long)demo->seconds);
    snprintf(json_path, bytes, "%s/latency.json", demo->cluster.directory);
    const char *const arguments[] = {"bench",     "--workload", "kv",     "--depth", "1",
                                     "--seconds", seconds,      "--size", "64",      "--json",
                                     json_path,   "--quiet",    NULL};
    step(demo, "latency: one 64-byte put in flight for %s s", seconds);
    return wait_for(demo, cluster_run(&demo->cluster, arguments), "bench",
                    (double)demo->seconds + 60);
}

static void print_table(const struct demo *demo, const char *json_path)
{
    json_t *report = json_load_file(json_path, 0, NULL);
    json_t *latency = json_object_get(report, "latency_us");
    printf("\n  links              %s, durability %s, order %s, 3 nodes + client\n",
           demo->cluster.link, demo->cluster.durability, demo->cluster.order);
    printf("  data               %llu files, %.1f MB, replicated in %.2f s (a leader's death "
           "included)\n",
           (unsigned long long)demo->files, (double)demo->bytes / 1e6, demo->load_s);
    printf("  failover           %.0f ms from SIGKILL to a new leader seen by a majority\n",
           demo->failover_s * 1000);
    printf("  restarted node     caught up after %.2f s\n", demo->rejoin_s);
    printf("  verified           every byte, and the digests of all three replicas\n");
    printf("  put, one in flight median %.1f us, p99 %.1f us, p99.9 %.1f us, %.0f a second, at the "
           "client\n",
           json_number_value(json_object_get(latency, "p50")),
           json_number_value(json_object_get(latency, "p99")),
           json_number_value(json_object_get(latency, "p999")),
           json_number_value(json_object_get(report, "rate")));
    if (strcmp(demo->cluster.link, "udp") == 0) {
        printf("  (kernel sockets: the baseline. --link memif bypasses the kernel)\n");
    }
    printf("\n");
    json_decref(report);
}

static bool perform(struct demo *demo)
{
    char json_path[CLUSTER_PATH_BYTES + 32];
    if (!start_nodes(demo) || !load(demo) || !restart_killed(demo) || !verify(demo) ||
        !measure(demo, json_path, sizeof(json_path))) {
        return false;
    }
    print_table(demo, json_path);
    return true;
}

static int run(const struct cli_arguments *arguments)
{
    static struct demo demo;
    demo.cluster.link = cli_text(arguments, "link");
    demo.cluster.durability = cli_text(arguments, "durability");
    demo.cluster.order = cli_text(arguments, "order");
    demo.data = cli_text(arguments, "data");
    demo.seconds = cli_number(arguments, "seconds");
    demo.started_ns = cli_now_ns();
    setvbuf(stdout, NULL, _IOLBF, 0);
    choose_timeouts(&demo);
    int error = cluster_create(&demo.cluster, cli_text(arguments, "directory"), demo.reason,
                               sizeof(demo.reason));
    bool passed = error == 0 && perform(&demo);
    bool keep = cli_is_given(arguments, "keep");
    cluster_destroy(&demo.cluster, keep);
    if (keep) {
        printf("kept: %s\n", demo.cluster.directory);
    }
    printf(passed ? "PASS\n" : "FAIL: %s\n", demo.reason);
    return passed ? CLI_OK : error != 0 ? CLI_ENVIRONMENT : CLI_FAILED;
}

const struct cli_command command_demo = {
    .name = "demo",
    .summary = "Shows a cluster on this machine: real data, a leader's death, every byte verified, "
               "latency",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .details =
        "Starts three nodes, replicates a directory tree, kills the leader midway, restarts "
        "it, reads everything back and "
        "compares it, compares the replicas, measures latency. Where pollers wait long for a CPU, "
        "election timeouts are raised, and it says so. The last line is PASS, or FAIL and the "
        "reason.",
    .run = run,
};
