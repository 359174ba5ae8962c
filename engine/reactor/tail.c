// The log's tail: what is forgotten, and what is written again so that the rest can be.
//
// The log gives room back a segment at a time, the oldest first, and all groups share it. When more
// than half of it is in use, whatever lies in the oldest segment is
//
//   forgotten      when it is applied, (durable log) covered by a durable checkpoint, and, while
//                  less than three quarters are in use, not needed by a peer that is alive (one
//                  that was just given a checkpoint is waited for in any case);
//   checkpointed   to be forgotten then, when it is applied;
//   written again  at the head, when the log gets tight: a group that is halted, has no leader, or
//                  finds no room for a checkpoint must not stop the others.
//
// What is written again is durable, and stays so: the log gives a segment up only when everything
// that was appended before is durable (wal_advance_tail), so a crash finds an entry at its old
// place, at its new one, or at both. The copy is the same entry of the same log: for recovery it is
// one more record of (index, term) with the same predecessor, and removes nothing behind it.
//
// Writing again gains room only where little is live. Two limits see to that, as shares of what is
// left of the log beside a segment and the reserve: above RELOCATE_SHARE of live bytes nothing is
// moved; above GROW_SHARE a leader takes proposals only for groups that pin little. Between the two
// lies what all groups may always take, GUARANTEED_SHARE together.
#include "engine/reactor/internal.h"

#include "engine/base/mark.h"

#include "engine/core/entry_crc.h"

#define TAIL_PAUSE_NS UINT64_C(1000000)

enum {
    TAIL_STEPS = 256,       // the log is looked at again when it has grown by this part of it
    SEGMENTS_AT_ONCE = 4,   // given up in one iteration
    MOVED_SLOTS_MAX = 1024, // looked at in one iteration
    MOVED_BYTES_MAX = 128 << 10,
    SHARES = 16,
    GROW_SHARE = 9,
    GUARANTEED_SHARE = 1,
    RELOCATE_SHARE = 11,
    RELOCATE_ABOVE_SHARE = 14, // in use
};

// What of the log all groups may fill for long: not a segment to move live entries to, and not the
// reserve with the padding that finding a place for it may cost.
static uint64_t usable_bytes(const struct reactor *reactor)
{
    const struct wal_config *wal = &reactor->config.wal;
    uint64_t largest = reactor->config.sizes.payload_bytes_max;
    uint64_t apart = wal->segment_bytes + 2 * (largest + WAL_RESERVE_BYTES);
    return wal->log_bytes > apart ? wal->log_bytes - apart : 0;
}

static uint64_t share_of(const struct reactor *reactor, uint64_t shares)
{
    return usable_bytes(reactor) / SHARES * shares;
}

// How far the group's log may be forgotten.
static uint64_t trim_limit(const struct group *group, bool is_tight)
{
    struct raft_view view;
    raft_view(group->raft, &view);
    uint64_t limit = view.applied < view.synced ? view.applied : view.synced;
    limit = group->applied < limit ? group->applied : limit;
    if (!group->reactor->config.wal.is_volatile && group->checkpoint.durable.index < limit) {
        limit = group->checkpoint.durable.index;
    }
    uint64_t pin = snapshot_pin(group);
    limit = pin < limit ? pin : limit;
    // Whoever has just installed a checkpoint would need the next one at once.
    bool is_followed = group->reactor->now_ns < group->snapshot.follow_until_ns;
    uint64_t needed = raft_needed_from(group->raft) - 1;
    return (!is_tight || is_followed) && needed < limit ? needed : limit;
}

// Forgets entries up to target, as far as allowed. False: nothing could be forgotten.
static bool trim(struct group *group, uint64_t target, bool is_tight)
{
    struct raft_view view;
    raft_view(group->raft, &view);
    uint64_t limit = trim_limit(group, is_tight);
    target = target < limit ? target : limit;
    if (target <= view.base) {
        return false;
    }
    raft_trim(group->raft, target);
    return true;
}

static void want_checkpoint(struct group *group)
{
    if (!group->reactor->config.wal.is_volatile) {
        checkpoint_start(group);
    }
}

// --- writing again ---

// Bytes of the entries behind `after` up to `upto`, each in a run of its own.
static uint64_t live_bytes(const struct group *group, uint64_t after, uint64_t upto)
{
    return raft_payload_bytes(group->raft, after, upto) +
           (upto - after) * (WAL_RECORD_OVERHEAD_BYTES + WAL_RUN_BYTES);
}

