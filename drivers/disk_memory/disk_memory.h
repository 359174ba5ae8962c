// The disk contract in memory: for tests and the simulator, and for machines whose "disk" may
// forget.
//
// Every file has two images: what the device would hold after a power cut (durable), and what reads
// see (cache). A crash throws the cache away, but for a seeded choice of 512-byte sectors; requests
// in flight are torn the same way. Time is counted in calls of poll(), and all chance comes from
// the seed: the same calls give the same results.
#ifndef PONTOON_DISK_MEMORY_H
#define PONTOON_DISK_MEMORY_H

#include "engine/driver_api/disk.h"

struct disk_memory_options {
    uint64_t capacity_bytes;  // of all files together; 0: no limit
    uint64_t seed;            // of delays and order
    uint32_t block_bytes;     // 0: 512
    uint32_t in_flight_max;   // 0: 64
    uint32_t delay_polls_max; // a request completes at the first poll() after 0 to this many others
    bool reorder;             // completions of one poll() come in random order
    bool tear_failed_writes;  // a write that fails by disk_memory_fail leaves some of its sectors
                              // behind, by chance
};

// 0 or -ENOMEM, -EINVAL. ops->close frees everything: the files live as long as the disk.
int disk_memory_open(struct disk **disk, const struct disk_memory_options *options);

// Power cut: what is in flight or not durable is lost, but each 512-byte sector of it was written
// with a chance of keep_percent. All files are closed; open them again to go on. Injected faults
// are forgotten. The buffers of requests in flight are read: free them afterwards.
void disk_memory_crash(struct disk *disk, uint64_t seed, uint32_t keep_percent);

// Death of the process: what completed stays readable (though not durable), sectors in flight land
// with a chance of keep_percent.
void disk_memory_kill(struct disk *disk, uint64_t seed, uint32_t keep_percent);

// From the nth request of this kind on (1: the next to complete), `count` of them fail with error
// and do nothing (but see tear_failed_writes).
void disk_memory_fail(struct disk *disk, enum disk_op op, uint64_t nth, uint64_t count, int error);

// While held, requests do not complete; disk_memory_release lets the one with this tag (any op)
// complete at the next poll(). Result: false when none has it.
void disk_memory_hold(struct disk *disk, bool held);
bool disk_memory_release(struct disk *disk, uint64_t tag);

// Sets the space limit; files above it stay as they are.
void disk_memory_set_capacity(struct disk *disk, uint64_t capacity_bytes);

// The durable bytes of a file, for a test to look at or damage (then call disk_memory_crash). NULL
// when there is none.
void *disk_memory_image(struct disk *disk, const char *name, uint64_t *bytes);

// Requests submitted and not completed.
uint32_t disk_memory_in_flight(const struct disk *disk);

#endif
