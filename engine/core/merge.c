// From a majority of votes to the log of the term: reports, merge, fetching what is missing.
//
// Alone writes  phase (but BARRIER: install.c, FOLLOW: install_fence), reports, reported, merged,
// installed, fetch*.
// Rules   engine/README.md, "Parallel groups": a term, steps 1, 2 and 4.
//
// Voters grant only to candidates whose (sync_term, floor) is not below their own, so the winner is
// in R itself, and whatever it lacks above its floor is still in the log of whoever has it.
//
// One merge a term: once no index waits for more reports, the plan is made and stays.
#include "engine/core/parallel.h"

#include "engine/base/mark.h"
#include "engine/core/entry_crc.h"

#include <string.h>

#define FETCH_RETRY_MIN_NS UINT64_C(2000000)

void merge_forget(struct raft *raft)
{
    struct raft_parallel *parallel = raft->parallel;
    parallel->reported = parallel->merged = parallel->installed = 0;
    parallel->fetch_from = 0;
    parallel->fetch_asked_ns = 0;
}

// What this node holds. It stands still since the promise of the term (install_fence).
void merge_report(const struct raft *raft, struct raft_report *report)
{
    const struct raft_parallel *parallel = raft->parallel;
    const struct raft_log *log = &raft->log;
    memset(report, 0, sizeof(*report));
    report->sync_term = parallel->sync_term;
    report->sync_end = parallel->sync_end;
    report->commit = parallel->told_commit;
    if (parallel->sync_term == 0) {
        report->first = 1; // a checkpoint may be here; there is no log it could be part of
        return;
    }
    report->floor = log->last;
    report->last = log->held;
    report->first = log->last + 1;
    if (log->held - log->last > RAFT_WINDOW_MAX) {
        report->first = log->held - RAFT_WINDOW_MAX + 1;
    }
    for (uint64_t index = report->first; index <= log->held; index++) {
        if (log_has(log, index)) {
            bitmap_set(report->present, index - report->first);
        }
    }
}

enum raft_outcome merge_on_report(struct raft *raft, const struct raft_message *message)
{
    struct raft_parallel *parallel = raft->parallel;
    const struct raft_report *report = &message->vote_reply.report;
    if (report->sync_term > parallel->sync_term || report->sync_term >= raft->term) {
        return RAFT_IGNORED; // such a voter grants us nothing
    }
    uint32_t slot = (uint32_t)(peer_of(raft, message->from) - raft->peers);
    parallel->reports[slot] = *report;
    parallel->reported |= UINT32_C(1) << slot;
    return RAFT_OK;
}

// --- the leader: the plan ---

void merge_start(struct raft *raft)
{
    struct raft_parallel *parallel = raft->parallel;
    parallel->phase = PARALLEL_MERGE;
    parallel->phase_ns = raft->now_ns;
    merge_report(raft, &parallel->reports[raft->self_slot]);
    parallel->reported |= UINT32_C(1) << raft->self_slot;
}

static bool has_reported(const struct raft *raft, uint32_t slot)
{
    return (raft->parallel->reported >> slot) & 1;
}

struct bounds {
    uint64_t committed; // F: highest commit floor
    uint64_t last;      // end: highest index in a report of R
};

static struct bounds find_bounds(const struct raft *raft)
{
    const struct raft_parallel *parallel = raft->parallel;
    struct bounds bounds = {0};
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        const struct raft_report *report = &parallel->reports[slot];
        if (!has_reported(raft, slot)) {
            continue;
        }
        if (report->commit > bounds.committed) {
            bounds.committed = report->commit;
        }
        if (report->sync_term == parallel->sync_term && report->last > bounds.last) {
            bounds.last = report->last;
        }
    }
    return bounds;
}

static enum merge_verdict judge(const struct raft *raft, uint64_t index, uint64_t committed)
{
    const struct raft_parallel *parallel = raft->parallel;
    bool is_present = false;
    uint32_t nacks = 0;
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        const struct raft_report *report = &parallel->reports[slot];
        if (!has_reported(raft, slot)) {
            continue;
        }
        bool is_in_r = report->sync_term == parallel->sync_term;
        is_present |=
            slot != raft->self_slot && is_in_r && report_of(report, index) == REPORT_PRESENT;
        nacks += report_is_nack(report, parallel->sync_term, index);
    }
    bool is_settled = index <= parallel->sync_end || index <= committed;
    bool is_refused = nacks >= raft->config.voter_count - raft->majority + 1;
    return merge_decide(log_has(&raft->log, index), is_present, is_settled, is_refused);
}

