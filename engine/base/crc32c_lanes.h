// CRC32C by instruction, in one and in three streams. For crc32c_<cpu>.c only, which say how their
// CPU does it.
//
// The instruction takes three cycles and one can start each cycle, so one stream reaches a third of
// the speed. From LANES_BYTES_MIN on, the buffer is cut into three lanes of equal length that run
// side by side:
//
//     | lane 0: n words | lane 1: n words | lane 2: n words | rest |
//
// and are put together by advancing the registers of lanes 0 and 1 over the zero bytes behind them.
// Advancing by n words is one carry-less multiplication with the constant advance[n] and one more
// step of the instruction; that step is shared with the last word of lane 2, because the register
// is linear.
//
// Before including this file, define CRC32C_TARGET, the function attribute that allows the
// instructions, and
//
//     static uint32_t step_8(uint32_t state, uint8_t byte);
//     static uint32_t step_32(uint32_t state, uint32_t half);
//     static uint64_t step_64(uint64_t state, uint64_t word);     // the state is 32 bits wide
//     static uint64_t multiply(uint64_t left, uint32_t right);    // carry-less: 63 bits of result
#ifndef PONTOON_BASE_CRC32C_LANES_H
#define PONTOON_BASE_CRC32C_LANES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    LANE_WORDS_MAX = 192, // three lanes then hold a 4 KiB entry and its header
    LANES_BYTES_MIN = 96  // below, one stream is as fast (measured)
};

