// What becomes of a datagram: the rules of one view, and every random decision. Holds no datagram
// itself.
#ifndef PONTOON_NET_IMPAIR_FATE_H
#define PONTOON_NET_IMPAIR_FATE_H

#include "drivers/net_impair/net_impair.h"
#include "engine/base/prng.h"

// One copy of a datagram.
struct fate_copy {
    uint64_t due_ns; // when it leaves
    bool is_late;    // ... not at once
    bool is_corrupted;
};

struct fate {
    bool lost;
    bool doubled;
    struct fate_copy copies[2]; // [1]: when doubled
};

// What a rule remembers.
struct fate_progress {
    uint32_t burst_left;      // datagrams that the burst still takes
    uint64_t clog_release_ns; // of the next datagram that meets the clog: each has a later one
};

struct fates {
    struct prng prng;
    struct net_impair_rule rules[NET_IMPAIR_RULES_MAX];
    struct fate_progress progress[NET_IMPAIR_RULES_MAX];
    uint32_t rule_count;
    bool has_filters;
    uint64_t stamp_ns; // of the last copy: grows with each, so that equal delays keep their order
    uint64_t (*kinds_of)(const void *data, uint32_t bytes);
    struct net_counters counters; // the impaired_ ones
};

void fates_init(struct fates *fates, uint64_t seed,
                uint64_t (*kinds_of)(const void *data, uint32_t bytes));
// 0, or -EINVAL and nothing changed.
int fates_set_rules(struct fates *fates, const struct net_impair_rule *rules, uint32_t count);

// Decides about one datagram that goes in `direction`. True: it passes as it is, at once. Delayed
// and doubled copies are counted by whoever keeps them, everything else here.
bool fates_draw(struct fates *fates, const struct net_frame *frame,
                enum net_impair_direction direction, uint64_t now_ns, struct fate *fate);

// Flips the bits of a corrupted copy.
void fates_corrupt(struct fates *fates, uint8_t *data, uint32_t bytes);

#endif
