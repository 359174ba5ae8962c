// Requests of other threads and of clients: the sizes and ranges they are held to.
#include <errno.h>

#include "engine/reactor/internal.h"
#include "tests/harness/harness.h"
#include "tests/unit/reactor/situation.h"

static void requests_of_other_threads_are_answered(void)
{
    static const uint8_t payload[MAILBOX_INLINE_BYTES + 1];
    const struct world_query query = {.key = 1, .answer_bytes = 5000};
    uint32_t answers[16] = {0}, reads[16] = {0};
    struct world *world = situation_open(3, false);
    uint16_t leader = world_leader(world, 0);
    struct reactor *reactor = world_reactor(world, leader, 0);
    CHECK_EQUAL(reactor_propose_mt(reactor, 1, payload, 8, situation_count, NULL, answers),
                -EINVAL);
    CHECK_EQUAL(reactor_propose_mt(reactor, 0, payload, RAFT_PAYLOAD_BYTES_MAX + 1, situation_count,
                                   NULL, answers),
                -EINVAL);
    uint32_t posted = 0;
    while (reactor_propose_mt(reactor, 0, payload, posted % 8 == 0 ? sizeof(payload) : posted % 9,
                              situation_count, NULL, answers) == 0) {
        posted++;
    }
    CHECK_EQUAL(posted, reactor->config.sizes.mailbox_slots);
    CHECK_EQUAL(reactor_read_mt(reactor, 0, &query, sizeof(query), situation_count, NULL, reads),
                -EAGAIN);
    world_run(world, WORLD_S / 2);
    CHECK_EQUAL(answers[WIRE_DONE] + answers[WIRE_BUSY], posted);
    CHECK(answers[WIRE_DONE] > 500);
    for (uint32_t at = 0; at < 100; at++) {
        CHECK_EQUAL(
            reactor_read_mt(reactor, 0, &query, sizeof(query), situation_count, NULL, reads), 0);
    }
    world_run(world, 50 * WORLD_MS);
    CHECK_EQUAL(reads[WIRE_DONE], 100);
    reactor = world_reactor(world, situation_follower(world), 0);
    reactor_propose_mt(reactor, 0, payload, 8, situation_count, NULL, answers);
    reactor_read_mt(reactor, 0, &query, sizeof(query), situation_count, NULL, reads);
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
    struct world_options options = situation_options(3, false);
    options.sizes = (struct reactor_sizes){.mailbox_slots = 4,
                                           .reads = 2,
                                           .apply_jobs = 1,
                                           .assembly_buffers = 2,
                                           .payload_bytes_max = 2000};
    options.payload_max = 2000;
    options.apply_workers = 1;
    struct world *world = situation_begin(&options);
    struct reactor *reactor = world_reactor(world, world_leader(world, 0), 0);
    CHECK_EQUAL(reactor_propose_mt(reactor, 0, payload, 2001, situation_count, NULL, answers),
                -EINVAL);
    for (uint32_t at = 0; at < 4; at++) {
        CHECK_EQUAL(reactor_propose_mt(reactor, 0, payload, 2000, situation_count, NULL, answers),
                    0);
    }
    CHECK_EQUAL(reactor_propose_mt(reactor, 0, payload, 1, situation_count, NULL, answers),
                -EAGAIN);
    world_run(world, 50 * WORLD_MS);
    CHECK_EQUAL(answers[WIRE_DONE], 4);
    world_clients_active(world, true);
    world_run(world, WORLD_S / 4);
    CHECK(situation_done(world) > 50);
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
    struct world *world = situation_open(1, false);
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
        CHECK_EQUAL(reactor_propose_ranges_mt(reactor, 0, payloads[0], 8, &ranges, situation_count,
                                              NULL, answers),
                    -EINVAL);
        CHECK_EQUAL(reactor_read_ranges_mt(reactor, 0, payloads[0], 8, &ranges, situation_count,
                                           NULL, answers),
                    -EINVAL);
    }
    CHECK_EQUAL(reactor->reads_waiting, 0);
    CHECK_EQUAL(world_status(world, 1, 0).raft.last, before);
    const struct wire_ranges ranges = wire_ranges_of(good, 8);
    CHECK_EQUAL(reactor_propose_ranges_mt(reactor, 0, payloads[0], 8, &ranges, situation_count,
                                          NULL, answers),
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
    struct world *world = situation_open(3, false);
    uint16_t leader = world_leader(world, 0);
    struct reactor *reactor = world_reactor(world, leader, 0);
    world_isolate(world, leader);
    for (uint32_t at = 0; at < 50; at++) {
        CHECK_EQUAL(reactor_propose_mt(reactor, 0, &query, 8, situation_count, NULL, answers), 0);
        CHECK_EQUAL(reactor_read_mt(reactor, 0, &query, 8, situation_count, NULL, reads), 0);
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

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(requests_of_other_threads_are_answered),
        TEST(sizes_are_kept),
        TEST(ranges_nobody_can_mean_are_answered_invalid),
        TEST(a_replaced_leader_answers_unknown),
    };
    return test_run("reactor mailbox", cases, TEST_COUNT(cases), argc, argv);
}
