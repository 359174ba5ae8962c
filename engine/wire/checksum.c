// What the frame's checksum covers: everything but the payloads of entries. Those have checksums of
// their own, in heads that are covered; so a node reads a payload once on its way in, and not again
// to send it on.
//
//     | envelope | header heads | payloads pad | header body | header heads ranges | payloads pad |
//     8 =========================^             ======================================^            ^
//
// The walk trusts nothing: from the first message on whose sizes disagree, all is covered.
#include "engine/base/crc32c.h"
#include "engine/wire/layout.h"
#include "engine/wire/ranges.h"

#include <string.h>

// APPEND and PROPOSE end their fixed part with these two.
struct counts {
    uint32_t entries;
    uint32_t payload_bytes;
};

static_assert(offsetof(struct layout_append, count) + sizeof(struct counts) ==
                  sizeof(struct layout_append),
              "counts end the fixed part");
static_assert(offsetof(struct layout_propose, count) + sizeof(struct counts) ==
                  sizeof(struct layout_propose),
              "counts end the fixed part");

// Bytes of an entry before the payloads, beside the fixed part.
static uint32_t entry_bytes(const struct layout_message *header)
{
    const uint8_t flags = LAYOUT_FLAG_PARALLEL | LAYOUT_FLAG_DEPENDS;
    bool tells = header->type == RAFT_MSG_APPEND && (header->flags & flags) == flags;
    return WIRE_HEAD_BYTES + (tells ? WIRE_DISTANCE_BYTES : 0);
}

// Bytes of the message at `at` before its payloads; all of it when there are none, or when its
// sizes disagree. Precondition: header->bytes of it are there.
static uint32_t covered_bytes(const uint8_t *at, const struct layout_message *header)
{
    uint32_t fixed_bytes;
    if (header->type == RAFT_MSG_APPEND) {
        fixed_bytes = sizeof(struct layout_append);
    } else if (header->type == WIRE_PROPOSE) {
        fixed_bytes = sizeof(struct layout_propose);
    } else {
        return header->bytes;
    }
    if (header->bytes < fixed_bytes) {
        return header->bytes;
    }
    struct counts counts;
    memcpy(&counts, at + fixed_bytes - sizeof(counts), sizeof(counts));
    uint64_t payloads_at = fixed_bytes + (uint64_t)counts.entries * entry_bytes(header);
    if (header->type == WIRE_PROPOSE && (header->flags & LAYOUT_FLAG_RANGES) != 0) {
        uint32_t ranges_bytes =
            payloads_at > header->bytes
                ? 0
                : ranges_block_bytes(at + payloads_at, header->bytes - payloads_at, counts.entries);
        if (ranges_bytes == 0) {
            return header->bytes;
        }
        payloads_at += ranges_bytes;
    }
    bool agrees = layout_round_up(payloads_at + counts.payload_bytes) == header->bytes;
    return agrees ? (uint32_t)payloads_at : header->bytes;
}

uint32_t layout_checksum(const uint8_t *frame, uint32_t bytes)
{
    uint32_t crc = 0;
    uint32_t from = LAYOUT_CHECKED_FROM;
    uint32_t at = WIRE_ENVELOPE_BYTES;
    struct layout_message header;
    while (bytes - at >= sizeof(header)) {
        memcpy(&header, frame + at, sizeof(header));
        if (header.bytes < sizeof(header) || header.bytes > bytes - at) {
            break;
        }
        uint32_t covered = covered_bytes(frame + at, &header);
        if (covered < header.bytes) {
            crc = crc32c(crc, frame + from, at + covered - from);
            from = at + header.bytes;
        }
        at += header.bytes;
    }
    return crc32c(crc, frame + from, bytes - from);
}
