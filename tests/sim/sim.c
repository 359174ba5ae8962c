// A run: opens a world, has its events happen in their order, closes it, and judges.
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "tests/sim/linear.h"

enum {
    DIGEST_EVERY = 1 << 14, // events
    JUDGE_BUDGET = 1 << 20, // configurations of a key
};

_Noreturn void sim_fail(struct sim *sim, const char *invariant, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sim->result->text, sizeof(sim->result->text), format, arguments);
    va_end(arguments);
    snprintf(sim->result->invariant, sizeof(sim->result->invariant), "%s", invariant);
    sim->result->end = SIM_FAILED;
    longjmp(*sim->escape, 1);
}

void sim_hash(struct sim *sim, uint64_t value)
{
    sim->result->hash = sim_mix(sim->result->hash, value);
}

void sim_at(struct sim *sim, uint32_t event, uint64_t at_ns)
{
    heap_update(&sim->events, event, at_ns < sim->now_ns ? sim->now_ns : at_ns);
}

// ------------------------------------------------------------------------------------------------
// events

static void begin_next_fault(struct sim *sim)
{
    uint32_t number = sim->next_fault++;
    while (sim->next_fault < sim->plan.count && sim->plan.faults[sim->next_fault].is_left_out) {
        sim->next_fault++;
    }
    if (sim->next_fault < sim->plan.count) {
        sim_at(sim, SIM_EVENT_FAULT, sim->plan.faults[sim->next_fault].at_ns);
    }
    sim_fault_begin(sim, number);
}

static struct sim_disk *disk_of(struct sim *sim, uint32_t number)
{
    struct sim_seat *seat = &sim->seats[number / 2];
    return number % 2 == 0 ? &seat->disk : &seat->checkpoint_disk;
}

static void carry_out(struct sim *sim, uint32_t event)
{
    if (event < SIM_EVENT_SEAT) {
        sim_net_arrive(sim, event);
    } else if (event < SIM_EVENT_WORKER) {
        sim_seat_poll(&sim->seats[event - SIM_EVENT_SEAT]);
    } else if (event < SIM_EVENT_CLIENT) {
        uint32_t worker = event - SIM_EVENT_WORKER;
        sim_worker_poll(&sim->seats[worker / SIM_WORKERS_MAX], worker % SIM_WORKERS_MAX);
    } else if (event < SIM_EVENT_DISK) {
        sim_client_poll(&sim->clients[event - SIM_EVENT_CLIENT]);
    } else if (event < SIM_EVENT_NODE) {
        uint32_t request = event - SIM_EVENT_DISK;
        sim_disk_complete(disk_of(sim, request / SIM_REQUESTS_MAX), request % SIM_REQUESTS_MAX);
    } else if (event < SIM_EVENT_TRAP) {
        sim_node_due(&sim->nodes[event - SIM_EVENT_NODE]);
    } else if (event < SIM_EVENT_FAULT) {
        sim_fault_trap(&sim->nodes[event - SIM_EVENT_TRAP]);
    } else if (event == SIM_EVENT_FAULT) {
        begin_next_fault(sim);
    } else {
        sim_fault_end(sim, event - SIM_EVENT_FAULT_END);
    }
}

static void step(struct sim *sim)
{
    uint32_t event;
    sim->now_ns = heap_next_ns(&sim->events);
    heap_pop_due(&sim->events, sim->now_ns, &event);
    sim_hash(sim, sim->now_ns << 16 ^ event);
    sim->result->events++;
    carry_out(sim, event);
    if (sim->result->events % DIGEST_EVERY == 0) {
        sim_check_digests(sim);
    }
}

// False: it did not come to hold in that time.
bool sim_run_until(struct sim *sim, bool (*holds)(struct sim *sim), uint64_t for_ns)
{
    uint64_t until_ns = sim->now_ns + for_ns;
    while (holds == NULL || !holds(sim)) {
        for (uint32_t events = 0; events < 8; events++) {
            if (heap_next_ns(&sim->events) > until_ns) {
                sim->now_ns = until_ns;
                return holds == NULL;
            }
            step(sim);
        }
    }
    return true;
}

// ------------------------------------------------------------------------------------------------
// a run

