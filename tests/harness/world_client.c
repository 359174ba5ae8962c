// Clients of a world: they speak the wire protocol, retry with the same sequence, follow hints, and
// hold every answer against what was applied.
#include "tests/harness/world.h"

#include <stdlib.h>
#include <string.h>

#include "drivers/app_kv/kv_command.h"
#include "engine/base/assert.h"
#include "engine/base/crc32c.h"

#define RETRY_NS (30 * WORLD_MS)
#define RETRY_BYTE_NS 300
#define BACK_OFF_NS (2 * WORLD_MS)

enum { SESSION_WINDOW = 1024, FRAME_OPERATIONS_MAX = 16, KV_KEYS = 64, KV_VALUE_MAX = 512 };

static uint8_t scratch[RAFT_PAYLOAD_BYTES_MAX]; // one thread: payloads under construction

// --- frames ---

static void begin_frame(struct world_client *client, struct wire_writer *writer, uint8_t *frame,
                        uint16_t node, uint16_t group)
{
    const struct wire_envelope envelope = {
        .cluster = client->world->options.seed | 1,
        .source = WIRE_CLIENT,
        .destination = node,
        .class = (uint8_t)(group % WIRE_CLASSES % client->world->options.reactors)};
    wire_begin(writer, frame, client->world->options.frame_bytes, &envelope);
}

static void send_frame(struct world_client *client, struct wire_writer *writer, uint16_t node,
                       uint16_t group)
{
    world_net_from_client(client->world, client->place, node, group, writer->frame,
                          wire_seal(writer));
}

static struct world_session *session_of(struct world_client *client, uint16_t group)
{
    return &client->sessions[group];
}

static uint16_t any_node(struct world *world)
{
    return (uint16_t)prng_between(&world->prng, 1, world->options.nodes);
}

static uint32_t kv_payload(const struct world_operation *operation, uint8_t *out)
{
    struct prng prng;
    prng_init(&prng, operation->number);
    uint32_t key = (uint32_t)prng_below(&prng, KV_KEYS);
    uint8_t value[KV_VALUE_MAX];
    uint32_t bytes = (uint32_t)prng_below(&prng, KV_VALUE_MAX + 1);
    memset(value, (int)(operation->number & 0xFF), sizeof(value));
    const struct kv_command command = {.operation = prng_chance(&prng, 1, 5) ? KV_DELETE : KV_PUT,
                                       .key = {&key, sizeof(key)},
                                       .value = {value, bytes}};
    struct kv_command sound = command;
    sound.value.bytes = sound.operation == KV_DELETE ? 0 : bytes;
    return kv_command_encode(&sound, out, KV_VALUE_MAX + 64);
}

// The payload follows from the operation, so nothing is kept for a retry.
static uint32_t make_payload(const struct world_client *client,
                             const struct world_operation *operation)
{
    const struct world_command command = {.client = client->place,
                                          .action = operation->action,
                                          .key = operation->key,
                                          .number = operation->number};
    uint32_t bytes = operation->bytes;
    if (operation->action == WORLD_KV) {
        bytes = (uint32_t)sizeof(command) + kv_payload(operation, scratch + sizeof(command));
    } else {
        for (uint32_t at = 0; at < bytes; at++) {
            scratch[at] = world_filler(operation->number, at);
        }
    }
    if (bytes >= sizeof(command)) {
        memcpy(scratch, &command, sizeof(command));
    }
    return bytes;
}

static struct raft_entry_head make_head(const struct world_client *client,
                                        const struct world_operation *operation)
{
    struct raft_entry_head head = {.client = operation->session,
                                   .sequence = operation->sequence,
                                   .bytes = make_payload(client, operation),
                                   .kind = RAFT_ENTRY_COMMAND};
    head.crc = wire_entry_crc(&head, scratch);
    return head;
}

static void send_fragments(struct world_client *client, const struct raft_entry_head *head,
                           uint16_t node, uint16_t group)
{
    uint8_t frame[WIRE_FRAME_BYTES_MAX];
    struct wire_writer writer;
    uint32_t piece = wire_fragment_bytes(client->world->options.frame_bytes);
    for (uint32_t offset = 0; offset < head->bytes; offset += piece) {
        uint32_t left = head->bytes - offset;
        const struct wire_fragment fragment = {.head = *head,
                                               .offset = offset,
                                               .bytes = left < piece ? left : piece,
                                               .data = scratch + offset};
        begin_frame(client, &writer, frame, node, group);
        bool is_put = wire_put_propose_fragment(&writer, group, &fragment);
        ASSERT(is_put);
        send_frame(client, &writer, node, group);
    }
}

