// CRC32C on a CPU we know no instruction of.
#include "engine/base/crc32c.h"

#include "engine/base/crc32c_tables.h"

uint32_t crc32c(uint32_t crc, const void *data, size_t bytes)
{
    return crc32c_by_tables(crc, data, bytes);
}

uint32_t crc32c_record(uint64_t first, uint64_t second, uint32_t third, uint8_t fourth,
                       const void *data, size_t bytes)
{
    return crc32c_record_by_tables(first, second, third, fourth, data, bytes);
}
