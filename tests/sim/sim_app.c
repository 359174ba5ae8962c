// The state machine of a world: a few keys with tokens, and a running hash over everything it was
// given. Whatever one replica does with an index, all others must do (sim_check.c).
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/bitmap.h"
#include "engine/base/crc32c.h"
#include "tests/sim/sim.h"

enum { KEY_LENGTH = 16 }; // of the key space of footprints

static struct sim_app *of(struct app *app)
{
    return (struct sim_app *)app;
}

uint8_t sim_filler(uint64_t number, uint32_t offset)
{
    return (uint8_t)(number * 31 + offset * 7 + (offset >> 8));
}

// The result: what the judge of the histories expects of these operations (tests/sim/HISTORY.md).
uint32_t sim_app_execute(struct sim_state *state, const struct sim_command *command)
{
    uint64_t *token = &state->tokens[command->key % SIM_KEYS_MAX];
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

// Strict: everything that was ever done, in its order. Parallel: for each key what was done to it,
// in its order; commands that touch no common key leave no trace of theirs.
void sim_app_chain(struct sim_state *state, enum raft_order order, uint64_t index,
                   const struct sim_command *command, uint32_t result)
{
    uint64_t what = sim_mix(sim_mix(index, crc32c(0, command, sizeof(*command))), result);
    state->last = state->last > index ? state->last : index;
    if (order == RAFT_ORDER_STRICT) {
        state->chain = sim_mix(state->chain, what);
        return;
    }
    for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
        if (command->touches >> key & 1) {
            state->chains[key] = sim_mix(state->chains[key], what);
        }
    }
}

// Nobody applies an entry before an earlier one that it conflicts with, nor any twice.
static void check_order(struct sim_app *app, uint64_t index, const struct sim_command *command)
{
    if (app->sim->options.order == RAFT_ORDER_STRICT) {
        SIM_CHECK(app->sim, index > app->state.last, "apply-order",
                  "node %u group %u: index %lu applied behind %lu", app->node, app->group, index,
                  app->state.last);
        return;
    }
    for (uint64_t later = index; later <= app->state.last; later++) {
        uint32_t at = later % SIM_LOG_ENTRIES_MAX;
        bool is_before = app->applied[at].index == later &&
                         (later == index || (app->applied[at].touches & command->touches) != 0);
        SIM_CHECK(app->sim, !is_before, "apply-order",
                  "node %u group %u: index %lu applied behind %lu, with which it conflicts",
                  app->node, app->group, index, later);
    }
    app->applied[index % SIM_LOG_ENTRIES_MAX].index = index;
    app->applied[index % SIM_LOG_ENTRIES_MAX].touches = command->touches;
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
        SIM_CHECK(app->sim, entry->bytes >= sizeof(command), "payload",
                  "node %u group %u: entry %lu has %u bytes", app->node, app->group, entry->index,
                  entry->bytes);
        memcpy(&command, entry->payload, sizeof(command));
        check_filler(app, entry, command.number);
        check_order(app, entry->index, &command);
        results[at] = sim_app_execute(&app->state, &command);
        sim_app_chain(&app->state, app->sim->options.order, entry->index, &command, results[at]);
        sim_check_applied(app, entry->index, &command);
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

int32_t sim_app_touches(const struct sim_command *command, struct app_footprint *ranges)
{
    uint32_t count = 0;
    if (command->touches == SIM_TOUCHES_ALL) {
        return -1;
    }
    for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
        if ((command->touches >> key & 1) == 0) {
            continue;
        }
        bool continues = key > 0 && (command->touches >> (key - 1) & 1) != 0;
        ASSERT(continues || count < APP_FOOTPRINTS_MAX);
        if (continues) {
            ranges[count - 1].length += KEY_LENGTH;
        } else {
            ranges[count++] =
                (struct app_footprint){.start = (uint64_t)key * KEY_LENGTH, .length = KEY_LENGTH};
        }
    }
    return (int32_t)count;
}

static int32_t footprint(const void *payload, uint32_t bytes, struct app_footprint *ranges,
                         uint32_t max)
{
    struct sim_command command;
    ASSERT_CMP(max, ==, APP_FOOTPRINTS_MAX);
    if (bytes < sizeof(command)) {
        return -1;
    }
    memcpy(&command, payload, sizeof(command));
    return sim_app_touches(&command, ranges);
}

static uint64_t digest(struct app *base)
{
    uint64_t hash = of(base)->state.chain;
    for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
        hash = sim_mix(hash, of(base)->state.tokens[key]);
        hash = sim_mix(hash, of(base)->state.chains[key]);
    }
    return hash;
}

