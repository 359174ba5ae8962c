#include "drivers/cli/telemetry.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_telemetry.h>

#include "drivers/cli/status_json.h"
#include "drivers/net_dpdk/eal.h"
#include "engine/embed/pontoon_node.h"

enum { NAME_BYTES = 64 }; // of an entry

// DPDK's endpoints are of the process and stay for ever: so does this. The lock is held while a
// callback asks the node, on one of telemetry's threads.
static struct {
    pthread_mutex_t lock;
    struct pontoon *node; // NULL: nobody answers
    bool is_registered;
} served = {.lock = PTHREAD_MUTEX_INITIALIZER};

// ------------------------------------------------------------------------------------------------
// from JSON to telemetry's entries

// Names may hold letters, digits, '_' and '/'.
static void join_name(char name[NAME_BYTES], const char *outer, const char *inner)
{
    snprintf(name, NAME_BYTES, "%.31s%s%.31s", outer, outer[0] == '\0' ? "" : "/", inner);
    for (char *at = name; *at != '\0'; at++) {
        *at = isalnum((unsigned char)*at) || *at == '/' ? *at : '_';
    }
}

static void put_scalar(struct rte_tel_data *data, const char *name, const json_t *value)
{
    char text[NAME_BYTES];
    if (json_is_integer(value)) {
        rte_tel_data_add_dict_u64(data, name, (uint64_t)json_integer_value(value));
    } else if (json_is_boolean(value)) {
        rte_tel_data_add_dict_int(data, name, json_is_true(value));
    } else if (json_is_string(value)) {
        rte_tel_data_add_dict_string(data, name, json_string_value(value));
    } else if (json_is_real(value)) {
        snprintf(text, sizeof(text), "%.6f", json_real_value(value));
        rte_tel_data_add_dict_string(data, name, text);
    }
}

// Objects inside are flattened, arrays left out. An entry that finds no room is lost, the others
// are right.
static void put_object(struct rte_tel_data *data, const char *outer, json_t *object)
{
    const char *key;
    json_t *value, *inner_value;
    json_object_foreach(object, key, value)
    {
        char name[NAME_BYTES], inner_name[NAME_BYTES];
        const char *inner_key;
        join_name(name, outer, key);
        put_scalar(data, name, value);
        json_object_foreach(value, inner_key, inner_value)
        {
            join_name(inner_name, name, inner_key);
            put_scalar(data, inner_name, inner_value);
        }
    }
}

static int reply(struct rte_tel_data *data, json_t *object)
{
    if (object == NULL) {
        return -ENOENT;
    }
    rte_tel_data_start_dict(data);
    put_object(data, "", object);
    json_decref(object);
    return 0;
}

// ------------------------------------------------------------------------------------------------
// endpoints

static bool parse_number(const char *text, unsigned long max, unsigned long *number)
{
    char *end = NULL;
    if (text == NULL || !isdigit((unsigned char)text[0])) {
        return false;
    }
    *number = strtoul(text, &end, 10);
    return *end == '\0' && *number <= max;
}

static int answer_node(struct pontoon *node, unsigned long number, struct rte_tel_data *data)
{
    return reply(data, status_node_json(node));
}

static int answer_groups(struct pontoon *node, unsigned long number, struct rte_tel_data *data)
{
    struct status_summary summary;
    if (status_summary(node, &summary) != 0) {
        return -ETIMEDOUT;
    }
    rte_tel_data_start_dict(data);
    rte_tel_data_add_dict_u64(data, "groups", summary.groups);
    for (unsigned role = PONTOON_FOLLOWER; role <= PONTOON_LEADER; role++) {
        char name[NAME_BYTES];
        join_name(name, "", status_role_name(role));
        rte_tel_data_add_dict_u64(data, name, summary.roles[role]);
    }
    rte_tel_data_add_dict_u64(data, "without_leader", summary.without_leader);
    rte_tel_data_add_dict_u64(data, "not_intact", summary.not_intact);
    rte_tel_data_add_dict_u64(data, "halted", summary.halted);
    rte_tel_data_add_dict_u64(data, "failed", summary.failed);
    return 0;
}

static int answer_group(struct pontoon *node, unsigned long number, struct rte_tel_data *data)
{
    return reply(data, status_group_json(node, (uint16_t)number));
}

