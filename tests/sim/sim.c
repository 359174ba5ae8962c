// The order of events, the life of nodes, and the three phases of a run.
//
//   safety   the plan's faults happen while clients work; nothing wrong may ever be answered or
//   applied quorum   all faults end. A majority is kept and started, the rest is frozen; every
//   group must commit again, every client be served all      the rest comes back; all must become
//   equal, and everybody give back what they hold
#include "tests/sim/sim.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "engine/wal/wal_state.h"
#include "tests/sim/linear.h"

// However short election timeouts are, a leader whose log is full has that long to give way.
#define HEAL_MIN_NS (1600 * SIM_MS)
#define IDLE_POLL_NS SIM_MS // a loop that nothing wakes still looks around this often

enum {
    HEAL_TIMEOUTS = 40,
    STABLE_TERMS = 2,       // an election or two may still be under way
    SERVED_MIN = 2,         // operations of each client in the last phases
    DIGEST_EVERY = 1 << 14, // events
    JUDGE_BUDGET = 1 << 20, // configurations of a key
};

_Noreturn void sim_fail(struct sim *sim, const char *invariant, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sim->result->text, sizeof(sim->result->text), format, arguments);
    va_end(arguments);
    snprintf(sim->result->invariant, sizeof(sim->result->invariant), "%s", invariant);
    sim->result->end = SIM_FAILED;
    longjmp(*sim->escape, 1);
}

void sim_hash(struct sim *sim, uint64_t value)
{
    sim->result->hash = sim_mix(sim->result->hash, value);
}

void sim_at(struct sim *sim, uint32_t event, uint64_t at_ns)
{
    heap_update(&sim->events, event, at_ns < sim->now_ns ? sim->now_ns : at_ns);
}

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

static struct reactor_config settings(struct sim_seat *seat);

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

static void close_seat(struct sim_seat *seat)
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
        close_seat(node->seats[which]);
    }
    node->is_up = node->is_stopping = false;
}

static void restart_after(struct sim_node *node, uint64_t down_ns)
{
    node->restart_ns = node->sim->now_ns + down_ns;
    sim_at(node->sim, SIM_EVENT_NODE + node->id - 1u, node->restart_ns);
}

// What its disks did is beyond what a log can find out as long as no later mark stands behind it.
static bool is_mark_due(const struct sim_node *node)
{
    bool is_due = false;
    for (uint32_t which = 0; which < node->sim->options.reactors; which++) {
        is_due |= node->seats[which]->disk.is_mark_due;
    }
    return is_due;
}

