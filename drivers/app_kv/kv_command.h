// Commands and queries of the `kv` state machine: structs <-> bytes (kv_format.h).
//
// For the state machine and for clients, which need nothing else of this folder. Pure; any thread;
// never allocates. Decoded structs point into the bytes they were decoded from.
#ifndef PONTOON_APP_KV_KV_COMMAND_H
#define PONTOON_APP_KV_KV_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/app_kv/kv_format.h"

struct kv_bytes {
    const void *data; // may be NULL when bytes is 0
    uint32_t bytes;
};

struct kv_command {
    enum kv_operation operation;
    struct kv_bytes key;
    struct kv_bytes value;    // PUT, COMPARE_AND_SWAP
    struct kv_bytes expected; // COMPARE_AND_SWAP; .bytes is KV_ABSENT when the key must not exist
};

struct kv_query {
    enum kv_query_kind kind;
    struct kv_bytes key; // GET
};

struct kv_statistics {
    uint64_t pairs;
    uint64_t bytes;          // sum of kv_pair_bytes() over all pairs
    uint64_t pairs_max;      // more are refused with KV_FULL
    uint64_t capacity_bytes; // likewise
    uint64_t digest;         // of the whole state
};

// Bytes of the command when encoded; 0 when it breaks a rule of kv_format.h (sizes, unknown
// operation).
uint32_t kv_command_bytes(const struct kv_command *command);

// Writes the command. Result: its bytes, or 0 when it breaks a rule or exceeds `capacity` (then
// nothing is written).
uint32_t kv_command_encode(const struct kv_command *command, void *buffer, uint32_t capacity);

// False when the bytes are not exactly one valid command.
bool kv_command_decode(const void *payload, uint32_t bytes, struct kv_command *command);

// As above, for queries. Result: bytes, or 0.
uint32_t kv_command_encode_query(const struct kv_query *query, void *buffer, uint32_t capacity);
bool kv_command_decode_query(const void *bytes, uint32_t count, struct kv_query *query);

// The answer to STATISTICS. `buffer` has KV_STATISTICS_BYTES.
void kv_command_encode_statistics(const struct kv_statistics *statistics, void *buffer);
bool kv_command_decode_statistics(const void *answer, uint32_t bytes,
                                  struct kv_statistics *statistics);

// "ok", "not found", ...; "unknown result" for a number that is none.
const char *kv_command_result_name(uint32_t result);

#endif
