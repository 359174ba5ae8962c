// What an entry depends on: the newest earlier entry that conflicts with it. The leader finds out,
// once, when it proposes; the number travels with the entry.
//
// Alone writes  distances, by_key, clients.
//
// Whoever applies an entry beyond a hole relies on this number alone: it says of *every* earlier
// entry that is not below it that it does not conflict, applied here already or not, for at a
// follower it may not be. So nothing is left out because it is applied, only because it is out of
// reach: what is `reach` entries or more before a proposal counts as a conflict.
//
// Two commands conflict when their footprints overlap, or when they are the same command of the
// same client (a retry): its first copy decides the second's result. A command whose sequence is
// not above all others of its client in the window may be such a copy: it waits for the newest of
// them.
//
// Besides, commands of one client that may be applied in either order lie closer than half of any
// session's window, or the verdicts of the session table (session.h) could depend on the order. Let
// command s be applied where, compared with the log, some commands are missing before it and others
// have come too early; all of these are within PARALLEL_SEQUENCES_MAX of s. Then
//
//     too old     newest ≥ s + window    no command that is missing or early reaches so far: as in
//                                        the log
//     too far     floor + window < s     if the two floors differ, the lower one ends at one of
//                                        these commands, and s is within the window of both
//     claimed     s itself               its copies are in order
//
// and by induction over the commands applied here, all verdicts are those of the log.
#include "engine/core/parallel.h"

#include "engine/base/mark.h"

#include <string.h>

void depend_reset(struct raft *raft, uint64_t floor)
{
    struct raft_parallel *parallel = raft->parallel;
    conflict_reset(&parallel->by_key, floor);
    memset(parallel->clients, 0, PARALLEL_CLIENTS_MAX * sizeof(*parallel->clients));
    parallel->recent = parallel->clients;
    parallel->clients_from = floor;
}

static uint64_t mix(uint64_t client)
{
    uint64_t mixed = client * UINT64_C(0x9E3779B97F4A7C15);
    return (mixed ^ (mixed >> 32)) * UINT64_C(0xD6E8FEB86659FD93);
}

// The client's row, or the free one where it would go. There are more rows than entries in reach.
static struct parallel_client *row_of(struct raft_parallel *parallel, uint64_t client)
{
    if (parallel->recent->client == client) {
        return parallel->recent;
    }
    uint32_t at = (uint32_t)(mix(client) >> 40) % PARALLEL_CLIENTS_MAX;
    while (parallel->clients[at].client != 0 && parallel->clients[at].client != client) {
        at = (at + 1) % PARALLEL_CLIENTS_MAX;
    }
    parallel->recent = &parallel->clients[at];
    return parallel->recent;
}

// Closes the gap that a freed row leaves in the probe sequences (Knuth 6.4, algorithm R).
static void free_row(struct raft_parallel *parallel, struct parallel_client *row)
{
    uint32_t hole = (uint32_t)(row - parallel->clients);
    for (uint32_t at = (hole + 1) % PARALLEL_CLIENTS_MAX; parallel->clients[at].client != 0;
         at = (at + 1) % PARALLEL_CLIENTS_MAX) {
        uint32_t home = (uint32_t)(mix(parallel->clients[at].client) >> 40) % PARALLEL_CLIENTS_MAX;
        uint32_t from_home = (at - home) % PARALLEL_CLIENTS_MAX;
        if (from_home >= (at - hole) % PARALLEL_CLIENTS_MAX) {
            parallel->clients[hole] = parallel->clients[at];
            hole = at;
        }
    }
    parallel->clients[hole] = (struct parallel_client){0};
}

static bool is_counted(const struct raft_entry_head *head)
{
    return head->kind == RAFT_ENTRY_COMMAND && head->client != 0;
}

enum { SPAN = PARALLEL_SEQUENCES_MAX / 2 };

// Makes `sequence` part of the last span, or of one before.
static void shift_spans(struct parallel_client *row, uint64_t sequence)
{
    if (sequence < row->span + SPAN) {
        return;
    }
    if (sequence < row->span + 2 * SPAN) {
        row->far = row->previous > row->far ? row->previous : row->far;
        row->previous = row->current;
        row->span += SPAN;
    } else {
        row->far = row->newest;
        row->previous = 0;
        row->span = sequence;
    }
    row->current = 0;
}

// Notes the command as one of its client. Result: the newest of the client's that it must come
// after, or 0.
static uint64_t count_command(struct raft_parallel *parallel, uint64_t index,
                              const struct raft_entry_head *head)
{
    struct parallel_client *row = row_of(parallel, head->client);
    if (row->client == 0) {
        *row = (struct parallel_client){.client = head->client, .span = head->sequence};
    }
    shift_spans(row, head->sequence);
    uint64_t after = head->sequence <= row->highest ? row->newest : row->far;
    row->highest = row->highest > head->sequence ? row->highest : head->sequence;
    row->newest = index;
    if (head->sequence >= row->span) {
        row->current = index;
    } else if (head->sequence + SPAN >= row->span) {
        row->previous = index;
    } else {
        row->far = index;
    }
    return after;
}

