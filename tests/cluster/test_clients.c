// Clients that behave badly, and a network that does: doubled frames, clients that do not read,
// floods of garbage. The cluster serves the others all the while.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/base/prng.h"
#include "tests/cluster/bed.h"
#include "tests/cluster/kv_client.h"

enum {
    COPIES = 100,
    FLOOD_DOZENS = 2000,
    REFUSED_MIN = 200,
    GREEDY_COMMANDS = 1000,
    QUIET_MS = 500
};

static struct kv_bytes text_bytes(const char *text)
{
    return (struct kv_bytes){.data = text, .bytes = (uint32_t)strlen(text)};
}

// Every answer to (session, sequence) that still comes says DONE with this result. How many came.
static uint32_t gather(struct kv_client *client, uint64_t sequence, uint32_t expected)
{
    struct wire_message message;
    uint32_t count = 0;
    while (kv_client_receive(client, QUIET_MS, &message)) {
        if (message.type != WIRE_PROPOSE_REPLY) {
            continue;
        }
        for (uint32_t at = 0; at < message.propose_reply.count; at++) {
            const struct wire_result *result = &message.propose_reply.results[at];
            if (result->sequence == sequence && result->status == WIRE_DONE) {
                CHECK_EQUAL(result->result, expected);
                count++;
            }
        }
    }
    return count;
}

static void send_copies(struct kv_client *client, uint64_t sequence,
                        const struct kv_command *command)
{
    uint8_t frame[KV_CLIENT_FRAME_BYTES];
    for (int copy = 0; copy < COPIES; copy++) {
        for (uint16_t node = 1; node <= CLUSTER_NODES; node++) {
            uint32_t bytes = kv_client_frame(client, node, sequence, command, frame);
            kv_client_send(client, node, frame, bytes);
        }
    }
}

// A hundred copies of one compare-and-swap, at every node: a second execution would find its own
// value and answer MISMATCH.
static void doubled_frames_execute_once(void)
{
    struct kv_client client;
    char value[64];
    if (!bed_open("udp", "fsync") || !kv_client_open(&client, 1)) {
        return;
    }
    CHECK_EQUAL(kv_client_put(&client, "counter", "0"), KV_OK);
    const struct kv_command swap = {.operation = KV_COMPARE_AND_SWAP,
                                    .key = text_bytes("counter"),
                                    .value = text_bytes("1"),
                                    .expected = text_bytes("0")};
    uint64_t sequence = client.sequence++;
    send_copies(&client, sequence, &swap);
    CHECK(gather(&client, sequence, KV_OK) > 0);
    CHECK(kv_client_get(&client, "counter", value, sizeof(value)));
    CHECK_TEXT(value, "1");
    kv_client_close(&client);
    bed_close();
}

// N10: copies of an old command that come after newer ones, after a change of leader and after a
// restart of everybody change nothing.
static void late_copies_change_nothing(void)
{
    struct kv_client client;
    char value[64];
    if (!bed_open("udp", "fsync") || !kv_client_open(&client, 1)) {
        return;
    }
    uint64_t sequence = client.sequence;
    const struct kv_command old = {
        .operation = KV_PUT, .key = text_bytes("name"), .value = text_bytes("old")};
    CHECK_EQUAL(kv_client_put(&client, "name", "old"), KV_OK);
    CHECK_EQUAL(kv_client_put(&client, "name", "new"), KV_OK);
    for (int round = 0; round < 3; round++) {
        send_copies(&client, sequence, &old);
        gather(&client, sequence, KV_OK);
        CHECK(kv_client_get(&client, "name", value, sizeof(value)));
        CHECK_TEXT(value, "new");
        if (round == 0) {
            int leader = bed_await_leader(BED_ALL);
            bed_kill(leader);
            bed_await_leader(BED_ALL & ~(1u << leader));
            bed_start(leader);
        } else if (round == 1) {
            for (int id = 1; id <= CLUSTER_NODES; id++) {
                bed_kill(id);
            }
            for (int id = 1; id <= CLUSTER_NODES; id++) {
                bed_start(id);
            }
            bed_await_leader(BED_ALL);
        }
    }
    bed_await_equal(BED_ALL, 3);
    kv_client_close(&client);
    bed_close();
}

// A client that asks and asks and never reads: the answers wait in its own kernel, nobody else is
// slower for it, no node's memory grows. When it reads again it is served.
static void client_that_does_not_read(void)
{
    static struct kv_client greedy, other;
    static uint8_t frame[KV_CLIENT_FRAME_BYTES];
    int few = 2048;
    if (!bed_open("udp", "fsync") || !kv_client_open(&greedy, 1) || !kv_client_open(&other, 2)) {
        return;
    }
    setsockopt(greedy.socket, SOL_SOCKET, SO_RCVBUF, &few, sizeof(few));
    kv_client_fill(&other, 0, 24);
    int leader = bed_await_leader(BED_ALL);
    uint64_t before_kib = bed_resident_kib(leader);
    for (uint32_t round = 0; round < 4; round++) {
        for (uint32_t at = 0; at < GREEDY_COMMANDS; at++) {
            char key[32];
            snprintf(key, sizeof(key), "greedy-%u", at);
            const struct kv_command command = {
                .operation = KV_PUT, .key = text_bytes(key), .value = text_bytes("x")};
            uint32_t bytes = kv_client_frame(&greedy, (uint16_t)leader, at + 1, &command, frame);
            kv_client_send(&greedy, (uint16_t)leader, frame, bytes);
        }
        kv_client_fill(&other, 24 + round * 24, 24);
    }
    CHECK(bed_resident_kib(leader) < before_kib + 32 * 1024);
    greedy.sequence = GREEDY_COMMANDS + 1;
    CHECK_EQUAL(kv_client_put(&greedy, "greedy-last", "y"), KV_OK);
    kv_client_verify(&other, 0, 120);
    kv_client_close(&greedy);
    kv_client_close(&other);
    bed_close();
}

