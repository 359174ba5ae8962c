// CRC32C on 64-bit ARM: the CRC32 and PMULL extensions, tables where the CPU lacks either.
#include "engine/base/crc32c.h"

#include "engine/base/crc32c_tables.h"

#include <arm_acle.h>
#include <arm_neon.h>
#include <stdatomic.h>
#include <stdbool.h>

// The build allows both extensions in this folder; compilers use them only where asked to, as here.
#define CRC32C_TARGET

CRC32C_TARGET static inline uint32_t step_8(uint32_t state, uint8_t byte)
{
    return __crc32cb(state, byte);
}

CRC32C_TARGET static inline uint32_t step_32(uint32_t state, uint32_t half)
{
    return __crc32cw(state, half);
}

CRC32C_TARGET static inline uint64_t step_64(uint64_t state, uint64_t word)
{
    return __crc32cd((uint32_t)state, word);
}

CRC32C_TARGET static inline uint64_t multiply(uint64_t left, uint32_t right)
{
    return (uint64_t)vmull_p64(left, right);
}

#include "engine/base/crc32c_lanes.h"

CRC32C_TARGET static uint32_t crc32c_by_extension(uint32_t crc, const void *data, size_t bytes)
{
    return crc32c_by_instruction(crc, data, bytes);
}

// Linux answers this register to user space: bits 16-19 CRC32, bits 4-7 AES (2: with PMULL).
static bool cpu_has_extensions(void)
{
    uint64_t features;
    __asm__("mrs %0, ID_AA64ISAR0_EL1" : "=r"(features));
    return ((features >> 16) & 0xF) != 0 && ((features >> 4) & 0xF) >= 2;
}

static bool is_by_extension(void)
{
    enum { UNKNOWN, ABSENT, PRESENT };
    // Relaxed on both sides: every thread that finds it unknown computes the same answer.
    static atomic_int extensions = UNKNOWN;
    int known = atomic_load_explicit(&extensions, memory_order_relaxed);
    if (known == UNKNOWN) {
        known = cpu_has_extensions() ? PRESENT : ABSENT;
        atomic_store_explicit(&extensions, known, memory_order_relaxed);
    }
    return known == PRESENT;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t bytes)
{
    return is_by_extension() ? crc32c_by_extension(crc, data, bytes)
                             : crc32c_by_tables(crc, data, bytes);
}

uint32_t crc32c_record(uint64_t first, uint64_t second, uint32_t third, uint8_t fourth,
                       const void *data, size_t bytes)
{
    return is_by_extension()
               ? crc32c_record_by_instruction(first, second, third, fourth, data, bytes)
               : crc32c_record_by_tables(first, second, third, fourth, data, bytes);
}
