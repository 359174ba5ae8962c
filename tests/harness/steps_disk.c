// The disks and state machines: writes in file order, completions, crash and recovery.
//
// Like the real log it goes by file order: a write that completes late has an older place than what
// outdated it.
#include "tests/harness/steps.h"

#include <string.h>

#include "engine/base/assert.h"

struct steps_write *steps_add_write(struct steps_node *node, enum steps_write_kind kind)
{
    ASSERT_CMP(node->write_count, <, STEPS_WRITES_MAX);
    struct steps_write *write = &node->writes[node->write_count++];
    *write = (struct steps_write){.kind = kind, .number = ++node->write_number};
    return write;
}

// Entries of one accept, as runs without a gap.
static void write_entries(struct steps *steps, struct steps_node *node,
                          const struct raft_accept *accept)
{
    struct steps_write *write = NULL;
    uint64_t prev_term = accept->prev_term;
    for (uint64_t index = accept->range.first; index <= accept->range.last; index++) {
        const struct raft_entry *entry = raft_entry_to_place(node->raft, index);
        if (entry == NULL || (write != NULL && write->count == STEPS_RUN_MAX)) {
            if (write != NULL) {
                steps_print_write(steps, node, write);
            }
            write = NULL;
        }
        if (entry != NULL) {
            if (write == NULL) {
                write = steps_add_write(node, STEPS_WRITE_ENTRIES);
                write->first = index;
                write->epoch = entry->epoch;
                write->prev_term = prev_term;
                write->commit = node->commit_floor;
            }
            write->entries[write->count].term = entry->term;
            write->entries[write->count++].head = entry->head;
            raft_entry_placed(node->raft, index, entry->head.sequence);
        }
        prev_term = raft_entry_at(node->raft, index)->term;
    }
    if (write != NULL) {
        steps_print_write(steps, node, write);
    }
}

void steps_carry_out(struct steps *steps, struct steps_node *node, const struct raft_accept *accept)
{
    if (accept->truncate_from != 0) {
        struct steps_write *write = steps_add_write(node, STEPS_WRITE_CUT);
        write->first = accept->truncate_from;
        steps_print_write(steps, node, write);
    }
    if (accept->range.first <= accept->range.last) {
        write_entries(steps, node, accept);
    }
}

// What recovery finds.

struct steps_recovered {
    uint64_t last;
    bool is_held[STEPS_INDEXES_MAX];
    uint64_t terms[STEPS_INDEXES_MAX], prev_terms[STEPS_INDEXES_MAX];
};

static void recover_write(struct steps_recovered *found, const struct steps_write *write)
{
    if (write->kind == STEPS_WRITE_CUT) {
        for (uint64_t index = write->first; index < STEPS_INDEXES_MAX; index++) {
            found->is_held[index] = false;
        }
        return;
    }
    uint64_t prev_term = write->prev_term;
    for (uint32_t at = 0; at < write->count; at++) {
        uint64_t index = write->first + at;
        ASSERT_CMP(index, <, STEPS_INDEXES_MAX);
        found->is_held[index] = true;
        found->terms[index] = write->entries[at].term;
        found->prev_terms[index] = prev_term;
        prev_term = write->entries[at].term;
    }
}

uint64_t steps_recover(const struct steps_node *node, uint64_t terms[STEPS_INDEXES_MAX])
{
    struct steps_recovered found = {.last = node->checkpoint.index};
    for (uint32_t at = 0; at < node->write_count; at++) {
        if (node->writes[at].is_complete && node->writes[at].kind != STEPS_WRITE_TERM) {
            recover_write(&found, &node->writes[at]);
        }
    }
    memset(terms, 0, STEPS_INDEXES_MAX * sizeof(*terms));
    terms[found.last] = node->checkpoint.term;
    while (found.last + 1 < STEPS_INDEXES_MAX && found.is_held[found.last + 1] &&
           found.prev_terms[found.last + 1] == terms[found.last] &&
           found.terms[found.last + 1] >= terms[found.last]) {
        found.last++;
        terms[found.last] = found.terms[found.last];
    }
    return found.last;
}

