#include "tests/driver/disk/disk_contract.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

enum { BUFFER_BYTES = 1 << 20, BUFFERS = 4, POLLS_MAX = 100000000 };

static _Alignas(4096) uint8_t buffers[BUFFERS][BUFFER_BYTES];

uint8_t *contract_buffer(uint32_t which, uint8_t pattern)
{
    memset(buffers[which], pattern, BUFFER_BYTES);
    return buffers[which];
}

int contract_run(struct disk *disk, enum disk_op op, uint32_t file, void *data, uint64_t offset,
                 uint32_t bytes)
{
    struct disk_request request = {
        .op = op, .file = file, .data = data, .offset = offset, .bytes = bytes, .tag = 0xABCD};
    struct disk_completion completion;
    CHECK(disk->ops->submit(disk, &request));
    for (uint64_t polls = 0; disk->ops->poll(disk, &completion, 1) == 0; polls++) {
        CHECK(polls < POLLS_MAX);
        disk->ops->kick(disk);
        sched_yield();
    }
    CHECK_EQUAL(completion.tag, 0xABCD);
    return completion.result;
}

uint32_t contract_open(struct disk *disk, const char *name, enum disk_open how, uint64_t bytes)
{
    uint32_t file;
    uint64_t size;
    CHECK_EQUAL(disk->ops->open_file(disk, name, how, bytes, &file, &size), 0);
    CHECK(how != DISK_OPEN_CREATE || size == bytes);
    return file;
}

static void created_files_are_zero_and_have_their_size(void)
{
    struct disk *disk = contract_disk();
    uint32_t file = contract_open(disk, "a", DISK_OPEN_CREATE, 3 << 20);
    uint8_t *data = contract_buffer(0, 0xFF);
    CHECK_EQUAL(contract_run(disk, DISK_READ, file, data, 2 << 20, 1 << 20), 0);
    CHECK(data[0] == 0 && memcmp(data, data + 1, BUFFER_BYTES - 1) == 0);
    uint32_t other;
    uint64_t size = 0;
    CHECK_EQUAL(disk->ops->open_file(disk, "a", DISK_OPEN_CREATE, 4096, &other, &size), -EEXIST);
    disk->ops->close_file(disk, file);
    CHECK_EQUAL(disk->ops->open_file(disk, "a", DISK_OPEN_EXISTING, 0, &other, &size), 0);
    CHECK_EQUAL(size, 3 << 20);
    disk->ops->close(disk);
}

static void missing_files_and_bad_names_are_refused(void)
{
    struct disk *disk = contract_disk();
    uint32_t file;
    uint64_t size;
    CHECK_EQUAL(disk->ops->open_file(disk, "none", DISK_OPEN_EXISTING, 0, &file, &size), -ENOENT);
    CHECK_EQUAL(disk->ops->open_file(disk, "a/b", DISK_OPEN_CREATE, 4096, &file, &size), -EINVAL);
    CHECK_EQUAL(disk->ops->open_file(disk, "", DISK_OPEN_REPLACE, 0, &file, &size), -EINVAL);
    CHECK_EQUAL(disk->ops->remove_file(disk, "none"), -ENOENT);
    CHECK_EQUAL(disk->ops->rename_file(disk, "none", "b"), -ENOENT);
    disk->ops->close(disk);
}

static void reads_see_what_was_written(void)
{
    static const enum disk_op writes[] = {DISK_WRITE, DISK_WRITE_DURABLE};
    struct disk *disk = contract_disk();
    uint32_t file = contract_open(disk, "a", DISK_OPEN_CREATE, 2 << 20);
    for (size_t i = 0; i < 2; i++) {
        for (uint32_t bytes = 4096; bytes <= BUFFER_BYTES; bytes *= 4) {
            uint8_t *out = contract_buffer(0, (uint8_t)(bytes / 4096 + i));
            uint8_t *in = contract_buffer(1, 0xEE);
            CHECK_EQUAL(contract_run(disk, writes[i], file, out, 4096, bytes), 0);
            CHECK_EQUAL(contract_run(disk, DISK_READ, file, in, 4096, bytes), 0);
            CHECK(memcmp(in, out, bytes) == 0);
            CHECK_EQUAL(in[bytes == BUFFER_BYTES ? 0 : bytes],
                        bytes == BUFFER_BYTES ? out[0] : 0xEE);
        }
    }
    CHECK_EQUAL(contract_run(disk, DISK_FLUSH, file, NULL, 0, 0), 0);
    disk->ops->close(disk);
}

