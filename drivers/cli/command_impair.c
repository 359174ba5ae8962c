// pontoon impair: shows and changes the faults that running nodes inject, at once or by a script in
// time.
#include "drivers/cli/cli.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "drivers/bundle/settings.h"
#include "drivers/cli/control.h"
#include "drivers/cli/impair_words.h"

enum { REASON_BYTES = 512, STEPS_MAX = 4096, LINE_BYTES = IMPAIR_TEXT_BYTES + 64 };

#define SECONDS_MAX 1e6

static const struct cli_option options[] = {
    CLI_OPTION_CONFIG,
    CLI_OPTION_ONE_ID("only this node (default: every node of the configuration)"),
    {.name = "script",
     .letter = 's',
     .kind = CLI_TEXT,
     .argument = "FILE",
     .summary = "change them in time, as the lines of the file say"},
};

// A line of a script.
struct step {
    uint64_t at_ns;
    uint16_t node; // 0: every node
    char words[IMPAIR_TEXT_BYTES];
};

static bool has_node(const struct pontoon_config *config, uint16_t id)
{
    for (uint32_t at = 0; at < config->node_count; at++) {
        if (config->nodes[at].id == id) {
            return true;
        }
    }
    return false;
}

// ------------------------------------------------------------------------------------------- nodes

static void print_rules(uint16_t id, const json_t *rules)
{
    size_t at;
    const json_t *rule;
    json_array_foreach(rules, at, rule)
    {
        printf("node %u: %s\n", id, json_string_value(rule));
    }
    if (json_array_size(rules) == 0) {
        printf("node %u: no faults\n", id);
    }
}

// Asks one node to change what `words` say; NULL: only to show. CLI_OK, or the reason is filled.
static int ask_node(const char *path, uint16_t id, const char *words, bool is_shown, char *reason)
{
    static struct pontoon_config config;
    char socket[PONTOON_PATH_BYTES + 16], request[IMPAIR_TEXT_BYTES + 16], *answer = NULL;
    if (pontoon_config_load(&config, path, id, 0, reason, REASON_BYTES) != 0) {
        return CLI_CONFIGURATION;
    }
    control_path(&config, socket, sizeof(socket));
    snprintf(request, sizeof(request), "impair%s%s", words == NULL ? "" : " ",
             words == NULL ? "" : words);
    int error = control_ask(socket, request, &answer);
    json_t *said = error == 0 ? json_loads(answer, 0, NULL) : NULL;
    const char *refusal = json_string_value(json_object_get(said, "error"));
    int code = CLI_OK;
    free(answer);
    if (said == NULL) {
        snprintf(reason, REASON_BYTES, "no answer on %s: %s", socket,
                 strerror(error == 0 ? EPROTO : -error));
        code = CLI_UNAVAILABLE;
    } else if (refusal != NULL) {
        snprintf(reason, REASON_BYTES, "%s", refusal);
        code = CLI_FAILED;
    } else if (is_shown) {
        print_rules(id, json_object_get(said, "impairments"));
    }
    json_decref(said);
    return code;
}

// The same to one node, or to all that are not the peer itself. Every node is asked; the result is
// the first failure.
static int ask_nodes(const struct cli_arguments *arguments, const struct pontoon_config *cluster,
                     uint16_t only, const char *words, bool is_shown)
{
    struct impair_words read;
    char reason[REASON_BYTES];
    int result = CLI_OK;
    uint16_t peer = 0;
    if (words != NULL && impair_words_read(words, &read, reason, sizeof(reason)) == 0) {
        peer = read.rule.node;
    }
    for (uint32_t at = 0; at < cluster->node_count; at++) {
        uint16_t id = cluster->nodes[at].id;
        if (only != 0 ? only != id : id == peer) {
            continue;
        }
        int code = ask_node(cli_text(arguments, "config"), id, words, is_shown, reason);
        if (code != CLI_OK) {
            cli_fail(arguments, (enum cli_exit)code, "node %u: %s", id, reason);
            result = result == CLI_OK ? code : result;
        }
    }
    return result;
}