void sim_node_crash(struct sim_node *node, bool is_power, uint64_t down_ns)
{
    struct sim *sim = node->sim;
    if (!node->is_up) {
        return;
    }
    if (is_mark_due(node)) {
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
        sim_disk_die(&seat->disk, true);
        sim_disk_die(&seat->checkpoint_disk, true);
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

static void on_node(struct sim_node *node)
{
    if (node->is_up) { // it dies with a request just handed to its disk, or a crash was put off
        sim_node_crash(node, true, SIM_MS + prng_below(&node->sim->prng, 100 * SIM_MS));
    } else {
        sim_node_start(node);
    }
}

// ------------------------------------------------------------------------------------------------
// events

static bool has_more_to_do(const struct reactor *reactor)
{
    return reactor->outbox.pending_count > 0 || reactor->dirty_count > 0 ||
           reactor->checkpointing != NULL || reactor->answer_out.is_active;
}

static void poll_seat(struct sim_seat *seat)
{
    struct sim_node *node = seat->node;
    struct sim *sim = node->sim;
    uint64_t deadline_ns;
    if (node->paused_until_ns > sim->now_ns) {
        sim_at(sim, SIM_EVENT_SEAT + seat->number, node->paused_until_ns);
        return;
    }
    if (node->is_stopping) {
        reactor_drain(seat->reactor);
    }
    bool was_busy = reactor_poll(seat->reactor, &deadline_ns);
    SIM_CHECK(sim, seat->net.rx_out == 0, "leak", "node %u keeps %u received frames", node->id,
              seat->net.rx_out);
    sim_check_seat(seat);
    if (node->is_stopping && reactor_is_drained(seat->reactor) && !is_mark_due(node)) {
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

static void poll_worker(struct sim_seat *seat, uint32_t worker)
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

static void begin_next_fault(struct sim *sim)
{
    uint32_t number = sim->next_fault++;
    while (sim->next_fault < sim->plan.count && sim->plan.faults[sim->next_fault].is_left_out) {
        sim->next_fault++;
    }
    if (sim->next_fault < sim->plan.count) {
        sim_at(sim, SIM_EVENT_FAULT, sim->plan.faults[sim->next_fault].at_ns);
    }
    sim_fault_begin(sim, number);
}

static struct sim_disk *disk_of(struct sim *sim, uint32_t number)
{
    struct sim_seat *seat = &sim->seats[number / 2];
    return number % 2 == 0 ? &seat->disk : &seat->checkpoint_disk;
}

static void carry_out(struct sim *sim, uint32_t event)
{
    if (event < SIM_EVENT_SEAT) {
        sim_net_arrive(sim, event);
    } else if (event < SIM_EVENT_WORKER) {
        poll_seat(&sim->seats[event - SIM_EVENT_SEAT]);
    } else if (event < SIM_EVENT_CLIENT) {
        uint32_t worker = event - SIM_EVENT_WORKER;
        poll_worker(&sim->seats[worker / SIM_WORKERS_MAX], worker % SIM_WORKERS_MAX);
    } else if (event < SIM_EVENT_DISK) {
        sim_client_poll(&sim->clients[event - SIM_EVENT_CLIENT]);
    } else if (event < SIM_EVENT_NODE) {
        uint32_t request = event - SIM_EVENT_DISK;
        sim_disk_complete(disk_of(sim, request / SIM_REQUESTS_MAX), request % SIM_REQUESTS_MAX);
    } else if (event < SIM_EVENT_TRAP) {
        on_node(&sim->nodes[event - SIM_EVENT_NODE]);
    } else if (event < SIM_EVENT_FAULT) {
        sim_fault_trap(&sim->nodes[event - SIM_EVENT_TRAP]);
    } else if (event == SIM_EVENT_FAULT) {
        begin_next_fault(sim);
    } else {
        sim_fault_end(sim, event - SIM_EVENT_FAULT_END);
    }
}

static void step(struct sim *sim)
{
    uint32_t event;
    sim->now_ns = heap_next_ns(&sim->events);
    heap_pop_due(&sim->events, sim->now_ns, &event);
    sim_hash(sim, sim->now_ns << 16 ^ event);
    sim->result->events++;
    carry_out(sim, event);
    if (sim->result->events % DIGEST_EVERY == 0) {
        sim_check_digests(sim);
    }
}

// False: it did not come to hold in that time.
static bool run_until(struct sim *sim, bool (*holds)(struct sim *sim), uint64_t for_ns)
{
    uint64_t until_ns = sim->now_ns + for_ns;
    while (holds == NULL || !holds(sim)) {
        for (uint32_t events = 0; events < 8; events++) {
            if (heap_next_ns(&sim->events) > until_ns) {
                sim->now_ns = until_ns;
                return holds == NULL;
            }
            step(sim);
        }
    }
    return true;
}

// ------------------------------------------------------------------------------------------------
// phases

static uint32_t majority(const struct sim *sim)
{
    return sim->options.nodes / 2 + 1;
}

// Which nodes hold all they ever acknowledged, of every group? (A node that is down will, as far as
// its disk was never damaged.)
static bool is_intact(struct sim *sim, uint16_t id)
{
    const struct sim_node *node = &sim->nodes[id - 1];
    if (!node->is_up || node->is_stopping) { // as it will come back
        return !node->is_lost && !node->is_damaged && !sim->options.is_volatile;
    }
    bool is_whole = true;
    for (uint16_t group = 0; group < sim->options.groups; group++) {
        const struct raft *raft = sim_raft(sim, id, group);
        is_whole &= raft->intact && !raft->failed;
    }
    return is_whole;
}

// Keeps a majority of intact nodes, freezes others by chance. False: too few are left, the groups
// may rightly be halted.
static bool keep_quorum(struct sim *sim)
{
    uint32_t intact = 0, kept = 0;
    for (uint16_t id = 1; id <= sim->options.nodes; id++) {
        intact += is_intact(sim, id);
        kept++;
    }
    if (intact < majority(sim)) {
        return false;
    }
    for (uint16_t id = 1; id <= sim->options.nodes; id++) {
        struct sim_node *node = &sim->nodes[id - 1];
        bool can_go = is_intact(sim, id) ? intact > majority(sim) : true;
        // What went down with its memory has to be told by the others: it comes back in the last
        // phase.
        bool must_stay = sim->options.is_volatile;
        if (can_go && !must_stay && kept > majority(sim) && !is_mark_due(node) &&
            prng_chance(&sim->prng, 1, 2)) {
            intact -= is_intact(sim, id);
            kept--;
            sim_node_crash(node, true, SIM_S);
            heap_remove(&sim->events, SIM_EVENT_NODE + id - 1u);
            node->is_frozen = true;
        } else {
            sim_node_start(node);
        }
    }
    return true;
}

// Every group has a leader of the newest term that committed in it.
static bool has_committed(struct sim *sim)
{
    for (uint16_t group = 0; group < sim->options.groups; group++) {
        bool has = false;
        for (uint16_t id = 1; id <= sim->options.nodes; id++) {
            const struct raft *raft = sim_raft(sim, id, group);
            has |= raft != NULL && raft->role == RAFT_LEADER && raft->commit >= raft->term_start &&
                   raft->commit > 0;
        }
        if (!has) {
            return false;
        }
    }
    return true;
}

static bool is_served(struct sim *sim)
{
    for (uint32_t place = 0; place < sim->options.clients; place++) {
        if (sim->clients[place].done < sim->clients[place].done_before + SERVED_MIN) {
            return false;
        }
    }
    return true;
}

static bool is_level(struct sim *sim)
{
    for (uint16_t group = 0; group < sim->options.groups; group++) {
        uint64_t last = 0;
        for (uint16_t id = 1; id <= sim->options.nodes; id++) {
            const struct raft *raft = sim_raft(sim, id, group);
            last = raft != NULL && raft->log.last > last ? raft->log.last : last;
        }
        for (uint16_t id = 1; id <= sim->options.nodes; id++) {
            const struct raft *raft = sim_raft(sim, id, group);
            if (raft == NULL ? !sim->nodes[id - 1].is_lost
                             : !raft->intact || raft->applied != last || raft->log.last != last) {
                return false;
            }
        }
    }
    return sim_clients_idle(sim);
}

static void clients_active(struct sim *sim, bool is_active)
{
    for (uint32_t place = 0; place < sim->options.clients; place++) {
        struct sim_client *client = &sim->clients[place];
        client->is_active = is_active;
        client->next_ns = sim->now_ns;
        client->done_before = client->done;
        sim_at(sim, SIM_EVENT_CLIENT + place, sim->now_ns + 1);
    }
}

static void run_safety(struct sim *sim)
{
    uint32_t first = 0;
    while (first < sim->plan.count && sim->plan.faults[first].is_left_out) {
        first++;
    }
    sim->next_fault = first;
    if (first < sim->plan.count) {
        sim_at(sim, SIM_EVENT_FAULT, sim->plan.faults[first].at_ns);
    }
    run_until(sim, NULL, sim->options.duration_ns);
}

static void report_late(struct sim *sim)
{
    for (uint16_t group = 0; group < sim->options.groups; group++) {
        for (uint16_t id = 1; id <= sim->options.nodes; id++) {
            const struct raft *raft = sim_raft(sim, id, group);
            if (raft == NULL) {
                printf("  node %u: down%s%s\n", id, sim->nodes[id - 1].is_lost ? ", lost" : "",
                       sim->nodes[id - 1].is_frozen ? ", frozen" : "");
                continue;
            }
            struct reactor *reactor = sim_seat_of(sim, id, group)->reactor;
            const struct snapshot *snapshot = &reactor_group(reactor, group)->snapshot;
            printf("  node %u group %u: role %d term %lu leader %u base %lu applied %lu commit %lu "
                   "synced %lu last %lu held %lu%s%s%s%s%s%s, log %lu KiB free\n",
                   id, group, raft->role, raft->term, raft->leader, raft->log.base.index,
                   raft->applied, raft->commit, raft->log.synced, raft->log.last, raft->log.held,
                   raft->intact ? "" : " not-intact", raft->halted ? " halted" : "",
                   raft->failed ? " failed" : "", reactor->is_failed ? " device-failed" : "",
                   snapshot->is_building || snapshot->is_ready ? " gives-checkpoint" : "",
                   snapshot->in_data != NULL ? " is-given-checkpoint" : "",
                   wal_free_bytes(reactor->wal) >> 10);
        }
    }
}

static void demand_as(struct sim *sim, const char *invariant, bool (*holds)(struct sim *sim),
                      uint64_t for_ns, const char *what)
{
    if (!run_until(sim, holds, for_ns)) {
        if (sim->is_verbose) {
            report_late(sim);
        }
        sim_fail(sim, invariant, "%s not within %lu ms", what, for_ns / SIM_MS);
    }
}

static void demand(struct sim *sim, bool (*holds)(struct sim *sim), uint64_t for_ns,
                   const char *what)
{
    demand_as(sim, "liveness", holds, for_ns, what);
}

static uint64_t highest_term(struct sim *sim)
{
    uint64_t highest = 0;
    for (uint16_t group = 0; group < sim->options.groups; group++) {
        for (uint16_t id = 1; id <= sim->options.nodes; id++) {
            const struct raft *raft = sim_raft(sim, id, group);
            highest = raft != NULL && raft->term > highest ? raft->term : highest;
        }
    }
    return highest;
}

// Who runs and holds all it ever acknowledged. Result: how many.
static uint32_t list_whole(struct sim *sim, uint16_t ids[SIM_NODES_MAX])
{
    uint32_t count = 0;
    for (uint16_t id = 1; id <= sim->options.nodes; id++) {
        const struct sim_node *node = &sim->nodes[id - 1];
        if (node->is_up && !node->is_stopping && is_intact(sim, id)) {
            ids[count++] = id;
        }
    }
    return count;
}

static void set_cut(struct sim *sim, uint16_t from, uint16_t to, bool is_cut)
{
    sim->links[from][to].cuts += is_cut ? 1u : 0;
    sim->links[from][to].cuts -= is_cut ? 0 : 1u;
}

// Where more than a majority is up and whole, one link between two of them may stay cut for good:
// everybody still reaches a majority (FAULTS N5; the outage of 2020).
static bool cut_one_link(struct sim *sim, uint16_t *a, uint16_t *b)
{
    uint16_t up[SIM_NODES_MAX];
    uint32_t count = list_whole(sim, up);
    if (count <= majority(sim) || prng_chance(&sim->prng, 1, 2)) {
        return false;
    }
    uint32_t first = (uint32_t)prng_below(&sim->prng, count);
    uint32_t second = (first + 1 + (uint32_t)prng_below(&sim->prng, count - 1)) % count;
    *a = up[first];
    *b = up[second];
    set_cut(sim, *a, *b, true);
    set_cut(sim, *b, *a, true);
    return true;
}

// A leader is there, and whoever does not hear it leaves it alone: terms stop growing.
static void demand_stability(struct sim *sim, uint16_t a, uint16_t b)
{
    uint64_t term = highest_term(sim);
    run_until(sim, NULL, 10 * sim->options.election_max_ns);
    uint64_t now = highest_term(sim);
    SIM_CHECK(sim, now <= term + STABLE_TERMS, "stability",
              "one link is cut, and in ten election timeouts terms grew from %lu to %lu", term,
              now);
    set_cut(sim, a, b, false);
    set_cut(sim, b, a, false);
}

static uint16_t leader_of(struct sim *sim, uint16_t group)
{
    uint16_t leader = 0;
    uint64_t term = 0;
    for (uint16_t id = 1; id <= sim->options.nodes; id++) {
        const struct raft *raft = sim_raft(sim, id, group);
        if (raft != NULL && raft->role == RAFT_LEADER && raft->term >= term) {
            leader = id;
            term = raft->term;
        }
    }
    return leader;
}

static bool is_relieved(struct sim *sim)
{
    return leader_of(sim, 0) != sim->deaf && has_committed(sim);
}

// A leader that hears nobody, though everybody hears it, steps down, and another takes over (N4).
static void demand_relief(struct sim *sim)
{
    sim->deaf = leader_of(sim, 0);
    for (uint16_t id = 1; id <= sim->options.nodes && sim->deaf != 0; id++) {
        set_cut(sim, id, sim->deaf, true);
    }
    demand_as(sim, "check-quorum", is_relieved, HEAL_TIMEOUTS * sim->options.election_max_ns,
              "a leader that hears nobody is relieved");
    for (uint16_t id = 1; id <= sim->options.nodes && sim->deaf != 0; id++) {
        set_cut(sim, id, sim->deaf, false);
    }
}

// All replicas are equal, nobody asks for anything, and then one link fails.
static void run_calm(struct sim *sim)
{
    uint16_t up[SIM_NODES_MAX], a, b;
    if (cut_one_link(sim, &a, &b)) {
        demand_stability(sim, a, b);
    } else if (list_whole(sim, up) > majority(sim) && prng_chance(&sim->prng, 1, 2)) {
        demand_relief(sim);
    }
}

static void run_quorum(struct sim *sim)
{
    uint16_t a = 0, b = 0;
    sim->phase = SIM_QUORUM;
    sim_faults_end_all(sim);
    if (!keep_quorum(sim)) {
        sim->result->is_halted = true;
        return;
    }
    uint64_t from_ns = sim->now_ns;
    // A stranded leader may first have to notice, a log be installed, a candidate lose to its
    // equal: bounded all the same.
    bool is_cut = cut_one_link(sim, &a, &b);
    uint64_t patience_ns = HEAL_TIMEOUTS * sim->options.election_max_ns;
    demand(sim, has_committed, patience_ns > HEAL_MIN_NS ? patience_ns : HEAL_MIN_NS,
           "a commit in every group");
    sim->result->heal_ns = sim->now_ns - from_ns;
    sim->result->heal_timeouts =
        (uint32_t)(sim->result->heal_ns * 100 / sim->options.election_max_ns);
    clients_active(sim, true);
    demand(sim, is_served, 10 * SIM_S, "every client served");
    clients_active(sim, false);
    if (is_cut) {
        demand_stability(sim, a, b);
    }
}

static void run_all(struct sim *sim)
{
    sim->phase = SIM_ALL;
    for (uint32_t at = 0; at < sim->options.nodes; at++) {
        sim->nodes[at].is_frozen = false;
        sim_node_start(&sim->nodes[at]);
    }
    clients_active(sim, false);
    if (!sim->result->is_halted) {
        demand(sim, is_level, 20 * SIM_S, "all replicas equal and all clients answered");
        run_calm(sim);
        demand(sim, is_level, 20 * SIM_S, "all replicas equal again");
        run_until(sim, NULL, 50 * SIM_MS); // late frames, marks, checkpoints
        demand(sim, sim_is_at_rest, 4 * SIM_S, "no checkpoint is kept for others");
    }
    sim_check_digests(sim);
    if (!sim->result->is_halted) {
        sim_check_leaks(sim);
    }
}

// ------------------------------------------------------------------------------------------------
// a run

static void open_seats(struct sim *sim)
{
    for (uint16_t number = 0; number < sim->options.nodes * sim->options.reactors; number++) {
        struct sim_seat *seat = &sim->seats[number];
        seat->node = &sim->nodes[number / sim->options.reactors];
        seat->number = number;
        seat->which = (uint16_t)(number % sim->options.reactors);
        seat->node->seats[seat->which] = seat;
        seat->arena = mmap(NULL, sim->options.log_bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ASSERT(seat->arena != MAP_FAILED);
        sim_net_init(&seat->net, sim, seat->node->id, seat->which);
        sim_disk_open(&seat->disk, sim, seat->node->id, number, 2u * number);
        sim_disk_open(&seat->checkpoint_disk, sim, seat->node->id, number, 2u * number + 1);
    }
}

static void open_world(struct sim *sim)
{
    sim->heap_items = calloc(SIM_EVENTS, sizeof(*sim->heap_items));
    sim->heap_positions = calloc(SIM_EVENTS, sizeof(*sim->heap_positions));
    ASSERT(sim->heap_items != NULL && sim->heap_positions != NULL);
    heap_init(&sim->events, sim->heap_items, sim->heap_positions, SIM_EVENTS);
    for (uint16_t at = 0; at < sim->options.nodes; at++) {
        struct sim_node *node = &sim->nodes[at];
        node->sim = sim;
        node->id = (uint16_t)(at + 1);
        node->clock = (struct sim_clock){
            .clock.now_ns = clock_now, .sim = sim, .base_ns = prng_below(&sim->prng, 10 * SIM_S)};
    }
    sim_net_open(sim);
    open_seats(sim);
    sim_check_open(sim);
    for (uint32_t at = 0; at < sim->options.nodes; at++) {
        sim_node_start(&sim->nodes[at]);
    }
    sim_clients_open(sim);
}

static void close_world(struct sim *sim)
{
    for (uint32_t number = 0; number < sim->options.nodes * sim->options.reactors; number++) {
        struct sim_seat *seat = &sim->seats[number];
        seat->disk.is_blocking = seat->checkpoint_disk.is_blocking = true;
        close_seat(seat);
        sim_disk_close(&seat->disk);
        sim_disk_close(&seat->checkpoint_disk);
        munmap(seat->arena, sim->options.log_bytes);
    }
    sim_clients_close(sim);
    sim_check_close(sim);
    sim_net_close(sim);
    free(sim->heap_items);
    free(sim->heap_positions);
}

static void judge_history(struct sim *sim)
{
    static struct linear *linear;
    struct linear_result verdict;
    linear = linear == NULL ? linear_open(JUDGE_BUDGET) : linear;
    ASSERT(linear != NULL);
    linear_judge(linear, sim->history, &verdict);
    sim->result->has_given_up = verdict.verdict == LINEAR_GAVE_UP;
    if (verdict.verdict == LINEAR_VIOLATION) {
        if (sim->is_verbose) {
            linear_print_violation(sim->history, &verdict, stdout);
        }
        sim_fail(sim, "linearizability", "key %lx: %u operations have no order", verdict.key,
                 verdict.id_count);
    }
}

static struct sim *running; // for assertions of the engine

static void on_assert(const char *file, int line, const char *expression, uint64_t left,
                      uint64_t right)
{
    const char *base = strrchr(file, '/');
    sim_fail(running, "assertion", "%s:%d: %s (%lu, %lu)", base == NULL ? file : base + 1, line,
             expression, left, right);
}

static uint64_t cpu_ns_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time); // others use the machine too
    return (uint64_t)time.tv_sec * SIM_S + (uint64_t)time.tv_nsec;
}

void sim_run(const struct sim_options *options, const struct sim_plan *plan,
             const struct sim_run_options *run, struct sim_result *result)
{
    static struct history history;
    jmp_buf escape;
    uint64_t began_ns = cpu_ns_now();
    struct sim *sim = calloc(1, sizeof(*sim));
    ASSERT(sim != NULL);
    *result = (struct sim_result){.end = SIM_OK, .hash = options->seed};
    sim->options = *options;
    sim->plan = *plan;
    sim->result = result;
    sim->escape = &escape;
    sim->history = &history;
    sim->crash_at_io = run->crash_at_io;
    sim->trace = run->trace;
    sim->frames = run->frames;
    sim->is_verbose = run->is_verbose;
    prng_init(&sim->prng, options->seed ^ 1);
    prng_init(&sim->net_prng, options->seed ^ 2);
    prng_init(&sim->disk_prng, options->seed ^ 3);
    prng_init(&sim->load_prng, options->seed ^ 4);
    history_reset(&history);
    running = sim;
    assert_set_handler(on_assert);
    if (setjmp(escape) == 0) {
        open_world(sim);
        run_safety(sim);
        run_quorum(sim);
        run_all(sim);
        close_world(sim);
        judge_history(sim);
    }
    for (uint32_t place = 0; place < options->clients; place++) {
        result->unknown += sim->clients[place].unknown;
    }
    result->virtual_ns = sim->now_ns;
    if (run->history != NULL) {
        history_write(&history, run->history);
    }
    free(sim);
    result->cpu_ns = cpu_ns_now() - began_ns;
}
