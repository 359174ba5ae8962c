// When looks at the distance of two CPUs are of one state; and that the measurement measures.
#include "tests/harness/harness.h"

#include "bench/cores/cores.h"
#include "bench/harness/process.h"

#include <limits.h>

static bool are_one_state(double first, double second, double third)
{
    const double looks[] = {first, second, third};
    return cores_is_one_state(looks, 3);
}

static void looks_of_one_state_lie_within_half(void)
{
    CHECK(are_one_state(100, 104, 98));
    CHECK(are_one_state(150, 100, 120));
    CHECK(!are_one_state(151, 100, 120));
    CHECK(!are_one_state(100, 525, 101));
    CHECK(!are_one_state(525, 520, 99));
    CHECK(!are_one_state(99, 520, 525));
}

static void few_looks_and_one_cpu_are_one_state(void)
{
    const double looks[] = {525, 100};
    CHECK(cores_is_one_state(looks, 0));
    CHECK(cores_is_one_state(looks, 1));
    CHECK(!cores_is_one_state(looks, 2));
    CHECK(are_one_state(0, 0, 0));
}

static void one_cpu_has_no_distance(void)
{
    struct cores_round_trip trip;
    CHECK(cores_measure(&trip, 0, 0, 1));
    CHECK_EQUAL(trip.slices, 0);
    CHECK(trip.median_ns == 0);
}

// Between 5 ns (no two cores are nearer) and 100 us (no two of a machine are farther).
static void two_cpus_have_one(void)
{
    unsigned last = process_cpu(UINT_MAX);
    struct cores_round_trip trip;
    if (last == 0) {
        test_skip("one CPU");
    }
    CHECK(cores_measure(&trip, 0, last, 20));
    CHECK(trip.slices > 0);
    CHECK(trip.median_ns > 5 && trip.median_ns < 100000);
    CHECK(trip.p10_ns <= trip.median_ns && trip.median_ns <= trip.p90_ns);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(looks_of_one_state_lie_within_half),
        TEST(few_looks_and_one_cpu_are_one_state),
        TEST(one_cpu_has_no_distance),
        TEST(two_cpus_have_one),
    };
    return test_run("bench cores", cases, TEST_COUNT(cases), argc, argv);
}
