// Registration, eviction, and the windows of sessions.
#include "engine/core/session.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/core/session_table.h"

// Memory.

static uint64_t round_line(uint64_t bytes)
{
    return (bytes + SESSION_LINE_BYTES - 1) / SESSION_LINE_BYTES * SESSION_LINE_BYTES;
}

static uint32_t hash_slots(uint32_t sessions_max)
{
    uint32_t slots = 2;
    while (slots < 2 * sessions_max) {
        slots *= 2;
    }
    return slots;
}

bool session_is_valid_config(const struct session_config *config)
{
    return config->pages_total >= 1 && config->pages_total <= SESSION_PAGES_MAX &&
           config->sessions_max >= 1 && config->sessions_max <= SESSION_SESSIONS_MAX;
}

uint64_t session_bytes(const struct session_config *config)
{
    ASSERT(session_is_valid_config(config));
    uint64_t hash_bytes = round_line(hash_slots(config->sessions_max) * sizeof(uint32_t));
    return round_line(sizeof(struct session_table)) +
           config->sessions_max * sizeof(struct session) + 2 * hash_bytes +
           round_line(config->pages_total * sizeof(uint32_t)) +
           config->pages_total * sizeof(struct session_page);
}

static void *carve(uint8_t **memory, uint64_t bytes)
{
    void *piece = *memory;
    *memory += round_line(bytes);
    return piece;
}

static void carve_hash(struct session_hash *hash, uint8_t **memory, uint32_t sessions_max)
{
    uint32_t slots = hash_slots(sessions_max);
    hash->slots = carve(memory, slots * sizeof(uint32_t));
    hash->mask = slots - 1;
    hash->shift = 64 - (uint32_t)__builtin_ctz(slots);
}

static void clear_hash(struct session_hash *hash)
{
    memset(hash->slots, 0, ((uint64_t)hash->mask + 1) * sizeof(uint32_t));
}

void session_table_clear(struct session_table *table)
{
    table->limits = table->own;
    clear_hash(&table->by_id);
    clear_hash(&table->by_nonce);
    table->sessions_free = SESSION_NONE;
    for (uint32_t slot = table->own.sessions_max; slot-- > 0;) {
        table->sessions[slot].newer = table->sessions_free;
        table->sessions_free = slot;
    }
    table->pages_free_count = 0;
    for (uint32_t page = table->own.pages_total; page-- > 0;) {
        table->pages_free[table->pages_free_count++] = page;
    }
    table->count = 0;
    table->pages_used = 0;
    table->oldest = SESSION_NONE;
    table->newest = SESSION_NONE;
    table->last = NULL;
}

struct session_table *session_init(const struct session_config *config, void *memory)
{
    ASSERT(session_is_valid_config(config));
    ASSERT_CMP((uintptr_t)memory % SESSION_LINE_BYTES, ==, 0);
    uint8_t *at = memory;
    struct session_table *table = carve(&at, sizeof(*table));
    memset(table, 0, sizeof(*table));
    table->own = *config;
    table->sessions = carve(&at, config->sessions_max * sizeof(struct session));
    carve_hash(&table->by_id, &at, config->sessions_max);
    carve_hash(&table->by_nonce, &at, config->sessions_max);
    table->pages_free = carve(&at, config->pages_total * sizeof(uint32_t));
    table->pages = carve(&at, config->pages_total * sizeof(struct session_page));
    session_table_clear(table);
    return table;
}

// Hash tables. The key of a slot is read from its session.

static uint64_t key_of(const struct session_table *table, const struct session_hash *hash,
                       uint32_t slot)
{
    const struct session *session = &table->sessions[slot];
    return hash == &table->by_id ? session->id : session->nonce;
}

static uint32_t home_of(const struct session_hash *hash, uint64_t key)
{
    return (uint32_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> hash->shift);
}

// The place of the key, or the empty one where it would go.
static uint32_t place_of(const struct session_table *table, const struct session_hash *hash,
                         uint64_t key)
{
    uint32_t place = home_of(hash, key);
    while (hash->slots[place] != 0 && key_of(table, hash, hash->slots[place] - 1) != key) {
        place = (place + 1) & hash->mask;
    }
    return place;
}

