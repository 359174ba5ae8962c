// CRC32C on x86-64: the SSE4.2 instruction with PCLMULQDQ to join the lanes, tables where the CPU
// lacks either.
#include "engine/base/crc32c.h"

#include "engine/base/crc32c_tables.h"

#include <immintrin.h>
#include <stdbool.h>

#define CRC32C_TARGET __attribute__((target("sse4.2,pclmul")))

CRC32C_TARGET static inline uint32_t step_8(uint32_t state, uint8_t byte)
{
    return _mm_crc32_u8(state, byte);
}

CRC32C_TARGET static inline uint32_t step_32(uint32_t state, uint32_t half)
{
    return _mm_crc32_u32(state, half);
}

CRC32C_TARGET static inline uint64_t step_64(uint64_t state, uint64_t word)
{
    return _mm_crc32_u64(state, word);
}

CRC32C_TARGET static inline uint64_t multiply(uint64_t left, uint32_t right)
{
    __m128i product =
        _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)left), _mm_cvtsi64_si128(right), 0x00);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

#include "engine/base/crc32c_lanes.h"

CRC32C_TARGET static uint32_t crc32c_by_sse42(uint32_t crc, const void *data, size_t bytes)
{
    return crc32c_by_instruction(crc, data, bytes);
}

CRC32C_TARGET static uint32_t crc32c_record_by_sse42(uint64_t first, uint64_t second,
                                                     uint32_t third, uint8_t fourth,
                                                     const void *data, size_t bytes)
{
    return crc32c_record_by_instruction(first, second, third, fourth, data, bytes);
}

// The compiler run-time fills in the CPU's features before main; asking is a load and a predictable
// branch.
static inline bool cpu_has_instructions(void)
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

uint32_t crc32c(uint32_t crc, const void *data, size_t bytes)
{
    return cpu_has_instructions() ? crc32c_by_sse42(crc, data, bytes)
                                  : crc32c_by_tables(crc, data, bytes);
}

uint32_t crc32c_record(uint64_t first, uint64_t second, uint32_t third, uint8_t fourth,
                       const void *data, size_t bytes)
{
    return cpu_has_instructions()
               ? crc32c_record_by_sse42(first, second, third, fourth, data, bytes)
               : crc32c_record_by_tables(first, second, third, fourth, data, bytes);
}
