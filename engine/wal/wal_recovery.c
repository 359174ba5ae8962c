// How the log is found in a circular file, and what becomes of each bad block in it.
//
//   1. Survey: every block of the file that is a whole header of ours tells facts that never become
//   wrong: what had been
//      given up (tail), what was durable, which sequences and boots existed. Take the largest of
//      each.
//   2. From the tail, one lap: a batch counts when its header says exactly this position and its
//   body is sound.
//      Batches of an older boot behind the place where a newer boot began to write are dropped.
//   3. Walk: each batch names the sequence before it. Where the chain breaks, or ends, the decision
//   table decides.
//
// The whole lap is looked at, not only the in-flight window: a batch that is found anywhere counts,
// and one whose durable mark lies above a hole shows that the hole is a fault.
#include "engine/wal/wal_recovery.h"

#include "engine/base/mark.h"
#include "engine/wal/wal_blocking.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    SEQUENCE_JUMP = 64, // above WAL_IN_FLIGHT_MAX: no sequence of a torn batch is used again
    SPARE_BLOCKS = 4,   // for the marks by which a full log gets room again
};

// --- the decision table ---

enum { NO, YES, ANY };

struct row {
    uint8_t readable, ours, placed, current, sound, marked, followed;
    enum wal_decision decision;
    const char *what;
};

