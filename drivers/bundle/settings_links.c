// From `link: KIND` to the links of every member.
//
//     memif       a full mesh of point-to-point links: one port a peer, and one for each pair of
//                 client place and node
//     udp         kernel sockets, one link that reaches everybody
//     af_packet   one port a member, reaching everybody; `device` names it
//     port        the same for any other DPDK device: tap, af_xdp, a NIC by PCI address
//     explicit    nothing is generated: `links` of each member
//
// Of a memif pair the first of (node with the smaller id, node before client) is the server.
// Sockets are abstract, so that a killed process leaves no file behind, and are named after the
// cluster and both ends.
#include "drivers/bundle/settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/driver_api/net.h"

enum {
    FRAME_BYTES_JUMBO = 8960,
    FRAME_BYTES_ETHERNET = 1472, // 1500 - IPv4 and UDP headers
    HEADER_BYTES = 42,           // Ethernet, IPv4, UDP
    PREFIX_BITS = 24,
    CLIENT_HOST = 100, // last number of a client's default address is this + id
};

static bool is_loopback(uint32_t ipv4)
{
    return ipv4 >> 24 == 127;
}

static uint64_t node_bit(uint16_t id)
{
    return UINT64_C(1) << (id - 1);
}

static uint32_t default_address(enum settings_link_kind kind, uint32_t host)
{
    uint32_t network =
        kind == SETTINGS_UDP ? UINT32_C(0x7F4D0000) : UINT32_C(0x0A4D0000); // 127.77, 10.77
    return network + host;
}

static uint16_t frame_bytes_of(const struct settings_file *file, uint32_t given, uint32_t ipv4)
{
    if (given != 0) {
        return (uint16_t)given;
    }
    if (file->frame_bytes != 0) {
        return (uint16_t)file->frame_bytes;
    }
    bool is_jumbo = file->link == SETTINGS_MEMIF || is_loopback(ipv4);
    return is_jumbo ? FRAME_BYTES_JUMBO : FRAME_BYTES_ETHERNET;
}

// Bits of all nodes but `except` (0: all).
static uint64_t all_nodes(const struct settings_file *file, uint16_t except)
{
    uint64_t nodes = 0;
    for (uint32_t i = 0; i < file->node_count; i++) {
        nodes |= file->nodes[i].id == except ? 0 : node_bit(file->nodes[i].id);
    }
    return nodes;
}

// ------------------------------------------------------------------------------------------ memif

// One buffer holds a whole frame, so that frames arrive in one piece. An odd number of cache lines
// spreads the buffers over the sets of the cache.
static unsigned buffer_bytes(uint16_t frame_bytes)
{
    unsigned lines = (frame_bytes + HEADER_BYTES + 63U) / 64;
    return (lines | 1) * 64;
}

// Adds one end of a memif pair to a member. `pair` names both ends, the server first: "n1-n2",
// "n1-c1".
static void add_memif(const struct settings_file *file, struct pontoon_member *member,
                      bool is_server, const char *pair, uint64_t nodes)
{
    struct pontoon_link *link = &member->links[member->link_count];
    link->ipv4 = member->ipv4;
    link->prefix_bits = PREFIX_BITS;
    link->frame_bytes = frame_bytes_of(file, 0, member->ipv4);
    link->nodes = nodes;
    snprintf(link->device, sizeof(link->device),
             "net_memif%u,role=%s,id=0,socket=pontoon-%" PRIu64 "-%s,socket-abstract=yes,bsize=%u",
             member->link_count, is_server ? "server" : "client", file->config.cluster, pair,
             buffer_bytes(link->frame_bytes));
    member->link_count++;
}

static void mesh_memif(struct settings_file *file)
{
    struct pontoon_config *config = &file->config;
    char pair[16];
    for (uint32_t i = 0; i < config->node_count; i++) {
        struct pontoon_member *server = &config->nodes[i];
        for (uint32_t j = 0; j < config->node_count; j++) {
            struct pontoon_member *client = &config->nodes[j];
            if (server->id < client->id) {
                snprintf(pair, sizeof(pair), "n%u-n%u", server->id, client->id);
                add_memif(file, server, true, pair, node_bit(client->id));
                add_memif(file, client, false, pair, node_bit(server->id));
            }
        }
    }
    for (uint32_t i = 0; i < config->client_count; i++) {
        struct pontoon_member *client = &config->clients[i];
        for (uint32_t j = 0; j < config->node_count; j++) {
            struct pontoon_member *server = &config->nodes[j];
            snprintf(pair, sizeof(pair), "n%u-c%u", server->id, client->id);
            add_memif(file, server, true, pair, 0);
            add_memif(file, client, false, pair, node_bit(server->id));
        }
    }
}

