// What is committed at an index is the same everywhere, and a majority held it durably when it came
// to be committed.
#include "tests/sim/sim_check.h"

// Is what a node has at an index this entry? In a parallel group its term is that of the newest log
// it is part of, and the node may have installed a newer one since.
bool sim_check_is_same(const struct sim *sim, const struct sim_id *has, const struct sim_id *entry)
{
    bool is_strict = sim->options.order == RAFT_ORDER_STRICT;
    return has->is_known && (is_strict ? has->term == entry->term
                                       : has->term >= entry->term && has->crc == entry->crc);
}

struct sim_id sim_check_id(const struct raft_entry *entry)
{
    return entry == NULL || !entry->is_durable
               ? (struct sim_id){0}
               : (struct sim_id){.term = entry->term, .crc = entry->head.crc, .is_known = true};
}

static bool holds_durably(struct sim *sim, uint16_t id, uint16_t group, uint64_t index,
                          const struct sim_id *entry)
{
    const struct raft *raft = sim_raft(sim, id, group);
    struct sim_id has;
    if (raft == NULL) {
        uint32_t which = group % WIRE_CLASSES % sim->options.reactors;
        const struct sim_seen *seen = &sim->nodes[id - 1].seats[which]->seen[group];
        const struct sim_shadow *shadow = sim_check_shadow(&sim->truths[group], seen, id);
        has = sim_check_in_shadow(shadow, index);
        return index <= shadow->base || sim_check_is_same(sim, &has, entry);
    }
    has = sim_check_id(index <= raft->log.base.index ? NULL : raft_entry_at(raft, index));
    return index <= raft->log.base.index || sim_check_is_same(sim, &has, entry);
}

// A volatile node that crashed after its ack has lost the entry (a damaged one may have), and
// counts all the same: it may not help to elect anybody before it was told everything again. What
// must not count is the ack of a node that was not intact, or of one that helps to elect again and
// was not told this.
static bool held_when_it_counted(struct sim *sim, uint16_t id, uint16_t group, uint64_t index,
                                 const struct sim_id *entry)
{
    const struct raft *raft = sim_raft(sim, id, group);
    const struct sim_known_entry *known = sim_check_known(&sim->truths[group], entry->term, index);
    uint32_t bit = 1u << (id - 1);
    bool is_covered = raft != NULL && raft->intact && index <= raft->log.base.index;
    bool has_no_more = (known->lost & bit) != 0 && raft != NULL && raft->intact &&
                       !holds_durably(sim, id, group, index, entry);
    return is_covered || ((known->holders & bit) != 0 && !has_no_more);
}

static void check_majority(struct sim_seat *seat, uint16_t group, uint64_t index,
                           const struct sim_id *entry)
{
    struct sim *sim = seat->node->sim;
    uint32_t holders = 0;
    for (uint16_t id = 1; id <= sim->options.nodes; id++) {
        bool may_have_lost = sim->options.is_volatile || sim->nodes[id - 1].is_damaged;
        bool had = held_when_it_counted(sim, id, group, index, entry);
        bool holds = may_have_lost ? had : holds_durably(sim, id, group, index, entry);
        // What its disk completed just before it was taken away, the process that is left counts.
        holders += holds || (had && sim->nodes[id - 1].ghosts[0] != NULL);
    }
    SIM_CHECK(sim, holders > sim->options.nodes / 2, "majority",
              "node %u group %u: entry (%lu, %lu) is committed, and %u of %u nodes hold it",
              seat->node->id, group, entry->term, index, holders, sim->options.nodes);
}

void sim_check_committed(struct sim_seat *seat, uint16_t group, struct raft_entry_id id,
                         uint64_t in_term, uint32_t crc)
{
    struct sim *sim = seat->node->sim;
    struct sim_truth *truth = &sim->truths[group];
    sim_check_reserve(truth, id.index);
    struct sim_id *known = &truth->committed[id.index];
    bool is_same_term = known->term == id.term || sim->options.order == RAFT_ORDER_PARALLEL;
    SIM_CHECK(sim, !known->is_known || (is_same_term && known->crc == crc), "state-machine-safety",
              "node %u group %u: committed (%lu, %lu) where (%lu, %lu) was committed before",
              seat->node->id, group, id.term, id.index, known->term, id.index);
    if (!known->is_known) {
        *known = (struct sim_id){.term = id.term, .in_term = in_term, .crc = crc, .is_known = true};
        truth->commit = id.index > truth->commit ? id.index : truth->commit;
        check_majority(seat, group, id.index, known);
    }
}

// What the log begins behind was committed; its checksum is not known any more.
static void check_base(struct sim_seat *seat, uint16_t group, struct raft_entry_id base)
{
    struct sim *sim = seat->node->sim;
    struct sim_truth *truth = &sim->truths[group];
    sim_check_reserve(truth, base.index);
    const struct sim_id *known = &truth->committed[base.index];
    SIM_CHECK(sim, !known->is_known || known->term == base.term, "state-machine-safety",
              "node %u group %u: its log begins behind (%lu, %lu) where (%lu, %lu) was committed",
              seat->node->id, group, base.term, base.index, known->term, base.index);
}

void sim_check_commit(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                      const struct sim_seen *seen)
{
    uint64_t from = seen->commit > raft->log.base.index ? seen->commit : raft->log.base.index;
    if (raft->log.base.index > seen->base) {
        check_base(seat, group, raft->log.base);
    }
    for (uint64_t index = from + 1; index <= raft->commit; index++) {
        const struct raft_entry *entry = raft_entry_at(raft, index);
        sim_check_committed(seat, group, raft_id_at(raft, index), raft->term, entry->head.crc);
    }
}

// How many others hold all that a replica counts as durable? (Not what was replaced since:
// something else is committed in its place.)
static uint32_t count_spare(struct sim *sim, uint16_t self, uint16_t group)
{
    const struct sim_truth *truth = &sim->truths[group];
    const struct raft *raft = sim_raft(sim, self, group);
    uint32_t others = 0;
    for (uint16_t id = 1; id <= sim->options.nodes; id++) {
        bool holds = id != self;
        for (uint64_t index = raft->log.base.index + 1; index <= raft->log.held && holds; index++) {
            struct sim_id entry = sim_check_id(raft_entry_at(raft, index));
            const struct sim_id *committed = &truth->committed[index];
            bool is_replaced = index <= truth->commit && committed->is_known &&
                               !sim_check_is_same(sim, committed, &entry);
            bool counts = raft->parallel == NULL ? index <= raft->log.synced : entry.is_known;
            holds = !counts || is_replaced || holds_durably(sim, id, group, index, &entry);
        }
        others += holds;
    }
    return others;
}

bool sim_check_is_spare(const struct sim_node *node)
{
    bool is_spare = true;
    for (uint16_t group = 0; group < node->sim->options.groups; group++) {
        is_spare &= count_spare(node->sim, node->id, group) > node->sim->options.nodes / 2;
    }
    return is_spare;
}
