// A store as a stream of bytes, and back.
//
//     offset  bytes  field
//          0      8  magic "PNTNKV\0\1"
//          8      8  pairs            how many follow
//         16      8  bytes            sum of kv_pair_bytes() over them
//         24      8  capacity_bytes   limits in force (struct kv_limits)
//         32      8  pairs_max
//         40      8  digest           of the whole state
//         48      .  pairs: value_bytes (4), key_bytes (2), zero (2), key, value; in any order
//          .      4  CRC32C of everything before
//
// Little-endian. The order of pairs is that of the writer's heap, so streams of equal states may
// differ; what they restore does not. Both directions work in pieces of any size and copy each byte
// once; neither allocates.
#ifndef PONTOON_APP_KV_KV_CHECKPOINT_H
#define PONTOON_APP_KV_KV_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/app_kv/kv_store.h"

enum {
    KV_CHECKPOINT_HEAD_BYTES = 48,
    KV_CHECKPOINT_PAIR_HEAD_BYTES = 8,
    KV_CHECKPOINT_TRAILER_BYTES = 4,
};

enum kv_checkpoint_part {
    KV_CHECKPOINT_HEAD,
    KV_CHECKPOINT_PAIR_HEAD,
    KV_CHECKPOINT_PAIR_BODY,
    KV_CHECKPOINT_TRAILER,
    KV_CHECKPOINT_END,
    KV_CHECKPOINT_FAILED, // restore only: something was wrong; stays so
};

// One pass over a store, in either direction. The part under way is `left_bytes` at `at`, in
// `fixed` or in a record.
struct kv_checkpoint {
    struct kv_store *store;
    struct kv_heap_cursor cursor; // saving: the next record
    struct kv_record *record;     // PAIR_HEAD (saving), PAIR_BODY: the pair under way
    enum kv_checkpoint_part part;
    uint32_t crc; // of the stream so far, without the trailer (restoring)
    uint64_t left_bytes;
    uint8_t *at;
    uint64_t pairs_left; // behind the pair under way
    uint64_t digest;     // restoring: what the head promised
    uint64_t bytes;      // likewise
    uint8_t fixed[KV_CHECKPOINT_HEAD_BYTES];
};

// Saving. The store must not change between begin and the last read.
void kv_checkpoint_save(struct kv_checkpoint *checkpoint, struct kv_store *store);
// The next bytes of the stream. Result: how many; 0: the stream has ended (or capacity is 0).
uint64_t kv_checkpoint_read(struct kv_checkpoint *checkpoint, void *buffer, uint64_t capacity);

// Restoring, into a cleared store.
void kv_checkpoint_restore(struct kv_checkpoint *checkpoint, struct kv_store *store);
// False once the stream is known to be damaged, too long, or beyond what the store can keep.
bool kv_checkpoint_write(struct kv_checkpoint *checkpoint, const void *data, uint64_t bytes);
// True when the stream was whole and the store now equals the one saved. Else the caller clears the
// store.
bool kv_checkpoint_finish(struct kv_checkpoint *checkpoint);

#endif
