// Installing the recovered log of a term: all of it, or nothing.
//
// Alone writes  sync_term, sync_end, staged, sync, is_sync_given, reported_term.
// Rules   engine/README.md, "Parallel groups": a term, steps 1 and 3.
//
//     begin      staged = what stays of log, stamped with the new term
//     (entries)  of the leader fill its holes, on disk as staged records
//     ready      everything up to `end` is durable: the SYNC record is written
//     done       staged takes the place of log; what staged does not have is gone ("purge")
//
// Until the record is durable nothing of the old log is given up, in memory or on disk: if the term
// rises before, this node still holds, and reports, what it held. Once the record is being written
// there is no way back: the disk may have it already. Then votes and new installs wait for it.
#include "engine/core/parallel.h"

#include "engine/base/mark.h"

bool install_is_done(const struct raft *raft)
{
    return raft->parallel->sync_term == raft->term;
}

bool install_is_pending(const struct raft *raft)
{
    const struct raft_parallel *parallel = raft->parallel;
    return parallel != NULL && parallel->is_staging && parallel->is_sync_given;
}

bool install_is_running(const struct raft *raft)
{
    const struct raft_parallel *parallel = raft->parallel;
    return parallel->is_staging && parallel->sync.term == raft->term;
}

struct raft_log *parallel_log(struct raft *raft)
{
    return raft->parallel->is_staging ? &raft->parallel->staged : &raft->log;
}

// Copies what stays into the staged log and gives it the stamp of the new term.
static void copy_kept(const struct raft *raft, struct raft_log *staged, uint64_t keep)
{
    const struct raft_log *log = &raft->log;
    uint64_t last = keep < log->held ? keep : log->held;
    *staged = (struct raft_log){.slots = staged->slots,
                                .mask = log->mask,
                                .base = log->base,
                                .last = log->base.index,
                                .held = log->base.index,
                                .synced = log->base.index,
                                .epoch = log->epoch,
                                .is_loose = true};
    for (uint64_t index = log->base.index + 1; index <= last; index++) {
        struct raft_entry *to = log_slot(staged, index);
        *to = *log_slot(log, index);
        to->term = raft->term;
        staged->held = to->is_held ? index : staged->held;
    }
    log_close_holes(staged);
}

// Begins to install the log of our term, which ends at `end`. sync_from: what we reported under
// that sync_term is part of it; 0, or not what we reported in this life: only what is committed
// stays. False: it contradicts what is committed here.
bool install_begin(struct raft *raft, uint64_t sync_from, uint64_t end)
{
    struct raft_parallel *parallel = raft->parallel;
    ASSERT(!parallel->is_staging && parallel->sync_term < raft->term);
    uint64_t committed =
        parallel->commit_high > raft->commit ? parallel->commit_high : raft->commit;
    // A checkpoint of a later state may have come before, perhaps of what this very term served. (A
    // leader's log has all that is committed anywhere.)
    uint64_t brought = raft->log.base.index;
    if (raft->role != RAFT_LEADER && parallel->restored_high > brought) {
        brought = parallel->restored_high;
    }
    if (end < committed && committed > brought) {
        return false;
    }
    bool is_same_lineage =
        sync_from != 0 && sync_from == parallel->sync_term && parallel->reported_term == raft->term;
    if (!is_same_lineage) {
        MARK(install_keeps_only_what_is_committed);
    }
    raft->log.epoch++;
    bool keeps_all = is_same_lineage || raft->commit > end;
    parallel->sync =
        (struct raft_sync){.term = raft->term, .end = end, .keep = keeps_all ? end : raft->commit};
    copy_kept(raft, &parallel->staged, parallel->sync.keep);
    parallel->is_staging = true;
    parallel->is_sync_given = false;
    raft->verified = parallel->staged.last;
    return true;
}

// Names a hole to the leader index by index: there may be hundreds, of one entry each. False: as
// far as the bits do not reach, and behind the last entry that is held, holes are told as ranges.
bool install_names_hole(const struct raft *raft, struct raft_range hole,
                        struct raft_append_reply *reply)
{
    const struct raft_log *staged = &raft->parallel->staged;
    if (!install_is_running(raft) || hole.last >= staged->held ||
        hole.last > reply->match + RAFT_WINDOW_MAX) {
        return false;
    }
    uint32_t end = (uint32_t)(hole.last - reply->match);
    bitmap_set_range(reply->missing, hole.first - reply->match - 1, end);
    reply->missing_count = reply->missing_count > end ? reply->missing_count : end;
    return true;
}

