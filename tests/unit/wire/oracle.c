#include "tests/unit/wire/oracle.h"

#include <string.h>

#include "engine/base/crc32c.h"
#include "tests/unit/wire/sample.h"

#define LIMIT (UINT64_C(1) << 62)

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            return #condition;                                                                     \
        }                                                                                          \
    } while (0)

// The bytes of the frame that messages may point to.
struct bounds {
    const uint8_t *from, *to;
};

static bool is_inside(const struct bounds *bounds, const uint8_t *data, uint64_t bytes)
{
    static volatile uint8_t sink;
    if (data < bounds->from || data > bounds->to || bytes > (uint64_t)(bounds->to - data)) {
        return false;
    }
    for (uint64_t i = 0; i < bytes; i++) {
        sink = (uint8_t)(sink + data[i]);
    }
    return true;
}

static const char *head_fault(const struct raft_entry_head *head, bool from_client)
{
    REQUIRE(head->bytes <= 1048576);
    REQUIRE(head->sequence < LIMIT);
    if (head->kind == RAFT_ENTRY_COMMAND) {
        REQUIRE(head->sequence > 0);
        REQUIRE(head->client < LIMIT);
        return NULL;
    }
    REQUIRE(head->bytes == 0);
    if (head->kind == RAFT_ENTRY_REGISTER) {
        return NULL;
    }
    REQUIRE(head->kind == RAFT_ENTRY_NOOP);
    REQUIRE(!from_client);
    REQUIRE(head->client == 0);
    return NULL;
}

static const char *entries_fault(const struct raft_entry_head *heads,
                                 const uint8_t *const *payloads, uint32_t count,
                                 uint32_t payload_bytes, bool from_client,
                                 const struct bounds *bounds)
{
    uint64_t sum = 0;
    REQUIRE(count <= WIRE_ENTRIES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const char *fault = head_fault(&heads[i], from_client);
        if (fault != NULL) {
            return fault;
        }
        REQUIRE(is_inside(bounds, payloads[i], heads[i].bytes));
        REQUIRE(i == 0 || payloads[i] == payloads[i - 1] + heads[i - 1].bytes);
        sum += heads[i].bytes;
    }
    REQUIRE(sum == payload_bytes);
    wire_check_entries(heads, payloads,
                       count); // reads them all; right or wrong is the caller's affair
    return NULL;
}

static const char *place_fault(struct raft_entry_id id, uint64_t term)
{
    REQUIRE(id.index < LIMIT);
    REQUIRE(id.term <= term);
    REQUIRE((id.term == 0 && id.index == 0) || (id.term > 0 && id.index > 0));
    return NULL;
}

static bool is_bit_set(const uint64_t *words, uint64_t bit)
{
    return bit < RAFT_WINDOW_MAX && (words[bit / 64] >> (bit % 64) & 1) != 0;
}

// Bits from `count` on are zero in all words there can be.
static const char *bits_fault(const uint64_t *words, uint64_t count)
{
    REQUIRE(count <= 2048);
    REQUIRE(count == 0 || is_bit_set(words, count - 1));
    for (uint64_t bit = count; bit < 2048; bit++) {
        REQUIRE(!is_bit_set(words, bit));
    }
    return NULL;
}

static const char *claim_fault(struct raft_entry_id claim, uint64_t term)
{
    REQUIRE(claim.term <= term);
    REQUIRE(claim.index < LIMIT);
    REQUIRE(claim.term > 0 || claim.index == 0);
    return NULL;
}

static const char *report_fault(const struct raft_report *report, uint64_t term)
{
    REQUIRE(report->sync_term <= term);
    REQUIRE(report->sync_term > 0 || report->floor == 0);
    REQUIRE(report->sync_end <= report->floor);
    REQUIRE(report->floor <= report->last);
    REQUIRE(report->last < LIMIT);
    REQUIRE(report->commit < LIMIT);
    REQUIRE(report->floor < report->first);
    REQUIRE(report->first <= report->last + 1);
    REQUIRE(report->last == report->floor ||
            is_bit_set(report->present, report->last - report->first));
    REQUIRE(report->first > report->floor + 1 || !is_bit_set(report->present, 0));
    return bits_fault(report->present, report->last + 1 - report->first);
}

