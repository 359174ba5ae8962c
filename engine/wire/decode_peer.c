// Bodies of the messages between replicas. The checks that involve a replica's state (is prev in my
// log, is the term mine) are the core's.
#include "engine/wire/decode.h"

#include <string.h>

// A place in a log whose owner is in `term`: {0, 0} or an entry.
static bool is_place(struct raft_entry_id id, uint64_t term)
{
    return (id.term == 0) == (id.index == 0) && id.term <= term && id.index <= RAFT_INDEX_MAX;
}

static bool is_entry(struct raft_entry_id id, uint64_t term)
{
    return id.index != 0 && is_place(id, term);
}

enum wire_refusal decode_vote(const struct wire_reader *reader, const uint8_t *at,
                              const struct layout_message *header, struct wire_message *out)
{
    struct layout_vote in;
    memcpy(&in, at, sizeof(in));
    out->raft.vote.last = in.last;
    if (!is_place(in.last, header->term)) {
        return WIRE_BAD_FIELD;
    }
    return decode_check_end(at, header, sizeof(in));
}

enum wire_refusal decode_vote_reply(const struct wire_reader *reader, const uint8_t *at,
                                    const struct layout_message *header, struct wire_message *out)
{
    struct layout_vote_reply in;
    memcpy(&in, at, sizeof(in));
    out->raft.vote_reply.granted = in.granted == 1;
    if (in.granted > 1 || !decode_is_zero(in.reserved, sizeof(in.reserved))) {
        return WIRE_BAD_FIELD;
    }
    return decode_check_end(at, header, sizeof(in));
}

// Where the entries of an append belong, and what else it tells.
static bool read_place(const struct layout_append_place *in, uint64_t term, uint32_t count,
                       struct raft_append *out)
{
    *out = (struct raft_append){
        .prev = in->prev,
        .entries_term = in->entries_term,
        .count = count,
        .commit = in->commit,
        .round = in->round,
        .echo_ns = in->echo_ns,
        .rejoin_boot = in->rejoin_boot,
        .rejoin_index = in->rejoin_index,
    };
    if (count == 0 ? in->entries_term != 0
                   : in->entries_term == 0 || in->entries_term < in->prev.term ||
                         in->entries_term > term) {
        return false;
    }
    return is_place(in->prev, term) && count <= RAFT_INDEX_MAX - in->prev.index &&
           in->commit <= RAFT_INDEX_MAX && in->rejoin_index <= RAFT_INDEX_MAX &&
           (in->rejoin_boot != 0 || in->rejoin_index == 0);
}

enum wire_refusal decode_append(const struct wire_reader *reader, const uint8_t *at,
                                const struct layout_message *header, struct wire_message *out)
{
    struct layout_append in;
    memcpy(&in, at, sizeof(in));
    if (!read_place(&in.place, header->term, in.count, &out->raft.append)) {
        return WIRE_BAD_FIELD;
    }
    out->raft.append.heads = reader->scratch->heads;
    out->payloads = reader->scratch->payloads;
    out->payload_bytes = in.payload_bytes;
    return decode_entries(reader, at, header, sizeof(in), in.count, in.payload_bytes);
}

enum wire_refusal decode_append_reply(const struct wire_reader *reader, const uint8_t *at,
                                      const struct layout_message *header, struct wire_message *out)
{
    struct layout_append_reply in;
    memcpy(&in, at, sizeof(in));
    if (in.result > RAFT_APPEND_REJECTED || in.gap_count > RAFT_GAPS_MAX ||
        !decode_is_zero(in.reserved, sizeof(in.reserved)) || in.match > RAFT_INDEX_MAX ||
        in.held > RAFT_INDEX_MAX) {
        return WIRE_BAD_FIELD;
    }
    struct raft_append_reply *reply = &out->raft.append_reply;
    reply->result = (enum raft_append_result)in.result;
    reply->match = in.match;
    reply->held = in.held;
    reply->conflict = in.conflict;
    reply->round = in.round;
    reply->echo_ns = in.echo_ns;
    reply->gap_count = in.gap_count;
    if (reply->result == RAFT_APPEND_OK
            ? in.conflict.term != 0 || in.conflict.index != 0
            : in.conflict.index == 0 || in.conflict.index > RAFT_INDEX_MAX ||
                  in.conflict.term > header->term) {
        return WIRE_BAD_FIELD;
    }
    uint32_t gaps_bytes = (uint32_t)(in.gap_count * sizeof(reply->gaps[0]));
    enum wire_refusal refusal = decode_check_end(at, header, sizeof(in) + gaps_bytes);
    if (refusal != WIRE_OK) {
        return refusal;
    }
    memcpy(reply->gaps, at + sizeof(in), gaps_bytes);
    memset(reply->gaps + in.gap_count, 0, sizeof(reply->gaps) - gaps_bytes);
    uint64_t before = 0;
    for (uint32_t i = 0; i < in.gap_count; i++) {
        struct raft_range gap = reply->gaps[i];
        if (gap.first <= before || gap.last < gap.first || gap.last > RAFT_INDEX_MAX) {
            return WIRE_BAD_FIELD;
        }
        before = gap.last;
    }
    return WIRE_OK;
}

enum wire_refusal decode_append_fragment(const struct wire_reader *reader, const uint8_t *at,
                                         const struct layout_message *header,
                                         struct wire_message *out)
{
    struct layout_append_fragment in;
    memcpy(&in, at, sizeof(in));
    struct wire_fragment *fragment = &out->fragment;
    wire_head_read(in.head, &fragment->head);
    fragment->offset = in.offset;
    fragment->bytes = in.bytes;
    fragment->data = at + sizeof(in);
    if (!read_place(&in.place, header->term, 1, &fragment->append) ||
        !wire_fragment_is_valid(fragment)) {
        return WIRE_BAD_FIELD;
    }
    reader->scratch->heads[0] = fragment->head;
    fragment->append.heads = reader->scratch->heads;
    return decode_check_end(at, header, sizeof(in) + (uint64_t)in.bytes);
}

enum wire_refusal decode_snapshot(const struct wire_reader *reader, const uint8_t *at,
                                  const struct layout_message *header, struct wire_message *out)
{
    struct layout_snapshot in;
    memcpy(&in, at, sizeof(in));
    out->snapshot = (struct wire_snapshot){
        .last = in.last,
        .total_bytes = in.total_bytes,
        .offset = in.offset,
        .bytes = in.bytes,
        .data = at + sizeof(in),
    };
    if (!is_entry(in.last, header->term) || in.total_bytes > RAFT_INDEX_MAX ||
        in.offset > in.total_bytes || in.bytes > in.total_bytes - in.offset || in.reserved != 0) {
        return WIRE_BAD_FIELD;
    }
    return decode_check_end(at, header, sizeof(in) + (uint64_t)in.bytes);
}

enum wire_refusal decode_snapshot_reply(const struct wire_reader *reader, const uint8_t *at,
                                        const struct layout_message *header,
                                        struct wire_message *out)
{
    struct layout_snapshot_reply in;
    memcpy(&in, at, sizeof(in));
    out->snapshot_reply = (struct wire_snapshot_reply){
        .last = in.last,
        .received_bytes = in.received_bytes,
        .installed = in.installed == 1,
    };
    if (!is_entry(in.last, header->term) || in.received_bytes > RAFT_INDEX_MAX ||
        in.installed > 1 || !decode_is_zero(in.reserved, sizeof(in.reserved))) {
        return WIRE_BAD_FIELD;
    }
    return decode_check_end(at, header, sizeof(in));
}
