#include "tests/fuzz/seat.h"

#include <rte_ring.h>

#include "drivers/disk_memory/disk_memory.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/memory.h"

#define NODES_NET UINT32_C(0x0A000000)

enum { LOG_ENTRIES = 64, ARENA_ALIGN = 4096 };

static struct seat seat_of_process;

// ------------------------------------------------------------------------------------------------
// the network

static struct seat *of(struct net *net)
{
    return (struct seat *)net;
}

static uint32_t receive(struct net *net, struct net_frame *frames, uint32_t max)
{
    struct seat *seat = of(net);
    uint32_t count = 0;
    while (count < max && seat->rx_count > 0) {
        frames[count++] = seat->rx[seat->rx_first];
        seat->rx_first = (seat->rx_first + 1) % SEAT_RX_MAX;
        seat->rx_count--;
        seat->rx_out++;
    }
    return count;
}

static void release(struct net *net, struct net_frame *frames, uint32_t count)
{
    struct seat *seat = of(net);
    for (uint32_t at = 0; at < count; at++) {
        if (frames[at].cookie != NULL) {
            REQUIRE(seat->rx_out > 0, "a frame is released twice");
            seat->rx_out--;
            free(frames[at].data);
        } else {
            REQUIRE(seat->tx_free_count < SEAT_TX_MAX, "a buffer is released twice");
            seat->tx_free[seat->tx_free_count++] = frames[at].data;
        }
    }
}

// A quarter is kept for peers, as guarantee 5 of the contract says.
static uint32_t acquire(struct net *net, uint16_t link, enum net_use use, struct net_frame *frames,
                        uint32_t count)
{
    struct seat *seat = of(net);
    uint32_t max = use == NET_USE_CLIENT ? seat->tx_buffers / 4 * 3 : seat->tx_buffers;
    uint32_t given = 0;
    while (given < count && SEAT_TX_MAX - seat->tx_free_count < max) {
        frames[given++] = (struct net_frame){.data = seat->tx_free[--seat->tx_free_count],
                                             .capacity = SEAT_FRAME_BYTES};
    }
    return given;
}

static uint32_t send_frames(struct net *net, struct net_frame *frames, uint32_t count)
{
    struct seat *seat = of(net);
    uint32_t taken = count < seat->tx_room ? count : seat->tx_room;
    seat->tx_room -= taken;
    for (uint32_t at = 0; at < taken; at++) {
        REQUIRE(frames[at].bytes <= SEAT_FRAME_BYTES, "a frame of %u bytes", frames[at].bytes);
        seat->tx_frames++;
        if (seat->options.on_frame != NULL) {
            seat->options.on_frame(seat->options.context, &frames[at]);
        }
        seat->tx_free[seat->tx_free_count++] = frames[at].data;
    }
    return taken;
}

static bool locate(struct net *net, uint16_t node_id, uint8_t class, struct net_endpoint *endpoint)
{
    *endpoint = (struct net_endpoint){
        .ipv4 = NODES_NET + node_id, .udp_port = SEAT_PORT, .local_port = SEAT_PORT};
    return true;
}

static void poll_net(struct net *net, uint64_t now_ns)
{
}

static bool link_up(struct net *net, uint16_t link)
{
    return true;
}

static uint32_t frame_bytes(struct net *net, uint16_t link)
{
    return SEAT_FRAME_BYTES;
}

static void counters(struct net *net, struct net_counters *out)
{
    *out = (struct net_counters){0};
}

static void close_net(struct net *net)
{
}

static const struct net_ops net_ops = {.name = "seat",
                                       .receive = receive,
                                       .release = release,
                                       .acquire = acquire,
                                       .send = send_frames,
                                       .locate = locate,
                                       .poll = poll_net,
                                       .link_up = link_up,
                                       .frame_bytes = frame_bytes,
                                       .counters = counters,
                                       .close = close_net};

struct net_endpoint seat_client(uint16_t number)
{
    return (struct net_endpoint){
        .ipv4 = SEAT_CLIENTS_NET + number, .udp_port = 9000, .local_port = SEAT_PORT};
}

void seat_deliver(struct seat *seat, const struct net_endpoint *remote, const void *data,
                  uint32_t bytes)
{
    if (seat->rx_count == SEAT_RX_MAX) {
        return;
    }
    struct net_frame *frame = &seat->rx[(seat->rx_first + seat->rx_count++) % SEAT_RX_MAX];
    *frame = (struct net_frame){.data = malloc(bytes),
                                .bytes = bytes,
                                .capacity = bytes,
                                .remote = *remote,
                                .cookie = seat};
    memcpy(frame->data, data, bytes);
}

static void forget_frames(struct seat *seat)
{
    for (; seat->rx_count > 0; seat->rx_count--) {
        free(seat->rx[seat->rx_first].data);
        seat->rx_first = (seat->rx_first + 1) % SEAT_RX_MAX;
    }
}

// ------------------------------------------------------------------------------------------------
// time, and the reactor's life

static uint64_t now(struct clock *clock)
{
    return seat_of_process.now_ns;
}

void seat_poll(struct seat *seat)
{
    if (seat->reactor == NULL) {
        return;
    }
    uint64_t deadline_ns;
    seat->now_ns += seat->options.poll_ns;
    memory_count(true);
    reactor_poll(seat->reactor, &deadline_ns);
    memory_count(false);
    seat->tx_room = SEAT_TX_MAX;
    REQUIRE(seat->rx_out == 0, "%u received frames are kept", seat->rx_out);
}

void seat_pass(struct seat *seat, uint32_t milliseconds)
{
    for (; milliseconds > 0; milliseconds--) {
        seat->now_ns += WORLD_MS;
        seat_poll(seat);
    }
}

