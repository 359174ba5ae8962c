// Durable checkpoints of a group's state.
//
// Stop and copy: while its state is read out, piece by piece in successive poll iterations, a group
// applies nothing; it goes on receiving, writing, acknowledging and committing. A durable log keeps
// two files a group and overwrites the older one: data, flush, then one header block as a durable
// write. Recovery takes the newest header that holds. What they allow to be forgotten: tail.c.
#include "engine/reactor/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/crc32c.h"

#define CHECKPOINT_MAGIC UINT64_C(0x31504B434E544E50) // "PNTNCKP1"
#define RETRY_AFTER_NS UINT64_C(100000000)            // after a checkpoint that found no room

enum { HEADER_BYTES = 4096 };

enum {
    // Made by a node that does not hold everything it once acknowledged. It does not after the next
    // start either: what it gets back later must not make it forget that.
    HEADER_INCOMPLETE = 1,
    HEADER_PARALLEL = 2, // of a parallel group; its log may have nothing yet that says so
};

// The first block of a checkpoint file; the stream follows at HEADER_BYTES.
struct header {
    uint64_t magic;
    uint64_t cluster;
    uint32_t node;
    uint32_t group;
    uint64_t generation;
    uint64_t term, index; // of the last entry covered
    uint64_t stream_bytes;
    uint32_t flags; // HEADER_INCOMPLETE, HEADER_PARALLEL
    uint32_t crc;   // of everything before
};
_Static_assert(sizeof(struct header) == 64, "on disk");

// --------------------------------------------------------------------------------------------------
// files

static void header_fill(const struct group *group, struct header *header)
{
    const struct checkpoint *checkpoint = &group->checkpoint;
    uint32_t flags = checkpoint->is_incomplete ? HEADER_INCOMPLETE : 0;
    flags |= is_parallel(group) ? HEADER_PARALLEL : 0;
    *header = (struct header){.magic = CHECKPOINT_MAGIC,
                              .cluster = group->reactor->config.cluster,
                              .node = group->reactor->config.node,
                              .group = group->id,
                              .generation = checkpoint->generation + 1,
                              .term = checkpoint->covers.term,
                              .index = checkpoint->covers.index,
                              .stream_bytes = checkpoint->stream.bytes,
                              .flags = flags};
    header->crc = crc32c(0, header, offsetof(struct header, crc));
}

static bool header_holds(const struct group *group, const struct header *header)
{
    return header->magic == CHECKPOINT_MAGIC &&
           crc32c(0, header, offsetof(struct header, crc)) == header->crc &&
           header->cluster == group->reactor->config.cluster &&
           header->node == group->reactor->config.node && header->group == group->id &&
           header->index <= RAFT_INDEX_MAX && header->term <= RAFT_TERM_MAX &&
           header->stream_bytes <= group->reactor->config.app_bytes_max;
}

static int read_wait(struct disk *disk, uint32_t file, void *data, uint64_t offset, uint32_t bytes)
{
    const struct disk_request request = {
        .op = DISK_READ, .file = file, .data = data, .offset = offset, .bytes = bytes};
    struct disk_completion completion;
    if (!disk->ops->submit(disk, &request)) {
        return -EBUSY;
    }
    disk->ops->kick(disk);
    while (disk->ops->poll(disk, &completion, 1) == 0) {
    }
    return completion.result;
}

// A file is open only while it is read or written: a reactor has many groups.
static int open_checkpoint(const struct group *group, uint32_t which, bool may_create,
                           uint32_t *file)
{
    struct disk *disk = group->reactor->config.checkpoint_disk;
    char name[64];
    uint64_t size;
    snprintf(name, sizeof(name), "checkpoint-%u-%u", group->id, which);
    int error = disk->ops->open_file(disk, name, DISK_OPEN_EXISTING, 0, file, &size);
    if (error == -ENOENT && may_create) {
        error = disk->ops->open_file(disk, name, DISK_OPEN_CREATE, HEADER_BYTES, file, &size);
    }
    return error;
}

