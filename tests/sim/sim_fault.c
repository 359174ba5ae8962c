// Carries out the plan: what each fault does when it begins, and takes back when it ends. What the
// numbers of a fault mean stands in the table.
#include <string.h>

#include "engine/wal/wal_state.h"
#include "tests/sim/sim.h"

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

// ------------------------------------------------------------------------------------------------
// links

static void cut(struct sim *sim, uint16_t from, uint16_t to, bool begins)
{
    sim->links[from][to].cuts += begins ? 1u : 0;
    sim->links[from][to].cuts -= begins ? 0 : 1u;
}

static void cut_both(struct sim *sim, uint16_t a, uint16_t b, bool begins)
{
    cut(sim, a, b, begins);
    cut(sim, b, a, begins);
}

// A side of a bisection keeps its clients, by chance of the mask's top bits.
static void bisect(struct sim *sim, const struct sim_fault *fault, bool begins)
{
    for (uint16_t a = 1; a <= sim->options.nodes; a++) {
        for (uint16_t b = (uint16_t)(a + 1); b <= sim->options.nodes; b++) {
            if (((fault->strength >> a) & 1) != ((fault->strength >> b) & 1)) {
                cut_both(sim, a, b, begins);
            }
        }
    }
}

static void isolate(struct sim *sim, uint16_t id, bool begins)
{
    for (uint16_t other = 1; other <= sim->options.nodes; other++) {
        if (other != id) {
            cut_both(sim, id, other, begins);
        }
    }
}

static void add(uint32_t *ppm, uint32_t strength, bool begins)
{
    *ppm = begins ? *ppm + strength : *ppm - strength;
}

static void make_noise(struct sim *sim, const struct sim_fault *fault, bool begins)
{
    uint64_t half_ns = fault->strength * SIM_US / 2;
    for (uint16_t from = 0; from <= sim->options.nodes; from++) {
        for (uint16_t to = 0; to <= sim->options.nodes; to++) {
            struct sim_link *link = &sim->links[from][to];
            if (fault->kind == SIM_LOSS) {
                add(&link->loss_ppm, fault->strength, begins);
            } else if (fault->kind == SIM_DUPLICATES) {
                add(&link->duplicate_ppm, fault->strength, begins);
            } else if (fault->kind == SIM_CORRUPTION) {
                add(&link->corrupt_ppm, fault->strength, begins);
            } else if (fault->kind == SIM_STRAGGLERS) {
                add(&link->straggler_ppm, fault->strength, begins);
            } else {
                link->delay_ns += begins ? half_ns : 0 - half_ns;
                link->jitter_ns += begins ? half_ns : 0 - half_ns;
            }
        }
    }
}

static void slow_links(struct sim *sim, const struct sim_fault *fault, bool begins)
{
    uint64_t more_ns = fault->strength * sim->options.link_max_ns;
    for (uint16_t other = 0; other <= sim->options.nodes; other++) {
        if (other != fault->node) {
            sim->links[fault->node][other].delay_ns += begins ? more_ns : 0 - more_ns;
            sim->links[other][fault->node].delay_ns += begins ? more_ns : 0 - more_ns;
        }
    }
}

static void filter(struct sim *sim, uint32_t type, bool begins)
{
    static const uint8_t types[] = {RAFT_MSG_PRE_VOTE,     RAFT_MSG_PRE_VOTE_REPLY, RAFT_MSG_VOTE,
                                    RAFT_MSG_VOTE_REPLY,   RAFT_MSG_APPEND,         RAFT_MSG_APPEND,
                                    RAFT_MSG_APPEND_REPLY, WIRE_APPEND_FRAGMENT,    WIRE_SNAPSHOT,
                                    WIRE_SNAPSHOT_REPLY};
    for (uint16_t from = 0; from <= sim->options.nodes; from++) {
        for (uint16_t to = 0; to <= sim->options.nodes; to++) {
            sim->links[from][to].filter = begins ? 1u << types[type] : 0;
        }
    }
}

