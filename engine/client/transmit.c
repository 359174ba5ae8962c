// What is sent when: commands that are to be sent again first, then fresh ones, as many in a frame
// as fit, as many in flight as the window says.
//
// The window is for the nodes' sake: it starts at WINDOW_START, doubles with every window of
// answers until the first loss or BUSY, is halved by those, and then grows by a 64th of the depth a
// window.
#include "engine/client/internal.h"

#include "engine/core/entry_crc.h"

enum stop { STOP_EMPTY, STOP_FULL, STOP_LARGE };

void transmit_grow(struct client *client, struct group *group, uint32_t answers)
{
    uint32_t depth = client->config.depth_max;
    if (group->window >= depth) {
        return;
    }
    if (group->window < group->threshold) {
        group->window += answers;
    } else {
        group->window_credit += answers;
        if (group->window_credit >= group->window) {
            group->window_credit = 0;
            group->window += depth / 64 + 1;
        }
    }
    group->window = group->window < depth ? group->window : depth;
}

static void halve(struct group *group)
{
    group->window = group->window > 1 ? group->window / 2 : 1;
    group->threshold = group->window;
    group->window_credit = 0;
}

// The node is busy: a pause, longer each time in a row. Answers that arrive during the pause tell
// nothing new.
void transmit_back_off(struct client *client, struct group *group)
{
    if (client->now_ns < group->hold_ns) {
        return;
    }
    halve(group);
    uint64_t pause_ns = group->backoff_ns * 2;
    pause_ns = pause_ns < BACKOFF_MIN_NS ? BACKOFF_MIN_NS : pause_ns;
    group->backoff_ns = pause_ns < BACKOFF_MAX_NS ? pause_ns : BACKOFF_MAX_NS;
    group->hold_ns = client->now_ns + group->backoff_ns;
}

// An attempt was not answered in time. However many at once: one halving.
void transmit_on_loss(struct client *client, struct group *group)
{
    if (client->now_ns - group->cut_ns >= client->config.attempt_timeout_ns) {
        group->cut_ns = client->now_ns;
        halve(group);
    }
}

static const uint8_t *payload_of(const struct client *client, const struct group *group,
                                 const struct command *command)
{
    return group->payloads + (command->payload_at & (client->config.payload_bytes - 1));
}

static struct wire_ranges ranges_of(const struct client *client, const struct group *group,
                                    const struct command *command)
{
    const uint8_t *payload = payload_of(client, group, command);
    return (struct wire_ranges){.at = payload + ((command->bytes + 7) & ~UINT32_C(7)),
                                .count = command->range_count};
}

static uint64_t ticket_of(const struct group *group, uint32_t slot)
{
    return group->lowest + ((slot - group->lowest) & group->mask);
}

static void make_head(const struct group *group, uint32_t slot, struct raft_entry_head *head)
{
    const struct command *command = &group->commands[slot];
    *head = (struct raft_entry_head){.client = group->session,
                                     .sequence = ticket_of(group, slot) - group->base,
                                     .bytes = command->bytes,
                                     .crc = command->crc,
                                     .kind = RAFT_ENTRY_COMMAND};
}

// Whose turn it is; SLOT_NONE: nobody may be sent now.
static uint32_t candidate(const struct group *group)
{
    if (group->outstanding >= group->window) {
        return SLOT_NONE;
    }
    if (group->again.first != SLOT_NONE) {
        return group->again.first;
    }
    bool may = group->fresh < group->next && group->fresh - group->lowest < group->span &&
               !group->is_abandoned;
    return may ? (uint32_t)(group->fresh & group->mask) : SLOT_NONE;
}

// Takes the candidate out of where it waits, and makes its head.
static void take(struct client *client, struct group *group, uint32_t slot,
                 struct raft_entry_head *head)
{
    struct command *command = &group->commands[slot];
    group->outstanding++;
    if (command->state == COMMAND_AGAIN) {
        commands_remove(group, &group->again, slot);
        command->is_repeated = true;
        client->counters.commands.resent++;
        make_head(group, slot, head);
        return;
    }
    group->fresh++;
    make_head(group, slot, head);
    head->crc = command->crc = raft_entry_crc(head, payload_of(client, group, command));
}

