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

// The small head of a record, in the order in which it is summed: 21 bytes.
enum { CRC32C_HEAD_BYTES = 21 };
struct crc32c_head {
    uint64_t first, second;
    uint32_t third;
    uint8_t fourth;
};

// crc32c of the head (each field little-endian), then of the data. The same as two calls, but the
// head goes from registers into the instruction, and one call decides how.
uint32_t crc32c_record(struct crc32c_head head, const void *data, size_t bytes);

#endif
