#include "tests/unit/wal/fixture.h"

#include "engine/core/entry_crc.h"
#include "tests/harness/harness.h"

#include <stdlib.h>
#include <string.h>

enum { TURNS_MAX = 10000, DELAY_NS = 1000000, PAYLOAD_MAX = 1 << 20 };

static uint8_t scratch[PAYLOAD_MAX];

struct fixture *fixture_open(const struct disk_memory_options *options)
{
    static const struct disk_memory_options plain = {0};
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    CHECK(fixture != NULL);
    CHECK_EQUAL(disk_memory_open(&fixture->disk, options == NULL ? &plain : options), 0);
    fixture->config = (struct wal_config){
        .cluster = 0xC1,
        .node = 2,
        .groups_max = FIXTURE_GROUPS,
        .log_bytes = FIXTURE_LOG_BYTES,
        .segment_bytes = FIXTURE_SEGMENT_BYTES,
        .batch_bytes_max = 8192,
        .in_flight_max = 4,
        .durable_mark_delay_ns = DELAY_NS,
        .nonce = 77,
        .bootstrap = true,
        .disk = fixture->disk,
    };
    fixture->now_ns = 1;
    return fixture;
}

void fixture_drop(struct fixture *fixture)
{
    free(fixture->memory);
    free(fixture->config.arena);
    fixture->memory = NULL;
    fixture->config.arena = NULL;
    fixture->wal = NULL;
}

void fixture_close(struct fixture *fixture)
{
    fixture_drop(fixture);
    fixture->disk->ops->close(fixture->disk);
    free(fixture);
}

static void visit(void *context, const struct wal_record *record)
{
    struct fixture *fixture = context;
    CHECK(fixture->record_count < FIXTURE_RECORDS_MAX);
    fixture->records[fixture->record_count++] = *record;
}

int fixture_start(struct fixture *fixture)
{
    fixture->config.arena = aligned_alloc(4096, fixture->config.log_bytes);
    fixture->memory = malloc(wal_memory_bytes(&fixture->config));
    CHECK(fixture->config.arena != NULL && fixture->memory != NULL);
    memset(fixture->config.arena, 0xA5, fixture->config.log_bytes);
    fixture->record_count = 0;
    fixture->reason[0] = '\0';
    int error = wal_open(&fixture->wal, fixture->memory, &fixture->config, visit, fixture, NULL,
                         &fixture->recovery, fixture->reason, sizeof(fixture->reason));
    if (error != 0) {
        fixture_drop(fixture);
        return error;
    }
    fixture->config.bootstrap = false;
    fixture->config.reset_log = false;
    return 0;
}

void fixture_stop(struct fixture *fixture)
{
    wal_close(fixture->wal);
    fixture_drop(fixture);
}

struct fixture *fixture_started(const struct disk_memory_options *options)
{
    struct fixture *fixture = fixture_open(options);
    CHECK_EQUAL(fixture_start(fixture), 0);
    return fixture;
}

int fixture_restart(struct fixture *fixture)
{
    fixture_stop(fixture);
    return fixture_start(fixture);
}

int fixture_crash(struct fixture *fixture)
{
    fixture_drop(fixture);
    disk_memory_crash(fixture->disk, 1, 0);
    return fixture_start(fixture);
}

void fixture_payload(uint8_t *payload, uint32_t bytes, uint16_t group, struct raft_entry_id id)
{
    uint64_t seed = id.index * 1000003 + id.term * 10007 + group;
    for (uint32_t i = 0; i < bytes; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        payload[i] = (uint8_t)(seed >> 56);
    }
}

struct raft_entry_head fixture_head(const uint8_t *payload, uint32_t bytes, struct raft_entry_id id)
{
    struct raft_entry_head head = {.client = 5,
                                   .sequence = id.index,
                                   .bytes = bytes,
                                   .kind = bytes == 0 ? RAFT_ENTRY_NOOP : RAFT_ENTRY_COMMAND};
    head.crc = raft_entry_crc(&head, payload);
    return head;
}

uint64_t fixture_append(struct fixture *fixture, uint16_t group, uint32_t epoch, uint64_t term,
                        uint64_t index, uint32_t bytes)
{
    struct raft_entry_id id = {term, index};
    fixture_payload(scratch, bytes, group, id);
    struct raft_entry_head head = fixture_head(scratch, bytes, id);
    uint64_t prev_term = index == 1 ? 0 : term;
    return wal_append(fixture->wal, group, epoch, id, prev_term, &head, scratch);
}

bool fixture_record_is_true(const struct fixture *fixture, const struct wal_record *record)
{
    fixture_payload(scratch, record->head.bytes, record->group, record->id);
    struct raft_entry_head head = fixture_head(scratch, record->head.bytes, record->id);
    const uint8_t *payload = wal_payload(fixture->wal, record->body);
    return record->kind == WAL_RECORD_ENTRY && memcmp(payload, scratch, head.bytes) == 0 &&
           head.crc == record->head.crc && head.client == record->head.client &&
           head.sequence == record->head.sequence && head.kind == record->head.kind;
}

void fixture_check_records(const struct fixture *fixture)
{
    for (uint32_t i = 0; i < fixture->record_count; i++) {
        CHECK(fixture_record_is_true(fixture, &fixture->records[i]));
    }
}

void fixture_turn(struct fixture *fixture)
{
    wal_submit(fixture->wal, fixture->now_ns);
    fixture->event_count = wal_poll(fixture->wal, fixture->events, FIXTURE_EVENTS_MAX);
}

void fixture_settle(struct fixture *fixture)
{
    for (int turn = 0; wal_is_busy(fixture->wal); turn++) {
        CHECK(turn < TURNS_MAX);
        fixture_turn(fixture);
    }
}

void fixture_idle(struct fixture *fixture)
{
    fixture_turn(fixture);
    fixture->now_ns += DELAY_NS;
    fixture_turn(fixture);
    fixture_settle(fixture);
}

void fixture_check_entries(const struct fixture *fixture, uint32_t at, uint64_t first,
                           uint64_t last)
{
    CHECK(at < fixture->event_count);
    CHECK_EQUAL(fixture->events[at].kind, WAL_EVENT_ENTRIES);
    CHECK_EQUAL(fixture->events[at].range.first, first);
    CHECK_EQUAL(fixture->events[at].range.last, last);
}

struct wal_counters fixture_counters(const struct fixture *fixture)
{
    struct wal_counters counters;
    wal_counters(fixture->wal, &counters);
    return counters;
}

bool fixture_release(struct fixture *fixture, uint32_t batch)
{
    return disk_memory_release(fixture->disk, (UINT64_C(1) << 32) | batch);
}

int64_t fixture_find(const struct fixture *fixture, uint16_t group, uint64_t term, uint64_t index)
{
    for (uint32_t i = 0; i < fixture->record_count; i++) {
        const struct wal_record *record = &fixture->records[i];
        if (record->kind == WAL_RECORD_ENTRY && record->group == group && record->id.term == term &&
            record->id.index == index) {
            return i;
        }
    }
    return -1;
}
