// The client's inside. Each file writes its own part: commands.c the ring of commands and their
// ends, transmit.c what is sent when, enrol.c sessions, route.c whom to ask, queries.c reads,
// probes.c status, frames.c frames on their way out, client.c the loop.
//
// Commands carry tickets 1, 2, 3, ... of their group, over all sessions; the ticket's low bits are
// the command's slot. In a session, sequence = ticket - base.
//
//     ticket   ... answered | lowest ........... fresh ........... next
//                           | sent at least once | never sent yet |
//              base < lowest ≤ fresh ≤ next ≤ lowest + slots, fresh ≤ lowest + span
#ifndef PONTOON_CLIENT_INTERNAL_H
#define PONTOON_CLIENT_INTERNAL_H

#include <assert.h>

#include "engine/base/assert.h"
#include "engine/base/prng.h"
#include "engine/client/client.h"

#define SLOT_NONE UINT32_MAX

enum {
    RX_BURST = 32,
    TX_PENDING_MAX = 64,
    FRAMES_A_POLL = 64, // sent in one poll at most: what arrived is looked at in between
    LARGE_OUT_BYTES_MAX =
        1 << 20,         // of commands larger than a frame: nodes put few together at once
    WINDOW_START = 1024, // commands sent before the first answer
};

#define BACKOFF_MIN_NS UINT64_C(50000)
#define BACKOFF_MAX_NS UINT64_C(20000000)

// ------------------------------------------------------------------------------------- frames.c

struct frames {
    struct net_frame pending[TX_PENDING_MAX]; // sealed
    uint32_t pending_count;
    uint32_t budget; // frames that may be opened before the next poll
    bool is_open;
    uint32_t place; // of the open frame: in config.nodes
    uint8_t class;
    struct net_frame open;
    struct wire_writer writer;
};

// ----------------------------------------------------------------------------------- commands.c

enum command_state {
    COMMAND_FREE,
    COMMAND_FRESH,   // never sent
    COMMAND_SENDING, // some of its fragments are sent
    COMMAND_SENT,    // waits for its answer; in list `sent`
    COMMAND_AGAIN,   // is to be sent again; in list `again`
};

// One cache line.
struct command {
    pontoon_done *done;
    void *context;
    uint64_t payload_at; // position in the group's payload ring; it only grows
    uint64_t proposed_ns, sent_ns;
    uint32_t bytes;
    uint32_t crc;            // of the entry, once sent
    uint32_t next, previous; // slots, in the list of its state
    uint8_t state;           // enum command_state
    bool is_repeated;        // sent more than once
    bool is_large;           // sent in fragments
    uint8_t range_count;     // behind the payload, from the next multiple of 8 on
};

static_assert(sizeof(struct command) == 64, "one cache line");
static_assert(sizeof(struct pontoon_range) == WIRE_RANGE_BYTES, "as frames have them");
static_assert((int)PONTOON_RANGES_MAX == (int)WIRE_RANGES_MAX, "as frames have them");

struct slot_list {
    uint32_t first, last; // SLOT_NONE: empty
};

enum enrol_state { ENROL_NONE, ENROL_ASKED, ENROL_OPEN };

struct group {
    uint16_t id;
    uint32_t active_at; // place in client->active + 1; 0: not there

    // enrol.c
    enum enrol_state enrol;
    bool is_abandoned; // a sequence of this session will never be used: it cannot go on for long
    uint64_t nonce, session;
    uint64_t base;
    uint64_t span;     // sequences from the lowest unanswered one on that the session can hold
    uint64_t enrol_ns; // when REGISTER was sent; 0: is to be sent

    // commands.c
    struct command *commands;
    uint32_t mask; // slots - 1
    uint64_t lowest, fresh, next;
    uint32_t in_flight;           // not FREE
    uint32_t outstanding;         // SENDING and SENT
    struct slot_list sent, again; // sent: in order of sent_ns
    uint8_t *payloads;
    uint64_t latency_ns;    // from sending to answer, smoothed
    uint64_t payloads_head; // position where the next payload goes at the earliest
    bool has_ranges;        // a command declared what it touches, once

