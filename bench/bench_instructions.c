// Instructions an entry costs at the leader and at a follower: three reactors in one process and a
// scripted client, to be run under `valgrind --tool=callgrind --toggle-collect=leader_turn` (or
// follower_turn). Everything is deterministic: twice the entries minus once the entries is what
// those entries cost, start and elections excluded (instructions.sh does the subtraction).
//
// What is counted is the production reactor with core, codec, volatile log and the null state
// machine. The network hands buffers over without copying: a driver's own cost is not in it.
//
//     client ──▶ leader ──▶ followers ──▶ leader ──▶ client      one turn; 10 µs of the false clock
#include "bench/harness/options.h"
#include "bench/report/result.h"
#include "drivers/app_null/app_null.h"
#include "drivers/disk_memory/disk_memory.h"
#include "engine/base/assert.h"
#include "engine/reactor/reactor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    NODES = 3,
    CLIENT = NODES, // the client's port: behind those of the nodes
    PORTS = NODES + 1,
    QUEUE = 512, // frames waiting at a port; more are lost
    BUFFERS = 4096,
    FRAME_BYTES = 8960,
    CLUSTER = 7,
    PAYLOAD_BYTES_MAX = 4096,
    TURN_NS = 10000,
    START_TURNS_MAX = 200000,
    LOG_BYTES = 64 << 20,
    ADDRESS = 0x0A000001 // of the first port; the others follow
};

// A reactor's view of the network: a queue of what has arrived.
struct port {
    struct net net; // first
    struct world *world;
    uint32_t number;
    uint32_t count;
    struct net_frame queue[QUEUE];
};

struct world {
    struct clock clock; // first
    uint64_t now_ns;
    struct port ports[PORTS];
    uint8_t (*buffers)[FRAME_BYTES];
    uint8_t *free_buffers[BUFFERS];
    uint32_t free_count;
    struct reactor *reactors[NODES];
    uint32_t leader; // NODES: none yet

    uint64_t bytes, entries, frames; // of a payload; in all; the client sends in a turn at most
    uint64_t batch;                  // entries of such a frame, at most
    uint64_t keys;                   // commands name one of so many in turn; 0: none
    uint64_t lose;                   // every so many-th frame between nodes is lost; 0: none
    uint64_t between_nodes;          // such frames, since the client is registered
    bool is_parallel;
    uint64_t session, proposed, answered;
    uint8_t payloads[WIRE_ENTRIES_MAX][PAYLOAD_BYTES_MAX];
    struct wire_scratch scratch;
};

// ------------------------------------------------------------------------------------------
// network

static struct port *port_of(struct net *net)
{
    return (struct port *)net;
}

static uint32_t net_receive(struct net *net, struct net_frame *frames, uint32_t max)
{
    struct port *port = port_of(net);
    uint32_t count = port->count < max ? port->count : max;
    memcpy(frames, port->queue, count * sizeof(*frames));
    port->count -= count;
    memmove(port->queue, port->queue + count, port->count * sizeof(*frames));
    return count;
}

static void net_release(struct net *net, struct net_frame *frames, uint32_t count)
{
    struct world *world = port_of(net)->world;
    for (uint32_t at = 0; at < count; at++) {
        world->free_buffers[world->free_count++] = frames[at].data;
    }
}

static uint32_t net_acquire(struct net *net, uint16_t link, enum net_use use,
                            struct net_frame *frames, uint32_t count)
{
    struct world *world = port_of(net)->world;
    uint32_t at = 0;
    for (; at < count && world->free_count > 0; at++) {
        frames[at].data = world->free_buffers[--world->free_count];
        frames[at].capacity = FRAME_BYTES;
    }
    return at;
}

static bool is_lost(struct world *world, const struct port *from, const struct port *to)
{
    if (from->number == CLIENT || to->number == CLIENT || world->session == 0) {
        return false;
    }
    world->between_nodes++;
    return world->lose != 0 && world->between_nodes % world->lose == 0;
}

