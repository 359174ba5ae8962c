#include "tests/harness/harness.h"

#include "engine/base/pool.h"
#include "engine/base/prng.h"

enum { OBJECTS = 64, OBJECT_BYTES = 24 };

static uint64_t memory[OBJECTS * OBJECT_BYTES / sizeof(uint64_t)];

static void hands_out_each_object_once(void)
{
    struct pool pool;
    pool_init(&pool, memory, OBJECT_BYTES, OBJECTS);
    bool seen[OBJECTS] = {false};
    for (uint32_t i = 0; i < OBJECTS; i++) {
        void *object = pool_acquire(&pool);
        CHECK(object != NULL);
        uint32_t slot = pool_slot(&pool, object);
        CHECK(!seen[slot]);
        CHECK(pool_at(&pool, slot) == object);
        seen[slot] = true;
    }
    CHECK(pool_acquire(&pool) == NULL);
    CHECK_EQUAL(pool.in_use, OBJECTS);
}

static void last_released_is_next_acquired(void)
{
    struct pool pool;
    pool_init(&pool, memory, OBJECT_BYTES, OBJECTS);
    void *first = pool_acquire(&pool), *second = pool_acquire(&pool);
    pool_release(&pool, first);
    pool_release(&pool, second);
    CHECK(pool_acquire(&pool) == second);
    CHECK(pool_acquire(&pool) == first);
    CHECK_EQUAL(pool.touched, 2);
}

// Every object in use keeps the pattern its owner wrote, whatever others do.
static void objects_never_overlap(void)
{
    struct pool pool;
    pool_init(&pool, memory, OBJECT_BYTES, OBJECTS);
    void *owned[OBJECTS] = {NULL};
    struct prng prng;
    prng_init(&prng, 6);
    uint32_t in_use = 0;
    for (int round = 0; round < 20000; round++) {
        uint32_t owner = (uint32_t)prng_below(&prng, OBJECTS + 4);
        if (owner >= OBJECTS) {
            CHECK_EQUAL(pool.in_use, in_use);
        } else if (owned[owner] == NULL) {
            owned[owner] = pool_acquire(&pool);
            CHECK(owned[owner] != NULL);
            memset(owned[owner], (int)owner + 1, OBJECT_BYTES);
            in_use++;
        } else {
            const uint8_t *bytes = owned[owner];
            for (size_t i = 0; i < OBJECT_BYTES; i++) {
                CHECK_EQUAL(bytes[i], owner + 1);
            }
            pool_release(&pool, owned[owner]);
            owned[owner] = NULL;
            in_use--;
        }
    }
}

static void smallest_objects_and_no_objects(void)
{
    struct pool pool;
    pool_init(&pool, memory, POOL_OBJECT_BYTES_MIN, 3);
    void *objects[3];
    for (int i = 0; i < 3; i++) {
        objects[i] = pool_acquire(&pool);
    }
    CHECK(pool_acquire(&pool) == NULL);
    for (int i = 0; i < 3; i++) {
        pool_release(&pool, objects[i]);
    }
    for (int i = 2; i >= 0; i--) {
        CHECK(pool_acquire(&pool) == objects[i]);
    }
    pool_init(&pool, NULL, OBJECT_BYTES, 0);
    CHECK(pool_acquire(&pool) == NULL);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(hands_out_each_object_once),
        TEST(last_released_is_next_acquired),
        TEST(objects_never_overlap),
        TEST(smallest_objects_and_no_objects),
    };
    return test_run("base pool", cases, TEST_COUNT(cases), argc, argv);
}
