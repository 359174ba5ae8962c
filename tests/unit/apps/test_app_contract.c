// What driver_api/app.h promises, against every state machine: results and state depend on the
// commands alone, and a checkpoint carries the state whole or not at all.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/app_block/app_block.h"
#include "drivers/app_block/block_command.h"
#include "drivers/app_kv/app_kv.h"
#include "drivers/app_kv/kv_command.h"
#include "drivers/app_null/app_null.h"
#include "tests/harness/harness.h"
#include "tests/unit/apps/app_stream.h"

enum { COMMANDS = 3000, COMMAND_BYTES_MAX = 600, NOISE_BYTES_MAX = 300 };

// A state machine, and how to make random commands for it.
struct subject {
    const char *name;
    struct app *(*open)(void);
    uint32_t (*command)(uint8_t *payload);
};

static char reason[200];

static struct app *open_kv(void)
{
    struct app *app = NULL;
    CHECK_EQUAL(
        app_kv_open(&(struct app_kv_config){.memory_bytes = 8 << 20}, &app, reason, sizeof(reason)),
        0);
    return app;
}

static struct app *open_block(void)
{
    struct app *app = NULL;
    CHECK_EQUAL(app_block_open(&(struct app_block_config){.capacity_bytes = 1 << 20}, &app, reason,
                               sizeof(reason)),
                0);
    return app;
}

static struct app *open_null(void)
{
    struct app *app = NULL;
    CHECK_EQUAL(app_null_open(&(struct app_null_config){0}, &app, reason, sizeof(reason)), 0);
    return app;
}

static struct app *open_null_checked(void)
{
    struct app *app = NULL;
    CHECK_EQUAL(app_null_open(&(struct app_null_config){.check_payload = true}, &app, reason,
                              sizeof(reason)),
                0);
    return app;
}

static uint32_t command_noise(uint8_t *payload)
{
    uint32_t bytes = (uint32_t)app_stream_below(NOISE_BYTES_MAX);
    for (uint32_t i = 0; i < bytes; i++) {
        payload[i] = (uint8_t)app_stream_random();
    }
    return bytes;
}

static uint32_t command_kv(uint8_t *payload)
{
    uint8_t key = (uint8_t)app_stream_below(40);
    uint64_t value[8] = {app_stream_below(3)};
    struct kv_command command = {
        .operation = (enum kv_operation)(1 + app_stream_below(3)),
        .key = {&key, 1},
        .value = {value, (uint32_t)(8 * app_stream_below(9))},
    };
    if (app_stream_below(50) == 0) {
        return command_noise(payload);
    }
    if (command.operation == KV_DELETE) {
        command.value.bytes = 0;
    }
    if (command.operation == KV_COMPARE_AND_SWAP) {
        command.expected = (struct kv_bytes){value, (uint32_t)(8 * app_stream_below(9))};
    }
    return kv_command_encode(&command, payload, COMMAND_BYTES_MAX);
}

// On a volume of 16 blocks of 512 bytes, which one command in ten creates.
static uint32_t command_block(uint8_t *payload)
{
    uint64_t data[64] = {app_stream_below(3)};
    struct block_command command = {
        .operation = BLOCK_WRITE, .offset = 512 * app_stream_below(17), .bytes = 512, .data = data};
    uint64_t kind = app_stream_below(20);
    if (kind == 0) {
        return command_noise(payload);
    }
    if (kind < 3) {
        command = (struct block_command){
            .operation = BLOCK_CREATE, .block_bytes = 512, .bytes = 16 * 512};
    } else if (kind < 7) {
        command.operation = BLOCK_ZERO;
        command.bytes = 512 * (1 + app_stream_below(3));
    }
    return block_command_encode(&command, payload, COMMAND_BYTES_MAX);
}

static const struct subject subjects[] = {
    {"kv", open_kv, command_kv},
    {"block", open_block, command_block},
    {"null", open_null, command_noise},
    {"null checked", open_null_checked, command_noise},
};

static struct app_entry entries[COMMANDS];
static uint8_t payloads[COMMANDS][COMMAND_BYTES_MAX];

static void make_commands(const struct subject *subject, uint64_t seed)
{
    app_stream_seed(seed);
    for (uint32_t i = 0; i < COMMANDS; i++) {
        uint32_t bytes = subject->command(payloads[i]);
        entries[i] = (struct app_entry){.index = 10 + i, .payload = payloads[i], .bytes = bytes};
    }
}

