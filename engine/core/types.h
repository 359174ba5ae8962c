// Words of the protocol that wire, log and drivers share with the core.
#ifndef PONTOON_CORE_TYPES_H
#define PONTOON_CORE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RAFT_NODES_MAX = 7, // voters of a group; ids are 1..RAFT_NODE_ID_MAX
    RAFT_NODE_ID_MAX = 64,
    RAFT_GROUPS_MAX = 4096,           // group ids are 0..RAFT_GROUPS_MAX-1
    RAFT_PAYLOAD_BYTES_MAX = 1 << 20, // of one entry
    RAFT_GAPS_MAX = 4,                // ranges a follower asks for in one answer
    // Parallel groups: entries beyond the commit floor. Bounds every bitmap, in memory and on the
    // wire.
    RAFT_WINDOW_MAX = 2048,
    RAFT_WINDOW_WORDS = RAFT_WINDOW_MAX / 64,
    RAFT_FOOTPRINTS_MAX = 8, // ranges of one entry
};

// Terms and indexes far above anything real are refused at the gateway, so that no sum in the core
// can overflow.
#define RAFT_TERM_MAX ((UINT64_C(1) << 62) - 1)
#define RAFT_INDEX_MAX ((UINT64_C(1) << 62) - 1)

// Parallel groups: what a state machine holds beyond its applied floor. Mostly the next entry is
// missing in it; where a checkpoint brought more than the log here has, it may be that one only the
// log lacks.
struct raft_beyond {
    uint32_t count;                   // bits, ≤ RAFT_WINDOW_MAX; the last one is set
    uint64_t bits[RAFT_WINDOW_WORDS]; // bit k: index floor + 1 + k is applied
};

// What names an entry: the same (term, index) is the same entry on every node. {0, 0} is the place
// before the first.
struct raft_entry_id {
    uint64_t term;
    uint64_t index;
};

static inline bool raft_entry_id_equal(struct raft_entry_id a, struct raft_entry_id b)
{
    return a.term == b.term && a.index == b.index;
}

// Inclusive; empty when last < first.
struct raft_range {
    uint64_t first;
    uint64_t last;
};

enum raft_entry_kind {
    RAFT_ENTRY_NOOP = 1,    // start of a term; no payload
    RAFT_ENTRY_COMMAND = 2, // for the state machine
    RAFT_ENTRY_REGISTER =
        3, // a client opens a session: client = its nonce, sequence = window asked for; no payload
};

// What travels with an entry everywhere (24 bytes on the wire and on disk): fixed by the client,
// never changed after.
struct raft_entry_head {
    uint64_t
        client; // session id (the index of its REGISTER entry); nonce in a REGISTER; 0 in a NOOP
    uint64_t sequence; // the client's own number of the command, from 1
    uint32_t bytes;    // of payload, ≤ RAFT_PAYLOAD_BYTES_MAX
    uint32_t crc; // raft_entry_crc(): CRC32C of client, sequence, bytes, kind and payload, made by
                  // the client
    uint8_t kind; // enum raft_entry_kind
};

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

enum raft_order { RAFT_ORDER_STRICT, RAFT_ORDER_PARALLEL };

// What must be durable before it is used (Raft figure 2: currentTerm and votedFor). One atomic
// record a group.
struct raft_hard_state {
    uint64_t term;
    uint16_t voted_for; // 0: nobody
    // Parallel groups (0 in strict ones): the highest term whose complete recovered log this node
    // has installed, and where that log ended. The log on disk says so too; here it outlives it.
    uint64_t sync_term;
    uint64_t sync_end;
};

// Parallel groups: one record that makes the installed log of a term the log of this node. What the
// node held before stays up to `keep`, the staged entries of `term` come on top, and everything
// above `end` is gone.
struct raft_sync {
    uint64_t term;
    uint64_t end;
    uint64_t keep; // ≤ end
};

// Parallel groups: what an entry touches, [start, start + length) of a 64-bit key space, length ≥ 1
// (start + length may be 2^64, that is 0). Two entries conflict when ranges overlap.
struct raft_footprint {
    uint64_t start, length;
};

static inline bool raft_footprint_is_valid(struct raft_footprint range)
{
    return range.length >= 1 && range.length - 1 <= UINT64_MAX - range.start;
}

#endif
