#include "tests/unit/client/fake_cluster.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/crc32c.h"
#include "tests/harness/harness.h"

enum { PORT = 7000, FIRST_SESSION = 1000, ASSEMBLIES = 16, ANSWER_MAX = CLIENT_ANSWER_BYTES_MAX };

static struct fake *fake_of(struct net *net)
{
    return (struct fake *)(uintptr_t)net;
}

uint8_t fake_answer_byte(uint64_t state, uint32_t offset)
{
    return (uint8_t)(state * 31 + offset * 7 + offset / 251);
}

// ------------------------------------------------------------------------------------- node side

static void queue_up(struct fake *fake, const void *frame, uint32_t bytes, uint64_t delay_ns)
{
    struct fake_packet *packet = fake->queue[fake->queue_count++];
    packet->bytes = bytes;
    packet->due_ns = fake->now_ns + delay_ns;
    memcpy(packet->data, frame, bytes);
}

void fake_inject(struct fake *fake, const void *frame, uint32_t bytes)
{
    if (fake->skip_replies > 0) {
        fake->skip_replies--;
    } else if (fake->drop_replies > 0) {
        fake->drop_replies--;
        return;
    }
    if (fake->loss_percent > 0 && prng_chance(&fake->prng, fake->loss_percent, 100)) {
        return;
    }
    for (uint32_t copy = 0; copy < (fake->doubles ? 2U : 1U) && fake->queue_count < FAKE_QUEUE;
         copy++) {
        queue_up(fake, frame, bytes, fake->delay_ns);
    }
}

void fake_begin(struct fake *fake, struct wire_writer *writer, uint8_t *frame, uint16_t from)
{
    const struct wire_envelope envelope = {
        .cluster = FAKE_CLUSTER, .boot = 1, .source = from, .destination = WIRE_CLIENT};
    wire_begin(writer, frame, fake->frame_bytes, &envelope);
}

void fake_finish(struct fake *fake, struct wire_writer *writer)
{
    if (writer->messages > 0) {
        fake_inject(fake, writer->frame, wire_seal(writer));
    }
}

static void reply_results(struct fake *fake, uint16_t node, uint16_t group, uint64_t session,
                          const struct wire_result *results, uint32_t count)
{
    uint32_t at = 0;
    while (at < count) {
        uint8_t frame[FAKE_FRAME_MAX];
        struct wire_writer writer;
        fake_begin(fake, &writer, frame, node);
        at += wire_put_propose_reply(&writer, group, session, fake->hint, results + at, count - at);
        fake_finish(fake, &writer);
    }
}

static struct fake_session *session_of(struct fake *fake, uint64_t id)
{
    return id >= FIRST_SESSION && id < FIRST_SESSION + fake->session_count
               ? &fake->sessions[id - FIRST_SESSION]
               : NULL;
}

// Executes a command once; the result is its first four bytes.
static struct wire_result execute(struct fake *fake, uint16_t group,
                                  const struct raft_entry_head *head, const uint8_t *payload)
{
    struct fake_session *session = session_of(fake, head->client);
    struct wire_result result = {.sequence = head->sequence, .status = WIRE_DONE};
    if (session == NULL || session->is_evicted || session->group != group) {
        result.status = WIRE_EXPIRED;
        return result;
    }
    if (head->sequence + session->window <= session->newest || head->sequence >= FAKE_SEQUENCES) {
        result.status = WIRE_OUTSIDE_WINDOW;
        return result;
    }
    if (head->bytes >= 4) {
        memcpy(&result.result, payload, 4);
    }
    if (session->values[head->sequence] != 0) {
        fake->repeats++;
        fake->contradictions += session->values[head->sequence] != result.result + 1;
        return result;
    }
    session->values[head->sequence] = result.result + 1;
    session->executed_count++;
    session->newest = head->sequence > session->newest ? head->sequence : session->newest;
    fake->state++;
    return result;
}

