// Messages -> bytes. Every put either fits whole (wire_put_propose and the replies in parts: a
// prefix of it) or changes nothing.
//
// What goes out is canonical: reserved bytes, padding and fields that have no meaning in a message
// (the conflict of an OK reply, the digest nobody asked for) are zero, and decode.c refuses
// anything else.
#include "engine/wire/wire.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/wire/layout.h"
#include "engine/wire/ranges.h"

void wire_begin(struct wire_writer *writer, uint8_t *frame, uint32_t capacity,
                const struct wire_envelope *envelope)
{
    ASSERT_CMP(capacity, >=, WIRE_ENVELOPE_BYTES);
    struct layout_envelope out = {
        .magic = LAYOUT_MAGIC,
        .version = WIRE_VERSION,
        .class = envelope->class,
        .source = envelope->source,
        .destination = envelope->destination,
        .cluster = envelope->cluster,
        .boot = envelope->boot,
    };
    memcpy(frame, &out, sizeof(out));
    *writer = (struct wire_writer){
        .frame = frame,
        .bytes = sizeof(out),
        .capacity = capacity < WIRE_FRAME_BYTES_MAX ? capacity : WIRE_FRAME_BYTES_MAX,
    };
}

uint32_t wire_seal(struct wire_writer *writer)
{
    ASSERT_CMP(writer->entries_due, ==, 0);
    uint8_t *frame = writer->frame;
    memcpy(frame + offsetof(struct layout_envelope, frame_bytes), &writer->bytes, 4);
    memcpy(frame + offsetof(struct layout_envelope, messages), &writer->messages, 2);
    uint32_t crc = layout_checksum(frame, writer->bytes);
    memcpy(frame + offsetof(struct layout_envelope, crc), &crc, 4);
    return writer->bytes;
}

// Bytes a message may have: what is left, without a tail that no multiple of 8 reaches.
static uint32_t room(const struct wire_writer *writer)
{
    return (writer->capacity - writer->bytes) & ~UINT32_C(7);
}

// Takes the place of one message of `bytes` (padding not counted), its padding zeroed, `header`
// completed with the length. Result: where it begins, or NULL when it does not fit.
static uint8_t *reserve(struct wire_writer *writer, struct layout_message *header, uint64_t bytes)
{
    ASSERT_CMP(writer->entries_due, ==, 0);
    uint64_t padded = layout_round_up(bytes);
    if (padded > room(writer)) {
        return NULL;
    }
    uint8_t *at = writer->frame + writer->bytes;
    header->bytes = (uint32_t)padded;
    memset(at + padded - 8, 0, 8);
    writer->bytes += (uint32_t)padded;
    writer->messages++;
    return at;
}

// A message of fixed layout, then `tail_bytes` that the caller copied nowhere yet.
static bool put(struct wire_writer *writer, void *fixed, uint32_t fixed_bytes, const void *tail,
                uint32_t tail_bytes)
{
    uint8_t *at = reserve(writer, fixed, (uint64_t)fixed_bytes + tail_bytes);
    if (at == NULL) {
        return false;
    }
    memcpy(at, fixed, fixed_bytes);
    if (tail_bytes > 0) {
        memcpy(at + fixed_bytes, tail, tail_bytes);
    }
    return true;
}

static uint8_t peer_flags(const struct raft_message *message)
{
    uint32_t flags = message->intact ? LAYOUT_FLAG_INTACT : 0;
    flags |= message->has_room ? LAYOUT_FLAG_ROOM : 0;
    return (uint8_t)(flags | (message->is_parallel ? LAYOUT_FLAG_PARALLEL : 0));
}

static struct layout_message peer_header(uint8_t type, uint16_t group, uint64_t term, uint8_t flags)
{
    return (struct layout_message){
        .type = type,
        .flags = flags,
        .group = group,
        .term = term,
    };
}

static struct layout_message client_header(uint8_t type, uint16_t group)
{
    return (struct layout_message){.type = type, .group = group};
}

// --- between replicas

static struct layout_append_place append_place(const struct raft_append *append, bool has_entries)
{
    return (struct layout_append_place){
        .prev = append->prev,
        .entries_term = has_entries ? append->entries_term : 0,
        .commit = append->commit,
        .round = append->round,
        .echo_ns = append->echo_ns,
        .rejoin_boot = append->rejoin_boot,
        .rejoin_index = append->rejoin_boot == 0 ? 0 : append->rejoin_index,
    };
}

