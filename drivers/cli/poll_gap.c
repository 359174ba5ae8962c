#include "drivers/cli/poll_gap.h"

#include "drivers/cli/cli_client.h"

#include <pthread.h>
#include <sched.h>

enum { POLLERS_MAX = 16 };

#define POLL_FOR_NS UINT64_C(400000000)

// Polls like an idle reactor; *argument gets the longest time between two polls.
static void *poll_for_a_while(void *argument)
{
    uint64_t longest_ns = 0, before_ns = cli_now_ns(), end_ns = before_ns + POLL_FOR_NS;
    while (before_ns < end_ns) {
        sched_yield();
        uint64_t after_ns = cli_now_ns();
        longest_ns = after_ns - before_ns > longest_ns ? after_ns - before_ns : longest_ns;
        before_ns = after_ns;
    }
    *(uint64_t *)argument = longest_ns;
    return NULL;
}

uint64_t poll_gap_measure_ns(uint32_t pollers)
{
    pthread_t threads[POLLERS_MAX];
    uint64_t gaps_ns[POLLERS_MAX] = {0}, longest_ns = 0;
    uint32_t started = 0;
    while (started < pollers && started < POLLERS_MAX &&
           pthread_create(&threads[started], NULL, poll_for_a_while, &gaps_ns[started]) == 0) {
        started++;
    }
    for (uint32_t at = 0; at < started; at++) {
        pthread_join(threads[at], NULL);
        longest_ns = gaps_ns[at] > longest_ns ? gaps_ns[at] : longest_ns;
    }
    return longest_ns;
}
