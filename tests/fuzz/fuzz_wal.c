// Recovery of a damaged log: a sound one of several starts and laps, with the damage the input asks
// for; then recovered twice.
//
// The input is a sequence of edits of `log.0` and `meta.0`. Physical ones do what devices do:
// blocks zeroed, rotten, misdirected, swapped, of an earlier time, torn by sector. Forged ones
// write bytes and put checksums right, as no device does: behind them stands meaning, not damage.
//
// What must hold:
//  - recovery ends, and says why when it refuses;
//  - after physical damage: every record was written, with these bytes, at this place, staged or
//    not (a SYNC: with these words); what lies below a durable mark that survives is there, unless
//    the verdict is FAULTY; term and vote are ones that were written;
//  - the second recovery finds at least what the first found, and FAULTY stays FAULTY.
#include "engine/base/crc32c.h"
#include "engine/wal/wal_layout.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/wal_edits.h"
#include "tests/unit/wal/fixture.h"

enum {
    GROUPS = 3,
    LOG_BYTES = 8 * FIXTURE_SEGMENT_BYTES,
    LOG_BLOCKS = LOG_BYTES / WAL_BLOCK_BYTES,
    ROUNDS = 8, // of a start: it fills a third of the log
    META_BLOCKS = 2 + 2 * GROUPS,
    META_BYTES = META_BLOCKS * WAL_BLOCK_BYTES,
    WRITTEN_MAX = 4096,
    STAGED_GROUP = 2,
    HEADERS_MAX = 1024,
    EDITS_MAX = 64,
    SECTOR_BYTES = 512,
};

// Both files as they were at one time.
struct image {
    uint8_t log[LOG_BYTES];
    uint8_t meta[META_BYTES];
};

struct written {
    uint16_t group;
    struct raft_entry_id id;
    uint64_t body;
    bool is_staged;
};

static struct fixture *fixture;
static struct image images[WAL_TIMES]; // oldest first; the last is the sound log
static struct image edited;
static struct written written[WRITTEN_MAX];
static uint32_t written_count;
static struct wal_batch_header headers[HEADERS_MAX]; // every one ever written
static uint32_t header_count;
static uint64_t terms[GROUPS]; // last written hard state
static bool is_forged, is_meta_edited;

// ------------------------------------------------------------------------------------------------
// the sound log

static void note_headers(const uint8_t *log)
{
    for (uint32_t block = 0; block < LOG_BLOCKS; block++) {
        const struct wal_batch_header *header = (const void *)(log + block * WAL_BLOCK_BYTES);
        bool is_known = header->magic != WAL_BATCH_MAGIC;
        for (uint32_t at = 0; at < header_count && !is_known; at++) {
            is_known = memcmp(&headers[at], header, sizeof(*header)) == 0;
        }
        if (!is_known) {
            REQUIRE(header_count < HEADERS_MAX, "headers");
            headers[header_count++] = *header;
        }
    }
}

static void take_image(struct image *image)
{
    uint64_t bytes;
    memcpy(image->log, disk_memory_image(fixture->disk, "log.0", &bytes), sizeof(image->log));
    REQUIRE(bytes == sizeof(image->log), "log of %" PRIu64 " bytes", bytes);
    memcpy(image->meta, disk_memory_image(fixture->disk, "meta.0", &bytes), sizeof(image->meta));
    REQUIRE(bytes == sizeof(image->meta), "meta of %" PRIu64 " bytes", bytes);
    note_headers(image->log);
}

// The SYNC of a start.
static struct raft_sync sync_of(uint64_t start)
{
    return (struct raft_sync){.term = start, .end = 8 * start, .keep = start};
}

static void append(uint16_t group, uint64_t term, uint64_t index, uint32_t bytes, bool is_staged)
{
    REQUIRE(wal_has_room(fixture->wal, 1, bytes), "room");
    wal_stage(fixture->wal, group, is_staged);
    uint64_t body = fixture_append(fixture, group, 1, term, index, bytes);
    REQUIRE(written_count < WRITTEN_MAX, "entries");
    written[written_count++] =
        (struct written){.group = group, .id = {term, index}, .body = body, .is_staged = is_staged};
}

