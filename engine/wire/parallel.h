// What messages of parallel groups say beside those of strict ones, and which values of it are in
// range: encoding asserts it, decoding refuses the rest. Private to this folder.
#ifndef PONTOON_WIRE_PARALLEL_H
#define PONTOON_WIRE_PARALLEL_H

#include "engine/core/message.h"

// A voter's report: five indexes and a term, then as many words of `present` as first..last needs.
enum { PARALLEL_REPORT_BYTES = 48 };

// Words of a bitmap of so many bits.
static inline uint32_t parallel_words(uint64_t bits)
{
    return (uint32_t)((bits + 63) / 64);
}

// A candidate's claim (the highest term whose complete log it has, the floor it holds of it) in a
// message of `term`.
bool parallel_is_claim(struct raft_entry_id claim, uint64_t term);

// The numbers of a report in a message of `term`: then its bits are few enough. And these.
bool parallel_is_report(const struct raft_report *report, uint64_t term);
bool parallel_is_present(const struct raft_report *report);

static inline uint64_t parallel_report_bits(const struct raft_report *report)
{
    return report->last + 1 - report->first;
}

// What an append says in the place of prev's and the entries' terms, in a message of `term`.
bool parallel_is_sync(const struct raft_append *append, uint64_t term);

// Of an append that tells them.
bool parallel_are_distances(const struct raft_append *append);

// The fields of an answer other than the words, and these.
bool parallel_is_reply(const struct raft_append_reply *reply);
bool parallel_is_acked(const struct raft_append_reply *reply);

// The fields of a fetch other than the bits, and these.
bool parallel_is_fetch(const struct raft_fetch *fetch);
bool parallel_is_wanted(const struct raft_wanted *wanted);

#endif
