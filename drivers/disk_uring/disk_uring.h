// The disk contract on files of a local file system: io_uring, O_DIRECT, RWF_DSYNC.
#ifndef PONTOON_DISK_URING_H
#define PONTOON_DISK_URING_H

#include "engine/driver_api/disk.h"

#include <stddef.h>

// Opens a disk on a directory, which must exist, and locks it against other processes until close.
// in_flight_max: 1 to 4096 requests. Errors, with one line of cause and remedy in `reason`:
// -ENOENT, -ENOTDIR, -EACCES, -EROFS, -EBUSY (another process has it), -EOPNOTSUPP (no direct I/O
// on this file system), -ENOSYS and -EPERM (no io_uring), -ENOMEM.
int disk_uring_open(struct disk **disk, const char *directory, uint32_t in_flight_max, char *reason,
                    size_t reason_bytes);

#endif
