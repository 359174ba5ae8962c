// The `kv` state machine: bytes to bytes, with put, delete, compare-and-swap and get (kv_format.h),
// behind driver_api/app.h.
//
// All memory is taken and touched by app_kv_open; afterwards nothing is allocated. Every replica of
// a group must be opened with the same memory_bytes: it fixes when the store is full, which is part
// of the state and of its digest.
#ifndef PONTOON_APP_KV_APP_KV_H
#define PONTOON_APP_KV_APP_KV_H

#include <stddef.h>
#include <stdint.h>

#include "engine/driver_api/app.h"

struct app_kv_config {
    uint64_t memory_bytes; // for pairs and index, 8 MiB..64 GiB; at least 3/4 of it can be pairs
                           // once it is 64 MiB or more
};

// 0 and an app to close with app->ops->close(), or -EINVAL (memory_bytes out of range) or -ENOMEM
// with a line of text in `reason`.
int app_kv_open(const struct app_kv_config *config, struct app **app, char *reason,
                size_t reason_bytes);

// What such a store will hold, for the printed budget. Requires a memory_bytes that app_kv_open
// takes.
uint64_t app_kv_capacity_bytes(const struct app_kv_config *config);

#endif
