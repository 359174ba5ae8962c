// pontoon bench order: strict against parallel on the same links, one condition changed at a time;
// parallel also with PolarFS's look-behind buffer.
//
// A round of a point runs all of them one after the other, each on a fresh cluster of three node
// processes and a client; so what else the machine does meets each. Around each run it looks how
// far apart the CPUs are, and repeats a round in which that changed (order_rounds.h). The links are
// impaired by the nodes themselves (net_impair), told so before the run.
#include "drivers/cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/cores/cores.h"
#include "bench/harness/process.h"
#include "drivers/cli/cli_client.h"
#include "drivers/cli/cluster_wait.h"
#include "drivers/cli/order_report.h"

enum {
    REASON_BYTES = 768,
    START_TIMEOUT_S = 30,
    WORDS_BYTES = 128,
    PATH_BYTES = CLUSTER_PATH_BYTES + 32,
    FAILOVER_DEPTH = 32,
    ROUND_TRIES = 3, // of a round; the last one is kept, whether it counts or not
};

// Frames of ordinary Ethernet, on any link: three for a write, and each may be lost.
static const char common[] =
    "app: \"null\"\nimpair_runtime: true\nelection_timeout_min: 600ms\nframe_bytes: 1472\n";

static const struct cli_option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = CLI_TEXT,
     .argument = "DIR",
     .is_required = true,
     .summary = "where order.json and the plots go; made if missing"},
    {.name = "axis",
     .kind = CLI_WORD,
     .argument = "NAME",
     .words = "all|depth|loss|delay|reorder|slow|conflicts|log|failover",
     .fallback = "all",
     .summary = "measure only this"},
    {.name = "rounds",
     .kind = CLI_NUMBER,
     .argument = "N",
     .min = 1,
     .max = ORDER_ROUNDS_MAX,
     .fallback = "5",
     .summary = "of strict, parallel and look-behind in turns; medians are reported"},
    {.name = "seconds",
     .kind = CLI_NUMBER,
     .argument = "N",
     .min = 1,
     .max = 600,
     .fallback = "2",
     .summary = "length of each run"},
    {.name = "quick", .kind = CLI_FLAG, .summary = "one round of runs of one second"},
    CLI_OPTION_LINK,
    CLI_OPTION_DIRECTORY,
};

struct order_bench {
    const struct cli_arguments *arguments;
    struct order_results results;
    struct cluster cluster;
    enum order_kind kind; // of the cluster
    char settings[256];
    const char *directory;
    uint32_t runs, runs_done;
    char reason[REASON_BYTES];
};