static void smallest_block_works(void)
{
    struct disk *disk = contract_disk();
    CHECK(disk->block_bytes >= 512 && disk->block_bytes <= DISK_BLOCK_BYTES_MAX);
    uint32_t file = contract_open(disk, "a", DISK_OPEN_CREATE, 8 * DISK_BLOCK_BYTES_MAX);
    uint8_t *out = contract_buffer(0, 0x11), *in = contract_buffer(1, 0);
    CHECK_EQUAL(
        contract_run(disk, DISK_WRITE_DURABLE, file, out, disk->block_bytes, disk->block_bytes), 0);
    CHECK_EQUAL(contract_run(disk, DISK_READ, file, in, 0, 3 * disk->block_bytes), 0);
    for (uint32_t i = 0; i < 3 * disk->block_bytes; i++) {
        CHECK_EQUAL(in[i], i / disk->block_bytes == 1 ? 0x11 : 0);
    }
    disk->ops->close(disk);
}

static void reading_past_the_end_is_no_data(void)
{
    struct disk *disk = contract_disk();
    uint32_t file = contract_open(disk, "a", DISK_OPEN_CREATE, 8192);
    uint8_t *data = contract_buffer(0, 0);
    CHECK_EQUAL(contract_run(disk, DISK_READ, file, data, 8192, 4096), -ENODATA);
    CHECK_EQUAL(contract_run(disk, DISK_READ, file, data, 4096, 8192), -ENODATA);
    disk->ops->close(disk);
}

static void replaced_files_are_empty_and_grow(void)
{
    struct disk *disk = contract_disk();
    uint32_t file = contract_open(disk, "a", DISK_OPEN_REPLACE, 0);
    uint8_t *out = contract_buffer(0, 0x5A);
    CHECK_EQUAL(contract_run(disk, DISK_WRITE, file, out, 0, 4096), 0);
    CHECK_EQUAL(contract_run(disk, DISK_WRITE, file, out, 4096, 65536), 0);
    CHECK_EQUAL(contract_run(disk, DISK_FLUSH, file, NULL, 0, 0), 0);
    disk->ops->close_file(disk, file);
    uint64_t size;
    CHECK_EQUAL(disk->ops->open_file(disk, "a", DISK_OPEN_EXISTING, 0, &file, &size), 0);
    CHECK_EQUAL(size, 4096 + 65536);
    disk->ops->close_file(disk, file);
    CHECK_EQUAL(disk->ops->open_file(disk, "a", DISK_OPEN_REPLACE, 0, &file, &size), 0);
    CHECK_EQUAL(size, 0);
    CHECK_EQUAL(contract_run(disk, DISK_READ, file, out, 0, 4096), -ENODATA);
    disk->ops->close(disk);
}

static void rename_replaces_and_remove_removes(void)
{
    struct disk *disk = contract_disk();
    uint32_t old = contract_open(disk, "old", DISK_OPEN_CREATE, 4096);
    uint32_t new = contract_open(disk, "new", DISK_OPEN_REPLACE, 0);
    CHECK_EQUAL(contract_run(disk, DISK_WRITE_DURABLE, new, contract_buffer(0, 7), 0, 8192), 0);
    disk->ops->close_file(disk, old);
    disk->ops->close_file(disk, new);
    CHECK_EQUAL(disk->ops->rename_file(disk, "new", "old"), 0);
    uint64_t size;
    uint32_t file;
    CHECK_EQUAL(disk->ops->open_file(disk, "new", DISK_OPEN_EXISTING, 0, &file, &size), -ENOENT);
    CHECK_EQUAL(disk->ops->open_file(disk, "old", DISK_OPEN_EXISTING, 0, &file, &size), 0);
    CHECK_EQUAL(size, 8192);
    disk->ops->close_file(disk, file);
    CHECK_EQUAL(disk->ops->remove_file(disk, "old"), 0);
    CHECK_EQUAL(disk->ops->open_file(disk, "old", DISK_OPEN_EXISTING, 0, &file, &size), -ENOENT);
    disk->ops->close(disk);
}

