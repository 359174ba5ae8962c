// What disk_uring.c (the ring) and uring_files.c (directory, lock, files) share.
#ifndef PONTOON_DISK_URING_URING_DISK_H
#define PONTOON_DISK_URING_URING_DISK_H

#include "engine/driver_api/disk.h"

#include <liburing.h>
#include <stddef.h>
#include <sys/uio.h>

enum { URING_REGIONS_MAX = 8, URING_REGION_BYTES_MAX = 1 << 30 };
#define URING_NO_SLOT UINT32_MAX

struct uring_slot {
    struct disk_request request;
    uint32_t done;      // bytes transferred so far
    uint32_t next_free; // in the free list, or in the list of requests to go on with
};

struct uring_file {
    int fd; // -1: free
};

struct uring_disk {
    struct disk disk; // first
    struct io_uring ring;
    struct uring_slot *slots; // in_flight_max
    uint32_t free_slot;       // first of the free list
    uint32_t again;           // first of the requests whose rest is to be queued
    uint32_t slots_used;
    uint32_t queued; // on the ring, not yet handed to the kernel
    struct iovec regions[URING_REGIONS_MAX];
    uint32_t region_count;
    int directory_fd;
    int lock_fd;
    struct uring_file files[DISK_FILES_MAX];
};

// Opens and locks the directory, finds out the block size of direct I/O there.
int uring_files_init(struct uring_disk *uring, const char *directory, char *reason,
                     size_t reason_bytes);
void uring_files_fini(struct uring_disk *uring);

int uring_files_open(struct disk *disk, const char *name, enum disk_open how, uint64_t bytes,
                     uint32_t *file, uint64_t *size);
void uring_files_close(struct disk *disk, uint32_t file);
int uring_files_remove(struct disk *disk, const char *name);
int uring_files_rename(struct disk *disk, const char *from, const char *to);

#endif
