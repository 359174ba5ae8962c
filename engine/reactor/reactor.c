// The loop of one poll-mode core, on one screen (reactor_poll), and how a reactor is built.
#include "engine/reactor/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t next_deadline(const struct reactor *reactor)
{
    uint64_t next = heap_next_ns(&reactor->timers), other = wal_deadline_ns(reactor->wal);
    next = other < next ? other : next;
    for (uint32_t slot = 0; slot < reactor->group_count; slot++) {
        other = snapshot_deadline_ns(&reactor->groups[slot]);
        next = other < next ? other : next;
    }
    return next;
}

// One iteration: whatever has gathered goes through every stage once; batching comes from load,
// never from a timer.
bool reactor_poll(struct reactor *reactor, uint64_t *next_deadline_ns)
{
    struct net *net = reactor->config.net;
    uint64_t now_ns = clock_now_ns(reactor->config.clock);
    uint64_t gap_ns = reactor->counters.polls == 0 ? 0 : now_ns - reactor->now_ns;
    *(reactor->was_busy ? &reactor->counters.busy_ns : &reactor->counters.idle_ns) += gap_ns;
    if (gap_ns > reactor->counters.longest_poll_gap_ns) {
        reactor->counters.longest_poll_gap_ns = gap_ns;
    }
    reactor->now_ns = now_ns;
    reactor->counters.polls++;

    bool was_busy = group_poll_wal(reactor); // durable now: acks, votes, commits
    was_busy |= inbound_poll(reactor);       // receive, decode, step
    was_busy |= mailbox_poll(reactor);       // other threads' requests
    was_busy |= apply_poll(reactor);         // results of workers
    was_busy |= group_poll_timers(reactor);
    if (reactor->config.wal.is_volatile && wal_is_busy(reactor->wal)) {
        wal_submit(reactor->wal, now_ns); // a volatile log needs no waiting
        was_busy |= group_poll_wal(reactor);
    }
    was_busy |= reactor->dirty_count > 0;
    group_collect_all(reactor);             // messages out, apply, reads
    was_busy |= reactor_housekeep(reactor); // checkpoints, snapshots, the log's tail
    was_busy |= reads_poll(reactor);        // the rest of a long answer
    clients_flush(reactor);                 // answers
    outbox_flush(reactor);                  // send
    timing_end(reactor);                    // one answer's time
    wal_submit(reactor->wal, now_ns);       // write
    net->ops->poll(net, now_ns);

    reactor->was_busy = was_busy;
    reactor->counters.busy_polls += was_busy;
    if (next_deadline_ns != NULL) {
        *next_deadline_ns = next_deadline(reactor);
    }
    return was_busy;
}

bool reactor_housekeep(struct reactor *reactor)
{
    bool was_busy = checkpoint_poll(reactor);
    for (uint32_t slot = 0; slot < reactor->group_count; slot++) {
        if (snapshot_is_active(&reactor->groups[slot].snapshot)) {
            was_busy |= snapshot_poll(&reactor->groups[slot]);
        }
    }
    return tail_poll(reactor) || was_busy;
}

struct group *reactor_group(struct reactor *reactor, uint16_t id)
{
    return id < reactor->config.groups_total ? reactor->by_id[id] : NULL;
}

// ------------------------------------------------------------------------------------------------
// opening

static bool is_ours(const struct reactor_config *config, uint32_t group)
{
    return group % WIRE_CLASSES % config->reactors == config->reactor;
}

static uint32_t count_groups(const struct reactor_config *config)
{
    uint32_t count = 0;
    for (uint32_t id = 0; id < config->groups_total; id++) {
        count += is_ours(config, id);
    }
    return count;
}

static void *take(size_t bytes)
{
    size_t rounded = (bytes + 4095) & ~(size_t)4095;
    void *memory = aligned_alloc(4096, rounded);
    if (memory != NULL) {
        memset(memory, 0, rounded);
    }
    return memory;
}

static struct raft_config raft_settings(const struct reactor_config *config)
{
    struct raft_config settings = {.self = config->node,
                                   .voter_count = config->node_count,
                                   .order = config->order,
                                   .look_behind = config->look_behind,
                                   .boot = 1,
                                   .election_timeout_min_ns = config->election_timeout_min_ns,
                                   .election_timeout_max_ns = config->election_timeout_max_ns,
                                   .heartbeat_ns = config->heartbeat_ns,
                                   .log_entries = config->log_entries,
                                   .window_entries = config->window_entries,
                                   .window_bytes = config->window_bytes,
                                   .span_entries = config->log_entries / 4 < RAFT_WINDOW_MAX
                                                       ? config->log_entries / 4
                                                       : RAFT_WINDOW_MAX,
                                   .seed = config->seed};
    memcpy(settings.voters, config->nodes, sizeof(settings.voters));
    return settings;
}

