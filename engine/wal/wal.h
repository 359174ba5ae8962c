// The log of one reactor: arena, batches, group commit, recovery. FORMAT.md gives the disk layout.
//
// The arena IS the log: `log_bytes` of memory, laid out exactly as on disk (position p lives at
// arena[p mod log_bytes] and, when durable, at the same offset of the file "log"). A batch is one
// header, RUN records and entry records back to back, padded to the block: one aligned O_DIRECT
// write straight from memory. Entries of all groups of the reactor share batches.
//
// Positions are 64-bit and only grow. [tail, head) is in use. wal_append puts a record into the
// open batch; wal_submit seals and writes it; wal_poll reports what became durable, by (group,
// epoch, index range), batch by batch, in any order.
//
// A volatile log (durability `memory`) has the same arena and calls, but entries are never written
// and are reported by the next wal_poll; hard state is durable all the same.
//
// Single thread. No allocation, no system call but the disk driver's kick once a wal_submit.
#ifndef PONTOON_WAL_WAL_H
#define PONTOON_WAL_WAL_H

#include "engine/core/types.h"
#include "engine/driver_api/disk.h"

enum {
    WAL_IN_FLIGHT_MAX = 32,         // batches
    WAL_RECORD_OVERHEAD_BYTES = 24, // an entry record beside its payload
    WAL_RUN_BYTES = 48,             // the record that opens a run of entries of one group and term
    WAL_SYNC_BYTES = 48,            // a SYNC record
    WAL_BATCH_HEADER_BYTES = 128,
};

struct wal_config {
    uint64_t cluster;
    uint16_t node;
    uint16_t reactor;       // several logs a node: file names carry it
    uint32_t groups_max;    // group ids below this may appear
    uint64_t log_bytes;     // multiple of segment_bytes; arena and file
    uint64_t segment_bytes; // power of two, ≥ 4 × the largest payload (4 MiB for 1 MiB), at least
                            // 16 KiB; a batch never crosses a segment's end
    uint32_t batch_bytes_max; // a batch is sealed when it reaches this (or passes it by a record)
    uint32_t in_flight_max;   // batches written at once, ≤ WAL_IN_FLIGHT_MAX
    uint64_t durable_mark_delay_ns; // an idle durable log writes one more header this long after
                                    // the last completion (1 ms)
    uint64_t nonce;    // a random number, used by bootstrap and reset_log: it names this filling of
                       // the log in every header, so that nothing a client can write looks like one
                       // (0: no such protection)
    bool is_volatile;  // durability = memory
    bool bootstrap;    // create the files (-EEXIST when they are there); else they must exist
    bool reset_log;    // forget the entries but keep boot counter and hard states (volatile logs do
                       // always); creates the log file when it is missing or of another size
    void *arena;       // log_bytes, aligned to 4096, from huge memory; the caller's
    struct disk *disk; // opened on the node's directory
};

// A record handed to the visitor at recovery, in file order (later records outdate earlier ones).
enum wal_record_kind { WAL_RECORD_ENTRY, WAL_RECORD_TRUNCATE, WAL_RECORD_SYNC };

struct wal_record {
    enum wal_record_kind kind;
    uint16_t group;
    bool is_staged;              // ENTRY: as wal_stage said when it was appended
    struct raft_entry_id id;     // TRUNCATE: index is the first removed; term 0. SYNC: zeros
    uint64_t prev_term;          // ENTRY: term of entry index - 1 in the log it was accepted from
    struct raft_entry_head head; // ENTRY
    uint64_t body;               // ENTRY: position of the payload
    struct raft_sync sync;       // SYNC
};

typedef void wal_visitor(void *context, const struct wal_record *record);

// What recovery found. TORN: batches that were in flight at the crash and cannot have been reported
// durable were dropped; entries behind them may have been kept, so a group may have a hole. FAULTY:
// a block below the durable mark is bad: entries that were acknowledged may be missing here
// (wal_open's reason says which place); it stays FAULTY at every start until the tail has passed
// the place.
enum wal_verdict { WAL_CLEAN, WAL_TORN, WAL_FAULTY };

struct wal_recovery {
    enum wal_verdict verdict;
    uint64_t boot; // this start's counter, already durable; 1 after bootstrap
    uint64_t batches, records, torn_batches, faulty_batches;
    uint64_t faulty_position; // FAULTY: first bad block
};

struct wal;

size_t wal_memory_bytes(const struct wal_config *config);

// Opens (bootstrap: creates, fills and flushes) "meta.R" and "log.R" (R = reactor; a volatile log
// has no log file) in the disk's directory, counts the boot, recovers. Blocking; progress through
// `progress` (may be NULL) as bytes done of total. The visitor (may be NULL) gets every valid
// record at or above the tail. `memory`: wal_memory_bytes of it. Errors: -EEXIST, -ENOENT, -EINVAL
// (configuration against what is on disk), -EBADMSG (meta unreadable: the vote is lost), -EXDEV
// (log of another cluster, node or size), -ENOSPC, -EIO...; `reason` gets one line that names cause
// and remedy (also when the verdict is FAULTY).
int wal_open(struct wal **wal, void *memory, const struct wal_config *config, wal_visitor *visitor,
             void *context, void (*progress)(void *context, uint64_t done, uint64_t total),
             struct wal_recovery *recovery, char *reason, size_t reason_bytes);
// Waits for what is in flight (bounded by the disk), closes the files. What was never submitted is
// lost. Until then all completions of config.disk belong to the log: other users need another disk.
void wal_close(struct wal *wal);

// The commit floor of a group that recovery found: entries up to it were committed (0: none found).
// A lower bound, but no older than what wal_note_commit had said when the group's newest recovered
// entry was appended.
uint64_t wal_recovered_commit(const struct wal *wal, uint16_t group);

