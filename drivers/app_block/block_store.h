// Where the content of a volume is: in memory, or in a file without a name. Both are sparse, read
// as zeroes where nothing was written, and are gone with the process: what lasts is log and
// checkpoint.
//
// A file may be full or fail. Then what was to be stored is not, and the checksum that the volume
// keeps of it says so at the next read: nothing is returned here but "stored" and "read".
#ifndef PONTOON_APP_BLOCK_BLOCK_STORE_H
#define PONTOON_APP_BLOCK_BLOCK_STORE_H

#include <stdbool.h>
#include <stdint.h>

enum { BLOCK_STORE_PAGE_BYTES = 4096 };

struct block_store {
    uint8_t *memory; // private zeroed pages; NULL: in the file
    int file;
};

void block_store_write(const struct block_store *store, uint64_t offset, const void *data,
                       uint64_t bytes);
// What cannot be read is filled with something that no checksum fits.
void block_store_read(const struct block_store *store, uint64_t offset, void *data, uint64_t bytes);
// The range reads as zeroes from now on, and what it took is given back.
void block_store_erase(const struct block_store *store, uint64_t offset, uint64_t bytes);

// Private anonymous pages, given back: they read as zeroes again. Begins at a page.
void block_store_give_back(void *memory, uint64_t bytes);

static inline uint64_t block_store_round_up(uint64_t bytes)
{
    return (bytes + BLOCK_STORE_PAGE_BYTES - 1) & ~(uint64_t)(BLOCK_STORE_PAGE_BYTES - 1);
}

#endif
