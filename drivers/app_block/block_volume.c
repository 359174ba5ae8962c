#include "drivers/app_block/block_volume.h"

#include <errno.h>
#include <stddef.h>

#include "drivers/app_block/block_sum.h"

void block_volume_init(struct block_volume *volume, void *space, uint64_t space_bytes, int file)
{
    *volume = (struct block_volume){.store = {.memory = file < 0 ? space : NULL, .file = file},
                                    .space = space,
                                    .space_bytes = space_bytes,
                                    .capacity_bytes = space_bytes};
}

void block_volume_clear(struct block_volume *volume)
{
    if (volume->bytes != 0) {
        uint64_t content = block_store_round_up(volume->bytes);
        uint64_t all = block_volume_space_bytes(volume->block_bytes, volume->bytes);
        block_store_erase(&volume->store, 0, content);
        block_store_give_back(volume->sums, block_store_round_up(all - content));
    }
    block_volume_init(volume, volume->space, volume->space_bytes, volume->store.file);
}

uint64_t block_volume_space_bytes(uint32_t block_bytes, uint64_t volume_bytes)
{
    return block_store_round_up(volume_bytes) + volume_bytes / block_bytes * sizeof(uint64_t);
}

// Murmur3's finaliser: every bit of the word reaches every bit of the result.
static uint64_t mix(uint64_t word)
{
    word = (word ^ word >> 33) * UINT64_C(0xFF51AFD7ED558CCD);
    word = (word ^ word >> 33) * UINT64_C(0xC4CEB9FE1A85EC53);
    return word ^ word >> 33;
}

uint64_t block_volume_digest(const struct block_volume *volume)
{
    const uint64_t words[] = {volume->sums_total, volume->capacity_bytes, volume->bytes,
                              volume->block_bytes, volume->writer};
    uint64_t digest = 0;
    for (uint32_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        digest = mix(digest + words[i] + i + 1);
    }
    return digest;
}

static void set_geometry(struct block_volume *volume, uint32_t block_bytes, uint64_t volume_bytes)
{
    volume->bytes = volume_bytes;
    volume->block_bytes = block_bytes;
    volume->blocks = volume_bytes / block_bytes;
    volume->sums = (uint64_t *)(void *)(volume->space + block_store_round_up(volume_bytes));
}

static enum block_result create(struct block_volume *volume, const struct block_command *command)
{
    if (volume->bytes != 0) {
        bool is_same =
            volume->bytes == command->bytes && volume->block_bytes == command->block_bytes;
        return is_same ? BLOCK_OK : BLOCK_DIFFERENT;
    }
    if (block_volume_space_bytes(command->block_bytes, command->bytes) > volume->capacity_bytes) {
        return BLOCK_TOO_LARGE;
    }
    set_geometry(volume, command->block_bytes, command->bytes);
    return BLOCK_OK;
}

// Done twice (its answer was lost, and it was sent again), it is done.
static enum block_result attach(struct block_volume *volume, const struct block_command *command)
{
    if (volume->bytes == 0) {
        return BLOCK_NO_VOLUME;
    }
    if (command->previous != volume->writer && command->writer != volume->writer) {
        return BLOCK_FENCED;
    }
    volume->writer = command->writer;
    return BLOCK_OK;
}

int block_volume_blocks(const struct block_volume *volume, uint64_t offset, uint64_t bytes,
                        uint64_t *first, uint64_t *count)
{
    if (volume->bytes == 0) {
        return -ENOENT;
    }
    if (offset > volume->bytes || bytes > volume->bytes - offset) {
        return -ERANGE;
    }
    if (((offset | bytes) & (volume->block_bytes - 1)) != 0) {
        return -EINVAL;
    }
    *first = offset / volume->block_bytes;
    *count = bytes / volume->block_bytes;
    return 0;
}

static void set_sum(struct block_volume *volume, uint64_t block, uint64_t sum)
{
    uint64_t before = volume->sums[block];
    volume->sums_total += sum - before;
    volume->blocks_used += (uint64_t)(sum != 0) - (uint64_t)(before != 0);
    volume->sums[block] = sum;
}

