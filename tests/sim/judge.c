// judge FILE...: are these histories of clients linearizable? One line a file; README.md has the
// exit status.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/linear.h"

enum { EXIT_LINEAR = 0, EXIT_VIOLATION = 1, EXIT_NOT_JUDGED = 2 };

static const char usage[] =
    "usage: judge [--together] FILE...\n"
    "Judges histories of clients (tests/sim/HISTORY.md) and prints one line a file; -: standard "
    "input.\n"
    "--together: the files are of clients that ran at the same time on the same machine.\n"
    "Exit status: 0 all are linearizable, 1 one is not, 2 one could not be read or judged.\n";

// 0, or EXIT_NOT_JUDGED with a line printed.
static int read_file(struct history *history, const char *path)
{
    char reason[512];
    bool is_input = strcmp(path, "-") == 0;
    FILE *file = is_input ? stdin : fopen(path, "r");
    if (file == NULL) {
        printf("%s: UNREADABLE %m\n", path);
        return EXIT_NOT_JUDGED;
    }
    int error = history_read(history, file, reason, sizeof(reason));
    if (error != 0) {
        printf("%s: UNREADABLE %s\n", path, reason);
    }
    if (!is_input) {
        fclose(file);
    }
    return error == 0 ? 0 : EXIT_NOT_JUDGED;
}

static int judge(struct linear *linear, const struct history *history, const char *name)
{
    struct linear_result result;
    linear_judge(linear, history, &result);
    printf("%s: %s operations=%" PRIu32 " keys=%" PRIu32 " configurations=%" PRIu64, name,
           linear_verdict_name(result.verdict), history->count, result.keys, result.configurations);
    switch (result.verdict) {
    case LINEAR:
        printf("\n");
        return EXIT_LINEAR;
    case LINEAR_GAVE_UP:
        printf(" keys_given_up=%" PRIu32 "\n", result.keys_given_up);
        return EXIT_NOT_JUDGED;
    case LINEAR_VIOLATION:
        printf(" key=%" PRIx64 " conflict=%" PRIu32 "\n", result.key, result.id_count);
        fflush(stdout);
        linear_print_violation(history, &result, stderr);
        break;
    }
    return EXIT_VIOLATION;
}

// A violation counts before what could not be judged.
static int worse_of(int left, int right)
{
    return left == EXIT_VIOLATION || right == EXIT_LINEAR ? left : right;
}

static int judge_each(struct linear *linear, struct history *history, char **paths, int count)
{
    int status = EXIT_LINEAR;
    for (int at = 0; at < count; at++) {
        history_reset(history);
        int error = read_file(history, paths[at]);
        status = worse_of(status, error != 0 ? error : judge(linear, history, paths[at]));
    }
    return status;
}

static int judge_together(struct linear *linear, struct history *history, char **paths, int count)
{
    for (int at = 0; at < count; at++) {
        if (read_file(history, paths[at]) != 0) {
            return EXIT_NOT_JUDGED;
        }
    }
    if (!history_merge(history)) {
        printf("together: UNREADABLE no memory\n");
        return EXIT_NOT_JUDGED;
    }
    return judge(linear, history, "together");
}

int main(int argc, char **argv)
{
    struct history history;
    bool is_together = argc > 1 && strcmp(argv[1], "--together") == 0;
    int first = is_together ? 2 : 1;
    if (first >= argc || strcmp(argv[first], "--help") == 0) {
        fputs(usage, first >= argc ? stderr : stdout);
        return first >= argc ? EXIT_NOT_JUDGED : EXIT_LINEAR;
    }
    struct linear *linear = linear_open(LINEAR_BUDGET);
    if (linear == NULL) {
        fputs("judge: no memory\n", stderr);
        return EXIT_NOT_JUDGED;
    }
    history_init(&history);
    int status =
        (is_together ? judge_together : judge_each)(linear, &history, argv + first, argc - first);
    history_fini(&history);
    linear_close(linear);
    return status;
}
