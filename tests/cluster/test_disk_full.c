// S17 of the fault list: no space. On a small file system of the kernel's, in a mount namespace of
// our own (as root only).
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/cluster/bed.h"
#include "tests/cluster/program.h"
#include "tests/cluster/tree.h"

enum { DIRECTORY = 5, DISK_MIB = 100, VICTIM = 3 };

#define SETTINGS                                                                                   \
    "log_mib: 32\nwindow_kib: 4096\napp_memory_mib: 160\nbuffers_mib: 16\nhugepages: false\n"

static char mounted[CLUSTER_PATH_BYTES + 64];

// Puts the victim's directory on a file system of its own. False, with a printed reason: not here.
static bool mount_disk(void)
{
    char image[CLUSTER_PATH_BYTES + 64];
    snprintf(image, sizeof(image), "%s/disk", bed.directory);
    snprintf(mounted, sizeof(mounted), "%s/node-%d", bed.directory, VICTIM);
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        test_skip("mounting needs root (%s)", strerror(errno));
        return false;
    }
    int file = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(file >= 0);
    CHECK_EQUAL(ftruncate(file, (off_t)DISK_MIB << 20), 0);
    close(file);
    CHECK_EQUAL(mkdir(mounted, 0700), 0);
    if (program_run("/sbin/mkfs.ext4", "-q", "-m", "0", image).status != 0 ||
        program_run("/bin/mount", "-o", "loop", image, mounted).status != 0) {
        test_skip("no loop devices, or no mkfs.ext4");
        return false;
    }
    return true;
}

// Whatever still uses it: also of a case that failed.
static void unmount_disk(void)
{
    if (mounted[0] != '\0') {
        umount2(mounted, MNT_DETACH);
        mounted[0] = '\0';
    }
}

// Leaves about `left_mib` free. 0: everything is taken, to the last block.
static void fill_disk(uint32_t left_mib)
{
    static char block[1 << 20];
    char path[CLUSTER_PATH_BYTES + 96];
    snprintf(path, sizeof(path), "%s/filler", mounted);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(file >= 0);
    while (write(file, block, sizeof(block)) > 0) {
    }
    struct stat status;
    CHECK_EQUAL(fstat(file, &status), 0);
    CHECK_EQUAL(ftruncate(file, status.st_size - ((off_t)left_mib << 20)), 0);
    CHECK_EQUAL(fsync(file), 0);
    close(file);
}

static void free_disk(void)
{
    char path[CLUSTER_PATH_BYTES + 96];
    snprintf(path, sizeof(path), "%s/filler", mounted);
    CHECK_EQUAL(unlink(path), 0);
}

static bool open_with_disk(const char *settings)
{
    static bool is_registered;
    unmount_disk();
    if (!bed_create("udp", "fsync", settings)) {
        return false;
    }
    if (!is_registered) {
        is_registered = true;
        atexit(unmount_disk); // behind bed_create: runs before the bed is removed
    }
    return mount_disk();
}

static void finish(void)
{
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        bed_kill(id);
    }
    unmount_disk();
    bed_close();
}

// The log is taken whole at the first start: where there is no room for it the node does not start,
// and does so without further ado when there is.
static void first_start_on_a_full_disk_is_refused(void)
{
    if (!open_with_disk(SETTINGS)) {
        return;
    }
    for (uint32_t left_mib = 0; left_mib <= 16; left_mib += 16) {
        fill_disk(left_mib);
        struct program_result result =
            program_run("pontoon", "node", "--config", bed.config, "--id", "3", "--bootstrap");
        if (result.status != DIRECTORY || result.lines != 1) {
            printf("    status %d: %s\n", result.status, result.err);
        }
        CHECK_EQUAL(result.status, DIRECTORY);
        CHECK_EQUAL(result.lines, 1);
        CHECK(strstr(result.err, "o space left") != NULL);
        free_disk();
    }
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        bed_bootstrap(id);
    }
    bed_await_equal(BED_ALL, 1);
    finish();
}

