// Requests of clients into a production reactor with a kv store.
//
// The node is alone in its cluster, so it leads, and keeps its log in memory; its groups are strict
// or parallel. The input is a sequence of frames, each of one or more requests: registrations,
// commands, fragments, reads, status, or bytes as they are; commands and reads may declare what
// they touch, or what nobody can mean. Envelope and checksums are right (but where the input wants
// an entry's to be wrong), so that the fuzzer gets past the gate.
//
// What must hold:
//  - every frame sent is valid, and goes to who asked;
//  - the answers so far are not longer than the requests so far, but for the data of reads
//    (and for envelopes, where answers to one frame leave in several): whoever forges a source
//    address gains nothing;
//  - nothing is allocated, and when all is quiet nothing is kept.
#include "drivers/app_kv/app_kv.h"
#include "drivers/app_kv/kv_command.h"
#include "tests/fuzz/client_requests.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/memory.h"
#include "tests/fuzz/seat.h"
#include "tests/unit/wire/sample.h"

enum {
    SELF = 1,
    GROUPS = 2,
    CLIENTS = 3,
    FRAMES_MAX = 200, // an input
    QUIET_POLLS = 4,  // after a frame
    COMMANDS_MAX = 40,
    KV_BYTES = 8 << 20,
    READ_REPLY_BYTES = 56, // before the data
    DECLARED_MAX = 15,     // ranges: more than may be
};

static struct seat *seat;
static uint64_t asked_bytes, answered_bytes;
static uint64_t sessions[GROUPS], sequences[GROUPS];
static uint16_t asking; // the client whose frame is under way
static struct sample sample;
static bool is_declaring; // the request that is being made
static struct raft_footprint declared[COMMANDS_MAX][DECLARED_MAX];

// ------------------------------------------------------------------------------------------------
// the store: one for all inputs, emptied for each

static void keep_open(struct app *app)
{
}

static bool is_opaque;

static int open_app(void *context, uint16_t group, struct app **app, char *reason,
                    size_t reason_bytes)
{
    static struct app *stores[GROUPS];
    static struct app_ops ops, opaque;
    if (stores[group] == NULL) {
        const struct app_kv_config config = {.memory_bytes = KV_BYTES};
        int error = app_kv_open(&config, &stores[group], reason, reason_bytes);
        REQUIRE(error == 0, "%s", reason);
        ops = *stores[group]->ops;
        ops.close = keep_open;
        opaque = ops;
        opaque.footprint = opaque.query_footprint = NULL;
    }
    stores[group]->ops = is_opaque ? &opaque : &ops;
    ops.restore_begin(stores[group]);
    ops.restore_end(stores[group]); // of nothing: the state stays empty
    *app = stores[group];
    return 0;
}

// ------------------------------------------------------------------------------------------------
// answers

