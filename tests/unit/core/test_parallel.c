// Parallel groups under random schedules: messages lost, doubled and reordered, writes that
// complete in any order, crashes that keep any part of what was not durable, checkpoints,
// elections.
//
// Checked all the time: what stands at an index is the same for all who have the same sync_term; an
// index is applied as the same command everywhere; nobody applies a command before an earlier one
// that it conflicts with; a read sees what was answered before it was asked. At the end everything
// heals, and all replicas reach the same state.
//
//     PARALLEL_SEED=N PARALLEL_RUNS=M    other schedules than the default ones
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/prng.h"
#include "engine/core/entry_crc.h"
#include "engine/core/parallel.h"
#include "engine/core/raft.h"
#include "tests/harness/harness.h"

enum {
    NODES_MAX = 5,
    LOG_ENTRIES = 256,
    COMMANDS_MAX = 4000,
    INDEXES_MAX = 8192,
    TERMS_MAX = 400,
    RECORDS_MAX = 60000,
    MAIL_MAX = 512,
    TICK_NS = 1000000,
    COPIES_BACK = 30, // commands that a client may ask for again
};

struct command {
    struct raft_footprint ranges[2];
    uint8_t count; // RAFT_FOOTPRINT_ALL: everything
};

struct record {
    bool is_sync, is_staged, is_durable, is_submitted;
    uint32_t epoch;
    uint64_t index, term, commit;
    struct raft_entry_head head;
    struct raft_sync sync;
};

struct disk {
    struct record *records;
    uint32_t count;
    uint64_t boot;
    struct raft_hard_state hard, hard_pending;
    bool is_hard_pending;
    uint64_t checkpoint; // covers up to here
    uint64_t checkpoint_term;
};

struct node {
    struct raft *raft;
    void *memory;
    bool is_up;
    struct disk disk;
    uint64_t *applied_ids; // by index; 0: not applied (no-ops: NOOP_ID)
    uint64_t applied_high;
    struct raft_range job; // taken, not reported yet
    bool has_job, wants_checkpoint;
    uint64_t read_needs;               // highest index answered when the pending read was asked for
    uint64_t range_needs, range_index; // the same of those it looks at; what the core made of that
    uint64_t read_number;
};

struct mail {
    struct raft_message message;
    struct raft_entry_head heads[16];
    bool is_checkpoint;
    uint64_t due;
};

#define NOOP_ID UINT64_MAX

static struct node nodes[NODES_MAX];
static uint32_t node_count;
static struct command commands[COMMANDS_MAX + 1];
static uint64_t command_count;
static uint64_t truth[INDEXES_MAX]; // by index, of what was applied anywhere
static uint64_t answered_high;
static bool is_answered[INDEXES_MAX];
static uint64_t *stands; // [term][index]: what a log of sync_term `term` has there
static struct mail *mails;
static uint32_t mail_count;
static uint64_t now;
static struct prng prng;
static uint32_t cut; // bit of nodes that are cut off
// How hard this run is.
static struct {
    uint32_t loss_percent, late_percent, write_percent, propose_percent;
    uint64_t crash_every, cut_every, late_ns;
} rough;
static uint64_t run_seed;
static uint64_t noops, beyond, commits_seen, leaders_seen, checkpoints_seen, fetches;

static bool chance(uint32_t percent)
{
    return prng_below(&prng, 100) < percent;
}

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("seed %lu: %s\n", (unsigned long)run_seed, #condition);                         \
            CHECK(!"holds");                                                                       \
        }                                                                                          \
    } while (0)

static uint64_t id_of(const struct raft_entry_head *head)
{
    return head->kind == RAFT_ENTRY_NOOP ? NOOP_ID : head->sequence;
}

static bool do_conflict(uint64_t a, uint64_t b)
{
    if (a == NOOP_ID || b == NOOP_ID) {
        return false;
    }
    const struct command *one = &commands[a], *other = &commands[b];
    if (a == b) {
        return true; // the first copy decides the second's result
    }
    if (one->count == RAFT_FOOTPRINT_ALL || other->count == RAFT_FOOTPRINT_ALL) {
        return true;
    }
    for (uint32_t i = 0; i < one->count; i++) {
        for (uint32_t j = 0; j < other->count; j++) {
            struct raft_footprint x = one->ranges[i], y = other->ranges[j];
            if (x.start < y.start + y.length && y.start < x.start + x.length) {
                return true;
            }
        }
    }
    return false;
}

