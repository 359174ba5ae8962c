#include "drivers/net_udp/net_udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drivers/net_udp/sockets.h"
#include "engine/base/assert.h"
#include "engine/base/pool.h"

enum { BURST_MAX = 64, DIRECT_SOCKETS_MAX = 2, ALIGN_BYTES = 64 };

// One socket as a view reads it.
struct source {
    int fd;
    uint16_t link;
    uint16_t local_port;
};

// What recvmmsg and sendmmsg want. Receiving: slots [0, filled) have a buffer of the rx pool.
struct vector {
    struct mmsghdr headers[BURST_MAX];
    struct iovec pieces[BURST_MAX];
    struct sockaddr_in addresses[BURST_MAX];
    uint32_t filled;
};

struct driver;

struct view {
    struct net net; // first
    struct driver *driver;
    uint8_t *memory; // of the three pools
    struct pool rx, peer, client;
    struct vector in, out;
    struct source *sources;
    uint32_t source_count, next_source;
    int epoll; // -1 when the sources are read directly
    struct net_counters counters;
};

struct driver {
    struct net_config config;
    struct sockets sockets;
    uint32_t classes;
    uint32_t buffer_bytes; // a whole number of cache lines, at least the largest frame_bytes
    uint32_t view_count;
    atomic_uint views_open;
    struct view *views[NET_UDP_REACTORS_MAX];
};

static struct view *view_from(const struct net *net)
{
    return (struct view *)(uintptr_t)net;
}

static bool holds(const struct pool *pool, const uint8_t *buffer)
{
    return buffer >= pool->memory && buffer < pool->memory + pool->capacity * pool->object_bytes;
}

static void give_back(struct view *view, void *buffer)
{
    struct pool *pool = holds(&view->rx, buffer)     ? &view->rx
                        : holds(&view->peer, buffer) ? &view->peer
                                                     : &view->client;
    pool_release(pool, buffer);
}

static void release(struct net *net, struct net_frame *frames, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        give_back(view_from(net), frames[i].cookie);
    }
}

static uint32_t acquire(struct net *net, uint16_t link, enum net_use use, struct net_frame *frames,
                        uint32_t count)
{
    struct view *view = view_from(net);
    uint32_t taken = 0;
    for (; taken < count; taken++) {
        void *buffer = use == NET_USE_PEER ? pool_acquire(&view->peer) : NULL;
        buffer = buffer == NULL ? pool_acquire(&view->client) : buffer;
        if (buffer == NULL) {
            view->counters.tx_no_buffer++;
            break;
        }
        struct net_frame *frame = &frames[taken];
        frame->data = buffer;
        frame->bytes = 0;
        frame->capacity = view->driver->config.links[link].frame_bytes;
        frame->cookie = buffer;
    }
    return taken;
}

// Gives the receive vector's first `count` slots a buffer each; what the pool cannot give makes the
// vector shorter.
static void refill(struct view *view, uint32_t link)
{
    struct vector *in = &view->in;
    while (in->filled < BURST_MAX) {
        void *buffer = pool_acquire(&view->rx);
        if (buffer == NULL) {
            view->counters.rx_no_buffer += in->filled == 0;
            break;
        }
        in->pieces[in->filled++].iov_base = buffer;
    }
    for (uint32_t i = 0; i < in->filled; i++) {
        in->pieces[i].iov_len = view->driver->config.links[link].frame_bytes;
        in->headers[i].msg_hdr.msg_namelen = sizeof(in->addresses[i]);
    }
}

