// Is a configuration possible? The rules that no single value shows.
//
// Works on pontoon_config alone, so that configurations from a file and filled in by hand meet the
// same rules. A refusal names the settings as config/README.md does.
#include "drivers/bundle/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/core/types.h"
#include "engine/driver_api/net.h"

enum {
    LOG_ENTRIES_ALL_MAX = 1 << 26, // of all groups together
    SESSION_PAGES_ALL_MAX = 1 << 20,
    AF_PACKET_FRAME_BYTES_MAX = 1472,
    MILLION = 1000000,
    IMPAIR_BURST_MAX = 10000,
};

#define IMPAIR_NS_MAX UINT64_C(10000000000)

typedef const struct settings_reason *why;

static const struct pontoon_member *find_member(const struct pontoon_member *members,
                                                uint32_t count, uint16_t id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (members[i].id == id) {
            return &members[i];
        }
    }
    return NULL;
}

// "1, 2, 3"
static const char *id_list(const struct pontoon_member *members, uint32_t count,
                           char text[static 96])
{
    size_t used = 0;
    snprintf(text, 96, "none");
    for (uint32_t i = 0; i < count && used < 90; i++) {
        used += (size_t)snprintf(text + used, 96 - used, i == 0 ? "%u" : ", %u", members[i].id);
    }
    return text;
}

// ---------------------------------------------------------------------------------------- members

static int check_knobs(const struct pontoon_config *config, why reason)
{
    int result = 0;
    for (size_t i = 0; result == 0 && i < settings_top_knobs.count; i++) {
        if (settings_knob_is_config(&settings_top_knobs.knobs[i])) {
            result = settings_knob_check(&settings_top_knobs.knobs[i], config, reason, 0);
        }
    }
    return result;
}

static int check_identity(const struct pontoon_config *config, why reason)
{
    char ids[96];
    if ((config->node != 0) == (config->client != 0)) {
        return settings_refuse(
            reason, 0, "a process is one node or one client; give either an id or a client place");
    }
    if (config->node != 0 && find_member(config->nodes, config->node_count, config->node) == NULL) {
        return settings_refuse(reason, 0,
                               "node %u is not in nodes (%s); give one of these ids, or add it",
                               config->node, id_list(config->nodes, config->node_count, ids));
    }
    if (config->client != 0 &&
        find_member(config->clients, config->client_count, config->client) == NULL) {
        return settings_refuse(reason, 0,
                               "client %u is not in clients (%s); give one of these ids, or add it",
                               config->client, id_list(config->clients, config->client_count, ids));
    }
    return 0;
}

static int check_ids(const struct pontoon_member *members, uint32_t count, uint16_t max,
                     const char *what, why reason)
{
    for (uint32_t i = 0; i < count; i++) {
        if (members[i].id == 0 || members[i].id > max) {
            return settings_refuse(reason, 0, "%s id %u is out of range; give 1 to %u", what,
                                   members[i].id, max);
        }
        if (find_member(members, i, members[i].id) != NULL) {
            return settings_refuse(reason, 0, "%s id %u is given twice; ids must differ", what,
                                   members[i].id);
        }
    }
    return 0;
}

static bool is_host_address(uint32_t ipv4)
{
    return ipv4 >> 24 != 0 && ipv4 >> 24 < 224 && (ipv4 & 255) != 255;
}

// The member at place i of nodes and clients together.
static const struct pontoon_member *member_at(const struct pontoon_config *config, uint32_t i)
{
    return i < config->node_count ? &config->nodes[i] : &config->clients[i - config->node_count];
}

static int check_addresses(const struct pontoon_config *config, why reason)
{
    char text[16];
    for (uint32_t i = 0; i < config->node_count + config->client_count; i++) {
        const struct pontoon_member *member = member_at(config, i);
        const char *what = i < config->node_count ? "node" : "client";
        settings_address_text(member->ipv4, text);
        if (!is_host_address(member->ipv4)) {
            return settings_refuse(reason, 0,
                                   "%s %u: address %s is no host's; give one like 10.77.0.1", what,
                                   member->id, text);
        }
        for (uint32_t j = 0; j < i; j++) {
            if (member_at(config, j)->ipv4 == member->ipv4) {
                return settings_refuse(reason, 0,
                                       "%s %u: address %s is given twice; addresses must differ",
                                       what, member->id, text);
            }
        }
    }
    return 0;
}

