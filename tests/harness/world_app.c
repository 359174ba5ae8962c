// The state machine of a world: counters, a running hash over everything it was given, and perhaps
// a kv store behind. Every command is reported to world_check.c.
#include "tests/harness/world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/app_kv/app_kv.h"
#include "engine/base/crc32c.h"

#define KV_BYTES (UINT64_C(8) << 20)

static struct world_app *of(struct app *app)
{
    return (struct world_app *)app;
}

uint64_t world_mix(uint64_t hash, uint64_t value)
{
    hash ^= value + UINT64_C(0x9E3779B97F4A7C15) + (hash << 6) + (hash >> 2);
    hash = (hash ^ (hash >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    return hash ^ (hash >> 29);
}

// What every payload holds behind its head.
uint8_t world_filler(uint64_t number, uint32_t offset)
{
    return (uint8_t)(number * 31 + offset * 7 + (offset >> 8));
}

static uint32_t execute(struct world_app *app, const struct app_entry *entry)
{
    struct world_command command;
    uint32_t result = 0;
    if (entry->bytes < sizeof(command)) {
        return entry->bytes;
    }
    memcpy(&command, entry->payload, sizeof(command));
    if (command.action == WORLD_ADD) {
        return (uint32_t)++app->state.counters[command.key % WORLD_KEYS];
    }
    if (app->inner != NULL) {
        const struct app_entry inner = {.index = entry->index,
                                        .payload =
                                            (const uint8_t *)entry->payload + sizeof(command),
                                        .bytes = entry->bytes - (uint32_t)sizeof(command)};
        app->inner->ops->apply(app->inner, &inner, 1, &result);
    }
    return result;
}

static void apply(struct app *base, const struct app_entry *entries, uint32_t count,
                  uint32_t *results)
{
    struct world_app *app = of(base);
    WORLD_CHECK(app->world, !app->is_streaming, "node %u applies during a checkpoint", app->node);
    for (uint32_t at = 0; at < count; at++) {
        const struct app_entry *entry = &entries[at];
        WORLD_CHECK(app->world, entry->index > app->state.last,
                    "node %u group %u: index %lu applied behind %lu", app->node, app->group,
                    entry->index, app->state.last);
        results[at] = execute(app, entry);
        app->state.last = entry->index;
        app->state.commands++;
        app->state.chain = world_mix(app->state.chain, entry->index);
        app->state.chain = world_mix(app->state.chain, crc32c(0, entry->payload, entry->bytes));
        app->state.chain = world_mix(app->state.chain, results[at]);
        world_check_applied(app, entry, results[at]);
    }
}

static int32_t read_query(struct app *base, const void *bytes, uint32_t count, void *answer,
                          uint32_t capacity)
{
    struct world_app *app = of(base);
    struct world_query query;
    if (count != sizeof(query)) {
        return -EINVAL;
    }
    memcpy(&query, bytes, sizeof(query));
    uint64_t value = app->state.counters[query.key % WORLD_KEYS];
    uint8_t *out = answer;
    memcpy(out, &value, sizeof(value));
    for (uint32_t at = sizeof(value); at < query.answer_bytes && at < capacity; at++) {
        out[at] = world_filler(value, at);
    }
    return (int32_t)(query.answer_bytes < sizeof(value) ? sizeof(value) : query.answer_bytes);
}

static int32_t footprint(const void *payload, uint32_t bytes, struct app_footprint *ranges,
                         uint32_t max)
{
    return -1;
}

static uint64_t digest(struct app *base)
{
    struct world_app *app = of(base);
    uint64_t hash = world_mix(app->state.chain, app->state.commands);
    return app->inner == NULL ? hash : world_mix(hash, app->inner->ops->digest(app->inner));
}

// --- checkpoints: state, ballast, inner stream ---

static uint64_t own_bytes(const struct world_app *app)
{
    return sizeof(app->state) + app->world->options.app_ballast_bytes;
}

static int checkpoint_begin(struct app *base)
{
    struct world_app *app = of(base);
    WORLD_CHECK(app->world, !app->is_streaming, "node %u: two checkpoints at once", app->node);
    app->is_streaming = true;
    app->stream_offset = 0;
    return app->inner == NULL ? 0 : app->inner->ops->checkpoint_begin(app->inner);
}

static int64_t checkpoint_read(struct app *base, void *buffer, uint64_t capacity)
{
    struct world_app *app = of(base);
    uint64_t own = own_bytes(app), offset = app->stream_offset;
    if (offset == own) {
        return app->inner == NULL ? 0
                                  : app->inner->ops->checkpoint_read(app->inner, buffer, capacity);
    }
    uint64_t count = own - offset < capacity ? own - offset : capacity;
    for (uint64_t at = 0; at < count; at++) {
        uint64_t from = offset + at;
        ((uint8_t *)buffer)[at] = from < sizeof(app->state) ? ((uint8_t *)&app->state)[from]
                                                            : world_filler(1, (uint32_t)from);
    }
    app->stream_offset += count;
    return (int64_t)count;
}

static void checkpoint_end(struct app *base)
{
    struct world_app *app = of(base);
    app->is_streaming = false;
    if (app->inner != NULL) {
        app->inner->ops->checkpoint_end(app->inner);
    }
}

static int restore_begin(struct app *base)
{
    struct world_app *app = of(base);
    WORLD_CHECK(app->world, !app->is_streaming, "node %u: restore during a checkpoint", app->node);
    memset(&app->state, 0, sizeof(app->state));
    app->stream_offset = 0;
    return app->inner == NULL ? 0 : app->inner->ops->restore_begin(app->inner);
}

static int restore_write(struct app *base, const void *data, uint64_t bytes)
{
    struct world_app *app = of(base);
    uint64_t own = own_bytes(app);
    const uint8_t *from = data;
    for (; bytes > 0 && app->stream_offset < own; from++, bytes--) {
        if (app->stream_offset < sizeof(app->state)) {
            ((uint8_t *)&app->state)[app->stream_offset] = *from;
        } else if (*from != world_filler(1, (uint32_t)app->stream_offset)) {
            return -EBADMSG;
        }
        app->stream_offset++;
    }
    if (bytes == 0) {
        return 0;
    }
    return app->inner == NULL ? -EBADMSG : app->inner->ops->restore_write(app->inner, from, bytes);
}

static int restore_end(struct app *base)
{
    struct world_app *app = of(base);
    if (app->stream_offset != own_bytes(app)) {
        return -EBADMSG;
    }
    return app->inner == NULL ? 0 : app->inner->ops->restore_end(app->inner);
}

static void close_app(struct app *base)
{
    struct world_app *app = of(base);
    if (app->inner != NULL) {
        app->inner->ops->close(app->inner);
    }
    free(app);
}

static const struct app_ops ops = {.name = "world",
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

int world_app_open(struct world *world, uint16_t node, uint16_t group, struct app **out,
                   char *reason, size_t reason_bytes)
{
    struct world_app *app = calloc(1, sizeof(*app));
    app->app.ops = &ops;
    app->world = world;
    app->node = node;
    app->group = group;
    *out = &app->app;
    const struct app_kv_config kv = {.memory_bytes = KV_BYTES};
    return world->options.has_kv ? app_kv_open(&kv, &app->inner, reason, reason_bytes) : 0;
}
