// What a reader must refuse, and for which reason: frames that are right but for one field, the
// checksum made to fit.
#include "tests/harness/harness.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "engine/wire/layout.h"
#include "engine/wire/wire.h"
#include "tests/unit/wire/doctored.h"
#include "tests/unit/wire/oracle.h"
#include "tests/unit/wire/sample.h"

static struct sample sample;
static uint8_t frame[WIRE_FRAME_BYTES_MAX];

// Fixed messages whose fields the rows below change.
static void make_plain(uint8_t type)
{
    static const uint8_t data[1024];
    struct wire_message *message = &sample.message;
    struct raft_append append = {
        .prev = {.term = 5, .index = 20},
        .entries_term = 6,
        .count = 2,
        .commit = 19,
        .rejoin_boot = 4,
        .rejoin_index = 3,
        .heads = sample.heads,
    };
    memset(message, 0, sizeof(*message));
    message->type = type;
    message->group = 1;
    message->term = type < WIRE_PROPOSE ? 9 : 0;
    for (uint32_t i = 0; i < 2; i++) {
        sample.heads[i] = (struct raft_entry_head){
            .client = 3, .sequence = i + 1, .bytes = 8, .kind = RAFT_ENTRY_COMMAND};
        sample.payloads[i] = data;
    }
    message->payloads = sample.payloads;
    message->payload_bytes = type == RAFT_MSG_APPEND ? 16 : 0;
    if (type <= RAFT_MSG_FETCH) {
        message->raft.type = (enum raft_message_type)type;
        message->raft.term = 9;
        message->raft.is_parallel = message->is_parallel = type == RAFT_MSG_FETCH;
    }
    switch (type) {
    case RAFT_MSG_VOTE:
        message->raft.vote.last = append.prev;
        break;
    case RAFT_MSG_APPEND:
        message->raft.append = append;
        break;
    case RAFT_MSG_APPEND_REPLY:
        message->raft.append_reply = (struct raft_append_reply){
            .result = RAFT_APPEND_REJECTED,
            .match = 10,
            .held = 12,
            .conflict = {.term = 4, .index = 11},
            .gap_count = 2,
            .gaps = {{13, 14}, {16, 16}},
        };
        break;
    case RAFT_MSG_FETCH:
        message->raft.fetch =
            (struct raft_fetch){.number = 1, .wanted = {.first = 13, .count = 2, .bits = {3}}};
        break;
    case WIRE_APPEND_FRAGMENT:
    case WIRE_PROPOSE_FRAGMENT:
        append.count = 1;
        message->fragment = (struct wire_fragment){
            .head = {.client = 3, .sequence = 1, .bytes = 1200, .kind = RAFT_ENTRY_COMMAND},
            .offset = 512,
            .bytes = 512,
            .data = data,
            .append = append,
        };
        break;
    case WIRE_SNAPSHOT:
        message->snapshot = (struct wire_snapshot){
            .last = append.prev, .total_bytes = 1000, .offset = 100, .bytes = 64, .data = data};
        break;
    case WIRE_SNAPSHOT_REPLY:
        message->snapshot_reply =
            (struct wire_snapshot_reply){.last = append.prev, .received_bytes = 100};
        break;
    case WIRE_PROPOSE:
        message->propose = (struct wire_propose){
            .count = 2, .heads = sample.heads, .payloads = sample.payloads, .payload_bytes = 16};
        break;
    case WIRE_PROPOSE_REPLY:
        memset(sample.results, 0, 2 * sizeof(sample.results[0]));
        message->propose_reply =
            (struct wire_propose_reply){.client = 3, .count = 2, .results = sample.results};
        break;
    case WIRE_READ:
        message->read = (struct wire_read){.request = 1, .bytes = 5, .query = data};
        break;
    case WIRE_READ_REPLY:
        message->read_reply =
            (struct wire_read_reply){.total_bytes = 30, .offset = 10, .bytes = 20, .data = data};
        break;
    case WIRE_STATUS_REPLY:
        message->status_reply = (struct wire_status_reply){.node = SAMPLE_PEER};
        break;
    default:
        break;
    }
}

static uint32_t plain_frame(uint8_t type)
{
    make_plain(type);
    return sample_frame(frame, sizeof(frame), &sample.message);
}

#define ENVELOPE(field) offsetof(struct layout_envelope, field)
// Head i of the plain APPEND or PROPOSE; where its parts begin.
#define HEAD(layout, i) (M + (uint32_t)sizeof(struct layout_##layout) + (i)*WIRE_HEAD_BYTES)

enum { SEQUENCE = 8, BYTES = 20, KIND = 23 };

#define FIELD WIRE_BAD_FIELD
#define APPEND RAFT_MSG_APPEND
#define APPEND_REPLY RAFT_MSG_APPEND_REPLY

