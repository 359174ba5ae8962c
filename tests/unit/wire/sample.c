#include "tests/unit/wire/sample.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"

const uint8_t sample_types[SAMPLE_TYPES] = {
    RAFT_MSG_PRE_VOTE,  RAFT_MSG_PRE_VOTE_REPLY, RAFT_MSG_VOTE,  RAFT_MSG_VOTE_REPLY,
    RAFT_MSG_APPEND,    RAFT_MSG_APPEND_REPLY,   RAFT_MSG_FETCH, WIRE_APPEND_FRAGMENT,
    WIRE_SNAPSHOT,      WIRE_SNAPSHOT_REPLY,     WIRE_PROPOSE,   WIRE_PROPOSE_FRAGMENT,
    WIRE_PROPOSE_REPLY, WIRE_REGISTER_REPLY,     WIRE_READ,      WIRE_READ_REPLY,
    WIRE_STATUS,        WIRE_STATUS_REPLY,
};

static bool is_request(uint8_t type)
{
    return type == WIRE_PROPOSE || type == WIRE_PROPOSE_FRAGMENT || type == WIRE_READ ||
           type == WIRE_STATUS;
}

struct wire_envelope sample_envelope(uint8_t type)
{
    bool from_client = is_request(type);
    bool to_client = type >= WIRE_PROPOSE && !from_client;
    return (struct wire_envelope){
        .cluster = SAMPLE_CLUSTER,
        .boot = from_client ? 0 : 77,
        .source = from_client ? WIRE_CLIENT : SAMPLE_PEER,
        .destination = to_client ? WIRE_CLIENT : SAMPLE_SELF,
        .class = 63,
    };
}

struct wire_filter sample_filter(uint8_t type)
{
    return (struct wire_filter){
        .cluster = SAMPLE_CLUSTER,
        .self = sample_envelope(type).destination,
        .peers = UINT64_C(1) << (SAMPLE_PEER - 1) | UINT64_C(1) << (SAMPLE_SELF - 1),
        .groups = SAMPLE_GROUPS,
    };
}

// In [low, high]: often an edge, else of any magnitude.
static uint64_t edgy(struct prng *prng, uint64_t low, uint64_t high)
{
    uint64_t choice = prng_below(prng, 8);
    if (choice == 0) {
        return low;
    }
    if (choice == 1) {
        return high;
    }
    uint64_t span = high - low;
    uint64_t value = prng_next(prng) >> prng_below(prng, 64);
    return low + (span == UINT64_MAX ? value : value % (span + 1));
}

static bool flip(struct prng *prng)
{
    return prng_chance(prng, 1, 2);
}

static struct raft_entry_id place(struct prng *prng, uint64_t term, uint64_t index_max)
{
    struct raft_entry_id id = {0, 0};
    if (!prng_chance(prng, 1, 8)) {
        id.term = edgy(prng, 1, term);
        id.index = edgy(prng, 1, index_max);
    }
    return id;
}

// A head whose checksum covers `payload`, which has room for head->bytes.
static void make_command(struct prng *prng, struct raft_entry_head *head, uint32_t bytes,
                         const uint8_t *payload)
{
    *head = (struct raft_entry_head){
        .client = edgy(prng, 0, RAFT_INDEX_MAX),
        .sequence = edgy(prng, 1, RAFT_INDEX_MAX),
        .bytes = bytes,
        .kind = RAFT_ENTRY_COMMAND,
    };
    head->crc = raft_entry_crc(head, payload);
}

static void make_empty(struct prng *prng, struct raft_entry_head *head, bool from_client)
{
    bool is_noop = !from_client && flip(prng);
    *head = (struct raft_entry_head){
        .client = is_noop ? 0 : prng_next(prng),
        .sequence = is_noop ? 0 : edgy(prng, 0, RAFT_INDEX_MAX),
        .kind = is_noop ? RAFT_ENTRY_NOOP : RAFT_ENTRY_REGISTER,
    };
    head->crc = raft_entry_crc(head, NULL);
}

