#include "drivers/net_dpdk/arp.h"

#include <string.h>

#include "drivers/net_dpdk/frame.h"

enum {
    ARP_AT = FRAME_ETHERNET_BYTES,
    OPERATION_AT = ARP_AT + 6,
    SENDER_MAC_AT = ARP_AT + 8,
    SENDER_IPV4_AT = ARP_AT + 14,
    TARGET_MAC_AT = ARP_AT + 18,
    TARGET_IPV4_AT = ARP_AT + 24,
    OPERATION_REQUEST = 1,
    OPERATION_REPLY = 2,
};

#define ARP_KEY_USED (UINT64_C(1) << 63)
#define ARP_MAC_KNOWN (UINT64_C(1) << 48)

// Ethernet / IPv4 in the words of RFC 826: hardware 1, protocol 0x0800, address lengths 6 and 4.
static const uint8_t prologue[6] = {0, 1, 8, 0, 6, 4};

static uint64_t key_of(uint16_t link, uint32_t ipv4)
{
    return ARP_KEY_USED | (uint64_t)link << 32 | ipv4;
}

static uint32_t slot_of(uint64_t key)
{
    return (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 56) & (ARP_ENTRIES_MAX - 1);
}

void arp_init(struct arp_table *table)
{
    memset(table, 0, sizeof(*table));
    table->next_ns = UINT64_MAX;
}

static struct arp_entry *find(const struct arp_table *table, uint64_t key)
{
    for (uint32_t step = 0; step < ARP_ENTRIES_MAX; step++) {
        const struct arp_entry *entry =
            &table->entries[(slot_of(key) + step) & (ARP_ENTRIES_MAX - 1)];
        uint64_t found = atomic_load_explicit(&entry->key, memory_order_acquire);
        if (found == key) {
            return (struct arp_entry *)entry;
        }
        if (found == 0) {
            return NULL;
        }
    }
    return NULL;
}

bool arp_lookup(const struct arp_table *table, uint16_t link, uint32_t ipv4, uint8_t mac[6])
{
    const struct arp_entry *entry = find(table, key_of(link, ipv4));
    if (entry == NULL) {
        return false;
    }
    uint64_t word = atomic_load_explicit(&entry->mac, memory_order_relaxed);
    if ((word & ARP_MAC_KNOWN) == 0) {
        return false;
    }
    memcpy(mac, &word, 6);
    return true;
}

bool arp_wish(struct arp_table *table, uint16_t link, uint32_t ipv4)
{
    uint64_t key = key_of(link, ipv4);
    for (uint32_t step = 0; step < ARP_ENTRIES_MAX; step++) {
        struct arp_entry *entry = &table->entries[(slot_of(key) + step) & (ARP_ENTRIES_MAX - 1)];
        uint64_t found = atomic_load_explicit(&entry->key, memory_order_acquire);
        if (found == key) {
            return true;
        }
        if (found != 0) {
            continue;
        }
        // A quarter stays free, so that the search for a stranger ends early.
        if (atomic_load_explicit(&table->count, memory_order_relaxed) >= ARP_ENTRIES_MAX / 4 * 3) {
            return false;
        }
        if (atomic_compare_exchange_strong(&entry->key, &found, key)) {
            atomic_fetch_add_explicit(&table->count, 1, memory_order_relaxed);
            atomic_store_explicit(&table->next_ns, 0, memory_order_release);
            return true;
        }
        if (found == key) {
            return true; // another reactor was faster
        }
    }
    return false;
}

static void learn(struct arp_table *table, uint64_t key, const uint8_t mac[6], uint64_t now_ns)
{
    struct arp_entry *entry = find(table, key);
    if (entry == NULL) {
        return;
    }
    uint64_t word = ARP_MAC_KNOWN;
    memcpy(&word, mac, 6); // little endian keeps the flag above the address
    atomic_store_explicit(&entry->confirmed_ns, now_ns, memory_order_relaxed);
    atomic_store_explicit(&entry->mac, word, memory_order_relaxed);
}

