// Bodies of the messages between clients and nodes.
#include "engine/wire/decode.h"

#include <string.h>

#include "engine/wire/ranges.h"

static bool is_registering(const struct raft_entry_head *heads)
{
    return heads[0].kind == RAFT_ENTRY_REGISTER;
}

// Answers name one client each: a frame of many would be answered by a longer one.
static bool is_of_one_client(const struct raft_entry_head *heads, uint32_t count)
{
    bool is_one = count == 1 || !is_registering(heads);
    for (uint32_t at = 1; at < count && is_one; at++) {
        is_one = heads[at].client == heads[0].client && heads[at].kind != RAFT_ENTRY_REGISTER;
    }
    return is_one;
}

static bool has_ranges(const struct layout_message *header)
{
    return (header->flags & LAYOUT_FLAG_RANGES) != 0;
}

// The ranges of a request that has them, of `count` entries, which begin at byte `from` of it.
// Result: their bytes, or 0: refused.
static uint32_t read_ranges(const uint8_t *at, const struct layout_message *header, uint64_t from,
                            struct wire_ranges *ranges, uint32_t count)
{
    return from > header->bytes ? 0 : ranges_read(at + from, header->bytes - from, ranges, count);
}

enum wire_refusal decode_propose(const struct wire_reader *reader, const uint8_t *at,
                                 const struct layout_message *header, struct wire_message *out)
{
    struct layout_propose in;
    struct wire_scratch *scratch = reader->scratch;
    uint32_t ranges_bytes = 0;
    memcpy(&in, at, sizeof(in));
    out->propose = (struct wire_propose){
        .count = in.count,
        .heads = scratch->heads,
        .payloads = scratch->payloads,
        .payload_bytes = in.payload_bytes,
        .ranges = has_ranges(header) ? scratch->ranges : NULL,
    };
    if (in.count == 0) {
        return WIRE_BAD_FIELD;
    }
    if (has_ranges(header)) {
        uint64_t heads_end = sizeof(in) + (uint64_t)in.count * WIRE_HEAD_BYTES;
        ranges_bytes = read_ranges(at, header, heads_end, scratch->ranges, in.count);
        if (ranges_bytes == 0) {
            return WIRE_BAD_FIELD;
        }
    }
    enum wire_refusal refusal =
        decode_entries(reader, at, header, sizeof(in), in.count, ranges_bytes, in.payload_bytes);
    if (refusal == WIRE_OK && (!is_of_one_client(scratch->heads, in.count) ||
                               (has_ranges(header) && is_registering(scratch->heads)))) {
        return WIRE_BAD_FIELD;
    }
    return refusal;
}

enum wire_refusal decode_propose_fragment(const struct wire_reader *reader, const uint8_t *at,
                                          const struct layout_message *header,
                                          struct wire_message *out)
{
    struct layout_propose_fragment in;
    uint32_t ranges_bytes = 0;
    memcpy(&in, at, sizeof(in));
    out->fragment = (struct wire_fragment){.offset = in.offset, .bytes = in.bytes};
    wire_head_read(in.head, &out->fragment.head);
    if (!wire_fragment_is_valid(&out->fragment)) {
        return WIRE_BAD_FIELD;
    }
    if (has_ranges(header)) {
        ranges_bytes = read_ranges(at, header, sizeof(in), &out->fragment.ranges, 1);
        if (ranges_bytes == 0) {
            return WIRE_BAD_FIELD;
        }
    }
    out->fragment.data = at + sizeof(in) + ranges_bytes;
    return decode_check_end(at, header, sizeof(in) + ranges_bytes + (uint64_t)in.bytes);
}

enum wire_refusal decode_propose_reply(const struct wire_reader *reader, const uint8_t *at,
                                       const struct layout_message *header,
                                       struct wire_message *out)
{
    struct layout_propose_reply in;
    memcpy(&in, at, sizeof(in));
    struct wire_result *results = reader->scratch->results;
    out->propose_reply = (struct wire_propose_reply){
        .client = in.client,
        .leader_hint = in.leader_hint,
        .count = in.count,
        .results = results,
    };
    if (in.count == 0 || in.count > WIRE_RESULTS_MAX || in.leader_hint > RAFT_NODE_ID_MAX ||
        in.reserved != 0) {
        return WIRE_BAD_FIELD;
    }
    uint32_t results_bytes = (uint32_t)(in.count * sizeof(results[0]));
    enum wire_refusal refusal = decode_check_end(at, header, sizeof(in) + results_bytes);
    if (refusal != WIRE_OK) {
        return refusal;
    }
    memcpy(results, at + sizeof(in), results_bytes);
    for (uint32_t i = 0; i < in.count; i++) {
        if (results[i].status > WIRE_FAILED) {
            return WIRE_BAD_FIELD;
        }
    }
    return WIRE_OK;
}

