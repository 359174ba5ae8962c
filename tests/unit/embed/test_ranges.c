// A state machine that cannot be asked what a command touches, and callers who say it: what their
// ranges leave apart overtakes a command that is held, what overlaps does not, in each order of
// groups and through each door.
//
// A command is held by losing its fragments on their way to the followers. They leave no room for
// another message in their frames, so all else gets through.
#include <errno.h>
#include <string.h>

#include "engine/wire/wire.h"
#include "tests/unit/embed/process.h"
#include "tests/unit/embed/vault.h"

enum {
    FRAME_BYTES = 1472,
    PAYLOAD_BYTES_MAX = 2 * FRAME_BYTES,
};

#define MS UINT64_C(1000000)

static struct process process;
static struct process_node *leader;
static struct vault_order orders[3];
static struct vault_options vault;
static struct pontoon_client *client;
static struct pontoon_events *events;

static int open_vault(void *context, uint16_t group, struct app **app)
{
    const struct process_node *node = context;
    struct vault_order *order = &orders[node - process.nodes];
    *order = (struct vault_order){0};
    return vault_open(&vault, order, app);
}

static void open_all(enum pontoon_order order, struct vault_options options)
{
    char reason[512];
    vault = options;
    process_init(&process, 3);
    process.app_open = open_vault;
    for (uint32_t place = 0; place < 3; place++) {
        process.nodes[place].config.order = order;
        process.nodes[place].config.impair_runtime = true;
        process.nodes[place].config.election_timeout_min_ns = 500 * MS; // the leader stays
        process.nodes[place].config.election_timeout_max_ns = 800 * MS;
    }
    struct pontoon_config config = process_client(&process);
    process_open(&process);
    leader = process_leader(&process, 0);
    CHECK_EQUAL(pontoon_client_open(&config, NULL, &client, reason, sizeof(reason)), 0);
    CHECK_EQUAL(pontoon_events_open(16, &events), 0);
}

static void close_all(void)
{
    pontoon_client_close(client);
    process_close(&process);
    pontoon_events_close(events);
}

static void poll_all(void)
{
    process_poll(&process);
    pontoon_client_poll(client);
}

static uint32_t held_bytes(void)
{
    return 2 * wire_fragment_bytes(FRAME_BYTES) - WIRE_APPEND_BYTES / 2;
}

// Fragments from the leader to others are lost, or no longer.
static void hold_large_commands(bool are_held)
{
    const struct pontoon_impair rule = {.types = UINT64_C(1) << WIRE_APPEND_FRAGMENT, .cut = true};
    char reason[512];
    CHECK_EQUAL(pontoon_impair_mt(leader->pontoon, &rule, are_held ? 1 : 0, reason, sizeof(reason)),
                0);
}

enum door { DOOR_CALLBACK, DOOR_EVENT, DOOR_CLIENT };

// One command or query, and how it ended.
struct request {
    bool is_over;
    enum pontoon_status status;
    uint32_t value;
};

static void on_done(void *context, const struct pontoon_result *result)
{
    *(struct request *)context =
        (struct request){.is_over = true, .status = result->status, .value = result->value};
}

static void on_answer(void *context, enum pontoon_status status, const void *answer, int32_t bytes)
{
    struct request *request = context;
    *request = (struct request){.is_over = true, .status = status};
    if (bytes == sizeof(request->value)) {
        memcpy(&request->value, answer, sizeof(request->value));
    }
}

// Writes `value` to [first, first + count), and says so, or not.
static void write_slots(struct request *request, enum door door, uint32_t bytes, uint32_t first,
                        uint32_t count, uint32_t value, bool is_declared)
{
    uint8_t payload[PAYLOAD_BYTES_MAX];
    struct pontoon_range range = {.start = first, .length = count};
    const struct pontoon_command command = {
        .payload = payload, .bytes = bytes, .ranges = &range, .range_count = is_declared};
    int error = -ENOSYS;
    *request = (struct request){0};
    vault_encrypt(payload, bytes, first, count, value);
    switch (door) {
    case DOOR_CALLBACK:
        error = pontoon_propose_ranges_mt(leader->pontoon, 0, &command, on_done, request);
        break;
    case DOOR_EVENT:
        error = pontoon_propose_event_ranges_mt(leader->pontoon, 0, &command, events,
                                                (uintptr_t)request);
        break;
    case DOOR_CLIENT:
        error = pontoon_client_propose_ranges(client, 0, &command, on_done, request);
        break;
    }
    CHECK_EQUAL(error, 0);
    memset(payload, 0xFF, sizeof(payload)); // they are copied
    range = (struct pontoon_range){.start = 0, .length = VAULT_SLOTS};
}

static void read_slot(struct request *request, enum door door, uint32_t slot, bool is_declared)
{
    const struct pontoon_range range = {.start = slot, .length = 1};
    const struct pontoon_command query = {
        .payload = &slot, .bytes = sizeof(slot), .ranges = &range, .range_count = is_declared};
    *request = (struct request){0};
    int error = door == DOOR_CLIENT
                    ? pontoon_client_read_ranges(client, 0, &query, on_answer, request)
                    : pontoon_read_ranges_mt(leader->pontoon, 0, &query, on_answer, request);
    CHECK_EQUAL(error, 0);
}

