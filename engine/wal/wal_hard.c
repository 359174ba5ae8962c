// Hard state (term, vote, installed log) of every group: two copies each, in blocks of their own of
// the meta file.
//
// Alone writes struct wal_hard. A state is written to one copy, and when that is durable to the
// other, and only then reported: so at any moment at least one whole copy is on disk, and a state
// that anybody may have acted on is in BOTH. Whatever single copy is torn, rotten or lost, the
// other one holds the newest vote that was ever used. (With copies that alternate, one write a
// vote, the loss of the newest copy would fall back to the vote before it: a forgotten vote.) An
// election pays one more 4 KiB write for this, steady work none.
#include "engine/wal/wal_state.h"

#include <string.h>

static void list_append(struct wal *wal, struct wal_list *list, uint16_t group)
{
    wal->hards[group].next = WAL_NO_GROUP;
    if (list->first == WAL_NO_GROUP) {
        list->first = group;
    } else {
        wal->hards[list->last].next = group;
    }
    list->last = group;
}

static void list_prepend(struct wal *wal, struct wal_list *list, uint16_t group)
{
    wal->hards[group].next = list->first;
    if (list->first == WAL_NO_GROUP) {
        list->last = group;
    }
    list->first = group;
}

static uint16_t list_take(struct wal *wal, struct wal_list *list)
{
    uint16_t group = list->first;
    list->first = wal->hards[group].next;
    return group;
}

void wal_hard_init(struct wal *wal)
{
    memset(wal->hards, 0, wal->groups_max * sizeof(wal->hards[0]));
    wal->hard_queue = (struct wal_list){WAL_NO_GROUP, WAL_NO_GROUP};
    wal->hard_report = wal->hard_queue;
    wal->hard_buffers_free = (1u << WAL_HARD_WRITES_MAX) - 1;
}

uint64_t wal_hard_offset(uint16_t group, uint32_t copy)
{
    return (uint64_t)(2 + 2 * (uint32_t)group + copy) *
           WAL_BLOCK_BYTES; // behind the superblock's two
}

void wal_hard_fill(const struct wal *wal, uint8_t *block, uint16_t group, uint32_t copy,
                   uint64_t sequence, struct raft_hard_state state)
{
    struct wal_hard_slot *slot = (struct wal_hard_slot *)(void *)block;
    memset(block, 0, WAL_BLOCK_BYTES);
    slot->cluster = wal->identity.cluster;
    slot->node = wal->identity.node;
    slot->reactor = wal->identity.reactor;
    slot->group = group;
    slot->copy = (uint16_t)copy;
    slot->sequence = sequence;
    slot->term = state.term;
    slot->voted_for = state.voted_for;
    slot->sync_term = state.sync_term;
    slot->sync_end = state.sync_end;
    wal_layout_hard_seal(slot);
}

bool wal_hard_recover(struct wal *wal, uint16_t group, const struct wal_hard_slot *first,
                      const struct wal_hard_slot *second)
{
    struct wal_hard *hard = &wal->hards[group];
    if (first == NULL && second == NULL) {
        return false;
    }
    bool is_second = first == NULL || (second != NULL && second->sequence > first->sequence);
    const struct wal_hard_slot *newest = is_second ? second : first;
    hard->durable = (struct raft_hard_state){.term = newest->term,
                                             .voted_for = newest->voted_for,
                                             .sync_term = newest->sync_term,
                                             .sync_end = newest->sync_end};
    hard->sequence = newest->sequence;
    hard->first_copy = is_second ? 0 : 1;
    return true;
}

void wal_hard_put(struct wal *wal, uint16_t group, struct raft_hard_state state)
{
    ASSERT_CMP(group, <, wal->groups_max);
    struct wal_hard *hard = &wal->hards[group];
    hard->wanted = state;
    hard->has_wanted = true;
    if (hard->step == WAL_HARD_IDLE) {
        hard->step = WAL_HARD_QUEUED;
        list_append(wal, &wal->hard_queue, group);
    }
}

// Queues the write of the group's next copy. Result: false when the disk's queue is full.
static bool write_copy(struct wal *wal, uint16_t group)
{
    struct wal_hard *hard = &wal->hards[group];
    uint32_t buffer = (uint32_t)__builtin_ctz(wal->hard_buffers_free);
    uint32_t copy = hard->first_copy ^ hard->copies_done;
    uint8_t *block = wal->hard_buffers + (size_t)buffer * WAL_BLOCK_BYTES;
    struct raft_hard_state state = hard->copies_done == 0 ? hard->wanted : hard->writing;
    uint64_t sequence = hard->copies_done == 0 ? hard->sequence + 1 : hard->sequence;
    wal_hard_fill(wal, block, group, copy, sequence, state);
    struct disk_request request = {
        .op = DISK_WRITE_DURABLE,
        .file = wal->meta_file,
        .data = block,
        .offset = wal_hard_offset(group, copy),
        .bytes = WAL_BLOCK_BYTES,
        .tag = WAL_TAG_HARD | group,
    };
    if (!wal->disk->ops->submit(wal->disk, &request)) {
        return false;
    }
    if (hard->copies_done == 0) {
        hard->writing = hard->wanted;
        hard->has_wanted = false;
        hard->sequence = sequence;
    }
    hard->step = WAL_HARD_WRITING;
    hard->buffer = (uint8_t)buffer;
    wal->hard_buffers_free &= ~(1u << buffer);
    wal->requests_out++;
    return true;
}

void wal_hard_submit(struct wal *wal)
{
    while (wal->hard_queue.first != WAL_NO_GROUP && wal->hard_buffers_free != 0) {
        uint16_t group = list_take(wal, &wal->hard_queue);
        if (!write_copy(wal, group)) {
            list_prepend(wal, &wal->hard_queue, group);
            return;
        }
    }
}

void wal_hard_complete(struct wal *wal, uint32_t group, int32_t result)
{
    struct wal_hard *hard = &wal->hards[group];
    ASSERT_CMP(hard->step, ==, WAL_HARD_WRITING);
    wal->hard_buffers_free |= 1u << hard->buffer;
    if (result != 0) {
        wal_fail(wal, result);
        return;
    }
    if (++hard->copies_done == 1) {
        hard->step = WAL_HARD_QUEUED;
        list_prepend(wal, &wal->hard_queue, (uint16_t)group);
        return;
    }
    hard->copies_done = 0;
    hard->durable = hard->writing;
    hard->step = WAL_HARD_REPORT;
    list_append(wal, &wal->hard_report, (uint16_t)group);
    wal->counters->hard_states++;
}

uint32_t wal_hard_report(struct wal *wal, struct wal_event *events, uint32_t max)
{
    uint32_t count = 0;
    while (count < max && wal->hard_report.first != WAL_NO_GROUP) {
        uint16_t group = list_take(wal, &wal->hard_report);
        struct wal_hard *hard = &wal->hards[group];
        events[count++] = (struct wal_event){
            .kind = WAL_EVENT_HARD_STATE, .group = group, .hard_state = hard->durable};
        hard->step = WAL_HARD_IDLE;
        if (hard->has_wanted) {
            hard->step = WAL_HARD_QUEUED;
            list_append(wal, &wal->hard_queue, group);
        }
    }
    return count;
}

bool wal_hard_is_busy(const struct wal *wal)
{
    return wal->hard_buffers_free != (1u << WAL_HARD_WRITES_MAX) - 1 ||
           wal->hard_queue.first != WAL_NO_GROUP || wal->hard_report.first != WAL_NO_GROUP;
}
