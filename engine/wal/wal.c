// The public calls: memory, opening and closing, and the path of an entry into the open batch.
#include "engine/wal/wal.h"

#include "engine/core/entry_crc.h"
#include "engine/wal/wal_files.h"
#include "engine/wal/wal_recovery.h"
#include "engine/wal/wal_state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { COMPLETIONS_MAX = 64, SEGMENT_BYTES_MIN = 16384, ENTRIES_PER_SEGMENT_MIN = 4 };
enum { PREFETCH_BYTES = 768, SPARE_BLOCKS = 2 };

// --- memory ---

static uint64_t blocks_of(const struct wal_config *config)
{
    return config->log_bytes / WAL_BLOCK_BYTES;
}

static uint64_t segments_of(const struct wal_config *config)
{
    return config->segment_bytes == 0 ? 0 : config->log_bytes / config->segment_bytes;
}

// Carves `bytes` from *at, aligned to a block. With base NULL it only counts.
static void *carve(uintptr_t *at, uint64_t bytes)
{
    uintptr_t start = (uintptr_t)wal_align(*at, WAL_BLOCK_BYTES);
    *at = start + bytes;
    return (void *)start;
}

static struct wal *lay_out(uintptr_t memory, const struct wal_config *config, uintptr_t *end,
                           bool is_real)
{
    *end = memory;
    struct wal parts = {0};
    struct wal *wal = carve(end, sizeof(*wal));
    parts.hard_buffers = carve(end, (uint64_t)WAL_HARD_WRITES_MAX * WAL_BLOCK_BYTES);
    parts.hards = carve(end, config->groups_max * sizeof(struct wal_hard));
    parts.commits = carve(end, config->groups_max * sizeof(uint64_t));
    parts.commits_noted = carve(end, config->groups_max * sizeof(uint64_t));
    parts.commits_at = carve(end, config->groups_max * sizeof(uint64_t));
    parts.is_staged = carve(end, config->groups_max * sizeof(bool));
    parts.segment_last = carve(end, segments_of(config) * config->groups_max * sizeof(uint64_t));
    parts.sound_blocks = carve(end, blocks_of(config) / 8 + sizeof(uint64_t));
    parts.counters = carve(end, sizeof(struct wal_counters));
    if (is_real) {
        memset((void *)memory, 0, *end - memory);
        *wal = parts;
    }
    return wal;
}

size_t wal_memory_bytes(const struct wal_config *config)
{
    uintptr_t end;
    lay_out(0, config, &end, false);
    return end + WAL_BLOCK_BYTES;
}

// --- opening ---

static const char *config_fault(const struct wal_config *config)
{
    if (config->groups_max == 0 || config->groups_max > RAFT_GROUPS_MAX) {
        return "groups_max must be 1 to 4096";
    }
    if (config->segment_bytes < SEGMENT_BYTES_MIN || config->segment_bytes > UINT32_MAX / 2 ||
        (config->segment_bytes & (config->segment_bytes - 1)) != 0) {
        return "segment size must be a power of two from 16 KiB to 1 GiB";
    }
    if (config->log_bytes % config->segment_bytes != 0 ||
        config->log_bytes / config->segment_bytes < 2) {
        return "log size must be a multiple of the segment size, at least two";
    }
    if (config->batch_bytes_max < WAL_BLOCK_BYTES) {
        return "batch size must be at least 4096";
    }
    if (config->in_flight_max == 0 || config->in_flight_max > WAL_IN_FLIGHT_MAX) {
        return "writes in flight must be 1 to 32";
    }
    if (config->arena == NULL || (uintptr_t)config->arena % WAL_BLOCK_BYTES != 0) {
        return "arena must be aligned to 4096";
    }
    if (config->disk->block_bytes == 0 || WAL_BLOCK_BYTES % config->disk->block_bytes != 0) {
        return "device blocks larger than 4096 bytes are not supported";
    }
    return NULL;
}

static uint64_t reserve_bytes(const struct wal_config *config)
{
    uint64_t blocks = config->log_bytes / 64 / WAL_BLOCK_BYTES;
    blocks = blocks < WAL_RESERVE_BLOCKS_MIN ? WAL_RESERVE_BLOCKS_MIN : blocks;
    blocks = blocks > WAL_RESERVE_BLOCKS_MAX ? WAL_RESERVE_BLOCKS_MAX : blocks;
    return config->is_volatile ? 0 : blocks * WAL_BLOCK_BYTES;
}

