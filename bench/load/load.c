#include "bench/load/load.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "drivers/app_kv/kv_command.h"
#include "drivers/app_null/app_null.h"

enum {
    KEY_BYTES = 16,
    HOT_KEY = 0,
    STAMPS =
        32, // answers that share one reading of the clock: 20 ns each would be a tenth of the rate
};

enum phase { PHASE_WARM_UP, PHASE_WINDOW, PHASE_DRAIN };

#define SECOND_NS UINT64_C(1000000000)

struct load;

// An operation in flight.
struct op {
    struct load *load;
    uint64_t due_ns;
    uint64_t key;    // of the history
    uint32_t record; // in the history
    bool is_read;
    bool is_counted; // due (closed loop: sent) in the window
};

struct load {
    struct load_config config;
    struct pontoon_client *client;
    struct load_result *result;
    struct prng prng;
    enum phase phase;
    uint64_t now_ns;
    uint32_t stamps_left;
    uint64_t window_began_ns, window_ends_ns;
    double cpu_began_s;
    uint64_t due_ns; // open loop: of the next operation
    uint64_t issued; // open loop: operations since began_ns
    uint64_t began_ns;
    uint16_t group;
    struct op *ops;
    struct op **free_ops;
    uint32_t free_count;
    uint64_t key_base; // keys are numbers from here on
    uint64_t token;    // of the history: the last one written
    uint8_t *payload;  // a complete command; of a put only the key (and the token) changes
    uint32_t payload_bytes;
};

static uint64_t clock_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t now(struct load *load)
{
    if (load->stamps_left-- == 0) {
        load->stamps_left = load->config.depth > STAMPS ? STAMPS : 0;
        load->now_ns = clock_ns(CLOCK_MONOTONIC);
    }
    return load->now_ns;
}

uint32_t load_entry_bytes(const struct load_config *config)
{
    return config->bytes +
           (config->workload == LOAD_KV ? (uint32_t)KV_COMMAND_HEAD_BYTES + KEY_BYTES : 0);
}