// Hard state of a group as last durable; zeros when never written. After wal_open.
struct raft_hard_state wal_hard_state(const struct wal *wal, uint16_t group);
// Queues a hard state for writing with the next wal_submit; reported by wal_poll as
// WAL_EVENT_HARD_STATE. Newer ones for the same group supersede older ones that were not submitted
// yet; submitted ones complete in order.
void wal_put_hard_state(struct wal *wal, uint16_t group, struct raft_hard_state state);

// Room for `records` entries with `payload_bytes` together, whatever runs and padding they need?
bool wal_has_room(const struct wal *wal, uint32_t records, uint64_t payload_bytes);

// Adds an entry to the open batch: copies the payload (the one copy). Precondition: wal_has_room.
// Result: position of the payload ("body"). `epoch` comes back with the completion. head->crc must
// be right (raft_entry_crc): recovery takes a batch with a wrong one for damaged.
uint64_t wal_append(struct wal *wal, uint16_t group, uint32_t epoch, struct raft_entry_id id,
                    uint64_t prev_term, const struct raft_entry_head *head, const void *payload);

// The same for `count` ≥ 1 entries of one term, the first of them `id`: adds as many as continue
// one another in memory. Result: how many, at least one; the body of the first goes to *body, each
// other one is WAL_RECORD_OVERHEAD_BYTES behind the end of the payload before.
uint32_t wal_append_run(struct wal *wal, uint16_t group, uint32_t epoch, struct raft_entry_id id,
                        uint64_t prev_term, const struct raft_entry_head *heads,
                        const uint8_t *const *payloads, uint32_t count, uint64_t *body);

// Records that the group's entries from `first` on are gone. No batch behind the one that holds it
// is submitted before that one is durable (within a batch order is enough: a batch is replayed
// whole or not at all). Precondition: wal_has_room for one record.
void wal_truncate(struct wal *wal, uint16_t group, uint64_t first);

// Parallel groups: are entries of the group that are appended from now on staged (at first: no)?
// Recovery hands them out marked. Cheap: call it whenever it may have changed.
void wal_stage(struct wal *wal, uint16_t group, bool is_on);

// Parallel groups: writes a SYNC record: the log of sync->term that was staged is the group's now.
// Reported by wal_poll as WAL_EVENT_SYNC. As with wal_truncate no batch behind the one that holds
// it is submitted before that one is durable. Preconditions: wal_has_room for one record; the
// group's staged entries were reported durable; 1 ≤ term, keep ≤ end.
void wal_sync(struct wal *wal, uint16_t group, const struct raft_sync *sync);

// The group's commit floor for recovery: later runs of the group carry it, and later batches in
// what would be padding (as many groups as fit, round robin).
void wal_note_commit(struct wal *wal, uint16_t group, uint64_t commit);

// The payload at a body position (valid while it is at or above the tail).
const uint8_t *wal_payload(const struct wal *wal, uint64_t body);
// The record around it: head, then payload. Records whose bodies are WAL_RECORD_OVERHEAD_BYTES
// apart (beside the payload between them) lie back to back.
const uint8_t *wal_record(const struct wal *wal, uint64_t body);

// Seals the open batch and hands it to the disk, when there is one and fewer than in_flight_max are
// out; also hard states, marks. Call once a poll iteration. now_ns drives the durable mark.
void wal_submit(struct wal *wal, uint64_t now_ns);

enum wal_event_kind {
    WAL_EVENT_ENTRIES, // group's entries first..last, appended under epoch, are durable (one event
                       // a run)
    WAL_EVENT_HARD_STATE, // hard_state of group is durable
    WAL_EVENT_SYNC,       // the SYNC record of sync_term is durable
    WAL_EVENT_FAILED,     // the device failed (error): nothing will ever be durable again. Reported
                          // once.
};

struct wal_event {
    enum wal_event_kind kind;
    uint16_t group;
    uint32_t epoch;
    struct raft_range range;
    struct raft_hard_state hard_state;
    uint64_t sync_term;
    int32_t error;
};

// Collects completions. Result: events written (call again when it equals max).
uint32_t wal_poll(struct wal *wal, struct wal_event *events, uint32_t max);

// True while anything is open, queued, in flight or to be reported. A mark that is due later does
// not count.
bool wal_is_busy(const struct wal *wal);
// When wal_submit wants to be called for a mark, though nothing is busy; UINT64_MAX: never.
uint64_t wal_deadline_ns(const struct wal *wal);

uint64_t wal_head(const struct wal *wal);
uint64_t wal_tail(const struct wal *wal);
// Gives up everything below `position` (any position, as of a body): that arena and file may be
// overwritten. Monotonic. Takes effect in whole segments, and not before everything that was
// appended until now is durable: so entries that must stay may be appended again and their old
// place be given up at once. In a durable log room comes back once a header that says so is durable
// too.
void wal_advance_tail(struct wal *wal, uint64_t position);
// Start of the oldest segment that was not given up by wal_advance_tail.
uint64_t wal_oldest(const struct wal *wal);
// Highest index of the group that was appended (or recovered) in the segment around position, be it
// live or not; 0: none. Requires wal_tail ≤ position, and a segment that was written to before.
uint64_t wal_last_in_segment(const struct wal *wal, uint64_t position, uint16_t group);
// Bytes that can be appended before the log is full, headers and padding included.
uint64_t wal_free_bytes(const struct wal *wal);

struct wal_counters {
    uint64_t batches, records, bytes_written, payload_bytes, padding_bytes, marks, hard_states,
        truncates, syncs;
    uint64_t in_flight_peak, full_refusals;
};
void wal_counters(const struct wal *wal, struct wal_counters *out);

#endif
