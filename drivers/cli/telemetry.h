// The node's numbers for DPDK's telemetry: endpoints under /pontoon/, one object each, readable
// with the stock client.
//
//     /pontoon/node          who it is and how it was set up
//     /pontoon/groups        all groups, counted by state
//     /pontoon/group,ID      one group
//     /pontoon/peers,ID      that group's view of the other nodes
//     /pontoon/reactor,N     one reactor's counters
//     /pontoon/net,N         its network's counters
//
// An object is flat (DPDK 22.11 nests nothing but arrays, and caps a reply at 16 KiB): what
// `pontoon status --json` nests is named outer/inner here. null: there is no such object, or its
// reactor does not answer.
#ifndef PONTOON_DRIVERS_CLI_TELEMETRY_H
#define PONTOON_DRIVERS_CLI_TELEMETRY_H

#include <stddef.h>

#include "engine/pontoon.h"

// Makes `node` answer. 0, and how to ask it in `how` (one line); -ENOTSUP: there is no EAL, or it
// serves no telemetry.
int telemetry_start(struct pontoon *node, char *how, size_t how_bytes);
// The endpoints answer null from now on. To be called before the node is closed, started or not.
void telemetry_stop(void);

#endif
