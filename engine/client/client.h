// The client of a cluster: proposes commands exactly once, reads linearizably, follows the leader.
//
// One session a group: a REGISTER with a random nonce opens it, commands are numbered in it, and
// whatever is sent again carries the same (session, sequence), so that the replicas execute it
// once. The caller polls; everything happens in client_poll, callbacks included. Callbacks may
// propose, read and ask for status, but neither poll nor close.
//
// Memory: client_open takes what all groups share; the first command of a group takes its ring
// (depth_max commands and payload_bytes). Nothing is allocated for a command or read.
//
// Single thread. Nothing a node sends can reach an assertion.
#ifndef PONTOON_CLIENT_CLIENT_H
#define PONTOON_CLIENT_CLIENT_H

#include "engine/core/types.h"
#include "engine/driver_api/clock.h"
#include "engine/driver_api/net.h"
#include "engine/pontoon.h"
#include "engine/wire/wire.h"

enum {
    CLIENT_DEPTH_MAX = 65536,
    CLIENT_READS_MAX = 2048,       // waiting at once
    CLIENT_QUERY_BYTES_MAX = 1280, // what a node takes
    CLIENT_ANSWER_BYTES_MAX = (1 << 20) + 64,
    CLIENT_LARGE_ANSWERS_MAX = 8, // answers of several frames put together at once
    CLIENT_STATUS_MAX = 64,       // status requests waiting
};

struct client_config {
    uint64_t cluster;
    uint16_t nodes[RAFT_NODES_MAX]; // ids
    uint32_t node_count;
    uint32_t groups;             // group ids below this exist
    uint32_t depth_max;          // commands in flight, a group: 1..CLIENT_DEPTH_MAX
    uint32_t reads_max;          // 1..CLIENT_READS_MAX
    uint64_t payload_bytes;      // of commands in flight, a group; 0: by depth. A power of two
    uint64_t attempt_timeout_ns; // an unanswered attempt is repeated after this, or three times the
                                 // usual latency where that is longer
    uint64_t give_up_ns;         // then the result is UNKNOWN; 0: never
    uint64_t status_give_up_ns;  // then a status is NULL
    bool sends_ranges; // the groups are parallel; strict ones have no use for what commands declare
    uint64_t seed;     // random: nonces of sessions come from it
    struct net *net;
    struct clock *clock;
};

// Everything but cluster, nodes, groups, seed, net and clock.
void client_config_init(struct client_config *config);

struct client;

// 0, -EINVAL (a value outside its range) or -ENOMEM. net and clock stay the caller's.
int client_open(const struct client_config *config, struct client **client);
// Commands in flight end as UNKNOWN, reads likewise; their callbacks run.
void client_close(struct client *client);

// True when there was work.
bool client_poll(struct client *client);

// 0: done will be called exactly once. Payload and ranges are copied. -EAGAIN: depth, session
// window or payload memory is used up, poll first; -EINVAL: group, size or ranges; -ENOMEM: first
// command of a group. result.index is 0: nodes do not tell clients.
int client_propose_ranges(struct client *client, uint16_t group,
                          const struct pontoon_command *command, pontoon_done *done, void *context);
// As above. The answer is valid during the callback.
int client_read_ranges(struct client *client, uint16_t group, const struct pontoon_command *query,
                       pontoon_answer *answer, void *context);

// The same without ranges.
static inline int client_propose(struct client *client, uint16_t group, const void *payload,
                                 uint32_t bytes, pontoon_done *done, void *context)
{
    const struct pontoon_command command = {.payload = payload, .bytes = bytes};
    return client_propose_ranges(client, group, &command, done, context);
}
static inline int client_read(struct client *client, uint16_t group, const void *query,
                              uint32_t bytes, pontoon_answer *answer, void *context)
{
    const struct pontoon_command command = {.payload = query, .bytes = bytes};
    return client_read_ranges(client, group, &command, answer, context);
}
// -EINVAL: group or node; -EAGAIN: too many wait. halted and failed are not told to clients: false.
// A digest of 0 was not given.
int client_status(struct client *client, uint16_t node, uint16_t group, bool want_digest,
                  pontoon_client_status_done *done, void *context);

// Commands and reads whose callback has not run yet.
uint32_t client_in_flight(const struct client *client);
// The node that last served this group, as far as known; 0: none yet.
uint16_t client_leader(const struct client *client, uint16_t group);

struct client_counters {
    struct pontoon_client_counters commands;
    uint64_t frames_in, frames_out;
    uint64_t refused[WIRE_REFUSALS]; // frames and messages by reason
    uint64_t stale;                  // answers that nobody waited for
    uint64_t sessions;               // opened
    uint64_t probes;
};
void client_counters(const struct client *client, struct client_counters *out);

#endif
