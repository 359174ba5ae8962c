// The state machine of a node: which commands it applied, and the session table, which must say the
// same everywhere, in whatever order it was asked.
#include "engine/base/bitmap.h"
#include "tests/unit/core/crowd.h"

#include <stdlib.h>
#include <string.h>

enum { STREAM_MAX = 1 << 16 };

static const struct session_config session_limits = {.pages_total = 4, .sessions_max = 3};

void crowd_app_open(struct crowd_node *node)
{
    node->applied_ids = calloc(CROWD_INDEXES_MAX, sizeof(uint64_t));
    node->sessions = aligned_alloc(64, (session_bytes(&session_limits) + 63) & ~(size_t)63);
    node->disk.sessions = malloc(STREAM_MAX);
    CHECK(node->applied_ids != NULL && node->sessions != NULL && node->disk.sessions != NULL);
}

void crowd_app_close(struct crowd_node *node)
{
    free(node->applied_ids);
    free(node->sessions);
    free(node->disk.sessions);
}

static uint64_t register_client(struct crowd_node *node, uint64_t index,
                                const struct raft_entry_head *head)
{
    const struct session_grant grant =
        session_register(node->sessions, index, head->client, head->sequence);
    crowd.session_ids[head->client % CROWD_CLIENTS] = grant.session;
    return 16 + grant.session * 4096 + grant.window / SESSION_PAGE_SEQUENCES;
}

static uint64_t execute(struct crowd_node *node, uint64_t index, const struct raft_entry_head *head)
{
    uint32_t result = 0;
    enum session_verdict said =
        session_claim(node->sessions, index, head->client, head->sequence, &result);
    if (said == SESSION_NEW) {
        session_complete(node->sessions, head->client, head->sequence, head->crc);
    }
    crowd.counts.retries += said == SESSION_DUPLICATE;
    crowd.counts.outside += said == SESSION_OUTSIDE;
    return 1 + (uint64_t)said + 16 * (uint64_t)(said == SESSION_DUPLICATE ? result : 0);
}

static void apply(struct crowd_node *node, uint64_t index)
{
    const struct raft_entry *entry = raft_entry_at(node->raft, index);
    CROWD_REQUIRE(entry != NULL && index < CROWD_INDEXES_MAX);
    uint64_t id = crowd_truth_id(&entry->head), verdict = 0;
    crowd_truth_check_apply(node, index, id);
    node->applied_ids[index] = id;
    if (entry->head.kind == RAFT_ENTRY_REGISTER) {
        verdict = register_client(node, index, &entry->head);
    } else if (entry->head.kind == RAFT_ENTRY_COMMAND) {
        verdict = execute(node, index, &entry->head);
    }
    crowd_truth_check_verdict(index, verdict);
    node->applied_high = node->applied_high > index ? node->applied_high : index;
    const struct raft_view view = crowd_view(node);
    if (view.role == RAFT_LEADER) {
        crowd.answered_high = crowd.answered_high > index ? crowd.answered_high : index;
        crowd.is_answered[index] = true;
    }
    crowd.counts.beyond_at_followers += index > view.last;
    crowd.counts.applied++;
}

void crowd_app_apply(struct crowd_node *node)
{
    if (node->is_persisting) {
        return;
    }
    if (node->has_job && crowd_chance(crowd.rough.apply_percent)) {
        const struct raft_input input = {
            .kind = RAFT_IN_APPLIED, .applied_first = node->job.first, .applied = node->job.last};
        node->has_job = false;
        crowd_step(node, &input);
    }
    struct raft_range range;
    if (!node->has_job && crowd_chance(50) &&
        raft_apply_take(node->raft, 1 + (uint32_t)crowd_below(8), &range)) {
        for (uint64_t index = range.first; index <= range.last; index++) {
            apply(node, index);
        }
        node->job = range;
        node->has_job = true;
    }
}

void crowd_app_save(struct crowd_node *node)
{
    struct crowd_disk *disk = &node->disk;
    disk->sessions_bytes = session_checkpoint_bytes(node->sessions);
    CROWD_REQUIRE(disk->sessions_bytes <= STREAM_MAX);
    session_checkpoint_read(node->sessions, 0, disk->sessions, STREAM_MAX);
    if (disk->beyond.count == 0) {
        crowd_truth_check_sessions(disk->checkpoint, session_digest(node->sessions));
    }
}

void crowd_app_restore(struct crowd_node *node)
{
    memset(node->applied_ids, 0, CROWD_INDEXES_MAX * sizeof(uint64_t));
    for (uint64_t at = 1; at <= node->disk.checkpoint; at++) {
        node->applied_ids[at] = crowd.truth[at];
    }
    node->applied_high = node->disk.checkpoint;
    for (uint32_t bit = 0; bit < node->disk.beyond.count; bit++) {
        if (bitmap_test(node->disk.beyond.bits, bit)) {
            node->applied_high = node->disk.checkpoint + 1 + bit;
            node->applied_ids[node->applied_high] = crowd.truth[node->applied_high];
        }
    }
    node->sessions = session_init(&session_limits, node->sessions);
    if (node->disk.checkpoint > 0) {
        session_restore_begin(node->sessions);
        session_restore_write(node->sessions, node->disk.sessions, node->disk.sessions_bytes);
        CROWD_REQUIRE(session_restore_end(node->sessions) == 0);
    }
}
