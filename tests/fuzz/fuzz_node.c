// Any sequence of messages, requests, faults and restarts into one production reactor.
//
// The node is number 2 of three, with two groups, strict or parallel; the input plays both peers,
// clients, time, disk and power. It is a sequence of actions (`actions` below). Fields are given as
// differences to what the node knows, so that a byte says "one term later" or "the entry behind the
// last"; frames are sealed, so that they get past the checksum.
//
// Peers may contradict themselves and lie. What must hold all the same:
//  - no assertion is reachable, and raft_check_invariants holds after every action;
//  - every frame sent is valid;
//  - terms and commit indexes never fall; a restarted node knows every term it promised anything
//  in;
//  - one vote a term, over restarts;
//  - what an ack covers was durable; what was durable is there after a restart;
//  - commands are applied in the order of their indexes; those of parallel groups in any order, but
//    once;
//  - no frame, buffer or job leaks.
#include <errno.h>

#include "drivers/disk_memory/disk_memory.h"
#include "engine/core/parallel.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/node_actions.h"
#include "tests/fuzz/seat.h"
#include "tests/unit/wire/oracle.h"
#include "tests/unit/wire/sample.h"

enum {
    SELF = 2,
    GROUPS = 2,
    POLLS_MAX = 1500, // an input: more is only slow
    ENTRIES_MAX = 7,  // of a message
    DURABLE_MAX = 64, // entries remembered over a crash: what a log has slots
    KEYS = 4,         // that commands touch
    STREAM_BYTES_MAX = 64 << 10,
};

struct vote {
    uint64_t term;
    uint16_t to;
};

// What the node said and did so far, of one group.
struct record {
    uint64_t term, commit;  // highest of this life
    uint64_t term_promised; // highest in any promise it sent, ever
    uint64_t synced;        // highest of this life
    struct vote vote;       // newest granted
    uint64_t session;       // newest registered
    uint64_t installs;      // checkpoints installed before this poll, of all groups
    uint64_t epoch;         // of the log, before this poll
    // when it went down:
    uint64_t hard_term, durable_first, durable_last, sync_term;
    uint64_t durable_terms[DURABLE_MAX];
    uint32_t durable_crcs[DURABLE_MAX];
    bool is_durable[DURABLE_MAX];
};

struct node_app {
    struct app app; // first
    uint16_t group;
    uint64_t last, chain;              // all of its state: highest index, and a sum
    uint64_t applied[2 * DURABLE_MAX]; // parallel: indexes of this life, by themselves
    uint64_t offered; // `last` of the checkpoint it was given: a peer may lie about what it covers
    bool is_read;     // checkpoint
    uint32_t restored;
};

static struct seat *seat;
static struct record records[GROUPS];
static struct node_app apps[GROUPS];
static uint32_t polls;
static bool is_volatile, is_parallel_run;
static uint8_t stream[STREAM_BYTES_MAX]; // of a checkpoint of the node's own
static uint32_t stream_bytes;

// ------------------------------------------------------------------------------------------------
// the state machine: an order and a hash

static struct node_app *app_of(struct app *app)
{
    return (struct node_app *)app;
}

static void apply(struct app *base, const struct app_entry *entries, uint32_t count,
                  uint32_t *results)
{
    struct node_app *app = app_of(base);
    for (uint32_t at = 0; at < count; at++) {
        uint64_t *seen = &app->applied[entries[at].index % (2 * DURABLE_MAX)];
        REQUIRE(is_parallel_run || entries[at].index > app->last,
                "%" PRIu64 " applied behind %" PRIu64, entries[at].index, app->last);
        REQUIRE(*seen < entries[at].index, "%" PRIu64 " applied twice, or behind %" PRIu64,
                entries[at].index, *seen);
        *seen = entries[at].index;
        app->last = app->last > entries[at].index ? app->last : entries[at].index;
        app->chain += world_mix(7, entries[at].index);
        for (uint32_t byte = 0; byte < entries[at].bytes; byte += 512) {
            app->chain += ((const uint8_t *)entries[at].payload)[byte];
        }
        results[at] = entries[at].bytes;
    }
}

static int32_t read_app(struct app *app, const void *query, uint32_t query_bytes, void *answer,
                        uint32_t answer_capacity)
{
    if (query_bytes == 0) {
        return -EINVAL;
    }
    uint32_t bytes = *(const uint8_t *)query * UINT32_C(40); // up to several frames
    memset(answer, 1, bytes);
    return (int32_t)bytes;
}

// A command touches the key of its length; an empty one everything.
static int32_t footprint(const void *payload, uint32_t bytes, struct app_footprint *ranges,
                         uint32_t max)
{
    ranges[0] = (struct app_footprint){.start = bytes % KEYS, .length = 1};
    return bytes == 0 ? -1 : 1;
}

static uint64_t digest(struct app *app)
{
    return app_of(app)->chain;
}

static int checkpoint_begin(struct app *app)
{
    app_of(app)->is_read = false;
    return 0;
}

static int64_t checkpoint_read(struct app *base, void *buffer, uint64_t capacity)
{
    struct node_app *app = app_of(base);
    if (app->is_read || capacity < 16) {
        return app->is_read ? 0 : -ENOSPC;
    }
    memcpy(buffer, &app->last, 16);
    app->is_read = true;
    return 16;
}

