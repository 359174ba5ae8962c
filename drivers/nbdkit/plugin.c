// nbdkit-pontoon-plugin: a replicated volume as a network block device.
//
// A write is answered when it is committed. On a durable group that means on a majority of disks,
// so every write is what FUA asks for, and a flush has nothing left to do. On a `memory` group
// nothing is ever promised to be on a disk: flush and FUA are not advertised. Reads are
// linearizable, so all connections see the same, and so do the connections of another server of
// this volume that is read-only: multi-conn is true.
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/nbdkit/volume.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

enum { HOLD_SECONDS = 120, PREFERRED_BYTES = 64 << 10, REQUEST_BYTES_MAX = 32 << 20 };

static char *config_path;
static unsigned client = 1, group, hold_seconds = HOLD_SECONDS;
static struct volume *volume;
static char writable, read_only; // handles of connections

static int config(const char *key, const char *value)
{
    if (strcmp(key, "config") == 0) {
        free(config_path);
        config_path = nbdkit_realpath(value);
        return config_path == NULL ? -1 : 0;
    }
    if (strcmp(key, "client") == 0) {
        return nbdkit_parse_unsigned("client", value, &client);
    }
    if (strcmp(key, "group") == 0) {
        return nbdkit_parse_unsigned("group", value, &group);
    }
    if (strcmp(key, "hold") == 0) {
        return nbdkit_parse_unsigned("hold", value, &hold_seconds);
    }
    nbdkit_error("unknown parameter '%s'; there are config, client, group and hold", key);
    return -1;
}

static int config_complete(void)
{
    if (config_path == NULL) {
        nbdkit_error("config=FILE is missing: the configuration of the cluster");
        return -1;
    }
    if (client < 1 || client > UINT16_MAX || group > UINT16_MAX) {
        nbdkit_error("client or group out of range");
        return -1;
    }
    return 0;
}

// Does nbdkit shut down, or is our connection gone?
static int is_over(void)
{
    int saved = errno;
    bool ends = nbdkit_nanosleep(0, 1) != 0;
    errno = saved;
    return ends;
}

// Threads are started here, not before nbdkit went to the background.
static int after_fork(void)
{
    char reason[VOLUME_REASON_BYTES];
    const struct volume_options options = {.config = config_path,
                                           .client = (uint16_t)client,
                                           .group = (uint16_t)group,
                                           .hold_ns = (uint64_t)hold_seconds * 1000000000,
                                           .is_over = is_over};
    if (volume_open(&options, &volume, reason, sizeof(reason)) != 0) {
        nbdkit_error("%s", reason);
        return -1;
    }
    return 0;
}

static void cleanup(void)
{
    if (volume != NULL) {
        volume_close(volume);
    }
    free(config_path);
}

static int report(int error, const char *reason)
{
    if (error == 0) {
        return 0;
    }
    nbdkit_error("%s", reason);
    nbdkit_set_error(-error);
    return -1;
}

// What our former life left on the way must be fenced before anything is read. Where another server
// took over, this one can still be read.
static void *open_connection(int readonly)
{
    char reason[VOLUME_REASON_BYTES];
    if (readonly) {
        return &read_only;
    }
    int error = volume_do(volume, VOLUME_ATTACH, 0, 0, NULL, reason, sizeof(reason));
    if (error == -EROFS) {
        nbdkit_error("%s: this connection is read-only", reason);
        return &read_only;
    }
    return report(error, reason) != 0 ? NULL : &writable;
}

static int can_write(void *handle)
{
    return handle == &writable;
}

static int64_t get_size(void *handle)
{
    return (int64_t)volume_info(volume)->volume_bytes;
}

static int block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
    *minimum = volume_info(volume)->block_bytes;
    *preferred = PREFERRED_BYTES;
    *maximum = REQUEST_BYTES_MAX;
    return 0;
}

static int is_durable(void *handle)
{
    return volume_info(volume)->is_durable != 0;
}

