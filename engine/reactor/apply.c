// Applying committed entries: cut into jobs, run inline or by workers, answered.
//
// A job goes to the group's worker through a single-producer ring and comes back through another;
// with no workers it runs at once. One worker owns a group's state machine and sessions, so they
// see one job after the other. The reactor never waits: what finds no free job stays in the log
// until the next iteration.
//
// Pairing: the enqueue into to_worker publishes the job's items and the log memory they point to
// (rte_ring release/acquire); the log's tail does not pass an entry before its job came back
// through from_worker.
#include "engine/reactor/internal.h"

#include "engine/base/mark.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_ring.h>

#include "engine/core/entry_crc.h"

static bool is_damaged(const struct apply_item *item)
{
    const struct raft_entry_head head = {.client = item->client,
                                         .sequence = item->sequence,
                                         .bytes = item->bytes,
                                         .crc = item->crc,
                                         .kind = item->kind};
    return raft_entry_crc(&head, item->payload) != item->crc;
}

static void open_session(struct session_table *sessions, struct apply_item *item)
{
    struct session_grant grant =
        session_register(sessions, item->index, item->client, item->sequence);
    item->grant = grant.session;
    item->sequence = grant.window;
    item->status = WIRE_DONE;
}

// Is this command to be executed? Fills the status of those that are not.
static bool claim(struct session_table *sessions, struct apply_item *item)
{
    if (item->client == 0) {
        return true; // proposed by the embedding process, without a session
    }
    switch (session_claim(sessions, item->index, item->client, item->sequence, &item->result)) {
    case SESSION_NEW:
        return true;
    case SESSION_PENDING:
        MARK(command_twice_in_a_batch);
        item->status = APPLY_SILENT; // its first copy answers
        return false;
    case SESSION_DUPLICATE:
        MARK(command_was_executed_before);
        item->status = WIRE_DONE;
        return false;
    case SESSION_EXPIRED:
        MARK(session_is_gone);
        item->status = WIRE_EXPIRED;
        return false;
    case SESSION_OUTSIDE:
        item->status = WIRE_OUTSIDE_WINDOW;
        return false;
    }
    return false;
}

// How many of the items are commands of one session with numbers in a row, as nearly all come.
static uint32_t run_of(const struct apply_item *items, uint32_t count)
{
    uint32_t run = 1;
    if (items[0].kind != RAFT_ENTRY_COMMAND || items[0].client == 0) {
        return 0;
    }
    while (run < count && items[run].client == items[0].client &&
           items[run].sequence == items[0].sequence + run &&
           items[run].kind == RAFT_ENTRY_COMMAND) {
        run++;
    }
    return run;
}

// Keeps the results of executed commands, run by run.
static void complete(struct session_table *sessions, struct apply_item *const *claimed,
                     const uint32_t *results, uint32_t count)
{
    for (uint32_t first = 0, at; first < count; first = at) {
        uint64_t client = claimed[first]->client, sequence = claimed[first]->sequence;
        for (at = first + 1; at < count && claimed[at]->client == client &&
                             claimed[at]->sequence == sequence + (at - first);) {
            at++;
        }
        if (client != 0) {
            session_complete_run(sessions, client, sequence, results + first, at - first);
        }
    }
}

static void execute(struct group *group, struct apply_item *const *claimed, uint32_t count,
                    struct app_entry *batch, uint32_t *results)
{
    if (count == 0) {
        return;
    }
    for (uint32_t at = 0; at < count; at++) {
        batch[at] = (struct app_entry){.index = claimed[at]->index,
                                       .payload = claimed[at]->payload,
                                       .bytes = claimed[at]->bytes};
    }
    group->app->ops->apply(group->app, batch, count, results);
    for (uint32_t at = 0; at < count; at++) {
        claimed[at]->status = WIRE_DONE;
        claimed[at]->result = results[at];
    }
    complete(group->sessions, claimed, results, count);
}

