#include "drivers/cli/cli_client.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { REASON_BYTES = 512, YIELDS_MAX = 4096, NAP_NS = 50000 };

uint64_t cli_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int cli_client_open(struct cli_client *client, const struct cli_arguments *arguments,
                    const struct pontoon_client_options *options)
{
    char reason[REASON_BYTES];
    client->arguments = arguments;
    client->idle_polls = 0;
    int error =
        pontoon_config_load(&client->config, cli_text(arguments, "config"), 0,
                            (uint16_t)cli_number(arguments, "client"), reason, sizeof(reason));
    if (error != 0) {
        return cli_fail(arguments, CLI_CONFIGURATION, "%s", reason);
    }
    int code = cli_add_eal(arguments, &client->config);
    if (code != CLI_OK) {
        return code;
    }
    error = pontoon_client_open(&client->config, options, &client->client, reason, sizeof(reason));
    if (error != 0) {
        return cli_fail(arguments, error == -EINVAL ? CLI_CONFIGURATION : CLI_ENVIRONMENT, "%s",
                        reason);
    }
    return CLI_OK;
}

void cli_client_close(struct cli_client *client)
{
    pontoon_client_close(client->client);
}

void cli_client_poll(struct cli_client *client)
{
    if (pontoon_client_poll(client->client)) {
        client->idle_polls = 0;
    } else if (client->idle_polls++ < YIELDS_MAX) {
        sched_yield();
    } else {
        nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    }
}

// One command or read, and how it ended.
struct request {
    bool is_over;
    enum pontoon_status status;
    uint32_t value;
    void *answer;
    uint32_t answer_capacity;
    int32_t answer_bytes;
};

static void on_done(void *context, const struct pontoon_result *result)
{
    struct request *request = context;
    request->is_over = true;
    request->status = result->status;
    request->value = result->value;
}

static void on_answer(void *context, enum pontoon_status status, const void *answer, int32_t bytes)
{
    struct request *request = context;
    request->is_over = true;
    request->status = status;
    request->answer_bytes = bytes;
    if (status == PONTOON_DONE && bytes > 0 && (uint32_t)bytes <= request->answer_capacity) {
        memcpy(request->answer, answer, (size_t)bytes);
    } else if (bytes > 0) {
        request->answer_bytes = -EMSGSIZE;
    }
}

static int wait(struct cli_client *client, const struct request *request, int error)
{
    while (error == 0 && !request->is_over) {
        cli_client_poll(client);
    }
    if (error != 0) {
        return cli_fail(client->arguments, CLI_FAILED, "%s", strerror(-error));
    }
    if (request->status == PONTOON_UNKNOWN) {
        return cli_fail(client->arguments, CLI_UNAVAILABLE,
                        "no answer in time; whether it was done is not known");
    }
    if (request->status != PONTOON_DONE) {
        return cli_fail(client->arguments, CLI_FAILED, "refused (status %d)", (int)request->status);
    }
    return CLI_OK;
}

int cli_client_propose(struct cli_client *client, uint16_t group, const void *payload,
                       uint32_t bytes, uint32_t *value)
{
    struct request request = {0};
    int code =
        wait(client, &request,
             pontoon_client_propose(client->client, group, payload, bytes, on_done, &request));
    *value = request.value;
    return code;
}

int cli_client_read(struct cli_client *client, uint16_t group, const void *query, uint32_t bytes,
                    void *answer, uint32_t answer_capacity, int32_t *answer_bytes)
{
    struct request request = {.answer = answer, .answer_capacity = answer_capacity};
    int code = wait(client, &request,
                    pontoon_client_read(client->client, group, query, bytes, on_answer, &request));
    *answer_bytes = request.answer_bytes;
    return code;
}

struct asked {
    bool is_over, is_there;
    struct pontoon_group_status *status;
};

static void on_status(void *context, uint16_t node, const struct pontoon_group_status *status)
{
    struct asked *asked = context;
    (void)node;
    asked->is_over = true;
    if (status != NULL) {
        asked->is_there = true;
        *asked->status = *status;
    }
}

bool cli_client_status(struct cli_client *client, uint16_t node, uint16_t group, bool want_digest,
                       struct pontoon_group_status *status)
{
    struct asked asked = {.status = status};
    if (pontoon_client_status(client->client, node, group, want_digest, on_status, &asked) != 0) {
        return false;
    }
    while (!asked.is_over) {
        cli_client_poll(client);
    }
    return asked.is_there;
}

// One look at all replicas of one group.
static enum replicas_verdict look(struct cli_client *client, uint16_t group, bool with_digest,
                                  struct pontoon_group_status *status, struct replicas *replicas)
{
    enum replicas_verdict verdict = REPLICAS_EQUAL;
    for (uint32_t place = 0; place < client->config.node_count; place++) {
        uint16_t node = client->config.nodes[place].id;
        if (!cli_client_status(client, node, group, with_digest, &status[place])) {
            replicas->node = node;
            return REPLICAS_SILENT;
        }
        const struct pontoon_group_status *first = &status[0], *this = &status[place];
        bool is_level = this->applied == first->applied && this->commit == this->applied &&
                        this->last == this->applied && (this->digest != 0 || !with_digest);
        if (!is_level) {
            replicas->node = node;
            verdict = REPLICAS_BEHIND;
        } else if (verdict == REPLICAS_EQUAL && this->digest != first->digest) {
            replicas->node = node;
            verdict = REPLICAS_DIFFER;
        }
    }
    return verdict;
}

static enum replicas_verdict compare_group(struct cli_client *client, uint16_t group,
                                           bool with_digest, uint64_t deadline_ns,
                                           struct replicas *replicas)
{
    struct pontoon_group_status status[PONTOON_NODES_MAX];
    replicas->group = group;
    enum replicas_verdict verdict = look(client, group, with_digest, status, replicas);
    while ((verdict == REPLICAS_SILENT || verdict == REPLICAS_BEHIND) &&
           cli_now_ns() < deadline_ns) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        verdict = look(client, group, with_digest, status, replicas);
    }
    for (uint32_t place = 0; verdict == REPLICAS_EQUAL && place < client->config.node_count;
         place++) {
        replicas->applied[place] += status[place].applied;
    }
    replicas->digest = status[0].digest;
    return verdict;
}

void cli_client_compare(struct cli_client *client, bool with_digest, uint64_t timeout_ns,
                        struct replicas *replicas)
{
    uint64_t deadline_ns = cli_now_ns() + timeout_ns;
    *replicas = (struct replicas){.verdict = REPLICAS_EQUAL};
    for (uint32_t group = 0; group < client->config.groups; group++) {
        replicas->verdict =
            compare_group(client, (uint16_t)group, with_digest, deadline_ns, replicas);
        if (replicas->verdict != REPLICAS_EQUAL) {
            return;
        }
    }
}
