// The nodes and the network between them.
#include "tests/harness/steps.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"

enum { ROUNDS_MAX = 10000 };

bool steps_fail(struct steps *steps, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(steps->error, sizeof(steps->error), format, arguments);
    va_end(arguments);
    return false;
}

void steps_default_options(struct steps_options *options)
{
    *options = (struct steps_options){.nodes = 3,
                                      .slots = 256,
                                      .frame_entries = 8,
                                      .window_entries = 64,
                                      .window_bytes = 1 << 20};
}

struct steps *steps_open(const struct steps_options *options, FILE *out)
{
    struct steps *steps = calloc(1, sizeof(*steps));
    ASSERT(steps != NULL);
    steps->options = *options;
    steps->out = out;
    steps->messages = calloc(STEPS_MESSAGES_MAX, sizeof(*steps->messages));
    ASSERT(steps->messages != NULL);
    struct raft_config config = {.log_entries = options->slots};
    size_t bytes = (raft_memory_bytes(&config) + 63) & ~(size_t)63;
    for (uint16_t id = 1; id <= options->nodes; id++) {
        struct steps_node *node = steps_node(steps, id);
        node->id = id;
        node->memory = aligned_alloc(64, bytes);
        node->writes = calloc(STEPS_WRITES_MAX, sizeof(*node->writes));
        ASSERT(node->memory != NULL && node->writes != NULL);
        node->boot = 1;
        node->now_ns = 1;
        steps_start(steps, node);
    }
    return steps;
}

void steps_close(struct steps *steps)
{
    for (uint32_t slot = 0; slot < steps->options.nodes; slot++) {
        free(steps->nodes[slot].memory);
        free(steps->nodes[slot].writes);
    }
    free(steps->messages);
    free(steps);
}

bool steps_is_up(struct steps *steps, uint16_t id)
{
    return steps_node(steps, id)->is_up || steps_fail(steps, "n%u is down", id);
}

// Sending.

static void post(struct steps *steps, const struct steps_node *node,
                 const struct raft_message *message)
{
    steps_check_message(steps, node, message);
    if (!steps->is_quiet) {
        steps_print_message(steps, message);
    }
    if (steps->cut[message->from][message->to]) {
        return;
    }
    ASSERT_CMP(steps->message_count, <, STEPS_MESSAGES_MAX);
    struct steps_message *posted = &steps->messages[steps->message_count++];
    posted->message = *message;
    if (message->type == RAFT_MSG_APPEND && message->append.count > 0) {
        memcpy(posted->heads, message->append.heads,
               message->append.count * sizeof(posted->heads[0]));
    }
}

// A range goes out in as many appends as the frame and the terms make of it.
static void send_range(struct steps *steps, const struct steps_node *node,
                       const struct raft_send *send)
{
    struct raft_entry_head heads[STEPS_FRAME_MAX];
    for (uint64_t index = send->range.first; index <= send->range.last;) {
        struct raft_message message;
        raft_append_header(node->raft, send->to, index, &message);
        uint64_t last = raft_term_run(node->raft, index, send->range.last);
        uint64_t limit = index + steps->options.frame_entries - 1;
        last = last < limit ? last : limit;
        message.append.entries_term = raft_entry_at(node->raft, index)->term;
        message.append.heads = heads;
        for (; index <= last; index++) {
            heads[message.append.count++] = raft_entry_at(node->raft, index)->head;
        }
        post(steps, node, &message);
    }
}

static void collect(struct steps *steps, struct steps_node *node)
{
    static struct raft_effects effects;
    struct raft_view before = node->view;
    raft_collect(node->raft, node->now_ns, &effects);
    raft_check_invariants(node->raft);
    raft_view(node->raft, &node->view);
    node->hard_state = effects.hard_state;
    steps_print_changes(steps, node, &before);
    steps_check_view(steps, node);
    if (effects.hard_state_due) {
        struct steps_write *write = steps_add_write(node, STEPS_WRITE_TERM);
        write->hard_state = effects.hard_state;
        steps_print_write(steps, node, write);
    }
    steps_print_effects(steps, node, &effects);
    steps_check_reads(steps, node, &effects);
    node->snapshot_peers = effects.snapshot_peers;
    node->reads_aborted = effects.reads_aborted_upto;
    if (effects.apply.first <= effects.apply.last) {
        node->apply_upto = effects.apply.last;
        node->commit_floor =
            effects.apply.last < node->view.synced ? effects.apply.last : node->view.synced;
    }
    for (uint32_t at = 0; at < effects.message_count; at++) {
        post(steps, node, &effects.messages[at]);
    }
    for (uint32_t at = 0; at < effects.send_count; at++) {
        send_range(steps, node, &effects.sends[at]);
    }
}