// What is wrong; type; field, its width and value; refusal.
static const struct doctored_row rows[] = {
    // envelope
    {"magic", RAFT_MSG_VOTE, ENVELOPE(magic), 1, 0, WIRE_BAD_MAGIC},
    {"future version", RAFT_MSG_VOTE, ENVELOPE(version), 1, WIRE_VERSION + 1, WIRE_BAD_VERSION},
    {"version 0", RAFT_MSG_VOTE, ENVELOPE(version), 1, 0, WIRE_BAD_VERSION},
    {"frame flag", RAFT_MSG_VOTE, ENVELOPE(flags), 2, 0x8000, FIELD},
    {"reserved of envelope", RAFT_MSG_VOTE, ENVELOPE(reserved), 2, 1, FIELD},
    {"class 64", RAFT_MSG_VOTE, ENVELOPE(class), 1, 64, FIELD},
    {"other cluster", RAFT_MSG_VOTE, ENVELOPE(cluster), 8, 1, WIRE_WRONG_CLUSTER},
    {"other destination", RAFT_MSG_VOTE, ENVELOPE(destination), 2, 3, WIRE_WRONG_DESTINATION},
    {"destination client", RAFT_MSG_VOTE, ENVELOPE(destination), 2, 0, WIRE_WRONG_DESTINATION},
    {"source self", RAFT_MSG_VOTE, ENVELOPE(source), 2, SAMPLE_SELF, WIRE_BAD_SOURCE},
    {"source unknown", RAFT_MSG_VOTE, ENVELOPE(source), 2, 6, WIRE_BAD_SOURCE},
    {"source 65", RAFT_MSG_VOTE, ENVELOPE(source), 2, 65, WIRE_BAD_SOURCE},
    {"source 64 + a peer", RAFT_MSG_VOTE, ENVELOPE(source), 2, 64 + SAMPLE_PEER, WIRE_BAD_SOURCE},
    {"source 65535", RAFT_MSG_VOTE, ENVELOPE(source), 2, 65535, WIRE_BAD_SOURCE},
    {"source client to client", WIRE_STATUS_REPLY, ENVELOPE(source), 2, 0, WIRE_BAD_SOURCE},
    {"boot of a client", WIRE_STATUS, ENVELOPE(boot), 8, 1, FIELD},
    {"frame bytes 0", RAFT_MSG_VOTE, ENVELOPE(frame_bytes), 4, 0, WIRE_TRAILING},
    {"frame bytes - 1", RAFT_MSG_VOTE, ENVELOPE(frame_bytes), 4, 71, WIRE_TRAILING},
    {"frame bytes + 1", RAFT_MSG_VOTE, ENVELOPE(frame_bytes), 4, 73, WIRE_SHORT},
    {"frame bytes 2^31", RAFT_MSG_VOTE, ENVELOPE(frame_bytes), 4, 1u << 31, WIRE_SHORT},
    {"frame bytes 2^32-1", RAFT_MSG_VOTE, ENVELOPE(frame_bytes), 4, UINT32_MAX, WIRE_SHORT},
    {"no messages, yet bytes", RAFT_MSG_VOTE, ENVELOPE(messages), 2, 0, WIRE_TRAILING},
    {"a message too many", RAFT_MSG_VOTE, ENVELOPE(messages), 2, 2, WIRE_SHORT},
    {"65535 messages", RAFT_MSG_VOTE, ENVELOPE(messages), 2, 65535, WIRE_SHORT},

    // header of a message
    {"message of 0 bytes", RAFT_MSG_VOTE, M, 4, 0, FIELD},
    {"message of 1 byte", RAFT_MSG_VOTE, M, 4, 1, FIELD},
    {"message shorter than its header", RAFT_MSG_VOTE, M, 4, 8, FIELD},
    {"message shorter than its type", RAFT_MSG_VOTE, M, 4, 24, FIELD},
    {"message - 1", RAFT_MSG_VOTE, M, 4, 31, FIELD},
    {"message + 1", RAFT_MSG_VOTE, M, 4, 33, WIRE_SHORT},
    {"message of 2^31", RAFT_MSG_VOTE, M, 4, 1u << 31, WIRE_SHORT},
    {"message of 2^32-1", RAFT_MSG_VOTE, M, 4, UINT32_MAX, WIRE_SHORT},
    {"message of 2^32-8", RAFT_MSG_VOTE, M, 4, UINT32_MAX - 7, WIRE_SHORT},
    {"type 0", RAFT_MSG_PRE_VOTE_REPLY, IN(message, type), 1, 0, WIRE_BAD_TYPE},
    {"type 7", RAFT_MSG_VOTE, IN(message, type), 1, 7, WIRE_BAD_TYPE},
    {"type 255", RAFT_MSG_VOTE, IN(message, type), 1, 255, WIRE_BAD_TYPE},
    {"a node proposes", RAFT_MSG_VOTE, IN(message, type), 1, WIRE_PROPOSE, WIRE_BAD_TYPE},
    {"a node answers a node", RAFT_MSG_VOTE, IN(message, type), 1, WIRE_READ_REPLY, WIRE_BAD_TYPE},
    {"a client votes", WIRE_STATUS, IN(message, type), 1, RAFT_MSG_VOTE, WIRE_BAD_TYPE},
    {"a client installs", WIRE_STATUS, IN(message, type), 1, WIRE_SNAPSHOT, WIRE_BAD_TYPE},
    {"a client answers", WIRE_STATUS, IN(message, type), 1, WIRE_STATUS_REPLY, WIRE_BAD_TYPE},
    {"a node votes at a client", WIRE_STATUS_REPLY, IN(message, type), 1, 3, WIRE_BAD_TYPE},
    {"a vote with a SYNC", RAFT_MSG_VOTE, IN(message, flags), 1, 8, FIELD},
    {"a vote as supply", RAFT_MSG_VOTE, IN(message, flags), 1, 16, FIELD},
    {"flag 5 of a vote", RAFT_MSG_VOTE, IN(message, flags), 1, 32, FIELD},
    {"flag 5 of an append", APPEND, IN(message, flags), 1, 32, FIELD},
    {"flag 6 of a strict append", APPEND, IN(message, flags), 1, 64, FIELD},
    {"flag 6 of a strict fragment", WIRE_APPEND_FRAGMENT, IN(message, flags), 1, 64, FIELD},
    {"a SYNC in a strict group", APPEND, IN(message, flags), 1, 8, FIELD},
    {"a supply in a strict group", APPEND, IN(message, flags), 1, 16, FIELD},
    {"a SYNC of a strict fragment", WIRE_APPEND_FRAGMENT, IN(message, flags), 1, 8, FIELD},
    {"a strict supply in fragments", WIRE_APPEND_FRAGMENT, IN(message, flags), 1, 16, FIELD},
    {"a fetch in a strict group", RAFT_MSG_FETCH, IN(message, flags), 1, 0, FIELD},
    {"parallel snapshot", WIRE_SNAPSHOT, IN(message, flags), 1, 4, FIELD},
    {"parallel client", WIRE_PROPOSE, IN(message, flags), 1, 4, FIELD},
    {"flag 7 of a vote", RAFT_MSG_VOTE, IN(message, flags), 1, 0x81, FIELD},
    {"intact snapshot", WIRE_SNAPSHOT, IN(message, flags), 1, 1, FIELD},
    {"intact client", WIRE_PROPOSE, IN(message, flags), 1, 1, FIELD},
    {"group out of range", RAFT_MSG_VOTE, IN(message, group), 2, SAMPLE_GROUPS, FIELD},
    {"group 65535", WIRE_PROPOSE, IN(message, group), 2, 65535, FIELD},
    {"term 0", APPEND, IN(message, term), 8, 0, FIELD},
    {"term 2^62", RAFT_MSG_VOTE, IN(message, term), 8, OVER, FIELD},
    {"term 2^63", APPEND_REPLY, IN(message, term), 8, UINT64_C(1) << 63, FIELD},
    {"term 2^64-1", WIRE_SNAPSHOT, IN(message, term), 8, UINT64_MAX, FIELD},
    {"term of a client", WIRE_PROPOSE, IN(message, term), 8, 1, FIELD},
    {"term 2^62 of a status", WIRE_STATUS_REPLY, IN(message, term), 8, OVER, FIELD},

    // votes
    {"last log term above the term", RAFT_MSG_VOTE, IN(vote, last.term), 8, 10, FIELD},
    {"last log term 0, index not", RAFT_MSG_VOTE, IN(vote, last.term), 8, 0, FIELD},
    {"last log index 0, term not", RAFT_MSG_VOTE, IN(vote, last.index), 8, 0, FIELD},
    {"last log index 2^62", RAFT_MSG_VOTE, IN(vote, last.index), 8, OVER, FIELD},
    {"granted 2", RAFT_MSG_VOTE_REPLY, IN(vote_reply, granted), 1, 2, FIELD},
    {"reserved of a vote's reply", RAFT_MSG_VOTE_REPLY, IN(vote_reply, reserved[6]), 1, 1, FIELD},

    // append: its place
    {"prev term 0, index not", APPEND, IN(append, place.prev.term), 8, 0, FIELD},
    {"prev index 0, term not", APPEND, IN(append, place.prev.index), 8, 0, FIELD},
    {"prev term above entries term", APPEND, IN(append, place.prev.term), 8, 7, FIELD},
    {"prev term above term", APPEND, IN(append, place.prev.term), 8, 10, FIELD},
    {"prev + count over", APPEND, IN(append, place.prev.index), 8, RAFT_INDEX_MAX - 1, FIELD},
    {"prev index 2^62", APPEND, IN(append, place.prev.index), 8, OVER, FIELD},
    {"prev index 2^64-1", APPEND, IN(append, place.prev.index), 8, UINT64_MAX, FIELD},
    {"entries term 0", APPEND, IN(append, place.entries_term), 8, 0, FIELD},
    {"entries term above term", APPEND, IN(append, place.entries_term), 8, 10, FIELD},
    {"entries term below prev", APPEND, IN(append, place.entries_term), 8, 4, FIELD},
    {"commit 2^62", APPEND, IN(append, place.commit), 8, OVER, FIELD},
    {"rejoin index 2^62", APPEND, IN(append, place.rejoin_index), 8, OVER, FIELD},
    {"rejoin index without boot", APPEND, IN(append, place.rejoin_boot), 8, 0, FIELD},

    // append: its entries
    {"count 0, entries there", APPEND, IN(append, count), 4, 0, FIELD},
    {"count - 1", APPEND, IN(append, count), 4, 1, FIELD},
    {"count + 1", APPEND, IN(append, count), 4, 3, FIELD},
    {"count 512", APPEND, IN(append, count), 4, 512, FIELD},
    {"count 513", APPEND, IN(append, count), 4, 513, FIELD},
    {"count 2^31", APPEND, IN(append, count), 4, 1u << 31, FIELD},
    {"count 2^32-1", APPEND, IN(append, count), 4, UINT32_MAX, FIELD},
    {"count x 24 wraps to 48", APPEND, IN(append, count), 4, (UINT64_C(1) << 29) + 2, FIELD},
    {"payload bytes 0", APPEND, IN(append, payload_bytes), 4, 0, FIELD},
    {"payload bytes - 1", APPEND, IN(append, payload_bytes), 4, 15, FIELD},
    {"payload bytes + 1", APPEND, IN(append, payload_bytes), 4, 17, FIELD},
    {"payload bytes 2^31", APPEND, IN(append, payload_bytes), 4, 1u << 31, FIELD},
    {"payload bytes 2^32-1", APPEND, IN(append, payload_bytes), 4, UINT32_MAX, FIELD},
    {"an entry too long", APPEND, HEAD(append, 0) + BYTES, 3, 9, FIELD},
    {"an entry too short", APPEND, HEAD(append, 0) + BYTES, 3, 7, FIELD},
    {"the last entry too long", APPEND, HEAD(append, 1) + BYTES, 3, 9, FIELD},
    {"an entry of 1 MiB", APPEND, HEAD(append, 0) + BYTES, 3, 1 << 20, FIELD},
    {"an entry of 16 MiB - 1", APPEND, HEAD(append, 1) + BYTES, 3, 0xFFFFFF, FIELD},
    {"kind 0", APPEND, HEAD(append, 0) + KIND, 1, 0, FIELD},
    {"kind 4", APPEND, HEAD(append, 1) + KIND, 1, 4, FIELD},
    {"kind 255", APPEND, HEAD(append, 1) + KIND, 1, 255, FIELD},
    {"a NOOP with payload", APPEND, HEAD(append, 0) + KIND, 1, 1, FIELD},
    {"a REGISTER with payload", APPEND, HEAD(append, 0) + KIND, 1, 3, FIELD},
    {"session 2^62", APPEND, HEAD(append, 1), 8, OVER, FIELD},
    {"sequence 0", APPEND, HEAD(append, 0) + SEQUENCE, 8, 0, FIELD},
    {"sequence 2^62", APPEND, HEAD(append, 0) + SEQUENCE, 8, OVER, FIELD},
    {"sequence 2^64-1", APPEND, HEAD(append, 0) + SEQUENCE, 8, UINT64_MAX, FIELD},

    // append's reply
    {"result 2", APPEND_REPLY, IN(append_reply, result), 1, 2, FIELD},
    {"OK with a conflict", APPEND_REPLY, IN(append_reply, result), 1, 0, FIELD},
    {"conflict at 0", APPEND_REPLY, IN(append_reply, conflict.index), 8, 0, FIELD},
    {"conflict at 2^62", APPEND_REPLY, IN(append_reply, conflict.index), 8, OVER, FIELD},
    {"conflict above the term", APPEND_REPLY, IN(append_reply, conflict.term), 8, 10, FIELD},
    {"match 2^62", APPEND_REPLY, IN(append_reply, match), 8, OVER, FIELD},
    {"held 2^64-1", APPEND_REPLY, IN(append_reply, held), 8, UINT64_MAX, FIELD},
    {"reserved of a reply", APPEND_REPLY, IN(append_reply, reserved), 1, 1, FIELD},
    {"other reserved of a reply", APPEND_REPLY, IN(append_reply, reserved_end), 2, 256, FIELD},
    {"installed in a strict group", APPEND_REPLY, IN(append_reply, is_installed), 1, 1, FIELD},
    {"acked in a strict group", APPEND_REPLY, IN(append_reply, acked_count), 2, 2, FIELD},
    {"a gap fewer", APPEND_REPLY, IN(append_reply, gap_count), 1, 1, FIELD},
    {"a gap more", APPEND_REPLY, IN(append_reply, gap_count), 1, 3, FIELD},
    {"5 gaps", APPEND_REPLY, IN(append_reply, gap_count), 1, 5, FIELD},
    {"255 gaps", APPEND_REPLY, IN(append_reply, gap_count), 1, 255, FIELD},
    {"a gap from 0", APPEND_REPLY, M + 72, 8, 0, FIELD},
    {"an empty gap", APPEND_REPLY, M + 80, 8, 12, FIELD},
    {"gaps that overlap", APPEND_REPLY, M + 80, 8, 16, FIELD},
    {"gaps that fall", APPEND_REPLY, M + 88, 8, 12, FIELD},
    {"the same gap twice", APPEND_REPLY, M + 88, 8, 14, FIELD},
    {"a gap to 2^62", APPEND_REPLY, M + 96, 8, OVER, FIELD},

    // fragments
    {"fragment of 0", WIRE_APPEND_FRAGMENT, IN(append_fragment, bytes), 4, 0, FIELD},
    {"fragment below the least", WIRE_APPEND_FRAGMENT, IN(append_fragment, bytes), 4, 128, FIELD},
    {"fragment longer than its data", WIRE_APPEND_FRAGMENT, IN(append_fragment, bytes), 4, 520,
     FIELD},
    {"fragment of 2^32-1", WIRE_APPEND_FRAGMENT, IN(append_fragment, bytes), 4, UINT32_MAX, FIELD},
    {"offset between fragments", WIRE_APPEND_FRAGMENT, IN(append_fragment, offset), 4, 511, FIELD},
    {"offset at the end", WIRE_APPEND_FRAGMENT, IN(append_fragment, offset), 4, 1200, FIELD},
    {"offset behind the end", WIRE_APPEND_FRAGMENT, IN(append_fragment, offset), 4, 1536, FIELD},
    {"offset + bytes over the end", WIRE_APPEND_FRAGMENT, IN(append_fragment, offset), 4, 1024,
     FIELD},
    {"offset + bytes = 2^32", WIRE_APPEND_FRAGMENT, IN(append_fragment, offset), 4,
     UINT32_MAX - 511, FIELD},
    {"entry of 0 in fragments", WIRE_APPEND_FRAGMENT, IN(append_fragment, head[BYTES]), 3, 0,
     FIELD},
    {"entry of 1 MiB + 1", WIRE_APPEND_FRAGMENT, IN(append_fragment, head[BYTES]), 3, (1 << 20) + 1,
     FIELD},
    {"a NOOP in fragments", WIRE_APPEND_FRAGMENT, IN(append_fragment, head[KIND]), 1, 1, FIELD},
    {"a REGISTER in fragments", WIRE_PROPOSE_FRAGMENT, IN(propose_fragment, head[KIND]), 1, 3,
     FIELD},
    {"fragment's entries term", WIRE_APPEND_FRAGMENT, IN(append_fragment, place.entries_term), 8, 4,
     FIELD},
    {"fragment at the last index", WIRE_APPEND_FRAGMENT, IN(append_fragment, place.prev.index), 8,
     RAFT_INDEX_MAX, FIELD},
    {"client's offset odd", WIRE_PROPOSE_FRAGMENT, IN(propose_fragment, offset), 4, 510, FIELD},
    {"client's fragment of 2^31", WIRE_PROPOSE_FRAGMENT, IN(propose_fragment, bytes), 4, 1u << 31,
     FIELD},

    // checkpoints
    {"checkpoint of nothing", WIRE_SNAPSHOT, IN(snapshot, last.index), 8, 0, FIELD},
    {"checkpoint of term 0", WIRE_SNAPSHOT, IN(snapshot, last.term), 8, 0, FIELD},
    {"checkpoint above the term", WIRE_SNAPSHOT, IN(snapshot, last.term), 8, 10, FIELD},
    {"checkpoint at 2^62", WIRE_SNAPSHOT, IN(snapshot, last.index), 8, OVER, FIELD},
    {"total 2^62", WIRE_SNAPSHOT, IN(snapshot, total_bytes), 8, OVER, FIELD},
    {"total below the part", WIRE_SNAPSHOT, IN(snapshot, total_bytes), 8, 163, FIELD},
    {"part behind the end", WIRE_SNAPSHOT, IN(snapshot, offset), 8, 937, FIELD},
    {"part at 2^64-64", WIRE_SNAPSHOT, IN(snapshot, offset), 8, UINT64_MAX - 63, FIELD},
    {"part longer than the message", WIRE_SNAPSHOT, IN(snapshot, bytes), 4, 72, FIELD},
    {"part of 2^32-1", WIRE_SNAPSHOT, IN(snapshot, bytes), 4, UINT32_MAX, FIELD},
    {"reserved of a snapshot", WIRE_SNAPSHOT, IN(snapshot, reserved), 4, 1, FIELD},
    {"installed 2", WIRE_SNAPSHOT_REPLY, IN(snapshot_reply, installed), 1, 2, FIELD},
    {"received 2^62", WIRE_SNAPSHOT_REPLY, IN(snapshot_reply, received_bytes), 8, OVER, FIELD},
    {"reply of nothing", WIRE_SNAPSHOT_REPLY, IN(snapshot_reply, last.index), 8, 0, FIELD},
    {"reply's reserved", WIRE_SNAPSHOT_REPLY, IN(snapshot_reply, reserved[0]), 1, 1, FIELD},

    // clients
    {"a client's NOOP", WIRE_PROPOSE, HEAD(propose, 0) + KIND, 1, 1, FIELD},
    {"a proposal of none", WIRE_PROPOSE, IN(propose, count), 4, 0, FIELD},
    {"a proposal of two clients", WIRE_PROPOSE, HEAD(propose, 1), 8, 77, FIELD},
    {"a proposal of one more", WIRE_PROPOSE, IN(propose, count), 4, 3, FIELD},
    {"a proposal of 2^32-1", WIRE_PROPOSE, IN(propose, count), 4, UINT32_MAX, FIELD},
    {"a proposal's bytes", WIRE_PROPOSE, IN(propose, payload_bytes), 4, 2000, FIELD},
    {"a command of 1 MiB + 1", WIRE_PROPOSE, HEAD(propose, 0) + BYTES, 3, (1 << 20) + 1, FIELD},
    {"no results", WIRE_PROPOSE_REPLY, IN(propose_reply, count), 4, 0, FIELD},
    {"a result more", WIRE_PROPOSE_REPLY, IN(propose_reply, count), 4, 3, FIELD},
    {"513 results", WIRE_PROPOSE_REPLY, IN(propose_reply, count), 4, 513, FIELD},
    {"2^28 + 2 results", WIRE_PROPOSE_REPLY, IN(propose_reply, count), 4, (1u << 28) + 2, FIELD},
    {"hint 65", WIRE_PROPOSE_REPLY, IN(propose_reply, leader_hint), 2, 65, FIELD},
    {"status 8", WIRE_PROPOSE_REPLY, M + 32 + 8, 4, 8, FIELD},
    {"status 2^32-1", WIRE_PROPOSE_REPLY, M + 48 + 8, 4, UINT32_MAX, FIELD},
    {"reserved of results", WIRE_PROPOSE_REPLY, IN(propose_reply, reserved), 2, 1, FIELD},
    {"session 2^62", WIRE_REGISTER_REPLY, IN(register_reply, session), 8, OVER, FIELD},
    {"window 2^63", WIRE_REGISTER_REPLY, IN(register_reply, window), 8, UINT64_C(1) << 63, FIELD},
    {"register hint 65", WIRE_REGISTER_REPLY, IN(register_reply, leader_hint), 2, 65, FIELD},
    {"register status 8", WIRE_REGISTER_REPLY, IN(register_reply, status), 4, 8, FIELD},
    {"register reserved", WIRE_REGISTER_REPLY, IN(register_reply, reserved), 2, 1, FIELD},
    {"query longer than the message", WIRE_READ, IN(read, bytes), 4, 9, FIELD},
    {"query of 2^32-1", WIRE_READ, IN(read, bytes), 4, UINT32_MAX, FIELD},
    {"query's padding", WIRE_READ, M + 56 + 7, 1, 1, WIRE_TRAILING},
    {"query shorter, its end as padding", WIRE_READ, M + 56 + 5, 1, 1, WIRE_TRAILING},
    {"reserved of a read", WIRE_READ, IN(read, reserved[27]), 1, 1, FIELD},
    {"answer's status 8", WIRE_READ_REPLY, IN(read_reply, status), 4, 8, FIELD},
    {"answer's hint 65", WIRE_READ_REPLY, IN(read_reply, leader_hint), 2, 65, FIELD},
    {"answer of 2 GiB", WIRE_READ_REPLY, IN(read_reply, total_bytes), 4, 1u << 31, FIELD},
    {"answer's part behind its end", WIRE_READ_REPLY, IN(read_reply, offset), 4, 11, FIELD},
    {"answer's part at 2^32-20", WIRE_READ_REPLY, IN(read_reply, offset), 4, UINT32_MAX - 19,
     FIELD},
    {"answer's part of 2^32-1", WIRE_READ_REPLY, IN(read_reply, bytes), 4, UINT32_MAX, FIELD},
    {"answer's reserved", WIRE_READ_REPLY, IN(read_reply, reserved), 2, 1, FIELD},
    {"answer's other reserved", WIRE_READ_REPLY, IN(read_reply, reserved_end), 4, 1, FIELD},
    {"status flag", WIRE_STATUS, IN(status, flags), 1, 2, FIELD},
    {"reserved of a status", WIRE_STATUS, IN(status, reserved[38]), 1, 1, FIELD},
    {"status of node 0", WIRE_STATUS_REPLY, IN(status_reply, node), 2, 0, FIELD},
    {"status of node 65", WIRE_STATUS_REPLY, IN(status_reply, node), 2, 65, FIELD},
    {"status hint 65", WIRE_STATUS_REPLY, IN(status_reply, leader_hint), 2, 65, FIELD},
    {"role 4", WIRE_STATUS_REPLY, IN(status_reply, role), 1, 4, FIELD},
    {"status reply's flag", WIRE_STATUS_REPLY, IN(status_reply, flags), 1, 4, FIELD},
    {"status reply's reserved", WIRE_STATUS_REPLY, IN(status_reply, reserved), 2, 1, FIELD},
    {"status commit 2^62", WIRE_STATUS_REPLY, IN(status_reply, commit), 8, OVER, FIELD},
    {"status applied 2^62", WIRE_STATUS_REPLY, IN(status_reply, applied), 8, OVER, FIELD},
    {"status last 2^62", WIRE_STATUS_REPLY, IN(status_reply, last), 8, OVER, FIELD},
    {"digest nobody has", WIRE_STATUS_REPLY, IN(status_reply, digest), 8, 1, FIELD},
};

