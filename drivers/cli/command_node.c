// pontoon node: one member of a cluster, until SIGTERM or SIGINT.
#include "drivers/cli/cli.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "drivers/cli/control.h"
#include "drivers/cli/status_json.h"
#include "drivers/cli/telemetry.h"

enum { REASON_BYTES = 512, TELEMETRY_BYTES = 512 };

#define DRAIN_NS UINT64_C(2000000000)

static const struct cli_option options[] = {
    CLI_OPTION_CONFIG,
    CLI_OPTION_ID,
    {.name = "bootstrap",
     .kind = CLI_FLAG,
     .summary = "first start of this node: create its directory"},
    {.name = "quiet", .letter = 'q', .kind = CLI_FLAG, .summary = "print nothing but errors"},
};

static bool is_quiet;

static void print_role(void *context, uint16_t group, enum pontoon_role role, uint64_t term,
                       uint16_t leader)
{
    static enum pontoon_role last_role;
    static uint64_t last_term = UINT64_MAX;
    static uint16_t last_leader;
    const struct pontoon_config *config = context;
    // Whoever stands again and again, alone, is told of once.
    bool is_news = role != last_role || term != last_term || leader != last_leader;
    if (!is_quiet && group == 0 && is_news) {
        last_role = role;
        last_term = term;
        last_leader = leader;
        printf("node %u: %s in term %llu, leader %u\n", config->node, status_role_name(role),
               (unsigned long long)term, leader);
        fflush(stdout);
    }
}

static int code_of(int error)
{
    switch (-error) {
    case EINVAL:
        return CLI_CONFIGURATION;
    case ENOENT:
    case EEXIST:
    case EXDEV:
    case EBADMSG:
    case ENOSPC:
    case EOVERFLOW:
    case EBUSY:
    case EROFS:
    case ENOTDIR:
        return CLI_DIRECTORY;
    default:
        return CLI_ENVIRONMENT;
    }
}

static void wait_for_end(const sigset_t *signals)
{
    int signal;
    sigwait(signals, &signal);
    if (!is_quiet) {
        printf("%s: draining\n", strsignal(signal));
        fflush(stdout);
    }
}

static void offer_telemetry(struct pontoon *node)
{
    char how[TELEMETRY_BYTES];
    if (telemetry_start(node, how, sizeof(how)) == 0 && !is_quiet) {
        printf("telemetry: %s\n", how);
        fflush(stdout);
    }
}

static int serve(const struct cli_arguments *arguments, struct pontoon *node,
                 const struct pontoon_config *config, const sigset_t *signals)
{
    struct control *control;
    char reason[REASON_BYTES];
    int error = pontoon_start(node);
    if (error != 0) {
        return cli_fail(arguments, CLI_ENVIRONMENT, "threads: %s", strerror(-error));
    }
    error = control_start(node, config, &control, reason, sizeof(reason));
    if (error != 0) {
        return cli_fail(arguments, CLI_ENVIRONMENT, "%s", reason);
    }
    offer_telemetry(node);
    wait_for_end(signals);
    telemetry_stop();
    control_stop(control);
    error = pontoon_stop(node, DRAIN_NS);
    if (error != 0 && !is_quiet) {
        printf("stopped with work left: peers did not answer in time\n");
    }
    return CLI_OK;
}

// Durable groups have two checkpoint files each: many groups need more open files than is usual.
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int run(const struct cli_arguments *arguments)
{
    static struct pontoon_config config;
    char reason[REASON_BYTES];
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();

    is_quiet = cli_is_given(arguments, "quiet");
    int error =
        pontoon_config_load(&config, cli_text(arguments, "config"),
                            (uint16_t)cli_number(arguments, "id"), 0, reason, sizeof(reason));
    if (error != 0) {
        return cli_fail(arguments, CLI_CONFIGURATION, "%s", reason);
    }
    config.bootstrap = cli_is_given(arguments, "bootstrap");
    int code = cli_add_eal(arguments, &config);
    if (code != CLI_OK) {
        return code;
    }
    const struct pontoon_options node_options = {.role_change = print_role, .context = &config};
    struct pontoon *node;
    error = pontoon_open(&config, &node_options, &node, reason, sizeof(reason));
    if (error != 0) {
        return cli_fail(arguments, (enum cli_exit)code_of(error), "%s", reason);
    }
    if (!is_quiet) {
        printf("%s", pontoon_describe(node));
        fflush(stdout);
    }
    code = serve(arguments, node, &config, &signals);
    pontoon_close(node);
    return code;
}

const struct cli_command command_node = {
    .name = "node",
    .summary = "Runs one node of a cluster",
    .takes_eal = true,
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .details = "Runs until SIGTERM or SIGINT, which drain and close it. The first start of each "
               "node needs --bootstrap, "
               "and only that one. Arguments behind -- go to EAL.",
    .run = run,
};
