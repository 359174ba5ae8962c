// The judge of histories: known-good and known-bad ones, random good ones, and agreement with the
// slow twin on hundreds of thousands of small ones.
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "engine/base/prng.h"
#include "tests/harness/harness.h"
#include "tests/sim/brute.h"
#include "tests/sim/linear.h"

enum { KEY = 7, CONFLICTS_EACH = 8 };

static struct history history;
static struct linear *judge;
static struct linear_result result;
static uint64_t clock_ns;

static void start(void)
{
    history_reset(&history);
    clock_ns = 0;
}

static uint32_t get(void)
{
    return history_call(&history, 1, ++clock_ns, HISTORY_GET, KEY, 0, 0);
}

static uint32_t put(uint64_t token)
{
    return history_call(&history, 2, ++clock_ns, HISTORY_PUT, KEY, token, 0);
}

static uint32_t del(void)
{
    return history_call(&history, 3, ++clock_ns, HISTORY_DELETE, KEY, 0, 0);
}

static uint32_t swap(uint64_t expected, uint64_t token)
{
    return history_call(&history, 4, ++clock_ns, HISTORY_SWAP, KEY, token, expected);
}

static void end(uint32_t id, enum history_outcome outcome)
{
    history_return(&history, id, ++clock_ns, outcome, 0);
}

static void end_get(uint32_t id, uint64_t token)
{
    history_return(&history, id, ++clock_ns, HISTORY_OK, token);
}

// One after the other.
static void did_get(uint64_t token)
{
    end_get(get(), token);
}

static void did_put(uint64_t token)
{
    end(put(token), HISTORY_OK);
}

static void did_delete(enum history_outcome outcome)
{
    end(del(), outcome);
}

static void did_swap(uint64_t expected, uint64_t token, enum history_outcome outcome)
{
    end(swap(expected, token), outcome);
}

static void expect_of_judge(enum linear_verdict verdict)
{
    linear_judge(judge, &history, &result);
    if (result.verdict != verdict) {
        for (uint32_t id = 0; id < history.count; id++) {
            history_print_op(&history, id, stdout);
            printf("\n");
        }
    }
    CHECK_TEXT(linear_verdict_name(result.verdict), linear_verdict_name(verdict));
}

// The verdict of both, which has to be this one.
static void expect(enum linear_verdict verdict)
{
    expect_of_judge(verdict);
    CHECK_EQUAL(brute_is_linear(&history), verdict == LINEAR);
}

// --- one store, one client ---------------------------------------------------------------------

static void everything_the_store_says(void)
{
    start();
    did_get(0);
    did_delete(HISTORY_NOT_FOUND);
    did_swap(9, 1, HISTORY_NOT_FOUND);
    did_swap(0, 2, HISTORY_OK);
    did_get(2);
    did_swap(0, 3, HISTORY_MISMATCH);
    did_swap(1, 4, HISTORY_MISMATCH);
    did_swap(2, 5, HISTORY_OK);
    did_get(5);
    end(put(6), HISTORY_FULL);
    did_swap(5, 8, HISTORY_FULL);
    did_get(5);
    did_delete(HISTORY_OK);
    did_get(0);
    expect(LINEAR);
}

static void empty_history(void)
{
    start();
    expect(LINEAR);
    CHECK_EQUAL(result.keys, 0);
}

// Each result of each operation on a key that holds 2 (or nothing): all but the right one are
// refused.
static void every_wrong_answer_is_refused(void)
{
    for (uint64_t held = 0; held <= 2; held += 2) {
        for (int outcome = HISTORY_OK; outcome <= HISTORY_FULL; outcome++) {
            const struct {
                enum history_operation operation;
                uint64_t value, expected;
                enum history_outcome absent, present;
            } cases[] = {
                {HISTORY_PUT, 5, 0, HISTORY_OK, HISTORY_OK},
                {HISTORY_DELETE, 0, 0, HISTORY_NOT_FOUND, HISTORY_OK},
                {HISTORY_SWAP, 5, 0, HISTORY_OK, HISTORY_MISMATCH},
                {HISTORY_SWAP, 5, 2, HISTORY_NOT_FOUND, HISTORY_OK},
                {HISTORY_SWAP, 5, 3, HISTORY_NOT_FOUND, HISTORY_MISMATCH},
            };
            for (size_t at = 0; at < TEST_COUNT(cases); at++) {
                start();
                if (held != 0) {
                    did_put(held);
                }
                uint32_t id = history_call(&history, 1, ++clock_ns, cases[at].operation, KEY,
                                           cases[at].value, cases[at].expected);
                end(id, (enum history_outcome)outcome);
                enum history_outcome right = held == 0 ? cases[at].absent : cases[at].present;
                bool can_be_full = cases[at].operation != HISTORY_DELETE && right == HISTORY_OK;
                expect(outcome == (int)right || (outcome == HISTORY_FULL && can_be_full)
                           ? LINEAR
                           : LINEAR_VIOLATION);
            }
        }
    }
}

