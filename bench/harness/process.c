#include "bench/harness/process.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static _Noreturn void run_child(process_function *run, void *context, int ready_fd, int log_fd,
                                pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(log_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0) {
        _exit(1);
    }
    int status = run(context, ready_fd);
    fflush(NULL);
    _exit(status);
}

void process_start(struct process *process, const char *name, process_function *run, void *context)
{
    int ready[2];
    int log_fd = memfd_create(name, MFD_CLOEXEC);
    if (log_fd < 0 || pipe(ready) < 0) {
        give_up("child process");
    }
    fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
        give_up("fork");
    }
    if (pid == 0) {
        close(ready[0]);
        run_child(run, context, ready[1], log_fd, parent);
    }
    close(ready[1]);
    *process = (struct process){.name = name, .pid = pid, .ready_fd = ready[0], .log_fd = log_fd};
}

void process_say_ready(int ready_fd)
{
    char byte = 1;
    if (write(ready_fd, &byte, 1) != 1) {
        _exit(1); // the parent is gone
    }
}

static void show_log(const struct process *process)
{
    enum { TAIL_BYTES = 600 };
    char tail[TAIL_BYTES];
    off_t end = lseek(process->log_fd, 0, SEEK_END),
          start = end > TAIL_BYTES ? end - TAIL_BYTES : 0;
    ssize_t bytes = pread(process->log_fd, tail, sizeof(tail), start);
    fprintf(stderr, "%s failed; its last words:\n%.*s\n", process->name, bytes > 0 ? (int)bytes : 0,
            tail);
}

bool process_await_ready(struct process *process, int timeout_ms)
{
    struct pollfd ready = {.fd = process->ready_fd, .events = POLLIN};
    char byte;
    if (poll(&ready, 1, timeout_ms) == 1 && read(process->ready_fd, &byte, 1) == 1) {
        return true;
    }
    show_log(process);
    return false;
}

static void forget(struct process *process)
{
    close(process->ready_fd);
    process->pid = 0;
}

// The child holds the only writing end of its pipe, so the pipe hangs up when it ends: no polling
// disturbs what is being measured.
bool process_await_end(struct process *process, int timeout_ms)
{
    struct pollfd ended = {.fd = process->ready_fd, .events = 0};
    int status;
    if (poll(&ended, 1, timeout_ms) != 1) {
        show_log(process);
        process_kill(process);
        return false;
    }
    waitpid(process->pid, &status, 0);
    forget(process);
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!good) {
        show_log(process);
    }
    return good;
}

void process_kill(struct process *process)
{
    if (process->pid > 0) {
        kill(process->pid, SIGKILL);
        waitpid(process->pid, NULL, 0);
        forget(process);
    }
}

void *process_share(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        give_up("shared memory");
    }
    return memory;
}

unsigned process_cpu(unsigned cpu)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 && cpu >= (unsigned long)count ? (unsigned)count - 1 : cpu;
}

void process_pin(unsigned cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(process_cpu(cpu), &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0) {
        give_up("pin to a CPU");
    }
}
