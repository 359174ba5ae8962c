#include "tests/unit/core/replica.h"

#include "engine/wire/parallel.h"
#include "tests/harness/harness.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void replica_configure(struct replica *replica, uint32_t voters)
{
    *replica = (struct replica){.now_ns = 1};
    replica->config = (struct raft_config){.self = REPLICA_SELF,
                                           .voter_count = voters,
                                           .order = RAFT_ORDER_STRICT,
                                           .boot = 1,
                                           .intact = true,
                                           .election_timeout_min_ns = 10 * REPLICA_MS,
                                           .election_timeout_max_ns = 20 * REPLICA_MS,
                                           .heartbeat_ns = 2 * REPLICA_MS,
                                           .log_entries = 128,
                                           .window_entries = 64,
                                           .window_bytes = 1 << 20,
                                           .seed = 7};
    for (uint32_t slot = 0; slot < voters; slot++) {
        replica->config.voters[slot] = (uint16_t)(slot + 1);
    }
}

void replica_start(struct replica *replica)
{
    if (replica->memory == NULL) {
        size_t bytes = (raft_memory_bytes(&replica->config) + 63) & ~(size_t)63;
        replica->memory = aligned_alloc(64, bytes);
        CHECK(replica->memory != NULL);
    }
    replica->raft = raft_init(replica->memory, &replica->config, replica->now_ns);
    replica->pending_count = 0;
    replica->has_sync = false;
    replica->hard_state = replica->config.hard_state;
    raft_view(replica->raft, &replica->view);
}

void replica_open(struct replica *replica, uint32_t voters)
{
    replica_configure(replica, voters);
    replica_start(replica);
}

void replica_close(struct replica *replica)
{
    free(replica->memory);
}

static void place(struct replica *replica)
{
    for (uint64_t index = replica->accept.range.first; index <= replica->accept.range.last;
         index++) {
        const struct raft_entry *entry = raft_entry_to_place(replica->raft, index);
        if (entry != NULL) {
            CHECK(replica->pending_count < REPLICA_PENDING_MAX);
            replica->pending[replica->pending_count++] = (struct replica_write){
                .id = {.term = entry->term, .index = index}, .epoch = entry->epoch};
            raft_entry_placed(replica->raft, index, entry->head.sequence);
        }
    }
}

enum raft_outcome replica_step(struct replica *replica, const struct raft_input *input)
{
    replica->outcome = raft_step(replica->raft, replica->now_ns, input, &replica->accept);
    place(replica);
    raft_view(replica->raft, &replica->view);
    return replica->outcome;
}

bool replica_is_sound(const struct raft_message *message)
{
    switch (message->type) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_VOTE:
        return parallel_is_claim(message->vote.last, message->term);
    case RAFT_MSG_PRE_VOTE_REPLY:
        return true;
    case RAFT_MSG_VOTE_REPLY:
        return !message->vote_reply.granted ||
               (parallel_is_report(&message->vote_reply.report, message->term) &&
                parallel_is_present(&message->vote_reply.report));
    case RAFT_MSG_APPEND:
        return parallel_is_sync(&message->append, message->term) &&
               (raft_append_tells(&message->append) ? parallel_are_distances(&message->append)
                                                    : message->append.distances == NULL) &&
               (message->append.count == 0 ? !message->append.is_supply
                                           : message->append.entries_term == message->term);
    case RAFT_MSG_APPEND_REPLY:
        return parallel_is_reply(&message->append_reply) &&
               parallel_is_acked(&message->append_reply);
    case RAFT_MSG_FETCH:
        return parallel_is_fetch(&message->fetch) && parallel_is_wanted(&message->fetch.wanted);
    }
    return false;
}

void replica_collect(struct replica *replica)
{
    raft_collect(replica->raft, replica->now_ns, &replica->effects);
    raft_check_invariants(replica->raft);
    for (uint32_t at = 0; at < replica->effects.message_count; at++) {
        const struct raft_message *message = &replica->effects.messages[at];
        CHECK(!message->is_parallel || replica_is_sound(message));
    }
    raft_view(replica->raft, &replica->view);
    replica->has_sync |= replica->effects.sync_due;
    if (replica->effects.hard_state_due) {
        replica->hard_state = replica->effects.hard_state;
    }
}

