// Three production reactors and a client's port in one process, over a network that hands buffers
// over without copying them, and a clock that only the program moves: for figures that must not
// depend on what else the machine does.
//
// Links between nodes have a length and lose frames; the client's have none. Disks complete writes
// after a random number of polls, in any order. Core, codec, log and the null state machine are
// those that ship; a driver's own cost is not in it.
#ifndef PONTOON_BENCH_VIRTUAL_WORLD_H
#define PONTOON_BENCH_VIRTUAL_WORLD_H

#include "engine/base/prng.h"
#include "engine/reactor/reactor.h"
#include "engine/wire/wire.h"

enum {
    VIRTUAL_NODES = 3,
    VIRTUAL_CLIENT = VIRTUAL_NODES, // the client's port: behind those of the nodes
    VIRTUAL_PORTS = VIRTUAL_NODES + 1,
    VIRTUAL_QUEUE = 2048, // frames on their way to a port; more are lost
    VIRTUAL_BUFFERS = 8192,
    VIRTUAL_FRAME_BYTES = 8960, // of the client, and of nodes unless told otherwise
    VIRTUAL_PAYLOAD_BYTES_MAX = 4096,
    VIRTUAL_TURN_NS = 10000, // while there is no leader yet
};

struct virtual_options {
    enum raft_order order;
    uint32_t look_behind; // parallel: as in raft_config
    uint32_t disk_polls;  // a write takes up to so many; each entry is one, 32 at once. 0: no disk
    uint32_t frame_bytes; // between nodes
    uint64_t delay_ns;    // ... each frame takes
    uint64_t lose_every;  // ... every so many-th is lost; 0: none
    uint32_t loss_ppm;    // ... or by chance
    uint64_t seed;
};

struct virtual_frame {
    struct net_frame frame;
    uint64_t due_ns;
};

// A reactor's view of the network: what is on its way to it, by the time it arrives.
struct virtual_port {
    struct net net; // first
    struct virtual_world *world;
    uint32_t number;
    uint32_t count;
    struct virtual_frame queue[VIRTUAL_QUEUE];
};

struct virtual_world {
    struct clock clock; // first
    uint64_t now_ns;
    struct virtual_options options;
    struct virtual_port ports[VIRTUAL_PORTS];
    uint8_t (*buffers)[VIRTUAL_FRAME_BYTES];
    uint8_t *free_buffers[VIRTUAL_BUFFERS];
    uint32_t free_count;
    struct reactor *reactors[VIRTUAL_NODES];
    struct disk *disks[VIRTUAL_NODES], *checkpoint_disks[VIRTUAL_NODES];
    void *arenas[VIRTUAL_NODES];
    uint32_t leader;        // VIRTUAL_NODES: none yet
    uint64_t session;       // of the client; 0: none yet
    uint64_t between_nodes; // frames since then
    struct prng prng;
    struct wire_scratch scratch;
};

// All nodes are up. Whatever fails ends the program with one line.
void virtual_open(struct virtual_world *world, const struct virtual_options *options);
void virtual_close(struct virtual_world *world);
_Noreturn void virtual_give_up(const char *what);

// Until there is a leader and the client has a session.
void virtual_begin(struct virtual_world *world);

// Proposes commands to the leader, as many as one frame holds. Result: how many; 0: no frame.
uint32_t virtual_propose(struct virtual_world *world, const struct raft_entry_head *heads,
                         const void *const *payloads, uint32_t count);
// Tells what became of each command that was answered.
typedef void (*virtual_answered)(void *context, const struct wire_result *result);
void virtual_take_answers(struct virtual_world *world, virtual_answered answered, void *context);

#endif
