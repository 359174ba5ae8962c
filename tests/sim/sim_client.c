// The clients of a world: the production client library, driven by chance, its calls and answers
// written into the history.
//
// A client keeps up to `window` operations under way; the times between them are drawn so that the
// run's operations spread over the phase with faults. In the last phases all go on until they are
// served.
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

#define TICK_NS (500 * SIM_US) // the library's timers are looked at this often

// Tokens are unique in the run: which client wrote what, when, as its how-manieth.
static uint64_t token_of(const struct sim_client *client)
{
    return (uint64_t)(client->place + 1) << 48 | client->number;
}

static uint64_t clock_now(struct clock *clock)
{
    const struct sim_client *client =
        (struct sim_client *)((uint8_t *)clock - offsetof(struct sim_client, clock));
    return client->sim->now_ns + SIM_S;
}

// ------------------------------------------------------------------------------------------------
// how operations end

static void end(struct sim_operation *operation, enum history_outcome outcome, uint64_t read)
{
    struct sim_client *client = operation->owner;
    struct sim *sim = client->sim;
    history_return(sim->history, operation->history, sim->now_ns, outcome, read);
    bool is_timed = sim->latencies != NULL && operation->began_ns >= sim->latencies_from_ns;
    if (is_timed && sim->phase == SIM_SAFETY && outcome <= HISTORY_FULL &&
        operation->action != SIM_GET) {
        histogram_record(sim->latencies, sim->now_ns - operation->began_ns);
    }
    operation->is_busy = false;
    client->busy--;
    client->done += outcome <= HISTORY_FULL;
    client->unknown += outcome == HISTORY_UNKNOWN || outcome == HISTORY_EXPIRED;
    client->refused += outcome == HISTORY_FAILED;
    sim_hash(sim, outcome);
}

static enum history_outcome outcome_of(uint32_t value)
{
    static const enum history_outcome outcomes[] = {HISTORY_OK, HISTORY_NOT_FOUND,
                                                    HISTORY_MISMATCH};
    return outcomes[value];
}

static void on_done(void *context, const struct pontoon_result *result)
{
    struct sim_operation *operation = context;
    struct sim *sim = operation->owner->sim;
    enum history_outcome outcome = HISTORY_UNKNOWN;
    switch (result->status) {
    case PONTOON_DONE:
        SIM_CHECK(sim, result->value <= 2, "answer", "client %u: result %u",
                  operation->owner->place, result->value);
        outcome = outcome_of(result->value);
        break;
    case PONTOON_EXPIRED:
        outcome = HISTORY_EXPIRED;
        break;
    case PONTOON_INVALID:
        sim_fail(sim, "answer", "client %u: a command was refused as invalid",
                 operation->owner->place);
    case PONTOON_NOT_LEADER:
    case PONTOON_BUSY:
    case PONTOON_OUTSIDE_WINDOW:
    case PONTOON_UNKNOWN:
    case PONTOON_FAILED:
        break;
    }
    end(operation, outcome, 0);
}

static void on_answer(void *context, enum pontoon_status status, const void *answer, int32_t bytes)
{
    struct sim_operation *operation = context;
    struct sim *sim = operation->owner->sim;
    if (status != PONTOON_DONE) {
        end(operation, HISTORY_FAILED, 0); // a read changes nothing
        return;
    }
    uint64_t token = 0;
    SIM_CHECK(sim, bytes == (int32_t)operation->answer_bytes, "answer",
              "client %u: a read of %u bytes gave %d", operation->owner->place,
              operation->answer_bytes, bytes);
    memcpy(&token, answer, sizeof(token));
    for (uint32_t at = sizeof(token); at < operation->answer_bytes; at++) {
        SIM_CHECK(sim, ((const uint8_t *)answer)[at] == sim_filler(token, at), "answer",
                  "client %u: byte %u of an answer is torn", operation->owner->place, at);
    }
    end(operation, HISTORY_OK, token);
}

// ------------------------------------------------------------------------------------------------
// how they begin

static uint32_t size_between(struct sim *sim, uint32_t min, uint32_t max)
{
    uint64_t chance = prng_below(&sim->load_prng, 16);
    uint32_t most = chance == 0 ? max : chance < 4 ? (max < 2000 ? max : 2000) : min + 40;
    return (uint32_t)prng_between(&sim->load_prng, min, most < min ? min : most);
}

// What the client declares that its command touches. Result: how many ranges.
static uint32_t declare(const struct sim_client *client, const struct sim_command *command,
                        struct pontoon_range *ranges)
{
    struct app_footprint touched[APP_FOOTPRINTS_MAX];
    enum sim_ranges how = client->sim->options.ranges;
    if (how == SIM_RANGES_WRONG) {
        ranges[0] = (struct pontoon_range){.start = command->number, .length = 1};
    }
    int32_t count =
        how == SIM_RANGES_TRUE ? sim_app_touches(command, touched) : how == SIM_RANGES_WRONG;
    for (int32_t at = 0; how == SIM_RANGES_TRUE && at < count; at++) {
        ranges[at] = (struct pontoon_range){touched[at].start, touched[at].length};
    }
    return count < 0 ? 0 : (uint32_t)count;
}

