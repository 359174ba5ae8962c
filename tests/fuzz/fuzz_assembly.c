// Any fragments in any order: never a byte outside the memory given, and what is handed out is a
// whole entry, its checksum right.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/prng.h"
#include "engine/wire/assembly.h"
#include "tests/fuzz/assembly_step.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BUFFERS = 3, KEYS = 5, PAYLOAD_BYTES_MAX = 5000 };

static const uint32_t entry_sizes[] = {1, 255, 256, 257, 1000, 2048, 4999, 5000, 5001};
enum { SIZES = sizeof(entry_sizes) / sizeof(entry_sizes[0]) };

static uint8_t payload[RAFT_PAYLOAD_BYTES_MAX];
static uint8_t wrong[RAFT_PAYLOAD_BYTES_MAX];
static struct raft_entry_head heads[SIZES];

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "not so: %s\n", what);
        abort();
    }
}

static void prepare(void)
{
    struct prng prng;
    prng_init(&prng, 31);
    for (uint32_t i = 0; i < sizeof(payload); i++) {
        payload[i] = (uint8_t)prng_next(&prng);
        wrong[i] = (uint8_t)~payload[i];
    }
    for (uint32_t i = 0; i < SIZES; i++) {
        heads[i] = (struct raft_entry_head){
            .client = 1, .sequence = 1, .bytes = entry_sizes[i], .kind = RAFT_ENTRY_COMMAND};
        heads[i].crc = wire_entry_crc(&heads[i], payload);
    }
}

static struct wire_fragment fragment_of(const struct step *step)
{
    struct wire_fragment fragment = {.head = heads[step->entry % SIZES], .offset = step->offset};
    if ((step->flags & STEP_LARGE_ENTRY) != 0) {
        fragment.head.bytes = step->offset * 2;
    }
    fragment.bytes = 256 + 8 * (uint32_t)step->part;
    if ((step->flags & STEP_RAW_BYTES) != 0) {
        fragment.bytes = step->part;
    } else if (fragment.offset < fragment.head.bytes &&
               fragment.bytes > fragment.head.bytes - fragment.offset) {
        fragment.bytes = fragment.head.bytes - fragment.offset;
    }
    const uint8_t *data = (step->flags & STEP_WRONG_DATA) != 0 ? wrong : payload;
    fragment.data = data + (fragment.offset < sizeof(payload) ? fragment.offset : 0);
    return fragment;
}

static void add(struct assembly *assembly, const struct assembly_key *key, const struct step *step)
{
    struct wire_fragment fragment = fragment_of(step);
    struct assembly_counters before, after;
    assembly_counters(assembly, &before);
    const uint8_t *whole = assembly_add(assembly, key, &fragment);
    assembly_counters(assembly, &after);
    require(after.completed == before.completed + (whole != NULL), "completed are counted");
    require(after.given_up <= before.given_up + 1, "one makes room for one");
    require(after.refused + after.duplicates + after.bad_checksum <=
                before.refused + before.duplicates + before.bad_checksum + 1,
            "a fragment is counted once");
    if (whole != NULL) {
        require(fragment.head.bytes <= PAYLOAD_BYTES_MAX, "it had room");
        require(memcmp(whole, payload, fragment.head.bytes) == 0, "it is the payload");
    }
    require(wire_fragment_is_valid(&fragment) || after.refused == before.refused + 1,
            "what is not valid is refused");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (heads[0].bytes == 0) {
        prepare();
    }
    void *memory = NULL;
    require(posix_memalign(&memory, 64, assembly_memory_bytes(BUFFERS, PAYLOAD_BYTES_MAX)) == 0,
            "memory");
    struct assembly *assembly = assembly_init(memory, BUFFERS, PAYLOAD_BYTES_MAX);
    for (; size >= sizeof(struct step); data += sizeof(struct step), size -= sizeof(struct step)) {
        struct step step;
        memcpy(&step, data, sizeof(step));
        struct assembly_key key = {.a = 1, .b = step.key % KEYS};
        if ((step.flags & STEP_DONE) != 0) {
            assembly_done(assembly, &key);
        } else {
            add(assembly, &key, &step);
        }
    }
    free(memory);
    return 0;
}
