// The client against scripted nodes: redirects, losses, duplicates, BUSY, lost sessions, leader
// changes, order, fragments, giving up.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/harness.h"
#include "tests/unit/client/fake_cluster.h"

enum { COMMANDS_MAX = 20000 };

// What became of each command of a test.
struct ends {
    uint32_t calls[COMMANDS_MAX];
    uint8_t status[COMMANDS_MAX];
    uint32_t value[COMMANDS_MAX];
    uint32_t count, done;
};

static struct ends ends;

static void on_done(void *context, const struct pontoon_result *result)
{
    size_t at = (size_t)(uintptr_t)context;
    ends.calls[at]++;
    ends.status[at] = (uint8_t)result->status;
    ends.value[at] = result->value;
    ends.count++;
    ends.done += result->status == PONTOON_DONE;
}

// Command `at` has this payload; its result is its number times three.
static void make_payload(uint32_t at, uint8_t *payload, uint32_t bytes)
{
    uint32_t value = at * 3;
    for (uint32_t i = 0; i < bytes; i++) {
        payload[i] = (uint8_t)(at + i);
    }
    memcpy(payload, &value, bytes < 4 ? bytes : 4);
}

static int propose_to(struct client *client, uint16_t group, uint32_t at, uint32_t bytes)
{
    static uint8_t payload[RAFT_PAYLOAD_BYTES_MAX];
    make_payload(at, payload, bytes);
    return client_propose(client, group, payload, bytes, on_done, (void *)(uintptr_t)at);
}

static int propose(struct client *client, uint32_t at, uint32_t bytes)
{
    return propose_to(client, 0, at, bytes);
}

// A cluster and a client, nothing sent yet.
struct bed {
    struct fake *fake;
    struct client *client;
};

static struct bed open_bed(uint32_t frame_bytes, uint32_t depth, uint64_t give_up_ns)
{
    memset(&ends, 0, sizeof(ends));
    struct bed bed = {.fake = fake_open(frame_bytes)};
    bed.client = fake_client(bed.fake, 4, depth, give_up_ns);
    return bed;
}

static void close_bed(struct bed bed)
{
    client_close(bed.client);
    CHECK_EQUAL(bed.fake->bad_entries, 0);
    CHECK_EQUAL(bed.fake->contradictions, 0);
    fake_close(bed.fake);
}

// Commands [first, first + count) ended once, DONE, with their own result.
static void check_done(uint32_t first, uint32_t count)
{
    for (uint32_t at = first; at < first + count; at++) {
        CHECK_EQUAL(ends.calls[at], 1);
        CHECK_EQUAL(ends.status[at], PONTOON_DONE);
        CHECK_EQUAL(ends.value[at], at * 3);
    }
}

static uint64_t executed(const struct fake *fake)
{
    uint64_t count = 0;
    for (uint32_t at = 0; at < fake->session_count; at++) {
        count += fake->sessions[at].executed_count;
    }
    return count;
}

static struct client_counters counters_of(const struct bed *bed)
{
    struct client_counters counters;
    client_counters(bed->client, &counters);
    return counters;
}

// Opens the session, so that what follows sees commands alone.
static void warm_up(struct bed *bed)
{
    CHECK_EQUAL(propose(bed->client, COMMANDS_MAX - 1, 8), 0);
    CHECK(fake_run_out(bed->fake, bed->client, 500 * FAKE_MS));
    CHECK_EQUAL(client_leader(bed->client, 0), bed->fake->leader);
}

static void answers_every_command_with_its_result(void)
{
    struct bed bed = open_bed(1472, 1000, 0);
    for (uint32_t at = 0; at < 1000; at++) {
        CHECK_EQUAL(propose(bed.client, at, 4 + at % 60), 0);
    }
    CHECK_EQUAL(propose(bed.client, 1000, 4), -EAGAIN);
    CHECK_EQUAL(client_in_flight(bed.client), 1000);
    CHECK(fake_run_out(bed.fake, bed.client, 100 * FAKE_MS));
    check_done(0, 1000);
    CHECK_EQUAL(executed(bed.fake), 1000);
    CHECK_EQUAL(bed.fake->repeats, 0);
    CHECK(counters_of(&bed).frames_out < 60); // many commands a frame
    close_bed(bed);
}

