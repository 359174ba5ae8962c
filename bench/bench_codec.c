// The codec alone: what one entry costs on its way into a frame and out of it.
//
// A frame of appends is filled as a leader under load fills it, and read as a follower reads it.
// Each stage is timed over all frames of a round, so the clock costs nothing; rounds of all sizes
// are interleaved, and the median of the rounds is reported.
#include "bench/harness/options.h"
#include "bench/report/median.h"
#include "bench/report/result.h"
#include "engine/base/assert.h"
#include "engine/wire/wire.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SIZES = 3, ROUNDS_MAX = 100, FRAMES = 64, KEY_BYTES = 24, CLUSTER = 7, TERM = 3 };

enum stage {
    STAGE_ENCODE, // begin, open, put every entry
    STAGE_SEAL,   // length and checksum of the frame
    STAGE_OPEN,   // envelope and checksum
    STAGE_DECODE, // the message, its heads and where its payloads are
    STAGE_CHECK,  // every entry's own checksum
    STAGES
};
static const char *const stage_names[] = {"encode", "seal", "open", "decode", "check"};
static const uint32_t sizes[SIZES] = {64, 256, 4096};

struct bench {
    uint64_t rounds, frame_bytes, repeats;
    uint8_t frames[FRAMES][WIRE_FRAME_BYTES_MAX];
    struct wire_writer writers[FRAMES];
    struct wire_reader readers[FRAMES];
    struct wire_message messages[FRAMES];
    struct wire_scratch scratches[FRAMES];
    struct raft_entry_head heads[WIRE_ENTRIES_MAX];
    uint8_t payload[4096];                        // of every entry
    double samples_ns[SIZES][STAGES][ROUNDS_MAX]; // an entry
    char keys[SIZES][STAGES][KEY_BYTES];
};

static const struct wire_filter filter = {.cluster = CLUSTER, .self = 2, .peers = 1, .groups = 1};

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static uint32_t entries_of(const struct bench *bench, uint32_t bytes)
{
    const struct wire_writer empty = {.bytes = WIRE_ENVELOPE_BYTES,
                                      .capacity = (uint32_t)bench->frame_bytes};
    uint32_t count = 0;
    while (wire_append_takes(&empty, count + 1, (count + 1) * bytes)) {
        count++;
    }
    return count;
}

static void make_heads(struct bench *bench, uint32_t bytes)
{
    for (uint32_t i = 0; i < WIRE_ENTRIES_MAX; i++) {
        struct raft_entry_head *head = &bench->heads[i];
        *head = (struct raft_entry_head){
            .client = 1, .sequence = i + 1, .bytes = bytes, .kind = RAFT_ENTRY_COMMAND};
        head->crc = raft_entry_crc(head, bench->payload);
    }
}

static void encode(struct bench *bench, uint32_t bytes, uint32_t count)
{
    const struct wire_envelope envelope = {
        .cluster = CLUSTER, .boot = 1, .source = 1, .destination = 2};
    const struct raft_message message = {
        .type = RAFT_MSG_APPEND,
        .from = 1,
        .to = 2,
        .intact = true,
        .boot = 1,
        .term = TERM,
        .append = {.prev = {.term = TERM, .index = 10}, .entries_term = TERM, .count = count}};
    for (uint32_t at = 0; at < FRAMES; at++) {
        struct wire_append_writer append;
        wire_begin(&bench->writers[at], bench->frames[at], (uint32_t)bench->frame_bytes, &envelope);
        bool fits =
            wire_append_open(&append, &bench->writers[at], 0, &message, count, count * bytes);
        ASSERT(fits);
        for (uint32_t i = 0; i < count; i++) {
            wire_append_put(&append, &bench->heads[i], bench->payload);
        }
    }
}

static void run_stage(struct bench *bench, enum stage stage, uint32_t bytes, uint32_t count)
{
    if (stage == STAGE_ENCODE) {
        encode(bench, bytes, count);
        return;
    }
    for (uint32_t at = 0; at < FRAMES; at++) {
        bool good = true;
        struct wire_message *message = &bench->messages[at];
        switch (stage) {
        case STAGE_ENCODE:
        case STAGES:
            break;
        case STAGE_SEAL:
            wire_seal(&bench->writers[at]);
            break;
        case STAGE_OPEN:
            good = wire_open(&bench->readers[at], &filter, bench->frames[at],
                             bench->writers[at].bytes, &bench->scratches[at]) == WIRE_OK;
            break;
        case STAGE_DECODE: {
            struct wire_reader reader = bench->readers[at]; // each repeat reads from the start
            good = wire_next(&reader, &filter, message) == WIRE_OK;
            break;
        }
        case STAGE_CHECK:
            good = wire_check_entries(message->raft.append.heads, message->payloads, count);
            break;
        }
        ASSERT(good);
    }
}

static void run_round(struct bench *bench, uint32_t size, uint64_t round)
{
    uint32_t bytes = sizes[size], count = entries_of(bench, bytes);
    make_heads(bench, bytes);
    for (enum stage stage = STAGE_ENCODE; stage < STAGES; stage++) {
        double start = now_ns();
        for (uint64_t repeat = 0; repeat < bench->repeats; repeat++) {
            run_stage(bench, stage, bytes, count);
        }
        bench->samples_ns[size][stage][round] =
            (now_ns() - start) / (double)(bench->repeats * FRAMES * count);
    }
}

static void describe(struct bench *bench, struct result *result)
{
    result_add_count(result, "frame_bytes", bench->frame_bytes);
    result_add_count(result, "rounds", bench->rounds);
    for (uint32_t size = 0; size < SIZES; size++) {
        for (enum stage stage = STAGE_ENCODE; stage < STAGES; stage++) {
            char *key = bench->keys[size][stage];
            snprintf(key, KEY_BYTES, "%s_%u_ns", stage_names[stage], sizes[size]);
            struct median median = median_of(bench->samples_ns[size][stage], (size_t)bench->rounds);
            result_add_real(result, key, median.median, 2);
        }
    }
}

int main(int argc, char **argv)
{
    static struct bench bench = {.rounds = 9, .frame_bytes = 8960, .repeats = 20};
    const char *json_path = NULL;
    const struct option_row rows[] = {
        {"frame", OPTION_NUMBER, &bench.frame_bytes, 4400, WIRE_FRAME_BYTES_MAX, NULL,
         "bytes a frame"},
        {"rounds", OPTION_NUMBER, &bench.rounds, 1, ROUNDS_MAX, NULL, "interleaved"},
        {"repeats", OPTION_NUMBER, &bench.repeats, 1, 100000, NULL, "of 64 frames, a stage"},
        {"json", OPTION_TEXT, &json_path, 0, 0, NULL, "file for the result as JSON"},
    };
    options_parse(rows, sizeof(rows) / sizeof(rows[0]),
                  "nanoseconds an entry costs in each stage of the codec", argc, argv);
    memset(bench.payload, 0x5A, sizeof(bench.payload));
    for (uint64_t round = 0; round < bench.rounds; round++) {
        for (uint32_t size = 0; size < SIZES; size++) {
            run_round(&bench, size, round);
        }
    }
    struct result result;
    result_init(&result, argc, argv);
    describe(&bench, &result);
    return result_finish(&result, NULL, json_path, NULL);
}
