// The network of a world: driver_api/net.h over frames that travel for some time, or never arrive,
// or arrive bent.
//
// Every frame is memory of its own and exactly as long as it may be, so that a sanitizer sees one
// byte too many. What a link does to a frame is decided when it is sent; what is cut or clogged
// later does not touch frames under way.
#include <stdlib.h>
#include <string.h>

#include "engine/base/crc32c.h"
#include "engine/wire/layout.h"
#include "tests/sim/sim.h"

#define NONE UINT32_MAX
#define NODES_NET UINT32_C(0x0A000000)
#define CLIENTS_NET UINT32_C(0x0A010000)

enum {
    CLIENT_PORT = 9000,
    RX_QUEUE_MAX = 2048,
    RECORD_EVERY = 31,      // of the frames sent, one is kept for replays
    STRAGGLER_TIMEOUTS = 8, // election timeouts that the copy of a frame is late by, at most
    MILLION = 1000000,
};

static struct sim_net *of(struct net *net)
{
    return (struct sim_net *)net;
}

// ------------------------------------------------------------------------------------------------
// frames under way

static void free_packet(struct sim *sim, uint32_t number)
{
    free(sim->packets[number].data);
    sim->packets[number].data = NULL;
    sim->free_packets[sim->free_packet_count++] = number;
}

// Flips one to three bits: what gets past the checksums of Ethernet and UDP.
static void corrupt(struct sim *sim, uint8_t *data, uint32_t bytes)
{
    uint32_t flips = 1 + (uint32_t)prng_below(&sim->net_prng, 3);
    for (uint32_t flip = 0; flip < flips; flip++) {
        data[prng_below(&sim->net_prng, bytes)] ^= (uint8_t)(1u << prng_below(&sim->net_prng, 8));
    }
}

static void depart(struct sim *sim, const struct sim_packet *packet, uint64_t delay_ns,
                   bool is_corrupt)
{
    if (sim->free_packet_count == 0) {
        sim->frames_lost++;
        return;
    }
    uint32_t number = sim->free_packets[--sim->free_packet_count];
    struct sim_packet *sent = &sim->packets[number];
    *sent = *packet;
    sent->data = malloc(packet->bytes);
    sent->next = NONE;
    memcpy(sent->data, packet->data, packet->bytes);
    sim->late_frames += packet->is_late;
    if (is_corrupt) {
        corrupt(sim, sent->data, sent->bytes);
    }
    sim_at(sim, SIM_EVENT_PACKET + number, sim->now_ns + delay_ns);
}

static bool chance(struct sim *sim, uint32_t ppm)
{
    return ppm != 0 && prng_chance(&sim->net_prng, ppm, MILLION);
}

static uint64_t delay(struct sim *sim, const struct sim_link *link)
{
    const struct sim_options *options = &sim->options;
    uint64_t delay_ns = prng_between(&sim->net_prng, options->link_min_ns, options->link_max_ns);
    if (link->delay_ns + link->jitter_ns > 0) {
        delay_ns += link->delay_ns + prng_below(&sim->net_prng, link->jitter_ns + 1);
    }
    if (link->clogged_until_ns > sim->now_ns + delay_ns) {
        delay_ns = link->clogged_until_ns - sim->now_ns;
    }
    return delay_ns;
}

// Type of the first message, as far as a frame has one.
static uint32_t type_of(const struct sim_packet *packet)
{
    struct layout_message message = {0};
    if (packet->bytes >= sizeof(struct layout_envelope) + sizeof(message)) {
        memcpy(&message, packet->data + sizeof(struct layout_envelope), sizeof(message));
    }
    return message.type;
}

static bool has_entries(const struct sim_packet *packet)
{
    uint32_t type = type_of(packet);
    return type == WIRE_APPEND_FRAGMENT ||
           (type == RAFT_MSG_APPEND &&
            packet->bytes > sizeof(struct layout_envelope) + sizeof(struct layout_append));
}

static void record(struct sim *sim, const struct sim_packet *packet)
{
    if (sim->frames_sent % RECORD_EVERY != 0) {
        return;
    }
    struct sim_packet *kept = &sim->recordings[sim->recording_count++ % SIM_RECORDINGS];
    free(kept->data);
    *kept = *packet;
    kept->data = malloc(packet->bytes);
    memcpy(kept->data, packet->data, packet->bytes);
}

