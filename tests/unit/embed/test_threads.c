// Nodes with threads of their own, and requests from many others. Runs under ThreadSanitizer too.
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "tests/unit/embed/process.h"

enum { PROPOSERS = 4, PROPOSALS = 250, TOKENS = 400, EVENTS_CAPACITY = 64 };

static struct process process;

struct proposer {
    pthread_t thread;
    struct process_node *node;
    struct tally done;
    uint32_t accepted;
    uint32_t limit;    // proposals accepted at most
    uint32_t refused;  // after pontoon_stop
    bool can_see_stop; // runs until -ESHUTDOWN
};

// Every accepted proposal counts; a full mailbox is waited for.
static void *propose_many(void *argument)
{
    struct proposer *proposer = argument;
    while (proposer->accepted < proposer->limit) {
        uint64_t number = proposer->accepted;
        int error = pontoon_propose_mt(proposer->node->pontoon, 0, &number, sizeof(number),
                                       tally_done, &proposer->done);
        proposer->accepted += error == 0;
        if (error == -ESHUTDOWN && proposer->can_see_stop) {
            proposer->refused++;
            return NULL;
        }
        if (error != 0) {
            sched_yield();
        }
    }
    return NULL;
}

static void start_proposers(struct proposer *proposers, struct process_node *node, uint32_t limit,
                            bool can_see_stop)
{
    for (uint32_t at = 0; at < PROPOSERS; at++) {
        proposers[at] =
            (struct proposer){.node = node, .limit = limit, .can_see_stop = can_see_stop};
        CHECK_EQUAL(pthread_create(&proposers[at].thread, NULL, propose_many, &proposers[at]), 0);
    }
}

static void join_proposers(struct proposer *proposers)
{
    for (uint32_t at = 0; at < PROPOSERS; at++) {
        pthread_join(proposers[at].thread, NULL);
    }
}

static uint32_t sum_of(struct proposer *proposers, enum pontoon_status status)
{
    uint32_t sum = 0;
    for (uint32_t at = 0; at < PROPOSERS; at++) {
        sum += atomic_load(&proposers[at].done.by_status[status]);
    }
    return sum;
}

static uint32_t answered(struct proposer *proposers)
{
    uint32_t sum = 0;
    for (uint32_t at = 0; at < PROPOSERS; at++) {
        sum += atomic_load(&proposers[at].done.total);
    }
    return sum;
}

// Patient timeouts: sanitizers are slow, and this is not about elections.
static void open_threads(uint32_t count, uint32_t apply_workers)
{
    process_init(&process, count);
    for (uint32_t place = 0; place < count; place++) {
        struct pontoon_config *config = &process.nodes[place].config;
        config->apply_workers = apply_workers;
        config->election_timeout_min_ns = 500000000;
        config->election_timeout_max_ns = 1000000000;
        config->heartbeat_ns = 50000000;
    }
    process_open(&process);
    process_start(&process);
}

static void many_threads_propose_to_three_nodes(void)
{
    static struct proposer proposers[PROPOSERS];
    struct tally answers = {0};
    open_threads(3, 0);
    struct process_node *leader = process_leader(&process, 0);
    start_proposers(proposers, leader, PROPOSALS, false);
    join_proposers(proposers);
    WAIT_FOR(&process, answered(proposers) == PROPOSERS * PROPOSALS);
    CHECK_EQUAL(sum_of(proposers, PONTOON_DONE), PROPOSERS * PROPOSALS);
    CHECK_EQUAL(pontoon_read_mt(leader->pontoon, 0, "", 0, tally_answer, &answers), 0);
    WAIT_FOR(&process, atomic_load(&answers.total) == 1);
    CHECK_EQUAL(answers.state.count, PROPOSERS * PROPOSALS);
    CHECK_EQUAL(answers.state.sum, PROPOSERS * (PROPOSALS * (PROPOSALS - 1) / 2));
    process_wait_applied(&process, PROPOSERS * PROPOSALS + 1);
    process_close(&process);
}

static void apply_workers_of_their_own(void)
{
    static struct proposer proposers[PROPOSERS];
    open_threads(1, 2);
    struct process_node *leader = process_leader(&process, 0);
    CHECK_EQUAL(pontoon_start(leader->pontoon), -EALREADY);
    start_proposers(proposers, leader, PROPOSALS, false);
    join_proposers(proposers);
    WAIT_FOR(&process, answered(proposers) == PROPOSERS * PROPOSALS);
    CHECK_EQUAL(sum_of(proposers, PONTOON_DONE), PROPOSERS * PROPOSALS);
    process_close(&process);
}