static void send_command(struct world_client *client, const struct world_operation *operation,
                         uint16_t node)
{
    uint8_t frame[WIRE_FRAME_BYTES_MAX];
    struct wire_writer writer;
    struct raft_entry_head head = make_head(client, operation);
    if (head.bytes > wire_propose_payload_max(client->world->options.frame_bytes)) {
        send_fragments(client, &head, node, operation->group);
        return;
    }
    const void *payload = scratch;
    begin_frame(client, &writer, frame, node, operation->group);
    uint32_t put = wire_put_propose(&writer, operation->group, &head, &payload, 1);
    ASSERT_CMP(put, ==, 1);
    send_frame(client, &writer, node, operation->group);
}

static void send_read(struct world_client *client, const struct world_operation *operation,
                      uint16_t node)
{
    uint8_t frame[WIRE_FRAME_BYTES_MAX];
    struct wire_writer writer;
    const struct world_query query = {.key = operation->key, .answer_bytes = operation->bytes};
    const struct wire_read read = {
        .request = operation->number, .bytes = sizeof(query), .query = (const uint8_t *)&query};
    begin_frame(client, &writer, frame, node, operation->group);
    bool is_put = wire_put_read(&writer, operation->group, &read);
    ASSERT(is_put);
    send_frame(client, &writer, node, operation->group);
}

static void send_register(struct world_client *client, uint16_t group, uint16_t node)
{
    uint8_t frame[WIRE_FRAME_BYTES_MAX];
    struct wire_writer writer;
    struct raft_entry_head head = {.client = session_of(client, group)->nonce,
                                   .sequence = SESSION_WINDOW,
                                   .kind = RAFT_ENTRY_REGISTER};
    head.crc = wire_entry_crc(&head, NULL);
    const void *payload = scratch;
    begin_frame(client, &writer, frame, node, group);
    wire_put_propose(&writer, group, &head, &payload, 1);
    send_frame(client, &writer, node, group);
}

// --- asking ---

static void choose_size(struct world_client *client, struct world_operation *operation)
{
    struct world *world = client->world;
    uint32_t max = world->options.payload_max;
    uint64_t dice = prng_below(&world->prng, 100);
    uint32_t head = sizeof(struct world_command);
    if (dice < 3) {
        operation->bytes = (uint32_t)prng_below(&world->prng, head);
        operation->action = WORLD_OPAQUE;
    } else if (dice < 20 && max > head) {
        operation->bytes = (uint32_t)prng_between(&world->prng, head, max);
    } else if (dice < 22) {
        operation->bytes = max < head ? head : max;
    } else {
        operation->bytes = (uint32_t)prng_between(&world->prng, head, 200);
    }
}

static void invoke(struct world_client *client, struct world_operation *operation, uint16_t group)
{
    struct world *world = client->world;
    struct world_session *session = session_of(client, group);
    bool is_read = prng_chance(&world->prng, client->reads_percent, 100);
    bool is_kv = world->options.has_kv && prng_chance(&world->prng, 1, 3);
    *operation = (struct world_operation){.is_waiting = true,
                                          .action = is_read ? WORLD_READ
                                                    : is_kv ? WORLD_KV
                                                            : WORLD_ADD,
                                          .group = group,
                                          .key = (uint8_t)prng_below(&world->prng, WORLD_KEYS),
                                          .session = session->id};
    operation->value_floor = world->truths[group].acked[operation->key];
    if (is_read) {
        operation->number = ++client->request;
        bool is_large = prng_chance(&world->prng, 1, 20);
        operation->bytes =
            (uint32_t)prng_between(&world->prng, 8, is_large ? WORLD_READ_BYTES_MAX : 64);
        return;
    }
    operation->number = ++client->number;
    operation->sequence = ++session->sequence;
    if (!is_kv) {
        choose_size(client, operation);
    }
}

// A session holds the results of its window only: the oldest command under way must stay in it.
static bool has_window(const struct world_client *client, uint16_t group)
{
    const struct world_session *session = &client->sessions[group];
    for (uint32_t at = 0; at < WORLD_OPERATIONS_MAX; at++) {
        const struct world_operation *operation = &client->operations[at];
        if (operation->is_waiting && operation->group == group && operation->action != WORLD_READ &&
            operation->session == session->id &&
            operation->sequence + session->window <= session->sequence + 1) {
            return false;
        }
    }
    return true;
}

static bool has_read(const struct world_client *client)
{
    for (uint32_t at = 0; at < WORLD_OPERATIONS_MAX; at++) {
        const struct world_operation *operation = &client->operations[at];
        if (operation->is_waiting && operation->action == WORLD_READ) {
            return true;
        }
    }
    return false;
}

