// Requests on the ring: submission, short transfers, completions. What blocks (opening, creating)
// is in uring_files.c.
//
// One io_uring_enter a kick, none a poll: completions are read from the shared ring. Each request
// has a slot that counts what is still to transfer; a short transfer goes out again with the next
// kick, and only the last part completes the request. A write with RWF_DSYNC that comes back short
// has made that part durable, so its rest is all that is left to do.
#include "drivers/disk_uring/disk_uring.h"

#include "drivers/disk_uring/uring_disk.h"
#include "engine/base/assert.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IN_FLIGHT_LIMIT = 4096, CQES_AT_ONCE = 64 };

static struct uring_disk *self(struct disk *disk)
{
    return (struct uring_disk *)disk;
}

// --- registered memory ---

static int region_of(const struct uring_disk *uring, const void *data, uint32_t bytes)
{
    uintptr_t start = (uintptr_t)data;
    for (uint32_t i = 0; i < uring->region_count; i++) {
        uintptr_t base = (uintptr_t)uring->regions[i].iov_base;
        if (start >= base && start + bytes <= base + uring->regions[i].iov_len) {
            return (int)i;
        }
    }
    return -1;
}

// The kernel takes at most 1 GiB in one piece, and pins as much as memlock allows: refused means
// slower, not wrong.
static int register_memory(struct disk *disk, void *data, uint64_t bytes)
{
    struct uring_disk *uring = self(disk);
    if (uring->slots_used > 0 || uring->region_count == URING_REGIONS_MAX ||
        bytes > URING_REGION_BYTES_MAX) {
        return -ENOSPC;
    }
    if (uring->region_count > 0) {
        io_uring_unregister_buffers(&uring->ring);
    }
    uring->regions[uring->region_count] = (struct iovec){.iov_base = data, .iov_len = bytes};
    int error = io_uring_register_buffers(&uring->ring, uring->regions, uring->region_count + 1);
    if (error == 0) {
        uring->region_count++;
        return 0;
    }
    if (uring->region_count > 0 &&
        io_uring_register_buffers(&uring->ring, uring->regions, uring->region_count) != 0) {
        uring->region_count = 0;
    }
    return error;
}

// --- requests ---

static void prepare_transfer(struct uring_disk *uring, struct io_uring_sqe *sqe,
                             const struct uring_slot *slot)
{
    const struct disk_request *request = &slot->request;
    int fd = uring->files[request->file].fd;
    uint8_t *data = (uint8_t *)request->data + slot->done;
    uint32_t bytes = request->bytes - slot->done;
    uint64_t offset = request->offset + slot->done;
    int region = region_of(uring, data, bytes);
    bool is_read = request->op == DISK_READ;
    if (region >= 0 && is_read) {
        io_uring_prep_read_fixed(sqe, fd, data, bytes, offset, region);
    } else if (region >= 0) {
        io_uring_prep_write_fixed(sqe, fd, data, bytes, offset, region);
    } else if (is_read) {
        io_uring_prep_read(sqe, fd, data, bytes, offset);
    } else {
        io_uring_prep_write(sqe, fd, data, bytes, offset);
    }
    if (request->op == DISK_WRITE_DURABLE) {
        sqe->rw_flags = RWF_DSYNC;
    }
}

// Puts the rest of a slot's request on the ring. Result: false when the ring has no place before
// the next kick.
static bool enqueue(struct uring_disk *uring, uint32_t number)
{
    struct uring_slot *slot = &uring->slots[number];
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    if (sqe == NULL) {
        return false;
    }
    if (slot->request.op == DISK_FLUSH) {
        io_uring_prep_fsync(sqe, uring->files[slot->request.file].fd, IORING_FSYNC_DATASYNC);
    } else {
        prepare_transfer(uring, sqe, slot);
    }
    io_uring_sqe_set_data64(sqe, number);
    uring->queued++;
    return true;
}

static bool submit(struct disk *disk, const struct disk_request *request)
{
    struct uring_disk *uring = self(disk);
    if (uring->free_slot == URING_NO_SLOT) {
        return false;
    }
    ASSERT_CMP(request->file, <, DISK_FILES_MAX);
    ASSERT(uring->files[request->file].fd >= 0);
    uint32_t number = uring->free_slot;
    struct uring_slot *slot = &uring->slots[number];
    uint32_t next_free = slot->next_free;
    *slot = (struct uring_slot){.request = *request};
    if (!enqueue(uring, number)) {
        slot->next_free = next_free;
        return false;
    }
    uring->free_slot = next_free;
    uring->slots_used++;
    return true;
}

static void kick(struct disk *disk)
{
    struct uring_disk *uring = self(disk);
    while (uring->again != URING_NO_SLOT && enqueue(uring, uring->again)) {
        uring->again = uring->slots[uring->again].next_free;
    }
    if (uring->queued == 0) {
        return;
    }
    // -EAGAIN, -EBUSY, -EINTR: what was not taken stays on the ring for the next kick.
    int taken = io_uring_submit(&uring->ring);
    if (taken > 0) {
        uring->queued -= (uint32_t)taken < uring->queued ? (uint32_t)taken : uring->queued;
    }
}

// --- completions ---

