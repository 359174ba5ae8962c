// Keeps EAL's interrupt thread alive when net_memif leaves a closed descriptor behind.
//
// When a peer connects to a memif server and is gone again before the server greets it, DPDK 22.11
// closes the connection's descriptor but forgets to take it out of EAL's list of interrupt sources;
// the next time that list changes, the thread panics on it
// ("Error adding fd N epoll_ctl, Bad file descriptor") and the process dies. The number is one of
// the lowest free ones, because accept() had just been given it. So, while the thread is parked and
// about to look at its list, those numbers are occupied by a descriptor that is never readable;
// afterwards all but the ones that EAL now watches are let go.
#ifndef PONTOON_NET_DPDK_PLUGS_H
#define PONTOON_NET_DPDK_PLUGS_H

#include <stdbool.h>

// One thread at a time (the keeper).
void plugs_fill(void);
// is_watched: does EAL's current epoll instance watch this descriptor? Such a plug stays for good:
// it stands in a forgotten source's place, one for every such accident.
void plugs_release(bool (*is_watched)(int fd));

#endif
