// The disk of a node: what is being written completes in any order; a crash keeps any part of it; a
// log is lost or damaged; and a node starts from what is left.
#include "tests/unit/core/crowd.h"

#include <stdlib.h>
#include <string.h>

enum { RECORDS_MAX = 60000 };

struct raft_config crowd_disk_config(const struct crowd_node *node)
{
    struct raft_config config = {.self = crowd_id(node),
                                 .voter_count = crowd.node_count,
                                 .order = RAFT_ORDER_PARALLEL,
                                 .boot = node->disk.boot,
                                 .intact = true,
                                 .hard_state = node->disk.hard,
                                 .election_timeout_min_ns = 6 * CROWD_TICK_NS,
                                 .election_timeout_max_ns = 12 * CROWD_TICK_NS,
                                 .heartbeat_ns = 2 * CROWD_TICK_NS,
                                 .log_entries = crowd.rough.log_entries,
                                 .window_entries = crowd.rough.window_entries,
                                 .window_bytes = 1 << 20,
                                 .span_entries = crowd.rough.span_entries,
                                 .look_behind = crowd.rough.look_behind,
                                 .seed = crowd.seed};
    for (uint16_t at = 0; at < crowd.node_count; at++) {
        config.voters[at] = (uint16_t)(at + 1);
    }
    return config;
}

void crowd_disk_open(struct crowd_node *node)
{
    node->disk.records = calloc(RECORDS_MAX, sizeof(struct crowd_record));
    CHECK(node->disk.records != NULL);
}

void crowd_disk_close(struct crowd_node *node)
{
    free(node->disk.records);
}

struct crowd_record *crowd_disk_add(struct crowd_node *node)
{
    CROWD_REQUIRE(node->disk.count < RECORDS_MAX);
    struct crowd_record *record = &node->disk.records[node->disk.count++];
    memset(record, 0, sizeof(*record));
    return record;
}

static void complete_record(struct crowd_node *node, struct crowd_record *record)
{
    record->is_durable = true;
    struct raft_input input = {.kind = RAFT_IN_SYNC, .sync_term = record->sync.term};
    if (!record->is_sync) {
        input = (struct raft_input){
            .kind = RAFT_IN_SYNCED,
            .synced = {.range = {record->index, record->index}, .epoch = record->epoch}};
    }
    crowd_step(node, &input);
}

// (Nothing passes a SYNC record.)
void crowd_disk_complete(struct crowd_node *node, uint32_t percent)
{
    struct crowd_disk *disk = &node->disk;
    bool may_pass = true;
    if (crowd.now < node->stalled_until) {
        return;
    }
    for (uint32_t at = 0; at < disk->count && may_pass && node->is_up; at++) {
        struct crowd_record *record = &disk->records[at];
        if (!record->is_durable) {
            may_pass = !record->is_sync;
            if (crowd_chance(percent)) {
                complete_record(node, record);
            }
        }
    }
    if (disk->is_hard_pending && crowd_chance(percent)) {
        disk->is_hard_pending = false;
        disk->hard = disk->hard_pending;
        const struct raft_input input = {.kind = RAFT_IN_HARD_STATE, .hard_state = disk->hard};
        crowd_step(node, &input);
    }
}

// Result: the commit floor its records tell.
static uint64_t restore_log(struct crowd_node *node)
{
    const struct crowd_disk *disk = &node->disk;
    raft_restore_begin(node->raft, (struct raft_entry_id){.term = disk->checkpoint_term,
                                                          .index = disk->checkpoint});
    uint64_t commit = 0;
    for (uint32_t at = 0; at < disk->count; at++) {
        const struct crowd_record *record = &disk->records[at];
        const struct raft_entry_id id = {.term = record->term, .index = record->index};
        commit = record->commit > commit ? record->commit : commit;
        int error = 0;
        if (record->is_sync) {
            raft_restore_sync(node->raft, &record->sync);
        } else if (record->is_staged) {
            error = raft_restore_staged(node->raft, id, &record->head, at + 1);
        } else {
            error = raft_restore_entry(node->raft, id, 0, &record->head, at + 1);
        }
        CROWD_REQUIRE(error == 0);
    }
    return commit;
}