static uint32_t net_send(struct net *net, struct net_frame *frames, uint32_t count)
{
    struct world *world = port_of(net)->world;
    for (uint32_t at = 0; at < count; at++) {
        struct port *to = &world->ports[frames[at].remote.ipv4 - ADDRESS];
        if (to->count == QUEUE || is_lost(world, port_of(net), to)) {
            net_release(net, &frames[at], 1);
            continue;
        }
        struct net_frame *frame = &to->queue[to->count++];
        *frame = frames[at];
        frame->remote = (struct net_endpoint){.ipv4 = ADDRESS + port_of(net)->number};
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
    return FRAME_BYTES;
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
    return ((struct world *)(void *)clock)->now_ns;
}

// ------------------------------------------------------------------------------------------- nodes

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "bench_instructions: %s\n", what);
    exit(1);
}

static int open_app(void *context, uint16_t group, struct app **app, char *reason,
                    size_t reason_bytes)
{
    const struct app_null_config config = {.check_payload = false};
    return app_null_open(&config, app, reason, reason_bytes);
}

static void on_role_change(void *context, uint16_t group, enum raft_role role, uint64_t term,
                           uint16_t leader)
{
    struct world *world = context;
    if (role == RAFT_LEADER) {
        world->leader = leader - UINT32_C(1);
    }
}

static void open_node(struct world *world, uint32_t place)
{
    const struct disk_memory_options options = {.seed = 1};
    struct reactor_config config = {.cluster = CLUSTER,
                                    .node = (uint16_t)(place + 1),
                                    .nodes = {1, 2, 3},
                                    .node_count = NODES,
                                    .reactors = 1,
                                    .groups_total = 1,
                                    .order = world->is_parallel ? RAFT_ORDER_PARALLEL
                                                                : RAFT_ORDER_STRICT,
                                    .election_timeout_min_ns = 150000000,
                                    .election_timeout_max_ns = 300000000,
                                    .heartbeat_ns = 30000000,
                                    .log_entries = 1 << 16,
                                    .window_entries = 65536,
                                    .window_bytes = 32 << 20,
                                    .session_pages = 1024,
                                    .sessions_max = 16,
                                    .app_bytes_max = 1 << 20,
                                    .seed = 1 + place,
                                    .wal = {.log_bytes = LOG_BYTES,
                                            .segment_bytes = 4 << 20,
                                            .batch_bytes_max = 1 << 20,
                                            .in_flight_max = 16,
                                            .is_volatile = true,
                                            .bootstrap = true},
                                    .net = &world->ports[place].net,
                                    .clock = &world->clock,
                                    .app_open = open_app,
                                    .role_change = on_role_change,
                                    .context = world};
    char reason[512] = "memory";
    config.wal.arena =
        mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (config.wal.arena == MAP_FAILED || disk_memory_open(&config.disk, &options) != 0 ||
        reactor_open(&config, &world->reactors[place], reason, sizeof(reason)) != 0) {
        give_up(reason);
    }
}

// What callgrind is told to count; never inlined, so that it finds them by name.
void leader_turn(struct reactor *reactor);
void follower_turn(struct reactor *reactor);

__attribute__((noinline, used)) void leader_turn(struct reactor *reactor)
{
    reactor_poll(reactor, NULL);
}

__attribute__((noinline, used)) void follower_turn(struct reactor *reactor)
{
    reactor_poll(reactor, NULL);
}

// Only one follower goes through follower_turn: the other does the same.
static void poll_followers(struct world *world)
{
    uint32_t counted = world->leader == 0 ? 1 : 0;
    for (uint32_t place = 0; place < NODES; place++) {
        if (place == counted) {
            follower_turn(world->reactors[place]);
        } else if (place != world->leader) {
            reactor_poll(world->reactors[place], NULL);
        }
    }
}

// ------------------------------------------------------------------------------------------ client

