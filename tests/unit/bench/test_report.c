// What the benchmarks write: percentile text as HdrHistogram's own tools expect it, key=value
// lines, JSON, medians.
#include "tests/harness/harness.h"

#include "bench/report/hdr_text.h"
#include "bench/report/median.h"
#include "bench/report/result.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static struct histogram histogram;

static const char *text_of(const struct histogram *values)
{
    static char text[65536];
    memset(text, 0, sizeof(text));
    FILE *file = fmemopen(text, sizeof(text) - 1, "w");
    CHECK(file != NULL);
    CHECK_EQUAL(hdr_text_write(file, values), 0);
    fclose(file);
    return text;
}

// Row by row what outputPercentileDistribution prints for the values 1000 and 2000 (scaled by 1000,
// 5 ticks): the iterator stops at each percentile level the first value reaches, once at the last
// value, and once at 100 %.
static void percentile_text_matches_hdr_histogram(void)
{
    histogram_init(&histogram);
    histogram_record(&histogram, 1000);
    histogram_record(&histogram, 2000);
    CHECK_TEXT(text_of(&histogram), "       Value     Percentile TotalCount 1/(1-Percentile)\n\n"
                                    "       1.000 0.000000000000          1           1.00\n"
                                    "       1.000 0.100000000000          1           1.11\n"
                                    "       1.000 0.200000000000          1           1.25\n"
                                    "       1.000 0.300000000000          1           1.43\n"
                                    "       1.000 0.400000000000          1           1.67\n"
                                    "       1.000 0.500000000000          1           2.00\n"
                                    "       2.000 0.550000000000          2           2.22\n"
                                    "       2.000 1.000000000000          2\n"
                                    "#[Mean    =        1.500, StdDeviation   =        0.500]\n"
                                    "#[Max     =        2.000, Total count    =            2]\n"
                                    "#[Buckets =           27, SubBuckets     =         2048]\n");
}

static void percentile_rows_never_fall(void)
{
    histogram_init(&histogram);
    for (uint64_t i = 1; i <= 100000; i++) {
        histogram_record(&histogram, i * i);
    }
    const char *row = strstr(text_of(&histogram), "\n\n") + 2;
    double last_value = 0, last_percentile = -1;
    unsigned long last_count = 0;
    size_t rows = 0;
    for (; *row != '#'; row = strchr(row, '\n') + 1, rows++) {
        double value, percentile;
        unsigned long count;
        CHECK_EQUAL(sscanf(row, "%lf %lf %lu", &value, &percentile, &count), 3);
        CHECK(value >= last_value && count >= last_count && percentile > last_percentile);
        CHECK((double)count / 100000 >= percentile - 1e-9);
        last_value = value;
        last_percentile = percentile;
        last_count = count;
    }
    CHECK(rows > 50);
    CHECK_EQUAL(last_count, 100000);
}

static void empty_histogram_has_no_rows(void)
{
    histogram_init(&histogram);
    CHECK(strstr(text_of(&histogram), "\n\n#[Mean") != NULL);
}

static void result_prints_pairs_in_order(void)
{
    static char text[512];
    char *argv[] = {"build/bench/some_program", "--size", "64"};
    struct result result;
    result_init(&result, 3, argv);
    result_add_text(&result, "link", "memif");
    result_add_count(&result, "size", 64);
    result_add_real(&result, "median_us", 3.14159, 2);
    FILE *file = fmemopen(text, sizeof(text), "w");
    result_print(&result, file);
    fclose(file);
    CHECK_TEXT(text, "program=some_program link=memif size=64 median_us=3.14\n");
}

static void result_saves_json_with_types(void)
{
    char path[256];
    char *argv[] = {"some_program", "--size"};
    struct result result;
    result_init(&result, 2, argv);
    result_add_count(&result, "size", 64);
    result_add_real(&result, "median_us", 3.25, 2);
    snprintf(path, sizeof(path), "%s/result.json", test_directory());
    CHECK_EQUAL(result_save_json(&result, path), 0);
    json_t *object = json_load_file(path, 0, NULL);
    CHECK(object != NULL);
    CHECK_TEXT(json_string_value(json_object_get(object, "program")), "some_program");
    CHECK_EQUAL(json_integer_value(json_object_get(object, "size")), 64);
    CHECK_EQUAL((uint64_t)(100 * json_real_value(json_object_get(object, "median_us"))), 325);
    CHECK_EQUAL(json_array_size(json_object_get(object, "command")), 2);
    CHECK(json_object_get(json_object_get(object, "machine"), "cpus") != NULL);
    json_decref(object);
    CHECK(result_save_json(&result, "/nowhere/at/all.json") < 0);
}

static bool is_near(double left, double right)
{
    return left - right < 1e-9 && right - left < 1e-9;
}

static void median_of_odd_and_even_counts(void)
{
    double odd[] = {5, 1, 3}, even[] = {4, 1, 2, 8}, one[] = {7};
    struct median median = median_of(odd, 3);
    CHECK(is_near(median.median, 3) && is_near(median.min, 1) && is_near(median.max, 5));
    median = median_of(even, 4);
    CHECK(is_near(median.median, 3) && is_near(median.min, 1) && is_near(median.max, 8));
    CHECK(is_near(median_of(one, 1).median, 7));
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(percentile_text_matches_hdr_histogram), TEST(percentile_rows_never_fall),
        TEST(empty_histogram_has_no_rows),           TEST(result_prints_pairs_in_order),
        TEST(result_saves_json_with_types),          TEST(median_of_odd_and_even_counts),
    };
    return test_run("bench report", cases, TEST_COUNT(cases), argc, argv);
}
