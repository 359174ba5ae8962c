// Clients: who asked, and what they are told. Results of one poll iteration are gathered per client
// and leave in as few messages as hold them; without a frame they wait for the next iteration.
//
// An answer goes back to the address its question came from. At most CLIENTS_MAX addresses are
// remembered; when a new one comes, the one that was quiet for longest is forgotten, and its
// waiting answers with it (a client asks again).
#include "engine/reactor/internal.h"

#include <string.h>

static bool is_same(const struct net_endpoint *a, const struct net_endpoint *b)
{
    return a->ipv4 == b->ipv4 && a->udp_port == b->udp_port && a->link == b->link;
}

static void flush_results(struct reactor *reactor, struct client *client);

struct origin client_origin(struct reactor *reactor, const struct net_endpoint *remote)
{
    struct client *oldest = &reactor->clients[0];
    for (uint32_t slot = 0; slot < CLIENTS_MAX; slot++) {
        struct client *client = &reactor->clients[slot];
        if (client->is_used && is_same(&client->remote, remote)) {
            client->used_ns = reactor->now_ns;
            if (!client->lane.is_open) {
                client->lane.remote = *remote; // its MAC address or port may be new
            }
            return (struct origin){.slot = slot + 1, .generation = client->generation};
        }
        if (!client->is_used || (oldest->is_used && client->used_ns < oldest->used_ns)) {
            oldest = client;
        }
    }
    flush_results(reactor, oldest);
    if (oldest->lane.is_open) {
        outbox_flush(reactor);
    }
    oldest->is_used = true;
    oldest->generation++;
    oldest->remote = oldest->lane.remote = *remote;
    oldest->lane.node = WIRE_CLIENT;
    oldest->lane.use = NET_USE_CLIENT;
    oldest->used_ns = reactor->now_ns;
    oldest->result_count = 0;
    return (struct origin){.slot = (uint32_t)(oldest - reactor->clients) + 1,
                           .generation = oldest->generation};
}

// The client an origin means, or NULL when it was forgotten since.
struct client *client_at(struct reactor *reactor, struct origin origin)
{
    struct client *client = &reactor->clients[origin.slot - 1];
    return client->generation == origin.generation ? client : NULL;
}

static uint16_t leader_hint(struct reactor *reactor, uint16_t group_id)
{
    struct raft_view view;
    raft_view(reactor_group(reactor, group_id)->raft, &view);
    return view.leader;
}

static void flush_results(struct reactor *reactor, struct client *client)
{
    uint32_t at = 0;
    uint16_t hint = client->result_count == 0 ? 0 : leader_hint(reactor, client->group);
    while (at < client->result_count) {
        struct wire_writer *writer = lane_writer(reactor, &client->lane);
        uint32_t put =
            writer == NULL
                ? 0
                : wire_put_propose_reply(writer, client->group, client->session, hint,
                                         client->results + at, client->result_count - at);
        if (put == 0) {
            writer = lane_next_frame(reactor, &client->lane);
            put = writer == NULL
                      ? 0
                      : wire_put_propose_reply(writer, client->group, client->session, hint,
                                               client->results + at, client->result_count - at);
            if (put == 0) {
                break; // no frames now
            }
        }
        at += put;
    }
    client->result_count -= at;
    memmove(client->results, client->results + at, client->result_count * sizeof(*client->results));
}

void client_result(struct reactor *reactor, struct origin origin, uint16_t group, uint64_t session,
                   const struct wire_result *result, uint64_t index)
{
    reactor->counters.replies++;
    if ((origin.slot & ORIGIN_MAILBOX) != 0) {
        const struct reactor_reply reply = {
            .status = (enum wire_status)result->status, .result = result->result, .index = index};
        mailbox_done(reactor, origin, &reply);
        return;
    }
    struct client *client = client_at(reactor, origin);
    if (client == NULL) {
        return;
    }
    if (client->result_count == WIRE_RESULTS_MAX || client->group != group ||
        client->session != session) {
        flush_results(reactor, client);
        client->result_count = 0; // what found no frame: the client asks again, its session knows
        client->group = group;
        client->session = session;
    }
    client->results[client->result_count++] = *result;
}

void client_registered(struct reactor *reactor, struct origin origin, uint16_t group,
                       const struct wire_register_reply *reply)
{
    struct client *client = (origin.slot & ORIGIN_MAILBOX) != 0 ? NULL : client_at(reactor, origin);
    if (client == NULL) {
        return;
    }
    struct wire_register_reply complete = *reply;
    complete.leader_hint = leader_hint(reactor, group);
    struct wire_writer *writer = lane_writer(reactor, &client->lane);
    if (writer != NULL && !wire_put_register_reply(writer, group, &complete)) {
        writer = lane_next_frame(reactor, &client->lane);
        if (writer != NULL) {
            wire_put_register_reply(writer, group, &complete);
        }
    }
}

void clients_flush(struct reactor *reactor)
{
    for (uint32_t slot = 0; slot < CLIENTS_MAX; slot++) {
        if (reactor->clients[slot].result_count > 0) {
            flush_results(reactor, &reactor->clients[slot]);
        }
    }
}

