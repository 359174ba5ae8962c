// Which earlier entry does a new one conflict with? The leader of a parallel group asks this once
// an entry, when it proposes it.
//
// A map of disjoint segments of the key space, each with its last writer: the newest entry that
// touches it. Adding an entry reads the writers of what it touches, which are the newest entries it
// conflicts with, and then becomes their successor. What an old writer did to a segment that a
// newer one covers needs no memory: the newer one depends on it.
//
// Exact while it has room: no conflict is ever missed, and none is invented. Whenever it has
// doubled it forgets what is applied, for which nobody waits; when it is full and that does not
// help it raises its floor: everything at or below the floor counts as a conflict of everything
// later (counted, safe, slow). An entry that conflicts with all others is just that: a new floor.
//
// Source: PolarFS (VLDB 2018) §5.2, look-behind buffer; here the exact predecessor takes its place.
// Cost: two binary searches and a shift within 64 slots, about 60 ns an entry of one range
// (bench_core). Memory is fixed. Single thread.
#ifndef PONTOON_CORE_CONFLICT_H
#define PONTOON_CORE_CONFLICT_H

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
