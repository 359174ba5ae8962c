// The reactor among others of its kind, one situation a case.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/disk_memory/disk_memory.h"
#include "engine/reactor/internal.h"
#include "tests/harness/harness.h"
#include "tests/harness/world.h"

static struct world_options options;

static struct world *open_world(uint32_t nodes)
{
    struct world *world = world_open(&options);
    CHECK(world->options.nodes == nodes);
    CHECK(world_run_until(world, world_has_leaders, WORLD_S));
    return world;
}

static void default_options(uint32_t nodes, bool is_volatile)
{
    world_default_options(&options, nodes, 1);
    options.is_volatile = is_volatile;
}

static uint64_t done(const struct world *world)
{
    uint64_t count = 0;
    for (uint32_t place = 0; place < world->options.clients; place++) {
        count += world->clients[place].done;
    }
    return count;
}

static struct reactor_counters counters(struct world *world, uint16_t id)
{
    struct reactor_counters out;
    reactor_counters(world_reactor(world, id, 0), &out);
    return out;
}

static void count_done(void *context, reactor_user *user, const struct reactor_reply *reply)
{
    ((uint32_t *)context)[reply->status]++;
}

static uint16_t follower(struct world *world)
{
    return world_leader(world, 0) == 1 ? 2 : 1;
}

static void three_nodes_serve_clients(void)
{
    default_options(3, false);
    struct world *world = open_world(3);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 4);
    world_settle(world, WORLD_S);
    CHECK(world->clients[0].done > 100 && world->clients[0].reads_done > 10);
    world_close(world);
}

static void a_single_node_serves_and_recovers(void)
{
    default_options(1, false);
    struct world *world = open_world(1);
    for (uint32_t round = 0; round < 5; round++) {
        world_clients_active(world, true);
        world_run(world, WORLD_S / 10);
        world_crash(world, 1, 50);
        world_start(world, 1);
    }
    world_settle(world, WORLD_S);
    world_close(world);
}

// Damaged payloads pass the frame's checksum: each node has to find them by the entry's, on the way
// from client to leader, from leader to follower, and in fragments. No answer says so, or a client
// would give up what it need only send again. (World: what is applied is what a client sent.)
static void flipped_bits_are_dropped_and_counted(void)
{
    static const uint32_t payload_max[] = {3000, 100000}; // whole, and in fragments
    for (uint32_t round = 0; round < 2; round++) {
        default_options(3, round == 0);
        options.payload_max = payload_max[round];
        struct world *world = open_world(3);
        world->flip_permille = 100;
        world_clients_active(world, true);
        world_run(world, WORLD_S);
        uint64_t payloads = 0, frames = 0;
        uint16_t leader = world_leader(world, 0);
        CHECK(leader != 0);
        CHECK(counters(world, leader).refused[WIRE_BAD_ENTRY] > 10);
        for (uint16_t id = 1; id <= 3; id++) {
            payloads += id == leader ? 0 : counters(world, id).refused[WIRE_BAD_ENTRY];
            frames += counters(world, id).refused[WIRE_BAD_CHECKSUM];
        }
        CHECK(payloads > 10);
        CHECK(frames > 100);
        world_settle(world, 5 * WORLD_S);
        CHECK(done(world) > 100);
        world_close(world);
    }
}

// --- checkpoints between nodes ---

static void a_follower_behind_the_log_is_given_a_checkpoint(void)
{
    default_options(3, false);
    options.app_ballast_bytes = 1500000;
    struct world *world = open_world(3);
    uint16_t behind = follower(world);
    world_crash(world, behind, 0);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 2);
    world_start(world, behind);
    world_settle(world, 5 * WORLD_S);
    CHECK_EQUAL(counters(world, behind).snapshots_installed, 1);
    world_crash(world, behind, 0);
    world_start(world, behind); // from the checkpoint it made of it
    world_settle(world, WORLD_S);
    CHECK_EQUAL(counters(world, behind).snapshots_installed, 0);
    world_close(world);
}

static void a_memory_node_comes_back_empty(void)
{
    default_options(3, true);
    struct world *world = open_world(3);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 4);
    for (uint16_t id = 1; id <= 3; id++) {
        world_crash(world, id, 0);
        world_run(world, WORLD_S / 4);
        world_start(world, id);
        world_settle(world, 5 * WORLD_S);
        world_clients_active(world, true);
    }
    world_settle(world, WORLD_S);
    world_close(world);
}