void crowd_disk_start(struct crowd_node *node)
{
    bool is_whole = !node->disk.is_incomplete;
    node->disk.boot++;
    struct raft_config config = crowd_disk_config(node);
    node->raft = raft_init(node->memory, &config, crowd.now);
    uint64_t commit = restore_log(node);
    raft_restore_identity(node->raft, node->disk.hard, node->disk.boot, is_whole);
    raft_restore_end(node->raft, crowd.now);
    raft_restore_beyond(node->raft, &node->disk.beyond);
    if (is_whole) {
        raft_restore_commit(node->raft, commit);
    }
    CROWD_REQUIRE(crowd_view(node).intact == is_whole);
    crowd_app_restore(node);
    node->has_job = node->wants_checkpoint = node->is_persisting = false;
    node->read_number = 0;
    node->is_up = true;
    raft_check_invariants(node->raft);
    crowd_truth_check_log(node);
}

// Of what was being written, any part may be on the disk; nothing behind a SYNC record that is not.
void crowd_disk_crash(struct crowd_node *node)
{
    struct crowd_disk *disk = &node->disk;
    uint32_t kept = 0;
    bool is_stopped = false;
    for (uint32_t at = 0; at < disk->count; at++) {
        struct crowd_record record = disk->records[at];
        bool survives = record.is_durable || (!is_stopped && crowd_chance(50));
        is_stopped |= record.is_sync && !record.is_durable;
        if (survives) {
            record.is_durable = true;
            disk->records[kept++] = record;
        }
    }
    disk->count = kept;
    if (disk->is_hard_pending && crowd_chance(50)) {
        disk->hard = disk->hard_pending;
    }
    disk->is_hard_pending = false;
    disk->is_incomplete = !crowd_view(node).intact;
    node->is_up = false;
}

// What a node may lose without harm to what is committed: a majority of others holds all of it
// under the newest log installed anywhere.
static bool may_lose(const struct crowd_node *node)
{
    uint64_t sync_term = 0, commit = 0;
    uint32_t holders = 0;
    for (uint32_t at = 0; at < crowd.node_count; at++) {
        const struct raft_view view = crowd_view(&crowd.nodes[at]);
        sync_term = view.sync_term > sync_term ? view.sync_term : sync_term;
        commit = view.commit_high > commit ? view.commit_high : commit;
    }
    for (uint32_t at = 0; at < crowd.node_count; at++) {
        const struct crowd_node *other = &crowd.nodes[at];
        const struct raft_view view = crowd_view(other);
        holders += other != node && other->is_up && view.intact && view.synced >= commit &&
                   view.sync_term == sync_term;
    }
    return holders >= crowd.node_count / 2 + 1;
}

static void announce_boot(struct crowd_node *node)
{
    uint64_t term = crowd_view(node).term;
    for (uint16_t to = 1; to <= crowd.node_count; to++) {
        const struct raft_message news = {.type = RAFT_MSG_PRE_VOTE_REPLY,
                                          .from = crowd_id(node),
                                          .to = to,
                                          .is_parallel = true,
                                          .boot = node->disk.boot,
                                          .term = term};
        const struct raft_input input = {.kind = RAFT_IN_MESSAGE, .message = &news};
        if (&crowd.nodes[to - 1] != node && crowd.nodes[to - 1].is_up) {
            crowd_step(&crowd.nodes[to - 1], &input);
        }
    }
}

// The node restarts without its log (and checkpoint), or with a log of which any records are
// damaged, and everybody learns of it.
void crowd_disk_lose(struct crowd_node *node)
{
    struct crowd_disk *disk = &node->disk;
    if (!node->is_up || !may_lose(node)) {
        return;
    }
    crowd_disk_crash(node);
    uint32_t kept = 0, rot = 1 + (uint32_t)crowd_below(20);
    for (uint32_t at = 0; at < disk->count; at++) {
        bool is_lost =
            crowd.rough.is_volatile || crowd_chance(disk->records[at].is_sync ? 3 * rot : rot);
        if (!is_lost) {
            disk->records[kept++] = disk->records[at];
        }
    }
    disk->count = kept;
    if (crowd.rough.is_volatile) {
        disk->checkpoint = disk->checkpoint_term = 0;
        disk->beyond.count = 0;
    }
    crowd.counts.losses++;
    disk->is_incomplete = true;
    crowd_disk_start(node);
    announce_boot(node);
}
