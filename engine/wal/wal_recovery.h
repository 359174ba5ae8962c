// Recovery: from the bytes of the log file to the records that count, and to the place where
// writing goes on.
//
// The decision table is here for its test; everybody else calls wal_recovery_run.
#ifndef PONTOON_WAL_WAL_RECOVERY_H
#define PONTOON_WAL_WAL_RECOVERY_H

#include "engine/wal/wal_files.h"

// What is known about the place where the next batch of the log should begin.
struct wal_place {
    bool is_readable; // a header with a good checksum
    bool is_ours;     // ... of this log's filling
    bool is_placed;   // ... which belongs to this very position of this lap
    bool is_current;  // ... and no later start of the node began to write at or before it
    bool is_sound;    // its body is whole, and it continues the chain
    bool is_marked;   // some header says that a batch from here on was durable
    bool is_followed; // a sound batch of the log lies behind
};

enum wal_decision {
    WAL_DECIDE_REPLAY, // hand out its records
    WAL_DECIDE_END,    // the log ends here, cleanly as far as can be seen
    WAL_DECIDE_TORN,   // the log ends here with a torn batch: cut
    WAL_DECIDE_VOID, // torn, but batches behind it count: only this is dropped, and written over so
                     // that it stays dropped
    WAL_DECIDE_FAULTY, // durable entries are missing
};

enum wal_decision wal_recovery_decide(const struct wal_place *place, const char **what);
// How many rows of the table a place meets: exactly one, says the test.
uint32_t wal_recovery_rows(const struct wal_place *place);

// Reads and judges the log, hands records to the visitor, mends torn holes, writes the opening mark
// and waits for it. Nothing is written unless everything was read. Repeatable: after a crash at any
// point the next run decides the same.
int wal_recovery_run(struct wal_opening *opening);

#endif
