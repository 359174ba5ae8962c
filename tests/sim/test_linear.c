// The judge of histories: known-good and known-bad ones. The slow twin agrees on every one.
#include "tests/sim/brute.h"
#include "tests/sim/judged.h"

enum { KEY = 7 };

static uint32_t get(void)
{
    return history_call(&judged, 1, judged_now(), HISTORY_GET, KEY, 0, 0);
}

static uint32_t put(uint64_t token)
{
    return history_call(&judged, 2, judged_now(), HISTORY_PUT, KEY, token, 0);
}

static uint32_t del(void)
{
    return history_call(&judged, 3, judged_now(), HISTORY_DELETE, KEY, 0, 0);
}

static uint32_t swap(uint64_t expected, uint64_t token)
{
    return history_call(&judged, 4, judged_now(), HISTORY_SWAP, KEY, token, expected);
}

// One after the other.
static void did_get(uint64_t token)
{
    judged_end_get(get(), token);
}

static void did_put(uint64_t token)
{
    judged_end(put(token), HISTORY_OK);
}

static void did_delete(enum history_outcome outcome)
{
    judged_end(del(), outcome);
}

static void did_swap(uint64_t expected, uint64_t token, enum history_outcome outcome)
{
    judged_end(swap(expected, token), outcome);
}

// The verdict of both, which has to be this one.
static void expect(enum linear_verdict verdict)
{
    judged_expect(verdict);
    CHECK_EQUAL(brute_is_linear(&judged), verdict == LINEAR);
}

// --- one store, one client ---------------------------------------------------------------------

static void everything_the_store_says(void)
{
    judged_start();
    did_get(0);
    did_delete(HISTORY_NOT_FOUND);
    did_swap(9, 1, HISTORY_NOT_FOUND);
    did_swap(0, 2, HISTORY_OK);
    did_get(2);
    did_swap(0, 3, HISTORY_MISMATCH);
    did_swap(1, 4, HISTORY_MISMATCH);
    did_swap(2, 5, HISTORY_OK);
    did_get(5);
    judged_end(put(6), HISTORY_FULL);
    did_swap(5, 8, HISTORY_FULL);
    did_get(5);
    did_delete(HISTORY_OK);
    did_get(0);
    expect(LINEAR);
}

static void empty_history(void)
{
    judged_start();
    expect(LINEAR);
    CHECK_EQUAL(judged_result.keys, 0);
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
                judged_start();
                if (held != 0) {
                    did_put(held);
                }
                uint32_t id = history_call(&judged, 1, judged_now(), cases[at].operation, KEY,
                                           cases[at].value, cases[at].expected);
                judged_end(id, (enum history_outcome)outcome);
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
    judged_start();
    did_put(1);
    did_put(2);
    did_get(1);
    expect(LINEAR_VIOLATION);
}

static void stale_absence(void)
{
    judged_start();
    did_put(1);
    did_get(0);
    expect(LINEAR_VIOLATION);
}

static void lost_update(void)
{
    judged_start();
    did_put(1);
    uint32_t first = swap(1, 2), second = swap(1, 3);
    judged_end(first, HISTORY_OK);
    judged_end(second, HISTORY_MISMATCH);
    did_get(1);
    expect(LINEAR_VIOLATION);
}

static void swap_succeeds_twice(void)
{
    judged_start();
    did_put(1);
    uint32_t first = swap(1, 2), second = swap(1, 3);
    judged_end(first, HISTORY_OK);
    judged_end(second, HISTORY_OK);
    expect(LINEAR_VIOLATION);
}

static void two_creations_without_a_deletion(void)
{
    judged_start();
    uint32_t first = swap(0, 2), second = swap(0, 3);
    judged_end(first, HISTORY_OK);
    judged_end(second, HISTORY_OK);
    expect(LINEAR_VIOLATION);
}

// A retry that was executed again brings the old value back.
static void double_application(void)
{
    judged_start();
    uint32_t retried = put(1);
    did_get(1);
    did_put(2);
    did_get(2);
    judged_end(retried, HISTORY_OK);
    did_get(1);
    expect(LINEAR_VIOLATION);
}

