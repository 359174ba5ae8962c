// What must hold, looked at after every poll of a reactor, whatever the poll did.
//
//   election-safety      one leader a term
//   leader-completeness  a leader's log has everything that was committed in an earlier term
//   log-matching         the same (term, index) is the same entry with the same predecessor, on
//   every node, for ever state-machine-safety what is committed at an index is the same everywhere,
//   and every replica's state after it monotonic            terms, commit, applied, match never
//   fall; a vote never changes within its term, crash or not durability           what a node
//   reports as durable is in its disk's image, and there after the next start majority an entry
//   becomes committed only when a majority holds it durably invariants raft_check_invariants over
//   the whole state, now and then, and always when the log was cut
//
// Everything is compared with what was seen before; the cost follows what changed, not what there
// is.
#include <stdlib.h>
#include <string.h>

#include "engine/wal/wal_state.h"
#include "engine/wire/layout.h"
#include "tests/sim/sim.h"

enum { INVARIANTS_EVERY = 16, RECORD_HEAD_BYTES = WAL_RECORD_OVERHEAD_BYTES };

// ------------------------------------------------------------------------------------------------
// what is known of a group

static void reserve(struct sim_truth *truth, uint64_t index)
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

static struct sim_term *term_at(struct sim_truth *truth, uint64_t term)
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
        uint16_t leader = term_at(truth, entry->term)->leader;
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

// ------------------------------------------------------------------------------------------------
// commit

// Is what a node has at an index this entry? In a parallel group its term is that of the newest log
// it is part of, and the node may have installed a newer one since.
static bool is_same(const struct sim *sim, const struct sim_id *has, const struct sim_id *entry)
{
    bool is_strict = sim->options.order == RAFT_ORDER_STRICT;
    return has->is_known && (is_strict ? has->term == entry->term
                                       : has->term >= entry->term && has->crc == entry->crc);
}

static struct sim_id id_of(const struct raft_entry *entry)
{
    return entry == NULL || !entry->is_durable
               ? (struct sim_id){0}
               : (struct sim_id){.term = entry->term, .crc = entry->head.crc, .is_known = true};
}

static struct sim_id in_shadow(const struct sim_shadow *shadow, uint64_t index)
{
    bool is_in = index > shadow->base && index <= shadow->last;
    return is_in ? shadow->ids[index - shadow->base - 1] : (struct sim_id){0};
}

// A log that was being installed is what a node has once that was told: what its disk completed
// just before it was taken away, the process that is left tells (sim_parallel.c).
static const struct sim_shadow *shadow_of(const struct sim_truth *truth,
                                          const struct sim_seen *seen, uint16_t id)
{
    uint64_t term = seen->pending.term;
    bool is_told = term != 0 && term < truth->installed_terms &&
                   (truth->installed[term].nodes >> (id - 1) & 1) != 0;
    return is_told ? &seen->pending : &seen->shadow;
}

static bool holds_durably(struct sim *sim, uint16_t id, uint16_t group, uint64_t index,
                          const struct sim_id *entry)
{
    const struct raft *raft = sim_raft(sim, id, group);
    struct sim_id has;
    if (raft == NULL) {
        uint32_t which = group % WIRE_CLASSES % sim->options.reactors;
        const struct sim_seen *seen = &sim->nodes[id - 1].seats[which]->seen[group];
        const struct sim_shadow *shadow = shadow_of(&sim->truths[group], seen, id);
        has = in_shadow(shadow, index);
        return index <= shadow->base || is_same(sim, &has, entry);
    }
    has = id_of(index <= raft->log.base.index ? NULL : raft_entry_at(raft, index));
    return index <= raft->log.base.index || is_same(sim, &has, entry);
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
    reserve(truth, id.index);
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
    reserve(truth, base.index);
    const struct sim_id *known = &truth->committed[base.index];
    SIM_CHECK(sim, !known->is_known || known->term == base.term, "state-machine-safety",
              "node %u group %u: its log begins behind (%lu, %lu) where (%lu, %lu) was committed",
              seat->node->id, group, base.term, base.index, known->term, base.index);
}

