#include "engine/core/entry_crc.h"

#include "engine/base/crc32c.h"

uint32_t raft_entry_crc(const struct raft_entry_head *head, const void *payload)
{
    const struct crc32c_head record = {.first = head->client,
                                       .second = head->sequence,
                                       .third = head->bytes,
                                       .fourth = head->kind};
    return crc32c_record(record, payload, head->bytes);
}
