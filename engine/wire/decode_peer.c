// Bodies of the messages between replicas (parallel.c: what is in range in those of parallel
// groups). The checks that involve a replica's state (is prev in my log, is the term mine) are the
// core's.
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
    bool is_parallel = (header->flags & LAYOUT_FLAG_PARALLEL) != 0;
    if (is_parallel ? !parallel_is_claim(in.last, header->term)
                    : !is_place(in.last, header->term)) {
        return WIRE_BAD_FIELD;
    }
    return decode_check_end(at, header, sizeof(in));
}

// What a voter of a parallel group holds, behind its vote.
static enum wire_refusal read_report(const uint8_t *at, const struct layout_message *header,
                                     struct raft_report *report)
{
    const uint32_t words_at = sizeof(struct layout_vote_reply) + PARALLEL_REPORT_BYTES;
    if (header->bytes < words_at) {
        return WIRE_BAD_FIELD;
    }
    memcpy(report, at + sizeof(struct layout_vote_reply), PARALLEL_REPORT_BYTES);
    if (!parallel_is_report(report, header->term)) {
        return WIRE_BAD_FIELD;
    }
    uint32_t words_bytes = 8 * parallel_words(parallel_report_bits(report));
    enum wire_refusal refusal = decode_check_end(at, header, words_at + words_bytes);
    if (refusal != WIRE_OK) {
        return refusal;
    }
    memset(report->present, 0, sizeof(report->present));
    memcpy(report->present, at + words_at, words_bytes);
    return parallel_is_present(report) ? WIRE_OK : WIRE_BAD_FIELD;
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
    bool is_parallel = (header->flags & LAYOUT_FLAG_PARALLEL) != 0;
    if (is_parallel && header->type == RAFT_MSG_VOTE_REPLY && in.granted == 1) {
        return read_report(at, header, &out->raft.vote_reply.report);
    }
    return decode_check_end(at, header, sizeof(in));
}

// Whether an append of a strict group has terms that fit: of the entry before, and of its own.
static bool are_terms(const struct layout_append_place *in, const struct layout_message *header,
                      uint32_t count)
{
    if ((header->flags & (LAYOUT_FLAG_SYNC | LAYOUT_FLAG_SUPPLY | LAYOUT_FLAG_DEPENDS)) != 0) {
        return false;
    }
    if (count == 0 ? in->entries_term != 0
                   : in->entries_term == 0 || in->entries_term < in->prev.term ||
                         in->entries_term > header->term) {
        return false;
    }
    return is_place(in->prev, header->term);
}

// What an append of a parallel group says in the places of the terms: its log has holes, so there
// is no entry before to compare, and whatever it carries has the stamp of its own term.
static bool read_sync(const struct layout_append_place *in, const struct layout_message *header,
                      struct raft_append *out)
{
    out->prev.term = 0;
    out->entries_term = out->count > 0 ? header->term : 0;
    out->has_sync = (header->flags & LAYOUT_FLAG_SYNC) != 0;
    out->is_supply = (header->flags & LAYOUT_FLAG_SUPPLY) != 0;
    out->sync_from = in->prev.term;
    out->sync_end = in->entries_term;
    return parallel_is_sync(out, header->term) && (out->count > 0 || !out->is_supply) &&
           raft_append_tells(out) == ((header->flags & LAYOUT_FLAG_DEPENDS) != 0);
}

// What the entries of an append depend on, if it tells.
static bool read_distances(const struct wire_reader *reader, const uint8_t *at,
                           struct raft_append *append)
{
    if (!raft_append_tells(append)) {
        return true;
    }
    uint16_t *distances = reader->scratch->distances;
    memcpy(distances, at, append->count * WIRE_DISTANCE_BYTES);
    append->distances = distances;
    return parallel_are_distances(append);
}

// Where the entries of an append belong, and what else it tells.
static bool read_place(const struct layout_append_place *in, const struct layout_message *header,
                       uint32_t count, struct raft_append *out)
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
    bool is_parallel = (header->flags & LAYOUT_FLAG_PARALLEL) != 0;
    if (is_parallel ? !read_sync(in, header, out) : !are_terms(in, header, count)) {
        return false;
    }
    return in->prev.index <= RAFT_INDEX_MAX && count <= RAFT_INDEX_MAX - in->prev.index &&
           in->commit <= RAFT_INDEX_MAX && in->rejoin_index <= RAFT_INDEX_MAX &&
           (in->rejoin_boot != 0 || in->rejoin_index == 0);
}

enum wire_refusal decode_append(const struct wire_reader *reader, const uint8_t *at,
                                const struct layout_message *header, struct wire_message *out)
{
    struct layout_append in;
    memcpy(&in, at, sizeof(in));
    if (!read_place(&in.place, header, in.count, &out->raft.append)) {
        return WIRE_BAD_FIELD;
    }
    out->raft.append.heads = reader->scratch->heads;
    out->payloads = reader->scratch->payloads;
    out->payload_bytes = in.payload_bytes;
    bool tells = raft_append_tells(&out->raft.append);
    uint32_t distances_bytes = tells ? in.count * WIRE_DISTANCE_BYTES : 0;
    enum wire_refusal refusal =
        decode_entries(reader, at, header, sizeof(in), in.count, distances_bytes, in.payload_bytes);
    if (refusal != WIRE_OK) {
        return refusal;
    }
    const uint8_t *distances = at + sizeof(in) + in.count * WIRE_HEAD_BYTES;
    return read_distances(reader, distances, &out->raft.append) ? WIRE_OK : WIRE_BAD_FIELD;
}