// advance[n] is x^(64 n - 33) modulo the polynomial, bits reflected: the register 1 advanced by 64
// (n - 1) zero bits.
static const uint32_t advance[2 * LANE_WORDS_MAX + 1] = {
    0x00000000, 0x00000001, 0x493C7D27, 0xF20C0DFE, 0xBA4FC28E, 0x3DA6D0CB, 0xDDC0152B, 0x1C291D04,
    0x9E4ADDF8, 0x740EEF02, 0x39D3B296, 0x083A6EEC, 0x0715CE53, 0xC49F4F67, 0x47DB8317, 0x2AD91C30,
    0x0D3B6092, 0x6992CEA2, 0xC96CFDC0, 0x7E908048, 0x878A92A7, 0x1B3D8F29, 0xDAECE73E, 0xF1D0F55E,
    0xAB7AFF2A, 0xA87AB8A8, 0x2162D385, 0x8462D800, 0x83348832, 0x71D111A8, 0x299847D5, 0xFFD852C6,
    0xB9E02B86, 0xDCB17AA4, 0x18B33A4E, 0xF37C5AEE, 0xB6DD949B, 0x6051D5A2, 0x78D9CCB7, 0x18B0D4FF,
    0xBAC2FD7B, 0x21F3D99C, 0xA60CE07B, 0x8F158014, 0xCE7F39F4, 0xA00457F7, 0x61D82E56, 0x8D6D2C43,
    0xD270F1A2, 0x00AC29CF, 0xC619809D, 0xE9ADF796, 0x2B3CAC5D, 0x96638B34, 0x65863B64, 0xE0E9F351,
    0x1B03397F, 0x9AF01F2D, 0xEBB883BD, 0x2CFF42CF, 0xB3E32C28, 0x88F25A3A, 0x064F7F26, 0x4E36F0B0,
    0xDD7E3B0C, 0xBD6F81F8, 0xF285651C, 0x91C9BD4B, 0x10746F3C, 0x885F087B, 0xC7A68855, 0x4C144932,
    0x271D9844, 0x52148F02, 0x8E766A0C, 0xA3C6F37A, 0x93A5F730, 0xD7C0557F, 0x6CB08E5C, 0x63DED06A,
    0x6B749FB2, 0x4D56973C, 0x1393E203, 0x9669C9DF, 0xCEC3662E, 0xE417F38A, 0x96C515BB, 0x4B9E0F71,
    0xE6FC4E6A, 0xD104B8FC, 0x8227BB8A, 0x5B397730, 0xB0CD4768, 0xE78EB416, 0x39C7FF35, 0x61FF0E01,
    0xD7A4825C, 0x8D96551C, 0x0AB3844B, 0x0BF80DD2, 0x0167D312, 0x8821ABED, 0xF6076544, 0x6A45D2B2,
    0x26F6A60A, 0xD8D26619, 0xA741C1BF, 0xDE87806C, 0x98D8D9CB, 0x14338754, 0x49C3CC9C, 0x5BD2011F,
    0x68BCE87A, 0xDD07448E, 0x57A3D037, 0xDDE8F5B9, 0x6956FC3B, 0xA3E3E02C, 0x42D98888, 0xD73C7BEA,
    0x3771E98F, 0x80FF0093, 0xB42AE3D9, 0x8FE4C34D, 0x2178513A, 0xDF99FC11, 0xE0AC139E, 0x6C23E841,
    0x170076FA, 0xFE314258, 0x444DD413, 0x0D8373A0, 0x6F345E45, 0x19E3635E, 0x41D17B64, 0x29F268B4,
    0xFF0DBA97, 0x1DC0632A, 0xA2B73DF1, 0x1614F396, 0xF872E54C, 0x9E2993D3, 0x1E41E9FC, 0x6BEBD73C,
    0x86D8E4D2, 0x63AE91E6, 0x651BD98B, 0xF8C9DA7A, 0x5BB8F1BC, 0x945A19C1, 0xA90FD27A, 0xEE8213B7,
    0xB3AF077A, 0x93781DC7, 0x4984D782, 0xCCC4A1B9, 0xCA6EF3AC, 0xA2C2D971, 0x234E0B26, 0x1CAD4452,
    0xDD66CBBB, 0x74922601, 0x4597456A, 0xC55F7EAB, 0xE9E28EB4, 0xA1962329, 0x7B3FF57A, 0x2D370749,
    0xC9C8B782, 0x397D84A1, 0x3F70CC6F, 0x79113270, 0x93E106A4, 0xBC817803, 0x62EC6C6D, 0x88EB3C07,
    0xD813B325, 0x6E4CB630, 0x0DF04680, 0x71971D5C, 0x2342001E, 0xF33B8BC6, 0x0A2A8D7E, 0x9FB3BBC0,
    0x6D9A4957, 0x6EF22B23, 0xE8B6368B, 0xCE2DF768, 0xD2C3ED1A, 0xE53A4FC7, 0x995A5724, 0xBE60A91A,
    0x9EF68D35, 0x1DFA0A15, 0x0C139B31, 0x8EC52396, 0xF2271E60, 0x0E766B11, 0x0B0BF8CA, 0x475846A4,
    0x2664FD8B, 0xB2A3DFA6, 0xED64812D, 0xDC1A160C, 0x02EE03B2, 0x79AFDF1C, 0x8604AE0F, 0x07AC6E46,
    0x363BD6B3, 0x15F85253, 0x135C83FD, 0x1BEC24DD, 0x5FABE670, 0x4C36CD5B, 0x35EC3279, 0xE0A22E29,
    0x00BCF5F6, 0x7C2B6ED9, 0x8AE00689, 0x06FF88FD, 0x17F27698, 0xF7317CF0, 0x58CA5F00, 0x61B6E40B,
    0xAA7C7AD5, 0xDE8A97F8, 0xB5CFCA28, 0x88F61445, 0xDED288F8, 0xD4520E9E, 0x59F229BC, 0x0C592BD5,
    0x6D390DEC, 0x38EDFAF3, 0x37170390, 0x72CBFCDB, 0x6353C1CC, 0x348331A5, 0xC4584F5C, 0xC3977C19,
    0xF48642E9, 0xDAFAEA7C, 0x531377E2, 0x73DB4C04, 0xDD35BC8D, 0x72675CE8, 0xB25B29F2, 0x3EC2FF83,
    0x9A5EDE41, 0xE8C7A017, 0xA563905D, 0xCF4BFAEF, 0x45CDDF4E, 0x6BDE1AC7, 0xACFA3103, 0xAE1175C2,
    0xA51B6135, 0xF7506984, 0xDFD94FB2, 0xE0863E56, 0x80F2886B, 0xD7E661AE, 0x67969A6A, 0x01AFC14F,
    0x021AC5EF, 0xD2FD8E3C, 0xE8310AFA, 0xC4EB27B2, 0x75451B04, 0x63209873, 0x8E1450F7, 0xF29971CF,
    0xCBBE4EE1, 0xAF6939D9, 0x3A83DE21, 0x650EF6C5, 0xE0CDCF86, 0x36E108FA, 0x453C1679, 0x09C20A6C,
    0xDEFBA41C, 0x0A1A6A88, 0x613EEE91, 0x286D109B, 0xDDAF5114, 0x9FD51B88, 0x1F1DD124, 0x4860285D,
    0xBEDC6BA1, 0x6E221ADC, 0xECA08FFE, 0x0E0A1073, 0x3AE30875, 0x37F19421, 0x0CD1526A, 0xE9BBF648,
    0xB1630F04, 0x0FA0277F, 0xFF47317B, 0xEB2FB89A, 0xD6C3A807, 0x1C47ED30, 0x9A7781E0, 0x271CFB40,
    0x63D097E9, 0xEA1CB6E7, 0x1D31175F, 0x9F737F83, 0x94EB256E, 0xD4619BBC, 0x13184649, 0x794DD0F2,
    0x4BE7FD90, 0xB6D42CD9, 0x7D5C1D64, 0x8B9BE230, 0x80BA859A, 0xD4617A4C, 0x6EEED1C9, 0xB9F93BD0,
    0x22C3799F, 0xB8B67C1C, 0xD8ECC578, 0xC5CA433A, 0xB3A6DA94, 0x5E5DCD95, 0xCAF933FE, 0x7B589372,
    0x50BFAADE, 0x0AFB7F3B, 0x2E7D11A7, 0x0F97C690, 0x7D14748F, 0x3E254FE4, 0x32D8041C, 0x141E8512,
    0x889774E1, 0xE5E25BD0, 0x6CC8A0FF, 0xACF12316, 0x5AA1F3CF, 0x7B454CB3, 0x8A074012, 0x311709B8,
    0x33BC58B3, 0x9948A7D2, 0x9F2B002A, 0x809CEF1F, 0xBD0BB25F, 0x11DDE5B7, 0x60BF0A6A, 0xCA2E5ED2,
    0x8515C07F, 0x8FF2C75F, 0x3BE3C09B, 0x1C4B4B66, 0xD8440525, 0x0785CAE6, 0x682D085D, 0xABE842D1,
    0x465A4EEE, 0x4197FA11, 0x28B5DE82, 0x54CA8DDD, 0x077D54E0, 0xBE4437AF, 0x2E5F3C8C, 0x7B050103,
    0xC00DF280, 0xAEEE44E2, 0xD0A37F43, 0x32AACB40, 0xA52F58EC, 0x2603FDDF, 0x00712E86, 0x25381AA9,
    0xD6748E82, 0xD763F62A, 0x47972100, 0x9032B0DA, 0x51AEEF66, 0x55CE5B40, 0x71900712, 0x4C25151D,
    0x359674F7,
};

