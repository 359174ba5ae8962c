// The state machine of fuzz_node: an order and a hash.
//
// Commands are applied in the order of their indexes; those of parallel groups in any order, but
// once.
#include "tests/fuzz/node.h"

#include <errno.h>

enum { KEYS = 4 }; // that commands touch

struct node_app {
    struct app app; // first
    uint16_t group;
    uint64_t last, chain;                   // all of its state: highest index, and a sum
    uint64_t applied[2 * NODE_DURABLE_MAX]; // parallel: indexes of this life, by themselves
    uint64_t offered; // `last` of the checkpoint it was given: a peer may lie about what it covers
    bool is_read;     // checkpoint
    uint32_t restored;
};

static struct node_app apps[NODE_GROUPS];

static struct node_app *app_of(struct app *app)
{
    return (struct node_app *)app;
}

static void apply(struct app *base, const struct app_entry *entries, uint32_t count,
                  uint32_t *results)
{
    struct node_app *app = app_of(base);
    for (uint32_t at = 0; at < count; at++) {
        uint64_t *seen = &app->applied[entries[at].index % (2 * NODE_DURABLE_MAX)];
        REQUIRE(node.is_parallel || entries[at].index > app->last,
                "%" PRIu64 " applied behind %" PRIu64, entries[at].index, app->last);
        REQUIRE(*seen < entries[at].index, "%" PRIu64 " applied twice, or behind %" PRIu64,
                entries[at].index, *seen);
        *seen = entries[at].index;
        app->last = app->last > entries[at].index ? app->last : entries[at].index;
        app->chain += world_mix(7, entries[at].index);
        for (uint32_t byte = 0; byte < entries[at].bytes; byte += 512) {
            app->chain += ((const uint8_t *)entries[at].payload)[byte];
        }
        results[at] = entries[at].bytes;
    }
}

static int32_t read_app(struct app *app, const void *query, uint32_t query_bytes, void *answer,
                        uint32_t answer_capacity)
{
    if (query_bytes == 0) {
        return -EINVAL;
    }
    uint32_t bytes = *(const uint8_t *)query * UINT32_C(40); // up to several frames
    memset(answer, 1, bytes);
    return (int32_t)bytes;
}

// A command touches the key of its length; an empty one everything.
static int32_t footprint(const void *payload, uint32_t bytes, struct app_footprint *ranges,
                         uint32_t max)
{
    ranges[0] = (struct app_footprint){.start = bytes % KEYS, .length = 1};
    return bytes == 0 ? -1 : 1;
}

static uint64_t digest(struct app *app)
{
    return app_of(app)->chain;
}

static int checkpoint_begin(struct app *app)
{
    app_of(app)->is_read = false;
    return 0;
}

static int64_t checkpoint_read(struct app *base, void *buffer, uint64_t capacity)
{
    struct node_app *app = app_of(base);
    if (app->is_read || capacity < 16) {
        return app->is_read ? 0 : -ENOSPC;
    }
    memcpy(buffer, &app->last, 16);
    app->is_read = true;
    return 16;
}

static void checkpoint_end(struct app *app)
{
}

static int restore_begin(struct app *base)
{
    struct node_app *app = app_of(base);
    app->last = app->chain = 0;
    memset(app->applied, 0, sizeof(app->applied));
    app->restored = 0;
    return 0;
}

static int restore_write(struct app *base, const void *data, uint64_t bytes)
{
    struct node_app *app = app_of(base);
    if (bytes > 16 - app->restored) {
        return -EBADMSG;
    }
    memcpy((uint8_t *)&app->last + app->restored, data, bytes);
    app->restored += (uint32_t)bytes;
    return 0;
}

static int restore_end(struct app *base)
{
    struct node_app *app = app_of(base);
    if (app->restored != 16) {
        app->last = app->chain = 0;
        return -EBADMSG;
    }
    app->offered = app->last;
    return 0;
}

static void close_app(struct app *app)
{
}

static const struct app_ops app_ops = {.name = "node",
                                       .apply = apply,
                                       .read = read_app,
                                       .footprint = footprint,
                                       .digest = digest,
                                       .checkpoint_begin = checkpoint_begin,
                                       .checkpoint_read = checkpoint_read,
                                       .checkpoint_end = checkpoint_end,
                                       .restore_begin = restore_begin,
                                       .restore_write = restore_write,
                                       .restore_end = restore_end,
                                       .close = close_app};

int node_app_open(void *context, uint16_t group, struct app **app, char *reason,
                  size_t reason_bytes)
{
    apps[group] = (struct node_app){.app.ops = &app_ops, .group = group};
    *app = &apps[group].app;
    return 0;
}

void node_app_check(uint16_t group, uint64_t committed)
{
    const struct node_app *app = &apps[group];
    REQUIRE(app->last <= committed || app->last == app->offered, "applied %" PRIu64, app->last);
}
