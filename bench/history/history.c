#include "bench/history/history.h"

#include <inttypes.h>
#include <stdlib.h>

#include "engine/base/assert.h"

enum { OPS_MIN = 256 };

void history_init(struct history *history)
{
    *history = (struct history){0};
}

void history_fini(struct history *history)
{
    free(history->ops);
    *history = (struct history){0};
}

void history_reset(struct history *history)
{
    history->count = 0;
    history->events = 0;
}

bool history_reserve(struct history *history, uint32_t ops)
{
    ASSERT_CMP(ops, <=, HISTORY_OPS_MAX);
    if (ops > history->capacity) {
        struct history_op *grown = realloc(history->ops, ops * sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        history->ops = grown;
        history->capacity = ops;
    }
    return true;
}

uint32_t history_call(struct history *history, uint32_t client, uint64_t now_ns,
                      enum history_operation operation, uint64_t key, uint64_t value,
                      uint64_t expected)
{
    bool is_write = operation == HISTORY_PUT || operation == HISTORY_SWAP;
    ASSERT((value != 0) == is_write);
    ASSERT(expected == 0 || operation == HISTORY_SWAP);
    if (history->count == history->capacity) {
        bool has_room =
            history_reserve(history, history->count < OPS_MIN ? OPS_MIN : history->count * 2);
        ASSERT(has_room);
    }
    history->ops[history->count] = (struct history_op){.key = key,
                                                       .value = value,
                                                       .expected = expected,
                                                       .call_ns = now_ns,
                                                       .client = client,
                                                       .called = history->events++,
                                                       .returned = HISTORY_NEVER,
                                                       .operation = (uint8_t)operation,
                                                       .outcome = HISTORY_OPEN};
    return history->count++;
}

void history_return(struct history *history, uint32_t id, uint64_t now_ns,
                    enum history_outcome outcome, uint64_t read)
{
    ASSERT_CMP(id, <, history->count);
    struct history_op *op = &history->ops[id];
    ASSERT_CMP(op->outcome, ==, HISTORY_OPEN);
    ASSERT_CMP(outcome, <, HISTORY_OPEN);
    op->outcome = (uint8_t)outcome;
    op->return_ns = now_ns;
    op->returned = history->events++;
    if (op->operation == HISTORY_GET && outcome == HISTORY_OK) {
        op->value = read;
    }
}

const char *history_operation_name(enum history_operation operation)
{
    static const char *const names[] = {[HISTORY_GET] = "get",
                                        [HISTORY_PUT] = "put",
                                        [HISTORY_DELETE] = "delete",
                                        [HISTORY_SWAP] = "cas"};
    return names[operation];
}

const char *history_outcome_name(enum history_outcome outcome)
{
    static const char *const names[] = {[HISTORY_OK] = "ok",
                                        [HISTORY_NOT_FOUND] = "not_found",
                                        [HISTORY_MISMATCH] = "mismatch",
                                        [HISTORY_FULL] = "full",
                                        [HISTORY_FAILED] = "failed",
                                        [HISTORY_EXPIRED] = "expired",
                                        [HISTORY_UNKNOWN] = "unknown",
                                        [HISTORY_OPEN] = "open"};
    return names[outcome];
}

static void print_token(uint64_t token, FILE *file)
{
    if (token == 0) {
        fputs("absent", file);
    } else {
        fprintf(file, "%" PRIx64, token);
    }
}

void history_print_op(const struct history *history, uint32_t id, FILE *file)
{
    const struct history_op *op = &history->ops[id];
    fprintf(file, "#%" PRIu32 " client %" PRIu32 " [%" PRIu64 "..", id, op->client, op->call_ns);
    if (op->outcome != HISTORY_OPEN) {
        fprintf(file, "%" PRIu64, op->return_ns);
    }
    fprintf(file, " ns] %s key %" PRIx64, history_operation_name(op->operation), op->key);
    if (op->operation == HISTORY_SWAP) {
        fputs(" expected ", file);
        print_token(op->expected, file);
    }
    if (op->operation == HISTORY_PUT || op->operation == HISTORY_SWAP) {
        fprintf(file, " value %" PRIx64, op->value);
    }
    fprintf(file, ": %s", history_outcome_name(op->outcome));
    if (op->operation == HISTORY_GET && op->outcome == HISTORY_OK) {
        fputc(' ', file);
        print_token(op->value, file);
    }
}

// An event by its time; calls before returns, then as recorded.
struct event {
    uint64_t time_ns;
    uint32_t number;
    uint32_t op;
    bool is_return;
};

static int compare_events(const void *left, const void *right)
{
    const struct event *a = left, *b = right;
    if (a->time_ns != b->time_ns) {
        return a->time_ns < b->time_ns ? -1 : 1;
    }
    if (a->is_return != b->is_return) {
        return a->is_return ? 1 : -1;
    }
    return a->number < b->number ? -1 : 1;
}

static int compare_calls(const void *left, const void *right)
{
    const struct history_op *a = left, *b = right;
    return a->called < b->called ? -1 : 1;
}

bool history_merge(struct history *history)
{
    struct event *events = malloc((history->events + (size_t)1) * sizeof(*events));
    uint32_t count = 0;
    if (events == NULL) {
        return false;
    }
    for (uint32_t id = 0; id < history->count; id++) {
        const struct history_op *op = &history->ops[id];
        events[count++] = (struct event){op->call_ns, op->called, id, false};
        if (op->outcome != HISTORY_OPEN) {
            events[count++] = (struct event){op->return_ns, op->returned, id, true};
        }
    }
    qsort(events, count, sizeof(*events), compare_events);
    for (uint32_t at = 0; at < count; at++) {
        struct history_op *op = &history->ops[events[at].op];
        *(events[at].is_return ? &op->returned : &op->called) = at;
    }
    free(events);
    qsort(history->ops, history->count, sizeof(*history->ops), compare_calls);
    return true;
}
