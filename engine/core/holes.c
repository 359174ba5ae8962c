// Service with holes: what is taken, acknowledged, committed and given to apply, in any order.
//
// Alone writes  committed, given, applied, ready, commit (of parallel groups), and a follower's
//               quorum, waiting (a leader's: acks.c).
// Rules   engine/README.md, "Parallel groups": a term, steps 5 to 7.
//
//     commit   floor: everything up to it is committed
//     above    an entry is committed when a majority holds it durably and everything it depends on
//              is at or below the floor; entries that do not conflict do not wait for each other
//
// A follower is told the leader's floor and, with every entry, what that depends on. What it holds
// at or below the floor told is chosen for good, and is committed here by the same rule: everything
// it depends on is at or below the own floor, which ends where something is missing. (What the
// leader has committed above its floor is not told: it follows as soon as a majority has no hole.)
//
// What is committed is given to apply at once, in the order of commits: everything that an entry
// depends on was given before it.
#include "engine/core/parallel.h"

#include "engine/base/mark.h"

// --- the follower ---

// Takes what is new in the message. Only what belongs to the log of this term is taken: up to its
// end while it is being installed, anything behind it then (I1).
static void take_entries(struct raft *raft, const struct raft_append *append,
                         struct raft_accept *accept)
{
    struct raft_log *log = parallel_log(raft);
    bool is_staging = raft->parallel->is_staging;
    uint64_t limit = log->base.index + log->mask + 1;
    if (is_staging && raft->parallel->sync.end < limit) {
        limit = raft->parallel->sync.end;
    }
    uint64_t first_new = 0, last_new = 0;
    for (uint32_t at = 0; at < append->count; at++) {
        uint64_t index = append->prev.index + 1 + at;
        if (index > limit) {
            break;
        }
        if (index <= log->last || log_has(log, index)) {
            continue;
        }
        first_new = first_new == 0 ? index : first_new;
        if (index == log->last + 1 && log->held == log->last) {
            uint64_t room = limit - log->last, left = append->count - at;
            log_extend(log, raft->term, &append->heads[at], (uint32_t)(left < room ? left : room));
            last_new = log->last;
            break;
        }
        MARK(entry_taken_beyond_a_hole);
        append_hold(raft, index, raft->term, 0, &append->heads[at]);
        depend_take(raft, append, at);
        last_new = index;
    }
    log_close_holes(log);
    if (first_new != 0) {
        accept->range = (struct raft_range){.first = first_new, .last = last_new};
        accept->prev_term = raft->term;
        accept->is_staged = is_staging;
    }
}

// An append of our term's leader, which was heard already.
enum raft_outcome holes_on_append(struct raft *raft, const struct raft_append *append,
                                  struct raft_accept *accept)
{
    struct raft_parallel *parallel = raft->parallel;
    if (!append->has_sync || install_is_pending(raft)) {
        raft->reply_due = true; // who merges for long must hear that it still leads
        return append->count == 0 ? RAFT_OK : RAFT_IGNORED;
    }
    if (!install_is_done(raft) && !parallel->is_staging &&
        !install_begin(raft, append->sync_from, append->sync_end)) {
        return RAFT_IGNORED; // contradicts what is committed here
    }
    if (append->sync_end != (parallel->is_staging ? parallel->sync.end : parallel->sync_end)) {
        return RAFT_IGNORED; // the log of a term has one end
    }
    uint64_t upto = append->prev.index + append->count;
    raft->leader_last = raft->leader_last > upto ? raft->leader_last : upto;
    uint64_t held = parallel_log(raft)->held;
    take_entries(raft, append, accept);
    raft->verified = parallel_log(raft)->last;
    if (install_is_done(raft)) {
        holes_commit_upto(raft, raft->leader_commit, accept->range);
    }
    bool is_news = accept->range.first <= accept->range.last;
    raft->reply_due |= !is_news || accept->range.first > held + 1;
    // While installing, further holes are named when those named are filled.
    raft->reply_due |= parallel->is_staging && raft->verified >= raft->gap_asked_last &&
                       raft->verified < raft->leader_last;
    if (!is_news) {
        return append->count == 0 ? RAFT_OK : RAFT_DUPLICATE;
    }
    return accept->range.first > raft->verified ? RAFT_HOLE : RAFT_OK;
}

