// The deadline heap against an array that is searched from end to end.
#include "tests/harness/harness.h"

#include "engine/base/heap.h"
#include "engine/base/prng.h"

enum { IDS = 50 };
#define ABSENT UINT64_MAX

static struct heap_item items[IDS];
static uint32_t positions[IDS];
static struct heap heap;
static uint64_t twin[IDS]; // deadline by id, ABSENT when not in

static void start_empty(void)
{
    heap_init(&heap, items, positions, IDS);
    for (uint32_t id = 0; id < IDS; id++) {
        twin[id] = ABSENT;
    }
}

static uint32_t twin_first(void)
{
    uint32_t first = 0;
    for (uint32_t id = 1; id < IDS; id++) {
        if (twin[id] < twin[first]) {
            first = id;
        }
    }
    return first;
}

static void check_against_twin(void)
{
    uint32_t count = 0;
    for (uint32_t id = 0; id < IDS; id++) {
        CHECK_EQUAL(heap_contains(&heap, id), twin[id] != ABSENT);
        count += twin[id] != ABSENT;
        if (twin[id] != ABSENT) {
            CHECK_EQUAL(items[positions[id]].id, id);
            CHECK_EQUAL(items[positions[id]].deadline_ns, twin[id]);
        }
    }
    CHECK_EQUAL(heap.count, count);
    CHECK_EQUAL(heap_next_ns(&heap), twin[twin_first()]);
}

static void random_operations_match_twin(void)
{
    start_empty();
    struct prng prng;
    prng_init(&prng, 8);
    uint64_t now_ns = 0;
    for (int round = 0; round < 20000; round++) {
        uint32_t id = (uint32_t)prng_below(&prng, IDS);
        if (prng_chance(&prng, 1, 5)) {
            heap_remove(&heap, id);
            twin[id] = ABSENT;
        } else {
            // Few distinct deadlines, so that ties are common.
            twin[id] = now_ns + prng_below(&prng, 30);
            heap_update(&heap, id, twin[id]);
        }
        now_ns += prng_below(&prng, 2);
        uint32_t due = HEAP_NONE, expected = twin_first();
        bool is_due = twin[expected] != ABSENT && twin[expected] <= now_ns;
        CHECK_EQUAL(heap_pop_due(&heap, now_ns, &due), is_due);
        if (is_due) {
            CHECK_EQUAL(due, expected);
            twin[expected] = ABSENT;
        }
        check_against_twin();
    }
}

static void drains_in_order_of_deadline_then_id(void)
{
    start_empty();
    for (uint32_t i = 0; i < IDS; i++) {
        uint32_t id = (i * 37) % IDS;
        heap_update(&heap, id, (id * 7) % 5);
    }
    uint64_t last_deadline = 0;
    uint32_t last_id = 0, id;
    for (uint32_t i = 0; i < IDS; i++) {
        uint64_t deadline = heap_next_ns(&heap);
        CHECK(heap_pop_due(&heap, 100, &id));
        CHECK(deadline > last_deadline || i == 0 || (deadline == last_deadline && id > last_id));
        last_deadline = deadline;
        last_id = id;
    }
    CHECK(!heap_pop_due(&heap, UINT64_MAX, &id));
    CHECK_EQUAL(heap_next_ns(&heap), UINT64_MAX);
}

static void moves_an_id_both_ways(void)
{
    start_empty();
    for (uint32_t id = 0; id < IDS; id++) {
        heap_update(&heap, id, 100 + id);
    }
    heap_update(&heap, 0, 1000);
    CHECK_EQUAL(heap_next_ns(&heap), 101);
    heap_update(&heap, IDS - 1, 1);
    CHECK_EQUAL(heap_next_ns(&heap), 1);
    CHECK_EQUAL(heap.count, IDS);
    heap_remove(&heap, IDS - 1);
    heap_remove(&heap, IDS - 1);
    CHECK_EQUAL(heap.count, IDS - 1);
    uint32_t id;
    CHECK(!heap_pop_due(&heap, 100, &id));
    CHECK(heap_pop_due(&heap, 101, &id));
    CHECK_EQUAL(id, 1);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(random_operations_match_twin),
        TEST(drains_in_order_of_deadline_then_id),
        TEST(moves_an_id_both_ways),
    };
    return test_run("base heap", cases, TEST_COUNT(cases), argc, argv);
}