static void run_entries(struct reactor *reactor, struct apply_job *job, uint32_t worker)
{
    struct group *group = job->group;
    struct app_entry *batch = reactor->batch + (size_t)worker * APPLY_ITEMS_MAX;
    uint32_t *results = reactor->batch_results + (size_t)worker * APPLY_ITEMS_MAX;
    struct apply_item *claimed[APPLY_ITEMS_MAX];
    uint32_t count = 0;
    for (uint32_t at = 0; at < job->count && !job->is_corrupt; at++) {
        job->is_corrupt = is_damaged(&job->items[at]);
        job->count = job->is_corrupt ? at : job->count; // what is before it was sound
    }
    for (uint32_t at = 0, singly_upto = 0; at < job->count;) {
        struct apply_item *item = &job->items[at];
        uint32_t length = at < singly_upto ? 0 : run_of(item, job->count - at);
        uint32_t run =
            session_claim_run(group->sessions, item->index, item->client, item->sequence, length);
        if (run == 0 && length > 0) {
            singly_upto = at + length; // beyond a hole of its session
        }
        at += run == 0 ? 1 : run;
        for (uint32_t i = 0; i < run; i++) {
            claimed[count++] = item + i;
        }
        if (run > 0) {
            continue;
        }
        if (item->kind == RAFT_ENTRY_COMMAND && claim(group->sessions, item)) {
            claimed[count++] = item;
        } else if (item->kind == RAFT_ENTRY_REGISTER) {
            // The commands before it come first: their completions must meet the sessions they
            // claimed.
            execute(group, claimed, count, batch, results);
            count = 0;
            open_session(group->sessions, item);
        }
    }
    execute(group, claimed, count, batch, results);
}

static void run_read(struct reactor *reactor, struct apply_job *job)
{
    const struct read_request *read = &reactor->reads[job->read_slot];
    job->answer_bytes = job->group->app->ops->read(job->group->app, read->query, read->bytes,
                                                   reactor->answer, ANSWER_BYTES_MAX);
}

void apply_run(struct reactor *reactor, struct apply_job *job, uint32_t worker)
{
    if (job->kind == APPLY_ENTRIES) {
        run_entries(reactor, job, worker);
    } else {
        run_read(reactor, job);
    }
}

// Nearly all answers go to the client that the one before went to: straight behind its result.
static bool gather(struct group *group, struct origin to, const struct apply_item *item)
{
    if ((to.slot & ORIGIN_MAILBOX) != 0 || item->kind != RAFT_ENTRY_COMMAND ||
        item->status == APPLY_SILENT) {
        return false;
    }
    struct client *client = &group->reactor->clients[to.slot - 1];
    if (client->generation != to.generation || client->session != item->client ||
        client->group != group->id || client->result_count == 0 ||
        client->result_count == WIRE_RESULTS_MAX) {
        return false;
    }
    client->results[client->result_count++] = (struct wire_result){
        .sequence = item->sequence, .status = item->status, .result = item->result};
    group->reactor->counters.replies++;
    return true;
}

static void answer_item(struct group *group, const struct apply_item *item)
{
    struct reactor *reactor = group->reactor;
    struct origin *origin = &group->origins[item->index & (reactor->config.log_entries - 1)];
    if (origin->slot == 0) {
        return;
    }
    struct origin to = *origin;
    origin->slot = 0;
    if (gather(group, to, item)) {
        return;
    }
    if (item->kind == RAFT_ENTRY_REGISTER) {
        const struct wire_register_reply reply = {.nonce = item->client,
                                                  .session = item->grant,
                                                  .window = item->sequence,
                                                  .status = item->status};
        client_registered(reactor, to, group->id, &reply);
    } else if (item->status != APPLY_SILENT) {
        const struct wire_result result = {
            .sequence = item->sequence, .status = item->status, .result = item->result};
        client_result(reactor, to, group->id, item->client, &result, item->index);
    }
}

