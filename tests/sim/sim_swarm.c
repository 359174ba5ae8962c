// What a seed means: the shape of the cluster, which classes of faults it meets, and when each
// fault begins. Swarm testing (Groce et al., 2012): a run with few kinds of faults, each at its own
// strength, reaches what a run with all of them never does.
//
// Only this file draws from the seed itself; the run has streams of its own, so that a fault can be
// left out and the rest of the plan stays.
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

enum { FRAME_HEADS_BYTES = 200 }; // more than an entry has before its payload in a frame

static uint64_t between(struct prng *prng, uint64_t low, uint64_t high)
{
    return prng_between(prng, low, high);
}

static bool one_in(struct prng *prng, uint64_t whole)
{
    return prng_chance(prng, 1, whole);
}

// ------------------------------------------------------------------------------------------------
// the cluster

static uint32_t draw_nodes(struct prng *prng)
{
    static const uint8_t nodes[16] = {3, 3, 3, 3, 3, 3, 3, 3, 5, 5, 5, 4, 2, 1, 7, 6};
    return nodes[between(prng, 0, 15)];
}

static void draw_sizes(struct sim_options *options, struct prng *prng)
{
    bool is_tiny = one_in(prng, 8); // every ring and table as small as it may be
    options->frame_bytes = one_in(prng, 4)   ? (uint32_t)between(prng, 534, 1472)
                           : one_in(prng, 4) ? 9000
                                             : 1472;
    options->log_entries = is_tiny ? 64 : UINT32_C(1) << between(prng, 7, 10);
    options->window_entries = is_tiny ? 2 : (uint32_t)between(prng, 4, 256);
    options->window_bytes = is_tiny ? 4096 : UINT64_C(1) << between(prng, 12, 20);
    options->segment_bytes = 64 << 10;
    options->log_bytes = is_tiny ? 1280 << 10 : UINT64_C(1) << between(prng, 21, 22);
    options->checkpoint_bytes = options->log_bytes / between(prng, 2, 8);
    options->batch_bytes = UINT32_C(1) << between(prng, 14, 16);
    options->batches_in_flight = is_tiny ? 1 : (uint32_t)between(prng, 1, 8);
    options->sizes = (struct reactor_sizes){.mailbox_slots = 8,
                                            .reads = is_tiny ? 2 : 64,
                                            .apply_jobs = is_tiny ? 1 : 8,
                                            .assembly_buffers = is_tiny ? 1 : 4,
                                            .payload_bytes_max = 16 << 10};
    options->tx_buffers = is_tiny ? 16 : 128;
    options->tx_ring = is_tiny ? 2 : 64;
    options->disk_requests = is_tiny ? 4 : (uint32_t)between(prng, 8, SIM_REQUESTS_MAX);
}

static void draw_times(struct sim_options *options, struct prng *prng)
{
    options->poll_ns = between(prng, 1, 20) * SIM_US;
    options->link_min_ns = between(prng, 1, 20) * SIM_US;
    options->link_max_ns = options->link_min_ns + between(prng, 0, 60) * SIM_US;
    options->disk_min_ns = between(prng, 5, 100) * SIM_US;
    options->disk_max_ns = options->disk_min_ns + between(prng, 0, 300) * SIM_US;
    options->election_min_ns = between(prng, 20, 80) * SIM_MS;
    options->election_max_ns = 2 * options->election_min_ns;
    options->heartbeat_ns = options->election_min_ns / between(prng, 4, 10);
    options->client_attempt_ns = between(prng, 5, 40) * SIM_MS;
    options->client_give_up_ns = one_in(prng, 3) ? between(prng, 50, 800) * SIM_MS : 0;
}

