#include "drivers/cli/cluster_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drivers/cli/control.h"

enum { MEMBERS = CLUSTER_NODES + 1 }; // and one client

static int fail(char *reason, size_t reason_bytes, const char *what, int error)
{
    snprintf(reason, reason_bytes, "%s: %s", what, strerror(error));
    return -error;
}

// Runs a command line of words without a shell. 0: it exited with 0.
static int run_words(char *const *words)
{
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execvp(words[0], words);
        _exit(127);
    }
    int status;
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
                   WEXITSTATUS(status) == 0
               ? 0
               : -1;
}

int cluster_ip(const char *line)
{
    char copy[256];
    char *words[24] = {"ip"};
    int count = 1;
    char *rest = NULL;
    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok_r(copy, " ", &rest); word != NULL && count < 23;
         word = strtok_r(NULL, " ", &rest)) {
        words[count++] = word;
    }
    return run_words(words);
}

static void silence_ipv6(void)
{
    int file = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
    if (file >= 0) {
        ssize_t written = write(file, "1", 1);
        (void)written; // without IPv6 there is nothing to silence
        close(file);
    }
}

static int map_root(void)
{
    char map[64];
    snprintf(map, sizeof(map), "0 %u 1", getuid());
    const char *const files[] = {"/proc/self/setgroups", "/proc/self/uid_map",
                                 "/proc/self/gid_map"};
    char gid_map[64];
    snprintf(gid_map, sizeof(gid_map), "0 %u 1", getgid());
    const char *const texts[] = {"deny", map, gid_map};
    if (unshare(CLONE_NEWUSER) != 0) {
        return -errno;
    }
    for (int at = 0; at < 3; at++) {
        int file = open(files[at], O_WRONLY | O_CLOEXEC);
        if (file < 0 || write(file, texts[at], strlen(texts[at])) < 0) {
            int error = errno;
            close(file);
            return -error;
        }
        close(file);
    }
    return 0;
}

// A network namespace of our own, with nothing but loopback. It is gone when we end.
static int make_network(char *reason, size_t reason_bytes)
{
    int error = geteuid() == 0 ? 0 : map_root();
    if (error != 0 || unshare(CLONE_NEWNET) != 0) {
        error = error != 0 ? -error : errno;
        return fail(reason, reason_bytes,
                    "a network namespace of our own (run as root, or allow user namespaces, or use "
                    "--link memif)",
                    error);
    }
    silence_ipv6();
    if (cluster_ip("link set lo up") != 0) {
        snprintf(reason, reason_bytes, "`ip` does not work; install iproute2, or use --link memif");
        return -EIO;
    }
    return 0;
}

// A bridge, and a veth pair a member: `pN` is the member's end.
static int make_bridge(char *reason, size_t reason_bytes)
{
    char line[256];
    int failed = cluster_ip("link add br0 type bridge forward_delay 0 stp_state 0") +
                 cluster_ip("link set br0 up");
    for (int member = 1; member <= MEMBERS; member++) {
        // net_af_packet makes its fan-out group of process id and interface index: neighbouring
        // numbers would collide.
        snprintf(line, sizeof(line), "link add p%d index %d type veth peer name b%d", member,
                 member << 12, member);
        failed += cluster_ip(line);
        snprintf(line, sizeof(line), "link set b%d master br0 up", member);
        failed += cluster_ip(line);
        snprintf(line, sizeof(line), "link set p%d up promisc on", member);
        failed += cluster_ip(line);
    }
    if (failed != 0) {
        snprintf(reason, reason_bytes,
                 "veth and bridge could not be made; install iproute2, or use --link memif");
        return -EIO;
    }
    return 0;
}

static void write_member(FILE *file, const struct cluster *cluster, int member, int id,
                         bool is_node)
{
    fprintf(file, "  - id: %d\n", id);
    if (is_node) {
        fprintf(file, "    directory: %s/node-%d\n", cluster->directory, id);
    }
    if (strcmp(cluster->link, "af_packet") == 0) {
        fprintf(file, "    device: net_af_packet0,iface=p%d\n", member);
    }
}

