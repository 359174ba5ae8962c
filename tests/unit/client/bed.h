// A scripted cluster, a client of it, and what became of each command.
#ifndef PONTOON_TESTS_CLIENT_BED_H
#define PONTOON_TESTS_CLIENT_BED_H

#include "tests/unit/client/fake_cluster.h"

enum { BED_COMMANDS_MAX = 20000 };

struct bed {
    struct fake *fake;
    struct client *client;
};

// By command, since the bed was opened.
struct bed_ends {
    uint32_t calls[BED_COMMANDS_MAX];
    uint8_t status[BED_COMMANDS_MAX];
    uint32_t value[BED_COMMANDS_MAX];
    uint32_t count, done;
};
extern struct bed_ends bed_ends;

// Nothing is sent yet. With four groups, or as many as are asked for.
struct bed bed_open(uint32_t frame_bytes, uint32_t depth, uint64_t give_up_ns);
struct bed bed_open_groups(uint32_t frame_bytes, uint32_t groups, uint32_t depth,
                           uint64_t give_up_ns);
void bed_close(struct bed bed);

// Opens the session of group 0, so that what follows sees commands alone.
void bed_warm_up(struct bed *bed);
struct bed bed_open_warm(uint32_t frame_bytes, uint32_t depth, uint64_t give_up_ns); // both

// Proposes command `at`, whose payload and result (three times its number) follow from `at`.
// Result: client_propose's.
int bed_try(struct bed *bed, uint16_t group, uint32_t at, uint32_t bytes);
// Proposes commands [first, first + count) to group 0; none may be refused.
void bed_propose(struct bed *bed, uint32_t first, uint32_t count, uint32_t bytes);
// The callback of both: context is the command's number.
void bed_on_done(void *context, const struct pontoon_result *result);

// Commands [first, first + count) ended once, DONE, with their own result.
void bed_check_done(uint32_t first, uint32_t count);

// Commands the nodes executed; frames they were sent.
uint64_t bed_executed(const struct bed *bed);
uint64_t bed_frames(const struct bed *bed);
struct client_counters bed_counters(const struct bed *bed);

#endif