// A start: entries of all groups in batches of many sizes, a truncation, an install, votes, a
// moving tail.
static void live(uint64_t start)
{
    static uint64_t last[GROUPS];
    for (uint64_t round = 0; round < ROUNDS; round++) {
        for (uint16_t group = 0; group < GROUPS; group++) {
            bool is_staged = group == STAGED_GROUP && (round == 2 || round == 3);
            append(group, start, ++last[group], (uint32_t)(round * 97 + group * 311) % 900,
                   is_staged);
        }
        if (round == 4) {
            const struct raft_sync sync = sync_of(start);
            wal_sync(fixture->wal, STAGED_GROUP, &sync);
        }
        if (round == 5) {
            wal_truncate(fixture->wal, 1, last[1]);
            last[1]--;
            append(1, start, ++last[1], 40, false);
        }
        fixture_settle(fixture);
        wal_note_commit(fixture->wal, 0, last[0]);
        note_headers(disk_memory_image(fixture->disk, "log.0", &(uint64_t){0}));
    }
    for (uint16_t group = 0; group < GROUPS; group++) {
        terms[group] = start;
        wal_put_hard_state(fixture->wal, group,
                           (struct raft_hard_state){.term = start, .voted_for = 1});
    }
    uint64_t keep = 2 * FIXTURE_SEGMENT_BYTES, head = wal_head(fixture->wal);
    wal_advance_tail(fixture->wal, head > keep ? head - keep : 0);
    fixture_idle(fixture);
}

static void prepare(void)
{
    fixture = fixture_open(NULL);
    fixture->config.groups_max = GROUPS;
    fixture->config.log_bytes = LOG_BYTES;
    for (uint32_t time = 0; time < WAL_TIMES; time++) {
        REQUIRE(fixture_start(fixture) == 0, "%s", fixture->reason);
        live(time + 1);
        take_image(&images[time]);
        fixture_stop(fixture);
        disk_memory_crash(fixture->disk, 0, 0);
    }
}

// ------------------------------------------------------------------------------------------------
// damage

static uint8_t *block_of(struct image *image, uint8_t number)
{
    uint32_t at = number % (LOG_BLOCKS + META_BLOCKS);
    return at < LOG_BLOCKS ? image->log + at * WAL_BLOCK_BYTES
                           : image->meta + (at - LOG_BLOCKS) * WAL_BLOCK_BYTES;
}

static void reseal(uint8_t *block, uint8_t number)
{
    struct wal_batch_header *header = (void *)block;
    struct wal_hard_slot *slot = (void *)block;
    uint32_t at = number % (LOG_BLOCKS + META_BLOCKS);
    if (at < LOG_BLOCKS) {
        uint64_t left = LOG_BYTES - at * (uint64_t)WAL_BLOCK_BYTES;
        if (header->bytes >= sizeof(*header) && header->bytes <= left) {
            header->body_crc = crc32c(0, block + sizeof(*header), header->bytes - sizeof(*header));
        }
        header->header_crc = crc32c(0, header, sizeof(*header) - sizeof(header->header_crc));
    } else if (at < LOG_BLOCKS + 2) {
        struct wal_super *super = (void *)block;
        super->crc = crc32c(0, super, sizeof(*super) - sizeof(super->crc));
    } else {
        slot->crc = crc32c(0, slot, sizeof(*slot) - sizeof(slot->crc));
    }
}

static void forge(struct fuzz_input *input, uint8_t *block)
{
    uint8_t place = fuzz_u8(input);
    uint64_t *word = (uint64_t *)(void *)block + place % 64; // the head of a block
    is_forged = true;
    *word = fuzz_near(input, *word, UINT64_MAX);
}