static struct reactor_config settings(struct seat *seat)
{
    const struct seat_options *options = &seat->options;
    struct reactor_config config = {.cluster = SEAT_CLUSTER,
                                    .node = options->node,
                                    .node_count = options->nodes,
                                    .reactors = 1,
                                    .groups_total = options->groups,
                                    .order = options->order,
                                    .election_timeout_min_ns = 50 * WORLD_MS,
                                    .election_timeout_max_ns = 100 * WORLD_MS,
                                    .heartbeat_ns = 5 * WORLD_MS,
                                    .log_entries = LOG_ENTRIES,
                                    .window_entries = 16,
                                    .window_bytes = 64 << 10,
                                    .session_pages = 3,
                                    .sessions_max = 4,
                                    .app_bytes_max = 64 << 10,
                                    .checkpoint_bytes = SEAT_LOG_BYTES / 8,
                                    .sizes = {.payload_bytes_max = SEAT_PAYLOAD_BYTES_MAX,
                                              .assembly_buffers = 2,
                                              .reads = 8,
                                              .apply_jobs = 4,
                                              .mailbox_slots = 2},
                                    .seed = 7,
                                    .wal = {.log_bytes = SEAT_LOG_BYTES,
                                            .segment_bytes = SEAT_SEGMENT_BYTES,
                                            .batch_bytes_max = 16 << 10,
                                            .in_flight_max = 4,
                                            .durable_mark_delay_ns = WORLD_MS,
                                            .nonce = 77,
                                            .is_volatile = options->is_volatile,
                                            .bootstrap = !seat->was_started,
                                            .arena = seat->arena},
                                    .net = &seat->net,
                                    .disk = &seat->disk.disk,
                                    .checkpoint_disk =
                                        options->is_volatile ? NULL : &seat->checkpoint_disk.disk,
                                    .clock = &seat->clock,
                                    .app_open = options->app_open,
                                    .context = options->context};
    for (uint32_t at = 0; at < options->nodes; at++) {
        config.nodes[at] = (uint16_t)(at + 1);
    }
    return config;
}

int seat_start(struct seat *seat, char *reason, size_t reason_bytes)
{
    const struct reactor_config config = settings(seat);
    world_disk_revive(&seat->disk);
    world_disk_revive(&seat->checkpoint_disk);
    seat->tx_room = seat->tx_buffers = SEAT_TX_MAX;
    int error = reactor_open(&config, &seat->reactor, reason, reason_bytes);
    seat->was_started |= error == 0;
    return error;
}

void seat_crash(struct seat *seat, uint64_t seed, uint32_t keep_percent, bool is_power)
{
    world_disk_die(&seat->disk, seed, keep_percent, is_power);
    world_disk_die(&seat->checkpoint_disk, seed + 1, keep_percent, is_power);
    forget_frames(seat);
    if (seat->reactor == NULL) {
        return;
    }
    reactor_close(seat->reactor);
    seat->reactor = NULL;
    REQUIRE(seat->tx_free_count == SEAT_TX_MAX, "%u buffers leaked",
            SEAT_TX_MAX - seat->tx_free_count);
}

static void print_assertion(const char *file, int line, const char *expression, uint64_t left,
                            uint64_t right)
{
    fprintf(stderr, "%s:%d: assertion %s failed: %" PRIu64 ", %" PRIu64 "\n", file, line,
            expression, left, right);
}

struct seat *seat_open(const struct seat_options *options)
{
    struct seat *seat = &seat_of_process;
    if (seat->arena == NULL) {
        assert_set_handler(print_assertion);
        seat->arena = aligned_alloc(ARENA_ALIGN, SEAT_LOG_BYTES);
        for (; seat->tx_free_count < SEAT_TX_MAX; seat->tx_free_count++) {
            seat->tx_free[seat->tx_free_count] = malloc(SEAT_FRAME_BYTES);
        }
        REQUIRE(seat->arena != NULL, "memory");
        seat->net.ops = &net_ops;
        seat->clock.now_ns = now;
    }
    seat->options = *options;
    seat->now_ns = WORLD_S;
    seat->was_started = false;
    seat->tx_frames = 0;
    world_disk_open(&seat->disk, options->disk_seed, options->disk_polls);
    world_disk_open(&seat->checkpoint_disk, options->disk_seed, options->disk_polls);
    char reason[256];
    int error = seat_start(seat, reason, sizeof(reason));
    REQUIRE(error == 0, "%s", reason);
    return seat;
}

void seat_close(struct seat *seat)
{
    seat_crash(seat, 0, 0, true);
    world_disk_close(&seat->disk);
    world_disk_close(&seat->checkpoint_disk);
}

// ------------------------------------------------------------------------------------------------
// leaks

void seat_check_leaks(const struct seat *seat)
{
    const struct reactor *reactor = seat->reactor;
    uint32_t out = SEAT_TX_MAX - seat->tx_free_count;
    REQUIRE(out == 0 && reactor->outbox.pending_count == 0, "%u buffers are out", out);
    REQUIRE(reactor->outbox.frames_of[0] + reactor->outbox.frames_of[1] == 0, "frames are counted");
    REQUIRE(reactor->free_job_count == reactor->config.sizes.apply_jobs, "%u jobs are free",
            reactor->free_job_count);
    REQUIRE(reactor->reads_waiting == 0 && !reactor->is_answering, "%u reads wait",
            reactor->reads_waiting);
    for (uint32_t slot = 0; slot < reactor->group_count; slot++) {
        const struct group *group = &reactor->groups[slot];
        for (uint32_t at = 0; at < LOG_ENTRIES && !group->is_halted; at++) {
            REQUIRE(group->origins[at].slot == 0, "group %u: an origin waits", group->id);
        }
    }
}
