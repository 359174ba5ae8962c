// The life of nodes: their clocks, how they start, crash and stop, and when their loops run.
#include <errno.h>
#include <string.h>

#include "engine/wal/wal_state.h"
#include "tests/sim/sim.h"

#define IDLE_POLL_NS SIM_MS // a loop that nothing wakes still looks around this often

static void sooner(struct sim *sim, uint32_t event, uint64_t at_ns)
{
    uint32_t position = sim->events.positions[event];
    if (position == HEAP_NONE || sim->events.items[position].deadline_ns > at_ns) {
        sim_at(sim, event, at_ns);
    }
}

// ------------------------------------------------------------------------------------------------
// clocks

uint64_t sim_clock_now(const struct sim_clock *clock)
{
    uint64_t passed_ns = clock->sim->now_ns - clock->from_ns;
    uint64_t drift_ppm = (uint64_t)(1000000 + clock->drift_ppm);
    return clock->base_ns + passed_ns / 1000000 * drift_ppm +
           passed_ns % 1000000 * drift_ppm / 1000000;
}

static uint64_t clock_now(struct clock *clock)
{
    return sim_clock_now((struct sim_clock *)clock);
}

void sim_clock_open(struct sim_clock *clock, struct sim *sim, uint64_t base_ns)
{
    *clock = (struct sim_clock){.clock.now_ns = clock_now, .sim = sim, .base_ns = base_ns};
}

void sim_clock_set(struct sim_clock *clock, int32_t drift_ppm, uint64_t jump_ns)
{
    clock->base_ns = sim_clock_now(clock) + jump_ns;
    clock->from_ns = clock->sim->now_ns;
    clock->drift_ppm = drift_ppm;
}

// When a node's clock will show a time; late rather than early.
static uint64_t world_time(const struct sim_clock *clock, uint64_t local_ns)
{
    uint64_t now_ns = sim_clock_now(clock);
    uint64_t wait_ns = local_ns <= now_ns ? 0 : local_ns - now_ns;
    wait_ns = wait_ns < SIM_S ? wait_ns : SIM_S;
    return clock->sim->now_ns + wait_ns + wait_ns / 16;
}

// ------------------------------------------------------------------------------------------------
// nodes

static int open_app(void *context, uint16_t group, struct app **app, char *reason,
                    size_t reason_bytes)
{
    struct sim_seat *seat = context;
    return sim_app_open(seat->node->sim, seat->node->id, group, app);
}

static struct reactor_config settings(struct sim_seat *seat)
{
    struct sim_node *node = seat->node;
    struct sim *sim = node->sim;
    const struct sim_options *options = &sim->options;
    uint64_t seed = prng_next(&sim->prng), nonce = prng_next(&sim->prng) | 1;
    struct reactor_config config = {.cluster = options->seed | 1,
                                    .node = node->id,
                                    .node_count = options->nodes,
                                    .reactor = seat->which,
                                    .reactors = (uint16_t)options->reactors,
                                    .groups_total = options->groups,
                                    .order = options->order,
                                    .look_behind = options->look_behind,
                                    .election_timeout_min_ns = options->election_min_ns,
                                    .election_timeout_max_ns = options->election_max_ns,
                                    .heartbeat_ns = options->heartbeat_ns,
                                    .log_entries = options->log_entries,
                                    .window_entries = options->window_entries,
                                    .window_bytes = options->window_bytes,
                                    .session_pages = options->session_pages,
                                    .sessions_max = options->sessions_max,
                                    .app_bytes_max = UINT64_C(2) << 20,
                                    .checkpoint_bytes = options->checkpoint_bytes,
                                    .apply_workers = options->workers,
                                    .sizes = options->sizes,
                                    .seed = seed,
                                    .wal = {.log_bytes = options->log_bytes,
                                            .segment_bytes = options->segment_bytes,
                                            .batch_bytes_max = options->batch_bytes,
                                            .in_flight_max = options->batches_in_flight,
                                            .durable_mark_delay_ns = SIM_MS,
                                            .nonce = nonce,
                                            .is_volatile = options->is_volatile,
                                            .bootstrap = !node->has_started,
                                            .arena = seat->arena},
                                    .net = &seat->net.net,
                                    .disk = &seat->disk.disk,
                                    .checkpoint_disk =
                                        options->is_volatile ? NULL : &seat->checkpoint_disk.disk,
                                    .clock = &node->clock.clock,
                                    .app_open = open_app,
                                    .context = seat};
    for (uint32_t at = 0; at < options->nodes; at++) {
        config.nodes[at] = (uint16_t)(at + 1);
    }
    return config;
}

