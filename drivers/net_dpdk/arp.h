// Who has which address: the neighbour table of one node, and ARP packets as bytes (RFC 826).
//
// Decides  when to ask, how often, and when an answer is too old to be used.
// Threads  any reactor may call arp_lookup, arp_wish and arp_on_packet; arp_due belongs to one (the
// links' owner). A
//          neighbour's MAC and its validity are one atomic word, so a reader sees a whole address
//          or none.
//
//     unknown --wish--> ASKED --answer--> KNOWN --no confirmation for ARP_FRESH_NS--> asked again,
//     still used
//                         ^                 |
//                         +---- ARP_PROBES_MAX questions unanswered
//
// Configured peers are always in the table; other destinations are added when somebody sends to
// them. Packets only update entries, they never create one: strangers cannot fill the table.
#ifndef PONTOON_NET_DPDK_ARP_H
#define PONTOON_NET_DPDK_ARP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    ARP_PACKET_BYTES = 42, // with the Ethernet header
    ARP_ENTRIES_MAX = 256, // power of two
    ARP_PROBES_MAX = 10,
};

#define ARP_ASK_FIRST_NS UINT64_C(10000000)  // 10 ms, doubled after each question ...
#define ARP_ASK_LAST_NS UINT64_C(1000000000) // ... up to this
#define ARP_FRESH_NS UINT64_C(30000000000)   // confirm an answer after this long

struct arp_entry {
    _Atomic uint64_t key;          // link << 32 | ipv4, plus ARP_KEY_USED; 0: free. Set once
    _Atomic uint64_t mac;          // ARP_MAC_KNOWN | 48 bits; 0: not known
    _Atomic uint64_t confirmed_ns; // last answer
    uint64_t ask_ns;               // when to ask (again); owner only
    uint64_t pause_ns;             // until the question after that; owner only
    uint32_t unanswered;           // questions since the last answer; owner only
};

struct arp_table {
    struct arp_entry entries[ARP_ENTRIES_MAX];
    _Atomic uint32_t count;
    _Atomic uint64_t next_ns; // nothing is due before
};

void arp_init(struct arp_table *table);

// The neighbour's MAC. False: not known (mac untouched).
bool arp_lookup(const struct arp_table *table, uint16_t link, uint32_t ipv4, uint8_t mac[6]);

// Puts a neighbour on the list of those to be resolved. False: table full.
bool arp_wish(struct arp_table *table, uint16_t link, uint32_t ipv4);

struct arp_question {
    uint16_t link;
    uint32_t ipv4;
};

// The next question to be asked at `now_ns`. False: none is due; cheap then. Call until false.
bool arp_due(struct arp_table *table, uint64_t now_ns, struct arp_question *question);

// Learns from an ARP packet that came in on `link`, where our address is `ipv4` and our MAC `mac`.
// True: it asks for us and has been turned, in place, into the answer to be sent
// (ARP_PACKET_BYTES). *valid tells packet from rubbish.
bool arp_on_packet(struct arp_table *table, uint16_t link, uint32_t ipv4, const uint8_t mac[6],
                   uint64_t now_ns, uint8_t *data, uint32_t bytes, bool *valid);

// Writes a question for `ipv4` (our own: an announcement) into data[0..ARP_PACKET_BYTES).
void arp_build_question(uint8_t *data, const uint8_t mac[6], uint32_t our_ipv4, uint32_t ipv4);

#endif
