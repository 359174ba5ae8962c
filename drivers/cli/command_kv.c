// pontoon kv put, get, del, cas: one command or read. (load and verify: kv_tree.c.)
#include "drivers/cli/kv_tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/app_kv/kv_command.h"
#include "drivers/cli/cli_client.h"
#include "engine/base/crc32c.h"

static const struct cli_option options[] = {CLI_OPTION_CONFIG, CLI_OPTION_CLIENT,
                                            KV_OPTION_TIMEOUT};

uint16_t kv_group_of(const struct pontoon_config *config, const void *key, size_t bytes)
{
    return (uint16_t)(crc32c(0, key, bytes) % config->groups);
}

static struct kv_bytes bytes_of(const char *text)
{
    return (struct kv_bytes){.data = text, .bytes = (uint32_t)strlen(text)};
}

static int open_client(struct cli_client *client, const struct cli_arguments *arguments)
{
    const struct pontoon_client_options client_options = {
        .depth_max = 1, .give_up_ns = cli_number(arguments, "timeout") * 1000000000};
    return cli_client_open(client, arguments, &client_options);
}

static int propose(const struct cli_arguments *arguments, const struct kv_command *command)
{
    static struct cli_client client;
    uint32_t bytes = kv_command_bytes(command), value = KV_OK;
    if (bytes == 0) {
        return cli_fail(arguments, CLI_USAGE, "keys have 1 to %d bytes, values at most %d",
                        KV_KEY_BYTES_MAX, KV_VALUE_BYTES_MAX);
    }
    int code = open_client(&client, arguments);
    if (code != CLI_OK) {
        return code;
    }
    uint8_t *payload = malloc(bytes);
    if (payload == NULL) {
        code = cli_fail(arguments, CLI_FAILED, "no memory");
    } else {
        kv_command_encode(command, payload, bytes);
        uint16_t group = kv_group_of(&client.config, command->key.data, command->key.bytes);
        code = cli_client_propose(&client, group, payload, bytes, &value);
    }
    free(payload);
    cli_client_close(&client);
    if (code == CLI_OK && value != KV_OK) {
        return cli_fail(arguments, CLI_FAILED, "%s", kv_command_result_name(value));
    }
    return code;
}

static int put_run(const struct cli_arguments *arguments)
{
    const struct kv_command command = {.operation = KV_PUT,
                                       .key = bytes_of(arguments->operands[0]),
                                       .value = bytes_of(arguments->operands[1])};
    return propose(arguments, &command);
}

static int del_run(const struct cli_arguments *arguments)
{
    const struct kv_command command = {.operation = KV_DELETE,
                                       .key = bytes_of(arguments->operands[0])};
    return propose(arguments, &command);
}

static int cas_run(const struct cli_arguments *arguments)
{
    bool is_absent = arguments->operand_count == 2;
    struct kv_command command = {.operation = KV_COMPARE_AND_SWAP,
                                 .key = bytes_of(arguments->operands[0]),
                                 .value = bytes_of(arguments->operands[1]),
                                 .expected = {.bytes = KV_ABSENT}};
    if (!is_absent) {
        command.expected = bytes_of(arguments->operands[2]);
    }
    return propose(arguments, &command);
}

static int get_run(const struct cli_arguments *arguments)
{
    static struct cli_client client;
    static uint8_t value[KV_VALUE_BYTES_MAX];
    uint8_t text[KV_QUERY_BYTES_MAX];
    const struct kv_query query = {.kind = KV_QUERY_GET, .key = bytes_of(arguments->operands[0])};
    uint32_t bytes = kv_command_encode_query(&query, text, sizeof(text));
    int32_t value_bytes;
    if (bytes == 0) {
        return cli_fail(arguments, CLI_USAGE, "keys have 1 to %d bytes", KV_KEY_BYTES_MAX);
    }
    int code = open_client(&client, arguments);
    if (code != CLI_OK) {
        return code;
    }
    uint16_t group = kv_group_of(&client.config, query.key.data, query.key.bytes);
    code = cli_client_read(&client, group, text, bytes, value, sizeof(value), &value_bytes);
    cli_client_close(&client);
    if (code == CLI_OK && value_bytes == -ENOENT) {
        return cli_fail(arguments, CLI_FAILED, "no such key");
    }
    if (code == CLI_OK && value_bytes < 0) {
        return cli_fail(arguments, CLI_FAILED, "%s", strerror(-value_bytes));
    }
    if (code == CLI_OK) {
        fwrite(value, 1, (size_t)value_bytes, stdout);
    }
    return code;
}

#define COMMAND(verb, text, arguments_text, min, max)                                              \
    const struct cli_command command_kv_##verb = {                                                 \
        .name = "kv " #verb,                                                                       \
        .summary = text,                                                                           \
        .operands = arguments_text,                                                                \
        .operands_min = min,                                                                       \
        .operands_max = max,                                                                       \
        .takes_eal = true,                                                                         \
        .options = options,                                                                        \
        .option_count = sizeof(options) / sizeof(options[0]),                                      \
        .run = verb##_run,                                                                         \
    }

COMMAND(put, "Stores a value under a key", "KEY VALUE", 2, 2);
COMMAND(get, "Prints the value of a key", "KEY", 1, 1);
COMMAND(del, "Deletes a key", "KEY", 1, 1);
COMMAND(cas, "Stores a value if the key has the expected one (none given: if it is absent)",
        "KEY VALUE [EXPECTED]", 2, 3);
