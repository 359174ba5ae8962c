// How long a new leader needs before it serves, against the number of holes in its log: from the
// votes that elect it to the barrier. Three replicas of the core, links and disks of a given delay,
// virtual time; no wire, no log, no election timeouts.
//
// The first leader's entries reach both followers but for the holes, which lie evenly over the log;
// what one follower lacks the other has. Then it is gone. The winner learns from the votes what
// there is, fetches what it lacks, makes it durable and has a majority install it (merge.h). A
// strict group is measured beside it: its log ends at the first hole, and one entry has to be
// committed.
#include "bench/harness/options.h"
#include "bench/report/result.h"
#include "engine/base/assert.h"
#include "engine/core/parallel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    NODES = 3,
    OLD = 1, // the first leader
    HEADS_MAX = 16,
    EVENTS_MAX = 8192,
    LOG_ENTRIES = 4096,
    CASES = 5,
    KEY_BYTES = 32,
};

static const uint32_t holes_of_case[CASES] = {0, 1, 16, 256, 1024};

struct event {
    uint64_t due_ns, number; // number: events of one time happen in the order they were made
    uint16_t node;
    struct raft_input input;
    struct raft_message message;
    struct raft_entry_head heads[HEADS_MAX];
};

struct node {
    struct raft *raft;
    void *memory;
    bool has_ended;
    bool has_timers; // others only answer
    uint64_t deadline_ns;
};

struct world {
    uint64_t now_ns, delay_ns, disk_ns, entries; // entries of the old leader
    enum raft_order order;
    uint64_t first; // index of the first of them
    uint32_t holes; // of each follower
    struct node nodes[NODES + 1];
    struct event events[EVENTS_MAX];
    uint32_t event_count;
    uint64_t events_made, fetches;
    uint64_t won_ns;
    double won_cpu_ns, cpu_ns; // of the node that wins: until then, and in all
    struct raft_effects effects;
};

static double clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

// ------------------------------------------------------------------------------------------ events

static struct event *add_event(struct world *world, uint32_t node, uint64_t after_ns)
{
    ASSERT_CMP(world->event_count, <, EVENTS_MAX);
    struct event *event = &world->events[world->event_count++];
    event->due_ns = world->now_ns + after_ns;
    event->number = world->events_made++;
    event->node = (uint16_t)node;
    return event;
}

static struct event *next_event(struct world *world)
{
    struct event *next = NULL;
    for (uint32_t at = 0; at < world->event_count; at++) {
        struct event *event = &world->events[at];
        if (next == NULL || event->due_ns < next->due_ns ||
            (event->due_ns == next->due_ns && event->number < next->number)) {
            next = event;
        }
    }
    return next;
}

static struct event *add_message(struct world *world, const struct raft_message *message)
{
    struct event *event = add_event(world, message->to, world->delay_ns);
    event->message = *message;
    event->input = (struct raft_input){.kind = RAFT_IN_MESSAGE};
    world->fetches += message->type == RAFT_MSG_FETCH;
    return event;
}

// ------------------------------------------------------------------------------------------- nodes

// The old leader's entry is lost on its way to this follower: one of `holes` that lie evenly, each
// behind one that only the other follower lacks.
static bool is_hole(const struct world *world, uint16_t to, uint64_t index)
{
    if (world->holes == 0 || index < world->first) {
        return false;
    }
    uint64_t stride = world->entries / world->holes, at = index - world->first;
    return at % stride == (to == NODES ? 1 : 0) && at / stride < world->holes;
}

static void send_entries(struct world *world, struct node *node, const struct raft_send *send)
{
    bool is_old = node == &world->nodes[OLD];
    struct raft_range run;
    for (uint64_t index = send->range.first; raft_send_next(send, index, &run);) {
        index = run.first;
        if (is_old && is_hole(world, send->to, index)) {
            index++;
            continue;
        }
        struct raft_message message;
        raft_append_header(node->raft, send->to, index, &message);
        struct event *event = add_message(world, &message);
        struct raft_append *append = &event->message.append;
        append->entries_term =
            node->raft->parallel == NULL ? raft_entry_at(node->raft, index)->term : message.term;
        for (; append->count < HEADS_MAX && index <= run.last &&
               !(is_old && is_hole(world, send->to, index));
             index++) {
            const struct raft_entry *entry = raft_entry_at(node->raft, index);
            if (node->raft->parallel == NULL && entry->term != append->entries_term) {
                break;
            }
            event->heads[append->count++] = entry->head;
        }
    }
}

