// pontoon bench: load on a running cluster, measured at the client.
#include "drivers/cli/cli.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/load.h"
#include "bench/load/usage.h"
#include "bench/report/hdr_text.h"
#include "drivers/app_null/app_null.h"
#include "drivers/cli/cli_client.h"
#include "drivers/cli/control.h"

enum {
    COMPARE_NS = 1000000000,
    SECOND_NS = 1000000000,
    HISTORY_OPS = 1000000, // 56 MB; the judge of so many takes some seconds
};

// Everything about one run.
struct bench {
    const struct cli_arguments *arguments;
    struct cli_client client;
    struct load_config load;
    struct load_result result;
    pid_t pids[PONTOON_NODES_MAX];
    uint32_t pid_count;
    char sockets[PONTOON_NODES_MAX][PONTOON_PATH_BYTES + 16];
    uint32_t socket_count; // 0: not all nodes are on this machine
    struct usage began, ended;
    uint64_t applied_before[PONTOON_NODES_MAX], applied_after[PONTOON_NODES_MAX];
    bool is_level; // every replica applied what was committed
    char links[64];
    struct history history;
    FILE *history_file; // NULL: none wanted
};

static const struct cli_option options[] = {
    CLI_OPTION_CONFIG,
    CLI_OPTION_CLIENT,
    {.name = "workload",
     .kind = CLI_WORD,
     .argument = "KIND",
     .words = "null|kv",
     .fallback = "null",
     .summary = "null: raw payloads; kv: puts and gets (match the cluster's app)"},
    {.name = "depth",
     .kind = CLI_NUMBER,
     .argument = "N",
     .min = 1,
     .max = LOAD_DEPTH_MAX,
     .fallback = "1",
     .summary = "closed loop: operations in flight; open loop: at most in flight"},
    {.name = "rate",
     .kind = CLI_NUMBER,
     .argument = "N",
     .min = 1,
     .max = 100000000,
     .summary = "open loop: operations due a second (latency counts from when due)"},
    {.name = "size",
     .kind = CLI_NUMBER,
     .argument = "BYTES",
     .min = 0,
     .max = PONTOON_PAYLOAD_BYTES_MAX,
     .fallback = "64",
     .summary = "bytes of payload (null) or value (kv)"},
    {.name = "reads",
     .kind = CLI_NUMBER,
     .argument = "PERCENT",
     .min = 0,
     .max = 100,
     .fallback = "0",
     .summary = "share of linearizable reads"},
    {.name = "keys",
     .kind = CLI_NUMBER,
     .argument = "N",
     .min = 1,
     .max = 1000000000,
     .fallback = "100000",
     .summary = "kv, and null with --conflicts: different keys"},
    {.name = "conflicts",
     .kind = CLI_NUMBER,
     .argument = "PERCENT",
     .min = 0,
     .max = 100,
     .summary = "null: every command names a key, and so many of them the same one: they conflict "
                "in groups of order parallel (default: no keys)"},
    {.name = "groups",
     .kind = CLI_NUMBER,
     .argument = "N",
     .min = 1,
     .max = PONTOON_GROUPS_MAX,
     .summary = "spread over so many groups (default: all of the configuration)"},
    {.name = "seconds",
     .kind = CLI_NUMBER,
     .argument = "N",
     .min = 1,
     .max = 86400,
     .fallback = "10",
     .summary = "length of the measured window"},
    {.name = "warm-up",
     .kind = CLI_NUMBER,
     .argument = "SECONDS",
     .min = 0,
     .max = 3600,
     .fallback = "1",
     .summary = "load before the window, not counted"},
    {.name = "seed",
     .kind = CLI_NUMBER,
     .argument = "N",
     .min = 0,
     .max = UINT64_MAX,
     .fallback = "1",
     .summary = "of keys, payloads and the mix (with --history: default from the clock)"},
    {.name = "pids",
     .kind = CLI_TEXT,
     .argument = "A,B,C",
     .summary = "processes of the nodes: their CPU time and memory are reported"},
    {.name = "spin", .kind = CLI_FLAG, .summary = "never give the CPU away (a core of its own)"},
    {.name = "json",
     .letter = 'j',
     .kind = CLI_TEXT,
     .argument = "FILE",
     .summary = "write the result as JSON"},
    {.name = "hdr",
     .kind = CLI_TEXT,
     .argument = "FILE",
     .summary = "write the latencies of writes (of reads, if there are only reads) as HdrHistogram "
                "percentile text"},
    {.name = "history",
     .kind = CLI_TEXT,
     .argument = "FILE",
     .summary = "kv: record every operation for the judge (tests/sim/HISTORY.md); ends after a "
                "million"},
    {.name = "quiet", .letter = 'q', .kind = CLI_FLAG, .summary = "print nothing but errors"},
};