static void check_commit(struct sim_seat *seat, uint16_t group, const struct raft *raft,
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

// ------------------------------------------------------------------------------------------------
// votes and leaders

// A granted vote leaves its voter: one a term, whatever happened to the voter since the last one.
static void note_vote(struct sim *sim, uint16_t group, uint64_t term, uint16_t voter,
                      uint16_t candidate)
{
    uint16_t *vote = &term_at(&sim->truths[group], term)->votes[voter - 1];
    SIM_CHECK(sim, *vote == 0 || *vote == candidate, "election-safety",
              "node %u group %u: votes for %u in term %lu, and voted for %u", voter, group,
              candidate, term, *vote);
    *vote = candidate;
}

static void check_complete(struct sim_seat *seat, uint16_t group, const struct raft *raft)
{
    struct sim *sim = seat->node->sim;
    struct sim_truth *truth = &sim->truths[group];
    for (uint64_t index = raft->log.base.index + 1; index <= truth->commit; index++) {
        const struct raft_entry *entry =
            index <= raft->log.last ? raft_entry_at(raft, index) : NULL;
        const struct sim_id *known = &truth->committed[index];
        bool is_due = known->is_known && known->in_term < raft->term; // else it won late, rightly
        SIM_CHECK(sim, !is_due || (entry != NULL && entry->term == known->term),
                  "leader-completeness",
                  "node %u group %u leads in term %lu without the committed entry (%lu, %lu)",
                  seat->node->id, group, raft->term, known->term, index);
    }
}

static void check_leader(struct sim_seat *seat, uint16_t group, const struct raft *raft)
{
    struct sim *sim = seat->node->sim;
    struct sim_truth *truth = &sim->truths[group];
    struct sim_term *term = term_at(truth, raft->term);
    uint32_t votes = 1; // its own
    SIM_CHECK(sim, term->leader == 0 || term->leader == seat->node->id, "election-safety",
              "group %u: nodes %u and %u lead in term %lu", group, term->leader, seat->node->id,
              raft->term);
    term->leader = seat->node->id;
    for (uint32_t voter = 0; voter < sim->options.nodes; voter++) {
        votes += voter + 1u != seat->node->id && term->votes[voter] == seat->node->id;
    }
    SIM_CHECK(sim, votes > sim->options.nodes / 2, "election-safety",
              "node %u group %u leads in term %lu, and %u of %u nodes voted for it in that term",
              seat->node->id, group, raft->term, votes, sim->options.nodes);
    if (raft->parallel == NULL) {
        check_complete(seat, group, raft);
    }
}

// ------------------------------------------------------------------------------------------------
// disks

static void check_hard_state(struct sim_seat *seat, uint16_t group, const struct raft *raft)
{
    struct sim *sim = seat->node->sim;
    const struct sim_file *meta;
    char name[32];
    if (seat->node->is_damaged || raft->hard_synced.term == 0) {
        return;
    }
    snprintf(name, sizeof(name), "meta.%u", seat->which);
    meta = sim_disk_file(&seat->disk, name);
    for (uint32_t copy = 0; copy < 2; copy++) {
        struct wal_hard_slot slot;
        memcpy(&slot, meta->image + wal_hard_offset(group, copy), sizeof(slot));
        bool is_newer = slot.term > raft->hard_synced.term;
        SIM_CHECK(sim, slot.sync_term >= raft->hard_synced.sync_term, "durability",
                  "node %u group %u: acts on sync_term %lu, copy %u on disk has %lu",
                  seat->node->id, group, raft->hard_synced.sync_term, copy, slot.sync_term);
        SIM_CHECK(sim,
                  is_newer || (slot.term == raft->hard_synced.term &&
                               (slot.voted_for == raft->hard_synced.voted_for ||
                                raft->hard_synced.voted_for == 0)),
                  "durability",
                  "node %u group %u: acts on term %lu and vote %u, copy %u on disk has %lu and %u",
                  seat->node->id, group, raft->hard_synced.term, raft->hard_synced.voted_for, copy,
                  slot.term, slot.voted_for);
    }
}

// Term and vote as both copies on disk say, the smaller one. (One copy may be rotten: no matter of
// this.) What a process says whose disks were taken away, and then lost with its vote, is known by
// no disk any more; the node does not run, and never will.
static struct raft_hard_state hard_on_disk(struct sim_seat *seat, uint16_t group)
{
    char name[32];
    snprintf(name, sizeof(name), "meta.%u", seat->which);
    const struct sim_file *meta = sim_disk_file(&seat->disk, name);
    struct wal_hard_slot slots[2];
    if (meta == NULL || meta->image == NULL) {
        SIM_CHECK(seat->node->sim, !seat->node->is_up, "durability",
                  "node %u group %u: has no term on disk", seat->node->id, group);
        return (struct raft_hard_state){.term = RAFT_TERM_MAX};
    }
    for (uint32_t copy = 0; copy < 2; copy++) {
        memcpy(&slots[copy], meta->image + wal_hard_offset(group, copy), sizeof(slots[copy]));
    }
    uint32_t older = slots[0].sequence < slots[1].sequence ? 0 : 1;
    return (struct raft_hard_state){.term = slots[older].term, .voted_for = slots[older].voted_for};
}

static void check_promise(struct sim_seat *seat, const struct layout_message *message,
                          uint16_t voted_for)
{
    struct raft_hard_state durable = hard_on_disk(seat, message->group);
    SIM_CHECK(
        seat->node->sim,
        seat->node->is_damaged || durable.term > message->term ||
            (durable.term == message->term && (voted_for == 0 || durable.voted_for == voted_for)),
        "durability",
        "node %u group %u: sends a message of type %u in term %lu (vote %u), on disk are %lu and "
        "%u",
        seat->node->id, message->group, message->type, message->term, voted_for, durable.term,
        durable.voted_for);
}

// Does the answer acknowledge anything? One of a parallel group only when it says *installed*.
static bool is_ack(const struct sim *sim, const uint8_t *answer)
{
    enum {
        IS_INSTALLED = offsetof(struct layout_append_reply, is_installed) -
                       offsetof(struct layout_append_reply, result)
    };
    return sim->options.order == RAFT_ORDER_STRICT ? answer[0] == RAFT_APPEND_OK
                                                   : answer[IS_INSTALLED] != 0;
}

void sim_check_sent(struct sim_seat *seat, const uint8_t *data, uint32_t bytes)
{
    struct layout_envelope envelope;
    struct layout_message message;
    memcpy(&envelope, data, sizeof(envelope));
    for (uint32_t at = sizeof(envelope); at + sizeof(message) <= bytes; at += message.bytes) {
        memcpy(&message, data + at, sizeof(message));
        const uint8_t *answer = data + at + sizeof(message);        // the first byte of replies
        bool is_supply = (message.flags & LAYOUT_FLAG_SUPPLY) != 0; // of a follower, to the winner
        if (message.type == RAFT_MSG_VOTE || (message.type == RAFT_MSG_APPEND && !is_supply)) {
            check_promise(seat, &message, seat->node->id);
        } else if (message.type == RAFT_MSG_VOTE_REPLY && *answer != 0) {
            check_promise(seat, &message, envelope.destination);
            note_vote(seat->node->sim, message.group, message.term, seat->node->id,
                      envelope.destination);
        } else if (message.type == RAFT_MSG_APPEND_REPLY && is_ack(seat->node->sim, answer)) {
            check_promise(seat, &message, 0);
        }
        if (message.bytes < sizeof(message)) {
            break;
        }
    }
}

void sim_check_on_disk(struct sim_seat *seat, uint16_t group, uint64_t index,
                       const struct raft_entry *entry)
{
    struct sim *sim = seat->node->sim;
    char name[32];
    if (sim->options.is_volatile || seat->node->is_damaged || seat->reactor->is_failed ||
        seat->disk.is_gone) {
        return;
    }
    snprintf(name, sizeof(name), "log.%u", seat->which);
    uint64_t offset = (entry->body - RECORD_HEAD_BYTES) % sim->options.log_bytes;
    bool holds = sim_disk_holds(&seat->disk, name, offset, (const uint8_t *)seat->arena + offset,
                                RECORD_HEAD_BYTES + entry->head.bytes);
    SIM_CHECK(sim, holds, "durability",
              "node %u group %u: entry (%lu, %lu) counts as durable and is not on disk",
              seat->node->id, group, entry->term, index);
}

static void note_holder(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                        uint64_t from)
{
    from = from > raft->log.base.index ? from : raft->log.base.index;
    for (uint64_t index = from + 1; index <= raft->log.synced && raft->intact; index++) {
        sim_check_known(&seat->node->sim->truths[group], raft_id_at(raft, index).term, index)
            ->holders |= 1u << (seat->node->id - 1);
    }
}

// The disk is looked at once for each entry, when it comes to count: later the entry may be copied
// to the log's head, and its place is the copy's before that is durable. (Where entries are kept in
// memory, one that replaced another counts at once.)
static void check_synced(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                         const struct sim_seen *seen)
{
    bool is_cut = raft->log.epoch != seen->epoch && seen->commit < seen->synced;
    uint64_t from = is_cut ? seen->commit : seen->synced;
    note_holder(seat, group, raft, seen->is_intact ? from : 0);
    for (uint64_t index = seen->synced + 1; index <= raft->log.synced; index++) {
        const struct raft_entry *entry = raft_entry_at(raft, index);
        if (entry != NULL) {
            sim_check_on_disk(seat, group, index, entry);
        }
    }
}

// ------------------------------------------------------------------------------------------------
// one replica

static bool is_unchanged(const struct raft *raft, const struct sim_seen *seen)
{
    return seen->is_known && seen->term == raft->term && seen->voted_for == raft->voted_for &&
           seen->role == raft->role && seen->commit == raft->commit &&
           seen->applied == raft->applied && seen->last == raft->log.last &&
           seen->held == raft->log.held && seen->synced == raft->log.synced &&
           seen->base == raft->log.base.index && seen->epoch == raft->log.epoch &&
           seen->is_intact == raft->intact && seen->hard.term == raft->hard_synced.term &&
           seen->hard.voted_for == raft->hard_synced.voted_for;
}

static void check_monotonic(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                            const struct sim_seen *seen)
{
    struct sim *sim = seat->node->sim;
    SIM_CHECK(sim, raft->term >= seen->term, "monotonic", "node %u group %u: term %lu fell to %lu",
              seat->node->id, group, seen->term, raft->term);
    SIM_CHECK(sim, raft->commit >= seen->commit, "monotonic",
              "node %u group %u: commit %lu fell to %lu", seat->node->id, group, seen->commit,
              raft->commit);
    SIM_CHECK(sim, raft->applied >= seen->applied && raft->log.base.index >= seen->base,
              "monotonic", "node %u group %u: applied %lu fell to %lu", seat->node->id, group,
              seen->applied, raft->applied);
    SIM_CHECK(sim,
              raft->term > seen->term || seen->voted_for == 0 || raft->voted_for == seen->voted_for,
              "monotonic", "node %u group %u: vote of term %lu changed from %u to %u",
              seat->node->id, group, seen->term, seen->voted_for, raft->voted_for);
}

static void check_entries(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                          uint64_t from)
{
    from = from > raft->log.base.index ? from : raft->log.base.index;
    for (uint64_t index = from + 1; index <= raft->log.last; index++) {
        sim_check_entry(seat, group, index, raft_id_at(raft, index - 1).term,
                        raft_entry_at(raft, index));
    }
}

static void note(struct sim_seen *seen, const struct raft *raft)
{
    seen->is_known = true;
    seen->role = raft->role;
    seen->term = raft->term;
    seen->voted_for = raft->voted_for;
    seen->commit = raft->commit;
    seen->applied = raft->applied;
    seen->last = raft->log.last;
    seen->held = raft->log.held;
    seen->synced = raft->log.synced;
    seen->base = raft->log.base.index;
    seen->epoch = raft->log.epoch;
    seen->is_intact = raft->intact;
    seen->hard = raft->hard_synced;
}

// Has a voter ever held an entry durably, or does a checkpoint of its cover it?
static bool has_held(struct sim_seat *seat, uint16_t group, const struct raft *leader,
                     const struct raft_peer *peer)
{
    struct sim *sim = seat->node->sim;
    const struct raft *raft = sim_raft(sim, peer->id, group);
    if (peer->match <= leader->log.base.index || raft == NULL ||
        raft->log.base.index >= peer->match) {
        return true; // or nobody can tell
    }
    uint64_t term = raft_id_at(leader, peer->match).term;
    uint32_t holders = sim_check_known(&sim->truths[group], term, peer->match)->holders;
    return (holders >> (peer->id - 1) & 1) != 0;
}

// What a leader believes of its peers never falls, and is true: each intact one has durably had the
// entry at its match index.
static void check_match(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                        struct sim_seen *seen)
{
    struct sim *sim = seat->node->sim;
    bool is_new = seen->match_term != raft->term;
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        const struct raft_peer *peer = &raft->peers[slot];
        bool is_known = !is_new && peer->boot == seen->boot[slot];
        if (slot == raft->self_slot || (is_known && peer->match == seen->match[slot])) {
            continue;
        }
        SIM_CHECK(sim, !is_known || peer->match > seen->match[slot], "monotonic",
                  "node %u group %u: match index of node %u fell from %lu to %lu", seat->node->id,
                  group, peer->id, seen->match[slot], peer->match);
        SIM_CHECK(sim, !peer->intact || has_held(seat, group, raft, peer), "durability",
                  "node %u group %u: counts entry %lu for node %u, which never had it",
                  seat->node->id, group, peer->match, peer->id);
        seen->match[slot] = peer->match;
        seen->boot[slot] = peer->boot;
    }
    seen->match_term = raft->term;
}