static void place(struct world *world, uint32_t id, const struct raft_accept *accept)
{
    struct raft *raft = world->nodes[id].raft;
    for (uint64_t index = accept->range.first; index <= accept->range.last; index++) {
        const struct raft_entry *entry = raft_entry_to_place(raft, index);
        if (entry == NULL) {
            continue;
        }
        uint64_t last = index;
        uint32_t epoch = entry->epoch;
        for (; entry != NULL && last <= accept->range.last;
             entry = raft_entry_to_place(raft, last)) {
            raft_entry_placed(raft, last, last * 64);
            last++;
        }
        struct event *event = add_event(world, id, world->disk_ns);
        event->input = (struct raft_input){.kind = RAFT_IN_SYNCED,
                                           .synced = {.range = {index, last - 1}, .epoch = epoch}};
        index = last - 1;
    }
}

static void step(struct world *world, uint32_t id, const struct raft_input *input)
{
    struct raft_accept accept;
    raft_step(world->nodes[id].raft, world->now_ns, input, &accept);
    place(world, id, &accept);
}

static void apply(struct world *world, uint32_t id, struct raft_range range)
{
    const struct raft_input input = {
        .kind = RAFT_IN_APPLIED, .applied_first = range.first, .applied = range.last};
    step(world, id, &input);
}

static void collect(struct world *world, uint32_t id)
{
    struct node *node = &world->nodes[id];
    struct raft_effects *effects = &world->effects;
    struct raft_range range;
    raft_collect(node->raft, world->now_ns, effects);
    node->deadline_ns = effects->deadline_ns;
    if (effects->hard_state_due) {
        add_event(world, id, world->disk_ns)->input =
            (struct raft_input){.kind = RAFT_IN_HARD_STATE, .hard_state = effects->hard_state};
    }
    if (effects->sync_due) {
        add_event(world, id, world->disk_ns)->input =
            (struct raft_input){.kind = RAFT_IN_SYNC, .sync_term = effects->sync.term};
    }
    for (uint32_t at = 0; at < effects->message_count; at++) {
        add_message(world, &effects->messages[at]);
    }
    for (uint32_t at = 0; at < effects->send_count; at++) {
        send_entries(world, node, &effects->sends[at]);
    }
    if (effects->apply.first <= effects->apply.last) {
        apply(world, id, effects->apply);
    }
    while (node->raft->parallel != NULL && raft_apply_take(node->raft, LOG_ENTRIES, &range)) {
        apply(world, id, range);
    }
}

static bool leads(const struct world *world, uint32_t id)
{
    return world->nodes[id].raft->role == RAFT_LEADER;
}

static bool serves(const struct world *world, uint32_t id)
{
    return leads(world, id) && order_knows_commit(world->nodes[id].raft);
}

// The next thing that happens: an event, or a timer.
static void advance(struct world *world)
{
    struct event *event = next_event(world);
    struct raft_input input = {.kind = RAFT_IN_TICK};
    uint32_t timer = 0;
    for (uint32_t id = 1; id <= NODES; id++) {
        const struct node *node = &world->nodes[id];
        uint64_t due_ns = timer == 0 ? RAFT_NEVER : world->nodes[timer].deadline_ns;
        timer = node->has_timers && node->deadline_ns < due_ns ? id : timer;
    }
    uint32_t id = timer;
    static struct event taken;
    if (event != NULL && (timer == 0 || event->due_ns <= world->nodes[timer].deadline_ns)) {
        taken = *event;
        *event = world->events[--world->event_count];
        id = taken.node;
        input = taken.input;
        input.message = input.kind == RAFT_IN_MESSAGE ? &taken.message : input.message;
        taken.message.append.heads =
            taken.message.type == RAFT_MSG_APPEND ? taken.heads : taken.message.append.heads;
        world->now_ns = taken.due_ns;
    } else {
        ASSERT(timer != 0);
        uint64_t due_ns = world->nodes[timer].deadline_ns;
        world->now_ns = due_ns > world->now_ns ? due_ns : world->now_ns;
    }
    if (world->nodes[id].has_ended) {
        return;
    }
    double start_ns = clock_ns();
    step(world, id, &input);
    collect(world, id);
    world->cpu_ns += id == NODES ? clock_ns() - start_ns : 0;
    if (world->won_ns == 0 && leads(world, NODES)) {
        world->won_ns = world->now_ns;
        world->won_cpu_ns = world->cpu_ns;
    }
}

// ------------------------------------------------------------------------------------------ script