// --- known-bad ---------------------------------------------------------------------------------

static void stale_read(void)
{
    start();
    did_put(1);
    did_put(2);
    did_get(1);
    expect(LINEAR_VIOLATION);
}

static void stale_absence(void)
{
    start();
    did_put(1);
    did_get(0);
    expect(LINEAR_VIOLATION);
}

static void lost_update(void)
{
    start();
    did_put(1);
    uint32_t first = swap(1, 2), second = swap(1, 3);
    end(first, HISTORY_OK);
    end(second, HISTORY_MISMATCH);
    did_get(1);
    expect(LINEAR_VIOLATION);
}

static void swap_succeeds_twice(void)
{
    start();
    did_put(1);
    uint32_t first = swap(1, 2), second = swap(1, 3);
    end(first, HISTORY_OK);
    end(second, HISTORY_OK);
    expect(LINEAR_VIOLATION);
}

static void two_creations_without_a_deletion(void)
{
    start();
    uint32_t first = swap(0, 2), second = swap(0, 3);
    end(first, HISTORY_OK);
    end(second, HISTORY_OK);
    expect(LINEAR_VIOLATION);
}

// A retry that was executed again brings the old value back.
static void double_application(void)
{
    start();
    uint32_t retried = put(1);
    did_get(1);
    did_put(2);
    did_get(2);
    end(retried, HISTORY_OK);
    did_get(1);
    expect(LINEAR_VIOLATION);
}

// The retry of a compare-and-swap finds its own value.
static void double_application_of_swap(void)
{
    start();
    did_put(1);
    did_swap(1, 2, HISTORY_MISMATCH);
    did_get(2);
    expect(LINEAR_VIOLATION);
}

static void double_deletion(void)
{
    start();
    did_put(1);
    uint32_t first = del(), second = del();
    end(first, HISTORY_OK);
    end(second, HISTORY_OK);
    expect(LINEAR_VIOLATION);
}

static void value_never_written(void)
{
    start();
    did_put(1);
    did_get(99);
    expect(LINEAR_VIOLATION);
}

static void value_of_a_failed_put(void)
{
    start();
    end(put(1), HISTORY_FAILED);
    did_get(1);
    expect(LINEAR_VIOLATION);
    CHECK_EQUAL(result.id_count, 2);
}

static void value_of_a_full_put(void)
{
    start();
    end(put(1), HISTORY_FULL);
    did_get(1);
    expect(LINEAR_VIOLATION);
}

static void read_from_the_future(void)
{
    start();
    did_get(1);
    did_put(1);
    expect(LINEAR_VIOLATION);
}

// Two clients see two writes in different orders.
static void reads_that_go_back(void)
{
    start();
    uint32_t one = put(1), two = put(2);
    did_get(1);
    did_get(2);
    did_get(1);
    end(one, HISTORY_OK);
    end(two, HISTORY_OK);
    expect(LINEAR_VIOLATION);
    CHECK_EQUAL(result.id_count, 5);
}

// The value is gone once somebody saw the next one, even while the second put is under way.
static void new_then_old(void)
{
    start();
    did_put(1);
    uint32_t two = put(2);
    did_get(2);
    did_get(1);
    end(two, HISTORY_OK);
    expect(LINEAR_VIOLATION);
}

