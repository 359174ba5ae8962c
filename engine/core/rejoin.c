// Nodes that lost entries they had acknowledged: a `memory` node after every restart, an `fsync`
// node whose log is damaged below its durable mark. They keep term, vote and boot counter, so they
// cannot vote twice; but their short log must not elect anybody, and what they acknowledged must
// not be counted twice.
//
// The rule (engine/README.md, "Lost entries"): such a node neither stands, nor grants, nor counts.
// The leader that sees its new boot counter forgets its match index, and tells it a commit index
// that a majority WITHOUT it confirmed after that. Everything the node may ever have helped to
// commit is at or below that index; once it holds that much, it counts again.
//
// With fewer intact nodes than a majority nobody can be elected: the group has halted.
//
// Alone writes  intact, halted, rejoin_index; of peers: boot, intact, has_room, rejoin_round,
// rejoin_index.
#include "engine/core/state.h"

#include "engine/base/mark.h"

static void update_halted(struct raft *raft)
{
    uint32_t lost = !raft->intact;
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        lost += slot != raft->self_slot && !raft->peers[slot].intact;
    }
    raft->halted = lost > raft->config.voter_count - raft->majority;
}

void rejoin_set_intact(struct raft *raft, bool is_intact)
{
    raft->intact = is_intact;
    update_halted(raft);
}

// Every message tells whether its sender restarted and what it holds. (Messages of smaller boot
// counters were dropped before.)
void rejoin_note_peer(struct raft *raft, const struct raft_message *message)
{
    struct raft_peer *peer = peer_of(raft, message->from);
    if (message->boot > peer->boot) {
        peer->boot = message->boot;
        replicate_reset_peer(raft, peer);
    }
    peer->has_room = message->has_room;
    if (peer->intact != message->intact) {
        peer->intact = message->intact;
        update_halted(raft);
    }
    if (peer->intact) {
        peer->rejoin_round = peer->rejoin_index = 0;
    } else if (raft->role == RAFT_LEADER && peer->rejoin_round == 0) {
        MARK(rejoin_asks_the_others);
        peer->rejoin_round = ++raft->round;
        for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
            raft->peers[slot].append_due = true;
        }
    }
}

void rejoin_advance_leader(struct raft *raft)
{
    if (!commit_in_term(raft)) {
        return;
    }
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        struct raft_peer *peer = &raft->peers[slot];
        if (slot != raft->self_slot && peer->rejoin_round != 0 && peer->rejoin_index == 0 &&
            commit_round_confirmed(raft, peer->rejoin_round, peer->id)) {
            peer->rejoin_index = order_commit_high(raft);
            peer->append_due = true;
        }
    }
}

void rejoin_on_append(struct raft *raft, const struct raft_append *append)
{
    if (!raft->intact && append->rejoin_index != 0 && append->rejoin_boot == raft->config.boot) {
        raft->rejoin_index = append->rejoin_index;
    }
}

void rejoin_advance(struct raft *raft)
{
    if (!raft->intact && raft->rejoin_index != 0 && order_ack_floor(raft) >= raft->rejoin_index) {
        MARK(rejoined_node_counts_again);
        rejoin_set_intact(raft, true);
        raft->reply_due = true;
    }
}
