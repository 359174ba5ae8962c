// Frames cut, flipped, overwritten: what a reader does with anything at all.
//
// Refused, or decoded to values in range: never a read outside the frame (each frame is given in
// memory of exactly its size, so the sanitizers see one byte too far), never an assertion.
#include "tests/harness/harness.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "engine/wire/layout.h"
#include "engine/wire/wire.h"
#include "tests/unit/wire/doctored.h"
#include "tests/unit/wire/oracle.h"
#include "tests/unit/wire/sample.h"

static struct sample sample;
static uint8_t frame[WIRE_FRAME_BYTES_MAX];
static uint8_t clean[sizeof(frame)]; // before anything was flipped

// A frame with one random message of the type; small unless `room_bytes` is large.
static uint32_t random_frame(struct prng *prng, uint8_t type, uint32_t room_bytes)
{
    sample_make(&sample, prng, type, room_bytes);
    return sample_frame(frame, sizeof(frame), &sample.message);
}

static void every_prefix_is_refused(void)
{
    struct prng prng;
    prng_init(&prng, 11);
    for (uint32_t round = 0; round < 4 * SAMPLE_TYPES; round++) {
        uint8_t type = sample_types[round % SAMPLE_TYPES];
        struct wire_filter filter = sample_filter(type);
        uint32_t bytes = random_frame(&prng, type, 500);
        CHECK_EQUAL(doctored_read(&filter, frame, bytes), WIRE_END);
        for (uint32_t cut = 0; cut < bytes; cut++) {
            CHECK_EQUAL(doctored_read(&filter, frame, cut), WIRE_SHORT);
        }
        // The same with a length and checksum that fit the prefix.
        for (uint32_t cut = WIRE_ENVELOPE_BYTES; cut < bytes; cut++) {
            doctored_store(frame + offsetof(struct layout_envelope, frame_bytes), cut, 4);
            oracle_reseal(frame, cut);
            CHECK_EQUAL(doctored_read(&filter, frame, cut), WIRE_SHORT);
        }
        // And a message of a length that fits it too.
        for (uint32_t cut = M; cut < bytes; cut += 8) {
            doctored_store(frame + offsetof(struct layout_envelope, frame_bytes), cut, 4);
            doctored_store(frame + M, cut - M, 4);
            oracle_reseal(frame, cut);
            CHECK_EQUAL(doctored_read(&filter, frame, cut),
                        cut < M + 16 ? WIRE_SHORT : WIRE_BAD_FIELD);
        }
    }
}

// What a gateway takes of a frame: it reads on until a refusal, and takes the entries of a message
// when their checksums are right. Result: END when it took all.
static enum wire_refusal take_all(const struct wire_filter *filter, uint32_t bytes)
{
    static struct wire_scratch scratch;
    struct wire_reader reader;
    struct wire_message message;
    enum wire_refusal refusal = wire_open(&reader, filter, frame, bytes, &scratch);
    bool are_sound = true;
    while (refusal == WIRE_OK) {
        refusal = wire_next(&reader, filter, &message);
        if (refusal == WIRE_OK && message.type == RAFT_MSG_APPEND) {
            are_sound &= wire_check_entries(message.raft.append.heads, message.payloads,
                                            message.raft.append.count);
        } else if (refusal == WIRE_OK && message.type == WIRE_PROPOSE) {
            are_sound &= wire_check_entries(message.propose.heads, message.propose.payloads,
                                            message.propose.count);
        } else if (refusal == WIRE_OK && (message.type == WIRE_APPEND_FRAGMENT ||
                                          message.type == WIRE_PROPOSE_FRAGMENT)) {
            // Found out when the entry is whole (test_assembly).
            are_sound &= memcmp(message.fragment.data, clean + (message.fragment.data - frame),
                                message.fragment.bytes) == 0;
        }
    }
    return refusal == WIRE_END && !are_sound ? WIRE_BAD_ENTRY : refusal;
}

