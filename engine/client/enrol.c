// Sessions: opened when there is something to send, given up when they expired or cannot go on.
//
// A session whose client left out a sequence for ever comes to a halt one window later: its
// replicas wait for that number. So after a command was given up (or found invalid) nothing fresh
// is sent in its session; once all others are answered a new one is opened.
#include "engine/client/internal.h"

#include "engine/core/entry_crc.h"

// The next session numbers what was never sent from 1 on.
void enrol_forget(struct group *group)
{
    group->enrol = ENROL_NONE;
    group->is_abandoned = false;
    group->base = group->fresh - 1;
    group->session = 0;
}

static uint64_t random_nonce(struct client *client)
{
    uint64_t nonce = prng_next(&client->prng);
    return nonce == 0 ? 1 : nonce;
}

static void send_register(struct client *client, struct group *group)
{
    struct raft_entry_head head = {
        .client = group->nonce, .sequence = client->slots, .kind = RAFT_ENTRY_REGISTER};
    const void *payload = NULL;
    head.crc = raft_entry_crc(&head, NULL);
    struct wire_writer *writer = frames_writer(client, group->place, group->id);
    if (writer != NULL && wire_put_propose(writer, group->id, &head, &payload, 1) == 0) {
        writer = frames_next(client, group->place, group->id);
        if (writer != NULL) {
            wire_put_propose(writer, group->id, &head, &payload, 1);
        }
    }
    if (writer != NULL) {
        group->enrol_ns = client->now_ns;
    }
}

// May commands be sent? If not, sees to it that they soon may.
bool enrol_is_open(struct client *client, struct group *group)
{
    if (group->enrol == ENROL_OPEN && group->is_abandoned && group->lowest == group->fresh) {
        enrol_forget(group);
    }
    if (group->enrol == ENROL_NONE && group->fresh < group->next) {
        group->enrol = ENROL_ASKED;
        group->nonce = random_nonce(client);
        group->enrol_ns = 0;
    }
    if (group->enrol == ENROL_ASKED && group->enrol_ns == 0) {
        route_asked(client, group);
        send_register(client, group);
    }
    return group->enrol == ENROL_OPEN;
}

static void on_granted(struct client *client, struct group *group,
                       const struct wire_register_reply *reply)
{
    if (reply->session == 0 || reply->window == 0) {
        return;
    }
    group->enrol = ENROL_OPEN;
    group->session = reply->session;
    group->span = reply->window < client->slots ? reply->window : client->slots;
    client->counters.sessions++;
}

void enrol_on_reply(struct client *client, struct group *group, uint32_t place,
                    const struct wire_register_reply *reply)
{
    if (group->enrol != ENROL_ASKED || reply->nonce != group->nonce) {
        client->counters.stale++;
        return;
    }
    switch ((enum wire_status)reply->status) {
    case WIRE_DONE:
        on_granted(client, group, reply);
        route_served(group, place);
        break;
    case WIRE_NOT_LEADER:
    case WIRE_UNKNOWN:
    case WIRE_FAILED:
    case WIRE_INVALID:
    case WIRE_EXPIRED:
        route_refused(client, group, place, reply->leader_hint);
        break;
    case WIRE_BUSY:
    case WIRE_OUTSIDE_WINDOW:
        client->counters.commands.busy++;
        if (place == group->place) {
            group->enrol_ns = 0;
            transmit_back_off(client, group);
        }
        break;
    }
}

// The same nonce again: the replicas give the same session.
void enrol_check_time(struct client *client, struct group *group)
{
    if (group->enrol == ENROL_ASKED && group->enrol_ns != 0 &&
        client->now_ns - group->enrol_ns >= client->config.attempt_timeout_ns) {
        group->enrol_ns = 0;
    }
}