static void look(struct sim_seat *seat, struct group *group)
{
    struct sim *sim = seat->node->sim;
    struct sim_seen *seen = &seat->seen[group->id];
    const struct raft *raft = group->raft;
    bool is_parallel = raft->parallel != NULL;
    if (raft->role == RAFT_LEADER && !is_parallel) {
        check_match(seat, group->id, raft, seen);
    }
    bool is_new_beyond = is_parallel && !sim_parallel_is_unchanged(raft, seen);
    if (is_unchanged(raft, seen) && !is_new_beyond) {
        return;
    }
    bool is_cut = raft->log.epoch != seen->epoch;
    uint64_t known = is_cut ? 0 : seen->last;
    check_monotonic(seat, group->id, raft, seen);
    if (raft->role == RAFT_LEADER && (seen->role != RAFT_LEADER || raft->term != seen->term)) {
        check_leader(seat, group->id, raft);
    }
    check_hard_state(seat, group->id, raft);
    if (is_parallel) {
        sim_parallel_look(seat, group->id, raft, seen);
        if (raft->log.held > raft->log.last && seen->held <= seen->last && raft->leader != 0) {
            sim_fault_on_hole(&sim->nodes[raft->leader - 1]);
        }
        if ((raft->parallel->is_staging && !seen->is_staging) ||
            (raft->parallel->is_sync_given && !seen->is_sync_given)) {
            sim_fault_on_install(seat->node);
        }
        seen->is_staging = raft->parallel->is_staging;
        seen->is_sync_given = raft->parallel->is_sync_given;
    } else {
        check_entries(seat, group->id, raft, known < seen->commit ? seen->commit : known);
        check_synced(seat, group->id, raft, seen);
        check_commit(seat, group->id, raft, seen);
    }
    if (is_cut || seen->looks++ % INVARIANTS_EVERY == 0) {
        raft_check_invariants(raft);
    }
    if (raft->role != seen->role) {
        sim_fault_on_role(seat->node, raft->role);
    }
    sim_hash(sim,
             raft->term ^ raft->commit << 20 ^ raft->log.last << 40 ^ (uint64_t)raft->role << 60);
    if (sim->trace != NULL) {
        sim_trace(seat, group, seen);
    }
    note(seen, raft);
}