static void refuses_what_cannot_be(void)
{
    struct bed bed = open_bed(1472, 4, 0);
    CHECK_EQUAL(propose_to(bed.client, 4, 0, 4), -EINVAL);
    CHECK_EQUAL(client_propose(bed.client, 0, "x", RAFT_PAYLOAD_BYTES_MAX + 1, on_done, NULL),
                -EINVAL);
    struct client_config config;
    struct client *client;
    client_config_init(&config);
    CHECK_EQUAL(client_open(&config, &client), -EINVAL);
    close_bed(bed);
}

static void takes_empty_commands(void)
{
    struct bed bed = open_bed(1472, 4, 0);
    CHECK_EQUAL(client_propose(bed.client, 0, NULL, 0, on_done, (void *)(uintptr_t)0), 0);
    CHECK(fake_run_out(bed.fake, bed.client, 100 * FAKE_MS));
    CHECK_EQUAL(ends.done, 1);
    close_bed(bed);
}

static void goes_where_the_hint_says(void)
{
    for (uint16_t leader = 1; leader <= FAKE_NODES; leader++) {
        struct bed bed = open_bed(1472, 64, 0);
        bed.fake->leader = bed.fake->hint = leader;
        for (uint32_t at = 0; at < 64; at++) {
            CHECK_EQUAL(propose(bed.client, at, 16), 0);
        }
        fake_run(bed.fake, bed.client, 12, 1000); // without waiting for anything
        check_done(0, 64);
        CHECK_EQUAL(client_leader(bed.client, 0), leader);
        close_bed(bed);
    }
}

static void finds_the_leader_without_hints(void)
{
    struct bed bed = open_bed(1472, 8, 0);
    bed.fake->leader = 3;
    bed.fake->hint = 0;
    CHECK_EQUAL(propose(bed.client, 0, 16), 0);
    CHECK(fake_run_out(bed.fake, bed.client, 20 * FAKE_MS));
    check_done(0, 1);
    close_bed(bed);
}

static void does_not_hammer_while_there_is_no_leader(void)
{
    struct bed bed = open_bed(1472, 64, 0);
    bed.fake->leader = bed.fake->hint = 0;
    for (uint32_t at = 0; at < 64; at++) {
        CHECK_EQUAL(propose(bed.client, at, 16), 0);
    }
    fake_run(bed.fake, bed.client, 100000, 10000); // a second
    uint64_t frames = bed.fake->frames[1] + bed.fake->frames[2] + bed.fake->frames[3];
    CHECK(frames > 10 && frames < 200);
    bed.fake->leader = bed.fake->hint = 2;
    CHECK(fake_run_out(bed.fake, bed.client, 100 * FAKE_MS));
    check_done(0, 64);
    close_bed(bed);
}

static void hints_in_a_circle_are_damped(void)
{
    struct bed bed = open_bed(1472, 4, 0);
    bed.fake->leader = 0;
    CHECK_EQUAL(propose(bed.client, 0, 16), 0);
    for (uint32_t step = 0; step < 100000; step++) {
        bed.fake->hint = (uint16_t)(step % 3 + 1);
        fake_run(bed.fake, bed.client, 1, 10000);
    }
    CHECK(bed.fake->frames[1] + bed.fake->frames[2] + bed.fake->frames[3] < 300);
    bed.fake->leader = bed.fake->hint = 1;
    CHECK(fake_run_out(bed.fake, bed.client, 100 * FAKE_MS));
    check_done(0, 1);
    close_bed(bed);
}

static void repeats_lost_requests(void)
{
    struct bed bed = open_bed(1472, 64, 0);
    warm_up(&bed);
    bed.fake->drop_requests = 1;
    for (uint32_t at = 0; at < 8; at++) {
        CHECK_EQUAL(propose(bed.client, at, 16), 0);
    }
    fake_run(bed.fake, bed.client, 99, FAKE_MS);
    CHECK_EQUAL(ends.count, 1);
    CHECK(fake_run_out(bed.fake, bed.client, 5 * FAKE_MS));
    check_done(0, 8);
    CHECK_EQUAL(bed.fake->repeats, 0);
    CHECK_EQUAL(counters_of(&bed).commands.resent, 8);
    close_bed(bed);
}

static void repeats_after_lost_answers_without_doing_twice(void)
{
    struct bed bed = open_bed(1472, 64, 0);
    warm_up(&bed);
    bed.fake->drop_replies = 1;
    for (uint32_t at = 0; at < 8; at++) {
        CHECK_EQUAL(propose(bed.client, at, 16), 0);
    }
    CHECK(fake_run_out(bed.fake, bed.client, 110 * FAKE_MS));
    check_done(0, 8);
    CHECK_EQUAL(bed.fake->repeats, 8);
    CHECK_EQUAL(executed(bed.fake), 9);
    close_bed(bed);
}

