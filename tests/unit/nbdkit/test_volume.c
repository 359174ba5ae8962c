// What volume.h promises its callers, against a cluster that answers in any order, late or not at
// all.
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "drivers/nbdkit/volume.h"
#include "tests/harness/harness.h"
#include "tests/unit/nbdkit/fake_client.h"

enum { BLOCK = 4096, VOLUME_BYTES = 4 << 20, CALLERS = 8, ROUNDS = 200 };

static struct volume *volume;
static char reason[VOLUME_REASON_BYTES];
static atomic_bool is_ending;

static int is_over(void)
{
    return atomic_load(&is_ending);
}

static void open_volume(void)
{
    const struct volume_options options = {
        .config = "file", .client = 1, .hold_ns = 1, .is_over = is_over};
    atomic_store(&is_ending, false);
    fake_open(VOLUME_BYTES);
    CHECK_EQUAL(volume_open(&options, &volume, reason, sizeof(reason)), 0);
}

static void close_volume(void)
{
    volume_close(volume);
    fake_close();
}

static int attach(void)
{
    return volume_do(volume, VOLUME_ATTACH, 0, 0, NULL, reason, sizeof(reason));
}

static int put(uint64_t offset, uint64_t bytes, uint8_t pattern)
{
    static _Thread_local uint8_t data[1 << 20];
    char why[VOLUME_REASON_BYTES];
    memset(data, pattern, bytes);
    return volume_do(volume, VOLUME_WRITE, offset, bytes, data, why, sizeof(why));
}

static int zero(uint64_t offset, uint64_t bytes)
{
    return volume_do(volume, VOLUME_ZERO, offset, bytes, NULL, reason, sizeof(reason));
}

// The range holds nothing but this byte.
static bool holds(uint64_t offset, uint64_t bytes, uint8_t pattern)
{
    static _Thread_local uint8_t data[1 << 20];
    char why[VOLUME_REASON_BYTES];
    if (volume_do(volume, VOLUME_READ, offset, bytes, data, why, sizeof(why)) != 0) {
        return false;
    }
    for (uint64_t i = 0; i < bytes; i++) {
        if (data[i] != pattern) {
            return false;
        }
    }
    return true;
}

// A request of another thread, that the test can leave waiting.
struct caller {
    pthread_t thread;
    uint64_t offset, bytes;
    uint8_t pattern;
    int error;
};

static void *run_caller(void *context)
{
    struct caller *caller = context;
    caller->error = put(caller->offset, caller->bytes, caller->pattern);
    return NULL;
}

static void start(struct caller *caller)
{
    CHECK_EQUAL(pthread_create(&caller->thread, NULL, run_caller, caller), 0);
}

static int finish(struct caller *caller)
{
    pthread_join(caller->thread, NULL);
    return caller->error;
}

static void await_waiting(uint32_t count)
{
    for (uint32_t tries = 0; fake_waiting() != count && tries < 5000; tries++) {
        usleep(1000);
    }
    CHECK_EQUAL(fake_waiting(), count);
}

static void reads_what_was_written(void)
{
    open_volume();
    CHECK_EQUAL(volume_info(volume)->volume_bytes, VOLUME_BYTES);
    CHECK_EQUAL(volume_info(volume)->block_bytes, BLOCK);
    CHECK_EQUAL(attach(), 0);
    CHECK_EQUAL(put(0, 1 << 20, 7), 0); // many pieces
    CHECK(holds(0, 1 << 20, 7));
    CHECK_EQUAL(zero(BLOCK, 3 * BLOCK), 0);
    CHECK(holds(0, BLOCK, 7) && holds(BLOCK, 3 * BLOCK, 0) && holds(4 * BLOCK, BLOCK, 7));
    struct volume_map map = {{0}};
    CHECK_EQUAL(volume_do(volume, VOLUME_MAP, 0, VOLUME_BYTES, &map, reason, sizeof(reason)), 0);
    CHECK(map.runs[0] == 1 && map.runs[1] == (3 | BLOCK_RUN_ZERO) && map.runs[2] == 252 &&
          map.runs[3] == (768 | BLOCK_RUN_ZERO) && map.runs[4] == 0);
    CHECK_EQUAL(zero(0, VOLUME_BYTES), 0);
    CHECK(holds(0, 1 << 20, 0));
    close_volume();
}

