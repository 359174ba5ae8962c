// CPU time and memory of the nodes of a cluster on this machine.
//
// By pid, from /proc: all the CPU they used, idle polling included, and their memory. By control
// socket: CPU time in polls that did work, which is what a commit costs when pollers never sleep.
#ifndef PONTOON_BENCH_USAGE_H
#define PONTOON_BENCH_USAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/pontoon.h"

struct usage {
    bool has_cpu, has_busy;
    double cpu_s;          // user and system, of all pids
    double busy_s;         // of all reactors of all nodes
    uint64_t memory_bytes; // resident and huge pages, of all pids
};

// Parses "123,456,789". Result: how many, at most max; 0: not a list of pids.
uint32_t usage_parse_pids(const char *text, pid_t *pids, uint32_t max);

// Takes a look. What cannot be had is marked as absent.
void usage_of_pids(struct usage *usage, const pid_t *pids, uint32_t count);
// Sockets: the paths of the nodes' control sockets. `ask` is control_ask of the program.
void usage_of_sockets(struct usage *usage, const char (*paths)[PONTOON_PATH_BYTES + 16],
                      uint32_t count,
                      int (*ask)(const char *path, const char *request, char **answer));

#endif
