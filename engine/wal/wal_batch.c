// Batches from the first record to the durable floor: open, seal, write, complete, report.
//
// Alone writes floor, submit_next, open_next, head and the durable marks. The header is finished
// when the batch goes to the disk, not when it is sealed: only then is it known what is durable and
// what was given up.
#include "engine/wal/wal_state.h"

#include <string.h>

enum {
    COMMIT_SCAN_MAX = 512, // groups looked at for one batch's commit floors
    BARE_RECORD_BYTES_MIN = 1024,
};

void wal_batch_open(struct wal *wal, uint32_t need)
{
    ASSERT(wal->at == NULL);
    need += wal->header_bytes;
    uint64_t segment_end = (wal->head | (wal->segment_bytes - 1)) + 1;
    uint64_t position = wal->head + need <= segment_end ? wal->head : segment_end;
    segment_end = (position | (wal->segment_bytes - 1)) + 1;
    if (position - wal->lap_position >= wal->log_bytes) {
        wal->lap_position += wal->log_bytes;
    }
    ASSERT_CMP(wal_align(position + need, wal->block_bytes), <=,
               wal->tail_recorded + wal->log_bytes);
    ASSERT_CMP(wal->open_next - wal->floor, <, WAL_BATCHES - 1);
    if (position >= wal->segments_end) { // a segment is entered: its row is of the lap before
        wal->segments_end = segment_end;
        memset(wal_segment_row(wal, position), 0, wal->groups_max * sizeof(uint64_t));
    }
    wal->open_position = position;
    wal->base = wal->arena + wal_offset(wal, position);
    wal->at = wal->base + wal->header_bytes;
    wal->limit = wal->base + (segment_end - position);
    wal->seal_at = (uint64_t)(wal->limit - wal->base) > wal->batch_bytes_max
                       ? wal->base + wal->batch_bytes_max
                       : wal->limit;
    wal->run_next = 0;
    wal->run_at = NULL;
    wal->open_records = 0;
    wal->open_is_barrier = false;
}

void wal_batch_close_run(struct wal *wal)
{
    if (wal->run_at == NULL) {
        return;
    }
    uint32_t bytes = (uint32_t)(wal->at - wal->run_at) - WAL_RUN_BYTES;
    memcpy(wal->run_at + offsetof(struct wal_run, count), &wal->run_count, sizeof(uint32_t));
    memcpy(wal->run_at + offsetof(struct wal_run, bytes), &bytes, sizeof(bytes));
    memcpy(wal->run_at + offsetof(struct wal_run, commit), &wal->commits[wal->run_group],
           sizeof(uint64_t));
    wal->open_records += wal->run_count;
    wal_segment_note(wal, wal->open_position, wal->run_group, wal->run_next - 1);
    wal->run_at = NULL;
    wal->run_next = 0;
}

// Commit floors travel in what would be padding, so they cost nothing; round robin over the groups
// that moved.
static void note_commits(struct wal *wal, const uint8_t *end)
{
    uint32_t scan = wal->groups_max < COMMIT_SCAN_MAX ? wal->groups_max : COMMIT_SCAN_MAX;
    while (wal->commits_dirty > 0 && scan-- > 0 && (size_t)(end - wal->at) >= WAL_NOTE_BYTES) {
        uint32_t group = wal->commit_cursor;
        wal->commit_cursor = group + 1 == wal->groups_max ? 0 : group + 1;
        if (wal->commits[group] == wal->commits_noted[group]) {
            continue;
        }
        struct wal_note note = {
            .index = wal->commits[group], .group = (uint16_t)group, .tag = WAL_TAG_COMMIT};
        memcpy(wal->at, &note, sizeof(note));
        wal->at += sizeof(note);
        wal->commits_noted[group] = wal->commits[group];
        wal->commits_at[group] = wal->open_position;
        wal->commits_dirty--;
    }
}

// Are the records so large that their payloads are better left to the entries' own checksums? Over
// small ones, in the cache at seal time, one long CRC is cheaper than many short ones (README.md).
static bool is_better_bare(const struct wal_batch *batch)
{
    return batch->bytes / BARE_RECORD_BYTES_MIN >= batch->records;
}

