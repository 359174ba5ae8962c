// The codec: bytes <-> messages. FORMAT.md gives the layout; layout.h holds every offset by
// static_assert.
//
// A frame is an envelope and a run of messages, many groups share one. Everything that comes from
// outside is validated here, once; what passes may be asserted on. Decoding never allocates, copies
// no payload, does O(1) work per byte and reads each byte at most twice. Pure; any thread.
#ifndef PONTOON_WIRE_WIRE_H
#define PONTOON_WIRE_WIRE_H

#include <assert.h>
#include <string.h>

#include "engine/core/entry_crc.h"
#include "engine/core/message.h"
#include "engine/core/types.h"

enum {
    WIRE_VERSION = 3,
    WIRE_ENVELOPE_BYTES = 40,
    WIRE_HEAD_BYTES = RAFT_ENTRY_HEAD_BYTES,
    WIRE_DISTANCE_BYTES = 2,     // of an entry, in appends of which raft_append_tells
    WIRE_APPEND_BYTES = 88,      // an append message before its heads
    WIRE_PROPOSE_BYTES = 24,     // a proposal before its heads
    WIRE_FRAME_BYTES_MIN = 534,  // of a network: a vote with its report, and an answer, fit
    WIRE_FRAME_BYTES_MAX = 9000, // larger ones are refused
    // Every fragment of an entry but the last has at least this: bounds the fragments of one entry.
    WIRE_FRAGMENT_BYTES_MIN = 256,
    WIRE_ENTRIES_MAX = 512,                // of one message
    WIRE_RANGES_MAX = RAFT_FOOTPRINTS_MAX, // that a command or a query declares
    WIRE_RANGE_BYTES = 16,
    WIRE_RESULTS_MAX = 512,
    WIRE_CLIENT = 0,   // source / destination id of clients in the envelope
    WIRE_CLASSES = 64, // class = group mod 64
};

enum wire_type {
    // 1..6 and 8: enum raft_message_type
    WIRE_APPEND_FRAGMENT = 15, // part of one entry that is larger than a frame
    WIRE_SNAPSHOT = 17,        // part of a checkpoint, leader to follower
    WIRE_SNAPSHOT_REPLY = 18,
    WIRE_PROPOSE = 32, // client: a batch of commands (and REGISTER)
    WIRE_PROPOSE_REPLY = 34,
    WIRE_REGISTER_REPLY = 35,
    WIRE_READ_REPLY = 37,
    WIRE_STATUS = 38, // client: role, indexes and (on request) digest of this replica
    WIRE_STATUS_REPLY = 39,
    // Two bits or more from PROPOSE, whose payloads the frame's checksum leaves out (FORMAT.md).
    WIRE_PROPOSE_FRAGMENT = 41,
    WIRE_READ = 42, // client: a linearizable query
};

// Answers to clients. Stable numbers.
enum wire_status {
    WIRE_DONE = 0,           // applied; the result is the state machine's
    WIRE_NOT_LEADER = 1,     // nothing was done here; leader_hint names the leader or is 0
    WIRE_BUSY = 2,           // nothing was done; try later
    WIRE_EXPIRED = 3,        // session unknown: evicted, or never registered
    WIRE_OUTSIDE_WINDOW = 4, // sequence too far ahead of, or too far behind, the session's window
    WIRE_INVALID = 5,        // size or ranges refused; nothing was done
    WIRE_UNKNOWN = 6,        // leadership lost after acceptance: it may or may not come to be
    WIRE_FAILED = 7,         // node cannot serve (halted, device failed)
};

struct wire_envelope {
    uint64_t cluster;
    uint64_t boot;   // sender's boot counter; 0 from clients
    uint16_t source; // node id, or WIRE_CLIENT
    uint16_t destination;
    uint8_t class;
};

// One result of a PROPOSE_REPLY.
struct wire_result {
    uint64_t sequence;
    uint32_t status; // enum wire_status
    uint32_t result; // the state machine's, when DONE
};

