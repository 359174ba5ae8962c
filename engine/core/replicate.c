// The leader's side of replication: what each peer is sent, and what its answers mean.
//
// Alone writes  peers[] (but votes: role.c, vote.c; boot, intact, rejoin: rejoin.c), round,
// term_start. Paper   Raft §5.3; thesis §10.2.2 (pipelining).
//
//              OK                        REJECTED, silence
//     PROBE ────────▶ STREAM  (window)  ───────────▶ PROBE
//       │ next ≤ base                                  one append at a time
//       └──────────▶ SNAPSHOT ──installed──▶ PROBE
//
// Lost frames do not end the stream: the peer names the holes (append.c) and exactly these are sent
// again (of a parallel group's peer that installs: as far as the window lets through). Timers are
// the last resort: an unanswered tail is poked with an empty append, and the hole it shows is asked
// for.
#include "engine/core/state.h"

#include "engine/base/bitmap.h"
#include "engine/base/mark.h"

#include <string.h>

#define POKE_MIN_NS UINT64_C(200000)
#define COMMIT_NEWS_DELAY_NS                                                                       \
    UINT64_C(500000) // an idle follower learns of a commit this late at most

enum { SILENT_HEARTBEATS = 6, REWIND_ENTRIES = 8192 };

struct raft_peer *peer_of(struct raft *raft, uint16_t id)
{
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        if (raft->peers[slot].id == id) {
            return &raft->peers[slot];
        }
    }
    return NULL;
}

static void forget_resends(struct raft_peer *peer)
{
    peer->resend_count = 0;
    peer->missing_next = 0;
}

void replicate_reset_peer(struct raft *raft, struct raft_peer *peer)
{
    peer->state = RAFT_PEER_PROBE;
    peer->probe_out = false;
    peer->append_due = raft->role == RAFT_LEADER;
    peer->match = 0;
    peer->next = raft->log.last + 1;
    peer->round_acked = 0;
    forget_resends(peer);
    peer->commit_sent = 0;
    peer->rejoin_round = peer->rejoin_index = 0;
    order_forget_peer(raft, peer);
}

void replicate_start(struct raft *raft, uint64_t now_ns)
{
    raft->round++;
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        struct raft_peer *peer = &raft->peers[slot];
        replicate_reset_peer(raft, peer);
        peer->heard_ns = peer->sent_ns = peer->progress_ns = now_ns;
    }
}

enum raft_outcome replicate_propose(struct raft *raft, const struct raft_input *input,
                                    struct raft_accept *accept)
{
    struct raft_log *log = &raft->log;
    uint32_t count = input->propose.count;
    if (raft->role != RAFT_LEADER) {
        return RAFT_NOT_LEADER;
    }
    if (count > raft_room(raft)) {
        return RAFT_BUSY;
    }
    accept->range = (struct raft_range){.first = log->last + 1, .last = log->last + count};
    accept->prev_term = log_term_at(log, log->last);
    order_note_proposals(raft, input);
    log_extend(log, raft->term, input->propose.heads, count);
    return RAFT_OK;
}

uint64_t raft_room(const struct raft *raft)
{
    uint64_t left = log_capacity_left(&raft->log), limit = order_room(raft);
    left = left > RAFT_LOG_RESERVE ? left - RAFT_LOG_RESERVE : 0;
    return left < limit ? left : limit;
}

static void measure_round_trip(struct raft_peer *peer, uint64_t now_ns, uint64_t echo_ns)
{
    if (echo_ns != 0 && echo_ns <= now_ns) {
        uint64_t sample = now_ns - echo_ns;
        peer->round_trip_ns =
            peer->round_trip_ns == 0 ? sample : (7 * peer->round_trip_ns + sample) / 8;
    }
}

// Where to go on after a mismatch: behind our last entry of the peer's conflicting term, else at
// the first index of that term (§5.3). Never at or below what it is known to hold.
static void on_reject(struct raft *raft, struct raft_peer *peer, struct raft_entry_id conflict)
{
    if (conflict.index <= peer->match || peer->state == RAFT_PEER_SNAPSHOT) {
        return;
    }
    uint64_t next = conflict.index;
    if (conflict.term != 0) {
        MARK(conflict_goes_back_by_term);
        uint64_t ours = log_last_of_term(&raft->log, conflict.term, peer->next);
        next = ours != 0 ? ours + 1 : next;
    }
    next = next < peer->next ? next : peer->next;
    peer->next = next > peer->match ? next : peer->match + 1;
    peer->state = RAFT_PEER_PROBE;
    peer->probe_out = false;
    forget_resends(peer);
}