static int open_group(struct group *group, char *reason, size_t reason_bytes)
{
    struct reactor *reactor = group->reactor;
    const struct reactor_config *config = &reactor->config;
    struct raft_config settings = raft_settings(config);
    settings.seed ^= (uint64_t)group->id << 32;
    const struct session_config sessions = {.pages_total = config->session_pages,
                                            .sessions_max = config->sessions_max};
    void *raft_memory = take(raft_memory_bytes(&settings));
    void *session_memory = take(session_bytes(&sessions));
    group->origins = calloc(config->log_entries, sizeof(*group->origins));
    group->read_first = group->read_last = UINT32_MAX;
    if (raft_memory == NULL || session_memory == NULL || group->origins == NULL) {
        free(raft_memory);
        free(session_memory);
        snprintf(reason, reason_bytes,
                 "group %u: no memory for %u log entries and %u session pages; lower them",
                 group->id, config->log_entries, config->session_pages);
        return -ENOMEM;
    }
    group->raft = raft_init(raft_memory, &settings, reactor->now_ns);
    group->sessions = session_init(&sessions, session_memory);
    group->worker = config->apply_workers == 0 ? 0 : group->slot % config->apply_workers;
    return config->app_open(config->context, group->id, &group->app, reason, reason_bytes);
}

static int open_groups(struct reactor *reactor, char *reason, size_t reason_bytes)
{
    for (uint32_t id = 0; id < reactor->config.groups_total; id++) {
        if (!is_ours(&reactor->config, id)) {
            continue;
        }
        struct group *group = &reactor->groups[reactor->group_count];
        group->reactor = reactor;
        group->id = (uint16_t)id;
        group->slot = reactor->group_count++;
        reactor->by_id[id] = group;
        int error = open_group(group, reason, reason_bytes);
        if (error == 0 && !reactor->config.wal.is_volatile) {
            error = checkpoint_recover(group, reason, reason_bytes);
            group->is_checkpoint_damaged = error == -EBADMSG;
            error = error == -EBADMSG ? 0 : error;
        }
        if (error != 0) {
            return error;
        }
        raft_restore_begin(group->raft, group->checkpoint.durable);
        group->applied = group->apply_last = group->checkpoint.durable.index;
        group->apply_next = group->applied + 1;
    }
    return 0;
}

static int restore_entry(struct group *group, const struct wal_record *record)
{
    group->has_entries = true;
    group->was_parallel |= record->is_staged;
    if (is_parallel(group) && record->is_staged) {
        return raft_restore_staged(group->raft, record->id, &record->head, record->body);
    }
    return raft_restore_entry(group->raft, record->id, record->prev_term, &record->head,
                              record->body);
}

static void on_record(void *context, const struct wal_record *record)
{
    struct reactor *reactor = context;
    struct group *group = reactor_group(reactor, record->group);
    if (group == NULL || group->is_checkpoint_damaged) {
        return; // without what was before them its entries mean nothing
    }
    switch (record->kind) {
    case WAL_RECORD_ENTRY:
        if (restore_entry(group, record) != 0) {
            reactor->has_overflow = true;
        }
        break;
    case WAL_RECORD_TRUNCATE:
        raft_restore_truncate(group->raft, record->id.index);
        break;
    case WAL_RECORD_SYNC:
        group->was_parallel = true;
        if (is_parallel(group)) {
            raft_restore_sync(group->raft, &record->sync);
        }
        break;
    }
}

// A group keeps the order it was created with.
static int check_orders(const struct reactor *reactor, char *reason, size_t reason_bytes)
{
    for (uint32_t slot = 0; slot < reactor->group_count; slot++) {
        const struct group *group = &reactor->groups[slot];
        struct raft_hard_state hard_state = wal_hard_state(reactor->wal, group->id);
        bool was_parallel = group->was_parallel || hard_state.sync_term != 0;
        bool was_strict =
            !was_parallel && (group->has_entries || group->checkpoint.durable.index > 0);
        if (is_parallel(group) ? was_strict : was_parallel) {
            snprintf(reason, reason_bytes,
                     "group %u of this log was created with order: %s; give that, or begin with an "
                     "empty directory",
                     group->id, was_strict ? "strict" : "parallel");
            return -EINVAL;
        }
    }
    return 0;
}

