// Runs scripts and compares what they print with what they say.
//
//     scenario [--update] PATH…       a file, or a folder with *.txt in it
//
// A script is blocks: commands, a line "----", the text expected of them, an empty line. With
// --update the text is written instead of compared. What violates a guarantee of Raft fails either
// way.
#include "tests/scenario/script.h"

#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/assert.h"

enum { PATH_BYTES_MAX = 4096 };

// One file as lines, without their ends.
struct lines {
    char *text;
    char **all;
    uint32_t count, capacity;
};

struct run {
    const char *path;
    struct lines lines;
    uint32_t at; // line
    bool is_update, has_failed;
    FILE *updated;
    struct script script;
};

static jmp_buf leave_script;
static struct run *running;
static unsigned passed, failed;

static void complain(struct run *run, uint32_t line, const char *text)
{
    printf("    %s:%u: %s\n", run->path, line + 1, text);
    run->has_failed = true;
}

static void on_assertion(const char *file, int line, const char *expression, uint64_t left,
                         uint64_t right)
{
    char text[512];
    snprintf(text, sizeof(text), "assertion failed %s:%d: %s (%" PRIu64 ", %" PRIu64 ")", file,
             line, expression, left, right);
    complain(running, running->at, text);
    longjmp(leave_script, 1);
}

// Lines.

static void add_line(struct lines *lines, char *line)
{
    if (lines->count == lines->capacity) {
        lines->capacity = lines->capacity == 0 ? 64 : 2 * lines->capacity;
        lines->all = realloc(lines->all, lines->capacity * sizeof(*lines->all));
        ASSERT(lines->all != NULL);
    }
    lines->all[lines->count++] = line;
}

static void split_lines(struct lines *lines)
{
    char *rest = lines->text;
    while (*rest != '\0') {
        char *end = rest + strcspn(rest, "\n");
        bool is_last = *end == '\0';
        *end = '\0';
        add_line(lines, rest);
        rest = is_last ? end : end + 1;
    }
}

static bool read_lines(const char *path, struct lines *lines)
{
    size_t bytes = 0;
    FILE *file = fopen(path, "r");
    bool is_read = file != NULL && getdelim(&lines->text, &bytes, '\0', file) > 0;
    if (file != NULL) {
        fclose(file);
    }
    if (is_read) {
        split_lines(lines);
    }
    return is_read;
}

static void free_lines(struct lines *lines)
{
    free(lines->text);
    free(lines->all);
}

// Blocks.

static const char *line_at(const struct run *run, uint32_t at)
{
    return at < run->lines.count ? run->lines.all[at] : "";
}

static bool is_command(const char *line)
{
    return line[0] != '\0' && line[0] != '#';
}

static void print_difference(const struct run *run, uint32_t first, uint32_t count,
                             const struct lines *actual)
{
    uint32_t same = 0, tail = 0;
    while (same < count && same < actual->count &&
           strcmp(line_at(run, first + same), actual->all[same]) == 0) {
        same++;
    }
    while (tail < count - same && tail < actual->count - same &&
           strcmp(line_at(run, first + count - 1 - tail), actual->all[actual->count - 1 - tail]) ==
               0) {
        tail++;
    }
    for (uint32_t at = 0; at < same; at++) {
        printf("      %s\n", line_at(run, first + at));
    }
    for (uint32_t at = same; at < count - tail; at++) {
        printf("    - %s\n", line_at(run, first + at));
    }
    for (uint32_t at = same; at < actual->count - tail; at++) {
        printf("    + %s\n", actual->all[at]);
    }
    for (uint32_t at = count - tail; at < count; at++) {
        printf("      %s\n", line_at(run, first + at));
    }
}

// What the commands before the one that makes no sense did.
static void print_printed(const struct lines *actual)
{
    for (uint32_t at = 0; at < actual->count; at++) {
        printf("      %s\n", actual->all[at]);
    }
}

static void compare(struct run *run, uint32_t first, uint32_t count, struct lines *actual)
{
    bool is_same = count == actual->count;
    for (uint32_t at = 0; is_same && at < count; at++) {
        is_same = strcmp(line_at(run, first + at), actual->all[at]) == 0;
    }
    if (run->is_update) {
        for (uint32_t at = 0; at < actual->count; at++) {
            fprintf(run->updated, "%s\n", actual->all[at]);
        }
    } else if (!is_same) {
        complain(run, first, "expected (-), printed (+)");
        print_difference(run, first, count, actual);
    }
}

