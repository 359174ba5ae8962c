// From a majority of votes to the log of the term: reports, merge, fetching what is missing.
//
// Alone writes  phase (but BARRIER: install.c, FOLLOW: install_fence), reports, reported, merged,
// installed, fetch*, asked, answered, silent, supply*.
// Rules   engine/README.md, "Parallel groups": a term, steps 1, 2 and 4.
//
// Voters grant only to candidates whose (sync_term, floor) is not below their own, so the winner is
// in R itself, and whatever it lacks above its floor is still in the log of whoever has it.
//
// One merge a term: once no index waits for more reports, the plan is made and stays.
//
// Fetching  Every source is asked, in one message, for all that it is to send; one asking at a
// time. It sends what its window lets through, and says how far that goes. So what is awaited is
// known: the next asking is due when it is here, or when nothing has come for a while.
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
    memset(parallel->asked, 0, sizeof(parallel->asked));
    parallel->answered = parallel->silent = 0;
    parallel->fetch_due_ns = 0;
    parallel->fetch_retry_ns = FETCH_RETRY_MIN_NS;
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

// --- fetching: the winner ---

bool merge_is_fetching(const struct raft *raft)
{
    const struct raft_parallel *parallel = raft->parallel;
    return parallel->phase == PARALLEL_INSTALL && parallel->is_staging &&
           parallel->staged.last < parallel->sync.end;
}

static bool can_supply(const struct raft *raft, uint32_t slot, uint64_t index)
{
    const struct raft_parallel *parallel = raft->parallel;
    return slot != raft->self_slot && (parallel->merged >> slot) & 1 &&
           parallel->reports[slot].sync_term == parallel->merge_from &&
           report_of(&parallel->reports[slot], index) == REPORT_PRESENT;
}

// Who is asked for an entry: the first in turn that has it, but rather one that is not silent.
// voter_count: nobody has it.
static uint32_t source_of(const struct raft *raft, uint64_t index, uint32_t turn)
{
    uint32_t voters = raft->config.voter_count, source = voters;
    for (uint32_t at = 0; at < voters; at++) {
        uint32_t slot = (turn + at) % voters;
        if (can_supply(raft, slot, index)) {
            bool is_silent = (raft->parallel->silent >> slot) & 1;
            source = source == voters || !is_silent ? slot : source;
            if (!is_silent) {
                break;
            }
        }
    }
    return source;
}

static bool is_answer_due(const struct raft *raft)
{
    bool is_due = false;
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        is_due |= raft->parallel->asked[slot].count > 0;
    }
    return is_due;
}

// An answer may keep silent so long from now on, if not for longer already.
static void be_patient(struct raft *raft, uint64_t ns)
{
    struct raft_parallel *parallel = raft->parallel;
    uint64_t most = raft->config.election_timeout_min_ns / 2; // a few askings before we are stuck
    ns = ns < most ? ns : most;
    parallel->fetch_retry_ns = parallel->fetch_retry_ns > ns ? parallel->fetch_retry_ns : ns;
}

// The last asking brought no more. Who kept silent may be gone, or further away than we waited.
static void note_silence(struct raft *raft)
{
    struct raft_parallel *parallel = raft->parallel;
    bool is_vain = is_answer_due(raft) && parallel->answered == 0;
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        if (parallel->asked[slot].count > 0 && !((parallel->answered >> slot) & 1)) {
            parallel->silent |= UINT32_C(1) << slot;
        }
    }
    if (is_vain) {
        be_patient(raft, 2 * parallel->fetch_retry_ns);
    }
}

