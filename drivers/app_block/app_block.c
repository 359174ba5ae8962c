#include "drivers/app_block/app_block.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "drivers/app_block/block_checkpoint.h"
#include "drivers/app_block/block_command.h"
#include "drivers/app_block/block_volume.h"

#define CAPACITY_BYTES_MIN (UINT64_C(1) << 20)
#define CAPACITY_BYTES_MAX (UINT64_C(1) << 46)

struct app_block {
    struct block_checkpoint checkpoint; // first: it begins with the app
    struct block_volume volume;
    bool is_durable;
    void *space;
    uint64_t space_bytes;
    int file; // -1: none
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
    bool is_sound = block_volume_read(volume, first, count, answer) == BLOCK_NONE;
    return is_sound ? (int32_t)query->bytes : -EBADMSG;
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

static int32_t answer_map(const struct block_volume *volume, const struct block_query *query,
                          void *answer, uint32_t answer_capacity)
{
    uint32_t runs[BLOCK_MAP_RUNS_MAX];
    uint64_t first, count;
    int error = block_volume_blocks(volume, query->offset, query->bytes, &first, &count);
    if (error != 0) {
        return error;
    }
    uint32_t found = block_volume_map(volume, first, count, runs, BLOCK_MAP_RUNS_MAX);
    if (found * sizeof(runs[0]) > answer_capacity) {
        return -EMSGSIZE;
    }
    memcpy(answer, runs, found * sizeof(runs[0]));
    return (int32_t)(found * sizeof(runs[0]));
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
    case BLOCK_QUERY_MAP:
        return answer_map(&of(app)->volume, &query, answer, answer_capacity);
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

static int32_t query_footprint(const void *bytes, uint32_t count, struct app_footprint *ranges,
                               uint32_t max)
{
    struct block_query query;
    struct block_range range;
    if (!block_command_decode_query(bytes, count, &query) ||
        !block_command_query_range(&query, &range) || max < 1) {
        return -1;
    }
    ranges[0] = (struct app_footprint){.start = range.start, .length = range.length};
    return 1;
}

static uint64_t digest(struct app *app)
{
    return block_volume_digest(&of(app)->volume);
}

static void close_app(struct app *app)
{
    munmap(of(app)->space, of(app)->space_bytes);
    if (of(app)->file >= 0) {
        close(of(app)->file);
    }
    free(app);
}

static const struct app_ops ops = {
    .name = "block",
    .apply = apply,
    .read = read_query,
    .footprint = footprint,
    .query_footprint = query_footprint,
    .digest = digest,
    .checkpoint_begin = app_checkpoint_begin,
    .checkpoint_read = app_checkpoint_read,
    .checkpoint_end = app_checkpoint_end,
    .restore_begin = app_checkpoint_restore_begin,
    .restore_write = app_checkpoint_restore_write,
    .restore_end = app_checkpoint_restore_end,
    .close = close_app,
};

// Address space alone: the kernel gives pages when they are written.
static void *map_space(uint64_t bytes)
{
    void *space = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return space == MAP_FAILED ? NULL : space;
}

static int open_file(struct app_block *block, const char *directory, char *reason,
                     size_t reason_bytes)
{
    if (directory == NULL) {
        return 0;
    }
    block->file = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (block->file >= 0) {
        return 0;
    }
    int error = errno;
    snprintf(reason, reason_bytes, "block: a file without a name in %s: %s; set app_file: false",
             directory, strerror(error));
    return -error;
}

int app_block_open(const struct app_block_config *config, struct app **app, char *reason,
                   size_t reason_bytes)
{
    uint64_t bytes = config->capacity_bytes;
    if (bytes < CAPACITY_BYTES_MIN || bytes > CAPACITY_BYTES_MAX ||
        bytes % BLOCK_STORE_PAGE_BYTES != 0) {
        snprintf(reason, reason_bytes,
                 "block: a capacity of %" PRIu64 " bytes; 1 MiB to 64 TiB are possible", bytes);
        return -EINVAL;
    }
    struct app_block *block = calloc(1, sizeof(*block));
    void *space = block == NULL ? NULL : map_space(bytes);
    if (space == NULL) {
        snprintf(reason, reason_bytes, "block: cannot get address space for %" PRIu64 " MiB",
                 bytes >> 20);
        free(block);
        return -ENOMEM;
    }
    block_checkpoint_init(&block->checkpoint, &ops, &block->volume);
    block->is_durable = config->is_durable;
    block->space = space;
    block->space_bytes = bytes;
    block->file = -1;
    struct app *opened = &block->checkpoint.base.app;
    int error = open_file(block, config->directory, reason, reason_bytes);
    if (error != 0) {
        close_app(opened);
        return error;
    }
    block_volume_init(&block->volume, space, bytes, block->file);
    *app = opened;
    return 0;
}