static uint64_t open_session(struct fake *fake, uint16_t group, const struct raft_entry_head *head)
{
    for (uint32_t at = 0; at < fake->session_count; at++) {
        if (fake->sessions[at].nonce == head->client && !fake->sessions[at].is_evicted) {
            return FIRST_SESSION + at;
        }
    }
    if (fake->session_count == FAKE_SESSIONS) {
        return 0;
    }
    struct fake_session *session = &fake->sessions[fake->session_count];
    session->nonce = head->client;
    session->group = group;
    session->window = head->sequence < fake->window_max ? head->sequence : fake->window_max;
    session->values = calloc(FAKE_SEQUENCES, sizeof(uint32_t));
    return FIRST_SESSION + fake->session_count++;
}

static enum wire_status status_of(const struct fake *fake, uint16_t node)
{
    switch (fake->moods[node]) {
    case FAKE_BUSY:
        return WIRE_BUSY;
    case FAKE_FAILED:
        return WIRE_FAILED;
    case FAKE_WELL:
    case FAKE_SILENT:
    case FAKE_DEAF:
    case FAKE_LOSING:
        break;
    }
    return fake->leader == node ? WIRE_DONE : WIRE_NOT_LEADER;
}

static void on_register(struct fake *fake, uint16_t node, uint16_t group,
                        const struct raft_entry_head *head)
{
    fake->registers++;
    struct wire_register_reply reply = {
        .nonce = head->client, .status = status_of(fake, node), .leader_hint = fake->hint};
    if (reply.status == WIRE_DONE) {
        reply.session = open_session(fake, group, head);
        reply.window = reply.session == 0 ? 0 : session_of(fake, reply.session)->window;
        reply.status = reply.session == 0 ? WIRE_BUSY : WIRE_DONE;
    }
    if (fake->moods[node] == FAKE_DEAF) {
        return;
    }
    uint8_t frame[FAKE_FRAME_MAX];
    struct wire_writer writer;
    fake_begin(fake, &writer, frame, node);
    wire_put_register_reply(&writer, group, &reply);
    fake_finish(fake, &writer);
}

uint32_t fake_ranges(uint32_t value, struct pontoon_range *ranges)
{
    uint32_t count = value / 3 % (PONTOON_RANGES_MAX + 1);
    for (uint32_t at = 0; at < count; at++) {
        ranges[at] = (struct pontoon_range){(uint64_t)value * 1000 + at * 10, at + 1};
    }
    return count;
}

static void check_ranges(struct fake *fake, const struct wire_ranges *got, const uint8_t *payload,
                         uint32_t bytes)
{
    struct pontoon_range want[PONTOON_RANGES_MAX];
    uint32_t value, count = 0;
    if (fake->is_parallel && bytes >= sizeof(value)) {
        memcpy(&value, payload, sizeof(value));
        count = fake_ranges(value, want);
    }
    bool is_right =
        got->count == count && (count == 0 || memcmp(got->at, want, count * sizeof(want[0])) == 0);
    fake->declaring += got->count > 0;
    fake->wrong_ranges += !is_right;
}

static void on_commands(struct fake *fake, uint16_t node, uint16_t group,
                        const struct raft_entry_head *heads, const uint8_t *const *payloads,
                        const struct wire_ranges *ranges, uint32_t count)
{
    static struct wire_result results[WIRE_ENTRIES_MAX];
    static const struct wire_ranges none;
    if (!wire_check_entries(heads, payloads, count)) {
        fake->bad_entries++;
        return;
    }
    if (heads[0].kind == RAFT_ENTRY_REGISTER) {
        on_register(fake, node, group, &heads[0]);
        return;
    }
    fake->commands += count;
    enum wire_status status = status_of(fake, node);
    for (uint32_t at = 0; at < count; at++) {
        results[at] =
            (struct wire_result){.sequence = heads[at].sequence, .status = (uint32_t)status};
        check_ranges(fake, ranges == NULL ? &none : &ranges[at], payloads[at], heads[at].bytes);
        if (status == WIRE_DONE) {
            results[at] = execute(fake, group, &heads[at], payloads[at]);
            if (fake->moods[node] == FAKE_LOSING && results[at].status == WIRE_DONE) {
                results[at] =
                    (struct wire_result){.sequence = heads[at].sequence, .status = WIRE_UNKNOWN};
            }
        }
    }
    if (fake->moods[node] != FAKE_DEAF) {
        reply_results(fake, node, group, heads[0].client, results, count);
    }
}

