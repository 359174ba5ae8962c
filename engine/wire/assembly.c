// Memory, one block of the caller's:
//
//     struct assembly | slots[buffers] | bitmaps[buffers] | payloads[buffers], each aligned to 64
//
// An entry's fragments have one size (wire_fragment_is_valid), so a bit each says what is there.
// The size is known from any fragment but the last; when the last comes first, its data is kept and
// its bit is set as soon as the size is known.
#include "engine/wire/assembly.h"

#include <string.h>

#include "engine/base/assert.h"

enum { CACHE_LINE_BYTES = 64, WORD_BITS = 64 };

enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_WHOLE };

struct slot {
    struct assembly_key key;
    struct raft_entry_head head;
    uint64_t touched;        // assembly.clock when it last got on; the smallest is given up first
    uint32_t fragment_bytes; // of every fragment but the last; 0: not known yet
    uint32_t last_offset; // of the last fragment when it is there and fragment_bytes is not known;
                          // else 0
    uint32_t received_bytes; // ≤ head.bytes
    uint8_t state;           // enum slot_state
    uint8_t refusals;        // since it last got on, < ASSEMBLY_REFUSALS_MAX
};

struct assembly {
    struct assembly_counters counters;
    uint64_t clock; // counts fragments
    struct slot *slots;
    uint64_t *bitmaps;
    uint8_t *payloads;
    size_t payload_stride; // bytes
    uint32_t bitmap_words; // of one slot
    uint32_t buffers;
    uint32_t payload_bytes_max;
    uint32_t recent; // slot of the fragment before
};

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static size_t slots_at(void)
{
    return round_up(sizeof(struct assembly), CACHE_LINE_BYTES);
}

static size_t bitmaps_at(uint32_t buffers)
{
    return round_up(slots_at() + buffers * sizeof(struct slot), CACHE_LINE_BYTES);
}

static uint32_t bitmap_words(uint32_t payload_bytes_max)
{
    return payload_bytes_max / WIRE_FRAGMENT_BYTES_MIN / WORD_BITS + 1;
}

static size_t payloads_at(uint32_t buffers, uint32_t payload_bytes_max)
{
    size_t bitmaps = (size_t)buffers * bitmap_words(payload_bytes_max) * sizeof(uint64_t);
    return round_up(bitmaps_at(buffers) + bitmaps, CACHE_LINE_BYTES);
}

size_t assembly_memory_bytes(uint32_t buffers, uint32_t payload_bytes_max)
{
    return payloads_at(buffers, payload_bytes_max) +
           buffers * round_up(payload_bytes_max, CACHE_LINE_BYTES);
}

struct assembly *assembly_init(void *memory, uint32_t buffers, uint32_t payload_bytes_max)
{
    ASSERT_CMP(buffers, >, 0);
    ASSERT_CMP(payload_bytes_max, <=, RAFT_PAYLOAD_BYTES_MAX);
    ASSERT_CMP((uintptr_t)memory % CACHE_LINE_BYTES, ==, 0);
    uint8_t *base = memory;
    struct assembly *assembly = memory;
    *assembly = (struct assembly){
        .slots = (struct slot *)(void *)(base + slots_at()),
        .bitmaps = (uint64_t *)(void *)(base + bitmaps_at(buffers)),
        .payloads = base + payloads_at(buffers, payload_bytes_max),
        .payload_stride = round_up(payload_bytes_max, CACHE_LINE_BYTES),
        .bitmap_words = bitmap_words(payload_bytes_max),
        .buffers = buffers,
        .payload_bytes_max = payload_bytes_max,
    };
    memset(assembly->slots, 0, buffers * sizeof(struct slot));
    return assembly;
}

static bool is_key_equal(const struct assembly_key *x, const struct assembly_key *y)
{
    return x->a == y->a && x->b == y->b && x->source == y->source && x->group == y->group;
}

static bool is_head_equal(const struct raft_entry_head *x, const struct raft_entry_head *y)
{
    return x->client == y->client && x->sequence == y->sequence && x->bytes == y->bytes &&
           x->crc == y->crc && x->kind == y->kind;
}

static struct slot *find(struct assembly *assembly, const struct assembly_key *key)
{
    struct slot *recent = &assembly->slots[assembly->recent];
    if (recent->state != SLOT_FREE && is_key_equal(&recent->key, key)) {
        return recent;
    }
    for (uint32_t i = 0; i < assembly->buffers; i++) {
        struct slot *slot = &assembly->slots[i];
        if (slot->state != SLOT_FREE && is_key_equal(&slot->key, key)) {
            return slot;
        }
    }
    return NULL;
}

// A free slot, or the one touched least recently.
static struct slot *choose(struct assembly *assembly)
{
    struct slot *oldest = &assembly->slots[0];
    for (uint32_t i = 0; i < assembly->buffers; i++) {
        struct slot *slot = &assembly->slots[i];
        if (slot->state == SLOT_FREE) {
            return slot;
        }
        if (slot->touched < oldest->touched) {
            oldest = slot;
        }
    }
    assembly->counters.given_up++;
    return oldest;
}

static uint32_t slot_index(const struct assembly *assembly, const struct slot *slot)
{
    return (uint32_t)(slot - assembly->slots);
}

