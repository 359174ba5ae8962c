// The bytes of the log on disk, and nothing else: FORMAT.md in C. Structures lie in memory as on
// disk (little-endian).
//
// Everything read from a disk passes a `…_sound` function here before anybody looks inside. Pure;
// any thread.
#ifndef PONTOON_WAL_WAL_LAYOUT_H
#define PONTOON_WAL_WAL_LAYOUT_H

#include "engine/core/types.h"

enum {
    WAL_BLOCK_BYTES = 4096, // of a durable log: batches start and end on it
    WAL_LAYOUT_VERSION = 1,
    WAL_NOTE_BYTES = 24,
    WAL_ENTRY_KIND_MAX = 0x7F, // kinds above are the log's own
};

#define WAL_BATCH_MAGIC UINT64_C(0x31474F4C4E544E50) // "PNTNLOG1"
#define WAL_SUPER_MAGIC UINT64_C(0x315055534E544E50) // "PNTNSUP1"
#define WAL_HARD_MAGIC UINT64_C(0x314452484E544E50)  // "PNTNHRD1"

// Whose log: a block that names another one is foreign, whatever else it says.
struct wal_identity {
    uint64_t cluster;
    uint64_t log_id; // of this filling of the log file; a reset draws another
    uint16_t node;
    uint16_t reactor;
};

enum wal_batch_flag {
    WAL_BATCH_MARK = 1, // no entries: written for its marks
    WAL_BATCH_VOID = 2, // written by recovery over a torn batch
    WAL_BATCH_BARE = 4, // body_crc leaves payloads to the checksums of their entries
};

struct wal_batch_header {
    uint64_t magic;
    uint64_t log_id;
    uint64_t cluster;
    uint16_t node;
    uint16_t reactor;
    uint16_t version;
    uint16_t flags;
    uint64_t boot;          // the start of the node that wrote it
    uint64_t boot_position; // where that start began to write: older boots' batches from there on
                            // are outdated
    uint64_t position;      // of this header
    uint64_t sequence;      // grows along the log; jumps at a start
    uint64_t previous_sequence; // of the batch before it: a chain that shows what is missing
    uint64_t
        durable_sequence; // known durable when this was submitted: this batch and all before it
    uint64_t durable_position; // ... and where the last of them ended
    uint64_t tail;    // everything below was given up when this was submitted; at a segment's start
    uint32_t bytes;   // header and records, without padding
    uint32_t records; // entries, truncations, SYNCs
    uint32_t body_crc;    // of bytes [128, bytes); BARE: without payloads
    uint32_t reserved[4]; // 0
    uint32_t header_crc;  // of bytes [0, 124)
};

enum wal_record_tag {
    WAL_TAG_RUN = 0x80,
    WAL_TAG_TRUNCATE = 0x81,
    WAL_TAG_COMMIT = 0x82,
    WAL_TAG_SYNC = 0x83,
};

enum wal_run_flag {
    WAL_RUN_STAGED = 1, // of an install: the group's SYNC record behind it says whether it counts
};

// Opens `count` entries of consecutive indexes, one group, one term. The entry records follow
// directly.
struct wal_run {
    uint64_t first;
    uint64_t term;
    uint32_t count;
    uint16_t group;
    uint8_t flags;      // enum wal_run_flag
    uint8_t tag;        // at offset 23, as in an entry's head
    uint64_t prev_term; // of entry first - 1
    uint32_t bytes;     // of the entry records together
    uint32_t epoch;     // the group's when appended; of no use after a restart
    uint64_t commit;    // the group's commit floor when the run ended; 0: none known
};

// Parallel groups: the staged runs of the group's newest install are its log now (struct
// raft_sync).
struct wal_sync {
    uint64_t term;
    uint64_t end;
    uint32_t reserved; // 0
    uint16_t group;
    uint8_t reserved2; // 0
    uint8_t tag;
    uint64_t keep;
    uint64_t reserved3[2]; // 0
};

