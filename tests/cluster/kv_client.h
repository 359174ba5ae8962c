// A client made of nothing but engine/wire and a kernel UDP socket: it reaches nodes over udp, and
// over af_packet from the bridge's last port. It can be as rude as a test wants: double frames,
// never read, send garbage.
//
// A command is sent under its (session, sequence) until it is answered, so it takes effect once
// whatever happens to nodes meanwhile; a command without an answer in BED_PATIENCE_MS fails the
// case.
#ifndef PONTOON_TESTS_CLUSTER_KV_CLIENT_H
#define PONTOON_TESTS_CLUSTER_KV_CLIENT_H

#include "drivers/app_kv/kv_command.h"
#include "engine/wire/wire.h"

enum {
    KV_CLIENT_FRAME_BYTES = 1472,
    KV_CLIENT_BATCH_MAX = 12, // commands of one frame
    KV_CLIENT_MANY = 24,
    KV_CLIENT_VALUE_BYTES = 40,
};

struct kv_client {
    int socket;
    uint16_t leader; // where to ask first
    int attempt_ms;  // silence after which to ask another
    uint64_t session;
    uint64_t sequence; // of the next command
    uint64_t requests; // number of the last read
    uint64_t redirects, retries;
    struct wire_scratch scratch;
};

// Opens client place 1 to 8 of the bed's cluster and registers a session. False: this network
// cannot be reached from the kernel (a reason is printed).
bool kv_client_open(struct kv_client *client, int place);
void kv_client_close(struct kv_client *client);

uint32_t kv_client_put(struct kv_client *client, const char *key, const char *value);
// expected NULL: the key must not exist.
uint32_t kv_client_swap(struct kv_client *client, const char *key, const char *expected,
                        const char *value);
uint32_t kv_client_delete(struct kv_client *client, const char *key);
// A linearizable read. False: no such key.
bool kv_client_get(struct kv_client *client, const char *key, char *value, uint32_t capacity);

// The same of one node, once, whether it leads or not, and no longer than wait_ms.
enum kv_client_answer { KV_CLIENT_FOUND, KV_CLIENT_ABSENT, KV_CLIENT_NO_ANSWER };
enum kv_client_answer kv_client_ask(struct kv_client *client, uint16_t node, const char *key,
                                    int wait_ms, char *value, uint32_t capacity);

// Pairs number [first, first + count): put in batches, or read back and compared.
void kv_client_fill(struct kv_client *client, uint32_t first, uint32_t count);
void kv_client_verify(struct kv_client *client, uint32_t first, uint32_t count);

// For rude clients: the frame of one command, or of many small ones (at most KV_CLIENT_MANY), under
// sequences from `sequence` on, to `node`; a frame as it is; what comes.
uint32_t kv_client_frame(struct kv_client *client, uint16_t node, uint64_t sequence,
                         const struct kv_command *command, uint8_t frame[KV_CLIENT_FRAME_BYTES]);
uint32_t kv_client_frame_many(struct kv_client *client, uint16_t node, uint64_t sequence,
                              const struct kv_command *commands, uint32_t count,
                              uint8_t frame[KV_CLIENT_FRAME_BYTES]);
void kv_client_send(struct kv_client *client, uint16_t node, const void *frame, uint32_t bytes);
// Waits up to wait_ms for one message. False: none.
bool kv_client_receive(struct kv_client *client, int wait_ms, struct wire_message *message);

#endif
