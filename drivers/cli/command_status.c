// pontoon status: asks running nodes over their control sockets.
#include "drivers/cli/cli.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/cli/control.h"

enum { REASON_BYTES = 512 };

static const struct cli_option options[] = {
    CLI_OPTION_CONFIG,
    CLI_OPTION_ONE_ID("only this node (default: every node of the configuration)"),
    {.name = "digest", .kind = CLI_FLAG, .summary = "with the digest of each group's state"},
    CLI_OPTION_JSON,
};

static long long integer(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value == NULL ? "-" : value;
}

static void print_group(const json_t *group)
{
    const char *flag =
        json_is_true(json_object_get(group, "failed"))   ? " FAILED"
        : json_is_true(json_object_get(group, "halted")) ? " HALTED: a majority lost its entries"
        : json_is_true(json_object_get(group, "intact")) ? ""
                                                         : " catching up: lost its entries";
    printf("  group %lld: %s, term %lld, leader %lld, last %lld, durable %lld, commit %lld, "
           "applied %lld",
           integer(group, "group"), text(group, "role"), integer(group, "term"),
           integer(group, "leader"), integer(group, "last"), integer(group, "synced"),
           integer(group, "commit"), integer(group, "applied"));
    printf("%s%s%s\n", json_object_get(group, "digest") != NULL ? ", digest " : "",
           json_object_get(group, "digest") != NULL ? text(group, "digest") : "", flag);
    size_t at;
    const json_t *peer;
    json_array_foreach(json_object_get(group, "peers"), at, peer)
    {
        if (strcmp(text(peer, "state"), "self") != 0 &&
            strcmp(text(group, "role"), "leader") == 0) {
            printf("    peer %lld: %s, %s, match %lld, round trip %.1f us\n", integer(peer, "id"),
                   json_is_true(json_object_get(peer, "active")) ? "active" : "silent",
                   text(peer, "state"), integer(peer, "match"),
                   (double)integer(peer, "round_trip_ns") / 1000);
        }
    }
}

static void print_node(const json_t *status)
{
    printf("node %lld: %s, order %s, app %s, idle %s, boot %lld, recovery %s\n",
           integer(status, "node"), text(status, "durability"), text(status, "order"),
           text(status, "app"), text(status, "idle"), integer(status, "boot"),
           text(status, "recovery"));
    size_t at;
    const json_t *item;
    json_array_foreach(json_object_get(status, "reactors"), at, item)
    {
        printf("  reactor %zu: busy %.1f %%, longest poll gap %.3f ms, applied %lld, log used %.1f "
               "MiB, net %s\n",
               at, 100 * json_real_value(json_object_get(item, "busy_share")),
               (double)integer(item, "longest_poll_gap_ns") / 1e6, integer(item, "applied"),
               (double)integer(item, "log_used_bytes") / (1 << 20),
               text(json_object_get(item, "net"), "driver"));
        const json_t *times = json_object_get(item, "answer_ns");
        if (integer(times, "count") > 0) {
            printf(
                "    as leader, %lld answers timed: median %.1f us, p99 %.1f us, longest %.1f us\n",
                integer(times, "count"), (double)integer(times, "p50") / 1000,
                (double)integer(times, "p99") / 1000, (double)integer(times, "max") / 1000);
        }
    }
    json_array_foreach(json_object_get(status, "impairments"), at, item)
    {
        printf("  IMPAIRED on purpose: %s\n", json_string_value(item));
    }
    json_array_foreach(json_object_get(status, "groups"), at, item)
    {
        print_group(item);
    }
}

static bool show(const struct cli_arguments *arguments, const struct pontoon_config *config,
                 uint16_t id, json_t *all)
{
    char path[PONTOON_PATH_BYTES + 16];
    char *answer = NULL;
    control_path(config, path, sizeof(path));
    int error =
        control_ask(path, cli_is_given(arguments, "digest") ? "status digest" : "status", &answer);
    json_t *status = error == 0 ? json_loads(answer, 0, NULL) : NULL;
    free(answer);
    if (status == NULL) {
        char cause[PONTOON_PATH_BYTES + 128];
        snprintf(cause, sizeof(cause), "no answer on %s: %s", path,
                 strerror(error == 0 ? 71 : -error));
        status = json_pack("{s:i, s:s}", "node", (int)id, "error", cause);
        if (!cli_is_given(arguments, "json")) {
            printf("node %u: %s\n", id, cause);
        }
    } else if (!cli_is_given(arguments, "json")) {
        print_node(status);
    }
    json_array_append_new(all, status);
    return error == 0;
}

static int run(const struct cli_arguments *arguments)
{
    static struct pontoon_config config;
    char reason[REASON_BYTES];
    uint32_t answered = 0, asked = 0;
    uint16_t only = cli_is_given(arguments, "id") ? (uint16_t)cli_number(arguments, "id") : 0;
    json_t *all = json_array();
    uint16_t ids[PONTOON_NODES_MAX];
    uint32_t count = 1;
    ids[0] = only;
    if (only == 0) {
        // Any node's view of the file lists them all.
        for (uint16_t id = 1; id <= 64 && count != 0; id++) {
            if (pontoon_config_load(&config, cli_text(arguments, "config"), id, 0, reason,
                                    sizeof(reason)) == 0) {
                count = config.node_count;
                for (uint32_t at = 0; at < count; at++) {
                    ids[at] = config.nodes[at].id;
                }
                break;
            }
        }
    }
    for (uint32_t at = 0; at < count; at++) {
        if (pontoon_config_load(&config, cli_text(arguments, "config"), ids[at], 0, reason,
                                sizeof(reason)) != 0) {
            json_decref(all);
            return cli_fail(arguments, CLI_CONFIGURATION, "%s", reason);
        }
        asked++;
        answered += show(arguments, &config, ids[at], all);
    }
    if (cli_is_given(arguments, "json")) {
        json_dumpf(all, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
        printf("\n");
    }
    json_decref(all);
    return answered == asked ? CLI_OK : CLI_UNAVAILABLE;
}

const struct cli_command command_status = {
    .name = "status",
    .summary = "Shows roles, indexes, peers and load of running nodes",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .run = run,
};
