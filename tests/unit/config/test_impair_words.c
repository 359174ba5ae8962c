// Faults in words: what is understood, what is refused and how, and which rules are left when words
// follow words.
#include "drivers/cli/impair_words.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/wire/wire.h"
#include "tests/harness/harness.h"

enum { REASON_BYTES = 512 };

static char reason[REASON_BYTES];

static void words_are_read(void)
{
    struct impair_words words;
    CHECK_EQUAL(impair_words_read("peer 2 out types=append,snapshot loss_ppm=1000 delay=20us "
                                  "corrupt_ppm=7 clog_ppm=9 clog=1s burst_ppm=3 burst_frames=4",
                                  &words, reason, sizeof(reason)),
                0);
    CHECK(words.out && !words.in);
    CHECK_EQUAL(words.rule.node, 2);
    CHECK_EQUAL(words.rule.types, UINT64_C(1) << RAFT_MSG_APPEND | UINT64_C(1) << WIRE_SNAPSHOT);
    CHECK_EQUAL(words.rule.loss_ppm, 1000);
    CHECK_EQUAL(words.rule.delay_ns, 20000);
    CHECK_EQUAL(words.rule.corrupt_ppm, 7);
    CHECK_EQUAL(words.rule.clog_ppm, 9);
    CHECK_EQUAL(words.rule.clog_ns, 1000000000);
    CHECK_EQUAL(words.rule.burst_ppm, 3);
    CHECK_EQUAL(words.rule.burst_frames, 4);
    CHECK_EQUAL(impair_words_read("cut=true", &words, reason, sizeof(reason)), 0);
    CHECK(words.in && words.out && words.rule.cut);
    CHECK_EQUAL(words.rule.node, 0);
    CHECK_EQUAL(impair_words_read(" peer all\tin clear ", &words, reason, sizeof(reason)), 0);
    CHECK(words.in && !words.out && !words.rule.cut);
}

