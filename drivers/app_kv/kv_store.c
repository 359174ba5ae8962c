// How much of the heap may be live, and how fast it is cleaned.
//
// Let A be the bytes of the heap, R the largest record, and
//
//     capacity   u = 13/16 A        at most this is live (and at most A - 5 R)
//     reserve    2 R                an append leaves this free, for any copy and a lap's filler
//     threshold  g = 1/16 A + 2 R   cleaning begins when less is free
//     pace       c = 16             bytes cleaned a byte appended, while less than g is free
//
// A pass of the cleaner over the whole log, begun with g free, has A - g to go. At this pace less
// than A / 16 is appended meanwhile, which is what lies between g and the reserve. It reclaims all
// that was dead when it began: at least A - g - u, less one filler, which is A / 8 - 3 R; for A of
// 48 R or more that exceeds A / 16, so the pass ends with g free again. Hence, in heaps of 48 MiB
// or more, the reserve is never touched, however cleverly the workload places its dead records, and
// a command waits for no more than 16 times its own bytes of cleaning.
//
// In smaller heaps an append may have to clean until the reserve is there. It will be: a lap of
// cleaning leaves at least A - u - R free, an append needs at most the reserve and 2 R, and u is at
// most A - 5 R.
#include "drivers/app_kv/kv_store.h"

#include <string.h>

#include "drivers/app_kv/kv_hash.h"
#include "engine/base/assert.h"

enum {
    CLEAN_PACE = 16,
    THRESHOLD_SHARE = 16, // g = A / this + reserve
    RESERVE_BYTES = 2 * KV_RECORD_BYTES_MAX,
    MARGIN_BYTES = 5 * KV_RECORD_BYTES_MAX,
    BYTES_A_SLOT = 64, // of memory: the index takes between 1/16 and 1/8 of it
};

static uint32_t slots_of(uint64_t memory_bytes)
{
    uint32_t slots = 4;
    while ((uint64_t)slots * 2 <= memory_bytes / BYTES_A_SLOT) {
        slots *= 2;
    }
    return slots;
}

static uint64_t heap_bytes_of(uint64_t memory_bytes)
{
    uint64_t bytes = memory_bytes - slots_of(memory_bytes) * sizeof(struct kv_slot);
    return bytes - bytes % KV_PAIR_ALIGN_BYTES;
}

struct kv_limits kv_store_limits(uint64_t memory_bytes)
{
    ASSERT(memory_bytes >= KV_STORE_MEMORY_BYTES_MIN && memory_bytes <= KV_STORE_MEMORY_BYTES_MAX);
    uint64_t heap_bytes = heap_bytes_of(memory_bytes);
    uint64_t share = heap_bytes / 16 * 13;
    uint64_t margin = heap_bytes - MARGIN_BYTES;
    return (struct kv_limits){
        .capacity_bytes = share < margin ? share : margin,
        .pairs_max = slots_of(memory_bytes) / 4 * 3,
    };
}

void kv_store_init(struct kv_store *store, void *memory, uint64_t memory_bytes)
{
    uint32_t slots = slots_of(memory_bytes);
    kv_index_init(&store->index, memory, slots);
    kv_heap_init(&store->heap, (uint8_t *)memory + slots * sizeof(struct kv_slot),
                 heap_bytes_of(memory_bytes));
    store->limits_own = kv_store_limits(memory_bytes);
    kv_store_clear(store);
}

void kv_store_clear(struct kv_store *store)
{
    kv_index_clear(&store->index);
    kv_heap_clear(&store->heap);
    store->limits = store->limits_own;
    store->pairs = 0;
    store->bytes = 0;
    store->pairs_sum = 0;
}

uint64_t kv_store_digest(const struct kv_store *store)
{
    uint64_t words[] = {htole64(store->pairs_sum), htole64(store->pairs), htole64(store->bytes),
                        htole64(store->limits.capacity_bytes), htole64(store->limits.pairs_max)};
    return XXH3_64bits(words, sizeof(words));
}

void kv_store_prefetch_slot(const struct kv_store *store, uint64_t hash)
{
    __builtin_prefetch(&store->index.slots[kv_index_home(&store->index, hash)]);
}

// A small record lies in one or two cache lines.
static void prefetch_lines(const struct kv_record *record)
{
    __builtin_prefetch(record, 1);
    __builtin_prefetch((const uint8_t *)record + 64, 1);
}

