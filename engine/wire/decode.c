// Bytes -> messages: the gateway. Whatever passes here is in range, so the core may assert on it.
// Here is the frame, what messages have in common, and the table of types; their bodies are in
// decode_peer.c and decode_client.c.
//
// A frame is judged whole (wire_open: length, magic, version, checksum, cluster, destination,
// source), then message by message (wire_next: type against sender, header, fields, sizes). Sizes
// are compared with the bytes present before anything behind them is read, in 64 bits where they
// come from the frame. The frame's checksum does not cover payloads of entries: before one is used,
// its own has to be verified, by wire_check_entries or, of an entry in fragments, by assembly.c.
#include "engine/wire/decode.h"

#include <string.h>

const char *wire_refusal_name(enum wire_refusal refusal)
{
    switch (refusal) {
    case WIRE_OK:
        return "ok";
    case WIRE_END:
        return "end";
    case WIRE_SHORT:
        return "short";
    case WIRE_TRAILING:
        return "trailing";
    case WIRE_BAD_MAGIC:
        return "bad_magic";
    case WIRE_BAD_VERSION:
        return "bad_version";
    case WIRE_BAD_CHECKSUM:
        return "bad_checksum";
    case WIRE_WRONG_CLUSTER:
        return "wrong_cluster";
    case WIRE_WRONG_DESTINATION:
        return "wrong_destination";
    case WIRE_BAD_SOURCE:
        return "bad_source";
    case WIRE_BAD_TYPE:
        return "bad_type";
    case WIRE_BAD_FIELD:
        return "bad_field";
    case WIRE_BAD_ENTRY:
        return "bad_entry";
    case WIRE_REFUSALS:
        break;
    }
    return "unknown";
}

// --- the frame

static bool is_peer(const struct wire_filter *filter, uint16_t id)
{
    return id >= 1 && id <= RAFT_NODE_ID_MAX && id != filter->self &&
           (filter->peers >> (id - 1) & 1) != 0;
}

static enum wire_refusal check_envelope(const struct wire_filter *filter,
                                        const struct layout_envelope *in)
{
    if (in->cluster != filter->cluster) {
        return WIRE_WRONG_CLUSTER;
    }
    if (in->destination != filter->self) {
        return WIRE_WRONG_DESTINATION;
    }
    bool from_client = in->source == WIRE_CLIENT && filter->self != WIRE_CLIENT;
    if (!from_client && !is_peer(filter, in->source)) {
        return WIRE_BAD_SOURCE;
    }
    if (in->class >= WIRE_CLASSES || in->flags != 0 || in->reserved != 0 ||
        (from_client && in->boot != 0)) {
        return WIRE_BAD_FIELD;
    }
    return WIRE_OK;
}

enum wire_refusal wire_open(struct wire_reader *reader, const struct wire_filter *filter,
                            const uint8_t *frame, uint32_t bytes, struct wire_scratch *scratch)
{
    struct layout_envelope in;
    if (bytes < sizeof(in)) {
        return WIRE_SHORT;
    }
    memcpy(&in, frame, sizeof(in));
    if (in.magic != LAYOUT_MAGIC) {
        return WIRE_BAD_MAGIC;
    }
    if (in.version != WIRE_VERSION) {
        return WIRE_BAD_VERSION;
    }
    if (in.frame_bytes != bytes) {
        return in.frame_bytes > bytes ? WIRE_SHORT : WIRE_TRAILING;
    }
    if (bytes > WIRE_FRAME_BYTES_MAX) {
        return WIRE_BAD_FIELD;
    }
    if (layout_checksum(frame, bytes) != in.crc) {
        return WIRE_BAD_CHECKSUM;
    }
    enum wire_refusal refusal = check_envelope(filter, &in);
    if (refusal != WIRE_OK) {
        return refusal;
    }
    *reader = (struct wire_reader){
        .at = frame + sizeof(in),
        .end = frame + bytes,
        .messages_left = in.messages,
        .envelope =
            {
                .cluster = in.cluster,
                .boot = in.boot,
                .source = in.source,
                .destination = in.destination,
                .class = in.class,
            },
        .scratch = scratch,
    };
    return WIRE_OK;
}

// --- pieces of messages

bool decode_is_zero(const uint8_t *bytes, size_t count)
{
    uint8_t any = 0;
    for (size_t i = 0; i < count; i++) {
        any |= bytes[i];
    }
    return any == 0;
}

enum wire_refusal decode_check_end(const uint8_t *at, const struct layout_message *header,
                                   uint64_t bytes)
{
    if (layout_round_up(bytes) != header->bytes) {
        return WIRE_BAD_FIELD;
    }
    return decode_is_zero(at + bytes, header->bytes - bytes) ? WIRE_OK : WIRE_TRAILING;
}