enum raft_outcome replica_receive(struct replica *replica, const struct raft_message *message)
{
    struct raft_input input = {.kind = RAFT_IN_MESSAGE, .message = message};
    return replica_step(replica, &input);
}

enum raft_outcome replica_tick(struct replica *replica, uint64_t after_ns)
{
    replica->now_ns += after_ns;
    struct raft_input input = {.kind = RAFT_IN_TICK};
    return replica_step(replica, &input);
}

enum raft_outcome replica_propose(struct replica *replica, uint32_t count)
{
    static uint64_t sequence;
    struct raft_entry_head heads[64];
    CHECK(count <= 64);
    for (uint32_t at = 0; at < count; at++) {
        heads[at] = (struct raft_entry_head){
            .client = 1, .sequence = ++sequence, .bytes = 100, .kind = RAFT_ENTRY_COMMAND};
    }
    struct raft_input input = {.kind = RAFT_IN_PROPOSE,
                               .propose = {.heads = heads, .count = count}};
    return replica_step(replica, &input);
}

enum raft_outcome replica_read(struct replica *replica, uint32_t count)
{
    struct raft_input input = {.kind = RAFT_IN_READ, .read_count = count};
    return replica_step(replica, &input);
}

void replica_applied(struct replica *replica, uint64_t index)
{
    struct raft_input input = {.kind = RAFT_IN_APPLIED, .applied = index};
    replica_step(replica, &input);
}

void replica_sync_hard(struct replica *replica)
{
    struct raft_input input = {.kind = RAFT_IN_HARD_STATE, .hard_state = replica->hard_state};
    replica_step(replica, &input);
    replica_collect(replica);
}

void replica_synced(struct replica *replica, uint64_t first, uint64_t last, uint32_t epoch)
{
    struct raft_input input = {.kind = RAFT_IN_SYNCED,
                               .synced = {.range = {.first = first, .last = last}, .epoch = epoch}};
    replica_step(replica, &input);
    replica_collect(replica);
}

void replica_sync_log(struct replica *replica)
{
    for (uint32_t at = 0; at < replica->pending_count; at++) {
        struct replica_write write = replica->pending[at];
        struct raft_input input = {
            .kind = RAFT_IN_SYNCED,
            .synced = {.range = {.first = write.id.index, .last = write.id.index},
                       .epoch = write.epoch}};
        replica_step(replica, &input);
    }
    replica->pending_count = 0;
    replica_collect(replica);
    if (replica->has_sync) {
        struct raft_input input = {.kind = RAFT_IN_SYNC, .sync_term = replica->effects.sync.term};
        replica->has_sync = false;
        replica_step(replica, &input);
        replica_collect(replica);
    }
}

struct raft_message replica_message(enum raft_message_type type, uint16_t from, uint64_t term)
{
    return (struct raft_message){
        .type = type, .from = from, .to = REPLICA_SELF, .intact = true, .boot = 1, .term = term};
}

struct raft_message replica_vote(enum raft_message_type type, uint16_t from, uint64_t term,
                                 struct raft_entry_id last)
{
    struct raft_message message = replica_message(type, from, term);
    message.vote.last = last;
    return message;
}

struct raft_message replica_granted(enum raft_message_type type, uint16_t from, uint64_t term)
{
    struct raft_message message = replica_message(type, from, term);
    message.vote_reply.granted = true;
    return message;
}

struct raft_message replica_append(uint16_t from, uint64_t term, struct raft_entry_id prev,
                                   uint64_t entries_term, uint32_t count, uint64_t commit)
{
    static struct raft_entry_head heads[256];
    CHECK(count <= 256);
    for (uint32_t at = 0; at < count; at++) {
        heads[at] = (struct raft_entry_head){.client = 1,
                                             .sequence = entries_term * 1000 + prev.index + 1 + at,
                                             .bytes = 10,
                                             .kind = RAFT_ENTRY_COMMAND};
    }
    struct raft_message message = replica_message(RAFT_MSG_APPEND, from, term);
    message.append = (struct raft_append){.prev = prev,
                                          .entries_term = entries_term,
                                          .count = count,
                                          .commit = commit,
                                          .round = 1,
                                          .heads = heads};
    return message;
}