static void on_read(struct fake *fake, uint16_t node, uint16_t group, const struct wire_read *read)
{
    static uint8_t answer[ANSWER_MAX];
    fake->reads++;
    check_ranges(fake, &read->ranges, read->query, read->bytes);
    struct wire_read_reply reply = {.request = read->request,
                                    .status = status_of(fake, node),
                                    .leader_hint = fake->hint,
                                    .data = answer};
    if (reply.status == WIRE_DONE) {
        reply.total_bytes = fake->read_error < 0 ? 0 : fake->answer_bytes;
        reply.result = fake->read_error < 0 ? fake->read_error : (int32_t)reply.total_bytes;
        for (uint32_t at = 0; at < reply.total_bytes; at++) {
            answer[at] = fake_answer_byte(fake->state, at);
        }
    }
    reply.answer_crc = crc32c(0, answer, reply.total_bytes);
    bool is_first = true;
    do {
        uint8_t frame[FAKE_FRAME_MAX];
        struct wire_writer writer;
        fake_begin(fake, &writer, frame, node);
        if (is_first && fake->answer_pad > 0) {
            writer.capacity -= fake->answer_pad;
        }
        is_first = false;
        int32_t put = wire_put_read_reply(&writer, group, &reply);
        fake_finish(fake, &writer);
        reply.offset += put > 0 ? (uint32_t)put : 0;
    } while (reply.offset < reply.total_bytes);
}

static void on_status(struct fake *fake, uint16_t node, uint16_t group,
                      const struct wire_status_request *request)
{
    uint8_t frame[FAKE_FRAME_MAX];
    struct wire_writer writer;
    fake->statuses++;
    const struct wire_status_reply reply = {.request = request->request,
                                            .node = node,
                                            .leader_hint = fake->hint,
                                            .role =
                                                fake->leader == node ? RAFT_LEADER : RAFT_FOLLOWER,
                                            .term = 5,
                                            .intact = true,
                                            .has_digest = request->want_digest,
                                            .commit = fake->state,
                                            .applied = fake->state,
                                            .last = fake->state,
                                            .digest = 77};
    fake_begin(fake, &writer, frame, node);
    wire_put_status_reply(&writer, group, &reply);
    if (fake->queue_count < FAKE_QUEUE) { // never dropped: the client's own probes are among them
        queue_up(fake, frame, wire_seal(&writer), 0);
    }
}

static void on_message(struct fake *fake, uint16_t node, const struct wire_message *message)
{
    fake->messages++;
    switch (message->type) {
    case WIRE_PROPOSE:
        on_commands(fake, node, message->group, message->propose.heads, message->propose.payloads,
                    message->propose.ranges, message->propose.count);
        break;
    case WIRE_PROPOSE_FRAGMENT: {
        const struct assembly_key key = {.a = message->fragment.head.client,
                                         .b = message->fragment.head.sequence,
                                         .source = WIRE_CLIENT,
                                         .group = message->group};
        fake->fragments++;
        fake->bad_entries += !wire_ranges_are_valid(&message->fragment.ranges);
        const uint8_t *payload = assembly_add(fake->assembly, &key, &message->fragment);
        if (payload != NULL) {
            on_commands(fake, node, message->group, &message->fragment.head, &payload,
                        &message->fragment.ranges, 1);
            assembly_done(fake->assembly, &key);
        }
        break;
    }
    case WIRE_READ:
        on_read(fake, node, message->group, &message->read);
        break;
    case WIRE_STATUS:
        on_status(fake, node, message->group, &message->status);
        break;
    default:
        fake->bad_entries++;
        break;
    }
}

