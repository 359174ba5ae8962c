#include "drivers/app_kv/app_kv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "drivers/app_kv/kv_checkpoint.h"
#include "drivers/app_kv/kv_command.h"
#include "drivers/app_kv/kv_hash.h"
#include "drivers/app_kv/kv_store.h"
#include "engine/base/assert.h"

enum {
    LEAD_SLOT = 8,   // entries between the request of a slot and that of its record
    LEAD_RECORD = 8, // entries between that and execution
    STEPS = 32,      // > LEAD_SLOT + LEAD_RECORD, a power of two
};

struct app_kv {
    struct kv_checkpoint checkpoint; // first: it begins with the app
    struct kv_store store;
    void *memory;
    uint64_t memory_bytes;
    _Atomic uint64_t room; // of `room`, as of the last batch
};

static struct app_kv *of(struct app *app)
{
    return (struct app_kv *)app;
}

// A command, understood.
struct step {
    struct kv_command command;
    uint64_t hash; // of its key; 0 while not valid
    bool is_valid;
};

static void understand(const struct kv_store *store, const struct app_entry *entry,
                       struct step *step)
{
    step->hash = 0;
    step->is_valid = kv_command_decode(entry->payload, entry->bytes, &step->command);
    if (step->is_valid) {
        step->hash = kv_hash_key(step->command.key.data, step->command.key.bytes);
        kv_store_prefetch_slot(store, step->hash);
    }
}

static uint32_t execute(struct kv_store *store, const struct step *step)
{
    return step->is_valid ? kv_store_execute(store, step->hash, &step->command) : KV_MALFORMED;
}

// Bytes and pairs that are left, in the smaller measure: a command adds at most a pair, and takes
// less than its payload and APP_COMMAND_BYTES.
static void note_room(struct app_kv *kv)
{
    const struct kv_limits *limits = &kv->store.limits;
    uint64_t bytes = limits->capacity_bytes - kv->store.bytes;
    uint64_t pairs = limits->pairs_max - kv->store.pairs;
    uint64_t by_pairs =
        pairs < UINT64_MAX / APP_COMMAND_BYTES ? pairs * APP_COMMAND_BYTES : UINT64_MAX;
    atomic_store_explicit(&kv->room, bytes < by_pairs ? bytes : by_pairs, memory_order_relaxed);
}

static uint64_t room(const struct app *app)
{
    return atomic_load_explicit(&((const struct app_kv *)app)->room, memory_order_relaxed);
}

// A pipeline of three stages, so that the cache misses of a command (its slot, then its record) are
// under way while others are executed: it is understood LEAD_SLOT + LEAD_RECORD entries before its
// turn, and its record asked for LEAD_RECORD before. The same in passes over batches of 32 took
// twice as long where pairs are not in the cache (more in flight than the processor can track), and
// passes over 8 left waiting.
static void apply(struct app *app, const struct app_entry *entries, uint32_t count,
                  uint32_t *results)
{
    struct kv_store *store = &of(app)->store;
    struct step steps[STEPS];
    uint32_t understood = 0, asked = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (; understood < count && understood <= i + LEAD_RECORD + LEAD_SLOT; understood++) {
            understand(store, &entries[understood], &steps[understood % STEPS]);
        }
        for (; asked < understood && asked <= i + LEAD_RECORD; asked++) {
            kv_store_prefetch_record(store, steps[asked % STEPS].hash);
        }
        results[i] = execute(store, &steps[i % STEPS]);
    }
    note_room(of(app));
}

static int32_t answer_get(struct kv_store *store, struct kv_bytes key, void *answer,
                          uint32_t answer_capacity)
{
    const struct kv_record *record = kv_store_get(store, kv_hash_key(key.data, key.bytes), key);
    if (record == NULL) {
        return -ENOENT;
    }
    if (record->value_bytes > answer_capacity) {
        return -EMSGSIZE;
    }
    if (record->value_bytes > 0) {
        memcpy(answer, record->data + record->key_bytes, record->value_bytes);
    }
    return (int32_t)record->value_bytes;
}

static int32_t answer_statistics(const struct kv_store *store, void *answer,
                                 uint32_t answer_capacity)
{
    if (answer_capacity < KV_STATISTICS_BYTES) {
        return -EMSGSIZE;
    }
    struct kv_statistics statistics = {
        .pairs = store->pairs,
        .bytes = store->bytes,
        .pairs_max = store->limits.pairs_max,
        .capacity_bytes = store->limits.capacity_bytes,
        .digest = kv_store_digest(store),
    };
    kv_command_encode_statistics(&statistics, answer);
    return KV_STATISTICS_BYTES;
}

