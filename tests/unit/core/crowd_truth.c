// What must be the same everywhere: the logs of one sync_term, what is applied at an index, in an
// order that conflicts allow, with what verdict, and what a checkpoint says.
#include "tests/unit/core/crowd.h"

#include "engine/core/parallel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    uint64_t verdicts[CROWD_INDEXES_MAX]; // by index: what the session said, and the result
    uint64_t digests[CROWD_INDEXES_MAX];  // by index: of the sessions, in checkpoints
    uint64_t *stands;                     // [term][index]: what a log of sync_term `term` has there
} known;

enum { STANDS = CROWD_TERMS_MAX * CROWD_INDEXES_MAX };

void crowd_require(bool holds, const char *file, int line, const char *condition)
{
    if (!holds) {
        printf("seed %lu: %s\n", (unsigned long)crowd.seed, condition);
    }
    test_check(holds, file, line, condition);
}

void crowd_truth_open(void)
{
    known.stands = calloc(STANDS, sizeof(*known.stands));
    CHECK(known.stands != NULL);
}

void crowd_truth_close(void)
{
    free(known.stands);
}

void crowd_truth_begin(void)
{
    memset(crowd.truth, 0, sizeof(crowd.truth));
    memset(known.verdicts, 0, sizeof(known.verdicts));
    memset(known.digests, 0, sizeof(known.digests));
    memset(known.stands, 0, STANDS * sizeof(*known.stands));
}

// (What the core carries and does not look at.)
uint64_t crowd_truth_id(const struct raft_entry_head *head)
{
    return head->kind == RAFT_ENTRY_NOOP ? CROWD_NOOP_ID : head->crc;
}

// `before` is what anybody said first (0: nobody did).
static void agree(uint64_t *before, uint64_t value, const char *what)
{
    crowd_require(*before == 0 || *before == value, __FILE__, __LINE__, what);
    *before = value;
}

void crowd_truth_check_log(const struct crowd_node *node)
{
    const struct raft_parallel *parallel = node->raft->parallel;
    const struct raft_log *log = &node->raft->log;
    CROWD_REQUIRE(parallel->sync_term < CROWD_TERMS_MAX && log->held < CROWD_INDEXES_MAX);
    for (uint64_t index = log->base.index + 1; index <= log->held; index++) {
        if (log_has(log, index)) {
            uint64_t id = crowd_truth_id(&log_slot(log, index)->head), truth = crowd.truth[index];
            uint64_t *stand = &known.stands[parallel->sync_term * CROWD_INDEXES_MAX + index];
            agree(stand, id, "logs of one sync_term are one (I2)");
            CROWD_REQUIRE(index > node->raft->commit || truth == 0 || truth == id);
        }
    }
}

void crowd_truth_check_apply(const struct crowd_node *node, uint64_t index, uint64_t id)
{
    CROWD_REQUIRE(node->applied_ids[index] == 0);
    agree(&crowd.truth[index], id, "one command is applied at an index");
    for (uint64_t later = index + 1; later <= node->applied_high; later++) {
        uint64_t other = node->applied_ids[later];
        CROWD_REQUIRE(other == 0 || !crowd_client_do_conflict(id, other));
        crowd.counts.beyond += other != 0;
    }
}

void crowd_truth_check_verdict(uint64_t index, uint64_t verdict)
{
    agree(&known.verdicts[index], verdict, "sessions say the same of a command");
}

void crowd_truth_check_sessions(uint64_t index, uint64_t digest)
{
    agree(&known.digests[index], digest, "checkpoints of an index are the same");
}
