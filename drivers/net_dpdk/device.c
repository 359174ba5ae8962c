#include "drivers/net_dpdk/device.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_ethdev.h>

#include "drivers/net_dpdk/frame.h"

enum { DESCRIPTORS = 512, DESCRIPTORS_MIN = 64, ARGUMENTS_BYTES = 256 };

const char *device_pci_address(const char *text)
{
    static const char pattern[] = "hhhh:hh:hh.d";
    if (strncmp(text, "pci:", 4) == 0) {
        text += 4;
    }
    for (size_t i = 0; i < sizeof(pattern) - 1; i++) {
        bool fits = pattern[i] == 'h'   ? isxdigit((unsigned char)text[i]) != 0
                    : pattern[i] == 'd' ? text[i] >= '0' && text[i] <= '7'
                                        : text[i] == pattern[i];
        if (!fits) {
            return NULL;
        }
    }
    char next = text[sizeof(pattern) - 1];
    return next == '\0' || next == ',' ? text : NULL;
}

enum device_kind device_kind_of(const char *text)
{
    static const struct {
        const char *prefix;
        enum device_kind kind;
    } kinds[] = {{"net_memif", DEVICE_MEMIF},         {"net_ring:", DEVICE_RING},
                 {"net_af_packet", DEVICE_AF_PACKET}, {"eth_af_packet", DEVICE_AF_PACKET},
                 {"net_af_xdp", DEVICE_AF_XDP},       {"net_tap", DEVICE_TAP},
                 {"port:", DEVICE_EXISTING}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strncmp(text, kinds[i].prefix, strlen(kinds[i].prefix)) == 0) {
            return kinds[i].kind;
        }
    }
    return device_pci_address(text) != NULL ? DEVICE_PCI : DEVICE_VIRTUAL;
}

// Value of KEY in "a=1,KEY=value,b": copied to value. False: not there.
static bool argument_of(const char *arguments, const char *key, char *value, size_t size)
{
    size_t key_bytes = strlen(key);
    for (const char *at = arguments; at != NULL && *at != '\0';) {
        if (strncmp(at, key, key_bytes) == 0 && at[key_bytes] == '=') {
            const char *start = at + key_bytes + 1;
            size_t bytes = strcspn(start, ",");
            snprintf(value, size, "%.*s", (int)bytes, start);
            return true;
        }
        at = strchr(at, ',');
        at = at == NULL ? NULL : at + 1;
    }
    return false;
}

static int check_interface(const char *arguments, const char *name, struct eal_fault *fault)
{
    char interface[IFNAMSIZ + 1];
    if (!argument_of(arguments, "iface", interface, sizeof(interface))) {
        return eal_fail(fault, -EINVAL, "write it as NAME,iface=INTERFACE", "%s: no iface= given",
                        name);
    }
    if (if_nametoindex(interface) == 0) {
        return eal_fail(fault, -ENODEV, "create the interface, or correct the link's device",
                        "%s: there is no network interface \"%s\"", name, interface);
    }
    int probe = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (probe < 0) {
        return eal_fail(fault, -errno, "run as root, with CAP_NET_RAW, or inside unshare -rn",
                        "%s: raw packet sockets are not permitted (%s)", name, strerror(errno));
    }
    close(probe);
    return 0;
}

// The device loads a BPF program and a map of sockets, which a user namespace's root may not.
static int check_xdp(const char *name, struct eal_fault *fault)
{
    union bpf_attr map = {
        .map_type = BPF_MAP_TYPE_XSKMAP, .key_size = 4, .value_size = 4, .max_entries = 1};
    long probe = syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof(map));
    if (probe < 0) {
        return eal_fail(
            fault, -errno,
            "run as root or with CAP_BPF and CAP_NET_ADMIN, which a user namespace does not "
            "give; or use net_af_packet",
            "%s: BPF programs for AF_XDP are not permitted (%s)", name, strerror(errno));
    }
    close((int)probe);
    return 0;
}

static int check_tap(const char *name, struct eal_fault *fault)
{
    int probe = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (probe < 0) {
        return eal_fail(fault, -errno, "load the tun module and run as root or with CAP_NET_ADMIN",
                        "%s: /dev/net/tun cannot be opened (%s)", name, strerror(errno));
    }
    close(probe);
    return 0;
}

