// Fragments become entries again, whatever order they come in, in bounded memory; against a slow
// twin.
#include "tests/harness/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/prng.h"
#include "engine/wire/assembly.h"

enum { TWIN_KEYS = 24, PAYLOAD_BYTES_MAX = 20000, PARTS_MAX = PAYLOAD_BYTES_MAX / 256 + 1 };

static uint8_t source_data[TWIN_KEYS][PAYLOAD_BYTES_MAX];

static struct assembly *open_assembly(uint32_t buffers, uint32_t payload_bytes_max)
{
    size_t bytes = assembly_memory_bytes(buffers, payload_bytes_max);
    // Exactly what was asked for, dirty, so that the sanitizers see what lies outside.
    void *memory = NULL;
    CHECK_EQUAL(posix_memalign(&memory, 64, bytes), 0);
    memset(memory, 0xD1, bytes);
    return assembly_init(memory, buffers, payload_bytes_max);
}

static struct assembly_counters counters_of(const struct assembly *assembly)
{
    struct assembly_counters counters;
    assembly_counters(assembly, &counters);
    return counters;
}

static struct assembly_key key_of(uint32_t i)
{
    return (struct assembly_key){.a = 1 + i / 4, .b = i % 4, .source = 1, .group = 2};
}

// A head for entry `i` of `bytes`, its data random.
static struct raft_entry_head make_entry(struct prng *prng, uint32_t i, uint32_t bytes)
{
    struct raft_entry_head head = {
        .client = i, .sequence = 1, .bytes = bytes, .kind = RAFT_ENTRY_COMMAND};
    for (uint32_t at = 0; at < bytes; at++) {
        source_data[i][at] = (uint8_t)prng_next(prng);
    }
    head.crc = wire_entry_crc(&head, source_data[i]);
    return head;
}

static struct wire_fragment part_of(const struct raft_entry_head *head, uint32_t i, uint32_t part,
                                    uint32_t part_bytes)
{
    struct wire_fragment fragment = {.head = *head, .offset = part * part_bytes};
    uint32_t left = head->bytes - fragment.offset;
    fragment.bytes = left < part_bytes ? left : part_bytes;
    fragment.data = source_data[i] + fragment.offset;
    return fragment;
}

static uint32_t parts_in(uint32_t bytes, uint32_t part_bytes)
{
    return (bytes + part_bytes - 1) / part_bytes;
}

static void entries_of_every_size_come_together_in_any_order(void)
{
    struct prng prng;
    prng_init(&prng, 21);
    struct assembly *assembly = open_assembly(1, PAYLOAD_BYTES_MAX);
    for (uint32_t round = 0; round < 500; round++) {
        uint32_t part_bytes = (uint32_t)prng_between(&prng, 256, 9000);
        uint32_t bytes =
            (uint32_t)prng_between(&prng, 1, prng_chance(&prng, 1, 2) ? PAYLOAD_BYTES_MAX : 1000);
        struct raft_entry_head head = make_entry(&prng, 0, bytes);
        struct assembly_key key = key_of(round);
        uint32_t parts = parts_in(bytes, part_bytes);
        uint32_t order[PARTS_MAX];
        for (uint32_t i = 0; i < parts; i++) {
            uint32_t place = (uint32_t)prng_below(&prng, i + 1);
            order[i] = order[place];
            order[place] = i;
        }
        for (uint32_t i = 0; i < parts; i++) {
            struct wire_fragment fragment = part_of(&head, 0, order[i], part_bytes);
            const uint8_t *whole = assembly_add(assembly, &key, &fragment);
            CHECK_EQUAL(whole != NULL, i == parts - 1);
            if (whole != NULL) {
                CHECK_EQUAL((uintptr_t)whole % 64, 0);
                CHECK(memcmp(whole, source_data[0], bytes) == 0);
            }
            uint32_t again = (uint32_t)prng_below(&prng, i + 1);
            fragment = part_of(&head, 0, order[again], part_bytes);
            CHECK(assembly_add(assembly, &key, &fragment) == NULL);
        }
        assembly_done(assembly, &key);
    }
    CHECK_EQUAL(counters_of(assembly).completed, 500);
    CHECK_EQUAL(counters_of(assembly).refused, 0);
    CHECK_EQUAL(counters_of(assembly).given_up, 0);
    free(assembly);
}