struct raft_hard_state steps_durable_term(const struct steps_node *node)
{
    struct raft_hard_state state = {0};
    for (uint32_t at = 0; at < node->write_count; at++) {
        if (node->writes[at].kind == STEPS_WRITE_TERM && node->writes[at].is_complete) {
            state = node->writes[at].hard_state;
        }
    }
    return state;
}

static void restore_write(struct raft *raft, const struct steps_write *write)
{
    if (write->kind == STEPS_WRITE_CUT) {
        raft_restore_truncate(raft, write->first);
        return;
    }
    uint64_t prev_term = write->prev_term;
    for (uint32_t at = 0; write->kind == STEPS_WRITE_ENTRIES && at < write->count; at++) {
        struct raft_entry_id id = {.term = write->entries[at].term, .index = write->first + at};
        int result = raft_restore_entry(raft, id, prev_term, &write->entries[at].head,
                                        write->entries[at].head.sequence);
        ASSERT_CMP(result, ==, 0);
        prev_term = id.term;
    }
}

// What is written is what is durable: everything else was lost when the node went down.
static void restore(struct steps_node *node)
{
    uint64_t commit = 0;
    raft_restore_begin(node->raft, node->checkpoint);
    for (uint32_t at = 0; at < node->write_count; at++) {
        const struct steps_write *write = &node->writes[at];
        restore_write(node->raft, write);
        commit = write->commit > commit ? write->commit : commit;
    }
    raft_restore_end(node->raft, node->now_ns);
    raft_restore_commit(node->raft, commit);
    node->commit_floor = commit;
}

void steps_start(struct steps *steps, struct steps_node *node)
{
    struct raft_config config = {.self = node->id,
                                 .voter_count = steps->options.nodes,
                                 .order = RAFT_ORDER_STRICT,
                                 .boot = node->boot,
                                 .intact = !node->is_lost,
                                 .hard_state = steps_durable_term(node),
                                 .election_timeout_min_ns = STEPS_ELECTION_NS,
                                 .election_timeout_max_ns = STEPS_ELECTION_NS,
                                 .heartbeat_ns = STEPS_HEARTBEAT_NS,
                                 .log_entries = steps->options.slots,
                                 .window_entries = steps->options.window_entries,
                                 .window_bytes = steps->options.window_bytes,
                                 .seed = 1};
    for (uint32_t slot = 0; slot < config.voter_count; slot++) {
        config.voters[slot] = (uint16_t)(slot + 1);
    }
    node->raft = raft_init(node->memory, &config, node->now_ns);
    node->is_up = true;
    node->has_failed_disk = false;
    node->apply_upto = node->checkpoint.index;
    node->reads_aborted = node->reads_done = node->snapshot_peers = 0;
    node->hard_state = config.hard_state;
    restore(node);
    raft_view(node->raft, &node->view);
}

static void give_log(struct steps_node *node, const struct steps_given *given)
{
    struct steps_write *write = NULL;
    uint64_t prev_term = given->checkpoint.term;
    for (uint32_t at = 0; at < given->log_count; at++) {
        if (write == NULL || write->count == STEPS_RUN_MAX) {
            write = steps_add_write(node, STEPS_WRITE_ENTRIES);
            write->is_complete = true;
            write->first = given->checkpoint.index + 1 + at;
            write->prev_term = prev_term;
            write->commit = given->commit;
        }
        uint64_t term = given->log_terms[at];
        write->entries[write->count].term = term;
        write->entries[write->count++].head =
            (struct raft_entry_head){.client = term,
                                     .sequence = given->checkpoint.index + 1 + at,
                                     .bytes = 100,
                                     .kind = RAFT_ENTRY_COMMAND};
        prev_term = term;
    }
}

// Terms never fall along a log, and what is committed is there.
static bool is_possible(struct steps *steps, const struct steps_given *given)
{
    uint64_t last = given->checkpoint.index + given->log_count, term = given->checkpoint.term;
    for (uint32_t at = 0; at < given->log_count; at++) {
        if (given->log_terms[at] < term) {
            return steps_fail(steps, "a term is smaller than the one before it");
        }
        term = given->log_terms[at];
    }
    if (given->commit > last || last >= STEPS_INDEXES_MAX) {
        return steps_fail(steps, "the log does not reach that far");
    }
    return true;
}

