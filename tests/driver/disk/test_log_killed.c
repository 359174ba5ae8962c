// The log on a real directory, written by a process that is killed with SIGKILL in the middle,
// again and again: what it had reported durable is there.
#include "drivers/disk_uring/disk_uring.h"
#include "engine/core/entry_crc.h"
#include "engine/wal/wal.h"
#include "tests/harness/harness.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    KILLS = 6,
    LIFE_MS = 30,
    START_MS_MAX = 60000,
    LOG_BYTES = 16 << 20,
    SEGMENT_BYTES = 4 << 20,
    EVENTS_MAX = 64,
    WINDOW = 1 << 16, // of entries known by index
    KEPT = 3000,      // newest entries that are not given up
};

struct shared {
    _Atomic uint64_t
        durable; // all indexes up to here were reported; read by the parent after the child's death
    _Atomic uint64_t tail_index; // first index whose place was not given up
    _Atomic bool has_failed;
};

struct log {
    struct disk *disk;
    struct wal *wal;
    void *memory, *arena;
    struct wal_recovery recovery;
    uint64_t first, last; // indexes found
    bool has_gap;
    char reason[256];
};

static struct shared *shared;
static uint64_t bodies[WINDOW]; // by index

static struct raft_entry_head entry(uint64_t index, uint8_t payload[512])
{
    struct raft_entry_head head = {
        .client = 1, .sequence = index, .bytes = (uint32_t)(index * 7 % 512), .kind = 2};
    memset(payload, (int)(index % 251), 512);
    head.crc = raft_entry_crc(&head, payload);
    return head;
}

static void visit(void *context, const struct wal_record *record)
{
    struct log *log = context;
    uint8_t payload[512];
    struct raft_entry_head head = entry(record->id.index, payload);
    log->has_gap |= log->last != 0 && record->id.index != log->last + 1;
    log->has_gap |= head.crc != record->head.crc;
    log->first = log->first == 0 ? record->id.index : log->first;
    log->last = record->id.index;
    bodies[record->id.index % WINDOW] = record->body;
}

static int open_log(struct log *log, bool bootstrap)
{
    *log = (struct log){.arena = aligned_alloc(4096, LOG_BYTES)};
    int error = disk_uring_open(&log->disk, test_directory(), 32, log->reason, sizeof(log->reason));
    if (error != 0) {
        return error;
    }
    struct wal_config config = {.cluster = 1,
                                .node = 1,
                                .groups_max = 4,
                                .log_bytes = LOG_BYTES,
                                .segment_bytes = SEGMENT_BYTES,
                                .batch_bytes_max = 1 << 16,
                                .in_flight_max = 8,
                                .durable_mark_delay_ns = 1000000,
                                .nonce = 4711,
                                .bootstrap = bootstrap,
                                .arena = log->arena,
                                .disk = log->disk};
    log->memory = malloc(wal_memory_bytes(&config));
    return wal_open(&log->wal, log->memory, &config, visit, log, NULL, &log->recovery, log->reason,
                    sizeof(log->reason));
}

static void close_log(struct log *log)
{
    wal_close(log->wal);
    log->disk->ops->close(log->disk);
    free(log->memory);
    free(log->arena);
}

// Out of order completions: the floor of what was reported.
static void take_events(struct log *log, uint8_t *reported, uint64_t *durable)
{
    struct wal_event events[EVENTS_MAX];
    uint32_t count = wal_poll(log->wal, events, EVENTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        shared->has_failed |= events[i].kind != WAL_EVENT_ENTRIES;
        for (uint64_t index = events[i].range.first; index <= events[i].range.last; index++) {
            reported[index % WINDOW] = 1;
        }
    }
    while (reported[(*durable + 1) % WINDOW] != 0) {
        reported[++*durable % WINDOW] = 0;
    }
    atomic_store(&shared->durable, *durable);
}

static void write_for_ever(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    static uint8_t reported[WINDOW];
    struct log log;
    uint8_t payload[512];
    if (open_log(&log, false) != 0) {
        shared->has_failed = true;
        _exit(1);
    }
    uint64_t index = log.last, durable = log.last, tail_index = atomic_load(&shared->tail_index);
    for (uint64_t turn = 0;; turn++) {
        for (uint64_t burst = turn % 9; burst > 0 && index - durable < WINDOW / 2; burst--) {
            struct raft_entry_head head = entry(index + 1, payload);
            if (!wal_has_room(log.wal, 1, head.bytes)) {
                break;
            }
            index++;
            bodies[index % WINDOW] = wal_append(log.wal, 1, 1, (struct raft_entry_id){1, index},
                                                index == 1 ? 0 : 1, &head, payload);
        }
        wal_submit(log.wal, turn * 1000);
        take_events(&log, reported, &durable);
        if (durable > tail_index + KEPT) {
            tail_index = durable - KEPT;
            atomic_store(&shared->tail_index, tail_index); // told before it is done
            wal_advance_tail(log.wal, bodies[tail_index % WINDOW]);
        }
        sched_yield();
    }
}

// Until the child has reported something, and a little longer.
static void wait_for_progress(void)
{
    uint64_t before = atomic_load(&shared->durable);
    for (int ms = 0; atomic_load(&shared->durable) <= before && !shared->has_failed; ms++) {
        CHECK(ms < START_MS_MAX);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    nanosleep(&(struct timespec){.tv_nsec = LIFE_MS * 1000000L}, NULL);
}

static void reported_entries_survive_kill(void)
{
    struct log log;
    int error = open_log(&log, true);
    if (error == -EOPNOTSUPP) {
        printf("    %s\n", log.reason);
        return;
    }
    CHECK_EQUAL(error, 0);
    close_log(&log);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    for (int kills = 0; kills < KILLS; kills++) {
        pid_t child = fork();
        if (child == 0) {
            write_for_ever();
        }
        wait_for_progress();
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        CHECK(!shared->has_failed);
        CHECK_EQUAL(open_log(&log, false), 0);
        CHECK(log.recovery.verdict != WAL_FAULTY);
        CHECK(!log.has_gap || log.recovery.verdict == WAL_TORN);
        CHECK(log.last >= atomic_load(&shared->durable));
        CHECK(log.first <= atomic_load(&shared->tail_index) || log.first <= 1);
        close_log(&log);
    }
    CHECK(atomic_load(&shared->durable) > KILLS);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(reported_entries_survive_kill)};
    return test_run("log killed", cases, TEST_COUNT(cases), argc, argv);
}
