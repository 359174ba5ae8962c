#include "drivers/app_block/block_command.h"

#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the formats are little-endian");

struct command_head {
    uint8_t operation;
    uint8_t zero[3];
    uint32_t block_bytes;
    uint64_t writer;
    uint64_t offset; // ATTACH: previous
    uint64_t bytes;
};
static_assert(sizeof(struct command_head) == BLOCK_COMMAND_HEAD_BYTES, "on the wire");

struct query_head {
    uint8_t kind;
    uint8_t zero[7];
    uint64_t offset, bytes;
};
static_assert(sizeof(struct query_head) == BLOCK_QUERY_BYTES, "on the wire");
static_assert(sizeof(struct block_info) == BLOCK_INFO_BYTES, "on the wire");

static bool is_geometry(uint64_t block_bytes, uint64_t volume_bytes)
{
    return (block_bytes == BLOCK_BYTES_MIN || block_bytes == BLOCK_BYTES_MAX) &&
           volume_bytes >= block_bytes && volume_bytes % block_bytes == 0 &&
           volume_bytes <= BLOCK_VOLUME_BYTES_MAX;
}

static bool is_range(uint64_t offset, uint64_t bytes, uint64_t bytes_max)
{
    return offset <= BLOCK_VOLUME_BYTES_MAX && bytes >= 1 && bytes <= bytes_max;
}

// The one place that knows what a command may look like; encoding and decoding ask it.
static bool is_valid(const struct block_command *command)
{
    bool has_range = command->operation == BLOCK_WRITE || command->operation == BLOCK_ZERO;
    if ((command->offset != 0 && !has_range) ||
        (command->block_bytes != 0 && command->operation != BLOCK_CREATE) ||
        (command->previous != 0 && command->operation != BLOCK_ATTACH)) {
        return false;
    }
    switch (command->operation) {
    case BLOCK_CREATE:
        return command->writer == 0 && is_geometry(command->block_bytes, command->bytes);
    case BLOCK_ATTACH:
        return command->writer != 0 && command->bytes == 0;
    case BLOCK_WRITE:
        return is_range(command->offset, command->bytes, BLOCK_WRITE_BYTES_MAX);
    case BLOCK_ZERO:
        return is_range(command->offset, command->bytes, BLOCK_ZERO_BYTES_MAX);
    }
    return false;
}

static uint32_t data_bytes(const struct block_command *command)
{
    return command->operation == BLOCK_WRITE ? (uint32_t)command->bytes : 0;
}

uint32_t block_command_bytes(const struct block_command *command)
{
    return is_valid(command) ? BLOCK_COMMAND_HEAD_BYTES + data_bytes(command) : 0;
}

uint32_t block_command_encode(const struct block_command *command, void *buffer, uint32_t capacity)
{
    uint32_t bytes = block_command_bytes(command);
    if (bytes == 0 || bytes > capacity) {
        return 0;
    }
    const struct command_head head = {.operation = (uint8_t)command->operation,
                                      .block_bytes = command->block_bytes,
                                      .writer = command->writer,
                                      .offset = command->offset | command->previous,
                                      .bytes = command->bytes};
    memcpy(buffer, &head, sizeof(head));
    if (data_bytes(command) > 0) {
        memcpy((uint8_t *)buffer + sizeof(head), command->data, data_bytes(command));
    }
    return bytes;
}

bool block_command_decode(const void *payload, uint32_t bytes, struct block_command *command)
{
    struct command_head head;
    if (bytes < sizeof(head)) {
        return false;
    }
    memcpy(&head, payload, sizeof(head));
    bool is_attach = head.operation == BLOCK_ATTACH;
    *command = (struct block_command){.operation = (enum block_operation)head.operation,
                                      .block_bytes = head.block_bytes,
                                      .writer = head.writer,
                                      .previous = is_attach ? head.offset : 0,
                                      .offset = is_attach ? 0 : head.offset,
                                      .bytes = head.bytes,
                                      .data = (const uint8_t *)payload + sizeof(head)};
    return (head.zero[0] | head.zero[1] | head.zero[2]) == 0 &&
           block_command_bytes(command) == bytes;
}

bool block_command_range(const struct block_command *command, struct block_range *range)
{
    *range = (struct block_range){.start = command->offset, .length = command->bytes};
    return command->operation == BLOCK_WRITE || command->operation == BLOCK_ZERO;
}

static bool is_valid_query(const struct block_query *query)
{
    switch (query->kind) {
    case BLOCK_QUERY_READ:
        return is_range(query->offset, query->bytes, BLOCK_READ_BYTES_MAX);
    case BLOCK_QUERY_CHECK:
        return is_range(query->offset, query->bytes, BLOCK_CHECK_BYTES_MAX);
    case BLOCK_QUERY_MAP:
        return is_range(query->offset, query->bytes, BLOCK_MAP_BYTES_MAX);
    case BLOCK_QUERY_INFO:
        return query->offset == 0 && query->bytes == 0;
    }
    return false;
}

bool block_command_query_range(const struct block_query *query, struct block_range *range)
{
    *range = (struct block_range){.start = query->offset, .length = query->bytes};
    return query->kind != BLOCK_QUERY_INFO;
}

uint32_t block_command_encode_query(const struct block_query *query, void *buffer,
                                    uint32_t capacity)
{
    if (!is_valid_query(query) || capacity < BLOCK_QUERY_BYTES) {
        return 0;
    }
    const struct query_head head = {
        .kind = (uint8_t)query->kind, .offset = query->offset, .bytes = query->bytes};
    memcpy(buffer, &head, sizeof(head));
    return BLOCK_QUERY_BYTES;
}

bool block_command_decode_query(const void *bytes, uint32_t count, struct block_query *query)
{
    static const uint8_t zero[sizeof(((struct query_head *)0)->zero)];
    struct query_head head;
    if (count != sizeof(head)) {
        return false;
    }
    memcpy(&head, bytes, sizeof(head));
    *query = (struct block_query){
        .kind = (enum block_query_kind)head.kind, .offset = head.offset, .bytes = head.bytes};
    return memcmp(head.zero, zero, sizeof(zero)) == 0 && is_valid_query(query);
}

const char *block_command_result_name(uint32_t result)
{
    static const char *const names[] = {
        [BLOCK_OK] = "ok",
        [BLOCK_MALFORMED] = "malformed command",
        [BLOCK_NO_VOLUME] = "no volume was created yet",
        [BLOCK_DIFFERENT] = "there is a volume of another geometry",
        [BLOCK_TOO_LARGE] = "it does not fit the capacity of a replica (app_memory_mib)",
        [BLOCK_BEYOND] = "beyond the end of the volume",
        [BLOCK_UNALIGNED] = "not at a block's boundary",
        [BLOCK_FENCED] = "another server has attached to the volume",
    };
    return result < sizeof(names) / sizeof(names[0]) ? names[result] : "unknown result";
}
