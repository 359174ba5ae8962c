#include "bench/harness/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void refuse(const char *program, const char *what, const char *value)
{
    fprintf(stderr, "%s: %s '%s' (see --help)\n", program, what, value);
    exit(2);
}

static void print_default(const struct option_row *row)
{
    switch (row->kind) {
    case OPTION_NUMBER:
        printf(" [%" PRIu64 "]", *(const uint64_t *)row->target);
        break;
    case OPTION_TEXT:
        if (*(const char *const *)row->target != NULL) {
            printf(" [%s]", *(const char *const *)row->target);
        }
        break;
    case OPTION_CHOICE:
        printf(" [%s]", row->choices[*(const uint64_t *)row->target]);
        break;
    }
}

static void print_help(const struct option_row *rows, size_t count, const char *program,
                       const char *purpose)
{
    printf("%s: %s\n", program, purpose);
    for (size_t i = 0; i < count; i++) {
        printf("  --%-10s %s", rows[i].name, rows[i].help);
        for (size_t c = 0; rows[i].kind == OPTION_CHOICE && rows[i].choices[c] != NULL; c++) {
            printf("%s%s", c == 0 ? ": " : "|", rows[i].choices[c]);
        }
        print_default(&rows[i]);
        printf("\n");
    }
}

static void set_number(const struct option_row *row, const char *program, const char *value)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || *value == '-' || number < row->min ||
        number > row->max) {
        fprintf(stderr, "%s: --%s '%s' is not a number from %" PRIu64 " to %" PRIu64 "\n", program,
                row->name, value, row->min, row->max);
        exit(2);
    }
    *(uint64_t *)row->target = number;
}

static void set_choice(const struct option_row *row, const char *program, const char *value)
{
    for (uint64_t c = 0; row->choices[c] != NULL; c++) {
        if (strcmp(row->choices[c], value) == 0) {
            *(uint64_t *)row->target = c;
            return;
        }
    }
    refuse(program, "no such choice", value);
}

static void set_value(const struct option_row *row, const char *program, const char *value)
{
    switch (row->kind) {
    case OPTION_NUMBER:
        set_number(row, program, value);
        break;
    case OPTION_TEXT:
        *(const char **)row->target = value;
        break;
    case OPTION_CHOICE:
        set_choice(row, program, value);
        break;
    }
}

static const struct option_row *find_row(const struct option_row *rows, size_t count,
                                         const char *argument)
{
    for (size_t i = 0; i < count; i++) {
        if (strncmp(argument, "--", 2) == 0 && strcmp(argument + 2, rows[i].name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

void options_parse(const struct option_row *rows, size_t count, const char *purpose, int argc,
                   char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--help") == 0) {
            print_help(rows, count, argv[0], purpose);
            exit(0);
        }
        const struct option_row *row = find_row(rows, count, argv[i]);
        if (row == NULL) {
            refuse(argv[0], "unknown option", argv[i]);
        }
        if (i + 1 == argc) {
            refuse(argv[0], "no value for", argv[i]);
        }
        set_value(row, argv[0], argv[i + 1]);
    }
}