// --- the state machine ---

static void apply(struct node *node, uint64_t index)
{
    const struct raft_entry *entry = raft_entry_at(node->raft, index);
    REQUIRE(entry != NULL && index < INDEXES_MAX);
    uint64_t id = id_of(&entry->head);
    REQUIRE(node->applied_ids[index] == 0);
    REQUIRE(truth[index] == 0 || truth[index] == id);
    truth[index] = id;
    for (uint64_t later = index + 1; later <= node->applied_high; later++) {
        REQUIRE(node->applied_ids[later] == 0 || !do_conflict(id, node->applied_ids[later]));
        beyond += node->applied_ids[later] != 0;
    }
    node->applied_ids[index] = id;
    node->applied_high = node->applied_high > index ? node->applied_high : index;
    struct raft_view view;
    raft_view(node->raft, &view);
    if (view.role == RAFT_LEADER) {
        answered_high = answered_high > index ? answered_high : index;
        is_answered[index] = true;
    }
    commits_seen++;
}

// --- disk ---

static struct record *add_record(struct node *node)
{
    REQUIRE(node->disk.count < RECORDS_MAX);
    struct record *record = &node->disk.records[node->disk.count++];
    memset(record, 0, sizeof(*record));
    return record;
}

static void step(struct node *node, const struct raft_input *input);

static void complete_writes(struct node *node, uint32_t percent)
{
    struct disk *disk = &node->disk;
    bool may_pass = true;
    for (uint32_t at = 0; at < disk->count && may_pass && node->is_up; at++) {
        struct record *record = &disk->records[at];
        if (!record->is_durable) {
            may_pass = !record->is_sync;
            if (chance(percent)) {
                record->is_durable = true;
                struct raft_input input = {.kind = RAFT_IN_SYNC, .sync_term = record->sync.term};
                if (!record->is_sync) {
                    input = (struct raft_input){.kind = RAFT_IN_SYNCED,
                                                .synced = {.range = {record->index, record->index},
                                                           .epoch = record->epoch}};
                }
                step(node, &input);
            }
        }
    }
    if (disk->is_hard_pending && chance(percent)) {
        disk->is_hard_pending = false;
        disk->hard = disk->hard_pending;
        const struct raft_input input = {.kind = RAFT_IN_HARD_STATE, .hard_state = disk->hard};
        step(node, &input);
    }
}

// --- steps ---

static void place(struct node *node, const struct raft_accept *accept)
{
    for (uint64_t index = accept->range.first; index <= accept->range.last; index++) {
        const struct raft_entry *entry = raft_entry_to_place(node->raft, index);
        if (entry != NULL) {
            struct record *record = add_record(node);
            struct raft_view view;
            raft_view(node->raft, &view);
            record->is_staged = accept->is_staged;
            record->epoch = entry->epoch;
            record->index = index;
            record->term = entry->term;
            record->head = entry->head;
            record->commit = view.commit_told;
            noops += entry->head.kind == RAFT_ENTRY_NOOP;
            raft_entry_placed(node->raft, index, node->disk.count);
        }
    }
}

static void step(struct node *node, const struct raft_input *input)
{
    struct raft_accept accept;
    raft_step(node->raft, now, input, &accept);
    REQUIRE(accept.truncate_from == 0);
    place(node, &accept);
}

// What the codec would assert (engine/wire/parallel.h).
static void check_message(const struct raft_message *message)
{
    REQUIRE(message->is_parallel);
    if (message->type == RAFT_MSG_APPEND_REPLY) {
        const struct raft_append_reply *reply = &message->append_reply;
        REQUIRE(reply->result == RAFT_APPEND_OK && reply->match <= reply->held);
        REQUIRE(reply->acked_count <= RAFT_WINDOW_MAX && (reply->acked[0] & 1) == 0);
        REQUIRE(reply->acked_count == 0 || bitmap_test(reply->acked, reply->acked_count - 1));
    } else if (message->type == RAFT_MSG_VOTE_REPLY && message->vote_reply.granted) {
        const struct raft_report *report = &message->vote_reply.report;
        REQUIRE(report->sync_term < message->term && report->sync_end <= report->floor);
        REQUIRE(report->first > report->floor && report->first <= report->last + 1);
        REQUIRE(report->last == report->floor || report->last >= report->first);
    }
}

