// The decision table of the merge, over every combination of what it asks, and what a report says
// of an index. The expectations are the rules, written another way than merge.h does.
#include "tests/harness/harness.h"

#include "engine/core/merge.h"

static void every_combination_meets_the_table(void)
{
    for (uint32_t at = 0; at < 16; at++) {
        bool is_held = at & 1, is_present = at & 2, is_settled = at & 4, is_refused = at & 8;
        enum merge_verdict verdict = merge_decide(is_held, is_present, is_settled, is_refused);
        // What anybody in R holds is kept, whatever else is said.
        CHECK_EQUAL(verdict == MERGE_KEEP, is_held);
        CHECK_EQUAL(verdict == MERGE_KEEP || verdict == MERGE_FETCH, is_held || is_present);
        // Nothing that may be committed becomes a no-op.
        CHECK(verdict != MERGE_NOOP || !is_settled);
        CHECK(verdict != MERGE_NOOP || is_refused);
        // Nobody waits where there is something to do.
        bool is_clear = is_held || is_present || (is_refused && !is_settled);
        CHECK_EQUAL(verdict == MERGE_WAIT, !is_clear);
    }
}

// A report of floor 10 that lists `listed` bits behind `skipped` unlisted indexes, pattern of bits.
static struct raft_report report_with(uint64_t skipped, uint32_t listed, uint64_t pattern)
{
    struct raft_report report = {.sync_term = 5, .sync_end = 7, .commit = 9, .floor = 10};
    report.first = 11 + skipped;
    report.last = 10 + skipped + listed;
    report.present[0] = pattern;
    return report;
}

static void a_report_says_one_word_of_each_index(void)
{
    for (uint64_t skipped = 0; skipped < 3; skipped++) {
        for (uint32_t listed = 0; listed < 6; listed++) {
            for (uint64_t pattern = 0; pattern < (UINT64_C(1) << listed); pattern++) {
                const struct raft_report report = report_with(skipped, listed, pattern);
                for (uint64_t index = 1; index < 25; index++) {
                    enum report_word said = report_of(&report, index);
                    bool is_listed = index >= report.first && index <= report.last;
                    bool is_set = is_listed && ((pattern >> (index - report.first)) & 1);
                    CHECK_EQUAL(said == REPORT_PRESENT, index <= 10 || is_set);
                    CHECK_EQUAL(said == REPORT_UNKNOWN,
                                index > 10 && index < report.first && report.last >= index);
                    CHECK_EQUAL(said == REPORT_ABSENT,
                                index > report.last || (is_listed && !is_set));
                }
            }
        }
    }
}

static void the_last_bit_of_a_full_report_counts(void)
{
    struct raft_report report = {.floor = 10, .first = 11, .last = 10 + RAFT_WINDOW_MAX};
    report.present[RAFT_WINDOW_WORDS - 1] = UINT64_C(1) << 63;
    CHECK_EQUAL(report_of(&report, report.last), REPORT_PRESENT);
    CHECK_EQUAL(report_of(&report, report.last - 1), REPORT_ABSENT);
    CHECK_EQUAL(report_of(&report, report.last + 1), REPORT_ABSENT);
}

// "Entries of all others are ignored": whoever has an older log says no, whatever it holds; what is
// not known is no nack.
static void a_lower_sync_term_is_a_clean_nack(void)
{
    const struct raft_report report = report_with(2, 3, 5);
    for (uint64_t index = 8; index < 20; index++) {
        CHECK(report_is_nack(&report, 6, index));
        CHECK_EQUAL(report_is_nack(&report, 5, index), report_of(&report, index) == REPORT_ABSENT);
    }
    CHECK(!report_is_nack(&report, 5, 12)); // unknown
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(every_combination_meets_the_table), TEST(a_report_says_one_word_of_each_index),
        TEST(the_last_bit_of_a_full_report_counts), TEST(a_lower_sync_term_is_a_clean_nack)};
    return test_run("core merge", cases, TEST_COUNT(cases), argc, argv);
}
