// The session table against a slow twin that keeps every sequence ever claimed.
#include <stdlib.h>
#include <string.h>

#include "tests/harness/harness.h"
#include "tests/unit/core/sessions.h"

static struct prng prng;

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
    session->results[sequence] = sessions_result_of(index);
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
        return 1 + prng_below(&prng, 10);
    }
    uint64_t newest = session->newest, floor = twin_floor(session), window = session->window;
    switch (prng_below(&prng, 16)) {
    case 0:
        return prng_below(&prng, newest + 2);
    case 1:
        return floor + window;
    case 2:
        return floor + window + 1;
    case 3:
        return newest > window ? newest - window + prng_below(&prng, 2) : 0;
    case 4:
        return floor + prng_below(&prng, window + 2);
    case 5:
        return newest + prng_below(&prng, 70);
    case 6:
        return prng_below(&prng, 100) == 0 ? UINT64_MAX - prng_below(&prng, 3) : newest;
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
    uint64_t which = prng_below(&prng, 16);
    uint64_t nonce = history->nonces[which];
    if (prng_below(&prng, 3) != 0) {
        nonce = history->nonces[which] = prng_next(&prng);
    }
    uint64_t window = prng_below(&prng, 4) == 0 ? prng_next(&prng) : prng_below(&prng, 5000);
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
    uint64_t id =
        history->id_count == 0
            ? 0
            : history->ids[prng_below(&prng, history->id_count < 16 ? history->id_count : 16)];
    uint64_t sequence = choose_sequence(history, id);
    uint32_t expected = 0, single = 0, batched = 0, peeked = 0;
    uint64_t index = ++history->index;
    enum session_verdict peek = session_check(history->single, id, sequence, &peeked);
    enum session_verdict verdict = twin_apply(&history->twin, index, id, sequence, &expected);
    CHECK_EQUAL(peek, verdict);
    CHECK_EQUAL(sessions_apply(history->single, index, id, sequence, &single), verdict);
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
    *claim = (struct claim){id, sequence, sessions_result_of(index), verdict == SESSION_NEW};
}

static void run_batch(struct history *history)
{
    struct claim claims[RUN_MAX];
    uint64_t count = 0, wanted = 1 + prng_below(&prng, RUN_MAX);
    while (count < wanted) {
        if (prng_below(&prng, history->register_rarity) == 0) {
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
    uint8_t *stream = sessions_save(history->batched, &bytes, &prng);
    uint8_t *single = sessions_save(history->single, &bytes_single, NULL);
    CHECK_EQUAL(bytes, bytes_single);
    CHECK(memcmp(stream, single, bytes) == 0);
    CHECK_EQUAL(sessions_restore(history->spare, stream, bytes, &prng), 0);
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
        prng_init(&prng, seed);
        uint32_t pages = (uint32_t)(2 + prng_below(&prng, 9)),
                 sessions = (uint32_t)(2 + prng_below(&prng, 5));
        struct history history = {
            .twin = {.pages_total = pages, .sessions_max = sessions},
            .single = sessions_make(pages, sessions),
            .batched = sessions_make(pages, sessions),
            .spare = sessions_make(pages + 3, sessions + 2), // its limits come with the stream
            .register_rarity = UINT64_C(20) << 2 * (seed % 5),
        };
        for (int batch = 0; batch < 200; batch++) {
            run_batch(&history);
            if (prng_below(&prng, 4) == 0) {
                compare_and_replace(&history);
                struct session_table *larger = history.batched;
                if (prng_below(&prng, 2) == 0) {
                    history.batched = history.spare;
                    history.spare = larger;
                    uint64_t bytes;
                    uint8_t *stream = sessions_save(larger, &bytes, NULL);
                    CHECK_EQUAL(sessions_restore(history.batched, stream, bytes, NULL), 0);
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

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(agrees_with_a_slow_twin),
    };
    return test_run("core session twin", cases, TEST_COUNT(cases), argc, argv);
}
