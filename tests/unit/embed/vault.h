// A state machine whose payloads do not show what they touch: they are encrypted. Commands name
// slots of a table in the dark, so only who proposes can say which.
//
// A command writes one value to a few slots; its result is what the first of them held. A query is
// a slot; the answer is what it holds.
#ifndef PONTOON_TESTS_EMBED_VAULT_H
#define PONTOON_TESTS_EMBED_VAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/driver_api/app.h"

enum { VAULT_SLOTS = 32, VAULT_ORDER_MAX = 64 };

// In which order this replica applied the values. No part of its state: replicas may differ in it.
struct vault_order {
    uint32_t count;
    uint32_t values[VAULT_ORDER_MAX];
};

// Makes a command of `bytes` (≥ 12) that writes `value` to the slots [first, first + count).
void vault_encrypt(uint8_t *payload, uint32_t bytes, uint32_t first, uint32_t count,
                   uint32_t value);

struct vault_options {
    bool knows_all;    // has a `footprint` after all, which says that everything touches everything
    uint64_t capacity; // bytes that commands may take with APP_COMMAND_BYTES each; 0: no limit
};

// order stays the caller's.
int vault_open(const struct vault_options *options, struct vault_order *order, struct app **app);

#endif
