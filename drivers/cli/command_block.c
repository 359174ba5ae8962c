// pontoon block create, status, serve: a replicated volume (app: block), and nbdkit in front of it.
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "drivers/app_block/block_command.h"
#include "drivers/cli/cli_client.h"

enum { PATH_BYTES = 4096, WORD_BYTES = 32 };

#define OPTION_GROUP                                                                               \
    {                                                                                              \
        .name = "group", .letter = 'g', .kind = CLI_NUMBER, .argument = "N", .min = 0,             \
        .max = PONTOON_GROUPS_MAX - 1, .fallback = "0", .summary = "which group's volume"          \
    }
#define OPTION_TIMEOUT                                                                             \
    {                                                                                              \
        .name = "timeout", .kind = CLI_NUMBER, .argument = "SECONDS", .min = 1, .max = 3600,       \
        .fallback = "30", .summary = "give up what is not answered after this"                     \
    }

static const struct cli_option create_options[] = {
    CLI_OPTION_CONFIG,
    CLI_OPTION_CLIENT,
    OPTION_GROUP,
    {.name = "size",
     .letter = 's',
     .kind = CLI_TEXT,
     .argument = "BYTES",
     .is_required = true,
     .summary = "of the volume; K, M, G and T behind the number are powers of 1024"},
    {.name = "block-bytes",
     .letter = 'b',
     .kind = CLI_WORD,
     .argument = "BYTES",
     .words = "512|4096",
     .fallback = "4096",
     .summary = "of a block: reads and writes are multiples of it"},
    OPTION_TIMEOUT,
};

static const struct cli_option status_options[] = {
    CLI_OPTION_CONFIG, CLI_OPTION_CLIENT, OPTION_GROUP, OPTION_TIMEOUT, CLI_OPTION_JSON,
};

static const struct cli_option serve_options[] = {
    CLI_OPTION_CONFIG,
    CLI_OPTION_CLIENT,
    OPTION_GROUP,
    {.name = "socket",
     .letter = 'U',
     .kind = CLI_TEXT,
     .argument = "PATH",
     .is_required = true,
     .summary = "Unix socket where NBD clients connect"},
    {.name = "hold",
     .kind = CLI_NUMBER,
     .argument = "SECONDS",
     .min = 0,
     .max = 86400,
     .fallback = "120",
     .summary = "a request fails when it had no answer for so long; 0: never"},
    {.name = "threads",
     .letter = 't',
     .kind = CLI_NUMBER,
     .argument = "N",
     .min = 1,
     .max = 256,
     .fallback = "64",
     .summary = "requests of one connection that are served at once"},
    {.name = "read-only", .letter = 'r', .kind = CLI_FLAG, .summary = "refuse writes"},
    {.name = "plugin",
     .kind = CLI_TEXT,
     .argument = "FILE",
     .summary = "nbdkit-pontoon-plugin.so (default: the one built or installed with this program)"},
};

static int open_client(struct cli_client *client, const struct cli_arguments *arguments)
{
    const struct pontoon_client_options client_options = {
        .depth_max = 1, .give_up_ns = cli_number(arguments, "timeout") * 1000000000};
    int code = cli_client_open(client, arguments, &client_options);
    uint64_t group = cli_number(arguments, "group");
    if (code == CLI_OK && group >= client->config.groups) {
        cli_client_close(client);
        code = cli_fail(arguments, CLI_USAGE, "group %" PRIu64 ": the configuration has %u", group,
                        client->config.groups);
    }
    return code;
}

// "64M" and the like. False: no such number, or too large for any volume.
static bool read_size(const char *text, uint64_t *bytes)
{
    static const char units[] = "KMGT";
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    const char *unit = *end == '\0' ? NULL : strchr(units, *end);
    unsigned shift = unit == NULL ? 0 : 10 * (unsigned)(unit - units + 1);
    bool is_number = text[0] >= '0' && text[0] <= '9' && errno == 0 &&
                     (*end == '\0' || (unit != NULL && end[1] == '\0'));
    *bytes = number << shift;
    return is_number && number <= BLOCK_VOLUME_BYTES_MAX >> shift;
}

