#include "drivers/app_block/app_block.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "drivers/app_block/block_checkpoint.h"
#include "drivers/app_block/block_command.h"
#include "drivers/app_block/block_volume.h"

#define MEMORY_BYTES_MIN (UINT64_C(1) << 20)
#define MEMORY_BYTES_MAX (UINT64_C(1) << 46)

struct app_block {
    struct app app; // first
    struct block_volume volume;
    struct block_checkpoint checkpoint; // between begin and end of either direction
    bool is_durable;
    void *memory;
    uint64_t memory_bytes;
};

static struct app_block *of(struct app *app)
{
    return (struct app_block *)app;
}

static void apply(struct app *app, const struct app_entry *entries, uint32_t count,
                  uint32_t *results)
{
    struct block_volume *volume = &of(app)->volume;
    for (uint32_t i = 0; i < count; i++) {
        struct block_command command;
        bool is_valid = block_command_decode(entries[i].payload, entries[i].bytes, &command);
        results[i] = is_valid ? block_volume_execute(volume, &command) : BLOCK_MALFORMED;
    }
}

static int32_t answer_read(const struct block_volume *volume, const struct block_query *query,
                           void *answer, uint32_t answer_capacity)
{
    uint64_t first, count;
    int error = block_volume_blocks(volume, query->offset, query->bytes, &first, &count);
    if (error != 0) {
        return error;
    }
    if (query->bytes > answer_capacity) {
        return -EMSGSIZE;
    }
    if (block_volume_check(volume, first, count) != BLOCK_NONE) {
        return -EBADMSG;
    }
    memcpy(answer, block_volume_at(volume, first), query->bytes);
    return (int32_t)query->bytes;
}

static int32_t answer_check(const struct block_volume *volume, const struct block_query *query,
                            void *answer, uint32_t answer_capacity)
{
    uint64_t first, count;
    int error = block_volume_blocks(volume, query->offset, query->bytes, &first, &count);
    if (error != 0) {
        return error;
    }
    uint64_t bad = block_volume_check(volume, first, count);
    if (answer_capacity < sizeof(bad)) {
        return -EMSGSIZE;
    }
    memcpy(answer, &bad, sizeof(bad));
    return sizeof(bad);
}

static int32_t answer_info(const struct app_block *block, void *answer, uint32_t answer_capacity)
{
    const struct block_volume *volume = &block->volume;
    const struct block_info info = {.volume_bytes = volume->bytes,
                                    .capacity_bytes = volume->capacity_bytes,
                                    .blocks_used = volume->blocks_used,
                                    .writer = volume->writer,
                                    .digest = block_volume_digest(volume),
                                    .block_bytes = volume->block_bytes,
                                    .is_durable = block->is_durable};
    if (answer_capacity < sizeof(info)) {
        return -EMSGSIZE;
    }
    memcpy(answer, &info, sizeof(info));
    return sizeof(info);
}

static int32_t read_query(struct app *app, const void *bytes, uint32_t count, void *answer,
                          uint32_t answer_capacity)
{
    struct block_query query;
    if (!block_command_decode_query(bytes, count, &query)) {
        return -EINVAL;
    }
    switch (query.kind) {
    case BLOCK_QUERY_READ:
        return answer_read(&of(app)->volume, &query, answer, answer_capacity);
    case BLOCK_QUERY_CHECK:
        return answer_check(&of(app)->volume, &query, answer, answer_capacity);
    case BLOCK_QUERY_INFO:
        return answer_info(of(app), answer, answer_capacity);
    }
    return -EINVAL;
}

// A malformed command touches nothing.
static int32_t footprint(const void *payload, uint32_t bytes, struct app_footprint *ranges,
                         uint32_t max)
{
    struct block_command command;
    struct block_range range;
    if (!block_command_decode(payload, bytes, &command)) {
        return 0;
    }
    if (!block_command_range(&command, &range) || max < 1) {
        return -1;
    }
    ranges[0] = (struct app_footprint){.start = range.start, .length = range.length};
    return 1;
}

static uint64_t digest(struct app *app)
{
    return block_volume_digest(&of(app)->volume);
}

static int checkpoint_begin(struct app *app)
{
    block_checkpoint_save(&of(app)->checkpoint, &of(app)->volume);
    return 0;
}

static int64_t checkpoint_read(struct app *app, void *buffer, uint64_t capacity)
{
    return block_checkpoint_read(&of(app)->checkpoint, buffer, capacity);
}

static void checkpoint_end(struct app *app)
{
    (void)app;
}

static int restore_begin(struct app *app)
{
    block_volume_clear(&of(app)->volume);
    block_checkpoint_restore(&of(app)->checkpoint, &of(app)->volume);
    return 0;
}

static int restore_write(struct app *app, const void *data, uint64_t bytes)
{
    return block_checkpoint_write(&of(app)->checkpoint, data, bytes) ? 0 : -EBADMSG;
}

static int restore_end(struct app *app)
{
    if (!block_checkpoint_finish(&of(app)->checkpoint)) {
        block_volume_clear(&of(app)->volume);
        return -EBADMSG;
    }
    return 0;
}

static void close_app(struct app *app)
{
    munmap(of(app)->memory, of(app)->memory_bytes);
    free(app);
}

static const struct app_ops ops = {
    .name = "block",
    .apply = apply,
    .read = read_query,
    .footprint = footprint,
    .digest = digest,
    .checkpoint_begin = checkpoint_begin,
    .checkpoint_read = checkpoint_read,
    .checkpoint_end = checkpoint_end,
    .restore_begin = restore_begin,
    .restore_write = restore_write,
    .restore_end = restore_end,
    .close = close_app,
};

// Address space alone: the kernel gives pages when they are written.
static void *map_memory(uint64_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

int app_block_open(const struct app_block_config *config, struct app **app, char *reason,
                   size_t reason_bytes)
{
    uint64_t memory_bytes = config->memory_bytes;
    if (memory_bytes < MEMORY_BYTES_MIN || memory_bytes > MEMORY_BYTES_MAX ||
        memory_bytes % 4096 != 0) {
        snprintf(reason, reason_bytes,
                 "block: %" PRIu64 " bytes of memory; 1 MiB to 64 TiB are possible", memory_bytes);
        return -EINVAL;
    }
    struct app_block *block = calloc(1, sizeof(*block));
    void *memory = block == NULL ? NULL : map_memory(memory_bytes);
    if (memory == NULL) {
        snprintf(reason, reason_bytes, "block: cannot get address space for %" PRIu64 " MiB",
                 memory_bytes >> 20);
        free(block);
        return -ENOMEM;
    }
    block->app.ops = &ops;
    block->memory = memory;
    block->memory_bytes = memory_bytes;
    block->is_durable = config->is_durable;
    block_volume_init(&block->volume, memory, memory_bytes);
    *app = &block->app;
    return 0;
}
