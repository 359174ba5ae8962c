// Opening, and the loop: receive, timers, send.
#include "engine/client/internal.h"

#include <errno.h>
#include <stdlib.h>

#define TIMERS_MAX_NS UINT64_C(2000000)

enum {
    WINDOW_PAGE = 1024, // sessions' windows are multiples of it
    PAYLOADS_MIN = 4 << 20,
    PAYLOADS_MAX = 64 << 20,
    PAYLOAD_TYPICAL = 2048,
};

void client_config_init(struct client_config *config)
{
    *config = (struct client_config){.groups = 1,
                                     .depth_max = 256,
                                     .reads_max = 256,
                                     .attempt_timeout_ns = UINT64_C(100000000),
                                     .give_up_ns = UINT64_C(10000000000),
                                     .status_give_up_ns = UINT64_C(1000000000)};
}

static bool is_valid(const struct client_config *config)
{
    uint64_t bytes = config->payload_bytes;
    return config->node_count >= 1 && config->node_count <= RAFT_NODES_MAX && config->groups >= 1 &&
           config->groups <= RAFT_GROUPS_MAX && config->depth_max >= 1 &&
           config->depth_max <= CLIENT_DEPTH_MAX && config->reads_max >= 1 &&
           config->reads_max <= CLIENT_READS_MAX && config->attempt_timeout_ns >= 1 &&
           config->status_give_up_ns >= 1 && config->net != NULL && config->clock != NULL &&
           (bytes == 0 || (bytes >= 2 * RAFT_PAYLOAD_BYTES_MAX && (bytes & (bytes - 1)) == 0));
}

static uint64_t round_to_power(uint64_t value, uint64_t min, uint64_t max)
{
    uint64_t power = min;
    while (power < value && power < max) {
        power *= 2;
    }
    return power;
}

int client_open(const struct client_config *config, struct client **out)
{
    if (!is_valid(config)) {
        return -EINVAL;
    }
    struct client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        return -ENOMEM;
    }
    client->config = *config;
    client->slots = (uint32_t)round_to_power(config->depth_max, WINDOW_PAGE, CLIENT_DEPTH_MAX);
    if (config->payload_bytes == 0) {
        client->config.payload_bytes = round_to_power((uint64_t)config->depth_max * PAYLOAD_TYPICAL,
                                                      PAYLOADS_MIN, PAYLOADS_MAX);
    }
    client->filter = (struct wire_filter){
        .cluster = config->cluster, .self = WIRE_CLIENT, .groups = config->groups};
    for (uint32_t place = 0; place < config->node_count; place++) {
        client->filter.peers |= UINT64_C(1) << (config->nodes[place] - 1);
    }
    client->parked = (struct slot_list){SLOT_NONE, SLOT_NONE};
    client->now_ns = clock_now_ns(config->clock);
    prng_init(&client->prng, config->seed);
    client->groups = calloc(config->groups, sizeof(struct group *));
    client->active = calloc(config->groups, sizeof(struct group *));
    if (client->groups == NULL || client->active == NULL || queries_open(client) != 0) {
        client_close(client);
        return -ENOMEM;
    }
    *out = client;
    return 0;
}

static void end_everything(struct client *client)
{
    for (uint32_t id = 0; id < client->config.groups; id++) {
        if (client->groups[id] != NULL) {
            commands_end(client, client->groups[id], PONTOON_UNKNOWN);
        }
    }
    queries_end(client);
    probes_end(client);
    struct frames *frames = &client->frames;
    if (frames->pending_count > 0) {
        client->config.net->ops->release(client->config.net, frames->pending,
                                         frames->pending_count);
    }
}

void client_close(struct client *client)
{
    if (client->groups != NULL && client->queries != NULL) {
        end_everything(client);
    }
    for (uint32_t id = 0; client->groups != NULL && id < client->config.groups; id++) {
        if (client->groups[id] != NULL) {
            free(client->groups[id]->commands);
            free(client->groups[id]->payloads);
            free(client->groups[id]);
        }
    }
    queries_close(client);
    free(client->groups);
    free(client->active);
    free(client);
}

struct group *group_open(struct client *client, uint16_t id)
{
    struct group *group = calloc(1, sizeof(*group));
    if (group == NULL) {
        return NULL;
    }
    group->commands = aligned_alloc(64, (size_t)client->slots * sizeof(struct command));
    group->payloads = malloc(client->config.payload_bytes);
    if (group->commands == NULL || group->payloads == NULL) {
        free(group->commands);
        free(group->payloads);
        free(group);
        return NULL;
    }
    uint32_t depth = client->config.depth_max;
    group->id = id;
    group->mask = client->slots - 1;
    group->lowest = group->fresh = group->next = 1;
    group->sent = group->again = (struct slot_list){SLOT_NONE, SLOT_NONE};
    group->reads_sent = group->reads_again = (struct slot_list){SLOT_NONE, SLOT_NONE};
    group->sending = SLOT_NONE;
    group->window = depth < WINDOW_START ? depth : WINDOW_START;
    group->threshold = depth;
    group->place = (uint32_t)prng_below(&client->prng, client->config.node_count);
    client->groups[id] = group;
    return group;
}

