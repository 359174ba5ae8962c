// What the engine asks of stable storage: asynchronous reads and writes on a few preallocated
// files.
//
// A `struct disk` belongs to one thread. open_file, remove_file and close may block and are for
// start, stop and checkpoints' creation only; everything else never blocks.
//
// Guarantees (tests/driver/disk/disk_contract.c):
//  1. A durable write's completion with result 0 means: these bytes survive a power cut. A plain
//  write's completion does
//     not; a FLUSH completion covers the plain writes of that file completed before the FLUSH was
//     submitted.
//  2. Completions come in any order, each exactly once, through poll().
//  3. Short transfers are resubmitted by the driver. A result is 0 or a negative errno. After a
//  failed durable write
//     or flush the engine never uses that file again (fail-stop); the driver never retries a failed
//     flush.
//  4. When open_file returns, nothing that an earlier process had in flight on that file can land
//  any more. A file is opened once at
//     a time, and closed only when nothing is in flight on it.
//  5. Addresses, offsets and lengths are multiples of block_bytes; the buffer stays untouched until
//  completion.
#ifndef PONTOON_DRIVER_API_DISK_H
#define PONTOON_DRIVER_API_DISK_H

#include <stdbool.h>
#include <stdint.h>

enum { DISK_FILES_MAX = 8200, DISK_BLOCK_BYTES_MAX = 4096 }; // two checkpoint files a group

enum disk_op { DISK_READ, DISK_WRITE, DISK_WRITE_DURABLE, DISK_FLUSH };

struct disk_request {
    enum disk_op op;
    uint32_t file; // from open_file
    void *data;
    uint64_t offset;
    uint32_t bytes;
    uint64_t tag; // returned with the completion
};

struct disk_completion {
    uint64_t tag;
    int32_t result; // 0 or -errno; reading past the end of the file is -ENODATA
};

enum disk_open {
    DISK_OPEN_EXISTING, // -ENOENT when it is not there
    DISK_OPEN_CREATE,  // -EEXIST when it is; filled with zero bytes to its size, flushed, directory
                       // entry flushed
    DISK_OPEN_REPLACE, // create or truncate to zero length; grows by writing (checkpoints)
};

struct disk;

struct disk_ops {
    const char *name;
    // Opens NAME (no '/') in the directory the disk was opened on. `bytes` is for CREATE. *size
    // gets the file's length.
    int (*open_file)(struct disk *disk, const char *name, enum disk_open how, uint64_t bytes,
                     uint32_t *file, uint64_t *size);
    void (*close_file)(struct disk *disk, uint32_t file);
    int (*remove_file)(struct disk *disk, const char *name);
    // Atomically (after a crash: old or new) makes FROM known as TO, durable. For checkpoints.
    int (*rename_file)(struct disk *disk, const char *from, const char *to);
    // Queues a request. False: queue full, nothing happened, poll first.
    bool (*submit)(struct disk *disk, const struct disk_request *request);
    // Hands everything queued to the device (one system call for all of it). Cheap when nothing is
    // queued.
    void (*kick)(struct disk *disk);
    uint32_t (*poll)(struct disk *disk, struct disk_completion *completions, uint32_t max);
    // Announces memory that requests will use, to register it. May do nothing. 0 or -errno (a hint
    // only).
    int (*register_memory)(struct disk *disk, void *data, uint64_t bytes);
    void (*close)(struct disk *disk);
};

// Drivers embed this as their first member.
struct disk {
    const struct disk_ops *ops;
    uint32_t block_bytes;   // alignment of address, offset and length
    uint32_t in_flight_max; // requests accepted before submit() says no
};

#endif