static const struct row rows[] = {
    // readable ours placed current sound marked followed
    {YES, YES, YES, YES, YES, ANY, ANY, WAL_DECIDE_REPLAY, "a batch"},
    {YES, YES, YES, YES, NO, YES, ANY, WAL_DECIDE_FAULTY, "a batch with a damaged body"},
    {YES, YES, YES, YES, NO, NO, YES, WAL_DECIDE_VOID, "a torn batch"},
    {YES, YES, YES, YES, NO, NO, NO, WAL_DECIDE_TORN, "a torn batch"},
    {YES, YES, YES, NO, ANY, YES, ANY, WAL_DECIDE_FAULTY, "a batch of an earlier start"},
    {YES, YES, YES, NO, ANY, NO, YES, WAL_DECIDE_VOID, "a batch of an earlier start"},
    {YES, YES, YES, NO, ANY, NO, NO, WAL_DECIDE_END, "a batch of an earlier start"},
    {YES, YES, NO, ANY, ANY, YES, ANY, WAL_DECIDE_FAULTY, "a batch of another place or lap"},
    {YES, YES, NO, ANY, ANY, NO, YES, WAL_DECIDE_VOID, "a batch of another place or lap"},
    {YES, YES, NO, ANY, ANY, NO, NO, WAL_DECIDE_END, "a batch of another place or lap"},
    {YES, NO, ANY, ANY, ANY, YES, ANY, WAL_DECIDE_FAULTY, "a batch of another log"},
    {YES, NO, ANY, ANY, ANY, NO, YES, WAL_DECIDE_VOID, "a batch of another log"},
    {YES, NO, ANY, ANY, ANY, NO, NO, WAL_DECIDE_END, "a batch of another log"},
    {NO, ANY, ANY, ANY, ANY, YES, ANY, WAL_DECIDE_FAULTY, "no readable header"},
    {NO, ANY, ANY, ANY, ANY, NO, YES, WAL_DECIDE_VOID, "no readable header"},
    {NO, ANY, ANY, ANY, ANY, NO, NO, WAL_DECIDE_END, "no readable header"},
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static bool meets(uint8_t wanted, bool is)
{
    return wanted == ANY || (wanted == YES) == is;
}

static bool row_meets(const struct row *row, const struct wal_place *place)
{
    return meets(row->readable, place->is_readable) && meets(row->ours, place->is_ours) &&
           meets(row->placed, place->is_placed) && meets(row->current, place->is_current) &&
           meets(row->sound, place->is_sound) && meets(row->marked, place->is_marked) &&
           meets(row->followed, place->is_followed);
}

uint32_t wal_recovery_rows(const struct wal_place *place)
{
    uint32_t count = 0;
    for (size_t i = 0; i < ROWS; i++) {
        count += row_meets(&rows[i], place);
    }
    return count;
}

enum wal_decision wal_recovery_decide(const struct wal_place *place, const char **what)
{
    size_t i = 0;
    while (!row_meets(&rows[i], place)) {
        i++;
        ASSERT_CMP(i, <, ROWS);
    }
    *what = rows[i].what;
    return rows[i].decision;
}

// --- what the file says ---

// Largest of what any whole header of ours says, and the state of the walk.
struct scan {
    struct wal_opening *opening;
    struct wal *wal;
    uint64_t tail;
    uint64_t durable_position, durable_sequence;
    uint64_t sequence_max, boot_max;
    uint64_t own_headers, foreign_headers;
    struct wal_batch_header foreign;

    uint64_t end;       // of the last batch replayed; at first the tail
    uint64_t sequence;  // of it
    uint64_t boot;      // of it; the largest so far, as boots do not fall along the log
    uint64_t last_tail; // what the last batch says of the tail
    uint64_t last_mark; // position of the last batch, if it is a mark that may be overwritten, or 0
    uint64_t before_last; // sequence of the batch before it
    bool is_first;        // nothing replayed yet
    bool is_end_faulty;
    int error; // of the disk, while mending
};

static const struct wal_batch_header *header_at(const struct wal *wal, uint64_t position)
{
    return (const void *)(wal->arena + position % wal->log_bytes);
}

static void survey(struct scan *scan)
{
    struct wal *wal = scan->wal;
    for (uint64_t offset = 0; offset < wal->log_bytes; offset += WAL_BLOCK_BYTES) {
        const struct wal_batch_header *header = header_at(wal, offset);
        if (!wal_layout_header_is_whole(header)) {
            continue;
        }
        if (!wal_layout_header_is_ours(header, &wal->identity)) {
            if (header->cluster != wal->identity.cluster || header->node != wal->identity.node ||
                header->reactor != wal->identity.reactor) {
                scan->foreign_headers++;
                scan->foreign = *header;
            }
            continue;
        }
        scan->own_headers++;
        scan->tail = header->tail > scan->tail ? header->tail : scan->tail;
        if (header->durable_position > scan->durable_position) {
            scan->durable_position = header->durable_position;
            scan->durable_sequence = header->durable_sequence;
        }
        if (header->sequence > scan->sequence_max) {
            scan->sequence_max = header->sequence;
        }
        scan->boot_max = header->boot > scan->boot_max ? header->boot : scan->boot_max;
    }
    scan->tail &= ~(wal->segment_bytes - 1);
}

static uint64_t block_of(const struct wal *wal, uint64_t position)
{
    return position % wal->log_bytes / WAL_BLOCK_BYTES;
}

static bool is_counted(const struct wal *wal, uint64_t position)
{
    uint64_t block = block_of(wal, position);
    return (wal->sound_blocks[block / 64] >> (block % 64) & 1) != 0;
}

static void set_counted(struct wal *wal, uint64_t position, bool counts)
{
    uint64_t block = block_of(wal, position);
    uint64_t bit = UINT64_C(1) << (block % 64);
    wal->sound_blocks[block / 64] &= ~bit;
    wal->sound_blocks[block / 64] |= counts ? bit : 0;
}

static bool is_placed(const struct wal *wal, const struct wal_batch_header *header,
                      uint64_t position)
{
    uint64_t segment_left = wal->segment_bytes - position % wal->segment_bytes;
    return header->position == position && header->bytes <= segment_left;
}

static bool is_sound_at(const struct wal *wal, uint64_t position)
{
    const struct wal_batch_header *header = header_at(wal, position);
    return wal_layout_header_is_whole(header) &&
           wal_layout_header_is_ours(header, &wal->identity) && is_placed(wal, header, position) &&
           wal_layout_body_is_sound(header, wal->groups_max);
}

static void find_sound(struct scan *scan)
{
    struct wal *wal = scan->wal;
    uint64_t end = scan->tail + wal->log_bytes;
    for (uint64_t position = scan->tail; position < end;) {
        bool is_sound = is_sound_at(wal, position);
        set_counted(wal, position, is_sound);
        position += is_sound ? wal_align(header_at(wal, position)->bytes, WAL_BLOCK_BYTES)
                             : WAL_BLOCK_BYTES;
    }
}

// The next counted batch at or behind a position; the lap's end when there is none.
static uint64_t next_counted(const struct scan *scan, uint64_t position)
{
    uint64_t end = scan->tail + scan->wal->log_bytes;
    while (position < end && !is_counted(scan->wal, position)) {
        position += WAL_BLOCK_BYTES;
    }
    return position;
}

// A later start knew nothing of what an earlier one had in flight behind the place where it began
// to write.
static bool is_outdated(const struct wal_batch_header *header, const struct wal_batch_header *later)
{
    return header->boot < later->boot && header->position >= later->boot_position;
}

// Boots never fall along the log: drop what stands behind a newer boot, then what a newer boot
// behind it outdates.
static void drop_outdated(struct scan *scan)
{
    struct wal *wal = scan->wal;
    uint64_t end = scan->tail + wal->log_bytes;
    uint64_t boot = 0, last = end;
    for (uint64_t at = next_counted(scan, scan->tail); at < end;
         at = next_counted(scan, at + WAL_BLOCK_BYTES)) {
        if (header_at(wal, at)->boot < boot) {
            set_counted(wal, at, false);
            continue;
        }
        boot = header_at(wal, at)->boot;
        last = at;
    }
    if (last == end) {
        return;
    }
    const struct wal_batch_header *later = header_at(wal, last);
    for (uint64_t at = last; at-- > scan->tail;) {
        at &= ~(uint64_t)(WAL_BLOCK_BYTES - 1);
        if (!is_counted(wal, at)) {
            continue;
        }
        if (is_outdated(header_at(wal, at), later)) {
            set_counted(wal, at, false);
        } else {
            later = header_at(wal, at);
        }
    }
}

// --- the walk ---

static struct wal_place look_at(const struct scan *scan, uint64_t position,
                                const struct wal_batch_header *follower)
{
    const struct wal *wal = scan->wal;
    struct wal_place place = {.is_marked = scan->durable_position > position,
                              .is_followed = follower != NULL};
    if (position == scan->tail + wal->log_bytes) {
        return place;
    }
    const struct wal_batch_header *header = header_at(wal, position);
    place.is_readable = wal_layout_header_is_whole(header);
    place.is_ours = place.is_readable && wal_layout_header_is_ours(header, &wal->identity);
    place.is_placed = place.is_ours && is_placed(wal, header, position);
    place.is_current = place.is_placed && header->boot >= scan->boot &&
                       (follower == NULL || !is_outdated(header, follower));
    place.is_sound = false; // sound and current batches are followed by the walk, not looked at
    return place;
}

static void found_faulty(struct scan *scan, uint64_t position, const char *what)
{
    struct wal_recovery *recovery = scan->opening->recovery;
    if (recovery->faulty_batches++ == 0) {
        recovery->faulty_position = position;
        snprintf(scan->opening->reason, scan->opening->reason_bytes,
                 "log: durable entries are missing: %s at position %" PRIu64 " (offset %" PRIu64
                 ")",
                 what, position, position % scan->wal->log_bytes);
    }
    MARK(recovery_finds_damage);
    recovery->verdict = WAL_FAULTY;
}

static void found_torn(struct scan *scan)
{
    struct wal_recovery *recovery = scan->opening->recovery;
    recovery->torn_batches++;
    if (recovery->verdict == WAL_CLEAN) {
        MARK(recovery_finds_a_torn_batch);
        recovery->verdict = WAL_TORN;
    }
}

static void write_void(struct scan *scan, uint64_t position, uint64_t sequence,
                       uint64_t previous_sequence, const struct wal_batch_header *follower)
{
    struct wal *wal = scan->wal;
    uint8_t *block = wal->arena + position % wal->log_bytes;
    struct wal_batch_header *header = (void *)block;
    memset(block, 0, WAL_BLOCK_BYTES);
    MARK(recovery_writes_a_void);
    header->flags = WAL_BATCH_VOID;
    header->boot = follower->boot; // as if written where it stands: boots never fall along the log
    header->boot_position = follower->boot_position;
    header->position = position;
    header->sequence = sequence;
    header->previous_sequence = previous_sequence;
    header->durable_sequence = scan->durable_sequence;
    header->durable_position = scan->durable_position;
    header->tail = scan->tail;
    header->bytes = WAL_BATCH_HEADER_BYTES;
    wal_layout_header_seal(header, &wal->identity);
    int error = wal_blocking_request(wal->disk, DISK_WRITE_DURABLE, wal->log_file, block,
                                     position % wal->log_bytes, WAL_BLOCK_BYTES);
    scan->error = scan->error != 0 ? scan->error : error;
}

// Writes empty batches over a torn hole, so that the next recovery finds an unbroken chain there
// and not, below marks that are yet to come, a fault. Every segment must begin with a batch (the
// tail may come to stand there), hence one for each segment's start in the hole, or one at its
// beginning when there is none. Each stands for at least one batch that was torn, so their
// sequences fit between the neighbours'.
static bool mend_hole(struct scan *scan, uint64_t hole, const struct wal_batch_header *follower)
{
    uint64_t segment_bytes = scan->wal->segment_bytes;
    uint64_t first = wal_align(hole, segment_bytes);
    uint64_t count =
        first < follower->position ? (follower->position - 1 - first) / segment_bytes + 1 : 0;
    first = count == 0 ? hole : first;
    count = count == 0 ? 1 : count;
    if (follower->previous_sequence < scan->sequence + count) {
        return false;
    }
    uint64_t previous = scan->sequence;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t sequence = follower->previous_sequence - (count - 1 - i);
        write_void(scan, first + i * segment_bytes, sequence, previous, follower);
        previous = sequence;
    }
    return true;
}

