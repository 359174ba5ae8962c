// Histories as text, one event a line: README.md. The writer needs no library, for all it writes
// are numbers and fixed words; the reader is strict, because the files are made by others, too.
#include "bench/history/history.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/table.h"

enum { REASON_BYTES = 256, MEMBERS_MAX = 8 };

// --- writing -----------------------------------------------------------------------------------

static void write_token(FILE *file, const char *name, uint64_t token)
{
    if (token == 0) {
        fprintf(file, ",\"%s\":null", name);
    } else {
        fprintf(file, ",\"%s\":\"%" PRIx64 "\"", name, token);
    }
}

static void write_call(const struct history_op *op, uint32_t id, FILE *file)
{
    fprintf(file,
            "{\"event\":\"call\",\"id\":%" PRIu32 ",\"time\":%" PRIu64 ",\"client\":%" PRIu32
            ",\"op\":\"%s\",\"key\":\"%" PRIx64 "\"",
            id, op->call_ns, op->client, history_operation_name(op->operation), op->key);
    if (op->operation == HISTORY_SWAP) {
        write_token(file, "expected", op->expected);
    }
    if (op->operation == HISTORY_SWAP || op->operation == HISTORY_PUT) {
        write_token(file, "value", op->value);
    }
    fputs("}\n", file);
}

static void write_return(const struct history_op *op, uint32_t id, FILE *file)
{
    fprintf(file, "{\"event\":\"return\",\"id\":%" PRIu32 ",\"time\":%" PRIu64 ",\"result\":\"%s\"",
            id, op->return_ns, history_outcome_name(op->outcome));
    if (op->operation == HISTORY_GET && op->outcome == HISTORY_OK) {
        write_token(file, "value", op->value);
    }
    fputs("}\n", file);
}

int history_write(const struct history *history, FILE *file)
{
    uint32_t *op_of = malloc((history->events + (size_t)1) * sizeof(*op_of));
    if (op_of == NULL) {
        return -ENOMEM;
    }
    for (uint32_t id = 0; id < history->count; id++) {
        op_of[history->ops[id].called] = id;
        if (history->ops[id].outcome != HISTORY_OPEN) {
            op_of[history->ops[id].returned] = id;
        }
    }
    for (uint32_t event = 0; event < history->events; event++) {
        const struct history_op *op = &history->ops[op_of[event]];
        if (op->called == event) {
            write_call(op, op_of[event], file);
        } else {
            write_return(op, op_of[event], file);
        }
    }
    free(op_of);
    return fflush(file) != 0 || ferror(file) ? -EIO : 0;
}

// --- reading -----------------------------------------------------------------------------------

struct reader {
    struct history *history;
    uint64_t time_ns;    // of the line before
    struct table ids;    // of the file, to ours
    struct table tokens; // to the operations that write them
    char text[REASON_BYTES];
};

__attribute__((format(printf, 2, 3))) static bool refuse(struct reader *reader, const char *format,
                                                         ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reader->text, sizeof(reader->text), format, arguments);
    va_end(arguments);
    return false;
}

// A number in [0, max].
static bool read_number(struct reader *reader, const json_t *line, const char *name, uint64_t max,
                        uint64_t *number)
{
    const json_t *value = json_object_get(line, name);
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > max) {
        return refuse(reader, "\"%s\" must be a number from 0 to %" PRIu64, name, max);
    }
    *number = (uint64_t)json_integer_value(value);
    return true;
}

// 1 to 16 lower-case hexadecimal digits.
static bool read_hex(struct reader *reader, const json_t *line, const char *name, uint64_t *number)
{
    const char *text = json_string_value(json_object_get(line, name));
    size_t length = text == NULL ? 0 : strlen(text);
    if (length < 1 || length > 16 || strspn(text, "0123456789abcdef") != length) {
        return refuse(reader, "\"%s\" must be a string of 1 to 16 lower-case hexadecimal digits",
                      name);
    }
    *number = strtoull(text, NULL, 16);
    return true;
}

// Hexadecimal and not 0, or null for 0 where that may be.
static bool read_token(struct reader *reader, const json_t *line, const char *name,
                       bool may_be_absent, uint64_t *token)
{
    if (may_be_absent && json_is_null(json_object_get(line, name))) {
        *token = 0;
        return true;
    }
    if (!read_hex(reader, line, name, token)) {
        return false;
    }
    return *token != 0 || refuse(reader, "\"%s\" must not be 0", name);
}

// The place of the word in names [0, count). Result: count when there is none.
static int find_word(const char *word, const char *(*name_of)(int), int count)
{
    int at = 0;
    while (at < count && (word == NULL || strcmp(word, name_of(at)) != 0)) {
        at++;
    }
    return at;
}

static const char *operation_name(int at)
{
    return history_operation_name((enum history_operation)at);
}

static const char *outcome_name(int at)
{
    return history_outcome_name((enum history_outcome)at);
}

// Nothing but these members. `names` ends with NULL.
static bool has_only(struct reader *reader, json_t *line, const char *const *names)
{
    const char *name;
    json_t *value;
    json_object_foreach(line, name, value)
    {
        size_t at = 0;
        while (names[at] != NULL && strcmp(names[at], name) != 0) {
            at++;
        }
        if (names[at] == NULL) {
            return refuse(reader, "\"%.64s\" does not belong here", name);
        }
    }
    return true;
}

static bool has_members_of_call(struct reader *reader, json_t *line,
                                enum history_operation operation)
{
    const char *names[MEMBERS_MAX + 1] = {"event", "id", "time", "client", "op", "key"};
    if (operation == HISTORY_PUT) {
        names[6] = "value";
    } else if (operation == HISTORY_SWAP) {
        names[6] = "expected";
        names[7] = "value";
    }
    return has_only(reader, line, names);
}

