// Pontoon: a replication engine that bypasses the kernel. This is the one public header.
//
// A node replicates the logs of its groups to its peers and applies what is committed to state
// machines. It never calls exit, never owns main, argv or the EAL (an initialised one is adopted),
// and prints nothing.
//
// Threads: functions ending in _mt may be called by any thread at any time; all others by the
// thread that opened the node. Callbacks run on the reactor's thread (the caller of pontoon_poll,
// or the node's own thread): they must not block. Errors: 0 or a positive count is success,
// negative is -errno; `reason` (where there is one) gets one line: what, where, how to mend.
#ifndef PONTOON_H
#define PONTOON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PONTOON_API __attribute__((visibility("default")))

enum {
    PONTOON_NODES_MAX = 7,
    PONTOON_CLIENTS_MAX = 8,
    PONTOON_LINKS_MAX = 16, // of one node
    PONTOON_REACTORS_MAX = 8,
    PONTOON_GROUPS_MAX = 4096,
    PONTOON_PAYLOAD_BYTES_MAX = 1 << 20,
    PONTOON_QUERY_BYTES_MAX = 1280,
    PONTOON_RANGES_MAX = 8, // of one command or query
    PONTOON_PATH_BYTES = 256,
    PONTOON_IMPAIR_MAX = 16, // faults of one node
};

// ----------------------------------------------------------------------------------------------------
// settings

enum pontoon_driver { PONTOON_DRIVER_DPDK, PONTOON_DRIVER_UDP };
enum pontoon_durability { PONTOON_FSYNC, PONTOON_MEMORY };
enum pontoon_order { PONTOON_STRICT, PONTOON_PARALLEL };
// Parallel groups: what a replica may apply beyond entries that it lacks. Whatever does not depend
// on them, which the leader says of each entry; or, for comparison with PolarFS, only what is not
// behind more than `look_behind` of them in a row.
enum pontoon_apply { PONTOON_APPLY_DEPENDS_ON, PONTOON_APPLY_LOOK_BEHIND };
enum pontoon_idle { PONTOON_IDLE_AUTO, PONTOON_IDLE_SPIN, PONTOON_IDLE_YIELD, PONTOON_IDLE_SLEEP };

// One port of a node (or of a client), and who is reached through it.
struct pontoon_link {
    char device[192]; // DPDK vdev with arguments or PCI address; empty for udp
    uint32_t ipv4;    // our address on it, host byte order
    uint8_t prefix_bits;
    uint16_t frame_bytes; // largest UDP payload
    uint64_t nodes;       // bit (id - 1): that node is reached through this link
};

// A node, or a client place (its own address and links, used by the client library and `pontoon
// bench`).
struct pontoon_member {
    uint16_t id;   // nodes: 1..64; clients: 1..PONTOON_CLIENTS_MAX
    uint32_t ipv4; // the address others use
    struct pontoon_link links[PONTOON_LINKS_MAX];
    uint32_t link_count;
};

// Faults injected by this node's own net_impair, for tests and experiments. The first that matches
// a frame decides about it.
struct pontoon_impair {
    uint16_t node;  // traffic with that node; 0: with every node (clients are never impaired)
    bool inbound;   // direction, seen from this node
    uint64_t types; // bit t: frames that carry a message of wire type t; 0: every frame
    uint32_t loss_ppm, duplicate_ppm, reorder_ppm, corrupt_ppm;
    uint32_t burst_ppm, burst_frames; // chance that up to so many frames in a row are lost
    uint32_t clog_ppm;                // chance that frames are held
    uint64_t clog_ns;                 // ... for so long
    uint64_t delay_ns, jitter_ns;
    bool cut;
};

struct pontoon_config {
    uint64_t cluster; // must be the same on all nodes
    uint16_t node;    // our id; 0 for a client
    uint16_t client;  // our client place; 0 for a node
    struct pontoon_member nodes[PONTOON_NODES_MAX];
    uint32_t node_count;
    struct pontoon_member clients[PONTOON_CLIENTS_MAX];
    uint32_t client_count;

    enum pontoon_driver driver;
    uint16_t udp_port;    // of class 0
    uint32_t buffers_mib; // frame buffers
    bool hugepages;       // use them when there are any (default true)
    char eal[512];        // further EAL arguments
    struct pontoon_impair impair[PONTOON_IMPAIR_MAX];
    uint32_t impair_count;
    uint64_t impair_seed;
    bool impair_runtime; // pontoon_impair_mt may change them