static int write_config(struct cluster *cluster, char *reason, size_t reason_bytes)
{
    FILE *file = fopen(cluster->config, "w");
    if (file == NULL) {
        return fail(reason, reason_bytes, cluster->config, errno);
    }
    fprintf(file, "cluster: %llu\nlink: %s\ndurability: %s\norder: %s\n%snodes:\n",
            (unsigned long long)cluster->number, cluster->link, cluster->durability,
            cluster->order == NULL ? "strict" : cluster->order,
            cluster->settings == NULL ? "" : cluster->settings);
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        write_member(file, cluster, id, id, true);
    }
    fprintf(file, "clients:\n");
    write_member(file, cluster, MEMBERS, 1, false);
    return fclose(file) == 0 ? 0 : fail(reason, reason_bytes, cluster->config, errno);
}

static int find_program(struct cluster *cluster, char *reason, size_t reason_bytes)
{
    ssize_t bytes = readlink("/proc/self/exe", cluster->program, sizeof(cluster->program) - 1);
    if (bytes <= 0) {
        return fail(reason, reason_bytes, "/proc/self/exe", errno);
    }
    cluster->program[bytes] = '\0';
    return 0;
}

int cluster_create(struct cluster *cluster, const char *parent, char *reason, size_t reason_bytes)
{
    bool has_bridge = strcmp(cluster->link, "af_packet") == 0;
    int error = cluster->program[0] == '\0' ? find_program(cluster, reason, reason_bytes) : 0;
    if (error != 0) {
        return error;
    }
    cluster->number = (uint64_t)getpid();
    snprintf(cluster->directory, sizeof(cluster->directory), "%s/%s-XXXXXX", parent,
             cluster->name == NULL ? "pontoon-demo" : cluster->name);
    if (mkdtemp(cluster->directory) == NULL) {
        return fail(reason, reason_bytes, cluster->directory, errno);
    }
    snprintf(cluster->config, sizeof(cluster->config), "%s/cluster.yaml", cluster->directory);
    if (has_bridge || cluster->is_isolated) {
        error = make_network(reason, reason_bytes);
    }
    if (error == 0 && has_bridge) {
        error = make_bridge(reason, reason_bytes);
    }
    return error != 0 ? error : write_config(cluster, reason, reason_bytes);
}

int cluster_set_link(int member, bool is_up)
{
    char line[64];
    snprintf(line, sizeof(line), "link set b%d %s", member, is_up ? "up" : "down");
    return cluster_ip(line);
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *walk)
{
    (void)status;
    (void)flag;
    (void)walk;
    remove(path); // what cannot be removed does not keep the rest
    return 0;
}

void cluster_destroy(struct cluster *cluster, bool keep)
{
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        cluster_signal_node(cluster, id, SIGTERM);
    }
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        for (int tries = 0; tries < 500 && cluster->nodes[id] != 0; tries++) {
            if (waitpid(cluster->nodes[id], NULL, WNOHANG) == cluster->nodes[id]) {
                cluster->nodes[id] = 0;
            } else {
                usleep(10000);
            }
        }
        cluster_signal_node(cluster, id, SIGKILL);
    }
    if (!keep && cluster->directory[0] != '\0') {
        nftw(cluster->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
}

static void log_path(const struct cluster *cluster, int id, char *path, size_t bytes)
{
    snprintf(path, bytes, "%s/node-%d.log", cluster->directory, id);
}

int cluster_start_node(struct cluster *cluster, int id, bool bootstrap)
{
    char number[12], path[CLUSTER_PATH_BYTES + 32];
    snprintf(number, sizeof(number), "%d", id);
    log_path(cluster, id, path, sizeof(path));
    pid_t pid = fork();
    if (pid < 0) {
        return -errno;
    }
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); // no node outlives the demonstration
        int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        dup2(file, STDOUT_FILENO);
        dup2(file, STDERR_FILENO);
        execl(cluster->program, "pontoon", "node", "--config", cluster->config, "--id", number,
              bootstrap ? "--bootstrap" : (char *)NULL, (char *)NULL);
        _exit(127);
    }
    cluster->nodes[id] = pid;
    return 0;
}

