#include "drivers/net_dpdk/frame.h"

#include <string.h>

enum {
    ETHERTYPE_AT = 12,
    ETHERTYPE_IPV4 = 0x0800,
    ETHERTYPE_ARP = 0x0806,
    IP_AT = FRAME_ETHERNET_BYTES,
    IP_TOTAL_AT = IP_AT + 2,
    IP_FRAGMENT_AT = IP_AT + 6,
    IP_PROTOCOL_AT = IP_AT + 9,
    IP_CHECKSUM_AT = IP_AT + 10,
    IP_SOURCE_AT = IP_AT + 12,
    IP_DESTINATION_AT = IP_AT + 16,
    UDP_AT = IP_AT + FRAME_IPV4_BYTES,
    UDP_LENGTH_AT = UDP_AT + 4,
    UDP_CHECKSUM_AT = UDP_AT + 6,
    ICMP_AT = UDP_AT,
    ICMP_BYTES = 8,
    IP_VERSION_AND_LENGTH = 0x45, // version 4, five words: no options
    IP_MORE_OR_OFFSET = 0x3fff,   // any of these bits: a fragment
    IP_DONT_FRAGMENT = 0x4000,
    IP_TTL = 64,
    PROTOCOL_ICMP = 1,
    PROTOCOL_UDP = 17,
    ICMP_ECHO_REQUEST = 8,
};

static uint32_t fold(uint64_t sum)
{
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint32_t)sum;
}

uint32_t frame_sum(const uint8_t *data, uint32_t bytes, uint32_t sum)
{
    // The ones' complement sum is the same in either byte order up to a swap at the end (RFC 1071
    // §2B), and may be gathered in wider words: 32 at a time into 64 bits cannot overflow for any
    // frame.
    uint64_t wide = 0;
    uint32_t at = 0;
    for (; at + 4 <= bytes; at += 4) {
        uint32_t word;
        memcpy(&word, data + at, sizeof(word));
        wide += word;
    }
    uint32_t rest = 0;
    memcpy(&rest, data + at, bytes - at);
    uint32_t folded = fold(wide + rest);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    folded = (folded & 0xff) << 8 | folded >> 8;
#endif
    return fold((uint64_t)sum + folded);
}

static uint32_t pseudo_header_sum(const uint8_t *data, uint32_t udp_bytes)
{
    return frame_sum(data + IP_SOURCE_AT, 8, PROTOCOL_UDP + udp_bytes);
}

static enum frame_kind parse_echo(const uint8_t *data, uint32_t ip_bytes)
{
    uint32_t icmp_bytes = ip_bytes - FRAME_IPV4_BYTES;
    if (icmp_bytes < ICMP_BYTES || data[ICMP_AT] != ICMP_ECHO_REQUEST || data[ICMP_AT + 1] != 0 ||
        frame_sum(data + ICMP_AT, icmp_bytes, 0) != 0xffff) {
        return FRAME_MALFORMED;
    }
    return FRAME_ICMP_ECHO;
}

static enum frame_kind parse_datagram(const struct frame_receiver *receiver, const uint8_t *data,
                                      uint32_t ip_bytes, unsigned verified, struct frame_info *info)
{
    uint32_t udp_bytes = ip_bytes - FRAME_IPV4_BYTES;
    if (udp_bytes < FRAME_UDP_BYTES || frame_get16(data + UDP_LENGTH_AT) != udp_bytes) {
        return FRAME_MALFORMED;
    }
    uint16_t local_port = frame_get16(data + UDP_AT + 2);
    if ((uint16_t)(local_port - receiver->udp_port) >= receiver->ports) {
        return FRAME_MALFORMED;
    }
    // Zero means that the sender computed none.
    if (frame_get16(data + UDP_CHECKSUM_AT) != 0 && (verified & FRAME_UDP_VERIFIED) == 0 &&
        frame_sum(data + UDP_AT, udp_bytes, pseudo_header_sum(data, udp_bytes)) != 0xffff) {
        return FRAME_MALFORMED;
    }
    info->ipv4 = frame_get32(data + IP_SOURCE_AT);
    info->udp_port = frame_get16(data + UDP_AT);
    info->local_port = local_port;
    info->payload_bytes = udp_bytes - FRAME_UDP_BYTES;
    return FRAME_DATAGRAM;
}

