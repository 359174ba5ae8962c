// io_uring, and the disk under the node's directory: file system, O_DIRECT, time of a durable
// write.
//
// Writes go to a file without a name, so that nothing is left behind, and last a second at most.
#include "drivers/cli/doctor.h"

#include "drivers/cli/cli_client.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/io_uring.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BLOCK_BYTES = 4096, FLUSHES_MAX = 64, FLUSH_NS_MAX = 1000000000, FLUSH_NS_SLOW = 5000000 };

static void check_uring(struct doctor_report *report)
{
    struct io_uring_params params = {0};
    long ring = syscall(__NR_io_uring_setup, 8, &params);
    int error = errno;
    if (ring >= 0) {
        close((int)ring);
        doctor_add(report, DOCTOR_OK, "io_uring", NULL, "yes");
        return;
    }
    doctor_add(
        report, DOCTOR_BAD, "io_uring",
        error == EPERM
            ? "sysctl kernel.io_uring_disabled=0, or allow it in the container's seccomp profile"
            : "the log needs Linux 5.10 or newer with io_uring; `durability: memory` needs it too",
        "no: %s", strerror(error));
}

static const char *file_system_name(const char *path)
{
    static const struct {
        long magic;
        const char *name;
    } known[] = {{EXT4_SUPER_MAGIC, "ext4"},
                 {0x58465342, "xfs"},
                 {BTRFS_SUPER_MAGIC, "btrfs"},
                 {TMPFS_MAGIC, "tmpfs"},
                 {OVERLAYFS_SUPER_MAGIC, "overlay"},
                 {NFS_SUPER_MAGIC, "nfs"},
                 {0x2FC12FC1, "zfs"},
                 {0xF2F52010, "f2fs"}};
    struct statfs status;
    if (statfs(path, &status) != 0) {
        return "unknown";
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].magic == (long)status.f_type) {
            return known[i].name;
        }
    }
    return "another file system";
}

// The directory, or its nearest parent that exists (a node that never ran has none yet).
static void existing_directory(const struct pontoon_config *config,
                               char path[static PONTOON_PATH_BYTES])
{
    snprintf(path, PONTOON_PATH_BYTES, "%s",
             config->directory[0] != '\0' ? config->directory : ".");
    while (access(path, F_OK) != 0) {
        char *slash = strrchr(path, '/');
        if (slash == NULL || slash == path) {
            snprintf(path, PONTOON_PATH_BYTES, "%s", slash == NULL ? "." : "/");
            return;
        }
        *slash = '\0';
    }
}

static int compare_times(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

// Median time of one durable 4 KiB write over a few dozen. Negative: -errno.
static int64_t measure_flush_ns(int file)
{
    static _Alignas(BLOCK_BYTES) uint8_t block[BLOCK_BYTES];
    uint64_t times_ns[FLUSHES_MAX], start_ns = cli_now_ns();
    uint32_t count = 0;
    struct iovec vector = {block, sizeof(block)};
    while (count < FLUSHES_MAX && cli_now_ns() - start_ns < FLUSH_NS_MAX) {
        uint64_t before_ns = cli_now_ns();
        if (pwritev2(file, &vector, 1, (off_t)(count % 8) * BLOCK_BYTES, RWF_DSYNC) !=
            BLOCK_BYTES) {
            return errno != 0 ? -errno : -EIO;
        }
        times_ns[count++] = cli_now_ns() - before_ns;
    }
    qsort(times_ns, count, sizeof(times_ns[0]), compare_times);
    return (int64_t)times_ns[count / 2];
}

static void check_flush(struct doctor_report *report, int file)
{
    int64_t median_ns = measure_flush_ns(file);
    if (median_ns < 0) {
        doctor_add(report, DOCTOR_BAD, "durable write",
                   "free space on this disk, or name another directory", "fails: %s",
                   strerror((int)-median_ns));
        return;
    }
    bool is_slow = median_ns > FLUSH_NS_SLOW;
    doctor_add(
        report, is_slow ? DOCTOR_WARN : DOCTOR_OK, "durable write",
        is_slow ? "put the directory on an SSD or NVMe disk; each commit waits for one such write"
                : NULL,
        "%" PRId64 " us for 4 KiB (median)", median_ns / 1000);
}

// An O_DIRECT file without a name. Where the file system cannot make one (older overlayfs, NFS), it
// has a name for a moment. -1: errno says why.
static int open_scratch(const char *directory)
{
    char name[PONTOON_PATH_BYTES + 32];
    int file = open(directory, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
    if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) {
        return file;
    }
    snprintf(name, sizeof(name), "%s/.pontoon-doctor-XXXXXX", directory);
    file = mkostemp(name, O_DIRECT | O_CLOEXEC);
    if (file >= 0) {
        unlink(name);
    }
    return file;
}

static void check_directory(struct doctor_report *report, const struct pontoon_config *config)
{
    char path[PONTOON_PATH_BYTES];
    existing_directory(config, path);
    int file = open_scratch(path);
    int error = errno;
    if (file >= 0) {
        doctor_add(report, DOCTOR_OK, "directory", NULL, "%.100s: %s, O_DIRECT", path,
                   file_system_name(path));
        check_flush(report, file);
        close(file);
        return;
    }
    doctor_add(report, DOCTOR_BAD, "directory",
               error == EINVAL || error == EOPNOTSUPP
                   ? "this file system has no O_DIRECT; put the directory on ext4 or xfs"
                   : "create the directory for this user, or name another with `directory`",
               "%.100s: %s: %s", path, file_system_name(path), strerror(error));
}

void doctor_disk(struct doctor_report *report, const struct pontoon_config *config)
{
    check_uring(report);
    check_directory(report, config);
}