// As many random entries as fit. Result: how many; at least `count_min`.
static uint32_t make_entries(struct sample *sample, struct prng *prng, uint32_t count_min,
                             uint32_t room_bytes, bool from_client)
{
    uint32_t apart_bytes = WIRE_HEAD_BYTES;
    apart_bytes += sample->message.is_parallel ? WIRE_DISTANCE_BYTES : 0;
    uint32_t count_max = (uint32_t)edgy(prng, count_min, prng_chance(prng, 1, 4) ? 400 : 12);
    uint32_t bytes_max = (uint32_t)edgy(prng, 0, prng_chance(prng, 1, 4) ? 8000 : 100);
    uint32_t count = 0;
    uint32_t data_at = 0;
    while (count < count_max && room_bytes >= apart_bytes) {
        room_bytes -= apart_bytes;
        uint32_t limit = bytes_max < room_bytes ? bytes_max : room_bytes;
        uint32_t bytes = (uint32_t)edgy(prng, 0, limit);
        if (prng_chance(prng, 1, 4)) {
            make_empty(prng, &sample->heads[count], from_client);
        } else {
            make_command(prng, &sample->heads[count], bytes, sample->data + data_at);
        }
        sample->payloads[count] = sample->data + data_at;
        data_at += sample->heads[count].bytes;
        room_bytes -= sample->heads[count].bytes;
        count++;
    }
    sample->message.payload_bytes = data_at;
    return count;
}

static void make_place(struct raft_append *append, struct prng *prng, uint64_t term, uint32_t count)
{
    append->prev = place(prng, term, RAFT_INDEX_MAX - count);
    append->count = count;
    if (count > 0) {
        uint64_t oldest = append->prev.term == 0 ? 1 : append->prev.term;
        append->entries_term = edgy(prng, oldest, term);
    }
    append->commit = edgy(prng, 0, RAFT_INDEX_MAX);
    append->round = prng_next(prng);
    append->echo_ns = prng_next(prng);
    append->rejoin_boot = edgy(prng, 0, UINT64_MAX);
    append->rejoin_index = append->rejoin_boot == 0 ? 0 : edgy(prng, 0, RAFT_INDEX_MAX);
}

// What an append of a parallel group says instead of terms.
static void make_sync(struct sample *sample, struct raft_append *append, struct prng *prng,
                      uint64_t term)
{
    append->prev.term = 0;
    append->entries_term = append->count > 0 ? term : 0;
    append->has_sync = flip(prng);
    append->is_supply = !append->has_sync && append->count > 0 && flip(prng);
    if (append->has_sync) {
        append->sync_from = edgy(prng, 0, term - 1);
        append->sync_end = edgy(prng, 0, flip(prng) ? append->prev.index : RAFT_INDEX_MAX);
    } else if (append->is_supply) {
        append->sync_end = edgy(prng, append->prev.index + append->count, RAFT_INDEX_MAX);
    }
    if (raft_append_tells(append)) {
        uint64_t beyond = append->prev.index - append->sync_end;
        for (uint32_t i = 0; i < append->count; i++) {
            uint64_t most = beyond + 1 + i < RAFT_WINDOW_MAX ? beyond + 1 + i : RAFT_WINDOW_MAX;
            sample->distances[i] = (uint16_t)edgy(prng, 1, most);
        }
        append->distances = sample->distances;
    }
}

// `bits` bits, full, sparse or random, the last one set.
static void make_bits(uint64_t *words, uint32_t bits, bool is_first_set, struct prng *prng)
{
    uint64_t density = prng_below(prng, 9); // in eighths
    memset(words, 0, RAFT_WINDOW_WORDS * sizeof(words[0]));
    for (uint32_t at = is_first_set ? 0 : 1; at < bits; at++) {
        bool is_set = at + 1 == bits || prng_chance(prng, density, 8);
        words[at / 64] |= (uint64_t)is_set << (at % 64);
    }
}

// Bits that words in what is left of `room_bytes` can have, at most `max`; a bitmap of one bit, the
// first, is not sent.
static uint32_t bit_count(struct prng *prng, uint32_t room_bytes, uint64_t max)
{
    uint64_t bits = edgy(prng, 0, (uint64_t)room_bytes / 8 * 64);
    bits = bits < RAFT_WINDOW_MAX ? bits : RAFT_WINDOW_MAX;
    bits = bits < max ? bits : max;
    return bits == 1 ? 0 : (uint32_t)bits;
}

