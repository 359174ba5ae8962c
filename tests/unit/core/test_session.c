// The session table against a slow twin that keeps every sequence ever claimed, and its edges one
// by one.
#include "tests/harness/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/core/session.h"

static uint64_t random_state;

static uint64_t random_next(void)
{
    uint64_t word = (random_state += UINT64_C(0x9E3779B97F4A7C15));
    word = (word ^ word >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    word = (word ^ word >> 27) * UINT64_C(0x94D049BB133111EB);
    return word ^ word >> 31;
}

static uint64_t random_below(uint64_t bound)
{
    return random_next() % bound;
}

// The memory is not zero, as the caller's may not be.
static struct session_table *make(uint32_t pages_total, uint32_t sessions_max)
{
    struct session_config config = {.pages_total = pages_total, .sessions_max = sessions_max};
    uint64_t bytes = (session_bytes(&config) + 63) / 64 * 64;
    void *memory = aligned_alloc(64, bytes);
    memset(memory, 0xA5, bytes);
    return session_init(&config, memory);
}

static uint32_t result_of(uint64_t index)
{
    return (uint32_t)(index * 2654435761u);
}

static enum session_verdict apply(struct session_table *table, uint64_t index, uint64_t session,
                                  uint64_t sequence, uint32_t *result)
{
    enum session_verdict verdict = session_claim(table, index, session, sequence, result);
    if (verdict == SESSION_NEW) {
        session_complete(table, session, sequence, result_of(index));
    }
    return verdict;
}

static enum session_verdict apply_plain(struct session_table *table, uint64_t index,
                                        uint64_t session, uint64_t sequence)
{
    uint32_t result;
    return apply(table, index, session, sequence, &result);
}

// The slow twin.

enum { TWIN_SESSIONS = 8, TWIN_SEQUENCES = 200000 };

struct twin_session {
    uint64_t id; // 0: free
    uint64_t nonce, window, newest, last_index;
    uint8_t *claimed; // by sequence
    uint32_t *results;
};

struct twin {
    struct twin_session sessions[TWIN_SESSIONS];
    uint64_t pages_total, sessions_max;
};

static struct twin_session *twin_find(struct twin *twin, uint64_t id)
{
    for (int i = 0; i < TWIN_SESSIONS; i++) {
        if (id != 0 && twin->sessions[i].id == id) {
            return &twin->sessions[i];
        }
    }
    return NULL;
}

static uint64_t twin_count(const struct twin *twin, uint64_t *pages)
{
    uint64_t count = 0;
    *pages = 0;
    for (int i = 0; i < TWIN_SESSIONS; i++) {
        count += twin->sessions[i].id != 0;
        *pages += twin->sessions[i].id != 0 ? twin->sessions[i].window / 1024 : 0;
    }
    return count;
}

static void twin_evict(struct twin *twin)
{
    struct twin_session *oldest = NULL;
    for (int i = 0; i < TWIN_SESSIONS; i++) {
        struct twin_session *session = &twin->sessions[i];
        if (session->id != 0 && (oldest == NULL || session->last_index < oldest->last_index)) {
            oldest = session;
        }
    }
    oldest->id = 0;
}

static uint64_t twin_register(struct twin *twin, uint64_t index, uint64_t nonce, uint64_t window)
{
    for (int i = 0; i < TWIN_SESSIONS; i++) {
        struct twin_session *session = &twin->sessions[i];
        if (session->id != 0 && session->nonce == nonce) {
            session->last_index = index;
            return session->id;
        }
    }
    uint64_t wanted = window == 0 ? 1 : (window + 1023) / 1024, pages;
    wanted = wanted > 64 ? 64 : wanted;
    wanted = wanted > twin->pages_total ? twin->pages_total : wanted;
    while (twin_count(twin, &pages) == twin->sessions_max || pages + wanted > twin->pages_total) {
        twin_evict(twin);
    }
    int slot = 0;
    while (twin->sessions[slot].id != 0) {
        slot++;
    }
    struct twin_session *session = &twin->sessions[slot];
    if (session->claimed == NULL) {
        session->claimed = malloc(TWIN_SEQUENCES);
        session->results = malloc(TWIN_SEQUENCES * sizeof(uint32_t));
    }
    memset(session->claimed, 0, TWIN_SEQUENCES);
    session->id = index;
    session->nonce = nonce;
    session->window = wanted * 1024;
    session->newest = 0;
    session->last_index = index;
    return index;
}

static uint64_t twin_floor(const struct twin_session *session)
{
    uint64_t floor = 0;
    while (session->claimed[floor + 1] != 0) {
        floor++;
    }
    return floor;
}

static enum session_verdict twin_apply(struct twin *twin, uint64_t index, uint64_t id,
                                       uint64_t sequence, uint32_t *result)
{
    struct twin_session *session = twin_find(twin, id);
    if (session == NULL) {
        return SESSION_EXPIRED;
    }
    session->last_index = index;
    uint64_t newest = session->newest, window = session->window;
    if (sequence == 0 || sequence > twin_floor(session) + window) {
        return SESSION_OUTSIDE;
    }
    if (newest > window && sequence <= newest - window) {
        return SESSION_OUTSIDE;
    }
    if (session->claimed[sequence] != 0) {
        *result = session->results[sequence];
        return SESSION_DUPLICATE;
    }
    session->claimed[sequence] = 1;
    session->results[sequence] = result_of(index);
    session->newest = sequence > newest ? sequence : newest;
    return SESSION_NEW;
}

static void twin_free(struct twin *twin)
{
    for (int i = 0; i < TWIN_SESSIONS; i++) {
        free(twin->sessions[i].claimed);
        free(twin->sessions[i].results);
    }
}

// Checkpoint helpers.

static uint8_t *save(struct session_table *table, uint64_t *bytes, bool in_pieces)
{
    *bytes = session_checkpoint_bytes(table);
    uint8_t *stream = malloc(*bytes + 1);
    uint64_t done = 0;
    while (done < *bytes) {
        uint64_t piece = in_pieces ? 1 + random_below(random_below(4) == 0 ? 9000 : 20) : *bytes;
        uint64_t got = session_checkpoint_read(table, done, stream + done, piece);
        CHECK(got > 0 && got <= piece);
        done += got;
    }
    CHECK_EQUAL(done, *bytes);
    CHECK_EQUAL(session_checkpoint_read(table, done, stream + done, 1), 0);
    return stream;
}

static int restore(struct session_table *table, const uint8_t *stream, uint64_t bytes,
                   bool in_pieces)
{
    session_restore_begin(table);
    for (uint64_t done = 0; done < bytes;) {
        uint64_t piece = in_pieces ? 1 + random_below(random_below(4) == 0 ? 9000 : 20) : bytes;
        piece = piece < bytes - done ? piece : bytes - done;
        if (session_restore_write(table, stream + done, piece) != 0) {
            break;
        }
        done += piece;
    }
    return session_restore_end(table);
}

// One random history, given to the twin entry by entry, to one table entry by entry and to another
// in batches; the latter is replaced by its restored checkpoint now and then.

enum { RUN_MAX = 200 };

struct history {
    struct twin twin;
    struct session_table *single, *batched, *spare;
    uint64_t ids[16], id_count; // sessions ever granted, a ring
    uint64_t nonces[16];
    uint64_t index;
    uint64_t register_rarity;             // one entry in so many
    uint64_t counts[SESSION_OUTSIDE + 1]; // verdicts
};

struct claim {
    uint64_t session, sequence;
    uint32_t result;
    bool is_new;
};

static uint64_t choose_sequence(struct history *history, uint64_t id)
{
    struct twin_session *session = twin_find(&history->twin, id);
    if (session == NULL) {
        return 1 + random_below(10);
    }
    uint64_t newest = session->newest, floor = twin_floor(session), window = session->window;
    switch (random_below(16)) {
    case 0:
        return random_below(newest + 2);
    case 1:
        return floor + window;
    case 2:
        return floor + window + 1;
    case 3:
        return newest > window ? newest - window + random_below(2) : 0;
    case 4:
        return floor + random_below(window + 2);
    case 5:
        return newest + random_below(70);
    case 6:
        return random_below(100) == 0 ? UINT64_MAX - random_below(3) : newest;
    case 7:
    case 8:
    case 9:
        return floor + 1;
    default:
        return newest + 1;
    }
}

static void register_random(struct history *history)
{
    uint64_t which = random_below(16);
    uint64_t nonce = history->nonces[which];
    if (random_below(3) != 0) {
        nonce = history->nonces[which] = random_next();
    }
    uint64_t window = random_below(4) == 0 ? random_next() : random_below(5000);
    history->index++;
    uint64_t id = twin_register(&history->twin, history->index, nonce, window);
    struct session_grant single = session_register(history->single, history->index, nonce, window);
    struct session_grant batched =
        session_register(history->batched, history->index, nonce, window);
    CHECK_EQUAL(single.session, id);
    CHECK_EQUAL(batched.session, id);
    CHECK_EQUAL(single.window, twin_find(&history->twin, id)->window);
    CHECK_EQUAL(batched.window, single.window);
    history->ids[history->id_count++ % 16] = id;
}

static void command_random(struct history *history, struct claim *claim)
{
    uint64_t id = history->id_count == 0
                      ? 0
                      : history->ids[random_below(history->id_count < 16 ? history->id_count : 16)];
    uint64_t sequence = choose_sequence(history, id);
    uint32_t expected = 0, single = 0, batched = 0, peeked = 0;
    uint64_t index = ++history->index;
    enum session_verdict peek = session_check(history->single, id, sequence, &peeked);
    enum session_verdict verdict = twin_apply(&history->twin, index, id, sequence, &expected);
    CHECK_EQUAL(peek, verdict);
    CHECK_EQUAL(apply(history->single, index, id, sequence, &single), verdict);
    enum session_verdict in_batch = session_claim(history->batched, index, id, sequence, &batched);
    history->counts[in_batch]++;
    if (in_batch != SESSION_PENDING) {
        CHECK_EQUAL(in_batch, verdict);
    }
    if (verdict == SESSION_DUPLICATE) {
        CHECK_EQUAL(single, expected);
        CHECK_EQUAL(peeked, expected);
        CHECK(in_batch == SESSION_PENDING || batched == expected);
    }
    *claim = (struct claim){id, sequence, result_of(index), verdict == SESSION_NEW};
}

static void run_batch(struct history *history)
{
    struct claim claims[RUN_MAX];
    uint64_t count = 0, wanted = 1 + random_below(RUN_MAX);
    while (count < wanted) {
        if (random_below(history->register_rarity) == 0) {
            register_random(history);
        } else {
            command_random(history, &claims[count++]);
        }
    }
    for (uint64_t i = 0; i < count; i++) {
        if (claims[i].is_new) {
            session_complete(history->batched, claims[i].session, claims[i].sequence,
                             claims[i].result);
        }
    }
}

static void compare_and_replace(struct history *history)
{
    uint64_t bytes, bytes_single;
    CHECK_EQUAL(session_digest(history->single), session_digest(history->batched));
    uint8_t *stream = save(history->batched, &bytes, true);
    uint8_t *single = save(history->single, &bytes_single, false);
    CHECK_EQUAL(bytes, bytes_single);
    CHECK(memcmp(stream, single, bytes) == 0);
    CHECK_EQUAL(restore(history->spare, stream, bytes, true), 0);
    CHECK_EQUAL(session_digest(history->spare), session_digest(history->single));
    CHECK_EQUAL(session_count(history->spare), session_count(history->single));
    CHECK_EQUAL(session_pages_used(history->spare), session_pages_used(history->single));
    struct session_table *replaced = history->batched;
    history->batched = history->spare;
    history->spare = replaced;
    free(stream);
    free(single);
}

static void agrees_with_a_slow_twin(void)
{
    uint64_t counts[SESSION_OUTSIDE + 1] = {0}, evictions = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        random_state = seed;
        uint32_t pages = (uint32_t)(2 + random_below(9)),
                 sessions = (uint32_t)(2 + random_below(5));
        struct history history = {
            .twin = {.pages_total = pages, .sessions_max = sessions},
            .single = make(pages, sessions),
            .batched = make(pages, sessions),
            .spare = make(pages + 3, sessions + 2), // its limits come with the stream
            .register_rarity = UINT64_C(20) << 2 * (seed % 5),
        };
        for (int batch = 0; batch < 200; batch++) {
            run_batch(&history);
            if (random_below(4) == 0) {
                compare_and_replace(&history);
                struct session_table *larger = history.batched;
                if (random_below(2) == 0) {
                    history.batched = history.spare;
                    history.spare = larger;
                    uint64_t bytes;
                    uint8_t *stream = save(larger, &bytes, false);
                    CHECK_EQUAL(restore(history.batched, stream, bytes, false), 0);
                    free(stream);
                }
            }
        }
        for (int verdict = SESSION_NEW; verdict <= SESSION_OUTSIDE; verdict++) {
            counts[verdict] += history.counts[verdict];
        }
        evictions += session_evictions(history.single);
        twin_free(&history.twin);
        free(history.single);
        free(history.batched);
        free(history.spare);
    }
    for (int verdict = SESSION_NEW; verdict <= SESSION_OUTSIDE; verdict++) {
        CHECK(counts[verdict] > 100);
    }
    CHECK(evictions > 100);
}