struct session *session_table_lookup(const struct session_table *table,
                                     const struct session_hash *hash, uint64_t key)
{
    uint32_t found = hash->slots[place_of(table, hash, key)];
    return found == 0 ? NULL : &table->sessions[found - 1];
}

// A later member of the cluster may fill the gap unless its home lies cyclically behind the gap, up
// to itself.
static void remove_key(struct session_table *table, struct session_hash *hash, uint64_t key)
{
    uint32_t gap = place_of(table, hash, key);
    for (uint32_t at = (gap + 1) & hash->mask; hash->slots[at] != 0; at = (at + 1) & hash->mask) {
        uint32_t home = home_of(hash, key_of(table, hash, hash->slots[at] - 1));
        if (((at - home) & hash->mask) >= ((at - gap) & hash->mask)) {
            hash->slots[gap] = hash->slots[at];
            gap = at;
        }
    }
    hash->slots[gap] = 0;
}

// The order of last applied index.

static uint32_t slot_of(const struct session_table *table, const struct session *session)
{
    return (uint32_t)(session - table->sessions);
}

static void unlink_session(struct session_table *table, struct session *session)
{
    *(session->older == SESSION_NONE ? &table->oldest : &table->sessions[session->older].newer) =
        session->newer;
    *(session->newer == SESSION_NONE ? &table->newest : &table->sessions[session->newer].older) =
        session->older;
}

// Nearly always at the newest end: entries come in the order of their indexes.
static void link_session(struct session_table *table, struct session *session)
{
    uint32_t slot = slot_of(table, session);
    uint32_t older = table->newest, newer = SESSION_NONE;
    while (older != SESSION_NONE && table->sessions[older].last_index > session->last_index) {
        newer = older;
        older = table->sessions[older].older;
    }
    session->older = older;
    session->newer = newer;
    *(older == SESSION_NONE ? &table->oldest : &table->sessions[older].newer) = slot;
    *(newer == SESSION_NONE ? &table->newest : &table->sessions[newer].older) = slot;
}

static void touch(struct session_table *table, struct session *session, uint64_t index)
{
    if (index <= session->last_index) {
        return;
    }
    session->last_index = index;
    if (session->newer != SESSION_NONE) {
        unlink_session(table, session);
        link_session(table, session);
    }
}

// Opening and evicting.

struct session *session_table_open(struct session_table *table, uint64_t id, uint64_t nonce,
                                   uint64_t last_index, uint32_t pages)
{
    uint32_t slot = table->sessions_free;
    struct session *session = &table->sessions[slot];
    table->sessions_free = session->newer;
    memset(session, 0, sizeof(*session));
    session->id = id;
    session->nonce = nonce;
    session->last_index = last_index;
    session->window = pages * SESSION_PAGE_SEQUENCES;
    session->pages_count = pages;
    for (uint32_t i = 0; i < pages; i++) {
        session->pages[i] = table->pages_free[--table->pages_free_count];
    }
    table->by_id.slots[place_of(table, &table->by_id, id)] = slot + 1;
    table->by_nonce.slots[place_of(table, &table->by_nonce, nonce)] = slot + 1;
    link_session(table, session);
    table->count++;
    table->pages_used += pages;
    return session;
}

static void evict_oldest(struct session_table *table)
{
    struct session *session = &table->sessions[table->oldest];
    remove_key(table, &table->by_id, session->id);
    remove_key(table, &table->by_nonce, session->nonce);
    unlink_session(table, session);
    for (uint32_t i = session->pages_count; i-- > 0;) {
        table->pages_free[table->pages_free_count++] = session->pages[i];
    }
    table->count--;
    table->pages_used -= session->pages_count;
    table->evictions++;
    if (table->last == session) {
        table->last = NULL;
    }
    session->newer = table->sessions_free;
    table->sessions_free = slot_of(table, session);
}

