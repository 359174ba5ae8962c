// The tail of a log that groups share: none may keep it from the others.
//
// A group is stopped (two of its three replicas are halted, or all are) while another runs through
// the log several times, with power cuts. Then every live entry must still be there, byte for byte,
// and the stopped group go on with everything it ever answered.
#include <string.h>

#include "engine/core/entry_crc.h"
#include "engine/reactor/internal.h"
#include "tests/harness/harness.h"
#include "tests/unit/reactor/situation.h"

enum { STOPPED = 1, BUSY_GROUP = 0, LAPS = 5, PAYLOAD_MAX = 8192 };

static struct world_options options;
static uint32_t answers[WORLD_GROUPS_MAX][16]; // by group and status
static uint64_t moved;                         // records, of all lives of all nodes
static uint32_t halted_nodes;                  // bit id: its replica of STOPPED is halted

static void open_options(bool is_volatile)
{
    options = situation_options(3, is_volatile);
    options.groups = 3;
    options.clients = 0;
    options.has_kv = false;
    options.log_bytes = 2 << 20;
    options.segment_bytes = 64 << 10;
    options.sizes.payload_bytes_max = PAYLOAD_MAX;
    memset(answers, 0, sizeof(answers));
    moved = halted_nodes = 0;
}

// Offers a command to whoever leads the group.
static void propose(struct world *world, uint16_t group, uint32_t bytes)
{
    static uint8_t payload[PAYLOAD_MAX];
    uint16_t leader = world_leader(world, group);
    struct reactor *reactor = leader == 0 ? NULL : world_reactor(world, leader, group);
    memset(payload + sizeof(struct world_command), (int)(world->steps & 0xFF),
           sizeof(payload) - sizeof(struct world_command));
    if (reactor != NULL) {
        reactor_propose_mt(reactor, group, payload, bytes, situation_count, NULL, answers[group]);
    }
}

static void halt_stopped(struct world *world, uint16_t id)
{
    struct reactor *reactor = world_reactor(world, id, STOPPED);
    if (reactor != NULL && (halted_nodes >> id & 1) != 0) {
        group_halt(reactor_group(reactor, STOPPED));
    }
}

// Commits some entries of the group, then stops it, with more that will not be committed.
static void stop_group(struct world *world, uint32_t halted_count)
{
    for (uint32_t at = 0; at < 40; at++) {
        propose(world, STOPPED, 16 + at * 7);
        propose(world, 2, 16 + at * 5);
        world_run(world, WORLD_MS / 2);
    }
    world_run(world, 20 * WORLD_MS);
    CHECK_EQUAL(answers[STOPPED][WIRE_DONE], 40);
    uint16_t leader = world_leader(world, STOPPED);
    for (uint16_t id = 1; id <= 3; id++) {
        halted_nodes |= id != leader ? 1U << id : 0;
        halt_stopped(world, id);
    }
    for (uint32_t at = 0; at < 30; at++) {
        propose(world, STOPPED, 16 + at * 11);
    }
    world_run(world, 10 * WORLD_MS);
    CHECK(world_status(world, leader, STOPPED).raft.last >
          world_status(world, leader, STOPPED).raft.commit);
    if (halted_count == 3) {
        halted_nodes |= 1U << leader;
        halt_stopped(world, leader);
    }
}

// No live entry was given up, and each is what its checksum says.
static void check_entries(struct world *world, uint16_t id, uint16_t number)
{
    struct reactor *reactor = world_reactor(world, id, number);
    if (reactor == NULL) {
        return;
    }
    const struct raft *raft = reactor_group(reactor, number)->raft;
    struct raft_view view;
    raft_view(raft, &view);
    for (uint64_t index = view.base + 1; index <= view.held; index++) {
        const struct raft_entry *entry = raft_entry_at(raft, index);
        if (entry != NULL) {
            CHECK(entry->body >= wal_tail(reactor->wal));
            CHECK_EQUAL(raft_entry_crc(&entry->head, wal_payload(reactor->wal, entry->body)),
                        entry->head.crc);
        }
    }
}

static void check_all_entries(struct world *world)
{
    for (uint16_t id = 1; id <= 3; id++) {
        for (uint16_t group = 0; group < world->options.groups; group++) {
            check_entries(world, id, group);
        }
    }
}

static uint64_t relocated(struct world *world, uint16_t id)
{
    struct reactor_counters counters = {0};
    if (world_reactor(world, id, 0) != NULL) {
        reactor_counters(world_reactor(world, id, 0), &counters);
    }
    return counters.records_relocated;
}

static void cut_power(struct world *world, uint16_t id, uint32_t keep_percent)
{
    moved += relocated(world, id);
    world_crash(world, id, keep_percent);
}

static void start(struct world *world, uint16_t id)
{
    world_start(world, id);
    halt_stopped(world, id);
}

static uint64_t shortest_log(struct world *world)
{
    uint64_t shortest = UINT64_MAX;
    for (uint16_t id = 1; id <= 3; id++) {
        struct reactor *reactor = world_reactor(world, id, 0);
        uint64_t head = reactor == NULL ? 0 : wal_head(reactor->wal);
        shortest = head < shortest ? head : shortest;
    }
    return shortest;
}

