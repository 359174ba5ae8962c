// Bytes of the `kv` state machine: commands (in log entries), queries and their answers.
// Little-endian, no padding.
//
// A command is a head, the key, the new value, the expected value, and nothing behind:
//
//     offset  bytes  field
//          0      1  operation        enum kv_operation
//          1      1  zero
//          2      2  key_bytes        1..KV_KEY_BYTES_MAX
//          4      4  value_bytes      0..KV_VALUE_BYTES_MAX; 0 in a DELETE
//          8      4  expected_bytes   COMPARE_AND_SWAP: 0..KV_VALUE_BYTES_MAX, or KV_ABSENT
//                                      (the key must not exist); else 0
//         12      .  key, value, expected
//
// A COMPARE_AND_SWAP carries the whole value it expects: exact, with no hash to collide. Both
// values together must therefore fit one entry (RAFT_PAYLOAD_BYTES_MAX).
//
// A query is its own head and the key:
//
//          0      1  query            enum kv_query_kind
//          1      1  zero
//          2      2  key_bytes        GET: 1..KV_KEY_BYTES_MAX; STATISTICS: 0
//          4      .  key
//
// GET answers with the bytes of the value. STATISTICS answers with the fields of struct
// kv_statistics (kv_command.h), eight bytes each, in their order there.
//
// What a pair weighs against the capacity of the store: kv_pair_bytes(). It depends on nothing but
// the pair, so a store is full at the same command on every replica, whatever its history.
#ifndef PONTOON_APP_KV_KV_FORMAT_H
#define PONTOON_APP_KV_KV_FORMAT_H

#include <stdint.h>

#include "engine/core/types.h"

enum kv_operation {
    KV_PUT = 1,    // key := value
    KV_DELETE = 2, // the key goes
    KV_COMPARE_AND_SWAP =
        3, // key := value if it now has the expected value (or is absent, where that is expected)
};

enum kv_query_kind {
    KV_QUERY_GET = 1,
    KV_QUERY_STATISTICS = 2,
};

// The 32-bit result of a command. A command whose result is not KV_OK changed nothing. Stable
// numbers.
enum kv_result {
    KV_OK = 0,
    KV_NOT_FOUND = 1, // DELETE, or COMPARE_AND_SWAP with an expected value: no such key
    KV_MISMATCH =
        2, // COMPARE_AND_SWAP: the key has another value, or has one and was expected absent
    KV_MALFORMED = 3, // not a command by this format
    KV_FULL = 4,      // the pair would exceed the capacity in bytes or in pairs
};

enum {
    KV_COMMAND_HEAD_BYTES = 12,
    KV_QUERY_HEAD_BYTES = 4,
    KV_KEY_BYTES_MAX = 1024,
    // Any value fits an entry together with any key.
    KV_VALUE_BYTES_MAX = RAFT_PAYLOAD_BYTES_MAX - KV_COMMAND_HEAD_BYTES - KV_KEY_BYTES_MAX,
    KV_QUERY_BYTES_MAX = KV_QUERY_HEAD_BYTES + KV_KEY_BYTES_MAX,
    KV_STATISTICS_BYTES = 40,
    KV_PAIR_OVERHEAD_BYTES = 16, // a pair's share of bookkeeping
    KV_PAIR_ALIGN_BYTES = 16,    // pairs are rounded up to this
};

#define KV_ABSENT UINT32_MAX

static inline uint64_t kv_pair_bytes(uint32_t key_bytes, uint32_t value_bytes)
{
    uint64_t bytes = (uint64_t)KV_PAIR_OVERHEAD_BYTES + key_bytes + value_bytes;
    return (bytes + KV_PAIR_ALIGN_BYTES - 1) & ~(uint64_t)(KV_PAIR_ALIGN_BYTES - 1);
}

#endif