static const char *sync_fault(const struct raft_append *append, uint64_t term)
{
    REQUIRE(append->prev.term == 0);
    REQUIRE(append->prev.index < LIMIT);
    REQUIRE(append->entries_term == (append->count > 0 ? term : 0));
    REQUIRE(!append->has_sync || !append->is_supply);
    REQUIRE(append->has_sync || append->sync_from == 0);
    REQUIRE(append->has_sync || append->is_supply || append->sync_end == 0);
    REQUIRE(!append->is_supply || append->sync_end >= append->prev.index + append->count);
    REQUIRE(append->sync_from < term);
    REQUIRE(append->sync_end < LIMIT);
    REQUIRE(append->count > 0 || !append->is_supply);
    bool tells = append->has_sync && append->count > 0 && append->prev.index + 1 > append->sync_end;
    REQUIRE(tells == (append->distances != NULL));
    for (uint32_t i = 0; tells && i < append->count; i++) {
        uint64_t index = append->prev.index + 1 + i;
        REQUIRE(append->distances[i] > 0);
        REQUIRE(append->distances[i] <= 2048);
        REQUIRE(append->distances[i] <= index - append->sync_end);
    }
    return NULL;
}

static const char *fetch_fault(const struct raft_message *message)
{
    const struct raft_fetch *fetch = &message->fetch;
    REQUIRE(message->is_parallel);
    REQUIRE(fetch->wanted.first > 0);
    REQUIRE(fetch->wanted.first < LIMIT);
    REQUIRE(fetch->wanted.count >= 1);
    REQUIRE(fetch->wanted.first + fetch->wanted.count <= LIMIT);
    REQUIRE(is_bit_set(fetch->wanted.bits, 0));
    return bits_fault(fetch->wanted.bits, fetch->wanted.count);
}

static const char *append_fault(const struct raft_append *append, uint64_t term, bool is_parallel)
{
    const char *fault = is_parallel ? sync_fault(append, term) : place_fault(append->prev, term);
    if (fault != NULL) {
        return fault;
    }
    REQUIRE(append->prev.index + append->count < LIMIT);
    REQUIRE(append->commit < LIMIT);
    REQUIRE(append->rejoin_index < LIMIT);
    REQUIRE(append->rejoin_boot > 0 || append->rejoin_index == 0);
    if (is_parallel) {
        return NULL;
    }
    REQUIRE(!append->has_sync && !append->is_supply);
    REQUIRE(append->sync_from == 0 && append->sync_end == 0);
    REQUIRE(append->distances == NULL);
    if (append->count == 0) {
        REQUIRE(append->entries_term == 0);
        return NULL;
    }
    REQUIRE(append->entries_term > 0);
    REQUIRE(append->entries_term <= term);
    REQUIRE(append->entries_term >= append->prev.term);
    return NULL;
}

static const char *acked_fault(const struct raft_message *message)
{
    const struct raft_append_reply *reply = &message->append_reply;
    if (!message->is_parallel) {
        REQUIRE(!reply->is_installed && reply->acked_count == 0);
        return NULL;
    }
    REQUIRE(reply->result == RAFT_APPEND_OK);
    REQUIRE(reply->match <= reply->held);
    REQUIRE(reply->match + reply->acked_count < LIMIT);
    REQUIRE(reply->acked_count == 0 || !reply->is_installed || !is_bit_set(reply->acked, 0));
    return reply->acked_count == 0 ? NULL : bits_fault(reply->acked, reply->acked_count);
}

