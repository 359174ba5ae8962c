// The leader's own view of latency, on a network whose times are known.
#include "engine/base/histogram.h"
#include "engine/reactor/internal.h"
#include "tests/harness/harness.h"
#include "tests/unit/reactor/situation.h"

// Commands only, on a network that takes 200 microseconds each way.
static struct world *open_world(uint32_t clients, uint32_t client_window)
{
    struct world_options options = situation_options(3, true);
    options.clients = clients;
    options.client_window = client_window;
    options.payload_max = 64;
    struct world *world = world_open(&options);
    world_calm(world);
    world->link_min_ns = world->link_max_ns = 200 * WORLD_US;
    for (uint32_t at = 0; at < clients; at++) {
        world->clients[at].reads_percent = 0;
    }
    CHECK(world_run_until(world, world_has_leaders, WORLD_S));
    return world;
}

static const struct histogram *times_of(struct world *world, uint16_t id)
{
    return reactor_answer_times(world_reactor(world, id, 0));
}

// A round trip to a follower, and the polls in which frames wait: a poll is 20 us, and every node
// polls with a phase of its own.
static void with_one_in_flight_every_entry_is_timed(void)
{
    struct world *world = open_world(1, 1);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 2);
    world_settle(world, WORLD_S);
    uint16_t leader = world_leader(world, 0);
    const struct histogram *times = times_of(world, leader);
    CHECK(times->count > 300);
    CHECK_EQUAL(times->count, situation_counters(world, leader).proposals);
    CHECK(histogram_min(times) >= 400 * WORLD_US);
    CHECK(histogram_percentile(times, 99) <= 500 * WORLD_US);
    for (uint16_t id = 1; id <= 3; id++) {
        CHECK(id == leader || times_of(world, id)->count == 0);
    }
    world_close(world);
}

static void under_load_a_sample_is(void)
{
    struct world *world = open_world(4, 64);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 4);
    world_settle(world, WORLD_S);
    uint16_t leader = world_leader(world, 0);
    const struct histogram *times = times_of(world, leader);
    CHECK(times->count > 100);
    CHECK(times->count < situation_counters(world, leader).proposals / 10);
    CHECK(histogram_min(times) >= 400 * WORLD_US);
    world_close(world);
}

// What a leader alone accepts is not answered by it: neither may it count, nor keep the next from
// being timed.
static void what_a_lost_leader_took_is_forgotten(void)
{
    struct world *world = open_world(1, 1);
    uint16_t leader = world_leader(world, 0);
    struct reactor *reactor = world_reactor(world, leader, 0);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 10);
    while (reactor->timing.group == NULL) {
        world_run(world, 20 * WORLD_US);
    }
    world_isolate(world, leader);
    world_run(world, 2 * WORLD_S);
    CHECK(reactor->groups[0].role != RAFT_LEADER);
    CHECK(reactor->timing.group == NULL && !reactor->timing.is_answered);
    world_settle(world, 2 * WORLD_S);
    CHECK(reactor->timing.answer_ns.max_ns < 10 * WORLD_MS);
    for (uint32_t round = 0; world_leader(world, 0) != leader && round < 50; round++) {
        uint16_t other = world_leader(world, 0);
        world_isolate(world, other);
        world_run(world, WORLD_S);
        world_heal(world);
        world_run_until(world, world_has_leaders, WORLD_S);
    }
    CHECK_EQUAL(world_leader(world, 0), leader);
    uint64_t before = reactor->timing.answer_ns.count;
    world_clients_active(world, true);
    world_run(world, WORLD_S / 4);
    world_settle(world, WORLD_S);
    CHECK(reactor->timing.answer_ns.count > before + 50);
    CHECK(reactor->timing.answer_ns.max_ns < 10 * WORLD_MS);
    world_close(world);
}

static void count_done(void *context, reactor_user *user, const struct reactor_reply *reply)
{
    *(uint32_t *)context += reply->status == WIRE_DONE;
}

static void proposals_of_the_process_are_timed_too(void)
{
    static const uint8_t payload[8];
    struct world *world = open_world(1, 1);
    uint16_t leader = world_leader(world, 0);
    uint32_t done = 0;
    CHECK_EQUAL(reactor_propose_mt(world_reactor(world, leader, 0), 0, payload, sizeof(payload),
                                   count_done, NULL, &done),
                0);
    world_run(world, WORLD_S / 10);
    CHECK_EQUAL(done, 1);
    CHECK_EQUAL(times_of(world, leader)->count, 1);
    CHECK(times_of(world, leader)->max_ns >= 400 * WORLD_US);
    world_close(world);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(with_one_in_flight_every_entry_is_timed),
        TEST(under_load_a_sample_is),
        TEST(what_a_lost_leader_took_is_forgotten),
        TEST(proposals_of_the_process_are_timed_too),
    };
    return test_run("timing", cases, TEST_COUNT(cases), argc, argv);
}