void kv_store_prefetch_record(const struct kv_store *store, uint64_t hash)
{
    const struct kv_index *index = &store->index;
    for (uint32_t slot = kv_index_home(index, hash); index->slots[slot].location != 0;
         slot = kv_index_after(index, slot)) {
        if (index->slots[slot].tag == kv_index_tag(hash)) {
            prefetch_lines(kv_heap_at(&store->heap, index->slots[slot].location));
            return;
        }
    }
}

static uint32_t find(const struct kv_store *store, uint64_t hash, struct kv_bytes key)
{
    const struct kv_index *index = &store->index;
    for (uint32_t slot = kv_index_home(index, hash); index->slots[slot].location != 0;
         slot = kv_index_after(index, slot)) {
        if (index->slots[slot].tag != kv_index_tag(hash)) {
            continue;
        }
        const struct kv_record *record = kv_heap_at(&store->heap, index->slots[slot].location);
        if (record->key_bytes == key.bytes && memcmp(record->data, key.data, key.bytes) == 0) {
            return slot;
        }
    }
    return KV_SLOT_NONE;
}

static struct kv_record *record_at(const struct kv_store *store, uint32_t slot)
{
    return kv_heap_at(&store->heap, store->index.slots[slot].location);
}

const struct kv_record *kv_store_get(const struct kv_store *store, uint64_t hash,
                                     struct kv_bytes key)
{
    uint32_t slot = find(store, hash, key);
    return slot == KV_SLOT_NONE ? NULL : record_at(store, slot);
}

// Takes the oldest record off the log; a live one goes on at the head. Result: bytes of log gone
// over.
static uint64_t clean_one(struct kv_store *store)
{
    struct kv_heap_cursor tail = kv_heap_walk(&store->heap);
    struct kv_record *oldest = kv_heap_next(&store->heap, &tail);
    ASSERT(oldest != NULL);
    uint64_t bytes = kv_heap_record_bytes(oldest);
    if (oldest->state == KV_RECORD_LIVE) {
        struct kv_record *copy = kv_heap_append(&store->heap, bytes);
        memcpy(copy, oldest, bytes);
        kv_index_relocate(&store->index, kv_hash_key(copy->data, copy->key_bytes),
                          kv_heap_location(&store->heap, oldest),
                          kv_heap_location(&store->heap, copy));
    }
    kv_heap_drop_oldest(&store->heap);
    return bytes;
}

// A record of `bytes` at the head, after the cleaning that it owes.
static struct kv_record *append(struct kv_store *store, uint64_t bytes)
{
    struct kv_heap *heap = &store->heap;
    uint64_t threshold_bytes = heap->bytes / THRESHOLD_SHARE + RESERVE_BYTES;
    uint64_t cleaned_bytes = 0;
    while (kv_heap_free_bytes(heap) < threshold_bytes && cleaned_bytes < CLEAN_PACE * bytes) {
        cleaned_bytes += clean_one(store);
    }
    cleaned_bytes = 0;
    while (kv_heap_free_bytes(heap) < kv_heap_need_bytes(heap, bytes) + RESERVE_BYTES) {
        cleaned_bytes += clean_one(store);
        ASSERT_CMP(cleaned_bytes, <=, 2 * heap->bytes);
    }
    return kv_heap_append(heap, bytes);
}

static void account(struct kv_store *store, const struct kv_record *record)
{
    store->bytes += kv_heap_record_bytes(record);
    store->pairs_sum += record->pair;
}

static void discount(struct kv_store *store, const struct kv_record *record)
{
    store->bytes -= kv_heap_record_bytes(record);
    store->pairs_sum -= record->pair;
}

static void set_value(struct kv_record *record, uint64_t hash, struct kv_bytes value)
{
    record->value_bytes = value.bytes;
    record->pair = kv_hash_pair(hash, value.data, value.bytes);
    if (value.bytes > 0) {
        memcpy(record->data + record->key_bytes, value.data, value.bytes);
    }
}

static struct kv_record *append_pair(struct kv_store *store, uint64_t hash, struct kv_bytes key,
                                     struct kv_bytes value)
{
    struct kv_record *record = append(store, kv_pair_bytes(key.bytes, value.bytes));
    record->state = KV_RECORD_LIVE;
    record->key_bytes = (uint16_t)key.bytes;
    memcpy(record->data, key.data, key.bytes);
    set_value(record, hash, value);
    account(store, record);
    return record;
}

static enum kv_result insert(struct kv_store *store, uint64_t hash,
                             const struct kv_command *command)
{
    uint64_t bytes = kv_pair_bytes(command->key.bytes, command->value.bytes);
    if (store->pairs == store->limits.pairs_max ||
        store->bytes + bytes > store->limits.capacity_bytes) {
        return KV_FULL;
    }
    struct kv_record *record = append_pair(store, hash, command->key, command->value);
    kv_index_insert(&store->index, hash, kv_heap_location(&store->heap, record));
    store->pairs++;
    return KV_OK;
}