// What a command or a query touches, as its client declares it: ranges of the state machine's key
// space, as they lie in a frame or in a caller's array (start u64, length u64; any alignment).
struct wire_ranges {
    const void *at;
    uint8_t count; // 0: not said
};

// Ranges in a caller's array. (More than a count can say: as many as it can, which are too many.)
static inline struct wire_ranges wire_ranges_of(const void *at, uint32_t count)
{
    return (struct wire_ranges){.at = at, .count = count < UINT8_MAX ? (uint8_t)count : UINT8_MAX};
}

struct wire_fragment {
    struct raft_entry_head head; // of the whole entry
    uint32_t offset;             // of data in the payload
    uint32_t bytes;              // of data; every fragment of an entry but the last has the same
    const uint8_t *data;
    struct wire_ranges ranges; // PROPOSE_FRAGMENT only: of the whole entry
    // APPEND_FRAGMENT only: as in raft_append, for the single entry prev.index + 1
    struct raft_append append;
};

struct wire_snapshot {
    struct raft_entry_id last; // what the checkpoint covers
    uint64_t total_bytes;
    uint64_t offset;
    uint32_t bytes;
    const uint8_t *data;
};

struct wire_snapshot_reply {
    struct raft_entry_id last;
    uint64_t received_bytes; // contiguous from 0
    bool installed;
};

struct wire_propose {
    uint32_t count;
    const struct raft_entry_head *heads; // count, in the caller's scratch
    const uint8_t *const *payloads;      // count, into the frame
    uint32_t payload_bytes;              // sum
    const struct wire_ranges *ranges;    // count, likewise; NULL: nobody declares any
};

struct wire_propose_reply {
    uint64_t client;
    uint16_t leader_hint;
    uint32_t count;
    const struct wire_result *results;
};

struct wire_register_reply {
    uint64_t nonce;
    uint64_t session;
    uint64_t window;
    uint16_t leader_hint;
    uint32_t status;
};

struct wire_read {
    uint64_t request;
    uint32_t bytes;
    const uint8_t *query;
    struct wire_ranges ranges;
};

struct wire_read_reply {
    uint64_t request;
    uint32_t status;
    int32_t result; // of the app's read when DONE: bytes, or -errno
    uint16_t leader_hint;
    uint32_t answer_crc;  // CRC32C of the whole answer: tells answers of two attempts apart
    uint32_t total_bytes; // of the whole answer
    uint32_t offset;      // of this part
    uint32_t bytes;
    const uint8_t *data;
};

struct wire_status_request {
    uint64_t request;
    bool want_digest;
};

struct wire_status_reply {
    uint64_t request;
    uint16_t node;
    uint16_t leader_hint;
    uint8_t role;  // enum raft_role
    uint64_t term; // of the replica, 0 before its first
    bool intact;
    bool has_digest;
    uint64_t commit;
    uint64_t applied;
    uint64_t last;
    uint64_t digest;
};

struct wire_message {
    uint8_t type; // enum raft_message_type or enum wire_type
    uint16_t group;
    uint64_t term;    // also in raft.term of raft's types; 0 between clients and nodes, but in
                      // STATUS_REPLY
    bool intact;      // raft_message.intact of raft's types and of APPEND_FRAGMENT, else false
    bool has_room;    // likewise
    bool is_parallel; // likewise
    union {
        struct raft_message raft; // raft's types; raft.from, to, boot from the envelope
        struct wire_fragment fragment;
        struct wire_snapshot snapshot;
        struct wire_snapshot_reply snapshot_reply;
        struct wire_propose propose;
        struct wire_propose_reply propose_reply;
        struct wire_register_reply register_reply;
        struct wire_read read;
        struct wire_read_reply read_reply;
        struct wire_status_request status;
        struct wire_status_reply status_reply;
    };
    const uint8_t *const *payloads; // RAFT_MSG_APPEND: append.count, into the frame
    uint32_t payload_bytes;         // RAFT_MSG_APPEND: sum
};

