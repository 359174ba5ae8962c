// What the frame's checksum covers: everything but the payloads of entries, whole or in fragments.
// Those have checksums of their own, in heads that are covered; so a node reads a payload once on
// its way in, and not again to send it on.
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

struct sizes {
    uint64_t heads_end;
    struct counts counts;
};

static bool read_counts(const uint8_t *at, const struct layout_message *header, uint32_t fixed,
                        struct sizes *sizes)
{
    if (header->bytes < fixed) {
        return false;
    }
    memcpy(&sizes->counts, at + fixed - sizeof(sizes->counts), sizeof(sizes->counts));
    sizes->heads_end = fixed + (uint64_t)sizes->counts.entries * WIRE_HEAD_BYTES;
    return true;
}

// A fragment has one head, in its fixed part, and says `bytes_at` how much of the payload it has.
static bool read_fragment(const uint8_t *at, const struct layout_message *header, uint32_t fixed,
                          size_t bytes_at, struct sizes *sizes)
{
    if (header->bytes < fixed) {
        return false;
    }
    memcpy(&sizes->counts.payload_bytes, at + bytes_at, sizeof(sizes->counts.payload_bytes));
    sizes->counts.entries = 1;
    sizes->heads_end = fixed;
    return true;
}

// False: it has no payloads of entries, or is too short to say it.
static bool read_sizes(const uint8_t *at, const struct layout_message *header, struct sizes *sizes)
{
    switch (header->type) {
    case RAFT_MSG_APPEND:
        return read_counts(at, header, sizeof(struct layout_append), sizes);
    case WIRE_PROPOSE:
        return read_counts(at, header, sizeof(struct layout_propose), sizes);
    case WIRE_APPEND_FRAGMENT:
        return read_fragment(at, header, sizeof(struct layout_append_fragment),
                             offsetof(struct layout_append_fragment, bytes), sizes);
    case WIRE_PROPOSE_FRAGMENT:
        return read_fragment(at, header, sizeof(struct layout_propose_fragment),
                             offsetof(struct layout_propose_fragment, bytes), sizes);
    default:
        return false;
    }
}

// Bytes of the message at `at` before its payloads; all of it when there are none, or when its
// sizes disagree. Precondition: header->bytes of it are there.
static uint32_t covered_bytes(const uint8_t *at, const struct layout_message *header)
{
    const uint8_t tells = LAYOUT_FLAG_PARALLEL | LAYOUT_FLAG_DEPENDS;
    struct sizes sizes;
    if (!read_sizes(at, header, &sizes)) {
        return header->bytes;
    }
    bool is_request = header->type == WIRE_PROPOSE || header->type == WIRE_PROPOSE_FRAGMENT;
    uint64_t payloads_at = sizes.heads_end;
    if (!is_request && (header->flags & tells) == tells) {
        payloads_at += (uint64_t)sizes.counts.entries * WIRE_DISTANCE_BYTES;
    }
    if (is_request && (header->flags & LAYOUT_FLAG_RANGES) != 0) {
        uint32_t ranges_bytes =
            payloads_at > header->bytes
                ? 0
                : ranges_block_bytes(at + payloads_at, header->bytes - payloads_at,
                                     sizes.counts.entries);
        if (ranges_bytes == 0) {
            return header->bytes;
        }
        payloads_at += ranges_bytes;
    }
    bool agrees = layout_round_up(payloads_at + sizes.counts.payload_bytes) == header->bytes;
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
