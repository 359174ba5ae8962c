// The two files of a log: creation, superblock, boot counter, hard states read at start.
#ifndef PONTOON_WAL_WAL_FILES_H
#define PONTOON_WAL_WAL_FILES_H

#include "engine/wal/wal_state.h"

// What wal_open was given, handed through its stages.
struct wal_opening {
    struct wal *wal;
    const struct wal_config *config;
    wal_visitor *visitor;
    void *context;
    void (*progress)(void *context, uint64_t done, uint64_t total);
    struct wal_recovery *recovery;
    char *reason;
    size_t reason_bytes;
    struct wal_super super; // as last written
    uint32_t newest_copy;   // of the superblock
};

// Creates the files (bootstrap), opens them, counts the boot, reads the hard states. Afterwards
// wal->boot is durable and identity.log_id names the log's filling. The log file is open but not
// read.
int wal_files_open(struct wal_opening *opening);
// The newest opening mark is about to be overwritten: from here on the log need not have one.
int wal_files_forget_log_boot(struct wal_opening *opening);
// Records that the opening mark of this boot is durable in the log. Last step of an opening.
int wal_files_opened(struct wal_opening *opening);
void wal_files_close(struct wal *wal);

#endif