bool steps_given(struct steps *steps, uint16_t id, const struct steps_given *given)
{
    struct steps_node *node = steps_node(steps, id);
    if (node->write_number != 0 || steps->message_count != 0) {
        return steps_fail(steps, "n%u has acted already", id);
    }
    if (!is_possible(steps, given)) {
        return false;
    }
    node->write_count = 0;
    node->boot = given->boot;
    node->is_memory = given->is_memory;
    node->is_lost = given->is_lost;
    node->checkpoint = given->checkpoint;
    give_log(node, given);
    struct steps_write *write = steps_add_write(node, STEPS_WRITE_TERM);
    write->is_complete = true;
    write->hard_state = given->hard_state;
    node->write_number = 0;
    for (uint32_t at = 0; at < node->write_count; at++) {
        node->writes[at].number = 0;
    }
    steps_start(steps, node);
    steps_check_view(steps, node);
    return true;
}

// Completions.

struct steps_write *steps_pending(struct steps_node *node, bool with_term, bool with_log)
{
    for (uint32_t at = 0; at < node->write_count && !node->has_failed_disk; at++) {
        struct steps_write *write = &node->writes[at];
        if (!write->is_complete && (write->kind == STEPS_WRITE_TERM ? with_term : with_log)) {
            return write;
        }
    }
    return NULL;
}

// What must be complete before: NULL, or the write that stands in the way.
static const struct steps_write *barrier_before(const struct steps_node *node,
                                                const struct steps_write *write)
{
    for (const struct steps_write *other = node->writes; other < write; other++) {
        bool is_term = write->kind == STEPS_WRITE_TERM;
        bool is_first = is_term                          ? other->kind == STEPS_WRITE_TERM
                        : write->kind == STEPS_WRITE_CUT ? other->kind != STEPS_WRITE_TERM
                                                         : other->kind == STEPS_WRITE_CUT;
        if (is_first && !other->is_complete) {
            return other;
        }
    }
    return NULL;
}

static struct steps_write *find_write(struct steps *steps, struct steps_node *node, uint32_t number)
{
    for (uint32_t at = 0; at < node->write_count; at++) {
        struct steps_write *write = &node->writes[at];
        if (write->number == number && !write->is_complete) {
            return write;
        }
    }
    steps_fail(steps, "n%u has no w%u under way", node->id, number);
    return NULL;
}

bool steps_complete(struct steps *steps, uint16_t id, uint32_t number)
{
    struct steps_node *node = steps_node(steps, id);
    struct steps_write *write = steps_is_up(steps, id) ? find_write(steps, node, number) : NULL;
    if (write == NULL) {
        return false;
    }
    const struct steps_write *barrier = barrier_before(node, write);
    if (barrier != NULL || node->has_failed_disk) {
        return steps_fail(steps, "n%u: w%u cannot complete before w%u, or on a failed disk", id,
                          number, barrier == NULL ? number : barrier->number);
    }
    write->is_complete = true;
    struct raft_input input = {.kind = RAFT_IN_SYNCED};
    if (write->kind == STEPS_WRITE_CUT) {
        return true;
    }
    if (write->kind == STEPS_WRITE_TERM) {
        input.kind = RAFT_IN_HARD_STATE;
        input.hard_state = write->hard_state;
    } else {
        input.synced.range =
            (struct raft_range){.first = write->first, .last = write->first + write->count - 1};
        input.synced.epoch = write->epoch;
    }
    steps_step(steps, node, &input);
    return true;
}

// Only what is under way now.
bool steps_sync(struct steps *steps, uint16_t id, bool with_term, bool with_log)
{
    struct steps_node *node = steps_node(steps, id);
    uint32_t newest = node->write_number;
    struct steps_write *write = steps_pending(node, with_term, with_log);
    if (!steps_is_up(steps, id) || write == NULL) {
        return node->is_up ? steps_fail(steps, "n%u has nothing like that under way", id) : false;
    }
    while (write != NULL && write->number <= newest) {
        if (!steps_complete(steps, id, write->number)) {
            return false;
        }
        write = steps_pending(node, with_term, with_log);
    }
    return true;
}

// State machine and checkpoints.

