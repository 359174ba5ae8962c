// The contract on real files, and what only real directories do.
#include "drivers/disk_uring/disk_uring.h"
#include "tests/driver/disk/disk_contract.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

enum { TMPFS = 0x01021994 };

static char reason[256];

static const char *fresh_directory(void)
{
    static char path[512];
    static uint32_t number;
    snprintf(path, sizeof(path), "%s/disk%u", test_directory(), number++);
    CHECK_EQUAL(mkdir(path, 0700), 0);
    return path;
}

struct disk *contract_disk(void)
{
    struct disk *disk;
    const char *path = fresh_directory();
    int error = disk_uring_open(&disk, path, CONTRACT_IN_FLIGHT, reason, sizeof(reason));
    if (error != 0) {
        printf("    %s\n", reason);
    }
    CHECK_EQUAL(error, 0);
    return disk;
}

static void a_missing_directory_is_named(void)
{
    struct disk *disk;
    char path[512];
    snprintf(path, sizeof(path), "%s/none", test_directory());
    CHECK_EQUAL(disk_uring_open(&disk, path, 8, reason, sizeof(reason)), -ENOENT);
    CHECK(strstr(reason, "mkdir -p") != NULL && strstr(reason, path) != NULL);
}

static void a_file_is_no_directory(void)
{
    struct disk *disk;
    char path[512];
    snprintf(path, sizeof(path), "%s/plain", test_directory());
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    fclose(file);
    CHECK_EQUAL(disk_uring_open(&disk, path, 8, reason, sizeof(reason)), -ENOTDIR);
}

static void a_second_owner_is_refused(void)
{
    struct disk *first, *second;
    const char *path = fresh_directory();
    CHECK_EQUAL(disk_uring_open(&first, path, 8, reason, sizeof(reason)), 0);
    CHECK_EQUAL(disk_uring_open(&second, path, 8, reason, sizeof(reason)), -EBUSY);
    CHECK(strstr(reason, "in use") != NULL);
    first->ops->close(first);
    CHECK_EQUAL(disk_uring_open(&second, path, 8, reason, sizeof(reason)), 0);
    second->ops->close(second);
}

static void nothing_buffered_where_direct_io_is_refused(void)
{
    static char template[] = "/dev/shm/pontoon-XXXXXX";
    struct statfs status;
    if (statfs("/dev/shm", &status) != 0 || status.f_type != TMPFS || mkdtemp(template) == NULL) {
        printf("    no tmpfs to try\n");
        return;
    }
    struct disk *disk = NULL;
    int error = disk_uring_open(&disk, template, 8, reason, sizeof(reason));
    if (error == 0) {
        disk->ops->close(disk); // kernels since 6.6 let tmpfs take O_DIRECT
    }
    char lock[64];
    snprintf(lock, sizeof(lock), "%s/lock", template);
    unlink(lock);
    rmdir(template);
    CHECK(error == 0 || error == -EOPNOTSUPP);
    CHECK(error == 0 || strstr(reason, "O_DIRECT") != NULL);
}

static void a_read_only_directory_is_refused(void)
{
    struct disk *disk;
    const char *path = fresh_directory();
    if (geteuid() == 0) {
        printf("    root may write everywhere\n");
        return;
    }
    chmod(path, 0500);
    CHECK_EQUAL(disk_uring_open(&disk, path, 8, reason, sizeof(reason)), -EACCES);
    chmod(path, 0700);
}

static void absurd_depths_are_refused(void)
{
    struct disk *disk;
    CHECK_EQUAL(disk_uring_open(&disk, fresh_directory(), 0, reason, sizeof(reason)), -EINVAL);
    CHECK_EQUAL(disk_uring_open(&disk, fresh_directory(), 1 << 20, reason, sizeof(reason)),
                -EINVAL);
}

int main(int argc, char **argv)
{
    static const struct test_case own[] = {
        TEST(a_missing_directory_is_named),     TEST(a_file_is_no_directory),
        TEST(a_second_owner_is_refused),        TEST(nothing_buffered_where_direct_io_is_refused),
        TEST(a_read_only_directory_is_refused), TEST(absurd_depths_are_refused),
    };
    int failed = test_run("disk uring", own, TEST_COUNT(own), argc, argv);
    return test_run("disk contract, uring", contract_cases, contract_case_count, argc, argv) |
           failed;
}
