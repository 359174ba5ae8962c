// Histories as memory and as text: what is written reads back the same, what is wrong is refused
// with its line and cause, and files of clients that ran together merge by time.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/prng.h"
#include "tests/harness/harness.h"
#include "tests/sim/linear.h"

static struct history history, copy;

static void one_line_an_event(void)
{
    static const char expected[] =
        "{\"event\":\"call\",\"id\":0,\"time\":10,\"client\":3,\"op\":\"put\",\"key\":\"1f\","
        "\"value\":\"a\"}\n"
        "{\"event\":\"call\",\"id\":1,\"time\":11,\"client\":4,\"op\":\"get\",\"key\":\"1f\"}\n"
        "{\"event\":\"return\",\"id\":0,\"time\":12,\"result\":\"ok\"}\n"
        "{\"event\":\"return\",\"id\":1,\"time\":12,\"result\":\"ok\",\"value\":null}\n"
        "{\"event\":\"call\",\"id\":2,\"time\":13,\"client\":3,\"op\":\"cas\",\"key\":\"1f\","
        "\"expected\":null,"
        "\"value\":\"ffffffffffffffff\"}\n"
        "{\"event\":\"return\",\"id\":2,\"time\":14,\"result\":\"mismatch\"}\n"
        "{\"event\":\"call\",\"id\":3,\"time\":15,\"client\":3,\"op\":\"delete\",\"key\":\"1f\"}\n";
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    history_reset(&history);
    uint32_t put = history_call(&history, 3, 10, HISTORY_PUT, 0x1f, 10, 0);
    uint32_t get = history_call(&history, 4, 11, HISTORY_GET, 0x1f, 0, 0);
    history_return(&history, put, 12, HISTORY_OK, 0);
    history_return(&history, get, 12, HISTORY_OK, 0);
    uint32_t swap = history_call(&history, 3, 13, HISTORY_SWAP, 0x1f, UINT64_MAX, 0);
    history_return(&history, swap, 14, HISTORY_MISMATCH, 0);
    history_call(&history, 3, 15, HISTORY_DELETE, 0x1f, 0, 0);
    CHECK_EQUAL(history_write(&history, file), 0);
    fclose(file);
    CHECK_TEXT(text, expected);
    free(text);
}

static void make_random(struct prng *prng, uint32_t events)
{
    uint64_t now_ns = 0;
    history_reset(&history);
    for (uint32_t at = 0; at < events; at++) {
        now_ns += prng_below(prng, 3);
        uint32_t id = history.count == 0 ? 0 : (uint32_t)prng_below(prng, history.count);
        if (history.count == 0 || history.ops[id].outcome != HISTORY_OPEN) {
            enum history_operation operation = (enum history_operation)prng_below(prng, 4);
            bool is_write = operation == HISTORY_PUT || operation == HISTORY_SWAP;
            history_call(&history, (uint32_t)prng_next(prng), now_ns, operation, prng_next(prng),
                         is_write ? prng_next(prng) | 1 : 0,
                         operation == HISTORY_SWAP ? prng_below(prng, 2) : 0);
        } else {
            history_return(&history, id, now_ns,
                           (enum history_outcome)prng_below(prng, HISTORY_OPEN),
                           prng_below(prng, 2));
        }
    }
}

static void what_is_written_reads_back(void)
{
    char reason[256];
    struct prng prng;
    prng_init(&prng, 5);
    for (int round = 0; round < 50; round++) {
        FILE *file = tmpfile();
        CHECK(file != NULL);
        make_random(&prng, 300);
        CHECK_EQUAL(history_write(&history, file), 0);
        rewind(file);
        history_reset(&copy);
        CHECK_EQUAL(history_read(&copy, file, reason, sizeof(reason)), 0);
        CHECK_EQUAL(copy.count, history.count);
        CHECK_EQUAL(copy.events, history.events);
        for (uint32_t id = 0; id < copy.count; id++) {
            const struct history_op *left = &copy.ops[id], *right = &history.ops[id];
            CHECK(left->key == right->key && left->value == right->value &&
                  left->expected == right->expected && left->client == right->client &&
                  left->call_ns == right->call_ns && left->return_ns == right->return_ns &&
                  left->called == right->called && left->returned == right->returned &&
                  left->operation == right->operation && left->outcome == right->outcome);
        }
        fclose(file);
    }
}