static int can_fua(void *handle)
{
    return is_durable(handle) ? NBDKIT_FUA_NATIVE : NBDKIT_FUA_NONE;
}

static int yes(void *handle)
{
    return 1;
}

// nbdkit itself refuses what ends beyond the volume.
static int transfer(enum volume_kind kind, void *data, uint32_t count, uint64_t offset)
{
    char reason[VOLUME_REASON_BYTES];
    uint32_t block_bytes = volume_info(volume)->block_bytes;
    if (((offset | count) & (block_bytes - 1)) != 0) {
        nbdkit_error("%u bytes at %llu: not at the boundary of a block of %u bytes", count,
                     (unsigned long long)offset, block_bytes);
        nbdkit_set_error(EINVAL);
        return -1;
    }
    if (count == 0) {
        return 0;
    }
    return report(volume_do(volume, kind, offset, count, data, reason, sizeof(reason)), reason);
}

static int pread_(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
    return transfer(VOLUME_READ, buffer, count, offset);
}

static int pwrite_(void *handle, const void *buffer, uint32_t count, uint64_t offset,
                   uint32_t flags)
{
    return transfer(VOLUME_WRITE, (void *)(uintptr_t)buffer, count, offset); // only read from
}

static int zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    return transfer(VOLUME_ZERO, NULL, count, offset);
}

// What was answered is committed: nothing is left to do.
static int flush(void *handle, uint32_t flags)
{
    return 0;
}

// What is all zeroes need not be copied. The answer may end before the range does; clients ask on.
static int extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                   struct nbdkit_extents *found)
{
    char reason[VOLUME_REASON_BYTES];
    struct volume_map map = {{0}};
    const struct block_info *info = volume_info(volume);
    uint64_t at = offset / info->block_bytes * info->block_bytes, end = offset + count;
    end = (end + info->block_bytes - 1) / info->block_bytes * info->block_bytes;
    uint64_t bytes = end - at < BLOCK_MAP_BYTES_MAX ? end - at : BLOCK_MAP_BYTES_MAX;
    int error = volume_do(volume, VOLUME_MAP, at, bytes, &map, reason, sizeof(reason));
    for (uint32_t i = 0; i < BLOCK_MAP_RUNS_MAX && map.runs[i] != 0 && error == 0; i++) {
        bool is_zero = (map.runs[i] & BLOCK_RUN_ZERO) != 0;
        uint64_t length = (uint64_t)(map.runs[i] & ~BLOCK_RUN_ZERO) * info->block_bytes;
        if (nbdkit_add_extent(found, at, length,
                              is_zero ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0) != 0) {
            return -1;
        }
        at += length;
    }
    return report(error, reason);
}

static struct nbdkit_plugin plugin = {
    .name = "pontoon",
    .longname = "Pontoon replicated volume",
    .version = PONTOON_VERSION,
    .description = "serves a volume of a Pontoon cluster (app: block)",
    .config = config,
    .config_complete = config_complete,
    .config_help = "config=FILE    (required) configuration of the cluster\n"
                   "client=N       client place of the configuration to use (default 1)\n"
                   "group=N        group whose volume is served (default 0)\n"
                   "hold=SECONDS   a request fails when it had no answer for so long (default 120; "
                   "0: never)\n",
    .magic_config_key = "config",
    .after_fork = after_fork,
    .cleanup = cleanup,
    .open = open_connection,
    .get_size = get_size,
    .block_size = block_size,
    .can_write = can_write,
    .can_flush = is_durable,
    .can_fua = can_fua,
    .can_trim = yes,
    .can_zero = yes,
    .can_fast_zero = yes,
    .can_multi_conn = yes,
    .can_extents = yes,
    .pread = pread_,
    .pwrite = pwrite_,
    .flush = flush,
    .trim = zero,
    .zero = zero,
    .extents = extents,
    .errno_is_preserved = 0,
};

NBDKIT_REGISTER_PLUGIN(plugin)