// The other group fills the log again and again; `crash_every` rounds a node loses power.
static void run_laps(struct world *world, uint64_t laps, uint32_t crash_every)
{
    uint64_t rounds = 0;
    while (shortest_log(world) < laps * options.log_bytes) {
        CHECK(rounds++ < 20000);
        for (uint32_t at = 0; at < 4; at++) {
            propose(
                world, BUSY_GROUP,
                (uint32_t)prng_between(&world->prng, sizeof(struct world_command), PAYLOAD_MAX));
        }
        world_run(world, prng_between(&world->prng, 50, 1000) * WORLD_US);
        if (rounds % 200 == 0) {
            check_all_entries(world);
        }
        if (crash_every != 0 && rounds % crash_every == 0) {
            uint16_t id = (uint16_t)prng_between(&world->prng, 1, 3);
            cut_power(world, id, (uint32_t)prng_below(&world->prng, 101));
            world_run(world, prng_below(&world->prng, 200) * WORLD_MS);
            start(world, id);
        }
    }
    check_all_entries(world);
    for (uint16_t id = 1; id <= 3; id++) {
        moved += relocated(world, id);
    }
}

// Everybody loses power; nothing is halted any more.
static void recover_all(struct world *world)
{
    uint32_t done = answers[STOPPED][WIRE_DONE];
    halted_nodes = 0;
    for (uint16_t id = 1; id <= 3; id++) {
        world_crash(world, id, 50);
    }
    for (uint16_t id = 1; id <= 3; id++) {
        world_start(world, id);
    }
    world_settle(world, 5 * WORLD_S);
    check_all_entries(world);
    for (uint16_t id = 1; id <= 3; id++) {
        CHECK(world_status(world, id, STOPPED).raft.commit >= done);
    }
    propose(world, STOPPED, 100);
    world_run(world, 100 * WORLD_MS);
    CHECK_EQUAL(answers[STOPPED][WIRE_DONE], done + 1);
}

static void a_group_that_never_commits_does_not_pin_the_log(void)
{
    open_options(false);
    struct world *world = situation_begin(&options);
    stop_group(world, 2);
    run_laps(world, LAPS, 0);
    CHECK(moved > 3 * 60);
    recover_all(world);
    world_close(world);
}

static void a_halted_group_does_not_pin_the_log(void)
{
    open_options(false);
    struct world *world = situation_begin(&options);
    stop_group(world, 3);
    run_laps(world, LAPS, 0);
    recover_all(world);
    world_close(world);
}

static void power_is_cut_while_entries_move(void)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        open_options(false);
        options.seed = seed;
        options.disk_polls = 40;
        struct world *world = situation_begin(&options);
        stop_group(world, 2 + seed % 2);
        run_laps(world, 3 * LAPS, 37);
        CHECK(moved > 0);
        recover_all(world);
        world_close(world);
    }
}

static void entries_in_memory_move_too(void)
{
    open_options(true);
    struct world *world = situation_begin(&options);
    stop_group(world, 2);
    run_laps(world, LAPS, 0);
    CHECK(moved > 0);
    world_close(world);
}

// Lost frames make holes, and so entries that lie before their predecessors in the log.
static void holes_do_not_hide_what_lies_further_back(void)
{
    open_options(true);
    options.apply_workers = 2;
    struct world *world = situation_begin(&options);
    world->loss_permille = 100;
    world->late_permille = 100;
    world->late_max_ns = 3 * WORLD_MS;
    for (uint32_t lap = 1; lap <= 2 * LAPS; lap++) {
        for (uint32_t at = 0; at < 40; at++) {
            propose(world, STOPPED, 16 + at * 7);
        }
        run_laps(world, lap, 0);
    }
    world_settle(world, 5 * WORLD_S);
    check_all_entries(world);
    world_close(world);
}

// A leader that does not know yet that it is alone takes what comes: not all of the log.
static void a_group_that_cannot_commit_leaves_room_for_others(void)
{
    open_options(false);
    options.log_entries = 4096;
    options.log_bytes = 8 << 20;
    options.segment_bytes = 1 << 20; // more than is always kept free
    struct world *world = situation_begin(&options);
    uint16_t leader = world_leader(world, STOPPED);
    for (uint16_t id = 1; id <= 3; id++) {
        halted_nodes |= id != leader ? 1U << id : 0;
        halt_stopped(world, id);
    }
    for (uint32_t round = 0; world_leader(world, STOPPED) == leader; round++) {
        CHECK(round < 100000);
        propose(world, STOPPED, PAYLOAD_MAX);
        world_run(world, 20 * WORLD_US);
    }
    CHECK(answers[STOPPED][WIRE_BUSY] > 0);
    CHECK(reactor_log_used_bytes(world_reactor(world, leader, 0)) > options.log_bytes / 3);
    run_laps(world, LAPS, 0);
    CHECK(moved > 0);
    recover_all(world);
    world_close(world);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(a_group_that_never_commits_does_not_pin_the_log),
        TEST(a_halted_group_does_not_pin_the_log),
        TEST(power_is_cut_while_entries_move),
        TEST(entries_in_memory_move_too),
        TEST(holes_do_not_hide_what_lies_further_back),
        TEST(a_group_that_cannot_commit_leaves_room_for_others),
    };
    return test_run("tail", cases, TEST_COUNT(cases), argc, argv);
}