static int check_pci(const char *address, struct eal_fault *fault)
{
    char path[96], driver[256];
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.12s", address);
    if (access(path, F_OK) != 0) {
        return eal_fail(fault, -ENODEV, "list devices with dpdk-devbind.py --status",
                        "there is no PCI device %.12s", address);
    }
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.12s/driver", address);
    ssize_t bytes = readlink(path, driver, sizeof(driver) - 1);
    if (bytes < 0) {
        return eal_fail(fault, -ENODEV, "bind it: dpdk-devbind.py --bind vfio-pci ADDRESS",
                        "PCI device %.12s is bound to no driver", address);
    }
    return 0;
}

static int check_memif(const char *arguments, const char *name, struct eal_fault *fault)
{
    char value[128];
    if (argument_of(arguments, "socket-abstract", value, sizeof(value)) &&
        strcmp(value, "no") == 0 && argument_of(arguments, "socket", value, sizeof(value))) {
        char role[16] = "client";
        argument_of(arguments, "role", role, sizeof(role));
        if (strcmp(role, "server") == 0 && access(value, F_OK) == 0) {
            return eal_fail(
                fault, -EADDRINUSE,
                "remove it if its process is gone, or use an abstract socket (the default)",
                "%s: the socket file %s exists", name, value);
        }
    }
    return 0;
}

static int check(const struct device *device, const char *text, const char *arguments,
                 struct eal_fault *fault)
{
    int result;
    switch (device->kind) {
    case DEVICE_AF_PACKET:
        return check_interface(arguments, device->name, fault);
    case DEVICE_AF_XDP:
        result = check_interface(arguments, device->name, fault);
        return result == 0 ? check_xdp(device->name, fault) : result;
    case DEVICE_TAP:
        return check_tap(device->name, fault);
    case DEVICE_PCI:
        return check_pci(device_pci_address(text), fault);
    case DEVICE_MEMIF:
        return check_memif(arguments, device->name, fault);
    case DEVICE_RING:
    case DEVICE_VIRTUAL:
    case DEVICE_EXISTING:
        return 0;
    }
    return 0;
}

// Makes the device appear in EAL.
static int probe(struct device *device, const char *text, const char *arguments,
                 struct eal_fault *fault)
{
    if (device->kind == DEVICE_RING || device->kind == DEVICE_EXISTING) {
        return eal_fail(fault, -ENODEV, "make it before the network is opened",
                        "there is no Ethernet device \"%s\"", device->name);
    }
    int result =
        device->kind == DEVICE_PCI ? rte_dev_probe(text) : rte_vdev_init(device->name, arguments);
    if (result != 0) {
        return eal_fail(
            fault, result < 0 ? result : -EIO,
            device->kind == DEVICE_MEMIF
                ? "is the socket name in use by another process? else check the arguments"
                : "check name and arguments of the link's device",
            "%s could not be created: %.160s", device->name,
            eal_last_error()[0] == '\0' ? strerror(-result) : eal_last_error());
    }
    device->created = true;
    return 0;
}

static void split(struct device *device, const char *text, char *arguments, size_t size)
{
    device->kind = device_kind_of(text);
    const char *name = text;
    if (device->kind == DEVICE_PCI) {
        name = device_pci_address(text);
    } else if (device->kind == DEVICE_EXISTING) {
        name = strchr(text, ':') + 1;
    }
    size_t name_bytes = strcspn(name, ",");
    snprintf(device->name, sizeof(device->name), "%.*s", (int)name_bytes, name);
    snprintf(arguments, size, "%s", name[name_bytes] == ',' ? name + name_bytes + 1 : "");
    if (device->kind == DEVICE_RING) {
        device->name[strlen("net_ring")] = '_'; // as rte_eth_from_rings names it
    }
}

static void name_ready_socket(struct device *device, const char *arguments)
{
    char socket[64] = "memif.sock", id[12] = "0", abstract[8] = "yes";
    argument_of(arguments, "socket", socket, sizeof(socket));
    argument_of(arguments, "id", id, sizeof(id));
    argument_of(arguments, "socket-abstract", abstract, sizeof(abstract));
    if (strcmp(abstract, "no") != 0) {
        snprintf(device->ready_name, sizeof(device->ready_name), "%s.%s.ready", socket, id);
    }
}

