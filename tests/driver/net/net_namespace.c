#include "tests/driver/net/net_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return ok;
}

static bool become_root_of_own_users(void)
{
    char uid_map[64], gid_map[64];
    snprintf(uid_map, sizeof(uid_map), "0 %u 1", (unsigned)getuid());
    snprintf(gid_map, sizeof(gid_map), "0 %u 1", (unsigned)getgid());
    return unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 &&
           write_file("/proc/self/uid_map", uid_map) &&
           write_file("/proc/self/setgroups", "deny") && write_file("/proc/self/gid_map", gid_map);
}

bool net_namespace_enter(char *why, size_t why_bytes)
{
    if (unshare(CLONE_NEWNET) != 0 && !become_root_of_own_users()) {
        snprintf(why, why_bytes, "no network namespace: %s", strerror(errno));
        return false;
    }
    write_file("/proc/sys/net/ipv6/conf/all/disable_ipv6",
               "1"); // its chatter would be counted as malformed
    write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    return net_namespace_run("ip link set lo up", why, why_bytes);
}

bool net_namespace_run(const char *command, char *why, size_t why_bytes)
{
    char line[512];
    snprintf(line, sizeof(line), "PATH=$PATH:/usr/sbin:/sbin; (%s) >/dev/null 2>&1", command);
    if (system(line) == 0) {
        return true;
    }
    snprintf(why, why_bytes, "failed: %s", command);
    return false;
}
