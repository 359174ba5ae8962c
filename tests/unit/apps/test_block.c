// The `block` state machine: against a slow twin, refusals, what sparseness may not change, and
// what becomes of memory that goes bad.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "drivers/app_block/app_block.h"
#include "drivers/app_block/block_checkpoint.h"
#include "drivers/app_block/block_command.h"
#include "drivers/app_block/block_sum.h"
#include "drivers/app_block/block_volume.h"
#include "engine/base/crc32c.h"
#include "tests/harness/harness.h"
#include "tests/unit/apps/app_stream.h"

enum {
    CAPACITY_BYTES = 4 << 20,
    VOLUME_BYTES = 256 << 10,
    STEPS = 4000,
    PIECE_BYTES_MAX = 24 << 10,
};

static uint8_t payload[BLOCK_COMMAND_HEAD_BYTES + PIECE_BYTES_MAX];
static uint8_t answer[BLOCK_READ_BYTES_MAX];

// Every case runs with the content in memory, and again with it in a file.
static bool is_in_file;

static struct app *open_app_where(bool in_file)
{
    char reason[200];
    struct app *app = NULL;
    const struct app_block_config config = {.capacity_bytes = CAPACITY_BYTES,
                                            .is_durable = true,
                                            .directory = in_file ? test_directory() : NULL};
    CHECK_EQUAL(app_block_open(&config, &app, reason, sizeof(reason)), 0);
    return app;
}

static struct app *open_app(void)
{
    return open_app_where(is_in_file);
}

static uint32_t apply_bytes(struct app *app, uint32_t bytes)
{
    static uint64_t index;
    uint32_t result = UINT32_MAX;
    const struct app_entry entry = {.index = ++index, .payload = payload, .bytes = bytes};
    app->ops->apply(app, &entry, 1, &result);
    return result;
}

static uint32_t apply(struct app *app, const struct block_command *command)
{
    uint32_t bytes = block_command_encode(command, payload, sizeof(payload));
    CHECK(bytes > 0);
    return apply_bytes(app, bytes);
}

static uint32_t create(struct app *app, uint32_t block_bytes, uint64_t bytes)
{
    return apply(app, &(struct block_command){
                          .operation = BLOCK_CREATE, .block_bytes = block_bytes, .bytes = bytes});
}

static uint32_t attach(struct app *app, uint64_t previous, uint64_t writer)
{
    return apply(app, &(struct block_command){
                          .operation = BLOCK_ATTACH, .previous = previous, .writer = writer});
}

static uint32_t write_as(struct app *app, uint64_t writer, uint64_t offset, const void *data,
                         uint64_t bytes)
{
    return apply(app, &(struct block_command){.operation = BLOCK_WRITE,
                                              .writer = writer,
                                              .offset = offset,
                                              .bytes = bytes,
                                              .data = data});
}

static uint32_t write_at(struct app *app, uint64_t offset, const void *data, uint64_t bytes)
{
    return write_as(app, 0, offset, data, bytes);
}

static uint32_t zero(struct app *app, uint64_t offset, uint64_t bytes)
{
    return apply(
        app, &(struct block_command){.operation = BLOCK_ZERO, .offset = offset, .bytes = bytes});
}

static int32_t ask(struct app *app, enum block_query_kind kind, uint64_t offset, uint64_t bytes)
{
    uint8_t query[BLOCK_QUERY_BYTES];
    const struct block_query asked = {.kind = kind, .offset = offset, .bytes = bytes};
    uint32_t count = block_command_encode_query(&asked, query, sizeof(query));
    CHECK(count > 0);
    return app->ops->read(app, query, count, answer, sizeof(answer));
}

static struct block_info info_of(struct app *app)
{
    struct block_info info;
    CHECK_EQUAL(ask(app, BLOCK_QUERY_INFO, 0, 0), BLOCK_INFO_BYTES);
    memcpy(&info, answer, sizeof(info));
    return info;
}