static void only_the_lost_part_is_repeated(void)
{
    struct bed bed = open_bed(600, 64, 0);
    warm_up(&bed);
    bed.fake->drop_requests = 1;
    for (uint32_t at = 0; at < 64; at++) {
        CHECK_EQUAL(propose(bed.client, at, 100), 0);
    }
    CHECK(fake_run_out(bed.fake, bed.client, 110 * FAKE_MS));
    check_done(0, 64);
    CHECK_EQUAL(counters_of(&bed).commands.resent, 4); // what a frame of 600 bytes holds
    close_bed(bed);
}

// Under load answers may take longer than an attempt: repeated at first, then waited for.
static void slow_answers_are_waited_for(void)
{
    struct bed bed = open_bed(1472, 64, 0);
    warm_up(&bed);
    uint64_t resent = 0;
    for (uint32_t round = 0; round < 60; round++) {
        bed.fake->delay_ns = 150 * FAKE_MS;
        CHECK_EQUAL(propose(bed.client, round, 16), 0);
        CHECK(fake_run_out(bed.fake, bed.client, 1000 * FAKE_MS));
        resent = round == 30 ? counters_of(&bed).commands.resent : resent;
    }
    CHECK(resent > 0);
    CHECK_EQUAL(counters_of(&bed).commands.resent, resent);
    check_done(0, 60);
    close_bed(bed);
}

static void doubled_answers_end_a_command_once(void)
{
    struct bed bed = open_bed(1472, 64, 0);
    bed.fake->doubles = true;
    for (uint32_t round = 0; round < 10; round++) {
        for (uint32_t at = 0; at < 64; at++) {
            CHECK_EQUAL(propose(bed.client, round * 64 + at, 16), 0);
        }
        CHECK(fake_run_out(bed.fake, bed.client, 10 * FAKE_MS));
    }
    fake_run(bed.fake, bed.client, 10, FAKE_MS);
    check_done(0, 640);
    CHECK_EQUAL(ends.count, 640);
    close_bed(bed);
}

static void answers_may_come_in_any_order(void)
{
    struct bed bed = open_bed(600, 512, 0);
    warm_up(&bed);
    bed.fake->holds_replies = true;
    for (uint32_t at = 0; at < 512; at++) {
        CHECK_EQUAL(propose(bed.client, at, 64), 0);
    }
    fake_run(bed.fake, bed.client, 10, 1000);
    bed.fake->holds_replies = false;
    bed.fake->is_reversed = true;
    CHECK(fake_run_out(bed.fake, bed.client, 10 * FAKE_MS));
    check_done(0, 512);
    CHECK_EQUAL(counters_of(&bed).commands.resent, 0);
    close_bed(bed);
}

static void late_answers_of_a_former_leader_count(void)
{
    struct bed bed = open_bed(1472, 8, 0);
    warm_up(&bed);
    bed.fake->holds_replies = true;
    CHECK_EQUAL(propose(bed.client, 0, 16), 0);
    fake_run(bed.fake, bed.client, 2, 1000); // executed by node 1, the answer is under way
    bed.fake->leader = bed.fake->hint = 2;
    bed.fake->moods[2] = FAKE_SILENT;
    fake_run(bed.fake, bed.client, 30, 10 * FAKE_MS);
    bed.fake->holds_replies = false;
    fake_run(bed.fake, bed.client, 1, 1000);
    check_done(0, 1);
    close_bed(bed);
}

static void backs_off_from_a_busy_node(void)
{
    struct bed bed = open_bed(1472, 1024, 0);
    warm_up(&bed);
    bed.fake->moods[1] = FAKE_BUSY;
    for (uint32_t at = 0; at < 1024; at++) {
        CHECK_EQUAL(propose(bed.client, at, 16), 0);
    }
    uint64_t before = bed.fake->commands;
    fake_run(bed.fake, bed.client, 100000, 10000); // a second
    CHECK(bed.fake->commands - before < 6000);     // and not 1024 a poll
    bed.fake->moods[1] = FAKE_WELL;
    CHECK(fake_run_out(bed.fake, bed.client, 200 * FAKE_MS));
    check_done(0, 1024);
    CHECK_EQUAL(bed.fake->repeats, 0);
    CHECK(counters_of(&bed).commands.busy > 0);
    close_bed(bed);
}

