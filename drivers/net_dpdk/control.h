// When may a port change under the reactors? Keeps EAL's interrupt thread and the reactors out of
// each other's way.
//
// net_memif of DPDK 22.11 takes a connection apart in EAL's interrupt thread at the moment its peer
// dies, without a lock: it unmaps the shared memory. A thread that stops or closes the same port at
// that moment dies of a segmentation fault (seen each time both ends were closed in one process); a
// reactor preempted in the middle of a burst would, too (seen in the source; rare: not met in 240
// kills). So, while a driver with memif links is open:
//
//   * the interrupt thread is parked in a callback of ours, unless there is something for it to do;
//   * the keeper, a thread of this module, sleeps until there is; then it closes the gate, waits
//   until no reactor is inside a
//     burst, lets the interrupt thread work its events off, parks it again, opens the gate;
//   * a reactor passes the gate at each receive(), send() and poll(): two stores and a load, no
//   fence, because the
//     keeper issues membarrier(2) between closing the gate and looking at the reactors;
//   * ports are stopped, started and removed inside control_begin .. control_end only;
//   * memif clients whose server is gone are started again by the keeper, so no reactor waits for a
//   system call.
//
// When the last driver with memif links leaves, the interrupt thread first works off what their
// removal left it to do, so that rte_eal_cleanup() may follow at once.
//
// While the gate is closed (tens of microseconds, when a peer comes or goes) reactors receive and
// send nothing.
#ifndef PONTOON_NET_DPDK_CONTROL_H
#define PONTOON_NET_DPDK_CONTROL_H

#include <stdatomic.h>
#include <stdbool.h>

struct driver;

// True: no burst may begin. Written by control.c; pairs with view->in_burst through membarrier.
extern atomic_bool control_gate_closed;

// Puts a driver under supervision (its ports are started), and takes it out (before they are
// closed). 0 or -errno.
int control_join(struct driver *driver);
void control_leave(struct driver *driver);

// Between these no reactor is inside a burst and the interrupt thread does nothing. May wait some
// microseconds; not for reactors' hot paths, and never nested.
void control_begin(void);
void control_end(void);

// The keeper looks at the links again now: one was set down or up.
void control_wake(void);

#endif
