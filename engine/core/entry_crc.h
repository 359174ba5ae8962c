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

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"
#include "engine/core/types.h"

#include <assert.h>
#include <string.h>

enum {
    RAFT_ENTRY_HEAD_BYTES = 24,
    RAFT_ENTRY_HEAD_KIND_SHIFT = 24,
    RAFT_ENTRY_HEAD_BYTES_MASK = (1 << RAFT_ENTRY_HEAD_KIND_SHIFT) - 1
};

// CRC32C over client, sequence, bytes (u32), kind (21 bytes, little-endian, in this order), then
// head->bytes of payload. head->crc is not read: the entry is sound when it equals the result.
// `payload` may be NULL when head->bytes is 0.
static inline uint32_t raft_entry_crc(const struct raft_entry_head *head, const void *payload)
{
    return crc32c_record(head->client, head->sequence, head->bytes, head->kind, payload,
                         head->bytes);
}

// Fields are copied as they lie in memory.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the formats are little-endian");
static_assert((int)RAFT_PAYLOAD_BYTES_MAX <= (int)RAFT_ENTRY_HEAD_BYTES_MASK,
              "bytes has 24 bits in a head");

// Precondition: head->bytes < 2^24.
static inline void raft_entry_head_pack(uint8_t at[RAFT_ENTRY_HEAD_BYTES],
                                        const struct raft_entry_head *head)
{
    ASSERT_CMP(head->bytes, <=, RAFT_ENTRY_HEAD_BYTES_MASK);
    uint32_t bytes_and_kind = head->bytes | (uint32_t)head->kind << RAFT_ENTRY_HEAD_KIND_SHIFT;
    memcpy(at, &head->client, 8);
    memcpy(at + 8, &head->sequence, 8);
    memcpy(at + 16, &head->crc, 4);
    memcpy(at + 20, &bytes_and_kind, 4);
}

// Bytes of payload, of a packed head.
static inline uint32_t raft_entry_head_bytes(const uint8_t at[RAFT_ENTRY_HEAD_BYTES])
{
    uint32_t bytes_and_kind;
    memcpy(&bytes_and_kind, at + 20, 4);
    return bytes_and_kind & RAFT_ENTRY_HEAD_BYTES_MASK;
}

// Takes any bytes; the caller judges the values.
static inline void raft_entry_head_unpack(const uint8_t at[RAFT_ENTRY_HEAD_BYTES],
                                          struct raft_entry_head *head)
{
    uint32_t bytes_and_kind;
    memcpy(&head->client, at, 8);
    memcpy(&head->sequence, at + 8, 8);
    memcpy(&head->crc, at + 16, 4);
    memcpy(&bytes_and_kind, at + 20, 4);
    head->bytes = bytes_and_kind & RAFT_ENTRY_HEAD_BYTES_MASK;
    head->kind = (uint8_t)(bytes_and_kind >> RAFT_ENTRY_HEAD_KIND_SHIFT);
}

#endif
