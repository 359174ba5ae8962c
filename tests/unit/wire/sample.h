// Random valid messages of every type, how to write them, and what a decoded one must look like.
// For tests and fuzz seeds.
#ifndef PONTOON_TESTS_WIRE_SAMPLE_H
#define PONTOON_TESTS_WIRE_SAMPLE_H

#include "engine/base/prng.h"
#include "engine/wire/wire.h"

enum {
    SAMPLE_TYPES = 18,
    SAMPLE_GROUPS = 300,
    SAMPLE_SELF = 2, // the node that receives requests and peers' messages
    SAMPLE_PEER = 7, // the node that sends
    SAMPLE_ENTRIES_MAX = WIRE_ENTRIES_MAX,
    SAMPLE_DATA_BYTES = 16384,
};

#define SAMPLE_CLUSTER UINT64_C(0x1122334455667788)

extern const uint8_t sample_types[SAMPLE_TYPES];

// One message and all it points to.
struct sample {
    struct wire_message message;
    struct raft_entry_head heads[SAMPLE_ENTRIES_MAX];
    const uint8_t *payloads[SAMPLE_ENTRIES_MAX];
    struct wire_result results[WIRE_RESULTS_MAX];
    struct wire_ranges ranges[SAMPLE_ENTRIES_MAX];
    uint16_t distances[SAMPLE_ENTRIES_MAX];
    uint8_t data[SAMPLE_DATA_BYTES];
};

// Who sends and receives messages of this type.
struct wire_envelope sample_envelope(uint8_t type);
// What their receiver accepts.
struct wire_filter sample_filter(uint8_t type);

// Fills a message of this type that fits into `room_bytes` (≥ 160), fields often at the edges of
// their ranges.
void sample_make(struct sample *sample, struct prng *prng, uint8_t type, uint32_t room_bytes);

// Writes a message, made or decoded. False when it does not fit.
bool sample_put(struct wire_writer *writer, const struct wire_message *message);

// A frame with just this message, sealed. Result: its bytes.
uint32_t sample_frame(uint8_t *frame, uint32_t capacity, const struct wire_message *message);

// Bytes between the heads and the payloads of a proposal.
uint32_t sample_ranges_bytes(const struct wire_propose *propose);

// The first field that differs, or NULL. `want` is made, `got` decoded.
const char *sample_difference(const struct wire_message *got, const struct wire_message *want);

#endif
