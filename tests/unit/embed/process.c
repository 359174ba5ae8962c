#include "tests/unit/embed/process.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STOP_NS UINT64_C(3000000000)

// Rings in RTS mode publish their tail with a 64-bit store and read it with a 32-bit load, which
// ThreadSanitizer does not take for a pair. What the rings carry has pairs of its own, and stays
// watched.
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
    return "race_top:__rte_ring_\n";
}

// In this program: each gets addresses and directories of its own.
static atomic_uint processes_made;

uint64_t process_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// 127.x.y.z, with the process's id and the cluster's number in it: tests run side by side.
static uint32_t address_of(uint32_t number, uint32_t id)
{
    uint32_t pid = (uint32_t)getpid();
    return 127U << 24 | (1 + pid % 199) << 16 | (pid / 199 % 251) << 8 |
           ((number * 5 + id) % 250 + 1);
}

static void fill_node(struct pontoon_config *config, uint32_t count, uint16_t id, uint32_t number)
{
    pontoon_config_init(config);
    config->cluster = (uint64_t)getpid() << 8 | number;
    config->node = id;
    config->node_count = count;
    for (uint32_t at = 0; at < count; at++) {
        uint32_t ipv4 = address_of(number, at + 1);
        uint64_t others = ((UINT64_C(1) << count) - 1) & ~(UINT64_C(1) << at);
        config->nodes[at] = (struct pontoon_member){
            .id = (uint16_t)(at + 1),
            .ipv4 = ipv4,
            .links = {{.ipv4 = ipv4, .prefix_bits = 8, .frame_bytes = 1472, .nodes = others}},
            .link_count = 1};
    }
    config->driver = PONTOON_DRIVER_UDP;
    config->udp_port = 7700;
    config->durability = PONTOON_MEMORY;
    config->bootstrap = true;
    config->hugepages = false;
    config->buffers_mib = 8;
    config->log_mib = 16;
    config->log_entries = 4096;
    config->window_entries = 1024;
    config->window_kib = 1024;
    config->session_pages = 8;
    config->app_memory_mib = 8;
    config->idle = PONTOON_IDLE_SLEEP;
    snprintf(config->directory, sizeof(config->directory), "%s/%u-%u", test_directory(), number,
             id);
    snprintf(config->control, sizeof(config->control), "unused");
}

void process_init(struct process *process, uint32_t count)
{
    uint32_t number = atomic_fetch_add(&processes_made, 1);
    *process = (struct process){.count = count, .number = number};
    for (uint32_t place = 0; place < count; place++) {
        process->nodes[place].process = process;
        fill_node(&process->nodes[place].config, count, (uint16_t)(place + 1), number);
    }
}

struct pontoon_config process_client(struct process *process)
{
    uint32_t ipv4 = address_of(process->number, process->count + 1);
    const struct pontoon_member place = {.id = 1,
                                         .ipv4 = ipv4,
                                         .links = {{.ipv4 = ipv4,
                                                    .prefix_bits = 8,
                                                    .frame_bytes = 1472,
                                                    .nodes = (UINT64_C(1) << process->count) - 1}},
                                         .link_count = 1};
    for (uint32_t at = 0; at < process->count; at++) {
        process->nodes[at].config.clients[0] = place;
        process->nodes[at].config.client_count = 1;
    }
    struct pontoon_config config = process->nodes[0].config;
    config.node = 0;
    config.client = place.id;
    return config;
}

static void on_role(void *context, uint16_t group, enum pontoon_role role, uint64_t term,
                    uint16_t leader)
{
    struct process_node *node = context;
    if (group == 0) {
        atomic_fetch_add(&node->roles[role], 1);
    }
}

static int open_sum(void *context, uint16_t group, struct app **app)
{
    struct process_node *node = context;
    return sum_open(&node->apps, group, app);
}

