#include "drivers/app_block/block_store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/base/assert.h"

void block_store_give_back(void *memory, uint64_t bytes)
{
    int failed = madvise(memory, bytes, MADV_DONTNEED);
    ASSERT(failed == 0);
}

static void write_file(int file, uint64_t offset, const uint8_t *data, uint64_t bytes)
{
    while (bytes > 0) {
        ssize_t count = pwrite(file, data, bytes, (off_t)offset);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return; // the disk is full, or fails
        }
        offset += (uint64_t)count;
        data += count;
        bytes -= (uint64_t)count;
    }
}

void block_store_write(const struct block_store *store, uint64_t offset, const void *data,
                       uint64_t bytes)
{
    if (store->memory != NULL) {
        memcpy(store->memory + offset, data, bytes);
    } else {
        write_file(store->file, offset, data, bytes);
    }
}

static void read_file(int file, uint64_t offset, uint8_t *data, uint64_t bytes)
{
    while (bytes > 0) {
        ssize_t count = pread(file, data, bytes, (off_t)offset);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) { // 0: the file ends before what was never written
            memset(data, count < 0 ? 0xA5 : 0, bytes);
            return;
        }
        offset += (uint64_t)count;
        data += count;
        bytes -= (uint64_t)count;
    }
}

void block_store_read(const struct block_store *store, uint64_t offset, void *data, uint64_t bytes)
{
    if (store->memory != NULL) {
        memcpy(data, store->memory + offset, bytes);
    } else {
        read_file(store->file, offset, data, bytes);
    }
}

// Pages that the range covers whole go back to the kernel; what is left at its ends is overwritten.
static void erase_memory(uint8_t *memory, uint64_t offset, uint64_t bytes)
{
    uint64_t end = offset + bytes, whole = block_store_round_up(offset);
    uint64_t whole_end = end & ~(uint64_t)(BLOCK_STORE_PAGE_BYTES - 1);
    if (whole >= whole_end) {
        memset(memory + offset, 0, bytes);
        return;
    }
    memset(memory + offset, 0, whole - offset);
    block_store_give_back(memory + whole, whole_end - whole);
    memset(memory + whole_end, 0, end - whole_end);
}

static void erase_file(int file, uint64_t offset, uint64_t bytes)
{
    static const uint8_t zeroes[64 << 10];
    if (fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes) ==
        0) {
        return;
    }
    for (uint64_t done = 0; done < bytes; done += sizeof(zeroes)) { // no holes in this file system
        uint64_t left = bytes - done;
        write_file(file, offset + done, zeroes, left < sizeof(zeroes) ? left : sizeof(zeroes));
    }
}

void block_store_erase(const struct block_store *store, uint64_t offset, uint64_t bytes)
{
    if (store->memory != NULL) {
        erase_memory(store->memory, offset, bytes);
    } else {
        erase_file(store->file, offset, bytes);
    }
}