// Fills one free place; false when there is nothing to do.
static void begin_operation(struct world_client *client)
{
    struct world *world = client->world;
    uint16_t group = (uint16_t)prng_below(&world->prng, world->options.groups);
    struct world_session *session = session_of(client, group);
    if (session->id == 0) {
        if (session->nonce == 0) {
            session->nonce = prng_next(&world->prng) | 1;
            session->retry_ns = 0;
        }
        return;
    }
    for (uint32_t at = 0; at < world->options.client_window && has_window(client, group); at++) {
        struct world_operation *operation = &client->operations[at];
        if (!operation->is_waiting) {
            uint32_t reads_percent = client->reads_percent;
            client->reads_percent = has_read(client) ? 0 : reads_percent;
            invoke(client, operation, group);
            client->reads_percent = reads_percent;
            return;
        }
    }
}

static void ask(struct world_client *client, struct world_operation *operation)
{
    struct world *world = client->world;
    struct world_session *session = session_of(client, operation->group);
    if (operation->attempts > 0) {
        client->retries++;
        if (prng_chance(&world->prng, 1, 2)) {
            session->leader = any_node(world);
        }
    }
    operation->attempts++;
    // Larger frames take longer; a client that floods the network with copies helps nobody.
    uint64_t factor = operation->attempts < 6 ? operation->attempts : 6;
    uint64_t patience_ns = RETRY_NS + operation->bytes * RETRY_BYTE_NS;
    operation->retry_ns = world->now_ns + patience_ns * factor + prng_below(&world->prng, WORLD_MS);
    if (operation->action == WORLD_READ) {
        send_read(client, operation, session->leader);
    } else {
        send_command(client, operation, session->leader);
    }
}

static void register_sessions(struct world_client *client)
{
    struct world *world = client->world;
    for (uint16_t group = 0; group < world->options.groups; group++) {
        struct world_session *session = session_of(client, group);
        if (session->id == 0 && session->nonce != 0 && world->now_ns >= session->retry_ns) {
            session->leader = session->retry_ns == 0 ? any_node(world) : session->leader;
            send_register(client, group, session->leader);
            session->retry_ns = world->now_ns + RETRY_NS;
            session->leader = any_node(world);
        }
    }
}

static void tick(struct world_client *client)
{
    struct world *world = client->world;
    if (client->is_active && prng_chance(&world->prng, 1, 4)) {
        begin_operation(client);
    }
    register_sessions(client);
    for (uint32_t at = 0; at < WORLD_OPERATIONS_MAX; at++) {
        struct world_operation *operation = &client->operations[at];
        if (operation->is_waiting && world->now_ns >= operation->retry_ns) {
            ask(client, operation);
        }
    }
}

void world_clients_tick(struct world *world)
{
    for (uint32_t at = 0; at < world->options.clients; at++) {
        tick(&world->clients[at]);
    }
}

// --- answers ---

static struct world_operation *find(struct world_client *client, uint16_t group, bool is_read,
                                    uint64_t session, uint64_t number)
{
    for (uint32_t at = 0; at < WORLD_OPERATIONS_MAX; at++) {
        struct world_operation *operation = &client->operations[at];
        if (operation->is_waiting && operation->group == group &&
            (operation->action == WORLD_READ) == is_read &&
            (is_read ? operation->number == number
                     : operation->session == session && operation->sequence == number)) {
            return operation;
        }
    }
    return NULL;
}

static void done(struct world_client *client, struct world_operation *operation)
{
    operation->is_waiting = false;
    client->done++;
    client->reads_done += operation->action == WORLD_READ;
    client->done_ns = client->world->now_ns;
}

// The session is gone: what was under way in it will never be known.
static void expire(struct world_client *client, uint16_t group, uint64_t session_id)
{
    struct world_session *session = session_of(client, group);
    client->expired++;
    for (uint32_t at = 0; at < WORLD_OPERATIONS_MAX; at++) {
        struct world_operation *operation = &client->operations[at];
        if (operation->is_waiting && operation->group == group && operation->action != WORLD_READ &&
            operation->session == session_id) {
            operation->is_waiting = false;
        }
    }
    if (session->id == session_id) {
        *session = (struct world_session){.leader = session->leader};
    }
}

// What every refusal has in common: ask again, perhaps elsewhere, but not at once.
static void refused(struct world_client *client, struct world_operation *operation, uint32_t status,
                    uint16_t hint)
{
    struct world *world = client->world;
    struct world_session *session = session_of(client, operation->group);
    client->busy += status == WIRE_BUSY;
    client->unknown += status == WIRE_UNKNOWN;
    client->redirected += status == WIRE_NOT_LEADER;
    if (status != WIRE_BUSY) {
        session->leader = hint != 0 ? hint : any_node(world);
    }
    uint64_t again = world->now_ns + BACK_OFF_NS + prng_below(&world->prng, BACK_OFF_NS);
    operation->retry_ns = again < operation->retry_ns ? again : operation->retry_ns;
    operation->attempts = 0;
}