static uint64_t refused_by(int id)
{
    json_t *status = bed_status(id);
    json_t *reactor = json_array_get(json_object_get(status, "reactors"), 0);
    json_t *refused = json_object_get(reactor, "refused"), *value;
    uint64_t sum = (uint64_t)json_integer_value(
        json_object_get(json_object_get(reactor, "net"), "rx_malformed"));
    const char *reason;
    json_object_foreach(refused, reason, value)
    {
        sum += (uint64_t)json_integer_value(value);
    }
    json_decref(status);
    return sum;
}

// Random bytes, frames of the right start with a random rest, and good frames with one bit wrong.
static uint32_t make_garbage(struct prng *prng, struct kv_client *client, uint16_t node,
                             uint8_t frame[KV_CLIENT_FRAME_BYTES])
{
    const struct kv_command command = {
        .operation = KV_PUT, .key = text_bytes("garbage"), .value = text_bytes("must not appear")};
    uint32_t bytes = kv_client_frame(client, node, 900, &command, frame);
    switch (prng_below(prng, 3)) {
    case 0:
        bytes = (uint32_t)prng_between(prng, 1, KV_CLIENT_FRAME_BYTES);
        for (uint32_t at = 0; at < bytes; at++) {
            frame[at] = (uint8_t)prng_next(prng);
        }
        break;
    case 1:
        for (uint32_t at = (uint32_t)prng_below(prng, bytes); at < bytes; at++) {
            frame[at] = (uint8_t)prng_next(prng);
        }
        break;
    default:
        frame[prng_below(prng, bytes)] ^= (uint8_t)(1u << prng_below(prng, 8));
        break;
    }
    return bytes;
}

// A dozen frames. Result: true.
static bool send_garbage(struct kv_client *flooder, uint16_t node, struct prng *prng)
{
    uint8_t frame[KV_CLIENT_FRAME_BYTES];
    for (int at = 0; at < 12; at++) {
        uint32_t bytes = make_garbage(prng, flooder, node, frame);
        kv_client_send(flooder, node, frame, bytes);
    }
    return true;
}

static void flood_over(const char *link)
{
    static struct kv_client client, flooder;
    char value[64];
    struct prng prng;
    uint64_t before[CLUSTER_NODES + 1] = {0};
    if (!bed_open(link, "memory") || !kv_client_open(&client, 1) || !kv_client_open(&flooder, 2)) {
        return;
    }
    prng_init(&prng, 7);
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        before[id] = refused_by(id);
    }
    for (uint32_t at = 0; at < FLOOD_DOZENS; at++) {
        send_garbage(&flooder, (uint16_t)(at % CLUSTER_NODES + 1), &prng);
        if (at % (FLOOD_DOZENS / 10) == 0) {
            kv_client_fill(&client, at, 12);
        }
    }
    for (uint16_t id = 1; id <= CLUSTER_NODES; id++) {
        // Many were lost on the way: sockets and rings have an end. A last one is as good as any.
        WAIT_UNTIL(send_garbage(&flooder, id, &prng) && refused_by(id) >= before[id] + REFUSED_MIN);
    }
    CHECK_EQUAL(kv_client_put(&client, "after", "the flood"), KV_OK);
    CHECK(!kv_client_get(&client, "garbage", value, sizeof(value)));
    bed_await_equal(BED_ALL, 1);
    kv_client_close(&flooder);
    kv_client_close(&client);
    bed_close();
}

static void flood_of_garbage_over_udp(void)
{
    flood_over("udp");
}

static void flood_of_garbage_over_af_packet(void)
{
    flood_over("af_packet");
}

// Half of the frames between nodes doubled, some lost, some late: the same state, each command
// once.
static void bad_network_between_nodes(void)
{
    static struct kv_client client;
    char text[16];
    if (!bed_create("udp", "fsync",
                    BED_SETTINGS "impair_seed: 3\nimpair:\n  - {duplicate_ppm: 500000, loss_ppm: "
                                 "50000, reorder_ppm: 100000, jitter: 1ms}\n")) {
        return;
    }
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        bed_bootstrap(id);
    }
    if (!kv_client_open(&client, 1)) {
        return;
    }
    CHECK_EQUAL(kv_client_put(&client, "counter", "0"), KV_OK);
    for (int step = 0; step < 60; step++) {
        char next[16];
        snprintf(text, sizeof(text), "%d", step);
        snprintf(next, sizeof(next), "%d", step + 1);
        CHECK_EQUAL(kv_client_swap(&client, "counter", text, next), KV_OK);
    }
    CHECK(kv_client_get(&client, "counter", text, sizeof(text)));
    CHECK_TEXT(text, "60");
    bed_await_equal(BED_ALL, 60);
    kv_client_close(&client);
    bed_close();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(doubled_frames_execute_once),     TEST(late_copies_change_nothing),
        TEST(client_that_does_not_read),       TEST(flood_of_garbage_over_udp),
        TEST(flood_of_garbage_over_af_packet), TEST(bad_network_between_nodes),
    };
    return test_run("cluster clients", cases, TEST_COUNT(cases), argc, argv);
}
