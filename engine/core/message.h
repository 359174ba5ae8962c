// Messages between the replicas of one group, as the core sees them: decoded, validated, without
// payload bytes.
//
// Source: Raft (Ongaro & Ousterhout, extended version) figure 2 and §5-7; thesis §6.4 (ReadIndex),
// §9.6 (PreVote).
#ifndef PONTOON_CORE_MESSAGE_H
#define PONTOON_CORE_MESSAGE_H

#include "engine/core/types.h"

enum raft_message_type {
    RAFT_MSG_PRE_VOTE = 1,
    RAFT_MSG_PRE_VOTE_REPLY = 2,
    RAFT_MSG_VOTE = 3,
    RAFT_MSG_VOTE_REPLY = 4,
    RAFT_MSG_APPEND = 5, // AppendEntries and heartbeat
    RAFT_MSG_APPEND_REPLY = 6,
    // Parallel: the winner of an election asks for entries it lacks. Two bits or more from APPEND,
    // whose payloads the frame's checksum leaves out (engine/wire/FORMAT.md).
    RAFT_MSG_FETCH = 8,
};

struct raft_vote {
    struct raft_entry_id last; // of the candidate's log
};

// Parallel groups: what a voter holds, sent with its vote. It is fixed when the vote is promised:
// nothing is added to it in that term but by the new leader.
struct raft_report {
    uint64_t sync_term; // highest term whose complete log it has installed; everything below is of
                        // that lineage
    uint64_t sync_end;  // ... where that log ended
    uint64_t commit;    // highest commit floor it was told
    uint64_t floor;     // held without a hole up to; ≥ sync_end
    uint64_t last;      // highest index held; ≥ floor
    uint64_t first;     // present covers first..last: floor + 1, or later (between is unknown then)
    uint64_t present[RAFT_WINDOW_WORDS]; // bit k: index first + k is held
};

struct raft_vote_reply {
    bool granted;
    struct raft_report report; // VOTE_REPLY, granted, parallel
};

struct raft_append {
    struct raft_entry_id prev; // place before the first entry (parallel: its term is 0)
    uint64_t entries_term;     // term of every entry of this message; 0 when count is 0 (parallel:
                               // the message's term, which is the stamp of everything in it)
    uint32_t count;
    uint64_t commit;  // leader's commit index
    uint64_t round;   // leadership round; echoed, confirms reads (thesis §6.4) and check-quorum
    uint64_t echo_ns; // leader's clock; echoed, gives the round trip
    uint64_t rejoin_boot;  // for a peer that lost its entries: the boot counter this answer is for,
                           // else 0
    uint64_t rejoin_index; // ... and the commit index confirmed by a majority without it
    const struct raft_entry_head *heads; // count of them
    // Parallel groups. has_sync: the leader has installed its recovered log, which ends at
    // sync_end. sync_from: what this peer reported to it in sync_term sync_from was part of it, so
    // that stays; 0: the peer keeps only what it knows to be committed.
    bool has_sync;
    // is_supply: part of the answer to a FETCH, from a follower to the winner of the election;
    // round is the number of that FETCH, sync_end the last index of the answer, though more was
    // asked for.
    bool is_supply;
    uint64_t sync_from;
    uint64_t sync_end;
    // How far back each entry depends (raft_distances), when raft_append_tells; else NULL: on
    // everything before it.
    const uint16_t *distances; // count of them, each 1..RAFT_WINDOW_MAX and not below sync_end
};

// Does the append tell what its entries depend on? Not of what an installed log has: that is
// applied in order anyway.
static inline bool raft_append_tells(const struct raft_append *append)
{
    return append->has_sync && append->count > 0 && append->prev.index >= append->sync_end;
}

// Entries one by one: bit k of `bits` is index first + k.
struct raft_wanted {
    uint64_t first;
    uint32_t count; // of bits, ≤ RAFT_WINDOW_MAX; 0: none
    uint64_t bits[RAFT_WINDOW_WORDS];
};

// Requires index ≥ first, unless it is the first one, and index < first + RAFT_WINDOW_MAX.
static inline void raft_wanted_add(struct raft_wanted *wanted, uint64_t index)
{
    wanted->first = wanted->count == 0 ? index : wanted->first;
    uint64_t bit = index - wanted->first;
    wanted->bits[bit / 64] |= UINT64_C(1) << (bit % 64);
    wanted->count = bit >= wanted->count ? (uint32_t)bit + 1 : wanted->count;
}

struct raft_fetch {
    uint64_t number;           // of this asking, echoed in the answer
    struct raft_wanted wanted; // not empty; its first and its last bit are set
};

enum raft_append_result {
    RAFT_APPEND_OK = 0,
    RAFT_APPEND_REJECTED = 1, // prev does not match; conflict says where to go on
};

struct raft_append_reply {
    enum raft_append_result result;
    uint64_t match;                // durable here and equal to the leader's log, up to
    uint64_t held;                 // received (perhaps not durable) without a hole, up to
    struct raft_entry_id conflict; // REJECTED: term of our entry at prev (0: none) and first index
                                   // of that term (or last + 1)
    uint64_t round;                // echoes of the newest append of this term
    uint64_t echo_ns;
    uint32_t gap_count;
    struct raft_range gaps[RAFT_GAPS_MAX]; // missing below what was received: send these again
    // Parallel groups. is_installed: the leader's recovered log is durable here, so match and acked
    // count. Before that nothing does, and the bits name what is missing beside the gaps.
    bool is_installed;
    union {
        uint32_t acked_count; // bits of acked, ≤ RAFT_WINDOW_MAX
        uint32_t missing_count;
    };
    union {
        uint64_t acked[RAFT_WINDOW_WORDS];   // bit k: index match + 1 + k is durable here
        uint64_t missing[RAFT_WINDOW_WORDS]; // bit k: send index match + 1 + k again
    };
};

struct raft_message {
    enum raft_message_type type;
    uint16_t from;
    uint16_t to;
    bool intact;      // sender holds every entry it ever acknowledged (false: memory node after a
                      // restart)
    bool has_room;    // sender's log takes entries
    bool is_parallel; // of a parallel group; a replica that runs the other order ignores it
    uint64_t boot;    // sender's boot counter
    uint64_t term;
    union {
        struct raft_vote vote;             // PRE_VOTE, VOTE
        struct raft_vote_reply vote_reply; // PRE_VOTE_REPLY, VOTE_REPLY
        struct raft_append append;
        struct raft_append_reply append_reply;
        struct raft_fetch fetch;
    };
};

#endif