// Adds, and is false where the key was there.
static bool is_first(struct table *table, uint64_t key, uint32_t op)
{
    return table_find_or_add(table, key, op) == op;
}

static bool take_call(struct reader *reader, json_t *line, uint64_t id)
{
    uint64_t client = 0, key = 0, expected = 0, value = 0;
    const char *word = json_string_value(json_object_get(line, "op"));
    int operation = find_word(word, operation_name, HISTORY_SWAP + 1);
    if (operation > HISTORY_SWAP) {
        return refuse(reader, "\"op\" must be get, put, delete or cas");
    }
    if (!has_members_of_call(reader, line, (enum history_operation)operation) ||
        !read_number(reader, line, "client", UINT32_MAX, &client) ||
        !read_hex(reader, line, "key", &key) ||
        (operation == HISTORY_SWAP && !read_token(reader, line, "expected", true, &expected)) ||
        ((operation == HISTORY_PUT || operation == HISTORY_SWAP) &&
         !read_token(reader, line, "value", false, &value))) {
        return false;
    }
    if (!is_first(&reader->ids, id, reader->history->count)) {
        return refuse(reader, "operation %" PRIu64 " was called before", id);
    }
    if (value != 0 && !is_first(&reader->tokens, value, reader->history->count)) {
        return refuse(reader, "value %" PRIx64 " is written a second time", value);
    }
    history_call(reader->history, (uint32_t)client, reader->time_ns,
                 (enum history_operation)operation, key, value, expected);
    return true;
}

static bool take_return(struct reader *reader, json_t *line, uint64_t id)
{
    static const char *const names[] = {"event", "id", "time", "result", NULL};
    static const char *const names_of_read[] = {"event", "id", "time", "result", "value", NULL};
    const char *word = json_string_value(json_object_get(line, "result"));
    int outcome = find_word(word, outcome_name, HISTORY_OPEN);
    uint64_t value = 0;
    if (outcome == HISTORY_OPEN) {
        return refuse(reader, "\"result\" must be ok, not_found, mismatch, full, failed, expired "
                              "or unknown");
    }
    uint32_t op = table_find_or_add(&reader->ids, id, HISTORY_NEVER);
    if (op == HISTORY_NEVER) {
        return refuse(reader, "operation %" PRIu64 " was not called", id);
    }
    if (reader->history->ops[op].outcome != HISTORY_OPEN) {
        return refuse(reader, "operation %" PRIu64 " has returned before", id);
    }
    bool has_read = reader->history->ops[op].operation == HISTORY_GET && outcome == HISTORY_OK;
    if (!has_only(reader, line, has_read ? names_of_read : names) ||
        (has_read && !read_token(reader, line, "value", true, &value))) {
        return false;
    }
    history_return(reader->history, op, reader->time_ns, (enum history_outcome)outcome, value);
    return true;
}

static bool take_line(struct reader *reader, json_t *line)
{
    uint64_t id = 0, time_ns = 0;
    const char *event = json_string_value(json_object_get(line, "event"));
    if (!json_is_object(line)) {
        return refuse(reader, "not an object");
    }
    if (!read_number(reader, line, "id", INT64_MAX, &id) ||
        !read_number(reader, line, "time", INT64_MAX, &time_ns)) {
        return false;
    }
    if (time_ns < reader->time_ns) {
        return refuse(reader, "\"time\" is before that of the line before");
    }
    reader->time_ns = time_ns;
    if (event != NULL && strcmp(event, "call") == 0) {
        return take_call(reader, line, id);
    }
    if (event != NULL && strcmp(event, "return") == 0) {
        return take_return(reader, line, id);
    }
    return refuse(reader, "\"event\" must be call or return");
}

static bool take_text(struct reader *reader, const char *text, size_t bytes)
{
    json_error_t error;
    json_t *line = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (line == NULL) {
        return refuse(reader, "not JSON: %s", error.text);
    }
    bool is_good = take_line(reader, line);
    json_decref(line);
    return is_good;
}

// Result: lines read, or minus the number of the line that was refused.
static int64_t take_lines(struct reader *reader, FILE *file)
{
    char *text = NULL;
    size_t capacity = 0;
    int64_t number = 0;
    bool is_good = true;
    for (ssize_t bytes; is_good && (bytes = getline(&text, &capacity, file)) >= 0;) {
        number++;
        if (reader->history->count >= HISTORY_OPS_MAX) {
            is_good = refuse(reader, "more than %d operations", HISTORY_OPS_MAX);
        } else {
            is_good = take_text(reader, text, (size_t)bytes);
        }
    }
    free(text);
    return is_good ? number : -number;
}

int history_read(struct history *history, FILE *file, char *reason, size_t reason_bytes)
{
    struct reader reader = {.history = history};
    table_reset(&reader.ids);
    table_reset(&reader.tokens);
    for (uint32_t id = 0; id < history->count; id++) {
        const struct history_op *op = &history->ops[id];
        if (op->operation == HISTORY_PUT || op->operation == HISTORY_SWAP) {
            is_first(&reader.tokens, op->value, id);
        }
    }
    int64_t lines = take_lines(&reader, file);
    table_fini(&reader.ids);
    table_fini(&reader.tokens);
    if (lines < 0) {
        snprintf(reason, reason_bytes, "line %" PRId64 ": %s", -lines, reader.text);
        return -EINVAL;
    }
    if (ferror(file)) {
        snprintf(reason, reason_bytes, "cannot be read");
        return -EIO;
    }
    return 0;
}
