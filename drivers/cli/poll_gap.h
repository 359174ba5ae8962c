// How far apart the polls of a reactor lie on this machine as it is now.
#ifndef PONTOON_DRIVERS_CLI_POLL_GAP_H
#define PONTOON_DRIVERS_CLI_POLL_GAP_H

#include <stdint.h>

// The longest time between two polls that any of `pollers` idle pollers saw in 0.4 s. Its threads
// are gone when it returns.
uint64_t poll_gap_measure_ns(uint32_t pollers);

#endif
