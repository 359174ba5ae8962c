// Child processes of a benchmark: each runs one function, says when it is ready, and never outlives
// its parent.
//
// What a child prints goes to a log of its own, because EAL talks a lot; the log is shown only when
// the child failed.
#ifndef PONTOON_BENCH_PROCESS_H
#define PONTOON_BENCH_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct process {
    const char *name; // for messages
    pid_t pid;        // 0 when not running
    int ready_fd;     // readable once the child said it is ready, or ended
    int log_fd;       // the child's stdout and stderr
};

// What a child runs. Result: its exit status.
typedef int process_function(void *context, int ready_fd);

// Forks. Ends the program when that fails.
void process_start(struct process *process, const char *name, process_function *run, void *context);

// In the child: lets process_await_ready of the parent return.
void process_say_ready(int ready_fd);

// Waits for process_say_ready. Result: false after the time, or when the child ended before; then
// its last words are on stderr.
bool process_await_ready(struct process *process, int timeout_ms);

// Waits for the child to end by itself; kills it after the time. Result: whether its exit status
// was 0; if not, its last words are on stderr.
bool process_await_end(struct process *process, int timeout_ms);

// Ends the child now, if it runs.
void process_kill(struct process *process);

// Zeroed memory that the parent and all children started later see. Ends the program when there is
// none.
void *process_share(size_t bytes);

// Pins the calling thread to a CPU, or to the last one when the machine has fewer.
void process_pin(unsigned cpu);

// The CPU that `cpu` stands for on this machine: itself, or the last one.
unsigned process_cpu(unsigned cpu);

#endif