static void checkpoint_end(struct app *app)
{
}

static int restore_begin(struct app *base)
{
    struct node_app *app = app_of(base);
    app->last = app->chain = 0;
    memset(app->applied, 0, sizeof(app->applied));
    app->restored = 0;
    return 0;
}

static int restore_write(struct app *base, const void *data, uint64_t bytes)
{
    struct node_app *app = app_of(base);
    if (bytes > 16 - app->restored) {
        return -EBADMSG;
    }
    memcpy((uint8_t *)&app->last + app->restored, data, bytes);
    app->restored += (uint32_t)bytes;
    return 0;
}

static int restore_end(struct app *base)
{
    struct node_app *app = app_of(base);
    if (app->restored != 16) {
        app->last = app->chain = 0;
        return -EBADMSG;
    }
    app->offered = app->last;
    return 0;
}

static void close_app(struct app *app)
{
}

static const struct app_ops app_ops = {.name = "node",
                                       .apply = apply,
                                       .read = read_app,
                                       .footprint = footprint,
                                       .digest = digest,
                                       .checkpoint_begin = checkpoint_begin,
                                       .checkpoint_read = checkpoint_read,
                                       .checkpoint_end = checkpoint_end,
                                       .restore_begin = restore_begin,
                                       .restore_write = restore_write,
                                       .restore_end = restore_end,
                                       .close = close_app};

static int open_app(void *context, uint16_t group, struct app **app, char *reason,
                    size_t reason_bytes)
{
    apps[group] = (struct node_app){.app.ops = &app_ops, .group = group};
    *app = &apps[group].app;
    return 0;
}

// ------------------------------------------------------------------------------------------------
// what it says

static void on_vote_given(struct record *record, uint64_t term, uint16_t to)
{
    REQUIRE(term >= record->vote.term, "a vote of term %" PRIu64 " after %" PRIu64, term,
            record->vote.term);
    REQUIRE(term > record->vote.term || to == record->vote.to, "two votes in term %" PRIu64, term);
    record->vote = (struct vote){.term = term, .to = to};
}

// A refusal may name a term that is not durable yet. What promises something may not.
static bool is_promise(const struct wire_message *message)
{
    return message->type == RAFT_MSG_VOTE || message->type == RAFT_MSG_APPEND ||
           (message->type == RAFT_MSG_VOTE_REPLY && message->raft.vote_reply.granted) ||
           (message->type == RAFT_MSG_APPEND_REPLY &&
            (message->is_parallel ? message->raft.append_reply.is_installed
                                  : message->raft.append_reply.result == RAFT_APPEND_OK));
}

// What is acknowledged is durable. An install, of a checkpoint or of a term's log, within the poll
// may have cut what was, and what was told, before it; what is staged for one counts for nothing.
static void check_acks(const struct record *record, const struct wire_message *message)
{
    const struct raft_append_reply *reply = &message->raft.append_reply;
    const struct raft *raft = seat->reactor->groups[message->group].raft;
    if (record->installs != seat->reactor->counters.snapshots_installed ||
        (message->is_parallel && (!reply->is_installed || record->epoch != raft->log.epoch))) {
        return;
    }
    REQUIRE(reply->match <= record->synced, "acknowledged %" PRIu64 ", durable %" PRIu64,
            reply->match, record->synced);
    for (uint32_t bit = 0; bit < reply->acked_count; bit++) {
        uint64_t index = reply->match + 1 + bit;
        const struct raft_entry *entry = raft_entry_at(raft, index);
        bool is_acked = (reply->acked[bit / 64] >> (bit % 64) & 1) != 0;
        REQUIRE(!is_acked || index <= raft->log.base.index || (entry != NULL && entry->is_durable),
                "acknowledged %" PRIu64 " beyond a hole", index);
    }
}

static void on_sent(const struct wire_message *message, uint16_t to)
{
    struct record *record = &records[message->group];
    if (is_promise(message) && message->term > record->term_promised) {
        record->term_promised = message->term;
    }
    if (message->type == RAFT_MSG_VOTE) {
        on_vote_given(record, message->term, SELF);
    } else if (message->type == RAFT_MSG_VOTE_REPLY && message->raft.vote_reply.granted) {
        on_vote_given(record, message->term, to);
    } else if (message->type == RAFT_MSG_APPEND_REPLY) {
        check_acks(record, message);
    } else if (message->type == WIRE_REGISTER_REPLY &&
               message->register_reply.status == WIRE_DONE) {
        record->session = message->register_reply.session;
    }
}

static void note_synced(void)
{
    for (uint16_t group = 0; group < GROUPS; group++) {
        struct raft_view view;
        raft_view(seat->reactor->groups[group].raft, &view);
        struct record *record = &records[group];
        record->synced = view.synced > record->synced ? view.synced : record->synced;
    }
}

