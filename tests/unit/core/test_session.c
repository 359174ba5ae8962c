// The session table: its windows, results and evictions, edge by edge.
#include <stdlib.h>
#include <string.h>

#include "tests/harness/harness.h"
#include "tests/unit/core/sessions.h"

static struct prng prng;

// The promise of session.h: at most a window of sequences between lowest unanswered and newest.
// Frames are lost, doubled and reordered at will; the client retries what is unanswered.
static void well_behaved_client_is_never_outside(void)
{
    enum { SENT = 20000 };
    prng_init(&prng, 77);
    struct session_table *table = sessions_make(4, 2);
    struct session_grant grant = session_register(table, 1, 5, 2000);
    static uint8_t executed[SENT + 1], answered[SENT + 1];
    memset(executed, 0, sizeof(executed));
    memset(answered, 0, sizeof(answered));
    uint64_t lowest = 1, newest = 1, index = 1;
    while (lowest <= SENT) {
        if (newest < SENT && newest + 1 < lowest + grant.window && prng_below(&prng, 3) != 0) {
            newest++;
        }
        uint64_t sequence =
            prng_below(&prng, 8) == 0 ? lowest : lowest + prng_below(&prng, newest - lowest + 1);
        if (answered[sequence] != 0) {
            continue;
        }
        enum session_verdict verdict =
            sessions_apply_plain(table, ++index, grant.session, sequence);
        CHECK_EQUAL(verdict, executed[sequence] != 0 ? SESSION_DUPLICATE : SESSION_NEW);
        executed[sequence] = 1;
        answered[sequence] = prng_below(&prng, 2) == 0;
        while (lowest <= SENT && answered[lowest] != 0) {
            lowest++;
        }
        newest = newest < lowest && newest < SENT ? lowest : newest;
    }
    free(table);
}

static void window_is_rounded_up_to_pages(void)
{
    static const struct {
        uint64_t asked, granted;
    } rows[] = {{0, 1024},      {1, 1024},      {1024, 1024},   {1025, 2048},
                {65535, 65536}, {65536, 65536}, {65537, 65536}, {UINT64_MAX, 65536}};
    struct session_table *table = sessions_make(1000, 100);
    for (uint64_t i = 0; i < TEST_COUNT(rows); i++) {
        CHECK_EQUAL(session_register(table, i + 1, i, rows[i].asked).window, rows[i].granted);
    }
    free(table);
    table = sessions_make(3, 100);
    CHECK_EQUAL(session_register(table, 1, 1, 65536).window, 3072);
    free(table);
}

static void edges_of_the_window(void)
{
    struct session_table *table = sessions_make(4, 4);
    uint64_t id = session_register(table, 10, 1, 1024).session;
    CHECK_EQUAL(id, 10);
    CHECK_EQUAL(sessions_apply_plain(table, 11, id, 0), SESSION_OUTSIDE);
    CHECK_EQUAL(sessions_apply_plain(table, 12, id, 1025), SESSION_OUTSIDE);
    CHECK_EQUAL(sessions_apply_plain(table, 13, id, UINT64_MAX), SESSION_OUTSIDE);
    CHECK_EQUAL(sessions_apply_plain(table, 14, id, 1024), SESSION_NEW);
    CHECK_EQUAL(sessions_apply_plain(table, 15, id, 1), SESSION_NEW);
    CHECK_EQUAL(sessions_apply_plain(table, 16, id, 1025), SESSION_NEW);
    CHECK_EQUAL(sessions_apply_plain(table, 17, id, 1), SESSION_OUTSIDE);
    CHECK_EQUAL(sessions_apply_plain(table, 18, id, 2), SESSION_NEW);
    CHECK_EQUAL(sessions_apply_plain(table, 19, id, 1024), SESSION_DUPLICATE);
    CHECK_EQUAL(sessions_apply_plain(table, 20, id, 1027), SESSION_OUTSIDE);
    CHECK_EQUAL(sessions_apply_plain(table, 21, id, 1026), SESSION_NEW);
    CHECK_EQUAL(sessions_apply_plain(table, 22, 9, 1), SESSION_EXPIRED);
    CHECK_EQUAL(sessions_apply_plain(table, 23, 0, 1), SESSION_EXPIRED);
    free(table);
}

