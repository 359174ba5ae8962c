// The leader's side of replication.
#include "tests/harness/cluster.h"
#include "tests/harness/harness.h"

static void three_nodes_elect_and_replicate(void)
{
    struct cluster_options options;
    cluster_default_options(&options, 3, 1);
    struct cluster *cluster = cluster_open(&options);
    CHECK(cluster_run_until(cluster, cluster_has_leader, 100 * CLUSTER_MS));
    for (int round = 0; round < 100; round++) {
        CHECK_EQUAL(cluster_propose(cluster, cluster_leader(cluster), 8, 64), RAFT_OK);
        cluster_run(cluster, 100 * CLUSTER_US);
    }
    CHECK(cluster_run_until(cluster, cluster_is_level, 10 * CLUSTER_MS));
    CHECK_EQUAL(cluster->truth_last, 801);
    CHECK_EQUAL(cluster->elections, 1);
    cluster_close(cluster);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(three_nodes_elect_and_replicate)};
    return test_run("core replicate", cases, TEST_COUNT(cases), argc, argv);
}