static void every_row_is_refused_for_its_reason(void)
{
    doctored_check(rows, TEST_COUNT(rows), plain_frame, frame);
}

// An answer names one client, so a frame for many would be answered by a longer one.
static void a_proposal_is_one_register_or_commands_of_one_client(void)
{
    struct wire_filter filter = sample_filter(WIRE_PROPOSE);
    for (uint32_t kinds = 0; kinds < 4; kinds++) {
        make_plain(WIRE_PROPOSE);
        sample.message.propose.payload_bytes = 0;
        for (uint32_t i = 0; i < 2; i++) {
            sample.heads[i].bytes = 0;
            sample.heads[i].client = 3;
            sample.heads[i].kind = (kinds >> i & 1) != 0 ? RAFT_ENTRY_REGISTER : RAFT_ENTRY_COMMAND;
        }
        uint32_t bytes = sample_frame(frame, sizeof(frame), &sample.message);
        CHECK_EQUAL(doctored_read(&filter, frame, bytes), kinds == 0 ? WIRE_END : WIRE_BAD_FIELD);
        sample.message.propose.count = 1;
        bytes = sample_frame(frame, sizeof(frame), &sample.message);
        CHECK_EQUAL(doctored_read(&filter, frame, bytes), WIRE_END);
    }
}

