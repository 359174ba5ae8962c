// From names in a configuration to open drivers: what pontoon_open and pontoon_client_open are
// built from.
#include "engine/embed/parts.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drivers/app_block/app_block.h"
#include "drivers/app_kv/app_kv.h"
#include "drivers/app_null/app_null.h"
#include "drivers/disk_uring/disk_uring.h"
#include "drivers/net_dpdk/eal.h"
#include "drivers/net_dpdk/net_dpdk.h"
#include "drivers/net_impair/net_impair.h"
#include "drivers/net_udp/clock_monotonic.h"
#include "drivers/net_udp/net_udp.h"
#include "engine/wire/peek.h"

enum {
    FRAME_OVERHEAD_BYTES = 640, // of a buffer beside its frame: descriptor, headroom, rounding
    IMPAIRED_FRAMES_MAX = 4096,
    DISK_IN_FLIGHT = 64,
    CHECKPOINT_IN_FLIGHT = 4,
};

// Shared by the nodes of a process, and never set back under one of them.
static struct clock_tsc tsc_clock;
static struct clock_monotonic monotonic_clock;
static pthread_once_t tsc_once = PTHREAD_ONCE_INIT, monotonic_once = PTHREAD_ONCE_INIT;

static void start_tsc_clock(void)
{
    clock_tsc_init(&tsc_clock);
}

static void start_monotonic_clock(void)
{
    clock_monotonic_init(&monotonic_clock);
}

static void say(struct parts *parts, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct parts *parts, const char *format, ...)
{
    size_t used = strlen(parts->description);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(parts->description + used, sizeof(parts->description) - used, format, arguments);
    va_end(arguments);
}

// ------------------------------------------------------------------------------------------------
// network

static const struct pontoon_member *find(const struct pontoon_member *members, uint32_t count,
                                         uint16_t id)
{
    for (uint32_t at = 0; at < count; at++) {
        if (members[at].id == id) {
            return &members[at];
        }
    }
    return NULL;
}

static void add_peers(const struct pontoon_config *config, const struct pontoon_member *self,
                      struct net_config *net)
{
    for (uint32_t at = 0; at < config->node_count; at++) {
        const struct pontoon_member *node = &config->nodes[at];
        for (uint32_t link = 0; link < self->link_count; link++) {
            if (node != self && (self->links[link].nodes >> (node->id - 1) & 1) != 0) {
                net->peers[net->peer_count++] = (struct net_peer_config){
                    .node_id = node->id, .link = (uint16_t)link, .ipv4 = node->ipv4};
                break;
            }
        }
    }
}

static void make_net_config(const struct pontoon_config *config, const struct pontoon_member *self,
                            struct net_config *net)
{
    *net = (struct net_config){.udp_port = config->udp_port,
                               .reactors = config->node == 0 ? 1 : config->reactors,
                               .link_count = self->link_count};
    uint32_t frame_bytes = 0;
    for (uint32_t at = 0; at < self->link_count; at++) {
        const struct pontoon_link *link = &self->links[at];
        struct net_link_config *to = &net->links[at];
        *to = (struct net_link_config){
            .ipv4 = link->ipv4, .prefix_bits = link->prefix_bits, .frame_bytes = link->frame_bytes};
        memcpy(to->device, link->device, sizeof(to->device));
        frame_bytes = frame_bytes > link->frame_bytes ? frame_bytes : link->frame_bytes;
    }
    uint64_t budget = (uint64_t)config->buffers_mib << 20;
    net->buffers = (uint32_t)(budget / (frame_bytes + FRAME_OVERHEAD_BYTES));
    add_peers(config, self, net);
}

static int open_dpdk(const struct pontoon_config *config, const struct net_config *net,
                     struct parts *parts, char *reason, size_t reason_bytes)
{
    char words[sizeof(config->eal)];
    const char *extra[EAL_EXTRA_MAX];
    struct eal_options eal = {.hugepages_forbidden = !config->hugepages, .extra = extra};
    memcpy(words, config->eal, sizeof(words));
    char *rest = NULL;
    for (char *word = strtok_r(words, " ", &rest); word != NULL && eal.extra_count < EAL_EXTRA_MAX;
         word = strtok_r(NULL, " ", &rest)) {
        extra[eal.extra_count++] = word;
    }
    int error = net_dpdk_open(net, &eal, parts->views, reason, reason_bytes);
    if (error == 0) {
        say(parts, "EAL: %s\nEAL memory: %s\n", eal_line(), eal_mode());
        pthread_once(&tsc_once, start_tsc_clock);
        parts->clock = &tsc_clock.clock;
    }
    return error;
}

