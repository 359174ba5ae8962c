#include "tests/unit/wire/sample.h"

#include <string.h>

#define SAME(field)                                                                                \
    do {                                                                                           \
        if (got->field != want->field) {                                                           \
            return #field;                                                                         \
        }                                                                                          \
    } while (0)

#define SAME_BYTES(got_at, want_at, bytes)                                                         \
    do {                                                                                           \
        if ((bytes) > 0 && memcmp(got_at, want_at, bytes) != 0) {                                  \
            return #got_at;                                                                        \
        }                                                                                          \
    } while (0)

static const char *entries_difference(const struct raft_entry_head *got_heads,
                                      const uint8_t *const *got_payloads,
                                      const struct raft_entry_head *want_heads,
                                      const uint8_t *const *want_payloads, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct raft_entry_head *got = &got_heads[i];
        const struct raft_entry_head *want = &want_heads[i];
        SAME(client);
        SAME(sequence);
        SAME(bytes);
        SAME(crc);
        SAME(kind);
        SAME_BYTES(got_payloads[i], want_payloads[i], want->bytes);
    }
    return NULL;
}

static const char *append_difference(const struct raft_append *got, const struct raft_append *want)
{
    SAME(prev.term);
    SAME(prev.index);
    SAME(entries_term);
    SAME(count);
    SAME(commit);
    SAME(round);
    SAME(echo_ns);
    SAME(rejoin_boot);
    SAME(rejoin_index);
    SAME(has_sync);
    SAME(is_supply);
    SAME(sync_from);
    SAME(sync_end);
    if ((got->distances == NULL) != (want->distances == NULL)) {
        return "distances";
    }
    if (want->distances != NULL) {
        SAME_BYTES(got->distances, want->distances, want->count * sizeof(want->distances[0]));
    }
    return NULL;
}

static const char *report_difference(const struct raft_report *got, const struct raft_report *want)
{
    SAME(sync_term);
    SAME(sync_end);
    SAME(commit);
    SAME(floor);
    SAME(last);
    SAME(first);
    SAME_BYTES(got->present, want->present, sizeof(want->present)); // zeros behind the last
    return NULL;
}

static const char *fetch_difference(const struct raft_fetch *got, const struct raft_fetch *want)
{
    SAME(number);
    SAME(wanted.first);
    SAME(wanted.count);
    SAME_BYTES(got->wanted.bits, want->wanted.bits, sizeof(want->wanted.bits)); // zeros behind it
    return NULL;
}

static const char *append_reply_difference(const struct raft_append_reply *got,
                                           const struct raft_append_reply *want)
{
    SAME(result);
    SAME(match);
    SAME(held);
    SAME(conflict.term);
    SAME(conflict.index);
    SAME(round);
    SAME(echo_ns);
    SAME(gap_count);
    for (uint32_t i = 0; i < want->gap_count; i++) {
        SAME(gaps[i].first);
        SAME(gaps[i].last);
    }
    SAME(is_installed);
    SAME(acked_count);
    if (want->acked_count > 0) {
        SAME_BYTES(got->acked, want->acked, sizeof(want->acked)); // zeros behind the last
    }
    return NULL;
}

static const char *raft_difference(const struct wire_message *message,
                                   const struct wire_message *wanted)
{
    const struct raft_message *got = &message->raft;
    const struct raft_message *want = &wanted->raft;
    SAME(type);
    SAME(from);
    SAME(to);
    SAME(intact);
    SAME(has_room);
    SAME(is_parallel);
    SAME(boot);
    SAME(term);
    switch (want->type) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_VOTE:
        SAME(vote.last.term);
        SAME(vote.last.index);
        return NULL;
    case RAFT_MSG_VOTE_REPLY:
        SAME(vote_reply.granted);
        return want->is_parallel && want->vote_reply.granted
                   ? report_difference(&got->vote_reply.report, &want->vote_reply.report)
                   : NULL;
    case RAFT_MSG_PRE_VOTE_REPLY:
        SAME(vote_reply.granted);
        return NULL;
    case RAFT_MSG_FETCH:
        return fetch_difference(&got->fetch, &want->fetch);
    case RAFT_MSG_APPEND_REPLY:
        return append_reply_difference(&got->append_reply, &want->append_reply);
    case RAFT_MSG_APPEND:
        break;
    }
    const char *difference = append_difference(&got->append, &want->append);
    if (difference != NULL) {
        return difference;
    }
    return entries_difference(got->append.heads, message->payloads, want->append.heads,
                              wanted->payloads, want->append.count);
}

static const char *fragment_difference(const struct wire_fragment *got,
                                       const struct wire_fragment *want)
{
    SAME(head.client);
    SAME(head.sequence);
    SAME(head.bytes);
    SAME(head.crc);
    SAME(head.kind);
    SAME(offset);
    SAME(bytes);
    SAME_BYTES(got->data, want->data, want->bytes);
    return append_difference(&got->append, &want->append);
}