// Reads a file into the group's state. `*header` was read and holds.
static int load(struct group *group, uint32_t file, const struct header *header)
{
    struct disk *disk = group->reactor->config.checkpoint_disk;
    uint64_t padded = (header->stream_bytes + HEADER_BYTES - 1) & ~(uint64_t)(HEADER_BYTES - 1);
    uint8_t *data = aligned_alloc(HEADER_BYTES, padded);
    int error = data == NULL ? -ENOMEM : 0;
    for (uint64_t offset = 0; offset < padded && error == 0; offset += CHECKPOINT_CHUNK_BYTES) {
        uint64_t left = padded - offset;
        uint32_t bytes = left < CHECKPOINT_CHUNK_BYTES ? (uint32_t)left : CHECKPOINT_CHUNK_BYTES;
        error = read_wait(disk, file, data + offset, HEADER_BYTES + offset, bytes);
    }
    if (error == 0 && !stream_is_whole(group, data, header->stream_bytes)) {
        error = -EBADMSG;
    } else if (error == 0) {
        bool fits = stream_fits(group, data, header->stream_bytes);
        error = fits ? stream_restore(group, data, header->stream_bytes) : -EOVERFLOW;
    }
    free(data);
    return error;
}

// Reads the header of file `which`; all zero when there is none that holds.
static int read_header(const struct group *group, uint32_t which, struct header *header)
{
    struct reactor *reactor = group->reactor;
    struct disk *disk = reactor->config.checkpoint_disk;
    uint32_t file;
    *header = (struct header){0};
    int error = open_checkpoint(group, which, false, &file);
    if (error != 0) {
        return error == -ENOENT ? 0 : error;
    }
    error = read_wait(disk, file, reactor->checkpoint_buffer, 0, HEADER_BYTES);
    disk->ops->close_file(disk, file);
    memcpy(header, reactor->checkpoint_buffer, sizeof(*header));
    if (error != 0 || !header_holds(group, header)) {
        *header = (struct header){0};
    }
    return error == -ENODATA ? 0 : error;
}

static int load_newest(struct group *group)
{
    struct disk *disk = group->reactor->config.checkpoint_disk;
    struct header headers[2];
    uint32_t file;
    for (uint32_t which = 0; which < 2; which++) {
        int error = read_header(group, which, &headers[which]);
        if (error != 0) {
            return error;
        }
    }
    uint32_t newest = headers[1].generation > headers[0].generation;
    const struct header *header = &headers[newest];
    if (header->generation == 0) {
        return 0;
    }
    group->checkpoint.generation = header->generation;
    group->was_parallel = (header->flags & HEADER_PARALLEL) != 0; // (it may not be readable here)
    int error = open_checkpoint(group, newest, false, &file);
    if (error != 0) {
        return error;
    }
    error = load(group, file, header);
    disk->ops->close_file(disk, file);
    if (error == 0) {
        group->checkpoint.durable =
            (struct raft_entry_id){.term = header->term, .index = header->index};
        group->is_incomplete = (header->flags & HEADER_INCOMPLETE) != 0;
    }
    bool is_final = error == -ENOMEM || error == -EIO || error == -EOVERFLOW;
    return error == 0 || is_final ? error : -EBADMSG;
}

// Finds and loads the newest checkpoint. 0 (checkpoint.durable says what it covers: perhaps
// nothing), -EBADMSG: the newest one is damaged and the node must be repaired by its peers, or
// another error with reason.
int checkpoint_recover(struct group *group, char *reason, size_t reason_bytes)
{
    int error = load_newest(group);
    if (error == -EOVERFLOW) {
        snprintf(
            reason, reason_bytes,
            "the checkpoint of group %u holds more entries beyond a hole than log_entries = %u "
            "allows; raise it",
            group->id, group->reactor->config.log_entries);
    } else if (error != 0 && error != -EBADMSG) {
        snprintf(reason, reason_bytes,
                 "checkpoint of group %u: %s; check the directory's permissions and disk",
                 group->id, strerror(-error));
    }
    return error;
}

void checkpoint_close(struct group *group)
{
    struct disk *disk = group->reactor->config.checkpoint_disk;
    struct disk_completion completion;
    while (group->checkpoint.is_write_out && disk->ops->poll(disk, &completion, 1) == 0) {
    }
    stream_end(&group->checkpoint.stream);
    if (group->checkpoint.is_open) {
        disk->ops->close_file(disk, group->checkpoint.file);
    }
}

