// CRC32C on a CPU we know no instruction of.
#include "engine/base/crc32c.h"

#include "engine/base/crc32c_tables.h"

uint32_t crc32c(uint32_t crc, const void *data, size_t bytes)
{
    return crc32c_by_tables(crc, data, bytes);
}

uint32_t crc32c_record(struct crc32c_head head, const void *data, size_t bytes)
{
    return crc32c_record_by_tables(&head, data, bytes);
}
