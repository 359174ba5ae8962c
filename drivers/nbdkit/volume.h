// A replicated volume (drivers/app_block) for many threads: each asks and waits, one poller thread
// owns the client of the cluster and has all of it in flight at once.
//
//     caller ──inbox──▶ poller: cut into pieces ──▶ pontoon_client ──▶ leader
//        ▲                │  of PIECE_BYTES
//        └────done────────┘
//
// What a caller may rely on:
//   1. A change that was answered with 0 is committed, and every read that begins later sees it,
//      whoever reads. On a durable volume it is on a majority of disks.
//   2. Over changes of leader requests are held and repeated; they fail only when `hold_ns` passed
//      without an answer.
//   3. Changes that overlap are made in the order in which they came in, also when the first was
//      given up by its caller.
//   4. A change that failed for want of time is not made later: before the next change the volume
//      is attached to under another writer (block_format.h), and what is on the way is fenced.
//   5. When another server attached since this one was opened, changes and ATTACH fail with -EROFS;
//      reads go on.
#ifndef PONTOON_DRIVERS_NBDKIT_VOLUME_H
#define PONTOON_DRIVERS_NBDKIT_VOLUME_H

#include <stddef.h>
#include <stdint.h>

#include "drivers/app_block/block_command.h"

enum { VOLUME_REASON_BYTES = 256 };

struct volume_options {
    const char *config; // path of the cluster's configuration
    uint16_t client;    // client place
    uint16_t group;
    uint64_t hold_ns;
    // Asked by a caller that waits, every now and then: should it stop waiting? May be NULL.
    int (*is_over)(void);
};

enum volume_kind {
    VOLUME_READ,
    VOLUME_WRITE,
    VOLUME_ZERO,
    VOLUME_ATTACH, // before the first change
    VOLUME_INFO,   // data: struct block_info
    VOLUME_MAP,    // data: struct volume_map; at most BLOCK_MAP_BYTES_MAX
};

// Runs of blocks from the beginning of the range on, perhaps not to its end (block_format.h).
struct volume_map {
    uint32_t runs[BLOCK_MAP_RUNS_MAX]; // ends with 0, unless full
};

struct volume;

// Starts the poller and asks for the volume's geometry. 0, or -errno with a reason.
int volume_open(const struct volume_options *options, struct volume **volume, char *reason,
                size_t reason_bytes);
// Nobody may be inside volume_do.
void volume_close(struct volume *volume);

// As it was when the volume was opened.
const struct block_info *volume_info(const struct volume *volume);

// Does one thing and waits for it. `data` is read into or written from; ATTACH and INFO have no
// range. 0, or -errno with a reason. Any thread.
int volume_do(struct volume *volume, enum volume_kind kind, uint64_t offset, uint64_t bytes,
              void *data, char *reason, size_t reason_bytes);

#endif
