// Runs one target over files, without libFuzzer: replay DIRECTORY|FILE... The regression corpora,
// in every test run and with every compiler. The last line is "N passed, 0 failed"; an input that
// fails ends the run, and is named.
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

enum { INPUT_BYTES_MAX = 1 << 20, PATH_BYTES = 4096 };

static char running[PATH_BYTES];
static unsigned passed;

static void name_input(int signal_number)
{
    static const char text[] = "replay: failed on ";
    if (write(STDERR_FILENO, text, sizeof(text) - 1) > 0 &&
        write(STDERR_FILENO, running, strlen(running)) > 0) {
        (void)!write(STDERR_FILENO, "\n", 1);
    }
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

// In memory of exactly its size, as libFuzzer gives it.
static int replay_file(const char *path)
{
    static uint8_t buffer[INPUT_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    size_t bytes = fread(buffer, 1, sizeof(buffer), file);
    fclose(file);
    uint8_t *input = malloc(bytes == 0 ? 1 : bytes);
    memcpy(input, buffer, bytes);
    snprintf(running, sizeof(running), "%s", path);
    LLVMFuzzerTestOneInput(input, bytes);
    free(input);
    passed++;
    return 0;
}

static int replay(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        return replay_file(path);
    }
    DIR *directory = opendir(path);
    if (directory == NULL) {
        perror(path);
        return 1;
    }
    int failed = 0;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char file[PATH_BYTES];
        if (entry->d_name[0] != '.' &&
            snprintf(file, sizeof(file), "%s/%s", path, entry->d_name) < PATH_BYTES) {
            failed |= replay_file(file);
        }
    }
    closedir(directory);
    return failed;
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGABRT, SIGILL, SIGSEGV, SIGBUS, SIGFPE, SIGTRAP};
    for (size_t at = 0; at < sizeof(signals) / sizeof(signals[0]); at++) {
        signal(signals[at], name_input);
    }
    int failed = 0;
    for (int at = 1; at < argc; at++) {
        failed |= replay(argv[at]);
    }
    printf("%u passed, %d failed\n", passed, failed);
    return failed != 0 || passed == 0;
}
