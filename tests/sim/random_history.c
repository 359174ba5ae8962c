#include "tests/sim/random_history.h"

#include <string.h>

#include "tests/sim/judged.h"

enum { CLIENTS_MAX = 16, KEYS_MAX = 8, LATE_MAX = 64 };

static uint64_t next_token;

// A store per key, and clients that call, are executed at a moment, and return.
struct under_way {
    uint32_t id; // HISTORY_NEVER: idle
    bool is_executed, is_lost, is_expired, is_dead;
    enum history_outcome outcome;
    uint64_t read;
};

static uint64_t stores[KEYS_MAX];
static uint64_t recent[KEYS_MAX]; // some token of the key

static enum history_operation pick_operation(struct prng *prng, const struct random_mix *mix)
{
    uint64_t dice = prng_below(prng, mix->get + mix->put + mix->del + mix->swap);
    if (dice < mix->get) {
        return HISTORY_GET;
    }
    if (dice < mix->get + mix->put) {
        return HISTORY_PUT;
    }
    return dice < mix->get + mix->put + mix->del ? HISTORY_DELETE : HISTORY_SWAP;
}

static void call_random(struct prng *prng, const struct random_mix *mix, uint32_t client,
                        struct under_way *way)
{
    uint64_t key = prng_below(prng, mix->keys);
    enum history_operation operation = pick_operation(prng, mix);
    bool is_write = operation == HISTORY_PUT || operation == HISTORY_SWAP;
    uint64_t expected = operation != HISTORY_SWAP ? 0
                        : prng_chance(prng, 1, 4) ? recent[key]
                                                  : stores[key];
    *way = (struct under_way){.is_lost = prng_chance(prng, mix->lost, 100),
                              .is_expired = prng_chance(prng, mix->expired, 100),
                              .is_dead = prng_chance(prng, 1, 2)};
    way->id = history_call(&judged, client, judged_now(), operation, key,
                           is_write ? next_token++ : 0, expected);
}

static void execute(struct under_way *way)
{
    const struct history_op *op = &judged.ops[way->id];
    uint64_t *value = &stores[op->key];
    way->is_executed = true;
    way->outcome = HISTORY_OK;
    way->read = *value;
    switch ((enum history_operation)op->operation) {
    case HISTORY_GET:
        break;
    case HISTORY_PUT:
        *value = op->value;
        break;
    case HISTORY_DELETE:
        way->outcome = *value == 0 ? HISTORY_NOT_FOUND : HISTORY_OK;
        *value = 0;
        break;
    case HISTORY_SWAP:
        if (*value == op->expected) {
            *value = op->value;
        } else {
            way->outcome = *value == 0 ? HISTORY_NOT_FOUND : HISTORY_MISMATCH;
        }
        break;
    }
    if (*value != 0) {
        recent[op->key] = *value;
    }
}

// Two puts one after the other, and a read of the first.
static void read_stale(struct prng *prng, const struct random_mix *mix)
{
    uint64_t key = prng_below(prng, mix->keys);
    for (int at = 0; at < 2; at++) {
        uint32_t id =
            history_call(&judged, CLIENTS_MAX, judged_now(), HISTORY_PUT, key, next_token++, 0);
        judged_end(id, HISTORY_OK);
    }
    stores[key] = recent[key] = next_token - 1;
    judged_end_get(history_call(&judged, CLIENTS_MAX, judged_now(), HISTORY_GET, key, 0, 0),
                   next_token - 2);
}

