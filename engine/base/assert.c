#include "engine/base/assert.h"

#include <stddef.h>

static assert_handler *current_handler;

void assert_set_handler(assert_handler *handler)
{
    current_handler = handler;
}

_Noreturn void assert_fail(const char *file, int line, const char *expression, uint64_t left,
                           uint64_t right)
{
    if (current_handler != NULL) {
        current_handler(file, line, expression, left, right);
    }
    __builtin_trap();
}