// What an append of a parallel group says in the place of terms, which follow from its own.
static void put_sync(struct layout_message *header, struct layout_append_place *place,
                     const struct raft_message *message, bool has_entries)
{
    const struct raft_append *append = &message->append;
    ASSERT(parallel_is_sync(append, message->term));
    ASSERT_CMP(append->prev.term, ==, 0);
    ASSERT(has_entries ? append->entries_term == message->term : !append->is_supply);
    uint32_t sync_flag = append->has_sync ? LAYOUT_FLAG_SYNC : 0;
    uint32_t supply_flag = append->is_supply ? LAYOUT_FLAG_SUPPLY : 0;
    uint32_t depends_flag = raft_append_tells(append) ? LAYOUT_FLAG_DEPENDS : 0;
    ASSERT_SLOW(depends_flag == 0 || parallel_are_distances(append));
    header->flags |= (uint8_t)(sync_flag | supply_flag | depends_flag);
    place->prev.term = append->sync_from;
    place->entries_term = append->sync_end;
}

static bool put_vote(struct wire_writer *writer, struct layout_message header,
                     const struct raft_message *message)
{
    struct layout_vote out = {.message = header, .last = message->vote.last};
    ASSERT(!message->is_parallel || parallel_is_claim(out.last, message->term));
    return put(writer, &out, sizeof(out), NULL, 0);
}

static bool put_vote_reply(struct wire_writer *writer, struct layout_message header,
                           const struct raft_message *message)
{
    const struct raft_vote_reply *reply = &message->vote_reply;
    struct layout_vote_reply out = {.message = header, .granted = reply->granted};
    uint32_t report_bytes = 0;
    if (message->type == RAFT_MSG_VOTE_REPLY && message->is_parallel && reply->granted) {
        ASSERT(parallel_is_report(&reply->report, message->term));
        ASSERT(parallel_is_present(&reply->report));
        report_bytes =
            PARALLEL_REPORT_BYTES + 8 * parallel_words(parallel_report_bits(&reply->report));
    }
    return put(writer, &out, sizeof(out), &reply->report, report_bytes);
}

static bool put_append_reply(struct wire_writer *writer, struct layout_message header,
                             const struct raft_message *message)
{
    const struct raft_append_reply *reply = &message->append_reply;
    ASSERT_CMP(reply->gap_count, <=, RAFT_GAPS_MAX);
    if (message->is_parallel) {
        ASSERT(parallel_is_reply(reply) && parallel_is_acked(reply));
    } else {
        ASSERT(!reply->is_installed && reply->acked_count == 0);
    }
    struct layout_append_reply out = {
        .message = header,
        .result = (uint8_t)reply->result,
        .gap_count = (uint8_t)reply->gap_count,
        .is_installed = reply->is_installed,
        .acked_count = (uint16_t)reply->acked_count,
        .match = reply->match,
        .held = reply->held,
        .round = reply->round,
        .echo_ns = reply->echo_ns,
    };
    if (reply->result == RAFT_APPEND_REJECTED) {
        out.conflict = reply->conflict;
    }
    uint32_t gaps_bytes = (uint32_t)(reply->gap_count * sizeof(reply->gaps[0]));
    uint32_t acked_bytes = 8 * parallel_words(reply->acked_count);
    uint8_t *at = reserve(writer, &out.message, sizeof(out) + gaps_bytes + acked_bytes);
    if (at == NULL) {
        return false;
    }
    memcpy(at, &out, sizeof(out));
    memcpy(at + sizeof(out), reply->gaps, gaps_bytes);
    memcpy(at + sizeof(out) + gaps_bytes, reply->acked, acked_bytes);
    return true;
}

static bool put_fetch(struct wire_writer *writer, struct layout_message header,
                      const struct raft_message *message)
{
    const struct raft_fetch *fetch = &message->fetch;
    ASSERT(message->is_parallel && parallel_is_fetch(fetch));
    ASSERT(parallel_is_wanted(&fetch->wanted));
    struct layout_fetch out = {.message = header,
                               .number = fetch->number,
                               .first = fetch->wanted.first,
                               .count = (uint16_t)fetch->wanted.count};
    return put(writer, &out, sizeof(out), fetch->wanted.bits,
               8 * parallel_words(fetch->wanted.count));
}