static void init(struct wal *wal, const struct wal_config *config)
{
    wal->is_volatile = config->is_volatile;
    wal->header_bytes = config->is_volatile ? 0 : WAL_BATCH_HEADER_BYTES;
    wal->block_bytes = config->is_volatile ? WAL_VOLATILE_BLOCK_BYTES : WAL_BLOCK_BYTES;
    wal->arena = config->arena;
    wal->log_bytes = config->log_bytes;
    wal->segment_bytes = config->segment_bytes;
    wal->batch_bytes_max = config->batch_bytes_max;
    wal->batch_shift = 31 - (uint32_t)__builtin_clz(config->batch_bytes_max);
    wal->reserve_bytes = reserve_bytes(config);
    uint64_t quarter = config->segment_bytes / ENTRIES_PER_SEGMENT_MIN;
    wal->entry_bytes_max =
        quarter < RAFT_PAYLOAD_BYTES_MAX ? (uint32_t)quarter : RAFT_PAYLOAD_BYTES_MAX;
    wal->in_flight_max = config->in_flight_max;
    wal->durable_mark_delay_ns = config->durable_mark_delay_ns;
    wal->groups_max = config->groups_max;
    wal->disk = config->disk;
    wal->identity = (struct wal_identity){
        .cluster = config->cluster, .node = config->node, .reactor = config->reactor};
    wal->sequence_next = 1;
    wal_hard_init(wal);
}

int wal_open(struct wal **result, void *memory, const struct wal_config *config,
             wal_visitor *visitor, void *context,
             void (*progress)(void *context, uint64_t done, uint64_t total),
             struct wal_recovery *recovery, char *reason, size_t reason_bytes)
{
    uintptr_t end;
    *recovery = (struct wal_recovery){0};
    const char *fault = config_fault(config);
    if (fault != NULL) {
        snprintf(reason, reason_bytes, "log: %s", fault);
        return -EINVAL;
    }
    struct wal *wal = lay_out((uintptr_t)memory, config, &end, true);
    init(wal, config);
    struct wal_opening opening = {.wal = wal,
                                  .config = config,
                                  .visitor = visitor,
                                  .context = context,
                                  .progress = progress,
                                  .recovery = recovery,
                                  .reason = reason,
                                  .reason_bytes = reason_bytes};
    int error = wal_files_open(&opening);
    if (error == 0 && !config->is_volatile) {
        error = wal_recovery_run(&opening);
    }
    if (error == 0) {
        error = wal_files_opened(&opening);
    }
    if (error != 0) {
        wal_files_close(wal);
        return error;
    }
    recovery->boot = wal->boot;
    *result = wal;
    return 0;
}

void wal_close(struct wal *wal)
{
    struct wal_event events[COMPLETIONS_MAX];
    while (wal->requests_out > 0) {
        wal->disk->ops->kick(wal->disk);
        wal_poll(wal, events, COMPLETIONS_MAX);
    }
    wal_files_close(wal);
}

// --- room ---

uint64_t wal_head(const struct wal *wal)
{
    return wal->at == NULL ? wal->head : wal->open_position + (uint64_t)(wal->at - wal->base);
}

uint64_t wal_tail(const struct wal *wal)
{
    return wal->tail;
}

uint64_t wal_free_bytes(const struct wal *wal)
{
    uint64_t used = wal_head(wal) + wal->reserve_bytes - wal->tail_recorded;
    return used < wal->log_bytes ? wal->log_bytes - used : 0;
}

// The worst case: every entry opens a run, batches end at batch_bytes_max (or behind each record,
// where records are larger than that), and at each segment's end the largest entry that may be
// among them does not fit any more.
bool wal_has_room(const struct wal *wal, uint32_t records, uint64_t payload_bytes)
{
    uint64_t largest = payload_bytes < wal->entry_bytes_max ? payload_bytes : wal->entry_bytes_max;
    uint64_t records_bytes =
        payload_bytes + (uint64_t)records * (WAL_RECORD_OVERHEAD_BYTES + WAL_RUN_BYTES);
    uint64_t around = wal->header_bytes + wal->block_bytes;
    uint64_t borders = records_bytes / wal->segment_bytes + 1;
    uint64_t full = records_bytes >> wal->batch_shift;
    uint64_t batches = (full < records ? full : records) + 1 + borders;
    uint64_t waste = largest + WAL_RECORD_OVERHEAD_BYTES + WAL_RUN_BYTES + around;
    uint64_t need = records_bytes + batches * around + borders * waste;
    if (need <= wal_free_bytes(wal) && wal->failed == 0 &&
        wal->open_next - wal->floor + batches + 1 < WAL_BATCHES - 1 &&
        payload_bytes <= (uint64_t)records * wal->entry_bytes_max) {
        return true;
    }
    wal->counters->full_refusals++;
    return false;
}

