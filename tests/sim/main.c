// The simulator's command line: one seed, a range of seeds, or the smallest plan of faults that
// still fails. tests/sim/README.md has the options; the exit status is 0 when all runs were good, 1
// when one failed, 2 for a command line that makes no sense.
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/report.h"
#include "tests/sim/sim.h"

enum { OPERATIONS = 500, FAULTS = 50, JOBS_MAX = 64, LINES_MAX = 1000000 };
enum { HANG_S = 120, PROGRESS_EVERY_S = 60 }; // of --seconds

struct arguments {
    uint64_t first, last;
    uint64_t seconds; // 0: no limit
    uint32_t operations, faults, jobs;
    const char *order; // of the groups; NULL: as the seed says
    const char *keep;  // faults: "3,17,21"; NULL: all
    bool is_range, minimises, is_verbose, stops, shows_lines, shows_marks, shows_plan;
    const char *history, *trace, *frames, *required_marks;
    uint64_t crash_at_io;
};

static const char usage[] =
    "usage: sim --seed N [options]            one run\n"
    "       sim --seeds A..B [--jobs J]       all of them, and a summary\n"
    "  --operations N    of the clients, while faults happen (500)\n"
    "  --faults N        on average (50)\n"
    "  --order O         strict or parallel, whatever the seed says\n"
    "  --crash-at-io K   the node that hands in the K-th disk request loses power at that moment\n"
    "  --keep A,B,...    only these faults of the plan (as --plan and --minimise number them)\n"
    "  --minimise        after a failure: leave out faults as long as the same invariant breaks\n"
    "  --plan            show what the seed means, and run nothing\n"
    "  --verbose         show faults as they happen, and replicas that are late\n"
    "  --history FILE    the clients' history, one JSON object a line\n"
    "  --trace FILE      every state transition of the cores, likewise\n"
    "  --frames DIR      some hundred frames of the run, each unlike the others, into files there\n"
    "  --stop            end a range at its first failure\n"
    "  --seconds S       begin no seed of a range later than that, give up one that takes 120 s, "
    "and\n"
    "                    tell every minute how far it is\n"
    "  --lines           a line a seed of a range, in their order, before the summary\n"
    "  --marks           show how often each mark was reached\n"
    "  --require-marks   fail when a mark was never reached\n";

// ------------------------------------------------------------------------------------------------
// the command line

static _Noreturn void refuse(const char *what, const char *value)
{
    fprintf(stderr, "sim: %s %s\n%s", what, value, usage);
    exit(2);
}

static uint64_t number(const char *name, const char *text, char **end)
{
    errno = 0;
    uint64_t value = strtoull(text, end, 0);
    if (errno != 0 || *end == text || text[0] == '-') {
        refuse(name, text);
    }
    return value;
}

static uint64_t whole(const char *name, const char *text, uint64_t max)
{
    char *end;
    uint64_t value = number(name, text, &end);
    if (*end != '\0' || value > max) {
        refuse(name, text);
    }
    return value;
}

static void read_range(struct arguments *arguments, const char *text)
{
    char *end;
    arguments->first = number("--seeds", text, &end);
    if (strncmp(end, "..", 2) != 0) {
        refuse("--seeds wants A..B, not", text);
    }
    arguments->last = whole("--seeds", end + 2, UINT64_MAX);
    arguments->is_range = true;
    if (arguments->last < arguments->first) {
        refuse("--seeds wants A..B with A <= B, not", text);
    }
}

