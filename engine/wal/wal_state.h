// The log in memory: what wal.c (appending, public calls), wal_batch.c (sealing, writing,
// completions), wal_hard.c (hard states), wal_files.c (creation, superblock) and wal_recovery.c
// share. Nobody else includes this.
//
//      floor                 submit_next     open_next      slots: one a batch, growing
//        | in flight, or done  | sealed        | open         slot s is batches[s mod WAL_BATCHES]
//   -----+---------------------+---------------+-------->
//
//   floor ≤ submit_next ≤ open_next < floor + WAL_BATCHES,  batches_out ≤ in_flight_max
//
// Writes complete in any order: one that is slow keeps the floor, and nobody from writing.
#ifndef PONTOON_WAL_WAL_STATE_H
#define PONTOON_WAL_WAL_STATE_H

#include "engine/base/assert.h"
#include "engine/wal/wal.h"
#include "engine/wal/wal_layout.h"

enum {
    WAL_BATCHES = 256, // open, sealed, in flight, not yet reported; a power of two
    WAL_VOLATILE_BLOCK_BYTES = 64,
    WAL_HARD_WRITES_MAX = 16,  // hard-state writes at once
    WAL_NO_GROUP = UINT16_MAX, // ends a list of groups
    WAL_RESERVE_BLOCKS_MIN =
        4, // kept free of entries: marks, truncations, the opening mark of each start
    WAL_RESERVE_BLOCKS_MAX = 64,
};

// Tags of disk requests: what it was in the upper half, which one in the lower.
#define WAL_TAG_BATCH (UINT64_C(1) << 32)
#define WAL_TAG_HARD (UINT64_C(2) << 32)

enum wal_batch_state { WAL_BATCH_SEALED, WAL_BATCH_IN_FLIGHT, WAL_BATCH_DONE, WAL_BATCH_REPORTED };

struct wal_batch {
    uint64_t position; // first byte; on a block
    uint64_t sequence;
    uint64_t tail;     // the tail its header carries; recorded once this is durable
    uint32_t bytes;    // header and records
    uint32_t padded;   // bytes up to the next block: what is written
    uint32_t records;  // entries, truncations, SYNCs
    uint32_t reported; // offset of the first record whose event is still to come
    uint8_t state;     // enum wal_batch_state
    bool is_barrier; // has a TRUNCATE or SYNC: nothing is submitted behind it before it is durable
    bool is_mark;    // has no records
};

enum wal_hard_step { WAL_HARD_IDLE, WAL_HARD_QUEUED, WAL_HARD_WRITING, WAL_HARD_REPORT };

// Hard state of one group. Two copies on disk, written one after the other, never both at once.
struct wal_hard {
    struct raft_hard_state durable; // in both copies
    struct raft_hard_state writing; // the copies are becoming this
    struct raft_hard_state wanted;  // newest asked for; valid when has_wanted
    uint64_t sequence;              // of the newest copy
    uint16_t next;                  // in the queue or the report list
    uint8_t step;                   // enum wal_hard_step
    uint8_t first_copy;             // written first: the one that is not the newest good one
    uint8_t copies_done;            // of the current writing
    uint8_t buffer;                 // of the current write
    bool has_wanted;
};

struct wal_list { // of groups, first in first out
    uint16_t first, last;
};

struct wal {
    // --- append: an entry that continues a run touches these and the arena ---
    uint8_t *at;            // where the next record goes; NULL while no batch is open
    uint8_t *limit;         // end of the open batch's segment; NULL likewise
    uint8_t *seal_at;       // the batch is sealed when `at` reaches it
    uint8_t *base;          // of the open batch
    uint64_t open_position; // position of base
    uint64_t run_next;      // index that continues the open run; 0: no run is open
    uint64_t run_term;
    uint32_t run_epoch;
    uint32_t run_count;
    uint16_t run_group;
    bool is_volatile;
    bool open_is_barrier;
    uint32_t open_records; // entries, truncations, SYNCs in the open batch
    uint8_t *run_at;       // RUN record of the open run
    uint32_t header_bytes; // 0 in a volatile log
    uint32_t block_bytes;
    struct wal_counters *counters; // not inline: asking for room counts refusals of a const log

    // --- place ---
    uint8_t *arena;
    uint64_t head;         // where the next batch may begin; the end of the newest sealed one
    uint64_t lap_position; // position of arena[0] in the lap of the head
    uint64_t log_bytes, segment_bytes;
    uint64_t tail_wanted;   // what the caller gave up
    uint64_t tail_pending;  // ≤ tail_wanted; given up when floor_position reaches ...
    uint64_t tail_after;    // ... this: what was appended before the caller's word is durable then
    uint64_t tail;          // ≤ tail_pending, at a segment's start
    uint64_t tail_recorded; // ≤ tail; a durable header says so: only below it may be overwritten
    uint64_t reserve_bytes;
    uint64_t *segment_last; // by place of the segment in the ring, then group: highest index of the
                            // group that was appended in it; 0: none
    uint64_t segments_end;  // rows of segments that begin here or behind are of the lap before
    uint32_t batch_shift;   // 2^batch_shift ≤ batch_bytes_max: a division for wal_has_room
    uint32_t batch_bytes_max;
    uint32_t entry_bytes_max; // payload: a quarter of a segment, at most RAFT_PAYLOAD_BYTES_MAX

