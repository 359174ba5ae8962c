// Linearizable reads: numbered by the core, granted in batches, served when their index is applied.
//
// A group's reads form one list in order of arrival, which is the order of their numbers: a grant
// covers a prefix of it.
#include "engine/reactor/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/crc32c.h"
#include "engine/core/conflict.h"

#define READ_NONE UINT32_MAX
#define ANSWER_PATIENCE_NS UINT64_C(100000000)

int reads_open(struct reactor *reactor)
{
    uint32_t reads_max = reactor->config.sizes.reads;
    reactor->reads = calloc(reads_max, sizeof(*reactor->reads));
    reactor->answer = malloc(ANSWER_BYTES_MAX);
    if (reactor->reads == NULL || reactor->answer == NULL) {
        return -ENOMEM;
    }
    for (uint32_t slot = 0; slot < reads_max; slot++) {
        reactor->reads[slot].next = slot + 1 < reads_max ? slot + 1 : READ_NONE;
    }
    reactor->free_read = 0;
    return 0;
}

// How far must be applied for the answer, if that is known to be less than everything: a parallel
// group's reads do not wait for holes below entries that they do not look at.
static uint64_t needs_of(const struct group *group, const struct wire_read *read)
{
    struct raft_footprint ranges[RAFT_FOOTPRINTS_MAX];
    const struct app_ops *ops = group->app->ops;
    if (!is_parallel(group)) {
        return UINT64_MAX;
    }
    uint8_t count =
        ops->query_footprint != NULL
            ? group_ask_footprint(ops->query_footprint, read->query, read->bytes, ranges)
            : group_copy_footprint(&read->ranges, ranges);
    return count == RAFT_FOOTPRINT_ALL ? UINT64_MAX : raft_read_needs(group->raft, ranges, count);
}

// Takes a read in. WIRE_DONE: it waits; else it was refused and nothing waits.
enum wire_status read_request(struct group *group, struct origin origin,
                              const struct wire_read *from)
{
    struct reactor *reactor = group->reactor;
    if (group->is_halted || reactor->is_failed) {
        return WIRE_FAILED;
    }
    if (from->bytes > READ_QUERY_BYTES_MAX || !wire_ranges_are_valid(&from->ranges)) {
        return WIRE_INVALID;
    }
    if (reactor->free_read == READ_NONE) {
        return WIRE_BUSY;
    }
    const struct raft_input input = {.kind = RAFT_IN_READ, .read_count = 1};
    if (reactor->is_draining || group_step(group, &input, NULL, 0) != RAFT_OK) {
        return WIRE_NOT_LEADER;
    }
    struct raft_view view;
    raft_view(group->raft, &view);
    uint32_t slot = reactor->free_read;
    struct read_request *read = &reactor->reads[slot];
    reactor->free_read = read->next;
    reactor->reads_waiting++;
    *read = (struct read_request){.group = group,
                                  .number = view.reads_last,
                                  .origin = origin,
                                  .request = from->request,
                                  .next = READ_NONE,
                                  .bytes = from->bytes};
    memcpy(read->query, from->query, from->bytes);
    read->needs = needs_of(group, from);
    if (group->read_first == READ_NONE) {
        group->read_first = slot;
    } else {
        reactor->reads[group->read_last].next = slot;
    }
    group->read_last = slot;
    reactor->counters.reads++;
    return WIRE_DONE;
}

static void free_read(struct reactor *reactor, uint32_t slot)
{
    reactor->reads[slot].next = reactor->free_read;
    reactor->free_read = slot;
    reactor->reads_waiting--;
}

// One part of an answer. False: no frame for it now.
static bool send_part(struct reactor *reactor, struct client *client, struct group *group,
                      struct wire_read_reply *reply)
{
    struct wire_writer *writer = lane_writer(reactor, &client->lane);
    int32_t put = writer == NULL ? -1 : wire_put_read_reply(writer, group->id, reply);
    if (put < 0) {
        writer = lane_next_frame(reactor, &client->lane);
        put = writer == NULL ? -1 : wire_put_read_reply(writer, group->id, reply);
    }
    reply->offset += put < 0 ? 0 : (uint32_t)put;
    return put >= 0;
}

static struct wire_read_reply make_reply(struct group *group, uint64_t request,
                                         enum wire_status status, const void *data, int32_t bytes)
{
    struct raft_view view;
    raft_view(group->raft, &view);
    struct wire_read_reply reply = {.request = request,
                                    .status = status,
                                    .result = bytes,
                                    .leader_hint = view.leader,
                                    .total_bytes = bytes > 0 ? (uint32_t)bytes : 0,
                                    .data = data};
    reply.answer_crc = crc32c(0, data, reply.total_bytes);
    return reply;
}

// The answer buffer is free for the next read, of whatever group.
static void release_answer(struct reactor *reactor)
{
    reactor->is_answering = reactor->answer_out.is_active = false;
    for (uint32_t slot = 0; slot < reactor->group_count && reactor->has_read_waiting_for_answer;
         slot++) {
        if (reactor->groups[slot].read_first != READ_NONE) {
            group_mark_dirty(&reactor->groups[slot]);
        }
    }
    reactor->has_read_waiting_for_answer = false;
}