static uint64_t padded(uint64_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

static void on_answer(const struct wire_message *message, uint64_t *data_bytes)
{
    if (message->type == WIRE_REGISTER_REPLY && message->register_reply.status == WIRE_DONE) {
        sessions[message->group] = message->register_reply.session;
        sequences[message->group] = 1;
    } else if (message->type == WIRE_READ_REPLY) {
        bool is_first = message->read_reply.offset == 0;
        *data_bytes += padded(message->read_reply.bytes) + (is_first ? 0 : READ_REPLY_BYTES);
    }
}

static void on_frame(void *context, const struct net_frame *frame)
{
    static struct wire_scratch scratch;
    struct wire_reader reader;
    struct wire_message message;
    const struct wire_filter filter = {
        .cluster = SEAT_CLUSTER, .self = WIRE_CLIENT, .peers = 1 << (SELF - 1), .groups = GROUPS};
    const struct net_endpoint client = seat_client(asking);
    REQUIRE(frame->remote.ipv4 == client.ipv4 && frame->remote.udp_port == client.udp_port,
            "an answer to somebody else");
    uint64_t data_bytes = 0;
    enum wire_refusal refusal = wire_open(&reader, &filter, frame->data, frame->bytes, &scratch);
    while (refusal == WIRE_OK && (refusal = wire_next(&reader, &filter, &message)) == WIRE_OK) {
        on_answer(&message, &data_bytes);
    }
    REQUIRE(refusal == WIRE_END, "sent a frame that is %s", wire_refusal_name(refusal));
    answered_bytes += frame->bytes - WIRE_ENVELOPE_BYTES - data_bytes;
}

// ------------------------------------------------------------------------------------------------
// requests

static uint32_t read_command(struct fuzz_input *input, uint8_t *payload)
{
    uint8_t bits = fuzz_u8(input);
    uint32_t bytes = bits >> 2;
    if ((bits & 3) == 3) { // not of kv's making
        const uint8_t *data = fuzz_take(input, &bytes);
        memcpy(payload, data, bytes);
        return bytes;
    }
    static const uint8_t value[64] = "value";
    uint8_t key = fuzz_u8(input);
    struct kv_command command = {.operation = KV_PUT + (bits & 3),
                                 .key = {.data = &key, .bytes = 1}};
    if (command.operation != KV_DELETE) {
        command.value = (struct kv_bytes){.data = value, .bytes = bytes};
    }
    if (command.operation == KV_COMPARE_AND_SWAP) {
        command.expected =
            (struct kv_bytes){.data = value, .bytes = (key & 1) != 0 ? KV_ABSENT : bytes};
    }
    return kv_command_encode(&command, payload, 256);
}

// What command `at` of a request declares: few near keys, so that some overlap, or anything.
static struct wire_ranges read_ranges(struct fuzz_input *input, uint32_t at)
{
    uint8_t bits = is_declaring ? fuzz_u8(input) : 0;
    uint8_t count = bits % (DECLARED_MAX + 1);
    for (uint32_t range = 0; range < count; range++) {
        declared[at][range].start = fuzz_near(input, (bits >> 4) + 2 * range, UINT64_MAX);
        declared[at][range].length = fuzz_near(input, 1, UINT64_MAX);
    }
    return (struct wire_ranges){.at = declared[at], .count = count};
}

static bool put_propose(struct fuzz_input *input, struct wire_writer *writer, uint16_t group)
{
    uint32_t count = 1 + fuzz_u8(input) % COMMANDS_MAX, data_at = 0;
    uint8_t how = fuzz_u8(input);
    for (uint32_t at = 0; at < count; at++) {
        struct raft_entry_head *head = &sample.heads[at];
        uint8_t *payload = sample.data + data_at;
        *head = (struct raft_entry_head){.kind = RAFT_ENTRY_COMMAND};
        if ((how & REQUEST_REGISTER) != 0) {
            head->kind = RAFT_ENTRY_REGISTER;
            head->client = fuzz_u8(input);
            head->sequence = fuzz_near(input, 1, RAFT_INDEX_MAX);
        } else {
            uint64_t session = sessions[group] + ((how & REQUEST_SESSIONS) != 0 ? at : 0);
            head->client = fuzz_near(input, session, RAFT_INDEX_MAX);
            head->sequence = fuzz_near(input, sequences[group] + at, RAFT_INDEX_MAX);
            head->sequence += head->sequence == 0;
            head->bytes = read_command(input, payload);
        }
        head->crc = raft_entry_crc(head, payload) + ((how & REQUEST_WRONG_CRC) != 0);
        sample.payloads[at] = payload;
        sample.ranges[at] = read_ranges(input, at);
        data_at += head->bytes;
    }
    sequences[group] += count;
    return wire_put_propose_ranges(writer, group, sample.heads,
                                   (const void *const *)sample.payloads, sample.ranges, count) > 0;
}

static bool put_fragment(struct fuzz_input *input, struct wire_writer *writer, uint16_t group)
{
    static const uint32_t sizes[] = {600,
                                     1500,
                                     4096,
                                     SEAT_PAYLOAD_BYTES_MAX,
                                     SEAT_PAYLOAD_BYTES_MAX + 1,
                                     RAFT_PAYLOAD_BYTES_MAX};
    uint8_t bits = fuzz_u8(input);
    uint32_t part = (bits & 8) != 0 ? 256 : 1200;
    struct wire_fragment fragment = {.head = {.kind = RAFT_ENTRY_COMMAND}, .data = sample.data};
    fragment.head.client = fuzz_near(input, sessions[group], RAFT_INDEX_MAX);
    fragment.head.sequence = fuzz_near(input, sequences[group], RAFT_INDEX_MAX);
    fragment.head.sequence += fragment.head.sequence == 0;
    fragment.head.bytes = sizes[(bits & 7) % 6];
    fragment.offset = part * (bits >> 4);
    if (fragment.offset >= fragment.head.bytes) {
        fragment.offset = 0;
    }
    uint32_t left = fragment.head.bytes - fragment.offset;
    fragment.bytes = left < part ? left : part;
    memset(sample.data, 0, SEAT_PAYLOAD_BYTES_MAX);
    if (fragment.head.bytes <= SEAT_PAYLOAD_BYTES_MAX) {
        fragment.head.crc = raft_entry_crc(&fragment.head, sample.data);
    }
    fragment.ranges = read_ranges(input, 0);
    return wire_put_propose_fragment(writer, group, &fragment);
}

static bool put_read(struct fuzz_input *input, struct wire_writer *writer, uint16_t group)
{
    uint8_t query[64] = {0}, bits = fuzz_u8(input), key = fuzz_u8(input);
    struct wire_read read = {.request = bits, .query = query, .bytes = bits >> 2};
    if ((bits & 3) == 3) { // not of kv's making
        const uint8_t *data = fuzz_take(input, &read.bytes);
        memcpy(query, data, read.bytes);
    } else {
        struct kv_query get = {.kind = (bits & 3) == 2 ? KV_QUERY_STATISTICS : KV_QUERY_GET};
        if (get.kind == KV_QUERY_GET) {
            get.key = (struct kv_bytes){.data = &key, .bytes = 1};
        }
        read.bytes = kv_command_encode_query(&get, query, sizeof(query));
    }
    read.ranges = read_ranges(input, 0);
    return wire_put_read(writer, group, &read);
}

static bool put_status(struct fuzz_input *input, struct wire_writer *writer, uint16_t group)
{
    uint8_t bits = fuzz_u8(input);
    const struct wire_status_request request = {.request = bits, .want_digest = (bits & 1) != 0};
    return wire_put_status(writer, group, &request);
}

static bool put_raw(struct fuzz_input *input, struct wire_writer *writer, uint16_t group)
{
    uint32_t bytes = fuzz_u8(input);
    const uint8_t *data = fuzz_take(input, &bytes);
    if (bytes == 0 || bytes > writer->capacity - writer->bytes) {
        return false;
    }
    memcpy(writer->frame + writer->bytes, data, bytes);
    writer->bytes += bytes;
    writer->messages++;
    return true;
}

static bool (*const requests[REQUESTS])(struct fuzz_input *input, struct wire_writer *writer,
                                        uint16_t group) = {
    [REQUEST_PROPOSE] = put_propose, [REQUEST_FRAGMENT] = put_fragment, [REQUEST_READ] = put_read,
    [REQUEST_STATUS] = put_status,   [REQUEST_RAW] = put_raw,
};

static void send_frame(struct fuzz_input *input)
{
    uint8_t frame[SEAT_FRAME_BYTES];
    uint8_t bits = fuzz_u8(input);
    const struct wire_envelope envelope = {.cluster = SEAT_CLUSTER, .destination = SELF};
    struct wire_writer writer;
    asking = (bits & 3) % CLIENTS;
    wire_begin(&writer, frame, sizeof(frame), &envelope);
    for (uint32_t left = 1 + ((bits >> 2) & 3); left > 0 && fuzz_has_more(input); left--) {
        uint8_t what = fuzz_u8(input);
        is_declaring = (what & REQUEST_DECLARES) != 0;
        requests[((what & ~REQUEST_DECLARES) >> 1) % REQUESTS](input, &writer, what & 1);
    }
    uint32_t bytes = wire_seal(&writer);
    const struct net_endpoint client = seat_client(asking);
    seat_deliver(seat, &client, frame, bytes);
    asked_bytes += bytes - WIRE_ENVELOPE_BYTES;
    for (uint32_t polls = 0; polls < QUIET_POLLS || seat->reactor->answer_out.is_active; polls++) {
        seat_poll(seat);
    }
    REQUIRE(answered_bytes <= asked_bytes, "%" PRIu64 " bytes asked, %" PRIu64 " answered",
            asked_bytes, answered_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {.at = data, .end = data + size};
    uint8_t bits = fuzz_u8(&input);
    bool is_parallel = (bits & REQUESTS_PARALLEL) != 0;
    is_opaque = (bits & REQUESTS_OPAQUE) != 0;
    const struct seat_options options = {.order =
                                             is_parallel ? RAFT_ORDER_PARALLEL : RAFT_ORDER_STRICT,
                                         .node = SELF,
                                         .nodes = 1,
                                         .groups = GROUPS,
                                         .is_volatile = true,
                                         .poll_ns = 20 * WORLD_US,
                                         .app_open = open_app,
                                         .on_frame = on_frame};
    asked_bytes = answered_bytes = 0;
    memset(sessions, 0, sizeof(sessions));
    memset(sequences, 0, sizeof(sequences));
    seat = seat_open(&options);
    for (uint32_t rounds = 0; rounds < 3; rounds++) { // its election: a timeout, and its vote
        seat->now_ns += 100 * WORLD_MS;
        seat_poll(seat);
        seat_poll(seat);
        seat_poll(seat);
    }
    uint64_t allocations = memory_allocations();
    for (uint32_t frames = 0; fuzz_has_more(&input) && frames < FRAMES_MAX; frames++) {
        send_frame(&input);
        for (uint16_t group = 0; group < GROUPS; group++) {
            raft_check_invariants(seat->reactor->groups[group].raft);
        }
    }
    REQUIRE(memory_allocations() == allocations, "%" PRIu64 " allocations",
            memory_allocations() - allocations);
    seat_check_leaks(seat);
    seat_close(seat);
    return 0;
}