static void the_largest_entry_in_the_smallest_fragments(void)
{
    static uint8_t data[RAFT_PAYLOAD_BYTES_MAX];
    struct assembly *assembly = open_assembly(2, RAFT_PAYLOAD_BYTES_MAX);
    struct raft_entry_head head = {
        .sequence = 1, .bytes = RAFT_PAYLOAD_BYTES_MAX, .kind = RAFT_ENTRY_COMMAND};
    struct assembly_key key = key_of(0);
    for (uint32_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * 7 + i / 251);
    }
    head.crc = wire_entry_crc(&head, data);
    const uint8_t *whole = NULL;
    for (uint32_t at = RAFT_PAYLOAD_BYTES_MAX; at > 0; at -= 256) {
        CHECK(whole == NULL);
        struct wire_fragment fragment = {
            .head = head, .offset = at - 256, .bytes = 256, .data = data + at - 256};
        whole = assembly_add(assembly, &key, &fragment);
    }
    CHECK(whole != NULL && memcmp(whole, data, sizeof(data)) == 0);
    free(assembly);
}

static void an_entry_one_byte_above_the_smallest_fragment(void)
{
    struct prng prng;
    prng_init(&prng, 29);
    struct assembly *assembly = open_assembly(1, 1000);
    struct raft_entry_head head = make_entry(&prng, 0, WIRE_FRAGMENT_BYTES_MIN + 1);
    struct assembly_key key = key_of(0);
    struct wire_fragment parts[2] = {part_of(&head, 0, 0, WIRE_FRAGMENT_BYTES_MIN),
                                     part_of(&head, 0, 1, WIRE_FRAGMENT_BYTES_MIN)};
    CHECK(assembly_add(assembly, &key, &parts[1]) == NULL);
    CHECK(assembly_add(assembly, &key, &parts[0]) != NULL);
    CHECK_EQUAL(counters_of(assembly).refused, 0);
    free(assembly);
}

static void what_is_not_a_fragment_is_refused(void)
{
    struct prng prng;
    prng_init(&prng, 22);
    struct assembly *assembly = open_assembly(2, 1000);
    struct raft_entry_head head = make_entry(&prng, 0, 1000);
    struct assembly_key key = key_of(0);
    static const uint32_t bad[][3] = {
        // offset, bytes, of the entry
        {0, 0, 1000},     {0, 1001, 1000},  {1, 1000, 1000},       {1000, 1, 1000},
        {0, 255, 1000},   {100, 300, 1000}, {UINT32_MAX, 1, 1000}, {0, UINT32_MAX, 1000},
        {744, 300, 1000}, {256, 744, 1000}, {255, 1, 256},         {0, 256, 1001},
        {0, 0, 0},        {1000, 1, 1001},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct wire_fragment fragment = {
            .head = head, .offset = bad[i][0], .bytes = bad[i][1], .data = source_data[0]};
        fragment.head.bytes = bad[i][2];
        CHECK(assembly_add(assembly, &key, &fragment) == NULL);
        CHECK_EQUAL(counters_of(assembly).refused, i + 1);
    }
    struct wire_fragment noop = part_of(&head, 0, 0, 500);
    noop.head.kind = RAFT_ENTRY_NOOP;
    CHECK(assembly_add(assembly, &key, &noop) == NULL);
    CHECK_EQUAL(counters_of(assembly).refused, sizeof(bad) / sizeof(bad[0]) + 1);
    CHECK_EQUAL(counters_of(assembly).given_up, 0);
    free(assembly);
}