static void result_is_kept_with_its_sequence(void)
{
    struct session_table *table = sessions_make(4, 4);
    uint64_t id = session_register(table, 1, 1, 2048).session;
    for (uint64_t sequence = 1; sequence <= 10000; sequence++) {
        CHECK_EQUAL(sessions_apply_plain(table, 1 + sequence, id, sequence), SESSION_NEW);
    }
    for (uint64_t sequence = 1; sequence <= 10000; sequence++) {
        uint32_t result = 0;
        enum session_verdict verdict = session_check(table, id, sequence, &result);
        CHECK_EQUAL(verdict, sequence + 2048 <= 10000 ? SESSION_OUTSIDE : SESSION_DUPLICATE);
        CHECK(verdict == SESSION_OUTSIDE || result == sessions_result_of(1 + sequence));
    }
    free(table);
}

static void second_copy_in_a_batch_is_pending(void)
{
    struct session_table *table = sessions_make(4, 4);
    uint32_t result = 0;
    uint64_t id = session_register(table, 1, 1, 1).session;
    CHECK_EQUAL(session_claim(table, 2, id, 1, &result), SESSION_NEW);
    CHECK_EQUAL(session_claim(table, 3, id, 1, &result), SESSION_PENDING);
    CHECK_EQUAL(session_check(table, id, 1, &result), SESSION_PENDING);
    session_complete(table, id, 1, 42);
    CHECK_EQUAL(session_check(table, id, 1, &result), SESSION_DUPLICATE);
    CHECK_EQUAL(result, 42);
    free(table);
}

// A ring place that served another sequence between claim and completion keeps that one's result.
static void late_completion_hits_nothing(void)
{
    struct session_table *table = sessions_make(1, 1);
    uint32_t result = 0;
    uint64_t id = session_register(table, 1, 1, 1).session;
    CHECK_EQUAL(session_claim(table, 2, id, 1, &result), SESSION_NEW);
    CHECK_EQUAL(session_claim(table, 3, id, 1025, &result), SESSION_NEW);
    session_complete(table, id, 1, 42);
    CHECK_EQUAL(session_check(table, id, 1025, &result), SESSION_PENDING);
    session_complete(table, id, 1025, 43);
    CHECK_EQUAL(session_check(table, id, 1025, &result), SESSION_DUPLICATE);
    CHECK_EQUAL(result, 43);
    CHECK_EQUAL(session_claim(table, 4, id, 2, &result), SESSION_NEW);
    session_register(table, 5, 2, 1); // evicts it
    session_complete(table, id, 2, 44);
    CHECK_EQUAL(session_check(table, id, 2, &result), SESSION_EXPIRED);
    free(table);
}

static void retried_register_gets_its_session(void)
{
    struct session_table *table = sessions_make(8, 3);
    uint64_t first = session_register(table, 5, 100, 1).session;
    uint64_t other = session_register(table, 6, 200, 1).session;
    struct session_grant again = session_register(table, 7, 100, 4096);
    CHECK_EQUAL(again.session, first);
    CHECK_EQUAL(again.window, 1024);
    CHECK_EQUAL(session_count(table), 2);
    session_register(table, 8, 300, 1);
    session_register(table, 9, 400, 1); // the retry kept `first` young: `other` goes
    CHECK_EQUAL(sessions_apply_plain(table, 10, other, 1), SESSION_EXPIRED);
    CHECK_EQUAL(sessions_apply_plain(table, 11, first, 1), SESSION_NEW);
    CHECK_EQUAL(session_register(table, 12, 200, 1).session, 12);
    free(table);
}

static void oldest_applied_goes_first(void)
{
    struct session_table *table = sessions_make(4, 10);
    for (uint64_t index = 1; index <= 4; index++) {
        session_register(table, index, index, 1);
    }
    CHECK_EQUAL(sessions_apply_plain(table, 5, 1, 1), SESSION_NEW);
    CHECK_EQUAL(sessions_apply_plain(table, 6, 3, 7000),
                SESSION_OUTSIDE);         // counts as a sign of life
    session_register(table, 7, 70, 2048); // needs two pages: 2 and 4 go
    CHECK_EQUAL(sessions_apply_plain(table, 8, 2, 1), SESSION_EXPIRED);
    CHECK_EQUAL(sessions_apply_plain(table, 9, 4, 1), SESSION_EXPIRED);
    CHECK_EQUAL(sessions_apply_plain(table, 10, 1, 2), SESSION_NEW);
    CHECK_EQUAL(sessions_apply_plain(table, 11, 3, 1), SESSION_NEW);
    CHECK_EQUAL(session_pages_used(table), 4);
    CHECK_EQUAL(session_evictions(table), 2);
    free(table);
}