// Hands out the buffers of slots [0, got) and closes the gap they leave.
static uint32_t take_received(struct view *view, const struct source *source,
                              struct net_frame *frames, uint32_t got)
{
    struct vector *in = &view->in;
    uint32_t count = 0;
    for (uint32_t i = 0; i < got; i++) {
        void *buffer = in->pieces[i].iov_base;
        if ((in->headers[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) {
            view->counters.rx_malformed++;
            pool_release(&view->rx, buffer);
            continue;
        }
        frames[count++] =
            (struct net_frame){.data = buffer,
                               .bytes = in->headers[i].msg_len,
                               .capacity = view->driver->config.links[source->link].frame_bytes,
                               .remote = {.ipv4 = ntohl(in->addresses[i].sin_addr.s_addr),
                                          .udp_port = ntohs(in->addresses[i].sin_port),
                                          .link = source->link,
                                          .local_port = source->local_port},
                               .cookie = buffer};
        view->counters.rx_bytes += in->headers[i].msg_len;
    }
    for (uint32_t i = got; i < in->filled; i++) {
        in->pieces[i - got].iov_base = in->pieces[i].iov_base;
    }
    in->filled -= got;
    return count;
}

static uint32_t receive_source(struct view *view, const struct source *source,
                               struct net_frame *frames, uint32_t max)
{
    refill(view, source->link);
    uint32_t burst = max < view->in.filled ? max : view->in.filled;
    if (burst == 0) {
        return 0;
    }
    int got = recvmmsg(source->fd, view->in.headers, burst, MSG_DONTWAIT, NULL);
    return got <= 0 ? 0 : take_received(view, source, frames, (uint32_t)got);
}

static uint32_t receive(struct net *net, struct net_frame *frames, uint32_t max)
{
    struct view *view = view_from(net);
    uint32_t count = 0;
    if (view->epoll >= 0) {
        struct epoll_event events[BURST_MAX];
        int ready = epoll_wait(view->epoll, events, BURST_MAX, 0);
        for (int i = 0; i < ready && count < max; i++) {
            count += receive_source(view, events[i].data.ptr, frames + count, max - count);
        }
    } else {
        for (uint32_t step = 0; step < view->source_count && count < max; step++) {
            uint32_t at = (view->next_source + step) % view->source_count;
            count += receive_source(view, &view->sources[at], frames + count, max - count);
        }
        view->next_source++;
    }
    view->counters.rx_frames += count;
    return count;
}

// The socket that a frame leaves by; -1: none has its local port.
static int socket_of(const struct view *view, const struct net_frame *frame)
{
    uint32_t class = (uint32_t)frame->remote.local_port - view->driver->config.udp_port;
    ASSERT_CMP(frame->remote.link, <, view->driver->config.link_count);
    return class < view->driver->classes ? view->driver->sockets.fd[frame->remote.link][class] : -1;
}

static void put_message(struct vector *out, uint32_t slot, const struct net_frame *frame)
{
    out->pieces[slot] = (struct iovec){.iov_base = frame->data, .iov_len = frame->bytes};
    out->addresses[slot].sin_family = AF_INET;
    out->addresses[slot].sin_addr.s_addr = htonl(frame->remote.ipv4);
    out->addresses[slot].sin_port = htons(frame->remote.udp_port);
    out->headers[slot].msg_hdr.msg_namelen = sizeof(out->addresses[slot]);
}

// Sends a run of frames that leave by one socket. Result: how many the kernel took, -errno when the
// first was refused.
static int send_run(struct view *view, int fd, const struct net_frame *frames, uint32_t count,
                    uint32_t *length)
{
    uint32_t n = 0;
    for (; n < count && n < BURST_MAX && socket_of(view, &frames[n]) == fd; n++) {
        ASSERT_CMP(frames[n].bytes, <=, frames[n].capacity);
        put_message(&view->out, n, &frames[n]);
    }
    *length = n;
    int sent = sendmmsg(fd, view->out.headers, n, MSG_DONTWAIT);
    return sent < 0 ? -errno : sent;
}

static void account_sent(struct view *view, struct net_frame *frames, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        view->counters.tx_bytes += frames[i].bytes;
        give_back(view, frames[i].cookie);
    }
    view->counters.tx_frames += count;
}

static uint32_t send_frames(struct net *net, struct net_frame *frames, uint32_t count)
{
    struct view *view = view_from(net);
    uint32_t done = 0;
    while (done < count) {
        int fd = socket_of(view, &frames[done]);
        uint32_t length = 1;
        int sent =
            fd < 0 ? -EADDRNOTAVAIL : send_run(view, fd, frames + done, count - done, &length);
        if (sent == -EAGAIN || sent == -ENOBUFS || sent == -EINTR) {
            sent = 0;
        } else if (sent < 0) {
            // No route, too long for the path, filtered: this one is lost, as on any network; the
            // rest may go.
            give_back(view, frames[done++].cookie);
            view->counters.tx_unresolved++;
            continue;
        }
        account_sent(view, frames + done, (uint32_t)sent);
        done += (uint32_t)sent;
        if ((uint32_t)sent < length && sent == 0) {
            view->counters.tx_refused += count - done;
            break;
        }
    }
    return done;
}

static bool locate(struct net *net, uint16_t node_id, uint8_t class, struct net_endpoint *endpoint)
{
    const struct driver *driver = view_from(net)->driver;
    for (uint32_t i = 0; i < driver->config.peer_count; i++) {
        const struct net_peer_config *peer = &driver->config.peers[i];
        if (peer->node_id == node_id) {
            uint16_t port = (uint16_t)(driver->config.udp_port + class);
            *endpoint = (struct net_endpoint){
                .ipv4 = peer->ipv4, .udp_port = port, .link = peer->link, .local_port = port};
            return class < driver->classes;
        }
    }
    return false;
}

static void poll(struct net *net, uint64_t now_ns)
{
    (void)net;
    (void)now_ns;
}

static bool link_up(struct net *net, uint16_t link)
{
    return link < view_from(net)->driver->config.link_count;
}

static uint32_t frame_bytes(struct net *net, uint16_t link)
{
    return view_from(net)->driver->config.links[link].frame_bytes;
}

static void counters(struct net *net, struct net_counters *out)
{
    *out = view_from(net)->counters;
}

static void view_close(struct view *view)
{
    if (view == NULL) {
        return;
    }
    if (view->epoll >= 0) {
        close(view->epoll);
    }
    free(view->memory);
    free(view->sources);
    free(view);
}

static void driver_close(struct driver *driver)
{
    for (uint32_t v = 0; v < driver->view_count; v++) {
        view_close(driver->views[v]);
    }
    sockets_close(&driver->sockets);
    free(driver);
}

static void close_view(struct net *net)
{
    struct driver *driver = view_from(net)->driver;
    if (atomic_fetch_sub(&driver->views_open, 1) == 1) {
        driver_close(driver);
    }
}

static const struct net_ops net_udp_ops = {
    .name = "udp",
    .receive = receive,
    .release = release,
    .acquire = acquire,
    .send = send_frames,
    .locate = locate,
    .poll = poll,
    .link_up = link_up,
    .frame_bytes = frame_bytes,
    .counters = counters,
    .close = close_view,
};

static void vector_init(struct vector *vector)
{
    for (uint32_t i = 0; i < BURST_MAX; i++) {
        vector->headers[i].msg_hdr = (struct msghdr){.msg_name = &vector->addresses[i],
                                                     .msg_namelen = sizeof(vector->addresses[i]),
                                                     .msg_iov = &vector->pieces[i],
                                                     .msg_iovlen = 1};
    }
}

// Three pools as in net_dpdk: half for what arrives, a quarter for peers, a quarter for clients.
static int make_pools(struct view *view)
{
    const struct driver *driver = view->driver;
    uint32_t quarter = driver->config.buffers / driver->view_count / 4;
    size_t bytes = (size_t)quarter * 4 * driver->buffer_bytes;
    view->memory = aligned_alloc(ALIGN_BYTES, bytes);
    if (view->memory == NULL) {
        return -ENOMEM;
    }
    memset(view->memory, 0, bytes); // faulted in now, not in the poll loop
    size_t part = (size_t)quarter * driver->buffer_bytes;
    pool_init(&view->rx, view->memory, driver->buffer_bytes, quarter * 2);
    pool_init(&view->peer, view->memory + 2 * part, driver->buffer_bytes, quarter);
    pool_init(&view->client, view->memory + 3 * part, driver->buffer_bytes, quarter);
    return 0;
}

static int watch_sources(struct view *view)
{
    if (view->source_count <= DIRECT_SOCKETS_MAX) {
        return 0;
    }
    view->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < view->source_count && view->epoll >= 0; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &view->sources[i]};
        if (epoll_ctl(view->epoll, EPOLL_CTL_ADD, view->sources[i].fd, &event) != 0) {
            return -errno;
        }
    }
    return view->epoll < 0 ? -errno : 0;
}

