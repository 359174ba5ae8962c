// Who holds what durably, as the leader of a parallel group knows it, and what a majority holds.
//
// Alone writes  peers[].counted, acked, acked_high, and a leader's quorum, waiting.
//
// A voter's acknowledgements are a floor and, while something is out of order, bits beyond it:
//
//     voter 0    floor  9    bits  12 13        majority of the floors: 9, as in a strict group
//     voter 1    floor  9    bits  11 12        10: voter 2 alone
//     voter 2    floor 11    bits  13           11, 12, 13: two of three
//
// As long as nobody has bits beyond the majority of the floors there is nothing else to look at, so
// groups without holes pay what strict ones do. With holes, 64 entries are counted at a time.
#include "engine/core/parallel.h"

#include "engine/base/mark.h"

#include <string.h>

// Everything is committed: a term is to be served.
void acks_reset(struct raft *raft)
{
    struct raft_parallel *parallel = raft->parallel;
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        raft->peers[slot].counted = parallel->sync_end;
    }
    memset(parallel->acked, 0, sizeof(parallel->acked));
    bitmap_ring_clear_range(&parallel->quorum, 0, parallel->quorum.capacity);
    parallel->acked_high = parallel->sync_end;
    parallel->waiting = 0;
}

static uint64_t *acked_word(struct raft_parallel *parallel, uint32_t slot, uint64_t index)
{
    return &parallel->acked[slot][index / 64 % RAFT_WINDOW_WORDS];
}

static uint64_t *quorum_word(struct raft_parallel *parallel, uint64_t index)
{
    return &parallel->quorum.words[bitmap_ring_slot(&parallel->quorum, index) / 64];
}

// Of the 64 entries whose bits share a word with that of `index`: those in [first, last].
static uint64_t mask_of(uint64_t index, uint64_t first, uint64_t last)
{
    uint64_t base = index & ~UINT64_C(63);
    uint64_t from = first > base ? first - base : 0, end = last - base < 63 ? last - base + 1 : 64;
    return bitmap_mask(from, end);
}

// Notes bits of the entries first, first + 1, ... but for what is committed. False: there are none.
static bool take_bits(struct raft *raft, uint32_t slot, uint64_t first, uint64_t bits)
{
    struct raft_parallel *parallel = raft->parallel;
    if (first <= raft->commit) {
        uint64_t behind = raft->commit - first + 1;
        bits = behind < 64 ? bits & (UINT64_MAX << behind) : 0;
    }
    if (bits == 0) {
        return false;
    }
    uint64_t high = first + 63 - (uint64_t)__builtin_clzll(bits), shift = first % 64;
    *acked_word(parallel, slot, first) |= bits << shift;
    if (shift > 0) {
        *acked_word(parallel, slot, first + 64) |= bits >> (64 - shift);
    }
    parallel->acked_high = parallel->acked_high > high ? parallel->acked_high : high;
    return true;
}

// False: it says nothing about what is not committed.
bool acks_take(struct raft *raft, uint32_t slot, const struct raft_append_reply *reply)
{
    struct raft_peer *peer = &raft->peers[slot];
    bool is_news = reply->match > raft->commit;
    peer->counted = peer->counted > reply->match ? peer->counted : reply->match;
    for (uint32_t bit = 0; bit < reply->acked_count; bit += 64) {
        uint32_t left = reply->acked_count - bit;
        uint64_t bits = reply->acked[bit / 64] & bitmap_mask(0, left < 64 ? left : 64);
        is_news |= take_bits(raft, slot, reply->match + 1 + bit, bits);
    }
    return is_news;
}

// Our own copies count when they are durable, like everybody's. The floor is log.synced.
bool acks_take_own(struct raft *raft, struct raft_range range)
{
    const struct raft_log *log = &raft->log;
    uint64_t index = range.first > log->synced ? range.first : log->synced + 1;
    bool is_news = log->synced > raft->commit;
    for (; index <= range.last && index <= log->last; index++) {
        if (log_slot(log, index)->is_durable) {
            is_news |= take_bits(raft, raft->self_slot, index, 1);
        }
    }
    return is_news;
}

static uint64_t floor_of(const struct raft *raft, uint32_t slot)
{
    return slot == raft->self_slot ? raft->log.synced : raft->peers[slot].counted;
}

// Does the voter hold the entry, which is above the commit floor?
bool acks_has(const struct raft *raft, uint32_t slot, uint64_t index)
{
    uint64_t word = raft->parallel->acked[slot][index / 64 % RAFT_WINDOW_WORDS];
    return index <= floor_of(raft, slot) ||
           (index <= raft->parallel->acked_high && ((word >> (index % 64)) & 1) != 0);
}