static void deactivate(struct client *client, struct group *group)
{
    struct group *last = client->active[--client->active_count];
    client->active[group->active_at - 1] = last;
    last->active_at = group->active_at;
    group->active_at = 0;
}

static void on_message(struct client *client, uint32_t place, const struct wire_message *message)
{
    struct group *group = client->groups[message->group];
    if (message->type == WIRE_STATUS_REPLY) {
        probes_on_reply(client, group, place, &message->status_reply);
        return;
    }
    if (group == NULL) {
        client->counters.stale++;
        return;
    }
    route_heard(client, group, place);
    switch (message->type) {
    case WIRE_PROPOSE_REPLY:
        commands_on_reply(client, group, place, &message->propose_reply);
        break;
    case WIRE_REGISTER_REPLY:
        enrol_on_reply(client, group, place, &message->register_reply);
        break;
    case WIRE_READ_REPLY:
        queries_on_reply(client, group, place, &message->read_reply);
        break;
    default:
        client->counters.refused[WIRE_BAD_TYPE]++;
        break;
    }
}

static void on_frame(struct client *client, const struct net_frame *frame)
{
    struct wire_reader reader;
    struct wire_message message;
    enum wire_refusal refusal =
        wire_open(&reader, &client->filter, frame->data, frame->bytes, &client->scratch);
    while (refusal == WIRE_OK) {
        refusal = wire_next(&reader, &client->filter, &message);
        if (refusal == WIRE_OK) {
            on_message(client, route_place_of(client, reader.envelope.source), &message);
        }
    }
    if (refusal != WIRE_END) {
        client->counters.refused[refusal]++;
    }
}

static void receive(struct client *client)
{
    struct net *net = client->config.net;
    uint32_t count = net->ops->receive(net, client->rx, RX_BURST);
    for (uint32_t at = 0; at < count; at++) {
        on_frame(client, &client->rx[at]);
    }
    if (count > 0) {
        net->ops->release(net, client->rx, count);
        client->counters.frames_in += count;
        client->was_busy = true;
    }
}

static void check_time(struct client *client)
{
    if (client->now_ns < client->timers_ns) {
        return;
    }
    uint64_t step_ns = client->config.attempt_timeout_ns / 16;
    client->timers_ns = client->now_ns + (step_ns < TIMERS_MAX_NS ? step_ns : TIMERS_MAX_NS);
    for (uint32_t at = 0; at < client->active_count; at++) {
        struct group *group = client->active[at];
        route_check_time(client, group);
        enrol_check_time(client, group);
        commands_check_time(client, group);
        queries_check_time(client, group);
    }
}

// A group leaves the list once nothing of it is in flight.
static void send_all(struct client *client)
{
    uint32_t count = client->active_count;
    client->turn = count == 0 ? 0 : (client->turn + 1) % count;
    for (uint32_t step = 0; step < count; step++) {
        transmit(client, client->active[(client->turn + step) % count]);
    }
    for (uint32_t at = client->active_count; at-- > 0;) {
        struct group *group = client->active[at];
        if (group->in_flight == 0 && group->reads_waiting == 0) {
            deactivate(client, group);
        }
    }
    if (client->statuses_waiting > 0) {
        probes_transmit(client);
    }
    frames_flush(client);
}

bool client_poll(struct client *client)
{
    client->now_ns = clock_now_ns(client->config.clock);
    client->was_busy = false;
    client->frames.budget = FRAMES_A_POLL;
    client->config.net->ops->poll(client->config.net, client->now_ns);
    receive(client);
    check_time(client);
    send_all(client);
    return client->was_busy;
}

// Before something is asked for: the time of the last poll is good enough while the caller polls.
void client_wake(struct client *client)
{
    if (client->commands_in_flight + client->queries_waiting + client->statuses_waiting == 0) {
        client->now_ns = clock_now_ns(client->config.clock);
    }
}

uint32_t client_in_flight(const struct client *client)
{
    return client->commands_in_flight + client->queries_waiting;
}

uint16_t client_leader(const struct client *client, uint16_t id)
{
    const struct group *group = id < client->config.groups ? client->groups[id] : NULL;
    return group != NULL && group->has_served ? client->config.nodes[group->place] : 0;
}

void client_counters(const struct client *client, struct client_counters *out)
{
    *out = client->counters;
}
