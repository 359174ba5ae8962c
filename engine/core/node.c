// Dispatch: one input in, effects out. Also set-up and views.
#include "engine/core/state.h"

#include "engine/base/mark.h"

#include <string.h>

// A leader's disk may stand still for two election timeouts, but never less than this: a flush of
// a busy device takes that long now and then.
#define DISK_PATIENCE_MIN_NS UINT64_C(300000000)

// A leader's log may be full for two election timeouts, but never less than this: a peer that is
// given a checkpoint holds the log for a while.
#define FULL_PATIENCE_MIN_NS UINT64_C(1000000000)

// splitmix64 (Steele, Lea, Flood 2014): election timeouts need no better.
uint64_t raft_random(struct raft *raft)
{
    uint64_t mixed = raft->random_state += UINT64_C(0x9E3779B97F4A7C15);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94D049BB133111EB);
    return mixed ^ (mixed >> 31);
}

const char *raft_outcome_name(enum raft_outcome outcome)
{
    static const char *const names[RAFT_OUTCOMES] = {
        [RAFT_OK] = "ok",
        [RAFT_NOT_LEADER] = "not_leader",
        [RAFT_BUSY] = "busy",
        [RAFT_STALE] = "stale",
        [RAFT_MISMATCH] = "mismatch",
        [RAFT_HOLE] = "hole",
        [RAFT_DUPLICATE] = "duplicate",
        [RAFT_IGNORED] = "ignored",
    };
    return names[outcome];
}

static size_t state_bytes(void)
{
    return (sizeof(struct raft) + 63) & ~(size_t)63;
}

size_t raft_memory_bytes(const struct raft_config *config)
{
    return state_bytes() + (size_t)config->log_entries * sizeof(struct raft_entry) +
           order_memory_bytes(config);
}

static void check_config(const struct raft_config *config)
{
    ASSERT(config->voter_count >= 1 && config->voter_count <= RAFT_NODES_MAX);
    ASSERT(config->log_entries >= 64 && (config->log_entries & (config->log_entries - 1)) == 0);
    ASSERT(config->window_entries >= 1 && config->window_bytes >= 1);
    ASSERT(config->heartbeat_ns > 0 && config->election_timeout_min_ns > config->heartbeat_ns);
    ASSERT(config->election_timeout_max_ns >= config->election_timeout_min_ns);
    ASSERT_CMP(config->boot, >=, 1);
    ASSERT(config->order == RAFT_ORDER_STRICT ||
           (config->span_entries >= 1 && config->span_entries <= RAFT_WINDOW_MAX));
    ASSERT(config->look_behind <= (config->order == RAFT_ORDER_STRICT ? 0 : RAFT_WINDOW_MAX));
}

struct raft *raft_init(void *memory, const struct raft_config *config, uint64_t now_ns)
{
    _Static_assert(sizeof(struct raft_entry) == 64, "one cache line a log entry");
    check_config(config);
    struct raft *raft = memory;
    memset(raft, 0, sizeof(*raft));
    raft->config = *config;
    raft->now_ns = now_ns;
    raft->majority = config->voter_count / 2 + 1;
    raft->random_state = config->seed ^ ((uint64_t)config->self << 48) ^ config->boot;
    raft->self_slot = RAFT_NODES_MAX;
    for (uint32_t slot = 0; slot < config->voter_count; slot++) {
        raft->peers[slot] =
            (struct raft_peer){.id = config->voters[slot], .intact = true, .next = 1};
        if (config->voters[slot] == config->self) {
            raft->self_slot = slot;
        }
    }
    ASSERT(raft->self_slot < RAFT_NODES_MAX);
    raft->term = config->hard_state.term;
    raft->voted_for = config->hard_state.voted_for;
    raft->hard_synced = raft->hard_given = config->hard_state;
    rejoin_set_intact(raft, config->intact);
    raft->is_roomy = true;
    raft->log.slots = (struct raft_entry *)(void *)((char *)memory + state_bytes());
    raft->log.mask = config->log_entries - 1;
    raft->log.epoch = 1;
    order_init(raft, raft->log.slots + config->log_entries);
    role_reset_election(raft, now_ns);
    return raft;
}

void raft_restore_identity(struct raft *raft, struct raft_hard_state hard_state, uint64_t boot,
                           bool intact)
{
    raft->config.hard_state = raft->hard_synced = raft->hard_given = hard_state;
    raft->term = hard_state.term;
    raft->voted_for = hard_state.voted_for;
    raft->config.boot = boot;
    raft->random_state += boot;
    rejoin_set_intact(raft, intact);
}

