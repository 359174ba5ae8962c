#include "drivers/net_dpdk/plugs.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { PLUGS = 32 };

static int plugs[PLUGS];
static uint32_t plug_count;
static int original = -1;

void plugs_fill(void)
{
    if (original < 0) {
        original = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    }
    while (original >= 0 && plug_count < PLUGS) {
        int plug = fcntl(original, F_DUPFD_CLOEXEC, 0); // the lowest free number
        if (plug < 0) {
            return; // the table is full: no number is free to be missed
        }
        plugs[plug_count++] = plug;
    }
}

void plugs_release(bool (*is_watched)(int fd))
{
    while (plug_count > 0) {
        int plug = plugs[--plug_count];
        if (!is_watched(plug)) {
            close(plug);
        }
    }
}
