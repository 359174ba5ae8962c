// A kv store that is full: at the same command whatever the history, to the last byte, for ever.
#include <stdlib.h>
#include <string.h>

#include "tests/harness/harness.h"
#include "tests/unit/apps/app_stream.h"
#include "tests/unit/apps/kv.h"

// The same contents by four histories: in order, backwards, with detours in values, and by way of a
// full store. Then the same command is the first that does not fit, on all of them.
static struct kv_bytes value_of(uint32_t number)
{
    return kv_noise(number * 1000, number * 37 % 12000);
}

static void build(struct app *app, int history)
{
    char key[KV_KEY_BYTES_MAX];
    if (history == 3) {
        struct kv_bytes large = kv_noise(0, 11000);
        for (uint32_t i = 0; kv_put(app, kv_key(i % 300, key), large) != KV_FULL; i++) {
        }
        for (uint32_t i = 0; i < 300; i++) {
            kv_delete(app, kv_key(i, key));
        }
    }
    for (uint32_t step = 0; step < 200; step++) {
        uint32_t i = history == 1 ? 199 - step : step;
        for (uint32_t detour = 0; history == 2 && detour < 30; detour++) {
            CHECK_EQUAL(kv_put(app, kv_key(i, key), value_of((i + detour * 31) % 300)), KV_OK);
            if (detour % 7 == 3) {
                CHECK_EQUAL(kv_delete(app, kv_key(i, key)), KV_OK);
            }
        }
        CHECK_EQUAL(kv_put(app, kv_key(i, key), value_of(i)), KV_OK);
    }
}

static void full_does_not_depend_on_history(void)
{
    char key[KV_KEY_BYTES_MAX];
    uint64_t digest = 0, digest_full = 0, full_at = 0;
    for (int history = 0; history < 5; history++) {
        struct app *app = kv_open(8 * KV_MIB);
        if (history < 4) {
            build(app, history);
        } else {
            struct app *first = kv_open(8 * KV_MIB);
            uint64_t bytes;
            build(first, 2);
            uint8_t *stream = app_stream_save(first, &bytes, false);
            CHECK_EQUAL(app_stream_restore(app, stream, bytes, false), 0);
            free(stream);
            first->ops->close(first);
        }
        digest = history == 0 ? app->ops->digest(app) : digest;
        CHECK_EQUAL(app->ops->digest(app), digest);
        uint32_t count = 0;
        while (kv_put(app, kv_key(200 + count % 2000, key), value_of(5 + count % 90)) == KV_OK) {
            count++;
        }
        full_at = history == 0 ? count : full_at;
        digest_full = history == 0 ? app->ops->digest(app) : digest_full;
        CHECK(count > 50);
        CHECK_EQUAL(count, full_at);
        CHECK_EQUAL(app->ops->digest(app), digest_full);
        app->ops->close(app);
    }
}

// To the last byte, and again after everything was written anew in other sizes for a long time.
static void capacity_is_exact_and_stays(void)
{
    char key[KV_KEY_BYTES_MAX];
    struct app *app = kv_open(8 * KV_MIB);
    app_stream_seed(5);
    uint64_t capacity = kv_statistics_of(app).capacity_bytes;
    for (int round = 0; round < 4; round++) {
        uint64_t used = 0;
        for (uint32_t i = 0; i < KV_KEYS; i++) {
            struct kv_bytes name = kv_key(i, key);
            uint32_t bytes =
                (uint32_t)(capacity / KV_KEYS) / 16 * 16 - 16 - name.bytes - (uint32_t)round * 16;
            CHECK_EQUAL(kv_put(app, name, kv_noise(i, bytes)), KV_OK);
            used += kv_pair_bytes(name.bytes, bytes);
        }
        CHECK_EQUAL(kv_statistics_of(app).bytes, used);
        uint64_t rest = capacity - used;
        struct kv_bytes last = {"x", 1};
        uint32_t fits = (uint32_t)(rest / 16 * 16 - 17);
        CHECK_EQUAL(kv_put(app, last, kv_noise(0, fits + 1)), KV_FULL);
        CHECK_EQUAL(kv_put(app, last, kv_noise(0, fits)), KV_OK);
        CHECK_EQUAL(kv_put(app, last, kv_noise(0, fits + 1)), KV_FULL);
        CHECK_EQUAL(kv_put(app, kv_text("y"), kv_text("")), KV_FULL);
        CHECK_EQUAL(kv_swap(app, kv_text("y"), (struct kv_bytes){NULL, KV_ABSENT}, kv_text("")),
                    KV_FULL);
        kv_check_value(app, last, kv_noise(0, fits));
        CHECK_EQUAL(kv_delete(app, last), KV_OK);
        for (int churn = 0; churn < 20000; churn++) {
            uint32_t i = (uint32_t)app_stream_below(KV_KEYS);
            uint32_t bytes = (uint32_t)app_stream_below(capacity / KV_KEYS - 1000);
            CHECK_EQUAL(kv_put(app, kv_key(i, key), kv_noise(i, bytes)), KV_OK);
        }
    }
    app->ops->close(app);
}

