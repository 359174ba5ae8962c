// pontoon_client_* over a state machine in this process, in place of a cluster: what volume.c is
// tested against. It answers in any order, or as it is told to.
#ifndef PONTOON_TESTS_UNIT_NBDKIT_FAKE_CLIENT_H
#define PONTOON_TESTS_UNIT_NBDKIT_FAKE_CLIENT_H

#include <stdint.h>

#include "drivers/app_block/block_command.h"

enum fake_mood {
    FAKE_SERVES,
    FAKE_HOLDS,   // nothing is answered
    FAKE_LOSES,   // commands end as UNKNOWN, and stay on the way: fake_deliver_late
    FAKE_EXPIRES, // every other command ends as EXPIRED, done or not
    FAKE_REFUSES, // every other call says -EAGAIN
};

// A group without a volume, or with one of 4096-byte blocks.
void fake_open(uint64_t volume_bytes);
void fake_close(void);
void fake_set_mood(enum fake_mood mood);
// Commands and queries that are waiting to be answered.
uint32_t fake_waiting(void);
// What was lost arrives after all.
void fake_deliver_late(void);
// A command of somebody else. Result: the state machine's.
uint32_t fake_apply(const struct block_command *command);
// The memory of the volume goes bad at this byte.
void fake_spoil(uint64_t offset);
// How often a command of this operation was executed, whatever its result.
uint32_t fake_executed(enum block_operation operation);

#endif