static void on_gap(const struct raft *raft, struct raft_peer *peer, struct raft_range gap)
{
    gap.first = gap.first > peer->match ? gap.first : peer->match + 1;
    if (gap.first >= peer->next || gap.last < gap.first) {
        return;
    }
    // A lost tail, a very large hole, and one the log no longer covers: go back to where it begins.
    if (gap.last + 1 >= peer->next || gap.last - gap.first >= REWIND_ENTRIES ||
        gap.first <= raft->log.base.index) {
        MARK(gap_rewinds_the_stream);
        peer->next = gap.first;
    } else if (peer->resend_count < RAFT_GAPS_MAX) {
        MARK(gap_is_sent_again_alone);
        peer->resend[peer->resend_count++] = gap;
    }
}

// What a peer that installs the log of the term names one by one. It takes the place of what it
// named before: what of that was not sent yet is named again when it is overdue.
static void on_missing(struct raft *raft, struct raft_peer *peer,
                       const struct raft_append_reply *reply)
{
    uint64_t before = reply->match + 1;
    uint64_t first = before + bitmap_find_set(reply->missing, 0, reply->missing_count);
    if (first <= raft->log.base.index) {
        on_gap(raft, peer, (struct raft_range){.first = first, .last = first});
        return;
    }
    struct raft_wanted *missing = order_missing(raft, peer);
    missing->first = before;
    missing->count = reply->missing_count;
    memcpy(missing->bits, reply->missing, sizeof(missing->bits));
    peer->missing_next = first;
}

enum raft_outcome on_append_reply(struct raft *raft, uint64_t now_ns,
                                  const struct raft_message *message)
{
    const struct raft_append_reply *reply = &message->append_reply;
    if (raft->role != RAFT_LEADER || message->term != raft->term) {
        return RAFT_STALE;
    }
    if (reply->match > raft->log.last || reply->round > raft->round ||
        !order_are_acks_sound(raft, reply)) {
        return RAFT_IGNORED;
    }
    struct raft_peer *peer = peer_of(raft, message->from);
    peer->heard_ns = now_ns;
    measure_round_trip(peer, now_ns, reply->echo_ns);
    peer->round_acked = reply->round > peer->round_acked ? reply->round : peer->round_acked;
    if (!order_may_replicate(raft)) {
        return RAFT_OK;
    }
    if (reply->match > peer->match) {
        peer->match = reply->match;
        peer->progress_ns = now_ns;
        peer->next = peer->next > peer->match ? peer->next : peer->match + 1;
    }
    if (reply->result == RAFT_APPEND_REJECTED) {
        on_reject(raft, peer, reply->conflict);
    } else if (peer->state != RAFT_PEER_SNAPSHOT || peer->match >= raft->log.base.index) {
        // (It may have the checkpoint although the news of it was lost, or have caught up without.)
        peer->state = RAFT_PEER_STREAM;
        peer->probe_out = false;
        for (uint32_t at = 0; at < reply->gap_count; at++) {
            on_gap(raft, peer, reply->gaps[at]);
        }
        if (!reply->is_installed && reply->missing_count > 0) {
            on_missing(raft, peer, reply);
        }
    }
    order_take_acks(raft, peer, reply);
    return RAFT_OK;
}

void replicate_unsent(struct raft *raft, uint16_t id, uint64_t index)
{
    struct raft_peer *peer = peer_of(raft, id);
    if (peer == NULL || raft->role != RAFT_LEADER || index <= peer->match || index >= peer->next) {
        return;
    }
    if (index < peer->missing_next && index >= order_missing(raft, peer)->first) {
        peer->missing_next = index;
    } else {
        peer->next = index;
        peer->probe_out = false;
    }
}

void replicate_snapshot_done(struct raft *raft, uint64_t now_ns, uint16_t id,
                             struct raft_entry_id covered)
{
    struct raft_peer *peer = peer_of(raft, id);
    if (peer == NULL || raft->role != RAFT_LEADER || peer->state != RAFT_PEER_SNAPSHOT ||
        covered.index > raft->commit) {
        return;
    }
    peer->heard_ns = now_ns;
    peer->state = RAFT_PEER_PROBE;
    peer->probe_out = false;
    peer->next = covered.index + 1 > peer->match ? covered.index + 1 : peer->match + 1;
}