static void take_events(void)
{
    struct pontoon_event taken[16];
    uint32_t count = pontoon_events_take(events, taken, 16);
    for (uint32_t at = 0; at < count; at++) {
        on_done((void *)(uintptr_t)taken[at].token, &taken[at].result);
    }
}

static bool are_over(const struct request *requests, uint32_t count)
{
    uint32_t over = 0;
    for (uint32_t at = 0; at < count; at++) {
        over += requests[at].is_over;
    }
    return over == count;
}

// Until all of them are over, DONE.
static void wait_done(const struct request *requests, uint32_t count)
{
    uint64_t until_ns = process_now_ns() + 10000 * MS;
    while (!are_over(requests, count) && process_now_ns() < until_ns) {
        poll_all();
        take_events();
    }
    for (uint32_t at = 0; at < count; at++) {
        CHECK(requests[at].is_over);
        CHECK_EQUAL(requests[at].status, PONTOON_DONE);
    }
}

// For `for_ns`, none of them is over.
static void check_held(const struct request *requests, uint32_t count, uint64_t for_ns)
{
    uint64_t until_ns = process_now_ns() + for_ns;
    while (process_now_ns() < until_ns) {
        poll_all();
        take_events();
    }
    for (uint32_t at = 0; at < count; at++) {
        CHECK(!requests[at].is_over);
    }
}

// When this replica applied the value: first, second, ...
static uint32_t place_of(const struct vault_order *order, uint32_t value)
{
    uint32_t at = 0;
    while (at < order->count && order->values[at] != value) {
        at++;
    }
    CHECK(at < order->count);
    return at;
}

static void check_before(uint32_t value, uint32_t later)
{
    for (uint32_t place = 0; place < 3; place++) {
        CHECK(place_of(&orders[place], value) < place_of(&orders[place], later));
    }
}

#define HOLD_NS (100 * MS)

// Opens the client's session: its registration conflicts with everything.
static void warm_up(void)
{
    struct request request;
    write_slots(&request, DOOR_CLIENT, 12, 31, 1, 1, true);
    wait_done(&request, 1);
}

static void what_does_not_overlap_overtakes(void)
{
    struct request held, apart[3], overlapping, undeclared, behind, seen[2], unseen[3];
    open_all(PONTOON_PARALLEL, (struct vault_options){0});
    warm_up();
    hold_large_commands(true);
    write_slots(&held, DOOR_CALLBACK, held_bytes(), 0, 4, 100, true);
    write_slots(&apart[0], DOOR_CALLBACK, 12, 4, 1, 104, true);
    write_slots(&apart[1], DOOR_EVENT, 12, 5, 2, 105, true);
    write_slots(&apart[2], DOOR_CLIENT, 12, 8, 8, 108, true);
    wait_done(apart, 3);
    CHECK(!held.is_over);
    CHECK_EQUAL(place_of(&orders[leader - process.nodes], 104), 1); // at the leader already
    write_slots(&overlapping, DOOR_CLIENT, 12, 3, 1, 103, true);
    read_slot(&seen[0], DOOR_CALLBACK, 31, true); // nothing under way touches it
    read_slot(&seen[1], DOOR_CLIENT, 30, true);
    wait_done(seen, 2);
    CHECK_EQUAL(seen[0].value, 1);
    CHECK_EQUAL(seen[1].value, 0);
    read_slot(&unseen[0], DOOR_CALLBACK, 0, true);
    read_slot(&unseen[1], DOOR_CLIENT, 3, true);
    read_slot(&unseen[2], DOOR_CALLBACK, 31, false); // looks at everything, for all we know
    check_held(unseen, 3, HOLD_NS);
    write_slots(&undeclared, DOOR_EVENT, 12, 20, 1, 120, false);
    write_slots(&behind, DOOR_CALLBACK, 12, 21, 1, 121, true);
    check_held(&held, 1, HOLD_NS);
    check_held(&overlapping, 1, 0);
    check_held(&undeclared, 1, 0);
    check_held(&behind, 1, 0);
    hold_large_commands(false);
    wait_done(&held, 1);
    wait_done(&overlapping, 1);
    wait_done(&undeclared, 1);
    wait_done(&behind, 1);
    wait_done(unseen, 3);
    CHECK_EQUAL(unseen[0].value, 100);
    CHECK(unseen[1].value == 100 || unseen[1].value == 103); // both were under way
    CHECK_EQUAL(overlapping.value, 100);                     // it found what the held one wrote
    process_wait_applied(&process, 8);
    check_before(100, 103);
    check_before(103, 120);
    check_before(120, 121);
    close_all();
}

