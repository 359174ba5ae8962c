// Status of single replicas: asked for by the caller, or to find a leader.
#include "engine/client/internal.h"

#include <errno.h>

// Request ids of the caller's: generation and slot + 1. 0 is a probe of ours.
static uint64_t request_of(const struct status_wait *wait, uint32_t slot)
{
    return (uint64_t)wait->generation << 32 | (slot + 1);
}

static bool put(struct client *client, uint32_t place, uint16_t group,
                const struct wire_status_request *request)
{
    struct wire_writer *writer = frames_writer(client, place, group);
    if (writer != NULL && !wire_put_status(writer, group, request)) {
        writer = frames_next(client, place, group);
        return writer != NULL && wire_put_status(writer, group, request);
    }
    return writer != NULL;
}

int client_status(struct client *client, uint16_t node, uint16_t group, bool want_digest,
                  pontoon_client_status_done *done, void *context)
{
    uint32_t place = route_place_of(client, node);
    if (group >= client->config.groups || place == SLOT_NONE) {
        return -EINVAL;
    }
    client_wake(client);
    for (uint32_t slot = 0; slot < CLIENT_STATUS_MAX; slot++) {
        struct status_wait *wait = &client->statuses[slot];
        if (!wait->is_used) {
            *wait = (struct status_wait){.is_used = true,
                                         .want_digest = want_digest,
                                         .group = group,
                                         .place = place,
                                         // Answers to a former client at this address are not ours.
                                         .generation = wait->generation == 0
                                                           ? (uint32_t)prng_next(&client->prng)
                                                           : wait->generation + 1,
                                         .asked_ns = client->now_ns,
                                         .done = done,
                                         .context = context};
            client->statuses_waiting++;
            return 0;
        }
    }
    return -EAGAIN;
}

static void finish(struct client *client, struct status_wait *wait,
                   const struct pontoon_group_status *status)
{
    wait->is_used = false;
    client->statuses_waiting--;
    wait->done(wait->context, client->config.nodes[wait->place], status);
}

static bool is_over(const struct client *client, const struct status_wait *wait)
{
    return client->now_ns - wait->asked_ns >= client->config.status_give_up_ns;
}

static bool is_due(const struct client *client, const struct status_wait *wait)
{
    return wait->sent_ns == 0 ||
           client->now_ns - wait->sent_ns >= client->config.attempt_timeout_ns;
}

// Sends what is due, ends what took too long.
void probes_transmit(struct client *client)
{
    uint32_t left = client->statuses_waiting;
    for (uint32_t slot = 0; slot < CLIENT_STATUS_MAX && left > 0; slot++) {
        struct status_wait *wait = &client->statuses[slot];
        if (!wait->is_used) {
            continue;
        }
        left--;
        const struct wire_status_request request = {.request = request_of(wait, slot),
                                                    .want_digest = wait->want_digest};
        if (is_over(client, wait)) {
            finish(client, wait, NULL);
        } else if (is_due(client, wait) && put(client, wait->place, wait->group, &request)) {
            wait->sent_ns = client->now_ns;
        }
    }
}

// Asks all but the node that says nothing.
void probes_leader(struct client *client, struct group *group)
{
    const struct wire_status_request request = {.request = 0};
    for (uint32_t place = 0; place < client->config.node_count; place++) {
        if (place != group->place) {
            client->counters.probes += put(client, place, group->id, &request);
        }
    }
}

void probes_on_reply(struct client *client, struct group *group, uint32_t place,
                     const struct wire_status_reply *reply)
{
    if (reply->request == 0) {
        if (group != NULL) {
            route_on_probe(client, group, reply);
        }
        return;
    }
    uint32_t slot = (uint32_t)reply->request - 1;
    struct status_wait *wait = slot < CLIENT_STATUS_MAX ? &client->statuses[slot] : NULL;
    if (wait == NULL || !wait->is_used || reply->request != request_of(wait, slot) ||
        wait->place != place) {
        client->counters.stale++;
        return;
    }
    const struct pontoon_group_status status = {.role = (enum pontoon_role)reply->role,
                                                .leader = reply->leader_hint,
                                                .intact = reply->intact,
                                                .term = reply->term,
                                                .last = reply->last,
                                                .commit = reply->commit,
                                                .applied = reply->applied,
                                                .digest = reply->has_digest ? reply->digest : 0};
    finish(client, wait, &status);
}

// Ends everything, on close.
void probes_end(struct client *client)
{
    for (uint32_t slot = 0; slot < CLIENT_STATUS_MAX; slot++) {
        if (client->statuses[slot].is_used) {
            finish(client, &client->statuses[slot], NULL);
        }
    }
}