// The index decides, not the order of calls: groups that apply out of order agree once they applied
// the same.
static void order_of_calls_does_not_decide_eviction(void)
{
    struct session_table *table = sessions_make(3, 3);
    for (uint64_t index = 1; index <= 3; index++) {
        session_register(table, index, index, 1);
    }
    sessions_apply_plain(table, 12, 1, 1);
    sessions_apply_plain(table, 11, 2, 1);
    sessions_apply_plain(table, 10, 3, 1);
    sessions_apply_plain(table, 9, 1, 2);
    sessions_apply_plain(table, 8, 2, 2);
    session_register(table, 20, 20, 1);
    CHECK_EQUAL(sessions_apply_plain(table, 21, 3, 2), SESSION_EXPIRED);
    session_register(table, 22, 22, 1);
    CHECK_EQUAL(sessions_apply_plain(table, 23, 2, 3), SESSION_EXPIRED);
    CHECK_EQUAL(sessions_apply_plain(table, 24, 1, 3), SESSION_NEW);
    free(table);
}

// Runs cut anywhere, with holes, retries and a second session between them, leave the table as
// single commands do.
static void runs_equal_single_commands(void)
{
    enum { RUN_LENGTH_MAX = 300, SESSIONS = 2, ROUNDS = 4000 };
    struct session_table *by_run = sessions_make(8, 4), *by_one = sessions_make(8, 4);
    uint64_t index = 0, ids[SESSIONS], next[SESSIONS] = {1, 1}, taken = 0;
    prng_init(&prng, 7);
    for (uint64_t which = 0; which < SESSIONS; which++) {
        index++;
        ids[which] = session_register(by_run, index, 50 + which, 2048).session;
        session_register(by_one, index, 50 + which, 2048);
    }
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint64_t which = prng_below(&prng, SESSIONS), sequence = next[which];
        uint32_t count = 1 + (uint32_t)prng_below(&prng, RUN_LENGTH_MAX), results[RUN_LENGTH_MAX],
                 first_result;
        sequence +=
            prng_below(&prng, 8) == 0 ? prng_below(&prng, 40) : 0; // a hole, to be filled later
        sequence -=
            prng_below(&prng, 8) == 0 ? prng_below(&prng, sequence < 30 ? sequence : 30) : 0;
        uint32_t run = session_claim_run(by_run, index + 1, ids[which], sequence, count);
        taken += run;
        if (run == 0) { // one by one, both
            run = 1;
            CHECK_EQUAL(sessions_apply(by_run, index + 1, ids[which], sequence, &first_result),
                        sessions_apply(by_one, index + 1, ids[which], sequence, &first_result));
        } else {
            for (uint32_t at = 0; at < run; at++) {
                results[at] = sessions_result_of(index + 1 + at);
                CHECK_EQUAL(sessions_apply(by_one, index + 1 + at, ids[which], sequence + at,
                                           &first_result),
                            SESSION_NEW);
            }
            session_complete_run(by_run, ids[which], sequence, results, run);
        }
        index += run;
        next[which] = sequence + run > next[which] ? sequence + run : next[which];
        if (prng_below(&prng, 10) == 0) { // fill what was left out: sessions get going again
            for (uint64_t hole = next[which] > 700 ? next[which] - 700 : 1; hole < next[which];
                 hole++) {
                index++;
                CHECK_EQUAL(sessions_apply(by_run, index, ids[which], hole, &first_result),
                            sessions_apply(by_one, index, ids[which], hole, &first_result));
            }
        }
        CHECK_EQUAL(session_digest(by_run), session_digest(by_one));
    }
    CHECK(taken > ROUNDS);
    CHECK_EQUAL(session_claim_run(by_run, index + 1, 999, 1, 1), 0);
    free(by_run);
    free(by_one);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(well_behaved_client_is_never_outside),
        TEST(window_is_rounded_up_to_pages),
        TEST(edges_of_the_window),
        TEST(result_is_kept_with_its_sequence),
        TEST(second_copy_in_a_batch_is_pending),
        TEST(late_completion_hits_nothing),
        TEST(retried_register_gets_its_session),
        TEST(oldest_applied_goes_first),
        TEST(order_of_calls_does_not_decide_eviction),
        TEST(runs_equal_single_commands),
    };
    return test_run("core session", cases, TEST_COUNT(cases), argc, argv);
}
