// The thread that owns the client of the cluster.
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "drivers/nbdkit/internal.h"

enum {
    YIELDS_MAX = 4096, // idle polls before the poller naps, while something is in flight
    NAP_NS = 50000,
    SLEEP_MS = 5, // between polls, while nothing is in flight
};

static void take_inbox(struct volume *volume)
{
    struct request *request = atomic_exchange(&volume->inbox, NULL), *arrived = NULL;
    while (request != NULL) { // newest first
        struct request *older = request->next;
        request->next = arrived;
        arrived = request;
        request = older;
    }
    struct request **end = &volume->active;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = arrived;
}

static void fail_if_fenced(struct volume *volume)
{
    if (volume->attachment == FENCED) {
        request_fail_changes(volume, -EROFS, block_command_result_name(BLOCK_FENCED));
    }
}

static void sleep_until_asked(struct volume *volume)
{
    struct pollfd wake = {.fd = volume->wake_fd, .events = POLLIN};
    uint64_t count;
    atomic_store(&volume->is_asleep, true);
    if (atomic_load(&volume->inbox) == NULL && poll(&wake, 1, SLEEP_MS) > 0) {
        ssize_t got = read(volume->wake_fd, &count, sizeof(count));
        (void)got; // somebody woke us, once or more
    }
    atomic_store(&volume->is_asleep, false);
}

static void rest(struct volume *volume)
{
    if (volume->pieces_used == 0 && volume->active == NULL) {
        sleep_until_asked(volume);
    } else if (volume->idle_polls++ < YIELDS_MAX) {
        sched_yield();
    } else {
        nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    }
}

static int open_client(struct volume *volume)
{
    const struct volume_options *options = &volume->options;
    const struct pontoon_client_options client = {.depth_max = PIECES,
                                                  .give_up_ns = options->hold_ns};
    struct pontoon_config *config = malloc(sizeof(*config));
    if (config == NULL) {
        snprintf(volume->open_reason, volume->open_reason_bytes, "no memory");
        return -ENOMEM;
    }
    int error = pontoon_config_load(config, options->config, 0, options->client,
                                    volume->open_reason, volume->open_reason_bytes);
    if (error == 0 && options->group >= config->groups) {
        snprintf(volume->open_reason, volume->open_reason_bytes,
                 "group %u: the configuration has %u groups", options->group, config->groups);
        error = -EINVAL;
    }
    if (error == 0) {
        error = pontoon_client_open(config, &client, &volume->client, volume->open_reason,
                                    volume->open_reason_bytes);
    }
    free(config);
    return error;
}

void *poller_run(void *context)
{
    struct volume *volume = context;
    volume->open_error = open_client(volume);
    int error = volume->open_error; // the opener may be gone after the post
    sem_post(&volume->opened);
    if (error != 0) {
        return NULL;
    }
    while (!atomic_load(&volume->should_stop)) {
        take_inbox(volume);
        request_drop_unwanted(volume);
        fail_if_fenced(volume);
        send_all(volume);
        if (pontoon_client_poll(volume->client)) {
            volume->idle_polls = 0;
        } else {
            rest(volume);
        }
    }
    pontoon_client_close(volume->client);
    return NULL;
}
