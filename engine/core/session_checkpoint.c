// The table of sessions as a stream of words, and back (session.h gives the layout).
#include <errno.h>

#include "engine/core/session_table.h"
#include "engine/core/types.h"

#define MAGIC UINT64_C(0x0001004E53534553) // "SESSN\0\1\0"
#define DIGEST_SEED UINT64_C(0x9E3779B97F4A7C15)

enum { STREAM_HEAD_WORDS = 3 };

static uint64_t held(const struct session *session)
{
    return session->newest < session->window ? session->newest : session->window;
}

static uint64_t claimed_words(const struct session *session)
{
    return (held(session) + 63) / 64;
}

static uint64_t results_words(const struct session *session)
{
    return (held(session) + 1) / 2;
}

// Every step can be undone given the word, and given the digest before: no change of one word goes
// unnoticed.
static uint64_t digest_word(uint64_t digest, uint64_t word)
{
    digest = (digest ^ word) * UINT64_C(0xD6E8FEB86659FD93);
    return digest ^ digest >> 32;
}

uint64_t session_checkpoint_bytes(const struct session_table *table)
{
    uint64_t words = STREAM_HEAD_WORDS + 1;
    for (uint32_t slot = table->oldest; slot != SESSION_NONE; slot = table->sessions[slot].newer) {
        const struct session *session = &table->sessions[slot];
        words += SESSION_HEAD_WORDS + claimed_words(session) + results_words(session);
    }
    return words * sizeof(uint64_t);
}

static uint64_t head_word(const struct session_table *table, uint64_t position)
{
    const uint64_t words[STREAM_HEAD_WORDS] = {
        MAGIC,
        table->limits.pages_total | (uint64_t)table->limits.sessions_max << 32,
        table->count,
    };
    return words[position];
}

static uint64_t session_head_word(const struct session *session, uint64_t position)
{
    const uint64_t words[SESSION_HEAD_WORDS] = {session->id,         session->nonce,
                                                session->last_index, session->newest,
                                                session->floor,      session->window};
    return words[position];
}

static uint64_t claimed_word(const struct session_table *table, const struct session *session,
                             uint64_t position)
{
    uint64_t first = session->newest - held(session) + 1 + 64 * position;
    uint64_t word = 0;
    for (uint64_t bit = 0; bit < 64 && first + bit <= session->newest; bit++) {
        uint64_t sequence = first + bit;
        word |=
            (uint64_t)session_has_bit(session_page_of(table, session, sequence)->claimed, sequence)
            << bit;
    }
    return word;
}

static uint32_t result_or_zero(const struct session_table *table, const struct session *session,
                               uint64_t sequence)
{
    if (sequence > session->newest) {
        return 0;
    }
    const struct session_page *page = session_page_of(table, session, sequence);
    return session_has_bit(page->claimed, sequence) ? page->results[session_place(sequence)] : 0;
}

static uint64_t results_word(const struct session_table *table, const struct session *session,
                             uint64_t position)
{
    uint64_t first = session->newest - held(session) + 1 + 2 * position;
    return result_or_zero(table, session, first) |
           (uint64_t)result_or_zero(table, session, first + 1) << 32;
}

static uint64_t session_word(const struct session_table *table, const struct session *session,
                             uint64_t position)
{
    if (position < SESSION_HEAD_WORDS) {
        return session_head_word(session, position);
    }
    position -= SESSION_HEAD_WORDS;
    if (position < claimed_words(session)) {
        return claimed_word(table, session, position);
    }
    return results_word(table, session, position - claimed_words(session));
}

static uint64_t session_words(const struct session *session)
{
    return SESSION_HEAD_WORDS + claimed_words(session) + results_words(session);
}

static void begin_save(struct session_save *save)
{
    *save = (struct session_save){.digest = DIGEST_SEED, .session = SESSION_NONE, .is_head = true};
}

// The next word of the stream. After the last session it is the digest, for ever.
static uint64_t save_word(const struct session_table *table, struct session_save *save)
{
    uint64_t word, words;
    if (save->is_head) {
        word = head_word(table, save->position);
        words = STREAM_HEAD_WORDS;
    } else if (save->session != SESSION_NONE) {
        word = session_word(table, &table->sessions[save->session], save->position);
        words = session_words(&table->sessions[save->session]);
    } else {
        return save->digest;
    }
    save->digest = digest_word(save->digest, word);
    if (++save->position == words) {
        save->session = save->is_head ? table->oldest : table->sessions[save->session].newer;
        save->is_head = false;
        save->position = 0;
    }
    return word;
}

