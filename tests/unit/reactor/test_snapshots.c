// Checkpoints between nodes: a follower behind the log is given one, whoever dies meanwhile.
#include "engine/reactor/internal.h"
#include "tests/harness/harness.h"
#include "tests/unit/reactor/situation.h"

// Checkpoints are of so many bytes at least.
static struct world *begin(uint32_t nodes, bool is_volatile, uint32_t ballast_bytes)
{
    struct world_options options = situation_options(nodes, is_volatile);
    options.app_ballast_bytes = ballast_bytes;
    return situation_begin(&options);
}

// The log of a volatile node that is away for so long under load ends before the others' begin.
static void fall_behind(struct world *world, uint16_t id)
{
    world_crash(world, id, 0);
    world_run(world, WORLD_S / 4);
    world_start(world, id);
}

// The node's leader gives it the first half of a checkpoint that reaches beyond its log. Result:
// what it covers.
static uint64_t give_half(struct world *world, struct group *group)
{
    static const uint8_t half[500];
    struct raft_view view;
    raft_view(group->raft, &view);
    const struct wire_snapshot part = {.last = {.term = view.term, .index = view.last + 10},
                                       .total_bytes = 2 * sizeof(half),
                                       .bytes = sizeof(half),
                                       .data = half};
    on_snapshot(group, world_leader(world, 0), view.term, &part);
    return part.last.index;
}

static void a_follower_behind_the_log_is_given_a_checkpoint(void)
{
    struct world *world = begin(3, false, 1500000);
    uint16_t behind = situation_follower(world);
    world_crash(world, behind, 0);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 2);
    world_start(world, behind);
    world_settle(world, 5 * WORLD_S);
    CHECK_EQUAL(situation_counters(world, behind).snapshots_installed, 1);
    world_crash(world, behind, 0);
    world_start(world, behind); // from the checkpoint it made of it
    world_settle(world, WORLD_S);
    CHECK_EQUAL(situation_counters(world, behind).snapshots_installed, 0);
    world_close(world);
}

// Until the node has received some of the checkpoint it is given.
static void run_into_the_middle(struct world *world, uint16_t id)
{
    const struct group *group = reactor_group(world_reactor(world, id, 0), 0);
    for (uint32_t round = 0; group->snapshot.in_received < 1000000; round++) {
        CHECK(round < 20000);
        world_run(world, 50 * WORLD_US);
    }
}

// Whoever dies in the middle of it must not keep the log of the others for ever, and is given it
// from the beginning when it is back.
static void a_follower_dies_while_it_is_given_a_checkpoint(void)
{
    struct world *world = begin(3, true, 6000000);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 4);
    uint16_t victim = situation_follower(world);
    fall_behind(world, victim);
    run_into_the_middle(world, victim);
    world_kill(world, victim);
    world_run(world, 3 * WORLD_S);
    uint64_t before = situation_done(world);
    world_run(world, WORLD_S / 2);
    CHECK(situation_done(world) > before + 1000);
    world_start(world, victim);
    world_settle(world, 5 * WORLD_S);
    world_close(world);
}

static void the_leader_changes_while_it_gives_a_checkpoint(void)
{
    struct world *world = begin(5, true, 6000000);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 4);
    uint16_t leader = world_leader(world, 0);
    uint16_t behind = leader % 5 + 1;
    fall_behind(world, behind);
    run_into_the_middle(world, behind);
    world_isolate(world, leader);
    world_run(world, WORLD_S / 2);
    CHECK(world_leader(world, 0) != leader);
    world_settle(world, 5 * WORLD_S);
    world_close(world);
}

// The deadline a loop may sleep by knows of parts that are to be sent again.
static void lost_parts_are_sent_again_in_time(void)
{
    struct world *world = begin(3, true, 3000000);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 4);
    uint16_t behind = situation_follower(world), leader = world_leader(world, 0);
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
    struct world_options options = situation_options(3, true);
    options.apply_workers = 1;
    options.log_entries = 256;
    struct world *world = situation_begin(&options);
    uint16_t behind = situation_follower(world);
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
    CHECK_EQUAL(situation_counters(world, behind).snapshots_installed, 0);
    node->has_stopped_workers = false;
    world_settle(world, 5 * WORLD_S);
    CHECK(situation_counters(world, behind).snapshots_installed > 0);
    world_close(world);
}

// While a peer gets on with a checkpoint, the log behind it stays: or it would need the next one,
// and so on for as long as there is load.
static void the_log_behind_a_checkpoint_stays(void)
{
    struct world_options options = situation_options(3, true);
    options.log_entries = 256;
    options.app_ballast_bytes = 3000000;
    struct world *world = situation_begin(&options);
    uint16_t behind = situation_follower(world);
    world_crash(world, behind, 0);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 4);
    world_start(world, behind);
    uint16_t leader = world_leader(world, 0);
    uint64_t waited = 0, pinned = 0;
    while (situation_counters(world, behind).snapshots_installed == 0) {
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
    CHECK_EQUAL(situation_counters(world, behind).snapshots_installed, 1);
    world_settle(world, WORLD_S);
    world_close(world);
}

// Half of a checkpoint is there when its sender falls silent, and then the log brings the follower
// there all the same.
static void half_a_checkpoint_goes_when_the_log_overtakes_it(void)
{
    struct world *world = situation_open(3, false);
    world_settle(world, WORLD_S);
    struct group *group = reactor_group(world_reactor(world, situation_follower(world), 0), 0);
    uint64_t covered = give_half(world, group);
    CHECK(group->snapshot.in_data != NULL);
    world_run(world, WORLD_S / 8);
    CHECK(group->snapshot.in_data != NULL); // the rest may come
    world_clients_active(world, true);
    world_run(world, WORLD_S / 8);
    struct raft_view view;
    raft_view(group->raft, &view);
    CHECK(view.commit > covered);
    CHECK(group->snapshot.in_data == NULL);
    world_settle(world, WORLD_S);
    world_close(world);
}

// One at a time: parts of a peer's are taken when our own is made, which waits for nobody.
static void a_checkpoint_of_a_peer_waits_for_our_own(void)
{
    struct world *world = situation_open(3, false);
    world_settle(world, WORLD_S);
    uint16_t behind = situation_follower(world);
    struct group *group = reactor_group(world_reactor(world, behind, 0), 0);
    checkpoint_start(group);
    CHECK(group->is_paused);
    give_half(world, group);
    CHECK(group->snapshot.in_data == NULL);
    CHECK(group->checkpoint.state != CHECKPOINT_IDLE);
    world_run(world, WORLD_S / 4);
    CHECK(situation_counters(world, behind).checkpoints > 0);
    CHECK(!group->is_paused);
    give_half(world, group);
    CHECK(group->snapshot.in_data != NULL);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 4); // the log overtakes it
    CHECK(group->snapshot.in_data == NULL);
    world_settle(world, WORLD_S);
    world_close(world);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(a_follower_behind_the_log_is_given_a_checkpoint),
        TEST(a_follower_dies_while_it_is_given_a_checkpoint),
        TEST(the_leader_changes_while_it_gives_a_checkpoint),
        TEST(lost_parts_are_sent_again_in_time),
        TEST(a_checkpoint_waits_for_the_worker),
        TEST(the_log_behind_a_checkpoint_stays),
        TEST(half_a_checkpoint_goes_when_the_log_overtakes_it),
        TEST(a_checkpoint_of_a_peer_waits_for_our_own),
    };
    return test_run("reactor snapshots", cases, TEST_COUNT(cases), argc, argv);
}