static void draw_load(struct sim_options *options, struct prng *prng)
{
    options->clients = (uint32_t)between(prng, 1, SIM_CLIENTS_MAX);
    options->window = (uint32_t)between(prng, 1, SIM_WINDOW_MAX);
    options->keys = (uint32_t)between(prng, 1, SIM_KEYS_MAX);
    options->reads_percent = (uint32_t)between(prng, 0, 60);
    options->payload_max = one_in(prng, 3) ? 16 << 10 : (uint32_t)between(prng, 64, 3000);
    options->answer_max = one_in(prng, 3) ? 20000 : 200;
    options->ballast_bytes = one_in(prng, 4) ? (uint32_t)between(prng, 0, 200 << 10) : 0;
    options->session_pages = one_in(prng, 4) ? 4 : 32;
    options->sessions_max = options->session_pages;
}

// Little work and short timeouts: most of the time somebody stands, or has just won. Often five
// nodes: what two of them hold may come to nothing. Often windows of an entry or two: a majority
// has those of old terms long before the no-op of the new one.
static void draw_elections(struct sim_options *options, struct prng *prng)
{
    options->is_electing = true;
    options->nodes = one_in(prng, 2) ? 5 : options->nodes;
    options->groups = options->reactors = 1;
    options->workers = 0;
    options->clients = (uint32_t)between(prng, 1, 4);
    options->payload_max = 200;
    options->window_entries = one_in(prng, 2) ? (uint32_t)between(prng, 1, 2) : 64;
    options->ballast_bytes = 0;
    options->election_min_ns = between(prng, 8, 20) * SIM_MS;
    options->election_max_ns = 2 * options->election_min_ns;
    options->heartbeat_ns = options->election_min_ns / between(prng, 4, 8);
    options->classes = 1u << SIM_CLASS_HUNT | 1u << SIM_CLASS_TRICKS;
    options->classes |= 1u << between(prng, 0, SIM_CLASS_TRICKS);
}

// Logs with holes, and leaders that leave them behind: no-ops and fetches. Every second one is an
// election after the other: what some have and others do not is judged again and again, by other
// majorities.
static void draw_holes(struct sim_options *options, struct prng *prng)
{
    options->classes = 1u << SIM_CLASS_NOISE | 1u << SIM_CLASS_CRASH | 1u << SIM_CLASS_HUNT;
    options->window = SIM_WINDOW_MAX; // a great many small entries under way
    options->clients = SIM_CLIENTS_MAX;
    options->window_entries = options->window_entries < 64 ? 64 : options->window_entries;
    options->duration_ns /= 6;
    options->payload_max = options->payload_max < 400 ? options->payload_max : 400;
    if (one_in(prng, 2)) {
        draw_elections(options, prng);
        options->is_leaving_holes = true;
        options->nodes = one_in(prng, 3) ? 7 : options->nodes;
        options->clients = (uint32_t)between(prng, 2, SIM_CLIENTS_MAX);
        options->burst = (uint32_t)between(prng, 2, 8);
        options->reads_percent /= 4;
        options->payload_max =
            (uint32_t)between(prng, 100, options->frame_bytes / 2); // few a frame
        options->window_bytes = options->window_bytes < 1 << 16 ? 1 << 16 : options->window_bytes;
        options->classes = 1u << SIM_CLASS_NOISE | 1u << SIM_CLASS_HUNT;
        options->classes |= 1u << between(prng, 0, SIM_CLASS_TRICKS);
    }
}

static void draw_cluster(struct sim_options *options, struct prng *prng)
{
    options->nodes = draw_nodes(prng);
    options->groups = one_in(prng, 4) ? (uint32_t)between(prng, 2, SIM_GROUPS_MAX) : 1;
    options->reactors = options->groups > 1 && one_in(prng, 3) ? 2 : 1;
    options->workers = one_in(prng, 3) ? (uint32_t)between(prng, 1, SIM_WORKERS_MAX) : 0;
    options->is_volatile = one_in(prng, 4);
    draw_sizes(options, prng);
    draw_times(options, prng);
    draw_load(options, prng);
    options->duration_ns = between(prng, 1500, 4000) * SIM_MS;
    options->afflicted = one_in(prng, 8) ? 0 : (uint16_t)between(prng, 1, options->nodes);
}

// ------------------------------------------------------------------------------------------------
// the plan

