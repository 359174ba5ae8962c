#include "bench/harness/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t bytes = write(fd, text, strlen(text));
    close(fd);
    return bytes == (ssize_t)strlen(text);
}

// An ordinary user is mapped to root of a new user namespace, which may then own network
// namespaces.
static bool enter_as_user(void)
{
    char uid_map[64], gid_map[64];
    snprintf(uid_map, sizeof(uid_map), "0 %u 1", (unsigned)geteuid());
    snprintf(gid_map, sizeof(gid_map), "0 %u 1", (unsigned)getegid());
    return unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 &&
           write_file("/proc/self/setgroups", "deny") &&
           write_file("/proc/self/uid_map", uid_map) && write_file("/proc/self/gid_map", gid_map);
}

// argv of exec is not const for historical reasons only.
static bool run_ip(const char *const *arguments)
{
    pid_t pid;
    int status, error = posix_spawnp(&pid, "ip", NULL, NULL, (char *const *)arguments, NULL);
    if (error != 0) {
        fprintf(stderr, "ip: %s (install iproute2)\n", strerror(error));
        return false;
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#define RUN_IP(...) run_ip((const char *const[]){"ip", __VA_ARGS__, NULL})

bool namespace_enter(void)
{
    bool entered = geteuid() == 0 ? unshare(CLONE_NEWNET) == 0 : enter_as_user();
    if (!entered) {
        fprintf(stderr, "network namespace: %s (needs root or user namespaces)\n", strerror(errno));
        return false;
    }
    return RUN_IP("link", "set", "lo", "up");
}

static bool raise_end(const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
    (void)write_file(path, "1"); // only quieter without: foreign frames are ignored anyway
    return RUN_IP("link", "set", name, "up", "promisc", "on");
}

bool namespace_add_pair(unsigned number, const char *left, const char *right)
{
    enum { INDEX_SHIFT = 12 };
    char left_index[16], right_index[16];
    snprintf(left_index, sizeof(left_index), "%u", (2 * number + 1) << INDEX_SHIFT);
    snprintf(right_index, sizeof(right_index), "%u", (2 * number + 2) << INDEX_SHIFT);
    return RUN_IP("link", "add", "name", left, "index", left_index, "type", "veth", "peer", "name",
                  right, "index", right_index) &&
           raise_end(left) && raise_end(right);
}
