// Promises of the parts of the kv store that its commands do not show: the pace of cleaning, and
// the index on its own.
#include <stdlib.h>
#include <string.h>

#include "drivers/app_kv/kv_hash.h"
#include "drivers/app_kv/kv_store.h"
#include "tests/harness/harness.h"
#include "tests/unit/apps/app_stream.h"

static const uint8_t value[256];

// Puts key `number` with a value of these bytes. Result: bytes that the cleaner went over
// meanwhile.
static uint64_t put(struct kv_store *store, uint64_t number, uint32_t bytes, enum kv_result *result)
{
    struct kv_command command = {
        .operation = KV_PUT, .key = {&number, sizeof(number)}, .value = {value, bytes}};
    uint64_t tail = store->heap.tail;
    *result = kv_store_execute(store, kv_hash_key(&number, sizeof(number)), &command);
    return (store->heap.tail + store->heap.bytes - tail) % store->heap.bytes;
}

// A store filled to the brim with small pairs, of which only some, in a row, are ever written
// again: the cleaner finds long stretches without anything dead.
static void cleaning_keeps_its_pace(void)
{
    enum { MEMORY_BYTES = 64 << 20, BYTES_MAX = 200, CHURN = 1500000 };
    struct kv_store store;
    void *memory = aligned_alloc(64, MEMORY_BYTES);
    memset(memory, 0xA5, MEMORY_BYTES);
    kv_store_init(&store, memory, MEMORY_BYTES);
    enum kv_result result = KV_OK;
    uint64_t pairs = 0, cleaned = 0;
    app_stream_seed(6);
    while (result == KV_OK) {
        CHECK_EQUAL(put(&store, pairs++, BYTES_MAX, &result), 0);
    }
    pairs--;
    for (uint64_t hot = 1000; hot < pairs; hot *= 10) {
        for (uint64_t i = 0; i < CHURN / 3; i++) {
            uint32_t bytes = (uint32_t)app_stream_below(BYTES_MAX + 1);
            uint64_t paid = put(&store, app_stream_below(hot), bytes, &result);
            uint64_t owed = 16 * kv_pair_bytes(8, bytes) + kv_pair_bytes(8, BYTES_MAX);
            CHECK_EQUAL(result, KV_OK);
            CHECK(paid < owed);
            cleaned += paid;
        }
        for (uint64_t number = 0; number < pairs; number++) { // to the brim again
            put(&store, number, BYTES_MAX, &result);
            CHECK_EQUAL(result, KV_OK);
        }
    }
    CHECK(cleaned > store.heap.bytes);
    free(memory);
}

// Few homes, all collisions: against a plain list of locations by hash.
static void index_agrees_with_a_list(void)
{
    enum { SLOTS = 16, USED_MAX = 12, HOMES = 5, STEPS = 200000 };
    struct kv_slot slots[SLOTS];
    struct kv_index index;
    uint64_t hashes[USED_MAX];
    uint32_t locations[USED_MAX], used = 0, next = 1;
    kv_index_init(&index, slots, SLOTS);
    app_stream_seed(8);
    for (int step = 0; step < STEPS; step++) {
        uint64_t choice = app_stream_below(3);
        if (choice == 0 && used < USED_MAX) {
            hashes[used] = (13 + app_stream_below(HOMES)) % SLOTS << 60 | app_stream_below(4) << 32;
            locations[used] = next++;
            kv_index_insert(&index, hashes[used], locations[used]);
            used++;
        } else if (choice == 1 && used > 0) {
            uint32_t moved = (uint32_t)app_stream_below(used);
            kv_index_relocate(&index, hashes[moved], locations[moved], next);
            locations[moved] = next++;
        } else if (used > 0) {
            uint32_t gone = (uint32_t)app_stream_below(used), slot = 0;
            while (slots[slot].location != locations[gone]) {
                slot++;
            }
            kv_index_remove(&index, slot);
            used--;
            hashes[gone] = hashes[used];
            locations[gone] = locations[used];
        }
        uint32_t filled = 0;
        for (uint32_t slot = 0; slot < SLOTS; slot++) {
            filled += slots[slot].location != 0;
        }
        CHECK_EQUAL(filled, used);
        for (uint32_t i = 0; i < used; i++) {
            uint32_t slot = kv_index_home(&index, hashes[i]);
            while (slots[slot].location != locations[i]) {
                CHECK(slots[slot].location != 0);
                slot = kv_index_after(&index, slot);
            }
            CHECK_EQUAL(slots[slot].tag, kv_index_tag(hashes[i]));
        }
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(cleaning_keeps_its_pace),
        TEST(index_agrees_with_a_list),
    };
    return test_run("apps kv_store", cases, TEST_COUNT(cases), argc, argv);
}
