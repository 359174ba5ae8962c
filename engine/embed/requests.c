// Requests of any thread: proposals, reads, status, faults.
//
// They go through the reactor's mailbox; a status asked for on the reactor's own thread is taken at
// once.
#include "engine/embed/pontoon_node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CALL_PAUSE_NS = 50000, CALL_TRIES = 40000 };

static bool is_closed(const struct pontoon *node)
{
    return atomic_load_explicit(&node->is_closed, memory_order_relaxed);
}

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

static_assert(sizeof(struct pontoon_range) == WIRE_RANGE_BYTES, "as frames have them");
static_assert((int)PONTOON_RANGES_MAX == (int)WIRE_RANGES_MAX, "as frames have them");

int pontoon_propose_ranges_mt(struct pontoon *node, uint16_t group,
                              const struct pontoon_command *command, pontoon_done *done,
                              void *context)
{
    const struct wire_ranges ranges = wire_ranges_of(command->ranges, command->range_count);
    struct reactor *reactor = node_reactor_of(node, group);
    if (reactor == NULL || done == NULL) {
        return -EINVAL;
    }
    if (is_closed(node)) {
        return -ESHUTDOWN;
    }
    return reactor_propose_ranges_mt(reactor, group, command->payload, command->bytes, &ranges,
                                     finish_propose, (reactor_user *)done, context);
}

int pontoon_propose_mt(struct pontoon *node, uint16_t group, const void *payload, uint32_t bytes,
                       pontoon_done *done, void *context)
{
    const struct pontoon_command command = {.payload = payload, .bytes = bytes};
    return pontoon_propose_ranges_mt(node, group, &command, done, context);
}

int pontoon_read_ranges_mt(struct pontoon *node, uint16_t group,
                           const struct pontoon_command *query, pontoon_answer *answer,
                           void *context)
{
    const struct wire_ranges ranges = wire_ranges_of(query->ranges, query->range_count);
    struct reactor *reactor = node_reactor_of(node, group);
    if (reactor == NULL || answer == NULL) {
        return -EINVAL;
    }
    if (is_closed(node)) {
        return -ESHUTDOWN;
    }
    return reactor_read_ranges_mt(reactor, group, query->payload, query->bytes, &ranges,
                                  finish_read, (reactor_user *)answer, context);
}

int pontoon_read_mt(struct pontoon *node, uint16_t group, const void *query, uint32_t bytes,
                    pontoon_answer *answer, void *context)
{
    const struct pontoon_command command = {.payload = query, .bytes = bytes};
    return pontoon_read_ranges_mt(node, group, &command, answer, context);
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

static bool is_callers_own(const struct pontoon *node, const struct reactor *reactor)
{
    bool is_running = atomic_load_explicit(&node->is_running, memory_order_relaxed);
    return node_reactor_here == reactor ||
           (!is_running && pthread_equal(node->opener, pthread_self()));
}

static void pause_call(void)
{
    const struct timespec pause = {.tv_nsec = CALL_PAUSE_NS};
    nanosleep(&pause, NULL);
}

int node_call_wait(struct pontoon *node, struct reactor *reactor, reactor_call *call, void *context)
{
    if (is_callers_own(node, reactor)) {
        call(reactor, context);
        return 0;
    }
    struct waiting_call *waiting = calloc(1, sizeof(*waiting));
    if (waiting == NULL) {
        return -ENOMEM;
    }
    waiting->call = call;
    waiting->context = context;
    int tries = 0;
    while (reactor_call_mt(reactor, run_waiting_call, waiting) != 0) {
        if (++tries > CALL_TRIES) {
            free(waiting);
            return -ETIMEDOUT;
        }
        pause_call(); // the mailbox is full
    }
    while (atomic_load_explicit(&waiting->state, memory_order_acquire) != CALL_DONE) {
        int expected = CALL_WAITING;
        if (++tries > CALL_TRIES &&
            atomic_compare_exchange_strong(&waiting->state, &expected, CALL_ABANDONED)) {
            return -ETIMEDOUT;
        }
        pause_call();
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

struct impair_call {
    struct pontoon *node;
    const struct pontoon_config *wanted; // .impair
    uint32_t which;
    int error;
};

static void take_impairments(struct reactor *reactor, void *context)
{
    struct impair_call *call = context;
    struct pontoon_config *config = &call->node->config;
    (void)reactor;
    call->error = parts_impair(&call->node->parts, call->wanted, call->which);
    if (call->error == 0 && call->which == 0) {
        memcpy(config->impair, call->wanted->impair, sizeof(config->impair));
        config->impair_count = call->wanted->impair_count;
    }
}

static int replace_impairments(struct pontoon *node, const struct pontoon_config *wanted,
                               char *reason, size_t reason_bytes)
{
    int error = 0;
    for (uint32_t which = 0; which < node->parts.reactors && error == 0; which++) {
        struct impair_call call = {.node = node, .wanted = wanted, .which = which};
        error = node_call_wait(node, node->reactors[which], take_impairments, &call);
        if (error != 0) {
            snprintf(reason, reason_bytes, "reactor %u does not answer: %s", which,
                     strerror(-error));
        }
        error = error != 0 ? error : call.error;
    }
    return error;
}

int pontoon_impair_mt(struct pontoon *node, const struct pontoon_impair *rules, uint32_t count,
                      char *reason, size_t reason_bytes)
{
    if (!node->parts.can_impair) {
        snprintf(reason, reason_bytes,
                 "faults cannot be changed in this node; start it with impair_runtime: true");
        return -ENOTSUP;
    }
    if (count > PONTOON_IMPAIR_MAX) {
        snprintf(reason, reason_bytes, "impair: %u rules; at most %u fit", count,
                 PONTOON_IMPAIR_MAX);
        return -EINVAL;
    }
    struct pontoon_config *wanted = malloc(sizeof(*wanted));
    if (wanted == NULL) {
        snprintf(reason, reason_bytes, "no memory");
        return -ENOMEM;
    }
    pthread_mutex_lock(&node->impair_lock);
    *wanted = node->config;
    memcpy(wanted->impair, rules, count * sizeof(rules[0]));
    wanted->impair_count = count;
    int error = pontoon_config_check(wanted, reason, reason_bytes);
    if (error == 0) {
        error = replace_impairments(node, wanted, reason, reason_bytes);
    }
    pthread_mutex_unlock(&node->impair_lock);
    free(wanted);
    return error;
}