void raft_message_init(const struct raft *raft, enum raft_message_type type, uint16_t to,
                       struct raft_message *message)
{
    memset(message, 0, sizeof(*message));
    message->type = type;
    message->from = raft->config.self;
    message->to = to;
    message->intact = raft->intact;
    message->has_room = role_has_room(raft);
    message->boot = raft->config.boot;
    message->is_parallel = raft->parallel != NULL;
    message->term = raft->term;
}

// An answer that needs no durability. A burst that brings more of them than fit loses the rest:
// their senders ask again.
void raft_out(struct raft *raft, const struct raft_message *message)
{
    if (raft->out_count < RAFT_NODES_MAX) {
        raft->out[raft->out_count++] = *message;
    }
}

static enum raft_outcome on_message(struct raft *raft, const struct raft_message *message,
                                    struct raft_accept *accept)
{
    struct raft_peer *peer = peer_of(raft, message->from);
    if (peer == NULL || message->from == raft->config.self || message->to != raft->config.self) {
        return RAFT_IGNORED;
    }
    if (message->is_parallel != (raft->parallel != NULL)) {
        return RAFT_IGNORED; // a group has one order everywhere
    }
    if (message->boot < peer->boot) {
        MARK(message_of_a_former_boot);
        return RAFT_STALE;
    }
    rejoin_note_peer(raft, message);
    uint64_t now_ns = raft->now_ns;
    switch (message->type) {
    case RAFT_MSG_PRE_VOTE:
        return on_pre_vote(raft, now_ns, message);
    case RAFT_MSG_VOTE:
        return on_vote(raft, now_ns, message);
    case RAFT_MSG_PRE_VOTE_REPLY:
    case RAFT_MSG_VOTE_REPLY:
        return on_vote_reply(raft, now_ns, message, accept);
    case RAFT_MSG_APPEND:
        return on_append(raft, now_ns, message, accept);
    case RAFT_MSG_FETCH:
        return order_on_fetch(raft, message);
    case RAFT_MSG_APPEND_REPLY:
        if (message->term > raft->term) {
            become_follower(raft, now_ns, message->term, 0);
            return RAFT_OK;
        }
        return on_append_reply(raft, now_ns, message);
    }
    return RAFT_IGNORED;
}

static void on_synced(struct raft *raft, struct raft_range range, uint32_t epoch)
{
    log_synced(&raft->log, range, epoch);
    order_on_synced(raft, range, epoch);
    rejoin_advance(raft);
}

static void on_hard_state(struct raft *raft, struct raft_hard_state state,
                          struct raft_accept *accept)
{
    raft->hard_synced = state;
    if (raft->role == RAFT_CANDIDATE) {
        vote_count(raft, raft->now_ns, accept);
    }
}

static void stand_down(struct raft *raft)
{
    if (raft->role != RAFT_FOLLOWER) {
        become_follower(raft, raft->now_ns, raft->term, 0);
    }
}

// Nothing of the leader's own log has become durable for long though something should: others could
// lead with a disk that works. Its followers may well commit without it (thesis §10.2.1), but then
// the cluster has one working disk less than it shows, and reads, checkpoints and the next term
// depend on it.
static bool disk_stalls(struct raft *raft)
{
    const struct raft_log *log = &raft->log;
    uint64_t patience_ns = 2 * raft->config.election_timeout_min_ns;
    if (log->synced == log->last || log->synced != raft->synced_seen) {
        raft->synced_seen = log->synced;
        raft->synced_moved_ns = raft->now_ns;
    }
    patience_ns = patience_ns > DISK_PATIENCE_MIN_NS ? patience_ns : DISK_PATIENCE_MIN_NS;
    return raft->config.voter_count > 1 && raft->now_ns - raft->synced_moved_ns >= patience_ns;
}

// Could this voter take over at once, and take entries?
static bool may_relieve(const struct raft *raft, const struct raft_peer *peer)
{
    return peer->intact && peer->has_room && peer->match == raft->log.last &&
           peer->heard_ns + raft->config.election_timeout_min_ns >= raft->now_ns;
}

// Nothing fits into the leader's log, and that does not pass: where a voter has all of it and room
// for more, leadership is better there. Where none has, it stays: reads are served all the same.
static bool is_better_elsewhere(struct raft *raft)
{
    uint64_t patience_ns = 2 * raft->config.election_timeout_min_ns;
    patience_ns = patience_ns > FULL_PATIENCE_MIN_NS ? patience_ns : FULL_PATIENCE_MIN_NS;
    if (role_has_room(raft) || raft->full_since_ns == 0 || raft->log.last != raft->full_last) {
        raft->full_since_ns = role_has_room(raft) ? 0 : raft->now_ns;
        raft->full_last = raft->log.last;
        return false;
    }
    bool is_better = false;
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        is_better |= slot != raft->self_slot && may_relieve(raft, &raft->peers[slot]);
    }
    return is_better && raft->now_ns >= raft->full_since_ns + patience_ns;
}