bool wire_put_raft(struct wire_writer *writer, uint16_t group, const struct raft_message *message)
{
    struct layout_message header =
        peer_header((uint8_t)message->type, group, message->term, peer_flags(message));
    switch (message->type) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_VOTE:
        return put_vote(writer, header, message);
    case RAFT_MSG_PRE_VOTE_REPLY:
    case RAFT_MSG_VOTE_REPLY:
        return put_vote_reply(writer, header, message);
    case RAFT_MSG_APPEND: {
        struct wire_append_writer append;
        ASSERT_CMP(message->append.count, ==, 0);
        return wire_append_open(&append, writer, group, message, 0, 0);
    }
    case RAFT_MSG_FETCH:
        return put_fetch(writer, header, message);
    case RAFT_MSG_APPEND_REPLY:
        break;
    }
    ASSERT_CMP(message->type, ==, RAFT_MSG_APPEND_REPLY);
    return put_append_reply(writer, header, message);
}

uint32_t wire_append_fit(const struct wire_writer *writer, const uint32_t *entry_bytes,
                         uint32_t count)
{
    uint32_t fit = 0;
    uint32_t payload_bytes = 0;
    while (fit < count && entry_bytes[fit] <= WIRE_FRAME_BYTES_MAX &&
           wire_append_takes(writer, fit + 1, payload_bytes + entry_bytes[fit])) {
        payload_bytes += entry_bytes[fit];
        fit++;
    }
    return fit;
}

bool wire_append_open(struct wire_append_writer *append, struct wire_writer *writer, uint16_t group,
                      const struct raft_message *message, uint32_t count, uint32_t payload_bytes)
{
    uint32_t told_bytes = raft_append_tells(&message->append) ? count * WIRE_DISTANCE_BYTES : 0;
    if (!wire_append_takes(writer, count, payload_bytes + told_bytes)) {
        return false;
    }
    struct layout_append out = {
        .message = peer_header(RAFT_MSG_APPEND, group, message->term, peer_flags(message)),
        .place = append_place(&message->append, count > 0),
        .count = count,
        .payload_bytes = payload_bytes,
    };
    if (message->is_parallel) {
        ASSERT_CMP(message->append.count, ==, count);
        put_sync(&out.message, &out.place, message, count > 0);
    } else {
        ASSERT(!message->append.has_sync && !message->append.is_supply);
    }
    uint32_t heads_bytes = count * WIRE_HEAD_BYTES;
    uint8_t *at =
        reserve(writer, &out.message, sizeof(out) + heads_bytes + told_bytes + payload_bytes);
    ASSERT(at != NULL);
    memcpy(at, &out, sizeof(out));
    if (told_bytes > 0) {
        memcpy(at + sizeof(out) + heads_bytes, message->append.distances, told_bytes);
    }
    writer->entries_due = count;
    append->writer = writer;
    append->head_at = at + sizeof(out);
    append->payload_at = append->head_at + heads_bytes + told_bytes;
    append->payload_end = append->payload_at + payload_bytes;
    return true;
}

void wire_append_put(struct wire_append_writer *append, const struct raft_entry_head *head,
                     const void *payload)
{
    ASSERT_CMP(append->writer->entries_due, >, 0);
    ASSERT_CMP(head->bytes, <=, (size_t)(append->payload_end - append->payload_at));
    wire_head_write(append->head_at, head);
    append->head_at += WIRE_HEAD_BYTES;
    if (head->bytes > 0) {
        memcpy(append->payload_at, payload, head->bytes);
        append->payload_at += head->bytes;
    }
    append->writer->entries_due--;
}

void wire_append_put_records(struct wire_append_writer *append, const uint8_t *records,
                             uint32_t count)
{
    uint8_t *head_at = append->head_at, *payload_at = append->payload_at;
    ASSERT_CMP(append->writer->entries_due, >=, count);
    append->writer->entries_due -= count;
    for (; count > 0; count--) {
        uint32_t bytes = raft_entry_head_bytes(records);
        ASSERT_CMP(bytes, <=, (size_t)(append->payload_end - payload_at));
        memcpy(head_at, records, WIRE_HEAD_BYTES);
        memcpy(payload_at, records + WIRE_HEAD_BYTES, bytes);
        head_at += WIRE_HEAD_BYTES;
        payload_at += bytes;
        records += WIRE_HEAD_BYTES + bytes;
    }
    append->head_at = head_at;
    append->payload_at = payload_at;
}

