// Which earlier entry does a new one conflict with? The leader of a parallel group asks this once
// an entry, when it proposes it.
//
// The last writer of every key: the newest entry that touches it. Adding an entry reads the writers
// of what it touches, which are the newest entries it conflicts with, and then becomes their
// successor. What an old writer did to keys that a newer one covers needs no memory: the newer one
// depends on it.
//
//     units     a hash table: ranges of a few whole units, as nearly all are (conflict_units.h)
//     segments  a sorted map: anything else, and units as they were when such a range came. Its
//               writers are older than those of units, or of the same entry
//
// Exact while there is room: no conflict is ever missed, and none is invented. Whenever a part has
// doubled it forgets those for which nobody waits, here or elsewhere; when it is full and that does
// not help the floor rises: everything at or below it counts as a conflict of everything later
// (counted, safe, slow). An entry that conflicts with all others is just that: a new floor.
//
// Source: PolarFS (VLDB 2018) §5.2, look-behind buffer; here the exact predecessor takes its place.
// Cost of an entry of one range: a look-up in a hash table; with segments two binary searches and a
// shift within 64 slots (bench_core, bench/instructions.sh). Memory is fixed. Single thread.
#ifndef PONTOON_CORE_CONFLICT_H
#define PONTOON_CORE_CONFLICT_H

#include "engine/core/conflict_units.h"
#include "engine/core/types.h"

enum { CONFLICT_LEAF_SEGMENTS = 64, CONFLICT_LEAVES_MIN = 8 };

struct conflict_leaf {
    uint64_t first[CONFLICT_LEAF_SEGMENTS]; // keys, ascending, apart
    uint64_t last[CONFLICT_LEAF_SEGMENTS];  // inclusive
    uint64_t index[CONFLICT_LEAF_SEGMENTS]; // of the last writer
    uint32_t count;
};

struct conflict {
    uint64_t floor; // conflicts with everything later
    uint64_t newest;
    struct conflict_units units;
    uint64_t newest_segment; // no segment's writer is newer
    uint32_t leaves_max, leaf_count;
    uint32_t sweep_at; // leaves: time to forget
    uint64_t *leads;   // smallest key of each leaf, ascending
    uint32_t *places;  // ... and where it is in leaves
    uint32_t *free_places;
    struct conflict_leaf *leaves;
    uint64_t sweeps, floors_raised; // since init
};

// Bytes of memory conflict_init needs for `leaves` ≥ CONFLICT_LEAVES_MIN.
size_t conflict_bytes(uint32_t leaves);
// An empty map in `memory`, aligned to 64.
void conflict_init(struct conflict *map, void *memory, uint32_t leaves);
// Forgets everything; entries up to floor conflict with all later ones.
void conflict_reset(struct conflict *map, uint64_t floor);

// Adds entry `index` (> all before) that touches `ranges`, of which there are count ≤
// RAFT_FOOTPRINTS_MAX, each of length ≥ 1 and within the key space. Nobody waits for entries up to
// `forget` any more. Result: the newest earlier entry it conflicts with, or the floor.
uint64_t conflict_add(struct conflict *map, uint64_t index, const struct raft_footprint *ranges,
                      uint32_t count, uint64_t forget);
// Adds an entry that conflicts with all others. Result: the entry before it.
uint64_t conflict_add_all(struct conflict *map, uint64_t index);
// The newest entry that touches the range, or the floor.
uint64_t conflict_find(const struct conflict *map, struct raft_footprint range);

#endif