static void deliver(struct fake *fake, const struct net_frame *sent)
{
    uint16_t node = (uint16_t)sent->remote.ipv4;
    const struct wire_filter filter = {
        .cluster = FAKE_CLUSTER, .self = node, .peers = 0, .groups = RAFT_GROUPS_MAX};
    fake->frames[node]++;
    if (fake->drop_requests > 0) {
        fake->drop_requests--;
        return;
    }
    if (fake->moods[node] == FAKE_SILENT ||
        (fake->loss_percent > 0 && prng_chance(&fake->prng, fake->loss_percent, 100))) {
        return;
    }
    struct wire_message message;
    enum wire_refusal refusal =
        wire_open(&fake->reader, &filter, sent->data, sent->bytes, &fake->scratch);
    while (refusal == WIRE_OK) {
        refusal = wire_next(&fake->reader, &filter, &message);
        if (refusal == WIRE_OK) {
            on_message(fake, node, &message);
        }
    }
    fake->bad_entries += refusal != WIRE_END;
}

// ----------------------------------------------------------------------------------- client's net

static void give_back(struct fake *fake, const struct net_frame *frame)
{
    uint32_t slot = (uint32_t)((frame->data - fake->buffers) / FAKE_FRAME_MAX);
    CHECK(slot < FAKE_BUFFERS && fake->is_taken[slot]);
    fake->is_taken[slot] = false;
    fake->taken--;
}

static bool take_buffer(struct fake *fake, struct net_frame *frame)
{
    for (uint32_t slot = 0; slot < FAKE_BUFFERS; slot++) {
        if (!fake->is_taken[slot]) {
            fake->is_taken[slot] = true;
            fake->taken++;
            *frame = (struct net_frame){.data = fake->buffers + (size_t)slot * FAKE_FRAME_MAX,
                                        .capacity = fake->frame_bytes};
            return true;
        }
    }
    return false;
}

// The next packet that has arrived, or FAKE_QUEUE.
static uint32_t next_packet(const struct fake *fake)
{
    for (uint32_t step = 0; step < fake->queue_count && !fake->holds_replies; step++) {
        uint32_t at = fake->is_reversed ? fake->queue_count - 1 - step : step;
        if (fake->queue[at]->due_ns <= fake->now_ns) {
            return at;
        }
    }
    return FAKE_QUEUE;
}

static uint32_t net_receive(struct net *net, struct net_frame *frames, uint32_t max)
{
    struct fake *fake = fake_of(net);
    uint32_t count = 0;
    for (uint32_t at = next_packet(fake);
         count < max && at < FAKE_QUEUE && take_buffer(fake, &frames[count]);
         at = next_packet(fake)) {
        struct fake_packet *packet = fake->queue[at];
        memcpy(frames[count].data, packet->data, packet->bytes);
        frames[count].bytes = packet->bytes;
        fake->queue_count--;
        memmove(&fake->queue[at], &fake->queue[at + 1],
                (fake->queue_count - at) * sizeof(fake->queue[0]));
        fake->queue[fake->queue_count] = packet;
        count++;
    }
    return count;
}

static void net_release(struct net *net, struct net_frame *frames, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++) {
        give_back(fake_of(net), &frames[at]);
    }
}

static uint32_t net_acquire(struct net *net, uint16_t link, enum net_use use,
                            struct net_frame *frames, uint32_t count)
{
    struct fake *fake = fake_of(net);
    uint32_t got = 0;
    (void)link;
    (void)use;
    while (!fake->has_no_buffers && got < count && take_buffer(fake, &frames[got])) {
        got++;
    }
    return got;
}

static uint32_t net_send(struct net *net, struct net_frame *frames, uint32_t count)
{
    struct fake *fake = fake_of(net);
    uint32_t sent = count < fake->tx_limit ? count : fake->tx_limit;
    for (uint32_t at = 0; at < sent; at++) {
        CHECK(frames[at].bytes <= fake->frame_bytes);
        deliver(fake, &frames[at]);
        give_back(fake, &frames[at]);
    }
    return sent;
}

static bool net_locate(struct net *net, uint16_t node, uint8_t class, struct net_endpoint *endpoint)
{
    *endpoint = (struct net_endpoint){.ipv4 = node, .udp_port = (uint16_t)(PORT + class)};
    return !fake_of(net)->is_unresolved;
}

