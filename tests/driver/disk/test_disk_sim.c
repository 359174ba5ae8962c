// The contract on the simulator's disk, in virtual time: each poll lets one more thing happen. Then
// what a power cut may and may not undo, over many seeds.
#include "tests/driver/disk/disk_contract.h"
#include "tests/driver/sim_world.h"

#include <string.h>

enum { SECTOR_BYTES = 512, SEEDS = 40 };

static struct sim_options options;
static struct disk_ops ops; // the driver's, but poll and close

static struct sim_disk *of(struct disk *disk)
{
    return (struct sim_disk *)disk;
}

static const struct disk_ops *driver_ops;

static uint32_t step_and_poll(struct disk *disk, struct disk_completion *completions, uint32_t max)
{
    sim_world_step(of(disk)->sim);
    return driver_ops->poll(disk, completions, max);
}

static void close_world(struct disk *disk)
{
    struct sim *sim = of(disk)->sim;
    driver_ops->close(disk);
    sim_disk_close(of(disk));
    sim_world_close(sim);
}

struct disk *contract_disk(void)
{
    struct sim *sim = sim_world_open(&options);
    struct sim_disk *disk = &sim->seats[0].disk;
    sim_disk_open(disk, sim, 1, 0, 0);
    driver_ops = disk->disk.ops;
    ops = *driver_ops;
    ops.poll = step_and_poll;
    ops.close = close_world;
    disk->disk.ops = &ops;
    return &disk->disk;
}

static struct disk *disk_of_seed(uint64_t seed)
{
    options.seed = seed;
    return contract_disk();
}

// The node's power is cut, and it starts again. Result: the file's bytes, as a recovery would read
// them.
static const uint8_t *after_power_cut(struct disk *disk, const char *name)
{
    sim_disk_die(of(disk), true);
    struct disk_completion completion;
    while (driver_ops->poll(disk, &completion, 1) > 0) {
    }
    sim_disk_revive(of(disk), true);
    const struct sim_file *file = sim_disk_file(of(disk), name);
    CHECK(file != NULL);
    return file->image;
}

static void write_file(struct disk *disk, enum disk_op op, uint32_t file, uint8_t pattern,
                       uint32_t bytes)
{
    CHECK_EQUAL(contract_run(disk, op, file, contract_buffer(0, pattern), 0, bytes), 0);
}

// Hands in a flush, then a plain write of 2s, which completes first.
static void write_under_a_flush(struct disk *disk, uint32_t file)
{
    struct disk_request flush = {.op = DISK_FLUSH, .file = file, .tag = 1};
    struct disk_request write = {
        .op = DISK_WRITE, .file = file, .data = contract_buffer(0, 2), .bytes = 4096, .tag = 2};
    struct disk_completion completions[2];
    of(disk)->slow_factor = 1000;
    CHECK(disk->ops->submit(disk, &flush));
    of(disk)->slow_factor = 1;
    CHECK(disk->ops->submit(disk, &write));
    disk->ops->kick(disk);
    CHECK_EQUAL(disk->ops->poll(disk, completions, 2), 1);
    CHECK_EQUAL(completions[0].tag, 2);
    CHECK_EQUAL(disk->ops->poll(disk, completions, 2), 1);
    CHECK_EQUAL(completions[0].tag, 1);
}

static void a_durable_write_survives_whatever_stood_there(void)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct disk *disk = disk_of_seed(seed);
        uint32_t file = contract_open(disk, "a", DISK_OPEN_CREATE, 4096);
        write_file(disk, DISK_WRITE, file, 1, 4096);
        write_file(disk, DISK_WRITE_DURABLE, file, 2, 2048);
        const uint8_t *image = after_power_cut(disk, "a");
        for (uint32_t at = 0; at < 2048; at++) {
            CHECK_EQUAL(image[at], 2);
        }
        disk->ops->close(disk);
    }
}

