// What clients declare that their commands touch. The frame says how much of it there is; whether
// the ranges make sense is asked by whoever answers (wire_ranges_are_valid), so that a client that
// sends others is told and not left without an answer.
#include "engine/wire/ranges.h"

#include "engine/wire/decode.h"

static bool overlap(struct raft_footprint a, struct raft_footprint b)
{
    return a.start <= b.start + (b.length - 1) && b.start <= a.start + (a.length - 1);
}

bool wire_ranges_are_valid(const struct wire_ranges *ranges)
{
    if (ranges->count > WIRE_RANGES_MAX) {
        return false;
    }
    for (uint32_t at = 0; at < ranges->count; at++) {
        struct raft_footprint range = wire_range_at(ranges, at);
        if (!raft_footprint_is_valid(range)) {
            return false;
        }
        for (uint32_t before = 0; before < at; before++) {
            if (overlap(range, wire_range_at(ranges, before))) {
                return false;
            }
        }
    }
    return true;
}

uint32_t ranges_block_bytes(const uint8_t *at, uint64_t room_bytes, uint32_t entries)
{
    uint64_t counts_bytes = layout_round_up(entries);
    if (entries > WIRE_ENTRIES_MAX || counts_bytes > room_bytes) {
        return 0;
    }
    uint32_t bytes = (uint32_t)counts_bytes;
    for (uint32_t entry = 0; entry < entries; entry++) {
        bytes += (uint32_t)at[entry] * WIRE_RANGE_BYTES;
    }
    return bytes;
}

uint32_t ranges_read(const uint8_t *at, uint64_t room_bytes, struct wire_ranges *ranges,
                     uint32_t entries)
{
    uint32_t counts_bytes = (uint32_t)layout_round_up(entries);
    uint32_t bytes = ranges_block_bytes(at, room_bytes, entries);
    bool is_empty = bytes <= counts_bytes; // nobody declares anything, or it is cut
    if (is_empty || bytes > room_bytes || !decode_is_zero(at + entries, counts_bytes - entries)) {
        return 0;
    }
    const uint8_t *next = at + counts_bytes;
    for (uint32_t entry = 0; entry < entries; entry++) {
        ranges[entry] = (struct wire_ranges){.at = next, .count = at[entry]};
        next += (uint32_t)at[entry] * WIRE_RANGE_BYTES;
    }
    return bytes;
}

void ranges_write(uint8_t *at, const struct wire_ranges *ranges, uint32_t entries)
{
    uint32_t counts_bytes = (uint32_t)layout_round_up(entries);
    uint8_t *next = at + counts_bytes;
    memset(at, 0, counts_bytes);
    for (uint32_t entry = 0; entry < entries; entry++) {
        uint32_t bytes = (uint32_t)ranges[entry].count * WIRE_RANGE_BYTES;
        at[entry] = ranges[entry].count;
        if (bytes > 0) {
            memcpy(next, ranges[entry].at, bytes);
            next += bytes;
        }
    }
}