enum wire_refusal decode_register_reply(const struct wire_reader *reader, const uint8_t *at,
                                        const struct layout_message *header,
                                        struct wire_message *out)
{
    struct layout_register_reply in;
    memcpy(&in, at, sizeof(in));
    out->register_reply = (struct wire_register_reply){
        .nonce = in.nonce,
        .session = in.session,
        .window = in.window,
        .leader_hint = in.leader_hint,
        .status = in.status,
    };
    if (in.session > RAFT_INDEX_MAX || in.window > RAFT_INDEX_MAX ||
        in.leader_hint > RAFT_NODE_ID_MAX || in.reserved != 0 || in.status > WIRE_FAILED) {
        return WIRE_BAD_FIELD;
    }
    return decode_check_end(at, header, sizeof(in));
}

enum wire_refusal decode_read(const struct wire_reader *reader, const uint8_t *at,
                              const struct layout_message *header, struct wire_message *out)
{
    struct layout_read in;
    uint32_t ranges_bytes = 0;
    memcpy(&in, at, sizeof(in));
    out->read = (struct wire_read){.request = in.request, .bytes = in.bytes};
    if (!decode_is_zero(in.reserved, sizeof(in.reserved))) {
        return WIRE_BAD_FIELD;
    }
    if (has_ranges(header)) {
        ranges_bytes = read_ranges(at, header, sizeof(in), &out->read.ranges, 1);
        if (ranges_bytes == 0) {
            return WIRE_BAD_FIELD;
        }
    }
    out->read.query = at + sizeof(in) + ranges_bytes;
    return decode_check_end(at, header, sizeof(in) + ranges_bytes + (uint64_t)in.bytes);
}

enum wire_refusal decode_read_reply(const struct wire_reader *reader, const uint8_t *at,
                                    const struct layout_message *header, struct wire_message *out)
{
    struct layout_read_reply in;
    memcpy(&in, at, sizeof(in));
    out->read_reply = (struct wire_read_reply){
        .request = in.request,
        .status = in.status,
        .result = in.result,
        .leader_hint = in.leader_hint,
        .answer_crc = in.answer_crc,
        .total_bytes = in.total_bytes,
        .offset = in.offset,
        .bytes = in.bytes,
        .data = at + sizeof(in),
    };
    if (in.status > WIRE_FAILED || in.leader_hint > RAFT_NODE_ID_MAX || in.reserved != 0 ||
        in.reserved_end != 0 || in.total_bytes > INT32_MAX || in.offset > in.total_bytes ||
        in.bytes > in.total_bytes - in.offset) {
        return WIRE_BAD_FIELD;
    }
    return decode_check_end(at, header, sizeof(in) + (uint64_t)in.bytes);
}

enum wire_refusal decode_status(const struct wire_reader *reader, const uint8_t *at,
                                const struct layout_message *header, struct wire_message *out)
{
    struct layout_status in;
    memcpy(&in, at, sizeof(in));
    out->status = (struct wire_status_request){
        .request = in.request,
        .want_digest = in.flags == LAYOUT_STATUS_DIGEST,
    };
    if (in.flags > LAYOUT_STATUS_DIGEST || !decode_is_zero(in.reserved, sizeof(in.reserved))) {
        return WIRE_BAD_FIELD;
    }
    return decode_check_end(at, header, sizeof(in));
}

enum wire_refusal decode_status_reply(const struct wire_reader *reader, const uint8_t *at,
                                      const struct layout_message *header, struct wire_message *out)
{
    struct layout_status_reply in;
    memcpy(&in, at, sizeof(in));
    out->status_reply = (struct wire_status_reply){
        .request = in.request,
        .node = in.node,
        .leader_hint = in.leader_hint,
        .role = in.role,
        .term = header->term,
        .intact = (in.flags & LAYOUT_STATUS_INTACT) != 0,
        .has_digest = (in.flags & LAYOUT_STATUS_DIGEST) != 0,
        .commit = in.commit,
        .applied = in.applied,
        .last = in.last,
        .digest = in.digest,
    };
    if (in.node == 0 || in.node > RAFT_NODE_ID_MAX || in.leader_hint > RAFT_NODE_ID_MAX ||
        in.role > RAFT_LEADER || (in.flags & ~(LAYOUT_STATUS_DIGEST | LAYOUT_STATUS_INTACT)) != 0 ||
        in.reserved != 0 || in.commit > RAFT_INDEX_MAX || in.applied > RAFT_INDEX_MAX ||
        in.last > RAFT_INDEX_MAX || ((in.flags & LAYOUT_STATUS_DIGEST) == 0 && in.digest != 0)) {
        return WIRE_BAD_FIELD;
    }
    return decode_check_end(at, header, sizeof(in));
}
