// The follower's side of AppendEntries.
//
// Decides  which entries join the log, what is cut, what the leader is told.
// Alone writes  verified, leader_commit, leader_last, reply_*, conflict, gap_*.
// Paper   Raft figure 2 "AppendEntries RPC", §5.3; the conflict answer: §5.3 last paragraphs.
//
// `verified` is how far our log is known to equal the leader's. Three cases meet a message by its
// prev:
//
//     prev in our log, same term     entries are taken over; a conflicting tail is cut first
//     prev in our log, other term    REJECTED with (term, first index of that term): one round
//     back-tracks a whole term prev behind our last           verified == last: frames were lost.
//     Keep these entries, ask for the hole at once.
//                                    verified <  last: our own tail is in doubt. REJECTED with last
//                                    + 1.
#include "engine/core/state.h"

#include "engine/base/mark.h"

// How far behind the end of the log holes are asked for again when that is due. Those further on
// have their turn when it has moved. (In an install, which may have a window of holes, all are when
// the first one is.)
enum { GAP_LOOK_ENTRIES = 64 };

#define GAP_RETRY_MIN_NS UINT64_C(100000)
#define GAP_RETRY_START_NS UINT64_C(1000000)

// A new term or the loss of leadership: nothing told by the old leader holds. What is committed
// equals every later leader's log (leader completeness, §5.4.3).
void append_forget_leader(struct raft *raft)
{
    raft->verified = raft->parallel == NULL ? raft->commit : order_log(raft)->last;
    raft->leader_commit = 0;
    raft->leader_last = 0;
    raft->reply_due = raft->reject_due = false;
    raft->reply_round = raft->reply_echo_ns = 0;
    raft->acked = 0;
    raft->gap_asked_last = 0;
}

// "If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new entry)":
// the last entry known to equal the leader's, not the last one we have.
void append_advance_commit(struct raft *raft)
{
    uint64_t commit = raft->leader_commit < raft->verified ? raft->leader_commit : raft->verified;
    if (commit > raft->commit) {
        raft->commit = commit;
    }
}

static void reject(struct raft *raft, struct raft_entry_id prev)
{
    raft->reject_due = raft->reply_due = true;
    if (prev.index > raft->log.last) {
        MARK(append_refused_behind_the_end);
        raft->conflict = (struct raft_entry_id){.index = raft->log.last + 1};
        return;
    }
    MARK(append_refused_by_conflict);
    raft->conflict.term = log_term_at(&raft->log, prev.index);
    raft->conflict.index = log_first_of_term(&raft->log, prev.index);
    if (raft->conflict.index <= raft->verified) {
        raft->conflict.index = raft->verified + 1; // up to there we are equal
        raft->conflict.term = 0;
    }
}

static void note_hole(struct raft *raft, const struct raft_append *append)
{
    uint64_t upto = append->prev.index + append->count;
    raft->leader_last = raft->leader_last > upto ? raft->leader_last : upto;
}

// What was asked for then has come.
static void note_fill(struct raft *raft, uint64_t asked_ns)
{
    uint64_t sample = raft->now_ns - asked_ns;
    raft->gap_fill_ns = raft->gap_fill_ns == 0 ? sample : (7 * raft->gap_fill_ns + sample) / 8;
}

// Takes an entry in that is not the next one, or behind which others wait.
void append_hold(struct raft *raft, uint64_t index, uint64_t term, uint64_t prev_term,
                 const struct raft_entry_head *head)
{
    struct raft_log *log = order_log(raft);
    if (index < log->held && index <= raft->gap_asked_last && log_slot(log, index)->asked_ns != 0) {
        note_fill(raft, log_slot(log, index)->asked_ns);
    }
    log_hold(log, index, term, prev_term, head);
}