static void a_contradiction_does_not_disturb(void)
{
    struct prng prng;
    prng_init(&prng, 23);
    struct assembly *assembly = open_assembly(2, PAYLOAD_BYTES_MAX);
    struct raft_entry_head head = make_entry(&prng, 0, 3000);
    struct assembly_key key = key_of(0);
    struct wire_fragment good[3] = {part_of(&head, 0, 0, 1000), part_of(&head, 0, 1, 1000),
                                    part_of(&head, 0, 2, 1000)};
    struct wire_fragment other_size = part_of(&head, 0, 1, 1500);
    struct wire_fragment other_last = part_of(&head, 0, 5, 512);
    struct wire_fragment other_client = good[1];
    struct wire_fragment other_total = good[1];
    struct wire_fragment other_crc = good[1];
    other_client.head.client++;
    other_total.head.bytes++;
    other_crc.head.crc++;
    CHECK(assembly_add(assembly, &key, &good[0]) == NULL);
    CHECK(assembly_add(assembly, &key, &other_size) == NULL);
    CHECK(assembly_add(assembly, &key, &other_last) == NULL);
    CHECK(assembly_add(assembly, &key, &other_client) == NULL);
    CHECK(assembly_add(assembly, &key, &other_total) == NULL);
    CHECK(assembly_add(assembly, &key, &other_crc) == NULL);
    CHECK_EQUAL(counters_of(assembly).refused, 5);
    CHECK(assembly_add(assembly, &key, &good[2]) == NULL);
    CHECK(assembly_add(assembly, &key, &good[1]) != NULL);
    // The same entry under another source or group is another one.
    struct assembly_key other_source = key;
    other_source.source++;
    CHECK(assembly_add(assembly, &other_source, &other_size) == NULL);
    CHECK_EQUAL(counters_of(assembly).refused, 5);
    free(assembly);
}

static void the_last_fragment_first_fixes_the_size(void)
{
    struct prng prng;
    prng_init(&prng, 24);
    struct assembly *assembly = open_assembly(1, PAYLOAD_BYTES_MAX);
    struct raft_entry_head head = make_entry(&prng, 0, 3100);
    struct assembly_key key = key_of(0);
    struct wire_fragment last = part_of(&head, 0, 3, 1000);
    struct wire_fragment wrong = part_of(&head, 0, 0, 1024);
    struct wire_fragment other_last = part_of(&head, 0, 3, 1024);
    CHECK(assembly_add(assembly, &key, &last) == NULL);
    CHECK(assembly_add(assembly, &key, &last) == NULL);
    CHECK_EQUAL(counters_of(assembly).duplicates, 1);
    CHECK(assembly_add(assembly, &key, &wrong) == NULL);
    CHECK(assembly_add(assembly, &key, &other_last) == NULL);
    CHECK_EQUAL(counters_of(assembly).refused, 2);
    for (uint32_t part = 0; part < 2; part++) {
        struct wire_fragment fragment = part_of(&head, 0, part, 1000);
        CHECK(assembly_add(assembly, &key, &fragment) == NULL);
    }
    CHECK(assembly_add(assembly, &key, &last) == NULL);
    CHECK_EQUAL(counters_of(assembly).duplicates, 2);
    struct wire_fragment fragment = part_of(&head, 0, 2, 1000);
    const uint8_t *whole = assembly_add(assembly, &key, &fragment);
    CHECK(whole != NULL && memcmp(whole, source_data[0], head.bytes) == 0);
    free(assembly);
}

static void another_frame_size_takes_over_in_the_end(void)
{
    struct prng prng;
    prng_init(&prng, 25);
    struct assembly *assembly = open_assembly(4, PAYLOAD_BYTES_MAX);
    struct raft_entry_head head = make_entry(&prng, 0, 3000);
    struct assembly_key key = key_of(0);
    struct wire_fragment first = part_of(&head, 0, 0, 1000);
    struct wire_fragment other[2] = {part_of(&head, 0, 0, 1500), part_of(&head, 0, 1, 1500)};
    CHECK(assembly_add(assembly, &key, &first) == NULL);
    for (uint32_t i = 1; i < ASSEMBLY_REFUSALS_MAX; i++) {
        CHECK(assembly_add(assembly, &key, &other[0]) == NULL);
        CHECK_EQUAL(counters_of(assembly).refused, i);
    }
    CHECK(assembly_add(assembly, &key, &other[0]) == NULL);
    CHECK_EQUAL(counters_of(assembly).given_up, 1);
    const uint8_t *whole = assembly_add(assembly, &key, &other[1]);
    CHECK(whole != NULL && memcmp(whole, source_data[0], head.bytes) == 0);
    // What gets on is not given up, however much contradicts it between.
    assembly_done(assembly, &key);
    for (uint32_t part = 0; part < 3; part++) {
        struct wire_fragment fragment = part_of(&head, 0, part, 1000);
        whole = assembly_add(assembly, &key, &fragment);
        for (uint32_t i = 1; part < 2 && i < ASSEMBLY_REFUSALS_MAX; i++) {
            CHECK(assembly_add(assembly, &key, &other[0]) == NULL);
        }
    }
    CHECK(whole != NULL);
    CHECK_EQUAL(counters_of(assembly).given_up, 1);
    free(assembly);
}

