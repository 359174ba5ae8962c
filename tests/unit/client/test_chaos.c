// Whatever happens, at random, for a long time; and answers that mean nothing.
#include <string.h>

#include "tests/harness/harness.h"
#include "tests/unit/client/bed.h"

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
        fake_moods(fake, FAKE_WELL);
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
    fake_moods(fake, FAKE_WELL);
    fake->holds_replies = false;
    fake->tx_limit = UINT32_MAX;
    fake->loss_percent = 0;
}

// How often each command was executed, over all sessions. Commands are told apart by their result.
static uint32_t executions[BED_COMMANDS_MAX];

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
        struct bed bed = bed_open(seed % 2 == 0 ? 600 : 1472, 200, 2000 * FAKE_MS);
        prng_init(&bed.fake->prng, seed);
        bed.fake->loss_percent = (uint32_t)(seed % 3 * 4);
        uint32_t given = 0;
        for (uint32_t step = 0; step < 20000; step++) {
            uint32_t bytes = prng_chance(&bed.fake->prng, 1, 50) ? 5000 : 4 + step % 50;
            if (given < 8000 && prng_chance(&bed.fake->prng, 1, 3) &&
                bed_try(&bed, (uint16_t)prng_below(&bed.fake->prng, 2), given, bytes) == 0) {
                given++;
            }
            change_the_world(bed.fake);
            fake_run(bed.fake, bed.client, 1, prng_below(&bed.fake->prng, 400000));
        }
        heal(bed.fake);
        CHECK(fake_run_out(bed.fake, bed.client, 5000 * FAKE_MS));
        count_executions(bed.fake);
        CHECK(bed_ends.done > given / 4);
        for (uint32_t at = 0; at < given; at++) {
            CHECK_EQUAL(bed_ends.calls[at], 1);
            CHECK(executions[at] <= 1);
            CHECK(bed_ends.status[at] == PONTOON_DONE || bed_ends.status[at] == PONTOON_UNKNOWN ||
                  bed_ends.status[at] == PONTOON_EXPIRED);
            if (bed_ends.status[at] == PONTOON_DONE) {
                CHECK_EQUAL(executions[at], 1);
                CHECK_EQUAL(bed_ends.value[at], at * 3);
            }
        }
        bed_close(bed);
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
    struct bed bed = bed_open_warm(1472, 64, 0);
    uint32_t given = 0;
    for (uint32_t step = 0; step < 20000; step++) {
        inject_nonsense(bed.fake);
        if (given < 10000 && bed_try(&bed, 0, given, 16) == 0) {
            given++;
        }
        fake_run(bed.fake, bed.client, 1, 1000);
    }
    CHECK(fake_run_out(bed.fake, bed.client, 500 * FAKE_MS));
    bed_check_done(0, given);
    struct client_counters counters = bed_counters(&bed);
    CHECK(counters.stale > 1000 && counters.refused[WIRE_BAD_CHECKSUM] > 1000);
    bed_close(bed);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(whatever_happens_each_command_ends_once),
        TEST(nonsense_is_ignored),
    };
    return test_run("client chaos", cases, TEST_COUNT(cases), argc, argv);
}
