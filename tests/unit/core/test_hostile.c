// Messages of any meaning, in any order, reach no assertion: what decode lets through may
// contradict itself, the protocol, and everything said before. The state stays sound
// (raft_check_invariants).
#include "tests/harness/harness.h"

#include <inttypes.h>
#include <stdio.h>

#include "engine/base/prng.h"
#include "engine/core/parallel.h"
#include "tests/unit/core/replica.h"

enum { SEEDS = 4000, STEPS = 1500 };

static struct replica node;
static struct prng prng;
static struct raft_entry_head heads[64];
static uint16_t distances[64];
static bool is_parallel;

static uint64_t draw(uint64_t high)
{
    return prng_below(&prng, high + 1);
}

// Near what the replica knows, or anything the gateway lets through.
static uint64_t any_term(void)
{
    uint64_t term = node.view.term;
    switch (draw(60)) {
    case 0:
        return draw(RAFT_TERM_MAX - 1000);
    case 1:
    case 2:
        return term + 1 + draw(1);
    case 3:
    case 4:
    case 5:
    case 6:
        return term > 2 ? term - 1 - draw(1) : term;
    default:
        return term;
    }
}

static uint64_t any_index(void)
{
    static const uint64_t edges[] = {0, 1, RAFT_INDEX_MAX, UINT32_MAX, UINT64_C(1) << 40};
    uint64_t known[] = {node.view.commit, node.view.last, node.view.held, node.view.base,
                        node.view.synced};
    return draw(15) == 0 ? edges[draw(4)]
                         : known[draw(4)] + draw(4) - (known[draw(4)] > 2 ? draw(2) : 0);
}

static struct raft_entry_id any_id(void)
{
    return (struct raft_entry_id){.term = any_term(), .index = any_index() & RAFT_INDEX_MAX};
}

// Reports, acknowledgements and ranges in the one form that decode lets through
// (engine/wire/parallel.c).
static void fill_report(struct raft_message *message)
{
    struct raft_report *report = &message->vote_reply.report;
    uint64_t sync_term = draw(3) ? node.view.sync_term : any_term();
    report->sync_term = sync_term < message->term ? sync_term : message->term;
    report->floor = report->sync_term == 0 ? 0 : any_index() & RAFT_INDEX_MAX;
    report->sync_end = report->floor > 0 ? draw(report->floor) : 0;
    report->commit = any_index() & RAFT_INDEX_MAX;
    uint64_t bits = draw(3) ? draw(9) : draw(RAFT_WINDOW_MAX);
    uint64_t left = RAFT_INDEX_MAX - report->floor;
    bits = bits < left ? bits : left;
    bits = bits == 1 ? 0 : bits;
    report->first = report->floor + 1;
    report->last = report->floor + bits;
    for (uint64_t bit = 1; bit < bits; bit++) {
        if (bit + 1 == bits || draw(1)) {
            report->present[bit / 64] |= UINT64_C(1) << (bit % 64);
        }
    }
}

static void fill_parallel_append(struct raft_message *message)
{
    struct raft_append *append = &message->append;
    append->prev.term = 0;
    append->entries_term = append->count == 0 ? 0 : message->term;
    append->has_sync = draw(3) != 0;
    append->is_supply = !append->has_sync && append->count > 0 && draw(1);
    if (append->has_sync) {
        append->sync_from = draw(1) ? node.view.sync_term : draw(4);
        append->sync_from = append->sync_from < message->term ? append->sync_from : 0;
        uint64_t end = draw(1) ? node.raft->parallel->sync_end : node.view.last + draw(3);
        append->sync_end = draw(3) ? end : any_index() & RAFT_INDEX_MAX;
    } else if (append->is_supply) {
        append->round = draw(1) ? node.raft->parallel->fetch_number : append->round;
        append->sync_end = append->prev.index + append->count + (draw(1) ? draw(40) : 0);
    }
    if (raft_append_tells(append)) {
        for (uint32_t at = 0; at < append->count; at++) {
            uint64_t most = append->prev.index - append->sync_end + at;
            most = most < RAFT_WINDOW_MAX - 1 ? most : RAFT_WINDOW_MAX - 1;
            distances[at] = (uint16_t)(1 + draw(draw(1) && most > 3 ? 3 : most));
        }
        append->distances = distances;
    }
}

static void fill_parallel_reply(struct raft_append_reply *reply)
{
    reply->result = RAFT_APPEND_OK;
    reply->held = reply->match + draw(5);
    reply->is_installed = draw(3) != 0;
    reply->acked_count = draw(1) ? 0 : 2 + (uint32_t)draw(draw(9) ? 9 : RAFT_WINDOW_MAX - 2);
    if (reply->match > RAFT_INDEX_MAX - RAFT_WINDOW_MAX) {
        reply->acked_count = 0;
    }
    for (uint32_t bit = reply->is_installed; bit < reply->acked_count; bit++) {
        if (bit + 1 == reply->acked_count || draw(1)) {
            reply->acked[bit / 64] |= UINT64_C(1) << (bit % 64);
        }
    }
}

