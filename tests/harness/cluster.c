// Nodes, network and time of a cluster: the event loop.
#include "tests/harness/cluster.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cluster_default_options(struct cluster_options *options, uint32_t nodes, uint64_t seed)
{
    *options = (struct cluster_options){.seed = seed,
                                        .nodes = nodes,
                                        .log_entries = 1024,
                                        .window_entries = 256,
                                        .window_bytes = 1 << 20,
                                        .election_min_ns = 10 * CLUSTER_MS,
                                        .election_max_ns = 20 * CLUSTER_MS,
                                        .heartbeat_ns = 2 * CLUSTER_MS,
                                        .link_min_ns = 10 * CLUSTER_US,
                                        .link_max_ns = 50 * CLUSTER_US,
                                        .disk_min_ns = 20 * CLUSTER_US,
                                        .disk_max_ns = 200 * CLUSTER_US,
                                        .apply_max_ns = 20 * CLUSTER_US};
}

static void *take_zeroed(size_t count, size_t bytes)
{
    void *memory = calloc(count, bytes);
    ASSERT(memory != NULL);
    return memory;
}

void cluster_config(const struct cluster *cluster, const struct cluster_node *node,
                    struct raft_config *config)
{
    const struct cluster_options *options = &cluster->options;
    *config = (struct raft_config){.self = node->id,
                                   .voter_count = options->nodes,
                                   .order = RAFT_ORDER_STRICT,
                                   .boot = node->disk.boot,
                                   .intact = !node->is_volatile || !node->is_started_before,
                                   .hard_state = node->disk.hard_state,
                                   .election_timeout_min_ns = options->election_min_ns,
                                   .election_timeout_max_ns = options->election_max_ns,
                                   .heartbeat_ns = options->heartbeat_ns,
                                   .log_entries = options->log_entries,
                                   .window_entries = options->window_entries,
                                   .window_bytes = options->window_bytes,
                                   .seed = options->seed};
    for (uint32_t slot = 0; slot < options->nodes; slot++) {
        config->voters[slot] = (uint16_t)(slot + 1);
    }
}

static void open_node(struct cluster *cluster, struct cluster_node *node)
{
    struct raft_config config;
    cluster_config(cluster, node, &config);
    size_t bytes = (raft_memory_bytes(&config) + 63) & ~(size_t)63;
    node->memory = aligned_alloc(64, bytes);
    ASSERT(node->memory != NULL);
    node->disk.images = take_zeroed(CLUSTER_INDEXES_MAX, sizeof(*node->disk.images));
    node->disk.slowdown = 1;
}

struct cluster *cluster_open(const struct cluster_options *options)
{
    struct cluster *cluster = take_zeroed(1, sizeof(*cluster));
    cluster->options = *options;
    cluster->now_ns = 1;
    prng_init(&cluster->prng, options->seed);
    cluster->events = take_zeroed(CLUSTER_EVENTS_MAX, sizeof(*cluster->events));
    cluster->heap_items = take_zeroed(CLUSTER_EVENTS_MAX, sizeof(*cluster->heap_items));
    cluster->heap_positions = take_zeroed(CLUSTER_EVENTS_MAX, sizeof(*cluster->heap_positions));
    cluster->free_events = take_zeroed(CLUSTER_EVENTS_MAX, sizeof(*cluster->free_events));
    cluster->known = take_zeroed(CLUSTER_INDEXES_MAX, sizeof(*cluster->known));
    cluster->known_heads = take_zeroed(CLUSTER_INDEXES_MAX, sizeof(*cluster->known_heads));
    cluster->truth = take_zeroed(CLUSTER_INDEXES_MAX, sizeof(*cluster->truth));
    cluster->leader_of = take_zeroed(CLUSTER_INDEXES_MAX, sizeof(*cluster->leader_of));
    heap_init(&cluster->heap, cluster->heap_items, cluster->heap_positions, CLUSTER_EVENTS_MAX);
    while (cluster->free_count < CLUSTER_EVENTS_MAX) {
        cluster->free_events[cluster->free_count] = CLUSTER_EVENTS_MAX - 1 - cluster->free_count;
        cluster->free_count++;
    }
    for (uint16_t id = 1; id <= options->nodes; id++) {
        struct cluster_node *node = &cluster->nodes[id - 1];
        node->id = id;
        node->is_volatile = (options->volatile_nodes >> (id - 1)) & 1;
        open_node(cluster, node);
        cluster_start(cluster, id);
    }
    return cluster;
}