static uint16_t any_node(const struct sim_options *options, struct prng *prng)
{
    return (uint16_t)between(prng, 1, options->nodes);
}

static uint16_t another_node(const struct sim_options *options, struct prng *prng, uint16_t node)
{
    uint16_t other = (uint16_t)between(prng, 1, options->nodes - 1 + (options->nodes == 1));
    return other >= node && options->nodes > 1 ? (uint16_t)(other + 1) : other;
}

// Mostly short against an election, sometimes long.
static uint64_t some_time(const struct sim_options *options, struct prng *prng)
{
    return one_in(prng, 3) ? between(prng, options->election_min_ns, 8 * options->election_min_ns)
                           : between(prng, SIM_MS, 2 * options->election_min_ns);
}

static bool is_damage(enum sim_fault_kind kind)
{
    return sim_fault_row(kind)->class == SIM_CLASS_DAMAGE;
}

static bool is_possible(const struct sim_options *options, enum sim_fault_kind kind)
{
    if ((options->classes >> sim_fault_row(kind)->class & 1) == 0) {
        return false;
    }
    if (kind == SIM_POWER_CUT_ALL || kind == SIM_DISK_FAILS) {
        return !options->is_volatile;
    }
    if (kind == SIM_DISK_MOVED) {
        return !options->is_volatile && options->nodes > 1; // alone, both would serve
    }
    if (kind == SIM_ENTRIES_LOST &&
        options->payload_max + FRAME_HEADS_BYTES > options->frame_bytes) {
        return false; // many fragments sent again at once: known, and not mended (README.md)
    }
    if (kind == SIM_DISK_LIES && options->afflicted == 0) {
        return false; // what one loses, others must have
    }
    if (is_damage(kind)) {
        return options->nodes >= 3 && (!options->is_volatile || kind == SIM_ROT_META);
    }
    return kind != SIM_WORKERS_STALL || options->workers > 0;
}

static enum sim_fault_kind draw_kind(const struct sim_options *options, struct prng *prng)
{
    if (options->is_leaving_holes && one_in(prng, 2)) {
        static const uint8_t kinds[] = {SIM_ENTRIES_LOST, SIM_HUNT_LEADERS, SIM_HUNT_INSTALLS};
        return kinds[between(prng, 0, 2)];
    }
    if (options->is_electing && one_in(prng, 3)) {
        return SIM_HUNT_LEADERS;
    }
    enum sim_fault_kind kind;
    do {
        kind = (enum sim_fault_kind)between(prng, 0, SIM_FAULT_KINDS - 1);
    } while (!is_possible(options, kind));
    return kind;
}

static void draw_fault(const struct sim_options *options, struct prng *prng,
                       struct sim_fault *fault)
{
    fault->kind = draw_kind(options, prng);
    fault->at_ns = between(prng, 0, options->duration_ns);
    if (fault->kind == SIM_DISK_LOST) { // late: the node is of no more use
        fault->at_ns = options->duration_ns - fault->at_ns / 4;
    }
    fault->for_ns = some_time(options, prng);
    bool is_long = sim_fault_row(fault->kind)->class == SIM_CLASS_HUNT;
    is_long |= fault->kind == SIM_STRAGGLERS || fault->kind == SIM_ENTRIES_LOST;
    fault->for_ns *= is_long ? 5 : 1;
    fault->node = any_node(options, prng);
    if (is_damage(fault->kind) && options->afflicted != 0) {
        fault->node = options->afflicted;
    }
    fault->peer = fault->kind == SIM_CLIENT_RESTART
                      ? (uint16_t)between(prng, 0, options->clients - 1)
                      : another_node(options, prng, fault->node);
    const struct sim_fault_row *row = sim_fault_row(fault->kind);
    fault->strength = (uint32_t)between(prng, row->strength_min, row->strength_max);
}

static int by_time(const void *a, const void *b)
{
    const struct sim_fault *x = a, *y = b;
    return x->at_ns < y->at_ns ? -1 : x->at_ns > y->at_ns;
}

