// pontoon help, pontoon version
#include "drivers/cli/cli.h"

#include <rte_version.h>
#include <stdio.h>

static int help_run(const struct cli_arguments *arguments)
{
    int words;
    if (cli_is_given(arguments, "man")) {
        cli_help_man();
        return CLI_OK;
    }
    if (arguments->operand_count == 0) {
        cli_help_overview();
        return CLI_OK;
    }
    const struct cli_command *command =
        cli_find((int)arguments->operand_count, arguments->operands, &words);
    if (command == NULL) {
        return cli_fail(arguments, CLI_USAGE,
                        "there is no command \"%.60s\"; `pontoon help` lists them",
                        arguments->operands[0]);
    }
    cli_help_command(command);
    return CLI_OK;
}

static const struct cli_option help_options[] = {
    {.name = "man",
     .kind = CLI_FLAG,
     .summary = "print the man page (roff): `pontoon help --man | man -l -`"},
};

const struct cli_command command_help = {
    .name = "help",
    .summary = "Lists the commands, or explains one",
    .operands = "[COMMAND]",
    .operands_max = 2,
    .options = help_options,
    .option_count = sizeof(help_options) / sizeof(help_options[0]),
    .run = help_run,
};

static int version_run(const struct cli_arguments *arguments)
{
    (void)arguments;
    printf("pontoon %s, %s\n", PONTOON_VERSION, rte_version());
    return CLI_OK;
}

const struct cli_command command_version = {
    .name = "version",
    .summary = "Prints the versions of Pontoon and DPDK",
    .run = version_run,
};
