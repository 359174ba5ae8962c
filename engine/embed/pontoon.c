// pontoon_open … pontoon_close: a node, its reactors and their threads.
//
// Either every reactor and apply worker has a thread of its own (pontoon_start), or the opener's
// thread is all of them (pontoon_poll, and the draining in pontoon_stop).
#include "engine/embed/pontoon_node.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "engine/embed/idle.h"

enum { FAULT_BYTES = 512 };

_Thread_local const struct reactor *node_reactor_here;

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

// New log of one reactor after which a checkpoint is due.
static uint64_t checkpoint_bytes(const struct pontoon_config *config, uint64_t log_bytes)
{
    uint64_t given = ((uint64_t)config->checkpoint_mib << 20) / config->reactors;
    return given != 0 ? given : log_bytes / 2;
}

static uint64_t random_number(void)
{
    uint64_t number = 0;
    return getrandom(&number, sizeof(number), 0) == sizeof(number) ? number : (uint64_t)getpid();
}

static uint32_t look_behind(const struct pontoon_config *config)
{
    return config->apply == PONTOON_APPLY_LOOK_BEHIND ? config->look_behind : 0;
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
    struct reactor_config settings = {.cluster = config->cluster,
                                      .node = config->node,
                                      .node_count = config->node_count,
                                      .reactor = (uint16_t)which,
                                      .reactors = (uint16_t)parts->reactors,
                                      .groups_total = config->groups,
                                      .order = (enum raft_order)config->order,
                                      .look_behind = look_behind(config),
                                      .election_timeout_min_ns = config->election_timeout_min_ns,
                                      .election_timeout_max_ns = config->election_timeout_max_ns,
                                      .heartbeat_ns = config->heartbeat_ns,
                                      .log_entries = config->log_entries,
                                      .window_entries = config->window_entries,
                                      .window_bytes = (uint64_t)config->window_kib << 10,
                                      .session_pages = config->session_pages,
                                      .sessions_max = config->session_pages,
                                      .app_bytes_max = ((uint64_t)config->app_memory_mib << 21) +
                                                       ((uint64_t)config->session_pages << 13) +
                                                       (1 << 20),
                                      .checkpoint_bytes = checkpoint_bytes(config, log_bytes),
                                      .apply_workers = config->apply_workers,
                                      .seed = random_number(),
                                      .wal = {.log_bytes = log_bytes,
                                              .segment_bytes = segment_bytes,
                                              .batch_bytes_max = config->log_batch_kib << 10,
                                              .in_flight_max = config->log_writes,
                                              .durable_mark_delay_ns = 1000000,
                                              .is_volatile = config->durability == PONTOON_MEMORY,
                                              .bootstrap = config->bootstrap,
                                              .nonce = random_number(),
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
    const struct parts *parts = &node->parts;
    uint64_t engine_mib = reactor_memory_bytes(&settings) * parts->reactors >> 20;
    uint64_t log_mib = parts->arena_bytes * parts->reactors >> 20;
    snprintf(
        node->description, sizeof(node->description),
        "%sidle: %s (%u pollers on this machine, %u CPUs)\n"
        "memory: %llu MiB: log %llu MiB%s, network %u MiB (frame buffers %u MiB), engine %llu MiB; "
        "beside it rings shared with peers, up to %u MiB, and state machines, up to %u MiB each\n",
        parts->description, idle_name(node->idle), parts_pollers(config), parts_cpus(),
        (unsigned long long)(log_mib + parts->net_mib + engine_mib), (unsigned long long)log_mib,
        parts->hugepages ? " (huge pages)" : "", parts->net_mib, config->buffers_mib,
        (unsigned long long)engine_mib, parts->shared_mib, config->app_memory_mib);
}

static int open_reactors(struct pontoon *node, char *reason, size_t reason_bytes)
{
    int error = 0;
    for (uint32_t which = 0; which < node->parts.reactors && error == 0; which++) {
        const struct reactor_config settings = reactor_settings(node, which);
        error = reactor_open(&settings, &node->reactors[which], reason, reason_bytes);
    }
    if (error != 0 &&
        error != -ENOMEM) { // of logs and checkpoints, which do not know where they are
        char what[FAULT_BYTES];
        snprintf(what, sizeof(what), "%s", reason);
        snprintf(reason, reason_bytes, "directory %s: %s", node->config.directory, what);
    }
    return error;
}

int pontoon_open(const struct pontoon_config *config, const struct pontoon_options *options,
                 struct pontoon **out, char *reason, size_t reason_bytes)
{
    char unasked[1];
    if (reason == NULL || reason_bytes == 0) {
        reason = unasked;
        reason_bytes = sizeof(unasked);
    }
    int error = pontoon_config_check(config, reason, reason_bytes);
    if (error != 0) {
        return error;
    }
    if (config->node == 0) {
        snprintf(reason, reason_bytes, "client place %u is no node; set node, or open a client",
                 config->client);
        return -EINVAL;
    }
    struct pontoon *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        snprintf(reason, reason_bytes, "no memory for a node of %zu bytes", sizeof(*node));
        return -ENOMEM;
    }
    node->config = *config;
    node->opener = pthread_self();
    pthread_mutex_init(&node->impair_lock, NULL);
    if (options != NULL) {
        node->options = *options;
    }
    error = parts_open_node(config, &node->parts, reason, reason_bytes);
    if (error != 0) {
        free(node);
        return error;
    }
    node->idle = idle_choose(config->idle, parts_pollers(config), parts_cpus());
    error = open_reactors(node, reason, reason_bytes);
    if (error != 0) {
        pontoon_close(node);
        return error;
    }
    describe(node);
    reason[0] = '\0';
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
    node_reactor_here = node->reactors[thread->which];
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
    atomic_store_explicit(&node->is_running, false, memory_order_relaxed);
}

int pontoon_start(struct pontoon *node)
{
    int error = 0;
    if (atomic_load_explicit(&node->is_closed, memory_order_relaxed)) {
        return -ESHUTDOWN;
    }
    if (node->thread_count > 0) {
        return -EALREADY;
    }
    atomic_store_explicit(&node->is_running, true, memory_order_relaxed);
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

static bool poll_here(struct pontoon *node, uint32_t which)
{
    bool was_busy = false;
    node_reactor_here = node->reactors[which];
    for (uint32_t worker = 0; worker < node->config.apply_workers; worker++) {
        was_busy |= reactor_apply_poll(node->reactors[which], worker);
    }
    was_busy |= reactor_poll(node->reactors[which], NULL);
    node_reactor_here = NULL;
    return was_busy;
}

bool pontoon_poll(struct pontoon *node)
{
    bool was_busy = false;
    for (uint32_t which = 0; which < node->parts.reactors; which++) {
        was_busy |= poll_here(node, which);
    }
    return was_busy;
}

static bool is_drained(struct pontoon *node)
{
    bool drained = true;
    for (uint32_t which = 0; which < node->parts.reactors; which++) {
        reactor_drain(node->reactors[which]);
        poll_here(node, which);
        drained &= reactor_is_drained(node->reactors[which]);
    }
    return drained;
}

// The threads end first; then the caller's thread drives the reactors until nothing accepted is
// left unanswered. A proposal that overtakes is_closed in another thread is answered by
// pontoon_close.
int pontoon_stop(struct pontoon *node, uint64_t timeout_ns)
{
    atomic_store_explicit(&node->is_closed, true, memory_order_relaxed);
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
    atomic_store_explicit(&node->is_closed, true, memory_order_relaxed);
    join_threads(node);
    for (uint32_t which = 0; which < node->parts.reactors; which++) {
        if (node->reactors[which] != NULL) {
            node_reactor_here = node->reactors[which];
            reactor_abandon(node->reactors[which]);
            node_reactor_here = NULL;
            reactor_close(node->reactors[which]);
        }
    }
    parts_close(&node->parts);
    pthread_mutex_destroy(&node->impair_lock);
    free(node);
}
