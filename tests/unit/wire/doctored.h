// Frames that a test has doctored, and what a reader says of them.
#ifndef PONTOON_TESTS_WIRE_DOCTORED_H
#define PONTOON_TESTS_WIRE_DOCTORED_H

#include "engine/wire/layout.h"
#include "engine/wire/wire.h"

#include <stddef.h>

// Short, because tables are made of them: where the first message begins; where a field of it lies
// (a header's, or the fixed part's of a message that has this layout); an index, or term, too high.
enum { M = WIRE_ENVELOPE_BYTES };
#define IN(layout, field) (M + (uint32_t)offsetof(struct layout_##layout, field))
#define OVER (RAFT_INDEX_MAX + 1)

// A frame that is right but for one field, or some, and its checksum made to fit.
struct doctored_row {
    const char *what; // NULL: one more field of the row above
    uint8_t type;     // of the message
    uint32_t at;      // of the field in the frame
    uint32_t width;   // of the field. 0: the message itself has `value` bytes, zeros behind its end
    uint64_t value;
    enum wire_refusal want;
};

// Reads a frame that lies at the end of its own allocation. CHECKs that nothing out of range was
// accepted. Result: the first refusal, or END.
enum wire_refusal doctored_read(const struct wire_filter *filter, const uint8_t *frame,
                                uint32_t bytes);
// The same of whoever receives messages of the type.
enum wire_refusal doctored_drain(uint8_t type, const uint8_t *frame, uint32_t bytes);

void doctored_store(uint8_t *at, uint64_t value, uint32_t width);

// Holds a reader against a table. `make` writes a message of the type into `frame` (of
// WIRE_FRAME_BYTES_MAX) that is accepted; every field changes something.
void doctored_check(const struct doctored_row *rows, size_t count, uint32_t (*make)(uint8_t type),
                    uint8_t *frame);

#endif