// What is acknowledged to the favourite of a hunt often comes again when it leads another time.
static uint32_t straggler_ppm(const struct sim *sim, const struct sim_packet *packet)
{
    bool is_echo = packet->from != 0 && packet->to != 0 && packet->to == sim->favourite &&
                   type_of(packet) == RAFT_MSG_APPEND_REPLY;
    return is_echo ? MILLION / 2 : sim->links[packet->from][packet->to].straggler_ppm;
}

// A second copy comes very late, perhaps of a frame that was lost. Not so many that there are no
// frames left for what is in time.
static void straggle(struct sim *sim, const struct sim_packet *packet)
{
    if (chance(sim, straggler_ppm(sim, packet)) && sim->free_packet_count > SIM_PACKETS_MAX / 2) {
        uint64_t timeouts = prng_between(&sim->net_prng, 1, STRAGGLER_TIMEOUTS);
        uint64_t late_ns = prng_below(&sim->net_prng, timeouts * sim->options.election_max_ns);
        struct sim_packet late = *packet;
        late.is_late = true;
        depart(sim, &late, late_ns, false);
    }
}

uint16_t sim_net_hurry(struct sim *sim, uint16_t to, bool is_leader, uint64_t within_ns)
{
    uint16_t from = 0;
    for (uint32_t number = 0; number < SIM_PACKETS_MAX && sim->late_frames > 0; number++) {
        const struct sim_packet *packet = &sim->packets[number];
        if (heap_contains(&sim->events, SIM_EVENT_PACKET + number) && packet->is_late &&
            packet->to == to && (type_of(packet) == RAFT_MSG_APPEND_REPLY) == is_leader) {
            from = packet->from;
            sim_at(sim, SIM_EVENT_PACKET + number,
                   sim->now_ns + prng_below(&sim->net_prng, within_ns));
        }
    }
    return from;
}

// One datagram is sent: lost, once or twice.
static void transmit(const struct sim_net *from, const struct sim_packet *packet)
{
    struct sim *sim = from->sim;
    const struct sim_link *link = &sim->links[packet->from][packet->to];
    sim->frames_sent++;
    sim_hash(sim, crc32c(0, packet->data, packet->bytes));
    if (packet->from != 0) {
        struct sim_node *node = &sim->nodes[packet->from - 1];
        sim_check_sent(node->seats[from->index], packet->data, packet->bytes);
    }
    record(sim, packet);
    if (sim->frames != NULL) {
        sim_frames_see(sim->frames, packet->data, packet->bytes);
    }
    straggle(sim, packet);
    bool is_muted = packet->from != 0 && sim->nodes[packet->from - 1].is_muted &&
                    sim->nodes[packet->from - 1].confidant != packet->to;
    uint32_t type = link->filter == 0 && !is_muted ? 0 : type_of(packet);
    if (link->cuts > 0 || chance(sim, link->loss_ppm) ||
        (has_entries(packet) && chance(sim, sim->entries_lost_ppm)) ||
        (link->filter & (1u << (type & 31))) != 0 ||
        (is_muted && (type == RAFT_MSG_APPEND || type == WIRE_APPEND_FRAGMENT))) {
        sim->frames_lost++;
        return;
    }
    uint32_t copies = 1 + chance(sim, link->duplicate_ppm);
    for (uint32_t copy = 0; copy < copies; copy++) {
        bool is_corrupt = chance(sim, link->corrupt_ppm);
        depart(sim, packet, delay(sim, link), is_corrupt);
    }
}

void sim_net_replay(struct sim *sim, uint32_t count)
{
    uint32_t kept = sim->recording_count < SIM_RECORDINGS ? sim->recording_count : SIM_RECORDINGS;
    for (uint32_t at = 0; at < count && kept > 0; at++) {
        const struct sim_packet *packet = &sim->recordings[prng_below(&sim->net_prng, kept)];
        depart(sim, packet, delay(sim, &sim->links[packet->from][packet->to]), false);
    }
}