void cluster_close(struct cluster *cluster)
{
    for (uint32_t slot = 0; slot < cluster->options.nodes; slot++) {
        free(cluster->nodes[slot].memory);
        free(cluster->nodes[slot].disk.records);
        free(cluster->nodes[slot].disk.images);
    }
    free(cluster->events);
    free(cluster->heap_items);
    free(cluster->heap_positions);
    free(cluster->free_events);
    free(cluster->known);
    free(cluster->known_heads);
    free(cluster->truth);
    free(cluster->leader_of);
    free(cluster);
}

struct cluster_node *cluster_node(struct cluster *cluster, uint16_t id)
{
    ASSERT(id >= 1 && id <= cluster->options.nodes);
    return &cluster->nodes[id - 1];
}

struct cluster_event *cluster_post(struct cluster *cluster, struct cluster_node *node,
                                   enum cluster_event_kind kind, uint64_t delay_ns)
{
    ASSERT_CMP(cluster->free_count, >, 0);
    uint32_t slot = cluster->free_events[--cluster->free_count];
    struct cluster_event *event = &cluster->events[slot];
    event->kind = kind;
    event->node = node->id;
    event->boot = node->disk.boot;
    heap_update(&cluster->heap, slot, cluster->now_ns + delay_ns);
    return event;
}

// The network.

static uint64_t link_delay_ns(struct cluster *cluster)
{
    uint64_t delay =
        prng_between(&cluster->prng, cluster->options.link_min_ns, cluster->options.link_max_ns);
    if (cluster->late_permille > 0 && prng_chance(&cluster->prng, cluster->late_permille, 1000)) {
        delay += prng_below(&cluster->prng, cluster->late_max_ns + 1);
    }
    return delay;
}

static bool is_lost(struct cluster *cluster)
{
    return cluster->loss_permille > 0 && prng_chance(&cluster->prng, cluster->loss_permille, 1000);
}

static void post_frame(struct cluster *cluster, const struct raft_message *message)
{
    struct cluster_event *event = cluster_post(cluster, cluster_node(cluster, message->to),
                                               CLUSTER_MESSAGE, link_delay_ns(cluster));
    event->message = *message;
    if (message->type == RAFT_MSG_APPEND && message->append.count > 0) {
        memcpy(event->heads, message->append.heads,
               message->append.count * sizeof(event->heads[0]));
    }
}

static void transmit(struct cluster *cluster, struct cluster_node *node,
                     const struct raft_message *message)
{
    cluster_check_message(cluster, node, message);
    cluster->messages_sent++;
    if (((cluster->cut[message->from][message->to] >> message->type) & 1) || is_lost(cluster)) {
        return;
    }
    post_frame(cluster, message);
    if (cluster->duplicate_permille > 0 &&
        prng_chance(&cluster->prng, cluster->duplicate_permille, 1000)) {
        post_frame(cluster, message);
    }
}

void cluster_cut(struct cluster *cluster, uint16_t from, uint16_t to, uint16_t types)
{
    cluster->cut[from][to] = types;
}

void cluster_isolate(struct cluster *cluster, uint16_t id)
{
    for (uint16_t other = 1; other <= cluster->options.nodes; other++) {
        if (other != id) {
            cluster_cut(cluster, id, other, CLUSTER_ALL_TYPES);
            cluster_cut(cluster, other, id, CLUSTER_ALL_TYPES);
        }
    }
}

void cluster_heal(struct cluster *cluster)
{
    memset(cluster->cut, 0, sizeof(cluster->cut));
}

// A node: inputs in, effects out.

void cluster_step(struct cluster *cluster, struct cluster_node *node,
                  const struct raft_input *input, enum raft_outcome *outcome)
{
    struct raft_accept accept;
    enum raft_outcome result = raft_step(node->raft, cluster->now_ns, input, &accept);
    cluster->outcomes[result]++;
    cluster_disk_submit(cluster, node, &accept);
    node->ticked_ns = input->kind == RAFT_IN_TICK ? cluster->now_ns : 0;
    if (node->collect_ns == UINT64_MAX) {
        uint64_t wait = cluster->options.burst_max_ns;
        node->collect_ns = cluster->now_ns + (wait == 0 ? 0 : prng_below(&cluster->prng, wait));
    }
    if (outcome != NULL) {
        *outcome = result;
    }
}

