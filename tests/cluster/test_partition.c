// Links that go down under a running cluster: real Ethernet devices of the kernel, taken down from
// outside.
#include <stdio.h>
#include <string.h>

#include "tests/cluster/bed.h"
#include "tests/cluster/kv_client.h"

enum { PAIRS = 120 };

static unsigned all_but(int id)
{
    return BED_ALL & ~(1u << id);
}

static bool open_with_client(struct kv_client *client)
{
    return bed_open("af_packet", "fsync") && kv_client_open(client, 1);
}

// The leader's cable is out: it steps down, the others elect and serve, it comes back as a
// follower.
static void leader_cut_off(void)
{
    struct kv_client client;
    struct bed_view view;
    if (!open_with_client(&client)) {
        return;
    }
    kv_client_fill(&client, 0, PAIRS);
    int old = bed_await_leader(BED_ALL);
    CHECK_EQUAL(cluster_set_link(old, false), 0);
    bed_await_leader(all_but(old));
    kv_client_fill(&client, PAIRS, PAIRS);
    WAIT_UNTIL(bed_look(old, &view) && !view.is_leader); // check-quorum, without hearing anybody
    CHECK_EQUAL(cluster_set_link(old, true), 0);
    bed_await_equal(BED_ALL, 2 * PAIRS);
    kv_client_verify(&client, 0, 2 * PAIRS);
    kv_client_close(&client);
    bed_close();
}

// A follower's cable is out: nobody else notices, its term does not grow (pre-vote), so that its
// return disturbs no one.
static void follower_cut_off(void)
{
    struct kv_client client;
    struct bed_view view;
    if (!open_with_client(&client)) {
        return;
    }
    kv_client_fill(&client, 0, PAIRS);
    int leader = bed_await_leader(BED_ALL), other = leader % 3 + 1;
    CHECK_EQUAL(cluster_set_link(other, false), 0);
    kv_client_fill(&client, PAIRS, PAIRS);
    uint64_t until_ns = bed_deadline_ns(2000); // two seconds
    while (bed_pause(until_ns)) {
    }
    CHECK(bed_look(other, &view));
    uint64_t alone = view.term, applied = view.applied;
    WAIT_UNTIL(bed_look(bed_await_leader(all_but(other)), &view));
    CHECK(alone <= view.term);
    CHECK(applied < 2 * PAIRS);
    CHECK_EQUAL(cluster_set_link(other, true), 0);
    bed_await_equal(BED_ALL, 2 * PAIRS);
    kv_client_verify(&client, PAIRS, PAIRS);
    kv_client_close(&client);
    bed_close();
}

// Everybody alone: nobody leads. One cable back in makes two: they serve.
static void all_cut_off_then_two_meet(void)
{
    struct kv_client client;
    if (!open_with_client(&client)) {
        return;
    }
    kv_client_fill(&client, 0, PAIRS);
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        CHECK_EQUAL(cluster_set_link(id, false), 0);
    }
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        struct bed_view view;
        WAIT_UNTIL(bed_look(id, &view) && !view.is_leader && view.leader == 0);
    }
    CHECK_EQUAL(cluster_set_link(1, true), 0);
    CHECK_EQUAL(cluster_set_link(3, true), 0);
    bed_await_leader(all_but(2));
    kv_client_fill(&client, PAIRS, PAIRS);
    CHECK_EQUAL(cluster_set_link(2, true), 0);
    bed_await_equal(BED_ALL, 2 * PAIRS);
    kv_client_verify(&client, 0, 2 * PAIRS);
    kv_client_close(&client);
    bed_close();
}

// The node's own device goes down and up again, as `ip link` or a driver's reset does it: the port
// must survive that.
static void device_itself_goes_down_and_up(void)
{
    struct kv_client client;
    char line[64];
    if (!open_with_client(&client)) {
        return;
    }
    int old = bed_await_leader(BED_ALL);
    snprintf(line, sizeof(line), "link set p%d down", old);
    CHECK_EQUAL(cluster_ip(line), 0);
    bed_await_leader(all_but(old));
    kv_client_fill(&client, 0, PAIRS);
    snprintf(line, sizeof(line), "link set p%d up", old);
    CHECK_EQUAL(cluster_ip(line), 0);
    bed_await_equal(BED_ALL, PAIRS);
    kv_client_close(&client);
    bed_close();
}

// Flapping: ten times in short order, under load.
static void flapping_link(void)
{
    struct kv_client client;
    if (!open_with_client(&client)) {
        return;
    }
    uint32_t pairs = 0;
    for (int flap = 0; flap < 10; flap++) {
        int member = flap % CLUSTER_NODES + 1;
        CHECK_EQUAL(cluster_set_link(member, false), 0);
        kv_client_fill(&client, pairs, 24);
        CHECK_EQUAL(cluster_set_link(member, true), 0);
        pairs += 24;
    }
    bed_await_equal(BED_ALL, pairs);
    kv_client_verify(&client, 0, pairs);
    kv_client_close(&client);
    bed_close();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(leader_cut_off),
        TEST(follower_cut_off),
        TEST(all_cut_off_then_two_meet),
        TEST(device_itself_goes_down_and_up),
        TEST(flapping_link),
    };
    return test_run("cluster partition", cases, TEST_COUNT(cases), argc, argv);
}