static void post(const struct raft_message *message, const struct raft_entry_head *heads,
                 bool is_checkpoint)
{
    if (!is_checkpoint) {
        check_message(message);
    }
    bool is_cut = ((cut >> (message->from - 1)) & 1) != ((cut >> (message->to - 1)) & 1);
    if (is_cut || chance(rough.loss_percent)) {
        return;
    }
    for (uint32_t copy = 0; copy < 1 + (chance(2) ? 1U : 0U) && mail_count < MAIL_MAX; copy++) {
        struct mail *mail = &mails[mail_count++];
        mail->message = *message;
        mail->is_checkpoint = is_checkpoint;
        mail->due = now + prng_below(&prng, chance(rough.late_percent) ? rough.late_ns : TICK_NS);
        if (message->type == RAFT_MSG_APPEND && heads != NULL) {
            memcpy(mail->heads, heads, message->append.count * sizeof(heads[0]));
        }
    }
}

static void send_entries(struct node *node, const struct raft_send *send)
{
    for (uint64_t first = send->range.first; first <= send->range.last;) {
        struct raft_entry_head heads[16];
        struct raft_message message;
        raft_append_header(node->raft, send->to, first, &message);
        uint32_t count = 0, most = 1 + (uint32_t)prng_below(&prng, 3);
        for (; count < most && first + count <= send->range.last; count++) {
            const struct raft_entry *entry = raft_entry_at(node->raft, first + count);
            REQUIRE(entry != NULL);
            heads[count] = entry->head;
            message.append.entries_term = entry->term;
        }
        message.append.count = count;
        post(&message, heads, false);
        first += count;
    }
}

static void send_checkpoint(struct node *node, uint16_t to)
{
    struct raft_view view;
    raft_view(node->raft, &view);
    const struct raft_message message = {
        .type = RAFT_MSG_APPEND, .from = (uint16_t)(node - nodes + 1), .to = to, .term = view.term};
    if (node->disk.checkpoint > 0 && chance(20)) {
        post(&message, NULL, true);
    }
}

static void check_logs(struct node *node)
{
    const struct raft_parallel *parallel = node->raft->parallel;
    const struct raft_log *log = &node->raft->log;
    REQUIRE(parallel->sync_term < TERMS_MAX && log->held < INDEXES_MAX);
    for (uint64_t index = log->base.index + 1; index <= log->held; index++) {
        if (log_has(log, index)) {
            uint64_t *stand = &stands[parallel->sync_term * INDEXES_MAX + index];
            uint64_t id = id_of(&log_slot(log, index)->head);
            REQUIRE(*stand == 0 || *stand == id); // I2
            *stand = id;
            REQUIRE(index > node->raft->commit || truth[index] == 0 || truth[index] == id);
        }
    }
}

static void collect(struct node *node)
{
    static struct raft_effects effects;
    raft_collect(node->raft, now, &effects);
    raft_check_invariants(node->raft);
    REQUIRE(effects.apply.last < effects.apply.first);
    if (effects.hard_state_due) {
        node->disk.hard_pending = effects.hard_state;
        node->disk.is_hard_pending = true;
    }
    if (effects.sync_due) {
        struct record *record = add_record(node);
        record->is_sync = true;
        record->sync = effects.sync;
    }
    for (uint32_t at = 0; at < effects.message_count; at++) {
        fetches += effects.messages[at].type == RAFT_MSG_FETCH;
        post(&effects.messages[at], NULL, false);
    }
    for (uint32_t at = 0; at < effects.send_count; at++) {
        send_entries(node, &effects.sends[at]);
    }
    for (uint16_t id = 1; id <= node_count; id++) {
        if ((effects.snapshot_peers >> (id - 1)) & 1) {
            node->wants_checkpoint = true;
            send_checkpoint(node, id);
        }
    }
    if (effects.reads_granted && effects.reads_upto >= node->read_number &&
        node->read_number != 0) {
        REQUIRE(effects.reads_index >= node->read_needs);
        REQUIRE(node->range_index >= node->range_needs);
        node->read_number = 0;
    }
    if (effects.reads_aborted_upto >= node->read_number) {
        node->read_number = 0;
    }
    check_logs(node);
}