static void look_at_usage(struct bench *bench, struct usage *usage)
{
    usage_of_pids(usage, bench->pids, bench->pid_count);
    usage_of_sockets(usage, (const char(*)[PONTOON_PATH_BYTES + 16]) bench->sockets,
                     bench->socket_count, control_ask);
}

static void at_border(void *context, bool is_end)
{
    struct bench *bench = context;
    look_at_usage(bench, is_end ? &bench->ended : &bench->began);
}

// "memif", "udp", ...: the driver's name in the device string, without its number.
static void name_links(const struct pontoon_config *config, char *name, size_t bytes)
{
    const char *device = config->clients[0].links[0].device;
    if (config->driver == PONTOON_DRIVER_UDP || device[0] == '\0') {
        snprintf(name, bytes, "udp");
        return;
    }
    device += strncmp(device, "net_", 4) == 0 ? 4 : 0;
    snprintf(name, bytes, "%.*s", (int)strcspn(device, "0123456789,"), device);
    if (name[0] == '\0') {
        snprintf(name, bytes, "port");
    }
}

static void find_sockets(struct bench *bench)
{
    static struct pontoon_config config;
    char reason[512];
    for (uint32_t place = 0; place < bench->client.config.node_count; place++) {
        if (pontoon_config_load(&config, cli_text(bench->arguments, "config"),
                                bench->client.config.nodes[place].id, 0, reason,
                                sizeof(reason)) != 0) {
            return;
        }
        control_path(&config, bench->sockets[place], sizeof(bench->sockets[place]));
        if (access(bench->sockets[place], W_OK) != 0) {
            return;
        }
    }
    bench->socket_count = bench->client.config.node_count;
}

// Applied indexes of all replicas, summed over the groups, once they are level (or time is up).
static bool read_applied(struct bench *bench, uint64_t *applied)
{
    struct replicas replicas;
    cli_client_compare(&bench->client, false, COMPARE_NS * UINT64_C(10), &replicas);
    memcpy(applied, replicas.applied, sizeof(replicas.applied));
    return replicas.verdict == REPLICAS_EQUAL;
}

static double rate_of(const struct bench *bench)
{
    return (double)bench->result.answered / bench->result.seconds;
}

static const struct histogram *main_histogram(const struct bench *bench)
{
    return bench->result.writes > 0 || bench->result.reads == 0 ? &bench->result.write_ns
                                                                : &bench->result.read_ns;
}

static json_t *latency_json(const struct histogram *histogram)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "min",
                     (double)histogram_min(histogram) / 1e3, "mean",
                     histogram_mean(histogram) / 1e3, "p50",
                     (double)histogram_percentile(histogram, 50) / 1e3, "p90",
                     (double)histogram_percentile(histogram, 90) / 1e3, "p99",
                     (double)histogram_percentile(histogram, 99) / 1e3, "p999",
                     (double)histogram_percentile(histogram, 99.9) / 1e3, "max",
                     (double)histogram->max_ns / 1e3);
}