// Whoever dies in the middle of it must not keep the log of the others for ever, and is given it
// from the beginning when it is back.
static void a_follower_dies_while_it_is_given_a_checkpoint(void)
{
    default_options(3, true);
    options.app_ballast_bytes = 6000000;
    struct world *world = open_world(3);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 4);
    uint16_t victim = follower(world);
    world_crash(world, victim, 0);
    world_run(world, WORLD_S / 4);
    world_start(world, victim);
    const struct group *group = reactor_group(world_reactor(world, victim, 0), 0);
    for (uint32_t round = 0; group->snapshot.in_received < 1000000; round++) {
        CHECK(round < 20000);
        world_run(world, 50 * WORLD_US);
    }
    world_kill(world, victim);
    world_run(world, 3 * WORLD_S);
    uint64_t before = done(world);
    world_run(world, WORLD_S / 2);
    CHECK(done(world) > before + 1000);
    world_start(world, victim);
    world_settle(world, 5 * WORLD_S);
    world_close(world);
}

static void the_leader_changes_while_it_gives_a_checkpoint(void)
{
    default_options(5, true);
    options.app_ballast_bytes = 6000000;
    struct world *world = open_world(5);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 4);
    uint16_t leader = world_leader(world, 0);
    uint16_t behind = leader % 5 + 1;
    world_crash(world, behind, 0);
    world_run(world, WORLD_S / 4);
    world_start(world, behind);
    const struct group *group = reactor_group(world_reactor(world, behind, 0), 0);
    for (uint32_t round = 0; group->snapshot.in_received < 1000000; round++) {
        CHECK(round < 20000);
        world_run(world, 50 * WORLD_US);
    }
    world_isolate(world, leader);
    world_run(world, WORLD_S / 2);
    CHECK(world_leader(world, 0) != leader);
    world_settle(world, 5 * WORLD_S);
    world_close(world);
}

// The deadline a loop may sleep by knows of parts that are to be sent again.
static void lost_parts_are_sent_again_in_time(void)
{
    default_options(3, true);
    options.app_ballast_bytes = 3000000;
    struct world *world = open_world(3);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 4);
    uint16_t behind = follower(world), leader = world_leader(world, 0);
    world_crash(world, behind, 0);
    world_clients_active(world, false);
    world_run(world, WORLD_S / 4);
    world_start(world, behind);
    const struct world_node *node = &world->nodes[leader - 1];
    const struct snapshot *snapshot = &reactor_group(node->seats[0].reactor, 0)->snapshot;
    const struct snapshot_peer *peer = &snapshot->peers[behind - 1];
    uint32_t checked = 0;
    for (uint32_t round = 0; round < 4000; round++) {
        world_run(world, 20 * WORLD_US);
        uint64_t now_ns = node->seats[0].reactor->now_ns;
        if (snapshot->is_ready && peer->is_active && peer->resend_ns > now_ns) {
            CHECK(node->seats[0].deadline_ns <= peer->resend_ns);
            checked++;
        }
    }
    CHECK(checked > 10);
    world_settle(world, WORLD_S);
    world_close(world);
}

// What a worker was given before must be applied before: the checkpoint waits for it.
static void a_checkpoint_waits_for_the_worker(void)
{
    default_options(3, true);
    options.apply_workers = 1;
    options.log_entries = 256;
    struct world *world = open_world(3);
    uint16_t behind = follower(world);
    struct world_node *node = &world->nodes[behind - 1];
    world_clients_active(world, true);
    world_run(world, WORLD_S / 10);
    node->has_stopped_workers = true;
    world_run(world, 20 * WORLD_MS);
    const struct group *group = reactor_group(world_reactor(world, behind, 0), 0);
    CHECK(group->jobs_out > 0);
    world_isolate(world, behind);
    world_run(world, WORLD_S / 2);
    world_heal(world);
    world_run(world, WORLD_S / 2);
    CHECK(world_status(world, world_leader(world, 0), 0).raft.base > group->apply_last);
    CHECK_EQUAL(counters(world, behind).snapshots_installed, 0);
    node->has_stopped_workers = false;
    world_settle(world, 5 * WORLD_S);
    CHECK(counters(world, behind).snapshots_installed > 0);
    world_close(world);
}

