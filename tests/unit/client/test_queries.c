// Reads and status, against scripted nodes: answers in parts, lost and changing ones.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/harness.h"
#include "tests/unit/client/fake_cluster.h"

enum { READS_MAX = 4096 };

struct read_end {
    uint32_t calls;
    enum pontoon_status status;
    int32_t bytes;
    bool is_right; // the answer is that of some state since the read was asked
};

static struct read_end read_ends[READS_MAX];
static struct fake *fake;
static struct client *client;
static uint64_t state_asked[READS_MAX];

static bool is_answer_of(const uint8_t *answer, int32_t bytes, uint64_t state)
{
    for (int32_t at = 0; at < bytes; at++) {
        if (answer[at] != fake_answer_byte(state, (uint32_t)at)) {
            return false;
        }
    }
    return true;
}

static void on_answer(void *context, enum pontoon_status status, const void *answer, int32_t bytes)
{
    size_t at = (size_t)(uintptr_t)context;
    struct read_end *end = &read_ends[at];
    end->calls++;
    end->status = status;
    end->bytes = bytes;
    for (uint64_t state = state_asked[at]; status == PONTOON_DONE && state <= fake->state;
         state++) {
        end->is_right |= is_answer_of(answer, bytes, state);
    }
}

static void open_world(uint32_t frame_bytes, uint64_t give_up_ns)
{
    memset(read_ends, 0, sizeof(read_ends));
    fake = fake_open(frame_bytes);
    client = fake_client(fake, 4, 64, give_up_ns);
}

static void close_world(void)
{
    client_close(client);
    CHECK_EQUAL(fake->bad_entries, 0);
    fake_close(fake);
}

static void ask(uint32_t at)
{
    state_asked[at] = fake->state;
    CHECK_EQUAL(client_read(client, 0, "query", 5, on_answer, (void *)(uintptr_t)at), 0);
}

static void check_right(uint32_t first, uint32_t count)
{
    for (uint32_t at = first; at < first + count; at++) {
        CHECK_EQUAL(read_ends[at].calls, 1);
        CHECK_EQUAL(read_ends[at].status, PONTOON_DONE);
        CHECK_EQUAL(read_ends[at].bytes, fake->answer_bytes);
        CHECK(read_ends[at].is_right);
    }
}

static void small_answers_of_any_number(void)
{
    open_world(1472, 0);
    for (uint32_t round = 0; round < 10; round++) {
        for (uint32_t at = 0; at < 256; at++) {
            ask(round * 256 + at);
        }
        CHECK_EQUAL(client_read(client, 0, "query", 5, on_answer, NULL), -EAGAIN);
        CHECK(fake_run_out(fake, client, 10 * FAKE_MS));
        fake->state++;
    }
    check_right(0, 2560);
    CHECK(fake->frames[1] + fake->frames[2] + fake->frames[3] < 300); // many queries a frame
    close_world();
}

// A client that begins anew at the same address must not take an old answer, of an old state, for
// its own.
static void answers_to_a_former_client_are_stale(void)
{
    open_world(1472, 0);
    ask(0);
    CHECK(fake_run_out(fake, client, 10 * FAKE_MS));
    fake->delay_ns = 20 * FAKE_MS; // the second answer comes late ...
    ask(1);
    fake_run(fake, client, 5, 10000);
    CHECK_EQUAL(fake->queue_count, 1);
    client_close(client);
    client = fake_client(fake, 4, 64, 0);
    fake->state++;
    fake->delay_ns = 0;
    ask(2);
    CHECK(fake_run_out(fake, client, 10 * FAKE_MS));
    fake->delay_ns = 20 * FAKE_MS;
    ask(3); // ... while the second question of the next client waits
    CHECK(fake_run_out(fake, client, 50 * FAKE_MS));
    check_right(2, 2);
    struct client_counters counters;
    client_counters(client, &counters);
    CHECK_EQUAL(counters.stale, 1);
    close_world();
}

