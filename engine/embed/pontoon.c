// pontoon_open … pontoon_close: a node, its reactors and their threads.
#include "engine/embed/pontoon_node.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/embed/idle.h"

static int open_app(void *context, uint16_t group, struct app **app, char *reason,
                    size_t reason_bytes)
{
    struct pontoon *node = context;
    if (node->options.app_open == NULL) {
        return parts_open_app(&node->config, app, reason, reason_bytes);
    }
    int error = node->options.app_open(node->options.context, group, app);
    if (error != 0) {
        snprintf(reason, reason_bytes, "group %u: app_open failed: %s", group, strerror(-error));
    }
    return error;
}

static void on_role_change(void *context, uint16_t group, enum raft_role role, uint64_t term,
                           uint16_t leader)
{
    struct pontoon *node = context;
    if (node->options.role_change != NULL) {
        node->options.role_change(node->options.context, group, (enum pontoon_role)role, term,
                                  leader);
    }
}

static int compare_ids(const void *a, const void *b)
{
    return *(const uint16_t *)a - *(const uint16_t *)b;
}

static struct reactor_config reactor_settings(struct pontoon *node, uint32_t which)
{
    const struct pontoon_config *config = &node->config;
    const struct parts *parts = &node->parts;
    uint64_t segment_bytes = 4 << 20; // 16 to 31 segments, but never smaller ones
    while (segment_bytes * 32 <= parts->arena_bytes) {
        segment_bytes *= 2;
    }
    uint64_t log_bytes = parts->arena_bytes / segment_bytes * segment_bytes;
    struct reactor_config settings = {
        .cluster = config->cluster,
        .node = config->node,
        .node_count = config->node_count,
        .reactor = (uint16_t)which,
        .reactors = (uint16_t)parts->reactors,
        .groups_total = config->groups,
        .order = (enum raft_order)config->order,
        .election_timeout_min_ns = config->election_timeout_min_ns,
        .election_timeout_max_ns = config->election_timeout_max_ns,
        .heartbeat_ns = config->heartbeat_ns,
        .log_entries = config->log_entries,
        .window_entries = config->window_entries,
        .window_bytes = (uint64_t)config->window_kib << 10,
        .session_pages = config->session_pages,
        .sessions_max = config->session_pages,
        .app_bytes_max = ((uint64_t)config->app_memory_mib << 21) +
                         ((uint64_t)config->session_pages << 13) + (1 << 20),
        .apply_workers = config->apply_workers,
        .seed = clock_now_ns(parts->clock),
        .wal = {.log_bytes = log_bytes,
                .segment_bytes = segment_bytes,
                .batch_bytes_max = 1 << 20,
                .in_flight_max = 16,
                .durable_mark_delay_ns = 1000000,
                .is_volatile = config->durability == PONTOON_MEMORY,
                .bootstrap = config->bootstrap,
                .arena = parts->arenas[which]},
        .net = parts->views[which],
        .disk = parts->disks[which],
        .checkpoint_disk = parts->checkpoint_disks[which],
        .clock = parts->clock,
        .app_open = open_app,
        .role_change = on_role_change,
        .context = node};
    for (uint32_t at = 0; at < config->node_count; at++) {
        settings.nodes[at] = config->nodes[at].id;
    }
    qsort(settings.nodes, config->node_count, sizeof(settings.nodes[0]), compare_ids);
    return settings;
}

static void describe(struct pontoon *node)
{
    const struct pontoon_config *config = &node->config;
    const struct reactor_config settings = reactor_settings(node, 0);
    uint64_t engine_mib = reactor_memory_bytes(&settings) * node->parts.reactors >> 20;
    snprintf(node->description, sizeof(node->description),
             "%sidle: %s (%u pollers on this machine, %u CPUs)\n"
             "memory: log %llu MiB%s, frame buffers %u MiB, engine %llu MiB, state machines %u MiB "
             "each\n",
             node->parts.description, idle_name(node->idle), parts_pollers(config), parts_cpus(),
             (unsigned long long)(node->parts.arena_bytes * node->parts.reactors >> 20),
             node->parts.hugepages ? " (huge pages)" : "", config->buffers_mib,
             (unsigned long long)engine_mib, config->app_memory_mib);
}

