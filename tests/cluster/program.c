#include "tests/cluster/program.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/cluster/bed.h"

static pid_t spawn(uid_t user, const char *const *words, int out, int err)
{
    const char *path = strcmp(words[0], "pontoon") == 0 ? bed.program : words[0];
    fflush(stdout);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(out, STDOUT_FILENO);
        dup2(err, STDERR_FILENO);
        if (user != 0 && (setgroups(0, NULL) != 0 || setgid(user) != 0 || setuid(user) != 0)) {
            _exit(126);
        }
        execv(path, (char *const *)(uintptr_t)words);
        _exit(127);
    }
    return pid;
}

int program_await(pid_t pid)
{
    int status = 0;
    uint64_t deadline_ns = bed_deadline_ns(BED_PATIENCE_MS);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (!bed_pause(deadline_ns)) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            printf("    process %d did not end in time\n", (int)pid);
            return -1;
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void take(int file, char *text, size_t bytes)
{
    ssize_t got = pread(file, text, bytes - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    close(file);
}

struct program_result program_run_as(uid_t user, const char *const *words)
{
    struct program_result result = {0};
    int out = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    int err = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    CHECK(out >= 0 && err >= 0);
    result.status = program_await(spawn(user, words, out, err));
    take(out, result.out, sizeof(result.out));
    take(err, result.err, sizeof(result.err));
    for (const char *at = result.err; (at = strchr(at, '\n')) != NULL; at++) {
        result.lines++;
    }
    return result;
}

pid_t program_start(const char *name, const char *const *words)
{
    char path[CLUSTER_PATH_BYTES + 64];
    snprintf(path, sizeof(path), "%s/%s", bed.directory, name);
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    CHECK(file >= 0);
    pid_t pid = spawn(0, words, file, file);
    close(file);
    return pid;
}