static void make_report(struct raft_report *report, struct prng *prng, uint64_t term,
                        uint32_t room_bytes)
{
    report->sync_term = edgy(prng, 0, term);
    report->floor = report->sync_term == 0 ? 0 : edgy(prng, 0, RAFT_INDEX_MAX);
    report->sync_end = edgy(prng, 0, report->floor);
    report->commit = edgy(prng, 0, RAFT_INDEX_MAX);
    uint32_t bits = bit_count(prng, room_bytes - 72, RAFT_INDEX_MAX - report->floor);
    report->first = report->floor + 1;
    if (bits > 0 && flip(prng)) {
        report->first = edgy(prng, report->first, RAFT_INDEX_MAX + 1 - bits);
    }
    report->last = report->first + bits - 1;
    make_bits(report->present, bits, report->first > report->floor + 1, prng);
}

static void make_fetch(struct raft_fetch *fetch, struct prng *prng, uint32_t room_bytes)
{
    struct raft_wanted *wanted = &fetch->wanted;
    uint64_t most = (uint64_t)(room_bytes - 40) / 8 * 64;
    fetch->number = prng_next(prng);
    wanted->count = (uint32_t)edgy(prng, 1, most < RAFT_WINDOW_MAX ? most : RAFT_WINDOW_MAX);
    wanted->first = edgy(prng, 1, RAFT_INDEX_MAX + 1 - wanted->count);
    make_bits(wanted->bits, wanted->count, true, prng);
    wanted->bits[0] |= 1;
}

static void make_gaps(struct raft_append_reply *reply, struct prng *prng)
{
    reply->gap_count = (uint32_t)prng_below(prng, RAFT_GAPS_MAX + 1);
    uint64_t first_min = 1;
    for (uint32_t i = 0; i < reply->gap_count; i++) {
        uint64_t share = RAFT_INDEX_MAX / RAFT_GAPS_MAX * (i + 1);
        reply->gaps[i].first = edgy(prng, first_min, share - 1);
        reply->gaps[i].last = edgy(prng, reply->gaps[i].first, share - 1);
        first_min = reply->gaps[i].last + 1;
    }
}

static void make_parallel_reply(struct raft_append_reply *reply, struct prng *prng,
                                uint32_t room_bytes)
{
    reply->result = RAFT_APPEND_OK;
    reply->match = edgy(prng, 0, RAFT_INDEX_MAX);
    reply->held = edgy(prng, reply->match, RAFT_INDEX_MAX);
    reply->round = prng_next(prng);
    reply->echo_ns = prng_next(prng);
    make_gaps(reply, prng);
    reply->is_installed = flip(prng);
    reply->acked_count = bit_count(prng, room_bytes - 136, RAFT_INDEX_MAX - reply->match);
    make_bits(reply->acked, reply->acked_count, !reply->is_installed, prng);
}

static void make_append_reply(struct raft_append_reply *reply, struct prng *prng, uint64_t term)
{
    reply->result = flip(prng) ? RAFT_APPEND_OK : RAFT_APPEND_REJECTED;
    reply->match = edgy(prng, 0, RAFT_INDEX_MAX);
    reply->held = edgy(prng, 0, RAFT_INDEX_MAX);
    reply->round = prng_next(prng);
    reply->echo_ns = prng_next(prng);
    if (reply->result == RAFT_APPEND_REJECTED) {
        reply->conflict.term = edgy(prng, 0, term);
        reply->conflict.index = edgy(prng, 1, RAFT_INDEX_MAX);
    }
    make_gaps(reply, prng);
}

static void make_fragment(struct sample *sample, struct prng *prng, uint32_t room_bytes)
{
    struct wire_fragment *fragment = &sample->message.fragment;
    uint32_t bytes_max = room_bytes - 112;
    bool has_more = bytes_max >= WIRE_FRAGMENT_BYTES_MIN && flip(prng);
    uint32_t bytes = (uint32_t)edgy(prng, has_more ? WIRE_FRAGMENT_BYTES_MIN : 1, bytes_max);
    uint32_t before = (uint32_t)edgy(prng, 0, (RAFT_PAYLOAD_BYTES_MAX - 2 * bytes_max) / bytes);
    fragment->offset = before * bytes;
    if (!has_more && before > 0 && fragment->offset < WIRE_FRAGMENT_BYTES_MIN) {
        fragment->offset = WIRE_FRAGMENT_BYTES_MIN + bytes;
    }
    uint32_t total = fragment->offset + bytes;
    if (has_more) {
        total += (uint32_t)edgy(prng, 1, RAFT_PAYLOAD_BYTES_MAX - total);
    }
    fragment->bytes = bytes;
    fragment->data = sample->data;
    make_command(prng, &fragment->head, 0, NULL);
    fragment->head.bytes = total;
    fragment->head.crc = (uint32_t)prng_next(prng);
}

