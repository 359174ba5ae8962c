// wire_peek_types: every type in frames of the encoder, several in one frame, and bytes of any
// kind.
#include <stdlib.h>
#include <string.h>

#include "engine/wire/peek.h"
#include "tests/harness/harness.h"
#include "tests/unit/wire/sample.h"

static struct sample sample;
static uint8_t frame[WIRE_FRAME_BYTES_MAX];

static void each_type_is_seen(void)
{
    struct prng prng;
    prng_init(&prng, 1);
    for (uint32_t at = 0; at < SAMPLE_TYPES; at++) {
        for (int round = 0; round < 50; round++) {
            sample_make(&sample, &prng, sample_types[at], 1400);
            uint32_t bytes = sample_frame(frame, 1472, &sample.message);
            CHECK_EQUAL(wire_peek_types(frame, bytes), UINT64_C(1) << sample_types[at]);
        }
    }
}

static void all_messages_of_a_frame_are_seen(void)
{
    const struct wire_envelope envelope = sample_envelope(RAFT_MSG_VOTE);
    static const uint8_t types[] = {RAFT_MSG_APPEND_REPLY, RAFT_MSG_VOTE, RAFT_MSG_APPEND,
                                    RAFT_MSG_VOTE};
    struct wire_writer writer;
    struct prng prng;
    uint64_t want = 0;
    prng_init(&prng, 2);
    wire_begin(&writer, frame, sizeof(frame), &envelope);
    for (size_t at = 0; at < sizeof(types); at++) {
        sample_make(&sample, &prng, types[at], 1000);
        CHECK(sample_put(&writer, &sample.message));
        want |= UINT64_C(1) << types[at];
    }
    uint32_t bytes = wire_seal(&writer);
    CHECK_EQUAL(wire_peek_types(frame, bytes), want);
    // Cut anywhere, only what begins before the cut is seen. A copy of the right size, so that a
    // look behind its end is found by the sanitizers.
    for (uint32_t cut = 0; cut <= bytes; cut++) {
        uint8_t *copy = malloc(cut + 1);
        CHECK(copy != NULL);
        memcpy(copy, frame, cut);
        CHECK_EQUAL(wire_peek_types(copy, cut) & ~want, 0);
        free(copy);
    }
}

static void any_bytes_will_do(void)
{
    struct prng prng;
    prng_init(&prng, 3);
    CHECK_EQUAL(wire_peek_types(NULL, 0), 0);
    for (int round = 0; round < 20000; round++) {
        uint32_t bytes = (uint32_t)prng_below(&prng, 400);
        uint8_t *noise = malloc(bytes + 1);
        CHECK(noise != NULL);
        for (uint32_t at = 0; at < bytes; at++) {
            noise[at] = prng_chance(&prng, 1, 2) ? 0 : (uint8_t)prng_next(&prng);
        }
        if (bytes > 0) { // lengths of 0, and far behind the end
            CHECK_EQUAL(wire_peek_types(noise, bytes) & 1, 0);
            memcpy(noise, frame, bytes < 4 ? bytes : 4);
            wire_peek_types(noise, bytes);
        }
        free(noise);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(each_type_is_seen),
        TEST(all_messages_of_a_frame_are_seen),
        TEST(any_bytes_will_do),
    };
    return test_run("wire peek", cases, TEST_COUNT(cases), argc, argv);
}
