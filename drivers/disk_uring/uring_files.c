// Directory, lock and files: everything of the driver that may block.
#include "drivers/disk_uring/uring_disk.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    FILL_BYTES = 1 << 20,
    BLOCK_BYTES_MIN = 512,
    GHOST_WAIT_MS = 10000, // for writes that a killed owner left in the kernel
};

static const char lock_name[] = "lock";
static const char probe_name[] = "probe";

static struct uring_disk *self(struct disk *disk)
{
    return (struct uring_disk *)disk;
}

static const char *remedy_of(int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
        return "give it to the user of this process (chown), or choose another";
    case ENOSPC:
        return "free some space";
    case ENOTDIR:
        return "choose a directory";
    default:
        return "look at the disk and its file system";
    }
}

static bool name_is_valid(const char *name)
{
    return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL;
}

// --- opening the directory ---

static int open_directory(struct uring_disk *uring, const char *directory, char *reason,
                          size_t reason_bytes)
{
    uring->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (uring->directory_fd >= 0) {
        return 0;
    }
    int error = errno;
    if (error == ENOENT) {
        snprintf(reason, reason_bytes, "disk: %s does not exist: create it (mkdir -p %s)",
                 directory, directory);
    } else {
        snprintf(reason, reason_bytes, "disk: %s: %s; %s", directory, strerror(error),
                 remedy_of(error));
    }
    return -error;
}

enum { LOCK_TRIES = 300 }; // of 10 ms