static void finish_entries(struct apply_job *job)
{
    struct group *group = job->group;
    struct reactor *reactor = group->reactor;
    for (uint32_t at = 0; at < job->count; at++) {
        answer_item(group, &job->items[at]);
        reactor->counters.applied_payload_bytes += job->items[at].bytes;
    }
    reactor->counters.applied += job->count;
    if (job->is_corrupt) {
        group_halt(group);
    }
    if (job->count > 0) {
        const struct raft_input input = {.kind = RAFT_IN_APPLIED,
                                         .applied_first = job->items[0].index,
                                         .applied = job->items[job->count - 1].index};
        timing_answered(group, input.applied_first, input.applied);
        group_step(group, &input, NULL, 0);
        group->applied = is_parallel(group) ? raft_applied(group->raft) : input.applied;
    }
}

static void finish(struct reactor *reactor, struct apply_job *job)
{
    struct group *group = job->group;
    group->jobs_out--;
    if (job->kind == APPLY_ENTRIES) {
        finish_entries(job);
    } else {
        read_answered(job);
    }
    reactor->free_jobs[reactor->free_job_count++] = job;
    reads_serve(group);
}

static void start(struct reactor *reactor, struct apply_job *job)
{
    job->group->jobs_out++;
    if (reactor->config.apply_workers == 0) {
        apply_run(reactor, job, 0);
        finish(reactor, job);
        return;
    }
    int full = rte_ring_sp_enqueue(reactor->to_worker[job->group->worker], job);
    ASSERT(full == 0); // the ring has room for every job there is
}

struct apply_job *apply_take_job(struct reactor *reactor, struct group *group, enum apply_kind kind)
{
    if (reactor->free_job_count == 0) {
        return NULL;
    }
    struct apply_job *job = reactor->free_jobs[--reactor->free_job_count];
    job->kind = kind;
    job->group = group;
    job->count = 0;
    job->is_corrupt = false;
    return job;
}

void apply_start_read(struct reactor *reactor, struct apply_job *job, uint32_t read_slot)
{
    job->read_slot = read_slot;
    start(reactor, job);
}

// Fills the job with entries from range.first on, as many as it holds. A strict job ends where the
// ring of slots does. Result: the index behind them.
static uint64_t fill(struct group *group, struct apply_job *job, struct raft_range range)
{
    struct wal *wal = group->reactor->wal;
    uint64_t index = range.first;
    uint32_t count;
    const struct raft_entry *entry = raft_entry_span(group->raft, index, range.last, &count);
    for (; count > 0 && job->count < APPLY_ITEMS_MAX; entry++, count--) {
        job->items[job->count++] = (struct apply_item){.index = index++,
                                                       .client = entry->head.client,
                                                       .sequence = entry->head.sequence,
                                                       .payload = wal_payload(wal, entry->body),
                                                       .bytes = entry->head.bytes,
                                                       .crc = entry->head.crc,
                                                       .kind = entry->head.kind};
    }
    return index;
}

// No new jobs from now on.
void group_pause(struct group *group)
{
    group->is_paused = true;
}

void group_resume(struct group *group)
{
    group->is_paused = false;
}

static bool may_dispatch(const struct group *group)
{
    return !group->is_halted && !group->is_paused;
}

// The next entries to apply, of which there are some, go into the job.
static void take_next(struct group *group, struct apply_job *job)
{
    struct raft_range range = {.first = group->apply_next, .last = group->apply_last};
    if (!is_parallel(group)) {
        group->apply_next = fill(group, job, range);
        return;
    }
    bool has_some = raft_apply_take(group->raft, APPLY_ITEMS_MAX, &range);
    ASSERT(has_some);
    for (uint64_t next = range.first; next <= range.last;) {
        next = fill(group, job, (struct raft_range){.first = next, .last = range.last});
    }
}

static bool has_next(const struct group *group)
{
    return is_parallel(group) ? raft_has_to_apply(group->raft)
                              : group->apply_next <= group->apply_last;
}