// What of the header is known when the batch is closed.
static void begin_header(struct wal *wal, const struct wal_batch *batch)
{
    struct wal_batch_header *header = (struct wal_batch_header *)(void *)wal->base;
    memset(header, 0, sizeof(*header));
    header->position = batch->position;
    header->sequence = batch->sequence;
    header->previous_sequence = wal->sequence_previous;
    header->bytes = batch->bytes;
    header->records = batch->records;
    header->flags = batch->is_mark ? WAL_BATCH_MARK : is_better_bare(batch) ? WAL_BATCH_BARE : 0;
    header->body_crc = wal_layout_body_crc(header, wal->groups_max);
}

void wal_batch_seal(struct wal *wal)
{
    ASSERT(wal->at != NULL);
    wal_batch_close_run(wal);
    uint8_t *end = wal->base + wal_align((uint64_t)(wal->at - wal->base), wal->block_bytes);
    if (!wal->is_volatile) {
        note_commits(wal, end);
        memset(wal->at, 0, (size_t)(end - wal->at));
    }
    struct wal_batch *batch = wal_batch_of(wal, wal->open_next);
    *batch = (struct wal_batch){
        .position = wal->open_position,
        .sequence = wal->sequence_next,
        .bytes = (uint32_t)(wal->at - wal->base),
        .padded = (uint32_t)(end - wal->base),
        .records = wal->open_records,
        .reported = wal->header_bytes,
        .state = WAL_BATCH_SEALED,
        .is_barrier = wal->open_is_barrier,
        .is_mark = wal->open_records == 0,
    };
    if (!wal->is_volatile) {
        begin_header(wal, batch);
    }
    wal->sequence_previous = batch->sequence;
    wal->sequence_next++;
    wal->open_next++;
    wal->head = batch->position + batch->padded;
    wal->at = NULL;
    wal->limit = NULL;
    wal->counters->batches++;
    wal->counters->records += batch->records;
    wal->counters->padding_bytes += batch->padded - batch->bytes;
}

void wal_batch_mark(struct wal *wal)
{
    wal_batch_open(wal, 0);
    wal_batch_seal(wal);
    wal->counters->marks++;
}

static void finish_header(struct wal *wal, struct wal_batch *batch)
{
    struct wal_batch_header *header =
        (struct wal_batch_header *)(void *)(wal->arena + wal_offset(wal, batch->position));
    batch->tail = wal->tail;
    header->boot = wal->boot;
    header->boot_position = wal->boot_position;
    header->durable_sequence = wal->floor_sequence;
    header->durable_position = wal->floor_position;
    header->tail = wal->tail;
    wal_layout_header_seal(header, &wal->identity);
}

bool wal_batch_may_submit(const struct wal *wal)
{
    return wal->is_volatile ||
           (wal->batches_out < wal->in_flight_max && wal->floor >= wal->barrier_next);
}

// Result: false when the disk's queue is full.
static bool write_batch(struct wal *wal, struct wal_batch *batch)
{
    finish_header(wal, batch);
    struct disk_request request = {
        .op = DISK_WRITE_DURABLE,
        .file = wal->log_file,
        .data = wal->arena + wal_offset(wal, batch->position),
        .offset = wal_offset(wal, batch->position),
        .bytes = batch->padded,
        .tag = WAL_TAG_BATCH | (uint32_t)wal->submit_next,
    };
    if (!wal->disk->ops->submit(wal->disk, &request)) {
        return false;
    }
    batch->state = WAL_BATCH_IN_FLIGHT;
    wal->marked_position = wal->floor_position;
    wal->requests_out++;
    wal->batches_out++;
    wal->counters->bytes_written += batch->padded;
    return true;
}

void wal_batch_submit(struct wal *wal)
{
    while (wal->submit_next < wal->open_next && wal_batch_may_submit(wal)) {
        struct wal_batch *batch = wal_batch_of(wal, wal->submit_next);
        if (wal->is_volatile) {
            batch->state = WAL_BATCH_DONE;
        } else if (!write_batch(wal, batch)) {
            return;
        }
        wal->submit_next++;
        if (batch->is_barrier && !wal->is_volatile) {
            wal->barrier_next = wal->submit_next;
        }
    }
    if (wal->batches_out > wal->counters->in_flight_peak) {
        wal->counters->in_flight_peak = wal->batches_out;
    }
}