int pontoon_open(const struct pontoon_config *config, const struct pontoon_options *options,
                 struct pontoon **out, char *reason, size_t reason_bytes)
{
    int error = pontoon_config_check(config, reason, reason_bytes);
    if (error != 0) {
        return error;
    }
    struct pontoon *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return -ENOMEM;
    }
    node->config = *config;
    if (options != NULL) {
        node->options = *options;
    }
    error = parts_open_node(config, &node->parts, reason, reason_bytes);
    if (error != 0) {
        free(node);
        return error;
    }
    node->idle = idle_choose(config->idle, parts_pollers(config), parts_cpus());
    for (uint32_t which = 0; which < node->parts.reactors; which++) {
        const struct reactor_config settings = reactor_settings(node, which);
        error = reactor_open(&settings, &node->reactors[which], reason, reason_bytes);
        if (error != 0) {
            pontoon_close(node);
            return error;
        }
    }
    describe(node);
    *out = node;
    return 0;
}

const char *pontoon_describe(const struct pontoon *node)
{
    return node->description;
}

struct reactor *node_reactor_of(struct pontoon *node, uint16_t group)
{
    return group < node->config.groups ? node->reactors[group % 64 % node->parts.reactors] : NULL;
}

// ------------------------------------------------------------------------------------------------
// running

static void pin(int16_t cpu)
{
    if (cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)cpu, &set);
        pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
    }
}

static void *run_reactor(void *argument)
{
    struct node_thread *thread = argument;
    struct pontoon *node = thread->node;
    struct idle idle;
    idle_init(&idle, node->idle);
    pin(node->config.cores[thread->which]);
    while (!atomic_load_explicit(&node->should_stop, memory_order_acquire)) {
        uint64_t deadline_ns;
        if (reactor_poll(node->reactors[thread->which], &deadline_ns)) {
            idle_busy(&idle);
        } else {
            idle_wait(&idle, clock_now_ns(node->parts.clock), deadline_ns);
        }
    }
    return NULL;
}

static void *run_worker(void *argument)
{
    struct node_thread *thread = argument;
    struct pontoon *node = thread->node;
    struct idle idle;
    idle_init(&idle, node->idle);
    while (!atomic_load_explicit(&node->should_stop, memory_order_acquire)) {
        if (reactor_apply_poll(node->reactors[thread->which], thread->worker)) {
            idle_busy(&idle);
        } else {
            idle_wait(&idle, 0, UINT64_MAX);
        }
    }
    return NULL;
}

static int start_thread(struct pontoon *node, void *(*body)(void *), uint32_t which,
                        uint32_t worker)
{
    struct node_thread *thread = &node->threads[node->thread_count];
    *thread = (struct node_thread){.node = node, .which = which, .worker = worker};
    int error = pthread_create(&thread->thread, NULL, body, thread);
    node->thread_count += error == 0;
    return -error;
}

static void join_threads(struct pontoon *node)
{
    atomic_store_explicit(&node->should_stop, true, memory_order_release);
    while (node->thread_count > 0) {
        pthread_join(node->threads[--node->thread_count].thread, NULL);
    }
    atomic_store_explicit(&node->should_stop, false, memory_order_relaxed);
}

int pontoon_start(struct pontoon *node)
{
    int error = 0;
    for (uint32_t which = 0; which < node->parts.reactors && error == 0; which++) {
        for (uint32_t worker = 0; worker < node->config.apply_workers && error == 0; worker++) {
            error = start_thread(node, run_worker, which, worker);
        }
        error = error != 0 ? error : start_thread(node, run_reactor, which, 0);
    }
    if (error != 0) {
        join_threads(node);
    }
    return error;
}

bool pontoon_poll(struct pontoon *node)
{
    bool was_busy = false;
    for (uint32_t which = 0; which < node->parts.reactors; which++) {
        for (uint32_t worker = 0; worker < node->config.apply_workers; worker++) {
            was_busy |= reactor_apply_poll(node->reactors[which], worker);
        }
        was_busy |= reactor_poll(node->reactors[which], NULL);
    }
    return was_busy;
}

static bool is_drained(struct pontoon *node)
{
    bool drained = true;
    for (uint32_t which = 0; which < node->parts.reactors; which++) {
        reactor_drain(node->reactors[which]);
        reactor_poll(node->reactors[which], NULL);
        for (uint32_t worker = 0; worker < node->config.apply_workers; worker++) {
            reactor_apply_poll(node->reactors[which], worker);
        }
        drained &= reactor_is_drained(node->reactors[which]);
    }
    return drained;
}

// The threads end first; then the caller's thread drives the reactors until nothing accepted is
// left unanswered.
int pontoon_stop(struct pontoon *node, uint64_t timeout_ns)
{
    join_threads(node);
    uint64_t deadline_ns = clock_now_ns(node->parts.clock) + timeout_ns;
    while (!is_drained(node)) {
        if (clock_now_ns(node->parts.clock) > deadline_ns) {
            return -ETIMEDOUT;
        }
        sched_yield();
    }
    return 0;
}

