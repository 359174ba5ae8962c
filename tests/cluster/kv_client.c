#include "tests/cluster/kv_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/cluster/bed.h"

enum { UDP_PORT = 7700, ATTEMPT_MS = 300, WINDOW = 1024, HINT_PAUSE_US = 5000 };

static uint8_t received[WIRE_FRAME_BYTES_MAX];

static uint32_t network(void)
{
    return strcmp(bed.link, "udp") == 0 ? 0x7f4d0000 : 0x0a4d0000; // 127.77.0.0, 10.77.0.0
}

// The kernel's own end of the bridge. Without arp_ignore it would answer for this address on the
// nodes' ports, too.
static bool give_address(int place)
{
    char line[96];
    int file = open("/proc/sys/net/ipv4/conf/all/arp_ignore", O_WRONLY | O_CLOEXEC);
    bool ok = file >= 0 && write(file, "1", 1) == 1;
    if (file >= 0) {
        close(file);
    }
    snprintf(line, sizeof(line), "addr replace 10.77.0.%d/24 dev p%d", 100 + place,
             CLUSTER_NODES + 1);
    return ok && cluster_ip(line) == 0;
}

static bool open_socket(struct kv_client *client, int place)
{
    int yes = 1;
    if (strcmp(bed.link, "memif") == 0 ||
        (strcmp(bed.link, "af_packet") == 0 && !give_address(place))) {
        test_skip("the kernel has no way into this network");
        return false;
    }
    client->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    // A veth hands frames over before their checksum is filled in; without one there is none to
    // miss.
    setsockopt(client->socket, SOL_SOCKET, SO_NO_CHECK, &yes, sizeof(yes));
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(network() + 100 + (uint32_t)place)};
    CHECK(client->socket >= 0);
    CHECK_EQUAL(bind(client->socket, (struct sockaddr *)&address, sizeof(address)), 0);
    return true;
}

void kv_client_send(struct kv_client *client, uint16_t node, const void *frame, uint32_t bytes)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(UDP_PORT),
                                  .sin_addr.s_addr = htonl(network() + node)};
    // A full socket buffer or a dead node: the frame is lost, as frames are.
    ssize_t sent =
        sendto(client->socket, frame, bytes, 0, (struct sockaddr *)&address, sizeof(address));
    (void)sent;
}

bool kv_client_receive(struct kv_client *client, int wait_ms, struct wire_message *message)
{
    const struct wire_filter filter = {
        .cluster = bed.number, .self = WIRE_CLIENT, .peers = BED_ALL >> 1, .groups = 1};
    struct pollfd readable = {.fd = client->socket, .events = POLLIN};
    while (poll(&readable, 1, wait_ms) == 1) {
        struct wire_reader reader;
        ssize_t bytes = recv(client->socket, received, sizeof(received), 0);
        if (bytes > 0 &&
            wire_open(&reader, &filter, received, (uint32_t)bytes, &client->scratch) == WIRE_OK) {
            CHECK_EQUAL(wire_next(&reader, &filter, message), WIRE_OK);
            return true;
        }
    }
    return false;
}

static void begin(struct wire_writer *writer, uint16_t node, uint8_t *frame)
{
    const struct wire_envelope envelope = {
        .cluster = bed.number, .source = WIRE_CLIENT, .destination = node};
    wire_begin(writer, frame, KV_CLIENT_FRAME_BYTES, &envelope);
}

static struct raft_entry_head command_head(uint64_t session, uint64_t sequence,
                                           const uint8_t *payload, uint32_t bytes)
{
    struct raft_entry_head head = {
        .client = session, .sequence = sequence, .bytes = bytes, .kind = RAFT_ENTRY_COMMAND};
    head.crc = wire_entry_crc(&head, payload);
    return head;
}

