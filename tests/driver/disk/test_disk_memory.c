// The contract in memory: in order at once, late, out of order. Then the faults that only this
// driver can have.
#include "drivers/disk_memory/disk_memory.h"
#include "tests/driver/disk/disk_contract.h"

#include <errno.h>
#include <string.h>

static struct disk_memory_options options;

struct disk *contract_disk(void)
{
    struct disk *disk;
    options.in_flight_max = CONTRACT_IN_FLIGHT;
    CHECK_EQUAL(disk_memory_open(&disk, &options), 0);
    return disk;
}

static uint8_t first_byte(struct disk *disk, const char *name, uint64_t offset)
{
    uint32_t file = contract_open(disk, name, DISK_OPEN_EXISTING, 0);
    uint8_t *in = contract_buffer(3, 0xEE);
    CHECK_EQUAL(contract_run(disk, DISK_READ, file, in, offset, 512), 0);
    disk->ops->close_file(disk, file);
    return in[0];
}

static void a_crash_keeps_what_is_durable(void)
{
    struct disk *disk = contract_disk();
    uint32_t file = contract_open(disk, "a", DISK_OPEN_CREATE, 16384);
    CHECK_EQUAL(contract_run(disk, DISK_WRITE, file, contract_buffer(0, 1), 0, 4096), 0);
    CHECK_EQUAL(contract_run(disk, DISK_FLUSH, file, NULL, 0, 0), 0);
    CHECK_EQUAL(contract_run(disk, DISK_WRITE_DURABLE, file, contract_buffer(0, 2), 4096, 4096), 0);
    CHECK_EQUAL(contract_run(disk, DISK_WRITE, file, contract_buffer(0, 3), 8192, 4096), 0);
    disk->ops->close_file(disk, file);
    CHECK_EQUAL(first_byte(disk, "a", 8192), 3);
    disk_memory_kill(disk, 1, 0);
    CHECK_EQUAL(first_byte(disk, "a", 8192), 3); // the device's cache outlives the process
    disk_memory_crash(disk, 1, 0);
    CHECK_EQUAL(first_byte(disk, "a", 0), 1);
    CHECK_EQUAL(first_byte(disk, "a", 4096), 2);
    CHECK_EQUAL(first_byte(disk, "a", 8192), 0);
    disk->ops->close(disk);
}

static void a_flush_covers_only_what_was_written_before(void)
{
    struct disk *disk = contract_disk();
    uint32_t file = contract_open(disk, "a", DISK_OPEN_CREATE, 16384);
    struct disk_completion completions[2];
    struct disk_request flush = {.op = DISK_FLUSH, .file = file, .tag = 1};
    struct disk_request write = {
        .op = DISK_WRITE, .file = file, .data = contract_buffer(0, 9), .bytes = 4096, .tag = 2};
    disk_memory_hold(disk, true);
    CHECK(disk->ops->submit(disk, &flush));
    CHECK(disk->ops->submit(disk, &write));
    disk->ops->kick(disk);
    CHECK_EQUAL(disk->ops->poll(disk, completions, 2), 0);
    CHECK(disk_memory_release(disk, 2));
    CHECK_EQUAL(disk->ops->poll(disk, completions, 2), 1);
    CHECK_EQUAL(completions[0].tag, 2);
    CHECK(disk_memory_release(disk, 1));
    CHECK(!disk_memory_release(disk, 7));
    CHECK_EQUAL(disk->ops->poll(disk, completions, 2), 1);
    disk_memory_crash(disk, 1, 0);
    CHECK_EQUAL(first_byte(disk, "a", 0), 0);
    disk->ops->close(disk);
}

static void requests_in_flight_are_torn_by_sectors(void)
{
    uint32_t kept = 0, lost = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct disk *disk = contract_disk();
        uint32_t file = contract_open(disk, "a", DISK_OPEN_CREATE, 8192);
        struct disk_request write = {
            .op = DISK_WRITE_DURABLE, .file = file, .data = contract_buffer(0, 9), .bytes = 8192};
        CHECK(disk->ops->submit(disk, &write));
        disk->ops->kick(disk);
        disk_memory_crash(disk, seed, 70);
        uint64_t bytes;
        const uint8_t *image = disk_memory_image(disk, "a", &bytes);
        CHECK_EQUAL(bytes, 8192);
        for (uint32_t sector = 0; sector < 16; sector++) {
            const uint8_t *at = image + sector * 512;
            CHECK(memcmp(at, at + 1, 511) == 0 && (at[0] == 0 || at[0] == 9));
            kept += at[0] == 9;
            lost += at[0] == 0;
        }
        disk->ops->close(disk);
    }
    CHECK(kept > 30 && lost > 30);
}

static void the_nth_request_fails_and_does_nothing(void)
{
    struct disk *disk = contract_disk();
    uint32_t file = contract_open(disk, "a", DISK_OPEN_CREATE, 16384);
    disk_memory_fail(disk, DISK_WRITE, 2, 1, -EIO);
    CHECK_EQUAL(contract_run(disk, DISK_WRITE, file, contract_buffer(0, 1), 0, 4096), 0);
    CHECK_EQUAL(contract_run(disk, DISK_WRITE, file, contract_buffer(0, 2), 0, 4096), -EIO);
    CHECK_EQUAL(contract_run(disk, DISK_READ, file, contract_buffer(0, 0), 0, 4096), 0);
    CHECK_EQUAL(contract_run(disk, DISK_WRITE, file, contract_buffer(0, 3), 4096, 4096), 0);
    CHECK_EQUAL(first_byte(disk, "a", 0), 1);
    disk->ops->close(disk);
}

static void space_is_limited(void)
{
    struct disk *disk = contract_disk();
    uint32_t file;
    uint64_t size;
    disk_memory_set_capacity(disk, 16384);
    CHECK_EQUAL(disk->ops->open_file(disk, "a", DISK_OPEN_CREATE, 20480, &file, &size), -ENOSPC);
    CHECK_EQUAL(disk->ops->open_file(disk, "a", DISK_OPEN_EXISTING, 0, &file, &size), -ENOENT);
    file = contract_open(disk, "a", DISK_OPEN_REPLACE, 0);
    CHECK_EQUAL(contract_run(disk, DISK_WRITE, file, contract_buffer(0, 1), 0, 16384), 0);
    CHECK_EQUAL(contract_run(disk, DISK_WRITE, file, contract_buffer(0, 1), 16384, 4096), -ENOSPC);
    disk->ops->close(disk);
}

int main(int argc, char **argv)
{
    static const struct test_case own[] = {
        TEST(a_crash_keeps_what_is_durable),
        TEST(a_flush_covers_only_what_was_written_before),
        TEST(requests_in_flight_are_torn_by_sectors),
        TEST(the_nth_request_fails_and_does_nothing),
        TEST(space_is_limited),
    };
    int failed = test_run("disk memory", own, TEST_COUNT(own), argc, argv);
    failed |= test_run("disk contract, memory", contract_cases, contract_case_count, argc, argv);
    options = (struct disk_memory_options){
        .delay_polls_max = 5, .reorder = true, .seed = 3, .block_bytes = 4096};
    return test_run("disk contract, memory, late and out of order", contract_cases,
                    contract_case_count, argc, argv) |
           failed;
}