// What the group keeps in the log and is not about to let go. (What a checkpoint under way covers
// is.)
static void weigh(struct group *group)
{
    struct tail *tail = &group->reactor->tail;
    struct raft_view view;
    raft_view(group->raft, &view);
    uint64_t from = trim_limit(group, true);
    uint64_t covered =
        group->checkpoint.state != CHECKPOINT_IDLE ? group->checkpoint.covers.index : 0;
    from = from > covered ? from : covered;
    from = from > view.base ? from : view.base;
    tail->pinned_bytes -= group->pinned_bytes;
    group->pinned_bytes = view.last > from ? live_bytes(group, from, view.last) : 0;
    tail->pinned_bytes += group->pinned_bytes;
}

// May a leader take more entries of this group? Not when live entries fill the log and this group
// is one of those that they are of.
bool tail_lets_grow(const struct group *group)
{
    const struct reactor *reactor = group->reactor;
    return reactor->group_count == 1 ||
           reactor->tail.pinned_bytes <= share_of(reactor, GROW_SHARE) ||
           group->pinned_bytes <= share_of(reactor, GUARANTEED_SHARE) / reactor->group_count;
}

// Appends the entry again. False: not now (its write, or a worker that reads it, is awaited, or
// there is no room), or never: it is damaged.
static bool move_entry(struct group *group, uint64_t index, const struct raft_entry *entry)
{
    struct reactor *reactor = group->reactor;
    struct wal *wal = reactor->wal;
    const uint8_t *payload = wal_payload(wal, entry->body);
    bool is_given = is_parallel(group) || index < group->apply_next;
    bool is_read = group->jobs_out > 0 && index > group->applied && is_given;
    if (!entry->is_durable || is_read ||
        !wal_has_room(wal, 1 + reactor->group_count, entry->head.bytes)) {
        return false;
    }
    if (raft_entry_crc(&entry->head, payload) != entry->head.crc) {
        if (!group->is_halted) {
            group_halt(group); // a damaged copy would make recovery doubt the whole batch
        }
        return false;
    }
    const struct raft_entry_id id = {.term = entry->term, .index = index};
    uint64_t prev_term = is_parallel(group) ? entry->term : raft_id_at(group->raft, index - 1).term;
    uint64_t body = wal_append(wal, group->id, entry->epoch, id, prev_term, &entry->head, payload);
    MARK(live_entry_is_written_again);
    raft_entry_relocated(group->raft, index, body);
    reactor->counters.records_relocated++;
    return true;
}

struct budget { // of an iteration
    uint32_t slots, bytes;
};

// Writes again what of the group is live in the oldest segment, from where the last call stopped.
// True when nothing of it is left there.
static bool move_group(struct group *group, uint64_t segment, uint64_t last, struct budget *budget)
{
    uint64_t segment_end = segment + group->reactor->config.wal.segment_bytes;
    struct raft_view view;
    raft_view(group->raft, &view);
    last = last < view.held ? last : view.held;
    uint64_t next = group->moved.segment == segment ? group->moved.next : 0;
    next = next > view.base ? next : view.base + 1;
    for (; next <= last && budget->slots > 0; next++, budget->slots--) {
        const struct raft_entry *entry = raft_entry_at(group->raft, next);
        if (entry == NULL || entry->body < segment || entry->body >= segment_end) {
            continue;
        }
        if (next > view.last && !is_parallel(group)) {
            raft_forget_beyond_hole(group->raft);
            last = view.last;
            break;
        }
        if (budget->bytes == 0 || !move_entry(group, next, entry)) {
            break;
        }
        uint32_t bytes = entry->head.bytes + WAL_RECORD_OVERHEAD_BYTES;
        budget->bytes -= bytes < budget->bytes ? bytes : budget->bytes;
    }
    group->moved.segment = segment;
    group->moved.next = next;
    return next > last;
}

// --- the oldest segment ---

// Has the group something in the oldest segment, of which `last` is the highest index, that can not
// be forgotten?
static bool is_pinned_by(struct group *group, uint64_t last, bool is_tight, bool *was_busy)
{
    struct raft_view view;
    *was_busy |= trim(group, last, is_tight);
    raft_view(group->raft, &view);
    bool is_empty = view.base == view.held && !view.is_installing; // (staged entries are beyond)
    if (last <= view.base || is_empty) {
        return false;
    }
    want_checkpoint(group);
    return true;
}

// While a parallel group installs the log of a new term, that log's entries and the record that
// makes them count stay where they are.
static bool may_move_entries_of(const struct group *group)
{
    struct raft_view view;
    raft_view(group->raft, &view);
    return !view.is_installing;
}

