#include "tests/unit/core/sessions.h"

#include <stdlib.h>
#include <string.h>

#include "tests/harness/harness.h"

// The memory is not zero, as the caller's may not be.
struct session_table *sessions_make(uint32_t pages_total, uint32_t sessions_max)
{
    struct session_config config = {.pages_total = pages_total, .sessions_max = sessions_max};
    uint64_t bytes = (session_bytes(&config) + 63) / 64 * 64;
    void *memory = aligned_alloc(64, bytes);
    memset(memory, 0xA5, bytes);
    return session_init(&config, memory);
}

uint32_t sessions_result_of(uint64_t index)
{
    return (uint32_t)(index * 2654435761u);
}

enum session_verdict sessions_apply(struct session_table *table, uint64_t index, uint64_t session,
                                    uint64_t sequence, uint32_t *result)
{
    enum session_verdict verdict = session_claim(table, index, session, sequence, result);
    if (verdict == SESSION_NEW) {
        session_complete(table, session, sequence, sessions_result_of(index));
    }
    return verdict;
}

enum session_verdict sessions_apply_plain(struct session_table *table, uint64_t index,
                                          uint64_t session, uint64_t sequence)
{
    uint32_t result;
    return sessions_apply(table, index, session, sequence, &result);
}

static uint64_t piece_bytes(struct prng *pieces, uint64_t all)
{
    return pieces == NULL ? all : 1 + prng_below(pieces, prng_chance(pieces, 1, 4) ? 9000 : 20);
}

uint8_t *sessions_save(struct session_table *table, uint64_t *bytes, struct prng *pieces)
{
    *bytes = session_checkpoint_bytes(table);
    uint8_t *stream = malloc(*bytes + 1);
    uint64_t done = 0;
    while (done < *bytes) {
        uint64_t piece = piece_bytes(pieces, *bytes);
        uint64_t got = session_checkpoint_read(table, done, stream + done, piece);
        CHECK(got > 0 && got <= piece);
        done += got;
    }
    CHECK_EQUAL(done, *bytes);
    CHECK_EQUAL(session_checkpoint_read(table, done, stream + done, 1), 0);
    return stream;
}

int sessions_restore(struct session_table *table, const uint8_t *stream, uint64_t bytes,
                     struct prng *pieces)
{
    session_restore_begin(table);
    for (uint64_t done = 0; done < bytes;) {
        uint64_t piece = piece_bytes(pieces, bytes);
        piece = piece < bytes - done ? piece : bytes - done;
        if (session_restore_write(table, stream + done, piece) != 0) {
            break;
        }
        done += piece;
    }
    return session_restore_end(table);
}