static void net_poll(struct net *net, uint64_t now_ns)
{
    (void)net;
    (void)now_ns;
}

static uint32_t net_frame_bytes(struct net *net, uint16_t link)
{
    (void)link;
    return fake_of(net)->frame_bytes;
}

static const struct net_ops fake_ops = {.name = "fake",
                                        .receive = net_receive,
                                        .release = net_release,
                                        .acquire = net_acquire,
                                        .send = net_send,
                                        .locate = net_locate,
                                        .poll = net_poll,
                                        .frame_bytes = net_frame_bytes};

static uint64_t fake_now(struct clock *clock)
{
    return ((struct fake *)(void *)((char *)clock - offsetof(struct fake, clock)))->now_ns;
}

// ------------------------------------------------------------------------------------------ test's

struct fake *fake_open(uint32_t frame_bytes)
{
    struct fake *fake = calloc(1, sizeof(*fake));
    size_t bytes = assembly_memory_bytes(ASSEMBLIES, RAFT_PAYLOAD_BYTES_MAX);
    void *memory = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    fake->net.ops = &fake_ops;
    fake->clock.now_ns = fake_now;
    fake->now_ns = 1000 * FAKE_MS;
    fake->frame_bytes = frame_bytes;
    fake->leader = fake->hint = 1;
    fake->window_max = 65536;
    fake->answer_bytes = 10;
    fake->tx_limit = UINT32_MAX;
    fake->assembly = assembly_init(memory, ASSEMBLIES, RAFT_PAYLOAD_BYTES_MAX);
    fake->queue = calloc(FAKE_QUEUE, sizeof(struct fake_packet *));
    fake->packets = malloc(FAKE_QUEUE * sizeof(*fake->packets));
    for (uint32_t at = 0; at < FAKE_QUEUE; at++) {
        fake->queue[at] = &fake->packets[at];
    }
    fake->buffers = malloc((size_t)FAKE_BUFFERS * FAKE_FRAME_MAX);
    prng_init(&fake->prng, 1);
    return fake;
}

void fake_close(struct fake *fake)
{
    CHECK_EQUAL(fake->taken, 0);
    for (uint32_t at = 0; at < fake->session_count; at++) {
        free(fake->sessions[at].values);
    }
    free(fake->assembly);
    free(fake->queue);
    free(fake->packets);
    free(fake->buffers);
    free(fake);
}

struct client *fake_client(struct fake *fake, uint32_t groups, uint32_t depth, uint64_t give_up_ns)
{
    struct client_config config;
    struct client *client;
    client_config_init(&config);
    config.cluster = FAKE_CLUSTER;
    config.node_count = FAKE_NODES;
    for (uint16_t node = 1; node <= FAKE_NODES; node++) {
        config.nodes[node - 1] = node;
    }
    config.groups = groups;
    config.seed = 7 + fake->clients_opened++;
    config.net = &fake->net;
    config.clock = &fake->clock;
    config.depth_max = depth == 0 ? config.depth_max : depth;
    config.give_up_ns = give_up_ns == 0 ? config.give_up_ns : give_up_ns;
    config.sends_ranges = fake->is_parallel;
    CHECK_EQUAL(client_open(&config, &client), 0);
    return client;
}

void fake_run(struct fake *fake, struct client *client, uint32_t polls, uint64_t step_ns)
{
    while (polls-- > 0) {
        fake->now_ns += step_ns;
        client_poll(client);
    }
}

bool fake_run_out(struct fake *fake, struct client *client, uint64_t time_ns)
{
    uint64_t end_ns = fake->now_ns + time_ns;
    while (client_in_flight(client) > 0 && fake->now_ns < end_ns) {
        fake_run(fake, client, 1, 10000);
    }
    return client_in_flight(client) == 0;
}

void fake_moods(struct fake *fake, enum fake_mood mood)
{
    for (uint16_t node = 1; node <= FAKE_NODES; node++) {
        fake->moods[node] = mood;
    }
}

void fake_evict_sessions(struct fake *fake)
{
    for (uint32_t at = 0; at < fake->session_count; at++) {
        fake->sessions[at].is_evicted = true;
    }
}
