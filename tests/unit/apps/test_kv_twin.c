// The kv state machine against a slow twin: a plain list of pairs.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/app_kv/app_kv.h"
#include "tests/harness/harness.h"
#include "tests/unit/apps/app_stream.h"
#include "tests/unit/apps/kv.h"

// A pair's value by the number of its key.
struct twin {
    uint8_t *values[KV_KEYS]; // NULL: absent
    uint32_t bytes[KV_KEYS];
    uint64_t used, capacity;
};

static enum kv_result twin_set(struct twin *twin, uint32_t number, uint32_t key_bytes,
                               struct kv_bytes value)
{
    uint64_t used = twin->used;
    if (twin->values[number] != NULL) {
        used -= kv_pair_bytes(key_bytes, twin->bytes[number]);
    }
    used += kv_pair_bytes(key_bytes, value.bytes);
    if (used > twin->capacity) {
        return KV_FULL;
    }
    twin->used = used;
    twin->values[number] = realloc(twin->values[number], value.bytes + 1);
    memcpy(twin->values[number], value.data, value.bytes);
    twin->bytes[number] = value.bytes;
    return KV_OK;
}

static enum kv_result twin_apply(struct twin *twin, uint32_t number,
                                 const struct kv_command *command)
{
    bool is_there = twin->values[number] != NULL;
    switch (command->operation) {
    case KV_PUT:
        break;
    case KV_DELETE:
        if (!is_there) {
            return KV_NOT_FOUND;
        }
        twin->used -= kv_pair_bytes(command->key.bytes, twin->bytes[number]);
        free(twin->values[number]);
        twin->values[number] = NULL;
        return KV_OK;
    case KV_COMPARE_AND_SWAP:
        if (command->expected.bytes == KV_ABSENT) {
            if (is_there) {
                return KV_MISMATCH;
            }
        } else if (!is_there) {
            return KV_NOT_FOUND;
        } else if (command->expected.bytes != twin->bytes[number] ||
                   memcmp(command->expected.data, twin->values[number], twin->bytes[number]) != 0) {
            return KV_MISMATCH;
        }
        break;
    }
    return twin_set(twin, number, command->key.bytes, command->value);
}

static void twin_clear(struct twin *twin)
{
    for (uint32_t i = 0; i < KV_KEYS; i++) {
        free(twin->values[i]);
        twin->values[i] = NULL;
    }
    twin->used = 0;
}

static void compare(struct app *app, const struct twin *twin)
{
    static uint8_t answer[KV_VALUE_BYTES_MAX];
    char key[KV_KEY_BYTES_MAX];
    uint64_t pairs = 0;
    for (uint32_t number = 0; number < KV_KEYS; number++) {
        int32_t got = kv_get(app, kv_key(number, key), answer, sizeof(answer));
        if (twin->values[number] == NULL) {
            CHECK_EQUAL(got, -ENOENT);
            continue;
        }
        pairs++;
        CHECK_EQUAL(got, twin->bytes[number]);
        CHECK(memcmp(answer, twin->values[number], twin->bytes[number]) == 0);
    }
    struct kv_statistics statistics = kv_statistics_of(app);
    CHECK_EQUAL(statistics.pairs, pairs);
    CHECK_EQUAL(statistics.bytes, twin->used);
}

static struct kv_bytes random_value(uint64_t scale)
{
    uint64_t limit = app_stream_below(4) == 0 ? scale : 200;
    uint32_t bytes = (uint32_t)app_stream_below(limit + 1);
    return kv_noise((uint32_t)app_stream_below(KV_NOISE_BYTES - bytes), bytes);
}

// A command on a random key; `expected` is the current value more often than not.
static struct kv_command random_command(const struct twin *twin, uint32_t *number,
                                        char key[KV_KEY_BYTES_MAX], uint64_t scale)
{
    *number = (uint32_t)app_stream_below(KV_KEYS);
    struct kv_command command = {.operation = KV_PUT, .key = kv_key(*number, key)};
    uint64_t choice = app_stream_below(10);
    if (choice == 0) {
        command.operation = KV_DELETE;
        return command;
    }
    command.value = random_value(scale);
    if (choice <= 3) {
        command.operation = KV_COMPARE_AND_SWAP;
        if (app_stream_below(4) == 0) {
            command.expected.bytes = KV_ABSENT;
        } else if (twin->values[*number] != NULL && app_stream_below(4) != 0) {
            command.expected = (struct kv_bytes){twin->values[*number], twin->bytes[*number]};
        } else {
            command.expected = random_value(20);
        }
        if (kv_command_bytes(&command) == 0) { // both values together are too large
            command.value.bytes = 0;
        }
    }
    return command;
}

