// A cluster of cluster_files.h comes up, finds a leader, makes progress: what commands that run one
// wait for.
#ifndef PONTOON_DRIVERS_CLI_CLUSTER_WAIT_H
#define PONTOON_DRIVERS_CLI_CLUSTER_WAIT_H

#include "drivers/cli/cluster_files.h"

// All of these: true, or false with a reason.

// Starts every node for the first time.
bool cluster_start(struct cluster *cluster, char *reason, size_t reason_bytes);
// No node ended by itself.
bool cluster_is_whole(struct cluster *cluster, char *reason, size_t reason_bytes);
// A majority agrees on a leader that is not `except`, within so many seconds.
bool cluster_wait_for_leader(struct cluster *cluster, int except, uint32_t timeout_s, int *leader,
                             char *reason, size_t reason_bytes);
// All nodes that run answer on their control sockets.
bool cluster_wait_for_all(struct cluster *cluster, uint32_t timeout_s, char *reason,
                          size_t reason_bytes);

// How far the node has applied group 0; 0 when it does not answer.
long long cluster_applied(const struct cluster *cluster, int id);

#endif