// Frames that nobody sent: noise, an envelope of ours with noise behind, or a real frame with a
// byte changed and the checksum made right is beyond what replicas do (they do not lie); so the
// checksum stays wrong, or the content senseless.
void sim_net_forge(struct sim *sim, uint16_t node, uint32_t count)
{
    uint8_t bytes[600];
    for (uint32_t at = 0; at < count; at++) {
        uint32_t length = 1 + (uint32_t)prng_below(&sim->net_prng, sizeof(bytes));
        for (uint32_t i = 0; i < length; i++) {
            bytes[i] = (uint8_t)prng_next(&sim->net_prng);
        }
        struct layout_envelope envelope = {.magic = LAYOUT_MAGIC,
                                           .version = WIRE_VERSION,
                                           .source = (uint16_t)prng_below(&sim->net_prng, 9),
                                           .destination = node,
                                           .cluster = sim->options.seed | 1,
                                           .frame_bytes = length,
                                           .messages = 1};
        if (length >= sizeof(envelope) && prng_chance(&sim->net_prng, 1, 2)) {
            envelope.crc = (uint32_t)prng_next(&sim->net_prng);
            memcpy(bytes, &envelope, sizeof(envelope));
        }
        uint16_t client = (uint16_t)(SIM_CLIENTS_MAX + prng_below(&sim->net_prng, 100));
        const struct sim_packet packet = {
            .to = node,
            .index = (uint16_t)prng_below(&sim->net_prng, sim->options.reactors),
            .remote = {.ipv4 = CLIENTS_NET + client,
                       .udp_port = CLIENT_PORT,
                       .local_port = SIM_PORT},
            .data = bytes,
            .bytes = length};
        depart(sim, &packet, delay(sim, &sim->links[0][node]), false);
    }
}

static struct sim_net *receiver(struct sim *sim, const struct sim_packet *packet)
{
    if (packet->to == 0) {
        return packet->index < sim->options.clients ? &sim->clients[packet->index].net : NULL;
    }
    struct sim_node *node = &sim->nodes[packet->to - 1];
    return node->is_up ? &node->seats[packet->index]->net : NULL;
}

void sim_net_arrive(struct sim *sim, uint32_t number)
{
    struct sim_packet *packet = &sim->packets[number];
    struct sim_net *net = receiver(sim, packet);
    sim->late_frames -= packet->is_late;
    if (net == NULL || net->rx_count == RX_QUEUE_MAX) {
        free_packet(sim, number);
        return;
    }
    if (net->rx_first == NONE) {
        net->rx_first = number;
    } else {
        sim->packets[net->rx_last].next = number;
    }
    net->rx_last = number;
    net->rx_count++;
    if (packet->to != 0) {
        sim_seat_wake(sim->nodes[packet->to - 1].seats[packet->index]);
    } else {
        sim_at(sim, SIM_EVENT_CLIENT + packet->index,
               sim->now_ns + prng_below(&sim->prng, sim->options.poll_ns));
    }
}

// ------------------------------------------------------------------------------------------------
// the driver

static uint32_t receive(struct net *base, struct net_frame *frames, uint32_t max)
{
    struct sim_net *net = of(base);
    uint32_t count = 0;
    while (count < max && net->rx_first != NONE) {
        struct sim_packet *packet = &net->sim->packets[net->rx_first];
        net->rx_first = packet->next;
        net->rx_count--;
        net->counters.rx_frames++;
        net->counters.rx_bytes += packet->bytes;
        frames[count++] = (struct net_frame){.data = packet->data,
                                             .bytes = packet->bytes,
                                             .capacity = packet->bytes,
                                             .remote = packet->remote,
                                             .cookie = packet};
        net->rx_out++;
    }
    return count;
}

// Received, or acquired.
static void give_back(struct sim_net *net, const struct net_frame *frame)
{
    struct sim_packet *packet = frame->cookie;
    if (packet != NULL) {
        ASSERT_CMP(net->rx_out, >, 0);
        net->rx_out--;
        free_packet(net->sim, (uint32_t)(packet - net->sim->packets));
    } else {
        ASSERT_CMP(net->tx_out, >, 0);
        net->tx_out--;
        free(frame->data);
    }
}

static void release(struct net *base, struct net_frame *frames, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++) {
        give_back(of(base), &frames[at]);
    }
}

// A quarter is kept for peers.
static uint32_t acquire(struct net *base, uint16_t link, enum net_use use, struct net_frame *frames,
                        uint32_t count)
{
    struct sim_net *net = of(base);
    uint32_t max = use == NET_USE_CLIENT ? net->tx_buffers / 4 * 3 : net->tx_buffers;
    uint32_t given = 0;
    while (given < count && net->tx_out < max) {
        uint32_t capacity = net->sim->options.frame_bytes;
        frames[given++] = (struct net_frame){.data = malloc(capacity), .capacity = capacity};
        net->tx_out++;
    }
    net->counters.tx_no_buffer += given < count;
    return given;
}