// Result: one byte of the stream after the other.
static uint64_t save_bytes(const struct session_table *table, struct session_save *save,
                           uint8_t *to, uint64_t bytes)
{
    for (uint64_t done = 0; done < bytes;) {
        if (save->offset % sizeof(uint64_t) == 0) {
            save->word = save_word(table, save);
        }
        do {
            if (to != NULL) {
                to[done] = (uint8_t)(save->word >> save->offset % sizeof(uint64_t) * 8);
            }
            done++;
            save->offset++;
        } while (done < bytes && save->offset % sizeof(uint64_t) != 0);
    }
    return bytes;
}

uint64_t session_checkpoint_read(struct session_table *table, uint64_t offset, void *buffer,
                                 uint64_t capacity)
{
    uint64_t total = session_checkpoint_bytes(table);
    if (offset >= total) {
        return 0;
    }
    if (offset == 0 || offset != table->save.offset) {
        begin_save(&table->save);
        save_bytes(table, &table->save, NULL, offset);
    }
    uint64_t bytes = total - offset < capacity ? total - offset : capacity;
    return save_bytes(table, &table->save, buffer, bytes);
}

uint64_t session_digest(struct session_table *table)
{
    struct session_save save;
    begin_save(&save);
    while (save.is_head || save.session != SESSION_NONE) {
        save_word(table, &save);
    }
    return save.digest;
}

// Restore. Each word is checked before it is used; the digest at the end covers all of them.

void session_restore_begin(struct session_table *table)
{
    session_table_clear(table);
    table->restore = (struct session_restore){.part = SESSION_AT_HEAD, .digest = DIGEST_SEED};
}

static enum session_restore_part next_session(struct session_restore *restore)
{
    restore->position = 0;
    if (restore->sessions_left == 0) {
        return SESSION_AT_DIGEST;
    }
    restore->sessions_left--;
    return SESSION_AT_SESSION;
}

static enum session_restore_part on_head(struct session_table *table, uint64_t word)
{
    struct session_restore *restore = &table->restore;
    switch (restore->position++) {
    case 0:
        return word == MAGIC ? SESSION_AT_HEAD : SESSION_AT_FAILED;
    case 1:
        table->limits.pages_total = (uint32_t)word;
        table->limits.sessions_max = (uint32_t)(word >> 32);
        return session_is_valid_config(&table->limits) &&
                       table->limits.pages_total <= table->own.pages_total &&
                       table->limits.sessions_max <= table->own.sessions_max
                   ? SESSION_AT_HEAD
                   : SESSION_AT_FAILED;
    default:
        restore->sessions_left = word;
        return next_session(restore);
    }
}

static bool may_open(const struct session_table *table, const uint64_t *head)
{
    uint64_t id = head[0], last_index = head[2], newest = head[3], floor = head[4];
    uint64_t window = head[5];
    bool is_in_order =
        table->newest == SESSION_NONE || last_index > table->sessions[table->newest].last_index;
    return is_in_order && id >= 1 && id <= last_index && last_index <= RAFT_INDEX_MAX &&
           window >= SESSION_PAGE_SEQUENCES && window <= SESSION_WINDOW_MAX &&
           window % SESSION_PAGE_SEQUENCES == 0 && newest <= RAFT_INDEX_MAX && floor <= newest &&
           newest - floor <= window && table->count < table->limits.sessions_max &&
           table->pages_used + window / SESSION_PAGE_SEQUENCES <= table->limits.pages_total &&
           session_table_lookup(table, &table->by_id, id) == NULL &&
           session_table_lookup(table, &table->by_nonce, head[1]) == NULL;
}