// The promise of session.h: at most a window of sequences between lowest unanswered and newest.
// Frames are lost, doubled and reordered at will; the client retries what is unanswered.
static void well_behaved_client_is_never_outside(void)
{
    enum { SENT = 20000 };
    random_state = 77;
    struct session_table *table = make(4, 2);
    struct session_grant grant = session_register(table, 1, 5, 2000);
    static uint8_t executed[SENT + 1], answered[SENT + 1];
    memset(executed, 0, sizeof(executed));
    memset(answered, 0, sizeof(answered));
    uint64_t lowest = 1, newest = 1, index = 1;
    while (lowest <= SENT) {
        if (newest < SENT && newest + 1 < lowest + grant.window && random_below(3) != 0) {
            newest++;
        }
        uint64_t sequence =
            random_below(8) == 0 ? lowest : lowest + random_below(newest - lowest + 1);
        if (answered[sequence] != 0) {
            continue;
        }
        enum session_verdict verdict = apply_plain(table, ++index, grant.session, sequence);
        CHECK_EQUAL(verdict, executed[sequence] != 0 ? SESSION_DUPLICATE : SESSION_NEW);
        executed[sequence] = 1;
        answered[sequence] = random_below(2) == 0;
        while (lowest <= SENT && answered[lowest] != 0) {
            lowest++;
        }
        newest = newest < lowest && newest < SENT ? lowest : newest;
    }
    free(table);
}

