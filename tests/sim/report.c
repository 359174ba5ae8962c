#include "tests/sim/report.h"

#include <inttypes.h>

#include "engine/base/mark.h"

// The linker makes these: begin and end of the section of all marks.
extern struct mark __start_marks[], __stop_marks[];

enum { HEAL_TIMEOUTS_MAX = 5 };

static uint32_t mark_count(void)
{
    uint32_t count = (uint32_t)(__stop_marks - __start_marks);
    ASSERT_CMP(count, <=, REPORT_MARKS_MAX);
    return count;
}

static bool is_late(const struct sim_result *result)
{
    return result->heal_timeouts > 100 * HEAL_TIMEOUTS_MAX;
}

void report_line(FILE *file, uint64_t seed, const struct sim_result *result)
{
    fprintf(file,
            "seed=%lu events=%lu faults=%lu operations=%lu virtual_s=%lu.%03lu wall_s=%lu.%03lu "
            "hash=%016lx",
            seed, result->events, result->faults, result->operations, result->virtual_ns / SIM_S,
            result->virtual_ns / SIM_MS % 1000, result->cpu_ns / SIM_S,
            result->cpu_ns / SIM_MS % 1000, result->hash);
    if (result->end == SIM_OK) {
        fprintf(file, " ok%s", result->is_halted ? " (too few intact nodes were left)" : "");
        if (is_late(result)) {
            fprintf(file, " (healed after %u.%02u election timeouts)", result->heal_timeouts / 100,
                    result->heal_timeouts % 100);
        }
        fputc('\n', file);
    } else {
        fprintf(file, " FAIL: %s\n  %s (commit %s)\n", result->invariant, result->text,
                report_commit);
    }
}

void report_add(struct report_totals *totals, const struct sim_result *result)
{
    totals->runs++;
    totals->failed += result->end == SIM_FAILED;
    totals->halted += result->is_halted;
    totals->given_up += result->has_given_up;
    totals->events += result->events;
    totals->operations += result->operations;
    totals->unknown += result->unknown;
    totals->faults += result->faults;
    totals->virtual_ns += result->virtual_ns;
    totals->cpu_ns += result->cpu_ns;
    totals->heal_late += is_late(result);
    if (result->heal_timeouts > totals->heal_worst_hundredths) {
        totals->heal_worst_hundredths = result->heal_timeouts;
    }
    for (uint32_t kind = 0; kind < SIM_FAULT_KINDS; kind++) {
        totals->faults_of[kind] += result->faults_of[kind];
    }
}

void report_add_marks(struct report_totals *totals)
{
    for (uint32_t at = 0; at < mark_count(); at++) {
        totals->marks[at] += __start_marks[at].visits;
    }
}

void report_sum(struct report_totals *sum, const struct report_totals *parts, uint32_t count)
{
    *sum = (struct report_totals){0};
    for (uint32_t part = 0; part < count; part++) {
        const struct report_totals *add = &parts[part];
        sum->runs += add->runs;
        sum->failed += add->failed;
        sum->halted += add->halted;
        sum->given_up += add->given_up;
        sum->events += add->events;
        sum->operations += add->operations;
        sum->unknown += add->unknown;
        sum->faults += add->faults;
        sum->virtual_ns += add->virtual_ns;
        sum->cpu_ns += add->cpu_ns;
        sum->heal_late += add->heal_late;
        if (add->heal_worst_hundredths > sum->heal_worst_hundredths) {
            sum->heal_worst_hundredths = add->heal_worst_hundredths;
        }
        for (uint32_t kind = 0; kind < SIM_FAULT_KINDS; kind++) {
            sum->faults_of[kind] += add->faults_of[kind];
        }
        for (uint32_t at = 0; at < REPORT_MARKS_MAX; at++) {
            sum->marks[at] += add->marks[at];
        }
    }
}

static void print_faults(const struct report_totals *totals)
{
    for (uint32_t class = 0; class < SIM_CLASSES; class ++) {
        printf("  %-10s", sim_class_name((enum sim_class) class));
        for (uint32_t kind = 0; kind < SIM_FAULT_KINDS; kind++) {
            if (sim_fault_row((enum sim_fault_kind)kind)->class == (enum sim_class) class) {
                printf(" %s %lu", sim_fault_row((enum sim_fault_kind)kind)->name,
                       totals->faults_of[kind]);
            }
        }
        printf("\n");
    }
}