static void fill(uint8_t *data, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i += 8) {
        uint64_t word = app_stream_random();
        memcpy(data + i, &word, 8);
    }
}

// One random command, done to both.
static void step(struct app *app, uint8_t *twin, uint32_t block_bytes)
{
    static uint8_t data[PIECE_BYTES_MAX];
    uint64_t blocks = VOLUME_BYTES / block_bytes, first = app_stream_below(blocks);
    uint64_t count_max = PIECE_BYTES_MAX / block_bytes;
    count_max = count_max < blocks - first ? count_max : blocks - first;
    uint64_t offset = first * block_bytes;
    uint64_t bytes = (1 + app_stream_below(count_max)) * block_bytes;
    uint64_t kind = app_stream_below(10);
    if (kind < 3) {
        CHECK_EQUAL(zero(app, offset, bytes), BLOCK_OK);
        memset(twin + offset, 0, bytes);
        return;
    }
    fill(data, bytes);
    if (kind < 5) {
        memset(data, 0, bytes / 2 / block_bytes * block_bytes); // zeroes, written
    }
    CHECK_EQUAL(write_at(app, offset, data, bytes), BLOCK_OK);
    memcpy(twin + offset, data, bytes);
}

static uint64_t blocks_used(const uint8_t *twin, uint32_t block_bytes)
{
    static const uint8_t zeroes[BLOCK_BYTES_MAX];
    uint64_t used = 0;
    for (uint64_t at = 0; at < VOLUME_BYTES; at += block_bytes) {
        used += memcmp(twin + at, zeroes, block_bytes) != 0;
    }
    return used;
}

// The map names exactly the blocks that are zero.
static void check_map(struct app *app, const uint8_t *twin, uint32_t block_bytes)
{
    uint32_t runs[BLOCK_MAP_RUNS_MAX];
    uint64_t at = 0;
    int32_t bytes = ask(app, BLOCK_QUERY_MAP, 0, VOLUME_BYTES);
    CHECK(bytes > 0 && bytes % 4 == 0);
    memcpy(runs, answer, (size_t)bytes);
    for (int32_t i = 0; i < bytes / 4; i++) {
        bool is_zero = (runs[i] & BLOCK_RUN_ZERO) != 0;
        CHECK(i == 0 || is_zero != ((runs[i - 1] & BLOCK_RUN_ZERO) != 0));
        for (uint32_t left = runs[i] & ~BLOCK_RUN_ZERO; left > 0; left--, at += block_bytes) {
            CHECK_EQUAL(is_zero, block_sum_is_zero(twin + at, block_bytes));
        }
    }
    CHECK_EQUAL(at, VOLUME_BYTES);
}

static void check_equal(struct app *app, const uint8_t *twin, uint32_t block_bytes)
{
    check_map(app, twin, block_bytes);
    CHECK_EQUAL(ask(app, BLOCK_QUERY_READ, 0, VOLUME_BYTES), VOLUME_BYTES);
    CHECK(memcmp(answer, twin, VOLUME_BYTES) == 0);
    CHECK_EQUAL(info_of(app).blocks_used, blocks_used(twin, block_bytes));
}

static void volume_is_what_was_written(void)
{
    static uint8_t twin[VOLUME_BYTES];
    static const uint32_t sizes[] = {512, 4096};
    for (size_t s = 0; s < TEST_COUNT(sizes); s++) {
        struct app *app = open_app();
        memset(twin, 0, sizeof(twin));
        app_stream_seed(s);
        CHECK_EQUAL(create(app, sizes[s], VOLUME_BYTES), BLOCK_OK);
        for (uint32_t i = 0; i < STEPS; i++) {
            step(app, twin, sizes[s]);
            if (i % 100 == 0) {
                check_equal(app, twin, sizes[s]);
            }
        }
        check_equal(app, twin, sizes[s]);
        app->ops->close(app);
    }
}

