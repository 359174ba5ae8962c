// The block of a client's request that says what its commands, or its query, touch:
//
//     | counts: u8 × entries | zeros to a multiple of 8 | ranges, 16 bytes each, entry by entry |
//
// A request has it when one of its entries declares something, and only then. Private to this
// folder.
#ifndef PONTOON_WIRE_RANGES_H
#define PONTOON_WIRE_RANGES_H

#include "engine/wire/wire.h"

// Bytes of the block at `at`, by its counts; 0: not even those fit `room_bytes`.
uint32_t ranges_block_bytes(const uint8_t *at, uint64_t room_bytes, uint32_t entries);

// Reads the block of ≤ WIRE_ENTRIES_MAX entries. Result: its bytes, or 0: refused.
uint32_t ranges_read(const uint8_t *at, uint64_t room_bytes, struct wire_ranges *ranges,
                     uint32_t entries);

// Writes it: wire_ranges_bytes(entries, how many they are together).
void ranges_write(uint8_t *at, const struct wire_ranges *ranges, uint32_t entries);

#endif
