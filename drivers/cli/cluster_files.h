// A cluster of `pontoon` processes on this machine, in a directory of its own: for the
// demonstration and for tests/cluster.
#ifndef PONTOON_DRIVERS_CLI_CLUSTER_FILES_H
#define PONTOON_DRIVERS_CLI_CLUSTER_FILES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { CLUSTER_NODES = 3, CLUSTER_PATH_BYTES = 160 };

struct cluster {
    const char *link;       // memif, af_packet, udp
    const char *durability; // memory, fsync
    const char *order;      // strict, parallel; NULL: strict
    const char *settings;   // further lines of the configuration; NULL: none
    const char *name;       // its directory is NAME-XXXXXX; NULL: pontoon-demo
    bool is_isolated;       // a network namespace of its own on every link (af_packet always has)
    uint64_t number;        // of the cluster
    char directory[CLUSTER_PATH_BYTES];
    char config[CLUSTER_PATH_BYTES + 16];
    char program[4096];             // empty: the running one
    pid_t nodes[CLUSTER_NODES + 1]; // by id; 0: not running
};

// Makes the directory and the configuration; for af_packet also a network namespace with a bridge.
// The caller's process moves into the namespace, so it must have one thread. 0 or -errno with a
// reason.
int cluster_create(struct cluster *cluster, const char *parent, char *reason, size_t reason_bytes);
// Removes the directory; with `keep` only the processes end.
void cluster_destroy(struct cluster *cluster, bool keep);

int cluster_start_node(struct cluster *cluster, int id, bool bootstrap);
// af_packet: takes the cable of a member (nodes by id, then the client) out, or puts it back. 0:
// done.
int cluster_set_link(int member, bool is_up);
// Runs `ip LINE`. 0: it exited with 0.
int cluster_ip(const char *line);

// Did node `id` end by itself? Then its last line of output.
bool cluster_has_died(struct cluster *cluster, int id, char *line, size_t bytes);
void cluster_signal_node(struct cluster *cluster, int id, int signal);

// Moves the leader to the first CPU and everybody else to the last one: places that do not change
// from run to run.
void cluster_place(const struct cluster *cluster, int leader);
// All threads of a process to one CPU; -1: to any. Who is started later inherits it.
void cluster_pin(pid_t pid, int cpu);
// Tells a node what faults to inject (impair_words.h; it needs `impair_runtime: true`). 0 or
// -errno.
int cluster_impair(const struct cluster *cluster, int id, const char *words);

// Starts `pontoon ARGUMENTS... --config FILE --client 1`. Result: its pid.
pid_t cluster_run(const struct cluster *cluster, const char *const *arguments);

// Status of a node (to be json_decref'ed), or NULL when it does not answer.
json_t *cluster_status(const struct cluster *cluster, int id);
// Id of the leader of group 0 as most nodes see it, or 0.
int cluster_leader(const struct cluster *cluster);

#endif
