// The `block` state machine: one volume of 512- or 4096-byte blocks (block_format.h), behind
// driver_api/app.h.
//
// Address space is taken by app_block_open, memory (or disk) when blocks are written. Every replica
// of a group must be opened with the same capacity: it decides which CREATE is too large, which is
// part of the state and of its digest. Where a replica keeps the content is its own affair.
#ifndef PONTOON_APP_BLOCK_APP_BLOCK_H
#define PONTOON_APP_BLOCK_APP_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/driver_api/app.h"

struct app_block_config {
    uint64_t capacity_bytes; // for a volume and its checksums, 1 MiB..64 TiB, a multiple of 4 KiB
    bool is_durable;         // committed entries are on disks: INFO says so
    const char *directory;   // the content is in a file without a name in it; NULL: in memory
};

// 0 and an app to close with app->ops->close(), or -EINVAL (capacity_bytes out of range),
// -ENOMEM, or the error of the file, with a line of text in `reason`.
int app_block_open(const struct app_block_config *config, struct app **app, char *reason,
                   size_t reason_bytes);

#endif
