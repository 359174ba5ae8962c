// Clients: what they propose, new or again, and what their reads must have seen.
#include "tests/unit/core/crowd.h"

#include <string.h>

enum { RANGES = 2, PROPOSED_MAX = 4 };

struct command {
    struct raft_footprint ranges[RANGES];
    uint8_t count; // RAFT_FOOTPRINT_ALL: everything
};

static struct command commands[CROWD_COMMANDS_MAX + 1]; // by id; 0: of a read
static uint64_t sequences[CROWD_CLIENTS];               // highest used

void crowd_client_begin(void)
{
    crowd.command_count = crowd.answered_high = 0;
    memset(sequences, 0, sizeof(sequences));
    memset(crowd.session_ids, 0, sizeof(crowd.session_ids));
    memset(crowd.is_answered, 0, sizeof(crowd.is_answered));
}

bool crowd_client_do_conflict(uint64_t a, uint64_t b)
{
    if (a == CROWD_NOOP_ID || b == CROWD_NOOP_ID) {
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

// A command, new or a retry, as any client may send it: mostly the next one, now and then one far
// from the others; or a registration.
static struct raft_entry_head any_head(uint64_t id, struct command *command)
{
    uint32_t client = (uint32_t)crowd_below(CROWD_CLIENTS);
    struct raft_entry_head head = {.kind = RAFT_ENTRY_COMMAND, .crc = (uint32_t)id};
    head.client = crowd.session_ids[client];
    if (crowd_chance(3) || (head.client == 0 && crowd_chance(30))) {
        head.kind = RAFT_ENTRY_REGISTER;
        head.client = CROWD_CLIENTS * (1 + crowd_below(3)) + client;
        head.sequence = SESSION_PAGE_SEQUENCES * (1 + crowd_below(3));
        sequences[client] = 0;
        command->count = RAFT_FOOTPRINT_ALL;
        return head;
    }
    uint64_t *highest = &sequences[client];
    head.sequence = *highest + 1;
    if (*highest > 0 && crowd_chance(20)) {
        uint64_t back = crowd_below(crowd_chance(50) ? 4 : 1100);
        head.sequence = *highest > back ? *highest - back : 1;
    } else if (crowd_chance(10)) {
        head.sequence += crowd_below(crowd_chance(50) ? 8 : 1100);
    }
    *highest = *highest > head.sequence ? *highest : head.sequence;
    return head;
}

static struct raft_footprint any_range(void)
{
    uint64_t start = crowd_below(40);
    return (struct raft_footprint){.start = start, .length = 1 + crowd_below(4)};
}

void crowd_client_propose(struct crowd_node *node)
{
    const struct raft_view before = crowd_view(node);
    if (before.role != RAFT_LEADER || crowd.command_count + PROPOSED_MAX > CROWD_COMMANDS_MAX) {
        return;
    }
    struct raft_entry_head heads[PROPOSED_MAX];
    struct raft_footprint ranges[PROPOSED_MAX * RAFT_FOOTPRINTS_MAX];
    uint8_t counts[PROPOSED_MAX];
    uint32_t count = 1 + (uint32_t)crowd_below(PROPOSED_MAX);
    for (uint32_t at = 0; at < count; at++) {
        uint64_t id = crowd.command_count + 1 + at;
        struct command *command = &commands[id];
        command->count = crowd_chance(3) ? RAFT_FOOTPRINT_ALL : (uint8_t)crowd_below(RANGES + 1);
        for (uint32_t range = 0; range < RANGES; range++) {
            command->ranges[range] = any_range();
        }
        memcpy(&ranges[at * RAFT_FOOTPRINTS_MAX], command->ranges, sizeof(command->ranges));
        heads[at] = any_head(id, command);
        bool is_registration = heads[at].kind == RAFT_ENTRY_REGISTER;
        counts[at] = is_registration ? (uint8_t)crowd_below(RANGES + 1) : command->count;
    }
    const struct raft_input input = {
        .kind = RAFT_IN_PROPOSE,
        .propose = {
            .heads = heads, .count = count, .footprints = ranges, .footprint_counts = counts}};
    crowd_step(node, &input);
    crowd.command_count += crowd_view(node).last > before.last ? count : 0;
}

void crowd_client_read(struct crowd_node *node)
{
    const struct raft_input input = {.kind = RAFT_IN_READ, .read_count = 1};
    if (crowd_view(node).role != RAFT_LEADER || node->read_number != 0) {
        return;
    }
    crowd_step(node, &input);
    const struct raft_view view = crowd_view(node);
    node->read_number = view.reads_last;
    node->read_needs = crowd.answered_high;
    const struct raft_footprint range = any_range();
    commands[0] = (struct command){.ranges = {range}, .count = 1};
    node->range_index = raft_read_needs(node->raft, &range, 1);
    node->range_needs = 0; // (nothing has to wait for what is applied here)
    for (uint64_t index = view.applied + 1; index <= crowd.answered_high; index++) {
        if (crowd.is_answered[index] && crowd_client_do_conflict(0, crowd.truth[index])) {
            node->range_needs = index;
        }
    }
}

void crowd_client_take_reads(struct crowd_node *node, const struct raft_effects *effects)
{
    if (effects->reads_granted && effects->reads_upto >= node->read_number &&
        node->read_number != 0) {
        CROWD_REQUIRE(effects->reads_index >= node->read_needs);
        CROWD_REQUIRE(node->range_index >= node->range_needs);
        node->read_number = 0;
    }
    if (effects->reads_aborted_upto >= node->read_number) {
        node->read_number = 0;
    }
}