static void make_snapshot(struct sample *sample, struct prng *prng, uint64_t term,
                          uint32_t room_bytes)
{
    struct wire_snapshot *snapshot = &sample->message.snapshot;
    snapshot->last = (struct raft_entry_id){
        .term = edgy(prng, 1, term),
        .index = edgy(prng, 1, RAFT_INDEX_MAX),
    };
    snapshot->bytes = (uint32_t)edgy(prng, 0, room_bytes - 56);
    snapshot->offset = edgy(prng, 0, RAFT_INDEX_MAX - snapshot->bytes);
    snapshot->total_bytes = edgy(prng, snapshot->offset + snapshot->bytes, RAFT_INDEX_MAX);
    snapshot->data = sample->data;
}

static uint16_t hint(struct prng *prng)
{
    return (uint16_t)edgy(prng, 0, RAFT_NODE_ID_MAX);
}

static uint32_t status(struct prng *prng)
{
    return (uint32_t)prng_below(prng, WIRE_FAILED + 1);
}

static void make_propose_reply(struct sample *sample, struct prng *prng, uint32_t room_bytes)
{
    struct wire_propose_reply *reply = &sample->message.propose_reply;
    reply->client = prng_next(prng);
    reply->leader_hint = hint(prng);
    uint32_t count_max = (room_bytes - 32) / 16;
    reply->count = (uint32_t)edgy(prng, 1, count_max < 512 ? count_max : 512);
    reply->results = sample->results;
    for (uint32_t i = 0; i < reply->count; i++) {
        sample->results[i] = (struct wire_result){
            .sequence = prng_next(prng),
            .status = status(prng),
            .result = (uint32_t)prng_next(prng),
        };
    }
}

static void make_read_reply(struct sample *sample, struct prng *prng)
{
    // The data of a whole answer, and a part that ends with it: how long another is, the writer
    // decides.
    struct wire_read_reply *reply = &sample->message.read_reply;
    reply->request = prng_next(prng);
    reply->status = status(prng);
    reply->result = (int32_t)prng_next(prng);
    reply->leader_hint = hint(prng);
    reply->answer_crc = (uint32_t)prng_next(prng);
    reply->bytes = (uint32_t)edgy(prng, 0, 100);
    reply->offset = (uint32_t)edgy(prng, 0, SAMPLE_DATA_BYTES - reply->bytes);
    reply->total_bytes = reply->offset + reply->bytes;
    reply->data = sample->data + reply->offset;
}

static void make_status_reply(struct wire_message *message, struct prng *prng)
{
    struct wire_status_reply *reply = &message->status_reply;
    message->term = edgy(prng, 0, RAFT_TERM_MAX);
    reply->request = prng_next(prng);
    reply->node = (uint16_t)edgy(prng, 1, RAFT_NODE_ID_MAX);
    reply->leader_hint = hint(prng);
    reply->role = (uint8_t)prng_below(prng, RAFT_LEADER + 1);
    reply->term = message->term;
    reply->intact = flip(prng);
    reply->has_digest = flip(prng);
    reply->commit = edgy(prng, 0, RAFT_INDEX_MAX);
    reply->applied = edgy(prng, 0, RAFT_INDEX_MAX);
    reply->last = edgy(prng, 0, RAFT_INDEX_MAX);
    reply->digest = reply->has_digest ? prng_next(prng) : 0;
}