uint32_t kv_client_frame_many(struct kv_client *client, uint16_t node, uint64_t sequence,
                              const struct kv_command *commands, uint32_t count,
                              uint8_t frame[KV_CLIENT_FRAME_BYTES])
{
    uint8_t texts[KV_CLIENT_FRAME_BYTES];
    struct raft_entry_head heads[KV_CLIENT_MANY];
    const void *payloads[KV_CLIENT_MANY];
    struct wire_writer writer;
    uint32_t used = 0;
    CHECK(count <= KV_CLIENT_MANY);
    for (uint32_t at = 0; at < count; at++) {
        uint32_t bytes =
            kv_command_encode(&commands[at], texts + used, (uint32_t)sizeof(texts) - used);
        CHECK(bytes > 0);
        heads[at] = command_head(client->session, sequence + at, texts + used, bytes);
        payloads[at] = texts + used;
        used += bytes;
    }
    begin(&writer, node, frame);
    CHECK_EQUAL(wire_put_propose(&writer, 0, heads, payloads, count), count);
    return wire_seal(&writer);
}

uint32_t kv_client_frame(struct kv_client *client, uint16_t node, uint64_t sequence,
                         const struct kv_command *command, uint8_t frame[KV_CLIENT_FRAME_BYTES])
{
    return kv_client_frame_many(client, node, sequence, command, 1, frame);
}

// Whom to ask after an answer that was none, or silence.
static void redirect(struct kv_client *client, uint16_t hint)
{
    client->redirects++;
    if (hint == 0 || hint == client->leader) {
        usleep(HINT_PAUSE_US);
        client->leader = (uint16_t)(client->leader % CLUSTER_NODES + 1);
    } else {
        client->leader = hint;
    }
}

struct batch {
    uint32_t count;
    uint64_t first; // sequence of number 0
    const struct kv_command *commands;
    bool is_done[KV_CLIENT_BATCH_MAX];
    uint32_t results[KV_CLIENT_BATCH_MAX];
    uint32_t done;
};

static void send_batch(struct kv_client *client, const struct batch *batch)
{
    uint8_t frame[KV_CLIENT_FRAME_BYTES];
    uint8_t texts[KV_CLIENT_BATCH_MAX][KV_CLIENT_FRAME_BYTES];
    struct raft_entry_head heads[KV_CLIENT_BATCH_MAX];
    const void *payloads[KV_CLIENT_BATCH_MAX];
    struct wire_writer writer;
    uint32_t count = 0;
    for (uint32_t at = 0; at < batch->count; at++) {
        if (!batch->is_done[at]) {
            uint32_t bytes = kv_command_encode(&batch->commands[at], texts[at], sizeof(texts[at]));
            CHECK(bytes > 0);
            heads[count] = command_head(client->session, batch->first + at, texts[at], bytes);
            payloads[count++] = texts[at];
        }
    }
    begin(&writer, client->leader, frame);
    CHECK_EQUAL(wire_put_propose(&writer, 0, heads, payloads, count), count);
    kv_client_send(client, client->leader, frame, wire_seal(&writer));
}

// False: this node will not do it, ask another.
static bool take_results(struct kv_client *client, struct batch *batch,
                         const struct wire_propose_reply *reply)
{
    bool go_on = true;
    for (uint32_t at = 0; at < reply->count; at++) {
        const struct wire_result *result = &reply->results[at];
        uint64_t which = result->sequence - batch->first;
        if (reply->client != client->session || which >= batch->count || batch->is_done[which]) {
            continue; // an answer to an earlier attempt
        }
        CHECK(result->status != WIRE_EXPIRED && result->status != WIRE_OUTSIDE_WINDOW &&
              result->status != WIRE_INVALID);
        if (result->status == WIRE_DONE) {
            batch->is_done[which] = true;
            batch->results[which] = result->result;
            batch->done++;
        } else {
            go_on = go_on && result->status == WIRE_BUSY;
        }
    }
    return go_on;
}

