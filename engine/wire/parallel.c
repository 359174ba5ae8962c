// Bitmaps have one form: bit 0 stands for the first index above what is said without them, so it is
// not set where that would be a bit too many (but set where it is said to be the first); the last
// bit is set, and the words end with it.
#include "engine/wire/parallel.h"

enum { WORD_BITS = 64 };

// That the last of `bits` ≥ 1 bits is set and nothing behind it.
static bool ends_with_a_bit(const uint64_t *words, uint64_t bits)
{
    return words[(bits - 1) / WORD_BITS] >> ((bits - 1) % WORD_BITS) == 1;
}

bool parallel_is_claim(struct raft_entry_id claim, uint64_t term)
{
    return claim.term <= term && claim.index <= RAFT_INDEX_MAX &&
           (claim.term != 0 || claim.index == 0);
}

// floor < first ≤ last + 1 (so floor ≤ last) is asked without a sum that could overflow.
bool parallel_is_report(const struct raft_report *report, uint64_t term)
{
    return report->sync_term <= term && (report->sync_term != 0 || report->floor == 0) &&
           report->sync_end <= report->floor && report->last <= RAFT_INDEX_MAX &&
           report->commit <= RAFT_INDEX_MAX && report->first > report->floor &&
           report->first - 1 <= report->last &&
           report->last - (report->first - 1) <= RAFT_WINDOW_MAX;
}

bool parallel_is_present(const struct raft_report *report)
{
    uint64_t bits = parallel_report_bits(report);
    if (bits == 0) {
        return report->last == report->floor;
    }
    bool is_floor_low = report->first == report->floor + 1 && (report->present[0] & 1) != 0;
    return !is_floor_low && ends_with_a_bit(report->present, bits);
}

bool parallel_is_sync(const struct raft_append *append, uint64_t term)
{
    if (append->is_supply) { // within the answer that it is part of
        return !append->has_sync && append->sync_from == 0 && append->sync_end <= RAFT_INDEX_MAX &&
               append->sync_end >= append->prev.index &&
               append->sync_end - append->prev.index >= append->count;
    }
    if (!append->has_sync) {
        return append->sync_from == 0 && append->sync_end == 0;
    }
    return append->sync_from < term && append->sync_end <= RAFT_INDEX_MAX;
}

bool parallel_are_distances(const struct raft_append *append)
{
    _Static_assert((RAFT_WINDOW_MAX & (RAFT_WINDOW_MAX - 1)) == 0, "its multiples are bits");
    uint64_t beyond = append->prev.index - append->sync_end; // of the installed log
    uint32_t bits = 0;
    for (uint32_t at = 0; at < append->count; at++) {
        bits |= (uint32_t)append->distances[at] - 1;
    }
    bool are_sound = bits < RAFT_WINDOW_MAX;
    for (uint32_t at = 0; at < append->count && beyond + at < RAFT_WINDOW_MAX; at++) {
        are_sound &= append->distances[at] <= beyond + at + 1;
    }
    return are_sound;
}

bool parallel_is_reply(const struct raft_append_reply *reply)
{
    return reply->result == RAFT_APPEND_OK && reply->match <= reply->held &&
           reply->held <= RAFT_INDEX_MAX && reply->acked_count <= RAFT_WINDOW_MAX &&
           reply->acked_count <= RAFT_INDEX_MAX - reply->match;
}

bool parallel_is_acked(const struct raft_append_reply *reply)
{
    bool is_floor_low = reply->is_installed && (reply->acked[0] & 1) != 0; // (or it is missing)
    return reply->acked_count == 0 ||
           (!is_floor_low && ends_with_a_bit(reply->acked, reply->acked_count));
}

bool parallel_is_fetch(const struct raft_fetch *fetch)
{
    const struct raft_wanted *wanted = &fetch->wanted;
    return wanted->count >= 1 && wanted->count <= RAFT_WINDOW_MAX && wanted->first >= 1 &&
           wanted->first <= RAFT_INDEX_MAX && wanted->count - 1 <= RAFT_INDEX_MAX - wanted->first;
}

bool parallel_is_wanted(const struct raft_wanted *wanted)
{
    return (wanted->bits[0] & 1) != 0 && ends_with_a_bit(wanted->bits, wanted->count);
}
