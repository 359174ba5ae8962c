// The stream that checkpoints are: what a state holds beyond its floor goes with it, and one that
// says what no state could hold is refused whole.
#include "tests/harness/harness.h"

#include "engine/base/bitmap.h"
#include "engine/base/crc32c.h"
#include "engine/reactor/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 1024, STREAM_MAX = 4096, SESSION_BYTES_MAX = 1 << 16, COUNT_AT = 16, BITS_AT = 24 };

static struct reactor reactor;
static struct group group;
static uint8_t stream[STREAM_MAX];
static uint64_t stream_bytes;
static void *raft_memory;
static _Alignas(64) uint8_t session_memory[SESSION_BYTES_MAX];

// --- a state machine of one number ---

struct number {
    struct app app;
    uint64_t value;
    bool is_read;
};

static int checkpoint_begin(struct app *app)
{
    ((struct number *)app)->is_read = false;
    return 0;
}

static int64_t checkpoint_read(struct app *app, void *buffer, uint64_t capacity)
{
    struct number *number = (struct number *)app;
    if (number->is_read || capacity < sizeof(number->value)) {
        return 0;
    }
    number->is_read = true;
    memcpy(buffer, &number->value, sizeof(number->value));
    return sizeof(number->value);
}

static void checkpoint_end(struct app *app)
{
    ((struct number *)app)->is_read = false;
}

static int restore_begin(struct app *app)
{
    ((struct number *)app)->value = 0;
    return 0;
}

static int restore_write(struct app *app, const void *data, uint64_t bytes)
{
    if (bytes != sizeof(uint64_t)) {
        return -1;
    }
    memcpy(&((struct number *)app)->value, data, bytes);
    return 0;
}

static int restore_end(struct app *app)
{
    return ((struct number *)app)->value == 0 ? -EBADMSG : 0;
}

static const struct app_ops number_ops = {.checkpoint_begin = checkpoint_begin,
                                          .checkpoint_read = checkpoint_read,
                                          .checkpoint_end = checkpoint_end,
                                          .restore_begin = restore_begin,
                                          .restore_write = restore_write,
                                          .restore_end = restore_end};
static struct number number;

// --- a group of it, without a node around ---

static void open_group(enum raft_order order)
{
    static const struct session_config sessions = {.pages_total = 2, .sessions_max = 2};
    const struct raft_config config = {.self = 1,
                                       .voters = {1, 2, 3},
                                       .voter_count = 3,
                                       .order = order,
                                       .boot = 1,
                                       .intact = true,
                                       .election_timeout_min_ns = 10,
                                       .election_timeout_max_ns = 20,
                                       .heartbeat_ns = 1,
                                       .log_entries = SLOTS,
                                       .window_entries = 1,
                                       .window_bytes = 1,
                                       .span_entries = 1};
    raft_memory = aligned_alloc(64, (raft_memory_bytes(&config) + 63) & ~(size_t)63);
    CHECK(raft_memory != NULL && session_bytes(&sessions) <= sizeof(session_memory));
    reactor.config.order = order;
    reactor.config.log_entries = SLOTS;
    number = (struct number){.app = {.ops = &number_ops}, .value = 42};
    group = (struct group){.reactor = &reactor,
                           .raft = raft_init(raft_memory, &config, 0),
                           .app = &number.app,
                           .sessions = session_init(&sessions, session_memory)};
}

static void close_group(void)
{
    free(raft_memory);
}

static void write_stream(const struct raft_beyond *beyond)
{
    struct stream_out out;
    int64_t count;
    stream_begin(&out, &group, beyond);
    stream_bytes = 0;
    while ((count = stream_read(&out, stream + stream_bytes, STREAM_READ_BYTES_MIN)) > 0) {
        stream_bytes += (uint64_t)count;
        CHECK(stream_bytes + STREAM_READ_BYTES_MIN <= sizeof(stream));
    }
    CHECK_EQUAL(count, 0);
    stream_end(&out);
}

static void put(uint64_t at, uint64_t word)
{
    memcpy(stream + at, &word, sizeof(word));
}

// Makes the checksum right again.
static bool is_whole(void)
{
    uint32_t crc = crc32c(0, stream, stream_bytes - 8);
    memcpy(stream + stream_bytes - 8, &crc, sizeof(crc));
    return stream_is_whole(&group, stream, stream_bytes);
}