bool wire_put_append_fragment(struct wire_writer *writer, uint16_t group,
                              const struct raft_message *message,
                              const struct wire_fragment *fragment)
{
    struct layout_append_fragment out = {
        .message = peer_header(WIRE_APPEND_FRAGMENT, group, message->term, peer_flags(message)),
        .place = append_place(&message->append, true),
        .offset = fragment->offset,
        .bytes = fragment->bytes,
    };
    if (message->is_parallel) {
        put_sync(&out.message, &out.place, message, true);
    } else {
        ASSERT(!message->append.has_sync && !message->append.is_supply);
    }
    wire_head_write(out.head, &fragment->head);
    if (!raft_append_tells(&message->append)) {
        return put(writer, &out, sizeof(out), fragment->data, fragment->bytes);
    }
    uint32_t fixed_bytes = sizeof(out) + WIRE_DISTANCE_BYTES;
    uint8_t *at = reserve(writer, &out.message, (uint64_t)fixed_bytes + fragment->bytes);
    if (at == NULL) {
        return false;
    }
    memcpy(at, &out, sizeof(out));
    memcpy(at + sizeof(out), message->append.distances, WIRE_DISTANCE_BYTES);
    memcpy(at + fixed_bytes, fragment->data, fragment->bytes);
    return true;
}

bool wire_put_snapshot(struct wire_writer *writer, uint16_t group, uint64_t term,
                       const struct wire_snapshot *snapshot)
{
    struct layout_snapshot out = {
        .message = peer_header(WIRE_SNAPSHOT, group, term, 0),
        .last = snapshot->last,
        .total_bytes = snapshot->total_bytes,
        .offset = snapshot->offset,
        .bytes = snapshot->bytes,
    };
    return put(writer, &out, sizeof(out), snapshot->data, snapshot->bytes);
}

bool wire_put_snapshot_reply(struct wire_writer *writer, uint16_t group, uint64_t term,
                             const struct wire_snapshot_reply *reply)
{
    struct layout_snapshot_reply out = {
        .message = peer_header(WIRE_SNAPSHOT_REPLY, group, term, 0),
        .last = reply->last,
        .received_bytes = reply->received_bytes,
        .installed = reply->installed,
    };
    return put(writer, &out, sizeof(out), NULL, 0);
}

// --- clients

uint32_t wire_put_propose_ranges(struct wire_writer *writer, uint16_t group,
                                 const struct raft_entry_head *heads, const void *const *payloads,
                                 const struct wire_ranges *ranges, uint32_t count)
{
    uint32_t fit = 0;
    uint32_t payload_bytes = 0, range_count = 0;
    for (; fit < count && fit < WIRE_ENTRIES_MAX; fit++) {
        uint32_t with_ranges = range_count + (ranges == NULL ? 0 : ranges[fit].count);
        uint64_t with_payload = (uint64_t)payload_bytes + heads[fit].bytes;
        if (wire_propose_bytes(fit + 1, with_payload, with_ranges) > room(writer)) {
            break;
        }
        payload_bytes += heads[fit].bytes;
        range_count = with_ranges;
    }
    if (fit == 0) {
        return 0;
    }
    struct layout_propose out = {
        .message = client_header(WIRE_PROPOSE, group),
        .count = fit,
        .payload_bytes = payload_bytes,
    };
    out.message.flags = range_count > 0 ? LAYOUT_FLAG_RANGES : 0;
    uint8_t *at =
        reserve(writer, &out.message, wire_propose_bytes(fit, payload_bytes, range_count));
    ASSERT(at != NULL);
    memcpy(at, &out, sizeof(out));
    at += sizeof(out);
    uint8_t *payload_at = at + fit * WIRE_HEAD_BYTES;
    if (range_count > 0) {
        ranges_write(payload_at, ranges, fit);
        payload_at += wire_ranges_bytes(fit, range_count);
    }
    for (uint32_t i = 0; i < fit; i++) {
        wire_head_write(at + i * WIRE_HEAD_BYTES, &heads[i]);
        if (heads[i].bytes > 0) {
            memcpy(payload_at, payloads[i], heads[i].bytes);
            payload_at += heads[i].bytes;
        }
    }
    return fit;
}