static void window_is_rounded_up_to_pages(void)
{
    static const struct {
        uint64_t asked, granted;
    } rows[] = {{0, 1024},      {1, 1024},      {1024, 1024},   {1025, 2048},
                {65535, 65536}, {65536, 65536}, {65537, 65536}, {UINT64_MAX, 65536}};
    struct session_table *table = make(1000, 100);
    for (uint64_t i = 0; i < TEST_COUNT(rows); i++) {
        CHECK_EQUAL(session_register(table, i + 1, i, rows[i].asked).window, rows[i].granted);
    }
    free(table);
    table = make(3, 100);
    CHECK_EQUAL(session_register(table, 1, 1, 65536).window, 3072);
    free(table);
}

static void edges_of_the_window(void)
{
    struct session_table *table = make(4, 4);
    uint64_t id = session_register(table, 10, 1, 1024).session;
    CHECK_EQUAL(id, 10);
    CHECK_EQUAL(apply_plain(table, 11, id, 0), SESSION_OUTSIDE);
    CHECK_EQUAL(apply_plain(table, 12, id, 1025), SESSION_OUTSIDE);
    CHECK_EQUAL(apply_plain(table, 13, id, UINT64_MAX), SESSION_OUTSIDE);
    CHECK_EQUAL(apply_plain(table, 14, id, 1024), SESSION_NEW);
    CHECK_EQUAL(apply_plain(table, 15, id, 1), SESSION_NEW);
    CHECK_EQUAL(apply_plain(table, 16, id, 1025), SESSION_NEW);
    CHECK_EQUAL(apply_plain(table, 17, id, 1), SESSION_OUTSIDE);
    CHECK_EQUAL(apply_plain(table, 18, id, 2), SESSION_NEW);
    CHECK_EQUAL(apply_plain(table, 19, id, 1024), SESSION_DUPLICATE);
    CHECK_EQUAL(apply_plain(table, 20, id, 1027), SESSION_OUTSIDE);
    CHECK_EQUAL(apply_plain(table, 21, id, 1026), SESSION_NEW);
    CHECK_EQUAL(apply_plain(table, 22, 9, 1), SESSION_EXPIRED);
    CHECK_EQUAL(apply_plain(table, 23, 0, 1), SESSION_EXPIRED);
    free(table);
}