static void mismatch_on_what_it_expected(void)
{
    start();
    did_put(1);
    did_swap(1, 2, HISTORY_MISMATCH);
    did_get(1);
    expect(LINEAR_VIOLATION);
}

// Consumed in a circle: none can be first.
static void swaps_in_a_circle(void)
{
    start();
    uint32_t first = swap(1, 2), second = swap(2, 1);
    end(first, HISTORY_OK);
    end(second, HISTORY_OK);
    expect(LINEAR_VIOLATION);
}

// --- known-good --------------------------------------------------------------------------------

static void reads_during_a_put(void)
{
    start();
    did_put(1);
    uint32_t two = put(2), early = get(), late = get();
    end_get(early, 1);
    end_get(late, 2);
    end(two, HISTORY_OK);
    expect(LINEAR);
}

static void unread_put_between_others(void)
{
    start();
    uint32_t slow = put(3);
    did_put(1);
    did_get(1);
    did_put(2);
    did_get(2);
    end(slow, HISTORY_OK);
    expect(LINEAR);
}

static void creation_deletion_creation(void)
{
    start();
    uint32_t first = swap(0, 2), second = swap(0, 3), gone = del();
    end(first, HISTORY_OK);
    end(second, HISTORY_OK);
    end(gone, HISTORY_OK);
    expect(LINEAR);
}

static void keys_are_independent(void)
{
    start();
    did_put(1);
    uint32_t id = history_call(&history, 1, ++clock_ns, HISTORY_GET, KEY + 1, 0, 0);
    end_get(id, 0);
    did_get(1);
    expect(LINEAR);
    CHECK_EQUAL(result.keys, 2);
}

// --- unknown outcomes --------------------------------------------------------------------------

static void unknown_put_takes_effect_late(void)
{
    start();
    did_put(1);
    uint32_t lost = put(2);
    end(lost, HISTORY_UNKNOWN);
    did_get(1);
    did_put(3);
    did_get(3);
    did_get(2);
    expect(LINEAR);
    did_get(3);
    expect(LINEAR_VIOLATION);
}

static void open_put_never_takes_effect(void)
{
    start();
    did_put(1);
    put(2);
    did_get(1);
    did_delete(HISTORY_OK);
    did_get(0);
    expect(LINEAR);
}

static void unknown_put_takes_effect_once(void)
{
    start();
    end(put(2), HISTORY_UNKNOWN);
    did_get(2);
    did_put(1);
    did_get(2);
    expect(LINEAR_VIOLATION);
}

static void unknown_delete_explains_absence_once(void)
{
    start();
    end(del(), HISTORY_UNKNOWN);
    did_put(1);
    did_get(0);
    expect(LINEAR);
    did_put(2);
    did_get(0);
    expect(LINEAR_VIOLATION);
}

// An unread put of unknown outcome may be what a deletion found, or what a swap did not expect.
static void unread_put_helps_others(void)
{
    start();
    end(put(1), HISTORY_UNKNOWN);
    did_get(0);
    did_delete(HISTORY_OK);
    did_get(0);
    expect(LINEAR);
    did_delete(HISTORY_OK);
    expect(LINEAR_VIOLATION);
    start();
    did_put(1);
    end(put(2), HISTORY_UNKNOWN);
    did_get(1);
    did_swap(1, 3, HISTORY_MISMATCH);
    expect(LINEAR);
}

static void unread_swap_helps_others(void)
{
    start();
    did_put(1);
    end(swap(1, 2), HISTORY_UNKNOWN);
    did_get(1);
    did_swap(1, 3, HISTORY_MISMATCH);
    expect(LINEAR);
    did_get(1);
    expect(LINEAR_VIOLATION);
}

// Deleted, created anew, and so not what was expected.
static void chain_of_unknown_operations(void)
{
    start();
    did_put(1);
    end(del(), HISTORY_UNKNOWN);
    end(swap(0, 2), HISTORY_UNKNOWN);
    did_get(1);
    did_swap(1, 3, HISTORY_MISMATCH);
    expect(LINEAR);
}