    // --- batches ---
    uint64_t floor; // slot: all batches before it are durable and reported
    uint64_t submit_next;
    uint64_t open_next;
    uint64_t barrier_next;      // submit nothing before floor reaches this slot
    uint64_t sequence_next;     // of the next batch sealed
    uint64_t sequence_previous; // of the batch before it
    uint64_t floor_sequence;    // last batch before `floor`
    uint64_t floor_position;    // ... and its end
    uint64_t entries_position;  // end of the last reported batch with records
    uint64_t marked_position;   // highest durable_position handed to the disk in a header
    uint64_t idle_since_ns;     // 0: not idle, or nothing to mark
    uint64_t durable_mark_delay_ns;
    uint32_t in_flight_max;
    uint32_t batches_out; // in flight
    struct wal_batch batches[WAL_BATCHES];

    // --- identity, files ---
    struct wal_identity identity;
    uint64_t boot, boot_position;
    uint32_t groups_max;
    uint32_t requests_out; // handed to the disk, not completed
    struct disk *disk;
    uint32_t log_file, meta_file;
    bool has_log_file, has_meta_file;

    // --- commit floors ---
    uint64_t *commits;       // groups_max: newest known
    uint64_t *commits_noted; // groups_max: newest put into a batch at or above the tail; 0: none
    uint64_t *commits_at;    // groups_max: position of that batch
    uint32_t commit_cursor;  // round robin
    uint32_t commits_dirty;  // groups with commits > commits_noted

    // --- installs of parallel groups ---
    bool *is_staged; // groups_max: runs of the group that are opened now are staged

    // --- hard states ---
    struct wal_hard *hards;     // groups_max
    uint8_t *hard_buffers;      // WAL_HARD_WRITES_MAX blocks
    uint32_t hard_buffers_free; // bit set: free
    struct wal_list hard_queue, hard_report;

    // --- end ---
    int failed; // first error of the device; 0 while it is good
    bool failure_reported;
    uint64_t *sound_blocks; // recovery: one bit a block of the file
};

static inline uint64_t wal_offset(const struct wal *wal, uint64_t position)
{
    return position >= wal->lap_position ? position - wal->lap_position
                                         : position + wal->log_bytes - wal->lap_position;
}

// The row of segment_last of the segment around a position.
static inline uint64_t *wal_segment_row(const struct wal *wal, uint64_t position)
{
    uint64_t place = position % wal->log_bytes / wal->segment_bytes;
    return wal->segment_last + place * wal->groups_max;
}

static inline void wal_segment_note(const struct wal *wal, uint64_t position, uint16_t group,
                                    uint64_t index)
{
    uint64_t *last = wal_segment_row(wal, position) + group;
    *last = index > *last ? index : *last;
}

static inline struct wal_batch *wal_batch_of(struct wal *wal, uint64_t slot)
{
    return &wal->batches[slot & (WAL_BATCHES - 1)];
}

static inline uint64_t wal_align(uint64_t value, uint64_t power_of_two)
{
    return (value + power_of_two - 1) & ~(power_of_two - 1);
}

// From the first failed write on, nothing is submitted, and nothing reported but the failure.
static inline void wal_fail(struct wal *wal, int error)
{
    if (wal->failed == 0) {
        wal->failed = error;
    }
}

// wal_batch.c
// Opens a batch with room for `need` bytes of records in its segment. Precondition: none is open.
void wal_batch_open(struct wal *wal, uint32_t need);
void wal_batch_close_run(struct wal *wal);
// Closes the open batch: run, commit floors in the padding, checksum.
void wal_batch_seal(struct wal *wal);
// Opens and seals a batch without records.
void wal_batch_mark(struct wal *wal);
// May the next batch be handed to the disk now?
bool wal_batch_may_submit(const struct wal *wal);
// Queues sealed batches at the disk, as many as may be.
void wal_batch_submit(struct wal *wal);
void wal_batch_complete(struct wal *wal, uint32_t slot_low, int32_t result);
// Writes events of durable batches and advances the floor. Result: events written.
uint32_t wal_batch_report(struct wal *wal, struct wal_event *events, uint32_t max);
// Brings `tail` up to what the caller gave up, as far as what replaces it is durable.
void wal_batch_advance_tail(struct wal *wal);

// wal_hard.c
void wal_hard_init(struct wal *wal);
// Takes what recovery read: both copies of a group, NULL where a copy is unreadable. False: the
// vote is lost.
bool wal_hard_recover(struct wal *wal, uint16_t group, const struct wal_hard_slot *first,
                      const struct wal_hard_slot *second);
void wal_hard_put(struct wal *wal, uint16_t group, struct raft_hard_state state);
void wal_hard_submit(struct wal *wal);
void wal_hard_complete(struct wal *wal, uint32_t group, int32_t result);
uint32_t wal_hard_report(struct wal *wal, struct wal_event *events, uint32_t max);
bool wal_hard_is_busy(const struct wal *wal);
// Offset of a copy in the meta file.
uint64_t wal_hard_offset(uint16_t group, uint32_t copy);
// A slot as this log writes it, sealed, into a whole block.
void wal_hard_fill(const struct wal *wal, uint8_t *block, uint16_t group, uint32_t copy,
                   uint64_t sequence, struct raft_hard_state state);

#endif