static void result_is_kept_with_its_sequence(void)
{
    struct session_table *table = make(4, 4);
    uint64_t id = session_register(table, 1, 1, 2048).session;
    for (uint64_t sequence = 1; sequence <= 10000; sequence++) {
        CHECK_EQUAL(apply_plain(table, 1 + sequence, id, sequence), SESSION_NEW);
    }
    for (uint64_t sequence = 1; sequence <= 10000; sequence++) {
        uint32_t result = 0;
        enum session_verdict verdict = session_check(table, id, sequence, &result);
        CHECK_EQUAL(verdict, sequence + 2048 <= 10000 ? SESSION_OUTSIDE : SESSION_DUPLICATE);
        CHECK(verdict == SESSION_OUTSIDE || result == result_of(1 + sequence));
    }
    free(table);
}

static void second_copy_in_a_batch_is_pending(void)
{
    struct session_table *table = make(4, 4);
    uint32_t result = 0;
    uint64_t id = session_register(table, 1, 1, 1).session;
    CHECK_EQUAL(session_claim(table, 2, id, 1, &result), SESSION_NEW);
    CHECK_EQUAL(session_claim(table, 3, id, 1, &result), SESSION_PENDING);
    CHECK_EQUAL(session_check(table, id, 1, &result), SESSION_PENDING);
    session_complete(table, id, 1, 42);
    CHECK_EQUAL(session_check(table, id, 1, &result), SESSION_DUPLICATE);
    CHECK_EQUAL(result, 42);
    free(table);
}