static bool begin_frame(struct world *world, struct net_frame *frame, struct wire_writer *writer)
{
    const struct wire_envelope envelope = {.cluster = CLUSTER,
                                           .destination = (uint16_t)(world->leader + 1)};
    struct net *net = &world->ports[CLIENT].net;
    if (net_acquire(net, 0, NET_USE_CLIENT, frame, 1) == 0) {
        return false;
    }
    frame->remote = (struct net_endpoint){.ipv4 = ADDRESS + world->leader};
    wire_begin(writer, frame->data, frame->capacity, &envelope);
    return true;
}

static void send_frame(struct world *world, struct net_frame *frame, struct wire_writer *writer)
{
    frame->bytes = wire_seal(writer);
    net_send(&world->ports[CLIENT].net, frame, 1);
}

static void send_register(struct world *world)
{
    struct raft_entry_head head = {.client = 42, .sequence = 65536, .kind = RAFT_ENTRY_REGISTER};
    const void *payload = NULL;
    struct net_frame frame;
    struct wire_writer writer;
    head.crc = raft_entry_crc(&head, NULL);
    if (begin_frame(world, &frame, &writer)) {
        wire_put_propose(&writer, 0, &head, &payload, 1);
        send_frame(world, &frame, &writer);
    }
}

static void send_commands(struct world *world)
{
    struct raft_entry_head heads[WIRE_ENTRIES_MAX];
    const void *payloads[WIRE_ENTRIES_MAX];
    struct net_frame frame;
    struct wire_writer writer;
    for (uint64_t at = 0; at < world->frames && world->proposed < world->entries; at++) {
        uint64_t left = world->entries - world->proposed;
        uint32_t count = left < world->batch ? (uint32_t)left : (uint32_t)world->batch;
        for (uint32_t i = 0; i < count; i++) {
            heads[i] = (struct raft_entry_head){.client = world->session,
                                                .sequence = world->proposed + 1 + i,
                                                .bytes = (uint32_t)world->bytes,
                                                .kind = RAFT_ENTRY_COMMAND};
            if (world->keys != 0) {
                app_null_name_key(world->payloads[i], (world->proposed + i) % world->keys);
            }
            heads[i].crc = raft_entry_crc(&heads[i], world->payloads[i]);
            payloads[i] = world->payloads[i];
        }
        if (!begin_frame(world, &frame, &writer)) {
            return;
        }
        world->proposed += wire_put_propose(&writer, 0, heads, payloads, count);
        send_frame(world, &frame, &writer);
    }
}

static void take_answer(struct world *world, const struct wire_message *message)
{
    if (message->type == WIRE_REGISTER_REPLY && message->register_reply.status == WIRE_DONE) {
        world->session = message->register_reply.session;
    }
    for (uint32_t i = 0; message->type == WIRE_PROPOSE_REPLY && i < message->propose_reply.count;
         i++) {
        if (message->propose_reply.results[i].status != WIRE_DONE) {
            give_up("a command was refused");
        }
        world->answered++;
    }
}

static void take_answers(struct world *world)
{
    const struct wire_filter filter = {
        .cluster = CLUSTER, .self = WIRE_CLIENT, .peers = (1 << NODES) - 1, .groups = 1};
    struct net *net = &world->ports[CLIENT].net;
    struct net_frame frame;
    while (net_receive(net, &frame, 1) == 1) {
        struct wire_reader reader;
        struct wire_message message;
        if (wire_open(&reader, &filter, frame.data, frame.bytes, &world->scratch) == WIRE_OK) {
            while (wire_next(&reader, &filter, &message) == WIRE_OK) {
                take_answer(world, &message);
            }
        }
        net_release(net, &frame, 1);
    }
}

// ------------------------------------------------------------------------------------------ script