static int check_members(const struct pontoon_config *config, why reason)
{
    if (config->node_count == 0 || config->node_count > PONTOON_NODES_MAX) {
        return settings_refuse(reason, 0, "nodes: %u given; a cluster has 1 to %u",
                               config->node_count, PONTOON_NODES_MAX);
    }
    if (config->client_count > PONTOON_CLIENTS_MAX) {
        return settings_refuse(reason, 0, "clients: %u given; at most %u fit", config->client_count,
                               PONTOON_CLIENTS_MAX);
    }
    int result = check_ids(config->nodes, config->node_count, RAFT_NODE_ID_MAX, "node", reason);
    if (result == 0) {
        result =
            check_ids(config->clients, config->client_count, PONTOON_CLIENTS_MAX, "client", reason);
    }
    return result != 0 ? result : check_addresses(config, reason);
}

// ------------------------------------------------------------------------------------------ links

static int check_link(const struct pontoon_config *config, const struct pontoon_member *member,
                      const struct pontoon_link *link, const char *what, why reason)
{
    bool wants_device = config->driver == PONTOON_DRIVER_DPDK;
    uint32_t number = (uint32_t)(link - member->links) + 1;
    if (memchr(link->device, '\0', sizeof(link->device)) == NULL ||
        wants_device != (link->device[0] != '\0')) {
        return settings_refuse(
            reason, 0,
            wants_device ? "%s %u, link %u: device missing; give a DPDK vdev or PCI address"
                         : "%s %u, link %u: device given, but the udp driver has none; remove it",
            what, member->id, number);
    }
    if (link->frame_bytes < NET_FRAME_BYTES_MIN || link->frame_bytes > NET_FRAME_BYTES_MAX) {
        return settings_refuse(
            reason, 0, "%s %u, link %u: frame_bytes %u is out of range; give %u to %u", what,
            member->id, number, link->frame_bytes, NET_FRAME_BYTES_MIN, NET_FRAME_BYTES_MAX);
    }
    if (strncmp(link->device, "net_af_packet", 13) == 0 &&
        link->frame_bytes > AF_PACKET_FRAME_BYTES_MAX) {
        return settings_refuse(
            reason, 0,
            "%s %u, link %u: frame_bytes %u is more than net_af_packet carries; give at most %u",
            what, member->id, number, link->frame_bytes, AF_PACKET_FRAME_BYTES_MAX);
    }
    if (!is_host_address(link->ipv4) || link->prefix_bits == 0 || link->prefix_bits > 32) {
        char text[16];
        return settings_refuse(
            reason, 0,
            "%s %u, link %u: address %s/%u is no host's; give one like 10.77.0.1 and a "
            "prefix of 1 to 32 bits",
            what, member->id, number, settings_address_text(link->ipv4, text), link->prefix_bits);
    }
    return 0;
}

// Length of the part of a devargs text that names the device.
static size_t device_name_bytes(const char *device)
{
    return strcspn(device, ",");
}

static int check_devices(const struct pontoon_member *member, const char *what, why reason)
{
    for (uint32_t i = 1; i < member->link_count; i++) {
        const char *device = member->links[i].device;
        size_t bytes = device_name_bytes(device);
        for (uint32_t j = 0; j < i && bytes != 0; j++) {
            const char *other = member->links[j].device;
            if (device_name_bytes(other) == bytes && memcmp(device, other, bytes) == 0) {
                return settings_refuse(reason, 0,
                                       "%s %u: device %.*s is given twice; devices must differ",
                                       what, member->id, (int)bytes, device);
            }
        }
    }
    return 0;
}

// Every other node must be reached, through one link.
static int check_reach(const struct pontoon_config *config, const struct pontoon_member *member,
                       bool is_node, why reason)
{
    const char *what = is_node ? "node" : "client";
    uint64_t reached = 0, wanted = 0;
    for (uint32_t i = 0; i < config->node_count; i++) {
        bool is_self = is_node && config->nodes[i].id == member->id;
        wanted |= is_self ? 0 : UINT64_C(1) << (config->nodes[i].id - 1);
    }
    for (uint32_t i = 0; i < member->link_count; i++) {
        uint64_t nodes = member->links[i].nodes;
        if ((nodes & ~wanted) != 0) {
            return settings_refuse(reason, 0,
                                   "%s %u, link %u: node %d is not a node to reach; remove it",
                                   what, member->id, i + 1, __builtin_ctzll(nodes & ~wanted) + 1);
        }
        if ((nodes & reached) != 0) {
            return settings_refuse(reason, 0,
                                   "%s %u: node %d is reached through two links; name it in one",
                                   what, member->id, __builtin_ctzll(nodes & reached) + 1);
        }
        reached |= nodes;
    }
    if (reached != wanted) {
        return settings_refuse(reason, 0,
                               "%s %u: no link reaches node %d; add it to the `nodes` of a link",
                               what, member->id, __builtin_ctzll(wanted & ~reached) + 1);
    }
    return 0;
}

