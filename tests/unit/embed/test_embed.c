// A node inside somebody's process, polled from the caller's own loop: no thread of ours runs.
#include <errno.h>
#include <string.h>

#include "tests/unit/embed/process.h"

enum { MAILBOX_SLOTS_AT_MOST = 1 << 16 };

static int propose(struct process_node *node, uint64_t number, struct tally *tally)
{
    return pontoon_propose_mt(node->pontoon, 0, &number, sizeof(number), tally_done, tally);
}

static void one_node_answers_and_reads(void)
{
    static struct process process;
    struct tally done = {0}, answers = {0};
    process_init(&process, 1);
    process_open(&process);
    struct process_node *leader = process_leader(&process, 0);
    CHECK_EQUAL(atomic_load(&leader->roles[PONTOON_LEADER]), 1);
    for (uint64_t number = 1; number <= 100; number++) {
        CHECK_EQUAL(propose(leader, number, &done), 0);
    }
    WAIT_FOR(&process, atomic_load(&done.total) == 100);
    CHECK_EQUAL(atomic_load(&done.by_status[PONTOON_DONE]), 100);
    CHECK_EQUAL(atomic_load(&done.last_value), 100);
    CHECK_EQUAL(pontoon_read_mt(leader->pontoon, 0, "", 0, tally_answer, &answers), 0);
    WAIT_FOR(&process, atomic_load(&answers.total) == 1);
    CHECK_EQUAL(answers.state.count, 100);
    CHECK_EQUAL(answers.state.sum, 5050);
    process_close(&process);
}

static void three_nodes_agree_on_the_state(void)
{
    static struct process process;
    struct tally done = {0};
    process_init(&process, 3);
    process_open(&process);
    struct process_node *leader = process_leader(&process, 0);
    for (uint64_t number = 1; number <= 1000; number++) {
        CHECK_EQUAL(propose(leader, number, &done), 0);
    }
    WAIT_FOR(&process, atomic_load(&done.total) == 1000);
    CHECK_EQUAL(atomic_load(&done.by_status[PONTOON_DONE]), 1000);
    process_wait_applied(&process, 1001); // and the leader's no-op
    process_close(&process);
}

static void a_follower_refuses_and_names_the_leader(void)
{
    static struct process process;
    struct tally done = {0}, answers = {0};
    process_init(&process, 3);
    process_open(&process);
    struct process_node *leader = process_leader(&process, 0);
    struct process_node *follower =
        leader == &process.nodes[0] ? &process.nodes[1] : &process.nodes[0];
    CHECK_EQUAL(propose(follower, 1, &done), 0);
    CHECK_EQUAL(pontoon_read_mt(follower->pontoon, 0, "", 0, tally_answer, &answers), 0);
    WAIT_FOR(&process, atomic_load(&done.total) == 1 && atomic_load(&answers.total) == 1);
    CHECK_EQUAL(atomic_load(&done.by_status[PONTOON_NOT_LEADER]), 1);
    CHECK_EQUAL(atomic_load(&answers.by_status[PONTOON_NOT_LEADER]), 1);
    struct pontoon_group_status status;
    CHECK_EQUAL(pontoon_status_mt(follower->pontoon, 0, &status), 0);
    CHECK_EQUAL(status.leader, leader->config.node);
    CHECK_EQUAL(status.role, PONTOON_FOLLOWER);
    process_close(&process);
}

static void another_node_takes_over(void)
{
    static struct process process;
    struct tally done = {0};
    process_init(&process, 3);
    process_open(&process);
    struct process_node *leader = process_leader(&process, 0);
    CHECK_EQUAL(propose(leader, 7, &done), 0);
    WAIT_FOR(&process, atomic_load(&done.total) == 1);
    process_close_node(&process, (uint32_t)(leader - process.nodes));
    struct process_node *next = process_leader(&process, 0);
    CHECK(next != leader);
    CHECK_EQUAL(propose(next, 8, &done), 0);
    WAIT_FOR(&process, atomic_load(&done.total) == 2);
    CHECK_EQUAL(atomic_load(&done.by_status[PONTOON_DONE]), 2);
    CHECK_EQUAL(atomic_load(&done.last_value), 2); // it had applied the first one too
    process_close(&process);
}