static const char *snapshot_difference(const struct wire_snapshot *got,
                                       const struct wire_snapshot *want)
{
    SAME(last.term);
    SAME(last.index);
    SAME(total_bytes);
    SAME(offset);
    SAME(bytes);
    SAME_BYTES(got->data, want->data, want->bytes);
    return NULL;
}

static const char *snapshot_reply_difference(const struct wire_snapshot_reply *got,
                                             const struct wire_snapshot_reply *want)
{
    SAME(last.term);
    SAME(last.index);
    SAME(received_bytes);
    SAME(installed);
    return NULL;
}

static const char *ranges_difference(const struct wire_ranges *got, const struct wire_ranges *want)
{
    SAME(count);
    SAME_BYTES(got->at, want->at, want->count * WIRE_RANGE_BYTES);
    return NULL;
}

static const char *propose_fragment_difference(const struct wire_fragment *got,
                                               const struct wire_fragment *want)
{
    const char *difference = ranges_difference(&got->ranges, &want->ranges);
    return difference != NULL ? difference : fragment_difference(got, want);
}

static const char *propose_difference(const struct wire_propose *got,
                                      const struct wire_propose *want)
{
    SAME(count);
    SAME(payload_bytes);
    if ((got->ranges == NULL) != (want->ranges == NULL)) {
        return "ranges";
    }
    for (uint32_t i = 0; want->ranges != NULL && i < want->count; i++) {
        const char *difference = ranges_difference(&got->ranges[i], &want->ranges[i]);
        if (difference != NULL) {
            return difference;
        }
    }
    return entries_difference(got->heads, got->payloads, want->heads, want->payloads, want->count);
}

static const char *propose_reply_difference(const struct wire_propose_reply *got,
                                            const struct wire_propose_reply *want)
{
    SAME(client);
    SAME(leader_hint);
    SAME(count);
    for (uint32_t i = 0; i < want->count; i++) {
        SAME(results[i].sequence);
        SAME(results[i].status);
        SAME(results[i].result);
    }
    return NULL;
}

static const char *register_reply_difference(const struct wire_register_reply *got,
                                             const struct wire_register_reply *want)
{
    SAME(nonce);
    SAME(session);
    SAME(window);
    SAME(leader_hint);
    SAME(status);
    return NULL;
}

static const char *read_difference(const struct wire_read *got, const struct wire_read *want)
{
    SAME(request);
    SAME(bytes);
    SAME_BYTES(got->query, want->query, want->bytes);
    return ranges_difference(&got->ranges, &want->ranges);
}

static const char *read_reply_difference(const struct wire_read_reply *got,
                                         const struct wire_read_reply *want)
{
    SAME(request);
    SAME(status);
    SAME(result);
    SAME(leader_hint);
    SAME(answer_crc);
    SAME(total_bytes);
    SAME(offset);
    SAME(bytes);
    SAME_BYTES(got->data, want->data, want->bytes);
    return NULL;
}

static const char *status_reply_difference(const struct wire_status_reply *got,
                                           const struct wire_status_reply *want)
{
    SAME(request);
    SAME(node);
    SAME(leader_hint);
    SAME(role);
    SAME(term);
    SAME(intact);
    SAME(has_digest);
    SAME(commit);
    SAME(applied);
    SAME(last);
    SAME(digest);
    return NULL;
}

const char *sample_difference(const struct wire_message *got, const struct wire_message *want)
{
    SAME(type);
    SAME(group);
    SAME(term);
    SAME(intact);
    SAME(has_room);
    SAME(is_parallel);
    SAME(payload_bytes);
    switch (want->type) {
    case WIRE_APPEND_FRAGMENT:
        return fragment_difference(&got->fragment, &want->fragment);
    case WIRE_PROPOSE_FRAGMENT:
        return propose_fragment_difference(&got->fragment, &want->fragment);
    case WIRE_SNAPSHOT:
        return snapshot_difference(&got->snapshot, &want->snapshot);
    case WIRE_SNAPSHOT_REPLY:
        return snapshot_reply_difference(&got->snapshot_reply, &want->snapshot_reply);
    case WIRE_PROPOSE:
        return propose_difference(&got->propose, &want->propose);
    case WIRE_PROPOSE_REPLY:
        return propose_reply_difference(&got->propose_reply, &want->propose_reply);
    case WIRE_REGISTER_REPLY:
        return register_reply_difference(&got->register_reply, &want->register_reply);
    case WIRE_READ:
        return read_difference(&got->read, &want->read);
    case WIRE_READ_REPLY:
        return read_reply_difference(&got->read_reply, &want->read_reply);
    case WIRE_STATUS:
        return got->status.request != want->status.request           ? "status.request"
               : got->status.want_digest != want->status.want_digest ? "status.want_digest"
                                                                     : NULL;
    case WIRE_STATUS_REPLY:
        return status_reply_difference(&got->status_reply, &want->status_reply);
    default:
        return raft_difference(got, want);
    }
}
