// CRC32C without help from the CPU: slicing-by-8. For crc32c_*.c only.
#ifndef PONTOON_BASE_CRC32C_TABLES_H
#define PONTOON_BASE_CRC32C_TABLES_H

#include "engine/base/crc32c.h"

#include <stddef.h>
#include <stdint.h>

// Same contract as crc32c().
uint32_t crc32c_by_tables(uint32_t crc, const void *data, size_t bytes);

// Same contract as crc32c_record().
uint32_t crc32c_record_by_tables(uint64_t first, uint64_t second, uint32_t third, uint8_t fourth,
                                 const void *data, size_t bytes);

#endif
