// The superblock is kept like a hard state: two copies, written one after the other at every start,
// used only when both are durable. So whichever single copy is lost, the other one's boot counter
// is at least the newest that was ever used.
#include "engine/wal/wal_files.h"

#include "engine/base/prng.h"
#include "engine/wal/wal_blocking.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 32, SCRATCH_BYTES_MAX = 1 << 20 };

__attribute__((format(printf, 3, 4))) static int refuse(struct wal_opening *opening, int error,
                                                        const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(opening->reason, opening->reason_bytes, format, arguments);
    va_end(arguments);
    return error;
}

static int refuse_io(struct wal_opening *opening, int error, const char *doing, const char *name)
{
    if (error == -ENOSPC) {
        return refuse(opening, error,
                      "log: %s %s: no space left: free %" PRIu64 " MiB or configure a smaller log",
                      doing, name, opening->config->log_bytes >> 20);
    }
    return refuse(opening, error, "log: %s %s: %s; %s", doing, name, strerror(-error),
                  error == -EACCES || error == -EPERM
                      ? "give the files to the user of the node (chown)"
                      : "look at the disk and its file system");
}

static void file_name(const struct wal_opening *opening, char name[NAME_BYTES], const char *stem,
                      const char *ending)
{
    snprintf(name, NAME_BYTES, "%s.%u%s", stem, opening->config->reactor, ending);
}

static uint64_t meta_bytes(const struct wal_config *config)
{
    return (2 + 2 * (uint64_t)config->groups_max) * WAL_BLOCK_BYTES;
}

static uint64_t scratch_bytes(const struct wal_config *config)
{
    return config->log_bytes < SCRATCH_BYTES_MAX ? config->log_bytes : SCRATCH_BYTES_MAX;
}

// --- bootstrap ---

static void fill_super(uint8_t *block, const struct wal_super *super, uint32_t copy)
{
    memset(block, 0, WAL_BLOCK_BYTES);
    memcpy(block, super, sizeof(*super));
    wal_layout_super_seal((struct wal_super *)(void *)block, copy);
}

// Fills one block of a new meta file: two superblock copies, then two slots a group.
static void fill_meta_block(const struct wal_opening *opening, uint8_t *block, uint64_t number)
{
    if (number < 2) {
        fill_super(block, &opening->super, (uint32_t)number);
        return;
    }
    wal_hard_fill(opening->wal, block, (uint16_t)((number - 2) / 2), (uint32_t)(number & 1), 0,
                  (struct raft_hard_state){0});
}

static int write_meta(struct wal_opening *opening, uint32_t file)
{
    struct disk *disk = opening->config->disk;
    uint8_t *scratch = opening->config->arena;
    uint64_t total = meta_bytes(opening->config);
    for (uint64_t offset = 0; offset < total;) {
        uint64_t bytes = 0;
        for (; bytes < scratch_bytes(opening->config) && offset + bytes < total;
             bytes += WAL_BLOCK_BYTES) {
            fill_meta_block(opening, scratch + bytes, (offset + bytes) / WAL_BLOCK_BYTES);
        }
        int error = wal_blocking_request(disk, DISK_WRITE, file, scratch, offset, bytes);
        if (error != 0) {
            return error;
        }
        offset += bytes;
    }
    return wal_blocking_request(disk, DISK_FLUSH, file, NULL, 0, 0);
}

// The meta file comes into being whole or not at all: it is written under another name.
static int create_meta(struct wal_opening *opening)
{
    struct disk *disk = opening->config->disk;
    char name[NAME_BYTES], new_name[NAME_BYTES];
    uint32_t file;
    uint64_t size;
    file_name(opening, name, "meta", "");
    file_name(opening, new_name, "meta", ".new");
    int error = disk->ops->open_file(disk, new_name, DISK_OPEN_REPLACE, 0, &file, &size);
    if (error == 0) {
        error = write_meta(opening, file);
        disk->ops->close_file(disk, file);
    }
    if (error == 0) {
        error = disk->ops->rename_file(disk, new_name, name);
    }
    if (error != 0) {
        disk->ops->remove_file(disk, new_name);
        return refuse_io(opening, error, "creating", name);
    }
    return 0;
}

