// Disks that are slow, hang and fail under a running node (S5, S18 of the fault list), and what a
// node says when it cannot use one from the start (S25).
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/cluster/bad_disk.h"
#include "tests/cluster/bed.h"
#include "tests/cluster/kv_client.h"
#include "tests/cluster/program.h"

enum {
    DIRECTORY = 5,
    VICTIM = 3,
    PUTS = 60,
    SLOW_WRITES = 2,    // a second: 500 times slower than such a disk is
    PUTS_MS_MAX = 3000, // what PUTS may take beside a slow disk: on it they would take 30 s
    MOVE_MS_MAX = 5000, // that a leader's bad disk may hold up commands; measured: below 1 s
};

#define SETTINGS                                                                                   \
    "log_mib: 32\nwindow_kib: 4096\napp_memory_mib: 64\nbuffers_mib: 16\nhugepages: false\n"

static unsigned all_but(int id)
{
    return BED_ALL & ~(1u << id);
}

static uint64_t now_ms(void)
{
    return bed_now_ns() / 1000000;
}

// Starts all three, VICTIM on the disk, and lets nodes go and come until VICTIM leads, or does not.
static bool open_with_disk(struct kv_client *client, bool victim_leads)
{
    bad_disk_close();
    if (!bed_create("udp", "fsync", SETTINGS) || !bad_disk_open(VICTIM, "512")) {
        return false;
    }
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        bed_bootstrap(id);
    }
    bed_await_equal(BED_ALL, 1);
    int leader = bed_await_leader(BED_ALL);
    for (int tries = 0; tries < 20 && (leader == VICTIM) != victim_leads; tries++) {
        cluster_signal_node(&bed, leader, SIGSTOP);
        bed_await_leader(all_but(leader));
        cluster_signal_node(&bed, leader, SIGCONT);
        bed_await_equal(BED_ALL, 1);
        leader = bed_await_leader(BED_ALL);
    }
    CHECK_EQUAL(leader == VICTIM, victim_leads);
    return kv_client_open(client, 1);
}

static void finish(struct kv_client *client)
{
    kv_client_close(client);
    bad_disk_close();
    bed_close();
}

// Commands one after the other. How long they took, ms.
static uint64_t put_some(struct kv_client *client, const char *prefix)
{
    char key[32];
    uint64_t began_ms = now_ms();
    for (int at = 0; at < PUTS; at++) {
        snprintf(key, sizeof(key), "%s-%d", prefix, at);
        CHECK_EQUAL(kv_client_put(client, key, "value"), KV_OK);
    }
    return now_ms() - began_ms;
}

static void slow_disk_of_a_follower(void)
{
    struct kv_client client;
    struct bed_view view;
    if (!open_with_disk(&client, false)) {
        return;
    }
    uint64_t before_ms = put_some(&client, "before");
    if (bad_disk_throttle(SLOW_WRITES)) {
        uint64_t during_ms = put_some(&client, "slow");
        printf("    %d puts: %llu ms before, %llu ms beside a follower's slow disk\n", PUTS,
               (unsigned long long)before_ms, (unsigned long long)during_ms);
        CHECK(during_ms < PUTS_MS_MAX);
        CHECK(bed_look(VICTIM, &view) && view.synced < view.last); // it is slow indeed
        CHECK(bad_disk_throttle(0));
        bed_await_equal(BED_ALL, 2 * PUTS);
    }
    finish(&client);
}

static void hanging_disk_of_a_follower(void)
{
    struct kv_client client;
    struct bed_view view;
    if (!open_with_disk(&client, false)) {
        return;
    }
    bad_disk_hang(true);
    CHECK(put_some(&client, "hang") < PUTS_MS_MAX);
    bed_wait(2000);
    CHECK(put_some(&client, "longer") < PUTS_MS_MAX);
    CHECK(bed_look(VICTIM, &view)); // it still answers
    CHECK(!view.is_leader);
    bad_disk_hang(false);
    bed_await_equal(BED_ALL, 2 * PUTS);
    finish(&client);
}

// Leadership goes to somebody whose disk works; how long commands were held up is printed.
static void hanging_disk_of_the_leader(void)
{
    struct kv_client client;
    struct bed_view view;
    if (!open_with_disk(&client, true)) {
        return;
    }
    bad_disk_hang(true);
    uint64_t began_ms = now_ms();
    CHECK_EQUAL(kv_client_put(&client, "first", "value"), KV_OK);
    uint64_t first_ms = now_ms() - began_ms;
    bed_await_leader(all_but(VICTIM));
    printf("    first put behind the leader's hanging disk: %llu ms; another leads after %llu ms\n",
           (unsigned long long)first_ms, (unsigned long long)(now_ms() - began_ms));
    CHECK(now_ms() - began_ms < MOVE_MS_MAX);
    WAIT_UNTIL(bed_look(VICTIM, &view) && !view.is_leader);
    put_some(&client, "after");
    bad_disk_hang(false);
    bed_await_equal(BED_ALL, PUTS);
    finish(&client);
}