static void wrong_words_are_refused(void)
{
    static const struct {
        const char *text, *reason; // how it begins
    } cases[] = {
        {"", "nothing is said to happen; give KEY=VALUE, or clear"},
        {"peer 2 out", "nothing is said to happen"},
        {"peer", "peer: \"\" is no node; give its id, or all"},
        {"peer 0 cut=true", "peer: \"0\" is no node"},
        {"peer 65 cut=true", "peer: \"65\" is no node"},
        {"peer 2x cut=true", "peer: \"2x\" is no node"},
        {"sideways cut=true", "\"sideways\" is unknown; give peer N, in, out, both, clear or "},
        {"lose_ppm=3", "\"lose_ppm\" is unknown; "},
        {"node=3", "\"node\" is unknown; "},
        {"at=3", "\"at\" is unknown; "},
        {"loss_ppm=1000001", "loss_ppm: 1000001 is out of range; give 0 to 1000000"},
        {"loss_ppm=", "loss_ppm: \"\" is no number"},
        {"burst_frames=0", "burst_frames: 0 is out of range; give 1 to 10000"},
        {"clog=5", "clog: \"5\" is no duration"},
        {"cut=yes", "cut: \"yes\" is unknown; give true or false"},
        {"types=append,votes", "types: \"votes\" is unknown; give some of pre_vote, "},
        {"types=", "types: \"\" is unknown"},
        {"types=append,", "types: \"\" is unknown"},
        {"clear cut=true", "clear takes no other values"},
    };
    struct impair_words words;
    for (size_t at = 0; at < TEST_COUNT(cases); at++) {
        CHECK_EQUAL(impair_words_read(cases[at].text, &words, reason, sizeof(reason)), -EINVAL);
        reason[strlen(cases[at].reason)] = '\0';
        CHECK_TEXT(reason, cases[at].reason);
    }
    char long_text[2 * IMPAIR_TEXT_BYTES];
    memset(long_text, ' ', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    CHECK_EQUAL(impair_words_read(long_text, &words, reason, sizeof(reason)), -EINVAL);
}

static void say(struct impair_list *list, const char *text)
{
    struct impair_words words;
    CHECK_EQUAL(impair_words_read(text, &words, reason, sizeof(reason)), 0);
    CHECK_EQUAL(impair_words_apply(&words, list, reason, sizeof(reason)), 0);
}

static void check_list(const struct impair_list *list, const char *const *lines, uint32_t count)
{
    char text[IMPAIR_TEXT_BYTES];
    CHECK_EQUAL(list->count, count);
    for (uint32_t at = 0; at < count; at++) {
        impair_words_write(&list->rules[at], text);
        CHECK_TEXT(text, lines[at]);
    }
}

#define CHECK_LIST(list, ...)                                                                      \
    check_list(list, (const char *const[]){__VA_ARGS__},                                           \
               sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void the_latest_words_decide(void)
{
    struct impair_list list = {.count = 0};
    say(&list, "peer 2 loss_ppm=10");
    CHECK_LIST(&list, "peer 2 in loss_ppm=10", "peer 2 out loss_ppm=10");
    say(&list, "peer 2 out delay=1ms jitter=2us"); // replaces: not added up
    CHECK_LIST(&list, "peer 2 out delay=1ms jitter=2us", "peer 2 in loss_ppm=10");
    say(&list, "peer 2 out types=vote,append cut=true"); // some of them: in front
    CHECK_LIST(&list, "peer 2 out types=vote,append cut=true", "peer 2 out delay=1ms jitter=2us",
               "peer 2 in loss_ppm=10");
    say(&list, "peer 2 out types=vote,append,snapshot corrupt_ppm=5"); // covers two types
    CHECK_LIST(&list, "peer 2 out types=vote,append,snapshot corrupt_ppm=5",
               "peer 2 out delay=1ms jitter=2us", "peer 2 in loss_ppm=10");
    say(&list, "peer 3 in clear"); // there was nothing: but something of peer 2 is behind it
    say(&list, "peer 2 in clear");
    CHECK_LIST(&list, "peer 2 in clear", "peer 3 in clear",
               "peer 2 out types=vote,append,snapshot corrupt_ppm=5",
               "peer 2 out delay=1ms jitter=2us");
    say(&list, "out cut=true");                 // all peers
    CHECK_LIST(&list, "peer all out cut=true"); // clears at the end clear nothing
    say(&list, "peer 2 out clear");             // an exception
    CHECK_LIST(&list, "peer 2 out clear", "peer all out cut=true");
    say(&list, "clear");
    CHECK_EQUAL(list.count, 0);
    say(&list, "clear");
    CHECK_EQUAL(list.count, 0);
}

static void a_full_list_stays_as_it_is(void)
{
    struct impair_list list = {.count = 0};
    struct impair_words words;
    char text[IMPAIR_TEXT_BYTES];
    for (unsigned at = 0; at < PONTOON_IMPAIR_MAX / 2; at++) {
        snprintf(text, sizeof(text), "peer %u cut=true", at + 1);
        say(&list, text);
    }
    const struct impair_list before = list;
    CHECK_EQUAL(impair_words_read("peer 60 cut=true", &words, reason, sizeof(reason)), 0);
    CHECK_EQUAL(impair_words_apply(&words, &list, reason, sizeof(reason)), -ENOSPC);
    CHECK(strstr(reason, "clear some") != NULL);
    CHECK(memcmp(&before, &list, sizeof(list)) == 0);
    say(&list, "loss_ppm=5");
    CHECK_EQUAL(list.count, 2);
}

// What is shown can be said again.
static void what_is_written_reads_back(void)
{
    static const char *const texts[] = {
        "peer 7 in loss_ppm=1 burst_ppm=2 burst_frames=3 duplicate_ppm=4 reorder_ppm=5 "
        "corrupt_ppm=6 clog_ppm=7 clog=8us delay=9ns jitter=10s cut=true",
        "peer all out types=pre_vote,pre_vote_reply,vote,vote_reply,append,append_reply,fetch,"
        "append_fragment,snapshot,snapshot_reply delay=1us",
        "peer 2 out clear",
    };
    char text[IMPAIR_TEXT_BYTES];
    for (size_t at = 0; at < TEST_COUNT(texts); at++) {
        struct impair_words words;
        CHECK_EQUAL(impair_words_read(texts[at], &words, reason, sizeof(reason)), 0);
        words.rule.inbound = words.in;
        impair_words_write(&words.rule, text);
        CHECK_TEXT(text, texts[at]);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(words_are_read),
        TEST(wrong_words_are_refused),
        TEST(the_latest_words_decide),
        TEST(a_full_list_stays_as_it_is),
        TEST(what_is_written_reads_back),
    };
    return test_run("impair words", cases, TEST_COUNT(cases), argc, argv);
}
