// Sets of small integers as words of 64 bits: plain, and as a window that slides over an endless
// index.
//
// Plain functions take the words directly; bit i lives in words[i / 64]. Ranges are [from, end).
//
// A ring holds the indexes of one window [base, base + capacity), wherever the window is: index i
// lives in slot i mod capacity. The ring does not know its base; who moves the window forward
// clears what falls out.
//
//     capacity 128, window [190, 318):   slots  0 ......... 61 | 62 ........ 127
//                                        holds  256 ...... 317 | 190 ....... 255
//
// No thread-safety of its own. The caller owns the words.
#ifndef PONTOON_BASE_BITMAP_H
#define PONTOON_BASE_BITMAP_H

#include "engine/base/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline size_t bitmap_words(size_t bits)
{
    return (bits + 63) / 64;
}

static inline bool bitmap_test(const uint64_t *words, size_t bit)
{
    return (words[bit / 64] >> (bit % 64)) & 1;
}

static inline void bitmap_set(uint64_t *words, size_t bit)
{
    words[bit / 64] |= UINT64_C(1) << (bit % 64);
}

static inline void bitmap_clear(uint64_t *words, size_t bit)
{
    words[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
}

// The bits of one word that belong to [from, end), both inside that word; end 64 is its upper
// border.
static inline uint64_t bitmap_mask(size_t from, size_t end)
{
    return (UINT64_MAX << from) & (UINT64_MAX >> (64 - end));
}

static inline void bitmap_set_range(uint64_t *words, size_t from, size_t end)
{
    while (from < end) {
        size_t word = from / 64, stop = end - word * 64 < 64 ? end - word * 64 : 64;
        words[word] |= bitmap_mask(from % 64, stop);
        from = word * 64 + stop;
    }
}

static inline void bitmap_clear_range(uint64_t *words, size_t from, size_t end)
{
    while (from < end) {
        size_t word = from / 64, stop = end - word * 64 < 64 ? end - word * 64 : 64;
        words[word] &= ~bitmap_mask(from % 64, stop);
        from = word * 64 + stop;
    }
}

static inline size_t bitmap_count(const uint64_t *words, size_t from, size_t end)
{
    size_t count = 0;
    while (from < end) {
        size_t word = from / 64, stop = end - word * 64 < 64 ? end - word * 64 : 64;
        count += (size_t)__builtin_popcountll(words[word] & bitmap_mask(from % 64, stop));
        from = word * 64 + stop;
    }
    return count;
}

// First bit in [from, end) of words xor flip, end when there is none. flip is 0 (find set) or all
// ones (find clear).
static inline size_t bitmap_find(const uint64_t *words, size_t from, size_t end, uint64_t flip)
{
    if (from >= end) {
        return end;
    }
    size_t word = from / 64;
    uint64_t bits = (words[word] ^ flip) & (UINT64_MAX << (from % 64));
    while (bits == 0) {
        if (++word * 64 >= end) {
            return end;
        }
        bits = words[word] ^ flip;
    }
    size_t found = word * 64 + (size_t)__builtin_ctzll(bits);
    return found < end ? found : end;
}

static inline size_t bitmap_find_set(const uint64_t *words, size_t from, size_t end)
{
    return bitmap_find(words, from, end, 0);
}

static inline size_t bitmap_find_clear(const uint64_t *words, size_t from, size_t end)
{
    return bitmap_find(words, from, end, UINT64_MAX);
}

struct bitmap_ring {
    uint64_t *words;   // capacity / 64 of them, the caller's
    uint64_t capacity; // bits; a power of two >= 64
};

// Starts with all bits clear.
static inline void bitmap_ring_init(struct bitmap_ring *ring, uint64_t *words, uint64_t capacity)
{
    ASSERT_CMP(capacity, >=, 64);
    ASSERT((capacity & (capacity - 1)) == 0);
    ring->words = words;
    ring->capacity = capacity;
    memset(words, 0, (size_t)(capacity / 8));
}

static inline size_t bitmap_ring_slot(const struct bitmap_ring *ring, uint64_t index)
{
    return (size_t)(index & (ring->capacity - 1));
}

static inline bool bitmap_ring_test(const struct bitmap_ring *ring, uint64_t index)
{
    return bitmap_test(ring->words, bitmap_ring_slot(ring, index));
}

static inline void bitmap_ring_set(struct bitmap_ring *ring, uint64_t index)
{
    bitmap_set(ring->words, bitmap_ring_slot(ring, index));
}

static inline void bitmap_ring_clear(struct bitmap_ring *ring, uint64_t index)
{
    bitmap_clear(ring->words, bitmap_ring_slot(ring, index));
}

// Indexes of [from, end) that lie before the ring wraps: the first of at most two straight pieces.
static inline uint64_t bitmap_ring_straight(const struct bitmap_ring *ring, uint64_t from,
                                            uint64_t end)
{
    uint64_t room = ring->capacity - bitmap_ring_slot(ring, from);
    return end - from < room ? end - from : room;
}

// Ranges of a ring: from <= end <= from + capacity.
static inline void bitmap_ring_set_range(struct bitmap_ring *ring, uint64_t from, uint64_t end)
{
    ASSERT_CMP(end - from, <=, ring->capacity);
    while (from < end) {
        uint64_t straight = bitmap_ring_straight(ring, from, end);
        size_t slot = bitmap_ring_slot(ring, from);
        bitmap_set_range(ring->words, slot, slot + (size_t)straight);
        from += straight;
    }
}

static inline void bitmap_ring_clear_range(struct bitmap_ring *ring, uint64_t from, uint64_t end)
{
    ASSERT_CMP(end - from, <=, ring->capacity);
    while (from < end) {
        uint64_t straight = bitmap_ring_straight(ring, from, end);
        size_t slot = bitmap_ring_slot(ring, from);
        bitmap_clear_range(ring->words, slot, slot + (size_t)straight);
        from += straight;
    }
}

static inline uint64_t bitmap_ring_count(const struct bitmap_ring *ring, uint64_t from,
                                         uint64_t end)
{
    ASSERT_CMP(end - from, <=, ring->capacity);
    uint64_t count = 0;
    while (from < end) {
        uint64_t straight = bitmap_ring_straight(ring, from, end);
        size_t slot = bitmap_ring_slot(ring, from);
        count += bitmap_count(ring->words, slot, slot + (size_t)straight);
        from += straight;
    }
    return count;
}

static inline uint64_t bitmap_ring_find(const struct bitmap_ring *ring, uint64_t from, uint64_t end,
                                        uint64_t flip)
{
    ASSERT_CMP(end - from, <=, ring->capacity);
    while (from < end) {
        uint64_t straight = bitmap_ring_straight(ring, from, end);
        size_t slot = bitmap_ring_slot(ring, from);
        size_t found = bitmap_find(ring->words, slot, slot + (size_t)straight, flip);
        from += found - slot;
        if (found < slot + straight) {
            break;
        }
    }
    return from;
}

// First index in [from, end) whose bit is set (clear); end when there is none.
static inline uint64_t bitmap_ring_find_set(const struct bitmap_ring *ring, uint64_t from,
                                            uint64_t end)
{
    return bitmap_ring_find(ring, from, end, 0);
}

static inline uint64_t bitmap_ring_find_clear(const struct bitmap_ring *ring, uint64_t from,
                                              uint64_t end)
{
    return bitmap_ring_find(ring, from, end, UINT64_MAX);
}

#endif