static void send_range(struct cluster *cluster, struct cluster_node *node,
                       const struct raft_send *send)
{
    uint64_t first = send->range.first;
    while (first <= send->range.last) {
        if (cluster->unsent_permille > 0 &&
            prng_chance(&cluster->prng, cluster->unsent_permille, 1000)) {
            struct raft_input input = {.kind = RAFT_IN_UNSENT,
                                       .unsent = {.peer = send->to, .index = first}};
            cluster_step(cluster, node, &input, NULL);
            return;
        }
        struct raft_message message;
        struct raft_entry_head heads[CLUSTER_FRAME_ENTRIES_MAX];
        raft_append_header(node->raft, send->to, first, &message);
        uint64_t last = raft_term_run(node->raft, first, send->range.last);
        message.append.entries_term = raft_entry_at(node->raft, first)->term;
        message.append.heads = heads;
        while (first <= last && message.append.count < CLUSTER_FRAME_ENTRIES_MAX) {
            heads[message.append.count++] = raft_entry_at(node->raft, first++)->head;
        }
        transmit(cluster, node, &message);
    }
}

static void send_checkpoints(struct cluster *cluster, struct cluster_node *node, uint64_t peers)
{
    for (uint16_t id = 1; id <= cluster->options.nodes; id++) {
        uint32_t bit = UINT32_C(1) << (id - 1);
        bool is_overdue =
            cluster->now_ns > node->snapshot_out_ns[id - 1] + 4 * cluster->options.election_max_ns;
        if ((peers & bit) == 0 || ((node->snapshot_out & bit) && !is_overdue)) {
            continue;
        }
        node->snapshot_out |= bit;
        node->snapshot_out_ns[id - 1] = cluster->now_ns;
        if (!is_lost(cluster) && cluster->cut[node->id][id] == 0) {
            struct cluster_event *event = cluster_post(cluster, cluster_node(cluster, id),
                                                       CLUSTER_SNAPSHOT, link_delay_ns(cluster));
            event->from = node->id;
            event->checkpoint = node->checkpoint;
        }
    }
}

static void write_hard_state(struct cluster *cluster, struct cluster_node *node,
                             struct raft_hard_state hard_state)
{
    struct cluster_disk *disk = &node->disk;
    uint64_t at = cluster->now_ns + disk->slowdown * prng_between(&cluster->prng,
                                                                  cluster->options.disk_min_ns,
                                                                  cluster->options.disk_max_ns);
    at = at <= disk->hard_latest_ns ? disk->hard_latest_ns + 1 : at;
    disk->hard_latest_ns = at;
    cluster_post(cluster, node, CLUSTER_HARD_STATE, at - cluster->now_ns)->hard_state = hard_state;
}

static void collect(struct cluster *cluster, struct cluster_node *node)
{
    struct raft_effects effects;
    node->collect_ns = UINT64_MAX;
    raft_collect(node->raft, cluster->now_ns, &effects);
    cluster_check_view(cluster, node);
    cluster_check_effects(cluster, node, &effects);
    node->deadline_ns = effects.deadline_ns;
    if (effects.hard_state_due) {
        write_hard_state(cluster, node, effects.hard_state);
    }
    for (uint32_t at = 0; at < effects.message_count; at++) {
        transmit(cluster, node, &effects.messages[at]);
    }
    for (uint32_t at = 0; at < effects.send_count; at++) {
        send_range(cluster, node, &effects.sends[at]);
    }
    if (effects.apply.last >= effects.apply.first) {
        struct cluster_event *event =
            cluster_post(cluster, node, CLUSTER_APPLIED,
                         prng_below(&cluster->prng, cluster->options.apply_max_ns + 1));
        event->index = effects.apply.last;
        event->generation = node->apply_generation;
        node->apply_next = effects.apply.last + 1;
    }
    send_checkpoints(cluster, node, effects.snapshot_peers);
    cluster->trace_hash = (cluster->trace_hash ^ cluster->now_ns ^ (node->view.last << 20) ^
                           (node->view.term << 40) ^ node->view.commit) *
                          UINT64_C(0x9E3779B97F4A7C15);
}

static void tick(struct cluster *cluster, struct cluster_node *node)
{
    struct raft_input input = {.kind = RAFT_IN_TICK};
    cluster_step(cluster, node, &input, NULL);
    node->deadline_ns = UINT64_MAX; // until the collect
}

// Completions and deliveries.