// Which of 64 entries from `first` on, up to `last` (held at most), are durable here: once an
// answer, over all that lies beyond the floor.
static uint64_t durable_word(const struct raft_log *log, uint64_t first, uint64_t last)
{
    uint64_t word = 0, count = last - first + 1 < 64 ? last - first + 1 : 64;
    for (uint64_t bit = 0; bit < count; bit++) {
        const struct raft_entry *entry = log_slot(log, first + bit); // (of a hole: all zero)
        word |= (uint64_t)(entry->is_held & entry->is_durable) << bit;
    }
    return word;
}

// Acknowledges what is durable beyond the floor.
void holes_fill_acks(struct raft *raft, struct raft_append_reply *reply)
{
    const struct raft_log *log = parallel_log(raft);
    reply->match = log->synced;
    reply->held = log->last;
    reply->is_installed = install_is_done(raft);
    raft->parallel->acks_due = false;
    if (!reply->is_installed) {
        // What is not of this term's log counts for nothing; what is staged of it tells how far we
        // are. (The leader sends nothing up to match again, so a former term's may not pass for
        // it.)
        bool is_ours = install_is_running(raft);
        reply->match = is_ours ? reply->match : 0;
        reply->held = is_ours ? reply->held : 0;
        return;
    }
    uint64_t last = log->synced + RAFT_WINDOW_MAX;
    last = raft->parallel->durable_high < last ? raft->parallel->durable_high : last;
    last = last < log->held ? last : log->held;
    uint32_t word = 0;
    for (uint64_t first = log->synced + 1; first <= last; first += 64, word++) {
        reply->acked[word] = durable_word(log, first, last);
        if (reply->acked[word] != 0) {
            reply->acked_count = 64 * word + 64 - (uint32_t)__builtin_clzll(reply->acked[word]);
        }
    }
    if (reply->acked_count > 0) {
        MARK(acknowledged_beyond_a_hole);
    }
}

// --- what is given to apply ---

static void give_range(struct raft *raft, uint64_t first, uint64_t last)
{
    struct raft_parallel *parallel = raft->parallel;
    struct raft_range *newest = &parallel->ready[(parallel->ready_tail - 1) & parallel->ready_mask];
    if (parallel->ready_tail > parallel->ready_head && newest->last == first - 1) {
        newest->last = last;
        return;
    }
    ASSERT_CMP(parallel->ready_tail - parallel->ready_head, <=, parallel->ready_mask);
    parallel->ready[parallel->ready_tail++ & parallel->ready_mask] =
        (struct raft_range){.first = first, .last = last};
}

// The floor of what is applied goes over what was applied before, as far as the commit floor. (What
// a checkpoint brought may be above it, and not in the log.)
static void advance_applied(struct raft *raft)
{
    struct raft_parallel *parallel = raft->parallel;
    uint64_t end = parallel->applied_high < raft->commit ? parallel->applied_high : raft->commit;
    while (raft->applied < end && bitmap_ring_test(&parallel->applied, raft->applied + 1)) {
        bitmap_ring_clear(&parallel->applied, ++raft->applied);
    }
}

// Everything up to the commit floor that was not given before.
static void give_upto_commit(struct raft *raft)
{
    struct raft_parallel *parallel = raft->parallel;
    uint64_t first = raft->apply_given + 1, end = raft->commit + 1;
    advance_applied(raft);
    if (first >= end) {
        return;
    }
    raft->apply_given = raft->commit;
    if (parallel->given_high < first) {
        give_range(raft, first, raft->commit); // nearly always
        return;
    }
    for (uint64_t next = first; next < end;) {
        uint64_t from = bitmap_ring_find_clear(&parallel->given, next, end);
        next = bitmap_ring_find_set(&parallel->given, from, end);
        if (from < next) {
            give_range(raft, from, next - 1);
        }
    }
    bitmap_ring_clear_range(&parallel->given, first, end);
    // What was given beyond may continue the floor now.
    while (raft->apply_given < parallel->given_high &&
           bitmap_ring_test(&parallel->given, raft->apply_given + 1)) {
        bitmap_ring_clear(&parallel->given, ++raft->apply_given);
    }
}

static void give_beyond(struct raft *raft, uint64_t index)
{
    struct raft_parallel *parallel = raft->parallel;
    if (index <= raft->apply_given || bitmap_ring_test(&parallel->given, index)) {
        return;
    }
    MARK(applied_beyond_the_commit_floor);
    give_range(raft, index, index);
    bitmap_ring_set(&parallel->given, index);
    parallel->given_high = parallel->given_high > index ? parallel->given_high : index;
}