static void unknown_swap_that_was_read_had_its_value(void)
{
    start();
    did_put(1);
    end(swap(1, 2), HISTORY_UNKNOWN);
    did_get(2);
    expect(LINEAR);
    did_get(1);
    expect(LINEAR_VIOLATION);
    start();
    end(swap(8, 2), HISTORY_UNKNOWN);
    did_get(2);
    expect(LINEAR_VIOLATION);
}

static void expired_put_is_not_late(void)
{
    start();
    end(put(1), HISTORY_EXPIRED);
    did_get(1);
    expect(LINEAR);
    start();
    end(put(1), HISTORY_EXPIRED);
    did_get(0);
    expect(LINEAR);
    did_get(1);
    expect(LINEAR_VIOLATION);
}

static void expired_delete_is_not_late(void)
{
    start();
    end(del(), HISTORY_EXPIRED);
    did_put(1);
    did_get(0);
    expect(LINEAR_VIOLATION);
    start();
    uint32_t gone = del();
    did_put(1);
    end(gone, HISTORY_EXPIRED);
    did_get(0);
    expect(LINEAR);
}

// --- the budget --------------------------------------------------------------------------------

// Three puts under way at once, read in an order that has to be found.
static void three_puts_to_order(void)
{
    start();
    uint32_t one = put(1), two = put(2), three = put(3);
    did_get(2);
    did_get(1);
    did_get(3);
    end(three, HISTORY_OK);
    end(two, HISTORY_OK);
    end(one, HISTORY_OK);
}

static void giving_up_is_not_linear(void)
{
    struct linear *hasty = linear_open(2);
    three_puts_to_order();
    expect(LINEAR);
    linear_judge(hasty, &history, &result);
    CHECK_EQUAL(result.verdict, LINEAR_GAVE_UP);
    CHECK_EQUAL(result.keys_given_up, 1);
    CHECK(result.configurations <= 2);
    end_get(history_call(&history, 1, ++clock_ns, HISTORY_GET, KEY + 1, 0, 0), 0);
    linear_judge(hasty, &history, &result);
    CHECK_EQUAL(result.verdict, LINEAR_GAVE_UP);
    // A violation of another key is still found.
    end_get(history_call(&history, 1, ++clock_ns, HISTORY_GET, KEY + 2, 0, 0), 99);
    linear_judge(hasty, &history, &result);
    CHECK_EQUAL(result.verdict, LINEAR_VIOLATION);
    CHECK_EQUAL(result.key, KEY + 2);
    CHECK_EQUAL(result.id_count, 1);
    linear_close(hasty);
}

// --- random ones -------------------------------------------------------------------------------

static struct prng prng;
static uint64_t next_token;

// A store per key, and clients that call, are executed at a moment, and return.
enum { CLIENTS_MAX = 16, KEYS_MAX = 8 };

struct mix {
    uint32_t clients, keys, ops;
    uint32_t get, put, del, swap; // parts of the operations
    uint32_t lost;                // of a hundred operations: never executed, or late, and UNKNOWN
    uint32_t expired;             // of a hundred
};

struct under_way {
    uint32_t id; // HISTORY_NEVER: idle
    bool is_executed, is_lost, is_expired, is_dead;
    enum history_outcome outcome;
    uint64_t read;
};

static uint64_t stores[KEYS_MAX];
static uint64_t recent[KEYS_MAX]; // some token of the key

static enum history_operation pick_operation(const struct mix *mix)
{
    uint64_t dice = prng_below(&prng, mix->get + mix->put + mix->del + mix->swap);
    if (dice < mix->get) {
        return HISTORY_GET;
    }
    if (dice < mix->get + mix->put) {
        return HISTORY_PUT;
    }
    return dice < mix->get + mix->put + mix->del ? HISTORY_DELETE : HISTORY_SWAP;
}

static void call_random(const struct mix *mix, uint32_t client, struct under_way *way)
{
    uint64_t key = prng_below(&prng, mix->keys);
    enum history_operation operation = pick_operation(mix);
    bool is_write = operation == HISTORY_PUT || operation == HISTORY_SWAP;
    uint64_t expected = operation != HISTORY_SWAP  ? 0
                        : prng_chance(&prng, 1, 4) ? recent[key]
                                                   : stores[key];
    *way = (struct under_way){.is_lost = prng_chance(&prng, mix->lost, 100),
                              .is_expired = prng_chance(&prng, mix->expired, 100),
                              .is_dead = prng_chance(&prng, 1, 2)};
    way->id = history_call(&history, client, ++clock_ns, operation, key,
                           is_write ? next_token++ : 0, expected);
}