static void send_one(struct sim_net *net, const struct net_frame *frame)
{
    const struct net_endpoint *to = &frame->remote;
    bool is_to_client = (to->ipv4 & 0xFFFF0000) == CLIENTS_NET;
    uint32_t from_ipv4 = net->node == 0 ? CLIENTS_NET + net->index : NODES_NET + net->node;
    ASSERT_CMP(frame->bytes, <=, net->sim->options.frame_bytes);
    const struct sim_packet packet = {
        .from = net->node,
        .to = is_to_client ? 0 : (uint16_t)(to->ipv4 - NODES_NET),
        .index = (uint16_t)(is_to_client
                                ? to->ipv4 & 0xFFFF
                                : (uint32_t)(to->udp_port - SIM_PORT) % net->sim->options.reactors),
        .remote = {.ipv4 = from_ipv4, .udp_port = to->local_port, .local_port = to->udp_port},
        .data = frame->data,
        .bytes = frame->bytes};
    transmit(net, &packet);
}

static uint32_t send_frames(struct net *base, struct net_frame *frames, uint32_t count)
{
    struct sim_net *net = of(base);
    uint32_t room = net->sim->options.tx_ring - net->tx_taken;
    uint32_t taken = count < room ? count : room;
    for (uint32_t at = 0; at < taken; at++) {
        net->counters.tx_frames++;
        net->counters.tx_bytes += frames[at].bytes;
        send_one(net, &frames[at]);
        give_back(net, &frames[at]);
    }
    net->tx_taken += taken;
    net->counters.tx_refused += count - taken;
    return taken;
}

static bool locate(struct net *base, uint16_t node_id, uint8_t class, struct net_endpoint *endpoint)
{
    struct sim_net *net = of(base);
    if (node_id == 0 || node_id > net->sim->options.nodes) {
        return false;
    }
    for (uint32_t at = 0; at < net->sim->plan.count && net->node != 0; at++) {
        const struct sim_fault *fault = &net->sim->plan.faults[at];
        if (net->sim->active_until_ns[at] != 0 && fault->kind == SIM_UNLOCATED &&
            fault->node == net->node && fault->peer == node_id) {
            return false;
        }
    }
    uint16_t port = (uint16_t)(SIM_PORT + class);
    *endpoint = (struct net_endpoint){.ipv4 = NODES_NET + node_id,
                                      .udp_port = port,
                                      .local_port = net->node == 0 ? CLIENT_PORT : port};
    return true;
}

static void poll(struct net *base, uint64_t now_ns)
{
    of(base)->tx_taken = 0;
}

static bool link_up(struct net *base, uint16_t link)
{
    return true;
}

static uint32_t frame_bytes(struct net *base, uint16_t link)
{
    return of(base)->sim->options.frame_bytes;
}

static void counters(struct net *base, struct net_counters *out)
{
    *out = of(base)->counters;
}

static void close_net(struct net *base)
{
}

static const struct net_ops ops = {.name = "sim",
                                   .receive = receive,
                                   .release = release,
                                   .acquire = acquire,
                                   .send = send_frames,
                                   .locate = locate,
                                   .poll = poll,
                                   .link_up = link_up,
                                   .frame_bytes = frame_bytes,
                                   .counters = counters,
                                   .close = close_net};

void sim_net_init(struct sim_net *net, struct sim *sim, uint16_t node, uint16_t index)
{
    *net = (struct sim_net){.net.ops = &ops,
                            .sim = sim,
                            .node = node,
                            .index = index,
                            .rx_first = NONE,
                            .rx_last = NONE,
                            .tx_buffers = sim->options.tx_buffers};
}

void sim_net_forget(struct sim_net *net)
{
    while (net->rx_first != NONE) {
        uint32_t number = net->rx_first;
        net->rx_first = net->sim->packets[number].next;
        free_packet(net->sim, number);
    }
    net->rx_count = net->rx_out = net->tx_out = net->tx_taken = 0;
}

void sim_net_open(struct sim *sim)
{
    sim->packets = calloc(SIM_PACKETS_MAX, sizeof(*sim->packets));
    sim->free_packets = calloc(SIM_PACKETS_MAX, sizeof(uint32_t));
    ASSERT(sim->packets != NULL && sim->free_packets != NULL);
    for (uint32_t number = SIM_PACKETS_MAX; number > 0; number--) {
        sim->free_packets[sim->free_packet_count++] = number - 1;
    }
}

void sim_net_close(struct sim *sim)
{
    for (uint32_t number = 0; number < SIM_PACKETS_MAX; number++) {
        free(sim->packets[number].data);
    }
    for (uint32_t at = 0; at < SIM_RECORDINGS; at++) {
        free(sim->recordings[at].data);
    }
    free(sim->packets);
    free(sim->free_packets);
}
