// The callers' side: opening, asking, waiting.
#include "drivers/nbdkit/volume.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "drivers/nbdkit/internal.h"

enum { LOOK_UP_NS = 250000000 }; // a caller asks is_over() this often

uint64_t volume_draw_writer(void)
{
    uint64_t writer = 0;
    while (writer == 0 && getrandom(&writer, sizeof(writer), 0) != sizeof(writer)) {
    }
    return writer;
}

static void wake(struct volume *volume)
{
    const uint64_t one = 1;
    if (atomic_load(&volume->is_asleep)) {
        ssize_t put = write(volume->wake_fd, &one, sizeof(one));
        (void)put; // a full counter wakes as well
    }
}

static void push(struct volume *volume, struct request *request)
{
    request->next = atomic_load(&volume->inbox);
    while (!atomic_compare_exchange_weak(&volume->inbox, &request->next, request)) {
    }
    wake(volume);
}

static bool wait_a_little(sem_t *done)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_UP_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return sem_timedwait(done, &until) == 0;
}

static void await(struct volume *volume, struct request *request)
{
    while (!wait_a_little(&request->done)) {
        if (volume->options.is_over != NULL && volume->options.is_over()) {
            atomic_store(&request->is_unwanted, true);
            atomic_store(&volume->has_unwanted, true);
        }
    }
}

int volume_do(struct volume *volume, enum volume_kind kind, uint64_t offset, uint64_t bytes,
              void *data, char *reason, size_t reason_bytes)
{
    struct request request = {.kind = kind,
                              .offset = offset,
                              .bytes = bytes,
                              .data = data,
                              .reason = reason,
                              .reason_bytes = reason_bytes};
    if (kind == VOLUME_ATTACH) {
        request.bytes = 1; // no range, but something to wait for
    } else if (kind == VOLUME_INFO) {
        request.bytes = BLOCK_INFO_BYTES;
    }
    sem_init(&request.done, 0, 0);
    push(volume, &request);
    await(volume, &request);
    sem_destroy(&request.done);
    return request.error;
}

static int start_thread(struct volume *volume)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); // signals are the server's
    int error = pthread_create(&volume->thread, NULL, poller_run, volume);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

static void stop_thread(struct volume *volume)
{
    atomic_store(&volume->should_stop, true);
    pthread_join(volume->thread, NULL);
}

static void destroy(struct volume *volume)
{
    sem_destroy(&volume->opened);
    close(volume->wake_fd);
    free(volume);
}

static int learn_geometry(struct volume *volume, char *reason, size_t reason_bytes)
{
    int error = volume_do(volume, VOLUME_INFO, 0, 0, &volume->info, reason, reason_bytes);
    if (error == 0 && volume->info.volume_bytes == 0) {
        snprintf(reason, reason_bytes, "there is no volume yet; make one: pontoon block create");
        error = -ENOENT;
    }
    return error;
}

int volume_open(const struct volume_options *options, struct volume **out, char *reason,
                size_t reason_bytes)
{
    struct volume *volume = calloc(1, sizeof(*volume));
    if (volume == NULL || (volume->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
        free(volume);
        snprintf(reason, reason_bytes, "no memory or descriptors");
        return -ENOMEM;
    }
    volume->options = *options;
    volume->open_reason = reason;
    volume->open_reason_bytes = reason_bytes;
    volume->writer = volume_draw_writer();
    sem_init(&volume->opened, 0, 0);
    int error = start_thread(volume);
    if (error != 0) {
        snprintf(reason, reason_bytes, "thread: %s", strerror(-error));
        destroy(volume);
        return error;
    }
    while (sem_wait(&volume->opened) != 0) {
    }
    error = volume->open_error;
    error = error != 0 ? error : learn_geometry(volume, reason, reason_bytes);
    if (error != 0) {
        stop_thread(volume);
        destroy(volume);
        return error;
    }
    volume->previous = volume->info.writer; // published by the first push of a request to attach
    *out = volume;
    return 0;
}

void volume_close(struct volume *volume)
{
    stop_thread(volume);
    destroy(volume);
}

const struct block_info *volume_info(const struct volume *volume)
{
    return &volume->info;
}
