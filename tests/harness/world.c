// Nodes, time, crashes; what holds when all is quiet.
#include "tests/harness/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ring.h>

#include "engine/base/assert.h"
#include "engine/reactor/internal.h"
#include "tests/harness/harness.h"

#define LEAP_NS (500 * WORLD_US) // when nothing happens, time passes in steps of this
#define DIGEST_STEPS 512

enum { ARENA_ALIGN = 4096, SERVED_MIN = 5 };

void world_default_options(struct world_options *options, uint32_t nodes, uint64_t seed)
{
    *options = (struct world_options){.seed = seed,
                                      .nodes = nodes,
                                      .groups = 1,
                                      .reactors = 1,
                                      .clients = 2,
                                      .has_kv = true,
                                      .frame_bytes = 1472,
                                      .log_entries = 1024,
                                      .window_entries = 256,
                                      .window_bytes = 1 << 20,
                                      .log_bytes = 16 << 20,
                                      .segment_bytes = 4 << 20,
                                      .session_pages = 16,
                                      .sessions_max = 8,
                                      .poll_ns = 20 * WORLD_US,
                                      .tx_buffers = 256,
                                      .tx_ring = 128,
                                      .disk_polls = 8,
                                      .payload_max = 8192,
                                      .client_window = 16};
}

static uint64_t now(struct clock *base)
{
    const struct world_clock *clock = (struct world_clock *)base;
    return clock->world->now_ns + clock->offset_ns;
}

static int open_app(void *context, uint16_t group, struct app **app, char *reason,
                    size_t reason_bytes)
{
    struct world_node *node = context;
    return world_app_open(node->world, node->id, group, app, reason, reason_bytes);
}

static void on_role(void *context, uint16_t group, enum raft_role role, uint64_t term,
                    uint16_t leader)
{
    struct world_node *node = context;
    if (role == RAFT_LEADER) {
        world_check_leader(node->world, node->id, group, term);
    }
}

// ------------------------------------------------------------------------------------------------
// nodes

static struct reactor_config settings(struct world_node *node, uint16_t which)
{
    struct world *world = node->world;
    const struct world_options *options = &world->options;
    struct world_seat *seat = &node->seats[which];
    struct reactor_config config = {.cluster = options->seed | 1,
                                    .node = node->id,
                                    .node_count = options->nodes,
                                    .reactor = which,
                                    .reactors = (uint16_t)options->reactors,
                                    .groups_total = options->groups,
                                    .election_timeout_min_ns = 50 * WORLD_MS,
                                    .election_timeout_max_ns = 100 * WORLD_MS,
                                    .heartbeat_ns = 5 * WORLD_MS,
                                    .log_entries = options->log_entries,
                                    .window_entries = options->window_entries,
                                    .window_bytes = options->window_bytes,
                                    .session_pages = options->session_pages,
                                    .sessions_max = options->sessions_max,
                                    .app_bytes_max = UINT64_C(64) << 20,
                                    .checkpoint_bytes = options->log_bytes / 4,
                                    .apply_workers = options->apply_workers,
                                    .sizes = options->sizes,
                                    .seed = prng_next(&world->prng),
                                    .wal = {.log_bytes = options->log_bytes,
                                            .segment_bytes = options->segment_bytes,
                                            .batch_bytes_max = 1 << 20,
                                            .in_flight_max = 8,
                                            .durable_mark_delay_ns = WORLD_MS,
                                            .nonce = prng_next(&world->prng) | 1,
                                            .is_volatile = options->is_volatile,
                                            .bootstrap = !node->is_started_before,
                                            .arena = seat->arena},
                                    .net = &seat->net.net,
                                    .disk = &seat->disk.disk,
                                    .checkpoint_disk =
                                        options->is_volatile ? NULL : &seat->checkpoint_disk.disk,
                                    .clock = &node->clock.clock,
                                    .app_open = open_app,
                                    .role_change = on_role,
                                    .context = node};
    for (uint32_t at = 0; at < options->nodes; at++) {
        config.nodes[at] = (uint16_t)(at + 1);
    }
    return config;
}

