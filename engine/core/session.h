// Client sessions: each command of a client takes effect once, however often it is retried or
// duplicated (thesis §6.3).
//
// Decides whether an applied command is new, and which sessions live. Driven by applied entries
// alone, so every replica of a group holds the same table at the same applied index; the limits
// (pages, sessions) must be the same on every replica. Pure: no clock, no allocation; the memory is
// the caller's.
//
// A session is opened by a REGISTER entry; its id is that entry's index. It numbers its commands 1,
// 2, 3, ... and has a window w (a multiple of SESSION_PAGE_SEQUENCES):
//
//     newest    largest sequence claimed
//     floor     largest sequence up to which all are claimed; newest - w ≤ floor ≤ newest
//
//     sequence                     verdict
//     1 .. newest - w              OUTSIDE: its result is no longer held
//     newest - w + 1 .. newest     DUPLICATE with its result where claimed, else NEW
//     newest + 1 .. floor + w      NEW
//     from floor + w + 1, and 0    OUTSIDE: too far ahead
//
// What a client must keep: at most w sequences between its lowest unanswered one and its newest.
// Then nothing it still waits for is ever OUTSIDE, neither on the first attempt nor on any retry,
// in whatever order they arrive.
//
// Applying a command has two halves, so that a batch of commands can be executed at once:
// session_claim() for each entry, in log order, then session_complete() with the result of each NEW
// one. The claims alone decide all later verdicts, evictions and windows; how the log was cut into
// batches does not show in the table.
//
// Sessions end by eviction only: when a REGISTER finds too few pages or no free session, those
// whose last applied entry is oldest go first. A client that finds its session EXPIRED cannot know
// about its unanswered commands.
//
// No thread-safety: one table, one thread at a time.
#ifndef PONTOON_CORE_SESSION_H
#define PONTOON_CORE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SESSION_PAGE_SEQUENCES = 1024,
    SESSION_WINDOW_MAX = 65536,
    SESSION_SESSIONS_MAX = 1 << 20,
    SESSION_PAGES_MAX = 1 << 20,
};

struct session_config {
    uint32_t pages_total;  // 1..SESSION_PAGES_MAX, about 4.3 KiB each
    uint32_t sessions_max; // 1..SESSION_SESSIONS_MAX, about 0.4 KiB each
};

enum session_verdict {
    SESSION_NEW,       // to be executed
    SESSION_PENDING,   // a second copy in one batch: the first's result will be its result
    SESSION_DUPLICATE, // executed before; the result is known
    SESSION_EXPIRED,   // no such session: never registered, or evicted
    SESSION_OUTSIDE,   // sequence 0, too far ahead, or so old that its result is no longer held
};

struct session_grant {
    uint64_t session; // id for all commands
    uint64_t window;  // in sequences, ≤ SESSION_WINDOW_MAX
};

struct session_table;

// Bytes session_init needs for such a table, to be printed in the budget.
uint64_t session_bytes(const struct session_config *config);

// An empty table in `memory`, which has session_bytes() and is aligned to 64. Requires a valid
// config.
struct session_table *session_init(const struct session_config *config, void *memory);

// Applies a REGISTER entry: opens a session of `window` sequences (rounded up to pages, at least
// one page, at most what the table or SESSION_WINDOW_MAX allows), evicting others where that is
// needed. A nonce that a living session was opened with is a retry: it gets that session. Requires
// index > 0, used for no other entry.
struct session_grant session_register(struct session_table *table, uint64_t index, uint64_t nonce,
                                      uint64_t window);

// What session_claim would say, changing nothing. *result is set for DUPLICATE. For a leader,
// before it takes a proposal.
enum session_verdict session_check(const struct session_table *table, uint64_t session,
                                   uint64_t sequence, uint32_t *result);

// First half of applying the command entry at `index`: its verdict; NEW makes it claimed. *result
// is set for DUPLICATE.
enum session_verdict session_claim(struct session_table *table, uint64_t index, uint64_t session,
                                   uint64_t sequence, uint32_t *result);

// The same for a run: the entries index, index + 1, ... are commands sequence, sequence + 1, ... of
// one session. Claims those at the beginning that continue the session without a hole. Result: how
// many were NEW so; 0: ask session_claim for the first.
uint32_t session_claim_run(struct session_table *table, uint64_t index, uint64_t session,
                           uint64_t sequence, uint32_t count);

// Second half, for a NEW one: keeps its result. Does nothing when the session or the sequence has
// left the table since.
void session_complete(struct session_table *table, uint64_t session, uint64_t sequence,
                      uint32_t result);

// The same for a run of sequences.
void session_complete_run(struct session_table *table, uint64_t session, uint64_t sequence,
                          const uint32_t *results, uint32_t count);

uint32_t session_count(const struct session_table *table);
uint32_t session_pages_used(const struct session_table *table);
uint64_t session_evictions(const struct session_table *table); // by this process, since init

// Checkpoint: a stream of session_checkpoint_bytes() in 64-bit little-endian words, the same on
// every replica:
//
//     word  0      magic and version
//           1      pages_total (low half), sessions_max (high half): the limits in force
//           2      sessions
//     each session, in order of last applied index, with n = min(newest, window):
//           6      id, nonce, last applied index, newest, floor, window
//           n/64   claimed bits of the n sequences up to newest, oldest first from bit 0
//           n/2    their results, low half first; 0 where not claimed (both rounded up)
//     last  1      digest of all words before
//
// Requires that every claim was completed.
uint64_t session_checkpoint_bytes(const struct session_table *table);
// Copies the bytes at [offset, offset + capacity) of the stream. Result: how many there were. The
// table may not change between pieces. A piece at offset 0, or where the last one ended, continues
// cheaply; any other starts from the beginning.
uint64_t session_checkpoint_read(struct session_table *table, uint64_t offset, void *buffer,
                                 uint64_t capacity);
// Digest of the whole table, the last word of its stream. Walks the table.
uint64_t session_digest(struct session_table *table);

// Restore: begin empties the table, write takes the stream in pieces of any size, end says whether
// it was whole and valid: 0, or -EBADMSG and the table is empty. The limits of the stream are taken
// over; more than this table's memory can keep is invalid.
void session_restore_begin(struct session_table *table);
int session_restore_write(struct session_table *table, const void *data, uint64_t bytes);
int session_restore_end(struct session_table *table);

#endif