// The digest sees content alone: not the way there, nor which zeroes were written, nor where it is
// kept.
static void history_does_not_show(void)
{
    static uint8_t twin[VOLUME_BYTES];
    struct app *app = open_app(), *straight = open_app_where(!is_in_file);
    app_stream_seed(7);
    memset(twin, 0, sizeof(twin));
    CHECK_EQUAL(create(app, 512, VOLUME_BYTES), BLOCK_OK);
    CHECK_EQUAL(create(straight, 512, VOLUME_BYTES), BLOCK_OK);
    uint64_t empty = app->ops->digest(app);
    for (uint32_t i = 0; i < STEPS; i++) {
        step(app, twin, 512);
    }
    for (uint64_t at = 0; at < VOLUME_BYTES; at += PIECE_BYTES_MAX) {
        uint64_t left = VOLUME_BYTES - at;
        uint64_t bytes = left < PIECE_BYTES_MAX ? left : PIECE_BYTES_MAX;
        CHECK_EQUAL(write_at(straight, at, twin + at, bytes), BLOCK_OK);
    }
    CHECK_EQUAL(app->ops->digest(app), straight->ops->digest(straight));
    CHECK(app->ops->digest(app) != empty);
    CHECK_EQUAL(zero(app, 0, VOLUME_BYTES), BLOCK_OK);
    CHECK_EQUAL(app->ops->digest(app), empty);
    CHECK_EQUAL(info_of(app).blocks_used, 0);
    app->ops->close(app);
    straight->ops->close(straight);
}

// Blocks that end in a CRC32C of their own all have the same CRC32C. They are told apart, and so
// are equal blocks at different places.
static void blocks_with_a_crc_of_their_own_are_told_apart(void)
{
    uint64_t digests[3];
    for (uint32_t which = 0; which < 3; which++) {
        struct app *app = open_app();
        uint8_t data[512] = {(uint8_t)(1 + which % 2)};
        uint32_t crc = crc32c(0, data, 508);
        memcpy(data + 508, &crc, 4);
        CHECK_EQUAL(create(app, 512, VOLUME_BYTES), BLOCK_OK);
        CHECK_EQUAL(write_at(app, which == 2 ? 512 : 0, data, 512), BLOCK_OK);
        digests[which] = app->ops->digest(app);
        app->ops->close(app);
    }
    CHECK(digests[0] != digests[1]);
    CHECK(digests[0] != digests[2]);
}

static void geometry_is_fixed_once(void)
{
    struct app *app = open_app();
    uint8_t data[4096] = {1};
    CHECK_EQUAL(write_at(app, 0, data, 4096), BLOCK_NO_VOLUME);
    CHECK_EQUAL(attach(app, 0, 5), BLOCK_NO_VOLUME);
    CHECK_EQUAL(ask(app, BLOCK_QUERY_READ, 0, 512), -ENOENT);
    CHECK_EQUAL(info_of(app).volume_bytes, 0);
    CHECK_EQUAL(create(app, 4096, CAPACITY_BYTES), BLOCK_TOO_LARGE); // the sums need some, too
    CHECK_EQUAL(create(app, 4096, VOLUME_BYTES), BLOCK_OK);
    CHECK_EQUAL(write_at(app, 0, data, 4096), BLOCK_OK);
    CHECK_EQUAL(create(app, 4096, VOLUME_BYTES), BLOCK_OK);
    CHECK_EQUAL(create(app, 512, VOLUME_BYTES), BLOCK_DIFFERENT);
    CHECK_EQUAL(create(app, 4096, 2 * VOLUME_BYTES), BLOCK_DIFFERENT);
    CHECK_EQUAL(create(app, 4096, CAPACITY_BYTES), BLOCK_DIFFERENT);
    struct block_info info = info_of(app);
    CHECK_EQUAL(info.volume_bytes, VOLUME_BYTES);
    CHECK_EQUAL(info.block_bytes, 4096);
    CHECK_EQUAL(info.blocks_used, 1);
    CHECK_EQUAL(info.capacity_bytes, CAPACITY_BYTES);
    CHECK_EQUAL(info.is_durable, 1);
    app->ops->close(app);
}

