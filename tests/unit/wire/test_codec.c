// What is put is what comes out, in the published layout, and what does not fit leaves no trace.
#include "tests/harness/harness.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/crc32c.h"
#include "engine/driver_api/net.h"
#include "engine/wire/layout.h"
#include "engine/wire/wire.h"
#include "tests/unit/wire/oracle.h"
#include "tests/unit/wire/sample.h"

enum { ROUNDS = 3000 };

static_assert((int)WIRE_FRAME_BYTES_MIN == (int)NET_FRAME_BYTES_MIN, "what drivers carry");
static_assert((int)WIRE_FRAME_BYTES_MAX == (int)NET_FRAME_BYTES_MAX, "what drivers carry");
static_assert((int)WIRE_CLASSES == (int)NET_CLASSES, "one port a class");

static struct sample samples[64];
static struct wire_scratch scratch;
static uint8_t frame[WIRE_FRAME_BYTES_MAX];
static uint8_t copy[WIRE_FRAME_BYTES_MAX];

static void check_same(const struct wire_message *got, const struct wire_message *want)
{
    const char *difference = sample_difference(got, want);
    if (difference != NULL) {
        printf("    type %u differs in %s\n", want->type, difference);
    }
    CHECK(difference == NULL);
}

static void open_ok(struct wire_reader *reader, const struct wire_filter *filter, uint32_t bytes)
{
    CHECK_TEXT(wire_refusal_name(wire_open(reader, filter, frame, bytes, &scratch)), "ok");
}

static void every_type_round_trips(void)
{
    struct prng prng;
    prng_init(&prng, 1);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint8_t type = sample_types[round % SAMPLE_TYPES];
        struct wire_filter filter = sample_filter(type);
        struct wire_reader reader;
        struct wire_message got;
        uint32_t capacity = (uint32_t)prng_between(&prng, 200, sizeof(frame));
        sample_make(&samples[0], &prng, type, capacity - WIRE_ENVELOPE_BYTES);
        uint32_t bytes = sample_frame(frame, capacity, &samples[0].message);
        CHECK(bytes <= capacity);
        open_ok(&reader, &filter, bytes);
        CHECK_TEXT(wire_refusal_name(wire_next(&reader, &filter, &got)), "ok");
        check_same(&got, &samples[0].message);
        CHECK_EQUAL(sample_frame(copy, bytes, &got), bytes);
        CHECK(memcmp(copy, frame, bytes) == 0);
        CHECK_TEXT(wire_refusal_name(wire_next(&reader, &filter, &got)), "end");
    }
}

// Types that travel the same way as `type`.
static uint8_t random_type_beside(struct prng *prng, uint8_t type)
{
    struct wire_envelope want = sample_envelope(type);
    for (;;) {
        uint8_t other = sample_types[prng_below(prng, SAMPLE_TYPES)];
        struct wire_envelope envelope = sample_envelope(other);
        if (envelope.source == want.source && envelope.destination == want.destination) {
            return other;
        }
    }
}

static void a_frame_carries_messages_of_many_groups(void)
{
    struct prng prng;
    prng_init(&prng, 2);
    for (uint32_t round = 0; round < ROUNDS / 10; round++) {
        uint8_t type = sample_types[round % SAMPLE_TYPES];
        struct wire_envelope envelope = sample_envelope(type);
        struct wire_filter filter = sample_filter(type);
        struct wire_writer writer;
        struct wire_reader reader;
        struct wire_message got;
        uint32_t count = 0;
        wire_begin(&writer, frame, sizeof(frame), &envelope);
        while (count < 64) {
            sample_make(&samples[count], &prng, random_type_beside(&prng, type), 600);
            if (!sample_put(&writer, &samples[count].message)) {
                break;
            }
            count++;
        }
        CHECK(count >= 14);
        uint32_t bytes = wire_seal(&writer), crc;
        memcpy(&crc, frame + 4, sizeof(crc));
        CHECK_EQUAL(crc, oracle_checksum(frame, bytes));
        open_ok(&reader, &filter, bytes);
        CHECK_EQUAL(reader.envelope.source, envelope.source);
        CHECK_EQUAL(reader.envelope.destination, envelope.destination);
        CHECK_EQUAL(reader.envelope.cluster, envelope.cluster);
        CHECK_EQUAL(reader.envelope.boot, envelope.boot);
        CHECK_EQUAL(reader.envelope.class, envelope.class);
        for (uint32_t i = 0; i < count; i++) {
            CHECK_TEXT(wire_refusal_name(wire_next(&reader, &filter, &got)), "ok");
            check_same(&got, &samples[i].message);
        }
        CHECK_TEXT(wire_refusal_name(wire_next(&reader, &filter, &got)), "end");
        CHECK_TEXT(wire_refusal_name(wire_next(&reader, &filter, &got)), "end");
    }
}

