// One client of a history load (history_load.h), a process of its own: does what its seed says to a
// few keys until SIGTERM, then writes what it asked for and was told, and ends with 0. Number of
// the load and place are the seed.
//
//     history_client LINK CLUSTER DIRECTORY PLACE READER LOAD FILE
//
// READER 0: puts, deletes, swaps and reads, wherever the leader is; every command is repeated until
// it is answered. READER n: reads of node n alone, leader or not: whoever answers though it leads
// no longer is found out.
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/history/history.h"
#include "engine/base/prng.h"
#include "tests/cluster/bed.h"
#include "tests/cluster/kv_client.h"

enum {
    KEYS = 12,
    HOT_KEYS = 2, // half of all goes to these
    READ_WAIT_MS = 50,
    ATTEMPT_MS = 40, // a new leader is found while the old one may still think it leads
    PAUSE_US_MAX = 6000,
};

static struct {
    const char *file;
    int place;
    uint16_t reader;
    uint64_t load;
} arguments;

static volatile sig_atomic_t should_stop;
static struct history history;
static struct kv_client client;
static struct prng prng;
static uint64_t last_seen[KEYS]; // what this client last read or wrote

static void stop(int signal)
{
    (void)signal;
    should_stop = 1;
}

static uint64_t choose_key(void)
{
    return prng_below(&prng, prng_chance(&prng, 1, 2) ? HOT_KEYS : KEYS);
}

// Keys of one load: absent at first, as the judge takes them to be.
static void name_key(uint64_t key, char text[static 64])
{
    snprintf(text, 64, "load-%" PRIu64 "-%" PRIu64, arguments.load, key);
}

static enum history_outcome outcome_of(uint32_t result)
{
    switch (result) {
    case KV_OK:
        return HISTORY_OK;
    case KV_NOT_FOUND:
        return HISTORY_NOT_FOUND;
    case KV_MISMATCH:
        return HISTORY_MISMATCH;
    default:
        CHECK_EQUAL(result, KV_FULL);
        return HISTORY_FULL;
    }
}

// A command that is repeated until somebody answers.
static void write_something(uint64_t token)
{
    char key_text[64], value[32], expected[32];
    uint64_t key = choose_key(), kind = prng_below(&prng, 8);
    uint64_t old = last_seen[key];
    uint32_t id, result;
    name_key(key, key_text);
    snprintf(value, sizeof(value), "%" PRIu64, token);
    snprintf(expected, sizeof(expected), "%" PRIu64, old);
    if (kind == 0) {
        id = history_call(&history, (uint32_t)arguments.place, bed_now_ns(), HISTORY_DELETE, key, 0,
                          0);
        result = kv_client_delete(&client, key_text);
        token = 0;
    } else if (kind < 4) {
        id = history_call(&history, (uint32_t)arguments.place, bed_now_ns(), HISTORY_SWAP, key,
                          token, old);
        result = kv_client_swap(&client, key_text, old == 0 ? NULL : expected, value);
    } else {
        id = history_call(&history, (uint32_t)arguments.place, bed_now_ns(), HISTORY_PUT, key,
                          token, 0);
        result = kv_client_put(&client, key_text, value);
    }
    history_return(&history, id, bed_now_ns(), outcome_of(result), 0);
    if (result == KV_OK) {
        last_seen[key] = token;
    }
}

static void read_something(void)
{
    char key_text[64], value[64] = "0";
    uint64_t key = choose_key(), token = 0;
    enum kv_client_answer answer = KV_CLIENT_FOUND;
    name_key(key, key_text);
    uint32_t id =
        history_call(&history, (uint32_t)arguments.place, bed_now_ns(), HISTORY_GET, key, 0, 0);
    if (arguments.reader != 0) {
        answer =
            kv_client_ask(&client, arguments.reader, key_text, READ_WAIT_MS, value, sizeof(value));
    } else if (!kv_client_get(&client, key_text, value, sizeof(value))) {
        answer = KV_CLIENT_ABSENT;
    }
    if (answer == KV_CLIENT_FOUND) {
        token = strtoull(value, NULL, 10);
        CHECK(token != 0);
    }
    history_return(&history, id, bed_now_ns(),
                   answer == KV_CLIENT_NO_ANSWER ? HISTORY_FAILED : HISTORY_OK, token);
    if (answer != KV_CLIENT_NO_ANSWER) {
        last_seen[key] = token;
    }
}

static void save(void)
{
    FILE *file = fopen(arguments.file, "w");
    CHECK(file != NULL);
    CHECK_EQUAL(history_write(&history, file), 0);
    CHECK_EQUAL(fclose(file), 0);
}

static void run(void)
{
    uint64_t next_token = (uint64_t)arguments.place << 32;
    CHECK(kv_client_open(&client, arguments.place));
    client.attempt_ms = ATTEMPT_MS;
    while (!should_stop) {
        if (arguments.reader != 0 || prng_chance(&prng, 2, 5)) {
            read_something();
        } else {
            write_something(++next_token);
        }
        usleep((useconds_t)prng_below(&prng, PAUSE_US_MAX));
    }
    save();
    kv_client_close(&client);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(run)};
    if (argc != 8) {
        fprintf(stderr, "usage: history_client LINK CLUSTER DIRECTORY PLACE READER LOAD FILE\n");
        return 2;
    }
    signal(SIGTERM, stop);
    bed.link = argv[1];
    bed.number = strtoull(argv[2], NULL, 10);
    snprintf(bed.directory, sizeof(bed.directory), "%s", argv[3]);
    arguments.place = atoi(argv[4]);
    arguments.reader = (uint16_t)atoi(argv[5]);
    arguments.load = strtoull(argv[6], NULL, 10);
    arguments.file = argv[7];
    prng_init(&prng, arguments.load * 100 + (uint64_t)arguments.place);
    history_init(&history);
    return test_run("history client", cases, TEST_COUNT(cases), 1, argv);
}