// A ring place that served another sequence between claim and completion keeps that one's result.
static void late_completion_hits_nothing(void)
{
    struct session_table *table = make(1, 1);
    uint32_t result = 0;
    uint64_t id = session_register(table, 1, 1, 1).session;
    CHECK_EQUAL(session_claim(table, 2, id, 1, &result), SESSION_NEW);
    CHECK_EQUAL(session_claim(table, 3, id, 1025, &result), SESSION_NEW);
    session_complete(table, id, 1, 42);
    CHECK_EQUAL(session_check(table, id, 1025, &result), SESSION_PENDING);
    session_complete(table, id, 1025, 43);
    CHECK_EQUAL(session_check(table, id, 1025, &result), SESSION_DUPLICATE);
    CHECK_EQUAL(result, 43);
    CHECK_EQUAL(session_claim(table, 4, id, 2, &result), SESSION_NEW);
    session_register(table, 5, 2, 1); // evicts it
    session_complete(table, id, 2, 44);
    CHECK_EQUAL(session_check(table, id, 2, &result), SESSION_EXPIRED);
    free(table);
}

static void retried_register_gets_its_session(void)
{
    struct session_table *table = make(8, 3);
    uint64_t first = session_register(table, 5, 100, 1).session;
    uint64_t other = session_register(table, 6, 200, 1).session;
    struct session_grant again = session_register(table, 7, 100, 4096);
    CHECK_EQUAL(again.session, first);
    CHECK_EQUAL(again.window, 1024);
    CHECK_EQUAL(session_count(table), 2);
    session_register(table, 8, 300, 1);
    session_register(table, 9, 400, 1); // the retry kept `first` young: `other` goes
    CHECK_EQUAL(apply_plain(table, 10, other, 1), SESSION_EXPIRED);
    CHECK_EQUAL(apply_plain(table, 11, first, 1), SESSION_NEW);
    CHECK_EQUAL(session_register(table, 12, 200, 1).session, 12);
    free(table);
}

static void oldest_applied_goes_first(void)
{
    struct session_table *table = make(4, 10);
    for (uint64_t index = 1; index <= 4; index++) {
        session_register(table, index, index, 1);
    }
    CHECK_EQUAL(apply_plain(table, 5, 1, 1), SESSION_NEW);
    CHECK_EQUAL(apply_plain(table, 6, 3, 7000), SESSION_OUTSIDE); // counts as a sign of life
    session_register(table, 7, 70, 2048);                         // needs two pages: 2 and 4 go
    CHECK_EQUAL(apply_plain(table, 8, 2, 1), SESSION_EXPIRED);
    CHECK_EQUAL(apply_plain(table, 9, 4, 1), SESSION_EXPIRED);
    CHECK_EQUAL(apply_plain(table, 10, 1, 2), SESSION_NEW);
    CHECK_EQUAL(apply_plain(table, 11, 3, 1), SESSION_NEW);
    CHECK_EQUAL(session_pages_used(table), 4);
    CHECK_EQUAL(session_evictions(table), 2);
    free(table);
}