static void run_kv(const char *verb, const char *tree)
{
    struct program_result result =
        program_run("pontoon", "kv", verb, tree, "--config", bed.config, "--timeout", "25");
    if (result.status != 0) {
        printf("    kv %s: %s%s", verb, result.out, result.err);
        bed_report();
    }
    CHECK_EQUAL(result.status, 0);
}

// Starts all three, and lets nodes go and come until the victim leads, or does not.
static void start_all(bool victim_leads)
{
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        bed_bootstrap(id);
    }
    bed_await_equal(BED_ALL, 1);
    int leader = bed_await_leader(BED_ALL);
    for (int tries = 0; tries < 20 && (leader == VICTIM) != victim_leads; tries++) {
        struct bed_view view;
        cluster_signal_node(&bed, leader, SIGTERM);
        CHECK_EQUAL(bed_await_exit(leader), 0);
        bed_await_leader(BED_ALL & ~(1u << leader));
        bed_start(leader);
        WAIT_UNTIL(bed_look(leader, &view) && view.leader != 0);
        leader = bed_await_leader(BED_ALL);
    }
    CHECK_EQUAL(leader == VICTIM, victim_leads);
}

static void make_tree(char path[static CLUSTER_PATH_BYTES + 64], int seed)
{
    snprintf(path, CLUSTER_PATH_BYTES + 64, "%s/tree-%d", bed.directory, seed);
    tree_make(path, 700, 4 << 20, (uint64_t)seed);
}

// A follower's disk fills while it runs: its log has its place, its checkpoints find none. The
// cluster serves, the node does not die of it, a restart of it works, and when there is space again
// it catches up.
static void disk_of_a_follower_fills(void)
{
    char tree[CLUSTER_PATH_BYTES + 64];
    struct bed_view view;
    if (!open_with_disk(SETTINGS)) {
        return;
    }
    start_all(false);
    fill_disk(0);
    for (int seed = 1; seed <= 4; seed++) { // together more than a log can hold
        make_tree(tree, seed);
        run_kv("load", tree);
    }
    CHECK(bed_look(VICTIM, &view));
    bed_kill(VICTIM);
    bed_start(VICTIM); // on the full disk
    WAIT_UNTIL(bed_look(VICTIM, &view));
    free_disk();
    bed_await_equal(BED_ALL, 700);
    run_kv("verify", tree);
    finish();
}

// The leader's: it may stop accepting (status 6: no answer in time), goes on answering reads, and
// accepts again when there is space, without a restart.
static void disk_of_the_leader_fills(void)
{
    char tree[CLUSTER_PATH_BYTES + 64];
    struct bed_view view;
    if (!open_with_disk(SETTINGS)) {
        return;
    }
    start_all(true);
    const char *const put[] = {"pontoon", "kv", "put", "before", "1", "--config", bed.config, NULL};
    const char *const get[] = {"pontoon", "kv", "get", "before", "--config", bed.config, NULL};
    CHECK_EQUAL(program_run_as(0, put).status, 0);
    fill_disk(0);
    int status = 0;
    for (int seed = 1; seed <= 4 && status == 0; seed++) {
        make_tree(tree, seed);
        status =
            program_run("pontoon", "kv", "load", tree, "--config", bed.config, "--timeout", "4")
                .status;
        CHECK(status == 0 || status == 6);
    }
    CHECK(bed_look(VICTIM, &view));
    CHECK_EQUAL(program_run_as(0, get).status, 0);
    free_disk();
    run_kv("load", tree);
    bed_await_equal(BED_ALL, 700);
    run_kv("verify", tree);
    finish();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(first_start_on_a_full_disk_is_refused),
        TEST(disk_of_a_follower_fills),
        TEST(disk_of_the_leader_fills),
    };
    return test_run("cluster disk full", cases, TEST_COUNT(cases), argc, argv);
}