static void what_cannot_be_a_request_is_refused_at_once(void)
{
    static struct process process;
    static uint8_t large[PONTOON_PAYLOAD_BYTES_MAX + 1];
    struct tally done = {0};
    process_init(&process, 1);
    process_open(&process);
    struct pontoon *node = process_leader(&process, 0)->pontoon;
    struct pontoon_group_status status;
    CHECK_EQUAL(pontoon_propose_mt(node, 1, "", 0, tally_done, &done), -EINVAL);
    CHECK_EQUAL(pontoon_propose_mt(node, 0, large, sizeof(large), tally_done, &done), -EINVAL);
    CHECK_EQUAL(pontoon_propose_mt(node, 0, "", 0, NULL, &done), -EINVAL);
    CHECK_EQUAL(pontoon_read_mt(node, 0, large, PONTOON_QUERY_BYTES_MAX + 1, tally_answer, &done),
                -EINVAL);
    CHECK_EQUAL(pontoon_read_mt(node, 1, "", 0, tally_answer, &done), -EINVAL);
    CHECK_EQUAL(pontoon_status_mt(node, 1, &status), -EINVAL);
    CHECK_EQUAL(pontoon_propose_mt(node, 0, NULL, 0, tally_done, &done), 0);
    CHECK_EQUAL(pontoon_propose_mt(node, 0, large, sizeof(large) - 1, tally_done, &done), 0);
    WAIT_FOR(&process, atomic_load(&done.total) == 2);
    CHECK_EQUAL(atomic_load(&done.by_status[PONTOON_DONE]), 2);
    CHECK_EQUAL(atomic_load(&done.last_value), SUM_REFUSED);
    process_close(&process);
}

static void a_full_mailbox_says_again(void)
{
    static struct process process;
    struct tally done = {0};
    uint32_t accepted = 0;
    int error = 0;
    process_init(&process, 1);
    process_open(&process);
    struct process_node *leader = process_leader(&process, 0);
    while (error == 0 && accepted < MAILBOX_SLOTS_AT_MOST) {
        error = propose(leader, accepted, &done);
        accepted += error == 0;
    }
    CHECK_EQUAL(error, -EAGAIN);
    CHECK(accepted >= 1024);
    CHECK_EQUAL(atomic_load(&done.total), 0);
    WAIT_FOR(&process, atomic_load(&done.total) == accepted);
    CHECK_EQUAL(propose(leader, 1, &done), 0);
    WAIT_FOR(&process, atomic_load(&done.total) == accepted + 1);
    process_close(&process);
    CHECK_EQUAL(atomic_load(&done.total), accepted + 1);
}

static void stop_answers_what_was_accepted(void)
{
    static struct process process;
    struct tally done = {0};
    process_init(&process, 1);
    process_open(&process);
    struct process_node *leader = process_leader(&process, 0);
    for (uint64_t number = 0; number < 500; number++) {
        CHECK_EQUAL(propose(leader, number, &done), 0);
    }
    pontoon_poll(leader->pontoon); // some are entries now, others still lie in the mailbox
    CHECK_EQUAL(pontoon_stop(leader->pontoon, UINT64_C(3000000000)), 0);
    CHECK_EQUAL(atomic_load(&done.total), 500);
    CHECK_EQUAL(atomic_load(&done.by_status[PONTOON_DONE]) +
                    atomic_load(&done.by_status[PONTOON_NOT_LEADER]),
                500);
    CHECK(atomic_load(&done.by_status[PONTOON_DONE]) > 0);
    CHECK_EQUAL(propose(leader, 1, &done), -ESHUTDOWN);
    CHECK_EQUAL(pontoon_read_mt(leader->pontoon, 0, "", 0, tally_answer, &done), -ESHUTDOWN);
    CHECK_EQUAL(pontoon_start(leader->pontoon), -ESHUTDOWN);
    process_close(&process);
    CHECK_EQUAL(atomic_load(&done.total), 500);
}

// A leader cut off from its followers accepts, and can never tell how it went.
static void stop_without_a_majority_says_unknown(void)
{
    static struct process process;
    struct tally done = {0};
    process_init(&process, 3);
    process_open(&process);
    struct process_node *leader = process_leader(&process, 0);
    for (uint64_t number = 0; number < 10; number++) {
        CHECK_EQUAL(propose(leader, number, &done), 0);
    }
    pontoon_poll(leader->pontoon);
    CHECK_EQUAL(pontoon_stop(leader->pontoon, UINT64_C(3000000000)), 0);
    CHECK_EQUAL(atomic_load(&done.total), 10);
    CHECK_EQUAL(atomic_load(&done.by_status[PONTOON_UNKNOWN]), 10);
    process_close(&process);
}

