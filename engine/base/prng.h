// Seeded pseudo-random numbers: xoshiro256** (Blackman and Vigna), its state filled by splitmix64.
//
// Same seed, same sequence, on every machine. Not for secrets. No thread-safety: one state an
// owner.
#ifndef PONTOON_BASE_PRNG_H
#define PONTOON_BASE_PRNG_H

#include "engine/base/assert.h"

#include <stdbool.h>
#include <stdint.h>

struct prng {
    uint64_t state[4]; // never all zero
};

static inline uint64_t prng_splitmix(uint64_t *state)
{
    uint64_t mixed = (*state += UINT64_C(0x9E3779B97F4A7C15));
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94D049BB133111EB);
    return mixed ^ (mixed >> 31);
}

// Any seed is good, 0 too: splitmix64 never yields four zeros in a row.
static inline void prng_init(struct prng *prng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        prng->state[i] = prng_splitmix(&seed);
    }
}

static inline uint64_t prng_rotate(uint64_t value, int bits)
{
    return (value << bits) | (value >> (64 - bits));
}

static inline uint64_t prng_next(struct prng *prng)
{
    uint64_t *s = prng->state;
    uint64_t result = prng_rotate(s[1] * 5, 7) * 9, shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = prng_rotate(s[3], 45);
    return result;
}

// Uniform in [0, bound), bound >= 1: Lemire's multiplication, with rejection of what would favour
// small values.
static inline uint64_t prng_below(struct prng *prng, uint64_t bound)
{
    ASSERT_CMP(bound, >=, 1);
    unsigned __int128 product = (unsigned __int128)prng_next(prng) * bound;
    if ((uint64_t)product < bound) {
        uint64_t reject_below = (0 - bound) % bound;
        while ((uint64_t)product < reject_below) {
            product = (unsigned __int128)prng_next(prng) * bound;
        }
    }
    return (uint64_t)(product >> 64);
}

// Uniform in [low, high], both included.
static inline uint64_t prng_between(struct prng *prng, uint64_t low, uint64_t high)
{
    ASSERT_CMP(low, <=, high);
    uint64_t span = high - low + 1; // 0: all 64-bit values
    return span == 0 ? prng_next(prng) : low + prng_below(prng, span);
}

// True `parts` times out of `whole` on average.
static inline bool prng_chance(struct prng *prng, uint64_t parts, uint64_t whole)
{
    return prng_below(prng, whole) < parts;
}

#endif
