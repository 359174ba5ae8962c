// Help and man page, printed from the command table.
#include "drivers/cli/cli.h"

#include <stdio.h>
#include <string.h>

static const char *const description = "Pontoon replicates logs with Raft over DPDK ports. Nodes "
                                       "and clients share one configuration file; "
                                       "config/cluster.yaml is the sample.";

static const struct {
    enum cli_exit code;
    const char *meaning;
} exits[] = {
    {CLI_OK, "done"},
    {CLI_FAILED, "failed, for none of the reasons below"},
    {CLI_USAGE, "unknown command or option, or a value out of range"},
    {CLI_CONFIGURATION, "the configuration is refused"},
    {CLI_ENVIRONMENT, "the machine: a permission, hugepages, a device or port is missing"},
    {CLI_DIRECTORY, "the log directory is unreadable, foreign or full"},
    {CLI_UNAVAILABLE, "the cluster or node did not answer in time"},
    {CLI_MISMATCH, "verification found a difference"},
};

void cli_help_overview(void)
{
    printf("usage: pontoon COMMAND [OPTION]...\n\n");
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        printf("  %-16s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
    }
    printf("\n`pontoon help COMMAND` explains one, `pontoon help --man | man -l -` shows "
           "everything.\n");
}

static void print_usage(const struct cli_command *command)
{
    printf("pontoon %s%s%s%s%s", command->name, command->option_count != 0 ? " [OPTION]..." : "",
           command->operands != NULL ? " " : "", command->operands != NULL ? command->operands : "",
           command->takes_eal ? " [-- EAL ARGUMENT...]" : "");
}

// "-c, --config FILE"
static void option_text(const struct cli_option *option, char *text, size_t bytes)
{
    char letter[8] = "";
    if (option->letter != 0) {
        snprintf(letter, sizeof(letter), "-%c, ", option->letter);
    }
    snprintf(text, bytes, "%s--%s%s%s", letter, option->name, option->argument != NULL ? " " : "",
             option->argument != NULL ? option->argument : "");
}

// ": words" or ", default X" behind the summary.
static void print_option_rest(const struct cli_option *option)
{
    if (option->kind == CLI_WORD) {
        printf(": %s", option->words);
    }
    if (option->fallback != NULL) {
        printf(" (default %s)", option->fallback);
    }
    if (option->is_required) {
        printf(" (required)");
    }
    printf("\n");
}

void cli_help_command(const struct cli_command *command)
{
    char text[64];
    printf("usage: ");
    print_usage(command);
    printf("\n\n%s.\n", command->summary);
    if (command->details != NULL) {
        printf("\n%s\n", command->details);
    }
    if (command->option_count != 0) {
        printf("\n");
    }
    for (size_t i = 0; i < command->option_count; i++) {
        option_text(&command->options[i], text, sizeof(text));
        printf("  %-24s %s", text, command->options[i].summary);
        print_option_rest(&command->options[i]);
    }
}

// --------------------------------------------------------------------------------------- man page

// Prints text as roff: backslashes and dashes escaped, no line begins with a control character.
static void print_roff(const char *text)
{
    bool is_line_start = true;
    for (const char *c = text; *c != '\0'; c++) {
        if (is_line_start && (*c == '.' || *c == '\'')) {
            printf("\\&");
        }
        if (*c == '\\') {
            printf("\\e");
        } else if (*c == '-') {
            printf("\\-");
        } else {
            putchar(*c);
        }
        is_line_start = *c == '\n';
    }
}

static void print_man_command(const struct cli_command *command)
{
    char text[64];
    printf(".SS pontoon %s\n", command->name);
    printf("Usage: \\fB");
    print_usage(command);
    printf("\\fR\n.PP\n");
    print_roff(command->summary);
    printf(".\n");
    if (command->details != NULL) {
        printf(".PP\n");
        print_roff(command->details);
        printf("\n");
    }
    for (size_t i = 0; i < command->option_count; i++) {
        option_text(&command->options[i], text, sizeof(text));
        printf(".TP\n\\fB");
        print_roff(text);
        printf("\\fR\n");
        print_roff(command->options[i].summary);
        print_option_rest(&command->options[i]);
    }
}

void cli_help_man(void)
{
    printf(".TH PONTOON 1 \"\" \"pontoon %s\" \"User Commands\"\n", PONTOON_VERSION);
    printf(".SH NAME\npontoon \\- Raft replication over DPDK\n");
    printf(".SH SYNOPSIS\n\\fBpontoon\\fR COMMAND [OPTION]...\n");
    printf(".SH DESCRIPTION\n");
    print_roff(description);
    printf("\n.SH COMMANDS\n");
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        print_man_command(cli_commands[i]);
    }
    printf(".SH EXIT STATUS\n");
    for (size_t i = 0; i < sizeof(exits) / sizeof(exits[0]); i++) {
        printf(".TP\n%d\n%s\n", exits[i].code, exits[i].meaning);
    }
}