static void execute(struct under_way *way)
{
    const struct history_op *op = &history.ops[way->id];
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

enum { LATE_MAX = 64 };

// Two puts one after the other, and a read of the first.
static void read_stale(const struct mix *mix)
{
    uint64_t key = prng_below(&prng, mix->keys);
    for (int at = 0; at < 2; at++) {
        uint32_t id =
            history_call(&history, CLIENTS_MAX, ++clock_ns, HISTORY_PUT, key, next_token++, 0);
        end(id, HISTORY_OK);
    }
    stores[key] = recent[key] = next_token - 1;
    end_get(history_call(&history, CLIENTS_MAX, ++clock_ns, HISTORY_GET, key, 0, 0),
            next_token - 2);
}

// A linearizable history by construction. Or, if `wrong_at` is below mix->ops, one that is right
// but for a stale read about there.
static void make_history(const struct mix *mix, uint32_t wrong_at)
{
    static struct under_way ways[CLIENTS_MAX], late[LATE_MAX];
    uint32_t late_count = 0, busy = 0;
    start();
    next_token = 1;
    memset(stores, 0, sizeof(stores));
    memset(recent, 0, sizeof(recent));
    for (uint32_t at = 0; at < mix->clients; at++) {
        ways[at].id = HISTORY_NEVER;
    }
    while (history.count < mix->ops || busy > 0) {
        if (history.count >= wrong_at) {
            wrong_at = HISTORY_NEVER;
            read_stale(mix);
        }
        uint32_t client = (uint32_t)prng_below(&prng, mix->clients);
        struct under_way *way = &ways[client];
        if (late_count > 0 && prng_chance(&prng, 1, 40)) {
            uint32_t at = (uint32_t)prng_below(&prng, late_count);
            execute(&late[at]);
            late[at] = late[--late_count];
        }
        if (way->id == HISTORY_NEVER) {
            if (history.count < mix->ops) {
                call_random(mix, client, way);
                busy++;
            }
        } else if (!way->is_executed && !way->is_lost && !(way->is_expired && way->is_dead)) {
            execute(way);
        } else {
            bool is_open = way->is_lost && prng_chance(&prng, 1, 2);
            if (!is_open) {
                history_return(&history, way->id, ++clock_ns,
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

static const struct mix mixes[] = {
    {.clients = 8, .keys = 4, .get = 50, .put = 50},
    {.clients = 16, .keys = 3, .get = 40, .put = 40, .swap = 20},
    {.clients = 12, .keys = 4, .get = 30, .put = 30, .del = 20, .swap = 20},
    {.clients = 16, .keys = 3, .get = 40, .put = 40, .del = 10, .swap = 10, .lost = 15},
    {.clients = 16, .keys = 3, .get = 30, .put = 20, .del = 25, .swap = 25, .lost = 30},
    {.clients = 16,
     .keys = 2,
     .get = 20,
     .put = 20,
     .del = 30,
     .swap = 30,
     .lost = 20,
     .expired = 10},
    {.clients = 16, .keys = 1, .get = 20, .put = 30, .del = 25, .swap = 25, .lost = 40},
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

// Every mix: no false alarm, no wrong history that passes, and the time it takes.
static void judge_mixes(uint32_t ops, uint32_t rounds, bool is_wrong)
{
    for (size_t at = 0; at < TEST_COUNT(mixes); at++) {
        struct mix mix = mixes[at];
        uint64_t sum_ns = 0, longest_ns = 0, configurations = 0;
        mix.ops = ops;
        prng_init(&prng, at);
        for (uint32_t round = 0; round < rounds; round++) {
            make_history(&mix, is_wrong ? (uint32_t)prng_below(&prng, ops) : HISTORY_NEVER);
            uint64_t began_ns = now_ns();
            expect_of_judge(is_wrong ? LINEAR_VIOLATION : LINEAR);
            uint64_t took_ns = now_ns() - began_ns;
            sum_ns += took_ns;
            longest_ns = took_ns > longest_ns ? took_ns : longest_ns;
            configurations += result.configurations;
            // The read and the second put; the first one, if not as firm, as context.
            CHECK(!is_wrong || result.id_count == 3);
        }
        printf("    mix %zu, %u operations: mean %" PRIu64 " us, longest %" PRIu64 " us, %" PRIu64
               " configurations\n",
               at, ops, sum_ns / rounds / 1000, longest_ns / 1000, configurations / rounds);
    }
}

static void good_histories_of_500_operations(void)
{
    judge_mixes(500, 200, false);
}

static void good_histories_of_10000_operations(void)
{
    judge_mixes(10000, 3, false);
}

static void stale_reads_in_500_operations(void)
{
    judge_mixes(500, 50, true);
}

static void stale_reads_in_10000_operations(void)
{
    judge_mixes(10000, 2, true);
}

// One change to a history: a value read, a result, or a moment.
static void mutate(void)
{
    struct history_op *op = &history.ops[prng_below(&prng, history.count)];
    switch (prng_below(&prng, 5)) {
    case 0:
        if (op->operation == HISTORY_GET && op->outcome == HISTORY_OK) {
            op->value = prng_below(&prng, next_token + 1);
        }
        break;
    case 1:
        if (op->outcome <= HISTORY_EXPIRED) {
            op->outcome = (uint8_t)prng_below(&prng, HISTORY_UNKNOWN + 1);
        }
        break;
    case 2:
        if (op->operation == HISTORY_SWAP) {
            op->expected = prng_below(&prng, next_token + 1);
        }
        break;
    default: { // exchange two events
        uint32_t number = (uint32_t)prng_below(&prng, history.events - 1);
        uint32_t *first = NULL, *second = NULL;
        for (uint32_t id = 0; id < history.count; id++) {
            struct history_op *other = &history.ops[id];
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

// Are operations still called in the order of their ids, and before they return?
static bool is_sane(void)
{
    for (uint32_t id = 0; id < history.count; id++) {
        const struct history_op *op = &history.ops[id];
        if (op->called > op->returned || (id > 0 && op->called < history.ops[id - 1].called)) {
            return false;
        }
    }
    return true;
}

// Not a store's doing at all: any result of anything, in any order.
static void make_random(uint32_t ops)
{
    uint64_t tokens = ops + 1;
    uint32_t open[8], open_count = 0;
    start();
    next_token = 1;
    while (history.count < ops || open_count > 0) {
        if (history.count < ops &&
            (open_count == 0 || (open_count < 8 && prng_chance(&prng, 1, 2)))) {
            enum history_operation operation = (enum history_operation)prng_below(&prng, 4);
            bool is_write = operation == HISTORY_PUT || operation == HISTORY_SWAP;
            open[open_count++] =
                history_call(&history, 1, ++clock_ns, operation, KEY, is_write ? next_token++ : 0,
                             operation == HISTORY_SWAP ? prng_below(&prng, tokens) : 0);
            continue;
        }
        uint32_t at = (uint32_t)prng_below(&prng, open_count);
        enum history_operation operation = (enum history_operation)history.ops[open[at]].operation;
        enum history_outcome outcome =
            prng_chance(&prng, 1, 20) ? (enum history_outcome)prng_below(&prng, HISTORY_OPEN)
            : prng_chance(&prng, 1, 3)
                ? (enum history_outcome)prng_between(&prng, HISTORY_EXPIRED, HISTORY_UNKNOWN)
            : operation == HISTORY_DELETE
                ? (enum history_outcome)prng_below(&prng, HISTORY_MISMATCH)
            : operation == HISTORY_SWAP ? (enum history_outcome)prng_below(&prng, HISTORY_FULL)
                                        : HISTORY_OK;
        history_return(&history, open[at], ++clock_ns, outcome, prng_below(&prng, tokens));
        open[at] = open[--open_count];
    }
}

static void make_good_with_mutations(void)
{
    do {
        const struct mix mix = {.clients = (uint32_t)prng_between(&prng, 1, 6),
                                .keys = prng_chance(&prng, 1, 8) ? 2 : 1,
                                .ops = (uint32_t)prng_between(&prng, 2, 8),
                                .get = (uint32_t)prng_below(&prng, 4),
                                .put = (uint32_t)prng_between(&prng, 1, 3),
                                .del = (uint32_t)prng_below(&prng, 4),
                                .swap = (uint32_t)prng_below(&prng, 4),
                                .lost = (uint32_t)prng_below(&prng, 60),
                                .expired = prng_chance(&prng, 1, 2) ? 40 : 0};
        make_history(&mix, HISTORY_NEVER);
        for (uint64_t at = prng_between(&prng, 1, 8); at > 0; at--) {
            mutate();
        }
    } while (!is_sane());
}

// The operations of a conflict have none of the orders, with whatever outcome of the others.
static void check_conflict(void)
{
    CHECK(result.id_count > 0);
    for (uint32_t id = 0, at = 0; id < history.count; id++) {
        bool is_in = at < result.id_count && result.ids[at] == id;
        if (!is_in || result.is_context[at]) {
            history.ops[id].outcome = HISTORY_UNKNOWN;
        }
        at += is_in;
    }
    CHECK(!brute_is_linear(&history));
}

static void compare_with_twin(void (*make)(void), uint64_t seed, uint32_t histories)
{
    uint32_t linear = 0;
    prng_init(&prng, seed);
    for (uint32_t round = 0; round < histories; round++) {
        make();
        bool is_linear = brute_is_linear(&history);
        expect_of_judge(is_linear ? LINEAR : LINEAR_VIOLATION);
        linear += is_linear;
        if (!is_linear && round % CONFLICTS_EACH == 0) {
            check_conflict();
        }
    }
    printf("    %u histories, %u of them linearizable\n", histories, linear);
    CHECK(linear > histories / 10 && linear < histories * 9 / 10);
}

static void make_random_small(void)
{
    make_random((uint32_t)prng_between(&prng, 2, 7));
}

static void agrees_with_the_slow_twin_on_mutants(void)
{
    compare_with_twin(make_good_with_mutations, 1, 200000);
}

static void agrees_with_the_slow_twin_on_anything(void)
{
    compare_with_twin(make_random_small, 2, 200000);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(everything_the_store_says),
        TEST(empty_history),
        TEST(every_wrong_answer_is_refused),
        TEST(stale_read),
        TEST(stale_absence),
        TEST(lost_update),
        TEST(swap_succeeds_twice),
        TEST(two_creations_without_a_deletion),
        TEST(double_application),
        TEST(double_application_of_swap),
        TEST(double_deletion),
        TEST(value_never_written),
        TEST(value_of_a_failed_put),
        TEST(value_of_a_full_put),
        TEST(read_from_the_future),
        TEST(reads_that_go_back),
        TEST(new_then_old),
        TEST(mismatch_on_what_it_expected),
        TEST(swaps_in_a_circle),
        TEST(reads_during_a_put),
        TEST(unread_put_between_others),
        TEST(creation_deletion_creation),
        TEST(keys_are_independent),
        TEST(unknown_put_takes_effect_late),
        TEST(open_put_never_takes_effect),
        TEST(unknown_put_takes_effect_once),
        TEST(unknown_delete_explains_absence_once),
        TEST(unread_put_helps_others),
        TEST(unread_swap_helps_others),
        TEST(chain_of_unknown_operations),
        TEST(unknown_swap_that_was_read_had_its_value),
        TEST(expired_put_is_not_late),
        TEST(expired_delete_is_not_late),
        TEST(giving_up_is_not_linear),
        TEST(good_histories_of_500_operations),
        TEST(good_histories_of_10000_operations),
        TEST(stale_reads_in_500_operations),
        TEST(stale_reads_in_10000_operations),
        TEST(agrees_with_the_slow_twin_on_mutants),
        TEST(agrees_with_the_slow_twin_on_anything),
    };
    history_init(&history);
    judge = linear_open(LINEAR_BUDGET);
    int status = judge == NULL ? 1 : test_run("sim linear", cases, TEST_COUNT(cases), argc, argv);
    linear_close(judge);
    history_fini(&history);
    return status;
}
