#include "drivers/net_udp/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KERNEL_BUFFER_BYTES = 4 << 20 };

// Asks for a large kernel buffer: bursts arrive while the reactor does something else. Less is no
// error.
static void enlarge(int fd, int force, int plain)
{
    int bytes = KERNEL_BUFFER_BYTES;
    if (setsockopt(fd, SOL_SOCKET, force, &bytes, sizeof(bytes)) != 0) {
        setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof(bytes));
    }
}

static int open_one(uint32_t ipv4, uint16_t port)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ipv4)};
    // No SO_REUSEADDR: for UDP it would let a second process of the same node take our datagrams.
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    enlarge(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    enlarge(fd, SO_SNDBUFFORCE, SO_SNDBUF);
    return fd;
}

int sockets_open(struct sockets *sockets, const struct net_config *config, uint32_t classes,
                 uint32_t *link, uint32_t *class)
{
    for (uint32_t l = 0; l < NET_LINKS_MAX; l++) {
        for (uint32_t c = 0; c < NET_CLASSES; c++) {
            sockets->fd[l][c] = -1;
        }
    }
    for (*link = 0; *link < config->link_count; ++*link) {
        for (*class = 0; *class < classes; ++*class) {
            int fd = open_one(config->links[*link].ipv4, (uint16_t)(config->udp_port + *class));
            if (fd < 0) {
                sockets_close(sockets);
                return fd;
            }
            sockets->fd[*link][*class] = fd;
        }
    }
    return 0;
}

void sockets_close(struct sockets *sockets)
{
    for (uint32_t l = 0; l < NET_LINKS_MAX; l++) {
        for (uint32_t c = 0; c < NET_CLASSES; c++) {
            if (sockets->fd[l][c] >= 0) {
                close(sockets->fd[l][c]);
                sockets->fd[l][c] = -1;
            }
        }
    }
}