static int open_udp(const struct pontoon_config *config, const struct net_config *net,
                    struct parts *parts, char *reason, size_t reason_bytes)
{
    uint32_t classes = config->groups < NET_CLASSES ? config->groups : NET_CLASSES;
    classes = classes < net->reactors ? net->reactors : classes;
    int error = net_udp_open(net, classes, parts->views, reason, reason_bytes);
    if (error == 0) {
        say(parts, "network: kernel UDP sockets, polled (no DPDK)\n");
        pthread_once(&monotonic_once, start_monotonic_clock);
        parts->clock = &monotonic_clock.clock;
    }
    return error;
}

static void close_views(struct parts *parts)
{
    for (uint32_t at = 0; at < parts->reactors; at++) {
        if (parts->views[at] != NULL) {
            parts->views[at]->ops->close(parts->views[at]);
            parts->views[at] = NULL;
        }
    }
}

// Impairments apply to traffic with nodes only. Result: the number of rules.
static uint32_t make_rules(const struct pontoon_config *config,
                           struct net_impair_rule rules[NET_IMPAIR_RULES_MAX])
{
    static_assert(PONTOON_IMPAIR_MAX * (PONTOON_NODES_MAX - 1) <= NET_IMPAIR_RULES_MAX,
                  "each may be about every other node");
    uint32_t count = 0;
    for (uint32_t at = 0; at < config->impair_count; at++) {
        const struct pontoon_impair *from = &config->impair[at];
        for (uint32_t other = 0; other < config->node_count; other++) {
            const struct pontoon_member *node = &config->nodes[other];
            if (node->id == config->node || (from->node != 0 && from->node != node->id)) {
                continue;
            }
            rules[count++] = (struct net_impair_rule){.link = NET_IMPAIR_ANY_LINK,
                                                      .ipv4 = node->ipv4,
                                                      .direction = from->inbound ? NET_IMPAIR_IN
                                                                                 : NET_IMPAIR_OUT,
                                                      .kinds = from->types,
                                                      .cut = from->cut,
                                                      .loss_ppm = from->loss_ppm,
                                                      .burst_ppm = from->burst_ppm,
                                                      .burst_frames = from->burst_frames,
                                                      .duplicate_ppm = from->duplicate_ppm,
                                                      .reorder_ppm = from->reorder_ppm,
                                                      .corrupt_ppm = from->corrupt_ppm,
                                                      .clog_ppm = from->clog_ppm,
                                                      .clog_ns = from->clog_ns,
                                                      .delay_ns = from->delay_ns,
                                                      .jitter_ns = from->jitter_ns};
        }
    }
    return count;
}

static int impair(const struct pontoon_config *config, const struct net_config *net,
                  struct parts *parts, char *reason, size_t reason_bytes)
{
    struct net_impair_rule rules[NET_IMPAIR_RULES_MAX];
    uint32_t count = make_rules(config, rules);
    if (count == 0 && !config->impair_runtime) {
        return 0;
    }
    const struct net_impair_options options = {.seed = config->impair_seed + config->node,
                                               .clock = parts->clock,
                                               .frames_max = IMPAIRED_FRAMES_MAX,
                                               .kinds_of = wire_peek_types,
                                               .rules = rules,
                                               .rule_count = count};
    struct net *views[PONTOON_REACTORS_MAX];
    int error = net_impair_open(net, parts->views, &options, views, reason, reason_bytes);
    if (error == 0) {
        memcpy(parts->views, views, parts->reactors * sizeof(views[0]));
        parts->can_impair = config->impair_runtime;
        say(parts, "network: IMPAIRED on purpose by %u rules, seed %llu%s\n", count,
            (unsigned long long)options.seed,
            config->impair_runtime ? ", may change at run time" : "");
    }
    return error;
}

