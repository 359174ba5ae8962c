// What must hold in parallel groups, in the place of log matching: looked at after every poll of a
// reactor. The names I1 to I4 are those of engine/README.md, "Parallel groups".
//
//   one-log            I2: what stands at an index is the same for all who have the same sync_term;
//                      a log that was installed has what was committed before
//   stale-term         I1, I3: in a term above the one whose log a node has, it takes nothing more,
//                      and nobody counts an acknowledgement that it did not give before
//   barrier            I4: who serves has a majority that installed its log, and nobody counts as
//                      installed who did not
//   conflict-order     an entry is committed only behind all earlier ones that it conflicts with,
//                      by a follower beyond a hole, too
//   look-behind        ... and there not behind more missing ones than a look-behind buffer knows
//   (apply-order       the same of what is applied: sim_app.c)
//   applied-set        what is applied beyond a hole, says the core, is what the state machine has
//
// What a node installed, or held when it could acknowledge it, is taken from the node itself; what
// a leader believes is held against it.
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_check.h"

// ------------------------------------------------------------------------------------------------
// terms

static struct sim_installed *installed_in(struct sim_truth *truth, uint64_t term)
{
    if (term >= truth->installed_terms) {
        uint64_t grown = 2 * term + 64;
        truth->installed = realloc(truth->installed, grown * sizeof(*truth->installed));
        ASSERT(truth->installed != NULL);
        memset(truth->installed + truth->installed_terms, 0,
               (grown - truth->installed_terms) * sizeof(*truth->installed));
        truth->installed_terms = grown;
    }
    return &truth->installed[term];
}

static bool is_set(const uint64_t *ring, uint64_t index)
{
    uint64_t bit = index % SIM_LOG_ENTRIES_MAX;
    return (ring[bit / 64] >> (bit % 64) & 1) != 0;
}

