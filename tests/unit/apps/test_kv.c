// The kv state machine against a slow twin (a plain list of pairs), full at the same command
// whatever the history, and its checkpoints.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/app_kv/app_kv.h"
#include "drivers/app_kv/kv_command.h"
#include "engine/base/crc32c.h"
#include "tests/harness/harness.h"
#include "tests/unit/apps/app_stream.h"

enum { MIB = 1 << 20, KEYS = 400 };

static struct app *open_kv(uint64_t memory_bytes)
{
    struct app_kv_config config = {.memory_bytes = memory_bytes};
    struct app *app = NULL;
    char reason[200] = "";
    CHECK_EQUAL(app_kv_open(&config, &app, reason, sizeof(reason)), 0);
    return app;
}

static struct kv_bytes text(const char *string)
{
    return (struct kv_bytes){string, (uint32_t)strlen(string)};
}

static uint8_t *encode(const struct kv_command *command, uint32_t *bytes)
{
    *bytes = kv_command_bytes(command);
    CHECK(*bytes > 0);
    uint8_t *payload = malloc(*bytes);
    CHECK_EQUAL(kv_command_encode(command, payload, *bytes), *bytes);
    return payload;
}

static uint32_t apply_one(struct app *app, const struct kv_command *command)
{
    struct app_entry entry = {.index = 1};
    uint8_t *payload = encode(command, &entry.bytes);
    uint32_t result = UINT32_MAX;
    entry.payload = payload;
    app->ops->apply(app, &entry, 1, &result);
    free(payload);
    return result;
}

static uint32_t put(struct app *app, struct kv_bytes key, struct kv_bytes value)
{
    return apply_one(app, &(struct kv_command){.operation = KV_PUT, .key = key, .value = value});
}

static uint32_t delete (struct app *app, struct kv_bytes key)
{
    return apply_one(app, &(struct kv_command){.operation = KV_DELETE, .key = key});
}

static uint32_t swap(struct app *app, struct kv_bytes key, struct kv_bytes expected,
                     struct kv_bytes value)
{
    return apply_one(app, &(struct kv_command){.operation = KV_COMPARE_AND_SWAP,
                                               .key = key,
                                               .value = value,
                                               .expected = expected});
}

static int32_t get(struct app *app, struct kv_bytes key, void *answer, uint32_t capacity)
{
    uint8_t query[KV_QUERY_BYTES_MAX];
    uint32_t bytes = kv_command_encode_query(&(struct kv_query){.kind = KV_QUERY_GET, .key = key},
                                             query, sizeof(query));
    CHECK(bytes > 0);
    return app->ops->read(app, query, bytes, answer, capacity);
}

static struct kv_statistics statistics_of(struct app *app)
{
    uint8_t query[KV_QUERY_HEAD_BYTES], answer[KV_STATISTICS_BYTES];
    struct kv_statistics statistics;
    uint32_t bytes = kv_command_encode_query(&(struct kv_query){.kind = KV_QUERY_STATISTICS}, query,
                                             sizeof(query));
    CHECK_EQUAL(app->ops->read(app, query, bytes, answer, sizeof(answer)), KV_STATISTICS_BYTES);
    CHECK(kv_command_decode_statistics(answer, sizeof(answer), &statistics));
    return statistics;
}

static void check_value(struct app *app, struct kv_bytes key, struct kv_bytes value)
{
    uint8_t *answer = malloc(KV_VALUE_BYTES_MAX);
    CHECK_EQUAL(get(app, key, answer, KV_VALUE_BYTES_MAX), value.bytes);
    CHECK(memcmp(answer, value.data, value.bytes) == 0);
    free(answer);
}

// The slow twin: a pair's value by the number of its key.

struct twin {
    uint8_t *values[KEYS]; // NULL: absent
    uint32_t bytes[KEYS];
    uint64_t used, capacity;
};

