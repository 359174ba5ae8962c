// The option table: what parses, what is refused, and with which words.
#include "tests/harness/harness.h"

#include <errno.h>
#include <string.h>

#include "drivers/cli/cli_options.h"

static const struct cli_option options[] = {
    {.name = "config", .letter = 'c', .kind = CLI_TEXT, .argument = "FILE", .is_required = true},
    {.name = "id",
     .letter = 'i',
     .kind = CLI_NUMBER,
     .argument = "N",
     .min = 1,
     .max = 64,
     .fallback = "3"},
    {.name = "link", .kind = CLI_WORD, .argument = "KIND", .words = "memif|udp"},
    {.name = "json", .letter = 'j', .kind = CLI_FLAG},
};
static const struct cli_command command = {
    .name = "try",
    .operands = "KEY [VALUE]",
    .operands_min = 1,
    .operands_max = 2,
    .takes_eal = true,
    .options = options,
    .option_count = TEST_COUNT(options),
};

enum { WORDS_MAX = 16 };
static struct cli_arguments arguments;
static char reason[CLI_REASON_BYTES];

// Parses a line of words separated by single spaces.
static int parse(const char *line)
{
    static char text[256];
    static char *words[WORDS_MAX + 1];
    int count = 1;
    strcpy(text, line);
    words[0] = (char[]){"try"};
    for (char *word = strtok(text, " "); word != NULL && count < WORDS_MAX;
         word = strtok(NULL, " ")) {
        words[count++] = word;
    }
    words[count] = NULL;
    reason[0] = '\0';
    return cli_parse(&command, count, words, &arguments, reason);
}

static void options_and_operands_mix(void)
{
    CHECK_EQUAL(parse("key -c file --id=7 value --json --link udp"), 0);
    CHECK_TEXT(cli_text(&arguments, "config"), "file");
    CHECK_EQUAL(cli_number(&arguments, "id"), 7);
    CHECK_TEXT(cli_text(&arguments, "link"), "udp");
    CHECK(cli_is_given(&arguments, "json"));
    CHECK_EQUAL(arguments.operand_count, 2);
    CHECK_TEXT(arguments.operands[0], "key");
    CHECK_TEXT(arguments.operands[1], "value");
}

static void fallbacks_stand_in(void)
{
    CHECK_EQUAL(parse("--config f k"), 0);
    CHECK_EQUAL(cli_number(&arguments, "id"), 3);
    CHECK(!cli_is_given(&arguments, "id"));
    CHECK(!cli_is_given(&arguments, "json"));
    CHECK(cli_text(&arguments, "link") == NULL);
}

static void eal_arguments_are_left_alone(void)
{
    CHECK_EQUAL(parse("-c f k -- --lcores 0 -c 1"), 0);
    CHECK_EQUAL(arguments.operand_count, 1);
    CHECK_EQUAL(arguments.eal_count, 4);
    CHECK_TEXT(arguments.eal[0], "--lcores");
    CHECK_TEXT(cli_text(&arguments, "config"), "f");
}

static void help_is_not_an_error(void)
{
    CHECK_EQUAL(parse("--help"), 1);
    CHECK_EQUAL(parse("-h"), 1);
}

static void refusals_say_what_to_give(void)
{
    static const struct {
        const char *line, *reason;
    } refusals[] = {
        {"k", "--config is missing; give --config FILE"},
        {"-c f", "KEY [VALUE] is missing"},
        {"-c f a b c", "\"c\" is too much"},
        {"-c f k --id 0", "--id: \"0\" will not do; give a number from 1 to 64"},
        {"-c f k --id 65", "--id: \"65\" will not do; give a number from 1 to 64"},
        {"-c f k --id 1x", "--id: \"1x\" will not do; give a number from 1 to 64"},
        {"-c f k --id -1", "--id: \"-1\" will not do; give a number from 1 to 64"},
        {"-c f k --link mem", "--link: \"mem\" will not do; give one of memif|udp"},
        {"-c f k --link", "--link needs a value"},
        {"-c f k --nothing", "there is no option --nothing"},
        {"-c f k --json=1", "--json=1 takes no value"},
        {"-c f k -z", "there is no option -z"},
    };
    for (size_t i = 0; i < TEST_COUNT(refusals); i++) {
        CHECK_EQUAL(parse(refusals[i].line), -EINVAL);
        CHECK_TEXT(reason, refusals[i].reason);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(options_and_operands_mix),     TEST(fallbacks_stand_in),
        TEST(eal_arguments_are_left_alone), TEST(help_is_not_an_error),
        TEST(refusals_say_what_to_give),
    };
    return test_run("cli options", cases, TEST_COUNT(cases), argc, argv);
}
