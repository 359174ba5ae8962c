// The sockets of a node: one a link and class. Opened together, shared by all views (a file
// descriptor is thread-safe).
#ifndef PONTOON_NET_UDP_SOCKETS_H
#define PONTOON_NET_UDP_SOCKETS_H

#include "engine/driver_api/net.h"

struct sockets {
    int fd[NET_LINKS_MAX][NET_CLASSES]; // -1: none
};

// 0 or -errno; *link and *class then tell which one could not be opened.
int sockets_open(struct sockets *sockets, const struct net_config *config, uint32_t classes,
                 uint32_t *link, uint32_t *class);
void sockets_close(struct sockets *sockets);

#endif
