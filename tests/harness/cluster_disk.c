// The fake disks of a cluster: records in file order, completions, and what a crash leaves.
//
// `images` is what recovery would find by index if the node crashed now and lost all that is under
// way. Like recovery it goes by file order: a write that completes late has an older place than the
// record that outdated it. Nothing is submitted behind a truncation before that completed, which
// here is a barrier in time.
#include "tests/harness/cluster.h"

#include <stdlib.h>
#include <string.h>

static uint32_t add_record(struct cluster_disk *disk, const struct cluster_record *record)
{
    if (disk->record_count == disk->record_capacity) {
        disk->record_capacity = disk->record_capacity == 0 ? 1024 : 2 * disk->record_capacity;
        disk->records = realloc(disk->records, disk->record_capacity * sizeof(*disk->records));
        ASSERT(disk->records != NULL);
    }
    disk->records[disk->record_count] = *record;
    return disk->record_count++;
}

static uint64_t write_delay_ns(struct cluster *cluster, struct cluster_disk *disk, bool is_barrier)
{
    uint64_t took =
        prng_between(&cluster->prng, cluster->options.disk_min_ns, cluster->options.disk_max_ns) *
        disk->slowdown;
    uint64_t at = cluster->now_ns + took;
    bool is_ordered = is_barrier || !cluster->options.is_disk_unordered;
    uint64_t earliest = is_ordered ? disk->latest_ns + 1 : disk->barrier_ns + 1;
    at = at < earliest ? earliest : at;
    disk->latest_ns = disk->latest_ns < at ? at : disk->latest_ns;
    disk->barrier_ns = is_barrier ? at : disk->barrier_ns;
    return at - cluster->now_ns;
}

static void post_records(struct cluster *cluster, struct cluster_node *node, uint32_t position,
                         bool is_barrier)
{
    struct cluster_disk *disk = &node->disk;
    if (disk->record_count > position) {
        struct cluster_event *event =
            cluster_post(cluster, node, CLUSTER_SYNCED, write_delay_ns(cluster, disk, is_barrier));
        event->position = position;
        event->count = disk->record_count - position;
    }
}

void cluster_disk_submit(struct cluster *cluster, struct cluster_node *node,
                         const struct raft_accept *accept)
{
    struct cluster_disk *disk = &node->disk;
    uint32_t position = disk->record_count;
    struct raft_view view;
    raft_view(node->raft, &view);
    if (accept->truncate_from != 0) {
        struct cluster_record record = {.is_truncate = true,
                                        .id = {.index = accept->truncate_from}};
        add_record(disk, &record);
        post_records(cluster, node, position, true);
        position = disk->record_count;
    }
    uint64_t prev_term = accept->prev_term;
    for (uint64_t index = accept->range.first; index <= accept->range.last; index++) {
        const struct raft_entry *entry = raft_entry_to_place(node->raft, index);
        if (entry != NULL) {
            struct cluster_record record = {.id = {.term = entry->term, .index = index},
                                            .prev_term = prev_term,
                                            .head = entry->head,
                                            .commit = view.commit,
                                            .epoch = entry->epoch};
            add_record(disk, &record);
            raft_entry_placed(node->raft, index, entry->head.sequence);
            cluster_note_entry(cluster, node, index, prev_term);
        }
        prev_term = raft_entry_at(node->raft, index)->term;
    }
    post_records(cluster, node, position, false);
}

void cluster_disk_complete(struct cluster_disk *disk, uint32_t position)
{
    struct cluster_record *record = &disk->records[position];
    record->is_complete = true;
    uint64_t first = record->id.index;
    if (record->is_truncate) {
        for (uint64_t index = first; index <= disk->image_last; index++) {
            disk->images[index].position = 0;
        }
    } else if (disk->images[first].position <= position) {
        disk->images[first] = (struct cluster_image){
            .term = record->id.term, .prev_term = record->prev_term, .position = position + 1};
        disk->image_last = disk->image_last < first ? first : disk->image_last;
    }
    if (first > 0 && disk->chain_last >= first) {
        disk->chain_last = first - 1;
    }
}

// What was complete is kept. Of the rest: a prefix (an ordered log cuts at its first bad block), or
// any part.
static void lose_incomplete(struct cluster *cluster, struct cluster_disk *disk)
{
    uint32_t kept = 0;
    bool is_cut = false;
    for (uint32_t at = 0; at < disk->record_count; at++) {
        struct cluster_record *record = &disk->records[at];
        if (!record->is_complete) {
            bool is_lost = is_cut || prng_chance(&cluster->prng, 1, 2);
            is_cut |= (is_lost && !cluster->options.is_disk_unordered) || record->is_truncate;
            if (is_lost) {
                continue;
            }
        }
        disk->records[kept++] = *record;
    }
    disk->record_count = kept;
}

void cluster_disk_crash(struct cluster *cluster, struct cluster_node *node)
{
    struct cluster_disk *disk = &node->disk;
    if (node->is_volatile) {
        disk->record_count = 0;
    } else {
        lose_incomplete(cluster, disk);
    }
    memset(disk->images, 0, (disk->image_last + 1) * sizeof(*disk->images));
    disk->image_last = disk->chain_last = 0;
    disk->latest_ns = disk->barrier_ns = disk->hard_latest_ns = 0;
    for (uint32_t at = 0; at < disk->record_count; at++) {
        cluster_disk_complete(disk, at);
    }
}

bool cluster_disk_holds(const struct cluster_node *node, struct raft_entry_id id)
{
    if (id.index <= node->checkpoint.id.index) {
        return true;
    }
    const struct cluster_image *image = &node->disk.images[id.index];
    return image->position != 0 && image->term == id.term;
}

bool cluster_disk_has_chain(struct cluster_node *node, uint64_t index)
{
    struct cluster_disk *disk = &node->disk;
    struct raft_entry_id base = node->checkpoint.id;
    if (disk->chain_last < base.index) {
        disk->chain_last = base.index;
    }
    while (disk->chain_last < index) {
        const struct cluster_image *image = &disk->images[disk->chain_last + 1];
        uint64_t term = disk->chain_last == base.index ? base.term : image[-1].term;
        if (image->position == 0 || image->prev_term != term) {
            return false;
        }
        disk->chain_last++;
    }
    return true;
}
