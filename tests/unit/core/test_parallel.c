// Parallel groups under random schedules: messages lost, doubled and reordered, writes that
// complete in any order, crashes that keep any part of what was not durable, checkpoints,
// elections; very late copies of any message; disks that stand still; client sessions with retries;
// nodes that lose their log, or part of it.
//
// Checked all the time: what stands at an index is the same for all who have the same sync_term; an
// index is applied as the same command everywhere; nobody applies a command before an earlier one
// that it conflicts with; every command gets the same verdict of its session everywhere; a read
// sees what was answered before it was asked. At the end everything heals, and all replicas reach
// the same state.
//
//     PARALLEL_SEED=N PARALLEL_RUNS=M    other schedules than the default ones
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/prng.h"
#include "engine/core/parallel.h"
#include "engine/core/raft.h"
#include "engine/core/session.h"
#include "tests/harness/harness.h"
#include "tests/unit/core/replica.h"

enum {
    NODES_MAX = 7,
    LOG_ENTRIES_MAX = 256,
    COMMANDS_MAX = 4000,
    INDEXES_MAX = 8192,
    TERMS_MAX = 400,
    RECORDS_MAX = 60000,
    MAIL_MAX = 512,
    TICK_NS = 1000000,
    CLIENTS = 3,
    OLD_MAIL_MAX = 256,
    SESSION_STREAM_MAX = 1 << 16,
};

static const struct session_config session_limits = {.pages_total = 4, .sessions_max = 3};

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
    bool is_incomplete; // it lost entries and does not hold all of them again
    uint8_t *sessions;  // of the checkpoint
    uint64_t sessions_bytes;
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
    struct node *persisted_from;
    bool is_persisting; // a checkpoint from a peer is in place, and not durable yet
    uint64_t stalled_until;
    struct session_table *sessions;
    uint64_t read_needs;               // highest index answered when the pending read was asked for
    uint64_t range_needs, range_index; // the same of those it looks at and that are not applied up
                                       // to here; what the core made of that
    uint64_t read_number;
};

struct mail {
    struct raft_message message;
    struct raft_entry_head heads[16];
    uint16_t distances[16];
    bool is_checkpoint;
    uint64_t due;
};

#define NOOP_ID UINT64_MAX

static struct node nodes[NODES_MAX];
static uint32_t node_count;
static struct command commands[COMMANDS_MAX + 1];
static uint64_t command_count;
static uint64_t truth[INDEXES_MAX];    // by index, of what was applied anywhere
static uint64_t verdicts[INDEXES_MAX]; // by index: what the session said, and the result
static uint64_t digests[INDEXES_MAX];  // by index: of the sessions, in checkpoints
static uint64_t sequences[CLIENTS];    // highest used
static uint64_t session_ids[CLIENTS];  // 0: not registered
static uint64_t answered_high;
static bool is_answered[INDEXES_MAX];
static uint64_t *stands; // [term][index]: what a log of sync_term `term` has there
static struct mail *mails;
static uint32_t mail_count;
static struct mail *old_mails; // what was sent at any time
static uint64_t old_mail_count;
static uint64_t now;
static struct prng prng;
static uint32_t cut; // bit of nodes that are cut off
// How hard this run is.
static struct {
    uint32_t loss_percent, late_percent, write_percent, propose_percent;
    uint32_t apply_percent;
    uint64_t crash_every, cut_every, late_ns, stall_every, replay_every, lose_every;
    bool is_volatile; // nodes that restart have nothing
    uint32_t log_entries, span_entries, window_entries, look_behind;
} rough;
static uint64_t run_seed;
static uint64_t noops, beyond, beyond_at_followers, commits_seen, leaders_seen, checkpoints_seen,
    fetches;
static uint64_t retries, outside, losses, replays;

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

// (What the core carries and does not look at.)
static uint64_t id_of(const struct raft_entry_head *head)
{
    return head->kind == RAFT_ENTRY_NOOP ? NOOP_ID : head->crc;
}