void process_open_node(struct process *process, uint32_t place)
{
    struct process_node *node = &process->nodes[place];
    const struct pontoon_options options = {
        .app_open = process->app_open == NULL ? open_sum : process->app_open,
        .role_change = on_role,
        .context = node};
    char reason[512];
    int error = pontoon_open(&node->config, &options, &node->pontoon, reason, sizeof(reason));
    if (error != 0) {
        printf("    node %u: %s\n", place + 1, reason);
    }
    CHECK_EQUAL(error, 0);
    node->config.bootstrap = false;
    if (process->is_started) {
        CHECK_EQUAL(pontoon_start(node->pontoon), 0);
    }
}

void process_open(struct process *process)
{
    for (uint32_t place = 0; place < process->count; place++) {
        process_open_node(process, place);
    }
}

void process_start(struct process *process)
{
    process->is_started = true;
    for (uint32_t place = 0; place < process->count; place++) {
        CHECK_EQUAL(pontoon_start(process->nodes[place].pontoon), 0);
    }
}

void process_close_node(struct process *process, uint32_t place)
{
    struct process_node *node = &process->nodes[place];
    if (node->pontoon != NULL) {
        pontoon_stop(node->pontoon, STOP_NS);
        pontoon_close(node->pontoon);
        node->pontoon = NULL;
        CHECK_EQUAL(atomic_load(&node->apps), 0);
    }
}

void process_close(struct process *process)
{
    for (uint32_t place = 0; place < process->count; place++) {
        process_close_node(process, place);
    }
}

void process_poll(struct process *process)
{
    bool was_busy = false;
    if (process->is_started) {
        usleep(200);
        return;
    }
    for (uint32_t place = 0; place < process->count; place++) {
        if (process->nodes[place].pontoon != NULL) {
            was_busy |= pontoon_poll(process->nodes[place].pontoon);
        }
    }
    if (!was_busy) {
        sched_yield();
    }
}

static struct process_node *find_leader(struct process *process, uint16_t group)
{
    for (uint32_t place = 0; place < process->count; place++) {
        struct process_node *node = &process->nodes[place];
        struct pontoon_group_status status;
        if (node->pontoon != NULL && pontoon_status_mt(node->pontoon, group, &status) == 0 &&
            status.role == PONTOON_LEADER && status.applied >= status.last) {
            return node;
        }
    }
    return NULL;
}

struct process_node *process_leader(struct process *process, uint16_t group)
{
    struct process_node *leader = NULL;
    WAIT_FOR(process, (leader = find_leader(process, group)) != NULL);
    return leader;
}

// Equal digests, and equally far, of all open nodes.
static bool agree(struct process *process, uint64_t count)
{
    struct pontoon_group_status first = {0};
    bool has_first = false;
    for (uint32_t place = 0; place < process->count; place++) {
        struct pontoon_group_status status;
        if (process->nodes[place].pontoon == NULL) {
            continue;
        }
        if (pontoon_status_mt(process->nodes[place].pontoon, 0, &status) != 0 ||
            status.applied < count) {
            return false;
        }
        if (has_first && (status.applied != first.applied || status.digest != first.digest)) {
            return false;
        }
        first = status;
        has_first = true;
    }
    return has_first;
}

void process_wait_applied(struct process *process, uint64_t count)
{
    WAIT_FOR(process, agree(process, count));
}

void tally_done(void *context, const struct pontoon_result *result)
{
    struct tally *tally = context;
    atomic_store(&tally->last_value, result->value);
    atomic_fetch_add(&tally->by_status[result->status], 1);
    atomic_fetch_add(&tally->total, 1);
}

void tally_answer(void *context, enum pontoon_status status, const void *answer, int32_t bytes)
{
    struct tally *tally = context;
    if (bytes == (int32_t)sizeof(tally->state)) {
        memcpy(&tally->state, answer, sizeof(tally->state));
    }
    atomic_store(&tally->last_bytes, bytes);
    atomic_fetch_add(&tally->by_status[status], 1);
    atomic_fetch_add(&tally->total, 1);
}
