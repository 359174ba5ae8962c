#include "engine/core/entry_crc.h"

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"

#include <assert.h>
#include <string.h>

// Fields are copied as they lie in memory.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the formats are little-endian");

enum { CRC_PREFIX_BYTES = 21, PAYLOAD_BITS = 24, PAYLOAD_MASK = (1 << PAYLOAD_BITS) - 1 };

static_assert((int)RAFT_PAYLOAD_BYTES_MAX <= (int)PAYLOAD_MASK, "bytes has 24 bits in a head");

uint32_t raft_entry_crc(const struct raft_entry_head *head, const void *payload)
{
    uint8_t prefix[CRC_PREFIX_BYTES];
    memcpy(prefix, &head->client, 8);
    memcpy(prefix + 8, &head->sequence, 8);
    memcpy(prefix + 16, &head->bytes, 4);
    prefix[20] = head->kind;
    uint32_t crc = crc32c(0, prefix, sizeof(prefix));
    return head->bytes == 0 ? crc : crc32c(crc, payload, head->bytes);
}

void raft_entry_head_pack(uint8_t at[RAFT_ENTRY_HEAD_BYTES], const struct raft_entry_head *head)
{
    ASSERT_CMP(head->bytes, <=, PAYLOAD_MASK);
    uint32_t bytes_and_kind = head->bytes | (uint32_t)head->kind << PAYLOAD_BITS;
    memcpy(at, &head->client, 8);
    memcpy(at + 8, &head->sequence, 8);
    memcpy(at + 16, &head->crc, 4);
    memcpy(at + 20, &bytes_and_kind, 4);
}

void raft_entry_head_unpack(const uint8_t at[RAFT_ENTRY_HEAD_BYTES], struct raft_entry_head *head)
{
    uint32_t bytes_and_kind;
    memcpy(&head->client, at, 8);
    memcpy(&head->sequence, at + 8, 8);
    memcpy(&head->crc, at + 16, 4);
    memcpy(&bytes_and_kind, at + 20, 4);
    head->bytes = bytes_and_kind & PAYLOAD_MASK;
    head->kind = (uint8_t)(bytes_and_kind >> PAYLOAD_BITS);
}
