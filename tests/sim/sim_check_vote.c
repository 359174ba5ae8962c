// Votes, terms and leaders: a node votes once a term, over all its lives; one leads in a term, with
// a majority of votes and everything that was committed in earlier terms; and what a message
// promises is on the disk of its sender.
#include "tests/sim/sim_check.h"

#include "engine/wal/wal_state.h"
#include "engine/wire/layout.h"

#include <string.h>

// A granted vote leaves its voter: one a term, whatever happened to the voter since the last one.
static void note_vote(struct sim *sim, uint16_t group, uint64_t term, uint16_t voter,
                      uint16_t candidate)
{
    uint16_t *vote = &sim_check_term(&sim->truths[group], term)->votes[voter - 1];
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

void sim_check_leader(struct sim_seat *seat, uint16_t group, const struct raft *raft)
{
    struct sim *sim = seat->node->sim;
    struct sim_truth *truth = &sim->truths[group];
    struct sim_term *term = sim_check_term(truth, raft->term);
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

void sim_check_hard_state(struct sim_seat *seat, uint16_t group, const struct raft *raft)
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
