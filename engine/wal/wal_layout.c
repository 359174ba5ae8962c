#include "engine/wal/wal_layout.h"

#include "engine/base/crc32c.h"
#include "engine/core/entry_crc.h"
#include "engine/wal/wal.h"

#include <assert.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is little-endian");

static_assert(sizeof(struct wal_batch_header) == WAL_BATCH_HEADER_BYTES, "FORMAT.md");
static_assert(offsetof(struct wal_batch_header, log_id) == 8, "FORMAT.md");
static_assert(offsetof(struct wal_batch_header, cluster) == 16, "FORMAT.md");
static_assert(offsetof(struct wal_batch_header, node) == 24, "FORMAT.md");
static_assert(offsetof(struct wal_batch_header, reactor) == 26, "FORMAT.md");
static_assert(offsetof(struct wal_batch_header, version) == 28, "FORMAT.md");
static_assert(offsetof(struct wal_batch_header, flags) == 30, "FORMAT.md");
static_assert(offsetof(struct wal_batch_header, boot) == 32, "FORMAT.md");
static_assert(offsetof(struct wal_batch_header, boot_position) == 40, "FORMAT.md");
static_assert(offsetof(struct wal_batch_header, position) == 48, "FORMAT.md");
static_assert(offsetof(struct wal_batch_header, sequence) == 56, "FORMAT.md");
static_assert(offsetof(struct wal_batch_header, previous_sequence) == 64, "FORMAT.md");
static_assert(offsetof(struct wal_batch_header, durable_sequence) == 72, "FORMAT.md");
static_assert(offsetof(struct wal_batch_header, durable_position) == 80, "FORMAT.md");
static_assert(offsetof(struct wal_batch_header, tail) == 88, "FORMAT.md");
static_assert(offsetof(struct wal_batch_header, bytes) == 96, "FORMAT.md");
static_assert(offsetof(struct wal_batch_header, records) == 100, "FORMAT.md");
static_assert(offsetof(struct wal_batch_header, body_crc) == 104, "FORMAT.md");
static_assert(offsetof(struct wal_batch_header, header_crc) == 124, "FORMAT.md");

static_assert(sizeof(struct wal_run) == WAL_RUN_BYTES, "FORMAT.md");
static_assert(offsetof(struct wal_run, term) == 8, "FORMAT.md");
static_assert(offsetof(struct wal_run, count) == 16, "FORMAT.md");
static_assert(offsetof(struct wal_run, group) == 20, "FORMAT.md");
static_assert(offsetof(struct wal_run, flags) == 22, "FORMAT.md");
static_assert(offsetof(struct wal_run, tag) == 23, "FORMAT.md");
static_assert(offsetof(struct wal_run, prev_term) == 24, "FORMAT.md");
static_assert(offsetof(struct wal_run, bytes) == 32, "FORMAT.md");
static_assert(offsetof(struct wal_run, epoch) == 36, "FORMAT.md");
static_assert(offsetof(struct wal_run, commit) == 40, "FORMAT.md");

static_assert(sizeof(struct wal_sync) == WAL_SYNC_BYTES, "FORMAT.md");
static_assert(offsetof(struct wal_sync, end) == 8, "FORMAT.md");
static_assert(offsetof(struct wal_sync, group) == 20, "FORMAT.md");
static_assert(offsetof(struct wal_sync, tag) == 23, "FORMAT.md");
static_assert(offsetof(struct wal_sync, keep) == 24, "FORMAT.md");

static_assert(sizeof(struct wal_note) == WAL_NOTE_BYTES, "FORMAT.md");
static_assert(offsetof(struct wal_note, group) == 20, "FORMAT.md");
static_assert(offsetof(struct wal_note, tag) == 23, "FORMAT.md");

static_assert(sizeof(struct wal_super) == 128, "FORMAT.md");
static_assert(offsetof(struct wal_super, log_id) == 16, "FORMAT.md");
static_assert(offsetof(struct wal_super, node) == 24, "FORMAT.md");
static_assert(offsetof(struct wal_super, boot) == 32, "FORMAT.md");
static_assert(offsetof(struct wal_super, log_boot) == 40, "FORMAT.md");
static_assert(offsetof(struct wal_super, log_bytes) == 48, "FORMAT.md");
static_assert(offsetof(struct wal_super, segment_bytes) == 56, "FORMAT.md");
static_assert(offsetof(struct wal_super, groups_max) == 64, "FORMAT.md");
static_assert(offsetof(struct wal_super, copy) == 68, "FORMAT.md");
static_assert(offsetof(struct wal_super, crc) == 124, "FORMAT.md");