static void the_window_recovers_after_busy(void)
{
    struct bed bed = open_bed(8960, 4096, 0);
    warm_up(&bed);
    bed.fake->moods[1] = FAKE_BUSY;
    for (uint32_t at = 0; at < 4096; at++) {
        CHECK_EQUAL(propose(bed.client, at, 16), 0);
    }
    fake_run(bed.fake, bed.client, 1000, 100000);
    bed.fake->moods[1] = FAKE_WELL;
    CHECK(fake_run_out(bed.fake, bed.client, 30 * FAKE_MS)); // a window of 1 would take 80
    check_done(0, 4096);
    close_bed(bed);
}

static void expired_sessions_end_what_was_sent_and_only_that(void)
{
    struct bed bed = open_bed(600, 2000, 0);
    warm_up(&bed);
    bed.fake->moods[1] = FAKE_DEAF; // executes what is sent now, unheard
    for (uint32_t at = 0; at < 2000; at++) {
        CHECK_EQUAL(propose(bed.client, at, 100), 0);
    }
    fake_run(bed.fake, bed.client, 1, 1000);
    uint64_t sent = bed.fake->commands - 1;
    CHECK(sent > 0 && sent < 2000);
    fake_evict_sessions(bed.fake);
    bed.fake->moods[1] = FAKE_WELL;
    CHECK(fake_run_out(bed.fake, bed.client, 1000 * FAKE_MS));
    uint32_t expired = 0;
    while (expired < 2000 && ends.status[expired] == PONTOON_EXPIRED) {
        CHECK_EQUAL(ends.calls[expired], 1);
        expired++;
    }
    CHECK(expired >= sent && expired < 2000);
    check_done(expired, 2000 - expired);
    CHECK_EQUAL(bed.fake->session_count, 2);
    CHECK_EQUAL(bed.fake->sessions[1].newest, 2000 - expired); // numbered from 1, without gaps
    CHECK_EQUAL(bed.fake->sessions[1].executed_count, 2000 - expired);
    close_bed(bed);
}

static void a_new_leader_is_found_by_asking_the_others(void)
{
    struct bed bed = open_bed(1472, 64, 0);
    warm_up(&bed);
    bed.fake->moods[1] = FAKE_SILENT;
    bed.fake->leader = bed.fake->hint = 3;
    for (uint32_t at = 0; at < 64; at++) {
        CHECK_EQUAL(propose(bed.client, at, 16), 0);
    }
    CHECK(fake_run_out(bed.fake, bed.client, 20 * FAKE_MS)); // an attempt is 100 ms
    check_done(0, 64);
    CHECK_EQUAL(client_leader(bed.client, 0), 3);
    close_bed(bed);
}

static void what_a_deposed_leader_took_is_asked_of_the_next(void)
{
    struct bed bed = open_bed(1472, 64, 0);
    warm_up(&bed);
    bed.fake->moods[1] = FAKE_LOSING;
    bed.fake->hint = 2;
    for (uint32_t at = 0; at < 64; at++) {
        CHECK_EQUAL(propose(bed.client, at, 16), 0);
    }
    fake_run(bed.fake, bed.client, 2, 1000);
    bed.fake->leader = 2;
    CHECK(fake_run_out(bed.fake, bed.client, 20 * FAKE_MS));
    check_done(0, 64);
    CHECK_EQUAL(bed.fake->repeats, 64);
    CHECK_EQUAL(executed(bed.fake), 65);
    close_bed(bed);
}

static void leaves_a_node_that_cannot_serve(void)
{
    struct bed bed = open_bed(1472, 64, 0);
    warm_up(&bed);
    bed.fake->moods[1] = FAKE_FAILED;
    bed.fake->leader = bed.fake->hint = 2;
    CHECK_EQUAL(propose(bed.client, 0, 16), 0);
    CHECK(fake_run_out(bed.fake, bed.client, 20 * FAKE_MS));
    check_done(0, 1);
    close_bed(bed);
}