static json_t *machine_json(void)
{
    struct utsname name;
    uname(&name);
    return json_pack("{s:s, s:s, s:s, s:i}", "system", name.sysname, "release", name.release, "cpu",
                     name.machine, "cpus", (int)sysconf(_SC_NPROCESSORS_ONLN));
}

// The command as it was given, as far as the option table tells.
static json_t *command_json(const struct cli_arguments *arguments)
{
    json_t *object = json_object();
    json_object_set_new(object, "program", json_string("pontoon bench"));
    for (size_t at = 0; at < arguments->command->option_count; at++) {
        if (arguments->values[at] != NULL) {
            json_object_set_new(object, options[at].name, json_string(arguments->values[at]));
        }
    }
    return object;
}

static const char *order_name(const struct pontoon_config *config)
{
    return config->order == PONTOON_STRICT ? "strict" : "parallel";
}

static const char *durability_name(const struct pontoon_config *config)
{
    return config->durability == PONTOON_FSYNC ? "fsync" : "memory";
}

// Per million of the operations answered in the window.
static double per_million(const struct bench *bench, double seconds)
{
    uint64_t count = bench->result.answered;
    return count == 0 ? 0 : seconds * 1e6 / (double)count;
}

static void add_usage(json_t *object, const struct bench *bench)
{
    json_object_set_new(object, "client_cpu_s_per_million",
                        json_real(per_million(bench, bench->result.client_cpu_s)));
    if (bench->began.has_cpu && bench->ended.has_cpu) {
        json_object_set_new(object, "nodes_cpu_s_per_million",
                            json_real(per_million(bench, bench->ended.cpu_s - bench->began.cpu_s)));
        json_object_set_new(object, "nodes_memory_bytes",
                            json_integer((json_int_t)bench->ended.memory_bytes));
    }
    if (bench->began.has_busy && bench->ended.has_busy) {
        json_object_set_new(
            object, "nodes_busy_s_per_million",
            json_real(per_million(bench, bench->ended.busy_s - bench->began.busy_s)));
    }
}

static json_t *applied_json(const struct bench *bench)
{
    json_t *array = json_array();
    for (uint32_t place = 0; place < bench->client.config.node_count; place++) {
        json_array_append_new(array, json_integer((json_int_t)(bench->applied_after[place] -
                                                               bench->applied_before[place])));
    }
    return array;
}

static json_t *result_json(const struct bench *bench)
{
    const struct pontoon_config *config = &bench->client.config;
    const struct load_result *result = &bench->result;
    struct pontoon_client_counters counters;
    pontoon_client_counters(bench->client.client, &counters);
    json_t *object = json_pack(
        "{s:o, s:o, s:s, s:s, s:s, s:s, s:i, s:i, s:s, s:I, s:I, s:I, s:f, s:I, s:I, s:f, s:f}",
        "command", command_json(bench->arguments), "machine", machine_json(), "links", bench->links,
        "durability", durability_name(config), "order", order_name(config), "app", config->app,
        "nodes", (int)config->node_count, "groups", (int)bench->load.groups, "loop",
        bench->load.rate == 0 ? "closed" : "open", "depth", (json_int_t)bench->load.depth,
        "rate_wanted", (json_int_t)bench->load.rate, "entry_bytes",
        (json_int_t)load_entry_bytes(&bench->load), "seconds", result->seconds, "writes",
        (json_int_t)result->writes, "reads", (json_int_t)result->reads, "rate", rate_of(bench),
        "late_us_max", (double)result->late_ns_max / 1e3);
    json_object_set_new(object, "latency_us", latency_json(main_histogram(bench)));
    if (result->writes > 0 && result->reads > 0) {
        json_object_set_new(object, "read_latency_us", latency_json(&result->read_ns));
    }
    json_object_set_new(object, "committed", json_integer((json_int_t)result->all_writes));
    json_object_set_new(object, "applied", applied_json(bench));
    json_object_set_new(object, "applied_on_every_replica", json_boolean(bench->is_level));
    json_object_set_new(object, "not_done",
                        json_pack("{s:I, s:I, s:I, s:I}", "refused_by_app",
                                  (json_int_t)result->refused, "failed", (json_int_t)result->failed,
                                  "unknown", (json_int_t)result->unknown, "lost",
                                  (json_int_t)result->lost));
    json_object_set_new(object, "client",
                        json_pack("{s:I, s:I, s:I, s:I}", "resent", (json_int_t)counters.resent,
                                  "redirected", (json_int_t)counters.redirected, "busy",
                                  (json_int_t)counters.busy, "expired",
                                  (json_int_t)counters.expired));
    add_usage(object, bench);
    return object;
}