static int check_links(const struct pontoon_config *config, why reason)
{
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < config->node_count + config->client_count; i++) {
        const struct pontoon_member *member = member_at(config, i);
        bool is_node = i < config->node_count;
        const char *what = is_node ? "node" : "client";
        if (member->link_count > PONTOON_LINKS_MAX) {
            return settings_refuse(reason, 0, "%s %u: %u links; at most %u fit", what, member->id,
                                   member->link_count, PONTOON_LINKS_MAX);
        }
        for (uint32_t j = 0; result == 0 && j < member->link_count; j++) {
            result = check_link(config, member, &member->links[j], what, reason);
        }
        if (result == 0) {
            result = check_devices(member, what, reason);
        }
        if (result == 0) {
            result = check_reach(config, member, is_node, reason);
        }
    }
    return result;
}

// ----------------------------------------------------------------------------------------- engine

static int check_times(const struct pontoon_config *config, why reason)
{
    char min[32], max[32], heartbeat[32];
    settings_duration_text(config->election_timeout_min_ns, min);
    settings_duration_text(config->election_timeout_max_ns, max);
    settings_duration_text(config->heartbeat_ns, heartbeat);
    if (config->election_timeout_max_ns <= config->election_timeout_min_ns) {
        return settings_refuse(reason, 0,
                               "election_timeout_max: %s is not above election_timeout_min (%s); "
                               "twice as much is usual",
                               max, min);
    }
    if (config->heartbeat_ns >= config->election_timeout_min_ns / 2) {
        return settings_refuse(
            reason, 0,
            "heartbeat: %s is not below half of election_timeout_min (%s); a fifth is usual",
            heartbeat, min);
    }
    return 0;
}

static int check_log(const struct pontoon_config *config, why reason)
{
    uint64_t entries = (uint64_t)config->groups * config->log_entries;
    uint64_t pages = (uint64_t)config->groups * config->session_pages;
    if ((config->log_entries & (config->log_entries - 1)) != 0) {
        return settings_refuse(reason, 0, "log_entries: %u is no power of two; give %u",
                               config->log_entries,
                               1U << (31 - __builtin_clz(config->log_entries)));
    }
    if (entries > LOG_ENTRIES_ALL_MAX) {
        return settings_refuse(
            reason, 0, "log_entries: %u for each of %u groups are too many; give at most %u",
            config->log_entries, config->groups, LOG_ENTRIES_ALL_MAX / config->groups);
    }
    if (pages > SESSION_PAGES_ALL_MAX) {
        return settings_refuse(
            reason, 0, "session_pages: %u for each of %u groups are too many; give at most %u",
            config->session_pages, config->groups, SESSION_PAGES_ALL_MAX / config->groups);
    }
    if (config->window_entries > config->log_entries / 2) {
        return settings_refuse(
            reason, 0, "window_entries: %u is more than half of log_entries; give at most %u",
            config->window_entries, config->log_entries / 2);
    }
    if (config->window_kib > config->log_mib * 512) {
        return settings_refuse(reason, 0,
                               "window_kib: %u is more than half of log_mib; give at most %u",
                               config->window_kib, config->log_mib * 512);
    }
    if (config->checkpoint_mib > config->log_mib * 3 / 4) {
        return settings_refuse(
            reason, 0, "checkpoint_mib: %u is more than three quarters of log_mib; give at most %u",
            config->checkpoint_mib, config->log_mib * 3 / 4);
    }
    return 0;
}

static int check_apply(const struct pontoon_config *config, why reason)
{
    uint32_t window =
        config->log_entries / 4 < RAFT_WINDOW_MAX ? config->log_entries / 4 : RAFT_WINDOW_MAX;
    if (config->apply != PONTOON_APPLY_DEPENDS_ON && config->order == PONTOON_STRICT) {
        return settings_refuse(reason, 0,
                               "apply: strict groups apply in order; give `order: parallel`, or "
                               "remove it");
    }
    if (config->apply != PONTOON_APPLY_DEPENDS_ON && config->look_behind > window) {
        return settings_refuse(reason, 0,
                               "look_behind: %u is more than the window of a parallel group with "
                               "%u log_entries; give at most %u",
                               config->look_behind, config->log_entries, window);
    }
    if (strcmp(config->app, "kv") != 0 && strcmp(config->app, "block") != 0 &&
        strcmp(config->app, "null") != 0) {
        return settings_refuse(reason, 0,
                               "app: there is no state machine \"%s\"; give kv, block or null",
                               config->app);
    }
    if (config->app_file && strcmp(config->app, "block") != 0) {
        return settings_refuse(reason, 0,
                               "app_file: %s keeps its state in memory; only block has a file",
                               config->app);
    }
    return 0;
}