static void make_peer_message(struct sample *sample, struct prng *prng, uint8_t type,
                              uint32_t room_bytes)
{
    struct wire_message *message = &sample->message;
    uint64_t term = edgy(prng, 1, RAFT_TERM_MAX);
    message->term = term;
    message->intact = type <= WIRE_APPEND_FRAGMENT && flip(prng);
    message->has_room = type <= WIRE_APPEND_FRAGMENT && flip(prng);
    message->is_parallel = type == RAFT_MSG_FETCH || (type <= WIRE_APPEND_FRAGMENT && flip(prng));
    if (type <= RAFT_MSG_FETCH) {
        struct wire_envelope envelope = sample_envelope(type);
        message->raft.type = (enum raft_message_type)type;
        message->raft.from = envelope.source;
        message->raft.to = envelope.destination;
        message->raft.intact = message->intact;
        message->raft.has_room = message->has_room;
        message->raft.is_parallel = message->is_parallel;
        message->raft.boot = envelope.boot;
        message->raft.term = term;
    }
    if (type == RAFT_MSG_VOTE || type == RAFT_MSG_PRE_VOTE) {
        message->raft.vote.last = place(prng, term, RAFT_INDEX_MAX);
        if (message->is_parallel && message->raft.vote.last.term > 0 && flip(prng)) {
            message->raft.vote.last.index = 0;
        }
    } else if (type == RAFT_MSG_VOTE_REPLY || type == RAFT_MSG_PRE_VOTE_REPLY) {
        message->raft.vote_reply.granted = flip(prng);
        if (type == RAFT_MSG_VOTE_REPLY && message->is_parallel &&
            message->raft.vote_reply.granted) {
            make_report(&message->raft.vote_reply.report, prng, term, room_bytes);
        }
    } else if (type == RAFT_MSG_FETCH) {
        make_fetch(&message->raft.fetch, prng, room_bytes);
    } else if (type == RAFT_MSG_APPEND) {
        uint32_t count = make_entries(sample, prng, 0, room_bytes - WIRE_APPEND_BYTES, false);
        make_place(&message->raft.append, prng, term, count);
        message->raft.append.heads = sample->heads;
        message->payloads = sample->payloads;
        if (message->is_parallel) {
            make_sync(sample, &message->raft.append, prng, term);
        }
    } else if (type == RAFT_MSG_APPEND_REPLY && message->is_parallel) {
        make_parallel_reply(&message->raft.append_reply, prng, room_bytes);
    } else if (type == RAFT_MSG_APPEND_REPLY) {
        make_append_reply(&message->raft.append_reply, prng, term);
    } else if (type == WIRE_APPEND_FRAGMENT) {
        make_fragment(sample, prng, room_bytes - (message->is_parallel ? WIRE_DISTANCE_BYTES : 0));
        make_place(&message->fragment.append, prng, term, 1);
        if (message->is_parallel) {
            make_sync(sample, &message->fragment.append, prng, term);
        }
    } else if (type == WIRE_SNAPSHOT) {
        make_snapshot(sample, prng, term, room_bytes);
    } else {
        message->snapshot_reply = (struct wire_snapshot_reply){
            .last = {edgy(prng, 1, term), edgy(prng, 1, RAFT_INDEX_MAX)},
            .received_bytes = edgy(prng, 0, RAFT_INDEX_MAX),
            .installed = flip(prng),
        };
    }
}

// What a command or query of a request declares, out of `room_bytes` that are left: any bytes will
// do, as only who answers judges them. Result: bytes of it.
static uint32_t make_ranges(struct sample *sample, struct prng *prng, struct wire_ranges *ranges,
                            uint32_t room_bytes)
{
    uint64_t most = room_bytes / WIRE_RANGE_BYTES;
    most = most < UINT8_MAX ? most : UINT8_MAX;
    most = prng_chance(prng, 1, 8) || most < WIRE_RANGES_MAX ? most : WIRE_RANGES_MAX;
    ranges->count = flip(prng) ? 0 : (uint8_t)edgy(prng, 0, most);
    ranges->at = sample->data + prng_below(prng, SAMPLE_DATA_BYTES - 4096);
    return (uint32_t)ranges->count * WIRE_RANGE_BYTES;
}

// Of one entry, out of `room_bytes`. Result: how many bytes they take.
static uint32_t make_own_ranges(struct sample *sample, struct prng *prng,
                                struct wire_ranges *ranges, uint32_t room_bytes)
{
    make_ranges(sample, prng, ranges, room_bytes < 8 ? 0 : room_bytes - 8);
    return wire_ranges_bytes(1, ranges->count);
}

