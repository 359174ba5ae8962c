#include "bench/report/result.h"

#include "bench/report/hdr_text.h"
#include "engine/base/assert.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static struct result_pair *add(struct result *result, const char *key, enum result_kind kind)
{
    ASSERT_CMP(result->count, <, RESULT_PAIRS_MAX);
    struct result_pair *pair = &result->pairs[result->count++];
    pair->key = key;
    pair->kind = kind;
    return pair;
}

void result_init(struct result *result, int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    *result = (struct result){.argc = argc, .argv = argv};
    result_add_text(result, "program", slash == NULL ? argv[0] : slash + 1);
}

void result_add_text(struct result *result, const char *key, const char *text)
{
    snprintf(add(result, key, RESULT_TEXT)->text, RESULT_TEXT_BYTES, "%s", text);
}

void result_add_count(struct result *result, const char *key, uint64_t count)
{
    snprintf(add(result, key, RESULT_COUNT)->text, RESULT_TEXT_BYTES, "%" PRIu64, count);
}

void result_add_real(struct result *result, const char *key, double value, int decimals)
{
    snprintf(add(result, key, RESULT_REAL)->text, RESULT_TEXT_BYTES, "%.*f", decimals, value);
}

void result_add_latency(struct result *result, const struct histogram *histogram)
{
    static const struct {
        const char *key;
        double percentile;
    } rows[] = {{"p50_us", 50}, {"p90_us", 90}, {"p99_us", 99}, {"p999_us", 99.9}, {"max_us", 100}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t value_ns = histogram_percentile(histogram, rows[i].percentile);
        result_add_real(result, rows[i].key, (double)value_ns / 1000, 2);
    }
}

void result_print(const struct result *result, FILE *file)
{
    for (size_t i = 0; i < result->count; i++) {
        fprintf(file, "%s%s=%s", i == 0 ? "" : " ", result->pairs[i].key, result->pairs[i].text);
    }
    fprintf(file, "\n");
}

static json_t *value_of(const struct result_pair *pair)
{
    switch (pair->kind) {
    case RESULT_TEXT:
        return json_string(pair->text);
    case RESULT_COUNT:
        return json_integer((json_int_t)strtoull(pair->text, NULL, 10));
    case RESULT_REAL:
        return json_real(strtod(pair->text, NULL));
    }
    return NULL;
}

static json_t *command_of(const struct result *result)
{
    json_t *command = json_array();
    for (int i = 0; i < result->argc; i++) {
        json_array_append_new(command, json_string(result->argv[i]));
    }
    return command;
}

static json_t *machine(void)
{
    struct utsname name;
    if (uname(&name) < 0) {
        return json_null();
    }
    return json_pack("{s:s, s:s, s:s, s:i}", "system", name.sysname, "release", name.release, "cpu",
                     name.machine, "cpus", (int)sysconf(_SC_NPROCESSORS_ONLN));
}

int result_save_json(const struct result *result, const char *path)
{
    json_t *object = json_object();
    for (size_t i = 0; i < result->count; i++) {
        json_object_set_new(object, result->pairs[i].key, value_of(&result->pairs[i]));
    }
    json_object_set_new(object, "command", command_of(result));
    json_object_set_new(object, "machine", machine());
    errno = 0;
    int status = json_dump_file(object, path, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    json_decref(object);
    return status == 0 ? 0 : errno != 0 ? -errno : -EIO;
}

int result_finish(const struct result *result, const struct histogram *histogram,
                  const char *json_path, const char *hdr_path)
{
    result_print(result, stdout);
    int error = json_path == NULL ? 0 : result_save_json(result, json_path);
    if (error != 0) {
        fprintf(stderr, "%s: %s\n", json_path, strerror(-error));
        return 1;
    }
    error = hdr_path == NULL ? 0 : hdr_text_save(hdr_path, histogram);
    if (error != 0) {
        fprintf(stderr, "%s: %s\n", hdr_path, strerror(-error));
        return 1;
    }
    return 0;
}
