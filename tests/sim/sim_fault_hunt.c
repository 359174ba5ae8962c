// Hunts and traps: what makes figure 8 of the paper, and forgotten votes, likely instead of one in
// a million. Whoever stands, leads, leaves a hole or installs a log while a hunt is on is crashed,
// cut off, paused or muted just then.
#include "tests/sim/sim_fault.h"

static void release_trapped(struct sim *sim)
{
    for (uint32_t at = 0; at < sim->options.nodes; at++) {
        heap_remove(&sim->events, SIM_EVENT_TRAP + at);
        if (sim->nodes[at].is_trapped) {
            sim->nodes[at].is_trapped = false;
            sim_fault_isolate(sim, sim->nodes[at].id, false);
        }
    }
}

static void unmute_all(struct sim *sim)
{
    for (uint32_t at = 0; at < sim->options.nodes; at++) {
        sim->nodes[at].is_muted = false;
    }
}

// Of the oldest hunt that is on.
void sim_fault_choose_favourite(struct sim *sim)
{
    const struct sim_fault *hunt = sim_fault_active(sim, SIM_HUNT_LEADERS);
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
    const struct sim_fault *hunt = sim_fault_active(sim, SIM_HUNT_LEADERS);
    bool is_electing = role == RAFT_LEADER || role == RAFT_CANDIDATE;
    bool is_worst = is_electing && sim->late_frames > 0;
    if (is_worst && (sim->favourite == node->id || prng_chance(&sim->prng, 1, 2))) {
        hurry(node, role == RAFT_LEADER); // the worst moment for it
    }
    if (hunt != NULL && is_electing) {
        hunt_leader(node, role, hunt);
    }
    hunt = sim_fault_active(sim, SIM_HUNT_CANDIDATES);
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
    if (sim_fault_active(sim, SIM_HUNT_LEADERS) != NULL && prng_chance(&sim->prng, 1, 4)) {
        release_trapped(sim);
        choose_trap(leader);
        // Before the hole is asked for, or when others have more of them.
        uint64_t longest_ns = UINT64_C(1024) << prng_below(&sim->prng, 13);
        sim_at(sim, SIM_EVENT_TRAP + leader->id - 1u,
               sim->now_ns + 1 + prng_below(&sim->prng, longest_ns));
    }
}

// The log of a term is being made one's own: the disk hangs in the middle, perhaps until another
// term comes, and the node dies meanwhile, or soon after.
void sim_fault_on_install(struct sim_node *node)
{
    struct sim *sim = node->sim;
    const struct sim_fault *hunt = sim_fault_active(sim, SIM_HUNT_INSTALLS);
    if (hunt == NULL || prng_chance(&sim->prng, 1, 2)) {
        return;
    }
    uint64_t for_ns = 1 + prng_below(&sim->prng, hunt->strength * SIM_US);
    sim_fault_hang_disks(node, sim->now_ns + for_ns);
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
        sim_fault_isolate(sim, node->id, true);
    }
}

void sim_fault_end_hunt(struct sim *sim)
{
    sim_fault_choose_favourite(sim);
    release_trapped(sim);
    unmute_all(sim);
}
