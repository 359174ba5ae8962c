// The log alone: append, submit and poll, without protocol or network.
//
// volatile   the arena only: what it costs to place an entry and hear that it is there
// durable    over disk_uring on a directory: `--batch` entries a submit, as many batches in flight
//            as the log allows; then lone entries, each interleaved with a plain 4 KiB write that
//            is durable by itself (RWF_DSYNC) to a file written before
//
// Nothing is left in the directory.
#include "bench/harness/options.h"
#include "bench/report/result.h"
#include "drivers/disk_memory/disk_memory.h"
#include "drivers/disk_uring/disk_uring.h"
#include "engine/base/assert.h"
#include "engine/base/histogram.h"
#include "engine/core/entry_crc.h"
#include "engine/wal/wal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    BODIES = 1 << 20, // entries whose place is remembered: more than the log holds
    EVENTS = 64,
    LONE_BYTES = 4096,
    LONE_FILE_BYTES = 16 << 20,
    PAYLOAD_MAX = 1 << 20,
    PATH_BYTES = 4096
};

struct bench {
    const char *directory;
    uint64_t bytes, batch, seconds, lone, log_mib; // `lone`: entries measured one by one
    bool is_durable;
    struct wal *wal;
    struct disk *disk;
    uint8_t *payload;
    uint64_t *bodies;       // by index mod BODIES
    uint64_t last, durable; // indexes appended, reported
    char path[PATH_BYTES];  // of the log's own directory
    struct histogram entry, plain;
};

static _Noreturn void give_up(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, strerror(error));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void open_disk(struct bench *bench)
{
    char reason[512] = "memory";
    int error;
    if (bench->is_durable) {
        snprintf(bench->path, sizeof(bench->path), "%s/bench_log.XXXXXX", bench->directory);
        if (mkdtemp(bench->path) == NULL) {
            give_up(bench->path, errno);
        }
        error = disk_uring_open(&bench->disk, bench->path, 64, reason, sizeof(reason));
    } else {
        const struct disk_memory_options options = {0};
        error = disk_memory_open(&bench->disk, &options);
    }
    if (error != 0) {
        give_up(reason, -error);
    }
}

