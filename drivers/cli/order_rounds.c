#include "drivers/cli/order_rounds.h"

#include <stddef.h>

#include "bench/cores/cores.h"

enum { LOOKS = 2 * ORDER_KINDS }; // of a round

static void looks_of(const struct order_round *round, double looks[static LOOKS])
{
    for (enum order_kind kind = ORDER_STRICT; kind < ORDER_KINDS; kind++) {
        looks[2 * kind] = round->runs[kind].core_before_ns;
        looks[2 * kind + 1] = round->runs[kind].core_after_ns;
    }
}

bool order_round_counts(const struct order_round *round)
{
    double looks[LOOKS];
    looks_of(round, looks);
    return cores_is_one_state(looks, LOOKS);
}

uint32_t order_rounds_counted(const struct order_rounds *rounds)
{
    uint32_t counted = 0;
    for (uint32_t at = 0; at < rounds->count; at++) {
        counted += order_round_counts(&rounds->rounds[at]);
    }
    return counted;
}

bool order_rounds_uses(const struct order_rounds *rounds, uint32_t at)
{
    return order_round_counts(&rounds->rounds[at]) || order_rounds_counted(rounds) == 0;
}

static struct median median_or_0(double *values, uint32_t count)
{
    return count == 0 ? (struct median){0} : median_of(values, count);
}

struct median order_rounds_median(const struct order_rounds *rounds, enum order_kind kind,
                                  enum order_figure figure)
{
    double values[ORDER_ROUNDS_MAX];
    uint32_t count = 0;
    for (uint32_t at = 0; at < rounds->count; at++) {
        if (order_rounds_uses(rounds, at)) {
            values[count++] = rounds->rounds[at].runs[kind].figures[figure];
        }
    }
    return median_or_0(values, count);
}

double order_rounds_ratio(const struct order_rounds *rounds, enum order_kind kind,
                          enum order_figure figure)
{
    double ratios[ORDER_ROUNDS_MAX];
    uint32_t count = 0;
    for (uint32_t at = 0; at < rounds->count; at++) {
        const struct order_run *runs = rounds->rounds[at].runs;
        double strict = runs[ORDER_STRICT].figures[figure];
        if (order_rounds_uses(rounds, at)) {
            ratios[count++] = strict == 0 ? 0 : runs[kind].figures[figure] / strict;
        }
    }
    return median_or_0(ratios, count).median;
}

double order_rounds_core_ns(const struct order_rounds *rounds)
{
    double looks[LOOKS * ORDER_ROUNDS_MAX];
    uint32_t count = 0;
    for (uint32_t at = 0; at < rounds->count; at++) {
        if (order_rounds_uses(rounds, at)) {
            looks_of(&rounds->rounds[at], &looks[count]);
            count += LOOKS;
        }
    }
    return median_or_0(looks, count).median;
}
