// Frames of a run as files, one each, for the corpora of fuzzers: the first of every shape, which
// is the types and flags of its messages and, roughly, their lengths.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/crc32c.h"
#include "engine/wire/layout.h"
#include "tests/sim/sim.h"

static uint32_t log2_of(uint32_t value)
{
    return value == 0 ? 0 : 32 - (uint32_t)__builtin_clz(value);
}

static uint64_t shape_of(const uint8_t *data, uint32_t bytes)
{
    uint64_t shape = 0;
    struct layout_message message;
    for (uint32_t at = sizeof(struct layout_envelope); bytes - at >= sizeof(message);
         at += message.bytes) {
        memcpy(&message, data + at, sizeof(message));
        shape = sim_mix(shape, (uint64_t)message.type << 16 | (uint64_t)message.flags << 8 |
                                   log2_of(message.bytes));
    }
    return shape;
}

static void write_frame(const char *directory, const uint8_t *data, uint32_t bytes)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/frame-%08" PRIx32 "-%" PRIu32, directory,
             crc32c(0, data, bytes), bytes);
    FILE *file = fopen(path, "w");
    if (file == NULL || fwrite(data, 1, bytes, file) != bytes || fclose(file) != 0) {
        perror(path);
        exit(2);
    }
}

void sim_frames_see(struct sim_frames *frames, const uint8_t *data, uint32_t bytes)
{
    uint64_t shape = shape_of(data, bytes) % SIM_FRAME_SHAPES;
    uint64_t bit = UINT64_C(1) << shape % 64;
    if (frames->written < SIM_FRAMES_MAX && (frames->seen[shape / 64] & bit) == 0) {
        frames->seen[shape / 64] |= bit;
        frames->written++;
        write_frame(frames->directory, data, bytes);
    }
}