    // transmit.c
    uint32_t window, threshold; // of outstanding; below threshold it grows fast
    uint32_t window_credit;     // answers since it last grew
    uint64_t cut_ns;            // when it was last halved for loss
    uint32_t sending;           // slot, or SLOT_NONE
    uint32_t sending_offset;    // its bytes that are sent

    // route.c
    uint32_t place;      // of the node asked: in config.nodes
    bool has_served;     // it answered as a leader
    uint32_t refusals;   // in a row
    uint64_t backoff_ns; // last pause; 0: none since the last good answer
    uint64_t hold_ns;    // nothing is sent before this time
    uint64_t quiet_ns;   // since when the node owes us an answer and says nothing
    uint64_t probed_ns;
    uint64_t confirmed_ns; // when another node last named it the leader; 0: never

    // queries.c
    struct slot_list reads_sent, reads_again;
    uint32_t reads_waiting; // of this group
};

// ------------------------------------------------------------------------------------ queries.c

enum query_state { QUERY_FREE, QUERY_SENT, QUERY_AGAIN, QUERY_PARKED };

struct query {
    pontoon_answer *answer;
    void *context;
    struct group *group;
    uint64_t serial; // slot + generation × reads_max
    uint64_t asked_ns, sent_ns;
    uint32_t next, previous;
    uint8_t state;   // enum query_state. PARKED: waits for an answer buffer
    uint8_t attempt; // low byte of the request id
    uint8_t attempt_assembled;
    uint32_t buffer;                       // SLOT_NONE: none
    uint32_t crc, total_bytes, held_bytes; // of the answer being put together
    uint32_t bytes;
    uint8_t range_count;
    struct pontoon_range ranges[PONTOON_RANGES_MAX];
    uint8_t text[CLIENT_QUERY_BYTES_MAX];
};

// An answer of several parts. A bit for each byte that is there: parts of two attempts may be cut
// differently.
struct answer_buffer {
    uint8_t *data;
    uint64_t *held;
};

// ------------------------------------------------------------------------------------- probes.c

struct status_wait {
    bool is_used;
    bool want_digest;
    uint16_t group;
    uint32_t place;
    uint32_t generation;
    uint64_t asked_ns, sent_ns; // sent 0: is to be sent
    pontoon_client_status_done *done;
    void *context;
};

// One message's worth of commands, being gathered.
struct batch {
    uint32_t count;
    uint32_t slots[WIRE_ENTRIES_MAX];
    struct raft_entry_head heads[WIRE_ENTRIES_MAX];
    const void *payloads[WIRE_ENTRIES_MAX];
    struct wire_ranges ranges[WIRE_ENTRIES_MAX]; // written only for groups that are sent any
};

struct client {
    struct client_config config;
    struct wire_filter filter;
    uint32_t slots; // of a group's ring
    uint64_t now_ns;
    uint64_t timers_ns; // when timers are looked at next
    bool was_busy;
    struct prng prng;
    struct group **groups; // by id; NULL: never used
    struct group **active; // those with something in flight
    uint32_t active_count;
    uint32_t turn; // who of them sends first
    struct frames frames;
    struct net_frame rx[RX_BURST];
    struct wire_scratch scratch;
    struct batch batch;
    struct query *queries;
    uint32_t query_free; // list by next
    uint32_t queries_waiting;
    struct slot_list parked;
    struct answer_buffer answers[CLIENT_LARGE_ANSWERS_MAX];
    uint32_t answers_free[CLIENT_LARGE_ANSWERS_MAX];
    uint32_t answers_free_count;
    struct status_wait statuses[CLIENT_STATUS_MAX];
    uint32_t statuses_waiting;
    uint32_t commands_in_flight;
    uint32_t large_out;       // commands that were sent in fragments and are not answered
    uint64_t large_out_bytes; // of them; at most LARGE_OUT_BYTES_MAX, or a single one
    struct client_counters counters;
};