static void answers_of_every_size(void)
{
    const uint32_t sizes[] = {0,    1,    500,  1375,  1376,    1377,
                              1378, 4096, 9000, 65536, 1 << 20, CLIENT_ANSWER_BYTES_MAX};
    for (uint32_t frame = 534; frame <= 9000; frame += 8466) {
        for (uint32_t at = 0; at < sizeof(sizes) / sizeof(sizes[0]); at++) {
            open_world(frame, 0);
            fake->answer_bytes = sizes[at];
            ask(0);
            CHECK(fake_run_out(fake, client, 90 * FAKE_MS));
            check_right(0, 1);
            close_world();
        }
    }
}

static void parts_in_any_order_and_doubled(void)
{
    open_world(1472, 0);
    fake->answer_bytes = 50000;
    fake->is_reversed = fake->doubles = fake->holds_replies = true;
    fake->leader = fake->hint = 1;
    ask(0);
    for (uint32_t step = 0; step < 50;
         step++) { // lets redirects through, then turns the rest round
        fake->holds_replies = fake->queue_count > 2 && fake->queue_count < 70;
        fake_run(fake, client, 1, 10000);
    }
    fake->holds_replies = false;
    CHECK(fake_run_out(fake, client, 50 * FAKE_MS));
    check_right(0, 1);
    close_world();
}

static void reads_follow_the_leader(void)
{
    open_world(1472, 0);
    fake->leader = fake->hint = 3;
    for (uint32_t at = 0; at < 10; at++) {
        ask(at);
    }
    fake_run(fake, client, 6, 1000);
    check_right(0, 10);
    fake->moods[3] = FAKE_SILENT;
    fake->leader = fake->hint = 2;
    ask(10);
    CHECK(fake_run_out(fake, client, 20 * FAKE_MS));
    check_right(10, 1);
    close_world();
}

// Parts of two attempts make one answer when nothing changed in between.
static void parts_of_two_attempts_of_the_same_state(void)
{
    open_world(1472, 0);
    ask(0);
    CHECK(fake_run_out(fake, client, 50 * FAKE_MS));
    fake->answer_bytes = 20000;
    fake->skip_replies = 3; // parts 0..2 arrive
    fake->drop_replies = 100;
    ask(1);
    fake_run(fake, client, 5, 1000);
    fake->skip_replies = 0;
    fake->drop_replies = 3; // of the second attempt 0..2 do not
    fake->answer_pad = 0;
    CHECK(fake_run_out(fake, client, 150 * FAKE_MS));
    check_right(1, 1);
    CHECK(fake->reads <= 4);
    close_world();
}

static void attempts_may_be_cut_differently(void)
{
    open_world(1472, 0);
    ask(0);
    CHECK(fake_run_out(fake, client, 50 * FAKE_MS));
    fake->answer_bytes = 20000;
    fake->skip_replies = 7;
    fake->drop_replies = 100;
    ask(1);
    fake_run(fake, client, 5, 1000);
    fake->drop_replies = 5;
    fake->answer_pad = 504;
    CHECK(fake_run_out(fake, client, 150 * FAKE_MS));
    check_right(1, 1);
    close_world();
}

static void parts_of_different_states_are_not_mixed(void)
{
    open_world(1472, 0);
    ask(0);
    CHECK(fake_run_out(fake, client, 50 * FAKE_MS));
    for (uint32_t lost = 0; lost < 14; lost++) {
        fake->answer_bytes = 20000;
        fake->skip_replies = lost;
        fake->drop_replies = 1;
        ask(1 + lost);
        fake_run(fake, client, 20, FAKE_MS);
        fake->state++;
        CHECK(fake_run_out(fake, client, 150 * FAKE_MS));
        check_right(1 + lost, 1);
    }
    close_world();
}

// Answers to the client's own probes are short.
static void drop_status_replies(void)
{
    uint32_t kept = 0;
    for (uint32_t at = 0; at < fake->queue_count; at++) {
        struct fake_packet *packet = fake->queue[at];
        if (packet->bytes > 200) {
            fake->queue[at] = fake->queue[kept];
            fake->queue[kept++] = packet;
        }
    }
    fake->queue_count = kept;
}