static struct arguments parse(int count, char **words)
{
    enum {
        SEED = 1,
        SEEDS,
        JOBS,
        OPS,
        FAULTY,
        ORDER,
        CRASH,
        KEEP,
        MINIMISE,
        PLAN,
        VERBOSE,
        HISTORY,
        TRACE,
        FRAMES,
        STOP,
        LENGTH,
        LINES,
        MARKS,
        REQUIRE
    };
    static const struct option options[] = {{"seed", 1, NULL, SEED},
                                            {"seeds", 1, NULL, SEEDS},
                                            {"jobs", 1, NULL, JOBS},
                                            {"operations", 1, NULL, OPS},
                                            {"faults", 1, NULL, FAULTY},
                                            {"order", 1, NULL, ORDER},
                                            {"crash-at-io", 1, NULL, CRASH},
                                            {"keep", 1, NULL, KEEP},
                                            {"minimise", 0, NULL, MINIMISE},
                                            {"plan", 0, NULL, PLAN},
                                            {"verbose", 0, NULL, VERBOSE},
                                            {"history", 1, NULL, HISTORY},
                                            {"trace", 1, NULL, TRACE},
                                            {"frames", 1, NULL, FRAMES},
                                            {"stop", 0, NULL, STOP},
                                            {"seconds", 1, NULL, LENGTH},
                                            {"lines", 0, NULL, LINES},
                                            {"marks", 0, NULL, MARKS},
                                            {"require-marks", 0, NULL, REQUIRE},
                                            {0}};
    struct arguments arguments = {.operations = OPERATIONS, .faults = FAULTS, .jobs = 1};
    bool has_seed = false;
    int option;
    while ((option = getopt_long(count, words, "", options, NULL)) != -1) {
        switch (option) {
        case SEED:
            arguments.first = arguments.last = whole("--seed", optarg, UINT64_MAX);
            has_seed = true;
            break;
        case SEEDS:
            read_range(&arguments, optarg);
            has_seed = true;
            break;
        case JOBS:
            arguments.jobs = (uint32_t)whole("--jobs", optarg, JOBS_MAX);
            break;
        case OPS:
            arguments.operations = (uint32_t)whole("--operations", optarg, 1000000);
            break;
        case FAULTY:
            arguments.faults = (uint32_t)whole("--faults", optarg, SIM_FAULTS_MAX);
            break;
        case ORDER:
            arguments.order = optarg;
            break;
        case CRASH:
            arguments.crash_at_io = whole("--crash-at-io", optarg, UINT64_MAX);
            break;
        case KEEP:
            arguments.keep = optarg;
            break;
        case MINIMISE:
            arguments.minimises = true;
            break;
        case PLAN:
            arguments.shows_plan = true;
            break;
        case VERBOSE:
            arguments.is_verbose = true;
            break;
        case HISTORY:
            arguments.history = optarg;
            break;
        case TRACE:
            arguments.trace = optarg;
            break;
        case FRAMES:
            arguments.frames = optarg;
            break;
        case STOP:
            arguments.stops = true;
            break;
        case LENGTH:
            arguments.seconds = whole("--seconds", optarg, UINT32_MAX);
            break;
        case LINES:
            arguments.shows_lines = true;
            break;
        case MARKS:
            arguments.shows_marks = true;
            break;
        case REQUIRE:
            arguments.required_marks = "all";
            break;
        default:
            refuse("cannot be understood:", words[optind - 1]);
        }
    }
    if (arguments.shows_lines && arguments.last - arguments.first >= LINES_MAX) {
        refuse("--lines is for at most a million seeds", "");
    }
    if (arguments.order != NULL && strcmp(arguments.order, "strict") != 0 &&
        strcmp(arguments.order, "parallel") != 0) {
        refuse("--order wants strict or parallel, not", arguments.order);
    }
    if (!has_seed || optind < count || arguments.jobs == 0 || arguments.operations == 0) {
        refuse("wants --seed N or --seeds A..B, and a number of jobs and operations above", "0");
    }
    return arguments;
}

// ------------------------------------------------------------------------------------------------
// one seed

static void keep_only(struct sim_plan *plan, const char *list)
{
    for (uint32_t at = 0; at < plan->count; at++) {
        plan->faults[at].is_left_out = true;
    }
    while (*list != '\0') {
        char *end;
        uint64_t which = number("--keep", list, &end);
        if (which >= plan->count || (*end != ',' && *end != '\0')) {
            refuse("--keep wants numbers of faults, as --plan shows them, not", list);
        }
        plan->faults[which].is_left_out = false;
        list = *end == ',' ? end + 1 : end;
    }
}