static void a_wrong_whole_is_dropped_and_can_come_again(void)
{
    struct prng prng;
    prng_init(&prng, 26);
    struct assembly *assembly = open_assembly(1, PAYLOAD_BYTES_MAX);
    struct raft_entry_head head = make_entry(&prng, 0, 900);
    struct assembly_key key = key_of(0);
    struct wire_fragment parts[2] = {part_of(&head, 0, 0, 500), part_of(&head, 0, 1, 500)};
    source_data[0][700] ^= 1;
    CHECK(assembly_add(assembly, &key, &parts[0]) == NULL);
    CHECK(assembly_add(assembly, &key, &parts[1]) == NULL);
    CHECK_EQUAL(counters_of(assembly).bad_checksum, 1);
    source_data[0][700] ^= 1;
    CHECK(assembly_add(assembly, &key, &parts[1]) == NULL);
    CHECK(assembly_add(assembly, &key, &parts[0]) != NULL);
    CHECK_EQUAL(counters_of(assembly).completed, 1);
    free(assembly);
}

static void the_least_recently_touched_makes_room(void)
{
    struct prng prng;
    prng_init(&prng, 27);
    struct assembly *assembly = open_assembly(3, PAYLOAD_BYTES_MAX);
    struct raft_entry_head heads[4];
    struct assembly_key keys[4];
    for (uint32_t i = 0; i < 4; i++) {
        heads[i] = make_entry(&prng, i, 3000);
        keys[i] = key_of(i);
    }
    for (uint32_t i = 0; i < 3; i++) {
        struct wire_fragment first = part_of(&heads[i], i, 0, 1000);
        CHECK(assembly_add(assembly, &keys[i], &first) == NULL);
    }
    struct wire_fragment second = part_of(&heads[0], 0, 1, 1000);
    CHECK(assembly_add(assembly, &keys[0], &second) == NULL);
    struct wire_fragment fourth = part_of(&heads[3], 3, 0, 1000);
    CHECK(assembly_add(assembly, &keys[3], &fourth) == NULL); // in place of entry 1
    CHECK_EQUAL(counters_of(assembly).given_up, 1);
    struct wire_fragment third = part_of(&heads[0], 0, 2, 1000);
    CHECK(assembly_add(assembly, &keys[0], &third) != NULL);
    assembly_done(assembly, &keys[0]);
    for (uint32_t part = 1; part < 3; part++) {
        struct wire_fragment fragment = part_of(&heads[2], 2, part, 1000);
        CHECK_EQUAL(assembly_add(assembly, &keys[2], &fragment) != NULL, part == 2);
    }
    for (uint32_t part = 1; part < 3; part++) {
        struct wire_fragment fragment = part_of(&heads[1], 1, part, 1000);
        CHECK(assembly_add(assembly, &keys[1], &fragment) == NULL); // its first part is gone
    }
    CHECK_EQUAL(counters_of(assembly).given_up, 1); // entry 0 had been let go of
    free(assembly);
}

static void letting_go_of_nothing_is_harmless(void)
{
    struct assembly *assembly = open_assembly(2, 1000);
    struct assembly_key key = key_of(0);
    assembly_done(assembly, &key);
    CHECK_EQUAL(counters_of(assembly).completed, 0);
    free(assembly);
}

// --- the slow twin: no bitmaps, no slots; a list of what has come for each entry

struct twin_entry {
    bool is_open, is_whole;
    struct raft_entry_head head;
    uint32_t part_bytes;         // 0: not known
    bool has[PAYLOAD_BYTES_MAX]; // by byte
    uint64_t touched;
    uint32_t refusals;
};