static void put(uint64_t *ring, uint64_t index, bool value)
{
    uint64_t bit = index % SIM_LOG_ENTRIES_MAX;
    ring[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
    ring[bit / 64] |= (uint64_t)value << (bit % 64);
}

void sim_parallel_lost(struct sim_truth *truth, uint16_t id)
{
    uint32_t bit = UINT32_C(1) << (id - 1);
    for (uint64_t at = 0; at <= truth->entries_mask; at++) {
        truth->entries[at].lost |= truth->entries[at].holders & bit;
    }
    for (uint64_t term = 0; term < truth->installed_terms; term++) {
        truth->installed[term].lost |= truth->installed[term].nodes & bit;
    }
}

// ------------------------------------------------------------------------------------------------
// the log

// The log of a term is installed here; perhaps the node is not intact before it is told of a
// commit.
static void check_install(struct sim_seat *seat, uint16_t group, const struct raft *raft)
{
    struct sim *sim = seat->node->sim;
    struct sim_truth *truth = &sim->truths[group];
    const struct raft_parallel *parallel = raft->parallel;
    struct sim_installed *installed = installed_in(truth, parallel->sync_term);
    bool is_first = installed->nodes == 0 && installed->end == 0;
    SIM_CHECK(sim, is_first || installed->end == parallel->sync_end, "one-log",
              "node %u group %u: the log of term %lu ends at %lu, elsewhere at %lu", seat->node->id,
              group, parallel->sync_term, parallel->sync_end, installed->end);
    installed->end = parallel->sync_end;
    if (raft->intact && raft->log.synced >= parallel->sync_end &&
        raft->term == parallel->sync_term) {
        installed->nodes |= UINT32_C(1) << (seat->node->id - 1);
        installed->lost &= ~(UINT32_C(1) << (seat->node->id - 1));
    }
}

static void check_held(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                       struct sim_seen *seen, uint64_t index, bool is_new_log)
{
    struct sim *sim = seat->node->sim;
    struct sim_truth *truth = &sim->truths[group];
    const struct raft_entry *entry = raft_entry_at(raft, index);
    bool is_new = is_new_log || index > seen->held; // (what the sets say is of a lap ago then)
    bool was_held = !is_new && is_set(seen->is_held, index);
    put(seen->is_held, index, entry != NULL);
    if (entry == NULL) {
        put(seen->is_durable, index, false);
        return;
    }
    struct sim_known_entry *known = sim_check_entry(seat, group, index, 0, entry);
    if (!was_held) {
        const struct sim_id *committed =
            index < truth->capacity ? &truth->committed[index] : &(const struct sim_id){0};
        SIM_CHECK(sim,
                  !committed->is_known || committed->term > entry->term ||
                      committed->crc == entry->head.crc,
                  "one-log",
                  "node %u group %u: the log of term %lu has another entry at %lu than "
                  "was committed in term %lu",
                  seat->node->id, group, entry->term, index, committed->term);
        SIM_CHECK(sim, is_new_log || seen->term == entry->term, "stale-term",
                  "node %u group %u: in term %lu it took entry %lu of term %lu", seat->node->id,
                  group, seen->term, index, entry->term);
    }
    bool was_durable = !is_new && is_set(seen->is_durable, index);
    put(seen->is_durable, index, entry->is_durable);
    if (!entry->is_durable || was_durable) {
        return;
    }
    if (raft->intact && raft->term == entry->term) {
        known->holders |= UINT32_C(1) << (seat->node->id - 1);
        known->lost &= ~(UINT32_C(1) << (seat->node->id - 1));
    }
    if (index > seen->synced) {
        sim_check_on_disk(seat, group, index, entry);
    }
}

// (A node that lost entries counts again when it holds everything: then all it has is new.)
static void check_log(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                      struct sim_seen *seen)
{
    bool is_new_log = raft->log.epoch != seen->epoch ||
                      seen->sync_term != raft->parallel->sync_term || !seen->is_intact;
    uint64_t from = is_new_log ? 0 : seen->synced;
    from = from > raft->log.base.index ? from : raft->log.base.index;
    for (uint64_t index = from + 1; index <= raft->log.held; index++) {
        check_held(seat, group, raft, seen, index, is_new_log);
    }
    for (uint64_t index = raft->log.held + 1; index <= seen->held; index++) {
        put(seen->is_held, index, false);
        put(seen->is_durable, index, false);
    }
}

// ------------------------------------------------------------------------------------------------
// committing

static uint32_t touches_of(const struct sim_seat *seat, const struct raft_entry *entry)
{
    struct sim_command command;
    if (entry->head.kind == RAFT_ENTRY_NOOP) {
        return 0;
    }
    if (entry->head.kind != RAFT_ENTRY_COMMAND || entry->head.bytes < sizeof(command)) {
        return SIM_TOUCHES_ALL;
    }
    memcpy(&command, wal_payload(seat->reactor->wal, entry->body), sizeof(command));
    return command.touches;
}

static bool is_same_command(const struct raft_entry *a, const struct raft_entry *b)
{
    return a->head.kind == RAFT_ENTRY_COMMAND && b->head.kind == RAFT_ENTRY_COMMAND &&
           a->head.client == b->head.client && a->head.sequence == b->head.sequence &&
           a->head.client != 0;
}

// What the log of that term has at the index, at whoever has it. NULL: nobody who is up.
static const struct raft_entry *find_entry(struct sim *sim, uint16_t group, uint64_t sync_term,
                                           uint64_t index, const struct sim_seat **seat)
{
    for (uint16_t id = 1; id <= sim->options.nodes; id++) {
        const struct raft *raft = sim_raft(sim, id, group);
        const struct raft_entry *entry = raft == NULL || raft->parallel->sync_term != sync_term
                                             ? NULL
                                             : raft_entry_at(raft, index);
        if (entry != NULL && entry->is_placed) {
            *seat = sim_seat_of(sim, id, group);
            return entry;
        }
    }
    return NULL;
}

static bool do_entries_conflict(const struct sim_seat *seat, const struct raft_entry *a,
                                const struct sim_seat *other_seat, const struct raft_entry *b)
{
    return is_same_command(a, b) || (touches_of(seat, a) & touches_of(other_seat, b)) != 0;
}

static void check_beyond(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                         uint64_t index)
{
    struct sim *sim = seat->node->sim;
    const struct raft_parallel *parallel = raft->parallel;
    const struct raft_entry *entry = raft_entry_at(raft, index);
    uint64_t missing = 0, limit = sim->options.look_behind;
    for (uint64_t before = raft->commit + 1; before < index; before++) {
        const struct sim_seat *other_seat = seat;
        const struct raft_entry *other = raft_entry_at(raft, before);
        missing = other == NULL ? missing + 1 : 0;
        SIM_CHECK(sim, limit == 0 || missing <= limit, "look-behind",
                  "node %u group %u: committed %lu beyond %lu missing entries in a row",
                  seat->node->id, group, index, missing);
        if (other == NULL) {
            other = find_entry(sim, group, parallel->sync_term, before, &other_seat);
        }
        SIM_CHECK(sim, other != NULL || raft->role != RAFT_LEADER, "conflict-order",
                  "node %u group %u: leads, and lacks %lu", seat->node->id, group, before);
        SIM_CHECK(sim,
                  other == NULL || bitmap_ring_test(&parallel->committed, before) ||
                      !do_entries_conflict(seat, entry, other_seat, other),
                  "conflict-order",
                  "node %u group %u: committed %lu, not %lu, with which it conflicts",
                  seat->node->id, group, index, before);
    }
}

// Did it come with a checkpoint, as applied beyond a hole? The log may lack it, or have what an
// older log had there.
static bool is_restored(const struct sim_seat *seat, uint16_t number, const struct raft *raft,
                        uint64_t index)
{
    const struct raft_beyond *beyond = &reactor_group(seat->reactor, number)->restored;
    uint64_t bit = index - raft->log.base.index - 1;
    return bit < beyond->count && bitmap_test(beyond->bits, bit);
}

static void check_committed_beyond(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                                   uint64_t index)
{
    struct sim *sim = seat->node->sim;
    const struct sim_truth *truth = &sim->truths[group];
    const struct raft_entry *entry = raft_entry_at(raft, index);
    SIM_CHECK(sim,
              raft->role == RAFT_LEADER ||
                  (index < truth->capacity && truth->committed[index].is_known),
              "conflict-order", "node %u group %u: follows, and commits %lu on its own",
              seat->node->id, group, index);
    if (is_restored(seat, group, raft, index)) {
        return;
    }
    SIM_CHECK(sim, entry != NULL, "conflict-order", "node %u group %u: committed %lu and lacks it",
              seat->node->id, group, index);
    const struct raft_entry_id id = {.term = entry->term, .index = index};
    sim_check_committed(seat, group, id, id.term, entry->head.crc);
    check_beyond(seat, group, raft, index);
}

static void check_commit(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                         struct sim_seen *seen)
{
    const struct raft_parallel *parallel = raft->parallel;
    uint64_t from = seen->commit > raft->log.base.index ? seen->commit : raft->log.base.index;
    for (uint64_t index = from + 1; index <= raft->commit; index++) {
        const struct raft_entry *entry = raft_entry_at(raft, index);
        sim_check_committed(seat, group, raft_id_at(raft, index), raft->parallel->sync_term,
                            entry->head.crc);
    }
    for (uint64_t index = raft->commit + 1; index <= parallel->commit_high; index++) {
        bool was_committed = seen->commit_high >= index && is_set(seen->is_committed, index);
        bool is_committed = bitmap_ring_test(&parallel->committed, index);
        put(seen->is_committed, index, is_committed);
        if (is_committed && !was_committed) {
            check_committed_beyond(seat, group, raft, index);
        }
    }
}

// ------------------------------------------------------------------------------------------------
// leaders

// Nodes of whose present life a leader heard.
static uint32_t known_lives(struct sim_seat *seat, uint16_t group, const struct raft *raft)
{
    uint32_t known = 0;
    for (uint16_t id = 1; id <= seat->node->sim->options.nodes; id++) {
        const struct raft *peer = sim_raft(seat->node->sim, id, group);
        bool is_known =
            peer != NULL && peer != raft && raft->peers[id - 1].boot == peer->config.boot;
        known |= (uint32_t)is_known << (id - 1);
    }
    return known;
}

static void check_barrier(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                          const struct sim_seen *seen)
{
    struct sim *sim = seat->node->sim;
    struct sim_truth *truth = &sim->truths[group];
    const struct raft_parallel *parallel = raft->parallel;
    uint32_t nodes = installed_in(truth, raft->term)->nodes;
    uint32_t lost = installed_in(truth, raft->term)->lost & known_lives(seat, group, raft);
    SIM_CHECK(sim, (parallel->installed & ~nodes) == 0, "barrier",
              "node %u group %u: believes that nodes %x installed the log of term %lu, but %x did",
              seat->node->id, group, parallel->installed, raft->term, nodes);
    SIM_CHECK(sim, (parallel->installed & lost) == 0, "lost-acks",
              "node %u group %u: counts nodes %x for the log of term %lu, of which %x lost it",
              seat->node->id, group, parallel->installed, raft->term, lost);
    SIM_CHECK(sim,
              parallel->phase != PARALLEL_SERVE ||
                  (uint32_t)__builtin_popcount(nodes) > sim->options.nodes / 2,
              "barrier", "node %u group %u: serves in term %lu, whose log only nodes %x installed",
              seat->node->id, group, raft->term, nodes);
    SIM_CHECK(sim,
              parallel->phase >= PARALLEL_SERVE || raft->commit == seen->commit ||
                  seen->term != raft->term,
              "barrier", "node %u group %u: committed %lu in term %lu before it serves",
              seat->node->id, group, raft->commit, raft->term);
}

uint32_t sim_parallel_acks(const struct raft *raft, uint64_t index)
{
    uint32_t slots = 0;
    for (uint32_t slot = 0; slot < raft->config.voter_count; slot++) {
        slots |= acks_has(raft, slot, index) ? UINT32_C(1) << slot : 0;
    }
    return slots;
}

// What a leader counts was durable there while that was the node's term. When it has heard that a
// node lost its entries, it counts only what that has again.
static void check_acks(struct sim_seat *seat, uint16_t group, const struct raft *raft)
{
    struct sim *sim = seat->node->sim;
    struct sim_truth *truth = &sim->truths[group];
    uint32_t lives = known_lives(seat, group, raft);
    for (uint64_t index = raft->commit + 1; index <= raft->log.last; index++) {
        const struct raft_entry *entry = raft_entry_at(raft, index);
        const struct sim_known_entry *known = sim_check_known(truth, entry->term, index);
        uint32_t acks = sim_parallel_acks(raft, index);
        SIM_CHECK(sim, (acks & ~known->holders) == 0, "stale-term",
                  "node %u group %u: counts entry (%lu, %lu) for nodes %x, and %x had it in time",
                  seat->node->id, group, entry->term, index, acks, known->holders);
        SIM_CHECK(sim, (acks & known->lost & lives) == 0, "lost-acks",
                  "node %u group %u: counts entry (%lu, %lu) for nodes %x, of which %x lost it",
                  seat->node->id, group, entry->term, index, acks, known->lost);
    }
}

// What is in the recovered log of a term is out of the log that the winner had before, or a no-op.
// (What older logs had beside that may have been replaced: ghosts.)
static void check_lineage(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                          const struct sim_seen *seen)
{
    struct sim *sim = seat->node->sim;
    struct sim_truth *truth = &sim->truths[group];
    for (uint64_t index = raft->log.base.index + 1; index <= raft->parallel->sync_end; index++) {
        const struct raft_entry *entry = raft_entry_at(raft, index);
        const struct sim_known_entry *known = sim_check_known(truth, seen->sync_term, index);
        SIM_CHECK(sim,
                  entry->head.kind == RAFT_ENTRY_NOOP ||
                      (known->index != 0 && known->crc == entry->head.crc),
                  "ghost",
                  "node %u group %u: the log of term %lu has an entry at %lu that was not in that "
                  "of term %lu",
                  seat->node->id, group, raft->term, index, seen->sync_term);
    }
}

static void check_leader(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                         const struct sim_seen *seen)
{
    struct sim *sim = seat->node->sim;
    struct sim_truth *truth = &sim->truths[group];
    const struct raft_parallel *parallel = raft->parallel;
    check_barrier(seat, group, raft, seen);
    if (parallel->phase >= PARALLEL_BARRIER && seen->phase < PARALLEL_BARRIER) {
        check_lineage(seat, group, raft, seen);
    }
    if (parallel->phase == PARALLEL_SERVE) {
        check_acks(seat, group, raft);
    }
    bool is_complete = parallel->phase >= PARALLEL_BARRIER;
    for (uint64_t index = raft->log.base.index + 1;
         is_complete && seen->phase < PARALLEL_BARRIER && index <= truth->commit; index++) {
        const struct raft_entry *entry = raft_entry_at(raft, index);
        const struct sim_id *known = &truth->committed[index];
        bool is_due = known->is_known && known->term < raft->term; // else it won late, rightly
        SIM_CHECK(sim, !is_due || (entry != NULL && entry->head.crc == known->crc),
                  "leader-completeness",
                  "node %u group %u leads in term %lu without entry %lu, committed in term %lu",
                  seat->node->id, group, raft->term, index, known->term);
    }
}

// ------------------------------------------------------------------------------------------------
// one replica

// A number that is another when something changed above the floors.
static uint64_t sign(const struct raft *raft)
{
    const struct raft_parallel *parallel = raft->parallel;
    uint64_t hash = sim_mix(parallel->sync_term, parallel->commit_high);
    hash = sim_mix(hash, parallel->applied_high << 8 | (uint64_t)parallel->phase);
    hash = sim_mix(hash, (uint64_t)parallel->installed << 32 | parallel->waiting);
    hash = sim_mix(hash, (uint64_t)parallel->is_staging << 1 | parallel->is_sync_given);
    for (uint64_t index = raft->log.synced + 1; index <= raft->log.held; index++) {
        const struct raft_entry *entry = raft_entry_at(raft, index);
        hash = sim_mix(hash, entry == NULL ? 0 : (uint64_t)entry->is_durable + 1);
    }
    for (uint64_t index = raft->commit + 1;
         index <= raft->log.last && parallel->phase == PARALLEL_SERVE; index++) {
        hash = sim_mix(hash, sim_parallel_acks(raft, index));
    }
    return hash;
}

bool sim_parallel_is_unchanged(const struct raft *raft, struct sim_seen *seen)
{
    uint64_t before = seen->signature;
    seen->signature = sign(raft);
    return seen->signature == before;
}

static void check_monotonic(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                            const struct sim_seen *seen)
{
    struct sim *sim = seat->node->sim;
    const struct raft_parallel *parallel = raft->parallel;
    // A checkpoint that is installed puts the state machine to what it holds.
    bool is_put = raft->log.base.index > seen->base && raft->log.base.index > seen->applied;
    SIM_CHECK(sim, parallel->sync_term >= seen->sync_term && parallel->sync_term <= raft->term,
              "monotonic", "node %u group %u: in term %lu sync_term became %lu after %lu",
              seat->node->id, group, raft->term, parallel->sync_term, seen->sync_term);
    SIM_CHECK(sim, parallel->commit_high >= seen->commit_high || is_put, "monotonic",
              "node %u group %u: what is committed fell from %lu to %lu", seat->node->id, group,
              seen->commit_high, parallel->commit_high);
    SIM_CHECK(sim, parallel->applied_high >= seen->applied_high || is_put, "monotonic",
              "node %u group %u: what is applied fell from %lu to %lu", seat->node->id, group,
              seen->applied_high, parallel->applied_high);
}

// What the core takes for applied beyond a hole is what the state machine has applied, from before
// a checkpoint or since; and of what it takes for missing, that has none.
static void check_applied(struct sim_seat *seat, uint16_t number, const struct raft *raft)
{
    const struct group *group = reactor_group(seat->reactor, number);
    const struct sim_app *app = (const struct sim_app *)group->app;
    const struct sim_truth *truth = &seat->node->sim->truths[number];
    if (group->jobs_out > 0 || group->snapshot.in_must_persist || group->is_halted) {
        return; // the one is ahead of the other
    }
    for (uint64_t index = raft->applied + 1;
         index <= raft->parallel->applied_high && index <= truth->executed_last; index++) {
        bool is_applied = bitmap_ring_test(&raft->parallel->applied, index);
        SIM_CHECK(seat->node->sim,
                  truth->executed[index].number == 0 ||
                      is_applied == (index <= app->state.last && sim_app_has_applied(app, index)),
                  "applied-set",
                  "node %u group %u: entry %lu is %sapplied beyond %lu, says the core",
                  seat->node->id, number, index, is_applied ? "" : "not ", raft->applied);
    }
}

void sim_parallel_look(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                       struct sim_seen *seen)
{
    const struct raft_parallel *parallel = raft->parallel;
    check_monotonic(seat, group, raft, seen);
    check_install(seat, group, raft);
    check_log(seat, group, raft, seen);
    if (raft->role == RAFT_LEADER) {
        check_leader(seat, group, raft, seen);
    }
    check_commit(seat, group, raft, seen);
    check_applied(seat, group, raft);
    seen->sync_term = parallel->sync_term;
    seen->sync_end = parallel->sync_end;
    seen->commit_high = parallel->commit_high;
    seen->applied_high = parallel->applied_high;
    seen->phase = parallel->phase;
}

// What was completed before its disk was taken away may be acknowledged by the process that is
// left.
void sim_parallel_look_at_ghost(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                                struct sim_seen *seen)
{
    check_install(seat, group, raft);
    check_log(seat, group, raft, seen);
    seen->sync_term = raft->parallel->sync_term;
}
