// What a benchmark found, once: printed as a line of key=value pairs and saved as a JSON object.
//
// Keys keep the order in which they were added. The JSON has "command" and "machine" besides.
#ifndef PONTOON_BENCH_RESULT_H
#define PONTOON_BENCH_RESULT_H

#include "engine/base/histogram.h"

#include <stdint.h>
#include <stdio.h>

enum { RESULT_PAIRS_MAX = 64, RESULT_TEXT_BYTES = 64 };

enum result_kind { RESULT_TEXT, RESULT_COUNT, RESULT_REAL };

struct result_pair {
    const char *key; // lives as long as the result
    enum result_kind kind;
    char text[RESULT_TEXT_BYTES]; // as printed
};

struct result {
    int argc;
    char **argv;
    size_t count; // <= RESULT_PAIRS_MAX
    struct result_pair pairs[RESULT_PAIRS_MAX];
};

// Starts with the pair program=NAME, the last part of argv[0].
void result_init(struct result *result, int argc, char **argv);

void result_add_text(struct result *result, const char *key, const char *text);
void result_add_count(struct result *result, const char *key, uint64_t count);
void result_add_real(struct result *result, const char *key, double value, int decimals);

// Adds p50_us, p90_us, p99_us, p999_us and max_us.
void result_add_latency(struct result *result, const struct histogram *histogram);

// Prints the line.
void result_print(const struct result *result, FILE *file);

// Saves the object. Result: 0 or a negative errno.
int result_save_json(const struct result *result, const char *path);

// Prints the line to stdout and saves JSON and percentile text where a path is given (NULL: not).
// Result: exit status of main, with one line on stderr when a file could not be written.
int result_finish(const struct result *result, const struct histogram *histogram,
                  const char *json_path, const char *hdr_path);

#endif
