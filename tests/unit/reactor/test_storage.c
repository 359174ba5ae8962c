// Logs and checkpoints on disks that are late, full, broken or damaged.
#include <errno.h>

#include "drivers/disk_memory/disk_memory.h"
#include "engine/reactor/internal.h"
#include "tests/harness/harness.h"
#include "tests/unit/reactor/situation.h"

static struct disk *checkpoint_disk_of(struct world *world, uint16_t id)
{
    return world->nodes[id - 1].seats[0].checkpoint_disk.inner;
}

// On every node; 0: no more.
static void limit_checkpoints(struct world *world, uint64_t bytes)
{
    for (uint16_t id = 1; id <= world->options.nodes; id++) {
        disk_memory_set_capacity(checkpoint_disk_of(world, id), bytes);
    }
}

static void check_floors(struct world *world)
{
    for (uint16_t id = 1; id <= world->options.nodes; id++) {
        struct reactor *reactor = world_reactor(world, id, 0);
        struct raft_view view = world_status(world, id, 0).raft;
        CHECK(reactor == NULL || wal_recovered_commit(reactor->wal, 0) <= view.synced);
    }
}

// A commit index may be ahead of what the own disk holds, the floor that recovery believes may not.
static void commit_floors_follow_the_own_disk(void)
{
    struct world_options options = situation_options(3, false);
    options.disk_polls = 100;
    struct world *world = situation_begin(&options);
    world_clients_active(world, true);
    uint64_t ahead = 0;
    for (uint32_t round = 0; round < 5000; round++) {
        world_run(world, 20 * WORLD_US);
        check_floors(world);
        for (uint16_t id = 1; id <= 3; id++) {
            struct raft_view view = world_status(world, id, 0).raft;
            ahead += view.commit > view.synced;
        }
    }
    CHECK(ahead > 100);
    world_settle(world, WORLD_S);
    world_close(world);
}

static void a_replaced_tail_is_recorded(void)
{
    uint32_t answers[16] = {0};
    struct wal_counters before, after;
    struct world *world = situation_open(3, false);
    uint16_t leader = world_leader(world, 0);
    struct reactor *reactor = world_reactor(world, leader, 0);
    world_isolate(world, leader);
    for (uint32_t at = 0; at < 20; at++) {
        CHECK_EQUAL(reactor_propose_mt(reactor, 0, answers, 8, situation_count, NULL, answers), 0);
    }
    world_run(world, WORLD_S / 2);
    reactor_wal_counters(reactor, &before);
    world_heal(world);
    CHECK(world_run_until(world, world_is_level, WORLD_S));
    reactor_wal_counters(reactor, &after);
    CHECK_EQUAL(after.truncates, before.truncates + 1);
    world_settle(world, WORLD_S);
    world_close(world);
}

// Checkpoints find no room: the log fills up and says so. With room it goes on.
static void a_full_disk_ends_in_back_pressure(void)
{
    struct world_options options = situation_options(3, false);
    options.log_bytes = 8 << 20;
    struct world *world = situation_begin(&options);
    limit_checkpoints(world, 16384);
    world_clients_active(world, true);
    world_run(world, WORLD_S);
    uint64_t before = situation_done(world);
    CHECK(world->clients[0].busy > 0);
    world->clients[0].reads_percent = world->clients[1].reads_percent = 0;
    world_run(world, WORLD_S / 4);
    CHECK(situation_done(world) < before + 100); // reads under way
    limit_checkpoints(world, 0);
    world_settle(world, 2 * WORLD_S);
    CHECK(situation_done(world) > before);
    world_close(world);
}

// One node's disk takes no checkpoint any more. It leads: its log fills up, and it gives up
// leadership to one that has room. When all are full, nobody would gain by that: reads go on.
static void a_full_leader_gives_way_to_one_with_room(void)
{
    struct world_options options = situation_options(3, false);
    options.log_bytes = 8 << 20;
    struct world *world = situation_begin(&options);
    uint16_t leader = world_leader(world, 0);
    disk_memory_set_capacity(checkpoint_disk_of(world, leader), 16384);
    world_clients_active(world, true);
    world_run(world, 2 * WORLD_S);
    uint16_t next = world_leader(world, 0);
    CHECK(next != 0 && next != leader);
    uint64_t before = situation_done(world);
    world_run(world, WORLD_S);
    CHECK_EQUAL(world_leader(world, 0), next);
    CHECK(situation_done(world) > before + 1000);
    limit_checkpoints(world, 16384);
    world_run(world, 2 * WORLD_S);
    CHECK_EQUAL(world_leader(world, 0), next);
    uint64_t term = world_status(world, next, 0).raft.term;
    uint64_t reads = world->clients[0].reads_done;
    world_run(world, 2 * WORLD_S);
    CHECK_EQUAL(world_status(world, next, 0).raft.term, term);
    CHECK(world->clients[0].reads_done > reads);
    limit_checkpoints(world, 0);
    world_settle(world, 2 * WORLD_S);
    world_close(world);
}