static void on_frame(void *context, const struct net_frame *frame)
{
    static struct wire_scratch scratch;
    struct wire_envelope envelope;
    struct wire_reader reader;
    struct wire_message message;
    bool is_client = frame->remote.ipv4 >= SEAT_CLIENTS_NET;
    uint16_t to = is_client ? WIRE_CLIENT : (uint16_t)(frame->remote.ipv4 & 0xFFFF);
    const struct wire_filter filter = {
        .cluster = SEAT_CLUSTER, .self = to, .peers = 1 << (SELF - 1), .groups = GROUPS};
    note_synced();
    enum wire_refusal refusal = wire_open(&reader, &filter, frame->data, frame->bytes, &scratch);
    envelope = reader.envelope;
    while (refusal == WIRE_OK && (refusal = wire_next(&reader, &filter, &message)) == WIRE_OK) {
        on_sent(&message, to);
    }
    REQUIRE(refusal == WIRE_END, "sent a frame that is %s", wire_refusal_name(refusal));
    REQUIRE(envelope.boot == seat->reactor->recovery.boot, "boot counter");
}

static void check(void)
{
    note_synced();
    for (uint16_t group = 0; group < GROUPS; group++) {
        const struct group *one = &seat->reactor->groups[group];
        struct record *record = &records[group];
        struct raft_view view;
        raft_check_invariants(one->raft);
        raft_view(one->raft, &view);
        REQUIRE(view.term >= record->term, "term fell from %" PRIu64, record->term);
        REQUIRE(view.commit >= record->commit, "commit fell from %" PRIu64, record->commit);
        uint64_t committed = is_parallel_run ? one->raft->parallel->commit_high : view.commit;
        REQUIRE(apps[group].last <= committed || apps[group].last == apps[group].offered,
                "applied %" PRIu64, apps[group].last);
        record->term = view.term;
        record->commit = view.commit;
    }
}

static void poll(void)
{
    if (polls++ < POLLS_MAX) {
        for (uint16_t group = 0; group < GROUPS; group++) {
            records[group].installs = seat->reactor->counters.snapshots_installed;
            records[group].epoch = seat->reactor->groups[group].raft->log.epoch;
        }
        seat_poll(seat);
    }
}

// ------------------------------------------------------------------------------------------------
// crashes

static void note_durable(struct record *record, const struct raft *raft)
{
    struct raft_view view;
    raft_view(raft, &view);
    record->hard_term = raft->hard_synced.term;
    record->durable_first = view.base + 1;
    record->durable_last = view.synced;
    for (uint64_t index = record->durable_first; index <= record->durable_last; index++) {
        record->durable_terms[index % DURABLE_MAX] = raft_id_at(raft, index).term;
    }
    memset(record->is_durable, 0, sizeof(record->is_durable));
    if (is_parallel_run) {
        record->sync_term = raft->parallel->sync_term;
        for (uint64_t index = view.base + 1; index <= raft->log.held; index++) {
            const struct raft_entry *entry = raft_entry_at(raft, index);
            if (entry != NULL && entry->is_durable) {
                record->is_durable[index % DURABLE_MAX] = true;
                record->durable_crcs[index % DURABLE_MAX] = entry->head.crc;
            }
        }
    }
}

// The log of a term stays, with and without holes, until that of a later term takes its place.
static void check_parallel_restart(const struct record *record, const struct raft *raft)
{
    REQUIRE(is_volatile || raft->parallel->sync_term >= record->sync_term,
            "the log of term %" PRIu64 " is gone", record->sync_term);
    if (is_volatile || raft->parallel->sync_term != record->sync_term) {
        return;
    }
    for (uint64_t index = record->durable_first; index < record->durable_first + DURABLE_MAX;
         index++) {
        const struct raft_entry *entry = raft_entry_at(raft, index);
        REQUIRE(!record->is_durable[index % DURABLE_MAX] || index <= raft->log.base.index ||
                    (entry != NULL && entry->head.crc == record->durable_crcs[index % DURABLE_MAX]),
                "entry %" PRIu64 " is gone, or another", index);
    }
}

static void check_restart(struct record *record, const struct raft *raft)
{
    struct raft_view view;
    raft_view(raft, &view);
    REQUIRE(view.term >= record->hard_term && view.term >= record->term_promised,
            "term %" PRIu64 " after %" PRIu64 ", %" PRIu64, view.term, record->hard_term,
            record->term_promised);
    REQUIRE(view.intact != is_volatile, "intact");
    // A checkpoint that was durable, and that the core had not heard of yet, may replace the log.
    bool is_replaced =
        view.base >= record->durable_first && view.base <= record->durable_last &&
        raft_id_at(raft, view.base).term != record->durable_terms[view.base % DURABLE_MAX];
    if (is_parallel_run) {
        check_parallel_restart(record, raft);
    } else if (!is_volatile && !is_replaced) {
        REQUIRE(view.last >= record->durable_last, "the log ends at %" PRIu64 ", not %" PRIu64,
                view.last, record->durable_last);
        for (uint64_t index = record->durable_first; index <= record->durable_last; index++) {
            if (index > view.base) {
                REQUIRE(raft_id_at(raft, index).term == record->durable_terms[index % DURABLE_MAX],
                        "entry %" PRIu64 " is another", index);
            }
        }
    }
    record->term = view.term;
    record->commit = view.commit;
    record->synced = view.synced;
}

