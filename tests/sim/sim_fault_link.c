// Faults of links: cuts, noise, slowness, filters. What adds up is taken back by as much.
#include "tests/sim/sim_fault.h"

void sim_fault_cut(struct sim *sim, uint16_t from, uint16_t to, bool begins)
{
    sim->links[from][to].cuts += begins ? 1u : 0;
    sim->links[from][to].cuts -= begins ? 0 : 1u;
}

void sim_fault_cut_both(struct sim *sim, uint16_t a, uint16_t b, bool begins)
{
    sim_fault_cut(sim, a, b, begins);
    sim_fault_cut(sim, b, a, begins);
}

// A side of a bisection keeps its clients, by chance of the mask's top bits.
void sim_fault_bisect(struct sim *sim, const struct sim_fault *fault, bool begins)
{
    for (uint16_t a = 1; a <= sim->options.nodes; a++) {
        for (uint16_t b = (uint16_t)(a + 1); b <= sim->options.nodes; b++) {
            if (((fault->strength >> a) & 1) != ((fault->strength >> b) & 1)) {
                sim_fault_cut_both(sim, a, b, begins);
            }
        }
    }
}

void sim_fault_isolate(struct sim *sim, uint16_t id, bool begins)
{
    for (uint16_t other = 1; other <= sim->options.nodes; other++) {
        if (other != id) {
            sim_fault_cut_both(sim, id, other, begins);
        }
    }
}

static void add(uint32_t *ppm, uint32_t strength, bool begins)
{
    *ppm = begins ? *ppm + strength : *ppm - strength;
}

void sim_fault_make_noise(struct sim *sim, const struct sim_fault *fault, bool begins)
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

void sim_fault_slow_links(struct sim *sim, const struct sim_fault *fault, bool begins)
{
    uint64_t more_ns = fault->strength * sim->options.link_max_ns;
    for (uint16_t other = 0; other <= sim->options.nodes; other++) {
        if (other != fault->node) {
            sim->links[fault->node][other].delay_ns += begins ? more_ns : 0 - more_ns;
            sim->links[other][fault->node].delay_ns += begins ? more_ns : 0 - more_ns;
        }
    }
}

void sim_fault_filter(struct sim *sim, uint32_t type, bool begins)
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

void sim_fault_send_to_one(struct sim *sim, const struct sim_fault *fault, bool begins)
{
    for (uint16_t other = 1; other <= sim->options.nodes; other++) {
        if (other != fault->node && other != fault->peer) {
            sim_fault_cut(sim, fault->node, other, begins);
        }
    }
}
