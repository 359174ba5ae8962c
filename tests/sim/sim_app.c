// The state machine of a world: a few keys with tokens, and a running hash over everything it was
// given. Whatever one replica does with an index, all others must do (sim_check.c).
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/crc32c.h"
#include "tests/sim/sim.h"

static struct sim_app *of(struct app *app)
{
    return (struct sim_app *)app;
}

uint8_t sim_filler(uint64_t number, uint32_t offset)
{
    return (uint8_t)(number * 31 + offset * 7 + (offset >> 8));
}

// The result: what the judge of the histories expects of these operations (tests/sim/HISTORY.md).
static uint32_t execute(struct sim_app *app, const struct sim_command *command)
{
    uint64_t *token = &app->state.tokens[command->key % SIM_KEYS_MAX];
    switch ((enum sim_action)command->action) {
    case SIM_PUT:
        *token = command->token;
        return 0;
    case SIM_DELETE: {
        uint32_t result = *token == 0;
        *token = 0;
        return result;
    }
    case SIM_CAS:
        if (*token != command->expected) {
            return *token == 0 ? 1 : 2;
        }
        *token = command->token;
        return 0;
    case SIM_GET:
        break;
    }
    return 3;
}

static void check_filler(struct sim_app *app, const struct app_entry *entry, uint64_t number)
{
    const uint8_t *payload = entry->payload;
    for (uint32_t at = sizeof(struct sim_command); at < entry->bytes; at++) {
        SIM_CHECK(app->sim, payload[at] == sim_filler(number, at), "payload",
                  "node %u group %u: byte %u of entry %lu is not what its client sent", app->node,
                  app->group, at, entry->index);
    }
}

static void apply(struct app *base, const struct app_entry *entries, uint32_t count,
                  uint32_t *results)
{
    struct sim_app *app = of(base);
    SIM_CHECK(app->sim, !app->is_streaming, "checkpoint", "node %u applies while it is read out",
              app->node);
    for (uint32_t at = 0; at < count; at++) {
        const struct app_entry *entry = &entries[at];
        struct sim_command command;
        SIM_CHECK(app->sim, entry->index > app->state.last, "apply-order",
                  "node %u group %u: index %lu applied behind %lu", app->node, app->group,
                  entry->index, app->state.last);
        SIM_CHECK(app->sim, entry->bytes >= sizeof(command), "payload",
                  "node %u group %u: entry %lu has %u bytes", app->node, app->group, entry->index,
                  entry->bytes);
        memcpy(&command, entry->payload, sizeof(command));
        check_filler(app, entry, command.number);
        results[at] = execute(app, &command);
        app->state.last = entry->index;
        app->state.chain = sim_mix(app->state.chain, entry->index);
        app->state.chain = sim_mix(app->state.chain, crc32c(0, &command, sizeof(command)));
        app->state.chain = sim_mix(app->state.chain, results[at]);
        sim_check_applied(app, entry->index);
    }
}

static int32_t read_query(struct app *base, const void *bytes, uint32_t count, void *answer,
                          uint32_t capacity)
{
    struct sim_app *app = of(base);
    struct sim_query query;
    if (count != sizeof(query)) {
        return -EINVAL;
    }
    memcpy(&query, bytes, sizeof(query));
    uint64_t token = app->state.tokens[query.key % SIM_KEYS_MAX];
    uint8_t *out = answer;
    memcpy(out, &token, sizeof(token));
    for (uint32_t at = sizeof(token); at < query.answer_bytes && at < capacity; at++) {
        out[at] = sim_filler(token, at);
    }
    return (int32_t)(query.answer_bytes < sizeof(token) ? sizeof(token) : query.answer_bytes);
}

static int32_t footprint(const void *payload, uint32_t bytes, struct app_footprint *ranges,
                         uint32_t max)
{
    return -1;
}

static uint64_t digest(struct app *base)
{
    uint64_t hash = of(base)->state.chain;
    for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
        hash = sim_mix(hash, of(base)->state.tokens[key]);
    }
    return hash;
}

// ------------------------------------------------------------------------------------------------
// checkpoints: the state, and some ballast

static uint64_t stream_bytes(const struct sim_app *app)
{
    return sizeof(app->state) + app->sim->options.ballast_bytes;
}

static int checkpoint_begin(struct app *base)
{
    struct sim_app *app = of(base);
    SIM_CHECK(app->sim, !app->is_streaming, "checkpoint", "node %u: two at once", app->node);
    app->is_streaming = true;
    app->stream_offset = 0;
    return 0;
}

static int64_t checkpoint_read(struct app *base, void *buffer, uint64_t capacity)
{
    struct sim_app *app = of(base);
    uint8_t *out = buffer;
    uint64_t count = 0, end = stream_bytes(app);
    for (; count < capacity && app->stream_offset < end; count++, app->stream_offset++) {
        out[count] = app->stream_offset < sizeof(app->state)
                         ? ((const uint8_t *)&app->state)[app->stream_offset]
                         : sim_filler(app->state.last, (uint32_t)app->stream_offset);
    }
    return (int64_t)count;
}

static void checkpoint_end(struct app *base)
{
    of(base)->is_streaming = false;
}

static int restore_begin(struct app *base)
{
    memset(&of(base)->state, 0, sizeof(of(base)->state));
    of(base)->stream_offset = 0;
    return 0;
}

static int restore_write(struct app *base, const void *data, uint64_t bytes)
{
    struct sim_app *app = of(base);
    const uint8_t *in = data;
    for (uint64_t at = 0; at < bytes; at++, app->stream_offset++) {
        if (app->stream_offset < sizeof(app->state)) {
            ((uint8_t *)&app->state)[app->stream_offset] = in[at];
        } else if (in[at] != sim_filler(app->state.last, (uint32_t)app->stream_offset)) {
            return -EBADMSG;
        }
    }
    return 0;
}

static int restore_end(struct app *base)
{
    struct sim_app *app = of(base);
    if (app->stream_offset != stream_bytes(app)) {
        restore_begin(base);
        return -EBADMSG;
    }
    if (app->state.last > 0) {
        sim_check_applied(app, app->state.last);
    }
    return 0;
}

static void close_app(struct app *base)
{
    free(base);
}

static const struct app_ops ops = {.name = "sim",
                                   .apply = apply,
                                   .read = read_query,
                                   .footprint = footprint,
                                   .digest = digest,
                                   .checkpoint_begin = checkpoint_begin,
                                   .checkpoint_read = checkpoint_read,
                                   .checkpoint_end = checkpoint_end,
                                   .restore_begin = restore_begin,
                                   .restore_write = restore_write,
                                   .restore_end = restore_end,
                                   .close = close_app};

int sim_app_open(struct sim *sim, uint16_t node, uint16_t group, struct app **out)
{
    struct sim_app *app = calloc(1, sizeof(*app));
    ASSERT(app != NULL);
    app->app.ops = &ops;
    app->sim = sim;
    app->node = node;
    app->group = group;
    *out = &app->app;
    return 0;
}
