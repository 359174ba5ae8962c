#include "drivers/cli/cluster_wait.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "drivers/cli/cli_client.h"

enum { PAUSE_US = 2000 };

static uint64_t deadline_ns(uint32_t timeout_s)
{
    return cli_now_ns() + timeout_s * UINT64_C(1000000000);
}

bool cluster_start(struct cluster *cluster, char *reason, size_t reason_bytes)
{
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        int error = cluster_start_node(cluster, id, true);
        if (error != 0) {
            snprintf(reason, reason_bytes, "node %d cannot be started: %s", id, strerror(-error));
            return false;
        }
    }
    return true;
}

bool cluster_is_whole(struct cluster *cluster, char *reason, size_t reason_bytes)
{
    char line[512];
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        if (cluster_has_died(cluster, id, line, sizeof(line))) {
            snprintf(reason, reason_bytes, "node %d ended: %s", id, line);
            return false;
        }
    }
    return true;
}

bool cluster_wait_for_leader(struct cluster *cluster, int except, uint32_t timeout_s, int *leader,
                             char *reason, size_t reason_bytes)
{
    uint64_t end_ns = deadline_ns(timeout_s);
    do {
        *leader = cluster_leader(cluster);
        if (*leader != 0 && *leader != except) {
            return true;
        }
        if (!cluster_is_whole(cluster, reason, reason_bytes)) {
            return false;
        }
        usleep(PAUSE_US);
    } while (cli_now_ns() < end_ns);
    snprintf(reason, reason_bytes, "no leader within %u s", timeout_s);
    return false;
}

static bool does_answer(const struct cluster *cluster, int id)
{
    json_t *status = cluster_status(cluster, id);
    json_decref(status);
    return status != NULL || cluster->nodes[id] == 0;
}

bool cluster_wait_for_all(struct cluster *cluster, uint32_t timeout_s, char *reason,
                          size_t reason_bytes)
{
    uint64_t end_ns = deadline_ns(timeout_s);
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        while (!does_answer(cluster, id)) {
            if (!cluster_is_whole(cluster, reason, reason_bytes)) {
                return false;
            }
            if (cli_now_ns() >= end_ns) {
                snprintf(reason, reason_bytes, "node %d does not answer within %u s", id,
                         timeout_s);
                return false;
            }
            usleep(PAUSE_US);
        }
    }
    return true;
}

long long cluster_applied(const struct cluster *cluster, int id)
{
    json_t *status = cluster_status(cluster, id);
    json_t *group = json_array_get(json_object_get(status, "groups"), 0);
    long long applied = json_integer_value(json_object_get(group, "applied"));
    json_decref(status);
    return applied;
}