void wal_advance_tail(struct wal *wal, uint64_t position)
{
    ASSERT_CMP(position, <=, wal_head(wal));
    if (position > wal->tail_wanted) {
        wal->tail_wanted = position;
        wal_batch_advance_tail(wal);
    }
}

uint64_t wal_oldest(const struct wal *wal)
{
    return wal->tail_wanted & ~(wal->segment_bytes - 1);
}

uint64_t wal_last_in_segment(const struct wal *wal, uint64_t position, uint16_t group)
{
    ASSERT_CMP(position, <, wal->segments_end);
    return wal_segment_row(wal, position)[group];
}

// --- appending ---

static void open_run(struct wal *wal, uint16_t group, uint32_t epoch, struct raft_entry_id id,
                     uint64_t prev_term)
{
    ASSERT_CMP(group, <, wal->groups_max);
    ASSERT(id.term >= 1 && id.term <= RAFT_TERM_MAX);
    ASSERT(id.index >= 1 && id.index <= RAFT_INDEX_MAX);
    struct wal_run run = {.first = id.index,
                          .term = id.term,
                          .group = group,
                          .flags = wal->is_staged[group] ? WAL_RUN_STAGED : 0,
                          .tag = WAL_TAG_RUN,
                          .prev_term = prev_term,
                          .epoch = epoch};
    memcpy(wal->at, &run, sizeof(run));
    wal->run_at = wal->at;
    wal->at += sizeof(run);
    wal->run_group = group;
    wal->run_epoch = epoch;
    wal->run_term = id.term;
    wal->run_next = id.index;
    wal->run_count = 0;
}

static bool continues_run(const struct wal *wal, uint16_t group, uint32_t epoch,
                          struct raft_entry_id id, uint64_t prev_term)
{
    return id.index == wal->run_next && id.term == wal->run_term && group == wal->run_group &&
           epoch == wal->run_epoch && (prev_term == id.term || wal->run_count == 0);
}

// Makes sure that a batch with room is open and in it a run that the entry continues.
static void prepare(struct wal *wal, uint16_t group, uint32_t epoch, struct raft_entry_id id,
                    uint64_t prev_term, uint32_t bytes)
{
    uint32_t need = WAL_RUN_BYTES + WAL_RECORD_OVERHEAD_BYTES + bytes;
    ASSERT_CMP(bytes, <=, wal->entry_bytes_max);
    if (wal->at != NULL && (size_t)(wal->limit - wal->at) < need) {
        wal_batch_seal(wal);
    }
    if (wal->at == NULL) {
        wal_batch_open(wal, need);
    }
    if (!continues_run(wal, group, epoch, id, prev_term) || wal->run_at == NULL) {
        wal_batch_close_run(wal);
        open_run(wal, group, epoch, id, prev_term);
    }
}

// Writes records back to back at `at`, until the batch is to be sealed or the next one does not
// fit. Result: how many, at least one; the caller knows that the first fits.
static uint32_t put_records(struct wal *wal, const struct raft_entry_head *heads,
                            const uint8_t *const *payloads, uint32_t count)
{
    const uint8_t *limit = wal->limit, *seal_at = wal->seal_at;
    uint8_t *at = wal->at;
    uint32_t put = 0;
    do {
        const struct raft_entry_head *head = &heads[put];
        __builtin_prefetch(at + PREFETCH_BYTES, 1); // the arena was last touched a lap ago
        raft_entry_head_pack(at, head);
        at += WAL_RECORD_OVERHEAD_BYTES;
        if (head->bytes != 0) {
            memcpy(at, payloads[put], head->bytes);
            at += head->bytes;
        }
        put++;
    } while (put < count && at < seal_at &&
             (size_t)(limit - at) >= WAL_RECORD_OVERHEAD_BYTES + (size_t)heads[put].bytes);
    wal->counters->payload_bytes +=
        (uint64_t)(at - wal->at) - (uint64_t)put * WAL_RECORD_OVERHEAD_BYTES;
    wal->at = at;
    return put;
}