    uint32_t groups; // group ids 0..groups-1
    enum pontoon_order order;
    enum pontoon_apply apply;
    uint32_t look_behind;    // PONTOON_APPLY_LOOK_BEHIND: 1..2048, at most a quarter of log_entries
    char app[32];            // state machine: "kv", "block", "null"
    uint32_t app_memory_mib; // of one group's state machine
    bool app_file;           // "block": the content is in a file below `directory`, not in memory
    uint32_t log_entries;    // kept in memory, a group; power of two
    uint32_t session_pages;  // of 1024 sequences, a group; the same on every node
    uint32_t window_entries; // in flight to one peer
    uint32_t window_kib;

    enum pontoon_durability durability;
    char directory[PONTOON_PATH_BYTES]; // meta, log, checkpoints
    uint32_t log_mib;                   // arena and file
    uint32_t log_batch_kib;             // a write to the log is closed when it holds this much
    uint32_t log_writes;                // ... and so many are under way at once
    uint32_t checkpoint_mib; // fsync: checkpoint after this much new log (0: half of log_mib)
    bool bootstrap;          // first start: create the directory's files

    uint64_t election_timeout_min_ns, election_timeout_max_ns, heartbeat_ns;
    uint32_t reactors;                       // poll-mode cores
    int16_t cores[PONTOON_REACTORS_MAX + 1]; // CPU of each reactor; -1: not pinned
    uint32_t apply_workers;                  // 0: inline
    enum pontoon_idle idle;
    char control[PONTOON_PATH_BYTES]; // path of the control socket; empty: DIRECTORY/control
};

// Fills every field with its default.
PONTOON_API void pontoon_config_init(struct pontoon_config *config);
// Reads a YAML file (config/cluster.yaml documents every key) for node `node`, or for client place
// `client` (the other is 0). Unknown keys, bad addresses, duplicate ids and impossible combinations
// are refused. -EINVAL, -ENOENT, -EACCES...
PONTOON_API int pontoon_config_load(struct pontoon_config *config, const char *path, uint16_t node,
                                    uint16_t client, char *reason, size_t reason_bytes);
// The checks of pontoon_config_load alone, for configurations filled in by hand.
PONTOON_API int pontoon_config_check(const struct pontoon_config *config, char *reason,
                                     size_t reason_bytes);

// --------------------------------------------------------------------------------------------------------
// node

struct pontoon;
struct app; // a state machine of your own: <pontoon/app.h> (engine/driver_api/app.h)

// How a proposal or read ended. The numbers are those of the wire (wire_status).
enum pontoon_status {
    PONTOON_DONE = 0,
    PONTOON_NOT_LEADER = 1, // nothing was done
    PONTOON_BUSY = 2,       // nothing was done; back-pressure
    PONTOON_EXPIRED = 3, // the session is gone: whether older commands were done is not known here
    PONTOON_OUTSIDE_WINDOW = 4, // nothing was done
    PONTOON_INVALID = 5,        // nothing was done
    PONTOON_UNKNOWN = 6,        // it may or may not come to be
    PONTOON_FAILED = 7,         // the node cannot serve
};

struct pontoon_result {
    enum pontoon_status status;
    uint32_t value; // the state machine's result, when DONE
    uint64_t index; // log index, when DONE
};

typedef void pontoon_done(void *context, const struct pontoon_result *result);
// answer is valid during the call; bytes < 0: -errno of the state machine's read.
typedef void pontoon_answer(void *context, enum pontoon_status status, const void *answer,
                            int32_t bytes);

enum pontoon_role { PONTOON_FOLLOWER, PONTOON_PRE_CANDIDATE, PONTOON_CANDIDATE, PONTOON_LEADER };
typedef void pontoon_role_change(void *context, uint16_t group, enum pontoon_role role,
                                 uint64_t term, uint16_t leader);

// What a command touches or a query looks at, [start, start + length), of a key space of 64 bits
// that the caller lays out as it likes (block addresses, hashes of keys). length ≥ 1, start +
// length ≤ 2^64.
struct pontoon_range {
    uint64_t start, length;
};

