// Effects and states as text: one line each. An entry is written term/index.
#include "tests/harness/steps.h"

#include <inttypes.h>
#include <string.h>

static const char *const TYPE_NAMES[] = {
    [RAFT_MSG_PRE_VOTE] = "pre_vote", [RAFT_MSG_PRE_VOTE_REPLY] = "pre_vote_reply",
    [RAFT_MSG_VOTE] = "vote",         [RAFT_MSG_VOTE_REPLY] = "vote_reply",
    [RAFT_MSG_APPEND] = "append",     [RAFT_MSG_APPEND_REPLY] = "append_reply",
    [RAFT_MSG_FETCH] = "fetch",
};

static const char *const ROLE_NAMES[] = {[RAFT_FOLLOWER] = "follower",
                                         [RAFT_PRE_CANDIDATE] = "pre-candidate",
                                         [RAFT_CANDIDATE] = "candidate",
                                         [RAFT_LEADER] = "leader"};

uint32_t steps_type_of(const char *name)
{
    for (uint32_t type = RAFT_MSG_PRE_VOTE; type <= RAFT_MSG_FETCH; type++) {
        if (TYPE_NAMES[type] != NULL && strcmp(TYPE_NAMES[type], name) == 0) {
            return type;
        }
    }
    return 0;
}

// Messages.

static void print_append(FILE *out, const struct raft_append *append)
{
    uint64_t end = append->prev.index + append->count;
    if (append->count > 0) {
        fprintf(out, " %" PRIu64 "/%" PRIu64, append->entries_term, append->prev.index + 1);
    } else {
        fputs(" empty", out);
    }
    if (append->count > 1) {
        fprintf(out, "..%" PRIu64, end);
    }
    fprintf(out, " after %" PRIu64 "/%" PRIu64 " commit %" PRIu64 " round %" PRIu64,
            append->prev.term, append->prev.index, append->commit, append->round);
    if (append->rejoin_index != 0) {
        fprintf(out, " rejoin %" PRIu64 " of boot %" PRIu64, append->rejoin_index,
                append->rejoin_boot);
    }
}

static void print_append_reply(FILE *out, const struct raft_append_reply *reply)
{
    if (reply->result == RAFT_APPEND_REJECTED) {
        fprintf(out, " rejected, conflict %" PRIu64 "/%" PRIu64, reply->conflict.term,
                reply->conflict.index);
    }
    fprintf(out, " match %" PRIu64 " held %" PRIu64 " round %" PRIu64, reply->match, reply->held,
            reply->round);
    for (uint32_t at = 0; at < reply->gap_count; at++) {
        fprintf(out, " missing %" PRIu64 "..%" PRIu64, reply->gaps[at].first, reply->gaps[at].last);
    }
}

void steps_print_message(struct steps *steps, const struct raft_message *message)
{
    FILE *out = steps->out;
    fprintf(out, "n%u->n%u %s term %" PRIu64, message->from, message->to, TYPE_NAMES[message->type],
            message->term);
    switch (message->type) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_VOTE:
        fprintf(out, " last %" PRIu64 "/%" PRIu64, message->vote.last.term,
                message->vote.last.index);
        break;
    case RAFT_MSG_PRE_VOTE_REPLY:
    case RAFT_MSG_VOTE_REPLY:
        fputs(message->vote_reply.granted ? " granted" : " refused", out);
        break;
    case RAFT_MSG_FETCH:
        fprintf(out, " %" PRIu64 "..", message->fetch.wanted.first);
        break;
    case RAFT_MSG_APPEND:
        print_append(out, &message->append);
        break;
    case RAFT_MSG_APPEND_REPLY:
        print_append_reply(out, &message->append_reply);
        break;
    }
    if (message->boot > 1) {
        fprintf(out, " boot %" PRIu64, message->boot);
    }
    fprintf(out, "%s%s\n", message->intact ? "" : " not intact",
            steps->cut[message->from][message->to] ? " (cut)" : "");
}

void steps_show_messages(struct steps *steps)
{
    for (uint32_t at = 0; at < steps->message_count; at++) {
        steps_print_message(steps, &steps->messages[at].message);
    }
}

// Effects.

void steps_print_outcome(struct steps *steps, const struct steps_node *node,
                         enum raft_outcome outcome)
{
    if (!steps->is_quiet && outcome != RAFT_OK) {
        fprintf(steps->out, "n%u: %s\n", node->id, raft_outcome_name(outcome));
    }
}

void steps_print_changes(struct steps *steps, const struct steps_node *node,
                         const struct raft_view *before)
{
    const struct raft_view *now = &node->view;
    FILE *out = steps->out;
    if (steps->is_quiet) {
        return;
    }
    if (now->role != before->role || now->term != before->term || now->leader != before->leader) {
        fprintf(out, "n%u: %s in term %" PRIu64, node->id, ROLE_NAMES[now->role], now->term);
        if (now->role == RAFT_FOLLOWER && now->leader != 0) {
            fprintf(out, " of n%u", now->leader);
        }
        fputc('\n', out);
    }
    if (now->intact != before->intact) {
        fprintf(out, "n%u: %s\n", node->id, now->intact ? "intact again" : "not intact");
    }
    if (now->halted != before->halted) {
        fprintf(out, "n%u: %s\n", node->id, now->halted ? "halted" : "halted no more");
    }
}