// While a peer gets on with a checkpoint, the log behind it stays: or it would need the next one,
// and so on for as long as there is load.
static void the_log_behind_a_checkpoint_stays(void)
{
    default_options(3, true);
    options.log_entries = 256;
    options.app_ballast_bytes = 3000000;
    struct world *world = open_world(3);
    uint16_t behind = follower(world);
    world_crash(world, behind, 0);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 4);
    world_start(world, behind);
    uint16_t leader = world_leader(world, 0);
    uint64_t waited = 0, pinned = 0;
    while (counters(world, behind).snapshots_installed == 0) {
        CHECK(waited++ < 30000);
        world_run(world, 100 * WORLD_US);
        const struct snapshot *snapshot =
            &reactor_group(world_reactor(world, leader, 0), 0)->snapshot;
        if (snapshot->is_ready && snapshot->peers[behind - 1].received_bytes > 0) {
            CHECK(world_status(world, leader, 0).raft.base <= snapshot->covers.index);
            pinned++;
        }
    }
    CHECK(pinned > 10);
    world_run(world, WORLD_S / 2);
    CHECK_EQUAL(counters(world, behind).snapshots_installed, 1);
    world_settle(world, WORLD_S);
    world_close(world);
}

// --- what the log is told ---

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
    default_options(3, false);
    options.disk_polls = 100;
    struct world *world = open_world(3);
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
    default_options(3, false);
    struct world *world = open_world(3);
    uint16_t leader = world_leader(world, 0);
    struct reactor *reactor = world_reactor(world, leader, 0);
    world_isolate(world, leader);
    for (uint32_t at = 0; at < 20; at++) {
        CHECK_EQUAL(reactor_propose_mt(reactor, 0, answers, 8, count_done, NULL, answers), 0);
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

// --- the log is full ---

// Checkpoints find no room: the log fills up and says so. With room it goes on.
static void a_full_disk_ends_in_back_pressure(void)
{
    default_options(3, false);
    options.log_bytes = 8 << 20;
    struct world *world = open_world(3);
    for (uint32_t at = 0; at < 3; at++) {
        disk_memory_set_capacity(world->nodes[at].seats[0].checkpoint_disk.inner, 16384);
    }
    world_clients_active(world, true);
    world_run(world, WORLD_S);
    uint64_t before = done(world);
    CHECK(world->clients[0].busy > 0);
    world->clients[0].reads_percent = world->clients[1].reads_percent = 0;
    world_run(world, WORLD_S / 4);
    CHECK(done(world) < before + 100); // reads under way
    for (uint32_t at = 0; at < 3; at++) {
        disk_memory_set_capacity(world->nodes[at].seats[0].checkpoint_disk.inner, 0);
    }
    world_settle(world, 2 * WORLD_S);
    CHECK(done(world) > before);
    world_close(world);
}

// One node's disk takes no checkpoint any more. It leads: its log fills up, and it gives up
// leadership to one that has room. When all are full, nobody would gain by that: reads go on.
static void a_full_leader_gives_way_to_one_with_room(void)
{
    default_options(3, false);
    options.log_bytes = 8 << 20;
    struct world *world = open_world(3);
    uint16_t leader = world_leader(world, 0);
    disk_memory_set_capacity(world->nodes[leader - 1].seats[0].checkpoint_disk.inner, 16384);
    world_clients_active(world, true);
    world_run(world, 2 * WORLD_S);
    uint16_t next = world_leader(world, 0);
    CHECK(next != 0 && next != leader);
    uint64_t before = done(world);
    world_run(world, WORLD_S);
    CHECK_EQUAL(world_leader(world, 0), next);
    CHECK(done(world) > before + 1000);
    for (uint32_t at = 0; at < 3; at++) {
        disk_memory_set_capacity(world->nodes[at].seats[0].checkpoint_disk.inner, 16384);
    }
    world_run(world, 2 * WORLD_S);
    CHECK_EQUAL(world_leader(world, 0), next);
    uint64_t term = world_status(world, next, 0).raft.term;
    uint64_t reads = world->clients[0].reads_done;
    world_run(world, 2 * WORLD_S);
    CHECK_EQUAL(world_status(world, next, 0).raft.term, term);
    CHECK(world->clients[0].reads_done > reads);
    for (uint32_t at = 0; at < 3; at++) {
        disk_memory_set_capacity(world->nodes[at].seats[0].checkpoint_disk.inner, 0);
    }
    world_settle(world, 2 * WORLD_S);
    world_close(world);
}

// A leader that is alone fills its log with entries nobody will commit; then it must take those of
// the next leader.
static void a_log_full_of_lost_entries_is_emptied(void)
{
    static uint8_t payload[200000];
    uint32_t answers[16] = {0}, posted = 0;
    default_options(3, false);
    options.log_bytes = 8 << 20;
    options.log_entries = 16384;
    struct world *world = open_world(3);
    uint16_t leader = world_leader(world, 0);
    struct reactor *reactor = world_reactor(world, leader, 0);
    world_isolate(world, leader);
    for (uint32_t bytes = sizeof(payload), busy = 1; bytes > 0; bytes /= 10, busy++) {
        while (answers[WIRE_BUSY] < busy) { // ... to the last byte
            CHECK_EQUAL(reactor_propose_mt(reactor, 0, payload, bytes, count_done, NULL, answers),
                        0);
            posted++;
            world_run(world, 20 * WORLD_US);
        }
    }
    CHECK_EQUAL(answers[WIRE_NOT_LEADER], 0);
    world_run(world, WORLD_S / 2);
    CHECK_EQUAL(answers[WIRE_UNKNOWN] + answers[WIRE_BUSY], posted);
    world_heal(world);
    CHECK(world_run_until(world, world_is_level, WORLD_S)); // without a checkpoint
    CHECK_EQUAL(counters(world, leader).snapshots_installed, 0);
    world_settle(world, 3 * WORLD_S);
    world_close(world);
}

// 1 MiB in frames of 576 bytes is 3000 fragments; the driver takes four at a time.
static void the_largest_entry_in_the_smallest_frames(void)
{
    default_options(3, true);
    options.frame_bytes = 576;
    options.payload_max = RAFT_PAYLOAD_BYTES_MAX;
    options.tx_ring = 16;
    options.tx_buffers = 64;
    options.client_window = 1;
    options.clients = 2;
    struct world *world = open_world(3);
    world_clients_active(world, true);
    world_run(world, WORLD_S);
    world->loss_permille = 5;
    world_run(world, WORLD_S);
    world_settle(world, 5 * WORLD_S);
    CHECK(done(world) > 100);
    world_close(world);
}

// A driver that takes whatever it is given (every frame a way through the kernel): a follower that
// comes back has a window of 2000 frames to get, and the leader must poll in between.
static void a_window_is_sent_in_many_iterations(void)
{
    default_options(3, true);
    options.frame_bytes = 576;
    options.tx_ring = options.tx_buffers = 1 << 14;
    struct world *world = open_world(3);
    uint16_t leader = world_leader(world, 0), other = leader % 3 + 1;
    world_clients_active(world, true);
    world_isolate(world, other);
    world_run(world, WORLD_S / 10);
    world_clients_active(world, false);
    world_run(world, WORLD_S / 10);
    uint64_t entries = counters(world, leader).entries_out;
    uint64_t most = 0;
    world_heal(world);
    while (!world_is_level(world)) {
        uint64_t before = world->frames_sent;
        world_run(world, WORLD_US); // no node polls twice
        uint64_t sent = world->frames_sent - before;
        most = sent > most ? sent : most;
    }
    CHECK(world_leader(world, 0) == leader);
    CHECK(counters(world, leader).entries_out > entries + 200);
    CHECK(most >= SEND_FRAMES_MAX); // more was there to be sent
    CHECK(most < SEND_FRAMES_MAX + 64);
    world_settle(world, WORLD_S);
    world_close(world);
}

// --- devices, ends ---

static void a_leader_whose_device_fails_steps_down(void)
{
    default_options(3, false);
    struct world *world = open_world(3);
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
    default_options(3, false);
    struct world *world = open_world(3);
    uint16_t leader = world_leader(world, 0);
    disk_memory_fail(world->nodes[leader - 1].seats[0].checkpoint_disk.inner, DISK_FLUSH, 1, 1,
                     -EIO);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 2);
    CHECK(world_status(world, leader, 0).raft.failed);
    world_settle(world, WORLD_S);
    world_close(world);
}

