#include "tests/unit/embed/vault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { KEY = 0xA7 };

struct command {
    uint32_t first, count, value;
};

struct vault {
    struct app app; // first
    struct vault_order *order;
    uint64_t capacity, used; // (a checkpoint does not keep what is used: no test needs it)
    uint32_t slots[VAULT_SLOTS];
    uint32_t stream_bytes; // of a checkpoint under way, in either direction
};

static struct vault *of(struct app *app)
{
    return (struct vault *)app;
}

// The cipher: enough to hide the slots from who does not know the key.
static void cross(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    for (uint32_t at = 0; at < bytes; at++) {
        to[at] = (uint8_t)(from[at] ^ (KEY + 29 * at));
    }
}

void vault_encrypt(uint8_t *payload, uint32_t bytes, uint32_t first, uint32_t count, uint32_t value)
{
    const struct command command = {.first = first, .count = count, .value = value};
    memset(payload, 0, bytes);
    memcpy(payload, &command, sizeof(command));
    cross(payload, payload, bytes);
}

static void apply(struct app *app, const struct app_entry *entries, uint32_t count,
                  uint32_t *results)
{
    struct vault *vault = of(app);
    for (uint32_t at = 0; at < count; at++) {
        struct command command = {0};
        results[at] = UINT32_MAX;
        vault->used += entries[at].bytes + APP_COMMAND_BYTES;
        if (entries[at].bytes >= sizeof(command)) {
            cross((uint8_t *)&command, entries[at].payload, sizeof(command));
        }
        if (command.count == 0 || command.count > VAULT_SLOTS ||
            command.first > VAULT_SLOTS - command.count) {
            continue;
        }
        results[at] = vault->slots[command.first];
        for (uint32_t slot = 0; slot < command.count; slot++) {
            vault->slots[command.first + slot] = command.value;
        }
        if (vault->order->count < VAULT_ORDER_MAX) {
            vault->order->values[vault->order->count++] = command.value;
        }
    }
}

static int32_t answer(struct app *app, const void *query, uint32_t query_bytes, void *to,
                      uint32_t capacity)
{
    uint32_t slot;
    if (query_bytes != sizeof(slot)) {
        return -EINVAL;
    }
    memcpy(&slot, query, sizeof(slot));
    if (slot >= VAULT_SLOTS || capacity < sizeof(uint32_t)) {
        return -EINVAL;
    }
    memcpy(to, &of(app)->slots[slot], sizeof(uint32_t));
    return sizeof(uint32_t);
}

static int32_t everything(const void *payload, uint32_t bytes, struct app_footprint *ranges,
                          uint32_t max)
{
    return -1;
}

static uint64_t room(const struct app *app)
{
    const struct vault *vault = (const struct vault *)app;
    uint64_t left = vault->used < vault->capacity ? vault->capacity - vault->used : 0;
    return vault->capacity == 0 ? UINT64_MAX : left;
}

static uint64_t digest(struct app *app)
{
    uint64_t hash = 0;
    for (uint32_t slot = 0; slot < VAULT_SLOTS; slot++) {
        hash = (hash ^ of(app)->slots[slot]) * UINT64_C(0x9E3779B97F4A7C15);
    }
    return hash;
}

static int checkpoint_begin(struct app *app)
{
    of(app)->stream_bytes = 0;
    return 0;
}

static int64_t checkpoint_read(struct app *app, void *buffer, uint64_t capacity)
{
    struct vault *vault = of(app);
    uint32_t left = (uint32_t)sizeof(vault->slots) - vault->stream_bytes;
    uint32_t bytes = left < capacity ? left : (uint32_t)capacity;
    memcpy(buffer, (const uint8_t *)vault->slots + vault->stream_bytes, bytes);
    vault->stream_bytes += bytes;
    return bytes;
}

static void checkpoint_end(struct app *app)
{
}

static int restore_begin(struct app *app)
{
    of(app)->stream_bytes = 0;
    memset(of(app)->slots, 0, sizeof(of(app)->slots));
    return 0;
}

static int restore_write(struct app *app, const void *data, uint64_t bytes)
{
    struct vault *vault = of(app);
    if (bytes > sizeof(vault->slots) - vault->stream_bytes) {
        return -EBADMSG;
    }
    memcpy((uint8_t *)vault->slots + vault->stream_bytes, data, bytes);
    vault->stream_bytes += (uint32_t)bytes;
    return 0;
}

static int restore_end(struct app *app)
{
    return of(app)->stream_bytes == sizeof(of(app)->slots) ? 0 : -EBADMSG;
}

static void close_vault(struct app *app)
{
    free(app);
}

int vault_open(const struct vault_options *options, struct vault_order *order, struct app **app)
{
#define VAULT_OPS(of_command)                                                                      \
    {                                                                                              \
        .name = "vault", .apply = apply, .read = answer, .footprint = of_command, .room = room,    \
        .digest = digest, .checkpoint_begin = checkpoint_begin,                                    \
        .checkpoint_read = checkpoint_read, .checkpoint_end = checkpoint_end,                      \
        .restore_begin = restore_begin, .restore_write = restore_write,                            \
        .restore_end = restore_end, .close = close_vault,                                          \
    }
    static const struct app_ops opaque = VAULT_OPS(NULL), knowing = VAULT_OPS(everything);
    struct vault *vault = calloc(1, sizeof(*vault));
    if (vault == NULL) {
        return -ENOMEM;
    }
    vault->app.ops = options->knows_all ? &knowing : &opaque;
    vault->order = order;
    vault->capacity = options->capacity;
    *app = &vault->app;
    return 0;
}