static const char *append_reply_fault(const struct raft_append_reply *reply, uint64_t term)
{
    REQUIRE(reply->result == RAFT_APPEND_OK || reply->result == RAFT_APPEND_REJECTED);
    REQUIRE(reply->match < LIMIT);
    REQUIRE(reply->held < LIMIT);
    REQUIRE(reply->conflict.index < LIMIT);
    REQUIRE(reply->conflict.term <= term);
    REQUIRE((reply->conflict.index > 0) == (reply->result == RAFT_APPEND_REJECTED));
    REQUIRE(reply->conflict.term == 0 || reply->conflict.index > 0);
    REQUIRE(reply->gap_count <= RAFT_GAPS_MAX);
    for (uint32_t i = 0; i < reply->gap_count; i++) {
        REQUIRE(reply->gaps[i].first > 0);
        REQUIRE(reply->gaps[i].last >= reply->gaps[i].first);
        REQUIRE(reply->gaps[i].last < LIMIT);
        REQUIRE(i == 0 || reply->gaps[i].first > reply->gaps[i - 1].last);
    }
    return NULL;
}

static const char *raft_fault(const struct wire_message *message, const struct wire_reader *reader,
                              const struct bounds *bounds)
{
    const struct raft_message *raft = &message->raft;
    REQUIRE((uint8_t)raft->type == message->type);
    REQUIRE(raft->term == message->term);
    REQUIRE(raft->from == reader->envelope.source);
    REQUIRE(raft->to == reader->envelope.destination);
    REQUIRE(raft->boot == reader->envelope.boot);
    REQUIRE(raft->intact == message->intact);
    REQUIRE(raft->has_room == message->has_room);
    REQUIRE(raft->is_parallel == message->is_parallel);
    const char *fault = NULL;
    switch (raft->type) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_VOTE:
        return raft->is_parallel ? claim_fault(raft->vote.last, raft->term)
                                 : place_fault(raft->vote.last, raft->term);
    case RAFT_MSG_PRE_VOTE_REPLY:
        return NULL;
    case RAFT_MSG_VOTE_REPLY:
        return raft->is_parallel && raft->vote_reply.granted
                   ? report_fault(&raft->vote_reply.report, raft->term)
                   : NULL;
    case RAFT_MSG_FETCH:
        return fetch_fault(raft);
    case RAFT_MSG_APPEND_REPLY:
        fault = append_reply_fault(&raft->append_reply, raft->term);
        return fault != NULL ? fault : acked_fault(raft);
    case RAFT_MSG_APPEND:
        break;
    }
    fault = append_fault(&raft->append, raft->term, raft->is_parallel);
    return fault != NULL ? fault
                         : entries_fault(raft->append.heads, message->payloads, raft->append.count,
                                         message->payload_bytes, false, bounds);
}

static const char *fragment_fault(const struct wire_message *message, const struct bounds *bounds)
{
    const struct wire_fragment *fragment = &message->fragment;
    uint64_t end = (uint64_t)fragment->offset + fragment->bytes;
    REQUIRE(fragment->head.kind == RAFT_ENTRY_COMMAND);
    REQUIRE(fragment->bytes > 0);
    REQUIRE(end <= fragment->head.bytes);
    REQUIRE(is_inside(bounds, fragment->data, fragment->bytes));
    if (end < fragment->head.bytes) {
        REQUIRE(fragment->bytes >= WIRE_FRAGMENT_BYTES_MIN);
        REQUIRE(fragment->offset % fragment->bytes == 0);
    } else if (fragment->offset > 0) {
        REQUIRE(fragment->offset >= WIRE_FRAGMENT_BYTES_MIN);
        REQUIRE(fragment->offset >= fragment->bytes);
    }
    const char *fault = head_fault(&fragment->head, false);
    if (fault != NULL || message->type == WIRE_PROPOSE_FRAGMENT) {
        return fault;
    }
    REQUIRE(fragment->append.count == 1);
    REQUIRE(fragment->append.heads->crc == fragment->head.crc);
    return append_fault(&fragment->append, message->term, message->is_parallel);
}

