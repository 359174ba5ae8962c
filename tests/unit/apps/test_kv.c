// Commands and queries of the kv state machine, and what is none.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/app_kv/app_kv.h"
#include "tests/harness/harness.h"
#include "tests/unit/apps/kv.h"

static void commands_do_what_they_say(void)
{
    struct app *app = kv_open(8 * KV_MIB);
    struct kv_bytes key = kv_text("key"), absent = {NULL, KV_ABSENT}, empty = {NULL, 0};
    char answer[10];
    CHECK_EQUAL(kv_get(app, key, answer, sizeof(answer)), -ENOENT);
    CHECK_EQUAL(kv_delete(app, key), KV_NOT_FOUND);
    CHECK_EQUAL(kv_swap(app, key, kv_text("old"), kv_text("new")), KV_NOT_FOUND);
    CHECK_EQUAL(kv_swap(app, key, empty, kv_text("new")), KV_NOT_FOUND);
    CHECK_EQUAL(kv_swap(app, key, absent, kv_text("one")), KV_OK);
    CHECK_EQUAL(kv_swap(app, key, absent, kv_text("two")), KV_MISMATCH);
    CHECK_EQUAL(kv_swap(app, key, kv_text("on"), kv_text("two")), KV_MISMATCH);
    CHECK_EQUAL(kv_swap(app, key, kv_text("onE"), kv_text("two")), KV_MISMATCH);
    CHECK_EQUAL(kv_swap(app, key, kv_text("ones"), kv_text("two")), KV_MISMATCH);
    kv_check_value(app, key, kv_text("one"));
    CHECK_EQUAL(kv_swap(app, key, kv_text("one"), empty), KV_OK);
    CHECK_EQUAL(kv_get(app, key, answer, 0), 0);
    CHECK_EQUAL(kv_swap(app, key, empty, kv_text("two")), KV_OK);
    CHECK_EQUAL(kv_get(app, key, answer, 2), -EMSGSIZE);
    CHECK_EQUAL(kv_put(app, key, kv_text("a longer value than before")), KV_OK);
    kv_check_value(app, key, kv_text("a longer value than before"));
    CHECK_EQUAL(kv_get(app, kv_text("ke"), answer, sizeof(answer)), -ENOENT);
    CHECK_EQUAL(kv_get(app, kv_text("keyy"), answer, sizeof(answer)), -ENOENT);
    CHECK_EQUAL(kv_delete(app, key), KV_OK);
    CHECK_EQUAL(kv_get(app, key, answer, sizeof(answer)), -ENOENT);
    CHECK_EQUAL(kv_statistics_of(app).bytes, 0);
    app->ops->close(app);
}

static void largest_pair_fits_one_command(void)
{
    static uint8_t payload[RAFT_PAYLOAD_BYTES_MAX + 1];
    struct app *app = kv_open(8 * KV_MIB);
    struct kv_bytes key = kv_noise(0, KV_KEY_BYTES_MAX), value = kv_noise(5, KV_VALUE_BYTES_MAX);
    struct kv_command command = {.operation = KV_PUT, .key = key, .value = value};
    CHECK_EQUAL(kv_command_bytes(&command), RAFT_PAYLOAD_BYTES_MAX);
    CHECK_EQUAL(kv_command_encode(&command, payload, RAFT_PAYLOAD_BYTES_MAX - 1), 0);
    CHECK_EQUAL(kv_put(app, key, value), KV_OK);
    kv_check_value(app, key, value);
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
    struct app *app = kv_open(8 * KV_MIB);
    struct kv_command command = {.operation = KV_COMPARE_AND_SWAP,
                                 .key = kv_text("a key"),
                                 .value = kv_text("new"),
                                 .expected = kv_text("old")};
    uint32_t bytes, result;
    uint8_t *payload = kv_encode(&command, &bytes), longer[100] = {0};
    kv_put(app, kv_text("a key"), kv_text("old"));
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
    uint8_t *payload = kv_encode(command, &entry.bytes);
    uint32_t result;
    payload[0] = operation;
    entry.payload = payload;
    app->ops->apply(app, &entry, 1, &result);
    free(payload);
    return result;
}

