#include "engine/wal/wal_blocking.h"

#include "engine/wal/wal_layout.h"

#include <errno.h>
#include <string.h>

enum { CHUNK_BYTES = 1 << 20, CHUNKS_AT_ONCE = 8 };

int wal_blocking_request(struct disk *disk, enum disk_op op, uint32_t file, void *data,
                         uint64_t offset, uint64_t bytes)
{
    struct disk_request request = {
        .op = op, .file = file, .data = data, .offset = offset, .bytes = (uint32_t)bytes};
    struct disk_completion completion;
    while (!disk->ops->submit(disk, &request)) {
        disk->ops->kick(disk);
    }
    do {
        disk->ops->kick(disk);
    } while (disk->ops->poll(disk, &completion, 1) == 0);
    return completion.result;
}

static uint32_t chunk_bytes(uint64_t chunk, uint64_t bytes)
{
    uint64_t left = bytes - chunk * CHUNK_BYTES;
    return left < CHUNK_BYTES ? (uint32_t)left : CHUNK_BYTES;
}

// A chunk failed: find out which of its blocks cannot be read.
int wal_blocking_read_blocks(struct disk *disk, uint32_t file, uint8_t *data, uint64_t offset,
                             uint32_t bytes, uint64_t *bad_blocks)
{
    for (uint32_t at = 0; at < bytes; at += WAL_BLOCK_BYTES) {
        int error =
            wal_blocking_request(disk, DISK_READ, file, data + at, offset + at, WAL_BLOCK_BYTES);
        if (error == -ENODATA) {
            return error;
        }
        if (error != 0) {
            memset(data + at, 0, WAL_BLOCK_BYTES);
            (*bad_blocks)++;
        }
    }
    return 0;
}

int wal_blocking_read(struct disk *disk, uint32_t file, void *data, uint64_t bytes,
                      uint64_t *bad_blocks,
                      void (*progress)(void *context, uint64_t done, uint64_t total), void *context)
{
    uint8_t *at = data;
    uint64_t chunks = (bytes + CHUNK_BYTES - 1) / CHUNK_BYTES;
    // In waves, so that a wave's failed chunks can be read again while nothing else is out.
    for (uint64_t first = 0; first < chunks; first += CHUNKS_AT_ONCE) {
        uint64_t last = first + CHUNKS_AT_ONCE < chunks ? first + CHUNKS_AT_ONCE : chunks;
        uint64_t next = first, done = first;
        bool has_failed[CHUNKS_AT_ONCE] = {false};
        while (done < last) {
            struct disk_request request = {.op = DISK_READ,
                                           .file = file,
                                           .data = at + next * CHUNK_BYTES,
                                           .offset = next * CHUNK_BYTES,
                                           .bytes = next < last ? chunk_bytes(next, bytes) : 0,
                                           .tag = next - first};
            if (next < last && disk->ops->submit(disk, &request)) {
                next++;
                continue;
            }
            struct disk_completion completion;
            disk->ops->kick(disk);
            if (disk->ops->poll(disk, &completion, 1) == 1) {
                has_failed[completion.tag] = completion.result != 0;
                done++;
            }
        }
        for (uint64_t chunk = first; chunk < last; chunk++) {
            int error = !has_failed[chunk - first]
                            ? 0
                            : wal_blocking_read_blocks(disk, file, at + chunk * CHUNK_BYTES,
                                                       chunk * CHUNK_BYTES,
                                                       chunk_bytes(chunk, bytes), bad_blocks);
            if (error != 0) {
                return error;
            }
        }
        if (progress != NULL) {
            progress(context, last == chunks ? bytes : last * CHUNK_BYTES, bytes);
        }
    }
    return 0;
}