// A volatile log forgets: after its first start a node does not hold what it once acknowledged. So
// does one whose log or checkpoint is damaged.
static void restore_groups(struct reactor *reactor)
{
    for (uint32_t slot = 0; slot < reactor->group_count; slot++) {
        struct group *group = &reactor->groups[slot];
        bool is_first = reactor->config.wal.bootstrap;
        bool is_intact =
            is_first || (!reactor->config.wal.is_volatile && !group->is_checkpoint_damaged &&
                         !group->is_incomplete && reactor->recovery.verdict != WAL_FAULTY);
        raft_restore_identity(group->raft, wal_hard_state(reactor->wal, group->id),
                              reactor->recovery.boot, is_intact);
        raft_restore_end(group->raft, reactor->now_ns);
        raft_restore_beyond(group->raft, &group->restored);
        if (is_intact) {
            raft_restore_commit(group->raft, wal_recovered_commit(reactor->wal, group->id));
        }
        group_mark_dirty(group);
    }
}

static int open_log(struct reactor *reactor, char *reason, size_t reason_bytes)
{
    struct wal_config *wal = &reactor->config.wal;
    wal->cluster = reactor->config.cluster;
    wal->node = reactor->config.node;
    wal->reactor = reactor->config.reactor;
    wal->groups_max = reactor->config.groups_total;
    wal->disk = reactor->config.disk;
    reactor->wal_memory = take(wal_memory_bytes(wal));
    if (reactor->wal_memory == NULL) {
        return -ENOMEM;
    }
    int error = wal_open(&reactor->wal, reactor->wal_memory, wal, on_record, reactor, NULL,
                         &reactor->recovery, reason, reason_bytes);
    if (error == 0 && reactor->has_overflow) {
        snprintf(reason, reason_bytes,
                 "the log holds more entries of a group than log_entries = %u; raise it",
                 reactor->config.log_entries);
        return -EOVERFLOW;
    }
    return error;
}

static uint32_t size_or(uint32_t size, uint32_t otherwise)
{
    return size == 0 ? otherwise : size;
}

static struct reactor_sizes sizes_with_defaults(const struct reactor_sizes *sizes)
{
    return (struct reactor_sizes){
        .mailbox_slots = size_or(sizes->mailbox_slots, 4096),
        .reads = size_or(sizes->reads, 2048),
        .apply_jobs = size_or(sizes->apply_jobs, APPLY_JOBS_MAX),
        .assembly_buffers = size_or(sizes->assembly_buffers, 16),
        .payload_bytes_max = size_or(sizes->payload_bytes_max, RAFT_PAYLOAD_BYTES_MAX),
    };
}