static void open_seat(struct sim *sim, uint32_t number, struct sim_node *node, uint16_t which)
{
    struct sim_seat *seat = &sim->seats[number];
    seat->node = node;
    seat->number = (uint16_t)number;
    seat->which = which;
    seat->arena = mmap(NULL, sim->options.log_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT(seat->arena != MAP_FAILED);
    sim_net_init(&seat->net, sim, node->id, which);
    sim_disk_open(&seat->disk, sim, node->id, seat->number, 2 * number);
    sim_disk_open(&seat->checkpoint_disk, sim, node->id, seat->number, 2 * number + 1);
}

static void open_seats(struct sim *sim)
{
    for (uint32_t number = 0; number < sim->options.nodes * sim->options.reactors; number++) {
        struct sim_node *node = &sim->nodes[number / sim->options.reactors];
        uint16_t which = (uint16_t)(number % sim->options.reactors);
        open_seat(sim, number, node, which);
        open_seat(sim, number + SIM_SEATS_OF_NODES, node, which);
        node->seats[which] = &sim->seats[number];
    }
}

static void close_seat(struct sim *sim, struct sim_seat *seat)
{
    seat->disk.is_blocking = seat->checkpoint_disk.is_blocking = true;
    sim_seat_close(seat);
    sim_disk_close(&seat->disk);
    sim_disk_close(&seat->checkpoint_disk);
    munmap(seat->arena, sim->options.log_bytes);
}

static void open_world(struct sim *sim)
{
    sim->heap_items = calloc(SIM_EVENTS, sizeof(*sim->heap_items));
    sim->heap_positions = calloc(SIM_EVENTS, sizeof(*sim->heap_positions));
    ASSERT(sim->heap_items != NULL && sim->heap_positions != NULL);
    heap_init(&sim->events, sim->heap_items, sim->heap_positions, SIM_EVENTS);
    for (uint16_t at = 0; at < sim->options.nodes; at++) {
        struct sim_node *node = &sim->nodes[at];
        node->sim = sim;
        node->id = (uint16_t)(at + 1);
        sim_clock_open(&node->clock, sim, prng_below(&sim->prng, 10 * SIM_S));
    }
    sim_net_open(sim);
    open_seats(sim);
    sim_check_open(sim);
    for (uint32_t at = 0; at < sim->options.nodes; at++) {
        sim_node_start(&sim->nodes[at]);
    }
    sim_clients_open(sim);
}

static void close_world(struct sim *sim)
{
    for (uint32_t number = 0; number < sim->options.nodes * sim->options.reactors; number++) {
        close_seat(sim, &sim->seats[number]);
        close_seat(sim, &sim->seats[number + SIM_SEATS_OF_NODES]);
    }
    sim_clients_close(sim);
    sim_check_close(sim);
    sim_net_close(sim);
    free(sim->heap_items);
    free(sim->heap_positions);
}

static void judge_history(struct sim *sim)
{
    static struct linear *linear;
    struct linear_result verdict;
    linear = linear == NULL ? linear_open(JUDGE_BUDGET) : linear;
    ASSERT(linear != NULL);
    linear_judge(linear, sim->history, &verdict);
    sim->result->has_given_up = verdict.verdict == LINEAR_GAVE_UP;
    if (verdict.verdict == LINEAR_VIOLATION) {
        if (sim->is_verbose) {
            linear_print_violation(sim->history, &verdict, stdout);
        }
        sim_fail(sim, "linearizability", "key %lx: %u operations have no order", verdict.key,
                 verdict.id_count);
    }
}

static struct sim *running; // for assertions of the engine

static void on_assert(const char *file, int line, const char *expression, uint64_t left,
                      uint64_t right)
{
    const char *base = strrchr(file, '/');
    sim_fail(running, "assertion", "%s:%d: %s (%lu, %lu)", base == NULL ? file : base + 1, line,
             expression, left, right);
}

static uint64_t cpu_ns_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time); // others use the machine too
    return (uint64_t)time.tv_sec * SIM_S + (uint64_t)time.tv_nsec;
}

void sim_run(const struct sim_options *options, const struct sim_plan *plan,
             const struct sim_run_options *run, struct sim_result *result)
{
    static struct history history;
    jmp_buf escape;
    uint64_t began_ns = cpu_ns_now();
    struct sim *sim = calloc(1, sizeof(*sim));
    ASSERT(sim != NULL);
    *result = (struct sim_result){.end = SIM_OK, .hash = options->seed};
    sim->options = *options;
    sim->plan = *plan;
    sim->result = result;
    sim->escape = &escape;
    sim->history = &history;
    sim->crash_at_io = run->crash_at_io;
    sim->trace = run->trace;
    sim->frames = run->frames;
    sim->latencies = run->latencies;
    sim->latencies_from_ns = run->latencies_from_ns;
    sim->is_verbose = run->is_verbose;
    prng_init(&sim->prng, options->seed ^ 1);
    prng_init(&sim->net_prng, options->seed ^ 2);
    prng_init(&sim->disk_prng, options->seed ^ 3);
    prng_init(&sim->load_prng, options->seed ^ 4);
    history_reset(&history);
    running = sim;
    assert_set_handler(on_assert);
    if (setjmp(escape) == 0) {
        open_world(sim);
        sim_phases(sim);
        close_world(sim);
        judge_history(sim);
    }
    for (uint32_t place = 0; place < options->clients; place++) {
        result->unknown += sim->clients[place].unknown;
    }
    result->virtual_ns = sim->now_ns;
    if (run->history != NULL) {
        history_write(&history, run->history);
    }
    free(sim);
    result->cpu_ns = cpu_ns_now() - began_ns;
}