// Applied in batches to one store and one by one to another; the batched one is replaced by its
// restored checkpoint.
enum { BATCH_MAX = 100 };

struct batch {
    struct app_entry entries[BATCH_MAX];
    uint32_t expected[BATCH_MAX];
    uint32_t count;
};

static void fill_batch(struct batch *batch, struct twin *twin, uint64_t scale, uint64_t *counts)
{
    char key[KV_KEY_BYTES_MAX];
    batch->count = (uint32_t)(1 + app_stream_below(BATCH_MAX));
    for (uint32_t i = 0; i < batch->count; i++) {
        uint32_t number;
        struct kv_command command = random_command(twin, &number, key, scale);
        struct app_entry *entry = &batch->entries[i];
        entry->index = i;
        entry->payload = kv_encode(&command, &entry->bytes);
        if (app_stream_below(50) == 0) {
            ((uint8_t *)(uintptr_t)entry->payload)[1] = 1;
            batch->expected[i] = KV_MALFORMED;
        } else {
            batch->expected[i] = twin_apply(twin, number, &command);
        }
        counts[batch->expected[i]]++;
    }
}

static void apply_batch(struct batch *batch, struct app *batched, struct app *single)
{
    uint32_t results[BATCH_MAX];
    batched->ops->apply(batched, batch->entries, batch->count, results);
    for (uint32_t i = 0; i < batch->count; i++) {
        uint32_t result;
        single->ops->apply(single, &batch->entries[i], 1, &result);
        CHECK_EQUAL(result, batch->expected[i]);
        CHECK_EQUAL(results[i], batch->expected[i]);
        free((void *)(uintptr_t)batch->entries[i].payload);
    }
}

static void agree_with_twin(uint64_t memory_bytes, uint64_t scale, int batches, uint64_t *counts)
{
    struct app *single = kv_open(memory_bytes), *batched = kv_open(memory_bytes);
    struct app *spare = kv_open(2 * memory_bytes);
    struct app_kv_config config = {.memory_bytes = memory_bytes};
    struct twin twin = {.capacity = app_kv_capacity_bytes(&config)};
    CHECK_EQUAL(single->ops->digest(single), batched->ops->digest(batched));
    for (int i = 0; i < batches; i++) {
        struct batch batch;
        fill_batch(&batch, &twin, scale, counts);
        apply_batch(&batch, batched, single);
        CHECK_EQUAL(single->ops->digest(single), batched->ops->digest(batched));
        if (i % 40 == 39) {
            uint64_t bytes;
            uint8_t *stream = app_stream_save(batched, &bytes, true);
            CHECK_EQUAL(app_stream_restore(spare, stream, bytes, true), 0);
            CHECK_EQUAL(spare->ops->digest(spare), single->ops->digest(single));
            free(stream);
            struct app *replaced = batched;
            batched = spare;
            spare = replaced;
            compare(batched, &twin);
        }
    }
    compare(single, &twin);
    twin_clear(&twin);
    single->ops->close(single);
    batched->ops->close(batched);
    spare->ops->close(spare);
}

// Both stores' memory exceeds what the stream's limits ask for after the first exchange, so that
// restores never fail.
static void agrees_with_a_slow_twin(void)
{
    uint64_t counts[KV_FULL + 1] = {0};
    app_stream_seed(1);
    agree_with_twin(8 * KV_MIB, 300, 300, counts);
    CHECK_EQUAL(counts[KV_FULL], 0);
    for (uint64_t seed = 2; seed < 5; seed++) {
        app_stream_seed(seed);
        agree_with_twin(8 * KV_MIB, 60000, 200, counts);
    }
    agree_with_twin(8 * KV_MIB, KV_VALUE_BYTES_MAX, 30, counts);
    for (int result = KV_OK; result <= KV_FULL; result++) {
        CHECK(counts[result] > 20);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(agrees_with_a_slow_twin),
    };
    return test_run("apps kv twin", cases, TEST_COUNT(cases), argc, argv);
}
