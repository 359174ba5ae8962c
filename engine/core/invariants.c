// What must hold between two steps, over the whole state. The simulator and test builds call it
// after every collect.
#include "engine/core/parallel.h"

static void check_log(const struct raft *raft)
{
    const struct raft_log *log = &raft->log;
    ASSERT_CMP(log->base.index, <=, raft->applied);
    ASSERT_CMP(log->base.index, <=, log->synced);
    ASSERT_CMP(log->synced, <=, log->last);
    ASSERT_CMP(log->last, <=, log->held);
    ASSERT_CMP(log->held - log->base.index, <=, log->mask + 1);
    uint64_t term = log->base.term;
    for (uint64_t index = log->base.index + 1; index <= log->last; index++) {
        const struct raft_entry *entry = log_slot(log, index);
        ASSERT(entry->is_held);
        ASSERT_CMP(entry->term, >=, term); // terms never fall along a log
        ASSERT_CMP(entry->epoch, <=, log->epoch);
        ASSERT(index > log->synced || entry->is_durable);
        term = entry->term;
    }
    ASSERT_CMP(term, <=, raft->term);
    ASSERT(log->held == log->last || !log_has(log, log->last + 1));
    ASSERT(log->synced == log->last || !log_slot(log, log->synced + 1)->is_durable);
}

static void check_loose_log(const struct raft_log *log, uint64_t term)
{
    ASSERT_CMP(log->base.index, <=, log->synced);
    ASSERT_CMP(log->synced, <=, log->last);
    ASSERT_CMP(log->last, <=, log->held);
    ASSERT_CMP(log->held - log->base.index, <=, log->mask + 1);
    for (uint64_t index = log->base.index + 1; index <= log->held; index++) {
        const struct raft_entry *entry = log_slot(log, index);
        ASSERT(entry->is_held || index > log->last);
        ASSERT(!entry->is_held || entry->term == term); // one stamp for all of it
        ASSERT(entry->is_durable || index > log->synced);
    }
    ASSERT(log->held == log->last || !log_has(log, log->last + 1));
    ASSERT(log->synced == log->last || !log_slot(log, log->synced + 1)->is_durable);
}

static void check_parallel(const struct raft *raft)
{
    const struct raft_parallel *parallel = raft->parallel;
    check_loose_log(&raft->log, parallel->sync_term);
    ASSERT_CMP(parallel->sync_term, <=, raft->term);
    ASSERT(!raft->intact || parallel->sync_end <= raft->log.last);
    if (parallel->is_staging) {
        check_loose_log(&parallel->staged, parallel->sync.term);
        ASSERT_CMP(parallel->sync.term, >, parallel->sync_term);
        ASSERT(parallel->staged.held <= parallel->sync.end ||
               parallel->staged.held == parallel->staged.base.index); // (a checkpoint passed it)
    }
    ASSERT_CMP(raft->log.base.index, <=, raft->applied);
    ASSERT_CMP(raft->applied, <=, raft->apply_given);
    ASSERT_CMP(raft->apply_given, <=, parallel->commit_high);
    ASSERT_CMP(raft->commit, <=, parallel->commit_high);
    ASSERT_CMP(raft->commit, <=, parallel->told_commit);
    ASSERT_CMP(raft->commit, <=, raft->log.last);
    ASSERT((parallel->phase != PARALLEL_FOLLOW) == (raft->role == RAFT_LEADER));
    if (parallel->phase == PARALLEL_SERVE) {
        ASSERT(install_is_done(raft) && raft->log.held == raft->log.last);
        ASSERT_CMP(parallel->commit_high, <=, raft->log.last);
        ASSERT_CMP(raft->log.last - raft->commit, <=, RAFT_WINDOW_MAX);
    }
    bool is_serving = parallel->phase == PARALLEL_SERVE;
    uint32_t waiting = 0;
    for (uint64_t index = raft->commit + 1; index <= raft->log.held; index++) {
        bool is_committed = bitmap_ring_test(&parallel->committed, index);
        bool has_quorum = bitmap_ring_test(&parallel->quorum, index);
        uint32_t holders = 0;
        for (uint32_t slot = 0; is_serving && slot < raft->config.voter_count; slot++) {
            holders += acks_has(raft, slot, index);
        }
        ASSERT(!is_serving || (has_quorum && is_committed) ||
               has_quorum == (holders >= raft->majority));
        ASSERT(!has_quorum || log_has(&raft->log, index));
        waiting += has_quorum && !is_committed;
    }
    ASSERT_CMP(parallel->waiting, ==, waiting);
}

static void check_peers(const struct raft *raft)
{
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        const struct raft_peer *peer = &raft->peers[slot];
        if (slot == raft->self_slot) {
            continue;
        }
        ASSERT_CMP(peer->match, <, peer->next);
        ASSERT_CMP(peer->match, <=, raft->log.last);
        ASSERT_CMP(peer->next, <=, raft->log.last + 1);
        ASSERT_CMP(peer->round_acked, <=, raft->round);
    }
}

void raft_check_invariants(const struct raft *raft)
{
    if (raft->parallel != NULL) {
        check_parallel(raft);
    } else {
        check_log(raft);
        ASSERT_CMP(raft->applied, <=, raft->apply_given);
        ASSERT_CMP(raft->apply_given, <=, raft->commit);
        ASSERT_CMP(raft->commit, <=, raft->log.last);
    }
    ASSERT_CMP(raft->hard_synced.term, <=, raft->term);
    ASSERT_CMP(raft->hard_given.term, <=, raft->term);
    ASSERT(raft->vote_reply_to == 0 || raft->vote_reply_to == raft->voted_for);
    ASSERT_CMP(raft->read_granted, <=, raft->read_last);
    if (raft->role == RAFT_LEADER) {
        ASSERT(raft->leader == raft->config.self && raft->voted_for == raft->config.self);
        ASSERT(raft->intact && !raft->failed && role_is_hard_synced(raft));
        ASSERT_CMP(raft->term_start, <=, raft->log.last + 1);
        check_peers(raft);
    } else {
        ASSERT(raft->parallel != NULL || raft->verified <= raft->log.last);
        ASSERT_CMP(raft->read_count, ==, 0);
    }
}