static bool is_drained(struct world *world)
{
    for (uint16_t id = 1; id <= world->options.nodes; id++) {
        if (world->nodes[id - 1].is_draining && !reactor_is_drained(world_reactor(world, id, 0))) {
            return false;
        }
    }
    return true;
}

static void a_drained_leader_leaves_nothing_open(void)
{
    default_options(3, false);
    struct world *world = open_world(3);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 10);
    uint16_t leader = world_leader(world, 0);
    world_drain(world, leader);
    CHECK(world_run_until(world, is_drained, WORLD_S));
    CHECK(world->clients[0].unknown == 0 && world->clients[1].unknown == 0);
    world_stop_cleanly(world, leader);
    world_run(world, WORLD_S / 2);
    world_start(world, leader);
    world_settle(world, WORLD_S);
    world_close(world);
}

static void closing_waits_for_a_checkpoint_being_written(void)
{
    default_options(1, false);
    options.app_ballast_bytes = 3000000;
    options.disk_polls = 50;
    struct world *world = open_world(1);
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
    default_options(3, false);
    options.log_entries = 256;
    struct world *world = open_world(3);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 2);
    uint16_t victim = follower(world);
    world_crash(world, victim, 0);
    struct disk *disk = world->nodes[victim - 1].seats[0].checkpoint_disk.inner;
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
    default_options(3, false);
    struct world *world = open_world(3);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 8);
    world_settle(world, WORLD_S);
    struct group *group = reactor_group(world_reactor(world, follower(world), 0), 0);
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