// Frees the segment as far as it can in this iteration. True when nothing live is left in it.
static bool free_segment(struct reactor *reactor, uint64_t segment, uint64_t used, bool *was_busy)
{
    struct tail *tail = &reactor->tail;
    bool is_tight = used > reactor->config.wal.log_bytes / 4 * 3;
    bool may_move = tail->pinned_bytes <= share_of(reactor, RELOCATE_SHARE);
    bool must_move = may_move && used > share_of(reactor, RELOCATE_ABOVE_SHARE);
    struct budget budget = {.slots = MOVED_SLOTS_MAX, .bytes = MOVED_BYTES_MAX};
    bool is_free = true;
    uint64_t moved = reactor->counters.records_relocated;
    tail->to_move_bytes = 0;
    for (uint32_t slot = 0; slot < reactor->group_count; slot++) {
        struct group *group = &reactor->groups[slot];
        uint64_t last = wal_last_in_segment(reactor->wal, segment, group->id);
        if (last == 0 || !is_pinned_by(group, last, is_tight, was_busy) ||
            (must_move && may_move_entries_of(group) &&
             move_group(group, segment, last, &budget))) {
            continue;
        }
        is_free = false;
        uint64_t done = group->moved.segment == segment ? group->moved.next - 1 : 0;
        struct raft_view view;
        raft_view(group->raft, &view);
        done = done > view.base ? done : view.base;
        last = last < view.last ? last : view.last;
        tail->to_move_bytes += last > done ? live_bytes(group, done, last) : 0;
    }
    uint64_t most = may_move ? reactor->config.wal.segment_bytes : 0;
    tail->to_move_bytes = tail->to_move_bytes < most ? tail->to_move_bytes : most;
    *was_busy |= reactor->counters.records_relocated > moved;
    return is_free;
}

// Makes room in a log that is more than half full. It costs a look at every group, so it is done
// again only when something was forgotten or moved, the log has grown, or time has passed.
static bool relieve_log(struct reactor *reactor)
{
    const struct wal_config *config = &reactor->config.wal;
    struct tail *tail = &reactor->tail;
    uint64_t head = wal_head(reactor->wal), oldest = wal_oldest(reactor->wal), first = oldest;
    bool was_busy = false;
    if (head - oldest <= config->log_bytes / 2) {
        tail->to_move_bytes = 0;
        return false;
    }
    if (reactor->is_failed || (head < tail->due_head && reactor->now_ns < tail->due_ns)) {
        return false;
    }
    while (head - oldest > config->log_bytes / 2 &&
           oldest - first < SEGMENTS_AT_ONCE * config->segment_bytes &&
           free_segment(reactor, oldest, head - oldest, &was_busy)) {
        oldest += config->segment_bytes;
    }
    wal_advance_tail(reactor->wal, oldest);
    was_busy |= oldest > first;
    tail->due_head = was_busy ? head : head + config->log_bytes / TAIL_STEPS;
    tail->due_ns = reactor->now_ns + TAIL_PAUSE_NS;
    return was_busy;
}

// --- slots ---

// Enough new log since the last checkpoint began?
static bool is_checkpoint_due(const struct group *group)
{
    const struct reactor *reactor = group->reactor;
    return reactor->config.checkpoint_bytes != 0 &&
           wal_head(reactor->wal) - group->checkpoint.began_head >=
               reactor->config.checkpoint_bytes;
}

// Forgets a quarter of what the group keeps when its slots are half full.
static bool relieve_slots(struct group *group)
{
    struct raft_view view;
    raft_view(group->raft, &view);
    uint64_t slots = group->reactor->config.log_entries, kept = view.held - view.base;
    if ((group->is_incomplete && view.intact) || is_checkpoint_due(group) ||
        !tail_lets_grow(group)) {
        want_checkpoint(group);
    }
    if (kept <= slots / 2) {
        return false;
    }
    uint64_t target = view.base + (view.last - view.base + 3) / 4;
    if (trim(group, target, kept > slots / 4 * 3)) {
        return true;
    }
    want_checkpoint(group);
    return false;
}

// Tells the core whether entries of clients find room.
static void tell_room(struct group *group)
{
    uint32_t largest = group->reactor->config.sizes.payload_bytes_max;
    bool is_full = !group_takes_proposals(group, 1, largest);
    if (is_full != group->is_full) {
        const struct raft_input input = {.kind = RAFT_IN_ROOM, .has_room = !is_full};
        group->is_full = is_full;
        group_step(group, &input, NULL, 0);
    }
}

// A log of entries that are larger than usual fills its arena first, one of small entries its
// slots. One group's slots an iteration.
bool tail_poll(struct reactor *reactor)
{
    bool was_busy = relieve_log(reactor);
    if (reactor->group_count > 0) {
        uint64_t next = reactor->counters.polls % reactor->group_count;
        weigh(&reactor->groups[next]);
        was_busy |= relieve_slots(&reactor->groups[next]);
        tell_room(&reactor->groups[next]);
    }
    return was_busy;
}