// Puts the second half of the queue between the first: last, first, last but one, second, ...
static void interleave(void)
{
    struct fake_packet *mixed[32];
    uint32_t count = fake->queue_count;
    for (uint32_t at = 0; at < count; at++) {
        mixed[at] = fake->queue[at % 2 == 0 ? count - 1 - at / 2 : at / 2];
    }
    memcpy(fake->queue, mixed, count * sizeof(mixed[0]));
}

// Parts of the first attempt come between parts of the second, which found another state.
static void parts_of_an_older_attempt_are_dropped(void)
{
    open_world(1472, 0);
    ask(0);
    CHECK(fake_run_out(fake, client, 50 * FAKE_MS));
    fake->answer_bytes = 6000;
    fake->delay_ns = 180 * FAKE_MS;
    ask(1);
    fake_run(fake, client, 50, FAKE_MS);
    fake->state++;
    fake->delay_ns = 0;
    fake->holds_replies = true;
    fake_run(fake, client, 60, FAKE_MS);
    uint64_t reads = fake->reads;
    drop_status_replies();
    CHECK_EQUAL(fake->queue_count, 10);
    interleave();
    fake->now_ns += 100 * FAKE_MS;
    fake->holds_replies = false;
    CHECK(fake_run_out(fake, client, FAKE_MS));
    CHECK_EQUAL(fake->reads, reads);
    check_right(1, 1);
    close_world();
}

static void more_large_answers_than_buffers(void)
{
    open_world(1472, 0);
    fake->answer_bytes = 30000;
    fake->loss_percent = 1;
    for (uint32_t at = 0; at < 200; at++) {
        ask(at);
    }
    CHECK(fake_run_out(fake, client, 9000 * FAKE_MS));
    check_right(0, 200);
    close_world();
}

static void errors_of_the_state_machine_are_answers(void)
{
    open_world(1472, 0);
    fake->read_error = -ENOENT;
    ask(0);
    CHECK(fake_run_out(fake, client, 50 * FAKE_MS));
    CHECK_EQUAL(read_ends[0].status, PONTOON_DONE);
    CHECK_EQUAL(read_ends[0].bytes, -ENOENT);
    close_world();
}

static void unanswered_reads_are_unknown(void)
{
    open_world(1472, 200 * FAKE_MS);
    fake->moods[1] = fake->moods[2] = fake->moods[3] = FAKE_SILENT;
    ask(0);
    fake_run(fake, client, 260, FAKE_MS);
    CHECK_EQUAL(read_ends[0].calls, 1);
    CHECK_EQUAL(read_ends[0].status, PONTOON_UNKNOWN);
    fake->moods[1] = fake->moods[2] = fake->moods[3] = FAKE_BUSY;
    ask(1);
    fake_run(fake, client, 260, FAKE_MS);
    CHECK_EQUAL(read_ends[1].status, PONTOON_UNKNOWN);
    ask(2);
    close_world();
    CHECK_EQUAL(read_ends[2].status, PONTOON_UNKNOWN);
}

static void too_long_queries_are_refused(void)
{
    static const uint8_t query[CLIENT_QUERY_BYTES_MAX + 1];
    open_world(534, 0);
    CHECK_EQUAL(client_read(client, 0, query, sizeof(query), on_answer, NULL), -EINVAL);
    CHECK_EQUAL(client_read(client, 4, query, 1, on_answer, NULL), -EINVAL);
    // no frame of this link holds it
    CHECK_EQUAL(client_read(client, 0, query, 1000, on_answer, (void *)(uintptr_t)0), 0);
    CHECK(fake_run_out(fake, client, 50 * FAKE_MS));
    CHECK_EQUAL(read_ends[0].status, PONTOON_INVALID);
    close_world();
}

