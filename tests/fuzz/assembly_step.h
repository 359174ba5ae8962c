// One step of the assembly fuzzer: eight bytes of input. Shared with the maker of seeds.
#ifndef PONTOON_TESTS_FUZZ_ASSEMBLY_STEP_H
#define PONTOON_TESTS_FUZZ_ASSEMBLY_STEP_H

#include <assert.h>
#include <stdint.h>

enum {
    STEP_DONE = 1,        // let go of the key instead of adding a fragment
    STEP_WRONG_DATA = 2,  // not what the head's checksum says
    STEP_RAW_BYTES = 4,   // the fragment ends where `part` says, not where its entry is cut
    STEP_LARGE_ENTRY = 8, // the entry's size is not from the table
};

struct step {
    uint8_t key;
    uint8_t entry; // which size
    uint8_t flags;
    uint8_t part; // fragment size: 256 + 8 × this
    uint32_t offset;
};

static_assert(sizeof(struct step) == 8, "no padding");

#endif