static int check_cores(const struct pontoon_config *config, why reason)
{
    long present = sysconf(_SC_NPROCESSORS_CONF);
    for (uint32_t i = 0; i < config->reactors; i++) {
        int16_t cpu = config->cores[i];
        if (cpu < -1 || cpu >= present) {
            return settings_refuse(reason, 0, "cores: this machine has no CPU %d; give 0 to %ld",
                                   cpu, present - 1);
        }
        for (uint32_t j = 0; j < i && cpu >= 0; j++) {
            if (config->cores[j] == cpu) {
                return settings_refuse(
                    reason, 0, "cores: CPU %d is given to two reactors; give each its own", cpu);
            }
        }
    }
    return 0;
}

static int check_directory(const struct pontoon_config *config, why reason)
{
    struct sockaddr_un socket_address;
    char control[PONTOON_PATH_BYTES + sizeof("/control")];
    if (memchr(config->directory, '\0', sizeof(config->directory)) == NULL ||
        memchr(config->control, '\0', sizeof(config->control)) == NULL) {
        return settings_refuse(reason, 0, "directory, control: not terminated");
    }
    if (config->node == 0) {
        return 0;
    }
    if (config->directory[0] == '\0') {
        return settings_refuse(
            reason, 0, "node %u: directory missing; give the path where it may keep its files",
            config->node);
    }
    snprintf(control, sizeof(control), "%s%s",
             config->control[0] != '\0' ? config->control : config->directory,
             config->control[0] != '\0' ? "" : "/control");
    if (strlen(control) >= sizeof(socket_address.sun_path)) {
        return settings_refuse(
            reason, 0,
            "node %u: path of the control socket has %zu bytes; set control to one of at most %zu",
            config->node, strlen(control), sizeof(socket_address.sun_path) - 1);
    }
    return 0;
}

static int check_impair(const struct pontoon_config *config, why reason)
{
    if (config->impair_count > PONTOON_IMPAIR_MAX) {
        return settings_refuse(reason, 0, "impair: %u rules; at most %u fit", config->impair_count,
                               PONTOON_IMPAIR_MAX);
    }
    for (uint32_t i = 0; i < config->impair_count; i++) {
        const struct pontoon_impair *rule = &config->impair[i];
        if (rule->node != 0 && find_member(config->nodes, config->node_count, rule->node) == NULL) {
            return settings_refuse(reason, 0,
                                   "impair: there is no node %u; give an id of nodes, or 0 for all",
                                   rule->node);
        }
        if (rule->node != 0 && rule->node == config->node) {
            return settings_refuse(
                reason, 0, "impair: node %u does not talk to itself; name another", rule->node);
        }
        if (rule->loss_ppm > MILLION || rule->duplicate_ppm > MILLION ||
            rule->reorder_ppm > MILLION || rule->corrupt_ppm > MILLION ||
            rule->burst_ppm > MILLION || rule->clog_ppm > MILLION) {
            return settings_refuse(reason, 0,
                                   "impair: more than 1000000 of a million; give a smaller share");
        }
        if ((rule->burst_ppm != 0 && rule->burst_frames - 1 >= IMPAIR_BURST_MAX) ||
            (rule->clog_ppm != 0 && rule->clog_ns == 0) || rule->clog_ns > IMPAIR_NS_MAX ||
            rule->delay_ns > IMPAIR_NS_MAX || rule->jitter_ns > IMPAIR_NS_MAX) {
            return settings_refuse(reason, 0,
                                   "impair: a burst or time out of range; give bursts of 1 to %d "
                                   "frames, clogs of more than nothing, times up to 10s",
                                   IMPAIR_BURST_MAX);
        }
    }
    return 0;
}

typedef int check(const struct pontoon_config *config, why reason);

static int run_checks(check *const *checks, size_t count, const struct pontoon_config *config,
                      why reason)
{
    int result = 0;
    for (size_t i = 0; result == 0 && i < count; i++) {
        result = checks[i](config, reason);
    }
    return result;
}

int settings_check_cluster(const struct pontoon_config *config,
                           const struct settings_reason *reason)
{
    static check *const checks[] = {check_knobs, check_members, check_links, check_times,
                                    check_log,   check_apply,   check_impair};
    return run_checks(checks, sizeof(checks) / sizeof(checks[0]), config, reason);
}

int settings_check_member(const struct pontoon_config *config, const struct settings_reason *reason)
{
    static check *const checks[] = {check_identity, check_directory};
    return run_checks(checks, sizeof(checks) / sizeof(checks[0]), config, reason);
}

int settings_check(const struct pontoon_config *config, const struct settings_reason *reason)
{
    static check *const checks[] = {settings_check_cluster, settings_check_member, check_cores};
    return run_checks(checks, sizeof(checks) / sizeof(checks[0]), config, reason);
}
