// CRC32C (Castagnoli, reflected polynomial 0x82F63B78), the checksum of frames, entries and log
// records.
//
// Source: RFC 3720 appendix B.4 (test vectors). Uses the SSE4.2 / ARMv8 instruction where the CPU
// has it (decided once at run time, baseline build), else slicing-by-8 tables. Pure; safe from any
// thread.
#ifndef PONTOON_BASE_CRC32C_H
#define PONTOON_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

// Continues `crc` (0 to begin) over bytes. crc32c(crc32c(0, a), b) == crc32c(0, a followed by b).
uint32_t crc32c(uint32_t crc, const void *data, size_t bytes);

// crc32c of a record: of a head of 21 bytes (the four values one after the other, little-endian),
// then of the data. The same as two calls, but the head goes from registers into the instruction.
enum { CRC32C_HEAD_BYTES = 21 };
uint32_t crc32c_record(uint64_t first, uint64_t second, uint32_t third, uint8_t fourth,
                       const void *data, size_t bytes);

#endif