enum frame_kind frame_parse(const struct frame_receiver *receiver, const uint8_t *data,
                            uint32_t bytes, unsigned verified, struct frame_info *info)
{
    if (bytes < FRAME_ETHERNET_BYTES + FRAME_IPV4_BYTES) {
        return FRAME_MALFORMED; // an ARP packet is longer than this, too
    }
    uint16_t type = frame_get16(data + ETHERTYPE_AT);
    if (type != ETHERTYPE_IPV4) {
        return type == ETHERTYPE_ARP ? FRAME_ARP : FRAME_MALFORMED;
    }
    uint32_t ip_bytes = frame_get16(data + IP_TOTAL_AT);
    if (data[IP_AT] != IP_VERSION_AND_LENGTH || ip_bytes < FRAME_IPV4_BYTES ||
        ip_bytes > bytes - FRAME_ETHERNET_BYTES ||
        (frame_get16(data + IP_FRAGMENT_AT) & IP_MORE_OR_OFFSET) != 0 ||
        frame_get32(data + IP_DESTINATION_AT) != receiver->ipv4) {
        return FRAME_MALFORMED;
    }
    if ((verified & FRAME_IP_VERIFIED) == 0 &&
        frame_sum(data + IP_AT, FRAME_IPV4_BYTES, 0) != 0xffff) {
        return FRAME_MALFORMED;
    }
    if (data[IP_PROTOCOL_AT] == PROTOCOL_UDP) {
        return parse_datagram(receiver, data, ip_bytes, verified, info);
    }
    return data[IP_PROTOCOL_AT] == PROTOCOL_ICMP ? parse_echo(data, ip_bytes) : FRAME_MALFORMED;
}

void frame_template_init(struct frame_template *template, const uint8_t mac[FRAME_MAC_BYTES],
                         uint32_t ipv4, bool udp_checksum)
{
    uint8_t *header = template->header;
    memset(header, 0, sizeof(template->header));
    memcpy(header + FRAME_MAC_BYTES, mac, FRAME_MAC_BYTES);
    frame_put16(header + ETHERTYPE_AT, ETHERTYPE_IPV4);
    header[IP_AT] = IP_VERSION_AND_LENGTH;
    frame_put16(header + IP_FRAGMENT_AT, IP_DONT_FRAGMENT);
    header[IP_AT + 8] = IP_TTL;
    header[IP_PROTOCOL_AT] = PROTOCOL_UDP;
    frame_put32(header + IP_SOURCE_AT, ipv4);
    template->ip_sum = frame_sum(header + IP_AT, FRAME_IPV4_BYTES, 0);
    template->udp_checksum = udp_checksum;
}

void frame_build(const struct frame_template *template, const struct frame_destination *to,
                 uint8_t *payload, uint32_t payload_bytes)
{
    uint8_t *data = payload - FRAME_HEADER_BYTES;
    uint32_t udp_bytes = payload_bytes + FRAME_UDP_BYTES;
    uint32_t ip_bytes = udp_bytes + FRAME_IPV4_BYTES;
    memcpy(data, template->header, FRAME_HEADER_BYTES);
    memcpy(data, to->mac, FRAME_MAC_BYTES);
    frame_put16(data + IP_TOTAL_AT, (uint16_t)ip_bytes);
    frame_put32(data + IP_DESTINATION_AT, to->ipv4);
    uint32_t sum = template->ip_sum + ip_bytes + (to->ipv4 >> 16) + (to->ipv4 & 0xffff);
    frame_put16(data + IP_CHECKSUM_AT, (uint16_t)~fold(sum));
    frame_put16(data + UDP_AT, to->local_port);
    frame_put16(data + UDP_AT + 2, to->udp_port);
    frame_put16(data + UDP_LENGTH_AT, (uint16_t)udp_bytes);
    if (template->udp_checksum) {
        uint32_t udp_sum = frame_sum(data + UDP_AT, udp_bytes, pseudo_header_sum(data, udp_bytes));
        // A computed zero is sent as all ones: zero would mean "none".
        frame_put16(data + UDP_CHECKSUM_AT, udp_sum == 0xffff ? 0xffff : (uint16_t)~udp_sum);
    }
}

void frame_echo_reply(uint8_t *data, const uint8_t mac[FRAME_MAC_BYTES])
{
    memcpy(data, data + FRAME_MAC_BYTES, FRAME_MAC_BYTES);
    memcpy(data + FRAME_MAC_BYTES, mac, FRAME_MAC_BYTES);
    uint32_t source = frame_get32(data + IP_SOURCE_AT);
    frame_put32(data + IP_SOURCE_AT, frame_get32(data + IP_DESTINATION_AT));
    frame_put32(data + IP_DESTINATION_AT, source); // swapping leaves the IP checksum as it is
    data[ICMP_AT] = 0;
    // RFC 1624: the first word fell by ICMP_ECHO_REQUEST << 8, so the checksum rises by as much.
    uint32_t checksum = frame_get16(data + ICMP_AT + 2);
    frame_put16(data + ICMP_AT + 2, (uint16_t)fold(checksum + (ICMP_ECHO_REQUEST << 8)));
}
