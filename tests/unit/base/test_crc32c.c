// CRC32C against published vectors and a bitwise twin: the instruction path (through crc32c) and
// the tables.
#include "tests/harness/harness.h"

#include "engine/base/crc32c.h"
#include "engine/base/crc32c_tables.h"

#include <string.h>

enum { BUFFER_BYTES = 16384 };

static uint8_t buffer[BUFFER_BYTES];

static uint32_t bitwise_advance(uint32_t state, uint8_t byte)
{
    state ^= byte;
    for (int bit = 0; bit < 8; bit++) {
        state = (state >> 1) ^ (0x82F63B78u & (0u - (state & 1)));
    }
    return state;
}

static void fill_buffer(void)
{
    uint32_t state = 12345;
    for (size_t i = 0; i < BUFFER_BYTES; i++) {
        state = state * 1664525u + 1013904223u;
        buffer[i] = (uint8_t)(state >> 24);
    }
}

// RFC 3720 appendix B.4.
static void matches_published_vectors(void)
{
    uint8_t zeros[32] = {0}, ones[32], rising[32], falling[32];
    memset(ones, 0xFF, sizeof(ones));
    for (uint8_t i = 0; i < 32; i++) {
        rising[i] = i;
        falling[i] = (uint8_t)(31 - i);
    }
    static const uint8_t read_command[48] = {
        0x01, 0xC0, 0, 0, 0, 0, 0,    0, 0,    0, 0, 0,    0, 0, 0, 0,
        0x14, 0,    0, 0, 0, 0, 0x04, 0, 0,    0, 0, 0x14, 0, 0, 0, 0x18,
        0x28, 0,    0, 0, 0, 0, 0,    0, 0x02, 0, 0, 0,    0, 0, 0, 0};
    const struct {
        const void *data;
        size_t bytes;
        uint32_t crc;
    } vectors[] = {{zeros, 32, 0x8A9136AA},
                   {ones, 32, 0x62A8AB43},
                   {rising, 32, 0x46DD794E},
                   {falling, 32, 0x113FDB5C},
                   {read_command, 48, 0xD9963A56},
                   {"123456789", 9, 0xE3069283},
                   {"", 0, 0}};
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        CHECK_EQUAL(crc32c(0, vectors[i].data, vectors[i].bytes), vectors[i].crc);
        CHECK_EQUAL(crc32c_by_tables(0, vectors[i].data, vectors[i].bytes), vectors[i].crc);
    }
}

// Every length up to three full lanes and the start of a second round, at every alignment of a
// word.
static void matches_twin_at_all_lengths_and_alignments(void)
{
    fill_buffer();
    for (size_t start = 0; start < 8; start++) {
        uint32_t twin = ~0u;
        for (size_t bytes = 0; bytes < 5200; bytes++) {
            CHECK_EQUAL(crc32c(0, buffer + start, bytes), ~twin);
            if (bytes < 600) {
                CHECK_EQUAL(crc32c_by_tables(0, buffer + start, bytes), ~twin);
            }
            twin = bitwise_advance(twin, buffer[start + bytes]);
        }
    }
}

// A record is its head, byte by byte, then its data.
static void record_matches_two_calls(void)
{
    fill_buffer();
    for (size_t bytes = 0; bytes < 700; bytes++) {
        uint64_t first, second;
        uint32_t third;
        memcpy(&first, buffer + bytes, 8);
        memcpy(&second, buffer + bytes + 8, 8);
        memcpy(&third, buffer + bytes + 16, 4);
        uint8_t fourth = buffer[bytes + 20];
        const uint8_t *data = buffer + 1000 + bytes % 8;
        uint32_t twin = crc32c(crc32c(0, buffer + bytes, CRC32C_HEAD_BYTES), data, bytes);
        CHECK_EQUAL(crc32c_record(first, second, third, fourth, data, bytes), twin);
        CHECK_EQUAL(crc32c_record_by_tables(first, second, third, fourth, data, bytes), twin);
    }
}

static void matches_twin_on_long_buffers(void)
{
    fill_buffer();
    uint32_t twin = ~0u;
    for (size_t i = 0; i < BUFFER_BYTES; i++) {
        twin = bitwise_advance(twin, buffer[i]);
    }
    CHECK_EQUAL(crc32c(0, buffer, BUFFER_BYTES), ~twin);
    CHECK_EQUAL(crc32c_by_tables(0, buffer, BUFFER_BYTES), ~twin);
}

static void continues_over_any_split(void)
{
    fill_buffer();
    enum { BYTES = 900 };
    uint32_t whole = crc32c(0, buffer, BYTES);
    for (size_t split = 0; split <= BYTES; split++) {
        CHECK_EQUAL(crc32c(crc32c(0, buffer, split), buffer + split, BYTES - split), whole);
        uint32_t tables = crc32c_by_tables(0, buffer, split);
        CHECK_EQUAL(crc32c_by_tables(tables, buffer + split, BYTES - split), whole);
    }
}

static void notices_every_flipped_bit(void)
{
    fill_buffer();
    enum { BYTES = 400 };
    uint32_t whole = crc32c(0, buffer, BYTES);
    for (size_t bit = 0; bit < 8 * BYTES; bit++) {
        buffer[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        CHECK(crc32c(0, buffer, BYTES) != whole);
        buffer[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(matches_published_vectors),    TEST(matches_twin_at_all_lengths_and_alignments),
        TEST(matches_twin_on_long_buffers), TEST(continues_over_any_split),
        TEST(notices_every_flipped_bit),    TEST(record_matches_two_calls),
    };
    return test_run("base crc32c", cases, TEST_COUNT(cases), argc, argv);
}
