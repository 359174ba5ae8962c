// The intrusive list against an array that is shifted by hand.
#include "tests/harness/harness.h"

#include "engine/base/list.h"
#include "engine/base/prng.h"

#include <string.h>

enum { OBJECTS = 20 };

struct object {
    uint32_t before_link; // so that the link is not the first member
    struct list_link link;
};

struct twin {
    uint32_t ids[OBJECTS];
    uint32_t count;
};

static struct object objects[OBJECTS];

static void twin_insert(struct twin *twin, uint32_t position, uint32_t id)
{
    memmove(&twin->ids[position + 1], &twin->ids[position],
            (twin->count - position) * sizeof(uint32_t));
    twin->ids[position] = id;
    twin->count++;
}

static void twin_remove(struct twin *twin, uint32_t id)
{
    for (uint32_t i = 0; i < twin->count; i++) {
        if (twin->ids[i] == id) {
            twin->count--;
            memmove(&twin->ids[i], &twin->ids[i + 1], (twin->count - i) * sizeof(uint32_t));
            return;
        }
    }
}

static uint32_t id_of(struct list_link *link)
{
    return (uint32_t)(LIST_OBJECT(link, struct object, link) - objects);
}

static void check_against_twin(struct list *list, const struct twin *twin)
{
    uint32_t position = 0;
    LIST_EACH(link, list)
    {
        CHECK(position < twin->count);
        CHECK_EQUAL(id_of(link), twin->ids[position]);
        position++;
    }
    CHECK_EQUAL(position, twin->count);
    for (struct list_link *link = list->head.previous; link != &list->head; link = link->previous) {
        CHECK_EQUAL(id_of(link), twin->ids[--position]);
    }
    CHECK_EQUAL(list_is_empty(list), twin->count == 0);
    CHECK((list_first(list) == NULL) == (twin->count == 0));
    CHECK(twin->count == 0 || id_of(list_last(list)) == twin->ids[twin->count - 1]);
}

static void random_operations_match_twin(void)
{
    struct list list;
    struct twin twin = {.count = 0};
    struct prng prng;
    prng_init(&prng, 4);
    list_init(&list);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        list_link_init(&objects[i].link);
    }
    for (int round = 0; round < 5000; round++) {
        uint32_t id = (uint32_t)prng_below(&prng, OBJECTS);
        struct list_link *link = &objects[id].link;
        if (list_is_linked(link)) {
            list_remove(link);
            twin_remove(&twin, id);
        } else if (prng_chance(&prng, 1, 3)) {
            list_push_front(&list, link);
            twin_insert(&twin, 0, id);
        } else if (twin.count > 0 && prng_chance(&prng, 1, 3)) {
            uint32_t position = (uint32_t)prng_below(&prng, twin.count);
            list_insert_before(&objects[twin.ids[position]].link, link);
            twin_insert(&twin, position, id);
        } else {
            list_push_back(&list, link);
            twin_insert(&twin, twin.count, id);
        }
        if (prng_chance(&prng, 1, 10)) {
            struct list_link *first = list_pop_front(&list);
            CHECK((first == NULL) == (twin.count == 0));
            if (first != NULL) {
                CHECK_EQUAL(id_of(first), twin.ids[0]);
                twin_remove(&twin, twin.ids[0]);
            }
        }
        check_against_twin(&list, &twin);
    }
}

static void removing_twice_is_harmless(void)
{
    struct list list;
    list_init(&list);
    list_link_init(&objects[0].link);
    list_push_back(&list, &objects[0].link);
    list_remove(&objects[0].link);
    list_remove(&objects[0].link);
    CHECK(list_is_empty(&list));
    CHECK(list_pop_front(&list) == NULL);
}

static void safe_walk_survives_removal(void)
{
    struct list list;
    list_init(&list);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        list_link_init(&objects[i].link);
        list_push_back(&list, &objects[i].link);
    }
    uint32_t seen = 0;
    LIST_EACH_SAFE(link, &list)
    {
        CHECK_EQUAL(id_of(link), seen);
        seen++;
        if (seen % 2 == 0) {
            list_remove(link);
        }
    }
    CHECK_EQUAL(seen, OBJECTS);
    seen = 0;
    LIST_EACH(link, &list)
    {
        CHECK_EQUAL(id_of(link), 2 * seen);
        seen++;
    }
    CHECK_EQUAL(seen, OBJECTS / 2);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(random_operations_match_twin),
        TEST(removing_twice_is_harmless),
        TEST(safe_walk_survives_removal),
    };
    return test_run("base list", cases, TEST_COUNT(cases), argc, argv);
}