static int create_run(const struct cli_arguments *arguments)
{
    static struct cli_client client;
    uint8_t payload[BLOCK_COMMAND_HEAD_BYTES];
    uint32_t value;
    struct block_command command = {
        .operation = BLOCK_CREATE,
        .block_bytes = (uint32_t)strtoul(cli_text(arguments, "block-bytes"), NULL, 10)};
    bool is_size = read_size(cli_text(arguments, "size"), &command.bytes);
    uint32_t bytes = block_command_encode(&command, payload, sizeof(payload));
    if (!is_size || bytes == 0) {
        return cli_fail(arguments, CLI_USAGE,
                        "--size %s: give a multiple of %u, up to 64T (64M, 10G, ...)",
                        cli_text(arguments, "size"), command.block_bytes);
    }
    int code = open_client(&client, arguments);
    if (code != CLI_OK) {
        return code;
    }
    uint16_t group = (uint16_t)cli_number(arguments, "group");
    code = cli_client_propose(&client, group, payload, bytes, &value);
    cli_client_close(&client);
    if (code == CLI_OK && value != BLOCK_OK) {
        return cli_fail(arguments, CLI_FAILED, "%s", block_command_result_name(value));
    }
    if (code == CLI_OK) {
        printf("group %u: a volume of %" PRIu64 " bytes, %" PRIu64 " blocks of %u bytes\n", group,
               command.bytes, command.bytes / command.block_bytes, command.block_bytes);
    }
    return code;
}

static int ask_info(struct cli_client *client, uint16_t group, struct block_info *info)
{
    uint8_t query[BLOCK_QUERY_BYTES];
    const struct block_query asked = {.kind = BLOCK_QUERY_INFO};
    int32_t answer_bytes;
    uint32_t bytes = block_command_encode_query(&asked, query, sizeof(query));
    int code = cli_client_read(client, group, query, bytes, info, sizeof(*info), &answer_bytes);
    if (code == CLI_OK && answer_bytes != BLOCK_INFO_BYTES) {
        code = cli_fail(client->arguments, CLI_CONFIGURATION,
                        "group %u has no volumes; its nodes run another app than block", group);
    }
    return code;
}

static void print_text(uint16_t group, const struct block_info *info,
                       const struct replicas *replicas)
{
    if (info->volume_bytes == 0) {
        printf("group %u: no volume yet; at most %" PRIu64 " MiB fit\n", group,
               info->capacity_bytes >> 20);
    } else {
        uint64_t blocks = info->volume_bytes / info->block_bytes;
        printf("group %u: a volume of %" PRIu64 " bytes, %" PRIu64 " blocks of %u bytes, %" PRIu64
               " used (%.1f %%)\n",
               group, info->volume_bytes, blocks, info->block_bytes, info->blocks_used,
               100.0 * (double)info->blocks_used / (double)blocks);
    }
    printf("  a write is answered when it is %s\n",
           info->is_durable ? "on a majority of disks" : "in the memory of a majority");
    if (replicas->verdict == REPLICAS_EQUAL) {
        printf("  replicas: equal, digest %016" PRIx64 "\n", replicas->digest);
    }
}