static struct kv_bytes key_of(uint32_t number, char key[KV_KEY_BYTES_MAX])
{
    uint32_t bytes = 4 + number * 7 % 60 + (number % 50 == 0 ? 900 : 0);
    memset(key, 'k', bytes);
    memcpy(key, &number, sizeof(number));
    return (struct kv_bytes){key, bytes};
}

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
    for (uint32_t i = 0; i < KEYS; i++) {
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
    for (uint32_t number = 0; number < KEYS; number++) {
        int32_t got = get(app, key_of(number, key), answer, sizeof(answer));
        if (twin->values[number] == NULL) {
            CHECK_EQUAL(got, -ENOENT);
            continue;
        }
        pairs++;
        CHECK_EQUAL(got, twin->bytes[number]);
        CHECK(memcmp(answer, twin->values[number], twin->bytes[number]) == 0);
    }
    struct kv_statistics statistics = statistics_of(app);
    CHECK_EQUAL(statistics.pairs, pairs);
    CHECK_EQUAL(statistics.bytes, twin->used);
}

static uint8_t noise[2 * MIB];

static void make_noise(void)
{
    for (uint64_t i = 0; i < sizeof(noise); i += 8) {
        uint64_t word = app_stream_random();
        memcpy(noise + i, &word, 8);
    }
}

static struct kv_bytes random_value(uint64_t scale)
{
    uint64_t limit = app_stream_below(4) == 0 ? scale : 200;
    uint32_t bytes = (uint32_t)app_stream_below(limit + 1);
    return (struct kv_bytes){noise + app_stream_below(sizeof(noise) - bytes), bytes};
}

// A command on a random key; `expected` is the current value more often than not.
static struct kv_command random_command(const struct twin *twin, uint32_t *number,
                                        char key[KV_KEY_BYTES_MAX], uint64_t scale)
{
    *number = (uint32_t)app_stream_below(KEYS);
    struct kv_command command = {.operation = KV_PUT, .key = key_of(*number, key)};
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
        entry->payload = encode(&command, &entry->bytes);
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
    struct app *single = open_kv(memory_bytes), *batched = open_kv(memory_bytes);
    struct app *spare = open_kv(2 * memory_bytes);
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
    make_noise();
    agree_with_twin(8 * MIB, 300, 300, counts);
    CHECK_EQUAL(counts[KV_FULL], 0);
    for (uint64_t seed = 2; seed < 5; seed++) {
        app_stream_seed(seed);
        agree_with_twin(8 * MIB, 60000, 200, counts);
    }
    agree_with_twin(8 * MIB, KV_VALUE_BYTES_MAX, 30, counts);
    for (int result = KV_OK; result <= KV_FULL; result++) {
        CHECK(counts[result] > 20);
    }
}

static void commands_do_what_they_say(void)
{
    struct app *app = open_kv(8 * MIB);
    struct kv_bytes key = text("key"), absent = {NULL, KV_ABSENT}, empty = {NULL, 0};
    char answer[10];
    CHECK_EQUAL(get(app, key, answer, sizeof(answer)), -ENOENT);
    CHECK_EQUAL(delete (app, key), KV_NOT_FOUND);
    CHECK_EQUAL(swap(app, key, text("old"), text("new")), KV_NOT_FOUND);
    CHECK_EQUAL(swap(app, key, empty, text("new")), KV_NOT_FOUND);
    CHECK_EQUAL(swap(app, key, absent, text("one")), KV_OK);
    CHECK_EQUAL(swap(app, key, absent, text("two")), KV_MISMATCH);
    CHECK_EQUAL(swap(app, key, text("on"), text("two")), KV_MISMATCH);
    CHECK_EQUAL(swap(app, key, text("onE"), text("two")), KV_MISMATCH);
    CHECK_EQUAL(swap(app, key, text("ones"), text("two")), KV_MISMATCH);
    check_value(app, key, text("one"));
    CHECK_EQUAL(swap(app, key, text("one"), empty), KV_OK);
    CHECK_EQUAL(get(app, key, answer, 0), 0);
    CHECK_EQUAL(swap(app, key, empty, text("two")), KV_OK);
    CHECK_EQUAL(get(app, key, answer, 2), -EMSGSIZE);
    CHECK_EQUAL(put(app, key, text("a longer value than before")), KV_OK);
    check_value(app, key, text("a longer value than before"));
    CHECK_EQUAL(get(app, text("ke"), answer, sizeof(answer)), -ENOENT);
    CHECK_EQUAL(get(app, text("keyy"), answer, sizeof(answer)), -ENOENT);
    CHECK_EQUAL(delete (app, key), KV_OK);
    CHECK_EQUAL(get(app, key, answer, sizeof(answer)), -ENOENT);
    CHECK_EQUAL(statistics_of(app).bytes, 0);
    app->ops->close(app);
}