// (No state machine here says what a query looks at: what is declared of those is always true.)
static int begin_read(struct sim_client *client, struct sim_operation *operation)
{
    struct sim *sim = client->sim;
    operation->answer_bytes = size_between(sim, sizeof(uint64_t), sim->options.answer_max);
    const struct sim_query query = {.key = operation->key, .answer_bytes = operation->answer_bytes};
    const struct sim_command touching = {.touches = UINT32_C(1) << query.key};
    struct app_footprint looked_at[APP_FOOTPRINTS_MAX];
    int32_t count = sim_app_touches(&touching, looked_at);
    const struct pontoon_range range = {looked_at[0].start, looked_at[0].length};
    bool is_declared = sim->options.ranges != SIM_RANGES_NONE && client->number % 4 != 0;
    const struct pontoon_command command = {.payload = &query,
                                            .bytes = sizeof(query),
                                            .ranges = &range,
                                            .range_count = is_declared ? (uint32_t)count : 0};
    return client_read_ranges(client->client, operation->group, &command, on_answer, operation);
}

// What a command of a parallel group touches, beside its key: often nothing, or neighbours, now and
// then any keys, or it names none and conflicts with everything.
static uint32_t touches_of(struct sim *sim, uint32_t key)
{
    if (sim->options.order == RAFT_ORDER_STRICT) {
        return 0;
    }
    uint64_t chance = prng_below(&sim->load_prng, 32);
    uint32_t any = (uint32_t)prng_next(&sim->load_prng);
    uint32_t touches = chance < 16 ? 0 : chance < 24 ? UINT32_C(3) << key : any;
    touches = (touches & ((UINT32_C(1) << SIM_KEYS_MAX) - 1)) | UINT32_C(1) << key;
    return chance == 31 ? SIM_TOUCHES_ALL : touches;
}

static int begin_command(struct sim_client *client, struct sim_operation *operation)
{
    static uint8_t payload[RAFT_PAYLOAD_BYTES_MAX];
    struct sim *sim = client->sim;
    const struct sim_command command = {.action = operation->action,
                                        .key = operation->key,
                                        .token = operation->token,
                                        .expected = operation->expected,
                                        .client = client->place,
                                        .touches = touches_of(sim, operation->key),
                                        .number = client->number};
    uint32_t bytes = size_between(sim, sizeof(command), sim->options.payload_max);
    memcpy(payload, &command, sizeof(command));
    for (uint32_t at = sizeof(command); at < bytes; at++) {
        payload[at] = sim_filler(command.number, at);
    }
    struct pontoon_range ranges[PONTOON_RANGES_MAX];
    const struct pontoon_command declared = {.payload = payload,
                                             .bytes = bytes,
                                             .ranges = ranges,
                                             .range_count = declare(client, &command, ranges)};
    return client_propose_ranges(client->client, operation->group, &declared, on_done, operation);
}

static const enum history_operation recorded_as[] = {[SIM_GET] = HISTORY_GET,
                                                     [SIM_PUT] = HISTORY_PUT,
                                                     [SIM_DELETE] = HISTORY_DELETE,
                                                     [SIM_CAS] = HISTORY_SWAP};

// A token that somebody may have written to the key lately; 0: none.
static uint64_t guess(struct sim *sim, uint16_t group, uint32_t key)
{
    for (uint16_t id = 1; id <= sim->options.nodes; id++) {
        struct sim_seat *seat = sim_seat_of(sim, id, group);
        struct group *replica = seat == NULL ? NULL : reactor_group(seat->reactor, group);
        if (replica != NULL && prng_chance(&sim->load_prng, 1, 2)) {
            return ((const struct sim_app *)replica->app)->state.tokens[key];
        }
    }
    return 0;
}

static void choose(struct sim_client *client, struct sim_operation *operation)
{
    struct sim *sim = client->sim;
    uint64_t chance = prng_below(&sim->load_prng, 100);
    client->number++;
    *operation =
        (struct sim_operation){.owner = client,
                               .is_busy = true,
                               .group = (uint16_t)prng_below(&sim->load_prng, sim->options.groups),
                               .key = (uint32_t)prng_below(&sim->load_prng, sim->options.keys),
                               .token = token_of(client)};
    if (chance < sim->options.reads_percent) {
        operation->action = SIM_GET;
        operation->token = 0;
    } else if (chance % 8 == 0) {
        operation->action = SIM_DELETE;
        operation->token = 0;
    } else if (chance % 4 == 1) {
        operation->action = SIM_CAS;
        operation->expected = guess(sim, operation->group, operation->key);
    } else {
        operation->action = SIM_PUT;
    }
}

