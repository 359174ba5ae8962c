// CPUs against pollers, isolation, and the clock.
#include "drivers/cli/doctor.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "drivers/cli/poll_gap.h"
#include "engine/embed/idle.h"

enum { DEMO_NODES = 3 };

// Do all nodes run on one machine? memif and loopback reach no other.
static bool is_one_machine(const struct pontoon_config *config)
{
    const struct pontoon_member *first = &config->nodes[0];
    return config->node_count == 0 || first->ipv4 >> 24 == 127 ||
           (first->link_count != 0 && strncmp(first->links[0].device, "net_memif", 9) == 0);
}

// Threads that poll on this machine: its nodes' reactors, and one client where all nodes are here.
static uint32_t count_pollers(const struct pontoon_config *config)
{
    uint32_t nodes = config->node_count == 0 ? DEMO_NODES : config->node_count;
    return is_one_machine(config) ? nodes * config->reactors + 1 : config->reactors;
}

static void check_pollers(struct doctor_report *report, const struct pontoon_config *config)
{
    cpu_set_t allowed;
    uint32_t pollers = count_pollers(config);
    int cpus = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
    bool is_enough = (uint32_t)cpus >= pollers;
    doctor_add(
        report, is_enough ? DOCTOR_OK : DOCTOR_WARN, "CPUs",
        is_enough
            ? NULL
            : "idle: auto chooses yield, so that pollers share CPUs; more CPUs give lower latency",
        "%d for %u pollers%s", cpus, pollers,
        is_one_machine(config) ? " (all nodes and a client on this machine)" : "");
}

// As many pollers as the configuration brings to this machine, all idle: how far apart do their
// polls lie, and what election timeout does that allow?
static void check_poll_gap(struct doctor_report *report, const struct pontoon_config *config)
{
    uint64_t longest_ns = poll_gap_measure_ns(count_pollers(config));
    uint64_t shortest_ns = idle_shortest_election_ns(longest_ns);
    bool is_enough = config->node_count == 0 || config->election_timeout_min_ns >= shortest_ns;
    doctor_add(report, is_enough ? DOCTOR_OK : DOCTOR_WARN, "poll gap",
               is_enough ? NULL
                         : "raise election_timeout_min, or give the pollers CPUs of their own",
               "up to %.1f ms between polls: election timeouts from %.0f ms make sense",
               (double)longest_ns / 1e6, (double)shortest_ns / 1e6);
}

static void check_isolation(struct doctor_report *report)
{
    char text[128] = "";
    doctor_read_text("/sys/devices/system/cpu/isolated", text, sizeof(text));
    doctor_add(
        report, text[0] != '\0' ? DOCTOR_OK : DOCTOR_WARN, "isolated CPUs",
        text[0] != '\0'
            ? NULL
            : "for steady latency: isolcpus=LIST nohz_full=LIST on the kernel's command line, and "
              "`cores` in the configuration",
        "%s", text[0] != '\0' ? text : "none");
}

static void check_clock(struct doctor_report *report)
{
    char text[64] = "unknown";
    doctor_read_text("/sys/devices/system/clocksource/clocksource0/current_clocksource", text,
                     sizeof(text));
    bool is_fast = strcmp(text, "tsc") == 0 || strcmp(text, "kvm-clock") == 0 ||
                   strcmp(text, "arch_sys_counter") == 0 || strncmp(text, "hyperv", 6) == 0;
    doctor_add(report, is_fast ? DOCTOR_OK : DOCTOR_WARN, "clock source",
               is_fast ? NULL
                       : "reading this clock is a system call; boot with clocksource=tsc if the "
                         "machine's TSC is stable",
               "%s", text);
}

void doctor_cpu(struct doctor_report *report, const struct pontoon_config *config)
{
    check_pollers(report, config);
    check_poll_gap(report, config);
    check_isolation(report);
    check_clock(report);
}
