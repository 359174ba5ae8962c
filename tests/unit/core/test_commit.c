// Quorums against brute force: what a majority holds, whose answers confirm a round.
#include "tests/harness/harness.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/prng.h"
#include "engine/core/state.h"
#include "tests/unit/core/replica.h"

enum { LAST = 12 };

static struct replica node;
static struct prng prng;

static uint64_t counted(const struct raft *raft, uint32_t slot)
{
    return slot == raft->self_slot    ? raft->log.synced
           : raft->peers[slot].intact ? raft->peers[slot].match
                                      : 0;
}

// "If there exists an N such that N > commitIndex, a majority of matchIndex[i] ≥ N, and log[N].term
// == currentTerm": the largest such N, tried one by one.
static uint64_t slow_commit(const struct raft *raft)
{
    uint64_t commit = raft->commit;
    for (uint64_t index = commit + 1; index <= raft->log.last; index++) {
        uint32_t holders = 0;
        for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
            holders += counted(raft, slot) >= index;
        }
        if (2 * holders > raft->config.voter_count &&
            log_term_at(&raft->log, index) == raft->term) {
            commit = index;
        }
    }
    return commit;
}

static void draw_state(uint32_t voters)
{
    replica_open(&node, voters);
    replica_lead(&node); // term 1
    struct raft_entry_head head = {.kind = RAFT_ENTRY_COMMAND};
    uint64_t old = prng_below(&prng, LAST);
    while (node.raft->log.last < LAST) {
        log_hold(&node.raft->log, node.raft->log.last + 1, node.raft->log.last < old ? 1 : 3,
                 log_term_at(&node.raft->log, node.raft->log.last), &head);
    }
    node.raft->term = node.raft->hard_synced.term = 3;
    node.raft->commit = 0;
    node.raft->log.synced = prng_below(&prng, LAST + 1);
    for (uint32_t slot = 1; slot < voters; slot++) {
        struct raft_peer *peer = &node.raft->peers[slot];
        peer->match = prng_below(&prng, LAST + 1);
        peer->intact = prng_chance(&prng, 4, 5);
        peer->round_acked = prng_below(&prng, 4);
    }
}

static void commit_matches_brute_force(void)
{
    prng_init(&prng, 5);
    for (int round = 0; round < 20000; round++) {
        draw_state(1 + (uint32_t)prng_below(&prng, RAFT_NODES_MAX));
        uint64_t expected = slow_commit(node.raft);
        commit_advance(node.raft);
        CHECK_EQUAL(node.raft->commit, expected);
        replica_close(&node);
    }
}

static void confirmation_matches_brute_force(void)
{
    prng_init(&prng, 6);
    for (int round = 0; round < 20000; round++) {
        uint32_t voters = 1 + (uint32_t)prng_below(&prng, RAFT_NODES_MAX);
        draw_state(voters);
        uint64_t wanted = prng_below(&prng, 5);
        uint16_t without = (uint16_t)prng_below(&prng, voters + 1);
        uint32_t confirmed = without != REPLICA_SELF;
        for (uint16_t id = 2; id <= voters; id++) {
            const struct raft_peer *peer = &node.raft->peers[id - 1];
            confirmed += id != without && peer->intact && peer->round_acked >= wanted;
        }
        CHECK_EQUAL(commit_round_confirmed(node.raft, wanted, without), 2 * confirmed > voters);
        replica_close(&node);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(commit_matches_brute_force),
                                             TEST(confirmation_matches_brute_force)};
    return test_run("core commit", cases, TEST_COUNT(cases), argc, argv);
}