static int32_t read_query(struct app *app, const void *bytes, uint32_t count, void *answer,
                          uint32_t answer_capacity)
{
    struct kv_query query;
    if (!kv_command_decode_query(bytes, count, &query)) {
        return -EINVAL;
    }
    switch (query.kind) {
    case KV_QUERY_GET:
        return answer_get(&of(app)->store, query.key, answer, answer_capacity);
    case KV_QUERY_STATISTICS:
        return answer_statistics(&of(app)->store, answer, answer_capacity);
    }
    return -EINVAL;
}

// The key's hash without its lowest bit: [start, start + 1) must not wrap. A malformed command
// touches nothing. Capacity is shared by all keys: see `room`.
static int32_t footprint(const void *payload, uint32_t bytes, struct app_footprint *ranges,
                         uint32_t max)
{
    struct kv_command command;
    if (!kv_command_decode(payload, bytes, &command)) {
        return 0;
    }
    if (max < 1) {
        return -1;
    }
    ranges[0].start = kv_hash_key(command.key.data, command.key.bytes) >> 1;
    ranges[0].length = 1;
    return 1;
}

static int32_t query_footprint(const void *bytes, uint32_t count, struct app_footprint *ranges,
                               uint32_t max)
{
    struct kv_query query;
    if (!kv_command_decode_query(bytes, count, &query) || query.kind != KV_QUERY_GET || max < 1) {
        return -1;
    }
    ranges[0].start = kv_hash_key(query.key.data, query.key.bytes) >> 1;
    ranges[0].length = 1;
    return 1;
}

static uint64_t digest(struct app *app)
{
    return kv_store_digest(&of(app)->store);
}

static int restore_end(struct app *app)
{
    int error = app_checkpoint_restore_end(app);
    note_room(of(app));
    return error;
}

static void close_app(struct app *app)
{
    munmap(of(app)->memory, of(app)->memory_bytes);
    free(app);
}

static const struct app_ops ops = {
    .name = "kv",
    .apply = apply,
    .read = read_query,
    .footprint = footprint,
    .query_footprint = query_footprint,
    .room = room,
    .digest = digest,
    .checkpoint_begin = app_checkpoint_begin,
    .checkpoint_read = app_checkpoint_read,
    .checkpoint_end = app_checkpoint_end,
    .restore_begin = app_checkpoint_restore_begin,
    .restore_write = app_checkpoint_restore_write,
    .restore_end = restore_end,
    .close = close_app,
};

// Zeroed memory, in huge pages where the kernel has some, touched now and not in the middle of a
// benchmark.
static void *map_memory(uint64_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
    if (madvise(memory, bytes, MADV_POPULATE_WRITE) != 0 && errno == EINVAL) {
        memset(memory, 0, bytes); // before Linux 5.14
    }
    return memory;
}

static bool is_valid_size(uint64_t memory_bytes)
{
    return memory_bytes >= KV_STORE_MEMORY_BYTES_MIN && memory_bytes <= KV_STORE_MEMORY_BYTES_MAX;
}

int app_kv_open(const struct app_kv_config *config, struct app **app, char *reason,
                size_t reason_bytes)
{
    uint64_t memory_bytes = config->memory_bytes;
    if (!is_valid_size(memory_bytes)) {
        snprintf(reason, reason_bytes,
                 "kv: %" PRIu64 " bytes of memory; 8 MiB to 64 GiB are possible", memory_bytes);
        return -EINVAL;
    }
    struct app_kv *kv = calloc(1, sizeof(*kv));
    void *memory = kv == NULL ? NULL : map_memory(memory_bytes);
    if (memory == NULL) {
        snprintf(reason, reason_bytes, "kv: cannot get %" PRIu64 " MiB of memory",
                 memory_bytes >> 20);
        free(kv);
        return -ENOMEM;
    }
    kv_checkpoint_init(&kv->checkpoint, &ops, &kv->store);
    kv->memory = memory;
    kv->memory_bytes = memory_bytes;
    kv_store_init(&kv->store, memory, memory_bytes);
    note_room(kv);
    *app = &kv->checkpoint.base.app;
    return 0;
}

uint64_t app_kv_capacity_bytes(const struct app_kv_config *config)
{
    ASSERT(is_valid_size(config->memory_bytes));
    return kv_store_limits(config->memory_bytes).capacity_bytes;
}