// What is refused changes nothing.
static void ranges_that_do_not_fit_are_refused(void)
{
    struct app *app = open_app();
    uint8_t data[8192] = {1};
    CHECK_EQUAL(create(app, 4096, VOLUME_BYTES), BLOCK_OK);
    uint64_t digest = app->ops->digest(app);
    CHECK_EQUAL(write_at(app, VOLUME_BYTES, data, 4096), BLOCK_BEYOND);
    CHECK_EQUAL(write_at(app, VOLUME_BYTES - 4096, data, 8192), BLOCK_BEYOND);
    CHECK_EQUAL(write_at(app, BLOCK_VOLUME_BYTES_MAX, data, 4096), BLOCK_BEYOND);
    CHECK_EQUAL(write_at(app, 512, data, 4096), BLOCK_UNALIGNED);
    CHECK_EQUAL(write_at(app, 0, data, 512), BLOCK_UNALIGNED);
    CHECK_EQUAL(zero(app, VOLUME_BYTES - 4096, 8192), BLOCK_BEYOND);
    CHECK_EQUAL(zero(app, 1, 4096), BLOCK_UNALIGNED);
    CHECK_EQUAL(ask(app, BLOCK_QUERY_READ, VOLUME_BYTES - 4096, 8192), -ERANGE);
    CHECK_EQUAL(ask(app, BLOCK_QUERY_READ, 0, 4095), -EINVAL);
    CHECK_EQUAL(ask(app, BLOCK_QUERY_CHECK, VOLUME_BYTES, 4096), -ERANGE);
    CHECK_EQUAL(app->ops->digest(app), digest);
    CHECK_EQUAL(write_at(app, VOLUME_BYTES - 4096, data, 4096), BLOCK_OK);
    CHECK(app->ops->digest(app) != digest);
    app->ops->close(app);
}

// Every command is its bytes and no others; sizes and fields outside the format are malformed.
static void malformed_commands_change_nothing(void)
{
    struct app *app = open_app();
    uint8_t data[512] = {1};
    const struct block_command write = {.operation = BLOCK_WRITE, .bytes = 512, .data = data};
    CHECK_EQUAL(create(app, 512, VOLUME_BYTES), BLOCK_OK);
    uint64_t digest = app->ops->digest(app);
    uint32_t bytes = block_command_encode(&write, payload, sizeof(payload));
    for (uint32_t count = 0; count < bytes; count++) {
        CHECK_EQUAL(apply_bytes(app, count), BLOCK_MALFORMED);
    }
    CHECK_EQUAL(apply_bytes(app, bytes + 1), BLOCK_MALFORMED);
    for (uint32_t at = 1; at < 8; at++) {
        payload[at] = 1;
        CHECK_EQUAL(apply_bytes(app, bytes), BLOCK_MALFORMED);
        payload[at] = 0;
    }
    for (uint32_t operation = 0; operation < 256; operation++) {
        payload[0] = (uint8_t)operation;
        if (operation != BLOCK_WRITE) {
            CHECK_EQUAL(apply_bytes(app, bytes), BLOCK_MALFORMED);
        }
    }
    CHECK_EQUAL(app->ops->digest(app), digest);
    CHECK_EQUAL(app->ops->read(app, payload, 3, answer, sizeof(answer)), -EINVAL);
    app->ops->close(app);
}

static void sizes_outside_the_format_are_not_encoded(void)
{
    static const struct block_command wrong[] = {
        {.operation = BLOCK_CREATE, .block_bytes = 1024, .bytes = 4096},
        {.operation = BLOCK_CREATE, .block_bytes = 512, .bytes = 0},
        {.operation = BLOCK_CREATE, .block_bytes = 4096, .bytes = 4096 + 512},
        {.operation = BLOCK_CREATE, .block_bytes = 4096, .bytes = BLOCK_VOLUME_BYTES_MAX + 4096},
        {.operation = BLOCK_ATTACH, .writer = 0},
        {.operation = BLOCK_WRITE, .bytes = 0},
        {.operation = BLOCK_WRITE, .bytes = BLOCK_WRITE_BYTES_MAX + 1},
        {.operation = BLOCK_WRITE, .bytes = 512, .offset = BLOCK_VOLUME_BYTES_MAX + 1},
        {.operation = BLOCK_ZERO, .bytes = BLOCK_ZERO_BYTES_MAX + 1},
        {.operation = BLOCK_ZERO, .bytes = 512, .block_bytes = 512},
    };
    for (size_t i = 0; i < TEST_COUNT(wrong); i++) {
        CHECK_EQUAL(block_command_bytes(&wrong[i]), 0);
    }
}

