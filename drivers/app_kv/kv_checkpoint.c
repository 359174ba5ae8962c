#include "drivers/app_kv/kv_checkpoint.h"

#include <string.h>

#include "drivers/app_kv/kv_endian.h"
#include "engine/base/crc32c.h"

#define MAGIC UINT64_C(0x0100564B4E544E50) // "PNTNKV\0\1"

static void begin_part(struct kv_checkpoint *checkpoint, enum kv_checkpoint_part part, void *at,
                       uint64_t bytes)
{
    checkpoint->part = part;
    checkpoint->at = at;
    checkpoint->left_bytes = bytes;
}

static void begin_stream(struct kv_checkpoint *checkpoint, struct kv_store *store)
{
    memset(checkpoint, 0, sizeof(*checkpoint));
    checkpoint->store = store;
    begin_part(checkpoint, KV_CHECKPOINT_HEAD, checkpoint->fixed, KV_CHECKPOINT_HEAD_BYTES);
}

// Saving.

void kv_checkpoint_save(struct kv_checkpoint *checkpoint, struct kv_store *store)
{
    begin_stream(checkpoint, store);
    checkpoint->cursor = kv_heap_walk(&store->heap);
    checkpoint->pairs_left = store->pairs;
    uint8_t *head = checkpoint->fixed;
    kv_endian_write_u64(head, MAGIC);
    kv_endian_write_u64(head + 8, store->pairs);
    kv_endian_write_u64(head + 16, store->bytes);
    kv_endian_write_u64(head + 24, store->limits.capacity_bytes);
    kv_endian_write_u64(head + 32, store->limits.pairs_max);
    kv_endian_write_u64(head + 40, kv_store_digest(store));
}

static struct kv_record *next_live(struct kv_checkpoint *checkpoint)
{
    struct kv_record *record;
    do {
        record = kv_heap_next(&checkpoint->store->heap, &checkpoint->cursor);
    } while (record != NULL && record->state != KV_RECORD_LIVE);
    return record;
}

static void save_pair_or_trailer(struct kv_checkpoint *checkpoint)
{
    struct kv_record *record = next_live(checkpoint);
    uint8_t *fixed = checkpoint->fixed;
    checkpoint->record = record;
    if (record == NULL) {
        kv_endian_write_u32(fixed, checkpoint->crc);
        begin_part(checkpoint, KV_CHECKPOINT_TRAILER, fixed, KV_CHECKPOINT_TRAILER_BYTES);
        return;
    }
    kv_endian_write_u32(fixed, record->value_bytes);
    kv_endian_write_u16(fixed + 4, record->key_bytes);
    kv_endian_write_u16(fixed + 6, 0);
    begin_part(checkpoint, KV_CHECKPOINT_PAIR_HEAD, fixed, KV_CHECKPOINT_PAIR_HEAD_BYTES);
}

static void save_next_part(struct kv_checkpoint *checkpoint)
{
    switch (checkpoint->part) {
    case KV_CHECKPOINT_HEAD:
    case KV_CHECKPOINT_PAIR_BODY:
        save_pair_or_trailer(checkpoint);
        return;
    case KV_CHECKPOINT_PAIR_HEAD:
        begin_part(checkpoint, KV_CHECKPOINT_PAIR_BODY, checkpoint->record->data,
                   (uint64_t)checkpoint->record->key_bytes + checkpoint->record->value_bytes);
        return;
    case KV_CHECKPOINT_TRAILER:
    case KV_CHECKPOINT_END:
    case KV_CHECKPOINT_FAILED:
        begin_part(checkpoint, KV_CHECKPOINT_END, NULL, 0);
        return;
    }
}

uint64_t kv_checkpoint_read(struct kv_checkpoint *checkpoint, void *buffer, uint64_t capacity)
{
    uint8_t *to = buffer;
    uint64_t done = 0;
    while (done < capacity && checkpoint->part != KV_CHECKPOINT_END) {
        uint64_t left = capacity - done;
        uint64_t bytes = checkpoint->left_bytes < left ? checkpoint->left_bytes : left;
        memcpy(to + done, checkpoint->at, bytes);
        checkpoint->crc = crc32c(checkpoint->crc, to + done, bytes);
        checkpoint->at += bytes;
        checkpoint->left_bytes -= bytes;
        done += bytes;
        if (checkpoint->left_bytes == 0) {
            save_next_part(checkpoint);
        }
    }
    return done;
}

// Restoring.

void kv_checkpoint_restore(struct kv_checkpoint *checkpoint, struct kv_store *store)
{
    begin_stream(checkpoint, store);
}