// The same calls where they are of no use: all is in the order of the log.
static void check_log_order(enum pontoon_order order, bool has_footprint)
{
    struct request held, apart[3], seen;
    open_all(order, (struct vault_options){.knows_all = has_footprint});
    warm_up();
    hold_large_commands(true);
    write_slots(&held, DOOR_CALLBACK, held_bytes(), 0, 4, 100, true);
    poll_all();
    write_slots(&apart[0], DOOR_CALLBACK, 12, 4, 1, 104, true);
    write_slots(&apart[1], DOOR_EVENT, 12, 5, 2, 105, true);
    write_slots(&apart[2], DOOR_CLIENT, 12, 8, 8, 108, true);
    check_held(apart, 3, HOLD_NS);
    CHECK(!held.is_over);
    hold_large_commands(false);
    wait_done(&held, 1);
    wait_done(apart, 3);
    read_slot(&seen, DOOR_CLIENT, 4, true);
    wait_done(&seen, 1);
    CHECK_EQUAL(seen.value, 104);
    process_wait_applied(&process, 6);
    check_before(100, 104);
    check_before(104, 105);
    check_before(100, 108);
    close_all();
}

static void strict_groups_keep_the_order_of_the_log(void)
{
    check_log_order(PONTOON_STRICT, false);
}

static void a_footprint_function_decides(void)
{
    check_log_order(PONTOON_PARALLEL, true);
}

// A state machine that is nearly full keeps the order of the log, and commands that declared
// nothing have filled it as well as others.
static void what_declares_nothing_takes_room(void)
{
    struct request filling, held, apart;
    open_all(PONTOON_PARALLEL, (struct vault_options){.capacity = 6000});
    warm_up();
    write_slots(&filling, DOOR_CALLBACK, held_bytes(), 20, 1, 120, false);
    wait_done(&filling, 1);
    hold_large_commands(true);
    write_slots(&held, DOOR_CALLBACK, held_bytes(), 0, 4, 100, true);
    write_slots(&apart, DOOR_CALLBACK, 12, 4, 1, 104, true);
    check_held(&apart, 1, HOLD_NS);
    CHECK(!held.is_over);
    hold_large_commands(false);
    wait_done(&held, 1);
    wait_done(&apart, 1);
    process_wait_applied(&process, 5);
    check_before(100, 104);
    close_all();
}

static void ranges_nobody_can_mean_are_refused(void)
{
    static const struct pontoon_range good[] = {{0, 1}, {2, 1}, {4, 1}, {6, 1},
                                                {8, 1}, {9, 1}, {3, 1}, {UINT64_MAX, 1}};
    static const struct {
        uint32_t count;
        struct pontoon_range ranges[9];
    } bad[] = {
        {1, {{5, 0}}},
        {1, {{2, UINT64_MAX}}},
        {2, {{0, 8}, {7, 1}}},
        {9, {{0, 1}, {2, 1}, {4, 1}, {6, 1}, {8, 1}, {10, 1}, {12, 1}, {14, 1}, {16, 1}}},
        {257, {{0, 1}}},
    };
    struct request request = {0};
    uint8_t payload[12];
    uint32_t slot = 3;
    open_all(PONTOON_STRICT, (struct vault_options){0});
    vault_encrypt(payload, sizeof(payload), 3, 1, 7);
    for (size_t at = 0; at < sizeof(bad) / sizeof(bad[0]); at++) {
        const struct pontoon_command command = {.payload = payload,
                                                .bytes = sizeof(payload),
                                                .ranges = bad[at].ranges,
                                                .range_count = bad[at].count};
        struct pontoon *node = leader->pontoon;
        CHECK_EQUAL(pontoon_propose_ranges_mt(node, 0, &command, on_done, &request), -EINVAL);
        CHECK_EQUAL(pontoon_propose_event_ranges_mt(node, 0, &command, events, 1), -EINVAL);
        CHECK_EQUAL(pontoon_client_propose_ranges(client, 0, &command, on_done, &request), -EINVAL);
        CHECK_EQUAL(pontoon_read_ranges_mt(node, 0, &command, on_answer, &request), -EINVAL);
        CHECK_EQUAL(pontoon_client_read_ranges(client, 0, &command, on_answer, &request), -EINVAL);
    }
    check_held(&request, 1, HOLD_NS / 10);
    const struct pontoon_command command = {
        .payload = payload, .bytes = sizeof(payload), .ranges = good, .range_count = 8};
    CHECK_EQUAL(pontoon_propose_ranges_mt(leader->pontoon, 0, &command, on_done, &request), 0);
    wait_done(&request, 1);
    read_slot(&request, DOOR_CALLBACK, slot, true);
    wait_done(&request, 1);
    CHECK_EQUAL(request.value, 7);
    close_all();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(what_does_not_overlap_overtakes),    TEST(strict_groups_keep_the_order_of_the_log),
        TEST(a_footprint_function_decides),       TEST(what_declares_nothing_takes_room),
        TEST(ranges_nobody_can_mean_are_refused),
    };
    return test_run("embed ranges", cases, TEST_COUNT(cases), argc, argv);
}