static inline uint64_t word_at(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

// Result: the register after three lanes of `words` >= 1 words each.
CRC32C_TARGET static inline uint64_t three_lanes(uint64_t state, const uint8_t *at, size_t words)
{
    const uint8_t *second = at + 8 * words, *third = second + 8 * words;
    uint64_t state_2 = 0, state_3 = 0;
    size_t last = 8 * (words - 1), offset = 0;
    for (; offset + 8 < last; offset += 16) {
        state = step_64(state, word_at(at + offset));
        state_2 = step_64(state_2, word_at(second + offset));
        state_3 = step_64(state_3, word_at(third + offset));
        state = step_64(state, word_at(at + offset + 8));
        state_2 = step_64(state_2, word_at(second + offset + 8));
        state_3 = step_64(state_3, word_at(third + offset + 8));
    }
    if (offset < last) {
        state = step_64(state, word_at(at + offset));
        state_2 = step_64(state_2, word_at(second + offset));
        state_3 = step_64(state_3, word_at(third + offset));
    }
    state = step_64(state, word_at(at + last));
    state_2 = step_64(state_2, word_at(second + last));
    uint64_t ahead = multiply(state, advance[2 * words]) ^ multiply(state_2, advance[words]);
    return step_64(state_3, word_at(third + last) ^ ahead);
}

// Fewer than LANES_BYTES_MIN.
CRC32C_TARGET static inline uint32_t advance_short(uint64_t wide, const uint8_t *at, size_t bytes)
{
    for (; bytes >= 32; bytes -= 32, at += 32) {
        wide = step_64(wide, word_at(at));
        wide = step_64(wide, word_at(at + 8));
        wide = step_64(wide, word_at(at + 16));
        wide = step_64(wide, word_at(at + 24));
    }
    for (; bytes >= 8; bytes -= 8, at += 8) {
        wide = step_64(wide, word_at(at));
    }
    uint32_t state = (uint32_t)wide;
    if (bytes & 4) {
        uint32_t half;
        memcpy(&half, at, sizeof(half));
        state = step_32(state, half);
        at += 4;
    }
    for (bytes &= 3; bytes > 0; bytes--, at++) {
        state = step_8(state, *at);
    }
    return state;
}

// Apart, so that short data does not pay for its registers.
CRC32C_TARGET __attribute__((noinline)) static uint32_t
advance_lanes(uint64_t state, const uint8_t *at, size_t bytes)
{
    while (bytes >= LANES_BYTES_MIN) {
        size_t words = bytes / 24 < LANE_WORDS_MAX ? bytes / 24 : LANE_WORDS_MAX;
        state = three_lanes(state, at, words);
        at += 24 * words;
        bytes -= 24 * words;
    }
    return advance_short(state, at, bytes);
}

CRC32C_TARGET static inline uint32_t advance_over(uint64_t state, const uint8_t *at, size_t bytes)
{
    return bytes < LANES_BYTES_MIN ? advance_short(state, at, bytes)
                                   : advance_lanes(state, at, bytes);
}

CRC32C_TARGET static inline uint32_t crc32c_by_instruction(uint32_t crc, const void *data,
                                                           size_t bytes)
{
    return ~advance_over((uint32_t)~crc, data, bytes);
}

CRC32C_TARGET static inline uint32_t crc32c_record_by_instruction(uint64_t first, uint64_t second,
                                                                  uint32_t third, uint8_t fourth,
                                                                  const void *data, size_t bytes)
{
    uint32_t state = (uint32_t)step_64(step_64(~UINT32_C(0), first), second);
    return ~advance_over(step_8(step_32(state, third), fourth), data, bytes);
}

#endif