static void largest_pair_fits_one_command(void)
{
    static uint8_t payload[RAFT_PAYLOAD_BYTES_MAX + 1];
    struct app *app = open_kv(8 * MIB);
    struct kv_bytes key = {noise, KV_KEY_BYTES_MAX}, value = {noise + 5, KV_VALUE_BYTES_MAX};
    struct kv_command command = {.operation = KV_PUT, .key = key, .value = value};
    CHECK_EQUAL(kv_command_bytes(&command), RAFT_PAYLOAD_BYTES_MAX);
    CHECK_EQUAL(kv_command_encode(&command, payload, RAFT_PAYLOAD_BYTES_MAX - 1), 0);
    CHECK_EQUAL(put(app, key, value), KV_OK);
    check_value(app, key, value);
    command.value.bytes++;
    CHECK_EQUAL(kv_command_bytes(&command), 0);
    command.value.bytes = 1;
    command.key.bytes++;
    CHECK_EQUAL(kv_command_bytes(&command), 0);
    command.key.bytes = 0;
    CHECK_EQUAL(kv_command_bytes(&command), 0);
    app->ops->close(app);
}

// Every head with one field changed, cut at each length and one byte too long.
static void malformed_commands_change_nothing(void)
{
    struct app *app = open_kv(8 * MIB);
    struct kv_command command = {.operation = KV_COMPARE_AND_SWAP,
                                 .key = text("a key"),
                                 .value = text("new"),
                                 .expected = text("old")};
    uint32_t bytes, result;
    uint8_t *payload = encode(&command, &bytes), longer[100] = {0};
    put(app, text("a key"), text("old"));
    uint64_t digest = app->ops->digest(app);
    struct app_footprint range;
    for (uint32_t cut = 0; cut < bytes; cut++) {
        uint8_t *exact = malloc(cut + 1); // a read past the cut is seen by the sanitizer
        memcpy(exact, payload, cut);
        struct app_entry entry = {.payload = exact, .bytes = cut};
        app->ops->apply(app, &entry, 1, &result);
        CHECK_EQUAL(result, KV_MALFORMED);
        CHECK_EQUAL(app->ops->footprint(exact, cut, &range, 1), 0);
        free(exact);
    }
    memcpy(longer, payload, bytes);
    struct app_entry entry = {.payload = longer, .bytes = bytes + 1};
    app->ops->apply(app, &entry, 1, &result);
    CHECK_EQUAL(result, KV_MALFORMED);
    entry.bytes = bytes;
    for (uint32_t bit = 0; bit < KV_COMMAND_HEAD_BYTES * 8; bit++) {
        longer[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        app->ops->apply(app, &entry, 1, &result);
        // Sizes no longer add up, or the operation is another that may not carry these fields.
        CHECK_EQUAL(result, KV_MALFORMED);
        longer[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    CHECK_EQUAL(app->ops->digest(app), digest);
    free(payload);
    app->ops->close(app);
}

static uint32_t apply_as(struct app *app, uint8_t operation, const struct kv_command *command)
{
    struct app_entry entry = {.index = 1};
    uint8_t *payload = encode(command, &entry.bytes);
    uint32_t result;
    payload[0] = operation;
    entry.payload = payload;
    app->ops->apply(app, &entry, 1, &result);
    free(payload);
    return result;
}

static void fields_of_another_operation_are_malformed(void)
{
    struct app *app = open_kv(8 * MIB);
    struct kv_command with_value = {.operation = KV_PUT, .key = text("k"), .value = text("v")};
    struct kv_command with_expected = {
        .operation = KV_COMPARE_AND_SWAP, .key = text("k"), .expected = text("e")};
    struct kv_command with_absent = {
        .operation = KV_COMPARE_AND_SWAP, .key = text("k"), .expected.bytes = KV_ABSENT};
    CHECK_EQUAL(apply_as(app, KV_PUT, &with_value), KV_OK);
    CHECK_EQUAL(apply_as(app, KV_DELETE, &with_value), KV_MALFORMED);
    CHECK_EQUAL(apply_as(app, KV_PUT, &with_expected), KV_MALFORMED);
    CHECK_EQUAL(apply_as(app, KV_DELETE, &with_expected), KV_MALFORMED);
    CHECK_EQUAL(apply_as(app, KV_PUT, &with_absent), KV_MALFORMED);
    CHECK_EQUAL(apply_as(app, KV_DELETE, &with_absent), KV_MALFORMED);
    CHECK_EQUAL(apply_as(app, 0, &with_value), KV_MALFORMED);
    CHECK_EQUAL(apply_as(app, 4, &with_value), KV_MALFORMED);
    app->ops->close(app);
}

static void malformed_queries_are_refused(void)
{
    struct app *app = open_kv(8 * MIB);
    uint8_t query[KV_QUERY_BYTES_MAX + 1] = {KV_QUERY_GET, 0, 3, 0, 'a', 'b', 'c'}, answer[100];
    CHECK_EQUAL(app->ops->read(app, query, 7, answer, 100), -ENOENT);
    for (uint32_t bytes = 0; bytes < 7; bytes++) {
        CHECK_EQUAL(app->ops->read(app, query, bytes, answer, 100), -EINVAL);
    }
    CHECK_EQUAL(app->ops->read(app, query, 8, answer, 100), -EINVAL);
    query[0] = KV_QUERY_STATISTICS;
    CHECK_EQUAL(app->ops->read(app, query, 7, answer, 100), -EINVAL);
    query[2] = 0;
    CHECK_EQUAL(app->ops->read(app, query, 4, answer, 100), KV_STATISTICS_BYTES);
    CHECK_EQUAL(app->ops->read(app, query, 4, answer, KV_STATISTICS_BYTES - 1), -EMSGSIZE);
    query[0] = 3;
    CHECK_EQUAL(app->ops->read(app, query, 4, answer, 100), -EINVAL);
    query[0] = 0;
    CHECK_EQUAL(app->ops->read(app, query, 4, answer, 100), -EINVAL);
    app->ops->close(app);
}

static void footprint_is_the_key(void)
{
    struct app *app = open_kv(8 * MIB);
    struct kv_command one = {.operation = KV_PUT, .key = text("a"), .value = text("x")};
    struct kv_command same = {.operation = KV_DELETE, .key = text("a")};
    struct kv_command other = {.operation = KV_DELETE, .key = text("b")};
    struct app_footprint ranges[3];
    const struct kv_command *commands[3] = {&one, &same, &other};
    for (int i = 0; i < 3; i++) {
        uint32_t bytes;
        uint8_t *payload = encode(commands[i], &bytes);
        CHECK_EQUAL(app->ops->footprint(payload, bytes, &ranges[i], 1), 1);
        CHECK_EQUAL(app->ops->footprint(payload, bytes, NULL, 0), -1);
        CHECK_EQUAL(ranges[i].length, 1);
        CHECK(ranges[i].start + 1 > ranges[i].start);
        free(payload);
    }
    CHECK_EQUAL(ranges[0].start, ranges[1].start);
    CHECK(ranges[0].start != ranges[2].start);
    app->ops->close(app);
}

// Digest of known contents, so that builds and machines agree with each other and not only with
// themselves.
static void digest_is_the_same_on_every_build(void)
{
    struct app *app = open_kv(64 * MIB);
    put(app, text("one"), text("1"));
    put(app, text("two"),
        text("a value of some length, so that another path of the hash is taken"));
    CHECK_EQUAL(app->ops->digest(app), UINT64_C(11081728971571614348));
    app->ops->close(app);
}

// The same contents by four histories: in order, backwards, with detours in values, and by way of a
// full store. Then the same command is the first that does not fit, on all of them.
static struct kv_bytes value_of(uint32_t number)
{
    return (struct kv_bytes){noise + number * 1000, number * 37 % 12000};
}

static void build(struct app *app, int history)
{
    char key[KV_KEY_BYTES_MAX];
    if (history == 3) {
        struct kv_bytes large = {noise, 11000};
        for (uint32_t i = 0; put(app, key_of(i % 300, key), large) != KV_FULL; i++) {
        }
        for (uint32_t i = 0; i < 300; i++) {
            delete (app, key_of(i, key));
        }
    }
    for (uint32_t step = 0; step < 200; step++) {
        uint32_t i = history == 1 ? 199 - step : step;
        for (uint32_t detour = 0; history == 2 && detour < 30; detour++) {
            CHECK_EQUAL(put(app, key_of(i, key), value_of((i + detour * 31) % 300)), KV_OK);
            if (detour % 7 == 3) {
                CHECK_EQUAL(delete (app, key_of(i, key)), KV_OK);
            }
        }
        CHECK_EQUAL(put(app, key_of(i, key), value_of(i)), KV_OK);
    }
}

static void full_does_not_depend_on_history(void)
{
    char key[KV_KEY_BYTES_MAX];
    uint64_t digest = 0, digest_full = 0, full_at = 0;
    for (int history = 0; history < 5; history++) {
        struct app *app = open_kv(8 * MIB);
        if (history < 4) {
            build(app, history);
        } else {
            struct app *first = open_kv(8 * MIB);
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
        while (put(app, key_of(200 + count % 2000, key), value_of(5 + count % 90)) == KV_OK) {
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
    struct app *app = open_kv(8 * MIB);
    uint64_t capacity = statistics_of(app).capacity_bytes;
    for (int round = 0; round < 4; round++) {
        uint64_t used = 0;
        for (uint32_t i = 0; i < KEYS; i++) {
            struct kv_bytes name = key_of(i, key);
            uint32_t bytes =
                (uint32_t)(capacity / KEYS) / 16 * 16 - 16 - name.bytes - (uint32_t)round * 16;
            CHECK_EQUAL(put(app, name, (struct kv_bytes){noise + i, bytes}), KV_OK);
            used += kv_pair_bytes(name.bytes, bytes);
        }
        CHECK_EQUAL(statistics_of(app).bytes, used);
        uint64_t rest = capacity - used;
        struct kv_bytes last = {"x", 1};
        uint32_t fits = (uint32_t)(rest / 16 * 16 - 17);
        CHECK_EQUAL(put(app, last, (struct kv_bytes){noise, fits + 1}), KV_FULL);
        CHECK_EQUAL(put(app, last, (struct kv_bytes){noise, fits}), KV_OK);
        CHECK_EQUAL(put(app, last, (struct kv_bytes){noise, fits + 1}), KV_FULL);
        CHECK_EQUAL(put(app, text("y"), text("")), KV_FULL);
        CHECK_EQUAL(swap(app, text("y"), (struct kv_bytes){NULL, KV_ABSENT}, text("")), KV_FULL);
        check_value(app, last, (struct kv_bytes){noise, fits});
        CHECK_EQUAL(delete (app, last), KV_OK);
        for (int churn = 0; churn < 20000; churn++) {
            uint32_t i = (uint32_t)app_stream_below(KEYS);
            uint32_t bytes = (uint32_t)app_stream_below(capacity / KEYS - 1000);
            CHECK_EQUAL(put(app, key_of(i, key), (struct kv_bytes){noise + i, bytes}), KV_OK);
        }
    }
    app->ops->close(app);
}

// Pairs of every size up to the largest, in a store that is full most of the time: the hardest work
// for the cleaning.
static void cleaning_copes_with_large_pairs(void)
{
    static const uint64_t memory_mib[] = {8, 12, 24};
    for (size_t m = 0; m < TEST_COUNT(memory_mib); m++) {
        struct app *app = open_kv(memory_mib[m] * MIB);
        uint64_t results[KV_FULL + 1] = {0};
        char key[KV_KEY_BYTES_MAX];
        uint32_t seeds[KEYS] = {0}, sizes[KEYS];
        memset(sizes, 0xFF, sizeof(sizes));
        for (int i = 0; i < 6000; i++) {
            uint32_t number = (uint32_t)app_stream_below(KEYS);
            uint64_t limit = (uint64_t)1 << app_stream_below(21);
            limit = limit < KV_VALUE_BYTES_MAX ? limit : KV_VALUE_BYTES_MAX;
            uint32_t bytes = (uint32_t)(limit - app_stream_below(limit / 2 + 1));
            uint32_t from = (uint32_t)app_stream_below(sizeof(noise) - bytes);
            uint32_t result = put(app, key_of(number, key), (struct kv_bytes){noise + from, bytes});
            results[result]++;
            if (result == KV_OK) {
                seeds[number] = from;
                sizes[number] = bytes;
            } else if (delete (app, key_of(number, key)) == KV_OK) {
                sizes[number] = UINT32_MAX;
            }
        }
        CHECK(results[KV_FULL] > 100 && results[KV_OK] > 1000);
        for (uint32_t number = 0; number < KEYS; number++) {
            if (sizes[number] != UINT32_MAX) {
                check_value(app, key_of(number, key),
                            (struct kv_bytes){noise + seeds[number], sizes[number]});
            }
        }
        app->ops->close(app);
    }
}

static void number_of_pairs_is_limited(void)
{
    struct app *app = open_kv(16 * MIB);
    uint64_t pairs_max = statistics_of(app).pairs_max;
    for (uint32_t i = 0; i < pairs_max; i++) {
        CHECK_EQUAL(put(app, (struct kv_bytes){&i, 4}, (struct kv_bytes){NULL, 0}), KV_OK);
    }
    uint32_t one_more = UINT32_MAX, first = 0;
    CHECK(statistics_of(app).bytes < statistics_of(app).capacity_bytes);
    CHECK_EQUAL(put(app, (struct kv_bytes){&one_more, 4}, text("")), KV_FULL);
    CHECK_EQUAL(put(app, (struct kv_bytes){&first, 4}, text("a value that weighs more")), KV_OK);
    CHECK_EQUAL(delete (app, (struct kv_bytes){&first, 4}), KV_OK);
    CHECK_EQUAL(put(app, (struct kv_bytes){&one_more, 4}, text("")), KV_OK);
    for (uint32_t i = 1; i < pairs_max; i++) {
        CHECK_EQUAL(get(app, (struct kv_bytes){&i, 4}, NULL, 0), 0);
    }
    app->ops->close(app);
}

// Checkpoints.

static struct app *open_small(void)
{
    struct app *app = open_kv(8 * MIB);
    put(app, text("a"), text("1"));
    put(app, text("gone"), text("nothing of this"));
    put(app, text("bcd"), text(""));
    put(app, text("ef"), text("some value"));
    delete (app, text("gone"));
    return app;
}

static void check_refused(struct app *app, const uint8_t *stream, uint64_t bytes, uint64_t empty)
{
    CHECK_EQUAL(app_stream_restore(app, stream, bytes, false), -EBADMSG);
    CHECK_EQUAL(app->ops->digest(app), empty);
    CHECK_EQUAL(statistics_of(app).pairs, 0);
}

static void damaged_checkpoints_are_refused(void)
{
    struct app *app = open_small(), *other = open_kv(8 * MIB);
    uint64_t bytes, empty = other->ops->digest(other);
    uint8_t *stream = app_stream_save(app, &bytes, false);
    for (uint64_t bit = 0; bit < bytes * 8; bit++) {
        stream[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        check_refused(other, stream, bytes, empty);
        stream[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (uint64_t cut = 0; cut < bytes; cut++) {
        check_refused(other, stream, cut, empty);
    }
    stream[bytes] = 0;
    check_refused(other, stream, bytes + 1, empty);
    CHECK_EQUAL(app_stream_restore(other, stream, bytes, true), 0);
    CHECK_EQUAL(other->ops->digest(other), app->ops->digest(app));
    free(stream);
    app->ops->close(app);
    other->ops->close(other);
}

// Streams whose checksum is right and whose content is not: one byte of the small stream set to a
// value.
static void contradictory_checkpoints_are_refused(void)
{
    static const struct {
        uint32_t offset;
        uint8_t value;
        const char *what;
    } rows[] = {
        {8, 2, "fewer pairs than follow"},
        {8, 4, "more pairs than follow"},
        {15, 255, "pairs beyond counting"},
        {16, 1, "weight of all pairs"},
        {24, 1, "capacity"},
        {31, 1, "capacity beyond memory"},
        {32, 1, "most pairs"},
        {39, 1, "most pairs beyond memory"},
        {40, 1, "digest"},
        {48, 2, "value length"},
        {51, 1, "value length beyond all"},
        {52, 0, "no key"},
        {53, 255, "key length beyond all"},
        {54, 1, "reserved"},
        {56, 'x', "a key"},
        {57, 'x', "a value"},
    };
    struct app *app = open_small(), *other = open_kv(8 * MIB);
    uint64_t bytes, empty = other->ops->digest(other);
    uint8_t *stream = app_stream_save(app, &bytes, false);
    CHECK_EQUAL(stream[56], 'a');
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        uint8_t kept = stream[rows[i].offset];
        stream[rows[i].offset] = rows[i].value;
        uint32_t crc = crc32c(0, stream, bytes - 4);
        memcpy(stream + bytes - 4, &crc, 4);
        check_refused(other, stream, bytes, empty);
        stream[rows[i].offset] = kept;
    }
    free(stream);
    app->ops->close(app);
    other->ops->close(other);
}

// With the right sum of hashes, too: only the table can tell that a key is there twice.
static void key_twice_in_a_checkpoint_is_refused(void)
{
    struct app *app = open_kv(8 * MIB), *other = open_kv(8 * MIB);
    uint64_t bytes, empty = other->ops->digest(other);
    put(app, text("a"), text("1"));
    put(app, text("b"), text("1"));
    uint8_t *stream = app_stream_save(app, &bytes, false);
    CHECK_EQUAL(bytes, 48 + 2 * 10 + 4);
    CHECK_EQUAL(stream[66], 'b');
    stream[66] = 'a';
    uint32_t crc = crc32c(0, stream, bytes - 4);
    memcpy(stream + bytes - 4, &crc, 4);
    CHECK_EQUAL(other->ops->restore_begin(other), 0);
    CHECK_EQUAL(other->ops->restore_write(other, stream, 68 - 1), 0);
    CHECK_EQUAL(other->ops->restore_write(other, stream + 67, 1), -EBADMSG);
    CHECK_EQUAL(other->ops->restore_write(other, stream + 68, bytes - 68), -EBADMSG);
    CHECK_EQUAL(other->ops->restore_end(other), -EBADMSG);
    CHECK_EQUAL(other->ops->digest(other), empty);
    free(stream);
    app->ops->close(app);
    other->ops->close(other);
}

static void limits_travel_with_the_checkpoint(void)
{
    struct app *app = open_small(), *larger = open_kv(16 * MIB);
    uint64_t bytes, bytes_larger, empty = app->ops->digest(app);
    CHECK(empty != larger->ops->digest(larger));
    uint8_t *stream = app_stream_save(app, &bytes, false);
    uint8_t *stream_larger = app_stream_save(larger, &bytes_larger, false);
    CHECK_EQUAL(app_stream_restore(larger, stream, bytes, false), 0);
    CHECK_EQUAL(larger->ops->digest(larger), app->ops->digest(app));
    CHECK_EQUAL(statistics_of(larger).capacity_bytes, statistics_of(app).capacity_bytes);
    CHECK_EQUAL(app_stream_restore(app, stream_larger, bytes_larger, false), -EBADMSG);
    free(stream);
    free(stream_larger);
    app->ops->close(app);
    larger->ops->close(larger);
}

static void memory_out_of_range_is_refused(void)
{
    static const uint64_t sizes[] = {0, 8 * MIB - 1, (UINT64_C(64) << 30) + 1, UINT64_MAX};
    for (size_t i = 0; i < TEST_COUNT(sizes); i++) {
        struct app_kv_config config = {.memory_bytes = sizes[i]};
        struct app *app = NULL;
        char reason[200] = "";
        CHECK_EQUAL(app_kv_open(&config, &app, reason, sizeof(reason)), -EINVAL);
        CHECK(app == NULL && strstr(reason, "8 MiB") != NULL);
    }
    struct app *odd = open_kv(9999999);
    CHECK_EQUAL(put(odd, text("key"), text("value")), KV_OK);
    check_value(odd, text("key"), text("value"));
    odd->ops->close(odd);
}

// What fits into the room that is told is never refused, however full the store is; and the room
// shrinks to nothing worth having.
static void what_fits_into_the_room_is_taken(void)
{
    static uint8_t value[3000];
    struct app *app = open_kv(8 * MIB);
    uint32_t refused = 0;
    char key[KV_KEY_BYTES_MAX];
    for (uint32_t i = 0; i < 40000; i++) {
        uint32_t bytes = i * 2654435761u >> 21; // 0 to 2047
        const struct kv_command command = {
            .operation = KV_PUT, .key = key_of(i % 20000, key), .value = {value, bytes}};
        bool fits = kv_command_bytes(&command) + APP_COMMAND_BYTES <= app->ops->room(app);
        uint32_t result = apply_one(app, &command);
        CHECK(!fits || result == KV_OK);
        refused += result == KV_FULL;
    }
    CHECK(refused > 1000);
    CHECK(app->ops->room(app) < 4096);
    app->ops->close(app);
}

static void a_query_looks_at_its_key(void)
{
    struct app *app = open_kv(8 * MIB);
    uint8_t query[KV_QUERY_BYTES_MAX];
    struct app_footprint of_query, of_put;
    uint32_t bytes = kv_command_encode_query(
        &(struct kv_query){.kind = KV_QUERY_GET, .key = text("key")}, query, sizeof(query));
    CHECK_EQUAL(app->ops->query_footprint(query, bytes, &of_query, 1), 1);
    uint8_t *payload = encode(
        &(struct kv_command){.operation = KV_PUT, .key = text("key"), .value = text("v")}, &bytes);
    CHECK_EQUAL(app->ops->footprint(payload, bytes, &of_put, 1), 1);
    CHECK(of_query.start == of_put.start && of_query.length == of_put.length);
    free(payload);
    bytes = kv_command_encode_query(&(struct kv_query){.kind = KV_QUERY_STATISTICS}, query,
                                    sizeof(query));
    CHECK(app->ops->query_footprint(query, bytes, &of_query, 1) < 0);
    app->ops->close(app);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(what_fits_into_the_room_is_taken),
        TEST(a_query_looks_at_its_key),
        TEST(agrees_with_a_slow_twin),
        TEST(commands_do_what_they_say),
        TEST(largest_pair_fits_one_command),
        TEST(malformed_commands_change_nothing),
        TEST(fields_of_another_operation_are_malformed),
        TEST(malformed_queries_are_refused),
        TEST(footprint_is_the_key),
        TEST(digest_is_the_same_on_every_build),
        TEST(full_does_not_depend_on_history),
        TEST(capacity_is_exact_and_stays),
        TEST(cleaning_copes_with_large_pairs),
        TEST(number_of_pairs_is_limited),
        TEST(damaged_checkpoints_are_refused),
        TEST(contradictory_checkpoints_are_refused),
        TEST(key_twice_in_a_checkpoint_is_refused),
        TEST(limits_travel_with_the_checkpoint),
        TEST(memory_out_of_range_is_refused),
    };
    return test_run("apps kv", cases, TEST_COUNT(cases), argc, argv);
}
