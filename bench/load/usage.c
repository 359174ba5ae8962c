#include "bench/load/usage.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint32_t usage_parse_pids(const char *text, pid_t *pids, uint32_t max)
{
    uint32_t count = 0;
    while (count < max) {
        char *end;
        long pid = strtol(text, &end, 10);
        if (end == text || pid <= 0 || (*end != ',' && *end != '\0')) {
            return 0;
        }
        pids[count++] = (pid_t)pid;
        if (*end == '\0') {
            return count;
        }
        text = end + 1;
    }
    return 0;
}

// utime and stime are fields 14 and 15; field 2 is a name in parentheses that may hold anything.
static bool read_cpu(pid_t pid, double *cpu_s)
{
    char path[64], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return false;
    }
    size_t bytes = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[bytes] = '\0';
    const char *behind_name = strrchr(text, ')');
    unsigned long long user, system;
    if (behind_name == NULL ||
        sscanf(behind_name + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
               &system) != 2) {
        return false;
    }
    *cpu_s += (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    return true;
}

static void read_memory(pid_t pid, uint64_t *memory_bytes)
{
    char path[64], line[256];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    unsigned long long kib;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "VmRSS: %llu", &kib) == 1 ||
            sscanf(line, "HugetlbPages: %llu", &kib) == 1) {
            *memory_bytes += (uint64_t)kib << 10;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

void usage_of_pids(struct usage *usage, const pid_t *pids, uint32_t count)
{
    usage->has_cpu = count > 0;
    usage->cpu_s = 0;
    usage->memory_bytes = 0;
    for (uint32_t at = 0; at < count; at++) {
        usage->has_cpu = usage->has_cpu && read_cpu(pids[at], &usage->cpu_s);
        read_memory(pids[at], &usage->memory_bytes);
    }
}

static bool add_busy(const char *answer, double *busy_s)
{
    json_t *status = json_loads(answer, 0, NULL);
    json_t *reactors = json_object_get(status, "reactors");
    bool is_there = json_array_size(reactors) > 0;
    for (size_t at = 0; at < json_array_size(reactors); at++) {
        json_t *busy_ns = json_object_get(json_array_get(reactors, at), "busy_ns");
        is_there = is_there && json_is_integer(busy_ns);
        *busy_s += (double)json_integer_value(busy_ns) / 1e9;
    }
    json_decref(status);
    return is_there;
}

void usage_of_sockets(struct usage *usage, const char (*paths)[PONTOON_PATH_BYTES + 16],
                      uint32_t count,
                      int (*ask)(const char *path, const char *request, char **answer))
{
    usage->has_busy = count > 0;
    usage->busy_s = 0;
    for (uint32_t at = 0; at < count && usage->has_busy; at++) {
        char *answer = NULL;
        usage->has_busy =
            ask(paths[at], "status", &answer) == 0 && add_busy(answer, &usage->busy_s);
        free(answer);
    }
}
