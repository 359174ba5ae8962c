// Checkpoints of the kv state machine: damaged, contradictory, of another size.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/crc32c.h"
#include "tests/harness/harness.h"
#include "tests/unit/apps/app_stream.h"
#include "tests/unit/apps/kv.h"

static struct app *open_small(void)
{
    struct app *app = kv_open(8 * KV_MIB);
    kv_put(app, kv_text("a"), kv_text("1"));
    kv_put(app, kv_text("gone"), kv_text("nothing of this"));
    kv_put(app, kv_text("bcd"), kv_text(""));
    kv_put(app, kv_text("ef"), kv_text("some value"));
    kv_delete(app, kv_text("gone"));
    return app;
}

static void check_refused(struct app *app, const uint8_t *stream, uint64_t bytes, uint64_t empty)
{
    CHECK_EQUAL(app_stream_restore(app, stream, bytes, false), -EBADMSG);
    CHECK_EQUAL(app->ops->digest(app), empty);
    CHECK_EQUAL(kv_statistics_of(app).pairs, 0);
}

static void damaged_checkpoints_are_refused(void)
{
    struct app *app = open_small(), *other = kv_open(8 * KV_MIB);
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
    struct app *app = open_small(), *other = kv_open(8 * KV_MIB);
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
    struct app *app = kv_open(8 * KV_MIB), *other = kv_open(8 * KV_MIB);
    uint64_t bytes, empty = other->ops->digest(other);
    kv_put(app, kv_text("a"), kv_text("1"));
    kv_put(app, kv_text("b"), kv_text("1"));
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
    struct app *app = open_small(), *larger = kv_open(16 * KV_MIB);
    uint64_t bytes, bytes_larger, empty = app->ops->digest(app);
    CHECK(empty != larger->ops->digest(larger));
    uint8_t *stream = app_stream_save(app, &bytes, false);
    uint8_t *stream_larger = app_stream_save(larger, &bytes_larger, false);
    CHECK_EQUAL(app_stream_restore(larger, stream, bytes, false), 0);
    CHECK_EQUAL(larger->ops->digest(larger), app->ops->digest(app));
    CHECK_EQUAL(kv_statistics_of(larger).capacity_bytes, kv_statistics_of(app).capacity_bytes);
    CHECK_EQUAL(app_stream_restore(app, stream_larger, bytes_larger, false), -EBADMSG);
    free(stream);
    free(stream_larger);
    app->ops->close(app);
    larger->ops->close(larger);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(damaged_checkpoints_are_refused),
        TEST(contradictory_checkpoints_are_refused),
        TEST(key_twice_in_a_checkpoint_is_refused),
        TEST(limits_travel_with_the_checkpoint),
    };
    return test_run("apps kv checkpoint", cases, TEST_COUNT(cases), argc, argv);
}