static int lock_directory(struct uring_disk *uring, const char *directory, char *reason,
                          size_t reason_bytes)
{
    uring->lock_fd = openat(uring->directory_fd, lock_name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (uring->lock_fd < 0) {
        int error = errno;
        snprintf(reason, reason_bytes, "disk: cannot write in %s: %s; %s", directory,
                 strerror(error), remedy_of(error));
        return -error;
    }
    // A process that was killed may hold it a while longer: the kernel has its memory and requests
    // to take down.
    const struct timespec pause = {.tv_nsec = 10000000};
    int refused = flock(uring->lock_fd, LOCK_EX | LOCK_NB);
    for (int tries = 0; refused != 0 && errno == EWOULDBLOCK && tries < LOCK_TRIES; tries++) {
        nanosleep(&pause, NULL);
        refused = flock(uring->lock_fd, LOCK_EX | LOCK_NB);
    }
    if (refused != 0) {
        int error = errno == EWOULDBLOCK ? EBUSY : errno;
        snprintf(reason, reason_bytes, "disk: %s is in use by another process (%s)", directory,
                 strerror(error));
        return -error;
    }
    return 0;
}

// Direct I/O in blocks of this size: does the file system take it? 0 or -errno.
static int try_block(int fd, uint8_t *data, uint32_t block_bytes)
{
    ssize_t written = pwrite(fd, data, block_bytes, block_bytes);
    if (written == (ssize_t)block_bytes) {
        return 0;
    }
    return written < 0 ? -errno : -EIO;
}

static int find_block_bytes(struct uring_disk *uring, int fd)
{
    uint8_t *data = aligned_alloc(DISK_BLOCK_BYTES_MAX, DISK_BLOCK_BYTES_MAX);
    if (data == NULL) {
        return -ENOMEM;
    }
    memset(data, 0, DISK_BLOCK_BYTES_MAX);
    uring->disk.block_bytes = BLOCK_BYTES_MIN;
    int error = try_block(fd, data, BLOCK_BYTES_MIN);
    if (error == -EINVAL) {
        uring->disk.block_bytes = DISK_BLOCK_BYTES_MAX;
        error = try_block(fd, data, DISK_BLOCK_BYTES_MAX);
    }
    free(data);
    return error;
}

static int probe_direct(struct uring_disk *uring, const char *directory, char *reason,
                        size_t reason_bytes)
{
    int fd = openat(uring->directory_fd, probe_name, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
    int error = fd < 0 ? -errno : find_block_bytes(uring, fd);
    if (fd >= 0) {
        close(fd);
    }
    unlinkat(uring->directory_fd, probe_name, 0);
    if (error == -EINVAL) {
        snprintf(reason, reason_bytes,
                 "disk: the file system of %s refuses direct I/O (O_DIRECT), as tmpfs does: use a "
                 "directory on a disk, or durability memory",
                 directory);
        return -EOPNOTSUPP;
    }
    if (error != 0) {
        snprintf(reason, reason_bytes, "disk: cannot write in %s: %s; %s", directory,
                 strerror(-error), remedy_of(-error));
    }
    return error;
}

int uring_files_init(struct uring_disk *uring, const char *directory, char *reason,
                     size_t reason_bytes)
{
    uring->directory_fd = -1;
    uring->lock_fd = -1;
    for (uint32_t i = 0; i < DISK_FILES_MAX; i++) {
        uring->files[i].fd = -1;
    }
    int error = open_directory(uring, directory, reason, reason_bytes);
    if (error == 0) {
        error = lock_directory(uring, directory, reason, reason_bytes);
    }
    return error != 0 ? error : probe_direct(uring, directory, reason, reason_bytes);
}

void uring_files_fini(struct uring_disk *uring)
{
    for (uint32_t i = 0; i < DISK_FILES_MAX; i++) {
        if (uring->files[i].fd >= 0) {
            close(uring->files[i].fd);
        }
    }
    if (uring->lock_fd >= 0) {
        close(uring->lock_fd);
    }
    if (uring->directory_fd >= 0) {
        close(uring->directory_fd);
    }
}

// --- files ---

static int flush_directory(const struct uring_disk *uring)
{
    return fsync(uring->directory_fd) == 0 ? 0 : -errno;
}

// Written, not only allocated: the first overwrite of an unwritten extent would cost a journal
// commit.
static int fill(int fd, uint64_t bytes)
{
    int error = posix_fallocate(fd, 0, (off_t)bytes);
    if (error != 0 && error != EOPNOTSUPP && error != EINVAL) {
        return -error; // -ENOSPC before anything is written
    }
    uint8_t *zeros = aligned_alloc(DISK_BLOCK_BYTES_MAX, FILL_BYTES);
    if (zeros == NULL) {
        return -ENOMEM;
    }
    memset(zeros, 0, FILL_BYTES);
    error = 0;
    for (uint64_t at = 0; at < bytes && error == 0;) {
        uint64_t left = bytes - at;
        ssize_t written = pwrite(fd, zeros, left < FILL_BYTES ? left : FILL_BYTES, (off_t)at);
        if (written > 0) {
            at += (uint64_t)written;
        } else if (written == 0 || errno != EINTR) {
            error = written == 0 ? -ENOSPC : -errno;
        }
    }
    free(zeros);
    if (error == 0 && fsync(fd) != 0) {
        error = -errno;
    }
    return error;
}

// Writes that a killed process had in flight may still land. Each holds the open file it was made
// on, and with it this lock: who has the lock knows that they are over. The directory's lock keeps
// living owners out.
static int wait_for_ghosts(int fd)
{
    for (int waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited_ms++) {
        if (errno != EWOULDBLOCK || waited_ms == GHOST_WAIT_MS) {
            return errno == EWOULDBLOCK ? -EBUSY : -errno;
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return 0;
}

static int open_locked(struct uring_disk *uring, const char *name, int flags, int *fd)
{
    *fd = openat(uring->directory_fd, name, flags | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
    if (*fd < 0) {
        return -errno;
    }
    int error = wait_for_ghosts(*fd);
    if (error != 0) {
        close(*fd);
    }
    return error;
}

static int replace(struct uring_disk *uring, const char *name, int *fd)
{
    int error = open_locked(uring, name, O_CREAT, fd);
    if (error != 0) {
        return error;
    }
    error = ftruncate(*fd, 0) == 0 ? flush_directory(uring) : -errno;
    if (error != 0) {
        close(*fd);
    }
    return error;
}

static int create(struct uring_disk *uring, const char *name, uint64_t bytes, int *fd)
{
    int error = open_locked(uring, name, O_CREAT | O_EXCL, fd);
    if (error != 0) {
        return error;
    }
    error = fill(*fd, bytes);
    if (error == 0) {
        error = flush_directory(uring);
    }
    if (error != 0) {
        close(*fd);
        unlinkat(uring->directory_fd, name, 0);
    }
    return error;
}

static int open_one(struct uring_disk *uring, const char *name, enum disk_open how, uint64_t bytes,
                    int *fd)
{
    switch (how) {
    case DISK_OPEN_EXISTING:
        return open_locked(uring, name, 0, fd);
    case DISK_OPEN_CREATE:
        return create(uring, name, bytes, fd);
    case DISK_OPEN_REPLACE:
        return replace(uring, name, fd);
    }
    return -EINVAL;
}

int uring_files_open(struct disk *disk, const char *name, enum disk_open how, uint64_t bytes,
                     uint32_t *file, uint64_t *size)
{
    struct uring_disk *uring = self(disk);
    struct stat status;
    uint32_t number = 0;
    while (number < DISK_FILES_MAX && uring->files[number].fd >= 0) {
        number++;
    }
    if (!name_is_valid(name)) {
        return -EINVAL;
    }
    if (number == DISK_FILES_MAX) {
        return -ENFILE;
    }
    int fd;
    int error = open_one(uring, name, how, bytes, &fd);
    if (error != 0) {
        return error;
    }
    if (fstat(fd, &status) != 0) {
        error = -errno;
        close(fd);
        return error;
    }
    uring->files[number].fd = fd;
    *file = number;
    *size = (uint64_t)status.st_size;
    return 0;
}

void uring_files_close(struct disk *disk, uint32_t file)
{
    struct uring_disk *uring = self(disk);
    ASSERT_CMP(file, <, DISK_FILES_MAX);
    ASSERT(uring->files[file].fd >= 0);
    close(uring->files[file].fd);
    uring->files[file].fd = -1;
}

int uring_files_remove(struct disk *disk, const char *name)
{
    struct uring_disk *uring = self(disk);
    if (!name_is_valid(name)) {
        return -EINVAL;
    }
    if (unlinkat(uring->directory_fd, name, 0) != 0) {
        return -errno;
    }
    return flush_directory(uring);
}

int uring_files_rename(struct disk *disk, const char *from, const char *to)
{
    struct uring_disk *uring = self(disk);
    if (!name_is_valid(from) || !name_is_valid(to)) {
        return -EINVAL;
    }
    if (renameat(uring->directory_fd, from, uring->directory_fd, to) != 0) {
        return -errno;
    }
    return flush_directory(uring);
}