// Written down by hand from FORMAT.md: the codec may not agree with itself only.
static void an_append_lies_as_published(void)
{
    static const uint8_t want[] = {
        0x50, 0x4E, 0x54, 0x4E,                         // magic "PNTN"
        0x00, 0x00, 0x00, 0x00,                         // crc, below
        0x03, 0x05, 0x00, 0x00,                         // version, class, flags
        0x07, 0x00, 0x02, 0x00,                         // source, destination
        0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, // cluster
        0x4D, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // boot
        0xB8, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, // frame bytes 184, messages, reserved
        0x90, 0x00, 0x00, 0x00, 0x05, 0x01, 0x85, 0x00, // message: 144 bytes, type, flags, group
        0x03, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // term
        0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // prev.term
        0x0A, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // prev.index
        0x02, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // entries_term
        0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // commit
        0x06, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // round
        0xEF, 0xCD, 0xAB, 0x89, 0x67, 0x45, 0x23, 0x01, // echo_ns
        0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // rejoin_boot
        0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // rejoin_index
        0x02, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, // count, payload bytes
        0x2A, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // head 0: client
        0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // sequence
        0x44, 0x33, 0x22, 0x11, 0x03, 0x00, 0x00, 0x02, // crc, bytes, kind COMMAND
        0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, // head 1: nonce
        0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // window
        0x88, 0x77, 0x66, 0x55, 0x00, 0x00, 0x00, 0x03, // crc, bytes, kind REGISTER
        'a',  'b',  'c',  0x00, 0x00, 0x00, 0x00, 0x00, // payloads, padding
    };
    struct raft_message message = {
        .type = RAFT_MSG_APPEND,
        .intact = true,
        .term = 0x103,
        .append =
            {
                .prev = {.term = 0x101, .index = 10},
                .entries_term = 0x102,
                .commit = 9,
                .round = 6,
                .echo_ns = UINT64_C(0x0123456789ABCDEF),
                .rejoin_boot = 3,
                .rejoin_index = 8,
            },
    };
    struct raft_entry_head command = {
        .client = 42, .sequence = 1, .bytes = 3, .crc = 0x11223344, .kind = RAFT_ENTRY_COMMAND};
    struct raft_entry_head registration = {
        .client = UINT64_MAX, .sequence = 16, .crc = 0x55667788, .kind = RAFT_ENTRY_REGISTER};
    struct wire_envelope envelope = {
        .cluster = SAMPLE_CLUSTER, .boot = 77, .source = 7, .destination = 2, .class = 5};
    struct wire_writer writer;
    struct wire_append_writer append;
    memset(frame, 0xEE, sizeof(frame));
    wire_begin(&writer, frame, sizeof(frame), &envelope);
    CHECK(wire_append_open(&append, &writer, 133, &message, 2, 3));
    wire_append_put(&append, &command, "abc");
    wire_append_put(&append, &registration, NULL);
    CHECK_EQUAL(wire_seal(&writer), sizeof(want));
    CHECK(memcmp(frame, want, 4) == 0);
    for (uint32_t i = 8; i < sizeof(want); i++) {
        CHECK_EQUAL(frame[i], want[i]);
    }
    uint32_t crc;
    memcpy(&crc, frame + 4, 4);
    CHECK_EQUAL(crc, crc32c(0, want + 8, sizeof(want) - 8 - 8)); // without payloads and padding
}

