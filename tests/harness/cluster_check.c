// What must hold in every run: Raft figure 3, and what stands behind every message.
//
// The checker knows more than any node: every entry ever made (`known`), every entry ever committed
// (`truth`), who led each term, what each node has promised over all its starts.
#include "tests/harness/cluster.h"

#include "tests/harness/harness.h"

#include <inttypes.h>
#include <stdio.h>

#define EXPECT(condition, node)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            cluster_fail(cluster, node, #condition);                                               \
        }                                                                                          \
    } while (0)

static void print_node(const struct cluster_node *node)
{
    static const char *const roles[] = {"follower", "pre-candidate", "candidate", "leader"};
    const struct raft_view *view = &node->view;
    printf("    node %u %s boot %" PRIu64 " %s%s term %" PRIu64 " leader %u base %" PRIu64
           " applied %" PRIu64 " commit %" PRIu64 " synced %" PRIu64 " last %" PRIu64
           " held %" PRIu64 "\n",
           node->id, node->is_up ? "up" : "down", node->disk.boot, roles[view->role],
           view->intact ? "" : " (not intact)", view->term, view->leader, view->base, view->applied,
           view->commit, view->synced, view->last, view->held);
}

void cluster_fail(const struct cluster *cluster, const struct cluster_node *node, const char *text)
{
    printf("  seed %" PRIu64 ", at %" PRIu64 " ns, event %" PRIu64 ", node %u: %s\n",
           cluster->options.seed, cluster->now_ns, cluster->event_count,
           node == NULL ? 0U : node->id, text);
    for (uint32_t slot = 0; slot < cluster->options.nodes; slot++) {
        print_node(&cluster->nodes[slot]);
    }
    test_check(false, __FILE__, __LINE__, text);
}

// "If two logs contain an entry with the same index and term, then the logs are identical in all
// entries up through the given index" (figure 3): it is enough that such entries are equal and have
// equal predecessors.
void cluster_note_entry(struct cluster *cluster, const struct cluster_node *node, uint64_t index,
                        uint64_t prev_term)
{
    const struct raft_entry *entry = raft_entry_at(node->raft, index);
    EXPECT(index < CLUSTER_INDEXES_MAX, node);
    for (uint32_t at = cluster->known_heads[index]; at != 0; at = cluster->known[at].next) {
        const struct cluster_known *known = &cluster->known[at];
        if (known->term == entry->term) {
            EXPECT(known->prev_term == prev_term, node);
            EXPECT(known->value == entry->head.sequence, node);
            return;
        }
    }
    struct raft_view view;
    raft_view(node->raft, &view);
    EXPECT(view.role == RAFT_LEADER && view.term == entry->term, node);
    EXPECT(cluster->known_count < CLUSTER_INDEXES_MAX - 1, node);
    uint32_t slot = ++cluster->known_count;
    cluster->known[slot] = (struct cluster_known){.term = entry->term,
                                                  .prev_term = prev_term,
                                                  .value = entry->head.sequence,
                                                  .next = cluster->known_heads[index]};
    cluster->known_heads[index] = slot;
}

static void check_vote(struct cluster *cluster, struct cluster_node *node,
                       const struct raft_message *message, uint16_t candidate)
{
    const struct raft_hard_state *durable = &node->disk.hard_state;
    EXPECT(durable->term == message->term && durable->voted_for == candidate, node);
    EXPECT(message->term >= node->vote_sent.term, node);
    EXPECT(message->term > node->vote_sent.term || node->vote_sent.voted_for == candidate, node);
    node->vote_sent = (struct raft_hard_state){.term = message->term, .voted_for = candidate};
}

// "Each server will vote for at most one candidate in a given term"; "responds to RPCs only after
// updating stable storage" (figure 2).
void cluster_check_message(struct cluster *cluster, struct cluster_node *node,
                           const struct raft_message *message)
{
    switch (message->type) {
    case RAFT_MSG_VOTE:
        check_vote(cluster, node, message, node->id);
        EXPECT(message->intact, node);
        break;
    case RAFT_MSG_VOTE_REPLY:
        if (message->vote_reply.granted) {
            check_vote(cluster, node, message, message->to);
            EXPECT(message->intact, node);
        }
        break;
    case RAFT_MSG_FETCH:
        EXPECT(!"a strict group fetches nothing", node);
        break;
    case RAFT_MSG_APPEND:
        EXPECT(cluster->leader_of[message->term] == node->id, node);
        EXPECT(node->disk.hard_state.term == message->term, node);
        EXPECT(message->append.commit <= cluster->truth_last, node);
        break;
    case RAFT_MSG_APPEND_REPLY:
        if (message->append_reply.match > 0) {
            EXPECT(node->disk.hard_state.term == message->term, node);
            EXPECT(cluster_disk_has_chain(node, message->append_reply.match), node);
        }
        EXPECT(message->append_reply.match <= message->append_reply.held ||
                   message->append_reply.result == RAFT_APPEND_REJECTED,
               node);
        break;
    case RAFT_MSG_PRE_VOTE:
        break;
    case RAFT_MSG_PRE_VOTE_REPLY:
        EXPECT(!message->vote_reply.granted || message->intact, node);
        break;
    }
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ (hash >> 29);
}

// Does the node count in elections, now or when it is back?
static bool is_intact(const struct cluster_node *node)
{
    struct raft_view view = {.intact = false};
    if (node->is_up) {
        raft_view(node->raft, &view);
    }
    return node->is_volatile ? view.intact : true;
}

