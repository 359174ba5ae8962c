#include "tests/cluster/bad_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/cluster/bed.h"
#include "tests/cluster/program.h"

enum { PATH_BYTES = CLUSTER_PATH_BYTES + 64 };

#define SIZE "112M"
#define CGROUP_ROOT "/sys/fs/cgroup/blkio"

static struct {
    bool is_open;
    int node;
    char mounted[PATH_BYTES], trigger[PATH_BYTES], socket[PATH_BYTES], file[PATH_BYTES];
    char loop[32], cgroup[PATH_BYTES];
    pid_t nbdkit, nbdfuse;
} disk;

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static void end(pid_t *pid)
{
    if (*pid != 0) {
        kill(*pid, SIGCONT);
        kill(*pid, SIGTERM);
        program_await(*pid);
        *pid = 0;
    }
}

static bool write_text(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text);
    if (file >= 0) {
        close(file);
    }
    return ok;
}

// Not by losetup: also called when the process ends, where no CHECK may stand.
static void free_loop(void)
{
    int file = disk.loop[0] == '\0' ? -1 : open(disk.loop, O_RDWR | O_CLOEXEC);
    if (file >= 0) {
        ioctl(file, LOOP_CLR_FD, 0);
        close(file);
    }
}

void bad_disk_close(void)
{
    if (!disk.is_open) {
        return;
    }
    bad_disk_hang(false);
    bad_disk_fail(false);
    bed_kill(disk.node);
    umount2(disk.mounted, MNT_DETACH);
    free_loop();
    umount2(disk.file, MNT_DETACH);
    end(&disk.nbdfuse);
    end(&disk.nbdkit);
    if (disk.cgroup[0] != '\0') {
        rmdir(disk.cgroup);
        disk.cgroup[0] = '\0';
    }
    disk.is_open = false;
}

static void name_files(int id)
{
    disk.node = id;
    disk.loop[0] = '\0';
    snprintf(disk.mounted, sizeof(disk.mounted), "%s/node-%d", bed.directory, id);
    snprintf(disk.trigger, sizeof(disk.trigger), "%s/disk-fails", bed.directory);
    snprintf(disk.socket, sizeof(disk.socket), "%s/disk-socket", bed.directory);
    snprintf(disk.file, sizeof(disk.file), "%s/disk-file", bed.directory);
}

static bool await_path(const char *path)
{
    for (uint64_t deadline_ns = bed_deadline_ns(5000); !exists(path);) {
        if (!bed_pause(deadline_ns)) {
            return false;
        }
    }
    return true;
}

// nbdkit serves a block device in its memory, nbdfuse shows it as a file.
static bool serve_device(void)
{
    char trigger[PATH_BYTES + 32];
    struct stat status = {0};
    snprintf(trigger, sizeof(trigger), "error-pwrite-file=%s", disk.trigger);
    const char *const nbdkit[] = {"/usr/bin/nbdkit",
                                  "--foreground",
                                  "--exit-with-parent",
                                  "--unix",
                                  disk.socket,
                                  "--filter=error",
                                  "memory",
                                  SIZE,
                                  "error-pwrite=EIO",
                                  "error-pwrite-rate=100%",
                                  trigger,
                                  (char *)NULL};
    const char *const nbdfuse[] = {"/usr/bin/nbdfuse", disk.file, "--unix", disk.socket,
                                   (char *)NULL};
    disk.nbdkit = program_start("nbdkit.log", nbdkit);
    if (!await_path(disk.socket)) {
        return false;
    }
    int file = open(disk.file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600); // what FUSE is mounted on
    close(file);
    disk.nbdfuse = program_start("nbdfuse.log", nbdfuse);
    for (uint64_t deadline_ns = bed_deadline_ns(5000);
         stat(disk.file, &status) == 0 && status.st_size == 0;) {
        if (!bed_pause(deadline_ns)) {
            return false;
        }
    }
    return status.st_size > 0;
}

static bool mount_disk(void)
{
    return program_run("/bin/mount", "-t", "ext4", disk.loop, disk.mounted).status == 0;
}

static bool make_file_system(const char *sector_bytes)
{
    struct program_result result =
        program_run("/sbin/losetup", "--find", "--show", "--direct-io=on", "--sector-size",
                    sector_bytes, disk.file);
    result.out[strcspn(result.out, "\n")] = '\0';
    if (result.status != 0 || strlen(result.out) >= sizeof(disk.loop)) {
        return false;
    }
    memcpy(disk.loop, result.out, strlen(result.out) + 1);
    CHECK_EQUAL(mkdir(disk.mounted, 0700), 0);
    return program_run("/sbin/mkfs.ext4", "-q", "-m", "0", disk.loop).status == 0 && mount_disk();
}

bool bad_disk_open(int id, const char *sector_bytes)
{
    static bool is_registered;
    bad_disk_close();
    if (!is_registered) {
        is_registered = true;
        atexit(bad_disk_close); // behind bed_create: runs before the bed is removed
    }
    name_files(id);
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        test_skip("mounting needs root (%s)", strerror(errno));
        return false;
    }
    if (!exists("/usr/bin/nbdkit") || !exists("/usr/bin/nbdfuse") || !exists("/dev/fuse")) {
        test_skip("no nbdkit, no nbdfuse (package libnbd-bin) or no /dev/fuse");
        return false;
    }
    disk.is_open = true;
    if (!serve_device() || !make_file_system(sector_bytes)) {
        test_skip("no disk out of nbdkit, nbdfuse, loop device and ext4 on this machine");
        bad_disk_close();
        return false;
    }
    return true;
}

bool bad_disk_throttle(uint32_t writes_per_second)
{
    char text[64], path[PATH_BYTES + 64];
    struct stat status;
    if (disk.cgroup[0] == '\0') {
        snprintf(disk.cgroup, sizeof(disk.cgroup), CGROUP_ROOT "/pontoon-bed-%d", (int)getpid());
    }
    snprintf(path, sizeof(path), "%s/blkio.throttle.write_iops_device", disk.cgroup);
    if (stat(disk.loop, &status) != 0 || (mkdir(disk.cgroup, 0700) != 0 && errno != EEXIST) ||
        !exists(path)) {
        test_skip("no blkio cgroup (version 1) to throttle a disk with");
        disk.cgroup[0] = '\0';
        return false;
    }
    snprintf(text, sizeof(text), "%u:%u %u", major(status.st_rdev), minor(status.st_rdev),
             writes_per_second);
    CHECK(write_text(path, text));
    snprintf(path, sizeof(path), "%s/cgroup.procs", disk.cgroup);
    snprintf(text, sizeof(text), "%d", (int)bed.nodes[disk.node]);
    CHECK(write_text(path, text));
    return true;
}

void bad_disk_hang(bool does_hang)
{
    if (disk.nbdkit != 0) {
        kill(disk.nbdkit, does_hang ? SIGSTOP : SIGCONT);
    }
}

void bad_disk_fail(bool does_fail)
{
    if (does_fail) {
        int file = open(disk.trigger, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        CHECK(file >= 0);
        close(file);
    } else {
        unlink(disk.trigger);
    }
}

void bad_disk_remount(void)
{
    // The kernel takes an io_uring apart after its process has ended; until then files are open.
    uint64_t deadline_ns = bed_deadline_ns(BED_PATIENCE_MS);
    while (umount2(disk.mounted, 0) != 0) {
        CHECK(errno == EBUSY && bed_pause(deadline_ns));
    }
    int status = program_run("/sbin/e2fsck", "-p", disk.loop).status;
    CHECK(status == 0 || status == 1); // clean, or mended
    CHECK(mount_disk());
}