// ----------------------------------------------------------------------------------------- others

static void add_single(const struct settings_file *file, const struct settings_member *given,
                       uint64_t nodes, struct pontoon_member *member)
{
    struct pontoon_link *link = &member->links[member->link_count++];
    snprintf(link->device, sizeof(link->device), "%s", given->device);
    link->ipv4 = member->ipv4;
    link->prefix_bits = PREFIX_BITS;
    link->frame_bytes = frame_bytes_of(file, 0, member->ipv4);
    link->nodes = nodes;
}

static void add_explicit(const struct settings_file *file, const struct settings_member *given,
                         uint64_t nodes, struct pontoon_member *member)
{
    for (uint32_t i = 0; i < given->link_count; i++) {
        const struct settings_link *from = &given->links[i];
        struct pontoon_link *link = &member->links[member->link_count++];
        memcpy(link->device, from->device, sizeof(link->device));
        link->ipv4 = from->ipv4 != 0 ? from->ipv4 : member->ipv4;
        link->prefix_bits = from->prefix_bits != 0 ? (uint8_t)from->prefix_bits : PREFIX_BITS;
        link->frame_bytes = frame_bytes_of(file, from->frame_bytes, link->ipv4);
        link->nodes = from->nodes == 0 && given->link_count == 1 ? nodes : from->nodes;
    }
}

// Is what the member says about its ports what this kind of link asks for?
static int check_ports(const struct settings_file *file, const struct settings_member *member,
                       const char *what, const struct settings_reason *reason)
{
    bool wants_device = file->link == SETTINGS_AF_PACKET || file->link == SETTINGS_PORT;
    bool wants_links = file->link == SETTINGS_EXPLICIT;
    if (wants_links != (member->link_count != 0)) {
        return settings_refuse(reason, member->line,
                               wants_links ? "%s %u: links missing; `link: explicit` needs them"
                                           : "%s %u: links given; they need `link: explicit`",
                               what, member->id);
    }
    if (wants_device != (member->device[0] != '\0')) {
        return settings_refuse(
            reason, member->line,
            wants_device ? "%s %u: device missing; give one, like net_af_packet0,iface=eth1"
                         : "%s %u: device given; it needs `link: af_packet` or `link: port`",
            what, member->id);
    }
    if (file->link == SETTINGS_AF_PACKET && strncmp(member->device, "net_af_packet", 13) != 0) {
        return settings_refuse(
            reason, member->line,
            "%s %u: device \"%.40s\" is no net_af_packet; give one, or say `link: port`", what,
            member->id, member->device);
    }
    return 0;
}

static int make_member(const struct settings_file *file, const struct settings_member *given,
                       bool is_node, struct pontoon_member *member,
                       const struct settings_reason *reason)
{
    uint32_t host = is_node ? given->id : (uint32_t)(CLIENT_HOST + given->id);
    uint64_t nodes = all_nodes(file, is_node ? given->id : 0);
    member->id = given->id;
    member->ipv4 = given->ipv4 != 0 ? given->ipv4 : default_address(file->link, host);
    int result = check_ports(file, given, is_node ? "node" : "client", reason);
    if (result != 0) {
        return result;
    }
    switch (file->link) {
    case SETTINGS_MEMIF:
        break; // mesh_memif, when all members are there
    case SETTINGS_UDP:
    case SETTINGS_AF_PACKET:
    case SETTINGS_PORT:
        add_single(file, given, nodes, member);
        break;
    case SETTINGS_EXPLICIT:
        add_explicit(file, given, nodes, member);
        break;
    }
    return 0;
}

int settings_links_make(struct settings_file *file, const struct settings_reason *reason)
{
    struct pontoon_config *config = &file->config;
    int result = 0;
    if (file->link != SETTINGS_EXPLICIT) {
        config->driver = file->link == SETTINGS_UDP ? PONTOON_DRIVER_UDP : PONTOON_DRIVER_DPDK;
    }
    for (uint32_t i = 0; result == 0 && i < file->node_count; i++) {
        result = make_member(file, &file->nodes[i], true, &config->nodes[i], reason);
        config->node_count = i + 1;
    }
    for (uint32_t i = 0; result == 0 && i < file->client_count; i++) {
        result = make_member(file, &file->clients[i], false, &config->clients[i], reason);
        config->client_count = i + 1;
    }
    if (result == 0 && file->link == SETTINGS_MEMIF) {
        mesh_memif(file);
    }
    return result;
}
