// What becomes of one index when the logs of a quorum are merged: a decision table.
//
// S is the highest sync_term among the reports, R the reports that have it; F the highest commit
// floor among all, end(S) where the log of S began to be served. An index is
//
//     held      by the candidate itself, which is in R
//     present   in another report of R
//     settled   at or below end(S) or F: something stands there for certain
//     refused   by enough clean nacks: N - majority + 1 voters do not have it under S
//
//     held  present  settled  refused     verdict
//      1       ·        ·        ·        KEEP    there is no tie: the same (S, index) is the same
//                                                 entry
//      0       1        ·        ·        FETCH
//      0       0        1        ·        WAIT    never a no-op: somebody has it
//      0       0        0        1        NOOP    it was never committed, and can not be any more
//      0       0        0        0        WAIT    for more reports
//
// Source: engine/README.md, "Parallel groups"; a term, step 2. Pure.
#ifndef PONTOON_CORE_MERGE_H
#define PONTOON_CORE_MERGE_H

#include "engine/core/message.h"

enum merge_verdict { MERGE_KEEP, MERGE_FETCH, MERGE_NOOP, MERGE_WAIT };

static inline enum merge_verdict merge_decide(bool is_held, bool is_present, bool is_settled,
                                              bool is_refused)
{
    if (is_held) {
        return MERGE_KEEP;
    }
    if (is_present) {
        return MERGE_FETCH;
    }
    return !is_settled && is_refused ? MERGE_NOOP : MERGE_WAIT;
}

// What a report says of an index.
enum report_word { REPORT_PRESENT, REPORT_ABSENT, REPORT_UNKNOWN };

static inline enum report_word report_of(const struct raft_report *report, uint64_t index)
{
    if (index <= report->floor) {
        return REPORT_PRESENT;
    }
    if (index > report->last) {
        return REPORT_ABSENT;
    }
    if (index < report->first) {
        return REPORT_UNKNOWN;
    }
    uint64_t bit = index - report->first;
    return (report->present[bit / 64] >> (bit % 64)) & 1 ? REPORT_PRESENT : REPORT_ABSENT;
}

// Does a voter say that it does not have the index under sync_term S, of which end(S) is the end?
// One of a lower sync_term has nothing of S. Requires index > end(S).
static inline bool report_is_nack(const struct raft_report *report, uint64_t sync_term,
                                  uint64_t index)
{
    return report->sync_term < sync_term || report_of(report, index) == REPORT_ABSENT;
}

#endif