static void fields_of_another_operation_are_malformed(void)
{
    struct app *app = kv_open(8 * KV_MIB);
    struct kv_command with_value = {
        .operation = KV_PUT, .key = kv_text("k"), .value = kv_text("v")};
    struct kv_command with_expected = {
        .operation = KV_COMPARE_AND_SWAP, .key = kv_text("k"), .expected = kv_text("e")};
    struct kv_command with_absent = {
        .operation = KV_COMPARE_AND_SWAP, .key = kv_text("k"), .expected.bytes = KV_ABSENT};
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
    struct app *app = kv_open(8 * KV_MIB);
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
    struct app *app = kv_open(8 * KV_MIB);
    struct kv_command one = {.operation = KV_PUT, .key = kv_text("a"), .value = kv_text("x")};
    struct kv_command same = {.operation = KV_DELETE, .key = kv_text("a")};
    struct kv_command other = {.operation = KV_DELETE, .key = kv_text("b")};
    struct app_footprint ranges[3];
    const struct kv_command *commands[3] = {&one, &same, &other};
    for (int i = 0; i < 3; i++) {
        uint32_t bytes;
        uint8_t *payload = kv_encode(commands[i], &bytes);
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

static void a_query_looks_at_its_key(void)
{
    struct app *app = kv_open(8 * KV_MIB);
    uint8_t query[KV_QUERY_BYTES_MAX];
    struct app_footprint of_query, of_put;
    uint32_t bytes = kv_command_encode_query(
        &(struct kv_query){.kind = KV_QUERY_GET, .key = kv_text("key")}, query, sizeof(query));
    CHECK_EQUAL(app->ops->query_footprint(query, bytes, &of_query, 1), 1);
    uint8_t *payload = kv_encode(
        &(struct kv_command){.operation = KV_PUT, .key = kv_text("key"), .value = kv_text("v")},
        &bytes);
    CHECK_EQUAL(app->ops->footprint(payload, bytes, &of_put, 1), 1);
    CHECK(of_query.start == of_put.start && of_query.length == of_put.length);
    free(payload);
    bytes = kv_command_encode_query(&(struct kv_query){.kind = KV_QUERY_STATISTICS}, query,
                                    sizeof(query));
    CHECK(app->ops->query_footprint(query, bytes, &of_query, 1) < 0);
    app->ops->close(app);
}

// Digest of known contents, so that builds and machines agree with each other and not only with
// themselves.
static void digest_is_the_same_on_every_build(void)
{
    struct app *app = kv_open(64 * KV_MIB);
    kv_put(app, kv_text("one"), kv_text("1"));
    kv_put(app, kv_text("two"),
           kv_text("a value of some length, so that another path of the hash is taken"));
    CHECK_EQUAL(app->ops->digest(app), UINT64_C(11081728971571614348));
    app->ops->close(app);
}

static void memory_out_of_range_is_refused(void)
{
    static const uint64_t sizes[] = {0, 8 * KV_MIB - 1, (UINT64_C(64) << 30) + 1, UINT64_MAX};
    for (size_t i = 0; i < TEST_COUNT(sizes); i++) {
        struct app_kv_config config = {.memory_bytes = sizes[i]};
        struct app *app = NULL;
        char reason[200] = "";
        CHECK_EQUAL(app_kv_open(&config, &app, reason, sizeof(reason)), -EINVAL);
        CHECK(app == NULL && strstr(reason, "8 MiB") != NULL);
    }
    struct app *odd = kv_open(9999999);
    CHECK_EQUAL(kv_put(odd, kv_text("key"), kv_text("value")), KV_OK);
    kv_check_value(odd, kv_text("key"), kv_text("value"));
    odd->ops->close(odd);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(commands_do_what_they_say),         TEST(largest_pair_fits_one_command),
        TEST(malformed_commands_change_nothing), TEST(fields_of_another_operation_are_malformed),
        TEST(malformed_queries_are_refused),     TEST(footprint_is_the_key),
        TEST(a_query_looks_at_its_key),          TEST(digest_is_the_same_on_every_build),
        TEST(memory_out_of_range_is_refused),
    };
    return test_run("apps kv", cases, TEST_COUNT(cases), argc, argv);
}