static_assert(sizeof(struct wal_hard_slot) == 64, "FORMAT.md");
static_assert(offsetof(struct wal_hard_slot, node) == 16, "FORMAT.md");
static_assert(offsetof(struct wal_hard_slot, group) == 20, "FORMAT.md");
static_assert(offsetof(struct wal_hard_slot, sequence) == 24, "FORMAT.md");
static_assert(offsetof(struct wal_hard_slot, term) == 32, "FORMAT.md");
static_assert(offsetof(struct wal_hard_slot, voted_for) == 40, "FORMAT.md");
static_assert(offsetof(struct wal_hard_slot, sync_term) == 44, "FORMAT.md");
static_assert(offsetof(struct wal_hard_slot, sync_end) == 52, "FORMAT.md");
static_assert(offsetof(struct wal_hard_slot, crc) == 60, "FORMAT.md");

static_assert((int)WAL_RECORD_OVERHEAD_BYTES == (int)RAFT_ENTRY_HEAD_BYTES, "an entry record");

enum { TAG_OFFSET = 23, FLAGS_KNOWN = WAL_BATCH_MARK | WAL_BATCH_VOID | WAL_BATCH_BARE };

static bool words_are_zero(const uint32_t *words, size_t count)
{
    uint32_t all = 0;
    for (size_t i = 0; i < count; i++) {
        all |= words[i];
    }
    return all == 0;
}

bool wal_layout_header_is_whole(const struct wal_batch_header *header)
{
    return header->magic == WAL_BATCH_MAGIC &&
           header->header_crc == crc32c(0, header, offsetof(struct wal_batch_header, header_crc)) &&
           header->version == WAL_LAYOUT_VERSION && (header->flags & ~FLAGS_KNOWN) == 0 &&
           header->bytes >= WAL_BATCH_HEADER_BYTES && words_are_zero(header->reserved, 4) &&
           header->position <= INT64_MAX && header->sequence <= INT64_MAX &&
           header->tail <= header->position && header->durable_position <= header->position &&
           header->previous_sequence < header->sequence &&
           header->durable_sequence < header->sequence;
}

bool wal_layout_header_is_ours(const struct wal_batch_header *header,
                               const struct wal_identity *identity)
{
    return header->log_id == identity->log_id && header->cluster == identity->cluster &&
           header->node == identity->node && header->reactor == identity->reactor;
}

void wal_layout_header_seal(struct wal_batch_header *header, const struct wal_identity *identity)
{
    header->magic = WAL_BATCH_MAGIC;
    header->log_id = identity->log_id;
    header->cluster = identity->cluster;
    header->node = identity->node;
    header->reactor = identity->reactor;
    header->version = WAL_LAYOUT_VERSION;
    memset(header->reserved, 0, sizeof(header->reserved));
    header->header_crc = crc32c(0, header, offsetof(struct wal_batch_header, header_crc));
}

// Without payloads. Where the structure ends to make sense all is covered.
static uint32_t bare_crc(const uint8_t *body, const uint8_t *end, uint32_t groups_max)
{
    struct wal_layout_walk walk;
    struct wal_layout_item item;
    enum wal_layout_step step;
    const uint8_t *from = body;
    uint32_t crc = 0;
    wal_layout_walk_init(&walk, body, end, groups_max);
    while ((step = wal_layout_walk_next(&walk, &item)) != WAL_STEP_END && step != WAL_STEP_BAD) {
        if (step == WAL_STEP_ENTRY && item.head.bytes > 0) {
            crc = crc32c(crc, from, (size_t)(item.payload - from));
            from = item.payload + item.head.bytes;
        }
    }
    return crc32c(crc, from, (size_t)(end - from));
}