static bool give_up(struct order_bench *bench, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool give_up(struct order_bench *bench, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(bench->reason, sizeof(bench->reason), format, arguments);
    va_end(arguments);
    return false;
}

// --- what is to be measured ---

static bool wants_axis(const struct order_bench *bench, const char *name)
{
    const char *wanted = cli_text(bench->arguments, "axis");
    return strcmp(wanted, "all") == 0 || strcmp(wanted, name) == 0;
}

static bool wants_point(const struct order_bench *bench, uint32_t point)
{
    for (uint32_t at = 0; at < order_axis_count; at++) {
        const struct order_axis *axis = &order_axes[at];
        for (uint32_t of = 0; of < axis->count && wants_axis(bench, axis->name); of++) {
            if (axis->points[of] == point) {
                return true;
            }
        }
    }
    return false;
}

static void count_runs(struct order_bench *bench)
{
    uint32_t points = wants_axis(bench, "failover") ? ORDER_FAILOVERS : 0;
    for (uint32_t point = 0; point < order_point_count; point++) {
        points += wants_point(bench, point);
    }
    bench->runs = points * ORDER_KINDS * bench->results.rounds;
}

static void show_progress(struct order_bench *bench, const char *name)
{
    printf("[%3u/%u] %-11s %s\n", ++bench->runs_done, bench->runs, order_kind_name(bench->kind),
           name);
}

// --- clusters ---

static bool wait_for_leader(struct order_bench *bench, int except, int *leader)
{
    return cluster_wait_for_leader(&bench->cluster, except, START_TIMEOUT_S, leader, bench->reason,
                                   sizeof(bench->reason)) &&
           cluster_wait_for_all(&bench->cluster, START_TIMEOUT_S, bench->reason,
                                sizeof(bench->reason));
}

// A fresh cluster. Its leader's elections are rare: a node that waits for a CPU is not what is
// measured.
static bool start_cluster(struct order_bench *bench, enum order_kind kind, enum order_log log)
{
    int leader;
    bench->kind = kind;
    snprintf(bench->settings, sizeof(bench->settings), "%s%s%s", common,
             kind == ORDER_LOOK_BEHIND ? "apply: look_behind\nlook_behind: 2\n" : "",
             log == ORDER_FSYNC_SINGLE ? "log_batch_kib: 4\nlog_writes: 32\n" : "");
    bench->cluster = (struct cluster){.link = cli_text(bench->arguments, "link"),
                                      .durability = log == ORDER_MEMORY ? "memory" : "fsync",
                                      .order = kind == ORDER_STRICT ? "strict" : "parallel",
                                      .settings = bench->settings,
                                      .name = "pontoon-order"};
    cluster_pin(getpid(), -1);
    if (cluster_create(&bench->cluster, bench->directory, bench->reason, sizeof(bench->reason)) !=
        0) {
        return false;
    }
    if (!cluster_start(&bench->cluster, bench->reason, sizeof(bench->reason)) ||
        !wait_for_leader(bench, 0, &leader)) {
        return false;
    }
    cluster_place(&bench->cluster, leader);
    return true;
}

static bool impair_node(struct order_bench *bench, int id, const char *words)
{
    return cluster_impair(&bench->cluster, id, words) == 0 ||
           give_up(bench, "node %d does not take \"%s\"", id, words);
}

// Every frame between nodes is treated where it leaves.
static bool impair_links(struct order_bench *bench, const struct order_point *point, int leader)
{
    int slow = point->has_slow_follower ? leader % CLUSTER_NODES + 1 : 0;
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        char words[WORDS_BYTES], slow_words[WORDS_BYTES];
        snprintf(words, sizeof(words), "out loss_ppm=%u reorder_ppm=%u delay=%uus", point->loss_ppm,
                 point->reorder_ppm, point->delay_us * (id == slow ? ORDER_SLOW_FACTOR : 1));
        snprintf(slow_words, sizeof(slow_words),
                 "peer %d out loss_ppm=%u reorder_ppm=%u delay=%uus", slow, point->loss_ppm,
                 point->reorder_ppm, point->delay_us * ORDER_SLOW_FACTOR);
        if (!impair_node(bench, id, words) ||
            (slow != 0 && id != slow && !impair_node(bench, id, slow_words))) {
            return false;
        }
    }
    return true;
}

// --- runs ---

static pid_t start_load(struct order_bench *bench, uint32_t depth, uint32_t conflicts_percent,
                        uint32_t seconds, const char *json_path)
{
    char depth_text[12], bytes_text[12], conflicts_text[12], seconds_text[12];
    snprintf(depth_text, sizeof(depth_text), "%u", depth);
    snprintf(bytes_text, sizeof(bytes_text), "%d", (int)ORDER_WRITE_BYTES);
    snprintf(conflicts_text, sizeof(conflicts_text), "%u", conflicts_percent);
    snprintf(seconds_text, sizeof(seconds_text), "%u", seconds);
    const char *const words[] = {
        "bench",     "--depth",    depth_text, "--size",  bytes_text, "--conflicts", conflicts_text,
        "--seconds", seconds_text, "--json",   json_path, "--quiet",  NULL};
    cluster_pin(getpid(), (int)sysconf(_SC_NPROCESSORS_ONLN) - 1);
    return cluster_run(&bench->cluster, words);
}

static bool end_load(struct order_bench *bench, pid_t load)
{
    int status = 0;
    if (load < 0 || waitpid(load, &status, 0) != load) {
        return give_up(bench, "bench cannot be started");
    }
    return (WIFEXITED(status) && WEXITSTATUS(status) == 0) || give_up(bench, "bench failed");
}

