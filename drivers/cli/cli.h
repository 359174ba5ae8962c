// What the commands of the `pontoon` program share. To add a command: describe it in a
// command_NAME.c, declare and list it in cli_commands.c, and add the file to meson.build.
#ifndef PONTOON_DRIVERS_CLI_CLI_H
#define PONTOON_DRIVERS_CLI_CLI_H

#include "drivers/cli/cli_options.h"
#include "engine/pontoon.h"

// Exit status. Stable numbers, documented in README.md.
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,        // none of the others
    CLI_USAGE = 2,         // unknown command or option, value out of range
    CLI_CONFIGURATION = 3, // the configuration is refused
    CLI_ENVIRONMENT = 4,   // permission, hugepages, device, port
    CLI_DIRECTORY = 5,     // log directory unreadable, foreign, full
    CLI_UNAVAILABLE = 6,   // the cluster or node did not answer in time
    CLI_MISMATCH = 7,      // verification found a difference
};

// All commands, in the order of `pontoon help`. Ends with NULL.
extern const struct cli_command *const cli_commands[];

// Prints "pontoon COMMAND: ..." to stderr. Result: `code`.
int cli_fail(const struct cli_arguments *arguments, enum cli_exit code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Adds the EAL arguments behind "--" to those of the file. CLI_OK, or CLI_USAGE (reported).
int cli_add_eal(const struct cli_arguments *arguments, struct pontoon_config *config);

// Options that mean the same in every command.
#define CLI_OPTION_CONFIG                                                                          \
    {                                                                                              \
        .name = "config", .letter = 'c', .kind = CLI_TEXT, .argument = "FILE",                     \
        .is_required = true, .summary = "configuration of the cluster"                             \
    }
#define CLI_OPTION_ID                                                                              \
    {                                                                                              \
        .name = "id", .letter = 'i', .kind = CLI_NUMBER, .argument = "N", .min = 1, .max = 64,     \
        .is_required = true, .summary = "which node of the configuration this is"                  \
    }
#define CLI_OPTION_ONE_ID(text)                                                                    \
    {                                                                                              \
        .name = "id", .letter = 'i', .kind = CLI_NUMBER, .argument = "N", .min = 1, .max = 64,     \
        .summary = text                                                                            \
    }
#define CLI_OPTION_CLIENT                                                                          \
    {                                                                                              \
        .name = "client", .kind = CLI_NUMBER, .argument = "K", .min = 1,                           \
        .max = PONTOON_CLIENTS_MAX, .fallback = "1",                                               \
        .summary = "which client place of the configuration to use"                                \
    }
#define CLI_OPTION_LINK                                                                            \
    {                                                                                              \
        .name = "link", .kind = CLI_WORD, .argument = "KIND", .words = "memif|af_packet|udp",      \
        .fallback = "memif", .summary = "how the processes are joined"                             \
    }
#define CLI_OPTION_DIRECTORY                                                                       \
    {                                                                                              \
        .name = "directory", .kind = CLI_TEXT, .argument = "DIR", .fallback = "/var/tmp",          \
        .summary = "where the nodes keep their logs"                                               \
    }
#define CLI_OPTION_JSON                                                                            \
    {                                                                                              \
        .name = "json", .letter = 'j', .kind = CLI_FLAG, .summary = "print JSON"                   \
    }

// Help, to stdout: all commands; one command; the man page in roff.
void cli_help_overview(void);
void cli_help_command(const struct cli_command *command);
void cli_help_man(void);

// Finds the command that argv[0] (and argv[1]) name. *words: how many of them. NULL: none.
const struct cli_command *cli_find(int argc, char **argv, int *words);

#endif
