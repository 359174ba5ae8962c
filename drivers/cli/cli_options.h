// What a command accepts. One table of options feeds parsing, `--help` and the man page.
//
// A command describes itself in a struct cli_command; cli_parse checks every argument against it,
// so that run() only meets values in range and may ask for an option by name without more checks.
#ifndef PONTOON_DRIVERS_CLI_CLI_OPTIONS_H
#define PONTOON_DRIVERS_CLI_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLI_OPTIONS_MAX = 32, CLI_REASON_BYTES = 256 };

enum cli_kind {
    CLI_FLAG,   // takes no argument
    CLI_NUMBER, // decimal, min..max
    CLI_TEXT,
    CLI_WORD, // one of `words`
};

struct cli_option {
    const char *name; // without the two dashes
    char letter;      // short form, or 0
    enum cli_kind kind;
    const char *argument; // its name in help: "FILE"; NULL for a FLAG
    const char *fallback; // used when not given; NULL: none
    const char *words;    // WORD: "memif|af_packet|udp"
    uint64_t min, max;    // NUMBER
    bool is_required;
    const char *summary; // one line, no full stop
};

struct cli_arguments;

struct cli_command {
    const char *name;     // one or two words: "status", "config check"
    const char *summary;  // one line, no full stop
    const char *operands; // as in usage: "FILE", "KEY [VALUE]"; NULL: none
    uint32_t operands_min, operands_max;
    bool takes_eal; // EAL arguments may follow "--"
    const struct cli_option *options;
    size_t option_count;
    const char *details; // a paragraph or more for help and man page; NULL: none
    int (*run)(const struct cli_arguments *arguments); // result: enum cli_exit
};

// What was given. Texts belong to argv or to the option table.
struct cli_arguments {
    const struct cli_command *command;
    // As options. FLAG: "" when given. NULL: not given, and no fallback.
    const char *values[CLI_OPTIONS_MAX];
    uint64_t given; // bit i: options[i] was given
    char **operands;
    uint32_t operand_count;
    char **eal; // behind "--"
    uint32_t eal_count;
};

// Parses what stands behind the command's name. 0; 1: help was asked for; -EINVAL with one line in
// `reason`. Reorders argv.
int cli_parse(const struct cli_command *command, int argc, char **argv,
              struct cli_arguments *arguments, char reason[static CLI_REASON_BYTES]);

// Values by option name; the name must be in the command's table. Numbers need a fallback, a
// required option or cli_is_given.
bool cli_is_given(const struct cli_arguments *arguments, const char *name);
uint64_t cli_number(const struct cli_arguments *arguments, const char *name);
const char *cli_text(const struct cli_arguments *arguments, const char *name); // NULL: not given

#endif
