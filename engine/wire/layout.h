// Where each field of a frame lies: FORMAT.md as C structs, every offset held by static_assert.
// Private to this folder.
//
// The structs are copied to and from frames whole, by memcpy: frames have no alignment, and
// compilers turn such a copy into plain loads and stores. All fields are naturally aligned within
// their message, so there is no hidden padding.
#ifndef PONTOON_WIRE_LAYOUT_H
#define PONTOON_WIRE_LAYOUT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/wire/parallel.h"
#include "engine/wire/wire.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the formats are little-endian");

#define LAYOUT_MAGIC UINT32_C(0x4E544E50) // "PNTN"

enum {
    LAYOUT_CHECKED_FROM = 8,  // the frame's checksum covers nothing before
    LAYOUT_FLAG_INTACT = 1,   // message header: raft_message.intact
    LAYOUT_FLAG_ROOM = 2,     // message header: raft_message.has_room
    LAYOUT_FLAG_PARALLEL = 4, // message header: raft_message.is_parallel
    LAYOUT_FLAG_SYNC = 8,     // message header: raft_append.has_sync
    LAYOUT_FLAG_SUPPLY = 16,  // message header: raft_append.is_supply
    LAYOUT_FLAG_RANGES = 32,  // message header: a client's request declares ranges
    LAYOUT_FLAG_DEPENDS = 64, // message header: raft_append_tells
    LAYOUT_STATUS_DIGEST = 1,
    LAYOUT_STATUS_INTACT = 2,
};

struct layout_envelope {
    uint32_t magic;
    uint32_t crc;
    uint8_t version;
    uint8_t class;
    uint16_t flags; // 0
    uint16_t source;
    uint16_t destination;
    uint64_t cluster;
    uint64_t boot;
    uint32_t frame_bytes;
    uint16_t messages;
    uint16_t reserved; // 0
};

// Every message begins with this; the bodies below contain it, so that their offsets count from the
// message.
struct layout_message {
    uint32_t bytes;
    uint8_t type;
    uint8_t flags;
    uint16_t group;
    uint64_t term;
};

struct layout_vote {
    struct layout_message message;
    struct raft_entry_id last;
};

struct layout_vote_reply {
    struct layout_message message;
    uint8_t granted;
    uint8_t reserved[7];
    // parallel, granted VOTE_REPLY: PARALLEL_REPORT_BYTES of struct raft_report, words of present
};

// What an append and a fragment of one have in common.
struct layout_append_place {
    struct raft_entry_id prev; // parallel: prev.term is sync_from
    uint64_t entries_term;     // parallel: sync_end
    uint64_t commit;
    uint64_t round;
    uint64_t echo_ns;
    uint64_t rejoin_boot;
    uint64_t rejoin_index;
};

struct layout_append {
    struct layout_message message;
    struct layout_append_place place;
    uint32_t count;
    uint32_t payload_bytes;
    // count heads, parallel: count distances, payload_bytes of payloads
};

struct layout_append_fragment {
    struct layout_message message;
    struct layout_append_place place;
    uint32_t offset;
    uint32_t bytes;
    uint8_t head[WIRE_HEAD_BYTES];
    // parallel: distance, bytes of data
};

struct layout_append_reply {
    struct layout_message message;
    uint8_t result;
    uint8_t gap_count;
    uint8_t is_installed; // parallel, else 0
    uint8_t reserved;
    uint16_t acked_count; // parallel, else 0
    uint16_t reserved_end;
    uint64_t match;
    uint64_t held;
    struct raft_entry_id conflict;
    uint64_t round;
    uint64_t echo_ns;
    // gap_count ranges, words of acked
};

struct layout_fetch {
    struct layout_message message;
    uint64_t number;
    uint64_t first;
    uint16_t count;
    uint8_t reserved[6];
    // count bits
};

struct layout_snapshot {
    struct layout_message message;
    struct raft_entry_id last;
    uint64_t total_bytes;
    uint64_t offset;
    uint32_t bytes;
    uint32_t reserved;
    // bytes of data
};

struct layout_snapshot_reply {
    struct layout_message message;
    struct raft_entry_id last;
    uint64_t received_bytes;
    uint8_t installed;
    uint8_t reserved[7];
};

struct layout_propose {
    struct layout_message message;
    uint32_t count;
    uint32_t payload_bytes;
    // count heads, ranges (LAYOUT_FLAG_RANGES), payload_bytes of payloads
};

struct layout_propose_fragment {
    struct layout_message message;
    uint32_t offset;
    uint32_t bytes;
    uint8_t head[WIRE_HEAD_BYTES];
    // ranges (LAYOUT_FLAG_RANGES), bytes of data
};

struct layout_propose_reply {
    struct layout_message message;
    uint64_t client;
    uint32_t count;
    uint16_t leader_hint;
    uint16_t reserved;
    // count results
};