uint32_t wal_append_run(struct wal *wal, uint16_t group, uint32_t epoch, struct raft_entry_id id,
                        uint64_t prev_term, const struct raft_entry_head *heads,
                        const uint8_t *const *payloads, uint32_t count, uint64_t *body)
{
    ASSERT_CMP(count, >, 0);
    if (!continues_run(wal, group, epoch, id, prev_term) ||
        (size_t)(wal->limit - wal->at) < WAL_RECORD_OVERHEAD_BYTES + (size_t)heads[0].bytes) {
        prepare(wal, group, epoch, id, prev_term, heads[0].bytes);
    }
    *body = wal->open_position + (uint64_t)(wal->at - wal->base) + WAL_RECORD_OVERHEAD_BYTES;
    uint32_t put = put_records(wal, heads, payloads, count);
    wal->run_next += put;
    wal->run_count += put;
    if (wal->at >= wal->seal_at) {
        wal_batch_seal(wal);
    }
    return put;
}

uint64_t wal_append(struct wal *wal, uint16_t group, uint32_t epoch, struct raft_entry_id id,
                    uint64_t prev_term, const struct raft_entry_head *head, const void *payload)
{
    const uint8_t *const payloads[] = {payload};
    uint64_t body;
    wal_append_run(wal, group, epoch, id, prev_term, head, payloads, 1, &body);
    return body;
}

void wal_stage(struct wal *wal, uint16_t group, bool is_on)
{
    ASSERT_CMP(group, <, wal->groups_max);
    if (wal->is_staged[group] == is_on) {
        return;
    }
    wal->is_staged[group] = is_on;
    if (wal->run_group == group) {
        wal_batch_close_run(wal);
    }
}

// Adds a record that is no entry, and behind whose batch nothing is submitted before it is durable.
static void put_barrier(struct wal *wal, const void *record, uint32_t bytes)
{
    if (wal->at != NULL && (size_t)(wal->limit - wal->at) < bytes) {
        wal_batch_seal(wal);
    }
    if (wal->at == NULL) {
        wal_batch_open(wal, bytes);
    }
    wal_batch_close_run(wal);
    memcpy(wal->at, record, bytes);
    wal->at += bytes;
    wal->open_records++;
    wal->open_is_barrier = true;
    if (wal->at >= wal->seal_at) {
        wal_batch_seal(wal);
    }
}

void wal_truncate(struct wal *wal, uint16_t group, uint64_t first)
{
    ASSERT_CMP(group, <, wal->groups_max);
    if (wal->is_volatile || wal->failed != 0) {
        return;
    }
    const struct wal_note note = {.index = first, .group = group, .tag = WAL_TAG_TRUNCATE};
    put_barrier(wal, &note, sizeof(note));
    wal->counters->truncates++;
}

void wal_sync(struct wal *wal, uint16_t group, const struct raft_sync *sync)
{
    ASSERT_CMP(group, <, wal->groups_max);
    ASSERT(sync->term >= 1 && sync->term <= RAFT_TERM_MAX);
    ASSERT(sync->keep <= sync->end && sync->end <= RAFT_INDEX_MAX);
    if (wal->failed != 0) {
        return;
    }
    const struct wal_sync record = {.term = sync->term,
                                    .end = sync->end,
                                    .keep = sync->keep,
                                    .group = group,
                                    .tag = WAL_TAG_SYNC};
    put_barrier(wal, &record, sizeof(record));
    wal->counters->syncs++;
}

void wal_note_commit(struct wal *wal, uint16_t group, uint64_t commit)
{
    ASSERT_CMP(group, <, wal->groups_max);
    ASSERT_CMP(commit, <=, RAFT_INDEX_MAX);
    if (commit <= wal->commits[group]) {
        return;
    }
    wal->commits_dirty += wal->commits[group] == wal->commits_noted[group];
    wal->commits[group] = commit;
}

uint64_t wal_recovered_commit(const struct wal *wal, uint16_t group)
{
    return wal->commits[group];
}

