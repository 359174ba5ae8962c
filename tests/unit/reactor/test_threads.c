// Threads of their own: one reactor, its apply workers, and producers that share the mailbox. For
// TSan, and for what the one-threaded world cannot show.
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "drivers/disk_memory/disk_memory.h"
#include "engine/reactor/reactor.h"
#include "tests/harness/harness.h"

enum { GROUPS = 3, WORKERS = 2, PRODUCERS = 3, REQUESTS = 4000, UNDER_WAY_MAX = 500 };

// Rings in RTS mode publish their tail with a 64-bit store and read it with a 32-bit load, which
// ThreadSanitizer does not take for a pair. What the rings carry stays watched.
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
    return "race_top:__rte_ring_\n";
}

// --- a state machine: the sum of what it was given ---

struct sum {
    struct app app; // first
    uint64_t total;
    atomic_flag is_entered; // two threads at once would be the engine's fault
};

static void apply(struct app *app, const struct app_entry *entries, uint32_t count,
                  uint32_t *results)
{
    struct sum *sum = (struct sum *)app;
    CHECK(!atomic_flag_test_and_set(&sum->is_entered));
    for (uint32_t at = 0; at < count; at++) {
        sum->total += *(const uint8_t *)entries[at].payload;
        results[at] = (uint32_t)sum->total;
    }
    atomic_flag_clear(&sum->is_entered);
}

static int32_t read_sum(struct app *app, const void *query, uint32_t bytes, void *answer,
                        uint32_t capacity)
{
    struct sum *sum = (struct sum *)app;
    CHECK(!atomic_flag_test_and_set(&sum->is_entered));
    memcpy(answer, &sum->total, sizeof(sum->total));
    atomic_flag_clear(&sum->is_entered);
    return sizeof(sum->total);
}

static uint64_t digest(struct app *app)
{
    return ((struct sum *)app)->total;
}

static void close_app(struct app *app)
{
    free(app);
}

static const struct app_ops sum_ops = {
    .name = "sum", .apply = apply, .read = read_sum, .digest = digest, .close = close_app};

static struct sum *sums[GROUPS];

static int open_sum(void *context, uint16_t group, struct app **app, char *reason,
                    size_t reason_bytes)
{
    struct sum *sum = sums[group] = calloc(1, sizeof(*sum));
    sum->app.ops = &sum_ops;
    *app = &sum->app;
    return 0;
}

// --- a network without anybody ---

static uint32_t no_frames(struct net *net, struct net_frame *frames, uint32_t count)
{
    return 0;
}

static uint32_t no_buffers(struct net *net, uint16_t link, enum net_use use,
                           struct net_frame *frames, uint32_t count)
{
    return 0;
}

static void no_poll(struct net *net, uint64_t now_ns)
{
}

static const struct net_ops no_net_ops = {
    .receive = no_frames, .acquire = no_buffers, .send = no_frames, .poll = no_poll};

static uint64_t now(struct clock *clock)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

// --- threads ---

static struct reactor *reactor;
static atomic_bool should_stop;

static void *run_reactor(void *argument)
{
    while (!atomic_load(&should_stop)) {
        if (!reactor_poll(reactor, NULL)) {
            sched_yield();
        }
    }
    return NULL;
}

static void *run_worker(void *argument)
{
    uint32_t worker = *(uint32_t *)argument;
    while (!atomic_load(&should_stop)) {
        if (!reactor_apply_poll(reactor, worker)) {
            sched_yield();
        }
    }
    return NULL;
}

struct producer {
    pthread_t thread;
    atomic_uint done, busy, read, read_failed, called;
    uint64_t added[GROUPS]; // by requests posted
};

static void on_done(void *context, reactor_user *user, const struct reactor_reply *reply)
{
    struct producer *producer = context;
    atomic_fetch_add(reply->status == WIRE_DONE ? &producer->done : &producer->busy, 1);
}

static void on_read(void *context, reactor_user *user, const struct reactor_reply *reply)
{
    struct producer *producer = context;
    atomic_fetch_add(reply->status == WIRE_DONE ? &producer->read : &producer->read_failed, 1);
}

static void on_call(struct reactor *of, void *context)
{
    struct reactor_group_status status;
    CHECK_EQUAL(reactor_group_status(of, 0, true, &status), 0);
    atomic_fetch_add(&((struct producer *)context)->called, 1);
}

static uint32_t answered(struct producer *producer)
{
    return atomic_load(&producer->done) + atomic_load(&producer->busy) +
           atomic_load(&producer->read) + atomic_load(&producer->read_failed);
}