void wal_batch_complete(struct wal *wal, uint32_t slot_low, int32_t result)
{
    struct wal_batch *batch = wal_batch_of(wal, slot_low);
    ASSERT_CMP(batch->state, ==, WAL_BATCH_IN_FLIGHT);
    batch->state = WAL_BATCH_DONE;
    wal->batches_out--;
    if (result != 0) {
        wal_fail(wal, result);
    }
}

// The event of the record at `at`, if it has one. Result: bytes to the next record.
static uint32_t report_record(const uint8_t *at, struct wal_event *event, uint32_t *count)
{
    struct wal_run run;
    struct wal_sync sync;
    switch (at[offsetof(struct wal_run, tag)]) {
    case WAL_TAG_RUN:
        memcpy(&run, at, sizeof(run));
        *event = (struct wal_event){
            .kind = WAL_EVENT_ENTRIES,
            .group = run.group,
            .epoch = run.epoch,
            .range = {run.first, run.first + run.count - 1},
        };
        ++*count;
        return WAL_RUN_BYTES + run.bytes;
    case WAL_TAG_SYNC:
        memcpy(&sync, at, sizeof(sync));
        *event =
            (struct wal_event){.kind = WAL_EVENT_SYNC, .group = sync.group, .sync_term = sync.term};
        ++*count;
        return WAL_SYNC_BYTES;
    default:
        return WAL_NOTE_BYTES;
    }
}

// Events are read back from the arena: its records have all of it, so nothing is kept beside.
static uint32_t report_batch(struct wal *wal, struct wal_batch *batch, struct wal_event *events,
                             uint32_t max)
{
    const uint8_t *base = wal->arena + wal_offset(wal, batch->position);
    uint32_t count = 0;
    while (batch->reported < batch->bytes && count < max) {
        batch->reported += report_record(base + batch->reported, &events[count], &count);
    }
    if (batch->reported == batch->bytes) {
        batch->state = WAL_BATCH_REPORTED;
    }
    return count;
}

static void advance_floor(struct wal *wal)
{
    while (wal->floor < wal->submit_next) {
        struct wal_batch *batch = wal_batch_of(wal, wal->floor);
        if (batch->state != WAL_BATCH_REPORTED) {
            break;
        }
        wal->floor++;
        wal->floor_sequence = batch->sequence;
        wal->floor_position = batch->position + batch->padded;
        if (!batch->is_mark) {
            wal->entries_position = wal->floor_position;
        }
        if (batch->tail > wal->tail_recorded) {
            wal->tail_recorded = batch->tail;
        }
    }
    if (wal->tail_wanted > wal->tail) {
        wal_batch_advance_tail(wal);
    }
}

uint32_t wal_batch_report(struct wal *wal, struct wal_event *events, uint32_t max)
{
    uint32_t count = 0;
    for (uint64_t slot = wal->floor; slot < wal->submit_next; slot++) {
        struct wal_batch *batch = wal_batch_of(wal, slot);
        if (batch->state == WAL_BATCH_DONE) {
            count += report_batch(wal, batch, events + count, max - count);
        }
    }
    advance_floor(wal);
    return count;
}

// Commit floors that only stand in what is given up must be noted again.
static void note_lost_commits(struct wal *wal)
{
    for (uint32_t group = 0; group < wal->groups_max; group++) {
        if (wal->commits_noted[group] != 0 && wal->commits_at[group] < wal->tail) {
            wal->commits_dirty += wal->commits[group] == wal->commits_noted[group];
            wal->commits_noted[group] = 0;
        }
    }
}

static void give_up(struct wal *wal)
{
    uint64_t position = wal->tail_pending & ~(wal->segment_bytes - 1);
    if (position <= wal->tail) {
        return;
    }
    wal->tail = position;
    if (wal->is_volatile) {
        wal->tail_recorded = position;
    } else {
        note_lost_commits(wal);
    }
}

// One word of the caller is carried out after the other: were the newest one waited for, a log that
// is never at rest would wait for ever.
void wal_batch_advance_tail(struct wal *wal)
{
    if (wal->floor_position < wal->tail_after) {
        return;
    }
    give_up(wal);
    if (wal->tail_wanted > wal->tail_pending) {
        wal->tail_pending = wal->tail_wanted;
        wal->tail_after = wal_head(wal);
        if (wal->floor_position >= wal->tail_after) {
            give_up(wal);
        }
    }
}