// The node gives its device up at the first error, for good: it neither leads nor follows, and says
// so. The others serve. On a disk that works again, with what is on it, it comes back.
static void failing_disk_of(bool of_the_leader)
{
    struct kv_client client;
    struct bed_view view;
    if (!open_with_disk(&client, of_the_leader)) {
        return;
    }
    put_some(&client, "before");
    bad_disk_fail(true);
    put_some(&client, "while");
    WAIT_UNTIL(bed_look(VICTIM, &view) && view.failed && !view.is_leader);
    bed_await_leader(all_but(VICTIM));
    bad_disk_fail(false); // too late: a failure is final
    put_some(&client, "after");
    bed_wait(500);
    CHECK(bed_look(VICTIM, &view) && view.failed);
    CHECK(view.applied < 3 * PUTS);
    bed_kill(VICTIM);
    bad_disk_remount();
    bed_start(VICTIM);
    bed_await_equal(BED_ALL, 3 * PUTS);
    put_some(&client, "again");
    bed_kill(1); // its acks count again: without another one
    put_some(&client, "with-it");
    finish(&client);
}

static void failing_disk_of_a_follower(void)
{
    failing_disk_of(false);
}

static void failing_disk_of_the_leader(void)
{
    failing_disk_of(true);
}

// ------------------------------------------------------------------------------------------------
// from the start

static struct program_result run_node(bool bootstrap)
{
    return bootstrap
               ? program_run("pontoon", "node", "--config", bed.config, "--id", "3", "--bootstrap")
               : program_run("pontoon", "node", "--config", bed.config, "--id", "3");
}

static void check_refusal(const struct program_result *result, int status, const char *word)
{
    if (result->status != status || result->lines != 1 || strstr(result->err, word) == NULL) {
        printf("    status %d, wants %d: \"%s\", wants \"%s\"\n", result->status, status,
               result->err, word);
    }
    CHECK_EQUAL(result->status, status);
    CHECK_EQUAL(result->lines, 1);
    CHECK(strstr(result->err, word) != NULL);
}

static void read_only_mount_is_refused(void)
{
    char path[CLUSTER_PATH_BYTES + 64];
    struct bed_view view;
    if (!bed_create("udp", "fsync", SETTINGS) || !bad_disk_open(VICTIM, "512")) {
        return;
    }
    snprintf(path, sizeof(path), "%s/node-3", bed.directory);
    CHECK_EQUAL(mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    struct program_result result = run_node(true);
    check_refusal(&result, DIRECTORY, "ead-only file system");
    CHECK_EQUAL(mount(NULL, path, NULL, MS_REMOUNT, NULL), 0);
    bed_bootstrap(VICTIM);
    WAIT_UNTIL(bed_look(VICTIM, &view));
    bed_kill(VICTIM);
    CHECK_EQUAL(mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    result = run_node(false);
    check_refusal(&result, DIRECTORY, "ead-only file system");
    CHECK_EQUAL(mount(NULL, path, NULL, MS_REMOUNT, NULL), 0);
    bed_start(VICTIM); // nothing was spoilt
    WAIT_UNTIL(bed_look(VICTIM, &view));
    bad_disk_close();
    bed_close();
}

// A file system without direct I/O: ramfs (tmpfs has it on newer kernels).
static void file_system_without_direct_io_is_refused(void)
{
    char path[CLUSTER_PATH_BYTES + 64];
    if (!bed_create("udp", "fsync", SETTINGS) || !bad_disk_open(VICTIM, "512")) {
        return;
    }
    snprintf(path, sizeof(path), "%s/node-3", bed.directory);
    if (mount("ramfs", path, "ramfs", 0, NULL) != 0) {
        test_skip("no ramfs");
    } else {
        struct program_result result = run_node(true);
        check_refusal(&result, 4, "O_DIRECT");
        CHECK_EQUAL(umount2(path, MNT_DETACH), 0);
    }
    bad_disk_close();
    bed_close();
}

// A disk whose smallest write is 4096 bytes: it serves like any other, and recovers.
static void sectors_of_4096_bytes_serve(void)
{
    struct kv_client client;
    if (!bed_create("udp", "fsync", SETTINGS) || !bad_disk_open(VICTIM, "4096")) {
        return;
    }
    bed_bootstrap(1);
    bed_bootstrap(VICTIM);
    bed_await_leader(all_but(2)); // two of three: every entry goes to that disk
    if (!kv_client_open(&client, 1)) {
        return;
    }
    put_some(&client, "before");
    bed_kill(VICTIM);
    bad_disk_remount();
    bed_start(VICTIM);
    put_some(&client, "after");
    bed_await_equal(all_but(2), 2 * PUTS);
    finish(&client);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(slow_disk_of_a_follower),
        TEST(hanging_disk_of_a_follower),
        TEST(hanging_disk_of_the_leader),
        TEST(failing_disk_of_a_follower),
        TEST(failing_disk_of_the_leader),
        TEST(read_only_mount_is_refused),
        TEST(file_system_without_direct_io_is_refused),
        TEST(sectors_of_4096_bytes_serve),
    };
    return test_run("cluster bad disk", cases, TEST_COUNT(cases), argc, argv);
}