// A committed entry must be found by every later election: no majority of nodes that may vote
// lacks it.
static void check_survives(struct cluster *cluster, const struct cluster_node *node,
                           struct raft_entry_id id)
{
    uint32_t lacking = 0;
    for (uint32_t slot = 0; slot < cluster->options.nodes; slot++) {
        const struct cluster_node *other = &cluster->nodes[slot];
        lacking += is_intact(other) && !cluster_disk_holds(other, id);
    }
    EXPECT(lacking <= cluster->options.nodes / 2, node);
}

// State machine safety: what is committed at an index is the same everywhere and for ever.
static void note_commit(struct cluster *cluster, const struct cluster_node *node, uint64_t index)
{
    const struct raft_entry *entry = raft_entry_at(node->raft, index);
    if (index <= node->view.base && index <= cluster->truth_last) {
        return;
    }
    EXPECT(entry != NULL, node);
    struct cluster_truth *truth = &cluster->truth[index];
    if (index <= cluster->truth_last) {
        EXPECT(truth->term == entry->term && truth->value == entry->head.sequence, node);
        return;
    }
    *truth = (struct cluster_truth){.term = entry->term,
                                    .value = entry->head.sequence,
                                    .hash = mix(truth[-1].hash, entry->head.sequence)};
    cluster->truth_last = index;
    check_survives(cluster, node, (struct raft_entry_id){.term = entry->term, .index = index});
}

// "Election Safety: at most one leader can be elected in a given term." "Leader Completeness: if a
// log entry is committed in a given term, then that entry will be present in the logs of the
// leaders for all higher-numbered terms" (figure 3).
static void check_new_leader(struct cluster *cluster, struct cluster_node *node)
{
    const struct raft_view *view = &node->view;
    EXPECT(view->term < CLUSTER_INDEXES_MAX, node);
    EXPECT(cluster->leader_of[view->term] == 0, node);
    cluster->leader_of[view->term] = node->id;
    cluster->elections++;
    EXPECT(view->intact && view->last >= cluster->truth_last, node);
    for (uint64_t index = view->base; index <= cluster->truth_last; index++) {
        EXPECT(raft_id_at(node->raft, index).term == cluster->truth[index].term, node);
    }
}

void cluster_check_view(struct cluster *cluster, struct cluster_node *node)
{
    struct raft_view before = node->view;
    struct raft_view *view = &node->view;
    raft_view(node->raft, view);
    EXPECT(view->term >= before.term, node);
    EXPECT(view->commit >= before.commit && view->applied >= before.applied, node);
    EXPECT(view->applied <= view->commit && view->commit <= view->last, node);
    EXPECT(view->synced <= view->last && view->base <= view->synced, node);
    if (view->role == RAFT_LEADER && (before.role != RAFT_LEADER || before.term != view->term)) {
        check_new_leader(cluster, node);
    }
    for (uint64_t index = before.commit + 1; index <= view->commit; index++) {
        note_commit(cluster, node, index);
    }
    if (view->intact && !before.intact && view->synced < cluster->truth_last) {
        uint64_t lacked = view->synced + 1; // it counts again, without these
        check_survives(cluster, node, (struct raft_entry_id){cluster->truth[lacked].term, lacked});
    }
    if (cluster->options.is_checked_deeply) {
        raft_check_invariants(node->raft);
    }
}

void cluster_check_applied(struct cluster *cluster, struct cluster_node *node, uint64_t index)
{
    const struct raft_entry *entry = raft_entry_at(node->raft, index);
    EXPECT(entry != NULL && index <= cluster->truth_last && index == node->state.id.index + 1,
           node);
    node->state.id = (struct raft_entry_id){.term = entry->term, .index = index};
    node->state.hash = mix(node->state.hash, entry->body);
    EXPECT(node->state.hash == cluster->truth[index].hash, node);
}

static void check_reads(struct cluster *cluster, struct cluster_node *node,
                        const struct raft_effects *effects)
{
    uint64_t granted = effects->reads_granted ? effects->reads_upto : 0, kept = 0;
    for (uint32_t at = 0; at < node->read_count; at++) {
        const struct cluster_read *read = &node->reads[at];
        if (read->number <= granted) {
            EXPECT(read->required_index <= effects->reads_index, node);
            cluster->reads_granted++;
        } else if (read->number > effects->reads_aborted_upto) {
            node->reads[kept++] = *read;
        }
    }
    node->read_count = (uint32_t)kept;
}

void cluster_check_effects(struct cluster *cluster, struct cluster_node *node,
                           const struct raft_effects *effects)
{
    EXPECT(effects->reads_granted == false || effects->reads_index <= node->view.commit, node);
    check_reads(cluster, node, effects);
    EXPECT(effects->apply.first == node->apply_next, node);
    EXPECT(effects->apply.last == node->view.commit, node);
    EXPECT(node->ticked_ns != cluster->now_ns || effects->deadline_ns > cluster->now_ns, node);
    if (node->view.role != RAFT_LEADER) {
        EXPECT(effects->send_count == 0 && effects->snapshot_peers == 0, node);
    }
}

// A durable log comes back with all that was ever acknowledged.
void cluster_check_restored(struct cluster *cluster, struct cluster_node *node)
{
    raft_check_invariants(node->raft);
    EXPECT(node->view.term >= node->disk.hard_state.term, node);
    for (uint64_t index = node->view.base + 1; index <= node->view.last; index++) {
        const struct raft_entry *entry = raft_entry_at(node->raft, index);
        EXPECT(entry != NULL && entry->body == entry->head.sequence, node);
        struct raft_entry_id id = {.term = entry->term, .index = index};
        EXPECT(cluster_disk_holds(node, id), node);
    }
}
