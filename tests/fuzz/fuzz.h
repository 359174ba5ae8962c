// What the fuzzers share: a reader of their input, and a check that ends the run.
//
// An input that has ended reads as zeros, so that every prefix of an input is one too.
#ifndef PONTOON_TESTS_FUZZ_FUZZ_H
#define PONTOON_TESTS_FUZZ_FUZZ_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What must hold, and what to say when it does not.
#define REQUIRE(holds, ...)                                                                        \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            fprintf(stderr, "%s:%d: not so: %s: ", __FILE__, __LINE__, #holds);                    \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct fuzz_input {
    const uint8_t *at, *end;
};

static inline bool fuzz_has_more(const struct fuzz_input *input)
{
    return input->at < input->end;
}

static inline uint64_t fuzz_bytes(struct fuzz_input *input, uint32_t bytes)
{
    uint64_t value = 0;
    for (uint32_t at = 0; at < bytes && fuzz_has_more(input); at++) {
        value |= (uint64_t)*input->at++ << (8 * at);
    }
    return value;
}

static inline uint8_t fuzz_u8(struct fuzz_input *input)
{
    return (uint8_t)fuzz_bytes(input, 1);
}

static inline uint16_t fuzz_u16(struct fuzz_input *input)
{
    return (uint16_t)fuzz_bytes(input, 2);
}

static inline uint64_t fuzz_u64(struct fuzz_input *input)
{
    return fuzz_bytes(input, 8);
}

// The next `bytes` of the input, or what is left of it.
static inline const uint8_t *fuzz_take(struct fuzz_input *input, uint32_t *bytes)
{
    const uint8_t *data = input->at;
    uint64_t left = (uint64_t)(input->end - input->at);
    *bytes = left < *bytes ? (uint32_t)left : *bytes;
    input->at += *bytes;
    return data;
}

// A number near one that means something (0: that one), an edge, or anything: what a byte can say
// of 64 bits. At most `max`.
static inline uint64_t fuzz_near(struct fuzz_input *input, uint64_t base, uint64_t max)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     UINT16_MAX,
                                     INT32_MAX,
                                     UINT32_MAX,
                                     UINT64_C(1) << 40,
                                     (UINT64_C(1) << 62) - 2,
                                     (UINT64_C(1) << 62) - 1,
                                     UINT64_C(1) << 62,
                                     UINT64_MAX};
    uint8_t choice = fuzz_u8(input);
    uint64_t value;
    if (choice < 112) {
        value = base + choice;
    } else if (choice >= 144) {
        uint64_t less = 256u - choice;
        value = base > less ? base - less : 0;
    } else if ((choice -= 112) < sizeof(edges) / sizeof(edges[0])) {
        value = edges[choice];
    } else {
        value = fuzz_u64(input);
    }
    return value < max ? value : max;
}

#endif