// The term rises: nothing more of the old term is taken or acknowledged (role.c), so what the log
// holds now is what a report says of it. Writes that complete later still count, but never to the
// old leader. An install that is not past the point of no return is given up.
void install_fence(struct raft *raft)
{
    struct raft_parallel *parallel = raft->parallel;
    if (parallel->is_staging && !parallel->is_sync_given) {
        MARK(install_given_up);
        parallel->is_staging = false;
    }
    parallel->phase = PARALLEL_FOLLOW;
    merge_forget(raft);
}

// Everything up to the end is here and durable?
bool install_is_ready(const struct raft *raft)
{
    const struct raft_parallel *parallel = raft->parallel;
    const struct raft_log *staged = &parallel->staged;
    return parallel->is_staging && !parallel->is_sync_given && parallel->sync.term == raft->term &&
           staged->last >= parallel->sync.end && staged->synced >= parallel->sync.end;
}

void install_collect(struct raft *raft, struct raft_effects *effects)
{
    struct raft_parallel *parallel = raft->parallel;
    if (!raft->failed && install_is_ready(raft) && role_is_hard_synced(raft)) {
        parallel->is_sync_given = true;
        effects->sync_due = true;
        effects->sync = parallel->sync;
    }
}

// The SYNC record is durable: the staged log is ours.
enum raft_outcome install_on_sync(struct raft *raft, uint64_t sync_term)
{
    struct raft_parallel *parallel = raft->parallel;
    if (!install_is_pending(raft) || parallel->sync.term != sync_term) {
        return RAFT_STALE;
    }
    struct raft_entry *slots = raft->log.slots;
    uint32_t epoch = raft->log.epoch;
    raft->log = parallel->staged;
    raft->log.epoch = epoch + 1;
    parallel->staged.slots = slots;
    parallel->is_staging = parallel->is_sync_given = false;
    parallel->sync_term = parallel->sync.term;
    parallel->sync_end = parallel->sync.end;
    // What is committed on its own stays committed, but as an entry of this log.
    holes_forget(raft);
    raft->verified = raft->log.last;
    parallel->durable_high = raft->log.held;
    raft->reply_due = true;
    if (raft->role == RAFT_LEADER && install_is_done(raft)) {
        parallel->phase = PARALLEL_BARRIER;
        parallel->phase_ns = raft->now_ns;
        raft->term_start = parallel->sync_end + 1;
        for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
            replicate_reset_peer(raft, &raft->peers[slot]);
        }
        merge_on_installed(raft, raft->self_slot);
    }
    rejoin_advance(raft);
    return RAFT_OK;
}

static void rebase(struct raft_log *log, struct raft_entry_id base)
{
    if (base.index <= log->base.index) {
        return;
    }
    log->base = base;
    log->last = log->last > base.index ? log->last : base.index;
    log->held = log->held > log->last ? log->held : log->last;
    log->synced = log->synced > base.index ? log->synced : base.index;
    log_close_holes(log);
}

// Everything up to base is applied and need not be kept: trimmed, or covered by a checkpoint.
void install_rebase(struct raft *raft, struct raft_entry_id base)
{
    rebase(&raft->log, base);
    if (raft->parallel->is_staging) {
        rebase(&raft->parallel->staged, base);
        raft->verified = raft->parallel->staged.last;
    }
}

// --- recovery: the same in file order ---

int raft_restore_staged(struct raft *raft, struct raft_entry_id id,
                        const struct raft_entry_head *head, uint64_t body)
{
    struct raft_parallel *parallel = raft->parallel;
    ASSERT(parallel != NULL);
    if (parallel->restored_term != id.term) {
        parallel->staged.base = raft->log.base;
        log_reset(&parallel->staged, raft->log.base);
        parallel->restored_term = id.term;
    }
    return log_restore(&parallel->staged, id, 0, head, body);
}

void raft_restore_sync(struct raft *raft, const struct raft_sync *sync)
{
    struct raft_parallel *parallel = raft->parallel;
    struct raft_log *log = &raft->log, *staged = &parallel->staged;
    ASSERT(parallel != NULL);
    bool has_staged = parallel->restored_term == sync->term;
    uint64_t held = log->base.index;
    for (; log->held < sync->end && log->held < log->base.index + log->mask + 1; log->held++) {
        log_slot(log, log->held + 1)->is_held = false;
    }
    for (uint64_t index = log->base.index + 1; index <= log->held; index++) {
        struct raft_entry *entry = log_slot(log, index);
        entry->is_held = entry->is_held && index <= sync->keep;
        if (has_staged && index <= sync->end && log_has(staged, index)) {
            *entry = *log_slot(staged, index);
        }
        held = entry->is_held ? index : held;
    }
    log->held = held;
    parallel->restored_term = 0;
    parallel->sync_term = sync->term;
    parallel->sync_end = sync->end;
}
