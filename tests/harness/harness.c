#include "tests/harness/harness.h"

#include <CUnit/CUnit.h>
#include <CUnit/TestRun.h>
#include <ftw.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/assert.h"

enum { SKIPPED = 77 };

static jmp_buf leave_case;
static unsigned passed, failed, skipped;
static bool is_skipped; // the running case
static char directory[256];

static void report(const char *file, int line, const char *text)
{
    printf("    %s:%d: %s\n", file, line, text);
    fflush(stdout);
    CU_assertImplementation(CU_FALSE, (unsigned)line, text, file, "", CU_FALSE);
    longjmp(leave_case, 1);
}

void test_check(bool holds, const char *file, int line, const char *expression)
{
    CU_assertImplementation(CU_TRUE, (unsigned)line, expression, file, "", CU_FALSE);
    if (!holds) {
        report(file, line, expression);
    }
}

void test_check_equal(uint64_t actual, uint64_t expected, const char *file, int line,
                      const char *expression)
{
    char text[512];
    if (actual == expected) {
        test_check(true, file, line, expression);
        return;
    }
    snprintf(text, sizeof(text), "%s: got %" PRIu64 " (%" PRId64 "), want %" PRIu64, expression,
             actual, (int64_t)actual, expected);
    report(file, line, text);
}

void test_check_text(const char *actual, const char *expected, const char *file, int line,
                     const char *expression)
{
    char text[1024];
    if (actual != NULL && strcmp(actual, expected) == 0) {
        test_check(true, file, line, expression);
        return;
    }
    snprintf(text, sizeof(text), "%s: got \"%s\", want \"%s\"", expression,
             actual == NULL ? "(null)" : actual, expected);
    report(file, line, text);
}

void test_skip(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("    skipped: ");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    is_skipped = true;
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *walk)
{
    (void)status;
    (void)flag;
    (void)walk;
    return remove(path);
}

static void remove_directory(void)
{
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *test_directory(void)
{
    if (directory[0] == '\0') {
        const char *parent = getenv("TMPDIR");
        snprintf(directory, sizeof(directory), "%s/pontoon-test-XXXXXX",
                 parent == NULL ? "/tmp" : parent);
        if (mkdtemp(directory) == NULL) {
            perror("mkdtemp");
            exit(1);
        }
        atexit(remove_directory);
    }
    return directory;
}

static void print_assertion(const char *file, int line, const char *expression, uint64_t left,
                            uint64_t right)
{
    fprintf(stderr, "    assertion failed %s:%d: %s (%" PRIu64 ", %" PRIu64 ")\n", file, line,
            expression, left, right);
}

static const struct test_case *running;

static void run_one(void)
{
    if (setjmp(leave_case) == 0) {
        running->run();
    }
}

static bool is_chosen(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strstr(name, argv[i]) != NULL) {
            return true;
        }
    }
    return argc < 2;
}

int test_run(const char *suite, const struct test_case *cases, size_t count, int argc, char **argv)
{
    assert_set_handler(print_assertion);
    if (CU_initialize_registry() != CUE_SUCCESS) {
        return 1;
    }
    CU_pSuite registered = CU_add_suite(suite, NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        if (!is_chosen(cases[i].name, argc, argv)) {
            continue;
        }
        running = &cases[i];
        is_skipped = false;
        CU_pTest test = CU_add_test(registered, cases[i].name, run_one);
        if (test == NULL || CU_run_test(registered, test) != CUE_SUCCESS) {
            printf("%s: %s: could not run\n", suite, cases[i].name);
            failed++;
            continue;
        }
        bool ok = CU_get_number_of_failures() == 0;
        printf("%s: %s: %s\n", suite, cases[i].name,
               !ok          ? "FAILED"
               : is_skipped ? "skipped"
                            : "ok");
        passed += ok && !is_skipped;
        skipped += ok && is_skipped;
        failed += !ok;
    }
    CU_cleanup_registry();
    if (skipped > 0) {
        printf("%u skipped\n", skipped);
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0 ? 1 : passed == 0 && skipped > 0 ? SKIPPED : 0;
}