static void what_is_beyond_the_floor_comes_back(void)
{
    static const struct raft_beyond none;
    struct raft_beyond beyonds[] = {none,
                                    {.count = 1, .bits = {1}},
                                    {.count = 2, .bits = {2}},
                                    {.count = 64, .bits = {UINT64_C(1) << 63 | 4}},
                                    {.count = 65, .bits = {8, 1}},
                                    {.count = SLOTS, .bits = {[SLOTS / 64 - 1] = 1ULL << 63}}};
    open_group(RAFT_ORDER_PARALLEL);
    for (size_t at = 0; at < sizeof(beyonds) / sizeof(beyonds[0]); at++) {
        write_stream(&beyonds[at]);
        number.value = 7;
        group.restored.count = 99;
        CHECK(stream_is_whole(&group, stream, stream_bytes));
        CHECK_EQUAL(stream_restore(&group, stream, stream_bytes), 0);
        CHECK_EQUAL(number.value, 42);
        CHECK(memcmp(&group.restored, &beyonds[at], sizeof(beyonds[at])) == 0);
    }
    close_group();
}

// Streams from before there were bits are those of states without holes, and still are.
static void a_state_without_holes_says_nothing_of_them(void)
{
    static const struct raft_beyond none;
    open_group(RAFT_ORDER_STRICT);
    write_stream(&none);
    CHECK(memcmp(stream, "PTNSTRM1", 8) == 0);
    CHECK(is_whole());
    close_group();
    open_group(RAFT_ORDER_PARALLEL);
    CHECK(is_whole());
    close_group();
}

static void what_no_state_could_hold_is_refused(void)
{
    static const struct {
        const char *what;
        uint64_t count, first_word, last_word;
    } cases[] = {{"nothing", 0, 2, 2},
                 {"more than a window", RAFT_WINDOW_MAX + 1, 2, 2},
                 {"a count that wraps", UINT64_MAX, 2, 2},
                 {"less than it counts", 128, 2, 2},
                 {"more than it counts", 100, 2, UINT64_C(1) << 63}};
    const struct raft_beyond beyond = {.count = 128, .bits = {2, UINT64_C(1) << 63}};
    open_group(RAFT_ORDER_PARALLEL);
    for (size_t at = 0; at < sizeof(cases) / sizeof(cases[0]); at++) {
        write_stream(&beyond);
        CHECK(is_whole());
        put(COUNT_AT, cases[at].count);
        put(BITS_AT, cases[at].first_word);
        put(BITS_AT + 8, cases[at].last_word);
        if (is_whole()) {
            printf("taken: %s\n", cases[at].what);
            CHECK(false);
        }
    }
    close_group();
    open_group(RAFT_ORDER_STRICT);
    write_stream(&beyond);
    CHECK(!is_whole()); // of a strict group, in which nothing lies beyond a hole
    close_group();
}

// Of a node with a larger log: sound, but not for us.
static void what_reaches_further_than_our_slots_does_not_fit(void)
{
    open_group(RAFT_ORDER_PARALLEL);
    for (uint32_t over = 0; over < 2; over++) {
        struct raft_beyond beyond = {.count = SLOTS + over};
        bitmap_set(beyond.bits, beyond.count - 1);
        write_stream(&beyond);
        CHECK(stream_is_whole(&group, stream, stream_bytes));
        CHECK_EQUAL(stream_fits(&group, stream, stream_bytes), over == 0);
    }
    close_group();
}

static void a_stream_that_ends_early_is_refused(void)
{
    const struct raft_beyond beyond = {.count = 128, .bits = {2, UINT64_C(1) << 63}};
    open_group(RAFT_ORDER_PARALLEL);
    write_stream(&beyond);
    uint64_t whole = stream_bytes;
    for (uint64_t bytes = 0; bytes < whole; bytes++) {
        CHECK(!stream_is_whole(&group, stream, bytes));
    }
    // With a checksum that agrees: its sizes show it, unless only the state machine can tell.
    uint64_t state_at = BITS_AT + 16 + session_checkpoint_bytes(group.sessions);
    for (uint64_t bytes = 24; bytes < state_at + 8; bytes++) {
        write_stream(&beyond);
        stream_bytes = bytes;
        CHECK(!is_whole());
    }
    stream_bytes = state_at + 8;
    CHECK(is_whole());
    number.value = 7;
    CHECK(stream_restore(&group, stream, stream_bytes) != 0);
    CHECK_EQUAL(group.restored.count, 0);
    close_group();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(what_is_beyond_the_floor_comes_back),
        TEST(a_state_without_holes_says_nothing_of_them),
        TEST(what_no_state_could_hold_is_refused),
        TEST(what_reaches_further_than_our_slots_does_not_fit),
        TEST(a_stream_that_ends_early_is_refused),
    };
    return test_run("reactor stream", cases, TEST_COUNT(cases), argc, argv);
}