static bool has_any(const struct sim_options *options)
{
    bool has = false;
    for (uint32_t kind = 0; kind < SIM_FAULT_KINDS; kind++) {
        has |= is_possible(options, (enum sim_fault_kind)kind);
    }
    return has;
}

enum raft_order sim_order(uint64_t seed)
{
    struct prng prng;
    prng_init(&prng, seed ^ 5);
    return one_in(&prng, 3) ? RAFT_ORDER_PARALLEL : RAFT_ORDER_STRICT;
}

static enum sim_ranges draw_ranges(uint64_t seed, enum raft_order order)
{
    static const enum sim_ranges ranges[4] = {SIM_RANGES_NONE, SIM_RANGES_NONE, SIM_RANGES_TRUE,
                                              SIM_RANGES_WRONG};
    struct prng prng;
    prng_init(&prng, seed ^ 6);
    return order == RAFT_ORDER_STRICT ? SIM_RANGES_NONE : ranges[between(&prng, 0, 3)];
}

// The paper's way of applying beyond holes, in some parallel worlds.
static uint32_t draw_look_behind(uint64_t seed, enum raft_order order)
{
    struct prng prng;
    prng_init(&prng, seed ^ 7);
    bool looks_behind = order == RAFT_ORDER_PARALLEL && one_in(&prng, 5);
    return looks_behind ? (uint32_t)between(&prng, 1, 4) : 0;
}

// Holes are filled soon, and few checkpoints that are due meet any.
static uint32_t draw_checkpoint_at_holes(const struct sim_options *options)
{
    struct prng prng;
    prng_init(&prng, options->seed ^ 8);
    bool is_possible = options->order == RAFT_ORDER_PARALLEL && !options->is_volatile;
    return is_possible && one_in(&prng, 2) ? (uint32_t)between(&prng, 1, 16) : 0;
}

void sim_swarm(struct sim_options *options, struct sim_plan *plan, uint64_t seed,
               enum raft_order order, uint32_t operations, uint32_t faults)
{
    struct prng prng;
    prng_init(&prng, seed);
    *options = (struct sim_options){.seed = seed, .order = order, .operations = operations};
    *plan = (struct sim_plan){.count = 0};
    options->ranges = draw_ranges(seed, order);
    options->look_behind = draw_look_behind(seed, order);
    draw_cluster(options, &prng);
    options->checkpoint_at_holes = draw_checkpoint_at_holes(options);
    options->classes = (uint32_t)(prng_next(&prng) & prng_next(&prng)) & ((1u << SIM_CLASSES) - 1);
    options->classes |= one_in(&prng, 4) ? (1u << SIM_CLASSES) - 1 : 1u << SIM_CLASS_CRASH;
    if (one_in(&prng, 8)) { // leaders come and go all the time: the situations of figure 8
        options->classes = 1u << SIM_CLASS_HUNT | 1u << between(&prng, 0, SIM_CLASS_TRICKS);
    }
    if (one_in(&prng, 4)) {
        draw_elections(options, &prng);
    }
    if (options->order == RAFT_ORDER_PARALLEL && one_in(&prng, 3)) {
        draw_holes(options, &prng);
    }
    uint32_t count = faults == 0 ? 0 : (uint32_t)between(&prng, 1, 2 * faults - 1);
    plan->count = count < SIM_FAULTS_MAX ? count : SIM_FAULTS_MAX;
    plan->count = has_any(options) ? plan->count : 0;
    // A volatile node that crashes has lost its memory, and a majority of them ends a group for
    // good, rightly: few crashes, then.
    uint32_t crashes_left = options->is_volatile ? (uint32_t)between(&prng, 0, 4) : UINT32_MAX;
    for (uint32_t at = 0; at < plan->count; at++) {
        struct sim_fault *fault = &plan->faults[at];
        draw_fault(options, &prng, fault);
        if (sim_fault_row(fault->kind)->class == SIM_CLASS_CRASH) {
            fault->is_left_out = crashes_left == 0;
            crashes_left -= crashes_left > 0;
        }
    }
    qsort(plan->faults, plan->count, sizeof(plan->faults[0]), by_time);
}