static struct twin_entry twin[TWIN_KEYS];
static struct assembly_counters twin_counters;
static uint64_t twin_clock;

static void twin_begin(struct twin_entry *entry, const struct wire_fragment *fragment)
{
    memset(entry, 0, sizeof(*entry));
    entry->is_open = true;
    entry->head = fragment->head;
}

static uint32_t twin_missing(const struct twin_entry *entry)
{
    uint32_t missing = 0;
    for (uint32_t i = 0; i < entry->head.bytes; i++) {
        missing += !entry->has[i];
    }
    return missing;
}

// Whether cutting the entry by `part_bytes` gives exactly this fragment.
static bool twin_cut_gives(uint32_t total, uint32_t part_bytes, uint32_t offset, uint32_t bytes)
{
    uint32_t left = total - offset;
    return offset % part_bytes == 0 && bytes == (left < part_bytes ? left : part_bytes);
}

// With the size unknown, only the last fragment can be there: where it begins.
static uint32_t twin_last_offset(const struct twin_entry *entry)
{
    uint32_t offset = 0;
    while (!entry->has[offset]) {
        offset++;
    }
    return offset;
}

static bool twin_agrees(const struct twin_entry *entry, const struct wire_fragment *fragment)
{
    uint32_t total = entry->head.bytes;
    if (entry->head.crc != fragment->head.crc || entry->head.client != fragment->head.client ||
        total != fragment->head.bytes) {
        return false;
    }
    if (entry->part_bytes != 0) {
        return twin_cut_gives(total, entry->part_bytes, fragment->offset, fragment->bytes);
    }
    if (twin_missing(entry) == total) {
        return true;
    }
    uint32_t last = twin_last_offset(entry);
    return fragment->offset == last
               ? fragment->offset + fragment->bytes == total
               : fragment->offset + fragment->bytes < total &&
                     twin_cut_gives(total, fragment->bytes, last, total - last);
}

// Makes room for one more when `buffers` are open.
static void twin_evict(uint32_t buffers)
{
    struct twin_entry *oldest = NULL;
    uint32_t open = 0;
    for (uint32_t i = 0; i < TWIN_KEYS; i++) {
        open += twin[i].is_open;
        if (twin[i].is_open && (oldest == NULL || twin[i].touched < oldest->touched)) {
            oldest = &twin[i];
        }
    }
    if (open == buffers) {
        oldest->is_open = false;
        twin_counters.given_up++;
    }
}

// True when the fragment completes entry `i`.
static bool twin_add(uint32_t i, uint32_t buffers, const struct wire_fragment *fragment,
                     bool is_data_right)
{
    struct twin_entry *entry = &twin[i];
    if (!entry->is_open) {
        twin_evict(buffers);
        twin_begin(entry, fragment);
    } else if (!twin_agrees(entry, fragment)) {
        if (++entry->refusals < ASSEMBLY_REFUSALS_MAX) {
            twin_counters.refused++;
            return false;
        }
        twin_counters.given_up++;
        twin_begin(entry, fragment);
    }
    if (entry->is_whole || entry->has[fragment->offset]) {
        twin_counters.duplicates++;
        return false;
    }
    for (uint32_t at = 0; at < fragment->bytes; at++) {
        entry->has[fragment->offset + at] = true;
    }
    if (fragment->offset + fragment->bytes < entry->head.bytes || fragment->offset == 0) {
        entry->part_bytes = fragment->bytes;
    }
    entry->refusals = 0;
    entry->touched = ++twin_clock;
    if (twin_missing(entry) > 0) {
        return false;
    }
    if (!is_data_right) {
        entry->is_open = false;
        twin_counters.bad_checksum++;
        return false;
    }
    entry->is_whole = true;
    twin_counters.completed++;
    return true;
}

static void check_counters(const struct assembly *assembly)
{
    struct assembly_counters counters = counters_of(assembly);
    CHECK_EQUAL(counters.completed, twin_counters.completed);
    CHECK_EQUAL(counters.refused, twin_counters.refused);
    CHECK_EQUAL(counters.given_up, twin_counters.given_up);
    CHECK_EQUAL(counters.bad_checksum, twin_counters.bad_checksum);
    CHECK_EQUAL(counters.duplicates, twin_counters.duplicates);
}

