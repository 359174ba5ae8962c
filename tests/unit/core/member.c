#include "tests/unit/core/member.h"

#include "engine/core/parallel.h"
#include "tests/harness/harness.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct replica member;

void member_configure(uint32_t voters)
{
    replica_configure(&member, voters);
    member.config.order = RAFT_ORDER_PARALLEL;
    member.config.span_entries = 32;
}

void member_open(uint32_t voters)
{
    member_configure(voters);
    replica_start(&member);
}

void member_close(void)
{
    replica_close(&member);
}

struct raft_message member_message(struct raft_message message)
{
    message.is_parallel = true;
    return message;
}

// (Where a test does not say what entries depend on, it is on everything before them.)
void member_receive(struct raft_message message)
{
    bool is_untold = message.type == RAFT_MSG_APPEND && raft_append_tells(&message.append) &&
                     message.append.distances == NULL;
    CHECK(is_untold || replica_is_sound(&message));
    replica_receive(&member, &message);
}

struct raft_message member_append(uint16_t from, uint64_t term, uint64_t first, uint32_t count,
                                  uint64_t end, uint64_t commit)
{
    struct raft_message message = member_message(replica_append(
        from, term, (struct raft_entry_id){.index = first - 1}, term, count, commit));
    message.append.has_sync = true;
    message.append.sync_end = end;
    return message;
}

void member_follow(uint64_t term, uint64_t last)
{
    member_receive(member_append(2, term, 1, 0, 0, 0));
    replica_settle(&member);
    member_receive(member_append(2, term, 1, (uint32_t)last, 0, 0));
    replica_settle(&member);
    CHECK_EQUAL(member.view.sync_term, term);
    CHECK_EQUAL(member.view.synced, last);
}

struct raft_message member_reported(uint16_t from, uint64_t term, struct raft_report report)
{
    struct raft_message message = member_message(replica_granted(RAFT_MSG_VOTE_REPLY, from, term));
    message.vote_reply.report = report;
    return message;
}

void member_stand(void)
{
    replica_tick(&member, 50 * REPLICA_MS);
    replica_collect(&member);
    uint64_t term = member.view.term + 1;
    for (uint16_t from = 2; member.view.role == RAFT_PRE_CANDIDATE; from++) {
        member_receive(member_message(replica_granted(RAFT_MSG_PRE_VOTE_REPLY, from, term)));
    }
    CHECK_EQUAL(member.view.role, RAFT_CANDIDATE);
    replica_collect(&member);
    replica_sync_hard(&member);
}

struct raft_message member_ack(uint16_t from, uint64_t match)
{
    struct raft_message message = member_message(replica_ack(from, member.view.term, match, 0));
    message.append_reply.is_installed = true;
    return message;
}

void member_ack_one(uint16_t from, uint64_t match, uint64_t index)
{
    struct raft_message message = member_ack(from, match);
    message.append_reply.acked_count = (uint32_t)(index - match);
    bitmap_set(message.append_reply.acked, (uint32_t)(index - match - 1));
    member_receive(message);
}

void member_lead(void)
{
    member_stand();
    member_receive(member_reported(2, member.view.term, (struct raft_report){.first = 1}));
    replica_settle(&member);
    member_receive(member_ack(2, 0));
    CHECK(order_knows_commit(member.raft));
}

void member_propose_kind(enum raft_entry_kind kind, uint64_t start, uint64_t client,
                         uint64_t sequence)
{
    const struct raft_entry_head head = {
        .client = client, .sequence = sequence, .bytes = 10, .kind = (uint8_t)kind};
    const struct raft_footprint range[RAFT_FOOTPRINTS_MAX] = {{.start = start, .length = 4}};
    const uint8_t count = 1;
    const struct raft_input input = {
        .kind = RAFT_IN_PROPOSE,
        .propose = {.heads = &head, .count = 1, .footprints = range, .footprint_counts = &count}};
    CHECK_EQUAL(replica_step(&member, &input), RAFT_OK);
}

void member_propose(uint64_t start, uint64_t client, uint64_t sequence)
{
    member_propose_kind(RAFT_ENTRY_COMMAND, start, client, sequence);
}

bool member_gives(uint64_t first, uint64_t last)
{
    struct raft_range range;
    return raft_apply_take(member.raft, 64, &range) && range.first == first && range.last == last;
}

enum { TEXT_BYTES = 256 };

// Adds "4" or "4-6" to a text.
static void add_range(char *text, struct raft_range range)
{
    size_t used = strlen(text);
    used += (size_t)snprintf(text + used, TEXT_BYTES - used, "%s%" PRIu64, used == 0 ? "" : " ",
                             range.first);
    CHECK(used < TEXT_BYTES - 24);
    if (range.last != range.first) {
        snprintf(text + used, TEXT_BYTES - used, "-%" PRIu64, range.last);
    }
}

const char *member_sends(uint16_t to)
{
    static char text[TEXT_BYTES];
    text[0] = '\0';
    for (uint32_t at = 0; at < member.effects.send_count; at++) {
        const struct raft_send *send = &member.effects.sends[at];
        struct raft_range run;
        for (uint64_t index = send->range.first;
             send->to == to && raft_send_next(send, index, &run); index = run.last + 1) {
            add_range(text, run);
        }
    }
    return text;
}

const char *member_given(void)
{
    static char text[TEXT_BYTES];
    text[0] = '\0';
    struct raft_range range;
    while (raft_apply_take(member.raft, 64, &range)) {
        add_range(text, range);
    }
    CHECK(!raft_has_to_apply(member.raft));
    return text;
}

void member_applied(uint64_t first, uint64_t last)
{
    const struct raft_input input = {
        .kind = RAFT_IN_APPLIED, .applied_first = first, .applied = last};
    replica_step(&member, &input);
    raft_check_invariants(member.raft);
}