// Takes the message's entries from number `skip` on into the log. False when they contradict a
// committed entry.
static bool take_entries(struct raft *raft, const struct raft_append *append, uint32_t skip,
                         struct raft_accept *accept)
{
    struct raft_log *log = &raft->log;
    uint64_t first_new = 0, last_new = 0;
    for (uint32_t at = skip; at < append->count; at++) {
        uint64_t index = append->prev.index + 1 + at;
        if (index <= log->last) {
            if (log_term_at(log, index) == append->entries_term) {
                continue;
            }
            if (index <= raft->commit) {
                return false;
            }
            MARK(append_truncates_a_conflict);
            accept->truncate_from = index;
            log_truncate(log, index);
            raft->verified = raft->verified < index - 1 ? raft->verified : index - 1;
        }
        if (!order_accepts(raft, index) || !log_takes_term(log, index, append->entries_term)) {
            break;
        }
        if (index == log->last + 1 && log->held == log->last) {
            uint64_t room = log_capacity_left(log);
            uint32_t left = append->count - at;
            left = left < room ? left : (uint32_t)room;
            log_extend(log, append->entries_term, &append->heads[at], left);
            first_new = first_new == 0 ? index : first_new;
            last_new = log->last;
            break;
        }
        if (!log_has(log, index)) {
            MARK(append_held_behind_a_hole);
            uint64_t prev_term = at == 0 ? append->prev.term : append->entries_term;
            append_hold(raft, index, append->entries_term, prev_term, &append->heads[at]);
            first_new = first_new == 0 ? index : first_new;
            last_new = index;
        }
    }
    log_close_holes(log);
    if (first_new != 0) {
        accept->range = (struct raft_range){.first = first_new, .last = last_new};
        accept->prev_term =
            first_new == append->prev.index + 1 ? append->prev.term : append->entries_term;
    }
    return true;
}

// prev equals our log: everything up to the end of the message does now, and so does what waited
// right behind it.
static enum raft_outcome on_matching_append(struct raft *raft, const struct raft_append *append,
                                            struct raft_accept *accept)
{
    struct raft_log *log = &raft->log;
    uint64_t end = append->prev.index + append->count;
    uint32_t skip = 0;
    if (append->prev.index < log->base.index) {
        MARK(append_begins_below_the_checkpoint);
        uint64_t below = log->base.index - append->prev.index;
        if (below <= append->count && append->entries_term != log->base.term) {
            return RAFT_IGNORED; // contradicts what our checkpoint covers
        }
        skip = below < append->count ? (uint32_t)below : append->count;
    }
    if (!take_entries(raft, append, skip, accept)) {
        return RAFT_IGNORED;
    }
    if (accept->range.last >= accept->range.first && end >= accept->range.first) {
        raft->verified = log->last; // beyond `first new` there are only entries of this leader
    } else if (end > raft->verified) {
        raft->verified = end < log->last ? end : log->last;
    }
    append_advance_commit(raft);
    bool is_news = accept->range.last >= accept->range.first;
    raft->reply_due |= !is_news;
    return is_news || append->count == 0 ? RAFT_OK : RAFT_DUPLICATE;
}

enum raft_outcome on_append(struct raft *raft, uint64_t now_ns, const struct raft_message *message,
                            struct raft_accept *accept)
{
    const struct raft_append *append = &message->append;
    if (message->term < raft->term) {
        struct raft_message reply;
        raft_message_init(raft, RAFT_MSG_APPEND_REPLY, message->from, &reply);
        MARK(append_of_an_old_term);
        reply.append_reply = order_answer_to_old_term(raft);
        raft_out(raft, &reply);
        return RAFT_STALE;
    }
    if (append->is_supply) {
        return order_on_supply(raft, message, accept);
    }
    bool is_second_leader =
        message->term == raft->term &&
        (raft->role == RAFT_LEADER || (raft->leader != 0 && raft->leader != message->from));
    if (raft->failed || is_second_leader) {
        return RAFT_IGNORED;
    }
    if (message->term > raft->term || raft->role != RAFT_FOLLOWER) {
        become_follower(raft, now_ns, message->term, message->from);
    }
    role_hear_leader(raft, now_ns, message->from);
    if (append->round > raft->reply_round) {
        raft->reply_round = append->round;
        raft->reply_due = true;
    }
    raft->reply_echo_ns =
        append->echo_ns > raft->reply_echo_ns ? append->echo_ns : raft->reply_echo_ns;
    raft->leader_commit =
        append->commit > raft->leader_commit ? append->commit : raft->leader_commit;
    rejoin_on_append(raft, append);
    if (raft->parallel != NULL) {
        enum raft_outcome outcome = order_on_append(raft, append, accept);
        rejoin_advance(raft);
        return outcome;
    }
    note_hole(raft, append);
    append_advance_commit(raft);