static void batches_do_not_show(void)
{
    static uint32_t whole[COMMANDS], pieces[COMMANDS];
    for (size_t s = 0; s < TEST_COUNT(subjects); s++) {
        struct app *one = subjects[s].open(), *other = subjects[s].open();
        make_commands(&subjects[s], 1);
        one->ops->apply(one, entries, COMMANDS, whole);
        for (uint32_t done = 0; done < COMMANDS;) {
            uint32_t count = (uint32_t)app_stream_below(70), left = COMMANDS - done;
            count = count < left ? count : left;
            other->ops->apply(other, entries + done, count, pieces + done);
            done += count;
        }
        CHECK(memcmp(whole, pieces, sizeof(whole)) == 0);
        CHECK_EQUAL(one->ops->digest(one), other->ops->digest(other));
        one->ops->close(one);
        other->ops->close(other);
    }
}

static void digest_tells_states_apart(void)
{
    static uint32_t results[COMMANDS];
    for (size_t s = 0; s < TEST_COUNT(subjects); s++) {
        struct app *app = subjects[s].open();
        make_commands(&subjects[s], 2);
        uint64_t empty = app->ops->digest(app);
        app->ops->apply(app, entries, COMMANDS / 2, results);
        uint64_t half = app->ops->digest(app);
        app->ops->apply(app, entries + COMMANDS / 2, COMMANDS / 2, results);
        uint64_t full = app->ops->digest(app);
        CHECK(empty != half && half != full && empty != full);
        app->ops->close(app);
    }
}

// A replica that restored goes on like the one that saved, whatever it held before.
static void restored_replica_goes_on_alike(void)
{
    static uint32_t one_results[COMMANDS], other_results[COMMANDS];
    for (size_t s = 0; s < TEST_COUNT(subjects); s++) {
        struct app *one = subjects[s].open(), *other = subjects[s].open();
        uint64_t bytes;
        make_commands(&subjects[s], 3);
        one->ops->apply(one, entries, COMMANDS / 2, one_results);
        other->ops->apply(other, entries + 100, 500, other_results);
        uint8_t *stream = app_stream_save(one, &bytes, true);
        CHECK_EQUAL(app_stream_restore(other, stream, bytes, true), 0);
        CHECK_EQUAL(one->ops->digest(one), other->ops->digest(other));
        one->ops->apply(one, entries + COMMANDS / 2, COMMANDS / 2, one_results);
        other->ops->apply(other, entries + COMMANDS / 2, COMMANDS / 2, other_results);
        CHECK(memcmp(one_results, other_results, COMMANDS / 2 * sizeof(uint32_t)) == 0);
        CHECK_EQUAL(one->ops->digest(one), other->ops->digest(other));
        free(stream);
        one->ops->close(one);
        other->ops->close(other);
    }
}