// Why a frame or a message was refused. Each has a counter in the reactor.
enum wire_refusal {
    WIRE_OK = 0,
    WIRE_END,      // no more messages (not a refusal)
    WIRE_SHORT,    // cut, or smaller than an envelope
    WIRE_TRAILING, // bytes behind the last message, padding not zero
    WIRE_BAD_MAGIC,
    WIRE_BAD_VERSION,
    WIRE_BAD_CHECKSUM,
    WIRE_WRONG_CLUSTER,
    WIRE_WRONG_DESTINATION,
    WIRE_BAD_SOURCE, // unknown node id, or our own
    WIRE_BAD_TYPE,
    WIRE_BAD_FIELD, // a value outside its range: reserved bits, group, term, index, kind, count,
                    // sizes that disagree
    WIRE_BAD_ENTRY, // an entry's checksum (wire_check_entries)
    WIRE_REFUSALS
};
const char *wire_refusal_name(enum wire_refusal refusal);

// Scratch that decoded arrays live in until the next wire_next on the same reader.
struct wire_scratch {
    struct raft_entry_head heads[WIRE_ENTRIES_MAX];
    const uint8_t *payloads[WIRE_ENTRIES_MAX];
    struct wire_ranges ranges[WIRE_ENTRIES_MAX];
    uint16_t distances[WIRE_ENTRIES_MAX];
    struct wire_result results[WIRE_RESULTS_MAX];
};

struct wire_reader {
    const uint8_t *at, *end;
    uint32_t messages_left;
    struct wire_envelope envelope;
    struct wire_scratch *scratch;
};

// What the receiver accepts.
struct wire_filter {
    uint64_t cluster;
    uint16_t self;   // node id; WIRE_CLIENT for clients
    uint64_t peers;  // bit (id - 1) set: a known node (self excluded)
    uint32_t groups; // group ids below this
};

// Checks envelope and checksum. OK: reader is ready for wire_next. The frame must outlive the
// reader. Payloads of entries are not covered: see wire_check_entries.
enum wire_refusal wire_open(struct wire_reader *reader, const struct wire_filter *filter,
                            const uint8_t *frame, uint32_t bytes, struct wire_scratch *scratch);

// The next message: OK, END, or the refusal (then the rest of the frame is unusable). Message types
// that the source may not send (a client's APPEND, a node's PROPOSE) are BAD_TYPE.
enum wire_refusal wire_next(struct wire_reader *reader, const struct wire_filter *filter,
                            struct wire_message *message);

// head->crc must equal this (entry_crc.h).
static inline uint32_t wire_entry_crc(const struct raft_entry_head *head, const void *payload)
{
    return raft_entry_crc(head, payload);
}

// True when every entry's crc matches. To be asked before anything of an APPEND's or a PROPOSE's
// payloads is used; their heads are covered by the frame's checksum.
bool wire_check_entries(const struct raft_entry_head *heads, const uint8_t *const *payloads,
                        uint32_t count);

// True when the ranges are few enough, none is empty or beyond the key space, and no two of them
// overlap. Decoding does not ask: who sent others is to be told.
bool wire_ranges_are_valid(const struct wire_ranges *ranges);

static inline struct raft_footprint wire_range_at(const struct wire_ranges *ranges, uint32_t at)
{
    struct raft_footprint range;
    static_assert(sizeof(range) == WIRE_RANGE_BYTES, "as it lies in a frame");
    memcpy(&range, (const uint8_t *)ranges->at + (size_t)at * WIRE_RANGE_BYTES, sizeof(range));
    return range;
}