void world_start(struct world *world, uint16_t id)
{
    struct world_node *node = &world->nodes[id - 1];
    if (node->is_up) {
        return;
    }
    for (uint16_t which = 0; which < world->options.reactors; which++) {
        struct world_seat *seat = &node->seats[which];
        char reason[256];
        world_disk_revive(&seat->disk);
        world_disk_revive(&seat->checkpoint_disk);
        const struct reactor_config config = settings(node, which);
        int error = reactor_open(&config, &seat->reactor, reason, sizeof(reason));
        WORLD_CHECK(world, error == 0, "node %u does not start: %s", id, reason);
        seat->deadline_ns = 0;
    }
    node->is_up = node->is_started_before = true;
    node->is_draining = false;
    node->paused_until_ns = 0;
}

static void close_reactors(struct world_node *node)
{
    for (uint16_t which = 0; which < node->world->options.reactors; which++) {
        struct world_seat *seat = &node->seats[which];
        reactor_close(seat->reactor);
        seat->reactor = NULL;
        world_net_forget(&seat->net);
    }
    node->is_up = false;
}

static void end(struct world *world, uint16_t id, uint32_t keep_percent, bool is_power)
{
    struct world_node *node = &world->nodes[id - 1];
    for (uint16_t which = 0; which < world->options.reactors && node->is_up; which++) {
        struct world_seat *seat = &node->seats[which];
        world_disk_die(&seat->disk, prng_next(&world->prng), keep_percent, is_power);
        world_disk_die(&seat->checkpoint_disk, prng_next(&world->prng), keep_percent, is_power);
    }
    if (node->is_up) {
        close_reactors(node);
    }
}

void world_crash(struct world *world, uint16_t id, uint32_t keep_percent)
{
    end(world, id, keep_percent, true);
}

void world_kill(struct world *world, uint16_t id)
{
    end(world, id, (uint32_t)prng_below(&world->prng, 101), false);
}

void world_stop_cleanly(struct world *world, uint16_t id)
{
    close_reactors(&world->nodes[id - 1]);
}

void world_pause(struct world *world, uint16_t id, uint64_t for_ns)
{
    world->nodes[id - 1].paused_until_ns = world->now_ns + for_ns;
}

void world_drain(struct world *world, uint16_t id)
{
    world->nodes[id - 1].is_draining = true;
}

void world_isolate(struct world *world, uint16_t id)
{
    for (uint16_t other = 0; other <= world->options.nodes; other++) {
        world->cut[id][other] = world->cut[other][id] = true;
    }
}

void world_heal(struct world *world)
{
    memset(world->cut, 0, sizeof(world->cut));
}

void world_calm(struct world *world)
{
    world->loss_permille = world->duplicate_permille = 0;
    world->late_permille = world->unlocated_permille = world->flip_permille = 0;
}

// ------------------------------------------------------------------------------------------------
// time

static bool poll_workers(const struct world_node *node, struct reactor *reactor)
{
    struct world *world = node->world;
    uint32_t workers = node->has_stopped_workers ? 0 : world->options.apply_workers;
    for (uint32_t worker = 0; worker < workers; worker++) {
        if (prng_chance(&world->prng, 1, 3)) {
            reactor_apply_poll(reactor, worker);
        }
    }
    return reactor->free_job_count < reactor->config.sizes.apply_jobs;
}

static bool poll_node(struct world_node *node)
{
    struct world *world = node->world;
    bool was_busy = false;
    for (uint16_t which = 0; which < world->options.reactors; which++) {
        struct world_seat *seat = &node->seats[which];
        if (node->is_draining) {
            reactor_drain(seat->reactor);
        }
        was_busy |= reactor_poll(seat->reactor, &seat->deadline_ns);
        was_busy |= poll_workers(node, seat->reactor);
        was_busy |= seat->disk.tag_count + seat->checkpoint_disk.tag_count > 0;
        WORLD_CHECK(world, seat->net.rx_out == 0, "node %u keeps %u received frames", node->id,
                    seat->net.rx_out);
    }
    return was_busy;
}

// When anything may happen that nobody was told of yet.
static uint64_t next_event_ns(const struct world *world)
{
    uint64_t next = world->now_ns + LEAP_NS;
    uint64_t arrival = heap_next_ns(&world->arrivals);
    return arrival < next ? arrival : next;
}

