// Assertions for our own bugs: on in release builds too. Nothing that arrives from wire, disk or
// operator may reach one.
//
// This header does no I/O: a failing assertion calls the handler, then traps. A program installs a
// handler that prints.
#ifndef PONTOON_BASE_ASSERT_H
#define PONTOON_BASE_ASSERT_H

#include <stdint.h>

typedef void assert_handler(const char *file, int line, const char *expression, uint64_t left,
                            uint64_t right);

// Sets what assert_fail calls before it traps. NULL restores silence. Call before threads start.
void assert_set_handler(assert_handler *handler);

_Noreturn void assert_fail(const char *file, int line, const char *expression, uint64_t left,
                           uint64_t right);

#define ASSERT(condition)                                                                          \
    ((condition) ? (void)0 : assert_fail(__FILE__, __LINE__, #condition, 0, 0))

// Compares two unsigned values; the handler gets both.
#define ASSERT_CMP(left, op, right)                                                                \
    (((left)op(right)) ? (void)0                                                                   \
                       : assert_fail(__FILE__, __LINE__, #left " " #op " " #right,                 \
                                     (uint64_t)(left), (uint64_t)(right)))

// Checks that walk whole structures: only in builds with -DPONTOON_SLOW_ASSERTS (tests,
// sanitizers).
#ifdef PONTOON_SLOW_ASSERTS
#define ASSERT_SLOW(condition) ASSERT(condition)
#else
#define ASSERT_SLOW(condition) ((void)sizeof(condition))
#endif

#endif