void steps_print_write(struct steps *steps, const struct steps_node *node,
                       const struct steps_write *write)
{
    if (steps->is_quiet) {
        return;
    }
    FILE *out = steps->out;
    fprintf(out, "n%u: w%u ", node->id, write->number);
    switch (write->kind) {
    case STEPS_WRITE_TERM:
        fprintf(out, "term %" PRIu64 " vote ", write->hard_state.term);
        if (write->hard_state.voted_for != 0) {
            fprintf(out, "n%u", write->hard_state.voted_for);
        } else {
            fputs("nobody", out);
        }
        break;
    case STEPS_WRITE_CUT:
        fprintf(out, "cut from %" PRIu64, write->first);
        break;
    case STEPS_WRITE_ENTRIES:
        fputs("entries", out);
        for (uint32_t at = 0; at < write->count; at++) {
            fprintf(out, " %" PRIu64 "/%" PRIu64, write->entries[at].term, write->first + at);
        }
        break;
    }
    fputc('\n', out);
}

void steps_print_effects(struct steps *steps, const struct steps_node *node,
                         const struct raft_effects *effects)
{
    FILE *out = steps->out;
    if (steps->is_quiet) {
        return;
    }
    if (effects->apply.first <= effects->apply.last) {
        fprintf(out, "n%u: commits %" PRIu64 "..%" PRIu64 "\n", node->id, effects->apply.first,
                effects->apply.last);
    }
    if (effects->reads_granted) {
        fprintf(out, "n%u: grants reads up to number %" PRIu64 " at index %" PRIu64 "\n", node->id,
                effects->reads_upto, effects->reads_index);
    }
    if (effects->reads_aborted_upto != node->reads_aborted) {
        fprintf(out, "n%u: aborts reads up to number %" PRIu64 "\n", node->id,
                effects->reads_aborted_upto);
    }
    for (uint16_t id = 1; id <= steps->options.nodes; id++) {
        uint64_t bit = UINT64_C(1) << (id - 1);
        if ((effects->snapshot_peers & bit) != 0 && (node->snapshot_peers & bit) == 0) {
            fprintf(out, "n%u: n%u needs a checkpoint\n", node->id, id);
        }
    }
}

// States.

static void print_hard_state(FILE *out, struct raft_hard_state state)
{
    fprintf(out, "term %" PRIu64 " vote ", state.term);
    if (state.voted_for != 0) {
        fprintf(out, "n%u", state.voted_for);
    } else {
        fputc('-', out);
    }
}

static void print_down(FILE *out, const struct steps_node *node)
{
    uint64_t terms[STEPS_INDEXES_MAX], last = steps_recover(node, terms);
    fprintf(out, "n%u down      ", node->id);
    print_hard_state(out, steps_durable_term(node));
    fputs(" disk", out);
    if (node->checkpoint.index > 0) {
        fprintf(out, " (%" PRIu64 "/%" PRIu64 ")", node->checkpoint.term, node->checkpoint.index);
    }
    for (uint64_t index = node->checkpoint.index + 1; index <= last; index++) {
        fprintf(out, " %" PRIu64, terms[index]);
    }
    fputc('\n', out);
}

static void print_log(FILE *out, const struct steps_node *node)
{
    const struct raft_view *view = &node->view;
    fputs(" log", out);
    if (view->base > 0) {
        fprintf(out, " (%" PRIu64 "/%" PRIu64 ")", raft_id_at(node->raft, view->base).term,
                view->base);
    }
    for (uint64_t index = view->base; index <= view->held; index++) {
        const struct raft_entry *entry = raft_entry_at(node->raft, index);
        if (entry != NULL) {
            fprintf(out, " %" PRIu64, entry->term);
        } else if (index > view->base) {
            fputs(" .", out);
        }
        if (index == view->synced) {
            fputs(" |", out);
        }
    }
}

static void show(struct steps *steps, const struct steps_node *node)
{
    FILE *out = steps->out;
    const struct raft_view *view = &node->view;
    if (!node->is_up) {
        print_down(out, node);
        return;
    }
    fprintf(out, "n%u %-9s ", node->id, ROLE_NAMES[view->role]);
    print_hard_state(out, node->hard_state);
    fprintf(out, " commit %" PRIu64 " applied %" PRIu64, view->commit, view->applied);
    print_log(out, node);
    fprintf(out, "%s%s%s\n", view->intact ? "" : " not intact", view->halted ? " halted" : "",
            view->failed ? " failed" : "");
}

void steps_show(struct steps *steps, uint32_t nodes)
{
    for (uint16_t id = 1; id <= steps->options.nodes; id++) {
        if (steps_has(nodes, id) && !steps->is_quiet) {
            show(steps, steps_node(steps, id));
        }
    }
}

bool steps_show_peers(struct steps *steps, uint16_t id)
{
    struct raft_peer_view views[STEPS_NODES_MAX];
    if (!steps_is_up(steps, id)) {
        return false;
    }
    uint32_t count = raft_peer_views(steps_node(steps, id)->raft, views, STEPS_NODES_MAX);
    for (uint32_t at = 0; at < count; at++) {
        const struct raft_peer_view *peer = &views[at];
        if (!peer->is_self) {
            fprintf(steps->out, "n%u: n%u match %" PRIu64 " next %" PRIu64 " %s%s%s\n", id,
                    peer->id, peer->match, peer->next,
                    peer->is_installing ? "checkpoint"
                    : peer->is_probing  ? "probe"
                                        : "stream",
                    peer->is_active ? "" : " silent", peer->intact ? "" : " not intact");
        }
    }
    return true;
}