void sim_check_ghost(struct sim_seat *seat)
{
    for (uint32_t slot = 0; slot < seat->reactor->group_count; slot++) {
        const struct group *group = &seat->reactor->groups[slot];
        const struct raft *raft = group->raft;
        struct sim_seen *seen = &seat->seen[group->id];
        bool is_cut = !seen->is_known || raft->log.epoch != seen->epoch;
        if (raft->parallel != NULL) {
            sim_parallel_look_at_ghost(seat, group->id, raft, seen);
        } else {
            check_entries(seat, group->id, raft, is_cut ? 0 : seen->last);
        }
        note(seen, raft);
    }
}

void sim_check_seat(struct sim_seat *seat)
{
    for (uint32_t slot = 0; slot < seat->reactor->group_count; slot++) {
        look(seat, &seat->reactor->groups[slot]);
    }
}

// ------------------------------------------------------------------------------------------------
// going down and coming up

static void keep_shadow(struct sim_shadow *shadow, const struct raft_log *log, uint64_t term)
{
    free(shadow->ids);
    *shadow = (struct sim_shadow){.term = term, .base = log->base.index, .last = log->held};
    shadow->ids = calloc(log->held - log->base.index + 1, sizeof(*shadow->ids));
    ASSERT(shadow->ids != NULL);
    for (uint64_t index = log->base.index + 1; index <= log->held; index++) {
        shadow->ids[index - log->base.index - 1] =
            id_of(log_has(log, index) ? log_slot(log, index) : NULL);
    }
}