// The chain breaks at `hole`, and goes on with `follower`.
static void cross_hole(struct scan *scan, uint64_t hole, const struct wal_batch_header *follower)
{
    const char *what;
    struct wal_place place = look_at(scan, hole, follower);
    enum wal_decision decision = wal_recovery_decide(&place, &what);
    if (decision == WAL_DECIDE_VOID && hole < follower->position &&
        mend_hole(scan, hole, follower)) {
        found_torn(scan);
        return;
    }
    found_faulty(scan, hole, what);
}

// A commit floor that stands in the batch at `position`. Along the log they never fall.
static void found_commit(struct wal *wal, uint16_t group, uint64_t commit, uint64_t position)
{
    wal_note_commit(wal, group, commit);
    if (commit == wal->commits[group]) {
        wal->commits_at[group] = position;
    }
}

static void replay(struct scan *scan, const struct wal_batch_header *header)
{
    struct wal *wal = scan->wal;
    struct wal_opening *opening = scan->opening;
    const uint8_t *base = (const uint8_t *)header;
    struct wal_layout_walk walk;
    struct wal_layout_item item;
    wal_layout_walk_init(&walk, base + WAL_BATCH_HEADER_BYTES, base + header->bytes,
                         wal->groups_max);
    for (;;) {
        enum wal_layout_step step = wal_layout_walk_next(&walk, &item);
        if (step == WAL_STEP_END) {
            break;
        }
        ASSERT(step != WAL_STEP_BAD); // the body was sound
        if (step == WAL_STEP_COMMIT) {
            found_commit(wal, item.group, item.id.index, header->position);
            continue;
        }
        struct wal_record record = {
            .kind = WAL_RECORD_TRUNCATE, .group = item.group, .id = item.id};
        if (step == WAL_STEP_ENTRY) {
            record.kind = WAL_RECORD_ENTRY;
            record.is_staged = item.is_staged;
            record.prev_term = item.prev_term;
            record.head = item.head;
            record.body = header->position + (uint64_t)(item.payload - base);
            found_commit(wal, item.group, item.run_commit, header->position);
            wal_segment_note(wal, header->position, item.group, item.id.index);
        } else if (step == WAL_STEP_SYNC) {
            record.kind = WAL_RECORD_SYNC;
            record.sync = item.sync;
        }
        opening->recovery->records++;
        if (opening->visitor != NULL) {
            opening->visitor(opening->context, &record);
        }
    }
    opening->recovery->batches++;
    bool may_go =
        (header->flags & WAL_BATCH_MARK) != 0 && !scan->is_first && header->tail == scan->last_tail;
    scan->last_mark = may_go ? header->position : 0;
    scan->before_last = scan->sequence;
    scan->last_tail = header->tail;
    scan->end = header->position + wal_align(header->bytes, WAL_BLOCK_BYTES);
    scan->sequence = header->sequence;
    scan->boot = header->boot;
    scan->is_first = false;
}