// A log file without its meta file: the left-over of an interrupted bootstrap is removed, one with
// batches in it is not.
static int clear_leftover(struct wal_opening *opening, const char *name)
{
    struct disk *disk = opening->config->disk;
    uint32_t file;
    uint64_t size;
    int error = disk->ops->open_file(disk, name, DISK_OPEN_EXISTING, 0, &file, &size);
    if (error == -ENOENT) {
        return 0;
    }
    if (error != 0) {
        return refuse_io(opening, error, "opening", name);
    }
    uint8_t *block = opening->wal->hard_buffers;
    error = wal_blocking_request(disk, DISK_READ, file, block, 0, WAL_BLOCK_BYTES);
    disk->ops->close_file(disk, file);
    if (error == 0 &&
        wal_layout_header_is_whole((const struct wal_batch_header *)(const void *)block)) {
        return refuse(opening, -EEXIST,
                      "log: %s holds entries but its meta file is missing: restore that, or move "
                      "%s away to start anew",
                      name, name);
    }
    error = disk->ops->remove_file(disk, name);
    return error == 0 ? 0 : refuse_io(opening, error, "removing", name);
}

static int create_log(struct wal_opening *opening, const char *name)
{
    struct disk *disk = opening->config->disk;
    uint32_t file;
    uint64_t size;
    int error = disk->ops->open_file(disk, name, DISK_OPEN_CREATE, opening->config->log_bytes,
                                     &file, &size);
    if (error != 0) {
        return refuse_io(opening, error, "creating", name);
    }
    disk->ops->close_file(disk, file);
    return 0;
}

static int bootstrap(struct wal_opening *opening)
{
    struct disk *disk = opening->config->disk;
    char meta[NAME_BYTES], log[NAME_BYTES];
    uint32_t file;
    uint64_t size;
    file_name(opening, meta, "meta", "");
    file_name(opening, log, "log", "");
    int error = disk->ops->open_file(disk, meta, DISK_OPEN_EXISTING, 0, &file, &size);
    if (error == 0) {
        disk->ops->close_file(disk, file);
        return refuse(opening, -EEXIST,
                      "log: %s exists: this node was bootstrapped before; start it without "
                      "bootstrap",
                      meta);
    }
    if (error != -ENOENT) {
        return refuse_io(opening, error, "opening", meta);
    }
    error = clear_leftover(opening, log);
    if (error == 0 && !opening->config->is_volatile) {
        error = create_log(opening, log);
    }
    if (error != 0) {
        return error;
    }
    error = create_meta(opening);
    if (error != 0 && !opening->config->is_volatile) {
        disk->ops->remove_file(disk, log);
    }
    return error;
}

// --- superblock ---

// A new name for a new filling of the log: no header of an earlier one, and none that a client
// could write, has it.
static uint64_t draw_log_id(const struct wal_config *config, uint64_t boot)
{
    uint64_t words[] = {config->nonce, config->cluster, config->node, config->reactor, boot};
    uint64_t mixed = 0;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        uint64_t state = mixed + words[i];
        mixed = prng_splitmix(&state);
    }
    return mixed;
}

static void new_super(struct wal_opening *opening)
{
    const struct wal_config *config = opening->config;
    opening->super = (struct wal_super){.cluster = config->cluster,
                                        .node = config->node,
                                        .reactor = config->reactor,
                                        .log_bytes = config->log_bytes,
                                        .segment_bytes = config->segment_bytes,
                                        .groups_max = config->groups_max,
                                        .log_id = draw_log_id(config, 0)};
}

static int write_super(struct wal_opening *opening)
{
    struct wal *wal = opening->wal;
    uint8_t *block = wal->hard_buffers;
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t copy = i == 0 ? 1 - opening->newest_copy : opening->newest_copy;
        fill_super(block, &opening->super, copy);
        int error = wal_blocking_request(wal->disk, DISK_WRITE_DURABLE, wal->meta_file, block,
                                         (uint64_t)copy * WAL_BLOCK_BYTES, WAL_BLOCK_BYTES);
        if (error != 0) {
            return refuse_io(opening, error, "writing", "the superblock");
        }
    }
    return 0;
}

static int read_super(struct wal_opening *opening)
{
    struct wal *wal = opening->wal;
    struct wal_super copies[2];
    bool is_whole[2];
    for (uint32_t copy = 0; copy < 2; copy++) {
        uint8_t *block = wal->hard_buffers;
        int error = wal_blocking_request(wal->disk, DISK_READ, wal->meta_file, block,
                                         (uint64_t)copy * WAL_BLOCK_BYTES, WAL_BLOCK_BYTES);
        memcpy(&copies[copy], block, sizeof(copies[copy]));
        is_whole[copy] = error == 0 && wal_layout_super_is_whole(&copies[copy], copy);
    }
    if (!is_whole[0] && !is_whole[1]) {
        return refuse(opening, -EBADMSG,
                      "log: both superblocks are unreadable, and with them this node's votes: "
                      "remove the node from its groups and add it again with an empty directory");
    }
    opening->newest_copy =
        !is_whole[0] ||
        (is_whole[1] &&
         (copies[1].boot > copies[0].boot ||
          (copies[1].boot == copies[0].boot && copies[1].log_boot > copies[0].log_boot)));
    opening->super = copies[opening->newest_copy];
    return 0;
}