// Guarantee 2: each exactly once, whatever the order; a full queue says no and recovers.
static void every_request_completes_once(void)
{
    enum { REQUESTS = 500 };
    static uint8_t seen[REQUESTS];
    struct disk *disk = contract_disk();
    uint32_t file = contract_open(disk, "a", DISK_OPEN_CREATE, REQUESTS * 4096);
    uint8_t *data = contract_buffer(0, 3);
    memset(seen, 0, sizeof(seen));
    uint32_t submitted = 0, completed = 0, refused = 0;
    for (uint64_t turn = 0; completed < REQUESTS; turn++) {
        CHECK(turn < POLLS_MAX);
        for (uint32_t burst = 0; burst < 2 * CONTRACT_IN_FLIGHT && submitted < REQUESTS; burst++) {
            struct disk_request request = {.op = submitted % 7 == 0   ? DISK_FLUSH
                                                 : submitted % 3 == 0 ? DISK_WRITE_DURABLE
                                                                      : DISK_WRITE,
                                           .file = file,
                                           .data = data,
                                           .offset = (uint64_t)submitted * 4096,
                                           .bytes = 4096,
                                           .tag = submitted};
            if (!disk->ops->submit(disk, &request)) {
                refused++;
                CHECK_EQUAL(submitted - completed, CONTRACT_IN_FLIGHT);
                break;
            }
            submitted++;
            CHECK(submitted - completed <= CONTRACT_IN_FLIGHT);
        }
        disk->ops->kick(disk);
        struct disk_completion completions[3];
        uint32_t count = disk->ops->poll(disk, completions, 3);
        CHECK(count <= 3);
        for (uint32_t i = 0; i < count; i++) {
            CHECK_EQUAL(completions[i].result, 0);
            CHECK(completions[i].tag < submitted);
            CHECK_EQUAL(seen[completions[i].tag]++, 0);
        }
        completed += count;
        sched_yield();
    }
    CHECK(refused > 0);
    disk->ops->close(disk);
}

static void requests_wait_for_the_kick(void)
{
    struct disk *disk = contract_disk();
    uint32_t file = contract_open(disk, "a", DISK_OPEN_CREATE, 4096);
    struct disk_completion completion;
    struct disk_request request = {
        .op = DISK_WRITE_DURABLE, .file = file, .data = contract_buffer(0, 3), .bytes = 4096};
    disk->ops->kick(disk);
    CHECK_EQUAL(disk->ops->poll(disk, &completion, 1), 0);
    CHECK(disk->ops->submit(disk, &request));
    CHECK_EQUAL(disk->ops->poll(disk, &completion, 1), 0);
    disk->ops->kick(disk);
    for (uint64_t polls = 0; disk->ops->poll(disk, &completion, 1) == 0; polls++) {
        CHECK(polls < POLLS_MAX);
        sched_yield();
    }
    CHECK_EQUAL(completion.result, 0);
    disk->ops->close(disk);
}

static void registered_memory_works_the_same(void)
{
    struct disk *disk = contract_disk();
    uint8_t *out = contract_buffer(0, 0x42), *in = contract_buffer(1, 0);
    uint32_t file = contract_open(disk, "a", DISK_OPEN_CREATE, 1 << 20);
    disk->ops->register_memory(disk, out, BUFFER_BYTES); // a hint: it may be refused
    disk->ops->register_memory(disk, in, BUFFER_BYTES / 2);
    CHECK_EQUAL(contract_run(disk, DISK_WRITE_DURABLE, file, out + 8192, 4096, 16384), 0);
    CHECK_EQUAL(contract_run(disk, DISK_READ, file, in + BUFFER_BYTES / 2, 4096, 16384), 0);
    CHECK_EQUAL(contract_run(disk, DISK_READ, file, in, 4096, 16384), 0);
    CHECK(memcmp(in, out, 16384) == 0 && memcmp(in + BUFFER_BYTES / 2, out, 16384) == 0);
    disk->ops->close(disk);
}

static void closes_with_requests_in_flight(void)
{
    struct disk *disk = contract_disk();
    uint32_t file = contract_open(disk, "a", DISK_OPEN_CREATE, 1 << 20);
    for (uint32_t i = 0; i < CONTRACT_IN_FLIGHT; i++) {
        struct disk_request request = {.op = DISK_WRITE_DURABLE,
                                       .file = file,
                                       .data = contract_buffer(0, 1),
                                       .offset = i * 4096u,
                                       .bytes = 4096};
        CHECK(disk->ops->submit(disk, &request));
    }
    disk->ops->kick(disk);
    disk->ops->close(disk);
}

const struct test_case contract_cases[] = {
    TEST(created_files_are_zero_and_have_their_size),
    TEST(missing_files_and_bad_names_are_refused),
    TEST(reads_see_what_was_written),
    TEST(smallest_block_works),
    TEST(reading_past_the_end_is_no_data),
    TEST(replaced_files_are_empty_and_grow),
    TEST(rename_replaces_and_remove_removes),
    TEST(every_request_completes_once),
    TEST(requests_wait_for_the_kick),
    TEST(registered_memory_works_the_same),
    TEST(closes_with_requests_in_flight),
};
const size_t contract_case_count = TEST_COUNT(contract_cases);