static void make_proposals_ranges(struct sample *sample, struct prng *prng, uint32_t room_bytes)
{
    struct wire_propose *propose = &sample->message.propose;
    uint32_t used = WIRE_PROPOSE_BYTES + propose->count * WIRE_HEAD_BYTES + propose->payload_bytes +
                    ((propose->count + 7) & ~UINT32_C(7));
    bool is_declaring = false;
    if (sample->heads[0].kind == RAFT_ENTRY_REGISTER || used > room_bytes || flip(prng)) {
        return;
    }
    for (uint32_t i = 0; i < propose->count; i++) {
        used += make_ranges(sample, prng, &sample->ranges[i], room_bytes - used);
        is_declaring |= sample->ranges[i].count > 0;
    }
    propose->ranges = is_declaring ? sample->ranges : NULL;
}

// A proposal is one REGISTER, or commands of one client.
static void make_one_client(struct sample *sample, struct prng *prng)
{
    struct wire_message *message = &sample->message;
    if (sample->heads[0].kind == RAFT_ENTRY_REGISTER) {
        message->propose.count = 1;
        message->propose.payload_bytes = 0;
        return;
    }
    for (uint32_t i = 1; i < message->propose.count; i++) {
        struct raft_entry_head *head = &sample->heads[i];
        if (head->kind == RAFT_ENTRY_REGISTER) {
            make_command(prng, head, 0, NULL);
        }
        head->client = sample->heads[0].client;
        head->crc = raft_entry_crc(head, sample->payloads[i]);
    }
}

static void make_client_message(struct sample *sample, struct prng *prng, uint8_t type,
                                uint32_t room_bytes)
{
    struct wire_message *message = &sample->message;
    if (type == WIRE_PROPOSE) {
        message->propose.count = make_entries(sample, prng, 1, room_bytes - 24, true);
        message->propose.heads = sample->heads;
        message->propose.payloads = sample->payloads;
        message->propose.payload_bytes = message->payload_bytes;
        message->payload_bytes = 0;
        make_one_client(sample, prng);
        make_proposals_ranges(sample, prng, room_bytes);
    } else if (type == WIRE_PROPOSE_FRAGMENT) {
        room_bytes -=
            make_own_ranges(sample, prng, &message->fragment.ranges, room_bytes - 112 - 8);
        make_fragment(sample, prng, room_bytes);
    } else if (type == WIRE_PROPOSE_REPLY) {
        make_propose_reply(sample, prng, room_bytes);
    } else if (type == WIRE_REGISTER_REPLY) {
        message->register_reply = (struct wire_register_reply){
            .nonce = prng_next(prng),
            .session = edgy(prng, 0, RAFT_INDEX_MAX),
            .window = edgy(prng, 0, RAFT_INDEX_MAX),
            .leader_hint = hint(prng),
            .status = status(prng),
        };
    } else if (type == WIRE_READ) {
        message->read.request = prng_next(prng);
        room_bytes -= make_own_ranges(sample, prng, &message->read.ranges, room_bytes - 56);
        message->read.bytes = (uint32_t)edgy(prng, 0, room_bytes - 56);
        message->read.query = sample->data;
    } else if (type == WIRE_READ_REPLY) {
        make_read_reply(sample, prng);
    } else if (type == WIRE_STATUS) {
        message->status.request = prng_next(prng);
        message->status.want_digest = flip(prng);
    } else {
        make_status_reply(message, prng);
    }
}

void sample_make(struct sample *sample, struct prng *prng, uint8_t type, uint32_t room_bytes)
{
    memset(&sample->message, 0, sizeof(sample->message));
    for (uint32_t i = 0; i < SAMPLE_DATA_BYTES; i += 8) {
        uint64_t word = prng_next(prng);
        memcpy(sample->data + i, &word, 8);
    }
    sample->message.type = type;
    sample->message.group = (uint16_t)edgy(prng, 0, SAMPLE_GROUPS - 1);
    room_bytes &= ~UINT32_C(7);
    if (type < WIRE_PROPOSE) {
        make_peer_message(sample, prng, type, room_bytes);
    } else {
        make_client_message(sample, prng, type, room_bytes);
    }
}

uint32_t sample_ranges_bytes(const struct wire_propose *propose)
{
    uint32_t ranges = 0;
    for (uint32_t i = 0; propose->ranges != NULL && i < propose->count; i++) {
        ranges += propose->ranges[i].count;
    }
    return wire_ranges_bytes(propose->count, ranges);
}