// Once somebody attached, nobody else's writes count: also those that were under way.
static void former_writers_are_fenced(void)
{
    struct app *app = open_app();
    uint8_t old[512] = {1}, new[512] = {2};
    CHECK_EQUAL(create(app, 512, VOLUME_BYTES), BLOCK_OK);
    CHECK_EQUAL(write_as(app, 0, 0, old, 512), BLOCK_OK);
    CHECK_EQUAL(attach(app, 0, 11), BLOCK_OK);
    CHECK_EQUAL(write_as(app, 0, 0, new, 512), BLOCK_FENCED);
    CHECK_EQUAL(write_as(app, 11, 0, new, 512), BLOCK_OK);
    CHECK_EQUAL(attach(app, 0, 12), BLOCK_FENCED); // it did not know of 11
    CHECK_EQUAL(attach(app, 11, 12), BLOCK_OK);
    CHECK_EQUAL(attach(app, 11, 12), BLOCK_OK);    // again
    CHECK_EQUAL(attach(app, 0, 11), BLOCK_FENCED); // late
    CHECK_EQUAL(write_as(app, 11, 0, old, 512), BLOCK_FENCED);
    CHECK_EQUAL(ask(app, BLOCK_QUERY_READ, 0, 512), 512);
    CHECK(memcmp(answer, new, 512) == 0);
    CHECK_EQUAL(info_of(app).writer, 12);
    app->ops->close(app);
}

// A checkpoint carries what the volume holds, not what it could.
static void sparse_volume_makes_a_short_stream(void)
{
    struct app *app = open_app(), *other = open_app_where(!is_in_file);
    uint8_t data[4096] = {9};
    uint64_t bytes;
    CHECK_EQUAL(create(app, 4096, CAPACITY_BYTES / 2), BLOCK_OK);
    CHECK_EQUAL(attach(app, 0, 3), BLOCK_OK);
    CHECK_EQUAL(write_as(app, 3, 40960, data, 4096), BLOCK_OK);
    CHECK_EQUAL(write_as(app, 3, 81920, data, 4096), BLOCK_OK);
    uint8_t *stream = app_stream_save(app, &bytes, false);
    CHECK(bytes < 2 * 4096 + 200);
    CHECK_EQUAL(app_stream_restore(other, stream, bytes, true), 0);
    CHECK_EQUAL(other->ops->digest(other), app->ops->digest(app));
    CHECK_EQUAL(info_of(other).blocks_used, 2);
    CHECK_EQUAL(write_as(other, 4, 0, data, 4096), BLOCK_FENCED);
    free(stream);
    app->ops->close(app);
    other->ops->close(other);
}

static void volume_that_does_not_fit_is_not_restored(void)
{
    char reason[200];
    struct app *app = open_app(), *small = NULL;
    uint64_t bytes;
    const struct app_block_config config = {.capacity_bytes = CAPACITY_BYTES / 2};
    CHECK_EQUAL(app_block_open(&config, &small, reason, sizeof(reason)), 0);
    CHECK_EQUAL(create(app, 512, VOLUME_BYTES), BLOCK_OK);
    uint8_t *stream = app_stream_save(app, &bytes, false);
    CHECK_EQUAL(app_stream_restore(small, stream, bytes, false), -EBADMSG);
    free(stream);
    app->ops->close(app);
    small->ops->close(small);
}

