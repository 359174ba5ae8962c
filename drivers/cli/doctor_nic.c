// Network devices on the PCI bus, and which driver holds them.
#include "drivers/cli/doctor.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PCI_DIRECTORY "/sys/bus/pci/devices"

enum { PCI_CLASS_NETWORK = 0x02 };

static bool is_network_device(const char *address)
{
    char path[320], text[32];
    snprintf(path, sizeof(path), PCI_DIRECTORY "/%s/class", address);
    return doctor_read_text(path, text, sizeof(text)) &&
           strtoul(text, NULL, 16) >> 16 == PCI_CLASS_NETWORK;
}

// The last part of the driver link, or "none".
static void read_driver(const char *address, char driver[static 64])
{
    char path[320], target[256];
    snprintf(path, sizeof(path), PCI_DIRECTORY "/%s/driver", address);
    ssize_t bytes = readlink(path, target, sizeof(target) - 1);
    target[bytes < 0 ? 0 : bytes] = '\0';
    const char *slash = strrchr(target, '/');
    snprintf(driver, 64, "%.63s", slash != NULL ? slash + 1 : "none");
}

static bool is_dpdk_driver(const char *driver)
{
    static const char *const drivers[] = {"vfio-pci", "uio_pci_generic", "igb_uio", "mlx4_core",
                                          "mlx5_core"};
    for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
        if (strcmp(driver, drivers[i]) == 0) {
            return true;
        }
    }
    return false;
}

void doctor_nic(struct doctor_report *report)
{
    char driver[64], what[DOCTOR_WHAT_BYTES];
    unsigned usable = 0;
    struct dirent *entry;
    DIR *directory = opendir(PCI_DIRECTORY);
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (!is_network_device(entry->d_name)) {
            continue;
        }
        read_driver(entry->d_name, driver);
        bool is_usable = is_dpdk_driver(driver);
        usable += is_usable;
        snprintf(what, sizeof(what), "NIC %.24s", entry->d_name);
        doctor_add(report, DOCTOR_OK, what, NULL, "%s: %s", driver,
                   is_usable ? "DPDK can use it" : "the kernel has it");
    }
    if (directory != NULL) {
        closedir(directory);
    }
    doctor_add(report, usable != 0 ? DOCTOR_OK : DOCTOR_WARN, "NICs for DPDK",
               usable != 0 ? NULL
                           : "none is needed for memif, af_packet, tap; to give one to DPDK: "
                             "dpdk-devbind.py -b vfio-pci "
                             "ADDRESS (never the one you are logged in through)",
               "%u", usable);
}