// client.c
void client_wake(struct client *client);
static inline bool client_takes_ranges(const struct pontoon_command *from)
{
    const struct wire_ranges ranges = wire_ranges_of(from->ranges, from->range_count);
    return ranges.count == 0 || wire_ranges_are_valid(&ranges);
}
struct group *group_open(struct client *client, uint16_t id);
// The group, opened at its first use; NULL: no memory.
static inline struct group *group_obtain(struct client *client, uint16_t id)
{
    return client->groups[id] != NULL ? client->groups[id] : group_open(client, id);
}
static inline void group_activate(struct client *client, struct group *group)
{
    if (group->active_at == 0) {
        client->active[client->active_count++] = group;
        group->active_at = client->active_count;
    }
}

// commands.c
static inline struct command *command_at(const struct group *group, uint64_t ticket)
{
    return &group->commands[ticket & group->mask];
}
void commands_on_reply(struct client *client, struct group *group, uint32_t place,
                       const struct wire_propose_reply *reply);
void commands_requeue(struct client *client, struct group *group);
void commands_expire(struct client *client, struct group *group);
void commands_check_time(struct client *client, struct group *group);
void commands_end(struct client *client, struct group *group, enum pontoon_status status);
static inline void commands_push(struct group *group, struct slot_list *list, uint32_t slot)
{
    struct command *command = &group->commands[slot];
    command->next = SLOT_NONE;
    command->previous = list->last;
    if (list->last == SLOT_NONE) {
        list->first = slot;
    } else {
        group->commands[list->last].next = slot;
    }
    list->last = slot;
}

static inline void commands_remove(struct group *group, struct slot_list *list, uint32_t slot)
{
    const struct command *command = &group->commands[slot];
    if (command->previous == SLOT_NONE) {
        list->first = command->next;
    } else {
        group->commands[command->previous].next = command->next;
    }
    if (command->next == SLOT_NONE) {
        list->last = command->previous;
    } else {
        group->commands[command->next].previous = command->previous;
    }
}

static inline uint32_t commands_pop(struct group *group, struct slot_list *list)
{
    uint32_t slot = list->first;
    commands_remove(group, list, slot);
    return slot;
}

// transmit.c
void transmit(struct client *client, struct group *group);
void transmit_grow(struct client *client, struct group *group, uint32_t answers);
void transmit_back_off(struct client *client, struct group *group);
void transmit_on_loss(struct client *client, struct group *group);

// enrol.c
void enrol_on_reply(struct client *client, struct group *group, uint32_t place,
                    const struct wire_register_reply *reply);
bool enrol_is_open(struct client *client, struct group *group);
void enrol_forget(struct group *group);
void enrol_check_time(struct client *client, struct group *group);

// route.c
bool route_is_waiting(const struct group *group);
void route_asked(struct client *client, struct group *group);
void route_heard(struct client *client, struct group *group, uint32_t place);
void route_served(struct group *group, uint32_t place);
void route_refused(struct client *client, struct group *group, uint32_t place, uint16_t hint);
void route_move(struct client *client, struct group *group, uint32_t place);
void route_check_time(struct client *client, struct group *group);
void route_on_probe(struct client *client, struct group *group,
                    const struct wire_status_reply *reply);
uint32_t route_place_of(const struct client *client, uint16_t node);

// queries.c
int queries_open(struct client *client);
void queries_close(struct client *client);
void queries_transmit(struct client *client, struct group *group);
void queries_on_reply(struct client *client, struct group *group, uint32_t place,
                      const struct wire_read_reply *reply);
void queries_requeue(struct client *client, struct group *group);
void queries_check_time(struct client *client, struct group *group);
void queries_end(struct client *client);

// probes.c
void probes_transmit(struct client *client);
void probes_leader(struct client *client, struct group *group);
void probes_on_reply(struct client *client, struct group *group, uint32_t place,
                     const struct wire_status_reply *reply);
void probes_end(struct client *client);

// frames.c
struct wire_writer *frames_writer(struct client *client, uint32_t place, uint16_t group);
struct wire_writer *frames_next(struct client *client, uint32_t place, uint16_t group);
void frames_flush(struct client *client);

#endif
