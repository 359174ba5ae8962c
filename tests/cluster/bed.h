// The bed of the cluster tests: one cluster of real `pontoon node` processes at a time.
//
// A case opens it, does something to it and waits for what must follow. A case that failed leaves
// it behind; the next bed_open, or the end of the program, ends its processes and removes its
// files. Machines are shared and poll gaps of 40 ms are normal: nothing here depends on tight
// timing, every wait polls until BED_PATIENCE_MS.
#ifndef PONTOON_TESTS_CLUSTER_BED_H
#define PONTOON_TESTS_CLUSTER_BED_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/cli/cluster_files.h"
#include "tests/harness/harness.h"

enum {
    BED_PATIENCE_MS = 30000,
    BED_ALL = 0xe, // bits 1 to 3: sets of nodes are bits by id
};

// Small enough that several clusters fit into the machine's memory. Without hugepages, of which
// other programs of the machine may take the last between our look and our start; the cases that
// are about them say so.
#define BED_SETTINGS_HUGE "log_mib: 64\napp_memory_mib: 64\nbuffers_mib: 16\n"
#define BED_SETTINGS BED_SETTINGS_HUGE "hugepages: false\n"
#define BED_SETTINGS_IMPAIR BED_SETTINGS "impair_runtime: true\n"

extern struct cluster bed;

// What a node says of group 0.
struct bed_view {
    bool is_leader, intact, halted, failed;
    int leader;
    uint64_t term, last, synced, commit, applied, boot;
    char digest[20];
};

// The clusters run the order of groups that PONTOON_TEST_ORDER names (strict).
//
// Makes a cluster and starts none of its nodes. False, and a line that says why, where this machine
// or user cannot have it.
bool bed_create(const char *link, const char *durability, const char *settings);
// ... and starts all three for the first time, and waits for a leader.
bool bed_open(const char *link, const char *durability);
bool bed_open_with(const char *link, const char *durability, const char *settings);
void bed_close(void);

void bed_start(int id);
void bed_bootstrap(int id);
void bed_kill(int id);             // SIGKILL
int bed_await_exit(int id);        // exit status; -1: ended by a signal
const char *bed_last_line(int id); // of the node's output
bool bed_output_has(int id, const char *text);

bool bed_look(int id, struct bed_view *view); // false: no answer
// The node of the set that leads and is known as leader to a majority of three; 0: none.
int bed_leader_of(unsigned nodes);
int bed_await_leader(unsigned nodes); // of the set
// Until these nodes have applied the same, at least `index`, and have equal digests.
void bed_await_equal(unsigned nodes, uint64_t index);
json_t *bed_status(int id); // to be json_decref'ed; NULL: no answer
// Has node `id` inject faults from now on (drivers/cli/impair_words.h); it was opened with
// impair_runtime.
void bed_impair(int id, const char *words);
// The sum over the nodes of a counter of the first reactor: of "net", "refused", ...
uint64_t bed_count(const char *part, const char *counter);
uint64_t bed_resident_kib(int id); // memory of the node's process
void bed_wait(uint32_t ms);

uint64_t bed_now_ns(void); // monotonic, the same for all processes
// A deadline that far from now, and a short sleep that is false when it has passed.
uint64_t bed_deadline_ns(uint32_t after_ms);
bool bed_pause(uint64_t deadline_ns);
void bed_report(void); // prints what the nodes say, for a case that is about to fail

#define WAIT_UNTIL(condition)                                                                      \
    for (uint64_t wait_until_ns = bed_deadline_ns(BED_PATIENCE_MS); !(condition);) {               \
        if (!bed_pause(wait_until_ns)) {                                                           \
            bed_report();                                                                          \
            test_check(false, __FILE__, __LINE__, "in time: " #condition);                         \
        }                                                                                          \
    }

#endif
