// What an embedder writes, compiled by test_install.sh against an installed Pontoon and nothing
// else of ours: a counter, replicated by a cluster of one node that keeps its files in argv[1].
#include <pontoon.h>
#include <pontoon/app.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct counter {
    struct app app; // first
    uint64_t count;
};

static void apply(struct app *app, const struct app_entry *entries, uint32_t count,
                  uint32_t *results)
{
    (void)entries; // whatever is proposed counts
    for (uint32_t at = 0; at < count; at++) {
        results[at] = (uint32_t)++((struct counter *)app)->count;
    }
}

static uint64_t digest(struct app *app)
{
    return ((struct counter *)app)->count;
}

static void close_counter(struct app *app)
{
    free(app);
}

static int open_counter(void *context, uint16_t group, struct app **app)
{
    static const struct app_ops ops = {
        .name = "counter", .apply = apply, .digest = digest, .close = close_counter};
    (void)context;
    (void)group;
    *app = calloc(1, sizeof(struct counter));
    (*app)->ops = &ops;
    return 0;
}

static void on_done(void *context, const struct pontoon_result *result)
{
    *(struct pontoon_result *)context = *result;
}

static void fill(struct pontoon_config *config, const char *directory)
{
    uint32_t pid = (uint32_t)getpid();
    uint32_t ipv4 = 127U << 24 | (200 + pid % 50) << 16 | (pid / 50 % 250) << 8 | 1;
    pontoon_config_init(config);
    config->cluster = pid;
    config->node = 1;
    config->node_count = 1;
    config->nodes[0] =
        (struct pontoon_member){.id = 1,
                                .ipv4 = ipv4,
                                .links = {{.ipv4 = ipv4, .prefix_bits = 8, .frame_bytes = 1472}},
                                .link_count = 1};
    config->driver = PONTOON_DRIVER_UDP;
    config->udp_port = 7700;
    config->durability = PONTOON_MEMORY;
    config->bootstrap = true;
    config->hugepages = false;
    config->buffers_mib = 8;
    config->log_mib = 16;
    config->log_entries = 4096;
    config->window_entries = 1024;
    config->window_kib = 1024;
    config->session_pages = 8;
    snprintf(config->directory, sizeof(config->directory), "%s", directory);
}

int main(int argc, char **argv)
{
    static struct pontoon_config config;
    const struct pontoon_options options = {.app_open = open_counter};
    struct pontoon_result result = {.status = PONTOON_NOT_LEADER};
    struct pontoon *node;
    char reason[256];
    if (argc != 2) {
        return 2;
    }
    fill(&config, argv[1]);
    if (pontoon_open(&config, &options, &node, reason, sizeof(reason)) != 0) {
        fprintf(stderr, "%s\n", reason);
        return 1;
    }
    for (time_t end = time(NULL) + 10; result.status != PONTOON_DONE && time(NULL) < end;) {
        result.status = PONTOON_BUSY;
        pontoon_propose_mt(node, 0, "+", 1, on_done, &result);
        while (result.status == PONTOON_BUSY) {
            pontoon_poll(node);
        }
    }
    pontoon_stop(node, 1000000000);
    pontoon_close(node);
    printf("counted to %u\n", result.value);
    return result.status == PONTOON_DONE && result.value == 1 ? 0 : 1;
}