// What looks absurd and is not: the core has to live with it.
static void what_only_the_core_can_judge_passes(void)
{
    static const struct doctored_row fine[] = {
        {"prev far beyond", RAFT_MSG_APPEND, IN(append, place.prev.index), 8, UINT64_C(1) << 50,
         WIRE_END},
        {"last index", RAFT_MSG_APPEND, IN(append, place.prev.index), 8, RAFT_INDEX_MAX - 2,
         WIRE_END},
        {"commit beyond last", RAFT_MSG_APPEND, IN(append, place.commit), 8, RAFT_INDEX_MAX,
         WIRE_END},
        {"term jumps", RAFT_MSG_APPEND, IN(message, term), 8, RAFT_TERM_MAX, WIRE_END},
        {"entries of the term", RAFT_MSG_APPEND, IN(append, place.entries_term), 8, 9, WIRE_END},
        {"entries of prev's term", RAFT_MSG_APPEND, IN(append, place.entries_term), 8, 5, WIRE_END},
        {"the same sequence twice", RAFT_MSG_APPEND, HEAD(append, 1) + SEQUENCE, 8, 1, WIRE_END},
        {"boot 2^64-1", RAFT_MSG_VOTE, ENVELOPE(boot), 8, UINT64_MAX, WIRE_END},
        {"no conflicting term", RAFT_MSG_APPEND_REPLY, IN(append_reply, conflict.term), 8, 0,
         WIRE_END},
        {"a gap to the last index", RAFT_MSG_APPEND_REPLY, M + 96, 8, RAFT_INDEX_MAX, WIRE_END},
        {"answer just below 2 GiB", WIRE_READ_REPLY, IN(read_reply, total_bytes), 4, INT32_MAX,
         WIRE_END},
        {"neighbouring gaps", RAFT_MSG_APPEND_REPLY, M + 88, 8, 15, WIRE_END},
        {"other class than the group's", RAFT_MSG_VOTE, ENVELOPE(class), 1, 0, WIRE_END},
    };
    doctored_check(fine, TEST_COUNT(fine), plain_frame, frame);
}

