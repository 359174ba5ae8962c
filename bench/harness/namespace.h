// A network namespace of the program's own with veth pairs in it: frames never leave it, and it
// vanishes with the last process inside. Needs root, or a kernel that lets users make user
// namespaces; and the `ip` program.
#ifndef PONTOON_BENCH_NAMESPACE_H
#define PONTOON_BENCH_NAMESPACE_H

#include <stdbool.h>

// Moves the calling process (and later children) into a fresh namespace. Result: false with one
// line on stderr.
bool namespace_enter(void);

// Makes a veth pair with these names, both ends up, promiscuous and without IPv6. `number` (0 to 6)
// gives the interface indexes their high bits: net_af_packet takes (process id xor interface index)
// for a fan-out group that must not meet another's, and neighbouring processes on neighbouring
// interfaces do meet. Result: as above.
bool namespace_add_pair(unsigned number, const char *left, const char *right);

#endif