static void print_latency(const char *name, const struct histogram *histogram)
{
    printf("  %-10s p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f us\n", name,
           (double)histogram_percentile(histogram, 50) / 1e3,
           (double)histogram_percentile(histogram, 90) / 1e3,
           (double)histogram_percentile(histogram, 99) / 1e3,
           (double)histogram_percentile(histogram, 99.9) / 1e3, (double)histogram->max_ns / 1e3);
}

static void print_usage(const struct bench *bench)
{
    printf("  cpu        client %.2f s a million", per_million(bench, bench->result.client_cpu_s));
    if (bench->began.has_busy && bench->ended.has_busy) {
        printf(", nodes busy %.2f", per_million(bench, bench->ended.busy_s - bench->began.busy_s));
    }
    if (bench->began.has_cpu && bench->ended.has_cpu) {
        printf(", nodes whole %.2f; memory of the nodes %.0f MiB",
               per_million(bench, bench->ended.cpu_s - bench->began.cpu_s),
               (double)bench->ended.memory_bytes / (1 << 20));
    }
    printf("\n");
}

static void print_result(const struct bench *bench)
{
    const struct pontoon_config *config = &bench->client.config;
    const struct load_result *result = &bench->result;
    printf("%u nodes over %s, durability %s, order %s, app %s, %u group%s\n", config->node_count,
           bench->links, durability_name(config), order_name(config), config->app,
           bench->load.groups, bench->load.groups == 1 ? "" : "s");
    if (bench->load.rate == 0) {
        printf("  load       closed loop, %u in flight", bench->load.depth);
    } else {
        printf("  load       open loop, %llu a second wanted",
               (unsigned long long)bench->load.rate);
    }
    printf(", entries of %u bytes, %u %% reads, %.1f s\n", load_entry_bytes(&bench->load),
           bench->load.reads_percent, result->seconds);
    if (bench->history_file != NULL) {
        printf("  history    %u operations, seed %llu\n", bench->history.count,
               (unsigned long long)bench->load.seed);
    }
    printf("  rate       %.0f a second (%llu writes, %llu reads)\n", rate_of(bench),
           (unsigned long long)result->writes, (unsigned long long)result->reads);
    if (result->writes > 0) {
        print_latency("writes", &result->write_ns);
    }
    if (result->reads > 0) {
        print_latency("reads", &result->read_ns);
    }
    if (bench->load.rate != 0) {
        printf("  lateness   at most %.1f us between due and sent\n",
               (double)result->late_ns_max / 1e3);
    }
    printf("  committed  %llu with warm-up and rest; applied on every replica: %s\n",
           (unsigned long long)result->all_writes, bench->is_level ? "yes" : "NO");
    print_usage(bench);
}