bool raft_apply_take(struct raft *raft, uint32_t max, struct raft_range *range)
{
    struct raft_parallel *parallel = raft->parallel;
    ASSERT(parallel != NULL && max > 0);
    if (parallel->ready_head == parallel->ready_tail) {
        return false;
    }
    struct raft_range *oldest = &parallel->ready[parallel->ready_head & parallel->ready_mask];
    uint64_t count = oldest->last - oldest->first + 1;
    count = count < max ? count : max;
    *range = (struct raft_range){.first = oldest->first, .last = oldest->first + count - 1};
    oldest->first += count;
    parallel->ready_head += oldest->first > oldest->last;
    return true;
}

bool raft_has_to_apply(const struct raft *raft)
{
    return raft->parallel->ready_head != raft->parallel->ready_tail;
}

void holes_applied(struct raft *raft, struct raft_range range)
{
    struct raft_parallel *parallel = raft->parallel;
    uint64_t first = range.first > raft->applied ? range.first : raft->applied + 1;
    if (first > range.last) {
        return;
    }
    parallel->applied_high =
        parallel->applied_high > range.last ? parallel->applied_high : range.last;
    if (first == raft->applied + 1) {
        raft->applied = range.last;
    } else {
        bitmap_ring_set_range(&parallel->applied, first, range.last + 1);
    }
    advance_applied(raft);
}

void raft_applied_beyond(const struct raft *raft, struct raft_beyond *beyond)
{
    const struct raft_parallel *parallel = raft->parallel;
    *beyond = (struct raft_beyond){0};
    uint64_t index = raft->applied + 1, end = parallel == NULL ? 0 : parallel->applied_high + 1;
    for (; index < end; index++) {
        index = bitmap_ring_find_set(&parallel->applied, index, end);
        if (index < end) {
            bitmap_set(beyond->bits, index - raft->applied - 1);
        }
    }
    beyond->count = end > raft->applied + 1 ? (uint32_t)(end - raft->applied - 1) : 0;
}

// The state machine holds these, too: they are committed, whether the log here has them or not, and
// are not to be applied again when they come (or are found in it).
static void restore_beyond(struct raft *raft, uint64_t floor, const struct raft_beyond *beyond)
{
    struct raft_parallel *parallel = raft->parallel;
    ASSERT_CMP(beyond->count, <=, parallel->applied.capacity);
    for (uint32_t bit = 0; bit < beyond->count; bit++) {
        uint64_t index = floor + 1 + bit;
        if (!bitmap_test(beyond->bits, bit)) {
            continue;
        }
        bitmap_ring_set(&parallel->applied, index);
        bitmap_ring_set(&parallel->given, index);
        parallel->applied_high = parallel->given_high = parallel->restored_high = index;
        if (index > raft->commit) {
            bitmap_ring_set(&parallel->committed, index);
            parallel->commit_high = index;
        }
        MARK(restored_beyond_a_hole);
    }
}

// The state machine was put to what a checkpoint holds: everything up to index, and what is named
// beyond it (NULL: nothing).
void holes_restored(struct raft *raft, uint64_t index, const struct raft_beyond *beyond)
{
    struct raft_parallel *parallel = raft->parallel;
    bitmap_ring_clear_range(&parallel->given, 0, parallel->given.capacity);
    bitmap_ring_clear_range(&parallel->applied, 0, parallel->applied.capacity);
    bitmap_ring_clear_range(&parallel->committed, 0, parallel->committed.capacity);
    holes_forget(raft);
    parallel->ready_head = parallel->ready_tail;
    raft->applied = raft->apply_given = parallel->applied_high = parallel->given_high = index;
    parallel->restored_high = index;
    raft->commit = raft->commit > index ? raft->commit : index;
    parallel->commit_high = raft->commit;
    if (beyond != NULL) {
        restore_beyond(raft, index, beyond);
    }
    parallel->told_commit =
        parallel->told_commit > raft->commit ? parallel->told_commit : raft->commit;
    give_upto_commit(raft);
}

// --- committing ---