static void what_is_wrong_with_the_start_is_told(void)
{
    struct volume_options options = {.config = "", .client = 1};
    fake_open(0);
    CHECK_EQUAL(volume_open(&options, &volume, reason, sizeof(reason)), -ENOENT);
    CHECK_TEXT(reason, "no such file");
    options.config = "file";
    CHECK_EQUAL(volume_open(&options, &volume, reason, sizeof(reason)), -ENOENT);
    CHECK_TEXT(reason, "there is no volume yet; make one: pontoon block create");
    options.group = 1;
    CHECK_EQUAL(volume_open(&options, &volume, reason, sizeof(reason)), -EINVAL);
    CHECK_TEXT(reason, "group 1: the configuration has 1 groups");
    fake_close();
}

static void refusals_are_told_with_the_reason(void)
{
    open_volume();
    CHECK_EQUAL(attach(), 0);
    CHECK_EQUAL(put(VOLUME_BYTES, BLOCK, 1), -ENOSPC);
    CHECK_EQUAL(put(512, BLOCK, 1), -EINVAL);
    CHECK_EQUAL(zero(VOLUME_BYTES - BLOCK, 2 * BLOCK), -ENOSPC);
    CHECK_TEXT(reason, "beyond the end of the volume");
    CHECK(!holds(VOLUME_BYTES, BLOCK, 0));
    close_volume();
}

// Each caller has its own part, and always finds there what it last wrote.
static void *write_and_read(void *context)
{
    const uint64_t bytes = VOLUME_BYTES / CALLERS, base = (uintptr_t)context * bytes;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint64_t count = (1 + round % 20) * BLOCK, at = base + round * 7 % 64 * BLOCK;
        if (put(at, count, (uint8_t)round) != 0 || !holds(at, count, (uint8_t)round)) {
            return "failed";
        }
    }
    return NULL;
}

static void many_callers_in_any_mood(void)
{
    static const enum fake_mood moods[] = {FAKE_SERVES, FAKE_EXPIRES, FAKE_REFUSES};
    for (size_t m = 0; m < TEST_COUNT(moods); m++) {
        pthread_t threads[CALLERS];
        open_volume();
        CHECK_EQUAL(attach(), 0);
        fake_set_mood(moods[m]);
        for (uintptr_t i = 0; i < CALLERS; i++) {
            CHECK_EQUAL(pthread_create(&threads[i], NULL, write_and_read, (void *)i), 0);
        }
        for (uintptr_t i = 0; i < CALLERS; i++) {
            void *outcome;
            pthread_join(threads[i], &outcome);
            CHECK(outcome == NULL);
        }
        fake_set_mood(FAKE_SERVES);
        close_volume();
    }
}

// The first is out and not answered: the second must wait, a third elsewhere need not.
static void overlapping_changes_keep_their_order(void)
{
    struct caller first = {.offset = 0, .bytes = 4 * BLOCK, .pattern = 1};
    struct caller second = {.offset = 3 * BLOCK, .bytes = 4 * BLOCK, .pattern = 2};
    struct caller third = {.offset = 20 * BLOCK, .bytes = BLOCK, .pattern = 3};
    open_volume();
    CHECK_EQUAL(attach(), 0);
    fake_set_mood(FAKE_HOLDS);
    start(&first);
    await_waiting(1);
    start(&second);
    usleep(20000);
    CHECK_EQUAL(fake_waiting(), 1);
    start(&third);
    await_waiting(2);
    fake_set_mood(FAKE_SERVES);
    CHECK(finish(&first) == 0 && finish(&second) == 0 && finish(&third) == 0);
    CHECK(holds(0, 3 * BLOCK, 1) && holds(3 * BLOCK, 4 * BLOCK, 2) && holds(20 * BLOCK, BLOCK, 3));
    close_volume();
}