static void refuse(struct group *group, struct origin origin, const struct raft_entry_head *heads,
                   uint32_t count, enum wire_status status)
{
    for (uint32_t at = 0; at < count; at++) {
        if (heads[at].kind == RAFT_ENTRY_REGISTER) {
            const struct wire_register_reply reply = {.nonce = heads[at].client, .status = status};
            client_registered(group->reactor, origin, group->id, &reply);
        } else {
            const struct wire_result result = {.sequence = heads[at].sequence, .status = status};
            client_result(group->reactor, origin, group->id, heads[at].client, &result, 0);
        }
    }
    group->reactor->counters.proposals_refused += count;
}

static bool are_ranges_valid(const struct wire_propose *propose)
{
    uint32_t at = 0;
    while (at < propose->count && wire_ranges_are_valid(&propose->ranges[at])) {
        at++;
    }
    return at == propose->count;
}

// What the gateway refuses; WIRE_DONE when nothing is wrong.
static enum wire_status inspect(struct group *group, const struct wire_propose *propose)
{
    struct reactor *reactor = group->reactor;
    uint32_t count = propose->count;
    if (group->is_halted || reactor->is_failed) {
        return WIRE_FAILED;
    }
    if (!group_takes_sizes(group, propose->heads, count) ||
        (propose->ranges != NULL && !are_ranges_valid(propose))) {
        return WIRE_INVALID;
    }
    for (uint32_t at = 0; at < count; at++) {
        if (propose->heads[at].client == 0) {
            return WIRE_EXPIRED; // without a session a doubled frame would be executed twice
        }
    }
    struct raft_view view; // group->role may be older: an election may just have been won
    raft_view(group->raft, &view);
    if (view.role != RAFT_LEADER || reactor->is_draining) {
        return WIRE_NOT_LEADER;
    }
    if (!group_takes_proposals(group, count, propose->payload_bytes)) {
        reactor->counters.proposals_busy += count;
        return WIRE_BUSY;
    }
    return WIRE_DONE;
}

// Precondition: the entries' checksums are right.
void on_propose(struct group *group, const struct net_endpoint *remote,
                const struct wire_propose *propose)
{
    struct reactor *reactor = group->reactor;
    const struct raft_entry_head *heads = propose->heads;
    uint32_t count = propose->count;
    struct origin origin = client_origin(reactor, remote);
    enum wire_status status = inspect(group, propose);
    if (status != WIRE_DONE) {
        refuse(group, origin, heads, count, status);
        return;
    }
    struct raft_view view;
    raft_view(group->raft, &view);
    struct raft_input input = {.kind = RAFT_IN_PROPOSE,
                               .propose = {.heads = heads, .count = count}};
    group_fill_footprints(group, &input, propose->payloads, propose->ranges);
    enum raft_outcome outcome = group_step(group, &input, propose->payloads, 0);
    if (outcome != RAFT_OK) {
        reactor->counters.proposals_busy += outcome == RAFT_BUSY ? count : 0;
        refuse(group, origin, heads, count, outcome == RAFT_BUSY ? WIRE_BUSY : WIRE_NOT_LEADER);
        return;
    }
    reactor->counters.proposals += count;
    timing_begin(group, view.last + 1);
    uint64_t mask = reactor->config.log_entries - 1;
    for (uint32_t at = 0; at < count; at++) {
        group->origins[(view.last + 1 + at) & mask] = origin;
    }
}

// Is a part of a large proposal worth keeping? Its first part is answered when it is not, so that
// the client need not send all of it to the wrong node.
bool expects_fragment(struct group *group, const struct net_endpoint *remote,
                      const struct wire_fragment *fragment)
{
    struct raft_view view;
    raft_view(group->raft, &view);
    if (view.role == RAFT_LEADER) {
        return true;
    }
    if (fragment->offset == 0) {
        struct origin origin = client_origin(group->reactor, remote);
        refuse(group, origin, &fragment->head, 1,
               group->is_halted || group->reactor->is_failed ? WIRE_FAILED : WIRE_NOT_LEADER);
    }
    return false;
}

void on_status(struct group *group, const struct net_endpoint *remote,
               const struct wire_status_request *request)
{
    struct reactor *reactor = group->reactor;
    struct reactor_group_status status;
    struct client *client = client_at(reactor, client_origin(reactor, remote));
    reactor_group_status(reactor, group->id, request->want_digest, &status);
    const struct wire_status_reply reply = {.request = request->request,
                                            .node = reactor->config.node,
                                            .leader_hint = status.raft.leader,
                                            .role = (uint8_t)status.raft.role,
                                            .intact = status.raft.intact,
                                            .has_digest = status.has_digest,
                                            .term = status.raft.term,
                                            .commit = status.raft.commit,
                                            .applied = status.raft.applied,
                                            .last = status.raft.last,
                                            .digest = status.digest};
    struct wire_writer *writer = lane_writer(reactor, &client->lane);
    if (writer != NULL && !wire_put_status_reply(writer, group->id, &reply)) {
        writer = lane_next_frame(reactor, &client->lane);
        if (writer != NULL) {
            wire_put_status_reply(writer, group->id, &reply);
        }
    }
}
