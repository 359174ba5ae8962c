// Every command succeeds. The state is three sums over the applied entries, so entries commute: any
// order of apply gives the same state. Keys only decide which commands wait for each other.
//
// Checkpoint, little-endian: magic (8), entries (8), bytes (8), digest (8), check_payload (4),
// CRC32C of these (4).
#include "drivers/app_null/app_null.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/crc32c.h"

#define MAGIC UINT64_C(0x014C4C554E544E50) // "PNTNULL\1"

#define KEYED_MAGIC UINT64_C(0x0159454B4C554E50) // "PNULKEY\1"

enum { CHECKPOINT_BYTES = 40 };

struct app_null {
    struct app app; // first
    uint64_t entries;
    uint64_t bytes;
    uint64_t digest; // sum of a hash of (index, bytes, payload if checked) over all entries
    bool check_payload;
    uint8_t stream[CHECKPOINT_BYTES]; // of a checkpoint under way, in either direction
    uint64_t stream_bytes;            // of it, read or written so far
};

static struct app_null *of(struct app *app)
{
    return (struct app_null *)app;
}

// Multipliers: the golden ratio's and MurmurHash3's. Independent of the entry before, so that
// entries overlap in the pipeline.
static uint64_t hash(uint64_t index, uint64_t content)
{
    uint64_t word =
        (index * UINT64_C(0x9E3779B97F4A7C15)) ^ (content * UINT64_C(0xFF51AFD7ED558CCD));
    word ^= word >> 32;
    return word * UINT64_C(0xC4CEB9FE1A85EC53);
}

static void apply(struct app *app, const struct app_entry *entries, uint32_t count,
                  uint32_t *results)
{
    struct app_null *null = of(app);
    uint64_t bytes = 0, digest = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t content = entries[i].bytes;
        if (null->check_payload) {
            content |= (uint64_t)crc32c(0, entries[i].payload, entries[i].bytes) << 32;
        }
        bytes += entries[i].bytes;
        digest += hash(entries[i].index, content);
        results[i] = 0;
    }
    null->entries += count;
    null->bytes += bytes;
    null->digest += digest;
}

static void write_u64(uint8_t *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof(value));
}

static uint64_t read_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return le64toh(value);
}

static int32_t read_query(struct app *app, const void *query, uint32_t query_bytes, void *answer,
                          uint32_t answer_capacity)
{
    (void)query;
    (void)query_bytes;
    if (answer_capacity < APP_NULL_ANSWER_BYTES) {
        return -EMSGSIZE;
    }
    uint8_t *at = answer;
    write_u64(at, of(app)->entries);
    write_u64(at + 8, of(app)->bytes);
    write_u64(at + 16, of(app)->digest);
    return APP_NULL_ANSWER_BYTES;
}

void app_null_name_key(void *payload, uint64_t key)
{
    write_u64(payload, KEYED_MAGIC);
    write_u64((uint8_t *)payload + 8, key);
}

static int32_t footprint(const void *payload, uint32_t bytes, struct app_footprint *ranges,
                         uint32_t max)
{
    if (bytes < APP_NULL_KEYED_BYTES || max == 0 || read_u64(payload) != KEYED_MAGIC) {
        return 0;
    }
    ranges[0] =
        (struct app_footprint){.start = read_u64((const uint8_t *)payload + 8), .length = 1};
    return 1;
}

static uint64_t digest_state(struct app *app)
{
    struct app_null *null = of(app);
    return null->digest + hash(null->entries, null->bytes) + null->check_payload;
}

static void encode(const struct app_null *null, uint8_t *stream)
{
    write_u64(stream, MAGIC);
    write_u64(stream + 8, null->entries);
    write_u64(stream + 16, null->bytes);
    write_u64(stream + 24, null->digest);
    uint32_t crc = crc32c(0, stream, 32);
    uint8_t flag[4] = {null->check_payload, 0, 0, 0};
    crc = crc32c(crc, flag, sizeof(flag));
    write_u64(stream + 32, (uint64_t)null->check_payload | (uint64_t)crc << 32);
}

static int checkpoint_begin(struct app *app)
{
    encode(of(app), of(app)->stream);
    of(app)->stream_bytes = 0;
    return 0;
}

static int64_t checkpoint_read(struct app *app, void *buffer, uint64_t capacity)
{
    struct app_null *null = of(app);
    uint64_t left = CHECKPOINT_BYTES - null->stream_bytes;
    uint64_t bytes = left < capacity ? left : capacity;
    memcpy(buffer, null->stream + null->stream_bytes, bytes);
    null->stream_bytes += bytes;
    return (int64_t)bytes;
}

static void checkpoint_end(struct app *app)
{
    (void)app;
}

static void clear(struct app_null *null)
{
    null->entries = 0;
    null->bytes = 0;
    null->digest = 0;
}

static int restore_begin(struct app *app)
{
    clear(of(app));
    of(app)->stream_bytes = 0;
    return 0;
}

static int restore_write(struct app *app, const void *data, uint64_t bytes)
{
    struct app_null *null = of(app);
    if (bytes > CHECKPOINT_BYTES - null->stream_bytes) {
        null->stream_bytes = CHECKPOINT_BYTES;
        memset(null->stream, 0, CHECKPOINT_BYTES);
        return -EBADMSG;
    }
    memcpy(null->stream + null->stream_bytes, data, bytes);
    null->stream_bytes += bytes;
    return 0;
}

// Whole and valid: what was written is exactly what such a state would be saved as.
static int restore_end(struct app *app)
{
    struct app_null *null = of(app);
    uint8_t expected[CHECKPOINT_BYTES];
    null->entries = read_u64(null->stream + 8);
    null->bytes = read_u64(null->stream + 16);
    null->digest = read_u64(null->stream + 24);
    encode(null, expected);
    if (null->stream_bytes != CHECKPOINT_BYTES ||
        memcmp(expected, null->stream, CHECKPOINT_BYTES) != 0) {
        clear(null);
        return -EBADMSG;
    }
    return 0;
}

static void close_app(struct app *app)
{
    free(app);
}

static const struct app_ops ops = {
    .name = "null",
    .apply = apply,
    .read = read_query,
    .footprint = footprint,
    .digest = digest_state,
    .checkpoint_begin = checkpoint_begin,
    .checkpoint_read = checkpoint_read,
    .checkpoint_end = checkpoint_end,
    .restore_begin = restore_begin,
    .restore_write = restore_write,
    .restore_end = restore_end,
    .close = close_app,
};

int app_null_open(const struct app_null_config *config, struct app **app, char *reason,
                  size_t reason_bytes)
{
    struct app_null *null = calloc(1, sizeof(*null));
    if (null == NULL) {
        snprintf(reason, reason_bytes, "null: out of memory");
        return -ENOMEM;
    }
    null->app.ops = &ops;
    null->check_payload = config->check_payload;
    *app = &null->app;
    return 0;
}