static void on_synced(struct cluster *cluster, struct cluster_node *node,
                      const struct cluster_event *event)
{
    uint32_t end = event->position + event->count;
    for (uint32_t at = event->position; at < end; at++) {
        cluster_disk_complete(&node->disk, at);
    }
    for (uint32_t at = event->position; at < end; at++) {
        const struct cluster_record *first = &node->disk.records[at], *last = first;
        while (at + 1 < end && last[1].epoch == first->epoch &&
               last[1].id.index == last->id.index + 1) {
            last++;
            at++;
        }
        struct raft_input input = {
            .kind = RAFT_IN_SYNCED,
            .synced = {.range = {.first = first->id.index, .last = last->id.index},
                       .epoch = first->epoch}};
        if (!first->is_truncate) {
            cluster_step(cluster, node, &input, NULL);
        }
    }
}

static void on_applied(struct cluster *cluster, struct cluster_node *node,
                       const struct cluster_event *event)
{
    if (event->generation != node->apply_generation || event->index <= node->state.id.index) {
        return;
    }
    while (node->state.id.index < event->index) {
        cluster_check_applied(cluster, node, node->state.id.index + 1);
    }
    struct raft_input input = {.kind = RAFT_IN_APPLIED, .applied = event->index};
    cluster_step(cluster, node, &input, NULL);
}

static void on_snapshot(struct cluster *cluster, struct cluster_node *node,
                        const struct cluster_event *event)
{
    const struct cluster_checkpoint *checkpoint = &event->checkpoint;
    struct raft_view view;
    raft_view(node->raft, &view);
    if (checkpoint->id.index > view.commit) {
        node->state = node->checkpoint = *checkpoint;
        node->apply_next = checkpoint->id.index + 1;
        node->apply_generation++;
        cluster->snapshots_installed++;
        struct raft_input input = {.kind = RAFT_IN_INSTALLED, .installed = checkpoint->id};
        enum raft_outcome outcome;
        cluster_step(cluster, node, &input, &outcome);
        ASSERT(outcome == RAFT_OK);
    }
    if (!is_lost(cluster) && cluster->cut[node->id][event->from] == 0) {
        struct cluster_event *done = cluster_post(cluster, cluster_node(cluster, event->from),
                                                  CLUSTER_SNAPSHOT_DONE, link_delay_ns(cluster));
        done->from = node->id;
        done->checkpoint = *checkpoint;
    }
}

static void deliver(struct cluster *cluster, struct cluster_node *node, struct cluster_event *event)
{
    struct raft_input input = {.kind = RAFT_IN_MESSAGE, .message = &event->message};
    bool is_stale = event->boot != node->disk.boot;
    switch (event->kind) {
    case CLUSTER_MESSAGE:
        if (event->message.type == RAFT_MSG_APPEND) {
            event->message.append.heads = event->heads;
        }
        cluster_step(cluster, node, &input, NULL);
        break;
    case CLUSTER_SYNCED:
        if (!is_stale && !node->has_failed_disk) {
            on_synced(cluster, node, event);
        }
        break;
    case CLUSTER_HARD_STATE:
        if (!is_stale && !node->has_failed_disk) {
            node->disk.hard_state = event->hard_state;
            input =
                (struct raft_input){.kind = RAFT_IN_HARD_STATE, .hard_state = event->hard_state};
            cluster_step(cluster, node, &input, NULL);
        }
        break;
    case CLUSTER_APPLIED:
        if (!is_stale) {
            on_applied(cluster, node, event);
        }
        break;
    case CLUSTER_SNAPSHOT:
        if (!node->has_failed_disk) {
            on_snapshot(cluster, node, event);
        }
        break;
    case CLUSTER_SNAPSHOT_DONE:
        node->snapshot_out &= ~(UINT32_C(1) << (event->from - 1));
        input =
            (struct raft_input){.kind = RAFT_IN_SNAPSHOT_DONE,
                                .snapshot_done = {.peer = event->from, .id = event->checkpoint.id}};
        cluster_step(cluster, node, &input, NULL);
        break;
    }
}

