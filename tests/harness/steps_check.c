// What must hold whatever a script does: the guarantees of Raft (figure 3), and every answer backed
// by what is durable.
#include "tests/harness/steps.h"

#include <inttypes.h>
#include <stdarg.h>

#include "engine/base/assert.h"

void steps_violation(struct steps *steps, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("VIOLATION: ", steps->out);
    vfprintf(steps->out, format, arguments);
    fputc('\n', steps->out);
    va_end(arguments);
    steps->violations++;
}

// "State Machine Safety": what one replica takes for committed at an index, all do.
static void check_commit(struct steps *steps, const struct steps_node *node)
{
    uint64_t index = node->view.base == 0 ? 1 : node->view.base;
    for (; index <= node->view.commit; index++) {
        uint64_t term = raft_id_at(node->raft, index).term;
        uint64_t *known = &steps->committed_terms[index];
        if (*known != 0 && *known != term) {
            steps_violation(
                steps, "n%u has %" PRIu64 "/%" PRIu64 " committed, %" PRIu64 "/%" PRIu64 " was",
                node->id, term, index, *known, index);
        }
        *known = term;
    }
}

// "Leader Completeness": every committed entry is in the log of a later leader. "Election Safety".
static void check_leader(struct steps *steps, const struct steps_node *node)
{
    uint64_t term = node->view.term;
    ASSERT_CMP(term, <, STEPS_TERMS_MAX);
    if (steps->leader_of[term] == node->id) {
        return;
    }
    if (steps->leader_of[term] != 0) {
        steps_violation(steps, "n%u and n%u lead in term %" PRIu64, steps->leader_of[term],
                        node->id, term);
    }
    steps->leader_of[term] = node->id;
    for (uint64_t index = node->view.base + 1; index < STEPS_INDEXES_MAX; index++) {
        uint64_t known = steps->committed_terms[index];
        bool is_there = index <= node->view.last && raft_entry_at(node->raft, index)->term == known;
        if (known != 0 && !is_there) {
            steps_violation(steps, "n%u leads without the committed %" PRIu64 "/%" PRIu64, node->id,
                            known, index);
            return;
        }
    }
}

void steps_check_view(struct steps *steps, struct steps_node *node)
{
    check_commit(steps, node);
    if (node->view.role == RAFT_LEADER) {
        check_leader(steps, node);
    }
    struct raft_hard_state durable = steps_durable_term(node);
    if (node->view.term < durable.term) {
        steps_violation(steps, "n%u: term %" PRIu64 " after %" PRIu64, node->id, node->view.term,
                        durable.term);
    }
}

// Reads from number `first` on are about to be asked for: each must see what is committed by now.
void steps_note_reads(struct steps *steps, struct steps_node *node, uint64_t first)
{
    uint64_t committed = STEPS_INDEXES_MAX - 1;
    while (committed > 0 && steps->committed_terms[committed] == 0) {
        committed--;
    }
    for (uint64_t number = first; number < STEPS_READS_MAX; number++) {
        node->reads_required[number] = committed;
    }
}

// Linearizable reads (thesis §6.4).
void steps_check_reads(struct steps *steps, struct steps_node *node,
                       const struct raft_effects *effects)
{
    uint64_t done = node->reads_done;
    done = done < effects->reads_aborted_upto ? effects->reads_aborted_upto : done;
    for (; effects->reads_granted && done < effects->reads_upto; done++) {
        uint64_t required = node->reads_required[done + 1];
        if (effects->reads_index < required) {
            steps_violation(steps, "n%u grants a read at %" PRIu64 ", %" PRIu64 " was committed",
                            node->id, effects->reads_index, required);
        }
    }
    node->reads_done = done;
}

// One vote a term, over all restarts, and durable before it is told.
static void check_vote(struct steps *steps, const struct steps_node *node,
                       const struct raft_message *message, uint16_t voted_for)
{
    struct raft_hard_state durable = steps_durable_term(node);
    ASSERT_CMP(message->term, <, STEPS_TERMS_MAX);
    uint16_t *known = &steps->vote_of[node->id][message->term];
    if (*known != 0 && *known != voted_for) {
        steps_violation(steps, "n%u votes for n%u and n%u in term %" PRIu64, node->id, *known,
                        voted_for, message->term);
    }
    *known = voted_for;
    if (durable.term < message->term ||
        (durable.term == message->term && durable.voted_for != voted_for)) {
        steps_violation(steps, "n%u tells a vote that is not durable", node->id);
    }
}

static void check_reply(struct steps *steps, const struct steps_node *node,
                        const struct raft_message *message)
{
    uint64_t terms[STEPS_INDEXES_MAX];
    bool is_ok = message->append_reply.result == RAFT_APPEND_OK;
    if (is_ok && steps_durable_term(node).term < message->term) {
        steps_violation(steps, "n%u answers in a term that is not durable", node->id);
    }
    uint64_t durable = steps_recover(node, terms);
    if (message->append_reply.match > durable) {
        steps_violation(steps, "n%u acknowledges %" PRIu64 ", %" PRIu64 " is durable", node->id,
                        message->append_reply.match, durable);
    }
}

void steps_check_message(struct steps *steps, const struct steps_node *node,
                         const struct raft_message *message)
{
    switch (message->type) {
    case RAFT_MSG_VOTE:
        check_vote(steps, node, message, node->id);
        break;
    case RAFT_MSG_VOTE_REPLY:
        if (message->vote_reply.granted) {
            check_vote(steps, node, message, message->to);
        }
        break;
    case RAFT_MSG_APPEND_REPLY:
        check_reply(steps, node, message);
        break;
    case RAFT_MSG_FETCH:
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_PRE_VOTE_REPLY:
    case RAFT_MSG_APPEND:
        break;
    }
}
