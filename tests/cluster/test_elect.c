// Elections and roles of real processes: the first leader, the next one, a leader that was stopped.
#include <signal.h>
#include <string.h>

#include "tests/cluster/bed.h"
#include "tests/cluster/program.h"

static void elect_over(const char *link, const char *durability)
{
    struct bed_view view;
    if (!bed_open(link, durability)) {
        return;
    }
    int leader = bed_await_leader(BED_ALL);
    bed_await_equal(BED_ALL, 1); // the leader's no-op is applied everywhere
    CHECK(bed_look(leader, &view));
    CHECK(view.term > 0 && view.commit > 0 && view.intact && !view.halted && !view.failed);
    bed_close();
}

static void over_memif_one_leads(void)
{
    elect_over("memif", "memory");
}

static void over_udp_one_leads(void)
{
    elect_over("udp", "fsync");
}

static void over_af_packet_one_leads(void)
{
    elect_over("af_packet", "fsync");
}

// What an operator sees: every node answers, exactly one leads, the exit status says all is well.
static void status_shows_the_cluster(void)
{
    if (!bed_open("memif", "fsync")) {
        return;
    }
    bed_await_equal(BED_ALL, 1);
    struct program_result result =
        program_run("pontoon", "status", "--json", "--digest", "--config", bed.config);
    CHECK_EQUAL(result.status, 0);
    CHECK_TEXT(result.err, "");
    char id[12] = "1";
    result = program_run("pontoon", "status", "--config", bed.config, "--id", id);
    CHECK_EQUAL(result.status, 0);
    CHECK(strstr(result.out, "node 1: fsync, order strict, app kv") == result.out);
    bed_kill(2);
    result = program_run("pontoon", "status", "--config", bed.config);
    CHECK_EQUAL(result.status, 6); // two of three answered
    CHECK(strstr(result.out, "node 2: no answer") != NULL);
    bed_close();
}

static unsigned all_but(int id)
{
    return BED_ALL & ~(1u << id);
}

static void killed_leader_is_replaced_and_comes_back(void)
{
    struct bed_view view;
    if (!bed_open("memif", "fsync")) {
        return;
    }
    for (int round = 0; round < 2; round++) {
        int old = bed_await_leader(BED_ALL);
        CHECK(bed_look(old, &view));
        uint64_t term = view.term, boot = view.boot;
        bed_kill(old);
        int next = bed_await_leader(all_but(old));
        CHECK(next != old);
        CHECK(bed_look(next, &view));
        CHECK(view.term > term);
        bed_start(old);
        bed_await_equal(BED_ALL, view.commit);
        CHECK(bed_look(old, &view));
        CHECK_EQUAL(view.boot, boot + 1);
    }
    bed_close();
}

// A leader that does not run for a while (P2, P3 of the fault list) is replaced; when it runs again
// it learns so and follows.
static void stopped_leader_steps_down(void)
{
    struct bed_view view;
    if (!bed_open("udp", "fsync")) {
        return;
    }
    int old = bed_await_leader(BED_ALL);
    CHECK(bed_look(old, &view));
    uint64_t term = view.term;
    cluster_signal_node(&bed, old, SIGSTOP);
    int next = bed_await_leader(all_but(old));
    CHECK(bed_look(next, &view));
    CHECK(view.term > term);
    term = view.term;
    cluster_signal_node(&bed, old, SIGCONT);
    WAIT_UNTIL(bed_look(old, &view) && view.term >= term && !view.is_leader && view.leader != 0 &&
               view.leader != old);
    bed_await_equal(BED_ALL, 2);
    bed_close();
}

static void stopped_follower_catches_up(void)
{
    struct bed_view view;
    if (!bed_open("memif", "memory")) {
        return;
    }
    int leader = bed_await_leader(BED_ALL), other = leader % 3 + 1;
    CHECK(bed_look(leader, &view));
    cluster_signal_node(&bed, other, SIGSTOP);
    uint64_t until_ns = bed_deadline_ns(1000); // for one second
    while (bed_pause(until_ns)) {
    }
    CHECK(bed_leader_of(all_but(other)) != 0);
    cluster_signal_node(&bed, other, SIGCONT);
    bed_await_equal(BED_ALL, view.commit);
    bed_close();
}

// SIGTERM and SIGINT drain and end with 0, leader or not; the directory serves the next start.
static void sigterm_drains_and_exits_with_0(void)
{
    if (!bed_open("memif", "fsync")) {
        return;
    }
    int leader = bed_await_leader(BED_ALL), other = leader % 3 + 1;
    cluster_signal_node(&bed, leader, SIGTERM);
    CHECK_EQUAL(bed_await_exit(leader), 0);
    bed_await_leader(all_but(leader));
    CHECK(bed_output_has(leader, "draining"));
    cluster_signal_node(&bed, other, SIGINT);
    CHECK_EQUAL(bed_await_exit(other), 0);
    bed_start(leader);
    bed_start(other);
    bed_await_equal(BED_ALL, 2);
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        cluster_signal_node(&bed, id, SIGTERM);
    }
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        CHECK_EQUAL(bed_await_exit(id), 0);
    }
    bed_close();
}

// One node alone, and two with a third that never came.
static void majority_is_enough_and_less_is_not(void)
{
    struct bed_view view;
    if (!bed_create("udp", "fsync", BED_SETTINGS)) {
        return;
    }
    bed_bootstrap(3);
    WAIT_UNTIL(bed_look(3, &view));
    uint64_t until_ns = bed_deadline_ns(1000);
    while (bed_pause(until_ns)) {
        CHECK(bed_look(3, &view));
        CHECK(!view.is_leader);
        CHECK_EQUAL(view.term, 0); // pre-vote: it does not disturb
    }
    bed_bootstrap(1);
    bed_await_leader(BED_ALL);
    bed_bootstrap(2);
    bed_await_equal(BED_ALL, 1);
    bed_close();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(over_memif_one_leads),
        TEST(over_udp_one_leads),
        TEST(over_af_packet_one_leads),
        TEST(status_shows_the_cluster),
        TEST(killed_leader_is_replaced_and_comes_back),
        TEST(stopped_leader_steps_down),
        TEST(stopped_follower_catches_up),
        TEST(sigterm_drains_and_exits_with_0),
        TEST(majority_is_enough_and_less_is_not),
    };
    return test_run("cluster elect", cases, TEST_COUNT(cases), argc, argv);
}