static void keep_shadows(struct sim_seen *seen, const struct raft *raft)
{
    const struct raft_parallel *parallel = raft->parallel;
    keep_shadow(&seen->shadow, &raft->log, parallel == NULL ? 0 : parallel->sync_term);
    seen->pending.term = 0;
    if (install_is_pending(raft)) {
        keep_shadow(&seen->pending, &parallel->staged, parallel->sync.term);
    }
}

void sim_check_down(struct sim_seat *seat)
{
    sim_check_seat(seat);
    for (uint32_t slot = 0; slot < seat->reactor->group_count; slot++) {
        const struct group *group = &seat->reactor->groups[slot];
        struct sim_seen *seen = &seat->seen[group->id];
        if (!seat->node->sim->options.is_volatile) {
            keep_shadows(seen, group->raft);
        }
        seen->hard = group->raft->hard_synced;
    }
}

static void check_recovered(struct sim_seat *seat, const struct group *group)
{
    struct sim *sim = seat->node->sim;
    struct sim_seen *seen = &seat->seen[group->id];
    const struct raft *raft = group->raft;
    bool is_exempt = seat->node->is_damaged || sim->options.is_volatile;
    SIM_CHECK(sim,
              raft->term > seen->hard.term ||
                  (raft->term == seen->hard.term &&
                   (seen->hard.voted_for == 0 || raft->voted_for == seen->hard.voted_for)),
              "durability", "node %u group %u: started with term %lu and vote %u, knew %lu and %u",
              seat->node->id, group->id, raft->term, raft->voted_for, seen->hard.term,
              seen->hard.voted_for);
    const struct sim_shadow *shadow = shadow_of(&sim->truths[group->id], seen, seat->node->id);
    if (raft->parallel != NULL && raft->parallel->sync_term == seen->pending.term) {
        shadow = &seen->pending; // its SYNC record got there
    }
    SIM_CHECK(sim, is_exempt || raft->parallel == NULL || raft->parallel->sync_term == shadow->term,
              "durability", "node %u group %u: started with the log of term %lu, had that of %lu",
              seat->node->id, group->id, raft->parallel->sync_term, shadow->term);
    uint64_t from = raft->log.base.index > shadow->base ? raft->log.base.index : shadow->base;
    uint64_t last = raft->parallel == NULL ? seen->synced : shadow->last;
    for (uint64_t index = from + 1; index <= last && !is_exempt; index++) {
        struct sim_id had = in_shadow(shadow, index);
        struct sim_id has = id_of(raft_entry_at(raft, index));
        SIM_CHECK(sim, !had.is_known || is_same(sim, &has, &had), "durability",
                  "node %u group %u: entry (%lu, %lu) was durable and is not there after the start",
                  seat->node->id, group->id, had.term, index);
    }
    SIM_CHECK(sim, is_exempt || raft->intact, "durability",
              "node %u group %u: does not believe it is whole, though its disk is", seat->node->id,
              group->id);
}

