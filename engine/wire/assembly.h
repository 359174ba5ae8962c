// Puts entries together that travel in fragments. Bounded: a fixed pool of buffers, one an entry
// under way.
//
// Fragments may come in any order, doubled, from several senders. A fragment that contradicts what
// its entry's first one said (other head, other fragment size) is refused and counted; it does not
// disturb what is there. But one who holds a buffer without getting on must not shut out others:
// after ASSEMBLY_REFUSALS_MAX refusals without a new fragment between them, the entry is given up
// and begins again with the fragment that contradicts (a sender whose frames changed size; a liar
// who came first). When all buffers are taken, the one that was touched least recently is given up
// (its sender will send again).
//
// One thread at a time. O(buffers) comparisons a fragment, no allocation; the data of a fragment is
// copied once.
#ifndef PONTOON_WIRE_ASSEMBLY_H
#define PONTOON_WIRE_ASSEMBLY_H

#include "engine/wire/wire.h"

enum { ASSEMBLY_REFUSALS_MAX = 8 };

struct assembly;

// What names an entry under way.
struct assembly_key {
    uint64_t a, b;   // (term, index) of an append (its stamp, in a parallel group), (client,
                     // sequence) of a proposal
    uint16_t source; // sender node, or WIRE_CLIENT
    uint16_t group;
};

// Bytes the caller provides (aligned to 64) for `buffers` entries of up to payload_bytes_max each.
size_t assembly_memory_bytes(uint32_t buffers, uint32_t payload_bytes_max);
struct assembly *assembly_init(void *memory, uint32_t buffers, uint32_t payload_bytes_max);

// Adds a fragment. Result: the whole payload (fragment->head.bytes of it, aligned to 64) when this
// one completed it: checksum verified, valid until the next call; the buffer is free again after
// assembly_done. Else NULL. Any fragment may be given: one that is not valid, or larger than
// payload_bytes_max, is refused.
const uint8_t *assembly_add(struct assembly *assembly, const struct assembly_key *key,
                            const struct wire_fragment *fragment);
// Lets go of a completed (or unwanted) entry.
void assembly_done(struct assembly *assembly, const struct assembly_key *key);

struct assembly_counters {
    uint64_t completed;    // entries handed out
    uint64_t refused;      // fragments: not valid, too large, or contradicting
    uint64_t given_up;     // entries, for want of a buffer or of progress
    uint64_t bad_checksum; // entries that were whole and wrong
    uint64_t duplicates;   // fragments that were there already
};
void assembly_counters(const struct assembly *assembly, struct assembly_counters *out);

#endif