static uint32_t pages_for(const struct session_table *table, uint64_t window)
{
    if (window > SESSION_WINDOW_MAX) {
        window = SESSION_WINDOW_MAX;
    }
    uint32_t pages = (uint32_t)((window + SESSION_PAGE_SEQUENCES - 1) / SESSION_PAGE_SEQUENCES);
    pages = pages == 0 ? 1 : pages;
    return pages < table->limits.pages_total ? pages : table->limits.pages_total;
}

struct session_grant session_register(struct session_table *table, uint64_t index, uint64_t nonce,
                                      uint64_t window)
{
    struct session *session = session_table_lookup(table, &table->by_nonce, nonce);
    if (session != NULL) {
        touch(table, session, index);
        return (struct session_grant){.session = session->id, .window = session->window};
    }
    ASSERT(session_table_lookup(table, &table->by_id, index) == NULL);
    uint32_t pages = pages_for(table, window);
    while (table->count == table->limits.sessions_max ||
           table->pages_used + pages > table->limits.pages_total) {
        evict_oldest(table);
    }
    session = session_table_open(table, index, nonce, index, pages);
    return (struct session_grant){.session = session->id, .window = session->window};
}

// Windows.

// The same, remembered: a division only when the sequence enters another page.
static struct session_page *page_near(struct session_table *table, struct session *session,
                                      uint64_t sequence)
{
    uint64_t block = sequence / SESSION_PAGE_SEQUENCES;
    if (session->block != block || session->page == NULL) {
        session->block = block;
        session->page = session_page_of(table, session, sequence);
    }
    return session->page;
}

// Sums stay far from overflow: sequence ≤ floor + window once the first test is passed.
static bool is_outside(const struct session *session, uint64_t sequence)
{
    return sequence == 0 || sequence > session->floor + session->window ||
           sequence + session->window <= session->newest;
}

// Requires a sequence in (newest - window, newest], and its page.
static enum session_verdict judge(const struct session_page *page, uint64_t sequence,
                                  uint32_t *result)
{
    if (!session_has_bit(page->claimed, sequence)) {
        return SESSION_NEW;
    }
    if (!session_has_bit(page->completed, sequence)) {
        return SESSION_PENDING;
    }
    *result = page->results[session_place(sequence)];
    return SESSION_DUPLICATE;
}

enum session_verdict session_check(const struct session_table *table, uint64_t id,
                                   uint64_t sequence, uint32_t *result)
{
    const struct session *session = session_table_lookup(table, &table->by_id, id);
    if (session == NULL) {
        return SESSION_EXPIRED;
    }
    if (is_outside(session, sequence)) {
        return SESSION_OUTSIDE;
    }
    if (sequence > session->newest) {
        return SESSION_NEW;
    }
    return judge(session_page_of(table, session, sequence), sequence, result);
}

static struct session *find(struct session_table *table, uint64_t id)
{
    if (table->last == NULL || table->last->id != id) {
        table->last = session_table_lookup(table, &table->by_id, id);
    }
    return table->last;
}

// Each sequence is passed over once by newest and once by floor: constant work for an entry on
// average, whatever their order.
static void advance_newest(struct session_table *table, struct session *session, uint64_t sequence)
{
    for (uint64_t gap = session->newest + 1; gap < sequence; gap++) {
        session_clear_bit(page_near(table, session, gap)->claimed, gap);
    }
    session->newest = sequence;
}

static void advance_floor(struct session_table *table, struct session *session)
{
    uint64_t floor = session->floor + 1;
    while (floor < session->newest &&
           session_has_bit(page_near(table, session, floor + 1)->claimed, floor + 1)) {
        floor++;
    }
    session->floor = floor;
}

static void mark_claimed(struct session_page *page, uint64_t sequence)
{
    session_set_bit(page->claimed, sequence);
    session_clear_bit(page->completed, sequence);
}

static void claim(struct session_table *table, struct session *session, uint64_t sequence)
{
    if (sequence > session->newest) {
        advance_newest(table, session, sequence);
    }
    mark_claimed(page_near(table, session, sequence), sequence);
    if (sequence == session->floor + 1) {
        advance_floor(table, session);
    }
}