struct raft_message replica_ack(uint16_t from, uint64_t term, uint64_t match, uint64_t round)
{
    struct raft_message message = replica_message(RAFT_MSG_APPEND_REPLY, from, term);
    message.append_reply =
        (struct raft_append_reply){.match = match, .held = match, .round = round};
    return message;
}

struct raft_message replica_reject(uint16_t from, uint64_t term, struct raft_entry_id conflict)
{
    struct raft_message message = replica_message(RAFT_MSG_APPEND_REPLY, from, term);
    message.append_reply =
        (struct raft_append_reply){.result = RAFT_APPEND_REJECTED, .conflict = conflict};
    return message;
}

void replica_settle(struct replica *replica)
{
    replica_collect(replica);
    replica_sync_hard(replica);
    replica_sync_log(replica);
}

void replica_follow(struct replica *replica, uint64_t term, const uint64_t *terms, uint64_t commit)
{
    struct raft_entry_id prev = {0};
    for (; terms[prev.index] != 0;
         prev = (struct raft_entry_id){terms[prev.index], prev.index + 1}) {
        struct raft_message append = replica_append(2, term, prev, terms[prev.index], 1, 0);
        CHECK_EQUAL(replica_receive(replica, &append), RAFT_OK);
    }
    struct raft_message heartbeat = replica_append(2, term, prev, 0, 0, commit);
    CHECK_EQUAL(replica_receive(replica, &heartbeat), RAFT_OK);
    replica_settle(replica);
    CHECK_EQUAL(replica->view.synced, prev.index);
    CHECK_EQUAL(replica->view.commit, commit);
}

void replica_stand(struct replica *replica)
{
    do { // a leader steps down first
        replica_tick(replica, replica->config.election_timeout_max_ns + 1);
        replica_collect(replica);
    } while (replica->view.role == RAFT_FOLLOWER);
    uint64_t term = replica->view.term + 1;
    for (uint16_t from = 2; replica->view.role == RAFT_PRE_CANDIDATE; from++) {
        struct raft_message granted = replica_granted(RAFT_MSG_PRE_VOTE_REPLY, from, term);
        replica_receive(replica, &granted);
    }
    CHECK_EQUAL(replica->view.role, RAFT_CANDIDATE);
    replica_collect(replica);
}

void replica_lead(struct replica *replica)
{
    replica_stand(replica);
    replica_sync_hard(replica);
    for (uint16_t from = 2; replica->view.role == RAFT_CANDIDATE; from++) {
        struct raft_message granted =
            replica_granted(RAFT_MSG_VOTE_REPLY, from, replica->view.term);
        replica_receive(replica, &granted);
    }
    CHECK_EQUAL(replica->view.role, RAFT_LEADER);
    replica_collect(replica);
    replica_sync_log(replica);
}

const struct raft_message *replica_sent(const struct replica *replica, enum raft_message_type type,
                                        uint16_t to)
{
    for (uint32_t at = 0; at < replica->effects.message_count; at++) {
        const struct raft_message *message = &replica->effects.messages[at];
        if (message->type == type && message->to == to) {
            return message;
        }
    }
    return NULL;
}

struct raft_range replica_range(const struct replica *replica, uint16_t to)
{
    for (uint32_t at = 0; at < replica->effects.send_count; at++) {
        if (replica->effects.sends[at].to == to) {
            return replica->effects.sends[at].range;
        }
    }
    return (struct raft_range){.first = 1, .last = 0};
}

const char *replica_log(const struct replica *replica)
{
    static char text[1024];
    size_t used = 0;
    text[0] = '\0';
    for (uint64_t index = replica->view.base + 1; index <= replica->view.last; index++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%" PRIu64,
                                 used == 0 ? "" : " ", raft_entry_at(replica->raft, index)->term);
        CHECK(used < sizeof(text));
    }
    return text;
}