// Up to where a majority holds everything by their floors alone.
static uint64_t majority_floor(const struct raft *raft)
{
    uint64_t floors[RAFT_NODES_MAX];
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        floors[slot] = floor_of(raft, slot);
    }
    return commit_majority_floor(raft, floors);
}

// Which entries of the word that has `index` does a majority hold? Voters are added up in three
// bits for each entry, of all 64 at once.
static uint64_t majority_word(struct raft *raft, uint64_t index)
{
    uint64_t base = index & ~UINT64_C(63), ones = 0, twos = 0, fours = 0;
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        uint64_t upto = floor_of(raft, slot);
        uint64_t holds = *acked_word(raft->parallel, slot, base);
        holds |= upto >= base ? mask_of(base, base, upto) : 0;
        uint64_t carry = ones & holds;
        ones ^= holds;
        fours |= twos & carry;
        twos ^= carry;
    }
    const uint64_t at_least[] = {
        [1] = ones | twos | fours, [2] = twos | fours, [3] = fours | (twos & ones), [4] = fours};
    return at_least[raft->majority];
}

// Notes what a majority holds now above the commit floor. *fresh takes in what it did not hold
// before. Result: the end of what it holds without a hole.
uint64_t acks_gather(struct raft *raft, struct raft_range *fresh)
{
    struct raft_parallel *parallel = raft->parallel;
    uint64_t upto = majority_floor(raft), last = parallel->acked_high;
    upto = upto > raft->commit ? upto : raft->commit;
    *fresh = (struct raft_range){.first = 1, .last = 0};
    if (last <= upto) {
        return upto;
    }
    for (uint64_t first = upto + 1; first <= last; first = (first | 63) + 1) {
        uint64_t *quorum = quorum_word(parallel, first);
        uint64_t found = majority_word(raft, first) & mask_of(first, upto + 1, last) & ~*quorum;
        if (found != 0) {
            uint64_t base = first & ~UINT64_C(63);
            uint64_t lowest = base + (uint64_t)__builtin_ctzll(found);
            fresh->first = fresh->last == 0 ? lowest : fresh->first;
            fresh->last = base + 63 - (uint64_t)__builtin_clzll(found);
            *quorum |= found;
            parallel->waiting += (uint32_t)__builtin_popcountll(found);
        }
    }
    return bitmap_ring_find_clear(&parallel->quorum, upto + 1, last + 1) - 1;
}

// The commit floor moves to `commit`: what it passes needs no note any more.
void acks_pass(struct raft *raft, uint64_t commit)
{
    struct raft_parallel *parallel = raft->parallel;
    uint64_t last = commit < parallel->acked_high ? commit : parallel->acked_high;
    for (uint64_t index = raft->commit + 1; index <= last; index = (index | 63) + 1) {
        uint64_t mask = mask_of(index, index, last), *quorum = quorum_word(parallel, index);
        uint64_t committed =
            parallel->committed.words[bitmap_ring_slot(&parallel->committed, index) / 64];
        parallel->waiting -= (uint32_t)__builtin_popcountll(*quorum & mask & ~committed);
        *quorum &= ~mask;
        for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
            *acked_word(parallel, slot, index) &= ~mask;
        }
    }
}

// A peer may have lost what it acknowledged: it has to acknowledge again what is not committed.
void acks_forget(struct raft *raft, uint32_t slot)
{
    struct raft_parallel *parallel = raft->parallel;
    raft->peers[slot].counted = 0;
    memset(parallel->acked[slot], 0, sizeof(parallel->acked[slot]));
    if (raft->role != RAFT_LEADER || parallel->phase != PARALLEL_SERVE) {
        return;
    }
    uint64_t last = parallel->acked_high;
    for (uint64_t index = raft->commit + 1; index <= last; index = (index | 63) + 1) {
        uint64_t mask = mask_of(index, index, last), *quorum = quorum_word(parallel, index);
        uint64_t committed =
            parallel->committed.words[bitmap_ring_slot(&parallel->committed, index) / 64];
        uint64_t lost = *quorum & mask & ~committed & ~majority_word(raft, index);
        if (lost != 0) {
            MARK(quorum_of_an_entry_is_lost_again);
            *quorum &= ~lost;
            parallel->waiting -= (uint32_t)__builtin_popcountll(lost);
        }
    }
}
