// Bytes of the `block` state machine: commands (in log entries), queries and their answers.
// Little-endian, no padding.
//
// A command is a head of 32 bytes, and the data of a WRITE behind it:
//
//     offset  bytes  field
//          0      1  operation    enum block_operation
//          1      3  zero
//          4      4  block_bytes  CREATE: 512 or 4096; else 0
//          8      8  writer       who writes (see below); 0 in a CREATE
//         16      8  offset       WRITE, ZERO: first byte; ATTACH: the writer until now; else 0
//         24      8  bytes        CREATE: of the volume; WRITE, ZERO: how many; ATTACH: 0
//         32      .  data         WRITE: `bytes` of them
//
// A query is a head of 24 bytes:
//
//          0      1  query        enum block_query_kind
//          1      7  zero
//          8      8  offset       READ, CHECK, MAP: first byte; INFO: 0
//         16      8  bytes        READ, CHECK, MAP: how many; INFO: 0
//
// READ answers with the data, CHECK with eight bytes: the number of the first block of the range
// whose content does not match its checksum, or BLOCK_NONE. INFO answers with struct block_info.
// MAP answers with runs of blocks from the beginning of the range on, four bytes each: how many,
// and BLOCK_RUN_ZERO if they are all zeroes; where there are too many runs, with the first of them.
// Ranges begin and end at blocks. Errors: -ENOENT there is no volume yet, -EINVAL malformed or
// unaligned, -ERANGE beyond the volume, -EBADMSG a block does not match its checksum (CHECK says
// which).
//
// Writer. A server that stops and starts again must not be overtaken by what its former life left
// on the way: that would overwrite newer data with older. So a server draws a random number and
// ATTACHes with it; from then on commands of any other number are FENCED and change nothing. 0, as
// long as nobody has attached. ATTACH names the writer that it takes over from, so a late copy of
// one is FENCED, too.
#ifndef PONTOON_APP_BLOCK_BLOCK_FORMAT_H
#define PONTOON_APP_BLOCK_BLOCK_FORMAT_H

#include <assert.h>
#include <stdint.h>

#include "engine/core/types.h"

enum block_operation {
    BLOCK_CREATE = 1, // fixes the geometry, once
    BLOCK_ATTACH = 2, // `writer` may write from now on, and the writer until now may not
    BLOCK_WRITE = 3,
    BLOCK_ZERO = 4, // the range reads as zeroes and takes no memory: write zeroes, and trim
};

enum block_query_kind {
    BLOCK_QUERY_READ = 1,
    BLOCK_QUERY_CHECK = 2,
    BLOCK_QUERY_INFO = 3,
    BLOCK_QUERY_MAP = 4,
};

// The 32-bit result of a command. A command whose result is not BLOCK_OK changed nothing. Stable
// numbers.
enum block_result {
    BLOCK_OK = 0,
    BLOCK_MALFORMED = 1, // not a command by this format
    BLOCK_NO_VOLUME = 2, // nothing was created yet
    BLOCK_DIFFERENT = 3, // CREATE: there is a volume, and its geometry is another
    BLOCK_TOO_LARGE = 4, // CREATE: it would not fit the capacity of a replica
    BLOCK_BEYOND = 5,    // the range does not end inside the volume
    BLOCK_UNALIGNED = 6, // the range does not begin and end at a block
    BLOCK_FENCED = 7,    // another writer has attached
};

enum {
    BLOCK_COMMAND_HEAD_BYTES = 32,
    BLOCK_QUERY_BYTES = 24,
    BLOCK_INFO_BYTES = 64,
    BLOCK_BYTES_MIN = 512,
    BLOCK_BYTES_MAX = 4096,
    BLOCK_WRITE_BYTES_MAX = 512 << 10, // of one command; with its head it fits an entry
    BLOCK_READ_BYTES_MAX = 512 << 10,  // of one query
    BLOCK_CHECK_BYTES_MAX = 16 << 20,  // likewise: what is checked is not applied meanwhile
    BLOCK_MAP_BYTES_MAX = 256 << 20,   // likewise
    BLOCK_MAP_RUNS_MAX = 1024,         // of one answer
    BLOCK_ZERO_BYTES_MAX = 64 << 20,   // of one command
};

static_assert((int)BLOCK_WRITE_BYTES_MAX + (int)BLOCK_COMMAND_HEAD_BYTES <=
                  (int)RAFT_PAYLOAD_BYTES_MAX,
              "a write fits an entry");

#define BLOCK_VOLUME_BYTES_MAX (UINT64_C(1) << 46)
#define BLOCK_NONE UINT64_MAX
#define BLOCK_RUN_ZERO (UINT32_C(1) << 31)

#endif