uint32_t wal_layout_body_crc(const struct wal_batch_header *header, uint32_t groups_max)
{
    const uint8_t *body = (const uint8_t *)header + WAL_BATCH_HEADER_BYTES;
    const uint8_t *end = (const uint8_t *)header + header->bytes;
    return (header->flags & WAL_BATCH_BARE) != 0 ? bare_crc(body, end, groups_max)
                                                 : crc32c(0, body, (size_t)(end - body));
}

bool wal_layout_body_is_sound(const struct wal_batch_header *header, uint32_t groups_max)
{
    const uint8_t *body = (const uint8_t *)header + WAL_BATCH_HEADER_BYTES;
    const uint8_t *end = (const uint8_t *)header + header->bytes;
    if (wal_layout_body_crc(header, groups_max) != header->body_crc) {
        return false;
    }
    struct wal_layout_walk walk;
    struct wal_layout_item item;
    uint32_t records = 0;
    wal_layout_walk_init(&walk, body, end, groups_max);
    for (;;) {
        switch (wal_layout_walk_next(&walk, &item)) {
        case WAL_STEP_ENTRY:
            if (raft_entry_crc(&item.head, item.payload) != item.head.crc) {
                return false;
            }
            records++;
            break;
        case WAL_STEP_TRUNCATE:
        case WAL_STEP_SYNC:
            records++;
            break;
        case WAL_STEP_COMMIT:
            break;
        case WAL_STEP_END:
            return records == header->records;
        case WAL_STEP_BAD:
            return false;
        }
    }
}

bool wal_layout_super_is_whole(const struct wal_super *super, uint32_t copy)
{
    return super->magic == WAL_SUPER_MAGIC &&
           super->crc == crc32c(0, super, offsetof(struct wal_super, crc)) &&
           super->version == WAL_LAYOUT_VERSION && super->copy == copy && super->boot < INT64_MAX &&
           super->log_boot <= super->boot && super->groups_max <= RAFT_GROUPS_MAX;
}

void wal_layout_super_seal(struct wal_super *super, uint32_t copy)
{
    super->magic = WAL_SUPER_MAGIC;
    super->version = WAL_LAYOUT_VERSION;
    super->copy = copy;
    super->crc = crc32c(0, super, offsetof(struct wal_super, crc));
}

bool wal_layout_hard_is_whole(const struct wal_hard_slot *slot, const struct wal_hard_slot *key)
{
    return slot->magic == WAL_HARD_MAGIC &&
           slot->crc == crc32c(0, slot, offsetof(struct wal_hard_slot, crc)) &&
           slot->version == WAL_LAYOUT_VERSION && slot->cluster == key->cluster &&
           slot->node == key->node && slot->reactor == key->reactor && slot->group == key->group &&
           slot->copy == key->copy && slot->term <= RAFT_TERM_MAX &&
           slot->voted_for <= RAFT_NODE_ID_MAX && slot->sync_term <= RAFT_TERM_MAX &&
           slot->sync_end <= RAFT_INDEX_MAX;
}

void wal_layout_hard_seal(struct wal_hard_slot *slot)
{
    slot->magic = WAL_HARD_MAGIC;
    slot->version = WAL_LAYOUT_VERSION;
    slot->crc = crc32c(0, slot, offsetof(struct wal_hard_slot, crc));
}

void wal_layout_walk_init(struct wal_layout_walk *walk, const uint8_t *at, const uint8_t *end,
                          uint32_t groups_max)
{
    *walk = (struct wal_layout_walk){.at = at, .end = end, .run_end = at, .groups_max = groups_max};
}

static bool run_is_valid(const struct wal_run *run, size_t bytes_left, uint32_t groups_max)
{
    return run->count >= 1 && run->group < groups_max && (run->flags & ~WAL_RUN_STAGED) == 0 &&
           run->commit <= RAFT_INDEX_MAX && run->first >= 1 && run->first <= RAFT_INDEX_MAX &&
           run->count <= RAFT_INDEX_MAX - run->first + 1 && run->term >= 1 &&
           run->term <= RAFT_TERM_MAX && run->prev_term <= RAFT_TERM_MAX &&
           run->bytes <= bytes_left;
}