static FILE *open_output(const char *path)
{
    FILE *file = path == NULL ? NULL : fopen(path, "w");
    if (path != NULL && file == NULL) {
        fprintf(stderr, "sim: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    return file;
}

static void close_output(FILE *file, const char *path)
{
    if (file != NULL && fclose(file) != 0) {
        fprintf(stderr, "sim: %s: %s\n", path, strerror(errno));
        exit(2);
    }
}

static void make_plan(const struct arguments *arguments, uint64_t seed, struct sim_options *options,
                      struct sim_plan *plan)
{
    enum raft_order order = sim_order(seed);
    if (arguments->order != NULL) {
        order = strcmp(arguments->order, "strict") == 0 ? RAFT_ORDER_STRICT : RAFT_ORDER_PARALLEL;
    }
    sim_swarm(options, plan, seed, order, arguments->operations, arguments->faults);
}

static void run_seed(const struct arguments *arguments, uint64_t seed, struct sim_result *result)
{
    static struct sim_options options;
    static struct sim_plan plan;
    static struct sim_frames frames; // of all seeds that this process runs
    frames.directory = arguments->frames;
    make_plan(arguments, seed, &options, &plan);
    if (arguments->keep != NULL) {
        keep_only(&plan, arguments->keep);
    }
    struct sim_run_options run = {.crash_at_io = arguments->crash_at_io,
                                  .history = open_output(arguments->history),
                                  .trace = open_output(arguments->trace),
                                  .frames = arguments->frames == NULL ? NULL : &frames,
                                  .is_verbose = arguments->is_verbose};
    sim_run(&options, &plan, &run, result);
    close_output(run.history, arguments->history);
    close_output(run.trace, arguments->trace);
}

static uint32_t count_kept(const struct sim_plan *plan)
{
    uint32_t kept = 0;
    for (uint32_t at = 0; at < plan->count; at++) {
        kept += !plan->faults[at].is_left_out;
    }
    return kept;
}

// Leaves out runs of faults, halving their length, as long as the same invariant breaks (Zeller's
// ddmin, 2002, without complements).
static void minimise(const struct arguments *arguments, uint64_t seed,
                     const struct sim_result *failed)
{
    static struct sim_options options;
    static struct sim_plan plan, fewer;
    const struct sim_run_options run = {.crash_at_io = arguments->crash_at_io};
    struct sim_result result;
    make_plan(arguments, seed, &options, &plan);
    for (uint32_t length = plan.count; length > 0; length /= 2) {
        for (uint32_t first = 0; first < plan.count; first += length) {
            fewer = plan;
            for (uint32_t at = first; at < first + length && at < plan.count; at++) {
                fewer.faults[at].is_left_out = true;
            }
            if (count_kept(&fewer) == count_kept(&plan)) {
                continue;
            }
            sim_run(&options, &fewer, &run, &result);
            if (result.end == SIM_FAILED && strcmp(result.invariant, failed->invariant) == 0) {
                plan = fewer;
            }
            fprintf(stderr, "\rminimise: %u of %u faults are left ", count_kept(&plan), plan.count);
        }
    }
    fprintf(stderr, "\n");
    report_minimal(&options, &plan, seed);
}

// ------------------------------------------------------------------------------------------------
// many seeds

struct shared { // between the jobs
    struct report_totals totals[JOBS_MAX];
    uint64_t next_seed, end_s;      // end_s: of --seconds
    uint64_t seed_of[JOBS_MAX];     // running there
    uint64_t seed_from_s[JOBS_MAX]; // ... since
    bool has_failed;
    struct sim_result lines[]; // of --lines, by seed; a run that ended has events
};

static uint64_t seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec;
}

static bool is_over(const struct arguments *arguments, const struct shared *shared)
{
    return (arguments->stops && shared->has_failed) || seconds() >= shared->end_s;
}

static void work(const struct arguments *arguments, struct shared *shared, uint32_t job)
{
    struct sim_result result;
    while (!is_over(arguments, shared)) {
        uint64_t seed = __atomic_fetch_add(&shared->next_seed, 1, __ATOMIC_RELAXED);
        if (seed > arguments->last) {
            break;
        }
        shared->seed_of[job] = seed;
        shared->seed_from_s[job] = seconds();
        run_seed(arguments, seed, &result);
        report_add(&shared->totals[job], &result);
        shared->has_failed |= result.end == SIM_FAILED;
        if (arguments->shows_lines) {
            shared->lines[seed - arguments->first] = result;
        } else if (result.end == SIM_FAILED) {
            report_line(stdout, seed, &result);
            fflush(stdout);
        }
    }
    report_add_marks(&shared->totals[job]);
}

static pid_t start(const struct arguments *arguments, struct shared *shared, uint32_t job)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        work(arguments, shared, job);
        exit(0);
    }
    if (child < 0) {
        perror("sim: fork");
        exit(2);
    }
    shared->seed_from_s[job] = seconds();
    return child;
}