// A leader that is alone fills its log with entries nobody will commit; then it must take those of
// the next leader.
static void a_log_full_of_lost_entries_is_emptied(void)
{
    static uint8_t payload[200000];
    uint32_t answers[16] = {0}, posted = 0;
    struct world_options options = situation_options(3, false);
    options.log_bytes = 8 << 20;
    options.log_entries = 16384;
    struct world *world = situation_begin(&options);
    uint16_t leader = world_leader(world, 0);
    struct reactor *reactor = world_reactor(world, leader, 0);
    world_isolate(world, leader);
    for (uint32_t bytes = sizeof(payload), busy = 1; bytes > 0; bytes /= 10, busy++) {
        while (answers[WIRE_BUSY] < busy) { // ... to the last byte
            CHECK_EQUAL(
                reactor_propose_mt(reactor, 0, payload, bytes, situation_count, NULL, answers), 0);
            posted++;
            world_run(world, 20 * WORLD_US);
        }
    }
    CHECK_EQUAL(answers[WIRE_NOT_LEADER], 0);
    world_run(world, WORLD_S / 2);
    CHECK_EQUAL(answers[WIRE_UNKNOWN] + answers[WIRE_BUSY], posted);
    world_heal(world);
    CHECK(world_run_until(world, world_is_level, WORLD_S)); // without a checkpoint
    CHECK_EQUAL(situation_counters(world, leader).snapshots_installed, 0);
    world_settle(world, 3 * WORLD_S);
    world_close(world);
}

static void a_leader_whose_device_fails_steps_down(void)
{
    struct world *world = situation_open(3, false);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 10);
    uint16_t leader = world_leader(world, 0);
    disk_memory_fail(world->nodes[leader - 1].seats[0].disk.inner, DISK_WRITE_DURABLE, 5, 1, -EIO);
    world_run(world, WORLD_S / 2);
    CHECK(world_status(world, leader, 0).raft.failed);
    CHECK(world_leader(world, 0) != leader && world_leader(world, 0) != 0);
    world_settle(world, WORLD_S);
    world_crash(world, leader, 50);
    world_start(world, leader);
    world_settle(world, WORLD_S);
    world_close(world);
}

static void a_failed_flush_of_a_checkpoint_is_final(void)
{
    struct world *world = situation_open(3, false);
    uint16_t leader = world_leader(world, 0);
    disk_memory_fail(checkpoint_disk_of(world, leader), DISK_FLUSH, 1, 1, -EIO);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 2);
    CHECK(world_status(world, leader, 0).raft.failed);
    world_settle(world, WORLD_S);
    world_close(world);
}

static void closing_waits_for_a_checkpoint_being_written(void)
{
    struct world_options options = situation_options(1, false);
    options.app_ballast_bytes = 3000000;
    options.disk_polls = 50;
    struct world *world = situation_begin(&options);
    world_clients_active(world, true);
    for (uint32_t round = 0; round < 4; round++) {
        uint32_t waited = 0;
        while (world_reactor(world, 1, 0)->checkpointing == NULL) {
            CHECK(waited++ < 20000);
            world_run(world, 100 * WORLD_US);
        }
        world_run(world, round * 300 * WORLD_US);
        world_stop_cleanly(world, 1);
        world_start(world, 1);
    }
    world_settle(world, WORLD_S);
    world_close(world);
}

// The newest checkpoint is damaged: the node starts, does not count, and is given another.
static void a_damaged_checkpoint_is_repaired_by_peers(void)
{
    struct world_options options = situation_options(3, false);
    options.log_entries = 256;
    struct world *world = situation_begin(&options);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 2);
    uint16_t victim = situation_follower(world);
    world_crash(world, victim, 0);
    struct disk *disk = checkpoint_disk_of(world, victim);
    for (uint32_t which = 0; which < 2; which++) {
        char name[] = "checkpoint-0-0";
        uint64_t bytes;
        name[sizeof(name) - 2] = (char)('0' + which);
        uint8_t *image = disk_memory_image(disk, name, &bytes);
        CHECK(image != NULL && bytes > 4096 + 100);
        image[4096 + 100] ^= 1;
    }
    disk_memory_crash(disk, 1, 0);
    world_start(world, victim);
    CHECK(!world_status(world, victim, 0).raft.intact);
    world_run(world, 2 * WORLD_MS);
    world_crash(world, victim, 0); // it stays so over another start
    world_start(world, victim);
    CHECK(!world_status(world, victim, 0).raft.intact);
    world_settle(world, 3 * WORLD_S);
    CHECK(world_status(world, victim, 0).raft.intact);
    world_close(world);
}

// A node that lost entries and waits for a peer's checkpoint must not be busy with checkpoints of
// what it has.
static void no_checkpoint_without_news(void)
{
    struct world *world = situation_open(3, false);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 8);
    world_settle(world, WORLD_S);
    struct group *group = reactor_group(world_reactor(world, situation_follower(world), 0), 0);
    checkpoint_start(group);
    CHECK(group->checkpoint.state != CHECKPOINT_IDLE);
    world_run(world, 50 * WORLD_MS);
    CHECK_EQUAL(group->checkpoint.durable.index, group->applied);
    group->is_incomplete = true;
    group->raft->intact = false;
    checkpoint_start(group);
    CHECK(group->checkpoint.state == CHECKPOINT_IDLE);
    group->raft->intact = true;
    checkpoint_start(group); // to say that it is whole
    CHECK(group->checkpoint.state != CHECKPOINT_IDLE);
    world_run(world, 50 * WORLD_MS);
    CHECK(!group->is_incomplete);
    world_close(world);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(commit_floors_follow_the_own_disk),
        TEST(a_replaced_tail_is_recorded),
        TEST(a_full_disk_ends_in_back_pressure),
        TEST(a_full_leader_gives_way_to_one_with_room),
        TEST(a_log_full_of_lost_entries_is_emptied),
        TEST(a_leader_whose_device_fails_steps_down),
        TEST(a_failed_flush_of_a_checkpoint_is_final),
        TEST(closing_waits_for_a_checkpoint_being_written),
        TEST(a_damaged_checkpoint_is_repaired_by_peers),
        TEST(no_checkpoint_without_news),
    };
    return test_run("reactor storage", cases, TEST_COUNT(cases), argc, argv);
}
