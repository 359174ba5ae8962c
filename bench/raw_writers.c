// Plain writers: what the disk under a directory gives to processes that append durably and do
// nothing else.
//
// Each writer owns a file that was written and flushed before (as the segments of a log are),
// opened O_DIRECT, and overwrites it front to back through io_uring. All start at the same moment;
// the sum is what a log is held against.
#include "bench/harness/options.h"
#include "bench/harness/process.h"
#include "bench/report/result.h"
#include "engine/base/histogram.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WRITERS_MAX = 16, DEPTH_MAX = 256, PREPARE_MS = 120000, SETTLE_MS = 30000 };
enum { ALIGNMENT = 4096, FILL_BYTES = 1 << 20, WARM_UP_NS = 300000000 };

enum mode {
    MODE_DSYNC,     // `depth` writes in flight, each durable by itself (RWF_DSYNC)
    MODE_FDATASYNC, // `depth` writes one after the other, then fdatasync: one chain
    MODE_BATCH,     // `depth` writes at once, then fdatasync when all are done
    MODE_NONE       // `depth` writes in flight, none durable
};
static const char *const mode_names[] = {"dsync", "fdatasync", "batch", "none", NULL};

struct plan {
    const char *directory;
    uint64_t writers, bytes, depth, seconds, file_mib;
    uint64_t mode; // enum mode
};

// What one writer counted between warm-up and end.
struct tally {
    uint64_t writes;
    struct histogram histogram; // of a write; fdatasync, batch: of the whole group
};

struct shared {
    struct plan plan;
    _Atomic uint64_t
        start_ns; // 0 until all writers are ready; released by the parent, acquired by the writers
    struct tally tallies[WRITERS_MAX];
};

struct writer {
    const struct plan *plan;
    struct tally *tally;
    int fd;
    uint8_t *buffer;
    uint64_t file_bytes;
    uint64_t offset;                  // of the next write
    uint64_t measured_ns;             // start of the measured time
    uint64_t end_ns;                  // nothing is submitted from here on
    uint64_t submitted_ns[DEPTH_MAX]; // by slot
    struct io_uring ring;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static _Noreturn void give_up(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, strerror(error));
    exit(1);
}

// A file without a name: nothing is left behind, however the program ends.
static int open_file(const char *directory)
{
    char path[4096];
    if (snprintf(path, sizeof(path), "%s/raw_writers.XXXXXX", directory) >= (int)sizeof(path)) {
        give_up(directory, ENAMETOOLONG);
    }
    int fd = mkostemp(path, O_DIRECT | O_CLOEXEC);
    if (fd < 0) {
        give_up(path, errno);
    }
    unlink(path);
    return fd;
}

static void fill_file(const struct writer *writer)
{
    uint8_t *zeros = aligned_alloc(ALIGNMENT, FILL_BYTES);
    if (zeros == NULL) {
        give_up("memory", ENOMEM);
    }
    memset(zeros, 0, FILL_BYTES);
    for (uint64_t offset = 0; offset < writer->file_bytes; offset += FILL_BYTES) {
        ssize_t written = pwrite(writer->fd, zeros, FILL_BYTES, (off_t)offset);
        if (written != FILL_BYTES) {
            give_up("fill the file", written < 0 ? errno : ENOSPC);
        }
    }
    if (fsync(writer->fd) < 0) {
        give_up("fsync", errno);
    }
    free(zeros);
}

static void prepare(struct writer *writer)
{
    writer->file_bytes = writer->plan->file_mib << 20;
    writer->fd = open_file(writer->plan->directory);
    fill_file(writer);
    writer->buffer = aligned_alloc(ALIGNMENT, (size_t)writer->plan->bytes);
    if (writer->buffer == NULL) {
        give_up("memory", ENOMEM);
    }
    memset(writer->buffer, 0x5A, (size_t)writer->plan->bytes);
    int error = io_uring_queue_init(2 * DEPTH_MAX, &writer->ring, 0);
    if (error < 0) {
        give_up("io_uring", -error);
    }
}