static void set_commit(struct raft *raft, uint64_t commit)
{
    struct raft_parallel *parallel = raft->parallel;
    if (parallel->commit_high > raft->commit) {
        bitmap_ring_clear_range(&parallel->committed, raft->commit + 1, commit + 1);
    }
    raft->commit = commit;
    parallel->commit_high = parallel->commit_high > commit ? parallel->commit_high : commit;
    parallel->told_commit = parallel->told_commit > commit ? parallel->told_commit : commit;
}

// The floor passes the entry, which waits no longer.
static void leave_quorum(struct raft_parallel *parallel, uint64_t index)
{
    bitmap_ring_clear(&parallel->quorum, index);
    parallel->waiting -= !bitmap_ring_test(&parallel->committed, index);
}

// The log is another one: nothing of the old one waits, or is known to be held.
void holes_forget(struct raft *raft)
{
    struct raft_parallel *parallel = raft->parallel;
    bitmap_ring_clear_range(&parallel->quorum, 0, parallel->quorum.capacity);
    parallel->waiting = 0;
    parallel->noted = 0;
}

static void commit_beyond(struct raft *raft, uint64_t index)
{
    struct raft_parallel *parallel = raft->parallel;
    bitmap_ring_set(&parallel->committed, index);
    parallel->commit_high = parallel->commit_high > index ? parallel->commit_high : index;
    give_beyond(raft, index);
}

// Commits those of `range` above the floor that wait for nothing but it. Those outside of `fresh`
// have waited.
static void commit_waiting(struct raft *raft, struct raft_range range, struct raft_range fresh)
{
    struct raft_parallel *parallel = raft->parallel;
    uint64_t index = range.first > raft->commit ? range.first : raft->commit + 1;
    for (uint64_t left = parallel->waiting; left > 0 && index <= range.last; index++) {
        index = bitmap_ring_find_set(&parallel->quorum, index, range.last + 1);
        if (index > range.last) {
            return;
        }
        if (bitmap_ring_test(&parallel->committed, index)) {
            continue;
        }
        left--;
        if (depends_on(raft, index) <= raft->commit) {
            if (index < fresh.first || index > fresh.last) {
                MARK(conflict_waited_for_the_floor);
            }
            parallel->waiting--;
            commit_beyond(raft, index);
        }
    }
}

// Moves the floor over what a majority holds, and commits what waited for that; else what came
// lately. The floor goes first: nearly always it takes everything with it, in order.
static void advance_commit(struct raft *raft)
{
    struct raft_parallel *parallel = raft->parallel;
    struct raft_range fresh;
    uint64_t commit = acks_gather(raft, &fresh);
    bool is_moved = commit > raft->commit;
    if (is_moved) {
        acks_pass(raft, commit);
        set_commit(raft, commit);
        give_upto_commit(raft);
    }
    if (parallel->waiting > 0) {
        struct raft_range beyond = {.first = commit + 1, .last = parallel->acked_high};
        commit_waiting(raft, is_moved ? beyond : fresh, fresh);
    }
}

// --- committing: the follower ---

// Where a look-behind buffer of that many entries ends to help: what is missing is known from one
// of the entries behind it, unless all of these are missing too. Nothing is applied from there on.
static uint64_t find_blind_spot(const struct raft *raft, uint64_t end)
{
    const struct bitmap_ring *held = &raft->parallel->quorum;
    for (uint64_t index = raft->log.last + 1; index < end;) {
        uint64_t next = bitmap_ring_find_set(held, index, end);
        if (next - index > raft->config.look_behind) {
            MARK(look_behind_does_not_reach);
            return index;
        }
        index = bitmap_ring_find_clear(held, next, end);
    }
    return end;
}

// Notes which of these entries are held.
static void note_held(struct raft *raft, uint64_t first, uint64_t last)
{
    struct raft_parallel *parallel = raft->parallel;
    first = first > raft->commit ? first : raft->commit + 1;
    last = last < raft->log.held ? last : raft->log.held;
    for (uint64_t index = first; index <= last; index++) {
        if (log_has(&raft->log, index) && !bitmap_ring_test(&parallel->quorum, index)) {
            bitmap_ring_set(&parallel->quorum, index);
            parallel->waiting += !bitmap_ring_test(&parallel->committed, index);
        }
    }
}

