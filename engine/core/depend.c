// What a proposal depends on: the newest earlier entry that conflicts with it.
//
// Alone writes  depends_on, by_key, clients.
//
// Two commands conflict when their footprints overlap, or when they are the same command of the
// same client (a retry): its first copy decides the second's result. A command whose sequence is
// not above all others of its client under way may be such a copy: it waits for the newest of them.
// (A first copy that is applied needs no waiting for.) Besides, commands of one client that are
// under way together must lie closer than any session's window is wide, or the verdicts of the
// session table could depend on the order of applying them (session.h). One that does not waits for
// all before it, and all behind wait for it, as do registrations and commands that name no
// footprint.
//
// The numbers stay here: only the leader commits out of order, and a new leader begins behind its
// barrier, where everything is committed.
#include "engine/core/parallel.h"

#include "engine/base/mark.h"

#include <string.h>

void depend_reset(struct raft *raft, uint64_t floor)
{
    struct raft_parallel *parallel = raft->parallel;
    conflict_reset(&parallel->by_key, floor);
    memset(parallel->clients, 0, PARALLEL_CLIENTS_MAX * sizeof(*parallel->clients));
    parallel->counted_from = floor;
}

static uint64_t mix(uint64_t client)
{
    uint64_t mixed = client * UINT64_C(0x9E3779B97F4A7C15);
    return (mixed ^ (mixed >> 32)) * UINT64_C(0xD6E8FEB86659FD93);
}

// The client's row, or the free one where it would go. There are more rows than entries under way.
static struct parallel_client *row_of(struct raft_parallel *parallel, uint64_t client)
{
    uint32_t at = (uint32_t)(mix(client) >> 40) % PARALLEL_CLIENTS_MAX;
    while (parallel->clients[at].client != 0 && parallel->clients[at].client != client) {
        at = (at + 1) % PARALLEL_CLIENTS_MAX;
    }
    return &parallel->clients[at];
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

// Counts the command as under way. *is_near: it is not too far from others of its client. Result:
// the newest of these, if it may be a copy of one, for it does not come after all of them; else 0.
static uint64_t count_command(struct raft *raft, uint64_t index, const struct raft_entry_head *head,
                              bool *is_near)
{
    struct parallel_client *row = row_of(raft->parallel, head->client);
    bool is_alone = row->count == 0;
    bool is_copy = !is_alone && head->sequence <= row->highest;
    uint64_t newest = row->newest;
    *is_near = is_alone || (head->sequence >= row->lowest &&
                            head->sequence - row->lowest < PARALLEL_SEQUENCES_MAX);
    row->client = head->client;
    row->count++;
    row->newest = index;
    if (is_alone || !*is_near) {
        row->lowest = head->sequence;
    }
    if (!is_copy) {
        row->highest = head->sequence;
    }
    return is_copy ? newest : 0;
}

static bool is_counted(const struct raft_entry_head *head)
{
    return head->kind == RAFT_ENTRY_COMMAND && head->client != 0;
}

// These commands are no longer under way. Nearly all are of the client of the one before.
void depend_applied(struct raft *raft, struct raft_range range)
{
    struct raft_parallel *parallel = raft->parallel;
    if (raft->role != RAFT_LEADER || parallel->phase != PARALLEL_SERVE) {
        return;
    }
    uint64_t index =
        range.first > parallel->counted_from ? range.first : parallel->counted_from + 1;
    while (index <= range.last) {
        const struct raft_entry_head *head = &log_slot(&raft->log, index)->head;
        uint32_t run = 1;
        while (index + run <= range.last && is_counted(head) &&
               log_slot(&raft->log, index + run)->head.client == head->client &&
               log_slot(&raft->log, index + run)->head.kind == head->kind) {
            run++;
        }
        index += run;
        if (is_counted(head)) {
            struct parallel_client *row = row_of(parallel, head->client);
            ASSERT_CMP(row->count, >=, run);
            row->count -= run;
            if (row->count == 0) {
                free_row(parallel, row);
            }
        }
    }
}

static uint64_t depend_on(struct raft *raft, uint64_t index, const struct raft_entry_head *head,
                          const struct raft_footprint *ranges, uint32_t count)
{
    struct raft_parallel *parallel = raft->parallel;
    bool is_command = head->kind == RAFT_ENTRY_COMMAND, is_near = true;
    uint64_t by_client = is_counted(head) ? count_command(raft, index, head, &is_near) : 0;
    if (!is_command || !is_near || count == RAFT_FOOTPRINT_ALL) {
        MARK(entry_depends_on_everything);
        return conflict_add_all(&parallel->by_key, index);
    }
    uint64_t by_key = conflict_add(&parallel->by_key, index, ranges, count, raft->applied);
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
    for (uint32_t at = 0; at < input->propose.count; at++) {
        bool has_ranges = input->propose.footprints != NULL;
        uint32_t count = has_ranges ? input->propose.footprint_counts[at] : RAFT_FOOTPRINT_ALL;
        const struct raft_footprint *ranges =
            has_ranges ? input->propose.footprints + (size_t)at * RAFT_FOOTPRINTS_MAX : NULL;
        raft->parallel->depends_on[(first + at) & raft->log.mask] =
            depend_on(raft, first + at, &input->propose.heads[at], ranges, count);
    }
}