static bool is_power_of_two(uint32_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static int check_sizes(const struct reactor_config *config, char *reason, size_t reason_bytes)
{
    const struct reactor_sizes *sizes = &config->sizes;
    if (!is_power_of_two(sizes->mailbox_slots) || !is_power_of_two(sizes->apply_jobs) ||
        sizes->apply_jobs > APPLY_JOBS_MAX) {
        snprintf(reason, reason_bytes,
                 "sizes: mailbox_slots %u and apply_jobs %u must be powers of two, apply_jobs at "
                 "most %d",
                 sizes->mailbox_slots, sizes->apply_jobs, APPLY_JOBS_MAX);
        return -EINVAL;
    }
    uint64_t quarter = config->wal.segment_bytes / 4;
    if (sizes->payload_bytes_max > RAFT_PAYLOAD_BYTES_MAX || sizes->payload_bytes_max > quarter) {
        snprintf(reason, reason_bytes,
                 "sizes: payload_bytes_max %u is more than %d or a quarter of a log segment (%lu)",
                 sizes->payload_bytes_max, RAFT_PAYLOAD_BYTES_MAX, quarter);
        return -EINVAL;
    }
    return 0;
}

static int take_memory(struct reactor *reactor)
{
    const struct reactor_sizes *sizes = &reactor->config.sizes;
    uint32_t count = count_groups(&reactor->config);
    struct heap_item *items = calloc(count, sizeof(*items));
    uint32_t *positions = calloc(count, sizeof(*positions));
    reactor->heap_items = items;
    reactor->heap_positions = positions;
    reactor->groups = calloc(count, sizeof(*reactor->groups));
    reactor->by_id = calloc(reactor->config.groups_total, sizeof(struct group *));
    reactor->dirty = calloc((size_t)count * 2, sizeof(*reactor->dirty));
    reactor->footprints =
        calloc((size_t)WIRE_ENTRIES_MAX * RAFT_FOOTPRINTS_MAX, sizeof(*reactor->footprints));
    reactor->footprint_counts = calloc(WIRE_ENTRIES_MAX, sizeof(*reactor->footprint_counts));
    reactor->checkpoint_buffer = take(CHECKPOINT_CHUNK_BYTES);
    reactor->assembly_memory =
        take(assembly_memory_bytes(sizes->assembly_buffers, sizes->payload_bytes_max));
    if (items == NULL || positions == NULL || reactor->groups == NULL || reactor->by_id == NULL ||
        reactor->dirty == NULL || reactor->checkpoint_buffer == NULL ||
        reactor->footprints == NULL || reactor->footprint_counts == NULL ||
        reactor->assembly_memory == NULL) {
        return -ENOMEM;
    }
    heap_init(&reactor->timers, items, positions, count);
    reactor->assembly =
        assembly_init(reactor->assembly_memory, sizes->assembly_buffers, sizes->payload_bytes_max);
    int error = apply_open(reactor);
    error = error != 0 ? error : reads_open(reactor);
    return error != 0 ? error : mailbox_open(reactor);
}

static void set_peers(struct reactor *reactor)
{
    const struct reactor_config *config = &reactor->config;
    reactor->filter = (struct wire_filter){
        .cluster = config->cluster, .self = config->node, .groups = config->groups_total};
    for (uint32_t place = 0; place < config->node_count; place++) {
        reactor->peers[place].node = config->nodes[place];
        reactor->peers[place].use = NET_USE_PEER;
        if (config->nodes[place] != config->node) {
            reactor->filter.peers |= UINT64_C(1) << (config->nodes[place] - 1);
        }
    }
}

int reactor_open(const struct reactor_config *config, struct reactor **out, char *reason,
                 size_t reason_bytes)
{
    struct reactor *reactor = take(sizeof(*reactor));
    if (reactor == NULL) {
        return -ENOMEM;
    }
    reactor->config = *config;
    reactor->config.sizes = sizes_with_defaults(&config->sizes);
    reactor->now_ns = clock_now_ns(config->clock);
    set_peers(reactor);
    snprintf(reason, reason_bytes, "no memory for the reactor; lower log_entries or groups");
    int error = check_sizes(&reactor->config, reason, reason_bytes);
    error = error != 0 ? error : take_memory(reactor);
    error = error != 0 ? error : open_groups(reactor, reason, reason_bytes);
    error = error != 0 ? error : open_log(reactor, reason, reason_bytes);
    if (error != 0) {
        reactor_close(reactor);
        return error;
    }
    error = check_orders(reactor, reason, reason_bytes);
    if (error != 0) {
        reactor_close(reactor);
        return error;
    }
    restore_groups(reactor);
    reason[0] = '\0';
    *out = reactor;
    return 0;
}

static void close_group(struct group *group)
{
    snapshot_close(group);
    checkpoint_close(group);
    if (group->app != NULL) {
        group->app->ops->close(group->app);
    }
    free(group->raft);
    free(group->sessions);
    free(group->origins);
}

void reactor_close(struct reactor *reactor)
{
    if (reactor->wal != NULL) {
        wal_close(reactor->wal);
    }
    for (uint32_t slot = 0; slot < reactor->group_count; slot++) {
        close_group(&reactor->groups[slot]);
    }
    outbox_close(reactor);
    mailbox_close(reactor);
    apply_close(reactor);
    free(reactor->reads);
    free(reactor->answer);
    free(reactor->wal_memory);
    free(reactor->assembly_memory);
    free(reactor->checkpoint_buffer);
    free(reactor->footprints);
    free(reactor->footprint_counts);
    free(reactor->heap_items);
    free(reactor->heap_positions);
    free(reactor->dirty);
    free(reactor->by_id);
    free(reactor->groups);
    free(reactor);
}

// -------------------------------------------------------------------------------------------------
// ending

void reactor_drain(struct reactor *reactor)
{
    const struct raft_input input = {.kind = RAFT_IN_STAND_DOWN};
    reactor->is_draining = true;
    for (uint32_t slot = 0; slot < reactor->group_count; slot++) {
        struct group *group = &reactor->groups[slot];
        struct raft_view view;
        raft_view(group->raft, &view);
        bool is_answered = group->applied >= view.last && group->read_first == UINT32_MAX;
        if (group->role == RAFT_LEADER && (is_answered || group->is_halted)) {
            group_step(group, &input, NULL, 0);
        }
    }
}

void reactor_abandon(struct reactor *reactor)
{
    mailbox_abandon(reactor);
}

bool reactor_is_drained(const struct reactor *reactor)
{
    bool is_drained = !wal_is_busy(reactor->wal) && mailbox_is_idle(reactor) &&
                      reactor->reads_waiting == 0 && reactor->checkpointing == NULL &&
                      reactor->outbox.pending_count == 0;
    for (uint32_t slot = 0; slot < reactor->group_count && is_drained; slot++) {
        const struct group *group = &reactor->groups[slot];
        is_drained = (group_is_applied(group) || (group->is_halted && group->jobs_out == 0)) &&
                     group->role != RAFT_LEADER;
    }
    return is_drained;
}

// ------------------------------------------------------------------------------------------------
// looking

uint32_t reactor_groups(const struct reactor *reactor, uint16_t *ids, uint32_t max)
{
    uint32_t count = reactor->group_count < max ? reactor->group_count : max;
    for (uint32_t slot = 0; slot < count; slot++) {
        ids[slot] = reactor->groups[slot].id;
    }
    return count;
}

int reactor_group_status(struct reactor *reactor, uint16_t id, bool want_digest,
                         struct reactor_group_status *status)
{
    struct group *group = reactor_group(reactor, id);
    if (group == NULL) {
        return -ENOENT;
    }
    *status = (struct reactor_group_status){.checkpoint = group->checkpoint.durable.index};
    raft_view(group->raft, &status->raft);
    status->raft.failed |= group->is_halted;
    // A state that was installed and is not told to the core yet is ahead of what `applied` says.
    want_digest &= group->applied == status->raft.applied && raft_is_level(group->raft);
    status->peer_count = raft_peer_views(group->raft, status->peers, RAFT_NODES_MAX);
    if (group->jobs_out == 0) {
        status->sessions = session_count(group->sessions);
        status->has_digest = want_digest;
        // The state machine's part alone would miss a session table that differs.
        status->digest = want_digest
                             ? group->app->ops->digest(group->app) ^
                                   session_digest(group->sessions) * UINT64_C(0x9E3779B97F4A7C15)
                             : 0;
    }
    return 0;
}

void reactor_counters(const struct reactor *reactor, struct reactor_counters *out)
{
    *out = reactor->counters;
}

void reactor_wal_counters(const struct reactor *reactor, struct wal_counters *out)
{
    wal_counters(reactor->wal, out);
}

const struct wal_recovery *reactor_recovery(const struct reactor *reactor)
{
    return &reactor->recovery;
}

uint64_t reactor_log_used_bytes(const struct reactor *reactor)
{
    return reactor->config.wal.log_bytes - wal_free_bytes(reactor->wal);
}

uint64_t reactor_memory_bytes(const struct reactor_config *config)
{
    struct wal_config wal = config->wal;
    wal.groups_max = config->groups_total;
    struct raft_config settings = raft_settings(config);
    const struct reactor_sizes sizes = sizes_with_defaults(&config->sizes);
    const struct session_config sessions = {.pages_total = config->session_pages,
                                            .sessions_max = config->sessions_max};
    uint64_t group = raft_memory_bytes(&settings) + session_bytes(&sessions) +
                     config->log_entries * sizeof(struct origin) + sizeof(struct group);
    return sizeof(struct reactor) + count_groups(config) * group +
           sizes.apply_jobs * sizeof(struct apply_job) + sizes.reads * sizeof(struct read_request) +
           sizes.mailbox_slots * sizeof(struct mail) + ANSWER_BYTES_MAX +
           assembly_memory_bytes(sizes.assembly_buffers, sizes.payload_bytes_max) +
           CHECKPOINT_CHUNK_BYTES + wal_memory_bytes(&wal);
}