static int save(const struct bench *bench)
{
    const char *json_path = cli_text(bench->arguments, "json");
    const char *hdr_path = cli_text(bench->arguments, "hdr");
    if (json_path != NULL) {
        json_t *object = result_json(bench);
        int failed = json_dump_file(object, json_path, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        json_decref(object);
        if (failed != 0) {
            return cli_fail(bench->arguments, CLI_FAILED, "%s cannot be written", json_path);
        }
    }
    if (bench->history_file != NULL && history_write(&bench->history, bench->history_file) != 0) {
        return cli_fail(bench->arguments, CLI_FAILED, "the history cannot be written");
    }
    int error = hdr_path == NULL ? 0 : hdr_text_save(hdr_path, main_histogram(bench));
    if (error != 0) {
        return cli_fail(bench->arguments, CLI_FAILED, "%s: %s", hdr_path, strerror(-error));
    }
    return CLI_OK;
}

// What makes a result worthless.
static int judge(const struct bench *bench)
{
    const struct load_result *result = &bench->result;
    if (result->writes + result->reads == 0) {
        return cli_fail(bench->arguments, CLI_UNAVAILABLE, "nothing was answered");
    }
    if (result->lost + result->failed + result->unknown > 0) {
        return cli_fail(bench->arguments, CLI_UNAVAILABLE,
                        "%llu operations failed, %llu ended unknown, %llu were not answered",
                        (unsigned long long)result->failed, (unsigned long long)result->unknown,
                        (unsigned long long)result->lost);
    }
    if (result->refused > 0) {
        return cli_fail(bench->arguments, CLI_FAILED,
                        "%llu operations were refused by the state machine (is --workload that of "
                        "the cluster's app?)",
                        (unsigned long long)result->refused);
    }
    if (!bench->is_level) {
        return cli_fail(bench->arguments, CLI_UNAVAILABLE,
                        "the replicas did not all apply what was committed");
    }
    return CLI_OK;
}

// Keys of a history must be absent at its start: another seed for every run, unless clients are to
// share theirs.
static uint64_t seed_of(const struct bench *bench)
{
    struct timespec now;
    if (bench->history_file == NULL || cli_is_given(bench->arguments, "seed")) {
        return cli_number(bench->arguments, "seed");
    }
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static int check_keys(const struct cli_arguments *arguments)
{
    if (cli_is_given(arguments, "conflicts") &&
        (strcmp(cli_text(arguments, "workload"), "null") != 0 ||
         cli_number(arguments, "size") < APP_NULL_KEYED_BYTES)) {
        return cli_fail(arguments, CLI_USAGE,
                        "--conflicts needs --workload null and a --size of at least %d",
                        APP_NULL_KEYED_BYTES);
    }
    return CLI_OK;
}

static int open_history(struct bench *bench)
{
    const char *path = cli_text(bench->arguments, "history");
    if (path == NULL) {
        return CLI_OK;
    }
    if (strcmp(cli_text(bench->arguments, "workload"), "kv") != 0 ||
        cli_number(bench->arguments, "size") < LOAD_TOKEN_BYTES) {
        return cli_fail(bench->arguments, CLI_USAGE,
                        "--history needs --workload kv and a --size of at least %d",
                        LOAD_TOKEN_BYTES);
    }
    history_init(&bench->history);
    if (!history_reserve(&bench->history, HISTORY_OPS)) {
        return cli_fail(bench->arguments, CLI_ENVIRONMENT, "no memory for a history");
    }
    bench->history_file = fopen(path, "w");
    return bench->history_file != NULL
               ? CLI_OK
               : cli_fail(bench->arguments, CLI_FAILED, "%s: %s", path, strerror(errno));
}

static void close_history(struct bench *bench)
{
    if (bench->history_file != NULL) {
        fclose(bench->history_file);
    }
    history_fini(&bench->history);
}

static void fill_load(struct bench *bench)
{
    const struct cli_arguments *arguments = bench->arguments;
    const struct pontoon_config *config = &bench->client.config;
    uint64_t groups =
        cli_is_given(arguments, "groups") ? cli_number(arguments, "groups") : config->groups;
    bench->load = (struct load_config){
        .workload = strcmp(cli_text(arguments, "workload"), "kv") == 0 ? LOAD_KV : LOAD_NULL,
        .depth = (uint32_t)cli_number(arguments, "depth"),
        .rate = cli_is_given(arguments, "rate") ? cli_number(arguments, "rate") : 0,
        .bytes = (uint32_t)cli_number(arguments, "size"),
        .reads_percent = (uint32_t)cli_number(arguments, "reads"),
        .groups = (uint32_t)(groups < config->groups ? groups : config->groups),
        .keys = (uint32_t)cli_number(arguments, "keys"),
        .has_keys = cli_is_given(arguments, "conflicts"),
        .conflicts_percent =
            cli_is_given(arguments, "conflicts") ? (uint32_t)cli_number(arguments, "conflicts") : 0,
        .warm_up_ns = cli_number(arguments, "warm-up") * SECOND_NS,
        .window_ns = cli_number(arguments, "seconds") * SECOND_NS,
        .drain_ns = UINT64_C(15) * SECOND_NS,
        .seed = seed_of(bench),
        .place = config->client,
        .history = bench->history_file == NULL ? NULL : &bench->history,
        .history_ops_max = HISTORY_OPS,
        .should_spin = cli_is_given(arguments, "spin"),
        .at_border = at_border,
        .context = bench};
    if (bench->load.rate != 0 && !cli_is_given(arguments, "depth")) {
        bench->load.depth = LOAD_DEPTH_MAX;
    }
}

static int measure(struct bench *bench)
{
    fill_load(bench);
    find_sockets(bench);
    name_links(&bench->client.config, bench->links, sizeof(bench->links));
    if (!read_applied(bench, bench->applied_before)) {
        return cli_fail(bench->arguments, CLI_UNAVAILABLE,
                        "not all nodes answer with the same applied index; are all running?");
    }
    int error = load_run(&bench->load, bench->client.client, &bench->result);
    if (error != 0) {
        return cli_fail(bench->arguments, CLI_USAGE, "%s", strerror(-error));
    }
    bench->is_level = read_applied(bench, bench->applied_after);
    if (!cli_is_given(bench->arguments, "quiet")) {
        print_result(bench);
    }
    int code = save(bench);
    return code == CLI_OK ? judge(bench) : code;
}

static int run(const struct cli_arguments *arguments)
{
    static struct bench bench;
    bench.arguments = arguments;
    const char *pids = cli_text(arguments, "pids");
    if (pids != NULL) {
        bench.pid_count = usage_parse_pids(pids, bench.pids, PONTOON_NODES_MAX);
        if (bench.pid_count == 0) {
            return cli_fail(arguments, CLI_USAGE, "--pids: give process ids with commas between");
        }
    }
    uint64_t depth = cli_is_given(arguments, "rate") && !cli_is_given(arguments, "depth")
                         ? LOAD_DEPTH_MAX
                         : cli_number(arguments, "depth");
    const struct pontoon_client_options client_options = {.depth_max = (uint32_t)depth,
                                                          .give_up_ns = UINT64_C(10) * SECOND_NS};
    int code = check_keys(arguments);
    code = code == CLI_OK ? open_history(&bench) : code;
    if (code == CLI_OK) {
        code = cli_client_open(&bench.client, arguments, &client_options);
        if (code == CLI_OK) {
            code = measure(&bench);
            cli_client_close(&bench.client);
        }
    }
    close_history(&bench);
    return code;
}

const struct cli_command command_bench = {
    .name = "bench",
    .summary = "Measures throughput and latency of a running cluster, at the client",
    .takes_eal = true,
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .details =
        "A closed loop of --depth operations, or with --rate an open loop: operations are due at "
        "that rate\nand latency counts from when they were due. Answers come after commit and "
        "apply. Results that do not\ncount (nothing answered, refusals, replicas that did not "
        "apply) make the exit status other than 0.",
    .run = run,
};