static void reads_survive_chaos(void)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        open_world(1472, 5000 * FAKE_MS);
        prng_init(&fake->prng, seed);
        fake->loss_percent = 5;
        uint32_t asked = 0;
        for (uint32_t step = 0; step < 3000; step++) {
            fake->answer_bytes = 3000;
            if (asked < 1000 && prng_chance(&fake->prng, 1, 3) && client_in_flight(client) < 200) {
                ask(asked++);
            }
            fake->state += prng_chance(&fake->prng, 1, 20);
            fake->doubles = prng_chance(&fake->prng, 1, 4);
            fake->is_reversed = prng_chance(&fake->prng, 1, 4);
            if (prng_chance(&fake->prng, 1, 100)) {
                fake->leader = fake->hint = (uint16_t)prng_between(&fake->prng, 1, 3);
            }
            fake_run(fake, client, 1, prng_below(&fake->prng, 500000));
        }
        fake->loss_percent = 0;
        CHECK(fake_run_out(fake, client, 1000 * FAKE_MS));
        check_right(0, asked);
        close_world();
    }
}

// ----------------------------------------------------------------------------------------- status

static uint32_t status_calls, status_missing;
static struct pontoon_group_status status_seen[FAKE_NODES + 1];

static void on_status(void *context, uint16_t node, const struct pontoon_group_status *status)
{
    (void)context;
    status_calls++;
    if (status == NULL) {
        status_missing++;
    } else {
        status_seen[node] = *status;
    }
}

static void status_of_each_node(void)
{
    open_world(1472, 0);
    status_calls = status_missing = 0;
    fake->state = 42;
    fake->leader = fake->hint = 2;
    fake->moods[3] = FAKE_SILENT;
    for (uint16_t node = 1; node <= FAKE_NODES; node++) {
        CHECK_EQUAL(client_status(client, node, 3, node == 1, on_status, NULL), 0);
    }
    CHECK_EQUAL(client_status(client, 4, 0, true, on_status, NULL), -EINVAL);
    CHECK_EQUAL(client_status(client, 1, 4, true, on_status, NULL), -EINVAL);
    fake_run(fake, client, 3, FAKE_MS);
    CHECK_EQUAL(status_calls, 2);
    CHECK_EQUAL(status_seen[1].digest, 77);
    CHECK_EQUAL(status_seen[1].applied, 42);
    CHECK_EQUAL(status_seen[1].role, PONTOON_FOLLOWER);
    CHECK_EQUAL(status_seen[2].digest, 0);
    CHECK_EQUAL(status_seen[2].role, PONTOON_LEADER);
    CHECK_EQUAL(status_seen[2].term, 5);
    fake_run(fake, client, 1010, FAKE_MS);
    CHECK_EQUAL(status_calls, 3);
    CHECK_EQUAL(status_missing, 1);
    CHECK(fake->frames[3] > 5);
    close_world();
}

static void status_requests_are_bounded(void)
{
    open_world(1472, 0);
    status_calls = status_missing = 0;
    for (uint32_t at = 0; at < CLIENT_STATUS_MAX; at++) {
        CHECK_EQUAL(client_status(client, 1, 0, false, on_status, NULL), 0);
    }
    CHECK_EQUAL(client_status(client, 1, 0, false, on_status, NULL), -EAGAIN);
    fake_run(fake, client, 3, FAKE_MS);
    CHECK_EQUAL(status_calls, CLIENT_STATUS_MAX);
    CHECK_EQUAL(client_status(client, 1, 0, false, on_status, NULL), 0);
    close_world();
    CHECK_EQUAL(status_missing, 1);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(small_answers_of_any_number),
        TEST(answers_to_a_former_client_are_stale),
        TEST(answers_of_every_size),
        TEST(parts_in_any_order_and_doubled),
        TEST(reads_follow_the_leader),
        TEST(parts_of_two_attempts_of_the_same_state),
        TEST(attempts_may_be_cut_differently),
        TEST(parts_of_different_states_are_not_mixed),
        TEST(parts_of_an_older_attempt_are_dropped),
        TEST(more_large_answers_than_buffers),
        TEST(errors_of_the_state_machine_are_answers),
        TEST(unanswered_reads_are_unknown),
        TEST(too_long_queries_are_refused),
        TEST(reads_survive_chaos),
        TEST(status_of_each_node),
        TEST(status_requests_are_bounded),
    };
    return test_run("client reads", cases, TEST_COUNT(cases), argc, argv);
}