void steps_step(struct steps *steps, struct steps_node *node, const struct raft_input *input)
{
    struct raft_accept accept;
    struct raft_view before = node->view;
    enum raft_outcome outcome = raft_step(node->raft, node->now_ns, input, &accept);
    raft_view(node->raft, &node->view);
    steps_print_outcome(steps, node, outcome);
    steps_print_changes(steps, node, &before);
    steps_carry_out(steps, node, &accept);
    steps_check_view(steps, node);
    collect(steps, node);
}

// Time.

bool steps_tick(struct steps *steps, uint16_t id, uint64_t after_ns)
{
    if (!steps_is_up(steps, id)) {
        return false;
    }
    struct steps_node *node = steps_node(steps, id);
    node->now_ns += after_ns;
    struct raft_input input = {.kind = RAFT_IN_TICK};
    steps_step(steps, node, &input);
    return true;
}

bool steps_campaign(struct steps *steps, uint16_t id)
{
    if (steps_node(steps, id)->is_up && steps_node(steps, id)->view.role == RAFT_LEADER) {
        return steps_fail(steps, "n%u leads", id);
    }
    return steps_tick(steps, id, STEPS_ELECTION_NS);
}

// Clients and operators.

bool steps_propose(struct steps *steps, uint16_t id, uint32_t count, uint32_t bytes)
{
    struct raft_entry_head heads[STEPS_RUN_MAX];
    struct steps_node *node = steps_node(steps, id);
    if (!steps_is_up(steps, id)) {
        return false;
    }
    if (count > STEPS_RUN_MAX || node->view.last + count >= STEPS_INDEXES_MAX) {
        return steps_fail(steps, "too many entries");
    }
    for (uint32_t at = 0; at < count; at++) {
        heads[at] = (struct raft_entry_head){.client = node->view.term,
                                             .sequence = node->view.last + 1 + at,
                                             .bytes = bytes,
                                             .kind = RAFT_ENTRY_COMMAND};
    }
    struct raft_input input = {.kind = RAFT_IN_PROPOSE,
                               .propose = {.heads = heads, .count = count}};
    steps_step(steps, node, &input);
    return true;
}

static bool step_up(struct steps *steps, uint16_t id, const struct raft_input *input)
{
    if (!steps_is_up(steps, id)) {
        return false;
    }
    steps_step(steps, steps_node(steps, id), input);
    return true;
}

bool steps_read(struct steps *steps, uint16_t id, uint32_t count)
{
    struct steps_node *node = steps_node(steps, id);
    if (!steps_is_up(steps, id)) {
        return false;
    }
    if (node->view.reads_last + count >= STEPS_READS_MAX) {
        return steps_fail(steps, "too many reads");
    }
    steps_note_reads(steps, node, node->view.reads_last + 1);
    return step_up(steps, id, &(struct raft_input){.kind = RAFT_IN_READ, .read_count = count});
}

bool steps_stand_down(struct steps *steps, uint16_t id)
{
    return step_up(steps, id, &(struct raft_input){.kind = RAFT_IN_STAND_DOWN});
}

bool steps_unsent(struct steps *steps, uint16_t from, uint16_t to, uint64_t index)
{
    return step_up(
        steps, from,
        &(struct raft_input){.kind = RAFT_IN_UNSENT, .unsent = {.peer = to, .index = index}});
}

bool steps_installed(struct steps *steps, uint16_t leader, uint16_t peer)
{
    return step_up(steps, leader,
                   &(struct raft_input){
                       .kind = RAFT_IN_SNAPSHOT_DONE,
                       .snapshot_done = {.peer = peer, .id = steps_node(steps, peer)->checkpoint}});
}

bool steps_fail_disk(struct steps *steps, uint16_t id)
{
    if (!steps_is_up(steps, id)) {
        return false;
    }
    steps_node(steps, id)->has_failed_disk = true;
    return step_up(steps, id, &(struct raft_input){.kind = RAFT_IN_DISK_FAILED});
}