    struct raft_entry_id prev = append->prev;
    if (prev.index >= raft->log.base.index && prev.index <= raft->commit &&
        log_term_at(&raft->log, prev.index) != prev.term) {
        return RAFT_IGNORED; // contradicts a committed entry: no leader's log does
    }
    if (prev.index <= raft->commit ||
        (prev.index <= raft->log.last && log_term_at(&raft->log, prev.index) == prev.term)) {
        enum raft_outcome outcome = on_matching_append(raft, append, accept);
        rejoin_advance(raft);
        return outcome;
    }
    if (prev.index > raft->log.last && raft->verified == raft->log.last) {
        raft->reply_due = true;
        take_entries(raft, append, 0, accept);
        return RAFT_HOLE;
    }
    reject(raft, prev);
    return RAFT_MISMATCH;
}

static uint64_t gap_retry_ns(const struct raft *raft)
{
    uint64_t retry = raft->gap_fill_ns == 0 ? GAP_RETRY_START_NS : 3 * raft->gap_fill_ns;
    retry = retry < GAP_RETRY_MIN_NS ? GAP_RETRY_MIN_NS : retry;
    return retry < raft->config.heartbeat_ns ? retry : raft->config.heartbeat_ns;
}

// The last index worth asking for: known to exist at the leader, and with a slot here.
static uint64_t wanted_last(const struct raft *raft)
{
    uint64_t limit = raft->log.base.index + raft->log.mask + 1;
    return raft->leader_last < limit ? raft->leader_last : limit;
}

static bool has_hole(const struct raft *raft)
{
    const struct raft_log *log = order_log((struct raft *)(uintptr_t)raft);
    return raft->role == RAFT_FOLLOWER && raft->leader != 0 && raft->verified == log->last &&
           wanted_last(raft) > log->last;
}

// False: the answer names no more.
static bool ask_for(struct raft *raft, uint64_t now_ns, struct raft_range hole,
                    struct raft_append_reply *reply)
{
    const struct raft_log *log = order_log(raft);
    if (order_names_hole(raft, hole, reply)) {
        MARK(hole_is_named_by_bits);
    } else if (reply->gap_count < RAFT_GAPS_MAX) {
        MARK(gap_is_asked_for);
        reply->gaps[reply->gap_count++] = hole;
    } else {
        return false;
    }
    for (uint64_t index = hole.first; index <= hole.last && index <= log->held; index++) {
        log_slot(log, index)->asked_ns = now_ns;
    }
    if (hole.last > raft->gap_asked_last || hole.last > log->held) {
        raft->gap_asked_last = hole.last;
        raft->gap_asked_ns = now_ns;
    }
    return true;
}

// When the hole was asked for last. Behind the last entry that is held there is one hole, and it is
// asked for as a whole.
static uint64_t asked_at(const struct raft *raft, uint64_t index)
{
    const struct raft_log *log = order_log((struct raft *)(uintptr_t)raft);
    uint64_t alone_ns = index <= log->held ? log_slot(log, index)->asked_ns : 0;
    return alone_ns == 0 ? raft->gap_asked_ns : alone_ns;
}

// When the first hole is to be asked for again.
static uint64_t retry_due_ns(const struct raft *raft)
{
    const struct raft_log *log = order_log((struct raft *)(uintptr_t)raft);
    return asked_at(raft, log->last + 1) + gap_retry_ns(raft);
}

// The missing entries from `first` on that lie side by side, as far as `upto`.
static struct raft_range hole_at(const struct raft_log *log, uint64_t first, uint64_t upto)
{
    uint64_t last = first;
    while (last < upto && !log_has(log, last + 1)) {
        last = last >= log->held ? upto : last + 1;
    }
    return (struct raft_range){.first = first, .last = last};
}