// The retry of a compare-and-swap finds its own value.
static void double_application_of_swap(void)
{
    judged_start();
    did_put(1);
    did_swap(1, 2, HISTORY_MISMATCH);
    did_get(2);
    expect(LINEAR_VIOLATION);
}

static void double_deletion(void)
{
    judged_start();
    did_put(1);
    uint32_t first = del(), second = del();
    judged_end(first, HISTORY_OK);
    judged_end(second, HISTORY_OK);
    expect(LINEAR_VIOLATION);
}

static void value_never_written(void)
{
    judged_start();
    did_put(1);
    did_get(99);
    expect(LINEAR_VIOLATION);
}

static void value_of_a_failed_put(void)
{
    judged_start();
    judged_end(put(1), HISTORY_FAILED);
    did_get(1);
    expect(LINEAR_VIOLATION);
    CHECK_EQUAL(judged_result.id_count, 2);
}

static void value_of_a_full_put(void)
{
    judged_start();
    judged_end(put(1), HISTORY_FULL);
    did_get(1);
    expect(LINEAR_VIOLATION);
}

static void read_from_the_future(void)
{
    judged_start();
    did_get(1);
    did_put(1);
    expect(LINEAR_VIOLATION);
}

// Two clients see two writes in different orders.
static void reads_that_go_back(void)
{
    judged_start();
    uint32_t one = put(1), two = put(2);
    did_get(1);
    did_get(2);
    did_get(1);
    judged_end(one, HISTORY_OK);
    judged_end(two, HISTORY_OK);
    expect(LINEAR_VIOLATION);
    CHECK_EQUAL(judged_result.id_count, 5);
}

// The value is gone once somebody saw the next one, even while the second put is under way.
static void new_then_old(void)
{
    judged_start();
    did_put(1);
    uint32_t two = put(2);
    did_get(2);
    did_get(1);
    judged_end(two, HISTORY_OK);
    expect(LINEAR_VIOLATION);
}

static void mismatch_on_what_it_expected(void)
{
    judged_start();
    did_put(1);
    did_swap(1, 2, HISTORY_MISMATCH);
    did_get(1);
    expect(LINEAR_VIOLATION);
}

// Consumed in a circle: none can be first.
static void swaps_in_a_circle(void)
{
    judged_start();
    uint32_t first = swap(1, 2), second = swap(2, 1);
    judged_end(first, HISTORY_OK);
    judged_end(second, HISTORY_OK);
    expect(LINEAR_VIOLATION);
}

// --- known-good --------------------------------------------------------------------------------

static void reads_during_a_put(void)
{
    judged_start();
    did_put(1);
    uint32_t two = put(2), early = get(), late = get();
    judged_end_get(early, 1);
    judged_end_get(late, 2);
    judged_end(two, HISTORY_OK);
    expect(LINEAR);
}

static void unread_put_between_others(void)
{
    judged_start();
    uint32_t slow = put(3);
    did_put(1);
    did_get(1);
    did_put(2);
    did_get(2);
    judged_end(slow, HISTORY_OK);
    expect(LINEAR);
}

static void creation_deletion_creation(void)
{
    judged_start();
    uint32_t first = swap(0, 2), second = swap(0, 3), gone = del();
    judged_end(first, HISTORY_OK);
    judged_end(second, HISTORY_OK);
    judged_end(gone, HISTORY_OK);
    expect(LINEAR);
}

static void keys_are_independent(void)
{
    judged_start();
    did_put(1);
    uint32_t id = history_call(&judged, 1, judged_now(), HISTORY_GET, KEY + 1, 0, 0);
    judged_end_get(id, 0);
    did_get(1);
    expect(LINEAR);
    CHECK_EQUAL(judged_result.keys, 2);
}

// --- unknown outcomes --------------------------------------------------------------------------

static void unknown_put_takes_effect_late(void)
{
    judged_start();
    did_put(1);
    uint32_t lost = put(2);
    judged_end(lost, HISTORY_UNKNOWN);
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
    judged_start();
    did_put(1);
    put(2);
    did_get(1);
    did_delete(HISTORY_OK);
    did_get(0);
    expect(LINEAR);
}

static void unknown_put_takes_effect_once(void)
{
    judged_start();
    judged_end(put(2), HISTORY_UNKNOWN);
    did_get(2);
    did_put(1);
    did_get(2);
    expect(LINEAR_VIOLATION);
}

