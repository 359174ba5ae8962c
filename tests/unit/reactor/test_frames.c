// What comes from the network and goes there: damage, fragments, bursts, strangers.
#include "engine/reactor/internal.h"
#include "tests/harness/harness.h"
#include "tests/unit/reactor/situation.h"

// Damaged payloads pass the frame's checksum: each node has to find them by the entry's, on the way
// from client to leader, from leader to follower, and in fragments. No answer says so, or a client
// would give up what it need only send again. (World: what is applied is what a client sent.)
static void flipped_bits_are_dropped_and_counted(void)
{
    static const uint32_t payload_max[] = {3000, 100000}; // whole, and in fragments
    for (uint32_t round = 0; round < 2; round++) {
        struct world_options options = situation_options(3, round == 0);
        options.payload_max = payload_max[round];
        struct world *world = situation_begin(&options);
        world->flip_permille = 100;
        world_clients_active(world, true);
        world_run(world, WORLD_S);
        uint64_t payloads = 0, frames = 0;
        uint16_t leader = world_leader(world, 0);
        CHECK(leader != 0);
        CHECK(situation_counters(world, leader).refused[WIRE_BAD_ENTRY] > 10);
        for (uint16_t id = 1; id <= 3; id++) {
            payloads += id == leader ? 0 : situation_counters(world, id).refused[WIRE_BAD_ENTRY];
            frames += situation_counters(world, id).refused[WIRE_BAD_CHECKSUM];
        }
        CHECK(payloads > 10);
        CHECK(frames > 100);
        world_settle(world, 5 * WORLD_S);
        CHECK(situation_done(world) > 100);
        world_close(world);
    }
}

// 1 MiB in frames of 576 bytes is 3000 fragments; the driver takes four at a time.
static void the_largest_entry_in_the_smallest_frames(void)
{
    struct world_options options = situation_options(3, true);
    options.frame_bytes = 576;
    options.payload_max = RAFT_PAYLOAD_BYTES_MAX;
    options.tx_ring = 16;
    options.tx_buffers = 64;
    options.client_window = 1;
    options.clients = 2;
    struct world *world = situation_begin(&options);
    world_clients_active(world, true);
    world_run(world, WORLD_S);
    world->loss_permille = 5;
    world_run(world, WORLD_S);
    world_settle(world, 5 * WORLD_S);
    CHECK(situation_done(world) > 100);
    world_close(world);
}

// A driver that takes whatever it is given (every frame a way through the kernel): a follower that
// comes back has a window of 2000 frames to get, and the leader must poll in between.
static void a_window_is_sent_in_many_iterations(void)
{
    struct world_options options = situation_options(3, true);
    options.frame_bytes = 576;
    options.tx_ring = options.tx_buffers = 1 << 14;
    struct world *world = situation_begin(&options);
    uint16_t leader = world_leader(world, 0), other = leader % 3 + 1;
    world_clients_active(world, true);
    world_isolate(world, other);
    world_run(world, WORLD_S / 10);
    world_clients_active(world, false);
    world_run(world, WORLD_S / 10);
    uint64_t entries = situation_counters(world, leader).entries_out;
    uint64_t most = 0;
    world_heal(world);
    while (!world_is_level(world)) {
        uint64_t before = world->frames_sent;
        world_run(world, WORLD_US); // no node polls twice
        uint64_t sent = world->frames_sent - before;
        most = sent > most ? sent : most;
    }
    CHECK(world_leader(world, 0) == leader);
    CHECK(situation_counters(world, leader).entries_out > entries + 200);
    CHECK(most >= SEND_FRAMES_MAX); // more was there to be sent
    CHECK(most < SEND_FRAMES_MAX + 64);
    world_settle(world, WORLD_S);
    world_close(world);
}

