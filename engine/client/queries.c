// Linearizable reads. An answer of one frame goes to the caller straight from that frame; a larger
// one is put together from its parts.
//
// The low byte of a request id counts attempts. Two attempts may find different states: parts
// belong together when (checksum, length) of the whole answer agree. Parts of a newer attempt that
// differ replace what is there; parts of an older one are dropped.
#include "engine/client/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/bitmap.h"
#include "engine/base/crc32c.h"

#define SERIAL_START_MAX ((UINT64_C(1) << 55) - 1) // ids have 56 bits beside the attempt

int queries_open(struct client *client)
{
    uint32_t count = client->config.reads_max;
    client->queries = calloc(count, sizeof(*client->queries));
    if (client->queries == NULL) {
        return -ENOMEM;
    }
    // An answer to a former client at this address must not be taken for one of ours.
    uint64_t base = (prng_next(&client->prng) & SERIAL_START_MAX) / count * count;
    for (uint32_t slot = 0; slot < count; slot++) {
        client->queries[slot].serial = base + slot;
        client->queries[slot].next = slot + 1 < count ? slot + 1 : SLOT_NONE;
    }
    for (uint32_t at = 0; at < CLIENT_LARGE_ANSWERS_MAX; at++) {
        struct answer_buffer *buffer = &client->answers[at];
        buffer->data = malloc(CLIENT_ANSWER_BYTES_MAX);
        buffer->held = calloc(bitmap_words(CLIENT_ANSWER_BYTES_MAX), sizeof(uint64_t));
        if (buffer->data == NULL || buffer->held == NULL) {
            return -ENOMEM;
        }
        client->answers_free[client->answers_free_count++] = at;
    }
    return 0;
}

void queries_close(struct client *client)
{
    for (uint32_t at = 0; at < CLIENT_LARGE_ANSWERS_MAX; at++) {
        free(client->answers[at].data);
        free(client->answers[at].held);
    }
    free(client->queries);
}

static void push(struct client *client, struct slot_list *list, uint32_t slot)
{
    struct query *query = &client->queries[slot];
    query->next = SLOT_NONE;
    query->previous = list->last;
    if (list->last == SLOT_NONE) {
        list->first = slot;
    } else {
        client->queries[list->last].next = slot;
    }
    list->last = slot;
}

static void take_out(struct client *client, struct slot_list *list, uint32_t slot)
{
    const struct query *query = &client->queries[slot];
    if (query->previous == SLOT_NONE) {
        list->first = query->next;
    } else {
        client->queries[query->previous].next = query->next;
    }
    if (query->next == SLOT_NONE) {
        list->last = query->previous;
    } else {
        client->queries[query->next].previous = query->previous;
    }
}

static struct slot_list *list_of(struct client *client, const struct query *query)
{
    switch ((enum query_state)query->state) {
    case QUERY_SENT:
        return &query->group->reads_sent;
    case QUERY_AGAIN:
        return &query->group->reads_again;
    case QUERY_PARKED:
        return &client->parked;
    case QUERY_FREE:
        break;
    }
    return NULL;
}

static void set_state(struct client *client, uint32_t slot, enum query_state state)
{
    struct query *query = &client->queries[slot];
    struct slot_list *list = list_of(client, query);
    if (list != NULL) {
        take_out(client, list, slot);
    }
    query->state = (uint8_t)state;
    list = list_of(client, query);
    if (list != NULL) {
        push(client, list, slot);
    }
}

int client_read_ranges(struct client *client, uint16_t id, const struct pontoon_command *from,
                       pontoon_answer *answer, void *context)
{
    if (id >= client->config.groups || from->bytes > CLIENT_QUERY_BYTES_MAX ||
        !client_takes_ranges(from)) {
        return -EINVAL;
    }
    uint32_t slot = client->query_free;
    if (slot == SLOT_NONE) {
        return -EAGAIN;
    }
    struct group *group = group_obtain(client, id);
    if (group == NULL) {
        return -ENOMEM;
    }
    client_wake(client);
    struct query *query = &client->queries[slot];
    client->query_free = query->next;
    query->answer = answer;
    query->context = context;
    query->group = group;
    query->serial += client->config.reads_max;
    query->asked_ns = client->now_ns;
    query->attempt = 0;
    query->buffer = SLOT_NONE;
    query->bytes = from->bytes;
    if (from->bytes > 0) {
        memcpy(query->text, from->payload, from->bytes);
    }
    query->range_count = client->config.sends_ranges ? (uint8_t)from->range_count : 0;
    for (uint32_t at = 0; at < query->range_count; at++) {
        query->ranges[at] = from->ranges[at];
    }
    set_state(client, slot, QUERY_AGAIN);
    group->reads_waiting++;
    client->queries_waiting++;
    group_activate(client, group);
    return 0;
}

