// Which rounds of `pontoon bench order` count, and what they say together.
#include "tests/harness/harness.h"

#include "drivers/cli/order_rounds.h"

enum { NEAR_NS = 100, FAR_NS = 520 };

static bool is_near(double left, double right)
{
    return left - right < 1e-9 && right - left < 1e-9;
}

// Every run with the CPUs `core_ns` apart; rates of strict and parallel, look-behind twice strict.
static struct order_round round_of(double core_ns, double strict, double parallel)
{
    struct order_round round = {0};
    const double rates[ORDER_KINDS] = {strict, parallel, 2 * strict};
    for (enum order_kind kind = ORDER_STRICT; kind < ORDER_KINDS; kind++) {
        round.runs[kind].figures[ORDER_RATE] = rates[kind];
        round.runs[kind].core_before_ns = round.runs[kind].core_after_ns = core_ns;
    }
    return round;
}

// The CPUs are moved apart within the round.
static struct order_round torn_round(double strict, double parallel)
{
    struct order_round round = round_of(NEAR_NS, strict, parallel);
    round.runs[ORDER_PARALLEL].core_after_ns = FAR_NS;
    return round;
}

static void add(struct order_rounds *rounds, struct order_round round)
{
    rounds->rounds[rounds->count++] = round;
}

static void every_look_of_a_round_matters(void)
{
    for (enum order_kind kind = ORDER_STRICT; kind < ORDER_KINDS; kind++) {
        struct order_round before = round_of(NEAR_NS, 1, 1), after = before;
        CHECK(order_round_counts(&before));
        before.runs[kind].core_before_ns = FAR_NS;
        CHECK(!order_round_counts(&before));
        after.runs[kind].core_after_ns = FAR_NS;
        CHECK(!order_round_counts(&after));
    }
}

static void torn_rounds_are_left_out(void)
{
    static struct order_rounds rounds;
    rounds.count = 0;
    add(&rounds, round_of(NEAR_NS, 100, 150));
    add(&rounds, torn_round(1000, 10));
    add(&rounds, round_of(NEAR_NS, 120, 150));
    CHECK_EQUAL(order_rounds_counted(&rounds), 2);
    CHECK(order_rounds_uses(&rounds, 0) && !order_rounds_uses(&rounds, 1));
    struct median strict = order_rounds_median(&rounds, ORDER_STRICT, ORDER_RATE);
    CHECK(is_near(strict.median, 110) && is_near(strict.min, 100) && is_near(strict.max, 120));
    CHECK(is_near(order_rounds_ratio(&rounds, ORDER_PARALLEL, ORDER_RATE), (1.5 + 1.25) / 2));
    CHECK(is_near(order_rounds_ratio(&rounds, ORDER_LOOK_BEHIND, ORDER_RATE), 2));
    CHECK(is_near(order_rounds_core_ns(&rounds), NEAR_NS));
}

// Near and far rounds have other rates and the same ratio: the ratio of medians would be 120 /
// 50 = 2.4.
static void ratios_are_of_the_same_round(void)
{
    static struct order_rounds rounds;
    rounds.count = 0;
    add(&rounds, round_of(FAR_NS, 40, 60));
    add(&rounds, round_of(NEAR_NS, 80, 120));
    add(&rounds, round_of(FAR_NS, 50, 130));
    CHECK_EQUAL(order_rounds_counted(&rounds), 3);
    CHECK(is_near(order_rounds_ratio(&rounds, ORDER_PARALLEL, ORDER_RATE), 1.5));
    CHECK(is_near(order_rounds_median(&rounds, ORDER_PARALLEL, ORDER_RATE).median, 120));
    CHECK(is_near(order_rounds_core_ns(&rounds), FAR_NS));
}

static void without_any_that_counts_all_are_used(void)
{
    static struct order_rounds rounds;
    rounds.count = 0;
    CHECK(order_rounds_ratio(&rounds, ORDER_PARALLEL, ORDER_RATE) == 0);
    add(&rounds, torn_round(100, 110));
    add(&rounds, torn_round(100, 130));
    CHECK_EQUAL(order_rounds_counted(&rounds), 0);
    CHECK(order_rounds_uses(&rounds, 0) && order_rounds_uses(&rounds, 1));
    CHECK(is_near(order_rounds_ratio(&rounds, ORDER_PARALLEL, ORDER_RATE), 1.2));
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(every_look_of_a_round_matters),
        TEST(torn_rounds_are_left_out),
        TEST(ratios_are_of_the_same_round),
        TEST(without_any_that_counts_all_are_used),
    };
    return test_run("bench order rounds", cases, TEST_COUNT(cases), argc, argv);
}