// Are these words that the cluster has nodes for? 0, or a reason.
static int check_words(const struct pontoon_config *cluster, uint16_t node, const char *words,
                       char *reason, size_t reason_bytes)
{
    struct impair_words read;
    int result = impair_words_read(words, &read, reason, reason_bytes);
    if (result == 0 && node != 0 && !has_node(cluster, node)) {
        snprintf(reason, reason_bytes, "there is no node %u", node);
        result = -EINVAL;
    }
    if (result == 0 && read.rule.node != 0 && !has_node(cluster, read.rule.node)) {
        snprintf(reason, reason_bytes, "peer: there is no node %u", read.rule.node);
        result = -EINVAL;
    }
    if (result == 0 && node != 0 && read.rule.node == node) {
        snprintf(reason, reason_bytes, "node %u does not talk to itself; name another peer", node);
        result = -EINVAL;
    }
    return result;
}

// ------------------------------------------------------------------------------------------ script

// "at SECONDS node N|all WORDS"
static int read_step(const struct pontoon_config *cluster, const char *line, struct step *step,
                     char *reason, size_t reason_bytes)
{
    char node[16], *end;
    double seconds;
    int words_at = 0;
    if (sscanf(line, " at %lf node %15s %n", &seconds, node, &words_at) != 2 || words_at == 0 ||
        !(seconds >= 0 && seconds <= SECONDS_MAX)) {
        snprintf(reason, reason_bytes, "give at SECONDS node N|all [peer N] [in|out] KEY=VALUE...");
        return -EINVAL;
    }
    unsigned long id = strtoul(node, &end, 10);
    if (strcmp(node, "all") != 0 && (*end != '\0' || id < 1 || id > 64)) {
        snprintf(reason, reason_bytes, "node: \"%s\" is no node; give its id, or all", node);
        return -EINVAL;
    }
    step->node = strcmp(node, "all") == 0 ? 0 : (uint16_t)id;
    step->at_ns = (uint64_t)llround(seconds * 1e9);
    if (snprintf(step->words, sizeof(step->words), "%s", line + words_at) >=
        (int)sizeof(step->words)) {
        snprintf(reason, reason_bytes, "too long");
        return -EINVAL;
    }
    return check_words(cluster, step->node, step->words, reason, reason_bytes);
}

// The whole file, before anything of it is done. Result: the number of steps, or -1 (reported).
static int read_script(const struct cli_arguments *arguments, const struct pontoon_config *cluster,
                       struct step *steps)
{
    const char *path = cli_text(arguments, "script");
    char line[LINE_BYTES], reason[REASON_BYTES] = "";
    unsigned number = 0;
    int count = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        cli_fail(arguments, CLI_USAGE, "%s: %s", path, strerror(errno));
        return -1;
    }
    while (reason[0] == '\0' && fgets(line, sizeof(line), file) != NULL) {
        number++;
        if (strchr(line, '\n') == NULL && !feof(file)) {
            snprintf(reason, sizeof(reason), "too long");
            break;
        }
        line[strcspn(line, "#\r\n")] = '\0';
        if (line[strspn(line, " \t")] == '\0') {
            continue;
        }
        if (count == STEPS_MAX) {
            snprintf(reason, sizeof(reason), "more than %d steps", STEPS_MAX);
        } else if (read_step(cluster, line, &steps[count], reason, sizeof(reason)) == 0) {
            if (count > 0 && steps[count].at_ns < steps[count - 1].at_ns) {
                snprintf(reason, sizeof(reason), "is before the line above; sort them by time");
            }
            count++;
        }
    }
    fclose(file);
    if (reason[0] != '\0') {
        cli_fail(arguments, CLI_USAGE, "%s:%u: %s", path, number, reason);
        return -1;
    }
    return count;
}

static void sleep_until(const struct timespec *began, uint64_t at_ns)
{
    struct timespec until = {.tv_sec = began->tv_sec + (time_t)(at_ns / 1000000000),
                             .tv_nsec = began->tv_nsec + (long)(at_ns % 1000000000)};
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
    }
}