// A frame of one message of `bytes`, all zero behind its header: sizes agree, whatever is said
// about them.
static uint32_t zero_message(uint8_t type, uint32_t bytes)
{
    struct layout_message header = {.bytes = bytes, .type = type};
    struct wire_envelope envelope = sample_envelope(type);
    struct wire_writer writer;
    header.term = type < WIRE_PROPOSE;
    memset(frame, 0, sizeof(frame));
    wire_begin(&writer, frame, sizeof(frame), &envelope);
    memcpy(frame + writer.bytes, &header, sizeof(header));
    writer.bytes += bytes;
    writer.messages = 1;
    return wire_seal(&writer);
}

static void counts_out_of_range_are_refused_though_sizes_agree(void)
{
    static const struct {
        uint8_t type;
        uint32_t count_at, count, bytes;
        enum wire_refusal want;
    } counts[] = {
        {WIRE_PROPOSE, IN(propose, count), 0, 24, WIRE_BAD_FIELD},
        {WIRE_PROPOSE_REPLY, IN(propose_reply, count), 0, 32, WIRE_BAD_FIELD},
        {WIRE_PROPOSE_REPLY, IN(propose_reply, count), 1, 48, WIRE_END},
        {WIRE_PROPOSE_REPLY, IN(propose_reply, count), 512, 32 + 512 * 16, WIRE_END},
        {WIRE_PROPOSE_REPLY, IN(propose_reply, count), 513, 32 + 513 * 16, WIRE_BAD_FIELD},
        {APPEND, IN(append, count), 0, 88, WIRE_END},
        {APPEND, IN(append, payload_bytes), 8, 96, WIRE_BAD_FIELD},
        {APPEND_REPLY, IN(append_reply, gap_count), 0, 72, WIRE_END},
        {APPEND_REPLY, IN(append_reply, gap_count), 5, 72 + 5 * 16, WIRE_BAD_FIELD},
    };
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct wire_filter filter = sample_filter(counts[i].type);
        uint32_t bytes = zero_message(counts[i].type, counts[i].bytes);
        uint32_t width = counts[i].type == APPEND_REPLY ? 1 : 4;
        doctored_store(frame + counts[i].count_at, counts[i].count, width);
        oracle_reseal(frame, bytes);
        CHECK_TEXT(wire_refusal_name(doctored_read(&filter, frame, bytes)),
                   wire_refusal_name(counts[i].want));
    }
}

