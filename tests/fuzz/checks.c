// The checks of tests/harness for fuzzers that use a test's fixture: what fails ends the run.
#include "tests/fuzz/fuzz.h"
#include "tests/harness/harness.h"

void test_check(bool holds, const char *file, int line, const char *expression)
{
    REQUIRE(holds, "%s:%d: %s", file, line, expression);
}

void test_check_equal(uint64_t actual, uint64_t expected, const char *file, int line,
                      const char *expression)
{
    REQUIRE(actual == expected, "%s:%d: %s: %" PRIu64 ", %" PRIu64, file, line, expression, actual,
            expected);
}

void test_check_text(const char *actual, const char *expected, const char *file, int line,
                     const char *expression)
{
    REQUIRE(strcmp(actual, expected) == 0, "%s:%d: %s: \"%s\"", file, line, expression, actual);
}
