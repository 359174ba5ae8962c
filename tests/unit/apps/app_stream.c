#include "tests/unit/apps/app_stream.h"

#include <stdlib.h>

#include "engine/base/prng.h"
#include "tests/harness/harness.h"

static struct prng prng = {.state = {1}}; // until it is seeded

void app_stream_seed(uint64_t seed)
{
    prng_init(&prng, seed);
}

uint64_t app_stream_random(void)
{
    return prng_next(&prng);
}

uint64_t app_stream_below(uint64_t bound)
{
    return prng_below(&prng, bound);
}

static uint64_t piece_bytes(bool in_pieces)
{
    if (!in_pieces) {
        return 1 << 20;
    }
    return 1 + app_stream_below(app_stream_below(3) == 0 ? 30000 : 30);
}

uint8_t *app_stream_save(struct app *app, uint64_t *bytes, bool in_pieces)
{
    uint64_t capacity = 1 << 16, done = 0;
    uint8_t *stream = malloc(capacity);
    CHECK_EQUAL(app->ops->checkpoint_begin(app), 0);
    for (;;) {
        uint64_t piece = piece_bytes(in_pieces);
        while (done + piece + 1 > capacity) {
            capacity *= 2;
            stream = realloc(stream, capacity);
        }
        int64_t got = app->ops->checkpoint_read(app, stream + done, piece);
        CHECK(got >= 0 && (uint64_t)got <= piece);
        if (got == 0) {
            break;
        }
        done += (uint64_t)got;
    }
    app->ops->checkpoint_end(app);
    *bytes = done;
    return stream;
}

int app_stream_restore(struct app *app, const uint8_t *stream, uint64_t bytes, bool in_pieces)
{
    CHECK_EQUAL(app->ops->restore_begin(app), 0);
    for (uint64_t done = 0; done < bytes;) {
        uint64_t piece = piece_bytes(in_pieces);
        piece = piece < bytes - done ? piece : bytes - done;
        if (app->ops->restore_write(app, stream + done, piece) != 0) {
            break;
        }
        done += piece;
    }
    return app->ops->restore_end(app);
}