static void on_results(struct world_client *client, uint16_t group,
                       const struct wire_propose_reply *reply)
{
    for (uint32_t at = 0; at < reply->count; at++) {
        const struct wire_result *result = &reply->results[at];
        struct world_operation *operation =
            find(client, group, false, reply->client, result->sequence);
        if (operation == NULL) {
            continue;
        }
        WORLD_CHECK(client->world,
                    result->status != WIRE_INVALID && result->status != WIRE_OUTSIDE_WINDOW,
                    "client %u: status %u for sequence %lu", client->place, result->status,
                    result->sequence);
        if (result->status == WIRE_DONE) {
            world_check_done(client, operation, result->result);
            done(client, operation);
        } else if (result->status == WIRE_EXPIRED) {
            expire(client, group, reply->client);
        } else {
            refused(client, operation, result->status, reply->leader_hint);
        }
    }
}

static void on_register(struct world_client *client, uint16_t group,
                        const struct wire_register_reply *reply)
{
    struct world_session *session = session_of(client, group);
    if (session->id != 0 || session->nonce != reply->nonce) {
        return;
    }
    if (reply->status == WIRE_DONE) {
        session->id = reply->session;
        session->window = reply->window;
        session->sequence = 0;
        WORLD_CHECK(client->world, session->id != 0 && session->window >= WORLD_OPERATIONS_MAX,
                    "client %u: window %lu", client->place, session->window);
    } else if (reply->leader_hint != 0) {
        session->leader = reply->leader_hint;
        session->retry_ns = client->world->now_ns + BACK_OFF_NS;
    }
}

static void on_answer(struct world_client *client, uint16_t group,
                      const struct wire_read_reply *reply)
{
    struct world_operation *operation = find(client, group, true, 0, reply->request);
    if (operation == NULL) {
        return;
    }
    if (reply->status != WIRE_DONE) {
        refused(client, operation, reply->status, reply->leader_hint);
        return;
    }
    WORLD_CHECK(client->world, reply->result >= 8 && reply->total_bytes <= WORLD_READ_BYTES_MAX,
                "client %u: read gave %d", client->place, reply->result);
    if (operation->received == 0 || reply->answer_crc != operation->answer_crc) {
        memset(client->answer_has, 0, WORLD_READ_BYTES_MAX);
        operation->received = 0;
        operation->answer_crc = reply->answer_crc;
    }
    // Parts come in any order, and two attempts may be cut differently.
    for (uint32_t at = 0; at < reply->bytes; at++) {
        operation->received += !client->answer_has[reply->offset + at];
        client->answer_has[reply->offset + at] = true;
        client->answer[reply->offset + at] = reply->data[at];
    }
    if (operation->received == reply->total_bytes) {
        WORLD_CHECK(client->world,
                    crc32c(0, client->answer, reply->total_bytes) == reply->answer_crc,
                    "client %u: checksum of an answer", client->place);
        world_check_read(client, operation, client->answer, reply->total_bytes);
        done(client, operation);
    }
}

void world_client_receive(struct world_client *client, const uint8_t *frame, uint32_t bytes)
{
    static struct wire_scratch wire_scratch;
    struct world *world = client->world;
    const struct wire_filter filter = {.cluster = world->options.seed | 1,
                                       .self = WIRE_CLIENT,
                                       .peers = (UINT64_C(1) << world->options.nodes) - 1,
                                       .groups = world->options.groups};
    struct wire_reader reader;
    struct wire_message message;
    enum wire_refusal refusal = wire_open(&reader, &filter, frame, bytes, &wire_scratch);
    while (refusal == WIRE_OK && (refusal = wire_next(&reader, &filter, &message)) == WIRE_OK) {
        if (message.type == WIRE_PROPOSE_REPLY) {
            on_results(client, message.group, &message.propose_reply);
        } else if (message.type == WIRE_REGISTER_REPLY) {
            on_register(client, message.group, &message.register_reply);
        } else if (message.type == WIRE_READ_REPLY) {
            on_answer(client, message.group, &message.read_reply);
        }
    }
    WORLD_CHECK(world, refusal == WIRE_END || world->frames_flipped > 0,
                "client %u: frame refused: %s", client->place, wire_refusal_name(refusal));
}

void world_clients_open(struct world *world)
{
    for (uint16_t at = 0; at < world->options.clients; at++) {
        struct world_client *client = &world->clients[at];
        client->world = world;
        client->place = at;
        client->reads_percent = 25;
        client->answer = malloc(WORLD_READ_BYTES_MAX);
        client->answer_has = malloc(WORLD_READ_BYTES_MAX);
    }
}

void world_clients_close(struct world *world)
{
    for (uint16_t at = 0; at < world->options.clients; at++) {
        free(world->clients[at].answer);
        free(world->clients[at].answer_has);
        free(world->clients[at].fates);
    }
}