void raft_append_header(const struct raft *raft, uint16_t to, uint64_t first,
                        struct raft_message *message)
{
    const struct raft_peer *peer = peer_of((struct raft *)(uintptr_t)raft, to);
    raft_message_init(raft, RAFT_MSG_APPEND, to, message);
    bool is_rejoining = !peer->intact && peer->rejoin_index != 0;
    message->append = (struct raft_append){.prev = order_prev(raft, first),
                                           .commit = raft->commit,
                                           .round = raft->round,
                                           .echo_ns = raft->now_ns,
                                           .rejoin_boot = is_rejoining ? peer->boot : 0,
                                           .rejoin_index = is_rejoining ? peer->rejoin_index : 0};
    order_fill_append(raft, peer, &message->append);
}

static uint64_t poke_after_ns(const struct raft *raft, const struct raft_peer *peer)
{
    uint64_t after = 4 * peer->round_trip_ns;
    after = after < POKE_MIN_NS ? POKE_MIN_NS : after;
    return after < raft->config.heartbeat_ns ? after : raft->config.heartbeat_ns;
}

static bool has_unanswered(const struct raft_peer *peer)
{
    return peer->state == RAFT_PEER_STREAM && peer->next - 1 > peer->match;
}

// Of the entries from `first` to `last`, the last one that the window lets through now; first - 1
// when it is shut. An empty pipe lets one entry through whatever its size.
static uint64_t window_last(const struct raft *raft, const struct raft_peer *peer, uint64_t first,
                            uint64_t last)
{
    const struct raft_log *log = &raft->log;
    uint64_t limit = peer->match + raft->config.window_entries;
    last = last < limit ? last : limit;
    if (last < first || log_bytes_between(log, peer->match, last) <= raft->config.window_bytes) {
        return last < first ? first - 1 : last;
    }
    uint64_t low = first - 1, high = last;
    while (low < high) {
        uint64_t middle = low + (high - low + 1) / 2;
        if (log_bytes_between(log, peer->match, middle) <= raft->config.window_bytes) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low == peer->match && low == first - 1 ? low + 1 : low;
}

static void send_entries(struct raft *raft, struct raft_peer *peer, struct raft_range range,
                         const struct raft_wanted *only, struct raft_effects *effects)
{
    effects->sends[effects->send_count++] =
        (struct raft_send){.to = peer->id, .range = range, .only = only};
    peer->sent_ns = raft->now_ns;
    peer->commit_sent = raft->commit;
    peer->append_due = false;
}

static void send_empty(struct raft *raft, struct raft_peer *peer, struct raft_effects *effects)
{
    uint64_t first = peer->next > raft->log.base.index ? peer->next : raft->log.base.index + 1;
    raft_append_header(raft, peer->id, first, &effects->messages[effects->message_count++]);
    peer->sent_ns = raft->now_ns;
    peer->commit_sent = raft->commit;
    peer->append_due = false;
}

// Of what the peer misses, as much as the window lets through: the rest follows when its log has
// grown (match), as in the stream.
static void send_missing(struct raft *raft, struct raft_peer *peer, struct raft_effects *effects)
{
    const struct raft_wanted *missing = order_missing(raft, peer);
    const struct raft_send all = {.range.last = missing->first + missing->count - 1,
                                  .only = missing};
    uint64_t from = peer->match > raft->log.base.index ? peer->match : raft->log.base.index;
    from = from < peer->missing_next ? peer->missing_next : from + 1;
    struct raft_range run;
    if (!raft_send_next(&all, from, &run)) {
        peer->missing_next = 0;
        return;
    }
    uint64_t last = window_last(raft, peer, run.first, peer->next - 1);
    last = last < all.range.last ? last : all.range.last;
    if (last >= run.first) {
        MARK(missing_entries_are_sent_one_by_one);
        send_entries(raft, peer, (struct raft_range){.first = run.first, .last = last}, missing,
                     effects);
        peer->missing_next = last + 1;
    }
}

static void stream(struct raft *raft, struct raft_peer *peer, struct raft_effects *effects)
{
    for (uint32_t at = 0; at < peer->resend_count; at++) {
        struct raft_range range = peer->resend[at];
        range.first = range.first > raft->log.base.index ? range.first : raft->log.base.index + 1;
        if (range.first <= range.last && range.last < peer->next) {
            send_entries(raft, peer, range, NULL, effects);
        }
    }
    peer->resend_count = 0;
    if (peer->missing_next != 0) {
        send_missing(raft, peer, effects);
    }
    uint64_t last = window_last(raft, peer, peer->next, raft->log.last);
    if (last >= peer->next) {
        if (!has_unanswered(peer)) {
            peer->progress_ns = raft->now_ns;
        }
        struct raft_range range = {.first = peer->next, .last = last};
        peer->next = last + 1;
        send_entries(raft, peer, range, NULL, effects);
    }
}

static void probe(struct raft *raft, struct raft_peer *peer, struct raft_effects *effects)
{
    peer->probe_out = true;
    if (peer->next <= raft->log.last) {
        struct raft_range range = {.first = peer->next, .last = peer->next};
        peer->next++;
        send_entries(raft, peer, range, NULL, effects);
    } else {
        send_empty(raft, peer, effects);
    }
}

// When the next empty append is due, if nothing else is sent before.
static uint64_t empty_due_ns(const struct raft *raft, const struct raft_peer *peer)
{
    uint64_t due = peer->sent_ns + raft->config.heartbeat_ns;
    if (has_unanswered(peer)) {
        uint64_t newest = peer->sent_ns > peer->progress_ns ? peer->sent_ns : peer->progress_ns;
        uint64_t poke = newest + poke_after_ns(raft, peer);
        due = poke < due ? poke : due;
    }
    if (peer->commit_sent < raft->commit && peer->state == RAFT_PEER_STREAM) {
        uint64_t news = peer->sent_ns + COMMIT_NEWS_DELAY_NS;
        due = news < due ? news : due;
    }
    return due;
}

static void replicate_to(struct raft *raft, struct raft_peer *peer, struct raft_effects *effects)
{
    uint64_t base = raft->log.base.index;
    bool is_silent = raft->now_ns > peer->heard_ns + SILENT_HEARTBEATS * raft->config.heartbeat_ns;
    if (is_silent && peer->state == RAFT_PEER_STREAM) {
        MARK(silent_peer_is_probed);
        peer->state = RAFT_PEER_PROBE;
        peer->probe_out = true;
        peer->next = (peer->match > base ? peer->match : base) +
                     1; // it will say how much further back it is
        forget_resends(peer);
    }
    if (!order_may_replicate(raft)) {
        if (peer->append_due || raft->now_ns >= empty_due_ns(raft, peer)) {
            send_empty(raft, peer, effects);
        }
        return;
    }
    if (peer->next <= base && peer->state != RAFT_PEER_SNAPSHOT) {
        MARK(peer_needs_a_checkpoint);
        peer->state = RAFT_PEER_SNAPSHOT;
    }
    if (peer->state == RAFT_PEER_SNAPSHOT) {
        effects->snapshot_peers |= UINT64_C(1) << (peer->id - 1);
        forget_resends(peer);
    } else if (peer->state == RAFT_PEER_STREAM) {
        stream(raft, peer, effects);
    } else if (!peer->probe_out) {
        probe(raft, peer, effects);
    }
    if (peer->append_due || raft->now_ns >= empty_due_ns(raft, peer)) {
        send_empty(raft, peer, effects);
    }
}

void replicate_collect(struct raft *raft, struct raft_effects *effects)
{
    if (raft->role != RAFT_LEADER) {
        return;
    }
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        if (slot != raft->self_slot) {
            replicate_to(raft, &raft->peers[slot], effects);
        }
    }
}

uint64_t replicate_deadline(const struct raft *raft)
{
    uint64_t deadline = RAFT_NEVER;
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        if (slot != raft->self_slot) {
            uint64_t due = empty_due_ns(raft, &raft->peers[slot]);
            deadline = due < deadline ? due : deadline;
        }
    }
    return deadline;
}

uint64_t raft_needed_from(const struct raft *raft)
{
    uint64_t needed = raft->log.last + 1;
    for (uint32_t slot = 0; raft->role == RAFT_LEADER && slot < raft->config.voter_count; slot++) {
        const struct raft_peer *peer = &raft->peers[slot];
        bool is_active =
            slot != raft->self_slot &&
            raft->now_ns <= peer->heard_ns + SILENT_HEARTBEATS * raft->config.heartbeat_ns;
        if (is_active && peer->state != RAFT_PEER_SNAPSHOT && peer->match + 1 < needed) {
            needed = peer->match + 1;
        }
    }
    return needed;
}
