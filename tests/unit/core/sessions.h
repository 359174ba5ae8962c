// Session tables for tests, and their checkpoints as one piece of memory.
#ifndef PONTOON_TESTS_CORE_SESSIONS_H
#define PONTOON_TESTS_CORE_SESSIONS_H

#include "engine/base/prng.h"
#include "engine/core/session.h"

// To be freed.
struct session_table *sessions_make(uint32_t pages_total, uint32_t sessions_max);

// The result of whatever is applied at this index.
uint32_t sessions_result_of(uint64_t index);
// Claims, and completes what is new.
enum session_verdict sessions_apply(struct session_table *table, uint64_t index, uint64_t session,
                                    uint64_t sequence, uint32_t *result);
enum session_verdict sessions_apply_plain(struct session_table *table, uint64_t index,
                                          uint64_t session, uint64_t sequence);

// Pieces are of random sizes, or there is one (NULL). The stream is malloc'ed, with room for one
// byte more; restore's result is session_restore_end's.
uint8_t *sessions_save(struct session_table *table, uint64_t *bytes, struct prng *pieces);
int sessions_restore(struct session_table *table, const uint8_t *stream, uint64_t bytes,
                     struct prng *pieces);

#endif