static void close_answers_what_stop_left(void)
{
    static struct process process;
    struct tally done = {0}, answers = {0};
    process_init(&process, 3);
    process_open(&process);
    struct process_node *leader = process_leader(&process, 0);
    CHECK_EQUAL(propose(leader, 1, &done), 0);
    CHECK_EQUAL(pontoon_read_mt(leader->pontoon, 0, "", 0, tally_answer, &answers), 0);
    pontoon_poll(leader->pontoon);
    CHECK_EQUAL(pontoon_stop(leader->pontoon, 0), -ETIMEDOUT);
    CHECK_EQUAL(atomic_load(&done.total), 0);
    pontoon_close(leader->pontoon);
    leader->pontoon = NULL;
    CHECK_EQUAL(atomic_load(&done.total), 1);
    CHECK_EQUAL(atomic_load(&done.by_status[PONTOON_UNKNOWN]), 1);
    CHECK_EQUAL(atomic_load(&answers.total), 1);
    process_close(&process);
}

static void groups_and_reactors_of_one_node(void)
{
    static struct process process;
    struct tally done = {0};
    process_init(&process, 1);
    process.nodes[0].config.groups = 5;
    process.nodes[0].config.reactors = 2;
    process.nodes[0].config.log_mib = 32;
    process.nodes[0].config.apply_workers = 1;
    process_open(&process);
    CHECK_EQUAL(atomic_load(&process.nodes[0].apps), 5);
    for (uint16_t group = 0; group < 5; group++) {
        uint64_t number = group;
        process_leader(&process, group);
        CHECK_EQUAL(pontoon_propose_mt(process.nodes[0].pontoon, group, &number, sizeof(number),
                                       tally_done, &done),
                    0);
    }
    WAIT_FOR(&process, atomic_load(&done.total) == 5);
    CHECK_EQUAL(atomic_load(&done.by_status[PONTOON_DONE]), 5);
    CHECK_EQUAL(atomic_load(&done.last_value), 1);
    process_close(&process);
}

struct chain {
    struct process_node *node;
    struct pontoon_group_status status;
    struct tally done;
};

static void on_first_done(void *context, const struct pontoon_result *result)
{
    struct chain *chain = context;
    pontoon_status_mt(chain->node->pontoon, 0, &chain->status);
    propose(chain->node, result->value, &chain->done);
}

static void a_callback_may_propose_and_ask(void)
{
    static struct process process;
    struct chain chain = {.node = NULL};
    uint64_t number = 3;
    process_init(&process, 1);
    process_open(&process);
    chain.node = process_leader(&process, 0);
    CHECK_EQUAL(
        pontoon_propose_mt(chain.node->pontoon, 0, &number, sizeof(number), on_first_done, &chain),
        0);
    WAIT_FOR(&process, atomic_load(&chain.done.total) == 1);
    CHECK_EQUAL(atomic_load(&chain.done.last_value), 2);
    CHECK_EQUAL(chain.status.role, PONTOON_LEADER);
    process_close(&process);
}

static void a_durable_node_comes_back_with_its_state(void)
{
    static struct process process;
    struct tally done = {0}, answers = {0};
    process_init(&process, 1);
    process.nodes[0].config.durability = PONTOON_FSYNC;
    process_open(&process);
    struct process_node *node = process_leader(&process, 0);
    for (uint64_t number = 1; number <= 10; number++) {
        CHECK_EQUAL(propose(node, number, &done), 0);
    }
    WAIT_FOR(&process, atomic_load(&done.by_status[PONTOON_DONE]) == 10);
    process_close_node(&process, 0);
    process_open_node(&process, 0);
    node = process_leader(&process, 0);
    CHECK_EQUAL(pontoon_read_mt(node->pontoon, 0, "", 0, tally_answer, &answers), 0);
    WAIT_FOR(&process, atomic_load(&answers.total) == 1);
    CHECK_EQUAL(answers.state.sum, 55);
    process_close(&process);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(one_node_answers_and_reads),
        TEST(three_nodes_agree_on_the_state),
        TEST(a_follower_refuses_and_names_the_leader),
        TEST(another_node_takes_over),
        TEST(what_cannot_be_a_request_is_refused_at_once),
        TEST(a_full_mailbox_says_again),
        TEST(stop_answers_what_was_accepted),
        TEST(stop_without_a_majority_says_unknown),
        TEST(close_answers_what_stop_left),
        TEST(groups_and_reactors_of_one_node),
        TEST(a_callback_may_propose_and_ask),
        TEST(a_durable_node_comes_back_with_its_state),
    };
    return test_run("embed", cases, TEST_COUNT(cases), argc, argv);
}