// Half of a checkpoint is there when its sender falls silent, and then the log brings the follower
// there all the same.
static void half_a_checkpoint_goes_when_the_log_overtakes_it(void)
{
    static const uint8_t half[500];
    default_options(3, false);
    struct world *world = open_world(3);
    world_settle(world, WORLD_S);
    uint16_t leader = world_leader(world, 0);
    struct group *group = reactor_group(world_reactor(world, follower(world), 0), 0);
    struct raft_view view;
    raft_view(group->raft, &view);
    const struct wire_snapshot part = {.last = {.term = view.term, .index = view.last + 10},
                                       .total_bytes = 2 * sizeof(half),
                                       .bytes = sizeof(half),
                                       .data = half};
    on_snapshot(group, leader, view.term, &part);
    CHECK(group->snapshot.in_data != NULL);
    world_run(world, WORLD_S / 8);
    CHECK(group->snapshot.in_data != NULL); // the rest may come
    world_clients_active(world, true);
    world_run(world, WORLD_S / 8);
    raft_view(group->raft, &view);
    CHECK(view.commit > part.last.index);
    CHECK(group->snapshot.in_data == NULL);
    world_settle(world, WORLD_S);
    world_close(world);
}

// --- mailbox ---

static void requests_of_other_threads_are_answered(void)
{
    static const uint8_t payload[MAILBOX_INLINE_BYTES + 1];
    const struct world_query query = {.key = 1, .answer_bytes = 5000};
    uint32_t answers[16] = {0}, reads[16] = {0};
    default_options(3, false);
    struct world *world = open_world(3);
    uint16_t leader = world_leader(world, 0);
    struct reactor *reactor = world_reactor(world, leader, 0);
    CHECK_EQUAL(reactor_propose_mt(reactor, 1, payload, 8, count_done, NULL, answers), -EINVAL);
    CHECK_EQUAL(reactor_propose_mt(reactor, 0, payload, RAFT_PAYLOAD_BYTES_MAX + 1, count_done,
                                   NULL, answers),
                -EINVAL);
    uint32_t posted = 0;
    while (reactor_propose_mt(reactor, 0, payload, posted % 8 == 0 ? sizeof(payload) : posted % 9,
                              count_done, NULL, answers) == 0) {
        posted++;
    }
    CHECK_EQUAL(posted, reactor->config.sizes.mailbox_slots);
    CHECK_EQUAL(reactor_read_mt(reactor, 0, &query, sizeof(query), count_done, NULL, reads),
                -EAGAIN);
    world_run(world, WORLD_S / 2);
    CHECK_EQUAL(answers[WIRE_DONE] + answers[WIRE_BUSY], posted);
    CHECK(answers[WIRE_DONE] > 500);
    for (uint32_t at = 0; at < 100; at++) {
        CHECK_EQUAL(reactor_read_mt(reactor, 0, &query, sizeof(query), count_done, NULL, reads), 0);
    }
    world_run(world, 50 * WORLD_MS);
    CHECK_EQUAL(reads[WIRE_DONE], 100);
    reactor = world_reactor(world, follower(world), 0);
    reactor_propose_mt(reactor, 0, payload, 8, count_done, NULL, answers);
    reactor_read_mt(reactor, 0, &query, sizeof(query), count_done, NULL, reads);
    world_run(world, WORLD_MS);
    CHECK(answers[WIRE_NOT_LEADER] == 1 && reads[WIRE_NOT_LEADER] == 1);
    world_settle(world, WORLD_S);
    world_close(world);
}