bool cluster_has_died(struct cluster *cluster, int id, char *line, size_t bytes)
{
    char path[CLUSTER_PATH_BYTES + 32], text[512];
    if (cluster->nodes[id] == 0 ||
        waitpid(cluster->nodes[id], NULL, WNOHANG) != cluster->nodes[id]) {
        return false;
    }
    cluster->nodes[id] = 0;
    log_path(cluster, id, path, sizeof(path));
    FILE *file = fopen(path, "r");
    snprintf(line, bytes, "no output");
    while (file != NULL && fgets(text, sizeof(text), file) != NULL) {
        text[strcspn(text, "\n")] = '\0';
        snprintf(line, bytes, "%s", text);
    }
    if (file != NULL) {
        fclose(file);
    }
    return true;
}

void cluster_signal_node(struct cluster *cluster, int id, int signal)
{
    if (cluster->nodes[id] != 0) {
        kill(cluster->nodes[id], signal);
        if (signal == SIGKILL) {
            waitpid(cluster->nodes[id], NULL, 0);
            cluster->nodes[id] = 0;
        }
    }
}

pid_t cluster_run(const struct cluster *cluster, const char *const *arguments)
{
    const char *words[32] = {"pontoon"};
    int count = 1;
    while (*arguments != NULL && count < 26) {
        words[count++] = *arguments++;
    }
    words[count++] = "--config";
    words[count++] = cluster->config;
    words[count++] = "--client";
    words[count++] = "1";
    words[count] = NULL;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execv(cluster->program, (char *const *)(uintptr_t)words);
        _exit(127);
    }
    return pid;
}

void cluster_pin(pid_t pid, int cpu)
{
    char path[64];
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    for (size_t at = 0; at < (size_t)sysconf(_SC_NPROCESSORS_ONLN); at++) {
        if (cpu < 0 || at == (size_t)cpu) {
            CPU_SET(at, &cpus);
        }
    }
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    for (struct dirent *task; tasks != NULL && (task = readdir(tasks)) != NULL;) {
        pid_t thread = (pid_t)strtol(task->d_name, NULL, 10);
        if (thread > 0) {
            sched_setaffinity(thread, sizeof(cpus), &cpus); // (it may have ended)
        }
    }
    if (tasks != NULL) {
        closedir(tasks);
    }
}

void cluster_place(const struct cluster *cluster, int leader)
{
    int last = (int)sysconf(_SC_NPROCESSORS_ONLN) - 1;
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        if (cluster->nodes[id] != 0) {
            cluster_pin(cluster->nodes[id], id == leader ? 0 : last);
        }
    }
}

static json_t *ask(const struct cluster *cluster, int id, const char *request)
{
    char path[CLUSTER_PATH_BYTES + 32];
    char *answer = NULL;
    snprintf(path, sizeof(path), "%s/node-%d/control", cluster->directory, id);
    if (cluster->nodes[id] == 0 || control_ask(path, request, &answer) != 0) {
        return NULL;
    }
    json_t *said = json_loads(answer, 0, NULL);
    free(answer);
    return said;
}

int cluster_impair(const struct cluster *cluster, int id, const char *words)
{
    char request[256];
    snprintf(request, sizeof(request), "impair %s", words);
    json_t *said = ask(cluster, id, request);
    int error = said == NULL ? -ENOTCONN : json_object_get(said, "error") != NULL ? -EINVAL : 0;
    json_decref(said);
    return error;
}

json_t *cluster_status(const struct cluster *cluster, int id)
{
    return ask(cluster, id, "status");
}

int cluster_leader(const struct cluster *cluster)
{
    int votes[CLUSTER_NODES + 1] = {0}, leader = 0;
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        json_t *status = cluster_status(cluster, id);
        json_t *group = json_array_get(json_object_get(status, "groups"), 0);
        long long seen = json_integer_value(json_object_get(group, "leader"));
        if (seen >= 1 && seen <= CLUSTER_NODES && ++votes[seen] > CLUSTER_NODES / 2) {
            leader = (int)seen;
        }
        json_decref(status);
    }
    return leader;
}
