// Carries out the plan: what each fault does when it begins, and takes back when it ends. What the
// numbers of a fault mean stands in the table.
#include "tests/sim/sim_fault.h"

// Name, class, smallest and largest strength, what that means; and whose fault it is.
static const struct sim_fault_row rows[SIM_FAULT_KINDS] = {
    [SIM_POWER_CUT] = {"power-cut", SIM_CLASS_CRASH, 0, 0},         // node is down for that time
    [SIM_KILL] = {"kill", SIM_CLASS_CRASH, 0, 0},                   // likewise; the disk stays on
    [SIM_POWER_CUT_ALL] = {"power-cut-all", SIM_CLASS_CRASH, 0, 0}, // for: the longest is down
    [SIM_CRASH_IN_RECOVERY] = {"crash-in-recovery", SIM_CLASS_CRASH, 1, 12}, // disk requests
    [SIM_CLEAN_STOP] = {"clean-stop", SIM_CLASS_CRASH, 0, 0},
    [SIM_PAUSE] = {"pause", SIM_CLASS_PROCESS, 0, 0},
    // Another machine has its disks and its address; the old process sends on for that long.
    [SIM_DISK_MOVED] = {"disk-moved", SIM_CLASS_PROCESS, 0, 0},
    [SIM_SLOW_POLLS] = {"slow-polls", SIM_CLASS_PROCESS, 0, 0},
    [SIM_WORKERS_STALL] = {"workers-stall", SIM_CLASS_PROCESS, 0, 0},
    [SIM_CLIENT_RESTART] = {"client-restart", SIM_CLASS_PROCESS, 0, 0},     // peer: which client
    [SIM_LOSS] = {"loss", SIM_CLASS_NOISE, 1000, 300000},                   // ppm, on all links
    [SIM_ENTRIES_LOST] = {"entries-lost", SIM_CLASS_NOISE, 200000, 900000}, // ppm of their frames
    [SIM_DUPLICATES] = {"duplicates", SIM_CLASS_NOISE, 1000, 500000},       // ppm
    [SIM_DELAY] = {"delay", SIM_CLASS_NOISE, 100, 20000},                   // us, half of it chance
    [SIM_LINK_SLOW] = {"link-slow", SIM_CLASS_NOISE, 5, 100},               // times; node with all
    [SIM_CORRUPTION] = {"corruption", SIM_CLASS_NOISE, 1000, 50000},        // ppm
    [SIM_CUT_ONE_WAY] = {"cut-one-way", SIM_CLASS_PARTITION, 0, 0},         // node to peer
    [SIM_CUT_LINK] = {"cut-link", SIM_CLASS_PARTITION, 0, 0},               // node and peer
    [SIM_ISOLATE] = {"isolate", SIM_CLASS_PARTITION, 0, 0},                 // from all nodes
    [SIM_BISECT] = {"bisect", SIM_CLASS_PARTITION, 1, 255},                 // mask of one side
    [SIM_CUT_CLIENT] = {"cut-clients", SIM_CLASS_PARTITION, 0, 0},          // node and all clients
    [SIM_CLOG] = {"clog", SIM_CLASS_TRICKS, 0, 0},                          // node to peer
    [SIM_FILTER] = {"filter", SIM_CLASS_TRICKS, 0, 9},                      // which type of message
    [SIM_REPLAY] = {"replay", SIM_CLASS_TRICKS, 1, 64},                     // frames
    [SIM_STRAGGLERS] = {"stragglers", SIM_CLASS_TRICKS, 10000, 300000}, // ppm, come very late too
    [SIM_FORGERY] = {"forgery", SIM_CLASS_TRICKS, 1, 30},               // frames
    [SIM_DISK_SLOW] = {"disk-slow", SIM_CLASS_DISK, 5, 100},            // times
    [SIM_DISK_STUCK] = {"disk-stuck", SIM_CLASS_DISK, 0, 0},
    [SIM_DISK_FAILS] = {"disk-fails", SIM_CLASS_DISK, 0,
                        0}, // the next write; until it is restarted
    [SIM_DISK_FULL] = {"disk-full", SIM_CLASS_DISK, 0, 0},
    [SIM_ROT_LOG] = {"rot-log", SIM_CLASS_DAMAGE, 0, 1 << 30}, // which bit
    [SIM_ROT_CHECKPOINT] = {"rot-checkpoint", SIM_CLASS_DAMAGE, 0, 1 << 30},
    [SIM_ROT_META] = {"rot-meta", SIM_CLASS_DAMAGE, 0, 1 << 30},
    [SIM_LOST_WRITE] = {"lost-write", SIM_CLASS_DAMAGE, 0, 1 << 30}, // which reactor's
    [SIM_MISDIRECTED_WRITE] = {"misdirected-write", SIM_CLASS_DAMAGE, 0, 1 << 30},
    [SIM_DISK_LIES] = {"disk-lies", SIM_CLASS_DAMAGE, 0, 0}, // flushes of the log do nothing
    [SIM_DISK_LOST] = {"disk-lost", SIM_CLASS_DAMAGE, 0, 0}, // with its vote: the node stays down
    [SIM_CLOCK_DRIFT] = {"clock-drift", SIM_CLASS_CLOCK, 950000, 1050000}, // ppm of its rate
    [SIM_CLOCK_JUMP] = {"clock-jump", SIM_CLASS_CLOCK, 1000, 500000},      // us, forward
    [SIM_CLOCK_FREEZE] = {"clock-freeze", SIM_CLASS_CLOCK, 0, 0},
    [SIM_FEW_BUFFERS] = {"few-buffers", SIM_CLASS_SHORTAGE, 0, 8},
    [SIM_UNLOCATED] = {"unlocated", SIM_CLASS_SHORTAGE, 0, 0},      // node does not find peer
    [SIM_SEND_TO_ONE] = {"send-to-one", SIM_CLASS_PARTITION, 0, 0}, // node reaches only peer
    [SIM_HUNT_LEADERS] = {"hunt-leaders", SIM_CLASS_HUNT, 1, 2000}, // within so many us
    [SIM_HUNT_CANDIDATES] = {"hunt-candidates", SIM_CLASS_HUNT, 1, 500},
    [SIM_HUNT_INSTALLS] = {"hunt-installs", SIM_CLASS_HUNT, 1, 40000}, // its disk hangs so many us
};