// -------------------------------------------------------------------------------------------------
// making

static bool begin(struct group *group, struct raft_entry_id covers)
{
    struct checkpoint *checkpoint = &group->checkpoint;
    struct reactor *reactor = group->reactor;
    uint32_t which = (checkpoint->generation + 1) % 2;
    if (open_checkpoint(group, which, true, &checkpoint->file) != 0) {
        checkpoint->retry_ns = reactor->now_ns + RETRY_AFTER_NS;
        return false;
    }
    reactor->checkpointing = group;
    group_pause(group);
    checkpoint->is_open = true;
    checkpoint->covers = covers;
    checkpoint->state = CHECKPOINT_COPYING;
    checkpoint->began_head = wal_head(group->reactor->wal);
    checkpoint->file_offset = HEADER_BYTES;
    checkpoint->buffer_bytes = 0;
    checkpoint->is_write_out = false;
    return true;
}

static bool may_begin(const struct group *group)
{
    const struct reactor *reactor = group->reactor;
    return reactor->checkpointing == NULL && !reactor->is_failed &&
           reactor->now_ns >= group->checkpoint.retry_ns;
}

// Begins a checkpoint of what is applied. One at a time a reactor; nothing happens when one is
// under way.
void checkpoint_start(struct group *group)
{
    struct checkpoint *checkpoint = &group->checkpoint;
    struct raft_view view;
    raft_view(group->raft, &view);
    // Nothing new would be in it: neither a later state, nor that the node is whole again. (Made
    // all the same, one after the other, they left no moment to take the checkpoint of a peer.)
    bool has_news =
        group->applied > checkpoint->durable.index || (group->is_incomplete && view.intact);
    if (may_begin(group) && !group->is_paused && !group->is_halted && has_news) {
        begin(group, (struct raft_entry_id){0, 0});
    }
}

// The same of a state that was just installed and is not in the log. False: not now.
bool checkpoint_start_installed(struct group *group, struct raft_entry_id covers)
{
    return may_begin(group) && begin(group, covers);
}

static void finish(struct group *group, bool is_durable)
{
    struct reactor *reactor = group->reactor;
    struct checkpoint *checkpoint = &group->checkpoint;
    stream_end(&checkpoint->stream);
    reactor->config.checkpoint_disk->ops->close_file(reactor->config.checkpoint_disk,
                                                     checkpoint->file);
    checkpoint->is_open = false;
    if (is_durable) {
        checkpoint->generation++;
        checkpoint->durable = checkpoint->covers;
        group->is_incomplete = checkpoint->is_incomplete;
        reactor->counters.checkpoints++;
    }
    checkpoint->retry_ns = is_durable ? 0 : reactor->now_ns + RETRY_AFTER_NS;
    checkpoint->state = CHECKPOINT_IDLE;
    reactor->checkpointing = NULL;
    group_resume(group);
    group_mark_dirty(group);
    if (group->snapshot.in_must_persist) {
        snapshot_persisted(group);
    }
}

static void submit(struct group *group, enum disk_op op, uint64_t offset, uint32_t bytes)
{
    struct checkpoint *checkpoint = &group->checkpoint;
    struct disk *disk = group->reactor->config.checkpoint_disk;
    const struct disk_request request = {.op = op,
                                         .file = checkpoint->file,
                                         .data = group->reactor->checkpoint_buffer,
                                         .offset = offset,
                                         .bytes = bytes};
    bool is_taken = disk->ops->submit(disk, &request);
    ASSERT(is_taken); // nobody else uses this disk, and one request is out at a time
    checkpoint->is_write_out = true;
    disk->ops->kick(disk);
}

