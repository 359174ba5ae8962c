// Runs the program (or another) to its end and keeps what it printed.
#ifndef PONTOON_TESTS_CLUSTER_PROGRAM_H
#define PONTOON_TESTS_CLUSTER_PROGRAM_H

#include <stdbool.h>
#include <sys/types.h>

struct program_result {
    int status; // exit status; -1: a signal ended it, or we did after BED_PATIENCE_MS
    int lines;  // on stderr
    char out[8192], err[4096];
};

// The first word is a path, or "pontoon" for the program of the build. With `user` the program runs
// as that user id (as root only).
struct program_result program_run_as(uid_t user, const char *const *words);
#define program_run(...) program_run_as(0, (const char *const[]){__VA_ARGS__, NULL})

// In the background, output to the file `name` in the bed's directory.
pid_t program_start(const char *name, const char *const *words);
// Until it ends. Exit status, or -1.
int program_await(pid_t pid);

#endif