bool steps_room(struct steps *steps, uint16_t id, bool has_room)
{
    return step_up(steps, id, &(struct raft_input){.kind = RAFT_IN_ROOM, .has_room = has_room});
}

// The network.

void steps_cut(struct steps *steps, uint16_t from, uint16_t to, bool is_cut)
{
    steps->cut[from][to] = is_cut;
}

static bool matches(const struct steps_filter *filter, const struct raft_message *message)
{
    return message->from == filter->from && message->to == filter->to &&
           (filter->type == 0 || (uint32_t)message->type == filter->type);
}

// Place of the first (or last) message that matches, at or behind `from`; message_count: none.
static uint32_t find(const struct steps *steps, const struct steps_filter *filter, uint32_t from)
{
    uint32_t found = steps->message_count;
    for (uint32_t at = from; at < steps->message_count; at++) {
        if (matches(filter, &steps->messages[at].message)) {
            found = at;
            if (filter->which != STEPS_LAST) {
                break;
            }
        }
    }
    return found;
}

static bool find_one(struct steps *steps, const struct steps_filter *filter, uint32_t *at)
{
    *at = find(steps, filter, 0);
    return *at < steps->message_count ||
           steps_fail(steps, "no such message from n%u to n%u is under way", filter->from,
                      filter->to);
}

static void take_out(struct steps *steps, uint32_t at)
{
    steps->message_count--;
    memmove(&steps->messages[at], &steps->messages[at + 1],
            (steps->message_count - at) * sizeof(steps->messages[0]));
}

// To a node that is down it is lost.
static void hand_over(struct steps *steps, const struct steps_message *sent)
{
    struct steps_message copy = *sent;
    struct steps_node *node = steps_node(steps, copy.message.to);
    if (copy.message.type == RAFT_MSG_APPEND) {
        copy.message.append.heads = copy.heads;
    }
    if (node->is_up) {
        struct raft_input input = {.kind = RAFT_IN_MESSAGE, .message = &copy.message};
        steps_step(steps, node, &input);
    }
}

bool steps_deliver(struct steps *steps, const struct steps_filter *filter, bool is_kept)
{
    uint32_t at, end = steps->message_count; // what is sent meanwhile is not delivered
    if (!find_one(steps, filter, &at)) {
        return false;
    }
    while (at < end) {
        struct steps_message sent = steps->messages[at];
        if (is_kept) {
            at++;
        } else {
            take_out(steps, at);
            end--;
        }
        hand_over(steps, &sent);
        if (filter->which != STEPS_EACH) {
            break;
        }
        at = find(steps, filter, at);
    }
    return true;
}

bool steps_drop(struct steps *steps, const struct steps_filter *filter)
{
    uint32_t at;
    if (!find_one(steps, filter, &at)) {
        return false;
    }
    do {
        take_out(steps, at);
        at = find(steps, filter, at);
    } while (filter->which == STEPS_EACH && at < steps->message_count);
    return true;
}

static struct steps_stashed *find_stashed(struct steps *steps, const char *name)
{
    for (uint32_t at = 0; at < steps->stash_count; at++) {
        if (strcmp(steps->stash[at].name, name) == 0) {
            return &steps->stash[at];
        }
    }
    return NULL;
}

bool steps_stash(struct steps *steps, const char *name, const struct steps_filter *filter)
{
    uint32_t at;
    if (find_stashed(steps, name) != NULL || steps->stash_count == STEPS_STASH_MAX ||
        strlen(name) >= STEPS_NAME_MAX) {
        return steps_fail(steps, "%s: the name is taken or too long, or too many are stashed",
                          name);
    }
    if (!find_one(steps, filter, &at)) {
        return false;
    }
    struct steps_stashed *stashed = &steps->stash[steps->stash_count++];
    snprintf(stashed->name, sizeof(stashed->name), "%s", name);
    stashed->kept = steps->messages[at];
    take_out(steps, at);
    return true;
}

bool steps_replay(struct steps *steps, const char *name)
{
    struct steps_stashed *stashed = find_stashed(steps, name);
    if (stashed == NULL) {
        return steps_fail(steps, "nothing is stashed as %s", name);
    }
    hand_over(steps, &stashed->kept);
    return true;
}

// Shortcuts.

static bool is_election(enum raft_message_type type)
{
    return type != RAFT_MSG_APPEND && type != RAFT_MSG_APPEND_REPLY;
}