// Is a question about this neighbour due? Moves its times on. A confirmation since the last
// question starts afresh.
static bool entry_is_due(struct arp_entry *entry, uint64_t now_ns)
{
    uint64_t confirmed_ns = atomic_load_explicit(&entry->confirmed_ns, memory_order_relaxed);
    bool known = (atomic_load_explicit(&entry->mac, memory_order_relaxed) & ARP_MAC_KNOWN) != 0;
    if (known && confirmed_ns + ARP_FRESH_NS > now_ns) {
        entry->unanswered = 0;
        entry->pause_ns = 0;
        entry->ask_ns = confirmed_ns + ARP_FRESH_NS;
        return false;
    }
    if (now_ns < entry->ask_ns) {
        return false;
    }
    if (known && entry->unanswered >= ARP_PROBES_MAX) {
        atomic_store_explicit(&entry->mac, 0, memory_order_relaxed);
    }
    entry->unanswered++;
    entry->pause_ns = entry->pause_ns == 0 ? ARP_ASK_FIRST_NS : entry->pause_ns * 2;
    if (entry->pause_ns > ARP_ASK_LAST_NS) {
        entry->pause_ns = ARP_ASK_LAST_NS;
    }
    entry->ask_ns = now_ns + entry->pause_ns;
    return true;
}

bool arp_due(struct arp_table *table, uint64_t now_ns, struct arp_question *question)
{
    if (now_ns < atomic_load_explicit(&table->next_ns, memory_order_acquire)) {
        return false;
    }
    // Set before the walk: a wish that comes during it writes 0 after us and is seen next time.
    atomic_store_explicit(&table->next_ns, UINT64_MAX, memory_order_relaxed);
    uint64_t next_ns = UINT64_MAX;
    for (uint32_t i = 0; i < ARP_ENTRIES_MAX; i++) {
        struct arp_entry *entry = &table->entries[i];
        uint64_t key = atomic_load_explicit(&entry->key, memory_order_acquire);
        if (key == 0) {
            continue;
        }
        if (entry_is_due(entry, now_ns)) {
            question->link = (uint16_t)(key >> 32 & 0x7fff);
            question->ipv4 = (uint32_t)key;
            atomic_store_explicit(&table->next_ns, 0, memory_order_relaxed);
            return true;
        }
        next_ns = entry->ask_ns < next_ns ? entry->ask_ns : next_ns;
    }
    uint64_t expected = UINT64_MAX;
    atomic_compare_exchange_strong(&table->next_ns, &expected, next_ns);
    return false;
}

static bool is_multicast(const uint8_t *mac)
{
    return (mac[0] & 1) != 0;
}

bool arp_on_packet(struct arp_table *table, uint16_t link, uint32_t ipv4, const uint8_t mac[6],
                   uint64_t now_ns, uint8_t *data, uint32_t bytes, bool *valid)
{
    *valid = false;
    if (bytes < ARP_PACKET_BYTES || memcmp(data + ARP_AT, prologue, sizeof(prologue)) != 0 ||
        is_multicast(data + SENDER_MAC_AT)) {
        return false;
    }
    uint16_t operation = frame_get16(data + OPERATION_AT);
    if (operation != OPERATION_REQUEST && operation != OPERATION_REPLY) {
        return false;
    }
    *valid = true;
    uint32_t sender = frame_get32(data + SENDER_IPV4_AT);
    // An all-zero sender is a probe (RFC 5227); our own address means a double: neither teaches us
    // anything.
    if (sender != 0 && sender != ipv4) {
        learn(table, key_of(link, sender), data + SENDER_MAC_AT, now_ns);
    }
    if (operation != OPERATION_REQUEST || frame_get32(data + TARGET_IPV4_AT) != ipv4) {
        return false;
    }
    memcpy(data, data + SENDER_MAC_AT, 6);
    memcpy(data + 6, mac, 6);
    frame_put16(data + OPERATION_AT, OPERATION_REPLY);
    memcpy(data + TARGET_MAC_AT, data + SENDER_MAC_AT, 6);
    frame_put32(data + TARGET_IPV4_AT, sender);
    memcpy(data + SENDER_MAC_AT, mac, 6);
    frame_put32(data + SENDER_IPV4_AT, ipv4);
    return true;
}

void arp_build_question(uint8_t *data, const uint8_t mac[6], uint32_t our_ipv4, uint32_t ipv4)
{
    memset(data, 0xff, 6);
    memcpy(data + 6, mac, 6);
    frame_put16(data + 12, 0x0806);
    memcpy(data + ARP_AT, prologue, sizeof(prologue));
    frame_put16(data + OPERATION_AT, OPERATION_REQUEST);
    memcpy(data + SENDER_MAC_AT, mac, 6);
    frame_put32(data + SENDER_IPV4_AT, our_ipv4);
    memset(data + TARGET_MAC_AT, 0, 6);
    frame_put32(data + TARGET_IPV4_AT, ipv4);
}
