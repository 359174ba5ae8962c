// What the engine asks of a network: datagrams in bursts, never a wait.
//
// A `struct net` is ONE reactor's view (its queue pair on every link); a driver with several
// reactors hands out several. All calls come from the reactor's own thread. Addresses and headers
// (Ethernet, IPv4, UDP) are the driver's affair: the engine sees the UDP payload only.
//
// Guarantees a driver gives (tests/driver/net_contract.c checks each on every driver):
//  1. receive() returns whole datagrams, each contiguous in memory, unchanged or not at all.
//  2. Datagrams may be lost, doubled and reordered. Nothing else may happen to them (but by a rule
//     of net_impair that corrupts, to test what the engine does then).
//  3. No call blocks, allocates (after open) or fails loudly; shortage is a smaller count.
//  4. A frame belongs to the caller from receive()/acquire() until release()/accepted send().
//  5. A flood of client frames cannot use up the buffers that NET_USE_PEER draws from.
#ifndef PONTOON_DRIVER_API_NET_H
#define PONTOON_DRIVER_API_NET_H

#include <stdbool.h>
#include <stdint.h>

enum {
    NET_LINKS_MAX = 32,
    NET_PEERS_MAX = 64,
    NET_CLASSES = 64,
    NET_FRAME_BYTES_MIN = 534,
    NET_FRAME_BYTES_MAX = 9000
};

// Where a datagram came from or goes to. Host byte order. Plain bytes: may be copied, compared
// field by field, kept.
struct net_endpoint {
    uint32_t ipv4;
    uint16_t udp_port;
    uint16_t link; // our link: index into the configuration's links
    uint16_t
        local_port; // our UDP port: base + class. Replies leave by the port the request came by.
    uint8_t mac[6]; // filled by drivers that have one, else 0
};

struct net_frame {
    uint8_t *data;     // UDP payload
    uint32_t bytes;    // payload length; the engine sets it before send
    uint32_t capacity; // of data; the link's frame_bytes
    struct net_endpoint remote;
    void *cookie; // the driver's own
};

// Which reserve a transmit buffer comes from.
enum net_use { NET_USE_PEER, NET_USE_CLIENT };

// Counters of one reactor's view; they only grow.
struct net_counters {
    uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
    uint64_t rx_malformed;  // not ours, short, bad IP or UDP checksum, fragments of IP
    uint64_t rx_no_buffer;  // pool empty at receive
    uint64_t tx_no_buffer;  // acquire() gave fewer than asked
    uint64_t tx_refused;    // send() took fewer than asked
    uint64_t tx_unresolved; // next hop unknown (ARP pending)
    uint64_t link_flaps;    // link went down, any link
    uint64_t handed_over;   // frames passed to another reactor's view
    uint64_t impaired_lost, impaired_delayed, impaired_duplicated, impaired_reordered, impaired_cut;
    uint64_t impaired_corrupted, impaired_clogged;
    uint64_t tx_link_down; // taken by send() and lost: the link is down
};

struct net;

struct net_ops {
    const char *name;
    // Up to `max` datagrams that have arrived. Result: how many.
    uint32_t (*receive)(struct net *net, struct net_frame *frames, uint32_t max);
    // Gives frames back (received, or acquired and not sent).
    void (*release)(struct net *net, struct net_frame *frames, uint32_t count);
    // Up to `count` empty transmit buffers for `link`. Result: how many.
    uint32_t (*acquire)(struct net *net, uint16_t link, enum net_use use, struct net_frame *frames,
                        uint32_t count);
    // Sends frames[0..count) to their .remote (link, ipv4, udp_port; local_port is the source
    // port). Takes a prefix; the result is its length. The rest stays the caller's. Frames of
    // different links may be mixed. A short result means that the link of frames[result] has no
    // room now. Frames to a link that is down, or to an address not resolved yet, are taken and
    // lost, so that they do not block the others. Any call may take none for a moment (a port is
    // being changed).
    uint32_t (*send)(struct net *net, struct net_frame *frames, uint32_t count);
    // Where node `id` is reached for steering class `class`. False while its address is not
    // resolved.
    bool (*locate)(struct net *net, uint16_t node_id, uint8_t class, struct net_endpoint *endpoint);
    // Housekeeping, once a poll iteration: ARP, link supervision, delayed frames. Must cost nothing
    // when nothing is due.
    void (*poll)(struct net *net, uint64_t now_ns);
    bool (*link_up)(struct net *net, uint16_t link);
    uint32_t (*frame_bytes)(struct net *net, uint16_t link); // largest UDP payload
    void (*counters)(struct net *net, struct net_counters *out);
    void (*close)(struct net *net);
};

// Drivers embed this as their first member.
struct net {
    const struct net_ops *ops;
};

// What every network driver is opened with. Links are numbered by their place here.
struct net_link_config {
    char device[192];    // DPDK: vdev with arguments ("net_memif0,role=client,...") or PCI address;
                         // UDP: empty
    uint32_t ipv4;       // our address on this link
    uint8_t prefix_bits; // of its subnet
    uint16_t frame_bytes; // largest UDP payload, NET_FRAME_BYTES_MIN..MAX
};

struct net_peer_config {
    uint16_t node_id;
    uint16_t link; // the link that reaches it
    uint32_t ipv4;
};

struct net_config {
    struct net_link_config links[NET_LINKS_MAX];
    uint32_t link_count;
    struct net_peer_config peers[NET_PEERS_MAX];
    uint32_t peer_count;
    uint16_t udp_port; // of class 0; class c listens on udp_port + c (every node the same)
    uint32_t reactors; // views to open; class c belongs to view c mod reactors
    uint32_t buffers;  // frames in all pools together; a quarter is kept for NET_USE_PEER
};

#endif
