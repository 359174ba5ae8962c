// What order strict, order parallel and parallel with PolarFS's look-behind buffer make of the same
// bad links and slow disks when nobody waits for a CPU: three production reactors in virtual time,
// a closed loop of writes under random keys, rates and latencies at the client. Network and disks
// are all that takes time (and one poll of each reactor every microsecond), so the figures say what
// the protocol does with loss, not how fast it computes, and are the same on every machine.
#include "bench/harness/options.h"
#include "bench/report/result.h"
#include "bench/virtual/world.h"
#include "drivers/app_null/app_null.h"
#include "engine/base/histogram.h"

#include <stdio.h>
#include <string.h>

enum { POLL_NS = 1000, DEPTH_MAX = 512, ORDERS = 3, FIGURES = 5, KEY_BYTES = 32 };

#define WARM_UP_NS UINT64_C(20000000)

struct loop {
    struct virtual_world world;
    uint64_t depth, bytes, length_ns;
    uint64_t proposed, answered; // answered: in the window
    uint64_t
        sent_ns[DEPTH_MAX * 4]; // by sequence; more than are ever between the oldest and the newest
    uint32_t under_way;
    uint64_t refused[DEPTH_MAX]; // by a leader without room, to be proposed again
    uint32_t refused_count;
    uint64_t busy;            // how often
    uint64_t window_began_ns; // 0: it has not
    struct histogram latencies;
    struct prng keys;
    uint8_t payload[VIRTUAL_PAYLOAD_BYTES_MAX];
};

static uint64_t *sent_at(struct loop *loop, uint64_t sequence)
{
    return &loop->sent_ns[sequence % (sizeof(loop->sent_ns) / sizeof(loop->sent_ns[0]))];
}

static void propose(struct loop *loop, uint64_t sequence)
{
    struct raft_entry_head head = {.client = loop->world.session,
                                   .sequence = sequence,
                                   .bytes = (uint32_t)loop->bytes,
                                   .kind = RAFT_ENTRY_COMMAND};
    const void *payload = loop->payload;
    app_null_name_key(loop->payload, prng_next(&loop->keys));
    head.crc = raft_entry_crc(&head, payload);
    if (virtual_propose(&loop->world, &head, &payload, 1) == 0) {
        virtual_give_up("no frame for a command");
    }
}

// (A leader without room for more says so, and is asked again.)
static void note_answer(void *context, const struct wire_result *result)
{
    struct loop *loop = context;
    uint64_t *sent_ns = sent_at(loop, result->sequence);
    if (result->status == WIRE_BUSY) {
        loop->refused[loop->refused_count++] = result->sequence;
        return;
    }
    if (result->status != WIRE_DONE || *sent_ns == 0) {
        virtual_give_up("a command was refused");
    }
    if (loop->window_began_ns != 0 && *sent_ns >= loop->window_began_ns) {
        histogram_record(&loop->latencies, loop->world.now_ns - *sent_ns);
        loop->answered++;
    }
    *sent_ns = 0;
    loop->under_way--;
}

static void fill_up(struct loop *loop)
{
    loop->busy += loop->refused_count;
    for (; loop->refused_count > 0; loop->refused_count--) {
        propose(loop, loop->refused[loop->refused_count - 1]);
    }
    for (; loop->under_way < loop->depth; loop->under_way++) {
        propose(loop, ++loop->proposed);
        *sent_at(loop, loop->proposed) = loop->world.now_ns;
    }
}

static void run(struct loop *loop, const struct virtual_options *options)
{
    struct virtual_world *world = &loop->world;
    virtual_open(world, options);
    virtual_begin(world);
    histogram_init(&loop->latencies);
    memset(loop->sent_ns, 0, sizeof(loop->sent_ns));
    loop->proposed = loop->answered = loop->window_began_ns = 0;
    loop->under_way = loop->refused_count = 0;
    loop->busy = 0;
    prng_init(&loop->keys, options->seed);
    uint64_t began_ns = world->now_ns, end_ns = began_ns + WARM_UP_NS + loop->length_ns;
    while (world->now_ns < end_ns) {
        world->now_ns += POLL_NS;
        if (loop->window_began_ns == 0 && world->now_ns >= began_ns + WARM_UP_NS) {
            loop->window_began_ns = world->now_ns;
        }
        fill_up(loop);
        for (uint32_t place = 0; place < VIRTUAL_NODES; place++) {
            reactor_poll(world->reactors[place], NULL);
        }
        virtual_take_answers(world, note_answer, loop);
    }
    virtual_close(world);
}

