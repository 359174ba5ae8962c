// The log: a ring of slots, one cache line an entry. Decides what is held, durable and forgotten.
//
// Alone writes  struct raft_log.
//
//     base     last        held
//      │ a b c d │ . f g . i │      '.' is a hole: entries beyond it (f, g, i) came early and wait;
//          └ synced                 they join the log (log_close_holes) when the hole is filled
#include "engine/core/state.h"

#include "engine/base/bitmap.h"

#include <errno.h>
#include <string.h>

enum { PREFETCH_SLOTS = 8 };

bool log_has(const struct raft_log *log, uint64_t index)
{
    return index > log->base.index && index <= log->held && log_slot(log, index)->is_held;
}

uint64_t log_term_at(const struct raft_log *log, uint64_t index)
{
    ASSERT_CMP(index, >=, log->base.index);
    ASSERT_CMP(index, <=, log->last);
    return index == log->base.index ? log->base.term : log_slot(log, index)->term;
}

uint64_t log_capacity_left(const struct raft_log *log)
{
    return log->mask + 1 - (log->held - log->base.index);
}

uint64_t log_bytes_between(const struct raft_log *log, uint64_t after, uint64_t upto)
{
    if (upto <= after || upto <= log->base.index) {
        return 0;
    }
    const struct raft_entry *first =
        log_slot(log, after <= log->base.index ? log->base.index + 1 : after);
    uint64_t before =
        after <= log->base.index ? first->bytes_sum - first->head.bytes : first->bytes_sum;
    return log_slot(log, upto)->bytes_sum - before;
}

// Terms never fall along a log: does this one fit between what is held on either side of index?
bool log_takes_term(const struct raft_log *log, uint64_t index, uint64_t term)
{
    uint64_t before = index - 1 == log->base.index ? log->base.term
                      : log_has(log, index - 1)    ? log_slot(log, index - 1)->term
                                                   : 0;
    return term >= before && (!log_has(log, index + 1) || term <= log_slot(log, index + 1)->term);
}

// Nothing of what the slot was used for before must show.
static void make_hole(struct raft_log *log, uint64_t index)
{
    *log_slot(log, index) = (struct raft_entry){0};
}

// Takes an entry into the log at index (> last, not held yet, within capacity), which follows one
// of prev_term. Its body comes later.
void log_hold(struct raft_log *log, uint64_t index, uint64_t term, uint64_t prev_term,
              const struct raft_entry_head *head)
{
    ASSERT_CMP(index, >, log->last);
    ASSERT_CMP(index, <=, log->base.index + log->mask + 1);
    for (uint64_t hole = log->held + 1; hole < index; hole++) {
        make_hole(log, hole);
    }
    struct raft_entry *entry = log_slot(log, index);
    entry->term = term;
    entry->head = *head;
    entry->epoch = log->epoch;
    entry->is_held = true;
    entry->is_placed = false;
    entry->is_durable = false;
    entry->bytes_sum = prev_term; // until it joins
    if (index > log->held) {
        log->held = index;
    }
    if (index == log->last + 1) {
        uint64_t sum = log->last == log->base.index ? 0 : log_slot(log, log->last)->bytes_sum;
        entry->bytes_sum = sum + head->bytes;
        log->last = index;
    }
}

// Takes entries in behind the last one, where nothing waits beyond it: what nearly all of them do.
void log_extend(struct raft_log *log, uint64_t term, const struct raft_entry_head *heads,
                uint32_t count)
{
    ASSERT_CMP(log->held, ==, log->last);
    ASSERT_CMP(count, <=, log_capacity_left(log));
    uint64_t sum = log->last == log->base.index ? 0 : log_slot(log, log->last)->bytes_sum;
    for (uint32_t at = 0; at < count; at++) {
        sum += heads[at].bytes;
        // The slot was last touched a lap of the ring ago.
        __builtin_prefetch(log_slot(log, log->last + 1 + at + PREFETCH_SLOTS), 1);
        *log_slot(log, log->last + 1 + at) = (struct raft_entry){.term = term,
                                                                 .head = heads[at],
                                                                 .bytes_sum = sum,
                                                                 .epoch = log->epoch,
                                                                 .is_held = true};
    }
    log->last += count;
    log->held = log->last;
}

// Lets entries that waited behind a hole join once it is filled. What does not continue what filled
// it is forgotten: recovery would not find it either.
void log_close_holes(struct raft_log *log)
{
    while (log->last < log->held && log_slot(log, log->last + 1)->is_held) {
        struct raft_entry *entry = log_slot(log, log->last + 1);
        if (!log->is_loose && entry->bytes_sum != log_term_at(log, log->last)) {
            log_drop_beyond_hole(log);
            break;
        }
        uint64_t sum = log->last == log->base.index ? 0 : log_slot(log, log->last)->bytes_sum;
        entry->bytes_sum = sum + entry->head.bytes;
        log->last++;
    }
    while (log->synced < log->last && log_slot(log, log->synced + 1)->is_durable) {
        log->synced++;
    }
}