static const struct block_volume *volume_of(const struct app *app)
{
    return ((const struct block_checkpoint *)app)->volume; // struct app_block begins with it
}

static void spoil(struct app *app, uint64_t offset, uint8_t bits)
{
    const struct block_volume *volume = volume_of(app);
    uint8_t byte;
    block_store_read(&volume->store, offset, &byte, 1);
    byte ^= bits;
    block_store_write(&volume->store, offset, &byte, 1);
}

static uint64_t first_bad_block(struct app *app)
{
    uint64_t bad;
    CHECK_EQUAL(ask(app, BLOCK_QUERY_CHECK, 0, VOLUME_BYTES), sizeof(bad));
    memcpy(&bad, answer, sizeof(bad));
    return bad;
}

static bool can_be_saved(struct app *app)
{
    int64_t bytes;
    CHECK_EQUAL(app->ops->checkpoint_begin(app), 0);
    do {
        bytes = app->ops->checkpoint_read(app, answer, sizeof(answer));
    } while (bytes > 0);
    app->ops->checkpoint_end(app);
    return bytes == 0;
}

// Content that changes by itself is found before anybody is given it: by reads, and by checkpoints.
// Writing the block mends it.
static void rotten_block_is_named_and_not_passed_on(void)
{
    struct app *app = open_app();
    uint8_t data[4096] = {5};
    CHECK_EQUAL(create(app, 4096, VOLUME_BYTES), BLOCK_OK);
    CHECK_EQUAL(write_at(app, 8192, data, 4096), BLOCK_OK);
    CHECK(first_bad_block(app) == BLOCK_NONE && can_be_saved(app));
    spoil(app, 8192 + 100, 4);
    CHECK_EQUAL(ask(app, BLOCK_QUERY_READ, 0, 16384), -EBADMSG);
    CHECK_EQUAL(ask(app, BLOCK_QUERY_READ, 0, 8192), 8192);
    CHECK(first_bad_block(app) == 2 && !can_be_saved(app));
    CHECK_EQUAL(write_at(app, 8192, data, 4096), BLOCK_OK);
    CHECK_EQUAL(ask(app, BLOCK_QUERY_READ, 0, 16384), 16384);
    CHECK(first_bad_block(app) == BLOCK_NONE && can_be_saved(app));
    spoil(app, 0, 1); // a block that was never written
    CHECK_EQUAL(ask(app, BLOCK_QUERY_READ, 0, 4096), -EBADMSG);
    app->ops->close(app);
}

static uint64_t resident_bytes(struct app *app)
{
    static unsigned char pages[CAPACITY_BYTES / 4096];
    const struct block_volume *volume = volume_of(app);
    uint64_t count = 0;
    if (is_in_file) {
        struct stat status;
        CHECK_EQUAL(fstat(volume->store.file, &status), 0);
        return (uint64_t)status.st_blocks * 512;
    }
    CHECK_EQUAL(mincore(volume->space, CAPACITY_BYTES, pages), 0);
    for (size_t i = 0; i < TEST_COUNT(pages); i++) {
        count += pages[i] & 1;
    }
    return count * 4096;
}

// Zeroes, written or not, take no memory and no disk; what is zeroed gives it back.
static void zeroes_take_no_space(void)
{
    static uint8_t data[PIECE_BYTES_MAX];
    struct app *app = open_app();
    CHECK_EQUAL(create(app, 512, CAPACITY_BYTES / 2), BLOCK_OK);
    memset(data, 0, sizeof(data));
    for (uint64_t at = 0; at < 20 * PIECE_BYTES_MAX; at += PIECE_BYTES_MAX) {
        CHECK_EQUAL(write_at(app, at, data, PIECE_BYTES_MAX), BLOCK_OK);
    }
    CHECK(resident_bytes(app) <= 16384);
    memset(data, 1, sizeof(data));
    for (uint64_t at = 0; at < 20 * PIECE_BYTES_MAX; at += PIECE_BYTES_MAX) {
        CHECK_EQUAL(write_at(app, at, data, PIECE_BYTES_MAX), BLOCK_OK);
    }
    CHECK(resident_bytes(app) >= 20 * PIECE_BYTES_MAX);
    CHECK_EQUAL(zero(app, 0, CAPACITY_BYTES / 2), BLOCK_OK);
    CHECK(resident_bytes(app) <= 32768);
    app->ops->close(app);
}