static void crash(struct fuzz_input *input)
{
    char reason[256];
    uint8_t how = fuzz_u8(input);
    uint16_t seed = fuzz_u16(input);
    bool is_power = (how & 0x80) != 0;
    for (uint16_t group = 0; group < GROUPS; group++) {
        note_durable(&records[group], seat->reactor->groups[group].raft);
    }
    seat_crash(seat, seed, (how & 0x7F) % 101, is_power);
    int error = seat_start(seat, reason, sizeof(reason));
    REQUIRE(error == 0, "does not start again: %s", reason);
    for (uint16_t group = 0; group < GROUPS; group++) {
        check_restart(&records[group], seat->reactor->groups[group].raft);
    }
}

// ------------------------------------------------------------------------------------------------
// messages

struct sender {
    uint16_t from; // WIRE_CLIENT: a client
    uint16_t group;
    bool intact, has_room;
    uint64_t boot;
};

static struct sender read_sender(struct fuzz_input *input, bool is_client)
{
    uint8_t bits = fuzz_u8(input);
    return (struct sender){.from = is_client         ? WIRE_CLIENT
                                   : (bits & 1) != 0 ? 3
                                                     : 1,
                           .group = (bits >> 1) & 1,
                           .intact = !is_client && (bits & 4) == 0,
                           .has_room = !is_client && (bits & 32) == 0,
                           .boot = is_client ? 0 : 1 + ((bits >> 3) & 3)};
}

static struct raft_view view_of(uint16_t group)
{
    struct raft_view view;
    raft_view(seat->reactor->groups[group].raft, &view);
    return view;
}

static uint64_t read_term(struct fuzz_input *input, uint16_t group)
{
    uint64_t term = fuzz_near(input, view_of(group).term, RAFT_TERM_MAX);
    return term == 0 ? 1 : term;
}

static uint64_t read_index(struct fuzz_input *input, uint16_t group)
{
    struct raft_view view = view_of(group);
    const uint64_t known[] = {view.last,   view.commit,  view.held,     view.base,
                              view.synced, view.applied, view.last + 1, 0};
    uint8_t which = fuzz_u8(input);
    return fuzz_near(input, known[which & 7], RAFT_INDEX_MAX);
}

// A place in the log: what stands at that index, or something else.
static struct raft_entry_id read_place(struct fuzz_input *input, uint16_t group, uint64_t term_max)
{
    struct raft_view view = view_of(group);
    struct raft_entry_id id = {.index = read_index(input, group)};
    bool is_ours = id.index >= view.base && id.index <= view.last;
    uint64_t term =
        is_ours ? raft_id_at(seat->reactor->groups[group].raft, id.index).term : view.term;
    id.term = fuzz_near(input, term, term_max);
    if (id.index == 0) {
        return (struct raft_entry_id){0};
    }
    id.term = id.term == 0 ? 1 : id.term;
    return id;
}

static void read_entries(struct fuzz_input *input, struct sample *sample, uint16_t group,
                         uint32_t count)
{
    uint32_t data_at = 0;
    for (uint32_t at = 0; at < count; at++) {
        uint8_t bits = fuzz_u8(input);
        struct raft_entry_head *head = &sample->heads[at];
        *head = (struct raft_entry_head){.kind = RAFT_ENTRY_COMMAND};
        sample->payloads[at] = sample->data + data_at;
        if ((bits & 3) == 1) {
            head->kind = RAFT_ENTRY_NOOP;
        } else if ((bits & 3) == 2) {
            head->kind = RAFT_ENTRY_REGISTER;
            head->client = fuzz_u8(input);
            head->sequence = fuzz_u16(input);
        } else {
            head->client = fuzz_near(input, records[group].session, RAFT_INDEX_MAX);
            head->sequence = fuzz_near(input, 1, RAFT_INDEX_MAX);
            head->sequence = head->sequence == 0 ? 1 : head->sequence;
            head->bytes = (bits & 4) != 0 ? 170 : fuzz_u8(input) & 31;
            data_at += head->bytes;
        }
        head->crc = raft_entry_crc(head, sample->payloads[at]) + ((bits & 0xF8) == 0xF8);
    }
    sample->message.payload_bytes = data_at;
}

// What an append of a parallel group says instead of terms: that the log of the term is installed
// and where it ends, or that it answers a fetch; and what its entries depend on.
static void read_sync(struct fuzz_input *input, struct sample *sample, struct raft_append *append,
                      uint16_t group, uint64_t term)
{
    const struct raft_parallel *parallel = seat->reactor->groups[group].raft->parallel;
    uint8_t bits = fuzz_u8(input);
    append->prev.term = 0;
    append->entries_term = append->count > 0 ? term : 0;
    append->has_sync = (bits & 1) == 0;
    append->is_supply = !append->has_sync && append->count > 0 && (bits & 2) == 0;
    if (append->has_sync) {
        append->sync_from = fuzz_near(input, parallel->sync_term, term - 1);
        append->sync_end = (bits & 4) == 0 ? parallel->sync_end
                                           : fuzz_near(input, append->prev.index, RAFT_INDEX_MAX);
    }
    if (!raft_append_tells(append)) {
        return;
    }
    for (uint32_t at = 0; at < append->count; at++) {
        uint64_t most = append->prev.index + 1 + at - append->sync_end;
        most = most < RAFT_WINDOW_MAX ? most : RAFT_WINDOW_MAX;
        sample->distances[at] = (uint16_t)(1 + (most - 1) * (bits >> 4) / 15);
    }
    append->distances = sample->distances;
}