static enum session_restore_part on_session(struct session_table *table, uint64_t word)
{
    struct session_restore *restore = &table->restore;
    restore->head[restore->position++] = word;
    if (restore->position < SESSION_HEAD_WORDS) {
        return SESSION_AT_SESSION;
    }
    const uint64_t *head = restore->head;
    if (!may_open(table, head)) {
        return SESSION_AT_FAILED;
    }
    restore->session = session_table_open(table, head[0], head[1], head[2],
                                          (uint32_t)(head[5] / SESSION_PAGE_SEQUENCES));
    restore->session->newest = head[3];
    restore->session->floor = head[4];
    restore->position = 0;
    return head[3] > 0 ? SESSION_AT_CLAIMED : next_session(restore);
}

// What floor and newest say about whether a sequence was claimed.
static bool may_be_claimed(const struct session *session, uint64_t sequence, bool is_claimed)
{
    if (sequence <= session->floor || sequence == session->newest) {
        return is_claimed;
    }
    return sequence != session->floor + 1 || !is_claimed;
}

static enum session_restore_part on_claimed(struct session_table *table, uint64_t word)
{
    struct session_restore *restore = &table->restore;
    struct session *session = restore->session;
    uint64_t first = session->newest - held(session) + 1 + 64 * restore->position;
    for (uint64_t bit = 0; bit < 64; bit++) {
        uint64_t sequence = first + bit;
        bool is_claimed = (word >> bit & 1) != 0;
        if (sequence > session->newest ? is_claimed
                                       : !may_be_claimed(session, sequence, is_claimed)) {
            return SESSION_AT_FAILED;
        }
        if (sequence <= session->newest) {
            struct session_page *page = session_page_of(table, session, sequence);
            (is_claimed ? session_set_bit : session_clear_bit)(page->claimed, sequence);
            (is_claimed ? session_set_bit : session_clear_bit)(page->completed, sequence);
        }
    }
    if (++restore->position < claimed_words(session)) {
        return SESSION_AT_CLAIMED;
    }
    restore->position = 0;
    return SESSION_AT_RESULTS;
}

static bool restore_result(struct session_table *table, uint64_t sequence, uint32_t result)
{
    const struct session *session = table->restore.session;
    if (sequence > session->newest) {
        return result == 0;
    }
    struct session_page *page = session_page_of(table, session, sequence);
    page->results[session_place(sequence)] = result;
    return result == 0 || session_has_bit(page->claimed, sequence);
}

static enum session_restore_part on_results(struct session_table *table, uint64_t word)
{
    struct session_restore *restore = &table->restore;
    struct session *session = restore->session;
    uint64_t first = session->newest - held(session) + 1 + 2 * restore->position;
    if (!restore_result(table, first, (uint32_t)word) ||
        !restore_result(table, first + 1, (uint32_t)(word >> 32))) {
        return SESSION_AT_FAILED;
    }
    return ++restore->position < results_words(session) ? SESSION_AT_RESULTS
                                                        : next_session(restore);
}

static enum session_restore_part on_word(struct session_table *table, uint64_t word)
{
    switch (table->restore.part) {
    case SESSION_AT_HEAD:
        return on_head(table, word);
    case SESSION_AT_SESSION:
        return on_session(table, word);
    case SESSION_AT_CLAIMED:
        return on_claimed(table, word);
    case SESSION_AT_RESULTS:
        return on_results(table, word);
    case SESSION_AT_DIGEST:
        return word == table->restore.digest ? SESSION_AT_END : SESSION_AT_FAILED;
    case SESSION_AT_END:
    case SESSION_AT_FAILED:
        return SESSION_AT_FAILED;
    }
    return SESSION_AT_FAILED;
}

int session_restore_write(struct session_table *table, const void *data, uint64_t bytes)
{
    struct session_restore *restore = &table->restore;
    const uint8_t *from = data;
    for (uint64_t i = 0; i < bytes; i++) {
        restore->word |= (uint64_t)from[i] << (8 * restore->word_bytes);
        if (++restore->word_bytes == sizeof(uint64_t)) {
            restore->part = on_word(table, restore->word);
            restore->digest = digest_word(restore->digest, restore->word);
            restore->word = 0;
            restore->word_bytes = 0;
        }
    }
    return restore->part == SESSION_AT_FAILED ? -EBADMSG : 0;
}

int session_restore_end(struct session_table *table)
{
    if (table->restore.part != SESSION_AT_END || table->restore.word_bytes != 0) {
        session_table_clear(table);
        return -EBADMSG;
    }
    return 0;
}