static void only_known_nodes_other_than_the_receiver_are_heard(void)
{
    struct wire_filter filter = sample_filter(RAFT_MSG_VOTE);
    uint32_t bytes = plain_frame(RAFT_MSG_VOTE);
    for (uint32_t known = 0; known <= RAFT_NODE_ID_MAX; known++) {
        // known 0: all of them
        filter.peers = known == 0 ? UINT64_MAX : UINT64_C(1) << (known - 1);
        for (uint32_t source = 0; source < 200; source++) {
            bool is_heard = source >= 1 && source <= RAFT_NODE_ID_MAX && source != SAMPLE_SELF &&
                            (known == 0 || source == known);
            doctored_store(frame + ENVELOPE(source), source, 2);
            doctored_store(frame + ENVELOPE(boot), source, 8);
            oracle_reseal(frame, bytes);
            enum wire_refusal want = is_heard      ? WIRE_END
                                     : source == 0 ? WIRE_BAD_TYPE
                                                   : WIRE_BAD_SOURCE;
            CHECK_EQUAL(doctored_read(&filter, frame, bytes), want);
        }
    }
}

static void only_the_right_sender_may_send_a_type(void)
{
    for (uint32_t route = 0; route < SAMPLE_TYPES; route++) {
        struct wire_envelope envelope = sample_envelope(sample_types[route]);
        struct wire_filter filter = sample_filter(sample_types[route]);
        uint32_t accepted = 0;
        for (uint32_t i = 0; i < SAMPLE_TYPES; i++) {
            struct wire_envelope own = sample_envelope(sample_types[i]);
            bool same = own.source == envelope.source && own.destination == envelope.destination;
            uint32_t bytes = plain_frame(sample_types[i]);
            doctored_store(frame + ENVELOPE(source), envelope.source, 2);
            doctored_store(frame + ENVELOPE(destination), envelope.destination, 2);
            doctored_store(frame + ENVELOPE(boot), envelope.boot, 8);
            oracle_reseal(frame, bytes);
            CHECK_EQUAL(doctored_read(&filter, frame, bytes), same ? WIRE_END : WIRE_BAD_TYPE);
            accepted += same;
        }
        CHECK(accepted == 10 || accepted == 4);
        for (uint32_t type = 0; type < 256; type++) {
            bool is_known = memchr(sample_types, (int)type, SAMPLE_TYPES) != NULL;
            uint32_t bytes = plain_frame(sample_types[route]);
            frame[IN(message, type)] = (uint8_t)type;
            oracle_reseal(frame, bytes);
            CHECK(is_known || doctored_read(&filter, frame, bytes) == WIRE_BAD_TYPE);
        }
    }
}