uint32_t wire_put_propose(struct wire_writer *writer, uint16_t group,
                          const struct raft_entry_head *heads, const void *const *payloads,
                          uint32_t count)
{
    return wire_put_propose_ranges(writer, group, heads, payloads, NULL, count);
}

// A request of fixed layout, the ranges it declares, then `tail_bytes`.
static bool put_request(struct wire_writer *writer, void *fixed, uint32_t fixed_bytes,
                        const struct wire_ranges *ranges, const void *tail, uint32_t tail_bytes)
{
    struct layout_message *header = fixed;
    uint32_t ranges_bytes = wire_ranges_bytes(1, ranges->count);
    header->flags = ranges_bytes > 0 ? LAYOUT_FLAG_RANGES : 0;
    uint8_t *at = reserve(writer, header, (uint64_t)fixed_bytes + ranges_bytes + tail_bytes);
    if (at == NULL) {
        return false;
    }
    memcpy(at, fixed, fixed_bytes);
    if (ranges_bytes > 0) {
        ranges_write(at + fixed_bytes, ranges, 1);
    }
    if (tail_bytes > 0) {
        memcpy(at + fixed_bytes + ranges_bytes, tail, tail_bytes);
    }
    return true;
}

bool wire_put_propose_fragment(struct wire_writer *writer, uint16_t group,
                               const struct wire_fragment *fragment)
{
    struct layout_propose_fragment out = {
        .message = client_header(WIRE_PROPOSE_FRAGMENT, group),
        .offset = fragment->offset,
        .bytes = fragment->bytes,
    };
    wire_head_write(out.head, &fragment->head);
    return put_request(writer, &out, sizeof(out), &fragment->ranges, fragment->data,
                       fragment->bytes);
}

uint32_t wire_put_propose_reply(struct wire_writer *writer, uint16_t group, uint64_t client,
                                uint16_t leader_hint, const struct wire_result *results,
                                uint32_t count)
{
    struct layout_propose_reply out = {
        .message = client_header(WIRE_PROPOSE_REPLY, group),
        .client = client,
        .leader_hint = leader_hint,
    };
    if (room(writer) < sizeof(out)) {
        return 0;
    }
    uint32_t fit = (uint32_t)((room(writer) - sizeof(out)) / sizeof(results[0]));
    fit = fit < count ? fit : count;
    fit = fit < WIRE_RESULTS_MAX ? fit : WIRE_RESULTS_MAX;
    if (fit == 0) {
        return 0;
    }
    out.count = fit;
    put(writer, &out, sizeof(out), results, (uint32_t)(fit * sizeof(results[0])));
    return fit;
}

bool wire_put_register_reply(struct wire_writer *writer, uint16_t group,
                             const struct wire_register_reply *reply)
{
    struct layout_register_reply out = {
        .message = client_header(WIRE_REGISTER_REPLY, group),
        .nonce = reply->nonce,
        .session = reply->session,
        .window = reply->window,
        .leader_hint = reply->leader_hint,
        .status = reply->status,
    };
    return put(writer, &out, sizeof(out), NULL, 0);
}

bool wire_put_read(struct wire_writer *writer, uint16_t group, const struct wire_read *read)
{
    struct layout_read out = {
        .message = client_header(WIRE_READ, group),
        .request = read->request,
        .bytes = read->bytes,
    };
    return put_request(writer, &out, sizeof(out), &read->ranges, read->query, read->bytes);
}

int32_t wire_put_read_reply(struct wire_writer *writer, uint16_t group,
                            const struct wire_read_reply *reply)
{
    ASSERT_CMP(reply->offset, <=, reply->total_bytes);
    struct layout_read_reply out = {
        .message = client_header(WIRE_READ_REPLY, group),
        .request = reply->request,
        .status = reply->status,
        .result = reply->result,
        .leader_hint = reply->leader_hint,
        .answer_crc = reply->answer_crc,
        .total_bytes = reply->total_bytes,
        .offset = reply->offset,
    };
    uint32_t left = reply->total_bytes - reply->offset;
    if (room(writer) < sizeof(out) + (left > 0)) {
        return -1;
    }
    uint32_t data_room = room(writer) - (uint32_t)sizeof(out);
    out.bytes = left < data_room ? left : data_room;
    put(writer, &out, sizeof(out), left > 0 ? reply->data + reply->offset : NULL, out.bytes);
    return (int32_t)out.bytes;
}

