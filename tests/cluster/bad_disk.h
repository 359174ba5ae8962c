// A disk of one node of the bed that gets slow, hangs or fails when a test says so: a file system
// of the kernel's on a loop device, over FUSE (nbdfuse) on a block device in the memory of nbdkit,
// all in a mount namespace of our own. For root only.
#ifndef PONTOON_TESTS_CLUSTER_BAD_DISK_H
#define PONTOON_TESTS_CLUSTER_BAD_DISK_H

#include <stdbool.h>
#include <stdint.h>

// Makes the disk and mounts it where node `id` has its directory. False, and the case is skipped
// with the reason: this machine or user cannot have it. bed_create comes first, bad_disk_close
// before bed_close; what a failed case leaves is taken away by the next open or at the end of the
// program.
bool bad_disk_open(int id, const char *sector_bytes); // "512", "4096"
void bad_disk_close(void);

// No more than so many writes a second of the node's process (blkio cgroup); 0: as many as it
// likes. False, and the case is skipped: no such cgroup here.
bool bad_disk_throttle(uint32_t writes_per_second);
// Nothing completes any more, until it does.
void bad_disk_hang(bool does_hang);
// Writes fail with EIO.
void bad_disk_fail(bool does_fail);
// Takes the file system away and brings it back, as another start of the machine would: after
// failures the kernel may have given it up. The node does not run meanwhile.
void bad_disk_remount(void);

#endif