static bool put_append(struct wire_writer *writer, const struct wire_message *message)
{
    const struct raft_append *in = &message->raft.append;
    struct wire_append_writer append;
    if (in->count == 0) {
        return wire_put_raft(writer, message->group, &message->raft);
    }
    if (!wire_append_open(&append, writer, message->group, &message->raft, in->count,
                          message->payload_bytes)) {
        return false;
    }
    for (uint32_t i = 0; i < in->count; i++) {
        wire_append_put(&append, &in->heads[i], message->payloads[i]);
    }
    return true;
}

static bool put_append_fragment(struct wire_writer *writer, const struct wire_message *message)
{
    struct raft_message raft = {
        .type = RAFT_MSG_APPEND,
        .intact = message->intact,
        .has_room = message->has_room,
        .is_parallel = message->is_parallel,
        .term = message->term,
        .append = message->fragment.append,
    };
    return wire_put_append_fragment(writer, message->group, &raft, &message->fragment);
}

static bool put_propose(struct wire_writer *writer, const struct wire_message *message)
{
    struct wire_writer before = *writer;
    const struct wire_propose *in = &message->propose;
    uint32_t written =
        wire_put_propose_ranges(writer, message->group, in->heads,
                                (const void *const *)in->payloads, in->ranges, in->count);
    if (written < in->count) {
        *writer = before;
        return false;
    }
    return true;
}

static bool put_propose_reply(struct wire_writer *writer, const struct wire_message *message)
{
    struct wire_writer before = *writer;
    const struct wire_propose_reply *in = &message->propose_reply;
    uint32_t written = wire_put_propose_reply(writer, message->group, in->client, in->leader_hint,
                                              in->results, in->count);
    if (written < in->count) {
        *writer = before;
        return false;
    }
    return true;
}

// A decoded reply points to its part, the writer wants the whole answer: the part is put at its
// place in one.
static bool put_read_reply(struct wire_writer *writer, const struct wire_message *message)
{
    static uint8_t answer[1 << 16];
    struct wire_writer before = *writer;
    struct wire_read_reply reply = message->read_reply;
    if (reply.total_bytes > sizeof(answer)) {
        return false;
    }
    memcpy(answer + reply.offset, reply.data, reply.bytes);
    reply.data = answer;
    int32_t written = wire_put_read_reply(writer, message->group, &reply);
    if (written != (int32_t)reply.bytes) {
        *writer = before;
        return false;
    }
    return true;
}

bool sample_put(struct wire_writer *writer, const struct wire_message *message)
{
    uint16_t group = message->group;
    switch (message->type) {
    case RAFT_MSG_APPEND:
        return put_append(writer, message);
    case WIRE_APPEND_FRAGMENT:
        return put_append_fragment(writer, message);
    case WIRE_SNAPSHOT:
        return wire_put_snapshot(writer, group, message->term, &message->snapshot);
    case WIRE_SNAPSHOT_REPLY:
        return wire_put_snapshot_reply(writer, group, message->term, &message->snapshot_reply);
    case WIRE_PROPOSE:
        return put_propose(writer, message);
    case WIRE_PROPOSE_FRAGMENT:
        return wire_put_propose_fragment(writer, group, &message->fragment);
    case WIRE_PROPOSE_REPLY:
        return put_propose_reply(writer, message);
    case WIRE_REGISTER_REPLY:
        return wire_put_register_reply(writer, group, &message->register_reply);
    case WIRE_READ:
        return wire_put_read(writer, group, &message->read);
    case WIRE_READ_REPLY:
        return put_read_reply(writer, message);
    case WIRE_STATUS:
        return wire_put_status(writer, group, &message->status);
    case WIRE_STATUS_REPLY:
        return wire_put_status_reply(writer, group, &message->status_reply);
    default:
        return wire_put_raft(writer, group, &message->raft);
    }
}

uint32_t sample_frame(uint8_t *frame, uint32_t capacity, const struct wire_message *message)
{
    struct wire_envelope envelope = sample_envelope(message->type);
    struct wire_writer writer;
    wire_begin(&writer, frame, capacity, &envelope);
    ASSERT(sample_put(&writer, message));
    return wire_seal(&writer);
}