static int ready_socket(const struct device *device, struct sockaddr_un *address, socklen_t *bytes)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t length = strlen(device->ready_name);
    memcpy(address->sun_path + 1, device->ready_name, length); // a leading zero byte: abstract
    *bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static void announce_ready(struct device *device)
{
    struct sockaddr_un address;
    socklen_t bytes;
    device->ready_fd = ready_socket(device, &address, &bytes);
    if (device->ready_fd >= 0 && (bind(device->ready_fd, (struct sockaddr *)&address, bytes) != 0 ||
                                  listen(device->ready_fd, 1) != 0)) {
        close(device->ready_fd);
        device->ready_fd = -1;
    }
}

// Nobody accepts there: a full queue says "ready" as well.
static bool is_server_ready(const struct device *device)
{
    struct sockaddr_un address;
    socklen_t bytes;
    int fd = ready_socket(device, &address, &bytes);
    bool is_ready =
        fd >= 0 && (connect(fd, (struct sockaddr *)&address, bytes) == 0 || errno == EAGAIN);
    if (fd >= 0) {
        close(fd);
    }
    return is_ready;
}

int device_open(struct device *device, const char *text, uint32_t mbuf_bytes,
                struct eal_fault *fault)
{
    char arguments[ARGUMENTS_BYTES];
    memset(device, 0, sizeof(*device));
    device->ready_fd = -1;
    split(device, text, arguments, sizeof(arguments));
    device->point_to_point = device->kind == DEVICE_MEMIF || device->kind == DEVICE_RING;
    if (device->kind == DEVICE_MEMIF) {
        char value[32];
        device->memif_client = !argument_of(arguments, "role", value, sizeof(value)) ||
                               strcmp(value, "client") == 0 || strcmp(value, "slave") == 0;
        name_ready_socket(device, arguments);
        if (!argument_of(arguments, "bsize", value, sizeof(value))) {
            size_t at = strlen(arguments);
            snprintf(arguments + at, sizeof(arguments) - at, "%sbsize=%u", at == 0 ? "" : ",",
                     mbuf_bytes);
        }
    }
    int result = 0;
    if (rte_eth_dev_get_port_by_name(device->name, &device->port) != 0) {
        result = check(device, text, arguments, fault);
        result = result == 0 ? probe(device, text, arguments, fault) : result;
        if (result == 0 && rte_eth_dev_get_port_by_name(device->name, &device->port) != 0) {
            result = eal_fail(fault, -ENODEV, "is it an Ethernet device?",
                              "%s was created but no port belongs to it", device->name);
        }
    }
    return result;
}

static int check_frame_bytes(const struct device *device, const struct rte_eth_dev_info *info,
                             uint32_t frame_bytes, struct eal_fault *fault)
{
    if (device->point_to_point) {
        return 0; // carries whatever fits its buffers
    }
    uint32_t needed = frame_bytes + FRAME_IP_UDP_BYTES;
    uint32_t most = info->max_rx_pktlen > FRAME_ETHERNET_BYTES + 4u
                        ? info->max_rx_pktlen - FRAME_ETHERNET_BYTES - 4
                        : 0;
    if (info->max_mtu != 0 && info->max_mtu < most) {
        most = info->max_mtu;
    }
    if (needed > most) {
        return eal_fail(fault, -EMSGSIZE, "set the link's frame_bytes to that or less",
                        "%s carries datagrams of at most %u bytes, frame_bytes is %u", device->name,
                        most > FRAME_IP_UDP_BYTES ? most - FRAME_IP_UDP_BYTES : 0, frame_bytes);
    }
    return 0;
}