// Entries given as a log keeps them leave as the same bytes.
static void records_leave_as_entries_do(void)
{
    static uint8_t records[2 * WIRE_FRAME_BYTES_MAX];
    struct wire_envelope envelope = sample_envelope(RAFT_MSG_APPEND);
    struct prng prng;
    prng_init(&prng, 5);
    for (uint32_t round = 0; round < ROUNDS / 5; round++) {
        struct wire_writer writer;
        struct wire_append_writer append;
        sample_make(&samples[0], &prng, RAFT_MSG_APPEND, 8000);
        uint32_t bytes = sample_frame(frame, sizeof(frame), &samples[0].message);
        const struct wire_message *message = &samples[0].message;
        uint32_t count = message->raft.append.count, at = 0;
        for (uint32_t i = 0; i < count; i++) {
            wire_head_write(records + at, &samples[0].heads[i]);
            memcpy(records + at + WIRE_HEAD_BYTES, samples[0].payloads[i],
                   samples[0].heads[i].bytes);
            at += WIRE_HEAD_BYTES + samples[0].heads[i].bytes;
        }
        wire_begin(&writer, copy, sizeof(copy), &envelope);
        CHECK(wire_append_open(&append, &writer, message->group, &message->raft, count,
                               message->payload_bytes));
        uint32_t first = (uint32_t)prng_below(&prng, count + 1), first_bytes = 0;
        wire_append_put_records(&append, records, first);
        for (uint32_t i = 0; i < first; i++) {
            first_bytes += WIRE_HEAD_BYTES + samples[0].heads[i].bytes;
        }
        wire_append_put_records(&append, records + first_bytes, count - first);
        CHECK_EQUAL(wire_seal(&writer), bytes);
        CHECK(memcmp(copy, frame, bytes) == 0);
    }
}

static void a_put_that_does_not_fit_changes_nothing(void)
{
    struct prng prng;
    prng_init(&prng, 3);
    for (uint32_t round = 0; round < ROUNDS / 5; round++) {
        uint8_t type = sample_types[round % SAMPLE_TYPES];
        struct wire_envelope envelope = sample_envelope(type);
        sample_make(&samples[0], &prng, type, 400);
        uint32_t bytes = sample_frame(frame, sizeof(frame), &samples[0].message);
        for (uint32_t capacity = WIRE_ENVELOPE_BYTES; capacity <= bytes; capacity++) {
            struct wire_writer writer;
            memset(copy, 0xA5, sizeof(copy));
            wire_begin(&writer, copy, capacity, &envelope);
            CHECK_EQUAL(sample_put(&writer, &samples[0].message), capacity == bytes);
            CHECK_EQUAL(copy[capacity], 0xA5);
            if (capacity < bytes && type != WIRE_PROPOSE && type != WIRE_PROPOSE_REPLY &&
                type != WIRE_READ_REPLY) {
                CHECK_EQUAL(writer.bytes, WIRE_ENVELOPE_BYTES);
                CHECK_EQUAL(writer.messages, 0);
                CHECK_EQUAL(copy[WIRE_ENVELOPE_BYTES], 0xA5);
            }
        }
        CHECK_EQUAL(wire_open(&(struct wire_reader){0},
                              &(struct wire_filter){.cluster = SAMPLE_CLUSTER}, frame,
                              WIRE_ENVELOPE_BYTES - 1, &scratch),
                    WIRE_SHORT);
    }
}

// The writer zeroes what has no meaning in a message, so that its reader, who insists on it, takes
// it.
static void what_has_no_meaning_leaves_as_zero(void)
{
    struct wire_envelope envelope = sample_envelope(RAFT_MSG_APPEND);
    struct wire_filter filter = sample_filter(RAFT_MSG_APPEND);
    struct wire_writer writer;
    struct wire_reader reader;
    struct wire_message got;
    struct raft_message heartbeat = {
        .type = RAFT_MSG_APPEND, .term = 9, .append = {.entries_term = 8, .rejoin_index = 7}};
    struct raft_message reply = {.type = RAFT_MSG_APPEND_REPLY,
                                 .term = 9,
                                 .append_reply = {.result = RAFT_APPEND_OK, .conflict = {3, 4}}};
    wire_begin(&writer, frame, sizeof(frame), &envelope);
    CHECK(wire_put_raft(&writer, 0, &heartbeat));
    CHECK(wire_put_raft(&writer, 0, &reply));
    open_ok(&reader, &filter, wire_seal(&writer));
    CHECK_TEXT(wire_refusal_name(wire_next(&reader, &filter, &got)), "ok");
    CHECK_EQUAL(got.raft.append.entries_term, 0);
    CHECK_EQUAL(got.raft.append.rejoin_index, 0);
    CHECK_TEXT(wire_refusal_name(wire_next(&reader, &filter, &got)), "ok");
    CHECK_EQUAL(got.raft.append_reply.conflict.term, 0);
    CHECK_EQUAL(got.raft.append_reply.conflict.index, 0);

    struct wire_status_reply status = {.node = 1, .digest = 5};
    envelope = sample_envelope(WIRE_STATUS_REPLY);
    filter = sample_filter(WIRE_STATUS_REPLY);
    wire_begin(&writer, frame, sizeof(frame), &envelope);
    CHECK(wire_put_status_reply(&writer, 0, &status));
    open_ok(&reader, &filter, wire_seal(&writer));
    CHECK_TEXT(wire_refusal_name(wire_next(&reader, &filter, &got)), "ok");
    CHECK_EQUAL(got.status_reply.digest, 0);
}

