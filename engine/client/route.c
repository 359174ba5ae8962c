// Whom to ask. One node at a time is taken for the leader of a group; all of the group's requests
// go to it.
//
// A node that refuses names the leader, if it knows it: everything unanswered goes there at once.
// Where it does not, and when refusals do not end, the nodes are tried in turn with pauses. While a
// node says nothing, the others are asked who leads: one that they name takes its place at once.
// When an attempt's time has passed in silence, it is left for the next node, unless others still
// say that it leads (then frames were lost).
#include "engine/client/internal.h"

enum { PROBES_AN_ATTEMPT = 16 };

uint32_t route_place_of(const struct client *client, uint16_t node)
{
    for (uint32_t place = 0; place < client->config.node_count; place++) {
        if (client->config.nodes[place] == node) {
            return place;
        }
    }
    return SLOT_NONE;
}

// Does the node owe us an answer?
bool route_is_waiting(const struct group *group)
{
    return group->outstanding > 0 || group->reads_sent.first != SLOT_NONE ||
           (group->enrol == ENROL_ASKED && group->enrol_ns != 0);
}

// Before something is sent.
void route_asked(struct client *client, struct group *group)
{
    if (!route_is_waiting(group)) {
        group->quiet_ns = client->now_ns;
    }
}

void route_heard(struct client *client, struct group *group, uint32_t place)
{
    if (place == group->place) {
        group->quiet_ns = client->now_ns;
    }
}

void route_served(struct group *group, uint32_t place)
{
    if (place == group->place) {
        group->has_served = true;
        group->refusals = 0;
        group->backoff_ns = 0;
    }
}

// Everything unanswered goes to another node.
void route_move(struct client *client, struct group *group, uint32_t place)
{
    group->place = place;
    group->has_served = false;
    group->confirmed_ns = 0;
    group->quiet_ns = client->now_ns;
    group->enrol_ns = 0;
    client->counters.commands.redirected++;
    commands_requeue(client, group);
    queries_requeue(client, group);
}

static uint32_t next_place(const struct client *client, const struct group *group)
{
    return (group->place + 1) % client->config.node_count;
}

static void pause_sending(struct client *client, struct group *group)
{
    uint64_t pause_ns = group->backoff_ns * 2;
    pause_ns = pause_ns < BACKOFF_MIN_NS ? BACKOFF_MIN_NS : pause_ns;
    group->backoff_ns = pause_ns < BACKOFF_MAX_NS ? pause_ns : BACKOFF_MAX_NS;
    group->hold_ns = client->now_ns + group->backoff_ns;
}

// The node does not lead. Refusals of a node we left are old news.
void route_refused(struct client *client, struct group *group, uint32_t place, uint16_t hint)
{
    if (place != group->place) {
        return;
    }
    uint32_t named = hint == 0 ? SLOT_NONE : route_place_of(client, hint);
    bool is_named = named != SLOT_NONE && named != place;
    route_move(client, group, is_named ? named : next_place(client, group));
    group->refusals++;
    if (!is_named || group->refusals > client->config.node_count) {
        pause_sending(client, group);
    }
}

void route_check_time(struct client *client, struct group *group)
{
    if (!route_is_waiting(group)) {
        return;
    }
    uint64_t quiet_ns = client->now_ns - group->quiet_ns;
    uint64_t probe_ns = client->config.attempt_timeout_ns / PROBES_AN_ATTEMPT;
    bool is_confirmed = group->confirmed_ns != 0 &&
                        client->now_ns - group->confirmed_ns < client->config.attempt_timeout_ns;
    if (quiet_ns >= client->config.attempt_timeout_ns && !is_confirmed) {
        route_move(client, group, next_place(client, group));
    } else if (quiet_ns >= probe_ns && client->now_ns - group->probed_ns >= probe_ns) {
        group->probed_ns = client->now_ns;
        probes_leader(client, group);
    }
}

// What another node knows counts only while our own says nothing.
void route_on_probe(struct client *client, struct group *group,
                    const struct wire_status_reply *reply)
{
    uint64_t quiet_ns = client->now_ns - group->quiet_ns;
    uint16_t leader = reply->role == RAFT_LEADER ? reply->node : reply->leader_hint;
    uint32_t place = leader == 0 ? SLOT_NONE : route_place_of(client, leader);
    if (place == group->place) {
        group->confirmed_ns = client->now_ns;
    } else if (route_is_waiting(group) && place != SLOT_NONE &&
               quiet_ns >= client->config.attempt_timeout_ns / PROBES_AN_ATTEMPT) {
        route_move(client, group, place);
    }
}