static struct io_uring_sqe *add_write(struct writer *writer)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&writer->ring);
    io_uring_prep_write(entry, writer->fd, writer->buffer, (unsigned)writer->plan->bytes,
                        writer->offset);
    writer->offset += writer->plan->bytes;
    if (writer->offset + writer->plan->bytes > writer->file_bytes) {
        writer->offset = 0;
    }
    return entry;
}

// Waits until `count` more requests have completed well.
static void await(struct writer *writer, unsigned count)
{
    int error = io_uring_submit_and_wait(&writer->ring, count);
    if (error < 0) {
        give_up("submit", -error);
    }
    for (unsigned i = 0; i < count; i++) {
        struct io_uring_cqe *completion;
        error = io_uring_wait_cqe(&writer->ring, &completion);
        if (error < 0 || completion->res < 0) {
            give_up("write", error < 0 ? -error : -completion->res);
        }
        io_uring_cqe_seen(&writer->ring, completion);
    }
}

// One group of writes and the flush behind it.
static void write_group(struct writer *writer)
{
    uint64_t start = now_ns();
    unsigned depth = (unsigned)writer->plan->depth;
    bool chained = writer->plan->mode == MODE_FDATASYNC;
    for (unsigned i = 0; i < depth; i++) {
        add_write(writer)->flags |= chained ? IOSQE_IO_LINK : 0;
    }
    if (!chained) {
        await(writer, depth);
    }
    io_uring_prep_fsync(io_uring_get_sqe(&writer->ring), writer->fd, IORING_FSYNC_DATASYNC);
    await(writer, chained ? depth + 1 : 1);
    uint64_t end = now_ns();
    if (start >= writer->measured_ns && end < writer->end_ns) {
        histogram_record(&writer->tally->histogram, end - start);
        writer->tally->writes += depth;
    }
}

static void add_single(struct writer *writer, unsigned slot)
{
    struct io_uring_sqe *entry = add_write(writer);
    entry->rw_flags = writer->plan->mode == MODE_DSYNC ? RWF_DSYNC : 0;
    io_uring_sqe_set_data64(entry, slot);
    writer->submitted_ns[slot] = now_ns();
}

// Takes all completions that are there and puts a new write in the place of each. Result: how many
// are in flight less.
static unsigned replace_completed(struct writer *writer)
{
    struct io_uring_cqe *completion;
    unsigned finished = 0;
    while (io_uring_peek_cqe(&writer->ring, &completion) == 0) {
        unsigned slot = (unsigned)completion->user_data;
        if (completion->res != (int)writer->plan->bytes) {
            give_up("write", completion->res < 0 ? -completion->res : EIO);
        }
        io_uring_cqe_seen(&writer->ring, completion);
        uint64_t now = now_ns();
        if (writer->submitted_ns[slot] >= writer->measured_ns && now < writer->end_ns) {
            histogram_record(&writer->tally->histogram, now - writer->submitted_ns[slot]);
            writer->tally->writes++;
        }
        if (now < writer->end_ns) {
            add_single(writer, slot);
        } else {
            finished++;
        }
    }
    return finished;
}

static void write_singles(struct writer *writer)
{
    unsigned in_flight = (unsigned)writer->plan->depth;
    for (unsigned slot = 0; slot < in_flight; slot++) {
        add_single(writer, slot);
    }
    while (in_flight > 0) {
        int error = io_uring_submit_and_wait(&writer->ring, 1);
        if (error < 0) {
            give_up("submit", -error);
        }
        in_flight -= replace_completed(writer);
    }
}

struct context {
    struct shared *shared;
    unsigned number;
};

static int run_writer(void *argument, int ready_fd)
{
    const struct context *context = argument;
    struct shared *shared = context->shared;
    static struct writer writer;
    writer.plan = &shared->plan;
    writer.tally = &shared->tallies[context->number];
    prepare(&writer);
    process_say_ready(ready_fd);
    uint64_t start;
    while ((start = atomic_load_explicit(&shared->start_ns, memory_order_acquire)) == 0) {
        usleep(1000);
    }
    writer.measured_ns = start + WARM_UP_NS;
    writer.end_ns = writer.measured_ns + shared->plan.seconds * 1000000000;
    if (shared->plan.mode == MODE_DSYNC || shared->plan.mode == MODE_NONE) {
        write_singles(&writer);
    }
    while (now_ns() < writer.end_ns) {
        write_group(&writer);
    }
    return 0;
}