static int check_super(struct wal_opening *opening)
{
    const struct wal_config *config = opening->config;
    const struct wal_super *super = &opening->super;
    if (super->cluster != config->cluster || super->node != config->node ||
        super->reactor != config->reactor) {
        return refuse(opening, -EXDEV,
                      "log: belongs to cluster %" PRIu64
                      " node %u reactor %u, not to cluster %" PRIu64
                      " node %u reactor %u; give each node its own directory",
                      super->cluster, super->node, super->reactor, config->cluster, config->node,
                      config->reactor);
    }
    if (super->groups_max != config->groups_max) {
        return refuse(opening, -EINVAL,
                      "log: made for %u groups, configured for %u: configure as it was made",
                      super->groups_max, config->groups_max);
    }
    if (config->is_volatile || config->reset_log) {
        return 0;
    }
    if ((super->flags & WAL_SUPER_ENTRIES_LOST) != 0) {
        return refuse(opening, -EINVAL,
                      "log: last used with durability memory, which keeps no entries: configure "
                      "that again, or another directory");
    }
    if (super->log_bytes != config->log_bytes || super->segment_bytes != config->segment_bytes) {
        return refuse(opening, -EXDEV,
                      "log: made with %" PRIu64 " MiB in segments of %" PRIu64
                      " KiB, configured as %" PRIu64 " MiB, %" PRIu64
                      " KiB: set log_mib and reactors as they were",
                      super->log_bytes >> 20, super->segment_bytes >> 10, config->log_bytes >> 20,
                      config->segment_bytes >> 10);
    }
    return 0;
}

static int count_boot(struct wal_opening *opening)
{
    const struct wal_config *config = opening->config;
    struct wal_super *super = &opening->super;
    super->boot++;
    if (config->is_volatile || config->reset_log) {
        super->log_id = draw_log_id(config, super->boot);
        super->log_boot = 0;
        super->log_bytes = config->log_bytes;
        super->segment_bytes = config->segment_bytes;
        super->flags = config->is_volatile ? WAL_SUPER_ENTRIES_LOST : 0;
    }
    opening->wal->boot = super->boot;
    opening->wal->identity.log_id = super->log_id;
    return write_super(opening);
}

// --- hard states ---

// Both copies of a group that is not written equal in both places: the better one is written over
// the other.
static int mend_hard(struct wal_opening *opening, uint16_t group)
{
    struct wal *wal = opening->wal;
    struct wal_hard *hard = &wal->hards[group];
    wal_hard_fill(wal, wal->hard_buffers, group, hard->first_copy, hard->sequence, hard->durable);
    int error =
        wal_blocking_request(wal->disk, DISK_WRITE_DURABLE, wal->meta_file, wal->hard_buffers,
                             wal_hard_offset(group, hard->first_copy), WAL_BLOCK_BYTES);
    return error == 0 ? 0 : refuse_io(opening, error, "writing", "term and vote");
}

static int recover_hard(struct wal_opening *opening, uint16_t group, const uint8_t *blocks)
{
    const struct wal_config *config = opening->config;
    const struct wal_hard_slot *slots[2];
    for (uint16_t copy = 0; copy < 2; copy++) {
        struct wal_hard_slot key = {.cluster = config->cluster,
                                    .node = config->node,
                                    .reactor = config->reactor,
                                    .group = group,
                                    .copy = copy};
        slots[copy] = (const void *)(blocks + (size_t)copy * WAL_BLOCK_BYTES);
        if (!wal_layout_hard_is_whole(slots[copy], &key)) {
            slots[copy] = NULL;
        }
    }
    if (!wal_hard_recover(opening->wal, group, slots[0], slots[1])) {
        return refuse(opening, -EBADMSG,
                      "log: term and vote of group %u are unreadable in both copies: remove the "
                      "node from its groups and add it again with an empty directory",
                      group);
    }
    if (slots[0] == NULL || slots[1] == NULL || slots[0]->sequence != slots[1]->sequence) {
        return mend_hard(opening, group);
    }
    return 0;
}