struct sim_seat *sim_seat_of(struct sim *sim, uint16_t id, uint16_t group)
{
    struct sim_node *node = &sim->nodes[id - 1];
    return node->is_up ? node->seats[group % WIRE_CLASSES % sim->options.reactors] : NULL;
}

struct raft *sim_raft(struct sim *sim, uint16_t id, uint16_t group)
{
    struct sim_seat *seat = sim_seat_of(sim, id, group);
    return seat == NULL ? NULL : reactor_group(seat->reactor, group)->raft;
}

struct sim_seat *sim_seat_at(struct sim *sim, uint32_t number)
{
    return sim->nodes[number / sim->options.reactors].seats[number % sim->options.reactors];
}

// A loop looks around all the time; what comes is seen within a poll's time.
void sim_seat_wake(struct sim_seat *seat)
{
    struct sim_node *node = seat->node;
    struct sim *sim = node->sim;
    if (!node->is_up) {
        return;
    }
    uint64_t gap_ns = sim->options.poll_ns;
    if (node->slow_until_ns > sim->now_ns) {
        gap_ns += prng_below(&sim->prng, 2 * SIM_MS);
    }
    uint64_t at_ns = sim->now_ns + prng_below(&sim->prng, gap_ns) + 1;
    at_ns = at_ns > node->paused_until_ns ? at_ns : node->paused_until_ns;
    sooner(sim, SIM_EVENT_SEAT + seat->number, at_ns);
}

static uint32_t worker_event(const struct sim_seat *seat, uint32_t worker)
{
    return SIM_EVENT_WORKER + (uint32_t)seat->number * SIM_WORKERS_MAX + worker;
}

void sim_seat_close(struct sim_seat *seat)
{
    struct sim *sim = seat->node->sim;
    if (seat->reactor != NULL) {
        reactor_close(seat->reactor);
        seat->reactor = NULL;
    }
    sim_net_forget(&seat->net);
    heap_remove(&sim->events, SIM_EVENT_SEAT + seat->number);
    for (uint32_t worker = 0; worker < SIM_WORKERS_MAX; worker++) {
        heap_remove(&sim->events, worker_event(seat, worker));
    }
}

static void close_seats(struct sim_node *node)
{
    for (uint32_t which = 0; which < node->sim->options.reactors; which++) {
        sim_seat_close(node->seats[which]);
    }
    node->is_up = node->is_stopping = false;
}

static void restart_after(struct sim_node *node, uint64_t down_ns)
{
    node->restart_ns = node->sim->now_ns + down_ns;
    sim_at(node->sim, SIM_EVENT_NODE + node->id - 1u, node->restart_ns);
}

// What its disks did is beyond what a log can find out as long as no later mark stands behind it.
// And what a disk that lied may lose with its power is lost for good unless others have it: no node
// can see alone that it remembers less than it promised.
bool sim_node_must_stay(const struct sim_node *node, bool is_power)
{
    bool must = node->is_up && is_power && node->is_liar && !sim_check_is_spare(node);
    for (uint32_t which = 0; which < node->sim->options.reactors; which++) {
        must |= node->seats[which]->disk.is_mark_due;
    }
    return must;
}

void sim_node_crash(struct sim_node *node, bool is_power, uint64_t down_ns)
{
    struct sim *sim = node->sim;
    if (!node->is_up) {
        return;
    }
    if (sim_node_must_stay(node, is_power)) {
        node->restart_ns = 0;
        sim_at(sim, SIM_EVENT_NODE + node->id - 1u, sim->now_ns + 2 * SIM_MS);
        return;
    }
    for (uint32_t which = 0; which < sim->options.reactors; which++) {
        struct sim_seat *seat = node->seats[which];
        sim_check_down(seat);
        sim_disk_die(&seat->disk, is_power);
        sim_disk_die(&seat->checkpoint_disk, is_power);
    }
    close_seats(node);
    restart_after(node, down_ns);
}

static void stop_cleanly(struct sim_node *node)
{
    struct sim *sim = node->sim;
    for (uint32_t which = 0; which < sim->options.reactors; which++) {
        struct sim_seat *seat = node->seats[which];
        sim_check_down(seat);
        seat->disk.is_blocking = seat->checkpoint_disk.is_blocking = true;
    }
    close_seats(node);
    restart_after(node, SIM_MS + prng_below(&sim->prng, 50 * SIM_MS));
}