const struct sim_fault_row *sim_fault_row(enum sim_fault_kind kind)
{
    return &rows[kind];
}

const char *sim_class_name(enum sim_class class)
{
    static const char *const names[] = {"crash", "process", "noise", "partition", "tricks",
                                        "disk",  "damage",  "clock", "shortage",  "hunt"};
    return names[class];
}

const struct sim_fault *sim_fault_active(const struct sim *sim, enum sim_fault_kind kind)
{
    for (uint32_t at = 0; at < sim->plan.count; at++) {
        if (sim->active_until_ns[at] != 0 && sim->plan.faults[at].kind == kind) {
            return &sim->plan.faults[at];
        }
    }
    return NULL;
}

static void set_drift(struct sim_node *node, int32_t ppm, uint64_t jump_ns)
{
    sim_clock_set(&node->clock, ppm, jump_ns);
}

static void set_buffers(struct sim_node *node, uint32_t buffers)
{
    for (uint32_t which = 0; which < node->sim->options.reactors; which++) {
        node->seats[which]->net.tx_buffers = buffers;
    }
}

static void cut_power_of_all(struct sim *sim, uint64_t for_ns)
{
    for (uint32_t at = 0; at < sim->options.nodes; at++) {
        sim_node_crash(&sim->nodes[at], true, 1 + prng_below(&sim->prng, for_ns));
    }
}