static int read_hard_states(struct wal_opening *opening)
{
    struct wal *wal = opening->wal;
    uint8_t *scratch = opening->config->arena;
    uint64_t bad_blocks = 0; // each is one lost copy
    uint64_t groups_at_once = scratch_bytes(opening->config) / (2 * WAL_BLOCK_BYTES);
    for (uint64_t group = 0; group < wal->groups_max; group++) {
        uint64_t place = group % groups_at_once;
        uint64_t count =
            wal->groups_max - group < groups_at_once ? wal->groups_max - group : groups_at_once;
        if (place == 0) {
            uint64_t bytes = count * 2 * WAL_BLOCK_BYTES;
            int error = wal_blocking_request(wal->disk, DISK_READ, wal->meta_file, scratch,
                                             wal_hard_offset((uint16_t)group, 0), bytes);
            if (error != 0) {
                error = wal_blocking_read_blocks(wal->disk, wal->meta_file, scratch,
                                                 wal_hard_offset((uint16_t)group, 0),
                                                 (uint32_t)bytes, &bad_blocks);
            }
            if (error != 0) {
                return refuse_io(opening, error, "reading", "term and vote");
            }
        }
        int error = recover_hard(opening, (uint16_t)group, scratch + place * 2 * WAL_BLOCK_BYTES);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

// --- opening ---

static int open_meta(struct wal_opening *opening)
{
    struct wal *wal = opening->wal;
    char name[NAME_BYTES];
    uint64_t size;
    file_name(opening, name, "meta", "");
    int error =
        wal->disk->ops->open_file(wal->disk, name, DISK_OPEN_EXISTING, 0, &wal->meta_file, &size);
    if (error == -ENOENT) {
        return refuse(opening, error,
                      "log: %s is missing: a new node must be bootstrapped once, a node that lost "
                      "its disk removed and added again",
                      name);
    }
    if (error != 0) {
        return refuse_io(opening, error, "opening", name);
    }
    wal->has_meta_file = true;
    // What a killed process left in the device's cache must be durable before it is believed.
    error = wal_blocking_request(wal->disk, DISK_FLUSH, wal->meta_file, NULL, 0, 0);
    return error == 0 ? 0 : refuse_io(opening, error, "flushing", name);
}

static int open_log(struct wal_opening *opening)
{
    struct wal *wal = opening->wal;
    char name[NAME_BYTES];
    uint64_t size;
    file_name(opening, name, "log", "");
    int error =
        wal->disk->ops->open_file(wal->disk, name, DISK_OPEN_EXISTING, 0, &wal->log_file, &size);
    bool is_other_size = error == 0 && size != wal->log_bytes;
    if (is_other_size) {
        wal->disk->ops->close_file(wal->disk, wal->log_file);
    }
    if (opening->config->reset_log && (error == -ENOENT || is_other_size)) {
        if (is_other_size) {
            wal->disk->ops->remove_file(wal->disk, name);
        }
        error = create_log(opening, name);
        if (error != 0) {
            return error;
        }
        is_other_size = false;
        error = wal->disk->ops->open_file(wal->disk, name, DISK_OPEN_EXISTING, 0, &wal->log_file,
                                          &size);
    }
    if (is_other_size) {
        return refuse(opening, -EXDEV,
                      "log: %s has %" PRIu64 " bytes, not %" PRIu64 ": put the right one back",
                      name, size, wal->log_bytes);
    }
    if (error == -ENOENT) {
        return refuse(opening, error,
                      "log: %s is missing beside its meta file, and with it this node's entries: "
                      "put it back",
                      name);
    }
    if (error != 0) {
        return refuse_io(opening, error, "opening", name);
    }
    wal->has_log_file = true;
    return 0;
}

int wal_files_open(struct wal_opening *opening)
{
    int error = 0;
    wal_hard_init(opening->wal);
    if (opening->config->bootstrap) {
        new_super(opening);
        error = bootstrap(opening);
    }
    error = error != 0 ? error : open_meta(opening);
    error = error != 0 ? error : read_super(opening);
    error = error != 0 ? error : check_super(opening);
    error = error != 0 ? error : read_hard_states(opening);
    if (error == 0 && !opening->config->is_volatile) {
        error = open_log(opening);
    }
    return error != 0 ? error : count_boot(opening);
}

int wal_files_forget_log_boot(struct wal_opening *opening)
{
    opening->super.log_boot = 0;
    return write_super(opening);
}

int wal_files_opened(struct wal_opening *opening)
{
    opening->wal->disk->ops->register_memory(opening->wal->disk, opening->config->arena,
                                             opening->config->log_bytes);
    if (opening->config->is_volatile) {
        return 0;
    }
    opening->super.log_boot = opening->wal->boot;
    return write_super(opening);
}

void wal_files_close(struct wal *wal)
{
    if (wal->has_log_file) {
        wal->disk->ops->close_file(wal->disk, wal->log_file);
    }
    if (wal->has_meta_file) {
        wal->disk->ops->close_file(wal->disk, wal->meta_file);
    }
    wal->has_log_file = false;
    wal->has_meta_file = false;
}
