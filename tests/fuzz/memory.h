// malloc and its kin as the linker wraps them for fuzzers that open reactors (meson.build): calls
// can be counted, and large blocks are kept from input to input, because fresh pages for each would
// cost more than everything else an input does. A block that is free is poisoned.
#ifndef PONTOON_TESTS_FUZZ_MEMORY_H
#define PONTOON_TESTS_FUZZ_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

// Counting begins or ends; allocations counted so far.
void memory_count(bool is_counting);
uint64_t memory_allocations(void);

#endif