// A node whose start failed: it died in its recovery, or its disk is damaged beyond what can be
// mended.
static void fail_start(struct sim_node *node, int error, const char *reason)
{
    struct sim *sim = node->sim;
    bool has_died = false;
    for (uint32_t which = 0; which < sim->options.reactors; which++) {
        struct sim_seat *seat = node->seats[which];
        has_died |= seat->disk.is_dead || seat->checkpoint_disk.is_dead;
        sim_disk_die(&seat->disk, !node->is_liar);
        sim_disk_die(&seat->checkpoint_disk, !node->is_liar);
    }
    close_seats(node);
    if (has_died) {
        restart_after(node, SIM_MS);
        return;
    }
    bool is_refused = error == -EBADMSG || error == -EXDEV || error == -EINVAL || error == -ENOENT;
    SIM_CHECK(sim, node->is_damaged && is_refused, "start", "node %u does not start: %s", node->id,
              reason);
    node->is_lost = true;
}

void sim_node_start(struct sim_node *node)
{
    struct sim *sim = node->sim;
    if (node->is_up || node->is_lost || node->is_frozen) {
        return;
    }
    char reason[256] = "";
    int error = 0;
    uint64_t dies_in = node->dies_in;
    node->dies_in = 0;
    heap_remove(&sim->events, SIM_EVENT_NODE + node->id - 1u); // it may come back early
    for (uint32_t which = 0; which < sim->options.reactors; which++) {
        sim_disk_revive(&node->seats[which]->disk, true);
        sim_disk_revive(&node->seats[which]->checkpoint_disk, true);
    }
    for (uint32_t which = 0; which < sim->options.reactors && error == 0; which++) {
        struct sim_seat *seat = node->seats[which];
        seat->disk.dies_in = dies_in;
        const struct reactor_config config = settings(seat);
        error = reactor_open(&config, &seat->reactor, reason, sizeof(reason));
        seat->disk.dies_in = 0;
    }
    if (error != 0) {
        fail_start(node, error, reason);
        return;
    }
    node->is_up = node->has_started = true;
    node->paused_until_ns = 0;
    for (uint32_t which = 0; which < sim->options.reactors; which++) {
        struct sim_seat *seat = node->seats[which];
        seat->disk.is_blocking = seat->checkpoint_disk.is_blocking = false;
        sim_check_up(seat);
        sim_seat_wake(seat);
        for (uint32_t worker = 0; worker < sim->options.workers; worker++) {
            sim_at(sim, worker_event(seat, worker), sim->now_ns);
        }
    }
}

bool sim_node_has_failed(const struct sim_node *node)
{
    bool has_failed = false;
    for (uint32_t which = 0; which < node->sim->options.reactors; which++) {
        const struct reactor *reactor = node->seats[which]->reactor;
        has_failed |= reactor != NULL && reactor->is_failed;
    }
    return has_failed;
}

void sim_node_due(struct sim_node *node)
{
    if (node->is_up) { // it dies with a request just handed to its disk, or a crash was put off
        bool is_power = !sim_node_has_failed(node); // else the operator starts it again
        sim_node_crash(node, is_power, SIM_MS + prng_below(&node->sim->prng, 100 * SIM_MS));
    } else {
        sim_node_start(node);
    }
}

// ------------------------------------------------------------------------------------------------
// a node at two places

static struct sim_seat *spare_of(struct sim_seat *seat)
{
    return seat->number < SIM_SEATS_OF_NODES ? seat + SIM_SEATS_OF_NODES
                                             : seat - SIM_SEATS_OF_NODES;
}

void sim_node_move(struct sim_node *node, uint64_t down_ns)
{
    if (!node->is_up || node->is_stopping || node->ghosts[0] != NULL ||
        sim_node_must_stay(node, true)) {
        return;
    }
    for (uint32_t which = 0; which < node->sim->options.reactors; which++) {
        struct sim_seat *from = node->seats[which], *to = spare_of(from);
        sim_check_down(from);
        sim_disk_move(&from->disk, &to->disk);
        sim_disk_move(&from->checkpoint_disk, &to->checkpoint_disk);
        memcpy(to->seen, from->seen, sizeof(to->seen));
        memset(from->seen, 0, sizeof(from->seen));
        to->net.tx_buffers = from->net.tx_buffers; // a shortage is the node's, and ends with it
        node->ghosts[which] = from;
        node->seats[which] = to;
    }
    node->is_up = false;
    restart_after(node, down_ns);
}

