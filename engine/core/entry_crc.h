// The 24-byte head an entry carries on the wire and on disk, and its end-to-end checksum.
//
//     offset  0  client    u64   little-endian all
//             8  sequence  u64
//            16  crc       u32   raft_entry_crc()
//            20  bytes     24 bits, then kind 8 bits
//
// Made once by the client, checked at every gateway (wire, recovery), never recomputed in between.
// Pure; any thread.
#ifndef PONTOON_CORE_ENTRY_CRC_H
#define PONTOON_CORE_ENTRY_CRC_H

#include "engine/core/types.h"

enum { RAFT_ENTRY_HEAD_BYTES = 24 };

// CRC32C over client, sequence, bytes (u32), kind (21 bytes, little-endian, in this order), then
// head->bytes of payload. head->crc is not read: the entry is sound when it equals the result.
// `payload` may be NULL when head->bytes is 0.
uint32_t raft_entry_crc(const struct raft_entry_head *head, const void *payload);

// Precondition: head->bytes < 2^24.
void raft_entry_head_pack(uint8_t at[RAFT_ENTRY_HEAD_BYTES], const struct raft_entry_head *head);

// Takes any bytes; the caller judges the values.
void raft_entry_head_unpack(const uint8_t at[RAFT_ENTRY_HEAD_BYTES], struct raft_entry_head *head);

#endif