bool steps_apply(struct steps *steps, uint16_t id, uint64_t upto)
{
    struct steps_node *node = steps_node(steps, id);
    upto = upto == 0 ? node->apply_upto : upto;
    if (!steps_is_up(steps, id)) {
        return false;
    }
    if (upto > node->apply_upto || upto <= node->view.applied) {
        return steps_fail(steps, "n%u has nothing like that to apply", id);
    }
    struct raft_input input = {.kind = RAFT_IN_APPLIED, .applied = upto};
    steps_step(steps, node, &input);
    return true;
}

bool steps_checkpoint(struct steps *steps, uint16_t id, uint64_t index)
{
    struct steps_node *node = steps_node(steps, id);
    if (!steps_is_up(steps, id)) {
        return false;
    }
    if (index > node->view.applied || index <= node->checkpoint.index) {
        return steps_fail(steps, "n%u: %u is not applied, or is covered already", id,
                          (unsigned)index);
    }
    node->checkpoint = raft_id_at(node->raft, index);
    return true;
}

bool steps_compact(struct steps *steps, uint16_t id, uint64_t index)
{
    struct steps_node *node = steps_node(steps, id);
    if (node->is_up && index > node->view.synced) {
        return steps_fail(steps, "n%u: %u is not durable", id, (unsigned)index);
    }
    if (!steps_checkpoint(steps, id, index)) {
        return false;
    }
    raft_trim(node->raft, index);
    raft_view(node->raft, &node->view);
    return true;
}

// The checkpoint is durable before the core is told. Meanwhile the log may have caught up with it.
bool steps_install(struct steps *steps, uint16_t from, uint16_t to)
{
    struct steps_node *node = steps_node(steps, to);
    struct raft_entry_id covered = steps_node(steps, from)->checkpoint;
    if (!steps_is_up(steps, to)) {
        return false;
    }
    if (covered.index <= node->checkpoint.index || covered.index < node->view.applied) {
        return steps_fail(steps, "n%u is not behind the checkpoint of n%u", to, from);
    }
    node->checkpoint = covered;
    node->apply_upto = node->apply_upto > covered.index ? node->apply_upto : covered.index;
    struct raft_input input = {.kind = RAFT_IN_INSTALLED, .installed = covered};
    steps_step(steps, node, &input);
    return true;
}

// Crash and restart.

static bool is_kept(const struct steps_write *write, const uint32_t *kept, uint32_t kept_count)
{
    for (uint32_t at = 0; at < kept_count && !write->is_complete; at++) {
        if (kept[at] == write->number) {
            return true;
        }
    }
    return write->is_complete;
}

bool steps_crash(struct steps *steps, uint16_t id, const uint32_t *kept, uint32_t kept_count)
{
    struct steps_node *node = steps_node(steps, id);
    if (!steps_is_up(steps, id)) {
        return false;
    }
    for (uint32_t at = 0; at < kept_count; at++) {
        if (find_write(steps, node, kept[at]) == NULL) {
            return false;
        }
    }
    uint32_t count = 0;
    for (uint32_t at = 0; at < node->write_count; at++) {
        struct steps_write *write = &node->writes[at];
        bool is_gone = node->is_memory && write->kind != STEPS_WRITE_TERM;
        if (is_kept(write, kept, kept_count) && !is_gone) {
            write->is_complete = true;
            node->writes[count++] = *write;
        }
    }
    node->write_count = count;
    node->is_up = false;
    node->is_lost = node->is_memory || !node->view.intact;
    if (node->is_memory) {
        node->checkpoint = (struct raft_entry_id){0};
    }
    return true;
}

bool steps_restart(struct steps *steps, uint16_t id, bool is_lost)
{
    struct steps_node *node = steps_node(steps, id);
    if (node->is_up) {
        return steps_fail(steps, "n%u is up", id);
    }
    if (is_lost) {
        uint32_t count = 0;
        for (uint32_t at = 0; at < node->write_count; at++) {
            if (node->writes[at].kind == STEPS_WRITE_TERM) {
                node->writes[count++] = node->writes[at];
            }
        }
        node->write_count = count;
        node->is_lost = true;
    }
    node->boot++;
    steps_start(steps, node);
    steps_check_view(steps, node);
    struct raft_input input = {.kind = RAFT_IN_TICK};
    steps_step(steps, node, &input);
    return true;
}