const uint8_t *wal_payload(const struct wal *wal, uint64_t body)
{
    return wal->arena + wal_offset(wal, body);
}

const uint8_t *wal_record(const struct wal *wal, uint64_t body)
{
    return wal_payload(wal, body) - WAL_RECORD_OVERHEAD_BYTES;
}

void wal_put_hard_state(struct wal *wal, uint16_t group, struct raft_hard_state state)
{
    wal_hard_put(wal, group, state);
}

struct raft_hard_state wal_hard_state(const struct wal *wal, uint16_t group)
{
    ASSERT_CMP(group, <, wal->groups_max);
    return wal->hards[group].durable;
}

// --- the disk ---

static bool is_quiet(const struct wal *wal)
{
    return wal->at == NULL && wal->open_next == wal->floor;
}

// Is there something that only a mark would tell a recovery: a durable end of entries, room given
// up, commit floors? In a full log the last blocks are for the marks that bring room back.
static bool needs_mark(const struct wal *wal)
{
    bool has_news = wal->entries_position > wal->marked_position || wal->commits_dirty > 0;
    bool has_tail = wal->tail > wal->tail_recorded;
    uint64_t blocks = has_tail ? 1 : 1 + SPARE_BLOCKS;
    return !wal->is_volatile && is_quiet(wal) && wal->failed == 0 && (has_news || has_tail) &&
           wal->head + blocks * WAL_BLOCK_BYTES <= wal->tail_recorded + wal->log_bytes;
}

static void mark_when_idle(struct wal *wal, uint64_t now_ns)
{
    if (!needs_mark(wal)) {
        wal->idle_since_ns = 0;
        return;
    }
    if (wal->idle_since_ns == 0) {
        wal->idle_since_ns = now_ns == 0 ? 1 : now_ns;
    }
    if (now_ns - wal->idle_since_ns >= wal->durable_mark_delay_ns) {
        wal_batch_mark(wal);
        wal->idle_since_ns = 0;
    }
}

uint64_t wal_deadline_ns(const struct wal *wal)
{
    return needs_mark(wal) ? wal->idle_since_ns + wal->durable_mark_delay_ns : UINT64_MAX;
}

void wal_submit(struct wal *wal, uint64_t now_ns)
{
    if (wal->failed != 0) {
        return;
    }
    mark_when_idle(wal, now_ns);
    wal_hard_submit(wal);
    wal_batch_submit(wal);
    if (wal->at != NULL && wal->submit_next == wal->open_next && wal_batch_may_submit(wal)) {
        wal_batch_seal(wal);
        wal_batch_submit(wal);
    }
    if (wal->requests_out > 0) {
        wal->disk->ops->kick(wal->disk);
    }
}

static void take_completions(struct wal *wal)
{
    struct disk_completion completions[COMPLETIONS_MAX];
    uint32_t count = wal->disk->ops->poll(wal->disk, completions, COMPLETIONS_MAX);
    wal->requests_out -= count;
    for (uint32_t i = 0; i < count; i++) {
        if ((completions[i].tag & WAL_TAG_BATCH) != 0) {
            wal_batch_complete(wal, (uint32_t)completions[i].tag, completions[i].result);
        } else {
            wal_hard_complete(wal, (uint32_t)completions[i].tag, completions[i].result);
        }
    }
}

uint32_t wal_poll(struct wal *wal, struct wal_event *events, uint32_t max)
{
    if (wal->requests_out > 0) {
        take_completions(wal);
    }
    if (wal->failed != 0) {
        if (wal->failure_reported || max == 0) {
            return 0;
        }
        wal->failure_reported = true;
        events[0] = (struct wal_event){.kind = WAL_EVENT_FAILED, .error = wal->failed};
        return 1;
    }
    uint32_t count = wal_hard_report(wal, events, max);
    if (wal->floor != wal->submit_next) {
        count += wal_batch_report(wal, events + count, max - count);
    }
    return count;
}

bool wal_is_busy(const struct wal *wal)
{
    if (wal->failed != 0) {
        return !wal->failure_reported || wal->requests_out > 0;
    }
    return !is_quiet(wal) || wal_hard_is_busy(wal);
}

void wal_counters(const struct wal *wal, struct wal_counters *out)
{
    *out = *wal->counters;
}
