// The `null` state machine: counts entries and bytes, and a digest that shows which entries those
// were. For benchmarks: applying costs about a nanosecond an entry, and the payload is not read
// (unless asked).
#ifndef PONTOON_APP_NULL_APP_NULL_H
#define PONTOON_APP_NULL_APP_NULL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/driver_api/app.h"

struct app_null_config {
    bool check_payload; // the digest covers the payload's bytes too. The same on every replica: it
                        // is part of the state
};

// The answer to any query: entries, bytes and digest, eight bytes each, little-endian.
enum { APP_NULL_ANSWER_BYTES = 24 };

// A command that begins with a magic word and a key, eight bytes each, little-endian, touches that
// key: those of one key conflict. Any other command touches nothing.
enum { APP_NULL_KEYED_BYTES = 16 };

// Makes the beginning of `payload` (>= APP_NULL_KEYED_BYTES) name a key.
void app_null_name_key(void *payload, uint64_t key);

// 0 and an app to close with app->ops->close(), or -ENOMEM with a line of text in `reason`.
int app_null_open(const struct app_null_config *config, struct app **app, char *reason,
                  size_t reason_bytes);

#endif