// As decode wants it, and no more than that.
static void read_append_place(struct fuzz_input *input, struct raft_append *append, uint16_t group,
                              uint64_t term, uint32_t count)
{
    append->prev = read_place(input, group, term);
    append->count = count;
    if (append->prev.index > RAFT_INDEX_MAX - count) {
        append->prev.index = RAFT_INDEX_MAX - count;
    }
    if (count > 0) {
        append->entries_term = fuzz_near(input, term, term);
        append->entries_term =
            append->entries_term < append->prev.term ? append->prev.term : append->entries_term;
        append->entries_term = append->entries_term == 0 ? 1 : append->entries_term;
    }
    append->commit = read_index(input, group);
    append->round = fuzz_u8(input);
    append->echo_ns = fuzz_u8(input);
    if ((append->round & 0x80) != 0) {
        append->rejoin_boot = fuzz_near(input, seat->reactor->recovery.boot, UINT64_MAX);
        append->rejoin_index = append->rejoin_boot == 0 ? 0 : read_index(input, group);
    }
}

static void read_append_reply(struct fuzz_input *input, struct raft_append_reply *reply,
                              uint16_t group, uint64_t term)
{
    uint8_t bits = fuzz_u8(input);
    reply->result = (bits & 1) != 0 ? RAFT_APPEND_REJECTED : RAFT_APPEND_OK;
    reply->match = read_index(input, group);
    reply->held = fuzz_near(input, reply->match, RAFT_INDEX_MAX);
    reply->round = fuzz_near(input, seat->reactor->groups[group].raft->round, UINT64_MAX);
    reply->echo_ns = fuzz_near(input, seat->now_ns, UINT64_MAX);
    if (reply->result == RAFT_APPEND_REJECTED) {
        reply->conflict.term = fuzz_near(input, term, term);
        reply->conflict.index = read_index(input, group);
        reply->conflict.index = reply->conflict.index == 0 ? 1 : reply->conflict.index;
    }
    for (uint32_t gaps = (bits >> 1) & 3; reply->gap_count < gaps; reply->gap_count++) {
        uint64_t before =
            reply->gap_count == 0 ? reply->held : reply->gaps[reply->gap_count - 1].last;
        struct raft_range *gap = &reply->gaps[reply->gap_count];
        gap->first = fuzz_near(input, before + 1, RAFT_INDEX_MAX);
        gap->last = fuzz_near(input, gap->first, RAFT_INDEX_MAX);
    }
}

// So many bits, of which the last is set; the first only where it may be.
static void read_bits(struct fuzz_input *input, uint64_t *words, uint32_t bits, bool is_first_free)
{
    for (uint32_t at = 0; at < bits; at += 64) {
        words[at / 64] = fuzz_u8(input) * UINT64_C(0x0101010101010101);
    }
    if (bits > 0) {
        words[(bits - 1) / 64] &= UINT64_MAX >> (63 - (bits - 1) % 64);
        words[(bits - 1) / 64] |= UINT64_C(1) << ((bits - 1) % 64);
        words[0] &= is_first_free ? UINT64_MAX : ~UINT64_C(1);
    }
}

// An answer of a parallel group: OK always, and what is durable beyond the floor.
static void read_acks(struct fuzz_input *input, struct raft_append_reply *reply)
{
    uint8_t bits = fuzz_u8(input);
    reply->result = RAFT_APPEND_OK;
    reply->conflict = (struct raft_entry_id){0};
    reply->held = reply->held > reply->match ? reply->held : reply->match;
    reply->is_installed = (bits & 1) == 0;
    reply->acked_count = (bits >> 1) % 70;
    reply->acked_count -= reply->acked_count == 1;
    if (reply->match > RAFT_INDEX_MAX - reply->acked_count) {
        reply->acked_count = 0;
    }
    read_bits(input, reply->acked, reply->acked_count, false);
}

static void read_claim(struct fuzz_input *input, struct raft_entry_id *claim, uint16_t group,
                       uint64_t term)
{
    claim->term = fuzz_near(input, seat->reactor->groups[group].raft->parallel->sync_term, term);
    claim->index = claim->term == 0 ? 0 : read_index(input, group);
}

static void read_report(struct fuzz_input *input, struct raft_report *report, uint16_t group,
                        uint64_t term)
{
    const struct raft_parallel *parallel = seat->reactor->groups[group].raft->parallel;
    const uint64_t floor_max = RAFT_INDEX_MAX - 200;
    uint8_t bits = fuzz_u8(input);
    uint32_t count = (bits >> 2) & 63, apart = bits & 3;
    report->sync_term = fuzz_near(input, parallel->sync_term, term);
    report->floor = report->sync_term == 0 ? 0 : read_index(input, group);
    report->floor = report->floor < floor_max ? report->floor : floor_max;
    report->sync_end = fuzz_near(input, parallel->sync_end, report->floor);
    report->commit = read_index(input, group);
    apart += apart == 0 && count == 1;
    report->first = report->floor + 1 + (count > 0 ? apart : 0);
    report->last = report->first + count - 1;
    read_bits(input, report->present, count, apart > 0);
}

