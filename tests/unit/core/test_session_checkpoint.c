// Session tables as streams, and back: damaged, contradictory, in pieces, into other limits.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/harness.h"
#include "tests/unit/core/sessions.h"

static struct prng prng;

static struct session_table *make_small(void)
{
    struct session_table *table = sessions_make(4, 3);
    session_register(table, 3, 77, 1);
    session_register(table, 4, 78, 2000);
    for (uint64_t i = 1; i <= 70; i++) {
        sessions_apply_plain(table, 4 + i, 4, i % 5 == 0 ? i + 3 : i);
    }
    sessions_apply_plain(table, 90, 3, 1);
    sessions_apply_plain(table, 91, 3, 3);
    session_register(table, 92, 79, 1);
    return table;
}

static void check_empty(struct session_table *table)
{
    CHECK_EQUAL(session_count(table), 0);
    CHECK_EQUAL(session_pages_used(table), 0);
    CHECK_EQUAL(sessions_apply_plain(table, 1000, 4, 1), SESSION_EXPIRED);
}

static void every_bit_flip_of_a_stream_is_found(void)
{
    struct session_table *table = make_small(), *other = sessions_make(4, 3);
    uint64_t bytes;
    uint8_t *stream = sessions_save(table, &bytes, NULL);
    for (uint64_t bit = 0; bit < bytes * 8; bit++) {
        stream[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        CHECK_EQUAL(sessions_restore(other, stream, bytes, NULL), -EBADMSG);
        check_empty(other);
        stream[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    CHECK_EQUAL(sessions_restore(other, stream, bytes, NULL), 0);
    CHECK_EQUAL(session_digest(other), session_digest(table));
    free(stream);
    free(table);
    free(other);
}

static void every_prefix_and_longer_stream_is_refused(void)
{
    struct session_table *table = make_small(), *other = sessions_make(4, 3);
    uint64_t bytes;
    prng_init(&prng, 1);
    uint8_t *stream = sessions_save(table, &bytes, NULL);
    for (uint64_t cut = 0; cut < bytes; cut++) {
        CHECK_EQUAL(sessions_restore(other, stream, cut, &prng), -EBADMSG);
        check_empty(other);
    }
    stream[bytes] = 0;
    CHECK_EQUAL(sessions_restore(other, stream, bytes + 1, &prng), -EBADMSG);
    check_empty(other);
    free(stream);
    free(table);
    free(other);
}

// A stream whose digest is right and whose content is not: the words that say what may be are tried
// one by one.
static uint64_t redigest(uint8_t *stream, uint64_t bytes)
{
    uint64_t digest = UINT64_C(0x9E3779B97F4A7C15), word;
    for (uint64_t at = 0; at + 8 < bytes; at += 8) {
        memcpy(&word, stream + at, sizeof(word));
        digest = (digest ^ word) * UINT64_C(0xD6E8FEB86659FD93);
        digest ^= digest >> 32;
    }
    memcpy(stream + bytes - 8, &digest, sizeof(digest));
    return digest;
}

static void contradictory_stream_is_refused(void)
{
    struct session_table *table = make_small(), *other = sessions_make(4, 3);
    uint64_t bytes;
    uint8_t *stream = sessions_save(table, &bytes, NULL);
    CHECK_EQUAL(redigest(stream, bytes), session_digest(table));
    CHECK_EQUAL(sessions_restore(other, stream, bytes, NULL), 0);
    // Word numbers: 1 limits, 2 count; session 4 at 3: id, nonce, last, newest, floor, window,
    // claimed.
    static const struct {
        uint64_t word, value;
    } rows[] = {
        {1, 0},
        {1, UINT64_C(3) << 32 | 5},
        {1, UINT64_C(4) << 32 | 4},
        {1, 4},
        {2, 4},
        {2, 2},
        {2, UINT64_MAX},
        {3, 0},
        {3, 75},
        {3, UINT64_MAX},
        {4, 79},
        {5, 0},
        {5, UINT64_MAX},
        {5, 91},
        {6, 0},
        {6, 72},
        {6, UINT64_MAX},
        {7, 0},
        {7, 74},
        {7, UINT64_MAX},
        {8, 0},
        {8, 1},
        {8, 1 << 20},
        {8, 3072},
        {8, UINT64_MAX},
        {9, 0},
        {9, UINT64_MAX},
        {10, 0xFF},
    };
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        uint8_t kept[8];
        memcpy(kept, stream + rows[i].word * 8, 8);
        memcpy(stream + rows[i].word * 8, &rows[i].value, 8);
        if (memcmp(kept, stream + rows[i].word * 8, 8) == 0) {
            continue;
        }
        redigest(stream, bytes);
        CHECK_EQUAL(sessions_restore(other, stream, bytes, NULL), -EBADMSG);
        check_empty(other);
        memcpy(stream + rows[i].word * 8, kept, 8);
    }
    free(stream);
    free(table);
    free(other);
}

// A stream is fine, and refused once this word of it is zero, its digest made to fit. Ends the
// table.
static void check_refused_without(struct session_table *table, uint64_t word)
{
    uint64_t bytes;
    uint8_t *stream = sessions_save(table, &bytes, NULL);
    CHECK_EQUAL(sessions_restore(table, stream, bytes, NULL), 0);
    memset(stream + word * 8, 0, 8);
    redigest(stream, bytes);
    CHECK_EQUAL(sessions_restore(table, stream, bytes, NULL), -EBADMSG);
    free(stream);
    free(table);
}

// Claimed 1 and 1025 of a window of 1024: as far apart as they may be.
static void floor_too_far_below_newest_is_refused(void)
{
    struct session_table *table = sessions_make(1, 1);
    uint64_t id = session_register(table, 1, 1, 1024).session;
    CHECK_EQUAL(sessions_apply_plain(table, 2, id, 1), SESSION_NEW);
    CHECK_EQUAL(sessions_apply_plain(table, 3, id, 1025), SESSION_NEW);
    check_refused_without(table, 7); // floor
}

// Results of 0 do not give the missing claim away.
static void unclaimed_newest_is_refused(void)
{
    struct session_table *table = sessions_make(1, 1);
    uint64_t id = session_register(table, 1, 1, 1024).session;
    uint32_t result;
    CHECK_EQUAL(session_claim(table, 2, id, 3, &result), SESSION_NEW);
    session_complete(table, id, 3, 0);
    check_refused_without(table, 9); // claimed
}

static void stream_can_be_read_at_any_offset(void)
{
    struct session_table *table = make_small();
    uint64_t bytes;
    uint8_t *stream = sessions_save(table, &bytes, NULL), piece[64];
    prng_init(&prng, 3);
    for (int i = 0; i < 2000; i++) {
        uint64_t offset = prng_below(&prng, bytes + 10), wanted = prng_below(&prng, sizeof(piece));
        uint64_t got = session_checkpoint_read(table, offset, piece, wanted);
        uint64_t left = offset < bytes ? bytes - offset : 0;
        CHECK_EQUAL(got, wanted < left ? wanted : left);
        CHECK(memcmp(piece, stream + (got == 0 ? 0 : offset), got) == 0);
    }
    free(stream);
    free(table);
}

static void limits_travel_with_the_stream(void)
{
    struct session_table *table = make_small(), *larger = sessions_make(50, 50),
                         *smaller = sessions_make(3, 3);
    uint64_t bytes;
    uint8_t *stream = sessions_save(table, &bytes, NULL);
    CHECK_EQUAL(sessions_restore(smaller, stream, bytes, NULL), -EBADMSG);
    CHECK_EQUAL(sessions_restore(larger, stream, bytes, NULL), 0);
    CHECK_EQUAL(session_digest(larger), session_digest(table));
    session_register(table, 200, 500, 4096);
    session_register(larger, 200, 500, 4096);
    CHECK_EQUAL(session_count(larger), 1);
    CHECK_EQUAL(session_digest(larger), session_digest(table));
    free(stream);
    free(table);
    free(larger);
    free(smaller);
}

static void empty_table_can_be_saved(void)
{
    struct session_table *table = sessions_make(2, 2), *other = make_small();
    uint64_t bytes;
    prng_init(&prng, 1);
    uint8_t *stream = sessions_save(table, &bytes, &prng);
    CHECK_EQUAL(sessions_restore(other, stream, bytes, &prng), 0);
    CHECK_EQUAL(session_digest(other), session_digest(table));
    free(stream);
    free(table);
    free(other);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(every_bit_flip_of_a_stream_is_found), TEST(every_prefix_and_longer_stream_is_refused),
        TEST(contradictory_stream_is_refused),     TEST(floor_too_far_below_newest_is_refused),
        TEST(unclaimed_newest_is_refused),         TEST(stream_can_be_read_at_any_offset),
        TEST(limits_travel_with_the_stream),       TEST(empty_table_can_be_saved),
    };
    return test_run("core session checkpoint", cases, TEST_COUNT(cases), argc, argv);
}
