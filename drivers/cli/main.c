// The `pontoon` program: finds the command, parses its options, runs it.
#include "drivers/cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/assert.h"

static void print_assertion(const char *file, int line, const char *expression, uint64_t left,
                            uint64_t right)
{
    char text[512];
    int bytes = snprintf(text, sizeof(text),
                         "pontoon: assertion failed at %s:%d: %s (%" PRIu64 ", %" PRIu64
                         "). This is a bug.\n",
                         file, line, expression, left, right);
    size_t wanted = bytes < (int)sizeof(text) ? (size_t)bytes : sizeof(text) - 1;
    if (write(STDERR_FILENO, text, wanted) < 0) {
        return; // the trap that follows says it too
    }
}

int cli_fail(const struct cli_arguments *arguments, enum cli_exit code, const char *format, ...)
{
    va_list rest;
    fflush(stdout);
    fprintf(stderr, "pontoon %s: ", arguments->command->name);
    va_start(rest, format);
    vfprintf(stderr, format, rest);
    va_end(rest);
    fputc('\n', stderr);
    return (int)code;
}

int cli_add_eal(const struct cli_arguments *arguments, struct pontoon_config *config)
{
    size_t used = strlen(config->eal);
    for (uint32_t at = 0; at < arguments->eal_count; at++) {
        int count =
            snprintf(config->eal + used, sizeof(config->eal) - used, " %s", arguments->eal[at]);
        if (count < 0 || (size_t)count >= sizeof(config->eal) - used) {
            return cli_fail(arguments, CLI_USAGE, "too many EAL arguments");
        }
        used += (size_t)count;
    }
    return CLI_OK;
}

static int refuse_command(int argc, char **argv)
{
    if (argc == 0) {
        fprintf(stderr, "pontoon: which command? `pontoon help` lists them\n");
    } else {
        fprintf(stderr, "pontoon: there is no command \"%.60s\"; `pontoon help` lists them\n",
                argv[0]);
    }
    return CLI_USAGE;
}

// --parse-only in front of the command: only checks that its options parse (tests/tidy does this to
// every README).
int main(int argc, char **argv)
{
    struct cli_arguments arguments;
    char reason[CLI_REASON_BYTES] = "";
    int words;
    assert_set_handler(print_assertion);
    argc--;
    argv++;
    bool is_parse_only = argc > 0 && strcmp(argv[0], "--parse-only") == 0;
    argc -= is_parse_only;
    argv += is_parse_only;
    if (argc > 0 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
        argv[0] = "help";
    }
    if (argc > 0 && strcmp(argv[0], "--version") == 0) {
        argv[0] = "version";
    }
    const struct cli_command *command = cli_find(argc, argv, &words);
    if (command == NULL) {
        return refuse_command(argc, argv);
    }
    // getopt takes its first argument for the program's name: the last word of the command stands
    // there.
    int result = cli_parse(command, argc - words + 1, argv + words - 1, &arguments, reason);
    if (result == 1) {
        cli_help_command(command);
        return CLI_OK;
    }
    if (result != 0) {
        return cli_fail(&arguments, CLI_USAGE, "%s; `pontoon help %s` explains", reason,
                        command->name);
    }
    return is_parse_only ? CLI_OK : command->run(&arguments);
}