static void begin(struct sim *sim, const struct sim_fault *fault, uint64_t until_ns)
{
    struct sim_node *node = fault->node == 0 ? NULL : &sim->nodes[fault->node - 1];
    switch (fault->kind) {
    case SIM_POWER_CUT:
        sim_node_crash(node, true, fault->for_ns);
        break;
    case SIM_KILL:
        sim_node_crash(node, false, fault->for_ns);
        break;
    case SIM_POWER_CUT_ALL:
        cut_power_of_all(sim, fault->for_ns);
        break;
    case SIM_CRASH_IN_RECOVERY:
        sim_node_crash(node, true, fault->for_ns);
        node->dies_in = fault->strength;
        break;
    case SIM_CLEAN_STOP:
        node->is_stopping = node->is_up;
        break;
    case SIM_PAUSE:
        node->paused_until_ns = until_ns;
        break;
    case SIM_DISK_MOVED:
        sim_node_move(node, 1 + prng_below(&sim->prng, fault->for_ns));
        break;
    case SIM_SLOW_POLLS:
        node->slow_until_ns = until_ns;
        break;
    case SIM_WORKERS_STALL:
        node->workers_until_ns = until_ns;
        break;
    case SIM_CLIENT_RESTART:
        sim_client_restart(&sim->clients[fault->peer]);
        break;
    case SIM_LOSS:
    case SIM_DUPLICATES:
    case SIM_DELAY:
    case SIM_CORRUPTION:
    case SIM_STRAGGLERS:
        sim_fault_make_noise(sim, fault, true);
        break;
    case SIM_ENTRIES_LOST:
        sim->entries_lost_ppm = fault->strength;
        break;
    case SIM_LINK_SLOW:
        sim_fault_slow_links(sim, fault, true);
        break;
    case SIM_CUT_ONE_WAY:
        sim_fault_cut(sim, fault->node, fault->peer, true);
        break;
    case SIM_CUT_LINK:
        sim_fault_cut_both(sim, fault->node, fault->peer, true);
        break;
    case SIM_ISOLATE:
        sim_fault_isolate(sim, fault->node, true);
        break;
    case SIM_BISECT:
        sim_fault_bisect(sim, fault, true);
        break;
    case SIM_CUT_CLIENT:
        sim_fault_cut_both(sim, fault->node, 0, true);
        break;
    case SIM_CLOG:
        sim->links[fault->node][fault->peer].clogged_until_ns = until_ns;
        break;
    case SIM_FILTER:
        sim_fault_filter(sim, fault->strength, true);
        break;
    case SIM_REPLAY:
        sim_net_replay(sim, fault->strength);
        break;
    case SIM_FORGERY:
        sim_net_forge(sim, fault->node, fault->strength);
        break;
    case SIM_DISK_SLOW:
        sim_fault_slow_disks(node, fault->strength);
        break;
    case SIM_DISK_STUCK:
        sim_fault_hang_disks(node, until_ns);
        break;
    case SIM_DISK_FAILS:
        sim_fault_fail_disks(node, true);
        break;
    case SIM_DISK_FULL:
        sim_fault_fill_disks(node, true);
        break;
    case SIM_ROT_LOG:
        sim_fault_rot_log(sim, node, fault->strength);
        break;
    case SIM_ROT_CHECKPOINT:
        sim_fault_rot_checkpoint(sim, node, fault->strength);
        break;
    case SIM_ROT_META:
        sim_fault_rot_meta(sim, node, fault->strength);
        break;
    case SIM_LOST_WRITE:
        node->seats[fault->strength % sim->options.reactors]->disk.loses_next = true;
        break;
    case SIM_MISDIRECTED_WRITE:
        node->seats[fault->strength % sim->options.reactors]->disk.misdirects_next = true;
        break;
    case SIM_DISK_LIES:
        node->is_damaged = node->is_liar = true;
        sim_fault_let_disks_lie(node, true);
        break;
    case SIM_DISK_LOST:
        sim_fault_lose_disks(node, fault->for_ns);
        break;
    case SIM_CLOCK_DRIFT:
        set_drift(node, (int32_t)fault->strength - 1000000, 0);
        break;
    case SIM_CLOCK_JUMP:
        set_drift(node, 0, fault->strength * SIM_US);
        break;
    case SIM_CLOCK_FREEZE:
        set_drift(node, -1000000, 0);
        break;
    case SIM_FEW_BUFFERS:
        set_buffers(node, fault->strength);
        break;
    case SIM_SEND_TO_ONE:
        sim_fault_send_to_one(sim, fault, true);
        break;
    case SIM_HUNT_LEADERS:
        sim_fault_choose_favourite(sim);
        break;
    case SIM_UNLOCATED:
    case SIM_HUNT_CANDIDATES:
    case SIM_HUNT_INSTALLS:
    case SIM_FAULT_KINDS:
        break;
    }
}