static bool is_command(const struct raft_entry_head *head)
{
    return head->kind == RAFT_ENTRY_COMMAND && head->bytes <= RAFT_PAYLOAD_BYTES_MAX &&
           head->client <= RAFT_INDEX_MAX && head->sequence - 1 < RAFT_INDEX_MAX;
}

// Kinds without payload. A NOOP is the leader's own: clients may not propose one.
static bool is_empty_kind(const struct raft_entry_head *head, bool from_client)
{
    if (head->bytes != 0 || head->sequence > RAFT_INDEX_MAX) {
        return false;
    }
    return head->kind == RAFT_ENTRY_REGISTER ||
           (head->kind == RAFT_ENTRY_NOOP && head->client == 0 && !from_client);
}

enum wire_refusal decode_entries(const struct wire_reader *reader, const uint8_t *at,
                                 const struct layout_message *header, uint32_t fixed_bytes,
                                 uint32_t count, uint32_t between_bytes, uint32_t payload_bytes)
{

    bool from_client = reader->envelope.source == WIRE_CLIENT;
    if (count > WIRE_ENTRIES_MAX) {
        return WIRE_BAD_FIELD;
    }
    uint32_t payloads_at = fixed_bytes + count * WIRE_HEAD_BYTES + between_bytes;
    enum wire_refusal refusal = decode_check_end(at, header, (uint64_t)payloads_at + payload_bytes);
    if (refusal != WIRE_OK) {
        return refusal;
    }
    struct wire_scratch *scratch = reader->scratch;
    const uint8_t *head_at = at + fixed_bytes;
    const uint8_t *payload = at + payloads_at;
    uint32_t left = payload_bytes;
    for (uint32_t i = 0; i < count; i++) {
        struct raft_entry_head *head = &scratch->heads[i];
        wire_head_read(head_at + i * WIRE_HEAD_BYTES, head);
        if (head->bytes > left || (!is_command(head) && !is_empty_kind(head, from_client))) {
            return WIRE_BAD_FIELD;
        }
        scratch->payloads[i] = payload;
        payload += head->bytes;
        left -= head->bytes;
    }
    return left == 0 ? WIRE_OK : WIRE_BAD_FIELD;
}

bool wire_fragment_is_valid(const struct wire_fragment *fragment)
{
    uint32_t total = fragment->head.bytes;
    uint32_t offset = fragment->offset;
    uint32_t bytes = fragment->bytes;
    if (!is_command(&fragment->head) || bytes == 0 || offset >= total || bytes > total - offset) {
        return false;
    }
    if (bytes == total - offset) {
        // The last: those before it are at least as large.
        return offset == 0 || (offset >= bytes && offset >= WIRE_FRAGMENT_BYTES_MIN);
    }
    return bytes >= WIRE_FRAGMENT_BYTES_MIN && offset % bytes == 0;
}

// --- which messages there are, who may send them, and how

enum route { FROM_PEER = 1, FROM_CLIENT, TO_CLIENT };
enum term_use { TERM_NONE, TERM_POSITIVE, TERM_ANY };

struct type_rule {
    uint8_t route; // enum route; 0: no such type
    uint8_t term;  // enum term_use
    uint8_t flags; // that may be set
    uint8_t fixed_bytes;
    decode_body *read;
};