static void step(struct world *world, bool *was_busy)
{
    uint64_t next = world->now_ns + world->options.poll_ns;
    if (!*was_busy) {
        uint64_t event = next_event_ns(world);
        next = event > next ? event : next;
    }
    world->now_ns = next;
    world->steps++;
    world_net_deliver(world);
    world_clients_tick(world);
    *was_busy = false;
    for (uint32_t at = 0; at < world->options.nodes; at++) {
        struct world_node *node = &world->nodes[at];
        if (node->is_up && node->paused_until_ns <= world->now_ns) {
            *was_busy |= poll_node(node);
        }
    }
    if (world->steps % DIGEST_STEPS == 0) {
        world_check_digests(world);
    }
}

void world_run(struct world *world, uint64_t for_ns)
{
    uint64_t until_ns = world->now_ns + for_ns;
    bool was_busy = true;
    while (world->now_ns < until_ns) {
        step(world, &was_busy);
    }
}

bool world_run_until(struct world *world, bool (*holds)(struct world *world), uint64_t for_ns)
{
    uint64_t until_ns = world->now_ns + for_ns;
    bool was_busy = true;
    while (!holds(world)) {
        if (world->now_ns >= until_ns) {
            return false;
        }
        for (uint32_t round = 0; round < 8; round++) {
            step(world, &was_busy);
        }
    }
    return true;
}

// ------------------------------------------------------------------------------------------------
// looking

struct reactor *world_reactor(struct world *world, uint16_t id, uint16_t group)
{
    const struct world_node *node = &world->nodes[id - 1];
    return node->is_up ? node->seats[group % WIRE_CLASSES % world->options.reactors].reactor : NULL;
}

struct reactor_group_status world_status(struct world *world, uint16_t id, uint16_t group)
{
    struct reactor_group_status status = {0};
    struct reactor *reactor = world_reactor(world, id, group);
    if (reactor != NULL) {
        reactor_group_status(reactor, group, false, &status);
    }
    return status;
}

uint16_t world_leader(struct world *world, uint16_t group)
{
    uint16_t leader = 0;
    uint64_t term = 0;
    for (uint16_t id = 1; id <= world->options.nodes; id++) {
        struct reactor_group_status status = world_status(world, id, group);
        if (status.raft.role == RAFT_LEADER && status.raft.term > term) {
            leader = id;
            term = status.raft.term;
        }
    }
    return leader;
}

bool world_has_leaders(struct world *world)
{
    for (uint16_t group = 0; group < world->options.groups; group++) {
        if (world_leader(world, group) == 0) {
            return false;
        }
    }
    return true;
}

static bool is_level(struct world *world, uint16_t group)
{
    uint16_t leader = world_leader(world, group);
    if (leader == 0) {
        return false;
    }
    struct reactor_group_status first = world_status(world, leader, group);
    for (uint16_t id = 1; id <= world->options.nodes; id++) {
        struct reactor_group_status status = world_status(world, id, group);
        if (world->nodes[id - 1].is_up && !status.raft.failed &&
            (status.raft.applied != first.raft.last || status.raft.last != first.raft.last ||
             !status.raft.intact)) {
            return false;
        }
    }
    return true;
}

bool world_is_level(struct world *world)
{
    for (uint16_t group = 0; group < world->options.groups; group++) {
        if (!is_level(world, group)) {
            return false;
        }
    }
    return true;
}

bool world_is_answered(struct world *world)
{
    for (uint32_t place = 0; place < world->options.clients; place++) {
        for (uint32_t at = 0; at < WORLD_OPERATIONS_MAX; at++) {
            if (world->clients[place].operations[at].is_waiting) {
                return false;
            }
        }
    }
    return true;
}

static void print_operations(const struct world_client *client)
{
    for (uint32_t at = 0; at < WORLD_OPERATIONS_MAX; at++) {
        const struct world_operation *operation = &client->operations[at];
        if (operation->is_waiting) {
            printf("      group %u: action %u sequence %lu of session %lu, %u bytes, attempt %u, "
                   "asks %u\n",
                   operation->group, operation->action, operation->sequence, operation->session,
                   operation->bytes, operation->attempts,
                   client->sessions[operation->group].leader);
        }
    }
}