static uint64_t *bitmap_of(struct assembly *assembly, const struct slot *slot)
{
    return assembly->bitmaps + (size_t)slot_index(assembly, slot) * assembly->bitmap_words;
}

static uint8_t *payload_of(struct assembly *assembly, const struct slot *slot)
{
    return assembly->payloads + slot_index(assembly, slot) * assembly->payload_stride;
}

static void begin(struct assembly *assembly, struct slot *slot, const struct assembly_key *key,
                  const struct wire_fragment *fragment)
{
    *slot = (struct slot){.key = *key, .head = fragment->head, .state = SLOT_FILLING};
    memset(bitmap_of(assembly, slot), 0, assembly->bitmap_words * sizeof(uint64_t));
}

static bool is_last(const struct wire_fragment *fragment)
{
    return fragment->offset + fragment->bytes == fragment->head.bytes;
}

// Whether the fragment at `offset`, `bytes` up to the end, is the last one of an entry in fragments
// of `fragment_bytes`.
static bool is_last_in(uint32_t offset, uint32_t bytes, uint32_t fragment_bytes)
{
    return offset % fragment_bytes == 0 && bytes <= fragment_bytes;
}

// Whether the (valid) fragment can be a part of what the slot is filled with.
static bool agrees(const struct slot *slot, const struct wire_fragment *fragment)
{
    if (!is_head_equal(&slot->head, &fragment->head)) {
        return false;
    }
    if (slot->fragment_bytes != 0) {
        return is_last(fragment)
                   ? is_last_in(fragment->offset, fragment->bytes, slot->fragment_bytes)
                   : fragment->bytes == slot->fragment_bytes;
    }
    if (slot->last_offset != 0) {
        uint32_t last_bytes = slot->head.bytes - slot->last_offset;
        return is_last(fragment) ? fragment->offset == slot->last_offset
                                 : is_last_in(slot->last_offset, last_bytes, fragment->bytes);
    }
    return true; // the slot is empty
}

// False when the bit was set already.
static bool mark(struct assembly *assembly, struct slot *slot, uint32_t offset)
{
    uint32_t bit = offset / slot->fragment_bytes;
    uint64_t *word = bitmap_of(assembly, slot) + bit / WORD_BITS;
    uint64_t mask = UINT64_C(1) << (bit % WORD_BITS);
    bool was_set = (*word & mask) != 0;
    *word |= mask;
    return !was_set;
}

// Notes that the (agreeing) fragment is there. False when it was there already.
static bool note(struct assembly *assembly, struct slot *slot, const struct wire_fragment *fragment)
{
    if (slot->fragment_bytes == 0) {
        if (is_last(fragment) && fragment->offset != 0) {
            bool is_new = slot->last_offset == 0;
            slot->last_offset = fragment->offset;
            return is_new;
        }
        slot->fragment_bytes = fragment->bytes;
        if (slot->last_offset != 0) {
            mark(assembly, slot, slot->last_offset);
            slot->last_offset = 0;
        }
    }
    return mark(assembly, slot, fragment->offset);
}

// The slot to put the fragment in, or NULL when it is refused.
static struct slot *admit(struct assembly *assembly, const struct assembly_key *key,
                          const struct wire_fragment *fragment)
{
    if (!wire_fragment_is_valid(fragment) || fragment->head.bytes > assembly->payload_bytes_max) {
        assembly->counters.refused++;
        return NULL;
    }
    struct slot *slot = find(assembly, key);
    if (slot == NULL) {
        slot = choose(assembly);
        begin(assembly, slot, key, fragment);
        return slot;
    }
    if (agrees(slot, fragment)) {
        return slot;
    }
    if (++slot->refusals < ASSEMBLY_REFUSALS_MAX) {
        assembly->counters.refused++;
        return NULL;
    }
    assembly->counters.given_up++;
    begin(assembly, slot, key, fragment);
    return slot;
}

const uint8_t *assembly_add(struct assembly *assembly, const struct assembly_key *key,
                            const struct wire_fragment *fragment)
{
    struct slot *slot = admit(assembly, key, fragment);
    if (slot == NULL) {
        return NULL;
    }
    assembly->recent = slot_index(assembly, slot);
    if (slot->state == SLOT_WHOLE || !note(assembly, slot, fragment)) {
        assembly->counters.duplicates++;
        return NULL;
    }
    uint8_t *payload = payload_of(assembly, slot);
    memcpy(payload + fragment->offset, fragment->data, fragment->bytes);
    slot->received_bytes += fragment->bytes;
    slot->refusals = 0;
    slot->touched = ++assembly->clock;
    if (slot->received_bytes < slot->head.bytes) {
        return NULL;
    }
    if (wire_entry_crc(&slot->head, payload) != slot->head.crc) {
        slot->state = SLOT_FREE;
        assembly->counters.bad_checksum++;
        return NULL;
    }
    slot->state = SLOT_WHOLE;
    assembly->counters.completed++;
    return payload;
}

void assembly_done(struct assembly *assembly, const struct assembly_key *key)
{
    struct slot *slot = find(assembly, key);
    if (slot != NULL) {
        slot->state = SLOT_FREE;
    }
}

void assembly_counters(const struct assembly *assembly, struct assembly_counters *out)
{
    *out = assembly->counters;
}