static const char *snapshot_fault(const struct wire_message *message, const struct bounds *bounds)
{
    const struct wire_snapshot *snapshot = &message->snapshot;
    REQUIRE(snapshot->last.index > 0);
    REQUIRE(snapshot->total_bytes < LIMIT);
    REQUIRE(snapshot->offset <= snapshot->total_bytes);
    REQUIRE(snapshot->offset + snapshot->bytes <= snapshot->total_bytes);
    REQUIRE(is_inside(bounds, snapshot->data, snapshot->bytes));
    return place_fault(snapshot->last, message->term);
}

static const char *snapshot_reply_fault(const struct wire_message *message)
{
    REQUIRE(message->snapshot_reply.last.index > 0);
    REQUIRE(message->snapshot_reply.received_bytes < LIMIT);
    return place_fault(message->snapshot_reply.last, message->term);
}

static const char *propose_reply_fault(const struct wire_propose_reply *reply)
{
    REQUIRE(reply->leader_hint <= 64);
    REQUIRE(reply->count >= 1);
    REQUIRE(reply->count <= WIRE_RESULTS_MAX);
    for (uint32_t i = 0; i < reply->count; i++) {
        REQUIRE(reply->results[i].status <= WIRE_FAILED);
    }
    return NULL;
}

static const char *register_reply_fault(const struct wire_register_reply *reply)
{
    REQUIRE(reply->session < LIMIT);
    REQUIRE(reply->window < LIMIT);
    REQUIRE(reply->leader_hint <= 64);
    REQUIRE(reply->status <= WIRE_FAILED);
    return NULL;
}

static const char *read_reply_fault(const struct wire_read_reply *reply,
                                    const struct bounds *bounds)
{
    REQUIRE(reply->status <= WIRE_FAILED);
    REQUIRE(reply->leader_hint <= 64);
    REQUIRE((uint64_t)reply->offset + reply->bytes <= reply->total_bytes);
    REQUIRE(reply->total_bytes <= INT32_MAX);
    REQUIRE(is_inside(bounds, reply->data, reply->bytes));
    return NULL;
}

static const char *status_reply_fault(const struct wire_status_reply *reply)
{
    REQUIRE(reply->node >= 1 && reply->node <= 64);
    REQUIRE(reply->leader_hint <= 64);
    REQUIRE(reply->role <= RAFT_LEADER);
    REQUIRE(reply->term < LIMIT);
    REQUIRE(reply->commit < LIMIT);
    REQUIRE(reply->applied < LIMIT);
    REQUIRE(reply->last < LIMIT);
    REQUIRE(reply->has_digest || reply->digest == 0);
    return NULL;
}

// Whether their values make sense is for who answers to say.
static const char *ranges_fault(const struct wire_ranges *ranges, const struct bounds *bounds)
{
    REQUIRE(ranges->count == 0 || is_inside(bounds, ranges->at, 16 * (uint32_t)ranges->count));
    return NULL;
}

static const char *proposals_ranges_fault(const struct wire_propose *propose,
                                          const struct bounds *bounds)
{
    uint32_t together = 0;
    for (uint32_t i = 0; propose->ranges != NULL && i < propose->count; i++) {
        const char *fault = ranges_fault(&propose->ranges[i], bounds);
        if (fault != NULL) {
            return fault;
        }
        REQUIRE(propose->ranges[i].count == 0 || propose->heads[i].kind == RAFT_ENTRY_COMMAND);
        together += propose->ranges[i].count;
    }
    REQUIRE(propose->ranges == NULL || together > 0);
    return NULL;
}