static bool is_transient(int result)
{
    return result == -EINTR || result == -EAGAIN;
}

// Judges one result from the kernel. True: the request is complete with *result; false: the rest
// goes out again.
static bool is_complete(struct uring_slot *slot, uint32_t block_bytes, int *result)
{
    const struct disk_request *request = &slot->request;
    if (*result < 0) {
        // What may have been half a flush is never tried again.
        bool may_retry = request->op == DISK_READ || request->op == DISK_WRITE;
        return !(may_retry && is_transient(*result));
    }
    if (request->op == DISK_FLUSH) {
        *result = 0;
        return true;
    }
    slot->done += (uint32_t)*result;
    bool is_stuck = *result == 0 || slot->done % block_bytes != 0;
    if (slot->done < request->bytes && is_stuck) {
        *result = request->op == DISK_READ ? -ENODATA
                                           : -EIO; // end of the file; a device that takes nothing
        return true;
    }
    *result = 0;
    return slot->done >= request->bytes;
}

static void free_slot(struct uring_disk *uring, uint32_t number)
{
    uring->slots[number].next_free = uring->free_slot;
    uring->free_slot = number;
    uring->slots_used--;
}

static uint32_t poll(struct disk *disk, struct disk_completion *completions, uint32_t max)
{
    struct uring_disk *uring = self(disk);
    struct io_uring_cqe *cqes[CQES_AT_ONCE];
    if (uring->slots_used == 0) {
        return 0;
    }
    uint32_t wanted = max < CQES_AT_ONCE ? max : CQES_AT_ONCE;
    uint32_t ready = io_uring_peek_batch_cqe(&uring->ring, cqes, wanted);
    uint32_t count = 0;
    for (uint32_t i = 0; i < ready; i++) {
        uint32_t number = (uint32_t)io_uring_cqe_get_data64(cqes[i]);
        struct uring_slot *slot = &uring->slots[number];
        int result = cqes[i]->res;
        if (is_complete(slot, disk->block_bytes, &result)) {
            completions[count++] =
                (struct disk_completion){.tag = slot->request.tag, .result = result};
            free_slot(uring, number);
        } else {
            slot->next_free = uring->again;
            uring->again = number;
        }
    }
    io_uring_cq_advance(&uring->ring, ready);
    if (uring->again != URING_NO_SLOT) {
        kick(disk);
    }
    return count;
}

// --- opening and closing ---

static void drain(struct uring_disk *uring)
{
    struct disk_completion completions[CQES_AT_ONCE];
    while (uring->slots_used > 0) {
        struct io_uring_cqe *cqe;
        kick(&uring->disk);
        if (io_uring_wait_cqe(&uring->ring, &cqe) < 0) {
            continue;
        }
        poll(&uring->disk, completions, CQES_AT_ONCE);
    }
}

static void close_disk(struct disk *disk)
{
    struct uring_disk *uring = self(disk);
    drain(uring);
    io_uring_queue_exit(&uring->ring);
    uring_files_fini(uring);
    free(uring->slots);
    free(uring);
}

static const struct disk_ops ops = {
    .name = "uring",
    .open_file = uring_files_open,
    .close_file = uring_files_close,
    .remove_file = uring_files_remove,
    .rename_file = uring_files_rename,
    .submit = submit,
    .kick = kick,
    .poll = poll,
    .register_memory = register_memory,
    .close = close_disk,
};

static struct uring_disk *allocate(uint32_t in_flight_max)
{
    struct uring_disk *uring = calloc(1, sizeof(*uring));
    if (uring == NULL) {
        return NULL;
    }
    uring->slots = calloc(in_flight_max, sizeof(uring->slots[0]));
    if (uring->slots == NULL) {
        free(uring);
        return NULL;
    }
    for (uint32_t i = 0; i < in_flight_max; i++) {
        uring->slots[i].next_free = i + 1 == in_flight_max ? URING_NO_SLOT : i + 1;
    }
    uring->again = URING_NO_SLOT;
    uring->disk = (struct disk){.ops = &ops, .in_flight_max = in_flight_max};
    return uring;
}

int disk_uring_open(struct disk **disk, const char *directory, uint32_t in_flight_max, char *reason,
                    size_t reason_bytes)
{
    if (in_flight_max == 0 || in_flight_max > IN_FLIGHT_LIMIT) {
        snprintf(reason, reason_bytes, "disk: requests in flight must be 1 to %d", IN_FLIGHT_LIMIT);
        return -EINVAL;
    }
    struct uring_disk *uring = allocate(in_flight_max);
    if (uring == NULL) {
        snprintf(reason, reason_bytes, "disk: out of memory");
        return -ENOMEM;
    }
    int error = uring_files_init(uring, directory, reason, reason_bytes);
    if (error == 0) {
        error = io_uring_queue_init(in_flight_max, &uring->ring, 0);
        if (error != 0) {
            snprintf(reason, reason_bytes,
                     "disk: io_uring is refused (%s): allow it (sysctl kernel.io_uring_disabled=0) "
                     "or raise the memlock limit",
                     strerror(-error));
        }
    }
    if (error != 0) {
        uring_files_fini(uring);
        free(uring->slots);
        free(uring);
        return error;
    }
    *disk = &uring->disk;
    return 0;
}