static const char *read_text(const char *text)
{
    static char reason[256];
    FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    CHECK(file != NULL);
    snprintf(reason, sizeof(reason), "no reason");
    history_reset(&copy);
    int error = history_read(&copy, file, reason, sizeof(reason));
    fclose(file);
    CHECK(error == 0 || error == -EINVAL);
    return error == 0 ? "accepted" : reason;
}

#define CALL "{\"event\":\"call\",\"id\":0,\"time\":5,\"client\":1,\"op\":"
#define PUT CALL "\"put\",\"key\":\"1\",\"value\":\"a\"}\n"
#define GET "{\"event\":\"call\",\"id\":1,\"time\":5,\"client\":1,\"op\":\"get\",\"key\":\"1\"}\n"
#define RETURN "{\"event\":\"return\",\"id\":0,\"time\":6,\"result\":"

static void what_is_wrong_is_refused(void)
{
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {PUT RETURN "\"ok\"}\n", "accepted"},
        {PUT RETURN "\"ok\"}", "accepted"},
        {"\n", "line 1: not JSON: '[' or '{' expected near end of file"},
        {"[]\n", "line 1: not an object"},
        {PUT "{\"event\":\"ret", "line 2: not JSON: premature end of input near '\"ret'"},
        {PUT PUT, "line 2: operation 0 was called before"},
        {GET RETURN "\"ok\"}\n", "line 2: operation 0 was not called"},
        {PUT RETURN "\"ok\"}\n" RETURN "\"ok\"}\n", "line 3: operation 0 has returned before"},
        {"{\"event\":\"call\",\"id\":0,\"time\":5,\"id\":0}\n",
         "line 1: not JSON: duplicate object key near '\"id\"'"},
        {"{\"id\":0,\"time\":5}\n", "line 1: \"event\" must be call or return"},
        {"{\"event\":\"call\",\"time\":5}\n",
         "line 1: \"id\" must be a number from 0 to 9223372036854775807"},
        {"{\"event\":\"call\",\"id\":-1,\"time\":5}\n",
         "line 1: \"id\" must be a number from 0 to 9223372036854775807"},
        {"{\"event\":\"call\",\"id\":0,\"time\":5.0}\n",
         "line 1: \"time\" must be a number from 0 to 9223372036854775807"},
        {PUT "{\"event\":\"return\",\"id\":0,\"time\":4,\"result\":\"ok\"}\n",
         "line 2: \"time\" is before that of the line before"},
        {CALL "\"append\",\"key\":\"1\"}\n", "line 1: \"op\" must be get, put, delete or cas"},
        {CALL "\"get\"}\n",
         "line 1: \"key\" must be a string of 1 to 16 lower-case hexadecimal digits"},
        {CALL "\"get\",\"key\":\"A\"}\n",
         "line 1: \"key\" must be a string of 1 to 16 lower-case hexadecimal digits"},
        {CALL "\"get\",\"key\":\"00000000000000001\"}\n",
         "line 1: \"key\" must be a string of 1 to 16 lower-case hexadecimal digits"},
        {CALL "\"get\",\"key\":1}\n",
         "line 1: \"key\" must be a string of 1 to 16 lower-case hexadecimal digits"},
        {CALL "\"get\",\"key\":\"1\",\"value\":\"a\"}\n", "line 1: \"value\" does not belong here"},
        {CALL "\"put\",\"key\":\"1\",\"value\":null}\n",
         "line 1: \"value\" must be a string of 1 to 16 lower-case hexadecimal digits"},
        {CALL "\"put\",\"key\":\"1\",\"value\":\"0\"}\n", "line 1: \"value\" must not be 0"},
        {CALL "\"cas\",\"key\":\"1\",\"value\":\"a\"}\n",
         "line 1: \"expected\" must be a string of 1 to 16 lower-case hexadecimal digits"},
        {PUT "{\"event\":\"call\",\"id\":1,\"time\":5,\"client\":1,\"op\":\"put\",\"key\":\"2\","
             "\"value\":\"a\"}",
         "line 2: value a is written a second time"},
        {PUT RETURN "\"open\"}\n",
         "line 2: \"result\" must be ok, not_found, mismatch, full, failed, "
         "expired or unknown"},
        {PUT RETURN "\"ok\",\"value\":\"a\"}\n", "line 2: \"value\" does not belong here"},
        {CALL "\"get\",\"key\":\"1\"}\n" RETURN "\"ok\"}\n",
         "line 2: \"value\" must be a string of 1 to 16 lower-case hexadecimal digits"},
    };
    for (size_t at = 0; at < TEST_COUNT(cases); at++) {
        CHECK_TEXT(read_text(cases[at].text), cases[at].reason);
    }
}