static void begin(struct sim_client *client)
{
    struct sim *sim = client->sim;
    uint32_t slot = 0;
    while (client->operations[slot].is_busy) {
        slot++;
    }
    struct sim_operation *operation = &client->operations[slot];
    choose(client, operation);
    operation->began_ns = sim->now_ns;
    operation->history = history_call(
        sim->history, client->place, sim->now_ns, recorded_as[operation->action],
        (uint64_t)operation->group << 32 | operation->key, operation->token, operation->expected);
    client->busy++;
    int error = operation->action == SIM_GET ? begin_read(client, operation)
                                             : begin_command(client, operation);
    if (error != 0) { // no room now: it never began
        end(operation, HISTORY_FAILED, 0);
        return;
    }
    sim->result->operations++;
}

// All clients at once, every so often.
static void begin_together(struct sim_client *client, uint64_t every_ns, bool is_enough)
{
    const struct sim *sim = client->sim;
    if (!client->is_active || is_enough || client->next_ns > sim->now_ns) {
        return;
    }
    for (uint32_t at = 0; at < sim->options.burst && client->busy < sim->options.window; at++) {
        begin(client);
    }
    client->next_ns = (sim->now_ns / every_ns + 1) * every_ns;
}

static void begin_due(struct sim_client *client)
{
    struct sim *sim = client->sim;
    const struct sim_options *options = &sim->options;
    bool is_enough = sim->phase == SIM_SAFETY && sim->result->operations >= options->operations;
    // One client's share of the operations, over the time there is; sometimes several at once.
    uint64_t pause_ns = options->duration_ns * options->clients / options->operations;
    if (options->burst > 0 && sim->phase == SIM_SAFETY) {
        begin_together(client, pause_ns * options->burst, is_enough);
        return;
    }
    while (client->is_active && !is_enough && client->busy < options->window &&
           client->next_ns <= sim->now_ns) {
        pause_ns = sim->phase == SIM_SAFETY ? pause_ns : SIM_MS;
        client->next_ns += prng_below(&sim->load_prng, 2 * pause_ns);
        if (client->next_ns + 4 * pause_ns < sim->now_ns) {
            client->next_ns = sim->now_ns; // it could not for a while: no flood of what was missed
        }
        begin(client);
    }
}

// ------------------------------------------------------------------------------------------------
// the loop

void sim_client_poll(struct sim_client *client)
{
    struct sim *sim = client->sim;
    begin_due(client);
    client->net.tx_taken = 0;
    bool was_busy = client_poll(client->client);
    uint64_t next_ns = sim->now_ns + (was_busy ? sim->options.poll_ns : TICK_NS);
    if (client->is_active && client->busy < sim->options.window && client->next_ns < next_ns) {
        next_ns = client->next_ns > sim->now_ns ? client->next_ns : sim->now_ns + SIM_US;
    }
    if (was_busy || client->busy > 0 || client->is_active) {
        sim_at(sim, SIM_EVENT_CLIENT + client->place, next_ns);
    }
}

static void open_client(struct sim_client *client)
{
    struct sim *sim = client->sim;
    struct client_config config;
    client_config_init(&config);
    config.cluster = sim->options.seed | 1;
    config.node_count = sim->options.nodes;
    config.groups = sim->options.groups;
    config.depth_max = SIM_WINDOW_MAX;
    config.reads_max = SIM_WINDOW_MAX;
    config.payload_bytes = 2 * RAFT_PAYLOAD_BYTES_MAX;
    config.sends_ranges = sim->options.ranges != SIM_RANGES_NONE;
    config.attempt_timeout_ns = sim->options.client_attempt_ns;
    config.give_up_ns = sim->options.client_give_up_ns;
    config.seed = prng_next(&sim->load_prng);
    config.net = &client->net.net;
    config.clock = &client->clock;
    for (uint32_t at = 0; at < sim->options.nodes; at++) {
        config.nodes[at] = (uint16_t)(at + 1);
    }
    int error = client_open(&config, &client->client);
    ASSERT(error == 0);
    sim_at(sim, SIM_EVENT_CLIENT + client->place, sim->now_ns + 1);
}

void sim_client_restart(struct sim_client *client)
{
    client_close(client->client); // what is under way ends as unknown
    sim_net_forget(&client->net);
    open_client(client);
}

void sim_clients_open(struct sim *sim)
{
    for (uint16_t place = 0; place < sim->options.clients; place++) {
        struct sim_client *client = &sim->clients[place];
        *client = (struct sim_client){
            .sim = sim, .place = place, .clock.now_ns = clock_now, .is_active = true};
        sim_net_init(&client->net, sim, 0, place);
        client->net.tx_buffers = 256;
        open_client(client);
    }
}

void sim_clients_close(struct sim *sim)
{
    for (uint32_t place = 0; place < sim->options.clients; place++) {
        client_close(sim->clients[place].client);
        sim_net_forget(&sim->clients[place].net);
    }
}

bool sim_clients_idle(struct sim *sim)
{
    uint32_t busy = 0;
    for (uint32_t place = 0; place < sim->options.clients; place++) {
        busy += sim->clients[place].busy;
    }
    return busy == 0;
}