static void damaged_stream_leaves_nothing(void)
{
    static uint32_t results[COMMANDS];
    for (size_t s = 0; s < TEST_COUNT(subjects); s++) {
        struct app *app = subjects[s].open();
        uint64_t bytes, empty = app->ops->digest(app);
        make_commands(&subjects[s], 4);
        app->ops->apply(app, entries, 30, results);
        uint64_t digest = app->ops->digest(app);
        uint8_t *stream = app_stream_save(app, &bytes, false);
        for (uint64_t bit = 0; bit < bytes * 8; bit++) {
            stream[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            CHECK_EQUAL(app_stream_restore(app, stream, bytes, true), -EBADMSG);
            CHECK_EQUAL(app->ops->digest(app), empty);
            stream[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
        for (uint64_t cut = 0; cut < bytes; cut++) {
            CHECK_EQUAL(app_stream_restore(app, stream, cut, true), -EBADMSG);
            CHECK_EQUAL(app->ops->digest(app), empty);
        }
        stream[bytes] = 0;
        CHECK_EQUAL(app_stream_restore(app, stream, bytes + 1, false), -EBADMSG);
        CHECK_EQUAL(app->ops->digest(app), empty);
        CHECK_EQUAL(app_stream_restore(app, stream, bytes, true), 0);
        CHECK_EQUAL(app->ops->digest(app), digest);
        free(stream);
        app->ops->close(app);
    }
}

static void footprints_depend_on_the_command_alone(void)
{
    for (size_t s = 0; s < TEST_COUNT(subjects); s++) {
        struct app *app = subjects[s].open();
        struct app_footprint first[APP_FOOTPRINTS_MAX], again[APP_FOOTPRINTS_MAX];
        uint32_t results[COMMANDS];
        make_commands(&subjects[s], 5);
        for (uint32_t i = 0; i < COMMANDS; i++) {
            const struct app_entry *entry = &entries[i];
            int32_t count =
                app->ops->footprint(entry->payload, entry->bytes, first, APP_FOOTPRINTS_MAX);
            CHECK(count >= -1 && count <= APP_FOOTPRINTS_MAX);
            app->ops->apply(app, entry, 1, results);
            CHECK_EQUAL(
                app->ops->footprint(entry->payload, entry->bytes, again, APP_FOOTPRINTS_MAX),
                count);
            for (int32_t range = 0; range < count; range++) {
                CHECK_EQUAL(first[range].start, again[range].start);
                CHECK_EQUAL(first[range].length, again[range].length);
                CHECK(first[range].length >= 1);
                CHECK(first[range].start + first[range].length > first[range].start);
            }
        }
        app->ops->close(app);
    }
}

// Of the null state machine alone.

static uint64_t answer_word(struct app *app, uint32_t word)
{
    uint8_t answer[APP_NULL_ANSWER_BYTES];
    CHECK_EQUAL(app->ops->read(app, NULL, 0, answer, sizeof(answer)), APP_NULL_ANSWER_BYTES);
    uint64_t value = 0;
    for (uint32_t i = 8; i-- > 0;) {
        value = value << 8 | answer[word * 8 + i];
    }
    return value;
}

static void null_counts_entries_and_bytes(void)
{
    struct app *app = open_null();
    uint32_t results[3] = {9, 9, 9};
    struct app_entry three[3] = {{5, NULL, 10}, {6, NULL, 0}, {7, NULL, 1 << 20}};
    app->ops->apply(app, three, 3, results);
    CHECK_EQUAL(answer_word(app, 0), 3);
    CHECK_EQUAL(answer_word(app, 1), 10 + (1 << 20));
    CHECK(results[0] == 0 && results[1] == 0 && results[2] == 0);
    CHECK_EQUAL(app->ops->read(app, NULL, 0, results, APP_NULL_ANSWER_BYTES - 1), -EMSGSIZE);
    app->ops->close(app);
}

static uint64_t null_digest(bool check_payload, uint64_t index, const char *payload, uint32_t bytes)
{
    struct app *app = check_payload ? open_null_checked() : open_null();
    struct app_entry entry = {index, payload, bytes};
    uint32_t result;
    app->ops->apply(app, &entry, 1, &result);
    uint64_t digest = app->ops->digest(app);
    app->ops->close(app);
    return digest;
}

static void null_digest_covers_what_it_says(void)
{
    CHECK(null_digest(false, 1, "ab", 2) != null_digest(false, 2, "ab", 2));
    CHECK(null_digest(false, 1, "ab", 2) != null_digest(false, 1, "ab", 1));
    CHECK_EQUAL(null_digest(false, 1, "ab", 2), null_digest(false, 1, "cd", 2));
    CHECK(null_digest(true, 1, "ab", 2) != null_digest(true, 1, "cd", 2));
}

// What a command of the null state machine touches: the number of ranges, and the key of the one.
static int32_t null_footprint(const void *payload, uint32_t bytes, uint64_t *key)
{
    struct app *app = open_null();
    struct app_footprint range = {.start = 0, .length = 1};
    int32_t count = app->ops->footprint(payload, bytes, &range, 1);
    *key = range.start;
    CHECK_EQUAL(range.length, 1);
    app->ops->close(app);
    return count;
}

static void null_touches_the_key_that_a_command_names(void)
{
    uint8_t payload[APP_NULL_KEYED_BYTES + 1];
    uint64_t key;
    memset(payload, 0xAA, sizeof(payload));
    CHECK_EQUAL(null_footprint(payload, sizeof(payload), &key), 0);
    app_null_name_key(payload, UINT64_C(0xFEDCBA9876543210));
    CHECK_EQUAL(payload[APP_NULL_KEYED_BYTES], 0xAA);
    CHECK_EQUAL(memcmp(payload, "PNULKEY\1\x10\x32", 10), 0);
    CHECK_EQUAL(null_footprint(payload, sizeof(payload), &key), 1);
    CHECK_EQUAL(key, UINT64_C(0xFEDCBA9876543210));
    CHECK_EQUAL(null_footprint(payload, APP_NULL_KEYED_BYTES - 1, &key), 0);
    payload[7] ^= 1;
    CHECK_EQUAL(null_footprint(payload, sizeof(payload), &key), 0);
}

static void null_refuses_the_other_kind_of_checkpoint(void)
{
    struct app *app = open_null(), *checked = open_null_checked();
    uint64_t bytes;
    uint8_t *stream = app_stream_save(app, &bytes, false);
    CHECK_EQUAL(app_stream_restore(checked, stream, bytes, false), -EBADMSG);
    CHECK_EQUAL(app_stream_restore(app, stream, bytes, false), 0);
    free(stream);
    app->ops->close(app);
    checked->ops->close(checked);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(batches_do_not_show),
        TEST(digest_tells_states_apart),
        TEST(restored_replica_goes_on_alike),
        TEST(damaged_stream_leaves_nothing),
        TEST(footprints_depend_on_the_command_alone),
        TEST(null_counts_entries_and_bytes),
        TEST(null_digest_covers_what_it_says),
        TEST(null_touches_the_key_that_a_command_names),
        TEST(null_refuses_the_other_kind_of_checkpoint),
    };
    return test_run("apps contract", cases, TEST_COUNT(cases), argc, argv);
}
