// Writes seeds for the fuzzers that begin with structure: make_seeds DIRECTORY, below which a
// directory of each fuzzer's name exists.
#include <stdio.h>
#include <string.h>

#include "tests/fuzz/assembly_step.h"
#include "tests/fuzz/client_requests.h"
#include "tests/fuzz/node_seeds.h"
#include "tests/fuzz/wal_edits.h"
#include "tests/unit/wire/sample.h"

enum { FRAMES_PER_TYPE = 8, SEQUENCES = 16 };

static int write_seed(const char *directory, const char *fuzzer, uint32_t number, const void *bytes,
                      size_t count)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s/seed-%u", directory, fuzzer, number);
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    size_t written = fwrite(bytes, 1, count, file);
    return fclose(file) != 0 || written != count;
}

// Frames of one to four messages of one type.
static int write_frames(const char *directory, struct prng *prng)
{
    static struct sample sample;
    static uint8_t frame[WIRE_FRAME_BYTES_MAX];
    int failed = 0;
    for (uint32_t i = 0; i < FRAMES_PER_TYPE * SAMPLE_TYPES; i++) {
        uint8_t type = sample_types[i % SAMPLE_TYPES];
        struct wire_envelope envelope = sample_envelope(type);
        struct wire_writer writer;
        wire_begin(&writer, frame, sizeof(frame), &envelope);
        for (uint64_t messages = prng_between(prng, 1, 4); messages > 0; messages--) {
            sample_make(&sample, prng, type, 400);
            sample_put(&writer, &sample.message);
        }
        failed |= write_seed(directory, "frame", i, frame, wire_seal(&writer));
    }
    return failed;
}

// Whole entries, part by part, last part first every other time.
static int write_sequences(const char *directory, struct prng *prng)
{
    static const uint32_t sizes[] = {257, 1000, 2048, 4999, 5000};
    int failed = 0;
    for (uint32_t i = 0; i < SEQUENCES; i++) {
        uint8_t choice = (uint8_t)prng_below(prng, 5);
        uint8_t part = (uint8_t)prng_below(prng, 100);
        uint32_t part_bytes = 256 + 8 * (uint32_t)part;
        uint32_t parts = (sizes[choice] + part_bytes - 1) / part_bytes;
        struct step steps[32];
        for (uint32_t at = 0; at < parts; at++) {
            uint32_t place = i % 2 == 0 ? at : parts - 1 - at;
            steps[at] = (struct step){.key = (uint8_t)i,
                                      .entry = (uint8_t)(3 + choice),
                                      .part = part,
                                      .offset = place * part_bytes};
        }
        steps[parts] = (struct step){.key = (uint8_t)i, .flags = STEP_DONE};
        failed |= write_seed(directory, "assembly", i, steps, (parts + 1) * sizeof(steps[0]));
    }
    return failed;
}

// A session, commands and reads that declare what they touch, rightly, overlapping and too much of
// it, to every kind of node. Each request has a frame of its own: the first byte.
#define ASK(request) 0, REQUEST_DECLARES | (request) << 1
#define ENROL ASK(REQUEST_PROPOSE), 0, REQUEST_REGISTER, 9, 100, NO_RANGES
#define PROPOSE(count) ASK(REQUEST_PROPOSE), (count)-1, 0
#define PUT(key) 0, 0, 5 << 2, key
#define GET(key) ASK(REQUEST_READ), 0, key
#define SMALL_FRAGMENT ASK(REQUEST_FRAGMENT), 0, 0, 0
#define NO_RANGES 0
#define RANGE(start) (start) << 4 | 1, 0, 0
#define TWO_RANGES(start) (start) << 4 | 2, 0, 0, 0, 0
#define OVERLAPPING(start) (start) << 4 | 2, 0, 7, 0, 0
#define NINE_RANGES 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define LAST_KEY 1, 121, 0
#define NO_KEY 1, 0, 112
static int write_client_seeds(const char *directory)
{
    uint8_t bytes[] = {
        0,       ENROL,          PROPOSE(3),  PUT(1),         TWO_RANGES(1), PUT(2),     RANGE(5),
        PUT(3),  NO_RANGES,      GET(1),      RANGE(1),       GET(2),        NO_RANGES,  PROPOSE(1),
        PUT(1),  OVERLAPPING(1), PROPOSE(1),  PUT(1),         NINE_RANGES,   PROPOSE(1), PUT(1),
        NO_KEY,  GET(1),         NINE_RANGES, SMALL_FRAGMENT, RANGE(1),      PROPOSE(1), PUT(1),
        LAST_KEY};
    int failed = 0;
    for (uint8_t node = 0; node < 4; node++) {
        bytes[0] = node;
        failed |= write_seed(directory, "client", node, bytes, sizeof(bytes));
    }
    return failed;
}

static int write_node_seeds(const char *directory)
{
    int failed = 0;
    for (uint32_t at = 0; at < sizeof(node_seeds) / sizeof(node_seeds[0]); at++) {
        failed |= write_seed(directory, "node", at, node_seeds[at].bytes, node_seeds[at].count);
    }
    return failed;
}

// Actions of any kind, one after the other: this grammar has no long words.
static int write_recovery_seeds(const char *directory, struct prng *prng)
{
    int failed = 0;
    for (uint32_t at = 0; at < SEQUENCES; at++) {
        uint8_t bytes[200];
        for (uint32_t i = 0; i < sizeof(bytes); i++) {
            bytes[i] = (uint8_t)prng_next(prng);
        }
        failed |= write_seed(directory, "recovery", at, bytes, sizeof(bytes));
    }
    return failed;
}

// Every edit, alone and sealed.
static int write_wal_seeds(const char *directory)
{
    int failed = 0;
    for (uint8_t edit = 0; edit < WAL_EDITS; edit++) {
        const uint8_t bytes[] = {edit, 9, 4, 0, WAL_EDIT_SEAL, 9};
        failed |= write_seed(directory, "wal", 2u * edit, bytes, 3);
        failed |= write_seed(directory, "wal", 2u * edit + 1, bytes, sizeof(bytes));
    }
    return failed;
}

int main(int argc, char **argv)
{
    struct prng prng;
    prng_init(&prng, 41);
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    return write_frames(argv[1], &prng) | write_sequences(argv[1], &prng) |
           write_client_seeds(argv[1]) | write_node_seeds(argv[1]) |
           write_recovery_seeds(argv[1], &prng) | write_wal_seeds(argv[1]);
}