static void fill_fetch(struct raft_message *message)
{
    message->fetch.number = draw(9);
    uint64_t index = 1 + (draw(1) ? draw(40) : any_index() % (RAFT_INDEX_MAX - RAFT_WINDOW_MAX));
    for (uint64_t end = index + 1 + draw(draw(9) ? 20 : RAFT_WINDOW_MAX - 1); index < end;
         index += 1 + draw(3)) {
        raft_wanted_add(&message->fetch.wanted, index);
    }
}

static void fill_append(struct raft_message *message)
{
    uint32_t count = (uint32_t)draw(20);
    message->append = (struct raft_append){.prev = any_id(),
                                           .entries_term = count == 0 ? 0 : any_term(),
                                           .count = count,
                                           .commit = any_index() & RAFT_INDEX_MAX,
                                           .round = draw(9),
                                           .echo_ns = draw(1) ? 0 : prng_next(&prng),
                                           .rejoin_boot = draw(3),
                                           .rejoin_index = any_index() & RAFT_INDEX_MAX,
                                           .heads = heads};
    if (count > 0) { // as decode makes sure
        uint64_t *prev_term = &message->append.prev.term;
        *prev_term = *prev_term < message->term ? *prev_term : message->term;
        uint64_t *term = &message->append.entries_term;
        *term = *term < *prev_term ? *prev_term : *term;
        *term = *term > message->term || *term == 0 ? message->term : *term;
    }
    if (is_parallel) {
        fill_parallel_append(message);
    }
}

static void fill_append_reply(struct raft_message *message)
{
    struct raft_append_reply *reply = &message->append_reply;
    *reply = (struct raft_append_reply){.result = (enum raft_append_result)draw(1),
                                        .match = any_index() & RAFT_INDEX_MAX,
                                        .held = any_index() & RAFT_INDEX_MAX,
                                        .conflict = any_id(),
                                        .round = draw(12),
                                        .echo_ns = draw(1) ? 0 : prng_next(&prng),
                                        .gap_count = (uint32_t)draw(RAFT_GAPS_MAX)};
    for (uint32_t at = 0; at < reply->gap_count; at++) {
        reply->gaps[at] = (struct raft_range){.first = any_index() & RAFT_INDEX_MAX,
                                              .last = any_index() & RAFT_INDEX_MAX};
    }
    if (is_parallel) {
        fill_parallel_reply(reply);
    }
}

static void any_message(void)
{
    struct raft_message message =
        replica_message((enum raft_message_type)(1 + draw(5)), (uint16_t)(1 + draw(5)), any_term());
    message.type = is_parallel && draw(15) == 0 ? RAFT_MSG_FETCH : message.type;
    message.is_parallel = draw(99) ? is_parallel : !is_parallel;
    message.term = message.term == 0 ? 1 : message.term;
    message.intact = draw(9) != 0;
    message.boot = 1 + (draw(30) == 0 ? draw(2) : 0);
    switch (message.type) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_VOTE:
        message.vote.last = any_id();
        if (is_parallel) { // as decode makes sure
            uint64_t *claim = &message.vote.last.term;
            *claim = *claim < message.term ? *claim : message.term;
            message.vote.last.index = *claim == 0 ? 0 : message.vote.last.index;
        }
        break;
    case RAFT_MSG_PRE_VOTE_REPLY:
    case RAFT_MSG_VOTE_REPLY:
        message.term =
            draw(1) ? node.view.term + (message.type == RAFT_MSG_PRE_VOTE_REPLY) : message.term;
        message.vote_reply.granted = draw(3) != 0;
        if (is_parallel && message.type == RAFT_MSG_VOTE_REPLY && message.vote_reply.granted) {
            fill_report(&message);
        }
        break;
    case RAFT_MSG_FETCH:
        fill_fetch(&message);
        break;
    case RAFT_MSG_APPEND:
        fill_append(&message);
        break;
    case RAFT_MSG_APPEND_REPLY:
        message.term = draw(3) ? node.view.term : message.term;
        fill_append_reply(&message);
        break;
    }
    replica_receive(&node, &message);
}

// Every vote it asks for, so that it leads now and then.
static void win_election(void)
{
    replica_tick(&node, 21 * REPLICA_MS);
    for (enum raft_message_type type = RAFT_MSG_PRE_VOTE_REPLY; type <= RAFT_MSG_VOTE_REPLY;
         type += RAFT_MSG_VOTE_REPLY - RAFT_MSG_PRE_VOTE_REPLY) {
        for (uint16_t from = 2; from <= 3; from++) {
            struct raft_message granted =
                replica_granted(type, from, node.view.term + (type == RAFT_MSG_PRE_VOTE_REPLY));
            granted.is_parallel = is_parallel;
            if (is_parallel && draw(3) == 0) {
                fill_report(&granted);
            }
            replica_receive(&node, &granted);
        }
        replica_collect(&node);
        replica_sync_hard(&node);
    }
}

