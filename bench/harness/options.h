// Command lines of the benchmark programs: one table feeds parsing and --help.
//
// Every option is written --name VALUE. A wrong option or value ends the program with one line and
// status 2.
#ifndef PONTOON_BENCH_OPTIONS_H
#define PONTOON_BENCH_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPTION_NUMBER, // target: uint64_t, within [min, max]
    OPTION_TEXT,   // target: const char *
    OPTION_CHOICE  // target: uint64_t, the position of the word in choices
};

struct option_row {
    const char *name; // without the dashes
    enum option_kind kind;
    void *target; // holds the default before, the value after
    uint64_t min, max;
    const char *const *choices; // ends with NULL
    const char *help;
};

// Fills the targets from argv. With --help it prints `purpose` and the table and ends the program.
void options_parse(const struct option_row *rows, size_t count, const char *purpose, int argc,
                   char **argv);

#endif