// A mailbox of four, one job, entries of at most 2000 bytes: what is larger is refused, from
// clients and other threads alike; all else goes on.
static void sizes_are_kept(void)
{
    static const uint8_t payload[2001];
    uint32_t answers[16] = {0};
    default_options(3, false);
    options.sizes = (struct reactor_sizes){.mailbox_slots = 4,
                                           .reads = 2,
                                           .apply_jobs = 1,
                                           .assembly_buffers = 2,
                                           .payload_bytes_max = 2000};
    options.payload_max = 2000;
    options.apply_workers = 1;
    struct world *world = open_world(3);
    struct reactor *reactor = world_reactor(world, world_leader(world, 0), 0);
    CHECK_EQUAL(reactor_propose_mt(reactor, 0, payload, 2001, count_done, NULL, answers), -EINVAL);
    for (uint32_t at = 0; at < 4; at++) {
        CHECK_EQUAL(reactor_propose_mt(reactor, 0, payload, 2000, count_done, NULL, answers), 0);
    }
    CHECK_EQUAL(reactor_propose_mt(reactor, 0, payload, 1, count_done, NULL, answers), -EAGAIN);
    world_run(world, 50 * WORLD_MS);
    CHECK_EQUAL(answers[WIRE_DONE], 4);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 4);
    CHECK(done(world) > 50);
    uint64_t refused = reactor->counters.proposals_refused;
    const struct net_endpoint stranger = {.ipv4 = 0x0A010063, .udp_port = 9000};
    const uint8_t *payloads[1] = {payload};
    struct raft_entry_head head = {
        .client = 1, .sequence = 1, .bytes = 2001, .kind = RAFT_ENTRY_COMMAND};
    head.crc = wire_entry_crc(&head, payload);
    const struct wire_propose propose = {
        .count = 1, .heads = &head, .payloads = payloads, .payload_bytes = head.bytes};
    on_propose(reactor_group(reactor, 0), &stranger, &propose);
    CHECK_EQUAL(reactor->counters.proposals_refused, refused + 1);
    world_settle(world, WORLD_S);
    world_close(world);
}

// What a stranger was last answered.
static enum wire_status answered(struct reactor *reactor, const struct net_endpoint *stranger)
{
    const struct client *client = client_at(reactor, client_origin(reactor, stranger));
    CHECK(client->result_count > 0);
    return (enum wire_status)client->results[client->result_count - 1].status;
}

// Ranges that nobody can mean: who sent them is told, and nothing was done; whatever the order of
// the group, so that they are found before they matter.
static void ranges_nobody_can_mean_are_answered_invalid(void)
{
    static const struct raft_footprint bad[][2] = {
        {{7, 0}, {1, 1}}, {{2, UINT64_MAX}, {0, 1}}, {{0, 8}, {7, 1}}, {{7, 1}, {7, 1}}};
    static const struct raft_footprint good[9] = {{0, 1}, {2, 1}, {4, 1}, {6, 1}, {8, 1},
                                                  {9, 1}, {3, 1}, {5, 1}, {1, 1}};
    uint32_t answers[16] = {0};
    default_options(1, false);
    struct world *world = open_world(1);
    struct reactor *reactor = world_reactor(world, 1, 0);
    struct group *group = reactor_group(reactor, 0);
    const struct net_endpoint stranger = {.ipv4 = 0x0A010063, .udp_port = 9000};
    const uint8_t *payloads[1] = {(const uint8_t *)"eight b."};
    struct raft_entry_head head = {
        .client = 1, .sequence = 1, .bytes = 8, .kind = RAFT_ENTRY_COMMAND};
    head.crc = wire_entry_crc(&head, payloads[0]);
    uint64_t before = world_status(world, 1, 0).raft.last;
    for (uint32_t at = 0; at <= 4; at++) {
        const struct wire_ranges ranges =
            at < 4 ? wire_ranges_of(bad[at], 2) : wire_ranges_of(good, 9);
        const struct wire_propose propose = {.count = 1,
                                             .heads = &head,
                                             .payloads = payloads,
                                             .payload_bytes = 8,
                                             .ranges = &ranges};
        on_propose(group, &stranger, &propose);
        CHECK_EQUAL(answered(reactor, &stranger), WIRE_INVALID);
        const struct wire_read read = {.query = payloads[0], .bytes = 8, .ranges = ranges};
        CHECK_EQUAL(read_request(group, client_origin(reactor, &stranger), &read), WIRE_INVALID);
        CHECK_EQUAL(reactor_propose_ranges_mt(reactor, 0, payloads[0], 8, &ranges, count_done, NULL,
                                              answers),
                    -EINVAL);
        CHECK_EQUAL(
            reactor_read_ranges_mt(reactor, 0, payloads[0], 8, &ranges, count_done, NULL, answers),
            -EINVAL);
    }
    CHECK_EQUAL(reactor->reads_waiting, 0);
    CHECK_EQUAL(world_status(world, 1, 0).raft.last, before);
    const struct wire_ranges ranges = wire_ranges_of(good, 8);
    CHECK_EQUAL(
        reactor_propose_ranges_mt(reactor, 0, payloads[0], 8, &ranges, count_done, NULL, answers),
        0);
    world_run(world, 50 * WORLD_MS);
    CHECK_EQUAL(answers[WIRE_DONE], 1);
    world_settle(world, WORLD_S);
    world_close(world);
}

