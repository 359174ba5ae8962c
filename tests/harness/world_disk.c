// Disks of a world: disk_memory behind a door that shuts when the node dies.
//
// A dying reactor closes its log, which waits for what it asked for: a dead disk answers everything
// with -EIO and touches nothing.
#include "tests/harness/world.h"

#include <errno.h>

#include "drivers/disk_memory/disk_memory.h"
#include "engine/base/assert.h"

static struct world_disk *of(struct disk *disk)
{
    return (struct world_disk *)disk;
}

static int open_file(struct disk *disk, const char *name, enum disk_open how, uint64_t bytes,
                     uint32_t *file, uint64_t *size)
{
    struct disk *inner = of(disk)->inner;
    return inner->ops->open_file(inner, name, how, bytes, file, size);
}

static void close_file(struct disk *disk, uint32_t file)
{
    struct disk *inner = of(disk)->inner;
    if (!of(disk)->is_dead) {
        inner->ops->close_file(inner, file);
    }
}

static int remove_file(struct disk *disk, const char *name)
{
    return of(disk)->inner->ops->remove_file(of(disk)->inner, name);
}

static int rename_file(struct disk *disk, const char *from, const char *to)
{
    return of(disk)->inner->ops->rename_file(of(disk)->inner, from, to);
}

static bool submit(struct disk *base, const struct disk_request *request)
{
    struct world_disk *disk = of(base);
    if (disk->tag_count == WORLD_DISK_REQUESTS_MAX ||
        (!disk->is_dead && !disk->inner->ops->submit(disk->inner, request))) {
        return false;
    }
    disk->tags[disk->tag_count++] = request->tag;
    return true;
}

static void kick(struct disk *disk)
{
    if (!of(disk)->is_dead) {
        of(disk)->inner->ops->kick(of(disk)->inner);
    }
}

static void forget_tag(struct world_disk *disk, uint64_t tag)
{
    uint32_t at = 0;
    while (disk->tags[at] != tag) {
        at++;
    }
    disk->tags[at] = disk->tags[--disk->tag_count];
}

static uint32_t poll(struct disk *base, struct disk_completion *completions, uint32_t max)
{
    struct world_disk *disk = of(base);
    uint32_t count = 0;
    if (!disk->is_dead) {
        count = disk->inner->ops->poll(disk->inner, completions, max);
        for (uint32_t at = 0; at < count; at++) {
            forget_tag(disk, completions[at].tag);
        }
        return count;
    }
    while (count < max && disk->tag_count > 0) {
        completions[count++] =
            (struct disk_completion){.tag = disk->tags[--disk->tag_count], .result = -EIO};
    }
    return count;
}

static int register_memory(struct disk *disk, void *data, uint64_t bytes)
{
    return 0;
}

static void close_disk(struct disk *disk)
{
}

static const struct disk_ops ops = {.name = "world",
                                    .open_file = open_file,
                                    .close_file = close_file,
                                    .remove_file = remove_file,
                                    .rename_file = rename_file,
                                    .submit = submit,
                                    .kick = kick,
                                    .poll = poll,
                                    .register_memory = register_memory,
                                    .close = close_disk};

void world_disk_open(struct world_disk *disk, uint64_t seed, uint32_t delay_polls)
{
    const struct disk_memory_options options = {.seed = seed,
                                                .block_bytes = 512,
                                                .in_flight_max = WORLD_DISK_REQUESTS_MAX,
                                                .delay_polls_max = delay_polls,
                                                .reorder = true,
                                                .tear_failed_writes = true};
    *disk = (struct world_disk){0};
    int error = disk_memory_open(&disk->inner, &options);
    ASSERT(error == 0);
    disk->disk = (struct disk){.ops = &ops,
                               .block_bytes = disk->inner->block_bytes,
                               .in_flight_max = WORLD_DISK_REQUESTS_MAX};
}

void world_disk_die(struct world_disk *disk, uint64_t seed, uint32_t keep_percent, bool is_power)
{
    if (is_power) {
        disk_memory_crash(disk->inner, seed, keep_percent);
    } else {
        disk_memory_kill(disk->inner, seed, keep_percent);
    }
    disk->is_dead = true;
}

void world_disk_revive(struct world_disk *disk)
{
    ASSERT_CMP(disk->tag_count, ==, 0);
    disk->is_dead = false;
}

void world_disk_close(struct world_disk *disk)
{
    disk->inner->ops->close(disk->inner);
}