// Gives an answer buffer back; who waits for one asks again.
static void release_buffer(struct client *client, uint32_t buffer)
{
    if (buffer == SLOT_NONE) {
        return;
    }
    client->answers_free[client->answers_free_count++] = buffer;
    if (client->parked.first != SLOT_NONE) {
        set_state(client, client->parked.first, QUERY_AGAIN);
    }
}

static void forget_parts(struct client *client, struct query *query)
{
    if (query->buffer != SLOT_NONE) {
        bitmap_clear_range(client->answers[query->buffer].held, 0, query->total_bytes);
        query->held_bytes = 0;
    }
}

// Ends a read. The callback may read again; the answer's memory stays until it returns.
static void finish(struct client *client, uint32_t slot, enum pontoon_status status,
                   const void *data, int32_t bytes)
{
    struct query *query = &client->queries[slot];
    pontoon_answer *answer = query->answer;
    void *context = query->context;
    uint32_t buffer = query->buffer;
    forget_parts(client, query);
    set_state(client, slot, QUERY_FREE);
    query->group->reads_waiting--;
    client->queries_waiting--;
    query->next = client->query_free;
    client->query_free = slot;
    answer(context, status, data, bytes);
    release_buffer(client, buffer);
}

static bool put(struct client *client, struct wire_writer *writer, const struct query *query)
{
    const struct wire_read read = {.request = query->serial << 8 | query->attempt,
                                   .bytes = query->bytes,
                                   .query = query->text,
                                   .ranges = {.at = query->ranges, .count = query->range_count}};
    return wire_put_read(writer, query->group->id, &read);
}

void queries_transmit(struct client *client, struct group *group)
{
    while (group->reads_again.first != SLOT_NONE) {
        uint32_t slot = group->reads_again.first;
        struct query *query = &client->queries[slot];
        struct wire_writer *writer = frames_writer(client, group->place, group->id);
        if (writer != NULL && !put(client, writer, query)) {
            writer = frames_next(client, group->place, group->id);
            if (writer != NULL && !put(client, writer, query)) {
                finish(client, slot, PONTOON_INVALID, NULL, 0); // larger than a frame
                continue;
            }
        }
        if (writer == NULL) {
            return;
        }
        route_asked(client, group);
        query->sent_ns = client->now_ns;
        set_state(client, slot, QUERY_SENT);
    }
}

static void ask_again(struct client *client, uint32_t slot)
{
    client->queries[slot].attempt++;
    set_state(client, slot, QUERY_AGAIN);
}

// Makes room for an answer of several parts. False: this part is of no use.
static bool prepare(struct client *client, uint32_t slot, const struct wire_read_reply *reply)
{
    struct query *query = &client->queries[slot];
    uint8_t attempt = (uint8_t)reply->request;
    if (query->buffer == SLOT_NONE) {
        if (client->answers_free_count == 0) {
            query->attempt++;
            set_state(client, slot, QUERY_PARKED);
            return false;
        }
        query->buffer = client->answers_free[--client->answers_free_count];
        query->total_bytes = 0;
        query->held_bytes = 0;
    }
    if (query->total_bytes == reply->total_bytes && query->crc == reply->answer_crc) {
        return true;
    }
    if (query->held_bytes > 0 && (int8_t)(attempt - query->attempt_assembled) <= 0) {
        return false;
    }
    forget_parts(client, query);
    query->total_bytes = reply->total_bytes;
    query->crc = reply->answer_crc;
    query->attempt_assembled = attempt;
    return true;
}