// Everything up to `told` is chosen, and some of it is missing: commits what is held behind and
// does not depend on it. `taken` came just now.
static void commit_over_hole(struct raft *raft, uint64_t told, struct raft_range taken,
                             bool is_floor_new)
{
    struct raft_parallel *parallel = raft->parallel;
    uint64_t first = parallel->noted + 1,
             end = told < raft->log.held ? told + 1 : raft->log.held + 1;
    note_held(raft, first, told);
    parallel->noted = told;
    if (taken.first <= taken.last) {
        note_held(raft, taken.first, taken.last < told ? taken.last : told);
        first = taken.first < first ? taken.first : first;
    }
    struct raft_range fresh = {.first = first, .last = end - 1}, range = fresh;
    if (is_floor_new) {
        range.first = raft->commit + 1;
    }
    if (raft->config.look_behind != 0) {
        range =
            (struct raft_range){.first = raft->commit + 1, .last = find_blind_spot(raft, end) - 1};
    }
    uint32_t waiting = parallel->waiting;
    commit_waiting(raft, range, fresh);
    if (parallel->waiting < waiting) {
        MARK(follower_commits_over_a_hole);
    }
}

// A follower is told a floor by the leader of its term, whose log it has, or by its own log when it
// starts. `taken` came with it, or nothing did.
void holes_commit_upto(struct raft *raft, uint64_t told, struct raft_range taken)
{
    struct raft_parallel *parallel = raft->parallel;
    uint64_t before = raft->commit, commit = told < raft->log.last ? told : raft->log.last;
    parallel->told_commit = parallel->told_commit > told ? parallel->told_commit : told;
    if (commit > before) {
        bool has_beyond = parallel->waiting > 0 || parallel->commit_high > before;
        for (uint64_t index = before + 1; has_beyond && index <= commit; index++) {
            if (bitmap_ring_test(&parallel->quorum, index)) {
                leave_quorum(parallel, index);
            }
        }
        set_commit(raft, commit);
        give_upto_commit(raft);
    }
    if (told > raft->log.last && raft->log.held > raft->log.last) {
        commit_over_hole(raft, told, taken, commit > before);
    }
}

// --- acknowledgements ---

// Could these be acknowledgements of what we sent?
bool holes_are_acks_sound(const struct raft *raft, const struct raft_append_reply *reply)
{
    return reply->match + reply->acked_count <= raft->log.last;
}

void holes_take_acks(struct raft *raft, uint32_t slot, const struct raft_append_reply *reply)
{
    struct raft_peer *peer = &raft->peers[slot];
    if (!peer->intact || !reply->is_installed) {
        return;
    }
    merge_on_installed(raft, slot);
    if (raft->parallel->phase != PARALLEL_SERVE) {
        return;
    }
    if (acks_take(raft, slot, reply)) {
        advance_commit(raft);
    }
}

// Our own copies count when they are durable, like everybody's.
void holes_on_synced(struct raft *raft, struct raft_range range)
{
    struct raft_parallel *parallel = raft->parallel;
    range.last = range.last < raft->log.held ? range.last : raft->log.held;
    if (parallel->is_staging) {
        return;
    }
    if (raft->role != RAFT_LEADER) {
        parallel->acks_due |= range.last > raft->log.synced;
        parallel->durable_high =
            parallel->durable_high > range.last ? parallel->durable_high : range.last;
        return;
    }
    if (parallel->phase != PARALLEL_SERVE) {
        return;
    }
    if (acks_take_own(raft, range)) {
        advance_commit(raft);
    }
}

// A peer may have lost what it acknowledged: what is not committed has to be acknowledged again.
void holes_forget_peer(struct raft *raft, uint32_t slot)
{
    struct raft_parallel *parallel = raft->parallel;
    if (slot == raft->self_slot) {
        return;
    }
    parallel->installed &= ~(UINT32_C(1) << slot);
    acks_forget(raft, slot);
}

// A majority has installed the log of our term: all of it is committed.
void holes_serve(struct raft *raft)
{
    struct raft_parallel *parallel = raft->parallel;
    ASSERT(raft->log.last == raft->log.held && raft->log.last == parallel->sync_end);
    ASSERT(parallel->sync_end >= parallel->commit_high && parallel->sync_end >= raft->commit);
    acks_reset(raft);
    set_commit(raft, parallel->sync_end);
    give_upto_commit(raft);
    depend_reset(raft, parallel->sync_end);
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        raft->peers[slot].append_due = true;
    }
}