static void take_checkpoint(struct node *node)
{
    struct raft_view view;
    raft_view(node->raft, &view);
    raft_apply_in_order(node->raft, node->wants_checkpoint);
    if (node->wants_checkpoint && !node->has_job && view.applied_high <= view.applied &&
        view.applied > node->disk.checkpoint && view.applied > view.base) {
        node->disk.checkpoint_term = raft_id_at(node->raft, view.applied).term;
        node->disk.checkpoint = view.applied;
        node->wants_checkpoint = false;
        checkpoints_seen++;
        raft_apply_in_order(node->raft, false);
    }
    uint64_t limit = node->disk.checkpoint < view.synced ? node->disk.checkpoint : view.synced;
    if (limit > view.base && chance(30)) {
        raft_trim(node->raft, limit);
    }
}

static void apply_some(struct node *node)
{
    if (node->has_job && chance(50)) {
        const struct raft_input input = {
            .kind = RAFT_IN_APPLIED, .applied_first = node->job.first, .applied = node->job.last};
        node->has_job = false;
        step(node, &input);
    }
    struct raft_range range;
    if (!node->has_job && chance(50) &&
        raft_apply_take(node->raft, 1 + (uint32_t)prng_below(&prng, 8), &range)) {
        for (uint64_t index = range.first; index <= range.last; index++) {
            apply(node, index);
        }
        node->job = range;
        node->has_job = true;
    }
}

static void install_checkpoint(struct node *from, struct node *node)
{
    uint64_t index = from->disk.checkpoint;
    if (!from->is_up || index <= node->disk.checkpoint || node->has_job) {
        return;
    }
    struct raft_view view;
    raft_view(node->raft, &view);
    if (index <= view.applied) {
        return;
    }
    // The state machine becomes that of the checkpoint.
    memset(node->applied_ids, 0, INDEXES_MAX * sizeof(uint64_t));
    for (uint64_t at = 1; at <= index; at++) {
        node->applied_ids[at] = truth[at];
    }
    node->applied_high = index;
    node->disk.checkpoint = index;
    node->disk.checkpoint_term = from->disk.checkpoint_term;
    const struct raft_input input = {
        .kind = RAFT_IN_INSTALLED,
        .installed = {.term = from->disk.checkpoint_term, .index = index}};
    step(node, &input);
    const struct raft_input done = {
        .kind = RAFT_IN_SNAPSHOT_DONE,
        .snapshot_done = {.peer = (uint16_t)(node - nodes + 1), .id = input.installed}};
    step(from, &done);
}

static void deliver(void)
{
    for (uint32_t at = 0; at < mail_count;) {
        if (mails[at].due > now) {
            at++;
            continue;
        }
        static struct mail mail;
        mail = mails[at];
        mails[at] = mails[--mail_count];
        struct node *node = &nodes[mail.message.to - 1];
        if (!node->is_up) {
            continue;
        }
        if (mail.is_checkpoint) {
            install_checkpoint(&nodes[mail.message.from - 1], node);
            continue;
        }
        mail.message.append.heads =
            mail.message.type == RAFT_MSG_APPEND ? mail.heads : mail.message.append.heads;
        const struct raft_input input = {.kind = RAFT_IN_MESSAGE, .message = &mail.message};
        step(node, &input);
    }
}

// --- life of a node ---

