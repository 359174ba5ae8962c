// The ordering policy of a group: the only file that knows which mode a group runs. Everything else
// asks here and works with floors, ranges and acknowledgements.
//
// strict    the log is one chain; what is acknowledged, committed and applied are floors that move
//           without holes (Raft §5.3)
// parallel  strict at the boundary of a term, out of order within it (engine/README.md, "Parallel
//           groups"): install.c, merge.c, holes.c, depend.c
#include "engine/core/parallel.h"

#include "engine/base/mark.h"

#include <string.h>

// --- memory ---

static size_t round_line(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

enum { RINGS = 4 };

static size_t ring_bytes(const struct raft_config *config)
{
    return round_line(config->log_entries / 8);
}

size_t order_memory_bytes(const struct raft_config *config)
{
    if (config->order == RAFT_ORDER_STRICT) {
        return 0;
    }
    return round_line(sizeof(struct raft_parallel)) +
           config->log_entries * sizeof(struct raft_entry) + RINGS * ring_bytes(config) +
           config->log_entries * (sizeof(struct raft_range) + sizeof(uint16_t)) +
           PARALLEL_CLIENTS_MAX * sizeof(struct parallel_client) +
           round_line(conflict_bytes(PARALLEL_LEAVES));
}

static void *carve(uint8_t **memory, size_t bytes)
{
    void *piece = *memory;
    *memory += round_line(bytes);
    return piece;
}

static void carve_ring(struct bitmap_ring *ring, uint8_t **memory, const struct raft_config *config)
{
    uint64_t *words = carve(memory, ring_bytes(config));
    bitmap_ring_init(ring, words, config->log_entries);
}

void order_init(struct raft *raft, void *memory)
{
    const struct raft_config *config = &raft->config;
    if (config->order == RAFT_ORDER_STRICT) {
        return;
    }
    uint8_t *at = memory;
    struct raft_parallel *parallel = carve(&at, sizeof(*parallel));
    memset(parallel, 0, sizeof(*parallel));
    parallel->staged.slots = carve(&at, config->log_entries * sizeof(struct raft_entry));
    parallel->staged.mask = config->log_entries - 1;
    parallel->staged.is_loose = raft->log.is_loose = true;
    carve_ring(&parallel->quorum, &at, config);
    carve_ring(&parallel->committed, &at, config);
    carve_ring(&parallel->given, &at, config);
    carve_ring(&parallel->applied, &at, config);
    parallel->ready = carve(&at, config->log_entries * sizeof(struct raft_range));
    parallel->ready_mask = config->log_entries - 1;
    parallel->distances = carve(&at, config->log_entries * sizeof(uint16_t));
    parallel->clients = carve(&at, PARALLEL_CLIENTS_MAX * sizeof(struct parallel_client));
    conflict_init(&parallel->by_key, carve(&at, conflict_bytes(PARALLEL_LEAVES)), PARALLEL_LEAVES);
    raft->parallel = parallel;
    parallel->reach =
        config->span_entries < config->log_entries ? config->span_entries : config->log_entries;
    depend_reset(raft, 0);
}

// --- taking and acknowledging entries ---

// The log that entries of the leader go to.
struct raft_log *order_log(struct raft *raft)
{
    return raft->parallel == NULL ? &raft->log : parallel_log(raft);
}

// May an entry at this index be taken into the log now, though entries before it are missing?
// Strict groups take it too (it spares sending it again), but it joins the log, and can be
// acknowledged, only when the hole is filled.
bool order_accepts(const struct raft *raft, uint64_t index)
{
    return index > raft->log.last && index <= raft->log.base.index + raft->log.mask + 1;
}

// Everything up to here may be acknowledged to the leader of this term: durable, and known to equal
// the leader's log.
uint64_t order_ack_floor(const struct raft *raft)
{
    if (raft->parallel != NULL) {
        return install_is_done(raft) ? raft->log.synced : 0;
    }
    return raft->log.synced < raft->verified ? raft->log.synced : raft->verified;
}

// Is the log of the term being installed here?
bool order_is_installing(const struct raft *raft)
{
    return raft->parallel != NULL && install_is_running(raft);
}

// What an answer says of the log as far as it has no hole: what is acknowledged; or, of a log that
// is being installed, how far it is, which counts for nothing but the leader's windows.
uint64_t order_match(const struct raft *raft)
{
    return order_is_installing(raft) ? raft->parallel->staged.synced : order_ack_floor(raft);
}

// Is there something to acknowledge that the floor does not show?
bool order_acks_due(const struct raft *raft)
{
    return raft->parallel != NULL && raft->parallel->acks_due;
}

bool order_names_hole(const struct raft *raft, struct raft_range hole,
                      struct raft_append_reply *reply)
{
    return raft->parallel != NULL && install_names_hole(raft, hole, reply);
}

// What a peer named like that.
struct raft_wanted *order_missing(const struct raft *raft, const struct raft_peer *peer)
{
    ASSERT(raft->parallel != NULL);
    return &raft->parallel->missing[peer - raft->peers];
}

void order_fill_acks(struct raft *raft, struct raft_append_reply *reply)
{
    if (raft->parallel != NULL) {
        holes_fill_acks(raft, reply);
    }
}

// What a leader of an old term is told beside the new term: nothing of what is here counts for it.
struct raft_append_reply order_answer_to_old_term(const struct raft *raft)
{
    if (raft->parallel != NULL) { // (there is no such thing as a log that does not match)
        return (struct raft_append_reply){.result = RAFT_APPEND_OK};
    }
    return (struct raft_append_reply){.result = RAFT_APPEND_REJECTED,
                                      .conflict.index = raft->log.last + 1};
}

enum raft_outcome order_on_append(struct raft *raft, const struct raft_append *append,
                                  struct raft_accept *accept)
{
    return holes_on_append(raft, append, accept);
}

// --- committing ---

// A majority holds everything up to quorum_index durably: how far may the commit index move? Only
// entries of the leader's own term are committed by counting, older ones with them (§5.4.2, figure
// 8).
uint64_t order_commit_floor(const struct raft *raft, uint64_t quorum_index)
{
    if (quorum_index <= raft->commit || log_term_at(&raft->log, quorum_index) != raft->term) {
        return raft->commit;
    }
    return quorum_index;
}

// Is what a leader's peer says possible?
bool order_are_acks_sound(const struct raft *raft, const struct raft_append_reply *reply)
{
    return raft->parallel == NULL || holes_are_acks_sound(raft, reply);
}

void order_take_acks(struct raft *raft, const struct raft_peer *peer,
                     const struct raft_append_reply *reply)
{
    if (raft->parallel != NULL) {
        holes_take_acks(raft, (uint32_t)(peer - raft->peers), reply);
    } else {
        commit_advance(raft);
    }
}

void order_forget_peer(struct raft *raft, const struct raft_peer *peer)
{
    if (raft->parallel != NULL) {
        holes_forget_peer(raft, (uint32_t)(peer - raft->peers));
    }
}

void order_on_synced(struct raft *raft, struct raft_range range, uint32_t epoch)
{
    if (raft->parallel == NULL) {
        if (raft->role == RAFT_LEADER) {
            commit_advance(raft);
        }
        return;
    }
    if (raft->parallel->is_staging) {
        log_synced(&raft->parallel->staged, range, epoch);
    }
    holes_on_synced(raft, range);
}

// The highest index that is committed, with holes below it or not: what a read must see, and what
// a node that lost its entries may have helped to commit.
uint64_t order_commit_high(const struct raft *raft)
{
    return raft->parallel == NULL ? raft->commit : raft->parallel->commit_high;
}

// Does the leader know what is committed?
bool order_knows_commit(const struct raft *raft)
{
    return raft->parallel == NULL ? raft->commit >= raft->term_start
                                  : raft->parallel->phase == PARALLEL_SERVE;
}

// --- proposing ---

// How many entries more, beside what the log has room for. In parallel groups the window bounds
// every bitmap, and what waits for apply the conflict index.
uint64_t order_room(const struct raft *raft)
{
    const struct raft_parallel *parallel = raft->parallel;
    if (parallel == NULL) {
        return UINT64_MAX;
    }
    uint64_t last = raft->log.last, limit = raft->commit + raft->config.span_entries;
    uint64_t unapplied = raft->applied + RAFT_WINDOW_MAX;
    limit = limit < unapplied ? limit : unapplied;
    return parallel->phase == PARALLEL_SERVE && limit > last ? limit - last : 0;
}

void order_note_proposals(struct raft *raft, const struct raft_input *input)
{
    if (raft->parallel != NULL) {
        depend_on_propose(raft, input, raft->log.last + 1);
    }
}

// --- elections ---

// By what logs are compared: the last entry; in parallel groups the newest log installed and how
// much of it is here without a hole. (Whoever has installed none holds nothing but a checkpoint.)
struct raft_entry_id order_last(const struct raft *raft)
{
    if (raft->parallel != NULL) {
        uint64_t sync_term = raft->parallel->sync_term;
        return (struct raft_entry_id){.term = sync_term,
                                      .index = sync_term == 0 ? 0 : raft->log.last};
    }
    return raft_id_at(raft, raft->log.last);
}

// May the node vote or stand now? Not while a log is being made its own.
bool order_may_stand(const struct raft *raft)
{
    return !install_is_pending(raft);
}

// Could it lead? A full strict log has no slot for the no-op of a new term.
bool order_may_lead(const struct raft *raft)
{
    return order_may_stand(raft) && (raft->parallel != NULL || log_capacity_left(&raft->log) > 0);
}

// The term rises: the log is fenced. What waits behind a hole of a strict log came from the old
// leader; entries held without a hole stay, and their late completions still count (they keep the
// epoch they were submitted under).
void order_promise(struct raft *raft)
{
    if (raft->parallel != NULL) {
        install_fence(raft);
        return;
    }
    if (raft->log.held > raft->log.last) {
        MARK(promise_drops_what_waits_behind_a_hole);
    }
    log_drop_beyond_hole(&raft->log);
}

// We stand for election: our log stands still like that of a voter.
void order_stand(struct raft *raft)
{
    if (raft->parallel != NULL) {
        raft->parallel->reported_term = raft->term;
    }
}

void order_report(struct raft *raft, struct raft_vote_reply *reply)
{
    if (raft->parallel != NULL) {
        raft->parallel->reported_term = raft->term;
        merge_report(raft, &reply->report);
    }
}

bool order_takes_vote(struct raft *raft, const struct raft_message *message)
{
    return raft->parallel == NULL || merge_on_report(raft, message) == RAFT_OK;
}

void order_win(struct raft *raft)
{
    if (raft->parallel != NULL) {
        merge_start(raft);
    }
}

void order_lose(struct raft *raft)
{
    if (raft->parallel != NULL) {
        raft->parallel->phase = PARALLEL_FOLLOW;
    }
}

void order_open_term(struct raft *raft, struct raft_accept *accept)
{
    if (raft->parallel->phase == PARALLEL_MERGE) {
        merge_advance(raft, accept);
    }
}

bool order_is_stuck(const struct raft *raft)
{
    return raft->parallel != NULL && merge_is_stuck(raft);
}

enum raft_outcome order_on_supply(struct raft *raft, const struct raft_message *message,
                                  struct raft_accept *accept)
{
    if (raft->parallel == NULL || message->term != raft->term) {
        return message->term < raft->term ? RAFT_STALE : RAFT_IGNORED;
    }
    return merge_on_supply(raft, &message->append, message->from, accept);
}

enum raft_outcome order_on_fetch(struct raft *raft, const struct raft_message *message)
{
    return raft->parallel == NULL ? RAFT_IGNORED : merge_on_fetch(raft, message);
}

// Of what a follower sent, the rest did not go out.
void order_on_unsent(struct raft *raft, uint16_t peer, uint64_t index)
{
    if (raft->parallel != NULL) {
        merge_on_unsent(raft, peer, index);
    }
}

enum raft_outcome order_on_sync(struct raft *raft, uint64_t sync_term)
{
    return raft->parallel == NULL ? RAFT_IGNORED : install_on_sync(raft, sync_term);
}

// --- sending ---

// May a leader send entries? One of a parallel group must know its log first.
bool order_may_replicate(const struct raft *raft)
{
    return raft->parallel == NULL || raft->parallel->phase >= PARALLEL_BARRIER;
}

// The place before `first`: what AppendEntries checks, or just an index.
struct raft_entry_id order_prev(const struct raft *raft, uint64_t first)
{
    if (raft->parallel != NULL) {
        return (struct raft_entry_id){.index = first - 1};
    }
    return raft_id_at(raft, first - 1);
}

void order_fill_append(const struct raft *raft, const struct raft_peer *peer,
                       struct raft_append *append)
{
    const struct raft_parallel *parallel = raft->parallel;
    if (parallel == NULL) {
        return;
    }
    append->is_supply = raft->role != RAFT_LEADER;
    if (append->is_supply) {
        append->round = parallel->fetch.number;
        append->sync_end = parallel->supply_end;
    }
    append->has_sync = raft->role == RAFT_LEADER && order_may_replicate(raft);
    if (append->has_sync) {
        bool is_merged = (parallel->merged >> (peer - raft->peers)) & 1;
        append->sync_from = is_merged ? parallel->merge_from : 0;
        append->sync_end = parallel->sync_end;
    }
}

void order_fill_hard_state(const struct raft *raft, struct raft_hard_state *state)
{
    if (raft->parallel != NULL) {
        state->sync_term = raft->parallel->sync_term;
        state->sync_end = raft->parallel->sync_end;
    }
}

// --- applying ---

static struct raft_range apply_next(struct raft *raft)
{
    struct raft_range range = {.first = raft->apply_given + 1, .last = raft->commit};
    raft->apply_given = raft->commit;
    return range;
}

void order_collect(struct raft *raft, struct raft_effects *effects)
{
    effects->apply = (struct raft_range){.first = 1, .last = 0};
    if (raft->parallel == NULL) {
        effects->apply = apply_next(raft);
        return;
    }
    if (raft->parallel->is_staging) {
        install_collect(raft, effects);
    }
    if (raft->parallel->is_staging || raft->parallel->fetch_from != 0) {
        merge_collect(raft, effects);
    }
}

void order_on_applied(struct raft *raft, uint64_t first, uint64_t last)
{
    if (raft->parallel != NULL) {
        holes_applied(raft, (struct raft_range){.first = first, .last = last});
        return;
    }
    ASSERT_CMP(last, <=, raft->apply_given);
    raft->applied = last;
}

// A checkpoint was installed (parallel groups).
enum raft_outcome order_on_installed(struct raft *raft, struct raft_entry_id id,
                                     const struct raft_beyond *beyond)
{
    if (id.index < raft->log.base.index) {
        return RAFT_STALE;
    }
    // (The floor of what is applied may be above it, having gone over entries that an older
    // checkpoint had brought: they are of the state that is gone.)
    if (id.term > raft->term) {
        become_follower(raft, raft->now_ns, id.term, 0);
    }
    if (raft->role == RAFT_LEADER) {
        // Elected while it was being made durable: what counts as committed, given and applied
        // here belongs to a state that is gone.
        become_follower(raft, raft->now_ns, raft->term, 0);
    }
    MARK(checkpoint_under_a_log_with_holes);
    uint64_t commit = raft->commit;
    install_rebase(raft, id);
    holes_restored(raft, id.index, beyond);
    raft->verified = parallel_log(raft)->last;
    raft->reply_due = raft->leader != 0;
    rejoin_advance(raft);
    return id.index <= commit ? RAFT_STALE : RAFT_OK;
}

void order_trim(struct raft *raft, struct raft_entry_id base)
{
    if (raft->parallel != NULL) {
        install_rebase(raft, base);
    } else {
        raft->log.base = base;
    }
}

// --- recovery ---

void order_restore_begin(struct raft *raft)
{
    if (raft->parallel != NULL) {
        raft->parallel->commit_high = raft->parallel->applied_high = raft->commit;
        raft->parallel->told_commit = raft->commit;
        log_reset(&raft->parallel->staged, raft->log.base);
    }
}

// True: the log is one with holes, and was taken care of.
bool order_restore_end(struct raft *raft)
{
    struct raft_parallel *parallel = raft->parallel;
    struct raft_log *log = &raft->log;
    if (parallel == NULL) {
        return false;
    }
    if (raft->hard_synced.sync_term > parallel->sync_term) {
        parallel->sync_term = raft->hard_synced.sync_term;
        parallel->sync_end = raft->hard_synced.sync_end;
    }
    uint64_t held = log->base.index;
    for (uint64_t index = held + 1; index <= log->held; index++) {
        struct raft_entry *entry = log_slot(log, index);
        entry->is_held = entry->is_held &&
                         (index > parallel->sync_end ? entry->term == parallel->sync_term : true);
        entry->term = parallel->sync_term;
        depend_restored(raft, index);
        held = entry->is_held ? index : held;
    }
    log->held = held;
    log_close_holes(log);
    if (log->last < parallel->sync_end) {
        raft->intact = false; // the installed log was complete once
    }
    if (!raft->intact) {
        // What is missing may be the SYNC record that did away with entries still to be seen here.
        log_reset(log, log->base);
    }
    parallel->durable_high = log->held;
    parallel->restored_term = 0;
    if (parallel->sync_term > raft->term) {
        become_follower(raft, raft->now_ns, parallel->sync_term, 0);
    }
    raft->verified = log->last;
    return true;
}

void raft_restore_beyond(struct raft *raft, const struct raft_beyond *beyond)
{
    if (raft->parallel != NULL && beyond->count > 0) {
        holes_restored(raft, raft->applied, beyond);
    }
}

bool order_restore_commit(struct raft *raft, uint64_t index)
{
    if (raft->parallel != NULL) {
        holes_commit_upto(raft, index, (struct raft_range){.first = 1, .last = 0});
    }
    return raft->parallel != NULL;
}

// --- views ---

// When a step with the passing of time is due for what is only here.
uint64_t order_deadline(const struct raft *raft)
{
    bool is_fetching = raft->parallel != NULL && merge_is_fetching(raft);
    return is_fetching ? raft->parallel->fetch_due_ns : RAFT_NEVER;
}

uint64_t raft_applied(const struct raft *raft)
{
    return raft->applied;
}

bool raft_is_level(const struct raft *raft)
{
    return raft->parallel == NULL || raft->parallel->applied_high <= raft->applied;
}

// Where the own strict log is not durable, recovery might find an older entry in the committed
// one's place. In a parallel log only the floor as told keeps the last entry within the window.
uint64_t raft_commit_to_note(const struct raft *raft)
{
    if (raft->parallel != NULL) {
        return raft->parallel->told_commit;
    }
    return raft->commit < raft->log.synced ? raft->commit : raft->log.synced;
}

void order_fill_view(const struct raft *raft, struct raft_view *view)
{
    const struct raft_parallel *parallel = raft->parallel;
    if (parallel == NULL) {
        view->commit_high = raft->commit;
        view->applied_high = raft->applied;
        return;
    }
    view->sync_term = parallel->sync_term;
    view->sync_end = parallel->sync_end;
    view->commit_high = parallel->commit_high;
    view->applied_high = parallel->applied_high;
    view->commit_told = parallel->told_commit;
    view->is_installing =
        parallel->is_staging || raft->hard_synced.sync_term != parallel->sync_term;
}