static void apply_what_is_given(void)
{
    struct raft_range range;
    if (!is_parallel) {
        replica_applied(&node, node.view.commit);
        return;
    }
    while (draw(3) != 0 && raft_apply_take(node.raft, 1 + (uint32_t)draw(20), &range)) {
        struct raft_input applied = {
            .kind = RAFT_IN_APPLIED, .applied = range.last, .applied_first = range.first};
        for (uint64_t index = range.first; index <= range.last; index++) {
            CHECK(raft_entry_at(node.raft, index) != NULL);
        }
        replica_step(&node, &applied);
    }
}

// A checkpoint of any later state, as a leader of the term may have sent it.
static void install_checkpoint(void)
{
    struct raft_input installed = {
        .kind = RAFT_IN_INSTALLED,
        .installed = {.term = node.view.term, .index = node.view.commit + 1 + draw(40)}};
    if (node.view.term > 0 && draw(9) == 0) {
        replica_step(&node, &installed);
    }
}

// What the caller itself does stays within its contract.
static void any_step(void)
{
    switch (draw(40)) {
    case 0:
        win_election();
        break;
    case 1:
        replica_tick(&node, draw(9) * draw(3) * REPLICA_MS);
        break;
    case 2:
        replica_propose(&node, 1 + (uint32_t)draw(19));
        break;
    case 3:
        replica_read(&node, (uint32_t)draw(3));
        break;
    case 4:
    case 5:
        replica_collect(&node);
        replica_sync_hard(&node);
        break;
    case 6:
        replica_sync_log(&node);
        break;
    case 7:
        replica_collect(&node);
        apply_what_is_given();
        break;
    case 8:
        if (node.view.applied <= node.view.synced && node.view.applied > 0) {
            raft_trim(node.raft, node.view.applied);
        }
        break;
    case 9: {
        struct raft_input done = {.kind = RAFT_IN_SNAPSHOT_DONE,
                                  .snapshot_done = {.peer = (uint16_t)draw(9), .id = any_id()}};
        replica_step(&node, &done);
        break;
    }
    case 10: {
        struct raft_input unsent = {.kind = RAFT_IN_UNSENT,
                                    .unsent = {.peer = (uint16_t)draw(9), .index = any_index()}};
        replica_step(&node, &unsent);
        break;
    }
    case 11:
        if (is_parallel) {
            install_checkpoint();
        }
        break;
    default:
        any_message();
        break;
    }
    if (node.view.role == RAFT_LEADER && node.effects.send_count > 0 && draw(3) == 0) {
        replica_collect(&node);
        for (uint32_t at = 0; at < node.effects.send_count; at++) {
            struct raft_message header;
            const struct raft_send *sent = &node.effects.sends[at];
            raft_append_header(node.raft, sent->to, sent->range.first, &header);
            if (!is_parallel) {
                raft_term_run(node.raft, sent->range.first, sent->range.last);
            }
        }
    }
    if (draw(3) == 0 || node.pending_count > REPLICA_PENDING_MAX / 2) {
        replica_collect(&node);
    }
    if (node.pending_count > REPLICA_PENDING_MAX / 2) {
        replica_sync_log(&node);
    }
}

static uint64_t running_seed;

static void print_seed(const char *file, int line, const char *expression, uint64_t left,
                       uint64_t right)
{
    printf("  seed %" PRIu64 ": assertion failed %s:%d: %s (%" PRIu64 ", %" PRIu64 ")\n",
           running_seed, file, line, expression, left, right);
    fflush(stdout);
}

static void receive_anything(bool in_parallel)
{
    is_parallel = in_parallel;
    assert_set_handler(print_seed);
    uint64_t leaders = 0;
    for (running_seed = 1; running_seed <= SEEDS; running_seed++) {
        prng_init(&prng, running_seed);
        replica_configure(&node, running_seed % 4 == 0 ? 5 : 3);
        node.config.intact = running_seed % 5 != 0;
        node.config.log_entries = 64U << draw(2);
        node.config.order = is_parallel ? RAFT_ORDER_PARALLEL : RAFT_ORDER_STRICT;
        node.config.span_entries = 1 + (uint32_t)draw(draw(3) ? 16 : RAFT_WINDOW_MAX - 1);
        node.config.look_behind = is_parallel && draw(3) == 0 ? 1 + (uint32_t)draw(3) : 0;
        replica_start(&node);
        for (int at = 0; at < STEPS; at++) {
            any_step();
            leaders += node.view.role == RAFT_LEADER;
        }
        replica_close(&node);
    }
    CHECK(leaders > SEEDS * STEPS / 100); // it was there to be broken
}

static void no_message_reaches_an_assertion(void)
{
    receive_anything(false);
}

static void no_message_reaches_an_assertion_in_parallel(void)
{
    receive_anything(true);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(no_message_reaches_an_assertion),
                                             TEST(no_message_reaches_an_assertion_in_parallel)};
    return test_run("core hostile", cases, TEST_COUNT(cases), argc, argv);
}