static void open_nodes(struct world *world)
{
    for (uint32_t id = 1; id <= NODES; id++) {
        const struct raft_config config = {
            .self = (uint16_t)id,
            .voters = {1, 2, 3},
            .voter_count = NODES,
            .order = world->order,
            .boot = 1,
            .intact = true,
            .election_timeout_min_ns = 50000000,
            .election_timeout_max_ns = 60000000,
            .heartbeat_ns = 10000000,
            .log_entries = LOG_ENTRIES,
            .window_entries = LOG_ENTRIES,
            .window_bytes = 64 << 20,
            .span_entries = world->order == RAFT_ORDER_STRICT ? 0 : RAFT_WINDOW_MAX,
            .seed = id};
        struct node *node = &world->nodes[id];
        size_t bytes = (raft_memory_bytes(&config) + 63) & ~(size_t)63;
        node->memory = aligned_alloc(64, bytes);
        ASSERT(node->memory != NULL);
        node->raft = raft_init(node->memory, &config, world->now_ns);
        collect(world, id);
    }
}

static void propose(struct world *world)
{
    static struct raft_entry_head heads[RAFT_WINDOW_MAX];
    for (uint64_t at = 0; at < world->entries; at++) {
        heads[at] = (struct raft_entry_head){.kind = RAFT_ENTRY_COMMAND, .bytes = 64};
    }
    const struct raft_input input = {
        .kind = RAFT_IN_PROPOSE, .propose = {.heads = heads, .count = (uint32_t)world->entries}};
    world->first = world->nodes[OLD].raft->log.last + 1;
    step(world, OLD, &input);
    collect(world, OLD);
}

struct merge {
    double us, cpu_us; // from the votes to the barrier
    uint64_t fetches;
};

static struct merge measure(struct world *world, enum raft_order order, uint32_t holes)
{
    world->now_ns = 1000000;
    world->order = order;
    world->event_count = 0;
    world->holes = 0;
    world->won_ns = 0;
    memset(world->nodes, 0, sizeof(world->nodes));
    open_nodes(world);
    world->nodes[OLD].has_timers = true;
    while (!serves(world, OLD) || world->event_count > 0) {
        advance(world);
    }
    world->holes = holes;
    propose(world);
    world->nodes[OLD].has_ended = true;
    world->nodes[OLD].has_timers = false;
    world->nodes[NODES].has_timers = true;
    world->fetches = 0;
    while (!serves(world, NODES)) {
        advance(world);
    }
    struct merge merge = {.us = (double)(world->now_ns - world->won_ns) / 1e3,
                          .cpu_us = (world->cpu_ns - world->won_cpu_ns) / 1e3,
                          .fetches = world->fetches};
    for (uint32_t id = 1; id <= NODES; id++) {
        free(world->nodes[id].memory);
    }
    return merge;
}

int main(int argc, char **argv)
{
    static struct world world = {.entries = RAFT_WINDOW_MAX};
    uint64_t delay_us = 20, disk_us = 0;
    const char *json_path = NULL;
    const struct option_row rows[] = {
        {"delay-us", OPTION_NUMBER, &delay_us, 0, 1000000, NULL, "of each message, one way"},
        {"disk-us", OPTION_NUMBER, &disk_us, 0, 1000000, NULL, "until a write is durable"},
        {"json", OPTION_TEXT, &json_path, 0, 0, NULL, "file for the result as JSON"},
    };
    options_parse(rows, sizeof(rows) / sizeof(rows[0]),
                  "from a new leader's votes to its service, by the holes in its log", argc, argv);
    world.delay_ns = delay_us * 1000;
    world.disk_ns = disk_us * 1000;
    static char keys[CASES][4][KEY_BYTES];
    struct result result;
    result_init(&result, argc, argv);
    result_add_count(&result, "entries", world.entries);
    result_add_count(&result, "delay_us", delay_us);
    result_add_count(&result, "disk_us", disk_us);
    for (uint32_t at = 0; at < CASES; at++) {
        uint32_t holes = holes_of_case[at];
        struct merge parallel = measure(&world, RAFT_ORDER_PARALLEL, holes);
        struct merge strict = measure(&world, RAFT_ORDER_STRICT, holes);
        snprintf(keys[at][0], KEY_BYTES, "holes_%u_us", holes);
        snprintf(keys[at][1], KEY_BYTES, "holes_%u_cpu_us", holes);
        snprintf(keys[at][2], KEY_BYTES, "holes_%u_fetches", holes);
        snprintf(keys[at][3], KEY_BYTES, "holes_%u_strict_us", holes);
        result_add_real(&result, keys[at][0], parallel.us, 1);
        result_add_real(&result, keys[at][1], parallel.cpu_us, 1);
        result_add_count(&result, keys[at][2], parallel.fetches);
        result_add_real(&result, keys[at][3], strict.us, 1);
    }
    return result_finish(&result, NULL, json_path, NULL);
}