// The leader learns of its successor by an append that takes the places of its entries at once.
static void a_replaced_leader_answers_unknown(void)
{
    uint32_t answers[16] = {0}, reads[16] = {0};
    const struct world_query query = {.key = 1, .answer_bytes = 8};
    default_options(3, false);
    struct world *world = open_world(3);
    uint16_t leader = world_leader(world, 0);
    struct reactor *reactor = world_reactor(world, leader, 0);
    world_isolate(world, leader);
    for (uint32_t at = 0; at < 50; at++) {
        CHECK_EQUAL(reactor_propose_mt(reactor, 0, &query, 8, count_done, NULL, answers), 0);
        CHECK_EQUAL(reactor_read_mt(reactor, 0, &query, 8, count_done, NULL, reads), 0);
    }
    world_run(world, WORLD_MS);
    world_pause(world, leader, WORLD_S);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 2);
    CHECK(answers[WIRE_UNKNOWN] == 0);
    world_heal(world); // it wakes up to the frames of the new leader
    world_run(world, WORLD_S);
    CHECK_EQUAL(answers[WIRE_UNKNOWN], 50);
    CHECK_EQUAL(reads[WIRE_NOT_LEADER], 50);
    world_settle(world, WORLD_S);
    world_close(world);
}

// --- many ---

static void seventy_groups_on_two_reactors(void)
{
    default_options(3, false);
    options.groups = 70;
    options.reactors = 2;
    options.has_kv = false;
    options.log_entries = 128;
    options.clients = 4;
    struct world *world = open_world(3);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 4);
    world_crash(world, 2, 30);
    world_run(world, WORLD_S / 4);
    world_start(world, 2);
    world_settle(world, 5 * WORLD_S);
    world_close(world);
}

static void a_reactor_without_groups_does_no_harm(void)
{
    default_options(3, false);
    options.reactors = 2;
    struct world *world = open_world(3);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 10);
    world_settle(world, WORLD_S);
    world_close(world);
}

// More addresses than are remembered: the oldest are forgotten, nobody gets another's answer.
static void strangers_push_clients_out(void)
{
    default_options(3, false);
    struct world *world = open_world(3);
    world_clients_active(world, true);
    for (uint32_t round = 0; round < 3000; round++) {
        uint8_t frame[600];
        struct wire_writer writer;
        uint16_t node = (uint16_t)(1 + round % 3);
        const struct wire_envelope envelope = {.cluster = options.seed | 1, .destination = node};
        const struct wire_status_request request = {.request = round, .want_digest = true};
        wire_begin(&writer, frame, options.frame_bytes < 600 ? options.frame_bytes : 600,
                   &envelope);
        CHECK(wire_put_status(&writer, 0, &request));
        world_net_from_client(world, (uint16_t)(100 + round % 500), node, 0, frame,
                              wire_seal(&writer));
        world_run(world, 60 * WORLD_US);
    }
    world_settle(world, WORLD_S);
    CHECK(done(world) > 100);
    world_close(world);
}

