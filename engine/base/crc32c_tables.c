// Slicing-by-8 with tables made by the compiler.
//
// The CRC register is linear over its bits, and bit b of it reaches bit 0 after b steps. So 64
// constants describe all eight tables: A<i> is the register 1 advanced by i zero bits, and table k
// holds every byte advanced by 8 (k + 1):
//
//     table[k][byte] = xor of A<8 (k + 1) - b> over the bits b set in byte
#include "engine/base/crc32c_tables.h"

#include <string.h>

#define A1 0x82F63B78u
#define A2 0x417B1DBCu
#define A3 0x20BD8EDEu
#define A4 0x105EC76Fu
#define A5 0x8AD958CFu
#define A6 0xC79A971Fu
#define A7 0xE13B70F7u
#define A8 0xF26B8303u
#define A9 0xFBC3FAF9u
#define A10 0xFF17C604u
#define A11 0x7F8BE302u
#define A12 0x3FC5F181u
#define A13 0x9D14C3B8u
#define A14 0x4E8A61DCu
#define A15 0x274530EEu
#define A16 0x13A29877u
#define A17 0x8B277743u
#define A18 0xC76580D9u
#define A19 0xE144FB14u
#define A20 0x70A27D8Au
#define A21 0x38513EC5u
#define A22 0x9EDEA41Au
#define A23 0x4F6F520Du
#define A24 0xA541927Eu
#define A25 0x52A0C93Fu
#define A26 0xABA65FE7u
#define A27 0xD725148Bu
#define A28 0xE964B13Du
#define A29 0xF64463E6u
#define A30 0x7B2231F3u
#define A31 0xBF672381u
#define A32 0xDD45AAB8u
#define A33 0x6EA2D55Cu
#define A34 0x37516AAEu
#define A35 0x1BA8B557u
#define A36 0x8F2261D3u
#define A37 0xC5670B91u
#define A38 0xE045BEB0u
#define A39 0x7022DF58u
#define A40 0x38116FACu
#define A41 0x1C08B7D6u
#define A42 0x0E045BEBu
#define A43 0x85F4168Du
#define A44 0xC00C303Eu
#define A45 0x6006181Fu
#define A46 0xB2F53777u
#define A47 0xDB8CA0C3u
#define A48 0xEF306B19u
#define A49 0xF56E0EF4u
#define A50 0x7AB7077Au
#define A51 0x3D5B83BDu
#define A52 0x9C5BFAA6u
#define A53 0x4E2DFD53u
#define A54 0xA5E0C5D1u
#define A55 0xD0065990u
#define A56 0x68032CC8u
#define A57 0x34019664u
#define A58 0x1A00CB32u
#define A59 0x0D006599u
#define A60 0x847609B4u
#define A61 0x423B04DAu
#define A62 0x211D826Du
#define A63 0x9278FA4Eu
#define A64 0x493C7D27u

#define BIT(byte, bit, constant) ((((byte) >> (bit)) & 1u) * (constant))
#define BYTE(n, a0, a1, a2, a3, a4, a5, a6, a7)                                                    \
    (BIT(n, 0, a0) ^ BIT(n, 1, a1) ^ BIT(n, 2, a2) ^ BIT(n, 3, a3) ^ BIT(n, 4, a4) ^               \
     BIT(n, 5, a5) ^ BIT(n, 6, a6) ^ BIT(n, 7, a7))
#define BYTES_4(n, ...)                                                                            \
    BYTE(n, __VA_ARGS__), BYTE((n) + 1u, __VA_ARGS__), BYTE((n) + 2u, __VA_ARGS__),                \
        BYTE((n) + 3u, __VA_ARGS__)
#define BYTES_16(n, ...)                                                                           \
    BYTES_4(n, __VA_ARGS__), BYTES_4((n) + 4u, __VA_ARGS__), BYTES_4((n) + 8u, __VA_ARGS__),       \
        BYTES_4((n) + 12u, __VA_ARGS__)
#define BYTES_64(n, ...)                                                                           \
    BYTES_16(n, __VA_ARGS__), BYTES_16((n) + 16u, __VA_ARGS__), BYTES_16((n) + 32u, __VA_ARGS__),  \
        BYTES_16((n) + 48u, __VA_ARGS__)
#define TABLE(...)                                                                                 \
    {                                                                                              \
        BYTES_64(0u, __VA_ARGS__), BYTES_64(64u, __VA_ARGS__), BYTES_64(128u, __VA_ARGS__),        \
            BYTES_64(192u, __VA_ARGS__)                                                            \
    }

static const uint32_t table[8][256] = {
    TABLE(A8, A7, A6, A5, A4, A3, A2, A1),         TABLE(A16, A15, A14, A13, A12, A11, A10, A9),
    TABLE(A24, A23, A22, A21, A20, A19, A18, A17), TABLE(A32, A31, A30, A29, A28, A27, A26, A25),
    TABLE(A40, A39, A38, A37, A36, A35, A34, A33), TABLE(A48, A47, A46, A45, A44, A43, A42, A41),
    TABLE(A56, A55, A54, A53, A52, A51, A50, A49), TABLE(A64, A63, A62, A61, A60, A59, A58, A57),
};

static uint32_t one_byte(uint32_t state, uint8_t byte)
{
    return (state >> 8) ^ table[0][(state ^ byte) & 0xFF];
}

static uint32_t eight_bytes(uint32_t state, uint64_t word)
{
    word ^= state;
    return table[7][word & 0xFF] ^ table[6][(word >> 8) & 0xFF] ^ table[5][(word >> 16) & 0xFF] ^
           table[4][(word >> 24) & 0xFF] ^ table[3][(word >> 32) & 0xFF] ^
           table[2][(word >> 40) & 0xFF] ^ table[1][(word >> 48) & 0xFF] ^ table[0][word >> 56];
}

uint32_t crc32c_by_tables(uint32_t crc, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    uint32_t state = ~crc;
    for (; bytes >= 8; bytes -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        state = eight_bytes(state, word);
    }
    for (; bytes > 0; bytes--, at++) {
        state = one_byte(state, *at);
    }
    return ~state;
}

uint32_t crc32c_record_by_tables(uint64_t first, uint64_t second, uint32_t third, uint8_t fourth,
                                 const void *data, size_t bytes)
{
    uint8_t packed[CRC32C_HEAD_BYTES];
    for (uint32_t at = 0; at < 8; at++) {
        packed[at] = (uint8_t)(first >> 8 * at);
        packed[8 + at] = (uint8_t)(second >> 8 * at);
    }
    for (uint32_t at = 0; at < 4; at++) {
        packed[16 + at] = (uint8_t)(third >> 8 * at);
    }
    packed[20] = fourth;
    return crc32c_by_tables(crc32c_by_tables(0, packed, sizeof(packed)), data, bytes);
}