// Removes every entry ≥ first (> base), also those beyond a hole: the record in the log on disk
// says so too.
void log_truncate(struct raft_log *log, uint64_t first)
{
    ASSERT_CMP(first, >, log->base.index);
    log->last = first - 1 < log->last ? first - 1 : log->last;
    log->held = log->last;
    log->synced = log->synced < log->last ? log->synced : log->last;
    log->epoch++;
}

// Forgets entries that wait behind a hole: they are of a leader that is gone.
void log_drop_beyond_hole(struct raft_log *log)
{
    log->held = log->last;
    log->epoch++;
}

// A completion counts for an index only if that index was last submitted in the completion's epoch
// (and so was not replaced since). The term would be the wrong key both ways: engine/README.md,
// "Epochs".
void log_synced(struct raft_log *log, struct raft_range range, uint32_t epoch)
{
    uint64_t first = range.first > log->base.index ? range.first : log->base.index + 1;
    uint64_t last = range.last < log->held ? range.last : log->held;
    for (uint64_t index = first; index <= last; index++) {
        struct raft_entry *entry = log_slot(log, index);
        if (entry->is_held && entry->is_placed && entry->epoch == epoch) {
            entry->is_durable = true;
            if (index == log->synced + 1 && index <= log->last) {
                log->synced = index; // nearly always: in order
            }
        }
    }
    while (log->synced < log->last && log_slot(log, log->synced + 1)->is_durable) {
        log->synced++;
    }
}

// Everything goes; the log continues behind base.
void log_reset(struct raft_log *log, struct raft_entry_id base)
{
    log->base = base;
    log->last = log->held = log->synced = base.index;
    log->epoch++;
}

// First index of the run of entries that have the term of `index` (base < index ≤ last).
uint64_t log_first_of_term(const struct raft_log *log, uint64_t index)
{
    uint64_t term = log_term_at(log, index);
    while (index > log->base.index + 1 && log_slot(log, index - 1)->term == term) {
        index--;
    }
    return index;
}

// Largest index < below (and ≥ base) whose entry has this term; 0 when there is none. Terms never
// fall along the log.
uint64_t log_last_of_term(const struct raft_log *log, uint64_t term, uint64_t below)
{
    uint64_t low = log->base.index, high = below > log->last + 1 ? log->last + 1 : below;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (log_term_at(log, middle) <= term) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == log->base.index || log_term_at(log, low - 1) != term) {
        return 0;
    }
    return low - 1;
}

const struct raft_entry *raft_entry_at(const struct raft *raft, uint64_t index)
{
    return log_has(&raft->log, index) ? log_slot(&raft->log, index) : NULL;
}

const struct raft_entry *raft_entry_to_place(const struct raft *raft, uint64_t index)
{
    const struct raft_log *log = order_log((struct raft *)(uintptr_t)raft);
    const struct raft_entry *entry = log_has(log, index) ? log_slot(log, index) : NULL;
    return entry != NULL && !entry->is_placed ? entry : NULL;
}

// How many of the entries from first to last lie side by side in memory.
static uint32_t span_of(const struct raft_log *log, uint64_t first, uint64_t last)
{
    uint64_t to_wrap = log->mask + 1 - (first & log->mask), count = last - first + 1;
    return (uint32_t)(count < to_wrap ? count : to_wrap);
}

const struct raft_entry *raft_entry_span(const struct raft *raft, uint64_t first, uint64_t last,
                                         uint32_t *count)
{
    const struct raft_log *log = &raft->log;
    ASSERT(first > log->base.index && first <= last && last <= log->held);
    *count = span_of(log, first, last);
    for (uint32_t at = 0; last > log->last && at < *count; at++) {
        *count = log_slot(log, first + at)->is_held ? *count : at; // (of a parallel group)
    }
    return log_slot(log, first);
}

struct raft_entry *raft_entry_span_to_place(struct raft *raft, uint64_t first, uint64_t last,
                                            uint32_t *count)
{
    const struct raft_log *log = order_log(raft);
    *count = 0;
    if (first <= log->base.index || first > log->held) {
        return NULL;
    }
    struct raft_entry *entries = log_slot(log, first);
    uint32_t most = span_of(log, first, last < log->held ? last : log->held);
    while (*count < most && entries[*count].is_held && !entries[*count].is_placed) {
        ++*count;
    }
    return entries;
}

void raft_entry_placed(struct raft *raft, uint64_t index, uint64_t body)
{
    struct raft_entry *entry = log_slot(order_log(raft), index);
    ASSERT(entry->is_held && !entry->is_placed);
    entry->body = body;
    entry->is_placed = true;
}

void raft_entry_relocated(struct raft *raft, uint64_t index, uint64_t body)
{
    struct raft_entry *entry = log_slot(&raft->log, index);
    ASSERT(log_has(&raft->log, index) && entry->is_durable);
    struct raft_log *other = order_log(raft);
    if (other != &raft->log && log_has(other, index) &&
        log_slot(other, index)->body == entry->body) {
        log_slot(other, index)->body = body;
    }
    entry->body = body;
}