static void send_to_one(struct sim *sim, const struct sim_fault *fault, bool begins)
{
    for (uint16_t other = 1; other <= sim->options.nodes; other++) {
        if (other != fault->node && other != fault->peer) {
            cut(sim, fault->node, other, begins);
        }
    }
}

// ------------------------------------------------------------------------------------------------
// traps: what makes figure 8 of the paper, and forgotten votes, likely instead of one in a million

static void release_trapped(struct sim *sim)
{
    for (uint32_t at = 0; at < sim->options.nodes; at++) {
        heap_remove(&sim->events, SIM_EVENT_TRAP + at);
        if (sim->nodes[at].is_trapped) {
            sim->nodes[at].is_trapped = false;
            isolate(sim, sim->nodes[at].id, false);
        }
    }
}

static void unmute_all(struct sim *sim)
{
    for (uint32_t at = 0; at < sim->options.nodes; at++) {
        sim->nodes[at].is_muted = false;
    }
}

static const struct sim_fault *active(const struct sim *sim, enum sim_fault_kind kind)
{
    for (uint32_t at = 0; at < sim->plan.count; at++) {
        if (sim->active_until_ns[at] != 0 && sim->plan.faults[at].kind == kind) {
            return &sim->plan.faults[at];
        }
    }
    return NULL;
}

// Of the oldest hunt that is on.
static void choose_favourite(struct sim *sim)
{
    const struct sim_fault *hunt = active(sim, SIM_HUNT_LEADERS);
    sim->favourite = hunt != NULL && hunt->strength % 2 == 0 ? hunt->node : 0;
}

static void choose_trap(struct sim_node *node)
{
    struct sim *sim = node->sim;
    bool may_crash = !sim->options.is_volatile; // or the group would soon have lost its memory
    bool is_crash = may_crash && prng_chance(&sim->prng, 1, 2);
    bool is_pause = prng_chance(&sim->prng, 1, 3);
    node->trap = is_crash ? SIM_TRAP_CRASH : is_pause ? SIM_TRAP_PAUSE : SIM_TRAP_CUT_OFF;
}

// A node that is neither.
static uint16_t another(const struct sim_node *node, uint16_t other)
{
    struct sim *sim = node->sim;
    uint16_t id = (uint16_t)(1 + prng_below(&sim->prng, sim->options.nodes));
    while (sim->options.nodes > 2 && (id == node->id || id == other)) {
        id = (uint16_t)(id % sim->options.nodes + 1);
    }
    return id;
}

// Whoever stands may be muted, so that it leads with a log that nobody else has, or one other node;
// whoever leads is crashed, cut off or paused within moments. One victim goes free when the next
// one is there. Every second hunt has a favourite, who leads again and again, heard by one other
// node, and in between has its log cut by whoever comes to lead for a moment.
static void hunt_leader(struct sim_node *node, enum raft_role role, const struct sim_fault *hunt)
{
    struct sim *sim = node->sim;
    bool has_favourite = sim->favourite != 0, is_favourite = sim->favourite == node->id;
    if (role == RAFT_CANDIDATE) {
        uint64_t one_in = sim->options.is_leaving_holes ? 4 : 2; // (the muted leave none)
        bool is_muted = has_favourite ? is_favourite : prng_chance(&sim->prng, 1, one_in);
        bool has_confidant = is_favourite || prng_chance(&sim->prng, 1, 2);
        unmute_all(sim);
        node->is_muted = is_muted;
        node->confidant = has_confidant ? another(node, node->id) : 0;
        return;
    }
    release_trapped(sim);
    choose_trap(node);
    bool is_heard_by_one = node->is_muted && node->confidant != 0; // it first fills their logs
    bool is_long = is_heard_by_one || sim->options.is_leaving_holes;
    uint64_t longest_ns = is_long ? 4 * sim->options.election_min_ns : hunt->strength * SIM_US;
    bool is_spared = sim->options.is_leaving_holes && prng_chance(&sim->prng, 3, 4);
    if (!is_spared && (!node->is_muted || is_heard_by_one)) {
        sim_at(sim, SIM_EVENT_TRAP + node->id - 1u,
               sim->now_ns + prng_below(&sim->prng, longest_ns));
    }
}