int parts_impair(struct parts *parts, const struct pontoon_config *config, uint32_t reactor)
{
    struct net_impair_rule rules[NET_IMPAIR_RULES_MAX];
    if (!parts->can_impair) {
        return -ENOTSUP;
    }
    uint32_t count = make_rules(config, rules);
    return net_impair_set_rules(parts->views[reactor], rules, count);
}

static int open_network(const struct pontoon_config *config, const struct pontoon_member *self,
                        struct parts *parts, char *reason, size_t reason_bytes)
{
    struct net_config net;
    make_net_config(config, self, &net);
    bool is_udp = config->driver == PONTOON_DRIVER_UDP;
    parts->reactors = net.reactors;
    parts->net_mib = is_udp ? config->buffers_mib : net_dpdk_memory_mib(&net);
    parts->shared_mib = is_udp ? 0 : net_dpdk_shared_mib(&net);
    int error = config->driver == PONTOON_DRIVER_UDP
                    ? open_udp(config, &net, parts, reason, reason_bytes)
                    : open_dpdk(config, &net, parts, reason, reason_bytes);
    if (error == 0 && config->node != 0) {
        error = impair(config, &net, parts, reason, reason_bytes);
        if (error != 0) {
            close_views(parts);
        }
    }
    return error;
}

// ------------------------------------------------------------------------------------------------
// storage

static int make_directory(const char *path, char *reason, size_t reason_bytes)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        int error = errno;
        snprintf(reason, reason_bytes,
                 "directory %s: %s; create its parent, or choose another `directory`", path,
                 strerror(error));
        return -error;
    }
    return 0;
}

static int open_disk(const struct pontoon_config *config, const char *kind, uint32_t reactor,
                     uint32_t in_flight, struct disk **disk, char *reason, size_t reason_bytes)
{
    char path[PONTOON_PATH_BYTES + 32];
    snprintf(path, sizeof(path), "%s/%s-%u", config->directory, kind, reactor);
    int error = config->bootstrap ? make_directory(path, reason, reason_bytes) : 0;
    if (!config->bootstrap && access(path, F_OK) != 0 && errno == ENOENT) {
        snprintf(reason, reason_bytes,
                 "directory %s: there is no %s-%u in it; a node's first start needs --bootstrap",
                 config->directory, kind, reactor);
        return -ENOENT;
    }
    return error != 0 ? error : disk_uring_open(disk, path, in_flight, reason, reason_bytes);
}

static int open_disks(const struct pontoon_config *config, struct parts *parts, char *reason,
                      size_t reason_bytes)
{
    int error = config->bootstrap ? make_directory(config->directory, reason, reason_bytes) : 0;
    struct stat status;
    if (error == 0 && stat(config->directory, &status) != 0) {
        int cause = errno;
        snprintf(reason, reason_bytes, "directory %s: %s; a node's first start needs --bootstrap",
                 config->directory, strerror(cause));
        return -cause;
    }
    for (uint32_t at = 0; at < parts->reactors && error == 0; at++) {
        error =
            open_disk(config, "log", at, DISK_IN_FLIGHT, &parts->disks[at], reason, reason_bytes);
        if (error == 0 && config->durability == PONTOON_FSYNC) {
            error = open_disk(config, "checkpoints", at, CHECKPOINT_IN_FLIGHT,
                              &parts->checkpoint_disks[at], reason, reason_bytes);
        }
    }
    return error;
}

// Was there ever a start from this directory?
static bool has_log(const struct pontoon_config *config)
{
    char path[PONTOON_PATH_BYTES + 32];
    struct stat status;
    snprintf(path, sizeof(path), "%s/log-0", config->directory);
    return stat(path, &status) == 0;
}

// Huge pages where there are any: the log is walked from end to end, over and over. Touched now, so
// that no page fault comes later.
static void *map_arena(uint64_t bytes, bool want_huge, bool *is_huge)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
    void *memory = MAP_FAILED;
    if (want_huge) {
        int lock = eal_pages_lock(); // another node may have counted on them
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB, -1, 0);
        eal_pages_unlock(lock);
    }
    *is_huge = memory != MAP_FAILED;
    if (memory == MAP_FAILED) {
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    }
    return memory == MAP_FAILED ? NULL : memory;
}