void sim_check_up(struct sim_seat *seat)
{
    for (uint32_t slot = 0; slot < seat->reactor->group_count; slot++) {
        struct group *group = &seat->reactor->groups[slot];
        struct sim_seen *seen = &seat->seen[group->id];
        if (seen->is_known) {
            check_recovered(seat, group);
        }
        free(seen->shadow.ids);
        free(seen->pending.ids);
        *seen = (struct sim_seen){.is_known = true, .hard = seen->hard};
        seen->epoch = UINT32_MAX; // everything is new
        if (group->raft->parallel != NULL && !group->raft->intact) {
            sim_parallel_lost(&seat->node->sim->truths[group->id], seat->node->id);
        }
        look(seat, group);
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
            struct sim_id entry = id_of(raft_entry_at(raft, index));
            const struct sim_id *committed = &truth->committed[index];
            bool is_replaced =
                index <= truth->commit && committed->is_known && !is_same(sim, committed, &entry);
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

// ------------------------------------------------------------------------------------------------
// states and ends

// A command is executed at one index, by all who execute it.
static void note_executed(struct sim_app *app, uint64_t index, const struct sim_command *command)
{
    struct sim_truth *truth = &app->sim->truths[app->group];
    truth->executed[index] = *command;
    if (truth->executed_last < index) {
        truth->executed_last = index;
    }
    struct sim_places *places = &truth->places[command->client];
    if (command->number >= places->capacity) {
        uint64_t grown = 2 * command->number + 64;
        places->indexes = realloc(places->indexes, grown * sizeof(uint64_t));
        ASSERT(places->indexes != NULL);
        memset(places->indexes + places->capacity, 0,
               (grown - places->capacity) * sizeof(uint64_t));
        places->capacity = grown;
    }
    uint64_t *place = &places->indexes[command->number];
    SIM_CHECK(app->sim, *place == 0 || *place == index, "exactly-once",
              "node %u group %u: command %lu of client %u is executed at %lu, and was at %lu",
              app->node, app->group, command->number, command->client, index, *place);
    *place = index;
}

void sim_check_applied(struct sim_app *app, uint64_t index, const struct sim_command *command)
{
    struct sim *sim = app->sim;
    struct sim_truth *truth = &sim->truths[app->group];
    reserve(truth, index);
    uint64_t *chain = &truth->chains[index], now = app->state.chain;
    for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
        now = sim_mix(now, command->touches >> key & 1 ? app->state.chains[key] : 0);
    }
    SIM_CHECK(sim, *chain == 0 || *chain == now, "state-machine-safety",
              "node %u group %u: its state after index %lu is not that of others", app->node,
              app->group, index);
    *chain = now;
    note_executed(app, index, command);
}

// The state is what the log gives when it is applied in its order. may_lack: but for what is not
// applied yet.
void sim_check_state(struct sim_app *app, bool may_lack)
{
    const struct sim_truth *truth = &app->sim->truths[app->group];
    struct sim_state state = {0};
    for (uint64_t index = 1; index <= app->state.last && index <= truth->executed_last; index++) {
        const struct sim_command *command = &truth->executed[index];
        bool is_in = !may_lack || sim_app_has_applied(app, index);
        if (command->number != 0 && is_in) {
            uint32_t result = sim_app_execute(&state, command);
            sim_app_chain(&state, app->sim->options.order, index, command, result);
        }
    }
    SIM_CHECK(app->sim, memcmp(&state, &app->state, sizeof(state)) == 0, "state-machine-safety",
              "node %u group %u: its state up to index %lu is not that of the log in order",
              app->node, app->group, app->state.last);
}

void sim_check_states(struct sim *sim)
{
    for (uint16_t number = 0; number < sim->options.groups; number++) {
        for (uint16_t id = 1; id <= sim->options.nodes; id++) {
            struct sim_seat *seat = sim_seat_of(sim, id, number);
            if (seat != NULL) {
                sim_check_state((struct sim_app *)reactor_group(seat->reactor, number)->app, false);
            }
        }
    }
}

void sim_check_digests(struct sim *sim)
{
    for (uint16_t number = 0; number < sim->options.groups; number++) {
        struct sim_truth *truth = &sim->truths[number];
        for (uint16_t id = 1; id <= sim->options.nodes; id++) {
            struct sim_seat *seat = sim_seat_of(sim, id, number);
            struct reactor_group_status status;
            if (seat == NULL || reactor_group_status(seat->reactor, number, true, &status) != 0 ||
                !status.has_digest || status.raft.applied == 0) {
                continue;
            }
            SIM_CHECK(sim,
                      status.raft.applied != truth->digest_index || status.digest == truth->digest,
                      "state-machine-safety", "node %u group %u: digest at %lu differs", id, number,
                      status.raft.applied);
            if (status.raft.applied > truth->digest_index) {
                truth->digest_index = status.raft.applied;
                truth->digest = status.digest;
            }
        }
    }
}

static bool keeps_checkpoint(const struct reactor *reactor)
{
    bool keeps = false;
    for (uint32_t slot = 0; slot < reactor->group_count; slot++) {
        const struct snapshot *snapshot = &reactor->groups[slot].snapshot;
        keeps |= snapshot_is_active(snapshot) || snapshot->in_data != NULL;
    }
    return keeps;
}

// Whoever was given a checkpoint and fell silent is waited for, for a while; a worker may have a
// job in its hands.
bool sim_is_at_rest(struct sim *sim)
{
    bool keeps = false;
    for (uint32_t number = 0; number < sim->options.nodes * sim->options.reactors; number++) {
        const struct sim_seat *seat = sim_seat_at(sim, number);
        const struct reactor *reactor = seat->reactor;
        keeps |= seat->node->is_up && !reactor->is_failed &&
                 (keeps_checkpoint(reactor) ||
                  reactor->free_job_count < reactor->config.sizes.apply_jobs);
    }
    return !keeps;
}

static void check_leaks_of(struct sim *sim, const struct sim_seat *seat)
{
    const struct reactor *reactor = seat->reactor;
    uint16_t id = seat->node->id;
    SIM_CHECK(sim, seat->net.tx_out == reactor->outbox.pending_count + reactor->outbox.open_count,
              "leak", "node %u: %u frames are out, %u of them wait to be sent", id,
              seat->net.tx_out, reactor->outbox.pending_count);
    SIM_CHECK(sim, reactor->free_job_count == reactor->config.sizes.apply_jobs, "leak",
              "node %u: %u jobs are free", id, reactor->free_job_count);
    SIM_CHECK(sim, reactor->reads_waiting == 0, "leak", "node %u: %u reads wait", id,
              reactor->reads_waiting);
    for (uint32_t slot = 0; slot < reactor->group_count; slot++) {
        const struct group *group = &reactor->groups[slot];
        for (uint32_t at = 0; at < reactor->config.log_entries && !group->is_halted; at++) {
            SIM_CHECK(sim, group->origins[at].slot == 0, "leak",
                      "node %u group %u: somebody still waits for an entry", id, group->id);
        }
    }
}

void sim_check_leaks(struct sim *sim)
{
    for (uint32_t number = 0; number < sim->options.nodes * sim->options.reactors; number++) {
        struct sim_seat *seat = sim_seat_at(sim, number);
        if (seat->node->is_up && !seat->reactor->is_failed) {
            check_leaks_of(sim, seat);
        }
    }
}

void sim_check_open(struct sim *sim)
{
    for (uint16_t group = 0; group < sim->options.groups; group++) {
        grow_known(&sim->truths[group]);
        reserve(&sim->truths[group], 0);
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