// What was said to it long ago comes now. Whoever said it to a leader is perhaps not among those
// who hear it now.
static void hurry(struct sim_node *node, bool is_leader)
{
    struct sim *sim = node->sim;
    uint16_t from = sim_net_hurry(sim, node->id, is_leader, sim->options.election_min_ns);
    if (is_leader && from != 0 && sim->options.nodes > 2 && sim->favourite == node->id) {
        node->confidant = another(node, from);
        node->is_muted = true;
    }
}

void sim_fault_on_role(struct sim_node *node, enum raft_role role)
{
    struct sim *sim = node->sim;
    const struct sim_fault *hunt = active(sim, SIM_HUNT_LEADERS);
    bool is_electing = role == RAFT_LEADER || role == RAFT_CANDIDATE;
    bool is_worst = is_electing && sim->late_frames > 0;
    if (is_worst && (sim->favourite == node->id || prng_chance(&sim->prng, 1, 2))) {
        hurry(node, role == RAFT_LEADER); // the worst moment for it
    }
    if (hunt != NULL && is_electing) {
        hunt_leader(node, role, hunt);
    }
    hunt = active(sim, SIM_HUNT_CANDIDATES);
    if (hunt != NULL && role == RAFT_CANDIDATE && !sim->options.is_volatile) {
        node->trap = SIM_TRAP_CRASH;
        sim_at(sim, SIM_EVENT_TRAP + node->id - 1u,
               sim->now_ns + prng_below(&sim->prng, hunt->strength * SIM_US));
    }
}

// A leader who is hunted leaves holes behind in the log of a parallel group.
void sim_fault_on_hole(struct sim_node *leader)
{
    struct sim *sim = leader->sim;
    if (active(sim, SIM_HUNT_LEADERS) != NULL && prng_chance(&sim->prng, 1, 4)) {
        release_trapped(sim);
        choose_trap(leader);
        // Before the hole is asked for, or when others have more of them.
        uint64_t longest_ns = UINT64_C(1024) << prng_below(&sim->prng, 13);
        sim_at(sim, SIM_EVENT_TRAP + leader->id - 1u,
               sim->now_ns + 1 + prng_below(&sim->prng, longest_ns));
    }
}

static void for_disks(struct sim_node *node, void (*change)(struct sim_disk *, uint64_t),
                      uint64_t value)
{
    for (uint32_t which = 0; which < node->sim->options.reactors; which++) {
        change(&node->seats[which]->disk, value);
        change(&node->seats[which]->checkpoint_disk, value);
    }
}

// The log of a term is being made one's own: the disk hangs in the middle, perhaps until another
// term comes, and the node dies meanwhile, or soon after.
void sim_fault_on_install(struct sim_node *node)
{
    struct sim *sim = node->sim;
    const struct sim_fault *hunt = active(sim, SIM_HUNT_INSTALLS);
    if (hunt == NULL || prng_chance(&sim->prng, 1, 2)) {
        return;
    }
    uint64_t for_ns = 1 + prng_below(&sim->prng, hunt->strength * SIM_US);
    for_disks(node, sim_disk_hang, sim->now_ns + for_ns);
    if (!sim->options.is_volatile && prng_chance(&sim->prng, 1, 2)) {
        sim_at(sim, SIM_EVENT_NODE + node->id - 1u,
               sim->now_ns + prng_below(&sim->prng, 2 * for_ns));
    }
}

void sim_fault_trap(struct sim_node *node)
{
    struct sim *sim = node->sim;
    bool is_short = prng_chance(&sim->prng, 1, 2);
    uint64_t longest_ns = is_short ? 5 * SIM_MS : 4 * sim->options.election_min_ns;
    uint64_t for_ns = 1 + prng_below(&sim->prng, longest_ns);
    if (node->trap == SIM_TRAP_CRASH) {
        sim_node_crash(node, true, for_ns);
    } else if (node->trap == SIM_TRAP_PAUSE) {
        node->paused_until_ns = sim->now_ns + for_ns;
    } else if (!node->is_trapped) {
        node->is_trapped = true;
        isolate(sim, node->id, true);
    }
}

