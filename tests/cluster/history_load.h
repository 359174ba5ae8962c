// Clients in processes of their own that write and read a few keys of the bed's cluster all the
// while, whatever happens to it; at the end their histories are put together and judged for
// linearizability.
//
// Three do as clients should. Three more read, each from one node alone, whether it leads or not: a
// deposed leader that still answers is found out.
#ifndef PONTOON_TESTS_CLUSTER_HISTORY_LOAD_H
#define PONTOON_TESTS_CLUSTER_HISTORY_LOAD_H

#include <stdint.h>

enum { HISTORY_LOAD_CLIENTS = 6 }; // places 1 to 6 are theirs

// Starts them, over udp. `load` is the seed, and names the keys: loads of one bed have different
// ones.
void history_load_start(uint64_t load);
// The cluster must serve by then: every command in hand is answered. Fails the case when the
// history is not linearizable (its files stay where PONTOON_KEEP keeps the bed) or a client met
// something odd, or when fewer than `operations_min` operations were done.
void history_load_finish(uint32_t operations_min);

#endif