// The index decides, not the order of calls: groups that apply out of order agree once they applied
// the same.
static void order_of_calls_does_not_decide_eviction(void)
{
    struct session_table *table = make(3, 3);
    for (uint64_t index = 1; index <= 3; index++) {
        session_register(table, index, index, 1);
    }
    apply_plain(table, 12, 1, 1);
    apply_plain(table, 11, 2, 1);
    apply_plain(table, 10, 3, 1);
    apply_plain(table, 9, 1, 2);
    apply_plain(table, 8, 2, 2);
    session_register(table, 20, 20, 1);
    CHECK_EQUAL(apply_plain(table, 21, 3, 2), SESSION_EXPIRED);
    session_register(table, 22, 22, 1);
    CHECK_EQUAL(apply_plain(table, 23, 2, 3), SESSION_EXPIRED);
    CHECK_EQUAL(apply_plain(table, 24, 1, 3), SESSION_NEW);
    free(table);
}

static struct session_table *make_small(void)
{
    struct session_table *table = make(4, 3);
    session_register(table, 3, 77, 1);
    session_register(table, 4, 78, 2000);
    for (uint64_t i = 1; i <= 70; i++) {
        apply_plain(table, 4 + i, 4, i % 5 == 0 ? i + 3 : i);
    }
    apply_plain(table, 90, 3, 1);
    apply_plain(table, 91, 3, 3);
    session_register(table, 92, 79, 1);
    return table;
}

static void check_empty(struct session_table *table)
{
    CHECK_EQUAL(session_count(table), 0);
    CHECK_EQUAL(session_pages_used(table), 0);
    CHECK_EQUAL(apply_plain(table, 1000, 4, 1), SESSION_EXPIRED);
}