// Until everything is answered. Every attempt has the same sequences.
static void perform(struct kv_client *client, struct batch *batch)
{
    uint64_t deadline_ns = bed_deadline_ns(BED_PATIENCE_MS);
    bool is_late = false;
    batch->first = client->sequence;
    client->sequence += batch->count;
    while (batch->done < batch->count && !is_late) {
        struct wire_message message;
        bool go_on = true, heard = false;
        uint32_t done = batch->done;
        send_batch(client, batch);
        while (go_on && batch->done < batch->count &&
               kv_client_receive(client, client->attempt_ms, &message)) {
            heard = true;
            if (message.type == WIRE_PROPOSE_REPLY) {
                go_on = take_results(client, batch, &message.propose_reply);
                if (!go_on) {
                    redirect(client, message.propose_reply.leader_hint);
                }
            }
        }
        if (!heard) {
            redirect(client, 0);
        }
        client->retries += batch->done < batch->count;
        is_late = batch->done == done && !bed_pause(deadline_ns);
    }
    if (is_late) {
        bed_report();
    }
    CHECK_EQUAL(batch->done, batch->count);
}

static struct kv_bytes text_bytes(const char *text)
{
    return (struct kv_bytes){.data = text, .bytes = (uint32_t)strlen(text)};
}

uint32_t kv_client_put(struct kv_client *client, const char *key, const char *value)
{
    const struct kv_command command = {
        .operation = KV_PUT, .key = text_bytes(key), .value = text_bytes(value)};
    struct batch batch = {.count = 1, .commands = &command};
    perform(client, &batch);
    return batch.results[0];
}

uint32_t kv_client_swap(struct kv_client *client, const char *key, const char *expected,
                        const char *value)
{
    struct kv_command command = {
        .operation = KV_COMPARE_AND_SWAP, .key = text_bytes(key), .value = text_bytes(value)};
    command.expected =
        expected == NULL ? (struct kv_bytes){.bytes = KV_ABSENT} : text_bytes(expected);
    struct batch batch = {.count = 1, .commands = &command};
    perform(client, &batch);
    return batch.results[0];
}

uint32_t kv_client_delete(struct kv_client *client, const char *key)
{
    const struct kv_command command = {.operation = KV_DELETE, .key = text_bytes(key)};
    struct batch batch = {.count = 1, .commands = &command};
    perform(client, &batch);
    return batch.results[0];
}

static void send_query(struct kv_client *client, uint16_t node, uint64_t request, const char *key)
{
    uint8_t frame[KV_CLIENT_FRAME_BYTES], query[KV_QUERY_BYTES_MAX];
    struct wire_writer writer;
    const struct kv_query get = {.kind = KV_QUERY_GET, .key = text_bytes(key)};
    const struct wire_read read = {.request = request,
                                   .bytes = kv_command_encode_query(&get, query, sizeof(query)),
                                   .query = query};
    begin(&writer, node, frame);
    CHECK(wire_put_read(&writer, 0, &read));
    kv_client_send(client, node, frame, wire_seal(&writer));
}

// False: silence.
static bool await_reply(struct kv_client *client, uint64_t request, int wait_ms,
                        struct wire_message *message)
{
    while (kv_client_receive(client, wait_ms, message)) {
        if (message->type == WIRE_READ_REPLY && message->read_reply.request == request) {
            return true;
        }
    }
    return false;
}

// The value of a read that is DONE. False: no such key.
static bool take_value(const struct wire_read_reply *reply, char *value, uint32_t capacity)
{
    if (reply->result < 0) {
        return false;
    }
    CHECK(reply->total_bytes < capacity && reply->bytes == reply->total_bytes);
    memcpy(value, reply->data, reply->bytes);
    value[reply->bytes] = '\0';
    return true;
}

bool kv_client_get(struct kv_client *client, const char *key, char *value, uint32_t capacity)
{
    uint64_t deadline_ns = bed_deadline_ns(BED_PATIENCE_MS), request = ++client->requests;
    struct wire_message message;
    do {
        send_query(client, client->leader, request, key);
        bool heard = await_reply(client, request, client->attempt_ms, &message);
        if (heard && message.read_reply.status == WIRE_DONE) {
            return take_value(&message.read_reply, value, capacity);
        }
        if (!heard || message.read_reply.status != WIRE_BUSY) {
            redirect(client, heard ? message.read_reply.leader_hint : 0);
        }
    } while (bed_pause(deadline_ns));
    bed_report();
    CHECK(!"the read was answered");
    return false;
}