static void print_json(uint16_t group, const struct block_info *info,
                       const struct replicas *replicas)
{
    char digest[WORD_BYTES];
    snprintf(digest, sizeof(digest), "%016" PRIx64, replicas->digest);
    json_t *object = json_pack(
        "{s:i, s:I, s:i, s:I, s:I, s:b, s:b}", "group", (int)group, "bytes",
        (json_int_t)info->volume_bytes, "block_bytes", (int)info->block_bytes, "blocks_used",
        (json_int_t)info->blocks_used, "capacity_bytes", (json_int_t)info->capacity_bytes,
        "durable", info->is_durable != 0, "replicas_equal", replicas->verdict == REPLICAS_EQUAL);
    if (replicas->verdict == REPLICAS_EQUAL) {
        json_object_set_new(object, "digest", json_string(digest));
    }
    json_dumpf(object, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(object);
}

static int judge(const struct cli_arguments *arguments, const struct replicas *replicas)
{
    switch (replicas->verdict) {
    case REPLICAS_EQUAL:
        return CLI_OK;
    case REPLICAS_DIFFER:
        return cli_fail(arguments, CLI_MISMATCH, "node %u has another state than the others",
                        replicas->node);
    case REPLICAS_SILENT:
        return cli_fail(arguments, CLI_UNAVAILABLE, "node %u does not answer", replicas->node);
    case REPLICAS_BEHIND:
        return cli_fail(arguments, CLI_UNAVAILABLE, "node %u is behind", replicas->node);
    }
    return CLI_FAILED;
}

static int status_run(const struct cli_arguments *arguments)
{
    static struct cli_client client;
    struct block_info info;
    struct replicas replicas;
    uint16_t group = (uint16_t)cli_number(arguments, "group");
    int code = open_client(&client, arguments);
    if (code != CLI_OK) {
        return code;
    }
    code = ask_info(&client, group, &info);
    if (code == CLI_OK) {
        cli_client_compare(&client, true, cli_number(arguments, "timeout") * 1000000000, &replicas);
    }
    cli_client_close(&client);
    if (code != CLI_OK) {
        return code;
    }
    if (cli_is_given(arguments, "json")) {
        print_json(group, &info, &replicas);
    } else {
        print_text(group, &info, &replicas);
    }
    return judge(arguments, &replicas);
}

// The plugin of the build directory that this program stands in, or the installed one.
static void find_plugin(const struct cli_arguments *arguments, char path[static PATH_BYTES])
{
    static const char below[] = "/drivers/nbdkit/nbdkit-pontoon-plugin.so";
    const char *given = cli_text(arguments, "plugin");
    ssize_t bytes = readlink("/proc/self/exe", path, PATH_BYTES - sizeof(below));
    if (given == NULL && bytes > 0) {
        path[bytes] = '\0';
        strcpy(strrchr(path, '/'), below);
        if (access(path, R_OK) == 0) {
            return;
        }
    }
    snprintf(path, PATH_BYTES, "%s", given != NULL ? given : PONTOON_NBDKIT_PLUGIN);
}

static int serve_run(const struct cli_arguments *arguments)
{
    static char plugin[PATH_BYTES], config[PATH_BYTES];
    char threads[WORD_BYTES], client[WORD_BYTES], group[WORD_BYTES], hold[WORD_BYTES];
    find_plugin(arguments, plugin);
    if (access(plugin, R_OK) != 0) {
        return cli_fail(arguments, CLI_ENVIRONMENT,
                        "no plugin %s; install nbdkit-plugin-dev and build again", plugin);
    }
    snprintf(config, sizeof(config), "config=%s", cli_text(arguments, "config"));
    snprintf(threads, sizeof(threads), "%s", cli_text(arguments, "threads"));
    snprintf(client, sizeof(client), "client=%s", cli_text(arguments, "client"));
    snprintf(group, sizeof(group), "group=%s", cli_text(arguments, "group"));
    snprintf(hold, sizeof(hold), "hold=%s", cli_text(arguments, "hold"));
    const char *words[] = {"nbdkit",    "--foreground", "--unix", cli_text(arguments, "socket"),
                           "--threads", threads,        plugin,   config,
                           client,      group,          hold,     NULL,
                           NULL};
    if (cli_is_given(arguments, "read-only")) {
        memmove(&words[2], &words[1], 10 * sizeof(words[0]));
        words[1] = "--readonly";
    }
    fflush(stdout);
    execvp(words[0], (char *const *)(uintptr_t)words);
    return cli_fail(arguments, CLI_ENVIRONMENT, "nbdkit: %s; install the package nbdkit",
                    strerror(errno));
}

const struct cli_command command_block_create = {
    .name = "block create",
    .summary = "Makes the volume of a group: its size and block size, once and for all",
    .takes_eal = true,
    .options = create_options,
    .option_count = sizeof(create_options) / sizeof(create_options[0]),
    .details = "For groups with app: block. Made again with the same geometry, nothing happens; "
               "with another it is refused.",
    .run = create_run,
};

const struct cli_command command_block_status = {
    .name = "block status",
    .summary = "Shows the volume of a group, and whether its replicas are equal",
    .takes_eal = true,
    .options = status_options,
    .option_count = sizeof(status_options) / sizeof(status_options[0]),
    .details = "Waits until all replicas have applied the same, and compares their digests.",
    .run = status_run,
};

const struct cli_command command_block_serve = {
    .name = "block serve",
    .summary = "Serves a volume to NBD clients: becomes nbdkit with the Pontoon plugin",
    .options = serve_options,
    .option_count = sizeof(serve_options) / sizeof(serve_options[0]),
    .details = "Until SIGTERM or SIGINT. Requests are held over changes of leader. One server at a "
               "time may write: the one that was started last.",
    .run = serve_run,
};
