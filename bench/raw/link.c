#include "bench/raw/link.h"

#include "bench/harness/namespace.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *const link_names_to_udp[] = {"memif", "af_packet", "udp", NULL};
const char *const link_names_to_ring[] = {"memif", "af_packet", "udp", "ring", NULL};

// Abstract sockets: nothing is left behind in the file system when a process is killed.
static void make_memif(struct link *link, unsigned number)
{
    static const char *const roles[] = {"server", "client"};
    struct link_end *ends[] = {&link->server, &link->client};
    for (int i = 0; i < 2; i++) {
        snprintf(ends[i]->device, LINK_DEVICE_BYTES, "net_memif%u", number);
        snprintf(ends[i]->argument, LINK_ARGUMENT_BYTES,
                 "%s,role=%s,id=0,socket-abstract=yes,socket=raw-bench-%d-%u", ends[i]->device,
                 roles[i], (int)getpid(), number);
    }
}

static bool make_af_packet(struct link *link, unsigned number)
{
    struct link_end *ends[] = {&link->server, &link->client};
    char interfaces[2][16];
    for (int i = 0; i < 2; i++) {
        snprintf(interfaces[i], sizeof(interfaces[i]), "raw%u%c", number, "ab"[i]);
        snprintf(ends[i]->device, LINK_DEVICE_BYTES, "net_af_packet%u", number);
        snprintf(ends[i]->argument, LINK_ARGUMENT_BYTES, "%s,iface=%s", ends[i]->device,
                 interfaces[i]);
    }
    return namespace_add_pair(number, interfaces[0], interfaces[1]);
}

// A socket bound to a free port of the loopback address.
static int bound_socket(struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), bytes = 4 << 20;
    socklen_t size = sizeof(*address);
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)address, size) < 0 ||
        getsockname(fd, (struct sockaddr *)address, &size) < 0) {
        return -1;
    }
    // Best effort: the kernel caps it, and a full buffer is loss that the benchmark counts.
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    return fd;
}

static bool make_udp(struct link *link)
{
    struct sockaddr_in server, client;
    link->server.fd = bound_socket(&server);
    link->client.fd = bound_socket(&client);
    bool connected = link->server.fd >= 0 && link->client.fd >= 0 &&
                     connect(link->server.fd, (struct sockaddr *)&client, sizeof(client)) == 0 &&
                     connect(link->client.fd, (struct sockaddr *)&server, sizeof(server)) == 0;
    if (!connected) {
        fprintf(stderr, "udp on loopback: %s\n", strerror(errno));
    }
    return connected;
}

static bool make_one(struct link *link, unsigned number, enum link_kind kind)
{
    *link = (struct link){.server = {.kind = kind, .fd = -1}, .client = {.kind = kind, .fd = -1}};
    switch (kind) {
    case LINK_MEMIF:
        make_memif(link, number);
        return true;
    case LINK_AF_PACKET:
        return make_af_packet(link, number);
    case LINK_UDP:
        return make_udp(link);
    case LINK_RING:
        return true;
    }
    return false;
}

bool link_make(struct link *links, unsigned count, enum link_kind kind)
{
    if (kind == LINK_AF_PACKET && !namespace_enter()) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!make_one(&links[i], i, kind)) {
            return false;
        }
    }
    return true;
}