static struct raft_config settings(const struct node *node)
{
    struct raft_config config = {.self = (uint16_t)(node - nodes + 1),
                                 .voter_count = node_count,
                                 .order = RAFT_ORDER_PARALLEL,
                                 .boot = node->disk.boot,
                                 .intact = true,
                                 .hard_state = node->disk.hard,
                                 .election_timeout_min_ns = 6 * TICK_NS,
                                 .election_timeout_max_ns = 12 * TICK_NS,
                                 .heartbeat_ns = 2 * TICK_NS,
                                 .log_entries = LOG_ENTRIES,
                                 .window_entries = 64,
                                 .window_bytes = 1 << 20,
                                 .span_entries = 48,
                                 .seed = run_seed};
    for (uint16_t at = 0; at < node_count; at++) {
        config.voters[at] = (uint16_t)(at + 1);
    }
    return config;
}

static void start(struct node *node)
{
    node->disk.boot++;
    struct raft_config config = settings(node);
    node->raft = raft_init(node->memory, &config, now);
    const struct disk *disk = &node->disk;
    raft_restore_begin(node->raft, (struct raft_entry_id){.term = disk->checkpoint_term,
                                                          .index = disk->checkpoint});
    uint64_t commit = 0;
    for (uint32_t at = 0; at < disk->count; at++) {
        const struct record *record = &disk->records[at];
        const struct raft_entry_id id = {.term = record->term, .index = record->index};
        commit = record->commit > commit ? record->commit : commit;
        int error = 0;
        if (record->is_sync) {
            raft_restore_sync(node->raft, &record->sync);
        } else if (record->is_staged) {
            error = raft_restore_staged(node->raft, id, &record->head, at + 1);
        } else {
            error = raft_restore_entry(node->raft, id, 0, &record->head, at + 1);
        }
        REQUIRE(error == 0);
    }
    raft_restore_identity(node->raft, disk->hard, disk->boot, true);
    raft_restore_end(node->raft, now);
    raft_restore_commit(node->raft, commit);
    struct raft_view view;
    raft_view(node->raft, &view);
    REQUIRE(view.intact);
    memset(node->applied_ids, 0, INDEXES_MAX * sizeof(uint64_t));
    for (uint64_t at = 1; at <= disk->checkpoint; at++) {
        node->applied_ids[at] = truth[at];
    }
    node->applied_high = disk->checkpoint;
    node->has_job = node->wants_checkpoint = false;
    node->read_number = 0;
    node->is_up = true;
    raft_check_invariants(node->raft);
    check_logs(node);
}

// Of what was being written, any part may be on the disk.
static void crash(struct node *node)
{
    struct disk *disk = &node->disk;
    uint32_t kept = 0;
    bool is_stopped = false;
    for (uint32_t at = 0; at < disk->count; at++) {
        struct record record = disk->records[at];
        bool survives = record.is_durable || (!is_stopped && chance(50));
        is_stopped |= record.is_sync && !record.is_durable;
        if (survives) {
            record.is_durable = true;
            disk->records[kept++] = record;
        }
    }
    disk->count = kept;
    if (disk->is_hard_pending && chance(50)) {
        disk->hard = disk->hard_pending;
    }
    disk->is_hard_pending = false;
    node->is_up = false;
}

static void propose(struct node *node)
{
    struct raft_view view;
    raft_view(node->raft, &view);
    if (view.role != RAFT_LEADER || command_count + 4 > COMMANDS_MAX) {
        return;
    }
    struct raft_entry_head heads[4];
    struct raft_footprint ranges[4 * RAFT_FOOTPRINTS_MAX];
    uint8_t counts[4];
    uint32_t count = 1 + (uint32_t)prng_below(&prng, 4);
    for (uint32_t at = 0; at < count; at++) {
        uint64_t id = command_count + 1 + at;
        struct command *command = &commands[id];
        command->count = chance(3) ? RAFT_FOOTPRINT_ALL : (uint8_t)prng_below(&prng, 3);
        for (uint32_t range = 0; range < 2; range++) {
            command->ranges[range] =
                (struct raft_footprint){prng_below(&prng, 40), 1 + prng_below(&prng, 4)};
        }
        if (command_count > COPIES_BACK && chance(10)) {
            id = command_count - prng_below(&prng, COPIES_BACK); // a client asks again
            command = &commands[id];
        }
        memcpy(&ranges[at * RAFT_FOOTPRINTS_MAX], command->ranges, sizeof(command->ranges));
        counts[at] = command->count;
        heads[at] = (struct raft_entry_head){
            .client = 1 + id % 3, .sequence = id, .kind = RAFT_ENTRY_COMMAND};
        heads[at].crc = raft_entry_crc(&heads[at], NULL);
    }
    const struct raft_input input = {
        .kind = RAFT_IN_PROPOSE,
        .propose = {
            .heads = heads, .count = count, .footprints = ranges, .footprint_counts = counts}};
    uint64_t last = view.last;
    step(node, &input);
    raft_view(node->raft, &view);
    command_count += view.last > last ? count : 0;
}