static void unknown_delete_explains_absence_once(void)
{
    judged_start();
    judged_end(del(), HISTORY_UNKNOWN);
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
    judged_start();
    judged_end(put(1), HISTORY_UNKNOWN);
    did_get(0);
    did_delete(HISTORY_OK);
    did_get(0);
    expect(LINEAR);
    did_delete(HISTORY_OK);
    expect(LINEAR_VIOLATION);
    judged_start();
    did_put(1);
    judged_end(put(2), HISTORY_UNKNOWN);
    did_get(1);
    did_swap(1, 3, HISTORY_MISMATCH);
    expect(LINEAR);
}

static void unread_swap_helps_others(void)
{
    judged_start();
    did_put(1);
    judged_end(swap(1, 2), HISTORY_UNKNOWN);
    did_get(1);
    did_swap(1, 3, HISTORY_MISMATCH);
    expect(LINEAR);
    did_get(1);
    expect(LINEAR_VIOLATION);
}

// Deleted, created anew, and so not what was expected.
static void chain_of_unknown_operations(void)
{
    judged_start();
    did_put(1);
    judged_end(del(), HISTORY_UNKNOWN);
    judged_end(swap(0, 2), HISTORY_UNKNOWN);
    did_get(1);
    did_swap(1, 3, HISTORY_MISMATCH);
    expect(LINEAR);
}

static void unknown_swap_that_was_read_had_its_value(void)
{
    judged_start();
    did_put(1);
    judged_end(swap(1, 2), HISTORY_UNKNOWN);
    did_get(2);
    expect(LINEAR);
    did_get(1);
    expect(LINEAR_VIOLATION);
    judged_start();
    judged_end(swap(8, 2), HISTORY_UNKNOWN);
    did_get(2);
    expect(LINEAR_VIOLATION);
}

static void expired_put_is_not_late(void)
{
    judged_start();
    judged_end(put(1), HISTORY_EXPIRED);
    did_get(1);
    expect(LINEAR);
    judged_start();
    judged_end(put(1), HISTORY_EXPIRED);
    did_get(0);
    expect(LINEAR);
    did_get(1);
    expect(LINEAR_VIOLATION);
}

static void expired_delete_is_not_late(void)
{
    judged_start();
    judged_end(del(), HISTORY_EXPIRED);
    did_put(1);
    did_get(0);
    expect(LINEAR_VIOLATION);
    judged_start();
    uint32_t gone = del();
    did_put(1);
    judged_end(gone, HISTORY_EXPIRED);
    did_get(0);
    expect(LINEAR);
}

// --- the budget --------------------------------------------------------------------------------

// Three puts under way at once, read in an order that has to be found.
static void three_puts_to_order(void)
{
    judged_start();
    uint32_t one = put(1), two = put(2), three = put(3);
    did_get(2);
    did_get(1);
    did_get(3);
    judged_end(three, HISTORY_OK);
    judged_end(two, HISTORY_OK);
    judged_end(one, HISTORY_OK);
}

static void giving_up_is_not_linear(void)
{
    struct linear *hasty = linear_open(2);
    three_puts_to_order();
    expect(LINEAR);
    linear_judge(hasty, &judged, &judged_result);
    CHECK_EQUAL(judged_result.verdict, LINEAR_GAVE_UP);
    CHECK_EQUAL(judged_result.keys_given_up, 1);
    CHECK(judged_result.configurations <= 2);
    judged_end_get(history_call(&judged, 1, judged_now(), HISTORY_GET, KEY + 1, 0, 0), 0);
    linear_judge(hasty, &judged, &judged_result);
    CHECK_EQUAL(judged_result.verdict, LINEAR_GAVE_UP);
    // A violation of another key is still found.
    judged_end_get(history_call(&judged, 1, judged_now(), HISTORY_GET, KEY + 2, 0, 0), 99);
    linear_judge(hasty, &judged, &judged_result);
    CHECK_EQUAL(judged_result.verdict, LINEAR_VIOLATION);
    CHECK_EQUAL(judged_result.key, KEY + 2);
    CHECK_EQUAL(judged_result.id_count, 1);
    linear_close(hasty);
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
    };
    return judged_run("sim linear", cases, TEST_COUNT(cases), argc, argv);
}