struct layout_register_reply {
    struct layout_message message;
    uint64_t nonce;
    uint64_t session;
    uint64_t window;
    uint16_t leader_hint;
    uint16_t reserved;
    uint32_t status;
};

struct layout_read {
    struct layout_message message;
    uint64_t request;
    uint32_t bytes;
    uint8_t reserved[28]; // as long as the reply's header: no answer without data is larger than
                          // its request
    // ranges (LAYOUT_FLAG_RANGES), bytes of query
};

struct layout_read_reply {
    struct layout_message message;
    uint64_t request;
    uint32_t status;
    int32_t result;
    uint16_t leader_hint;
    uint16_t reserved;
    uint32_t answer_crc;
    uint32_t total_bytes;
    uint32_t offset;
    uint32_t bytes;
    uint32_t reserved_end;
    // bytes of data
};

struct layout_status {
    struct layout_message message;
    uint64_t request;
    uint8_t flags;        // LAYOUT_STATUS_DIGEST
    uint8_t reserved[39]; // as long as the reply
};

struct layout_status_reply {
    struct layout_message message;
    uint64_t request;
    uint16_t node;
    uint16_t leader_hint;
    uint8_t role;
    uint8_t flags; // LAYOUT_STATUS_DIGEST, LAYOUT_STATUS_INTACT
    uint16_t reserved;
    uint64_t commit;
    uint64_t applied;
    uint64_t last;
    uint64_t digest;
};

