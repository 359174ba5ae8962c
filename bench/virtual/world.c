#include "bench/virtual/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "drivers/app_null/app_null.h"
#include "drivers/disk_memory/disk_memory.h"

enum {
    CLUSTER = 7,
    START_TURNS_MAX = 200000,
    LOG_BYTES = 64 << 20,
    ONE_ENTRY_BYTES = 4096, // a batch is written when it has reached this
    ADDRESS = 0x0A000001    // of the first port; the others follow
};

_Noreturn void virtual_give_up(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

// ------------------------------------------------------------------------------------------
// network

static struct virtual_port *port_of(struct net *net)
{
    return (struct virtual_port *)net;
}

static uint32_t net_receive(struct net *net, struct net_frame *frames, uint32_t max)
{
    struct virtual_port *port = port_of(net);
    uint32_t count = 0;
    for (; count < port->count && count < max && port->queue[count].due_ns <= port->world->now_ns;
         count++) {
        frames[count] = port->queue[count].frame;
    }
    if (count > 0) {
        port->count -= count;
        memmove(port->queue, port->queue + count, port->count * sizeof(port->queue[0]));
    }
    return count;
}

static void net_release(struct net *net, struct net_frame *frames, uint32_t count)
{
    struct virtual_world *world = port_of(net)->world;
    for (uint32_t at = 0; at < count; at++) {
        world->free_buffers[world->free_count++] = frames[at].data;
    }
}

static uint32_t frame_bytes_of(const struct virtual_port *port)
{
    return port->number == VIRTUAL_CLIENT ? VIRTUAL_FRAME_BYTES : port->world->options.frame_bytes;
}

static uint32_t net_acquire(struct net *net, uint16_t link, enum net_use use,
                            struct net_frame *frames, uint32_t count)
{
    struct virtual_world *world = port_of(net)->world;
    uint32_t at = 0;
    for (; at < count && world->free_count > 0; at++) {
        frames[at].data = world->free_buffers[--world->free_count];
        frames[at].capacity = frame_bytes_of(port_of(net));
    }
    return at;
}

static bool is_lost(struct virtual_world *world)
{
    const struct virtual_options *options = &world->options;
    if (world->session == 0) {
        return false;
    }
    world->between_nodes++;
    return (options->lose_every != 0 && world->between_nodes % options->lose_every == 0) ||
           (options->loss_ppm != 0 && prng_below(&world->prng, 1000000) < options->loss_ppm);
}

static void arrive(struct virtual_port *to, const struct net_frame *frame, uint16_t from,
                   uint64_t due_ns)
{
    uint32_t at = to->count++;
    for (; at > 0 && to->queue[at - 1].due_ns > due_ns; at--) {
        to->queue[at] = to->queue[at - 1];
    }
    to->queue[at] = (struct virtual_frame){.frame = *frame, .due_ns = due_ns};
    to->queue[at].frame.remote = (struct net_endpoint){.ipv4 = ADDRESS + UINT32_C(0) + from};
}

static uint32_t net_send(struct net *net, struct net_frame *frames, uint32_t count)
{
    struct virtual_world *world = port_of(net)->world;
    uint32_t from = port_of(net)->number;
    for (uint32_t at = 0; at < count; at++) {
        struct virtual_port *to = &world->ports[frames[at].remote.ipv4 - ADDRESS];
        bool is_between_nodes = from != VIRTUAL_CLIENT && to->number != VIRTUAL_CLIENT;
        if (to->count == VIRTUAL_QUEUE || (is_between_nodes && is_lost(world))) {
            net_release(net, &frames[at], 1);
        } else {
            arrive(to, &frames[at], (uint16_t)from,
                   world->now_ns + (is_between_nodes ? world->options.delay_ns : 0));
        }
    }
    return count;
}

static bool net_locate(struct net *net, uint16_t node, uint8_t class, struct net_endpoint *endpoint)
{
    *endpoint = (struct net_endpoint){.ipv4 = ADDRESS + node - UINT32_C(1)};
    return true;
}

static void net_poll(struct net *net, uint64_t now_ns)
{
}

static bool net_link_up(struct net *net, uint16_t link)
{
    return true;
}

static uint32_t net_frame_bytes(struct net *net, uint16_t link)
{
    return frame_bytes_of(port_of(net));
}

static void net_counters(struct net *net, struct net_counters *out)
{
    *out = (struct net_counters){0};
}

static void net_close(struct net *net)
{
}

static const struct net_ops net_ops = {.name = "memory",
                                       .receive = net_receive,
                                       .release = net_release,
                                       .acquire = net_acquire,
                                       .send = net_send,
                                       .locate = net_locate,
                                       .poll = net_poll,
                                       .link_up = net_link_up,
                                       .frame_bytes = net_frame_bytes,
                                       .counters = net_counters,
                                       .close = net_close};

static uint64_t clock_read(struct clock *clock)
{
    return ((struct virtual_world *)(void *)clock)->now_ns;
}

// ------------------------------------------------------------------------------------------- nodes

static int open_app(void *context, uint16_t group, struct app **app, char *reason,
                    size_t reason_bytes)
{
    const struct app_null_config config = {.check_payload = false};
    return app_null_open(&config, app, reason, reason_bytes);
}

static void on_role_change(void *context, uint16_t group, enum raft_role role, uint64_t term,
                           uint16_t leader)
{
    struct virtual_world *world = context;
    if (role == RAFT_LEADER) {
        world->leader = leader - UINT32_C(1);
    }
}

static void open_node(struct virtual_world *world, uint32_t place)
{
    uint32_t disk_polls = world->options.disk_polls;
    const struct disk_memory_options options = {
        .seed = world->options.seed + place, .delay_polls_max = disk_polls, .reorder = true};
    struct reactor_config config = {
        .cluster = CLUSTER,
        .node = (uint16_t)(place + 1),
        .nodes = {1, 2, 3},
        .node_count = VIRTUAL_NODES,
        .reactors = 1,
        .groups_total = 1,
        .order = world->options.order,
        .look_behind = world->options.look_behind,
        .election_timeout_min_ns = 150000000,
        .election_timeout_max_ns = 300000000,
        .heartbeat_ns = 30000000,
        .log_entries = 1 << 16,
        .window_entries = 65536,
        .window_bytes = 32 << 20,
        .session_pages = 1024,
        .sessions_max = 16,
        .app_bytes_max = 1 << 20,
        .seed = world->options.seed + place,
        .wal = {.log_bytes = LOG_BYTES,
                .segment_bytes = 4 << 20,
                .batch_bytes_max = disk_polls == 0 ? 1 << 20 : ONE_ENTRY_BYTES,
                .in_flight_max = disk_polls == 0 ? 16 : 32,
                .durable_mark_delay_ns = 1000000,
                .nonce = 1 + place,
                .is_volatile = disk_polls == 0,
                .bootstrap = true},
        .net = &world->ports[place].net,
        .clock = &world->clock,
        .app_open = open_app,
        .role_change = on_role_change,
        .context = world};
    char reason[512] = "memory";
    config.wal.arena = world->arenas[place] =
        mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (config.wal.arena == MAP_FAILED || disk_memory_open(&world->disks[place], &options) != 0 ||
        disk_memory_open(&world->checkpoint_disks[place], &options) != 0) {
        virtual_give_up(reason);
    }
    config.disk = world->disks[place];
    config.checkpoint_disk = disk_polls == 0 ? NULL : world->checkpoint_disks[place];
    config.checkpoint_bytes = LOG_BYTES / 4;
    if (reactor_open(&config, &world->reactors[place], reason, sizeof(reason)) != 0) {
        virtual_give_up(reason);
    }
}

void virtual_open(struct virtual_world *world, const struct virtual_options *options)
{
    memset(world, 0, sizeof(*world));
    world->options = *options;
    world->clock.now_ns = clock_read;
    world->now_ns = 1000000;
    world->leader = VIRTUAL_NODES;
    world->buffers = calloc(VIRTUAL_BUFFERS, sizeof(*world->buffers));
    if (world->buffers == NULL) {
        virtual_give_up("memory");
    }
    prng_init(&world->prng, options->seed);
    for (uint32_t at = 0; at < VIRTUAL_BUFFERS; at++) {
        world->free_buffers[world->free_count++] = world->buffers[at];
    }
    for (uint32_t number = 0; number < VIRTUAL_PORTS; number++) {
        world->ports[number].net.ops = &net_ops;
        world->ports[number].world = world;
        world->ports[number].number = number;
    }
    for (uint32_t place = 0; place < VIRTUAL_NODES; place++) {
        open_node(world, place);
    }
}

void virtual_close(struct virtual_world *world)
{
    for (uint32_t place = 0; place < VIRTUAL_NODES; place++) {
        reactor_close(world->reactors[place]);
        world->disks[place]->ops->close(world->disks[place]);
        world->checkpoint_disks[place]->ops->close(world->checkpoint_disks[place]);
        munmap(world->arenas[place], LOG_BYTES);
    }
    free(world->buffers);
}

// ------------------------------------------------------------------------------------------ client

static bool begin_frame(struct virtual_world *world, struct net_frame *frame,
                        struct wire_writer *writer)
{
    const struct wire_envelope envelope = {.cluster = CLUSTER,
                                           .destination = (uint16_t)(world->leader + 1)};
    struct net *net = &world->ports[VIRTUAL_CLIENT].net;
    if (net_acquire(net, 0, NET_USE_CLIENT, frame, 1) == 0) {
        return false;
    }
    frame->remote = (struct net_endpoint){.ipv4 = ADDRESS + world->leader};
    wire_begin(writer, frame->data, frame->capacity, &envelope);
    return true;
}

static void send_frame(struct virtual_world *world, struct net_frame *frame,
                       struct wire_writer *writer)
{
    frame->bytes = wire_seal(writer);
    net_send(&world->ports[VIRTUAL_CLIENT].net, frame, 1);
}

uint32_t virtual_propose(struct virtual_world *world, const struct raft_entry_head *heads,
                         const void *const *payloads, uint32_t count)
{
    struct net_frame frame;
    struct wire_writer writer;
    if (!begin_frame(world, &frame, &writer)) {
        return 0;
    }
    uint32_t put = wire_put_propose(&writer, 0, heads, payloads, count);
    send_frame(world, &frame, &writer);
    return put;
}

static void take_answer(struct virtual_world *world, const struct wire_message *message,
                        virtual_answered answered, void *context)
{
    if (message->type == WIRE_REGISTER_REPLY && message->register_reply.status == WIRE_DONE) {
        world->session = message->register_reply.session;
    }
    for (uint32_t i = 0; message->type == WIRE_PROPOSE_REPLY && i < message->propose_reply.count;
         i++) {
        answered(context, &message->propose_reply.results[i]);
    }
}

void virtual_take_answers(struct virtual_world *world, virtual_answered answered, void *context)
{
    const struct wire_filter filter = {
        .cluster = CLUSTER, .self = WIRE_CLIENT, .peers = (1 << VIRTUAL_NODES) - 1, .groups = 1};
    struct net *net = &world->ports[VIRTUAL_CLIENT].net;
    struct net_frame frame;
    while (net_receive(net, &frame, 1) == 1) {
        struct wire_reader reader;
        struct wire_message message;
        if (wire_open(&reader, &filter, frame.data, frame.bytes, &world->scratch) == WIRE_OK) {
            while (wire_next(&reader, &filter, &message) == WIRE_OK) {
                take_answer(world, &message, answered, context);
            }
        }
        net_release(net, &frame, 1);
    }
}

static void send_register(struct virtual_world *world)
{
    struct raft_entry_head head = {.client = 42, .sequence = 65536, .kind = RAFT_ENTRY_REGISTER};
    const void *payload = NULL;
    head.crc = raft_entry_crc(&head, NULL);
    virtual_propose(world, &head, &payload, 1);
}

void virtual_begin(struct virtual_world *world)
{
    for (uint32_t turn = 0; turn < START_TURNS_MAX && world->session == 0; turn++) {
        world->now_ns += VIRTUAL_TURN_NS;
        for (uint32_t place = 0; place < VIRTUAL_NODES; place++) {
            reactor_poll(world->reactors[place], NULL);
        }
        virtual_take_answers(world, NULL, NULL);
        if (world->leader < VIRTUAL_NODES && turn % 100 == 0) {
            send_register(world);
        }
    }
    if (world->session == 0) {
        virtual_give_up("no leader, or no session");
    }
}
