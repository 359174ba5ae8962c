// Frames that arrived: decoded once, here, and handed on by type. Whatever is malformed is dropped
// and counted; so is a message with a damaged payload, without an answer: it may have been damaged
// on its way, and whoever sent it sends it again.
#include "engine/reactor/internal.h"

#include "engine/base/mark.h"

static void count_refusal(struct reactor *reactor, enum wire_refusal refusal)
{
    reactor->counters.refused[refusal]++;
}

// The one time that this node reads payloads on their way in (those of entries in fragments:
// assembly.c).
static bool are_sound(struct reactor *reactor, const struct raft_entry_head *heads,
                      const uint8_t *const *payloads, uint32_t count)
{
    if (wire_check_entries(heads, payloads, count)) {
        return true;
    }
    count_refusal(reactor, WIRE_BAD_ENTRY);
    return false;
}

// Whoever waits for our entries is told before a new leader's entries take their places.
static void leave_leadership(struct group *group, uint64_t term)
{
    struct raft_view view;
    raft_view(group->raft, &view);
    if (term > view.term || view.role != RAFT_LEADER) {
        group_leadership_lost(group);
    }
}

// A sign of life: what an append says beside its entries. A supply is no leader's.
static void on_heartbeat(struct group *group, const struct raft_message *append)
{
    if (append->append.is_supply) {
        return;
    }
    struct raft_message empty = *append;
    empty.append.heads = NULL;
    empty.append.distances = NULL;
    empty.append.count = 0;
    empty.append.entries_term = 0;
    const struct raft_input input = {.kind = RAFT_IN_MESSAGE, .message = &empty};
    group_step(group, &input, NULL, 0);
}

// Room in the log for the entries of an append. Two kinds may use the reserve: what takes the place
// of others, or a log that is full of entries nobody will ever commit could not get rid of them;
// and the no-op of a leader, or one that is full of entries that wait for it could not commit them.
// What the no-ops of our own groups need is left.
static bool has_room(const struct group *group, const struct raft_append *append,
                     uint32_t payload_bytes)
{
    const struct reactor *reactor = group->reactor;
    if (group_log_has_room(group, append->count, payload_bytes)) {
        return true;
    }
    const struct raft_entry *old = raft_entry_at(group->raft, append->prev.index + 1);
    bool is_replacing = old != NULL && old->term != append->entries_term;
    bool is_no_op = append->count == 1 && append->heads[0].kind == RAFT_ENTRY_NOOP;
    return (is_replacing || is_no_op) &&
           wal_has_room(reactor->wal, append->count + 1 + reactor->group_count, payload_bytes);
}

// An append needs room in the log before the core sees it; without it the entries count as lost,
// and the leader will be asked again.
static void on_raft(struct group *group, const struct raft_message *message,
                    const uint8_t *const *payloads, uint32_t payload_bytes)
{
    struct reactor *reactor = group->reactor;
    uint64_t first = 0;
    if (message->type == RAFT_MSG_APPEND && group->role == RAFT_LEADER) {
        leave_leadership(group, message->term);
    }
    if (message->type == RAFT_MSG_APPEND && message->append.count > 0) {
        if (!group_takes_sizes(group, message->append.heads, message->append.count)) {
            count_refusal(reactor, WIRE_BAD_FIELD);
            return;
        }
        if (!has_room(group, &message->append, payload_bytes)) {
            MARK(append_dropped_for_a_full_log);
            reactor->counters.appends_dropped_log_full++;
            on_heartbeat(group, message);
            return;
        }
        first = message->append.prev.index + 1;
        reactor->counters.entries_in += message->append.count;
    }
    const struct raft_input input = {.kind = RAFT_IN_MESSAGE, .message = message};
    group_step(group, &input, payloads, first);
}

