#include "tests/sim/linear.h"

#include <string.h>

#include "tests/sim/linear_key.h"
#include "tests/sim/linear_search.h"

enum {
    // To make a violation smaller. Weak operations make the search wider.
    ATTEMPT_BUDGET = 20000,
    ATTEMPTS_BUDGET = 1000000, // of all together
    ATTEMPTS_MAX = 512,
};

struct linear {
    uint64_t budget;
    struct linear_key key;
    struct linear_search search;
    struct table keys;
    uint32_t *key_of;  // by id: which of the keys
    uint32_t *borders; // by key: its ids are [borders[key], borders[key + 1])
    uint32_t *ids;     // by key, then by call
    uint32_t capacity;
    // Of a violation:
    bool *is_weak; // by id
    uint32_t *returns;
    uint32_t *conflict;
    bool *is_context;
};

struct linear *linear_open(uint64_t budget)
{
    struct linear *linear = calloc(1, sizeof(*linear));
    if (linear != NULL) {
        linear->budget = budget;
        linear_key_init(&linear->key);
        linear_search_init(&linear->search);
    }
    return linear;
}

void linear_close(struct linear *linear)
{
    linear_key_fini(&linear->key);
    linear_search_fini(&linear->search);
    table_fini(&linear->keys);
    void *const memory[] = {linear->key_of,  linear->borders,  linear->ids,       linear->is_weak,
                            linear->returns, linear->conflict, linear->is_context};
    for (size_t at = 0; at < sizeof(memory) / sizeof(memory[0]); at++) {
        free(memory[at]);
    }
    free(linear);
}

static void *grow(void *memory, size_t count, size_t bytes)
{
    void *grown = realloc(memory, count * bytes);
    ASSERT(grown != NULL);
    return grown;
}

static void reserve(struct linear *linear, uint32_t count)
{
    uint32_t capacity = linear->capacity == 0 ? 256 : linear->capacity;
    if (count <= linear->capacity) {
        return;
    }
    while (capacity < count) {
        capacity *= 2;
    }
    linear->key_of = grow(linear->key_of, capacity, sizeof(*linear->key_of));
    linear->borders = grow(linear->borders, (size_t)capacity + 2, sizeof(*linear->borders));
    linear->ids = grow(linear->ids, capacity, sizeof(*linear->ids));
    linear->is_weak = grow(linear->is_weak, capacity, sizeof(*linear->is_weak));
    linear->returns = grow(linear->returns, capacity, sizeof(*linear->returns));
    linear->conflict = grow(linear->conflict, capacity, sizeof(*linear->conflict));
    linear->is_context = grow(linear->is_context, capacity, sizeof(*linear->is_context));
    linear->capacity = capacity;
}

// Sorts the ids by key. Result: how many keys.
static uint32_t sort_by_key(struct linear *linear, const struct history *history)
{
    uint32_t keys = 0;
    reserve(linear, history->count);
    table_reset(&linear->keys);
    for (uint32_t id = 0; id < history->count; id++) {
        uint32_t key = table_find_or_add(&linear->keys, history->ops[id].key, keys);
        keys += key == keys;
        linear->key_of[id] = key;
    }
    memset(linear->borders, 0, (keys + (size_t)2) * sizeof(*linear->borders));
    for (uint32_t id = 0; id < history->count; id++) {
        linear->borders[linear->key_of[id] + 2]++;
    }
    for (uint32_t key = 0; key < keys; key++) {
        linear->borders[key + 2] += linear->borders[key + 1];
    }
    for (uint32_t id = 0; id < history->count; id++) {
        linear->ids[linear->borders[linear->key_of[id] + 1]++] = id;
    }
    return keys;
}

static enum linear_verdict judge_key(struct linear *linear, const struct history *history,
                                     const uint32_t *ids, uint32_t count, const bool *is_weak,
                                     uint64_t budget)
{
    linear->search.configurations = 0;
    if (!linear_key_prepare(&linear->key, history, ids, count, is_weak)) {
        return LINEAR_VIOLATION;
    }
    return linear_search_run(&linear->search, &linear->key, budget);
}

// --- which operations have no order ------------------------------------------------------------
//
// Weakening an operation, that is, taking it as of unknown outcome, and cutting off everything
// behind an event (what has not returned by then is weak) leave every linearization of the history
// one of the smaller one. So a violation in the smaller history is one of the whole.

struct smaller {
    struct linear *linear;
    const struct history *history;
    const uint32_t *ids;
    uint32_t count;
    uint32_t returns; // of the key, in linear->returns, in order
    uint64_t budget;  // left
};

static bool is_violation(struct smaller *smaller)
{
    uint64_t budget = smaller->budget < ATTEMPT_BUDGET ? smaller->budget : ATTEMPT_BUDGET;
    if (budget == 0) {
        return false;
    }
    enum linear_verdict verdict = judge_key(smaller->linear, smaller->history, smaller->ids,
                                            smaller->count, smaller->linear->is_weak, budget);
    smaller->budget -= smaller->linear->search.configurations;
    return verdict == LINEAR_VIOLATION;
}

