// What a crash may cost: with fsync nothing that was acknowledged, with memory the group halts in a
// state that has a name, and a node whose directory is gone is not let in by itself.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cluster/bed.h"
#include "tests/cluster/kv_client.h"
#include "tests/cluster/program.h"

enum { PAIRS = 240 };

static unsigned all_but(int id)
{
    return BED_ALL & ~(1u << id);
}

static void kill_all(void)
{
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        cluster_signal_node(&bed, id, SIGKILL);
    }
}

// Loads, kills the leader at half, goes on; restarts it; verifies.
static void lose_leader_over(const char *link, const char *durability)
{
    struct kv_client client;
    if (!bed_open(link, durability) || !kv_client_open(&client, 1)) {
        return;
    }
    kv_client_fill(&client, 0, PAIRS / 2);
    int old = bed_await_leader(BED_ALL);
    bed_kill(old);
    kv_client_fill(&client, PAIRS / 2, PAIRS / 2);
    bed_await_equal(all_but(old), PAIRS);
    bed_start(old);
    bed_await_equal(BED_ALL, PAIRS);
    kv_client_verify(&client, 0, PAIRS);
    kv_client_close(&client);
    bed_close();
}

static void leader_killed_in_the_load_udp_fsync(void)
{
    lose_leader_over("udp", "fsync");
}

static void leader_killed_in_the_load_udp_memory(void)
{
    lose_leader_over("udp", "memory");
}

static void leader_killed_in_the_load_af_packet_fsync(void)
{
    lose_leader_over("af_packet", "fsync");
}

static void follower_killed_in_the_load(void)
{
    struct kv_client client;
    if (!bed_open("udp", "fsync") || !kv_client_open(&client, 1)) {
        return;
    }
    int leader = bed_await_leader(BED_ALL), victim = leader % 3 + 1;
    for (uint32_t round = 0; round < 3; round++) {
        kv_client_fill(&client, round * PAIRS, PAIRS / 2);
        bed_kill(victim);
        kv_client_fill(&client, round * PAIRS + PAIRS / 2, PAIRS / 2);
        bed_start(victim);
    }
    bed_await_equal(BED_ALL, 3 * PAIRS);
    kv_client_verify(&client, 0, 3 * PAIRS);
    kv_client_close(&client);
    bed_close();
}

// P4 of the fault list. All at once, in the middle of a load; started again in every order, with
// pauses, so that a majority is there before the third.
static void fsync_whole_cluster_killed_loses_nothing(void)
{
    static const int orders[][3] = {{1, 2, 3}, {3, 2, 1}, {2, 3, 1}, {1, 3, 2}};
    struct kv_client client;
    struct bed_view view;
    if (!bed_open("udp", "fsync") || !kv_client_open(&client, 1)) {
        return;
    }
    uint32_t pairs = 0;
    for (size_t at = 0; at < sizeof(orders) / sizeof(orders[0]); at++) {
        kv_client_fill(&client, pairs, PAIRS / 2);
        pairs += PAIRS / 2;
        kill_all();
        for (int place = 0; place < CLUSTER_NODES; place++) {
            int id = orders[at][place];
            bed_start(id);
            WAIT_UNTIL(bed_look(id, &view));
        }
        kv_client_verify(&client, 0, pairs);
    }
    bed_await_equal(BED_ALL, pairs);
    kv_client_fill(&client, pairs, 12); // the session survived, too
    kv_client_close(&client);
    bed_close();
}

// S20: killed again and again while they recover and meet, at another moment each time.
static void killed_while_they_start_loses_nothing(void)
{
    struct kv_client client;
    if (!bed_open("udp", "fsync") || !kv_client_open(&client, 1)) {
        return;
    }
    kv_client_fill(&client, 0, PAIRS);
    for (uint32_t round = 0; round < 12; round++) {
        kill_all();
        for (int id = 1; id <= CLUSTER_NODES; id++) {
            bed_start(id);
        }
        bed_wait(round * 25);
    }
    kv_client_verify(&client, 0, PAIRS);
    bed_await_equal(BED_ALL, PAIRS);
    kv_client_close(&client);
    bed_close();
}

// With a majority of the entries gone nobody can know what was committed: no leader, ever, and
// status says why.
static void memory_whole_cluster_killed_halts(void)
{
    struct kv_client client;
    struct bed_view view;
    if (!bed_open("udp", "memory") || !kv_client_open(&client, 1)) {
        return;
    }
    kv_client_fill(&client, 0, 24);
    kill_all();
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        bed_start(id);
    }
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        WAIT_UNTIL(bed_look(id, &view) && view.halted);
        CHECK(!view.intact);
        CHECK_EQUAL(view.leader, 0);
    }
    uint64_t until_ns = bed_deadline_ns(1000); // a second: many timeouts
    while (bed_pause(until_ns)) {
        CHECK_EQUAL(bed_leader_of(BED_ALL), 0);
    }
    struct program_result result = program_run("pontoon", "status", "--config", bed.config);
    CHECK_EQUAL(result.status, 0);
    CHECK(strstr(result.out, "HALTED: a majority lost its entries") != NULL);
    kv_client_close(&client);
    bed_close();
}