void pontoon_close(struct pontoon *node)
{
    join_threads(node);
    for (uint32_t which = 0; which < node->parts.reactors; which++) {
        if (node->reactors[which] != NULL) {
            reactor_close(node->reactors[which]);
        }
    }
    parts_close(&node->parts);
    free(node);
}

// -----------------------------------------------------------------------------------------------
// requests

static void finish_propose(void *context, reactor_user *user, const struct reactor_reply *reply)
{
    const struct pontoon_result result = {.status = (enum pontoon_status)reply->status,
                                          .value = reply->result,
                                          .index = reply->index};
    ((pontoon_done *)user)(context, &result);
}

static void finish_read(void *context, reactor_user *user, const struct reactor_reply *reply)
{
    ((pontoon_answer *)user)(context, (enum pontoon_status)reply->status, reply->answer,
                             reply->answer_bytes);
}

int pontoon_propose_mt(struct pontoon *node, uint16_t group, const void *payload, uint32_t bytes,
                       pontoon_done *done, void *context)
{
    struct reactor *reactor = node_reactor_of(node, group);
    if (reactor == NULL || done == NULL) {
        return -EINVAL;
    }
    return reactor_propose_mt(reactor, group, payload, bytes, finish_propose, (reactor_user *)done,
                              context);
}

int pontoon_read_mt(struct pontoon *node, uint16_t group, const void *query, uint32_t bytes,
                    pontoon_answer *answer, void *context)
{
    struct reactor *reactor = node_reactor_of(node, group);
    if (reactor == NULL || answer == NULL) {
        return -EINVAL;
    }
    return reactor_read_mt(reactor, group, query, bytes, finish_read, (reactor_user *)answer,
                           context);
}

// A call that the caller may give up waiting for, as long as it has not begun. The one that moves
// `state` away from WAITING decides; an abandoned call is freed by the reactor, any other by the
// caller.
enum { CALL_WAITING, CALL_RUNNING, CALL_DONE, CALL_ABANDONED };

struct waiting_call {
    atomic_int state;
    reactor_call *call;
    void *context;
};

static void run_waiting_call(struct reactor *reactor, void *context)
{
    struct waiting_call *waiting = context;
    int expected = CALL_WAITING;
    if (!atomic_compare_exchange_strong(&waiting->state, &expected, CALL_RUNNING)) {
        free(waiting);
        return;
    }
    waiting->call(reactor, waiting->context);
    // Pairs with the caller's acquire load: it may read what the call wrote.
    atomic_store_explicit(&waiting->state, CALL_DONE, memory_order_release);
}

int node_call_wait(struct pontoon *node, struct reactor *reactor, reactor_call *call, void *context)
{
    if (node->thread_count == 0) {
        call(reactor, context); // the caller's thread is the reactor's
        return 0;
    }
    struct waiting_call *waiting = calloc(1, sizeof(*waiting));
    if (waiting == NULL) {
        return -ENOMEM;
    }
    waiting->call = call;
    waiting->context = context;
    if (reactor_call_mt(reactor, run_waiting_call, waiting) != 0) {
        free(waiting);
        return -EAGAIN;
    }
    const struct timespec pause = {.tv_nsec = 50000};
    for (int tries = 0; atomic_load_explicit(&waiting->state, memory_order_acquire) != CALL_DONE;
         tries++) {
        int expected = CALL_WAITING;
        if (tries > 40000 &&
            atomic_compare_exchange_strong(&waiting->state, &expected, CALL_ABANDONED)) {
            return -ETIMEDOUT;
        }
        nanosleep(&pause, NULL);
    }
    free(waiting);
    return 0;
}

struct status_call {
    uint16_t group;
    struct pontoon_group_status *status;
};

static void take_status(struct reactor *reactor, void *context)
{
    const struct status_call *call = context;
    struct reactor_group_status inner;
    if (reactor_group_status(reactor, call->group, true, &inner) == 0) {
        *call->status = (struct pontoon_group_status){.role = (enum pontoon_role)inner.raft.role,
                                                      .leader = inner.raft.leader,
                                                      .intact = inner.raft.intact,
                                                      .halted = inner.raft.halted,
                                                      .failed = inner.raft.failed,
                                                      .term = inner.raft.term,
                                                      .last = inner.raft.last,
                                                      .synced = inner.raft.synced,
                                                      .commit = inner.raft.commit,
                                                      .applied = inner.raft.applied,
                                                      .digest = inner.digest};
    }
}

int pontoon_status_mt(struct pontoon *node, uint16_t group, struct pontoon_group_status *status)
{
    struct reactor *reactor = node_reactor_of(node, group);
    if (reactor == NULL) {
        return -EINVAL;
    }
    struct status_call call = {.group = group, .status = status};
    return node_call_wait(node, reactor, take_status, &call);
}