// Bytes that `ranges` ranges of `entries` commands (or of one query) take in a message.
static inline uint32_t wire_ranges_bytes(uint32_t entries, uint32_t ranges)
{
    return ranges == 0 ? 0 : ((entries + 7) & ~UINT32_C(7)) + ranges * WIRE_RANGE_BYTES;
}

// Packs and unpacks an entry head (24 bytes: client, sequence, crc, bytes:24 | kind:8), shared with
// the log.
static inline void wire_head_write(uint8_t *at, const struct raft_entry_head *head)
{
    raft_entry_head_pack(at, head);
}

static inline void wire_head_read(const uint8_t *at, struct raft_entry_head *head)
{
    raft_entry_head_unpack(at, head);
}

// Whether offset, bytes and size of the whole entry agree, and its head may travel in fragments (a
// COMMAND). Decoding and assembly apply it; `data` is not looked at.
bool wire_fragment_is_valid(const struct wire_fragment *fragment);

// Writing: wire_begin, any wire_put_…, wire_seal. A put that does not fit changes nothing and
// returns false / 0.
struct wire_writer {
    uint8_t *frame;
    uint32_t bytes;    // written, with the envelope
    uint32_t capacity; // ≤ WIRE_FRAME_BYTES_MAX
    uint16_t messages;
    uint32_t entries_due; // of an open append: still to be put
};

// Capacity ≥ WIRE_ENVELOPE_BYTES; of more than WIRE_FRAME_BYTES_MAX the rest is not used.
void wire_begin(struct wire_writer *writer, uint8_t *frame, uint32_t capacity,
                const struct wire_envelope *envelope);
// Writes count and checksum. Result: bytes of the frame.
uint32_t wire_seal(struct wire_writer *writer);

// Votes, replies, a fetch and an append without entries.
bool wire_put_raft(struct wire_writer *writer, uint16_t group, const struct raft_message *message);

// An append with entries is opened for a known number of entries and payload bytes (heads stand
// before payloads), then filled entry by entry. Count while gathering, with wire_append_takes, or
// over a list, with wire_append_fit. Where raft_append_tells, WIRE_DISTANCE_BYTES of each entry
// count as payload there, and not in wire_append_open, which finds them in the message.
struct wire_append_writer {
    struct wire_writer *writer;
    uint8_t *head_at;     // of the next entry
    uint8_t *payload_at;  // of the next entry
    uint8_t *payload_end; // of the last one
};

// Bytes of an append message that carries this many entries. Precondition: count ≤
// WIRE_ENTRIES_MAX.
static inline uint32_t wire_append_bytes(uint32_t count, uint32_t payload_bytes)
{
    return (WIRE_APPEND_BYTES + count * WIRE_HEAD_BYTES + payload_bytes + 7) & ~UINT32_C(7);
}

// True when one append of `count` entries, `payload_bytes` together, fits what is left of the
// frame.
static inline bool wire_append_takes(const struct wire_writer *writer, uint32_t count,
                                     uint32_t payload_bytes)
{
    return count <= WIRE_ENTRIES_MAX && payload_bytes <= WIRE_FRAME_BYTES_MAX &&
           wire_append_bytes(count, payload_bytes) <= writer->capacity - writer->bytes;
}

// Bytes that heads and payloads of one append may have together in what is left of the frame.
static inline uint32_t wire_append_room(const struct wire_writer *writer)
{
    uint32_t left = (writer->capacity - writer->bytes) & ~UINT32_C(7);
    return left < WIRE_APPEND_BYTES ? 0 : left - WIRE_APPEND_BYTES;
}

// The largest prefix of these entries that fits.
uint32_t wire_append_fit(const struct wire_writer *writer, const uint32_t *entry_bytes,
                         uint32_t count);
// Reserves one message for `count` entries of `payload_bytes` together. False when it does not fit.
bool wire_append_open(struct wire_append_writer *append, struct wire_writer *writer, uint16_t group,
                      const struct raft_message *message, uint32_t count, uint32_t payload_bytes);