static enum wal_layout_step next_entry(struct wal_layout_walk *walk, struct wal_layout_item *item)
{
    if (walk->run_taken == walk->run.count ||
        (size_t)(walk->run_end - walk->at) < RAFT_ENTRY_HEAD_BYTES) {
        return WAL_STEP_BAD;
    }
    raft_entry_head_unpack(walk->at, &item->head);
    const uint8_t *payload = walk->at + RAFT_ENTRY_HEAD_BYTES;
    if (item->head.kind == 0 || item->head.kind > WAL_ENTRY_KIND_MAX ||
        item->head.bytes > RAFT_PAYLOAD_BYTES_MAX ||
        item->head.bytes > (size_t)(walk->run_end - payload)) {
        return WAL_STEP_BAD;
    }
    item->group = walk->run.group;
    item->id = (struct raft_entry_id){walk->run.term, walk->run.first + walk->run_taken};
    item->prev_term = walk->run_taken == 0 ? walk->run.prev_term : walk->run.term;
    item->payload = payload;
    item->run_commit = walk->run.commit;
    item->is_staged = (walk->run.flags & WAL_RUN_STAGED) != 0;
    walk->run_taken++;
    walk->at = payload + item->head.bytes;
    if (walk->at == walk->run_end && walk->run_taken != walk->run.count) {
        return WAL_STEP_BAD;
    }
    return WAL_STEP_ENTRY;
}

static enum wal_layout_step next_note(struct wal_layout_walk *walk, struct wal_layout_item *item)
{
    struct wal_note note;
    memcpy(&note, walk->at, sizeof(note));
    if (note.group >= walk->groups_max || note.reserved != 0 || note.reserved2 != 0 ||
        note.reserved3 != 0 || note.index > RAFT_INDEX_MAX) {
        return WAL_STEP_BAD;
    }
    walk->at += sizeof(note);
    walk->run_end = walk->at;
    *item = (struct wal_layout_item){.group = note.group, .id = {0, note.index}};
    return note.tag == WAL_TAG_TRUNCATE ? WAL_STEP_TRUNCATE : WAL_STEP_COMMIT;
}

static enum wal_layout_step next_sync(struct wal_layout_walk *walk, struct wal_layout_item *item)
{
    struct wal_sync sync;
    if ((size_t)(walk->end - walk->at) < sizeof(sync)) {
        return WAL_STEP_BAD;
    }
    memcpy(&sync, walk->at, sizeof(sync));
    if (sync.group >= walk->groups_max || sync.reserved != 0 || sync.reserved2 != 0 ||
        sync.reserved3[0] != 0 || sync.reserved3[1] != 0 || sync.term < 1 ||
        sync.term > RAFT_TERM_MAX || sync.end > RAFT_INDEX_MAX || sync.keep > sync.end) {
        return WAL_STEP_BAD;
    }
    walk->at += sizeof(sync);
    walk->run_end = walk->at;
    *item = (struct wal_layout_item){
        .group = sync.group, .sync = {.term = sync.term, .end = sync.end, .keep = sync.keep}};
    return WAL_STEP_SYNC;
}

static enum wal_layout_step open_run(struct wal_layout_walk *walk, struct wal_layout_item *item)
{
    size_t left = (size_t)(walk->end - walk->at);
    if (left < sizeof(walk->run)) {
        return WAL_STEP_BAD;
    }
    memcpy(&walk->run, walk->at, sizeof(walk->run));
    if (!run_is_valid(&walk->run, left - sizeof(walk->run), walk->groups_max)) {
        return WAL_STEP_BAD;
    }
    walk->at += sizeof(walk->run);
    walk->run_end = walk->at + walk->run.bytes;
    walk->run_taken = 0;
    return next_entry(walk, item);
}

enum wal_layout_step wal_layout_walk_next(struct wal_layout_walk *walk,
                                          struct wal_layout_item *item)
{
    if (walk->at != walk->run_end) {
        return next_entry(walk, item);
    }
    size_t left = (size_t)(walk->end - walk->at);
    if (left == 0) {
        return WAL_STEP_END;
    }
    if (left < WAL_NOTE_BYTES) {
        return WAL_STEP_BAD;
    }
    switch (walk->at[TAG_OFFSET]) {
    case WAL_TAG_RUN:
        return open_run(walk, item);
    case WAL_TAG_TRUNCATE:
    case WAL_TAG_COMMIT:
        return next_note(walk, item);
    case WAL_TAG_SYNC:
        return next_sync(walk, item);
    default:
        return WAL_STEP_BAD;
    }
}
