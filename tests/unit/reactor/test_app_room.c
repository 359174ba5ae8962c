// The room in the state machine of a parallel group, held against every state that a replica may be
// in when it comes to a command: a slow twin that knows what each command did.
#include "tests/harness/harness.h"

#include "engine/base/prng.h"
#include "engine/core/types.h"
#include "engine/reactor/app_room.h"

#include <stdio.h>

enum { ENTRIES = 30000, BATCH_MAX = 8 };

// Of a log: what entry i takes, or gives back, and whether it is ordered.
static int64_t takes[ENTRIES + 1];
static bool is_ordered[ENTRIES + 1];
static int64_t used_upto[ENTRIES + 1]; // in the order of the log, without those refused
static int64_t taken_upto[ENTRIES + 1];

// What the fullest state holds in which entry `index`, or one that may come before it, is the
// newest applied: everything that must be, and of the rest what takes room.
static int64_t fullest(uint64_t index, uint64_t barrier)
{
    uint64_t base = index > RAFT_WINDOW_MAX ? index - RAFT_WINDOW_MAX : 0;
    base = base > barrier ? base : barrier;
    return used_upto[base] + taken_upto[index] - taken_upto[base];
}

struct shape {
    const char *name;
    int64_t capacity, take_max;
    uint32_t frees_percent; // of commands
    uint64_t lag_max;       // entries that the leader has not applied
    uint32_t lost_percent;  // of proposals, that were not taken after all
};

// A log of commands, each taken for what app_room says of it. Result: how many were ordered.
static uint32_t run(const struct shape *shape, uint64_t seed)
{
    struct app_room room;
    struct prng prng;
    uint64_t last = 0, applied = 0, barrier = 0;
    uint32_t ordered = 0;
    prng_init(&prng, seed);
    app_room_forget(&room);
    while (last + BATCH_MAX < ENTRIES) {
        uint32_t count = 1 + (uint32_t)prng_below(&prng, BATCH_MAX);
        int64_t bytes = 0;
        for (uint32_t at = 1; at <= count; at++) {
            bool frees = prng_chance(&prng, shape->frees_percent, 100) && used_upto[last] > 0;
            int64_t size = (int64_t)prng_below(&prng, (uint64_t)shape->take_max + 1);
            int64_t used = used_upto[last];
            takes[last + at] = frees ? -(size * 3 < used ? size * 3 : used) / BATCH_MAX : size;
            bytes += takes[last + at] > 0 ? takes[last + at] : 0;
        }
        uint64_t lag = prng_below(&prng, shape->lag_max + 1);
        applied = last > lag && last - lag > applied ? last - lag : applied;
        int64_t left =
            shape->capacity - used_upto[applied] - (taken_upto[last] - taken_upto[applied]);
        bool fits =
            app_room_fits(&room, last, left > 0 ? (uint64_t)left : 0, (uint64_t)bytes, count);
        if (prng_chance(&prng, shape->lost_percent, 100)) {
            continue;
        }
        for (uint32_t at = 0; at < count; at++) {
            int64_t take = takes[++last];
            bool is_refused = !fits && used_upto[last - 1] + take > shape->capacity;
            taken_upto[last] = taken_upto[last - 1] + (take > 0 && !is_refused ? take : 0);
            used_upto[last] = used_upto[last - 1] + (is_refused ? 0 : take);
            is_ordered[last] = !fits;
            ordered += !fits;
            barrier = fits ? barrier : last;
            CHECK(is_ordered[last] || fullest(last, barrier) <= shape->capacity);
        }
    }
    return ordered;
}

static void whatever_is_unordered_fits_into_every_state(void)
{
    static const struct shape shapes[] = {
        {"much room", INT64_C(1) << 40, 1000, 30, 500, 10},
        {"little room, and commands that make some", 100000, 100, 50, 500, 10},
        {"windows of it", 3 * RAFT_WINDOW_MAX * 60, 100, 52, 2000, 10},
        {"hardly any", 500, 100, 40, 100, 0},
        {"none", 0, 100, 0, 100, 0},
        {"all is applied at once", 100000, 100, 50, 0, 10},
    };
    for (size_t at = 0; at < sizeof(shapes) / sizeof(shapes[0]); at++) {
        uint32_t ordered = 0;
        for (uint64_t seed = 1; seed <= 20; seed++) {
            ordered += run(&shapes[at], seed);
        }
        printf("%s: %u of %u ordered\n", shapes[at].name, ordered, 20 * ENTRIES);
        CHECK_EQUAL(ordered == 0, at == 0);
    }
}

// A leader that applied a command that makes room knows more than who lacks it.
static void what_became_free_lately_does_not_count(void)
{
    struct app_room room;
    app_room_forget(&room);
    CHECK(app_room_fits(&room, 100, 1000, 900, 1));  // 101 fills the store;
    CHECK(app_room_fits(&room, 101, 100, 0, 1));     // 102 empties it, and is applied
    CHECK(!app_room_fits(&room, 102, 1000, 900, 1)); // 103: somebody may have 101 and not 102
    CHECK(app_room_fits(&room, 103, 100, 100, 1));   // it is ordered: all this is behind it
    CHECK(!app_room_fits(&room, 104, 0, 1, 1));
    CHECK(!app_room_fits(&room, 104, 5, 1, 1)); // that was not taken, so it orders nothing
    CHECK(app_room_fits(&room, 105, 5, 5, 1));
}

static void a_window_later_it_does(void)
{
    struct app_room room;
    app_room_forget(&room);
    CHECK(app_room_fits(&room, 100, 1000, 900, 1));
    CHECK(app_room_fits(&room, 101, 1000, 100, 1));
    CHECK(app_room_fits(&room, 100 + RAFT_WINDOW_MAX, 1000, 0, 1)); // newer
    CHECK(!app_room_fits(&room, 101 + RAFT_WINDOW_MAX, 1000, 1, 2));
    CHECK(app_room_fits(&room, 100 + 2 * RAFT_WINDOW_MAX, 1000, 999, 1)); // ... is older now
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(whatever_is_unordered_fits_into_every_state),
                                             TEST(what_became_free_lately_does_not_count),
                                             TEST(a_window_later_it_does)};
    return test_run("reactor app room", cases, TEST_COUNT(cases), argc, argv);
}
