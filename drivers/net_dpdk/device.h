// Ethernet devices as settings name them: found or created, checked, configured, started.
//
//     net_memif0,role=client,id=0,socket=NAME   a virtual device with its arguments (any net_* of
//     DPDK) net_ring:NAME                             one end of a pair made by ring_link (nodes of
//     one process) port:NAME                                 an ethdev that exists already (an
//     adopted EAL's) 0000:3b:00.0                              a PCI device bound to vfio-pci (or
//     served by its own kernel driver)
#ifndef PONTOON_NET_DPDK_DEVICE_H
#define PONTOON_NET_DPDK_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/net_dpdk/eal.h"

struct rte_mempool;

enum device_kind {
    DEVICE_MEMIF,
    DEVICE_RING,
    DEVICE_AF_PACKET,
    DEVICE_AF_XDP,
    DEVICE_TAP,
    DEVICE_VIRTUAL, // another net_*
    DEVICE_PCI,
    DEVICE_EXISTING,
};

struct device {
    char name[64]; // ethdev's
    enum device_kind kind;
    bool created;         // by us: removed by device_close
    bool point_to_point;  // nobody but the one peer hears us: no ARP needed, no UDP checksum wanted
    bool memif_client;    // the end that must reconnect
    bool fills_checksums; // of IPv4 and UDP, on sending
    bool started;
    uint16_t port;
    uint16_t queues; // RX/TX pairs
    uint8_t mac[6];
    char ready_name[100]; // memif with an abstract socket: see device_start
    int ready_fd;         // memif server: listens there while the port is started; -1: no
};

// What `text` names, going by its form.
enum device_kind device_kind_of(const char *text);

// The PCI address that `text` is, or NULL.
const char *device_pci_address(const char *text);

// Finds or creates the device. mbuf_bytes: room of a receive buffer (memif's slots are made as
// large, so that a frame is never chained and both of memif's fast paths are taken). 0 or -errno
// with *fault filled.
int device_open(struct device *device, const char *text, uint32_t mbuf_bytes,
                struct eal_fault *fault);

// Configures up to `queues` queue pairs for payloads of `frame_bytes`. 0 or -errno with *fault
// filled.
int device_configure(struct device *device, uint16_t queues, uint32_t frame_bytes, uint32_t buffers,
                     struct rte_mempool *pool, struct eal_fault *fault);

// Starts the port. A memif client whose server is not there yet is no error: started stays false.
//
// A client must not even connect to a server that listens but whose port is not started: the
// connection is lost, and ending it can crash the server (a race of net_memif 22.11 in EAL's
// interrupt thread). So a started server listens on a second abstract socket, SOCKET.ID.ready, and
// a client starts only when there is somebody on it.
int device_start(struct device *device);
void device_stop(struct device *device);
void device_close(struct device *device);

bool device_is_up(const struct device *device);

#endif
