#include "bench/report/median.h"

#include "engine/base/assert.h"

#include <stdlib.h>

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

struct median median_of(double *values, size_t count)
{
    ASSERT_CMP(count, >=, 1);
    qsort(values, count, sizeof(values[0]), compare);
    double low = values[(count - 1) / 2], high = values[count / 2];
    return (struct median){.median = (low + high) / 2, .min = values[0], .max = values[count - 1]};
}