int main(int argc, char **argv)
{
    static struct loop loop = {.depth = 32, .bytes = 4096};
    static const char *const names[ORDERS] = {"strict", "parallel", "look_behind"};
    static char keys[ORDERS][FIGURES][KEY_BYTES];
    uint64_t delay_us = 20, disk_us = 0, loss_ppm = 10000, frame_bytes = 1472, milliseconds = 500,
             seed = 1;
    const char *json_path = NULL;
    const struct option_row rows[] = {
        {"depth", OPTION_NUMBER, &loop.depth, 1, DEPTH_MAX, NULL, "writes in flight"},
        {"bytes", OPTION_NUMBER, &loop.bytes, APP_NULL_KEYED_BYTES, VIRTUAL_PAYLOAD_BYTES_MAX, NULL,
         "of a write"},
        {"delay-us", OPTION_NUMBER, &delay_us, 0, 100000, NULL, "between nodes, one way"},
        {"loss-ppm", OPTION_NUMBER, &loss_ppm, 0, 500000, NULL, "of frames between nodes"},
        {"frame-bytes", OPTION_NUMBER, &frame_bytes, 534, VIRTUAL_FRAME_BYTES, NULL,
         "of a frame between nodes: 1472 on Ethernet, 8960 with jumbo frames"},
        {"disk-us", OPTION_NUMBER, &disk_us, 0, 100000, NULL,
         "a write takes up to, each entry its own, 32 at once; 0: log in memory"},
        {"milliseconds", OPTION_NUMBER, &milliseconds, 1, 100000, NULL, "of the virtual clock"},
        {"seed", OPTION_NUMBER, &seed, 1, UINT32_MAX, NULL, "of losses and keys"},
        {"json", OPTION_TEXT, &json_path, 0, 0, NULL, "file for the result as JSON"},
    };
    options_parse(rows, sizeof(rows) / sizeof(rows[0]),
                  "order strict and order parallel over the same lossy links, in virtual time",
                  argc, argv);
    loop.length_ns = milliseconds * 1000000;
    struct result result;
    result_init(&result, argc, argv);
    result_add_count(&result, "depth", loop.depth);
    result_add_count(&result, "bytes", loop.bytes);
    result_add_count(&result, "delay_us", delay_us);
    result_add_count(&result, "loss_ppm", loss_ppm);
    result_add_count(&result, "disk_us", disk_us);
    result_add_count(&result, "frame_bytes", frame_bytes);
    double rates[ORDERS], p99s[ORDERS];
    for (uint32_t order = 0; order < ORDERS; order++) {
        const struct virtual_options options = {.order = order == 0 ? RAFT_ORDER_STRICT
                                                                    : RAFT_ORDER_PARALLEL,
                                                .look_behind = order == 2 ? 2 : 0,
                                                .disk_polls = (uint32_t)(disk_us * 1000 / POLL_NS),
                                                .frame_bytes = (uint32_t)frame_bytes,
                                                .delay_ns = delay_us * 1000,
                                                .loss_ppm = (uint32_t)loss_ppm,
                                                .seed = seed};
        run(&loop, &options);
        static const char *const figures[FIGURES] = {"rate", "p50_us", "p99_us", "p999_us", "busy"};
        for (uint32_t at = 0; at < FIGURES; at++) {
            snprintf(keys[order][at], KEY_BYTES, "%s_%s", names[order], figures[at]);
        }
        rates[order] = (double)loop.answered * 1e9 / (double)loop.length_ns;
        p99s[order] = (double)histogram_percentile(&loop.latencies, 99) / 1e3;
        result_add_real(&result, keys[order][0], rates[order], 0);
        result_add_real(&result, keys[order][1],
                        (double)histogram_percentile(&loop.latencies, 50) / 1e3, 1);
        result_add_real(&result, keys[order][2], p99s[order], 1);
        result_add_real(&result, keys[order][3],
                        (double)histogram_percentile(&loop.latencies, 99.9) / 1e3, 1);
        result_add_count(&result, keys[order][4], loop.busy);
    }
    result_add_real(&result, "rate_ratio", rates[1] / rates[0], 2);
    result_add_real(&result, "p99_ratio", p99s[1] / p99s[0], 2);
    return result_finish(&result, NULL, json_path, NULL);
}