// TRUNCATE: index is the first one removed. COMMIT: index is the group's commit floor.
struct wal_note {
    uint64_t index;
    uint64_t reserved;
    uint32_t reserved2;
    uint16_t group;
    uint8_t reserved3;
    uint8_t tag;
};

enum wal_super_flag {
    WAL_SUPER_ENTRIES_LOST =
        1, // last used with durability `memory`: the log file does not hold the entries
};

struct wal_super {
    uint64_t magic;
    uint64_t cluster;
    uint64_t log_id;
    uint16_t node;
    uint16_t reactor;
    uint16_t version;
    uint16_t flags;
    uint64_t boot; // the newest start
    uint64_t
        log_boot; // newest start whose opening mark is durable in the log; 0: log never written
    uint64_t log_bytes;
    uint64_t segment_bytes;
    uint32_t groups_max;
    uint32_t copy;         // 0 or 1: which of the two blocks this is
    uint32_t reserved[13]; // 0
    uint32_t crc;          // of bytes [0, 124)
};

struct wal_hard_slot {
    uint64_t magic;
    uint64_t cluster;
    uint16_t node;
    uint16_t reactor;
    uint16_t group;
    uint16_t copy;     // 0 or 1
    uint64_t sequence; // 0: never written since bootstrap
    uint64_t term;
    uint16_t voted_for;
    uint16_t version;
    // Of parallel groups, else 0. They fill what was reserved, which began at four.
    uint64_t sync_term __attribute__((packed, aligned(4)));
    uint64_t sync_end __attribute__((packed, aligned(4)));
    uint32_t crc; // of bytes [0, 60)
};

bool wal_layout_header_is_whole(
    const struct wal_batch_header *header); // magic, version, checksum, reserved, ranges
bool wal_layout_header_is_ours(const struct wal_batch_header *header,
                               const struct wal_identity *identity);
// What body_crc has to be. `bytes` and `flags` of the header are set; header->bytes of memory
// follow it. Takes any bytes.
uint32_t wal_layout_body_crc(const struct wal_batch_header *header, uint32_t groups_max);
// True when body checksum, structure and every entry's own checksum hold. `header` is whole;
// header->bytes of memory follow it.
bool wal_layout_body_is_sound(const struct wal_batch_header *header, uint32_t groups_max);
// Fills magic, identity, version and checksum of a header whose other fields are set.
void wal_layout_header_seal(struct wal_batch_header *header, const struct wal_identity *identity);

bool wal_layout_super_is_whole(const struct wal_super *super, uint32_t copy);
void wal_layout_super_seal(struct wal_super *super, uint32_t copy);

// `key` has the fields that must match: cluster, node, reactor, group, copy.
bool wal_layout_hard_is_whole(const struct wal_hard_slot *slot, const struct wal_hard_slot *key);
void wal_layout_hard_seal(struct wal_hard_slot *slot);

// Walks the records of a batch body. Never reads outside [at, end).
struct wal_layout_walk {
    const uint8_t *at, *end;
    const uint8_t *run_end;
    struct wal_run run;
    uint32_t run_taken; // entries of the run handed out
    uint32_t groups_max;
};

enum wal_layout_step {
    WAL_STEP_ENTRY,
    WAL_STEP_TRUNCATE,
    WAL_STEP_COMMIT,
    WAL_STEP_SYNC,
    WAL_STEP_END,
    WAL_STEP_BAD
};

struct wal_layout_item {
    uint16_t group;
    struct raft_entry_id id; // TRUNCATE, COMMIT: the index
    uint64_t prev_term;
    struct raft_entry_head head;
    const uint8_t *payload;
    uint64_t run_commit;   // ENTRY: the group's commit floor, as its run has it
    bool is_staged;        // ENTRY
    struct raft_sync sync; // SYNC
};

void wal_layout_walk_init(struct wal_layout_walk *walk, const uint8_t *at, const uint8_t *end,
                          uint32_t groups_max);
enum wal_layout_step wal_layout_walk_next(struct wal_layout_walk *walk,
                                          struct wal_layout_item *item);

#endif