static void large_commands_travel_in_fragments(void)
{
    const uint32_t sizes[] = {1000, 1384, 1385, 1500, 4096, 70000, RAFT_PAYLOAD_BYTES_MAX};
    for (uint32_t frame = 534; frame <= 8960; frame += 8426) {
        struct bed bed = open_bed(frame, 64, 0);
        uint32_t count = sizeof(sizes) / sizeof(sizes[0]);
        for (uint32_t at = 0; at < count; at++) {
            CHECK_EQUAL(propose(bed.client, 2 * at, sizes[at]), 0);
            CHECK_EQUAL(propose(bed.client, 2 * at + 1, 20), 0);
        }
        CHECK(fake_run_out(bed.fake, bed.client, 400 * FAKE_MS));
        check_done(0, 2 * count);
        CHECK(bed.fake->fragments > 100);
        CHECK_EQUAL(bed.fake->repeats, 0);
        close_bed(bed);
    }
}

static void a_lost_fragment_is_repeated(void)
{
    struct bed bed = open_bed(1472, 64, 0);
    warm_up(&bed);
    for (uint32_t at = 0; at < 10; at++) {
        CHECK_EQUAL(propose(bed.client, at, 200000), 0);
    }
    bed.fake->drop_requests = 3;
    CHECK(fake_run_out(bed.fake, bed.client, 1000 * FAKE_MS));
    check_done(0, 10);
    close_bed(bed);
}

static void payload_memory_is_reused(void)
{
    struct bed bed = open_bed(8960, 64, 0);
    uint32_t given = 0;
    for (uint32_t at = 0; at < 300; at++) { // 4 MiB hold a dozen of these
        while (propose(bed.client, at, 300000 + at % 7) == -EAGAIN) {
            fake_run(bed.fake, bed.client, 1, 10000);
        }
        given++;
    }
    CHECK(fake_run_out(bed.fake, bed.client, 100 * FAKE_MS));
    check_done(0, given);
    close_bed(bed);
}

static void what_takes_too_long_is_unknown(void)
{
    struct bed bed = open_bed(1472, 8, 300 * FAKE_MS);
    warm_up(&bed);
    bed.fake->moods[1] = bed.fake->moods[2] = bed.fake->moods[3] = FAKE_SILENT;
    for (uint32_t at = 0; at < 8; at++) {
        CHECK_EQUAL(propose(bed.client, at, 16), 0);
    }
    fake_run(bed.fake, bed.client, 299, FAKE_MS);
    CHECK_EQUAL(ends.count, 1);
    fake_run(bed.fake, bed.client, 5, FAKE_MS);
    CHECK_EQUAL(ends.count, 9);
    for (uint32_t at = 0; at < 8; at++) {
        CHECK_EQUAL(ends.status[at], PONTOON_UNKNOWN);
    }
    CHECK_EQUAL(counters_of(&bed).commands.unknown, 8);
    close_bed(bed);
}

// A session in which a number is left out for ever comes to a halt one window later.
static void a_session_with_a_gap_is_replaced(void)
{
    struct bed bed = open_bed(1472, 1024, 300 * FAKE_MS);
    warm_up(&bed);
    bed.fake->moods[1] = bed.fake->moods[2] = bed.fake->moods[3] = FAKE_SILENT;
    CHECK_EQUAL(propose(bed.client, 0, 16), 0);
    fake_run(bed.fake, bed.client, 310, FAKE_MS);
    CHECK_EQUAL(ends.status[0], PONTOON_UNKNOWN);
    bed.fake->moods[1] = bed.fake->moods[2] = bed.fake->moods[3] = FAKE_WELL;
    for (uint32_t at = 1; at < 5000; at++) {
        while (propose(bed.client, at, 16) == -EAGAIN) {
            fake_run(bed.fake, bed.client, 1, 10000);
        }
    }
    CHECK(fake_run_out(bed.fake, bed.client, 100 * FAKE_MS));
    check_done(1, 4999);
    CHECK_EQUAL(bed.fake->session_count, 2);
    CHECK_EQUAL(bed.fake->sessions[1].newest, 4999);
    close_bed(bed);
}

static void giving_up_what_was_never_sent_leaves_no_gap(void)
{
    struct bed bed = open_bed(1472, 64, 300 * FAKE_MS);
    warm_up(&bed);
    bed.fake->is_unresolved = true;
    for (uint32_t at = 0; at < 5; at++) {
        CHECK_EQUAL(propose(bed.client, at, 16), 0);
    }
    fake_run(bed.fake, bed.client, 310, FAKE_MS);
    CHECK_EQUAL(ends.status[4], PONTOON_UNKNOWN);
    bed.fake->is_unresolved = false;
    CHECK_EQUAL(propose(bed.client, 5, 16), 0);
    CHECK(fake_run_out(bed.fake, bed.client, 50 * FAKE_MS));
    check_done(5, 1);
    CHECK_EQUAL(bed.fake->session_count, 1);
    CHECK_EQUAL(bed.fake->sessions[0].newest, 2);
    close_bed(bed);
}