// Pairs of every size up to the largest, in a store that is full most of the time: the hardest work
// for the cleaning.
static void cleaning_copes_with_large_pairs(void)
{
    static const uint64_t memory_mib[] = {8, 12, 24};
    app_stream_seed(6);
    for (size_t m = 0; m < TEST_COUNT(memory_mib); m++) {
        struct app *app = kv_open(memory_mib[m] * KV_MIB);
        uint64_t results[KV_FULL + 1] = {0};
        char key[KV_KEY_BYTES_MAX];
        uint32_t seeds[KV_KEYS] = {0}, sizes[KV_KEYS];
        memset(sizes, 0xFF, sizeof(sizes));
        for (int i = 0; i < 6000; i++) {
            uint32_t number = (uint32_t)app_stream_below(KV_KEYS);
            uint64_t limit = (uint64_t)1 << app_stream_below(21);
            limit = limit < KV_VALUE_BYTES_MAX ? limit : KV_VALUE_BYTES_MAX;
            uint32_t bytes = (uint32_t)(limit - app_stream_below(limit / 2 + 1));
            uint32_t from = (uint32_t)app_stream_below(KV_NOISE_BYTES - bytes);
            uint32_t result = kv_put(app, kv_key(number, key), kv_noise(from, bytes));
            results[result]++;
            if (result == KV_OK) {
                seeds[number] = from;
                sizes[number] = bytes;
            } else if (kv_delete(app, kv_key(number, key)) == KV_OK) {
                sizes[number] = UINT32_MAX;
            }
        }
        CHECK(results[KV_FULL] > 100 && results[KV_OK] > 1000);
        for (uint32_t number = 0; number < KV_KEYS; number++) {
            if (sizes[number] != UINT32_MAX) {
                kv_check_value(app, kv_key(number, key), kv_noise(seeds[number], sizes[number]));
            }
        }
        app->ops->close(app);
    }
}

static void number_of_pairs_is_limited(void)
{
    struct app *app = kv_open(16 * KV_MIB);
    uint64_t pairs_max = kv_statistics_of(app).pairs_max;
    for (uint32_t i = 0; i < pairs_max; i++) {
        CHECK_EQUAL(kv_put(app, (struct kv_bytes){&i, 4}, (struct kv_bytes){NULL, 0}), KV_OK);
    }
    uint32_t one_more = UINT32_MAX, first = 0;
    CHECK(kv_statistics_of(app).bytes < kv_statistics_of(app).capacity_bytes);
    CHECK_EQUAL(kv_put(app, (struct kv_bytes){&one_more, 4}, kv_text("")), KV_FULL);
    CHECK_EQUAL(kv_put(app, (struct kv_bytes){&first, 4}, kv_text("a value that weighs more")),
                KV_OK);
    CHECK_EQUAL(kv_delete(app, (struct kv_bytes){&first, 4}), KV_OK);
    CHECK_EQUAL(kv_put(app, (struct kv_bytes){&one_more, 4}, kv_text("")), KV_OK);
    for (uint32_t i = 1; i < pairs_max; i++) {
        CHECK_EQUAL(kv_get(app, (struct kv_bytes){&i, 4}, NULL, 0), 0);
    }
    app->ops->close(app);
}

// What fits into the room that is told is never refused, however full the store is; and the room
// shrinks to nothing worth having.
static void what_fits_into_the_room_is_taken(void)
{
    static uint8_t value[3000];
    struct app *app = kv_open(8 * KV_MIB);
    uint32_t refused = 0;
    char key[KV_KEY_BYTES_MAX];
    for (uint32_t i = 0; i < 40000; i++) {
        uint32_t bytes = i * 2654435761u >> 21; // 0 to 2047
        const struct kv_command command = {
            .operation = KV_PUT, .key = kv_key(i % 20000, key), .value = {value, bytes}};
        bool fits = kv_command_bytes(&command) + APP_COMMAND_BYTES <= app->ops->room(app);
        uint32_t result = kv_apply(app, &command);
        CHECK(!fits || result == KV_OK);
        refused += result == KV_FULL;
    }
    CHECK(refused > 1000);
    CHECK(app->ops->room(app) < 4096);
    app->ops->close(app);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(full_does_not_depend_on_history),  TEST(capacity_is_exact_and_stays),
        TEST(cleaning_copes_with_large_pairs),  TEST(number_of_pairs_is_limited),
        TEST(what_fits_into_the_room_is_taken),
    };
    return test_run("apps kv full", cases, TEST_COUNT(cases), argc, argv);
}