// A value of the same weight is written over the old one: a store whose pairs keep their size never
// needs cleaning.
static enum kv_result replace(struct kv_store *store, uint64_t hash, uint32_t slot,
                              const struct kv_command *command)
{
    struct kv_record *record = record_at(store, slot);
    uint64_t bytes_old = kv_heap_record_bytes(record);
    uint64_t bytes_new = kv_pair_bytes(command->key.bytes, command->value.bytes);
    if (store->bytes - bytes_old + bytes_new > store->limits.capacity_bytes) {
        return KV_FULL;
    }
    discount(store, record);
    if (bytes_new == bytes_old) {
        set_value(record, hash, command->value);
        account(store, record);
        return KV_OK;
    }
    record->state = KV_RECORD_DEAD;
    record = append_pair(store, hash, command->key, command->value);
    store->index.slots[slot].location = kv_heap_location(&store->heap, record);
    return KV_OK;
}

static enum kv_result put(struct kv_store *store, uint64_t hash, uint32_t slot,
                          const struct kv_command *command)
{
    return slot == KV_SLOT_NONE ? insert(store, hash, command)
                                : replace(store, hash, slot, command);
}

static enum kv_result remove_pair(struct kv_store *store, uint32_t slot)
{
    if (slot == KV_SLOT_NONE) {
        return KV_NOT_FOUND;
    }
    struct kv_record *record = record_at(store, slot);
    discount(store, record);
    record->state = KV_RECORD_DEAD;
    kv_index_remove(&store->index, slot);
    store->pairs--;
    return KV_OK;
}

static bool has_value(const struct kv_record *record, struct kv_bytes value)
{
    return record->value_bytes == value.bytes &&
           memcmp(record->data + record->key_bytes, value.data, value.bytes) == 0;
}

static enum kv_result compare_and_swap(struct kv_store *store, uint64_t hash, uint32_t slot,
                                       const struct kv_command *command)
{
    bool expects_absent = command->expected.bytes == KV_ABSENT;
    if (slot == KV_SLOT_NONE) {
        return expects_absent ? insert(store, hash, command) : KV_NOT_FOUND;
    }
    if (expects_absent || !has_value(record_at(store, slot), command->expected)) {
        return KV_MISMATCH;
    }
    return replace(store, hash, slot, command);
}

enum kv_result kv_store_execute(struct kv_store *store, uint64_t hash,
                                const struct kv_command *command)
{
    uint32_t slot = find(store, hash, command->key);
    switch (command->operation) {
    case KV_PUT:
        return put(store, hash, slot, command);
    case KV_DELETE:
        return remove_pair(store, slot);
    case KV_COMPARE_AND_SWAP:
        return compare_and_swap(store, hash, slot, command);
    }
    return KV_MALFORMED;
}

bool kv_store_adopt(struct kv_store *store, struct kv_limits limits)
{
    ASSERT_CMP(store->pairs, ==, 0);
    if (limits.capacity_bytes > store->limits_own.capacity_bytes ||
        limits.pairs_max > store->limits_own.pairs_max) {
        return false;
    }
    store->limits = limits;
    return true;
}

struct kv_record *kv_store_reserve(struct kv_store *store, uint32_t key_bytes, uint32_t value_bytes)
{
    uint64_t bytes = kv_pair_bytes(key_bytes, value_bytes);
    if (store->pairs == store->limits.pairs_max ||
        store->bytes + bytes > store->limits.capacity_bytes) {
        return NULL;
    }
    struct kv_record *record = append(store, bytes);
    record->state = KV_RECORD_DEAD;
    record->key_bytes = (uint16_t)key_bytes;
    record->value_bytes = value_bytes;
    return record;
}

bool kv_store_commit(struct kv_store *store, struct kv_record *record)
{
    struct kv_bytes key = {record->data, record->key_bytes};
    uint64_t hash = kv_hash_key(key.data, key.bytes);
    if (find(store, hash, key) != KV_SLOT_NONE) {
        return false;
    }
    record->state = KV_RECORD_LIVE;
    record->pair = kv_hash_pair(hash, record->data + record->key_bytes, record->value_bytes);
    account(store, record);
    kv_index_insert(&store->index, hash, kv_heap_location(&store->heap, record));
    store->pairs++;
    return true;
}