// A node that does not answer (a test may have killed it) does not stop the others.
static int run_script(const struct cli_arguments *arguments, const struct pontoon_config *cluster)
{
    struct step *steps = calloc(STEPS_MAX, sizeof(*steps));
    struct timespec began;
    int result = CLI_OK, count = -1;
    if (steps == NULL) {
        return cli_fail(arguments, CLI_FAILED, "no memory");
    }
    count = read_script(arguments, cluster, steps);
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (int at = 0; at < count; at++) {
        char node[8] = "all";
        if (steps[at].node != 0) {
            snprintf(node, sizeof(node), "%u", steps[at].node);
        }
        sleep_until(&began, steps[at].at_ns);
        int code = ask_nodes(arguments, cluster, steps[at].node, steps[at].words, false);
        result = result == CLI_OK ? code : result;
        printf("%.3f s, %d of %d: node %s %s%s\n", (double)steps[at].at_ns / 1e9, at + 1, count,
               node, steps[at].words, code == CLI_OK ? "" : ": FAILED");
        fflush(stdout);
    }
    free(steps);
    return count < 0 ? CLI_USAGE : result;
}

// --------------------------------------------------------------------------------------- arguments

static int join_operands(const struct cli_arguments *arguments, char text[IMPAIR_TEXT_BYTES])
{
    size_t used = 0;
    for (uint32_t at = 0; at < arguments->operand_count; at++) {
        int bytes = snprintf(text + used, IMPAIR_TEXT_BYTES - used, "%s%s", at == 0 ? "" : " ",
                             arguments->operands[at]);
        used += (size_t)bytes;
        if (used >= IMPAIR_TEXT_BYTES) {
            return cli_fail(arguments, CLI_USAGE, "too many words; say less at once");
        }
    }
    return CLI_OK;
}

static int run(const struct cli_arguments *arguments)
{
    static struct pontoon_config cluster;
    char reason[REASON_BYTES], words[IMPAIR_TEXT_BYTES] = "";
    bool has_words = arguments->operand_count != 0, has_script = cli_is_given(arguments, "script");
    uint16_t only = cli_is_given(arguments, "id") ? (uint16_t)cli_number(arguments, "id") : 0;
    if (has_script && (has_words || only != 0)) {
        return cli_fail(arguments, CLI_USAGE, "--script says all itself; give nothing else");
    }
    if (settings_load_cluster(&cluster, cli_text(arguments, "config"), reason, sizeof(reason)) !=
        0) {
        return cli_fail(arguments, CLI_CONFIGURATION, "%s", reason);
    }
    if (has_script) {
        return run_script(arguments, &cluster);
    }
    int code = join_operands(arguments, words);
    if (code == CLI_OK && only != 0 && !has_node(&cluster, only)) {
        code = cli_fail(arguments, CLI_CONFIGURATION, "there is no node %u", only);
    }
    if (code == CLI_OK && has_words &&
        check_words(&cluster, only, words, reason, sizeof(reason)) != 0) {
        code = cli_fail(arguments, CLI_USAGE, "%s", reason);
    }
    return code != CLI_OK ? code
                          : ask_nodes(arguments, &cluster, only, has_words ? words : NULL, true);
}

const struct cli_command command_impair = {
    .name = "impair",
    .summary = "Shows and changes the network faults that running nodes inject",
    .operands = "[peer N|all] [in|out|both] [KEY=VALUE...|clear]",
    .operands_max = 24,
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .details =
        "Nodes must have been started with impair_runtime: true. The latest words that match a "
        "frame decide about it; clear lets such frames pass again. Without words the faults are "
        "shown. Keys are those of an item of impair in the configuration, directions are seen from "
        "the node that injects. A script has lines \"at SECONDS node N|all WORDS\", in order of "
        "time; # begins a comment. It is read whole before its first line is done.",
    .run = run,
};