// A fragment of an entry larger than a frame. The last one completes an append (or proposal) of one
// entry.
static void on_fragment(struct group *group, const struct wire_reader *reader,
                        const struct net_frame *frame, const struct wire_message *message)
{
    struct reactor *reactor = group->reactor;
    const struct wire_fragment *fragment = &message->fragment;
    bool is_append = message->type == WIRE_APPEND_FRAGMENT;
    const struct assembly_key key = {
        .a = is_append ? fragment->append.entries_term : fragment->head.client,
        .b = is_append ? fragment->append.prev.index + 1 : fragment->head.sequence,
        .source = reader->envelope.source,
        .group = message->group};
    struct raft_message append = {.type = RAFT_MSG_APPEND,
                                  .from = reader->envelope.source,
                                  .to = reader->envelope.destination,
                                  .intact = message->intact,
                                  .has_room = message->has_room,
                                  .is_parallel = message->is_parallel,
                                  .boot = reader->envelope.boot,
                                  .term = message->term,
                                  .append = fragment->append};
    if (is_append && fragment->offset == 0) {
        on_heartbeat(group, &append); // a large entry on a slow link must not look like silence
    }
    if (!is_append && !expects_fragment(group, &frame->remote, fragment)) {
        return;
    }
    const uint8_t *payload = assembly_add(reactor->assembly, &key, fragment);
    if (payload == NULL) {
        return;
    }
    if (is_append) {
        append.append.heads = &fragment->head;
        append.append.count = 1;
        on_raft(group, &append, &payload, fragment->head.bytes);
    } else {
        const struct wire_propose propose = {
            .count = 1,
            .heads = &fragment->head,
            .payloads = &payload,
            .payload_bytes = fragment->head.bytes,
            .ranges = fragment->ranges.count > 0 ? &fragment->ranges : NULL};
        on_propose(group, &frame->remote, &propose);
    }
    assembly_done(reactor->assembly, &key);
}

// Nodes whose settings give a group different orders do not understand each other's votes and
// entries.
static bool is_of_other_order(const struct reactor *reactor, const struct wire_message *message)
{
    bool is_ours_parallel = reactor->config.order == RAFT_ORDER_PARALLEL;
    return message->type <= WIRE_APPEND_FRAGMENT && message->is_parallel != is_ours_parallel;
}

static void on_message(struct reactor *reactor, const struct wire_reader *reader,
                       const struct net_frame *frame, const struct wire_message *message)
{
    struct group *group = reactor_group(reactor, message->group);
    if (group == NULL || is_of_other_order(reactor, message)) {
        count_refusal(reactor, WIRE_BAD_FIELD);
        return;
    }
    reactor->counters.messages_in++;
    const struct raft_append *append = &message->raft.append;
    const struct wire_propose *propose = &message->propose;
    switch (message->type) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_PRE_VOTE_REPLY:
    case RAFT_MSG_VOTE:
    case RAFT_MSG_VOTE_REPLY:
    case RAFT_MSG_APPEND_REPLY:
    case RAFT_MSG_FETCH:
        on_raft(group, &message->raft, NULL, 0);
        break;
    case RAFT_MSG_APPEND:
        if (are_sound(reactor, append->heads, message->payloads, append->count)) {
            on_raft(group, &message->raft, message->payloads, message->payload_bytes);
        }
        break;
    case WIRE_APPEND_FRAGMENT:
    case WIRE_PROPOSE_FRAGMENT:
        on_fragment(group, reader, frame, message);
        break;
    case WIRE_SNAPSHOT:
        on_snapshot(group, reader->envelope.source, message->term, &message->snapshot);
        break;
    case WIRE_SNAPSHOT_REPLY:
        on_snapshot_reply(group, reader->envelope.source, message->term, &message->snapshot_reply);
        break;
    case WIRE_PROPOSE:
        if (are_sound(reactor, propose->heads, propose->payloads, propose->count)) {
            on_propose(group, &frame->remote, propose);
        }
        break;
    case WIRE_READ:
        on_read(group, &frame->remote, &message->read);
        break;
    case WIRE_STATUS:
        on_status(group, &frame->remote, &message->status);
        break;
    default:
        count_refusal(reactor, WIRE_BAD_TYPE);
        break;
    }
}

static void on_frame(struct reactor *reactor, const struct net_frame *frame)
{
    struct wire_reader reader;
    enum wire_refusal refusal =
        wire_open(&reader, &reactor->filter, frame->data, frame->bytes, &reactor->scratch);
    struct wire_message message;
    while (refusal == WIRE_OK) {
        refusal = wire_next(&reader, &reactor->filter, &message);
        if (refusal == WIRE_OK) {
            on_message(reactor, &reader, frame, &message);
        }
    }
    if (refusal != WIRE_END) {
        count_refusal(reactor, refusal);
    }
}

bool inbound_poll(struct reactor *reactor)
{
    struct net *net = reactor->config.net;
    uint32_t count = net->ops->receive(net, reactor->rx, RX_BURST);
    for (uint32_t at = 0; at < count; at++) {
        on_frame(reactor, &reactor->rx[at]);
    }
    if (count > 0) {
        net->ops->release(net, reactor->rx, count);
    }
    return count > 0;
}
