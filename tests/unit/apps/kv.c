#include "tests/unit/apps/kv.h"

#include <stdlib.h>
#include <string.h>

#include "drivers/app_kv/app_kv.h"
#include "engine/base/prng.h"
#include "tests/harness/harness.h"

struct app *kv_open(uint64_t memory_bytes)
{
    struct app_kv_config config = {.memory_bytes = memory_bytes};
    struct app *app = NULL;
    char reason[200] = "";
    CHECK_EQUAL(app_kv_open(&config, &app, reason, sizeof(reason)), 0);
    return app;
}

struct kv_bytes kv_text(const char *string)
{
    return (struct kv_bytes){string, (uint32_t)strlen(string)};
}

uint8_t *kv_encode(const struct kv_command *command, uint32_t *bytes)
{
    *bytes = kv_command_bytes(command);
    CHECK(*bytes > 0);
    uint8_t *payload = malloc(*bytes);
    CHECK_EQUAL(kv_command_encode(command, payload, *bytes), *bytes);
    return payload;
}

uint32_t kv_apply(struct app *app, const struct kv_command *command)
{
    struct app_entry entry = {.index = 1};
    uint8_t *payload = kv_encode(command, &entry.bytes);
    uint32_t result = UINT32_MAX;
    entry.payload = payload;
    app->ops->apply(app, &entry, 1, &result);
    free(payload);
    return result;
}

uint32_t kv_put(struct app *app, struct kv_bytes key, struct kv_bytes value)
{
    return kv_apply(app, &(struct kv_command){.operation = KV_PUT, .key = key, .value = value});
}

uint32_t kv_delete(struct app *app, struct kv_bytes key)
{
    return kv_apply(app, &(struct kv_command){.operation = KV_DELETE, .key = key});
}

uint32_t kv_swap(struct app *app, struct kv_bytes key, struct kv_bytes expected,
                 struct kv_bytes value)
{
    return kv_apply(app, &(struct kv_command){.operation = KV_COMPARE_AND_SWAP,
                                              .key = key,
                                              .value = value,
                                              .expected = expected});
}

int32_t kv_get(struct app *app, struct kv_bytes key, void *answer, uint32_t capacity)
{
    uint8_t query[KV_QUERY_BYTES_MAX];
    uint32_t bytes = kv_command_encode_query(&(struct kv_query){.kind = KV_QUERY_GET, .key = key},
                                             query, sizeof(query));
    CHECK(bytes > 0);
    return app->ops->read(app, query, bytes, answer, capacity);
}

struct kv_statistics kv_statistics_of(struct app *app)
{
    uint8_t query[KV_QUERY_HEAD_BYTES], answer[KV_STATISTICS_BYTES];
    struct kv_statistics statistics;
    uint32_t bytes = kv_command_encode_query(&(struct kv_query){.kind = KV_QUERY_STATISTICS}, query,
                                             sizeof(query));
    CHECK_EQUAL(app->ops->read(app, query, bytes, answer, sizeof(answer)), KV_STATISTICS_BYTES);
    CHECK(kv_command_decode_statistics(answer, sizeof(answer), &statistics));
    return statistics;
}

void kv_check_value(struct app *app, struct kv_bytes key, struct kv_bytes value)
{
    uint8_t *answer = malloc(KV_VALUE_BYTES_MAX);
    CHECK_EQUAL(kv_get(app, key, answer, KV_VALUE_BYTES_MAX), value.bytes);
    CHECK(memcmp(answer, value.data, value.bytes) == 0);
    free(answer);
}

struct kv_bytes kv_key(uint32_t number, char key[KV_KEY_BYTES_MAX])
{
    uint32_t bytes = 4 + number * 7 % 60 + (number % 50 == 0 ? 900 : 0);
    memset(key, 'k', bytes);
    memcpy(key, &number, sizeof(number));
    return (struct kv_bytes){key, bytes};
}

struct kv_bytes kv_noise(uint32_t from, uint32_t bytes)
{
    static uint64_t noise[KV_NOISE_BYTES / 8];
    CHECK(from + bytes <= sizeof(noise));
    if (noise[0] == 0) {
        uint64_t seed = 1;
        for (size_t i = 0; i < TEST_COUNT(noise); i++) {
            noise[i] = prng_splitmix(&seed);
        }
    }
    return (struct kv_bytes){(const uint8_t *)noise + from, bytes};
}