static void a_frame_is_no_larger_than_frames_are(void)
{
    static uint8_t large[WIRE_FRAME_BYTES_MAX + 8];
    struct wire_filter filter = sample_filter(WIRE_STATUS);
    for (uint32_t bytes = WIRE_FRAME_BYTES_MAX - 1; bytes <= sizeof(large); bytes++) {
        make_plain(WIRE_STATUS);
        sample_frame(large, sizeof(large), &sample.message);
        doctored_store(large + ENVELOPE(frame_bytes), bytes, 4);
        oracle_reseal(large, bytes);
        CHECK_EQUAL(doctored_read(&filter, large, bytes),
                    bytes <= WIRE_FRAME_BYTES_MAX ? WIRE_TRAILING : WIRE_BAD_FIELD);
    }
}

static void bytes_behind_the_last_message_are_refused(void)
{
    for (uint32_t i = 0; i < SAMPLE_TYPES; i++) {
        struct wire_filter filter = sample_filter(sample_types[i]);
        uint32_t bytes = plain_frame(sample_types[i]);
        memset(frame + bytes, 0, 64);
        for (uint32_t more = 1; more <= 64; more++) {
            CHECK_EQUAL(doctored_read(&filter, frame, bytes + more), WIRE_TRAILING);
            doctored_store(frame + ENVELOPE(frame_bytes), bytes + more, 4);
            oracle_reseal(frame, bytes + more);
            CHECK_EQUAL(doctored_read(&filter, frame, bytes + more), WIRE_TRAILING);
            // Inside the message: longer than what its fields say.
            doctored_store(frame + M, bytes - M + more, 4);
            oracle_reseal(frame, bytes + more);
            CHECK_EQUAL(doctored_read(&filter, frame, bytes + more), WIRE_BAD_FIELD);
            doctored_store(frame + M, bytes - M, 4);
            doctored_store(frame + ENVELOPE(frame_bytes), bytes, 4);
            oracle_reseal(frame, bytes);
        }
    }
}

