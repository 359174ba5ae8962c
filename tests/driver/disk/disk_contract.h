// The suite that every disk driver passes: the numbered guarantees of engine/driver_api/disk.h.
#ifndef PONTOON_TESTS_DRIVER_DISK_CONTRACT_H
#define PONTOON_TESTS_DRIVER_DISK_CONTRACT_H

#include "engine/driver_api/disk.h"
#include "tests/harness/harness.h"

enum { CONTRACT_IN_FLIGHT = 8 };

// Opens a fresh disk with CONTRACT_IN_FLIGHT requests; the driver under test provides it.
struct disk *contract_disk(void);

extern const struct test_case contract_cases[];
extern const size_t contract_case_count;

// Helpers for the drivers' own cases. One request, waited for; its result.
int contract_run(struct disk *disk, enum disk_op op, uint32_t file, void *data, uint64_t offset,
                 uint32_t bytes);
uint32_t contract_open(struct disk *disk, const char *name, enum disk_open how, uint64_t bytes);
// 1 MiB of memory aligned to 4096, filled with `pattern`; `which` 0 to 3.
uint8_t *contract_buffer(uint32_t which, uint8_t pattern);

#endif