// Holes that were asked for and for which the answer is overdue, each on its own: the answer, or
// the question, was lost while those to others went on arriving.
static void ask_again(struct raft *raft, uint64_t now_ns, struct raft_append_reply *reply)
{
    const struct raft_log *log = order_log(raft);
    bool is_wide = order_is_installing(raft) && now_ns >= retry_due_ns(raft);
    uint64_t upto = raft->gap_asked_last;
    uint64_t end = log->last + (is_wide ? RAFT_WINDOW_MAX : GAP_LOOK_ENTRIES);
    for (uint64_t index = log->last + 1; index <= upto && index <= end; index++) {
        if (!log_has(log, index)) {
            struct raft_range hole = hole_at(log, index, upto);
            if (index <= log->held && log_slot(log, index)->asked_ns == 0) {
                log_slot(log, index)->asked_ns =
                    now_ns; // asked for when nothing behind it was here
            }
            if (now_ns >= asked_at(raft, index) + gap_retry_ns(raft)) {
                if (!ask_for(raft, now_ns, hole, reply)) {
                    return;
                }
                MARK(gap_is_asked_for_again);
            }
            index = hole.last;
        }
    }
}

// Lists what is missing. A hole is asked for at once when it is seen, and again only when the
// answer is overdue.
static void ask_for_gaps(struct raft *raft, uint64_t now_ns, struct raft_append_reply *reply)
{
    const struct raft_log *log = order_log(raft);
    if (!has_hole(raft)) {
        if (raft->gap_asked_last != 0 && log->last >= raft->gap_asked_last) {
            note_fill(raft, raft->gap_asked_ns);
            raft->gap_asked_last = 0;
        }
        return;
    }
    ask_again(raft, now_ns, reply);
    uint64_t upto = wanted_last(raft);
    uint64_t from = raft->gap_asked_last > log->last ? raft->gap_asked_last + 1 : log->last + 1;
    while (from <= upto) {
        struct raft_range hole = {.last = from};
        if (!log_has(log, from)) {
            hole = hole_at(log, from, upto);
            if (!ask_for(raft, now_ns, hole, reply)) {
                return;
            }
        }
        from = hole.last + 1;
    }
}

// Answers the leader, when our term is durable ("responds to RPCs only after updating stable
// storage").
void append_collect(struct raft *raft, uint64_t now_ns, struct raft_effects *effects)
{
    if (raft->role != RAFT_FOLLOWER || raft->leader == 0 || raft->failed ||
        !role_is_hard_synced(raft)) {
        return;
    }
    uint64_t floor = order_match(raft);
    bool is_retry_due = has_hole(raft) && now_ns >= retry_due_ns(raft);
    if (!raft->reply_due && floor <= raft->acked && !is_retry_due && !order_acks_due(raft)) {
        return;
    }
    struct raft_message *message = &effects->messages[effects->message_count++];
    raft_message_init(raft, RAFT_MSG_APPEND_REPLY, raft->leader, message);
    struct raft_append_reply *reply = &message->append_reply;
    *reply = (struct raft_append_reply){.result = raft->reject_due ? RAFT_APPEND_REJECTED
                                                                   : RAFT_APPEND_OK,
                                        .match = floor,
                                        .held = raft->verified,
                                        .round = raft->reply_round,
                                        .echo_ns = raft->reply_echo_ns};
    order_fill_acks(raft, reply);
    if (raft->reject_due) {
        reply->conflict = raft->conflict;
    } else {
        ask_for_gaps(raft, now_ns, reply);
    }
    raft->reply_due = raft->reject_due = false;
    raft->acked = floor;
}

// While our term is not durable no answer may leave: its completion, not time, is what is awaited.
uint64_t append_deadline(const struct raft *raft)
{
    return has_hole(raft) && role_is_hard_synced(raft) ? retry_due_ns(raft) : RAFT_NEVER;
}