// What nearly every entry is: the next sequence of a session that has all before it.
static bool is_next(const struct session *session, uint64_t sequence)
{
    return sequence == session->newest + 1 && session->floor == session->newest;
}

enum session_verdict session_claim(struct session_table *table, uint64_t index, uint64_t id,
                                   uint64_t sequence, uint32_t *result)
{
    struct session *session = find(table, id);
    if (session == NULL) {
        return SESSION_EXPIRED;
    }
    touch(table, session, index);
    if (is_next(session, sequence)) {
        mark_claimed(page_near(table, session, sequence), sequence);
        session->newest = sequence;
        session->floor = sequence;
        return SESSION_NEW;
    }
    if (is_outside(session, sequence)) {
        return SESSION_OUTSIDE;
    }
    enum session_verdict verdict = SESSION_NEW;
    if (sequence <= session->newest) {
        verdict = judge(page_near(table, session, sequence), sequence, result);
    }
    if (verdict == SESSION_NEW) {
        claim(table, session, sequence);
    }
    return verdict;
}

// Of the run sequence, sequence + 1, ...: how many of the first `count` share a word of the
// bitmaps.
static uint32_t in_word(uint64_t sequence, uint32_t count)
{
    uint32_t left = 64 - (uint32_t)(sequence % 64);
    return count < left ? count : left;
}

static uint64_t word_bits(uint64_t sequence, uint32_t count)
{
    return (~UINT64_C(0) >> (64 - count)) << (sequence % 64);
}

uint32_t session_claim_run(struct session_table *table, uint64_t index, uint64_t id,
                           uint64_t sequence, uint32_t count)
{
    struct session *session = find(table, id);
    if (session == NULL || count == 0 || !is_next(session, sequence)) {
        return 0;
    }
    count = count < session->window ? count : session->window;
    touch(table, session, index + count - 1);
    for (uint32_t at = 0; at < count;) {
        uint32_t some = in_word(sequence + at, count - at);
        struct session_page *page = page_near(table, session, sequence + at);
        uint32_t word = session_place(sequence + at) / 64;
        uint64_t bits = word_bits(sequence + at, some);
        page->claimed[word] |= bits;
        page->completed[word] &= ~bits;
        at += some;
    }
    session->newest = session->floor = sequence + count - 1;
    return count;
}

void session_complete_run(struct session_table *table, uint64_t id, uint64_t sequence,
                          const uint32_t *results, uint32_t count)
{
    struct session *session = find(table, id);
    if (session == NULL || sequence + session->window <= session->newest) {
        for (uint32_t at = 0; at < count; at++) {
            session_complete(table, id, sequence + at, results[at]);
        }
        return;
    }
    for (uint32_t at = 0; at < count;) {
        uint32_t some = in_word(sequence + at, count - at);
        struct session_page *page = page_near(table, session, sequence + at);
        uint32_t place = session_place(sequence + at);
        uint64_t bits = word_bits(sequence + at, some);
        ASSERT((page->claimed[place / 64] & bits) == bits);
        ASSERT((page->completed[place / 64] & bits) == 0);
        page->completed[place / 64] |= bits;
        memcpy(&page->results[place], &results[at], some * sizeof(*results));
        at += some;
    }
}

void session_complete(struct session_table *table, uint64_t id, uint64_t sequence, uint32_t result)
{
    struct session *session = find(table, id);
    if (session == NULL || sequence + session->window <= session->newest) {
        return;
    }
    struct session_page *page = page_near(table, session, sequence);
    ASSERT(session_has_bit(page->claimed, sequence) && !session_has_bit(page->completed, sequence));
    session_set_bit(page->completed, sequence);
    page->results[session_place(sequence)] = result;
}

uint32_t session_count(const struct session_table *table)
{
    return table->count;
}

uint32_t session_pages_used(const struct session_table *table)
{
    return table->pages_used;
}

uint64_t session_evictions(const struct session_table *table)
{
    return table->evictions;
}
