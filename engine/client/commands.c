// The ring of commands of a group: how they come in and how they end.
//
// Writes  commands[], lowest, next, payload ring, and the lists `sent` and `again`.
// Ends    DONE, EXPIRED (with all of the session), INVALID, and UNKNOWN when time is up. All other
//         answers mean "not here, not now": the command is sent again.
#include "engine/client/internal.h"

#include <errno.h>
#include <string.h>

enum { ATTEMPT_STRETCH_MAX = 16 };

// Where a payload (with ranges) of this size goes, contiguous; UINT64_MAX: no room. Payloads are
// freed in the order of tickets. With nothing in flight the ring begins anew, where it is warm.
static uint64_t place_payload(struct client *client, struct group *group, uint32_t bytes)
{
    uint64_t size = client->config.payload_bytes;
    if (group->lowest == group->next) {
        group->payloads_head = 0;
        return 0;
    }
    uint64_t at = group->payloads_head;
    uint64_t straight = size - (at & (size - 1));
    at += bytes > straight ? straight : 0;
    return at + bytes - command_at(group, group->lowest)->payload_at > size ? UINT64_MAX : at;
}

int client_propose_ranges(struct client *client, uint16_t id, const struct pontoon_command *from,
                          pontoon_done *done, void *context)
{
    uint32_t bytes = from->bytes, range_count = client->config.sends_ranges ? from->range_count : 0;
    if (id >= client->config.groups || bytes > RAFT_PAYLOAD_BYTES_MAX ||
        !client_takes_ranges(from)) {
        return -EINVAL;
    }
    struct group *group = group_obtain(client, id);
    if (group == NULL) {
        return -ENOMEM;
    }
    if (group->in_flight == client->config.depth_max ||
        group->next - group->lowest == client->slots) {
        return -EAGAIN;
    }
    uint32_t room = ((bytes + 7) & ~UINT32_C(7)) + range_count * WIRE_RANGE_BYTES;
    uint64_t at = place_payload(client, group, room);
    if (at == UINT64_MAX) {
        return -EAGAIN;
    }
    client_wake(client);
    uint8_t *to = group->payloads + (at & (client->config.payload_bytes - 1));
    if (bytes > 0) {
        memcpy(to, from->payload, bytes);
    }
    if (range_count > 0) {
        group->has_ranges = true;
        memcpy(to + room - range_count * WIRE_RANGE_BYTES, from->ranges,
               range_count * WIRE_RANGE_BYTES);
    }
    group->payloads_head = at + room;
    struct command *command = command_at(group, group->next++);
    command->range_count = (uint8_t)range_count;
    command->done = done;
    command->context = context;
    command->payload_at = at;
    command->proposed_ns = client->now_ns;
    command->bytes = bytes;
    command->state = COMMAND_FRESH;
    command->is_large = false;
    command->is_repeated = false;
    group->in_flight++;
    client->commands_in_flight++;
    client->counters.commands.proposed++;
    group_activate(client, group);
    return 0;
}

static inline void count_large_answered(struct client *client, struct command *command)
{
    if (command->is_large) {
        command->is_large = false;
        client->large_out--;
        client->large_out_bytes -= command->bytes;
    }
}

// Takes a command out of whatever its state put it in.
static inline void detach(struct client *client, struct group *group, uint32_t slot)
{
    struct command *command = &group->commands[slot];
    switch ((enum command_state)command->state) {
    case COMMAND_FREE:
    case COMMAND_FRESH:
        break;
    case COMMAND_SENDING:
        group->sending = SLOT_NONE;
        group->outstanding--;
        count_large_answered(client, command);
        break;
    case COMMAND_SENT:
        commands_remove(group, &group->sent, slot);
        group->outstanding--;
        count_large_answered(client, command);
        break;
    case COMMAND_AGAIN:
        commands_remove(group, &group->again, slot);
        break;
    }
}

static void put_again(struct client *client, struct group *group, uint32_t slot)
{
    detach(client, group, slot);
    group->commands[slot].state = COMMAND_AGAIN;
    commands_push(group, &group->again, slot);
}

static inline void count_end(struct client *client, enum pontoon_status status)
{
    struct pontoon_client_counters *counters = &client->counters.commands;
    counters->done += status == PONTOON_DONE;
    counters->unknown += status == PONTOON_UNKNOWN;
    counters->expired += status == PONTOON_EXPIRED;
    counters->failed += status == PONTOON_INVALID;
}

// Ends a command. The callback runs last: it may propose.
static inline void finish(struct client *client, struct group *group, uint32_t slot,
                          enum pontoon_status status, uint32_t value)
{
    struct command *command = &group->commands[slot];
    pontoon_done *done = command->done;
    void *context = command->context;
    detach(client, group, slot);
    command->state = COMMAND_FREE;
    group->in_flight--;
    client->commands_in_flight--;
    while (group->lowest < group->next && command_at(group, group->lowest)->state == COMMAND_FREE) {
        group->lowest++;
    }
    count_end(client, status);
    const struct pontoon_result result = {.status = status, .value = value};
    done(context, &result);
}

// The command this result is about, or SLOT_NONE: answered before, never sent, or nonsense.
static uint32_t slot_of(const struct group *group, uint64_t sequence)
{
    uint64_t from_lowest = sequence - (group->lowest - group->base);
    if (from_lowest >= group->fresh - group->lowest) {
        return SLOT_NONE;
    }
    uint32_t slot = (uint32_t)((group->lowest + from_lowest) & group->mask);
    return group->commands[slot].state == COMMAND_FREE ? SLOT_NONE : slot;
}

// What a reply said besides DONE.
struct verdict {
    bool is_refused; // by a node that does not lead
    bool is_expired; // the session is gone, the rest of the reply means nothing
};