bool report_summary(const struct report_totals *totals, uint64_t seconds, bool shows_marks,
                    bool requires_marks)
{
    uint64_t core_ms = totals->cpu_ns / SIM_MS, unvisited = 0;
    core_ms = core_ms == 0 ? 1 : core_ms;
    printf("faults by class\n");
    print_faults(totals);
    for (uint32_t at = 0; at < mark_count(); at++) {
        if (shows_marks) {
            printf("  mark %-40s %lu\n", __start_marks[at].name, totals->marks[at]);
        } else if (totals->marks[at] == 0) {
            printf("  mark %s was never reached\n", __start_marks[at].name);
        }
        unvisited += totals->marks[at] == 0;
    }
    printf("seeds=%lu failed=%lu operations=%lu unknown=%lu faults=%lu events=%lu wall_s=%lu "
           "core_s=%lu "
           "events_per_core_s=%lu virtual_hours_per_core_minute=%lu.%02lu halted=%lu gave_up=%lu "
           "heal_worst_timeouts=%lu.%02lu heal_late=%lu marks=%u marks_missed=%lu\n",
           totals->runs, totals->failed, totals->operations, totals->unknown, totals->faults,
           totals->events, seconds, core_ms / 1000, totals->events * 1000 / core_ms,
           totals->virtual_ns / SIM_MS * 60 / core_ms / 3600,
           totals->virtual_ns / SIM_MS * 60 * 100 / core_ms / 3600 % 100, totals->halted,
           totals->given_up, totals->heal_worst_hundredths / 100,
           totals->heal_worst_hundredths % 100, totals->heal_late, mark_count(), unvisited);
    return !requires_marks || unvisited == 0;
}

static void print_fault(const struct sim_plan *plan, uint32_t at)
{
    const struct sim_fault *fault = &plan->faults[at];
    printf("  #%-3u at %6lu us for %6lu us  %-18s node %u peer %u strength %u\n", at,
           fault->at_ns / SIM_US, fault->for_ns / SIM_US, sim_fault_row(fault->kind)->name,
           fault->node, fault->peer, fault->strength);
}

static const char *name_order(const struct sim_options *options)
{
    static const char *const names[] = {[SIM_RANGES_NONE] = "parallel",
                                        [SIM_RANGES_TRUE] =
                                            "parallel (clients say what they touch)",
                                        [SIM_RANGES_WRONG] = "parallel (clients say it wrongly)"};
    return options->order == RAFT_ORDER_STRICT ? "strict" : names[options->ranges];
}

static void print_options(const struct sim_options *options)
{
    printf(
        "seed %lu: %s, %u nodes, %u groups, %u reactors, %u workers, %u clients x %u, %s, %u keys, "
        "entries up to %u bytes, frames of %u, log %lu KiB, %u entries, window %u, elections "
        "%lu..%lu ms, disk %lu..%lu us, links %lu..%lu us, polls %lu us,",
        options->seed, name_order(options), options->nodes, options->groups, options->reactors,
        options->workers, options->clients, options->window,
        options->is_volatile ? "memory" : "fsync", options->keys, options->payload_max,
        options->frame_bytes, options->log_bytes >> 10, options->log_entries,
        options->window_entries, options->election_min_ns / SIM_MS,
        options->election_max_ns / SIM_MS, options->disk_min_ns / SIM_US,
        options->disk_max_ns / SIM_US, options->link_min_ns / SIM_US, options->link_max_ns / SIM_US,
        options->poll_ns / SIM_US);
    if (options->look_behind != 0) {
        printf(" look-behind of %u,", options->look_behind);
    }
    if (options->checkpoint_at_holes != 0) {
        printf(" checkpoints at one hole in %u,", options->checkpoint_at_holes);
    }
    printf(" faults of");
    for (uint32_t class = 0; class < SIM_CLASSES; class ++) {
        if ((options->classes >> class & 1) != 0) {
            printf(" %s", sim_class_name((enum sim_class) class));
        }
    }
    if (options->afflicted == 0) {
        printf("; all nodes may be damaged\n");
    } else {
        printf("; node %u may be damaged\n", options->afflicted);
    }
}

void report_plan(const struct sim_options *options, const struct sim_plan *plan)
{
    print_options(options);
    for (uint32_t at = 0; at < plan->count; at++) {
        print_fault(plan, at);
    }
}

void report_minimal(const struct sim_options *options, const struct sim_plan *plan, uint64_t seed)
{
    const char *between = "";
    print_options(options);
    for (uint32_t at = 0; at < plan->count; at++) {
        if (!plan->faults[at].is_left_out) {
            print_fault(plan, at);
        }
    }
    printf("again: sim --seed %lu --verbose --keep ", seed);
    for (uint32_t at = 0; at < plan->count; at++) {
        if (!plan->faults[at].is_left_out) {
            printf("%s%u", between, at);
            between = ",";
        }
    }
    printf("\n");
}