static void a_new_command_has_its_own_time_after_idleness(void)
{
    struct bed bed = open_bed(1472, 64, 300 * FAKE_MS);
    warm_up(&bed);
    bed.fake->now_ns += 1000 * FAKE_MS;
    CHECK_EQUAL(propose(bed.client, 0, 16), 0);
    CHECK(fake_run_out(bed.fake, bed.client, 50 * FAKE_MS));
    check_done(0, 1);
    close_bed(bed);
}

static void obeys_a_window_smaller_than_the_depth(void)
{
    struct bed bed = open_bed(8960, 8192, 0);
    bed.fake->window_max = 1024;
    warm_up(&bed);
    bed.fake->holds_replies = true;
    for (uint32_t at = 0; at < 8192; at++) {
        CHECK_EQUAL(propose(bed.client, at, 16), 0);
    }
    fake_run(bed.fake, bed.client, 50, 1000);
    CHECK_EQUAL(bed.fake->sessions[0].newest, 1 + 1024);
    bed.fake->holds_replies = false;
    CHECK(fake_run_out(bed.fake, bed.client, 100 * FAKE_MS));
    check_done(0, 8192);
    close_bed(bed);
}

static void waits_for_buffers_and_for_the_driver(void)
{
    struct bed bed = open_bed(600, 1024, 0);
    warm_up(&bed);
    for (uint32_t at = 0; at < 1024; at++) {
        CHECK_EQUAL(propose(bed.client, at, 100), 0);
    }
    bed.fake->has_no_buffers = true;
    fake_run(bed.fake, bed.client, 10, 1000);
    CHECK_EQUAL(ends.count, 1);
    bed.fake->has_no_buffers = false;
    bed.fake->tx_limit = 0;
    fake_run(bed.fake, bed.client, 10, 1000);
    CHECK_EQUAL(ends.count, 1);
    bed.fake->tx_limit = 3;
    CHECK(fake_run_out(bed.fake, bed.client, 90 * FAKE_MS));
    check_done(0, 1024);
    CHECK_EQUAL(bed.fake->repeats, 0);
    close_bed(bed);
}

static void groups_have_their_own_sessions_and_share_frames(void)
{
    memset(&ends, 0, sizeof(ends));
    struct bed bed = {.fake = fake_open(8960)};
    bed.client = fake_client(bed.fake, 129, 16, 0);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t at = 0; at < 3; at++) { // 0, 64, 128: one class
            CHECK_EQUAL(propose_to(bed.client, (uint16_t)(at * 64), round * 3 + at, 16), 0);
        }
        uint64_t frames = counters_of(&bed).frames_out;
        CHECK(fake_run_out(bed.fake, bed.client, 100 * FAKE_MS));
        CHECK(round == 0 || counters_of(&bed).frames_out - frames == 1);
    }
    check_done(0, 6);
    CHECK_EQUAL(bed.fake->session_count, 3);
    close_bed(bed);
}

static void closing_ends_everything(void)
{
    struct bed bed = open_bed(1472, 64, 0);
    for (uint32_t at = 0; at < 10; at++) {
        CHECK_EQUAL(propose(bed.client, at, 16), 0);
    }
    close_bed(bed);
    for (uint32_t at = 0; at < 10; at++) {
        CHECK_EQUAL(ends.calls[at], 1);
        CHECK_EQUAL(ends.status[at], PONTOON_UNKNOWN);
    }
}

// A callback may propose: a closed loop of 32.
static struct client *loop_client;
static uint32_t loop_next;

static void on_done_propose(void *context, const struct pontoon_result *result)
{
    on_done(context, result);
    uint32_t value = loop_next * 3;
    if (loop_next < 5000) {
        int error = client_propose(loop_client, 0, &value, 4, on_done_propose,
                                   (void *)(uintptr_t)loop_next);
        CHECK_EQUAL(error, 0);
        loop_next++;
    }
}