static void key_of(uint64_t number, char key[static KEY_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    for (int at = KEY_BYTES - 1; at >= 0; at--) {
        key[at] = digits[number & 15];
        number >>= 4;
    }
}

// The number of a random key. With a history every key belongs to one group.
static uint64_t pick_key(struct load *load)
{
    uint64_t number = prng_below(&load->prng, load->config.keys);
    return load->config.history == NULL
               ? number
               : load->key_base + number * load->config.groups + load->group;
}

static bool is_full(const struct load *load)
{
    return load->config.history != NULL &&
           load->config.history->count >= load->config.history_ops_max;
}

// An operation that was just sent. Nothing was polled since, so no event is out of order.
static void record_call(struct load *load, struct op *op)
{
    if (load->config.history != NULL) {
        uint32_t client = (uint32_t)load->config.place << 16 | (uint32_t)(op - load->ops);
        op->record = history_call(load->config.history, client, clock_ns(CLOCK_MONOTONIC),
                                  op->is_read ? HISTORY_GET : HISTORY_PUT, op->key,
                                  op->is_read ? 0 : load->token, 0);
    }
}

static enum history_outcome outcome_of(enum pontoon_status status)
{
    switch (status) {
    case PONTOON_DONE:
        return HISTORY_OK;
    case PONTOON_EXPIRED:
        return HISTORY_EXPIRED;
    case PONTOON_INVALID:
        return HISTORY_FAILED;
    case PONTOON_NOT_LEADER:
    case PONTOON_BUSY:
    case PONTOON_OUTSIDE_WINDOW:
    case PONTOON_UNKNOWN:
    case PONTOON_FAILED:
        break; // no client ends a command with one of these but UNKNOWN
    }
    return HISTORY_UNKNOWN;
}

static void record_return(struct load *load, const struct op *op, enum history_outcome outcome,
                          uint64_t read)
{
    if (load->config.history != NULL) {
        history_return(load->config.history, op->record, clock_ns(CLOCK_MONOTONIC), outcome, read);
    }
}

static void record_write(struct load *load, const struct op *op,
                         const struct pontoon_result *result)
{
    static const enum history_outcome outcomes[] = {[KV_OK] = HISTORY_OK,
                                                    [KV_NOT_FOUND] = HISTORY_NOT_FOUND,
                                                    [KV_MISMATCH] = HISTORY_MISMATCH,
                                                    [KV_MALFORMED] = HISTORY_FAILED,
                                                    [KV_FULL] = HISTORY_FULL};
    enum history_outcome outcome = outcome_of(result->status);
    if (outcome == HISTORY_OK) {
        outcome = result->value <= KV_FULL ? outcomes[result->value] : HISTORY_FAILED;
    }
    record_return(load, op, outcome, 0);
}

// A value that is too short for a token, or has 0 for one, was written by nobody: recorded as
// UINT64_MAX, which is no token either.
static void record_read(struct load *load, const struct op *op, enum pontoon_status status,
                        const void *answer, int32_t bytes)
{
    uint64_t token = 0;
    if (status == PONTOON_DONE && bytes >= LOAD_TOKEN_BYTES) {
        memcpy(&token, answer, sizeof(token));
    }
    if (status == PONTOON_DONE && bytes >= 0 && token == 0) {
        token = UINT64_MAX;
    }
    bool is_answer = status == PONTOON_DONE && (bytes >= 0 || bytes == -ENOENT);
    record_return(load, op, is_answer ? HISTORY_OK : HISTORY_UNKNOWN, token);
}

static void release_op(struct load *load, struct op *op)
{
    load->free_ops[load->free_count++] = op;
}

// Does an operation that ends now count?
static bool counts(const struct load *load, const struct op *op)
{
    return op->is_counted && (load->config.rate != 0 || load->phase == PHASE_WINDOW);
}

static void issue(struct load *load, struct op *op);

// The place of an operation is free again: in a closed loop the next one takes it at once.
static void end_op(struct load *load, struct op *op)
{
    if (load->config.rate == 0 && load->phase != PHASE_DRAIN) {
        issue(load, op);
    } else {
        release_op(load, op);
    }
}

static void count_status(struct load *load, enum pontoon_status status)
{
    load->result->unknown += status == PONTOON_UNKNOWN;
    load->result->failed += status != PONTOON_UNKNOWN && status != PONTOON_DONE;
}

static void on_done(void *context, const struct pontoon_result *result)
{
    struct op *op = context;
    struct load *load = op->load;
    record_write(load, op, result);
    if (result->status != PONTOON_DONE) {
        count_status(load, result->status);
    } else {
        load->result->all_writes++;
        load->result->refused += result->value != 0;
        load->result->answered += load->phase == PHASE_WINDOW;
        if (counts(load, op)) {
            load->result->writes++;
            histogram_record(&load->result->write_ns, now(load) - op->due_ns);
        }
    }
    end_op(load, op);
}

static void on_answer(void *context, enum pontoon_status status, const void *answer, int32_t bytes)
{
    struct op *op = context;
    struct load *load = op->load;
    record_read(load, op, status, answer, bytes);
    if (status != PONTOON_DONE) {
        count_status(load, status);
    } else if (bytes < 0 && bytes != -ENOENT) {
        load->result->refused++;
    } else {
        load->result->answered += load->phase == PHASE_WINDOW;
        if (counts(load, op)) {
            load->result->reads++;
            histogram_record(&load->result->read_ns, now(load) - op->due_ns);
        }
    }
    end_op(load, op);
}

static int send_read(struct load *load, struct op *op)
{
    char key[KEY_BYTES];
    uint8_t text[KV_QUERY_BYTES_MAX];
    uint32_t bytes = 0;
    if (load->config.workload == LOAD_KV) {
        op->key = pick_key(load);
        key_of(op->key, key);
        const struct kv_query query = {.kind = KV_QUERY_GET,
                                       .key = {.data = key, .bytes = KEY_BYTES}};
        bytes = kv_command_encode_query(&query, text, sizeof(text));
    }
    return pontoon_client_read(load->client, load->group, text, bytes, on_answer, op);
}

// A command of the null state machine that names a key.
static void name_key(struct load *load)
{
    bool is_hot = prng_chance(&load->prng, load->config.conflicts_percent, 100);
    app_null_name_key(load->payload,
                      is_hot ? HOT_KEY : HOT_KEY + 1 + prng_below(&load->prng, load->config.keys));
}

static int send_write(struct load *load, struct op *op)
{
    if (load->config.has_keys) {
        name_key(load);
    }
    if (load->config.workload == LOAD_KV) {
        op->key = pick_key(load);
        key_of(op->key, (char *)load->payload + KV_COMMAND_HEAD_BYTES);
    }
    if (load->config.history != NULL) {
        load->token++;
        memcpy(load->payload + KV_COMMAND_HEAD_BYTES + KEY_BYTES, &load->token,
               sizeof(load->token));
    }
    return pontoon_client_propose(load->client, load->group, load->payload, load->payload_bytes,
                                  on_done, op);
}

// Sends an operation that became due at op->due_ns (open loop) or now. When the client is full it
// waits in free_ops.
static void issue(struct load *load, struct op *op)
{
    uint32_t percent = load->config.reads_percent;
    if (is_full(load)) {
        release_op(load, op);
        return;
    }
    op->is_read = percent > 0 && prng_chance(&load->prng, percent, 100);
    if (load->config.rate == 0) {
        op->due_ns = now(load);
    }
    op->is_counted = load->phase != PHASE_WARM_UP && op->due_ns >= load->window_began_ns;
    int error = op->is_read ? send_read(load, op) : send_write(load, op);
    if (error == 0) {
        record_call(load, op);
    }
    if (++load->group == load->config.groups) {
        load->group = 0;
    }
    if (error != 0) {
        load->result->failed += error != -EAGAIN;
        release_op(load, op);
    }
}

static void issue_closed(struct load *load)
{
    uint32_t tries = load->free_count;
    while (tries-- > 0) {
        issue(load, load->free_ops[--load->free_count]);
    }
}

// Sends what is due before `end_ns`.
static void issue_open(struct load *load, uint64_t end_ns)
{
    uint64_t now_ns = load->now_ns;
    while (load->due_ns <= now_ns && load->due_ns < end_ns && load->free_count > 0) {
        struct op *op = load->free_ops[--load->free_count];
        uint32_t free_before = load->free_count;
        op->due_ns = load->due_ns;
        issue(load, op);
        if (load->free_count > free_before) {
            return; // the client is full: this operation stays due
        }
        if (op->is_counted && now_ns - load->due_ns > load->result->late_ns_max) {
            load->result->late_ns_max = now_ns - load->due_ns;
        }
        load->issued++;
        load->due_ns = load->began_ns +
                       (uint64_t)((unsigned __int128)load->issued * SECOND_NS / load->config.rate);
    }
}

static double cpu_s(void)
{
    return (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9;
}

static void cross_border(struct load *load, bool is_end)
{
    if (is_end) {
        uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
        load->result->seconds = (double)(now_ns - load->window_began_ns) / 1e9;
        load->result->client_cpu_s = cpu_s() - load->cpu_began_s;
        load->phase = PHASE_DRAIN;
    }
    if (load->config.at_border != NULL) {
        load->config.at_border(load->config.context, is_end);
    }
    if (!is_end) {
        load->phase = PHASE_WINDOW;
        load->window_began_ns = clock_ns(CLOCK_MONOTONIC);
        load->window_ends_ns = load->window_began_ns + load->config.window_ns;
        load->cpu_began_s = cpu_s();
    }
}

static void poll_once(struct load *load)
{
    load->stamps_left = 0;
    if (!pontoon_client_poll(load->client) && !load->config.should_spin) {
        sched_yield();
    }
    load->stamps_left = 0;
    now(load);
}

static void run_until(struct load *load, uint64_t end_ns)
{
    while (load->now_ns < end_ns && !is_full(load)) {
        if (load->config.rate == 0) {
            issue_closed(load);
        } else {
            issue_open(load, UINT64_MAX);
        }
        poll_once(load);
    }
}

static void drain(struct load *load)
{
    uint64_t end_ns = load->now_ns + load->config.drain_ns;
    bool is_open = load->config.rate != 0 && !is_full(load);
    while ((load->free_count < load->config.depth ||
            (is_open && load->due_ns < load->window_ends_ns)) &&
           load->now_ns < end_ns) {
        if (is_open) {
            issue_open(load, load->window_ends_ns);
        }
        poll_once(load);
    }
    load->result->lost = load->config.depth - load->free_count;
    if (is_open && load->due_ns < load->window_ends_ns) {
        load->result->lost += (load->window_ends_ns - load->due_ns) * load->config.rate / SECOND_NS;
    }
}

static int make_payload(struct load *load)
{
    load->payload_bytes = load_entry_bytes(&load->config);
    if (load->payload_bytes > PONTOON_PAYLOAD_BYTES_MAX) {
        return -EINVAL;
    }
    if (load->config.history != NULL &&
        (load->config.workload != LOAD_KV || load->config.bytes < LOAD_TOKEN_BYTES)) {
        return -EINVAL;
    }
    if (load->config.has_keys &&
        (load->config.workload != LOAD_NULL || load->config.bytes < APP_NULL_KEYED_BYTES)) {
        return -EINVAL;
    }
    load->payload = malloc((size_t)load->payload_bytes + 1);
    uint8_t *noise = malloc((size_t)load->config.bytes + 1);
    if (load->payload == NULL || noise == NULL) {
        free(noise);
        return -ENOMEM;
    }
    for (uint32_t at = 0; at < load->config.bytes; at++) {
        noise[at] = (uint8_t)prng_next(&load->prng);
    }
    memcpy(load->payload, noise, load->config.bytes);
    if (load->config.workload == LOAD_KV) {
        char key[KEY_BYTES];
        key_of(0, key);
        const struct kv_command command = {.operation = KV_PUT,
                                           .key = {.data = key, .bytes = KEY_BYTES},
                                           .value = {.data = noise, .bytes = load->config.bytes}};
        kv_command_encode(&command, load->payload, load->payload_bytes);
    }
    free(noise);
    return 0;
}

static int open_load(struct load *load)
{
    uint32_t depth = load->config.depth;
    load->ops = calloc(depth, sizeof(*load->ops));
    load->free_ops = calloc(depth, sizeof(struct op *));
    if (load->ops == NULL || load->free_ops == NULL) {
        return -ENOMEM;
    }
    for (uint32_t at = 0; at < depth; at++) {
        load->ops[at].load = load;
        release_op(load, &load->ops[at]);
    }
    return make_payload(load);
}

static void close_load(struct load *load)
{
    free(load->payload);
    free(load->ops);
    free(load->free_ops);
    free(load);
}

// The history's keys and tokens. Clients of one seed have their own mix.
static void seed_load(struct load *load)
{
    uint64_t seed = load->config.seed;
    if (load->config.history != NULL) {
        load->key_base = prng_splitmix(&seed);
        load->token = (uint64_t)load->config.place << 48;
        seed += load->config.place;
    }
    prng_init(&load->prng, seed);
}

static void run_phases(struct load *load)
{
    now(load);
    load->began_ns = load->due_ns = load->now_ns;
    run_until(load, load->now_ns + load->config.warm_up_ns);
    cross_border(load, false);
    run_until(load, load->window_ends_ns);
    cross_border(load, true);
    drain(load);
}

int load_run(const struct load_config *config, struct pontoon_client *client,
             struct load_result *result)
{
    struct load *load = calloc(1, sizeof(*load));
    if (load == NULL) {
        return -ENOMEM;
    }
    *load = (struct load){.config = *config, .client = client, .result = result};
    memset(result, 0, sizeof(*result));
    histogram_init(&result->write_ns);
    histogram_init(&result->read_ns);
    seed_load(load);
    int error = open_load(load);
    if (error == 0) {
        run_phases(load);
    }
    if (error != 0 || load->free_count == config->depth) {
        close_load(load); // else callbacks may still come, when the client is closed
    }
    return error;
}
