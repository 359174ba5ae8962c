// The network of a world: driver_api/net.h over packets that travel for some time, or never arrive.
//
// Every frame is memory of its own and exactly as long as its link allows, so that a sanitizer sees
// one byte too many.
#include "tests/harness/world.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"

#define NONE UINT32_MAX
#define NODES_NET UINT32_C(0x0A000000)
#define CLIENTS_NET UINT32_C(0x0A010000)

enum { RX_QUEUE_MAX = 8192 };

static struct world_net *of(struct net *net)
{
    return (struct world_net *)net;
}

// --- packets ---

static struct world_packet *take_packet(struct world *world, const uint8_t *data, uint32_t bytes,
                                        uint64_t delay_ns)
{
    if (world->free_packet_count == 0) {
        return NULL;
    }
    uint32_t number = world->free_packets[--world->free_packet_count];
    struct world_packet *packet = &world->packets[number];
    *packet = (struct world_packet){.data = malloc(bytes), .bytes = bytes, .next = NONE};
    memcpy(packet->data, data, bytes);
    heap_update(&world->arrivals, number, world->now_ns + delay_ns);
    return packet;
}

static void free_packet(struct world *world, uint32_t number)
{
    free(world->packets[number].data);
    world->packets[number].data = NULL;
    world->free_packets[world->free_packet_count++] = number;
}

static uint64_t delay(struct world *world)
{
    uint64_t delay_ns = prng_between(&world->prng, world->link_min_ns, world->link_max_ns);
    if (prng_chance(&world->prng, world->late_permille, 1000)) {
        delay_ns += prng_below(&world->prng, world->late_max_ns + 1);
    }
    return delay_ns;
}

static void flip(struct world *world, struct world_packet *packet)
{
    if (world->flip_permille > 0 && prng_chance(&world->prng, world->flip_permille, 1000)) {
        uint64_t bit = prng_below(&world->prng, UINT64_C(8) * packet->bytes);
        packet->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        world->frames_flipped++;
    }
}

// One datagram on its way: lost, once or twice, whole or damaged.
static void transmit(struct world *world, uint16_t from, const struct world_packet *packet)
{
    world->frames_sent++;
    if (world->cut[from][packet->node] || prng_chance(&world->prng, world->loss_permille, 1000)) {
        world->frames_lost++;
        return;
    }
    uint32_t copies = 1 + prng_chance(&world->prng, world->duplicate_permille, 1000);
    for (uint32_t copy = 0; copy < copies; copy++) {
        struct world_packet *sent = take_packet(world, packet->data, packet->bytes, delay(world));
        if (sent != NULL) {
            flip(world, sent);
            sent->node = packet->node;
            sent->index = packet->index;
            sent->remote = packet->remote;
        }
    }
}

void world_net_from_client(struct world *world, uint16_t client, uint16_t node, uint16_t group,
                           const uint8_t *data, uint32_t bytes)
{
    uint16_t class = group % WIRE_CLASSES;
    const struct world_packet packet = {.node = node,
                                        .index = (uint16_t)(class % world->options.reactors),
                                        .remote = {.ipv4 = CLIENTS_NET + client,
                                                   .udp_port = 9000,
                                                   .local_port = (uint16_t)(WORLD_PORT + class)},
                                        .data = (uint8_t *)(uintptr_t)data,
                                        .bytes = bytes};
    transmit(world, 0, &packet);
}

static void arrive(struct world *world, uint32_t number)
{
    struct world_packet *packet = &world->packets[number];
    if (packet->node == 0) {
        if (packet->index < world->options.clients) { // else: a stranger of the test
            world_client_receive(&world->clients[packet->index], packet->data, packet->bytes);
        }
        free_packet(world, number);
        return;
    }
    struct world_node *node = &world->nodes[packet->node - 1];
    struct world_net *net = &node->seats[packet->index].net;
    if (!node->is_up || net->rx_count == RX_QUEUE_MAX) {
        free_packet(world, number);
        return;
    }
    if (net->rx_first == NONE) {
        net->rx_first = number;
    } else {
        world->packets[net->rx_last].next = number;
    }
    net->rx_last = number;
    net->rx_count++;
}

void world_net_deliver(struct world *world)
{
    uint32_t number;
    while (heap_pop_due(&world->arrivals, world->now_ns, &number)) {
        arrive(world, number);
    }
}

// --- the driver ---

static uint32_t receive(struct net *base, struct net_frame *frames, uint32_t max)
{
    struct world_net *net = of(base);
    struct world *world = net->world;
    uint32_t count = 0;
    while (count < max && net->rx_first != NONE) {
        uint32_t number = net->rx_first;
        struct world_packet *packet = &world->packets[number];
        net->rx_first = packet->next;
        net->rx_count--;
        frames[count++] = (struct net_frame){.data = packet->data,
                                             .bytes = packet->bytes,
                                             .capacity = packet->bytes,
                                             .remote = packet->remote,
                                             .cookie = packet};
        net->rx_out++;
    }
    return count;
}