static void choose_offloads(struct device *device, const struct rte_eth_dev_info *info,
                            struct rte_eth_conf *conf)
{
    conf->rxmode.offloads =
        info->rx_offload_capa & (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM);
    if (device->point_to_point) {
        return;
    }
    conf->txmode.offloads =
        info->tx_offload_capa & (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
    // Where both are there the device does both; one of two saves nothing worth a second path.
    device->fills_checksums =
        conf->txmode.offloads == (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
    if (!device->fills_checksums) {
        conf->txmode.offloads = 0;
    }
}

static int set_up_queues(struct device *device, uint32_t buffers, struct rte_mempool *pool)
{
    uint16_t rx = DESCRIPTORS, tx = DESCRIPTORS;
    while (rx > DESCRIPTORS_MIN && (uint32_t)rx * device->queues > buffers / 8) {
        rx /= 2;
        tx /= 2;
    }
    int result = rte_eth_dev_adjust_nb_rx_tx_desc(device->port, &rx, &tx);
    int socket = rte_eth_dev_socket_id(device->port);
    for (uint16_t q = 0; q < device->queues && result == 0; q++) {
        result = rte_eth_rx_queue_setup(device->port, q, rx, (unsigned)socket, NULL, pool);
        if (result == 0) {
            result = rte_eth_tx_queue_setup(device->port, q, tx, (unsigned)socket, NULL);
        }
    }
    return result;
}

int device_configure(struct device *device, uint16_t queues, uint32_t frame_bytes, uint32_t buffers,
                     struct rte_mempool *pool, struct eal_fault *fault)
{
    struct rte_eth_dev_info info;
    int result = rte_eth_dev_info_get(device->port, &info);
    if (result == 0) {
        result = check_frame_bytes(device, &info, frame_bytes, fault);
        if (result != 0) {
            return result;
        }
        struct rte_eth_conf conf = {0};
        // memif connects queues one by one with whatever the other end has; only one is always safe
        // (README).
        bool enough = device->kind != DEVICE_MEMIF && info.max_rx_queues >= queues &&
                      info.max_tx_queues >= queues;
        device->queues = enough ? queues : 1;
        if (!device->point_to_point && frame_bytes + FRAME_IP_UDP_BYTES > RTE_ETHER_MTU) {
            conf.rxmode.mtu = frame_bytes + FRAME_IP_UDP_BYTES;
        }
        if (device->queues > 1 && (info.flow_type_rss_offloads & RTE_ETH_RSS_UDP) != 0) {
            conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
            conf.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & RTE_ETH_RSS_UDP;
        }
        choose_offloads(device, &info, &conf);
        result = rte_eth_dev_configure(device->port, device->queues, device->queues, &conf);
    }
    if (result == 0) {
        struct eal_hush hush = {.out = -1, .err = -1};
        if (device->kind == DEVICE_AF_XDP) {
            eal_hush(&hush);
        }
        result = set_up_queues(device, buffers, pool);
        eal_unhush(&hush);
    }
    struct rte_ether_addr mac;
    if (result == 0) {
        result = rte_eth_macaddr_get(device->port, &mac);
    }
    if (result != 0) {
        return eal_fail(fault, result, "check the link's device and the number of buffers",
                        "%s could not be configured: %s (%.120s)", device->name, strerror(-result),
                        eal_last_error());
    }
    memcpy(device->mac, mac.addr_bytes, sizeof(device->mac));
    return 0;
}

int device_start(struct device *device)
{
    bool has_ready_socket = device->ready_name[0] != '\0';
    if (has_ready_socket && device->memif_client && !is_server_ready(device)) {
        device->started = false;
        return 0;
    }
    int result = rte_eth_dev_start(device->port);
    device->started = result == 0;
    if (has_ready_socket && device->started && !device->memif_client) {
        announce_ready(device);
    }
    return device->started || device->memif_client ? 0 : result;
}

void device_stop(struct device *device)
{
    if (device->ready_fd > 0) { // 0 before device_open
        close(device->ready_fd);
        device->ready_fd = -1;
    }
    if (device->started) {
        rte_eth_dev_stop(device->port);
        device->started = false;
    }
}

void device_close(struct device *device)
{
    device_stop(device);
    if (!device->created) {
        return; // made by somebody else, theirs to remove
    }
    if (device->kind == DEVICE_PCI) {
        rte_eth_dev_close(device->port);
    } else {
        struct eal_hush hush = {.out = -1, .err = -1};
        if (device->kind == DEVICE_AF_XDP) {
            eal_hush(&hush);
        }
        rte_vdev_uninit(device->name); // closes the port, too
        eal_unhush(&hush);
    }
    device->created = false;
}

bool device_is_up(const struct device *device)
{
    struct rte_eth_link link;
    if (!device->started || rte_eth_link_get_nowait(device->port, &link) != 0) {
        return false;
    }
    return link.link_status == RTE_ETH_LINK_UP;
}