// Slow twins: the largest prefix is found by adding up.
static void batches_take_the_largest_prefix_that_fits(void)
{
    struct prng prng;
    prng_init(&prng, 4);
    struct wire_envelope envelope = sample_envelope(WIRE_PROPOSE);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t capacity = (uint32_t)prng_between(&prng, WIRE_ENVELOPE_BYTES, 2000);
        uint32_t left = (capacity - WIRE_ENVELOPE_BYTES) & ~7u;
        uint32_t entry_bytes[100];
        sample_make(&samples[0], &prng, WIRE_PROPOSE, 8000);
        struct wire_propose *propose = &samples[0].message.propose;
        uint32_t count = propose->count < 100 ? propose->count : 100;
        uint32_t append_twin = 0;
        uint32_t propose_twin = 0;
        uint32_t sum = 0;
        for (uint32_t i = 0; i < count; i++) {
            entry_bytes[i] = propose->heads[i].bytes;
            sum += 24 + entry_bytes[i];
            append_twin += append_twin == i && 88 + sum <= left;
            propose_twin += propose_twin == i && 24 + sum <= left;
        }
        struct wire_writer writer;
        wire_begin(&writer, frame, capacity, &envelope);
        CHECK_EQUAL(wire_append_fit(&writer, entry_bytes, count), append_twin);
        CHECK_EQUAL(wire_put_propose(&writer, 0, propose->heads,
                                     (const void *const *)propose->payloads, count),
                    propose_twin);
        CHECK_EQUAL(writer.messages, propose_twin > 0);

        sample_make(&samples[1], &prng, WIRE_PROPOSE_REPLY, 8000);
        struct wire_propose_reply *reply = &samples[1].message.propose_reply;
        uint32_t reply_twin = left < 32 ? 0 : (left - 32) / 16;
        reply_twin = reply_twin < reply->count ? reply_twin : reply->count;
        wire_begin(&writer, frame, capacity, &envelope);
        CHECK_EQUAL(wire_put_propose_reply(&writer, 0, 1, 0, reply->results, reply->count),
                    reply_twin);
        CHECK_EQUAL(writer.messages, reply_twin > 0);
    }
}

static void no_message_has_more_entries_than_a_reader_takes(void)
{
    static struct raft_entry_head heads[WIRE_ENTRIES_MAX + 1];
    static const void *payloads[WIRE_ENTRIES_MAX + 1];
    static uint32_t entry_bytes[WIRE_ENTRIES_MAX + 1];
    static uint8_t large[40000];
    struct wire_envelope envelope = sample_envelope(WIRE_PROPOSE);
    struct wire_writer writer;
    wire_begin(&writer, large, sizeof(large), &envelope);
    CHECK_EQUAL(writer.capacity, WIRE_FRAME_BYTES_MAX);
    writer.capacity = sizeof(large); // as if frames were larger than they may be
    CHECK_EQUAL(wire_append_fit(&writer, entry_bytes, WIRE_ENTRIES_MAX + 1), WIRE_ENTRIES_MAX);
    CHECK(!wire_append_takes(&writer, WIRE_ENTRIES_MAX + 1, 0));
    CHECK(!wire_append_takes(&writer, 1, UINT32_MAX));
    for (uint32_t i = 0; i <= WIRE_ENTRIES_MAX; i++) {
        heads[i].kind = RAFT_ENTRY_REGISTER;
    }
    CHECK_EQUAL(wire_put_propose(&writer, 0, heads, payloads, WIRE_ENTRIES_MAX + 1),
                WIRE_ENTRIES_MAX);
}