// A block that is and stays zero is not touched: it gets no memory.
static void write_block(struct block_volume *volume, uint64_t block, const uint8_t *data)
{
    uint64_t sum = block_sum(block, data, volume->block_bytes);
    if (sum == 0 && volume->sums[block] == 0) {
        return;
    }
    block_store_write(&volume->store, block * volume->block_bytes, data, volume->block_bytes);
    set_sum(volume, block, sum);
}

static void write_blocks(struct block_volume *volume, uint64_t first, uint64_t count,
                         const uint8_t *data)
{
    for (uint64_t i = 0; i < count; i++) {
        write_block(volume, first + i, data + i * volume->block_bytes);
    }
}

static void zero_blocks(struct block_volume *volume, uint64_t first, uint64_t count)
{
    uint64_t used_before = volume->blocks_used;
    for (uint64_t block = first; block < first + count; block++) {
        if (volume->sums[block] != 0) {
            set_sum(volume, block, 0);
        }
    }
    if (volume->blocks_used != used_before) {
        block_store_erase(&volume->store, first * volume->block_bytes, count * volume->block_bytes);
    }
}

static enum block_result change(struct block_volume *volume, const struct block_command *command)
{
    uint64_t first, count;
    switch (block_volume_blocks(volume, command->offset, command->bytes, &first, &count)) {
    case 0:
        break;
    case -ENOENT:
        return BLOCK_NO_VOLUME;
    case -ERANGE:
        return BLOCK_BEYOND;
    default:
        return BLOCK_UNALIGNED;
    }
    if (command->writer != volume->writer) {
        return BLOCK_FENCED;
    }
    if (command->operation == BLOCK_WRITE) {
        write_blocks(volume, first, count, command->data);
    } else {
        zero_blocks(volume, first, count);
    }
    return BLOCK_OK;
}

enum block_result block_volume_execute(struct block_volume *volume,
                                       const struct block_command *command)
{
    switch (command->operation) {
    case BLOCK_CREATE:
        return create(volume, command);
    case BLOCK_ATTACH:
        return attach(volume, command);
    case BLOCK_WRITE:
    case BLOCK_ZERO:
        return change(volume, command);
    }
    return BLOCK_MALFORMED;
}

uint64_t block_volume_read(const struct block_volume *volume, uint64_t first, uint64_t count,
                           void *data)
{
    uint8_t *at = data;
    block_store_read(&volume->store, first * volume->block_bytes, data,
                     count * volume->block_bytes);
    for (uint64_t block = first; block < first + count; block++, at += volume->block_bytes) {
        if (block_sum(block, at, volume->block_bytes) != volume->sums[block]) {
            return block;
        }
    }
    return BLOCK_NONE;
}

uint64_t block_volume_check(const struct block_volume *volume, uint64_t first, uint64_t count)
{
    uint8_t data[BLOCK_BYTES_MAX];
    for (uint64_t block = first; block < first + count; block++) {
        if (block_volume_read(volume, block, 1, data) != BLOCK_NONE) {
            return block;
        }
    }
    return BLOCK_NONE;
}

uint32_t block_volume_map(const struct block_volume *volume, uint64_t first, uint64_t count,
                          uint32_t *runs, uint32_t max)
{
    const uint64_t *sum = volume->sums + first, *end = sum + count;
    uint32_t found = 0;
    while (sum < end && found < max) {
        bool is_zero = *sum == 0;
        uint32_t blocks = 0;
        for (; sum < end && (*sum == 0) == is_zero; sum++) {
            blocks++;
        }
        runs[found++] = blocks | (is_zero ? BLOCK_RUN_ZERO : 0);
    }
    return found;
}

bool block_volume_adopt(struct block_volume *volume, uint64_t capacity_bytes, uint32_t block_bytes,
                        uint64_t volume_bytes)
{
    if (capacity_bytes > volume->space_bytes) {
        return false;
    }
    volume->capacity_bytes = capacity_bytes;
    if (volume_bytes == 0) {
        return block_bytes == 0;
    }
    const struct block_command command = {
        .operation = BLOCK_CREATE, .block_bytes = block_bytes, .bytes = volume_bytes};
    return block_command_bytes(&command) != 0 && create(volume, &command) == BLOCK_OK;
}

bool block_volume_put(struct block_volume *volume, uint64_t block, const void *data)
{
    write_block(volume, block, data);
    return volume->sums[block] != 0;
}