static bool do_conflict(uint64_t a, uint64_t b)
{
    if (a == NOOP_ID || b == NOOP_ID) {
        return false;
    }
    const struct command *one = &commands[a], *other = &commands[b];
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

// What the session table says is the same everywhere, in whatever order it was asked.
static void apply_to_session(struct node *node, uint64_t index, const struct raft_entry_head *head)
{
    uint64_t verdict = 0;
    uint32_t result = 0;
    if (head->kind == RAFT_ENTRY_REGISTER) {
        const struct session_grant grant =
            session_register(node->sessions, index, head->client, head->sequence);
        session_ids[head->client % CLIENTS] = grant.session;
        verdict = 16 + grant.session * 4096 + grant.window / SESSION_PAGE_SEQUENCES;
    } else if (head->kind == RAFT_ENTRY_COMMAND) {
        enum session_verdict said =
            session_claim(node->sessions, index, head->client, head->sequence, &result);
        if (said == SESSION_NEW) {
            result = head->crc;
            session_complete(node->sessions, head->client, head->sequence, result);
        }
        retries += said == SESSION_DUPLICATE;
        outside += said == SESSION_OUTSIDE;
        verdict = 1 + (uint64_t)said + 16 * (uint64_t)(said == SESSION_DUPLICATE ? result : 0);
    }
    REQUIRE(verdicts[index] == 0 || verdicts[index] == verdict);
    verdicts[index] = verdict;
}

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
    apply_to_session(node, index, &entry->head);
    node->applied_high = node->applied_high > index ? node->applied_high : index;
    struct raft_view view;
    raft_view(node->raft, &view);
    beyond_at_followers += index > view.last;
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
    if (now < node->stalled_until) {
        return;
    }
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

static void enclose(struct mail *mail, const struct raft_message *message,
                    const struct raft_entry_head *heads)
{
    mail->message = *message;
    if (message->type != RAFT_MSG_APPEND || heads == NULL) {
        return;
    }
    memcpy(mail->heads, heads, message->append.count * sizeof(heads[0]));
    if (message->append.distances != NULL) {
        memcpy(mail->distances, message->append.distances,
               message->append.count * sizeof(mail->distances[0]));
    }
}

static void post(const struct raft_message *message, const struct raft_entry_head *heads,
                 bool is_checkpoint)
{
    REQUIRE(is_checkpoint || replica_is_sound(message));
    bool is_cut = ((cut >> (message->from - 1)) & 1) != ((cut >> (message->to - 1)) & 1);
    if (is_cut || chance(rough.loss_percent)) {
        return;
    }
    struct mail *old = &old_mails[old_mail_count++ % OLD_MAIL_MAX];
    if (!is_checkpoint && chance(20)) {
        enclose(old, message, heads);
    }
    for (uint32_t copy = 0; copy < 1 + (chance(2) ? 1U : 0U) && mail_count < MAIL_MAX; copy++) {
        struct mail *mail = &mails[mail_count++];
        enclose(mail, message, heads);
        mail->is_checkpoint = is_checkpoint;
        mail->due = now + prng_below(&prng, chance(rough.late_percent) ? rough.late_ns : TICK_NS);
    }
}

static void send_entries(struct node *node, const struct raft_send *send)
{
    for (uint64_t first = send->range.first; first <= send->range.last;) {
        struct raft_entry_head heads[16];
        uint16_t distances[16];
        struct raft_message message;
        raft_append_header(node->raft, send->to, first, &message);
        uint32_t count = 0, most = 1 + (uint32_t)prng_below(&prng, 3);
        for (; count < most && first + count <= send->range.last; count++) {
            const struct raft_entry *entry = raft_entry_at(node->raft, first + count);
            REQUIRE(entry != NULL);
            heads[count] = entry->head;
        }
        message.append.count = count;
        message.append.entries_term = message.term; // (the stamp they get there)
        if (raft_append_tells(&message.append)) {
            raft_distances(node->raft, first, count, distances);
            message.append.distances = distances;
        }
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

// A checkpoint says the same whoever makes it.
static void save_sessions(struct node *node)
{
    struct disk *disk = &node->disk;
    disk->sessions_bytes = session_checkpoint_bytes(node->sessions);
    REQUIRE(disk->sessions_bytes <= SESSION_STREAM_MAX);
    session_checkpoint_read(node->sessions, 0, disk->sessions, SESSION_STREAM_MAX);
    uint64_t digest = session_digest(node->sessions), *known = &digests[disk->checkpoint];
    REQUIRE(*known == 0 || *known == digest);
    *known = digest;
}

static void restore_sessions(struct node *node)
{
    node->sessions = session_init(&session_limits, node->sessions);
    if (node->disk.checkpoint > 0) {
        session_restore_begin(node->sessions);
        session_restore_write(node->sessions, node->disk.sessions, node->disk.sessions_bytes);
        REQUIRE(session_restore_end(node->sessions) == 0);
    }
}

static void take_checkpoint(struct node *node)
{
    struct raft_view view;
    raft_view(node->raft, &view);
    if (node->is_persisting) {
        return;
    }
    raft_apply_in_order(node->raft, node->wants_checkpoint);
    if (node->wants_checkpoint && !node->has_job && view.applied_high <= view.applied &&
        view.applied > node->disk.checkpoint && view.applied > view.base) {
        node->disk.checkpoint_term = raft_id_at(node->raft, view.applied).term;
        node->disk.checkpoint = view.applied;
        save_sessions(node);
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
    if (node->is_persisting) {
        return;
    }
    if (node->has_job && chance(rough.apply_percent)) {
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
    if (!from->is_up || index <= node->disk.checkpoint || node->has_job || node->is_persisting) {
        return;
    }
    struct raft_view view;
    raft_view(node->raft, &view);
    if (index <= view.commit || view.role == RAFT_LEADER) {
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
    node->disk.sessions_bytes = from->disk.sessions_bytes;
    memcpy(node->disk.sessions, from->disk.sessions, from->disk.sessions_bytes);
    restore_sessions(node);
    node->is_persisting = true;
    node->persisted_from = from;
}

// The checkpoint is durable: only now is anybody told.
static void persist_checkpoint(struct node *node)
{
    node->is_persisting = false;
    const struct raft_input input = {
        .kind = RAFT_IN_INSTALLED,
        .installed = {.term = node->disk.checkpoint_term, .index = node->disk.checkpoint}};
    step(node, &input);
    const struct raft_input done = {
        .kind = RAFT_IN_SNAPSHOT_DONE,
        .snapshot_done = {.peer = (uint16_t)(node - nodes + 1), .id = input.installed}};
    if (node->persisted_from->is_up) {
        step(node->persisted_from, &done);
    }
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
        if (mail.message.type == RAFT_MSG_APPEND) {
            mail.message.append.heads = mail.heads;
            mail.message.append.distances =
                raft_append_tells(&mail.message.append) ? mail.distances : NULL;
        }
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
                                 .log_entries = rough.log_entries,
                                 .window_entries = rough.window_entries,
                                 .window_bytes = 1 << 20,
                                 .span_entries = rough.span_entries,
                                 .look_behind = rough.look_behind,
                                 .seed = run_seed};
    for (uint16_t at = 0; at < node_count; at++) {
        config.voters[at] = (uint16_t)(at + 1);
    }
    return config;
}

static void start(struct node *node)
{
    bool is_whole = !node->disk.is_incomplete;
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
    raft_restore_identity(node->raft, disk->hard, disk->boot, is_whole);
    raft_restore_end(node->raft, now);
    if (is_whole) {
        raft_restore_commit(node->raft, commit);
    }
    struct raft_view view;
    raft_view(node->raft, &view);
    REQUIRE(view.intact == is_whole);
    memset(node->applied_ids, 0, INDEXES_MAX * sizeof(uint64_t));
    for (uint64_t at = 1; at <= disk->checkpoint; at++) {
        node->applied_ids[at] = truth[at];
    }
    node->applied_high = disk->checkpoint;
    restore_sessions(node);
    node->has_job = node->wants_checkpoint = node->is_persisting = false;
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
    disk->is_incomplete = !node->raft->intact;
    node->is_up = false;
}

// A command, new or a retry, as any client may send it: mostly the next one, now and then one far
// from the others; or a registration.
static struct raft_entry_head any_head(uint64_t id, struct command *command)
{
    uint32_t client = (uint32_t)prng_below(&prng, CLIENTS);
    struct raft_entry_head head = {.kind = RAFT_ENTRY_COMMAND, .crc = (uint32_t)id};
    head.client = session_ids[client];
    if (chance(3) || (head.client == 0 && chance(30))) {
        head.kind = RAFT_ENTRY_REGISTER;
        head.client = CLIENTS * (1 + prng_below(&prng, 3)) + client;
        head.sequence = SESSION_PAGE_SEQUENCES * (1 + prng_below(&prng, 3));
        sequences[client] = 0;
        command->count = RAFT_FOOTPRINT_ALL;
        return head;
    }
    uint64_t *highest = &sequences[client];
    head.sequence = *highest + 1;
    if (*highest > 0 && chance(20)) {
        uint64_t back = prng_below(&prng, chance(50) ? 4 : 1100);
        head.sequence = *highest > back ? *highest - back : 1;
    } else if (chance(10)) {
        head.sequence += prng_below(&prng, chance(50) ? 8 : 1100);
    }
    *highest = *highest > head.sequence ? *highest : head.sequence;
    return head;
}

// What a node may lose without harm to what is committed: a majority of others holds all of it
// under the newest log installed anywhere.
static bool may_lose(const struct node *node)
{
    uint64_t sync_term = 0, commit = 0;
    uint32_t holders = 0;
    struct raft_view view;
    for (uint32_t at = 0; at < node_count; at++) {
        if (nodes[at].raft == NULL) {
            return false;
        }
        raft_view(nodes[at].raft, &view);
        sync_term = view.sync_term > sync_term ? view.sync_term : sync_term;
        commit = view.commit_high > commit ? view.commit_high : commit;
    }
    for (uint32_t at = 0; at < node_count; at++) {
        raft_view(nodes[at].raft, &view);
        holders += &nodes[at] != node && nodes[at].is_up && view.intact && view.synced >= commit &&
                   view.sync_term == sync_term;
    }
    return holders >= node_count / 2 + 1;
}

// The node restarts without its log (and checkpoint), or with a log of which any records are
// damaged, and everybody learns of it.
static void lose(struct node *node)
{
    struct disk *disk = &node->disk;
    if (!node->is_up || !may_lose(node)) {
        return;
    }
    crash(node);
    uint32_t kept = 0, rot = 1 + (uint32_t)prng_below(&prng, 20);
    for (uint32_t at = 0; at < disk->count; at++) {
        bool is_lost = rough.is_volatile || chance(disk->records[at].is_sync ? 3 * rot : rot);
        if (!is_lost) {
            disk->records[kept++] = disk->records[at];
        }
    }
    disk->count = kept;
    if (rough.is_volatile) {
        disk->checkpoint = disk->checkpoint_term = 0;
    }
    losses++;
    disk->is_incomplete = true;
    start(node);
    struct raft_view view;
    raft_view(node->raft, &view);
    for (uint16_t to = 1; to <= node_count; to++) {
        const struct raft_message news = {.type = RAFT_MSG_PRE_VOTE_REPLY,
                                          .from = (uint16_t)(node - nodes + 1),
                                          .to = to,
                                          .is_parallel = true,
                                          .boot = disk->boot,
                                          .term = view.term};
        const struct raft_input input = {.kind = RAFT_IN_MESSAGE, .message = &news};
        if (&nodes[to - 1] != node && nodes[to - 1].is_up) {
            step(&nodes[to - 1], &input);
        }
    }
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
        memcpy(&ranges[at * RAFT_FOOTPRINTS_MAX], command->ranges, sizeof(command->ranges));
        heads[at] = any_head(id, command);
        bool is_registration = heads[at].kind == RAFT_ENTRY_REGISTER;
        counts[at] = is_registration ? (uint8_t)prng_below(&prng, 3) : command->count;
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
        node->range_needs = 0; // (nothing has to wait for what is applied here)
        for (uint64_t index = view.applied + 1; index <= answered_high; index++) {
            if (is_answered[index] && do_conflict(0, truth[index])) {
                node->range_needs = index;
            }
        }
    }
}

static bool needs_room(const struct node *node)
{
    struct raft_view view;
    raft_view(node->raft, &view);
    return view.held - view.base > rough.log_entries / 4 * 3;
}

// Messages of any time may come again.
static void replay(void)
{
    struct mail *old = &old_mails[prng_below(&prng, OLD_MAIL_MAX)];
    if (old->message.type != 0 && mail_count < MAIL_MAX) {
        mails[mail_count] = *old;
        mails[mail_count].is_checkpoint = false;
        mails[mail_count++].due = now;
        replays++;
    }
}

static void turn(bool is_calm, bool may_propose)
{
    now += TICK_NS / 4;
    if (prng_below(&prng, rough.replay_every) == 0) {
        replay();
    }
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
        node->wants_checkpoint |= chance(1) || needs_room(node);
        if (node->is_persisting && chance(is_calm ? 50 : 3)) {
            persist_checkpoint(node);
        }
        collect(node);
        if (is_calm) {
            node->stalled_until = 0;
        } else if (prng_below(&prng, rough.stall_every) == 0) {
            node->stalled_until = now + prng_below(&prng, 100) * TICK_NS;
        } else if (!rough.is_volatile && prng_below(&prng, rough.crash_every) == 0) {
            crash(node);
        } else if (rough.lose_every > 0 && prng_below(&prng, rough.lose_every) == 0) {
            lose(node);
        }
    }
}

static void open_run(uint64_t seed)
{
    run_seed = seed;
    prng_init(&prng, seed);
    static const uint32_t counts[] = {3, 3, 3, 5, 5, 4, 7, 2, 1};
    node_count = counts[prng_below(&prng, 9)];
    command_count = answered_high = now = 0;
    mail_count = 0;
    old_mail_count = 0;
    cut = 0;
    rough.loss_percent = chance(70) ? (uint32_t)prng_below(&prng, 40) : 0U;
    rough.late_percent = (uint32_t)prng_below(&prng, 15);
    rough.late_ns = (2 + prng_below(&prng, 100)) * TICK_NS;
    rough.write_percent = 3 + (uint32_t)prng_below(&prng, 80);
    rough.propose_percent = 2 + (uint32_t)prng_below(&prng, chance(50) ? 25 : 80);
    rough.crash_every = (chance(50) ? 80 : 800) + prng_below(&prng, 1000);
    rough.cut_every = 40 + prng_below(&prng, 400);
    rough.stall_every = chance(50) ? 200 + prng_below(&prng, 2000) : UINT64_MAX;
    rough.replay_every = chance(50) ? 1 + prng_below(&prng, 20) : UINT64_MAX;
    rough.lose_every = chance(40) ? 50 + prng_below(&prng, 500) : 0;
    rough.is_volatile = rough.lose_every > 0 && chance(50);
    rough.apply_percent = chance(50) ? 50 : 5;
    rough.log_entries = 64U << prng_below(&prng, 3);
    rough.span_entries = 16 + (uint32_t)prng_below(&prng, rough.log_entries / 4 - 15);
    rough.window_entries = 1 + (uint32_t)prng_below(&prng, rough.log_entries / 2);
    rough.look_behind = chance(25) ? 1 + (uint32_t)prng_below(&prng, 4) : 0;
    memset(verdicts, 0, sizeof(verdicts));
    memset(digests, 0, sizeof(digests));
    memset(sequences, 0, sizeof(sequences));
    memset(session_ids, 0, sizeof(session_ids));
    memset(old_mails, 0, OLD_MAIL_MAX * sizeof(*old_mails));
    memset(truth, 0, sizeof(truth));
    memset(is_answered, 0, sizeof(is_answered));
    memset(stands, 0, (size_t)TERMS_MAX * INDEXES_MAX * sizeof(*stands));
    for (uint32_t at = 0; at < node_count; at++) {
        struct record *records = nodes[at].disk.records;
        uint64_t *applied = nodes[at].applied_ids;
        void *memory = nodes[at].memory;
        struct session_table *sessions = nodes[at].sessions;
        uint8_t *stream = nodes[at].disk.sessions;
        nodes[at] = (struct node){.memory = memory, .applied_ids = applied, .sessions = sessions};
        nodes[at].disk.records = records;
        nodes[at].disk.sessions = stream;
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
    rough.log_entries = LOG_ENTRIES_MAX;
    rough.span_entries = rough.window_entries = 1;
    const struct raft_config config = settings(&nodes[0]);
    mails = calloc(MAIL_MAX, sizeof(*mails));
    old_mails = calloc(OLD_MAIL_MAX, sizeof(*old_mails));
    stands = calloc((size_t)TERMS_MAX * INDEXES_MAX, sizeof(*stands));
    for (uint32_t at = 0; at < NODES_MAX; at++) {
        nodes[at].memory = aligned_alloc(64, (raft_memory_bytes(&config) + 63) & ~(size_t)63);
        nodes[at].disk.records = calloc(RECORDS_MAX, sizeof(struct record));
        nodes[at].applied_ids = calloc(INDEXES_MAX, sizeof(uint64_t));
        nodes[at].sessions = aligned_alloc(64, (session_bytes(&session_limits) + 63) & ~63UL);
        nodes[at].disk.sessions = malloc(SESSION_STREAM_MAX);
    }
    for (uint64_t at = 0; at < runs; at++) {
        run(seed + at);
    }
    printf(
        "applied %lu, ahead of another %lu, beyond a hole in the log %lu, no-ops %lu, fetches %lu, "
        "checkpoints %lu, terms %lu\n",
        (unsigned long)commits_seen, (unsigned long)beyond, (unsigned long)beyond_at_followers,
        (unsigned long)noops, (unsigned long)fetches, (unsigned long)checkpoints_seen,
        (unsigned long)leaders_seen);
    printf("retries %lu, outside %lu, lost logs %lu, replays %lu\n", (unsigned long)retries,
           (unsigned long)outside, (unsigned long)losses, (unsigned long)replays);
    if (runs >= 100) {
        CHECK(beyond > 0 && beyond_at_followers > 0 && noops > 0 && fetches > 0 &&
              checkpoints_seen > 0);
        CHECK(retries > 0 && outside > 0 && losses > 0 && replays > 0);
    }
    for (uint32_t at = 0; at < NODES_MAX; at++) {
        free(nodes[at].memory);
        free(nodes[at].disk.records);
        free(nodes[at].applied_ids);
        free(nodes[at].sessions);
        free(nodes[at].disk.sessions);
    }
    free(mails);
    free(old_mails);
    free(stands);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(random_schedules)};
    return test_run("core parallel", cases, TEST_COUNT(cases), argc, argv);
}