// ------------------------------------------------------------------------------------------------
// disks

static void set_slow(struct sim_disk *disk, uint64_t factor)
{
    disk->slow_factor = (uint32_t)factor;
}

static void set_fails(struct sim_disk *disk, uint64_t fails)
{
    disk->fails_next = fails != 0;
}

static void set_full(struct sim_disk *disk, uint64_t is_full)
{
    disk->is_full = is_full != 0;
}

static void set_lying(struct sim_disk *disk, uint64_t is_lying)
{
    disk->is_lying = is_lying != 0;
}

static bool flip(struct sim *sim, struct sim_disk *disk, const char *name, uint64_t offset)
{
    struct sim_file *file = sim_disk_file(disk, name);
    if (file == NULL || offset >= file->bytes) {
        return false;
    }
    file->image[offset] ^= (uint8_t)(1u << prng_below(&sim->disk_prng, 8));
    sim->nodes[disk->node - 1].is_damaged = true;
    return true;
}

// A byte of the log below the durable mark: rot above it, within the last millisecond before a
// crash, is not claimed to be found out (engine/wal/FORMAT.md).
static void rot_log(struct sim *sim, struct sim_node *node, uint32_t strength)
{
    struct sim_seat *seat = node->seats[strength % sim->options.reactors];
    if (seat->reactor == NULL || seat->reactor->is_failed || seat->disk.has_failed) {
        return;
    }
    const struct wal *wal = seat->reactor->wal;
    uint64_t used = wal->floor_position - wal->tail;
    if (used == 0) {
        return;
    }
    uint64_t position = wal->tail + strength % used;
    char name[32];
    snprintf(name, sizeof(name), "log.%u", seat->which);
    if (flip(sim, &seat->disk, name, position % sim->options.log_bytes)) {
        sim_disk_note_damage(&seat->disk);
    }
}

static void rot_checkpoint(struct sim *sim, struct sim_node *node, uint32_t strength)
{
    struct sim_seat *seat = node->seats[strength % sim->options.reactors];
    char name[32];
    snprintf(name, sizeof(name), "checkpoint-%u-%u", strength / 2 % sim->options.groups,
             strength / 16 % 2);
    struct sim_file *file = sim_disk_file(&seat->checkpoint_disk, name);
    if (file != NULL && file->bytes > 0) {
        flip(sim, &seat->checkpoint_disk, name, strength % file->bytes);
    }
}

// Of term and vote, only the first copies rot, and of the superblock only one: two bad copies are a
// lost vote, which is refused.
static void rot_meta(struct sim *sim, struct sim_node *node, uint32_t strength)
{
    struct sim_seat *seat = node->seats[strength % sim->options.reactors];
    char name[32];
    snprintf(name, sizeof(name), "meta.%u", seat->which);
    uint64_t block = 2 * (strength / 2 % (sim->options.groups + 1));
    flip(sim, &seat->disk, name, block * WAL_BLOCK_BYTES + strength / 64 % 64);
}

// ------------------------------------------------------------------------------------------------
// begin and end

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

