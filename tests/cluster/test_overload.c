// R4 of the fault list: far more commands than the cluster can do, half of them of one client with
// many sessions. Each that is heard is answered, with BUSY where there is no room; nobody starves,
// a polite client is served in between, and the memory of the nodes does not grow.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/cluster/bed.h"
#include "tests/cluster/kv_client.h"

enum {
    MODEST = 4, // clients that send one frame a turn
    HOGS = 2,   // sessions of one that sends HOG_FRAMES each
    GREEDY = MODEST + HOGS,
    HOG_FRAMES = 4,
    FLOOD_MS = 3000,
    RESEND_MS = 100,
    RECEIVE_BUFFER_BYTES = 4 << 20,
    POLITE_MS_MAX = 2000,
    GROWTH_KIB_MAX = 32 * 1024,
};

// Fewer slots than the windows of all sessions together: there is no room sometimes, however fast
// the log is.
#define SMALL_LOG BED_SETTINGS "log_entries: 4096\n"

struct greedy {
    struct kv_client client;
    uint64_t sent, statuses[WIRE_FAILED + 1];
};

// One command at a time.
struct polite {
    struct kv_client client;
    bool is_waiting;
    uint64_t began_ns, resend_ns;
    uint64_t puts, slowest_ns;
};

static struct greedy greedy[GREEDY];
static struct polite polite;

static const struct kv_command small_put = {.operation = KV_PUT,
                                            .key = {.data = "key", .bytes = 3},
                                            .value = {.data = "value", .bytes = 5}};

// Full frames, without waiting for anything.
static void ask(struct greedy *who, int leader, int frames)
{
    static uint8_t frame[KV_CLIENT_FRAME_BYTES];
    struct kv_command commands[KV_CLIENT_MANY];
    for (int at = 0; at < KV_CLIENT_MANY; at++) {
        commands[at] = small_put;
    }
    for (int at = 0; at < frames; at++) {
        uint32_t bytes = kv_client_frame_many(&who->client, (uint16_t)leader, who->client.sequence,
                                              commands, KV_CLIENT_MANY, frame);
        kv_client_send(&who->client, (uint16_t)leader, frame, bytes);
        who->client.sequence += KV_CLIENT_MANY;
        who->sent += KV_CLIENT_MANY;
    }
}

static void take_answers(struct greedy *who)
{
    struct wire_message message;
    while (kv_client_receive(&who->client, 0, &message)) {
        if (message.type != WIRE_PROPOSE_REPLY) {
            continue;
        }
        for (uint32_t at = 0; at < message.propose_reply.count; at++) {
            CHECK(message.propose_reply.results[at].status <= WIRE_FAILED);
            who->statuses[message.propose_reply.results[at].status]++;
        }
    }
}

static void serve_polite(int leader)
{
    static uint8_t frame[KV_CLIENT_FRAME_BYTES];
    uint64_t now_ns = bed_now_ns();
    struct wire_message message;
    if (!polite.is_waiting) {
        polite.is_waiting = true;
        polite.began_ns = polite.resend_ns = now_ns;
    }
    if (now_ns >= polite.resend_ns) {
        uint32_t bytes = kv_client_frame(&polite.client, (uint16_t)leader, polite.client.sequence,
                                         &small_put, frame);
        kv_client_send(&polite.client, (uint16_t)leader, frame, bytes);
        polite.resend_ns = bed_deadline_ns(RESEND_MS);
    }
    while (kv_client_receive(&polite.client, 0, &message)) {
        const struct wire_result *result = &message.propose_reply.results[0];
        if (message.type == WIRE_PROPOSE_REPLY && result->status == WIRE_DONE &&
            result->sequence == polite.client.sequence) {
            polite.puts++;
            polite.client.sequence++;
            polite.is_waiting = false;
        }
    }
    uint64_t took_ns = now_ns - polite.began_ns;
    polite.slowest_ns = took_ns > polite.slowest_ns ? took_ns : polite.slowest_ns;
}

static void flood(void)
{
    int leader = bed_await_leader(BED_ALL);
    polite.is_waiting = false;
    for (uint64_t until_ns = bed_deadline_ns(FLOOD_MS); bed_now_ns() < until_ns;) {
        for (int which = 0; which < GREEDY; which++) {
            ask(&greedy[which], leader, which < MODEST ? 1 : HOG_FRAMES);
            take_answers(&greedy[which]);
        }
        serve_polite(leader);
    }
}

static void check_served(bool is_small)
{
    uint64_t sent = 0, done = 0, busy = 0, outside = 0, least = UINT64_MAX, most = 0;
    for (int which = 0; which < GREEDY; which++) {
        const uint64_t *statuses = greedy[which].statuses;
        sent += greedy[which].sent;
        done += statuses[WIRE_DONE];
        busy += statuses[WIRE_BUSY];
        outside += statuses[WIRE_OUTSIDE_WINDOW];
        if (which < MODEST) {
            least = statuses[WIRE_DONE] < least ? statuses[WIRE_DONE] : least;
            most = statuses[WIRE_DONE] > most ? statuses[WIRE_DONE] : most;
        }
        printf("    %s: %" PRIu64 " sent, %" PRIu64 " done, %" PRIu64 " busy, %" PRIu64
               " outside the window\n",
               which < MODEST ? "modest" : "hog", greedy[which].sent, statuses[WIRE_DONE],
               statuses[WIRE_BUSY], statuses[WIRE_OUTSIDE_WINDOW]);
        CHECK_EQUAL(statuses[WIRE_EXPIRED] + statuses[WIRE_INVALID] + statuses[WIRE_FAILED], 0);
    }
    printf("    all: %" PRIu64 " sent, %" PRIu64 " done; polite client: %" PRIu64
           " puts, the slowest took %" PRIu64 " ms\n",
           sent, done, polite.puts, polite.slowest_ns / 1000000);
    CHECK(sent > 2 * done);
    CHECK(busy + outside > 0);
    CHECK(busy > 0 || !is_small);
    CHECK(least > 0 && least > most / 4);
    CHECK(polite.puts > 10);
    CHECK(polite.slowest_ns < POLITE_MS_MAX * UINT64_C(1000000));
}

static void overload(bool is_small)
{
    memset(greedy, 0, sizeof(greedy));
    memset(&polite, 0, sizeof(polite));
    int bytes = RECEIVE_BUFFER_BYTES;
    uint64_t before_kib[CLUSTER_NODES + 1];
    if (!bed_open_with("udp", "fsync", is_small ? SMALL_LOG : BED_SETTINGS) ||
        !kv_client_open(&polite.client, GREEDY + 1)) {
        return;
    }
    for (int which = 0; which < GREEDY; which++) {
        CHECK(kv_client_open(&greedy[which].client, which + 1));
        setsockopt(greedy[which].client.socket, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    }
    flood(); // all memory that is needed at all is touched
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        before_kib[id] = bed_resident_kib(id);
    }
    flood();
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        CHECK(bed_resident_kib(id) < before_kib[id] + GROWTH_KIB_MAX);
    }
    check_served(is_small);
    bed_await_equal(BED_ALL, 1);
    for (int which = 0; which < GREEDY; which++) {
        kv_client_close(&greedy[which].client);
    }
    kv_client_close(&polite.client);
    bed_close();
}

static void clients_far_beyond_capacity(void)
{
    overload(false);
}

static void clients_far_beyond_a_small_log(void)
{
    overload(true);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(clients_far_beyond_capacity),
                                             TEST(clients_far_beyond_a_small_log)};
    return test_run("cluster overload", cases, TEST_COUNT(cases), argc, argv);
}