// Random fragments of many entries, of two frame sizes, some with a wrong head, some entries with a
// wrong checksum.
static void behaves_as_its_slow_twin(void)
{
    enum { BUFFERS = 6 };
    static struct raft_entry_head heads[TWIN_KEYS];
    static const uint32_t part_sizes[] = {256, 300, 1000, 1500};
    struct prng prng;
    prng_init(&prng, 28);
    struct assembly *assembly = open_assembly(BUFFERS, PAYLOAD_BYTES_MAX);
    memset(twin, 0, sizeof(twin));
    memset(&twin_counters, 0, sizeof(twin_counters));
    for (uint32_t i = 0; i < TWIN_KEYS; i++) {
        uint32_t bytes = (uint32_t)prng_between(&prng, 1, i % 3 == 0 ? PAYLOAD_BYTES_MAX : 4000);
        heads[i] = make_entry(&prng, i, bytes);
        heads[i].crc ^= i % 5 == 4;
    }
    for (uint32_t round = 0; round < 60000; round++) {
        // A few entries at a time, else none is ever complete.
        uint32_t i = (uint32_t)((round / 2000 * 3 + prng_below(&prng, 8)) % TWIN_KEYS);
        struct assembly_key key = key_of(i);
        uint32_t part_bytes = part_sizes[prng_chance(&prng, 1, 30) ? prng_below(&prng, 4) : i % 4];
        uint32_t parts = parts_in(heads[i].bytes, part_bytes);
        struct wire_fragment fragment =
            part_of(&heads[i], i, (uint32_t)prng_below(&prng, parts), part_bytes);
        if (prng_chance(&prng, 1, 100)) {
            fragment.head.crc ^= 0x100;
        }
        bool was_open = twin[i].is_open;
        bool is_right = (was_open ? twin[i].head.crc : fragment.head.crc) ==
                        wire_entry_crc(&heads[i], source_data[i]);
        if (!wire_fragment_is_valid(&fragment)) {
            twin_counters.refused++;
            CHECK(assembly_add(assembly, &key, &fragment) == NULL);
        } else {
            uint64_t given_up = twin_counters.given_up;
            // A takeover brings its own checksum: known only after the twin judged.
            bool may_take_over = was_open && twin[i].refusals + 1 == ASSEMBLY_REFUSALS_MAX;
            bool is_alone_right = fragment.head.crc == wire_entry_crc(&heads[i], source_data[i]);
            bool takes_over = may_take_over && !twin_agrees(&twin[i], &fragment);
            bool want = twin_add(i, BUFFERS, &fragment, takes_over ? is_alone_right : is_right);
            const uint8_t *whole = assembly_add(assembly, &key, &fragment);
            CHECK_EQUAL(whole != NULL, want);
            CHECK(whole == NULL || memcmp(whole, source_data[i], heads[i].bytes) == 0);
            CHECK(twin_counters.given_up <= given_up + 1);
        }
        check_counters(assembly);
        if (twin[i].is_whole && prng_chance(&prng, 1, 2)) {
            assembly_done(assembly, &key);
            memset(&twin[i], 0, sizeof(twin[i]));
        }
    }
    CHECK(twin_counters.completed > 500);
    CHECK(twin_counters.refused > 500);
    CHECK(twin_counters.given_up > 100);
    CHECK(twin_counters.bad_checksum > 100);
    CHECK(twin_counters.duplicates > 500);
    free(assembly);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(entries_of_every_size_come_together_in_any_order),
        TEST(the_largest_entry_in_the_smallest_fragments),
        TEST(an_entry_one_byte_above_the_smallest_fragment),
        TEST(what_is_not_a_fragment_is_refused),
        TEST(a_contradiction_does_not_disturb),
        TEST(the_last_fragment_first_fixes_the_size),
        TEST(another_frame_size_takes_over_in_the_end),
        TEST(a_wrong_whole_is_dropped_and_can_come_again),
        TEST(the_least_recently_touched_makes_room),
        TEST(letting_go_of_nothing_is_harmless),
        TEST(behaves_as_its_slow_twin),
    };
    return test_run("wire assembly", cases, TEST_COUNT(cases), argc, argv);
}