void random_history_make(struct prng *prng, const struct random_mix *mix, uint32_t wrong_at)
{
    static struct under_way ways[CLIENTS_MAX], late[LATE_MAX];
    uint32_t late_count = 0, busy = 0;
    judged_start();
    next_token = 1;
    memset(stores, 0, sizeof(stores));
    memset(recent, 0, sizeof(recent));
    for (uint32_t at = 0; at < mix->clients; at++) {
        ways[at].id = HISTORY_NEVER;
    }
    while (judged.count < mix->ops || busy > 0) {
        if (judged.count >= wrong_at) {
            wrong_at = HISTORY_NEVER;
            read_stale(prng, mix);
        }
        uint32_t client = (uint32_t)prng_below(prng, mix->clients);
        struct under_way *way = &ways[client];
        if (late_count > 0 && prng_chance(prng, 1, 40)) {
            uint32_t at = (uint32_t)prng_below(prng, late_count);
            execute(&late[at]);
            late[at] = late[--late_count];
        }
        if (way->id == HISTORY_NEVER) {
            if (judged.count < mix->ops) {
                call_random(prng, mix, client, way);
                busy++;
            }
        } else if (!way->is_executed && !way->is_lost && !(way->is_expired && way->is_dead)) {
            execute(way);
        } else {
            bool is_open = way->is_lost && prng_chance(prng, 1, 2);
            if (!is_open) {
                history_return(&judged, way->id, judged_now(),
                               way->is_lost      ? HISTORY_UNKNOWN
                               : way->is_expired ? HISTORY_EXPIRED
                                                 : way->outcome,
                               way->read);
            }
            if (way->is_lost && !way->is_dead && late_count < LATE_MAX) {
                late[late_count++] = *way;
            }
            way->id = HISTORY_NEVER;
            busy--;
        }
    }
}

void random_history_mutate(struct prng *prng)
{
    struct history_op *op = &judged.ops[prng_below(prng, judged.count)];
    switch (prng_below(prng, 5)) {
    case 0:
        if (op->operation == HISTORY_GET && op->outcome == HISTORY_OK) {
            op->value = prng_below(prng, next_token + 1);
        }
        break;
    case 1:
        if (op->outcome <= HISTORY_EXPIRED) {
            op->outcome = (uint8_t)prng_below(prng, HISTORY_UNKNOWN + 1);
        }
        break;
    case 2:
        if (op->operation == HISTORY_SWAP) {
            op->expected = prng_below(prng, next_token + 1);
        }
        break;
    default: { // exchange two events
        uint32_t number = (uint32_t)prng_below(prng, judged.events - 1);
        uint32_t *first = NULL, *second = NULL;
        for (uint32_t id = 0; id < judged.count; id++) {
            struct history_op *other = &judged.ops[id];
            first = other->called == number     ? &other->called
                    : other->returned == number ? &other->returned
                                                : first;
            second = other->called == number + 1     ? &other->called
                     : other->returned == number + 1 ? &other->returned
                                                     : second;
        }
        uint32_t kept = *first;
        *first = *second;
        *second = kept;
        break;
    }
    }
}

bool random_history_is_sane(void)
{
    for (uint32_t id = 0; id < judged.count; id++) {
        const struct history_op *op = &judged.ops[id];
        if (op->called > op->returned || (id > 0 && op->called < judged.ops[id - 1].called)) {
            return false;
        }
    }
    return true;
}

void random_history_arbitrary(struct prng *prng, uint32_t ops)
{
    uint64_t tokens = ops + 1;
    uint32_t open[8], open_count = 0;
    judged_start();
    next_token = 1;
    while (judged.count < ops || open_count > 0) {
        if (judged.count < ops &&
            (open_count == 0 || (open_count < 8 && prng_chance(prng, 1, 2)))) {
            enum history_operation operation = (enum history_operation)prng_below(prng, 4);
            bool is_write = operation == HISTORY_PUT || operation == HISTORY_SWAP;
            open[open_count++] =
                history_call(&judged, 1, judged_now(), operation, 0, is_write ? next_token++ : 0,
                             operation == HISTORY_SWAP ? prng_below(prng, tokens) : 0);
            continue;
        }
        uint32_t at = (uint32_t)prng_below(prng, open_count);
        enum history_operation operation = (enum history_operation)judged.ops[open[at]].operation;
        enum history_outcome outcome =
            prng_chance(prng, 1, 20) ? (enum history_outcome)prng_below(prng, HISTORY_OPEN)
            : prng_chance(prng, 1, 3)
                ? (enum history_outcome)prng_between(prng, HISTORY_EXPIRED, HISTORY_UNKNOWN)
            : operation == HISTORY_DELETE ? (enum history_outcome)prng_below(prng, HISTORY_MISMATCH)
            : operation == HISTORY_SWAP   ? (enum history_outcome)prng_below(prng, HISTORY_FULL)
                                          : HISTORY_OK;
        history_return(&judged, open[at], judged_now(), outcome, prng_below(prng, tokens));
        open[at] = open[--open_count];
    }
}