static void open_world(struct world *world)
{
    world->clock.now_ns = clock_read;
    world->now_ns = 1000000;
    world->leader = NODES;
    world->buffers = calloc(BUFFERS, sizeof(*world->buffers));
    if (world->buffers == NULL) {
        give_up("memory");
    }
    for (uint32_t at = 0; at < BUFFERS; at++) {
        world->free_buffers[world->free_count++] = world->buffers[at];
    }
    for (uint32_t number = 0; number < PORTS; number++) {
        world->ports[number].net.ops = &net_ops;
        world->ports[number].world = world;
        world->ports[number].number = number;
    }
    for (uint32_t place = 0; place < NODES; place++) {
        open_node(world, place);
    }
}

static void elect_and_register(struct world *world)
{
    for (uint32_t turn = 0; turn < START_TURNS_MAX && world->session == 0; turn++) {
        world->now_ns += TURN_NS;
        for (uint32_t place = 0; place < NODES; place++) {
            reactor_poll(world->reactors[place], NULL);
        }
        take_answers(world);
        if (world->leader < NODES && turn % 100 == 0) {
            send_register(world);
        }
    }
    if (world->session == 0) {
        give_up("no leader, or no session");
    }
}

static uint64_t run(struct world *world)
{
    uint64_t turns = 0;
    for (; world->answered < world->entries; turns++) {
        world->now_ns += TURN_NS;
        send_commands(world);
        leader_turn(world->reactors[world->leader]);
        poll_followers(world);
        leader_turn(world->reactors[world->leader]);
        take_answers(world);
        if (turns > world->entries + 1000) {
            give_up("answers stay away");
        }
    }
    return turns;
}

int main(int argc, char **argv)
{
    static struct world world = {
        .bytes = 64, .entries = 20000, .frames = 8, .batch = WIRE_ENTRIES_MAX};
    const char *json_path = NULL, *order = "strict";
    const struct option_row rows[] = {
        {"entries", OPTION_NUMBER, &world.entries, 1, 100000000, NULL, "committed and applied"},
        {"bytes", OPTION_NUMBER, &world.bytes, 0, PAYLOAD_BYTES_MAX, NULL, "payload of an entry"},
        {"frames", OPTION_NUMBER, &world.frames, 1, 32, NULL, "the client sends in a turn"},
        {"batch", OPTION_NUMBER, &world.batch, 1, WIRE_ENTRIES_MAX, NULL,
         "entries of such a frame at most"},
        {"order", OPTION_TEXT, &order, 0, 0, NULL, "strict or parallel"},
        {"keys", OPTION_NUMBER, &world.keys, 0, 1000000, NULL, "that commands name; 0: none"},
        {"lose", OPTION_NUMBER, &world.lose, 0, 1000000, NULL,
         "every so many-th frame between nodes is lost; 0: none"},
        {"json", OPTION_TEXT, &json_path, 0, 0, NULL, "file for the result as JSON"},
    };
    options_parse(rows, sizeof(rows) / sizeof(rows[0]),
                  "a scripted run of three reactors, for callgrind", argc, argv);
    world.is_parallel = strcmp(order, "parallel") == 0;
    if ((!world.is_parallel && strcmp(order, "strict") != 0) ||
        (world.keys != 0 && world.bytes < APP_NULL_KEYED_BYTES)) {
        give_up("--order is strict or parallel, and --keys needs 16 bytes");
    }
    open_world(&world);
    elect_and_register(&world);
    uint64_t turns = run(&world);
    struct reactor_counters leader;
    reactor_counters(world.reactors[world.leader], &leader);
    struct result result;
    result_init(&result, argc, argv);
    result_add_count(&result, "bytes", world.bytes);
    result_add_count(&result, "entries", world.entries);
    result_add_text(&result, "order", order);
    result_add_count(&result, "turns", turns);
    result_add_count(&result, "frames_between_nodes", world.between_nodes);
    result_add_count(&result, "leader_applied", leader.applied);
    result_add_count(&result, "leader_entries_out", leader.entries_out);
    return result_finish(&result, NULL, json_path, NULL);
}