static void walk_log(struct scan *scan)
{
    const struct wal *wal = scan->wal;
    uint64_t lap_end = scan->tail + wal->log_bytes;
    scan->end = scan->tail;
    scan->is_first = true;
    for (uint64_t at = next_counted(scan, scan->tail); at < lap_end;
         at = next_counted(scan, scan->end)) {
        const struct wal_batch_header *header = header_at(wal, at);
        bool is_chained =
            scan->is_first ? at == scan->tail : header->previous_sequence == scan->sequence;
        if (!is_chained) {
            cross_hole(scan, scan->end, header);
        }
        replay(scan, header);
    }
}

// What lies where the log ends. A log that knows nothing of the newest start it was opened for has
// lost its end.
static void judge_end(struct scan *scan)
{
    const char *what;
    struct wal_place place = look_at(scan, scan->end, NULL);
    place.is_marked = place.is_marked || scan->boot_max < scan->opening->super.log_boot;
    switch (wal_recovery_decide(&place, &what)) {
    case WAL_DECIDE_TORN:
        found_torn(scan);
        break;
    case WAL_DECIDE_FAULTY:
        scan->is_end_faulty = true;
        found_faulty(scan, scan->end, what);
        break;
    case WAL_DECIDE_REPLAY:
    case WAL_DECIDE_VOID:
    case WAL_DECIDE_END:
        break;
    }
}

// --- going on ---