// Clients none of whose commands is above `upto` need no row. Nearly all commands are of the client
// of the one before.
static void forget_clients(struct raft *raft, uint64_t upto)
{
    struct raft_parallel *parallel = raft->parallel;
    for (uint64_t index = parallel->clients_from + 1; index <= upto; index++) {
        const struct raft_entry_head *head = &log_slot(&raft->log, index)->head;
        bool is_last_of_run =
            index == upto || log_slot(&raft->log, index + 1)->head.client != head->client;
        if (is_last_of_run && is_counted(head)) {
            struct parallel_client *row = row_of(parallel, head->client);
            if (row->client != 0 && row->newest <= upto) {
                free_row(parallel, row);
            }
        }
    }
    parallel->clients_from = parallel->clients_from > upto ? parallel->clients_from : upto;
}

static uint64_t depend_on(struct raft *raft, uint64_t index, uint64_t reach,
                          const struct raft_entry_head *head, const struct raft_footprint *ranges,
                          uint32_t count)
{
    struct raft_parallel *parallel = raft->parallel;
    uint64_t by_client = is_counted(head) ? count_command(parallel, index, head) : 0;
    if (head->kind != RAFT_ENTRY_COMMAND || count == RAFT_FOOTPRINT_ALL) {
        MARK(entry_depends_on_everything);
        return conflict_add_all(&parallel->by_key, index);
    }
    uint64_t forget = reach < raft->applied ? reach : raft->applied;
    uint64_t by_key = conflict_add(&parallel->by_key, index, ranges, count, forget);
    by_key = by_key > reach ? by_key : reach;
    if (by_client > by_key) {
        MARK(command_waits_for_others_of_its_client);
        return by_client;
    }
    return by_key;
}

// The newest entry that touches what is read: older ones that do are before it in the log. What the
// index has forgotten is applied. Up to the floor, where the term began, everything counts.
uint64_t raft_read_needs(const struct raft *raft, const struct raft_footprint *ranges,
                         uint32_t count)
{
    const struct raft_parallel *parallel = raft->parallel;
    ASSERT(parallel != NULL);
    if (parallel->phase != PARALLEL_SERVE) {
        return UINT64_MAX; // the index is of another term
    }
    uint64_t needs = parallel->by_key.floor;
    for (uint32_t at = 0; at < count; at++) {
        uint64_t newest = conflict_find(&parallel->by_key, ranges[at]);
        needs = newest > needs ? newest : needs;
    }
    return needs;
}

void depend_on_propose(struct raft *raft, const struct raft_input *input, uint64_t first)
{
    struct raft_parallel *parallel = raft->parallel;
    uint64_t last = first + input->propose.count - 1;
    uint64_t reach = last > parallel->reach ? last - parallel->reach : 0;
    ASSERT_CMP(reach, <=, raft->commit); // (order_room)
    forget_clients(raft, reach);
    for (uint32_t at = 0; at < input->propose.count; at++) {
        bool has_ranges = input->propose.footprints != NULL;
        uint32_t count = has_ranges ? input->propose.footprint_counts[at] : RAFT_FOOTPRINT_ALL;
        const struct raft_footprint *ranges =
            has_ranges ? input->propose.footprints + (size_t)at * RAFT_FOOTPRINTS_MAX : NULL;
        uint64_t index = first + at;
        uint64_t on = depend_on(raft, index, reach, &input->propose.heads[at], ranges, count);
        parallel->distances[index & raft->log.mask] = (uint16_t)(index - on);
    }
}

void raft_distances(const struct raft *raft, uint64_t first, uint32_t count, uint16_t *distances)
{
    const struct raft_parallel *parallel = raft->parallel;
    ASSERT(raft->role == RAFT_LEADER && first > parallel->sync_end);
    uint64_t slot = first & raft->log.mask, to_wrap = raft->log.mask + 1 - slot;
    uint64_t straight = count < to_wrap ? count : to_wrap;
    memcpy(distances, parallel->distances + slot, straight * sizeof(distances[0]));
    memcpy(distances + straight, parallel->distances, (count - straight) * sizeof(distances[0]));
}

// --- the follower ---

// Entry number `at` of the append was taken over a hole. (What comes in order needs no number.)
void depend_take(struct raft *raft, const struct raft_append *append, uint32_t at)
{
    uint64_t index = append->prev.index + 1 + at;
    uint16_t *distance = &raft->parallel->distances[index & raft->log.mask];
    *distance = append->distances == NULL ? 1 : append->distances[at];
}

// Found in the log at start: nobody remembers what it depends on.
void depend_restored(struct raft *raft, uint64_t index)
{
    raft->parallel->distances[index & raft->log.mask] = 1;
}
