#include "tests/unit/wire/doctored.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/harness.h"
#include "tests/unit/wire/oracle.h"
#include "tests/unit/wire/sample.h"

enum wire_refusal doctored_read(const struct wire_filter *filter, const uint8_t *frame,
                                uint32_t bytes)
{
    const char *fault;
    uint8_t *exact = malloc(bytes > 0 ? bytes : 1);
    memcpy(exact, frame, bytes);
    enum wire_refusal refusal = oracle_drain(filter, exact, bytes, &fault);
    free(exact);
    if (fault != NULL) {
        printf("    accepted although: %s\n", fault);
    }
    CHECK(fault == NULL);
    return refusal;
}

enum wire_refusal doctored_drain(uint8_t type, const uint8_t *frame, uint32_t bytes)
{
    const struct wire_filter filter = sample_filter(type);
    return doctored_read(&filter, frame, bytes);
}

void doctored_store(uint8_t *at, uint64_t value, uint32_t width)
{
    memcpy(at, &value, width);
}

static uint32_t resize(uint8_t *frame, uint32_t was, uint32_t bytes)
{
    memset(frame + was, 0, WIRE_FRAME_BYTES_MAX - was);
    doctored_store(frame + offsetof(struct layout_envelope, frame_bytes), M + bytes, 4);
    doctored_store(frame + M, bytes, 4);
    return M + bytes;
}

// Result: the frame's bytes then.
static uint32_t change(uint8_t *frame, uint32_t bytes, const struct doctored_row *row)
{
    if (row->width == 0) {
        return resize(frame, bytes, (uint32_t)row->value);
    }
    CHECK(row->at + row->width <= bytes);
    CHECK(memcmp(frame + row->at, &row->value, row->width) != 0);
    doctored_store(frame + row->at, row->value, row->width);
    return bytes;
}

void doctored_check(const struct doctored_row *rows, size_t count, uint32_t (*make)(uint8_t type),
                    uint8_t *frame)
{
    for (size_t i = 0; i < count;) {
        const struct doctored_row *row = &rows[i];
        uint32_t bytes = make(row->type);
        CHECK_EQUAL(doctored_drain(row->type, frame, bytes), WIRE_END);
        do {
            bytes = change(frame, bytes, &rows[i]);
            i++;
        } while (i < count && rows[i].what == NULL);
        oracle_reseal(frame, bytes);
        enum wire_refusal refusal = doctored_drain(row->type, frame, bytes);
        if (refusal != row->want) {
            printf("    row \"%s\"\n", row->what);
        }
        CHECK_TEXT(wire_refusal_name(refusal), wire_refusal_name(row->want));
    }
}