static void on_refusal(struct client *client, struct group *group, uint32_t place, uint32_t slot,
                       enum wire_status status, struct verdict *verdict)
{
    switch (status) {
    case WIRE_DONE:
        break;
    case WIRE_NOT_LEADER:
    case WIRE_UNKNOWN:
    case WIRE_FAILED:
        verdict->is_refused = true;
        break;
    case WIRE_BUSY:
    case WIRE_OUTSIDE_WINDOW: // this replica has not applied what moves the window: not yet
        client->counters.commands.busy++;
        if (place == group->place) {
            put_again(client, group, slot);
            transmit_back_off(client, group);
        }
        break;
    case WIRE_EXPIRED:
        verdict->is_expired = true;
        break;
    case WIRE_INVALID:
        group->is_abandoned = true;
        finish(client, group, slot, PONTOON_INVALID, 0);
        break;
    }
}

// One sample a reply, weight 1/8. Which attempt is answered is not known: of a repeated command the
// whole time counts.
static void learn_latency(struct client *client, struct group *group, const struct command *command)
{
    uint64_t sample_ns =
        client->now_ns - (command->is_repeated ? command->proposed_ns : command->sent_ns);
    group->latency_ns = group->latency_ns - group->latency_ns / 8 + sample_ns / 8;
}

// Under load that fills every queue, repeating what is only late would double it.
static uint64_t attempt_ns(const struct client *client, const struct group *group)
{
    uint64_t least_ns = client->config.attempt_timeout_ns, usual_ns = 3 * group->latency_ns;
    uint64_t longest_ns = least_ns * ATTEMPT_STRETCH_MAX;
    return usual_ns <= least_ns ? least_ns : usual_ns < longest_ns ? usual_ns : longest_ns;
}

void commands_on_reply(struct client *client, struct group *group, uint32_t place,
                       const struct wire_propose_reply *reply)
{
    if (group->enrol != ENROL_OPEN || reply->client != group->session) {
        client->counters.stale += reply->count;
        return;
    }
    uint32_t done = 0;
    struct verdict verdict = {0};
    for (uint32_t at = 0; at < reply->count && !verdict.is_expired; at++) {
        const struct wire_result *result = &reply->results[at];
        uint32_t slot = slot_of(group, result->sequence);
        if (slot == SLOT_NONE) {
            client->counters.stale++;
        } else if (result->status == WIRE_DONE) {
            if (done++ == 0 && group->commands[slot].state == COMMAND_SENT) {
                learn_latency(client, group, &group->commands[slot]);
            }
            finish(client, group, slot, PONTOON_DONE, result->result);
        } else {
            on_refusal(client, group, place, slot, (enum wire_status)result->status, &verdict);
        }
    }
    if (done > 0) {
        route_served(group, place);
        transmit_grow(client, group, done);
    }
    if (verdict.is_expired) {
        commands_expire(client, group);
    } else if (verdict.is_refused) {
        route_refused(client, group, place, reply->leader_hint);
    }
}

// Whatever was sent is to be sent again, to another node: first what waited longest.
void commands_requeue(struct client *client, struct group *group)
{
    struct slot_list waiting = group->again;
    group->again = group->sent;
    for (uint32_t slot = group->sent.first; slot != SLOT_NONE; slot = group->commands[slot].next) {
        group->commands[slot].state = COMMAND_AGAIN;
        count_large_answered(client, &group->commands[slot]);
    }
    group->sent = (struct slot_list){SLOT_NONE, SLOT_NONE};
    group->outstanding = group->sending != SLOT_NONE;
    if (group->sending != SLOT_NONE) {
        put_again(client, group, group->sending);
    }
    while (waiting.first != SLOT_NONE) {
        uint32_t slot = commands_pop(group, &waiting);
        commands_push(group, &group->again, slot);
    }
}

// The session is gone. What was sent in it ends; what was not goes into the next one.
void commands_expire(struct client *client, struct group *group)
{
    uint64_t end = group->fresh;
    enrol_forget(group);
    for (uint64_t ticket = group->lowest; ticket < end; ticket++) {
        if (command_at(group, ticket)->state != COMMAND_FREE) {
            finish(client, group, (uint32_t)(ticket & group->mask), PONTOON_EXPIRED, 0);
        }
    }
}

// A command that was never sent leaves no gap in the session's numbers: the next one gets its own.
static void give_up_lowest(struct client *client, struct group *group)
{
    if (group->lowest == group->fresh) {
        group->fresh++;
        group->base++;
    } else {
        group->is_abandoned = true;
    }
    finish(client, group, (uint32_t)(group->lowest & group->mask), PONTOON_UNKNOWN, 0);
}

// Repeats attempts and gives up commands whose time has come.
void commands_check_time(struct client *client, struct group *group)
{
    uint64_t now_ns = client->now_ns;
    while (group->sent.first != SLOT_NONE &&
           now_ns - group->commands[group->sent.first].sent_ns >= attempt_ns(client, group)) {
        transmit_on_loss(client, group);
        put_again(client, group, group->sent.first);
    }
    uint64_t end = group->next;
    while (client->config.give_up_ns != 0 && group->lowest < end &&
           now_ns - command_at(group, group->lowest)->proposed_ns >= client->config.give_up_ns) {
        give_up_lowest(client, group);
    }
}

// Ends everything, on close.
void commands_end(struct client *client, struct group *group, enum pontoon_status status)
{
    uint64_t end = group->next;
    for (uint64_t ticket = group->lowest; ticket < end; ticket++) {
        if (command_at(group, ticket)->state != COMMAND_FREE) {
            finish(client, group, (uint32_t)(ticket & group->mask), status, 0);
        }
    }
}