static void forge_bytes(struct fuzz_input *input, uint8_t *block)
{
    uint32_t at = fuzz_u16(input) % WAL_BLOCK_BYTES, bytes = fuzz_u8(input);
    const uint8_t *data = fuzz_take(input, &bytes);
    is_forged = true;
    memcpy(block + at, data, bytes < WAL_BLOCK_BYTES - at ? bytes : WAL_BLOCK_BYTES - at);
}

static void tear(uint8_t *block, const uint8_t *older, uint8_t sectors)
{
    for (uint32_t at = 0; at < WAL_BLOCK_BYTES / SECTOR_BYTES; at++) {
        if ((sectors >> at & 1) != 0) {
            memcpy(block + at * SECTOR_BYTES, older + at * SECTOR_BYTES, SECTOR_BYTES);
        }
    }
}

static void edit(struct fuzz_input *input)
{
    static uint8_t other[WAL_BLOCK_BYTES];
    uint8_t what = fuzz_u8(input), number = fuzz_u8(input);
    uint8_t *block = block_of(&edited, number);
    is_meta_edited |= number % (LOG_BLOCKS + META_BLOCKS) >= LOG_BLOCKS;
    switch ((enum wal_edit)(what % WAL_EDITS)) {
    case WAL_EDIT_ZERO:
        memset(block, 0, WAL_BLOCK_BYTES);
        break;
    case WAL_EDIT_ONES:
        memset(block, 0xFF, WAL_BLOCK_BYTES);
        break;
    case WAL_EDIT_BIT: {
        uint32_t bit = fuzz_u16(input);
        block[bit / 8 % WAL_BLOCK_BYTES] ^= (uint8_t)(1 << bit % 8);
        break;
    }
    case WAL_EDIT_COPY: { // a misdirected write; the log's blocks stay among themselves
        uint8_t from = fuzz_u8(input);
        is_meta_edited |= from % (LOG_BLOCKS + META_BLOCKS) >= LOG_BLOCKS;
        memmove(block, block_of(&edited, from), WAL_BLOCK_BYTES);
        break;
    }
    case WAL_EDIT_SWAP: {
        uint8_t with = fuzz_u8(input);
        is_meta_edited |= with % (LOG_BLOCKS + META_BLOCKS) >= LOG_BLOCKS;
        memcpy(other, block, WAL_BLOCK_BYTES);
        memmove(block, block_of(&edited, with), WAL_BLOCK_BYTES);
        memcpy(block_of(&edited, with), other, WAL_BLOCK_BYTES);
        break;
    }
    case WAL_EDIT_OLD:
        memcpy(block, block_of(&images[fuzz_u8(input) % WAL_TIMES], number), WAL_BLOCK_BYTES);
        break;
    case WAL_EDIT_TEAR:
        tear(block, block_of(&images[what / WAL_EDITS % WAL_TIMES], number), fuzz_u8(input));
        break;
    case WAL_EDIT_WORD:
        forge(input, block);
        break;
    case WAL_EDIT_BYTES:
        forge_bytes(input, block);
        break;
    case WAL_EDIT_SEAL:
        is_forged = true;
        reseal(block, number);
        break;
    case WAL_EDITS:
        break;
    }
}

// ------------------------------------------------------------------------------------------------
// what recovery may find

struct facts {
    uint64_t tail, durable_position;
};

// What the headers that survived say, be they misplaced.
static struct facts surviving_facts(void)
{
    struct facts facts = {0};
    for (uint32_t block = 0; block < LOG_BLOCKS; block++) {
        const void *found = edited.log + block * WAL_BLOCK_BYTES;
        for (uint32_t at = 0; at < header_count; at++) {
            const struct wal_batch_header *header = &headers[at];
            if (memcmp(header, found, sizeof(*header)) == 0) {
                facts.tail = header->tail > facts.tail ? header->tail : facts.tail;
                facts.durable_position = header->durable_position > facts.durable_position
                                             ? header->durable_position
                                             : facts.durable_position;
            }
        }
    }
    return facts;
}

