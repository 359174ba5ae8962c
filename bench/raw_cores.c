// How far apart two CPUs are: a cache line there and back, without any work.
//
//     ping ──▶ pong ──▶ ping        each on a CPU of its own, over two cache lines
//
// On a virtual machine the host changes this while programs run. Runs compare only where it was the
// same; so it is looked at before and after each of them.
#include "bench/cores/cores.h"
#include "bench/harness/options.h"
#include "bench/harness/process.h"
#include "bench/report/result.h"

#include <limits.h>
#include <stdio.h>

// "FIRST,SECOND", both of this machine.
static bool parse_cpus(const char *text, unsigned *first, unsigned *second)
{
    int used = 0;
    return sscanf(text, "%3u,%3u%n", first, second, &used) == 2 && text[used] == '\0' &&
           process_cpu(*first) == *first && process_cpu(*second) == *second;
}

int main(int argc, char **argv)
{
    unsigned first = 0, second = process_cpu(UINT_MAX);
    uint64_t milliseconds = CORES_MILLISECONDS;
    const char *cpus = NULL, *json_path = NULL;
    const struct option_row rows[] = {
        {"cpus", OPTION_TEXT, &cpus, 0, 0, NULL, "two of them: A,B [first and last]"},
        {"milliseconds", OPTION_NUMBER, &milliseconds, 1, CORES_MILLISECONDS_MAX, NULL, "measured"},
        {"json", OPTION_TEXT, &json_path, 0, 0, NULL, "file for the result as JSON"},
    };
    options_parse(rows, sizeof(rows) / sizeof(rows[0]),
                  "a cache line from one CPU to another and back", argc, argv);
    if (cpus != NULL && !parse_cpus(cpus, &first, &second)) {
        fprintf(stderr, "%s: --cpus '%s' are not two CPUs of this machine\n", argv[0], cpus);
        return 2;
    }
    if (first == second) {
        fprintf(stderr, "%s: there is nothing to measure on one CPU\n", argv[0]);
        return 1;
    }
    struct cores_round_trip trip;
    if (!cores_measure(&trip, first, second, (unsigned)milliseconds)) {
        return 1;
    }
    struct result result;
    result_init(&result, argc, argv);
    result_add_count(&result, "first_cpu", first);
    result_add_count(&result, "second_cpu", second);
    result_add_count(&result, "slices", trip.slices);
    result_add_real(&result, "round_trip_ns", trip.median_ns, 1);
    result_add_real(&result, "p10_ns", trip.p10_ns, 1);
    result_add_real(&result, "p90_ns", trip.p90_ns, 1);
    return result_finish(&result, NULL, json_path, NULL);
}
