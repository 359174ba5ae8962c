// A log on a disk in memory, entries whose bytes follow from their name, and a recovery that is
// written down.
#ifndef PONTOON_TESTS_WAL_FIXTURE_H
#define PONTOON_TESTS_WAL_FIXTURE_H

#include "drivers/disk_memory/disk_memory.h"
#include "engine/wal/wal.h"

enum {
    FIXTURE_SEGMENT_BYTES = 16384,
    FIXTURE_LOG_BYTES = 4 * FIXTURE_SEGMENT_BYTES,
    FIXTURE_GROUPS = 8,
    FIXTURE_RECORDS_MAX = 1 << 14,
    FIXTURE_EVENTS_MAX = 256,
};

struct fixture {
    struct disk *disk;
    struct wal_config config;
    struct wal *wal;
    void *memory;
    uint64_t now_ns;
    // of the last opening
    struct wal_recovery recovery;
    char reason[256];
    struct wal_record records[FIXTURE_RECORDS_MAX];
    uint32_t record_count;
    // of the last poll
    struct wal_event events[FIXTURE_EVENTS_MAX];
    uint32_t event_count;
};

// A zeroed fixture, a disk and a configuration (bootstrap set); nothing is opened.
struct fixture *fixture_open(const struct disk_memory_options *options);
void fixture_close(struct fixture *fixture);
// The same, started.
struct fixture *fixture_started(const struct disk_memory_options *options);

// wal_open, keeping records; clears config.bootstrap and reset_log. Result: wal_open's.
int fixture_start(struct fixture *fixture);
// wal_close.
void fixture_stop(struct fixture *fixture);
// Forgets the log as a crash of the process does; the disk is the caller's to crash.
void fixture_drop(struct fixture *fixture);
// Stops and starts; loses what no disk has and starts. Result: fixture_start's.
int fixture_restart(struct fixture *fixture);
int fixture_crash(struct fixture *fixture);

// The payload of an entry follows from group, term, index.
void fixture_payload(uint8_t *payload, uint32_t bytes, uint16_t group, struct raft_entry_id id);
struct raft_entry_head fixture_head(const uint8_t *payload, uint32_t bytes,
                                    struct raft_entry_id id);
uint64_t fixture_append(struct fixture *fixture, uint16_t group, uint32_t epoch, uint64_t term,
                        uint64_t index, uint32_t bytes);
// True when the record is an entry that fixture_append made, payload included.
bool fixture_record_is_true(const struct fixture *fixture, const struct wal_record *record);
// All that was recovered is.
void fixture_check_records(const struct fixture *fixture);

// One turn: submit, poll (events stay in the fixture).
void fixture_turn(struct fixture *fixture);
// Turns until nothing is busy; events are lost.
void fixture_settle(struct fixture *fixture);
// Lets so much time pass that a mark is written.
void fixture_idle(struct fixture *fixture);
// The event at a place of the last turn says that these entries are durable.
void fixture_check_entries(const struct fixture *fixture, uint32_t at, uint64_t first,
                           uint64_t last);
struct wal_counters fixture_counters(const struct fixture *fixture);
// The n-th batch since the start, held by the disk, completes (0 was the opening mark). False: it
// is not there.
bool fixture_release(struct fixture *fixture, uint32_t batch);

// Index of the recovered entry, or -1.
int64_t fixture_find(const struct fixture *fixture, uint16_t group, uint64_t term, uint64_t index);

#endif