static const struct type_rule type_rules[] = {
#define PEER_FLAGS (LAYOUT_FLAG_INTACT | LAYOUT_FLAG_ROOM | LAYOUT_FLAG_PARALLEL)
#define APPEND_FLAGS (PEER_FLAGS | LAYOUT_FLAG_SYNC | LAYOUT_FLAG_SUPPLY | LAYOUT_FLAG_DEPENDS)
#define RULE(route, term, flags, layout)                                                           \
    {                                                                                              \
        route, term, flags, sizeof(struct layout_##layout), decode_##layout                        \
    }
    [RAFT_MSG_PRE_VOTE] = RULE(FROM_PEER, TERM_POSITIVE, PEER_FLAGS, vote),
    [RAFT_MSG_PRE_VOTE_REPLY] = RULE(FROM_PEER, TERM_POSITIVE, PEER_FLAGS, vote_reply),
    [RAFT_MSG_VOTE] = RULE(FROM_PEER, TERM_POSITIVE, PEER_FLAGS, vote),
    [RAFT_MSG_VOTE_REPLY] = RULE(FROM_PEER, TERM_POSITIVE, PEER_FLAGS, vote_reply),
    [RAFT_MSG_APPEND] = RULE(FROM_PEER, TERM_POSITIVE, APPEND_FLAGS, append),
    [RAFT_MSG_APPEND_REPLY] = RULE(FROM_PEER, TERM_POSITIVE, PEER_FLAGS, append_reply),
    [RAFT_MSG_FETCH] = RULE(FROM_PEER, TERM_POSITIVE, PEER_FLAGS, fetch),
    [WIRE_APPEND_FRAGMENT] = RULE(FROM_PEER, TERM_POSITIVE, APPEND_FLAGS, append_fragment),
    [WIRE_SNAPSHOT] = RULE(FROM_PEER, TERM_POSITIVE, 0, snapshot),
    [WIRE_SNAPSHOT_REPLY] = RULE(FROM_PEER, TERM_POSITIVE, 0, snapshot_reply),
    [WIRE_PROPOSE] = RULE(FROM_CLIENT, TERM_NONE, LAYOUT_FLAG_RANGES, propose),
    [WIRE_PROPOSE_FRAGMENT] = RULE(FROM_CLIENT, TERM_NONE, LAYOUT_FLAG_RANGES, propose_fragment),
    [WIRE_PROPOSE_REPLY] = RULE(TO_CLIENT, TERM_NONE, 0, propose_reply),
    [WIRE_REGISTER_REPLY] = RULE(TO_CLIENT, TERM_NONE, 0, register_reply),
    [WIRE_READ] = RULE(FROM_CLIENT, TERM_NONE, LAYOUT_FLAG_RANGES, read),
    [WIRE_READ_REPLY] = RULE(TO_CLIENT, TERM_NONE, 0, read_reply),
    [WIRE_STATUS] = RULE(FROM_CLIENT, TERM_NONE, 0, status),
    [WIRE_STATUS_REPLY] = RULE(TO_CLIENT, TERM_ANY, 0, status_reply),
#undef RULE
};

static enum route route_of(const struct wire_envelope *envelope)
{
    if (envelope->source == WIRE_CLIENT) {
        return FROM_CLIENT;
    }
    return envelope->destination == WIRE_CLIENT ? TO_CLIENT : FROM_PEER;
}

static bool is_term_for(enum term_use use, uint64_t term)
{
    switch (use) {
    case TERM_NONE:
        return term == 0;
    case TERM_POSITIVE:
        return term >= 1 && term <= RAFT_TERM_MAX;
    case TERM_ANY:
        return term <= RAFT_TERM_MAX;
    }
    return false;
}

static enum wire_refusal read_message(const struct wire_reader *reader,
                                      const struct wire_filter *filter,
                                      struct layout_message *header, struct wire_message *message)
{
    size_t left = (size_t)(reader->end - reader->at);
    if (left < sizeof(*header)) {
        return WIRE_SHORT;
    }
    memcpy(header, reader->at, sizeof(*header));
    if (header->bytes > left) {
        return WIRE_SHORT;
    }
    if (header->type >= sizeof(type_rules) / sizeof(type_rules[0])) {
        return WIRE_BAD_TYPE;
    }
    const struct type_rule *rule = &type_rules[header->type];
    if (rule->route != route_of(&reader->envelope)) {
        return WIRE_BAD_TYPE;
    }
    if (header->bytes < rule->fixed_bytes || header->bytes % 8 != 0 ||
        header->group >= filter->groups || (header->flags & ~rule->flags) != 0 ||
        !is_term_for((enum term_use)rule->term, header->term)) {
        return WIRE_BAD_FIELD;
    }
    message->type = header->type;
    message->group = header->group;
    message->term = header->term;
    message->intact = (header->flags & LAYOUT_FLAG_INTACT) != 0;
    message->has_room = (header->flags & LAYOUT_FLAG_ROOM) != 0;
    message->is_parallel = (header->flags & LAYOUT_FLAG_PARALLEL) != 0;
    message->payloads = NULL;
    message->payload_bytes = 0;
    if (header->type <= RAFT_MSG_FETCH) {
        message->raft.type = (enum raft_message_type)header->type;
        message->raft.from = reader->envelope.source;
        message->raft.to = reader->envelope.destination;
        message->raft.intact = message->intact;
        message->raft.has_room = message->has_room;
        message->raft.is_parallel = message->is_parallel;
        message->raft.boot = reader->envelope.boot;
        message->raft.term = header->term;
    }
    return rule->read(reader, reader->at, header, message);
}

enum wire_refusal wire_next(struct wire_reader *reader, const struct wire_filter *filter,
                            struct wire_message *message)
{
    if (reader->messages_left == 0) {
        bool at_end = reader->at == reader->end;
        reader->at = reader->end;
        return at_end ? WIRE_END : WIRE_TRAILING;
    }
    struct layout_message header;
    enum wire_refusal refusal = read_message(reader, filter, &header, message);
    if (refusal != WIRE_OK) {
        reader->at = reader->end;
        reader->messages_left = 0;
        return refusal;
    }
    reader->at += header.bytes;
    reader->messages_left--;
    return WIRE_OK;
}

bool wire_check_entries(const struct raft_entry_head *heads, const uint8_t *const *payloads,
                        uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (wire_entry_crc(&heads[i], payloads[i]) != heads[i].crc) {
            return false;
        }
    }
    return true;
}
