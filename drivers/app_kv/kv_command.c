#include "drivers/app_kv/kv_command.h"

#include <assert.h>
#include <string.h>

#include "drivers/app_kv/kv_endian.h"

static_assert(sizeof(struct kv_statistics) == KV_STATISTICS_BYTES, "every field is on the wire");

static uint32_t expected_bytes(const struct kv_command *command)
{
    return command->expected.bytes == KV_ABSENT ? 0 : command->expected.bytes;
}

// The one place that knows which sizes a command may have; encoding and decoding ask it.
static bool has_valid_sizes(const struct kv_command *command)
{
    if (command->key.bytes < 1 || command->key.bytes > KV_KEY_BYTES_MAX ||
        command->value.bytes > KV_VALUE_BYTES_MAX) {
        return false;
    }
    switch (command->operation) {
    case KV_PUT:
        return command->expected.bytes == 0;
    case KV_DELETE:
        return command->value.bytes == 0 && command->expected.bytes == 0;
    case KV_COMPARE_AND_SWAP:
        return expected_bytes(command) <= KV_VALUE_BYTES_MAX;
    }
    return false;
}

uint32_t kv_command_bytes(const struct kv_command *command)
{
    if (!has_valid_sizes(command)) {
        return 0;
    }
    uint32_t bytes =
        KV_COMMAND_HEAD_BYTES + command->key.bytes + command->value.bytes + expected_bytes(command);
    return bytes <= RAFT_PAYLOAD_BYTES_MAX ? bytes : 0;
}

static uint8_t *append(uint8_t *at, const void *data, uint32_t bytes)
{
    if (bytes > 0) {
        memcpy(at, data, bytes);
    }
    return at + bytes;
}

uint32_t kv_command_encode(const struct kv_command *command, void *buffer, uint32_t capacity)
{
    uint32_t bytes = kv_command_bytes(command);
    if (bytes == 0 || bytes > capacity) {
        return 0;
    }
    uint8_t *at = buffer;
    at[0] = (uint8_t)command->operation;
    at[1] = 0;
    kv_endian_write_u16(at + 2, (uint16_t)command->key.bytes);
    kv_endian_write_u32(at + 4, command->value.bytes);
    kv_endian_write_u32(at + 8, command->expected.bytes);
    at = append(at + KV_COMMAND_HEAD_BYTES, command->key.data, command->key.bytes);
    at = append(at, command->value.data, command->value.bytes);
    append(at, command->expected.data, expected_bytes(command));
    return bytes;
}

bool kv_command_decode(const void *payload, uint32_t bytes, struct kv_command *command)
{
    const uint8_t *at = payload;
    if (bytes < KV_COMMAND_HEAD_BYTES || at[0] < KV_PUT || at[0] > KV_COMPARE_AND_SWAP ||
        at[1] != 0) {
        return false;
    }
    command->operation = (enum kv_operation)at[0];
    command->key.bytes = kv_endian_read_u16(at + 2);
    command->value.bytes = kv_endian_read_u32(at + 4);
    command->expected.bytes = kv_endian_read_u32(at + 8);
    command->key.data = at + KV_COMMAND_HEAD_BYTES;
    if (kv_command_bytes(command) != bytes) {
        return false;
    }
    command->value.data = (const uint8_t *)command->key.data + command->key.bytes;
    command->expected.data = (const uint8_t *)command->value.data + command->value.bytes;
    return true;
}

static uint32_t query_bytes(const struct kv_query *query)
{
    switch (query->kind) {
    case KV_QUERY_GET:
        if (query->key.bytes < 1 || query->key.bytes > KV_KEY_BYTES_MAX) {
            return 0;
        }
        return KV_QUERY_HEAD_BYTES + query->key.bytes;
    case KV_QUERY_STATISTICS:
        return query->key.bytes == 0 ? KV_QUERY_HEAD_BYTES : 0;
    }
    return 0;
}

uint32_t kv_command_encode_query(const struct kv_query *query, void *buffer, uint32_t capacity)
{
    uint32_t bytes = query_bytes(query);
    if (bytes == 0 || bytes > capacity) {
        return 0;
    }
    uint8_t *at = buffer;
    at[0] = (uint8_t)query->kind;
    at[1] = 0;
    kv_endian_write_u16(at + 2, (uint16_t)query->key.bytes);
    append(at + KV_QUERY_HEAD_BYTES, query->key.data, query->key.bytes);
    return bytes;
}

bool kv_command_decode_query(const void *bytes, uint32_t count, struct kv_query *query)
{
    const uint8_t *at = bytes;
    if (count < KV_QUERY_HEAD_BYTES || at[0] < KV_QUERY_GET || at[0] > KV_QUERY_STATISTICS ||
        at[1] != 0) {
        return false;
    }
    query->kind = (enum kv_query_kind)at[0];
    query->key.bytes = kv_endian_read_u16(at + 2);
    query->key.data = at + KV_QUERY_HEAD_BYTES;
    return query_bytes(query) == count;
}

void kv_command_encode_statistics(const struct kv_statistics *statistics, void *buffer)
{
    uint8_t *at = buffer;
    kv_endian_write_u64(at, statistics->pairs);
    kv_endian_write_u64(at + 8, statistics->bytes);
    kv_endian_write_u64(at + 16, statistics->pairs_max);
    kv_endian_write_u64(at + 24, statistics->capacity_bytes);
    kv_endian_write_u64(at + 32, statistics->digest);
}

bool kv_command_decode_statistics(const void *answer, uint32_t bytes,
                                  struct kv_statistics *statistics)
{
    const uint8_t *at = answer;
    if (bytes != KV_STATISTICS_BYTES) {
        return false;
    }
    statistics->pairs = kv_endian_read_u64(at);
    statistics->bytes = kv_endian_read_u64(at + 8);
    statistics->pairs_max = kv_endian_read_u64(at + 16);
    statistics->capacity_bytes = kv_endian_read_u64(at + 24);
    statistics->digest = kv_endian_read_u64(at + 32);
    return true;
}

const char *kv_command_result_name(uint32_t result)
{
    static const char *const names[] = {
        [KV_OK] = "ok",
        [KV_NOT_FOUND] = "not found",
        [KV_MISMATCH] = "mismatch",
        [KV_MALFORMED] = "malformed command",
        [KV_FULL] = "full",
    };
    return result < sizeof(names) / sizeof(names[0]) ? names[result] : "unknown result";
}