static void add_part(struct client *client, uint32_t slot, const struct wire_read_reply *reply)
{
    if (!prepare(client, slot, reply)) {
        return;
    }
    struct query *query = &client->queries[slot];
    struct answer_buffer *buffer = &client->answers[query->buffer];
    uint32_t end = reply->offset + reply->bytes;
    uint32_t held = (uint32_t)bitmap_count(buffer->held, reply->offset, end);
    memcpy(buffer->data + reply->offset, reply->data, reply->bytes);
    bitmap_set_range(buffer->held, reply->offset, end);
    query->held_bytes += reply->bytes - held;
    if (query->state == QUERY_SENT) {
        query->sent_ns = client->now_ns; // it gets on: the list stays in order of time
        set_state(client, slot, QUERY_SENT);
    }
    if (query->held_bytes < query->total_bytes) {
        return;
    }
    if (crc32c(0, buffer->data, query->total_bytes) == query->crc) {
        finish(client, slot, PONTOON_DONE, buffer->data, (int32_t)query->total_bytes);
    } else {
        forget_parts(client, query);
        ask_again(client, slot);
    }
}

static void on_answer(struct client *client, uint32_t slot, const struct wire_read_reply *reply)
{
    if (reply->result < 0) {
        finish(client, slot, PONTOON_DONE, NULL, reply->result);
    } else if ((uint32_t)reply->result != reply->total_bytes) {
        client->counters.refused[WIRE_BAD_FIELD]++;
    } else if (reply->total_bytes > CLIENT_ANSWER_BYTES_MAX) {
        finish(client, slot, PONTOON_INVALID, NULL, 0);
    } else if (reply->bytes < reply->total_bytes) {
        add_part(client, slot, reply);
    } else if (crc32c(0, reply->data, reply->bytes) != reply->answer_crc) {
        client->counters.refused[WIRE_BAD_CHECKSUM]++;
    } else {
        finish(client, slot, PONTOON_DONE, reply->data, reply->result);
    }
}

void queries_on_reply(struct client *client, struct group *group, uint32_t place,
                      const struct wire_read_reply *reply)
{
    uint64_t serial = reply->request >> 8;
    uint32_t slot = (uint32_t)(serial % client->config.reads_max);
    struct query *query = &client->queries[slot];
    if (query->state == QUERY_FREE || query->serial != serial || query->group != group) {
        client->counters.stale++;
        return;
    }
    switch ((enum wire_status)reply->status) {
    case WIRE_DONE:
        route_served(group, place);
        on_answer(client, slot, reply);
        break;
    case WIRE_NOT_LEADER:
    case WIRE_UNKNOWN:
    case WIRE_FAILED:
        route_refused(client, group, place, reply->leader_hint);
        break;
    case WIRE_BUSY:
    case WIRE_OUTSIDE_WINDOW:
        client->counters.commands.busy++;
        if (place == group->place && query->state == QUERY_SENT) {
            ask_again(client, slot);
            transmit_back_off(client, group);
        }
        break;
    case WIRE_INVALID:
    case WIRE_EXPIRED:
        finish(client, slot, PONTOON_INVALID, NULL, 0);
        break;
    }
}

void queries_requeue(struct client *client, struct group *group)
{
    while (group->reads_sent.first != SLOT_NONE) {
        ask_again(client, group->reads_sent.first);
    }
}

static void check_give_up(struct client *client, struct slot_list *list)
{
    uint32_t slot = list->first;
    while (slot != SLOT_NONE) {
        uint32_t next = client->queries[slot].next;
        if (client->now_ns - client->queries[slot].asked_ns >= client->config.give_up_ns) {
            finish(client, slot, PONTOON_UNKNOWN, NULL, 0);
        }
        slot = next;
    }
}

void queries_check_time(struct client *client, struct group *group)
{
    while (group->reads_sent.first != SLOT_NONE &&
           client->now_ns - client->queries[group->reads_sent.first].sent_ns >=
               client->config.attempt_timeout_ns) {
        client->counters.commands.resent++;
        ask_again(client, group->reads_sent.first);
    }
    if (client->config.give_up_ns != 0 && group->reads_waiting > 0) {
        check_give_up(client, &group->reads_again);
        check_give_up(client, &group->reads_sent);
        check_give_up(client, &client->parked);
    }
}

// Ends everything, on close.
void queries_end(struct client *client)
{
    for (uint32_t slot = 0; slot < client->config.reads_max; slot++) {
        if (client->queries[slot].state != QUERY_FREE) {
            finish(client, slot, PONTOON_UNKNOWN, NULL, 0);
        }
    }
}