static bool read_result(struct order_bench *bench, const char *json_path, struct order_run *run)
{
    json_t *report = json_load_file(json_path, 0, NULL);
    json_t *latency = json_object_get(report, "latency_us");
    if (latency == NULL) {
        json_decref(report);
        return give_up(bench, "%s is no result", json_path);
    }
    run->figures[ORDER_RATE] = json_number_value(json_object_get(report, "rate"));
    run->figures[ORDER_P50_US] = json_number_value(json_object_get(latency, "p50"));
    run->figures[ORDER_P99_US] = json_number_value(json_object_get(latency, "p99"));
    run->figures[ORDER_P999_US] = json_number_value(json_object_get(latency, "p999"));
    json_decref(report);
    return true;
}

// The distance of the CPUs that cluster_place gives to the leader and to the others.
static bool look_at_cores(struct order_bench *bench, double *round_trip_ns)
{
    struct cores_round_trip trip;
    if (!cores_measure(&trip, 0, process_cpu(UINT_MAX), CORES_MILLISECONDS)) {
        return give_up(bench, "the distance of the CPUs cannot be measured");
    }
    *round_trip_ns = trip.median_ns;
    return true;
}

static bool load_cluster(struct order_bench *bench, const struct order_point *point,
                         struct order_run *run)
{
    char json_path[PATH_BYTES];
    int leader;
    snprintf(json_path, sizeof(json_path), "%s/result.json", bench->cluster.directory);
    if (!wait_for_leader(bench, 0, &leader) || !impair_links(bench, point, leader)) {
        return false;
    }
    cluster_place(&bench->cluster, leader);
    return look_at_cores(bench, &run->core_before_ns) &&
           end_load(bench, start_load(bench, point->depth, point->conflicts_percent,
                                      bench->results.seconds, json_path)) &&
           look_at_cores(bench, &run->core_after_ns) && read_result(bench, json_path, run);
}

static bool run_kinds(struct order_bench *bench, const struct order_point *point,
                      struct order_round *round)
{
    bool passed = true;
    for (enum order_kind kind = ORDER_STRICT; kind < ORDER_KINDS && passed; kind++) {
        passed = start_cluster(bench, kind, point->log);
        show_progress(bench, point->name);
        passed = passed && load_cluster(bench, point, &round->runs[kind]);
        cluster_destroy(&bench->cluster, false);
    }
    return passed;
}

static bool run_point(struct order_bench *bench, uint32_t at)
{
    const struct order_point *point = &order_points[at];
    struct order_rounds *rounds = &bench->results.points[at];
    struct order_round *round = &rounds->rounds[rounds->count++];
    for (uint32_t try = 1; run_kinds(bench, point, round); try++) {
        if (order_round_counts(round) || try == ROUND_TRIES) {
            return true;
        }
        printf("          %s again: the distance of the CPUs changed between the runs\n",
               point->name);
        bench->runs_done -= ORDER_KINDS;
    }
    return false;
}

// --- failover ---

// Until the next leader applies entries of clients: more than what any log held at the death.
static bool wait_for_service(struct order_bench *bench, int dead)
{
    int leader;
    if (!wait_for_leader(bench, dead, &leader)) {
        return false;
    }
    long long before = cluster_applied(&bench->cluster, leader);
    uint64_t end_ns = cli_now_ns() + START_TIMEOUT_S * UINT64_C(1000000000);
    while (cluster_applied(&bench->cluster, leader) < before + 2 * FAILOVER_DEPTH) {
        if (cli_now_ns() > end_ns) {
            return give_up(bench, "the next leader serves nobody");
        }
        usleep(500);
    }
    return true;
}

static bool kill_leader(struct order_bench *bench, struct order_samples *samples)
{
    int leader;
    if (!wait_for_leader(bench, 0, &leader)) {
        return false;
    }
    uint64_t killed_ns = cli_now_ns();
    cluster_signal_node(&bench->cluster, leader, SIGKILL);
    if (!wait_for_service(bench, leader)) {
        return false;
    }
    order_add(samples, (double)(cli_now_ns() - killed_ns) / 1e6);
    return true;
}