// A log that is full but for its last blocks would lose one more to the opening mark of every
// start: the mark at its end is overwritten instead, if there is one. Until the new one is durable,
// the superblock does not ask for any.
static int take_place_of_last_mark(struct scan *scan, uint64_t *head)
{
    uint64_t limit = scan->tail + scan->wal->log_bytes;
    if (scan->last_mark == 0 || scan->is_end_faulty ||
        *head + SPARE_BLOCKS * WAL_BLOCK_BYTES <= limit) {
        return 0;
    }
    *head = scan->last_mark;
    scan->sequence = scan->before_last;
    return wal_files_forget_log_boot(scan->opening);
}

// What was read stands in the log, unless it was in the mark that is overwritten.
static void take_commits(struct wal *wal)
{
    wal->commits_dirty = 0;
    for (uint32_t group = 0; group < wal->groups_max; group++) {
        bool stands = wal->commits_at[group] < wal->head;
        wal->commits_noted[group] = stands ? wal->commits[group] : 0;
        wal->commits_dirty += wal->commits[group] != wal->commits_noted[group];
    }
}

// Where writing goes on. Behind a faulty end a block is left out and the chain broken, so that the
// fault stays visible until the tail has passed it.
static int continue_at(struct scan *scan)
{
    struct wal *wal = scan->wal;
    uint64_t head = scan->end;
    if (scan->is_end_faulty) {
        head += WAL_BLOCK_BYTES;
        head = head < scan->durable_position ? scan->durable_position : head;
    }
    int error = take_place_of_last_mark(scan, &head);
    if (error != 0) {
        return error;
    }
    if (head + WAL_BLOCK_BYTES > scan->tail + wal->log_bytes) {
        snprintf(scan->opening->reason, scan->opening->reason_bytes,
                 "log: full to the last block: configure a new log and reset it");
        return -ENOSPC;
    }
    wal->head = head;
    wal->lap_position = head - head % wal->log_bytes;
    wal->boot_position = head;
    wal->sequence_next = scan->sequence_max + SEQUENCE_JUMP;
    wal->sequence_previous = scan->is_end_faulty ? wal->sequence_next - 1 : scan->sequence;
    wal->floor_sequence = wal->sequence_previous;
    wal->floor_position = head; // all that was read is durable: the file was flushed before
    wal->marked_position = head;
    wal->tail = wal->tail_wanted = wal->tail_pending = wal->tail_recorded = scan->tail;
    wal->segments_end = wal_align(head, wal->segment_bytes);
    take_commits(wal);
    return 0;
}

static int write_opening_mark(struct wal *wal)
{
    struct wal_event event;
    wal_batch_mark(wal);
    while (wal->floor < wal->open_next && wal->failed == 0) {
        wal_batch_submit(wal);
        wal->disk->ops->kick(wal->disk);
        wal_poll(wal, &event, 1);
    }
    *wal->counters = (struct wal_counters){0};
    return wal->failed;
}

static int read_log(struct wal_opening *opening)
{
    struct wal *wal = opening->wal;
    uint64_t bad_blocks = 0;
    // What a killed process left in the device's cache must be durable before it is believed.
    int error = wal_blocking_request(wal->disk, DISK_FLUSH, wal->log_file, NULL, 0, 0);
    if (error == 0) {
        error = wal_blocking_read(wal->disk, wal->log_file, wal->arena, wal->log_bytes, &bad_blocks,
                                  opening->progress, opening->context);
    }
    return error;
}

static int refuse_foreign(struct scan *scan)
{
    snprintf(scan->opening->reason, scan->opening->reason_bytes,
             "log: the log file belongs to cluster %" PRIu64
             " node %u reactor %u: put the right one back",
             scan->foreign.cluster, scan->foreign.node, scan->foreign.reactor);
    return -EXDEV;
}

int wal_recovery_run(struct wal_opening *opening)
{
    struct wal *wal = opening->wal;
    struct scan scan = {.opening = opening, .wal = wal};
    int error = 0;
    if (!opening->config->reset_log) {
        error = read_log(opening);
    }
    if (error == 0 && !opening->config->reset_log) {
        survey(&scan);
        if (scan.own_headers == 0 && scan.foreign_headers > 0) {
            return refuse_foreign(&scan);
        }
        find_sound(&scan);
        drop_outdated(&scan);
        walk_log(&scan);
        judge_end(&scan);
        error = scan.error;
    }
    if (error == 0) {
        error = continue_at(&scan);
    }
    if (error == 0) {
        error = write_opening_mark(wal);
    }
    if (error != 0 && error != -ENOSPC) {
        snprintf(opening->reason, opening->reason_bytes, "log: reading or mending the log file: %s",
                 strerror(-error));
    }
    return error;
}