static void a_plain_write_is_kept_by_sectors_until_a_flush(void)
{
    uint32_t kept = 0, lost = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct disk *disk = disk_of_seed(seed);
        uint32_t file = contract_open(disk, "a", DISK_OPEN_CREATE, 8192);
        write_file(disk, DISK_WRITE, file, 1, 8192);
        CHECK_EQUAL(contract_run(disk, DISK_FLUSH, file, NULL, 0, 0), 0);
        write_file(disk, DISK_WRITE, file, 2, 4096);
        const uint8_t *image = after_power_cut(disk, "a");
        for (uint32_t at = 0; at < 4096; at += SECTOR_BYTES) {
            CHECK(memcmp(image + at, image + at + 1, SECTOR_BYTES - 1) == 0);
            CHECK(image[at] == 1 || image[at] == 2);
            kept += image[at] == 2;
            lost += image[at] == 1;
        }
        CHECK(image[4096] == 1 && memcmp(image + 4096, image + 4097, 4095) == 0);
        disk->ops->close(disk);
    }
    CHECK(kept > SEEDS && lost > SEEDS);
}

// What was written before the flush was handed in is covered, though it was written over meanwhile.
static void a_flush_covers_what_was_there_when_it_was_handed_in(void)
{
    uint32_t old = 0, new = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct disk *disk = disk_of_seed(seed);
        uint32_t file = contract_open(disk, "a", DISK_OPEN_CREATE, 4096);
        write_file(disk, DISK_WRITE, file, 1, 4096);
        write_under_a_flush(disk, file);
        const uint8_t *image = after_power_cut(disk, "a");
        for (uint32_t at = 0; at < 4096; at += SECTOR_BYTES) {
            CHECK(image[at] == 1 || image[at] == 2);
            old += image[at] == 1;
            new += image[at] == 2;
        }
        disk->ops->close(disk);
    }
    CHECK(old > SEEDS && new > SEEDS);
}

static void what_was_written_after_the_flush_was_handed_in_is_not_covered(void)
{
    uint32_t lost = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct disk *disk = disk_of_seed(seed);
        uint32_t file = contract_open(disk, "a", DISK_OPEN_CREATE, 4096);
        write_under_a_flush(disk, file);
        const uint8_t *image = after_power_cut(disk, "a");
        for (uint32_t at = 0; at < 4096; at += SECTOR_BYTES) {
            lost += image[at] == 0;
        }
        disk->ops->close(disk);
    }
    CHECK(lost > SEEDS);
}

static void requests_in_flight_are_torn_by_sectors_unless_nobody_kicked(void)
{
    uint32_t kept = 0, lost = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct disk *disk = disk_of_seed(seed);
        uint32_t file = contract_open(disk, "a", DISK_OPEN_CREATE, 8192);
        struct disk_request write = {
            .op = DISK_WRITE_DURABLE, .file = file, .data = contract_buffer(0, 9), .bytes = 4096};
        CHECK(disk->ops->submit(disk, &write));
        disk->ops->kick(disk);
        write.offset = 4096;
        CHECK(disk->ops->submit(disk, &write));
        const uint8_t *image = after_power_cut(disk, "a");
        for (uint32_t at = 0; at < 4096; at += SECTOR_BYTES) {
            CHECK(memcmp(image + at, image + at + 1, SECTOR_BYTES - 1) == 0);
            kept += image[at] == 9;
            lost += image[at] == 0;
        }
        CHECK(image[4096] == 0 && memcmp(image + 4096, image + 4097, 4095) == 0);
        disk->ops->close(disk);
    }
    CHECK(kept > SEEDS && lost > SEEDS);
}

int main(int argc, char **argv)
{
    static const struct test_case own[] = {
        TEST(a_durable_write_survives_whatever_stood_there),
        TEST(a_plain_write_is_kept_by_sectors_until_a_flush),
        TEST(a_flush_covers_what_was_there_when_it_was_handed_in),
        TEST(what_was_written_after_the_flush_was_handed_in_is_not_covered),
        TEST(requests_in_flight_are_torn_by_sectors_unless_nobody_kicked),
    };
    options = (struct sim_options){
        .disk_requests = CONTRACT_IN_FLIGHT, .disk_min_ns = 20 * SIM_US, .disk_max_ns = SIM_MS};
    int failed =
        test_run("disk contract, simulated", contract_cases, contract_case_count, argc, argv);
    return test_run("disk simulated", own, TEST_COUNT(own), argc, argv) | failed;
}