static bool run_failover(struct order_bench *bench, enum order_kind kind, uint32_t at)
{
    struct order_point point = {.loss_ppm = bench->results.failover_loss_ppm[at], .delay_us = 20};
    char json_path[PATH_BYTES];
    bool passed = start_cluster(bench, kind, ORDER_MEMORY) && impair_links(bench, &point, 1);
    show_progress(bench, "failover");
    if (passed) {
        snprintf(json_path, sizeof(json_path), "%s/result.json", bench->cluster.directory);
        pid_t load = start_load(bench, FAILOVER_DEPTH, 0, 600, json_path);
        sleep(2);
        passed = kill_leader(bench, &bench->results.failover_ms[at][kind]);
        kill(load, SIGKILL);
        waitpid(load, NULL, 0);
    }
    cluster_destroy(&bench->cluster, false);
    return passed;
}

// --- all of it ---

static bool run_round(struct order_bench *bench)
{
    for (uint32_t point = 0; point < order_point_count; point++) {
        if (wants_point(bench, point) && !run_point(bench, point)) {
            return false;
        }
    }
    for (uint32_t at = 0; at < ORDER_FAILOVERS && wants_axis(bench, "failover"); at++) {
        for (enum order_kind kind = ORDER_STRICT; kind < ORDER_KINDS; kind++) {
            if (!run_failover(bench, kind, at)) {
                return false;
            }
        }
    }
    return true;
}

static int report(struct order_bench *bench, const char *output)
{
    char reason[REASON_BYTES];
    int error = order_save(&bench->results, output);
    order_print(&bench->results);
    if (error != 0) {
        return cli_fail(bench->arguments, CLI_FAILED, "%s/order.json cannot be written", output);
    }
    bool has_plots = order_has_plots(&bench->results);
    error = has_plots ? order_plot(&bench->results, output, reason, sizeof(reason)) : 0;
    printf("\nwritten: %s/order.json%s\n", output, has_plots && error == 0 ? ", order-*.svg" : "");
    if (error != 0) {
        return cli_fail(bench->arguments, error == -ENOENT ? CLI_OK : CLI_FAILED, "%s", reason);
    }
    return CLI_OK;
}

static int run(const struct cli_arguments *arguments)
{
    static struct order_bench bench;
    bool is_quick = cli_is_given(arguments, "quick");
    const char *output = cli_text(arguments, "output");
    bench.arguments = arguments;
    bench.directory = cli_text(arguments, "directory");
    bench.results =
        (struct order_results){.rounds = is_quick ? 1 : (uint32_t)cli_number(arguments, "rounds"),
                               .seconds = is_quick ? 1 : (uint32_t)cli_number(arguments, "seconds"),
                               .link = cli_text(arguments, "link"),
                               .failover_loss_ppm = {0, 10000, 50000}};
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (mkdir(output, 0777) != 0 && errno != EEXIST) {
        return cli_fail(arguments, CLI_FAILED, "%s: %s", output, strerror(errno));
    }
    count_runs(&bench);
    for (uint32_t round = 0; round < bench.results.rounds; round++) {
        if (!run_round(&bench)) {
            return cli_fail(arguments, CLI_FAILED, "%s", bench.reason);
        }
    }
    return report(&bench, output);
}

const struct cli_command command_bench_order = {
    .name = "bench order",
    .summary = "Compares order strict with order parallel on bad links: figures, JSON and plots",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .details = "Starts clusters of three nodes on this machine, strict, parallel and parallel as "
               "PolarFS, in\n"
               "turns, and writes 4 KiB at a time. From 32 in flight, 1 % loss, 20 us one way, "
               "memory and no\n"
               "conflicts one condition at a time is changed. Looks how far apart the CPUs are "
               "around each run,\n"
               "and makes a round again in which the host of a virtual machine changed that. "
               "Leaves order.json,\n"
               "order.gnuplot and, where gnuplot is installed, a plot of each axis.",
    .run = run,
};
