#include "drivers/app_kv/kv_checkpoint.h"

#include "drivers/app_kv/kv_endian.h"

#define MAGIC UINT64_C(0x0100564B4E544E50) // "PNTNKV\0\1"

enum { HEAD_BYTES = 48, PAIR_HEAD_BYTES = 8 };

static struct kv_checkpoint *of(struct app_checkpoint *base)
{
    return (struct kv_checkpoint *)base;
}

static struct app_part pair_head(struct kv_checkpoint *checkpoint)
{
    return (struct app_part){APP_PART_RECORD, checkpoint->base.fixed, PAIR_HEAD_BYTES};
}

static struct app_part pair_body(struct kv_record *record)
{
    return (struct app_part){APP_PART_CONTENT, record->data,
                             (uint64_t)record->key_bytes + record->value_bytes};
}

// Saving.

static void save_head(struct app_checkpoint *base)
{
    const struct kv_store *store = of(base)->store;
    of(base)->cursor = kv_heap_walk(&store->heap);
    kv_endian_write_u64(base->fixed, MAGIC);
    kv_endian_write_u64(base->fixed + 8, store->pairs);
    kv_endian_write_u64(base->fixed + 16, store->bytes);
    kv_endian_write_u64(base->fixed + 24, store->limits.capacity_bytes);
    kv_endian_write_u64(base->fixed + 32, store->limits.pairs_max);
    kv_endian_write_u64(base->fixed + 40, kv_store_digest(store));
}

static struct kv_record *next_live(struct kv_checkpoint *checkpoint)
{
    struct kv_record *record;
    do {
        record = kv_heap_next(&checkpoint->store->heap, &checkpoint->cursor);
    } while (record != NULL && record->state != KV_RECORD_LIVE);
    return record;
}

static struct app_part save_next(struct app_checkpoint *base)
{
    struct kv_checkpoint *checkpoint = of(base);
    if (base->part.kind == APP_PART_RECORD) {
        return pair_body(checkpoint->record);
    }
    const struct kv_record *record = checkpoint->record = next_live(checkpoint);
    if (record == NULL) {
        return (struct app_part){.kind = APP_PART_TRAILER};
    }
    kv_endian_write_u32(base->fixed, record->value_bytes);
    kv_endian_write_u16(base->fixed + 4, record->key_bytes);
    kv_endian_write_u16(base->fixed + 6, 0);
    return pair_head(checkpoint);
}

// Restoring.

static void clear(struct app_checkpoint *base)
{
    kv_store_clear(of(base)->store);
}

static bool accept_head(struct kv_checkpoint *checkpoint)
{
    const uint8_t *head = checkpoint->base.fixed;
    struct kv_limits limits = {
        .capacity_bytes = kv_endian_read_u64(head + 24),
        .pairs_max = kv_endian_read_u64(head + 32),
    };
    checkpoint->pairs_left = kv_endian_read_u64(head + 8);
    checkpoint->bytes = kv_endian_read_u64(head + 16);
    checkpoint->digest = kv_endian_read_u64(head + 40);
    return kv_endian_read_u64(head) == MAGIC && kv_store_adopt(checkpoint->store, limits);
}

static bool accept_pair_head(struct kv_checkpoint *checkpoint)
{
    const uint8_t *head = checkpoint->base.fixed;
    uint32_t value_bytes = kv_endian_read_u32(head);
    uint16_t key_bytes = kv_endian_read_u16(head + 4);
    uint16_t zero = kv_endian_read_u16(head + 6);
    if (key_bytes < 1 || key_bytes > KV_KEY_BYTES_MAX || value_bytes > KV_VALUE_BYTES_MAX ||
        zero != 0) {
        return false;
    }
    checkpoint->record = kv_store_reserve(checkpoint->store, key_bytes, value_bytes);
    return checkpoint->record != NULL;
}

static struct app_part restore_next(struct app_checkpoint *base)
{
    struct kv_checkpoint *checkpoint = of(base);
    enum app_part_kind kind = base->part.kind;
    bool is_valid = kind == APP_PART_HEAD ? accept_head(checkpoint)
                    : kind == APP_PART_RECORD
                        ? accept_pair_head(checkpoint)
                        : kv_store_commit(checkpoint->store, checkpoint->record);
    if (!is_valid) {
        return (struct app_part){.kind = APP_PART_FAILED};
    }
    if (kind == APP_PART_RECORD) {
        return pair_body(checkpoint->record);
    }
    if (checkpoint->pairs_left == 0) {
        return (struct app_part){.kind = APP_PART_TRAILER};
    }
    checkpoint->pairs_left--;
    return pair_head(checkpoint);
}

static bool is_restored(struct app_checkpoint *base)
{
    const struct kv_checkpoint *checkpoint = of(base);
    return checkpoint->store->bytes == checkpoint->bytes &&
           kv_store_digest(checkpoint->store) == checkpoint->digest;
}

static const struct app_checkpoint_format format = {
    .head_bytes = HEAD_BYTES,
    .save_head = save_head,
    .save_next = save_next,
    .clear = clear,
    .restore_next = restore_next,
    .is_restored = is_restored,
};

void kv_checkpoint_init(struct kv_checkpoint *checkpoint, const struct app_ops *ops,
                        struct kv_store *store)
{
    *checkpoint = (struct kv_checkpoint){
        .base = {.app.ops = ops, .format = &format},
        .store = store,
    };
}
