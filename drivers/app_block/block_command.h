// Commands and queries of the `block` state machine: structs <-> bytes (block_format.h).
//
// For the state machine and for clients, which need nothing else of this folder. Pure; any thread;
// never allocates. Decoded structs point into the bytes they were decoded from.
#ifndef PONTOON_APP_BLOCK_BLOCK_COMMAND_H
#define PONTOON_APP_BLOCK_BLOCK_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/app_block/block_format.h"

struct block_command {
    enum block_operation operation;
    uint32_t block_bytes; // CREATE
    uint64_t writer;      // ATTACH, WRITE, ZERO
    uint64_t previous;    // ATTACH: the writer until now
    uint64_t offset;      // WRITE, ZERO
    uint64_t bytes;       // CREATE, WRITE, ZERO
    const void *data;     // WRITE
};

struct block_query {
    enum block_query_kind kind;
    uint64_t offset, bytes; // READ, CHECK, MAP
};

// The answer to INFO, as it is on the wire.
struct block_info {
    uint64_t volume_bytes;   // 0: there is no volume
    uint64_t capacity_bytes; // for a volume and its checksums
    uint64_t blocks_used;    // that are not all zeroes
    uint64_t writer;         // who may write; 0: nobody has attached
    uint64_t digest;         // of the whole state
    uint32_t block_bytes;
    uint32_t is_durable; // of the answering node's configuration, not of the state: committed means
                         // on a majority of disks
    uint64_t zero[2];
};

// The bytes of a volume that a command touches.
struct block_range {
    uint64_t start, length; // length 0: none
};

// Bytes of the command when encoded; 0 when it breaks a rule of block_format.h (sizes, unknown
// operation). Whether it suits the volume is the state machine's to say.
uint32_t block_command_bytes(const struct block_command *command);

// Writes the command. Result: its bytes, or 0 when it breaks a rule or exceeds `capacity` (then
// nothing is written).
uint32_t block_command_encode(const struct block_command *command, void *buffer, uint32_t capacity);

// False when the bytes are not exactly one valid command.
bool block_command_decode(const void *payload, uint32_t bytes, struct block_command *command);

// The one place that says what a valid command touches: its footprint. False: CREATE and ATTACH
// decide what becomes of every other command, and conflict with everything.
bool block_command_range(const struct block_command *command, struct block_range *range);

// The same of a valid query: what it looks at. False: INFO looks at everything.
bool block_command_query_range(const struct block_query *query, struct block_range *range);

// As encode and decode above, for queries. Result: bytes, or 0.
uint32_t block_command_encode_query(const struct block_query *query, void *buffer,
                                    uint32_t capacity);
bool block_command_decode_query(const void *bytes, uint32_t count, struct block_query *query);

// "ok", "no volume", ...; "unknown result" for a number that is none.
const char *block_command_result_name(uint32_t result);

#endif
