// The three phases of a run, and what is demanded in them.
//
//   safety   the plan's faults happen while clients work; nothing wrong may ever be answered or
//            applied
//   quorum   all faults end. A majority is kept and started, the rest is frozen; every group must
//            commit again, every client be served
//   all      the rest comes back; all must become equal, and everybody give back what they hold
//
// By chance one link stays cut in the second and third phase, or a leader hears nobody.
#include "tests/sim/sim.h"

// However short election timeouts are, a leader whose log is full has that long to give way.
#define HEAL_MIN_NS (1600 * SIM_MS)

enum {
    HEAL_TIMEOUTS = 40,
    HALT_TIMEOUTS = 10,
    STABLE_TERMS = 2, // an election or two may still be under way
    SERVED_MIN = 2,   // operations of each client in the last phases
};

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
    // What went down with its memory has to be told by the others: it comes back in the last phase.
    bool must_stay = sim->options.is_volatile;
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
        if (can_go && !must_stay && kept > majority(sim) && !sim_node_must_stay(node, true) &&
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
            has |= raft != NULL && raft->role == RAFT_LEADER && order_knows_commit(raft);
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
    sim_run_until(sim, NULL, sim->options.duration_ns);
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
    if (!sim_run_until(sim, holds, for_ns)) {
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
static void demand_stability(struct sim *sim, uint16_t a, uint16_t b, uint64_t more_max)
{
    uint64_t term = highest_term(sim);
    sim_run_until(sim, NULL, 10 * sim->options.election_max_ns);
    uint64_t now = highest_term(sim);
    SIM_CHECK(sim, now <= term + more_max, "stability",
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

// Every group has a leader that everybody follows, and that has no reason to give way.
static bool is_settled(struct sim *sim)
{
    bool is_settled = true;
    for (uint16_t group = 0; group < sim->options.groups; group++) {
        uint16_t leader = leader_of(sim, group);
        is_settled &= leader != 0 && role_has_room(sim_raft(sim, leader, group));
        for (uint16_t id = 1; id <= sim->options.nodes; id++) {
            const struct raft *raft = sim_raft(sim, id, group);
            is_settled &= raft == NULL || raft->leader == leader;
        }
    }
    return is_settled;
}

// All replicas are equal, nobody asks for anything, and then one link fails. Whoever is cut off by
// it from a leader could win an election, and must not: the others hear theirs (thesis §4.2.3).
static void run_calm(struct sim *sim)
{
    uint16_t up[SIM_NODES_MAX], a, b;
    if (!is_settled(sim)) {
        return;
    }
    if (cut_one_link(sim, &a, &b)) {
        demand_stability(sim, a, b, 0);
    } else if (list_whole(sim, up) > majority(sim) && prng_chance(&sim->prng, 1, 2)) {
        demand_relief(sim);
    }
}

static void run_quorum(struct sim *sim)
{
    uint16_t a = 0, b = 0;
    sim->phase = SIM_QUORUM;
    sim->result->leader = leader_of(sim, 0);
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
        demand_stability(sim, a, b, STABLE_TERMS);
    }
}

// Too few replicas of a group hold all they ever acknowledged: nobody leads it, nothing is
// invented, and every node says so (FAULTS S12).
static void demand_halt(struct sim *sim)
{
    sim_run_until(sim, NULL, HALT_TIMEOUTS * sim->options.election_max_ns);
    for (uint16_t group = 0; group < sim->options.groups; group++) {
        uint32_t lost = 0;
        for (uint16_t id = 1; id <= sim->options.nodes; id++) {
            const struct raft *raft = sim_raft(sim, id, group);
            lost += raft != NULL && !raft->intact;
        }
        for (uint16_t id = 1; id <= sim->options.nodes; id++) {
            const struct raft *raft = sim_raft(sim, id, group);
            bool is_due = lost > sim->options.nodes - majority(sim) && raft != NULL;
            SIM_CHECK(sim, !is_due || (raft->halted && raft->role != RAFT_LEADER), "halt",
                      "node %u group %u: %u nodes lost entries, and it does not say that the group "
                      "has halted",
                      id, group, lost);
        }
    }
}

static bool has_no_late_frames(struct sim *sim)
{
    return sim->late_frames == 0;
}

static void run_all(struct sim *sim)
{
    sim->phase = SIM_ALL;
    for (uint32_t at = 0; at < sim->options.nodes; at++) {
        sim->nodes[at].is_frozen = false;
        sim_node_start(&sim->nodes[at]);
    }
    clients_active(sim, false);
    if (sim->result->is_halted) {
        demand_halt(sim);
    } else {
        demand(sim, is_level, 20 * SIM_S, "all replicas equal and all clients answered");
        run_calm(sim);
        demand(sim, is_level, 20 * SIM_S, "all replicas equal again");
        demand(sim, has_no_late_frames, 20 * sim->options.election_max_ns, "the last frame");
        sim_run_until(sim, NULL, 50 * SIM_MS); // what it brought about, marks, checkpoints
        demand(sim, sim_is_at_rest, 4 * SIM_S, "no checkpoint is kept for others");
    }
    sim_check_digests(sim);
    if (!sim->result->is_halted) {
        sim_check_states(sim);
        sim_check_leaks(sim);
    }
}

void sim_phases(struct sim *sim)
{
    run_safety(sim);
    run_quorum(sim);
    run_all(sim);
}
