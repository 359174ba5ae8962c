#include "bench/raw/port.h"

#include <errno.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
    PROCESS_MIB = 64,
    HUGEPAGE_MIB = 2,
    DESCRIPTORS = 1024,
    POOL_FRAMES = 8191,
    POOL_CACHE = 256,
    SEND_TRIES =
        10000 // of a full link before frames are dropped: seconds of a reader that stands still
};

bool port_hugepages_free(unsigned processes)
{
    unsigned long pages = 0;
    FILE *file = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r");
    if (file != NULL) {
        if (fscanf(file, "%lu", &pages) != 1) {
            pages = 0;
        }
        fclose(file);
    }
    return pages >= (unsigned long)processes * PROCESS_MIB / HUGEPAGE_MIB;
}

// Collects arguments for rte_eal_init, which wants them writable and in one array.
struct arguments {
    int count;
    char text[32][LINK_ARGUMENT_BYTES];
    char *list[33];
};

static void add_argument(struct arguments *arguments, const char *text)
{
    char *copy = arguments->text[arguments->count];
    snprintf(copy, LINK_ARGUMENT_BYTES, "%s", text);
    arguments->list[arguments->count++] = copy;
}

static void add_memory(struct arguments *arguments, bool hugepages)
{
    char mib[16];
    snprintf(mib, sizeof(mib), "%d", PROCESS_MIB);
    add_argument(arguments, "-m");
    add_argument(arguments, mib);
    if (hugepages) {
        add_argument(arguments, "--in-memory");
    } else {
        add_argument(arguments, "--no-huge");
        add_argument(arguments, "--no-shconf");
    }
}

struct rte_mempool *port_start_eal(const char *name, const unsigned *cpus, unsigned cpu_count,
                                   const struct link_end *const *ends, unsigned end_count,
                                   bool hugepages)
{
    static struct arguments arguments;
    char lcores[32];
    snprintf(lcores, sizeof(lcores), cpu_count == 1 ? "0@%u" : "0@%u,1@%u", cpus[0],
             cpus[cpu_count - 1]);
    static const char *const fixed[] = {"--no-pci", "--no-telemetry", "--log-level=4", "--lcores"};
    add_argument(&arguments, name);
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        add_argument(&arguments, fixed[i]);
    }
    add_argument(&arguments, lcores);
    add_memory(&arguments, hugepages);
    for (unsigned i = 0; i < end_count; i++) {
        if (ends[i]->argument[0] != '\0') {
            add_argument(&arguments, "--vdev");
            add_argument(&arguments, ends[i]->argument);
        }
    }
    if (rte_eal_init(arguments.count, arguments.list) < 0) {
        return NULL;
    }
    return rte_pktmbuf_pool_create("frames", POOL_FRAMES, POOL_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
                                   (int)rte_socket_id());
}

bool port_start_device(struct port *port, uint16_t id, struct rte_mempool *pool)
{
    struct rte_eth_conf configuration = {0};
    uint16_t receive = DESCRIPTORS, transmit = DESCRIPTORS;
    unsigned socket = rte_socket_id();
    port->id = id;
    port->pool = pool;
    int error = rte_eth_dev_configure(id, 1, 1, &configuration);
    error = error != 0 ? error : rte_eth_dev_adjust_nb_rx_tx_desc(id, &receive, &transmit);
    error = error != 0 ? error : rte_eth_rx_queue_setup(id, 0, receive, socket, NULL, pool);
    error = error != 0 ? error : rte_eth_tx_queue_setup(id, 0, transmit, socket, NULL);
    error = error != 0 ? error : rte_eth_dev_start(id);
    if (error != 0) {
        fprintf(stderr, "port %u: %s\n", id, strerror(-error));
        return false;
    }
    (void)rte_eth_promiscuous_enable(id); // where it means nothing it is refused
    return true;
}

bool port_open(struct port *port, const struct link_end *end, struct rte_mempool *pool)
{
    *port = (struct port){.kind = end->kind, .fd = end->fd, .pool = pool};
    if (end->kind == LINK_UDP) {
        return true;
    }
    uint16_t id;
    if (rte_eth_dev_get_port_by_name(end->device, &id) != 0) {
        fprintf(stderr, "no port %s\n", end->device);
        return false;
    }
    return port_start_device(port, id, pool);
}

