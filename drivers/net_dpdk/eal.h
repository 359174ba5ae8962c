// The DPDK environment (EAL) of this process: chosen, started or adopted, and reported in one line.
//
// Decides  hugepages or not, the run-time directory, lcores, PCI or not, where EAL's log goes.
// State    EAL is one per process, so this module has the only file-scope state of the driver.
//
// An EAL that the embedder has initialised is adopted as it is. Virtual devices are never put on
// the EAL line: they are created one by one afterwards (device.c), because rte_eal_init succeeds
// even when a device on its line could not be made.
#ifndef PONTOON_NET_DPDK_EAL_H
#define PONTOON_NET_DPDK_EAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EAL_EXTRA_MAX = 32, EAL_PCI_MAX = 32, EAL_LINE_BYTES = 2048, EAL_TEXT_BYTES = 256 };

struct eal_options {
    const char *file_prefix; // names run-time files and the telemetry directory. NULL: pontoon-PID
    const char *lcores;      // value of --lcores. NULL: one lcore that floats over the allowed CPUs
    uint32_t memory_mib;   // memory of all pools and rings. 0: what the networks need, and a little
    uint32_t ordinary_mib; // the same where there are no hugepages for it. 0: as much
    bool hugepages_forbidden; // true: --no-huge even where hugepages are free
    int extra_count;          // the user's own arguments, what stood behind "--"
    const char *const *extra;
};

// What went wrong, for a person: a line each.
struct eal_fault {
    char cause[EAL_TEXT_BYTES];
    char remedy[EAL_TEXT_BYTES];
};

// Fills it. Result: `error`.
int eal_fail(struct eal_fault *fault, int error, const char *remedy, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// Starts EAL unless it runs. pci[0..pci_count): addresses to allow. 0 or -errno with *fault filled.
int eal_start(const struct eal_options *options, const char *const *pci, uint32_t pci_count,
              struct eal_fault *fault);

// Ends an EAL that eal_start started, and removes its run-time files. Nothing of DPDK may be used
// afterwards; EAL cannot be started a second time in a process.
void eal_stop(void);

bool eal_is_up(void);
const char *eal_line(void);       // the EAL line in use; "(adopted)" for an embedder's
const char *eal_mode(void);       // one line: which memory, and what that costs
const char *eal_last_error(void); // EAL's last complaint; "" when there is none or EAL is adopted

// Between these two whatever libraries print goes nowhere (unless the user asked for EAL's log):
// libxdp and libbpf tell stderr about every program they load. For opening only: it moves the
// process's stdout and stderr.
struct eal_hush {
    int out, err;
};
void eal_hush(struct eal_hush *hush);
void eal_unhush(struct eal_hush *hush);

// Between these two no other process that asks here takes hugepages, so that as many are free as
// were counted. Waits for others, but not for ever. Result: for eal_pages_unlock.
int eal_pages_lock(void);
void eal_pages_unlock(int lock);

// The directory with the telemetry socket (dpdk_telemetry.v2); "" when there is none.
const char *eal_runtime_directory(void);

#endif
