#include "tests/sim/judged.h"

#include <stdio.h>

struct history judged;
struct linear_result judged_result;
static struct linear *judge;
static uint64_t clock_ns;

void judged_start(void)
{
    history_reset(&judged);
    clock_ns = 0;
}

uint64_t judged_now(void)
{
    return ++clock_ns;
}

void judged_end(uint32_t id, enum history_outcome outcome)
{
    history_return(&judged, id, judged_now(), outcome, 0);
}

void judged_end_get(uint32_t id, uint64_t token)
{
    history_return(&judged, id, judged_now(), HISTORY_OK, token);
}

void judged_expect(enum linear_verdict verdict)
{
    linear_judge(judge, &judged, &judged_result);
    if (judged_result.verdict != verdict) {
        for (uint32_t id = 0; id < judged.count; id++) {
            history_print_op(&judged, id, stdout);
            printf("\n");
        }
    }
    CHECK_TEXT(linear_verdict_name(judged_result.verdict), linear_verdict_name(verdict));
}

int judged_run(const char *suite, const struct test_case *cases, size_t count, int argc,
               char **argv)
{
    history_init(&judged);
    judge = linear_open(LINEAR_BUDGET);
    int status = judge == NULL ? 1 : test_run(suite, cases, count, argc, argv);
    linear_close(judge);
    history_fini(&judged);
    return status;
}
