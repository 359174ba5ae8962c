// Completions by eventfd: bounded, exactly one a proposal, one signal a burst.
#include <errno.h>
#include <poll.h>

#include "tests/unit/embed/process.h"

enum { CAPACITY = 100 };

static struct process process;
static struct pontoon_events *events;
static struct process_node *leader;

static void open_one_node(void)
{
    CHECK_EQUAL(pontoon_events_open(CAPACITY, &events), 0);
    process_init(&process, 1);
    process_open(&process);
    leader = process_leader(&process, 0);
}

static void close_all(void)
{
    process_close(&process);
    pontoon_events_close(events);
}

static int propose(uint64_t number)
{
    return pontoon_propose_event_mt(leader->pontoon, 0, &number, sizeof(number), events, number);
}

static bool is_readable(void)
{
    struct pollfd descriptor = {.fd = pontoon_events_fd(events), .events = POLLIN};
    return poll(&descriptor, 1, 0) == 1;
}

static uint64_t applied(void)
{
    struct pontoon_group_status status;
    CHECK_EQUAL(pontoon_status_mt(leader->pontoon, 0, &status), 0);
    return status.applied;
}

static void a_capacity_must_make_sense(void)
{
    CHECK_EQUAL(pontoon_events_open(0, &events), -EINVAL);
    CHECK_EQUAL(pontoon_events_open((1 << 20) + 1, &events), -EINVAL);
    CHECK_EQUAL(pontoon_events_open(1, &events), 0);
    pontoon_events_close(events);
}

static void every_token_comes_back_once(void)
{
    struct pontoon_event array[CAPACITY];
    bool seen[CAPACITY] = {false};
    open_one_node();
    CHECK(!is_readable());
    CHECK_EQUAL(pontoon_events_take(events, array, CAPACITY), 0);
    for (uint64_t number = 0; number < CAPACITY; number++) {
        CHECK_EQUAL(propose(number), 0);
    }
    CHECK(!is_readable());
    uint64_t before = applied();
    WAIT_FOR(&process, applied() == before + CAPACITY);
    CHECK(is_readable());
    CHECK_EQUAL(pontoon_events_take(events, array, CAPACITY), CAPACITY);
    for (uint32_t at = 0; at < CAPACITY; at++) {
        CHECK_EQUAL(array[at].result.status, PONTOON_DONE);
        CHECK(array[at].token < CAPACITY && !seen[array[at].token]);
        seen[array[at].token] = true;
        CHECK_EQUAL(array[at].result.value, array[at].token + 1); // one thread: in order
    }
    CHECK(!is_readable());
    close_all();
}

static void too_many_in_flight_are_refused(void)
{
    struct pontoon_event event;
    open_one_node();
    for (uint64_t number = 0; number < CAPACITY; number++) {
        CHECK_EQUAL(propose(number), 0);
    }
    CHECK_EQUAL(propose(1), -EAGAIN);
    WAIT_FOR(&process, is_readable());
    CHECK_EQUAL(propose(1), -EAGAIN); // completed is not taken
    CHECK_EQUAL(pontoon_events_take(events, &event, 1), 1);
    CHECK_EQUAL(propose(1), 0);
    CHECK_EQUAL(propose(1), -EAGAIN);
    close_all();
}

static void what_is_left_keeps_the_descriptor_readable(void)
{
    struct pontoon_event array[10];
    open_one_node();
    uint64_t before = applied();
    for (uint64_t number = 0; number < 25; number++) {
        CHECK_EQUAL(propose(number), 0);
    }
    WAIT_FOR(&process, applied() == before + 25);
    CHECK_EQUAL(pontoon_events_take(events, array, 10), 10);
    CHECK(is_readable());
    CHECK_EQUAL(pontoon_events_take(events, array, 10), 10);
    CHECK(is_readable());
    CHECK_EQUAL(pontoon_events_take(events, array, 10), 5);
    CHECK(!is_readable());
    close_all();
}

static void a_refused_proposal_leaves_its_place(void)
{
    open_one_node();
    for (uint32_t round = 0; round < 3 * CAPACITY; round++) {
        CHECK_EQUAL(pontoon_propose_event_mt(leader->pontoon, 1, "", 0, events, 0), -EINVAL);
    }
    CHECK_EQUAL(propose(1), 0);
    close_all();
}

static void closing_the_node_completes_everything(void)
{
    struct pontoon_event array[CAPACITY];
    open_one_node();
    for (uint64_t number = 0; number < 20; number++) {
        CHECK_EQUAL(propose(number), 0);
    }
    process_close(&process);
    CHECK(is_readable());
    CHECK_EQUAL(pontoon_events_take(events, array, CAPACITY), 20);
    pontoon_events_close(events);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(a_capacity_must_make_sense),          TEST(every_token_comes_back_once),
        TEST(too_many_in_flight_are_refused),      TEST(what_is_left_keeps_the_descriptor_readable),
        TEST(a_refused_proposal_leaves_its_place), TEST(closing_the_node_completes_everything),
    };
    return test_run("embed events", cases, TEST_COUNT(cases), argc, argv);
}