// A leader that does not hear a majority of intact voters steps down: its clients must look
// elsewhere (thesis §6.2). So does one whose disk stalls, or whose log is full.
static void check_quorum(struct raft *raft)
{
    uint64_t interval_ns = raft->config.election_timeout_min_ns;
    if (raft->role != RAFT_LEADER || raft->now_ns < raft->quorum_checked_ns + interval_ns) {
        return;
    }
    uint32_t heard = 0;
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        const struct raft_peer *peer = &raft->peers[slot];
        heard += slot == raft->self_slot ||
                 (peer->intact && peer->heard_ns + interval_ns >= raft->now_ns);
    }
    raft->quorum_checked_ns = raft->now_ns;
    bool is_better = is_better_elsewhere(raft);
    if (disk_stalls(raft) || is_better || heard < raft->majority || order_is_stuck(raft)) {
        MARK(leader_without_quorum_steps_down);
        stand_down(raft);
    }
}

// A checkpoint that covers id replaces our log up to it. What we hold behind it stays if it
// continues from it ("if existing log entry has same index and term as snapshot's last included
// entry, retain log entries following it", §7).
static enum raft_outcome on_installed(struct raft *raft, struct raft_entry_id id,
                                      const struct raft_beyond *beyond)
{
    struct raft_log *log = &raft->log;
    if (raft->parallel != NULL) {
        return order_on_installed(raft, id, beyond);
    }
    if (id.index <= raft->commit) {
        // The log caught up while it was made durable; the state machine is there all the same.
        raft->apply_given = raft->apply_given > id.index ? raft->apply_given : id.index;
        raft->applied = raft->applied > id.index ? raft->applied : id.index;
        return RAFT_STALE;
    }
    // The checkpoint may overtake every other message of the leader's term.
    if (id.term > raft->term) {
        become_follower(raft, raft->now_ns, id.term, 0);
    }
    if (id.index <= log->last && log_term_at(log, id.index) == id.term) {
        log->base = id;
        log->synced = log->synced > id.index ? log->synced : id.index;
        log_close_holes(log);
    } else {
        MARK(checkpoint_replaces_the_log);
        log_reset(log, id);
    }
    raft->commit = raft->applied = raft->apply_given = id.index;
    raft->verified = raft->verified > id.index ? raft->verified : id.index;
    raft->verified = raft->verified < log->last ? raft->verified : log->last;
    raft->reply_due = raft->leader != 0;
    rejoin_advance(raft);
    return RAFT_OK;
}

static enum raft_outcome dispatch(struct raft *raft, uint64_t now_ns,
                                  const struct raft_input *input, struct raft_accept *accept)
{
    switch (input->kind) {
    case RAFT_IN_TICK:
        check_quorum(raft);
        vote_tick(raft, now_ns, accept);
        return RAFT_OK;
    case RAFT_IN_MESSAGE:
        return on_message(raft, input->message, accept);
    case RAFT_IN_PROPOSE:
        return replicate_propose(raft, input, accept);
    case RAFT_IN_READ:
        return read_accept(raft, input->read_count);
    case RAFT_IN_SYNCED:
        on_synced(raft, input->synced.range, input->synced.epoch);
        return RAFT_OK;
    case RAFT_IN_HARD_STATE:
        on_hard_state(raft, input->hard_state, accept);
        return RAFT_OK;
    case RAFT_IN_DISK_FAILED:
        raft->failed = true;
        stand_down(raft);
        return RAFT_OK;
    case RAFT_IN_APPLIED:
        if (input->applied < raft->applied) {
            return RAFT_STALE; // a checkpoint was installed meanwhile
        }
        order_on_applied(raft, input->applied_first, input->applied);
        return RAFT_OK;
    case RAFT_IN_UNSENT:
        replicate_unsent(raft, input->unsent.peer, input->unsent.index);
        order_on_unsent(raft, input->unsent.peer, input->unsent.index);
        return RAFT_OK;
    case RAFT_IN_INSTALLED:
        return on_installed(raft, input->installed, input->installed_beyond);
    case RAFT_IN_SNAPSHOT_DONE:
        replicate_snapshot_done(raft, now_ns, input->snapshot_done.peer, input->snapshot_done.id);
        return RAFT_OK;
    case RAFT_IN_STAND_DOWN:
        stand_down(raft);
        return RAFT_OK;
    case RAFT_IN_ROOM:
        raft->is_roomy = input->has_room;
        raft->full_since_ns = input->has_room ? 0 : raft->full_since_ns;
        return RAFT_OK;
    case RAFT_IN_SYNC:
        return order_on_sync(raft, input->sync_term);
    }
    return RAFT_IGNORED;
}