bool wire_put_status(struct wire_writer *writer, uint16_t group,
                     const struct wire_status_request *request)
{
    struct layout_status out = {
        .message = client_header(WIRE_STATUS, group),
        .request = request->request,
        .flags = request->want_digest ? LAYOUT_STATUS_DIGEST : 0,
    };
    return put(writer, &out, sizeof(out), NULL, 0);
}

bool wire_put_status_reply(struct wire_writer *writer, uint16_t group,
                           const struct wire_status_reply *reply)
{
    uint32_t digest_flag = reply->has_digest ? LAYOUT_STATUS_DIGEST : 0;
    uint32_t intact_flag = reply->intact ? LAYOUT_STATUS_INTACT : 0;
    struct layout_status_reply out = {
        .message = client_header(WIRE_STATUS_REPLY, group),
        .request = reply->request,
        .node = reply->node,
        .leader_hint = reply->leader_hint,
        .role = reply->role,
        .flags = (uint8_t)(digest_flag | intact_flag),
        .commit = reply->commit,
        .applied = reply->applied,
        .last = reply->last,
        .digest = reply->has_digest ? reply->digest : 0,
    };
    out.message.term = reply->term;
    return put(writer, &out, sizeof(out), NULL, 0);
}

// --- what fits an otherwise empty frame

// Bytes behind a message's fixed part, when the message has the frame to itself.
static uint32_t alone_in_frame(uint32_t frame_bytes, size_t fixed_bytes)
{
    uint32_t capacity = frame_bytes < WIRE_FRAME_BYTES_MAX ? frame_bytes : WIRE_FRAME_BYTES_MAX;
    if (capacity < WIRE_ENVELOPE_BYTES + fixed_bytes) {
        return 0;
    }
    uint32_t message_bytes = (capacity - WIRE_ENVELOPE_BYTES) & ~UINT32_C(7);
    return message_bytes - (uint32_t)fixed_bytes;
}

uint32_t wire_append_payload_max(uint32_t frame_bytes)
{
    return alone_in_frame(frame_bytes, sizeof(struct layout_append) + WIRE_HEAD_BYTES);
}

uint32_t wire_propose_payload_max(uint32_t frame_bytes)
{
    return alone_in_frame(frame_bytes, sizeof(struct layout_propose) + WIRE_HEAD_BYTES);
}

uint32_t wire_fragment_bytes(uint32_t frame_bytes)
{
    static_assert(sizeof(struct layout_append_fragment) >= sizeof(struct layout_propose_fragment),
                  "one size serves both");
    return alone_in_frame(frame_bytes, sizeof(struct layout_append_fragment));
}

uint32_t wire_propose_fragment_bytes(uint32_t frame_bytes, uint32_t ranges)
{
    static_assert(WIRE_ENVELOPE_BYTES + sizeof(struct layout_propose_fragment) + 8 +
                          WIRE_RANGES_MAX * WIRE_RANGE_BYTES + WIRE_FRAGMENT_BYTES_MIN <=
                      (WIRE_FRAME_BYTES_MIN & ~7),
                  "the smallest frame holds a fragment with all its ranges");
    uint32_t usual = wire_fragment_bytes(frame_bytes);
    uint32_t most = alone_in_frame(frame_bytes, sizeof(struct layout_propose_fragment) +
                                                    wire_ranges_bytes(1, ranges));
    return most < usual ? most : usual;
}

uint32_t wire_snapshot_bytes_max(uint32_t frame_bytes)
{
    return alone_in_frame(frame_bytes, sizeof(struct layout_snapshot));
}

uint32_t wire_read_bytes_max(uint32_t frame_bytes)
{
    static_assert(sizeof(struct layout_read) == sizeof(struct layout_read_reply), "serves both");
    return alone_in_frame(frame_bytes, sizeof(struct layout_read));
}
