// struct net that wraps another one and does to its datagrams what a bad network would: loses
// (one by one or in bursts), delays, doubles, reorders and corrupts them, clogs and cuts links. An
// ordinary driver by configuration, seeded: the same sequence of calls with the same clock readings
// meets the same fate.
//
// The first rule that matches a datagram decides; a datagram that no rule matches passes untouched,
// at the cost of one look at each rule. Datagrams that do not leave at once are copied into buffers
// of our own; when all are in use the datagram is lost and counted. A corrupted datagram breaks the
// contract of engine/driver_api/net.h on purpose: it stands for what the checksums of Ethernet and
// UDP miss.
#ifndef PONTOON_NET_IMPAIR_H
#define PONTOON_NET_IMPAIR_H

#include <stddef.h>

#include "engine/driver_api/clock.h"
#include "engine/driver_api/net.h"

enum {
    NET_IMPAIR_RULES_MAX = 96,
    NET_IMPAIR_PPM = 1000000,
    NET_IMPAIR_BURST_MAX = 10000, // datagrams
};

#define NET_IMPAIR_ANY_LINK UINT16_MAX
#define NET_IMPAIR_REORDER_NS                                                                      \
    UINT64_C(50000) // how long a reordered datagram is held back, beside its delay

enum net_impair_direction { NET_IMPAIR_BOTH, NET_IMPAIR_IN, NET_IMPAIR_OUT };

struct net_impair_rule {
    uint16_t link; // or NET_IMPAIR_ANY_LINK
    uint32_t ipv4; // of the remote side; 0: any
    enum net_impair_direction direction;
    uint64_t kinds;         // of datagrams, as kinds_of() tells: one in common; 0: any datagram
    bool cut;               // nothing passes
    uint32_t loss_ppm;      // chances in a million, each drawn on its own
    uint32_t burst_ppm;     // this one and the next are lost:
    uint32_t burst_frames;  // ... uniform in [1, burst_frames] of those that the rule matches
    uint32_t duplicate_ppm; // a second copy, with a delay and a corruption of its own
    uint32_t reorder_ppm;   // held back by NET_IMPAIR_REORDER_NS
    uint32_t corrupt_ppm;   // 1, 3, 5 or 7 bits flipped: an odd number never undoes itself
    uint32_t clog_ppm;      // a clog begins: this one and all that follow are held
    uint64_t clog_ns;       // ... for so long, and then leave in their order
    uint64_t delay_ns;
    uint64_t jitter_ns; // uniform in [0, jitter_ns] on top
};

struct net_impair_options {
    uint64_t seed;
    struct clock *clock; // the one poll() is given readings of
    uint32_t frames_max; // datagrams held at a time, by each view
    // The set of kinds that a datagram belongs to, whatever its bytes are. NULL: rules may not
    // filter.
    uint64_t (*kinds_of)(const void *data, uint32_t bytes);
    const struct net_impair_rule *rules;
    uint32_t rule_count;
};

// Wraps the views that a driver opened with `config` handed out. 0 or -errno with `reason` ("cause;
// remedy") filled; then the inner views are untouched. Closing a view closes the one inside.
int net_impair_open(const struct net_config *config, struct net *const *inner,
                    const struct net_impair_options *options, struct net **views, char *reason,
                    size_t reason_bytes);

// Replaces all rules of one view, from its own thread; bursts and clogs in progress end. What is
// held already keeps its time. -EINVAL, and nothing changed: too many, or one is out of range.
int net_impair_set_rules(struct net *net, const struct net_impair_rule *rules, uint32_t count);

// Datagrams held now.
uint32_t net_impair_held(const struct net *net);

#endif