static void send_as(struct world *world, uint16_t from, const struct raft_message *message)
{
    static const uint8_t data[16];
    uint8_t frame[600];
    struct wire_writer writer;
    const struct wire_envelope envelope = {
        .cluster = options.seed | 1, .boot = 1, .source = from, .destination = message->to};
    struct wire_fragment fragment = {
        .bytes = sizeof(data),
        .data = data,
        .head = {.sequence = 1, .bytes = sizeof(data), .kind = RAFT_ENTRY_COMMAND},
    };
    fragment.head.crc = raft_entry_crc(&fragment.head, data);
    wire_begin(&writer, frame, options.frame_bytes < 600 ? options.frame_bytes : 600, &envelope);
    bool is_part = message->type == RAFT_MSG_APPEND && message->append.count > 0;
    CHECK(is_part ? wire_put_append_fragment(&writer, 0, message, &fragment)
                  : wire_put_raft(&writer, 0, message));
    world_net_from_client(world, 100, message->to, 0, frame, wire_seal(&writer));
}

// Votes and entries mean other things in a group of the other order.
static void nodes_of_the_other_order_are_not_heard(void)
{
    default_options(3, false);
    struct world *world = open_world(3);
    world_run(world, WORLD_S);
    uint16_t to = follower(world), from = to == 1 ? 2 : 1;
    uint64_t term = world_status(world, to, 0).raft.term;
    uint64_t refused = counters(world, to).refused[WIRE_BAD_FIELD];
    struct raft_message vote = {
        .type = RAFT_MSG_VOTE, .to = to, .term = term + 5, .vote.last = {term, 1u << 20}};
    struct raft_message append = {.type = RAFT_MSG_APPEND, .to = to, .term = term + 5};
    struct raft_message part = append;
    part.append.count = 1;
    part.append.entries_term = term + 5;
    struct raft_message fetch = {.type = RAFT_MSG_FETCH, .to = to, .term = term + 5};
    fetch.fetch = (struct raft_fetch){.count = 1, .ranges = {{1, 1}}};
    vote.is_parallel = append.is_parallel = part.is_parallel = fetch.is_parallel = true;
    send_as(world, from, &vote);
    send_as(world, from, &append);
    send_as(world, from, &part);
    send_as(world, from, &fetch);
    world_run(world, WORLD_S / 10);
    CHECK_EQUAL(counters(world, to).refused[WIRE_BAD_FIELD], refused + 4);
    CHECK_EQUAL(world_status(world, to, 0).raft.term, term);
    append.is_parallel = false; // and the same in ours is
    send_as(world, from, &append);
    world_run(world, WORLD_S / 10);
    CHECK_EQUAL(counters(world, to).refused[WIRE_BAD_FIELD], refused + 4);
    CHECK(world_status(world, to, 0).raft.term >= term + 5);
    world_close(world);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(three_nodes_serve_clients),
        TEST(a_single_node_serves_and_recovers),
        TEST(flipped_bits_are_dropped_and_counted),
        TEST(a_follower_behind_the_log_is_given_a_checkpoint),
        TEST(a_memory_node_comes_back_empty),
        TEST(a_follower_dies_while_it_is_given_a_checkpoint),
        TEST(the_leader_changes_while_it_gives_a_checkpoint),
        TEST(lost_parts_are_sent_again_in_time),
        TEST(a_checkpoint_waits_for_the_worker),
        TEST(the_log_behind_a_checkpoint_stays),
        TEST(commit_floors_follow_the_own_disk),
        TEST(a_replaced_tail_is_recorded),
        TEST(a_full_disk_ends_in_back_pressure),
        TEST(a_full_leader_gives_way_to_one_with_room),
        TEST(a_log_full_of_lost_entries_is_emptied),
        TEST(the_largest_entry_in_the_smallest_frames),
        TEST(a_window_is_sent_in_many_iterations),
        TEST(a_leader_whose_device_fails_steps_down),
        TEST(a_failed_flush_of_a_checkpoint_is_final),
        TEST(a_drained_leader_leaves_nothing_open),
        TEST(closing_waits_for_a_checkpoint_being_written),
        TEST(a_damaged_checkpoint_is_repaired_by_peers),
        TEST(no_checkpoint_without_news),
        TEST(half_a_checkpoint_goes_when_the_log_overtakes_it),
        TEST(requests_of_other_threads_are_answered),
        TEST(sizes_are_kept),
        TEST(ranges_nobody_can_mean_are_answered_invalid),
        TEST(a_replaced_leader_answers_unknown),
        TEST(seventy_groups_on_two_reactors),
        TEST(a_reactor_without_groups_does_no_harm),
        TEST(strangers_push_clients_out),
        TEST(nodes_of_the_other_order_are_not_heard),
    };
    return test_run("reactor", cases, TEST_COUNT(cases), argc, argv);
}
