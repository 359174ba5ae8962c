// The table of commands, in the order of `pontoon help`.
#include "drivers/cli/cli.h"

#include <string.h>

extern const struct cli_command command_config_check, command_config_show, command_config_knobs,
    command_doctor, command_demo, command_node, command_status, command_help, command_version,
    command_kv_put, command_kv_get, command_kv_del, command_kv_cas, command_kv_load,
    command_kv_verify, command_block_create, command_block_status, command_block_serve,
    command_bench, command_bench_order, command_impair;

const struct cli_command *const cli_commands[] = {
    &command_demo,         &command_node,
    &command_status,       &command_kv_put,
    &command_kv_get,       &command_kv_del,
    &command_kv_cas,       &command_kv_load,
    &command_kv_verify,    &command_block_create,
    &command_block_status, &command_block_serve,
    &command_bench,        &command_bench_order,
    &command_impair,       &command_doctor,
    &command_config_check, &command_config_show,
    &command_config_knobs, &command_help,
    &command_version,      NULL,
};

// Does `name` ("config check") consist of the first words of argv? Result: how many words, or 0.
static int matching_words(const char *name, int argc, char **argv)
{
    size_t first = strcspn(name, " ");
    if (argc < 1 || strlen(argv[0]) != first || memcmp(argv[0], name, first) != 0) {
        return 0;
    }
    if (name[first] == '\0') {
        return 1;
    }
    return argc > 1 && strcmp(argv[1], name + first + 1) == 0 ? 2 : 0;
}

const struct cli_command *cli_find(int argc, char **argv, int *words)
{
    const struct cli_command *best = NULL;
    *words = 0;
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        int matching = matching_words(cli_commands[i]->name, argc, argv);
        if (matching > *words) {
            best = cli_commands[i];
            *words = matching;
        }
    }
    return best;
}