// ------------------------------------------------------------------------------------------------
// checkpoints: the state, and some ballast

static uint64_t image_bytes(const struct sim_app *app)
{
    bool is_parallel = app->sim->options.order == RAFT_ORDER_PARALLEL;
    return is_parallel ? sizeof(app->image) : sizeof(app->image.state);
}

static uint64_t stream_bytes(const struct sim_app *app)
{
    return image_bytes(app) + app->sim->options.ballast_bytes;
}

bool sim_app_has_applied(const struct sim_app *app, uint64_t index)
{
    return index + SIM_LOG_ENTRIES_MAX <= app->state.last ||
           app->applied[index % SIM_LOG_ENTRIES_MAX].index == index;
}

// The last indexes of which some may be missing.
static uint64_t first_doubtful(const struct sim_app *app)
{
    uint64_t last = app->state.last;
    return last > SIM_LOG_ENTRIES_MAX ? last - SIM_LOG_ENTRIES_MAX + 1 : 1;
}

static void fill_image(struct sim_app *app)
{
    memset(&app->image, 0, sizeof(app->image));
    app->image.state = app->state;
    for (uint64_t index = first_doubtful(app); index <= app->state.last; index++) {
        if (sim_app_has_applied(app, index)) {
            bitmap_set(app->image.applied, index % SIM_LOG_ENTRIES_MAX);
        }
    }
}

static void take_image(struct sim_app *app)
{
    const struct sim_truth *truth = &app->sim->truths[app->group];
    app->state = app->image.state;
    for (uint64_t index = first_doubtful(app);
         index <= app->state.last && index <= truth->executed_last; index++) {
        uint32_t at = index % SIM_LOG_ENTRIES_MAX;
        if (bitmap_test(app->image.applied, at)) {
            app->applied[at].index = index;
            app->applied[at].touches = truth->executed[index].touches;
        }
    }
}

static int checkpoint_begin(struct app *base)
{
    struct sim_app *app = of(base);
    SIM_CHECK(app->sim, !app->is_streaming, "checkpoint", "node %u: two at once", app->node);
    app->is_streaming = true;
    app->stream_offset = 0;
    fill_image(app);
    return 0;
}

static int64_t checkpoint_read(struct app *base, void *buffer, uint64_t capacity)
{
    struct sim_app *app = of(base);
    uint8_t *out = buffer;
    uint64_t count = 0, end = stream_bytes(app);
    for (; count < capacity && app->stream_offset < end; count++, app->stream_offset++) {
        out[count] = app->stream_offset < image_bytes(app)
                         ? ((const uint8_t *)&app->image)[app->stream_offset]
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
    memset(of(base)->applied, 0, sizeof(of(base)->applied));
    memset(&of(base)->image, 0, sizeof(of(base)->image));
    of(base)->stream_offset = 0;
    return 0;
}

static int restore_write(struct app *base, const void *data, uint64_t bytes)
{
    struct sim_app *app = of(base);
    const uint8_t *in = data;
    for (uint64_t at = 0; at < bytes; at++, app->stream_offset++) {
        if (app->stream_offset < image_bytes(app)) {
            ((uint8_t *)&app->image)[app->stream_offset] = in[at];
        } else if (in[at] != sim_filler(app->image.state.last, (uint32_t)app->stream_offset)) {
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
    take_image(app);
    if (app->state.last > 0) {
        sim_check_state(app, app->sim->options.order == RAFT_ORDER_PARALLEL);
    }
    return 0;
}

static void close_app(struct app *base)
{
    free(base);
}

#define OPS(of_command)                                                                            \
    {                                                                                              \
        .name = "sim", .apply = apply, .read = read_query, .footprint = of_command,                \
        .digest = digest, .checkpoint_begin = checkpoint_begin,                                    \
        .checkpoint_read = checkpoint_read, .checkpoint_end = checkpoint_end,                      \
        .restore_begin = restore_begin, .restore_write = restore_write,                            \
        .restore_end = restore_end, .close = close_app,                                            \
    }

static const struct app_ops ops = OPS(footprint), opaque = OPS(NULL);

int sim_app_open(struct sim *sim, uint16_t node, uint16_t group, struct app **out)
{
    struct sim_app *app = calloc(1, sizeof(*app));
    ASSERT(app != NULL);
    app->app.ops = sim->options.ranges == SIM_RANGES_TRUE ? &opaque : &ops;
    app->sim = sim;
    app->node = node;
    app->group = group;
    *out = &app->app;
    return 0;
}