static void every_bit_flip_of_a_stream_is_found(void)
{
    struct session_table *table = make_small(), *other = make(4, 3);
    uint64_t bytes;
    uint8_t *stream = save(table, &bytes, false);
    for (uint64_t bit = 0; bit < bytes * 8; bit++) {
        stream[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        CHECK_EQUAL(restore(other, stream, bytes, false), -EBADMSG);
        check_empty(other);
        stream[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    CHECK_EQUAL(restore(other, stream, bytes, false), 0);
    CHECK_EQUAL(session_digest(other), session_digest(table));
    free(stream);
    free(table);
    free(other);
}

static void every_prefix_and_longer_stream_is_refused(void)
{
    struct session_table *table = make_small(), *other = make(4, 3);
    uint64_t bytes;
    uint8_t *stream = save(table, &bytes, false);
    for (uint64_t cut = 0; cut < bytes; cut++) {
        CHECK_EQUAL(restore(other, stream, cut, true), -EBADMSG);
        check_empty(other);
    }
    stream[bytes] = 0;
    CHECK_EQUAL(restore(other, stream, bytes + 1, true), -EBADMSG);
    check_empty(other);
    free(stream);
    free(table);
    free(other);
}

// A stream whose digest is right and whose content is not: the words that say what may be are tried
// one by one.
static uint64_t redigest(uint8_t *stream, uint64_t bytes)
{
    uint64_t digest = UINT64_C(0x9E3779B97F4A7C15), word;
    for (uint64_t at = 0; at + 8 < bytes; at += 8) {
        memcpy(&word, stream + at, sizeof(word));
        digest = (digest ^ word) * UINT64_C(0xD6E8FEB86659FD93);
        digest ^= digest >> 32;
    }
    memcpy(stream + bytes - 8, &digest, sizeof(digest));
    return digest;
}

static void contradictory_stream_is_refused(void)
{
    struct session_table *table = make_small(), *other = make(4, 3);
    uint64_t bytes;
    uint8_t *stream = save(table, &bytes, false);
    CHECK_EQUAL(redigest(stream, bytes), session_digest(table));
    CHECK_EQUAL(restore(other, stream, bytes, false), 0);
    // Word numbers: 1 limits, 2 count; session 4 at 3: id, nonce, last, newest, floor, window,
    // claimed.
    static const struct {
        uint64_t word, value;
    } rows[] = {
        {1, 0},
        {1, UINT64_C(3) << 32 | 5},
        {1, UINT64_C(4) << 32 | 4},
        {1, 4},
        {2, 4},
        {2, 2},
        {2, UINT64_MAX},
        {3, 0},
        {3, 75},
        {3, UINT64_MAX},
        {4, 79},
        {5, 0},
        {5, UINT64_MAX},
        {5, 91},
        {6, 0},
        {6, 72},
        {6, UINT64_MAX},
        {7, 0},
        {7, 74},
        {7, UINT64_MAX},
        {8, 0},
        {8, 1},
        {8, 1 << 20},
        {8, 3072},
        {8, UINT64_MAX},
        {9, 0},
        {9, UINT64_MAX},
        {10, 0xFF},
    };
    for (size_t i = 0; i < TEST_COUNT(rows); i++) {
        uint8_t kept[8];
        memcpy(kept, stream + rows[i].word * 8, 8);
        memcpy(stream + rows[i].word * 8, &rows[i].value, 8);
        if (memcmp(kept, stream + rows[i].word * 8, 8) == 0) {
            continue;
        }
        redigest(stream, bytes);
        CHECK_EQUAL(restore(other, stream, bytes, false), -EBADMSG);
        check_empty(other);
        memcpy(stream + rows[i].word * 8, kept, 8);
    }
    free(stream);
    free(table);
    free(other);
}

// Claimed 1 and 1025 of a window of 1024: as far apart as they may be.
static void floor_too_far_below_newest_is_refused(void)
{
    struct session_table *table = make(1, 1);
    uint64_t id = session_register(table, 1, 1, 1024).session, bytes, floor = 0;
    CHECK_EQUAL(apply_plain(table, 2, id, 1), SESSION_NEW);
    CHECK_EQUAL(apply_plain(table, 3, id, 1025), SESSION_NEW);
    uint8_t *stream = save(table, &bytes, false);
    CHECK_EQUAL(restore(table, stream, bytes, false), 0);
    memcpy(stream + 7 * 8, &floor, 8);
    redigest(stream, bytes);
    CHECK_EQUAL(restore(table, stream, bytes, false), -EBADMSG);
    free(stream);
    free(table);
}

// Results of 0 do not give the missing claim away.
static void unclaimed_newest_is_refused(void)
{
    struct session_table *table = make(1, 1);
    uint64_t id = session_register(table, 1, 1, 1024).session, bytes, claimed = 0;
    uint32_t result;
    CHECK_EQUAL(session_claim(table, 2, id, 3, &result), SESSION_NEW);
    session_complete(table, id, 3, 0);
    uint8_t *stream = save(table, &bytes, false);
    CHECK_EQUAL(restore(table, stream, bytes, false), 0);
    memcpy(stream + 9 * 8, &claimed, 8);
    redigest(stream, bytes);
    CHECK_EQUAL(restore(table, stream, bytes, false), -EBADMSG);
    free(stream);
    free(table);
}

static void stream_can_be_read_at_any_offset(void)
{
    struct session_table *table = make_small();
    uint64_t bytes;
    uint8_t *stream = save(table, &bytes, false), piece[64];
    random_state = 3;
    for (int i = 0; i < 2000; i++) {
        uint64_t offset = random_below(bytes + 10), wanted = random_below(sizeof(piece));
        uint64_t got = session_checkpoint_read(table, offset, piece, wanted);
        uint64_t left = offset < bytes ? bytes - offset : 0;
        CHECK_EQUAL(got, wanted < left ? wanted : left);
        CHECK(memcmp(piece, stream + (got == 0 ? 0 : offset), got) == 0);
    }
    free(stream);
    free(table);
}

static void limits_travel_with_the_stream(void)
{
    struct session_table *table = make_small(), *larger = make(50, 50), *smaller = make(3, 3);
    uint64_t bytes;
    uint8_t *stream = save(table, &bytes, false);
    CHECK_EQUAL(restore(smaller, stream, bytes, false), -EBADMSG);
    CHECK_EQUAL(restore(larger, stream, bytes, false), 0);
    CHECK_EQUAL(session_digest(larger), session_digest(table));
    session_register(table, 200, 500, 4096);
    session_register(larger, 200, 500, 4096);
    CHECK_EQUAL(session_count(larger), 1);
    CHECK_EQUAL(session_digest(larger), session_digest(table));
    free(stream);
    free(table);
    free(larger);
    free(smaller);
}

static void empty_table_can_be_saved(void)
{
    struct session_table *table = make(2, 2), *other = make_small();
    uint64_t bytes;
    uint8_t *stream = save(table, &bytes, true);
    CHECK_EQUAL(restore(other, stream, bytes, true), 0);
    CHECK_EQUAL(session_digest(other), session_digest(table));
    free(stream);
    free(table);
    free(other);
}

// Runs cut anywhere, with holes, retries and a second session between them, leave the table as
// single commands do.
static void runs_equal_single_commands(void)
{
    enum { RUN_LENGTH_MAX = 300, SESSIONS = 2, ROUNDS = 4000 };
    struct session_table *by_run = make(8, 4), *by_one = make(8, 4);
    uint64_t index = 0, ids[SESSIONS], next[SESSIONS] = {1, 1}, taken = 0;
    random_state = 7;
    for (uint64_t which = 0; which < SESSIONS; which++) {
        index++;
        ids[which] = session_register(by_run, index, 50 + which, 2048).session;
        session_register(by_one, index, 50 + which, 2048);
    }
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint64_t which = random_below(SESSIONS), sequence = next[which];
        uint32_t count = 1 + (uint32_t)random_below(RUN_LENGTH_MAX), results[RUN_LENGTH_MAX],
                 first_result;
        sequence += random_below(8) == 0 ? random_below(40) : 0; // a hole, to be filled later
        sequence -= random_below(8) == 0 ? random_below(sequence < 30 ? sequence : 30) : 0;
        uint32_t run = session_claim_run(by_run, index + 1, ids[which], sequence, count);
        taken += run;
        if (run == 0) { // one by one, both
            run = 1;
            CHECK_EQUAL(apply(by_run, index + 1, ids[which], sequence, &first_result),
                        apply(by_one, index + 1, ids[which], sequence, &first_result));
        } else {
            for (uint32_t at = 0; at < run; at++) {
                results[at] = result_of(index + 1 + at);
                CHECK_EQUAL(apply(by_one, index + 1 + at, ids[which], sequence + at, &first_result),
                            SESSION_NEW);
            }
            session_complete_run(by_run, ids[which], sequence, results, run);
        }
        index += run;
        next[which] = sequence + run > next[which] ? sequence + run : next[which];
        if (random_below(10) == 0) { // fill what was left out: sessions get going again
            for (uint64_t hole = next[which] > 700 ? next[which] - 700 : 1; hole < next[which];
                 hole++) {
                index++;
                CHECK_EQUAL(apply(by_run, index, ids[which], hole, &first_result),
                            apply(by_one, index, ids[which], hole, &first_result));
            }
        }
        CHECK_EQUAL(session_digest(by_run), session_digest(by_one));
    }
    CHECK(taken > ROUNDS);
    CHECK_EQUAL(session_claim_run(by_run, index + 1, 999, 1, 1), 0);
    free(by_run);
    free(by_one);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(agrees_with_a_slow_twin),
        TEST(well_behaved_client_is_never_outside),
        TEST(window_is_rounded_up_to_pages),
        TEST(edges_of_the_window),
        TEST(result_is_kept_with_its_sequence),
        TEST(second_copy_in_a_batch_is_pending),
        TEST(late_completion_hits_nothing),
        TEST(retried_register_gets_its_session),
        TEST(oldest_applied_goes_first),
        TEST(order_of_calls_does_not_decide_eviction),
        TEST(every_bit_flip_of_a_stream_is_found),
        TEST(every_prefix_and_longer_stream_is_refused),
        TEST(contradictory_stream_is_refused),
        TEST(floor_too_far_below_newest_is_refused),
        TEST(unclaimed_newest_is_refused),
        TEST(stream_can_be_read_at_any_offset),
        TEST(limits_travel_with_the_stream),
        TEST(empty_table_can_be_saved),
        TEST(runs_equal_single_commands),
    };
    return test_run("core session", cases, TEST_COUNT(cases), argc, argv);
}