static int open_view(struct driver *driver, uint32_t id)
{
    struct view *view = calloc(1, sizeof(*view));
    if (view == NULL) {
        return -ENOMEM;
    }
    driver->views[id] = view;
    view->net.ops = &net_udp_ops;
    view->driver = driver;
    view->epoll = -1;
    vector_init(&view->in);
    vector_init(&view->out);
    view->sources =
        calloc((size_t)driver->config.link_count * driver->classes, sizeof(*view->sources));
    if (view->sources == NULL || make_pools(view) != 0) {
        return -ENOMEM;
    }
    for (uint16_t l = 0; l < driver->config.link_count; l++) {
        for (uint32_t c = id; c < driver->classes; c += driver->view_count) {
            view->sources[view->source_count++] =
                (struct source){.fd = driver->sockets.fd[l][c],
                                .link = l,
                                .local_port = (uint16_t)(driver->config.udp_port + c)};
        }
    }
    return watch_sources(view);
}

// NULL, or what is wrong with the configuration.
static const char *complaint(const struct net_config *config, uint32_t classes)
{
    if (config->link_count == 0 || config->link_count > NET_LINKS_MAX ||
        config->peer_count > NET_PEERS_MAX) {
        return "no links, or too many links or peers; use 1 to 32 links and up to 64 peers";
    }
    if (config->reactors == 0 || config->reactors > NET_UDP_REACTORS_MAX) {
        return "the number of reactors is out of range; use 1 to 16";
    }
    if (classes == 0 || classes > NET_CLASSES) {
        return "the number of classes is out of range; use 1 to 64";
    }
    if (config->buffers / config->reactors < NET_UDP_BUFFERS_MIN) {
        return "too few buffers; use 512 a reactor or more";
    }
    if (config->udp_port == 0 || config->udp_port > UINT16_MAX - NET_CLASSES) {
        return "the UDP port is out of range; use 1 to 65471";
    }
    for (uint32_t i = 0; i < config->link_count; i++) {
        uint32_t bytes = config->links[i].frame_bytes;
        if (bytes < NET_FRAME_BYTES_MIN || bytes > NET_FRAME_BYTES_MAX) {
            return "a link's frame_bytes is out of range; use 534 to 9000";
        }
    }
    for (uint32_t i = 0; i < config->peer_count; i++) {
        if (config->peers[i].link >= config->link_count) {
            return "a peer names a link that does not exist; correct the peer's link";
        }
    }
    return NULL;
}

