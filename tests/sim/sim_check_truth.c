// What is known of a group: its entries, terms and commits, wherever they were first seen.
// Everything is compared with what was seen before.
#include "tests/sim/sim_check.h"

#include <stdlib.h>
#include <string.h>

void sim_check_reserve(struct sim_truth *truth, uint64_t index)
{
    if (index < truth->capacity) {
        return;
    }
    uint64_t grown = truth->capacity == 0 ? 1024 : truth->capacity;
    while (index >= grown) {
        grown *= 2;
    }
    truth->committed = realloc(truth->committed, grown * sizeof(*truth->committed));
    truth->chains = realloc(truth->chains, grown * sizeof(*truth->chains));
    truth->executed = realloc(truth->executed, grown * sizeof(*truth->executed));
    ASSERT(truth->committed != NULL && truth->chains != NULL && truth->executed != NULL);
    uint64_t more = grown - truth->capacity;
    memset(truth->committed + truth->capacity, 0, more * sizeof(*truth->committed));
    memset(truth->chains + truth->capacity, 0, more * sizeof(*truth->chains));
    memset(truth->executed + truth->capacity, 0, more * sizeof(*truth->executed));
    truth->capacity = grown;
}

struct sim_known_entry *sim_check_known(struct sim_truth *truth, uint64_t term, uint64_t index)
{
    uint64_t at = sim_mix(term, index) & truth->entries_mask;
    while (truth->entries[at].index != 0 &&
           (truth->entries[at].term != term || truth->entries[at].index != index)) {
        at = (at + 1) & truth->entries_mask;
    }
    return &truth->entries[at];
}

static void grow_known(struct sim_truth *truth)
{
    struct sim_known_entry *old = truth->entries;
    uint64_t old_slots = old == NULL ? 0 : truth->entries_mask + 1;
    uint64_t slots = old == NULL ? 1024 : 2 * old_slots;
    truth->entries = calloc(slots, sizeof(*truth->entries));
    ASSERT(truth->entries != NULL);
    truth->entries_mask = slots - 1;
    for (uint64_t at = 0; at < old_slots; at++) {
        if (old[at].index != 0) {
            *sim_check_known(truth, old[at].term, old[at].index) = old[at];
        }
    }
    free(old);
}

struct sim_term *sim_check_term(struct sim_truth *truth, uint64_t term)
{
    if (term >= truth->terms_count) {
        uint64_t grown = 2 * term + 64;
        truth->terms = realloc(truth->terms, grown * sizeof(*truth->terms));
        ASSERT(truth->terms != NULL);
        memset(truth->terms + truth->terms_count, 0,
               (grown - truth->terms_count) * sizeof(*truth->terms));
        truth->terms_count = grown;
    }
    return &truth->terms[term];
}

// Nobody but the leader of a term makes entries of it, and it has them first. (The recovered log of
// a term is another matter: what the leader needs no more others may still hold.)
struct sim_known_entry *sim_check_entry(struct sim_seat *seat, uint16_t group, uint64_t index,
                                        uint64_t prev_term, const struct raft_entry *entry)
{
    struct sim *sim = seat->node->sim;
    struct sim_truth *truth = &sim->truths[group];
    if (2 * truth->entries_count >= truth->entries_mask) {
        grow_known(truth);
    }
    struct sim_known_entry *known = sim_check_known(truth, entry->term, index);
    if (known->index == 0) {
        *known = (struct sim_known_entry){
            .term = entry->term, .index = index, .prev_term = prev_term, .crc = entry->head.crc};
        truth->entries_count++;
        uint16_t leader = sim_check_term(truth, entry->term)->leader;
        const struct raft_parallel *parallel = reactor_group(seat->reactor, group)->raft->parallel;
        bool is_recovered = parallel != NULL && index <= parallel->sync_end;
        SIM_CHECK(sim, leader == 0 || leader == seat->node->id || is_recovered, "leaders-append",
                  "node %u group %u: made the entry (%lu, %lu), and node %u leads in that term",
                  seat->node->id, group, entry->term, index, leader);
    }
    SIM_CHECK(
        sim, known->crc == entry->head.crc && known->prev_term == prev_term, "log-matching",
        "node %u group %u: entry (%lu, %lu) has checksum %08x behind term %lu, elsewhere %08x "
        "behind %lu",
        seat->node->id, group, entry->term, index, entry->head.crc, prev_term, known->crc,
        known->prev_term);
    return known;
}

void sim_check_open(struct sim *sim)
{
    for (uint16_t group = 0; group < sim->options.groups; group++) {
        grow_known(&sim->truths[group]);
        sim_check_reserve(&sim->truths[group], 0);
    }
}

void sim_check_close(struct sim *sim)
{
    for (uint16_t group = 0; group < SIM_GROUPS_MAX; group++) {
        free(sim->truths[group].committed);
        free(sim->truths[group].chains);
        free(sim->truths[group].entries);
        free(sim->truths[group].terms);
        free(sim->truths[group].installed);
        free(sim->truths[group].executed);
        for (uint32_t client = 0; client < SIM_CLIENTS_MAX; client++) {
            free(sim->truths[group].places[client].indexes);
        }
    }
    for (uint32_t number = 0; number < SIM_SEATS; number++) {
        for (uint32_t group = 0; group < SIM_GROUPS_MAX; group++) {
            free(sim->seats[number].seen[group].shadow.ids);
            free(sim->seats[number].seen[group].pending.ids);
        }
    }
}