static void callbacks_may_propose(void)
{
    struct bed bed = open_bed(1472, 32, 0);
    loop_client = bed.client;
    loop_next = 0;
    while (loop_next < 32) {
        uint32_t value = loop_next * 3;
        CHECK_EQUAL(
            client_propose(bed.client, 0, &value, 4, on_done_propose, (void *)(uintptr_t)loop_next),
            0);
        loop_next++;
    }
    CHECK(fake_run_out(bed.fake, bed.client, 100 * FAKE_MS));
    check_done(0, 5000);
    close_bed(bed);
}

static void change_the_world(struct fake *fake)
{
    uint64_t dice = prng_below(&fake->prng, 1000);
    if (dice < 4) {
        fake->leader = (uint16_t)prng_below(&fake->prng, 4);
        fake->hint = (uint16_t)prng_below(&fake->prng, 4);
    } else if (dice < 8) {
        fake->moods[prng_between(&fake->prng, 1, 3)] =
            (enum fake_mood)prng_below(&fake->prng, FAKE_LOSING + 1);
    } else if (dice < 12) {
        fake->moods[1] = fake->moods[2] = fake->moods[3] = FAKE_WELL;
    } else if (dice < 14) {
        fake->doubles = !fake->doubles;
        fake->is_reversed = !fake->is_reversed;
    } else if (dice < 16) {
        fake->holds_replies = !fake->holds_replies;
    } else if (dice < 18) {
        fake->tx_limit = (uint32_t)prng_below(&fake->prng, 6);
    } else if (dice == 18 && fake->session_count < FAKE_SESSIONS - 20) {
        fake_evict_sessions(fake);
    } else if (dice < 22) {
        fake->tx_limit = UINT32_MAX;
        fake->holds_replies = false;
    }
}

static void heal(struct fake *fake)
{
    fake->leader = fake->hint = 2;
    fake->moods[1] = fake->moods[2] = fake->moods[3] = FAKE_WELL;
    fake->holds_replies = false;
    fake->tx_limit = UINT32_MAX;
    fake->loss_percent = 0;
}

// How often each command was executed, over all sessions. Commands are told apart by their result.
static uint32_t executions[COMMANDS_MAX];

static void count_executions(const struct fake *fake)
{
    memset(executions, 0, sizeof(executions));
    for (uint32_t at = 0; at < fake->session_count; at++) {
        for (uint32_t sequence = 1; sequence <= fake->sessions[at].newest; sequence++) {
            uint32_t value = fake->sessions[at].values[sequence];
            if (value != 0) {
                executions[(value - 1) / 3]++;
            }
        }
    }
}

static void whatever_happens_each_command_ends_once(void)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct bed bed = open_bed(seed % 2 == 0 ? 600 : 1472, 200, 2000 * FAKE_MS);
        prng_init(&bed.fake->prng, seed);
        bed.fake->loss_percent = (uint32_t)(seed % 3 * 4);
        uint32_t given = 0;
        for (uint32_t step = 0; step < 20000; step++) {
            uint32_t bytes = prng_chance(&bed.fake->prng, 1, 50) ? 5000 : 4 + step % 50;
            if (given < 8000 && prng_chance(&bed.fake->prng, 1, 3) &&
                propose_to(bed.client, (uint16_t)prng_below(&bed.fake->prng, 2), given, bytes) ==
                    0) {
                given++;
            }
            change_the_world(bed.fake);
            fake_run(bed.fake, bed.client, 1, prng_below(&bed.fake->prng, 400000));
        }
        heal(bed.fake);
        CHECK(fake_run_out(bed.fake, bed.client, 5000 * FAKE_MS));
        count_executions(bed.fake);
        CHECK(ends.done > given / 4);
        for (uint32_t at = 0; at < given; at++) {
            CHECK_EQUAL(ends.calls[at], 1);
            CHECK(executions[at] <= 1);
            CHECK(ends.status[at] == PONTOON_DONE || ends.status[at] == PONTOON_UNKNOWN ||
                  ends.status[at] == PONTOON_EXPIRED);
            if (ends.status[at] == PONTOON_DONE) {
                CHECK_EQUAL(executions[at], 1);
                CHECK_EQUAL(ends.value[at], at * 3);
            }
        }
        close_bed(bed);
    }
}