static void end(struct sim *sim, const struct sim_fault *fault)
{
    struct sim_node *node = fault->node == 0 ? NULL : &sim->nodes[fault->node - 1];
    switch (fault->kind) {
    case SIM_LOSS:
    case SIM_DUPLICATES:
    case SIM_DELAY:
    case SIM_CORRUPTION:
    case SIM_STRAGGLERS:
        sim_fault_make_noise(sim, fault, false);
        break;
    case SIM_ENTRIES_LOST: {
        const struct sim_fault *other = sim_fault_active(sim, SIM_ENTRIES_LOST);
        sim->entries_lost_ppm = other == NULL ? 0 : other->strength;
        break;
    }
    case SIM_LINK_SLOW:
        sim_fault_slow_links(sim, fault, false);
        break;
    case SIM_DISK_MOVED:
        sim_node_end_ghost(node);
        break;
    case SIM_CUT_ONE_WAY:
        sim_fault_cut(sim, fault->node, fault->peer, false);
        break;
    case SIM_CUT_LINK:
        sim_fault_cut_both(sim, fault->node, fault->peer, false);
        break;
    case SIM_ISOLATE:
        sim_fault_isolate(sim, fault->node, false);
        break;
    case SIM_BISECT:
        sim_fault_bisect(sim, fault, false);
        break;
    case SIM_CUT_CLIENT:
        sim_fault_cut_both(sim, fault->node, 0, false);
        break;
    case SIM_FILTER:
        sim_fault_filter(sim, 0, false);
        break;
    case SIM_DISK_SLOW:
        sim_fault_slow_disks(node, 1);
        break;
    case SIM_DISK_STUCK:
        sim_fault_hang_disks(node, 0);
        break;
    case SIM_DISK_FAILS:
        sim_fault_fail_disks(node, false);
        sim_node_crash(node, false, SIM_MS); // the operator starts it again
        break;
    case SIM_DISK_FULL:
        sim_fault_fill_disks(node, false);
        break;
    case SIM_DISK_LIES:
        sim_fault_let_disks_lie(node, false);
        break;
    case SIM_CLOCK_DRIFT:
    case SIM_CLOCK_FREEZE:
        set_drift(node, 0, 0);
        break;
    case SIM_FEW_BUFFERS:
        set_buffers(node, sim->options.tx_buffers);
        break;
    case SIM_SEND_TO_ONE:
        sim_fault_send_to_one(sim, fault, false);
        break;
    case SIM_HUNT_LEADERS:
        sim_fault_end_hunt(sim);
        break;
    case SIM_HUNT_INSTALLS:
        for (uint32_t at = 0; at < sim->options.nodes; at++) {
            sim_fault_hang_disks(&sim->nodes[at], 0);
        }
        break;
    case SIM_HUNT_CANDIDATES:
    case SIM_POWER_CUT:
    case SIM_KILL:
    case SIM_POWER_CUT_ALL:
    case SIM_CRASH_IN_RECOVERY:
    case SIM_CLEAN_STOP:
    case SIM_PAUSE:
    case SIM_SLOW_POLLS:
    case SIM_WORKERS_STALL:
    case SIM_CLIENT_RESTART:
    case SIM_CLOG:
    case SIM_REPLAY:
    case SIM_FORGERY:
    case SIM_ROT_LOG:
    case SIM_ROT_CHECKPOINT:
    case SIM_ROT_META:
    case SIM_LOST_WRITE:
    case SIM_MISDIRECTED_WRITE:
    case SIM_DISK_LOST:
    case SIM_CLOCK_JUMP:
    case SIM_UNLOCATED:
    case SIM_FAULT_KINDS:
        break; // they end by themselves
    }
}

void sim_fault_begin(struct sim *sim, uint32_t number)
{
    const struct sim_fault *fault = &sim->plan.faults[number];
    uint64_t until_ns = sim->now_ns + fault->for_ns;
    sim_hash(sim, fault->kind);
    sim->result->faults++;
    sim->result->faults_of[fault->kind]++;
    sim->active_until_ns[number] = until_ns;
    sim_at(sim, SIM_EVENT_FAULT_END + number, until_ns);
    if (sim->is_verbose) {
        printf("%12lu us  %-18s #%u node %u peer %u strength %u for %lu us\n", sim->now_ns / SIM_US,
               sim_fault_row(fault->kind)->name, number, fault->node, fault->peer, fault->strength,
               fault->for_ns / SIM_US);
    }
    begin(sim, fault, until_ns);
}

void sim_fault_end(struct sim *sim, uint32_t number)
{
    if (sim->active_until_ns[number] != 0) {
        sim->active_until_ns[number] = 0;
        heap_remove(&sim->events, SIM_EVENT_FAULT_END + number);
        end(sim, &sim->plan.faults[number]);
    }
}

void sim_faults_end_all(struct sim *sim)
{
    for (uint32_t number = 0; number < sim->plan.count; number++) {
        sim_fault_end(sim, number);
    }
    heap_remove(&sim->events, SIM_EVENT_FAULT);
    for (uint32_t at = 0; at < sim->options.nodes; at++) {
        struct sim_node *node = &sim->nodes[at];
        node->paused_until_ns = node->workers_until_ns = node->slow_until_ns = 0;
        node->dies_in = 0;
        if (node->is_up && !sim_node_has_failed(node)) {
            heap_remove(&sim->events, SIM_EVENT_NODE + at); // a crash that was put off
        }
        for (uint32_t which = 0; which < sim->options.reactors; which++) {
            node->seats[which]->disk.loses_next = node->seats[which]->disk.misdirects_next = false;
        }
    }
    for (uint32_t from = 0; from <= sim->options.nodes; from++) {
        for (uint32_t to = 0; to <= sim->options.nodes; to++) {
            sim->links[from][to].clogged_until_ns = 0;
        }
    }
}
