// The judge of histories: random good ones, such with a stale read, and agreement with the slow
// twin on hundreds of thousands of small ones.
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "tests/sim/brute.h"
#include "tests/sim/judged.h"
#include "tests/sim/random_history.h"

enum { CONFLICTS_EACH = 8 };

static struct prng prng;

static const struct random_mix mixes[] = {
    {.clients = 8, .keys = 4, .get = 50, .put = 50},
    {.clients = 16, .keys = 3, .get = 40, .put = 40, .swap = 20},
    {.clients = 12, .keys = 4, .get = 30, .put = 30, .del = 20, .swap = 20},
    {.clients = 16, .keys = 3, .get = 40, .put = 40, .del = 10, .swap = 10, .lost = 15},
    {.clients = 16, .keys = 3, .get = 30, .put = 20, .del = 25, .swap = 25, .lost = 30},
    {.clients = 16,
     .keys = 2,
     .get = 20,
     .put = 20,
     .del = 30,
     .swap = 30,
     .lost = 20,
     .expired = 10},
    {.clients = 16, .keys = 1, .get = 20, .put = 30, .del = 25, .swap = 25, .lost = 40},
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

// Every mix: no false alarm, no wrong history that passes, and the time it takes.
static void judge_mixes(uint32_t ops, uint32_t rounds, bool is_wrong)
{
    for (size_t at = 0; at < TEST_COUNT(mixes); at++) {
        struct random_mix mix = mixes[at];
        uint64_t sum_ns = 0, longest_ns = 0, configurations = 0;
        mix.ops = ops;
        prng_init(&prng, at);
        for (uint32_t round = 0; round < rounds; round++) {
            random_history_make(&prng, &mix,
                                is_wrong ? (uint32_t)prng_below(&prng, ops) : HISTORY_NEVER);
            uint64_t began_ns = now_ns();
            judged_expect(is_wrong ? LINEAR_VIOLATION : LINEAR);
            uint64_t took_ns = now_ns() - began_ns;
            sum_ns += took_ns;
            longest_ns = took_ns > longest_ns ? took_ns : longest_ns;
            configurations += judged_result.configurations;
            // The read and the second put; the first one, if not as firm, as context.
            CHECK(!is_wrong || judged_result.id_count == 3);
        }
        printf("    mix %zu, %u operations: mean %" PRIu64 " us, longest %" PRIu64 " us, %" PRIu64
               " configurations\n",
               at, ops, sum_ns / rounds / 1000, longest_ns / 1000, configurations / rounds);
    }
}

static void good_histories_of_500_operations(void)
{
    judge_mixes(500, 200, false);
}

static void good_histories_of_10000_operations(void)
{
    judge_mixes(10000, 3, false);
}

static void stale_reads_in_500_operations(void)
{
    judge_mixes(500, 50, true);
}

static void stale_reads_in_10000_operations(void)
{
    judge_mixes(10000, 2, true);
}

static void make_good_with_mutations(void)
{
    do {
        const struct random_mix mix = {.clients = (uint32_t)prng_between(&prng, 1, 6),
                                       .keys = prng_chance(&prng, 1, 8) ? 2 : 1,
                                       .ops = (uint32_t)prng_between(&prng, 2, 8),
                                       .get = (uint32_t)prng_below(&prng, 4),
                                       .put = (uint32_t)prng_between(&prng, 1, 3),
                                       .del = (uint32_t)prng_below(&prng, 4),
                                       .swap = (uint32_t)prng_below(&prng, 4),
                                       .lost = (uint32_t)prng_below(&prng, 60),
                                       .expired = prng_chance(&prng, 1, 2) ? 40 : 0};
        random_history_make(&prng, &mix, HISTORY_NEVER);
        for (uint64_t at = prng_between(&prng, 1, 8); at > 0; at--) {
            random_history_mutate(&prng);
        }
    } while (!random_history_is_sane());
}

// The operations of a conflict have none of the orders, with whatever outcome of the others.
static void check_conflict(void)
{
    CHECK(judged_result.id_count > 0);
    for (uint32_t id = 0, at = 0; id < judged.count; id++) {
        bool is_in = at < judged_result.id_count && judged_result.ids[at] == id;
        if (!is_in || judged_result.is_context[at]) {
            judged.ops[id].outcome = HISTORY_UNKNOWN;
        }
        at += is_in;
    }
    CHECK(!brute_is_linear(&judged));
}

static void compare_with_twin(void (*make)(void), uint64_t seed, uint32_t histories)
{
    uint32_t linear = 0;
    prng_init(&prng, seed);
    for (uint32_t round = 0; round < histories; round++) {
        make();
        bool is_linear = brute_is_linear(&judged);
        judged_expect(is_linear ? LINEAR : LINEAR_VIOLATION);
        linear += is_linear;
        if (!is_linear && round % CONFLICTS_EACH == 0) {
            check_conflict();
        }
    }
    printf("    %u histories, %u of them linearizable\n", histories, linear);
    CHECK(linear > histories / 10 && linear < histories * 9 / 10);
}

static void make_random_small(void)
{
    random_history_arbitrary(&prng, (uint32_t)prng_between(&prng, 2, 7));
}

static void agrees_with_the_slow_twin_on_mutants(void)
{
    compare_with_twin(make_good_with_mutations, 1, 200000);
}

static void agrees_with_the_slow_twin_on_anything(void)
{
    compare_with_twin(make_random_small, 2, 200000);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(good_histories_of_500_operations),     TEST(good_histories_of_10000_operations),
        TEST(stale_reads_in_500_operations),        TEST(stale_reads_in_10000_operations),
        TEST(agrees_with_the_slow_twin_on_mutants), TEST(agrees_with_the_slow_twin_on_anything),
    };
    return judged_run("sim linear random", cases, TEST_COUNT(cases), argc, argv);
}
