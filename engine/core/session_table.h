// The table behind session.h, for session.c (windows, eviction) and session_checkpoint.c (its
// stream). Nobody else includes this.
//
// Where things are, in the caller's memory: the table, its sessions, two hash tables over them (by
// id, by nonce), the free pages, the pages. A session's window is a ring over its pages: a sequence
// lives in page (sequence / 1024) mod pages, at sequence mod 1024. The bits of a ring place mean
// something only for the sequence in (newest - window, newest] that it stands for: moving newest
// clears what it passes over.
#ifndef PONTOON_CORE_SESSION_TABLE_H
#define PONTOON_CORE_SESSION_TABLE_H

#include "engine/core/session.h"

enum {
    SESSION_NONE = UINT32_MAX, // of a session's slot
    SESSION_PAGES_A_SESSION_MAX = SESSION_WINDOW_MAX / SESSION_PAGE_SEQUENCES,
    SESSION_BITMAP_WORDS = SESSION_PAGE_SEQUENCES / 64,
    SESSION_LINE_BYTES = 64,
    SESSION_HEAD_WORDS = 6, // of a session in the stream
};

struct session_page {
    uint64_t claimed[SESSION_BITMAP_WORDS];
    uint64_t completed[SESSION_BITMAP_WORDS]; // subset of claimed, where that is meaningful
    uint32_t results[SESSION_PAGE_SEQUENCES];
};

// The first cache line is all that an entry needs, besides its page.
struct session {
    uint64_t id;               // index of its REGISTER
    uint64_t newest;           // largest sequence claimed
    uint64_t floor;            // all up to here are claimed; ≤ newest ≤ floor + window
    uint64_t last_index;       // largest index applied for it
    uint64_t block;            // sequence / 1024 that `page` is for
    struct session_page *page; // last one used, while the session has `block`; NULL: none yet
    uint32_t window;           // sequences; SESSION_PAGE_SEQUENCES * pages
    uint32_t older;            // neighbours in the order of last_index, or SESSION_NONE
    uint32_t newer;
    uint32_t pages_count;
    uint64_t nonce;
    uint32_t pages[SESSION_PAGES_A_SESSION_MAX];
} __attribute__((aligned(SESSION_LINE_BYTES)));

// From a 64-bit key to a session's slot: open addressing, at most half full.
struct session_hash {
    uint32_t *slots; // slot + 1; 0: empty
    uint32_t mask;
    uint32_t shift; // home = product's topmost bits
};

struct session_save {
    uint64_t offset;   // of the next byte
    uint64_t word;     // that byte `offset` lies in, unless offset is a multiple of 8
    uint64_t digest;   // of the words so far
    uint64_t position; // word in the part under way
    uint32_t session;  // slot under way; SESSION_NONE: head of the stream, or its end
    bool is_head;
};

enum session_restore_part {
    SESSION_AT_HEAD,
    SESSION_AT_SESSION,
    SESSION_AT_CLAIMED,
    SESSION_AT_RESULTS,
    SESSION_AT_DIGEST,
    SESSION_AT_END,
    SESSION_AT_FAILED
};

struct session_restore {
    enum session_restore_part part;
    uint64_t word;       // under way
    uint32_t word_bytes; // of it
    uint64_t digest;
    uint64_t position;      // word in the part under way
    uint64_t sessions_left; // behind the session under way
    uint64_t head[SESSION_HEAD_WORDS];
    struct session *session;
};

struct session_table {
    struct session_config own;    // what the memory can keep
    struct session_config limits; // in force, ≤ own
    struct session *sessions;
    struct session_page *pages;
    uint32_t *pages_free; // stack
    uint32_t pages_free_count;
    uint32_t sessions_free; // list by .newer
    uint32_t count;
    uint32_t pages_used;
    uint32_t oldest; // ends of the list by last_index
    uint32_t newest;
    struct session *last; // last one found, or NULL
    struct session_hash by_id;
    struct session_hash by_nonce;
    uint64_t evictions;
    struct session_save save;
    struct session_restore restore;
};

bool session_is_valid_config(const struct session_config *config);

// No sessions, and the limits that the memory allows.
void session_table_clear(struct session_table *table);

// The session with this key, NULL if there is none. `hash` is by_id or by_nonce.
struct session *session_table_lookup(const struct session_table *table,
                                     const struct session_hash *hash, uint64_t key);

// A session without any sequence. Requires a free slot and `pages` free pages, and that id and
// nonce are new.
struct session *session_table_open(struct session_table *table, uint64_t id, uint64_t nonce,
                                   uint64_t last_index, uint32_t pages);

static inline struct session_page *session_page_of(const struct session_table *table,
                                                   const struct session *session, uint64_t sequence)
{
    uint64_t block = sequence / SESSION_PAGE_SEQUENCES;
    return &table->pages[session->pages[block % session->pages_count]];
}

static inline uint32_t session_place(uint64_t sequence)
{
    return (uint32_t)(sequence % SESSION_PAGE_SEQUENCES);
}

static inline bool session_has_bit(const uint64_t *bitmap, uint64_t sequence)
{
    uint32_t place = session_place(sequence);
    return (bitmap[place / 64] >> (place % 64) & 1) != 0;
}

static inline void session_set_bit(uint64_t *bitmap, uint64_t sequence)
{
    uint32_t place = session_place(sequence);
    bitmap[place / 64] |= UINT64_C(1) << (place % 64);
}

static inline void session_clear_bit(uint64_t *bitmap, uint64_t sequence)
{
    uint32_t place = session_place(sequence);
    bitmap[place / 64] &= ~(UINT64_C(1) << (place % 64));
}

#endif