// A caller that leaves is let go at once; who overlaps with what it left on the way still waits.
static void caller_that_leaves_holds_its_place(void)
{
    struct caller first = {.offset = 0, .bytes = BLOCK, .pattern = 1};
    struct caller second = {.offset = 0, .bytes = BLOCK, .pattern = 2};
    open_volume();
    CHECK_EQUAL(attach(), 0);
    fake_set_mood(FAKE_HOLDS);
    start(&first);
    await_waiting(1);
    atomic_store(&is_ending, true);
    CHECK_EQUAL(finish(&first), -ESHUTDOWN);
    atomic_store(&is_ending, false);
    start(&second);
    usleep(20000);
    CHECK_EQUAL(fake_waiting(), 1);
    fake_set_mood(FAKE_SERVES);
    CHECK_EQUAL(finish(&second), 0);
    CHECK(holds(0, BLOCK, 2));
    CHECK_EQUAL(fake_executed(BLOCK_WRITE), 2);
    close_volume();
}

// A write that nobody answered in time fails; when it arrives after all, it changes nothing.
static void failed_write_is_not_made_later(void)
{
    open_volume();
    CHECK_EQUAL(attach(), 0);
    CHECK_EQUAL(put(0, BLOCK, 1), 0);
    fake_set_mood(FAKE_LOSES);
    CHECK_EQUAL(put(0, BLOCK, 2), -EIO);
    fake_set_mood(FAKE_SERVES);
    CHECK_EQUAL(put(0, BLOCK, 3), 0);
    fake_deliver_late();
    CHECK_EQUAL(fake_executed(BLOCK_WRITE), 3);
    CHECK(holds(0, BLOCK, 3));
    CHECK_EQUAL(put(0, BLOCK, 4), 0);
    CHECK(holds(0, BLOCK, 4));
    close_volume();
}

// Also when attaching anew was what nobody answered, and that arrives late, and twice.
static void lost_attachments_are_made_up_for(void)
{
    open_volume();
    CHECK_EQUAL(attach(), 0);
    fake_set_mood(FAKE_LOSES);
    for (uint8_t i = 0; i < 4; i++) {
        CHECK_EQUAL(put(0, BLOCK, i), -EIO);
    }
    CHECK_EQUAL(attach(), -EIO);
    fake_set_mood(FAKE_SERVES);
    CHECK_EQUAL(put(0, BLOCK, 9), 0);
    fake_deliver_late();
    CHECK(holds(0, BLOCK, 9));
    CHECK_EQUAL(put(0, BLOCK, 10), 0);
    close_volume();
}

// In flight under the number that a lost write made us give up, and overtaken by the next ATTACH:
// sent again under the new number.
static void writes_under_way_survive_attaching_anew(void)
{
    struct caller callers[CALLERS];
    struct caller next = {.offset = VOLUME_BYTES - BLOCK, .bytes = BLOCK};
    open_volume();
    CHECK_EQUAL(attach(), 0);
    for (uint32_t round = 0; round < 20; round++) {
        fake_set_mood(FAKE_HOLDS);
        for (uint32_t i = 0; i < CALLERS; i++) {
            callers[i] = (struct caller){
                .offset = i * 64 * BLOCK, .bytes = 40 * BLOCK, .pattern = (uint8_t)(round + i)};
            start(&callers[i]);
        }
        await_waiting(3 * CALLERS); // of 64 KiB each
        fake_set_mood(FAKE_LOSES);
        while (fake_waiting() > 2 * CALLERS) {
        }
        fake_set_mood(FAKE_HOLDS);
        usleep(1000); // the poller may be in the middle of losing one more
        uint32_t waiting = fake_waiting();
        start(&next); // makes the poller attach
        await_waiting(waiting + 1);
        fake_set_mood(FAKE_SERVES);
        CHECK_EQUAL(finish(&next), 0);
        for (uint32_t i = 0; i < CALLERS; i++) {
            int error = finish(&callers[i]);
            CHECK(error == 0 || error == -EIO);
            CHECK(error != 0 || holds(callers[i].offset, callers[i].bytes, callers[i].pattern));
            CHECK_EQUAL(put(callers[i].offset, callers[i].bytes, 200), 0);
        }
        fake_deliver_late();
        for (uint32_t i = 0; i < CALLERS; i++) {
            CHECK(holds(callers[i].offset, callers[i].bytes, 200));
        }
    }
    close_volume();
}

static uint64_t writer_now(void)
{
    struct block_info info;
    CHECK_EQUAL(volume_do(volume, VOLUME_INFO, 0, 0, &info, reason, sizeof(reason)), 0);
    return info.writer;
}

