// What the node of fuzz_node said and did, and what it may not say or do since:
//  - every frame sent is valid;
//  - terms and commit indexes never fall; a restarted node knows every term it promised anything
//  in;
//  - one vote a term, over restarts;
//  - what an ack covers was durable; what was durable is there after a restart.
#include "tests/fuzz/node.h"

#include "engine/core/parallel.h"

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
    uint64_t durable_terms[NODE_DURABLE_MAX];
    uint32_t durable_crcs[NODE_DURABLE_MAX];
    bool is_durable[NODE_DURABLE_MAX];
};

static struct record records[NODE_GROUPS];

void node_record_begin(void)
{
    memset(records, 0, sizeof(records));
}

uint64_t node_record_session(uint16_t group)
{
    return records[group].session;
}

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
    const struct raft *raft = node_group(message->group)->raft;
    if (record->installs != node.seat->reactor->counters.snapshots_installed ||
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
        on_vote_given(record, message->term, NODE_SELF);
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
    for (uint16_t group = 0; group < NODE_GROUPS; group++) {
        struct raft_view view;
        raft_view(node_group(group)->raft, &view);
        struct record *record = &records[group];
        record->synced = view.synced > record->synced ? view.synced : record->synced;
    }
}

void node_record_on_frame(void *context, const struct net_frame *frame)
{
    static struct wire_scratch scratch;
    struct wire_envelope envelope;
    struct wire_reader reader;
    struct wire_message message;
    bool is_client = frame->remote.ipv4 >= SEAT_CLIENTS_NET;
    uint16_t to = is_client ? WIRE_CLIENT : (uint16_t)(frame->remote.ipv4 & 0xFFFF);
    const struct wire_filter filter = {
        .cluster = SEAT_CLUSTER, .self = to, .peers = 1 << (NODE_SELF - 1), .groups = NODE_GROUPS};
    note_synced();
    enum wire_refusal refusal = wire_open(&reader, &filter, frame->data, frame->bytes, &scratch);
    envelope = reader.envelope;
    while (refusal == WIRE_OK && (refusal = wire_next(&reader, &filter, &message)) == WIRE_OK) {
        on_sent(&message, to);
    }
    REQUIRE(refusal == WIRE_END, "sent a frame that is %s", wire_refusal_name(refusal));
    REQUIRE(envelope.boot == node.seat->reactor->recovery.boot, "boot counter");
}

void node_record_check(void)
{
    note_synced();
    for (uint16_t group = 0; group < NODE_GROUPS; group++) {
        const struct group *one = node_group(group);
        struct record *record = &records[group];
        struct raft_view view;
        raft_check_invariants(one->raft);
        raft_view(one->raft, &view);
        REQUIRE(view.term >= record->term, "term fell from %" PRIu64, record->term);
        REQUIRE(view.commit >= record->commit, "commit fell from %" PRIu64, record->commit);
        node_app_check(group, node.is_parallel ? one->raft->parallel->commit_high : view.commit);
        record->term = view.term;
        record->commit = view.commit;
    }
}

void node_record_before_poll(void)
{
    for (uint16_t group = 0; group < NODE_GROUPS; group++) {
        records[group].installs = node.seat->reactor->counters.snapshots_installed;
        records[group].epoch = node_group(group)->raft->log.epoch;
    }
}

static void note_durable(struct record *record, const struct raft *raft)
{
    struct raft_view view;
    raft_view(raft, &view);
    record->hard_term = raft->hard_synced.term;
    record->durable_first = view.base + 1;
    record->durable_last = view.synced;
    for (uint64_t index = record->durable_first; index <= record->durable_last; index++) {
        record->durable_terms[index % NODE_DURABLE_MAX] = raft_id_at(raft, index).term;
    }
    memset(record->is_durable, 0, sizeof(record->is_durable));
    if (node.is_parallel) {
        record->sync_term = raft->parallel->sync_term;
        for (uint64_t index = view.base + 1; index <= raft->log.held; index++) {
            const struct raft_entry *entry = raft_entry_at(raft, index);
            if (entry != NULL && entry->is_durable) {
                record->is_durable[index % NODE_DURABLE_MAX] = true;
                record->durable_crcs[index % NODE_DURABLE_MAX] = entry->head.crc;
            }
        }
    }
}

// The log of a term stays, with and without holes, until that of a later term takes its place.
static void check_parallel_restart(const struct record *record, const struct raft *raft)
{
    REQUIRE(node.is_volatile || raft->parallel->sync_term >= record->sync_term,
            "the log of term %" PRIu64 " is gone", record->sync_term);
    if (node.is_volatile || raft->parallel->sync_term != record->sync_term) {
        return;
    }
    for (uint64_t index = record->durable_first; index < record->durable_first + NODE_DURABLE_MAX;
         index++) {
        const struct raft_entry *entry = raft_entry_at(raft, index);
        REQUIRE(!record->is_durable[index % NODE_DURABLE_MAX] || index <= raft->log.base.index ||
                    (entry != NULL &&
                     entry->head.crc == record->durable_crcs[index % NODE_DURABLE_MAX]),
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
    REQUIRE(view.intact != node.is_volatile, "intact");
    // A checkpoint that was durable, and that the core had not heard of yet, may replace the log.
    bool is_replaced =
        view.base >= record->durable_first && view.base <= record->durable_last &&
        raft_id_at(raft, view.base).term != record->durable_terms[view.base % NODE_DURABLE_MAX];
    if (node.is_parallel) {
        check_parallel_restart(record, raft);
    } else if (!node.is_volatile && !is_replaced) {
        REQUIRE(view.last >= record->durable_last, "the log ends at %" PRIu64 ", not %" PRIu64,
                view.last, record->durable_last);
        for (uint64_t index = record->durable_first; index <= record->durable_last; index++) {
            if (index > view.base) {
                REQUIRE(raft_id_at(raft, index).term ==
                            record->durable_terms[index % NODE_DURABLE_MAX],
                        "entry %" PRIu64 " is another", index);
            }
        }
    }
    record->term = view.term;
    record->commit = view.commit;
    record->synced = view.synced;
}

void node_record_before_crash(void)
{
    for (uint16_t group = 0; group < NODE_GROUPS; group++) {
        note_durable(&records[group], node_group(group)->raft);
    }
}

void node_record_check_restart(void)
{
    for (uint16_t group = 0; group < NODE_GROUPS; group++) {
        check_restart(&records[group], node_group(group)->raft);
    }
}
