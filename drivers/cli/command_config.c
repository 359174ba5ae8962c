// pontoon config check | show | knobs: configurations without running anything.
#include "drivers/cli/cli.h"

#include <inttypes.h>
#include <stdio.h>

#include "drivers/bundle/settings.h"

enum { REASON_BYTES = 512 };

static const struct cli_option member_options[] = {
    CLI_OPTION_ONE_ID("as this node (default: every node and client)"),
    {.name = "client",
     .kind = CLI_NUMBER,
     .argument = "K",
     .min = 1,
     .max = PONTOON_CLIENTS_MAX,
     .summary = "as this client"},
};

// Loads for the member that the options name, or for none in particular.
static int load(const struct cli_arguments *arguments, struct pontoon_config *config)
{
    const char *path = arguments->operands[0];
    char reason[REASON_BYTES];
    uint16_t node = cli_is_given(arguments, "id") ? (uint16_t)cli_number(arguments, "id") : 0;
    uint16_t client =
        cli_is_given(arguments, "client") ? (uint16_t)cli_number(arguments, "client") : 0;
    int result = node == 0 && client == 0
                     ? settings_load_cluster(config, path, reason, sizeof(reason))
                     : pontoon_config_load(config, path, node, client, reason, sizeof(reason));
    return result == 0 ? CLI_OK : cli_fail(arguments, CLI_CONFIGURATION, "%s", reason);
}

static int check_run(const struct cli_arguments *arguments)
{
    static struct pontoon_config config;
    int result = load(arguments, &config);
    if (result != CLI_OK) {
        return result;
    }
    printf("%s: ok, %u nodes, %u clients, %u groups\n", arguments->operands[0], config.node_count,
           config.client_count, config.groups);
    if (config.node_count % 2 == 0) {
        printf("%s: note: %u nodes survive no more failures than %u\n", arguments->operands[0],
               config.node_count, config.node_count - 1);
    }
    return CLI_OK;
}

const struct cli_command command_config_check = {
    .name = "config check",
    .summary = "Checks a configuration for every node and client in it",
    .operands = "FILE",
    .operands_min = 1,
    .operands_max = 1,
    .options = member_options,
    .option_count = sizeof(member_options) / sizeof(member_options[0]),
    .run = check_run,
};

// ------------------------------------------------------------------------------------------- show

static void show_value(const struct settings_knob *knob, const struct pontoon_config *config)
{
    char text[SETTINGS_VALUE_BYTES];
    if (settings_value_text(knob, config, text)) {
        printf("%s: %s\n", knob->key, text);
    }
}

static void show_member(const char *what, const struct pontoon_member *member)
{
    char address[16];
    printf("%s %u: %s\n", what, member->id, settings_address_text(member->ipv4, address));
    for (uint32_t i = 0; i < member->link_count; i++) {
        const struct pontoon_link *link = &member->links[i];
        printf("  link %u: %s %s/%u frame_bytes %u nodes", i,
               link->device[0] != '\0' ? link->device : "udp",
               settings_address_text(link->ipv4, address), link->prefix_bits, link->frame_bytes);
        for (unsigned id = 1; id <= 64; id++) {
            if ((link->nodes >> (id - 1) & 1) != 0) {
                printf(" %u", id);
            }
        }
        printf("\n");
    }
}

static int show_run(const struct cli_arguments *arguments)
{
    static struct pontoon_config config;
    int result = load(arguments, &config);
    if (result != CLI_OK) {
        return result;
    }
    for (size_t i = 0; i < settings_top_knobs.count; i++) {
        if (settings_knob_is_config(&settings_top_knobs.knobs[i])) {
            show_value(&settings_top_knobs.knobs[i], &config);
        }
    }
    for (uint32_t i = 0; i < config.node_count; i++) {
        show_member("node", &config.nodes[i]);
    }
    for (uint32_t i = 0; i < config.client_count; i++) {
        show_member("client", &config.clients[i]);
    }
    return CLI_OK;
}

const struct cli_command command_config_show = {
    .name = "config show",
    .summary = "Prints what a configuration comes to: every setting, every link",
    .operands = "FILE",
    .operands_min = 1,
    .operands_max = 1,
    .options = member_options,
    .option_count = sizeof(member_options) / sizeof(member_options[0]),
    .run = show_run,
};

// ------------------------------------------------------------------------------------------ knobs

static void print_range(const struct settings_knob *knob)
{
    char min[32], max[32];
    switch (knob->kind) {
    case SETTINGS_NUMBER:
        if (knob->max == UINT64_MAX) {
            printf("%" PRIu64 " to 2^64 - 1", knob->min);
        } else {
            printf("%" PRIu64 " to %" PRIu64, knob->min, knob->max);
        }
        break;
    case SETTINGS_DURATION:
        printf("%s to %s", settings_duration_text(knob->min, min),
               settings_duration_text(knob->max, max));
        break;
    case SETTINGS_SWITCH:
        printf("true, false");
        break;
    case SETTINGS_WORD:
    case SETTINGS_WORDS:
        for (const struct settings_word *word = knob->words; word->name != NULL; word++) {
            printf("%s%s", word == knob->words ? "" : ", ", word->name);
        }
        break;
    case SETTINGS_TEXT:
        printf("up to %zu bytes", knob->bytes - 1);
        break;
    case SETTINGS_ADDRESS:
        printf("IPv4");
        break;
    case SETTINGS_IDS:
    case SETTINGS_CORES:
        printf("list of numbers");
        break;
    case SETTINGS_LIST:
        printf("list");
        break;
    }
}

// `defaults` holds what the init function of the table's structure wrote.
static void print_table(const char *title, const struct settings_knobs *knobs, const void *defaults)
{
    char text[SETTINGS_VALUE_BYTES];
    printf("### %s\n\n| setting | values | default | meaning |\n|---|---|---|---|\n", title);
    for (size_t i = 0; i < knobs->count; i++) {
        const struct settings_knob *knob = &knobs->knobs[i];
        printf("| `%s` | ", knob->key);
        print_range(knob);
        if (knob->derived != NULL) {
            printf(" | %s", knob->derived);
        } else {
            printf(" | %s", settings_value_text(knob, defaults, text) ? text : "none");
        }
        printf(" | %s |\n", knob->meaning);
    }
    printf("\n");
}

static int knobs_run(const struct cli_arguments *arguments)
{
    static struct settings_file file;
    static const struct settings_member member;
    static const struct settings_link link;
    struct settings_impair impair = {0};
    (void)arguments;
    settings_knobs_init(&settings_top_knobs, &file);
    settings_knobs_init(&settings_impair_knobs, &impair);
    print_table("The file", &settings_top_knobs, &file);
    print_table("An item of `nodes` and `clients`", &settings_member_knobs, &member);
    print_table("An item of `links`", &settings_link_knobs, &link);
    print_table("An item of `impair`", &settings_impair_knobs, &impair);
    return CLI_OK;
}

const struct cli_command command_config_knobs = {
    .name = "config knobs",
    .summary = "Prints the table of all settings (Markdown), as in config/README.md",
    .run = knobs_run,
};
