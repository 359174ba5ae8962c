#include "bench/raw/ping.h"

#include <rte_cycles.h>
#include <string.h>

enum {
    SLOTS = 4096, // power of two > PING_WINDOW_MAX
    SEND_BURST = 32,
    STALL_DIVISOR = 5, // of a second: when the oldest frame counts as lost
    WARM_UP_DIVISOR = 2
};

struct client {
    struct port *port;
    const struct ping_plan *plan;
    uint64_t hertz;          // of the time stamp counter
    uint32_t next;           // sequence of the next frame
    uint32_t done;           // all before are answered or given up; next - done <= window
    uint64_t progress_ticks; // when `done` last moved
    uint64_t answered, lost;
    uint64_t sent_ticks[SLOTS];
    bool has_answer[SLOTS];
    struct histogram histogram; // of this round
};

static void fill_frame(struct rte_mbuf *frame, uint64_t bytes, uint32_t sequence)
{
    static const struct rte_ether_hdr header = {.dst_addr = {{2, 0, 0, 0, 0, 2}},
                                                .src_addr = {{2, 0, 0, 0, 0, 1}},
                                                .ether_type = RTE_BE16(PORT_ETHER_TYPE)};
    struct port_frame *content = rte_pktmbuf_mtod(frame, struct port_frame *);
    content->header = header;
    content->sequence = sequence;
    frame->data_len = (uint16_t)bytes;
    frame->pkt_len = (uint32_t)bytes;
}

// A large window is refilled in bursts: sending each answer's successor alone would measure the
// cost of single frames.
static uint32_t sendable(const struct client *client)
{
    uint32_t window = (uint32_t)client->plan->window, room = window - (client->next - client->done);
    uint32_t worthwhile = window / 4 < SEND_BURST ? window / 4 : SEND_BURST;
    if (room == 0 || room < worthwhile) {
        return 0;
    }
    return room < SEND_BURST ? room : SEND_BURST;
}

static bool send_frames(struct client *client, uint64_t now)
{
    struct rte_mbuf *frames[SEND_BURST];
    uint32_t count = sendable(client);
    if (count == 0 || rte_pktmbuf_alloc_bulk(client->port->pool, frames, count) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t sequence = client->next + i;
        fill_frame(frames[i], client->plan->frame_bytes, sequence);
        client->sent_ticks[sequence % SLOTS] = now;
        client->has_answer[sequence % SLOTS] = false;
    }
    client->next += count;
    port_send(client->port, frames, (uint16_t)count); // what is dropped here is found missing later
    return true;
}

static void take_answer(struct client *client, const struct rte_mbuf *frame, uint64_t now)
{
    uint32_t sequence = port_sequence(frame);
    bool awaited = sequence - client->done < client->next - client->done;
    if (!awaited || client->has_answer[sequence % SLOTS]) {
        return;
    }
    client->has_answer[sequence % SLOTS] = true;
    client->answered++;
    uint64_t ticks = now - client->sent_ticks[sequence % SLOTS];
    histogram_record(&client->histogram, ticks * 1000 / (client->hertz / 1000000));
}

static bool receive_answers(struct client *client)
{
    struct rte_mbuf *frames[PORT_BURST];
    uint16_t count = port_receive(client->port, frames, PORT_BURST);
    if (count == 0) {
        return false;
    }
    uint64_t now = rte_rdtsc();
    for (uint16_t i = 0; i < count; i++) {
        if (port_is_ours(frames[i])) {
            take_answer(client, frames[i], now);
        }
    }
    rte_pktmbuf_free_bulk(frames, count);
    while (client->done != client->next && client->has_answer[client->done % SLOTS]) {
        client->done++;
        client->progress_ticks = now;
    }
    return true;
}

static void give_up_stalled(struct client *client, uint64_t now)
{
    if (now - client->progress_ticks < client->hertz / STALL_DIVISOR) {
        return;
    }
    for (; client->done != client->next; client->done++) {
        client->lost += !client->has_answer[client->done % SLOTS];
    }
    client->progress_ticks = now;
}

// Result: the ticks it took.
static uint64_t run_round(struct client *client, uint64_t ticks)
{
    uint64_t start = rte_rdtsc(), now = start;
    client->progress_ticks = start;
    client->answered = 0;
    histogram_init(&client->histogram);
    while ((now = rte_rdtsc()) - start < ticks) {
        bool sent = send_frames(client, now);
        bool received = receive_answers(client);
        if (!sent && !received) {
            give_up_stalled(client, now);
            port_idle();
        }
    }
    return now - start;
}

void ping_run(struct port *port, const struct ping_plan *plan, struct ping_report *report)
{
    static struct client client;
    client = (struct client){.port = port, .plan = plan, .hertz = rte_get_tsc_hz()};
    run_round(&client, client.hertz / WARM_UP_DIVISOR);
    histogram_init(&report->histogram);
    report->answered = 0;
    for (uint64_t round = 0; round < plan->rounds; round++) {
        uint64_t ticks = run_round(&client, plan->seconds * client.hertz);
        report->rates[round] = (double)client.answered * (double)client.hertz / (double)ticks;
        report->medians[round] = (double)histogram_percentile(&client.histogram, 50) / 1000;
        report->answered += client.answered;
        histogram_merge(&report->histogram, &client.histogram);
    }
    report->lost = client.lost;
}

void ping_echo(struct port *port, const atomic_bool *stop)
{
    struct rte_mbuf *frames[PORT_BURST];
    while (!atomic_load_explicit(stop, memory_order_relaxed)) {
        uint16_t count = port_receive(port, frames, PORT_BURST), ours = 0;
        for (uint16_t i = 0; i < count; i++) {
            if (port_is_ours(frames[i])) {
                frames[ours++] = frames[i];
            } else {
                rte_pktmbuf_free(frames[i]);
            }
        }
        if (ours > 0) {
            port_send(port, frames, ours);
        } else if (count == 0) {
            port_idle();
        }
    }
}