// Only what happened after event `from` and up to event `end` keeps its outcome.
static bool is_violation_between(struct smaller *smaller, uint32_t from, uint32_t end)
{
    const struct history_op *ops = smaller->history->ops;
    uint32_t whole = smaller->count, count = 0;
    while (count < whole && ops[smaller->ids[count]].called < end) {
        const struct history_op *op = &ops[smaller->ids[count]];
        smaller->linear->is_weak[smaller->ids[count]] =
            op->returned == HISTORY_NEVER || op->returned < from || op->returned > end;
        count++;
    }
    smaller->count = count;
    bool is = is_violation(smaller);
    smaller->count = whole;
    return is;
}

static int compare_events(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static void find_returns(struct smaller *smaller)
{
    smaller->returns = 0;
    for (uint32_t at = 0; at < smaller->count; at++) {
        uint32_t returned = smaller->history->ops[smaller->ids[at]].returned;
        if (returned != HISTORY_NEVER) {
            smaller->linear->returns[smaller->returns++] = returned;
        }
    }
    qsort(smaller->linear->returns, smaller->returns, sizeof(uint32_t), compare_events);
}

// The shortest beginning of the history that is a violation, and of that the shortest end: both by
// bisection. Where a search gives up, the answer is longer than need be.
static void find_window(struct smaller *smaller)
{
    const uint32_t *returns = smaller->linear->returns;
    uint32_t low = 0, high = smaller->returns - 1, end = high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (is_violation_between(smaller, 0, returns[middle])) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    end = high;
    low = 0;
    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        if (is_violation_between(smaller, returns[middle], returns[end])) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    is_violation_between(smaller, returns[low], returns[end]);
    while (smaller->count > 0 &&
           smaller->history->ops[smaller->ids[smaller->count - 1]].called > returns[end]) {
        smaller->count--;
    }
}

static void weaken_singly(struct smaller *smaller)
{
    bool *is_weak = smaller->linear->is_weak;
    uint32_t attempts = 0;
    for (uint32_t at = 0; at < smaller->count && attempts < ATTEMPTS_MAX; at++) {
        uint32_t id = smaller->ids[at];
        if (!is_weak[id] && smaller->budget > 0) {
            attempts++;
            is_weak[id] = true;
            is_weak[id] = is_violation(smaller);
        }
    }
}

static bool writes(const struct history_op *op, uint64_t token)
{
    return (op->operation == HISTORY_PUT || op->operation == HISTORY_SWAP) && op->value == token;
}

// Does an operation of the conflict need this write?
static bool is_needed(const struct smaller *smaller, const struct history_op *write)
{
    for (uint32_t at = 0; at < smaller->count; at++) {
        const struct history_op *op = &smaller->history->ops[smaller->ids[at]];
        uint64_t token = op->operation == HISTORY_GET ? op->value : op->expected;
        if (!smaller->linear->is_weak[smaller->ids[at]] && token != 0 && writes(write, token)) {
            return true;
        }
    }
    return false;
}

static void explain(struct linear *linear, const struct history *history, uint32_t key,
                    struct linear_result *result)
{
    struct smaller smaller = {.linear = linear,
                              .history = history,
                              .ids = &linear->ids[linear->borders[key]],
                              .budget = ATTEMPTS_BUDGET,
                              .count = linear->borders[key + 1] - linear->borders[key]};
    find_returns(&smaller);
    find_window(&smaller);
    weaken_singly(&smaller);
    result->key = history->ops[smaller.ids[0]].key;
    result->id_count = 0;
    for (uint32_t at = 0; at < smaller.count; at++) {
        uint32_t id = smaller.ids[at];
        if (!linear->is_weak[id] || is_needed(&smaller, &history->ops[id])) {
            linear->is_context[result->id_count] = linear->is_weak[id];
            linear->conflict[result->id_count++] = id;
        }
    }
    result->ids = linear->conflict;
    result->is_context = linear->is_context;
}

void linear_judge(struct linear *linear, const struct history *history,
                  struct linear_result *result)
{
    *result = (struct linear_result){.verdict = LINEAR, .keys = sort_by_key(linear, history)};
    for (uint32_t key = 0; key < result->keys; key++) {
        uint32_t from = linear->borders[key];
        enum linear_verdict verdict =
            judge_key(linear, history, &linear->ids[from], linear->borders[key + 1] - from, NULL,
                      linear->budget);
        result->configurations += linear->search.configurations;
        if (verdict == LINEAR_VIOLATION) {
            result->verdict = verdict;
            explain(linear, history, key, result);
            return;
        }
        if (verdict == LINEAR_GAVE_UP) {
            result->verdict = verdict;
            result->keys_given_up++;
        }
    }
}

const char *linear_verdict_name(enum linear_verdict verdict)
{
    static const char *const names[] = {
        [LINEAR] = "LINEAR", [LINEAR_VIOLATION] = "VIOLATION", [LINEAR_GAVE_UP] = "GAVE_UP"};
    return names[verdict];
}

void linear_print_violation(const struct history *history, const struct linear_result *result,
                            FILE *file)
{
    for (uint32_t at = 0; at < result->id_count; at++) {
        fputs("    ", file);
        history_print_op(history, result->ids[at], file);
        fputs(result->is_context[at] ? " (wrote what was read)\n" : "\n", file);
    }
}