// Whether the fixed part of an answer is in range. What is said of parallel groups alone is in
// `reply`.
static bool is_answer(const struct layout_append_reply *in, const struct layout_message *header,
                      const struct raft_append_reply *reply)
{
    if (in->result > RAFT_APPEND_REJECTED || in->gap_count > RAFT_GAPS_MAX || in->reserved != 0 ||
        in->reserved_end != 0 || in->match > RAFT_INDEX_MAX || in->held > RAFT_INDEX_MAX) {
        return false;
    }
    bool is_parallel = (header->flags & LAYOUT_FLAG_PARALLEL) != 0;
    if (is_parallel ? in->is_installed > 1 || !parallel_is_reply(reply)
                    : in->is_installed != 0 || in->acked_count != 0) {
        return false;
    }
    return in->result == RAFT_APPEND_OK
               ? in->conflict.term == 0 && in->conflict.index == 0
               : in->conflict.index != 0 && in->conflict.index <= RAFT_INDEX_MAX &&
                     in->conflict.term <= header->term;
}

static bool read_gaps(const uint8_t *at, struct raft_append_reply *reply)
{
    uint32_t bytes = (uint32_t)(reply->gap_count * sizeof(reply->gaps[0]));
    memcpy(reply->gaps, at, bytes);
    memset(reply->gaps + reply->gap_count, 0, sizeof(reply->gaps) - bytes);
    uint64_t before = 0;
    for (uint32_t i = 0; i < reply->gap_count; i++) {
        struct raft_range gap = reply->gaps[i];
        if (gap.first <= before || gap.last < gap.first || gap.last > RAFT_INDEX_MAX) {
            return false;
        }
        before = gap.last;
    }
    return true;
}

static bool read_acked(const uint8_t *at, struct raft_append_reply *reply)
{
    if (reply->acked_count == 0) {
        return true;
    }
    memset(reply->acked, 0, sizeof(reply->acked));
    memcpy(reply->acked, at, 8 * parallel_words(reply->acked_count));
    return parallel_is_acked(reply);
}

enum wire_refusal decode_append_reply(const struct wire_reader *reader, const uint8_t *at,
                                      const struct layout_message *header, struct wire_message *out)
{
    struct layout_append_reply in;
    memcpy(&in, at, sizeof(in));
    struct raft_append_reply *reply = &out->raft.append_reply;
    reply->result = (enum raft_append_result)in.result;
    reply->match = in.match;
    reply->held = in.held;
    reply->conflict = in.conflict;
    reply->round = in.round;
    reply->echo_ns = in.echo_ns;
    reply->gap_count = in.gap_count;
    reply->is_installed = in.is_installed == 1;
    reply->acked_count = in.acked_count;
    if (!is_answer(&in, header, reply)) {
        return WIRE_BAD_FIELD;
    }
    const uint32_t gaps_at = sizeof(in);
    uint32_t acked_at = gaps_at + (uint32_t)(reply->gap_count * sizeof(reply->gaps[0]));
    uint32_t end = acked_at + 8 * parallel_words(reply->acked_count);
    enum wire_refusal refusal = decode_check_end(at, header, end);
    if (refusal != WIRE_OK) {
        return refusal;
    }
    bool is_sound = read_gaps(at + gaps_at, reply) && read_acked(at + acked_at, reply);
    return is_sound ? WIRE_OK : WIRE_BAD_FIELD;
}

enum wire_refusal decode_fetch(const struct wire_reader *reader, const uint8_t *at,
                               const struct layout_message *header, struct wire_message *out)
{
    struct layout_fetch in;
    memcpy(&in, at, sizeof(in));
    struct raft_fetch *fetch = &out->raft.fetch;
    *fetch =
        (struct raft_fetch){.number = in.number, .wanted = {.first = in.first, .count = in.count}};
    if ((header->flags & LAYOUT_FLAG_PARALLEL) == 0 || !parallel_is_fetch(fetch) ||
        !decode_is_zero(in.reserved, sizeof(in.reserved))) {
        return WIRE_BAD_FIELD;
    }
    uint32_t words_bytes = 8 * parallel_words(in.count);
    enum wire_refusal refusal = decode_check_end(at, header, sizeof(in) + words_bytes);
    if (refusal != WIRE_OK) {
        return refusal;
    }
    memcpy(fetch->wanted.bits, at + sizeof(in), words_bytes);
    return parallel_is_wanted(&fetch->wanted) ? WIRE_OK : WIRE_BAD_FIELD;
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
    if (!read_place(&in.place, header, 1, &fragment->append) || !wire_fragment_is_valid(fragment)) {
        return WIRE_BAD_FIELD;
    }
    reader->scratch->heads[0] = fragment->head;
    fragment->append.heads = reader->scratch->heads;
    uint32_t data_at = sizeof(in);
    data_at += raft_append_tells(&fragment->append) ? WIRE_DISTANCE_BYTES : 0;
    fragment->data = at + data_at;
    enum wire_refusal refusal = decode_check_end(at, header, data_at + (uint64_t)in.bytes);
    if (refusal != WIRE_OK) {
        return refusal;
    }
    return read_distances(reader, at + sizeof(in), &fragment->append) ? WIRE_OK : WIRE_BAD_FIELD;
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
