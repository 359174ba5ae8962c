#include "tests/unit/client/bed.h"

#include <string.h>

#include "tests/harness/harness.h"

struct bed_ends bed_ends;

struct bed bed_open_groups(uint32_t frame_bytes, uint32_t groups, uint32_t depth,
                           uint64_t give_up_ns)
{
    memset(&bed_ends, 0, sizeof(bed_ends));
    struct bed bed = {.fake = fake_open(frame_bytes)};
    bed.client = fake_client(bed.fake, groups, depth, give_up_ns);
    return bed;
}

struct bed bed_open(uint32_t frame_bytes, uint32_t depth, uint64_t give_up_ns)
{
    return bed_open_groups(frame_bytes, 4, depth, give_up_ns);
}

void bed_close(struct bed bed)
{
    client_close(bed.client);
    CHECK_EQUAL(bed.fake->bad_entries, 0);
    CHECK_EQUAL(bed.fake->contradictions, 0);
    fake_close(bed.fake);
}

void bed_warm_up(struct bed *bed)
{
    bed_propose(bed, BED_COMMANDS_MAX - 1, 1, 8);
    CHECK(fake_run_out(bed->fake, bed->client, 500 * FAKE_MS));
    CHECK_EQUAL(client_leader(bed->client, 0), bed->fake->leader);
}

struct bed bed_open_warm(uint32_t frame_bytes, uint32_t depth, uint64_t give_up_ns)
{
    struct bed bed = bed_open(frame_bytes, depth, give_up_ns);
    bed_warm_up(&bed);
    return bed;
}

static void make_payload(uint32_t at, uint8_t *payload, uint32_t bytes)
{
    uint32_t value = at * 3;
    for (uint32_t i = 0; i < bytes; i++) {
        payload[i] = (uint8_t)(at + i);
    }
    memcpy(payload, &value, bytes < 4 ? bytes : 4);
}

int bed_try(struct bed *bed, uint16_t group, uint32_t at, uint32_t bytes)
{
    static uint8_t payload[RAFT_PAYLOAD_BYTES_MAX];
    make_payload(at, payload, bytes);
    return client_propose(bed->client, group, payload, bytes, bed_on_done, (void *)(uintptr_t)at);
}

void bed_propose(struct bed *bed, uint32_t first, uint32_t count, uint32_t bytes)
{
    for (uint32_t at = first; at < first + count; at++) {
        CHECK_EQUAL(bed_try(bed, 0, at, bytes), 0);
    }
}

void bed_on_done(void *context, const struct pontoon_result *result)
{
    size_t at = (size_t)(uintptr_t)context;
    bed_ends.calls[at]++;
    bed_ends.status[at] = (uint8_t)result->status;
    bed_ends.value[at] = result->value;
    bed_ends.count++;
    bed_ends.done += result->status == PONTOON_DONE;
}

void bed_check_done(uint32_t first, uint32_t count)
{
    for (uint32_t at = first; at < first + count; at++) {
        CHECK_EQUAL(bed_ends.calls[at], 1);
        CHECK_EQUAL(bed_ends.status[at], PONTOON_DONE);
        CHECK_EQUAL(bed_ends.value[at], at * 3);
    }
}

uint64_t bed_executed(const struct bed *bed)
{
    uint64_t count = 0;
    for (uint32_t at = 0; at < bed->fake->session_count; at++) {
        count += bed->fake->sessions[at].executed_count;
    }
    return count;
}

uint64_t bed_frames(const struct bed *bed)
{
    return bed->fake->frames[1] + bed->fake->frames[2] + bed->fake->frames[3];
}

struct client_counters bed_counters(const struct bed *bed)
{
    struct client_counters counters;
    client_counters(bed->client, &counters);
    return counters;
}
