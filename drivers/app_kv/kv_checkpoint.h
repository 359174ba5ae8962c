// A store as a stream of bytes (drivers/app_checkpoint), and back.
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
// differ; what they restore does not.
#ifndef PONTOON_APP_KV_KV_CHECKPOINT_H
#define PONTOON_APP_KV_KV_CHECKPOINT_H

#include <stdint.h>

#include "drivers/app_checkpoint/app_checkpoint.h"
#include "drivers/app_kv/kv_store.h"

// One pass over a store, in either direction.
struct kv_checkpoint {
    struct app_checkpoint base; // first: the app
    struct kv_store *store;
    struct kv_heap_cursor cursor; // saving: the next record
    struct kv_record *record;     // the pair under way
    uint64_t pairs_left;          // restoring: behind the pair under way
    uint64_t digest;              // restoring: what the head promised
    uint64_t bytes;               // likewise
};

void kv_checkpoint_init(struct kv_checkpoint *checkpoint, const struct app_ops *ops,
                        struct kv_store *store);

#endif