static void fail(struct kv_checkpoint *checkpoint)
{
    begin_part(checkpoint, KV_CHECKPOINT_FAILED, NULL, 0);
}

static void expect_pair_or_trailer(struct kv_checkpoint *checkpoint)
{
    if (checkpoint->pairs_left == 0) {
        begin_part(checkpoint, KV_CHECKPOINT_TRAILER, checkpoint->fixed,
                   KV_CHECKPOINT_TRAILER_BYTES);
        return;
    }
    checkpoint->pairs_left--;
    begin_part(checkpoint, KV_CHECKPOINT_PAIR_HEAD, checkpoint->fixed,
               KV_CHECKPOINT_PAIR_HEAD_BYTES);
}

static void accept_head(struct kv_checkpoint *checkpoint)
{
    const uint8_t *head = checkpoint->fixed;
    struct kv_limits limits = {
        .capacity_bytes = kv_endian_read_u64(head + 24),
        .pairs_max = kv_endian_read_u64(head + 32),
    };
    if (kv_endian_read_u64(head) != MAGIC || !kv_store_adopt(checkpoint->store, limits)) {
        fail(checkpoint);
        return;
    }
    checkpoint->pairs_left = kv_endian_read_u64(head + 8);
    checkpoint->bytes = kv_endian_read_u64(head + 16);
    checkpoint->digest = kv_endian_read_u64(head + 40);
    expect_pair_or_trailer(checkpoint);
}

static void accept_pair_head(struct kv_checkpoint *checkpoint)
{
    uint32_t value_bytes = kv_endian_read_u32(checkpoint->fixed);
    uint16_t key_bytes = kv_endian_read_u16(checkpoint->fixed + 4);
    uint16_t zero = kv_endian_read_u16(checkpoint->fixed + 6);
    if (key_bytes < 1 || key_bytes > KV_KEY_BYTES_MAX || value_bytes > KV_VALUE_BYTES_MAX ||
        zero != 0) {
        fail(checkpoint);
        return;
    }
    checkpoint->record = kv_store_reserve(checkpoint->store, key_bytes, value_bytes);
    if (checkpoint->record == NULL) {
        fail(checkpoint);
        return;
    }
    begin_part(checkpoint, KV_CHECKPOINT_PAIR_BODY, checkpoint->record->data,
               (uint64_t)key_bytes + value_bytes);
}

static void accept_trailer(struct kv_checkpoint *checkpoint)
{
    const struct kv_store *store = checkpoint->store;
    if (kv_endian_read_u32(checkpoint->fixed) != checkpoint->crc ||
        store->bytes != checkpoint->bytes || kv_store_digest(store) != checkpoint->digest) {
        fail(checkpoint);
        return;
    }
    begin_part(checkpoint, KV_CHECKPOINT_END, NULL, 0);
}

// The part under way is whole: check it and say what comes next.
static void accept_part(struct kv_checkpoint *checkpoint)
{
    switch (checkpoint->part) {
    case KV_CHECKPOINT_HEAD:
        accept_head(checkpoint);
        return;
    case KV_CHECKPOINT_PAIR_HEAD:
        accept_pair_head(checkpoint);
        return;
    case KV_CHECKPOINT_PAIR_BODY:
        if (kv_store_commit(checkpoint->store, checkpoint->record)) {
            expect_pair_or_trailer(checkpoint);
        } else {
            fail(checkpoint);
        }
        return;
    case KV_CHECKPOINT_TRAILER:
        accept_trailer(checkpoint);
        return;
    case KV_CHECKPOINT_END:
    case KV_CHECKPOINT_FAILED:
        return;
    }
}

bool kv_checkpoint_write(struct kv_checkpoint *checkpoint, const void *data, uint64_t bytes)
{
    const uint8_t *from = data;
    while (bytes > 0 && checkpoint->left_bytes > 0) {
        uint64_t piece = checkpoint->left_bytes < bytes ? checkpoint->left_bytes : bytes;
        memcpy(checkpoint->at, from, piece);
        if (checkpoint->part != KV_CHECKPOINT_TRAILER) {
            checkpoint->crc = crc32c(checkpoint->crc, from, piece);
        }
        checkpoint->at += piece;
        checkpoint->left_bytes -= piece;
        from += piece;
        bytes -= piece;
        if (checkpoint->left_bytes == 0) {
            accept_part(checkpoint);
        }
    }
    if (bytes > 0) {
        fail(checkpoint);
    }
    return checkpoint->part != KV_CHECKPOINT_FAILED;
}

bool kv_checkpoint_finish(struct kv_checkpoint *checkpoint)
{
    return checkpoint->part == KV_CHECKPOINT_END;
}