// A command (or a query) and what it touches, for the functions with `ranges` in their names.
//
// For parallel groups whose state machine has no `footprint` function, because payloads do not show
// what they touch. Declaring ranges is a promise: two commands whose ranges do not overlap commute
// in the state machine; whatever the order in which they are applied, results and state are the
// same. Where that is wrong, replicas differ. Commands that overlap are applied in one order
// everywhere, and a read of a range sees every committed command that overlaps it. A state machine
// that has a `footprint` (or, for queries, `query_footprint`) decides by itself, and strict groups
// keep one order anyway: ranges are then checked and not used, so that one code serves all.
struct pontoon_command {
    const void *payload;
    uint32_t bytes;
    uint32_t range_count; // ≤ PONTOON_RANGES_MAX. 0: not said: it conflicts with everything
    const struct pontoon_range *ranges; // no two of them overlap; copied
};

struct pontoon_options {
    // A state machine for each group, in place of config->app: returns 0 and *app, or -errno. NULL:
    // by name.
    int (*app_open)(void *context, uint16_t group, struct app **app);
    pontoon_role_change *role_change; // may be NULL
    void *context;                    // of both
};

// Opens a node: EAL (unless already there), links, log, recovery. options may be NULL. Nothing runs
// yet.
PONTOON_API int pontoon_open(const struct pontoon_config *config,
                             const struct pontoon_options *options, struct pontoon **node,
                             char *reason, size_t reason_bytes);
// Either: the node runs its own threads,
PONTOON_API int pontoon_start(struct pontoon *node);
// ... or: the caller polls (one reactor). True when there was work.
PONTOON_API bool pontoon_poll(struct pontoon *node);
// Stops accepting, drains what was accepted (bounded by timeout_ns), flushes, stops the threads.
// -ETIMEDOUT: something accepted is still unanswered. A stopped node stays stopped.
PONTOON_API int pontoon_stop(struct pontoon *node, uint64_t timeout_ns);
// Whatever is unanswered is answered PONTOON_UNKNOWN (or PONTOON_NOT_LEADER: nothing was done)
// before this returns. No other thread may be inside a function of the node. An EAL that
// pontoon_open started stays up, for the next node of this process.
PONTOON_API void pontoon_close(struct pontoon *node);
// A few lines about how the node was set up (EAL line, idle policy, memory). Valid until close.
PONTOON_API const char *pontoon_describe(const struct pontoon *node);

// Proposes a command at the leader. The payload is copied. Result 0: done will be called exactly
// once; -EAGAIN: mailbox full, nothing happened; -EINVAL: group, size or ranges; -ESHUTDOWN: after
// pontoon_stop. Commands proposed here carry no session: they are never retried by the library, so
// a caller that retries after PONTOON_UNKNOWN must make its commands idempotent, or use a client.
PONTOON_API int pontoon_propose_mt(struct pontoon *node, uint16_t group, const void *payload,
                                   uint32_t bytes, pontoon_done *done, void *context);
PONTOON_API int pontoon_propose_ranges_mt(struct pontoon *node, uint16_t group,
                                          const struct pontoon_command *command, pontoon_done *done,
                                          void *context);
// A linearizable read at the leader (ReadIndex). Results as of pontoon_propose_mt; a query has at
// most PONTOON_QUERY_BYTES_MAX.
PONTOON_API int pontoon_read_mt(struct pontoon *node, uint16_t group, const void *query,
                                uint32_t bytes, pontoon_answer *answer, void *context);
PONTOON_API int pontoon_read_ranges_mt(struct pontoon *node, uint16_t group,
                                       const struct pontoon_command *query, pontoon_answer *answer,
                                       void *context);

// Completions without callbacks: a bounded ring, and a descriptor for poll, epoll or io_uring that
// is readable while the ring may hold something. Reactors write to the descriptor once a burst: not
// again before the events were looked at.
//
//     pontoon_propose_event_mt(node, 0, command, bytes, events, token);      any thread, any number
//     poll({pontoon_events_fd(events), POLLIN}); count = pontoon_events_take(events, array, 64);
//     one thread
struct pontoon_events;

struct pontoon_event {
    uint64_t token; // as given with the proposal
    struct pontoon_result result;
};

// capacity: proposals accepted and not yet taken, 1..1048576, of all nodes and threads that use
// these events.
PONTOON_API int pontoon_events_open(uint32_t capacity, struct pontoon_events **events);
// Every proposal must have been taken, or its node closed.
PONTOON_API void pontoon_events_close(struct pontoon_events *events);
PONTOON_API int pontoon_events_fd(const struct pontoon_events *events);
// As pontoon_propose_mt; -EAGAIN also while `capacity` proposals are accepted and not yet taken.
// Result 0: there will be exactly one event.
PONTOON_API int pontoon_propose_event_mt(struct pontoon *node, uint16_t group, const void *payload,
                                         uint32_t bytes, struct pontoon_events *events,
                                         uint64_t token);