static void open_log(struct bench *bench)
{
    struct wal_config config = {.cluster = 1,
                                .node = 1,
                                .groups_max = 1,
                                .log_bytes = bench->log_mib << 20,
                                .segment_bytes = 4 << 20,
                                .batch_bytes_max = 256 << 10,
                                .in_flight_max = 16,
                                .durable_mark_delay_ns = 1000000,
                                .nonce = 1,
                                .is_volatile = !bench->is_durable,
                                .bootstrap = true,
                                .disk = bench->disk};
    config.arena = mmap(NULL, config.log_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    void *memory = aligned_alloc(4096, (wal_memory_bytes(&config) + 4095) & ~(size_t)4095);
    struct wal_recovery recovery;
    char reason[512];
    if (config.arena == MAP_FAILED || memory == NULL) {
        give_up("memory", ENOMEM);
    }
    int error =
        wal_open(&bench->wal, memory, &config, NULL, NULL, NULL, &recovery, reason, sizeof(reason));
    if (error != 0) {
        give_up(reason, -error);
    }
}

static void close_log(struct bench *bench)
{
    static const char *const files[] = {"meta.0", "log.0"};
    wal_close(bench->wal);
    for (size_t i = 0; bench->is_durable && i < sizeof(files) / sizeof(files[0]); i++) {
        bench->disk->ops->remove_file(bench->disk, files[i]);
    }
    bench->disk->ops->close(bench->disk);
    char lock[PATH_BYTES + 8]; // the disk leaves it, empty
    snprintf(lock, sizeof(lock), "%s/lock", bench->path);
    if (bench->is_durable && (unlink(lock) != 0 || rmdir(bench->path) != 0)) {
        fprintf(stderr, "%s: %s\n", bench->path, strerror(errno));
    }
}

static void append(struct bench *bench)
{
    struct raft_entry_head head = {.client = 1,
                                   .sequence = ++bench->last,
                                   .bytes = (uint32_t)bench->bytes,
                                   .kind = RAFT_ENTRY_COMMAND};
    const struct raft_entry_id id = {.term = 1, .index = bench->last};
    uint64_t prev_term = bench->last == 1 ? 0 : 1;
    bench->bodies[bench->last % BODIES] =
        wal_append(bench->wal, 0, 1, id, prev_term, &head, bench->payload);
}

// Events come batch by batch, in any order; the floor moves when the batch at it is reported.
static void take_events(struct bench *bench)
{
    static uint64_t reported_upto[BODIES]; // by first index of a run: its last index
    struct wal_event events[EVENTS];
    uint32_t count;
    do {
        count = wal_poll(bench->wal, events, EVENTS);
        for (uint32_t i = 0; i < count; i++) {
            if (events[i].kind == WAL_EVENT_FAILED) {
                give_up("log", -events[i].error);
            }
            reported_upto[events[i].range.first % BODIES] = events[i].range.last;
        }
    } while (count == EVENTS);
    uint64_t before = bench->durable;
    while (reported_upto[(bench->durable + 1) % BODIES] > bench->durable) {
        bench->durable = reported_upto[(bench->durable + 1) % BODIES];
    }
    if (bench->durable > before) {
        wal_advance_tail(bench->wal, bench->bodies[bench->durable % BODIES]);
    }
}

static bool has_room(const struct bench *bench)
{
    return bench->last - bench->durable + bench->batch < BODIES &&
           wal_has_room(bench->wal, (uint32_t)bench->batch, bench->batch * bench->bytes);
}

// Entries a second until the end; warm-up of a tenth is not counted.
static double run_deep(struct bench *bench, double *seconds)
{
    uint64_t start = now_ns(), warm = start + bench->seconds * 100000000;
    uint64_t end = start + bench->seconds * 1000000000, counted = 0, now = start;
    while (now < end) {
        if (has_room(bench)) {
            for (uint64_t i = 0; i < bench->batch; i++) {
                append(bench);
            }
        }
        wal_submit(bench->wal, now);
        take_events(bench);
        now = now_ns();
        if (now < warm) {
            start = now;
            counted = bench->durable;
        }
    }
    *seconds = (double)(now - start) / 1e9;
    return (double)(bench->durable - counted) / *seconds;
}

static void settle(struct bench *bench)
{
    while (bench->durable < bench->last) {
        wal_submit(bench->wal, now_ns());
        take_events(bench);
    }
}

static int open_plain(const struct bench *bench, uint8_t *buffer)
{
    int fd = open(bench->path, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
    for (off_t at = 0; fd >= 0 && at < LONE_FILE_BYTES; at += LONE_BYTES) {
        if (pwrite(fd, buffer, LONE_BYTES, at) != LONE_BYTES) {
            give_up("write", errno);
        }
    }
    if (fd < 0 || fsync(fd) != 0) {
        give_up(bench->path, errno);
    }
    return fd;
}

static void time_plain(struct bench *bench, int fd, uint8_t *buffer, uint64_t number)
{
    const struct iovec vector = {.iov_base = buffer, .iov_len = LONE_BYTES};
    off_t at = (off_t)(number * LONE_BYTES % LONE_FILE_BYTES);
    uint64_t start = now_ns();
    if (pwritev2(fd, &vector, 1, at, RWF_DSYNC) != LONE_BYTES) {
        give_up("write", errno);
    }
    histogram_record(&bench->plain, now_ns() - start);
}

static void time_entry(struct bench *bench)
{
    uint64_t start = now_ns();
    append(bench);
    wal_submit(bench->wal, start);
    while (bench->durable < bench->last) {
        take_events(bench);
    }
    histogram_record(&bench->entry, now_ns() - start);
}

static void run_lone(struct bench *bench)
{
    uint8_t *buffer = aligned_alloc(LONE_BYTES, LONE_BYTES);
    if (buffer == NULL) {
        give_up("memory", ENOMEM);
    }
    memset(buffer, 0x5A, LONE_BYTES);
    int fd = open_plain(bench, buffer);
    for (uint64_t number = 0; number < bench->lone; number++) {
        time_entry(bench);
        time_plain(bench, fd, buffer, number);
    }
    close(fd);
    free(buffer);
}

static double median_us(const struct histogram *histogram)
{
    return (double)histogram_percentile(histogram, 50) / 1000;
}

static void describe(const struct bench *bench, struct result *result, double rate)
{
    struct wal_counters counters;
    wal_counters(bench->wal, &counters);
    result_add_text(result, "log", bench->is_durable ? "durable" : "volatile");
    result_add_count(result, "bytes", bench->bytes);
    result_add_count(result, "batch", bench->batch);
    result_add_real(result, "entries_s", rate, 0);
    result_add_real(result, "mb_s", rate * (double)bench->bytes / 1e6, 1);
    result_add_real(result, "ns_entry", 1e9 / rate, 1);
    result_add_count(result, "batches", counters.batches);
    result_add_count(result, "in_flight_peak", counters.in_flight_peak);
    if (bench->is_durable) {
        double entry_us = median_us(&bench->entry), plain_us = median_us(&bench->plain);
        result_add_real(result, "lone_p50_us", entry_us, 2);
        result_add_real(result, "plain_p50_us", plain_us, 2);
        result_add_real(result, "lone_ratio", entry_us / plain_us, 3);
    }
}

int main(int argc, char **argv)
{
    static const char *const logs[] = {"volatile", "durable", NULL};
    static struct bench bench = {
        .directory = ".", .bytes = 64, .batch = 512, .seconds = 2, .lone = 2000, .log_mib = 64};
    uint64_t log = 0;
    const char *json_path = NULL, *hdr_path = NULL;
    const struct option_row rows[] = {
        {"log", OPTION_CHOICE, &log, 0, 0, logs, "what is measured"},
        {"directory", OPTION_TEXT, &bench.directory, 0, 0, NULL, "durable: on the disk to measure"},
        {"bytes", OPTION_NUMBER, &bench.bytes, 0, PAYLOAD_MAX, NULL, "payload of an entry"},
        {"batch", OPTION_NUMBER, &bench.batch, 1, 4096, NULL, "entries a submit"},
        {"seconds", OPTION_NUMBER, &bench.seconds, 1, 600, NULL, "measured"},
        {"lone", OPTION_NUMBER, &bench.lone, 1, 1000000, NULL, "durable: entries one by one"},
        {"log-mib", OPTION_NUMBER, &bench.log_mib, 16, 4096, NULL, "size of the log"},
        {"json", OPTION_TEXT, &json_path, 0, 0, NULL, "file for the result as JSON"},
        {"hdr", OPTION_TEXT, &hdr_path, 0, 0, NULL, "durable: percentiles of lone entries"},
    };
    options_parse(rows, sizeof(rows) / sizeof(rows[0]), "append, submit and poll of the log, alone",
                  argc, argv);
    bench.is_durable = log == 1;
    bench.payload = calloc(1, PAYLOAD_MAX);
    bench.bodies = calloc(BODIES, sizeof(*bench.bodies));
    if (bench.payload == NULL || bench.bodies == NULL) {
        give_up("memory", ENOMEM);
    }
    histogram_init(&bench.entry);
    histogram_init(&bench.plain);
    open_disk(&bench);
    open_log(&bench);
    double seconds, rate = run_deep(&bench, &seconds);
    settle(&bench);
    if (bench.is_durable) {
        run_lone(&bench);
    }
    struct result result;
    result_init(&result, argc, argv);
    describe(&bench, &result, rate);
    close_log(&bench);
    return result_finish(&result, &bench.entry, json_path, hdr_path);
}