// Some are answered by stop, the last ones by close: each exactly once.
static void stop_under_fire(void)
{
    static struct proposer proposers[PROPOSERS];
    uint32_t accepted = 0;
    open_threads(1, 0);
    struct process_node *leader = process_leader(&process, 0);
    start_proposers(proposers, leader, UINT32_MAX, true);
    WAIT_FOR(&process, answered(proposers) > 1000);
    CHECK_EQUAL(pontoon_stop(leader->pontoon, UINT64_C(5000000000)), 0);
    join_proposers(proposers);
    process_close(&process);
    for (uint32_t at = 0; at < PROPOSERS; at++) {
        accepted += proposers[at].accepted;
        CHECK_EQUAL(proposers[at].refused, 1);
        CHECK_EQUAL(atomic_load(&proposers[at].done.total), proposers[at].accepted);
    }
    CHECK_EQUAL(sum_of(proposers, PONTOON_DONE) + sum_of(proposers, PONTOON_BUSY) +
                    sum_of(proposers, PONTOON_NOT_LEADER),
                accepted);
}

struct asker {
    pthread_t thread;
    struct pontoon *pontoon;
    atomic_bool should_stop;
    atomic_uint asked, failed;
};

static void *ask_status(void *argument)
{
    struct asker *asker = argument;
    while (!atomic_load(&asker->should_stop)) {
        struct pontoon_group_status status = {.role = PONTOON_FOLLOWER};
        atomic_fetch_add(&asker->failed, pontoon_status_mt(asker->pontoon, 0, &status) != 0);
        atomic_fetch_add(&asker->asked, 1);
    }
    return NULL;
}

// The opener polls: the other thread must be answered by it, and never touch the reactor itself.
static void another_thread_asks_a_polled_node(void)
{
    struct asker asker = {.asked = 0};
    struct tally done = {0};
    process_init(&process, 1);
    process_open(&process);
    struct process_node *leader = process_leader(&process, 0);
    asker.pontoon = leader->pontoon;
    CHECK_EQUAL(pthread_create(&asker.thread, NULL, ask_status, &asker), 0);
    for (uint64_t number = 0; number < 200; number++) {
        CHECK_EQUAL(
            pontoon_propose_mt(leader->pontoon, 0, &number, sizeof(number), tally_done, &done), 0);
        WAIT_FOR(&process, atomic_load(&done.total) == number + 1);
    }
    WAIT_FOR(&process, atomic_load(&asker.asked) >= 10);
    atomic_store(&asker.should_stop, true);
    uint64_t until_ns = process_now_ns() + 20000000; // its last call is answered, too
    while (process_now_ns() < until_ns) {
        process_poll(&process);
    }
    pthread_join(asker.thread, NULL);
    CHECK_EQUAL(atomic_load(&asker.failed), 0);
    process_close(&process);
}

struct token_proposer {
    pthread_t thread;
    struct pontoon *pontoon;
    struct pontoon_events *events;
    uint64_t first;
};

static void *propose_tokens(void *argument)
{
    struct token_proposer *proposer = argument;
    for (uint64_t token = proposer->first; token < proposer->first + TOKENS;) {
        int error = pontoon_propose_event_mt(proposer->pontoon, 0, &token, sizeof(token),
                                             proposer->events, token);
        token += error == 0;
        if (error != 0) {
            usleep(50); // as many in flight as there is room for
        }
    }
    return NULL;
}

// Two proposers, one reader that sleeps in poll(2) until the descriptor says so: a lost signal
// would hang it.
static void a_reader_sleeps_on_the_descriptor(void)
{
    static bool seen[2 * TOKENS];
    struct token_proposer proposers[2];
    struct pontoon_event array[16];
    uint32_t taken = 0;
    struct pontoon_events *events;
    CHECK_EQUAL(pontoon_events_open(EVENTS_CAPACITY, &events), 0);
    open_threads(1, 0);
    struct process_node *leader = process_leader(&process, 0);
    for (uint32_t at = 0; at < 2; at++) {
        proposers[at] = (struct token_proposer){
            .pontoon = leader->pontoon, .events = events, .first = at * TOKENS};
        CHECK_EQUAL(pthread_create(&proposers[at].thread, NULL, propose_tokens, &proposers[at]), 0);
    }
    while (taken < 2 * TOKENS) {
        struct pollfd readable = {.fd = pontoon_events_fd(events), .events = POLLIN};
        CHECK_EQUAL(poll(&readable, 1, 5000), 1);
        uint32_t count = pontoon_events_take(events, array, 16);
        for (uint32_t at = 0; at < count; at++) {
            CHECK(array[at].token < 2 * TOKENS && !seen[array[at].token]);
            CHECK_EQUAL(array[at].result.status, PONTOON_DONE);
            seen[array[at].token] = true;
        }
        taken += count;
    }
    for (uint32_t at = 0; at < 2; at++) {
        pthread_join(proposers[at].thread, NULL);
    }
    process_close(&process);
    pontoon_events_close(events);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(many_threads_propose_to_three_nodes),
        TEST(apply_workers_of_their_own),
        TEST(stop_under_fire),
        TEST(another_thread_asks_a_polled_node),
        TEST(a_reader_sleeps_on_the_descriptor),
    };
    return test_run("embed threads", cases, TEST_COUNT(cases), argc, argv);
}