static void take_over_from(uint64_t previous, uint64_t writer)
{
    const struct block_command command = {
        .operation = BLOCK_ATTACH, .previous = previous, .writer = writer};
    CHECK_EQUAL(fake_apply(&command), BLOCK_OK);
}

static void take_over(uint64_t writer)
{
    take_over_from(writer_now(), writer);
}

// Some were lost, so the server has to attach anew, and finds that it may not.
static void writes_under_way_fail_when_another_takes_over(void)
{
    struct caller callers[CALLERS];
    open_volume();
    CHECK_EQUAL(attach(), 0);
    uint64_t writer = writer_now();
    fake_set_mood(FAKE_HOLDS);
    for (uint32_t i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.offset = i * 64 * BLOCK, .bytes = 40 * BLOCK, .pattern = 1};
        start(&callers[i]);
    }
    await_waiting(3 * CALLERS);
    fake_set_mood(FAKE_LOSES);
    while (fake_waiting() > 2 * CALLERS) {
    }
    fake_set_mood(FAKE_HOLDS);
    take_over_from(writer, 77);
    fake_set_mood(FAKE_SERVES);
    for (uint32_t i = 0; i < CALLERS; i++) {
        int error = finish(&callers[i]);
        CHECK(error == -EIO || error == -EROFS);
    }
    CHECK_EQUAL(put(0, BLOCK, 2), -EROFS);
    close_volume();
}

static void former_server_reads_and_does_not_write(void)
{
    open_volume();
    CHECK_EQUAL(attach(), 0);
    CHECK_EQUAL(put(0, BLOCK, 1), 0);
    take_over(77);
    CHECK_EQUAL(put(0, BLOCK, 2), -EROFS);
    CHECK_EQUAL(attach(), -EROFS);
    CHECK_TEXT(reason, "another server has attached to the volume");
    CHECK(holds(0, BLOCK, 1));
    close_volume();
}

// A server that lost an answer attaches anew, but does not take the volume back from another.
static void lost_write_does_not_take_the_volume_back(void)
{
    open_volume();
    CHECK_EQUAL(attach(), 0);
    fake_set_mood(FAKE_LOSES);
    CHECK_EQUAL(put(0, BLOCK, 1), -EIO);
    fake_set_mood(FAKE_SERVES);
    take_over(77);
    CHECK_EQUAL(put(0, BLOCK, 2), -EROFS);
    const struct block_command write = {
        .operation = BLOCK_ZERO, .writer = 77, .offset = 0, .bytes = BLOCK};
    CHECK_EQUAL(fake_apply(&write), BLOCK_OK);
    close_volume();
}

static void bad_block_is_named(void)
{
    uint8_t data[4 * BLOCK];
    open_volume();
    CHECK_EQUAL(attach(), 0);
    CHECK_EQUAL(put(0, 8 * BLOCK, 5), 0);
    fake_spoil(2 * BLOCK + 17);
    CHECK_EQUAL(volume_do(volume, VOLUME_READ, 0, sizeof(data), data, reason, sizeof(reason)),
                -EIO);
    CHECK_TEXT(reason, "block 2 (byte 8192) does not match its checksum on the leader");
    CHECK(holds(0, 2 * BLOCK, 5) && holds(3 * BLOCK, BLOCK, 5));
    CHECK_EQUAL(put(2 * BLOCK, BLOCK, 5), 0);
    CHECK(holds(0, 4 * BLOCK, 5));
    close_volume();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(reads_what_was_written),
        TEST(what_is_wrong_with_the_start_is_told),
        TEST(refusals_are_told_with_the_reason),
        TEST(many_callers_in_any_mood),
        TEST(overlapping_changes_keep_their_order),
        TEST(caller_that_leaves_holds_its_place),
        TEST(failed_write_is_not_made_later),
        TEST(lost_attachments_are_made_up_for),
        TEST(writes_under_way_survive_attaching_anew),
        TEST(writes_under_way_fail_when_another_takes_over),
        TEST(former_server_reads_and_does_not_write),
        TEST(lost_write_does_not_take_the_volume_back),
        TEST(bad_block_is_named),
    };
    return test_run("volume", cases, TEST_COUNT(cases), argc, argv);
}