static int open_sockets(struct driver *driver, char *reason, size_t reason_bytes)
{
    uint32_t link, class;
    int result = sockets_open(&driver->sockets, &driver->config, driver->classes, &link, &class);
    if (result == 0) {
        return 0;
    }
    struct in_addr address = {.s_addr = htonl(driver->config.links[link].ipv4)};
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &address, text, sizeof(text));
    const char *remedy = result == -EADDRINUSE ? "is this node running already?"
                         : result == -EADDRNOTAVAIL
                             ? "use an address of this machine"
                             : "check the link's address and the limit of open files";
    snprintf(reason, reason_bytes, "UDP socket %s:%u: %s; %s", text,
             driver->config.udp_port + class, strerror(-result), remedy);
    return result;
}

int net_udp_open(const struct net_config *config, uint32_t classes, struct net **views,
                 char *reason, size_t reason_bytes)
{
    const char *wrong = complaint(config, classes);
    if (wrong != NULL) {
        snprintf(reason, reason_bytes, "%s", wrong);
        return -EINVAL;
    }
    struct driver *driver = calloc(1, sizeof(*driver));
    if (driver == NULL) {
        snprintf(reason, reason_bytes, "no memory; free some");
        return -ENOMEM;
    }
    driver->config = *config;
    driver->classes = classes;
    driver->view_count = config->reactors;
    atomic_store(&driver->views_open, config->reactors);
    for (uint32_t i = 0; i < config->link_count; i++) {
        uint32_t bytes =
            (config->links[i].frame_bytes + ALIGN_BYTES - 1u) / ALIGN_BYTES * ALIGN_BYTES;
        driver->buffer_bytes = bytes > driver->buffer_bytes ? bytes : driver->buffer_bytes;
    }
    int result = open_sockets(driver, reason, reason_bytes);
    for (uint32_t v = 0; v < driver->view_count && result == 0; v++) {
        result = open_view(driver, v);
        if (result != 0) {
            snprintf(reason, reason_bytes,
                     "reactor %u's sockets or buffers: %s; lower the number of buffers", v,
                     strerror(-result));
        }
    }
    if (result != 0) {
        driver_close(driver);
        return result;
    }
    for (uint32_t v = 0; v < driver->view_count; v++) {
        views[v] = &driver->views[v]->net;
    }
    return 0;
}

uint32_t net_udp_buffers_total(const struct net *net)
{
    const struct view *view = view_from(net);
    return view->rx.capacity + view->peer.capacity + view->client.capacity;
}

uint32_t net_udp_buffers_free(const struct net *net)
{
    const struct view *view = view_from(net);
    return net_udp_buffers_total(net) - view->rx.in_use - view->peer.in_use - view->client.in_use +
           view->in.filled;
}