#define LAYOUT_AT(type, field, offset)                                                             \
    static_assert(offsetof(struct layout_##type, field) == (offset), #type "." #field)
#define LAYOUT_SIZE(type, size) static_assert(sizeof(struct layout_##type) == (size), #type)

LAYOUT_AT(envelope, magic, 0);
LAYOUT_AT(envelope, crc, 4);
LAYOUT_AT(envelope, version, LAYOUT_CHECKED_FROM);
LAYOUT_AT(envelope, class, 9);
LAYOUT_AT(envelope, flags, 10);
LAYOUT_AT(envelope, source, 12);
LAYOUT_AT(envelope, destination, 14);
LAYOUT_AT(envelope, cluster, 16);
LAYOUT_AT(envelope, boot, 24);
LAYOUT_AT(envelope, frame_bytes, 32);
LAYOUT_AT(envelope, messages, 36);
LAYOUT_AT(envelope, reserved, 38);
LAYOUT_SIZE(envelope, WIRE_ENVELOPE_BYTES);

LAYOUT_AT(message, bytes, 0);
LAYOUT_AT(message, type, 4);
LAYOUT_AT(message, flags, 5);
LAYOUT_AT(message, group, 6);
LAYOUT_AT(message, term, 8);
LAYOUT_SIZE(message, 16);

static_assert(sizeof(struct raft_entry_id) == 16, "term u64, index u64");
static_assert(offsetof(struct raft_entry_id, term) == 0, "term u64, index u64");
static_assert(sizeof(struct raft_range) == 16, "first u64, last u64");
static_assert(offsetof(struct raft_range, first) == 0, "first u64, last u64");
static_assert(sizeof(struct wire_result) == 16, "sequence u64, status u32, result u32");
static_assert(offsetof(struct wire_result, status) == 8, "sequence u64, status u32, result u32");

static_assert(offsetof(struct raft_report, sync_term) == 0, "six u64, then the words");
static_assert(offsetof(struct raft_report, sync_end) == 8, "six u64, then the words");
static_assert(offsetof(struct raft_report, commit) == 16, "six u64, then the words");
static_assert(offsetof(struct raft_report, floor) == 24, "six u64, then the words");
static_assert(offsetof(struct raft_report, last) == 32, "six u64, then the words");
static_assert(offsetof(struct raft_report, first) == 40, "six u64, then the words");
static_assert(offsetof(struct raft_report, present) == PARALLEL_REPORT_BYTES, "then the words");

LAYOUT_AT(vote, last, 16);
LAYOUT_SIZE(vote, 32);
LAYOUT_AT(vote_reply, granted, 16);
LAYOUT_SIZE(vote_reply, 24);

LAYOUT_AT(append, place.prev, 16);
LAYOUT_AT(append, place.entries_term, 32);
LAYOUT_AT(append, place.commit, 40);
LAYOUT_AT(append, place.round, 48);
LAYOUT_AT(append, place.echo_ns, 56);
LAYOUT_AT(append, place.rejoin_boot, 64);
LAYOUT_AT(append, place.rejoin_index, 72);
LAYOUT_AT(append, count, 80);
LAYOUT_AT(append, payload_bytes, 84);
LAYOUT_SIZE(append, WIRE_APPEND_BYTES);

LAYOUT_AT(append_fragment, place, 16);
LAYOUT_AT(append_fragment, offset, 80);
LAYOUT_AT(append_fragment, bytes, 84);
LAYOUT_AT(append_fragment, head, 88);
LAYOUT_SIZE(append_fragment, 112);

LAYOUT_AT(append_reply, result, 16);
LAYOUT_AT(append_reply, gap_count, 17);
LAYOUT_AT(append_reply, is_installed, 18);
LAYOUT_AT(append_reply, acked_count, 20);
LAYOUT_AT(append_reply, match, 24);
LAYOUT_AT(append_reply, held, 32);
LAYOUT_AT(append_reply, conflict, 40);
LAYOUT_AT(append_reply, round, 56);
LAYOUT_AT(append_reply, echo_ns, 64);
LAYOUT_SIZE(append_reply, 72);

LAYOUT_AT(fetch, number, 16);
LAYOUT_AT(fetch, first, 24);
LAYOUT_AT(fetch, count, 32);
LAYOUT_SIZE(fetch, 40);

LAYOUT_AT(snapshot, last, 16);
LAYOUT_AT(snapshot, total_bytes, 32);
LAYOUT_AT(snapshot, offset, 40);
LAYOUT_AT(snapshot, bytes, 48);
LAYOUT_SIZE(snapshot, 56);

LAYOUT_AT(snapshot_reply, last, 16);
LAYOUT_AT(snapshot_reply, received_bytes, 32);
LAYOUT_AT(snapshot_reply, installed, 40);
LAYOUT_SIZE(snapshot_reply, 48);

LAYOUT_AT(propose, count, 16);
LAYOUT_AT(propose, payload_bytes, 20);
LAYOUT_SIZE(propose, WIRE_PROPOSE_BYTES);

LAYOUT_AT(propose_fragment, offset, 16);
LAYOUT_AT(propose_fragment, bytes, 20);
LAYOUT_AT(propose_fragment, head, 24);
LAYOUT_SIZE(propose_fragment, 48);

LAYOUT_AT(propose_reply, client, 16);
LAYOUT_AT(propose_reply, count, 24);
LAYOUT_AT(propose_reply, leader_hint, 28);
LAYOUT_SIZE(propose_reply, 32);

LAYOUT_AT(register_reply, nonce, 16);
LAYOUT_AT(register_reply, session, 24);
LAYOUT_AT(register_reply, window, 32);
LAYOUT_AT(register_reply, leader_hint, 40);
LAYOUT_AT(register_reply, status, 44);
LAYOUT_SIZE(register_reply, 48);

LAYOUT_AT(read, request, 16);
LAYOUT_AT(read, bytes, 24);
LAYOUT_SIZE(read, 56);

LAYOUT_AT(read_reply, request, 16);
LAYOUT_AT(read_reply, status, 24);
LAYOUT_AT(read_reply, result, 28);
LAYOUT_AT(read_reply, leader_hint, 32);
LAYOUT_AT(read_reply, answer_crc, 36);
LAYOUT_AT(read_reply, total_bytes, 40);
LAYOUT_AT(read_reply, offset, 44);
LAYOUT_AT(read_reply, bytes, 48);
LAYOUT_SIZE(read_reply, 56);

LAYOUT_AT(status, request, 16);
LAYOUT_AT(status, flags, 24);
LAYOUT_SIZE(status, 64);

LAYOUT_AT(status_reply, request, 16);
LAYOUT_AT(status_reply, node, 24);
LAYOUT_AT(status_reply, leader_hint, 26);
LAYOUT_AT(status_reply, role, 28);
LAYOUT_AT(status_reply, flags, 29);
LAYOUT_AT(status_reply, commit, 32);
LAYOUT_AT(status_reply, applied, 40);
LAYOUT_AT(status_reply, last, 48);
LAYOUT_AT(status_reply, digest, 56);
LAYOUT_SIZE(status_reply, 64);

// The largest messages without payload fit the smallest frame.
static_assert(WIRE_ENVELOPE_BYTES + sizeof(struct layout_vote_reply) + sizeof(struct raft_report) <=
                  WIRE_FRAME_BYTES_MIN,
              "a report of the whole window");
static_assert(WIRE_ENVELOPE_BYTES + sizeof(struct layout_append_reply) +
                      RAFT_GAPS_MAX * sizeof(struct raft_range) + RAFT_WINDOW_WORDS * 8 <=
                  WIRE_FRAME_BYTES_MIN,
              "an answer of the whole window");

#undef LAYOUT_AT
#undef LAYOUT_SIZE

// CRC32C of what the frame's checksum covers: from LAYOUT_CHECKED_FROM to the end, without the
// payloads of entries and the padding behind them. Takes any bytes, at least an envelope.
uint32_t layout_checksum(const uint8_t *frame, uint32_t bytes);

// Messages are padded with zeros to a multiple of this.
static inline uint64_t layout_round_up(uint64_t bytes)
{
    return (bytes + 7) & ~UINT64_C(7);
}

#endif
