// Parses arguments against a command's option table, over getopt_long.
#include "drivers/cli/cli_options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"

enum {
    HELP_VALUE = 1000,
    FIRST_VALUE = 1001
}; // what getopt_long returns for --help and for options[0]

static bool is_in_words(const char *words, const char *text)
{
    size_t bytes = strlen(text);
    for (const char *word = words; *word != '\0'; word += strspn(word, "|")) {
        size_t word_bytes = strcspn(word, "|");
        if (word_bytes == bytes && memcmp(word, text, bytes) == 0) {
            return true;
        }
        word += word_bytes;
    }
    return false;
}

static bool is_number(const char *text, uint64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && errno == 0 && *end == '\0';
}

static int check_value(const struct cli_option *option, const char *text,
                       char reason[static CLI_REASON_BYTES])
{
    uint64_t value;
    switch (option->kind) {
    case CLI_FLAG:
    case CLI_TEXT:
        return 0;
    case CLI_NUMBER:
        if (is_number(text, &value) && value >= option->min && value <= option->max) {
            return 0;
        }
        snprintf(reason, CLI_REASON_BYTES,
                 "--%s: \"%.60s\" will not do; give a number from %" PRIu64 " to %" PRIu64,
                 option->name, text, option->min, option->max);
        return -EINVAL;
    case CLI_WORD:
        if (is_in_words(option->words, text)) {
            return 0;
        }
        snprintf(reason, CLI_REASON_BYTES, "--%s: \"%.60s\" will not do; give one of %s",
                 option->name, text, option->words);
        return -EINVAL;
    }
    return -EINVAL;
}

// Builds getopt's two tables from ours. `letters` starts with "+:" or ":" (errors are ours to
// print).
static void build_tables(const struct cli_command *command, struct option *long_options,
                         char *letters)
{
    char *letter = stpcpy(letters, ":h");
    long_options[0] = (struct option){"help", no_argument, NULL, HELP_VALUE};
    for (size_t i = 0; i < command->option_count; i++) {
        const struct cli_option *option = &command->options[i];
        bool takes_argument = option->kind != CLI_FLAG;
        long_options[i + 1] =
            (struct option){option->name, takes_argument ? required_argument : no_argument, NULL,
                            FIRST_VALUE + (int)i};
        if (option->letter != 0) {
            *letter++ = option->letter;
            if (takes_argument) {
                *letter++ = ':';
            }
        }
    }
    *letter = '\0';
    long_options[command->option_count + 1] = (struct option){0};
}

// Index of the option that getopt's result means, or -1.
static int option_index(const struct cli_command *command, int result)
{
    if (result >= FIRST_VALUE) {
        return result - FIRST_VALUE;
    }
    for (size_t i = 0; i < command->option_count; i++) {
        if (command->options[i].letter == result) {
            return (int)i;
        }
    }
    return -1;
}

static int take_option(const struct cli_command *command, int result,
                       struct cli_arguments *arguments, char reason[static CLI_REASON_BYTES])
{
    int index = option_index(command, result);
    if (index < 0) {
        return -EINVAL;
    }
    const struct cli_option *option = &command->options[index];
    const char *text = option->kind == CLI_FLAG ? "" : optarg;
    arguments->values[index] = text;
    arguments->given |= UINT64_C(1) << index;
    return check_value(option, text, reason);
}

static int take_rest(const struct cli_command *command, struct cli_arguments *arguments,
                     char reason[static CLI_REASON_BYTES])
{
    for (size_t i = 0; i < command->option_count; i++) {
        if (command->options[i].is_required && (arguments->given >> i & 1) == 0) {
            snprintf(reason, CLI_REASON_BYTES, "--%s is missing; give --%s %s",
                     command->options[i].name, command->options[i].name,
                     command->options[i].argument);
            return -EINVAL;
        }
    }
    if (arguments->operand_count < command->operands_min) {
        snprintf(reason, CLI_REASON_BYTES, "%s is missing", command->operands);
        return -EINVAL;
    }
    if (arguments->operand_count > command->operands_max) {
        snprintf(reason, CLI_REASON_BYTES, "\"%.60s\" is too much",
                 arguments->operands[command->operands_max]);
        return -EINVAL;
    }
    if (arguments->eal_count != 0 && !command->takes_eal) {
        snprintf(reason, CLI_REASON_BYTES, "nothing may follow \"--\"");
        return -EINVAL;
    }
    return 0;
}

// Splits argv at "--": what follows is for EAL. Result: the number of arguments before it.
static int split_eal(int argc, char **argv, struct cli_arguments *arguments)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            arguments->eal = &argv[i + 1];
            arguments->eal_count = (uint32_t)(argc - i - 1);
            return i;
        }
    }
    return argc;
}

static int parse_options(const struct cli_command *command, int argc, char **argv,
                         struct cli_arguments *arguments, char reason[static CLI_REASON_BYTES])
{
    struct option long_options[CLI_OPTIONS_MAX + 2];
    char letters[2 * CLI_OPTIONS_MAX + 4];
    int result;
    build_tables(command, long_options, letters);
    opterr = 0;
    optind = 0;
    while ((result = getopt_long(argc, argv, letters, long_options, NULL)) != -1) {
        if (result == HELP_VALUE || result == 'h') {
            return 1;
        }
        if (result == ':') {
            snprintf(reason, CLI_REASON_BYTES, "%s needs a value", argv[optind - 1]);
            return -EINVAL;
        }
        if (result == '?' && optopt >= FIRST_VALUE) {
            snprintf(reason, CLI_REASON_BYTES, "%.60s takes no value", argv[optind - 1]);
            return -EINVAL;
        }
        if (result == '?') {
            snprintf(reason, CLI_REASON_BYTES, "there is no option %.60s", argv[optind - 1]);
            return -EINVAL;
        }
        if (take_option(command, result, arguments, reason) != 0) {
            return -EINVAL;
        }
    }
    return 0;
}

int cli_parse(const struct cli_command *command, int argc, char **argv,
              struct cli_arguments *arguments, char reason[static CLI_REASON_BYTES])
{
    ASSERT(command->option_count <= CLI_OPTIONS_MAX);
    *arguments = (struct cli_arguments){.command = command};
    for (size_t i = 0; i < command->option_count; i++) {
        arguments->values[i] = command->options[i].fallback;
    }
    argc = split_eal(argc, argv, arguments);
    int result = parse_options(command, argc, argv, arguments, reason);
    if (result != 0) {
        return result;
    }
    arguments->operands = &argv[optind];
    arguments->operand_count = (uint32_t)(argc - optind);
    return take_rest(command, arguments, reason);
}

// ----------------------------------------------------------------------------------------- values

static size_t index_of(const struct cli_command *command, const char *name)
{
    size_t i = 0;
    while (i < command->option_count && strcmp(command->options[i].name, name) != 0) {
        i++;
    }
    ASSERT(i < command->option_count);
    return i;
}

bool cli_is_given(const struct cli_arguments *arguments, const char *name)
{
    return (arguments->given >> index_of(arguments->command, name) & 1) != 0;
}

uint64_t cli_number(const struct cli_arguments *arguments, const char *name)
{
    uint64_t value = 0;
    const char *text = arguments->values[index_of(arguments->command, name)];
    ASSERT(text != NULL && is_number(text, &value));
    return value;
}

const char *cli_text(const struct cli_arguments *arguments, const char *name)
{
    return arguments->values[index_of(arguments->command, name)];
}
