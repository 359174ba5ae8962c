#include "engine/wire/peek.h"

#include <string.h>

#include "engine/wire/layout.h"

enum { TYPES = 64 }; // that have a bit

uint64_t wire_peek_types(const void *frame, uint32_t bytes)
{
    struct layout_envelope envelope;
    struct layout_message message;
    uint64_t types = 0;
    uint32_t at = sizeof(envelope);
    if (bytes < sizeof(envelope)) {
        return 0;
    }
    memcpy(&envelope, frame, sizeof(envelope));
    if (envelope.magic != LAYOUT_MAGIC) {
        return 0;
    }
    for (uint32_t i = 0; i < envelope.messages && bytes - at >= sizeof(message); i++) {
        memcpy(&message, (const uint8_t *)frame + at, sizeof(message));
        if (message.type < TYPES) {
            types |= UINT64_C(1) << message.type;
        }
        if (message.bytes < sizeof(message) || message.bytes > bytes - at) {
            break;
        }
        at += message.bytes;
    }
    return types;
}