static void print_refusals(const struct reactor *reactor)
{
    for (uint32_t refusal = 0; refusal < WIRE_REFUSALS; refusal++) {
        if (reactor->counters.refused[refusal] > 0) {
            printf("      refused %s: %lu\n", wire_refusal_name((enum wire_refusal)refusal),
                   reactor->counters.refused[refusal]);
        }
    }
    struct assembly_counters counters;
    assembly_counters(reactor->assembly, &counters);
    printf("      assembly: %lu whole, %lu refused, %lu given up, %lu bad, %lu duplicates\n",
           counters.completed, counters.refused, counters.given_up, counters.bad_checksum,
           counters.duplicates);
}

void world_print(struct world *world)
{
    for (uint16_t id = 1; id <= world->options.nodes; id++) {
        for (uint16_t number = 0; number < world->options.groups && number < 4; number++) {
            struct reactor *reactor = world_reactor(world, id, number);
            if (reactor == NULL) {
                printf("    node %u group %u: down\n", id, number);
                continue;
            }
            struct reactor_group_status status = world_status(world, id, number);
            const struct group *group = reactor_group(reactor, number);
            printf(
                "    node %u group %u: role %d leader %u term %lu base %lu applied %lu/%lu "
                "commit %lu synced %lu last %lu held %lu%s%s%s%s%s checkpoint %lu free %lu KiB\n",
                id, number, status.raft.role, status.raft.leader, status.raft.term,
                status.raft.base, group->applied, group->apply_last, status.raft.commit,
                status.raft.synced, status.raft.last, status.raft.held,
                status.raft.intact ? "" : " not-intact", status.raft.halted ? " halted" : "",
                status.raft.failed ? " failed" : "", group->is_paused ? " paused" : "",
                snapshot_is_active(&group->snapshot) ? " snapshot" : "", status.checkpoint,
                wal_free_bytes(reactor->wal) >> 10);
            print_refusals(reactor);
            for (uint32_t at = 0; at < status.peer_count && status.raft.role == RAFT_LEADER; at++) {
                const struct raft_peer_view *peer = &status.peers[at];
                printf("      peer %u: match %lu next %lu%s%s%s%s\n", peer->id, peer->match,
                       peer->next, peer->is_active ? " active" : "",
                       peer->intact ? "" : " not-intact", peer->is_probing ? " probing" : "",
                       peer->is_installing ? " installing" : "");
            }
        }
    }
    for (uint32_t place = 0; place < world->options.clients; place++) {
        const struct world_client *client = &world->clients[place];
        printf("    client %u: done %lu reads %lu unknown %lu expired %lu busy %lu redirected %lu "
               "retries %lu last %lu us\n",
               place, client->done, client->reads_done, client->unknown, client->expired,
               client->busy, client->redirected, client->retries, client->done_ns / 1000);
        print_operations(client);
    }
}

// ------------------------------------------------------------------------------------------------
// ending

void world_clients_active(struct world *world, bool active)
{
    for (uint32_t place = 0; place < world->options.clients; place++) {
        world->clients[place].is_active = active;
    }
}

static void check_leaks_of(struct world *world, uint16_t id, const struct world_seat *seat)
{
    const struct reactor *reactor = seat->reactor;
    WORLD_CHECK(world, seat->net.tx_out == 0 && reactor->outbox.pending_count == 0,
                "node %u: %u frames are out", id, seat->net.tx_out);
    WORLD_CHECK(world,
                rte_ring_count(reactor->free_mail_ring) == reactor->config.sizes.mailbox_slots,
                "node %u: %u mail slots are free", id, rte_ring_count(reactor->free_mail_ring));
    WORLD_CHECK(world, reactor->free_job_count == reactor->config.sizes.apply_jobs,
                "node %u: %u jobs are free", id, reactor->free_job_count);
    WORLD_CHECK(world, reactor->reads_waiting == 0, "node %u: %u reads wait", id,
                reactor->reads_waiting);
    for (uint32_t slot = 0; slot < reactor->group_count; slot++) {
        const struct group *group = &reactor->groups[slot];
        WORLD_CHECK(world, !snapshot_is_active(&group->snapshot) && group->snapshot.data == NULL,
                    "node %u group %u keeps a checkpoint for others", id, group->id);
        WORLD_CHECK(world, group->snapshot.in_data == NULL,
                    "node %u group %u keeps a checkpoint of others", id, group->id);
        WORLD_CHECK(world, !group->is_paused || reactor->checkpointing == group,
                    "node %u group %u is paused", id, group->id);
        for (uint32_t at = 0; at < reactor->config.log_entries && !group->is_halted; at++) {
            WORLD_CHECK(world, group->origins[at].slot == 0, "node %u group %u: an origin waits",
                        id, group->id);
        }
    }
}