static void read(struct node *node)
{
    const struct raft_input input = {.kind = RAFT_IN_READ, .read_count = 1};
    struct raft_view view;
    raft_view(node->raft, &view);
    if (view.role == RAFT_LEADER && node->read_number == 0) {
        step(node, &input);
        raft_view(node->raft, &view);
        node->read_number = view.reads_last;
        node->read_needs = answered_high;
        const struct raft_footprint range = {prng_below(&prng, 40), 1 + prng_below(&prng, 4)};
        commands[0] = (struct command){.ranges = {range}, .count = 1};
        node->range_index = raft_read_needs(node->raft, &range, 1);
        node->range_needs = 0;
        for (uint64_t index = 1; index <= answered_high; index++) {
            if (is_answered[index] && do_conflict(0, truth[index])) {
                node->range_needs = index;
            }
        }
    }
}

static void turn(bool is_calm, bool may_propose)
{
    now += TICK_NS / 4;
    deliver();
    for (uint32_t at = 0; at < node_count; at++) {
        struct node *node = &nodes[at];
        if (!node->is_up) {
            continue;
        }
        complete_writes(node, is_calm ? 90 : rough.write_percent);
        const struct raft_input tick = {.kind = RAFT_IN_TICK};
        step(node, &tick);
        if (may_propose && chance(rough.propose_percent)) {
            propose(node);
        }
        if (chance(5)) {
            read(node);
        }
        apply_some(node);
        take_checkpoint(node);
        node->wants_checkpoint |= chance(1);
        collect(node);
        if (!is_calm && prng_below(&prng, rough.crash_every) == 0) {
            crash(node);
        }
    }
}

static void open_run(uint64_t seed)
{
    run_seed = seed;
    prng_init(&prng, seed);
    node_count = chance(25) ? 5 : 3;
    command_count = answered_high = now = 0;
    mail_count = 0;
    cut = 0;
    rough.loss_percent = chance(50) ? (uint32_t)prng_below(&prng, 25) : 0U;
    rough.late_percent = (uint32_t)prng_below(&prng, 15);
    rough.late_ns = (2 + prng_below(&prng, 100)) * TICK_NS;
    rough.write_percent = 3 + (uint32_t)prng_below(&prng, 80);
    rough.propose_percent = 2 + (uint32_t)prng_below(&prng, 25);
    rough.crash_every = 80 + prng_below(&prng, 1000);
    rough.cut_every = 40 + prng_below(&prng, 400);
    memset(truth, 0, sizeof(truth));
    memset(is_answered, 0, sizeof(is_answered));
    memset(stands, 0, (size_t)TERMS_MAX * INDEXES_MAX * sizeof(*stands));
    for (uint32_t at = 0; at < node_count; at++) {
        struct record *records = nodes[at].disk.records;
        uint64_t *applied = nodes[at].applied_ids;
        void *memory = nodes[at].memory;
        nodes[at] = (struct node){.memory = memory, .applied_ids = applied};
        nodes[at].disk.records = records;
        start(&nodes[at]);
    }
}

static bool is_level(void)
{
    struct raft_view view;
    bool has_leader = false;
    for (uint32_t at = 0; at < node_count; at++) {
        raft_view(nodes[at].raft, &view);
        has_leader |= view.role == RAFT_LEADER && order_knows_commit(nodes[at].raft);
        for (uint64_t index = 1; index < INDEXES_MAX && truth[index] != 0; index++) {
            if (nodes[at].applied_ids[index] != truth[index]) {
                return false;
            }
        }
    }
    return has_leader;
}

