// Every command succeeds. The state is three sums over the applied entries, so entries commute: any
// order of apply gives the same state. Keys only decide which commands wait for each other.
//
// Checkpoint (drivers/app_checkpoint), little-endian: magic (8), entries (8), bytes (8), digest
// (8), check_payload (4), CRC32C of these (4).
#include "drivers/app_null/app_null.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/app_checkpoint/app_checkpoint.h"
#include "engine/base/crc32c.h"

#define MAGIC UINT64_C(0x014C4C554E544E50) // "PNTNULL\1"

#define KEYED_MAGIC UINT64_C(0x0159454B4C554E50) // "PNULKEY\1"

// Of a checkpoint.
struct head {
    uint64_t magic;
    uint64_t entries, bytes, digest;
    uint32_t check_payload;
};
enum { HEAD_BYTES = offsetof(struct head, check_payload) + sizeof(uint32_t) };
static_assert(HEAD_BYTES == 36, "in the stream");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the formats are little-endian");

struct app_null {
    struct app_checkpoint base; // first: the app
    uint64_t entries;
    uint64_t bytes;
    uint64_t digest; // sum of a hash of (index, bytes, payload if checked) over all entries
    bool check_payload;
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

static int32_t read_query(struct app *app, const void *query, uint32_t query_bytes, void *answer,
                          uint32_t answer_capacity)
{
    (void)query;
    (void)query_bytes;
    if (answer_capacity < APP_NULL_ANSWER_BYTES) {
        return -EMSGSIZE;
    }
    const uint64_t sums[] = {of(app)->entries, of(app)->bytes, of(app)->digest};
    static_assert(sizeof(sums) == APP_NULL_ANSWER_BYTES, "the answer");
    memcpy(answer, sums, sizeof(sums));
    return sizeof(sums);
}

void app_null_name_key(void *payload, uint64_t key)
{
    const uint64_t words[] = {KEYED_MAGIC, key};
    static_assert(sizeof(words) == APP_NULL_KEYED_BYTES, "a keyed command begins with them");
    memcpy(payload, words, sizeof(words));
}

static int32_t footprint(const void *payload, uint32_t bytes, struct app_footprint *ranges,
                         uint32_t max)
{
    uint64_t words[2]; // magic and key
    if (bytes < sizeof(words) || max == 0) {
        return 0;
    }
    memcpy(words, payload, sizeof(words));
    if (words[0] != KEYED_MAGIC) {
        return 0;
    }
    ranges[0] = (struct app_footprint){.start = words[1], .length = 1};
    return 1;
}

static uint64_t digest_state(struct app *app)
{
    struct app_null *null = of(app);
    return null->digest + hash(null->entries, null->bytes) + null->check_payload;
}

// Checkpoints.

static void save_head(struct app_checkpoint *base)
{
    const struct app_null *null = of(&base->app);
    const struct head head = {.magic = MAGIC,
                              .entries = null->entries,
                              .bytes = null->bytes,
                              .digest = null->digest,
                              .check_payload = null->check_payload};
    memcpy(base->fixed, &head, HEAD_BYTES);
}

static struct app_part save_next(struct app_checkpoint *base)
{
    (void)base;
    return (struct app_part){.kind = APP_PART_TRAILER};
}

static void clear(struct app_checkpoint *base)
{
    struct app_null *null = of(&base->app);
    null->entries = 0;
    null->bytes = 0;
    null->digest = 0;
}

static struct app_part restore_next(struct app_checkpoint *base)
{
    struct app_null *null = of(&base->app);
    struct head head;
    memcpy(&head, base->fixed, HEAD_BYTES);
    null->entries = head.entries;
    null->bytes = head.bytes;
    null->digest = head.digest;
    bool is_valid = head.magic == MAGIC && head.check_payload == null->check_payload;
    return (struct app_part){.kind = is_valid ? APP_PART_TRAILER : APP_PART_FAILED};
}

static bool is_restored(struct app_checkpoint *base)
{
    (void)base;
    return true; // the head has all of it
}

static const struct app_checkpoint_format format = {
    .head_bytes = HEAD_BYTES,
    .save_head = save_head,
    .save_next = save_next,
    .clear = clear,
    .restore_next = restore_next,
    .is_restored = is_restored,
};

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
    .checkpoint_begin = app_checkpoint_begin,
    .checkpoint_read = app_checkpoint_read,
    .checkpoint_end = app_checkpoint_end,
    .restore_begin = app_checkpoint_restore_begin,
    .restore_write = app_checkpoint_restore_write,
    .restore_end = app_checkpoint_restore_end,
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
    null->base.app.ops = &ops;
    null->base.format = &format;
    null->check_payload = config->check_payload;
    *app = &null->base.app;
    return 0;
}