// A memory node starts empty. It catches up and counts again: with it, and without one of the
// others, the cluster serves.
static void memory_node_restarted_counts_again(void)
{
    struct kv_client client;
    struct bed_view view;
    if (!bed_open("udp", "memory") || !kv_client_open(&client, 1)) {
        return;
    }
    kv_client_fill(&client, 0, PAIRS);
    for (int victim = 1; victim <= CLUSTER_NODES; victim++) {
        bed_kill(victim);
        kv_client_fill(&client, (uint32_t)victim * PAIRS, 24);
        bed_start(victim);
        bed_await_equal(BED_ALL, PAIRS); // intact is part of this
        CHECK(bed_look(victim, &view));
        CHECK_EQUAL(view.boot, 2);
    }
    for (int victim = 1; victim <= CLUSTER_NODES; victim++) {
        kv_client_verify(&client, (uint32_t)victim * PAIRS, 24);
    }
    kv_client_verify(&client, 0, PAIRS);
    kv_client_close(&client);
    bed_close();
}

static void remove_directory(int id)
{
    char path[CLUSTER_PATH_BYTES + 32];
    snprintf(path, sizeof(path), "%s/node-%d", bed.directory, id);
    CHECK_EQUAL(program_run("/bin/rm", "-rf", path).status, 0);
}

// S24: with the disk the vote is lost. Starting without --bootstrap is refused and writes nothing.
static void lost_directory_is_refused(void)
{
    static const char *const kinds[] = {"memory", "fsync"};
    for (int kind = 0; kind < 2; kind++) {
        if (!bed_open("udp", kinds[kind])) {
            return;
        }
        char path[CLUSTER_PATH_BYTES + 32];
        snprintf(path, sizeof(path), "%s/node-2", bed.directory);
        bed_kill(2);
        remove_directory(2);
        struct program_result result =
            program_run("pontoon", "node", "--config", bed.config, "--id", "2");
        CHECK_EQUAL(result.status, 5);
        CHECK_EQUAL(result.lines, 1);
        CHECK_TEXT(result.out, "");
        CHECK(strstr(result.err, path) != NULL && strstr(result.err, "--bootstrap") != NULL);
        CHECK(program_run("/usr/bin/test", "-e", path).status != 0);
        bed_await_leader(all_but(2)); // the others serve on
        bed_close();
    }
}

static void copy_directory(const char *from, const char *to)
{
    CHECK_EQUAL(program_run("/bin/cp", "-a", from, to).status, 0);
}

// S22: the directory of a node is replaced by a backup of it from before its last starts. Its peers
// remember a later one, so they do not hear it: without one of them there is no majority, and with
// both nothing is lost.
static void old_backup_is_not_counted(void)
{
    char path[CLUSTER_PATH_BYTES + 32], backup[CLUSTER_PATH_BYTES + 32];
    struct kv_client client;
    struct bed_view view, before;
    if (!bed_open("udp", "fsync") || !kv_client_open(&client, 1)) {
        return;
    }
    snprintf(path, sizeof(path), "%s/node-2", bed.directory);
    snprintf(backup, sizeof(backup), "%s/backup", bed.directory);
    kv_client_fill(&client, 0, 24);
    bed_await_equal(BED_ALL, 24);
    bed_kill(2);
    copy_directory(path, backup);
    for (uint32_t start = 1; start <= 2; start++) {
        bed_start(2);
        WAIT_UNTIL(bed_look(2, &view) && view.leader != 0);
        kv_client_fill(&client, start * 24, 24);
        bed_await_equal(BED_ALL, 24 + start * 24);
        bed_kill(2);
    }
    remove_directory(2);
    copy_directory(backup, path);
    bed_start(2);
    WAIT_UNTIL(bed_look(2, &view));
    int leader = bed_await_leader(all_but(2)), other = 4 - leader; // 1 and 3
    bed_kill(other);
    WAIT_UNTIL(bed_look(leader, &view) && !view.is_leader); // nobody is heard: check-quorum
    CHECK(bed_look(leader, &before));
    bed_wait(1500);
    CHECK_EQUAL(bed_leader_of(BED_ALL), 0);
    CHECK(bed_look(leader, &view));
    CHECK_EQUAL(view.commit, before.commit);
    CHECK(bed_look(2, &view) && !view.is_leader);
    CHECK(view.applied < 72);
    bed_start(other);
    kv_client_fill(&client, 72, 24);
    kv_client_verify(&client, 0, 96);
    kv_client_close(&client);
    bed_close();
}

// --bootstrap twice would forget a vote.
static void second_bootstrap_is_refused(void)
{
    if (!bed_open("udp", "fsync")) {
        return;
    }
    bed_kill(1);
    struct program_result result =
        program_run("pontoon", "node", "--config", bed.config, "--id", "1", "--bootstrap");
    CHECK_EQUAL(result.status, 5);
    CHECK_EQUAL(result.lines, 1);
    CHECK(strstr(result.err, "bootstrapped before") != NULL);
    bed_start(1);
    bed_await_equal(BED_ALL, getenv("PONTOON_TEST_ORDER") == NULL); // the no-op of a strict term
    bed_close();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(leader_killed_in_the_load_udp_fsync),
        TEST(leader_killed_in_the_load_udp_memory),
        TEST(leader_killed_in_the_load_af_packet_fsync),
        TEST(follower_killed_in_the_load),
        TEST(fsync_whole_cluster_killed_loses_nothing),
        TEST(killed_while_they_start_loses_nothing),
        TEST(memory_whole_cluster_killed_halts),
        TEST(memory_node_restarted_counts_again),
        TEST(lost_directory_is_refused),
        TEST(second_bootstrap_is_refused),
        TEST(old_backup_is_not_counted),
    };
    return test_run("cluster restart", cases, TEST_COUNT(cases), argc, argv);
}