// For whoever looks at a run that did not end well.
static void print_nodes(void)
{
    for (uint32_t at = 0; at < node_count; at++) {
        struct raft_view view;
        raft_view(nodes[at].raft, &view);
        const struct raft_parallel *parallel = nodes[at].raft->parallel;
        printf("n%u role %d leader %u term %lu sync %lu/%lu commit %lu/%lu applied %lu synced %lu "
               "last %lu held %lu base %lu phase %d staging %d/%d staged %lu end %lu told %lu\n",
               at + 1, (int)view.role, view.leader, (unsigned long)view.term,
               (unsigned long)view.sync_term, (unsigned long)view.sync_end,
               (unsigned long)view.commit, (unsigned long)view.commit_high,
               (unsigned long)view.applied, (unsigned long)view.synced, (unsigned long)view.last,
               (unsigned long)view.held, (unsigned long)view.base, (int)parallel->phase,
               parallel->is_staging, parallel->is_sync_given, (unsigned long)parallel->staged.last,
               (unsigned long)parallel->sync.end, (unsigned long)view.commit_told);
    }
}

static void run(uint64_t seed)
{
    open_run(seed);
    for (uint32_t at = 0; at < 3000; at++) {
        turn(false, true);
        uint32_t some = (uint32_t)prng_below(&prng, node_count);
        if (!nodes[some].is_up && chance(2)) {
            start(&nodes[some]);
        }
        if (prng_below(&prng, rough.cut_every) == 0) {
            cut = chance(50) ? 0 : (uint32_t)prng_below(&prng, 1U << node_count);
        }
    }
    cut = rough.loss_percent = 0;
    for (uint32_t at = 0; at < node_count; at++) {
        if (!nodes[at].is_up) {
            start(&nodes[at]);
        }
    }
    uint64_t before = command_count;
    bool is_done = false;
    for (uint32_t at = 0; at < 6000 && !is_done; at++) {
        turn(true, command_count <= before + 20);
        is_done = (command_count > before + 20 || command_count + 4 > COMMANDS_MAX) && is_level();
    }
    if (!is_done) {
        print_nodes();
    }
    REQUIRE(is_done);
    for (uint32_t at = 0; at < node_count; at++) {
        struct raft_view view;
        raft_view(nodes[at].raft, &view);
        leaders_seen += view.term;
    }
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void random_schedules(void)
{
    uint64_t seed = number_of("PARALLEL_SEED", 1), runs = number_of("PARALLEL_RUNS", 150);
    node_count = NODES_MAX;
    const struct raft_config config = settings(&nodes[0]);
    mails = calloc(MAIL_MAX, sizeof(*mails));
    stands = calloc((size_t)TERMS_MAX * INDEXES_MAX, sizeof(*stands));
    for (uint32_t at = 0; at < NODES_MAX; at++) {
        nodes[at].memory = aligned_alloc(64, (raft_memory_bytes(&config) + 63) & ~(size_t)63);
        nodes[at].disk.records = calloc(RECORDS_MAX, sizeof(struct record));
        nodes[at].applied_ids = calloc(INDEXES_MAX, sizeof(uint64_t));
    }
    for (uint64_t at = 0; at < runs; at++) {
        run(seed + at);
    }
    printf("applied %lu, beyond a hole %lu, no-ops %lu, fetches %lu, checkpoints %lu, terms %lu\n",
           (unsigned long)commits_seen, (unsigned long)beyond, (unsigned long)noops,
           (unsigned long)fetches, (unsigned long)checkpoints_seen, (unsigned long)leaders_seen);
    if (runs >= 100) {
        CHECK(beyond > 0 && noops > 0 && fetches > 0 && checkpoints_seen > 0);
    }
    for (uint32_t at = 0; at < NODES_MAX; at++) {
        free(nodes[at].memory);
        free(nodes[at].disk.records);
        free(nodes[at].applied_ids);
    }
    free(mails);
    free(stands);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(random_schedules)};
    return test_run("core parallel", cases, TEST_COUNT(cases), argc, argv);
}