static void nothing_follows_a_refused_message(void)
{
    struct wire_scratch *scratch = malloc(sizeof(*scratch));
    struct wire_filter filter = sample_filter(RAFT_MSG_VOTE);
    struct wire_envelope envelope = sample_envelope(RAFT_MSG_VOTE);
    struct wire_writer writer;
    struct wire_reader reader;
    struct wire_message message;
    make_plain(RAFT_MSG_VOTE);
    wire_begin(&writer, frame, sizeof(frame), &envelope);
    for (int i = 0; i < 3; i++) {
        CHECK(sample_put(&writer, &sample.message));
    }
    frame[IN(message, flags) + sizeof(struct layout_vote)] = 0x80; // of the second
    uint32_t bytes = wire_seal(&writer);
    CHECK_EQUAL(wire_open(&reader, &filter, frame, bytes, scratch), WIRE_OK);
    CHECK_EQUAL(wire_next(&reader, &filter, &message), WIRE_OK);
    CHECK_EQUAL(wire_next(&reader, &filter, &message), WIRE_BAD_FIELD);
    CHECK_EQUAL(wire_next(&reader, &filter, &message), WIRE_END);
    free(scratch);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(every_row_is_refused_for_its_reason),
        TEST(a_proposal_is_one_register_or_commands_of_one_client),
        TEST(what_only_the_core_can_judge_passes),
        TEST(counts_out_of_range_are_refused_though_sizes_agree),
        TEST(only_known_nodes_other_than_the_receiver_are_heard),
        TEST(only_the_right_sender_may_send_a_type),
        TEST(a_frame_is_no_larger_than_frames_are),
        TEST(bytes_behind_the_last_message_are_refused),
        TEST(nothing_follows_a_refused_message),
    };
    return test_run("wire refusals", cases, TEST_COUNT(cases), argc, argv);
}
