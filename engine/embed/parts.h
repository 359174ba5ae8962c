// What a node is made of besides the engine: drivers, chosen by name in the configuration.
//
// The engine does not know drivers. This header says what it needs from whoever puts the two
// together: drivers/bundle implements it inside libpontoon, tests may implement it otherwise.
#ifndef PONTOON_EMBED_PARTS_H
#define PONTOON_EMBED_PARTS_H

#include "engine/driver_api/app.h"
#include "engine/driver_api/clock.h"
#include "engine/driver_api/disk.h"
#include "engine/driver_api/net.h"
#include "engine/pontoon.h"

enum { PARTS_DESCRIPTION_BYTES = 4096 };

struct parts {
    uint32_t reactors;
    struct net *views[PONTOON_REACTORS_MAX];
    struct disk *disks[PONTOON_REACTORS_MAX];            // meta and log
    struct disk *checkpoint_disks[PONTOON_REACTORS_MAX]; // NULL when the log is volatile
    void *arenas[PONTOON_REACTORS_MAX];                  // log_mib / reactors each
    uint64_t arena_bytes;
    uint32_t net_mib;    // frame buffers, and what the network needs beside them
    uint32_t shared_mib; // rings shared with peers, at most
    struct clock *clock;
    bool hugepages;                            // the arenas are in huge pages
    bool can_impair;                           // parts_impair has something to change
    char description[PARTS_DESCRIPTION_BYTES]; // lines about what was chosen and what it costs
};

// Everything for node config->node. 0 or -errno with one line of cause and remedy; then nothing is
// left open.
int parts_open_node(const struct pontoon_config *config, struct parts *parts, char *reason,
                    size_t reason_bytes);
// Network and clock for client place config->client.
int parts_open_client(const struct pontoon_config *config, struct parts *parts, char *reason,
                      size_t reason_bytes);
void parts_close(struct parts *parts);
// Replaces the network faults of one reactor's view by config->impair, from its thread. 0, -EINVAL,
// or -ENOTSUP: !can_impair.
int parts_impair(struct parts *parts, const struct pontoon_config *config, uint32_t reactor);
// The state machine that config->app names, for one group.
int parts_open_app(const struct pontoon_config *config, struct app **app, char *reason,
                   size_t reason_bytes);

// Pollers on this machine as far as the configuration tells, and CPUs this process may use.
uint32_t parts_pollers(const struct pontoon_config *config);
uint32_t parts_cpus(void);

#endif