static void copy_lines(struct run *run, uint32_t from, uint32_t to)
{
    for (uint32_t at = from; run->is_update && at < to; at++) {
        fprintf(run->updated, "%s\n", line_at(run, at));
    }
}

// Carries out the commands up to "----". False: a command makes no sense, or the line is missing.
static bool run_commands(struct run *run)
{
    for (; run->at < run->lines.count && strcmp(line_at(run, run->at), "----") != 0; run->at++) {
        const char *line = line_at(run, run->at);
        if (line[0] == '\0') {
            complain(run, run->at, "a block of commands ends with ----, not with an empty line");
            return false;
        }
        if (is_command(line) && !script_run(&run->script, line)) {
            complain(run, run->at, run->script.error);
            return false;
        }
    }
    if (run->at == run->lines.count) {
        complain(run, run->at, "a block of commands ends with ----");
        return false;
    }
    run->at++;
    return true;
}

static bool run_block(struct run *run)
{
    uint32_t begin = run->at;
    struct lines actual = {0};
    size_t bytes;
    run->script.out = open_memstream(&actual.text, &bytes);
    ASSERT(run->script.out != NULL);
    if (run->script.steps != NULL) {
        run->script.steps->out = run->script.out;
    }
    bool is_run = run_commands(run);
    if (ftell(run->script.out) == 0) {
        fputs("nothing\n", run->script.out);
    }
    fclose(run->script.out);
    split_lines(&actual);
    if (!is_run) {
        print_printed(&actual);
    } else {
        uint32_t first = run->at;
        while (line_at(run, run->at)[0] != '\0') {
            run->at++;
        }
        copy_lines(run, begin, first);
        compare(run, first, run->at - first, &actual);
    }
    free_lines(&actual);
    return is_run;
}

static void run_blocks(struct run *run)
{
    while (run->at < run->lines.count) {
        if (!is_command(line_at(run, run->at))) {
            copy_lines(run, run->at, run->at + 1);
            run->at++;
        } else if (!run_block(run)) {
            return;
        }
    }
    if (run->script.steps == NULL) {
        complain(run, run->at, "a script without commands");
    } else if (run->script.steps->violations > 0) {
        complain(run, run->at, "it violates the guarantees of Raft");
    }
}

// Files.

static void write_updated(const struct run *run, const char *text)
{
    FILE *file = fopen(run->path, "w");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0) {
        perror(run->path);
        exit(1);
    }
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static void run_file(const char *path, bool is_update)
{
    static struct run run;
    char *text = NULL;
    size_t bytes = 0;
    run = (struct run){.path = path, .is_update = is_update};
    running = &run;
    run.updated = open_memstream(&text, &bytes);
    ASSERT(run.updated != NULL);
    if (!read_lines(path, &run.lines)) {
        complain(&run, 0, "cannot be read, or is empty");
    } else if (setjmp(leave_script) == 0) {
        run_blocks(&run);
    }
    fclose(run.updated);
    if (is_update && !run.has_failed) {
        write_updated(&run, text);
    }
    printf("scenario: %.*s: %s\n", (int)strcspn(name_of(path), "."), name_of(path),
           run.has_failed ? "FAILED" : "ok");
    passed += !run.has_failed;
    failed += run.has_failed;
    script_close(&run.script);
    free_lines(&run.lines);
    free(text);
}

static int is_script(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 4 && strcmp(entry->d_name + length - 4, ".txt") == 0;
}

static void run_path(const char *path, bool is_update)
{
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        run_file(path, is_update);
        return;
    }
    struct dirent **entries;
    int count = scandir(path, &entries, is_script, alphasort);
    for (int at = 0; at < count; at++) {
        char file[PATH_BYTES_MAX];
        snprintf(file, sizeof(file), "%s/%s", path, entries[at]->d_name);
        run_file(file, is_update);
        free(entries[at]);
    }
    if (count >= 0) {
        free(entries);
    }
}

int main(int argc, char **argv)
{
    bool is_update = argc > 1 && strcmp(argv[1], "--update") == 0;
    int first = is_update ? 2 : 1;
    if (argc <= first) {
        fprintf(stderr, "usage: scenario [--update] PATH...\n");
        return 2;
    }
    assert_set_handler(on_assertion);
    for (int at = first; at < argc; at++) {
        run_path(argv[at], is_update);
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}
