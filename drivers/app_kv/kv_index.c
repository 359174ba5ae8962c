#include "drivers/app_kv/kv_index.h"

#include <string.h>

#include "engine/base/assert.h"

void kv_index_init(struct kv_index *index, void *memory, uint32_t slots)
{
    ASSERT(slots >= 4 && slots <= 1u << 30 && (slots & (slots - 1)) == 0);
    index->slots = memory;
    index->mask = slots - 1;
    index->shift = 32 - (uint32_t)__builtin_ctz(slots);
    kv_index_clear(index);
}

void kv_index_clear(struct kv_index *index)
{
    memset(index->slots, 0, ((size_t)index->mask + 1) * sizeof(struct kv_slot));
}

void kv_index_insert(struct kv_index *index, uint64_t hash, uint32_t location)
{
    uint32_t slot = kv_index_home(index, hash);
    while (index->slots[slot].location != 0) {
        slot = kv_index_after(index, slot);
    }
    index->slots[slot] = (struct kv_slot){.tag = kv_index_tag(hash), .location = location};
}

// Knuth, The Art of Computer Programming 3, section 6.4, algorithm R, with probes going upwards: a
// later slot of the cluster may fill the gap unless its home lies cyclically behind the gap, up to
// itself.
void kv_index_remove(struct kv_index *index, uint32_t slot)
{
    uint32_t gap = slot;
    for (uint32_t at = kv_index_after(index, gap); index->slots[at].location != 0;
         at = kv_index_after(index, at)) {
        uint32_t home = index->slots[at].tag >> index->shift;
        uint32_t from_home = (at - home) & index->mask;
        uint32_t from_gap = (at - gap) & index->mask;
        if (from_home >= from_gap) {
            index->slots[gap] = index->slots[at];
            gap = at;
        }
    }
    index->slots[gap] = (struct kv_slot){0};
}

void kv_index_relocate(struct kv_index *index, uint64_t hash, uint32_t from, uint32_t to)
{
    uint32_t slot = kv_index_home(index, hash);
    while (index->slots[slot].location != from) {
        ASSERT_CMP(index->slots[slot].location, !=, 0);
        slot = kv_index_after(index, slot);
    }
    index->slots[slot].location = to;
}
