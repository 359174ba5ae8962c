// Says of any decoded message whether every value is in the range FORMAT.md promises. Written
// against FORMAT.md, not against decode.c: what it misses, decode.c may miss, but not the same way.
#ifndef PONTOON_TESTS_WIRE_ORACLE_H
#define PONTOON_TESTS_WIRE_ORACLE_H

#include "engine/wire/wire.h"

// What is wrong with a message that `reader` of `frame` has just accepted, or NULL. Touches every
// byte it points to.
const char *oracle_fault(const struct wire_message *message, const struct wire_filter *filter,
                         const struct wire_reader *reader, const uint8_t *frame, uint32_t bytes);

// Opens and reads a whole frame. Result: the first refusal, or END; *fault (NULL when fine) says
// what the oracle found, also that writing an accepted message again gives other bytes.
enum wire_refusal oracle_drain(const struct wire_filter *filter, const uint8_t *frame,
                               uint32_t bytes, const char **fault);

// The checksum that belongs into a frame of at least an envelope, at most 64 KiB.
uint32_t oracle_checksum(const uint8_t *frame, uint32_t bytes);

// Computes the checksum of a frame again, for input that shall get past it.
void oracle_reseal(uint8_t *frame, uint32_t bytes);

#endif