// Delivers the oldest message among these nodes. False: there is none.
static bool deliver_one(struct steps *steps, uint32_t nodes, bool only_elections)
{
    for (uint32_t at = 0; at < steps->message_count; at++) {
        struct steps_message sent = steps->messages[at];
        if (steps_has(nodes, sent.message.from) && steps_has(nodes, sent.message.to) &&
            (!only_elections || is_election(sent.message.type))) {
            take_out(steps, at);
            hand_over(steps, &sent);
            return true;
        }
    }
    return false;
}

static bool complete_one(struct steps *steps, uint32_t nodes, bool with_log)
{
    for (uint16_t id = 1; id <= steps->options.nodes; id++) {
        struct steps_node *node = steps_node(steps, id);
        struct steps_write *write =
            node->is_up && steps_has(nodes, id) ? steps_pending(node, true, with_log) : NULL;
        if (write != NULL) {
            return steps_complete(steps, id, write->number);
        }
    }
    return false;
}

static bool apply_one(struct steps *steps, uint32_t nodes)
{
    for (uint16_t id = 1; id <= steps->options.nodes; id++) {
        struct steps_node *node = steps_node(steps, id);
        if (node->is_up && steps_has(nodes, id) && node->view.applied < node->apply_upto) {
            return steps_apply(steps, id, 0);
        }
    }
    return false;
}

static bool run(struct steps *steps, uint32_t nodes)
{
    for (uint32_t round = 0; round < ROUNDS_MAX; round++) {
        if (!deliver_one(steps, nodes, false) && !complete_one(steps, nodes, true) &&
            !apply_one(steps, nodes)) {
            return true;
        }
    }
    return steps_fail(steps, "it does not come to rest");
}

bool steps_settle(struct steps *steps, uint32_t nodes)
{
    bool was_quiet = steps->is_quiet;
    steps->is_quiet = true;
    bool is_settled = run(steps, nodes);
    steps->is_quiet = was_quiet;
    return is_settled;
}

bool steps_beat(struct steps *steps, uint32_t nodes)
{
    bool was_quiet = steps->is_quiet;
    steps->is_quiet = true;
    for (uint16_t id = 1; id <= steps->options.nodes; id++) {
        if (steps_has(nodes, id) && steps_node(steps, id)->is_up) {
            steps_tick(steps, id, STEPS_HEARTBEAT_NS);
        }
    }
    bool is_settled = run(steps, nodes);
    steps->is_quiet = was_quiet;
    return is_settled;
}

static void drop_elections(struct steps *steps)
{
    for (uint32_t at = 0; at < steps->message_count;) {
        if (is_election(steps->messages[at].message.type)) {
            take_out(steps, at);
        } else {
            at++;
        }
    }
}

// One attempt, to its end: everything that it makes the voters say and write.
static void run_election(struct steps *steps, uint16_t id, uint32_t voters)
{
    for (uint16_t voter = 1; voter <= steps->options.nodes; voter++) {
        steps_node(steps, voter)->now_ns += steps_has(voters, voter) ? STEPS_ELECTION_NS : 0;
    }
    steps_tick(steps, id, 0);
    for (uint32_t round = 0; round < ROUNDS_MAX; round++) {
        if (!deliver_one(steps, voters, true) && !complete_one(steps, voters, false)) {
            break;
        }
    }
    drop_elections(steps);
}

// The clocks of those who take part move on, so that none of them hears an older leader any more;
// only the candidate is told.
bool steps_elect(struct steps *steps, uint16_t id, uint32_t voters)
{
    bool was_quiet = steps->is_quiet;
    if (!steps_is_up(steps, id)) {
        return false;
    }
    if (steps_node(steps, id)->view.role == RAFT_LEADER) {
        return steps_fail(steps, "n%u leads already", id);
    }
    drop_elections(steps);
    steps->is_quiet = true;
    run_election(steps, id, voters | UINT32_C(1) << (id - 1));
    if (steps_node(steps, id)->view.role ==
        RAFT_FOLLOWER) { // it was behind, and knows the term now
        run_election(steps, id, voters | UINT32_C(1) << (id - 1));
    }
    steps->is_quiet = was_quiet;
    return steps_node(steps, id)->view.role == RAFT_LEADER ||
           steps_fail(steps, "n%u is not elected", id);
}