static void every_bit_flip_is_refused(void)
{
    struct prng prng;
    prng_init(&prng, 12);
    for (uint32_t round = 0; round < 4 * SAMPLE_TYPES; round++) {
        uint8_t type = sample_types[round % SAMPLE_TYPES];
        struct wire_filter filter = sample_filter(type);
        struct wire_envelope envelope = sample_envelope(type);
        struct wire_writer writer;
        wire_begin(&writer, frame, sizeof(frame), &envelope);
        for (uint64_t messages = prng_between(&prng, 1, 3); messages > 0; messages--) {
            sample_make(&sample, &prng, type, 400);
            sample_put(&writer, &sample.message);
        }
        uint32_t bytes = wire_seal(&writer);
        memcpy(clean, frame, bytes);
        for (uint32_t bit = 0; bit < bytes * 8; bit++) {
            frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
            enum wire_refusal refusal = doctored_read(&filter, frame, bytes);
            refusal = refusal == WIRE_END ? take_all(&filter, bytes) : refusal;
            CHECK(refusal != WIRE_OK && refusal != WIRE_END);
            frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        CHECK_EQUAL(doctored_read(&filter, frame, bytes), WIRE_END);
        CHECK_EQUAL(take_all(&filter, bytes), WIRE_END);
    }
}

// A flip in a payload costs its message, not the frame: heads, and what follows, are known to be
// right.
static void a_flip_in_a_payload_is_its_entrys_affair(void)
{
    static const uint8_t types[] = {RAFT_MSG_APPEND, WIRE_PROPOSE};
    struct prng prng;
    prng_init(&prng, 18);
    for (uint32_t round = 0; round < 40; round++) {
        uint8_t type = types[round % 2];
        struct wire_filter filter = sample_filter(type);
        uint32_t bytes = random_frame(&prng, type, 900);
        bool is_append = type == RAFT_MSG_APPEND;
        uint32_t fixed_bytes = is_append ? WIRE_APPEND_BYTES : 24;
        uint32_t heads =
            is_append ? sample.message.raft.append.count : sample.message.propose.count;
        uint32_t payload_bytes =
            is_append ? sample.message.payload_bytes : sample.message.propose.payload_bytes;
        uint32_t from = M + fixed_bytes + heads * WIRE_HEAD_BYTES;
        from += is_append ? 0 : sample_ranges_bytes(&sample.message.propose);
        from += is_append && raft_append_tells(&sample.message.raft.append)
                    ? heads * WIRE_DISTANCE_BYTES
                    : 0;
        for (uint32_t bit = 64; bit < bytes * 8; bit++) {
            bool is_payload = bit / 8 >= from && bit / 8 < from + payload_bytes;
            frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
            CHECK_EQUAL(take_all(&filter, bytes) == WIRE_BAD_ENTRY, is_payload);
            frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

// The one flip that changes what the checksum covers and that sizes do not show is one of the type:
// no type that a sender may use is one bit away from a type whose payloads are left out, but for
// messages of one fixed size each, smaller than an append, and votes with a report (test_parallel).
static void no_flip_of_a_type_hides_a_payload(void)
{
    for (uint32_t i = 0; i < SAMPLE_TYPES; i++) {
        uint8_t type = sample_types[i];
        int append = __builtin_popcount(type ^ RAFT_MSG_APPEND);
        int propose = __builtin_popcount(type ^ WIRE_PROPOSE);
        int append_fragment = __builtin_popcount(type ^ WIRE_APPEND_FRAGMENT);
        int propose_fragment = __builtin_popcount(type ^ WIRE_PROPOSE_FRAGMENT);
        bool is_small = type == RAFT_MSG_PRE_VOTE || type == RAFT_MSG_VOTE_REPLY;
        bool is_to_client = sample_filter(type).self == WIRE_CLIENT;
        CHECK(append != 1 || is_small || is_to_client);
        CHECK(propose != 1 || is_to_client);
        CHECK(append_fragment != 1 && propose_fragment != 1);
    }
}

static void a_bit_flip_behind_a_right_checksum_is_refused_or_in_range(void)
{
    struct prng prng;
    prng_init(&prng, 13);
    uint32_t refused = 0;
    for (uint32_t round = 0; round < 6 * SAMPLE_TYPES; round++) {
        uint8_t type = sample_types[round % SAMPLE_TYPES];
        struct wire_filter filter = sample_filter(type);
        uint32_t bytes = random_frame(&prng, type, 400);
        for (uint32_t bit = 0; bit < bytes * 8; bit++) {
            frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
            oracle_reseal(frame, bytes);
            refused += doctored_read(&filter, frame, bytes) != WIRE_END;
            frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    CHECK(refused > 10000);
}

// Every aligned field of every type, whatever it is, takes every absurd value, and its own value
// ± 1.
static void absurd_values_are_refused_or_in_range(void)
{
    static const uint64_t absurd[] = {
        0,
        1,
        2,
        0xFF,
        0x100,
        0xFFFF,
        0x10000,
        0xFFFFFF,
        0x1000000,
        0x7FFFFFFF,
        0x80000000,
        0xFFFFFFFF,
        UINT64_C(1) << 32,
        UINT64_C(1) << 40,
        (UINT64_C(1) << 62) - 1,
        UINT64_C(1) << 62,
        UINT64_C(1) << 63,
        UINT64_MAX - 7,
        UINT64_MAX - 1,
        UINT64_MAX,
    };
    enum { ABSURD = sizeof(absurd) / sizeof(absurd[0]) };
    struct prng prng;
    prng_init(&prng, 14);
    for (uint32_t round = 0; round < 8 * SAMPLE_TYPES; round++) {
        uint8_t type = sample_types[round % SAMPLE_TYPES];
        struct wire_filter filter = sample_filter(type);
        uint32_t bytes = random_frame(&prng, type, 300);
        for (uint32_t width = 1; width <= 8; width *= 2) {
            for (uint32_t at = 8; at + width <= bytes; at += width) {
                uint64_t was = 0;
                memcpy(&was, frame + at, width);
                for (uint32_t i = 0; i < ABSURD + 2; i++) {
                    doctored_store(frame + at, i < ABSURD ? absurd[i] : was + 2 * (i - ABSURD) - 1,
                                   width);
                    oracle_reseal(frame, bytes);
                    doctored_read(&filter, frame, bytes);
                }
                doctored_store(frame + at, was, width);
            }
        }
    }
}

static void random_bytes_are_refused_or_in_range(void)
{
    struct prng prng;
    prng_init(&prng, 15);
    uint32_t accepted = 0;
    for (uint32_t round = 0; round < 60000; round++) {
        uint8_t type = sample_types[round % SAMPLE_TYPES];
        struct wire_filter filter = sample_filter(type);
        uint32_t bytes = random_frame(&prng, type, 300);
        uint64_t changes = prng_between(&prng, 1, 8);
        while (changes-- > 0) {
            frame[prng_between(&prng, 8, bytes - 1)] = (uint8_t)prng_next(&prng);
        }
        oracle_reseal(frame, bytes);
        accepted += doctored_read(&filter, frame, bytes) == WIRE_END;
    }
    CHECK(accepted > 1000); // else the rounds show little
    for (uint32_t fill = 0; fill < 3; fill++) {
        struct wire_filter filter = sample_filter(RAFT_MSG_APPEND);
        for (uint32_t i = 0; i < sizeof(frame); i++) {
            frame[i] = fill == 0 ? 0 : fill == 1 ? 0xFF : (uint8_t)prng_next(&prng);
        }
        for (uint32_t bytes = 0; bytes <= 200; bytes++) {
            CHECK_EQUAL(doctored_read(&filter, frame, bytes),
                        bytes < 40 ? WIRE_SHORT : WIRE_BAD_MAGIC);
        }
    }
}

static void a_changed_entry_fails_its_checksum(void)
{
    static struct wire_scratch scratch;
    struct prng prng;
    prng_init(&prng, 17);
    struct wire_filter filter = sample_filter(WIRE_PROPOSE);
    for (uint32_t round = 0; round < 20; round++) {
        uint32_t bytes = random_frame(&prng, WIRE_PROPOSE, 600);
        uint32_t entries = sample.message.propose.count;
        uint32_t ranges = sample_ranges_bytes(&sample.message.propose);
        uint32_t heads_end = M + 24 + entries * 24;
        uint32_t end = heads_end + ranges + sample.message.propose.payload_bytes;
        uint32_t failed = 0;
        for (uint32_t bit = (M + 24) * 8; bit < end * 8; bit++) {
            struct wire_reader reader;
            struct wire_message message;
            if (bit == heads_end * 8) {
                bit += ranges * 8; // covered by the frame's checksum alone
            }
            if (bit >= end * 8) {
                break;
            }
            frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
            oracle_reseal(frame, bytes);
            CHECK_EQUAL(wire_open(&reader, &filter, frame, bytes, &scratch), WIRE_OK);
            if (wire_next(&reader, &filter, &message) == WIRE_OK) {
                CHECK(!wire_check_entries(message.propose.heads, message.propose.payloads,
                                          message.propose.count));
                failed++;
            }
            frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        CHECK(failed >= 32 * entries);
        CHECK(wire_check_entries(sample.heads, sample.payloads, entries));
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(every_prefix_is_refused),
        TEST(every_bit_flip_is_refused),
        TEST(a_flip_in_a_payload_is_its_entrys_affair),
        TEST(no_flip_of_a_type_hides_a_payload),
        TEST(a_bit_flip_behind_a_right_checksum_is_refused_or_in_range),
        TEST(absurd_values_are_refused_or_in_range),
        TEST(random_bytes_are_refused_or_in_range),
        TEST(a_changed_entry_fails_its_checksum),
    };
    return test_run("wire hostile", cases, TEST_COUNT(cases), argc, argv);
}