// Copies the next piece out of the state; writes the buffer when it is full, or the rest when that
// was all.
static void copy(struct group *group)
{
    struct checkpoint *checkpoint = &group->checkpoint;
    uint8_t *buffer = group->reactor->checkpoint_buffer;
    int64_t count = 1;
    while (CHECKPOINT_CHUNK_BYTES - checkpoint->buffer_bytes >= HEADER_BYTES && count > 0) {
        count = stream_read(&checkpoint->stream, buffer + checkpoint->buffer_bytes,
                            CHECKPOINT_CHUNK_BYTES - checkpoint->buffer_bytes);
        checkpoint->buffer_bytes += count > 0 ? (uint32_t)count : 0;
    }
    if (count < 0) {
        finish(group, false);
        return;
    }
    // Whole blocks leave; the rest moves to the front. The last block is padded.
    uint32_t whole = checkpoint->buffer_bytes & ~(uint32_t)(HEADER_BYTES - 1);
    if (count == 0) {
        memset(buffer + checkpoint->buffer_bytes, 0,
               HEADER_BYTES - checkpoint->buffer_bytes % HEADER_BYTES);
        whole = (checkpoint->buffer_bytes + HEADER_BYTES - 1) & ~(uint32_t)(HEADER_BYTES - 1);
        checkpoint->state = CHECKPOINT_FLUSHING;
        checkpoint->buffer_bytes = whole;
    }
    if (whole > 0) {
        submit(group, DISK_WRITE, checkpoint->file_offset, whole);
    } else if (checkpoint->state == CHECKPOINT_FLUSHING) {
        submit(group, DISK_FLUSH, 0, 0);
    }
}

static void after_write(struct group *group)
{
    struct checkpoint *checkpoint = &group->checkpoint;
    uint32_t whole = checkpoint->buffer_bytes & ~(uint32_t)(HEADER_BYTES - 1);
    uint8_t *buffer = group->reactor->checkpoint_buffer;
    memmove(buffer, buffer + whole, checkpoint->buffer_bytes - whole);
    checkpoint->buffer_bytes -= whole;
    checkpoint->file_offset += whole;
}

static void write_header(struct group *group)
{
    struct header header;
    struct raft_view view;
    raft_view(group->raft, &view);
    group->checkpoint.is_incomplete = !view.intact;
    header_fill(group, &header);
    memset(group->reactor->checkpoint_buffer, 0, HEADER_BYTES);
    memcpy(group->reactor->checkpoint_buffer, &header, sizeof(header));
    submit(group, DISK_WRITE_DURABLE, 0, HEADER_BYTES);
}

static void on_completion(struct group *group, int32_t result)
{
    struct checkpoint *checkpoint = &group->checkpoint;
    checkpoint->is_write_out = false;
    if (result != 0) {
        // The log stays as it is: a full disk ends in back-pressure. Any other failure is final for
        // the device (driver_api/disk.h).
        finish(group, false);
        if (result != -ENOSPC) {
            group_device_failed(group->reactor);
        }
        return;
    }
    switch (checkpoint->state) {
    case CHECKPOINT_COPYING:
        after_write(group);
        break;
    case CHECKPOINT_FLUSHING:
        if (checkpoint->buffer_bytes > 0) {
            after_write(group);
            submit(group, DISK_FLUSH, 0, 0);
        } else {
            checkpoint->state = CHECKPOINT_SEALING;
            write_header(group);
        }
        break;
    case CHECKPOINT_SEALING:
        finish(group, true);
        break;
    case CHECKPOINT_IDLE:
        break;
    }
}

// Of what is applied, or (covers is known then) of a state that was installed.
static void begin_copy(struct group *group)
{
    struct checkpoint *checkpoint = &group->checkpoint;
    struct raft_beyond beyond = group->restored;
    if (checkpoint->covers.index == 0) {
        checkpoint->covers = raft_id_at(group->raft, group->applied);
        raft_applied_beyond(group->raft, &beyond);
    }
    stream_begin(&checkpoint->stream, group, &beyond);
}

bool checkpoint_poll(struct reactor *reactor)
{
    struct group *group = reactor->checkpointing;
    if (group == NULL) {
        return false;
    }
    struct checkpoint *checkpoint = &group->checkpoint;
    struct disk_completion completion;
    if (checkpoint->is_write_out) {
        struct disk *disk = reactor->config.checkpoint_disk;
        if (disk->ops->poll(disk, &completion, 1) == 0) {
            return false;
        }
        on_completion(group, completion.result);
        return true;
    }
    if (group->jobs_out > 0) {
        return false; // what was handed to a worker comes first
    }
    if (!checkpoint->stream.is_active) {
        begin_copy(group);
    }
    copy(group);
    return true;
}
