// Checkpoints of any state machine as one piece of memory, for tests.
#ifndef PONTOON_TESTS_UNIT_APPS_APP_STREAM_H
#define PONTOON_TESTS_UNIT_APPS_APP_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/driver_api/app.h"

// Pieces are random when asked for, else one. Result: malloc'ed, with room for one byte more.
uint8_t *app_stream_save(struct app *app, uint64_t *bytes, bool in_pieces);
int app_stream_restore(struct app *app, const uint8_t *stream, uint64_t bytes, bool in_pieces);

// The tests' random numbers: seed, then draw.
void app_stream_seed(uint64_t seed);
uint64_t app_stream_random(void);
uint64_t app_stream_below(uint64_t bound);

#endif