// Asks for everything that is missing, as far as a message reaches and the window lets through:
// each entry from one that reported it, in a turn that changes with every asking.
static void ask_for_missing(struct raft *raft, struct raft_effects *effects)
{
    struct raft_parallel *parallel = raft->parallel;
    uint32_t voters = raft->config.voter_count, left = raft->config.window_entries;
    uint32_t turn = (uint32_t)(raft_random(raft) % voters);
    uint64_t end = parallel->staged.last + RAFT_WINDOW_MAX; // what is missing begins behind it
    end = end < parallel->sync.end ? end : parallel->sync.end;
    note_silence(raft);
    memset(parallel->asked, 0, sizeof(parallel->asked));
    parallel->answered = 0;
    parallel->fetch_number++;
    for (uint64_t index = parallel->staged.last + 1; index <= end && left > 0; index++) {
        uint32_t source = log_has(&parallel->staged, index) ? voters : source_of(raft, index, turn);
        if (source < voters) {
            raft_wanted_add(&parallel->asked[source], index);
            left--;
        }
    }
    for (uint32_t slot = 0; slot < voters; slot++) {
        if (parallel->asked[slot].count > 0) {
            struct raft_message *message = &effects->messages[effects->message_count++];
            raft_message_init(raft, RAFT_MSG_FETCH, raft->peers[slot].id, message);
            message->fetch.number = parallel->fetch_number;
            message->fetch.wanted = parallel->asked[slot];
            MARK(merge_fetches);
        }
    }
    parallel->fetch_due_ns = raft->now_ns + parallel->fetch_retry_ns;
}

// Of what was asked for there, the entries from first to last are not awaited any more.
static void await_no_more(struct raft *raft, uint32_t slot, uint64_t first, uint64_t last)
{
    struct raft_wanted *asked = &raft->parallel->asked[slot];
    uint64_t end = asked->first + asked->count;
    first = first > asked->first ? first : asked->first;
    if (first < end && first <= last) {
        uint64_t stop = last < end ? last + 1 : end;
        bitmap_clear_range(asked->bits, first - asked->first, stop - asked->first);
        if (bitmap_find_set(asked->bits, 0, asked->count) == asked->count) {
            asked->count = 0;
        }
    }
}

// What came is not awaited any more, nor what the answer to the last asking leaves out. With the
// last of it the next asking is due.
static void note_answer(struct raft *raft, uint32_t from, const struct raft_append *append)
{
    struct raft_parallel *parallel = raft->parallel;
    uint64_t first = append->prev.index + 1, last = append->prev.index + append->count;
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        await_no_more(raft, slot, first, last);
    }
    if (append->round == parallel->fetch_number) {
        await_no_more(raft, from, append->sync_end + 1, RAFT_INDEX_MAX);
    }
    parallel->answered |= UINT32_C(1) << from;
    parallel->silent &= ~(UINT32_C(1) << from);
    parallel->fetch_due_ns = is_answer_due(raft) ? raft->now_ns + parallel->fetch_retry_ns : 0;
}

// Entries we asked for. By I2 they are what we would have had, whichever asking they answer.
enum raft_outcome merge_on_supply(struct raft *raft, const struct raft_append *append,
                                  uint16_t from, struct raft_accept *accept)
{
    struct raft_parallel *parallel = raft->parallel;
    if (raft->role != RAFT_LEADER || parallel->phase != PARALLEL_INSTALL || !parallel->is_staging ||
        parallel->is_sync_given) {
        return RAFT_STALE;
    }
    uint32_t slot = (uint32_t)(peer_of(raft, from) - raft->peers);
    uint64_t first = append->prev.index + 1, first_new = 0, last_new = 0;
    for (uint32_t at = 0; at < append->count; at++) {
        uint64_t index = first + at;
        if (index > parallel->staged.last && index <= parallel->sync.end &&
            !log_has(&parallel->staged, index) && can_supply(raft, slot, index)) {
            log_hold(&parallel->staged, index, raft->term, 0, &append->heads[at]);
            first_new = first_new == 0 ? index : first_new;
            last_new = index;
        }
    }
    if (first_new != 0) {
        be_patient(raft, 2 * (raft->now_ns - parallel->phase_ns)); // large entries on a slow link
        parallel->phase_ns = raft->now_ns;
    }
    note_answer(raft, slot, append);
    if (first_new == 0) {
        return RAFT_DUPLICATE;
    }
    log_close_holes(&parallel->staged);
    accept->range = (struct raft_range){.first = first_new, .last = last_new};
    accept->prev_term = raft->term;
    accept->is_staged = true;
    return RAFT_OK;
}

