// pontoon_config_init, _load and _check: configurations, as the public header promises them.
#include "drivers/bundle/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pontoon_config_init(struct pontoon_config *config)
{
    *config = (struct pontoon_config){0};
    for (size_t i = 0; i < settings_top_knobs.count; i++) {
        const struct settings_knobs one = {&settings_top_knobs.knobs[i], 1};
        if (settings_knob_is_config(one.knobs)) {
            settings_knobs_init(&one, config);
        }
    }
    for (size_t i = 0; i < sizeof(config->cores) / sizeof(config->cores[0]); i++) {
        config->cores[i] = -1;
    }
}

int pontoon_config_check(const struct pontoon_config *config, char *reason, size_t reason_bytes)
{
    const struct settings_reason why = {.text = reason, .bytes = reason_bytes};
    if (reason_bytes != 0) {
        reason[0] = '\0';
    }
    return settings_check(config, &why);
}

// Takes over what is this process's own: directory, control socket, cores.
static int choose_self(struct settings_file *file, uint16_t node, uint16_t client,
                       const struct settings_reason *reason)
{
    struct pontoon_config *config = &file->config;
    const struct settings_member *members = node != 0 ? file->nodes : file->clients;
    uint32_t count = node != 0 ? file->node_count : file->client_count;
    config->node = node;
    config->client = client;
    for (uint32_t i = 0; i < count; i++) {
        const struct settings_member *self = &members[i];
        uint32_t wanted = node != 0 ? config->reactors : 1;
        if (self->id != (node != 0 ? node : client)) {
            continue;
        }
        memcpy(config->directory, self->directory, sizeof(config->directory));
        memcpy(config->control, self->control, sizeof(config->control));
        if (self->cores.count != 0 && self->cores.count != wanted) {
            return settings_refuse(reason, self->line,
                                   "cores: %u CPUs for %u reactors; give one each",
                                   self->cores.count, wanted);
        }
        memcpy(config->cores, self->cores.cpu, self->cores.count * sizeof(self->cores.cpu[0]));
    }
    return 0;
}

static int add_rule(struct pontoon_config *config, const struct settings_impair *impair,
                    bool inbound, const struct settings_reason *reason)
{
    if (config->impair_count == PONTOON_IMPAIR_MAX) {
        return settings_refuse(
            reason, impair->line,
            "impair: more than %u rules for one node; both directions count as two",
            PONTOON_IMPAIR_MAX);
    }
    config->impair[config->impair_count] = impair->rule;
    config->impair[config->impair_count].inbound = inbound;
    config->impair_count++;
    return 0;
}

static bool is_node_or_zero(const struct settings_file *file, uint16_t id)
{
    bool is_known = id == 0;
    for (uint32_t i = 0; i < file->node_count; i++) {
        is_known |= file->nodes[i].id == id;
    }
    return is_known;
}

// Takes over the faults that this node injects. A rule for all nodes that names this node as the
// other end is not ours.
static int choose_impair(struct settings_file *file, const struct settings_reason *reason)
{
    struct pontoon_config *config = &file->config;
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < file->impair_count; i++) {
        const struct settings_impair *impair = &file->impair[i];
        uint16_t at = impair->at, other = impair->rule.node;
        if (!is_node_or_zero(file, at) || !is_node_or_zero(file, other)) {
            return settings_refuse(reason, impair->line,
                                   "impair: there is no node %u; give an id of nodes, or 0 for all",
                                   is_node_or_zero(file, at) ? other : at);
        }
        if (at != 0 && at == other) {
            return settings_refuse(reason, impair->line,
                                   "impair: node %u does not talk to itself; name another", at);
        }
        if (config->node == 0 || (at != 0 && at != config->node) || other == config->node) {
            continue;
        }
        if (impair->direction != SETTINGS_OUT) {
            result = add_rule(config, impair, true, reason);
        }
        if (result == 0 && impair->direction != SETTINGS_IN) {
            result = add_rule(config, impair, false, reason);
        }
    }
    return result;
}

// What every member would check at its start, but for its machine's CPUs.
static int check_every_member(struct settings_file *file, const struct settings_reason *reason)
{
    struct pontoon_config *config = &file->config;
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < file->node_count + file->client_count; i++) {
        bool is_node = i < file->node_count;
        result = is_node ? choose_self(file, file->nodes[i].id, 0, reason)
                         : choose_self(file, 0, file->clients[i - file->node_count].id, reason);
        if (result == 0) {
            result = settings_check_member(config, reason);
        }
    }
    config->node = 0;
    config->client = 0;
    config->directory[0] = '\0';
    config->control[0] = '\0';
    memset(config->cores, 0xFF, sizeof(config->cores)); // -1: not pinned
    return result;
}

static int check_self(struct settings_file *file, uint16_t node, uint16_t client,
                      const struct settings_reason *reason)
{
    int result = choose_self(file, node, client, reason);
    if (result == 0) {
        result = choose_impair(file, reason);
    }
    return result != 0 ? result : settings_check(&file->config, reason);
}

// The whole way from path to file->config. is_member false: for no member in particular.
static int load_file(struct settings_file *file, bool is_member, uint16_t node, uint16_t client,
                     const struct settings_reason *reason)
{
    pontoon_config_init(&file->config);
    int result = settings_read(file, reason);
    if (result == 0) {
        result = settings_links_make(file, reason);
    }
    if (result == 0 && is_member) {
        return check_self(file, node, client, reason);
    }
    if (result == 0) {
        result = choose_impair(file, reason);
    }
    if (result == 0) {
        result = settings_check_cluster(&file->config, reason);
    }
    return result != 0 ? result : check_every_member(file, reason);
}

static int load(struct pontoon_config *config, const char *path, bool is_member, uint16_t node,
                uint16_t client, char *reason, size_t reason_bytes)
{
    const struct settings_reason why = {.text = reason, .bytes = reason_bytes, .path = path};
    struct settings_file *file = calloc(1, sizeof(*file));
    if (reason_bytes != 0) {
        reason[0] = '\0';
    }
    if (file == NULL) {
        settings_refuse(&why, 0, "no memory");
        return -ENOMEM;
    }
    int result = load_file(file, is_member, node, client, &why);
    if (result == 0) {
        *config = file->config;
    }
    free(file);
    return result;
}

int pontoon_config_load(struct pontoon_config *config, const char *path, uint16_t node,
                        uint16_t client, char *reason, size_t reason_bytes)
{
    return load(config, path, true, node, client, reason, reason_bytes);
}

int settings_load_cluster(struct pontoon_config *config, const char *path, char *reason,
                          size_t reason_bytes)
{
    return load(config, path, false, 0, 0, reason, reason_bytes);
}