static bool is_decided(const struct raft *raft, struct bounds bounds)
{
    if (bounds.last < bounds.committed || bounds.last > raft->log.base.index + raft->log.mask + 1) {
        return false;
    }
    for (uint64_t index = raft->log.last + 1; index <= bounds.last; index++) {
        if (judge(raft, index, bounds.committed) == MERGE_WAIT) {
            return false; // (not with honest reports: what a whole majority lacks is refused)
        }
    }
    return true;
}

static void put_noop(struct raft *raft, uint64_t index, struct raft_accept *accept)
{
    struct raft_entry_head head = {.kind = RAFT_ENTRY_NOOP};
    head.crc = raft_entry_crc(&head, NULL);
    MARK(merge_puts_a_noop);
    log_hold(&raft->parallel->staged, index, raft->term, 0, &head);
    if (accept->range.last < accept->range.first) {
        accept->range.first = index;
    }
    accept->range.last = index;
    accept->prev_term = raft->term;
    accept->is_staged = true;
}

// Decides what the log of the term is, when the reports suffice. Called after every step.
void merge_advance(struct raft *raft, struct raft_accept *accept)
{
    struct raft_parallel *parallel = raft->parallel;
    if (raft->role != RAFT_LEADER || parallel->phase != PARALLEL_MERGE || parallel->is_staging ||
        accept->range.first <= accept->range.last) {
        return;
    }
    struct bounds bounds = find_bounds(raft);
    if (!is_decided(raft, bounds) || !install_begin(raft, parallel->sync_term, bounds.last)) {
        return;
    }
    for (uint64_t index = raft->log.last + 1; index <= bounds.last; index++) {
        if (judge(raft, index, bounds.committed) == MERGE_NOOP) {
            put_noop(raft, index, accept);
        }
    }
    log_close_holes(&parallel->staged);
    parallel->merged = parallel->reported;
    parallel->merge_from = parallel->sync_term;
    parallel->phase = PARALLEL_INSTALL;
    parallel->phase_ns = raft->now_ns;
}

// A peer, or we ourselves, have installed the log of the term. With a majority everything in it is
// committed, and service begins.
void merge_on_installed(struct raft *raft, uint32_t slot)
{
    struct raft_parallel *parallel = raft->parallel;
    parallel->installed |= UINT32_C(1) << slot;
    if (parallel->phase == PARALLEL_BARRIER &&
        (uint32_t)__builtin_popcount(parallel->installed) >= raft->majority) {
        parallel->phase = PARALLEL_SERVE;
        holes_serve(raft);
    }
}

// Nothing moves: whoever has what is missing may have gone. Another election finds out.
bool merge_is_stuck(const struct raft *raft)
{
    const struct raft_parallel *parallel = raft->parallel;
    return (parallel->phase == PARALLEL_MERGE || parallel->phase == PARALLEL_INSTALL) &&
           raft->now_ns >= parallel->phase_ns + 2 * raft->config.election_timeout_max_ns;
}

// --- fetching ---

static bool can_supply(const struct raft *raft, uint32_t slot, uint64_t index)
{
    const struct raft_parallel *parallel = raft->parallel;
    return slot != raft->self_slot && (parallel->merged >> slot) & 1 &&
           parallel->reports[slot].sync_term == parallel->merge_from &&
           report_of(&parallel->reports[slot], index) == REPORT_PRESENT;
}

static bool ask_for(struct raft_fetch *fetch, uint64_t index)
{
    struct raft_range *open = &fetch->ranges[fetch->count];
    if (fetch->count > 0 && open[-1].last == index - 1) {
        open[-1].last = index;
        return true;
    }
    if (fetch->count == RAFT_GAPS_MAX) {
        return false;
    }
    *open = (struct raft_range){.first = index, .last = index};
    fetch->count++;
    return true;
}