// Gathers what fits the rest of this frame as one message.
static enum stop gather(struct client *client, struct group *group,
                        const struct wire_writer *writer, uint32_t small_bytes_max)
{
    struct batch *batch = &client->batch;
    uint32_t room = (writer->capacity - writer->bytes) & ~UINT32_C(7);
    uint32_t payload_bytes = 0, ranges = 0;
    batch->count = 0;
    while (batch->count < WIRE_ENTRIES_MAX) {
        uint32_t slot = candidate(group);
        if (slot == SLOT_NONE) {
            return STOP_EMPTY;
        }
        const struct command *command = &group->commands[slot];
        if (command->bytes + wire_ranges_bytes(1, command->range_count) > small_bytes_max) {
            return STOP_LARGE;
        }
        payload_bytes += command->bytes;
        ranges += command->range_count;
        if (wire_propose_bytes(batch->count + 1, payload_bytes, ranges) > room) {
            return STOP_FULL;
        }
        if (group->has_ranges) {
            batch->ranges[batch->count] = ranges_of(client, group, command);
        }
        take(client, group, slot, &batch->heads[batch->count]);
        batch->slots[batch->count] = slot;
        batch->payloads[batch->count++] = payload_of(client, group, command);
    }
    return STOP_FULL;
}

static void mark_sent(struct client *client, struct group *group, uint32_t slot)
{
    struct command *command = &group->commands[slot];
    command->state = COMMAND_SENT;
    command->sent_ns = client->now_ns;
    commands_push(group, &group->sent, slot);
}

static void put_batch(struct client *client, struct group *group, struct wire_writer *writer)
{
    struct batch *batch = &client->batch;
    if (batch->count == 0) {
        return;
    }
    uint32_t put = wire_put_propose_ranges(writer, group->id, batch->heads, batch->payloads,
                                           group->has_ranges ? batch->ranges : NULL, batch->count);
    ASSERT_CMP(put, ==, batch->count); // gather() counted as the codec does
    for (uint32_t at = 0; at < batch->count; at++) {
        mark_sent(client, group, batch->slots[at]);
    }
}

// Sends fragments of group->sending, each in a frame of its own. True when all are sent.
static bool send_fragments(struct client *client, struct group *group)
{
    uint32_t slot = group->sending;
    const struct command *command = &group->commands[slot];
    struct wire_fragment fragment = {.ranges = ranges_of(client, group, command)};
    make_head(group, slot, &fragment.head);
    while (group->sending_offset < command->bytes) {
        struct wire_writer *writer = frames_next(client, group->place, group->id);
        if (writer == NULL) {
            return false;
        }
        uint32_t bytes = wire_propose_fragment_bytes(writer->capacity, command->range_count);
        uint32_t left = command->bytes - group->sending_offset;
        fragment.offset = group->sending_offset;
        fragment.bytes = left < bytes ? left : bytes;
        fragment.data = payload_of(client, group, command) + group->sending_offset;
        bool fits = wire_put_propose_fragment(writer, group->id, &fragment);
        ASSERT(fits);
        group->sending_offset += fragment.bytes;
    }
    group->sending = SLOT_NONE;
    mark_sent(client, group, slot);
    return true;
}

static bool may_begin_large(const struct client *client, uint32_t bytes)
{
    return client->large_out == 0 || client->large_out_bytes + bytes <= LARGE_OUT_BYTES_MAX;
}

// Begins with a command that is larger than a frame. False: enough of those are under way.
static bool begin_large(struct client *client, struct group *group)
{
    struct raft_entry_head head;
    uint32_t slot = candidate(group);
    if (slot == SLOT_NONE || !may_begin_large(client, group->commands[slot].bytes)) {
        return false;
    }
    take(client, group, slot, &head);
    group->commands[slot].state = COMMAND_SENDING;
    group->commands[slot].is_large = true;
    client->large_out++;
    client->large_out_bytes += group->commands[slot].bytes;
    group->sending = slot;
    group->sending_offset = 0;
    return true;
}

void transmit(struct client *client, struct group *group)
{
    if (client->now_ns < group->hold_ns) {
        return;
    }
    queries_transmit(client, group);
    if (!enrol_is_open(client, group)) {
        return;
    }
    while (group->sending != SLOT_NONE || candidate(group) != SLOT_NONE) {
        route_asked(client, group);
        if (group->sending != SLOT_NONE && !send_fragments(client, group)) {
            return;
        }
        struct wire_writer *writer = frames_writer(client, group->place, group->id);
        if (writer == NULL) {
            return;
        }
        enum stop stop = gather(client, group, writer, wire_propose_payload_max(writer->capacity));
        put_batch(client, group, writer);
        if (stop == STOP_LARGE && !begin_large(client, group)) {
            return;
        }
        if (stop == STOP_FULL && frames_next(client, group->place, group->id) == NULL) {
            return;
        }
    }
}