static void release(struct net *base, struct net_frame *frames, uint32_t count)
{
    struct world_net *net = of(base);
    for (uint32_t at = 0; at < count; at++) {
        if (frames[at].cookie != NULL) {
            ASSERT_CMP(net->rx_out, >, 0);
            net->rx_out--;
            free_packet(net->world,
                        (uint32_t)((struct world_packet *)frames[at].cookie - net->world->packets));
        } else {
            ASSERT_CMP(net->tx_out, >, 0);
            net->tx_out--;
            free(frames[at].data);
        }
    }
}

static uint32_t acquire(struct net *base, uint16_t link, enum net_use use, struct net_frame *frames,
                        uint32_t count)
{
    struct world_net *net = of(base);
    uint32_t max = net->world->options.tx_buffers;
    max = use == NET_USE_CLIENT ? max / 4 * 3 : max;
    uint32_t given = 0;
    while (given < count && net->tx_out < max) {
        uint32_t capacity = net->world->options.frame_bytes;
        frames[given++] = (struct net_frame){.data = malloc(capacity), .capacity = capacity};
        net->tx_out++;
    }
    net->counters.tx_no_buffer += count - given;
    return given;
}

static void send_one(struct world_net *net, const struct net_frame *frame)
{
    struct world *world = net->world;
    const struct net_endpoint *to = &frame->remote;
    bool is_client = (to->ipv4 & 0xFFFF0000) == CLIENTS_NET;
    ASSERT_CMP(frame->bytes, <=, world->options.frame_bytes);
    const struct world_packet packet = {
        .node = is_client ? 0 : (uint16_t)(to->ipv4 - NODES_NET),
        .index = (uint16_t)(is_client ? to->ipv4 & 0xFFFF
                                      : (to->udp_port - WORLD_PORT) % world->options.reactors),
        .remote = {.ipv4 = NODES_NET + net->node,
                   .udp_port = to->local_port,
                   .local_port = to->udp_port},
        .data = frame->data,
        .bytes = frame->bytes};
    transmit(world, net->node, &packet);
}

static uint32_t send_frames(struct net *base, struct net_frame *frames, uint32_t count)
{
    struct world_net *net = of(base);
    uint32_t room = net->world->options.tx_ring - net->tx_taken;
    uint32_t taken = count < room ? count : room;
    for (uint32_t at = 0; at < taken; at++) {
        send_one(net, &frames[at]);
        free(frames[at].data);
        net->tx_out--;
    }
    net->tx_taken += taken;
    net->counters.tx_refused += count - taken;
    return taken;
}

static bool locate(struct net *base, uint16_t node_id, uint8_t class, struct net_endpoint *endpoint)
{
    struct world_net *net = of(base);
    if (prng_chance(&net->world->prng, net->world->unlocated_permille, 1000)) {
        return false;
    }
    *endpoint = (struct net_endpoint){.ipv4 = NODES_NET + node_id,
                                      .udp_port = (uint16_t)(WORLD_PORT + class),
                                      .local_port = (uint16_t)(WORLD_PORT + net->reactor)};
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
    return of(base)->world->options.frame_bytes;
}

static void counters(struct net *base, struct net_counters *out)
{
    *out = of(base)->counters;
}

static void close_net(struct net *base)
{
}

static const struct net_ops ops = {.name = "world",
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

void world_net_init(struct world_net *net, struct world *world, uint16_t node, uint16_t reactor)
{
    *net = (struct world_net){.net.ops = &ops,
                              .world = world,
                              .node = node,
                              .reactor = reactor,
                              .rx_first = NONE,
                              .rx_last = NONE};
}

void world_net_forget(struct world_net *net)
{
    while (net->rx_first != NONE) {
        uint32_t number = net->rx_first;
        net->rx_first = net->world->packets[number].next;
        free_packet(net->world, number);
    }
    net->rx_count = net->rx_out = net->tx_out = net->tx_taken = 0;
}

void world_net_open(struct world *world)
{
    world->packets = calloc(WORLD_PACKETS_MAX, sizeof(*world->packets));
    world->free_packets = calloc(WORLD_PACKETS_MAX, sizeof(uint32_t));
    world->heap_items = calloc(WORLD_PACKETS_MAX, sizeof(struct heap_item));
    world->heap_positions = calloc(WORLD_PACKETS_MAX, sizeof(uint32_t));
    heap_init(&world->arrivals, world->heap_items, world->heap_positions, WORLD_PACKETS_MAX);
    for (uint32_t number = WORLD_PACKETS_MAX; number > 0; number--) {
        world->free_packets[world->free_packet_count++] = number - 1;
    }
    world->link_min_ns = 5 * WORLD_US;
    world->link_max_ns = 40 * WORLD_US;
}

void world_net_close(struct world *world)
{
    for (uint32_t number = 0; number < WORLD_PACKETS_MAX; number++) {
        free(world->packets[number].data);
    }
    free(world->packets);
    free(world->free_packets);
    free(world->heap_items);
    free(world->heap_positions);
}