// Between clients and nodes.
static const char *client_fault(const struct wire_message *message, const struct bounds *bounds)
{
    const char *fault = NULL;
    REQUIRE(!message->intact && !message->has_room && !message->is_parallel);
    REQUIRE(message->term == 0 || message->type == WIRE_STATUS_REPLY);
    switch (message->type) {
    case WIRE_PROPOSE:
        REQUIRE(message->propose.count >= 1);
        for (uint32_t i = 1; i < message->propose.count; i++) {
            REQUIRE(message->propose.heads[i].client == message->propose.heads[0].client);
            REQUIRE(message->propose.heads[i].kind == RAFT_ENTRY_COMMAND);
            REQUIRE(message->propose.heads[0].kind == RAFT_ENTRY_COMMAND);
        }
        fault = proposals_ranges_fault(&message->propose, bounds);
        return fault != NULL ? fault
                             : entries_fault(message->propose.heads, message->propose.payloads,
                                             message->propose.count, message->propose.payload_bytes,
                                             true, bounds);
    case WIRE_PROPOSE_FRAGMENT:
        fault = ranges_fault(&message->fragment.ranges, bounds);
        return fault != NULL ? fault : fragment_fault(message, bounds);
    case WIRE_PROPOSE_REPLY:
        return propose_reply_fault(&message->propose_reply);
    case WIRE_REGISTER_REPLY:
        return register_reply_fault(&message->register_reply);
    case WIRE_READ:
        REQUIRE(is_inside(bounds, message->read.query, message->read.bytes));
        return ranges_fault(&message->read.ranges, bounds);
    case WIRE_READ_REPLY:
        return read_reply_fault(&message->read_reply, bounds);
    case WIRE_STATUS:
        return NULL;
    case WIRE_STATUS_REPLY:
        return status_reply_fault(&message->status_reply);
    default:
        return "no such type";
    }
}

const char *oracle_fault(const struct wire_message *message, const struct wire_filter *filter,
                         const struct wire_reader *reader, const uint8_t *frame, uint32_t bytes)
{
    struct bounds bounds = {frame + WIRE_ENVELOPE_BYTES, frame + bytes};
    bool from_client = message->type == WIRE_PROPOSE || message->type == WIRE_PROPOSE_FRAGMENT ||
                       message->type == WIRE_READ || message->type == WIRE_STATUS;
    REQUIRE(message->group < filter->groups);
    REQUIRE((reader->envelope.source == WIRE_CLIENT) == from_client);
    REQUIRE(from_client || reader->envelope.source != filter->self);
    if (message->type >= WIRE_PROPOSE) {
        REQUIRE(from_client || filter->self == WIRE_CLIENT);
        return client_fault(message, &bounds);
    }
    REQUIRE(filter->self != WIRE_CLIENT);
    REQUIRE(message->term > 0 && message->term < LIMIT);
    if (message->type <= RAFT_MSG_FETCH) {
        return raft_fault(message, reader, &bounds);
    }
    switch (message->type) {
    case WIRE_APPEND_FRAGMENT:
        return fragment_fault(message, &bounds);
    case WIRE_SNAPSHOT:
        REQUIRE(!message->is_parallel);
        return snapshot_fault(message, &bounds);
    case WIRE_SNAPSHOT_REPLY:
        REQUIRE(!message->is_parallel);
        return snapshot_reply_fault(message);
    default:
        return "no such type";
    }
}

// An accepted message has one encoding: what it was read from.
static const char *again_fault(const struct wire_message *message, const uint8_t *at,
                               uint32_t bytes)
{
    static uint8_t again[WIRE_FRAME_BYTES_MAX];
    struct wire_envelope envelope = sample_envelope(message->type);
    struct wire_writer writer;
    wire_begin(&writer, again, WIRE_ENVELOPE_BYTES + bytes, &envelope);
    if (!sample_put(&writer, message)) {
        // The writer of a READ_REPLY takes all that fits, so not every part can be asked of it.
        REQUIRE(message->type == WIRE_READ_REPLY);
        return NULL;
    }
    REQUIRE(writer.bytes == WIRE_ENVELOPE_BYTES + bytes);
    REQUIRE(memcmp(again + WIRE_ENVELOPE_BYTES, at, bytes) == 0);
    return NULL;
}