static bool is_written(const struct wal_record *record)
{
    uint32_t at = 0;
    while (at < written_count &&
           (written[at].body != record->body || written[at].group != record->group ||
            written[at].is_staged != record->is_staged ||
            !raft_entry_id_equal(written[at].id, record->id))) {
        at++;
    }
    return at < written_count;
}

static bool is_true(const struct wal_record *record)
{
    const struct raft_sync sync = sync_of(record->sync.term);
    switch (record->kind) {
    case WAL_RECORD_ENTRY:
        return is_written(record) && fixture_record_is_true(fixture, record);
    case WAL_RECORD_TRUNCATE:
        return record->group == 1;
    case WAL_RECORD_SYNC:
        return record->group == STAGED_GROUP && sync.term <= WAL_TIMES &&
               record->sync.end == sync.end && record->sync.keep == sync.keep;
    }
    return false;
}

static bool is_recovered(const struct written *entry)
{
    uint32_t at = 0;
    while (at < fixture->record_count && (fixture->records[at].kind != WAL_RECORD_ENTRY ||
                                          fixture->records[at].body != entry->body)) {
        at++;
    }
    return at < fixture->record_count;
}

static void check_records(const struct facts *facts)
{
    for (uint32_t at = 0; at < fixture->record_count; at++) {
        const struct wal_record *record = &fixture->records[at];
        REQUIRE(is_true(record), "record %u: group %u (%" PRIu64 ", %" PRIu64 ") was not written",
                at, record->group, record->id.term, record->id.index);
    }
    for (uint32_t at = 0; at < written_count && fixture->recovery.verdict != WAL_FAULTY; at++) {
        const struct written *entry = &written[at];
        REQUIRE(entry->body < facts->tail || entry->body >= facts->durable_position ||
                    is_recovered(entry),
                "group %u (%" PRIu64 ", %" PRIu64 ") at %" PRIu64 " below %" PRIu64 " is lost",
                entry->group, entry->id.term, entry->id.index, entry->body,
                facts->durable_position);
    }
    for (uint16_t group = 0; group < GROUPS; group++) {
        struct raft_hard_state state = wal_hard_state(fixture->wal, group);
        REQUIRE(state.term <= terms[group] && (is_meta_edited || state.term == terms[group]),
                "term %" PRIu64 " of group %u", state.term, group);
    }
}

static bool recover(void)
{
    disk_memory_crash(fixture->disk, 0, 0);
    int error = fixture_start(fixture);
    if (error != 0) {
        REQUIRE(strlen(fixture->reason) > 0, "refused without a reason: %d", error);
    }
    return error == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {.at = data, .end = data + size};
    uint64_t bytes;
    if (fixture == NULL) {
        prepare();
    }
    edited = images[WAL_TIMES - 1];
    is_forged = is_meta_edited = false;
    for (uint32_t edits = 0; edits < EDITS_MAX && fuzz_has_more(&input); edits++) {
        edit(&input);
    }
    memcpy(disk_memory_image(fixture->disk, "log.0", &bytes), edited.log, sizeof(edited.log));
    memcpy(disk_memory_image(fixture->disk, "meta.0", &bytes), edited.meta, sizeof(edited.meta));
    if (!recover()) {
        return 0;
    }
    struct facts facts = surviving_facts();
    uint32_t records = fixture->record_count;
    enum wal_verdict verdict = fixture->recovery.verdict;
    REQUIRE(size > 0 || verdict == WAL_CLEAN, "a sound log is not clean: %s", fixture->reason);
    if (!is_forged) {
        check_records(&facts);
    }
    fixture_drop(fixture);
    if (!recover()) {
        REQUIRE(is_forged, "what was taken once is refused: %s", fixture->reason);
        return 0;
    }
    if (!is_forged) {
        check_records(&facts);
        REQUIRE(fixture->record_count >= records, "%u records, then %u", records,
                fixture->record_count);
        REQUIRE(verdict != WAL_FAULTY || fixture->recovery.verdict == WAL_FAULTY,
                "FAULTY is forgotten");
    }
    fixture_drop(fixture);
    return 0;
}