static void an_answer_leaves_in_parts(void)
{
    static uint8_t answer[5000];
    static uint8_t got_answer[5000];
    struct prng prng;
    prng_init(&prng, 5);
    for (uint32_t i = 0; i < sizeof(answer); i++) {
        answer[i] = (uint8_t)prng_next(&prng);
    }
    for (uint32_t capacity = 97; capacity < 5200;
         capacity += (uint32_t)prng_between(&prng, 1, 99)) {
        struct wire_read_reply reply = {.total_bytes = sizeof(answer), .data = answer};
        struct wire_envelope envelope = sample_envelope(WIRE_READ_REPLY);
        struct wire_filter filter = sample_filter(WIRE_READ_REPLY);
        memset(got_answer, 0, sizeof(got_answer));
        while (reply.offset < reply.total_bytes) {
            struct wire_writer writer;
            struct wire_reader reader;
            struct wire_message got;
            wire_begin(&writer, frame, capacity, &envelope);
            int32_t part = wire_put_read_reply(&writer, 0, &reply);
            if (capacity < 104) {
                CHECK_EQUAL(part, -1);
                break;
            }
            CHECK(part > 0);
            CHECK((uint32_t)part <= wire_read_bytes_max(capacity));
            open_ok(&reader, &filter, wire_seal(&writer));
            CHECK_EQUAL(wire_next(&reader, &filter, &got), WIRE_OK);
            CHECK_EQUAL(got.read_reply.bytes, part);
            CHECK_EQUAL(got.read_reply.offset, reply.offset);
            memcpy(got_answer + got.read_reply.offset, got.read_reply.data, got.read_reply.bytes);
            reply.offset += (uint32_t)part;
        }
        CHECK(capacity < 104 || memcmp(answer, got_answer, sizeof(answer)) == 0);
    }
    struct wire_envelope envelope = sample_envelope(WIRE_READ_REPLY);
    struct wire_writer writer;
    wire_begin(&writer, frame, 96, &envelope);
    CHECK_EQUAL(wire_put_read_reply(&writer, 0, &(struct wire_read_reply){.status = WIRE_BUSY}), 0);
    CHECK_EQUAL(writer.messages, 1);
    CHECK_EQUAL(wire_put_read_reply(&writer, 0, &(struct wire_read_reply){.status = WIRE_BUSY}),
                -1);
    CHECK_EQUAL(writer.messages, 1);
}

// For every frame size: what is promised fits, and eight bytes more would not.
static void promised_sizes_fit_exactly(void)
{
    static uint8_t payload[WIRE_FRAME_BYTES_MAX + 8];
    for (uint32_t size = WIRE_ENVELOPE_BYTES; size <= WIRE_FRAME_BYTES_MAX; size++) {
        struct wire_envelope envelope = sample_envelope(RAFT_MSG_APPEND);
        struct raft_message message = {.type = RAFT_MSG_APPEND, .term = 1};
        for (uint32_t more = 0; more <= 8; more += 8) {
            bool fits = more == 0;
            struct wire_append_writer append;
            struct wire_writer writer;
            uint32_t bytes = wire_append_payload_max(size) + more;
            if (bytes > 0) {
                wire_begin(&writer, frame, size, &envelope);
                CHECK_EQUAL(wire_append_open(&append, &writer, 0, &message, 1, bytes), fits);
            }
            struct wire_fragment fragment = {.data = payload};
            fragment.bytes = wire_fragment_bytes(size) + more;
            if (fragment.bytes > 0) {
                wire_begin(&writer, frame, size, &envelope);
                CHECK_EQUAL(wire_put_append_fragment(&writer, 0, &message, &fragment), fits);
                CHECK(!fits ||
                      wire_put_propose_fragment(
                          (wire_begin(&writer, frame, size, &envelope), &writer), 0, &fragment));
            }
            struct raft_entry_head head = {.kind = RAFT_ENTRY_COMMAND};
            const void *payloads[1] = {payload};
            head.bytes = wire_propose_payload_max(size) + more;
            if (head.bytes > 0) {
                wire_begin(&writer, frame, size, &envelope);
                CHECK_EQUAL(wire_put_propose(&writer, 0, &head, payloads, 1), fits);
            }
            struct wire_snapshot snapshot = {.data = payload};
            snapshot.bytes = wire_snapshot_bytes_max(size) + more;
            if (snapshot.bytes > 0) {
                wire_begin(&writer, frame, size, &envelope);
                CHECK_EQUAL(wire_put_snapshot(&writer, 0, 1, &snapshot), fits);
            }
            struct wire_read read = {.query = payload, .bytes = wire_read_bytes_max(size) + more};
            if (read.bytes > 0) {
                wire_begin(&writer, frame, size, &envelope);
                CHECK_EQUAL(wire_put_read(&writer, 0, &read), fits);
            }
        }
    }
    CHECK_EQUAL(wire_append_payload_max(0), 0);
    CHECK_EQUAL(wire_append_payload_max(UINT32_MAX), wire_append_payload_max(WIRE_FRAME_BYTES_MAX));
    CHECK_EQUAL(wire_fragment_bytes(9000), 8848);
    CHECK(wire_fragment_bytes(NET_FRAME_BYTES_MIN) >= WIRE_FRAGMENT_BYTES_MIN);
}

