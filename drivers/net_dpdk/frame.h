// Ethernet / IPv4 / UDP headers as bytes: built in front of a payload, and told apart on arrival.
//
// Pure functions over byte arrays: no DPDK, no state. What arrives is hostile until frame_parse has
// said FRAME_DATAGRAM.
//
//     0            14                  34           42
//     | Ethernet   | IPv4, no options  | UDP        | payload ... | Ethernet padding (ignored)
#ifndef PONTOON_NET_DPDK_FRAME_H
#define PONTOON_NET_DPDK_FRAME_H

#include <stdbool.h>
#include <stdint.h>

enum {
    FRAME_MAC_BYTES = 6,
    FRAME_ETHERNET_BYTES = 14,
    FRAME_IPV4_BYTES = 20,
    FRAME_UDP_BYTES = 8,
    FRAME_HEADER_BYTES = FRAME_ETHERNET_BYTES + FRAME_IPV4_BYTES + FRAME_UDP_BYTES,
    FRAME_IP_UDP_BYTES = FRAME_IPV4_BYTES + FRAME_UDP_BYTES,
};

enum frame_kind {
    FRAME_DATAGRAM,  // UDP to our address and one of our ports: whole and unharmed
    FRAME_ARP,       // for arp_on_packet
    FRAME_ICMP_ECHO, // an echo request to our address, checksum good
    FRAME_MALFORMED, // everything else: dropped and counted
};

// Which checksums the device has already found good.
enum { FRAME_IP_VERIFIED = 1, FRAME_UDP_VERIFIED = 2 };

// Where frames are received: what "ours" means.
struct frame_receiver {
    uint32_t ipv4;     // host byte order
    uint16_t udp_port; // first of ...
    uint16_t ports;    // ... this many
};

struct frame_info {
    uint32_t ipv4;          // sender's, host byte order
    uint16_t udp_port;      // sender's
    uint16_t local_port;    // the port of ours it came to
    uint32_t payload_bytes; // at FRAME_HEADER_BYTES
};

// What is constant in frames of one link. Made once by frame_template_init.
struct frame_template {
    uint8_t header[FRAME_HEADER_BYTES]; // source MAC and address filled, the rest zero
    uint32_t ip_sum;                    // sum of the constant words of the IPv4 header
    bool udp_checksum;                  // in software; else the field is zero (absent, RFC 768)
};

// Tells what `bytes` bytes at `data` are. Fills *info for FRAME_DATAGRAM only.
enum frame_kind frame_parse(const struct frame_receiver *receiver, const uint8_t *data,
                            uint32_t bytes, unsigned verified, struct frame_info *info);

void frame_template_init(struct frame_template *template, const uint8_t mac[FRAME_MAC_BYTES],
                         uint32_t ipv4, bool udp_checksum);

struct frame_destination {
    uint8_t mac[FRAME_MAC_BYTES];
    uint16_t udp_port;
    uint16_t local_port;
    uint32_t ipv4;
};

// Writes the FRAME_HEADER_BYTES bytes before `payload`.
void frame_build(const struct frame_template *template, const struct frame_destination *to,
                 uint8_t *payload, uint32_t payload_bytes);

// Turns an echo request (FRAME_ICMP_ECHO) into its reply, in place.
void frame_echo_reply(uint8_t *data, const uint8_t mac[FRAME_MAC_BYTES]);

// Ones' complement sum of `bytes` bytes as big-endian words, folded to 16 bits, added to `sum`.
uint32_t frame_sum(const uint8_t *data, uint32_t bytes, uint32_t sum);

static inline uint16_t frame_get16(const uint8_t *data)
{
    return (uint16_t)(data[0] << 8 | data[1]);
}

static inline uint32_t frame_get32(const uint8_t *data)
{
    return (uint32_t)frame_get16(data) << 16 | frame_get16(data + 2);
}

static inline void frame_put16(uint8_t *data, uint16_t value)
{
    data[0] = (uint8_t)(value >> 8);
    data[1] = (uint8_t)value;
}

static inline void frame_put32(uint8_t *data, uint32_t value)
{
    frame_put16(data, (uint16_t)(value >> 16));
    frame_put16(data + 2, (uint16_t)value);
}

#endif