static void limit_files(uint64_t bytes)
{
    const struct rlimit limit = {.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    CHECK_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

// A replica whose disk takes nothing more agrees on results and digest, as it must, and never gives
// out what it does not have.
static void block_that_was_not_stored_is_not_returned(void)
{
    struct app *app = open_app_where(true), *other = open_app_where(false);
    uint8_t data[4096] = {5};
    CHECK(create(app, 4096, VOLUME_BYTES) == BLOCK_OK &&
          create(other, 4096, VOLUME_BYTES) == BLOCK_OK);
    limit_files(65536);
    CHECK_EQUAL(write_at(app, 0, data, 4096), BLOCK_OK);
    CHECK_EQUAL(write_at(app, 131072, data, 4096), BLOCK_OK);
    limit_files(RLIM_INFINITY);
    CHECK_EQUAL(write_at(other, 0, data, 4096), BLOCK_OK);
    CHECK_EQUAL(write_at(other, 131072, data, 4096), BLOCK_OK);
    CHECK_EQUAL(app->ops->digest(app), other->ops->digest(other));
    CHECK_EQUAL(ask(app, BLOCK_QUERY_READ, 0, 4096), 4096);
    CHECK_EQUAL(ask(app, BLOCK_QUERY_READ, 131072, 4096), -EBADMSG);
    CHECK(first_bad_block(app) == 32 && !can_be_saved(app));
    CHECK_EQUAL(write_at(app, 131072, data, 4096), BLOCK_OK);
    CHECK_EQUAL(ask(app, BLOCK_QUERY_READ, 131072, 4096), 4096);
    CHECK(can_be_saved(app));
    app->ops->close(app);
    other->ops->close(other);
}

// A map of more runs than an answer has is cut short.
static void map_of_many_runs_is_cut_short(void)
{
    enum { BLOCKS = 2 * BLOCK_MAP_RUNS_MAX };
    struct app *app = open_app();
    uint8_t data[512] = {1};
    CHECK_EQUAL(create(app, 512, BLOCKS * 512), BLOCK_OK);
    for (uint64_t block = 0; block < BLOCKS; block += 2) {
        CHECK_EQUAL(write_at(app, block * 512, data, 512), BLOCK_OK);
    }
    CHECK_EQUAL(ask(app, BLOCK_QUERY_MAP, 0, BLOCKS * 512), BLOCK_MAP_RUNS_MAX * 4);
    CHECK_EQUAL(ask(app, BLOCK_QUERY_MAP, 1024, 2048), 16);
    CHECK_EQUAL(ask(app, BLOCK_QUERY_MAP, BLOCKS * 512, 512), -ERANGE);
    app->ops->close(app);
}

// What does not overlap may be applied in any order: results, content and digest are the same.
static void order_of_what_does_not_overlap_does_not_show(void)
{
    enum { COUNT = VOLUME_BYTES / 512 };
    struct app *app = open_app(), *other = open_app();
    uint8_t data[512] = {0};
    CHECK(create(app, 512, VOLUME_BYTES) == BLOCK_OK &&
          create(other, 512, VOLUME_BYTES) == BLOCK_OK);
    for (uint64_t i = 0; i < COUNT; i++) {
        uint64_t mirrored = COUNT - 1 - i;
        data[0] = (uint8_t)i;
        CHECK_EQUAL(write_at(app, i * 512, data, 512), BLOCK_OK);
        data[0] = (uint8_t)mirrored;
        CHECK_EQUAL(write_at(other, mirrored * 512, data, 512), BLOCK_OK);
    }
    CHECK_EQUAL(app->ops->digest(app), other->ops->digest(other));
    CHECK_EQUAL(info_of(app).blocks_used, info_of(other).blocks_used);
    app->ops->close(app);
    other->ops->close(other);
}

static void footprint_is_the_range_in_bytes(void)
{
    struct app *app = open_app();
    struct app_footprint range;
    uint8_t data[512] = {0};
    const struct block_command write = {
        .operation = BLOCK_WRITE, .offset = 1024, .bytes = 512, .data = data};
    const struct block_command attach_ = {.operation = BLOCK_ATTACH, .writer = 1};
    uint32_t bytes = block_command_encode(&write, payload, sizeof(payload));
    CHECK_EQUAL(app->ops->footprint(payload, bytes, &range, 1), 1);
    CHECK_EQUAL(range.start, 1024);
    CHECK_EQUAL(range.length, 512);
    CHECK_EQUAL(app->ops->footprint(payload, bytes, &range, 0), -1);
    CHECK_EQUAL(app->ops->footprint(payload, bytes - 1, &range, 1), 0);
    bytes = block_command_encode(&attach_, payload, sizeof(payload));
    CHECK_EQUAL(app->ops->footprint(payload, bytes, &range, 1), -1);
    for (uint32_t kind = BLOCK_QUERY_READ; kind <= BLOCK_QUERY_MAP; kind++) {
        bool is_info = kind == BLOCK_QUERY_INFO;
        const struct block_query query = {.kind = (enum block_query_kind)kind,
                                          .offset = is_info ? 0 : 4096,
                                          .bytes = is_info ? 0 : 1024};
        bytes = block_command_encode_query(&query, payload, sizeof(payload));
        CHECK(app->ops->query_footprint(payload, bytes, &range, 1) == (is_info ? -1 : 1));
        CHECK(is_info || (range.start == 4096 && range.length == 1024));
    }
    CHECK_EQUAL(app->ops->query_footprint(payload, 3, &range, 1), -1);
    app->ops->close(app);
}

static void what_cannot_be_opened_is_refused(void)
{
    char reason[200] = "";
    struct app *app = NULL;
    const struct app_block_config small = {.capacity_bytes = 4096};
    CHECK_EQUAL(app_block_open(&small, &app, reason, sizeof(reason)), -EINVAL);
    CHECK(strstr(reason, "1 MiB to 64 TiB") != NULL);
    const struct app_block_config crooked = {.capacity_bytes = (4 << 20) + 1};
    CHECK_EQUAL(app_block_open(&crooked, &app, reason, sizeof(reason)), -EINVAL);
    const struct app_block_config nowhere = {.capacity_bytes = 4 << 20, .directory = "/proc"};
    CHECK(app_block_open(&nowhere, &app, reason, sizeof(reason)) < 0);
    CHECK(strstr(reason, "/proc") != NULL && strstr(reason, "app_file: false") != NULL);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(volume_is_what_was_written),
        TEST(history_does_not_show),
        TEST(blocks_with_a_crc_of_their_own_are_told_apart),
        TEST(geometry_is_fixed_once),
        TEST(ranges_that_do_not_fit_are_refused),
        TEST(malformed_commands_change_nothing),
        TEST(sizes_outside_the_format_are_not_encoded),
        TEST(former_writers_are_fenced),
        TEST(sparse_volume_makes_a_short_stream),
        TEST(volume_that_does_not_fit_is_not_restored),
        TEST(rotten_block_is_named_and_not_passed_on),
        TEST(zeroes_take_no_space),
        TEST(block_that_was_not_stored_is_not_returned),
        TEST(map_of_many_runs_is_cut_short),
        TEST(order_of_what_does_not_overlap_does_not_show),
        TEST(footprint_is_the_range_in_bytes),
        TEST(what_cannot_be_opened_is_refused),
    };
    int status = test_run("block in memory", cases, TEST_COUNT(cases), argc, argv);
    is_in_file = true;
    return test_run("block in a file", cases, TEST_COUNT(cases), argc, argv) | status;
}