// --- fetching: a follower ---

// Leaves of what is wanted what is here, and what the windows let through at once. The winner asks
// for the rest when it has that.
static void limit_answer(struct raft *raft)
{
    struct raft_parallel *parallel = raft->parallel;
    const struct raft_log *log = &raft->log;
    struct raft_wanted *wanted = &parallel->fetch.wanted;
    uint64_t entries = 0, bytes = 0;
    uint32_t bit = (uint32_t)bitmap_find_set(wanted->bits, 0, wanted->count);
    for (; bit < wanted->count;
         bit = (uint32_t)bitmap_find_set(wanted->bits, bit + 1, wanted->count)) {
        uint64_t index = wanted->first + bit;
        if (!log_has(log, index) || !log_slot(log, index)->is_placed) {
            bitmap_clear(wanted->bits, bit);
            continue;
        }
        bytes += log_slot(log, index)->head.bytes;
        if (entries++ > 0 &&
            (entries > raft->config.window_entries || bytes > raft->config.window_bytes)) {
            bitmap_clear_range(wanted->bits, bit, wanted->count);
            wanted->count = bit;
        }
    }
    parallel->supply_end = wanted->first + wanted->count - 1;
}

enum raft_outcome merge_on_fetch(struct raft *raft, const struct raft_message *message)
{
    struct raft_parallel *parallel = raft->parallel;
    if (message->term != raft->term || raft->role != RAFT_FOLLOWER || parallel->is_staging ||
        parallel->reported_term != raft->term || raft->failed) {
        return message->term < raft->term ? RAFT_STALE : RAFT_IGNORED;
    }
    bool is_of_this_asker = message->from == parallel->fetch_from;
    if (is_of_this_asker && message->fetch.number <= parallel->fetch.number) {
        return RAFT_STALE;
    }
    parallel->fetch_from = message->from;
    parallel->fetch = message->fetch;
    limit_answer(raft);
    parallel->supply_next = message->fetch.wanted.first;
    return RAFT_OK;
}

// Answers with what was reported to the winner, until the log of the term is being installed here:
// then the winner has all of it.
static void supply(struct raft *raft, struct raft_effects *effects)
{
    struct raft_parallel *parallel = raft->parallel;
    const struct raft_wanted *wanted = &parallel->fetch.wanted;
    uint64_t base = raft->log.base.index;
    if (parallel->is_staging) {
        parallel->fetch_from = 0;
        return;
    }
    struct raft_send send = {
        .to = parallel->fetch_from, .range = {.last = parallel->supply_end}, .only = wanted};
    struct raft_range run;
    uint64_t next = parallel->supply_next > base ? parallel->supply_next : base + 1;
    if (next <= parallel->supply_end && raft_send_next(&send, next, &run)) {
        send.range.first = run.first;
        effects->sends[effects->send_count++] = send;
    }
    parallel->supply_next = parallel->supply_end + 1;
}

// The frames ran out: goes on from there with the next collect.
void merge_on_unsent(struct raft *raft, uint16_t peer, uint64_t index)
{
    struct raft_parallel *parallel = raft->parallel;
    if (peer == parallel->fetch_from && index >= parallel->fetch.wanted.first &&
        index < parallel->supply_next) {
        parallel->supply_next = index;
    }
}

void merge_collect(struct raft *raft, struct raft_effects *effects)
{
    struct raft_parallel *parallel = raft->parallel;
    if (parallel->fetch_from != 0) {
        supply(raft, effects);
    }
    if (merge_is_fetching(raft) && raft->now_ns >= parallel->fetch_due_ns) {
        ask_for_missing(raft, effects);
    }
}