enum raft_outcome raft_step(struct raft *raft, uint64_t now_ns, const struct raft_input *input,
                            struct raft_accept *accept)
{
    ASSERT_CMP(now_ns, >=, raft->now_ns);
    raft->now_ns = now_ns;
    *accept = (struct raft_accept){.range = {.first = 1, .last = 0}};
    enum raft_outcome outcome = dispatch(raft, now_ns, input, accept);
    role_open_term(raft, accept);
    return outcome;
}

static uint64_t deadline(const struct raft *raft)
{
    uint64_t due = RAFT_NEVER, other;
    if (raft->role == RAFT_LEADER) {
        due = raft->quorum_checked_ns + raft->config.election_timeout_min_ns;
        other = replicate_deadline(raft);
    } else if (raft->failed) {
        return RAFT_NEVER;
    } else {
        due = raft->election_deadline_ns;
        other = append_deadline(raft);
    }
    due = due < other ? due : other;
    other = order_deadline(raft);
    return due < other ? due : other;
}

static bool hard_state_equal(struct raft_hard_state a, struct raft_hard_state b)
{
    return a.term == b.term && a.voted_for == b.voted_for && a.sync_term == b.sync_term &&
           a.sync_end == b.sync_end;
}

void raft_collect(struct raft *raft, uint64_t now_ns, struct raft_effects *effects)
{
    ASSERT_CMP(now_ns, >=, raft->now_ns);
    raft->now_ns = now_ns;
    effects->message_count = effects->send_count = 0;
    effects->snapshot_peers = 0;
    effects->reads_granted = false;
    effects->sync_due = false;
    for (uint32_t at = 0; at < raft->out_count; at++) {
        effects->messages[effects->message_count++] = raft->out[at];
    }
    raft->out_count = 0;

    effects->hard_state =
        (struct raft_hard_state){.term = raft->term, .voted_for = raft->voted_for};
    order_fill_hard_state(raft, &effects->hard_state);
    effects->hard_state_due =
        !raft->failed && !hard_state_equal(raft->hard_given, effects->hard_state);
    if (effects->hard_state_due) {
        raft->hard_given = effects->hard_state;
    }
    vote_collect(raft, effects);
    append_collect(raft, now_ns, effects);
    rejoin_advance_leader(raft);
    read_collect(raft, effects);
    order_collect(raft, effects);
    replicate_collect(raft, effects);

    effects->role_changed = raft->role_changed;
    raft->role_changed = false;
    effects->deadline_ns = deadline(raft);
    ASSERT_CMP(effects->message_count, <=, RAFT_MESSAGES_MAX);
    ASSERT_CMP(effects->send_count, <=, RAFT_SENDS_MAX);
#ifdef PONTOON_SLOW_ASSERTS
    raft_check_invariants(raft);
#endif
}

void raft_view(const struct raft *raft, struct raft_view *view)
{
    *view = (struct raft_view){.role = raft->role,
                               .leader = raft->leader,
                               .intact = raft->intact,
                               .halted = raft->halted,
                               .failed = raft->failed,
                               .term = raft->term,
                               .commit = raft->commit,
                               .applied = raft->applied,
                               .synced = raft->log.synced,
                               .last = raft->log.last,
                               .held = raft->log.held,
                               .base = raft->log.base.index,
                               .epoch = raft->log.epoch,
                               .reads_last = raft->read_last};
    order_fill_view(raft, view);
}

uint32_t raft_peer_views(const struct raft *raft, struct raft_peer_view *views, uint32_t max)
{
    uint32_t count = raft->config.voter_count < max ? raft->config.voter_count : max;
    for (uint32_t slot = 0; slot < count; slot++) {
        const struct raft_peer *peer = &raft->peers[slot];
        bool is_self = slot == raft->self_slot;
        views[slot] = (struct raft_peer_view){
            .id = peer->id,
            .is_self = is_self,
            .is_active =
                is_self || (raft->role == RAFT_LEADER &&
                            peer->heard_ns + raft->config.election_timeout_min_ns >= raft->now_ns),
            .intact = is_self ? raft->intact : peer->intact,
            .is_probing = peer->state == RAFT_PEER_PROBE,
            .is_installing = peer->state == RAFT_PEER_SNAPSHOT,
            .match = is_self ? raft->log.synced : peer->match,
            .next = peer->next,
            .boot = is_self ? raft->config.boot : peer->boot,
            .round_trip_ns = peer->round_trip_ns};
    }
    return count;
}
