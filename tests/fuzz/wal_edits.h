// The edits of fuzz_wal's input: a byte that names it, a byte for the block (the log's, then
// meta's), then what fuzz_wal.c reads for it.
#ifndef PONTOON_TESTS_FUZZ_WAL_EDITS_H
#define PONTOON_TESTS_FUZZ_WAL_EDITS_H

enum { WAL_TIMES = 4 }; // starts of the log; a block may come back from each

enum wal_edit {
    // as devices do
    WAL_EDIT_ZERO,
    WAL_EDIT_ONES,
    WAL_EDIT_BIT,
    WAL_EDIT_COPY,
    WAL_EDIT_SWAP,
    WAL_EDIT_OLD,
    WAL_EDIT_TEAR,
    // as nobody does
    WAL_EDIT_WORD,
    WAL_EDIT_BYTES,
    WAL_EDIT_SEAL,
    WAL_EDITS
};

#endif