// Answers that are well formed and mean nothing: wrong sessions, sequences, requests, groups.
static void inject_nonsense(struct fake *fake)
{
    uint8_t frame[FAKE_FRAME_MAX];
    struct wire_writer writer;
    struct prng *prng = &fake->prng;
    fake_begin(fake, &writer, frame, (uint16_t)prng_between(prng, 1, 3));
    uint64_t session = prng_chance(prng, 1, 2) ? 1000 : prng_below(prng, 1 << 20);
    const struct wire_result results[2] = {
        {.sequence = prng_chance(prng, 1, 2) ? prng_below(prng, 4000) + 500000 : prng_next(prng),
         .status = (uint32_t)prng_below(prng, 8)},
        {.sequence = UINT64_MAX, .status = WIRE_DONE}};
    const struct wire_register_reply enrolled = {.nonce = prng_next(prng),
                                                 .session = prng_below(prng, 1 << 20),
                                                 .window = prng_below(prng, 1 << 20),
                                                 .status = (uint32_t)prng_below(prng, 8)};
    const struct wire_read_reply answer = {.request = prng_below(prng, 1 << 20),
                                           .status = (uint32_t)prng_below(prng, 8),
                                           .result = (int32_t)prng_next(prng),
                                           .data = frame};
    const struct wire_status_reply status = {.request = prng_below(prng, 1 << 10), .node = 2};
    uint16_t group = (uint16_t)prng_below(prng, 4);
    wire_put_propose_reply(&writer, group, session, (uint16_t)prng_below(prng, 65), results, 2);
    wire_put_register_reply(&writer, group, &enrolled);
    wire_put_read_reply(&writer, group, &answer);
    wire_put_status_reply(&writer, group, &status);
    uint32_t bytes = wire_seal(&writer);
    if (prng_chance(prng, 1, 3)) {
        frame[prng_below(prng, bytes)] ^= (uint8_t)(1 << prng_below(prng, 8));
    }
    fake_inject(fake, frame, bytes);
}

static void nonsense_is_ignored(void)
{
    struct bed bed = open_bed(1472, 64, 0);
    warm_up(&bed);
    uint32_t given = 0;
    for (uint32_t step = 0; step < 20000; step++) {
        inject_nonsense(bed.fake);
        if (given < 10000 && propose(bed.client, given, 16) == 0) {
            given++;
        }
        fake_run(bed.fake, bed.client, 1, 1000);
    }
    CHECK(fake_run_out(bed.fake, bed.client, 500 * FAKE_MS));
    check_done(0, given);
    struct client_counters counters = counters_of(&bed);
    CHECK(counters.stale > 1000 && counters.refused[WIRE_BAD_CHECKSUM] > 1000);
    close_bed(bed);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(answers_every_command_with_its_result),
        TEST(refuses_what_cannot_be),
        TEST(takes_empty_commands),
        TEST(goes_where_the_hint_says),
        TEST(finds_the_leader_without_hints),
        TEST(does_not_hammer_while_there_is_no_leader),
        TEST(hints_in_a_circle_are_damped),
        TEST(repeats_lost_requests),
        TEST(repeats_after_lost_answers_without_doing_twice),
        TEST(only_the_lost_part_is_repeated),
        TEST(slow_answers_are_waited_for),
        TEST(doubled_answers_end_a_command_once),
        TEST(answers_may_come_in_any_order),
        TEST(late_answers_of_a_former_leader_count),
        TEST(backs_off_from_a_busy_node),
        TEST(the_window_recovers_after_busy),
        TEST(expired_sessions_end_what_was_sent_and_only_that),
        TEST(a_new_leader_is_found_by_asking_the_others),
        TEST(what_a_deposed_leader_took_is_asked_of_the_next),
        TEST(leaves_a_node_that_cannot_serve),
        TEST(large_commands_travel_in_fragments),
        TEST(a_lost_fragment_is_repeated),
        TEST(payload_memory_is_reused),
        TEST(what_takes_too_long_is_unknown),
        TEST(a_session_with_a_gap_is_replaced),
        TEST(giving_up_what_was_never_sent_leaves_no_gap),
        TEST(a_new_command_has_its_own_time_after_idleness),
        TEST(obeys_a_window_smaller_than_the_depth),
        TEST(waits_for_buffers_and_for_the_driver),
        TEST(groups_have_their_own_sessions_and_share_frames),
        TEST(closing_ends_everything),
        TEST(callbacks_may_propose),
        TEST(whatever_happens_each_command_ends_once),
        TEST(nonsense_is_ignored),
    };
    return test_run("client", cases, TEST_COUNT(cases), argc, argv);
}
