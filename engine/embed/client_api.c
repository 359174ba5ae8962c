// pontoon_client_*: the client library over the drivers that a configuration names.
#include "engine/pontoon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "engine/client/client.h"
#include "engine/embed/parts.h"

struct pontoon_client {
    struct parts parts;
    struct client *client;
};

static int refuse(char *reason, size_t reason_bytes, int error, const char *what)
{
    snprintf(reason, reason_bytes, "%s", what);
    return error;
}

static void fill(struct client_config *to, const struct pontoon_config *config,
                 const struct pontoon_client_options *options)
{
    client_config_init(to);
    to->cluster = config->cluster;
    to->node_count = config->node_count;
    for (uint32_t place = 0; place < config->node_count; place++) {
        to->nodes[place] = config->nodes[place].id;
    }
    to->groups = config->groups;
    to->sends_ranges = config->order == PONTOON_PARALLEL;
    if (options == NULL) {
        return;
    }
    to->give_up_ns = options->give_up_ns;
    if (options->depth_max != 0) {
        to->depth_max = options->depth_max;
    }
    if (options->attempt_timeout_ns != 0) {
        to->attempt_timeout_ns = options->attempt_timeout_ns;
    }
    to->reads_max = to->depth_max < to->reads_max ? to->reads_max : to->depth_max;
    to->reads_max = to->reads_max < CLIENT_READS_MAX ? to->reads_max : CLIENT_READS_MAX;
}

int pontoon_client_open(const struct pontoon_config *config,
                        const struct pontoon_client_options *options, struct pontoon_client **out,
                        char *reason, size_t reason_bytes)
{
    struct client_config client_config;
    if (options != NULL && options->depth_max > CLIENT_DEPTH_MAX) {
        return refuse(reason, reason_bytes, -EINVAL, "depth_max: at most 65536");
    }
    fill(&client_config, config, options);
    if (getrandom(&client_config.seed, sizeof(client_config.seed), 0) !=
        sizeof(client_config.seed)) {
        return refuse(reason, reason_bytes, -EIO, "no random numbers from the kernel");
    }
    struct pontoon_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        return refuse(reason, reason_bytes, -ENOMEM, "no memory; free some");
    }
    int result = parts_open_client(config, &client->parts, reason, reason_bytes);
    if (result != 0) {
        free(client);
        return result;
    }
    client_config.net = client->parts.views[0];
    client_config.clock = client->parts.clock;
    result = client_open(&client_config, &client->client);
    if (result != 0) {
        parts_close(&client->parts);
        free(client);
        return refuse(reason, reason_bytes, result,
                      result == -ENOMEM ? "no memory for the client; lower depth_max"
                                        : "the client's settings are out of range");
    }
    *out = client;
    return 0;
}

void pontoon_client_close(struct pontoon_client *client)
{
    client_close(client->client);
    parts_close(&client->parts);
    free(client);
}

bool pontoon_client_poll(struct pontoon_client *client)
{
    return client_poll(client->client);
}

int pontoon_client_propose(struct pontoon_client *client, uint16_t group, const void *payload,
                           uint32_t bytes, pontoon_done *done, void *context)
{
    return client_propose(client->client, group, payload, bytes, done, context);
}

int pontoon_client_propose_ranges(struct pontoon_client *client, uint16_t group,
                                  const struct pontoon_command *command, pontoon_done *done,
                                  void *context)
{
    return client_propose_ranges(client->client, group, command, done, context);
}

int pontoon_client_read(struct pontoon_client *client, uint16_t group, const void *query,
                        uint32_t bytes, pontoon_answer *answer, void *context)
{
    return client_read(client->client, group, query, bytes, answer, context);
}

int pontoon_client_read_ranges(struct pontoon_client *client, uint16_t group,
                               const struct pontoon_command *query, pontoon_answer *answer,
                               void *context)
{
    return client_read_ranges(client->client, group, query, answer, context);
}

int pontoon_client_status(struct pontoon_client *client, uint16_t node, uint16_t group,
                          bool want_digest, pontoon_client_status_done *done, void *context)
{
    return client_status(client->client, node, group, want_digest, done, context);
}

uint32_t pontoon_client_in_flight(const struct pontoon_client *client)
{
    return client_in_flight(client->client);
}

void pontoon_client_counters(const struct pontoon_client *client,
                             struct pontoon_client_counters *out)
{
    struct client_counters counters;
    client_counters(client->client, &counters);
    *out = counters.commands;
}