static void show_progress(const struct arguments *arguments, const struct shared *shared)
{
    struct report_totals totals;
    bool is_terminal = isatty(STDERR_FILENO);
    report_sum(&totals, shared->totals, arguments->jobs);
    fprintf(stderr, "%ssim: %lu seeds, %lu operations, %lu failed %s", is_terminal ? "\r" : "",
            totals.runs, totals.operations, totals.failed, is_terminal ? "" : "\n");
}

// A job that died takes its seed with it; another goes on with the next one. Result: still running.
static bool look_after(const struct arguments *arguments, struct shared *shared, uint32_t job,
                       pid_t *child)
{
    int status;
    if (arguments->seconds > 0 && seconds() > shared->seed_from_s[job] + HANG_S) {
        kill(*child, SIGKILL);
    }
    if (waitpid(*child, &status, WNOHANG) == 0) {
        return true;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return false;
    }
    printf("seed=%lu: a job ended with status %d\n", shared->seed_of[job], status);
    shared->totals[job].runs++;
    shared->totals[job].failed++;
    shared->has_failed = true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) { // an output that cannot be written
        shared->end_s = 0;
        return false;
    }
    *child = start(arguments, shared, job);
    return true;
}

static void run_jobs(const struct arguments *arguments, struct shared *shared)
{
    pid_t children[JOBS_MAX];
    bool is_running[JOBS_MAX];
    uint64_t shown_s = seconds();
    uint32_t left = arguments->jobs;
    for (uint32_t job = 0; job < arguments->jobs; job++) {
        children[job] = start(arguments, shared, job);
        is_running[job] = true;
    }
    while (left > 0) {
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
        for (uint32_t job = 0; job < arguments->jobs; job++) {
            if (is_running[job] && !look_after(arguments, shared, job, &children[job])) {
                is_running[job] = false;
                left--;
            }
        }
        uint64_t every_s = isatty(STDERR_FILENO) ? 1 : PROGRESS_EVERY_S;
        if ((every_s == 1 || arguments->seconds > 0) && seconds() >= shown_s + every_s) {
            shown_s = seconds();
            show_progress(arguments, shared);
        }
    }
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\n");
    }
}

static void show_lines(const struct arguments *arguments, const struct shared *shared)
{
    for (uint64_t at = 0; at <= arguments->last - arguments->first; at++) {
        if (shared->lines[at].events > 0) {
            report_line(stdout, arguments->first + at, &shared->lines[at]);
        }
    }
}

static int run_range(const struct arguments *arguments)
{
    uint64_t lines = arguments->shows_lines ? arguments->last - arguments->first + 1 : 0;
    uint64_t bytes = sizeof(struct shared) + lines * sizeof(struct sim_result);
    struct shared *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (shared == MAP_FAILED) {
        perror("sim: mmap");
        return 2;
    }
    uint64_t began = seconds();
    shared->next_seed = arguments->first;
    shared->end_s = arguments->seconds == 0 ? UINT64_MAX : began + arguments->seconds;
    run_jobs(arguments, shared);
    if (arguments->shows_lines) {
        show_lines(arguments, shared);
    }
    struct report_totals totals;
    report_sum(&totals, shared->totals, arguments->jobs);
    bool has_all = report_summary(&totals, seconds() - began, arguments->shows_marks,
                                  arguments->required_marks != NULL);
    return totals.failed > 0 || !has_all;
}

int main(int count, char **words)
{
    const struct arguments arguments = parse(count, words);
    struct sim_result result;
    if (arguments.shows_plan) {
        static struct sim_options options;
        static struct sim_plan plan;
        make_plan(&arguments, arguments.first, &options, &plan);
        report_plan(&options, &plan);
        return 0;
    }
    if (arguments.is_range) {
        return run_range(&arguments);
    }
    run_seed(&arguments, arguments.first, &result);
    report_line(stdout, arguments.first, &result);
    if (arguments.shows_marks) {
        struct report_totals totals = {0};
        report_add(&totals, &result);
        report_add_marks(&totals);
        report_summary(&totals, 0, true, false);
    }
    if (result.end == SIM_FAILED && arguments.minimises) {
        minimise(&arguments, arguments.first, &result);
    }
    return result.end == SIM_FAILED;
}