void world_check_leaks(struct world *world)
{
    for (uint16_t id = 1; id <= world->options.nodes; id++) {
        struct world_node *node = &world->nodes[id - 1];
        for (uint16_t which = 0; which < world->options.reactors && node->is_up; which++) {
            if (!node->seats[which].reactor->is_failed) {
                check_leaks_of(world, id, &node->seats[which]);
            }
        }
    }
}

static bool is_settled(struct world *world)
{
    return world_is_answered(world) && world_is_level(world);
}

static bool is_served(struct world *world)
{
    for (uint32_t place = 0; place < world->options.clients; place++) {
        if (world->clients[place].done < world->clients[place].done_before + SERVED_MIN) {
            return false;
        }
    }
    return true;
}

void world_settle(struct world *world, uint64_t for_ns)
{
    world_heal(world);
    world_calm(world);
    uint64_t from_ns = world->now_ns;
    WORLD_CHECK(world, world_run_until(world, world_has_leaders, for_ns), "no leader");
    world_clients_active(world, true);
    for (uint32_t place = 0; place < world->options.clients; place++) {
        world->clients[place].done_before = world->clients[place].done;
    }
    WORLD_CHECK(world, world_run_until(world, is_served, for_ns), "a client is not served");
    world_clients_active(world, false);
    WORLD_CHECK(world, world_run_until(world, is_settled, for_ns), "not level");
    if (getenv("WORLD_VERBOSE") != NULL) {
        printf("    settled in %lu us\n", (world->now_ns - from_ns) / 1000);
        world_print(world);
    }
    world_run(world, 100 * WORLD_MS); // the last marks, late frames, checkpoints
    world_check_digests(world);
    world_check_leaks(world);
}

// ------------------------------------------------------------------------------------------------
// opening

static void open_seat(struct world *world, uint16_t id, uint16_t which)
{
    struct world_seat *seat = &world->nodes[id - 1].seats[which];
    seat->arena = aligned_alloc(ARENA_ALIGN, world->options.log_bytes);
    ASSERT(seat->arena != NULL);
    memset(seat->arena, 0, world->options.log_bytes);
    world_net_init(&seat->net, world, id, which);
    world_disk_open(&seat->disk, prng_next(&world->prng), world->options.disk_polls);
    world_disk_open(&seat->checkpoint_disk, prng_next(&world->prng), world->options.disk_polls);
}

struct world *world_open(const struct world_options *options)
{
    struct world *world = calloc(1, sizeof(*world));
    ASSERT(world != NULL && options->groups <= WORLD_GROUPS_MAX);
    world->options = *options;
    prng_init(&world->prng, options->seed);
    world_net_open(world);
    world_clients_open(world);
    for (uint16_t id = 1; id <= options->nodes; id++) {
        struct world_node *node = &world->nodes[id - 1];
        node->world = world;
        node->id = id;
        node->clock = (struct world_clock){.clock.now_ns = now,
                                           .world = world,
                                           .offset_ns = prng_below(&world->prng, 10 * WORLD_S)};
        for (uint16_t which = 0; which < options->reactors; which++) {
            open_seat(world, id, which);
        }
        world_start(world, id);
    }
    return world;
}

void world_close(struct world *world)
{
    for (uint32_t at = 0; at < world->options.nodes; at++) {
        struct world_node *node = &world->nodes[at];
        if (node->is_up) {
            close_reactors(node);
        }
        for (uint16_t which = 0; which < world->options.reactors; which++) {
            world_disk_close(&node->seats[which].disk);
            world_disk_close(&node->seats[which].checkpoint_disk);
            free(node->seats[which].arena);
        }
    }
    world_net_close(world);
    world_clients_close(world);
    world_check_close(world);
    free(world);
}