static void read_fetch(struct fuzz_input *input, struct raft_fetch *fetch, uint16_t group)
{
    uint64_t first = read_index(input, group);
    first = first == 0 ? 1 : first;
    for (uint32_t wanted = 1 + (fuzz_u8(input) & (RAFT_GAPS_MAX - 1));
         fetch->count < wanted && first < RAFT_INDEX_MAX - 300; fetch->count++) {
        struct raft_range *range = &fetch->ranges[fetch->count];
        range->first = first;
        range->last = first + fuzz_u8(input);
        first = range->last + 2;
    }
    if (fetch->count == 0) {
        fetch->ranges[fetch->count++] = (struct raft_range){first, first};
    }
}

static void send_frame(const struct sender *sender, const uint8_t *frame, uint32_t bytes)
{
    struct net_endpoint remote = seat_client(sender->group);
    if (sender->from != WIRE_CLIENT) {
        seat->net.ops->locate(&seat->net, sender->from, 0, &remote);
    }
    seat_deliver(seat, &remote, frame, bytes);
}

static struct wire_envelope envelope_of(const struct sender *sender)
{
    return (struct wire_envelope){.cluster = SEAT_CLUSTER,
                                  .boot = sender->boot,
                                  .source = sender->from,
                                  .destination = SELF,
                                  .class = (uint8_t)sender->group};
}

static void send_message(const struct sender *sender, struct wire_message *message)
{
    uint8_t frame[SEAT_FRAME_BYTES];
    const struct wire_envelope envelope = envelope_of(sender);
    struct wire_writer writer;
    message->group = sender->group;
    message->intact = sender->intact;
    message->has_room = sender->has_room;
    message->is_parallel = is_parallel_run && message->type <= WIRE_APPEND_FRAGMENT;
    if (message->type <= RAFT_MSG_FETCH) {
        message->raft.is_parallel = message->is_parallel;
        message->raft.type = (enum raft_message_type)message->type;
        message->raft.term = message->term;
        message->raft.intact = sender->intact;
        message->raft.has_room = sender->has_room;
    }
    wire_begin(&writer, frame, sizeof(frame), &envelope);
    if (sample_put(&writer, message)) {
        send_frame(sender, frame, wire_seal(&writer));
    }
}

static struct sample sample;

static void do_message(struct fuzz_input *input)
{
    struct sender sender = read_sender(input, false);
    struct wire_message *message = &sample.message;
    uint16_t group = sender.group;
    uint8_t type = (uint8_t)(1 + fuzz_u8(input) % (is_parallel_run ? 7 : 6));
    *message = (struct wire_message){.type = type < 7 ? type : RAFT_MSG_FETCH};
    message->term = read_term(input, group);
    if (message->type == RAFT_MSG_PRE_VOTE || message->type == RAFT_MSG_VOTE) {
        if (is_parallel_run) {
            read_claim(input, &message->raft.vote.last, group, message->term);
        } else {
            message->raft.vote.last = read_place(input, group, message->term);
        }
    } else if (message->type == RAFT_MSG_PRE_VOTE_REPLY || message->type == RAFT_MSG_VOTE_REPLY) {
        message->raft.vote_reply.granted = fuzz_u8(input) % 4 != 3;
        if (is_parallel_run && message->type == RAFT_MSG_VOTE_REPLY &&
            message->raft.vote_reply.granted) {
            read_report(input, &message->raft.vote_reply.report, group, message->term);
        }
    } else if (message->type == RAFT_MSG_FETCH) {
        read_fetch(input, &message->raft.fetch, group);
    } else if (message->type == RAFT_MSG_APPEND) {
        uint32_t count = fuzz_u8(input) & ENTRIES_MAX;
        read_append_place(input, &message->raft.append, group, message->term, count);
        if (is_parallel_run) {
            read_sync(input, &sample, &message->raft.append, group, message->term);
        }
        read_entries(input, &sample, group, count);
        message->raft.append.heads = sample.heads;
        message->payloads = sample.payloads;
    } else {
        read_append_reply(input, &message->raft.append_reply, group, message->term);
        if (is_parallel_run) {
            read_acks(input, &message->raft.append_reply);
        }
    }
    send_message(&sender, message);
}

// One part of an entry of up to 12 KiB, or of one that is too large.
static void read_fragment(struct fuzz_input *input, struct wire_fragment *fragment, uint16_t group)
{
    static const uint32_t sizes[] = {1500,
                                     4096,
                                     12000,
                                     SEAT_PAYLOAD_BYTES_MAX,
                                     SEAT_PAYLOAD_BYTES_MAX + 1,
                                     RAFT_PAYLOAD_BYTES_MAX};
    uint8_t bits = fuzz_u8(input);
    uint32_t part = (bits & 8) != 0 ? 1000 : 1200;
    fragment->head = (struct raft_entry_head){.kind = RAFT_ENTRY_COMMAND};
    fragment->head.client = fuzz_near(input, records[group].session, RAFT_INDEX_MAX);
    fragment->head.sequence = fuzz_near(input, 1, RAFT_INDEX_MAX);
    fragment->head.sequence += fragment->head.sequence == 0;
    fragment->head.bytes = sizes[(bits & 7) % 6];
    fragment->offset = part * (bits >> 4);
    if (fragment->offset >= fragment->head.bytes) {
        fragment->offset = fragment->head.bytes / part * part;
    }
    uint32_t left = fragment->head.bytes - fragment->offset;
    fragment->bytes = left < part ? left : part;
    fragment->data = sample.data; // zeros
    if (fragment->head.bytes <= sizeof(sample.data)) {
        fragment->head.crc = raft_entry_crc(&fragment->head, sample.data);
    }
}