// The machine comes back with an empty disk: its vote is lost too, so it is refused without an
// explicit bootstrap.
static void lose_disks(struct sim_node *node, uint64_t down_ns)
{
    sim_node_crash(node, true, down_ns);
    for (uint32_t which = 0; which < node->sim->options.reactors && !node->is_up; which++) {
        sim_disk_wipe(&node->seats[which]->disk);
        sim_disk_wipe(&node->seats[which]->checkpoint_disk);
        node->is_damaged = true;
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
        make_noise(sim, fault, true);
        break;
    case SIM_ENTRIES_LOST:
        sim->entries_lost_ppm = fault->strength;
        break;
    case SIM_LINK_SLOW:
        slow_links(sim, fault, true);
        break;
    case SIM_CUT_ONE_WAY:
        cut(sim, fault->node, fault->peer, true);
        break;
    case SIM_CUT_LINK:
        cut_both(sim, fault->node, fault->peer, true);
        break;
    case SIM_ISOLATE:
        isolate(sim, fault->node, true);
        break;
    case SIM_BISECT:
        bisect(sim, fault, true);
        break;
    case SIM_CUT_CLIENT:
        cut_both(sim, fault->node, 0, true);
        break;
    case SIM_CLOG:
        sim->links[fault->node][fault->peer].clogged_until_ns = until_ns;
        break;
    case SIM_FILTER:
        filter(sim, fault->strength, true);
        break;
    case SIM_REPLAY:
        sim_net_replay(sim, fault->strength);
        break;
    case SIM_FORGERY:
        sim_net_forge(sim, fault->node, fault->strength);
        break;
    case SIM_DISK_SLOW:
        for_disks(node, set_slow, fault->strength);
        break;
    case SIM_DISK_STUCK:
        for_disks(node, sim_disk_hang, until_ns);
        break;
    case SIM_DISK_FAILS:
        for_disks(node, set_fails, true);
        break;
    case SIM_DISK_FULL:
        for_disks(node, set_full, true);
        break;
    case SIM_ROT_LOG:
        rot_log(sim, node, fault->strength);
        break;
    case SIM_ROT_CHECKPOINT:
        rot_checkpoint(sim, node, fault->strength);
        break;
    case SIM_ROT_META:
        rot_meta(sim, node, fault->strength);
        break;
    case SIM_LOST_WRITE:
        node->seats[fault->strength % sim->options.reactors]->disk.loses_next = true;
        break;
    case SIM_MISDIRECTED_WRITE:
        node->seats[fault->strength % sim->options.reactors]->disk.misdirects_next = true;
        break;
    case SIM_DISK_LIES:
        node->is_damaged = node->is_liar = true;
        for_disks(node, set_lying, true);
        break;
    case SIM_DISK_LOST:
        lose_disks(node, fault->for_ns);
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
        send_to_one(sim, fault, true);
        break;
    case SIM_HUNT_LEADERS:
        choose_favourite(sim);
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
        make_noise(sim, fault, false);
        break;
    case SIM_ENTRIES_LOST: {
        const struct sim_fault *other = active(sim, SIM_ENTRIES_LOST);
        sim->entries_lost_ppm = other == NULL ? 0 : other->strength;
        break;
    }
    case SIM_LINK_SLOW:
        slow_links(sim, fault, false);
        break;
    case SIM_DISK_MOVED:
        sim_node_end_ghost(node);
        break;
    case SIM_CUT_ONE_WAY:
        cut(sim, fault->node, fault->peer, false);
        break;
    case SIM_CUT_LINK:
        cut_both(sim, fault->node, fault->peer, false);
        break;
    case SIM_ISOLATE:
        isolate(sim, fault->node, false);
        break;
    case SIM_BISECT:
        bisect(sim, fault, false);
        break;
    case SIM_CUT_CLIENT:
        cut_both(sim, fault->node, 0, false);
        break;
    case SIM_FILTER:
        filter(sim, 0, false);
        break;
    case SIM_DISK_SLOW:
        for_disks(node, set_slow, 1);
        break;
    case SIM_DISK_STUCK:
        for_disks(node, sim_disk_hang, 0);
        break;
    case SIM_DISK_FAILS:
        for_disks(node, set_fails, false);
        sim_node_crash(node, false, SIM_MS); // the operator starts it again
        break;
    case SIM_DISK_FULL:
        for_disks(node, set_full, false);
        break;
    case SIM_DISK_LIES:
        for_disks(node, set_lying, false);
        break;
    case SIM_CLOCK_DRIFT:
    case SIM_CLOCK_FREEZE:
        set_drift(node, 0, 0);
        break;
    case SIM_FEW_BUFFERS:
        set_buffers(node, sim->options.tx_buffers);
        break;
    case SIM_SEND_TO_ONE:
        send_to_one(sim, fault, false);
        break;
    case SIM_HUNT_LEADERS:
        choose_favourite(sim);
        release_trapped(sim);
        unmute_all(sim);
        break;
    case SIM_HUNT_INSTALLS:
        for (uint32_t at = 0; at < sim->options.nodes; at++) {
            for_disks(&sim->nodes[at], sim_disk_hang, 0);
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