static bool is_up(const struct port *port)
{
    struct rte_eth_link status;
    return rte_eth_link_get_nowait(port->id, &status) == 0 && status.link_status;
}

bool port_await_link(struct port *port, unsigned timeout_ms)
{
    enum { STEP_MS = 10, RESTART_MS = 1000 };
    if (port->kind == LINK_UDP) {
        return true;
    }
    for (unsigned waited_ms = 0; waited_ms < timeout_ms; waited_ms += STEP_MS) {
        if (is_up(port)) {
            return true;
        }
        if (port->kind == LINK_MEMIF && waited_ms % RESTART_MS == RESTART_MS - STEP_MS) {
            rte_eth_dev_stop(port->id);
            rte_eth_dev_start(port->id);
        }
        rte_delay_ms(STEP_MS);
    }
    fprintf(stderr, "port %u: no link\n", port->id);
    return false;
}

// Keeps PORT_BURST empty mbufs at hand, so that an empty poll costs the system call and nothing
// else.
static bool refill_spares(struct port *port)
{
    uint16_t missing = (uint16_t)(PORT_BURST - port->spare_count);
    if (missing > 0 &&
        rte_pktmbuf_alloc_bulk(port->pool, port->spares + port->spare_count, missing) == 0) {
        port->spare_count = PORT_BURST;
    }
    return port->spare_count == PORT_BURST;
}

uint16_t port_receive_udp(struct port *port, struct rte_mbuf **frames, uint16_t count)
{
    struct mmsghdr messages[PORT_BURST];
    struct iovec vectors[PORT_BURST];
    if (!refill_spares(port)) {
        return 0;
    }
    for (uint16_t i = 0; i < count; i++) {
        struct rte_mbuf *spare = port->spares[i];
        vectors[i] = (struct iovec){.iov_base = rte_pktmbuf_mtod(spare, void *),
                                    .iov_len = rte_pktmbuf_tailroom(spare)};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[i], .msg_iovlen = 1}};
    }
    int received = recvmmsg(port->fd, messages, count, MSG_DONTWAIT, NULL);
    if (received <= 0) {
        return 0;
    }
    for (int i = 0; i < received; i++) {
        frames[i] = port->spares[i];
        frames[i]->data_len = (uint16_t)messages[i].msg_len;
        frames[i]->pkt_len = messages[i].msg_len;
    }
    port->spare_count = (uint16_t)(PORT_BURST - received);
    memmove(port->spares, port->spares + received, port->spare_count * sizeof(port->spares[0]));
    return (uint16_t)received;
}

uint16_t port_send_udp(struct port *port, struct rte_mbuf **frames, uint16_t count)
{
    struct mmsghdr messages[PORT_BURST];
    struct iovec vectors[PORT_BURST];
    for (uint16_t i = 0; i < count; i++) {
        vectors[i] = (struct iovec){.iov_base = rte_pktmbuf_mtod(frames[i], void *),
                                    .iov_len = frames[i]->data_len};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[i], .msg_iovlen = 1}};
    }
    int sent = sendmmsg(port->fd, messages, count, MSG_DONTWAIT);
    if (sent <= 0) {
        return 0;
    }
    rte_pktmbuf_free_bulk(frames, (unsigned)sent);
    return (uint16_t)sent;
}

uint16_t port_send(struct port *port, struct rte_mbuf **frames, uint16_t count)
{
    uint16_t sent = 0;
    for (int tries = 0; sent < count && tries < SEND_TRIES; tries++) {
        uint16_t left = (uint16_t)(count - sent);
        uint16_t taken = port->kind == LINK_UDP
                             ? port_send_udp(port, frames + sent, left)
                             : rte_eth_tx_burst(port->id, 0, frames + sent, left);
        sent = (uint16_t)(sent + taken);
        if (taken == 0) {
            port_idle();
        }
    }
    uint16_t dropped = (uint16_t)(count - sent);
    rte_pktmbuf_free_bulk(frames + sent, dropped);
    return dropped;
}