// Asks for the first holes, as many as messages name, each from the first one that reported it and
// was not asked in vain before: the order of peers turns with every attempt.
static void ask_for_missing(struct raft *raft, struct raft_effects *effects)
{
    struct raft_parallel *parallel = raft->parallel;
    struct raft_fetch fetches[RAFT_NODES_MAX] = {0};
    uint32_t voters = raft->config.voter_count;
    uint32_t turn = (uint32_t)(raft_random(raft) % voters);
    parallel->fetch_left = 0;
    for (uint64_t index = parallel->staged.last + 1; index <= parallel->sync.end; index++) {
        for (uint32_t at = 0; at < voters && !log_has(&parallel->staged, index); at++) {
            uint32_t slot = (turn + at) % voters;
            if (can_supply(raft, slot, index)) {
                parallel->fetch_left += ask_for(&fetches[slot], index);
                break;
            }
        }
    }
    for (uint32_t slot = 0; slot < voters; slot++) {
        if (fetches[slot].count > 0) {
            struct raft_message *message = &effects->messages[effects->message_count++];
            raft_message_init(raft, RAFT_MSG_FETCH, raft->peers[slot].id, message);
            message->fetch = fetches[slot];
            MARK(merge_fetches);
        }
    }
    parallel->fetch_asked_ns = raft->now_ns;
}

// A follower answers with what it reported: entries to the winner.
static void supply(struct raft *raft, struct raft_effects *effects)
{
    struct raft_parallel *parallel = raft->parallel;
    const struct raft_log *log = &raft->log;
    for (uint32_t at = 0; at < parallel->fetch.count; at++) {
        struct raft_range wanted = parallel->fetch.ranges[at];
        uint64_t first = wanted.first > log->base.index ? wanted.first : log->base.index + 1;
        uint64_t last = first;
        while (last <= wanted.last && log_has(log, last) && log_slot(log, last)->is_placed) {
            last++;
        }
        if (last > first && effects->send_count < RAFT_SENDS_MAX) {
            effects->sends[effects->send_count++] = (struct raft_send){
                .to = parallel->fetch_from, .range = {.first = first, .last = last - 1}};
        }
    }
    parallel->fetch_from = 0;
}

void merge_collect(struct raft *raft, struct raft_effects *effects)
{
    struct raft_parallel *parallel = raft->parallel;
    if (parallel->fetch_from != 0) {
        supply(raft, effects);
    }
    bool is_missing = parallel->phase == PARALLEL_INSTALL && parallel->is_staging &&
                      parallel->staged.last < parallel->sync.end;
    if (is_missing && (parallel->fetch_asked_ns == 0 ||
                       raft->now_ns >= parallel->fetch_asked_ns + FETCH_RETRY_MIN_NS)) {
        ask_for_missing(raft, effects);
    }
}

enum raft_outcome merge_on_fetch(struct raft *raft, const struct raft_message *message)
{
    struct raft_parallel *parallel = raft->parallel;
    if (message->term != raft->term || raft->role != RAFT_FOLLOWER || parallel->is_staging ||
        parallel->reported_term != raft->term || raft->failed) {
        return message->term < raft->term ? RAFT_STALE : RAFT_IGNORED;
    }
    parallel->fetch_from = message->from;
    parallel->fetch = message->fetch;
    return RAFT_OK;
}

// Entries we asked for. By I2 they are what we would have had.
enum raft_outcome merge_on_supply(struct raft *raft, const struct raft_append *append,
                                  uint16_t from, struct raft_accept *accept)
{
    struct raft_parallel *parallel = raft->parallel;
    if (raft->role != RAFT_LEADER || parallel->phase != PARALLEL_INSTALL || !parallel->is_staging ||
        parallel->is_sync_given) {
        return RAFT_STALE;
    }
    uint32_t slot = (uint32_t)(peer_of(raft, from) - raft->peers);
    uint64_t first_new = 0, last_new = 0;
    for (uint32_t at = 0; at < append->count; at++) {
        uint64_t index = append->prev.index + 1 + at;
        if (index > parallel->staged.last && index <= parallel->sync.end &&
            !log_has(&parallel->staged, index) && can_supply(raft, slot, index)) {
            log_hold(&parallel->staged, index, raft->term, 0, &append->heads[at]);
            parallel->fetch_left -= parallel->fetch_left > 0;
            first_new = first_new == 0 ? index : first_new;
            last_new = index;
        }
    }
    if (first_new == 0) {
        return RAFT_DUPLICATE;
    }
    log_close_holes(&parallel->staged);
    accept->range = (struct raft_range){.first = first_new, .last = last_new};
    accept->prev_term = raft->term;
    accept->is_staged = true;
    parallel->phase_ns = raft->now_ns;
    if (parallel->fetch_left == 0) {
        parallel->fetch_asked_ns = 0; // all of it came: the next at once
    }
    return RAFT_OK;
}