// Adds the next entry: exactly `count` times, payload_bytes together, before anything else is put
// or sealed.
void wire_append_put(struct wire_append_writer *append, const struct raft_entry_head *head,
                     const void *payload);
// The same for `count` entries that lie back to back, each a head as wire_head_write makes it and
// its payload: as a log keeps them.
void wire_append_put_records(struct wire_append_writer *append, const uint8_t *records,
                             uint32_t count);
// Largest payload that fits an otherwise empty frame of this size as a single-entry append; larger
// ones travel in fragments of wire_fragment_bytes(frame_bytes) each. (Of both, WIRE_DISTANCE_BYTES
// less where raft_append_tells.)
uint32_t wire_append_payload_max(uint32_t frame_bytes);
// (Of a command that declares ranges, wire_ranges_bytes less.)
uint32_t wire_propose_payload_max(uint32_t frame_bytes);
uint32_t wire_fragment_bytes(uint32_t frame_bytes);
// The same for a proposal that declares so many ranges.
uint32_t wire_propose_fragment_bytes(uint32_t frame_bytes, uint32_t ranges);
// The largest part of a checkpoint, of a query and of an answer that fits an otherwise empty frame.
uint32_t wire_snapshot_bytes_max(uint32_t frame_bytes);
uint32_t wire_read_bytes_max(uint32_t frame_bytes);

bool wire_put_append_fragment(struct wire_writer *writer, uint16_t group,
                              const struct raft_message *message,
                              const struct wire_fragment *fragment);
bool wire_put_propose_fragment(struct wire_writer *writer, uint16_t group,
                               const struct wire_fragment *fragment);
bool wire_put_snapshot(struct wire_writer *writer, uint16_t group, uint64_t term,
                       const struct wire_snapshot *snapshot);
bool wire_put_snapshot_reply(struct wire_writer *writer, uint16_t group, uint64_t term,
                             const struct wire_snapshot_reply *reply);
// As many of the commands as fit, as one message. Result: how many were written.
uint32_t wire_put_propose(struct wire_writer *writer, uint16_t group,
                          const struct raft_entry_head *heads, const void *const *payloads,
                          uint32_t count);
// The same for commands of which some declare ranges. NULL: none does.
uint32_t wire_put_propose_ranges(struct wire_writer *writer, uint16_t group,
                                 const struct raft_entry_head *heads, const void *const *payloads,
                                 const struct wire_ranges *ranges, uint32_t count);
// Bytes of that message with its header. Precondition: each has at most WIRE_RANGES_MAX ranges.
static inline uint64_t wire_propose_bytes(uint32_t count, uint64_t payload_bytes, uint32_t ranges)
{
    return (WIRE_PROPOSE_BYTES + count * WIRE_HEAD_BYTES + wire_ranges_bytes(count, ranges) +
            payload_bytes + 7) &
           ~UINT64_C(7);
}
// As many results as fit. Result: how many.
uint32_t wire_put_propose_reply(struct wire_writer *writer, uint16_t group, uint64_t client,
                                uint16_t leader_hint, const struct wire_result *results,
                                uint32_t count);
bool wire_put_register_reply(struct wire_writer *writer, uint16_t group,
                             const struct wire_register_reply *reply);
bool wire_put_read(struct wire_writer *writer, uint16_t group, const struct wire_read *read);
// One part: `data` is the whole answer, written are as many bytes from `offset` on as fit (`bytes`
// is not read). Result: bytes of this part, or -1 when nothing of it fits.
int32_t wire_put_read_reply(struct wire_writer *writer, uint16_t group,
                            const struct wire_read_reply *reply);
bool wire_put_status(struct wire_writer *writer, uint16_t group,
                     const struct wire_status_request *request);
bool wire_put_status_reply(struct wire_writer *writer, uint16_t group,
                           const struct wire_status_reply *reply);

#endif