enum wire_refusal oracle_drain(const struct wire_filter *filter, const uint8_t *frame,
                               uint32_t bytes, const char **fault)
{
    static struct wire_scratch scratch;
    struct wire_reader reader;
    struct wire_message message;
    memset(&scratch, 0xFF,
           sizeof(scratch)); // nothing left from the frame before makes this one good
    *fault = NULL;
    enum wire_refusal refusal = wire_open(&reader, filter, frame, bytes, &scratch);
    while (refusal == WIRE_OK) {
        const uint8_t *at = reader.at;
        refusal = wire_next(&reader, filter, &message);
        if (refusal == WIRE_OK) {
            *fault = oracle_fault(&message, filter, &reader, frame, bytes);
            if (*fault == NULL) {
                *fault = again_fault(&message, at, (uint32_t)(reader.at - at));
            }
            if (*fault != NULL) {
                return refusal;
            }
        }
    }
    if (refusal >= WIRE_BAD_ENTRY) {
        *fault = "not a refusal of the reader";
    }
    return refusal;
}

static uint64_t number_at(const uint8_t *at, uint32_t width)
{
    uint64_t value = 0;
    memcpy(&value, at, width);
    return value;
}

// Bytes of the payloads, and padding, at the end of a message of `bytes` that takes part in no
// checksum.
static uint64_t left_out(const uint8_t *at, uint64_t bytes)
{
    enum { APPEND = 5, APPEND_FRAGMENT = 15, PROPOSE = 32, PROPOSE_FRAGMENT = 41 };
    uint8_t type = at[4];
    bool is_fragment = type == APPEND_FRAGMENT || type == PROPOSE_FRAGMENT; // its head is fixed
    uint64_t fixed = type == APPEND             ? 88
                     : type == APPEND_FRAGMENT  ? 112
                     : type == PROPOSE          ? 24
                     : type == PROPOSE_FRAGMENT ? 48
                                                : UINT64_MAX;
    if (bytes < fixed) {
        return 0;
    }
    uint64_t count = is_fragment ? 1 : number_at(at + fixed - 8, 4);
    uint64_t payloads = number_at(at + (is_fragment ? fixed - 28 : fixed - 4), 4);
    bool is_told = (type == APPEND || type == APPEND_FRAGMENT) && (at[5] & (4 + 64)) == 4 + 64;
    uint64_t before = fixed + (is_fragment ? 0 : 24) * count + (is_told ? 2 : 0) * count;
    if ((type == PROPOSE || type == PROPOSE_FRAGMENT) &&
        (at[5] & 32) != 0) { // ranges: a byte an entry says how many
        uint64_t counts_at = before;
        before += (count + 7) / 8 * 8;
        if (count > 512 || before > bytes) {
            return 0;
        }
        for (uint64_t i = 0; i < count; i++) {
            before += UINT64_C(16) * at[counts_at + i];
        }
    }
    uint64_t padded = (before + payloads + 7) / 8 * 8;
    return padded == bytes ? padded - before : 0;
}

// What FORMAT.md says of the checksum, put together byte by byte.
uint32_t oracle_checksum(const uint8_t *frame, uint32_t bytes)
{
    static uint8_t covered[1 << 16];
    uint32_t count = 0, at = 8, next = 40; // next: where a message begins, while they agree
    while (at < bytes) {
        uint64_t length = at == next && bytes - at >= 16 ? number_at(frame + at, 4) : 0;
        if (length >= 16 && length <= bytes - at) {
            uint64_t keep = length - left_out(frame + at, length);
            memcpy(covered + count, frame + at, keep);
            count += (uint32_t)keep;
            at = next = at + (uint32_t)length;
        } else {
            covered[count++] = frame[at++];
        }
    }
    return crc32c(0, covered, count);
}

void oracle_reseal(uint8_t *frame, uint32_t bytes)
{
    if (bytes >= WIRE_ENVELOPE_BYTES && bytes <= 1 << 16) {
        uint32_t crc = oracle_checksum(frame, bytes);
        memcpy(frame + 4, &crc, 4);
    }
}