// An entry cut into fragments of any frame size passes the reader, part by part.
static void every_cut_of_an_entry_is_valid(void)
{
    static uint8_t payload[RAFT_PAYLOAD_BYTES_MAX];
    struct prng prng;
    prng_init(&prng, 6);
    struct wire_filter filter = sample_filter(WIRE_PROPOSE_FRAGMENT);
    struct wire_envelope envelope = sample_envelope(WIRE_PROPOSE_FRAGMENT);
    for (uint32_t round = 0; round < 40; round++) {
        uint32_t size = (uint32_t)prng_between(&prng, NET_FRAME_BYTES_MIN, WIRE_FRAME_BYTES_MAX);
        uint32_t part = wire_fragment_bytes(size);
        struct wire_fragment fragment = {
            .head = {.client = 1, .sequence = 1, .kind = RAFT_ENTRY_COMMAND}};
        // One MiB; exact multiples of a part; anything.
        fragment.head.bytes = round == 0  ? RAFT_PAYLOAD_BYTES_MAX
                              : round < 5 ? (round + 1) * part
                                          : (uint32_t)prng_between(&prng, part + 1, 100000);
        for (; fragment.offset < fragment.head.bytes; fragment.offset += part) {
            uint32_t left = fragment.head.bytes - fragment.offset;
            struct wire_writer writer;
            struct wire_reader reader;
            struct wire_message got;
            fragment.bytes = left < part ? left : part;
            fragment.data = payload + fragment.offset;
            wire_begin(&writer, frame, size, &envelope);
            CHECK(wire_put_propose_fragment(&writer, 0, &fragment));
            open_ok(&reader, &filter, wire_seal(&writer));
            CHECK_TEXT(wire_refusal_name(wire_next(&reader, &filter, &got)), "ok");
        }
    }
}

static void answers_without_data_are_no_larger_than_their_requests(void)
{
    CHECK(sizeof(struct layout_status_reply) <= sizeof(struct layout_status));
    CHECK(sizeof(struct layout_read_reply) <= sizeof(struct layout_read));
    CHECK(sizeof(struct layout_register_reply) <= sizeof(struct layout_propose) + WIRE_HEAD_BYTES);
    CHECK(sizeof(struct layout_propose_reply) + sizeof(struct wire_result) <=
          sizeof(struct layout_propose) + WIRE_HEAD_BYTES);
    CHECK(sizeof(struct layout_propose_reply) + sizeof(struct wire_result) <=
          sizeof(struct layout_propose_fragment) + 1 + 7);
    CHECK(sizeof(struct wire_result) <= WIRE_HEAD_BYTES);
}

static void every_refusal_has_its_own_name(void)
{
    for (int i = 0; i < WIRE_REFUSALS; i++) {
        CHECK(strcmp(wire_refusal_name((enum wire_refusal)i), "unknown") != 0);
        for (int j = 0; j < i; j++) {
            CHECK(strcmp(wire_refusal_name((enum wire_refusal)i),
                         wire_refusal_name((enum wire_refusal)j)) != 0);
        }
    }
    CHECK_TEXT(wire_refusal_name(WIRE_REFUSALS), "unknown");
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(every_type_round_trips),
        TEST(a_frame_carries_messages_of_many_groups),
        TEST(an_append_lies_as_published),
        TEST(records_leave_as_entries_do),
        TEST(a_put_that_does_not_fit_changes_nothing),
        TEST(what_has_no_meaning_leaves_as_zero),
        TEST(batches_take_the_largest_prefix_that_fits),
        TEST(no_message_has_more_entries_than_a_reader_takes),
        TEST(an_answer_leaves_in_parts),
        TEST(promised_sizes_fit_exactly),
        TEST(every_cut_of_an_entry_is_valid),
        TEST(answers_without_data_are_no_larger_than_their_requests),
        TEST(every_refusal_has_its_own_name),
    };
    return test_run("wire codec", cases, TEST_COUNT(cases), argc, argv);
}