// Two files: each alone is linearizable or not as it happens; together, by their times, they are
// one history.
static void files_merge_by_time(void)
{
    static const char writer[] = "{\"event\":\"call\",\"id\":0,\"time\":5,\"client\":1,\"op\":"
                                 "\"put\",\"key\":\"1\",\"value\":\"a\"}\n"
                                 "{\"event\":\"return\",\"id\":0,\"time\":8,\"result\":\"ok\"}\n";
    static const char reader[] =
        "{\"event\":\"call\",\"id\":0,\"time\":8,\"client\":2,\"op\":\"get\",\"key\":\"1\"}\n"
        "{\"event\":\"return\",\"id\":0,\"time\":9,\"result\":\"ok\",\"value\":null}\n";
    struct linear *linear = linear_open(LINEAR_BUDGET);
    struct linear_result result;
    char reason[256];
    for (int late = 0; late <= 1; late++) {
        history_reset(&history);
        for (int which = 0; which < 2; which++) {
            const char *text = which == 0 ? reader : writer;
            FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
            CHECK_EQUAL(history_read(&history, file, reason, sizeof(reason)), 0);
            fclose(file);
        }
        history.ops[0].call_ns += (uint64_t)late; // no longer at the same time: after the put
        CHECK(history_merge(&history));
        CHECK_EQUAL(history.ops[0].client, 1);
        CHECK_EQUAL(history.ops[1].called, late == 0 ? 1 : 2);
        linear_judge(linear, &history, &result);
        CHECK_EQUAL(result.verdict, late == 0 ? LINEAR : LINEAR_VIOLATION);
    }
    linear_close(linear);
}

static void a_token_in_two_files_is_refused(void)
{
    char reason[256];
    history_reset(&history);
    for (int which = 0; which < 2; which++) {
        FILE *file = fmemopen((void *)(uintptr_t)PUT, strlen(PUT), "r");
        int error = history_read(&history, file, reason, sizeof(reason));
        fclose(file);
        CHECK_EQUAL(-error, which == 0 ? 0 : EINVAL);
    }
    CHECK_TEXT(reason, "line 1: value a is written a second time");
}

// Reused without freeing, and no limit but memory.
static void grows_and_is_reused(void)
{
    history_reset(&history);
    for (uint64_t at = 1; at <= 100000; at++) {
        uint32_t id = history_call(&history, 1, at, HISTORY_PUT, at % 7, at, 0);
        history_return(&history, id, at, HISTORY_OK, 0);
    }
    const struct history_op *ops = history.ops;
    CHECK_EQUAL(history.count, 100000);
    CHECK_EQUAL(history.events, 200000);
    history_reset(&history);
    CHECK_EQUAL(history_call(&history, 1, 1, HISTORY_GET, 1, 0, 0), 0);
    CHECK(history.ops == ops);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(one_line_an_event),
        TEST(what_is_written_reads_back),
        TEST(what_is_wrong_is_refused),
        TEST(files_merge_by_time),
        TEST(a_token_in_two_files_is_refused),
        TEST(grows_and_is_reused),
    };
    history_init(&history);
    history_init(&copy);
    int status = test_run("sim history", cases, TEST_COUNT(cases), argc, argv);
    history_fini(&history);
    history_fini(&copy);
    return status;
}