// More addresses than are remembered: the oldest are forgotten, nobody gets another's answer.
static void strangers_push_clients_out(void)
{
    struct world *world = situation_open(3, false);
    world_clients_active(world, true);
    for (uint32_t round = 0; round < 3000; round++) {
        uint8_t frame[576];
        struct wire_writer writer;
        uint16_t node = (uint16_t)(1 + round % 3);
        const struct wire_envelope envelope = {.cluster = world->options.seed | 1,
                                               .destination = node};
        const struct wire_status_request request = {.request = round, .want_digest = true};
        wire_begin(&writer, frame, sizeof(frame), &envelope);
        CHECK(wire_put_status(&writer, 0, &request));
        world_net_from_client(world, (uint16_t)(100 + round % 500), node, 0, frame,
                              wire_seal(&writer));
        world_run(world, 60 * WORLD_US);
    }
    world_settle(world, WORLD_S);
    CHECK(situation_done(world) > 100);
    world_close(world);
}

static void send_as(struct world *world, uint16_t from, const struct raft_message *message)
{
    static const uint8_t data[16];
    uint8_t frame[576];
    struct wire_writer writer;
    const struct wire_envelope envelope = {
        .cluster = world->options.seed | 1, .boot = 1, .source = from, .destination = message->to};
    struct wire_fragment fragment = {
        .bytes = sizeof(data),
        .data = data,
        .head = {.sequence = 1, .bytes = sizeof(data), .kind = RAFT_ENTRY_COMMAND},
    };
    fragment.head.crc = raft_entry_crc(&fragment.head, data);
    wire_begin(&writer, frame, sizeof(frame), &envelope);
    bool is_part = message->type == RAFT_MSG_APPEND && message->append.count > 0;
    CHECK(is_part ? wire_put_append_fragment(&writer, 0, message, &fragment)
                  : wire_put_raft(&writer, 0, message));
    world_net_from_client(world, 100, message->to, 0, frame, wire_seal(&writer));
}

// Votes and entries mean other things in a group of the other order.
static void nodes_of_the_other_order_are_not_heard(void)
{
    struct world *world = situation_open(3, false);
    world_run(world, WORLD_S);
    uint16_t to = situation_follower(world), from = to == 1 ? 2 : 1;
    uint64_t term = world_status(world, to, 0).raft.term;
    uint64_t refused = situation_counters(world, to).refused[WIRE_BAD_FIELD];
    struct raft_message vote = {
        .type = RAFT_MSG_VOTE, .to = to, .term = term + 5, .vote.last = {term, 1u << 20}};
    struct raft_message append = {.type = RAFT_MSG_APPEND, .to = to, .term = term + 5};
    struct raft_message part = append;
    part.append.count = 1;
    part.append.entries_term = term + 5;
    struct raft_message fetch = {.type = RAFT_MSG_FETCH, .to = to, .term = term + 5};
    fetch.fetch = (struct raft_fetch){.number = 1, .wanted = {.first = 1, .count = 1, .bits = {1}}};
    vote.is_parallel = append.is_parallel = part.is_parallel = fetch.is_parallel = true;
    send_as(world, from, &vote);
    send_as(world, from, &append);
    send_as(world, from, &part);
    send_as(world, from, &fetch);
    world_run(world, WORLD_S / 10);
    CHECK_EQUAL(situation_counters(world, to).refused[WIRE_BAD_FIELD], refused + 4);
    CHECK_EQUAL(world_status(world, to, 0).raft.term, term);
    append.is_parallel = false; // and the same in ours is
    send_as(world, from, &append);
    world_run(world, WORLD_S / 10);
    CHECK_EQUAL(situation_counters(world, to).refused[WIRE_BAD_FIELD], refused + 4);
    CHECK(world_status(world, to, 0).raft.term >= term + 5);
    world_close(world);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(flipped_bits_are_dropped_and_counted),
        TEST(the_largest_entry_in_the_smallest_frames),
        TEST(a_window_is_sent_in_many_iterations),
        TEST(strangers_push_clients_out),
        TEST(nodes_of_the_other_order_are_not_heard),
    };
    return test_run("reactor frames", cases, TEST_COUNT(cases), argc, argv);
}