enum kv_client_answer kv_client_ask(struct kv_client *client, uint16_t node, const char *key,
                                    int wait_ms, char *value, uint32_t capacity)
{
    struct wire_message message;
    uint64_t request = ++client->requests;
    send_query(client, node, request, key);
    if (!await_reply(client, request, wait_ms, &message) ||
        message.read_reply.status != WIRE_DONE) {
        return KV_CLIENT_NO_ANSWER;
    }
    return take_value(&message.read_reply, value, capacity) ? KV_CLIENT_FOUND : KV_CLIENT_ABSENT;
}

// Registers: the nonce makes a repeated REGISTER the same session.
static void enrol(struct kv_client *client)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct raft_entry_head head = {.client = (uint64_t)now.tv_nsec << 20 | (uint64_t)getpid(),
                                   .sequence = WINDOW,
                                   .kind = RAFT_ENTRY_REGISTER};
    const void *payloads[] = {NULL};
    uint64_t deadline_ns = bed_deadline_ns(BED_PATIENCE_MS);
    head.crc = wire_entry_crc(&head, NULL);
    while (client->session == 0 && bed_pause(deadline_ns)) {
        uint8_t frame[KV_CLIENT_FRAME_BYTES];
        struct wire_writer writer;
        struct wire_message message;
        begin(&writer, client->leader, frame);
        CHECK_EQUAL(wire_put_propose(&writer, 0, &head, payloads, 1), 1);
        kv_client_send(client, client->leader, frame, wire_seal(&writer));
        if (!kv_client_receive(client, client->attempt_ms, &message)) {
            redirect(client, 0);
        } else if (message.type == WIRE_REGISTER_REPLY &&
                   message.register_reply.nonce == head.client) {
            if (message.register_reply.status == WIRE_DONE) {
                client->session = message.register_reply.session;
            } else {
                redirect(client, message.register_reply.leader_hint);
            }
        }
    }
    if (client->session == 0) {
        bed_report();
    }
    CHECK(client->session != 0);
}

bool kv_client_open(struct kv_client *client, int place)
{
    *client = (struct kv_client){.leader = 1, .sequence = 1, .attempt_ms = ATTEMPT_MS};
    if (!open_socket(client, place)) {
        return false;
    }
    enrol(client);
    return true;
}

void kv_client_close(struct kv_client *client)
{
    close(client->socket);
}

static void name_pair(uint32_t number, char key[32], char value[KV_CLIENT_VALUE_BYTES + 1])
{
    snprintf(key, 32, "key-%u", number);
    snprintf(value, KV_CLIENT_VALUE_BYTES + 1, "%08x-%u-%020" PRIu64, number * 2654435761u, number,
             (uint64_t)number * number * number);
}

void kv_client_fill(struct kv_client *client, uint32_t first, uint32_t count)
{
    for (uint32_t from = first; from < first + count; from += KV_CLIENT_BATCH_MAX) {
        char keys[KV_CLIENT_BATCH_MAX][32], values[KV_CLIENT_BATCH_MAX][KV_CLIENT_VALUE_BYTES + 1];
        struct kv_command commands[KV_CLIENT_BATCH_MAX];
        struct batch batch = {.commands = commands};
        while (batch.count < KV_CLIENT_BATCH_MAX && from + batch.count < first + count) {
            uint32_t at = batch.count++;
            name_pair(from + at, keys[at], values[at]);
            commands[at] = (struct kv_command){
                .operation = KV_PUT, .key = text_bytes(keys[at]), .value = text_bytes(values[at])};
        }
        perform(client, &batch);
        for (uint32_t at = 0; at < batch.count; at++) {
            CHECK_EQUAL(batch.results[at], KV_OK);
        }
    }
}

void kv_client_verify(struct kv_client *client, uint32_t first, uint32_t count)
{
    for (uint32_t number = first; number < first + count; number++) {
        char key[32], value[KV_CLIENT_VALUE_BYTES + 1], found[256];
        name_pair(number, key, value);
        if (!kv_client_get(client, key, found, sizeof(found))) {
            printf("    %s is lost\n", key);
            CHECK(!"an acknowledged pair is there");
        }
        CHECK_TEXT(found, value);
    }
}