PONTOON_API int pontoon_propose_event_ranges_mt(struct pontoon *node, uint16_t group,
                                                const struct pontoon_command *command,
                                                struct pontoon_events *events, uint64_t token);
// Up to `max` completions, in no order. Never waits. One thread at a time. When some are left the
// descriptor stays readable.
PONTOON_API uint32_t pontoon_events_take(struct pontoon_events *events, struct pontoon_event *array,
                                         uint32_t max);

struct pontoon_group_status {
    enum pontoon_role role;
    uint16_t leader; // 0: unknown
    bool intact;     // holds every entry it ever acknowledged
    bool halted;     // memory: a majority lost its entries
    bool failed;     // its device failed
    uint64_t term, last, synced, commit, applied, digest;
};
// A snapshot of one group (the reactor answers within one poll iteration; waits for it). -ETIMEDOUT
// when it does not run (for two seconds). Callbacks may ask too, about groups of their own reactor.
PONTOON_API int pontoon_status_mt(struct pontoon *node, uint16_t group,
                                  struct pontoon_group_status *status);

// Replaces the faults that this node injects: all of them, or with an error none. -EINVAL;
// -ENOTSUP: the configuration does not allow it (impair_runtime); -ETIMEDOUT: a reactor does not
// run (with several, others may have changed). Waits for one poll iteration of each reactor.
PONTOON_API int pontoon_impair_mt(struct pontoon *node, const struct pontoon_impair *rules,
                                  uint32_t count, char *reason, size_t reason_bytes);

// ------------------------------------------------------------------------------------------------------
// client

// A client of a cluster, over one of its provisioned client places. It follows redirects, retries
// with the same (session, sequence) and so is exactly-once. Single thread: pontoon_client_poll
// makes everything happen, callbacks included.
struct pontoon_client;

struct pontoon_client_options {
    uint32_t
        depth_max; // commands in flight, 1..65536 (default 256): asked for as the session's window
    uint64_t attempt_timeout_ns; // resend after this (default 100 ms)
    uint64_t give_up_ns;         // then the result is UNKNOWN (default 10 s; 0: never)
};

PONTOON_API int pontoon_client_open(const struct pontoon_config *config,
                                    const struct pontoon_client_options *options,
                                    struct pontoon_client **client, char *reason,
                                    size_t reason_bytes);
PONTOON_API void pontoon_client_close(struct pontoon_client *client);
// True when there was work. Call often; when false, the caller may yield.
PONTOON_API bool pontoon_client_poll(struct pontoon_client *client);
// -EAGAIN: depth reached, poll first; -EINVAL: group, size or ranges. The payload is copied.
PONTOON_API int pontoon_client_propose(struct pontoon_client *client, uint16_t group,
                                       const void *payload, uint32_t bytes, pontoon_done *done,
                                       void *context);
PONTOON_API int pontoon_client_propose_ranges(struct pontoon_client *client, uint16_t group,
                                              const struct pontoon_command *command,
                                              pontoon_done *done, void *context);
PONTOON_API int pontoon_client_read(struct pontoon_client *client, uint16_t group,
                                    const void *query, uint32_t bytes, pontoon_answer *answer,
                                    void *context);
// A query and its ranges must fit one frame together (8 + 16 × range_count bytes more), or the
// answer is PONTOON_INVALID.
PONTOON_API int pontoon_client_read_ranges(struct pontoon_client *client, uint16_t group,
                                           const struct pontoon_command *query,
                                           pontoon_answer *answer, void *context);
// Status of one replica; the digest is computed when asked for. status via callback: status NULL
// when it did not answer.
typedef void pontoon_client_status_done(void *context, uint16_t node,
                                        const struct pontoon_group_status *status);
PONTOON_API int pontoon_client_status(struct pontoon_client *client, uint16_t node, uint16_t group,
                                      bool want_digest, pontoon_client_status_done *done,
                                      void *context);
PONTOON_API uint32_t pontoon_client_in_flight(const struct pontoon_client *client);

struct pontoon_client_counters {
    uint64_t proposed, done, failed, unknown, resent, redirected, busy, expired;
};
PONTOON_API void pontoon_client_counters(const struct pontoon_client *client,
                                         struct pontoon_client_counters *out);

#ifdef __cplusplus
}
#endif

#endif