// Result: whether every writer got through.
static bool run_writers(struct shared *shared)
{
    struct process writers[WRITERS_MAX] = {0};
    struct context contexts[WRITERS_MAX];
    unsigned count = (unsigned)shared->plan.writers;
    bool good = true;
    for (unsigned i = 0; i < count; i++) {
        contexts[i] = (struct context){.shared = shared, .number = i};
        process_start(&writers[i], "writer", run_writer, &contexts[i]);
    }
    for (unsigned i = 0; i < count && good; i++) {
        good = process_await_ready(&writers[i], PREPARE_MS);
    }
    atomic_store_explicit(&shared->start_ns, now_ns(), memory_order_release);
    for (unsigned i = 0; i < count && good; i++) {
        good = process_await_end(&writers[i], (int)(1000 * shared->plan.seconds) + SETTLE_MS);
    }
    for (unsigned i = 0; i < count; i++) {
        process_kill(&writers[i]);
    }
    return good;
}

static void describe(struct result *result, const struct shared *shared,
                     const struct histogram *histogram, uint64_t writes)
{
    const struct plan *plan = &shared->plan;
    double per_second = (double)writes / (double)plan->seconds;
    result_add_text(result, "mode", mode_names[plan->mode]);
    result_add_count(result, "writers", plan->writers);
    result_add_count(result, "bytes", plan->bytes);
    result_add_count(result, "depth", plan->depth);
    result_add_real(result, "ops_s", per_second, 0);
    result_add_real(result, "mb_s", per_second * (double)plan->bytes / 1e6, 1);
    result_add_latency(result, histogram);
}

int main(int argc, char **argv)
{
    static struct histogram total;
    const char *json_path = NULL, *hdr_path = NULL;
    struct shared *shared = process_share(sizeof(*shared));
    struct plan *plan = &shared->plan;
    *plan = (struct plan){
        .directory = ".", .writers = 3, .bytes = 4096, .depth = 1, .seconds = 2, .file_mib = 256};
    const struct option_row rows[] = {
        {"directory", OPTION_TEXT, &plan->directory, 0, 0, NULL, "on the disk to measure"},
        {"writers", OPTION_NUMBER, &plan->writers, 1, WRITERS_MAX, NULL, "processes"},
        {"bytes", OPTION_NUMBER, &plan->bytes, 512, 16 << 20, NULL, "a write, multiple of 512"},
        {"depth", OPTION_NUMBER, &plan->depth, 1, DEPTH_MAX, NULL, "writes in flight, a group"},
        {"mode", OPTION_CHOICE, &plan->mode, 0, 0, mode_names, "how they become durable"},
        {"seconds", OPTION_NUMBER, &plan->seconds, 1, 600, NULL, "measured"},
        {"file-mib", OPTION_NUMBER, &plan->file_mib, 16, 65536, NULL, "each writer's file"},
        {"json", OPTION_TEXT, &json_path, 0, 0, NULL, "file for the result as JSON"},
        {"hdr", OPTION_TEXT, &hdr_path, 0, 0, NULL, "file for the HdrHistogram percentiles"},
    };
    options_parse(rows, sizeof(rows) / sizeof(rows[0]),
                  "durable writes by processes that do nothing else", argc, argv);
    if (plan->bytes % 512 != 0) {
        fprintf(stderr, "%s: --bytes must be a multiple of 512\n", argv[0]);
        return 2;
    }
    if (!run_writers(shared)) {
        return 1;
    }
    uint64_t writes = 0;
    histogram_init(&total);
    for (uint64_t i = 0; i < plan->writers; i++) {
        writes += shared->tallies[i].writes;
        histogram_merge(&total, &shared->tallies[i].histogram);
    }
    struct result result;
    result_init(&result, argc, argv);
    describe(&result, shared, &total, writes);
    return result_finish(&result, &total, json_path, hdr_path);
}