static int open_arenas(const struct pontoon_config *config, struct parts *parts, char *reason,
                       size_t reason_bytes)
{
    uint64_t segment = 4 << 20;
    parts->arena_bytes = ((uint64_t)config->log_mib << 20) / parts->reactors / segment * segment;
    for (uint32_t at = 0; at < parts->reactors; at++) {
        parts->arenas[at] = map_arena(parts->arena_bytes, config->hugepages, &parts->hugepages);
        if (parts->arenas[at] == NULL) {
            snprintf(reason, reason_bytes, "no memory for a log of %u MiB; lower log_mib",
                     config->log_mib);
            return -ENOMEM;
        }
    }
    return 0;
}

int parts_open_node(const struct pontoon_config *config, struct parts *parts, char *reason,
                    size_t reason_bytes)
{
    *parts = (struct parts){.reactors = config->reactors};
    const struct pontoon_member *self = find(config->nodes, config->node_count, config->node);
    if (self == NULL) {
        snprintf(reason, reason_bytes, "node %u is not in the list of nodes", config->node);
        return -EINVAL;
    }
    // A directory that is there comes first: what is wrong in it is found without starting EAL, and
    // a second process of this node never reaches the network. A new one is made last: whoever is
    // refused for another reason leaves nothing behind.
    bool is_new = config->bootstrap && !has_log(config);
    int error = is_new ? 0 : open_disks(config, parts, reason, reason_bytes);
    error = error != 0 ? error : open_network(config, self, parts, reason, reason_bytes);
    if (error == 0 && is_new) {
        error = open_disks(config, parts, reason, reason_bytes);
    }
    error = error != 0 ? error : open_arenas(config, parts, reason, reason_bytes);
    if (error != 0) {
        parts_close(parts);
    }
    return error;
}

int parts_open_client(const struct pontoon_config *config, struct parts *parts, char *reason,
                      size_t reason_bytes)
{
    *parts = (struct parts){.reactors = 1};
    const struct pontoon_member *self = find(config->clients, config->client_count, config->client);
    if (self == NULL) {
        snprintf(reason, reason_bytes, "client place %u is not in the list of clients",
                 config->client);
        return -EINVAL;
    }
    return open_network(config, self, parts, reason, reason_bytes);
}

void parts_close(struct parts *parts)
{
    close_views(parts);
    for (uint32_t at = 0; at < parts->reactors; at++) {
        if (parts->disks[at] != NULL) {
            parts->disks[at]->ops->close(parts->disks[at]);
        }
        if (parts->checkpoint_disks[at] != NULL) {
            parts->checkpoint_disks[at]->ops->close(parts->checkpoint_disks[at]);
        }
        if (parts->arenas[at] != NULL) {
            munmap(parts->arenas[at], parts->arena_bytes);
        }
    }
    *parts = (struct parts){0};
}

// --------------------------------------------------------------------------------------------------
// rest

int parts_open_app(const struct pontoon_config *config, struct app **app, char *reason,
                   size_t reason_bytes)
{
    if (strcmp(config->app, "kv") == 0) {
        const struct app_kv_config kv = {.memory_bytes = (uint64_t)config->app_memory_mib << 20};
        return app_kv_open(&kv, app, reason, reason_bytes);
    }
    if (strcmp(config->app, "block") == 0) {
        const struct app_block_config block = {
            .capacity_bytes = (uint64_t)config->app_memory_mib << 20,
            .is_durable = config->durability == PONTOON_FSYNC,
            .directory = config->app_file ? config->directory : NULL};
        return app_block_open(&block, app, reason, reason_bytes);
    }
    if (strcmp(config->app, "null") == 0) {
        const struct app_null_config null = {.check_payload = false};
        return app_null_open(&null, app, reason, reason_bytes);
    }
    snprintf(reason, reason_bytes,
             "app: no state machine is called '%s'; there are kv, block and null", config->app);
    return -EINVAL;
}

// Memif and loopback join processes of one machine: everybody in the file polls here, and one
// client.
uint32_t parts_pollers(const struct pontoon_config *config)
{
    uint32_t own = config->reactors * (1 + config->apply_workers);
    const struct pontoon_link *link = &config->nodes[0].links[0];
    bool is_local = strncmp(link->device, "net_memif", 9) == 0 || link->ipv4 >> 24 == 127 ||
                    strncmp(link->device, "net_af_packet", 13) == 0;
    return is_local ? own * config->node_count + 1 : own;
}

uint32_t parts_cpus(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}