static void post(struct producer *producer, uint32_t number)
{
    static const uint8_t large[3 * MAILBOX_INLINE_BYTES] = {1};
    uint16_t group = (uint16_t)(number % GROUPS);
    uint8_t add = (uint8_t)(number % 7);
    int error;
    do {
        if (number % 5 == 0) {
            error = reactor_read_mt(reactor, group, &add, 1, on_read, NULL, producer);
        } else if (number % 11 == 0) {
            add = 1;
            error =
                reactor_propose_mt(reactor, group, large, sizeof(large), on_done, NULL, producer);
        } else {
            error = reactor_propose_mt(reactor, group, &add, 1, on_done, NULL, producer);
        }
        if (error != 0) {
            sched_yield();
        }
    } while (error == -EAGAIN);
    producer->added[group] += number % 5 == 0 ? 0 : add;
    if (number % 500 == 0) {
        reactor_call_mt(reactor, on_call, producer);
    }
}

static void *run_producer(void *argument)
{
    struct producer *producer = argument;
    for (uint32_t number = 0; number < REQUESTS; number++) {
        while (number - answered(producer) >= UNDER_WAY_MAX) {
            sched_yield();
        }
        post(producer, number);
    }
    while (answered(producer) < REQUESTS) {
        sched_yield();
    }
    return NULL;
}

static struct reactor_config make_config(struct disk *disk, struct clock *clock, struct net *net,
                                         void *arena)
{
    return (struct reactor_config){.cluster = 1,
                                   .node = 1,
                                   .nodes = {1},
                                   .node_count = 1,
                                   .reactors = 1,
                                   .groups_total = GROUPS,
                                   .election_timeout_min_ns = 20000000,
                                   .election_timeout_max_ns = 40000000,
                                   .heartbeat_ns = 5000000,
                                   .log_entries = 4096,
                                   .window_entries = 256,
                                   .window_bytes = 1 << 20,
                                   .session_pages = 4,
                                   .sessions_max = 4,
                                   .app_bytes_max = 1 << 20,
                                   .apply_workers = WORKERS,
                                   .wal = {.log_bytes = 32 << 20,
                                           .segment_bytes = 4 << 20,
                                           .batch_bytes_max = 1 << 20,
                                           .in_flight_max = 4,
                                           .is_volatile = true,
                                           .bootstrap = true,
                                           .arena = arena},
                                   .net = net,
                                   .disk = disk,
                                   .clock = clock,
                                   .app_open = open_sum};
}

static void await_leaders(void)
{
    for (uint16_t group = 0; group < GROUPS;) {
        struct reactor_group_status status;
        reactor_poll(reactor, NULL);
        for (uint32_t worker = 0; worker < WORKERS; worker++) {
            reactor_apply_poll(reactor, worker);
        }
        reactor_group_status(reactor, group, false, &status);
        group = (uint16_t)(group + (status.raft.role == RAFT_LEADER && status.raft.applied > 0));
    }
}

static void check_sums(const struct producer *producers)
{
    for (uint16_t group = 0; group < GROUPS; group++) {
        uint64_t expected = 0;
        struct reactor_group_status status;
        for (uint32_t at = 0; at < PRODUCERS; at++) {
            expected += producers[at].added[group];
        }
        reactor_group_status(reactor, group, false, &status);
        CHECK_EQUAL(status.raft.applied, status.raft.last);
        CHECK_EQUAL(sums[group]->total, expected);
    }
}

static void producers_workers_and_reactor(void)
{
    static const struct disk_memory_options disk_options = {.seed = 1};
    static struct producer producers[PRODUCERS];
    struct net net = {.ops = &no_net_ops};
    struct clock clock = {.now_ns = now};
    struct disk *disk;
    char reason[256];
    CHECK_EQUAL(disk_memory_open(&disk, &disk_options), 0);
    void *arena = aligned_alloc(4096, 32 << 20);
    const struct reactor_config config = make_config(disk, &clock, &net, arena);
    CHECK_EQUAL(reactor_open(&config, &reactor, reason, sizeof(reason)), 0);
    await_leaders();
    pthread_t thread, workers[WORKERS];
    uint32_t numbers[WORKERS];
    for (uint32_t worker = 0; worker < WORKERS; worker++) {
        numbers[worker] = worker;
        pthread_create(&workers[worker], NULL, run_worker, &numbers[worker]);
    }
    pthread_create(&thread, NULL, run_reactor, NULL);
    for (uint32_t at = 0; at < PRODUCERS; at++) {
        pthread_create(&producers[at].thread, NULL, run_producer, &producers[at]);
    }
    for (uint32_t at = 0; at < PRODUCERS; at++) {
        pthread_join(producers[at].thread, NULL);
    }
    atomic_store(&should_stop, true);
    pthread_join(thread, NULL);
    for (uint32_t worker = 0; worker < WORKERS; worker++) {
        pthread_join(workers[worker], NULL);
    }
    for (uint32_t at = 0; at < PRODUCERS; at++) {
        CHECK_EQUAL(atomic_load(&producers[at].busy), 0);
        CHECK_EQUAL(atomic_load(&producers[at].read_failed), 0);
        CHECK(atomic_load(&producers[at].called) > 0);
    }
    check_sums(producers);
    reactor_close(reactor);
    disk->ops->close(disk);
    free(arena);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(producers_workers_and_reactor)};
    return test_run("reactor threads", cases, TEST_COUNT(cases), argc, argv);
}