// Is everything applied that is known to be committed?
bool group_is_applied(const struct group *group)
{
    return group->jobs_out == 0 && !has_next(group);
}

// Hands committed entries on, as many as there are jobs for.
void apply_dispatch(struct group *group)
{
    struct reactor *reactor = group->reactor;
    if (is_parallel(group) && !group->snapshot.in_must_persist) {
        // The commit floor may have come to what a checkpoint had brought.
        group->applied = raft_applied(group->raft);
    }
    while (may_dispatch(group) && has_next(group)) {
        struct apply_job *job = apply_take_job(reactor, group, APPLY_ENTRIES);
        if (job == NULL) {
            group_mark_dirty(group); // again when one came back
            return;
        }
        take_next(group, job);
        start(reactor, job);
    }
    reads_serve(group);
}

bool apply_poll(struct reactor *reactor)
{
    bool was_busy = false;
    for (uint32_t worker = 0; worker < reactor->config.apply_workers; worker++) {
        void *jobs[APPLY_JOBS_MAX];
        uint32_t count =
            rte_ring_sc_dequeue_burst(reactor->from_worker[worker], jobs, APPLY_JOBS_MAX, NULL);
        for (uint32_t at = 0; at < count; at++) {
            finish(reactor, jobs[at]);
        }
        was_busy |= count > 0;
    }
    return was_busy;
}

bool reactor_apply_poll(struct reactor *reactor, uint32_t worker)
{
    void *job;
    if (rte_ring_sc_dequeue(reactor->to_worker[worker], &job) != 0) {
        return false;
    }
    apply_run(reactor, job, worker);
    int full = rte_ring_sp_enqueue(reactor->from_worker[worker], job);
    ASSERT(full == 0);
    return true;
}

static struct rte_ring *make_ring(const char *name, uint32_t entries)
{
    size_t bytes = (size_t)rte_ring_get_memsize(entries);
    struct rte_ring *ring = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    if (ring != NULL && rte_ring_init(ring, name, entries, RING_F_SP_ENQ | RING_F_SC_DEQ) != 0) {
        free(ring);
        ring = NULL;
    }
    return ring;
}

int apply_open(struct reactor *reactor)
{
    uint32_t jobs = reactor->config.sizes.apply_jobs;
    uint32_t owners = reactor->config.apply_workers == 0 ? 1 : reactor->config.apply_workers;
    reactor->jobs = aligned_alloc(64, (jobs * sizeof(*reactor->jobs) + 63) & ~(size_t)63);
    reactor->free_jobs = calloc(jobs, sizeof(struct apply_job *));
    reactor->batch = calloc((size_t)owners * APPLY_ITEMS_MAX, sizeof(*reactor->batch));
    reactor->batch_results =
        calloc((size_t)owners * APPLY_ITEMS_MAX, sizeof(*reactor->batch_results));
    if (reactor->jobs == NULL || reactor->free_jobs == NULL || reactor->batch == NULL ||
        reactor->batch_results == NULL) {
        return -ENOMEM;
    }
    for (uint32_t at = 0; at < jobs; at++) {
        reactor->free_jobs[reactor->free_job_count++] = &reactor->jobs[at];
    }
    for (uint32_t worker = 0; worker < reactor->config.apply_workers; worker++) {
        reactor->to_worker[worker] = make_ring("to_worker", 2 * jobs);
        reactor->from_worker[worker] = make_ring("from_worker", 2 * jobs);
        if (reactor->to_worker[worker] == NULL || reactor->from_worker[worker] == NULL) {
            return -ENOMEM;
        }
    }
    return 0;
}

void apply_close(struct reactor *reactor)
{
    for (uint32_t worker = 0; worker < REACTOR_APPLY_WORKERS_MAX; worker++) {
        free(reactor->to_worker[worker]);
        free(reactor->from_worker[worker]);
    }
    free(reactor->jobs);
    free(reactor->free_jobs);
    free(reactor->batch);
    free(reactor->batch_results);
}