static void do_fragment(struct fuzz_input *input)
{
    struct sender sender = read_sender(input, false);
    sample.message = (struct wire_message){.type = WIRE_APPEND_FRAGMENT};
    sample.message.term = read_term(input, sender.group);
    read_append_place(input, &sample.message.fragment.append, sender.group, sample.message.term, 1);
    if (is_parallel_run) {
        read_sync(input, &sample, &sample.message.fragment.append, sender.group,
                  sample.message.term);
    }
    read_fragment(input, &sample.message.fragment, sender.group);
    send_message(&sender, &sample.message);
}

// Parts of a checkpoint: of the one taken by do_take_checkpoint, or of zeros.
static void do_snapshot(struct fuzz_input *input)
{
    struct sender sender = read_sender(input, false);
    struct wire_snapshot *part = &sample.message.snapshot;
    sample.message = (struct wire_message){.type = WIRE_SNAPSHOT};
    sample.message.term = read_term(input, sender.group);
    part->last = read_place(input, sender.group, sample.message.term);
    part->last.index += part->last.index == 0;
    part->last.term += part->last.term == 0;
    uint8_t bits = fuzz_u8(input);
    part->total_bytes =
        (bits & 1) != 0 ? fuzz_near(input, stream_bytes, RAFT_INDEX_MAX) : stream_bytes;
    part->offset = (bits >> 1) * UINT64_C(1000);
    part->offset = part->offset < part->total_bytes ? part->offset : part->total_bytes;
    uint64_t left = part->total_bytes - part->offset;
    part->bytes = left < 1000 ? (uint32_t)left : 1000;
    part->data = part->offset + part->bytes <= sizeof(stream) ? stream + part->offset : stream;
    send_message(&sender, &sample.message);
}

static void do_snapshot_reply(struct fuzz_input *input)
{
    struct sender sender = read_sender(input, false);
    struct snapshot *snapshot = &seat->reactor->groups[sender.group].snapshot;
    struct wire_snapshot_reply *reply = &sample.message.snapshot_reply;
    sample.message = (struct wire_message){.type = WIRE_SNAPSHOT_REPLY};
    sample.message.term = read_term(input, sender.group);
    uint8_t bits = fuzz_u8(input);
    reply->last = (bits & 1) != 0 || snapshot->covers.index == 0
                      ? read_place(input, sender.group, sample.message.term)
                      : snapshot->covers;
    reply->last.index += reply->last.index == 0;
    reply->last.term += reply->last.term == 0;
    reply->installed = (bits & 2) != 0;
    reply->received_bytes = fuzz_near(input, snapshot->bytes, RAFT_INDEX_MAX);
    send_message(&sender, &sample.message);
}

static void do_propose(struct fuzz_input *input)
{
    struct sender sender = read_sender(input, true);
    uint32_t count = 1 + (fuzz_u8(input) & ENTRIES_MAX);
    sample.message = (struct wire_message){.type = WIRE_PROPOSE};
    read_entries(input, &sample, sender.group, count);
    sample.message.propose = (struct wire_propose){.count = count,
                                                   .heads = sample.heads,
                                                   .payloads = sample.payloads,
                                                   .payload_bytes = sample.message.payload_bytes};
    send_message(&sender, &sample.message);
}

static void do_ask(struct fuzz_input *input)
{
    struct sender sender = read_sender(input, true);
    uint8_t what = fuzz_u8(input);
    sample.message = (struct wire_message){.type = WIRE_STATUS};
    if (what % 4 == 0) {
        sample.message.status.want_digest = (what & 4) != 0;
    } else if (what % 4 == 1) {
        sample.message.type = WIRE_PROPOSE_FRAGMENT;
        read_fragment(input, &sample.message.fragment, sender.group);
    } else {
        sample.message.type = WIRE_READ;
        sample.message.read.bytes = fuzz_u8(input);
        sample.message.read.query = fuzz_take(input, &sample.message.read.bytes);
    }
    send_message(&sender, &sample.message);
}

// Bytes of the input as messages, the envelope put right.
static void do_raw(struct fuzz_input *input)
{
    uint8_t frame[WIRE_ENVELOPE_BYTES + 256];
    uint8_t bits = fuzz_u8(input);
    struct sender sender = read_sender(input, (bits & 1) != 0);
    uint32_t bytes = fuzz_u8(input);
    const uint8_t *data = fuzz_take(input, &bytes);
    const struct wire_envelope envelope = envelope_of(&sender);
    struct wire_writer writer;
    wire_begin(&writer, frame, sizeof(frame), &envelope);
    memcpy(frame + WIRE_ENVELOPE_BYTES, data, bytes);
    writer.bytes += bytes;
    writer.messages = (uint16_t)(1 + (bits >> 6));
    send_frame(&sender, frame, wire_seal(&writer));
}

