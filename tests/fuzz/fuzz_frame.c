// Any bytes as a frame: refused, or every value in range, and written again the same bytes come
// out.
//
// What only chance could get right (magic, version, cluster, length, checksum) is put right, so
// that the fuzzer spends its time behind it, and then the number of messages, if their lengths fill
// the frame; the input is read untouched as well.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/wire/layout.h"
#include "tests/unit/wire/oracle.h"
#include "tests/unit/wire/sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_frame(const struct wire_filter *filter, const uint8_t *frame, uint32_t bytes)
{
    const char *fault;
    enum wire_refusal refusal = oracle_drain(filter, frame, bytes, &fault);
    if (fault != NULL) {
        fprintf(stderr, "%s, although: %s\n", wire_refusal_name(refusal), fault);
        abort();
    }
}

// How many messages stand in the frame by their lengths; 0: they do not fill it.
static uint16_t count_messages(const uint8_t *frame, uint32_t bytes)
{
    uint32_t at = WIRE_ENVELOPE_BYTES;
    uint16_t count = 0;
    struct layout_message header;
    for (; bytes - at >= sizeof(header); count++) {
        memcpy(&header, frame + at, sizeof(header));
        if (header.bytes < sizeof(header) || header.bytes > bytes - at) {
            return 0;
        }
        at += header.bytes;
    }
    return at == bytes ? count : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_filter node = sample_filter(WIRE_PROPOSE);
    struct wire_filter client = sample_filter(WIRE_PROPOSE_REPLY);
    read_frame(&node, data, (uint32_t)size);
    if (size < WIRE_ENVELOPE_BYTES) {
        return 0;
    }
    struct layout_envelope envelope;
    memcpy(&envelope, data, sizeof(envelope));
    bool to_client = envelope.destination == WIRE_CLIENT;
    envelope.magic = LAYOUT_MAGIC;
    envelope.version = WIRE_VERSION;
    envelope.cluster = SAMPLE_CLUSTER;
    envelope.destination = to_client ? client.self : node.self;
    envelope.frame_bytes = (uint32_t)size;
    uint8_t *frame = malloc(size);
    memcpy(frame, data, size);
    memcpy(frame, &envelope, sizeof(envelope));
    oracle_reseal(frame, (uint32_t)size);
    read_frame(to_client ? &client : &node, frame, (uint32_t)size);
    uint16_t messages = count_messages(frame, (uint32_t)size);
    if (messages != 0 && messages != envelope.messages) {
        envelope.messages = messages;
        memcpy(frame, &envelope, sizeof(envelope));
        oracle_reseal(frame, (uint32_t)size);
        read_frame(to_client ? &client : &node, frame, (uint32_t)size);
    }
    free(frame);
    return 0;
}
