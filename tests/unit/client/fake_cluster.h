// A cluster that is a script: a network in memory, and nodes that decode what the client sends with
// the production codec, execute each (session, sequence) once, and answer as they are told.
//
// Time is a number that only the test moves. Frames in either direction can be dropped, doubled and
// turned round.
#ifndef PONTOON_TESTS_FAKE_CLUSTER_H
#define PONTOON_TESTS_FAKE_CLUSTER_H

#include "engine/base/prng.h"
#include "engine/client/client.h"
#include "engine/wire/assembly.h"

enum {
    FAKE_NODES = 3,
    FAKE_BUFFERS = 256,
    FAKE_QUEUE = 4096,        // frames on their way to the client
    FAKE_SESSIONS = 64,       // ids FIRST_SESSION..
    FAKE_SEQUENCES = 1 << 17, // of a session
    FAKE_CLUSTER = 99,
    FAKE_FRAME_MAX = NET_FRAME_BYTES_MAX,
};

#define FAKE_MS UINT64_C(1000000)

enum fake_mood {
    FAKE_WELL,
    FAKE_SILENT, // hears nothing
    FAKE_BUSY,
    FAKE_FAILED,
    FAKE_DEAF,   // executes, but says nothing
    FAKE_LOSING, // executes, then says UNKNOWN
};

struct fake_session {
    uint64_t nonce, window;
    uint16_t group;
    bool is_evicted;
    uint64_t executed_count;
    uint64_t newest;
    uint32_t *values; // of each sequence, + 1; 0: not executed
};

struct fake_packet {
    uint32_t bytes;
    uint64_t due_ns;
    uint8_t data[FAKE_FRAME_MAX];
};

struct fake {
    struct net net; // first
    struct clock clock;
    uint64_t now_ns;
    uint32_t frame_bytes;

    uint16_t leader; // the node that serves; 0: none
    uint16_t hint;   // what the others say; 0: nothing
    enum fake_mood moods[FAKE_NODES + 1];
    uint64_t window_max; // granted
    bool holds_replies;  // answers wait in the queue
    uint64_t delay_ns;   // of answers but status
    bool is_reversed;    // answers arrive last first
    uint64_t state;      // what reads find; grows with each command
    uint32_t answer_bytes;
    int32_t read_error;  // negative: answers are this
    uint32_t answer_pad; // of the first part: changes how an answer is cut
    bool is_parallel;    // clients send ranges, and requests are expected to have fake_ranges

    // faults
    uint32_t drop_requests, drop_replies; // so many of the next
    uint32_t skip_replies;                // ... after so many
    bool doubles;
    uint32_t tx_limit; // frames send() takes at once; 0: none
    bool has_no_buffers;
    bool is_unresolved;
    uint32_t loss_percent;
    struct prng prng;

    struct fake_session sessions[FAKE_SESSIONS];
    uint32_t session_count;
    struct assembly *assembly;
    struct fake_packet **queue; // all of FAKE_QUEUE packets, those under way first
    struct fake_packet *packets;
    uint32_t queue_count;
    uint8_t *buffers;
    bool is_taken[FAKE_BUFFERS];
    uint32_t taken;
    struct wire_scratch scratch;
    struct wire_reader reader;

    // what was seen
    uint64_t clients_opened;
    uint64_t frames[FAKE_NODES + 1], messages, commands, fragments, registers, reads, statuses;
    uint64_t repeats; // commands that had been executed before
    uint64_t bad_entries, contradictions;
    uint64_t declaring;    // commands and reads that came with ranges
    uint64_t wrong_ranges; // ... or without, where others were expected
};

struct fake *fake_open(uint32_t frame_bytes);
void fake_close(struct fake *fake);

// A client of it with these settings (0: default).
struct client *fake_client(struct fake *fake, uint32_t groups, uint32_t depth, uint64_t give_up_ns);
// Polls `polls` times, time moving by step_ns before each.
void fake_run(struct fake *fake, struct client *client, uint32_t polls, uint64_t step_ns);
// Until nothing is in flight, at most so long. True: nothing is.
bool fake_run_out(struct fake *fake, struct client *client, uint64_t time_ns);

// The ranges that a command or query whose payload begins with `value` declares. Result: how many.
uint32_t fake_ranges(uint32_t value, struct pontoon_range *ranges);
// Of every node.
void fake_moods(struct fake *fake, enum fake_mood mood);
void fake_evict_sessions(struct fake *fake);
// The byte at `offset` of the answer to a read at this state.
uint8_t fake_answer_byte(uint64_t state, uint32_t offset);
// Puts any bytes into the client's queue.
void fake_inject(struct fake *fake, const void *frame, uint32_t bytes);
// Begins and ends a frame of node `from` to the client.
void fake_begin(struct fake *fake, struct wire_writer *writer, uint8_t *frame, uint16_t from);
void fake_finish(struct fake *fake, struct wire_writer *writer);

#endif
