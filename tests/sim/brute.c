#include "tests/sim/brute.h"

#include "engine/base/assert.h"

struct pair {
    uint64_t key, value;
};

struct store {
    struct pair pairs[BRUTE_OPS_MAX];
    uint32_t count;
};

static uint64_t *find(struct store *store, uint64_t key)
{
    for (uint32_t at = 0; at < store->count; at++) {
        if (store->pairs[at].key == key) {
            return &store->pairs[at].value;
        }
    }
    store->pairs[store->count] = (struct pair){key, 0};
    return &store->pairs[store->count++].value;
}

static enum history_outcome compare_and_swap(uint64_t *value, const struct history_op *op)
{
    if (*value == 0 && op->expected != 0) {
        return HISTORY_NOT_FOUND;
    }
    if (*value != op->expected) {
        return HISTORY_MISMATCH;
    }
    if (op->outcome == HISTORY_FULL) {
        return HISTORY_FULL;
    }
    *value = op->value;
    return HISTORY_OK;
}

// What the store says when it executes the operation. The one thing it is told is whether it is
// full.
static enum history_outcome execute(struct store *store, const struct history_op *op,
                                    uint64_t *read)
{
    uint64_t *value = find(store, op->key);
    enum history_outcome outcome = HISTORY_OK;
    *read = *value;
    switch ((enum history_operation)op->operation) {
    case HISTORY_GET:
        break;
    case HISTORY_PUT:
        if (op->outcome == HISTORY_FULL) {
            return HISTORY_FULL;
        }
        *value = op->value;
        break;
    case HISTORY_DELETE:
        outcome = *value == 0 ? HISTORY_NOT_FOUND : HISTORY_OK;
        *value = 0;
        break;
    case HISTORY_SWAP:
        outcome = compare_and_swap(value, op);
        break;
    }
    return outcome;
}

static bool is_unknown(const struct history_op *op)
{
    return op->outcome == HISTORY_OPEN || op->outcome == HISTORY_UNKNOWN ||
           op->outcome == HISTORY_EXPIRED;
}

// Had it returned, for good, before the other was called?
static bool is_before(const struct history_op *op, const struct history_op *other)
{
    bool can_be_late = op->outcome == HISTORY_OPEN || op->outcome == HISTORY_UNKNOWN;
    return !can_be_late && op->returned < other->called;
}

// `waiting` have to come, in some order, behind those that came already, and only these.
static bool has_order(const struct history *history, uint32_t waiting, const struct store *before)
{
    for (uint32_t id = 0; id < history->count; id++) {
        const struct history_op *op = &history->ops[id];
        bool may_be_next = (waiting >> id & 1) != 0;
        for (uint32_t other = 0; other < history->count && may_be_next; other++) {
            may_be_next = (waiting >> other & 1) == 0 || !is_before(&history->ops[other], op);
        }
        if (!may_be_next) {
            continue;
        }
        struct store store = *before;
        uint64_t read;
        enum history_outcome outcome = execute(&store, op, &read);
        bool is_as_told = is_unknown(op) || (outcome == (enum history_outcome)op->outcome &&
                                             (op->operation != HISTORY_GET || read == op->value));
        if (is_as_told &&
            (waiting == 1u << id || has_order(history, waiting & ~(1u << id), &store))) {
            return true;
        }
    }
    return false;
}

bool brute_is_linear(const struct history *history)
{
    uint32_t certain = 0, unknown = 0;
    ASSERT_CMP(history->count, <=, BRUTE_OPS_MAX);
    for (uint32_t id = 0; id < history->count; id++) {
        const struct history_op *op = &history->ops[id];
        if (is_unknown(op)) {
            unknown |= 1u << id;
        } else if (op->outcome != HISTORY_FAILED) {
            certain |= 1u << id;
        }
    }
    // All subsets of `unknown`, the empty one last.
    for (uint32_t chosen = unknown;; chosen = (chosen - 1) & unknown) {
        const struct store empty = {0};
        if ((certain | chosen) == 0 || has_order(history, certain | chosen, &empty)) {
            return true;
        }
        if (chosen == 0) {
            return false;
        }
    }
}
