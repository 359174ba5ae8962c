// The thin layer between our tests and CUnit: a table of cases a suite, checks that print both
// values.
//
//     static void votes_once_a_term(void) { CHECK_EQUAL(x, 1); }
//     int main(int argc, char **argv) { static const struct test_case cases[] =
//     {TEST(votes_once_a_term)};
//                      return test_run("core vote", cases, TEST_COUNT(cases), argc, argv); }
//
// A failed CHECK ends its case and the next one runs. A case that says test_skip is counted as
// neither. The last line of output is "N passed, N failed" (cases), before it stands "N skipped"
// when there were some. With arguments, only cases whose name contains one of them run.
#ifndef PONTOON_TESTS_HARNESS_H
#define PONTOON_TESTS_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test_case {
    const char *name;
    void (*run)(void);
};

#define TEST(function)                                                                             \
    {                                                                                              \
        .name = #function, .run = function                                                         \
    }
#define TEST_COUNT(cases) (sizeof(cases) / sizeof((cases)[0]))

// Runs all cases as one CUnit suite. Result: exit status of main (0: none failed; 77, meson's word
// for skipped: none ran).
int test_run(const char *suite, const struct test_case *cases, size_t count, int argc, char **argv);

// Reports and leaves the running case (does not return when the check failed).
void test_check(bool holds, const char *file, int line, const char *expression);
void test_check_equal(uint64_t actual, uint64_t expected, const char *file, int line,
                      const char *expression);
void test_check_text(const char *actual, const char *expected, const char *file, int line,
                     const char *expression);

// The running case cannot be run on this machine, and says why; it returns by itself.
void test_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define CHECK(condition) test_check((condition), __FILE__, __LINE__, #condition)
#define CHECK_EQUAL(actual, expected)                                                              \
    test_check_equal((uint64_t)(actual), (uint64_t)(expected), __FILE__, __LINE__,                 \
                     #actual " == " #expected)
#define CHECK_TEXT(actual, expected)                                                               \
    test_check_text((actual), (expected), __FILE__, __LINE__, #actual)

// An empty directory of its own below $TMPDIR or /tmp (removed when the program ends). Path stays
// valid.
const char *test_directory(void);

#endif
