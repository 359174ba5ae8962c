#include "tests/unit/embed/sum.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct sum {
    struct app app; // first
    atomic_uint *open_count;
    struct sum_state state;
    uint64_t stream_bytes; // of a checkpoint under way, in either direction
    struct sum_state stream;
};

static struct sum *of(struct app *app)
{
    return (struct sum *)app;
}

static void apply(struct app *app, const struct app_entry *entries, uint32_t count,
                  uint32_t *results)
{
    struct sum_state *state = &of(app)->state;
    for (uint32_t at = 0; at < count; at++) {
        uint64_t number;
        results[at] = SUM_REFUSED;
        if (entries[at].bytes == sizeof(number)) {
            memcpy(&number, entries[at].payload, sizeof(number));
            state->sum += number;
            results[at] = (uint32_t)++state->count;
        }
    }
}

static int32_t answer(struct app *app, const void *query, uint32_t query_bytes, void *to,
                      uint32_t capacity)
{
    if (query_bytes != 0) {
        return -EINVAL;
    }
    if (capacity < sizeof(struct sum_state)) {
        return -EMSGSIZE;
    }
    memcpy(to, &of(app)->state, sizeof(struct sum_state));
    return sizeof(struct sum_state);
}

static int32_t footprint(const void *payload, uint32_t bytes, struct app_footprint *ranges,
                         uint32_t max)
{
    return -1;
}

static uint64_t digest(struct app *app)
{
    const struct sum_state *state = &of(app)->state;
    return (state->sum + 1) * UINT64_C(0x9E3779B97F4A7C15) + state->count;
}

static int checkpoint_begin(struct app *app)
{
    of(app)->stream = of(app)->state;
    of(app)->stream_bytes = 0;
    return 0;
}

static int64_t checkpoint_read(struct app *app, void *buffer, uint64_t capacity)
{
    struct sum *sum = of(app);
    uint64_t left = sizeof(sum->stream) - sum->stream_bytes;
    uint64_t bytes = left < capacity ? left : capacity;
    memcpy(buffer, (uint8_t *)&sum->stream + sum->stream_bytes, bytes);
    sum->stream_bytes += bytes;
    return (int64_t)bytes;
}

static void checkpoint_end(struct app *app)
{
}

static int restore_begin(struct app *app)
{
    of(app)->state = (struct sum_state){0};
    of(app)->stream_bytes = 0;
    return 0;
}

static int restore_write(struct app *app, const void *data, uint64_t bytes)
{
    struct sum *sum = of(app);
    if (bytes > sizeof(sum->stream) - sum->stream_bytes) {
        return -EBADMSG;
    }
    memcpy((uint8_t *)&sum->stream + sum->stream_bytes, data, bytes);
    sum->stream_bytes += bytes;
    return 0;
}

static int restore_end(struct app *app)
{
    struct sum *sum = of(app);
    if (sum->stream_bytes != sizeof(sum->stream)) {
        return -EBADMSG;
    }
    sum->state = sum->stream;
    return 0;
}

static void close_sum(struct app *app)
{
    if (of(app)->open_count != NULL) {
        atomic_fetch_sub(of(app)->open_count, 1);
    }
    free(app);
}

int sum_open(void *context, uint16_t group, struct app **app)
{
    static const struct app_ops ops = {.name = "sum",
                                       .apply = apply,
                                       .read = answer,
                                       .footprint = footprint,
                                       .digest = digest,
                                       .checkpoint_begin = checkpoint_begin,
                                       .checkpoint_read = checkpoint_read,
                                       .checkpoint_end = checkpoint_end,
                                       .restore_begin = restore_begin,
                                       .restore_write = restore_write,
                                       .restore_end = restore_end,
                                       .close = close_sum};
    struct sum *sum = calloc(1, sizeof(*sum));
    if (sum == NULL) {
        return -ENOMEM;
    }
    sum->app.ops = &ops;
    sum->open_count = context;
    if (context != NULL) {
        atomic_fetch_add(sum->open_count, 1);
    }
    *app = &sum->app;
    return 0;
}
