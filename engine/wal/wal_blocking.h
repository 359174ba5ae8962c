// Disk requests that are waited for: opening and recovery only, while nothing else is in flight on
// the disk.
#ifndef PONTOON_WAL_WAL_BLOCKING_H
#define PONTOON_WAL_WAL_BLOCKING_H

#include "engine/driver_api/disk.h"

// One request. 0 or -errno.
int wal_blocking_request(struct disk *disk, enum disk_op op, uint32_t file, void *data,
                         uint64_t offset, uint64_t bytes);

// Reads [0, bytes) of a file, several requests at once. A block that the device cannot read comes
// as zeros (which no structure of ours is made of); *bad_blocks counts them. -ENODATA: the file is
// shorter.
int wal_blocking_read(struct disk *disk, uint32_t file, void *data, uint64_t bytes,
                      uint64_t *bad_blocks,
                      void (*progress)(void *context, uint64_t done, uint64_t total),
                      void *context);

// The same for [offset, offset + bytes), block by block: for a range in which something failed.
int wal_blocking_read_blocks(struct disk *disk, uint32_t file, uint8_t *data, uint64_t offset,
                             uint32_t bytes, uint64_t *bad_blocks);

#endif
