// Hugepages, the limit of locked memory, and the capabilities that DPDK's drivers ask for.
#include "drivers/cli/doctor.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define HUGEPAGES_DIRECTORY "/sys/kernel/mm/hugepages"

static uint64_t read_count(const char *size_directory, const char *name)
{
    char path[320], text[32];
    snprintf(path, sizeof(path), HUGEPAGES_DIRECTORY "/%s/%s", size_directory, name);
    return doctor_read_text(path, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

// MiB of frame buffers and log arenas that one node takes from hugepages.
static uint64_t node_mib(const struct pontoon_config *config)
{
    return config->buffers_mib + (uint64_t)config->log_mib * config->reactors;
}

// One row a page size, and one for what all sizes together leave for nodes.
static void check_hugepages(struct doctor_report *report, const struct pontoon_config *config)
{
    uint64_t free_mib = 0, wanted_mib = node_mib(config);
    struct dirent *entry;
    DIR *directory = opendir(HUGEPAGES_DIRECTORY);
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        uint64_t kib;
        if (sscanf(entry->d_name, "hugepages-%" SCNu64 "kB", &kib) == 1) {
            uint64_t total = read_count(entry->d_name, "nr_hugepages");
            uint64_t available = read_count(entry->d_name, "free_hugepages");
            char what[DOCTOR_WHAT_BYTES];
            snprintf(what, sizeof(what), "hugepages %" PRIu64 " MiB", kib / 1024);
            doctor_add(report, DOCTOR_OK, what, NULL, "%" PRIu64 " free of %" PRIu64, available,
                       total);
            free_mib += available * kib / 1024;
        }
    }
    if (directory != NULL) {
        closedir(directory);
    }
    if (!config->hugepages) {
        doctor_add(report, DOCTOR_OK, "hugepage memory", NULL, "not used (hugepages: false)");
        return;
    }
    doctor_add(report, free_mib >= wanted_mib ? DOCTOR_OK : DOCTOR_WARN, "hugepage memory",
               free_mib >= wanted_mib ? NULL
                                      : "as root: hugeadm --pool-pages-min 2M:1024 "
                                        "(config/setup.sh does it); without, nodes run slower",
               "%" PRIu64 " MiB free, a node takes %" PRIu64, free_mib, wanted_mib);
}

static void check_memlock(struct doctor_report *report)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) {
        return;
    }
    if (limit.rlim_cur == RLIM_INFINITY) {
        doctor_add(report, DOCTOR_OK, "locked memory", NULL, "unlimited");
        return;
    }
    bool is_enough = limit.rlim_cur >= UINT64_C(64) << 20;
    doctor_add(report, is_enough ? DOCTOR_OK : DOCTOR_WARN, "locked memory",
               is_enough ? NULL
                         : "LimitMEMLOCK=infinity in the unit, or memlock in "
                           "/etc/security/limits.conf; needed for NICs "
                           "behind VFIO, and disk buffers are registered only with it",
               "%" PRIu64 " KiB", (uint64_t)limit.rlim_cur >> 10);
}

static const struct {
    const char *name;
    unsigned bit;
    const char *remedy;
} capabilities[] = {
    {"CAP_NET_RAW", 13,
     "needed by af_packet and af_xdp: run as root, or setcap cap_net_raw+ep on the program"},
    {"CAP_NET_ADMIN", 12,
     "needed by tap and af_xdp: run as root, or setcap cap_net_admin+ep on the program"},
    {"CAP_SYS_NICE", 23,
     "needed for real-time priority only: AmbientCapabilities=CAP_SYS_NICE in the unit"},
    {"CAP_IPC_LOCK", 14,
     "lets locked memory pass its limit: AmbientCapabilities=CAP_IPC_LOCK in the unit"},
};

static void check_capabilities(struct doctor_report *report)
{
    char text[4096];
    FILE *stream = fopen("/proc/self/status", "r");
    uint64_t effective = 0;
    while (stream != NULL && fgets(text, sizeof(text), stream) != NULL) {
        if (sscanf(text, "CapEff: %" SCNx64, &effective) == 1) {
            break;
        }
    }
    if (stream != NULL) {
        fclose(stream);
    }
    for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++) {
        bool has = (effective >> capabilities[i].bit & 1) != 0;
        doctor_add(report, has ? DOCTOR_OK : DOCTOR_WARN, capabilities[i].name,
                   has ? NULL : capabilities[i].remedy, "%s", has ? "yes" : "no");
    }
}

void doctor_memory(struct doctor_report *report, const struct pontoon_config *config)
{
    check_hugepages(report, config);
    check_memlock(report);
    check_capabilities(report);
}