// peers of a group, each entry named after its node: node2/match.
static int answer_peers(struct pontoon *node, unsigned long number, struct rte_tel_data *data)
{
    json_t *group = status_group_json(node, (uint16_t)number);
    json_t *peer;
    size_t at;
    if (group == NULL) {
        return -ENOENT;
    }
    rte_tel_data_start_dict(data);
    json_array_foreach(json_object_get(group, "peers"), at, peer)
    {
        char name[NAME_BYTES];
        snprintf(name, sizeof(name), "node%d",
                 (int)json_integer_value(json_object_get(peer, "id")));
        put_object(data, name, peer);
    }
    json_decref(group);
    return 0;
}

static int answer_reactor(struct pontoon *node, unsigned long number, struct rte_tel_data *data)
{
    return reply(data, status_reactor_json(node, (uint32_t)number));
}

static int answer_net(struct pontoon *node, unsigned long number, struct rte_tel_data *data)
{
    bool is_there = number < node->parts.reactors;
    return reply(data, is_there ? status_net_json(node, (uint32_t)number) : NULL);
}

static const struct endpoint {
    const char *command;
    const char *help; // at most 63 bytes
    bool takes_number;
    int (*answer)(struct pontoon *node, unsigned long number, struct rte_tel_data *data);
} endpoints[] = {
    {"/pontoon/node", "Who the node is and how it was set up", false, answer_node},
    {"/pontoon/groups", "All groups, counted by state", false, answer_groups},
    {"/pontoon/group", "One group. Parameter: its id", true, answer_group},
    {"/pontoon/peers", "A group's view of the nodes. Parameter: its id", true, answer_peers},
    {"/pontoon/reactor", "A reactor's counters. Parameter: its number", true, answer_reactor},
    {"/pontoon/net", "Network counters of a reactor. Parameter: its number", true, answer_net},
};

static const struct endpoint *find(const char *command)
{
    for (size_t at = 0; at < sizeof(endpoints) / sizeof(endpoints[0]); at++) {
        if (strcmp(endpoints[at].command, command) == 0) {
            return &endpoints[at];
        }
    }
    return NULL;
}

static int on_command(const char *command, const char *parameters, struct rte_tel_data *data)
{
    const struct endpoint *endpoint = find(command);
    unsigned long number = 0;
    if (endpoint == NULL ||
        (endpoint->takes_number && !parse_number(parameters, UINT16_MAX, &number))) {
        return -EINVAL;
    }
    pthread_mutex_lock(&served.lock);
    int result = served.node == NULL ? -ENODEV : endpoint->answer(served.node, number, data);
    pthread_mutex_unlock(&served.lock);
    return result;
}

// ------------------------------------------------------------------------------------------------
// starting and stopping

static int register_all(void)
{
    int error = 0;
    for (size_t at = 0; at < sizeof(endpoints) / sizeof(endpoints[0]) && error == 0; at++) {
        error = rte_telemetry_register_cmd(endpoints[at].command, on_command, endpoints[at].help);
    }
    return error;
}

// The stock client looks below RUNTIME_DIRECTORY or the user's own place, like EAL; ours may differ
// from what the user's shell has.
static void tell_how(const char *directory, char *how, size_t how_bytes)
{
    const char *base = getenv("RUNTIME_DIRECTORY");
    const char *slash = strrchr(directory, '/');
    snprintf(how, how_bytes, "%s%s%sdpdk-telemetry.py -f %s",
             base == NULL ? "" : "RUNTIME_DIRECTORY=", base == NULL ? "" : base,
             base == NULL ? "" : " ", slash == NULL ? directory : slash + 1);
}

int telemetry_start(struct pontoon *node, char *how, size_t how_bytes)
{
    const char *directory = eal_runtime_directory();
    char path[PONTOON_PATH_BYTES + 32];
    snprintf(path, sizeof(path), "%s/dpdk_telemetry.v2", directory);
    if (directory[0] == '\0' || access(path, F_OK) != 0) {
        return -ENOTSUP;
    }
    pthread_mutex_lock(&served.lock);
    int error = served.is_registered ? 0 : register_all();
    served.is_registered = true;
    served.node = node;
    pthread_mutex_unlock(&served.lock);
    tell_how(directory, how, how_bytes);
    return error;
}

void telemetry_stop(void)
{
    pthread_mutex_lock(&served.lock);
    served.node = NULL;
    pthread_mutex_unlock(&served.lock);
}