// ------------------------------------------------------------------------------------------------
// everything else

static void do_pass(struct fuzz_input *input)
{
    for (uint32_t left = 1 + (fuzz_u8(input) & 127); left > 0; left--) {
        seat->now_ns += WORLD_MS;
        poll();
    }
}

static void do_polls(struct fuzz_input *input)
{
    for (uint32_t left = 1 + (fuzz_u8(input) & 15); left > 0; left--) {
        poll();
    }
}

static void do_hold_disk(struct fuzz_input *input)
{
    disk_memory_hold(seat->disk.inner, (fuzz_u8(input) & 1) != 0);
}

static void do_fail_disk(struct fuzz_input *input)
{
    uint8_t bits = fuzz_u8(input);
    struct disk *disk = (bits & 1) != 0 ? seat->checkpoint_disk.inner : seat->disk.inner;
    static const enum disk_op ops[] = {DISK_WRITE_DURABLE, DISK_WRITE, DISK_FLUSH, DISK_READ};
    disk_memory_fail(disk, ops[(bits >> 1) & 3], 1 + ((bits >> 3) & 3), 1, -EIO);
}

static void do_shortage(struct fuzz_input *input)
{
    uint8_t bits = fuzz_u8(input);
    seat->tx_room = bits & 7;
    seat->tx_buffers = (bits & 8) != 0 ? bits >> 4 : SEAT_TX_MAX;
}

// What a peer that is ahead could offer to this node.
static void do_take_checkpoint(struct fuzz_input *input)
{
    struct group *group = &seat->reactor->groups[fuzz_u8(input) & 1];
    struct stream_out out = {0};
    if (group->is_paused || group->jobs_out > 0 || group->snapshot.is_building ||
        !group_is_level(group)) {
        return;
    }
    stream_begin(&out, group);
    stream_bytes = 0;
    int64_t got;
    while ((got = stream_read(&out, stream + stream_bytes, sizeof(stream) - stream_bytes)) > 0) {
        stream_bytes += (uint32_t)got;
    }
    stream_end(&out);
}

static uint32_t mails_out;

static void on_mail_done(void *context, reactor_user *user, const struct reactor_reply *reply)
{
    REQUIRE(mails_out > 0, "answered twice");
    mails_out--;
}

static void do_mail(struct fuzz_input *input)
{
    uint8_t bits = fuzz_u8(input);
    uint16_t group = bits & 1;
    int error =
        (bits & 2) != 0
            ? reactor_read_mt(seat->reactor, group, stream, bits >> 3, on_mail_done, NULL, NULL)
            : reactor_propose_mt(seat->reactor, group, stream, bits >> 3, on_mail_done, NULL, NULL);
    mails_out += error == 0;
}

static void do_drain(struct fuzz_input *input)
{
    reactor_drain(seat->reactor);
}

static void do_crash(struct fuzz_input *input)
{
    mails_out = 0;
    crash(input);
}

static void (*const actions[NODE_ACTIONS])(struct fuzz_input *input) = {
    [NODE_MESSAGE] = do_message,
    [NODE_FRAGMENT] = do_fragment,
    [NODE_SNAPSHOT] = do_snapshot,
    [NODE_SNAPSHOT_REPLY] = do_snapshot_reply,
    [NODE_PROPOSE] = do_propose,
    [NODE_ASK] = do_ask,
    [NODE_RAW] = do_raw,
    [NODE_PASS] = do_pass,
    [NODE_POLLS] = do_polls,
    [NODE_HOLD_DISK] = do_hold_disk,
    [NODE_FAIL_DISK] = do_fail_disk,
    [NODE_SHORTAGE] = do_shortage,
    [NODE_TAKE_CHECKPOINT] = do_take_checkpoint,
    [NODE_MAIL] = do_mail,
    [NODE_DRAIN] = do_drain,
    [NODE_CRASH] = do_crash,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {.at = data, .end = data + size};
    uint8_t bits = fuzz_u8(&input);
    is_volatile = (bits & NODE_VOLATILE) != 0;
    is_parallel_run = (bits & NODE_PARALLEL) != 0;
    const struct seat_options options = {.order = is_parallel_run ? RAFT_ORDER_PARALLEL
                                                                  : RAFT_ORDER_STRICT,
                                         .node = SELF,
                                         .nodes = 3,
                                         .groups = GROUPS,
                                         .is_volatile = is_volatile,
                                         .disk_polls = (bits >> 1) & 3,
                                         .disk_seed = bits,
                                         .poll_ns = 20 * WORLD_US,
                                         .app_open = open_app,
                                         .on_frame = on_frame};
    memset(records, 0, sizeof(records));
    polls = mails_out = stream_bytes = 0;
    seat = seat_open(&options);
    while (fuzz_has_more(&input) && polls < POLLS_MAX) {
        uint8_t action = fuzz_u8(&input);
        actions[(action & ~NODE_NO_POLL) % NODE_ACTIONS](&input);
        if ((action & NODE_NO_POLL) == 0) {
            poll();
        }
        check();
    }
    seat_close(seat);
    return 0;
}