static void trace(const struct cluster *cluster, const struct cluster_event *event)
{
    static const char *const kinds[] = {"message", "synced",   "hard_state",
                                        "applied", "snapshot", "snapshot_done"};
    const struct raft_message *message = &event->message;
    printf("%10" PRIu64 " node %u %s", cluster->now_ns, event->node, kinds[event->kind]);
    if (event->kind == CLUSTER_MESSAGE) {
        printf(" type %d from %u term %" PRIu64 " boot %" PRIu64 "%s", (int)message->type,
               message->from, message->term, message->boot, message->intact ? "" : " not intact");
    }
    if (event->kind == CLUSTER_MESSAGE && message->type == RAFT_MSG_APPEND) {
        const struct raft_append *append = &message->append;
        printf(" prev (%" PRIu64 ",%" PRIu64 ") +%u commit %" PRIu64 " round %" PRIu64,
               append->prev.term, append->prev.index, append->count, append->commit, append->round);
    }
    if (event->kind == CLUSTER_MESSAGE && message->type == RAFT_MSG_APPEND_REPLY) {
        const struct raft_append_reply *reply = &message->append_reply;
        printf(" result %d match %" PRIu64 " held %" PRIu64 " conflict (%" PRIu64 ",%" PRIu64
               ") round %" PRIu64,
               (int)reply->result, reply->match, reply->held, reply->conflict.term,
               reply->conflict.index, reply->round);
        for (uint32_t at = 0; at < reply->gap_count; at++) {
            printf(" gap %" PRIu64 "-%" PRIu64, reply->gaps[at].first, reply->gaps[at].last);
        }
    }
    printf("\n");
}

static void process_event(struct cluster *cluster, uint32_t slot)
{
    struct cluster_event *event = &cluster->events[slot];
    struct cluster_node *node = cluster_node(cluster, event->node);
    if (node->is_up) {
        if (cluster->options.is_traced) {
            trace(cluster, event);
        }
        deliver(cluster, node, event);
    }
    cluster->free_events[cluster->free_count++] = slot;
}

// Time.

// The earliest thing to come: an event (returns NULL), or a node's tick or collect.
static struct cluster_node *next_due(struct cluster *cluster, uint64_t *due_ns)
{
    struct cluster_node *next = NULL;
    *due_ns = heap_next_ns(&cluster->heap);
    for (uint32_t slot = 0; slot < cluster->options.nodes; slot++) {
        struct cluster_node *node = &cluster->nodes[slot];
        uint64_t due = node->collect_ns < node->deadline_ns ? node->collect_ns : node->deadline_ns;
        if (node->is_up && due < *due_ns) {
            *due_ns = due;
            next = node;
        }
    }
    return next;
}

static bool advance(struct cluster *cluster, uint64_t until_ns)
{
    uint64_t due_ns;
    struct cluster_node *node = next_due(cluster, &due_ns);
    if (due_ns > until_ns) {
        return false;
    }
    cluster->event_count++;
    cluster->now_ns = due_ns > cluster->now_ns ? due_ns : cluster->now_ns;
    uint32_t slot;
    if (node == NULL) {
        heap_pop_due(&cluster->heap, cluster->now_ns, &slot);
        process_event(cluster, slot);
    } else if (node->collect_ns <= node->deadline_ns) {
        collect(cluster, node);
    } else {
        tick(cluster, node);
    }
    return true;
}

bool cluster_run_until(struct cluster *cluster, bool (*holds)(const struct cluster *cluster),
                       uint64_t for_ns)
{
    uint64_t until_ns = cluster->now_ns + for_ns;
    for (;;) {
        if (holds != NULL && holds(cluster)) {
            return true;
        }
        if (!advance(cluster, until_ns)) {
            break;
        }
    }
    cluster->now_ns = until_ns;
    return false;
}

void cluster_run(struct cluster *cluster, uint64_t for_ns)
{
    cluster_run_until(cluster, NULL, for_ns);
}

uint16_t cluster_leader(const struct cluster *cluster)
{
    const struct cluster_node *best = NULL;
    for (uint32_t slot = 0; slot < cluster->options.nodes; slot++) {
        const struct cluster_node *node = &cluster->nodes[slot];
        if (node->is_up && node->view.role == RAFT_LEADER &&
            (best == NULL || node->view.term > best->view.term)) {
            best = node;
        }
    }
    return best == NULL ? 0 : best->id;
}

bool cluster_has_leader(const struct cluster *cluster)
{
    return cluster_leader(cluster) != 0;
}

bool cluster_is_level(const struct cluster *cluster)
{
    for (uint32_t slot = 0; slot < cluster->options.nodes; slot++) {
        const struct cluster_node *node = &cluster->nodes[slot];
        if (node->is_up &&
            (node->view.applied < cluster->truth_last || node->view.synced < cluster->truth_last)) {
            return false;
        }
    }
    uint16_t leader = cluster_leader(cluster);
    return leader != 0 && cluster->nodes[leader - 1].view.last == cluster->truth_last;
}