void raft_forget_beyond_hole(struct raft *raft)
{
    if (raft->parallel == NULL && raft->log.held > raft->log.last) {
        log_drop_beyond_hole(&raft->log);
    }
}

uint64_t raft_payload_bytes(const struct raft *raft, uint64_t after, uint64_t upto)
{
    return log_bytes_between(&raft->log, after, upto < raft->log.last ? upto : raft->log.last);
}

uint64_t raft_bytes_under_way(const struct raft *raft, uint64_t *count)
{
    *count = raft->log.last - raft->applied;
    return log_bytes_between(&raft->log, raft->applied, raft->log.last);
}

bool raft_send_next(const struct raft_send *send, uint64_t from, struct raft_range *run)
{
    *run = (struct raft_range){.first = from, .last = send->range.last};
    if (send->only != NULL && from <= send->range.last) {
        const struct raft_wanted *only = send->only;
        uint64_t end = send->range.last + 1 - only->first;
        uint64_t first = bitmap_find_set(only->bits, from - only->first, end);
        run->first = only->first + first;
        run->last = only->first + bitmap_find_clear(only->bits, first, end) - 1;
    }
    return run->first <= send->range.last;
}

uint64_t raft_term_run(const struct raft *raft, uint64_t first, uint64_t last)
{
    uint64_t term = log_term_at(&raft->log, first), index = first;
    while (index < last && log_slot(&raft->log, index + 1)->term == term) {
        index++;
    }
    return index;
}

void raft_trim(struct raft *raft, uint64_t index)
{
    struct raft_log *log = &raft->log;
    ASSERT_CMP(index, <=, raft->applied);
    ASSERT_CMP(index, <=, log->synced);
    if (index <= log->base.index) {
        return;
    }
    order_trim(raft, (struct raft_entry_id){.term = log_term_at(log, index), .index = index});
}

struct raft_entry_id raft_id_at(const struct raft *raft, uint64_t index)
{
    return (struct raft_entry_id){.term = log_term_at(&raft->log, index), .index = index};
}

void raft_restore_begin(struct raft *raft, struct raft_entry_id base)
{
    log_reset(&raft->log, base);
    raft->commit = raft->applied = raft->apply_given = raft->verified = base.index;
    order_restore_begin(raft);
}

// While restoring, bytes_sum holds prev_term: the chain is checked, and the sums made, by
// raft_restore_end.
int raft_restore_entry(struct raft *raft, struct raft_entry_id id, uint64_t prev_term,
                       const struct raft_entry_head *head, uint64_t body)
{
    return log_restore(&raft->log, id, prev_term, head, body);
}

int log_restore(struct raft_log *log, struct raft_entry_id id, uint64_t prev_term,
                const struct raft_entry_head *head, uint64_t body)
{
    if (id.index <= log->base.index) {
        return 0;
    }
    if (id.index > log->base.index + log->mask + 1) {
        return -EOVERFLOW;
    }
    for (; log->held < id.index; log->held++) {
        make_hole(log, log->held + 1);
    }
    *log_slot(log, id.index) = (struct raft_entry){.term = id.term,
                                                   .body = body,
                                                   .head = *head,
                                                   .bytes_sum = prev_term,
                                                   .epoch = log->epoch,
                                                   .is_held = true,
                                                   .is_placed = true,
                                                   .is_durable = true};
    return 0;
}

void raft_restore_truncate(struct raft *raft, uint64_t first)
{
    struct raft_log *log = &raft->log;
    if (first > log->base.index && first <= log->held) {
        log->held = first - 1;
    } else if (first <= log->base.index) {
        log->held = log->base.index;
    }
}

void raft_restore_end(struct raft *raft, uint64_t now_ns)
{
    struct raft_log *log = &raft->log;
    uint64_t sum = 0;
    if (order_restore_end(raft)) {
        return;
    }
    while (log->last < log->held) {
        struct raft_entry *entry = log_slot(log, log->last + 1);
        uint64_t term = log_term_at(log, log->last);
        if (!entry->is_held || entry->bytes_sum != term || entry->term < term) {
            break;
        }
        sum += entry->head.bytes;
        entry->bytes_sum = sum;
        log->last++;
    }
    log->synced = log->last;
    log_drop_beyond_hole(log);
    // Entries of a term may be durable before the term is (both are submitted at once): the term
    // cannot be older than they.
    uint64_t term = log_term_at(log, log->last);
    if (term > raft->term) {
        become_follower(raft, now_ns, term, 0);
    }
}

void raft_restore_commit(struct raft *raft, uint64_t index)
{
    uint64_t commit = index < raft->log.last ? index : raft->log.last;
    if (order_restore_commit(raft, index)) {
        return;
    }
    if (commit > raft->commit) {
        raft->commit = commit;
        raft->verified = commit;
    }
}