// Sends more of the answer under way. It is given up when no part leaves for a while, or its client
// was forgotten: the client asks again.
bool reads_poll(struct reactor *reactor)
{
    struct answer_out *out = &reactor->answer_out;
    if (!out->is_active) {
        return false;
    }
    struct client *client = client_at(reactor, out->origin);
    bool is_sent = false;
    while (client != NULL && (out->reply.offset < out->reply.total_bytes || !is_sent)) {
        if (!send_part(reactor, client, out->group, &out->reply)) {
            break;
        }
        is_sent = true;
        out->progress_ns = reactor->now_ns;
    }
    if (client == NULL || out->reply.offset == out->reply.total_bytes ||
        reactor->now_ns > out->progress_ns + ANSWER_PATIENCE_NS) {
        release_answer(reactor);
    }
    return true;
}

// An answer that fits a frame, or is for another thread.
static void answer(struct reactor *reactor, struct origin origin, struct group *group,
                   uint64_t request, enum wire_status status, const void *data, int32_t bytes)
{
    if ((origin.slot & ORIGIN_MAILBOX) != 0) {
        const struct reactor_reply reply = {
            .status = status, .answer = data, .answer_bytes = bytes};
        mailbox_done(reactor, origin, &reply);
        return;
    }
    struct client *client = client_at(reactor, origin);
    if (client != NULL) {
        struct wire_read_reply reply = make_reply(group, request, status, data, bytes);
        send_part(reactor, client, group, &reply);
    }
}

void on_read(struct group *group, const struct net_endpoint *remote, const struct wire_read *read)
{
    struct origin origin = client_origin(group->reactor, remote);
    enum wire_status status = read_request(group, origin, read);
    if (status != WIRE_DONE) {
        answer(group->reactor, origin, group, read->request, status, NULL, 0);
    }
}

void reads_granted(struct group *group, uint64_t upto, uint64_t index)
{
    struct reactor *reactor = group->reactor;
    for (uint32_t slot = group->read_first; slot != READ_NONE; slot = reactor->reads[slot].next) {
        if (reactor->reads[slot].number > upto) {
            break;
        }
        struct read_request *read = &reactor->reads[slot];
        if (!read->is_granted) {
            read->is_granted = true;
            read->index = read->needs < index ? read->needs : index;
        }
    }
}

// Leadership was lost: reads that were not granted may be asked of somebody else (a read changes
// nothing).
void reads_aborted(struct group *group, uint64_t upto)
{
    struct reactor *reactor = group->reactor;
    uint32_t *link = &group->read_first;
    uint32_t last = READ_NONE;
    while (*link != READ_NONE && reactor->reads[*link].number <= upto) {
        uint32_t slot = *link;
        struct read_request *read = &reactor->reads[slot];
        if (read->is_granted) {
            last = slot;
            link = &read->next;
            continue;
        }
        *link = read->next;
        answer(reactor, read->origin, group, read->request, WIRE_NOT_LEADER, NULL, 0);
        free_read(reactor, slot);
    }
    if (*link == READ_NONE) {
        group->read_last = last;
    }
}

// Serves what is granted and applied, one after the other. (A finished job calls this again: the
// guard keeps it a loop.)
void reads_serve(struct group *group)
{
    struct reactor *reactor = group->reactor;
    if (group->is_serving_reads) {
        return;
    }
    group->is_serving_reads = true;
    while (group->read_first != READ_NONE && !group->is_paused && !group->is_halted) {
        uint32_t slot = group->read_first;
        struct read_request *read = &reactor->reads[slot];
        if (!read->is_granted || read->index > group->applied) {
            break;
        }
        if (reactor->is_answering) {
            reactor->has_read_waiting_for_answer = true;
            break;
        }
        struct apply_job *job = apply_take_job(reactor, group, APPLY_READ);
        if (job == NULL) {
            group_mark_dirty(group);
            break;
        }
        group->read_first = read->next;
        reactor->is_answering = true;
        apply_start_read(reactor, job, slot);
    }
    group->is_serving_reads = false;
}

void read_answered(struct apply_job *job)
{
    struct group *group = job->group;
    struct reactor *reactor = group->reactor;
    const struct read_request *read = &reactor->reads[job->read_slot];
    if ((read->origin.slot & ORIGIN_MAILBOX) != 0) {
        answer(reactor, read->origin, group, read->request, WIRE_DONE, reactor->answer,
               job->answer_bytes);
        release_answer(reactor);
    } else {
        reactor->answer_out =
            (struct answer_out){.is_active = true,
                                .group = group,
                                .origin = read->origin,
                                .reply = make_reply(group, read->request, WIRE_DONE,
                                                    reactor->answer, job->answer_bytes),
                                .progress_ns = reactor->now_ns};
        reads_poll(reactor);
    }
    free_read(reactor, job->read_slot);
}

// The state can no longer be trusted: nobody who waits will be answered from it.
void reads_fail(struct group *group)
{
    struct reactor *reactor = group->reactor;
    while (group->read_first != READ_NONE) {
        uint32_t slot = group->read_first;
        const struct read_request *read = &reactor->reads[slot];
        group->read_first = read->next;
        answer(reactor, read->origin, group, read->request, WIRE_FAILED, NULL, 0);
        free_read(reactor, slot);
    }
    group->read_last = READ_NONE;
}
