// What the commands that are clients of a cluster share: opening a client place, polling it, asking
// replicas.
#ifndef PONTOON_DRIVERS_CLI_CLI_CLIENT_H
#define PONTOON_DRIVERS_CLI_CLI_CLIENT_H

#include "drivers/cli/cli.h"

struct cli_client {
    const struct cli_arguments *arguments;
    struct pontoon_config config;
    struct pontoon_client *client;
    uint32_t idle_polls; // in a row
};

// From --config and --client (and EAL arguments behind --). CLI_OK, or the exit status of a failure
// that was reported.
int cli_client_open(struct cli_client *client, const struct cli_arguments *arguments,
                    const struct pontoon_client_options *options);
void cli_client_close(struct cli_client *client);

// Polls; gives the CPU away when there is nothing to do, and sleeps a little when there has not
// been for long.
void cli_client_poll(struct cli_client *client);

// One command, or one read, waited for. CLI_OK, or the exit status of a failure that was reported.
int cli_client_propose(struct cli_client *client, uint16_t group, const void *payload,
                       uint32_t bytes, uint32_t *value);
// The answer goes to `answer`; *answer_bytes < 0: -errno of the state machine.
int cli_client_read(struct cli_client *client, uint16_t group, const void *query, uint32_t bytes,
                    void *answer, uint32_t answer_capacity, int32_t *answer_bytes);

// Status of one replica, waited for. False: it did not answer.
bool cli_client_status(struct cli_client *client, uint16_t node, uint16_t group, bool want_digest,
                       struct pontoon_group_status *status);

// What replicas are compared for.
enum replicas_verdict { REPLICAS_EQUAL, REPLICAS_DIFFER, REPLICAS_SILENT, REPLICAS_BEHIND };

struct replicas {
    enum replicas_verdict verdict;
    uint16_t group, node;                // which one is silent, behind or different
    uint64_t applied[PONTOON_NODES_MAX]; // by place in the configuration, summed over groups
    uint64_t digest;                     // of the last group compared
};

// Waits until all replicas of every group have applied the same index, and compares their digests
// (where wanted).
// Bounded by timeout_ns.
void cli_client_compare(struct cli_client *client, bool with_digest, uint64_t timeout_ns,
                        struct replicas *replicas);

// Monotonic.
uint64_t cli_now_ns(void);

#endif