void sim_node_end_ghost(struct sim_node *node)
{
    for (uint32_t which = 0; which < SIM_REACTORS_MAX && node->ghosts[which] != NULL; which++) {
        struct sim_seat *ghost = node->ghosts[which];
        sim_disk_end_gone(&ghost->disk);
        sim_disk_end_gone(&ghost->checkpoint_disk);
        sim_seat_close(ghost);
        node->ghosts[which] = NULL;
    }
}

// ------------------------------------------------------------------------------------------------
// the loops of a node

static bool has_more_to_do(const struct reactor *reactor)
{
    return reactor->outbox.pending_count > 0 || reactor->dirty_count > 0 ||
           reactor->checkpointing != NULL || reactor->answer_out.is_active;
}

// What it does counts for nothing, but a leader's entries are in the world when they are sent; and
// what it sends must do no harm.
static void poll_ghost(struct sim_seat *seat)
{
    struct sim *sim = seat->node->sim;
    uint64_t deadline_ns;
    reactor_poll(seat->reactor, &deadline_ns);
    sim_check_ghost(seat);
    sim_at(sim, SIM_EVENT_SEAT + seat->number, sim->now_ns + 1 + prng_below(&sim->prng, SIM_MS));
}

static void begin_checkpoints(struct sim_seat *seat)
{
    struct sim *sim = seat->node->sim;
    for (uint32_t slot = 0; slot < seat->reactor->group_count; slot++) {
        struct group *group = &seat->reactor->groups[slot];
        if (!raft_is_level(group->raft) &&
            prng_chance(&sim->prng, 1, sim->options.checkpoint_at_holes)) {
            checkpoint_start(group);
        }
    }
}

void sim_seat_poll(struct sim_seat *seat)
{
    struct sim_node *node = seat->node;
    struct sim *sim = node->sim;
    uint64_t deadline_ns;
    if (node->seats[seat->which] != seat) {
        poll_ghost(seat);
        return;
    }
    if (node->paused_until_ns > sim->now_ns) {
        sim_at(sim, SIM_EVENT_SEAT + seat->number, node->paused_until_ns);
        return;
    }
    if (node->is_stopping) {
        reactor_drain(seat->reactor);
    }
    if (sim->options.checkpoint_at_holes != 0) {
        begin_checkpoints(seat);
    }
    bool was_busy = reactor_poll(seat->reactor, &deadline_ns);
    SIM_CHECK(sim, seat->net.rx_out == 0, "leak", "node %u keeps %u received frames", node->id,
              seat->net.rx_out);
    sim_check_seat(seat);
    if (node->is_stopping && reactor_is_drained(seat->reactor) &&
        !sim_node_must_stay(node, false)) {
        bool is_drained = true;
        for (uint32_t which = 0; which < sim->options.reactors; which++) {
            is_drained &= reactor_is_drained(node->seats[which]->reactor);
        }
        if (is_drained) {
            stop_cleanly(node);
            return;
        }
    }
    uint64_t next_ns = world_time(&node->clock, deadline_ns);
    next_ns = next_ns < sim->now_ns + IDLE_POLL_NS ? next_ns : sim->now_ns + IDLE_POLL_NS;
    next_ns = next_ns > sim->now_ns + SIM_US ? next_ns : sim->now_ns + SIM_US;
    sim_at(sim, SIM_EVENT_SEAT + seat->number, next_ns);
    if (was_busy || has_more_to_do(seat->reactor) || seat->net.rx_count > 0 || node->is_stopping) {
        sim_seat_wake(seat);
    }
}

void sim_worker_poll(struct sim_seat *seat, uint32_t worker)
{
    struct sim_node *node = seat->node;
    struct sim *sim = node->sim;
    uint32_t event = worker_event(seat, worker);
    uint64_t until_ns = node->workers_until_ns > node->paused_until_ns ? node->workers_until_ns
                                                                       : node->paused_until_ns;
    if (until_ns > sim->now_ns) {
        sim_at(sim, event, until_ns);
        return;
    }
    bool was_busy = reactor_apply_poll(seat->reactor, worker);
    if (was_busy) {
        sim_seat_wake(seat);
    }
    uint64_t gap_ns = was_busy ? sim->options.poll_ns : 50 * SIM_US;
    sim_at(sim, event, sim->now_ns + 1 + prng_below(&sim->prng, 2 * gap_ns));
}
