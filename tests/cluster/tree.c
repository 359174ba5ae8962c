#include "tests/cluster/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/prng.h"
#include "tests/harness/harness.h"

enum { FOLDERS = 7, SMALL_BYTES = 300 };

static void write_file(const char *path, uint32_t bytes, struct prng *prng)
{
    uint8_t *data = malloc(bytes + 8);
    CHECK(data != NULL);
    for (uint32_t at = 0; at < bytes; at += 8) {
        uint64_t word = prng_next(prng);
        memcpy(data + at, &word, sizeof(word));
    }
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    CHECK_EQUAL(fwrite(data, 1, bytes, file), bytes);
    CHECK_EQUAL(fclose(file), 0);
    free(data);
}

static uint32_t size_of(uint32_t number, uint32_t bytes_max, struct prng *prng)
{
    switch (number) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return bytes_max;
    default:
        return (uint32_t)prng_below(prng, prng_chance(prng, 1, 8) ? bytes_max / 16 : SMALL_BYTES);
    }
}

void tree_make(const char *path, uint32_t files, uint32_t bytes_max, uint64_t seed)
{
    char name[512];
    struct prng prng;
    prng_init(&prng, seed);
    CHECK_EQUAL(mkdir(path, 0700), 0);
    for (uint32_t folder = 0; folder < FOLDERS; folder++) {
        snprintf(name, sizeof(name), "%s/folder %u", path, folder);
        CHECK_EQUAL(mkdir(name, 0700), 0);
    }
    for (uint32_t number = 0; number < files; number++) {
        snprintf(name, sizeof(name), "%s/folder %u/file-%u.txt", path, number % FOLDERS, number);
        write_file(name, size_of(number, bytes_max, &prng), &prng);
    }
}
